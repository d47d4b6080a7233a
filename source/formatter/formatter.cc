#include "source/formatter/formatter.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <google/protobuf/struct.pb.h>

namespace gatehouse::formatter {

using sdk::LogEntry;
using Step = Formatter::Step;

const char kDefaultFormat[] =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    "\"%REQ(X-FORWARDED-FOR)%\" "
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

namespace {

struct Flag {
  const char* name;
  const char* long_name;
};
// In the order of sdk::ResponseFlag.
constexpr Flag kFlags[] = {{"LH", "FailedLocalHealthCheck"},
                           {"UH", "NoHealthyUpstream"},
                           {"UT", "UpstreamRequestTimeout"},
                           {"LR", "LocalReset"},
                           {"UR", "UpstreamRemoteReset"},
                           {"UF", "UpstreamConnectionFailure"},
                           {"UC", "UpstreamConnectionTermination"},
                           {"UO", "UpstreamOverflow"},
                           {"NR", "NoRouteFound"},
                           {"DI", "DelayInjected"},
                           {"FI", "FaultInjected"},
                           {"RL", "RateLimited"},
                           {"UAEX", "UnauthorizedExternalService"},
                           {"RLSE", "RateLimitServiceError"},
                           {"DC", "DownstreamConnectionTermination"},
                           {"URX", "UpstreamRetryLimitExceeded"},
                           {"SI", "StreamIdleTimeout"},
                           {"IH", "InvalidEnvoyRequestHeaders"},
                           {"DPE", "DownstreamProtocolError"},
                           {"UPE", "UpstreamProtocolError"},
                           {"UMSDR", "UpstreamMaxStreamDurationReached"},
                           {"RFCF", "ResponseFromCacheFilter"},
                           {"NFCF", "NoFilterConfigFound"},
                           {"DT", "DurationTimeout"},
                           {"NC", "NoClusterFound"},
                           {"OM", "OverloadManagerTerminated"},
                           {"DF", "DnsResolutionFailed"},
                           {"DO", "DropOverload"},
                           {"DR", "DownstreamRemoteReset"},
                           {"UDO", "UnconditionalDropOverload"}};
static_assert(std::size(kFlags) == static_cast<size_t>(sdk::ResponseFlag::kCount));

bool put(std::string& out, std::string_view text) {
  if (text.empty()) return false;
  out.append(text);
  return true;
}

bool putNumber(std::string& out, int64_t value) {
  char digits[24];
  auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
  out.append(digits, static_cast<size_t>(end - digits));
  return true;
}

bool putAddress(std::string& out, const net::Address& address, bool with_port) {
  if (!address.known()) return false;
  char text[net::Address::kMaxText];
  out.append(text, address.write(text, with_port));
  return true;
}

int64_t millisBetween(event::MonoTime from, event::MonoTime to) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
}

bool putSpan(std::string& out, event::MonoTime from, event::MonoTime to) {
  if (to == event::MonoTime{} || from == event::MonoTime{}) return false;
  return putNumber(out, millisBetween(from, to));
}

// A present but empty field is "", not missing.
bool putHeader(const http::HeaderMap* headers, const std::string& name, std::string& out) {
  if (headers == nullptr || name.empty()) return false;
  const http::HeaderField* field = headers->find(std::string_view(name));
  if (field == nullptr) return false;
  out.append(field->valueView());
  return true;
}

bool putRequestHeader(const http::RequestHead* head, const std::string& name, std::string& out) {
  if (head == nullptr || name.empty()) return false;
  if (name[0] == ':') {
    if (name == ":method") return put(out, head->method);
    if (name == ":path") return put(out, head->path);
    if (name == ":authority") return put(out, head->authority);
    if (name == ":scheme") return put(out, head->scheme);
    return false;
  }
  if (name == "host") return put(out, head->authority);
  return putHeader(&head->headers, name, out);
}

bool writeReq(const Step& s, const LogEntry& e, std::string& out) {
  return putRequestHeader(e.request, s.text, out) ||
         putRequestHeader(e.request, s.alternative, out);
}

bool writeResp(const Step& s, const LogEntry& e, std::string& out) {
  if (e.response == nullptr) return false;
  for (const std::string* name : {&s.text, &s.alternative}) {
    if (*name == ":status") return putNumber(out, e.response->status);
    if (putHeader(&e.response->headers, *name, out)) return true;
  }
  return false;
}

bool writeTrailer(const Step& s, const LogEntry& e, std::string& out) {
  return putHeader(e.trailers, s.text, out) || putHeader(e.trailers, s.alternative, out);
}

bool writeStartTime(const Step& s, const LogEntry& e, std::string& out) {
  int64_t micros = e.info.start_wall_micros;
  time_t seconds = micros / 1'000'000;
  tm parts;
  ::gmtime_r(&seconds, &parts);
  char text[128];
  if (s.text.empty()) {
    size_t n = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    auto millis = static_cast<int>(micros / 1000 % 1000);
    out.append(text, n);
    char tail[] = {'.', static_cast<char>('0' + millis / 100),
                   static_cast<char>('0' + millis / 10 % 10), static_cast<char>('0' + millis % 10),
                   'Z'};
    out.append(tail, sizeof(tail));
    return true;
  }
  // %f: nanoseconds, %Nf: the first N digits of them; everything else is strftime's.
  std::string format;
  std::string nanos = std::to_string(1'000'000'000 + micros % 1'000'000 * 1000).substr(1);
  for (size_t i = 0; i < s.text.size(); ++i) {
    if (s.text[i] != '%' || i + 1 >= s.text.size()) {
      format += s.text[i];
    } else if (s.text[i + 1] == 'f') {
      format += nanos;
      ++i;
    } else if (i + 2 < s.text.size() && s.text[i + 1] >= '1' && s.text[i + 1] <= '9' &&
               s.text[i + 2] == 'f') {
      format += nanos.substr(0, static_cast<size_t>(s.text[i + 1] - '0'));
      i += 2;
    } else {
      format += s.text[i];
      format += s.text[++i];
    }
  }
  out.append(text, std::strftime(text, sizeof(text), format.c_str(), &parts));
  return true;
}

const char* protocolName(http::Version version) {
  switch (version) {
    case http::Version::kHttp10:
      return "HTTP/1.0";
    case http::Version::kHttp11:
      return "HTTP/1.1";
    case http::Version::kHttp2:
      return "HTTP/2";
  }
  return "";
}

struct Operator {
  const char* name;
  bool (*write)(const Step&, const LogEntry&, std::string&);
  bool number;
  enum : uint8_t { kNone, kOptional, kRequired } argument;
};

constexpr Operator kOperators[] = {
    {"REQ", writeReq, false, Operator::kRequired},
    {"RESP", writeResp, false, Operator::kRequired},
    {"TRAILER", writeTrailer, false, Operator::kRequired},
    {"START_TIME", writeStartTime, false, Operator::kOptional},
    {"PROTOCOL",
     [](const Step&, const LogEntry& e, std::string& out) {
       return put(out, protocolName(e.info.version));
     },
     false, Operator::kNone},
    {"RESPONSE_CODE",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putNumber(out, e.info.response_code);
     },
     true, Operator::kNone},
    {"RESPONSE_CODE_DETAILS",
     [](const Step&, const LogEntry& e, std::string& out) { return put(out, e.info.details); },
     false, Operator::kNone},
    {"RESPONSE_FLAGS",
     [](const Step&, const LogEntry& e, std::string& out) {
       appendFlags(e.info, out);
       return e.info.flags != 0;
     },
     false, Operator::kNone},
    {"RESPONSE_FLAGS_LONG",
     [](const Step&, const LogEntry& e, std::string& out) {
       for (int at = 0; at < 64; at += 8) {
         uint64_t flag = e.info.flag_order >> at & 0xff;
         if (flag == 0) break;
         if (at != 0) out += ',';
         out += kFlags[flag - 1].long_name;
       }
       return e.info.flags != 0;
     },
     false, Operator::kNone},
    {"BYTES_RECEIVED",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putNumber(out, static_cast<int64_t>(e.info.request_body_bytes));
     },
     true, Operator::kNone},
    {"BYTES_SENT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putNumber(out, static_cast<int64_t>(e.info.response_body_bytes));
     },
     true, Operator::kNone},
    {"DURATION",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putSpan(out, e.info.start, e.info.end);
     },
     true, Operator::kNone},
    {"REQUEST_DURATION",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putSpan(out, e.info.start, e.info.request_end);
     },
     true, Operator::kNone},
    {"RESPONSE_DURATION",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putSpan(out, e.info.start, e.info.upstream_first_received);
     },
     true, Operator::kNone},
    {"RESPONSE_TX_DURATION",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putSpan(out, e.info.upstream_first_received, e.info.end);
     },
     true, Operator::kNone},
    {"UPSTREAM_HOST",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.upstream_known && putAddress(out, e.info.upstream_remote, true);
     },
     false, Operator::kNone},
    {"UPSTREAM_LOCAL_ADDRESS",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putAddress(out, e.info.upstream_local, true);
     },
     false, Operator::kNone},
    {"UPSTREAM_CLUSTER",
     [](const Step&, const LogEntry& e, std::string& out) { return put(out, e.info.cluster_name); },
     false, Operator::kNone},
    {"UPSTREAM_PROTOCOL",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.upstream_known && put(out, protocolName(e.info.upstream_version));
     },
     false, Operator::kNone},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON",
     [](const Step&, const LogEntry& e, std::string& out) {
       return put(out, e.info.upstream_failure);
     },
     false, Operator::kNone},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putNumber(out, e.info.attempts);
     },
     true, Operator::kNone},
    {"DOWNSTREAM_REMOTE_ADDRESS",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putAddress(out, e.info.downstream_remote, true);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return putAddress(out, e.info.downstream_remote, false);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr && putAddress(out, e.info.connection->remote, true);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr && putAddress(out, e.info.connection->remote, false);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_LOCAL_ADDRESS",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr && putAddress(out, e.info.connection->local, true);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr && putAddress(out, e.info.connection->local, false);
     },
     false, Operator::kNone},
    {"DOWNSTREAM_LOCAL_PORT",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr && e.info.connection->local.isIp() &&
              putNumber(out, e.info.connection->local.port());
     },
     true, Operator::kNone},
    {"CONNECTION_ID",
     [](const Step&, const LogEntry& e, std::string& out) {
       return e.info.connection != nullptr &&
              putNumber(out, static_cast<int64_t>(e.info.connection->id));
     },
     true, Operator::kNone},
    {"CONNECTION_TERMINATION_DETAILS",
     [](const Step&, const LogEntry& e, std::string& out) {
       return put(out, e.info.connection_termination_details);
     },
     false, Operator::kNone},
    {"ROUTE_NAME",
     [](const Step&, const LogEntry& e, std::string& out) { return put(out, e.info.route_name); },
     false, Operator::kNone},
    {"HOSTNAME", [](const Step& s, const LogEntry&, std::string& out) { return put(out, s.text); },
     false, Operator::kNone},
    {"ENVIRONMENT",
     [](const Step& s, const LogEntry&, std::string& out) { return put(out, s.text); }, false,
     Operator::kRequired},
};

