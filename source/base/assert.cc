#include "source/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace gatehouse::base {

void assertionFailed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "gatehouse: assertion failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace gatehouse::base
