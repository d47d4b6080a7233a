#include "source/upstream/cluster_config.h"

#include <utility>

#include <google/protobuf/duration.pb.h>

#include "api/envoy/config/cluster/v3/cluster.pb.h"
#include "api/envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "source/upstream/http2_config.h"

namespace gatehouse::upstream {

namespace {

constexpr char kHttpOptions[] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

absl::Status bad(const std::string& path, const std::string& reason) {
  return absl::InvalidArgumentError(path + ": " + reason);
}

std::chrono::milliseconds millis(const google::protobuf::Duration& d) {
  return std::chrono::milliseconds(d.seconds() * 1000 + d.nanos() / 1'000'000);
}

absl::Status parseHttpOptions(const google::protobuf::Any& any, const std::string& path,
                              ClusterSettings& settings) {
  envoy::extensions::upstreams::http::v3::HttpProtocolOptions options;
  if (any.type_url().find(kHttpOptions) == std::string::npos) {
    return bad(path, std::string("the type must be ") + kHttpOptions);
  }
  if (!any.UnpackTo(&options))
    return bad(path, "the bytes are no valid " + std::string(kHttpOptions));
  if (!options.has_explicit_http_config())
    return bad(path + ".explicit_http_config", "the field is required");
  const auto& common = options.common_http_protocol_options();
  if (common.has_idle_timeout()) settings.idle_timeout = millis(common.idle_timeout());
  if (common.has_max_headers_count())
    settings.http1.max_fields = common.max_headers_count().value();
  if (common.has_max_requests_per_connection()) {
    settings.max_requests_per_connection = common.max_requests_per_connection().value();
  }
  if (common.headers_with_underscores_action() != 0) {
    return bad(path + ".common_http_protocol_options.headers_with_underscores_action",
               "has no effect on upstream connections");
  }
  if (options.explicit_http_config().has_http2_protocol_options()) {
    settings.http2.emplace();
    settings.http2->max_fields = settings.http1.max_fields;
    settings.http2->max_head_bytes = settings.http1.max_head_bytes;
    absl::Status status =
        parseHttp2Options(options.explicit_http_config().http2_protocol_options(), *settings.http2);
    if (status.ok()) return status;
    return absl::InvalidArgumentError(path + ".explicit_http_config.http2_protocol_options." +
                                      std::string(status.message()));
  }
  const auto& http1 = options.explicit_http_config().http_protocol_options();
  settings.http1.enable_trailers = http1.enable_trailers();
  settings.http1.proper_case = http1.header_key_format().has_proper_case_words();
  if (http1.accept_http_10() || !http1.default_host_for_http_10().empty() ||
      http1.has_allow_absolute_url()) {
    return bad(path + ".explicit_http_config.http_protocol_options",
               "accept_http_10, default_host_for_http_10 and allow_absolute_url have no effect on "
               "upstream connections");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Host>> parseHost(
    const envoy::config::endpoint::v3::LbEndpoint& config, const std::string& path) {
  auto host = std::make_unique<Host>();
  if (!config.has_endpoint()) return bad(path + ".endpoint", "the field is required");
  const auto& address = config.endpoint().address();
  if (address.has_socket_address()) {
    const auto& socket = address.socket_address();
    auto parsed = net::Address::parse(socket.address(), static_cast<uint16_t>(socket.port_value()));
    if (!parsed) {
      return bad(path + ".endpoint.address.socket_address.address",
                 "'" + socket.address() + "' is no IP address; a STATIC cluster takes no names");
    }
    host->address = *parsed;
  } else if (address.has_pipe()) {
    host->address = net::Address::unixPath(address.pipe().path());
  } else {
    return bad(path + ".endpoint.address", "one of socket_address and pipe is required");
  }
  host->address_text = host->address.toString();
  host->hostname = config.endpoint().hostname();
  if (config.has_load_balancing_weight()) host->weight = config.load_balancing_weight().value();
  return host;
}

}  // namespace

absl::StatusOr<ParsedCluster> parseCluster(const envoy::config::cluster::v3::Cluster& config) {
  ParsedCluster parsed;
  ClusterSettings& settings = parsed.settings;
  settings.name = config.name();
  settings.stat_name = config.alt_stat_name().empty() ? config.name() : config.alt_stat_name();
  if (config.has_connect_timeout()) settings.connect_timeout = millis(config.connect_timeout());
  if (config.has_per_connection_buffer_limit_bytes()) {
    settings.buffer_limit = config.per_connection_buffer_limit_bytes().value();
    if (settings.buffer_limit == 0)
      return bad("per_connection_buffer_limit_bytes", "must be greater than 0");
  }
  int index = 0;
  for (const auto& thresholds : config.circuit_breakers().thresholds()) {
    if (index++ != 0)
      return bad("circuit_breakers.thresholds[1]",
                 "only one entry, for the DEFAULT priority, is supported");
    if (thresholds.has_max_connections())
      settings.max_connections = thresholds.max_connections().value();
    if (thresholds.has_max_pending_requests())
      settings.max_pending_requests = thresholds.max_pending_requests().value();
    if (thresholds.has_max_retries()) settings.max_retries = thresholds.max_retries().value();
    if (thresholds.has_retry_budget()) {
      const auto& budget = thresholds.retry_budget();
      settings.retry_budget_percent =
          budget.has_budget_percent() ? budget.budget_percent().value() : 20.0;
      if (budget.has_min_retry_concurrency())
        settings.min_retry_concurrency = budget.min_retry_concurrency().value();
    }
    if (thresholds.has_max_requests()) settings.max_requests = thresholds.max_requests().value();
  }
  if (config.has_http2_protocol_options()) {
    settings.http2.emplace();
    settings.http2->max_head_bytes = settings.http1.max_head_bytes;
    absl::Status status = parseHttp2Options(config.http2_protocol_options(), *settings.http2);
    if (!status.ok())
      return absl::InvalidArgumentError("http2_protocol_options." + std::string(status.message()));
  }
  for (const auto& [key, any] : config.typed_extension_protocol_options()) {
    if (settings.http2)
      return bad("http2_protocol_options",
                 "typed_extension_protocol_options says the same: give one");
    std::string path = "typed_extension_protocol_options[\"" + key + "\"]";
    if (key != kHttpOptions)
      return bad(path, std::string("unknown key; the only one is ") + kHttpOptions);
    absl::Status status = parseHttpOptions(any, path, settings);
    if (!status.ok()) return status;
  }
  int locality = 0;
  for (const auto& group : config.load_assignment().endpoints()) {
    int endpoint = 0;
    for (const auto& one : group.lb_endpoints()) {
      auto host = parseHost(one, "load_assignment.endpoints[" + std::to_string(locality) +
                                     "].lb_endpoints[" + std::to_string(endpoint++) + "]");
      if (!host.ok()) return host.status();
      (*host)->index = static_cast<uint32_t>(parsed.hosts.size());
      (*host)->region = group.locality().region();
      (*host)->zone = group.locality().zone();
      (*host)->sub_zone = group.locality().sub_zone();
      parsed.hosts.push_back(std::move(*host));
    }
    ++locality;
  }
  return parsed;
}

}  // namespace gatehouse::upstream
