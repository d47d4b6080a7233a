#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/chain/http_engine.h"
#include "source/event/worker.h"

namespace gatehouse::chain {

using sdk::BodyMode;
using sdk::Dir;
using sdk::EndReason;
using sdk::Step;

enum class Hook : uint8_t {
  kRequestHead,
  kRequestBody,
  kRequestTrailers,
  kResponseHead,
  kResponseBody,
  kResponseTrailers,
  kInterim,
  kRoom,
  kReplaced,
  kEnd,
};
constexpr size_t kHooks = 10;
constexpr size_t kFlowHooks = 6;  // those that answer with a Step
const char* nameOf(Hook hook);
inline Hook hookOf(Dir dir, size_t part) {  // part: 0 head, 1 body, 2 trailers
  return static_cast<Hook>(3 * static_cast<size_t>(dir) + part);
}

// What somebody does to the whole stream.
enum class Raise : uint8_t {
  kNothing,
  kReply,
  kAbort,
  kReplyThenAbort,
  kAbortThenReply,
  kGone,
  kReplyThenGone,
};
constexpr size_t kRaises = 7;

// Which bytes a body hook puts into out() itself; the rest stays in in().
enum class Take : uint8_t { kNothing, kAll, kHalf, kDrop };

// A row of a filter's table: what it does when one of its hooks is called.
struct Act {
  // 0: never pauses; n: at the calls 1, 1 + n, 1 + 2n ... of this hook.
  int pause_every = 0;
  bool resume = false;  // says so at once, before it pauses
  Raise raise = Raise::kNothing;
};
struct Script {
  Act acts[kHooks];
  BodyMode modes[2];
  Take take = Take::kNothing;
  // A terminal filter: takes the request's body and counts it as held until told to let go.
  bool holds = false;
  // Also tells the engine the mode where nothing follows the head.
  bool mode_at_end = false;

  Act& on(Hook hook) { return acts[static_cast<size_t>(hook)]; }
  BodyMode& mode(Dir dir) { return modes[static_cast<size_t>(dir)]; }
  const BodyMode& mode(Dir dir) const { return modes[static_cast<size_t>(dir)]; }
};

class Rig;

// A filter with every hook, driven by its table. It notes what it sees and every call that breaks
// the contract.
class ScriptFilter {
 public:
  struct Config {
    Rig* rig;
    Script script;
    size_t index;
  };
  // What one direction has shown.
  struct Seen {
    int heads = 0, bodies = 0, trailers = 0, lasts = 0;
    bool head_end = false;
    bool paused = false;
    bool may_enter = true;  // false from a pause to the resume
    std::string body;       // what went on, or is held
    std::string io_trailers;
  };

  ScriptFilter(const Config& config, sdk::HttpStream& stream);
  ~ScriptFilter();
  Step requestHead(http::RequestHead&, bool end) noexcept { return head(Dir::kRequest, end); }
  Step requestBody(sdk::BodyIo& io) noexcept { return body(Dir::kRequest, io); }
  Step requestTrailers(http::HeaderMap&) noexcept { return trailers(Dir::kRequest); }
  void interim(http::ResponseHead&) noexcept { enter(Hook::kInterim); }
  Step responseHead(http::ResponseHead&, bool end) noexcept { return head(Dir::kResponse, end); }
  Step responseBody(sdk::BodyIo& io) noexcept { return body(Dir::kResponse, io); }
  Step responseTrailers(http::HeaderMap&) noexcept { return trailers(Dir::kResponse); }
  void responseRoom(uint32_t bytes) noexcept {
    room = bytes;
    enter(Hook::kRoom);
  }
  void onReplaced() noexcept;
  void onEnd(EndReason why) noexcept;

  void resume(Dir dir);
  // The terminal filter's bytes leave.
  void letGo(size_t bytes);
  Seen& seen(Dir dir) { return seen_[static_cast<size_t>(dir)]; }
  bool paused() { return seen(Dir::kRequest).paused || seen(Dir::kResponse).paused; }

  sdk::HttpStream& stream;
  std::optional<uint32_t> room;
  size_t io_room = 0;  // of the last body hook
  size_t held = 0;
  int calls[kHooks] = {};
  std::optional<EndReason> end;

