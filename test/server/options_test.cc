#include "source/server/options.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gatehouse::server {
namespace {

struct Parsed {
  bool ok;
  Options options;
  std::string error;
};

Parsed parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "gatehouse");
  Parsed out;
  out.ok =
      parseOptions(static_cast<int>(arguments.size()), arguments.data(), &out.options, &out.error);
  return out;
}

TEST(OptionsTest, TakesEnvoysSpellings) {
  Parsed p = parse({"-c",
                    "a.yaml",
                    "--concurrency=3",
                    "-l",
                    "debug",
                    "--component-log-level",
                    "http:trace,router:off",
                    "--drain-time-s",
                    "7",
                    "--drain-strategy",
                    "immediate",
                    "--mode",
                    "validate",
                    "--service-node",
                    "n",
                    "--service-cluster=c",
                    "--service-zone",
                    "z",
                    "--admin-address-path",
                    "p",
                    "--allow-unknown-static-fields",
                    "--config-yaml",
                    "{}"});
  ASSERT_TRUE(p.ok) << p.error;
  EXPECT_EQ(p.options.config_path, "a.yaml");
  EXPECT_EQ(p.options.config_yaml, "{}");
  EXPECT_EQ(p.options.concurrency, 3u);
  EXPECT_EQ(p.options.log_level, log::Level::kDebug);
  EXPECT_EQ(p.options.component_levels.size(), 2u);
  EXPECT_EQ(p.options.drain_seconds, 7u);
  EXPECT_TRUE(p.options.drain_immediately);
  EXPECT_EQ(p.options.mode, Mode::kValidate);
  EXPECT_EQ(p.options.node, "n");
  EXPECT_EQ(p.options.cluster, "c");
  EXPECT_EQ(p.options.zone, "z");
  EXPECT_EQ(p.options.admin_address_path, "p");
  EXPECT_TRUE(p.options.allow_unknown_static_fields);
}

TEST(OptionsTest, ErrorsNameTheOptionAndWhatItWants) {
  struct Bad {
    std::vector<const char*> arguments;
    std::string says;
  };
  for (const Bad& bad : std::vector<Bad>{
           {{"--concurency", "1"},
            "unknown argument '--concurency' (did you mean '--concurrency'?)"},
           {{"--concurrency", "x"}, "--concurrency: expected a number from 0 to 1024, got 'x'"},
           {{"--concurrency", "2000"}, "--concurrency: expected a number from 0 to 1024"},
           {{"--mode", "dance"}, "--mode: expected serve, validate or init_only, got 'dance'"},
           {{"-l", "loud"}, "--log-level: expected trace"},
           {{"--component-log-level", "http"}, "--component-log-level: expected component:level"},
           {{"--drain-strategy", "slow"}, "--drain-strategy: expected gradual or immediate"},
           {{"--config-path"}, "--config-path: a value is missing"},
           {{"--version=1"}, "--version: takes no value"},
           {{"--restart-epoch", "1"}, "Gatehouse has no hot restart"}}) {
    Parsed p = parse(bad.arguments);
    EXPECT_FALSE(p.ok);
    EXPECT_NE(p.error.find(bad.says), std::string::npos) << p.error;
  }
}

TEST(OptionsTest, HelpNamesEveryOption) {
  std::string help = helpText();
  for (const char* name : {"--config-path, -c", "--drain-strategy", "--mode", "--version"})
    EXPECT_NE(help.find(name), std::string::npos) << name;
  EXPECT_GE(availableCpus(), 1u);
}

}  // namespace
}  // namespace gatehouse::server
