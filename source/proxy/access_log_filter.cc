#include "source/proxy/access_log_filter.h"

#include <functional>
#include <utility>
#include <vector>

#include "api/envoy/config/accesslog/v3/accesslog.pb.h"
#include "source/config/factory_for.h"
#include "source/formatter/formatter.h"
#include "source/router/matchers.h"

namespace gatehouse::proxy {

namespace v3 = envoy::config::accesslog::v3;

namespace {

using Predicate = std::function<bool(const sdk::LogEntry&)>;

absl::StatusOr<Predicate> compile(const v3::AccessLogFilter& config);

// Compares with the configured default value; runtime keys cannot change it without a runtime.
absl::StatusOr<Predicate> comparison(const v3::ComparisonFilter& config,
                                     uint64_t (*value)(const sdk::LogEntry&)) {
  uint64_t bound = config.value().default_value();
  switch (config.op()) {
    case v3::ComparisonFilter::EQ:
      return Predicate([=](const sdk::LogEntry& e) { return value(e) == bound; });
    case v3::ComparisonFilter::GE:
      return Predicate([=](const sdk::LogEntry& e) { return value(e) >= bound; });
    case v3::ComparisonFilter::LE:
      return Predicate([=](const sdk::LogEntry& e) { return value(e) <= bound; });
    default:
      return absl::InvalidArgumentError("comparison.op: NE is not supported by Gatehouse yet");
  }
}

template <class Filters>
absl::StatusOr<std::vector<Predicate>> all(const Filters& filters) {
  std::vector<Predicate> compiled;
  for (int i = 0; i < filters.size(); ++i) {
    auto one = compile(filters[i]);
    if (!one.ok()) {
      return absl::InvalidArgumentError("filters[" + std::to_string(i) + "]." +
                                        std::string(one.status().message()));
    }
    compiled.push_back(*std::move(one));
  }
  return compiled;
}

absl::StatusOr<Predicate> compile(const v3::AccessLogFilter& config) {
  switch (config.filter_specifier_case()) {
    case v3::AccessLogFilter::kStatusCodeFilter:
      return comparison(config.status_code_filter().comparison(),
                        [](const sdk::LogEntry& e) { return uint64_t{e.info.response_code}; });
    case v3::AccessLogFilter::kDurationFilter:
      return comparison(config.duration_filter().comparison(), [](const sdk::LogEntry& e) {
        return static_cast<uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(e.info.end - e.info.start)
                .count());
      });
    case v3::AccessLogFilter::kAndFilter: {
      auto parts = all(config.and_filter().filters());
      if (!parts.ok())
        return absl::InvalidArgumentError("and_filter." + std::string(parts.status().message()));
      return Predicate([parts = *std::move(parts)](const sdk::LogEntry& e) {
        for (const Predicate& part : parts) {
          if (!part(e)) return false;
        }
        return true;
      });
    }
    case v3::AccessLogFilter::kOrFilter: {
      auto parts = all(config.or_filter().filters());
      if (!parts.ok())
        return absl::InvalidArgumentError("or_filter." + std::string(parts.status().message()));
      return Predicate([parts = *std::move(parts)](const sdk::LogEntry& e) {
        for (const Predicate& part : parts) {
          if (part(e)) return true;
        }
        return false;
      });
    }
    case v3::AccessLogFilter::kHeaderFilter: {
      auto matcher = router::HeaderMatcher::compile(config.header_filter().header());
      if (!matcher.ok())
        return absl::InvalidArgumentError("header_filter.header." +
                                          std::string(matcher.status().message()));
      return Predicate([matcher = *std::move(matcher)](const sdk::LogEntry& e) {
        return e.request != nullptr && matcher.matches(*e.request);
      });
    }
    case v3::AccessLogFilter::kResponseFlagFilter: {
      uint64_t wanted = 0;
      for (const std::string& name : config.response_flag_filter().flags()) {
        int flag = formatter::flagByName(name);
        if (flag < 0)
          return absl::InvalidArgumentError("response_flag_filter.flags: unknown flag '" + name +
                                            "'");
        wanted |= uint64_t{1} << flag;
      }
      if (wanted == 0) return Predicate([](const sdk::LogEntry& e) { return e.info.flags != 0; });
      return Predicate([wanted](const sdk::LogEntry& e) { return (e.info.flags & wanted) != 0; });
    }
    case v3::AccessLogFilter::FILTER_SPECIFIER_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("filter_specifier: one of the filters is required");
}

class Filtered final : public sdk::AccessLogger {
 public:
  Filtered(Predicate takes, std::shared_ptr<const sdk::AccessLogger> logger)
      : takes_(std::move(takes)), logger_(std::move(logger)) {}
  void log(const sdk::LogEntry& entry) const noexcept override {
    if (takes_(entry)) logger_->log(entry);
  }

 private:
  Predicate takes_;
  std::shared_ptr<const sdk::AccessLogger> logger_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>> filterAccessLog(
    const v3::AccessLogFilter& config, std::shared_ptr<const sdk::AccessLogger> logger) {
  auto takes = compile(config);
  if (!takes.ok()) return takes.status();
  return std::shared_ptr<const sdk::AccessLogger>(
      std::make_shared<Filtered>(*std::move(takes), std::move(logger)));
}

absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>> compileAccessLog(
    const v3::AccessLog& config, sdk::FactoryContext& context) {
  std::unique_ptr<google::protobuf::Message> message;
  auto factory = gatehouse::config::factoryFor<sdk::AccessLoggerFactory>(config.typed_config(),
                                                                         "typed_config", &message);
  if (!factory.ok()) return factory.status();
  auto logger = (*factory)->compile(*message, context);
  if (!logger.ok())
    return absl::InvalidArgumentError("typed_config." + std::string(logger.status().message()));
  if (!config.has_filter()) return logger;
  auto filtered = filterAccessLog(config.filter(), *std::move(logger));
  if (!filtered.ok())
    return absl::InvalidArgumentError("filter." + std::string(filtered.status().message()));
  return filtered;
}

}  // namespace gatehouse::proxy
