#include "source/net/address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace gatehouse::net {
namespace {

TEST(Address, ParsesAndPrints) {
  struct {
    const char* ip;
    uint16_t port;
    const char* text;
  } cases[] = {{"1.2.3.4", 80, "1.2.3.4:80"},
               {"0.0.0.0", 0, "0.0.0.0:0"},
               {"255.255.255.255", 65535, "255.255.255.255:65535"},
               {"::1", 80, "[::1]:80"},
               {"2001:DB8::A", 443, "[2001:db8::a]:443"}};
  for (const auto& c : cases) {
    auto address = Address::parse(c.ip, c.port);
    ASSERT_TRUE(address) << c.ip;
    EXPECT_EQ(address->toString(), c.text);
    EXPECT_EQ(address->port(), c.port);
    sockaddr_storage raw;
    socklen_t size = address->toSockaddr(raw);
    EXPECT_EQ(Address::fromSockaddr(raw, size), *address);
    char to[Address::kMaxText];
    EXPECT_EQ(std::string_view(to, address->write(to, true)), c.text);
  }
  EXPECT_EQ(Address::parse("2001:db8::a", 1)->ip(), "2001:db8::a");
}

TEST(Address, RefusesWhatIsNoLiteral) {
  using std::string_view_literals::operator""sv;
  for (std::string_view text : {""sv, "localhost"sv, "1.2.3"sv, "1.2.3.4.5"sv, "256.1.1.1"sv,
                                "[::1]"sv, "1.2.3.4\0x"sv, " 1.2.3.4"sv, "01.2.3.4"sv, ":::1"sv}) {
    EXPECT_FALSE(Address::parse(text, 1)) << text;
  }
}

TEST(Address, MappedV4IsV4) {
  sockaddr_storage raw{};
  auto& in = reinterpret_cast<sockaddr_in6&>(raw);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(7);
  const unsigned char bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  std::memcpy(&in.sin6_addr, bytes, 16);
  Address address = Address::fromSockaddr(raw, sizeof(in));
  EXPECT_EQ(address.family(), Address::Family::kV4);
  EXPECT_EQ(address.toString(), "10.0.0.1:7");
}

TEST(Address, Unix) {
  Address a = Address::unixPath("/tmp/some.sock");
  EXPECT_EQ(a.toString(), "/tmp/some.sock");
  EXPECT_EQ(a, Address::unixPath("/tmp/some.sock"));
  EXPECT_FALSE(a == Address::unixPath("/tmp/other.sock"));
  EXPECT_FALSE(a.isIp());
  sockaddr_storage raw;
  socklen_t size = a.toSockaddr(raw);
  EXPECT_STREQ(reinterpret_cast<sockaddr_un&>(raw).sun_path, "/tmp/some.sock");
  EXPECT_EQ(size, offsetof(sockaddr_un, sun_path) + 15);
  size = Address::unixPath("@name").toSockaddr(raw);
  EXPECT_EQ(reinterpret_cast<sockaddr_un&>(raw).sun_path[0], '\0');
  EXPECT_EQ(size, offsetof(sockaddr_un, sun_path) + 5);
}

TEST(Address, Ranges) {
  EXPECT_TRUE(Address::parse("127.3.2.1", 0)->isLoopback());
  EXPECT_TRUE(Address::parse("::1", 0)->isLoopback());
  EXPECT_FALSE(Address::parse("::2", 0)->isLoopback());
  EXPECT_TRUE(Address::parse("0.0.0.0", 1)->isAny());
  EXPECT_TRUE(Address::parse("::", 1)->isAny());
  for (const char* ip :
       {"10.1.1.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fd00::1", "127.0.0.1"}) {
    EXPECT_TRUE(Address::parse(ip, 0)->isPrivate()) << ip;
  }
  for (const char* ip :
       {"11.1.1.1", "172.15.0.1", "172.32.0.1", "192.169.0.1", "2001:db8::1", "8.8.8.8"}) {
    EXPECT_FALSE(Address::parse(ip, 0)->isPrivate()) << ip;
  }
  EXPECT_FALSE(Address().known());
  EXPECT_EQ(Address().toString(), "");
}

}  // namespace
}  // namespace gatehouse::net
