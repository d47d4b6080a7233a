#include "source/event/worker.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gatehouse::event {
namespace {

MonoTime g_now{};
MonoTime simulated() { return g_now; }

using Steps = std::vector<std::string>;

struct Fd : FdHandler {
  Fd() : fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Fd() override { ::close(fd); }
  void signal() {
    uint64_t one = 1;
    ASSERT_EQ(::write(fd, &one, sizeof(one)), 8);
  }
  void onFdEvents(uint32_t events) noexcept override {
    seen |= events;
    ++calls;
    uint64_t count;
    [[maybe_unused]] ssize_t got = ::read(fd, &count, sizeof(count));
    if (then) then();
  }
  int fd;
  uint32_t seen = 0;
  int calls = 0;
  std::function<void()> then;
};

struct Work : Task {
  void run() noexcept override {
    ++runs;
    if (then) then();
  }
  int runs = 0;
  std::function<void()> then;
};
struct Flush : Flushable {
  void flush() noexcept override {
    ++runs;
    if (then) then();
  }
  int runs = 0;
  std::function<void()> then;
};
struct Ready : ReadySource {
  void onReady() noexcept override {
    ++runs;
    if (then) then();
  }
  int runs = 0;
  std::function<void()> then;
};
struct Dead : Reapable {
  explicit Dead(std::function<void()> f) : then(std::move(f)) {}
  ~Dead() override { then(); }
  std::function<void()> then;
};

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : worker_((g_now = MonoTime(std::chrono::seconds(100)), "test"), 0, simulated) {
    worker_.bind();
  }
  Worker worker_;
};

TEST_F(WorkerTest, TurnOrder) {
  Steps steps;
  Work after;
  auto note = [&](const std::string& what) {
    steps.push_back(what);
    after.then = [&steps, what] { steps.push_back("run after " + what); };
    worker_.queue(after);
  };
  Fd fd;
  Ready ready;
  Flush flush, late;
  Timer timer;
  fd.then = [&] { note("fd"); };
  ready.then = [&] { note("ready"); };
  flush.then = [&] {
    steps.push_back("produce");
    after.then = [&] {
      steps.push_back("run after produce");
      worker_.markDirty(late);
    };
    worker_.queue(after);
  };
  late.then = [&] { steps.push_back("produce once more"); };
  worker_.fds().addReadOnly(fd.fd, fd);
  fd.signal();
  worker_.markReady(ready);
  worker_.post([&] { note("mail"); });
  struct Capture {
    decltype(note)* f;
  } capture{&note};
  timer.arm(
      Millis(5), [](void* self) noexcept { (*static_cast<Capture*>(self)->f)("timer"); }, &capture);
  worker_.markDirty(flush);
  worker_.bury(*new Dead([&] { steps.push_back("reap"); }));
  g_now += Millis(6);
  worker_.runOnce();
  EXPECT_EQ(steps, (Steps{"fd", "run after fd", "ready", "run after ready", "mail",
                          "run after mail", "timer", "run after timer", "produce",
                          "run after produce", "produce once more", "reap"}));
  worker_.fds().remove(fd.fd);
}

TEST_F(WorkerTest, EachItemIsFollowedByTheRunQueue) {
  Steps steps;
  Work work;
  work.then = [&] { steps.push_back("run"); };
  Fd a, b;
  for (Fd* fd : {&a, &b}) {
    fd->then = [&] {
      steps.push_back("fd");
      worker_.queue(work);
      worker_.queue(work);  // any number of times
    };
    worker_.fds().addReadOnly(fd->fd, *fd);
    fd->signal();
  }
  worker_.runOnce();
  EXPECT_EQ(steps, (Steps{"fd", "run", "fd", "run"}));
  worker_.fds().remove(a.fd);
  worker_.fds().remove(b.fd);
}

