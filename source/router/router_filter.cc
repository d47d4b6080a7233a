#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>

#include "api/envoy/extensions/filters/http/router/v3/router.pb.h"
#include "source/config/registry.h"
#include "source/router/retry_policy.h"
#include "source/router/route_table.h"
#include "source/sdk/factory.h"
#include "source/upstream/cluster_manager.h"

namespace gatehouse::router {

namespace {

using http::HeaderId;
using sdk::Dir;
using sdk::ResponseFlag;
using sdk::Step;
using upstream::PoolFailure;

struct RouterConfig {
  upstream::ClusterManager* clusters;
  bool suppress_envoy_headers = false;
};

// How a reset of the upstream reads in flags, body and details; as in Envoy.
struct ResetWords {
  ResponseFlag flag;
  std::string_view reason;
  std::string_view before;
  std::string_view after;
};

const ResetWords& wordsOf(codec::Abort why) {
  static constexpr ResetWords kProtocol{ResponseFlag::kUpstreamProtocolError, "protocol error",
                                        "upstream_reset_before_response_started{protocol_error}",
                                        "upstream_reset_after_response_started{protocol_error}"};
  static constexpr ResetWords kReset{ResponseFlag::kUpstreamRemoteReset, "remote reset",
                                     "upstream_reset_before_response_started{remote_reset}",
                                     "upstream_reset_after_response_started{remote_reset}"};
  static constexpr ResetWords kRefused{
      ResponseFlag::kUpstreamRemoteReset, "remote refused stream reset",
      "upstream_reset_before_response_started{remote_refused_stream_reset}",
      "upstream_reset_after_response_started{remote_refused_stream_reset}"};
  static constexpr ResetWords kLost{
      ResponseFlag::kUpstreamConnectionTermination, "connection termination",
      "upstream_reset_before_response_started{connection_termination}",
      "upstream_reset_after_response_started{connection_termination}"};
  switch (why) {
    case codec::Abort::kProtocol:
      return kProtocol;
    case codec::Abort::kPeerReset:
      return kReset;
    case codec::Abort::kPeerRefused:
      return kRefused;
    default:
      return kLost;
  }
}

// Ends every HTTP filter chain: answers redirects and direct responses, or sends the request to a
// host of the route's cluster and brings the answer back. One per stream; the upstream request is
// the object itself, started anew for each attempt. Pool and codec keep no pointer once cancel()
// ran.
//
// While the route may retry, the request's body is kept (shared, not copied) up to the lane's
// limit; past it, or once a response head went on, there is no further attempt. Attempts differ
// only in their host and in x-envoy-attempt-count.
class RouterFilter final : public upstream::UpstreamRequest {
 public:
  RouterFilter(const RouterConfig& config, sdk::HttpStream& stream)
      : config_(config), stream_(stream) {
    arena = &stream.arena();
  }

  Step requestHead(http::RequestHead& head, bool end) noexcept {
    const RouteEntry* route = stream_.route();
    sdk::StreamInfo& info = stream_.info();
    if (route == nullptr) {
      info.setFlag(ResponseFlag::kNoRouteFound);
      stream_.reply({.status = 404, .details = "route_not_found"});
      return Step::kPause;
    }
    route_ = route;
    info.route_name = route->name();
    info.virtual_host_name = route->virtualHostName();
    switch (route->kind()) {
      case RouteEntry::Kind::kRedirect: {
        std::string_view location;
        uint16_t status = route->redirect(head, &location);
        sdk::HeaderToAdd header{"location", location};
        stream_.reply({.status = status, .details = "direct_response", .headers = {&header, 1}});
        return Step::kPause;
      }
      case RouteEntry::Kind::kDirectResponse:
        stream_.reply({.status = route->directStatus(),
                       .body = route->directBody(),
                       .details = "direct_response"});
        return Step::kPause;
      case RouteEntry::Kind::kNonForwarding:
        // As Envoy: there is no cluster to go to.
        info.setFlag(ResponseFlag::kNoClusterFound);
        stream_.reply({.status = 503, .details = "cluster_not_found"});
        return Step::kPause;
      case RouteEntry::Kind::kForward:
        break;
    }
    return forward(head, end);
  }

  Step requestBody(sdk::BodyIo& io) noexcept {
    end_seen_ = io.last();
    keep(io.in());
    if (attached()) {
      sendBody(io.in(), end_seen_);
    } else {
      waiting_body_.take(io.in());
    }
    noteHeld();
    if (end_seen_) requestSent();
    return Step::kContinue;
  }

