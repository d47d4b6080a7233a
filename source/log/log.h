#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gatehouse::log {

enum class Level : int { kTrace, kDebug, kInfo, kWarning, kError, kCritical, kOff };

// Components that have a level of their own.
enum class Component : int {
  kMain,
  kConfig,
  kHttp,
  kRouter,
  kUpstream,
  kConnection,
  kAdmin,
  kListener,
  kCount
};

// Nullopt-like: false for a name that is none of trace debug info warning|warn error critical off.
bool parseLevel(std::string_view name, Level* level);
std::string_view levelName(Level level);
std::string_view componentName(Component component);
bool parseComponent(std::string_view name, Component* component);

// Main, before other threads: pattern as spdlog's (Envoy's --log-format), path empty for stderr.
// False: the file cannot be opened.
bool setUp(const std::string& pattern, const std::string& path, std::string* error);
void setLevel(Level level);                       // every component
void setLevel(Component component, Level level);  // any thread
Level level(Component component);
bool enabled(Component component, Level level);
void write(Component component, Level level, std::string_view text);
void flush();

}  // namespace gatehouse::log

// The text is only built when the level is on. `text` is an expression that gives a std::string.
#define GATEHOUSE_LOG(component, severity, text)                          \
  do {                                                                    \
    if (::gatehouse::log::enabled(::gatehouse::log::Component::component, \
                                  ::gatehouse::log::Level::severity)) {   \
      ::gatehouse::log::write(::gatehouse::log::Component::component,     \
                              ::gatehouse::log::Level::severity, (text)); \
    }                                                                     \
  } while (false)
