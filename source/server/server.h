#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "api/envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "source/admin/admin.h"
#include "source/config/diagnostics.h"
#include "source/event/worker.h"
#include "source/listener/listener_manager.h"
#include "source/log/file_writers.h"
#include "source/sdk/lifecycle.h"
#include "source/server/options.h"
#include "source/stats/stats.h"
#include "source/upstream/cluster_manager.h"

namespace gatehouse::server {

// A whole gateway: main worker (the thread that calls run()), N workers, admin. Start-up order:
// configuration, clusters, listeners (compiled and bound), admin, workers. Nothing accepts before
// everything is compiled.
class Server {
 public:
  explicit Server(const Options& options);
  ~Server();

  // Loads, compiles and binds everything; false: `errors()` says why, one "file:line:column: path:
  // reason" a line.
  bool initialize();
  const std::string& errors() const { return errors_; }
  // Serves until a drain has ended. Returns the exit code.
  int run();
  // Any thread: drains and ends; a second call ends at once.
  void shutdown();
  void reopenLogs() { files_.reopen(); }

  event::Worker& mainWorker() { return main_; }
  const listener::ListenerManager& listeners() const { return *listeners_; }
  const admin::Admin& adminServer() const { return admin_; }
  stats::StatsStore& stats() { return stats_; }

 private:
  struct WorkerThread {
    std::unique_ptr<event::Worker> worker;
    std::thread thread;
    bool started = false;
  };

  bool compile(config::Diagnostics& diagnostics);
  void addAdminHandlers();
  // `at_once`: every answer closes its connection, whatever the strategy.
  void drain(bool stop_accepting, bool at_once);
  void stepDrain();
  void finish();
  void checkDrained();
  void armFlush();
  std::string stateName() const;
  std::string serverInfo() const;
  std::string clustersText() const;
  std::string clustersJson() const;
  admin::Response logging(const admin::Request& request);
  admin::Response statsPage(const admin::Request& request, bool prometheus);

  Options options_;
  std::string errors_;
  envoy::config::bootstrap::v3::Bootstrap bootstrap_;
  event::Worker main_;
  stats::StatsStore stats_;
  log::FileWriters files_;
  sdk::Lifecycle lifecycle_;
  uint32_t worker_count_;
  std::unique_ptr<upstream::ClusterManager> clusters_;
  std::unique_ptr<sdk::FactoryContext> context_;
  std::unique_ptr<listener::ListenerManager> listeners_;
  admin::Admin admin_;
  std::vector<WorkerThread> workers_;
  event::Timer flush_timer_;
  event::Timer drain_timer_;
  event::Timer share_timer_;
  event::MonoTime drain_began_{};
  event::MonoTime drain_deadline_{};
  event::Millis flush_interval_{5000};
  stats::Gauge uptime_, live_, state_, concurrency_;
  event::MonoTime started_{};
  int64_t started_wall_ = 0;
  bool shutting_down_ = false;
  // Looks that must pass before an idle server ends, so that what was just accepted is counted.
  int drain_grace_ = 2;
};

}  // namespace gatehouse::server
