#include "source/net/accept_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace gatehouse::net {

namespace {

constexpr uint32_t kMaxBurstLog2 = 5;

absl::Status failed(std::string_view what, const Address& address, int error) {
  return absl::UnavailableError(std::string(what) + " '" + address.toString() +
                                "': " + std::strerror(error));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListenSocket>> ListenSocket::open(const Address& address,
                                                                 const ListenOptions& options) {
  sockaddr_storage at;
  socklen_t length = address.toSockaddr(at);
  int fd = ::socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("cannot create a socket for", address, errno);
  std::unique_ptr<ListenSocket> socket(new ListenSocket(fd, address));
  int one = 1;
  if (address.isIp()) {
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (options.reuse_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    // Inherited by accepted sockets.
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (address.family() == Address::Family::kV6)
      ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  } else if (address.toString().size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError("cannot bind '" + address.toString() +
                                      "': the path is longer than 107 bytes");
  } else if (!address.toString().starts_with('@')) {
    // A socket file nobody listens on is what a crashed process left behind.
    std::string path = address.toString();
    struct stat info;
    if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
      int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      bool refused =
          ::connect(probe, reinterpret_cast<sockaddr*>(&at), length) != 0 && errno == ECONNREFUSED;
      ::close(probe);
      if (refused) ::unlink(path.c_str());
    }
  }
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), length) != 0)
    return failed("cannot bind", address, errno);
  if (!address.isIp() && !address.toString().starts_with('@')) {
    socket->unlink_path_ = address.toString();
    if (options.unix_mode != 0 && ::chmod(socket->unlink_path_.c_str(), options.unix_mode) != 0) {
      return failed("cannot set the mode of", address, errno);
    }
  }
  if (::listen(fd, options.backlog > 0 ? options.backlog : 4096) != 0)
    return failed("cannot listen on", address, errno);
  if (address.isIp()) {
    sockaddr_storage bound;
    socklen_t size = sizeof(bound);
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) == 0) {
      socket->address_ = Address::fromSockaddr(bound, size);
    }
  }
  return socket;
}

ListenSocket::~ListenSocket() {
  ::close(fd_);
  if (!unlink_path_.empty()) ::unlink(unlink_path_.c_str());
}

Acceptor::Acceptor(ListenSocket& socket, OnAccept on_accept)
    : socket_(socket), on_accept_(std::move(on_accept)) {
  event::Worker::current().fds().addReadOnly(socket_.fd(), *this);
}

Acceptor::~Acceptor() {
  if (watching_) event::Worker::current().fds().remove(socket_.fd());
}

void Acceptor::onFdEvents(uint32_t) noexcept {
  if (stopped_ || !watching_) return;
  // One connection a turn while they trickle in: asking again would cost a call that says no. A
  // queue that fills turn after turn is taken in growing bursts; the event comes again for the
  // rest.
  uint32_t turn = static_cast<uint32_t>(event::Worker::current().turns());
  streak_ = turn == last_turn_ + 1 ? streak_ + 1 : 0;
  last_turn_ = turn;
  uint32_t burst = 1u << std::min(streak_ / 4, kMaxBurstLog2);
  for (uint32_t i = 0; i < burst; ++i) {
    if (!acceptOne()) {
      streak_ = 0;
      return;
    }
  }
}

bool Acceptor::acceptOne() {
  sockaddr_storage from;
  socklen_t length = sizeof(from);
  int fd = ::accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&from), &length,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    on_accept_(fd, Address::fromSockaddr(from, length));
    return true;
  }
  switch (errno) {
    case EINTR:
    case ECONNABORTED:
      return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      pause();
      return false;
    default:
      return false;
  }
}

void Acceptor::pause() {
  event::Worker::current().fds().remove(socket_.fd());
  watching_ = false;
  resume_.arm(
      event::Millis(100),
      [](void* self) noexcept {
        auto* acceptor = static_cast<Acceptor*>(self);
        acceptor->watching_ = true;
        event::Worker::current().fds().addReadOnly(acceptor->socket_.fd(), *acceptor);
      },
      this);
}

void Acceptor::drainAndStop() {
  if (stopped_) return;
  while (acceptOne()) {
  }
  stopped_ = true;
  resume_.cancel();
  if (watching_) event::Worker::current().fds().remove(socket_.fd());
  watching_ = false;
}

}  // namespace gatehouse::net
