#include "source/stats/stats.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace gatehouse::stats {

namespace cells {

namespace {

constexpr size_t kBytes = size_t{kMax} * sizeof(std::atomic<uint64_t>);

struct Registry {
  std::mutex mutex;
  std::vector<std::atomic<uint64_t>*> threads;
  std::atomic<uint64_t>* base = nullptr;  // sums of threads that ended
  uint32_t next = 1;
  uint32_t next_gauge = kFirstGauge;
};

Registry& registry() {
  static auto* instance = new Registry();
  return *instance;
}

std::atomic<uint64_t>* reserve() {
  void* at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) std::abort();
  return static_cast<std::atomic<uint64_t>*>(at);
}

// Folds a thread's numbers into the base when it ends.
struct Attachment {
  // `flag`: the bits that say "touched" and are or-ed, not added.
  static void fold(Registry& r, uint32_t slot, uint64_t flag) {
    uint64_t mine = t_cells[slot].load(std::memory_order_relaxed);
    if (mine == 0) return;
    uint64_t base = r.base[slot].load(std::memory_order_relaxed);
    r.base[slot].store((base + (mine & ~flag)) | (mine & flag), std::memory_order_relaxed);
  }
  ~Attachment() {
    if (t_cells == nullptr) return;
    Registry& r = registry();
    std::lock_guard lock(r.mutex);
    for (uint32_t i = 0; i < r.next; ++i) fold(r, i, 0);
    for (uint32_t i = kFirstGauge; i < r.next_gauge; ++i) fold(r, i, 1);
    std::erase(r.threads, t_cells);
    ::munmap(t_cells, kBytes);
    t_cells = nullptr;
  }
};

}  // namespace

thread_local std::atomic<uint64_t>* t_cells = nullptr;

std::atomic<uint64_t>* attach() {
  static thread_local Attachment attachment;
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  if (r.base == nullptr) r.base = reserve();
  t_cells = reserve();
  r.threads.push_back(t_cells);
  return t_cells;
}

uint32_t allocate() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  // Past the end everything shares the last cell: wrong numbers rather than a crash, after a
  // million statistics.
  return r.next < kFirstGauge - 1 ? r.next++ : kFirstGauge - 1;
}

uint32_t allocateGauge() {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  return r.next_gauge < kMax - 1 ? r.next_gauge++ : kMax - 1;
}

uint64_t sum(uint32_t slot) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  uint64_t total = r.base == nullptr ? 0 : r.base[slot].load(std::memory_order_relaxed);
  for (auto* thread : r.threads) total += thread[slot].load(std::memory_order_relaxed);
  return total;
}

GaugeSum gaugeSum(uint32_t slot) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  GaugeSum total;
  auto take = [&](std::atomic<uint64_t>* all) {
    uint64_t cell = all[slot].load(std::memory_order_relaxed);
    total.value += static_cast<int64_t>(cell) >> 1;
    total.touched = total.touched || (cell & 1) != 0;
  };
  if (r.base != nullptr) take(r.base);
  for (auto* thread : r.threads) take(thread);
  return total;
}

}  // namespace cells

