#pragma once

#include <cstddef>
#include <cstdint>

#include "source/memory/slice.h"

namespace gatehouse::memory {

// A pooled block of bytes with a plain reference count: made, referenced and released on one
// thread. The data follows the header in the same allocation.
class Segment : public SliceOwner {
 public:
  char* data() { return reinterpret_cast<char*>(this + 1); }
  size_t capacity() const { return capacity_; }
  size_t room() const { return capacity_ - used_; }
  // Bytes already given out; new bytes go behind them.
  size_t used() const { return used_; }
  char* tail() { return data() + used_; }
  void addUsed(size_t n) { used_ += static_cast<uint32_t>(n); }
  bool unshared() const { return refs_ == 1; }
  void rewind() { used_ = 0; }
  void addRef() { ++refs_; }
  void release();

 private:
  friend class SegmentPool;
  uint32_t capacity_;
  uint32_t used_;
  uint32_t refs_;
  Segment* next_free_;
};

// The blocks of one thread: 16 KiB for reads and heads, 64 and 256 KiB for bodies. Free blocks are
// kept newest first (hot in cache) up to a bound. local() is made at first use of a thread and
// lives until its end.
class SegmentPool {
 public:
  static constexpr size_t kSmall = 16 * 1024;
  static constexpr size_t kLarge = 64 * 1024;
  static constexpr size_t kHuge = 256 * 1024;

  static SegmentPool& local();
  ~SegmentPool();

  // One reference belongs to the caller.
  Segment* take(size_t size_class);
  // The block that reads go to: reused from its start as long as nobody else refers to it, so that
  // a steady flow of small messages always touches the same cache lines.
  Segment& readBlock();
  // The same for busy connections: 64 KiB, always with room for at least 16.
  Segment& largeReadBlock();
  // For a connection that fills its budget turn after turn: 256 KiB, with room for 64.
  Segment& hugeReadBlock();
  // The block that heads and small pieces of all connections are packed into.
  Segment& outputBlock(size_t need);
  size_t liveBlocks() const { return live_; }
  // Their capacity together.
  size_t liveBytes() const { return live_bytes_; }

 private:
  friend class Segment;
  static constexpr size_t kKeepSmall = 64;
  static constexpr size_t kKeepLarge = 32;
  static constexpr size_t kKeepHuge = 4;
  struct FreeList {
    Segment* head = nullptr;
    size_t count = 0;
  };

  FreeList& listOf(size_t size_class) {
    return size_class == kSmall ? small_ : size_class == kLarge ? large_ : huge_;
  }
  static size_t keep(size_t size_class) {
    return size_class == kSmall ? kKeepSmall : size_class == kLarge ? kKeepLarge : kKeepHuge;
  }
  void giveBack(Segment* segment);
  Segment& freshened(Segment*& held, size_t size_class, size_t least_room);

  FreeList small_;
  FreeList large_;
  FreeList huge_;
  Segment* read_ = nullptr;
  Segment* large_read_ = nullptr;
  Segment* huge_read_ = nullptr;
  Segment* output_ = nullptr;
  size_t live_ = 0;
  size_t live_bytes_ = 0;
};

}  // namespace gatehouse::memory