  Step requestTrailers(http::HeaderMap& trailers) noexcept {
    end_seen_ = true;
    trailers_ = &trailers;
    if (attached()) sendTrailers(trailers);
    requestSent();
    return Step::kContinue;
  }

  void responseRoom(uint32_t bytes) noexcept { grantBody(bytes); }
  void onReplaced() noexcept { cancelAttempt(); }
  void onEnd(sdk::EndReason) noexcept { cancelAttempt(); }

  // upstream::UpstreamRequest
  void onPoolReady() noexcept override {
    sdk::StreamInfo& info = stream_.info();
    info.upstream_known = true;
    info.upstream_remote = host()->address;
    info.upstream_local = connection()->local();
    info.upstream_version = connection()->version();
    info.upstream_hostname = host()->hostname;
    info.upstream_first_sent = event::Worker::current().now();
    credit = stream_.responseRoom();
    bool end = end_seen_ && waiting_body_.empty() && trailers_ == nullptr;
    UpstreamRequest::sendHead(stream_.request(), end);
    if (!end && (!waiting_body_.empty() || end_seen_)) {
      sendBody(waiting_body_, end_seen_ && trailers_ == nullptr);
      if (trailers_ != nullptr) sendTrailers(*trailers_);
      noteHeld();
    }
  }

  void onPoolFailure(PoolFailure why, std::string_view reason) noexcept override {
    sdk::StreamInfo& info = stream_.info();
    if (host() != nullptr) {
      info.upstream_known = true;
      info.upstream_remote = host()->address;
    }
    if (tryAgain(why == PoolFailure::kOverflow ? AttemptFailure::kOverflow
                                               : AttemptFailure::kConnect))
      return;
    if (why == PoolFailure::kOverflow) {
      info.setFlag(ResponseFlag::kUpstreamOverflow);
      sdk::HeaderToAdd header{"x-envoy-overloaded", "true"};
      std::span<const sdk::HeaderToAdd> headers;
      if (!config_.suppress_envoy_headers) headers = {&header, 1};
      fail(503, "overflow", "upstream_reset_before_response_started{overflow}", headers);
      return;
    }
    info.setFlag(ResponseFlag::kUpstreamConnectionFailure);
    if (why == PoolFailure::kConnectTimeout) {
      fail(503, "connection timeout", "upstream_reset_before_response_started{connection_timeout}");
      return;
    }
    info.upstream_failure = reason;
    constexpr std::string_view kBefore =
        "upstream_reset_before_response_started{remote_connection_failure|";
    char* details = arena->allocateArray<char>(kBefore.size() + reason.size() + 1);
    kBefore.copy(details, kBefore.size());
    reason.copy(details + kBefore.size(), reason.size());
    details[kBefore.size() + reason.size()] = '}';
    fail(503, "remote connection failure", {details, kBefore.size() + reason.size() + 1});
  }

  http::ResponseHead* newResponseHead() noexcept override {
    return arena->make<http::ResponseHead>(*arena);
  }

  void onInterim(http::ResponseHead& head) noexcept override {
    cluster_->countCode(head.status);
    stream_.respondInterim(head);
  }

  void onHead(http::ResponseHead& head, bool end) noexcept override {
    sdk::StreamInfo& info = stream_.info();
    event::MonoTime now = event::Worker::current().now();
    info.upstream_first_received = now;
    if (retry_ != nullptr && retryAnswer(head)) return;
    per_try_.cancel();
    endRetry();
    info.details = "via_upstream";
    info.response_code = head.status;
    cluster_->countCode(head.status);
    auto& host_stats = const_cast<upstream::Host*>(host())->stats;
    (head.status < 500 ? host_stats.rq_success : host_stats.rq_error).inc();
    // Not before the request is complete: the time would count the client's sending.
    if (!config_.suppress_envoy_headers && end_seen_) {
      auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now - sent_at_).count();
      head.headers.set(HeaderId::kXEnvoyUpstreamServiceTime, number(static_cast<uint64_t>(millis)));
    }
    if (route_->tellAttemptDownstream())
      head.headers.set(HeaderId::kXEnvoyAttemptCount, number(info.attempts));
    route_->finalizeResponse(head, stream_.request(), info, random());
    keep_ = false;
    kept_.clear();
    response_started_ = true;
    if (end) responseEnded();
    stream_.respondHead(head, end);
  }

  void onBody(buffer::Buffer& in, bool end) noexcept override {
    if (end) responseEnded();
    stream_.respondBody(in, end);
  }

