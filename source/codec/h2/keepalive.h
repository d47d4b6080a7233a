#pragma once

#include <cstdint>

#include "source/codec/h2/h2_codec.h"
#include "source/event/worker.h"

namespace gatehouse::codec::h2 {

// Who has the connection.
class KeepaliveOwner {
 public:
  // A PING was submitted: output is to be flushed.
  virtual void onPingDue() noexcept = 0;
  // The peer did not answer in time: the connection is dead.
  virtual void onPeerSilent() noexcept = 0;

 protected:
  ~KeepaliveOwner() = default;
};

// PINGs a peer and notices when it is gone (envoy.config.core.v3.KeepaliveSettings): every
// interval, plus up to jitter percent, and before the first stream after a long idle time. A member
// of the connection; on its worker.
class Keepalive {
 public:
  Keepalive(H2Codec& codec, const Options& options, KeepaliveOwner& owner)
      : codec_(codec), options_(options), owner_(owner) {}
  void start();
  void stop();
  // A stream begins; the last one ended.
  void onStream();
  void onIdle() { idle_since_ = event::Worker::current().now(); }

 private:
  void armInterval();
  void send();
  void check();

  H2Codec& codec_;
  const Options& options_;
  KeepaliveOwner& owner_;
  event::Timer interval_;
  event::Timer timeout_;
  event::MonoTime idle_since_{};
  uint32_t sent_ = 0;
};

}  // namespace gatehouse::codec::h2
