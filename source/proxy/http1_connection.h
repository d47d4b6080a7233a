#pragma once

#include <memory>

#include "source/codec/h1/server_codec.h"
#include "source/proxy/http_connection.h"

namespace gatehouse::proxy {

// One HTTP/1 connection of a client, or one whose version is not known yet (AUTO): the first bytes
// decide, and when they are the HTTP/2 preface an Http2Connection takes its place. Holds no stream
// state while idle.
class Http1Connection final : public HttpConnection {
 public:
  Http1Connection(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
                  const sdk::ConnectionInfo& info, event::MonoTime opened);

  // HttpConnection
  codec::Codec& codec() noexcept override { return codec_; }
  void countRequest() override { config_->stats->rq_http1_total.inc(); }
  void endAfter(HttpStream&) override { codec_.goAway(); }
  void drain() override { codec_.goAway(); }
  void drainIdle() override {}
  void granted(bool woken) override {
    if (woken) connection_->resumeIngest();
  }
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
  http::RequestHead* requestHead(codec::Stream&) noexcept override { return &active_->head(); }
  void onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept override;
  void onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream&, codec::Abort why, codec::CodecError error) noexcept override;

 private:
  enum class Version : uint8_t { kUnknown, kHttp1, kHttp2 };
  void onTimer() override;
  // Looks at the first bytes of an AUTO connection.
  Version versionOf(const buffer::Buffer& in) const;
  void becomeHttp1();
  void becomeHttp2(buffer::Buffer& in, bool end);

  HttpStream* active_ = nullptr;
  codec::h1::ServerCodec codec_;
};

}  // namespace gatehouse::proxy
