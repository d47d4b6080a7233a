#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "source/sdk/access_log.h"

namespace envoy::config::accesslog::v3 {
class AccessLogFilter;
}

namespace gatehouse::proxy {

// A logger that passes on the entries an envoy.config.accesslog.v3.AccessLogFilter takes.
absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>> filterAccessLog(
    const envoy::config::accesslog::v3::AccessLogFilter& config,
    std::shared_ptr<const sdk::AccessLogger> logger);

}  // namespace gatehouse::proxy
