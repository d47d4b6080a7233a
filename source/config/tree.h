#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "source/config/diagnostics.h"

namespace gatehouse::config {

// A YAML or JSON document with the place of every node. Aliases share the node of their anchor.
struct Node {
  enum Kind : uint8_t { kNull, kScalar, kSequence, kMap } kind = kNull;
  bool quoted = false;  // a quoted scalar is always a string
  Mark mark;
  std::string text;  // kScalar
  struct Member {
    std::string key;
    Mark mark;
    std::shared_ptr<Node> value;
  };
  std::vector<Member> members;                  // kMap
  std::vector<std::shared_ptr<Node>> elements;  // kSequence
};

constexpr int kMaxDepth = 100;

// Null when the text cannot be read; the reasons are in `diagnostics` (syntax, duplicate keys,
// depth).
std::shared_ptr<Node> parseTree(const std::string& text, Diagnostics& diagnostics);

}  // namespace gatehouse::config
