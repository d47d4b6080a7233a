#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "source/codec/h2/h2_codec.h"
#include "source/stats/stats.h"
#include "test/harness/gateway.h"

namespace gatehouse::harness {

using Fields = std::vector<std::pair<std::string, std::string>>;

// One stream as a test sees it, from either end.
struct Exchange : codec::Stream {
  Exchange() : memory(nullptr, 0), request(memory), answer(memory) { arena = &memory; }
  // First value of a field of the head that came in ("" if absent).
  std::string field(std::string_view name) const;

  memory::Arena memory;
  http::RequestHead request;
  http::ResponseHead answer;
  std::vector<uint16_t> interims;
  std::string body;  // that came in
  Fields trailers;   // that came in
  bool head = false;
  bool ended = false;
  bool aborted = false;
  codec::Abort why = codec::Abort::kCancel;
  // Bytes that may come in; raised to this again after each piece unless `slow`.
  bool slow = false;
};

// One end of an HTTP/2 connection in the hands of a test, on our own codec: client of a gateway or
// its upstream. With a Peer it sends and receives through it in pump(); without one the test moves
// the bytes.
class H2Side final : public codec::CodecEvents {
 public:
  explicit H2Side(codec::h2::H2Codec::Role role, std::unique_ptr<Peer> peer = nullptr,
                  const codec::h2::Options* options = nullptr, uint32_t lane = 1 << 20);
  ~H2Side();

  // Reads, feeds, produces, sends.
  void pump();
  // What the codec wants to say.
  std::string output();
  // Returns false when the codec calls the connection broken.
  bool input(std::string_view bytes);

  // Client.
  Exchange& request(std::string_view method, std::string_view path, const Fields& fields = {},
                    bool end = true);
  // Server.
  void answer(Exchange& exchange, uint16_t status, const Fields& fields = {}, bool end = true);
  void interim(Exchange& exchange, uint16_t status);
  void body(Exchange& exchange, std::string_view bytes, bool end);
  void trailers(Exchange& exchange, const Fields& fields);
  void reset(Exchange& exchange, codec::Abort why = codec::Abort::kCancel);
  // Lets a slow exchange receive so many further bytes.
  void allow(Exchange& exchange, uint32_t bytes);

  Exchange& at(size_t i) { return *exchanges_.at(i); }
  size_t size() const { return exchanges_.size(); }
  Peer& peer() { return *peer_; }
  codec::h2::H2Codec& codec() { return codec_; }

  bool slow = false;  // for exchanges to come
  bool broken = false;
  std::string why;
  bool going_away = false;
  uint64_t last_stream = 0;

  // codec::CodecEvents
  codec::Stream* onStream(uint64_t id) noexcept override;
  http::RequestHead* requestHead(codec::Stream& stream) noexcept override;
  http::ResponseHead* responseHead(codec::Stream& stream) noexcept override;
  void onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept override;
  void onInterim(codec::Stream&, http::ResponseHead&) noexcept override;
  void onResponseHead(codec::Stream&, http::ResponseHead&, bool end) noexcept override;
  void onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream&, codec::Abort why, codec::CodecError) noexcept override;
  void onGoAway(uint64_t last_id, uint32_t code) noexcept override;
  void onLimits(uint32_t) noexcept override {}

 private:
  stats::StatsStore store_;
  std::shared_ptr<stats::Scope> scope_;
  codec::h2::Stats stats_;
  codec::h2::Options options_;
  std::unique_ptr<Peer> peer_;
  codec::h2::H2Codec codec_;
  buffer::Buffer in_;
  std::string unsent_;
  std::deque<std::unique_ptr<Exchange>> exchanges_;
};

}  // namespace gatehouse::harness
