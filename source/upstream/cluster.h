#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/codec/h1/client_codec.h"
#include "source/codec/h2/options.h"
#include "source/net/address.h"
#include "source/stats/stats.h"
#include "source/upstream/process_limit.h"

namespace gatehouse::upstream {

// Statistics of one endpoint as /clusters shows them.
struct HostStats {
  stats::Counter cx_total;
  stats::Counter cx_connect_fail;
  stats::Gauge cx_active;
  stats::Counter rq_total;
  stats::Counter rq_success;
  stats::Counter rq_error;
  stats::Counter rq_timeout;
  stats::Gauge rq_active;
};

// One endpoint. Immutable but for its statistics; lives as long as its cluster.
struct Host {
  net::Address address;
  std::string address_text;
  std::string hostname;
  uint32_t weight = 1;
  uint32_t index = 0;  // in the cluster's host list
  std::string region, zone, sub_zone;
  HostStats stats;
};

// cluster.<name>.* with Envoy's names. rq_rx_reset and rq_tx_reset count HTTP/2 resets: zero for
// HTTP/1, as in Envoy.
struct ClusterStats {
  explicit ClusterStats(stats::Scope& scope);

  stats::Counter upstream_cx_total, upstream_cx_http1_total, upstream_cx_http2_total,
      upstream_cx_close_notify, upstream_cx_connect_fail, upstream_cx_connect_timeout,
      upstream_cx_destroy, upstream_cx_destroy_local, upstream_cx_destroy_remote,
      upstream_cx_destroy_with_active_rq, upstream_cx_destroy_local_with_active_rq,
      upstream_cx_destroy_remote_with_active_rq, upstream_cx_overflow, upstream_cx_protocol_error,
      upstream_cx_rx_bytes_total, upstream_cx_tx_bytes_total, upstream_cx_max_requests,
      upstream_cx_idle_timeout, upstream_cx_none_healthy;
  stats::Gauge upstream_cx_active;
  stats::Counter upstream_rq_total, upstream_rq_pending_total, upstream_rq_pending_overflow,
      upstream_rq_active_overflow, upstream_rq_pending_failure_eject, upstream_rq_cancelled,
      upstream_rq_retry, upstream_rq_retry_success, upstream_rq_retry_overflow,
      upstream_rq_retry_limit_exceeded, upstream_rq_retry_backoff_exponential,
      upstream_rq_retry_backoff_ratelimited, upstream_rq_per_try_timeout, upstream_rq_timeout,
      upstream_rq_rx_reset, upstream_rq_tx_reset, upstream_rq_completed, upstream_rq_1xx,
      upstream_rq_2xx, upstream_rq_3xx, upstream_rq_4xx, upstream_rq_5xx;
  stats::Gauge upstream_rq_active, upstream_rq_pending_active, membership_total, membership_healthy;
  stats::Histogram upstream_rq_time, upstream_cx_connect_ms, upstream_cx_length_ms;
};

// What a cluster was configured with; immutable.
struct ClusterSettings {
  std::string name;
  std::string stat_name;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds idle_timeout{3'600'000};  // zero: none
  std::chrono::milliseconds max_connection_duration{0};
  uint32_t buffer_limit = 1024 * 1024;       // of each direction of a stream, bytes
  uint32_t max_requests_per_connection = 0;  // zero: no limit
  uint64_t max_connections = 1024;
  uint64_t max_pending_requests = 1024;
  uint64_t max_requests = 1024;
  uint64_t max_retries = 3;
  // Set: instead of max_retries so many percent of the requests under way may be retries, at least
  // min_retry_concurrency.
  std::optional<double> retry_budget_percent;
  uint32_t min_retry_concurrency = 3;
  codec::h1::ClientOptions http1;
  // Set: HTTP/2. The statistics it points to belong to the cluster.
  std::optional<codec::h2::Options> http2;
};

// A cluster's run-time state that all workers see: hosts, limits, statistics. Made on main, shared,
// outlives configuration epochs (contracts 8). Pools and the balancer's position are per worker:
// WorkerCluster.
class Cluster {
 public:
  Cluster(ClusterSettings settings, std::vector<std::unique_ptr<Host>> hosts,
          stats::StatsStore& store, uint32_t workers);

  const ClusterSettings& settings() const { return settings_; }
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }
  ClusterStats& stats() { return stats_; }
  stats::Scope& scope() { return *scope_; }
  // A retry wants to begin; false: the limit or budget is used up. endRetry() gives it back.
  bool beginRetry(uint32_t worker);
  void endRetry(uint32_t worker);
  // Counter retry.upstream_rq_<code> and its class: answers that are tried again.
  void countRetriedCode(uint16_t code);
  // Counter upstream_rq_<code>; made for all codes at load so that a request makes no name.
  // 100..599.
  void countCode(uint16_t code);

  ProcessLimit connections;
  ProcessLimit pending;
  ProcessLimit requests;

 private:
  ProcessLimit retries_;
  std::atomic<int64_t> budgeted_retries_{0};
  ClusterSettings settings_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::shared_ptr<stats::Scope> scope_;
  ClusterStats stats_;
  std::shared_ptr<stats::Scope> http2_scope_;
  std::unique_ptr<codec::h2::Stats> http2_stats_;
  std::vector<stats::Counter> codes_;
  std::vector<stats::Counter> retried_codes_;  // 100..599, then the classes 1xx..5xx
};

}  // namespace gatehouse::upstream
