#include "source/server/server.h"

#include <google/protobuf/util/json_util.h>
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "source/config/loader.h"
#include "source/formatter/formatter.h"
#include "source/proxy/access_log_filter.h"
#include "source/server/config_dump.h"
#include "source/stats/render.h"

namespace gatehouse::server {

namespace {

std::string quote(std::string_view text) {
  std::string out;
  formatter::appendJsonString(text, out);
  return out;
}

std::string toJson(const google::protobuf::Message& message) {
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) return "{}";
  return json;
}

constexpr char kJson[] = "application/json";

// After a wave of slow streams the heap keeps what they held. Rare, and off the workers' threads;
// they wait for it only if they ask the heap for memory meanwhile, which they seldom do.
void returnFreeMemory() {
  constexpr size_t kWorthIt = 64 << 20;
  struct mallinfo2 info = ::mallinfo2();
  if (info.fordblks > kWorthIt) ::malloc_trim(kWorthIt / 4);
}

}  // namespace

Server::Server(const Options& options)
    : options_(options),
      main_("main", 0),
      worker_count_(options.concurrency != 0 ? options.concurrency : availableCpus()),
      uptime_(stats_.gauge("server.uptime")),
      live_(stats_.gauge("server.live")),
      state_(stats_.gauge("server.state")),
      concurrency_(stats_.gauge("server.concurrency")) {
  main_.bind();
  clusters_ = std::make_unique<upstream::ClusterManager>(stats_, worker_count_);
  context_ = std::make_unique<sdk::FactoryContext>(
      sdk::FactoryContext{stats_, *clusters_, files_, lifecycle_, worker_count_, "", 1024 * 1024});
  listeners_ = std::make_unique<listener::ListenerManager>(*context_, worker_count_);
  concurrency_.set(worker_count_);
  state_.set(2);  // INITIALIZING
}

Server::~Server() { main_.bind(); }

bool Server::initialize() {
  if (options_.config_path.empty() && options_.config_yaml.empty()) {
    errors_ = "at least one of --config-path and --config-yaml is required\n";
    return false;
  }
  config::LoadOptions load;
  load.allow_unknown = options_.allow_unknown_static_fields;
  config::Diagnostics diagnostics;
  bool loaded = true;
  if (!options_.config_path.empty())
    loaded = config::loadFile(options_.config_path, load, bootstrap_, diagnostics);
  if (loaded && !options_.config_yaml.empty()) {
    config::Diagnostics inline_diagnostics("--config-yaml");
    loaded = config::loadText(options_.config_yaml, config::Format::kYaml, load, bootstrap_,
                              inline_diagnostics);
    if (options_.config_path.empty()) {
      diagnostics = std::move(inline_diagnostics);
    } else if (!loaded) {
      errors_ = inline_diagnostics.toString();
    }
  }
  for (const std::string& warning : diagnostics.warnings())
    GATEHOUSE_LOG(kConfig, kWarning, warning);
  if (!loaded || !compile(diagnostics)) {
    errors_ += diagnostics.toString();
    return false;
  }
  // The command line wins over the file, as in Envoy.
  if (!options_.node.empty()) bootstrap_.mutable_node()->set_id(options_.node);
  if (!options_.cluster.empty()) bootstrap_.mutable_node()->set_cluster(options_.cluster);
  if (!options_.zone.empty())
    bootstrap_.mutable_node()->mutable_locality()->set_zone(options_.zone);
  addAdminHandlers();
  return true;
}

