#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace gatehouse::http {

// Character classes of RFC 9110 5.6.2 and 5.5, one byte of bits a character.
namespace chars {
constexpr uint8_t kToken = 1;   // tchar
constexpr uint8_t kValue = 2;   // field-vchar, SP, HTAB, obs-text
constexpr uint8_t kTarget = 4;  // visible ASCII
constexpr uint8_t kHost = 8;    // reg-name, IP literal, port

constexpr std::array<uint8_t, 256> makeTable() {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    uint8_t bits = 0;
    std::string_view token = "!#$%&'*+-.^_`|~";
    if (alnum || (c < 128 && c > 32 && token.find(static_cast<char>(c)) != token.npos))
      bits |= kToken;
    if ((c >= 0x20 && c != 0x7f) || c == '\t') bits |= kValue;
    if (c > 0x20 && c < 0x7f) bits |= kTarget;
    std::string_view host = "-._~!$&'()*+,;=:[]%";
    if (alnum || (c < 128 && c > 32 && host.find(static_cast<char>(c)) != host.npos)) bits |= kHost;
    table[static_cast<size_t>(c)] = bits;
  }
  return table;
}
inline constexpr std::array<uint8_t, 256> kTable = makeTable();

inline bool is(char c, uint8_t kind) { return (kTable[static_cast<unsigned char>(c)] & kind) != 0; }
inline bool all(std::string_view text, uint8_t kind) {
  uint8_t bits = kind;
  for (char c : text) bits &= kTable[static_cast<unsigned char>(c)];
  return bits != 0;
}
}  // namespace chars

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

inline bool equalsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls f(token) for each trimmed, non-empty element of a comma-separated list; stops when f
// returns false.
template <class F>
void forEachListItem(std::string_view list, F&& f) {
  while (!list.empty()) {
    size_t comma = list.find(',');
    std::string_view item = trim(list.substr(0, comma));
    if (!item.empty() && !f(item)) return;
    if (comma == list.npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace gatehouse::http
