#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "source/codec/codec.h"
#include "source/http/head.h"
#include "source/router/matchers.h"

namespace envoy::config::route::v3 {
class RetryPolicy;
}

namespace gatehouse::router {

// Why an attempt ended without a response head.
enum class AttemptFailure : uint8_t {
  kOverflow,       // a circuit breaker is open: never tried again
  kConnect,        // not established, in time or at all
  kRefused,        // REFUSED_STREAM: the upstream did nothing
  kReset,          // reset, closed or malformed
  kPerTryTimeout,  // per_try_timeout
};

// envoy.config.route.v3.RetryPolicy, compiled; immutable. When an attempt is worth another one.
class RetryPolicy {
 public:
  // Errors begin with the field's path inside the message. Words of retry_on that nobody knows are
  // refused.
  static absl::StatusOr<std::shared_ptr<const RetryPolicy>> compile(
      const envoy::config::route::v3::RetryPolicy& config);

  // False: retriable_request_headers do not let this request be tried again.
  bool appliesTo(const http::RequestHead& head) const;
  bool retries(const http::ResponseHead& head) const;
  // `sent`: the request's head went out.
  bool retries(AttemptFailure failure, bool sent) const;

  uint32_t attempts() const { return attempts_; }  // beyond the first
  // Zero: none.
  std::chrono::milliseconds perTryTimeout() const { return per_try_timeout_; }
  // The pause before retry `n` (from 1): random below base x (2^n - 1), at most the maximum.
  std::chrono::milliseconds backOff(uint32_t n, uint64_t random) const;
  // What the response itself asks to wait (rate_limited_retry_back_off); nullopt: nothing usable.
  std::optional<std::chrono::milliseconds> askedBackOff(const http::ResponseHead& head,
                                                        int64_t wall_seconds) const;

 private:
  enum On : uint32_t {
    k5xx = 1 << 0,
    kGatewayError = 1 << 1,
    kResetOn = 1 << 2,
    kResetBeforeRequest = 1 << 3,
    kConnectFailure = 1 << 4,
    kRefusedStream = 1 << 5,
    kRetriable4xx = 1 << 6,
    kStatusCodes = 1 << 7,
    kHeaders = 1 << 8,
    kRateLimited = 1 << 9,
    kGrpcCancelled = 1 << 10,
    kGrpcDeadline = 1 << 11,
    kGrpcInternal = 1 << 12,
    kGrpcExhausted = 1 << 13,
    kGrpcUnavailable = 1 << 14,
  };
  struct Word;
  static const Word kWords[];
  struct ResetHeader {
    std::string name;
    bool timestamp = false;
  };

  absl::Status parseWords(const std::string& text);
  bool retriesGrpc(const http::HeaderMap& headers) const;

  uint32_t on_ = 0;
  uint32_t attempts_ = 1;
  std::chrono::milliseconds per_try_timeout_{0};
  std::chrono::milliseconds base_{25};
  std::chrono::milliseconds max_{250};
  std::chrono::milliseconds most_asked_{300'000};
  std::vector<uint32_t> codes_;
  std::vector<HeaderMatcher> response_headers_;
  std::vector<HeaderMatcher> request_headers_;
  std::vector<ResetHeader> reset_headers_;
};

}  // namespace gatehouse::router
