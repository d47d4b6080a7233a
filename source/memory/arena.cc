#include "source/memory/arena.h"

#include <algorithm>

#include "source/memory/slab.h"

namespace gatehouse::memory {

struct Arena::Block {
  Block* next;
  size_t size;  // of the whole allocation
};

void* Arena::allocateSlow(size_t size, size_t align) {
  constexpr size_t kBlock = 4096;
  size_t whole = std::max(kBlock, size + align + sizeof(Block));
  auto* block = static_cast<Block*>(slabAllocate(whole));
  block->next = blocks_;
  block->size = whole;
  blocks_ = block;
  grown_ += whole;
  cursor_ = reinterpret_cast<std::byte*>(block + 1);
  end_ = reinterpret_cast<std::byte*>(block) + whole;
  auto at = (reinterpret_cast<uintptr_t>(cursor_) + align - 1) & ~(uintptr_t{align} - 1);
  cursor_ = reinterpret_cast<std::byte*>(at + size);
  return reinterpret_cast<void*>(at);
}

void Arena::releaseBlocks() noexcept {
  while (blocks_ != nullptr) {
    Block* next = blocks_->next;
    slabRelease(blocks_, blocks_->size);
    blocks_ = next;
  }
}

}  // namespace gatehouse::memory
