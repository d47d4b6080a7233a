#include "source/admin/admin.h"

#include <charconv>
#include <utility>

#include "source/event/worker.h"
#include "source/http/chars.h"
#include "source/http/date.h"
#include "source/http/path.h"
#include "source/net/connection.h"

namespace gatehouse::admin {

using http::HeaderId;

namespace {

// Percent-decodes; what is no code stays.
std::string decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '%' && text.size() - i > 2 &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool trustedHost(std::string_view authority) {
  std::string_view host, port;
  if (!http::splitAuthority(authority, &host, &port)) return false;
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  return http::equalsIgnoreCase(host, "localhost") || net::Address::parse(host, 0).has_value();
}

// One connection; owns itself until its socket closes.
class Connection final : public net::ConnectionUser,
                         public codec::CodecEvents,
                         public event::Reapable {
 public:
  Connection(const Admin& admin, const codec::h1::ServerOptions& options,
             net::Connection& connection, const net::Address& remote)
      : admin_(admin), connection_(connection), codec_(options) {
    connection.setUser(*this);
    info_.remote = remote;
    info_.local = connection.local();
  }

  void onData(buffer::Buffer& in, bool end) noexcept override {
    codec::Ingest result = codec_.ingest(in, end, *this);
    if (closed_) return;
    if (result.code == codec::Ingest::kFatal && stream_ != nullptr) {
      answer({result.why.status, "text/plain; charset=UTF-8", ""});
    }
    if (codec_.wantsClose() || !codec_.reusable()) {
      connection_.closeAfterFlush(event::Millis(1000), true);
    } else if (end) {
      connection_.close(net::CloseReason::kRemoteFin);
    }
  }
  size_t produce(buffer::Buffer& out, size_t room) noexcept override {
    return codec_.produce(out, room);
  }
  void onClosed(net::CloseReason, int) noexcept override {
    closed_ = true;
    event::Worker::current().bury(*this);
  }

  codec::Stream* onStream(uint64_t) noexcept override {
    stream_ = std::make_unique<Stream>();
    stream_->arena = &stream_->memory;
    stream_->credit = 64 * 1024;
    return stream_.get();
  }
  http::RequestHead* requestHead(codec::Stream&) noexcept override { return &stream_->head; }
  http::ResponseHead* responseHead(codec::Stream&) noexcept override { return nullptr; }
  void onRequestHead(codec::Stream&, http::RequestHead&, bool end) noexcept override {
    if (end) respond();
  }
  void onInterim(codec::Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(codec::Stream&, http::ResponseHead&, bool) noexcept override {}
  void onBody(codec::Stream& stream, buffer::Buffer& in, bool end) noexcept override {
    in.clear();
    stream.credit = 64 * 1024;
    if (end) respond();
  }
  void onTrailers(codec::Stream&, http::HeaderMap&) noexcept override { respond(); }
  void onAbort(codec::Stream&, codec::Abort, codec::CodecError) noexcept override {}
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

 private:
  struct Stream : codec::Stream {
    Stream() : memory(nullptr, 0), head(memory) {}
    memory::Arena memory;
    http::RequestHead head;
  };

  void respond() {
    const http::RequestHead& head = stream_->head;
    if (!trustedHost(head.authority)) {
      answer({403, "text/plain; charset=UTF-8",
              "the Host of an admin request must be an IP address or localhost\n"});
      return;
    }
    answer(admin_.handle(parseTarget(head.method, head.path)));
  }

  void answer(Response response) {
    auto& arena = stream_->memory;
    auto* head = arena.make<http::ResponseHead>(arena);
    head->status = response.status;
    head->headers.addCopy(HeaderId::kContentType, response.content_type);
    head->headers.add(HeaderId::kCacheControl, "no-cache, max-age=0");
    head->headers.add("x-content-type-options", "nosniff", HeaderId::kOther);
    head->headers.addCopy(HeaderId::kDate,
                          http::httpDate(event::Worker::current().wallMicros() / 1'000'000));
    head->headers.add(HeaderId::kServer, "gatehouse");
    head->headers.addCopy(HeaderId::kContentLength, std::to_string(response.body.size()));
    head->keep_alive = stream_->head.keep_alive;
    log(*head, response.body.size());
    bool empty = response.body.empty() || stream_->head.method_id == http::Method::kHead;
    codec_.sendResponseHead(*stream_, *head, empty);
    if (!empty) {
      buffer::Buffer body;
      body.appendOwned(std::move(response.body));
      codec_.sendBody(*stream_, body, true);
    }
    connection_.markDirty();
  }

  // No clock is read but for the line: admin answers from memory at once.
  void log(const http::ResponseHead& head, size_t body) {
    if (admin_.loggers().empty()) return;
    event::Worker& worker = event::Worker::current();
    sdk::StreamInfo info;
    info.connection = &info_;
    info.downstream_remote = info_.remote;
    info.version = stream_->head.version;
    info.start = info.request_end = info.end = info.response_first_sent = worker.now();
    info.start_wall_micros = worker.wallMicros();
    info.response_code = head.status;
    info.response_body_bytes = stream_->head.method_id == http::Method::kHead ? 0 : body;
    sdk::LogEntry entry{&stream_->head, &head, nullptr, info};
    for (const auto& logger : admin_.loggers()) logger->log(entry);
  }

  const Admin& admin_;
  sdk::ConnectionInfo info_;
  net::Connection& connection_;
  codec::h1::ServerCodec codec_;
  std::unique_ptr<Stream> stream_;
  bool closed_ = false;
};

}  // namespace

Request parseTarget(std::string_view method, std::string_view target) {
  Request request;
  request.method = method;
  request.path = http::pathOnly(target);
  std::string_view query = http::queryWithMark(target);
  if (!query.empty()) query.remove_prefix(1);
  while (!query.empty()) {
    size_t amp = query.find('&');
    std::string_view pair = query.substr(0, amp);
    size_t equals = pair.find('=');
    request.query.emplace(
        decode(pair.substr(0, equals)),
        decode(equals == pair.npos ? std::string_view() : pair.substr(equals + 1)));
    query.remove_prefix(amp == query.npos ? query.size() : amp + 1);
  }
  return request;
}

Admin::Admin() {
  add("/help", "print out list of admin commands", false, [this](const Request&) {
    return Response{200, "text/plain; charset=UTF-8", helpText()};
  });
  add("/", "Admin home page", false, [this](const Request&) {
    return Response{200, "text/html; charset=UTF-8", indexPage()};
  });
}

Admin::~Admin() = default;

void Admin::add(std::string path, std::string help, bool changes, Handler handler) {
  handlers_[std::move(path)] = {std::move(help), changes, std::move(handler)};
}

absl::Status Admin::listen(const net::Address& address) {
  auto socket = net::ListenSocket::open(address, {.reuse_port = false});
  if (!socket.ok()) return socket.status();
  socket_ = *std::move(socket);
  acceptor_ = std::make_unique<net::Acceptor>(*socket_, [this](int fd, const net::Address& remote) {
    net::Connection* connection = net::Connection::accepted(fd);
    new Connection(*this, options_, *connection, remote);
  });
  return absl::OkStatus();
}

void Admin::stop() {
  acceptor_.reset();
  socket_.reset();
}

Response Admin::handle(const Request& request) const {
  auto found = handlers_.find(request.path);
  if (found == handlers_.end()) {
    return {404, "text/plain; charset=UTF-8", "invalid path. " + helpText()};
  }
  if (found->second.changes && request.method != "POST") {
    return {405, "text/plain; charset=UTF-8", "Method Not Allowed"};
  }
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") {
    return {405, "text/plain; charset=UTF-8", "Method Not Allowed"};
  }
  return found->second.handler(request);
}

std::string Admin::helpText() const {
  std::string text = "admin commands are:\n";
  for (const auto& [path, entry] : handlers_) {
    text += "  " + path + (entry.changes ? " (POST)" : "") + ": " + entry.help + "\n";
  }
  return text;
}

std::string Admin::indexPage() const {
  std::string page =
      "<!DOCTYPE html><html lang='en'><head><title>Gatehouse "
      "admin</title><style>body{font-family:sans-serif;margin:2em}"
      "td{padding:.2em 1em .2em 0}</style></head><body><h1>Gatehouse</h1><table>";
  for (const auto& [path, entry] : handlers_) {
    std::string link = entry.changes
                           ? "<form action='" + path.substr(1) + "' method='post'><button>" +
                                 path.substr(1) + "</button></form>"
                           : "<a href='" + path.substr(path == "/" ? 0 : 1) + "'>" +
                                 (path == "/" ? path : path.substr(1)) + "</a>";
    page += "<tr><td>" + link + "</td><td>" + entry.help + "</td></tr>";
  }
  return page + "</table></body></html>\n";
}

}  // namespace gatehouse::admin
