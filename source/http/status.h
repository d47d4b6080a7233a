#pragma once

#include <cstdint>
#include <string_view>

namespace gatehouse::http {

// Reason phrase of RFC 9110 section 15; "Unknown" for codes without one.
std::string_view reasonPhrase(uint16_t status);

}  // namespace gatehouse::http
