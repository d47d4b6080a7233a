#include "source/config/loader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>

#include "absl/strings/escaping.h"
#include "source/base/nearest.h"
#include "source/config/known.h"
#include "source/config/tree.h"
#include "source/config/validate.h"

namespace gatehouse::config {

namespace pb = google::protobuf;

namespace {

bool asBool(const Node& node, bool* value) {
  if (node.kind != Node::kScalar || node.quoted) return false;
  std::string text;
  for (char c : node.text) text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (text == "true" || text == "yes" || text == "on") {
    *value = true;
    return true;
  }
  *value = false;
  return text == "false" || text == "no" || text == "off";
}

template <class T>
bool asInteger(const std::string& text, T* value) {
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, *value);
  if (error == std::errc() && at == end) return true;
  // "1e3" and "5.0" are integers too in the JSON mapping.
  double number = 0;
  auto [stop, bad] = std::from_chars(text.data(), end, number);
  if (bad != std::errc() || stop != end || number != std::floor(number) ||
      number < static_cast<double>(std::numeric_limits<T>::min()) ||
      number >= static_cast<double>(std::numeric_limits<T>::max())) {
    return false;
  }
  *value = static_cast<T>(number);
  return true;
}

bool asDouble(const std::string& text, double* value) {
  if (text == "NaN" || text == "Infinity" || text == "-Infinity") {
    *value = text == "NaN" ? std::nan("") : text == "Infinity" ? INFINITY : -INFINITY;
    return true;
  }
  const char* end = text.data() + text.size();
  auto [at, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && at == end;
}

// "1.5s": seconds with up to nine decimals (protobuf's JSON mapping).
bool asDuration(const std::string& text, int64_t* seconds, int32_t* nanos) {
  if (text.size() < 2 || text.back() != 's') return false;
  std::string_view rest(text.data(), text.size() - 1);
  bool negative = rest.front() == '-';
  if (negative) rest.remove_prefix(1);
  size_t dot = rest.find('.');
  std::string_view whole = rest.substr(0, dot);
  std::string_view part = dot == rest.npos ? "" : rest.substr(dot + 1);
  if (whole.empty() || whole.size() > 12 || (dot != rest.npos && part.empty()) || part.size() > 9)
    return false;
  *seconds = 0;
  *nanos = 0;
  for (char c : whole) {
    if (c < '0' || c > '9') return false;
    *seconds = *seconds * 10 + (c - '0');
  }
  for (size_t i = 0; i < 9; ++i) {
    char c = i < part.size() ? part[i] : '0';
    if (c < '0' || c > '9') return false;
    *nanos = *nanos * 10 + (c - '0');
  }
  if (*seconds > 315576000000) return false;
  if (negative) {
    *seconds = -*seconds;
    *nanos = -*nanos;
  }
  return true;
}

class Converter {
 public:
  Converter(const LoadOptions& options, Diagnostics& diagnostics)
      : options_(options), diagnostics_(diagnostics) {}

  void message(const Node& node, const std::string& path, pb::Message& to) {
    const std::string& type = to.GetDescriptor()->full_name();
    if (!spend(node, path)) return;
    if (type == "google.protobuf.Any") return any(node, path, to);
    if (type == "google.protobuf.Duration") return duration(node, path, to);
    if (type == "google.protobuf.Struct" || type == "google.protobuf.Value" ||
        type == "google.protobuf.ListValue") {
      return structValue(node, path, to);
    }
    if (to.GetDescriptor()->file()->name() == "google/protobuf/wrappers.proto") {
      return scalar(node, path, to, to.GetDescriptor()->field(0));
    }
    if (node.kind == Node::kNull) return;
    if (node.kind != Node::kMap) return wrong(node, path, "a map with the fields of " + type);
    for (const Node::Member& member : node.members) {
      if (member.key == "@type" && in_any_ == &node) continue;
      field(member, path, to);
    }
  }

 private:
  // A document that refers to itself many times over could cost any amount of work.
  bool spend(const Node& node, const std::string& path) {
    if (++work_ < 20'000'000) return true;
    if (work_ == 20'000'000)
      diagnostics_.errorAt(node.mark, path, "the document expands to too many values");
    return false;
  }

  void wrong(const Node& node, const std::string& path, const std::string& wanted) {
    std::string got = node.kind == Node::kNull       ? "null"
                      : node.kind == Node::kSequence ? "a list"
                      : node.kind == Node::kMap      ? "a map"
                                                     : "'" + node.text.substr(0, 80) + "'";
    diagnostics_.errorAt(node.mark, path, "expected " + wanted + ", got " + got);
  }

  static const pb::FieldDescriptor* findField(const pb::Descriptor* type, const std::string& name) {
    const pb::FieldDescriptor* found = type->FindFieldByName(name);
    return found != nullptr ? found : type->FindFieldByCamelcaseName(name);
  }

  void unknown(Mark mark, const std::string& path, const std::string& reason) {
    if (options_.allow_unknown) {
      diagnostics_.notePosition(path, mark);
      diagnostics_.warning(path, reason + "; ignored");
    } else {
      diagnostics_.errorAt(mark, path, reason);
    }
  }

  void field(const Node::Member& member, const std::string& path, pb::Message& to) {
    const pb::Descriptor* type = to.GetDescriptor();
    const pb::FieldDescriptor* field = findField(type, member.key);
    if (field == nullptr) {
      std::string at = joinPath(path, member.key);
      std::string snake;
      for (char c : member.key) {
        if (c >= 'A' && c <= 'Z') snake += '_';
        snake += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      }
      if (knownToEnvoy(type->full_name(), member.key) || knownToEnvoy(type->full_name(), snake)) {
        unknown(member.mark, at, "the field is known to Envoy but not supported by Gatehouse yet");
        return;
      }
      std::vector<std::string_view> names;
      for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
      unknown(member.mark, at,
              type->full_name() + " has no such field" + base::didYouMean(member.key, names));
      return;
    }
    std::string at = joinPath(path, field->name());
    diagnostics_.notePosition(at, member.mark);
    const Node& node = *member.value;
    const pb::Reflection* reflection = to.GetReflection();
    if (field->containing_oneof() != nullptr) {
      const auto* other = reflection->GetOneofFieldDescriptor(to, field->containing_oneof());
      if (other != nullptr && other != field && node.kind != Node::kNull) {
        diagnostics_.errorAt(
            member.mark, at,
            "only one of '" + other->name() + "' and '" + field->name() + "' may be set");
        return;
      }
    }
    if (field->is_map()) return map(node, at, to, field);
    if (field->is_repeated()) {
      if (node.kind == Node::kNull) return;
      if (node.kind != Node::kSequence) return wrong(node, at, "a list");
      int index = 0;
      for (const auto& element : node.elements) {
        std::string item = at + "[" + std::to_string(index++) + "]";
        diagnostics_.notePosition(item, element->mark);
        if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
          if (element->kind == Node::kNull) {
            wrong(*element, item, "a value");
            continue;
          }
          message(*element, item, *reflection->AddMessage(&to, field));
        } else {
          scalar(*element, item, to, field);
        }
      }
      return;
    }
    if (node.kind == Node::kNull && field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE)
      return;
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (node.kind == Node::kNull && field->message_type()->full_name() != "google.protobuf.Value")
        return;
      message(node, at, *reflection->MutableMessage(&to, field));
    } else {
      scalar(node, at, to, field);
    }
  }

