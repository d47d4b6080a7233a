#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "source/upstream/cluster.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace gatehouse::upstream {

struct ParsedCluster {
  ClusterSettings settings;
  std::vector<std::unique_ptr<Host>> hosts;  // statistics still unset
};

// Reads envoy.config.cluster.v3.Cluster. Errors begin with the field path inside the cluster.
absl::StatusOr<ParsedCluster> parseCluster(const envoy::config::cluster::v3::Cluster& config);

}  // namespace gatehouse::upstream
