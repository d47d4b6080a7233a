#include "source/http/grpc.h"

#include "source/http/chars.h"

namespace gatehouse::http {

bool isGrpc(const HeaderMap& headers) {
  constexpr std::string_view kType = "application/grpc";
  std::string_view type = headers.get(HeaderId::kContentType);
  return type.starts_with(kType) && (type.size() == kType.size() || type[kType.size()] == '+');
}

std::string_view grpcStatusText(uint16_t http_status) {
  switch (http_status) {
    case 400:
      return "13";  // INTERNAL
    case 401:
      return "16";  // UNAUTHENTICATED
    case 403:
      return "7";  // PERMISSION_DENIED
    case 404:
      return "12";  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return "14";  // UNAVAILABLE
    default:
      return "2";  // UNKNOWN
  }
}

std::string_view grpcMessage(std::string_view text, memory::Arena& arena) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  char* to = arena.allocateArray<char>(text.size() * 3);
  size_t n = 0;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= ' ' && byte <= '~' && byte != '%') {
      to[n++] = c;
    } else {
      to[n++] = '%';
      to[n++] = kHex[byte >> 4];
      to[n++] = kHex[byte & 15];
    }
  }
  return {to, n};
}

}  // namespace gatehouse::http
