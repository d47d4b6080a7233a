// HTTP filters that routes turn on and off.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "api/envoy/type/matcher/v3/regex.pb.h"
#include "source/config/registry.h"
#include "source/sdk/factory.h"
#include "test/harness/gateway.h"

namespace gatehouse {
namespace {

using harness::Gateway;

struct Words {
  std::string text;
};

// Writes its configuration's text (any message with a string would do) into the answer.
class Tag {
 public:
  Tag(const Words&, sdk::HttpStream& stream) : stream_(stream) {}
  sdk::Step requestHead(http::RequestHead&, bool) noexcept {
    saw_request_ = true;
    return sdk::Step::kContinue;
  }
  sdk::Step responseHead(http::ResponseHead& head, bool) noexcept {
    head.headers.addCopy("x-tag", stream_.config<Words>().text + (saw_request_ ? "" : "?"));
    return sdk::Step::kContinue;
  }

 private:
  sdk::HttpStream& stream_;
  bool saw_request_ = false;
};

constexpr char kType[] = "envoy.type.matcher.v3.RegexMatcher";

class TagFactory final : public sdk::HttpFilterFactory {
 public:
  std::string_view name() const override { return "tag"; }
  std::string_view configType() const override { return kType; }
  std::string_view routeConfigType() const override { return kType; }
  absl::StatusOr<sdk::HttpFilterPlan> compile(const google::protobuf::Message& message,
                                              sdk::FactoryContext&) override {
    return sdk::HttpFilterPlan{sdk::httpFilterType<Tag, Words>(), words(message)};
  }
  absl::StatusOr<std::shared_ptr<const void>> compileRoute(const google::protobuf::Message& message,
                                                           sdk::FactoryContext&) override {
    return std::shared_ptr<const void>(words(message));
  }

 private:
  static std::shared_ptr<const Words> words(const google::protobuf::Message& message) {
    envoy::type::matcher::v3::RegexMatcher matcher;
    matcher.CopyFrom(message);
    return std::make_shared<const Words>(Words{matcher.regex()});
  }
};
GATEHOUSE_REGISTER(sdk::HttpFilterFactory, TagFactory);

std::string tag(const std::string& name, const std::string& text, bool disabled) {
  return "          - name: " + name + "\n            disabled: " + (disabled ? "true" : "false") +
         "\n            typed_config: {\"@type\": type.googleapis.com/" + kType +
         ", regex: " + text + "}\n";
}

std::string route(const std::string& path, const std::string& configs) {
  return "- match: {path: " + path +
         "}\n  direct_response: {status: 200}\n  typed_per_filter_config: {" + configs + "}\n";
}

std::string filterConfig(const std::string& name, const std::string& fields) {
  return name + ": {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

std::string own(const std::string& text) {
  return "{\"@type\": type.googleapis.com/" + std::string(kType) + ", regex: " + text + "}";
}

class FilterSwitchTest : public testing::Test {
 protected:
  FilterSwitchTest() {
    std::string yaml = harness::bootstrap(
        1, "", "", "",
        route("/plain", "") + route("/off", filterConfig("on", "disabled: true")) +
            route("/on", filterConfig("off", "")) + route("/own", "off: " + own("route")) +
            route("/wrapped", filterConfig("off", "config: " + own("wrapped"))));
    const std::string mark = "          http_filters:\n";
    yaml.insert(yaml.find(mark) + mark.size(), tag("on", "one", false) + tag("off", "two", true));
    gateway_ = std::make_unique<Gateway>(yaml);
    client_ = gateway_->dial();
  }
  // All x-tag values of the answer.
  std::string tags(const std::string& path) {
    client_->received.clear();
    client_->send("GET " + path + " HTTP/1.1\r\nhost: a\r\n\r\n");
    gateway_->until([&] {
      client_->read();
      return client_->received.ends_with("\r\n\r\n");
    });
    std::string out;
    const std::string& text = client_->received;
    for (size_t at = text.find("x-tag: "); at != text.npos; at = text.find("x-tag: ", at + 1))
      out += text.substr(at + 7, text.find("\r\n", at) - at - 7) + " ";
    return out;
  }
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<harness::Peer> client_;
};

TEST_F(FilterSwitchTest, RoutesTurnFiltersOnAndOff) {
  EXPECT_EQ(tags("/plain"), "one ");
  EXPECT_EQ(tags("/off"), "");
  EXPECT_EQ(tags("/on"), "two one ");
  EXPECT_EQ(tags("/own"), "route one ");
  EXPECT_EQ(tags("/wrapped"), "wrapped one ");
  EXPECT_EQ(tags("/nowhere"), "one ") << "without a route the default holds";
}

TEST_F(FilterSwitchTest, AnAnswerBeforeTheFiltersRunsThoseThatAreOnByDefault) {
  client_->send("GET /on HTTP/1.1\r\n\r\n");  // no host: refused before any filter
  gateway_->until([&] {
    client_->read();
    return client_->received.ends_with("\r\n\r\n");
  });
  EXPECT_NE(client_->received.find("x-tag: one?"), std::string::npos) << client_->received;
  EXPECT_EQ(client_->received.find("two"), std::string::npos);
}

}  // namespace
}  // namespace gatehouse
