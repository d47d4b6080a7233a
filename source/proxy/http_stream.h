#pragma once

#include <optional>

#include "source/base/intrusive_list.h"
#include "source/chain/http_engine.h"
#include "source/event/worker.h"
#include "source/memory/slab.h"
#include "source/proxy/hcm_config.h"
#include "source/proxy/header_mutation.h"

namespace gatehouse::proxy {

class HttpConnection;

// One request and its answer. Made by the codec's onStream(), ended by its engine, freed in step 8.
// Everything of the request lives in its arena, whose first 2 KiB lie inside.
class HttpStream final : public codec::Stream,
                         public chain::StreamOwner,
                         public event::Reapable,
                         public base::ListLink<struct StreamsTag>,
                         public memory::SlabObject {
 public:
  HttpStream(HttpConnection& connection, const HcmConfig& config);
  ~HttpStream() override;

  http::RequestHead& head() { return head_; }
  chain::HttpEngine& engine() { return *engine_; }
  sdk::StreamInfo& info() { return info_; }
  void onHead(bool end);
  void onBody(buffer::Buffer& in, bool end);
  void onTrailers(http::HeaderMap& trailers);
  // A broken request: answered through the filters, then the connection closes.
  void fail(uint16_t status, std::string_view body, std::string_view details,
            sdk::ResponseFlag* flag);
  // The client reset this stream, or broke it (HTTP/2).
  void onPeerReset(std::string_view details, sdk::ResponseFlag flag);
  void touch();

  // chain::StreamOwner
  void sendInterim(http::ResponseHead& head) noexcept override;
  void sendHead(http::ResponseHead& head, bool end) noexcept override;
  void sendBody(buffer::Buffer& bytes, bool end) noexcept override;
  void sendTrailers(http::HeaderMap& trailers) noexcept override;
  void resetStream(codec::Abort why) noexcept override;
  void grantRequest(uint32_t bytes) noexcept override;
  size_t responseQueued() noexcept override;
  const router::RouteEntry* pickRoute() noexcept override;
  const void* const* routeConfigs(const router::RouteEntry& route) noexcept override {
    return route.filterConfigs();
  }
  void onLocalReply(http::ResponseHead& head) noexcept override;
  void onStreamEnd(sdk::EndReason why) noexcept override;

 private:
  void onIdle();
  void refuse(const Refusal& refusal, bool end);
  // What was parsed of a malformed request is neither logged nor formatted.
  void forgetHead();
  void passInterim(http::ResponseHead& head);
  void log();
  void countResponse();

  HttpConnection& connection_;
  const HcmConfig& config_;
  memory::Arena arena_storage_;
  http::RequestHead head_;
  sdk::StreamInfo info_;
  http::HeaderMap* trailers_ = nullptr;
  uint64_t random_;
  bool head_seen_ = false;
  bool peer_reset_ = false;
  event::Timer idle_timer_;
  event::Timer request_timer_;
  std::optional<chain::HttpEngine> engine_;
  alignas(16) std::byte first_block_[2048];
};

}  // namespace gatehouse::proxy
