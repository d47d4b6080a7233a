#pragma once

#include <cstdint>
#include <vector>

#include "source/sdk/http_filter.h"

namespace gatehouse::chain {

// The HTTP filters of one chain, laid out once at load: where each filter lies behind the stream,
// and one dense list of hooks per direction. Immutable, shared by all streams and workers.
class HttpPlan {
 public:
  // One filter in one direction; null hooks are skipped.
  struct Slot {
    uint8_t filter;
    uint32_t offset;
    sdk::Step (*body)(void*, sdk::BodyIo&) noexcept;
    sdk::Step (*trailers)(void*, http::HeaderMap&) noexcept;
    sdk::Step (*request_head)(void*, http::RequestHead&, bool) noexcept;
    sdk::Step (*response_head)(void*, http::ResponseHead&, bool) noexcept;
  };

  // `switches`: a route turns filters on or off.
  explicit HttpPlan(std::vector<sdk::HttpFilterPlan> filters, bool switches = false);

  size_t count() const { return filters_.size(); }
  const sdk::HttpFilterPlan& filter(size_t i) const { return filters_[i]; }
  uint32_t offset(size_t i) const { return offsets_[i]; }
  // Bytes of all filter objects together, aligned to max_align_t.
  size_t bytes() const { return bytes_; }
  // In the order the direction visits them: requests first to last, responses last to first.
  const std::vector<Slot>& slots(sdk::Dir dir) const { return slots_[static_cast<int>(dir)]; }
  // Some filter may be off: by default, or on some route.
  bool hasSwitches() const { return switches_; }
  bool hasInterimHooks() const { return interim_hooks_; }

 private:
  std::vector<sdk::HttpFilterPlan> filters_;
  std::vector<uint32_t> offsets_;
  size_t bytes_ = 0;
  bool interim_hooks_ = false;
  bool switches_ = false;
  std::vector<Slot> slots_[2];
};

}  // namespace gatehouse::chain
