#include "source/upstream/pool.h"

#include <algorithm>
#include <utility>

namespace gatehouse::upstream {

namespace {

uint64_t millisSince(event::MonoTime then) {
  auto spent = event::Worker::current().now() - then;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(spent).count());
}

}  // namespace

HttpConnection::HttpConnection(HostPool& pool, const net::Address& remote)
    : pool_(pool), started_(event::Worker::current().now()) {
  const ClusterSettings& settings = pool.cluster().settings();
  ClusterStats& stats = pool.cluster().stats();
  if (settings.http2) {
    auto codec = std::make_unique<codec::h2::H2Codec>(codec::h2::H2Codec::Role::kClient,
                                                      *settings.http2, settings.buffer_limit);
    http2_ = codec.get();
    codec_ = std::move(codec);
    capacity_ = settings.http2->max_concurrent_streams;
    keepalive_ = std::make_unique<codec::h2::Keepalive>(*http2_, *settings.http2, *this);
    stats.upstream_cx_http2_total.inc();
  } else {
    codec_ = std::make_unique<codec::h1::ClientCodec>(settings.http1);
    stats.upstream_cx_http1_total.inc();
  }
  stats.upstream_cx_total.inc();
  stats.upstream_cx_active.add(1);
  pool.host().stats.cx_total.inc();
  pool.host().stats.cx_active.add(1);
  connection_ = net::Connection::connect(remote, *this);
  timer_.arm(
      settings.connect_timeout,
      [](void* self) noexcept {
        auto* connection = static_cast<HttpConnection*>(self);
        connection->connect_timed_out_ = true;
        connection->pool_.cluster().stats().upstream_cx_connect_timeout.inc();
        connection->close(net::CloseReason::kConnectTimeout);
      },
      this);
}

HttpConnection::~HttpConnection() = default;

void HttpConnection::attach(UpstreamRequest& request) {
  GATEHOUSE_ASSERT(hasRoom());
  timer_.cancel();
  active_.pushBack(request);
  ++active_count_;
  request.connection_ = this;
  request.pool_ = nullptr;
  request.host_ = &pool_.host();
  request.request_sent_ = request.response_ended_ = false;
  ++served_;
  if (keepalive_ != nullptr) keepalive_->onStream();
  ClusterStats& stats = pool_.cluster().stats();
  stats.upstream_rq_total.inc();
  stats.upstream_rq_active.add(1);
  pool_.host().stats.rq_total.inc();
  pool_.host().stats.rq_active.add(1);
  request.onPoolReady();
}

void HttpConnection::markDirty() { connection_->markDirty(); }

void HttpConnection::granted(bool woken) {
  if (http2_ != nullptr) {
    connection_->markDirty();
  } else if (woken) {
    connection_->resumeIngest();
  }
}

void HttpConnection::close(net::CloseReason why) {
  if (!closed_) connection_->close(why);
}

void HttpConnection::drain(net::CloseReason why) {
  draining_ = true;
  if (active_.empty()) {
    close(why);
  } else {
    pool_.place(*this);
  }
}

void HttpConnection::onConnected() noexcept {
  connected_ = true;
  local_ = connection_->local();
  timer_.cancel();
  pool_.cluster().stats().upstream_cx_connect_ms.record(millisSince(started_));
  --pool_.connecting_;
  if (http2_ != nullptr) {
    keepalive_->start();
    markDirty();  // preface and SETTINGS
  }
  pool_.onRoom(*this);
}

void HttpConnection::onData(buffer::Buffer& in, bool end) noexcept {
  if (http2_ != nullptr) {
    onHttp2Data(in, end);
  } else {
    onHttp1Data(in, end);
  }
}

void HttpConnection::onHttp2Data(buffer::Buffer& in, bool end) {
  codec::Ingest result = codec_->ingest(in, end, *this);
  if (closed_) return;
  markDirty();
  if (result.code == codec::Ingest::kFatal) {
    failHttp2();
  } else if (end) {
    close(net::CloseReason::kRemoteFin);
  }
}

void HttpConnection::failHttp2() {
  if (failed_) return;
  failed_ = true;
  pool_.cluster().stats().upstream_cx_protocol_error.inc();
  draining_ = true;
  pool_.place(*this);
  resetAll(codec::Abort::kProtocol);
  // The GOAWAY still leaves.
  if (!closed_) connection_->closeAfterFlush(event::Millis(1000), false);
}