bool writeText(const Step& s, const LogEntry&, std::string& out) {
  out.append(s.text);
  return true;
}

std::string lowerCase(std::string_view text) {
  std::string out;
  for (char c : text) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

absl::StatusOr<Step> compileOperator(std::string_view text) {
  auto bad = [&](const std::string& why) {
    return absl::InvalidArgumentError("'%" + std::string(text) + "%': " + why);
  };
  size_t end = 0;
  while (end < text.size() &&
         (std::isupper(static_cast<unsigned char>(text[end])) || text[end] == '_'))
    ++end;
  std::string_view name = text.substr(0, end);
  std::string_view rest = text.substr(end);
  const Operator* found = nullptr;
  for (const Operator& one : kOperators) {
    if (name == one.name) found = &one;
  }
  if (found == nullptr) return bad("unknown command operator");
  Step step;
  step.write = found->write;
  step.number = found->number;
  if (rest.starts_with('(')) {
    size_t close = rest.rfind(')');
    if (close == rest.npos) return bad("')' is missing");
    step.text = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (found->argument == Operator::kNone) return bad("takes no argument");
  } else if (found->argument == Operator::kRequired) {
    return bad("an argument in parentheses is missing");
  }
  if (rest.starts_with(':')) {
    rest.remove_prefix(1);
    size_t length = 0;
    auto [at, error] = std::from_chars(rest.data(), rest.data() + rest.size(), length);
    if (error != std::errc() || at != rest.data() + rest.size())
      return bad("a length must follow ':'");
    step.max_length = length;
    rest = {};
  }
  if (!rest.empty()) return bad("unexpected text '" + std::string(rest) + "'");
  if (name == "REQ" || name == "RESP" || name == "TRAILER") {
    size_t question = step.text.find('?');
    if (question != std::string::npos) {
      step.alternative = lowerCase(std::string_view(step.text).substr(question + 1));
      step.text.resize(question);
      if (step.alternative.find('?') != std::string::npos)
        return bad("only one alternative is allowed");
    }
    step.text = lowerCase(step.text);
  } else if (name == "HOSTNAME") {
    char host[256] = "";
    ::gethostname(host, sizeof(host) - 1);
    step.text = host;
  } else if (name == "ENVIRONMENT") {
    const char* value = std::getenv(step.text.c_str());
    step.text = value == nullptr ? "" : value;
  }
  return step;
}

}  // namespace

