#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

namespace gatehouse::event {

// Delivers signals to main as ordinary events (signalfd). Made before any other thread starts,
// since the signals are blocked for the whole process; only one may exist.
class Signals {
 public:
  // `callback(signal)` runs on the current worker.
  Signals(std::initializer_list<int> signals, std::function<void(int)> callback);
  ~Signals();

 private:
  class Handler;
  std::unique_ptr<Handler> handler_;
};

}  // namespace gatehouse::event
