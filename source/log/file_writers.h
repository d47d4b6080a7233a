#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace gatehouse::log {

// One append-only file that access logs write lines to. Lines are collected in memory and written
// by the writer thread; a worker never does file I/O. When more than kMaxPending bytes wait, lines
// are dropped and counted.
class FileWriter {
 public:
  static constexpr size_t kMaxPending = 16 * 1024 * 1024;
  static constexpr size_t kWakeAt = 64 * 1024;

  // Any thread. Takes a lock that the writer thread holds only to swap buffers.
  void write(std::string_view line);
  uint64_t dropped() const;

 private:
  friend class FileWriters;
  FileWriter(std::string path, int fd, class FileWriters& owner)
      : path_(std::move(path)), fd_(fd), owner_(owner) {}
  void writeOut();

  std::string path_;
  int fd_;
  FileWriters& owner_;
  mutable std::mutex mutex_;
  std::string pending_;
  std::string writing_;
  uint64_t dropped_ = 0;
};

// All log files of the process and the one thread that writes them: at least once a second, at once
// when 64 KiB wait.
class FileWriters {
 public:
  FileWriters();
  // Writes what is pending.
  ~FileWriters();
  // Opens for appending, each path once. Null with `error` set: cannot be opened. The writer lives
  // as long as this.
  FileWriter* open(const std::string& path, std::string* error);
  // After the files were moved away (SIGUSR1, log rotation). Any thread.
  void reopen();
  // Returns when everything written before the call is in the files.
  void flush();

 private:
  friend class FileWriter;
  void run();
  void wake();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::unique_ptr<FileWriter>> files_;
  std::mutex io_mutex_;  // held while writing out
  bool stop_ = false;
  bool hurry_ = false;
  bool reopen_ = false;
  std::thread thread_;
};

}  // namespace gatehouse::log