void appendFlags(const sdk::StreamInfo& info, std::string& out) {
  for (int at = 0; at < 64; at += 8) {
    uint64_t flag = info.flag_order >> at & 0xff;
    if (flag == 0) break;
    if (at != 0) out += ',';
    out += kFlags[flag - 1].name;
  }
}

int flagByName(std::string_view name) {
  for (size_t i = 0; i < std::size(kFlags); ++i) {
    if (name == kFlags[i].name) return static_cast<int>(i);
  }
  return -1;
}

absl::StatusOr<Formatter> Formatter::compile(std::string_view format, bool omit_empty) {
  Formatter formatter;
  formatter.omit_empty_ = omit_empty;
  std::string literal;
  auto endLiteral = [&] {
    if (literal.empty()) return;
    Step step;
    step.write = writeText;
    step.text = std::move(literal);
    formatter.steps_.push_back(std::move(step));
    literal.clear();
  };
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      literal += format[i];
      continue;
    }
    if (format.substr(i + 1).starts_with('%')) {
      literal += '%';
      ++i;
      continue;
    }
    // An argument may hold '%' itself (START_TIME(%s)).
    size_t end = i + 1;
    int depth = 0;
    while (end < format.size() && (format[end] != '%' || depth > 0)) {
      if (format[end] == '(') ++depth;
      if (format[end] == ')') --depth;
      ++end;
    }
    if (end >= format.size()) {
      return absl::InvalidArgumentError("'" + std::string(format.substr(i)) +
                                        "': the closing '%' is missing");
    }
    endLiteral();
    auto step = compileOperator(format.substr(i + 1, end - i - 1));
    if (!step.ok()) return step.status();
    formatter.steps_.push_back(*std::move(step));
    i = end;
  }
  endLiteral();
  return formatter;
}

