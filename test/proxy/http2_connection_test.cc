// HTTP/2 on either side of the gateway, turn by turn on simulated time.

#include "source/proxy/http2_connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "source/memory/segment.h"
#include "test/harness/gateway.h"
#include "test/harness/h2_side.h"

namespace gatehouse::proxy {
namespace {

using event::Millis;
using harness::Exchange;
using harness::Fields;
using harness::Gateway;
using harness::H2Side;
using harness::Origin;
using harness::Peer;
using Role = codec::h2::H2Codec::Role;

constexpr char kHttp2Cluster[] =
    "typed_extension_protocol_options:\n"
    "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
    "    \"@type\": "
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
    "    explicit_http_config: {http2_protocol_options: {}}\n";

class Http2ConnectionTest : public testing::Test {
 protected:
  void start(const std::string& hcm = "", const std::string& cluster = "",
             const std::string& listener = "") {
    gateway_ =
        std::make_unique<Gateway>(harness::bootstrap(origin_.port(), hcm, cluster, listener));
  }
  void TearDown() override {
    client_.reset();
    upstreams_.clear();
    plain_.clear();
    gateway_.reset();
  }
  H2Side& client() {
    if (client_ == nullptr) client_ = std::make_unique<H2Side>(Role::kClient, gateway_->dial());
    return *client_;
  }
  // One turn of everybody.
  void turn() {
    if (client_ != nullptr) client_->pump();
    gateway_->turn();
    for (auto& one : upstreams_) one->pump();
    for (auto& one : plain_) one->read();
  }
  template <class F>
  void until(F&& holds) {
    for (int i = 0; i < 200'000; ++i) {
      if (holds()) return;
      turn();
    }
    FAIL() << "it never came to that";
  }
  void settle() {
    for (int i = 0; i < 20; ++i) turn();
  }
  H2Side& acceptHttp2() {
    std::unique_ptr<Peer> peer;
    until([&] { return (peer = origin_.accept()) != nullptr; });
    return *upstreams_.emplace_back(std::make_unique<H2Side>(Role::kServer, std::move(peer)));
  }
  Peer& acceptHttp1() {
    std::unique_ptr<Peer> peer;
    until([&] { return (peer = origin_.accept()) != nullptr; });
    return *plain_.emplace_back(std::move(peer));
  }
  void until(Exchange& exchange) {
    until([&] { return exchange.ended || exchange.aborted; });
  }

  Origin origin_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<H2Side> client_;
  std::vector<std::unique_ptr<H2Side>> upstreams_;
  std::vector<std::unique_ptr<Peer>> plain_;
};

TEST_F(Http2ConnectionTest, StreamsRunSideBySideOverHttp1Upstreams) {
  start();
  Exchange& a = client().request("GET", "/a", {{"x-one", "1"}});
  Exchange& b = client().request("POST", "/b", {}, false);
  client().body(b, "hello", true);
  Peer& first = acceptHttp1();
  Peer& second = acceptHttp1();
  until([&] { return second.received.ends_with("0\r\n\r\n"); });
  EXPECT_TRUE(first.received.starts_with("GET /a HTTP/1.1\r\nhost: test\r\n"));
  EXPECT_NE(first.received.find("x-one: 1\r\n"), std::string::npos);
  EXPECT_NE(second.received.find("transfer-encoding: chunked\r\n"), std::string::npos);
  EXPECT_TRUE(second.received.ends_with("5\r\nhello\r\n0\r\n\r\n"));
  second.send(
      "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
      "2\r\nok\r\n0\r\n\r\n");
  until(b);
  EXPECT_FALSE(a.ended);
  first.send("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone");
  until(a);
  EXPECT_EQ(a.answer.status, 404);
  EXPECT_EQ(a.body, "gone");
  EXPECT_EQ(a.field("server"), "gatehouse");
  EXPECT_EQ(b.answer.status, 200);
  EXPECT_EQ(b.body, "ok");
  EXPECT_EQ(b.field("transfer-encoding"), "");
  EXPECT_EQ(b.field("connection"), "");
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_http2_total"), 2u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_http2_active"), 1u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_http1_total"), 0u);
}

TEST_F(Http2ConnectionTest, ManyRequestsShareOneHttp2Upstream) {
  start("", kHttp2Cluster);
  std::vector<Exchange*> all;
  for (int i = 0; i < 50; ++i) all.push_back(&client().request("GET", "/" + std::to_string(i)));
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 50; });
  // Answered in any order.
  for (size_t i = upstream.size(); i-- > 0;) {
    upstream.answer(upstream.at(i), 200, {}, false);
    upstream.body(upstream.at(i), std::string(upstream.at(i).request.path), false);
    upstream.trailers(upstream.at(i), {{"grpc-status", "0"}});
  }
  for (int i = 0; i < 50; ++i) {
    until(*all[static_cast<size_t>(i)]);
    EXPECT_EQ(all[static_cast<size_t>(i)]->body, "/" + std::to_string(i));
    EXPECT_EQ(all[static_cast<size_t>(i)]->trailers, (Fields{{"grpc-status", "0"}}));
  }
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_total"), 1u);
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_http2_total"), 1u);
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_active"), 0u);
  EXPECT_EQ(gateway_->stat("cluster.origin.http2.streams_active"), 0u);
  EXPECT_EQ(gateway_->stat("http2.streams_active"), 0u);
}

