#include "source/router/header_rules.h"

#include "api/envoy/config/core/v3/base.pb.h"
#include "source/http/chars.h"

namespace gatehouse::router {

namespace {

std::string lowerCase(const std::string& text) {
  std::string out;
  for (char c : text) out += http::lower(c);
  return out;
}

absl::Status checkName(const std::string& name, const std::string& path, bool adding) {
  if (!name.empty() && (name[0] == ':' || http::equalsIgnoreCase(name, "host"))) {
    return absl::InvalidArgumentError(path + ": " +
                                      (adding ? "':'-prefixed or host headers may not be modified"
                                              : "':'-prefixed or host headers may not be removed"));
  }
  if (!http::chars::all(name, http::chars::kToken)) {
    return absl::InvalidArgumentError(path + ": '" + name + "' is no valid header name");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HeaderRules> HeaderRules::compile(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
    const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& add_path,
    const std::string& remove_path) {
  HeaderRules rules;
  for (int i = 0; i < remove.size(); ++i) {
    absl::Status status = checkName(remove[i], remove_path + "[" + std::to_string(i) + "]", false);
    if (!status.ok()) return status;
    rules.remove_.push_back(lowerCase(remove[i]));
  }
  using Option = envoy::config::core::v3::HeaderValueOption;
  for (int i = 0; i < add.size(); ++i) {
    std::string path = add_path + "[" + std::to_string(i) + "].header";
    absl::Status status = checkName(add[i].header().key(), path + ".key", true);
    if (!status.ok()) return status;
    Addition one;
    one.name = lowerCase(add[i].header().key());
    one.id = http::headerId(one.name);
    one.keep_empty = add[i].keep_empty_value();
    switch (add[i].append_action()) {
      case Option::ADD_IF_ABSENT:
        one.action = Action::kAddIfAbsent;
        break;
      case Option::OVERWRITE_IF_EXISTS_OR_ADD:
        one.action = Action::kOverwrite;
        break;
      case Option::OVERWRITE_IF_EXISTS:
        one.action = Action::kOverwriteIfExists;
        break;
      default:
        one.action = Action::kAppend;
    }
    auto format = formatter::Formatter::compile(add[i].header().value(), true);
    if (!format.ok())
      return absl::InvalidArgumentError(path + ".value: " + std::string(format.status().message()));
    one.constant = format->isConstant();
    one.format = *std::move(format);
    if (one.constant) {
      http::RequestHead* none = nullptr;
      sdk::StreamInfo info;
      one.format.render({none, nullptr, nullptr, info}, one.value);
    }
    rules.add_.push_back(std::move(one));
  }
  return rules;
}

void HeaderRules::overwrite(http::HeaderMap& headers, const Addition& one, std::string_view value) {
  if (one.id != http::HeaderId::kOther) {
    headers.setCopy(one.id, value);
    return;
  }
  headers.remove(one.name);
  headers.addCopy(one.name, value);
}

void HeaderRules::apply(http::HeaderMap& headers, const sdk::LogEntry& entry) const {
  for (const std::string& name : remove_) headers.remove(std::string_view(name));
  static thread_local std::string rendered;
  for (const Addition& one : add_) {
    std::string_view value = one.value;
    if (!one.constant) {
      rendered.clear();
      one.format.render(entry, rendered);
      value = rendered;
    }
    if (value.empty() && !one.keep_empty) continue;
    bool present = one.id != http::HeaderId::kOther
                       ? headers.has(one.id)
                       : headers.find(std::string_view(one.name)) != nullptr;
    switch (one.action) {
      case Action::kAppend:
        headers.addCopy(one.name, value);
        break;
      case Action::kAddIfAbsent:
        if (!present) headers.addCopy(one.name, value);
        break;
      case Action::kOverwrite:
        overwrite(headers, one, value);
        break;
      case Action::kOverwriteIfExists:
        if (present) overwrite(headers, one, value);
        break;
    }
  }
}

}  // namespace gatehouse::router
