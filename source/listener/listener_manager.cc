#include "source/listener/listener_manager.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <utility>

#include "api/envoy/config/listener/v3/listener.pb.h"
#include "source/base/nearest.h"
#include "source/chain/network_engine.h"
#include "source/config/registry.h"
#include "source/net/connection.h"

namespace gatehouse::listener {

namespace pb = google::protobuf;
namespace v3 = envoy::config::listener::v3;

namespace {

absl::Status bad(const std::string& path, const std::string& reason) {
  return absl::InvalidArgumentError(path + ": " + reason);
}

absl::StatusOr<net::Address> parseAddress(const envoy::config::core::v3::Address& config,
                                          const std::string& path) {
  if (config.has_socket_address()) {
    const auto& socket = config.socket_address();
    auto address =
        net::Address::parse(socket.address(), static_cast<uint16_t>(socket.port_value()));
    if (!address)
      return bad(path + ".socket_address.address", "'" + socket.address() + "' is no IP address");
    return *address;
  }
  if (config.has_pipe()) return net::Address::unixPath(config.pipe().path());
  return bad(path, "one of socket_address and pipe is required");
}

std::string statName(const v3::Listener& config, const net::Address& address) {
  if (!config.stat_prefix().empty()) return config.stat_prefix();
  std::string name = address.toString();
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
}

struct NetworkFilter {
  sdk::NetworkFilterFactory* factory = nullptr;
  std::unique_ptr<pb::Message> config;
};

absl::StatusOr<NetworkFilter> findFilter(const v3::Filter& filter, const std::string& at) {
  const pb::Any& any = filter.typed_config();
  if (any.type_url().empty()) return bad(at, "the field is required");
  std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
  NetworkFilter found;
  found.factory = config::Registry<sdk::NetworkFilterFactory>::find(type);
  if (found.factory == nullptr) {
    std::vector<std::string_view> types = config::Registry<sdk::NetworkFilterFactory>::types();
    return bad(at, "'" + type + "' is no network filter" + base::didYouMean(type, types));
  }
  const auto* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  found.config.reset(pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!any.UnpackTo(found.config.get())) return bad(at, "the bytes are no valid " + type);
  return found;
}

// The filters of a chain; the last one must end it, and no other.
absl::StatusOr<std::shared_ptr<const sdk::TerminalNetworkFilter>> compileChain(
    const v3::FilterChain& chain, const std::string& path, sdk::FactoryContext& context) {
  if (chain.filters_size() == 0) return bad(path + ".filters", "at least one filter is needed");
  if (chain.filters_size() > 100) return bad(path + ".filters", "at most 100 are supported");
  std::vector<sdk::NetworkFilterPlan> plans;
  std::shared_ptr<const sdk::TerminalNetworkFilter> terminal;
  for (int i = 0; i < chain.filters_size(); ++i) {
    std::string filter_path = path + ".filters[" + std::to_string(i) + "]";
    std::string at = filter_path + ".typed_config";
    auto found = findFilter(chain.filters(i), at);
    if (!found.ok()) return found.status();
    bool last = i + 1 == chain.filters_size();
    if (found->factory->terminal() != last) {
      return bad(filter_path, last ? "the last filter must end the chain; '" +
                                         chain.filters(i).name() + "' does not"
                                   : "'" + chain.filters(i).name() +
                                         "' ends a filter chain and must be the last filter");
    }
    absl::Status status;
    if (last) {
      auto compiled = found->factory->compileTerminal(*found->config, context);
      status = compiled.status();
      if (compiled.ok()) terminal = *std::move(compiled);
    } else {
      auto compiled = found->factory->compile(*found->config, context);
      status = compiled.status();
      if (compiled.ok()) plans.push_back(*std::move(compiled));
    }
    if (!status.ok()) return absl::InvalidArgumentError(at + "." + std::string(status.message()));
  }
  if (plans.empty()) return terminal;
  return std::shared_ptr<const sdk::TerminalNetworkFilter>(
      std::make_shared<chain::NetworkChain>(std::move(plans), std::move(terminal)));
}

}  // namespace

ListenerManager::ListenerManager(sdk::FactoryContext& context, uint32_t workers)
    : context_(context),
      workers_(workers),
      acceptors_(workers),
      added_(context.stats.counter("listener_manager.listener_added")),
      create_success_(context.stats.counter("listener_manager.listener_create_success")),
      create_failure_(context.stats.counter("listener_manager.listener_create_failure")),
      active_(context.stats.gauge("listener_manager.total_listeners_active")) {}

absl::Status ListenerManager::add(const v3::Listener& config, bool bind) {
  auto listener = std::make_unique<Listener>();
  auto address = parseAddress(config.address(), "address");
  if (!address.ok()) return address.status();
  listener->addresses.push_back(*address);
  for (int i = 0; i < config.additional_addresses_size(); ++i) {
    auto more = parseAddress(config.additional_addresses(i).address(),
                             "additional_addresses[" + std::to_string(i) + "].address");
    if (!more.ok()) return more.status();
    listener->addresses.push_back(*more);
  }
  listener->name = config.name().empty() ? address->toString() : config.name();
  for (const auto& other : listeners_) {
    if (other->name == listener->name)
      return bad("name", "a listener named '" + listener->name + "' exists already");
    for (const net::Address& theirs : other->addresses) {
      if (theirs == *address && theirs.port() != 0) {
        return bad("address",
                   "'" + address->toString() + "' belongs to the listener '" + other->name + "'");
      }
    }
  }
  if (config.has_bind_to_port() && !config.bind_to_port().value()) {
    return bad("bind_to_port", "false is not supported by Gatehouse yet");
  }
  context_.listener_stat_prefix = "listener." + statName(config, *address) + ".";
  context_.buffer_limit = config.has_per_connection_buffer_limit_bytes()
                              ? config.per_connection_buffer_limit_bytes().value()
                              : 1024 * 1024;
  if (context_.buffer_limit == 0)
    return bad("per_connection_buffer_limit_bytes", "must be greater than 0");
  int chains = config.filter_chains_size() + (config.has_default_filter_chain() ? 1 : 0);
  if (chains != 1)
    return bad("filter_chains",
               "exactly one filter chain is supported for now, got " + std::to_string(chains));
  auto filter = config.filter_chains_size() == 1
                    ? compileChain(config.filter_chains(0), "filter_chains[0]", context_)
                    : compileChain(config.default_filter_chain(), "default_filter_chain", context_);
  if (!filter.ok()) return filter.status();
  listener->filter = *std::move(filter);
  if (bind) {
    absl::Status status = bindAll(*listener, config);
    if (!status.ok()) {
      create_failure_.inc();
      return bad("address", "error adding listener '" + listener->name +
                                "': " + std::string(status.message()));
    }
  }
  listener->cx_total =
      context_.stats.counter(context_.listener_stat_prefix + "downstream_cx_total");
  listeners_.push_back(std::move(listener));
  added_.inc();
  active_.set(static_cast<int64_t>(listeners_.size()));
  return absl::OkStatus();
}

absl::Status ListenerManager::bindAll(Listener& listener, const v3::Listener& config) {
  net::ListenOptions options;
  options.backlog =
      config.has_tcp_backlog_size() ? static_cast<int>(config.tcp_backlog_size().value()) : 0;
  bool reuse = !config.has_enable_reuse_port() || config.enable_reuse_port().value();
  if (config.address().has_pipe()) options.unix_mode = config.address().pipe().mode();
  for (net::Address& address : listener.addresses) {
    options.reuse_port = reuse && address.isIp();
    uint32_t count = options.reuse_port ? workers_ : 1;
    auto& row = listener.sockets.emplace_back();
    for (uint32_t i = 0; i < count; ++i) {
      auto socket = net::ListenSocket::open(address, options);
      if (!socket.ok()) return socket.status();
      address = (*socket)->address();
      row.push_back(*std::move(socket));
    }
  }
  return absl::OkStatus();
}

void ListenerManager::startWorker(uint32_t worker) {
  for (const auto& owned : listeners_) {
    Listener* listener = owned.get();
    for (size_t i = 0; i < listener->sockets.size(); ++i) {
      auto& row = listener->sockets[i];
      net::ListenSocket& socket = *row[row.size() > 1 ? worker : 0];
      net::Address local = socket.address();
      acceptors_[worker].push_back(std::make_unique<net::Acceptor>(
          socket, [this, listener, local](int fd, const net::Address& remote) {
            listener->cx_total.inc();
            net::Connection* connection = net::Connection::accepted(fd);
            // A wildcard listener does not know which of its addresses the client chose.
            listener->filter->serve(*connection,
                                    {remote, local.isAny() ? connection->local() : local,
                                     next_connection_id_.fetch_add(1, std::memory_order_relaxed)});
          }));
    }
  }
}

void ListenerManager::stopWorker(uint32_t worker) {
  for (auto& acceptor : acceptors_[worker]) acceptor->drainAndStop();
  acceptors_[worker].clear();
  for (const auto& listener : listeners_) listener->filter->drainWorker();
}

void ListenerManager::closeWorker() {
  for (const auto& listener : listeners_) listener->filter->closeWorker();
}

}  // namespace gatehouse::listener
