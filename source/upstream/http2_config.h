#pragma once

#include "absl/status/status.h"
#include "source/codec/h2/options.h"

namespace envoy::config::core::v3 {
class Http2ProtocolOptions;
}

namespace gatehouse::upstream {

// Reads the message into `options`, for either side of the gateway. Errors begin with the field's
// path inside the message.
absl::Status parseHttp2Options(const envoy::config::core::v3::Http2ProtocolOptions& config,
                               codec::h2::Options& options);

}  // namespace gatehouse::upstream