  void onTrailers(http::HeaderMap& trailers) noexcept override {
    responseEnded();
    stream_.respondTrailers(trailers);
  }

  void onReset(codec::Abort why, codec::CodecError) noexcept override {
    sdk::StreamInfo& info = stream_.info();
    if (!response_started_ && tryAgain(why == codec::Abort::kPeerRefused ? AttemptFailure::kRefused
                                                                         : AttemptFailure::kReset))
      return;
    timeout_.cancel();
    const ResetWords& words = wordsOf(why);
    info.setFlag(words.flag);
    if (response_started_) {
      info.details = words.after;
      stream_.abort(codec::Abort::kConnectionLost);
      return;
    }
    const_cast<upstream::Host*>(host())->stats.rq_error.inc();
    fail(why == codec::Abort::kProtocol ? 502 : 503, words.reason, words.before);
  }

  void onSendRoom() noexcept override { noteHeld(); }

 private:
  Step forward(http::RequestHead& head, bool end) {
    sdk::StreamInfo& info = stream_.info();
    std::string_view name = route_->cluster(head, random());
    upstream::WorkerCluster* cluster = config_.clusters->forWorker(name);
    if (cluster == nullptr) {
      info.setFlag(ResponseFlag::kNoClusterFound);
      stream_.reply({.status = route_->clusterNotFoundStatus(), .details = "cluster_not_found"});
      return Step::kPause;
    }
    cluster_ = &cluster->cluster();
    info.cluster_name = cluster_->settings().name;
    for (Dir dir : {Dir::kRequest, Dir::kResponse})
      stream_.limitLane(dir, cluster_->settings().buffer_limit);
    upstream::HostPool* pool = cluster->pick();
    if (pool == nullptr) {
      cluster_->stats().upstream_cx_none_healthy.inc();
      info.setFlag(ResponseFlag::kNoHealthyUpstream);
      cluster_->countCode(503);
      stream_.reply(
          {.status = 503, .body = "no healthy upstream", .details = "no_healthy_upstream"});
      return Step::kPause;
    }
    timeout_length_ = route_->timeout();
    readTimeoutHeader(head);
    started_at_ = event::Worker::current().now();
    retry_ = route_->retryPolicy();
    if (retry_ != nullptr && !retry_->appliesTo(head)) retry_ = nullptr;
    tellTimeout(head);
    workers_cluster_ = cluster;
    route_->finalizeRequest(head, info, pool->host().hostname, random(),
                            !config_.suppress_envoy_headers);
    if (retry_ != nullptr) {
      retries_left_ = retry_->attempts();
      keep_ = retries_left_ != 0;
    }
    end_seen_ = end;
    if (!end) stream_.body(Dir::kRequest, {.kind = sdk::BodyMode::kStream});
    attempt(*pool);
    if (end) requestSent();
    return Step::kContinue;
  }

  void attempt(upstream::HostPool& pool) {
    sdk::StreamInfo& info = stream_.info();
    ++info.attempts;
    sent_at_ = event::Worker::current().now();
    if (route_->tellAttemptUpstream())
      stream_.request().headers.set(HeaderId::kXEnvoyAttemptCount, number(info.attempts));
    if (retry_ != nullptr && retry_->perTryTimeout().count() != 0 && end_seen_) armPerTry();
    pool.start(*this);
  }

  // How long the upstream may take: what is left of the route's timeout, or one attempt's.
  void tellTimeout(http::RequestHead& head) {
    if (config_.suppress_envoy_headers) return;
    auto left = timeout_length_;
    if (left.count() > 0) {
      left -= std::chrono::duration_cast<std::chrono::milliseconds>(event::Worker::current().now() -
                                                                    started_at_);
      left = std::max(left, std::chrono::milliseconds(1));
    }
    auto one = retry_ == nullptr ? std::chrono::milliseconds(0) : retry_->perTryTimeout();
    if (one.count() > 0 && (left.count() == 0 || one < left)) left = one;
    if (left.count() == 0) return;
    head.headers.set(HeaderId::kXEnvoyExpectedRqTimeoutMs,
                     number(static_cast<uint64_t>(left.count())));
  }

  // The next attempt, after its pause.
  void again() {
    tellTimeout(stream_.request());
    upstream::HostPool* pool = workers_cluster_->pick();
    waiting_body_.clear();
    waiting_body_.share(kept_);
    attempt(*pool);
    noteHeld();
  }

