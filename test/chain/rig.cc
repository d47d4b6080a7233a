#include "test/chain/rig.h"

#include <memory>
#include <utility>

#include "source/base/assert.h"

namespace gatehouse::chain {

namespace {

event::MonoTime g_now{};
event::MonoTime simulated() { return g_now; }

}  // namespace

event::Worker& worker() {
  static auto* worker =
      new event::Worker((g_now = event::MonoTime(std::chrono::hours(1)), "test"), 0, simulated);
  worker->bind();
  return *worker;
}

void advance(event::Millis time) { g_now += time; }

const char* nameOf(Hook hook) {
  static constexpr const char* kNames[kHooks] = {
      "requestHead",      "requestBody", "requestTrailers", "responseHead", "responseBody",
      "responseTrailers", "interim",     "responseRoom",    "onReplaced",   "onEnd"};
  return kNames[static_cast<size_t>(hook)];
}

ScriptFilter::ScriptFilter(const Config& config, sdk::HttpStream& handle)
    : stream(handle), config_(config) {
  config.rig->filters[config.index] = this;
}

ScriptFilter::~ScriptFilter() { ++config_.rig->destroyed; }

void ScriptFilter::error(std::string_view what) {
  config_.rig->error(std::string(1, static_cast<char>('A' + config_.index)) + ": " +
                     std::string(what));
}

void ScriptFilter::check(Dir dir, Hook hook) {
  Seen& s = seen(dir);
  Rig& rig = *config_.rig;
  if (!s.may_enter) error("entered while paused");
  s.may_enter = true;
  s.paused = false;
  if (s.trailers != 0 || s.lasts != 0 || s.head_end) error("entered after the end");
  if ((hook == hookOf(dir, 0)) != (s.heads == 0)) error("the head is not first or not alone");
  if (rig.owner.replies != 0 && dir == Dir::kRequest) error("request hook after a reply");
}

Step ScriptFilter::enter(Hook hook) {
  Rig& rig = *config_.rig;
  rig.trace += std::string(" ") + static_cast<char>('A' + config_.index) + "." + nameOf(hook);
  if (end) error("entered after onEnd");
  if (rig.stopping && hook != Hook::kReplaced && hook != Hook::kEnd)
    error("entered although the stream is about to be answered or aborted");
  auto at = static_cast<size_t>(hook);
  if (at < kFlowHooks) check(at < 3 ? Dir::kRequest : Dir::kResponse, hook);
  int call = calls[at]++;
  const Act& act = config_.script.acts[at];
  Dir dir = at < 3 ? Dir::kRequest : Dir::kResponse;
  if (act.resume) stream.resume(dir);
  bool pause = act.pause_every != 0 && call % act.pause_every == 0;
  if (act.raise != Raise::kNothing && !(rig.raised && rig.raise_once)) rig.raise(act.raise);
  if (!pause || at >= kFlowHooks) return Step::kContinue;
  seen(dir).paused = !act.resume;
  seen(dir).may_enter = act.resume;
  return Step::kPause;
}

Step ScriptFilter::head(Dir dir, bool end) {
  BodyMode mode = config_.script.mode(dir);
  if (!end || config_.script.mode_at_end) stream.body(dir, mode);
  Step step = enter(hookOf(dir, 0));
  seen(dir).heads++;
  seen(dir).head_end = end;
  return step;
}

Step ScriptFilter::body(Dir dir, sdk::BodyIo& io) {
  Step step = enter(hookOf(dir, 1));
  io_room = io.room();
  Seen& s = seen(dir);
  ++s.bodies;
  bool collects = config_.script.mode(dir).kind == BodyMode::kCollect;
  if (collects && !io.last()) error("a collected body that is not complete");
  if (collects && s.bodies != 1) error("a collected body in two calls");
  if (io.trailers() != nullptr) s.io_trailers = io.trailers()->get(http::HeaderId::kDate);
  if (config_.script.holds) {
    s.body += io.in().toString();
    held += io.in().length();
    io.in().clear();
    stream.setHeld(dir, held);
  }
  size_t n = 0;
  if (config_.script.take == Take::kAll) n = io.in().length();
  if (config_.script.take == Take::kHalf) n = io.in().length() / 2;
  if (config_.script.take == Take::kDrop) io.in().clear();
  io.out().takePrefix(io.in(), n);
  s.body += io.out().toString();
  bool goes_on = step == Step::kContinue || collects;
  if (goes_on) s.body += io.in().toString();
  // A paused filter is offered what it kept, and the end, once more.
  if (io.last() && goes_on) ++s.lasts;
  return step;
}

Step ScriptFilter::trailers(Dir dir) {
  // A collected body ends before its trailers.
  if (config_.script.mode(dir).kind == BodyMode::kCollect) seen(dir).lasts = 0;
  Step step = enter(hookOf(dir, 2));
  ++seen(dir).trailers;
  return step;
}

void ScriptFilter::onReplaced() noexcept {
  enter(Hook::kReplaced);
  if (calls[static_cast<size_t>(Hook::kReplaced)] != 1) error("replaced twice");
  // The answer passes the response hooks anew unless another one was already in them.
  if (config_.rig->owner.heads == 0) seen(Dir::kResponse) = Seen();
}

void ScriptFilter::onEnd(EndReason why) noexcept {
  if (config_.rig->owner.ends != 0) error("onEnd after the stream's end");
  enter(Hook::kEnd);
  end = why;
  for (Seen& s : seen_) s.paused = false;
}

void ScriptFilter::resume(Dir dir) {
  seen(dir).paused = false;
  seen(dir).may_enter = true;
  stream.resume(dir);
}

void ScriptFilter::letGo(size_t bytes) {
  held -= bytes;
  stream.setHeld(Dir::kRequest, held);
}

void Owner::sending(const char* what) {
  rig_.trace += std::string(" ") + what;
  if (complete) rig_.error(std::string(what) + " after the response's end");
  if (resets != 0) rig_.error(std::string(what) + " after the reset");
  if (ends != 0) rig_.error(std::string(what) + " after the stream's end");
  if (rig_.stopping) rig_.error(std::string(what) + " although something else was decided");
}

void Owner::sendInterim(http::ResponseHead&) noexcept {
  sending("sendInterim");
  if (heads != 0) rig_.error("interim after the head");
  ++interims;
}

void Owner::sendHead(http::ResponseHead& head, bool end) noexcept {
  sending("sendHead");
  if (++heads != 1) rig_.error("two heads");
  status = head.status;
  length = head.headers.get(http::HeaderId::kContentLength);
  content_type = head.headers.get(http::HeaderId::kContentType);
  complete = end;
}

void Owner::sendBody(buffer::Buffer& bytes, bool end) noexcept {
  sending("sendBody");
  if (heads == 0) rig_.error("body before the head");
  body += bytes.toString();
  queued += bytes.length();
  bytes.clear();
  complete = end;
}

void Owner::sendTrailers(http::HeaderMap& map) noexcept {
  sending("sendTrailers");
  if (heads == 0) rig_.error("trailers before the head");
  trailers = map.get(http::HeaderId::kDate);
  complete = true;
}

void Owner::resetStream(codec::Abort why) noexcept {
  rig_.trace += " reset";
  rig_.stopping = false;
  if (++resets != 1 || ends != 0) rig_.error("reset twice or after the end");
  reset_why = why;
}

void Owner::grantRequest(uint32_t bytes) noexcept {
  if (ends != 0) rig_.error("credit after the end");
  credit = bytes;
}

const router::RouteEntry* Owner::pickRoute() noexcept {
  ++routes;
  // Nobody looks into it.
  static int place;
  return has_route ? reinterpret_cast<const router::RouteEntry*>(&place) : nullptr;
}

const void* const* Owner::routeConfigs(const router::RouteEntry&) noexcept { return route_configs; }

void Owner::onLocalReply(http::ResponseHead&) noexcept {
  rig_.trace += " reply";
  rig_.stopping = false;
  ++replies;
}

void Owner::onStreamEnd(EndReason end) noexcept {
  rig_.trace += " end";
  if (++ends != 1) rig_.error("the stream ends twice");
  for (ScriptFilter* filter : rig_.filters) {
    if (!filter->end) rig_.error("the stream ends before its filters");
  }
  why = end;
}

HttpPlan Rig::planOf(Rig& rig, const std::vector<Script>& scripts) {
  std::vector<sdk::HttpFilterPlan> plans;
  for (size_t i = 0; i < scripts.size(); ++i) {
    sdk::HttpFilterPlan plan;
    plan.type = sdk::httpFilterType<ScriptFilter, ScriptFilter::Config>();
    plan.config = std::make_shared<ScriptFilter::Config>(ScriptFilter::Config{&rig, scripts[i], i});
    plan.terminal = i + 1 == scripts.size();
    plans.push_back(std::move(plan));
  }
  return HttpPlan(std::move(plans));
}

Rig::Rig(const std::vector<Script>& scripts, uint32_t limit)
    : filters(scripts.size()), plan(planOf(*this, scripts)) {
  worker();
  head.setMethod("POST");
  head.path = "/";
  engine.emplace(owner, plan, arena, head, info, limit, 7);
}

Rig::~Rig() {
  engine.reset();
  GATEHOUSE_ASSERT(destroyed == static_cast<int>(plan.count()));
}

void Rig::requestBody(std::string_view bytes, bool end) {
  buffer::Buffer in;
  in.appendCopy(bytes);
  engine->requestBody(in, end);
}

void Rig::requestTrailers() {
  auto* map = arena.make<http::HeaderMap>(arena);
  map->add(http::HeaderId::kDate, "request");
  engine->requestTrailers(*map);
}

void Rig::interim() {
  auto* interim = arena.make<http::ResponseHead>(arena);
  interim->status = 103;
  last().stream.respondInterim(*interim);
}

void Rig::responseHead(bool end, uint16_t status) {
  auto* response = arena.make<http::ResponseHead>(arena);
  response->status = status;
  last().stream.respondHead(*response, end);
}

void Rig::responseBody(std::string_view bytes, bool end) {
  buffer::Buffer out;
  out.appendCopy(bytes);
  last().stream.respondBody(out, end);
}

void Rig::responseTrailers() {
  auto* map = arena.make<http::HeaderMap>(arena);
  map->add(http::HeaderId::kDate, "response");
  last().stream.respondTrailers(*map);
}

void Rig::raise(Raise raise) {
  trace += " raise" + std::to_string(static_cast<int>(raise));
  bool acts = !engine->ended() && !owner.complete;
  if (!raised) {
    raised = true;
    what_raised = raise;
    on_wire_when_raised = owner.heads != 0;
    complete_when_raised = owner.complete || engine->ended();
  }
  auto reply = [this] {
    engine->reply({.status = kReplyStatus, .body = kReplyBody, .details = "raised"});
  };
  auto abort = [this] { engine->abort(codec::Abort::kTimeout); };
  if (acts) stopping = raise != Raise::kGone;
  switch (raise) {
    case Raise::kNothing:
      stopping = false;
      break;
    case Raise::kReply:
      reply();
      break;
    case Raise::kAbort:
      abort();
      break;
    case Raise::kReplyThenAbort:
      reply();
      abort();
      break;
    case Raise::kAbortThenReply:
      abort();
      reply();
      break;
    case Raise::kGone:
      engine->downstreamGone();
      break;
    case Raise::kReplyThenGone:
      reply();
      engine->downstreamGone();
      break;
  }
}

void Rig::turn() { worker().runOnce(); }

bool Rig::resumeOnce(bool first, bool own_turns) {
  bool any = false;
  for (size_t i = 0; i < filters.size(); ++i) {
    ScriptFilter& f = filter(first ? i : filters.size() - 1 - i);
    for (Dir dir : {Dir::kRequest, Dir::kResponse}) {
      if (f.end || !f.seen(dir).paused) continue;
      any = true;
      f.resume(dir);
      if (own_turns) turn();
    }
  }
  if (any && !own_turns) turn();
  return any;
}

void Rig::resumeAll(bool first) {
  turn();
  for (int i = 0; resumeOnce(first, true); ++i) {
    if (i == 100) {
      error("pauses without end");
      return;
    }
  }
}

void Rig::error(std::string text) { errors += text + "; "; }

}  // namespace gatehouse::chain
