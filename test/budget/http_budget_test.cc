// System calls and allocations of a proxied keep-alive GET through listener, connection manager,
// router and pool. The peers' calls are not counted: they happen between the turns.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "test/budget/counters.h"
#include "test/harness/gateway.h"

namespace gatehouse::budget {
namespace {

constexpr char kRequest[] =
    "GET /some/path?with=query HTTP/1.1\r\nHost: example.org\r\nUser-Agent: test\r\n"
    "Accept: */*\r\n\r\n";
constexpr char kResponse[] =
    "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: text/plain\r\n"
    "content-length: 5\r\n\r\nhello";

void add(Counts& to, const Counts& more) {
  to.allocations += more.allocations;
  to.receives += more.receives;
  to.sends += more.sends;
  to.epoll_waits += more.epoll_waits;
  to.epoll_ctls += more.epoll_ctls;
  to.clocks += more.clocks;
  to.sockets += more.sockets;
  to.closes += more.closes;
  to.accepts += more.accepts;
}

class HttpBudget : public testing::Test {
 protected:
  explicit HttpBudget(size_t clients = 50) : gateway_(harness::bootstrap(origin_.port())) {
    for (size_t i = 0; i < clients; ++i) clients_.push_back(gateway_.dial());
  }
  ~HttpBudget() override {
    clients_.clear();
    upstreams_.clear();
  }
  void turn(Counts& used) {
    Counts before = onThisThread();
    gateway_.turn();
    add(used, onThisThread() - before);
  }
  // Every client's request is readable before the worker may run, and so is every answer.
  Counts round() {
    Counts used;
    for (auto& client : clients_) {
      client->received.clear();
      EXPECT_EQ(client->send(kRequest), sizeof(kRequest) - 1);
    }
    size_t answered = 0;
    for (int i = 0; i < 100'000 && answered < clients_.size(); ++i) {
      turn(used);
      while (auto fresh = origin_.accept()) upstreams_.push_back(std::move(fresh));
      for (auto& upstream : upstreams_) {
        upstream->read();
        if (!upstream->received.ends_with("\r\n\r\n")) continue;
        upstream->received.clear();
        EXPECT_EQ(upstream->send(kResponse), sizeof(kResponse) - 1);
      }
      answered = 0;
      for (auto& client : clients_) {
        client->read();
        if (client->received.ends_with("hello")) ++answered;
      }
    }
    EXPECT_EQ(answered, clients_.size());
    return used;
  }

  harness::Origin origin_;
  harness::Gateway gateway_;
  std::vector<std::unique_ptr<harness::Peer>> clients_;
  std::vector<std::unique_ptr<harness::Peer>> upstreams_;
};

class OneClient : public HttpBudget {
 protected:
  OneClient() : HttpBudget(1) {}
};

TEST_F(HttpBudget, FiftyKeepAliveRequests) {
  for (int warm = 0; warm < 5; ++warm) round();
  constexpr uint64_t kRounds = 10;
  Counts used;
  for (uint64_t i = 0; i < kRounds; ++i) add(used, round());
  uint64_t requests = kRounds * clients_.size();
  EXPECT_EQ(used.receives, 2 * requests);
  EXPECT_EQ(used.sends, 2 * requests);
  EXPECT_EQ(used.epoll_ctls, 0u);
  EXPECT_EQ(used.accepts, 0u);
  EXPECT_EQ(used.sockets, 0u);
  EXPECT_EQ(used.closes, 0u);
  EXPECT_LE(used.epoll_waits * 5, requests);  // at most 0.2 a request
  // The simulated clock is no call; the wall clock is asked only for a date that is missing.
  EXPECT_EQ(used.clocks, 0u);
  if (countsAllocations()) {
    EXPECT_EQ(used.allocations, 0u);
  }
}

TEST_F(OneClient, KeepAliveRequest) {
  for (int warm = 0; warm < 5; ++warm) round();
  Counts used = round();
  EXPECT_EQ(used.receives, 2u);
  EXPECT_EQ(used.sends, 2u);
  EXPECT_EQ(used.epoll_ctls, 0u);
  EXPECT_EQ(used.sockets, 0u);
  if (countsAllocations()) {
    EXPECT_EQ(used.allocations, 0u);
  }
}

}  // namespace
}  // namespace gatehouse::budget
