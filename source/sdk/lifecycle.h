#pragma once

#include <atomic>
#include <cstdint>

namespace gatehouse::sdk {

// The process's life cycle as connections and admin see it. Written on main, read anywhere with
// relaxed loads (a byte that almost never changes: no shared cache line is contended).
struct Lifecycle {
  static constexpr uint32_t kAll = 1u << 16;
  // Draining began (SIGTERM, /drain_listeners): of 65,536 answers so many carry `connection: close`
  // (HTTP/2: GOAWAY); new streams are still served. Grows over the drain time when the strategy is
  // gradual, is all of them at once when it is immediate or the process is to end.
  std::atomic<uint32_t> close_share{0};
  std::atomic<bool> draining{false};
  // /healthcheck/fail: /ready says so and responses carry `connection: close`.
  std::atomic<bool> health_failed{false};

  // `random`: any number that is spread evenly, e.g. the stream's.
  bool wantsClose(uint64_t random) const {
    uint32_t share = close_share.load(std::memory_order_relaxed);
    return (share != 0 && (random >> 48) < share) || health_failed.load(std::memory_order_relaxed);
  }
};

}  // namespace gatehouse::sdk
