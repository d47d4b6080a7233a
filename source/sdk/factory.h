#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "source/sdk/http_filter.h"
#include "source/sdk/lifecycle.h"
#include "source/sdk/network_filter.h"
#include "source/stats/stats.h"

namespace google::protobuf {
class Message;
}
namespace gatehouse::upstream {
class ClusterManager;
}
namespace gatehouse::log {
class FileWriters;
}
namespace gatehouse::net {
class Connection;
}

namespace gatehouse::sdk {

// What a factory may use while it compiles a configuration. Main thread; references outlive
// everything compiled.
struct FactoryContext {
  stats::StatsStore& stats;
  upstream::ClusterManager& clusters;
  log::FileWriters& files;  // access logs
  const Lifecycle& lifecycle;
  uint32_t worker_count;
  // Of the listener the chain belongs to.
  std::string listener_stat_prefix;     // "listener.127.0.0.1_80."
  uint32_t buffer_limit = 1024 * 1024;  // per_connection_buffer_limit_bytes
};

// Compiles one kind of HTTP filter. `configType()` is the full name of its protobuf message. Errors
// name the field path in front: "field.path: reason".
class HttpFilterFactory {
 public:
  virtual ~HttpFilterFactory() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view configType() const = 0;
  virtual absl::StatusOr<HttpFilterPlan> compile(const google::protobuf::Message& config,
                                                 FactoryContext& context) = 0;
  // For typed_per_filter_config; empty: the filter takes none.
  virtual std::string_view routeConfigType() const { return {}; }
  virtual absl::StatusOr<std::shared_ptr<const void>> compileRoute(const google::protobuf::Message&,
                                                                   FactoryContext&) {
    return absl::UnimplementedError("this filter takes no per-route configuration");
  }
};

// A configured network filter that ends a chain: serves a connection to its end. Immutable, shared
// by all workers; kept alive by every connection it serves.
class TerminalNetworkFilter : public std::enable_shared_from_this<TerminalNetworkFilter> {
 public:
  virtual ~TerminalNetworkFilter() = default;
  // On the connection's worker, right after accept: sets the connection's user.
  virtual void serve(net::Connection& connection, const ConnectionInfo& info) const = 0;
  // On each worker when the gateway or the listener drains: its connections take no new work.
  virtual void drainWorker() const {}
  // On each worker before it ends: closes its connections.
  virtual void closeWorker() const {}
};

// Compiles one kind of network filter: a terminal one, or one that stands in front of others.
class NetworkFilterFactory {
 public:
  virtual ~NetworkFilterFactory() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view configType() const = 0;
  // Whether the filter ends its chain: then compileTerminal() is called, otherwise compile().
  virtual bool terminal() const { return false; }
  virtual absl::StatusOr<NetworkFilterPlan> compile(const google::protobuf::Message&,
                                                    FactoryContext&) {
    return absl::UnimplementedError("this filter ends its chain");
  }
  virtual absl::StatusOr<std::shared_ptr<const TerminalNetworkFilter>> compileTerminal(
      const google::protobuf::Message&, FactoryContext&) {
    return absl::UnimplementedError("this filter does not end its chain");
  }
};

}  // namespace gatehouse::sdk
