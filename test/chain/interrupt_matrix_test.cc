// A reply, an abort or a vanished client, and several at once, raised in every hook of every filter
// and between any two events, while a neighbour is paused anywhere: the client gets one answer or
// one reset, every filter its end, and nobody hears anything afterwards.
#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "test/chain/rig.h"

namespace gatehouse::chain {
namespace {

enum class Event : uint8_t {
  kRequestHead,
  kRequestBody,
  kRequestTrailers,
  kInterim,
  kResponseHead,
  kResponseBody,
  kResponseTrailers,
};
// An answer after the request, and one that is on the wire before the request's body.
const std::vector<Event> kOrders[2] = {
    {Event::kRequestHead, Event::kRequestBody, Event::kRequestBody, Event::kRequestTrailers,
     Event::kInterim, Event::kResponseHead, Event::kResponseBody, Event::kResponseBody,
     Event::kResponseTrailers},
    {Event::kRequestHead, Event::kInterim, Event::kResponseHead, Event::kResponseBody,
     Event::kRequestBody, Event::kRequestBody, Event::kRequestTrailers, Event::kResponseBody,
     Event::kResponseTrailers}};
constexpr size_t kEvents = 9;
constexpr size_t kFilters = 3;
constexpr size_t kNone = 99;

struct Case {
  Raise raise = Raise::kReply;
  size_t filter = kNone;  // whose hook raises
  Hook hook = Hook::kEnd;
  size_t before = kNone;     // raised from outside, before that event
  bool own_turn = false;     // that raise is acted on before the event
  bool pause = false;        // what the raising hook returns
  size_t neighbour = kNone;  // pauses in that hook
  Hook paused_in = Hook::kRequestHead;
  BodyMode::Kind mode = BodyMode::kStream;            // of the raising filter
  BodyMode::Kind neighbour_mode = BodyMode::kStream;  // and of all others
  bool early = false;
};

std::string describe(const Case& c) {
  std::string text = "raise " + std::to_string(static_cast<int>(c.raise));
  if (c.filter != kNone)
    text += std::string(" in ") + static_cast<char>('A' + c.filter) + "." + nameOf(c.hook);
  if (c.before != kNone)
    text += " before event " + std::to_string(c.before) + (c.own_turn ? ", own turn" : "");
  if (c.pause) text += ", pausing";
  if (c.neighbour != kNone)
    text += std::string(", ") + static_cast<char>('A' + c.neighbour) + " paused in " +
            nameOf(c.paused_in);
  return text + ", modes " + std::to_string(c.mode) + std::to_string(c.neighbour_mode) +
         (c.early ? ", early" : "");
}

std::vector<Script> scriptsOf(const Case& c) {
  std::vector<Script> scripts(kFilters);
  for (size_t i = 0; i < kFilters; ++i) {
    BodyMode mode{i == c.filter ? c.mode : c.neighbour_mode, 100};
    scripts[i].mode(Dir::kRequest) = scripts[i].mode(Dir::kResponse) = mode;
  }
  if (c.filter != kNone) {
    Act& act = scripts[c.filter].on(c.hook);
    act.raise = c.raise;
    act.pause_every = c.pause ? 2 : 0;
  }
  if (c.neighbour != kNone) scripts[c.neighbour].on(c.paused_in).pause_every = 2;
  return scripts;
}

bool answers(Event event) { return event >= Event::kInterim; }

void play(Rig& rig, Event event) {
  switch (event) {
    case Event::kRequestHead:
      rig.requestHead(false);
      break;
    case Event::kRequestBody:
      rig.requestBody("ab", false);
      break;
    case Event::kRequestTrailers:
      rig.requestTrailers();
      break;
    case Event::kInterim:
      rig.interim();
      break;
    case Event::kResponseHead:
      rig.responseHead(false);
      break;
    case Event::kResponseBody:
      rig.responseBody("12", false);
      break;
    case Event::kResponseTrailers:
      rig.responseTrailers();
      break;
  }
  rig.turn();
  rig.owner.queued = 0;
  rig.engine->responseDrained();
  rig.turn();
}

// The last filter answers only what it has seen: its events wait for the request's head, and for
// the pauses before it to end.
void playAll(Rig& rig, const Case& c) {
  std::deque<Event> waiting;
  auto answer = [&] {
    while (!waiting.empty() && rig.last().seen(Dir::kRequest).heads != 0) {
      Event event = waiting.front();
      waiting.pop_front();
      play(rig, event);
    }
  };
  for (size_t i = 0; i < kEvents; ++i) {
    if (i == c.before) {
      rig.raise(c.raise);
      if (c.own_turn) rig.turn();
    }
    Event event = kOrders[c.early ? 1 : 0][i];
    if (answers(event)) {
      waiting.push_back(event);
    } else {
      play(rig, event);
    }
    answer();
  }
  rig.resumeAll();
  answer();
  rig.resumeAll();
}

void expect(Rig& rig, bool holds, const char* what) {
  if (!holds) rig.error(what);
}

void checkAnswered(Rig& rig, uint16_t status, std::string_view body, bool trailers) {
  expect(rig, rig.owner.status == status, "status");
  expect(rig, rig.owner.body == body, "body");
  expect(rig, rig.owner.trailers.empty() != trailers, "trailers");
  expect(rig, rig.owner.complete && rig.owner.resets == 0, "not complete");
  expect(rig, rig.owner.why == EndReason::kComplete, "end reason");
}

void checkReset(Rig& rig, codec::Abort why) {
  expect(rig, rig.owner.resets == 1 && rig.owner.reset_why == why, "reset");
  expect(rig, rig.owner.why == EndReason::kLocalAbort, "end reason");
  expect(rig, rig.owner.replies == 0, "reply before the reset");
}

void checkOutcome(Rig& rig) {
  int replaced = 0;
  Raise raise = rig.complete_when_raised ? Raise::kNothing : rig.what_raised;
  switch (raise) {
    case Raise::kNothing:
      checkAnswered(rig, 200, "1212", true);
      break;
    case Raise::kReply:
      if (rig.on_wire_when_raised) {
        checkReset(rig, codec::Abort::kInternal);
      } else {
        checkAnswered(rig, Rig::kReplyStatus, Rig::kReplyBody, false);
        expect(rig, rig.info.details == "raised", "details");
        replaced = 1;
      }
      break;
    case Raise::kAbort:
    case Raise::kReplyThenAbort:
    case Raise::kAbortThenReply:
      checkReset(rig, rig.owner.reset_why == codec::Abort::kInternal && rig.on_wire_when_raised &&
                              raise == Raise::kReplyThenAbort
                          ? codec::Abort::kInternal
                          : codec::Abort::kTimeout);
      break;
    case Raise::kGone:
    case Raise::kReplyThenGone:
      // What was under way may become complete before anybody looks.
      expect(rig,
             rig.owner.why == EndReason::kDownstreamGone ||
                 (rig.owner.complete && rig.owner.why == EndReason::kComplete),
             "end reason");
      expect(rig, rig.owner.resets == 0, "reset of nobody");
      break;
  }
  expect(rig, rig.owner.ends == 1, "one end");
  for (ScriptFilter* filter : rig.filters) {
    expect(rig, filter->end && *filter->end == rig.owner.why, "a filter's end reason");
    expect(rig, filter->calls[static_cast<size_t>(Hook::kEnd)] == 1, "onEnd once");
    expect(rig, filter->calls[static_cast<size_t>(Hook::kReplaced)] == replaced, "onReplaced");
  }
}

std::string run(const Case& c, std::string* trace) {
  Rig rig(scriptsOf(c));
  playAll(rig, c);
  checkOutcome(rig);
  // Late calls reach an engine that has ended.
  rig.engine->downstreamGone();
  rig.requestBody("late", true);
  rig.responseBody("late", true);
  rig.last().stream.resume(Dir::kRequest);
  rig.turn();
  *trace = rig.trace;
  return rig.errors;
}

class InterruptMatrix : public testing::Test {
 protected:
  void check(const Case& c) {
    ++cases_;
    std::string trace;
    std::string wrong = run(c, &trace);
    // One case of each kind is enough to look at.
    if (wrong.empty() || failures_.size() > 9 || !failures_.insert(wrong).second) return;
    ADD_FAILURE() << describe(c) << "\n  " << wrong << "\n  " << trace;
  }
  // With every neighbour paused in every hook, every mode and order.
  void forEachSurrounding(Case c) {
    for (bool early : {false, true}) {
      for (auto mode : {BodyMode::kStream, BodyMode::kCollect}) {
        for (auto neighbour_mode : {BodyMode::kSkip, BodyMode::kStream, BodyMode::kCollect}) {
          c.early = early;
          c.mode = mode;
          c.neighbour_mode = neighbour_mode;
          forEachPause(c);
        }
      }
    }
  }
  void forEachPause(Case c) {
    check(c);
    for (c.neighbour = 0; c.neighbour < kFilters; ++c.neighbour) {
      if (c.neighbour == c.filter) continue;
      for (size_t hook = 0; hook < kFlowHooks; ++hook) {
        c.paused_in = static_cast<Hook>(hook);
        check(c);
      }
    }
  }
  size_t cases_ = 0;
  std::set<std::string> failures_;
};

TEST_F(InterruptMatrix, InEveryHook) {
  for (size_t raise = 0; raise < kRaises; ++raise) {
    for (size_t filter = 0; filter < kFilters; ++filter) {
      for (size_t hook = 0; hook < kHooks; ++hook) {
        for (bool pause : {false, true}) {
          Case c;
          c.raise = static_cast<Raise>(raise);
          c.filter = filter;
          c.hook = static_cast<Hook>(hook);
          c.pause = pause;
          forEachSurrounding(c);
        }
      }
    }
  }
  EXPECT_GT(cases_, 60'000u);
}

TEST_F(InterruptMatrix, FromOutsideBetweenAnyTwoEvents) {
  for (size_t raise = 0; raise < kRaises; ++raise) {
    for (size_t before = 0; before < kEvents; ++before) {
      for (bool own_turn : {false, true}) {
        Case c;
        c.raise = static_cast<Raise>(raise);
        c.before = before;
        c.own_turn = own_turn;
        forEachSurrounding(c);
      }
    }
  }
  EXPECT_GT(cases_, 25'000u);
}

}  // namespace
}  // namespace gatehouse::chain
