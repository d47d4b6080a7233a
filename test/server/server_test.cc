// The whole server with several workers on real time: requests under way survive a drain.
#include "source/server/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace gatehouse::server {
namespace {

constexpr char kConfig[] = R"(
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "hello"}}}]}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
)";

int dial(uint16_t port) {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(port);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) return fd;
  ::close(fd);
  return -1;
}

// One request on an open connection: the whole answer, or what came before the end.
std::string ask(int fd, const std::string& request) {
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string got;
  char piece[4096];
  while (!got.ends_with("hello")) {
    ssize_t n = ::recv(fd, piece, sizeof(piece), 0);
    if (n <= 0) break;
    got.append(piece, static_cast<size_t>(n));
  }
  return got;
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.config_yaml = kConfig;
    options_.concurrency = 4;
    options_.drain_seconds = 20;
  }
  void start() {
    server_ = std::make_unique<Server>(options_);
    ASSERT_TRUE(server_->initialize()) << server_->errors();
    port_ = server_->listeners().all().front()->addresses.front().port();
    thread_ = std::thread([this] { exit_ = server_->run(); });
  }
  void TearDown() override {
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  Options options_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  uint16_t port_ = 0;
  int exit_ = -1;
};

TEST_F(ServerTest, ADrainUnderLoadFailsNoRequest) {
  start();
  std::atomic<int> answered{0}, cut{0};
  std::atomic<bool> draining{false};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      int fd = dial(port_);
      // Until the server asks to close; a refused connection means that it has stopped accepting.
      while (fd >= 0) {
        std::string answer = ask(fd, "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        if (!answer.starts_with("HTTP/1.1 200")) {
          ++cut;
          break;
        }
        ++answered;
        if (answer.find("connection: close") == std::string::npos) continue;
        ::close(fd);
        fd = draining ? -1 : dial(port_);
      }
      if (fd >= 0) ::close(fd);
    });
  }
  while (answered < 2000) std::this_thread::yield();
  draining = true;
  server_->shutdown();
  for (auto& client : clients) client.join();
  thread_.join();
  EXPECT_EQ(exit_, 0);
  EXPECT_EQ(cut, 0);
}

TEST_F(ServerTest, TheAdminServerLogsItsRequests) {
  std::string path = testing::TempDir() + "admin.log";
  ::unlink(path.c_str());
  std::string log =
      "access_log: [{name: f, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: " +
      path +
      ", log_format: {text_format_source: {inline_string: \"%REQ(:METHOD)% %REQ(:PATH)% "
      "%RESPONSE_CODE% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\\n\"}}}}], address";
  options_.config_yaml.replace(options_.config_yaml.find("address"), 7, log);
  start();
  int fd = dial(server_->adminServer().address().port());
  ask(fd, "GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  ::close(fd);
  server_->shutdown();
  thread_.join();
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "GET /nothing 404 127.0.0.1");
}

TEST_F(ServerTest, ASecondShutdownEndsAtOnce) {
  start();
  int fd = dial(port_);
  // A request that is never complete would hold the drain for its whole time.
  std::string half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
  ::send(fd, half.data(), half.size(), MSG_NOSIGNAL);
  server_->shutdown();
  server_->shutdown();
  thread_.join();
  EXPECT_EQ(exit_, 0);
  ::close(fd);
}

}  // namespace
}  // namespace gatehouse::server
