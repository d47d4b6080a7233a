// System calls and allocations of HTTP/2 on both sides. The peers' calls and allocations are not
// counted: they happen between the turns.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "test/budget/counters.h"
#include "test/harness/gateway.h"
#include "test/harness/h2_side.h"

namespace gatehouse::budget {
namespace {

using Role = codec::h2::H2Codec::Role;

constexpr char kHttp2Cluster[] =
    "typed_extension_protocol_options:\n"
    "  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
    "    \"@type\": "
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
    "    explicit_http_config: {http2_protocol_options: {}}\n";
constexpr size_t kStreams = 10;

class Http2Budget : public testing::Test {
 protected:
  Http2Budget()
      : gateway_(harness::bootstrap(origin_.port(), "", kHttp2Cluster)),
        client_(std::make_unique<harness::H2Side>(Role::kClient, gateway_.dial())) {}
  ~Http2Budget() override {
    client_.reset();
    upstream_.reset();
  }
  // Ten requests that are readable at once, ten answers that are readable at once.
  Counts round() {
    size_t first = client_->size();
    for (size_t i = 0; i < kStreams; ++i)
      client_->request("GET", "/some/path?with=query", {{"user-agent", "test"}});
    Counts used;
    for (int i = 0; i < 100'000; ++i) {
      client_->pump();
      Counts before = onThisThread();
      gateway_.turn();
      used += onThisThread() - before;
      serve();
      bool all = true;
      for (size_t n = first; n < client_->size(); ++n) all = all && client_->at(n).ended;
      if (all) return used;
    }
    ADD_FAILURE() << "not all were answered";
    return used;
  }
  void serve() {
    if (upstream_ == nullptr) {
      auto peer = origin_.accept();
      if (peer == nullptr) return;
      upstream_ = std::make_unique<harness::H2Side>(Role::kServer, std::move(peer));
    }
    upstream_->pump();
    if (upstream_->size() < answered_ + kStreams) return;
    for (size_t i = 0; i < kStreams; ++i) {
      harness::Exchange& exchange = upstream_->at(answered_++);
      upstream_->answer(exchange, 200,
                        {{"date", "Thu, 01 Jan 1970 00:00:00 GMT"}, {"content-type", "text/plain"}},
                        false);
      upstream_->body(exchange, "hello", true);
    }
    upstream_->pump();
  }

  harness::Origin origin_;
  harness::Gateway gateway_;
  std::unique_ptr<harness::H2Side> client_;
  std::unique_ptr<harness::H2Side> upstream_;
  size_t answered_ = 0;
};

TEST_F(Http2Budget, TenStreamsShareTheirCalls) {
  for (int warm = 0; warm < 20; ++warm) round();
  constexpr uint64_t kRounds = 10;
  Counts used;
  for (uint64_t i = 0; i < kRounds; ++i) used += round();
  EXPECT_EQ(used.receives, 2 * kRounds);
  EXPECT_EQ(used.sends, 2 * kRounds);
  EXPECT_EQ(used.epoll_ctls, 0u);
  EXPECT_EQ(used.sockets, 0u);
  EXPECT_EQ(used.clocks, 0u);
  if (countsAllocations()) {
    EXPECT_EQ(used.allocations, 0u);
  }
}

}  // namespace
}  // namespace gatehouse::budget
