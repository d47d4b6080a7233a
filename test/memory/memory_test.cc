#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "source/memory/arena.h"
#include "source/memory/segment.h"
#include "source/memory/slab.h"

namespace gatehouse::memory {
namespace {

TEST(Slab, ReusesTheNewestSlotOfAClass) {
  void* a = slabAllocate(100);
  std::memset(a, 1, 100);
  slabRelease(a, 100);
  void* b = slabAllocate(128);  // same class of 64-byte multiples
  EXPECT_EQ(a, b);
  void* other = slabAllocate(129);
  EXPECT_NE(other, b);
  slabRelease(b, 128);
  slabRelease(other, 129);
}

TEST(Slab, CountsWhatLives) {
  size_t before = slabLive();
  std::vector<std::pair<void*, size_t>> all;
  for (size_t size = 1; size <= 8192; size += 97) all.emplace_back(slabAllocate(size), size);
  EXPECT_EQ(slabLive(), before + all.size());
  for (auto [at, size] : all) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % 64, 0u);
    std::memset(at, 7, size);
  }
  for (auto [at, size] : all) slabRelease(at, size);
  EXPECT_EQ(slabLive(), before);
}

TEST(Slab, LargeSizesGoToTheHeap) {
  size_t before = slabLive();
  void* at = slabAllocate(100'000);
  std::memset(at, 1, 100'000);
  EXPECT_EQ(slabLive(), before);
  slabRelease(at, 100'000);
  slabRelease(nullptr, 10);
}

struct Base : SlabObject {
  virtual ~Base() = default;
};
struct Derived : Base {
  char more[700];
};

TEST(Slab, DeletesByTheFinalTypesSize) {
  size_t before = slabLive();
  Base* object = new Derived();
  EXPECT_EQ(slabLive(), before + 1);
  delete object;
  EXPECT_EQ(slabLive(), before);
  auto* again = new Derived();
  EXPECT_EQ(static_cast<void*>(again),
            static_cast<void*>(object));  // back in the class of its own size
  delete again;
}

#if defined(__SANITIZE_ADDRESS__)
TEST(SlabDeathTest, FreeSlotsArePoisoned) {
  auto* at = static_cast<volatile char*>(slabAllocate(64));
  slabRelease(const_cast<char*>(at), 64);
  EXPECT_DEATH(at[20] = 1, "use-after-poison");
}
#endif

TEST(Segment, IsReusedNewestFirst) {
  SegmentPool& pool = SegmentPool::local();
  size_t live = pool.liveBlocks();
  Segment* a = pool.take(SegmentPool::kSmall);
  EXPECT_EQ(pool.liveBlocks(), live + 1);
  EXPECT_EQ(a->room(), SegmentPool::kSmall);
  a->addRef();
  a->release();
  EXPECT_EQ(pool.liveBlocks(), live + 1);
  a->release();
  EXPECT_EQ(pool.liveBlocks(), live);
  Segment* b = pool.take(SegmentPool::kSmall);
  EXPECT_EQ(a, b);
  EXPECT_EQ(b->used(), 0u);
  b->release();
}

TEST(Segment, ReadBlockStaysTheSameWhileUnshared) {
  SegmentPool& pool = SegmentPool::local();
  Segment& first = pool.readBlock();
  first.addUsed(100);
  EXPECT_EQ(&pool.readBlock(), &first);
  EXPECT_EQ(first.used(), 0u);  // nobody holds the bytes: from the start again
  first.addUsed(1000);
  first.addRef();
  Segment& second = pool.readBlock();
  EXPECT_EQ(&second, &first);  // shared, but more than half is free
  EXPECT_EQ(second.used(), 1000u);
  second.addUsed(SegmentPool::kSmall / 2);
  Segment& third = pool.readBlock();
  EXPECT_NE(&third, &first);
  first.release();
}

TEST(Segment, BlocksForBusyConnectionsAreReusedToo) {
  SegmentPool& pool = SegmentPool::local();
  size_t live = pool.liveBlocks();
  Segment& large = pool.largeReadBlock();
  Segment& huge = pool.hugeReadBlock();
  EXPECT_EQ(large.capacity(), SegmentPool::kLarge);
  EXPECT_EQ(huge.capacity(), SegmentPool::kHuge);
  huge.addUsed(SegmentPool::kHuge - 100);
  EXPECT_EQ(&pool.hugeReadBlock(), &huge);
  EXPECT_EQ(huge.used(), 0u);  // nobody refers to it: from its start
  huge.addRef();
  huge.addUsed(SegmentPool::kHuge - 100);
  Segment& next = pool.hugeReadBlock();
  EXPECT_NE(&next, &huge);  // 100 bytes are not worth a read
  huge.release();
  EXPECT_LE(pool.liveBlocks(), live + 2);
}

TEST(Segment, OutputBlockPacksAndGrows) {
  SegmentPool& pool = SegmentPool::local();
  Segment& a = pool.outputBlock(100);
  a.addRef();
  a.addUsed(100);
  EXPECT_EQ(&pool.outputBlock(200), &a);
  Segment& b = pool.outputBlock(SegmentPool::kSmall);
  EXPECT_NE(&a, &b);
  EXPECT_EQ(pool.outputBlock(SegmentPool::kLarge).capacity(), SegmentPool::kLarge);
  a.release();
}

TEST(Segment, WorksOnAnyThreadAndEndsWithIt) {
  std::thread([] {
    Segment* block = SegmentPool::local().take(SegmentPool::kLarge);
    std::memset(block->data(), 1, block->capacity());
    SegmentPool::local().readBlock();
    block->release();
  }).join();
}

TEST(Arena, UsesTheFirstStorageThenBlocks) {
  alignas(16) std::byte storage[64];
  size_t before = slabLive();
  {
    Arena arena(storage, sizeof(storage));
    void* a = arena.allocate(32);
    EXPECT_EQ(a, storage);
    EXPECT_EQ(slabLive(), before);
    void* b = arena.allocate(64);
    EXPECT_TRUE(b < storage || b >= storage + sizeof(storage));
    EXPECT_EQ(slabLive(), before + 1);
    EXPECT_EQ(arena.copy("hello"), "hello");
    EXPECT_EQ(arena.copy(""), "");
  }
  EXPECT_EQ(slabLive(), before);
}

TEST(Arena, AlignsAndKeepsPiecesApart) {
  Arena arena(nullptr, 0);
  std::vector<std::pair<unsigned char*, size_t>> pieces;
  for (size_t i = 0; i < 2000; ++i) {
    size_t size = 1 + i % 61;
    size_t align = size_t{1} << (i % 5);
    auto* at = static_cast<unsigned char*>(arena.allocate(size, align));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(at) % align, 0u);
    std::memset(at, static_cast<int>(i % 251), size);
    pieces.emplace_back(at, size);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto [at, size] = pieces[i];
    EXPECT_TRUE(std::all_of(at, at + size, [&](unsigned char c) { return c == i % 251; })) << i;
  }
}

TEST(Arena, SaysWhenItIsOverItsLimit) {
  Arena arena(nullptr, 0);
  EXPECT_FALSE(arena.overLimit());
  auto* big = static_cast<char*>(arena.allocate(Arena::kLimit + 1));
  big[Arena::kLimit] = 1;
  EXPECT_TRUE(arena.overLimit());
  EXPECT_NE(arena.allocate(8), nullptr);
}

TEST(Arena, MakesObjects) {
  struct Pair {
    int a;
    int b;
  };
  Arena arena(nullptr, 0);
  Pair* pair = arena.make<Pair>(1, 2);
  EXPECT_EQ(pair->a + pair->b, 3);
  int* many = arena.allocateArray<int>(100);
  many[99] = 1;
  EXPECT_EQ(pair->b, 2);
}

}  // namespace
}  // namespace gatehouse::memory
