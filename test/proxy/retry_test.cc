// Retries of the router beyond what the conformance cases show, on simulated time.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "test/harness/gateway.h"

namespace gatehouse::proxy {
namespace {

using event::Millis;
using harness::Gateway;
using harness::Origin;
using harness::Peer;

constexpr char kUnavailable[] = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

class RetryTest : public testing::Test {
 protected:
  void start(const std::string& policy, const std::string& cluster = "",
             const std::string& listener = "", const std::string& route = "") {
    gateway_ = std::make_unique<Gateway>(harness::bootstrap(
        origin_.port(), "", cluster, listener,
        "- {match: {prefix: /}, route: {cluster: origin, retry_policy: " + policy + route + "}}"));
    client_ = gateway_->dial();
  }
  void TearDown() override {
    client_.reset();
    upstream_.reset();
    gateway_.reset();
  }
  void acceptUpstream() {
    gateway_->until([&] { return (upstream_ = origin_.accept()) != nullptr; });
  }
  void upstreamGets(const std::string& end) {
    gateway_->until([&] {
      upstream_->read();
      return upstream_->received.ends_with(end);
    });
  }
  void clientGets(const std::string& text) {
    gateway_->until([&] {
      client_->read();
      return client_->received.find(text) != std::string::npos;
    });
  }

  Origin origin_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Peer> client_;
  std::unique_ptr<Peer> upstream_;
};

constexpr char kPolicy[] = "{retry_on: 5xx, retry_back_off: {base_interval: 1s}}";

TEST_F(RetryTest, WaitsBelowTheBackOffThenSendsTheBodyAgain) {
  start(kPolicy);
  client_->send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
  acceptUpstream();
  upstreamGets("hello");
  upstream_->received.clear();
  upstream_->send(kUnavailable);
  gateway_->until([&] { return gateway_->stat("cluster.origin.upstream_rq_retry") == 1; });
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_active"), 0u);
  gateway_->advance(Millis(1001));
  upstreamGets("hello");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  clientGets("HTTP/1.1 200 OK");
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_retry_success"), 1u);
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_503"), 0u);
  EXPECT_EQ(gateway_->stat("cluster.origin.retry.upstream_rq_503"), 1u);
}

TEST_F(RetryTest, ABodyBeyondTheBufferIsNotSentAgain) {
  start(kPolicy, "", "per_connection_buffer_limit_bytes: 1000\n");
  client_->send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3000\r\n\r\n" +
                std::string(3000, 'x'));
  acceptUpstream();
  gateway_->until([&] {
    upstream_->read();
    return upstream_->received.size() > 3000;
  });
  upstream_->send(kUnavailable);
  clientGets("HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_retry"), 0u);
}

TEST_F(RetryTest, AClientThatLeavesDuringTheBackOffEndsIt) {
  start(kPolicy);
  client_->send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send(kUnavailable);
  gateway_->until([&] { return gateway_->stat("cluster.origin.upstream_rq_retry") == 1; });
  client_->reset();
  gateway_->until([&] { return gateway_->stat("http.test.downstream_rq_active") == 0; });
  gateway_->advance(Millis(2000));
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_total"), 1u);
}

TEST_F(RetryTest, TheRoutesTimeoutCoversTheBackOff) {
  start("{retry_on: 5xx, num_retries: 3, retry_back_off: {base_interval: 60s, max_interval: 60s}}",
        "", "", ", timeout: 0.001s");
  client_->send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send(kUnavailable);
  gateway_->until([&] { return gateway_->stat("cluster.origin.upstream_rq_retry") == 1; });
  gateway_->advance(Millis(5));
  clientGets("HTTP/1.1 504 Gateway Timeout");
}

TEST_F(RetryTest, TheLimitOfRetriesHoldsAndIsGivenBack) {
  start(kPolicy, "circuit_breakers: {thresholds: [{max_retries: 1}]}\n");
  for (int round = 0; round < 2; ++round) {
    auto first = gateway_->dial();
    auto second = gateway_->dial();
    first->send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
    acceptUpstream();
    auto one = std::move(upstream_);
    second->send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
    acceptUpstream();
    gateway_->until([&] {
      one->read();
      upstream_->read();
      return !one->received.empty() && !upstream_->received.empty();
    });
    one->send(kUnavailable);
    gateway_->until([&] {
      return gateway_->stat("cluster.origin.upstream_rq_retry") == static_cast<uint64_t>(round) + 1;
    });
    upstream_->send(kUnavailable);
    gateway_->until([&] {
      second->read();
      return second->received.starts_with("HTTP/1.1 503");
    });
    EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_retry_overflow"),
              static_cast<uint64_t>(round) + 1);
    first->reset();
    gateway_->until([&] { return gateway_->stat("http.test.downstream_rq_active") == 0; });
    // The next round makes connections of its own.
    one->reset();
    upstream_->reset();
    gateway_->until([&] { return gateway_->stat("cluster.origin.upstream_cx_active") == 0; });
  }
}

TEST_F(RetryTest, ABudgetAllowsItsLeast) {
  start(kPolicy,
        "circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 0}, "
        "min_retry_concurrency: 0}}]}\n");
  client_->send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send(kUnavailable);
  clientGets("HTTP/1.1 503");
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_retry_overflow"), 1u);
}

}  // namespace
}  // namespace gatehouse::proxy
