#pragma once

#include <cstdint>
#include <string_view>

namespace gatehouse::http {

// IMF-fixdate (RFC 9110 5.6.7) of the given second. The text is cached per thread for one second
// and stays valid until the next call on this thread with another second.
std::string_view httpDate(int64_t seconds_since_epoch);

}  // namespace gatehouse::http
