#include "source/server/config_dump.h"

#include <gtest/gtest.h>

#include <string>

#include "api/envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "source/config/diagnostics.h"
#include "source/config/loader.h"

namespace gatehouse::server {
namespace {

constexpr char kConfig[] = R"(
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          route_config: {name: routes-a, virtual_hosts: [{name: all, domains: ["*"]}]}
  clusters:
  - {name: one, connect_timeout: 1s}
  - {name: two, connect_timeout: 2s}
)";

class ConfigDumpTest : public testing::Test {
 protected:
  ConfigDumpTest() {
    config::Diagnostics diagnostics("test.yaml");
    EXPECT_TRUE(config::loadText(kConfig, config::Format::kYaml, {}, bootstrap_, diagnostics))
        << diagnostics.toString();
  }
  admin::Response get(const std::string& query) {
    return configDump(bootstrap_, 1'700'000'000'123'456,
                      admin::parseTarget("GET", "/config_dump" + query));
  }
  static size_t count(const std::string& text, const std::string& what) {
    size_t n = 0;
    for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
    return n;
  }
  envoy::config::bootstrap::v3::Bootstrap bootstrap_;
};

TEST_F(ConfigDumpTest, HasASectionForEachKind) {
  admin::Response all = get("");
  EXPECT_EQ(all.status, 200);
  for (const char* type :
       {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"})
    EXPECT_EQ(count(all.body, std::string("type.googleapis.com/envoy.admin.v3.") + type), 1u)
        << type;
  EXPECT_NE(all.body.find("\"last_updated\": \"2023-11-14T22:13:20.123Z\""), all.body.npos)
      << all.body;
  EXPECT_NE(all.body.find("\"name\": \"routes-a\""), all.body.npos);
}

TEST_F(ConfigDumpTest, GivesTheEntriesOfOneResource) {
  admin::Response clusters = get("?resource=static_clusters");
  EXPECT_EQ(clusters.status, 200);
  EXPECT_EQ(count(clusters.body, "ClustersConfigDump.StaticCluster\""), 2u);
  EXPECT_EQ(clusters.body.find("BootstrapConfigDump"), clusters.body.npos);
  EXPECT_EQ(get("?resource=nonsense").status, 404);
  admin::Response bootstrap = get("?resource=bootstrap");
  EXPECT_EQ(bootstrap.status, 400);
  EXPECT_EQ(bootstrap.body,
            "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field");
}

TEST_F(ConfigDumpTest, MasksReachIntoWhatIsPacked) {
  admin::Response names = get("?resource=static_clusters&mask=cluster.name");
  EXPECT_EQ(names.status, 200);
  EXPECT_NE(names.body.find("\"name\": \"two\""), names.body.npos);
  EXPECT_EQ(names.body.find("connect_timeout"), names.body.npos);
  EXPECT_EQ(names.body.find("last_updated"), names.body.npos);
  admin::Response node = get("?mask=bootstrap.static_resources.clusters");
  EXPECT_EQ(count(node.body, "ConfigDump"), 1u);
  EXPECT_EQ(node.body.find("listeners"), node.body.npos);
  EXPECT_EQ(get("?mask=what").status, 400);
  EXPECT_EQ(get("?resource=static_clusters&mask=what").status, 400);
}

TEST_F(ConfigDumpTest, NamesMatchAsAWhole) {
  admin::Response one = get("?resource=static_clusters&name_regex=o.e");
  EXPECT_NE(one.body.find("\"name\": \"one\""), one.body.npos);
  EXPECT_EQ(one.body.find("\"name\": \"two\""), one.body.npos);
  EXPECT_EQ(get("?resource=static_clusters&name_regex=o").body.find("\"name\""), std::string::npos);
  EXPECT_EQ(get("?name_regex=(").status, 400);
  EXPECT_EQ(get("?nme=x").status, 400);
}

}  // namespace
}  // namespace gatehouse::server
