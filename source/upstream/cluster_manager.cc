#include "source/upstream/cluster_manager.h"

#include <numeric>
#include <utility>

#include "source/event/worker.h"
#include "source/upstream/cluster_config.h"

namespace gatehouse::upstream {

WorkerCluster::WorkerCluster(Cluster& cluster, uint32_t worker)
    : cluster_(cluster),
      next_(cluster.hosts().empty() ? 0 : worker % static_cast<uint32_t>(cluster.hosts().size())) {
  bool equal = true;
  for (const auto& host : cluster.hosts()) {
    pools_.push_back(std::make_unique<HostPool>(cluster, *host, worker));
    total_weight_ += host->weight;
    equal = equal && host->weight == cluster.hosts().front()->weight;
  }
  if (!equal) current_.assign(pools_.size(), 0);
}

HostPool* WorkerCluster::pick() {
  if (pools_.empty()) return nullptr;
  if (current_.empty()) {
    HostPool* pool = pools_[next_].get();
    if (++next_ == pools_.size()) next_ = 0;
    return pool;
  }
  // Smooth weighted round robin: over total_weight_ picks each host is chosen exactly weight times,
  // spread out.
  size_t best = 0;
  for (size_t i = 0; i < pools_.size(); ++i) {
    current_[i] += pools_[i]->host().weight;
    if (current_[i] > current_[best]) best = i;
  }
  current_[best] -= total_weight_;
  return pools_[best].get();
}

void WorkerCluster::drain() {
  for (auto& pool : pools_) pool->drain();
}

struct ClusterManager::PerWorker {
  // Index as in order_; touched by its worker only.
  std::vector<std::unique_ptr<WorkerCluster>> clusters;
};

ClusterManager::ClusterManager(stats::StatsStore& store, uint32_t workers)
    : store_(store), workers_(workers) {
  for (uint32_t i = 0; i < workers; ++i) per_worker_.push_back(std::make_unique<PerWorker>());
}

ClusterManager::~ClusterManager() = default;

absl::Status ClusterManager::add(const envoy::config::cluster::v3::Cluster& config) {
  auto parsed = parseCluster(config);
  if (!parsed.ok()) return parsed.status();
  if (exists(parsed->settings.name)) {
    return absl::InvalidArgumentError("name: a cluster named '" + parsed->settings.name +
                                      "' exists already");
  }
  for (auto& host : parsed->hosts) {
    host->stats.cx_total = store_.anonymousCounter();
    host->stats.cx_connect_fail = store_.anonymousCounter();
    host->stats.cx_active = store_.anonymousGauge();
    host->stats.rq_total = store_.anonymousCounter();
    host->stats.rq_success = store_.anonymousCounter();
    host->stats.rq_error = store_.anonymousCounter();
    host->stats.rq_timeout = store_.anonymousCounter();
    host->stats.rq_active = store_.anonymousGauge();
  }
  order_.push_back(std::make_unique<Cluster>(std::move(parsed->settings), std::move(parsed->hosts),
                                             store_, workers_));
  clusters_.emplace(order_.back()->settings().name, static_cast<uint32_t>(order_.size() - 1));
  return absl::OkStatus();
}

Cluster* ClusterManager::find(std::string_view name) const {
  auto found = clusters_.find(name);
  return found == clusters_.end() ? nullptr : order_[found->second].get();
}

WorkerCluster* ClusterManager::forWorker(std::string_view name) {
  auto found = clusters_.find(name);
  if (found == clusters_.end()) return nullptr;
  uint32_t worker = event::Worker::current().index();
  PerWorker& mine = *per_worker_[worker];
  if (mine.clusters.size() < order_.size()) mine.clusters.resize(order_.size());
  auto& slot = mine.clusters[found->second];
  if (slot == nullptr) slot = std::make_unique<WorkerCluster>(*order_[found->second], worker);
  return slot.get();
}

void ClusterManager::shutdownWorker() {
  for (auto& cluster : per_worker_[event::Worker::current().index()]->clusters) {
    if (cluster != nullptr) cluster->drain();
  }
}

}  // namespace gatehouse::upstream
