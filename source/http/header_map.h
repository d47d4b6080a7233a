#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "source/http/header_ids.h"
#include "source/memory/arena.h"

namespace gatehouse::http {

// One field. Layout is the module ABI's, so that a whole map is handed over as one pointer. Names
// are lower case.
struct HeaderField {
  const char* name;
  const char* value;
  uint32_t value_len;
  uint16_t name_len;
  HeaderId id;    // kOther when the name is not in the table
  uint8_t flags;  // kRemoved, kKeepCase
  static constexpr uint8_t kRemoved = 1;

  std::string_view nameView() const { return {name, name_len}; }
  std::string_view valueView() const { return {value, value_len}; }
};
static_assert(sizeof(HeaderField) == 24);

// The fields of a head or trailer section in wire order. All bytes live in the arena of the stream;
// editing a field ends views of that field only. Ids are kept in a byte array beside the fields, so
// a lookup by id is one scan of a few bytes. Names given to add/set must be lower case and stay
// alive as long as the arena (literals, or copied by *Copy).
class HeaderMap {
 public:
  explicit HeaderMap(memory::Arena& arena) : arena_(&arena) {}
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;

  memory::Arena& arena() { return *arena_; }
  // Live fields; removed ones do not count.
  size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  // Bytes of live names and values.
  size_t byteSize() const;

  // First field of that id/name, or null. kOther is not a valid id here.
  const HeaderField* find(HeaderId id) const;
  const HeaderField* find(std::string_view lower_name) const;
  HeaderField* find(HeaderId id) { return const_cast<HeaderField*>(std::as_const(*this).find(id)); }
  // Next field of the same name after `field`, or null.
  const HeaderField* next(const HeaderField& field) const;
  // First value, or empty.
  std::string_view get(HeaderId id) const {
    const HeaderField* field = find(id);
    return field == nullptr ? std::string_view() : field->valueView();
  }
  bool has(HeaderId id) const { return find(id) != nullptr; }
  // All values joined with "," (a view of the only value when there is one; otherwise arena
  // memory). Nullopt: absent.
  std::optional<std::string_view> joined(std::string_view lower_name);

  // Append without copying: the bytes belong to the arena or are static.
  void add(HeaderId id, std::string_view value) { append(headerName(id), value, id); }
  void add(std::string_view lower_name, std::string_view value, HeaderId id) {
    append(lower_name, value, id);
  }
  // Looks the id up and copies name and value into the arena.
  void addCopy(std::string_view lower_name, std::string_view value);
  void addCopy(HeaderId id, std::string_view value) {
    append(headerName(id), arena_->copy(value), id);
  }
  // Replaces the first field and removes further ones; adds if absent. No copy / copy as above.
  void set(HeaderId id, std::string_view value);
  void setCopy(std::string_view lower_name, std::string_view value);
  void setCopy(HeaderId id, std::string_view value) { set(id, arena_->copy(value)); }
  // Removes every field of that name; returns how many.
  size_t remove(HeaderId id);
  size_t remove(std::string_view lower_name);
  void removeField(HeaderField& field);
  void clear();

  // Visits live fields in order. `f(const HeaderField&)`.
  template <class F>
  void forEach(F&& f) const {
    for (uint32_t i = 0; i < count_; ++i) {
      if (!(fields_[i].flags & HeaderField::kRemoved)) f(fields_[i]);
    }
  }
  template <class F>
  void forEachMutable(F&& f) {
    for (uint32_t i = 0; i < count_; ++i) {
      if (!(fields_[i].flags & HeaderField::kRemoved)) f(fields_[i]);
    }
  }
  // The raw array incl. removed fields (flags tell), for codecs and modules.
  const HeaderField* fields() const { return fields_; }
  uint32_t rawCount() const { return count_; }
  // Copies every live field of `other` (bytes too) into this map's arena.
  void copyFrom(const HeaderMap& other);

 private:
  void append(std::string_view name, std::string_view value, HeaderId id);
  void grow();

  memory::Arena* arena_;
  HeaderField* fields_ = nullptr;
  HeaderId* ids_ = nullptr;  // kRemovedId for removed fields
  uint32_t count_ = 0;
  uint32_t capacity_ = 0;
  uint32_t live_ = 0;
};

}  // namespace gatehouse::http