void HttpConnection::onHttp1Data(buffer::Buffer& in, bool end) {
  if (active_.empty()) {
    // Unasked bytes would be taken for the next request's answer: such a connection is never used
    // again.
    if (!in.empty()) pool_.cluster().stats().upstream_cx_protocol_error.inc();
    in.clear();
    close(end ? net::CloseReason::kRemoteFin : net::CloseReason::kProtocol);
    return;
  }
  in_ingest_ = true;
  codec::Ingest result = codec_->ingest(in, end, *this);
  in_ingest_ = false;
  if (closed_) return;
  if (result.code == codec::Ingest::kFatal) {
    pool_.cluster().stats().upstream_cx_protocol_error.inc();
    close(net::CloseReason::kProtocol);
    return;
  }
  // The lane is full: grantBody() goes on.
  if (result.code == codec::Ingest::kBlocked) connection_->pauseIngest();
  if (!active_.empty() && active_.front().response_ended_) requestEnded(active_.front());
  if (closed_) return;
  if (active_.empty() && (!codec_->reusable() || !in.empty())) {
    in.clear();
    close(net::CloseReason::kLocal);
    return;
  }
  if (end) {
    // A paused stream still has bytes to read; the connection delivers the end again when they are
    // taken.
    if (result.code == codec::Ingest::kBlocked && !active_.empty()) return;
    close(net::CloseReason::kRemoteFin);
  }
}

size_t HttpConnection::produce(buffer::Buffer& out, size_t room) noexcept {
  return codec_->produce(out, room);
}

void HttpConnection::onFlushed() noexcept {
  if (http2_ != nullptr) {
    http2_->forEachSent(connection_->pendingOutput() == 0, [](codec::Stream& stream) {
      static_cast<UpstreamRequest&>(stream).onSendRoom();
    });
    // nghttp2 ended the session on its own account; its GOAWAY is out by now.
    if (!closed_ && http2_->failed()) failHttp2();
  } else if (!active_.empty()) {
    active_.front().onSendRoom();
  }
}

void HttpConnection::requestEnded(UpstreamRequest& request) {
  bool complete = request.request_sent_;
  codec_->detach(request);
  release(request);
  // An answer before the request is complete: what is left of the request can never be sent, so an
  // HTTP/1 connection goes; HTTP/2 has reset the stream.
  if (!complete && http2_ == nullptr) {
    close(net::CloseReason::kLocal);
    return;
  }
  if (http2_ != nullptr) markDirty();
  const ClusterSettings& settings = pool_.cluster().settings();
  if (settings.max_requests_per_connection != 0 &&
      served_ >= settings.max_requests_per_connection && !draining_) {
    pool_.cluster().stats().upstream_cx_max_requests.inc();
    draining_ = true;
  }
  if (draining_ || !codec_->reusable() || connection_->rdhupSeen()) {
    drain(net::CloseReason::kLocal);
    return;
  }
  pool_.onRoom(*this);
}

void HttpConnection::release(UpstreamRequest& request) {
  request.unlink();
  request.connection_ = nullptr;
  --active_count_;
  pool_.cluster().stats().upstream_rq_active.add(-1);
  pool_.host().stats.rq_active.add(-1);
  pool_.cluster().requests.give(pool_.worker());
  if (active_.empty() && keepalive_ != nullptr) keepalive_->onIdle();
}

void HttpConnection::resetByUser(UpstreamRequest& request) {
  bool complete = request.response_ended_ && request.request_sent_;
  if (complete && in_ingest_) return;  // onHttp1Data() will release it
  if (http2_ == nullptr) {
    release(request);
    close(net::CloseReason::kLocal);
    return;
  }
  if (complete) {
    codec_->detach(request);
  } else {
    pool_.cluster().stats().upstream_rq_tx_reset.inc();
    codec_->abort(request, codec::Abort::kCancel);
  }
  release(request);
  markDirty();
  if (draining_) {
    drain(net::CloseReason::kLocal);
  } else {
    pool_.onRoom(*this);
  }
}

void HttpConnection::resetAll(codec::Abort why) {
  while (!active_.empty()) {
    UpstreamRequest& request = active_.front();
    bool ended = request.response_ended_;
    if (http2_ != nullptr) codec_->detach(request);
    release(request);
    if (!ended) request.onReset(why, {});
  }
}