bool Server::compile(config::Diagnostics& diagnostics) {
  const auto& resources = bootstrap_.static_resources();
  for (int i = 0; i < resources.clusters_size(); ++i) {
    absl::Status status = clusters_->add(resources.clusters(i));
    if (!status.ok()) {
      diagnostics.errorBelow("static_resources.clusters[" + std::to_string(i) + "]",
                             {status.message().data(), status.message().size()});
    }
  }
  bool bind = options_.mode != Mode::kValidate && diagnostics.ok();
  for (int i = 0; i < resources.listeners_size(); ++i) {
    absl::Status status = listeners_->add(resources.listeners(i), bind);
    if (!status.ok()) {
      diagnostics.errorBelow("static_resources.listeners[" + std::to_string(i) + "]",
                             {status.message().data(), status.message().size()});
    }
  }
  if (bootstrap_.has_stats_flush_interval()) {
    const auto& interval = bootstrap_.stats_flush_interval();
    flush_interval_ = event::Millis(interval.seconds() * 1000 + interval.nanos() / 1'000'000);
  }
  std::vector<std::shared_ptr<const sdk::AccessLogger>> admin_logs;
  for (int i = 0; i < bootstrap_.admin().access_log_size(); ++i) {
    auto logger = proxy::compileAccessLog(bootstrap_.admin().access_log(i), *context_);
    if (logger.ok()) {
      admin_logs.push_back(*std::move(logger));
    } else {
      diagnostics.errorBelow("admin.access_log[" + std::to_string(i) + "]",
                             {logger.status().message().data(), logger.status().message().size()});
    }
  }
  admin_.logTo(std::move(admin_logs));
  if (diagnostics.ok() && bind && bootstrap_.has_admin() && bootstrap_.admin().has_address()) {
    const auto& address = bootstrap_.admin().address();
    auto parsed =
        address.has_pipe()
            ? net::Address::unixPath(address.pipe().path())
            : net::Address::parse(address.socket_address().address(),
                                  static_cast<uint16_t>(address.socket_address().port_value()))
                  .value_or(net::Address());
    if (!parsed.known()) {
      diagnostics.error("admin.address", "an IP address or a pipe is required");
    } else {
      absl::Status status = admin_.listen(parsed);
      if (!status.ok()) diagnostics.error("admin.address", std::string(status.message()));
    }
    if (diagnostics.ok() && !options_.admin_address_path.empty()) {
      std::ofstream file(options_.admin_address_path);
      file << admin_.address().toString();
      if (!file)
        diagnostics.error("admin.address", "cannot write '" + options_.admin_address_path + "'");
    }
  }
  return diagnostics.ok();
}

int Server::run() {
  main_.bind();
  started_ = main_.now();
  started_wall_ = main_.wallMicros();
  workers_.resize(worker_count_);
  for (uint32_t i = 0; i < worker_count_; ++i) {
    workers_[i].worker = std::make_unique<event::Worker>("wrk:worker_" + std::to_string(i), i);
    event::Worker* worker = workers_[i].worker.get();
    worker->post([this, i] { listeners_->startWorker(i); });
    workers_[i].thread = std::thread([worker] { worker->run(); });
  }
  state_.set(0);  // LIVE
  live_.set(1);
  armFlush();
  GATEHOUSE_LOG(kMain, kInfo,
                "all listeners are up, " + std::to_string(worker_count_) + " workers");
  main_.run();
  // The last words of the workers: pools closed, then joined and freed on this thread.
  for (auto& one : workers_) one.thread.join();
  admin_.stop();
  files_.flush();
  return 0;
}

void Server::armFlush() {
  flush_timer_.arm(
      flush_interval_,
      [](void* self) noexcept {
        auto* server = static_cast<Server*>(self);
        server->stats_.flush();
        returnFreeMemory();
        server->uptime_.set(
            std::chrono::duration_cast<std::chrono::seconds>(server->main_.now() - server->started_)
                .count());
        server->armFlush();
      },
      this);
}

void Server::shutdown() {
  main_.post([this] {
    if (shutting_down_) {
      finish();
      return;
    }
    shutting_down_ = true;
    GATEHOUSE_LOG(kMain, kInfo, std::string("draining"));
    drain(true, true);
    drain_deadline_ = main_.now() + std::chrono::seconds(options_.drain_seconds);
    checkDrained();
  });
}

