#include "test/budget/counters.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

namespace gatehouse::budget {
namespace {

TEST(Counters, SeesAllocations) {
  if (!countsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  Counts before = onThisThread();
  auto text = std::make_unique<std::string>(100, 'x');
  Counts used = onThisThread() - before;
  EXPECT_EQ(used.allocations, 2u);
  text.reset();
  EXPECT_EQ((onThisThread() - before).frees, 2u);
}

TEST(Counters, SeesSystemCalls) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Counts before = onThisThread();
  char text[4];
  EXPECT_EQ(::send(pair[0], "ab", 2, 0), 2);
  EXPECT_EQ(::recv(pair[1], text, 4, 0), 2);
  int set = ::epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLOUT;
  EXPECT_EQ(::epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event), 0);
  EXPECT_EQ(::epoll_wait(set, &event, 1, 0), 1);
  auto now = std::chrono::steady_clock::now();
  EXPECT_GT(now.time_since_epoch().count(), 0);
  ::close(pair[0]);
  Counts used = onThisThread() - before;
  EXPECT_EQ(used.sends, 1u);
  EXPECT_EQ(used.receives, 1u);
  EXPECT_EQ(used.epoll_ctls, 1u);
  EXPECT_EQ(used.epoll_waits, 1u);
  EXPECT_EQ(used.clocks, 1u);
  EXPECT_EQ(used.closes, 1u);
  ::close(set);
  ::close(pair[1]);
}

TEST(Counters, FailuresKeepErrno) {
  char text[1];
  errno = 0;
  EXPECT_EQ(::recv(-1, text, 1, 0), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Counters, AreOfOneThread) {
  Counts before = onThisThread();
  uint64_t there = 0;
  std::thread other([&] {
    Counts start = onThisThread();
    char text[1];
    for (int i = 0; i < 10; ++i) EXPECT_EQ(::recv(-1, text, 1, 0), -1);
    there = (onThisThread() - start).receives;
  });
  other.join();
  EXPECT_EQ(there, 10u);
  EXPECT_EQ((onThisThread() - before).receives, 0u);
}

}  // namespace
}  // namespace gatehouse::budget