  void keep(const buffer::Buffer& bytes) {
    if (!keep_) return;
    if (kept_.length() + bytes.length() > stream_.laneLimit(Dir::kRequest)) {
      keep_ = false;
      kept_.clear();
      return;
    }
    kept_.share(bytes);
  }

  void armPerTry() {
    per_try_.arm(
        retry_->perTryTimeout(),
        [](void* self) noexcept { static_cast<RouterFilter*>(self)->onPerTryTimeout(); }, this);
  }

  void onPerTryTimeout() {
    if (response_started_) return;
    cluster_->stats().upstream_rq_per_try_timeout.inc();
    if (host() != nullptr) const_cast<upstream::Host*>(host())->stats.rq_timeout.inc();
    cancel();
    if (tryAgain(AttemptFailure::kPerTryTimeout)) return;
    timeout_.cancel();
    stream_.info().setFlag(ResponseFlag::kUpstreamRequestTimeout);
    cluster_->countCode(504);
    stream_.reply(
        {.status = 504, .body = "upstream request timeout", .details = "upstream_per_try_timeout"});
  }

  bool tryAgain(AttemptFailure failure) {
    if (retry_ == nullptr) return false;
    bool sent = stream_.info().upstream_known && failure != AttemptFailure::kConnect;
    if (!mayRetry(retry_->retries(failure, sent))) return false;
    if (host() != nullptr && failure != AttemptFailure::kConnect)
      const_cast<upstream::Host*>(host())->stats.rq_error.inc();
    schedule(std::nullopt);
    return true;
  }

  // An answer that is worth another attempt is dropped.
  bool retryAnswer(http::ResponseHead& head) {
    if (!mayRetry(retry_->retries(head))) return false;
    cluster_->countRetriedCode(head.status);
    auto& host_stats = const_cast<upstream::Host*>(host())->stats;
    (head.status < 500 ? host_stats.rq_success : host_stats.rq_error).inc();
    auto asked = retry_->askedBackOff(head, event::Worker::current().wallMicros() / 1'000'000);
    cancel();
    schedule(asked);
    return true;
  }

  // `wanted`: the policy would. Counts and flags why not.
  bool mayRetry(bool wanted) {
    upstream::ClusterStats& stats = cluster_->stats();
    if (retrying_ && !wanted) stats.upstream_rq_retry_success.inc();
    endRetry();
    if (!wanted) return false;
    if (retries_left_ == 0) {
      stats.upstream_rq_retry_limit_exceeded.inc();
      stream_.info().setFlag(ResponseFlag::kUpstreamRetryLimitExceeded);
      return false;
    }
    if (!keep_) return false;
    if (!cluster_->beginRetry(event::Worker::current().index())) {
      stats.upstream_rq_retry_overflow.inc();
      stream_.info().setFlag(ResponseFlag::kUpstreamOverflow);
      return false;
    }
    --retries_left_;
    retrying_ = true;
    return true;
  }

  void endRetry() {
    if (!retrying_) return;
    retrying_ = false;
    cluster_->endRetry(event::Worker::current().index());
  }

  void schedule(std::optional<std::chrono::milliseconds> asked) {
    upstream::ClusterStats& stats = cluster_->stats();
    stats.upstream_rq_retry.inc();
    (asked ? stats.upstream_rq_retry_backoff_ratelimited
           : stats.upstream_rq_retry_backoff_exponential)
        .inc();
    per_try_.cancel();
    uint32_t n = retry_->attempts() - retries_left_;
    back_off_.arm(
        asked ? *asked : retry_->backOff(n, random() >> (n % 32)),
        [](void* self) noexcept { static_cast<RouterFilter*>(self)->again(); }, this);
  }

