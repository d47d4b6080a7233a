#include "source/router/route_table.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <re2/re2.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <utility>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>

#include "api/envoy/config/route/v3/route.pb.h"
#include "source/base/text_map.h"
#include "source/http/chars.h"
#include "source/http/path.h"
#include "source/router/header_rules.h"
#include "source/router/matchers.h"
#include "source/router/path_index.h"
#include "source/router/retry_policy.h"

namespace gatehouse::router {

namespace v3 = envoy::config::route::v3;

namespace {

constexpr size_t kMaxHost = 255;

absl::Status bad(const std::string& path, const std::string& reason) {
  return absl::InvalidArgumentError(path + ": " + reason);
}
absl::Status below(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(path + "." + std::string(status.message()));
}

std::string lowerCase(std::string_view text) {
  std::string out;
  for (char c : text) out += http::lower(c);
  return out;
}

// Rules of the table and the virtual host, shared by their routes.
struct Level {
  HeaderRules request;
  HeaderRules response;
};

template <class Config>
absl::StatusOr<Level> compileLevel(const Config& config, const std::string& prefix) {
  auto request =
      HeaderRules::compile(config.request_headers_to_add(), config.request_headers_to_remove(),
                           prefix + "request_headers_to_add", prefix + "request_headers_to_remove");
  if (!request.ok()) return request.status();
  auto response = HeaderRules::compile(
      config.response_headers_to_add(), config.response_headers_to_remove(),
      prefix + "response_headers_to_add", prefix + "response_headers_to_remove");
  if (!response.ok()) return response.status();
  return Level{*std::move(request), *std::move(response)};
}

struct TableParts {
  Level level;
  bool most_specific_wins = false;
};

struct HostParts {
  std::string name;
  Level level;
};

struct WeightedEntry {
  std::string name;
  uint64_t until = 0;  // cumulated weight
  Level level;
  std::string host_rewrite;
};

class Route final : public RouteEntry {
 public:
  enum class PathKind : uint8_t { kPrefix, kExact, kRegex, kSeparatedPrefix };

  bool matches(const http::RequestHead& head, std::string_view path) const {
    switch (path_kind) {
      case PathKind::kPrefix:
        if (!startsWith(path)) return false;
        break;
      case PathKind::kExact:
        if (case_sensitive ? path != path_text : !http::equalsIgnoreCase(path, path_text))
          return false;
        break;
      case PathKind::kSeparatedPrefix:
        if (!startsWith(path) || (path.size() > path_text.size() && path[path_text.size()] != '/'))
          return false;
        break;
      case PathKind::kRegex:
        if (!re2::RE2::FullMatch(re2::StringPiece(path.data(), path.size()), *path_regex))
          return false;
        break;
    }
    for (const HeaderMatcher& header : headers) {
      if (!header.matches(head)) return false;
    }
    for (const QueryMatcher& query : queries) {
      if (!query.matches(head.path)) return false;
    }
    return true;
  }

  std::string_view cluster(const http::RequestHead& head, uint64_t random) const override {
    if (!weighted.empty()) return weightedFor(random).name;
    if (cluster_header.empty()) return cluster_name;
    const http::HeaderField* field = head.headers.find(std::string_view(cluster_header));
    return field == nullptr ? std::string_view() : field->valueView();
  }

  void finalizeRequest(http::RequestHead& head, sdk::StreamInfo& info,
                       std::string_view upstream_host, uint64_t random,
                       bool tell_original) const override {
    sdk::LogEntry entry{&head, nullptr, nullptr, info};
    forEachLevel(random, [&](const Level& level) { level.request.apply(head.headers, entry); });
    rewriteHost(head, upstream_host, random, tell_original);
    std::string_view rewritten = rewritePath(head.path, head.headers.arena());
    if (rewritten.data() == head.path.data()) return;
    info.original_path = head.path;
    head.path = rewritten;
    if (tell_original) head.headers.set(http::HeaderId::kXEnvoyOriginalPath, info.original_path);
  }

