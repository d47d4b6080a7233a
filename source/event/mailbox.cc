#include "source/event/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace gatehouse::event {

Mailbox::Mailbox() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

Mailbox::~Mailbox() { ::close(fd_); }

bool Mailbox::post(std::function<void()> message) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    wake = incoming_.empty();
    incoming_.push_back(std::move(message));
  }
  if (wake) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(fd_, &one, sizeof(one));
  }
  return true;
}

size_t Mailbox::drain(void (*after)(void*) noexcept, void* context) {
  uint64_t count;
  [[maybe_unused]] ssize_t got = ::read(fd_, &count, sizeof(count));
  {
    std::lock_guard lock(mutex_);
    running_.swap(incoming_);
  }
  size_t ran = running_.size();
  for (auto& message : running_) {
    message();
    message = nullptr;
    if (after != nullptr) after(context);
  }
  running_.clear();
  return ran;
}

void Mailbox::close() {
  std::vector<std::function<void()>> dropped;
  std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(incoming_);
}

}  // namespace gatehouse::event
