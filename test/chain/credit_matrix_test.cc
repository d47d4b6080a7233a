// Credit in both directions: what is queued and what may still come never exceed the lane by more
// than one read, and once the pauses are over everything arrives.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "test/chain/rig.h"

namespace gatehouse::chain {
namespace {

struct Case {
  Dir dir;
  uint32_t limit;  // of the lane
  uint32_t read;   // bytes of one read
  BodyMode::Kind modes[2];
  Take take;
  uint32_t pauses[2];  // bit: head, body
  size_t resume_each;  // every how many steps the pauses end; 0: at the end
  size_t leave;        // bytes that leave at the other end in a step
  bool slow_start;     // nothing leaves in the first steps
};

constexpr size_t kTotal = 60;
constexpr size_t kSteps = 1000;

std::string describe(const Case& c) {
  std::string text = c.dir == Dir::kRequest ? "request" : "response";
  for (auto [name, value] : {std::pair<const char*, size_t>{"limit", c.limit},
                             {"read", c.read},
                             {"mode", c.modes[0]},
                             {"mode", c.modes[1]},
                             {"take", static_cast<size_t>(c.take)},
                             {"pauses", c.pauses[0]},
                             {"pauses", c.pauses[1]},
                             {"resume", c.resume_each},
                             {"leave", c.leave},
                             {"slow", c.slow_start ? 1 : 0}})
    text += std::string(", ") + name + " " + std::to_string(value);
  return text;
}

std::vector<Script> scriptsOf(const Case& c) {
  std::vector<Script> scripts(3);
  for (size_t i = 0; i < 2; ++i) {
    scripts[i].mode(c.dir) = {c.modes[i], kTotal};
    scripts[i].take = c.take;
    for (size_t part = 0; part < 2; ++part) {
      if (c.pauses[i] >> part & 1) scripts[i].on(hookOf(c.dir, part)).pause_every = 2;
    }
  }
  scripts[2].mode(Dir::kRequest).kind = BodyMode::kStream;
  scripts[2].holds = c.dir == Dir::kRequest;
  return scripts;
}

// One direction of a stream: a source that obeys its credit and an end where bytes leave.
class Lane {
 public:
  Lane(Rig& rig, const Case& c) : rig_(rig), c_(c), credit_(c.limit) {
    bool collects = c.modes[0] == BodyMode::kCollect || c.modes[1] == BodyMode::kCollect;
    // A filter that collects is given what it asked for, and one byte to see that it is too much.
    bound_ = std::max<size_t>(c.limit, collects ? kTotal + 1 : 0) + c.read;
  }

  void start() {
    rig_.requestHead(c_.dir == Dir::kResponse);
    rig_.turn();
    if (c_.dir == Dir::kRequest) return;
    credit_ = rig_.last().stream.responseRoom();
    rig_.responseHead(false);
    rig_.turn();
    takeCredit();
  }

  // False: everything went in and out.
  bool step(size_t i) {
    size_t n = std::min<size_t>({credit_, c_.read, kTotal - sent_});
    if (n != 0) send(n);
    bool resume = c_.resume_each == 0 ? i > 100 : i % c_.resume_each == 0;
    if (resume) rig_.resumeOnce(false, true);
    takeCredit();
    if (!c_.slow_start || i > 50) leave();
    takeCredit();
    return sent_ < kTotal || left_ < kTotal;
  }

  size_t sent() const { return sent_; }
  size_t left() const { return left_; }

 private:
  void send(size_t n) {
    std::string bytes;
    for (size_t k = 0; k < n; ++k) bytes += static_cast<char>('a' + sent_++ % 26);
    credit_ -= static_cast<uint32_t>(n);
    bool end = sent_ == kTotal;
    c_.dir == Dir::kRequest ? rig_.requestBody(bytes, end) : rig_.responseBody(bytes, end);
    rig_.turn();
    takeCredit();
  }

  void takeCredit() {
    auto& granted = c_.dir == Dir::kRequest ? rig_.owner.credit : rig_.last().room;
    if (granted) credit_ = *granted;
    granted.reset();
    size_t coming = sent_ == kTotal ? 0 : credit_;
    if (sent_ - left_ + coming > bound_ && rig_.errors.empty())
      rig_.error(std::to_string(sent_ - left_) + " queued and " + std::to_string(coming) +
                 " granted");
  }

