#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "source/http/head.h"

namespace re2 {
class RE2;
}
namespace envoy::type::matcher::v3 {
class StringMatcher;
class RegexMatcher;
}  // namespace envoy::type::matcher::v3
namespace envoy::config::route::v3 {
class HeaderMatcher;
class QueryParameterMatcher;
}  // namespace envoy::config::route::v3

namespace gatehouse::router {

// A compiled regular expression; RE2 only, so that no expression can stall a worker. Errors name
// the expression.
absl::StatusOr<std::shared_ptr<const re2::RE2>> compileRegex(const std::string& regex);

// envoy.type.matcher.v3.StringMatcher. Immutable.
class StringMatcher {
 public:
  static absl::StatusOr<StringMatcher> compile(
      const envoy::type::matcher::v3::StringMatcher& config);
  static StringMatcher exact(std::string value);
  bool matches(std::string_view value) const;

 private:
  friend class HeaderMatcher;
  enum Kind : uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex } kind_ = kExact;
  bool ignore_case_ = false;
  std::string text_;
  std::shared_ptr<const re2::RE2> regex_;
};

// envoy.config.route.v3.HeaderMatcher: a repeated field matches if any of its values does; an
// inverted match of a missing field does not match (as in Envoy). Pseudo-fields (:path, :method,
// :authority) are known.
class HeaderMatcher {
 public:
  static absl::StatusOr<HeaderMatcher> compile(
      const envoy::config::route::v3::HeaderMatcher& config);
  bool matches(const http::RequestHead& head) const;
  bool matches(const http::HeaderMap& headers) const;

 private:
  bool value(std::string_view value) const;
  bool decide(bool present, bool any) const;

  enum Kind : uint8_t { kPresent, kString, kRange } kind_ = kPresent;
  std::string name_;
  StringMatcher string_;
  int64_t start_ = 0, end_ = 0;
  bool expect_present_ = true;
  bool invert_ = false;
  bool missing_is_empty_ = false;
};

// envoy.config.route.v3.QueryParameterMatcher, on the undecoded value.
class QueryMatcher {
 public:
  static absl::StatusOr<QueryMatcher> compile(
      const envoy::config::route::v3::QueryParameterMatcher& config);
  bool matches(std::string_view target) const;

 private:
  std::string name_;
  bool has_string_ = false;
  bool expect_present_ = true;
  StringMatcher string_;
};

}  // namespace gatehouse::router