  void finalizeResponse(http::ResponseHead& head, const http::RequestHead& request,
                        const sdk::StreamInfo& info, uint64_t random) const override {
    sdk::LogEntry entry{&request, &head, nullptr, info};
    forEachLevel(random, [&](const Level& level) { level.response.apply(head.headers, entry); });
  }

  uint16_t redirect(http::RequestHead& head, std::string_view* location) const override {
    std::string_view host, port;
    http::splitAuthority(head.authority, &host, &port);
    std::string_view scheme =
        !redirect_scheme.empty() ? std::string_view(redirect_scheme) : head.scheme;
    std::string out(scheme);
    out += "://";
    if (!redirect_host.empty()) {
      out += redirect_host;
    } else {
      out += host;
      // A port that was the old scheme's default means nothing to the new one.
      bool drop = (scheme == "https" && port == "80") || (scheme == "http" && port == "443");
      if (redirect_port == 0 && !port.empty() && !(drop && scheme != head.scheme))
        out += ":" + std::string(port);
    }
    if (redirect_port != 0) out += ":" + std::to_string(redirect_port);
    if (!redirect_path.empty()) {
      out += redirect_path;
      if (!strip_query && redirect_path.find('?') == std::string::npos)
        out += http::queryWithMark(head.path);
    } else {
      std::string_view path = rewritePath(head.path, head.headers.arena());
      out += strip_query ? http::pathOnly(path) : path;
    }
    *location = head.headers.arena().copy(out);
    return redirect_status;
  }

  // Built by the compiler below.
  PathKind path_kind = PathKind::kPrefix;
  bool case_sensitive = true;
  std::string path_text;
  std::shared_ptr<const re2::RE2> path_regex;
  std::vector<HeaderMatcher> headers;
  std::vector<QueryMatcher> queries;
  std::string cluster_name;
  std::string cluster_header;
  std::vector<WeightedEntry> weighted;
  bool has_prefix_rewrite = false;
  std::string prefix_rewrite;
  std::shared_ptr<const re2::RE2> regex_rewrite;
  std::string regex_substitution;
  std::string host_rewrite;
  std::string host_rewrite_header;
  bool append_x_forwarded_host = false;
  uint16_t redirect_status = 301;
  std::string redirect_scheme;
  std::string redirect_host;
  uint32_t redirect_port = 0;
  std::string redirect_path;
  bool strip_query = false;
  Level level;
  const HostParts* host_parts = nullptr;
  const TableParts* table_parts = nullptr;
  std::vector<const void*> configs;
  std::vector<std::shared_ptr<const void>> config_owners;

  void setKind(Kind kind) { kind_ = kind; }
  void setName(std::string name) { name_ = std::move(name); }
  void setVirtualHostName(std::string_view name) { virtual_host_name_ = name; }
  void setNotFoundStatus(uint16_t status) { cluster_not_found_status_ = status; }
  void setTimeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  void setIdleTimeout(std::chrono::milliseconds timeout) { idle_timeout_ = timeout; }
  void setRetryPolicy(std::shared_ptr<const RetryPolicy> policy) {
    retry_policy_ = std::move(policy);
  }
  void setTellAttempts(bool upstream, bool downstream) {
    tell_attempt_upstream_ = upstream;
    tell_attempt_downstream_ = downstream;
  }
  void setAutoHostRewrite(bool on) { auto_host_rewrite_ = on; }
  void setDirect(uint16_t status, std::string body) {
    direct_status_ = status;
    direct_body_ = std::move(body);
  }
  void publishConfigs() { filter_configs_ = configs.data(); }

 private:
  bool startsWith(std::string_view path) const {
    if (path.size() < path_text.size()) return false;
    std::string_view head = path.substr(0, path_text.size());
    return case_sensitive ? head == path_text : http::equalsIgnoreCase(head, path_text);
  }

