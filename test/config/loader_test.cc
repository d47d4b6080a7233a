#include "source/config/loader.h"

#include <gtest/gtest.h>

#include "api/envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace gatehouse::config {
namespace {

std::string errorsOf(const std::string& yaml) {
  Diagnostics diagnostics("f.yaml");
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  loadText(yaml, Format::kYaml, {}, bootstrap, diagnostics);
  return diagnostics.toString();
}

TEST(Loader, ReadsCamelCaseDurationsAndWrappers) {
  Diagnostics diagnostics("f.yaml");
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  ASSERT_TRUE(
      loadText("static_resources: {clusters: [{name: a, connectTimeout: 1.5s, "
               "per_connection_buffer_limit_bytes: 7}]}",
               Format::kYaml, {}, bootstrap, diagnostics))
      << diagnostics.toString();
  EXPECT_EQ(bootstrap.static_resources().clusters(0).connect_timeout().nanos(), 500000000);
  EXPECT_EQ(bootstrap.static_resources().clusters(0).per_connection_buffer_limit_bytes().value(),
            7u);
}

TEST(Loader, NamesEveryErrorWithItsPlace) {
  EXPECT_EQ(errorsOf("static_resources:\n  clusters:\n  - nam: a\n    lb_policy: ROUND_ROBINN\n    "
                     "connect_timeout: 5\n"),
            "f.yaml:3:5: static_resources.clusters[0].nam: envoy.config.cluster.v3.Cluster has no "
            "such field (did you mean 'name'?)\n"
            "f.yaml:4:16: static_resources.clusters[0].lb_policy: unknown value 'ROUND_ROBINN' "
            "(did you mean 'ROUND_ROBIN'?)\n"
            "f.yaml:5:22: static_resources.clusters[0].connect_timeout: expected a duration like "
            "1.5s, got '5'\n");
}

TEST(Loader, TellsWhatEnvoyKnowsAndGatehouseDoesNot) {
  EXPECT_NE(errorsOf("static_resources: {clusters: [{name: a, outlier_detection: {}}]}")
                .find("known to Envoy but not supported"),
            std::string::npos);
}

TEST(Loader, EnforcesRules) {
  EXPECT_NE(errorsOf("static_resources: {clusters: [{name: ''}]}")
                .find("clusters[0].name: value must not be empty"),
            std::string::npos);
  EXPECT_NE(errorsOf("static_resources: {clusters: [{name: a, connect_timeout: 0s}]}")
                .find("greater than 0s"),
            std::string::npos);
}

TEST(Loader, RefusesDuplicateKeysAndDeepNesting) {
  EXPECT_NE(errorsOf("node: {id: a, id: b}").find("stands twice"), std::string::npos);
  EXPECT_NE(errorsOf(std::string(100000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_NE(errorsOf("node: {id: [").find("f.yaml:"), std::string::npos);
}

TEST(Loader, UnknownTypeSuggestsTheNearest) {
  EXPECT_NE(errorsOf("static_resources: {listeners: [{filter_chains: [{filters: [{name: h, "
                     "typed_config: {'@type': "
                     "type.googleapis.com/envoy.extensions.filters.http.router.v3.Ruter}}]}]}]}")
                .find("did you mean 'envoy.extensions.filters.http.router.v3.Router'"),
            std::string::npos);
}

TEST(Loader, AllowUnknownWarns) {
  Diagnostics diagnostics("f.yaml");
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  LoadOptions options;
  options.allow_unknown = true;
  EXPECT_TRUE(loadText("nope: 1", Format::kYaml, options, bootstrap, diagnostics));
  EXPECT_EQ(diagnostics.warnings().size(), 1u);
}

}  // namespace
}  // namespace gatehouse::config
