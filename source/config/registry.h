#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::config {

// The extensions of one kind by the protobuf type of their configuration, which alone decides;
// names are only for messages. Filled by static registration before main(), read-only afterwards.
// Factory has name() and configType().
template <class Factory>
class Registry {
 public:
  static void add(Factory& factory) {
    auto [at, fresh] = byType().emplace(factory.configType(), &factory);
    if (!fresh) {
      std::fprintf(stderr, "gatehouse: two extensions are registered for the type '%s'\n",
                   std::string(factory.configType()).c_str());
      std::abort();
    }
  }
  // Null: none. `type` is a full message name or a type URL.
  static Factory* find(std::string_view type) {
    size_t slash = type.rfind('/');
    if (slash != type.npos) type.remove_prefix(slash + 1);
    auto found = byType().find(type);
    return found == byType().end() ? nullptr : found->second;
  }
  static std::vector<std::string_view> types() {
    std::vector<std::string_view> all;
    for (const auto& [type, factory] : byType()) all.push_back(type);
    return all;
  }

 private:
  static std::map<std::string_view, Factory*>& byType() {
    static auto* map = new std::map<std::string_view, Factory*>();
    return *map;
  }
};

template <class Base, class Implementation>
struct Registration {
  Registration() { Registry<Base>::add(instance); }
  Implementation instance;
};

}  // namespace gatehouse::config

#define GATEHOUSE_REGISTER(Base, Implementation) \
  static ::gatehouse::config::Registration<Base, Implementation> g_##Implementation##_registration
