#pragma once

#include <cstdint>
#include <string_view>

#include "source/http/header_map.h"

namespace gatehouse::http {

// The content-type is application/grpc, or that with a suffix (application/grpc+proto).
bool isGrpc(const HeaderMap& headers);

// The grpc-status that stands for an HTTP status, as its number in text ("14" for 503); static.
std::string_view grpcStatusText(uint16_t http_status);

// The text as a grpc-message: what is not printable ASCII, and '%', percent-encoded.
std::string_view grpcMessage(std::string_view text, memory::Arena& arena);

}  // namespace gatehouse::http
