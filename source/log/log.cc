#include "source/log/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <memory>

namespace gatehouse::log {

namespace {

constexpr std::string_view kLevels[] = {"trace", "debug",    "info", "warning",
                                        "error", "critical", "off"};
constexpr std::string_view kComponents[] = {"main",     "config",     "http",  "router",
                                            "upstream", "connection", "admin", "listener"};
constexpr size_t kCount = static_cast<size_t>(Component::kCount);

std::array<std::atomic<int>, kCount>& levels() {
  static auto* all = [] {
    auto* made = new std::array<std::atomic<int>, kCount>();
    for (auto& one : *made) one = static_cast<int>(Level::kInfo);
    return made;
  }();
  return *all;
}

constexpr const char* kDefaultPattern = "[%Y-%m-%d %T.%e][%t][%l][%n] %v";

// One logger a component over one sink.
std::array<std::shared_ptr<spdlog::logger>, kCount>& loggers() {
  static auto* all = [] {
    auto* made = new std::array<std::shared_ptr<spdlog::logger>, kCount>();
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern(kDefaultPattern);
    for (size_t i = 0; i < kCount; ++i) {
      (*made)[i] = std::make_shared<spdlog::logger>(std::string(kComponents[i]), sink);
      (*made)[i]->set_level(spdlog::level::trace);
      (*made)[i]->flush_on(spdlog::level::info);
    }
    return made;
  }();
  return *all;
}

}  // namespace

bool parseLevel(std::string_view name, Level* level) {
  if (name == "warn") name = "warning";
  for (size_t i = 0; i < std::size(kLevels); ++i) {
    if (kLevels[i] == name) {
      *level = static_cast<Level>(i);
      return true;
    }
  }
  return false;
}

std::string_view levelName(Level level) { return kLevels[static_cast<size_t>(level)]; }
std::string_view componentName(Component component) {
  return kComponents[static_cast<size_t>(component)];
}

bool parseComponent(std::string_view name, Component* component) {
  for (size_t i = 0; i < kCount; ++i) {
    if (kComponents[i] == name) {
      *component = static_cast<Component>(i);
      return true;
    }
  }
  return false;
}

bool setUp(const std::string& pattern, const std::string& path, std::string* error) {
  try {
    std::shared_ptr<spdlog::sinks::sink> sink;
    if (path.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    }
    sink->set_pattern(pattern.empty() ? kDefaultPattern : pattern);
    for (auto& logger : loggers()) logger->sinks() = {sink};
    return true;
  } catch (const std::exception& e) {
    *error = e.what();
    return false;
  }
}

void setLevel(Level level) {
  for (auto& one : levels()) one.store(static_cast<int>(level), std::memory_order_relaxed);
}

void setLevel(Component component, Level level) {
  levels()[static_cast<size_t>(component)].store(static_cast<int>(level),
                                                 std::memory_order_relaxed);
}

Level level(Component component) {
  return static_cast<Level>(
      levels()[static_cast<size_t>(component)].load(std::memory_order_relaxed));
}

bool enabled(Component component, Level severity) { return severity >= level(component); }

void write(Component component, Level severity, std::string_view text) {
  loggers()[static_cast<size_t>(component)]->log(static_cast<spdlog::level::level_enum>(severity),
                                                 text);
}

void flush() { loggers()[0]->flush(); }

}  // namespace gatehouse::log
