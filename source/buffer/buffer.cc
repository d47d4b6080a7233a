#include "source/buffer/buffer.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "source/base/assert.h"
#include "source/memory/segment.h"
#include "source/memory/slab.h"

namespace gatehouse::buffer {

namespace {

constexpr uint32_t kFirstCapacity = 8;

void ref(SliceOwner* owner) {
  if (owner != nullptr) owner->ref(owner);
}
void unref(SliceOwner* owner) {
  if (owner != nullptr) owner->unref(owner);
}

// Keeps a string alive; may be released on any thread.
struct OwnedString : SliceOwner {
  explicit OwnedString(std::string&& t) : text(std::move(t)) {
    ref = [](SliceOwner* o) noexcept {
      static_cast<OwnedString*>(o)->count.fetch_add(1, std::memory_order_relaxed);
    };
    unref = [](SliceOwner* o) noexcept {
      auto* self = static_cast<OwnedString*>(o);
      if (self->count.fetch_sub(1, std::memory_order_acq_rel) == 1) delete self;
    };
  }
  std::string text;
  std::atomic<uint32_t> count{1};
};

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : slices_(std::exchange(other.slices_, nullptr)),
      first_(std::exchange(other.first_, 0)),
      count_(std::exchange(other.count_, 0)),
      capacity_(std::exchange(other.capacity_, 0)),
      length_(std::exchange(other.length_, 0u)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    clear();
    slices_ = std::exchange(other.slices_, nullptr);
    first_ = std::exchange(other.first_, 0);
    count_ = std::exchange(other.count_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    length_ = std::exchange(other.length_, 0);
  }
  return *this;
}

Buffer::~Buffer() { clear(); }

void Buffer::clear() {
  for (uint32_t i = 0; i < count_; ++i) unref(slices_[first_ + i].owner);
  if (slices_ != nullptr) memory::slabRelease(slices_, capacity_ * sizeof(Slice));
  slices_ = nullptr;
  first_ = count_ = capacity_ = 0;
  length_ = 0;
}

void Buffer::append(Slice slice) {
  if (slice.len == 0) {
    unref(slice.owner);
    return;
  }
  if (count_ != 0) {
    Slice& last = slices_[first_ + count_ - 1];
    // The next bytes of the same block: one slice, one reference.
    if (last.owner == slice.owner && last.data + last.len == slice.data && slice.owner != nullptr) {
      last.len += slice.len;
      length_ += slice.len;
      unref(slice.owner);
      return;
    }
  }
  if (first_ + count_ == capacity_) {
    if (first_ >= 4 && first_ >= count_) {
      std::memmove(slices_, slices_ + first_, count_ * sizeof(Slice));
      first_ = 0;
    } else {
      uint32_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
      auto* grown = static_cast<Slice*>(memory::slabAllocate(capacity * sizeof(Slice)));
      if (count_ != 0) std::memcpy(grown, slices_ + first_, count_ * sizeof(Slice));
      if (slices_ != nullptr) memory::slabRelease(slices_, capacity_ * sizeof(Slice));
      slices_ = grown;
      first_ = 0;
      capacity_ = capacity;
    }
  }
  slices_[first_ + count_++] = slice;
  length_ += slice.len;
}

char* Buffer::reserve(size_t n) { return memory::SegmentPool::local().outputBlock(n).tail(); }

void Buffer::commit(size_t n) {
  if (n == 0) return;
  memory::Segment& block = memory::SegmentPool::local().outputBlock(n);
  block.addRef();
  Slice slice{reinterpret_cast<const std::byte*>(block.tail()), static_cast<uint32_t>(n), &block};
  block.addUsed(n);
  append(slice);
}

void Buffer::appendCopy(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t n = std::min(bytes.size(), memory::SegmentPool::kSmall);
    std::memcpy(reserve(n), bytes.data(), n);
    commit(n);
    bytes.remove_prefix(n);
  }
}

void Buffer::appendStatic(std::string_view bytes) {
  append({reinterpret_cast<const std::byte*>(bytes.data()), static_cast<uint32_t>(bytes.size()),
          nullptr});
}

void Buffer::appendOwned(std::string&& bytes) {
  if (bytes.size() <= kCopyThreshold) {
    appendCopy(bytes);
    return;
  }
  auto* owner = new OwnedString(std::move(bytes));
  append({reinterpret_cast<const std::byte*>(owner->text.data()),
          static_cast<uint32_t>(owner->text.size()), owner});
}

void Buffer::take(Buffer& other) {
  if (other.count_ == 0) return;
  if (count_ == 0) {
    *this = std::move(other);
    return;
  }
  takePrefix(other, other.length_);
}

void Buffer::takePrefix(Buffer& other, size_t n) {
  GATEHOUSE_ASSERT(n <= other.length_);
  while (n != 0) {
    Slice& slice = other.slices_[other.first_];
    if (slice.len <= n) {
      n -= slice.len;
      other.length_ -= slice.len;
      Slice moved = slice;
      ++other.first_;
      --other.count_;
      // A small piece behind other output is packed, so that the whole leaves as one range.
      if (count_ != 0 && moved.len <= kCopyThreshold) {
        appendCopy({reinterpret_cast<const char*>(moved.data), moved.len});
        unref(moved.owner);
      } else {
        append(moved);
      }
    } else {
      ref(slice.owner);
      append({slice.data, static_cast<uint32_t>(n), slice.owner});
      slice.data += n;
      slice.len -= static_cast<uint32_t>(n);
      other.length_ -= static_cast<uint32_t>(n);
      n = 0;
    }
  }
  if (other.count_ == 0) other.clear();
}

void Buffer::share(const Buffer& other) {
  for (const Slice& slice : other.slices()) {
    ref(slice.owner);
    append(slice);
  }
}

void Buffer::drain(size_t n) {
  GATEHOUSE_ASSERT(n <= length_);
  length_ -= static_cast<uint32_t>(n);
  while (n != 0) {
    Slice& slice = slices_[first_];
    if (slice.len > n) {
      slice.data += n;
      slice.len -= static_cast<uint32_t>(n);
      return;
    }
    n -= slice.len;
    unref(slice.owner);
    ++first_;
    --count_;
  }
  if (count_ == 0) clear();
}

std::string_view Buffer::front() const {
  if (count_ == 0) return {};
  const Slice& slice = slices_[first_];
  return {reinterpret_cast<const char*>(slice.data), slice.len};
}

std::string_view Buffer::linearize(size_t n) {
  GATEHOUSE_ASSERT(n <= length_);
  if (n == 0) return {};
  if (slices_[first_].len >= n) return front().substr(0, n);
  if (n > memory::SegmentPool::kLarge) {
    std::string whole(n, '\0');
    copyTo(0, n, whole.data());
    Buffer rest;
    drain(n);
    rest.take(*this);
    appendOwned(std::move(whole));
    for (const Slice& slice : rest.slices()) {
      ref(slice.owner);
      append(slice);
    }
    return front().substr(0, n);
  }
  Buffer joined;
  copyTo(0, n, joined.reserve(n));
  joined.commit(n);
  drain(n);
  // Plain moves: takePrefix would pack small pieces.
  for (const Slice& slice : slices()) {
    ref(slice.owner);
    joined.append(slice);
  }
  *this = std::move(joined);
  return front().substr(0, n);
}

void Buffer::copyTo(size_t offset, size_t n, char* to) const {
  GATEHOUSE_ASSERT(offset + n <= length_);
  for (const Slice& slice : slices()) {
    if (n == 0) return;
    if (offset >= slice.len) {
      offset -= slice.len;
      continue;
    }
    size_t piece = std::min<size_t>(n, slice.len - offset);
    std::memcpy(to, slice.data + offset, piece);
    to += piece;
    n -= piece;
    offset = 0;
  }
}

std::string Buffer::toString() const {
  std::string text(length_, '\0');
  copyTo(0, length_, text.data());
  return text;
}

size_t Buffer::iovecs(struct iovec* out, size_t max) const {
  size_t n = std::min<size_t>(max, count_);
  for (size_t i = 0; i < n; ++i) {
    const Slice& slice = slices_[first_ + i];
    out[i] = {const_cast<std::byte*>(slice.data), slice.len};
  }
  return n;
}

std::span<const Slice> Buffer::slices() const { return {slices_ + first_, count_}; }

}  // namespace gatehouse::buffer
