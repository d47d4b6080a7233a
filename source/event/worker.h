#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "source/base/intrusive_list.h"
#include "source/event/fd_watcher.h"
#include "source/event/mailbox.h"
#include "source/event/timer_wheel.h"

namespace gatehouse::event {

// Work that must run on this worker soon but not inside the current call: streams whose state bits were set. queue() may
// be called any number of times before it runs; run() at most 64 times a turn for one item (the rest waits for the next turn).
class Task : public base::ListLink<struct TaskTag> {
 public:
  virtual void run() noexcept = 0;

 protected:
  ~Task() = default;

 private:
  friend class Worker;
  uint8_t runs_ = 0;
  uint32_t turn_ = 0;
};

// A connection with output to produce. flush() is called in the produce step of the turn: pulls from its codec, writes once.
class Flushable : public base::ListLink<struct FlushTag> {
 public:
  virtual void flush() noexcept = 0;

 protected:
  ~Flushable() = default;
};

// A source whose fd will not announce anything although there is something to read (grant after a pause, read budget hit,
// bytes inside TLS). onReady() is called in step 2 of the next turn.
class ReadySource : public base::ListLink<struct ReadyTag> {
 public:
  virtual void onReady() noexcept = 0;

 protected:
  ~ReadySource() = default;
};

// What died in this turn: freed in step 8 and nowhere else, so that stale events and codec pointers find it closed.
class Reapable : public base::ListLink<struct ReapTag> {
 public:
  virtual ~Reapable() = default;
  // Called in step 8. Default: delete this. Slab objects override it.
  virtual void reap() noexcept { delete this; }
};

// One event loop on one thread: main and every worker. Turn: fd events (<= 128), ready list, mailbox, due timers, the run
// queue emptied after each item; then produce (one write per dirty connection), run queue and once more produce for what became
// dirty; then the graveyard; then wait. See the table in docs/architecture.md. All methods on the worker's own thread unless
// marked; current() is the worker of the calling thread.
class Worker {
 public:
  enum class Backend : uint8_t { kNestedEpoll, kAsio };

  explicit Worker(std::string_view name, uint32_t index, Backend backend = Backend::kNestedEpoll);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Worker& current();
  static Worker* currentOrNull();

  // Runs turns until stop(). The calling thread becomes this worker's thread.
  void run();
  // One turn that does not wait (tests, budget tests). Binds the calling thread like run().
  void runOnce();
  // Any thread.
  void stop();

  uint32_t index() const { return index_; }
  std::string_view name() const { return name_; }

  FdWatcher& fds() { return *fds_; }
  TimerWheel& timers() { return timers_; }
  // Monotonic time, read once a turn. Never calls the clock.
  MonoTime now() const { return now_; }
  // Wall clock of this turn in microseconds since the epoch: read once a turn on first use.
  int64_t wallMicros();

  // Any thread. False once the mailbox is closed: the message is then destroyed by the caller's unique_ptr semantics.
  bool post(std::function<void()> message) { return mailbox_.post(std::move(message)); }
  Mailbox& mailbox() { return mailbox_; }

  void queue(Task& task) {
    if (!task.linked()) run_queue_.pushBack(task);
  }
  void markDirty(Flushable& connection) {
    if (!connection.linked()) dirty_.pushBack(connection);
  }
  void markReady(ReadySource& source) {
    if (!source.linked()) ready_.pushBack(source);
  }
  void bury(Reapable& dead) {
    if (!dead.linked()) graveyard_.pushBack(dead);
  }

 private:
  struct Impl;
  friend struct Impl;
  void turn(bool may_wait);
  void drainRunQueue();

  std::string name_;
  uint32_t index_;
  MonoTime now_{};
  int64_t wall_micros_ = 0;
  uint32_t turn_ = 0;
  TimerWheel timers_;
  base::IntrusiveList<Task, TaskTag> run_queue_;
  base::IntrusiveList<Flushable, FlushTag> dirty_;
  base::IntrusiveList<ReadySource, ReadyTag> ready_;
  base::IntrusiveList<Reapable, ReapTag> graveyard_;
  Mailbox mailbox_;
  std::unique_ptr<Impl> impl_;
  std::unique_ptr<FdWatcher> fds_;
};

}  // namespace gatehouse::event
