// Network filters in front of the HTTP connection manager.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include <google/protobuf/wrappers.pb.h>

#include "api/envoy/type/matcher/v3/regex.pb.h"
#include "source/config/registry.h"
#include "source/sdk/factory.h"
#include "test/harness/gateway.h"
#include "test/harness/h2_side.h"

namespace gatehouse {
namespace {

using event::Millis;
using harness::Gateway;
using harness::Origin;
using harness::Peer;

struct Seen {
  int connections = 0;
  int closes = 0;
  std::string in;
  std::string out;
};
Seen g_seen;

// Does what its configuration's words say (any message with a string would do): "wait" and "hold"
// pause at the connection and at the first data for a second, "caps" edits what goes to the client,
// "bye" closes at data.
struct Config {
  std::string words;
};

class Scripted {
 public:
  Scripted(const Config& config, sdk::NetworkStream& stream)
      : words_(config.words), stream_(stream) {}

  sdk::Step onConnection() noexcept {
    ++g_seen.connections;
    return has("wait") ? pause() : sdk::Step::kContinue;
  }
  sdk::Step onData(buffer::Buffer& in, bool) noexcept {
    if (has("hold") && !held_) {
      held_ = true;
      return pause();
    }
    if (has("bye")) {
      stream_.close(false);
      return sdk::Step::kContinue;
    }
    g_seen.in += in.toString();
    return sdk::Step::kContinue;
  }
  void onWrite(buffer::Buffer& out) noexcept {
    std::string text = out.toString();
    g_seen.out += text;
    if (!has("caps")) return;
    std::transform(text.begin(), text.end(), text.begin(), ::toupper);
    out.clear();
    out.appendCopy(text);
  }
  void onClose() noexcept { ++g_seen.closes; }

