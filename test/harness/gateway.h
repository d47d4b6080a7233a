#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "source/event/worker.h"

namespace gatehouse::harness {

// One end of a TCP connection in the hands of a test. Never blocks.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer();

  // Sends what the socket takes; returns how many bytes that was.
  size_t send(std::string_view bytes);
  // Reads what is there and appends it to received.
  void read();
  // Reads at most `limit` bytes, for slow readers.
  size_t read(size_t limit);
  void finishWriting();
  void reset();
  bool open() const { return fd_ >= 0; }

  std::string received;
  bool finished = false;  // the other side sent FIN
  bool broken = false;    // the other side sent RST

 private:
  int fd_;
};

// A listening socket of the test's: the upstream of a gateway.
class Origin {
 public:
  Origin();
  ~Origin();
  uint16_t port() const { return port_; }
  // The next connection that was made; null if there is none yet.
  std::unique_ptr<Peer> accept();

 private:
  int fd_;
  uint16_t port_;
};

// A whole gateway on the calling thread: one worker that turns when the test says so, on simulated
// time. Everything is real but the clock: listeners, codecs, filters, pools. Its destructor closes
// what is left and fails the test if a connection or stream outlives it.
class Gateway {
 public:
  // A bootstrap in YAML whose listeners use port 0; a bad one fails the test.
  explicit Gateway(const std::string& yaml);
  ~Gateway();

  event::Worker& worker();
  uint16_t port() const;  // of the first listener
  // `receive_buffer`: size of the client's socket buffer (0: the kernel's choice).
  std::unique_ptr<Peer> dial(int receive_buffer = 0) const;
  void turn();
  // Turns until it holds; fails the test if that takes too long.
  void until(const std::function<bool()>& holds);
  // Moves the clock, then turns a few times.
  void advance(event::Millis time);
  // A counter or gauge; zero if there is none of that name.
  uint64_t stat(std::string_view name) const;
  void drain();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A bootstrap with one listener and one cluster "origin"; `hcm` are further fields of the
// HttpConnectionManager, `cluster` of the cluster, `listener` of the listener: one "name: value" a
// line. `routes` stands below `routes:` of the only virtual host.
std::string bootstrap(
    uint16_t origin_port, const std::string& hcm = "", const std::string& cluster = "",
    const std::string& listener = "",
    const std::string& routes = "- {match: {prefix: /}, route: {cluster: origin}}");

}  // namespace gatehouse::harness
