#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "source/base/text_map.h"

namespace gatehouse::router {

// Finds the routes whose path condition may hold without looking at the others: a hash for exact
// paths, sorted prefixes with a link to the longest other prefix each contains, and a list of those
// that must always be looked at (regular expressions, ignored case). Built once, then immutable.
class PathIndex {
 public:
  void addExact(std::string path, uint32_t route) { exact_[std::move(path)].push_back(route); }
  void addPrefix(std::string prefix, uint32_t route);
  void addOther(uint32_t route) { other_.push_back(route); }
  // After the last add. `routes`: how many there are in all.
  void finish(uint32_t routes);

  // Calls accept(route) for every candidate in configuration order until it returns true. `path`
  // has no query.
  template <class Accept>
  bool find(std::string_view path, Accept&& accept) const {
    constexpr size_t kMaxLists = 64;
    const std::vector<uint32_t>* lists[kMaxLists];
    size_t at[kMaxLists] = {};
    size_t count = 0;
    if (!other_.empty()) lists[count++] = &other_;
    if (!exact_.empty()) {
      auto found = exact_.find(path);
      if (found != exact_.end()) lists[count++] = &found->second;
    }
    for (int32_t node = longestPrefix(path); node >= 0;
         node = prefixes_[static_cast<size_t>(node)].parent) {
      if (count == kMaxLists) return findSlowly(path, accept);
      lists[count++] = &prefixes_[static_cast<size_t>(node)].routes;
    }
    for (;;) {
      size_t best = count;
      for (size_t i = 0; i < count; ++i) {
        if (at[i] < lists[i]->size() &&
            (best == count || (*lists[i])[at[i]] < (*lists[best])[at[best]]))
          best = i;
      }
      if (best == count) return false;
      if (accept((*lists[best])[at[best]++])) return true;
    }
  }

 private:
  struct Prefix {
    std::string text;
    std::vector<uint32_t> routes;
    int32_t parent = -1;
  };

  // The longest prefix that `path` starts with; -1: none.
  int32_t longestPrefix(std::string_view path) const;
  // More nested prefixes than find() keeps on its stack: every route is offered in order.
  template <class Accept>
  bool findSlowly(std::string_view, Accept&& accept) const {
    for (uint32_t route = 0; route < routes_; ++route) {
      if (accept(route)) return true;
    }
    return false;
  }

  base::TextMap<std::vector<uint32_t>> exact_;
  std::vector<Prefix> prefixes_;
  std::vector<uint32_t> other_;
  uint32_t routes_ = 0;
};

}  // namespace gatehouse::router
