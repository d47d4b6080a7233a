#pragma once

#include <atomic>
#include <cstdint>

namespace gatehouse::sdk {

// The process's life cycle as connections and admin see it. Written on main, read anywhere with
// relaxed loads (a byte that almost never changes: no shared cache line is contended).
struct Lifecycle {
  // Draining began (SIGTERM, /drain_listeners?graceful): responses carry `connection: close`, new
  // streams are still served.
  std::atomic<bool> draining{false};
  // /healthcheck/fail: /ready says so and responses carry `connection: close`.
  std::atomic<bool> health_failed{false};

  bool wantsClose() const {
    return draining.load(std::memory_order_relaxed) ||
           health_failed.load(std::memory_order_relaxed);
  }
};

}  // namespace gatehouse::sdk
