// What our strict reader accepts, llhttp (the parser of Node.js and Envoy) accepts too and reads
// the same: start line, fields, framing, body and trailers, for every message of a connection.
// Where llhttp takes what ours refuses all is well: that is what ours is for.
#include <llhttp.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "source/base/assert.h"
#include "source/codec/h1/client_codec.h"
#include "source/codec/h1/server_codec.h"
#include "source/http/chars.h"

namespace gatehouse::codec::h1 {
namespace {

using http::HeaderId;
using Fields = std::vector<std::pair<std::string, std::string>>;

struct Message {
  std::string start;  // "METHOD authority path version" or "status version"
  std::string method;
  Fields fields;
  Fields trailers;
  std::string framing;
  std::string body;
  bool head = false;
  bool complete = false;
};

struct Reading {
  std::vector<Message> messages;
  bool refused = false;
  bool stopped = false;  // llhttp: at an upgrade or a `connection: close`
  llhttp_errno_t error = HPE_OK;
  std::string_view before;  // input up to and with the byte llhttp refuses
};

constexpr const char* kVersions[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"};
constexpr uint32_t kCredit = 1 << 20;

std::string lowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = http::lower(c);
  return out;
}

// --- ours ---

Fields fieldsOf(const http::HeaderMap& map) {
  Fields fields;
  map.forEach([&](const http::HeaderField& field) {
    fields.emplace_back(field.nameView(), field.valueView());
  });
  return fields;
}

std::string framingOf(const http::HeaderMap& headers) {
  if (headers.has(HeaderId::kTransferEncoding)) return "chunked";
  if (!headers.has(HeaderId::kContentLength)) return "none";
  std::string value(headers.get(HeaderId::kContentLength));
  return std::to_string(std::strtoull(value.c_str(), nullptr, 10));
}

struct Request : Stream {
  Request() : memory(nullptr, 0), head(memory) {
    arena = &memory;
    credit = kCredit;
  }
  memory::Arena memory;
  http::RequestHead head;
};

// What both roles note alike.
class Notes : public CodecEvents {
 public:
  Stream* onStream(uint64_t) noexcept override { return nullptr; }
  http::RequestHead* requestHead(Stream&) noexcept override { return nullptr; }
  http::ResponseHead* responseHead(Stream&) noexcept override { return nullptr; }
  void onRequestHead(Stream&, http::RequestHead&, bool) noexcept override {}
  void onInterim(Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(Stream&, http::ResponseHead&, bool) noexcept override {}
  void onBody(Stream& stream, buffer::Buffer& in, bool end) noexcept override {
    last().body += in.toString();
    in.clear();
    stream.credit = kCredit;
    if (end) complete();
  }
  void onTrailers(Stream&, http::HeaderMap& trailers) noexcept override {
    last().trailers = fieldsOf(trailers);
    complete();
  }
  void onAbort(Stream&, Abort, CodecError) noexcept override { reading.refused = true; }
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}
  Reading reading;

 protected:
  ~Notes() = default;
  Message& last() { return reading.messages.back(); }
  virtual void complete() { last().complete = true; }
};

class ServerNotes final : public Notes {
 public:
  explicit ServerNotes(ServerCodec& codec) : codec_(codec) {}
  Stream* onStream(uint64_t) noexcept override {
    request_ = std::make_unique<Request>();
    return request_.get();
  }
  http::RequestHead* requestHead(Stream&) noexcept override { return &request_->head; }
  void onRequestHead(Stream&, http::RequestHead& head, bool end) noexcept override {
    Message message;
    message.method = head.method;
    message.start = message.method + " " + std::string(head.authority) + " " +
                    std::string(head.path) + " " + kVersions[static_cast<int>(head.version)];
    message.fields = fieldsOf(head.headers);
    message.framing = framingOf(head.headers);
    message.head = true;
    reading.messages.push_back(std::move(message));
    if (end) complete();
  }