bool Formatter::isConstant() const {
  return std::all_of(steps_.begin(), steps_.end(),
                     [](const Step& s) { return s.write == writeText; });
}

void Formatter::render(const LogEntry& entry, std::string& out) const {
  for (const Step& step : steps_) {
    size_t before = out.size();
    if (!step.write(step, entry, out)) {
      out.resize(before);
      if (!omit_empty_) out += '-';
    } else if (out.size() - before > step.max_length) {
      out.resize(before + step.max_length);
    }
  }
}

void appendJsonString(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (u < 0x20 || u == 0x7f) {
      out += "\\u00";
      out += kHex[u >> 4];
      out += kHex[u & 15];
    } else if (u >= 0x80) {
      // Header bytes need not be UTF-8: each is written as the code point of its value.
      out += static_cast<char>(0xc0 | (u >> 6));
      out += static_cast<char>(0x80 | (u & 0x3f));
    } else {
      out += c;
    }
  }
  out += '"';
}

absl::Status JsonFormatter::build(const google::protobuf::Struct& from, bool omit_empty, Node& to) {
  to.kind = Node::kObject;
  std::vector<std::string> keys;
  for (const auto& [key, value] : from.fields()) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) {
    const google::protobuf::Value& value = from.fields().at(key);
    std::string json_key;
    appendJsonString(key, json_key);
    Node node;
    switch (value.kind_case()) {
      case google::protobuf::Value::kStructValue: {
        absl::Status status = build(value.struct_value(), omit_empty, node);
        if (!status.ok()) return status;
        break;
      }
      case google::protobuf::Value::kStringValue: {
        auto format = Formatter::compile(value.string_value(), omit_empty);
        if (!format.ok())
          return absl::InvalidArgumentError(key + ": " + std::string(format.status().message()));
        node.kind = Node::kFormat;
        node.format = *std::move(format);
        break;
      }
      case google::protobuf::Value::kNumberValue: {
        char text[32];
        auto [end, error] = std::to_chars(text, text + sizeof(text), value.number_value());
        node.literal.assign(text, static_cast<size_t>(end - text));
        break;
      }
      case google::protobuf::Value::kBoolValue:
        node.literal = value.bool_value() ? "true" : "false";
        break;
      case google::protobuf::Value::kNullValue:
      case google::protobuf::Value::KIND_NOT_SET:
        node.literal = "null";
        break;
      case google::protobuf::Value::kListValue:
        return absl::InvalidArgumentError(key + ": lists are not supported in a JSON log format");
    }
    to.members.emplace_back(std::move(json_key), std::move(node));
  }
  return absl::OkStatus();
}

