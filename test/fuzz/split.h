#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace gatehouse::fuzz {

// Calls `f` with the pieces of `bytes` until it returns false: one piece when `seed` is 0,
// otherwise pieces of 1 to 40 bytes that depend on the seed alone. False: `f` stopped it.
template <class F>
bool forEachPiece(std::string_view bytes, uint64_t seed, F&& f) {
  while (!bytes.empty()) {
    size_t size = bytes.size();
    if (seed != 0) {
      seed = seed * 6364136223846793005ull + 1442695040888963407ull;
      size = std::min<size_t>(size, 1 + (seed >> 33) % 40);
    }
    if (!f(bytes.substr(0, size))) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

}  // namespace gatehouse::fuzz
