#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "source/sdk/access_log.h"

namespace google::protobuf {
class Struct;
}

namespace gatehouse::formatter {

// Envoy's default access log line.
extern const char kDefaultFormat[];

// A format string ("%REQ(:METHOD)% %RESPONSE_CODE%") compiled to a list of steps. Immutable;
// render() allocates only when `out` grows.
class Formatter {
 public:
  // Unknown operators and unclosed ones are errors. `omit_empty`: missing values become "" instead
  // of "-".
  static absl::StatusOr<Formatter> compile(std::string_view format, bool omit_empty = false);

  void render(const sdk::LogEntry& entry, std::string& out) const;
  // True if the text has no operator: render() gives always the same.
  bool isConstant() const;

  // One operator or a piece of text.
  struct Step {
    // Appends the value; false if there is none.
    bool (*write)(const Step&, const sdk::LogEntry&, std::string& out) = nullptr;
    std::string text;         // literal, or first argument
    std::string alternative;  // REQ(a?b)
    size_t max_length = std::string::npos;
    bool number = false;  // stays a number in JSON
  };

 private:
  friend class JsonFormatter;
  std::vector<Step> steps_;
  bool omit_empty_ = false;
};

// A JSON log format: numbers stay numbers, missing values are null (or left out), keys sorted, one
// line.
class JsonFormatter {
 public:
  static absl::StatusOr<JsonFormatter> compile(const google::protobuf::Struct& format,
                                               bool omit_empty);
  void render(const sdk::LogEntry& entry, std::string& out) const;

 private:
  struct Node {
    enum Kind : uint8_t { kLiteral, kFormat, kObject } kind = kLiteral;
    std::string literal;  // JSON text
    Formatter format;
    std::vector<std::pair<std::string, Node>> members;  // keys as JSON text, sorted
  };
  static absl::Status build(const google::protobuf::Struct& from, bool omit_empty, Node& to);
  bool renderNode(const Node& node, const sdk::LogEntry& entry, std::string& out) const;
  Node root_;
  bool omit_empty_ = false;
};

// Short names of the flags set, comma separated ("UF,URX").
void appendFlags(const sdk::StreamInfo& info, std::string& out);
// Nullopt-like: -1 for a name that is no flag.
int flagByName(std::string_view short_name);
void appendJsonString(std::string_view text, std::string& out);

}  // namespace gatehouse::formatter
