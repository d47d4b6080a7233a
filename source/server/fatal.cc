#include "source/server/fatal.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "source/server/options.h"

namespace gatehouse::server {

namespace {

// Only async-signal-safe calls from here.
[[maybe_unused]] void put(const char* text) {
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

[[maybe_unused]] void onFatal(int signal) {
  char thread[16] = "?";
  ::pthread_getname_np(::pthread_self(), thread, sizeof(thread));
  put("gatehouse ");
  put(kVersion);
  put(": fatal signal ");
  put(sigabbrev_np(signal));
  put(" in thread ");
  put(thread);
  put("\n");
  void* frames[64];
  int count = ::backtrace(frames, 64);
  ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
  // SA_RESETHAND has put the default action back: the signal now ends the process.
  ::raise(signal);
}

}  // namespace

void installFatalHandler() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(GATEHOUSE_THREAD_SANITIZER)
  // The first call of backtrace() loads a library and allocates; that must not be in the handler.
  void* frame[1];
  ::backtrace(frame, 1);
  // Main's own stack may be what overflowed.
  static char stack[64 * 1024];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof(stack);
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_handler = onFatal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK | SA_NODEFER);
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
    ::sigaction(signal, &action, nullptr);
#endif
}

}  // namespace gatehouse::server
