#include "source/config/tree.h"

#include <sstream>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

namespace gatehouse::config {

namespace {

struct TooDeep : std::runtime_error {
  explicit TooDeep(Mark at) : std::runtime_error("too deep"), mark(at) {}
  Mark mark;
};

Mark markOf(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// Builds the tree from parser events: the library's own tree accepts duplicate keys and loses
// positions.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
  std::shared_ptr<Node> root;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(Node::kNull, mark, anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    // An alias inside its own anchor would be a cycle.
    for (const Frame& frame : stack_) {
      if (found != anchors_.end() && frame.node == found->second) {
        diagnostics_.errorAt(markOf(mark), "", "an alias refers to a node that contains it");
        add(make(Node::kNull, mark, 0));
        return;
      }
    }
    add(found == anchors_.end() ? make(Node::kNull, mark, 0) : found->second);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(Node::kScalar, mark, anchor);
    node->quoted = tag == "!";
    node->text = value;
    if (!node->quoted && (value == "null" || value == "~" || value == "Null" || value == "NULL"))
      node->kind = Node::kNull;
    if (!stack_.empty() && stack_.back().node->kind == Node::kMap && !stack_.back().have_key) {
      stack_.back().have_key = true;
      stack_.back().key = value;
      stack_.back().key_mark = markOf(mark);
      return;
    }
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    push(make(Node::kSequence, mark, anchor));
  }
  void OnSequenceEnd() override { pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    push(make(Node::kMap, mark, anchor));
  }
  void OnMapEnd() override { pop(); }

 private:
  struct Frame {
    std::shared_ptr<Node> node;
    bool have_key = false;
    bool is_key = false;  // this collection is itself a key: dropped
    std::string key;
    Mark key_mark;
    std::unordered_set<std::string> keys;
  };

  std::shared_ptr<Node> make(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->mark = markOf(mark);
    if (anchor != 0) anchors_[anchor] = node;
    return node;
  }

  void push(std::shared_ptr<Node> node) {
    if (stack_.size() >= kMaxDepth) throw TooDeep(node->mark);
    Frame frame;
    frame.is_key =
        !stack_.empty() && stack_.back().node->kind == Node::kMap && !stack_.back().have_key;
    frame.node = std::move(node);
    stack_.push_back(std::move(frame));
  }

  void pop() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.is_key) {
      diagnostics_.errorAt(frame.node->mark, "", "a key must be a plain name");
      stack_.back().have_key = true;
      stack_.back().key = "?";
      stack_.back().key_mark = frame.node->mark;
      return;
    }
    add(std::move(frame.node));
  }

  void add(std::shared_ptr<Node> node) {
    if (stack_.empty()) {
      root = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    if (frame.node->kind == Node::kSequence) {
      frame.node->elements.push_back(std::move(node));
      return;
    }
    if (!frame.have_key) {  // null or an alias as key
      frame.have_key = true;
      frame.key = "null";
      frame.key_mark = node->mark;
      return;
    }
    frame.have_key = false;
    if (!frame.keys.insert(frame.key).second) {
      diagnostics_.errorAt(frame.key_mark, frame.key, "the key stands twice in this map");
      return;
    }
    frame.node->members.push_back({frame.key, frame.key_mark, std::move(node)});
  }

  Diagnostics& diagnostics_;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, std::shared_ptr<Node>> anchors_;
};

}  // namespace

std::shared_ptr<Node> parseTree(const std::string& text, Diagnostics& diagnostics) {
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    Builder builder(diagnostics);
    if (!parser.HandleNextDocument(builder) || builder.root == nullptr) {
      auto empty = std::make_shared<Node>();
      empty->mark = {1, 1};
      return empty;
    }
    Builder second(diagnostics);
    if (parser.HandleNextDocument(second) && second.root != nullptr) {
      diagnostics.errorAt(second.root->mark, "", "only one document is allowed in a file");
      return nullptr;
    }
    return builder.root;
  } catch (const TooDeep& e) {
    diagnostics.errorAt(e.mark, "", "nested deeper than " + std::to_string(kMaxDepth) + " levels");
  } catch (const YAML::Exception& e) {
    diagnostics.errorAt(markOf(e.mark), "", e.msg);
  } catch (const std::exception& e) {
    diagnostics.errorAt({}, "", e.what());
  }
  return nullptr;
}

}  // namespace gatehouse::config
