#include "source/upstream/cluster.h"

#include <algorithm>
#include <utility>

namespace gatehouse::upstream {

ClusterStats::ClusterStats(stats::Scope& s)
    : upstream_cx_total(s.counter("upstream_cx_total")),
      upstream_cx_http1_total(s.counter("upstream_cx_http1_total")),
      upstream_cx_http2_total(s.counter("upstream_cx_http2_total")),
      upstream_cx_close_notify(s.counter("upstream_cx_close_notify")),
      upstream_cx_connect_fail(s.counter("upstream_cx_connect_fail")),
      upstream_cx_connect_timeout(s.counter("upstream_cx_connect_timeout")),
      upstream_cx_destroy(s.counter("upstream_cx_destroy")),
      upstream_cx_destroy_local(s.counter("upstream_cx_destroy_local")),
      upstream_cx_destroy_remote(s.counter("upstream_cx_destroy_remote")),
      upstream_cx_destroy_with_active_rq(s.counter("upstream_cx_destroy_with_active_rq")),
      upstream_cx_destroy_local_with_active_rq(
          s.counter("upstream_cx_destroy_local_with_active_rq")),
      upstream_cx_destroy_remote_with_active_rq(
          s.counter("upstream_cx_destroy_remote_with_active_rq")),
      upstream_cx_overflow(s.counter("upstream_cx_overflow")),
      upstream_cx_protocol_error(s.counter("upstream_cx_protocol_error")),
      upstream_cx_rx_bytes_total(s.counter("upstream_cx_rx_bytes_total")),
      upstream_cx_tx_bytes_total(s.counter("upstream_cx_tx_bytes_total")),
      upstream_cx_max_requests(s.counter("upstream_cx_max_requests")),
      upstream_cx_idle_timeout(s.counter("upstream_cx_idle_timeout")),
      upstream_cx_none_healthy(s.counter("upstream_cx_none_healthy")),
      upstream_cx_active(s.gauge("upstream_cx_active")),
      upstream_rq_total(s.counter("upstream_rq_total")),
      upstream_rq_pending_total(s.counter("upstream_rq_pending_total")),
      upstream_rq_pending_overflow(s.counter("upstream_rq_pending_overflow")),
      upstream_rq_active_overflow(s.counter("upstream_rq_active_overflow")),
      upstream_rq_pending_failure_eject(s.counter("upstream_rq_pending_failure_eject")),
      upstream_rq_cancelled(s.counter("upstream_rq_cancelled")),
      upstream_rq_retry(s.counter("upstream_rq_retry")),
      upstream_rq_retry_success(s.counter("upstream_rq_retry_success")),
      upstream_rq_retry_overflow(s.counter("upstream_rq_retry_overflow")),
      upstream_rq_retry_limit_exceeded(s.counter("upstream_rq_retry_limit_exceeded")),
      upstream_rq_retry_backoff_exponential(s.counter("upstream_rq_retry_backoff_exponential")),
      upstream_rq_retry_backoff_ratelimited(s.counter("upstream_rq_retry_backoff_ratelimited")),
      upstream_rq_per_try_timeout(s.counter("upstream_rq_per_try_timeout")),
      upstream_rq_timeout(s.counter("upstream_rq_timeout")),
      upstream_rq_rx_reset(s.counter("upstream_rq_rx_reset")),
      upstream_rq_tx_reset(s.counter("upstream_rq_tx_reset")),
      upstream_rq_completed(s.counter("upstream_rq_completed")),
      upstream_rq_1xx(s.counter("upstream_rq_1xx")),
      upstream_rq_2xx(s.counter("upstream_rq_2xx")),
      upstream_rq_3xx(s.counter("upstream_rq_3xx")),
      upstream_rq_4xx(s.counter("upstream_rq_4xx")),
      upstream_rq_5xx(s.counter("upstream_rq_5xx")),
      upstream_rq_active(s.gauge("upstream_rq_active")),
      upstream_rq_pending_active(s.gauge("upstream_rq_pending_active")),
      membership_total(s.gauge("membership_total")),
      membership_healthy(s.gauge("membership_healthy")),
      upstream_rq_time(s.histogram("upstream_rq_time")),
      upstream_cx_connect_ms(s.histogram("upstream_cx_connect_ms")),
      upstream_cx_length_ms(s.histogram("upstream_cx_length_ms")) {}

Cluster::Cluster(ClusterSettings settings, std::vector<std::unique_ptr<Host>> hosts,
                 stats::StatsStore& store, uint32_t workers)
    : connections(settings.max_connections, workers),
      pending(settings.max_pending_requests, workers),
      requests(settings.max_requests, workers),
      retries_(settings.max_retries, workers),
      settings_(std::move(settings)),
      hosts_(std::move(hosts)),
      scope_(store.scope("cluster." + settings_.stat_name + ".")),
      stats_(*scope_) {
  if (settings_.http2) {
    http2_scope_ = store.scope(scope_->prefix() + "http2.");
    http2_stats_ = std::make_unique<codec::h2::Stats>(*http2_scope_);
    settings_.http2->stats = http2_stats_.get();
  }
  stats_.membership_total.set(static_cast<int64_t>(hosts_.size()));
  stats_.membership_healthy.set(static_cast<int64_t>(hosts_.size()));
  codes_.reserve(500);
  for (int code = 100; code < 600; ++code) {
    codes_.push_back(scope_->counter("upstream_rq_" + std::to_string(code)));
    retried_codes_.push_back(scope_->counter("retry.upstream_rq_" + std::to_string(code)));
  }
  for (int i = 1; i <= 5; ++i)
    retried_codes_.push_back(scope_->counter("retry.upstream_rq_" + std::to_string(i) + "xx"));
  retried_codes_.push_back(scope_->counter("retry.upstream_rq_completed"));
}

bool Cluster::beginRetry(uint32_t worker) {
  if (!settings_.retry_budget_percent) return retries_.take(worker);
  // Rare enough for a sum over all workers.
  auto active = static_cast<double>(stats::StatsStore::read(stats_.upstream_rq_active) +
                                    stats::StatsStore::read(stats_.upstream_rq_pending_active));
  auto allowed =
      std::max<int64_t>(settings_.min_retry_concurrency,
                        static_cast<int64_t>(active * *settings_.retry_budget_percent / 100.0));
  if (budgeted_retries_.fetch_add(1, std::memory_order_relaxed) < allowed) return true;
  budgeted_retries_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void Cluster::endRetry(uint32_t worker) {
  if (settings_.retry_budget_percent) {
    budgeted_retries_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    retries_.give(worker);
  }
}

void Cluster::countRetriedCode(uint16_t code) {
  if (code < 100 || code > 599) return;
  retried_codes_[code - 100].inc();
  retried_codes_[500 + code / 100 - 1].inc();
  retried_codes_[505].inc();
}

void Cluster::countCode(uint16_t code) {
  if (code < 100 || code > 599) return;
  codes_[code - 100].inc();
  stats_.upstream_rq_completed.inc();
  switch (code / 100) {
    case 1:
      stats_.upstream_rq_1xx.inc();
      break;
    case 2:
      stats_.upstream_rq_2xx.inc();
      break;
    case 3:
      stats_.upstream_rq_3xx.inc();
      break;
    case 4:
      stats_.upstream_rq_4xx.inc();
      break;
    default:
      stats_.upstream_rq_5xx.inc();
  }
}

}  // namespace gatehouse::upstream