void Server::drain(bool stop_accepting, bool at_once) {
  if (!lifecycle_.draining) drain_began_ = main_.now();
  lifecycle_.draining.store(true, std::memory_order_relaxed);
  state_.set(1);  // DRAINING
  if (at_once || options_.drain_immediately) {
    share_timer_.cancel();
    lifecycle_.close_share.store(sdk::Lifecycle::kAll, std::memory_order_relaxed);
  } else {
    stepDrain();
  }
  if (!stop_accepting) return;
  for (uint32_t i = 0; i < worker_count_; ++i) {
    workers_[i].worker->post([this, i] { listeners_->stopWorker(i); });
  }
}

// The gradual strategy: the share of answers that close their connection grows with the drain time.
void Server::stepDrain() {
  auto spent = std::chrono::duration<double>(main_.now() - drain_began_).count();
  double part = options_.drain_seconds == 0 ? 1.0 : std::min(1.0, spent / options_.drain_seconds);
  auto share = static_cast<uint32_t>(part * sdk::Lifecycle::kAll);
  lifecycle_.close_share.store(std::max(1u, share), std::memory_order_relaxed);
  if (part >= 1.0) return;
  share_timer_.arm(
      event::Millis(250), [](void* self) noexcept { static_cast<Server*>(self)->stepDrain(); },
      this);
}

// Looks ten times a second whether the last request has been answered.
void Server::checkDrained() {
  int64_t active = 0;
  for (const auto& value : stats_.values()) {
    // An HTTP/2 client may have requests on their way until it has seen the last GOAWAY.
    if (value.gauge && value.name.starts_with("http.") &&
        (value.name.ends_with(".downstream_rq_active") ||
         value.name.ends_with(".downstream_cx_http2_active"))) {
      active += static_cast<int64_t>(value.value);
    }
  }
  if (drain_grace_ > 0) {
    --drain_grace_;
  } else if (active <= 0 || main_.now() >= drain_deadline_) {
    finish();
    return;
  }
  drain_timer_.arm(
      event::Millis(100), [](void* self) noexcept { static_cast<Server*>(self)->checkDrained(); },
      this);
}

void Server::finish() {
  flush_timer_.cancel();
  drain_timer_.cancel();
  share_timer_.cancel();
  for (auto& one : workers_) {
    event::Worker* worker = one.worker.get();
    worker->post([this, worker] {
      listeners_->stopWorker(worker->index());
      listeners_->closeWorker();
      clusters_->shutdownWorker();
      worker->stop();
    });
  }
  main_.stop();
}

std::string Server::stateName() const {
  return lifecycle_.health_failed || lifecycle_.draining ? "DRAINING" : "LIVE";
}

std::string Server::serverInfo() const {
  auto up = std::chrono::duration_cast<std::chrono::seconds>(main_.now() - started_).count();
  return "{\n \"version\": " + quote(std::string("gatehouse/") + kVersion) +
         ",\n \"state\": " + quote(stateName()) + ",\n \"uptime_current_epoch\": \"" +
         std::to_string(up) + "s\",\n \"uptime_all_epochs\": \"" + std::to_string(up) +
         "s\",\n \"command_line_options\": {\n  \"config_path\": " + quote(options_.config_path) +
         ",\n  \"concurrency\": " + std::to_string(worker_count_) + ",\n  \"drain_time\": \"" +
         std::to_string(options_.drain_seconds) +
         "s\"\n },\n \"node\": " + toJson(bootstrap_.node()) + "}\n";
}

