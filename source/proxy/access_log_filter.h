#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "source/sdk/access_log.h"

namespace envoy::config::accesslog::v3 {
class AccessLog;
class AccessLogFilter;
}  // namespace envoy::config::accesslog::v3

namespace gatehouse::proxy {

// A logger that passes on the entries an envoy.config.accesslog.v3.AccessLogFilter takes.
absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>> filterAccessLog(
    const envoy::config::accesslog::v3::AccessLogFilter& config,
    std::shared_ptr<const sdk::AccessLogger> logger);

// One configured access log: its logger by type, behind its filter. Errors begin with the field's
// path inside the message.
absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>> compileAccessLog(
    const envoy::config::accesslog::v3::AccessLog& config, sdk::FactoryContext& context);

}  // namespace gatehouse::proxy
