#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::stats {

// Every statistic is a cell in one flat array per thread: the writing thread is the only writer of
// its cell (relaxed load and store, no read-modify-write, no shared line), readers sum over all
// threads. Arrays are reserved address space, so cells never move.
namespace cells {
constexpr uint32_t kMax = 1 << 20;
// Cells from here on are gauges: twice the value, and in the lowest bit whether it was ever
// touched.
constexpr uint32_t kFirstGauge = kMax / 2;
// This thread's array; made at first use and folded into a common base when the thread ends.
extern thread_local std::atomic<uint64_t>* t_cells;
std::atomic<uint64_t>* attach();
uint32_t allocate();
uint32_t allocateGauge();
uint64_t sum(uint32_t slot);
struct GaugeSum {
  int64_t value = 0;
  bool touched = false;
};
GaugeSum gaugeSum(uint32_t slot);

inline void add(uint32_t slot, uint64_t n) {
  std::atomic<uint64_t>* all = t_cells != nullptr ? t_cells : attach();
  std::atomic<uint64_t>& cell = all[slot];
  cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

inline void addGauge(uint32_t slot, int64_t n) {
  std::atomic<uint64_t>* all = t_cells != nullptr ? t_cells : attach();
  std::atomic<uint64_t>& cell = all[slot];
  cell.store((cell.load(std::memory_order_relaxed) + (static_cast<uint64_t>(n) << 1)) | 1,
             std::memory_order_relaxed);
}
}  // namespace cells

class Counter {
 public:
  void inc() { cells::add(slot_, 1); }
  void add(uint64_t n) { cells::add(slot_, n); }

 private:
  friend class StatsStore;
  uint32_t slot_ = 0;  // slot 0 belongs to nobody: an unset counter counts into the void
};

// A level, as the sum of what all threads added and took away. set() is for values that only one
// thread ever writes.
class Gauge {
 public:
  void add(int64_t n) { cells::addGauge(slot_, n); }
  void set(int64_t value) { add(value - cells::gaugeSum(slot_).value); }

 private:
  friend class StatsStore;
  uint32_t slot_ = cells::kMax - 1;  // belongs to nobody, as slot 0 of the counters
};

// Bins of two significant decimal digits over non-negative integers, per thread, made when a thread
// first records.
class Histogram {
 public:
  static constexpr uint32_t kBins = 100 + 90 * 12;
  void record(uint64_t value);
  static uint32_t binOf(uint64_t value);
  // Lower bound and width of a bin.
  static double binStart(uint32_t bin);
  static double binWidth(uint32_t bin);

 private:
  friend class StatsStore;
  uint32_t slot_ = 0;
};

struct HistogramView {
  std::vector<uint64_t> interval;  // last completed flush interval
  std::vector<uint64_t> cumulative;
  uint64_t sum = 0;  // of all recorded values
};

// `q` in 0..1; NaN when nothing was recorded.
double quantile(const std::vector<uint64_t>& bins, double q);

class StatsStore;

// A prefix for names. Statistics live as long as the store.
class Scope {
 public:
  Scope(StatsStore& store, std::string prefix) : store_(store), prefix_(std::move(prefix)) {}
  Counter counter(std::string_view name);
  Gauge gauge(std::string_view name);
  // `unit` only names the values for Prometheus: nothing is converted.
  Histogram histogram(std::string_view name);
  const std::string& prefix() const { return prefix_; }

 private:
  StatsStore& store_;
  std::string prefix_;
};

// All statistics of a process by name. Making and reading: any thread, under a lock; counting never
// takes it.
class StatsStore {
 public:
  StatsStore();
  ~StatsStore();

  std::shared_ptr<Scope> scope(std::string prefix);
  Counter counter(const std::string& name);
  Gauge gauge(const std::string& name);
  Histogram histogram(const std::string& name);
  // Not listed by any dump (statistics of endpoints).
  Counter anonymousCounter();
  Gauge anonymousGauge();

  static uint64_t read(Counter counter);
  static int64_t read(Gauge gauge);

  struct Value {
    std::string name;
    uint64_t value;
    bool used;
    bool gauge;
  };
  // Sorted by name.
  std::vector<Value> values() const;
  std::vector<std::pair<std::string, HistogramView>> histograms() const;
  // Ends a histogram interval.
  void flush();
  // Counters read zero again, histograms are emptied; gauges stay.
  void resetCounters();

 private:
  struct Entry {
    uint32_t slot;
    uint64_t baseline = 0;
  };
  struct HistogramEntry {
    uint32_t slot;
    std::vector<uint64_t> baseline;  // of resetCounters()
    std::vector<uint64_t> at_flush;
    std::vector<uint64_t> interval;
    uint64_t sum_baseline = 0;
    bool flushed = false;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry> counters_;
  std::map<std::string, Entry> gauges_;
  std::map<std::string, HistogramEntry> histograms_;
};

}  // namespace gatehouse::stats
