#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace gatehouse::upstream {

// A limit of the whole process (circuit breaker thresholds) that workers take from without sharing
// a cache line per request: a worker leases max(1, free / (8 x workers)) units at a time and gives
// back what it does not need. Limits below 64 x workers are counted exactly in the shared number,
// so that e.g. `max_requests: 1` holds with four workers. take/give on the worker whose index is
// given; used() anywhere.
class ProcessLimit {
 public:
  ProcessLimit(uint64_t limit, uint32_t workers)
      : limit_(limit),
        workers_(workers),
        exact_(limit < 64ull * workers),
        leases_(std::make_unique<Lease[]>(workers)) {}

  bool take(uint32_t worker) {
    if (exact_) return takeShared(1) == 1;
    Lease& lease = leases_[worker];
    if (lease.free == 0) {
      uint64_t taken = shared_.load(std::memory_order_relaxed);
      uint64_t free = taken >= limit_ ? 0 : limit_ - taken;
      lease.free = takeShared(std::max<uint64_t>(1, free / (8ull * workers_)));
      if (lease.free == 0) return false;
    }
    --lease.free;
    return true;
  }

  // One unit even though the limit is reached.
  void takeBeyond(uint32_t worker) {
    static_cast<void>(worker);
    shared_.fetch_add(1, std::memory_order_relaxed);
  }

  void give(uint32_t worker) {
    if (exact_) {
      shared_.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    Lease& lease = leases_[worker];
    ++lease.free;
    uint64_t keep = std::max<uint64_t>(1, limit_ / (8ull * workers_));
    if (lease.free > 2 * keep) {
      shared_.fetch_sub(lease.free - keep, std::memory_order_relaxed);
      lease.free = keep;
    }
  }

  uint64_t limit() const { return limit_; }
  // Units taken or leased; an upper bound of those in use.
  uint64_t used() const { return shared_.load(std::memory_order_relaxed); }

 private:
  struct alignas(64) Lease {
    uint64_t free = 0;
  };

  // Takes up to `want`; returns how many it got.
  uint64_t takeShared(uint64_t want) {
    uint64_t taken = shared_.load(std::memory_order_relaxed);
    for (;;) {
      if (taken >= limit_) return 0;
      uint64_t got = std::min(want, limit_ - taken);
      if (shared_.compare_exchange_weak(taken, taken + got, std::memory_order_relaxed)) return got;
    }
  }

  const uint64_t limit_;
  const uint32_t workers_;
  const bool exact_;
  alignas(64) std::atomic<uint64_t> shared_{0};
  std::unique_ptr<Lease[]> leases_;
};

}  // namespace gatehouse::upstream
