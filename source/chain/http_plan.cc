#include "source/chain/http_plan.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace gatehouse::chain {

HttpPlan::HttpPlan(std::vector<sdk::HttpFilterPlan> filters, bool switches)
    : filters_(std::move(filters)), switches_(switches) {
  for (const sdk::HttpFilterPlan& filter : filters_) switches_ = switches_ || filter.disabled;
  for (const auto& filter : filters_) {
    bytes_ = (bytes_ + filter.type.align - 1) / filter.type.align * filter.type.align;
    offsets_.push_back(static_cast<uint32_t>(bytes_));
    bytes_ += filter.type.size;
    interim_hooks_ = interim_hooks_ || filter.type.interim != nullptr;
  }
  bytes_ = (bytes_ + alignof(std::max_align_t) - 1) / alignof(std::max_align_t) *
           alignof(std::max_align_t);
  for (size_t i = 0; i < filters_.size(); ++i) {
    const sdk::HttpFilterType& type = filters_[i].type;
    auto index = static_cast<uint8_t>(i);
    slots_[0].push_back(
        {index, offsets_[i], type.request_body, type.request_trailers, type.request_head, nullptr});
    slots_[1].push_back({index, offsets_[i], type.response_body, type.response_trailers, nullptr,
                         type.response_head});
  }
  std::reverse(slots_[1].begin(), slots_[1].end());
}

}  // namespace gatehouse::chain