  void map(const Node& node, const std::string& path, pb::Message& to,
           const pb::FieldDescriptor* field) {
    if (node.kind == Node::kNull) return;
    if (node.kind != Node::kMap) return wrong(node, path, "a map");
    const pb::FieldDescriptor* key = field->message_type()->FindFieldByNumber(1);
    const pb::FieldDescriptor* value = field->message_type()->FindFieldByNumber(2);
    for (const Node::Member& member : node.members) {
      std::string at = path + "[\"" + member.key + "\"]";
      diagnostics_.notePosition(at, member.mark);
      pb::Message* entry = to.GetReflection()->AddMessage(&to, field);
      entry->GetReflection()->SetString(entry, key, member.key);
      if (value->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        message(*member.value, at, *entry->GetReflection()->MutableMessage(entry, value));
      } else {
        scalar(*member.value, at, *entry, value);
      }
    }
  }

  void any(const Node& node, const std::string& path, pb::Message& to) {
    if (node.kind != Node::kMap) return wrong(node, path, "a map with '@type'");
    const Node* type = nullptr;
    for (const Node::Member& member : node.members) {
      if (member.key == "@type") type = member.value.get();
    }
    if (type == nullptr || type->kind != Node::kScalar || type->text.empty()) {
      diagnostics_.errorAt(node.mark, path,
                           "'@type' is missing: it names the type of the configuration");
      return;
    }
    std::string name = type->text.substr(type->text.rfind('/') + 1);
    const auto* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
    if (descriptor == nullptr) {
      std::string at = joinPath(path, "@type");
      if (typeKnownToEnvoy(name)) {
        diagnostics_.errorAt(
            type->mark, at,
            "the extension '" + name + "' is known to Envoy but not supported by Gatehouse yet");
        return;
      }
      std::vector<std::string> extensions = extensionTypes();
      std::vector<std::string_view> candidates(extensions.begin(), extensions.end());
      diagnostics_.errorAt(type->mark, at,
                           "unknown type '" + name + "'" + base::didYouMean(name, candidates));
      return;
    }
    std::unique_ptr<pb::Message> inner(
        pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
    const Node* outer = in_any_;
    in_any_ = &node;
    message(node, path, *inner);
    in_any_ = outer;
    const pb::Reflection* reflection = to.GetReflection();
    reflection->SetString(&to, to.GetDescriptor()->FindFieldByNumber(1),
                          "type.googleapis.com/" + name);
    reflection->SetString(&to, to.GetDescriptor()->FindFieldByNumber(2),
                          inner->SerializeAsString());
  }

  static std::vector<std::string> extensionTypes();

  void duration(const Node& node, const std::string& path, pb::Message& to) {
    int64_t seconds = 0;
    int32_t nanos = 0;
    if (node.kind != Node::kScalar || !asDuration(node.text, &seconds, &nanos)) {
      return wrong(node, path, "a duration like 1.5s");
    }
    to.GetReflection()->SetInt64(&to, to.GetDescriptor()->FindFieldByNumber(1), seconds);
    to.GetReflection()->SetInt32(&to, to.GetDescriptor()->FindFieldByNumber(2), nanos);
  }

  void structValue(const Node& node, const std::string& path, pb::Message& to) {
    if (auto* whole = dynamic_cast<pb::Struct*>(&to)) {
      if (node.kind == Node::kNull) return;
      if (node.kind != Node::kMap) return wrong(node, path, "a map");
      for (const auto& member : node.members) {
        structValue(*member.value, joinPath(path, member.key),
                    (*whole->mutable_fields())[member.key]);
      }
    } else if (auto* list = dynamic_cast<pb::ListValue*>(&to)) {
      if (node.kind != Node::kSequence) return wrong(node, path, "a list");
      for (const auto& element : node.elements) structValue(*element, path, *list->add_values());
    } else if (auto* value = dynamic_cast<pb::Value*>(&to)) {
      bool flag = false;
      double number = 0;
      switch (node.kind) {
        case Node::kNull:
          value->set_null_value(pb::NULL_VALUE);
          break;
        case Node::kMap:
          structValue(node, path, *value->mutable_struct_value());
          break;
        case Node::kSequence:
          structValue(node, path, *value->mutable_list_value());
          break;
        case Node::kScalar:
          if (asBool(node, &flag)) {
            value->set_bool_value(flag);
          } else if (!node.quoted && asDouble(node.text, &number) && std::isfinite(number)) {
            value->set_number_value(number);
          } else {
            value->set_string_value(node.text);
          }
          break;
      }
    }
  }

  void scalar(const Node& node, const std::string& path, pb::Message& to,
              const pb::FieldDescriptor* field) {
    const pb::Reflection* r = to.GetReflection();
    bool repeated = field->is_repeated();
    if (node.kind != Node::kScalar) return wrong(node, path, kindName(field));
    auto set = [&](auto single, auto add, auto value) {
      if (repeated) {
        (r->*add)(&to, field, value);
      } else {
        (r->*single)(&to, field, value);
      }
    };
    using R = pb::Reflection;
    switch (field->cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_BOOL: {
        bool value = false;
        if (!asBool(node, &value)) return wrong(node, path, "true or false");
        return set(&R::SetBool, &R::AddBool, value);
      }
      case pb::FieldDescriptor::CPPTYPE_INT32: {
        int32_t value = 0;
        if (!asInteger(node.text, &value)) return wrong(node, path, kindName(field));
        return set(&R::SetInt32, &R::AddInt32, value);
      }
      case pb::FieldDescriptor::CPPTYPE_UINT32: {
        uint32_t value = 0;
        if (!asInteger(node.text, &value)) return wrong(node, path, kindName(field));
        return set(&R::SetUInt32, &R::AddUInt32, value);
      }
      case pb::FieldDescriptor::CPPTYPE_INT64: {
        int64_t value = 0;
        if (!asInteger(node.text, &value)) return wrong(node, path, kindName(field));
        return set(&R::SetInt64, &R::AddInt64, value);
      }
      case pb::FieldDescriptor::CPPTYPE_UINT64: {
        uint64_t value = 0;
        if (!asInteger(node.text, &value)) return wrong(node, path, kindName(field));
        return set(&R::SetUInt64, &R::AddUInt64, value);
      }
      case pb::FieldDescriptor::CPPTYPE_DOUBLE: {
        double value = 0;
        if (!asDouble(node.text, &value)) return wrong(node, path, "a number");
        return set(&R::SetDouble, &R::AddDouble, value);
      }
      case pb::FieldDescriptor::CPPTYPE_FLOAT: {
        double value = 0;
        if (!asDouble(node.text, &value)) return wrong(node, path, "a number");
        return set(&R::SetFloat, &R::AddFloat, static_cast<float>(value));
      }
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        return enumeration(node, path, to, field);
      case pb::FieldDescriptor::CPPTYPE_STRING: {
        std::string value = node.text;
        if (field->type() == pb::FieldDescriptor::TYPE_BYTES) {
          if (!absl::Base64Unescape(node.text, &value) &&
              !absl::WebSafeBase64Unescape(node.text, &value)) {
            return wrong(node, path, "bytes in base64");
          }
        }
        return set(&R::SetString, &R::AddString, value);
      }
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
  }

  void enumeration(const Node& node, const std::string& path, pb::Message& to,
                   const pb::FieldDescriptor* field) {
    const pb::EnumDescriptor* type = field->enum_type();
    const pb::EnumValueDescriptor* value = type->FindValueByName(node.text);
    int number = 0;
    if (value == nullptr && asInteger(node.text, &number)) value = type->FindValueByNumber(number);
    if (value == nullptr) {
      if (knownToEnvoy(type->full_name(), node.text)) {
        diagnostics_.errorAt(
            node.mark, path,
            "the value '" + node.text + "' is known to Envoy but not supported by Gatehouse yet");
        return;
      }
      std::vector<std::string_view> names;
      for (int i = 0; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
      std::string all;
      for (std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
      std::string hint = base::didYouMean(node.text, names);
      diagnostics_.errorAt(node.mark, path,
                           "unknown value '" + node.text.substr(0, 80) + "'" +
                               (hint.empty() ? ", expected one of " + all : hint));
      return;
    }
    if (field->is_repeated()) {
      to.GetReflection()->AddEnum(&to, field, value);
    } else {
      to.GetReflection()->SetEnum(&to, field, value);
    }
  }

  static std::string kindName(const pb::FieldDescriptor* field) {
    switch (field->cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        return "an integer from 0 to 4294967295";
      case pb::FieldDescriptor::CPPTYPE_INT32:
        return "an integer from -2147483648 to 2147483647";
      case pb::FieldDescriptor::CPPTYPE_UINT64:
        return "an integer from 0 to 18446744073709551615";
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return "an integer of 64 bits";
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case pb::FieldDescriptor::CPPTYPE_STRING:
        return "a string";
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        return "a value of " + field->enum_type()->full_name();
      default:
        return "a number";
    }
  }

  const LoadOptions& options_;
  Diagnostics& diagnostics_;
  const Node* in_any_ = nullptr;
  uint64_t work_ = 0;
};

// Configuration types an Any may hold, for "did you mean".
std::vector<std::string> Converter::extensionTypes() {
  static constexpr const char* kTypes[] = {
      "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      "envoy.extensions.filters.http.router.v3.Router",
      "envoy.extensions.access_loggers.file.v3.FileAccessLog",
      "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
      "envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
  };
  return {std::begin(kTypes), std::end(kTypes)};
}

class TextErrors : public pb::io::ErrorCollector {
 public:
  explicit TextErrors(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}
  void AddError(int line, int column, const std::string& message) override {
    diagnostics_.errorAt({line + 1, column + 1}, "", message);
  }

 private:
  Diagnostics& diagnostics_;
};

bool endsWith(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

bool formatOf(const std::string& path, Format* format) {
  if (endsWith(path, ".yaml") || endsWith(path, ".yml")) {
    *format = Format::kYaml;
  } else if (endsWith(path, ".json")) {
    *format = Format::kJson;
  } else if (endsWith(path, ".textproto") || endsWith(path, ".txtpb") ||
             endsWith(path, ".pb_text") || endsWith(path, ".pb_txt")) {
    *format = Format::kTextProto;
  } else if (endsWith(path, ".pb") || endsWith(path, ".bin")) {
    *format = Format::kBinary;
  } else {
    return false;
  }
  return true;
}

bool loadText(const std::string& text, Format format, const LoadOptions& options,
              pb::Message& message, Diagnostics& diagnostics) {
  if (text.size() > kMaxFileBytes) {
    diagnostics.errorAt({}, "", "larger than " + std::to_string(kMaxFileBytes >> 20) + " MiB");
    return false;
  }
  switch (format) {
    case Format::kYaml:
    case Format::kJson: {
      std::shared_ptr<Node> root = parseTree(text, diagnostics);
      if (root == nullptr) return false;
      diagnostics.notePosition("", root->mark);
      Converter(options, diagnostics).message(*root, "", message);
      break;
    }
    case Format::kTextProto: {
      TextErrors errors(diagnostics);
      pb::TextFormat::Parser parser;
      parser.RecordErrorsTo(&errors);
      parser.SetRecursionLimit(kMaxDepth);
      if (!parser.MergeFromString(text, &message) && diagnostics.ok())
        diagnostics.errorAt({}, "", "not a valid text proto");
      break;
    }
    case Format::kBinary: {
      std::unique_ptr<pb::Message> read(message.New());
      if (!read->ParseFromString(text)) {
        diagnostics.errorAt(
            {}, "", "not a valid " + message.GetDescriptor()->full_name() + " in binary form");
      } else {
        message.MergeFrom(*read);
      }
      break;
    }
  }
  if (diagnostics.ok()) validate(message, "", diagnostics);
  return diagnostics.ok();
}

bool loadFile(const std::string& path, const LoadOptions& options, pb::Message& message,
              Diagnostics& diagnostics) {
  diagnostics.setFile(path);
  Format format;
  if (!formatOf(path, &format)) {
    diagnostics.errorAt({}, "",
                        "unknown file type: the name must end in .yaml, .yml, .json, .textproto, "
                        ".txtpb, .pb_text or .pb");
    return false;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    diagnostics.errorAt({}, "", std::string("cannot be read: ") + std::strerror(errno));
    return false;
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad() || (text.tellp() <= 0 && file.fail() && !file.eof() && file.peek() != EOF)) {
    diagnostics.errorAt({}, "", "cannot be read");
    return false;
  }
  return loadText(text.str(), format, options, message, diagnostics);
}

}  // namespace gatehouse::config