std::string Server::clustersText() const {
  std::string out;
  for (const auto& cluster : clusters_->all()) {
    const auto& s = cluster->settings();
    out += s.name + "::observability_name::" + s.stat_name + "\n";
    out +=
        s.name + "::default_priority::max_connections::" + std::to_string(s.max_connections) + "\n";
    out += s.name +
           "::default_priority::max_pending_requests::" + std::to_string(s.max_pending_requests) +
           "\n";
    out += s.name + "::default_priority::max_requests::" + std::to_string(s.max_requests) + "\n";
    out += s.name + "::added_via_api::false\n";
    for (const auto& host : cluster->hosts()) {
      std::string p = s.name + "::" + host->address_text + "::";
      auto& h = host->stats;
      out += p + "cx_active::" + std::to_string(stats::StatsStore::read(h.cx_active)) + "\n";
      out += p + "cx_connect_fail::" + std::to_string(stats::StatsStore::read(h.cx_connect_fail)) +
             "\n";
      out += p + "cx_total::" + std::to_string(stats::StatsStore::read(h.cx_total)) + "\n";
      out += p + "rq_active::" + std::to_string(stats::StatsStore::read(h.rq_active)) + "\n";
      out += p + "rq_error::" + std::to_string(stats::StatsStore::read(h.rq_error)) + "\n";
      out += p + "rq_success::" + std::to_string(stats::StatsStore::read(h.rq_success)) + "\n";
      out += p + "rq_timeout::" + std::to_string(stats::StatsStore::read(h.rq_timeout)) + "\n";
      out += p + "rq_total::" + std::to_string(stats::StatsStore::read(h.rq_total)) + "\n";
      out += p + "hostname::" + host->hostname + "\n" + p + "health_flags::healthy\n";
      out += p + "weight::" + std::to_string(host->weight) + "\n";
      out += p + "region::" + host->region + "\n" + p + "zone::" + host->zone + "\n" + p +
             "sub_zone::" + host->sub_zone + "\n";
      out += p + "canary::false\n" + p + "priority::0\n";
    }
  }
  return out;
}

std::string Server::clustersJson() const {
  std::string out = "{\"cluster_statuses\":[";
  bool first = true;
  for (const auto& cluster : clusters_->all()) {
    out += std::string(first ? "" : ",") + "{\"name\":" + quote(cluster->settings().name) +
           ",\"observability_name\":" + quote(cluster->settings().stat_name) +
           ",\"host_statuses\":[";
    first = false;
    bool first_host = true;
    for (const auto& host : cluster->hosts()) {
      out += std::string(first_host ? "" : ",") + "{\"address\":" +
             (host->address.isIp()
                  ? "{\"socket_address\":{\"address\":" + quote(host->address.ip()) +
                        ",\"port_value\":" + std::to_string(host->address.port()) + "}}"
                  : "{\"pipe\":{\"path\":" + quote(host->address_text) + "}}") +
             ",\"hostname\":" + quote(host->hostname) +
             ",\"weight\":" + std::to_string(host->weight) +
             ",\"health_status\":{\"eds_health_status\":\"HEALTHY\"}}";
      first_host = false;
    }
    out += "]}";
  }
  return out + "]}";
}

admin::Response Server::logging(const admin::Request& request) {
  for (const auto& [key, value] : request.query) {
    log::Level level;
    log::Component component;
    if (!log::parseLevel(value, &level))
      return {400, "text/plain; charset=UTF-8", "error: unknown logger level\n"};
    if (key == "level") {
      log::setLevel(level);
    } else if (log::parseComponent(key, &component)) {
      log::setLevel(component, level);
    } else {
      return {400, "text/plain; charset=UTF-8", "error: unknown logger name\n"};
    }
  }
  std::string out = "active loggers:\n";
  for (int i = 0; i < static_cast<int>(log::Component::kCount); ++i) {
    auto component = static_cast<log::Component>(i);
    out += "  " + std::string(log::componentName(component)) + ": " +
           std::string(log::levelName(log::level(component))) + "\n";
  }
  return {200, "text/plain; charset=UTF-8", out};
}

admin::Response Server::statsPage(const admin::Request& request, bool prometheus) {
  stats::RenderOptions options;
  options.used_only = request.query.contains("usedonly");
  if (auto filter = request.query.find("filter"); filter != request.query.end()) {
    options.filter = filter->second;
    std::string error;
    if (!stats::validFilter(options.filter, &error)) {
      return {400, "text/plain; charset=UTF-8", "Invalid re2 regex: " + error + "\n"};
    }
  }
  std::string format = prometheus ? "prometheus" : "text";
  if (auto asked = request.query.find("format"); asked != request.query.end())
    format = asked->second;
  if (format == "json") return {200, kJson, stats::renderJson(stats_, options)};
  if (format == "prometheus")
    return {200, "text/plain; charset=UTF-8", stats::renderPrometheus(stats_, options)};
  if (format == "text")
    return {200, "text/plain; charset=UTF-8", stats::renderText(stats_, options)};
  return {400, "text/plain; charset=UTF-8", "usage: /stats?format=json|prometheus|text\n"};
}