  void rewriteHost(http::RequestHead& head, std::string_view upstream_host, uint64_t random,
                   bool tell_original) const {
    std::string_view host = head.authority;
    if (!host_rewrite.empty()) {
      host = host_rewrite;
    } else if (!host_rewrite_header.empty()) {
      const http::HeaderField* field = head.headers.find(std::string_view(host_rewrite_header));
      if (field != nullptr && field->value_len != 0) host = field->valueView();
    } else if (auto_host_rewrite_ && !upstream_host.empty()) {
      host = upstream_host;
    }
    if (!weighted.empty() && !weightedFor(random).host_rewrite.empty())
      host = weightedFor(random).host_rewrite;
    if (host.data() == head.authority.data()) return;
    if (tell_original) head.headers.set(http::HeaderId::kXEnvoyOriginalHost, head.authority);
    if (append_x_forwarded_host)
      head.headers.addCopy(http::HeaderId::kXForwardedHost, head.authority);
    head.authority = host;
  }

  const WeightedEntry& weightedFor(uint64_t random) const {
    uint64_t at = random % weighted.back().until;
    size_t i = 0;
    while (weighted[i].until <= at) ++i;
    return weighted[i];
  }

  // The same view when nothing changes.
  std::string_view rewritePath(std::string_view target, memory::Arena& arena) const {
    std::string_view path = http::pathOnly(target);
    std::string_view query = target.substr(path.size());
    if (has_prefix_rewrite) {
      size_t cut =
          path_kind == PathKind::kRegex ? path.size() : std::min(path_text.size(), path.size());
      std::string_view rest = path.substr(cut);
      char* out = arena.allocateArray<char>(prefix_rewrite.size() + rest.size() + query.size() + 1);
      char* at = out;
      auto put = [&](std::string_view text) {
        std::copy(text.begin(), text.end(), at);
        at += text.size();
      };
      put(prefix_rewrite);
      put(rest);
      put(query);
      return {out, static_cast<size_t>(at - out)};
    }
    if (regex_rewrite != nullptr) {
      std::string text(path);
      re2::RE2::GlobalReplace(&text, *regex_rewrite, regex_substitution);
      if (text == path) return target;
      text += query;
      return arena.copy(text);
    }
    return target;
  }

  template <class F>
  void forEachLevel(uint64_t random, F&& f) const {
    if (!weighted.empty()) f(weightedFor(random).level);
    if (table_parts->most_specific_wins) {
      f(table_parts->level);
      f(host_parts->level);
      f(level);
    } else {
      f(level);
      f(host_parts->level);
      f(table_parts->level);
    }
  }
};

struct VirtualHost {
  HostParts parts;
  std::vector<std::unique_ptr<Route>> routes;
  PathIndex index;
  std::unique_ptr<Route> tls_redirect;
  std::shared_ptr<const RetryPolicy> retry_policy;  // of routes without their own
  bool tell_attempt_upstream = false;
  bool tell_attempt_downstream = false;
};

class Table final : public RouteTable {
 public:
  const RouteEntry* route(const http::RequestHead& head, uint64_t) const override {
    const VirtualHost* host = findHost(head.authority);
    if (host == nullptr || head.path.empty()) return nullptr;
    if (host->tls_redirect != nullptr && head.scheme != "https") return host->tls_redirect.get();
    std::string_view path = http::pathOnly(head.path);
    const RouteEntry* found = nullptr;
    host->index.find(path, [&](uint32_t i) {
      if (!host->routes[i]->matches(head, path)) return false;
      found = host->routes[i].get();
      return true;
    });
    return found;
  }

