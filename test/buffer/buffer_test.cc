#include "source/buffer/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "source/memory/segment.h"
#include "source/memory/slab.h"

namespace gatehouse::buffer {
namespace {

struct CountedOwner : SliceOwner {
  CountedOwner() {
    ref = [](SliceOwner* o) noexcept { ++static_cast<CountedOwner*>(o)->refs; };
    unref = [](SliceOwner* o) noexcept { --static_cast<CountedOwner*>(o)->refs; };
  }
  int refs = 1;
};

Slice sliceOf(std::string_view text, SliceOwner* owner) {
  return {reinterpret_cast<const std::byte*>(text.data()), static_cast<uint32_t>(text.size()),
          owner};
}

TEST(Buffer, HoldsNoStorageWhenEmpty) {
  size_t live = memory::slabLive();
  Buffer buffer;
  buffer.appendCopy("hello");
  EXPECT_GT(memory::slabLive(), live);
  buffer.drain(5);
  EXPECT_EQ(memory::slabLive(), live);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.front(), "");
}

TEST(Buffer, CountsReferences) {
  CountedOwner owner;
  std::string text = "abcdef";
  {
    Buffer a;
    a.append(sliceOf(text, &owner));
    EXPECT_EQ(owner.refs, 1);
    Buffer b;
    b.share(a);
    EXPECT_EQ(owner.refs, 2);
    EXPECT_EQ(b.toString(), "abcdef");
    Buffer c;
    c.takePrefix(b, 2);
    EXPECT_EQ(owner.refs, 3);  // the cut slice is held by both
    b.drain(4);
    EXPECT_EQ(owner.refs, 2);
    EXPECT_EQ(c.toString(), "ab");
    Buffer d(std::move(c));
    EXPECT_TRUE(c.empty());  // NOLINT: a moved-from buffer is empty
    EXPECT_EQ(d.toString(), "ab");
    a = std::move(d);
    EXPECT_EQ(owner.refs, 1);
  }
  EXPECT_EQ(owner.refs, 0);
}

TEST(Buffer, EmptySliceIsDropped) {
  CountedOwner owner;
  Buffer buffer;
  buffer.append(sliceOf("", &owner));
  EXPECT_EQ(owner.refs, 0);
  EXPECT_EQ(buffer.slices().size(), 0u);
}

TEST(Buffer, AdjacentBytesOfOneOwnerBecomeOneSlice) {
  CountedOwner owner;
  std::string text = "abcdef";
  Buffer buffer;
  buffer.append(sliceOf(std::string_view(text).substr(0, 3), &owner));
  ++owner.refs;
  buffer.append(sliceOf(std::string_view(text).substr(3), &owner));
  EXPECT_EQ(buffer.slices().size(), 1u);
  EXPECT_EQ(owner.refs, 1);
  EXPECT_EQ(buffer.toString(), text);
}

TEST(Buffer, SmallCopiesShareOneSlice) {
  Buffer buffer;
  for (int i = 0; i < 20; ++i) buffer.appendCopy("0123456789");
  EXPECT_LE(buffer.slices().size(), 2u);
  EXPECT_EQ(buffer.length(), 200u);
}

TEST(Buffer, TakePacksSmallPiecesAndMovesLargeOnes) {
  Buffer to, from;
  to.appendCopy("head");
  std::string large(10'000, 'x');
  CountedOwner owner;
  from.appendStatic("small");
  from.append(sliceOf(large, &owner));
  to.take(from);
  EXPECT_TRUE(from.empty());
  EXPECT_EQ(to.toString(), "headsmall" + large);
  EXPECT_EQ(to.slices().size(), 2u);
  EXPECT_EQ(reinterpret_cast<const char*>(to.slices()[1].data), large.data());  // not copied
  EXPECT_EQ(owner.refs, 1);
}

TEST(Buffer, LinearizeCopiesOnlyWhenItMust) {
  Buffer buffer;
  buffer.appendStatic("abc");
  buffer.appendStatic("def");
  buffer.appendStatic("ghi");
  const char* at = buffer.front().data();
  EXPECT_EQ(buffer.linearize(3).data(), at);
  EXPECT_EQ(buffer.linearize(5), "abcde");
  EXPECT_EQ(buffer.toString(), "abcdefghi");
  std::string big(200'000, 'z');
  buffer.appendOwned(std::string(big));
  EXPECT_EQ(buffer.linearize(9 + big.size()), "abcdefghi" + big);
}

TEST(Buffer, ReserveAndCommit) {
  Buffer buffer;
  std::memcpy(buffer.reserve(1000), "0123456789", 10);
  buffer.commit(10);
  std::memcpy(buffer.reserve(10), "abc", 3);
  buffer.commit(3);
  buffer.reserve(10);
  buffer.commit(0);
  EXPECT_EQ(buffer.toString(), "0123456789abc");
  EXPECT_EQ(buffer.slices().size(), 1u);
}

TEST(Buffer, IovecsCoverTheFront) {
  Buffer buffer;
  for (int i = 0; i < 10; ++i) buffer.appendStatic("xyz");
  iovec pieces[4];
  EXPECT_EQ(buffer.iovecs(pieces, 4), 4u);
  EXPECT_EQ(std::string_view(static_cast<char*>(pieces[3].iov_base), pieces[3].iov_len), "xyz");
}

// Random operations on several buffers against strings.
TEST(BufferProperty, BehavesAsAString) {
  size_t slab_before = memory::slabLive();
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    auto pick = [&](size_t below) { return below == 0 ? 0 : random() % below; };
    static const std::string kStatic(5000, 's');
    constexpr size_t kCount = 3;
    Buffer buffers[kCount];
    std::string model[kCount];
    for (int step = 0; step < 400; ++step) {
      size_t i = pick(kCount);
      size_t j = (i + 1 + pick(kCount - 1)) % kCount;
      Buffer& b = buffers[i];
      std::string& m = model[i];
      size_t size = pick(4) == 0 ? pick(30'000) : pick(100);
      switch (pick(10)) {
        case 0: {
          std::string text(size, static_cast<char>('a' + pick(26)));
          b.appendCopy(text);
          m += text;
          break;
        }
        case 1: {
          auto text = std::string_view(kStatic).substr(0, pick(kStatic.size()));
          b.appendStatic(text);
          m += text;
          break;
        }
        case 2: {
          std::string text(size, static_cast<char>('A' + pick(26)));
          m += text;
          b.appendOwned(std::move(text));
          break;
        }
        case 3:
          b.take(buffers[j]);
          m += model[j];
          model[j].clear();
          break;
        case 4: {
          size_t n = pick(model[j].size() + 1);
          b.takePrefix(buffers[j], n);
          m += model[j].substr(0, n);
          model[j].erase(0, n);
          break;
        }
        case 5:
          if (m.size() + model[j].size() > 500'000) break;
          b.share(buffers[j]);
          m += model[j];
          break;
        case 6:
        case 7: {
          size_t n = pick(m.size() + 1);
          b.drain(n);
          m.erase(0, n);
          break;
        }
        case 8: {
          size_t n = pick(m.size() + 1);
          ASSERT_EQ(b.linearize(n), std::string_view(m).substr(0, n));
          break;
        }
        case 9:
          std::swap(b, buffers[j]);
          std::swap(m, model[j]);
          break;
      }
      ASSERT_EQ(b.length(), m.size()) << "seed " << seed << " step " << step;
      ASSERT_EQ(b.empty(), m.empty());
      size_t offset = pick(m.size() + 1);
      size_t n = pick(m.size() - offset + 1);
      std::string part(n, '\0');
      b.copyTo(offset, n, part.data());
      ASSERT_EQ(part, m.substr(offset, n));
    }
    for (size_t i = 0; i < kCount; ++i)
      ASSERT_EQ(buffers[i].toString(), model[i]) << "seed " << seed;
  }
  EXPECT_EQ(memory::slabLive(), slab_before);
}

}  // namespace
}  // namespace gatehouse::buffer
