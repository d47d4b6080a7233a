#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "source/memory/slice.h"

namespace gatehouse::buffer {

using memory::Slice;
using memory::SliceOwner;

// A chain of slices: bytes are appended, shared and moved, copied only where that is cheaper
// (pieces of at most kCopyThreshold bytes are packed into the worker's current output segment).
// Belongs to one thread, whose segment pool (memory::SegmentPool::local()) it uses; holds no
// storage while empty. sizeof(Buffer) <= 24 since idle connections have several.
class Buffer {
 public:
  static constexpr size_t kCopyThreshold = 2048;

  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  size_t length() const { return length_; }
  bool empty() const { return length_ == 0; }

  // Takes over the caller's reference on the slice's owner. An empty slice is dropped.
  void append(Slice slice);
  // Copies into pooled segments.
  void appendCopy(std::string_view bytes);
  // Bytes that outlive the buffer (literals).
  void appendStatic(std::string_view bytes);
  // A std::string kept alive by the buffer (moved into a heap owner); for large local bodies.
  void appendOwned(std::string&& bytes);
  // Moves everything of `other` to the end of this; small pieces are packed. `other` is empty
  // afterwards.
  void take(Buffer& other);
  // Moves the first n bytes of `other` (n <= other.length()).
  void takePrefix(Buffer& other, size_t n);
  // Appends a second reference to all bytes of `other`, which stays as it is.
  void share(const Buffer& other);

  void drain(size_t n);
  void clear();

  // The contiguous bytes at the front (possibly fewer than length()).
  std::string_view front() const;
  // Makes the first n bytes contiguous (n <= length()) and returns them; copies only if they are
  // not. Views of earlier fronts end.
  std::string_view linearize(size_t n);
  // Copies out without consuming.
  void copyTo(size_t offset, size_t n, char* to) const;
  std::string toString() const;

  // Fills up to max entries from the front; returns how many.
  size_t iovecs(struct iovec* out, size_t max) const;
  std::span<const Slice> slices() const;

  // A place of at least `n` contiguous bytes to be written and then committed; valid until any
  // other call on any buffer of this thread.
  char* reserve(size_t n);
  void commit(size_t n);

 private:
  Slice* slices_ = nullptr;  // pooled array, a window [first_, first_ + count_) is live
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  uint32_t capacity_ = 0;
  uint32_t length_ = 0;  // lanes are limited to 1 GiB
};

static_assert(sizeof(Buffer) <= 24);

}  // namespace gatehouse::buffer