 private:
  bool has(std::string_view word) const { return words_.find(word) != std::string::npos; }
  sdk::Step pause() {
    timer_.arm(
        Millis(1000), [](void* self) noexcept { static_cast<Scripted*>(self)->stream_.resume(); },
        this);
    return sdk::Step::kPause;
  }
  const std::string& words_;
  sdk::NetworkStream& stream_;
  event::Timer timer_;
  bool held_ = false;
};

class ScriptedFactory final : public sdk::NetworkFilterFactory {
 public:
  std::string_view name() const override { return "scripted"; }
  std::string_view configType() const override { return "envoy.type.matcher.v3.RegexMatcher"; }
  absl::StatusOr<sdk::NetworkFilterPlan> compile(const google::protobuf::Message& message,
                                                 sdk::FactoryContext&) override {
    envoy::type::matcher::v3::RegexMatcher value;
    value.CopyFrom(message);
    auto config = std::make_shared<Config>(Config{value.regex()});
    return sdk::NetworkFilterPlan{sdk::networkFilterType<Scripted, Config>(), std::move(config)};
  }
};
GATEHOUSE_REGISTER(sdk::NetworkFilterFactory, ScriptedFactory);

class NetworkFiltersTest : public testing::Test {
 protected:
  void start(const std::string& filters) {
    g_seen = {};
    std::string yaml = harness::bootstrap(origin_.port());
    const std::string mark = "    - filters:\n";
    yaml.insert(yaml.find(mark) + mark.size(), filters);
    gateway_ = std::make_unique<Gateway>(yaml);
  }
  static std::string scripted(const std::string& words) {
    return "      - name: scripted\n        typed_config: {\"@type\": "
           "type.googleapis.com/envoy.type.matcher.v3.RegexMatcher, regex: \"" +
           words + "\"}\n";
  }
  static std::string limit(const std::string& more) {
    return "      - name: limit\n        typed_config: {\"@type\": "
           "type.googleapis.com/"
           "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: "
           "l, " +
           more + "}\n";
  }
  void TearDown() override {
    client_.reset();
    upstream_.reset();
    gateway_.reset();
  }
  void upstreamGets(const std::string& end) {
    gateway_->until([&] {
      if (upstream_ == nullptr) upstream_ = origin_.accept();
      if (upstream_ == nullptr) return false;
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
  bool ended(Peer& peer) {
    peer.read();
    return peer.finished || peer.broken;
  }

  Origin origin_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Peer> client_;
  std::unique_ptr<Peer> upstream_;
};

TEST_F(NetworkFiltersTest, SeeEveryByteOnceInBothDirections) {
  start(scripted("caps") + scripted("look"));
  client_ = gateway_->dial();
  // Two pipelined requests: the second stays in the input until the first is answered.
  const std::string requests =
      "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n";
  client_->send(requests);
  upstreamGets("\r\n\r\n");
  upstream_->received.clear();
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
  upstreamGets("\r\n\r\n");
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo");
  clientGets("TWO");
  EXPECT_NE(client_->received.find("ONE"), std::string::npos);
  EXPECT_EQ(g_seen.in, requests + requests);  // by two filters
  EXPECT_EQ(g_seen.connections, 2);
  client_->reset();
  gateway_->until([&] { return g_seen.closes == 2; });
}

TEST_F(NetworkFiltersTest, PauseAtTheConnectionAndAtData) {
  start(scripted("wait") + scripted("hold"));
  client_ = gateway_->dial();
  client_->send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
  gateway_->until([&] { return g_seen.connections == 1; });
  for (int i = 0; i < 20; ++i) gateway_->turn();
  EXPECT_EQ(gateway_->stat("http.test.downstream_cx_total"), 0u);
  gateway_->advance(Millis(1001));
  gateway_->until([&] { return gateway_->stat("http.test.downstream_cx_total") == 1; });
  for (int i = 0; i < 20; ++i) gateway_->turn();
  EXPECT_EQ(gateway_->stat("http.test.downstream_rq_total"), 0u);
  gateway_->advance(Millis(1001));
  upstreamGets("\r\n\r\n");
  EXPECT_TRUE(upstream_->received.starts_with("GET /1 HTTP/1.1"));
}

TEST_F(NetworkFiltersTest, AClientThatLeavesWhilePausedIsForgotten) {
  start(scripted("wait"));
  client_ = gateway_->dial();
  gateway_->until([&] { return g_seen.connections == 1; });
  client_->reset();
  gateway_->advance(Millis(1001));
  gateway_->until([&] { return g_seen.closes == 1; });
}

TEST_F(NetworkFiltersTest, MayClose) {
  start(scripted("bye"));
  client_ = gateway_->dial();
  client_->send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
  gateway_->until([&] { return ended(*client_); });
  EXPECT_EQ(client_->received, "");
  EXPECT_EQ(g_seen.closes, 1);
}

TEST_F(NetworkFiltersTest, StayInFrontOfHttp2) {
  start(scripted("look"));
  harness::H2Side client(codec::h2::H2Codec::Role::kClient, gateway_->dial());
  harness::Exchange& exchange = client.request("GET", "/two");
  gateway_->until([&] {
    client.pump();
    if (upstream_ == nullptr) upstream_ = origin_.accept();
    if (upstream_ == nullptr) return false;
    upstream_->read();
    return upstream_->received.ends_with("\r\n\r\n");
  });
  upstream_->send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo");
  gateway_->until([&] {
    client.pump();
    return exchange.ended;
  });
  EXPECT_EQ(exchange.body, "two");
  EXPECT_NE(g_seen.out.find("two"), std::string::npos) << "answers pass the filter too";
}

TEST_F(NetworkFiltersTest, ConnectionLimit) {
  start(limit("max_connections: 2"));
  auto one = gateway_->dial();
  auto two = gateway_->dial();
  gateway_->until([&] { return gateway_->stat("connection_limit.l.active_connections") == 2; });
  auto three = gateway_->dial();
  gateway_->until([&] { return ended(*three); });
  EXPECT_EQ(gateway_->stat("connection_limit.l.limited_connections"), 1u);
  one->reset();
  gateway_->until([&] { return gateway_->stat("connection_limit.l.active_connections") == 1; });
  auto four = gateway_->dial();
  gateway_->until([&] { return gateway_->stat("connection_limit.l.active_connections") == 2; });
  EXPECT_FALSE(ended(*four));
  two->reset();
  four->reset();
}

TEST_F(NetworkFiltersTest, ConnectionLimitWithDelay) {
  start(limit("max_connections: 1, delay: 2s"));
  auto one = gateway_->dial();
  gateway_->until([&] { return gateway_->stat("connection_limit.l.active_connections") == 1; });
  auto two = gateway_->dial();
  gateway_->until([&] { return gateway_->stat("connection_limit.l.limited_connections") == 1; });
  gateway_->advance(Millis(1900));
  EXPECT_FALSE(ended(*two));
  gateway_->advance(Millis(200));
  gateway_->until([&] { return ended(*two); });
  one->reset();
}

}  // namespace
}  // namespace gatehouse
