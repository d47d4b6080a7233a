#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "source/formatter/formatter.h"
#include "source/http/head.h"

namespace google::protobuf {
template <class T>
class RepeatedPtrField;
}
namespace envoy::config::core::v3 {
class HeaderValueOption;
}

namespace gatehouse::router {

// The header rules of one level of a route configuration: removals first, then additions.
// Immutable.
class HeaderRules {
 public:
  // `add_path` and `remove_path` name the fields in errors.
  static absl::StatusOr<HeaderRules> compile(
      const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
      const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& add_path,
      const std::string& remove_path);
  bool empty() const { return remove_.empty() && add_.empty(); }
  void apply(http::HeaderMap& headers, const sdk::LogEntry& entry) const;

 private:
  enum class Action : uint8_t { kAppend, kAddIfAbsent, kOverwrite, kOverwriteIfExists };
  struct Addition {
    std::string name;
    http::HeaderId id;  // kOther: not a well-known name
    Action action;
    bool keep_empty;
    bool constant;
    std::string value;
    formatter::Formatter format;
  };
  // Replaces the field. A well-known one keeps its place, others move to the end, as in Envoy.
  static void overwrite(http::HeaderMap& headers, const Addition& one, std::string_view value);

  std::vector<std::string> remove_;
  std::vector<Addition> add_;
};

}  // namespace gatehouse::router