TEST_F(Http2ConnectionTest, TheUpstreamsLimitOfStreamsIsKept) {
  start("", kHttp2Cluster);
  codec::h2::Options options;
  options.max_concurrent_streams = 2;
  Exchange& warm = client().request("GET", "/");
  std::unique_ptr<Peer> peer;
  until([&] { return (peer = origin_.accept()) != nullptr; });
  auto& upstream =
      *upstreams_.emplace_back(std::make_unique<H2Side>(Role::kServer, std::move(peer), &options));
  until([&] { return upstream.size() == 1; });
  upstream.answer(upstream.at(0), 204);
  until(warm);
  for (int i = 0; i < 3; ++i) client().request("GET", "/" + std::to_string(i));
  H2Side& second = acceptHttp2();
  until([&] { return upstream.size() == 3 && second.size() == 1; });
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_total"), 2u);
}

TEST_F(Http2ConnectionTest, ResetsOfTheUpstreamBecomeAnswersOrResets) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("GET", "/a");
  Exchange& b = client().request("GET", "/b");
  Exchange& c = client().request("GET", "/c");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 3; });
  upstream.reset(upstream.at(0), codec::Abort::kInternal);
  upstream.reset(upstream.at(1), codec::Abort::kRefused);
  upstream.answer(upstream.at(2), 200, {}, false);
  upstream.body(upstream.at(2), "part", false);
  until(a);
  until(b);
  until([&] { return c.body == "part"; });
  upstream.reset(upstream.at(2), codec::Abort::kInternal);
  until(c);
  EXPECT_EQ(a.answer.status, 503);
  EXPECT_EQ(
      a.body,
      "upstream connect error or disconnect/reset before headers. reset reason: remote reset");
  EXPECT_EQ(b.body,
            "upstream connect error or disconnect/reset before headers. reset reason: remote "
            "refused stream reset");
  EXPECT_TRUE(c.aborted);
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_rx_reset"), 2u) << "refused ones are not";
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_active"), 1u);
}

TEST_F(Http2ConnectionTest, AGoAwayOfTheUpstreamMovesNewRequestsElsewhere) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("GET", "/a");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 1; });
  upstream.codec().goAway();
  upstream.codec().finishGoAway();
  until([&] { return gateway_->stat("cluster.origin.upstream_cx_close_notify") == 1; });
  Exchange& b = client().request("GET", "/b");
  H2Side& second = acceptHttp2();
  until([&] { return second.size() == 1; });
  upstream.answer(upstream.at(0), 200);
  second.answer(second.at(0), 201);
  until(a);
  until(b);
  EXPECT_EQ(a.answer.status, 200);
  EXPECT_EQ(b.answer.status, 201);
  until([&] { return upstream.peer().finished; });
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_active"), 1u);
}

