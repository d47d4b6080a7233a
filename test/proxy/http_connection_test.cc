// The connection manager, the engine, the router and the pools together, turn by turn on simulated
// time.

#include "source/proxy/http_connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "source/memory/segment.h"
#include "test/harness/gateway.h"

namespace gatehouse::proxy {
namespace {

using event::Millis;
using harness::Gateway;
using harness::Origin;
using harness::Peer;

class HttpConnectionTest : public testing::Test {
 protected:
  void start(const std::string& hcm = "", const std::string& cluster = "",
             const std::string& listener = "") {
    gateway_ =
        std::make_unique<Gateway>(harness::bootstrap(origin_.port(), hcm, cluster, listener));
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
  // The upstream connection has received something that ends like this.
  void upstreamGets(const std::string& end) {
    gateway_->until([&] {
      upstream_->read();
      return upstream_->received.ends_with(end);
    });
  }
  void clientGets(const std::string& end) {
    gateway_->until([&] {
      client_->read();
      return client_->received.ends_with(end);
    });
  }
  void clientSeesEnd() {
    gateway_->until([&] {
      client_->read();
      return client_->finished || client_->broken;
    });
  }
  std::string status() const { return client_->received.substr(0, client_->received.find("\r\n")); }

  Origin origin_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Peer> client_;
  std::unique_ptr<Peer> upstream_;
};

TEST_F(HttpConnectionTest, AConnectionServesManyRequestsOverOneUpstreamConnection) {
  start();
  client_->send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  for (int i = 1; i <= 5; ++i) {
    upstreamGets("\r\n\r\n");
    EXPECT_TRUE(upstream_->received.starts_with("GET /" + std::to_string(i) + " HTTP/1.1\r\n"));
    upstream_->received.clear();
    upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n" + std::to_string(i));
    clientGets("\r\n\r\n" + std::to_string(i));
    client_->send("GET /" + std::to_string(i + 1) + " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  upstreamGets("\r\n\r\n");
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_total"), 1u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_2xx"), 5u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_active"), 1u);
}

TEST_F(HttpConnectionTest, EverySplitOfARequestIsForwardedWhole) {
  const std::string request =
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "4\r\nabcd\r\n2;e=1\r\nef\r\n0\r\n\r\n";
  start();
  for (size_t cut = 1; cut < request.size(); ++cut) {
    client_->received.clear();
    client_->send(request.substr(0, cut));
    for (int i = 0; i < 3; ++i) gateway_->turn();
    client_->send(request.substr(cut));
    if (upstream_ == nullptr) acceptUpstream();
    upstreamGets("0\r\n\r\n");
    std::string body = upstream_->received.substr(upstream_->received.find("\r\n\r\n") + 4);
    // Chunks may be cut anew but the bytes stay.
    std::string bytes;
    for (size_t at = 0;;) {
      size_t size = std::stoul(body.substr(at), nullptr, 16);
      if (size == 0) break;
      at = body.find("\r\n", at) + 2;
      bytes += body.substr(at, size);
      at += size + 2;
    }
    EXPECT_EQ(bytes, "abcdef") << cut;
    upstream_->received.clear();
    upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    clientGets("\r\n\r\nok");
  }
}

TEST_F(HttpConnectionTest, IdleConnectionsAreClosed) {
  start("common_http_protocol_options: {idle_timeout: 5s}");
  gateway_->until([&] { return gateway_->stat("http.test.downstream_cx_active") == 1; });
  gateway_->advance(Millis(4990));
  client_->read();
  EXPECT_FALSE(client_->finished);
  gateway_->advance(Millis(20));
  clientSeesEnd();
  EXPECT_TRUE(client_->finished);
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_idle_timeout"), 1u);
}

TEST_F(HttpConnectionTest, ASlowHeadIsAnsweredWith408) {
  start("request_headers_timeout: 2s");
  client_->send("GET / HT");
  for (int i = 0; i < 20; ++i) gateway_->turn();
  gateway_->advance(Millis(2010));
  clientSeesEnd();
  EXPECT_EQ(status(), "HTTP/1.1 408 Request Timeout");
}

TEST_F(HttpConnectionTest, ASilentUpstreamEndsInATimeout) {
  start();
  client_->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  gateway_->advance(Millis(14990));
  client_->read();
  EXPECT_EQ(client_->received, "");
  gateway_->advance(Millis(20));
  clientGets("upstream request timeout");
  EXPECT_EQ(status(), "HTTP/1.1 504 Gateway Timeout");
  // The connection that owes an answer is not used again.
  gateway_->until([&] {
    upstream_->read();
    return upstream_->finished || upstream_->broken;
  });
}

TEST_F(HttpConnectionTest, AClosingClientThatStopsReadingIsGivenUp) {
  // The lane takes the whole answer, the kernels cannot.
  const std::string limit = "per_connection_buffer_limit_bytes: 8388608";
  start("delayed_close_timeout: 3s", limit, limit);
  client_ = gateway_->dial(4096);
  client_->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  std::string body(7'000'000, 'z');
  std::string response =
      "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  size_t sent = 0;
  gateway_->until([&] {
    sent += upstream_->send(std::string_view(response).substr(sent));
    return gateway_->stat("http.test.downstream_rq_active") == 0;
  });
  for (int i = 0; i < 50; ++i) gateway_->turn();
  gateway_->until([&] { return gateway_->stat("http.test.downstream_cx_active") == 1; });
  gateway_->advance(Millis(2900));
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_active"), 1u);
  gateway_->advance(Millis(200));
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_active"), 0u);
}

// The limit of the listener or that of the cluster, whichever is smaller.
class SlowReader : public HttpConnectionTest, public testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Limit, SlowReader, testing::Bool());

TEST_P(SlowReader, StopsItsSource) {
  const std::string limit = "per_connection_buffer_limit_bytes: 65536";
  bool of_cluster = GetParam();
  start("", of_cluster ? limit : "", of_cluster ? "" : limit);
  client_->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  size_t before = memory::SegmentPool::local().liveBytes();
  size_t size = 64'000'000;
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(size) + "\r\n\r\n");
  std::string piece(256 * 1024, 'x');
  size_t sent = 0;
  // Nobody reads: the source stalls once kernels and lane are full.
  for (int still = 0; still < 200;) {
    size_t n = upstream_->send(piece);
    sent += n;
    still = n == 0 ? still + 1 : 0;
    gateway_->turn();
    ASSERT_LT(sent, size);
  }
  size_t held = memory::SegmentPool::local().liveBytes() - before;
  // The lane and one turn's reading, in whole blocks: with the default limit of 1 MiB it is more.
  EXPECT_LE(held, 800u * 1024);
  // It goes on as soon as the client reads, and every byte arrives.
  size_t received = 0;
  gateway_->until([&] {
    if (sent < size) sent += upstream_->send(piece.substr(0, std::min(piece.size(), size - sent)));
    client_->received.clear();
    received += client_->read(256 * 1024);
    return received >= size && sent == size;
  });
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_active"), 0u);
}

TEST_F(HttpConnectionTest, BothDirectionsFlowAtOnce) {
  const std::string limit = "per_connection_buffer_limit_bytes: 65536";
  start("", limit, limit);
  constexpr size_t kSize = 10 * 1024 * 1024;
  client_->send("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: " + std::to_string(kSize) +
                "\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->received.clear();
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kSize) + "\r\n\r\n");
  std::string piece;
  for (size_t i = 0; i < 100'003; ++i) piece += static_cast<char>('a' + i % 23);
  std::string echo;  // read by the origin, not sent back yet
  size_t sent = 0, received = 0, at = 0;
  bool same = true, head = false;
  gateway_->until([&] {
    if (sent < kSize) {
      size_t from = sent % piece.size();
      sent += client_->send(
          std::string_view(piece).substr(from, std::min(piece.size() - from, kSize - sent)));
    }
    upstream_->read(64 * 1024);
    echo += upstream_->received;
    upstream_->received.clear();
    echo.erase(0, upstream_->send(echo));
    client_->read(64 * 1024);
    if (!head) {
      size_t end = client_->received.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      client_->received.erase(0, end + 4);
      head = true;
    }
    for (char c : client_->received) same = same && c == piece[at++ % piece.size()];
    received += client_->received.size();
    client_->received.clear();
    return received == kSize;
  });
  EXPECT_TRUE(same);
}

TEST_F(HttpConnectionTest, ADisconnectedClientEndsItsUpstreamRequest) {
  start();
  client_->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  client_->reset();
  gateway_->until([&] {
    upstream_->read();
    return upstream_->finished || upstream_->broken;
  });
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_active"), 0u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_active"), 0u);
}

