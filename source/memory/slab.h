#pragma once

#include <cstddef>

namespace gatehouse::memory {

// Thread-local free lists by size class (multiples of 64 bytes up to 8 KiB; larger goes to the
// heap): connections, streams, arena blocks. Free slots are poisoned under AddressSanitizer. A slot
// is released on the thread that allocated it.
void* slabAllocate(size_t size);
void slabRelease(void* at, size_t size) noexcept;
// Slots handed out and not released on this thread: leak checks of tests.
size_t slabLive();

// Gives a class slab storage: `class X : public memory::SlabObject`. Works with the sized delete of
// the final type.
class SlabObject {
 public:
  static void* operator new(size_t size) { return slabAllocate(size); }
  static void* operator new(size_t, void* at) { return at; }
  static void operator delete(void* at, size_t size) noexcept { slabRelease(at, size); }
};

}  // namespace gatehouse::memory
