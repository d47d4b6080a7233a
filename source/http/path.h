#pragma once

#include <optional>
#include <string_view>

#include "source/memory/arena.h"

namespace gatehouse::http {

// Path without the query.
inline std::string_view pathOnly(std::string_view target) {
  return target.substr(0, target.find('?'));
}
// Query with its '?', or empty.
inline std::string_view queryWithMark(std::string_view target) {
  size_t at = target.find('?');
  return at == target.npos ? std::string_view() : target.substr(at);
}

// Normalises the path part of an origin-form target as RFC 3986 6.2.2 and Envoy's normalize_path
// say: percent-encoded unreserved characters are decoded, dot segments removed ("/a/./b/../c" is
// "/a/c"), '\' counts as '/'. The query is kept. Nullopt: cannot be normalised (a broken escape).
// The result is the input itself when nothing changes.
std::optional<std::string_view> normalizePath(std::string_view target, memory::Arena& arena);

// "//" becomes "/" in the path part.
std::string_view mergeSlashes(std::string_view target, memory::Arena& arena);

// True if the path part has %2F, %2f, %5C or %5c.
bool hasEscapedSlashes(std::string_view target);
// Decodes them to '/' and '\'.
std::string_view unescapeSlashes(std::string_view target, memory::Arena& arena);

// The value of the first query parameter of that name, undecoded; nullopt if absent. "?a" has the
// value "".
std::optional<std::string_view> queryParameter(std::string_view target, std::string_view name);

// Splits "host:port" ("[::1]:80"); the port part is empty without one. False: not a valid authority
// (userinfo, bad characters, bad port).
bool splitAuthority(std::string_view authority, std::string_view* host, std::string_view* port);

}  // namespace gatehouse::http