TEST_F(Http2ConnectionTest, ALostUpstreamFailsAllItsRequests) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("GET", "/a");
  Exchange& b = client().request("GET", "/b");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 2; });
  upstream.answer(upstream.at(1), 200, {}, false);
  until([&] { return b.head; });
  upstream.peer().reset();
  upstreams_.clear();
  until(a);
  until(b);
  EXPECT_EQ(a.answer.status, 503);
  EXPECT_TRUE(b.aborted);
}

TEST_F(Http2ConnectionTest, AClientsResetReachesBothKindsOfUpstream) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("GET", "/a");
  Exchange& b = client().request("GET", "/b");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 2; });
  client().reset(a);
  until([&] { return upstream.at(0).aborted; });
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_rq_tx_reset"), 1u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_rx_reset"), 1u);
  upstream.answer(upstream.at(1), 204);
  until(b);
  EXPECT_EQ(b.answer.status, 204);
}

TEST_F(Http2ConnectionTest, AClientsResetClosesTheHttp1Upstream) {
  start();
  Exchange& a = client().request("GET", "/a");
  Peer& upstream = acceptHttp1();
  until([&] { return upstream.received.ends_with("\r\n\r\n"); });
  client().reset(a);
  until([&] { return upstream.finished || upstream.broken; });
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_active"), 1u);
}

TEST_F(Http2ConnectionTest, ALostClientEndsAllItsStreams) {
  start("", kHttp2Cluster);
  for (int i = 0; i < 3; ++i) client().request("GET", "/");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 3; });
  client().peer().reset();
  client_.reset();
  until([&] { return upstream.at(0).aborted && upstream.at(1).aborted && upstream.at(2).aborted; });
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_active"), 0u);
}

TEST_F(Http2ConnectionTest, ASlowStreamHoldsWhatItsLanesTakeAndBlocksNobody) {
  start("http2_protocol_options: {initial_stream_window_size: 65535}\n",
        std::string(kHttp2Cluster) + "per_connection_buffer_limit_bytes: 65536\n",
        "per_connection_buffer_limit_bytes: 65536\n");
  client().slow = true;
  Exchange& slow = client().request("GET", "/slow");
  client().slow = false;
  Exchange& fast = client().request("GET", "/fast");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 2; });
  const std::string large(8 << 20, 'x');
  size_t before = memory::SegmentPool::local().liveBytes();
  for (size_t i : {0u, 1u}) {
    upstream.answer(upstream.at(i), 200, {}, false);
    upstream.body(upstream.at(i), large, true);
  }
  until(fast);
  settle();
  EXPECT_EQ(fast.body.size(), large.size());
  EXPECT_LT(slow.body.size(), (1u << 20) + 1);
  // What the test's own sides hold does not count: 16 MiB were handed over, 8 and a window are
  // gone.
  EXPECT_GT(upstream.codec().queued(upstream.at(0)), large.size() - (2u << 20));
  (void)before;
  slow.slow = false;
  client().allow(slow, 1 << 20);
  until(slow);
  EXPECT_EQ(slow.body.size(), large.size());
}

TEST_F(Http2ConnectionTest, EchoesThroughSmallLanesNeverStop) {
  for (bool http2_upstream : {false, true}) {
    start("http2_protocol_options: {initial_stream_window_size: 65535}\n",
          std::string(http2_upstream ? kHttp2Cluster : "") +
              "per_connection_buffer_limit_bytes: 16384\n",
          "per_connection_buffer_limit_bytes: 16384\n");
    const size_t size = 4 << 20;
    Exchange& a = client().request("POST", "/", {{"content-length", std::to_string(size)}}, false);
    client().body(a, std::string(size, 'e'), true);
    if (http2_upstream) {
      H2Side& upstream = acceptHttp2();
      until([&] { return upstream.size() == 1; });
      upstream.answer(upstream.at(0), 200, {}, false);
      size_t echoed = 0;
      until([&] {
        Exchange& seen = upstream.at(0);
        if (seen.body.size() > echoed) {
          upstream.body(seen, std::string_view(seen.body).substr(echoed), false);
          echoed = seen.body.size();
        }
        return echoed == size;
      });
      upstream.body(upstream.at(0), "", true);
    } else {
      Peer& upstream = acceptHttp1();
      until([&] { return upstream.received.find("\r\n\r\n") != std::string::npos; });
      size_t head = upstream.received.find("\r\n\r\n") + 4;
      std::string out = "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(size) + "\r\n\r\n";
      size_t taken = head;
      until([&] {
        out += upstream.received.substr(taken);
        taken = upstream.received.size();
        out.erase(0, upstream.send(out));
        return taken == head + size && out.empty();
      });
    }
    until(a);
    EXPECT_EQ(a.body.size(), size);
    EXPECT_FALSE(a.aborted);
    TearDown();
  }
}