void HttpConnection::onClosed(net::CloseReason why, int) noexcept {
  closed_ = true;
  timer_.cancel();
  if (keepalive_ != nullptr) keepalive_->stop();
  leaveList();
  ClusterStats& stats = pool_.cluster().stats();
  stats.upstream_cx_active.add(-1);
  pool_.host().stats.cx_active.add(-1);
  pool_.cluster().connections.give(pool_.worker());
  stats.upstream_cx_destroy.inc();
  bool remote = why == net::CloseReason::kRemoteFin || why == net::CloseReason::kReset;
  (remote ? stats.upstream_cx_destroy_remote : stats.upstream_cx_destroy_local).inc();
  if (connected_) stats.upstream_cx_length_ms.record(millisSince(started_));
  stats.upstream_cx_rx_bytes_total.add(connection_->bytesIn());
  stats.upstream_cx_tx_bytes_total.add(connection_->bytesOut());
  if (!active_.empty()) {
    stats.upstream_cx_destroy_with_active_rq.inc();
    (remote ? stats.upstream_cx_destroy_remote_with_active_rq
            : stats.upstream_cx_destroy_local_with_active_rq)
        .inc();
    resetAll(why == net::CloseReason::kReset      ? codec::Abort::kConnectionReset
             : why == net::CloseReason::kProtocol ? codec::Abort::kProtocol
                                                  : codec::Abort::kConnectionLost);
  }
  bool was_connecting = !connected_;
  if (was_connecting) {
    stats.upstream_cx_connect_fail.inc();
    pool_.host().stats.cx_connect_fail.inc();
    --pool_.connecting_;
  }
  event::Worker::current().bury(*this);
  pool_.onGone(*this, was_connecting,
               connect_timed_out_ ? PoolFailure::kConnectTimeout : PoolFailure::kConnectFailed,
               connect_timed_out_ ? "" : connection_->connectError());
}

namespace {

UpstreamRequest& requestOf(codec::Stream& stream) { return static_cast<UpstreamRequest&>(stream); }

}  // namespace

http::ResponseHead* HttpConnection::responseHead(codec::Stream& stream) noexcept {
  return requestOf(stream).newResponseHead();
}

void HttpConnection::onInterim(codec::Stream& stream, http::ResponseHead& head) noexcept {
  requestOf(stream).onInterim(head);
}

void HttpConnection::onResponseHead(codec::Stream& stream, http::ResponseHead& head,
                                    bool end) noexcept {
  UpstreamRequest& request = requestOf(stream);
  if (!head.keep_alive) pool_.cluster().stats().upstream_cx_close_notify.inc();
  request.response_ended_ = end;
  request.onHead(head, end);
  if (end && http2_ != nullptr && request.connection_ == this) requestEnded(request);
}

void HttpConnection::onBody(codec::Stream& stream, buffer::Buffer& in, bool end) noexcept {
  UpstreamRequest& request = requestOf(stream);
  // An HTTP/1 codec goes on reading after the user has left.
  if (active_.empty()) {
    in.clear();
    return;
  }
  request.response_ended_ = end;
  request.onBody(in, end);
  if (end && http2_ != nullptr && request.connection_ == this) requestEnded(request);
}

void HttpConnection::onTrailers(codec::Stream& stream, http::HeaderMap& trailers) noexcept {
  if (active_.empty()) return;
  UpstreamRequest& request = requestOf(stream);
  request.response_ended_ = true;
  request.onTrailers(trailers);
  if (http2_ != nullptr && request.connection_ == this) requestEnded(request);
}

void HttpConnection::onAbort(codec::Stream& stream, codec::Abort why,
                             codec::CodecError error) noexcept {
  if (active_.empty()) return;
  UpstreamRequest& request = requestOf(stream);
  bool ended = request.response_ended_;
  release(request);
  ClusterStats& stats = pool_.cluster().stats();
  if (why == codec::Abort::kPeerReset) stats.upstream_rq_rx_reset.inc();
  if (why == codec::Abort::kProtocol && http2_ == nullptr) stats.upstream_cx_protocol_error.inc();
  if (!ended) request.onReset(why, error);
  if (http2_ == nullptr) {
    close(net::CloseReason::kProtocol);
  } else if (draining_) {
    drain(net::CloseReason::kLocal);
  } else {
    pool_.onRoom(*this);
  }
}

void HttpConnection::onGoAway(uint64_t, uint32_t) noexcept {
  if (draining_) return;
  pool_.cluster().stats().upstream_cx_close_notify.inc();
  drain(net::CloseReason::kLocal);
}

void HttpConnection::onLimits(uint32_t max_streams) noexcept {
  if (http2_ == nullptr) return;
  capacity_ = std::min(pool_.cluster().settings().http2->max_concurrent_streams, max_streams);
  if (connected_ && !draining_) pool_.onRoom(*this);
}

