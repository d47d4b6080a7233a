#include "source/chain/http_engine.h"

#include <algorithm>
#include <charconv>
#include <new>

#include "source/base/assert.h"
#include "source/http/grpc.h"

namespace gatehouse::chain {

using sdk::BodyMode;
using sdk::Dir;
using sdk::Step;

// A buffer counts in 32 bits; whatever is configured, no lane comes near that.
constexpr uint32_t kLargestLane = 1u << 30;

HttpEngine::HttpEngine(StreamOwner& owner, const HttpPlan& plan, memory::Arena& arena,
                       http::RequestHead& request, sdk::StreamInfo& info, uint32_t buffer_limit,
                       uint64_t random)
    : owner_(owner),
      plan_(plan),
      arena_(arena),
      request_(request),
      info_(info),
      limits_{std::min(buffer_limit, kLargestLane), std::min(buffer_limit, kLargestLane)},
      random_(random) {
  size_t count = plan.count();
  filters_ = static_cast<std::byte*>(arena.allocate(plan.bytes()));
  handles_ = arena.allocateArray<sdk::HttpStream>(count);
  states_ = arena.allocateArray<State>(2 * count);
  for (size_t i = 0; i < 2 * count; ++i) ::new (&states_[i]) State();
  for (size_t i = 0; i < count; ++i) {
    ::new (&handles_[i]) sdk::HttpStream(*this, static_cast<uint8_t>(i));
    plan.filter(i).type.construct(filterAt(plan.offset(i)), plan.filter(i).config.get(),
                                  handles_[i]);
  }
  if (plan.hasSwitches()) setSwitches();
}

void HttpEngine::setSwitches() {
  for (size_t i = 0; i < plan_.count(); ++i) {
    bool off = route_configs_ != nullptr ? route_configs_[i] == &sdk::kFilterOff
                                         : plan_.filter(i).disabled;
    for (Dir dir : {Dir::kRequest, Dir::kResponse}) state(dir, static_cast<uint8_t>(i)).off = off;
  }
}

HttpEngine::~HttpEngine() {
  for (size_t i = 0; i < plan_.count(); ++i) {
    if (auto* destroy = plan_.filter(i).type.destroy) destroy(filterAt(plan_.offset(i)));
  }
  for (size_t i = 0; i < 2 * plan_.count(); ++i) states_[i].~State();
}

void HttpEngine::requestHead(bool end) {
  request_ended_ = end;
  if (stopped() || replied_) return;
  if (plan_.hasSwitches()) {
    route();
    setSwitches();
  }
  passHead(Dir::kRequest, 0, end);
}

void HttpEngine::refuse(const sdk::LocalReply& reason, bool end) {
  request_ended_ = end;
  reply(reason);
}

void HttpEngine::requestBody(buffer::Buffer& bytes, bool end) {
  request_ended_ = request_ended_ || end;
  info_.request_body_bytes += bytes.length();
  grant_request_ = true;
  queue();
  if (stopped() || replied_ || response_ended_) {
    bytes.clear();
    return;
  }
  passBody(Dir::kRequest, 0, bytes, end);
}

void HttpEngine::requestTrailers(http::HeaderMap& trailers) {
  request_ended_ = true;
  queue();
  if (stopped() || replied_ || response_ended_) return;
  passTrailers(Dir::kRequest, 0, trailers);
}

void HttpEngine::downstreamGone() {
  if (ended_) return;
  downstream_gone_ = true;
  queue();
}

void HttpEngine::responseDrained() {
  if (ended_ || response_ended_) return;
  grant_response_ = true;
  queue();
}

void HttpEngine::passHead(Dir dir, size_t from, bool end) {
  const auto& slots = plan_.slots(dir);
  for (size_t p = from; p < slots.size(); ++p) {
    const HttpPlan::Slot& slot = slots[p];
    State& s = state(dir, slot.filter);
    if (s.off) continue;
    Step step = Step::kContinue;
    if (dir == Dir::kRequest) {
      if (slot.request_head == nullptr) continue;
      step = slot.request_head(filterAt(slot.offset), request_, end);
    } else {
      if (slot.response_head == nullptr) continue;
      step = slot.response_head(filterAt(slot.offset), *response_, end);
    }
    if (stopped()) return;
    // After this head comes no body to collect or stream.
    if (end) s.mode.kind = BodyMode::kSkip;
    if (step == Step::kPause) {
      s.paused = true;
      s.end = end;
    }
    s.holds_head = s.paused || s.mode.kind == BodyMode::kCollect;
    if (s.holds_head) return;
  }
  if (dir == Dir::kResponse) headToOwner(end);
}

void HttpEngine::passBody(Dir dir, size_t from, buffer::Buffer& bytes, bool end) {
  const auto& slots = plan_.slots(dir);
  for (size_t p = from; p < slots.size(); ++p) {
    const HttpPlan::Slot& slot = slots[p];
    State& s = state(dir, slot.filter);
    if (s.off) continue;
    if (s.paused) {
      s.pending.take(bytes);
      s.end = s.end || end;
      return;
    }
    if (!s.pending.empty()) {
      s.pending.take(bytes);
      bytes = std::move(s.pending);
    }
    if (s.mode.kind == BodyMode::kCollect && s.holds_head) {
      if (bytes.length() > s.mode.limit) {
        bytes.clear();
        bool request = dir == Dir::kRequest;
        reply({.status = static_cast<uint16_t>(request ? 413 : 500),
               .body = request ? "Payload Too Large" : "Internal Server Error",
               .details = request ? "request_payload_too_large" : "response_payload_too_large"});
        return;
      }
      s.pending = std::move(bytes);
      if (end) finishCollect(dir, p, true);
      return;
    }
    if (s.mode.kind != BodyMode::kStream || slot.body == nullptr) continue;
    if (bytes.empty() && !end) return;
    buffer::Buffer out;
    sdk::BodyIo io(bytes, out, roomNow(dir), end, nullptr);
    Step step = slot.body(filterAt(slot.offset), io);
    if (stopped()) return;
    if (step == Step::kPause) {
      s.pending = std::move(bytes);
      s.paused = true;
      s.end = end;
      end = false;
    } else if (!bytes.empty()) {
      out.take(bytes);
    }
    bytes = std::move(out);
    if (bytes.empty() && !end) return;
  }
  if (dir == Dir::kResponse) {
    bodyToOwner(bytes, end);
  } else {
    bytes.clear();
  }
}

bool HttpEngine::finishCollect(Dir dir, size_t p, bool end) {
  const HttpPlan::Slot& slot = plan_.slots(dir)[p];
  State& s = state(dir, slot.filter);
  buffer::Buffer in = std::move(s.pending);
  buffer::Buffer out;
  s.mode.kind = BodyMode::kSkip;
  if (slot.body != nullptr) {
    sdk::BodyIo io(in, out, roomNow(dir), true, s.trailers);
    Step step = slot.body(filterAt(slot.offset), io);
    if (stopped()) return false;
    if (step == Step::kPause) {
      out.take(in);
      s.pending = std::move(out);
      s.paused = true;
      s.end = end;
      return false;
    }
  }
  out.take(in);
  s.holds_head = false;
  bool ends_at_head = end && out.empty();
  passHead(dir, p + 1, ends_at_head);
  if (stopped() || ends_at_head) return !stopped();
  passBody(dir, p + 1, out, end);
  return !stopped();
}

void HttpEngine::passTrailers(Dir dir, size_t from, http::HeaderMap& trailers) {
  const auto& slots = plan_.slots(dir);
  for (size_t p = from; p < slots.size(); ++p) {
    const HttpPlan::Slot& slot = slots[p];
    State& s = state(dir, slot.filter);
    if (s.off) continue;
    if (s.paused) {
      s.trailers = &trailers;
      return;
    }
    if (s.mode.kind == BodyMode::kCollect && s.holds_head) {
      s.trailers = &trailers;
      if (!finishCollect(dir, p, false)) return;
      s.trailers = nullptr;
    }
    if (slot.trailers == nullptr) continue;
    if (slot.trailers(filterAt(slot.offset), trailers) == Step::kPause && !stopped()) {
      s.paused = true;
      s.trailers = &trailers;
      s.trailers_seen = true;
      return;
    }
    if (stopped()) return;
  }
  if (dir == Dir::kResponse) trailersToOwner(trailers);
}

void HttpEngine::resumeAt(Dir dir, size_t p) {
  const HttpPlan::Slot& slot = plan_.slots(dir)[p];
  State& s = state(dir, slot.filter);
  s.resume = false;
  if (!s.paused) return;
  s.paused = false;
  bool end = s.end;
  s.end = false;
  http::HeaderMap* trailers = s.trailers;
  s.trailers = nullptr;
  if (s.holds_head && s.mode.kind != BodyMode::kCollect) {
    s.holds_head = false;
    // One that streams and was told of a body waits for the end of it, even if no byte came.
    bool streams = s.mode.kind == BodyMode::kStream && slot.body != nullptr;
    bool ends_at_head = end && s.pending.empty() && trailers == nullptr && !streams;
    passHead(dir, p + 1, ends_at_head);
    if (stopped() || ends_at_head) return;
  }
  if (!s.pending.empty() || end) {
    buffer::Buffer none;
    passBody(dir, p, none, end);
  }
  if (trailers == nullptr || stopped()) return;
  if (s.paused) {
    s.trailers = trailers;
  } else {
    // Those that came during an earlier pause have not been seen here yet.
    passTrailers(dir, s.trailers_seen ? p + 1 : p, *trailers);
  }
}

void HttpEngine::headToOwner(bool end) {
  on_wire_ = true;
  info_.response_code = response_->status;
  info_.response_first_sent = event::Worker::current().now();
  response_ended_ = end;
  owner_.sendHead(*response_, end);
  if (end) queue();
}

void HttpEngine::bodyToOwner(buffer::Buffer& bytes, bool end) {
  if (response_ended_) return;
  info_.response_body_bytes += bytes.length();
  response_ended_ = end;
  owner_.sendBody(bytes, end);
  if (end) queue();
}

void HttpEngine::trailersToOwner(http::HeaderMap& trailers) {
  if (response_ended_) return;
  response_ended_ = true;
  owner_.sendTrailers(trailers);
  queue();
}

void HttpEngine::setBodyMode(uint8_t filter, Dir dir, BodyMode mode) {
  mode.limit = std::min(mode.limit, kLargestLane);
  state(dir, filter).mode = mode;
}

void HttpEngine::resume(uint8_t filter, Dir dir) {
  state(dir, filter).resume = true;
  resume_pending_ = true;
  queue();
}

void HttpEngine::reply(const sdk::LocalReply& reply) {
  if (reply_pending_ || ended_ || response_ended_) return;
  if (on_wire_) {
    if (!replied_) abort(codec::Abort::kInternal);
    return;
  }
  reply_pending_ = true;
  info_.details = arena_.copy(reply.details);
  reply_head_ = arena_.make<http::ResponseHead>(arena_);
  reply_head_->status = reply.status;
  for (const auto& header : reply.headers) reply_head_->headers.addCopy(header.name, header.value);
  reply_body_.clear();
  reply_body_.appendCopy(reply.body);
  reply_type_ = arena_.copy(reply.content_type);
  queue();
}

void HttpEngine::abort(codec::Abort why) {
  if (ended_ || abort_pending_) return;
  abort_pending_ = true;
  abort_why_ = why;
  queue();
}

const router::RouteEntry* HttpEngine::route() {
  if (!route_picked_) {
    route_picked_ = true;
    route_ = owner_.pickRoute();
    route_configs_ = route_ == nullptr ? nullptr : owner_.routeConfigs(*route_);
  }
  return route_;
}

void HttpEngine::clearRoute() {
  route_picked_ = false;
  route_ = nullptr;
  route_configs_ = nullptr;
}

const void* HttpEngine::config(uint8_t filter) {
  route();
  return route_configs_ != nullptr ? route_configs_[filter] : plan_.filter(filter).config.get();
}

void HttpEngine::respondInterim(uint8_t filter, http::ResponseHead& head) {
  if (stopped() || replied_ || on_wire_) return;
  if (plan_.hasInterimHooks()) {
    for (size_t i = filter; i-- > 0;) {
      if (state(Dir::kResponse, static_cast<uint8_t>(i)).off) continue;
      if (auto* hook = plan_.filter(i).type.interim) hook(filterAt(plan_.offset(i)), head);
      if (stopped()) return;
    }
  }
  owner_.sendInterim(head);
}

void HttpEngine::respondHead(uint8_t filter, http::ResponseHead& head, bool end) {
  if (stopped() || replied_ || response_in_chain_) return;
  responder_ = filter;
  response_ = &head;
  response_in_chain_ = true;
  passHead(Dir::kResponse, plan_.count() - filter, end);
}

void HttpEngine::respondBody(uint8_t filter, buffer::Buffer& bytes, bool end) {
  if (stopped() || replied_) {
    bytes.clear();
    return;
  }
  uint64_t all_sent = info_.response_body_bytes + bytes.length();
  passBody(Dir::kResponse, plan_.count() - filter, bytes, end);
  if (info_.response_body_bytes >= all_sent || stopped()) return;
  // What a filter keeps or swallows never drains at the client: the source hears of it here.
  grant_response_ = true;
  queue();
}

void HttpEngine::respondTrailers(uint8_t filter, http::HeaderMap& trailers) {
  if (stopped() || replied_) return;
  passTrailers(Dir::kResponse, plan_.count() - filter, trailers);
}

void HttpEngine::setHeld(uint8_t filter, Dir dir, size_t bytes) {
  State& s = state(dir, filter);
  if (bytes < s.held) {
    (dir == Dir::kRequest ? grant_request_ : grant_response_) = true;
    queue();
  }
  s.held = bytes;
}

uint32_t HttpEngine::room(Dir dir, size_t queued) {
  uint32_t limit = limits_[static_cast<size_t>(dir)];
  for (size_t i = 0; i < plan_.count(); ++i) {
    State& s = state(dir, static_cast<uint8_t>(i));
    if (s.holds_head && s.mode.kind == BodyMode::kCollect)
      limit = std::max(limit, s.mode.limit + 1);
  }
  return queued >= limit ? 0 : static_cast<uint32_t>(limit - queued);
}

size_t HttpEngine::queuedIn(Dir dir) {
  size_t queued = 0;
  for (size_t i = 0; i < plan_.count(); ++i) {
    State& s = state(dir, static_cast<uint8_t>(i));
    queued += s.pending.length() + s.held;
  }
  return queued;
}

uint32_t HttpEngine::roomNow(Dir dir) {
  size_t queued = queuedIn(dir);
  if (dir == Dir::kResponse) queued += owner_.responseQueued();
  return room(dir, queued);
}

void HttpEngine::limitLane(Dir dir, uint32_t bytes) {
  uint32_t& limit = limits_[static_cast<size_t>(dir)];
  limit = std::min(limit, bytes);
}

void HttpEngine::grant() {
  if (grant_request_) {
    grant_request_ = false;
    // What is discarded does not count: after an answer the rest of a request is read and thrown
    // away.
    size_t queued = replied_ || response_ended_ ? 0 : queuedIn(Dir::kRequest);
    if (!request_ended_) owner_.grantRequest(room(Dir::kRequest, queued));
  }
  if (grant_response_) {
    grant_response_ = false;
    if (responder_ != 0xff && !response_ended_ && !replied_) {
      if (auto* room = plan_.filter(responder_).type.response_room) {
        room(filterAt(plan_.offset(responder_)), responseRoom());
      }
    }
  }
}

void HttpEngine::sendReply() {
  for (size_t i = 0; i < plan_.count() && !replied_; ++i) {
    if (auto* replaced = plan_.filter(i).type.on_replaced) replaced(filterAt(plan_.offset(i)));
  }
  reply_pending_ = false;
  replied_ = true;
  if (abort_pending_) return;
  bool bypass = response_in_chain_;
  response_ = reply_head_;
  response_in_chain_ = true;
  bool grpc = http::isGrpc(request_.headers);
  if (grpc) {
    replyAsGrpc();
  } else {
    owner_.onLocalReply(*response_);
    describeReplyBody();
  }
  info_.response_code = response_->status;
  for (size_t i = 0; i < plan_.count(); ++i) {
    State& s = state(Dir::kResponse, static_cast<uint8_t>(i));
    s.pending.clear();
    s.paused = s.resume = s.end = s.holds_head = false;
    s.trailers = nullptr;
    s.mode = {};
  }
  buffer::Buffer body = std::move(reply_body_);
  bool end = body.empty();
  // A response that was already in the filters is replaced without running them a second time.
  size_t from = bypass ? plan_.count() : 0;
  passHead(Dir::kResponse, from, end);
  if (!end && !stopped()) passBody(Dir::kResponse, from, body, true);
}

// A gRPC client reads its errors from the status of the call: an answer without body, as Envoy's.
void HttpEngine::replyAsGrpc() {
  http::HeaderMap& headers = response_->headers;
  uint16_t status = response_->status;
  response_->status = 200;
  headers.set(http::HeaderId::kContentType, "application/grpc");
  headers.set(http::HeaderId::kGrpcStatus, http::grpcStatusText(status));
  if (!reply_body_.empty()) {
    std::string_view text = reply_body_.linearize(reply_body_.length());
    headers.set(http::HeaderId::kGrpcMessage, http::grpcMessage(text, arena_));
    reply_body_.clear();
  }
  owner_.onLocalReply(*response_);
}

// After the owner's words, so that a rule may have set another content type.
void HttpEngine::describeReplyBody() {
  if (reply_body_.empty()) return;
  http::HeaderMap& headers = response_->headers;
  char digits[20];
  auto [end, error] = std::to_chars(digits, digits + sizeof(digits), reply_body_.length());
  headers.setCopy(http::HeaderId::kContentLength, {digits, static_cast<size_t>(end - digits)});
  if (!headers.has(http::HeaderId::kContentType))
    headers.add(http::HeaderId::kContentType, reply_type_);
  if (request_.method_id == http::Method::kHead) reply_body_.clear();
}

void HttpEngine::run() noexcept {
  if (ended_) return;
  if (downstream_gone_) {
    finish(sdk::EndReason::kDownstreamGone);
    return;
  }
  if (abort_pending_) {
    owner_.resetStream(abort_why_);
    finish(sdk::EndReason::kLocalAbort);
    return;
  }
  if (reply_pending_) sendReply();
  if (resume_pending_ && !stopped()) {
    resume_pending_ = false;
    for (Dir dir : {Dir::kRequest, Dir::kResponse}) {
      if (dir == Dir::kRequest && replied_) continue;
      const auto& slots = plan_.slots(dir);
      // The last in line first: what it lets go makes room for those before it.
      for (size_t p = slots.size(); p-- > 0 && !stopped();) {
        if (!state(dir, slots[p].filter).resume) continue;
        resumeAt(dir, p);
        (dir == Dir::kRequest ? grant_request_ : grant_response_) = true;
      }
    }
  }
  if (stopped()) {
    queue();
    return;
  }
  if (response_ended_) {
    finish(sdk::EndReason::kComplete);
    return;
  }
  if (arena_.overLimit() && !replied_) {
    reply({.status = 500, .body = "Internal Server Error", .details = "stream_memory_limit"});
    return;
  }
  grant();
}

void HttpEngine::finish(sdk::EndReason why) {
  ended_ = true;
  info_.end = event::Worker::current().now();
  for (size_t i = 0; i < plan_.count(); ++i) {
    if (auto* on_end = plan_.filter(i).type.on_end) on_end(filterAt(plan_.offset(i)), why);
  }
  owner_.onStreamEnd(why);
}

}  // namespace gatehouse::chain