  const VirtualHost* findHost(std::string_view authority) const {
    if (only_default_) return any_;
    if (ignore_port_) {
      std::string_view host, port;
      if (http::splitAuthority(authority, &host, &port)) authority = host;
    }
    if (authority.size() > kMaxHost) return any_;
    char lower[kMaxHost];
    for (size_t i = 0; i < authority.size(); ++i) lower[i] = http::lower(authority[i]);
    std::string_view name(lower, authority.size());
    if (auto found = exact_.find(name); found != exact_.end()) return found->second;
    // Longest wildcard first; lengths are few.
    for (const auto& [length, hosts] : suffixes_) {
      if (name.size() <= length) continue;
      auto found = hosts.find(name.substr(name.size() - length));
      if (found != hosts.end()) return found->second;
    }
    for (const auto& [length, hosts] : prefixes_) {
      if (name.size() <= length) continue;
      auto found = hosts.find(name.substr(0, length));
      if (found != hosts.end()) return found->second;
    }
    return any_;
  }

  using Hosts = base::TextMap<const VirtualHost*>;
  TableParts parts_;
  std::vector<std::unique_ptr<VirtualHost>> hosts_;
  Hosts exact_;
  std::map<size_t, Hosts, std::greater<>> suffixes_;
  std::map<size_t, Hosts, std::greater<>> prefixes_;
  const VirtualHost* any_ = nullptr;
  bool only_default_ = false;
  bool ignore_port_ = false;
  void setName(std::string name) { name_ = std::move(name); }
};

std::chrono::milliseconds millis(const google::protobuf::Duration& d) {
  return std::chrono::milliseconds(d.seconds() * 1000 + d.nanos() / 1'000'000);
}

// Compiles a RouteConfiguration; every step returns the first error with its path inside the
// configuration.
class Compiler {
 public:
  Compiler(const v3::RouteConfiguration& config, CompileContext& context)
      : config_(config), context_(context), table_(std::make_shared<Table>()) {}

  absl::StatusOr<std::shared_ptr<const RouteTable>> compile() {
    table_->setName(config_.name());
    table_->ignore_port_ = config_.ignore_port_in_host_matching();
    auto level = compileLevel(config_, "");
    if (!level.ok()) return level.status();
    table_->parts_ = {*std::move(level), config_.most_specific_header_mutations_wins()};
    max_body_ = config_.has_max_direct_response_body_size_bytes()
                    ? config_.max_direct_response_body_size_bytes().value()
                    : 4096;
    check_clusters_ = config_.has_validate_clusters() ? config_.validate_clusters().value() : true;
    std::vector<const void*> base;
    for (const FilterSlot& slot : context_.filters)
      base.push_back(slot.disabled ? &sdk::kFilterOff : slot.base_config);
    auto configs = mergeConfigs(base, config_.typed_per_filter_config(), "");
    if (!configs.ok()) return configs.status();
    for (int i = 0; i < config_.virtual_hosts_size(); ++i) {
      absl::Status status =
          host(config_.virtual_hosts(i), "virtual_hosts[" + std::to_string(i) + "]", *configs);
      if (!status.ok()) return status;
    }
    table_->only_default_ =
        table_->exact_.empty() && table_->suffixes_.empty() && table_->prefixes_.empty();
    return std::shared_ptr<const RouteTable>(std::move(table_));
  }

 private:
  using Configs = google::protobuf::Map<std::string, google::protobuf::Any>;

  // A filter's own configuration for this level, or a FilterConfig that switches it or wraps one.
  absl::Status mergeOne(const FilterSlot& filter, const google::protobuf::Any& any,
                        const std::string& path, const void*& merged) {
    std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
    if (type == v3::FilterConfig::descriptor()->full_name()) {
      v3::FilterConfig config;
      if (!any.UnpackTo(&config)) return bad(path, "the bytes are no valid " + type);
      context_.switches = true;
      if (config.disabled()) {
        if (filter.terminal)
          return bad(path + ".disabled", "the filter that ends the chain cannot be off");
        merged = &sdk::kFilterOff;
        return absl::OkStatus();
      }
      if (merged == &sdk::kFilterOff) merged = filter.base_config;
      if (!config.has_config()) return absl::OkStatus();
      absl::Status status = mergeOne(filter, config.config(), path + ".config", merged);
      return config.is_optional() ? absl::OkStatus() : status;
    }
    sdk::HttpFilterFactory& factory = *filter.factory;
    if (factory.routeConfigType().empty())
      return bad(path, "the filter takes no per-route configuration");
    if (type != factory.routeConfigType()) {
      return bad(path,
                 "the type must be " + std::string(factory.routeConfigType()) + ", not " + type);
    }
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
    if (!any.UnpackTo(message.get())) return bad(path, "the bytes are no valid " + type);
    auto compiled = factory.compileRoute(*message, context_.factory);
    if (!compiled.ok()) return below(path, compiled.status());
    merged = compiled->get();
    owners_.push_back(*std::move(compiled));
    return absl::OkStatus();
  }

