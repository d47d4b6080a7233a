#pragma once

#include <chrono>
#include <cstdint>

#include "source/base/intrusive_list.h"

namespace gatehouse::event {

// Nanoseconds of the monotonic clock.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Millis = std::chrono::milliseconds;

class TimerWheel;

// A member of the object it serves; its destructor cancels. Fires at most once per arm(), not
// before the deadline and about a tick (1 ms) after it, from the timer step of the worker.
// Extending the deadline of an armed timer is one store.
class Timer : public base::ListLink<struct TimerTag> {
 public:
  using Callback = void (*)(void* self) noexcept;
  Timer() = default;
  ~Timer() { cancel(); }

  // Uses the wheel of the current worker.
  void arm(Millis delay, Callback callback, void* self);
  void cancel() { unlink(); }
  bool armed() const { return linked(); }
  MonoTime deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  Callback callback_ = nullptr;
  void* self_ = nullptr;
  MonoTime deadline_{};
};

// Hierarchical wheel, 1 ms ticks: 4 levels of 256 slots. Inserting, extending and cancelling are
// O(1). An extended timer stays in its slot and is re-filed when that slot comes due.
class TimerWheel {
 public:
  using List = base::IntrusiveList<Timer, TimerTag>;
  explicit TimerWheel(MonoTime start = {});
  void insert(Timer& timer);
  // Moves the wheel to `now`; each due timer is popped and called one at a time, `after` runs after
  // each call.
  void advance(MonoTime now, void (*after)(void*) noexcept, void* context);
  // Time to wait until something may be due; negative when nothing is armed.
  Millis untilNext(MonoTime now) const;
  MonoTime now() const { return now_; }
  void setNow(MonoTime now) { now_ = now; }

 private:
  static constexpr int kLevels = 4;
  static constexpr int kSlots = 256;
  MonoTime now_{};
  uint64_t tick_ = 0;
  List slots_[kLevels][kSlots];
  uint64_t occupied_[kLevels][kSlots / 64] = {};
};

}  // namespace gatehouse::event
