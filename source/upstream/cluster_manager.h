#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "source/upstream/cluster.h"
#include "source/upstream/pool.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace gatehouse::upstream {

// A worker's side of a cluster: the balancer's position and a pool per host. Made on the worker at
// first use, destroyed on it.
class WorkerCluster {
 public:
  WorkerCluster(Cluster& cluster, uint32_t worker);
  Cluster& cluster() { return cluster_; }
  // Round robin: exact shares by weight over one cycle. Null: no host.
  HostPool* pick();
  void drain();

 private:
  Cluster& cluster_;
  std::vector<std::unique_ptr<HostPool>> pools_;
  std::vector<int64_t> current_;  // smooth weighted round robin; empty when all weights are equal
  int64_t total_weight_ = 0;
  uint32_t next_;
};

// All clusters by name. Built on main before the workers start; read-only afterwards.
class ClusterManager {
 public:
  ClusterManager(stats::StatsStore& store, uint32_t workers);
  ~ClusterManager();

  // Main, before start. Errors carry the field path. A second cluster of a name is an error.
  absl::Status add(const envoy::config::cluster::v3::Cluster& config);
  bool exists(std::string_view name) const { return clusters_.find(name) != clusters_.end(); }
  Cluster* find(std::string_view name) const;
  // For admin: in configuration order.
  const std::vector<std::unique_ptr<Cluster>>& all() const { return order_; }

  // On a worker: its side of the cluster, null if there is none of that name. Views of the calling
  // worker only.
  WorkerCluster* forWorker(std::string_view name);
  // On a worker, before its loop ends: closes every connection of its pools.
  void shutdownWorker();
  uint32_t workers() const { return workers_; }

 private:
  struct PerWorker;
  stats::StatsStore& store_;
  uint32_t workers_;
  std::vector<std::unique_ptr<Cluster>> order_;
  std::unordered_map<std::string_view, uint32_t> clusters_;
  std::vector<std::unique_ptr<PerWorker>> per_worker_;
};

}  // namespace gatehouse::upstream
