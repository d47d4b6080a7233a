#include "source/http/header_map.h"

#include <cstring>

namespace gatehouse::http {

void HeaderMap::grow() {
  uint32_t capacity = capacity_ == 0 ? 16 : capacity_ * 2;
  auto* fields = arena_->allocateArray<HeaderField>(capacity);
  auto* ids = arena_->allocateArray<HeaderId>(capacity);
  if (count_ != 0) {
    std::memcpy(fields, fields_, count_ * sizeof(HeaderField));
    std::memcpy(ids, ids_, count_ * sizeof(HeaderId));
  }
  fields_ = fields;
  ids_ = ids;
  capacity_ = capacity;
}

void HeaderMap::append(std::string_view name, std::string_view value, HeaderId id) {
  if (count_ == capacity_) grow();
  fields_[count_] = {name.data(),
                     value.data(),
                     static_cast<uint32_t>(value.size()),
                     static_cast<uint16_t>(name.size()),
                     id,
                     0};
  ids_[count_++] = id;
  ++live_;
}

void HeaderMap::addCopy(std::string_view name, std::string_view value) {
  HeaderId id = headerId(name);
  append(id == HeaderId::kOther ? arena_->copy(name) : headerName(id), arena_->copy(value), id);
}

size_t HeaderMap::byteSize() const {
  size_t size = 0;
  forEach([&](const HeaderField& field) { size += field.name_len + field.value_len; });
  return size;
}

const HeaderField* HeaderMap::find(HeaderId id) const {
  if (count_ == 0) return nullptr;
  const void* at = std::memchr(ids_, static_cast<int>(id), count_);
  return at == nullptr ? nullptr : fields_ + (static_cast<const HeaderId*>(at) - ids_);
}

const HeaderField* HeaderMap::find(std::string_view name) const {
  HeaderId id = headerId(name);
  if (id != HeaderId::kOther) return find(id);
  for (uint32_t i = 0; i < count_; ++i) {
    if (ids_[i] == HeaderId::kOther && fields_[i].nameView() == name) return fields_ + i;
  }
  return nullptr;
}

const HeaderField* HeaderMap::next(const HeaderField& field) const {
  for (auto i = static_cast<uint32_t>(&field - fields_) + 1; i < count_; ++i) {
    if (ids_[i] == field.id &&
        (field.id != HeaderId::kOther || fields_[i].nameView() == field.nameView())) {
      return fields_ + i;
    }
  }
  return nullptr;
}

std::optional<std::string_view> HeaderMap::joined(std::string_view name) {
  const HeaderField* first = find(name);
  if (first == nullptr) return std::nullopt;
  const HeaderField* second = next(*first);
  if (second == nullptr) return first->valueView();
  size_t size = first->value_len;
  for (const HeaderField* f = second; f != nullptr; f = next(*f)) size += 1 + f->value_len;
  char* text = arena_->allocateArray<char>(size);
  size_t at = 0;
  for (const HeaderField* f = first; f != nullptr; f = next(*f)) {
    if (at != 0) text[at++] = ',';
    f->valueView().copy(text + at, f->value_len);
    at += f->value_len;
  }
  return std::string_view(text, size);
}

void HeaderMap::set(HeaderId id, std::string_view value) {
  HeaderField* field = find(id);
  if (field == nullptr) {
    append(headerName(id), value, id);
    return;
  }
  field->value = value.data();
  field->value_len = static_cast<uint32_t>(value.size());
  for (const HeaderField* more = next(*field); more != nullptr; more = next(*field)) {
    removeField(const_cast<HeaderField&>(*more));
  }
}

void HeaderMap::setCopy(std::string_view name, std::string_view value) {
  HeaderId id = headerId(name);
  if (id != HeaderId::kOther) {
    set(id, arena_->copy(value));
    return;
  }
  auto* field = const_cast<HeaderField*>(find(name));
  if (field == nullptr) {
    append(arena_->copy(name), arena_->copy(value), id);
    return;
  }
  std::string_view kept = arena_->copy(value);
  field->value = kept.data();
  field->value_len = static_cast<uint32_t>(kept.size());
  for (const HeaderField* more = next(*field); more != nullptr; more = next(*field)) {
    removeField(const_cast<HeaderField&>(*more));
  }
}

void HeaderMap::removeField(HeaderField& field) {
  field.flags |= HeaderField::kRemoved;
  ids_[&field - fields_] = HeaderId::kRemovedId;
  --live_;
}

size_t HeaderMap::remove(HeaderId id) {
  size_t removed = 0;
  for (HeaderField* field = find(id); field != nullptr; field = find(id)) {
    removeField(*field);
    ++removed;
  }
  return removed;
}

size_t HeaderMap::remove(std::string_view name) {
  HeaderId id = headerId(name);
  if (id != HeaderId::kOther) return remove(id);
  size_t removed = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    if (ids_[i] == HeaderId::kOther && fields_[i].nameView() == name) {
      removeField(fields_[i]);
      ++removed;
    }
  }
  return removed;
}

void HeaderMap::clear() { count_ = live_ = 0; }

void HeaderMap::copyFrom(const HeaderMap& other) {
  other.forEach([&](const HeaderField& field) { addCopy(field.nameView(), field.valueView()); });
}

}  // namespace gatehouse::http
