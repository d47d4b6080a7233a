#include "source/http/path.h"

#include <cstring>

#include "source/http/chars.h"

namespace gatehouse::http {

namespace {

int hexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool unreserved(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool mayNeedNormalizing(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' || path[i] == '\\') return true;
    if (path[i] == '.' && i > 0 && path[i - 1] == '/') return true;
  }
  return false;
}

}  // namespace

std::optional<std::string_view> normalizePath(std::string_view target, memory::Arena& arena) {
  std::string_view path = pathOnly(target);
  if (path.empty() || path.front() != '/') return std::nullopt;
  if (!mayNeedNormalizing(path)) return target;
  // Every step shortens or keeps: the target's size is enough.
  char* out = arena.allocateArray<char>(target.size() + 1);
  size_t n = 0;
  for (size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '\\') {
      out[n++] = '/';
    } else if (c == '%') {
      int high = i + 2 < path.size() ? hexValue(path[i + 1]) : -1;
      int low = i + 2 < path.size() ? hexValue(path[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      int value = high * 16 + low;
      if (value == 0) return std::nullopt;
      if (unreserved(value)) {
        out[n++] = static_cast<char>(value);
      } else {
        // The case of the digits stays as it came, as in Envoy.
        out[n++] = '%';
        out[n++] = path[i + 1];
        out[n++] = path[i + 2];
      }
      i += 2;
    } else {
      out[n++] = c;
    }
  }
  // Dot segments, in place.
  size_t to = 0;
  size_t at = 0;
  while (at < n) {
    size_t end = at + 1;
    while (end < n && out[end] != '/') ++end;
    std::string_view segment(out + at + 1, end - at - 1);
    bool last = end == n;
    if (segment == ".") {
      if (last) out[to++] = '/';
    } else if (segment == "..") {
      while (to > 0 && out[to - 1] != '/') --to;
      if (to > 0) --to;
      if (last) out[to++] = '/';
    } else {
      std::memmove(out + to, out + at, end - at);
      to += end - at;
    }
    at = end;
  }
  if (to == 0) out[to++] = '/';
  std::string_view query = queryWithMark(target);
  query.copy(out + to, query.size());
  return std::string_view(out, to + query.size());
}

std::string_view mergeSlashes(std::string_view target, memory::Arena& arena) {
  std::string_view path = pathOnly(target);
  if (path.find("//") == path.npos) return target;
  char* out = arena.allocateArray<char>(target.size());
  size_t n = 0;
  for (char c : path) {
    if (c == '/' && n > 0 && out[n - 1] == '/') continue;
    out[n++] = c;
  }
  std::string_view query = queryWithMark(target);
  query.copy(out + n, query.size());
  return {out, n + query.size()};
}

bool hasEscapedSlashes(std::string_view target) {
  std::string_view path = pathOnly(target);
  for (size_t i = path.find('%'); i != path.npos; i = path.find('%', i + 1)) {
    std::string_view code = path.substr(i + 1, 2);
    if (equalsIgnoreCase(code, "2f") || equalsIgnoreCase(code, "5c")) return true;
  }
  return false;
}

std::string_view unescapeSlashes(std::string_view target, memory::Arena& arena) {
  std::string_view path = pathOnly(target);
  char* out = arena.allocateArray<char>(target.size());
  size_t n = 0;
  for (size_t i = 0; i < path.size(); ++i) {
    std::string_view code = path[i] == '%' ? path.substr(i + 1, 2) : std::string_view();
    bool slash = equalsIgnoreCase(code, "2f");
    bool backslash = equalsIgnoreCase(code, "5c");
    out[n++] = slash ? '/' : backslash ? '\\' : path[i];
    if (slash || backslash) i += 2;
  }
  std::string_view query = queryWithMark(target);
  query.copy(out + n, query.size());
  return {out, n + query.size()};
}

std::optional<std::string_view> queryParameter(std::string_view target, std::string_view name) {
  std::string_view query = queryWithMark(target);
  if (query.empty()) return std::nullopt;
  query.remove_prefix(1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    size_t amp = query.find('&');
    std::string_view pair = query.substr(0, amp);
    size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      return equals == pair.npos ? std::string_view() : pair.substr(equals + 1);
    }
    if (amp == query.npos) break;
    query.remove_prefix(amp + 1);
  }
  return std::nullopt;
}

bool splitAuthority(std::string_view authority, std::string_view* host, std::string_view* port) {
  *host = authority;
  *port = {};
  if (authority.empty() || !chars::all(authority, chars::kHost)) return false;
  size_t after = 0;
  if (authority.front() == '[') {
    after = authority.find(']');
    if (after == authority.npos) return false;
    for (char c : authority.substr(1, after - 1)) {
      if (hexValue(c) < 0 && c != ':' && c != '.') return false;
    }
    ++after;
  } else {
    after = authority.find(':');
    if (after == authority.npos) after = authority.size();
    if (authority.substr(0, after).find_first_of("[]") != authority.npos) return false;
  }
  if (after == 0) return false;
  *host = authority.substr(0, after);
  if (after == authority.size()) return true;
  if (authority[after] != ':') return false;
  *port = authority.substr(after + 1);
  if (port->size() > 5) return false;
  unsigned value = 0;
  for (char c : *port) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65535;
}

}  // namespace gatehouse::http