TEST_F(WorkerTest, UrgentConnectionsFlushBeforeTheNextItem) {
  Steps steps;
  Fd first, second;
  Flush urgent, ordinary;
  urgent.then = [&] { steps.push_back("urgent"); };
  ordinary.then = [&] { steps.push_back("ordinary"); };
  int items = 0;
  auto item = [&] {
    steps.push_back("item");
    if (++items == 1) {
      worker_.markDirty(ordinary);
      worker_.markDirty(urgent);
      worker_.markUrgent(urgent);  // moves it: it flushes once
    }
  };
  first.then = second.then = item;
  worker_.fds().addReadOnly(first.fd, first);
  worker_.fds().addReadOnly(second.fd, second);
  first.signal();
  second.signal();
  worker_.runOnce();
  EXPECT_EQ(steps, (Steps{"item", "urgent", "item", "ordinary"}));
  worker_.fds().remove(first.fd);
  worker_.fds().remove(second.fd);
}

TEST_F(WorkerTest, TaskThatQueuesItselfIsBoundedPerTurn) {
  Work work;
  work.then = [&] { worker_.queue(work); };
  worker_.queue(work);
  worker_.runOnce();
  EXPECT_EQ(work.runs, 64);
  worker_.runOnce();
  EXPECT_EQ(work.runs, 128);
  work.then = nullptr;
  worker_.runOnce();
  EXPECT_EQ(work.runs, 129);
}

TEST_F(WorkerTest, ReadyAgainWaitsForTheNextTurn) {
  Ready ready;
  ready.then = [&] { worker_.markReady(ready); };
  worker_.markReady(ready);
  worker_.runOnce();
  EXPECT_EQ(ready.runs, 1);
  worker_.runOnce();
  EXPECT_EQ(ready.runs, 2);
}

TEST_F(WorkerTest, RemovedHandlerGetsNoEventOfTheSameBatch) {
  auto first = std::make_unique<Fd>();
  auto second = std::make_unique<Fd>();
  int calls = 0;
  auto endOther = [&](std::unique_ptr<Fd>& other) {
    ++calls;
    worker_.fds().remove(other->fd);
    other.reset();
  };
  first->then = [&] { endOther(second); };
  second->then = [&] { endOther(first); };
  for (auto* fd : {first.get(), second.get()}) {
    worker_.fds().addReadOnly(fd->fd, *fd);
    fd->signal();
  }
  worker_.runOnce();
  EXPECT_EQ(calls, 1);
  worker_.runOnce();
  for (auto* fd : {first.get(), second.get()}) {
    if (fd != nullptr) worker_.fds().remove(fd->fd);
  }
}

TEST_F(WorkerTest, EdgesComeOnceAndRdHupIsTold) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
  struct Plain : FdHandler {
    void onFdEvents(uint32_t events) noexcept override {
      seen |= events;
      ++calls;
    }
    uint32_t seen = 0;
    int calls = 0;
  } handler;
  EXPECT_EQ(worker_.fds().add(pair[0], handler), 0);
  EXPECT_EQ(worker_.fds().add(pair[0], handler), EEXIST);
  worker_.runOnce();
  EXPECT_EQ(handler.seen, uint32_t{kWritable});
  int calls = handler.calls;
  worker_.runOnce();
  EXPECT_EQ(handler.calls, calls);  // no edge, although still writable
  ASSERT_EQ(::write(pair[1], "x", 1), 1);
  worker_.runOnce();
  EXPECT_TRUE(handler.seen & kReadable);
  calls = handler.calls;
  worker_.runOnce();
  EXPECT_EQ(handler.calls, calls);  // not read, and yet no second event
  ::close(pair[1]);
  worker_.runOnce();
  EXPECT_TRUE(handler.seen & kRdHup);
  worker_.fds().remove(pair[0]);
  worker_.fds().remove(pair[0]);  // idempotent
  ::close(pair[0]);
}

