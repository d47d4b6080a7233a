#pragma once

#include <functional>
#include <mutex>
#include <vector>

namespace gatehouse::event {

// The only way into a worker from another thread: any thread posts, the owning worker drains once a
// turn. Wakes the worker through an eventfd only when it was empty. After close() post() returns
// false and the message is destroyed by the poster.
class Mailbox {
 public:
  Mailbox();
  ~Mailbox();
  bool post(std::function<void()> message);
  // Owner thread: runs everything that was posted before the call, `after` after each. Returns how
  // many ran.
  size_t drain(void (*after)(void*) noexcept, void* context);
  void close();
  int eventFd() const { return fd_; }

 private:
  int fd_;
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<std::function<void()>> incoming_;
  std::vector<std::function<void()>> running_;
};

}  // namespace gatehouse::event