namespace {

struct Bins {
  std::atomic<uint32_t> counts[Histogram::kBins];
  std::atomic<uint64_t> sum;
};

// Histogram bins of one thread, by histogram slot. The thread makes entries under the lock, main
// reads under it; bins stay when the thread ends, since they are few.
struct ThreadBins {
  std::vector<Bins*> by_slot;
};

struct BinRegistry {
  std::mutex mutex;
  std::vector<ThreadBins*> threads;
  uint32_t next = 1;
};

BinRegistry& binRegistry() {
  static auto* instance = new BinRegistry();
  return *instance;
}

thread_local ThreadBins* t_bins = nullptr;

Bins& makeBins(uint32_t slot) {
  BinRegistry& r = binRegistry();
  std::lock_guard lock(r.mutex);
  if (t_bins == nullptr) {
    t_bins = new ThreadBins();
    r.threads.push_back(t_bins);
  }
  if (t_bins->by_slot.size() <= slot) t_bins->by_slot.resize(slot + 64);
  if (t_bins->by_slot[slot] == nullptr) {
    t_bins->by_slot[slot] = static_cast<Bins*>(std::calloc(1, sizeof(Bins)));
    if (t_bins->by_slot[slot] == nullptr) std::abort();
  }
  return *t_bins->by_slot[slot];
}

void collect(uint32_t slot, std::vector<uint64_t>& bins, uint64_t& sum) {
  bins.assign(Histogram::kBins, 0);
  sum = 0;
  BinRegistry& r = binRegistry();
  std::lock_guard lock(r.mutex);
  for (ThreadBins* thread : r.threads) {
    if (slot >= thread->by_slot.size() || thread->by_slot[slot] == nullptr) continue;
    Bins& from = *thread->by_slot[slot];
    for (uint32_t i = 0; i < Histogram::kBins; ++i)
      bins[i] += from.counts[i].load(std::memory_order_relaxed);
    sum += from.sum.load(std::memory_order_relaxed);
  }
}

std::vector<uint64_t> minus(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  std::vector<uint64_t> result = a;
  for (size_t i = 0; i < b.size(); ++i) result[i] -= b[i];
  return result;
}

}  // namespace

uint32_t Histogram::binOf(uint64_t value) {
  if (value < 100) return static_cast<uint32_t>(value);
  uint32_t decade = 0;
  while (value >= 100) {
    value /= 10;
    ++decade;
  }
  return std::min(100 + (decade - 1) * 90 + static_cast<uint32_t>(value) - 10, kBins - 1);
}

double Histogram::binStart(uint32_t bin) {
  if (bin < 100) return bin;
  return (10.0 + (bin - 100) % 90) * std::pow(10.0, 1 + (bin - 100) / 90);
}

double Histogram::binWidth(uint32_t bin) {
  // Two significant digits also below ten, where whole numbers stand at the lower end of their bin.
  if (bin < 10) return bin == 0 ? 0 : 0.1;
  return bin < 100 ? 1 : std::pow(10.0, 1 + (bin - 100) / 90);
}

void Histogram::record(uint64_t value) {
  ThreadBins* mine = t_bins;
  Bins& bins = mine != nullptr && slot_ < mine->by_slot.size() && mine->by_slot[slot_] != nullptr
                   ? *mine->by_slot[slot_]
                   : makeBins(slot_);
  std::atomic<uint32_t>& cell = bins.counts[binOf(value)];
  cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  bins.sum.store(bins.sum.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

double quantile(const std::vector<uint64_t>& bins, double q) {
  uint64_t total = 0;
  for (uint64_t n : bins) total += n;
  if (total == 0) return std::nan("");
  // The value of that rank; the n values of a bin count as standing at 1/(n+1) ... n/(n+1) of it,
  // as in Envoy.
  uint64_t rank =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * static_cast<double>(total))));
  uint64_t seen = 0;
  for (uint32_t i = 0; i < bins.size(); ++i) {
    if (seen + bins[i] < rank) {
      seen += bins[i];
      continue;
    }
    double part = static_cast<double>(rank - seen) / static_cast<double>(bins[i] + 1);
    return Histogram::binStart(i) + Histogram::binWidth(i) * part;
  }
  return std::nan("");  // q above one
}

Counter Scope::counter(std::string_view name) {
  return store_.counter(prefix_ + std::string(name));
}
Gauge Scope::gauge(std::string_view name) { return store_.gauge(prefix_ + std::string(name)); }
Histogram Scope::histogram(std::string_view name) {
  return store_.histogram(prefix_ + std::string(name));
}

StatsStore::StatsStore() = default;
StatsStore::~StatsStore() = default;