TEST_F(WorkerTest, ReadOnlyFdIsLevelTriggered) {
  Fd fd;
  uint64_t one = 1;
  struct Keep : FdHandler {
    void onFdEvents(uint32_t) noexcept override { ++calls; }
    int calls = 0;
  } keep;
  worker_.fds().addReadOnly(fd.fd, keep);
  ASSERT_EQ(::write(fd.fd, &one, 8), 8);
  worker_.runOnce();
  worker_.runOnce();
  EXPECT_EQ(keep.calls, 2);
  worker_.fds().remove(fd.fd);
}

TEST_F(WorkerTest, GraveyardTakesWhatDestructorsBury) {
  int freed = 0;
  worker_.bury(*new Dead([&] {
    ++freed;
    worker_.bury(*new Dead([&] { ++freed; }));
  }));
  worker_.runOnce();
  EXPECT_EQ(freed, 2);
}

TEST_F(WorkerTest, ClockIsReadByTheTurnOnly) {
  MonoTime before = worker_.now();
  g_now += Millis(50);
  EXPECT_EQ(worker_.now(), before);
  worker_.runOnce();
  EXPECT_EQ(worker_.now(), g_now);
  int64_t wall = worker_.wallMicros();
  EXPECT_EQ(worker_.wallMicros(), wall);
  EXPECT_GT(wall, 1'600'000'000'000'000);
}

TEST_F(WorkerTest, MailPostedByMailRunsInTheNextTurn) {
  int ran = 0;
  worker_.post([&] {
    ++ran;
    worker_.post([&] { ++ran; });
  });
  worker_.runOnce();
  EXPECT_EQ(ran, 1);
  worker_.runOnce();
  EXPECT_EQ(ran, 2);
}

TEST_F(WorkerTest, ClosedMailboxRefusesAndDestroys) {
  auto token = std::make_shared<int>(1);
  EXPECT_TRUE(worker_.post([token] {}));
  worker_.mailbox().close();
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_FALSE(worker_.post([token] {}));
  EXPECT_EQ(token.use_count(), 1);
}

// The real loop, waiting in the kernel.
TEST(WorkerRun, WakesForMailFdsAndTimersAndStops) {
  Worker worker("real", 1);
  std::atomic<int> mail{0};
  std::atomic<int> timers{0};
  Fd fd;
  std::atomic<bool> fd_seen{false};
  fd.then = [&] { fd_seen = true; };
  std::thread thread([&] {
    worker.bind();
    worker.fds().addReadOnly(fd.fd, fd);
    Timer timer;
    timer.arm(
        Millis(2), [](void* n) noexcept { ++*static_cast<std::atomic<int>*>(n); }, &timers);
    worker.run();
    worker.fds().remove(fd.fd);
  });
  // Each waits until the loop has seen it, whatever the loop was doing: a lost wake-up hangs the
  // test.
  for (int i = 1; i <= 2000; ++i) {
    worker.post([&] { ++mail; });
    while (mail < i) std::this_thread::yield();
  }
  fd.signal();
  while (!fd_seen) std::this_thread::yield();
  while (timers == 0) std::this_thread::yield();
  worker.stop();
  thread.join();
  EXPECT_EQ(timers, 1);
}

TEST(WorkerRun, ManyPostersLoseNothing) {
  Worker worker("real", 1);
  std::atomic<int> ran{0};
  std::thread loop([&] { worker.run(); });
  std::vector<std::thread> posters;
  for (int t = 0; t < 4; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) worker.post([&] { ++ran; });
    });
  }
  for (auto& poster : posters) poster.join();
  worker.stop();
  loop.join();
  EXPECT_EQ(ran, 20'000);
}

TEST(WorkerRun, CurrentIsOfTheThread) {
  EXPECT_EQ(Worker::currentOrNull(), nullptr);
  {
    Worker worker("w", 3);
    worker.bind();
    EXPECT_EQ(&Worker::current(), &worker);
    EXPECT_EQ(worker.index(), 3u);
    EXPECT_EQ(worker.name(), "w");
    std::thread([] { EXPECT_EQ(Worker::currentOrNull(), nullptr); }).join();
  }
  EXPECT_EQ(Worker::currentOrNull(), nullptr);
}

}  // namespace
}  // namespace gatehouse::event
