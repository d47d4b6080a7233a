#include "source/config/known.h"

#include <algorithm>
#include <iterator>

namespace gatehouse::config {

namespace {

struct Known {
  std::string_view owner;
  std::string_view names;  // separated by blanks
};

constexpr Known kFields[] = {
#include "source/config/known_fields.inc"
};

constexpr std::string_view kTypes[] = {
#include "source/config/known_types.inc"
};

}  // namespace

bool knownToEnvoy(std::string_view owner, std::string_view name) {
  for (const Known& known : kFields) {
    if (known.owner != owner) continue;
    std::string_view rest = known.names;
    while (!rest.empty()) {
      size_t blank = rest.find(' ');
      if (rest.substr(0, blank) == name) return true;
      rest.remove_prefix(blank == rest.npos ? rest.size() : blank + 1);
    }
  }
  return false;
}

bool typeKnownToEnvoy(std::string_view type) {
  return std::find(std::begin(kTypes), std::end(kTypes), type) != std::end(kTypes);
}

}  // namespace gatehouse::config
