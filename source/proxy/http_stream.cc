#include "source/proxy/http_stream.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "source/http/chars.h"
#include "source/proxy/header_mutation.h"
#include "source/proxy/http_connection.h"

namespace gatehouse::proxy {

using http::HeaderId;
using sdk::ResponseFlag;

namespace {

// splitmix64 over a seed from the kernel: request ids and weighted choices need no secrecy, only
// spread.
uint64_t nextRandom() {
  static thread_local uint64_t state = [] {
    uint64_t seed = 0;
    while (::getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
    }
    return seed;
  }();
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

}  // namespace

HttpStream::HttpStream(HttpConnection& connection, const HcmConfig& config)
    : connection_(connection),
      config_(config),
      arena_storage_(first_block_, sizeof(first_block_)),
      head_(arena_storage_),
      random_(nextRandom()) {
  arena = &arena_storage_;
  credit = config.buffer_limit;
  info_.connection = &connection.info();
  info_.start = event::Worker::current().now();
  info_.downstream_remote = connection.info().remote;
  engine_.emplace(*this, config.plan, arena_storage_, head_, info_, config.buffer_limit, random_);
  config.stats->rq_total.inc();
  connection.countRequest();
  config.stats->rq_active.add(1);
  touch();
}

HttpStream::~HttpStream() = default;

void HttpStream::touch() {
  if (config_.stream_idle_timeout.count() == 0) return;
  idle_timer_.arm(
      config_.stream_idle_timeout,
      [](void* self) noexcept { static_cast<HttpStream*>(self)->onIdle(); }, this);
}

void HttpStream::onIdle() {
  config_.stats->rq_idle_timeout.inc();
  info_.setFlag(ResponseFlag::kStreamIdleTimeout);
  if (engine_->responseStarted()) {
    info_.details = "stream_idle_timeout";
    engine_->abort(codec::Abort::kTimeout);
    return;
  }
  // A client that stopped in the middle of its request is told so; one that waits for us is told
  // that we gave up.
  bool complete = engine_->requestComplete();
  engine_->reply({.status = static_cast<uint16_t>(complete ? 504 : 408),
                  .body = "stream timeout",
                  .details = "stream_idle_timeout"});
}

void HttpStream::onHead(bool end) {
  head_seen_ = true;
  info_.version = head_.version;
  info_.request_header_bytes = head_.headers.byteSize();
  if (end) info_.request_end = info_.start;
  Refusal refusal = prepareRequest(head_, config_, info_, random_, nextRandom());
  if (refusal.status != 0) {
    refuse(refusal, end);
    return;
  }
  const http::HeaderField* expect = std::as_const(head_.headers).find(HeaderId::kExpect);
  if (expect != nullptr && !config_.proxy_100_continue &&
      http::equalsIgnoreCase(expect->valueView(), "100-continue")) {
    head_.headers.remove(HeaderId::kExpect);
    if (!end) {
      auto* interim = arena_storage_.make<http::ResponseHead>(arena_storage_);
      interim->status = 100;
      passInterim(*interim);
    }
  }
  if (config_.request_timeout.count() != 0 && !end) {
    request_timer_.arm(
        config_.request_timeout,
        [](void* self) noexcept {
          auto* stream = static_cast<HttpStream*>(self);
          stream->config_.stats->rq_timeout.inc();
          stream->engine_->reply(
              {.status = 408, .body = "request timeout", .details = "request_overall_timeout"});
        },
        this);
  }
  engine_->requestHead(end);
}

void HttpStream::refuse(const Refusal& refusal, bool end) {
  bool connect = head_.method_id == http::Method::kConnect;
  if (refusal.status == 403 || refusal.status == 400 || connect) connection_.endAfter(*this);
  if (connect) {
    info_.setFlag(ResponseFlag::kNoRouteFound);
    config_.stats->no_route.inc();
  }
  if (refusal.status == 403) {
    config_.stats->rq_ws_on_non_ws_route.inc();
    // The route is named although no filter runs.
    if (const router::RouteEntry* route = engine_->route()) {
      info_.route_name = route->name();
      info_.cluster_name = route->cluster(head_, random_);
    }
  }
  sdk::HeaderToAdd location{"location", refusal.location};
  std::span<const sdk::HeaderToAdd> headers;
  if (!refusal.location.empty()) headers = {&location, 1};
  if (refusal.malformed) {
    bool http2 = head_.version == http::Version::kHttp2;
    forgetHead();
    if (http2) {
      // As Envoy: what HTTP/1 answers with 400 resets the stream.
      head_.version = http::Version::kHttp2;
      peer_reset_ = true;
      info_.setFlag(ResponseFlag::kDownstreamRemoteReset);
      info_.details = "http2.unexpected_underscore";
      engine_->abort(codec::Abort::kInternal);
      return;
    }
    info_.setFlag(ResponseFlag::kDownstreamProtocolError);
  }
  engine_->refuse({.status = refusal.status,
                   .body = refusal.body,
                   .details = refusal.details,
                   .headers = headers},
                  end);
}

void HttpStream::forgetHead() {
  head_.headers.clear();
  head_.method = head_.path = head_.authority = {};
  head_.version = http::Version::kHttp11;
}

void HttpStream::onBody(buffer::Buffer& in, bool end) {
  touch();
  if (end) {
    request_timer_.cancel();
    info_.request_end = event::Worker::current().now();
  }
  engine_->requestBody(in, end);
}

void HttpStream::onTrailers(http::HeaderMap& trailers) {
  request_timer_.cancel();
  info_.request_end = event::Worker::current().now();
  engine_->requestTrailers(trailers);
}

void HttpStream::fail(uint16_t status, std::string_view body, std::string_view details,
                      ResponseFlag* flag) {
  if (!head_seen_) forgetHead();
  if (flag != nullptr) info_.setFlag(*flag);
  info_.version = head_.version;
  if (engine_->responseStarted()) {
    info_.details = details;
    engine_->abort(codec::Abort::kProtocol);
    return;
  }
  engine_->reply({.status = status, .body = body, .details = details});
}

void HttpStream::onPeerReset(std::string_view details, ResponseFlag flag) {
  peer_reset_ = true;
  if (!head_seen_) {
    forgetHead();
    info_.version = head_.version = http::Version::kHttp2;
  }
  info_.setFlag(flag);
  info_.details = details;
  engine_->downstreamGone();
}

void HttpStream::sendInterim(http::ResponseHead& head) noexcept {
  // A 100 of the upstream answers an `expect` that was answered here already.
  if (head.status != 100 || config_.proxy_100_continue) passInterim(head);
}

void HttpStream::passInterim(http::ResponseHead& head) {
  if (connection_.closed()) return;
  config_.stats->responses.count(head.status);
  config_.stats->listener_responses.count(head.status);
  connection_.codec().sendInterim(*this, head);
  connection_.connection().markDirty();
}

void HttpStream::sendHead(http::ResponseHead& head, bool end) noexcept {
  if (connection_.closed()) return;
  touch();
  head.keep_alive = true;
  prepareResponse(head, head_, config_);
  if (config_.lifecycle->wantsClose(random_)) connection_.drain();
  // An answer that comes before its request has ended: the rest is not waited for.
  if (!engine_->requestComplete()) connection_.endAfter(*this);
  info_.response_header_bytes = head.headers.byteSize();
  connection_.codec().sendResponseHead(*this, head, end);
  connection_.connection().markDirty();
}

void HttpStream::sendBody(buffer::Buffer& bytes, bool end) noexcept {
  if (connection_.closed()) return;
  touch();
  connection_.codec().sendBody(*this, bytes, end);
  connection_.connection().markDirty(connection_.codec().queued(*this));
}

void HttpStream::sendTrailers(http::HeaderMap& trailers) noexcept {
  if (connection_.closed()) return;
  trailers_ = &trailers;
  connection_.codec().sendTrailers(*this, trailers);
  connection_.connection().markDirty();
}

void HttpStream::resetStream(codec::Abort why) noexcept {
  if (connection_.closed()) return;
  connection_.codec().abort(*this, why);
  connection_.connection().markDirty();
}

void HttpStream::grantRequest(uint32_t bytes) noexcept {
  if (connection_.closed()) return;
  bool was_dry = credit == 0;
  connection_.codec().grant(*this, bytes);
  connection_.granted(was_dry && bytes != 0);
}

size_t HttpStream::responseQueued() noexcept {
  if (connection_.closed()) return 0;
  return connection_.codec().queued(*this) + connection_.connection().pendingOutput();
}

const router::RouteEntry* HttpStream::pickRoute() noexcept {
  const router::RouteEntry* route = config_.routes->route(head_, random_);
  if (route == nullptr) {
    config_.stats->no_route.inc();
    return nullptr;
  }
  switch (route->kind()) {
    case router::RouteEntry::Kind::kRedirect:
      config_.stats->rq_redirect.inc();
      break;
    case router::RouteEntry::Kind::kDirectResponse:
      config_.stats->rq_direct_response.inc();
      break;
    default:
      config_.stats->router_rq_total.inc();
  }
  if (route->idleTimeout() && route->idleTimeout()->count() != 0) {
    idle_timer_.arm(
        *route->idleTimeout(),
        [](void* self) noexcept { static_cast<HttpStream*>(self)->onIdle(); }, this);
  }
  return route;
}

void HttpStream::onLocalReply(http::ResponseHead& head) noexcept {
  if (info_.details == "cluster_not_found") config_.stats->no_cluster.inc();
  if (info_.details == "request_payload_too_large") config_.stats->rq_too_large.inc();
  if (info_.route_name.data() != nullptr || !info_.virtual_host_name.empty()) {
    if (const router::RouteEntry* route = engine_->route())
      route->finalizeResponse(head, head_, info_, random_);
  }
}

void HttpStream::onStreamEnd(sdk::EndReason why) noexcept {
  idle_timer_.cancel();
  request_timer_.cancel();
  if (why == sdk::EndReason::kDownstreamGone) {
    if (!peer_reset_) info_.setFlag(ResponseFlag::kDownstreamConnectionTermination);
    if (info_.details.empty() || info_.details == "via_upstream")
      info_.details = "downstream_remote_disconnect";
    config_.stats->rq_rx_reset.inc();
  }
  countResponse();
  log();
  config_.stats->rq_active.add(-1);
  connection_.streamEnded(*this);
  event::Worker::current().bury(*this);
}

void HttpStream::countResponse() {
  HcmStats& stats = *config_.stats;
  if (info_.response_code == 0) return;
  stats.responses.count(info_.response_code);
  stats.listener_responses.count(info_.response_code);
  stats.rq_time.record(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(info_.end - info_.start).count()));
}

void HttpStream::log() {
  if (config_.access_logs.empty()) return;
  event::Worker& worker = event::Worker::current();
  info_.start_wall_micros =
      worker.wallMicros() -
      std::chrono::duration_cast<std::chrono::microseconds>(worker.now() - info_.start).count();
  sdk::LogEntry entry{&head_, engine_->response(), trailers_, info_};
  for (const auto& logger : config_.access_logs) logger->log(entry);
}

}  // namespace gatehouse::proxy
