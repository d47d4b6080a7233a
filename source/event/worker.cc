#include "source/event/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace gatehouse::event {

namespace {

thread_local Worker* t_worker = nullptr;

MonoTime readMonotonic() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return MonoTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

constexpr int kBatch = 128;
constexpr int kTurnsBeforeAsio = 256;

}  // namespace

// The worker's epoll set, and the Asio descriptor that watches it.
class Worker::NestedEpoll final : public FdWatcher {
 public:
  NestedEpoll()
      : io_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE), set_(io_, ::epoll_create1(EPOLL_CLOEXEC)) {}

  int add(int fd, FdHandler& handler) override {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    return add(fd, handler, event);
  }

  int addReadOnly(int fd, FdHandler& handler) override {
    epoll_event event{};
    event.events = EPOLLIN;
    return add(fd, handler, event);
  }

  void remove(int fd) override {
    auto at = static_cast<size_t>(fd);
    if (fd < 0 || at >= handlers_.size() || handlers_[at] == nullptr) return;
    ::epoll_ctl(set_.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
    // What this batch still holds for it is dropped: the handler may be gone by then.
    for (int i = 0; i < count_; ++i) {
      if (events_[i].data.ptr == handlers_[at]) events_[i].data.ptr = nullptr;
    }
    handlers_[at] = nullptr;
  }

  // Without waiting. Returns the number of events.
  int poll() {
    int n = ::epoll_wait(set_.native_handle(), events_, kBatch, 0);
    if (n > 0 && ++since_asio_ >= kTurnsBeforeAsio) {
      since_asio_ = 0;
      io_.poll();
    }
    count_ = std::max(n, 0);
    return count_;
  }

  // Waits until the set has events or `timeout` is over (negative: no limit).
  void wait(Millis timeout) {
    since_asio_ = 0;
    if (!armed_) {
      armed_ = true;
      set_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this](const boost::system::error_code&) { armed_ = false; });
    }
    io_.restart();
    if (timeout.count() < 0) {
      io_.run_one();
    } else {
      io_.run_one_for(timeout);
    }
  }

  void dispatch(int i) {
    if (events_[i].data.ptr == nullptr) return;
    uint32_t from = events_[i].events;
    uint32_t to = 0;
    if (from & (EPOLLIN | EPOLLHUP)) to |= kReadable;
    if (from & EPOLLOUT) to |= kWritable;
    if (from & (EPOLLRDHUP | EPOLLHUP)) to |= kRdHup;
    if (from & EPOLLERR) to |= kError;
    static_cast<FdHandler*>(events_[i].data.ptr)->onFdEvents(to);
  }

 private:
  int add(int fd, FdHandler& handler, epoll_event& event) {
    event.data.ptr = &handler;
    if (::epoll_ctl(set_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return errno;
    auto at = static_cast<size_t>(fd);
    if (at >= handlers_.size()) handlers_.resize(at + 1 + at / 4);
    handlers_[at] = &handler;
    return 0;
  }

  boost::asio::io_context io_;
  boost::asio::posix::stream_descriptor set_;
  bool armed_ = false;
  int since_asio_ = 0;
  int count_ = 0;                     // events of the current batch
  std::vector<FdHandler*> handlers_;  // by fd, for remove(); an fd closed without it leaves its
                                      // entry until the fd is added again
  epoll_event events_[kBatch];
};

namespace {

// The mailbox's eventfd in the worker's own set.
class MailFd final : public FdHandler {
 public:
  explicit MailFd(bool& flag) : flag_(flag) {}
  void onFdEvents(uint32_t) noexcept override { flag_ = true; }

 private:
  bool& flag_;
};

}  // namespace

Worker::Worker(std::string_view name, uint32_t index, Clock clock)
    : name_(name),
      index_(index),
      clock_(clock != nullptr ? clock : readMonotonic),
      timers_(clock_()),
      fds_holder_(std::make_unique<NestedEpoll>()),
      fds_(fds_holder_.get()) {
  mail_handler_ = std::make_unique<MailFd>(mail_);
  fds_->addReadOnly(mailbox_.eventFd(), *mail_handler_);
}

Worker::~Worker() {
  bind();
  mailbox_.close();
  reap();
  if (t_worker == this) t_worker = nullptr;
}

Worker& Worker::current() {
  GATEHOUSE_ASSERT(t_worker != nullptr);
  return *t_worker;
}

Worker* Worker::currentOrNull() { return t_worker; }

void Worker::bind() { t_worker = this; }

void Worker::run() {
  bind();
  while (!stopped_) turn(true);
}

void Worker::runOnce() {
  bind();
  turn(false);
}

void Worker::stop() {
  post([this] { stopped_ = true; });
}

int64_t Worker::wallMicros() {
  if (wall_turn_ != turn_) {
    timespec now;
    ::clock_gettime(CLOCK_REALTIME, &now);
    wall_micros_ = int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
    wall_turn_ = turn_;
  }
  return wall_micros_;
}

void Worker::afterItem(void* self) noexcept { static_cast<Worker*>(self)->settle(); }

void Worker::drainRunQueue() {
  while (!run_queue_.empty()) {
    Task& task = run_queue_.popFront();
    if (task.turn_ != turn_) {
      task.turn_ = turn_;
      task.runs_ = 0;
    }
    if (++task.runs_ > 64) {
      next_turn_.pushBack(task);
      continue;
    }
    task.run();
  }
}

void Worker::settle() {
  drainRunQueue();
  while (!urgent_.empty()) {
    urgent_.popFront().flush();
    drainRunQueue();
  }
}

void Worker::produce() {
  base::IntrusiveList<Flushable, FlushTag> batch;
  batch.splice(dirty_);
  while (!batch.empty()) batch.popFront().flush();
}

void Worker::reap() {
  // A destructor may bury more.
  while (graveyard_ != nullptr) {
    Reapable* dead = graveyard_;
    graveyard_ = dead->next_ != dead ? dead->next_ : nullptr;
    delete dead;
  }
}

void Worker::turn(bool may_wait) {
  ++turn_;
  run_queue_.splice(next_turn_);
  int events = fds_holder_->poll();
  if (events == 0 && may_wait && ready_.empty() && run_queue_.empty() && dirty_.empty()) {
    fds_holder_->wait(timers_.untilNext(clock_()));
    timers_.setNow(clock_());
    events = fds_holder_->poll();
  } else {
    timers_.setNow(clock_());
  }
  for (int i = 0; i < events; ++i) {
    fds_holder_->dispatch(i);
    settle();
  }
  if (!ready_.empty()) {
    base::IntrusiveList<ReadySource, ReadyTag> batch;
    batch.splice(ready_);
    while (!batch.empty()) {
      batch.popFront().onReady();
      settle();
    }
  }
  if (mail_) {
    mail_ = false;
    mailbox_.drain(afterItem, this);
  }
  timers_.advance(timers_.now(), afterItem, this);
  settle();
  produce();
  settle();
  produce();
  settle();
  reap();
}

}  // namespace gatehouse::event
