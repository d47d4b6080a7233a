#pragma once

#include <string>

#include "source/config/diagnostics.h"

namespace google::protobuf {
class Message;
}

namespace gatehouse::config {

// Checks the constraint rules (gatehouse.config.v1.rule) of every field set in `message` and below,
// also inside Any, and that nothing unknown is in it (binary input). Errors go to `diagnostics`
// under `path`.
void validate(const google::protobuf::Message& message, const std::string& path,
              Diagnostics& diagnostics);

}  // namespace gatehouse::config