 private:
  void complete() override {
    Notes::complete();
    http::ResponseHead head(request_->memory);
    head.status = 204;
    codec_.sendResponseHead(*request_, head, true);
  }
  ServerCodec& codec_;
  std::unique_ptr<Request> request_;
};

Reading readRequests(std::string_view bytes) {
  ServerOptions options;
  options.enable_trailers = options.accept_http_10 = true;
  options.max_head_bytes = 1 << 20;
  ServerCodec codec(options);
  ServerNotes notes(codec);
  buffer::Buffer in;
  in.appendCopy(bytes);
  if (codec.ingest(in, false, notes).code == Ingest::kFatal) notes.reading.refused = true;
  return std::move(notes.reading);
}

class ClientNotes final : public Notes {
 public:
  explicit ClientNotes(memory::Arena& arena) : arena_(arena) {}
  http::ResponseHead* responseHead(Stream&) noexcept override {
    return arena_.make<http::ResponseHead>(arena_);
  }
  void onInterim(Stream&, http::ResponseHead& head) noexcept override { note(head, true); }
  void onResponseHead(Stream&, http::ResponseHead& head, bool end) noexcept override {
    note(head, end);
  }

 private:
  void note(http::ResponseHead& head, bool end) {
    Message message;
    message.start = std::to_string(head.status) + " " + kVersions[static_cast<int>(head.version)];
    message.fields = fieldsOf(head.headers);
    message.framing = framingOf(head.headers);
    message.head = true;
    message.complete = end;
    reading.messages.push_back(std::move(message));
  }
  memory::Arena& arena_;
};

Reading readResponse(std::string_view bytes, bool to_head) {
  memory::Arena arena(nullptr, 0);
  ClientOptions options;
  options.enable_trailers = true;
  options.max_head_bytes = 1 << 20;
  ClientCodec codec(options);
  ClientNotes notes(arena);
  Stream stream;
  stream.arena = &arena;
  stream.credit = kCredit;
  http::RequestHead request(arena);
  request.setMethod(to_head ? "HEAD" : "GET");
  request.path = "/";
  codec.sendRequestHead(stream, request, true);
  buffer::Buffer in;
  in.appendCopy(bytes);
  codec.ingest(in, true, notes);
  return std::move(notes.reading);
}

// --- llhttp, all lenient flags off ---

class Theirs {
 public:
  Theirs(llhttp_type_t type, bool to_head) : to_head_(to_head) {
    llhttp_settings_init(&settings_);
    settings_.on_message_begin = [](llhttp_t* p) { return self(p).begin(); };
    settings_.on_url = [](llhttp_t* p, const char* at, size_t n) {
      self(p).target_.append(at, n);
      return 0;
    };
    settings_.on_header_field = [](llhttp_t* p, const char* at, size_t n) {
      self(p).name_.append(at, n);
      return 0;
    };
    settings_.on_header_value = [](llhttp_t* p, const char* at, size_t n) {
      self(p).value_.append(at, n);
      return 0;
    };
    settings_.on_header_value_complete = [](llhttp_t* p) { return self(p).field(); };
    settings_.on_headers_complete = [](llhttp_t* p) { return self(p).head(); };
    settings_.on_body = [](llhttp_t* p, const char* at, size_t n) {
      self(p).last().body.append(at, n);
      return 0;
    };
    settings_.on_message_complete = [](llhttp_t* p) { return self(p).complete(); };
    llhttp_init(&parser_, type, &settings_);
    parser_.data = this;
  }

  Reading read(std::string_view bytes, bool end) {
    llhttp_errno_t error = llhttp_execute(&parser_, bytes.data(), bytes.size());
    if (error == HPE_OK && end) error = llhttp_finish(&parser_);
    if (error == HPE_PAUSED_UPGRADE || error == HPE_PAUSED) {
      reading_.stopped = true;
    } else if (error != HPE_OK) {
      reading_.refused = true;
      reading_.error = error;
      const char* at = llhttp_get_error_pos(&parser_);
      size_t n = at == nullptr ? bytes.size() : static_cast<size_t>(at - bytes.data()) + 1;
      reading_.before = bytes.substr(0, n);
    }
    return std::move(reading_);
  }