TEST_F(HttpConnectionTest, AStaleUpstreamConnectionIsNotPicked) {
  start();
  client_->send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1");
  clientGets("\r\n\r\n1");
  // The FIN and the next request arrive in the same turn.
  upstream_.reset();
  client_->send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n2");
  clientGets("\r\n\r\n2");
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_total"), 2u);
}

TEST_F(HttpConnectionTest, DrainingAsksClientsToLeave) {
  start();
  gateway_->until([&] { return gateway_->stat("http.test.downstream_cx_active") == 1; });
  gateway_->drain();
  client_->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1");
  clientGets("\r\n\r\n1");
  // Draining: the answer says that the connection ends, and it does.
  EXPECT_NE(client_->received.find("\r\nconnection: close\r\n"), std::string::npos);
  clientSeesEnd();
}

TEST_F(HttpConnectionTest, LimitOfRequestsPerConnection) {
  start("common_http_protocol_options: {max_requests_per_connection: 2}");
  client_->send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  for (const char* body : {"1", "2"}) {
    upstreamGets("\r\n\r\n");
    upstream_->received.clear();
    upstream_->send(std::string("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n") + body);
  }
  clientSeesEnd();
  EXPECT_TRUE(client_->received.ends_with("\r\n\r\n2"));
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_total"), 2u);
}

TEST_F(HttpConnectionTest, CircuitBreakerOfRequests) {
  start("", "circuit_breakers: {thresholds: [{max_requests: 1}]}");
  client_->send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  acceptUpstream();
  upstreamGets("\r\n\r\n");
  auto second = gateway_->dial();
  second->send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  gateway_->until([&] {
    second->read();
    return second->received.ends_with("overflow");
  });
  EXPECT_TRUE(second->received.starts_with("HTTP/1.1 503 "));
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1");
  clientGets("\r\n\r\n1");
  second->received.clear();
  second->send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  upstream_->received.clear();
  upstreamGets("\r\n\r\n");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n3");
  gateway_->until([&] {
    second->read();
    return second->received.ends_with("\r\n\r\n3");
  });
}

}  // namespace
}  // namespace gatehouse::proxy