TEST_F(Http2ConnectionTest, TheFirstBytesDecideTheVersion) {
  start();
  auto peer = gateway_->dial();
  H2Side side(Role::kClient);
  side.request("GET", "/split");
  for (char c : side.output()) {
    peer->send(std::string_view(&c, 1));
    gateway_->turn();
  }
  Peer& upstream = acceptHttp1();
  until([&] { return upstream.received.starts_with("GET /split HTTP/1.1\r\n"); });
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_total"), 1u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_http2_total"), 1u);
  auto plain = gateway_->dial();
  plain->send("PR");
  gateway_->turn();
  plain->send("OPFIND / HTTP/1.1\r\nhost: a\r\n\r\n");
  Peer& other = acceptHttp1();
  until([&] { return other.received.starts_with("PROPFIND / HTTP/1.1\r\n"); });
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_http1_total"), 1u);
  peer.reset();
  plain.reset();
}

TEST_F(Http2ConnectionTest, AFixedVersionTakesNoOther) {
  start("codec_type: HTTP2\n");
  auto peer = gateway_->dial();
  peer->send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  until([&] {
    peer->read();
    return peer->finished;
  });
  EXPECT_EQ(peer->received.find("HTTP/1.1"), std::string::npos);
  peer.reset();
  TearDown();
  start("codec_type: HTTP1\n");
  peer = gateway_->dial();
  peer->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  until([&] {
    peer->read();
    return peer->finished;
  });
  EXPECT_TRUE(peer->received.starts_with("HTTP/1.1 4")) << peer->received;
  peer.reset();
}

TEST_F(Http2ConnectionTest, DrainingTellsTheClientAndFinishesWhatRuns) {
  start("drain_timeout: 2s\n");
  Exchange& a = client().request("GET", "/a");
  Peer& upstream = acceptHttp1();
  until([&] { return upstream.received.ends_with("\r\n\r\n"); });
  gateway_->drain();
  until([&] { return client().going_away; });
  EXPECT_EQ(client().last_stream, 0x7fffffffu);
  gateway_->advance(Millis(2100));
  until([&] { return client().last_stream == 1; });
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  until(a);
  EXPECT_EQ(a.body, "ok");
  until([&] {
    client().pump();
    return client().peer().finished;
  });
}

TEST_F(Http2ConnectionTest, AnIdleConnectionIsClosedWithGoAway) {
  start("common_http_protocol_options: {idle_timeout: 3s}\n");
  client().pump();
  settle();
  gateway_->advance(Millis(3100));
  until([&] { return client().peer().finished; });
  EXPECT_TRUE(client().going_away);
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_idle_timeout"), 1u);
}

TEST_F(Http2ConnectionTest, AfterItsLastRequestAConnectionDrains) {
  start("drain_timeout: 1s\ncommon_http_protocol_options: {max_requests_per_connection: 2}\n");
  client().request("GET", "/1");
  client().request("GET", "/2");
  until([&] { return client().going_away; });
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_max_requests_reached"), 1u);
}

