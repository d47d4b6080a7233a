#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "source/base/intrusive_list.h"
#include "source/event/fd_watcher.h"
#include "source/event/mailbox.h"
#include "source/event/timer_wheel.h"

namespace gatehouse::event {

// Work that must run on this worker soon but not inside the current call: streams whose state bits
// were set. queue() may be called any number of times before it runs. At most 64 runs a turn for
// one item; the rest waits for the next turn.
class Task : public base::ListLink<struct TaskTag> {
 public:
  virtual void run() noexcept = 0;

 protected:
  ~Task() = default;

 private:
  friend class Worker;
  uint32_t turn_ = 0;
  uint8_t runs_ = 0;
};

// A connection with output to produce. flush() is called in the produce step of the turn: pulls
// from its codec, writes once.
class Flushable : public base::ListLink<struct FlushTag> {
 public:
  virtual void flush() noexcept = 0;

 protected:
  ~Flushable() = default;
};

// A source whose fd will not announce anything although there is something to read (credit after a
// pause, read budget hit, bytes inside TLS). onReady() is called in step 2 of the next turn.
class ReadySource : public base::ListLink<struct ReadyTag> {
 public:
  virtual void onReady() noexcept = 0;

 protected:
  ~ReadySource() = default;
};

// What died in this turn: freed in step 8 and nowhere else, so that stale events and codec pointers
// find it closed.
class Reapable {
 public:
  Reapable() = default;
  Reapable(const Reapable&) = delete;
  Reapable& operator=(const Reapable&) = delete;
  virtual ~Reapable() = default;

 private:
  friend class Worker;
  // Buried: the one buried before, the first one itself.
  Reapable* next_ = nullptr;
};

// One event loop on one thread: main and every worker. The order of a turn is fixed:
//   1 fd events (at most 128)  2 ready list  3 mailbox  4 due timers; after EACH item the run queue
//   is worked until empty and urgent connections flush 5 produce: every dirty connection flushes  6
//   run queue again, and produce once more for what became dirty 7 (configuration is adopted
//   through the mailbox)  8 the graveyard is freed  9 wait, unless the ready list is not empty
// The connections' fds are in an epoll set of the worker's own, edge-triggered and registered once;
// one Asio descriptor watches that set. While the set yields events the loop stays on it and goes
// to Asio only when it is empty or after 256 turns: with 50 busy connections that is 0.26
// epoll_wait and 0.02 epoll_ctl a request against 0.50 and 0.25 with a re-arm every turn. All
// methods on the worker's own thread unless marked. current() is the worker of the calling thread.
class Worker {
 public:
  using Clock = MonoTime (*)();

  // `clock` replaces the monotonic clock in tests.
  explicit Worker(std::string_view name, uint32_t index, Clock clock = nullptr);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Worker& current();
  static Worker* currentOrNull();

  // Makes the calling thread this worker's (run() does it too).
  void bind();
  // Runs turns until stop().
  void run();
  // One turn that does not wait (tests).
  void runOnce();
  // Any thread.
  void stop();

  uint32_t index() const { return index_; }
  const std::string& name() const { return name_; }

  FdWatcher& fds() { return *fds_; }
  TimerWheel& timers() { return timers_; }
  // Monotonic time, read once a turn; never calls the clock.
  MonoTime now() const { return timers_.now(); }
  // Wall clock in microseconds since the epoch; the clock is read at most once a turn.
  int64_t wallMicros();
  uint64_t turns() const { return turn_; }

  // Any thread. False once the mailbox is closed: the message is then destroyed here.
  bool post(std::function<void()> message) { return mailbox_.post(std::move(message)); }
  Mailbox& mailbox() { return mailbox_; }

  void queue(Task& task) {
    if (!task.linked()) run_queue_.pushBack(task);
  }
  void markDirty(Flushable& connection) {
    if (!connection.linked()) dirty_.pushBack(connection);
  }
  // A connection with much output: flushes after the current item instead of at the end of the
  // turn, while the bytes are still in the cache (64 KiB answers on 50 connections otherwise go
  // through memory twice).
  void markUrgent(Flushable& connection) {
    connection.unlink();
    urgent_.pushBack(connection);
  }
  void markReady(ReadySource& source) {
    if (!source.linked()) ready_.pushBack(source);
  }
  void bury(Reapable& dead) {
    if (dead.next_ != nullptr) return;
    dead.next_ = graveyard_ != nullptr ? graveyard_ : &dead;
    graveyard_ = &dead;
  }

 private:
  class NestedEpoll;
  void turn(bool may_wait);
  void drainRunQueue();
  // What follows each item: the run queue, then urgent connections.
  void settle();
  void produce();
  void reap();
  static void afterItem(void* self) noexcept;

  std::string name_;
  uint32_t index_;
  Clock clock_;
  uint32_t turn_ = 0;
  int64_t wall_micros_ = 0;
  uint32_t wall_turn_ = UINT32_MAX;
  bool stopped_ = false;
  bool mail_ = false;
  TimerWheel timers_;
  Mailbox mailbox_;
  base::IntrusiveList<Task, TaskTag> run_queue_;
  base::IntrusiveList<Task, TaskTag> next_turn_;  // hit their bound of runs
  base::IntrusiveList<Flushable, FlushTag> dirty_;
  base::IntrusiveList<Flushable, FlushTag> urgent_;
  base::IntrusiveList<ReadySource, ReadyTag> ready_;
  Reapable* graveyard_ = nullptr;
  std::unique_ptr<FdHandler> mail_handler_;
  std::unique_ptr<NestedEpoll> fds_holder_;
  FdWatcher* fds_;
};

}  // namespace gatehouse::event