  // Overrides of one level over those of the level above.
  absl::StatusOr<std::vector<const void*>> mergeConfigs(const std::vector<const void*>& above,
                                                        const Configs& configs,
                                                        const std::string& prefix) {
    std::vector<const void*> merged = above;
    for (const auto& [name, any] : configs) {
      std::string path = prefix + "typed_per_filter_config[\"" + name + "\"]";
      size_t i = 0;
      while (i < context_.filters.size() && context_.filters[i].name != name) ++i;
      if (i == context_.filters.size()) return bad(path, "there is no HTTP filter of that name");
      absl::Status status = mergeOne(context_.filters[i], any, path, merged[i]);
      if (!status.ok()) return status;
    }
    return merged;
  }

  absl::Status host(const v3::VirtualHost& config, const std::string& path,
                    const std::vector<const void*>& above) {
    auto made = std::make_unique<VirtualHost>();
    VirtualHost& host = *made;
    host.parts.name = config.name();
    auto level = compileLevel(config, path + ".");
    if (!level.ok()) return level.status();
    host.parts.level = *std::move(level);
    auto configs = mergeConfigs(above, config.typed_per_filter_config(), path + ".");
    if (!configs.ok()) return configs.status();
    host.tell_attempt_upstream = config.include_request_attempt_count();
    host.tell_attempt_downstream = config.include_attempt_count_in_response();
    if (config.has_retry_policy()) {
      auto policy = RetryPolicy::compile(config.retry_policy());
      if (!policy.ok()) return below(path + ".retry_policy", policy.status());
      host.retry_policy = *std::move(policy);
    }
    for (int i = 0; i < config.routes_size(); ++i) {
      absl::Status status =
          route(config.routes(i), path + ".routes[" + std::to_string(i) + "]", host, *configs);
      if (!status.ok()) return status;
    }
    host.index.finish(static_cast<uint32_t>(host.routes.size()));
    if (config.require_tls() != v3::VirtualHost::NONE) {
      host.tls_redirect = newRoute(host, *configs);
      host.tls_redirect->setKind(RouteEntry::Kind::kRedirect);
      host.tls_redirect->redirect_scheme = "https";
    }
    for (int i = 0; i < config.domains_size(); ++i) {
      absl::Status status =
          domain(config.domains(i), path + ".domains[" + std::to_string(i) + "]", host);
      if (!status.ok()) return status;
    }
    table_->hosts_.push_back(std::move(made));
    return absl::OkStatus();
  }

  absl::Status domain(const std::string& config, const std::string& path, const VirtualHost& host) {
    std::string name = lowerCase(config);
    bool fresh = true;
    if (name == "*") {
      fresh = table_->any_ == nullptr;
      table_->any_ = &host;
      if (!fresh) return bad(path, "only one virtual host may have the domain '*'");
      return absl::OkStatus();
    }
    if (name.front() == '*') {
      fresh = table_->suffixes_[name.size() - 1].emplace(name.substr(1), &host).second;
    } else if (name.back() == '*') {
      fresh =
          table_->prefixes_[name.size() - 1].emplace(name.substr(0, name.size() - 1), &host).second;
    } else {
      fresh = table_->exact_.emplace(name, &host).second;
    }
    if (!fresh)
      return bad(path, "the domain '" + config +
                           "' belongs to another virtual host of this route configuration");
    return absl::OkStatus();
  }