TEST_F(Http2ConnectionTest, ASilentPeerIsNoticed) {
  start(
      "http2_protocol_options: {connection_keepalive: {interval: 10s, timeout: 2s, "
      "interval_jitter: {value: 0}}}\n");
  client().pump();
  settle();
  gateway_->advance(Millis(10'100));
  settle();  // answers the ping
  gateway_->advance(Millis(2100));
  settle();
  EXPECT_FALSE(client().peer().finished);
  gateway_->advance(Millis(10'100));
  for (int i = 0; i < 20; ++i) gateway_->turn();
  gateway_->advance(Millis(2100));
  until([&] { return client().peer().finished; });
  EXPECT_EQ(gateway_->stat("http2.keepalive_timeout"), 1u);
}

TEST_F(Http2ConnectionTest, AHeaderBlockThatNeverEndsIsNotWaitedForLong) {
  start("request_headers_timeout: 5s\n");
  auto peer = gateway_->dial();
  H2Side side(Role::kClient);
  std::string hello = side.output();
  peer->send(hello);
  peer->send(std::string("\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", 10));  // HEADERS, not ended
  for (int i = 0; i < 10; ++i) gateway_->turn();
  gateway_->advance(Millis(5100));
  until([&] {
    peer->read();
    return peer->finished || peer->broken;
  });
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_header_timeout"), 1u);
  peer.reset();
}

TEST_F(Http2ConnectionTest, ABrokenFrameEndsTheConnectionAndItsStreams) {
  start();
  client().request("GET", "/a");
  Peer& upstream = acceptHttp1();
  until([&] { return upstream.received.ends_with("\r\n\r\n"); });
  client().peer().send(std::string("\x00\x00\x01\x00\x00\x00\x00\x00\x09x", 10));  // DATA, idle
  until([&] { return client().going_away; });
  until([&] { return upstream.finished || upstream.broken; });
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_protocol_error"), 1u);
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_active"), 0u);
  EXPECT_EQ(gateway_->stat("http2.goaway_sent"), 1u);
}

TEST_F(Http2ConnectionTest, AnEarlyAnswerEndsTheUpload) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("POST", "/", {}, false);
  client().body(a, std::string(100'000, 'x'), false);
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 1; });
  upstream.answer(upstream.at(0), 413, {}, false);
  upstream.body(upstream.at(0), "no", true);
  upstream.codec().detach(upstream.at(0));
  until(a);
  EXPECT_EQ(a.answer.status, 413);
  EXPECT_EQ(a.body, "no");
  EXPECT_FALSE(a.aborted);
  settle();
  Exchange& b = client().request("GET", "/");
  until([&] { return upstream.size() == 2; });
  upstream.answer(upstream.at(1), 204);
  until(b);
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_total"), 1u);
}

TEST_F(Http2ConnectionTest, Http1ClientsUseAnHttp2Upstream) {
  start("", kHttp2Cluster);
  auto one = gateway_->dial();
  auto two = gateway_->dial();
  one->send(
      "POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  two->send("GET /2 HTTP/1.1\r\nhost: b\r\n\r\n");
  H2Side& upstream = acceptHttp2();
  until([&] { return upstream.size() == 2 && upstream.at(0).ended && upstream.at(1).ended; });
  size_t post = upstream.at(0).request.path == "/1" ? 0 : 1;
  EXPECT_EQ(upstream.at(post).body, "abc");
  EXPECT_EQ(upstream.at(post).request.authority, "a");
  EXPECT_EQ(upstream.at(post).request.scheme, "http");
  EXPECT_EQ(upstream.at(post).field("transfer-encoding"), "");
  upstream.answer(upstream.at(post), 200, {}, false);
  upstream.body(upstream.at(post), "x", true);
  upstream.answer(upstream.at(1 - post), 200, {{"content-length", "1"}}, false);
  upstream.body(upstream.at(1 - post), "y", true);
  until([&] {
    one->read();
    two->read();
    return one->received.ends_with("1\r\nx\r\n0\r\n\r\n") && two->received.ends_with("\r\n\r\ny");
  });
  one.reset();
  two.reset();
}

TEST_F(Http2ConnectionTest, AnUpstreamThatIsNoHttp2IsAProtocolError) {
  start("", kHttp2Cluster);
  Exchange& a = client().request("GET", "/");
  Peer& upstream = acceptHttp1();
  upstream.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
  until(a);
  EXPECT_EQ(a.answer.status, 502) << a.body;
  EXPECT_EQ(gateway_->stat("cluster.origin.upstream_cx_protocol_error"), 1u);
}

}  // namespace
}  // namespace gatehouse::proxy