 private:
  Step head(Dir dir, bool end);
  Step body(Dir dir, sdk::BodyIo& io);
  Step trailers(Dir dir);
  // Writes the call down and does what its table says.
  Step enter(Hook hook);
  void check(Dir dir, Hook hook);
  void error(std::string_view what);

  const Config& config_;
  Seen seen_[2];
};

// The stream's owner: notes what leaves.
class Owner final : public StreamOwner {
 public:
  explicit Owner(Rig& rig) : rig_(rig) {}
  void sendInterim(http::ResponseHead&) noexcept override;
  void sendHead(http::ResponseHead& head, bool end) noexcept override;
  void sendBody(buffer::Buffer& bytes, bool end) noexcept override;
  void sendTrailers(http::HeaderMap& trailers) noexcept override;
  void resetStream(codec::Abort why) noexcept override;
  void grantRequest(uint32_t bytes) noexcept override;
  size_t responseQueued() noexcept override { return queued; }
  const router::RouteEntry* pickRoute() noexcept override;
  const void* const* routeConfigs(const router::RouteEntry&) noexcept override;
  void onLocalReply(http::ResponseHead& head) noexcept override;
  void onStreamEnd(EndReason why) noexcept override;

  int interims = 0, heads = 0, replies = 0, resets = 0, ends = 0, routes = 0;
  uint16_t status = 0;
  bool complete = false;  // the response's end was sent
  std::string body;
  std::string trailers;
  std::string length;        // content-length
  std::string content_type;  // of the head that was sent
  std::optional<uint32_t> credit;
  size_t queued = 0;
  codec::Abort reset_why = codec::Abort::kNoError;
  EndReason why = EndReason::kComplete;
  const void* route_configs[8] = {};
  bool has_route = false;

 private:
  void sending(const char* what);
  Rig& rig_;
};

// An engine over scripted filters with everything around it, on simulated time. Trailers are one
// `date` field that names their direction.
class Rig {
 public:
  static constexpr uint32_t kWide = 1 << 20;
  static constexpr uint16_t kReplyStatus = 418;
  static constexpr std::string_view kReplyBody = "reply";

  explicit Rig(const std::vector<Script>& scripts, uint32_t limit = kWide);
  ~Rig();

  // What the codec does with the request.
  void requestHead(bool end) { engine->requestHead(end); }
  void requestBody(std::string_view bytes, bool end);
  void requestTrailers();
  // What the last filter does with the response.
  void interim();
  void responseHead(bool end, uint16_t status = 200);
  void responseBody(std::string_view bytes, bool end);
  void responseTrailers();

  void raise(Raise raise);
  // One turn of the worker.
  void turn();
  // Lets every pause end, as often as it takes; `first`: in the chain's order, each with its own
  // turn.
  void resumeAll(bool first = false);
  bool resumeOnce(bool first, bool own_turns);
  void error(std::string text);

  ScriptFilter& filter(size_t i) { return *filters[i]; }
  ScriptFilter& last() { return *filters.back(); }

  std::vector<ScriptFilter*> filters;
  memory::Arena arena{nullptr, 0};
  http::RequestHead head{arena};
  sdk::StreamInfo info;
  Owner owner{*this};
  std::string errors;  // empty: everybody kept the contract
  std::string trace;   // every call, for messages
  // Set when somebody raised something the engine has not acted on: no hook runs until then.
  bool stopping = false;
  bool raised = false;
  bool on_wire_when_raised = false;
  bool complete_when_raised = false;
  Raise what_raised = Raise::kNothing;
  bool raise_once = true;
  int destroyed = 0;
  HttpPlan plan;
  std::optional<HttpEngine> engine;

 private:
  static HttpPlan planOf(Rig& rig, const std::vector<Script>& scripts);
};

// The worker of the tests, and its clock.
event::Worker& worker();
void advance(event::Millis time);

// Calls f with every way of cutting `bytes` into pieces, at least one piece, none empty.
template <class F>
void forEachSplit(std::string_view bytes, F&& f) {
  for (uint32_t cuts = 0; cuts < (1u << (bytes.size() - 1)); ++cuts) {
    std::vector<std::string_view> pieces;
    size_t from = 0;
    for (size_t i = 1; i <= bytes.size(); ++i) {
      if (i < bytes.size() && (cuts >> (i - 1) & 1) == 0) continue;
      pieces.push_back(bytes.substr(from, i - from));
      from = i;
    }
    f(pieces);
  }
}

}  // namespace gatehouse::chain