namespace gatehouse::sdk {

http::RequestHead& HttpStream::request() { return engine_.request(); }
http::ResponseHead* HttpStream::response() { return engine_.response(); }
StreamInfo& HttpStream::info() { return engine_.info(); }
memory::Arena& HttpStream::arena() { return engine_.arena(); }
void HttpStream::body(Dir dir, BodyMode mode) { engine_.setBodyMode(index_, dir, mode); }
void HttpStream::resume(Dir dir) { engine_.resume(index_, dir); }
void HttpStream::reply(const LocalReply& reply) { engine_.reply(reply); }
void HttpStream::abort(codec::Abort why) { engine_.abort(why); }
const router::RouteEntry* HttpStream::route() { return engine_.route(); }
void HttpStream::clearRoute() { engine_.clearRoute(); }
void HttpStream::respondInterim(http::ResponseHead& head) { engine_.respondInterim(index_, head); }
void HttpStream::respondHead(http::ResponseHead& head, bool end) {
  engine_.respondHead(index_, head, end);
}
void HttpStream::respondBody(buffer::Buffer& bytes, bool end) {
  engine_.respondBody(index_, bytes, end);
}
void HttpStream::respondTrailers(http::HeaderMap& trailers) {
  engine_.respondTrailers(index_, trailers);
}
void HttpStream::limitLane(Dir dir, uint32_t bytes) { engine_.limitLane(dir, bytes); }
uint32_t HttpStream::laneLimit(Dir dir) const { return engine_.laneLimit(dir); }
void HttpStream::setHeld(Dir dir, size_t bytes) { engine_.setHeld(index_, dir, bytes); }
uint32_t HttpStream::responseRoom() { return engine_.responseRoom(); }
uint64_t HttpStream::random() const { return engine_.random(); }
bool HttpStream::requestComplete() const { return engine_.requestComplete(); }
const void* HttpStream::configPointer() { return engine_.config(index_); }

}  // namespace gatehouse::sdk
