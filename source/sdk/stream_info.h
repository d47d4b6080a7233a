#pragma once

#include <cstdint>
#include <string_view>

#include "source/event/timer_wheel.h"
#include "source/http/head.h"
#include "source/net/address.h"

namespace gatehouse::sdk {

// Why a stream did not go the ordinary way; a set. Short names are those of Envoy's access log
// (%RESPONSE_FLAGS%).
enum class ResponseFlag : uint8_t {
  kFailedLocalHealthCheck,            // LH
  kNoHealthyUpstream,                 // UH
  kUpstreamRequestTimeout,            // UT
  kLocalReset,                        // LR
  kUpstreamRemoteReset,               // UR
  kUpstreamConnectionFailure,         // UF
  kUpstreamConnectionTermination,     // UC
  kUpstreamOverflow,                  // UO
  kNoRouteFound,                      // NR
  kDelayInjected,                     // DI
  kFaultInjected,                     // FI
  kRateLimited,                       // RL
  kUnauthorizedExternalService,       // UAEX
  kRateLimitServiceError,             // RLSE
  kDownstreamConnectionTermination,   // DC
  kUpstreamRetryLimitExceeded,        // URX
  kStreamIdleTimeout,                 // SI
  kInvalidEnvoyRequestHeaders,        // IH
  kDownstreamProtocolError,           // DPE
  kUpstreamProtocolError,             // UPE
  kUpstreamMaxStreamDurationReached,  // UMSDR
  kResponseFromCacheFilter,           // RFCF
  kNoFilterConfigFound,               // NFCF
  kDurationTimeout,                   // DT
  kNoClusterFound,                    // NC
  kOverloadManagerTerminated,         // OM
  kDnsResolutionFailed,               // DF
  kDropOverload,                      // DO
  kDownstreamRemoteReset,             // DR
  kUnconditionalDropOverload,         // UDO
  kCount
};

// Facts of one connection from a client; lives as long as the connection and longer than its
// streams.
struct ConnectionInfo {
  net::Address remote;  // the peer of the socket
  net::Address local;
  uint64_t id = 0;
};

// What access logs, header formatters and statistics know of a stream. Written by the connection
// manager, the engine and the router on the stream's worker; views are arena memory, static, or
// parts pinned by the stream. Times are the worker's turn time (no clock call); a default time
// point means "did not happen".
struct StreamInfo {
  const ConnectionInfo* connection = nullptr;
  net::Address downstream_remote;  // after x-forwarded-for processing
  int64_t start_wall_micros = 0;
  event::MonoTime start{};
  event::MonoTime request_end{};
  event::MonoTime upstream_first_sent{};
  event::MonoTime upstream_last_sent{};
  event::MonoTime upstream_first_received{};
  event::MonoTime upstream_last_received{};
  event::MonoTime response_first_sent{};
  event::MonoTime end{};
  uint64_t request_body_bytes = 0;
  uint64_t response_body_bytes = 0;
  uint64_t request_header_bytes = 0;
  uint64_t response_header_bytes = 0;
  uint64_t flags = 0;       // bit per ResponseFlag
  uint64_t flag_order = 0;  // the first eight as they were set, a byte each (flag + 1)
  uint16_t response_code = 0;
  uint16_t attempts = 0;
  http::Version version = http::Version::kHttp11;
  http::Version upstream_version = http::Version::kHttp11;
  bool upstream_known = false;
  std::string_view details;  // response code details
  std::string_view connection_termination_details;
  std::string_view upstream_failure;  // transport failure reason
  std::string_view route_name;
  std::string_view virtual_host_name;
  std::string_view cluster_name;
  std::string_view upstream_hostname;
  net::Address upstream_remote;
  net::Address upstream_local;
  std::string_view original_path;  // before rewriting, empty if not rewritten

  void setFlag(ResponseFlag flag) {
    if (hasFlag(flag)) return;
    flags |= uint64_t{1} << static_cast<int>(flag);
    int at = 0;
    while (at < 64 && (flag_order >> at & 0xff) != 0) at += 8;
    if (at < 64) flag_order |= (uint64_t{static_cast<uint8_t>(flag)} + 1) << at;
  }
  bool hasFlag(ResponseFlag flag) const { return (flags >> static_cast<int>(flag)) & 1; }
};

}  // namespace gatehouse::sdk
