#include "source/http/date.h"

#include <time.h>

#include <cstdio>

namespace gatehouse::http {

std::string_view httpDate(int64_t seconds) {
  static thread_local int64_t cached = INT64_MIN;
  static thread_local char text[64];
  if (seconds != cached) {
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t at = seconds;
    tm parts;
    ::gmtime_r(&at, &parts);
    std::snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[parts.tm_wday],
                  parts.tm_mday % 100, kMonths[parts.tm_mon], (parts.tm_year + 1900) % 10000,
                  parts.tm_hour % 100, parts.tm_min % 100, parts.tm_sec % 100);
    cached = seconds;
  }
  return {text, 29};
}

}  // namespace gatehouse::http
