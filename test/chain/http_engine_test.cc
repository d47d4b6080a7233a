#include "source/chain/http_engine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test/chain/rig.h"

namespace gatehouse::chain {
namespace {

using http::HeaderId;

std::vector<Script> three() {
  std::vector<Script> scripts(3);
  for (Script& script : scripts) script.modes[0].kind = script.modes[1].kind = BodyMode::kStream;
  return scripts;
}

int called(ScriptFilter& filter, Hook hook) { return filter.calls[static_cast<size_t>(hook)]; }

// --- kCollect and its limit ---

struct CollectCase {
  Dir dir;
  uint32_t limit;
  size_t size;
  uint32_t lane;
};

void collect(const CollectCase& c, const std::vector<std::string_view>& pieces, bool trailers) {
  SCOPED_TRACE(testing::Message() << "direction " << static_cast<int>(c.dir) << " limit " << c.limit
                                  << " size " << c.size << " lane " << c.lane << " pieces "
                                  << pieces.size() << " trailers " << trailers);
  auto scripts = three();
  scripts[1].mode(c.dir) = {BodyMode::kCollect, c.limit};
  Rig rig(scripts, c.lane);
  bool request = c.dir == Dir::kRequest;
  rig.requestHead(!request);
  if (!request) rig.responseHead(false);
  for (size_t i = 0; i < pieces.size(); ++i) {
    bool end = !trailers && i + 1 == pieces.size();
    request ? rig.requestBody(pieces[i], end) : rig.responseBody(pieces[i], end);
    rig.turn();
  }
  if (trailers) request ? rig.requestTrailers() : rig.responseTrailers();
  rig.turn();
  std::string whole;
  for (auto piece : pieces) whole += piece;
  if (c.size <= c.limit) {
    EXPECT_EQ(request ? rig.last().seen(c.dir).body : rig.owner.body, whole);
    EXPECT_EQ(called(rig.filter(1), hookOf(c.dir, 1)), 1);
    if (request) rig.responseHead(true);
  } else {
    EXPECT_EQ(rig.owner.status, request ? 413 : 500);
    EXPECT_EQ(rig.info.details,
              request ? "request_payload_too_large" : "response_payload_too_large");
    EXPECT_EQ(rig.owner.body, request ? "Payload Too Large" : "Internal Server Error");
    EXPECT_EQ(called(rig.filter(1), hookOf(c.dir, 1)), 0);
    EXPECT_EQ(rig.last().seen(Dir::kRequest).heads, request ? 0 : 1);
  }
  rig.turn();
  EXPECT_TRUE(rig.owner.complete);
  EXPECT_EQ(rig.owner.why, EndReason::kComplete);
  EXPECT_EQ(rig.errors, "") << rig.trace;
}

TEST(Collect, TakesUpToItsLimitAndRefusesMore) {
  for (Dir dir : {Dir::kRequest, Dir::kResponse}) {
    for (uint32_t limit = 0; limit < 7; ++limit) {
      for (size_t size = 1; size < 8; ++size) {
        for (uint32_t lane : {1u, 4u, Rig::kWide}) {
          forEachSplit(std::string_view("abcdefgh").substr(0, size), [&](const auto& pieces) {
            for (bool trailers : {false, true}) collect({dir, limit, size, lane}, pieces, trailers);
          });
        }
      }
    }
  }
}

// A client that obeys its credit gets to see the refusal although the lane is not larger than what
// may be collected.
TEST(Collect, TooMuchIsSeenThroughTheCredit) {
  for (uint32_t limit : {1, 7, 8, 9, 100}) {
    auto scripts = three();
    scripts[0].mode(Dir::kRequest) = {BodyMode::kCollect, limit};
    Rig rig(scripts, 8);
    rig.requestHead(false);
    rig.turn();
    uint32_t credit = 8;
    for (int i = 0; i < 100 && rig.owner.heads == 0; ++i) {
      std::string bytes(std::min(credit, 3u), 'x');
      rig.owner.credit.reset();
      rig.requestBody(bytes, false);
      credit -= static_cast<uint32_t>(bytes.size());
      rig.turn();
      credit = rig.owner.credit.value_or(credit);
    }
    EXPECT_EQ(rig.owner.status, 413) << limit;
    EXPECT_EQ(rig.errors, "");
  }
}

TEST(Collect, ReplyThatIsTooLargeForAResponseFilterBecomesA500) {
  auto scripts = three();
  scripts[0].mode(Dir::kResponse) = {BodyMode::kCollect, 4};  // "reply" has five
  scripts[2].on(Hook::kRequestHead).raise = Raise::kReply;
  Rig rig(scripts);
  rig.requestHead(true);
  rig.turn();
  EXPECT_EQ(rig.owner.status, 500);
  EXPECT_EQ(rig.owner.body, "Internal Server Error");
  EXPECT_EQ(rig.owner.why, EndReason::kComplete);
  EXPECT_EQ(rig.errors, "") << rig.trace;
}

// --- replies ---

TEST(Reply, FirstOfATurnWins) {
  Rig rig(three());
  rig.requestHead(true);
  rig.engine->reply({.status = 401, .body = "one", .details = "first"});
  rig.engine->reply({.status = 402, .body = "two", .details = "second"});
  rig.turn();
  EXPECT_EQ(rig.owner.status, 401);
  EXPECT_EQ(rig.owner.body, "one");
  EXPECT_EQ(rig.info.details, "first");
  EXPECT_EQ(rig.errors, "");
}

// A timeout must end a stream whose reply a response filter never lets go.
TEST(Reply, ReplacesOneThatAFilterHolds) {
  for (size_t part : {0, 1}) {
    for (size_t holder : {0, 1, 2}) {
      auto scripts = three();
      scripts[holder].on(hookOf(Dir::kResponse, part)).pause_every = 1;
      Rig rig(scripts);
      rig.requestHead(true);
      rig.engine->reply({.status = 401, .body = "one", .details = "first"});
      rig.turn();
      rig.engine->reply({.status = 408, .body = "late", .details = "timeout"});
      rig.turn();
      SCOPED_TRACE(testing::Message() << "part " << part << " holder " << holder);
      EXPECT_EQ(rig.owner.status, part == 0 ? 408 : 401);
      // Once the head is on the wire only an abort ends it.
      EXPECT_EQ(rig.owner.ends, part == 0 ? 1 : 0);
      rig.engine->abort(codec::Abort::kTimeout);
      rig.turn();
      EXPECT_EQ(rig.owner.ends, 1);
      EXPECT_EQ(rig.owner.resets, part == 0 ? 0 : 1);
      EXPECT_EQ(called(rig.last(), Hook::kReplaced), 1);
      EXPECT_EQ(rig.errors, "") << rig.trace;
    }
  }
}

TEST(Reply, OfAResponseFilterReplacesTheReplyThatPassesIt) {
  for (size_t replier : {0, 1, 2}) {
    auto scripts = three();
    scripts[replier].on(Hook::kResponseHead) = {1, false, Raise::kReply};
    Rig rig(scripts);
    rig.requestHead(true);
    rig.engine->reply({.status = 401, .body = "one", .details = "first"});
    rig.turn();
    EXPECT_EQ(rig.owner.status, Rig::kReplyStatus);
    EXPECT_EQ(rig.owner.body, Rig::kReplyBody);
    EXPECT_EQ(rig.owner.ends, 1);
    EXPECT_EQ(called(rig.filter(0), Hook::kReplaced), 1);
    EXPECT_EQ(rig.errors, "") << rig.trace;
  }
}

TEST(Reply, WhatOnReplacedAndOnEndRaiseChangesNoAnswer) {
  for (size_t raise = 0; raise < kRaises; ++raise) {
    for (Hook hook : {Hook::kReplaced, Hook::kEnd}) {
      auto scripts = three();
      scripts[1].on(hook).raise = static_cast<Raise>(raise);
      Rig rig(scripts);
      rig.requestHead(true);
      rig.engine->reply({.status = 401, .body = "one"});
      rig.turn();
      EXPECT_EQ(rig.owner.ends, 1);
      for (ScriptFilter* filter : rig.filters) EXPECT_EQ(called(*filter, Hook::kEnd), 1);
      bool aborts = hook == Hook::kReplaced && rig.owner.resets == 1;
      if (!aborts && rig.owner.why == EndReason::kComplete) {
        EXPECT_EQ(rig.owner.status, 401);
        EXPECT_EQ(rig.owner.body, "one");
      }
      EXPECT_EQ(called(rig.filter(0), Hook::kReplaced), 1);
    }
  }
}

TEST(Reply, CarriesItsWordsAndFields) {
  for (bool head : {false, true}) {
    Rig rig(three());
    if (head) rig.head.setMethod("HEAD");
    rig.requestHead(true);
    {
      std::string body = "gone away";
      sdk::HeaderToAdd header{"date", "never"};
      rig.engine->reply({.status = 410,
                         .body = body,
                         .details = "d",
                         .headers = {&header, 1},
                         .content_type = "text/x"});
      body.assign(9, '?');
    }
    advance(event::Millis(3));
    rig.turn();
    EXPECT_EQ(rig.owner.body, head ? "" : "gone away");
    EXPECT_EQ(rig.owner.length, "9");
    EXPECT_EQ(rig.owner.content_type, "text/x");
    EXPECT_EQ(rig.engine->response()->headers.get(HeaderId::kDate), "never");
    EXPECT_EQ(rig.info.response_code, 410);
    EXPECT_EQ(rig.info.end, worker().now());
    EXPECT_EQ(rig.info.response_first_sent, worker().now());
    EXPECT_EQ(rig.owner.ends, 1);
  }
}

TEST(Reply, WithoutABodyHasNoTypeAndRunsNoBodyHook) {
  Rig rig(three());
  rig.requestHead(true);
  rig.engine->reply({.status = 404});
  rig.turn();
  EXPECT_EQ(rig.owner.length, "");
  EXPECT_EQ(rig.owner.content_type, "");
  EXPECT_TRUE(rig.owner.complete);
  EXPECT_EQ(called(rig.filter(0), Hook::kResponseBody), 0);
}

TEST(Reply, ToARefusedRequestRunsNoRequestHook) {
  Rig rig(three());
  rig.engine->refuse({.status = 400, .body = "no"}, false);
  rig.requestBody("ignored", true);
  rig.turn();
  EXPECT_EQ(rig.owner.status, 400);
  EXPECT_EQ(rig.last().seen(Dir::kRequest).heads, 0);
  EXPECT_EQ(rig.filter(0).seen(Dir::kResponse).heads, 1);
  EXPECT_EQ(rig.owner.ends, 1);
}

TEST(Memory, StreamThatTakesTooMuchIsRefusedOrReset) {
  for (bool started : {false, true}) {
    Rig rig(three());
    rig.requestHead(true);
    if (started) rig.responseHead(false);
    rig.arena.allocate(memory::Arena::kLimit + 1);
    rig.responseBody("x", false);
    rig.engine->responseDrained();
    rig.turn();
    EXPECT_EQ(rig.owner.status, started ? 200 : 500);
    EXPECT_EQ(rig.owner.resets, started ? 1 : 0);
    EXPECT_EQ(rig.owner.ends, 1);
  }
}

// --- what else a filter is given ---

TEST(Route, IsPickedOnceUntilForgotten) {
  Rig rig(three());
  int own = 0;
  rig.owner.route_configs[1] = &own;
  rig.requestHead(true);
  EXPECT_EQ(rig.filter(0).stream.route(), nullptr);
  EXPECT_EQ(rig.filter(1).stream.route(), nullptr);
  EXPECT_EQ(rig.owner.routes, 1);
  EXPECT_EQ(&rig.filter(1).stream.config<char>(), rig.plan.filter(1).config.get());
  rig.owner.has_route = true;
  rig.filter(0).stream.clearRoute();
  EXPECT_EQ(&rig.filter(1).stream.config<int>(), &own);
  EXPECT_NE(rig.filter(0).stream.route(), nullptr);
  EXPECT_EQ(rig.owner.routes, 2);
}

TEST(Room, IsWhatTheLaneStillTakes) {
  auto scripts = three();
  scripts[2].holds = true;
  Rig rig(scripts, 100);
  rig.requestHead(false);
  rig.requestBody(std::string(30, 'x'), false);
  EXPECT_EQ(rig.filter(0).io_room, 100u);
  rig.requestBody(std::string(30, 'x'), false);
  EXPECT_EQ(rig.filter(0).io_room, 70u);
  rig.responseHead(false);
  rig.responseBody(std::string(40, 'x'), false);
  rig.responseBody(std::string(5, 'x'), false);
  EXPECT_EQ(rig.filter(0).io_room, 60u);
  EXPECT_EQ(rig.last().stream.responseRoom(), 55u);
  rig.last().stream.limitLane(Dir::kResponse, 50);
  EXPECT_EQ(rig.last().stream.responseRoom(), 5u);
  rig.last().stream.limitLane(Dir::kResponse, 500);  // never up
  EXPECT_EQ(rig.last().stream.responseRoom(), 5u);
}

TEST(Resume, IsHarmlessAnywhere) {
  Rig rig(three());
  auto resumeEverybody = [&] {
    for (ScriptFilter* filter : rig.filters) {
      for (Dir dir : {Dir::kRequest, Dir::kResponse}) {
        filter->stream.resume(dir);
        filter->stream.resume(dir);
      }
    }
    rig.turn();
  };
  resumeEverybody();
  rig.requestHead(false);
  resumeEverybody();
  rig.requestBody("ab", true);
  resumeEverybody();
  rig.responseHead(false);
  resumeEverybody();
  rig.responseBody("12", true);
  resumeEverybody();
  resumeEverybody();
  EXPECT_EQ(rig.last().seen(Dir::kRequest).body, "ab");
  EXPECT_EQ(rig.owner.body, "12");
  EXPECT_EQ(rig.owner.ends, 1);
  EXPECT_EQ(rig.errors, "");
}

// --- filters with few hooks, or none ---

struct Bare {
  Bare(const int&, sdk::HttpStream&) {}
};
struct Answers {
  Answers(const int&, sdk::HttpStream& s) : stream(s) {}
  Step requestHead(http::RequestHead&, bool) noexcept {
    stream.reply({.status = 204});
    return Step::kPause;
  }
  sdk::HttpStream& stream;
};

TEST(Plan, MissingHooksAreSkipped) {
  auto config = std::make_shared<int>(1);
  HttpPlan plan({{sdk::httpFilterType<Bare, int>(), config},
                 {sdk::httpFilterType<Bare, int>(), config},
                 {sdk::httpFilterType<Answers, int>(), config, true}});
  EXPECT_FALSE(plan.hasInterimHooks());
  Rig rig(three());  // for its owner
  HttpEngine engine(rig.owner, plan, rig.arena, rig.head, rig.info, 100, 0);
  rig.filters.clear();
  engine.requestHead(false);
  rig.turn();
  EXPECT_EQ(rig.owner.status, 204);
  EXPECT_EQ(rig.owner.ends, 1);
  EXPECT_TRUE(engine.ended());
}

}  // namespace
}  // namespace gatehouse::chain