std::shared_ptr<Scope> StatsStore::scope(std::string prefix) {
  return std::make_shared<Scope>(*this, std::move(prefix));
}

Counter StatsStore::counter(const std::string& name) {
  std::lock_guard lock(mutex_);
  auto [at, made] = counters_.try_emplace(name);
  if (made) at->second.slot = cells::allocate();
  Counter counter;
  counter.slot_ = at->second.slot;
  return counter;
}

Gauge StatsStore::gauge(const std::string& name) {
  std::lock_guard lock(mutex_);
  auto [at, made] = gauges_.try_emplace(name);
  if (made) at->second.slot = cells::allocateGauge();
  Gauge gauge;
  gauge.slot_ = at->second.slot;
  return gauge;
}

Histogram StatsStore::histogram(const std::string& name) {
  std::lock_guard lock(mutex_);
  auto [at, made] = histograms_.try_emplace(name);
  if (made) {
    BinRegistry& r = binRegistry();
    std::lock_guard bins_lock(r.mutex);
    at->second.slot = r.next++;
  }
  Histogram histogram;
  histogram.slot_ = at->second.slot;
  return histogram;
}

Counter StatsStore::anonymousCounter() {
  Counter counter;
  counter.slot_ = cells::allocate();
  return counter;
}

Gauge StatsStore::anonymousGauge() {
  Gauge gauge;
  gauge.slot_ = cells::allocateGauge();
  return gauge;
}

uint64_t StatsStore::read(Counter counter) { return cells::sum(counter.slot_); }
int64_t StatsStore::read(Gauge gauge) { return cells::gaugeSum(gauge.slot_).value; }

std::vector<StatsStore::Value> StatsStore::values() const {
  std::lock_guard lock(mutex_);
  std::vector<Value> all;
  all.reserve(counters_.size() + gauges_.size());
  auto counter = counters_.begin();
  auto gauge = gauges_.begin();
  while (counter != counters_.end() || gauge != gauges_.end()) {
    bool take_counter =
        gauge == gauges_.end() || (counter != counters_.end() && counter->first <= gauge->first);
    const auto& entry = take_counter ? *counter : *gauge;
    if (take_counter) {
      uint64_t raw = cells::sum(entry.second.slot);
      all.push_back({entry.first, raw - entry.second.baseline, raw != 0, false});
    } else {
      cells::GaugeSum sum = cells::gaugeSum(entry.second.slot);
      all.push_back({entry.first, static_cast<uint64_t>(sum.value), sum.touched, true});
    }
    take_counter ? ++counter : ++gauge;
  }
  return all;
}

std::vector<std::pair<std::string, HistogramView>> StatsStore::histograms() const {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, HistogramView>> all;
  for (const auto& [name, entry] : histograms_) {
    HistogramView view;
    std::vector<uint64_t> bins;
    collect(entry.slot, bins, view.sum);
    view.sum -= entry.sum_baseline;
    view.cumulative = minus(bins, entry.baseline);
    if (entry.flushed) {
      view.interval = entry.interval;
    } else {
      // As in Envoy nothing is shown before the first flush.
      view.cumulative.clear();
    }
    all.emplace_back(name, std::move(view));
  }
  return all;
}

void StatsStore::flush() {
  std::lock_guard lock(mutex_);
  for (auto& [name, entry] : histograms_) {
    std::vector<uint64_t> bins;
    uint64_t sum;
    collect(entry.slot, bins, sum);
    entry.interval = minus(bins, entry.at_flush);
    entry.at_flush = std::move(bins);
    entry.flushed = true;
  }
}

void StatsStore::resetCounters() {
  std::lock_guard lock(mutex_);
  for (auto& [name, entry] : counters_) entry.baseline = cells::sum(entry.slot);
  for (auto& [name, entry] : histograms_) collect(entry.slot, entry.baseline, entry.sum_baseline);
}

}  // namespace gatehouse::stats
