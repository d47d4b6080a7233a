#include "source/log/file_writers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

namespace gatehouse::log {

void FileWriter::write(std::string_view line) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (pending_.size() + line.size() > kMaxPending) {
      ++dropped_;
      return;
    }
    wake = pending_.size() < kWakeAt && pending_.size() + line.size() >= kWakeAt;
    pending_.append(line);
  }
  if (wake) owner_.wake();
}

uint64_t FileWriter::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

void FileWriter::writeOut() {
  {
    std::lock_guard lock(mutex_);
    writing_.swap(pending_);
  }
  std::string_view rest = writing_;
  while (!rest.empty()) {
    ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // a full disk: these lines are lost, later ones may fit again
    rest.remove_prefix(static_cast<size_t>(n));
  }
  writing_.clear();
}

FileWriters::FileWriters() {
  thread_ = std::thread([this] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    run();
  });
}

FileWriters::~FileWriters() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
  flush();
  for (auto& [path, file] : files_) {
    if (file->fd_ > 2) ::close(file->fd_);
  }
}

FileWriter* FileWriters::open(const std::string& path, std::string* error) {
  std::lock_guard lock(mutex_);
  auto& slot = files_[path];
  if (slot == nullptr) {
    int fd = path == "/dev/stdout" ? 1
             : path == "/dev/stderr"
                 ? 2
                 : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
      *error = "cannot open '" + path + "': " + std::strerror(errno);
      files_.erase(path);
      return nullptr;
    }
    slot.reset(new FileWriter(path, fd, *this));
  }
  return slot.get();
}

void FileWriters::wake() {
  {
    std::lock_guard lock(mutex_);
    hurry_ = true;
  }
  wake_.notify_one();
}

void FileWriters::reopen() {
  std::lock_guard lock(mutex_);
  reopen_ = hurry_ = true;
  wake_.notify_one();
}

void FileWriters::flush() {
  std::vector<FileWriter*> files;
  {
    std::lock_guard lock(mutex_);
    for (auto& [path, file] : files_) files.push_back(file.get());
  }
  std::lock_guard io(io_mutex_);
  for (FileWriter* file : files) file->writeOut();
}

void FileWriters::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    wake_.wait_for(lock, std::chrono::seconds(1), [this] { return stop_ || hurry_; });
    hurry_ = false;
    bool again = reopen_;
    reopen_ = false;
    lock.unlock();
    flush();
    lock.lock();
    if (!again) continue;
    std::lock_guard io(io_mutex_);
    for (auto& [path, file] : files_) {
      if (file->fd_ <= 2) continue;
      int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0) continue;  // the old file goes on taking lines
      ::close(file->fd_);
      file->fd_ = fd;
    }
  }
}

}  // namespace gatehouse::log
