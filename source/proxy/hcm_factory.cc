#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include <google/protobuf/duration.pb.h>

#include "api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "source/base/nearest.h"
#include "source/config/factory_for.h"
#include "source/config/registry.h"
#include "source/proxy/access_log_filter.h"
#include "source/proxy/http_connection.h"
#include "source/upstream/cluster_manager.h"
#include "source/upstream/http2_config.h"

namespace gatehouse::proxy {

ResponseCounters::ResponseCounters(stats::Scope& s)
    : completed(s.counter("downstream_rq_completed")) {
  for (size_t i = 0; i < classes.size(); ++i)
    classes[i] = s.counter("downstream_rq_" + std::to_string(i + 1) + "xx");
}

void ResponseCounters::count(uint16_t status) {
  completed.inc();
  classes[std::clamp<size_t>(status / 100, 1, classes.size()) - 1].inc();
}

HcmStats::HcmStats(stats::Scope& s, stats::Scope& listener, stats::Scope& http2_scope)
    : cx_total(s.counter("downstream_cx_total")),
      cx_destroy(s.counter("downstream_cx_destroy")),
      cx_http1_total(s.counter("downstream_cx_http1_total")),
      cx_rx_bytes(s.counter("downstream_cx_rx_bytes_total")),
      cx_tx_bytes(s.counter("downstream_cx_tx_bytes_total")),
      cx_protocol_error(s.counter("downstream_cx_protocol_error")),
      cx_idle_timeout(s.counter("downstream_cx_idle_timeout")),
      cx_max_requests_reached(s.counter("downstream_cx_max_requests_reached")),
      cx_destroy_remote(s.counter("downstream_cx_destroy_remote")),
      cx_destroy_local(s.counter("downstream_cx_destroy_local")),
      rq_total(s.counter("downstream_rq_total")),
      rq_http1_total(s.counter("downstream_rq_http1_total")),
      rq_timeout(s.counter("downstream_rq_timeout")),
      rq_header_timeout(s.counter("downstream_rq_header_timeout")),
      rq_idle_timeout(s.counter("downstream_rq_idle_timeout")),
      rq_rx_reset(s.counter("downstream_rq_rx_reset")),
      rq_too_large(s.counter("downstream_rq_too_large")),
      rq_ws_on_non_ws_route(s.counter("downstream_rq_ws_on_non_ws_route")),
      no_route(s.counter("no_route")),
      no_cluster(s.counter("no_cluster")),
      rq_redirect(s.counter("rq_redirect")),
      rq_direct_response(s.counter("rq_direct_response")),
      router_rq_total(s.counter("rq_total")),
      cx_http2_total(s.counter("downstream_cx_http2_total")),
      rq_http2_total(s.counter("downstream_rq_http2_total")),
      responses(s),
      listener_responses(listener),
      cx_active(s.gauge("downstream_cx_active")),
      cx_http1_active(s.gauge("downstream_cx_http1_active")),
      cx_http2_active(s.gauge("downstream_cx_http2_active")),
      rq_active(s.gauge("downstream_rq_active")),
      http2(http2_scope),
      rq_time(s.histogram("downstream_rq_time")),
      cx_length_ms(s.histogram("downstream_cx_length_ms")) {}

namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
namespace pb = google::protobuf;

absl::Status bad(const std::string& path, const std::string& reason) {
  return absl::InvalidArgumentError(path + ": " + reason);
}
absl::Status below(const std::string& path, const absl::Status& status) {
  std::string_view message(status.message().data(), status.message().size());
  size_t colon = message.find(": ");
  bool has_path = colon != message.npos && message.substr(0, colon).find(' ') == message.npos;
  return absl::InvalidArgumentError(path + (has_path ? "." : ": ") + std::string(message));
}

event::Millis millis(const pb::Duration& d) {
  return event::Millis(d.seconds() * 1000 + (d.nanos() + 999'999) / 1'000'000);
}

class Filter final : public sdk::TerminalNetworkFilter {
 public:
  explicit Filter(std::shared_ptr<const HcmConfig> config) : config_(std::move(config)) {}
  void serve(net::Connection& connection, const sdk::ConnectionInfo& info) const override {
    serveHttp(config_, connection, info);
  }
  void drainWorker() const override { HttpConnection::drainAll(*config_); }
  void closeWorker() const override { HttpConnection::closeAll(*config_); }

 private:
  std::shared_ptr<const HcmConfig> config_;
};

class HcmFactory final : public sdk::NetworkFilterFactory {
 public:
  std::string_view name() const override { return "envoy.filters.network.http_connection_manager"; }
  std::string_view configType() const override {
    return "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  }

  bool terminal() const override { return true; }
  absl::StatusOr<std::shared_ptr<const sdk::TerminalNetworkFilter>> compileTerminal(
      const pb::Message& message, sdk::FactoryContext& context) override {
    HttpConnectionManager config;
    config.CopyFrom(message);
    auto hcm = std::make_shared<HcmConfig>();
    hcm->lifecycle = &context.lifecycle;
    hcm->buffer_limit = context.buffer_limit;
    std::string prefix = "http." + config.stat_prefix() + ".";
    hcm->stats = std::make_shared<HcmStats>(
        *context.stats.scope(prefix), *context.stats.scope(context.listener_stat_prefix + prefix),
        *context.stats.scope("http2."));
    absl::Status status = readOptions(config, *hcm);
    if (status.ok()) status = compileFilters(config, context, *hcm);
    if (status.ok()) status = compileAccessLogs(config, context, *hcm);
    if (!status.ok()) return status;
    return std::shared_ptr<const sdk::TerminalNetworkFilter>(
        std::make_shared<Filter>(std::move(hcm)));
  }

 private:
  static absl::Status readOptions(const HttpConnectionManager& config, HcmConfig& hcm) {
    const auto& common = config.common_http_protocol_options();
    if (common.has_idle_timeout()) hcm.idle_timeout = millis(common.idle_timeout());
    if (common.has_max_headers_count()) hcm.http1.max_fields = common.max_headers_count().value();
    if (common.has_max_requests_per_connection())
      hcm.max_requests_per_connection = common.max_requests_per_connection().value();
    switch (common.headers_with_underscores_action()) {
      case envoy::config::core::v3::HttpProtocolOptions::REJECT_REQUEST:
        hcm.underscores = Underscores::kReject;
        break;
      case envoy::config::core::v3::HttpProtocolOptions::DROP_HEADER:
        hcm.underscores = Underscores::kDrop;
        break;
      default:
        break;
    }
    const auto& http1 = config.http_protocol_options();
    hcm.http1.accept_http_10 = http1.accept_http_10();
    hcm.default_host = http1.default_host_for_http_10();
    hcm.http1.allow_absolute_url =
        !http1.has_allow_absolute_url() || http1.allow_absolute_url().value();
    hcm.http1.enable_trailers = http1.enable_trailers();
    hcm.http1.proper_case = http1.header_key_format().has_proper_case_words();
    if (config.has_max_request_headers_kb())
      hcm.http1.max_head_bytes = config.max_request_headers_kb().value() * 1024;
    switch (config.codec_type()) {
      case HttpConnectionManager::HTTP1:
        hcm.codec = CodecType::kHttp1;
        break;
      case HttpConnectionManager::HTTP2:
        hcm.codec = CodecType::kHttp2;
        break;
      default:
        break;
    }
    hcm.http2.stats = &hcm.stats->http2;
    hcm.http2.max_head_bytes = hcm.http1.max_head_bytes;
    hcm.http2.max_fields = hcm.http1.max_fields;
    hcm.http2.stream_error_on_invalid_message =
        config.stream_error_on_invalid_http_message().value();
    absl::Status http2 = upstream::parseHttp2Options(config.http2_protocol_options(), hcm.http2);
    if (!http2.ok()) return below("http2_protocol_options", http2);
    if (config.has_drain_timeout()) hcm.drain_timeout = millis(config.drain_timeout());
    if (!config.server_name().empty()) hcm.server_name = config.server_name();
    switch (config.server_header_transformation()) {
      case HttpConnectionManager::APPEND_IF_ABSENT:
        hcm.server_header = ServerHeader::kAppendIfAbsent;
        break;
      case HttpConnectionManager::PASS_THROUGH:
        hcm.server_header = ServerHeader::kPassThrough;
        break;
      default:
        break;
    }
    switch (config.path_with_escaped_slashes_action()) {
      case HttpConnectionManager::REJECT_REQUEST:
        hcm.escaped_slashes = EscapedSlashes::kReject;
        break;
      case HttpConnectionManager::UNESCAPE_AND_REDIRECT:
        hcm.escaped_slashes = EscapedSlashes::kRedirect;
        break;
      case HttpConnectionManager::UNESCAPE_AND_FORWARD:
        hcm.escaped_slashes = EscapedSlashes::kForward;
        break;
      default:
        break;
    }
    if (config.has_stream_idle_timeout())
      hcm.stream_idle_timeout = millis(config.stream_idle_timeout());
    if (config.has_request_timeout()) hcm.request_timeout = millis(config.request_timeout());
    if (config.has_request_headers_timeout())
      hcm.request_headers_timeout = millis(config.request_headers_timeout());
    if (config.has_delayed_close_timeout())
      hcm.delayed_close_timeout = millis(config.delayed_close_timeout());
    hcm.use_remote_address = config.use_remote_address().value();
    hcm.xff_trusted_hops = config.xff_num_trusted_hops();
    hcm.skip_xff_append = config.skip_xff_append();
    hcm.via = config.via();
    if (config.has_generate_request_id())
      hcm.generate_request_id = config.generate_request_id().value();
    hcm.preserve_request_id = config.preserve_external_request_id();
    hcm.request_id_in_response = config.always_set_request_id_in_response();
    hcm.proxy_100_continue = config.proxy_100_continue();
    hcm.normalize_path = config.normalize_path().value();
    hcm.merge_slashes = config.merge_slashes();
    hcm.strip_matching_port = config.strip_matching_host_port();
    hcm.strip_any_port = config.strip_any_host_port();
    if (hcm.strip_matching_port && hcm.strip_any_port) {
      return bad("strip_any_host_port",
                 "only one of strip_matching_host_port and strip_any_host_port may be set");
    }
    hcm.strip_trailing_dot = config.strip_trailing_host_dot();
    hcm.append_forwarded_port = config.append_x_forwarded_port();
    return absl::OkStatus();
  }

  static absl::Status compileFilters(const HttpConnectionManager& config,
                                     sdk::FactoryContext& context, HcmConfig& hcm) {
    std::vector<sdk::HttpFilterPlan> plans;
    router::CompileContext routes{context, {}};
    for (int i = 0; i < config.http_filters_size(); ++i) {
      const auto& filter = config.http_filters(i);
      std::string path = "http_filters[" + std::to_string(i) + "]";
      std::unique_ptr<pb::Message> message;
      auto factory = gatehouse::config::factoryFor<sdk::HttpFilterFactory>(
          filter.typed_config(), path + ".typed_config", &message);
      if (!factory.ok()) return factory.status();
      auto plan = (*factory)->compile(*message, context);
      if (!plan.ok()) return below(path + ".typed_config", plan.status());
      bool last = i + 1 == config.http_filters_size();
      if (plan->terminal != last) {
        return bad(path,
                   plan->terminal
                       ? "'" + filter.name() + "' ends a filter chain and must be the last filter"
                       : "the last filter must end the chain (envoy.filters.http.router)");
      }
      plan->disabled = filter.disabled();
      if (plan->terminal && plan->disabled)
        return bad(path + ".disabled", "the filter that ends the chain cannot be off");
      for (const auto& slot : routes.filters) {
        if (slot.name == filter.name())
          return bad(path + ".name", "two filters are named '" + filter.name() + "'");
      }
      routes.filters.push_back(
          {filter.name(), *factory, plan->config.get(), plan->disabled, plan->terminal});
      plans.push_back(*std::move(plan));
    }
    if (plans.empty())
      return bad("http_filters", "at least one filter is needed: envoy.filters.http.router");
    if (plans.size() > 200) return bad("http_filters", "at most 200 filters are supported");
    if (!config.has_route_config()) return bad("route_config", "the field is required");
    routes.cluster_context = &context.clusters;
    routes.cluster_exists = [](void* clusters, std::string_view name) {
      return static_cast<upstream::ClusterManager*>(clusters)->exists(name);
    };
    auto table = router::RouteTable::compile(config.route_config(), routes);
    if (!table.ok()) return below("route_config", table.status());
    hcm.routes = *std::move(table);
    hcm.plan = chain::HttpPlan(std::move(plans), routes.switches);
    return absl::OkStatus();
  }

  static absl::Status compileAccessLogs(const HttpConnectionManager& config,
                                        sdk::FactoryContext& context, HcmConfig& hcm) {
    for (int i = 0; i < config.access_log_size(); ++i) {
      auto logger = compileAccessLog(config.access_log(i), context);
      if (!logger.ok()) return below("access_log[" + std::to_string(i) + "]", logger.status());
      hcm.access_logs.push_back(*std::move(logger));
    }
    return absl::OkStatus();
  }
};

GATEHOUSE_REGISTER(sdk::NetworkFilterFactory, HcmFactory);

}  // namespace

}  // namespace gatehouse::proxy
