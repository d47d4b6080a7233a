#include "source/net/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "source/memory/segment.h"

namespace gatehouse::net {

// Idle connections are many: with the HTTP side they stay below 500 bytes.
static_assert(sizeof(Connection) <= 192);

using memory::Segment;
using memory::SegmentPool;

Connection::Connection(int fd) : fd_(fd) {}

Connection::~Connection() { delete patience_timer_; }

Connection* Connection::accepted(int fd) {
  auto* connection = new Connection(fd);
  connection->writable_ = true;
  if (int error = event::Worker::current().fds().add(fd, *connection); error != 0) {
    connection->error_ = error;
    event::Worker::current().markReady(*connection);
  }
  return connection;
}

Connection* Connection::connect(const Address& remote, ConnectionUser& user) {
  sockaddr_storage to;
  socklen_t length = remote.toSockaddr(to);
  int fd = ::socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  auto* connection = new Connection(fd);
  connection->user_ = &user;
  connection->connecting_ = true;
  event::Worker& worker = event::Worker::current();
  if (fd < 0) {
    connection->error_ = errno;
    worker.markReady(*connection);
    return connection;
  }
  if (remote.isIp()) {
    int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  }
  int result = ::connect(fd, reinterpret_cast<sockaddr*>(&to), length);
  if (result != 0 && errno != EINPROGRESS) connection->error_ = errno;
  if (connection->error_ == 0) connection->error_ = worker.fds().add(fd, *connection);
  // A unix socket connects at once: its writable edge is pending from registration, so one path
  // serves both.
  if (connection->error_ != 0) worker.markReady(*connection);
  return connection;
}

Address Connection::local() const {
  sockaddr_storage from;
  socklen_t length = sizeof(from);
  if (closed_ || ::getsockname(fd_, reinterpret_cast<sockaddr*>(&from), &length) != 0) return {};
  return Address::fromSockaddr(from, length);
}

std::string_view Connection::connectError() const {
  switch (error_) {
    case ECONNREFUSED:
      return "delayed_connect_error:_Connection_refused";
    case ECONNRESET:
      return "delayed_connect_error:_Connection_reset_by_peer";
    case EHOSTUNREACH:
      return "delayed_connect_error:_No_route_to_host";
    case ENETUNREACH:
      return "immediate_connect_error:_Network_is_unreachable";
    case ETIMEDOUT:
      return "delayed_connect_error:_Connection_timed_out";
    case ENOENT:
      return "immediate_connect_error:_No_such_file_or_directory";
    case EACCES:
      return "immediate_connect_error:_Permission_denied";
    case EMFILE:
    case ENFILE:
      return "immediate_connect_error:_Too_many_open_files";
    case EADDRNOTAVAIL:
      return "immediate_connect_error:_Cannot_assign_requested_address";
    default:
      return "connect_error";
  }
}

void Connection::onFdEvents(uint32_t events) noexcept {
  if (closed_) return;
  if (events & event::kWritable) writable_ = true;
  if (events & event::kReadable) readable_ = true;
  if (events & event::kRdHup) rdhup_ = readable_ = true;
  if (events & event::kError) readable_ = true;  // the read tells which error
  if (connecting_) {
    finishConnect();
    if (closed_ || connecting_) return;
  }
  // After a pause what was left in in_ is offered first: reading on top of it would not be bounded.
  if (readable_ && !paused_ && !resumed_) readSome();
  if (!closed_ && (events & event::kWritable) && (!out_.empty() || closing_)) markDirty();
}

void Connection::finishConnect() {
  if (!writable_ && !readable_) return;
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == 0 && !writable_) return;
  error_ = error;
  if (error != 0) {
    finish(CloseReason::kConnectFailed, error);
    return;
  }
  connecting_ = false;
  user_->onConnected();
}

void Connection::onReady() noexcept {
  if (closed_) return;
  if (error_ != 0) {
    finish(connecting_ ? CloseReason::kConnectFailed : CloseReason::kReset, error_);
    return;
  }
  resumed_ = false;
  if (paused_ || connecting_) return;
  if (!closing_ && (!in_.empty() || end_)) {
    offer();
    if (closed_ || paused_) return;
  }
  if (readable_ && !end_) readSome();
}

void Connection::resumeIngest() {
  if (!paused_ || closed_) return;
  paused_ = false;
  resumed_ = true;
  event::Worker::current().markReady(*this);
}