absl::StatusOr<JsonFormatter> JsonFormatter::compile(const google::protobuf::Struct& format,
                                                     bool omit_empty) {
  JsonFormatter json;
  json.omit_empty_ = omit_empty;
  absl::Status status = build(format, omit_empty, json.root_);
  if (!status.ok()) return status;
  return json;
}

bool JsonFormatter::renderNode(const Node& node, const LogEntry& entry, std::string& out) const {
  switch (node.kind) {
    case Node::kLiteral:
      out += node.literal;
      return true;
    case Node::kFormat: {
      // A lone operator keeps its type; a mixed string is a string.
      if (node.format.steps_.size() == 1 && node.format.steps_[0].write != writeText) {
        const Step& step = node.format.steps_[0];
        std::string value;
        if (!step.write(step, entry, value)) {
          if (omit_empty_) return false;
          out += "null";
        } else if (step.number) {
          out += value;
        } else {
          if (value.size() > step.max_length) value.resize(step.max_length);
          appendJsonString(value, out);
        }
        return true;
      }
      std::string value;
      node.format.render(entry, value);
      appendJsonString(value, out);
      return true;
    }
    case Node::kObject: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : node.members) {
        size_t before = out.size();
        if (!first) out += ',';
        out += key;
        out += ':';
        if (!renderNode(member, entry, out)) {
          out.resize(before);
          continue;
        }
        first = false;
      }
      out += '}';
      return true;
    }
  }
  return true;
}

void JsonFormatter::render(const LogEntry& entry, std::string& out) const {
  renderNode(root_, entry, out);
  out += '\n';
}

}  // namespace gatehouse::formatter
