#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gatehouse::base {

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Strings to values, looked up by view without building a string.
template <class Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

}  // namespace gatehouse::base
