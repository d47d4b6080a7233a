#include "source/http/header_ids.h"

#include <array>
#include <cstddef>

namespace gatehouse::http {

namespace {

constexpr std::string_view kNames[] = {"",
#define GATEHOUSE_HEADER_NAME(id, name) name,
                                       GATEHOUSE_HEADERS(GATEHOUSE_HEADER_NAME)
#undef GATEHOUSE_HEADER_NAME
};
constexpr size_t kCount = static_cast<size_t>(HeaderId::kCount);

constexpr size_t kTableSize = 512;

constexpr size_t hashName(std::string_view name) {
  // Length, both ends and the middle tell the table's names apart almost always; probing settles
  // the rest.
  auto at = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(name[i])); };
  return (name.size() * 131 + at(0) * 31 + at(name.size() - 1) * 7 + at(name.size() / 2) * 3) %
         kTableSize;
}

constexpr std::array<uint8_t, kTableSize> makeTable() {
  std::array<uint8_t, kTableSize> table{};
  for (size_t id = 1; id < kCount; ++id) {
    size_t slot = hashName(kNames[id]);
    while (table[slot] != 0) slot = (slot + 1) % kTableSize;
    table[slot] = static_cast<uint8_t>(id);
  }
  return table;
}

constexpr std::array<uint8_t, kTableSize> kTable = makeTable();

}  // namespace

HeaderId headerId(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  for (size_t slot = hashName(name); kTable[slot] != 0; slot = (slot + 1) % kTableSize) {
    if (kNames[kTable[slot]] == name) return static_cast<HeaderId>(kTable[slot]);
  }
  return HeaderId::kOther;
}

std::string_view headerName(HeaderId id) {
  auto index = static_cast<size_t>(id);
  return index < kCount ? kNames[index] : std::string_view();
}

}  // namespace gatehouse::http
