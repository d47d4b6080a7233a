#pragma once

namespace gatehouse::server {

// From here on a fatal signal (SEGV, ABRT, BUS, FPE, ILL) writes version, thread and a backtrace to
// stderr before it ends the process as it would have. Call once, before other threads start; a
// sanitizer's own handlers are left alone.
void installFatalHandler();

}  // namespace gatehouse::server
