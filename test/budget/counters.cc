#include "test/budget/counters.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(GATEHOUSE_THREAD_SANITIZER)
#define GATEHOUSE_COUNT_MALLOC 0
#else
#define GATEHOUSE_COUNT_MALLOC 1
#endif

namespace gatehouse::budget {

namespace {

// Initial-exec: reaching it must not allocate.
__attribute__((tls_model("initial-exec"))) thread_local constinit Counts t_counts;

long forward(long number, long a, long b, long c, long d = 0, long e = 0, long f = 0) {
  return ::syscall(number, a, b, c, d, e, f);
}

template <class T>
long word(T value) {
  return (long)value;  // pointers and integers alike
}

}  // namespace

namespace {

constexpr uint64_t Counts::*kFields[] = {
    &Counts::allocations, &Counts::frees,      &Counts::receives, &Counts::sends,
    &Counts::epoll_waits, &Counts::epoll_ctls, &Counts::clocks,   &Counts::accepts,
    &Counts::sockets,     &Counts::closes};
static_assert(sizeof(kFields) / sizeof(kFields[0]) * sizeof(uint64_t) == sizeof(Counts));

}  // namespace

Counts Counts::operator-(const Counts& earlier) const {
  Counts d = *this;
  for (auto field : kFields) d.*field -= earlier.*field;
  return d;
}

Counts& Counts::operator+=(const Counts& more) {
  for (auto field : kFields) this->*field += more.*field;
  return *this;
}

Counts onThisThread() { return t_counts; }
bool countsAllocations() { return GATEHOUSE_COUNT_MALLOC != 0; }

}  // namespace gatehouse::budget

using gatehouse::budget::forward;
using gatehouse::budget::t_counts;
using gatehouse::budget::word;

extern "C" {

#if GATEHOUSE_COUNT_MALLOC
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) noexcept {
  ++t_counts.allocations;
  return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) noexcept {
  ++t_counts.allocations;
  return __libc_calloc(n, size);
}
void* realloc(void* at, size_t size) noexcept {
  ++t_counts.allocations;
  return __libc_realloc(at, size);
}
void* aligned_alloc(size_t align, size_t size) noexcept {
  ++t_counts.allocations;
  return __libc_memalign(align, size);
}
void* memalign(size_t align, size_t size) noexcept {
  ++t_counts.allocations;
  return __libc_memalign(align, size);
}
int posix_memalign(void** to, size_t align, size_t size) noexcept {
  ++t_counts.allocations;
  *to = __libc_memalign(align, size);
  return *to == nullptr ? ENOMEM : 0;
}
void free(void* at) noexcept {
  if (at != nullptr) ++t_counts.frees;
  __libc_free(at);
}
#endif

ssize_t recv(int fd, void* to, size_t size, int flags) {
  ++t_counts.receives;
  return forward(SYS_recvfrom, fd, word(to), word(size), flags);
}
ssize_t recvmsg(int fd, msghdr* message, int flags) {
  ++t_counts.receives;
  return forward(SYS_recvmsg, fd, word(message), flags);
}
ssize_t read(int fd, void* to, size_t size) {
  ++t_counts.receives;
  return forward(SYS_read, fd, word(to), word(size));
}
ssize_t readv(int fd, const iovec* to, int count) {
  ++t_counts.receives;
  return forward(SYS_readv, fd, word(to), count);
}
ssize_t send(int fd, const void* from, size_t size, int flags) {
  ++t_counts.sends;
  return forward(SYS_sendto, fd, word(from), word(size), flags);
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  ++t_counts.sends;
  return forward(SYS_sendmsg, fd, word(message), flags);
}
ssize_t write(int fd, const void* from, size_t size) {
  ++t_counts.sends;
  return forward(SYS_write, fd, word(from), word(size));
}
ssize_t writev(int fd, const iovec* from, int count) {
  ++t_counts.sends;
  return forward(SYS_writev, fd, word(from), count);
}
int epoll_wait(int fd, epoll_event* events, int max, int timeout) {
  ++t_counts.epoll_waits;
  return static_cast<int>(forward(SYS_epoll_pwait, fd, word(events), max, timeout, 0, 8));
}
int epoll_ctl(int set, int what, int fd, epoll_event* event) noexcept {
  ++t_counts.epoll_ctls;
  return static_cast<int>(forward(SYS_epoll_ctl, set, what, fd, word(event)));
}
int accept4(int fd, sockaddr* from, socklen_t* size, int flags) {
  ++t_counts.accepts;
  return static_cast<int>(forward(SYS_accept4, fd, word(from), word(size), flags));
}
int socket(int family, int type, int protocol) noexcept {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_socket, family, type, protocol));
}
int connect(int fd, const sockaddr* to, socklen_t size) {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_connect, fd, word(to), size));
}
int shutdown(int fd, int how) noexcept {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_shutdown, fd, how, 0));
}
int getsockname(int fd, sockaddr* to, socklen_t* size) noexcept {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_getsockname, fd, word(to), word(size)));
}
int getsockopt(int fd, int level, int name, void* to, socklen_t* size) noexcept {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_getsockopt, fd, level, name, word(to), word(size)));
}
int setsockopt(int fd, int level, int name, const void* from, socklen_t size) noexcept {
  ++t_counts.sockets;
  return static_cast<int>(forward(SYS_setsockopt, fd, level, name, word(from), size));
}
int close(int fd) {
  ++t_counts.closes;
  return static_cast<int>(forward(SYS_close, fd, 0, 0));
}
int clock_gettime(clockid_t clock, timespec* to) noexcept {
  ++t_counts.clocks;
  // The real one reads the clock without entering the kernel.
  using Function = int (*)(clockid_t, timespec*);
  static Function real = nullptr;
  Function now = __atomic_load_n(&real, __ATOMIC_RELAXED);
  if (now == nullptr) {
    now = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "clock_gettime"));
    __atomic_store_n(&real, now, __ATOMIC_RELAXED);
  }
  if (now == nullptr) return static_cast<int>(forward(SYS_clock_gettime, clock, word(to), 0));
  return now(clock, to);
}

}  // extern "C"
