#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "source/codec/h1/server_codec.h"
#include "source/net/accept_socket.h"
#include "source/sdk/access_log.h"

namespace gatehouse::admin {

struct Request {
  std::string_view method;
  std::string path;                          // without the query
  std::map<std::string, std::string> query;  // percent-decoded
};

struct Response {
  uint16_t status = 200;
  std::string content_type = "text/plain; charset=UTF-8";
  std::string body;
};

// The admin server: HTTP/1.1 on main, answers complete in memory. Handlers are registered by path
// before it listens. Requests whose Host is neither an IP address nor localhost are refused, or a
// web page could reach it by rebinding a name.
class Admin {
 public:
  using Handler = std::function<Response(const Request&)>;

  Admin();
  ~Admin();
  // `changes`: the handler changes state and needs POST.
  void add(std::string path, std::string help, bool changes, Handler handler);
  // Where requests are logged, each when its answer is made; before listen().
  void logTo(std::vector<std::shared_ptr<const sdk::AccessLogger>> loggers) {
    loggers_ = std::move(loggers);
  }
  const std::vector<std::shared_ptr<const sdk::AccessLogger>>& loggers() const { return loggers_; }
  // Main worker.
  absl::Status listen(const net::Address& address);
  const net::Address& address() const { return socket_->address(); }
  void stop();

  // The answer to one request, as the server gives it.
  Response handle(const Request& request) const;

 private:
  struct Entry {
    std::string help;
    bool changes;
    Handler handler;
  };
  std::string helpText() const;
  std::string indexPage() const;

  std::map<std::string, Entry> handlers_;
  std::unique_ptr<net::ListenSocket> socket_;
  std::unique_ptr<net::Acceptor> acceptor_;
  codec::h1::ServerOptions options_;
  std::vector<std::shared_ptr<const sdk::AccessLogger>> loggers_;
};

// Splits a request target. `path` gets the part before '?'.
Request parseTarget(std::string_view method, std::string_view target);

}  // namespace gatehouse::admin
