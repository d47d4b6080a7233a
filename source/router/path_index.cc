#include "source/router/path_index.h"

#include <algorithm>
#include <utility>

namespace gatehouse::router {

void PathIndex::addPrefix(std::string prefix, uint32_t route) {
  Prefix one;
  one.text = std::move(prefix);
  one.routes.push_back(route);
  prefixes_.push_back(std::move(one));
}

void PathIndex::finish(uint32_t routes) {
  routes_ = routes;
  std::stable_sort(prefixes_.begin(), prefixes_.end(),
                   [](const Prefix& a, const Prefix& b) { return a.text < b.text; });
  std::vector<Prefix> merged;
  for (Prefix& one : prefixes_) {
    if (!merged.empty() && merged.back().text == one.text) {
      merged.back().routes.push_back(one.routes.front());
    } else {
      merged.push_back(std::move(one));
    }
  }
  prefixes_ = std::move(merged);
  // In sorted order everything between a prefix and its extensions are its extensions: a stack
  // finds the parents.
  std::vector<int32_t> open;
  for (size_t i = 0; i < prefixes_.size(); ++i) {
    while (!open.empty() &&
           !prefixes_[i].text.starts_with(prefixes_[static_cast<size_t>(open.back())].text))
      open.pop_back();
    prefixes_[i].parent = open.empty() ? -1 : open.back();
    open.push_back(static_cast<int32_t>(i));
  }
}

int32_t PathIndex::longestPrefix(std::string_view path) const {
  auto after = std::upper_bound(prefixes_.begin(), prefixes_.end(), path,
                                [](std::string_view p, const Prefix& one) { return p < one.text; });
  if (after == prefixes_.begin()) return -1;
  auto node = static_cast<int32_t>(after - prefixes_.begin()) - 1;
  while (node >= 0 && !path.starts_with(prefixes_[static_cast<size_t>(node)].text)) {
    node = prefixes_[static_cast<size_t>(node)].parent;
  }
  return node;
}

}  // namespace gatehouse::router
