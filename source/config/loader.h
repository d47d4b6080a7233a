#pragma once

#include <string>
#include <vector>

#include "source/config/diagnostics.h"

namespace google::protobuf {
class Message;
}

namespace gatehouse::config {

struct LoadOptions {
  // Fields that nobody knows (and those Gatehouse does not support) become warnings: Envoy's
  // --allow-unknown-static-fields.
  bool allow_unknown = false;
};

enum class Format : uint8_t { kYaml, kJson, kTextProto, kBinary };
// By extension: .yaml .yml, .json, .textproto .txtpb .pb_text .pb_txt, .pb .bin. False: none of
// them.
bool formatOf(const std::string& path, Format* format);

constexpr size_t kMaxFileBytes = 64 * 1024 * 1024;

// Reads a file or text into `message` (merging into what is there), then checks every constraint.
// All errors of the input are in `diagnostics`; false if there are any.
bool loadFile(const std::string& path, const LoadOptions& options,
              google::protobuf::Message& message, Diagnostics& diagnostics);
bool loadText(const std::string& text, Format format, const LoadOptions& options,
              google::protobuf::Message& message, Diagnostics& diagnostics);

}  // namespace gatehouse::config
