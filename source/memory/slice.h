#pragma once

#include <cstddef>
#include <cstdint>

namespace gatehouse::memory {

// Keeps the bytes of slices alive. Owners: a worker's segment (plain count, one thread), a shared
// block (atomic count), static bytes (no count). ref and unref are called on the thread that the
// owner allows.
struct SliceOwner {
  void (*ref)(SliceOwner*) noexcept;
  void (*unref)(SliceOwner*) noexcept;
};

// A range of immutable bytes with one reference on its owner (null: bytes that outlive everything,
// e.g. literals).
struct Slice {
  const std::byte* data;
  uint32_t len;
  SliceOwner* owner;
};

}  // namespace gatehouse::memory
