#include "source/stats/render.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

namespace gatehouse::stats {

namespace {

constexpr double kQuantiles[] = {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1};
// Envoy's default Prometheus buckets.
constexpr double kBuckets[] = {0.5,   1,      5,      10,      25,     50,    100,
                               250,   500,    1000,   2500,    5000,   10000, 30000,
                               60000, 300000, 600000, 1800000, 3600000};

std::string number(double value) {
  if (std::isnan(value)) return "nan";
  char text[64];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string bucketName(double bound) {
  return bound < 1 ? number(bound) : std::to_string(static_cast<uint64_t>(bound));
}

class Filter {
 public:
  explicit Filter(const RenderOptions& options)
      : regex_(options.filter, RE2::Quiet), all_(options.filter.empty()) {}
  bool takes(const std::string& name) const { return all_ || RE2::PartialMatch(name, regex_); }

 private:
  RE2 regex_;
  bool all_;
};

uint64_t total(const std::vector<uint64_t>& bins) {
  return std::accumulate(bins.begin(), bins.end(), uint64_t{0});
}

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

// How many leading characters of `text` are one of `allowed`, up to the last dot that follows such
// a run; 0 if there is none.
size_t runBeforeDot(std::string_view text, std::string_view allowed) {
  size_t run = std::min(text.find_first_not_of(allowed), text.size());
  if (run < text.size() && text[run] == '.') return run;
  size_t dot = text.substr(0, run).rfind('.');
  return dot == std::string_view::npos ? 0 : dot;
}

// Takes Envoy's default tags out of a statistic's name, in the order in which Envoy writes them. As
// in Envoy a cluster name ends at its first dot, and the text of a listener is a tag only if it
// looks like an address.
Tagged extractTags(const std::string& name) {
  std::vector<std::pair<std::string, std::string>> tags;
  std::string rest = name;
  // Cuts `size` characters and the dot behind them.
  auto cut = [&](const char* tag, size_t at, size_t size) {
    if (size == 0 || at + size >= rest.size()) return;
    tags.emplace_back(tag, rest.substr(at, size));
    rest.erase(at, size + 1);
  };
  auto up_to_dot = [&](size_t at) {
    size_t dot = rest.find('.', at);
    return dot == std::string::npos ? 0 : dot - at;
  };
  size_t rq = rest.rfind("_rq_");
  if (rq != std::string::npos && rest.size() == rq + 7) {
    std::string code = rest.substr(rq + 4);
    auto digit = [&](size_t i) { return code[i] >= '0' && code[i] <= '9'; };
    if (digit(0) && digit(1) && digit(2)) {
      tags.emplace_back("envoy_response_code", code);
      rest.erase(rq + 3);
    } else if (digit(0) && code.substr(1) == "xx") {
      tags.emplace_back("envoy_response_code_class", code.substr(0, 1));
      rest.erase(rq + 4, 1);
    }
  }
  constexpr std::string_view kCluster = "cluster.";
  constexpr std::string_view kHttp = "http.";
  constexpr std::string_view kListener = "listener.";
  if (rest.starts_with(kCluster))
    cut("envoy_cluster_name", kCluster.size(), up_to_dot(kCluster.size()));
  if (rest.starts_with(kHttp))
    cut("envoy_http_conn_manager_prefix", kHttp.size(), up_to_dot(kHttp.size()));
  if (rest.starts_with(kListener)) {
    size_t http = rest.find(".http.", kListener.size());
    if (http != std::string::npos)
      cut("envoy_http_conn_manager_prefix", http + 6, up_to_dot(http + 6));
  }
  size_t worker = rest.starts_with("server.worker_") ? 6
                  : rest.starts_with(kListener)      ? rest.find(".worker_")
                                                     : std::string::npos;
  if (worker != std::string::npos) {
    size_t at = worker + 8;
    size_t size = up_to_dot(at);
    if (size != 0 && rest.find_first_not_of("0123456789", at) == at + size) {
      tags.emplace_back("envoy_worker_id", rest.substr(at, size));
      rest.erase(at - 1, size + 1);
    }
  }
  if (rest.starts_with(kListener)) {
    std::string_view text = std::string_view(rest).substr(kListener.size());
    size_t size = runBeforeDot(text, "_.0123456789");
    if (size == 0) size = runBeforeDot(text, "_[]aAbBcCdDeEfF0123456789");
    cut("envoy_listener_address", kListener.size(), size);
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
           (value.gauge ? std::to_string(static_cast<int64_t>(value.value))
                        : std::to_string(value.value)) +
           "\n";
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
           (value.gauge ? std::to_string(static_cast<int64_t>(value.value))
                        : std::to_string(value.value)) +
           "}";
    first = false;
  }
  std::string computed;
  for (const auto& [name, view] : store.histograms()) {
    bool empty = view.cumulative.empty() || total(view.cumulative) == 0;
    if ((options.used_only && empty) || !filter.takes(name)) continue;
    computed += std::string(computed.empty() ? "" : ",") + "{\"name\":\"" + escape(name) +
                "\",\"values\":[";
    bool first_value = true;
    for (double q : kQuantiles) {
      auto json = [](double v) { return std::isnan(v) ? std::string("null") : number(v); };
      computed += std::string(first_value ? "" : ",") +
                  "{\"cumulative\":" + (empty ? "null" : json(quantile(view.cumulative, q))) +
                  ",\"interval\":" + (empty ? "null" : json(quantile(view.interval, q))) + "}";
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
  struct Kind {
    const char* type;
    std::map<std::string, std::string> families;
  } kinds[] = {{"counter", {}}, {"gauge", {}}, {"histogram", {}}};
  for (const auto& value : store.values()) {
    if ((options.used_only && !value.used) || !filter.takes(value.name)) continue;
    Tagged tagged = extractTags(value.name);
    std::string& lines = kinds[value.gauge ? 1 : 0].families[tagged.name];
    lines += tagged.name + "{" + tagged.labels + "} " +
             (value.gauge ? std::to_string(static_cast<int64_t>(value.value))
                          : std::to_string(value.value)) +
             "\n";
  }
  for (const auto& [name, view] : store.histograms()) {
    bool empty = view.cumulative.empty() || total(view.cumulative) == 0;
    if ((options.used_only && empty) || !filter.takes(name)) continue;
    Tagged tagged = extractTags(name);
    std::string& lines = kinds[2].families[tagged.name];
    std::string comma = tagged.labels.empty() ? "" : ",";
    uint64_t below = 0;
    uint32_t bin = 0;
    for (double bound : kBuckets) {
      // A bin counts with its lower end, so that whole numbers at a bound are below it.
      while (bin < view.cumulative.size() && Histogram::binStart(bin) <= bound) {
        below += view.cumulative[bin++];
      }
      lines += tagged.name + "_bucket{" + tagged.labels + comma + "le=\"" + bucketName(bound) +
               "\"} " + std::to_string(below) + "\n";
    }
    uint64_t all = total(view.cumulative);
    lines += tagged.name + "_bucket{" + tagged.labels + comma + "le=\"+Inf\"} " +
             std::to_string(all) + "\n";
    lines += tagged.name + "_sum{" + tagged.labels + "} " + std::to_string(view.sum) + "\n";
    lines += tagged.name + "_count{" + tagged.labels + "} " + std::to_string(all) + "\n";
  }
  std::string out;
  for (const Kind& kind : kinds) {
    for (const auto& [name, lines] : kind.families)
      out += "# TYPE " + name + " " + kind.type + "\n" + lines;
  }
  return out;
}

}  // namespace gatehouse::stats