  std::unique_ptr<Route> newRoute(const VirtualHost& host, std::vector<const void*> configs) {
    auto route = std::make_unique<Route>();
    route->host_parts = &host.parts;
    route->table_parts = &table_->parts_;
    route->setVirtualHostName(host.parts.name);
    route->setRetryPolicy(host.retry_policy);
    route->setTellAttempts(host.tell_attempt_upstream, host.tell_attempt_downstream);
    route->configs = std::move(configs);
    route->config_owners = std::exchange(owners_, {});
    route->publishConfigs();
    return route;
  }

  absl::Status route(const v3::Route& config, const std::string& path, VirtualHost& host,
                     const std::vector<const void*>& above) {
    auto configs = mergeConfigs(above, config.typed_per_filter_config(), path + ".");
    if (!configs.ok()) return configs.status();
    std::unique_ptr<Route> route = newRoute(host, *std::move(configs));
    route->setName(config.name());
    auto level = compileLevel(config, path + ".");
    if (!level.ok()) return level.status();
    route->level = *std::move(level);
    auto number = static_cast<uint32_t>(host.routes.size());
    absl::Status status = match(config.match(), path + ".match", *route, host.index, number);
    if (!status.ok()) return status;
    switch (config.action_case()) {
      case v3::Route::kRoute:
        status = forward(config.route(), path + ".route", *route);
        break;
      case v3::Route::kRedirect:
        status = redirect(config.redirect(), path + ".redirect", *route);
        break;
      case v3::Route::kDirectResponse:
        status = direct(config.direct_response(), path + ".direct_response", *route);
        break;
      case v3::Route::kNonForwardingAction:
        route->setKind(RouteEntry::Kind::kNonForwarding);
        break;
      case v3::Route::ACTION_NOT_SET:
        status = bad(
            path, "one of route, redirect, direct_response and non_forwarding_action is required");
    }
    if (!status.ok()) return status;
    host.routes.push_back(std::move(route));
    return absl::OkStatus();
  }

  absl::Status match(const v3::RouteMatch& config, const std::string& path, Route& route,
                     PathIndex& index, uint32_t number) {
    route.case_sensitive = !config.has_case_sensitive() || config.case_sensitive().value();
    switch (config.path_specifier_case()) {
      case v3::RouteMatch::kPrefix:
        route.path_text = config.prefix();
        break;
      case v3::RouteMatch::kPath:
        route.path_kind = Route::PathKind::kExact;
        route.path_text = config.path();
        break;
      case v3::RouteMatch::kPathSeparatedPrefix:
        route.path_kind = Route::PathKind::kSeparatedPrefix;
        route.path_text = config.path_separated_prefix();
        break;
      case v3::RouteMatch::kSafeRegex: {
        auto regex = compileRegex(config.safe_regex().regex());
        if (!regex.ok()) return below(path + ".safe_regex", regex.status());
        route.path_kind = Route::PathKind::kRegex;
        route.path_regex = *std::move(regex);
        break;
      }
      case v3::RouteMatch::PATH_SPECIFIER_NOT_SET:
        return bad(path, "one of prefix, path, safe_regex and path_separated_prefix is required");
    }
    if (route.path_kind == Route::PathKind::kRegex || !route.case_sensitive) {
      index.addOther(number);
    } else if (route.path_kind == Route::PathKind::kExact) {
      index.addExact(route.path_text, number);
    } else {
      index.addPrefix(route.path_text, number);
    }
    for (int i = 0; i < config.headers_size(); ++i) {
      auto matcher = HeaderMatcher::compile(config.headers(i));
      if (!matcher.ok())
        return below(path + ".headers[" + std::to_string(i) + "]", matcher.status());
      route.headers.push_back(*std::move(matcher));
    }
    for (int i = 0; i < config.query_parameters_size(); ++i) {
      auto matcher = QueryMatcher::compile(config.query_parameters(i));
      if (!matcher.ok())
        return below(path + ".query_parameters[" + std::to_string(i) + "]", matcher.status());
      route.queries.push_back(*std::move(matcher));
    }
    return absl::OkStatus();
  }

