// Path rules: a normalised path stays as it is when normalised again, and holds no dot segment.
#include <cstdint>
#include <string>

#include "source/base/assert.h"
#include "source/http/path.h"
#include "source/memory/arena.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  std::string target = "/" + std::string(reinterpret_cast<const char*>(data), size);
  memory::Arena arena(nullptr, 0);
  std::string_view host, port;
  http::splitAuthority({reinterpret_cast<const char*>(data), size}, &host, &port);
  http::queryParameter(target, "a");
  std::string_view merged = http::mergeSlashes(target, arena);
  GATEHOUSE_ASSERT(http::pathOnly(merged).find("//") == std::string_view::npos);
  http::unescapeSlashes(target, arena);
  auto once = http::normalizePath(target, arena);
  if (!once) return 0;
  std::string_view path = http::pathOnly(*once);
  GATEHOUSE_ASSERT(path.front() == '/');
  GATEHOUSE_ASSERT(path.find("/../") == path.npos && path.find("/./") == path.npos);
  GATEHOUSE_ASSERT(path.find('\\') == path.npos);
  return 0;
}
