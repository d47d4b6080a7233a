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
    used += onThisThread() - before;
  }
  // Every client's request is readable before the worker may run, and so is every answer.
  Counts round(const std::string& request = kRequest) {
    Counts used;
    for (auto& client : clients_) {
      client->received.clear();
      EXPECT_EQ(client->send(request), request.size());
    }
    size_t answered = 0;
    for (int i = 0; i < 100'000 && answered < clients_.size(); ++i) {
      turn(used);
      answerUpstreams();
      answered = 0;
      for (auto& client : clients_) {
        client->read();
        if (client->received.ends_with("hello")) ++answered;
      }
    }
    EXPECT_EQ(answered, clients_.size());
    return used;
  }
  void answerUpstreams() {
    while (auto fresh = origin_.accept()) upstreams_.push_back(std::move(fresh));
    for (auto& upstream : upstreams_) {
      upstream->read();
      if (!upstream->received.ends_with("\r\n\r\n")) continue;
      upstream->received.clear();
      EXPECT_EQ(upstream->send(kResponse), sizeof(kResponse) - 1);
    }
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
  for (uint64_t i = 0; i < kRounds; ++i) used += round();
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

// A new connection for each request: accept, register, two receives, two sends, close.
TEST_F(OneClient, ConnectionPerRequest) {
  std::string closing = kRequest;
  closing.insert(closing.size() - 2, "Connection: close\r\n");
  round();  // the upstream connection is made
  clients_.clear();
  for (int i = 0; i < 20; ++i) gateway_.turn();
  Counts used;
  constexpr uint64_t kConnections = 20;
  for (uint64_t i = 0; i < kConnections; ++i) {
    clients_.push_back(gateway_.dial());
    used += round(closing);
    gateway_.until([&] { return gateway_.stat("http.test.downstream_cx_active") == 0; });
    clients_.clear();
  }
  EXPECT_EQ(gateway_.stat("cluster.origin.upstream_cx_total"), 1u);
  EXPECT_EQ(used.accepts, kConnections);
  EXPECT_EQ(used.epoll_ctls, kConnections);
  EXPECT_EQ(used.receives, 2 * kConnections);
  EXPECT_EQ(used.sends, 2 * kConnections);
  EXPECT_EQ(used.sockets, 0u);
  EXPECT_EQ(used.closes, kConnections);
}

}  // namespace
}  // namespace gatehouse::budget
