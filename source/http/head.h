#pragma once

#include <cstdint>
#include <string_view>

#include "source/http/header_map.h"

namespace gatehouse::http {

enum class Version : uint8_t { kHttp10, kHttp11, kHttp2 };

enum class Method : uint8_t {
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kConnect,
  kOptions,
  kTrace,
  kPatch,
  kOther
};
Method methodOf(std::string_view token);

// A request head. What HTTP/2 carries as pseudo-fields are members here; `host` is never in
// `headers` (codecs move it to `authority` and back). Views are arena memory or static.
struct RequestHead {
  explicit RequestHead(memory::Arena& arena) : headers(arena) {}

  HeaderMap headers;
  std::string_view method;
  std::string_view path;       // origin form, "*", or empty for CONNECT
  std::string_view authority;  // Host / :authority, may be empty
  std::string_view scheme;     // "http" or "https"; empty: not known from the message
  Version version = Version::kHttp11;
  Method method_id = Method::kGet;
  bool keep_alive = true;  // h1: what the peer asked for
  bool absolute_form = false;

  void setMethod(std::string_view token) {
    method = token;
    method_id = methodOf(token);
  }
};

struct ResponseHead {
  explicit ResponseHead(memory::Arena& arena) : headers(arena) {}

  HeaderMap headers;
  uint16_t status = 0;
  Version version = Version::kHttp11;
  bool keep_alive = true;
};

}  // namespace gatehouse::http
