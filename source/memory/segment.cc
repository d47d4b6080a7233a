#include "source/memory/segment.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "source/base/assert.h"

namespace gatehouse::memory {

namespace {

void refSegment(SliceOwner* owner) noexcept { static_cast<Segment*>(owner)->addRef(); }
void unrefSegment(SliceOwner* owner) noexcept { static_cast<Segment*>(owner)->release(); }

}  // namespace

void Segment::release() {
  if (--refs_ == 0) SegmentPool::local().giveBack(this);
}

SegmentPool& SegmentPool::local() {
  static thread_local SegmentPool pool;
  return pool;
}

SegmentPool::~SegmentPool() {
  for (Segment* held : {read_, large_read_, huge_read_, output_}) {
    if (held != nullptr) held->release();
  }
  for (FreeList* list : {&small_, &large_, &huge_}) {
    while (list->head != nullptr) {
      Segment* segment = list->head;
      list->head = segment->next_free_;
      std::free(segment);
    }
    list->count = SIZE_MAX / 2;  // what is released later goes straight to the heap
  }
}

Segment* SegmentPool::take(size_t size_class) {
  FreeList& list = listOf(size_class);
  Segment* segment = list.head;
  if (segment != nullptr) {
    list.head = segment->next_free_;
    --list.count;
  } else {
    void* block = std::malloc(sizeof(Segment) + size_class);
    if (block == nullptr) throw std::bad_alloc();
    segment = ::new (block) Segment();
    segment->capacity_ = static_cast<uint32_t>(size_class);
    segment->ref = refSegment;
    segment->unref = unrefSegment;
  }
  ++live_;
  live_bytes_ += size_class;
  segment->used_ = 0;
  segment->refs_ = 1;
  return segment;
}

void SegmentPool::giveBack(Segment* segment) {
  --live_;
  live_bytes_ -= segment->capacity_;
  FreeList& list = listOf(segment->capacity_);
  if (list.count >= keep(segment->capacity_)) {
    std::free(segment);
    return;
  }
  segment->next_free_ = list.head;
  list.head = segment;
  ++list.count;
}

// `held` from its start when nobody else refers to it, its rest while that is worth a read, else
// another block.
Segment& SegmentPool::freshened(Segment*& held, size_t size_class, size_t least_room) {
  if (held != nullptr) {
    if (held->unshared()) {
      held->rewind();
      return *held;
    }
    if (held->room() >= least_room) return *held;
    held->release();
  }
  held = take(size_class);
  return *held;
}

// A tail of half a block still takes most messages in one read.
Segment& SegmentPool::readBlock() { return freshened(read_, kSmall, kSmall / 2); }

Segment& SegmentPool::largeReadBlock() { return freshened(large_read_, kLarge, kSmall); }

Segment& SegmentPool::hugeReadBlock() { return freshened(huge_read_, kHuge, kLarge); }

Segment& SegmentPool::outputBlock(size_t need) {
  GATEHOUSE_ASSERT(need <= kLarge);
  if (output_ != nullptr) {
    if (output_->unshared()) output_->rewind();
    if (output_->room() >= need) return *output_;
    output_->release();
    output_ = nullptr;
  }
  output_ = take(need <= kSmall ? kSmall : kLarge);
  return *output_;
}

}  // namespace gatehouse::memory
