#include "source/server/options.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "source/base/nearest.h"

namespace gatehouse::server {

const char kVersion[] = "0.1.0";

namespace {

struct Flag {
  std::string_view name;
  std::string_view short_name;
  bool takes_value;
  std::string_view help;
};

constexpr Flag kFlags[] = {
    {"--config-path", "-c", true, "configuration file (.yaml, .json, .textproto, .pb)"},
    {"--config-yaml", "", true, "configuration as YAML, merged over the file"},
    {"--mode", "", true, "serve, validate or init_only (serve)"},
    {"--concurrency", "", true, "number of workers (CPUs the process may use)"},
    {"--log-level", "-l", true, "trace, debug, info, warning, error, critical or off (info)"},
    {"--component-log-level", "", true, "levels of components: http:debug,router:trace"},
    {"--log-format", "", true, "pattern of log lines"},
    {"--log-path", "", true, "log to this file instead of stderr"},
    {"--drain-time-s", "", true, "seconds a drain may take (600)"},
    {"--drain-strategy", "", true,
     "gradual or immediate: how a drain closes connections (gradual)"},
    {"--service-node", "", true, "node id"},
    {"--service-cluster", "", true, "node cluster"},
    {"--service-zone", "", true, "node zone"},
    {"--admin-address-path", "", true, "write the admin address to this file"},
    {"--allow-unknown-static-fields", "", false, "warn of unknown fields instead of refusing them"},
    {"--version", "", false, "print the version"},
    {"--help", "-h", false, "print this text"},
};

bool parseNumber(const std::string& text, uint32_t* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

bool apply(std::string_view flag, const std::string& value, Options& o, std::string* error) {
  auto wrong = [&](const std::string& wanted) {
    *error = std::string(flag) + ": expected " + wanted + ", got '" + value + "'";
    return false;
  };
  if (flag == "--config-path") {
    o.config_path = value;
  } else if (flag == "--config-yaml") {
    o.config_yaml = value;
  } else if (flag == "--mode") {
    if (value == "serve") {
      o.mode = Mode::kServe;
    } else if (value == "validate") {
      o.mode = Mode::kValidate;
    } else if (value == "init_only") {
      o.mode = Mode::kInitOnly;
    } else {
      return wrong("serve, validate or init_only");
    }
  } else if (flag == "--concurrency") {
    if (!parseNumber(value, &o.concurrency) || o.concurrency > 1024)
      return wrong("a number from 0 to 1024");
  } else if (flag == "--log-level") {
    if (!log::parseLevel(value, &o.log_level))
      return wrong("trace, debug, info, warning, error, critical or off");
  } else if (flag == "--component-log-level") {
    size_t at = 0;
    while (at <= value.size()) {
      size_t comma = std::min(value.find(',', at), value.size());
      std::string pair = value.substr(at, comma - at);
      size_t colon = pair.find(':');
      log::Component component;
      log::Level level;
      if (colon == std::string::npos || !log::parseComponent(pair.substr(0, colon), &component) ||
          !log::parseLevel(pair.substr(colon + 1), &level)) {
        return wrong("component:level pairs");
      }
      o.component_levels.emplace_back(component, level);
      at = comma + 1;
    }
  } else if (flag == "--log-format") {
    o.log_format = value;
  } else if (flag == "--log-path") {
    o.log_path = value;
  } else if (flag == "--drain-time-s") {
    if (!parseNumber(value, &o.drain_seconds)) return wrong("a number of seconds");
  } else if (flag == "--drain-strategy") {
    if (value != "gradual" && value != "immediate") return wrong("gradual or immediate");
    o.drain_immediately = value == "immediate";
  } else if (flag == "--service-node") {
    o.node = value;
  } else if (flag == "--service-cluster") {
    o.cluster = value;
  } else if (flag == "--service-zone") {
    o.zone = value;
  } else if (flag == "--admin-address-path") {
    o.admin_address_path = value;
  } else if (flag == "--allow-unknown-static-fields") {
    o.allow_unknown_static_fields = true;
  } else if (flag == "--version") {
    o.show_version = true;
  } else if (flag == "--help") {
    o.show_help = true;
  }
  return true;
}

}  // namespace

bool parseOptions(int argc, const char* const* argv, Options* options, std::string* error) {
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    std::string value;
    bool has_value = false;
    if (argument.starts_with("--")) {
      size_t equals = argument.find('=');
      if (equals != std::string::npos) {
        value = argument.substr(equals + 1);
        argument.resize(equals);
        has_value = true;
      }
    }
    const Flag* found = nullptr;
    std::vector<std::string_view> names;
    for (const Flag& flag : kFlags) {
      names.push_back(flag.name);
      if (argument == flag.name || (!flag.short_name.empty() && argument == flag.short_name))
        found = &flag;
    }
    constexpr std::string_view kHotRestart[] = {"--restart-epoch", "--base-id",
                                                "--use-dynamic-base-id", "--disable-hot-restart",
                                                "--parent-shutdown-time-s"};
    if (std::find(std::begin(kHotRestart), std::end(kHotRestart), argument) !=
        std::end(kHotRestart)) {
      *error = argument + ": Gatehouse has no hot restart; leave the option out";
      return false;
    }
    if (found == nullptr) {
      *error = "unknown argument '" + argument + "'" + base::didYouMean(argument, names);
      return false;
    }
    if (found->takes_value && !has_value) {
      if (i + 1 == argc) {
        *error = std::string(found->name) + ": a value is missing";
        return false;
      }
      value = argv[++i];
    } else if (!found->takes_value && has_value) {
      *error = std::string(found->name) + ": takes no value";
      return false;
    }
    if (!apply(found->name, value, *options, error)) return false;
  }
  return true;
}

std::string helpText() {
  std::string text =
      "gatehouse: an Envoy-style proxy and API gateway\n\nUsage: gatehouse -c FILE [options]\n\n";
  for (const Flag& flag : kFlags) {
    std::string name = std::string(flag.name) +
                       (flag.short_name.empty() ? "" : ", " + std::string(flag.short_name)) +
                       (flag.takes_value ? " VALUE" : "");
    name.resize(std::max<size_t>(name.size() + 1, 38), ' ');
    text += "  " + name + std::string(flag.help) + "\n";
  }
  return text;
}

uint32_t availableCpus() {
  cpu_set_t set;
  uint32_t cpus = 1;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0)
    cpus = static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
  // cgroup v2: "quota period" in microseconds, or "max".
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  double share = 0;
  if (v2 >> quota >> period) {
    if (quota != "max" && period > 0) share = std::strtod(quota.c_str(), nullptr) / period;
  } else {
    std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double amount = 0;
    if (v1_quota >> amount && v1_period >> period && amount > 0 && period > 0)
      share = amount / period;
  }
  if (share > 0) cpus = std::min(cpus, static_cast<uint32_t>(std::max(1.0, std::floor(share))));
  return cpus;
}

}  // namespace gatehouse::server