  absl::Status checkCluster(const std::string& name, const std::string& path) {
    if (!check_clusters_ || context_.cluster_exists == nullptr ||
        context_.cluster_exists(context_.cluster_context, name)) {
      return absl::OkStatus();
    }
    return bad(path, "unknown cluster '" + name + "'");
  }

  absl::Status forward(const v3::RouteAction& config, const std::string& path, Route& route) {
    switch (config.cluster_specifier_case()) {
      case v3::RouteAction::kCluster: {
        route.cluster_name = config.cluster();
        absl::Status status = checkCluster(config.cluster(), path + ".cluster");
        if (!status.ok()) return status;
        break;
      }
      case v3::RouteAction::kClusterHeader:
        route.cluster_header = lowerCase(config.cluster_header());
        break;
      case v3::RouteAction::kWeightedClusters: {
        absl::Status status =
            weighted(config.weighted_clusters(), path + ".weighted_clusters", route);
        if (!status.ok()) return status;
        break;
      }
      case v3::RouteAction::CLUSTER_SPECIFIER_NOT_SET:
        return bad(path, "one of cluster, cluster_header and weighted_clusters is required");
    }
    switch (config.cluster_not_found_response_code()) {
      case v3::RouteAction::NOT_FOUND:
        route.setNotFoundStatus(404);
        break;
      case v3::RouteAction::INTERNAL_SERVER_ERROR:
        route.setNotFoundStatus(500);
        break;
      default:
        route.setNotFoundStatus(503);
    }
    if (!config.prefix_rewrite().empty() && config.has_regex_rewrite()) {
      return bad(path, "only one of prefix_rewrite and regex_rewrite may be set");
    }
    route.has_prefix_rewrite = !config.prefix_rewrite().empty();
    route.prefix_rewrite = config.prefix_rewrite();
    if (config.has_regex_rewrite()) {
      absl::Status status = regexRewrite(config.regex_rewrite(), path + ".regex_rewrite", route);
      if (!status.ok()) return status;
    }
    switch (config.host_rewrite_specifier_case()) {
      case v3::RouteAction::kHostRewriteLiteral:
        route.host_rewrite = config.host_rewrite_literal();
        break;
      case v3::RouteAction::kHostRewriteHeader:
        route.host_rewrite_header = lowerCase(config.host_rewrite_header());
        break;
      case v3::RouteAction::kAutoHostRewrite:
        route.setAutoHostRewrite(config.auto_host_rewrite().value());
        break;
      case v3::RouteAction::HOST_REWRITE_SPECIFIER_NOT_SET:
        break;
    }
    route.append_x_forwarded_host = config.append_x_forwarded_host();
    if (config.has_retry_policy()) {
      auto policy = RetryPolicy::compile(config.retry_policy());
      if (!policy.ok()) return below(path + ".retry_policy", policy.status());
      route.setRetryPolicy(*std::move(policy));
    }
    if (config.has_timeout()) route.setTimeout(millis(config.timeout()));
    if (config.has_idle_timeout()) route.setIdleTimeout(millis(config.idle_timeout()));
    return absl::OkStatus();
  }

  template <class Rewrite>
  absl::Status regexRewrite(const Rewrite& config, const std::string& path, Route& route) {
    auto regex = compileRegex(config.pattern().regex());
    if (!regex.ok()) return below(path + ".pattern", regex.status());
    std::string error;
    if (!(*regex)->CheckRewriteString(config.substitution(), &error))
      return bad(path + ".substitution", error);
    route.regex_rewrite = *std::move(regex);
    route.regex_substitution = config.substitution();
    return absl::OkStatus();
  }

