// Messages of every shape through every pair of filters that skip, stream or collect and pause in
// any set of their hooks: what goes in comes out, once and in order.
#include <gtest/gtest.h>

#include <set>

#include "test/chain/rig.h"

namespace gatehouse::chain {
namespace {

// How the message ends: at its head, with its last bytes, after them, by trailers; and without a
// byte although the head did not end it.
enum class Tail : uint8_t { kHead, kBody, kEmptyBody, kTrailers, kOnlyEnd, kOnlyTrailers };
constexpr size_t kTails = 6;
bool hasTrailers(Tail tail) { return tail == Tail::kTrailers || tail == Tail::kOnlyTrailers; }
bool hasBytes(Tail tail) {
  return tail == Tail::kBody || tail == Tail::kEmptyBody || tail == Tail::kTrailers;
}
// When paused filters are resumed.
enum class When : uint8_t {
  kInHook,
  kEachStepFirst,
  kEachStepLast,
  kEachStepBoth,
  kAtEnd,
  kAtEndFirst
};
constexpr size_t kWhens = 6;

struct Case {
  Dir dir;
  size_t active[2];
  BodyMode::Kind modes[2];
  uint32_t pauses[2];  // bit: head, body, trailers
  Take take;
  Tail tail;
  When when;
  std::vector<std::string_view> pieces;
};

std::string describe(const Case& c) {
  std::string text = c.dir == Dir::kRequest ? "request" : "response";
  for (int i = 0; i < 2; ++i) {
    text += std::string(", ") + static_cast<char>('A' + c.active[i]) + " mode " +
            std::to_string(c.modes[i]) + " pauses " + std::to_string(c.pauses[i]);
  }
  text += ", take " + std::to_string(static_cast<int>(c.take)) + ", tail " +
          std::to_string(static_cast<int>(c.tail)) + ", when " +
          std::to_string(static_cast<int>(c.when)) + ", pieces";
  for (auto piece : c.pieces) text += " " + std::string(piece);
  return text;
}

std::vector<Script> scriptsOf(const Case& c) {
  std::vector<Script> scripts(3);
  scripts[2].mode(Dir::kRequest).kind = BodyMode::kStream;
  for (size_t i = 0; i < 2; ++i) {
    Script& script = scripts[c.active[i]];
    script.mode(c.dir) = {c.modes[i], 100};
    script.take = c.take;
    for (size_t part = 0; part < 3; ++part) {
      Act& act = script.on(hookOf(c.dir, part));
      // Every second call, so that what a paused hook kept is offered to one that goes on.
      if (c.pauses[i] >> part & 1) act.pause_every = 2;
      act.resume = c.when == When::kInHook;
    }
  }
  return scripts;
}

void step(Rig& rig, const Case& c) {
  rig.turn();
  if (c.when < When::kEachStepFirst || c.when > When::kEachStepBoth) return;
  rig.resumeOnce(c.when == When::kEachStepFirst, c.when != When::kEachStepBoth);
}

void play(Rig& rig, const Case& c) {
  bool request = c.dir == Dir::kRequest;
  auto head = [&](bool end) { request ? rig.requestHead(end) : rig.responseHead(end); };
  auto body = [&](std::string_view bytes, bool end) {
    request ? rig.requestBody(bytes, end) : rig.responseBody(bytes, end);
    step(rig, c);
  };
  if (!request) rig.requestHead(true);
  head(c.tail == Tail::kHead);
  step(rig, c);
  if (c.tail == Tail::kHead) return;
  for (size_t i = 0; hasBytes(c.tail) && i < c.pieces.size(); ++i)
    body(c.pieces[i], c.tail == Tail::kBody && i + 1 == c.pieces.size());
  if (c.tail == Tail::kEmptyBody || c.tail == Tail::kOnlyEnd) body("", true);
  if (!hasTrailers(c.tail)) return;
  request ? rig.requestTrailers() : rig.responseTrailers();
  step(rig, c);
}

// What each filter must have seen of a message that went through.
void checkFilter(Rig& rig, const Case& c, size_t i, std::string_view whole) {
  ScriptFilter::Seen& s = rig.filter(i).seen(c.dir);
  BodyMode::Kind mode = BodyMode::kSkip;
  if (c.dir == Dir::kRequest && i == 2) mode = BodyMode::kStream;
  for (int k = 0; k < 2; ++k) {
    if (c.active[k] == i) mode = c.modes[k];
  }
  std::string who(1, static_cast<char>('A' + i));
  if (s.heads != 1) rig.error(who + " heads " + std::to_string(s.heads));
  if (s.trailers != (hasTrailers(c.tail) ? 1 : 0)) rig.error(who + " trailers");
  if (mode == BodyMode::kSkip || s.head_end) {
    if (s.bodies != 0) rig.error(who + " body hooks of a filter that wants none");
    return;
  }
  if (s.body != whole) rig.error(who + " saw '" + s.body + "'");
  if (hasTrailers(c.tail)) {
    if (mode == BodyMode::kCollect && s.io_trailers.empty()) rig.error(who + " trailers in body");
    return;
  }
  if (s.lasts != 1) rig.error(who + " lasts " + std::to_string(s.lasts));
}

std::string run(const Case& c, std::string* trace) {
  Rig rig(scriptsOf(c));
  std::string whole;
  if (hasBytes(c.tail)) {
    for (auto piece : c.pieces) whole += piece;
  }
  play(rig, c);
  rig.resumeAll(c.when == When::kAtEndFirst);
  for (size_t i = 0; i < (c.dir == Dir::kRequest ? 3 : 2); ++i) checkFilter(rig, c, i, whole);
  if (c.dir == Dir::kRequest) {
    if (rig.owner.heads != 0 || rig.owner.ends != 0) rig.error("answered by nobody");
    rig.responseHead(true);
    rig.turn();
    if (rig.owner.body != "") rig.error("body");
  } else {
    if (rig.owner.body != whole) rig.error("client got '" + rig.owner.body + "'");
    if ((rig.owner.trailers == "response") != hasTrailers(c.tail)) rig.error("trailers");
  }
  if (!rig.owner.complete || rig.owner.status != 200) rig.error("no complete response");
  if (rig.owner.ends != 1 || rig.owner.why != EndReason::kComplete) rig.error("no clean end");
  if (rig.errors.empty()) return "";
  *trace = rig.trace;
  return rig.errors;
}

struct Pair {
  Dir dir;
  size_t first, second;
};

class FlowMatrix : public testing::TestWithParam<Pair> {
 protected:
  void forEachShape(const Case& base) {
    Case c = base;
    for (size_t tail = 0; tail < kTails; ++tail) {
      c.tail = static_cast<Tail>(tail);
      for (size_t when = 0; when < kWhens; ++when) {
        c.when = static_cast<When>(when);
        forEachSplit("abcd", [&](const std::vector<std::string_view>& pieces) {
          if (!hasBytes(c.tail) && pieces.size() != 1) return;
          c.pieces = pieces;
          // Cycles through all that a body hook can do without losing bytes.
          c.take = static_cast<Take>(cases_++ % 3);
          check(c);
        });
      }
    }
  }
  void check(const Case& c) {
    std::string trace;
    std::string wrong = run(c, &trace);
    // One case of each kind is enough to look at.
    if (wrong.empty() || failures_.size() > 9 || !failures_.insert(wrong).second) return;
    ADD_FAILURE() << describe(c) << "\n  " << wrong << "\n  " << trace;
  }
  size_t cases_ = 0;
  std::set<std::string> failures_;
};

TEST_P(FlowMatrix, NothingIsLostDoubledOrReordered) {
  Pair pair = GetParam();
  Case c{};
  c.dir = pair.dir;
  c.active[0] = pair.first;
  c.active[1] = pair.second;
  for (auto a : {BodyMode::kSkip, BodyMode::kStream, BodyMode::kCollect}) {
    for (auto b : {BodyMode::kSkip, BodyMode::kStream, BodyMode::kCollect}) {
      c.modes[0] = a;
      c.modes[1] = b;
      for (uint32_t pauses = 0; pauses < 64; ++pauses) {
        c.pauses[0] = pauses & 7;
        c.pauses[1] = pauses >> 3;
        forEachShape(c);
      }
    }
  }
  EXPECT_GT(cases_, 80'000u);
}

INSTANTIATE_TEST_SUITE_P(Pairs, FlowMatrix,
                         testing::Values(Pair{Dir::kRequest, 0, 1}, Pair{Dir::kRequest, 1, 2},
                                         Pair{Dir::kRequest, 0, 2}, Pair{Dir::kResponse, 0, 1}));

}  // namespace
}  // namespace gatehouse::chain
