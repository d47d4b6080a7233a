#include "source/router/matchers.h"

#include <re2/re2.h>

#include <charconv>

#include "api/envoy/config/route/v3/route_components.pb.h"
#include "source/http/chars.h"
#include "source/http/path.h"

namespace gatehouse::router {

namespace {

absl::Status below(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(path + "." + std::string(status.message()));
}

bool hasPrefix(std::string_view text, std::string_view prefix, bool ignore_case) {
  if (text.size() < prefix.size()) return false;
  std::string_view head = text.substr(0, prefix.size());
  return ignore_case ? http::equalsIgnoreCase(head, prefix) : head == prefix;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const re2::RE2>> compileRegex(const std::string& regex) {
  auto compiled = std::make_shared<const re2::RE2>(regex, re2::RE2::Quiet);
  if (!compiled->ok())
    return absl::InvalidArgumentError("regex: '" + regex + "': " + compiled->error());
  return compiled;
}

StringMatcher StringMatcher::exact(std::string value) {
  StringMatcher matcher;
  matcher.text_ = std::move(value);
  return matcher;
}

absl::StatusOr<StringMatcher> StringMatcher::compile(
    const envoy::type::matcher::v3::StringMatcher& config) {
  StringMatcher matcher;
  matcher.ignore_case_ = config.ignore_case();
  using Config = envoy::type::matcher::v3::StringMatcher;
  switch (config.match_pattern_case()) {
    case Config::kExact:
      matcher.text_ = config.exact();
      break;
    case Config::kPrefix:
      matcher.kind_ = kPrefix;
      matcher.text_ = config.prefix();
      break;
    case Config::kSuffix:
      matcher.kind_ = kSuffix;
      matcher.text_ = config.suffix();
      break;
    case Config::kContains:
      matcher.kind_ = kContains;
      matcher.text_ = config.contains();
      if (matcher.ignore_case_) {
        for (char& c : matcher.text_) c = http::lower(c);
      }
      break;
    case Config::kSafeRegex: {
      if (matcher.ignore_case_)
        return absl::InvalidArgumentError("ignore_case: has no effect on safe_regex");
      auto regex = compileRegex(config.safe_regex().regex());
      if (!regex.ok()) return below("safe_regex", regex.status());
      matcher.kind_ = kRegex;
      matcher.regex_ = *std::move(regex);
      break;
    }
    case Config::MATCH_PATTERN_NOT_SET:
      return absl::InvalidArgumentError(
          "match_pattern: one of exact, prefix, suffix, contains and safe_regex is required");
  }
  return matcher;
}

bool StringMatcher::matches(std::string_view value) const {
  switch (kind_) {
    case kExact:
      return ignore_case_ ? http::equalsIgnoreCase(value, text_) : value == text_;
    case kPrefix:
      return hasPrefix(value, text_, ignore_case_);
    case kSuffix:
      return value.size() >= text_.size() &&
             hasPrefix(value.substr(value.size() - text_.size()), text_, ignore_case_);
    case kContains:
      if (!ignore_case_) return value.find(text_) != value.npos;
      for (size_t i = 0; i + text_.size() <= value.size(); ++i) {
        if (hasPrefix(value.substr(i), text_, true)) return true;
      }
      return false;
    case kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *regex_);
  }
  return false;
}

absl::StatusOr<HeaderMatcher> HeaderMatcher::compile(
    const envoy::config::route::v3::HeaderMatcher& config) {
  HeaderMatcher matcher;
  for (char c : config.name()) matcher.name_ += http::lower(c);
  matcher.invert_ = config.invert_match();
  matcher.missing_is_empty_ = config.treat_missing_header_as_empty();
  using Config = envoy::config::route::v3::HeaderMatcher;
  matcher.kind_ = kString;
  switch (config.header_match_specifier_case()) {
    case Config::kStringMatch: {
      auto string = StringMatcher::compile(config.string_match());
      if (!string.ok()) return below("string_match", string.status());
      matcher.string_ = *std::move(string);
      break;
    }
    case Config::kExactMatch:
      matcher.string_.text_ = config.exact_match();
      break;
    case Config::kPrefixMatch:
      matcher.string_.kind_ = StringMatcher::kPrefix;
      matcher.string_.text_ = config.prefix_match();
      break;
    case Config::kSuffixMatch:
      matcher.string_.kind_ = StringMatcher::kSuffix;
      matcher.string_.text_ = config.suffix_match();
      break;
    case Config::kContainsMatch:
      matcher.string_.kind_ = StringMatcher::kContains;
      matcher.string_.text_ = config.contains_match();
      break;
    case Config::kSafeRegexMatch: {
      auto regex = compileRegex(config.safe_regex_match().regex());
      if (!regex.ok()) return below("safe_regex_match", regex.status());
      matcher.string_.kind_ = StringMatcher::kRegex;
      matcher.string_.regex_ = *std::move(regex);
      break;
    }
    case Config::kRangeMatch:
      matcher.kind_ = kRange;
      matcher.start_ = config.range_match().start();
      matcher.end_ = config.range_match().end();
      break;
    case Config::kPresentMatch:
      matcher.kind_ = kPresent;
      matcher.expect_present_ = config.present_match();
      break;
    case Config::HEADER_MATCH_SPECIFIER_NOT_SET:
      matcher.kind_ = kPresent;
      break;
  }
  return matcher;
}

bool HeaderMatcher::value(std::string_view value) const {
  if (kind_ == kString) return string_.matches(value);
  int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return error == std::errc() && end == value.data() + value.size() && number >= start_ &&
         number < end_;
}

bool HeaderMatcher::decide(bool present, bool any) const {
  if (kind_ == kPresent) return ((present || missing_is_empty_) == expect_present_) != invert_;
  if (!present) return missing_is_empty_ && value("") != invert_;
  return any != invert_;
}

bool HeaderMatcher::matches(const http::RequestHead& head) const {
  if (name_[0] == ':' || name_ == "host") {
    std::string_view text = name_ == ":path"                           ? head.path
                            : name_ == ":method"                       ? head.method
                            : name_ == ":scheme"                       ? head.scheme
                            : name_ == ":authority" || name_ == "host" ? head.authority
                                                                       : std::string_view();
    return decide(!text.empty(), kind_ != kPresent && !text.empty() && value(text));
  }
  return matches(head.headers);
}

bool HeaderMatcher::matches(const http::HeaderMap& headers) const {
  const http::HeaderField* field = headers.find(std::string_view(name_));
  bool present = field != nullptr;
  bool any = false;
  if (kind_ != kPresent) {
    for (; field != nullptr && !any; field = headers.next(*field)) any = value(field->valueView());
  }
  return decide(present, any);
}

absl::StatusOr<QueryMatcher> QueryMatcher::compile(
    const envoy::config::route::v3::QueryParameterMatcher& config) {
  QueryMatcher matcher;
  matcher.name_ = config.name();
  if (config.has_string_match()) {
    auto string = StringMatcher::compile(config.string_match());
    if (!string.ok()) return below("string_match", string.status());
    matcher.has_string_ = true;
    matcher.string_ = *std::move(string);
  } else if (config.query_parameter_match_specifier_case() ==
             envoy::config::route::v3::QueryParameterMatcher::kPresentMatch) {
    matcher.expect_present_ = config.present_match();
  }
  return matcher;
}

bool QueryMatcher::matches(std::string_view target) const {
  auto value = http::queryParameter(target, name_);
  if (!has_string_) return value.has_value() == expect_present_;
  return value.has_value() && string_.matches(*value);
}

}  // namespace gatehouse::router
