#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gatehouse::config {

// Where a value stands in its file; line 0: unknown (binary input).
struct Mark {
  int line = 0;
  int column = 0;
};

// The errors and warnings of one configuration, all of them, and where each field path came from.
// Field paths use proto names:
// "static_resources.listeners[0].filter_chains[1].filters[0].typed_config.stat_prefix".
class Diagnostics {
 public:
  explicit Diagnostics(std::string file = "") : file_(std::move(file)) {}

  void setFile(std::string file) { file_ = std::move(file); }
  void notePosition(const std::string& path, Mark mark) { positions_.insert_or_assign(path, mark); }
  // Position of the path, or of the nearest parent that has one.
  Mark position(std::string_view path) const;

  void error(const std::string& path, const std::string& reason) {
    errorAt(position(path), path, reason);
  }
  void errorAt(Mark mark, const std::string& path, const std::string& reason);
  void warning(const std::string& path, const std::string& reason);
  // Takes "relative.path: reason" from a later stage and puts `prefix` in front of its path.
  void errorBelow(const std::string& prefix, std::string_view message);

  bool ok() const { return errors_.empty(); }
  // "file:line:column: field.path: reason" each.
  const std::vector<std::string>& errors() const { return errors_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  std::string toString() const;

 private:
  std::string format(Mark mark, const std::string& path, const std::string& reason) const;

  std::string file_;
  std::unordered_map<std::string, Mark> positions_;
  std::vector<std::string> errors_;
  std::vector<std::string> warnings_;
};

// "a.b" + "c" is "a.b.c"; an empty parent adds nothing.
std::string joinPath(std::string_view parent, std::string_view child);

}  // namespace gatehouse::config
