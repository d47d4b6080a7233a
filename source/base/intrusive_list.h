#pragma once

#include <cstddef>

#include "source/base/assert.h"

namespace gatehouse::base {

// A link that an object carries to sit in at most one IntrusiveList of that Tag. Unlinks itself on
// destruction, so a list never holds a dead object. Not thread-safe: object and list belong to one
// thread.
template <class Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class IntrusiveList;
  ListLink* prev_ = nullptr;
  ListLink* next_ = nullptr;
};

// A doubly linked list of T (T derives from ListLink<Tag>); owns nothing. Every operation is O(1)
// but clear().
template <class T, class Tag>
class IntrusiveList {
  using Link = ListLink<Tag>;

 public:
  IntrusiveList() { head_.prev_ = head_.next_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    clear();
    head_.prev_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  T& front() { return static_cast<T&>(*head_.next_); }
  T& back() { return static_cast<T&>(*head_.prev_); }
  void pushBack(T& item) { insertBefore(head_, item); }
  void pushFront(T& item) { insertBefore(*head_.next_, item); }
  T& popFront() {
    T& item = front();
    static_cast<Link&>(item).unlink();
    return item;
  }
  // Next item after `item`, or null at the end.
  T* next(T& item) {
    Link* n = static_cast<Link&>(item).next_;
    return n == &head_ ? nullptr : static_cast<T*>(n);
  }
  T* first() { return empty() ? nullptr : &front(); }
  // Moves everything of `other` to the end of this list.
  void splice(IntrusiveList& other) {
    if (other.empty()) return;
    Link* first = other.head_.next_;
    Link* last = other.head_.prev_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
    other.head_.prev_ = other.head_.next_ = &other.head_;
  }
  void clear() {
    while (!empty()) head_.next_->unlink();
  }

 private:
  void insertBefore(Link& place, T& item) {
    Link& link = item;
    GATEHOUSE_ASSERT(!link.linked());
    link.prev_ = place.prev_;
    link.next_ = &place;
    place.prev_->next_ = &link;
    place.prev_ = &link;
  }

  Link head_;
};

}  // namespace gatehouse::base
