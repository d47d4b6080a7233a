#include "source/config/diagnostics.h"

namespace gatehouse::config {

std::string joinPath(std::string_view parent, std::string_view child) {
  if (parent.empty()) return std::string(child);
  if (child.empty()) return std::string(parent);
  std::string path(parent);
  if (child.front() != '[') path += '.';
  return path.append(child);
}

Mark Diagnostics::position(std::string_view path) const {
  std::string at(path);
  for (;;) {
    auto found = positions_.find(at);
    if (found != positions_.end()) return found->second;
    if (at.empty()) return {};
    size_t cut = at.find_last_of(".[");
    at.resize(cut == std::string::npos ? 0 : cut);
  }
}

std::string Diagnostics::format(Mark mark, const std::string& path,
                                const std::string& reason) const {
  std::string text = file_;
  if (mark.line > 0) text += ":" + std::to_string(mark.line) + ":" + std::to_string(mark.column);
  if (!text.empty()) text += ": ";
  if (!path.empty()) text += path + ": ";
  return text + reason;
}

void Diagnostics::errorAt(Mark mark, const std::string& path, const std::string& reason) {
  constexpr size_t kMax = 200;
  if (errors_.size() < kMax) {
    errors_.push_back(format(mark, path, reason));
  } else if (errors_.size() == kMax) {
    errors_.push_back(file_ + ": more errors were found and are not listed");
  }
}

void Diagnostics::warning(const std::string& path, const std::string& reason) {
  warnings_.push_back(format(position(path), path, reason));
}

void Diagnostics::errorBelow(const std::string& prefix, std::string_view message) {
  size_t colon = message.find(": ");
  std::string_view path = message.substr(0, colon);
  // A message without a path in front has blanks before its first colon.
  if (colon == message.npos || path.find(' ') != path.npos) {
    error(prefix, std::string(message));
  } else {
    error(joinPath(prefix, path), std::string(message.substr(colon + 2)));
  }
}

std::string Diagnostics::toString() const {
  std::string all;
  for (const std::string& one : errors_) all += one + "\n";
  return all;
}

}  // namespace gatehouse::config
