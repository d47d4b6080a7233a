#pragma once

#include <memory>
#include <string_view>

#include "source/base/intrusive_list.h"
#include "source/codec/h2/h2_codec.h"
#include "source/codec/h2/keepalive.h"
#include "source/proxy/http_connection.h"

namespace gatehouse::proxy {

inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// One HTTP/2 connection of a client with all its streams.
class Http2Connection final : public HttpConnection, public codec::h2::KeepaliveOwner {
 public:
  Http2Connection(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
                  const sdk::ConnectionInfo& info, event::MonoTime opened);

  // HttpConnection
  codec::Codec& codec() noexcept override { return codec_; }
  void countRequest() override { config_->stats->rq_http2_total.inc(); }
  void endAfter(HttpStream&) override {}  // the codec resets what is left of the request
  // Tells the client (GOAWAY), serves what is under way, then closes.
  void drain() override;
  void drainIdle() override { drain(); }
  void granted(bool) override { connection_->markDirty(); }
  void streamEnded(HttpStream& stream) override;

  // net::ConnectionUser
  void onData(buffer::Buffer& in, bool end) noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override {
    return codec_.produce(out, room);
  }
  void onFlushed() noexcept override;
  void onClosed(net::CloseReason why, int error) noexcept override;

  // codec::CodecEvents
  codec::Stream* onStream(uint64_t id) noexcept override;
  http::RequestHead* requestHead(codec::Stream&) noexcept override;
  void onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept override;
  void onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream&, codec::Abort why, codec::CodecError error) noexcept override;

  // codec::h2::KeepaliveOwner
  void onPingDue() noexcept override { connection_->markDirty(); }
  void onPeerSilent() noexcept override { connection_->close(net::CloseReason::kIdle); }

 private:
  void onTimer() override;
  // `protocol`: counts as a protocol error, floods do not.
  void fail(const char* details, bool protocol);
  void watchHead();
  // Nothing more is served here: what is pending leaves, then the connection closes.
  void finish(bool linger);

  codec::h2::H2Codec codec_;
  codec::h2::Keepalive keepalive_;
  base::IntrusiveList<HttpStream, StreamsTag> streams_;
  event::Timer drain_timer_;
  bool draining_ = false;
  bool finished_ = false;
};

}  // namespace gatehouse::proxy
