#include "source/proxy/http2_connection.h"

#include <algorithm>
#include <utility>

namespace gatehouse::proxy {

using sdk::ResponseFlag;

namespace {

HttpStream& streamOf(codec::Stream& stream) { return static_cast<HttpStream&>(stream); }

}  // namespace

Http2Connection::Http2Connection(std::shared_ptr<const HcmConfig> config,
                                 net::Connection& connection, const sdk::ConnectionInfo& info,
                                 event::MonoTime opened)
    : HttpConnection(std::move(config), connection, info, opened),
      codec_(codec::h2::H2Codec::Role::kServer, config_->http2, config_->buffer_limit),
      keepalive_(codec_, config_->http2, *this) {
  config_->stats->cx_http2_total.inc();
  config_->stats->cx_http2_active.add(1);
  armTimer(config_->idle_timeout);
  keepalive_.start();
  connection_->markDirty();  // SETTINGS
  if (config_->lifecycle->close_share.load(std::memory_order_relaxed) == sdk::Lifecycle::kAll)
    drain();
}

void Http2Connection::drain() {
  if (draining_ || closed_) return;
  draining_ = true;
  codec_.goAway();
  connection_->markDirty();
  // Requests that were on their way when the notice left are still served.
  drain_timer_.arm(
      std::max(config_->drain_timeout, event::Millis(1)),
      [](void* self) noexcept {
        auto* connection = static_cast<Http2Connection*>(self);
        connection->codec_.finishGoAway();
        connection->connection_->markDirty();
        if (connection->streams_.empty()) connection->finish(false);
      },
      this);
}

void Http2Connection::finish(bool linger) {
  if (closed_ || finished_) return;
  finished_ = true;
  timer_.cancel();
  bool delay = config_->delayed_close_timeout.count() != 0;
  connection_->closeAfterFlush(
      delay ? config_->delayed_close_timeout : config_->stream_idle_timeout, linger && delay);
}

void Http2Connection::onTimer() {
  if (waiting_head_) {
    config_->stats->rq_header_timeout.inc();
    connection_->close(net::CloseReason::kIdle);
    return;
  }
  if (!streams_.empty()) return;
  config_->stats->cx_idle_timeout.inc();
  codec_.finishGoAway();
  connection_->markDirty();
  finish(false);
}

void Http2Connection::onData(buffer::Buffer& in, bool end) noexcept {
  codec::Ingest result = codec_.ingest(in, end, *this);
  if (closed_) return;
  connection_->markDirty();
  if (result.code == codec::Ingest::kFatal) {
    fail(result.why.details, result.why.status != codec::h2::H2Codec::kFlood);
    return;
  }
  watchHead();
  if (end) {
    connection_->close(net::CloseReason::kRemoteFin);
  } else if (codec_.wantsClose()) {
    finish(false);
  }
}

void Http2Connection::fail(const char* details, bool protocol) {
  if (protocol) config_->stats->cx_protocol_error.inc();
  for (HttpStream* stream = streams_.first(); stream != nullptr; stream = streams_.next(*stream))
    stream->onPeerReset(details, ResponseFlag::kDownstreamProtocolError);
  finish(true);
}

// A header block that is never finished holds the whole connection.
void Http2Connection::watchHead() {
  if (config_->request_headers_timeout.count() == 0) return;
  bool open = codec_.inHeaderBlock();
  if (open == waiting_head_) return;
  waiting_head_ = open;
  timer_.cancel();
  if (open) {
    armTimer(config_->request_headers_timeout);
  } else if (streams_.empty()) {
    armTimer(config_->idle_timeout);
  }
}

void Http2Connection::onFlushed() noexcept {
  bool all = connection_->pendingOutput() == 0;
  codec_.forEachSent(all, [](codec::Stream& stream) {
    streamOf(stream).touch();
    streamOf(stream).engine().responseDrained();
  });
  // nghttp2 ended the session on its own account; its GOAWAY is out by now.
  if (!finished_ && codec_.failed()) {
    fail("http2.protocol_error", true);
  } else if (codec_.wantsClose()) {
    finish(false);
  }
}

codec::Stream* Http2Connection::onStream(uint64_t) noexcept {
  if (streams_.empty() && !waiting_head_) timer_.cancel();
  auto* stream = new HttpStream(*this, *config_);
  streams_.pushBack(*stream);
  keepalive_.onStream();
  ++requests_;
  if (config_->max_requests_per_connection != 0 &&
      requests_ == config_->max_requests_per_connection) {
    config_->stats->cx_max_requests_reached.inc();
    drain();
  }
  return stream;
}

http::RequestHead* Http2Connection::requestHead(codec::Stream& stream) noexcept {
  return &streamOf(stream).head();
}

void Http2Connection::onRequestHead(codec::Stream& stream, http::RequestHead&, bool end) noexcept {
  streamOf(stream).onHead(end);
}

void Http2Connection::onBody(codec::Stream& stream, buffer::Buffer& in, bool end) noexcept {
  streamOf(stream).onBody(in, end);
}

void Http2Connection::onTrailers(codec::Stream& stream, http::HeaderMap& trailers) noexcept {
  streamOf(stream).onTrailers(trailers);
}

void Http2Connection::onAbort(codec::Stream& stream, codec::Abort why,
                              codec::CodecError error) noexcept {
  bool broken = why == codec::Abort::kProtocol;
  streamOf(stream).onPeerReset(error.details, broken ? ResponseFlag::kDownstreamProtocolError
                                                     : ResponseFlag::kDownstreamRemoteReset);
}

void Http2Connection::streamEnded(HttpStream& stream) {
  static_cast<base::ListLink<StreamsTag>&>(stream).unlink();
  codec_.detach(stream);
  if (closed_) {
    if (streams_.empty()) event::Worker::current().bury(*this);
    return;
  }
  connection_->markDirty();
  if (!streams_.empty()) return;
  keepalive_.onIdle();
  if (draining_ && !drain_timer_.armed()) {
    finish(false);
  } else if (!waiting_head_) {
    armTimer(config_->idle_timeout);
  }
}

void Http2Connection::onClosed(net::CloseReason why, int) noexcept {
  closed_ = true;
  timer_.cancel();
  drain_timer_.cancel();
  keepalive_.stop();
  countClosed(why);
  config_->stats->cx_http2_active.add(-1);
  for (HttpStream* stream = streams_.first(); stream != nullptr; stream = streams_.next(*stream))
    stream->engine().downstreamGone();
  if (streams_.empty()) event::Worker::current().bury(*this);
}

}  // namespace gatehouse::proxy
