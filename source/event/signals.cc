#include "source/event/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "source/event/worker.h"

namespace gatehouse::event {

class Signals::Handler final : public FdHandler {
 public:
  Handler(const sigset_t& set, std::function<void(int)> callback)
      : fd_(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)), callback_(std::move(callback)) {
    Worker::current().fds().addReadOnly(fd_, *this);
  }
  ~Handler() override {
    Worker::current().fds().remove(fd_);
    ::close(fd_);
  }
  void onFdEvents(uint32_t) noexcept override {
    signalfd_siginfo info;
    while (::read(fd_, &info, sizeof(info)) == sizeof(info))
      callback_(static_cast<int>(info.ssi_signo));
  }

 private:
  int fd_;
  std::function<void(int)> callback_;
};

Signals::Signals(std::initializer_list<int> signals, std::function<void(int)> callback) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  handler_ = std::make_unique<Handler>(set, std::move(callback));
}

Signals::~Signals() = default;

}  // namespace gatehouse::event
