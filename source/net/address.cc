#include "source/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_set>

namespace gatehouse::net {

namespace {

const std::string* intern(std::string_view path) {
  static std::mutex mutex;
  static auto* paths = new std::unordered_set<std::string>();
  std::lock_guard lock(mutex);
  return &*paths->emplace(path).first;
}

size_t writeNumber(char* to, unsigned value) {
  char digits[10];
  size_t n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  for (size_t i = 0; i < n; ++i) to[i] = digits[n - 1 - i];
  return n;
}

}  // namespace

std::optional<Address> Address::parse(std::string_view ip, uint16_t port) {
  std::string text(ip);
  if (text.find('\0') != std::string::npos) return std::nullopt;
  Address a;
  a.port_ = port;
  if (::inet_pton(AF_INET, text.c_str(), a.bytes_.data()) == 1) {
    a.family_ = Family::kV4;
    return a;
  }
  if (::inet_pton(AF_INET6, text.c_str(), a.bytes_.data()) == 1) {
    a.family_ = Family::kV6;
    return a;
  }
  return std::nullopt;
}

Address Address::unixPath(std::string_view path) {
  Address a;
  a.family_ = Family::kUnix;
  const std::string* interned = intern(path);
  std::memcpy(a.bytes_.data(), &interned, sizeof(interned));
  return a;
}

const std::string& Address::path() const {
  const std::string* interned;
  std::memcpy(&interned, bytes_.data(), sizeof(interned));
  return *interned;
}

Address Address::fromSockaddr(const sockaddr_storage& from, socklen_t length) {
  Address a;
  switch (from.ss_family) {
    case AF_INET: {
      const auto& in = reinterpret_cast<const sockaddr_in&>(from);
      a.family_ = Family::kV4;
      a.port_ = ntohs(in.sin_port);
      std::memcpy(a.bytes_.data(), &in.sin_addr, 4);
      break;
    }
    case AF_INET6: {
      const auto& in = reinterpret_cast<const sockaddr_in6&>(from);
      a.port_ = ntohs(in.sin6_port);
      if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
        a.family_ = Family::kV4;
        std::memcpy(a.bytes_.data(), in.sin6_addr.s6_addr + 12, 4);
      } else {
        a.family_ = Family::kV6;
        std::memcpy(a.bytes_.data(), &in.sin6_addr, 16);
      }
      break;
    }
    case AF_UNIX: {
      const auto& un = reinterpret_cast<const sockaddr_un&>(from);
      size_t size =
          length > offsetof(sockaddr_un, sun_path) ? length - offsetof(sockaddr_un, sun_path) : 0;
      // A client's own address has no path; a peer's chosen name is not interned, or clients could
      // fill memory.
      return unixPath(size == 0 || un.sun_path[0] == '\0' ? "" : "unix");
    }
    default:
      break;
  }
  return a;
}

socklen_t Address::toSockaddr(sockaddr_storage& to) const {
  std::memset(&to, 0, sizeof(to));
  switch (family_) {
    case Family::kV4: {
      auto& in = reinterpret_cast<sockaddr_in&>(to);
      in.sin_family = AF_INET;
      in.sin_port = htons(port_);
      std::memcpy(&in.sin_addr, bytes_.data(), 4);
      return sizeof(in);
    }
    case Family::kV6: {
      auto& in = reinterpret_cast<sockaddr_in6&>(to);
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port_);
      std::memcpy(&in.sin6_addr, bytes_.data(), 16);
      return sizeof(in);
    }
    case Family::kUnix: {
      auto& un = reinterpret_cast<sockaddr_un&>(to);
      un.sun_family = AF_UNIX;
      const std::string& name = path();
      size_t size = std::min(name.size(), sizeof(un.sun_path) - 1);
      std::memcpy(un.sun_path, name.data(), size);
      if (size != 0 && un.sun_path[0] == '@') {  // abstract name
        un.sun_path[0] = '\0';
        return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
      }
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size + 1);
    }
    case Family::kNone:
      break;
  }
  return 0;
}

bool Address::isLoopback() const {
  if (family_ == Family::kV4) return bytes_[0] == 127;
  if (family_ == Family::kV6) {
    return std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; }) &&
           bytes_[15] == 1;
  }
  return false;
}

bool Address::isAny() const {
  size_t size = family_ == Family::kV4 ? 4 : 16;
  return isIp() && std::all_of(bytes_.begin(), bytes_.begin() + static_cast<long>(size),
                               [](uint8_t b) { return b == 0; });
}

bool Address::isPrivate() const {
  if (isLoopback()) return true;
  if (family_ == Family::kV4) {
    return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xf0) == 16) ||
           (bytes_[0] == 192 && bytes_[1] == 168);
  }
  return family_ == Family::kV6 && (bytes_[0] & 0xfe) == 0xfc;
}

size_t Address::write(char* to, bool with_port) const {
  size_t n = 0;
  if (family_ == Family::kV4) {
    for (int i = 0; i < 4; ++i) {
      if (i != 0) to[n++] = '.';
      n += writeNumber(to + n, bytes_[static_cast<size_t>(i)]);
    }
  } else if (family_ == Family::kV6) {
    if (with_port) to[n++] = '[';
    ::inet_ntop(AF_INET6, bytes_.data(), to + n, INET6_ADDRSTRLEN);
    n += std::strlen(to + n);
    if (with_port) to[n++] = ']';
  } else if (family_ == Family::kUnix) {
    n = std::min(path().size(), kMaxText);
    std::memcpy(to, path().data(), n);
    return n;
  }
  if (with_port && isIp()) {
    to[n++] = ':';
    n += writeNumber(to + n, port_);
  }
  return n;
}

std::string Address::ip() const {
  char text[kMaxText];
  return std::string(text, write(text, false));
}

std::string Address::toString() const {
  char text[kMaxText];
  return std::string(text, write(text, true));
}

}  // namespace gatehouse::net
