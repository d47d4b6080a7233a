#include "source/upstream/pool.h"

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
    : pool_(pool),
      codec_(pool.cluster().settings().http1),
      started_(event::Worker::current().now()) {
  ClusterStats& stats = pool.cluster().stats();
  stats.upstream_cx_total.inc();
  stats.upstream_cx_http1_total.inc();
  stats.upstream_cx_active.add(1);
  pool.host().stats.cx_total.inc();
  pool.host().stats.cx_active.add(1);
  connection_ = net::Connection::connect(remote, *this);
  timer_.arm(
      pool.cluster().settings().connect_timeout,
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
  GATEHOUSE_ASSERT(active_ == nullptr && connected_ && !closed_);
  timer_.cancel();
  active_ = &request;
  request.connection_ = this;
  request.pool_ = nullptr;
  request.host_ = &pool_.host();
  request.request_sent_ = request.response_ended_ = false;
  ++served_;
  ClusterStats& stats = pool_.cluster().stats();
  stats.upstream_rq_total.inc();
  stats.upstream_rq_active.add(1);
  pool_.host().stats.rq_total.inc();
  pool_.host().stats.rq_active.add(1);
  request.onPoolReady();
}

void HttpConnection::markDirty() { connection_->markDirty(); }

void HttpConnection::close(net::CloseReason why) {
  if (!closed_) connection_->close(why);
}

void HttpConnection::onConnected() noexcept {
  connected_ = true;
  local_ = connection_->local();
  timer_.cancel();
  pool_.cluster().stats().upstream_cx_connect_ms.record(millisSince(started_));
  --pool_.connecting_;
  pool_.onIdle(*this);
}

void HttpConnection::onData(buffer::Buffer& in, bool end) noexcept {
  if (active_ == nullptr) {
    // Unasked bytes would be taken for the next request's answer: such a connection is never used
    // again.
    if (!in.empty()) pool_.cluster().stats().upstream_cx_protocol_error.inc();
    in.clear();
    close(end ? net::CloseReason::kRemoteFin : net::CloseReason::kProtocol);
    return;
  }
  in_ingest_ = true;
  codec::Ingest result = codec_.ingest(in, end, *this);
  in_ingest_ = false;
  if (closed_) return;
  if (result.code == codec::Ingest::kFatal) {
    pool_.cluster().stats().upstream_cx_protocol_error.inc();
    close(net::CloseReason::kProtocol);
    return;
  }
  // The lane is full: grantBody() goes on.
  if (result.code == codec::Ingest::kBlocked) connection_->pauseIngest();
  if (active_ != nullptr && active_->response_ended_) requestEnded();
  if (closed_) return;
  if (active_ == nullptr && (!codec_.reusable() || !in.empty())) {
    in.clear();
    close(net::CloseReason::kLocal);
    return;
  }
  if (end) {
    // A paused stream still has bytes to read; the connection delivers the end again when they are
    // taken.
    if (result.code == codec::Ingest::kBlocked && active_ != nullptr) return;
    close(net::CloseReason::kRemoteFin);
  }
}

size_t HttpConnection::produce(buffer::Buffer& out, size_t room) noexcept {
  return codec_.produce(out, room);
}

void HttpConnection::onFlushed() noexcept {
  if (active_ != nullptr) active_->onSendRoom();
}

void HttpConnection::requestEnded() {
  // An answer before the request is complete: what is left of the request can never be sent, so the
  // connection goes.
  if (!active_->request_sent_) {
    releaseActive();
    close(net::CloseReason::kLocal);
    return;
  }
  releaseActive();
  const ClusterSettings& settings = pool_.cluster().settings();
  if (settings.max_requests_per_connection != 0 &&
      served_ >= settings.max_requests_per_connection) {
    pool_.cluster().stats().upstream_cx_max_requests.inc();
    close(net::CloseReason::kLocal);
    return;
  }
  if (!codec_.reusable() || connection_->rdhupSeen()) {
    close(net::CloseReason::kLocal);
    return;
  }
  pool_.onIdle(*this);
}

void HttpConnection::releaseActive() {
  active_->connection_ = nullptr;
  active_ = nullptr;
  pool_.cluster().stats().upstream_rq_active.add(-1);
  pool_.host().stats.rq_active.add(-1);
  pool_.cluster().requests.give(pool_.worker());
}

void HttpConnection::resetByUser(UpstreamRequest& request) {
  GATEHOUSE_ASSERT(active_ == &request);
  bool complete = request.response_ended_ && request.request_sent_;
  if (complete && in_ingest_) return;  // onData() will release it
  releaseActive();
  close(net::CloseReason::kLocal);
}

void HttpConnection::onClosed(net::CloseReason why, int) noexcept {
  closed_ = true;
  timer_.cancel();
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
  if (active_ != nullptr) {
    stats.upstream_cx_destroy_with_active_rq.inc();
    (remote ? stats.upstream_cx_destroy_remote_with_active_rq
            : stats.upstream_cx_destroy_local_with_active_rq)
        .inc();
    UpstreamRequest& request = *active_;
    bool ended = request.response_ended_;
    releaseActive();
    if (!ended) {
      request.onReset(why == net::CloseReason::kReset      ? codec::Abort::kConnectionReset
                      : why == net::CloseReason::kProtocol ? codec::Abort::kProtocol
                                                           : codec::Abort::kConnectionLost,
                      {});
    }
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

http::ResponseHead* HttpConnection::responseHead(codec::Stream&) noexcept {
  return active_->newResponseHead();
}

void HttpConnection::onInterim(codec::Stream&, http::ResponseHead& head) noexcept {
  active_->onInterim(head);
}

void HttpConnection::onResponseHead(codec::Stream&, http::ResponseHead& head, bool end) noexcept {
  active_->response_ended_ = end;
  active_->onHead(head, end);
}

void HttpConnection::onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept {
  if (active_ == nullptr) {
    in.clear();
    return;
  }
  active_->response_ended_ = end;
  active_->onBody(in, end);
}

void HttpConnection::onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept {
  if (active_ == nullptr) return;
  active_->response_ended_ = true;
  active_->onTrailers(trailers);
}

void HttpConnection::onAbort(codec::Stream&, codec::Abort why, codec::CodecError error) noexcept {
  if (active_ == nullptr) return;
  UpstreamRequest& request = *active_;
  releaseActive();
  if (why == codec::Abort::kProtocol) pool_.cluster().stats().upstream_cx_protocol_error.inc();
  request.onReset(why, error);
  close(net::CloseReason::kProtocol);
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
    : cluster_(cluster), host_(host), worker_(worker) {}

HostPool::~HostPool() = default;

void HostPool::start(UpstreamRequest& request) {
  ClusterStats& stats = cluster_.stats();
  if (!cluster_.requests.take(worker_)) {
    stats.upstream_rq_active_overflow.inc();
    request.onPoolFailure(PoolFailure::kOverflow, "");
    return;
  }
  while (!idle_.empty()) {
    HttpConnection& connection = idle_.back();
    connection.leaveList();
    if (connection.connection().rdhupSeen()) {
      connection.close(net::CloseReason::kRemoteFin);
      continue;
    }
    busy_.pushBack(connection);
    connection.attach(request);
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
  if (connecting_ < waiting_count_) connectOne();
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

void HostPool::onIdle(HttpConnection& connection) {
  connection.leaveList();
  busy_.pushBack(connection);
  if (attachWaiting(connection)) return;
  if (draining_) {
    connection.close(net::CloseReason::kDrain);
    return;
  }
  connection.leaveList();
  idle_.pushBack(connection);
  connection.armIdleTimer();
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
  if (waiting_count_ > connecting_) connectOne();
}

void HostPool::drain() {
  draining_ = true;
  while (!idle_.empty()) idle_.front().close(net::CloseReason::kDrain);
}

}  // namespace gatehouse::upstream
