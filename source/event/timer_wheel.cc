#include "source/event/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "source/event/worker.h"

namespace gatehouse::event {

namespace {

constexpr uint64_t kNanosPerTick = 1'000'000;

// First whole tick at or after `time`.
uint64_t tickAtOrAfter(MonoTime time) {
  auto nanos = static_cast<uint64_t>(std::max<int64_t>(0, time.time_since_epoch().count()));
  return (nanos + kNanosPerTick - 1) / kNanosPerTick;
}
uint64_t tickBefore(MonoTime time) {
  return static_cast<uint64_t>(std::max<int64_t>(0, time.time_since_epoch().count())) /
         kNanosPerTick;
}

}  // namespace

void Timer::arm(Millis delay, Callback callback, void* self) {
  TimerWheel& wheel = Worker::current().timers();
  MonoTime deadline = wheel.now() + delay;
  callback_ = callback;
  self_ = self;
  // A later deadline is only noted: the wheel re-files the timer when its old slot comes due.
  if (linked() && deadline >= deadline_) {
    deadline_ = deadline;
    return;
  }
  unlink();
  deadline_ = deadline;
  wheel.insert(*this);
}

TimerWheel::TimerWheel(MonoTime start) : now_(start), tick_(tickBefore(start)) {}

void TimerWheel::insert(Timer& timer) {
  uint64_t due = std::max(tickAtOrAfter(timer.deadline_), tick_ + 1);
  uint64_t distance = due - tick_;
  int level = 0;
  while (level < kLevels - 1 && distance >= (uint64_t{1} << (8 * (level + 1)))) ++level;
  if (level == kLevels - 1) due = std::min(due, tick_ + (uint64_t{1} << (8 * kLevels)) - 1);
  uint64_t slot = (due >> (8 * level)) & (kSlots - 1);
  slots_[level][slot].pushBack(timer);
  occupied_[level][slot / 64] |= uint64_t{1} << (slot % 64);
}

void TimerWheel::advance(MonoTime now, void (*after)(void*) noexcept, void* context) {
  now_ = now;
  uint64_t target = tickBefore(now);
  while (tick_ < target) {
    uint64_t in_round = tick_ & (kSlots - 1);
    // Nothing in the rest of this round: go to its end at once.
    bool any = false;
    for (uint64_t word = in_round / 64; word < kSlots / 64; ++word)
      any = any || occupied_[0][word] != 0;
    if (!any) {
      uint64_t last_of_round = tick_ | (kSlots - 1);
      if (last_of_round >= target) {
        tick_ = target;
        return;
      }
      tick_ = last_of_round;
    }
    ++tick_;
    // A round is over: file the next slot of the level above one level down.
    for (int level = 1; level < kLevels && (tick_ & ((uint64_t{1} << (8 * level)) - 1)) == 0;
         ++level) {
      uint64_t slot = (tick_ >> (8 * level)) & (kSlots - 1);
      List moved;
      moved.splice(slots_[level][slot]);
      occupied_[level][slot / 64] &= ~(uint64_t{1} << (slot % 64));
      // insert() files what is due now at tick_ + 1; one tick late is within the promise.
      while (!moved.empty()) insert(moved.popFront());
    }
    uint64_t slot = tick_ & (kSlots - 1);
    if ((occupied_[0][slot / 64] & (uint64_t{1} << (slot % 64))) == 0) continue;
    occupied_[0][slot / 64] &= ~(uint64_t{1} << (slot % 64));
    List due;
    due.splice(slots_[0][slot]);
    while (!due.empty()) {
      Timer& timer = due.popFront();
      if (timer.deadline_ > now) {
        insert(timer);
        continue;
      }
      Timer::Callback callback = timer.callback_;
      callback(timer.self_);
      if (after != nullptr) after(context);
    }
  }
}

Millis TimerWheel::untilNext(MonoTime now) const {
  uint64_t current = tickBefore(now);
  auto wait = [&](uint64_t tick) {
    return tick <= current ? Millis(0) : Millis(static_cast<int64_t>(tick - current));
  };
  for (uint64_t slot = (tick_ & (kSlots - 1)) + 1; slot < kSlots; ++slot) {
    uint64_t word = occupied_[0][slot / 64] >> (slot % 64);
    if (word == 0) {
      slot |= 63;
      continue;
    }
    slot += static_cast<uint64_t>(std::countr_zero(word));
    return wait((tick_ & ~uint64_t{kSlots - 1}) + slot);
  }
  auto any = [&](int level) {
    for (uint64_t word : occupied_[level]) {
      if (word != 0) return true;
    }
    return false;
  };
  // Slots behind the current one belong to the next round.
  if (any(0)) return wait((tick_ | (kSlots - 1)) + 1);
  // Rounds without anything to file down are slept through.
  for (uint64_t slot = ((tick_ >> 8) & (kSlots - 1)) + 1; slot < kSlots; ++slot) {
    if (occupied_[1][slot / 64] & (uint64_t{1} << (slot % 64)))
      return wait(((tick_ >> 16) << 16) + (slot << 8));
  }
  if (any(1) || any(2) || any(3)) return wait((tick_ | 0xffff) + 1);
  return Millis(-1);
}

}  // namespace gatehouse::event
