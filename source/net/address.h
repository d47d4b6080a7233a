#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gatehouse::net {

// An IPv4, IPv6 or unix socket address in 20 bytes (a sockaddr_storage has 128, and idle
// connections have two). Unix paths are interned for the life of the process: they come from
// configuration only. A default Address is "none".
class Address {
 public:
  enum class Family : uint8_t { kNone, kV4, kV6, kUnix };

  Address() = default;
  // A literal IPv4 or IPv6 address; no brackets. Nullopt if it is neither.
  static std::optional<Address> parse(std::string_view ip, uint16_t port);
  static Address unixPath(std::string_view path);
  static Address fromSockaddr(const sockaddr_storage& from, socklen_t length);
  // Returns the length for bind() and connect().
  socklen_t toSockaddr(sockaddr_storage& to) const;

  Family family() const { return family_; }
  bool known() const { return family_ != Family::kNone; }
  bool isIp() const { return family_ == Family::kV4 || family_ == Family::kV6; }
  uint16_t port() const { return port_; }
  void setPort(uint16_t port) { port_ = port; }
  bool isLoopback() const;
  bool isAny() const;
  // RFC 1918, RFC 4193 and loopback.
  bool isPrivate() const;
  const uint8_t* bytes() const { return bytes_.data(); }

  // "10.0.0.1", "::1", or the path.
  std::string ip() const;
  // "10.0.0.1:80", "[::1]:80", or the path; as in Envoy's logs and stat names.
  std::string toString() const;
  // Writes toString() into `to` (at least kMaxText bytes for IP addresses) without allocating;
  // returns the length.
  static constexpr size_t kMaxText = 110;
  size_t write(char* to, bool with_port) const;

  friend bool operator==(const Address& a, const Address& b) {
    return a.family_ == b.family_ && a.port_ == b.port_ && a.bytes_ == b.bytes_;
  }

 private:
  const std::string& path() const;

  Family family_ = Family::kNone;
  uint8_t unused_ = 0;
  uint16_t port_ = 0;
  std::array<uint8_t, 16> bytes_{};  // network order; kUnix: pointer to the interned path
};
static_assert(sizeof(Address) == 20);

}  // namespace gatehouse::net
