#pragma once

#include <cstdint>
#include <string_view>

#include "source/http/head.h"
#include "source/proxy/hcm_config.h"
#include "source/sdk/stream_info.h"

namespace gatehouse::proxy {

// A refusal: status 0 means the request may go on.
struct Refusal {
  uint16_t status = 0;
  std::string_view body;
  std::string_view details;
  std::string_view location;  // for redirects
  bool malformed = false;     // counts as a protocol error: nothing of the request is logged
};

// What the connection manager does to a request before any filter sees it: validates host and path,
// normalises the path, strips hop-by-hop fields, sets the x-forwarded family and the request id.
// `random` makes the id.
Refusal prepareRequest(http::RequestHead& head, const HcmConfig& config, sdk::StreamInfo& info,
                       uint64_t random_a, uint64_t random_b);

// Strips hop-by-hop fields of an upstream's or local response and sets server, date and via. Reads
// the wall clock (once a turn) only when a date is missing.
void prepareResponse(http::ResponseHead& head, const http::RequestHead& request,
                     const HcmConfig& config);

}  // namespace gatehouse::proxy
