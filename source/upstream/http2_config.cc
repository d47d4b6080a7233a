#include "source/upstream/http2_config.h"

#include <algorithm>
#include <string>

#include <google/protobuf/duration.pb.h>

#include "api/envoy/config/core/v3/protocol.pb.h"

namespace gatehouse::upstream {

namespace {

uint32_t millis(const google::protobuf::Duration& d) {
  int64_t value = d.seconds() * 1000 + (d.nanos() + 999'999) / 1'000'000;
  return static_cast<uint32_t>(std::clamp<int64_t>(value, 0, UINT32_MAX));
}

// Settings that have a field of their own must not be given a second time.
const char* fieldOfSetting(uint32_t identifier) {
  switch (identifier) {
    case 1:
      return "hpack_table_size";
    case 3:
      return "max_concurrent_streams";
    case 4:
      return "initial_stream_window_size";
    default:
      return nullptr;
  }
}

absl::Status readCustomSettings(const envoy::config::core::v3::Http2ProtocolOptions& config,
                                codec::h2::Options& options) {
  int index = 0;
  for (const auto& parameter : config.custom_settings_parameters()) {
    std::string path = "custom_settings_parameters[" + std::to_string(index++) + "]";
    if (!parameter.has_identifier() || !parameter.has_value())
      return absl::InvalidArgumentError(path + ": identifier and value are required");
    uint32_t identifier = parameter.identifier().value();
    if (const char* field = fieldOfSetting(identifier)) {
      return absl::InvalidArgumentError(path + ".identifier: use the field " + field);
    }
    if (identifier == 2 || identifier == 5 || identifier == 8) {
      return absl::InvalidArgumentError(path + ".identifier: the setting " +
                                        std::to_string(identifier) +
                                        " changes what Gatehouse itself relies on");
    }
    for (const auto& [id, value] : options.custom_settings) {
      if (id == identifier && value != parameter.value().value())
        return absl::InvalidArgumentError(path + ": the setting is given twice with two values");
    }
    options.custom_settings.emplace_back(static_cast<uint16_t>(identifier),
                                         parameter.value().value());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status parseHttp2Options(const envoy::config::core::v3::Http2ProtocolOptions& config,
                               codec::h2::Options& options) {
  auto take = [](uint32_t& to, bool has, const google::protobuf::UInt32Value& value) {
    if (has) to = value.value();
  };
  take(options.hpack_table_size, config.has_hpack_table_size(), config.hpack_table_size());
  take(options.max_concurrent_streams, config.has_max_concurrent_streams(),
       config.max_concurrent_streams());
  take(options.stream_window, config.has_initial_stream_window_size(),
       config.initial_stream_window_size());
  take(options.connection_window, config.has_initial_connection_window_size(),
       config.initial_connection_window_size());
  take(options.max_outbound_frames, config.has_max_outbound_frames(), config.max_outbound_frames());
  take(options.max_outbound_control_frames, config.has_max_outbound_control_frames(),
       config.max_outbound_control_frames());
  take(options.max_empty_frames, config.has_max_consecutive_inbound_frames_with_empty_payload(),
       config.max_consecutive_inbound_frames_with_empty_payload());
  take(options.max_priority_frames_per_stream, config.has_max_inbound_priority_frames_per_stream(),
       config.max_inbound_priority_frames_per_stream());
  take(options.max_window_updates_per_data_frame,
       config.has_max_inbound_window_update_frames_per_data_frame_sent(),
       config.max_inbound_window_update_frames_per_data_frame_sent());
  options.stream_error_on_invalid_message =
      config.has_override_stream_error_on_invalid_http_message()
          ? config.override_stream_error_on_invalid_http_message().value()
          : options.stream_error_on_invalid_message ||
                config.stream_error_on_invalid_http_messaging();
  if (config.has_connection_keepalive()) {
    const auto& keepalive = config.connection_keepalive();
    if (keepalive.has_interval()) options.ping_interval_ms = millis(keepalive.interval());
    options.ping_timeout_ms = millis(keepalive.timeout());
    if (keepalive.has_interval_jitter())
      options.ping_jitter_percent = static_cast<uint32_t>(keepalive.interval_jitter().value());
    if (keepalive.has_connection_idle_interval())
      options.ping_after_idle_ms = millis(keepalive.connection_idle_interval());
  }
  return readCustomSettings(config, options);
}

}  // namespace gatehouse::upstream
