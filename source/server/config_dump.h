#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "source/admin/admin.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace gatehouse::server {

// The answer of /config_dump, as Envoy's: sections for bootstrap, clusters, listeners and routes.
// Parameters: `resource` (a repeated field of a section, e.g. static_clusters) gives its entries
// one by one, `mask` (a field mask, comma-separated paths) drops all other fields, `name_regex` all
// entries whose name does not match as a whole. Secrets never appear: there are none in the schema
// yet.
admin::Response configDump(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                           int64_t started_wall_micros, const admin::Request& request);

}  // namespace gatehouse::server
