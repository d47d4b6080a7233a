#include "source/memory/slab.h"

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define GATEHOUSE_POISON(at, size) ASAN_POISON_MEMORY_REGION(at, size)
#define GATEHOUSE_UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define GATEHOUSE_POISON(at, size) static_cast<void>(0)
#define GATEHOUSE_UNPOISON(at, size) static_cast<void>(0)
#endif

namespace gatehouse::memory {

namespace {

constexpr size_t kGrain = 64;
constexpr size_t kClasses = 128;  // up to 8 KiB
constexpr size_t kChunk = 64 * 1024;

struct FreeSlot {
  FreeSlot* next;
};

// Chunks are given back to the heap only when the thread ends, and then only if nothing lives in
// them any more.
struct Slab {
  FreeSlot* free[kClasses + 1] = {};
  std::vector<void*> chunks;
  size_t live = 0;

  ~Slab() {
    if (live != 0) return;
    for (void* chunk : chunks) {
      GATEHOUSE_UNPOISON(chunk, kChunk);
      std::free(chunk);
    }
  }

  void refill(size_t index) {
    size_t size = index * kGrain;
    char* chunk = static_cast<char*>(std::aligned_alloc(kGrain, kChunk));
    if (chunk == nullptr) throw std::bad_alloc();
    chunks.push_back(chunk);
    for (size_t at = 0; at + size <= kChunk; at += size) {
      auto* slot = reinterpret_cast<FreeSlot*>(chunk + at);
      slot->next = free[index];
      free[index] = slot;
      GATEHOUSE_POISON(slot, size);
    }
  }
};

Slab& local() {
  static thread_local Slab slab;
  return slab;
}

}  // namespace

void* slabAllocate(size_t size) {
  size_t index = (size + kGrain - 1) / kGrain;
  if (index > kClasses) return ::operator new(size);
  Slab& slab = local();
  if (slab.free[index] == nullptr) slab.refill(index);
  FreeSlot* slot = slab.free[index];
  GATEHOUSE_UNPOISON(slot, index * kGrain);
  slab.free[index] = slot->next;
  ++slab.live;
  return slot;
}

void slabRelease(void* at, size_t size) noexcept {
  if (at == nullptr) return;
  size_t index = (size + kGrain - 1) / kGrain;
  if (index > kClasses) {
    ::operator delete(at);
    return;
  }
  Slab& slab = local();
  auto* slot = static_cast<FreeSlot*>(at);
  slot->next = slab.free[index];
  slab.free[index] = slot;
  --slab.live;
  GATEHOUSE_POISON(at, index * kGrain);
}

size_t slabLive() { return local().live; }

}  // namespace gatehouse::memory
