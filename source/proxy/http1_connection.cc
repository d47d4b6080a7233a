#include "source/proxy/http1_connection.h"

#include <algorithm>
#include <utility>

#include "source/proxy/http2_connection.h"

namespace gatehouse::proxy {

using sdk::ResponseFlag;

// As many as there are idle clients (docs/benchmarks.md: idle_connections).
static_assert(sizeof(Http1Connection) <= 272);

Http1Connection::Http1Connection(std::shared_ptr<const HcmConfig> config,
                                 net::Connection& connection, const sdk::ConnectionInfo& info,
                                 event::MonoTime opened)
    : HttpConnection(std::move(config), connection, info, opened), codec_(config_->http1) {
  if (config_->codec == CodecType::kHttp1) becomeHttp1();
  armTimer(config_->idle_timeout);
}

void Http1Connection::becomeHttp1() {
  known_ = true;
  config_->stats->cx_http1_total.inc();
  config_->stats->cx_http1_active.add(1);
}

Http1Connection::Version Http1Connection::versionOf(const buffer::Buffer& in) const {
  char start[kHttp2Preface.size()];
  size_t n = std::min(in.length(), sizeof(start));
  in.copyTo(0, n, start);
  if (std::string_view(start, n) != kHttp2Preface.substr(0, n)) return Version::kHttp1;
  return n == sizeof(start) ? Version::kHttp2 : Version::kUnknown;
}

void Http1Connection::becomeHttp2(buffer::Buffer& in, bool end) {
  timer_.cancel();
  closed_ = true;
  base::ListLink<WorkerConnectionsTag>::unlink();
  event::Worker::current().bury(*this);
  auto* next = new Http2Connection(config_, *connection_, info_, opened_);
  next->onData(in, end);
}

void Http1Connection::onTimer() {
  if (active_ != nullptr) {
    armTimer(config_->idle_timeout);
    return;
  }
  if (waiting_head_) {
    config_->stats->rq_header_timeout.inc();
    if (codec_.openForError(*this) != nullptr) {
      active_->fail(408, "request header timeout", "request_header_timeout", nullptr);
    }
    return;
  }
  config_->stats->cx_idle_timeout.inc();
  connection_->close(net::CloseReason::kIdle);
}

void Http1Connection::onData(buffer::Buffer& in, bool end) noexcept {
  if (!known_) {
    Version version = versionOf(in);
    if (version == Version::kUnknown && !end) return;
    if (version == Version::kHttp2) {
      becomeHttp2(in, end);
      return;
    }
    becomeHttp1();
  }
  codec::Ingest result = codec_.ingest(in, end, *this);
  if (closed_) return;
  if (result.code == codec::Ingest::kFatal) {
    config_->stats->cx_protocol_error.inc();
    ResponseFlag flag = ResponseFlag::kDownstreamProtocolError;
    std::string_view body = result.why.status == 431   ? "Request Header Fields Too Large"
                            : result.why.status == 426 ? "Upgrade Required"
                            : result.why.status == 501 ? "Not Implemented"
                                                       : "Bad Request";
    if (active_ != nullptr) {
      active_->fail(result.why.status, body, result.why.details, &flag);
    } else {
      connection_->close(net::CloseReason::kProtocol);
    }
    return;
  }
  if (result.code == codec::Ingest::kBlocked) connection_->pauseIngest();
  bool started = codec_.headStarted();
  if (started && !waiting_head_ && config_->request_headers_timeout.count() != 0) {
    waiting_head_ = true;
    timer_.cancel();
    armTimer(config_->request_headers_timeout);
  }
  // The client finished. As in Envoy that ends a connection at once, answers under way included,
  // unless bytes still wait.
  if (end && result.code != codec::Ingest::kBlocked)
    connection_->close(net::CloseReason::kRemoteFin);
}

void Http1Connection::onFlushed() noexcept {
  if (active_ == nullptr) return;
  active_->touch();
  active_->engine().responseDrained();
}

codec::Stream* Http1Connection::onStream(uint64_t) noexcept {
  waiting_head_ = false;
  active_ = new HttpStream(*this, *config_);
  ++requests_;
  if (config_->max_requests_per_connection != 0 &&
      requests_ >= config_->max_requests_per_connection) {
    config_->stats->cx_max_requests_reached.inc();
    codec_.goAway();
  }
  return active_;
}

void Http1Connection::onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept {
  active_->onHead(end);
}

void Http1Connection::onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept {
  if (active_ == nullptr) {
    in.clear();
    return;
  }
  active_->onBody(in, end);
}

void Http1Connection::onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept {
  if (active_ != nullptr) active_->onTrailers(trailers);
}

void Http1Connection::onAbort(codec::Stream&, codec::Abort, codec::CodecError) noexcept {
  if (active_ != nullptr) active_->engine().downstreamGone();
}

void Http1Connection::streamEnded(HttpStream&) {
  active_ = nullptr;
  if (closed_) {
    event::Worker::current().bury(*this);
    return;
  }
  if (codec_.cutShort()) {
    // Only a reset tells the client that the answer is not complete.
    connection_->abortiveClose();
    return;
  }
  if (!codec_.idle() || !codec_.reusable()) {
    // A client that may still be sending must read the answer before it meets a reset: linger.
    // Otherwise close after the last byte.
    bool clean = codec_.requestComplete() && connection_->pendingInput() == 0;
    bool delay = config_->delayed_close_timeout.count() != 0;
    connection_->closeAfterFlush(
        delay ? config_->delayed_close_timeout : config_->stream_idle_timeout, !clean && delay);
    return;
  }
  armTimer(config_->idle_timeout);
  connection_->resumeIngest();
}

void Http1Connection::onClosed(net::CloseReason why, int) noexcept {
  closed_ = true;
  timer_.cancel();
  countClosed(why);
  if (known_) config_->stats->cx_http1_active.add(-1);
  if (active_ != nullptr) {
    active_->engine().downstreamGone();
  } else {
    event::Worker::current().bury(*this);
  }
}

}  // namespace gatehouse::proxy
