#pragma once

#include <cstdint>

namespace gatehouse::event {

enum FdEvent : uint32_t { kReadable = 1, kWritable = 2, kRdHup = 4, kError = 8 };

// Receives the edges of one fd on its worker's thread. After remove() no event reaches it, not even
// of the current batch.
class FdHandler {
 public:
  virtual void onFdEvents(uint32_t events) noexcept = 0;

  virtual ~FdHandler() = default;
};

// Watches fds edge-triggered, registered once for reading, writing and peer hang-up. One a worker.
class FdWatcher {
 public:
  virtual ~FdWatcher() = default;
  // `handler` must stay alive until remove(fd). Errors are those of epoll_ctl (returned as errno, 0
  // on success).
  virtual int add(int fd, FdHandler& handler) = 0;
  // Level-triggered, reading only: listening sockets, eventfds.
  virtual int addReadOnly(int fd, FdHandler& handler) = 0;
  // Before close(fd). Idempotent.
  virtual void remove(int fd) = 0;
};

}  // namespace gatehouse::event
