#include "source/event/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <vector>

#include "source/event/worker.h"

namespace gatehouse::event {
namespace {

TEST(Signals, ArriveAsEvents) {
  Worker worker("main", 0);
  worker.bind();
  std::vector<int> seen;
  Signals signals({SIGUSR1, SIGTERM}, [&](int signal) { seen.push_back(signal); });
  ::kill(::getpid(), SIGUSR1);
  ::kill(::getpid(), SIGTERM);
  worker.runOnce();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0] + seen[1], SIGUSR1 + SIGTERM);
}

}  // namespace
}  // namespace gatehouse::event
