#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "source/event/worker.h"
#include "source/net/address.h"

namespace gatehouse::net {

struct ListenOptions {
  int backlog = 0;  // 0: the system's maximum
  bool reuse_port = true;
  uint32_t unix_mode = 0;  // 0: as umask gives
};

// A bound, listening, non-blocking socket. Owns the fd and, for a path it bound, the socket file.
class ListenSocket {
 public:
  // Errors read "cannot bind '127.0.0.1:80': Address already in use". Port 0 takes a free one:
  // address() tells.
  static absl::StatusOr<std::unique_ptr<ListenSocket>> open(const Address& address,
                                                            const ListenOptions& options);
  ~ListenSocket();
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;
  int fd() const { return fd_; }
  const Address& address() const { return address_; }

 private:
  ListenSocket(int fd, const Address& address) : fd_(fd), address_(address) {}
  int fd_;
  Address address_;
  std::string unlink_path_;
};

// Accepts on one worker. When the process is out of file descriptors it stops accepting for 100 ms
// at a time instead of spinning (threats: fd exhaustion). Made and destroyed on its worker.
class Acceptor final : public event::FdHandler {
 public:
  // Takes over each fd.
  using OnAccept = std::function<void(int fd, const Address& remote)>;
  Acceptor(ListenSocket& socket, OnAccept on_accept);
  ~Acceptor() override;
  // Takes what waits in the queue, then stops: closing with a queue would reset those clients.
  void drainAndStop();
  void onFdEvents(uint32_t events) noexcept override;

 private:
  // False when the queue is empty or accepting had to stop.
  bool acceptOne();
  void pause();

  ListenSocket& socket_;
  OnAccept on_accept_;
  event::Timer resume_;
  uint32_t last_turn_ = 0;
  uint32_t streak_ = 0;  // turns in a row with connections to accept
  bool watching_ = true;
  bool stopped_ = false;
};

}  // namespace gatehouse::net
