// System calls and allocations of the layers below HTTP: fifty connections that echo through the
// loop.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "source/net/connection.h"
#include "test/budget/counters.h"

namespace gatehouse::budget {
namespace {

struct Echo final : net::ConnectionUser {
  void onData(buffer::Buffer& in, bool end) noexcept override {
    if (end) {
      connection->close(net::CloseReason::kRemoteFin);
      return;
    }
    in.drain(in.length());
    ++waiting;
    connection->markDirty();
  }
  size_t produce(buffer::Buffer& out, size_t) noexcept override {
    size_t n = 0;
    for (; waiting != 0; --waiting, n += 5) out.appendStatic("reply");
    return n;
  }
  void onClosed(net::CloseReason, int) noexcept override { connection = nullptr; }
  net::Connection* connection = nullptr;
  int waiting = 0;
};

constexpr int kConnections = 50;

class TransportBudget : public testing::Test {
 protected:
  TransportBudget() : worker_("test", 0), users_(kConnections), peers_(kConnections) {
    worker_.bind();
    for (int i = 0; i < kConnections; ++i) {
      int pair[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
      peers_[at(i)] = pair[1];
      users_[at(i)].connection = net::Connection::accepted(pair[0]);
      users_[at(i)].connection->setUser(users_[at(i)]);
    }
  }
  ~TransportBudget() override {
    for (int peer : peers_) ::close(peer);
    for (int i = 0; i < 5; ++i) worker_.runOnce();
    for (Echo& user : users_) EXPECT_EQ(user.connection, nullptr);
  }
  static size_t at(int i) { return static_cast<size_t>(i); }
  void sendAll() {
    for (int peer : peers_) ASSERT_EQ(::send(peer, "query", 5, 0), 5);
  }
  void receiveAll() {
    char text[16];
    for (int peer : peers_) ASSERT_EQ(::recv(peer, text, sizeof(text), 0), 5);
  }
  event::Worker worker_;
  std::vector<Echo> users_;
  std::vector<int> peers_;
};

TEST_F(TransportBudget, OneReceiveAndOneSendPerMessage) {
  for (int warm = 0; warm < 3; ++warm) {
    sendAll();
    worker_.runOnce();
    receiveAll();
  }
  constexpr int kRounds = 20;
  Counts used;
  for (int round = 0; round < kRounds; ++round) {
    sendAll();
    Counts before = onThisThread();
    worker_.runOnce();
    used += onThisThread() - before;
    receiveAll();
  }
  uint64_t messages = uint64_t{kRounds} * kConnections;
  EXPECT_EQ(used.receives, messages);
  EXPECT_EQ(used.sends, messages);
  EXPECT_EQ(used.epoll_waits, uint64_t{kRounds});  // one for fifty messages
  EXPECT_EQ(used.epoll_ctls, 0u);
  EXPECT_EQ(used.clocks, uint64_t{kRounds});  // one a turn
  EXPECT_EQ(used.sockets, 0u);
  EXPECT_EQ(used.closes, 0u);
  if (countsAllocations()) {
    EXPECT_EQ(used.allocations, 0u);
  }
}

// The waiting turn: one at a time, the loop goes through Asio for each.
TEST_F(TransportBudget, WaitingTurnAllocatesNothing) {
  struct Stop {
    event::Worker* worker;
    int left;
    Counts first, last;
  } state{&worker_, 100, {}, {}};
  // Each timer runs once the loop has waited for it.
  static event::Timer timer;
  struct Again {
    static void run(void* self) noexcept {
      auto* s = static_cast<Stop*>(self);
      if (s->left == 90) s->first = onThisThread();
      if (--s->left == 0) {
        s->last = onThisThread();
        s->worker->stop();
        return;
      }
      timer.arm(event::Millis(1), run, s);
    }
  };
  timer.arm(event::Millis(1), Again::run, &state);
  worker_.run();
  Counts used = state.last - state.first;
  if (countsAllocations()) {
    EXPECT_EQ(used.allocations, 0u);
  }
  RecordProperty("clocks", static_cast<int>(used.clocks));
  EXPECT_LE(used.clocks, 90u * 6);
  EXPECT_LE(used.epoll_ctls, 90u * 2);
}

}  // namespace
}  // namespace gatehouse::budget
