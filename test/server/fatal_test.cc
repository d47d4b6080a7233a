#include "source/server/fatal.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace gatehouse::server {
namespace {

TEST(FatalDeathTest, TellsWhereItDied) {
#if defined(__SANITIZE_ADDRESS__) || defined(GATEHOUSE_THREAD_SANITIZER)
  GTEST_SKIP() << "sanitizers have their own handlers";
#endif
  auto die = [](int signal) {
    installFatalHandler();
    ::raise(signal);
  };
  EXPECT_EXIT(die(SIGSEGV), testing::KilledBySignal(SIGSEGV),
              "gatehouse .*: fatal signal SEGV in thread .*fatal_test");
  EXPECT_EXIT(die(SIGABRT), testing::KilledBySignal(SIGABRT), "fatal signal ABRT");
}

}  // namespace
}  // namespace gatehouse::server
