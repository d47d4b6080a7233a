// Every external library links and works in one binary: a missing or clashing package shows here
// first.
#include <gtest/gtest.h>
#include <llhttp.h>
#include <nghttp2/nghttp2.h>
#include <re2/re2.h>
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <yaml-cpp/yaml.h>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "test/toolchain/toolchain.pb.h"

namespace {

TEST(Toolchain, LibrariesWorkTogether) {
  gatehouse::test::Sample sample;
  sample.mutable_timeout()->set_seconds(3);
  EXPECT_NE(sample.DebugString().find("seconds: 3"), std::string::npos);

  boost::asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  EXPECT_EQ(io.poll(), 0u);

  EXPECT_TRUE(RE2::FullMatch("abc", "a.c"));
  EXPECT_EQ(YAML::Load("a: 1")["a"].as<int>(), 1);
  EXPECT_GE(nghttp2_version(0)->version_num, 0x013400);
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);

  absl::flat_hash_map<std::string, int> map{{"a", 1}};
  absl::StatusOr<int> value = absl::NotFoundError(absl::StrCat("no ", map["a"]));
  EXPECT_EQ(value.status().message(), "no 1");
  EXPECT_NE(spdlog::default_logger(), nullptr);
}

}  // namespace
