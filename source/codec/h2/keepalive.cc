#include "source/codec/h2/keepalive.h"

namespace gatehouse::codec::h2 {

void Keepalive::start() {
  if (options_.ping_interval_ms != 0) armInterval();
  idle_since_ = event::Worker::current().now();
}

void Keepalive::stop() {
  interval_.cancel();
  timeout_.cancel();
}

void Keepalive::armInterval() {
  // The clock's low digits are spread enough to keep many connections from pinging at once.
  auto spread = static_cast<uint64_t>(event::Worker::current().now().time_since_epoch().count());
  spread = (spread ^ reinterpret_cast<uintptr_t>(this)) * 0x9e3779b97f4a7c15ull >> 40;
  uint64_t jitter = uint64_t{options_.ping_interval_ms} * options_.ping_jitter_percent / 100;
  uint64_t delay = options_.ping_interval_ms + (jitter == 0 ? 0 : spread % (jitter + 1));
  interval_.arm(
      event::Millis(delay),
      [](void* self) noexcept {
        auto* keepalive = static_cast<Keepalive*>(self);
        keepalive->send();
        keepalive->armInterval();
      },
      this);
}

void Keepalive::onStream() {
  if (options_.ping_after_idle_ms == 0) return;
  auto idle = event::Worker::current().now() - idle_since_;
  if (idle >= event::Millis(options_.ping_after_idle_ms)) send();
}

void Keepalive::send() {
  if (timeout_.armed() && codec_.pingsAcknowledged() < sent_) return;  // one is under way
  codec_.ping();
  ++sent_;
  owner_.onPingDue();
  timeout_.arm(
      event::Millis(options_.ping_timeout_ms),
      [](void* self) noexcept { static_cast<Keepalive*>(self)->check(); }, this);
}

void Keepalive::check() {
  if (codec_.pingsAcknowledged() >= sent_) return;
  options_.stats->keepalive_timeout.inc();
  owner_.onPeerSilent();
}

}  // namespace gatehouse::codec::h2