 private:
  static Theirs& self(llhttp_t* parser) { return *static_cast<Theirs*>(parser->data); }
  Message& last() { return reading_.messages.back(); }
  bool request() { return parser_.type == HTTP_REQUEST; }

  int begin() {
    reading_.messages.emplace_back();
    target_.clear();
    return 0;
  }

  int field() {
    Fields& to = last().head ? last().trailers : last().fields;
    to.emplace_back(lowerCase(name_), http::trim(value_));
    name_.clear();
    value_.clear();
    return 0;
  }

  // Ours keeps the host beside the fields.
  std::string takeHost() {
    std::string host;
    Fields kept;
    for (auto& [name, value] : last().fields) {
      if (name == "host" && request()) {
        host = value;
      } else {
        kept.emplace_back(name, value);
      }
    }
    last().fields = std::move(kept);
    return host;
  }

  int head() {
    Message& message = last();
    message.head = true;
    std::string version = "HTTP/" + std::to_string(llhttp_get_http_major(&parser_)) + "." +
                          std::to_string(llhttp_get_http_minor(&parser_));
    message.framing = parser_.flags & F_CHUNKED          ? "chunked"
                      : parser_.flags & F_CONTENT_LENGTH ? std::to_string(parser_.content_length)
                                                         : "none";
    if (!request()) {
      int status = llhttp_get_status_code(&parser_);
      message.start = std::to_string(status) + " " + version;
      // llhttp leaves it to its user which answers have no body (RFC 9112 6.3).
      return to_head_ || status < 200 || status == 204 || status == 304 ? 1 : 0;
    }
    message.method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp_get_method(&parser_)));
    message.start = message.method + " " + split(takeHost()) + " " + version;
    return 0;
  }

  // "authority path" of the target, as ours takes it apart.
  std::string split(const std::string& host) {
    if (last().method == "CONNECT") return target_ + " ";
    size_t scheme = target_.find("://");
    if (target_[0] == '/' || target_ == "*" || scheme == target_.npos) return host + " " + target_;
    std::string rest = target_.substr(scheme + 3);
    size_t slash = std::min(rest.find_first_of("/?"), rest.size());
    std::string path = rest.substr(slash);
    if (path.empty()) {
      path = last().method == "OPTIONS" ? "*" : "/";
    } else if (path[0] == '?') {
      path = "/" + path;
    }
    return rest.substr(0, slash) + " " + path;
  }

  int complete() {
    last().complete = true;
    Fields kept;
    for (auto& field : last().trailers) {
      if (std::find(std::begin(kDropped), std::end(kDropped), field.first) == std::end(kDropped))
        kept.push_back(field);
    }
    last().trailers = std::move(kept);
    // A client reads one answer; what follows is not of this exchange.
    bool final_answer = !request() && llhttp_get_status_code(&parser_) >= 200;
    bool closes = !llhttp_should_keep_alive(&parser_);
    return final_answer || closes ? HPE_PAUSED : 0;
  }

  static constexpr std::string_view kDropped[] = {"content-length",
                                                  "transfer-encoding",
                                                  "host",
                                                  "authorization",
                                                  "trailer",
                                                  "connection",
                                                  "te",
                                                  "upgrade",
                                                  "content-encoding",
                                                  "content-type",
                                                  "content-range",
                                                  "set-cookie",
                                                  "cookie",
                                                  "expect",
                                                  "keep-alive"};

  llhttp_settings_t settings_;
  llhttp_t parser_;
  bool to_head_;
  Reading reading_;
  std::string target_;
  std::string name_;
  std::string value_;
};

// --- comparison ---

