#pragma once

#include <cstdint>
#include <string_view>

#include "source/buffer/buffer.h"
#include "source/event/worker.h"
#include "source/memory/slab.h"
#include "source/net/address.h"

namespace gatehouse::net {

enum class CloseReason : uint8_t {
  kLocal,      // we decided to
  kRemoteFin,  // the peer finished and there is nothing left to do
  kReset,      // RST, or a read or write error
  kConnectFailed,
  kConnectTimeout,
  kIdle,
  kDrain,
  kProtocol,  // the peer broke the protocol
};

// Who reads and writes a connection: an HTTP codec's connection, a TCP proxy. Exactly one at a
// time; must live until onClosed().
class ConnectionUser {
 public:
  // Outgoing only: established.
  virtual void onConnected() noexcept {}
  // New bytes stand at the end of `in`; what is left in it is offered again in front of later
  // bytes. `end`: the peer finished writing and nothing follows `in`. Called again with end after a
  // pause if bytes were left.
  virtual void onData(buffer::Buffer& in, bool end) noexcept = 0;
  // Pulled in the produce step of the turn: adds about `room` bytes, returns how many.
  virtual size_t produce(buffer::Buffer& out, size_t room) noexcept = 0;
  // After a write: output may have left; time to grant credit.
  virtual void onFlushed() noexcept {}
  // Exactly once, the last call. The connection object lives until step 8.
  virtual void onClosed(CloseReason why, int error) noexcept = 0;

 protected:
  ~ConnectionUser() = default;
};

// One stream socket on one worker. Readiness is sticky: set by an edge, cleared only by would_block
// or a short read. Output is pulled from the user once a turn and written with one call. Belongs to
// itself: lives from accept or connect until its close, freed in step 8 of that turn; the user
// keeps the pointer until onClosed().
class Connection final : public event::FdHandler,
                         public event::Flushable,
                         public event::ReadySource,
                         public event::Reapable,
                         public memory::SlabObject {
 public:
  // Bytes read at most in one turn; after two full turns of a busy connection kBusyBudget.
  static constexpr size_t kReadBudget = 64 * 1024;
  static constexpr size_t kBusyBudget = 256 * 1024;
  // Output held ahead of the socket.
  static constexpr size_t kOutputRoom = 256 * 1024;
  static constexpr size_t kHotBytes = 16 * 1024;

  // An accepted socket; takes over the fd. The user is set before the call returns to the loop.
  static Connection* accepted(int fd);
  // Starts connecting. Every failure is reported through onClosed(kConnectFailed) from the loop,
  // never from inside.
  static Connection* connect(const Address& remote, ConnectionUser& user);

  void setUser(ConnectionUser& user) { user_ = &user; }
  ConnectionUser* user() const { return user_; }
  // `pending`: bytes that wait in the user; kHotBytes and more are written while they are hot.
  void markDirty(size_t pending = 0) {
    if (closed_) return;
    event::Worker& worker = event::Worker::current();
    pending >= kHotBytes ? worker.markUrgent(*this) : worker.markDirty(*this);
  }
  // Stops offering bytes until resumeIngest(); reading stops as well.
  void pauseIngest() { paused_ = true; }
  // Offers what is buffered again and goes on reading, from the next turn's ready list. Idempotent.
  void resumeIngest();

  // Closes at once and calls onClosed() from inside. Idempotent.
  void close(CloseReason why);
  // As close(kLocal), but the peer sees RST: for answers cut off in the middle.
  void abortiveClose();
  // Writes what is pending and closes. `linger`: after the last byte only finishes writing and
  // discards input until the peer closes or `patience` is over, so that a peer that is still
  // sending reads the answer before it meets a reset. A peer that takes no byte for `patience`
  // (zero: no limit) is closed as well. Input is not offered to the user any more.
  void closeAfterFlush(event::Millis patience, bool linger);

  // Asks the kernel; unknown once closed. Who needs it often keeps it: an idle connection is small.
  Address local() const;
  bool closed() const { return closed_; }
  bool rdhupSeen() const { return rdhup_; }
  size_t pendingOutput() const { return out_.length(); }
  size_t pendingInput() const { return in_.length(); }
  uint64_t bytesIn() const { return bytes_in_; }
  uint64_t bytesOut() const { return bytes_out_; }
  // Why connecting failed, in Envoy's words joined by underscores; static text.
  std::string_view connectError() const;

  // Loop.
  void onFdEvents(uint32_t events) noexcept override;
  void flush() noexcept override;
  void onReady() noexcept override;

 private:
  explicit Connection(int fd);
  ~Connection() override;
  void finishConnect();
  void readSome();
  void offer();
  // False: stop flushing.
  bool writeSome();
  void finish(CloseReason why, int error);
  void finishWriting();
  void armPatience();

  ConnectionUser* user_ = nullptr;
  buffer::Buffer in_;
  buffer::Buffer out_;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  event::Timer* patience_timer_ = nullptr;  // made when a closing peer makes us wait
  uint32_t patience_ms_ = 0;
  int fd_;
  int error_ = 0;
  bool readable_ : 1 = false;
  bool writable_ : 1 = false;
  bool rdhup_ : 1 = false;
  bool end_ : 1 = false;  // the peer's FIN was read
  bool paused_ : 1 = false;
  bool resumed_ : 1 = false;  // since the last offer
  bool connecting_ : 1 = false;
  bool closed_ : 1 = false;
  bool closing_ : 1 = false;    // closeAfterFlush() was called
  bool linger_ : 1 = false;     // ... with linger
  bool lingering_ : 1 = false;  // our FIN is out
  uint8_t full_turns_ = 0;
};

}  // namespace gatehouse::net
