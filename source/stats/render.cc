#include "source/stats/render.h"

#include <re2/re2.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <vector>

namespace gatehouse::stats {

namespace {

constexpr double kQuantiles[] = {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1};
// Envoy's default Prometheus buckets.
constexpr double kBuckets[] = {0.5,  1,    5,    10,    25,    50,    100,    250,    500,    1000,
                               2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  char text[64];
  std::snprintf(text, sizeof(text), "%.10g", value);
  return text;
}

class Filter {
 public:
  explicit Filter(const RenderOptions& options) : regex_(options.filter, RE2::Quiet), all_(options.filter.empty()) {}
  bool takes(const std::string& name) const { return all_ || RE2::PartialMatch(name, regex_); }

 private:
  RE2 regex_;
  bool all_;
};

uint64_t total(const std::vector<uint64_t>& bins) { return std::accumulate(bins.begin(), bins.end(), uint64_t{0}); }

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

struct Tagged {
  std::string name;    // envoy_..., dots turned to underscores
  std::string labels;  // a="b",c="d"
};

// Takes Envoy's default tags out of a statistic's name.
Tagged extractTags(const std::string& name) {
  std::vector<std::pair<std::string, std::string>> tags;
  std::string rest = name;
  auto cut = [&](std::string_view prefix, const char* tag, auto&& lengthOf) {
    if (!rest.starts_with(prefix)) return;
    size_t size = lengthOf(rest.substr(prefix.size()));
    if (size == std::string::npos || size == 0) return;
    tags.emplace_back(tag, rest.substr(prefix.size(), size));
    rest.erase(prefix.size(), size + 1);
  };
  auto first_dot = [](const std::string& text) { return text.find('.'); };
  // Names of clusters and listeners may hold dots: the statistic's own part is what follows the last ones we make.
  auto known_tail = [](const std::string& text) {
    for (const char* tail : {".upstream_", ".membership_", ".circuit_breakers.", ".lb_", ".external.", ".internal.", ".downstream_",
                             ".no_filter_chain_match", ".http.", ".worker_"}) {
      size_t at = text.find(tail);
      if (at != std::string::npos) return at;
    }
    return text.find('.');
  };
  cut("cluster.", "envoy_cluster_name", known_tail);
  cut("listener.", "envoy_listener_address", known_tail);
  cut("http.", "envoy_http_conn_manager_prefix", first_dot);
  size_t http_in_listener = rest.find(".http.");
  if (rest.starts_with("listener.") && http_in_listener != std::string::npos) {
    size_t dot = rest.find('.', http_in_listener + 6);
    if (dot != std::string::npos) {
      tags.emplace_back("envoy_http_conn_manager_prefix", rest.substr(http_in_listener + 6, dot - http_in_listener - 6));
      rest.erase(http_in_listener + 5, dot - http_in_listener - 5);
    }
  }
  size_t rq = rest.rfind("_rq_");
  if (rq != std::string::npos && rest.size() == rq + 7) {
    std::string code = rest.substr(rq + 4);
    auto digit = [&](size_t i) { return code[i] >= '0' && code[i] <= '9'; };
    if (digit(0) && digit(1) && digit(2)) {
      tags.emplace_back("envoy_response_code", code);
      rest.erase(rq + 3);
    } else if (digit(0) && code.substr(1) == "xx") {
      tags.emplace_back("envoy_response_code_class", code.substr(0, 1));
      rest = rest.substr(0, rq + 3) + "_xx";
    }
  }
  Tagged tagged{"envoy_" + rest, ""};
  for (char& c : tagged.name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  for (const auto& [tag, value] : tags) {
    if (!tagged.labels.empty()) tagged.labels += ',';
    tagged.labels += tag + "=\"" + escape(value) + "\"";
  }
  return tagged;
}

}  // namespace

bool validFilter(const std::string& regex, std::string* error) {
  RE2 compiled(regex, RE2::Quiet);
  if (!compiled.ok()) *error = compiled.error();
  return compiled.ok();
}

std::string renderText(const StatsStore& store, const RenderOptions& options) {
  Filter filter(options);
  std::string out;
  for (const auto& value : store.values()) {
    if ((options.used_only && !value.used) || !filter.takes(value.name)) continue;
    out += value.name + ": " +
           (value.gauge ? std::to_string(static_cast<int64_t>(value.value)) : std::to_string(value.value)) + "\n";
  }
  for (const auto& [name, view] : store.histograms()) {
    bool empty = view.cumulative.empty() || total(view.cumulative) == 0;
    if ((options.used_only && empty) || !filter.takes(name)) continue;
    out += name + ": ";
    if (empty) {
      out += "No recorded values\n";
      continue;
    }
    for (double q : kQuantiles) {
      out += "P" + number(q * 100) + "(" + number(quantile(view.interval, q)) + "," +
             number(quantile(view.cumulative, q)) + ") ";
    }
    out.back() = '\n';
  }
  return out;
}

std::string renderJson(const StatsStore& store, const RenderOptions& options) {
  Filter filter(options);
  std::string out = "{\"stats\":[";
  bool first = true;
  for (const auto& value : store.values()) {
    if ((options.used_only && !value.used) || !filter.takes(value.name)) continue;
    out += std::string(first ? "" : ",") + "{\"name\":\"" + escape(value.name) + "\",\"value\":" +
           (value.gauge ? std::to_string(static_cast<int64_t>(value.value)) : std::to_string(value.value)) + "}";
    first = false;
  }
  std::string computed;
  for (const auto& [name, view] : store.histograms()) {
    bool empty = view.cumulative.empty() || total(view.cumulative) == 0;
    if ((options.used_only && empty) || !filter.takes(name)) continue;
    computed += std::string(computed.empty() ? "" : ",") + "{\"name\":\"" + escape(name) + "\",\"values\":[";
    bool first_value = true;
    for (double q : kQuantiles) {
      auto json = [](double v) { return std::isnan(v) ? std::string("null") : number(v); };
      computed += std::string(first_value ? "" : ",") + "{\"interval\":" +
                  (empty ? "null" : json(quantile(view.interval, q))) + ",\"cumulative\":" +
                  (empty ? "null" : json(quantile(view.cumulative, q))) + "}";
      first_value = false;
    }
    computed += "]}";
  }
  if (!computed.empty()) {
    out += std::string(first ? "" : ",") + "{\"histograms\":{\"supported_quantiles\":[";
    for (double q : kQuantiles) out += (q == 0 ? "" : ",") + number(q * 100);
    out += "],\"computed_quantiles\":[" + computed + "]}}";
  }
  return out + "]}";
}

std::string renderPrometheus(const StatsStore& store, const RenderOptions& options) {
  Filter filter(options);
  // All lines of one family stand together behind one TYPE line.
  std::map<std::string, std::pair<const char*, std::string>> families;
  for (const auto& value : store.values()) {
    if ((options.used_only && !value.used) || !filter.takes(value.name)) continue;
    Tagged tagged = extractTags(value.name);
    auto& [type, lines] = families[tagged.name];
    type = value.gauge ? "gauge" : "counter";
    lines += tagged.name + "{" + tagged.labels + "} " +
             (value.gauge ? std::to_string(static_cast<int64_t>(value.value)) : std::to_string(value.value)) + "\n";
  }
  for (const auto& [name, view] : store.histograms()) {
    bool empty = view.cumulative.empty() || total(view.cumulative) == 0;
    if ((options.used_only && empty) || !filter.takes(name)) continue;
    Tagged tagged = extractTags(name);
    auto& [type, lines] = families[tagged.name];
    type = "histogram";
    std::string comma = tagged.labels.empty() ? "" : ",";
    uint64_t below = 0;
    uint32_t bin = 0;
    for (double bound : kBuckets) {
      while (bin < view.cumulative.size() && Histogram::binStart(bin) + (bin == 0 ? 0 : Histogram::binWidth(bin)) <= bound) {
        below += view.cumulative[bin++];
      }
      lines += tagged.name + "_bucket{" + tagged.labels + comma + "le=\"" + number(bound) + "\"} " + std::to_string(below) + "\n";
    }
    uint64_t all = total(view.cumulative);
    lines += tagged.name + "_bucket{" + tagged.labels + comma + "le=\"+Inf\"} " + std::to_string(all) + "\n";
    lines += tagged.name + "_sum{" + tagged.labels + "} " + std::to_string(view.sum) + "\n";
    lines += tagged.name + "_count{" + tagged.labels + "} " + std::to_string(all) + "\n";
  }
  std::string out;
  for (const auto& [name, family] : families) {
    out += "# TYPE " + name + " " + family.first + "\n" + family.second;
  }
  return out;
}

}  // namespace gatehouse::stats