void Connection::readSome() {
  SegmentPool& pool = SegmentPool::local();
  size_t budget = full_turns_ >= 2 ? kBusyBudget : kReadBudget;
  size_t total = 0;
  while (readable_ && !end_) {
    // The hot small block first; when it fills there is more to come: 64 KiB blocks, and 256 KiB
    // for who goes on filling them.
    Segment* block = full_turns_ >= 2                 ? &pool.hugeReadBlock()
                     : total != 0 || full_turns_ != 0 ? &pool.largeReadBlock()
                                                      : &pool.readBlock();
    size_t room = block->room();
    ssize_t n = ::recv(fd_, block->tail(), room, 0);
    if (n > 0) {
      block->addRef();
      buffer::Slice slice{reinterpret_cast<const std::byte*>(block->tail()),
                          static_cast<uint32_t>(n), block};
      block->addUsed(static_cast<size_t>(n));
      in_.append(slice);
    }
    int error = errno;
    if (n > 0) {
      total += static_cast<size_t>(n);
      bytes_in_ += static_cast<uint64_t>(n);
      if (static_cast<size_t>(n) < room && !rdhup_) {
        readable_ = false;  // a short read without a hang-up: drained
        full_turns_ = 0;
        break;
      }
      if (lingering_) in_.clear();
      if (total >= budget) {
        full_turns_ = static_cast<uint8_t>(std::min(full_turns_ + 1, 2));
        event::Worker::current().markReady(*this);
        break;
      }
    } else if (n == 0) {
      end_ = true;
    } else if (error == EINTR) {
      continue;
    } else {
      readable_ = false;
      if (error != EAGAIN && error != EWOULDBLOCK) {
        // What came before the reset is still offered: an answer may be complete.
        if (total != 0 && !closing_) {
          offer();
          if (closed_) return;
        }
        finish(CloseReason::kReset, error);
        return;
      }
      full_turns_ = 0;
      if (total == 0) return;
    }
  }
  if (lingering_ || closing_) {
    in_.clear();
    if (end_ && lingering_) finish(CloseReason::kLocal, 0);
    return;
  }
  offer();
}

void Connection::offer() { user_->onData(in_, end_); }

void Connection::flush() noexcept {
  if (closed_ || connecting_) return;
  size_t budget = kBusyBudget;
  bool wrote = false;
  bool more = false;  // the user was not asked until it had nothing left
  for (;;) {
    if (!lingering_ && out_.length() < kOutputRoom)
      user_->produce(out_, kOutputRoom - out_.length());
    if (out_.empty()) break;
    if (!writable_) break;
    size_t before = out_.length();
    bool go_on = writeSome();
    if (closed_) return;
    wrote = true;
    budget -= std::min(budget, before - out_.length());
    if (!go_on) break;
    // The usual case: everything left in one call. Asking the codec again is cheap only for large
    // bodies.
    if (out_.empty() && before < kOutputRoom / 2) break;
    if (budget == 0) {
      more = true;
      markDirty();
      break;
    }
  }
  if (wrote && !lingering_) user_->onFlushed();
  if (closed_) return;
  if (!closing_ || lingering_) return;
  if (!more && out_.empty()) {
    finishWriting();
  } else if (patience_timer_ == nullptr) {
    armPatience();
  }
}

bool Connection::writeSome() {
  std::string_view front = out_.front();
  ssize_t n;
  size_t offered = front.size();
  if (front.size() == out_.length()) {
    n = ::send(fd_, front.data(), front.size(), MSG_NOSIGNAL);
  } else {
    iovec pieces[64];
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = out_.iovecs(pieces, 64);
    offered = 0;
    for (size_t i = 0; i < message.msg_iovlen; ++i) offered += pieces[i].iov_len;
    n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  }
  if (n >= 0) {
    bytes_out_ += static_cast<uint64_t>(n);
    out_.drain(static_cast<size_t>(n));
    if (patience_timer_ != nullptr && n > 0) armPatience();  // the peer still takes bytes
    // Fewer than offered: the socket's buffer is full and an edge will tell when it is not; asking
    // again would cost a call.
    if (static_cast<size_t>(n) < offered) writable_ = false;
    return writable_;
  }
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    writable_ = false;
    return false;
  }
  if (errno == EINTR) return true;
  int error = errno;
  out_.clear();
  // A peer that answered and closed: its bytes may still wait to be read, and they come first.
  if (readable_ && !end_ && !paused_ && !closing_) {
    readSome();
    if (closed_) return false;
  }
  finish(CloseReason::kReset, error);
  return false;
}

void Connection::close(CloseReason why) {
  if (!closed_) finish(why, 0);
}

void Connection::abortiveClose() {
  if (closed_) return;
  struct linger now = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  finish(CloseReason::kLocal, 0);
}

void Connection::closeAfterFlush(event::Millis patience, bool linger) {
  if (closed_ || closing_) return;
  closing_ = true;
  linger_ = linger;
  paused_ = false;
  patience_ms_ = static_cast<uint32_t>(std::min<int64_t>(patience.count(), UINT32_MAX));
  in_.clear();
  event::Worker::current().markDirty(*this);
}

void Connection::armPatience() {
  if (patience_ms_ == 0) return;
  if (patience_timer_ == nullptr) patience_timer_ = new event::Timer();
  patience_timer_->arm(
      event::Millis(patience_ms_),
      [](void* self) noexcept { static_cast<Connection*>(self)->close(CloseReason::kLocal); },
      this);
}

void Connection::finishWriting() {
  if (end_ || !linger_) {
    finish(CloseReason::kLocal, 0);
    return;
  }
  lingering_ = true;
  ::shutdown(fd_, SHUT_WR);
  armPatience();
  // Unread input would turn our close into a reset that could overtake the answer.
  if (readable_ && !end_) event::Worker::current().markReady(*this);
}

void Connection::finish(CloseReason why, int error) {
  if (closed_) return;
  closed_ = true;
  event::Worker& worker = event::Worker::current();
  event::Flushable::unlink();
  event::ReadySource::unlink();
  if (patience_timer_ != nullptr) patience_timer_->cancel();
  if (fd_ >= 0) {
    // close() takes the fd out of the epoll set: no duplicate of it exists.
    ::close(fd_);
    fd_ = -1;
  }
  worker.bury(*this);
  in_.clear();
  out_.clear();
  if (user_ != nullptr) user_->onClosed(why, error);
}

}  // namespace gatehouse::net
