#include "source/config/validate.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>
#include <re2/re2.h>

#include <cctype>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include "api/gatehouse/config/v1/rules.pb.h"

namespace gatehouse::config {

namespace pb = google::protobuf;

namespace {

// A rule in text form: `kind { word: value ... word {nested} }`.
struct Rule {
  std::string kind;
  std::map<std::string, std::vector<std::string>> values;
  std::map<std::string, Rule> nested;
  bool has(const std::string& word) const { return values.contains(word) || nested.contains(word); }
  std::optional<double> number(const std::string& word) const {
    auto found = values.find(word);
    if (found == values.end()) return std::nullopt;
    return std::stod(found->second.front());
  }
};

class RuleParser {
 public:
  explicit RuleParser(const std::string& text) : text_(text) {}
  Rule parse() {
    Rule rule;
    rule.kind = word();
    skip();
    if (peek() == '{') {
      ++at_;
      body(rule);
    }
    return rule;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip() {
    while (std::isspace(static_cast<unsigned char>(peek())) || peek() == ',') ++at_;
  }
  std::string word() {
    skip();
    std::string out;
    if (peek() == '"') {
      ++at_;
      while (at_ < text_.size() && peek() != '"') {
        if (peek() == '\\' && at_ + 1 < text_.size()) ++at_;
        out += text_[at_++];
      }
      ++at_;
      return out;
    }
    while (at_ < text_.size() && !std::isspace(static_cast<unsigned char>(peek())) &&
           peek() != ':' && peek() != '{' && peek() != '}' && peek() != ',') {
      out += text_[at_++];
    }
    return out;
  }
  void body(Rule& rule) {
    for (;;) {
      skip();
      if (at_ >= text_.size()) return;
      if (peek() == '}') {
        ++at_;
        return;
      }
      std::string name = word();
      if (name.empty()) return;
      skip();
      if (peek() == ':') {
        ++at_;
        skip();
        rule.values[name].push_back(word());
      } else if (peek() == '{') {
        ++at_;
        Rule inner;
        inner.kind = name;
        body(inner);
        rule.nested[name] = inner;
      }
    }
  }
  const std::string& text_;
  size_t at_ = 0;
};

const Rule& ruleOf(const pb::FieldDescriptor* field) {
  static auto* cache = new std::map<const pb::FieldDescriptor*, Rule>();
  auto [at, fresh] = cache->try_emplace(field);
  if (fresh) {
    const std::string& text = field->options().GetExtension(gatehouse::config::v1::rule);
    if (!text.empty()) at->second = RuleParser(text).parse();
  }
  return at->second;
}

std::string trimNumber(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string checkNumber(const Rule& rule, double value) {
  if (auto bound = rule.number("gt"); bound && !(value > *bound))
    return "value must be greater than " + trimNumber(*bound);
  if (auto bound = rule.number("gte"); bound && !(value >= *bound))
    return "value must be at least " + trimNumber(*bound);
  if (auto bound = rule.number("lt"); bound && !(value < *bound))
    return "value must be less than " + trimNumber(*bound);
  if (auto bound = rule.number("lte"); bound && !(value <= *bound))
    return "value must be at most " + trimNumber(*bound);
  return "";
}

bool headerNameOk(const std::string& text) {
  for (char c : text) {
    if (c == '\0' || c == '\n' || c == '\r') return false;
  }
  return true;
}

std::string checkString(const Rule& rule, const std::string& text) {
  if (auto bound = rule.number("min_len"); bound && static_cast<double>(text.size()) < *bound) {
    return *bound == 1 ? "value must not be empty"
                       : "value must have at least " + trimNumber(*bound) + " characters";
  }
  if (auto bound = rule.number("max_bytes"); bound && static_cast<double>(text.size()) > *bound) {
    return "value must have at most " + trimNumber(*bound) + " bytes";
  }
  if (auto bound = rule.number("max_len"); bound && static_cast<double>(text.size()) > *bound) {
    return "value must have at most " + trimNumber(*bound) + " characters";
  }
  auto regex = rule.values.find("well_known_regex");
  if (regex != rule.values.end() && !headerNameOk(text))
    return "value must not contain NUL, CR or LF";
  auto pattern = rule.values.find("pattern");
  if (pattern != rule.values.end() && !RE2::PartialMatch(text, pattern->second.front())) {
    return "value must match '" + pattern->second.front() + "'";
  }
  auto in = rule.values.find("in");
  if (in != rule.values.end()) {
    std::string allowed;
    for (const std::string& one : in->second) {
      if (one == text) return "";
      allowed += (allowed.empty() ? "" : ", ") + one;
    }
    return "value must be one of " + allowed;
  }
  return "";
}

// gt {}, gte {}, lt {seconds: N}
std::string checkDuration(const Rule& rule, const pb::Message& message) {
  const auto* descriptor = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  double value =
      static_cast<double>(reflection->GetInt64(message, descriptor->FindFieldByNumber(1))) +
      reflection->GetInt32(message, descriptor->FindFieldByNumber(2)) / 1e9;
  for (const auto& [word, nested] : rule.nested) {
    double bound = nested.number("seconds").value_or(0) + nested.number("nanos").value_or(0) / 1e9;
    if (word == "gt" && !(value > bound))
      return "duration must be greater than " + trimNumber(bound) + "s";
    if (word == "gte" && !(value >= bound))
      return "duration must be at least " + trimNumber(bound) + "s";
    if (word == "lt" && !(value < bound))
      return "duration must be less than " + trimNumber(bound) + "s";
    if (word == "lte" && !(value <= bound))
      return "duration must be at most " + trimNumber(bound) + "s";
  }
  return "";
}

class Validator {
 public:
  explicit Validator(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void message(const pb::Message& message, const std::string& path, int depth) {
    if (depth > 200) {
      diagnostics_.error(path, "nested too deep");
      return;
    }
    if (message.GetDescriptor()->full_name() == "google.protobuf.Any") {
      any(message, path, depth);
      return;
    }
    const pb::Reflection* reflection = message.GetReflection();
    if (!reflection->GetUnknownFields(message).empty()) {
      diagnostics_.error(
          path, "field number " +
                    std::to_string(reflection->GetUnknownFields(message).field(0).number()) +
                    " of " + message.GetDescriptor()->full_name() + " is not supported");
    }
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      field(message, message.GetDescriptor()->field(i), path, depth);
    }
  }

 private:
  void any(const pb::Message& message, const std::string& path, int depth) {
    pb::Any any;
    any.CopyFrom(message);
    std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
    const auto* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
    if (descriptor == nullptr) return;  // whoever looks the type up says so
    std::unique_ptr<pb::Message> inner(
        pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
    if (!inner->ParseFromString(any.value())) {
      diagnostics_.error(path, "the bytes are no valid " + type);
      return;
    }
    this->message(*inner, path, depth + 1);
  }

  void field(const pb::Message& message, const pb::FieldDescriptor* field, const std::string& path,
             int depth) {
    const pb::Reflection* reflection = message.GetReflection();
    const Rule& rule = ruleOf(field);
    std::string at = joinPath(path, field->name());
    if (field->is_repeated()) {
      int count = reflection->FieldSize(message, field);
      if (auto bound = rule.number("min_items"); bound && count < *bound) {
        diagnostics_.error(at, "at least " + trimNumber(*bound) + " are needed");
      }
      if (auto bound = rule.number("max_items"); bound && count > *bound) {
        diagnostics_.error(at, "at most " + trimNumber(*bound) + " are allowed");
      }
      const Rule* items = nullptr;
      if (auto found = rule.nested.find("items");
          found != rule.nested.end() && !found->second.nested.empty()) {
        items = &found->second.nested.begin()->second;
      }
      for (int i = 0; i < count; ++i) {
        std::string item = at + "[" + std::to_string(i) + "]";
        if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
          const pb::Message& element = reflection->GetRepeatedMessage(message, field, i);
          if (field->is_map()) {
            std::string key = element.GetReflection()->GetString(
                element, element.GetDescriptor()->FindFieldByNumber(1));
            item = at + "[\"" + key + "\"]";
            const auto* value = element.GetDescriptor()->FindFieldByNumber(2);
            if (value->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
              this->message(element.GetReflection()->GetMessage(element, value), item, depth + 1);
            }
            continue;
          }
          this->message(element, item, depth + 1);
        } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING && items != nullptr) {
          report(item, checkString(*items, reflection->GetRepeatedString(message, field, i)));
        }
      }
      return;
    }
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!reflection->HasField(message, field)) {
        auto required = rule.values.find("required");
        if (required != rule.values.end() && required->second.front() == "true" &&
            field->containing_oneof() == nullptr) {
          diagnostics_.error(at, "the field is required");
        }
        return;
      }
      const pb::Message& inner = reflection->GetMessage(message, field);
      const std::string& type = inner.GetDescriptor()->full_name();
      if (rule.kind == "duration") {
        report(at, checkDuration(rule, inner));
      } else if (type == "google.protobuf.UInt32Value") {
        report(at, checkNumber(rule, inner.GetReflection()->GetUInt32(
                                         inner, inner.GetDescriptor()->field(0))));
      }
      this->message(inner, at, depth + 1);
      return;
    }
    // A member of a oneof counts only when it is the one set.
    if (field->containing_oneof() != nullptr && !reflection->HasField(message, field)) return;
    switch (field->cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_STRING:
        if (!rule.kind.empty())
          report(at, checkString(rule, reflection->GetString(message, field)));
        break;
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        report(at, checkNumber(rule, reflection->GetUInt32(message, field)));
        break;
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        // Values we leave out of an enum are those we do not act on: refused, whatever the rule
        // says.
        if (field->enum_type()->FindValueByNumber(reflection->GetEnumValue(message, field)) ==
            nullptr) {
          diagnostics_.error(
              at, "value " + std::to_string(reflection->GetEnumValue(message, field)) + " of " +
                      field->enum_type()->full_name() + " is not supported");
        }
        break;
      default:
        break;
    }
  }

  void report(const std::string& path, const std::string& reason) {
    if (!reason.empty()) diagnostics_.error(path, reason);
  }

  Diagnostics& diagnostics_;
};

}  // namespace

void validate(const pb::Message& message, const std::string& path, Diagnostics& diagnostics) {
  Validator(diagnostics).message(message, path, 0);
}

}  // namespace gatehouse::config
