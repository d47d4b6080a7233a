#pragma once

// GATEHOUSE_ASSERT: a broken invariant of our own, never a reaction to what a peer sent (peer input
// gets a status or a reset). Active in every build unless NDEBUG is set; with NDEBUG the expression
// is not evaluated.

namespace gatehouse::base {

// Prints the failed condition with its place and aborts. Callable from any thread.
[[noreturn]] void assertionFailed(const char* condition, const char* file, int line) noexcept;

}  // namespace gatehouse::base

#ifdef NDEBUG
#define GATEHOUSE_ASSERT(condition) static_cast<void>(sizeof(!(condition)))
#else
#define GATEHOUSE_ASSERT(condition)   \
  (__builtin_expect(!!(condition), 1) \
       ? static_cast<void>(0)         \
       : ::gatehouse::base::assertionFailed(#condition, __FILE__, __LINE__))
#endif
