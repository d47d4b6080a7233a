#include "source/event/timer_wheel.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "source/event/worker.h"

namespace gatehouse::event {
namespace {

MonoTime g_now{};
MonoTime simulated() { return g_now; }

class TimerWheelTest : public testing::Test {
 protected:
  TimerWheelTest() : worker_((g_now = MonoTime(std::chrono::seconds(1000)), "test"), 0, simulated) {
    worker_.bind();
  }
  void advance(Millis by) {
    g_now += by;
    worker_.timers().advance(g_now, nullptr, nullptr);
  }
  Worker worker_;
};

void count(void* n) noexcept { ++*static_cast<int*>(n); }

TEST_F(TimerWheelTest, FiresOnceNotBeforeItsDeadline) {
  int fired = 0;
  Timer timer;
  timer.arm(Millis(10), count, &fired);
  EXPECT_TRUE(timer.armed());
  advance(Millis(9));
  EXPECT_EQ(fired, 0);
  advance(Millis(2));
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
  advance(Millis(1000));
  EXPECT_EQ(fired, 1);
}

TEST_F(TimerWheelTest, CancelAndDestroy) {
  int fired = 0;
  Timer cancelled;
  cancelled.arm(Millis(5), count, &fired);
  cancelled.cancel();
  {
    Timer gone;
    gone.arm(Millis(5), count, &fired);
  }
  advance(Millis(100));
  EXPECT_EQ(fired, 0);
}

TEST_F(TimerWheelTest, ExtendAndShorten) {
  int fired = 0;
  Timer timer;
  timer.arm(Millis(10), count, &fired);
  advance(Millis(5));
  timer.arm(Millis(10), count, &fired);
  advance(Millis(6));
  EXPECT_EQ(fired, 0);  // the old deadline is over
  advance(Millis(5));
  EXPECT_EQ(fired, 1);
  timer.arm(Millis(100'000), count, &fired);
  timer.arm(Millis(3), count, &fired);
  advance(Millis(5));
  EXPECT_EQ(fired, 2);
}

TEST_F(TimerWheelTest, CallbackMayArmCancelAndDestroyOthers) {
  struct Many {
    Timer a, b;
    std::unique_ptr<Timer> c = std::make_unique<Timer>();
    int fired = 0;
  } many;
  many.a.arm(
      Millis(5),
      [](void* self) noexcept {
        auto* m = static_cast<Many*>(self);
        ++m->fired;
        m->b.cancel();
        m->c.reset();
        m->a.arm(Millis(0), count, &m->fired);  // again
      },
      &many);
  many.b.arm(Millis(5), count, &many.fired);
  many.c->arm(Millis(5), count, &many.fired);
  advance(Millis(10));
  advance(Millis(2));
  EXPECT_EQ(many.fired, 2);
}

TEST_F(TimerWheelTest, UntilNextNeverOverrunsADeadline) {
  EXPECT_LT(worker_.timers().untilNext(g_now).count(), 0);
  int fired = 0;
  Timer timer;
  timer.arm(Millis(7), count, &fired);
  Millis wait = worker_.timers().untilNext(g_now);
  EXPECT_GE(wait.count(), 1);
  EXPECT_LE(wait.count(), 8);
  timer.arm(Millis(3'600'000), count, &fired);
  int wakes = 0;
  while (fired == 0) {
    wait = worker_.timers().untilNext(g_now);
    ASSERT_GE(wait.count(), 0);
    advance(std::max(wait, Millis(1)));
    ASSERT_LT(++wakes, 500);  // an idle worker hardly wakes
  }
  EXPECT_LE((g_now - timer.deadline()), Millis(2));
}

// Thousands of timers over all levels: each within a tick or two of its deadline, never early.
TEST_F(TimerWheelTest, ManyTimersKeepTheirPromise) {
  struct One {
    Timer timer;
    int fired = 0;
    int64_t late_ns = -1;
    MonoTime due{};
    static void fire(void* self) noexcept {
      auto* one = static_cast<One*>(self);
      ++one->fired;
      one->late_ns = (g_now - one->due).count();
    }
  };
  std::mt19937 random(7);
  std::vector<std::unique_ptr<One>> all;
  for (int i = 0; i < 5000; ++i) {
    auto one = std::make_unique<One>();
    Millis delay(random() % (i % 3 == 0 ? 300u : i % 3 == 1 ? 70'000u : 2'000'000u));
    one->timer.arm(delay, One::fire, one.get());
    if (i % 4 == 0) {
      delay += Millis(random() % 5000);
      one->timer.arm(delay, One::fire, one.get());
    }
    one->due = g_now + delay;
    all.push_back(std::move(one));
    if (i % 100 == 0) advance(Millis(random() % 40));
  }
  for (int i = 0; i < 1'100'000; ++i) advance(Millis(2));
  for (auto& one : all) {
    ASSERT_EQ(one->fired, 1);
    ASSERT_GE(one->late_ns, 0);
    ASSERT_LE(one->late_ns, 45'000'000);  // a step of the first phase was up to 40 ms
  }
}

// The loop sleeps exactly as long as untilNext() says, so nothing may come due meanwhile.
TEST_F(TimerWheelTest, SleepingByUntilNextMissesNothing) {
  struct One {
    Timer timer;
    static void fire(void* self) noexcept {
      auto* one = static_cast<One*>(self);
      EXPECT_GE(g_now, one->timer.deadline());
      EXPECT_LE(g_now - one->timer.deadline(), Millis(2));
    }
  };
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    g_now += Millis(random() % 1000);
    worker_.timers().advance(g_now, nullptr, nullptr);
    std::vector<std::unique_ptr<One>> all;
    for (int i = 0; i < 5; ++i) {
      all.push_back(std::make_unique<One>());
      unsigned bound = i % 2 == 0 ? 600u : random() % 2 == 0 ? 200'000u : 20'000'000u;
      all.back()->timer.arm(Millis(random() % bound), One::fire, all.back().get());
    }
    int wakes = 0;
    for (Millis wait; (wait = worker_.timers().untilNext(g_now)).count() >= 0;) {
      ASSERT_LT(++wakes, 5000);
      advance(std::max(wait, Millis(1)));
    }
    for (auto& one : all) ASSERT_FALSE(one->timer.armed());
  }
}

TEST_F(TimerWheelTest, AfterRunsBehindEachCallback) {
  int fired = 0;
  int after = 0;
  Timer a, b;
  a.arm(Millis(1), count, &fired);
  b.arm(Millis(1), count, &fired);
  g_now += Millis(5);
  worker_.timers().advance(g_now, count, &after);
  EXPECT_EQ(fired, 2);
  EXPECT_EQ(after, 2);
}

}  // namespace
}  // namespace gatehouse::event
