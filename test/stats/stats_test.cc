#include "source/stats/stats.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "source/stats/render.h"

namespace gatehouse::stats {
namespace {

StatsStore::Value find(const StatsStore& store, const std::string& name) {
  for (auto& value : store.values()) {
    if (value.name == name) return value;
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(Stats, OneNameIsOneStatistic) {
  StatsStore store;
  store.counter("a.b").inc();
  store.scope("a.")->counter("b").add(2);
  EXPECT_EQ(StatsStore::read(store.counter("a.b")), 3u);
  EXPECT_EQ(store.values().size(), 1u);
}

TEST(Stats, UnsetHandlesCountIntoTheVoid) {
  StatsStore store;
  Counter().inc();
  Gauge().add(5);
  Counter counter = store.counter("x");
  Gauge gauge = store.gauge("y");
  EXPECT_EQ(StatsStore::read(counter), 0u);
  EXPECT_EQ(StatsStore::read(gauge), 0);
}

TEST(Stats, ThreadsAddUpAndTheirNumbersOutliveThem) {
  StatsStore store;
  Counter counter = store.counter("c");
  Gauge gauge = store.gauge("g");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.inc();
        gauge.add(i % 2 == 0 ? 3 : -2);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  counter.inc();
  EXPECT_EQ(StatsStore::read(counter), 40'001u);
  EXPECT_EQ(StatsStore::read(gauge), 20'000);
}

TEST(Stats, ReadWhileWriting) {
  StatsStore store;
  Counter counter = store.counter("c");
  Histogram histogram = store.histogram("h");
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) {
      counter.inc();
      histogram.record(7);
    }
  });
  uint64_t last = 0;
  while (last < 1000) {
    uint64_t now = StatsStore::read(counter);
    ASSERT_GE(now, last);
    last = now;
    store.flush();
    (void)store.histograms();
  }
  stop = true;
  writer.join();
}

TEST(Stats, GaugesGoBelowZeroAndAreSet) {
  StatsStore store;
  Gauge gauge = store.gauge("g");
  gauge.add(-5);
  EXPECT_EQ(StatsStore::read(gauge), -5);
  gauge.set(12);
  EXPECT_EQ(StatsStore::read(gauge), 12);
  std::thread([&] { gauge.add(-20); }).join();
  EXPECT_EQ(StatsStore::read(gauge), -8);
}

TEST(Stats, UsedMeansEverTouched) {
  StatsStore store;
  Counter counter = store.counter("c");
  Gauge gauge = store.gauge("g");
  EXPECT_FALSE(find(store, "c").used);
  EXPECT_FALSE(find(store, "g").used);
  counter.inc();
  gauge.add(1);
  std::thread([&] { gauge.add(-1); }).join();
  EXPECT_TRUE(find(store, "c").used);
  EXPECT_TRUE(find(store, "g").used);
  EXPECT_EQ(find(store, "g").value, 0u);
}

TEST(Stats, ResetKeepsGauges) {
  StatsStore store;
  Counter counter = store.counter("c");
  Gauge gauge = store.gauge("g");
  Histogram histogram = store.histogram("h");
  counter.add(7);
  gauge.add(3);
  histogram.record(10);
  store.flush();
  store.resetCounters();
  EXPECT_EQ(find(store, "c").value, 0u);
  EXPECT_EQ(find(store, "g").value, 3u);
  counter.inc();
  EXPECT_EQ(find(store, "c").value, 1u);
  auto histograms = store.histograms();
  EXPECT_TRUE(std::isnan(quantile(histograms[0].second.cumulative, 0.5)));
  EXPECT_EQ(histograms[0].second.sum, 0u);
}

TEST(Stats, AnonymousOnesAreNotListed) {
  StatsStore store;
  Counter counter = store.anonymousCounter();
  counter.add(4);
  EXPECT_EQ(StatsStore::read(counter), 4u);
  EXPECT_TRUE(store.values().empty());
}

TEST(Histogram, BinsHaveTwoSignificantDigits) {
  for (uint64_t value : {0ull, 1ull, 9ull, 10ull, 99ull, 100ull, 101ull, 109ull, 110ull, 999ull,
                         1000ull, 123'456ull, 60'000'000ull}) {
    uint32_t bin = Histogram::binOf(value);
    EXPECT_LE(Histogram::binStart(bin), static_cast<double>(value)) << value;
    if (value >= 10) {
      EXPECT_GT(Histogram::binStart(bin) + Histogram::binWidth(bin), static_cast<double>(value))
          << value;
      EXPECT_LE(Histogram::binWidth(bin), static_cast<double>(value) / 10) << value;
    }
  }
  EXPECT_LT(Histogram::binOf(UINT64_MAX), Histogram::kBins);
}

TEST(Histogram, IntervalAndCumulative) {
  StatsStore store;
  Histogram histogram = store.histogram("h");
  histogram.record(10);
  EXPECT_TRUE(store.histograms()[0]
                  .second.cumulative.empty());  // nothing before the first flush, as in Envoy
  store.flush();
  histogram.record(1000);
  histogram.record(1000);
  std::thread([&] { histogram.record(1000); }).join();
  store.flush();
  auto view = store.histograms()[0].second;
  EXPECT_DOUBLE_EQ(quantile(view.interval, 0), 1025);
  EXPECT_DOUBLE_EQ(quantile(view.cumulative, 0), 10.5);
  EXPECT_DOUBLE_EQ(quantile(view.cumulative, 1), 1075);
  EXPECT_EQ(view.sum, 3010u);
  store.flush();
  EXPECT_TRUE(std::isnan(quantile(store.histograms()[0].second.interval, 0.5)));
}

// The figures that Envoy 1.40 printed for the same values: 0, 1 four times, 7.
class RenderTest : public testing::Test {
 protected:
  RenderTest() {
    Histogram h = store_.histogram("cluster.web.upstream_rq_time");
    for (uint64_t value : {0, 1, 1, 1, 1, 7}) h.record(value);
    store_.histogram("http.admin.downstream_rq_time");
    store_.counter("cluster.web.upstream_rq_404").add(6);
    store_.counter("http.ingress.downstream_rq_4xx").add(6);
    store_.counter("http.admin.downstream_rq_4xx");
    store_.gauge("listener.127.0.0.1_80.downstream_cx_active").add(2);
    store_.gauge("listener.admin.downstream_cx_active");
    store_.flush();
  }
  StatsStore store_;
};

TEST_F(RenderTest, Text) {
  EXPECT_EQ(renderText(store_, {}),
            "cluster.web.upstream_rq_404: 6\n"
            "http.admin.downstream_rq_4xx: 0\n"
            "http.ingress.downstream_rq_4xx: 6\n"
            "listener.127.0.0.1_80.downstream_cx_active: 2\n"
            "listener.admin.downstream_cx_active: 0\n"
            "cluster.web.upstream_rq_time: P0(0,0) P25(1.02,1.02) P50(1.04,1.04) P75(1.08,1.08) "
            "P90(7.05,7.05) P95(7.05,7.05) "
            "P99(7.05,7.05) P99.5(7.05,7.05) P99.9(7.05,7.05) P100(7.05,7.05)\n"
            "http.admin.downstream_rq_time: No recorded values\n")
      << renderText(store_, {});
}

TEST_F(RenderTest, UsedOnlyAndFilter) {
  RenderOptions options;
  options.used_only = true;
  std::string text = renderText(store_, options);
  EXPECT_EQ(text.find("admin"), std::string::npos);
  EXPECT_NE(text.find("ingress"), std::string::npos);
  options.used_only = false;
  options.filter = "^http\\.";
  EXPECT_EQ(renderText(store_, options),
            "http.admin.downstream_rq_4xx: 0\nhttp.ingress.downstream_rq_4xx: "
            "6\nhttp.admin.downstream_rq_time: No recorded values\n");
  std::string error;
  EXPECT_TRUE(validFilter("a.*", &error));
  EXPECT_FALSE(validFilter("a[", &error));
  EXPECT_FALSE(error.empty());
}

TEST_F(RenderTest, Json) {
  RenderOptions options;
  options.filter = "rq_404|admin.downstream_rq_time";
  EXPECT_EQ(renderJson(store_, options),
            "{\"stats\":[{\"name\":\"cluster.web.upstream_rq_404\",\"value\":6},{\"histograms\":{"
            "\"supported_quantiles\":"
            "[0,25,50,75,90,95,99,99.5,99.9,100],\"computed_quantiles\":[{\"name\":\"http.admin."
            "downstream_rq_time\",\"values\":["
            "{\"cumulative\":null,\"interval\":null},{\"cumulative\":null,\"interval\":null},{"
            "\"cumulative\":null,\"interval\":null},"
            "{\"cumulative\":null,\"interval\":null},{\"cumulative\":null,\"interval\":null},{"
            "\"cumulative\":null,\"interval\":null},"
            "{\"cumulative\":null,\"interval\":null},{\"cumulative\":null,\"interval\":null},{"
            "\"cumulative\":null,\"interval\":null},"
            "{\"cumulative\":null,\"interval\":null}]}]}}]}");
  options.filter = "upstream_rq_time";
  EXPECT_NE(renderJson(store_, options)
                .find("[{\"cumulative\":0,\"interval\":0},{\"cumulative\":1.02,\"interval\":1.02}"),
            std::string::npos);
}

TEST_F(RenderTest, Prometheus) {
  RenderOptions options;
  options.filter = "rq_4|cx_active";
  EXPECT_EQ(renderPrometheus(store_, options),
            "# TYPE envoy_cluster_upstream_rq counter\n"
            "envoy_cluster_upstream_rq{envoy_response_code=\"404\",envoy_cluster_name=\"web\"} 6\n"
            "# TYPE envoy_http_downstream_rq_xx counter\n"
            "envoy_http_downstream_rq_xx{envoy_response_code_class=\"4\",envoy_http_conn_manager_"
            "prefix=\"admin\"} 0\n"
            "envoy_http_downstream_rq_xx{envoy_response_code_class=\"4\",envoy_http_conn_manager_"
            "prefix=\"ingress\"} 6\n"
            "# TYPE envoy_listener_admin_downstream_cx_active gauge\n"
            "envoy_listener_admin_downstream_cx_active{} 0\n"
            "# TYPE envoy_listener_downstream_cx_active gauge\n"
            "envoy_listener_downstream_cx_active{envoy_listener_address=\"127.0.0.1_80\"} 2\n");
}

TEST_F(RenderTest, PrometheusHistogram) {
  RenderOptions options;
  options.filter = "upstream_rq_time";
  std::string text = renderPrometheus(store_, options);
  for (const char* line :
       {"# TYPE envoy_cluster_upstream_rq_time histogram\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"0.5\"} 1\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"1\"} 5\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"5\"} 5\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"10\"} 6\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"3600000\"} 6\n",
        "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"web\",le=\"+Inf\"} 6\n",
        "envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"web\"} 11\n",
        "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"web\"} 6\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(Render, TagsAreCutAsEnvoyDoes) {
  struct {
    const char* name;
    const char* line;
  } cases[] = {
      {"listener.127.0.0.1_80.http.ingress.downstream_rq_2xx",
       "envoy_listener_http_downstream_rq_xx{envoy_response_code_class=\"2\",envoy_http_conn_"
       "manager_prefix=\"ingress\","
       "envoy_listener_address=\"127.0.0.1_80\"} 0\n"},
      {"listener.127.0.0.1_80.worker_3.downstream_cx_active",
       "envoy_listener_worker_downstream_cx_active{envoy_worker_id=\"3\",envoy_listener_address="
       "\"127.0.0.1_80\"} 0\n"},
      {"server.worker_12.watchdog_miss",
       "envoy_server_worker_watchdog_miss{envoy_worker_id=\"12\"} 0\n"},
      {"cluster.my.clu.upstream_cx_total",
       "envoy_cluster_clu_upstream_cx_total{envoy_cluster_name=\"my\"} 0\n"},
      {"listener.admin.main_thread.downstream_cx_total",
       "envoy_listener_admin_main_thread_downstream_cx_total{} 0\n"},
      {"server.uptime", "envoy_server_uptime{} 0\n"},
      {"listener.[__1]_80.downstream_cx_total",
       "envoy_listener_downstream_cx_total{envoy_listener_address=\"[__1]_80\"} 0\n"},
  };
  for (const auto& c : cases) {
    StatsStore store;
    store.counter(c.name);
    std::string text = renderPrometheus(store, {});
    EXPECT_EQ(text.substr(text.find('\n') + 1), c.line);
  }
}

}  // namespace
}  // namespace gatehouse::stats