void HttpConnection::armIdleTimer() {
  auto idle = pool_.cluster().settings().idle_timeout;
  if (idle.count() == 0) return;
  timer_.arm(
      idle,
      [](void* self) noexcept {
        auto* connection = static_cast<HttpConnection*>(self);
        connection->pool_.cluster().stats().upstream_cx_idle_timeout.inc();
        connection->close(net::CloseReason::kIdle);
      },
      this);
}

HostPool::HostPool(Cluster& cluster, Host& host, uint32_t worker)
    : cluster_(cluster),
      host_(host),
      worker_(worker),
      capacity_(cluster.settings().http2 ? cluster.settings().http2->max_concurrent_streams : 1) {}

HostPool::~HostPool() = default;

void HostPool::start(UpstreamRequest& request) {
  ClusterStats& stats = cluster_.stats();
  if (!cluster_.requests.take(worker_)) {
    stats.upstream_rq_active_overflow.inc();
    request.onPoolFailure(PoolFailure::kOverflow, "");
    return;
  }
  while (!available_.empty()) {
    HttpConnection& connection = available_.back();
    if (connection.connection().rdhupSeen() || !connection.hasRoom()) {
      connection.drain(net::CloseReason::kRemoteFin);
      continue;
    }
    connection.attach(request);
    if (!connection.hasRoom()) place(connection);
    return;
  }
  if (!cluster_.pending.take(worker_)) {
    cluster_.requests.give(worker_);
    stats.upstream_rq_pending_overflow.inc();
    request.onPoolFailure(PoolFailure::kOverflow, "");
    return;
  }
  stats.upstream_rq_pending_total.inc();
  stats.upstream_rq_pending_active.add(1);
  request.pool_ = this;
  waiting_.pushBack(request);
  ++waiting_count_;
  if (wantsConnection()) connectOne();
}

void HostPool::leave(UpstreamRequest& request) {
  request.unlink();
  request.pool_ = nullptr;
  --waiting_count_;
  cluster_.stats().upstream_rq_pending_active.add(-1);
  cluster_.stats().upstream_rq_cancelled.inc();
  cluster_.pending.give(worker_);
  cluster_.requests.give(worker_);
}

void HostPool::connectOne() {
  if (!cluster_.connections.take(worker_)) {
    cluster_.stats().upstream_cx_overflow.inc();
    // As long as some connection exists a waiter is served when it frees; with none at all one is
    // opened beyond the limit, or the waiter would starve behind other workers' connections (as
    // Envoy does).
    if (connecting_ != 0 || !busy_.empty()) return;
    cluster_.connections.takeBeyond(worker_);
  }
  ++connecting_;
  auto* connection = new HttpConnection(*this, host_.address);
  busy_.pushBack(*connection);
}

bool HostPool::attachWaiting(HttpConnection& connection) {
  if (waiting_.empty()) return false;
  UpstreamRequest& request = waiting_.popFront();
  --waiting_count_;
  cluster_.stats().upstream_rq_pending_active.add(-1);
  cluster_.pending.give(worker_);
  request.pool_ = nullptr;
  connection.attach(request);
  return true;
}

void HostPool::place(HttpConnection& connection) {
  connection.leaveList();
  (connection.hasRoom() ? available_ : busy_).pushBack(connection);
}

void HostPool::onRoom(HttpConnection& connection) {
  while (connection.hasRoom() && attachWaiting(connection)) {
  }
  if (connection.closed_) return;
  place(connection);
  if (!connection.idle()) return;
  if (draining_) {
    connection.close(net::CloseReason::kDrain);
  } else {
    connection.armIdleTimer();
  }
}

void HostPool::onGone(HttpConnection&, bool while_connecting, PoolFailure why,
                      std::string_view reason) {
  if (while_connecting) {
    // As Envoy: a failed connect fails everything that waits for this host.
    base::IntrusiveList<UpstreamRequest, WaitTag> failed;
    failed.splice(waiting_);
    while (!failed.empty()) {
      UpstreamRequest& request = failed.popFront();
      --waiting_count_;
      cluster_.stats().upstream_rq_pending_active.add(-1);
      cluster_.stats().upstream_rq_pending_failure_eject.inc();
      cluster_.pending.give(worker_);
      cluster_.requests.give(worker_);
      request.pool_ = nullptr;
      request.host_ = &host_;
      request.onPoolFailure(why, reason);
    }
    return;
  }
  if (wantsConnection()) connectOne();
}

void HostPool::drain() {
  draining_ = true;
  HttpConnection* connection = available_.first();
  while (connection != nullptr) {
    HttpConnection* next = available_.next(*connection);
    if (connection->idle()) connection->close(net::CloseReason::kDrain);
    connection = next;
  }
}

}  // namespace gatehouse::upstream
