#include "source/router/retry_policy.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <google/protobuf/duration.pb.h>

#include "api/envoy/config/route/v3/route_components.pb.h"
#include "source/base/nearest.h"
#include "source/http/chars.h"

namespace gatehouse::router {

namespace v3 = envoy::config::route::v3;

struct RetryPolicy::Word {
  std::string_view name;
  uint32_t bit;
};

constexpr RetryPolicy::Word RetryPolicy::kWords[] = {
    {"5xx", k5xx},
    {"gateway-error", kGatewayError},
    {"reset", kResetOn},
    {"reset-before-request", kResetBeforeRequest},
    {"connect-failure", kConnectFailure},
    {"refused-stream", kRefusedStream},
    {"retriable-4xx", kRetriable4xx},
    {"retriable-status-codes", kStatusCodes},
    {"retriable-headers", kHeaders},
    {"envoy-ratelimited", kRateLimited},
    {"cancelled", kGrpcCancelled},
    {"deadline-exceeded", kGrpcDeadline},
    {"internal", kGrpcInternal},
    {"resource-exhausted", kGrpcExhausted},
    {"unavailable", kGrpcUnavailable},
};

namespace {

std::chrono::milliseconds millis(const google::protobuf::Duration& d) {
  return std::chrono::milliseconds(d.seconds() * 1000 + (d.nanos() + 999'999) / 1'000'000);
}

template <class List>
absl::Status compileMatchers(const List& config, const std::string& path,
                             std::vector<HeaderMatcher>& to) {
  for (int i = 0; i < config.size(); ++i) {
    auto matcher = HeaderMatcher::compile(config[i]);
    if (!matcher.ok()) {
      return absl::InvalidArgumentError(path + "[" + std::to_string(i) + "]." +
                                        std::string(matcher.status().message()));
    }
    to.push_back(*std::move(matcher));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RetryPolicy::parseWords(const std::string& text) {
  std::string problem;
  http::forEachListItem(text, [&](std::string_view word) {
    const auto* found = std::find_if(std::begin(kWords), std::end(kWords),
                                     [&](const Word& one) { return one.name == word; });
    if (found != std::end(kWords)) {
      on_ |= found->bit;
      return true;
    }
    std::vector<std::string_view> names;
    for (const Word& one : kWords) names.push_back(one.name);
    problem = "retry_on: '" + std::string(word) + "' is no condition of a retry" +
              base::didYouMean(word, names);
    return false;
  });
  return problem.empty() ? absl::OkStatus() : absl::InvalidArgumentError(problem);
}

absl::StatusOr<std::shared_ptr<const RetryPolicy>> RetryPolicy::compile(
    const v3::RetryPolicy& config) {
  auto policy = std::make_shared<RetryPolicy>();
  absl::Status status = policy->parseWords(config.retry_on());
  if (status.ok()) {
    status =
        compileMatchers(config.retriable_headers(), "retriable_headers", policy->response_headers_);
  }
  if (status.ok()) {
    status = compileMatchers(config.retriable_request_headers(), "retriable_request_headers",
                             policy->request_headers_);
  }
  if (!status.ok()) return status;
  if (config.has_num_retries()) policy->attempts_ = config.num_retries().value();
  if (config.has_per_try_timeout()) policy->per_try_timeout_ = millis(config.per_try_timeout());
  policy->codes_.assign(config.retriable_status_codes().begin(),
                        config.retriable_status_codes().end());
  if (config.has_retry_back_off()) {
    policy->base_ =
        std::max(millis(config.retry_back_off().base_interval()), std::chrono::milliseconds(1));
    policy->max_ = config.retry_back_off().has_max_interval()
                       ? millis(config.retry_back_off().max_interval())
                       : policy->base_ * 10;
    if (policy->max_ < policy->base_) {
      return absl::InvalidArgumentError(
          "retry_back_off.max_interval: must not be less than base_interval");
    }
  }
  if (config.has_rate_limited_retry_back_off()) {
    const auto& limited = config.rate_limited_retry_back_off();
    if (limited.has_max_interval()) policy->most_asked_ = millis(limited.max_interval());
    for (const auto& header : limited.reset_headers()) {
      std::string name;
      for (char c : header.name()) name += http::lower(c);
      policy->reset_headers_.push_back(
          {std::move(name), header.format() == v3::RetryPolicy::UNIX_TIMESTAMP});
    }
  }
  return std::shared_ptr<const RetryPolicy>(std::move(policy));
}

bool RetryPolicy::appliesTo(const http::RequestHead& head) const {
  return request_headers_.empty() ||
         std::any_of(request_headers_.begin(), request_headers_.end(),
                     [&](const HeaderMatcher& matcher) { return matcher.matches(head); });
}

bool RetryPolicy::retriesGrpc(const http::HeaderMap& headers) const {
  if ((on_ &
       (kGrpcCancelled | kGrpcDeadline | kGrpcInternal | kGrpcExhausted | kGrpcUnavailable)) == 0)
    return false;
  std::string_view status = headers.get(http::HeaderId::kGrpcStatus);
  if (status == "1") return (on_ & kGrpcCancelled) != 0;
  if (status == "4") return (on_ & kGrpcDeadline) != 0;
  if (status == "8") return (on_ & kGrpcExhausted) != 0;
  if (status == "13") return (on_ & kGrpcInternal) != 0;
  if (status == "14") return (on_ & kGrpcUnavailable) != 0;
  return false;
}

bool RetryPolicy::retries(const http::ResponseHead& head) const {
  uint16_t status = head.status;
  // An upstream that limits a client is not to be hit by its retries too.
  if (head.headers.find(std::string_view("x-envoy-ratelimited")) != nullptr)
    return (on_ & kRateLimited) != 0;
  if ((on_ & k5xx) && status >= 500) return true;
  if ((on_ & kGatewayError) && status >= 502 && status <= 504) return true;
  if ((on_ & kRetriable4xx) && status == 409) return true;
  if ((on_ & kStatusCodes) && std::find(codes_.begin(), codes_.end(), status) != codes_.end())
    return true;
  if ((on_ & kHeaders) &&
      std::any_of(response_headers_.begin(), response_headers_.end(),
                  [&](const HeaderMatcher& m) { return m.matches(head.headers); }))
    return true;
  return retriesGrpc(head.headers);
}

bool RetryPolicy::retries(AttemptFailure failure, bool sent) const {
  if (failure == AttemptFailure::kOverflow) return false;
  if (on_ & (k5xx | kGatewayError | kResetOn)) return true;
  if ((on_ & kResetBeforeRequest) && !sent) return true;
  if ((on_ & kConnectFailure) && failure == AttemptFailure::kConnect) return true;
  return (on_ & kRefusedStream) && failure == AttemptFailure::kRefused;
}

std::chrono::milliseconds RetryPolicy::backOff(uint32_t n, uint64_t random) const {
  int64_t bound = base_.count() << std::min<uint32_t>(n - 1, 30);
  bound = std::clamp<int64_t>(bound, 1, std::max<int64_t>(max_.count(), 1));
  return std::chrono::milliseconds(random % static_cast<uint64_t>(bound));
}

std::optional<std::chrono::milliseconds> RetryPolicy::askedBackOff(const http::ResponseHead& head,
                                                                   int64_t wall_seconds) const {
  for (const ResetHeader& wanted : reset_headers_) {
    const http::HeaderField* field = head.headers.find(std::string_view(wanted.name));
    if (field == nullptr) continue;
    std::string_view text = field->valueView();
    int64_t seconds = 0;
    auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || at != text.data() + text.size()) continue;
    if (wanted.timestamp) seconds -= wall_seconds;
    if (seconds <= 0 || seconds > most_asked_.count() / 1000) continue;
    return std::chrono::milliseconds(seconds * 1000);
  }
  return std::nullopt;
}

}  // namespace gatehouse::router
