#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "source/log/log.h"

namespace gatehouse::server {

extern const char kVersion[];

enum class Mode : uint8_t { kServe, kValidate, kInitOnly };

// The command line; names and meaning are Envoy's.
struct Options {
  std::string config_path;
  std::string config_yaml;
  Mode mode = Mode::kServe;
  uint32_t concurrency = 0;  // 0: as many as the process may use
  log::Level log_level = log::Level::kInfo;
  std::vector<std::pair<log::Component, log::Level>> component_levels;
  std::string log_format;
  std::string log_path;
  uint32_t drain_seconds = 600;
  bool drain_immediately = false;  // --drain-strategy
  std::string node;
  std::string cluster;
  std::string zone;
  std::string admin_address_path;
  bool allow_unknown_static_fields = false;
  bool show_help = false;
  bool show_version = false;
};

// False with `error` set for anything that is not understood.
bool parseOptions(int argc, const char* const* argv, Options* options, std::string* error);
std::string helpText();
// CPUs that affinity and cgroup quota leave to this process, at least 1.
uint32_t availableCpus();

}  // namespace gatehouse::server
