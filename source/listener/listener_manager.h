#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "source/net/accept_socket.h"
#include "source/sdk/factory.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace gatehouse::listener {

// One listener: its compiled chain and its sockets, one per worker and address (SO_REUSEPORT) or
// one for all.
struct Listener {
  std::string name;
  std::vector<net::Address> addresses;  // as bound: port 0 is resolved
  std::shared_ptr<const sdk::TerminalNetworkFilter> filter;
  // sockets[address][worker]; a single socket in each row without reuse_port
  std::vector<std::vector<std::unique_ptr<net::ListenSocket>>> sockets;
  stats::Counter cx_total;
};

// Compiles and binds the listeners on main; starts and stops accepting on the workers.
class ListenerManager {
 public:
  ListenerManager(sdk::FactoryContext& context, uint32_t workers);

  // Main, before start. `bind`: false only checks (validate mode). Errors begin with the field path
  // inside the listener.
  absl::Status add(const envoy::config::listener::v3::Listener& config, bool bind);
  const std::vector<std::unique_ptr<Listener>>& all() const { return listeners_; }

  // On a worker.
  void startWorker(uint32_t worker);
  // On a worker: takes what waits in the queues, then stops accepting.
  void stopWorker(uint32_t worker);
  // On a worker, before its loop ends: closes every connection it accepted.
  void closeWorker();

 private:
  absl::Status bindAll(Listener& listener, const envoy::config::listener::v3::Listener& config);

  sdk::FactoryContext& context_;
  uint32_t workers_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::vector<std::unique_ptr<net::Acceptor>>> acceptors_;  // by worker
  std::atomic<uint64_t> next_connection_id_{0};
  stats::Counter added_;
  stats::Counter create_success_;
  stats::Counter create_failure_;
  stats::Gauge active_;
};

}  // namespace gatehouse::listener