  absl::Status weighted(const v3::WeightedCluster& config, const std::string& path, Route& route) {
    uint64_t total = 0;
    for (int i = 0; i < config.clusters_size(); ++i) {
      const auto& one = config.clusters(i);
      std::string at = path + ".clusters[" + std::to_string(i) + "]";
      if (one.name().empty()) return bad(at + ".name", "the field is required");
      absl::Status status = checkCluster(one.name(), at + ".name");
      if (!status.ok()) return status;
      total += one.weight().value();
      auto level = compileLevel(one, at + ".");
      if (!level.ok()) return level.status();
      route.weighted.push_back({one.name(), total, *std::move(level), one.host_rewrite_literal()});
    }
    if (total == 0) return bad(path, "the sum of the weights must be greater than zero");
    if (total > UINT32_MAX) return bad(path, "the sum of the weights must be at most 4294967295");
    return absl::OkStatus();
  }

  absl::Status redirect(const v3::RedirectAction& config, const std::string& path, Route& route) {
    route.setKind(RouteEntry::Kind::kRedirect);
    if (config.https_redirect()) route.redirect_scheme = "https";
    if (!config.scheme_redirect().empty()) route.redirect_scheme = config.scheme_redirect();
    route.redirect_host = config.host_redirect();
    route.redirect_port = config.port_redirect();
    route.redirect_path = config.path_redirect();
    route.has_prefix_rewrite = !config.prefix_rewrite().empty();
    route.prefix_rewrite = config.prefix_rewrite();
    if (config.has_regex_rewrite()) {
      absl::Status status = regexRewrite(config.regex_rewrite(), path + ".regex_rewrite", route);
      if (!status.ok()) return status;
    }
    static constexpr uint16_t kCodes[] = {301, 302, 303, 307, 308};
    route.redirect_status = kCodes[config.response_code()];
    route.strip_query = config.strip_query();
    return absl::OkStatus();
  }

  absl::Status direct(const v3::DirectResponseAction& config, const std::string& path,
                      Route& route) {
    route.setKind(RouteEntry::Kind::kDirectResponse);
    std::string body;
    const auto& source = config.body();
    switch (source.specifier_case()) {
      case envoy::config::core::v3::DataSource::kInlineString:
        body = source.inline_string();
        break;
      case envoy::config::core::v3::DataSource::kInlineBytes:
        body = source.inline_bytes();
        break;
      case envoy::config::core::v3::DataSource::kEnvironmentVariable: {
        const char* value = std::getenv(source.environment_variable().c_str());
        if (value == nullptr) {
          return bad(path + ".body.environment_variable",
                     "'" + source.environment_variable() + "' is not set");
        }
        body = value;
        break;
      }
      case envoy::config::core::v3::DataSource::kFilename: {
        std::ifstream file(source.filename(), std::ios::binary);
        std::ostringstream text;
        if (!file || !(text << file.rdbuf()))
          return bad(path + ".body.filename", "cannot read '" + source.filename() + "'");
        body = text.str();
        break;
      }
      case envoy::config::core::v3::DataSource::SPECIFIER_NOT_SET:
        break;
    }
    if (body.size() > max_body_) {
      return bad(path + ".body", "has " + std::to_string(body.size()) +
                                     " bytes, max_direct_response_body_size_bytes allows " +
                                     std::to_string(max_body_));
    }
    route.setDirect(static_cast<uint16_t>(config.status()), std::move(body));
    return absl::OkStatus();
  }

  const v3::RouteConfiguration& config_;
  CompileContext& context_;
  std::shared_ptr<Table> table_;
  std::vector<std::shared_ptr<const void>> owners_;
  uint32_t max_body_ = 4096;
  bool check_clusters_ = true;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const RouteTable>> RouteTable::compile(
    const v3::RouteConfiguration& config, CompileContext& context) {
  return Compiler(config, context).compile();
}

}  // namespace gatehouse::router
