#pragma once

#include <memory>
#include <optional>

#include "source/chain/http_engine.h"
#include "source/codec/h1/server_codec.h"
#include "source/event/worker.h"
#include "source/memory/slab.h"
#include "source/net/connection.h"
#include "source/proxy/hcm_config.h"
#include "source/proxy/header_mutation.h"

namespace gatehouse::proxy {

class HttpConnection;

// One request and its answer. Made by the codec's onStream(), ended by its engine, freed in step 8.
// Everything of the request lives in its arena, whose first 2 KiB lie inside.
class HttpStream final : public codec::Stream,
                         public chain::StreamOwner,
                         public event::Reapable,
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
  event::Timer idle_timer_;
  event::Timer request_timer_;
  std::optional<chain::HttpEngine> engine_;
  alignas(16) std::byte first_block_[2048];
};

// One HTTP/1 connection of a client: user of its net::Connection, receiver of its codec's events.
// Frees itself in step 8 after the connection closed and its stream ended. Holds no stream state
// while idle.
class HttpConnection final : public net::ConnectionUser,
                             public codec::CodecEvents,
                             public event::Reapable,
                             public memory::SlabObject {
 public:
  HttpConnection(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
                 const sdk::ConnectionInfo& info);
  ~HttpConnection() override;

  net::Connection& connection() { return *connection_; }
  codec::h1::ServerCodec& codec() { return codec_; }
  const sdk::ConnectionInfo& info() const { return info_; }
  bool closed() const { return closed_; }
  void streamEnded(HttpStream& stream);

  // net::ConnectionUser
  void onData(buffer::Buffer& in, bool end) noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override {
    return codec_.produce(out, room);
  }
  void onFlushed() noexcept override;
  void onClosed(net::CloseReason why, int error) noexcept override;

  // codec::CodecEvents
  codec::Stream* onStream(uint64_t id) noexcept override;
  http::RequestHead* requestHead(codec::Stream&) noexcept override { return &active_->head(); }
  http::ResponseHead* responseHead(codec::Stream&) noexcept override { return nullptr; }
  void onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept override;
  void onInterim(codec::Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(codec::Stream&, http::ResponseHead&, bool) noexcept override {}
  void onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream&, codec::Abort why, codec::CodecError error) noexcept override;
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

 private:
  void armTimer(event::Millis delay);
  void onTimer();

  std::shared_ptr<const HcmConfig> config_;
  net::Connection* connection_;
  HttpStream* active_ = nullptr;
  codec::h1::ServerCodec codec_;
  sdk::ConnectionInfo info_;
  // Idle time, or the time a started head may take. Extended by one store.
  event::Timer timer_;
  event::MonoTime opened_;
  uint32_t requests_ = 0;
  bool closed_ = false;
  bool waiting_head_ = false;
};

}  // namespace gatehouse::proxy