  void leave() {
    if (c_.dir == Dir::kRequest) {
      size_t n = std::min(c_.leave, rig_.last().held);
      left_ += n;
      if (n != 0 && !rig_.last().end) rig_.last().letGo(n);
    } else {
      size_t n = std::min(c_.leave, rig_.owner.queued);
      left_ += n;
      rig_.owner.queued -= n;
      if (n != 0) rig_.engine->responseDrained();
    }
    rig_.turn();
  }

  Rig& rig_;
  const Case& c_;
  uint32_t credit_;
  size_t bound_;
  size_t sent_ = 0;
  size_t left_ = 0;
};

std::string run(const Case& c) {
  Rig rig(scriptsOf(c), c.limit);
  Lane lane(rig, c);
  lane.start();
  size_t i = 0;
  while (i < kSteps && lane.step(i)) ++i;
  if (i == kSteps) {
    rig.error("stalled with " + std::to_string(lane.sent()) + " in and " +
              std::to_string(lane.left()) + " out");
  }
  const std::string& out =
      c.dir == Dir::kRequest ? rig.last().seen(Dir::kRequest).body : rig.owner.body;
  for (size_t k = 0; k < out.size(); ++k) {
    if (out[k] != static_cast<char>('a' + k % 26)) {
      rig.error("bytes in disorder");
      break;
    }
  }
  return rig.errors;
}

class CreditMatrix : public testing::TestWithParam<Dir> {
 protected:
  void check(const Case& c) {
    ++cases_;
    std::string wrong = run(c);
    if (wrong.empty() || failures_.size() > 9 || !failures_.insert(wrong).second) return;
    ADD_FAILURE() << describe(c) << "\n  " << wrong;
  }
  void forEachPause(Case c) {
    for (uint32_t pauses = 0; pauses < 16; ++pauses) {
      c.pauses[0] = pauses & 3;
      c.pauses[1] = pauses >> 2;
      for (size_t resume_each : {0, 1, 5}) {
        c.resume_each = resume_each;
        for (size_t leave : {1, 7, 100}) {
          c.leave = leave;
          c.slow_start = cases_ % 2 == 1;
          c.take = static_cast<Take>(cases_ % 3);
          check(c);
        }
      }
    }
  }
  size_t cases_ = 0;
  std::set<std::string> failures_;
};

TEST_P(CreditMatrix, TheLaneHoldsAndNothingStalls) {
  Case c{};
  c.dir = GetParam();
  for (uint32_t limit : {1, 8, 20, 59, 60, 61, 1000}) {
    for (uint32_t read : {1, 5, 16}) {
      for (auto a : {BodyMode::kSkip, BodyMode::kStream, BodyMode::kCollect}) {
        for (auto b : {BodyMode::kSkip, BodyMode::kStream, BodyMode::kCollect}) {
          c.limit = limit;
          c.read = read;
          c.modes[0] = a;
          c.modes[1] = b;
          forEachPause(c);
        }
      }
    }
  }
  EXPECT_GT(cases_, 25'000u);
}

// A filter that takes bytes off the lane and sends nothing on makes room.
TEST_P(CreditMatrix, BytesThatAFilterSwallowsMakeRoom) {
  for (uint32_t pauses : {0, 1, 2, 3}) {
    Case c{GetParam(), 8,   5,    {BodyMode::kStream, BodyMode::kSkip}, Take::kDrop, {pauses, 0},
           3,          100, false};
    Rig rig(scriptsOf(c), c.limit);
    Lane lane(rig, c);
    lane.start();
    for (size_t i = 0; i < kSteps && lane.sent() < kTotal; ++i) lane.step(i);
    EXPECT_EQ(lane.sent(), kTotal) << "pauses " << pauses;
    rig.resumeAll();
  }
}

INSTANTIATE_TEST_SUITE_P(Directions, CreditMatrix, testing::Values(Dir::kRequest, Dir::kResponse));

}  // namespace
}  // namespace gatehouse::chain
