#pragma once

#include <string>
#include <string_view>

namespace gatehouse::config {

// Whether Envoy's v3 API has that field (or enum value) of the message (or enum), though Gatehouse
// does not support it yet.
bool knownToEnvoy(std::string_view owner, std::string_view name);
// The same for the type of an extension's configuration.
bool typeKnownToEnvoy(std::string_view type);

}  // namespace gatehouse::config