  void readTimeoutHeader(http::RequestHead& head) {
    const http::HeaderField* field =
        std::as_const(head.headers).find(HeaderId::kXEnvoyUpstreamRqTimeoutMs);
    if (field == nullptr) return;
    uint32_t millis = 0;
    std::string_view text = field->valueView();
    auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), millis);
    if (error == std::errc() && at == text.data() + text.size())
      timeout_length_ = std::chrono::milliseconds(millis);
    head.headers.remove(HeaderId::kXEnvoyUpstreamRqTimeoutMs);
  }

  // The request is complete: the route's timeout runs from here.
  void requestSent() {
    stream_.info().upstream_last_sent = event::Worker::current().now();
    if (retry_ != nullptr && retry_->perTryTimeout().count() != 0 && !per_try_.armed() &&
        !back_off_.armed() && !response_started_)
      armPerTry();
    if (timeout_length_.count() == 0 || response_ended_here_ || cluster_ == nullptr) return;
    timeout_.arm(
        timeout_length_, [](void* self) noexcept { static_cast<RouterFilter*>(self)->onTimeout(); },
        this);
  }

  void onTimeout() {
    sdk::StreamInfo& info = stream_.info();
    per_try_.cancel();
    back_off_.cancel();
    endRetry();
    cluster_->stats().upstream_rq_timeout.inc();
    if (host() != nullptr) const_cast<upstream::Host*>(host())->stats.rq_timeout.inc();
    info.setFlag(ResponseFlag::kUpstreamRequestTimeout);
    cancel();
    if (response_started_) {
      info.details = "response_timeout";
      stream_.abort(codec::Abort::kTimeout);
      return;
    }
    cluster_->countCode(504);
    stream_.reply(
        {.status = 504, .body = "upstream request timeout", .details = "response_timeout"});
  }

  void fail(uint16_t status, std::string_view reason, std::string_view details,
            std::span<const sdk::HeaderToAdd> headers = {}) {
    constexpr std::string_view kWords =
        "upstream connect error or disconnect/reset before headers. ";
    timeout_.cancel();
    per_try_.cancel();
    cluster_->countCode(status);
    char text[160];
    size_t n = kWords.copy(text, sizeof(text));
    if (stream_.info().attempts > 1)
      n += std::string_view("retried and the latest ").copy(text + n, sizeof(text) - n);
    n += std::string_view("reset reason: ").copy(text + n, sizeof(text) - n);
    n += reason.copy(text + n, sizeof(text) - n);
    stream_.reply({.status = status, .body = {text, n}, .details = details, .headers = headers});
  }

  void responseEnded() {
    timeout_.cancel();
    response_ended_here_ = true;
    event::MonoTime now = event::Worker::current().now();
    stream_.info().upstream_last_received = now;
    cluster_->stats().upstream_rq_time.record(static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now - sent_at_).count()));
  }

  void cancelAttempt() {
    timeout_.cancel();
    per_try_.cancel();
    back_off_.cancel();
    cancel();
    endRetry();
    waiting_body_.clear();
    kept_.clear();
    keep_ = false;
  }

  void noteHeld() { stream_.setHeld(Dir::kRequest, waiting_body_.length() + queued()); }

  std::string_view number(uint64_t value) {
    char digits[20];
    auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
    return arena->copy({digits, static_cast<size_t>(end - digits)});
  }

  // One number per request for every choice by weight, so that rules and cluster agree.
  uint64_t random() const { return stream_.random(); }

  const RouterConfig& config_;
  sdk::HttpStream& stream_;
  const RouteEntry* route_ = nullptr;
  upstream::Cluster* cluster_ = nullptr;
  event::MonoTime started_at_{};
  event::MonoTime sent_at_{};  // the attempt
  std::chrono::milliseconds timeout_length_{0};
  event::Timer timeout_;
  event::Timer per_try_;
  event::Timer back_off_;
  upstream::WorkerCluster* workers_cluster_ = nullptr;
  const RetryPolicy* retry_ = nullptr;  // null: this request is not tried again
  uint32_t retries_left_ = 0;
  buffer::Buffer kept_;          // the body so far, while keep_
  buffer::Buffer waiting_body_;  // not yet given to the attempt
  http::HeaderMap* trailers_ = nullptr;
  bool end_seen_ = false;
  bool keep_ = false;      // another attempt would be complete
  bool retrying_ = false;  // this attempt is a retry and counts in the cluster's limit
  bool response_started_ = false;
  bool response_ended_here_ = false;
};

class RouterFactory final : public sdk::HttpFilterFactory {
 public:
  std::string_view name() const override { return "envoy.filters.http.router"; }
  std::string_view configType() const override {
    return "envoy.extensions.filters.http.router.v3.Router";
  }
  absl::StatusOr<sdk::HttpFilterPlan> compile(const google::protobuf::Message& message,
                                              sdk::FactoryContext& context) override {
    envoy::extensions::filters::http::router::v3::Router config;
    config.CopyFrom(message);
    auto compiled = std::make_shared<RouterConfig>();
    compiled->clusters = &context.clusters;
    compiled->suppress_envoy_headers = config.suppress_envoy_headers();
    return sdk::HttpFilterPlan{sdk::httpFilterType<RouterFilter, RouterConfig>(),
                               std::move(compiled), true};
  }
};

GATEHOUSE_REGISTER(sdk::HttpFilterFactory, RouterFactory);

}  // namespace

}  // namespace gatehouse::router
