#include "test/harness/gateway.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <utility>
#include <vector>

#include "api/envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "source/config/diagnostics.h"
#include "source/config/loader.h"
#include "source/listener/listener_manager.h"
#include "source/log/file_writers.h"
#include "source/memory/slab.h"
#include "source/sdk/factory.h"
#include "source/upstream/cluster_manager.h"

namespace gatehouse::harness {

namespace {

event::MonoTime g_now{};
event::MonoTime simulated() { return g_now; }

sockaddr_in loopback(uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  return at;
}

std::string indented(const std::string& text, int by) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    out += std::string(static_cast<size_t>(by), ' ') + line + "\n";
  return out;
}

}  // namespace

Peer::~Peer() {
  if (fd_ >= 0) ::close(fd_);
}

size_t Peer::send(std::string_view bytes) {
  ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return n < 0 ? 0 : static_cast<size_t>(n);
}

size_t Peer::read(size_t limit) {
  std::vector<char> piece(limit);
  ssize_t n = ::recv(fd_, piece.data(), piece.size(), MSG_DONTWAIT);
  if (n > 0) {
    received.append(piece.data(), static_cast<size_t>(n));
    return static_cast<size_t>(n);
  }
  if (n == 0) finished = true;
  if (n < 0 && errno == ECONNRESET) broken = true;
  return 0;
}

void Peer::read() {
  while (read(64 * 1024) != 0) {
  }
}

void Peer::finishWriting() { ::shutdown(fd_, SHUT_WR); }

void Peer::reset() {
  linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  ::close(std::exchange(fd_, -1));
}

Origin::Origin() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  sockaddr_in at = loopback(0);
  EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
  EXPECT_EQ(::listen(fd_, 1024), 0);
  socklen_t size = sizeof(at);
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
}

Origin::~Origin() { ::close(fd_); }

std::unique_ptr<Peer> Origin::accept() {
  int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  return fd < 0 ? nullptr : std::make_unique<Peer>(fd);
}

struct Gateway::Parts {
  Parts() : worker((g_now = event::MonoTime(std::chrono::hours(1)), "test"), 0, simulated) {}
  size_t slots = memory::slabLive();
  event::Worker worker;
  stats::StatsStore stats;
  log::FileWriters files;
  sdk::Lifecycle lifecycle;
  std::unique_ptr<upstream::ClusterManager> clusters;
  std::unique_ptr<sdk::FactoryContext> context;
  std::unique_ptr<listener::ListenerManager> listeners;
};

Gateway::Gateway(const std::string& yaml) : parts_(std::make_unique<Parts>()) {
  Parts& p = *parts_;
  p.worker.bind();
  p.clusters = std::make_unique<upstream::ClusterManager>(p.stats, 1);
  p.context = std::make_unique<sdk::FactoryContext>(
      sdk::FactoryContext{p.stats, *p.clusters, p.files, p.lifecycle, 1, "", 1024 * 1024});
  p.listeners = std::make_unique<listener::ListenerManager>(*p.context, 1);
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  config::Diagnostics diagnostics("test.yaml");
  bool loaded =
      config::loadText(yaml, config::Format::kYaml, config::LoadOptions(), bootstrap, diagnostics);
  EXPECT_TRUE(loaded) << diagnostics.toString();
  for (const auto& cluster : bootstrap.static_resources().clusters()) {
    absl::Status status = p.clusters->add(cluster);
    EXPECT_TRUE(status.ok()) << status;
  }
  for (const auto& listener : bootstrap.static_resources().listeners()) {
    absl::Status status = p.listeners->add(listener, true);
    EXPECT_TRUE(status.ok()) << status;
  }
  p.listeners->startWorker(0);
}

Gateway::~Gateway() {
  Parts& p = *parts_;
  p.listeners->stopWorker(0);
  p.listeners->closeWorker();
  p.clusters->shutdownWorker();
  for (int i = 0; i < 200'000 && memory::slabLive() != p.slots; ++i) turn();
  EXPECT_EQ(memory::slabLive(), p.slots) << "connections or streams outlive the test";
}

event::Worker& Gateway::worker() { return parts_->worker; }

uint16_t Gateway::port() const {
  return parts_->listeners->all().front()->addresses.front().port();
}

std::unique_ptr<Peer> Gateway::dial(int receive_buffer) const {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer != 0)
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  sockaddr_in to = loopback(port());
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return std::make_unique<Peer>(fd);
}

void Gateway::turn() { parts_->worker.runOnce(); }

void Gateway::until(const std::function<bool()>& holds) {
  for (int i = 0; i < 1'000'000; ++i) {
    if (holds()) return;
    turn();
  }
  FAIL() << "it never held";
}

void Gateway::advance(event::Millis time) {
  g_now += time;
  for (int i = 0; i < 5; ++i) turn();
}

uint64_t Gateway::stat(std::string_view name) const {
  for (const auto& value : parts_->stats.values()) {
    if (value.name == name) return value.value;
  }
  return 0;
}

void Gateway::drain() {
  parts_->lifecycle.draining = true;
  parts_->lifecycle.close_share = sdk::Lifecycle::kAll;
  for (const auto& listener : parts_->listeners->all()) listener->filter->drainWorker();
}

std::string bootstrap(uint16_t origin_port, const std::string& hcm, const std::string& cluster,
                      const std::string& listener, const std::string& routes) {
  return R"(static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
)" + indented(listener, 4) +
         R"(    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
)" + indented(hcm, 10) +
         R"(          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
)" + indented(routes, 14) +
         R"(          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 2s
)" + indented(cluster, 4) +
         R"(    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: )" +
         std::to_string(origin_port) + "}}}\n";
}

}  // namespace gatehouse::harness
