#pragma once

#include <string>

#include "source/stats/stats.h"

namespace gatehouse::stats {

struct RenderOptions {
  bool used_only = false;
  std::string filter;  // RE2, searched in names; empty: all. Check with validFilter() first.
};

bool validFilter(const std::string& regex, std::string* error);

// The three forms of Envoy's /stats.
std::string renderText(const StatsStore& store, const RenderOptions& options);
std::string renderJson(const StatsStore& store, const RenderOptions& options);
// Names with Envoy's default tags taken out into labels (cluster, connection manager prefix,
// listener address, response code).
std::string renderPrometheus(const StatsStore& store, const RenderOptions& options);

}  // namespace gatehouse::stats
