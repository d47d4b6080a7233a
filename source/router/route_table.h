#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "source/http/head.h"
#include "source/sdk/factory.h"
#include "source/sdk/stream_info.h"

namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace gatehouse::router {

class RouteTable;
class RetryPolicy;

// One compiled route with everything above it (virtual host, table) merged in. Immutable; pinned
// with its table.
class RouteEntry {
 public:
  enum class Kind : uint8_t { kForward, kRedirect, kDirectResponse, kNonForwarding };

  virtual ~RouteEntry() = default;
  Kind kind() const { return kind_; }
  std::string_view name() const { return name_; }
  std::string_view virtualHostName() const { return virtual_host_name_; }
  // One pointer per HTTP filter of the plan the table was compiled for: the override, the filter's
  // own configuration, or sdk::kFilterOff.
  const void* const* filterConfigs() const { return filter_configs_; }

  // kForward. The cluster's name for this request; weighted choices use `random`; empty:
  // cluster_header is absent.
  virtual std::string_view cluster(const http::RequestHead& head, uint64_t random) const = 0;
  uint16_t clusterNotFoundStatus() const { return cluster_not_found_status_; }
  // Zero: none. From the end of the request.
  std::chrono::milliseconds timeout() const { return timeout_; }
  std::optional<std::chrono::milliseconds> idleTimeout() const { return idle_timeout_; }
  // Applies the request header rules of all levels, then rewrites host and path, as Envoy orders
  // it. `upstream_host`: hostname of the chosen endpoint (auto_host_rewrite). Writes
  // info.original_path when the path changes; `tell_original` adds x-envoy-original-host and -path.
  // `random` as given to cluster().
  virtual void finalizeRequest(http::RequestHead& head, sdk::StreamInfo& info,
                               std::string_view upstream_host, uint64_t random,
                               bool tell_original) const = 0;
  // Null: failed attempts are not repeated.
  const RetryPolicy* retryPolicy() const { return retry_policy_.get(); }
  bool tellAttemptUpstream() const { return tell_attempt_upstream_; }
  bool tellAttemptDownstream() const { return tell_attempt_downstream_; }
  bool autoHostRewrite() const { return auto_host_rewrite_; }
  // Applies the response header rules of all levels. Also for redirects and direct responses.
  virtual void finalizeResponse(http::ResponseHead& head, const http::RequestHead& request,
                                const sdk::StreamInfo& info, uint64_t random) const = 0;

  // kRedirect: status and location (arena memory of the request).
  virtual uint16_t redirect(http::RequestHead& head, std::string_view* location) const = 0;
  // kDirectResponse
  uint16_t directStatus() const { return direct_status_; }
  std::string_view directBody() const { return direct_body_; }

 protected:
  Kind kind_ = Kind::kForward;
  bool auto_host_rewrite_ = false;
  bool tell_attempt_upstream_ = false;
  bool tell_attempt_downstream_ = false;
  std::shared_ptr<const RetryPolicy> retry_policy_;
  uint16_t cluster_not_found_status_ = 503;
  uint16_t direct_status_ = 0;
  std::chrono::milliseconds timeout_{15000};
  std::optional<std::chrono::milliseconds> idle_timeout_;
  std::string name_;
  std::string_view virtual_host_name_;
  const void* const* filter_configs_ = nullptr;
  std::string direct_body_;
};

// One HTTP filter of the chain a table is compiled for, so that typed_per_filter_config can be
// merged at load.
struct FilterSlot {
  std::string name;  // name in http_filters
  sdk::HttpFilterFactory* factory;
  const void* base_config;
  bool disabled = false;
  bool terminal = false;
};

// What compile() needs. Main thread.
struct CompileContext {
  sdk::FactoryContext& factory;
  std::vector<FilterSlot> filters;
  // True if a cluster of that name is configured (validate_clusters); null: not checked.
  bool (*cluster_exists)(void* context, std::string_view name) = nullptr;
  void* cluster_context = nullptr;
  // Set by compile(): some route turns a filter on or off.
  bool switches = false;
};

// A RouteConfiguration compiled: hash for host names, radix/sorted prefixes for paths where order
// allows, ordered predicates elsewhere. First match in configuration order wins, always. Immutable
// and shared by all workers.
class RouteTable {
 public:
  virtual ~RouteTable() = default;
  // Errors: "virtual_hosts[3].routes[0].match.safe_regex.regex: reason".
  static absl::StatusOr<std::shared_ptr<const RouteTable>> compile(
      const envoy::config::route::v3::RouteConfiguration& config, CompileContext& context);
  // Null: no route. A host that requires TLS yields its redirect entry. No allocation, no clock.
  virtual const RouteEntry* route(const http::RequestHead& head, uint64_t random) const = 0;
  std::string_view name() const { return name_; }

 protected:
  std::string name_;
};

}  // namespace gatehouse::router
