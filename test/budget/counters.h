#pragma once

#include <cstdint>

namespace gatehouse::budget {

// What one thread did since it started: heap allocations and system calls. Linking this library
// into a test puts counting definitions of malloc and of the listed system calls in front of
// libc's; they forward to the kernel or to libc. Under a sanitizer allocations are not counted
// (countsAllocations() is false), since the sanitizer owns malloc.
struct Counts {
  uint64_t allocations = 0;  // malloc, calloc, realloc, aligned forms; operator new comes here too
  uint64_t frees = 0;
  uint64_t receives = 0;  // recv, recvmsg, recvfrom, read, readv
  uint64_t sends = 0;     // send, sendmsg, sendto, write, writev
  uint64_t epoll_waits = 0;
  uint64_t epoll_ctls = 0;
  uint64_t clocks = 0;  // clock_gettime, gettimeofday
  uint64_t accepts = 0;
  uint64_t sockets = 0;  // socket, connect, shutdown, getsockname, getsockopt, setsockopt
  uint64_t closes = 0;

  Counts operator-(const Counts& earlier) const;
  Counts& operator+=(const Counts& more);
};

// Of the calling thread. To measure a worker, post() a read of it before and after the load.
Counts onThisThread();
bool countsAllocations();

}  // namespace gatehouse::budget