bool knownToLlhttp(std::string_view method) {
  constexpr std::string_view kMethods[] = {
#define METHOD(number, name, string) #string,
      HTTP_METHOD_MAP(METHOD)
#undef METHOD
  };
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

bool endsInLoneLf(std::string_view bytes) {
  return bytes.ends_with('\n') && !bytes.ends_with("\r\n");
}

// The whole list of what ours takes and llhttp refuses.
bool oursIsWider(const Reading& theirs, const Message& ours) {
  // Methods that llhttp does not know: a proxy passes any token on.
  if (!ours.method.empty() && !knownToLlhttp(ours.method)) return true;
  // A lone LF ends a line (RFC 9112 2.2), as in Envoy; llhttp takes it in some places only. It
  // stops at the LF or at the byte that follows.
  if (endsInLoneLf(theirs.before) ||
      endsInLoneLf(theirs.before.substr(0, theirs.before.size() - 1)))
    return true;
  // Framing fields among the trailers: ours drops them (RFC 9110 6.5.1).
  bool in_trailers =
      ours.framing == "chunked" && !theirs.messages.empty() && theirs.messages.back().head;
  if (in_trailers &&
      (theirs.error == HPE_INVALID_TRANSFER_ENCODING ||
       theirs.error == HPE_INVALID_CONTENT_LENGTH || theirs.error == HPE_UNEXPECTED_CONTENT_LENGTH))
    return true;
  return false;
}

void print(const char* who, const Reading& reading) {
  std::fprintf(stderr, "%s:%s%s %s\n", who, reading.refused ? " refused" : "",
               reading.stopped ? " stopped" : "", llhttp_errno_name(reading.error));
  for (const Message& m : reading.messages) {
    std::fprintf(stderr, "  [%s] %s%s framing %s body '%s'\n", m.start.c_str(),
                 m.head ? "head " : "", m.complete ? "complete" : "", m.framing.c_str(),
                 m.body.c_str());
    for (auto& [name, value] : m.fields)
      std::fprintf(stderr, "    %s: %s\n", name.c_str(), value.c_str());
    for (auto& [name, value] : m.trailers)
      std::fprintf(stderr, "    trailer %s: %s\n", name.c_str(), value.c_str());
  }
}

// Null: they agree as far as ours accepts.
const char* disagreement(const Reading& ours, const Reading& theirs) {
  for (size_t i = 0; i < ours.messages.size(); ++i) {
    const Message& a = ours.messages[i];
    if (i >= theirs.messages.size() || !theirs.messages[i].head) {
      if (theirs.stopped) return nullptr;
      if (theirs.refused) return oursIsWider(theirs, a) ? nullptr : "llhttp refuses the head";
      return "llhttp sees no head";
    }
    const Message& b = theirs.messages[i];
    if (a.start != b.start) return "start line";
    if (a.fields != b.fields) return "fields";
    if (a.framing != b.framing) return "framing";
    bool last = i + 1 == theirs.messages.size();
    if (last && theirs.stopped && !b.complete) return nullptr;
    if (a.complete && !b.complete) {
      if (!theirs.refused) return "llhttp sees no end";
      return oursIsWider(theirs, a) ? nullptr : "llhttp refuses the body";
    }
    if (!a.complete) {
      if (theirs.refused && last) return nullptr;
      return b.body.starts_with(a.body) ? nullptr : "part of a body";
    }
    if (a.body != b.body) return "body";
    if (a.trailers != b.trailers) return "trailers";
  }
  return nullptr;
}

void compare(std::string_view bytes, const Reading& ours, const Reading& theirs) {
  const char* what = disagreement(ours, theirs);
  if (what == nullptr) return;
  std::fprintf(stderr, "they disagree: %s (llhttp stops at %zu)\ninput: ", what,
               theirs.before.size());
  for (char c : bytes) {
    bool plain = c >= ' ' && c <= '~' && c != '\\';
    std::fprintf(stderr, plain ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
  }
  std::fputc('\n', stderr);
  print("ours", ours);
  print("llhttp", theirs);
  std::abort();
}

}  // namespace
}  // namespace gatehouse::codec::h1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse::codec::h1;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  compare(bytes, readRequests(bytes), Theirs(HTTP_REQUEST, false).read(bytes, false));
  for (bool to_head : {false, true})
    compare(bytes, readResponse(bytes, to_head), Theirs(HTTP_RESPONSE, to_head).read(bytes, true));
  return 0;
}
