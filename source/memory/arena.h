#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace gatehouse::memory {

// Bump allocation for what lives exactly as long as a stream (or an attempt): heads, per-stream
// filter state. Nothing is freed before the arena dies; destructors of objects made here are the
// caller's business. Grows by pooled blocks of the worker. One thread. Never allocate here per
// chunk, message or retry.
class Arena {
 public:
  // Past this the stream is refused (431 or 500): allocation still succeeds, overLimit() says so.
  static constexpr size_t kLimit = 256 * 1024;

  // `first` is storage the owner provides next to the stream (may be null with size 0).
  Arena(std::byte* first, size_t size) : cursor_(first), end_(first + size) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    if (blocks_ != nullptr) releaseBlocks();
  }

  void* allocate(size_t size, size_t align = alignof(std::max_align_t)) {
    auto at = (reinterpret_cast<uintptr_t>(cursor_) + align - 1) & ~(uintptr_t{align} - 1);
    if (at + size <= reinterpret_cast<uintptr_t>(end_) && cursor_ != nullptr) [[likely]] {
      cursor_ = reinterpret_cast<std::byte*>(at + size);
      return reinterpret_cast<void*>(at);
    }
    return allocateSlow(size, align);
  }
  template <class T>
  T* allocateArray(size_t count) {
    return static_cast<T*>(allocate(count * sizeof(T), alignof(T)));
  }
  // The object's destructor is not run by the arena.
  template <class T, class... Args>
  T* make(Args&&... args) {
    return ::new (allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    auto* to = static_cast<char*>(allocate(text.size(), 1));
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  bool overLimit() const { return grown_ > kLimit; }

 private:
  struct Block;
  void* allocateSlow(size_t size, size_t align);
  void releaseBlocks() noexcept;

  std::byte* cursor_;
  std::byte* end_;
  Block* blocks_ = nullptr;
  size_t grown_ = 0;  // bytes of all blocks beyond the first storage
};

}  // namespace gatehouse::memory
