#include "source/proxy/http_connection.h"

#include "source/proxy/http1_connection.h"
#include "source/proxy/http2_connection.h"

namespace gatehouse::proxy {

namespace {

using WorkerConnections = base::IntrusiveList<HttpConnection, WorkerConnectionsTag>;

WorkerConnections& workerConnections() {
  static thread_local WorkerConnections connections;
  return connections;
}

}  // namespace

HttpConnection::HttpConnection(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
                               const sdk::ConnectionInfo& info, event::MonoTime opened)
    : config_(std::move(config)), connection_(&connection), info_(info), opened_(opened) {
  connection.setUser(*this);
  workerConnections().pushBack(*this);
}

void HttpConnection::drainAll(const HcmConfig& config) {
  WorkerConnections& all = workerConnections();
  for (HttpConnection* one = all.first(); one != nullptr; one = all.next(*one)) {
    if (one->config_.get() == &config) one->drainIdle();
  }
}

void HttpConnection::closeAll(const HcmConfig& config) {
  WorkerConnections& all = workerConnections();
  HttpConnection* next = nullptr;
  for (HttpConnection* one = all.first(); one != nullptr; one = next) {
    next = all.next(*one);
    if (one->config_.get() == &config) one->connection_->close(net::CloseReason::kDrain);
  }
}

void HttpConnection::armTimer(event::Millis delay) {
  if (delay.count() == 0) {
    timer_.cancel();
    return;
  }
  timer_.arm(
      delay, [](void* self) noexcept { static_cast<HttpConnection*>(self)->onTimer(); }, this);
}

void HttpConnection::countClosed(net::CloseReason why) {
  base::ListLink<WorkerConnectionsTag>::unlink();
  HcmStats& stats = *config_->stats;
  stats.cx_destroy.inc();
  (why == net::CloseReason::kRemoteFin || why == net::CloseReason::kReset ? stats.cx_destroy_remote
                                                                          : stats.cx_destroy_local)
      .inc();
  stats.cx_active.add(-1);
  stats.cx_rx_bytes.add(connection_->bytesIn());
  stats.cx_tx_bytes.add(connection_->bytesOut());
  auto lived = event::Worker::current().now() - opened_;
  stats.cx_length_ms.record(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(lived).count()));
}

void serveHttp(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
               const sdk::ConnectionInfo& info) {
  config->stats->cx_total.inc();
  config->stats->cx_active.add(1);
  event::MonoTime now = event::Worker::current().now();
  if (config->codec == CodecType::kHttp2) {
    new Http2Connection(std::move(config), connection, info, now);
  } else {
    new Http1Connection(std::move(config), connection, info, now);
  }
}

}  // namespace gatehouse::proxy
