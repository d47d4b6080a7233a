#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "source/chain/http_plan.h"
#include "source/codec/h1/server_codec.h"
#include "source/codec/h2/options.h"
#include "source/event/timer_wheel.h"
#include "source/router/route_table.h"
#include "source/sdk/access_log.h"
#include "source/sdk/lifecycle.h"

namespace gatehouse::proxy {

// downstream_rq_completed and downstream_rq_<n>xx of one scope.
struct ResponseCounters {
  explicit ResponseCounters(stats::Scope& s);
  void count(uint16_t status);
  stats::Counter completed;
  std::array<stats::Counter, 5> classes;
};

// http.<stat_prefix>.* with Envoy's names.
struct HcmStats {
  HcmStats(stats::Scope& s, stats::Scope& listener, stats::Scope& http2);
  stats::Counter cx_total, cx_destroy, cx_http1_total, cx_rx_bytes, cx_tx_bytes, cx_protocol_error,
      cx_idle_timeout, cx_max_requests_reached, cx_destroy_remote, cx_destroy_local, rq_total,
      rq_http1_total, rq_timeout, rq_header_timeout, rq_idle_timeout, rq_rx_reset, rq_too_large,
      rq_ws_on_non_ws_route, no_route, no_cluster, rq_redirect, rq_direct_response, router_rq_total,
      cx_http2_total, rq_http2_total;
  ResponseCounters responses;
  ResponseCounters listener_responses;  // listener.<address>.http.<stat_prefix>.*
  stats::Gauge cx_active, cx_http1_active, cx_http2_active, rq_active;
  codec::h2::Stats http2;  // http2.*, of all connection managers together
  stats::Histogram rq_time, cx_length_ms;
};

enum class CodecType : uint8_t { kAuto, kHttp1, kHttp2 };
enum class ServerHeader : uint8_t { kOverwrite, kAppendIfAbsent, kPassThrough };
enum class EscapedSlashes : uint8_t { kKeep, kReject, kRedirect, kForward };
enum class Underscores : uint8_t { kAllow, kReject, kDrop };

// What an HttpConnectionManager message says; immutable, shared by its connections.
struct HcmConfig {
  chain::HttpPlan plan{{}};
  std::shared_ptr<const router::RouteTable> routes;
  CodecType codec = CodecType::kAuto;
  codec::h1::ServerOptions http1;
  codec::h2::Options http2;
  std::string default_host;  // for HTTP/1.0
  std::string server_name = "gatehouse";
  std::string via;
  ServerHeader server_header = ServerHeader::kOverwrite;
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  Underscores underscores = Underscores::kAllow;
  uint32_t buffer_limit = 1024 * 1024;
  uint32_t max_requests_per_connection = 0;
  uint32_t xff_trusted_hops = 0;
  event::Millis idle_timeout{3'600'000};
  event::Millis stream_idle_timeout{300'000};
  event::Millis request_timeout{0};
  event::Millis request_headers_timeout{0};
  event::Millis delayed_close_timeout{1000};
  event::Millis drain_timeout{5000};
  bool use_remote_address = false;
  bool skip_xff_append = false;
  bool generate_request_id = true;
  bool preserve_request_id = false;
  bool request_id_in_response = false;
  bool proxy_100_continue = false;
  bool normalize_path = false;
  bool merge_slashes = false;
  bool strip_matching_port = false;
  bool strip_any_port = false;
  bool strip_trailing_dot = false;
  bool append_forwarded_port = false;
  const sdk::Lifecycle* lifecycle = nullptr;
  std::shared_ptr<HcmStats> stats;
  std::vector<std::shared_ptr<const sdk::AccessLogger>> access_logs;
};

}  // namespace gatehouse::proxy
