// A small HTTP/1.1 origin for quickstart and benchmarks. It shares no code with the gateway, so a
// fault of ours cannot hide in it.
//   origin --port N [--name X]
//   GET /bytes/N  answers N bytes; anything else a text that shows the request. Request bodies are
//   read and thrown away.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

std::string g_name = "origin";
char g_filler[256 * 1024];

struct Client {
  int fd;
  std::string in;
  std::string out;
  size_t sent = 0;    // of out
  size_t filler = 0;  // bytes of a large body that follow out
  size_t body_left = 0;
  bool close = false;
  bool pending() const { return !out.empty() || filler != 0; }
};

bool equalsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// Value of a header in a raw head, empty if absent.
std::string_view header(std::string_view head, std::string_view name) {
  size_t at = head.find("\r\n");
  while (at != head.npos && at + 2 < head.size()) {
    size_t end = head.find("\r\n", at + 2);
    std::string_view line = head.substr(at + 2, end - at - 2);
    size_t colon = line.find(':');
    if (colon != line.npos && equalsIgnoreCase(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
      return value;
    }
    at = end;
  }
  return {};
}

void answer(Client& client, std::string_view head) {
  std::string_view target = head.substr(head.find(' ') + 1);
  target = target.substr(0, target.find(' '));
  bool is_head = head.starts_with("HEAD ");
  std::string body;
  size_t filler = 0;
  const char* type = "text/plain";
  if (target.starts_with("/bytes/")) {
    size_t size = std::strtoull(std::string(target.substr(7)).c_str(), nullptr, 10);
    type = "application/octet-stream";
    if (size > sizeof(g_filler)) {
      filler = size;
    } else {
      body.assign(size, 'x');
    }
  } else {
    body = "Hello from " + g_name + ". It received:\n\n" +
           std::string(head.substr(0, head.size() - 2));
  }
  client.close = equalsIgnoreCase(header(head, "connection"), "close");
  client.out += "HTTP/1.1 200 OK\r\nserver: " + g_name +
                "\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: " + type +
                "\r\ncontent-length: " + std::to_string(body.size() + filler) + "\r\n" +
                (client.close ? "connection: close\r\n" : "") + "\r\n";
  if (is_head) return;
  client.out += body;
  client.filler = filler;
}

// Serves every complete request in `in`.
void serve(Client& client) {
  while (client.filler == 0) {
    if (client.body_left != 0) {
      size_t n = std::min(client.body_left, client.in.size());
      client.in.erase(0, n);
      client.body_left -= n;
      if (client.body_left != 0) return;
    }
    size_t end = client.in.find("\r\n\r\n");
    if (end == std::string::npos) return;
    std::string head = client.in.substr(0, end + 4);
    client.in.erase(0, end + 4);
    std::string_view length = header(head, "content-length");
    if (!length.empty()) client.body_left = std::strtoull(std::string(length).c_str(), nullptr, 10);
    if (equalsIgnoreCase(header(head, "transfer-encoding"), "chunked")) {
      size_t last = client.in.find("0\r\n\r\n");
      if (last == std::string::npos) {  // wait for the whole of it
        client.in.insert(0, head);
        return;
      }
      client.in.erase(0, last + 5);
    }
    answer(client, head);
  }
}

// False: the connection is broken.
bool send(Client& client) {
  while (client.pending()) {
    bool head = !client.out.empty();
    const char* from = head ? client.out.data() + client.sent : g_filler;
    size_t size =
        head ? client.out.size() - client.sent : std::min(client.filler, sizeof(g_filler));
    ssize_t sent = ::send(client.fd, from, size, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    if (head) {
      client.sent += static_cast<size_t>(sent);
      if (client.sent == client.out.size()) {
        client.out.clear();
        client.sent = 0;
      }
    } else {
      client.filler -= static_cast<size_t>(sent);
    }
    if (static_cast<size_t>(sent) < size) return true;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--port") == 0) {
      port = std::atoi(argv[i + 1]);
    } else if (std::strcmp(argv[i], "--name") == 0) {
      g_name = argv[i + 1];
    } else {
      std::fprintf(stderr, "usage: origin --port N [--name X]\n");
      return 1;
    }
  }
  ::signal(SIGPIPE, SIG_IGN);
  std::memset(g_filler, 'x', sizeof(g_filler));
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<uint16_t>(port));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(listener, 4096) != 0) {
    std::fprintf(stderr, "origin: cannot listen on 127.0.0.1:%d: %s\n", port, std::strerror(errno));
    return 1;
  }
  socklen_t size = sizeof(at);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
  std::printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
  std::fflush(stdout);
  int set = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  ::epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  static char buffer[256 * 1024];
  for (;;) {
    epoll_event events[128];
    int n = ::epoll_wait(set, events, 128, -1);
    for (int i = 0; i < n; ++i) {
      if (events[i].data.ptr == nullptr) {
        for (int fd;
             (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
          auto* made = new Client{.fd = fd, .in = {}, .out = {}};
          event.events = EPOLLIN;
          event.data.ptr = made;
          ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      auto* client = static_cast<Client*>(events[i].data.ptr);
      bool gone = false;
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t got = ::recv(client->fd, buffer, sizeof(buffer), 0);
        gone = got == 0 || (got < 0 && errno != EAGAIN);
        if (got > 0) {
          client->in.append(buffer, static_cast<size_t>(got));
          serve(*client);
        }
      }
      if (!gone && client->pending()) {
        gone = !send(*client) || (!client->pending() && client->close);
        // A pipelined request may have waited for the end of a large body.
        if (!gone && !client->pending() && !client->in.empty()) {
          serve(*client);
          gone = client->pending() && !send(*client);
        }
        event.events = client->pending() ? EPOLLIN | EPOLLOUT : EPOLLIN;
        event.data.ptr = client;
        if (client->pending() || (events[i].events & EPOLLOUT))
          ::epoll_ctl(set, EPOLL_CTL_MOD, client->fd, &event);
      }
      if (gone) {
        ::close(client->fd);
        delete client;
      }
    }
  }
}