void Server::addAdminHandlers() {
  using admin::Request;
  using admin::Response;
  const std::string text = "text/plain; charset=UTF-8";
  admin_.add("/ready", "print server state, return 200 if LIVE, otherwise return 503", false,
             [this, text](const Request&) {
               bool live = stateName() == "LIVE";
               return Response{static_cast<uint16_t>(live ? 200 : 503), text, stateName() + "\n"};
             });
  admin_.add("/server_info", "print server version/status information", false,
             [this](const Request&) {
               return Response{200, kJson, serverInfo()};
             });
  admin_.add("/stats", "print server stats", false,
             [this](const Request& r) { return statsPage(r, false); });
  admin_.add("/stats/prometheus", "print server stats in prometheus format", false,
             [this](const Request& r) { return statsPage(r, true); });
  admin_.add("/clusters", "upstream cluster status", false, [this, text](const Request& r) {
    auto format = r.query.find("format");
    if (format != r.query.end() && format->second == "json")
      return Response{200, kJson, clustersJson()};
    return Response{200, text, clustersText()};
  });
  admin_.add("/listeners", "print listener info", false, [this, text](const Request& r) {
    auto format = r.query.find("format");
    bool json = format != r.query.end() && format->second == "json";
    std::string out = json ? "{\"listener_statuses\":[" : "";
    bool first = true;
    for (const auto& listener : listeners_->all()) {
      for (const net::Address& address : listener->addresses) {
        if (json) {
          out += std::string(first ? "" : ",") + "{\"name\":" + quote(listener->name) +
                 ",\"local_address\":" +
                 (address.isIp() ? "{\"socket_address\":{\"address\":" + quote(address.ip()) +
                                       ",\"port_value\":" + std::to_string(address.port()) + "}}"
                                 : "{\"pipe\":{\"path\":" + quote(address.toString()) + "}}") +
                 "}";
        } else {
          out += listener->name + "::" + address.toString() + "\n";
        }
        first = false;
      }
    }
    if (json) return Response{200, kJson, out + "]}"};
    return Response{200, text, out};
  });
  admin_.add("/config_dump", "dump current configuration", false,
             [this](const Request& r) { return configDump(bootstrap_, started_wall_, r); });
  admin_.add("/logging", "query/change logging levels", true,
             [this](const Request& r) { return logging(r); });
  admin_.add("/memory", "print current allocation/heap usage", false, [](const Request&) {
    struct mallinfo2 info = ::mallinfo2();
    return Response{200, kJson,
                    "{\n \"allocated\": \"" + std::to_string(info.uordblks + info.hblkhd) +
                        "\",\n \"heap_size\": \"" + std::to_string(info.arena + info.hblkhd) +
                        "\"\n}\n"};
  });
  admin_.add("/healthcheck/fail", "cause the server to fail health checks", true,
             [this, text](const Request&) {
               lifecycle_.health_failed = true;
               return Response{200, text, "OK\n"};
             });
  admin_.add("/healthcheck/ok", "cause the server to pass health checks", true,
             [this, text](const Request&) {
               lifecycle_.health_failed = false;
               return Response{200, text, "OK\n"};
             });
  admin_.add("/drain_listeners", "drain listeners", true, [this, text](const Request& r) {
    bool graceful = r.query.contains("graceful");
    drain(!graceful, !graceful);
    return Response{200, text, "OK\n"};
  });
  admin_.add("/reset_counters", "reset all counters to zero", true, [this, text](const Request&) {
    stats_.resetCounters();
    return Response{200, text, "OK\n"};
  });
  admin_.add("/quitquitquit", "exit the server", true, [this, text](const Request&) {
    main_.post([this] { finish(); });
    return Response{200, text, "OK\n"};
  });
}

}  // namespace gatehouse::server
