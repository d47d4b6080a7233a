#include <signal.h>

#include <cstdio>

#include "source/event/signals.h"
#include "source/log/log.h"
#include "source/server/fatal.h"
#include "source/server/server.h"

int main(int argc, char** argv) {
  using namespace gatehouse;
  server::Options options;
  std::string error;
  if (!server::parseOptions(argc, argv, &options, &error)) {
    std::fprintf(stderr, "gatehouse: %s\nTry 'gatehouse --help'.\n", error.c_str());
    return 1;
  }
  if (options.show_help) {
    std::fputs(server::helpText().c_str(), stdout);
    return 0;
  }
  if (options.show_version) {
    std::printf("gatehouse  version: %s\n", server::kVersion);
    return 0;
  }
  if (!log::setUp(options.log_format, options.log_path, &error)) {
    std::fprintf(stderr, "gatehouse: --log-path: %s\n", error.c_str());
    return 1;
  }
  log::setLevel(options.log_level);
  for (const auto& [component, level] : options.component_levels) log::setLevel(component, level);
  server::installFatalHandler();
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);

  // Signals are blocked before any thread starts, so that only main ever sees them.
  sigset_t handled;
  sigemptyset(&handled);
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&handled, signal);
  ::pthread_sigmask(SIG_BLOCK, &handled, nullptr);

  server::Server server(options);
  if (!server.initialize()) {
    std::fputs(server.errors().c_str(), stderr);
    return 1;
  }
  if (options.mode == server::Mode::kValidate) {
    std::printf("configuration '%s' OK\n", options.config_path.c_str());
    return 0;
  }
  if (options.mode == server::Mode::kInitOnly) return 0;
  event::Signals signals({SIGTERM, SIGINT, SIGUSR1}, [&server](int signal) {
    if (signal == SIGUSR1) {
      server.reopenLogs();
    } else {
      server.shutdown();
    }
  });
  return server.run();
}
