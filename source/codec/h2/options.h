#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "source/stats/stats.h"

namespace gatehouse::codec::h2 {

// http2.* of a listener's side, cluster.<name>.http2.* of an upstream's, with Envoy's names.
struct Stats {
  explicit Stats(stats::Scope& scope);
  stats::Counter rx_reset, tx_reset, rx_messaging_error, header_overflow,
      header_list_size_too_large, trailers, goaway_sent, inbound_empty_frames_flood,
      inbound_priority_frames_flood, inbound_window_update_frames_flood, outbound_flood,
      outbound_control_flood, keepalive_timeout, stream_refused_errors;
  stats::Gauge streams_active;
};

// envoy.config.core.v3.Http2ProtocolOptions with Envoy's defaults; shared by all connections of a
// side.
struct Options {
  uint32_t hpack_table_size = 4096;
  uint32_t max_concurrent_streams = 1024;
  // Bytes. What is advertised for a stream is never more than its lane takes, nor less than 65,535.
  uint32_t stream_window = 16 * 1024 * 1024;
  uint32_t connection_window = 24 * 1024 * 1024;
  uint32_t max_outbound_frames = 10000;
  uint32_t max_outbound_control_frames = 1000;
  uint32_t max_empty_frames = 1;  // in a row, without END_STREAM; 0: no limit
  uint32_t max_priority_frames_per_stream = 100;
  uint32_t max_window_updates_per_data_frame = 10;
  bool stream_error_on_invalid_message = false;
  std::vector<std::pair<uint16_t, uint32_t>> custom_settings;
  // Keepalive; milliseconds, zero: none.
  uint32_t ping_interval_ms = 0;
  uint32_t ping_timeout_ms = 0;
  uint32_t ping_jitter_percent = 15;
  uint32_t ping_after_idle_ms = 0;
  // Of a decoded head or trailer section.
  uint32_t max_head_bytes = 60 * 1024;
  uint32_t max_fields = 100;
  Stats* stats = nullptr;
};

}  // namespace gatehouse::codec::h2
