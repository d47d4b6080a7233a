#include "source/net/connection.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "source/memory/segment.h"
#include "source/net/accept_socket.h"

namespace gatehouse::net {
namespace {

event::MonoTime g_now{};
event::MonoTime simulated() { return g_now; }

// Collects what a connection tells and offers `output` to it.
struct User : ConnectionUser {
  void onConnected() noexcept override { connected = true; }
  void onData(buffer::Buffer& in, bool end) noexcept override {
    ++data_calls;
    if (end) ++ends;
    largest = std::max(largest, in.length());
    if (eat) {
      received += in.toString();
      in.clear();
    }
    if (on_data) on_data();
  }
  size_t produce(buffer::Buffer& out, size_t room) noexcept override {
    size_t n = std::min(room, output.length());
    out.takePrefix(output, n);
    return n;
  }
  void onFlushed() noexcept override { ++flushes; }
  void onClosed(CloseReason why, int error) noexcept override {
    ++closes;
    reason = why;
    errno_value = error;
  }
  bool connected = false;
  bool eat = true;
  int data_calls = 0;
  int ends = 0;
  int flushes = 0;
  int closes = 0;
  size_t largest = 0;
  std::optional<CloseReason> reason;
  int errno_value = 0;
  std::string received;
  buffer::Buffer output;
  std::function<void()> on_data;
};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest()
      : worker_((g_now = event::MonoTime(std::chrono::seconds(100)), "test"), 0, simulated) {
    worker_.bind();
    slots_ = memory::slabLive();
    auto opened = ListenSocket::open(*Address::parse("127.0.0.1", 0), {});
    EXPECT_TRUE(opened.ok());
    listen_ = *std::move(opened);
    acceptor_ = std::make_unique<Acceptor>(*listen_, [this](int fd, const Address& remote) {
      remote_ = remote;
      server_ = Connection::accepted(fd);
      server_->setUser(user_);
    });
  }
  ~ConnectionTest() override {
    if (client_ >= 0) ::close(client_);
    if (server_ != nullptr && user_.closes == 0) server_->close(CloseReason::kLocal);
    user_.output.clear();
    turns(3);
    acceptor_.reset();
    turns(1);
    EXPECT_EQ(user_.closes, server_ == nullptr ? 0 : 1);
    EXPECT_EQ(memory::slabLive(), slots_);  // every connection was freed
  }
  void turns(int n) {
    for (int i = 0; i < n; ++i) worker_.runOnce();
  }
  // Loopback delivers at once, but not inside the call of the sender's peer: turn until it holds.
  template <class F>
  void until(F&& done) {
    bool reached = done();
    for (int i = 0; i < 2'000'000 && !reached; ++i) {
      worker_.runOnce();
      reached = done();
    }
    ASSERT_TRUE(reached);
  }
  // A plain client socket, accepted by us.
  void dial(int receive_buffer = 0) {
    client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer != 0)
      ::setsockopt(client_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_storage to;
    socklen_t size = listen_->address().toSockaddr(to);
    ASSERT_EQ(::connect(client_, reinterpret_cast<sockaddr*>(&to), size), 0);
    until([&] { return server_ != nullptr; });
  }
  void clientSends(const std::string& text) {
    ASSERT_EQ(::send(client_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What the client can read now; "<end>" and "<reset>" mark the stream's end.
  std::string clientReads() {
    std::string all;
    std::vector<char> piece(65536);
    for (;;) {
      ssize_t n = ::recv(client_, piece.data(), piece.size(), MSG_DONTWAIT);
      if (n > 0) {
        all.append(piece.data(), static_cast<size_t>(n));
      } else if (n == 0) {
        return all + "<end>";
      } else if (errno == ECONNRESET) {
        return all + "<reset>";
      } else {
        return all;
      }
    }
  }
  void clientReset() {
    linger now{1, 0};
    ::setsockopt(client_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    ::close(client_);
    client_ = -1;
  }

  event::Worker worker_;
  size_t slots_ = 0;
  std::unique_ptr<ListenSocket> listen_;
  std::unique_ptr<Acceptor> acceptor_;
  Connection* server_ = nullptr;
  Address remote_;  // of the last accepted
  User user_;
  int client_ = -1;
};

TEST_F(ConnectionTest, ReadsAndWrites) {
  dial();
  EXPECT_EQ(server_->local(), listen_->address());
  EXPECT_TRUE(remote_.isLoopback());
  clientSends("ping");
  until([&] { return user_.received == "ping"; });
  user_.output.appendStatic("pong");
  server_->markDirty();
  worker_.runOnce();
  EXPECT_EQ(user_.flushes, 1);
  EXPECT_EQ(clientReads(), "pong");
  EXPECT_EQ(server_->bytesIn(), 4u);
  EXPECT_EQ(server_->bytesOut(), 4u);
  EXPECT_EQ(server_->pendingOutput(), 0u);
}

TEST_F(ConnectionTest, IdleConnectionIsSmallAndHoldsNoBlock) {
  EXPECT_LE(sizeof(Connection), 256u);
  dial();
  clientSends("x");
  until([&] { return user_.received == "x"; });
  EXPECT_EQ(memory::slabLive(), slots_ + 1);  // the connection itself
}

TEST_F(ConnectionTest, SteadyReadsUseOneBlock) {
  dial();
  for (int i = 0; i < 5; ++i) {
    clientSends("request");
    until([&] { return user_.received.size() == 7u * static_cast<size_t>(i + 1); });
  }
  memory::Segment& block = memory::SegmentPool::local().readBlock();
  EXPECT_TRUE(block.unshared());
}

TEST_F(ConnectionTest, BytesLeftAreOfferedWithTheNext) {
  dial();
  user_.eat = false;
  clientSends("ab");
  until([&] { return server_->pendingInput() == 2; });
  clientSends("cd");
  until([&] { return server_->pendingInput() == 4; });
  user_.eat = true;
  clientSends("e");
  until([&] { return user_.received == "abcde"; });
}

TEST_F(ConnectionTest, EndComesBehindAllBytes) {
  dial();
  std::string big(300'000, 'b');
  size_t sent = 0;
  while (sent < big.size()) {
    ssize_t n = ::send(client_, big.data() + sent, big.size() - sent, MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    worker_.runOnce();
  }
  ::shutdown(client_, SHUT_WR);
  until([&] { return user_.ends == 1; });
  EXPECT_EQ(user_.received.size(), big.size());
  EXPECT_EQ(user_.closes, 0);  // half-closed: still writable
  EXPECT_TRUE(server_->rdhupSeen());
  user_.output.appendStatic("answer");
  server_->markDirty();
  worker_.runOnce();
  EXPECT_EQ(clientReads(), "answer");
  turns(5);
  EXPECT_EQ(user_.ends, 1);
}

TEST_F(ConnectionTest, ReadBudgetIsKeptAndTheRestComesFromTheReadyList) {
  dial();
  std::string big(1'000'000, 'x');
  size_t sent = 0;
  int buffer = 4'000'000;
  ::setsockopt(client_, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  while (sent < big.size()) {
    ssize_t n = ::send(client_, big.data() + sent, big.size() - sent, MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    size_t before = user_.received.size();
    worker_.runOnce();
    // A budget and at most one block more.
    EXPECT_LE(user_.received.size() - before,
              Connection::kBusyBudget + memory::SegmentPool::kLarge);
  }
  until([&] { return user_.received.size() == big.size(); });
}

TEST_F(ConnectionTest, PauseStopsTheSourceAndResumeGoesOn) {
  dial();
  server_->pauseIngest();
  clientSends("later");
  turns(20);
  EXPECT_EQ(user_.data_calls, 0);
  server_->resumeIngest();
  EXPECT_EQ(user_.data_calls, 0);  // never from inside
  turns(2);
  EXPECT_EQ(user_.received, "later");  // without a new edge
  server_->pauseIngest();
  std::string chunk(65536, 'x');
  size_t sent = 0;
  for (int i = 0; i < 2000; ++i) {
    ssize_t n = ::send(client_, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n > 0) sent += static_cast<size_t>(n);
    worker_.runOnce();
  }
  EXPECT_EQ(server_->pendingInput(), 0u);
  EXPECT_LT(sent, 2000 * chunk.size());  // the client was stopped by TCP
  server_->resumeIngest();
  until([&] { return user_.received.size() == sent + 5; });
}

TEST_F(ConnectionTest, PausedInsideOnDataKeepsTheRest) {
  dial();
  user_.eat = false;
  user_.on_data = [&] { server_->pauseIngest(); };
  clientSends("one");
  until([&] { return user_.data_calls == 1; });
  clientSends("two");
  turns(20);
  EXPECT_EQ(user_.data_calls, 1);
  user_.eat = true;
  user_.on_data = nullptr;
  server_->resumeIngest();
  until([&] { return user_.received == "onetwo"; });
}

TEST_F(ConnectionTest, SlowReaderHoldsOutputBack) {
  dial(4096);
  std::string big(12'000'000, 'y');  // more than the kernel's largest buffer
  user_.output.appendCopy(big);
  server_->markDirty();
  turns(50);
  EXPECT_GT(user_.output.length(), 0u);  // pulled only as far as the socket takes it
  EXPECT_LE(server_->pendingOutput(), Connection::kOutputRoom + 16 * 1024);
  std::string got;
  until([&] {
    got += clientReads();
    return got.size() == big.size();
  });
  EXPECT_TRUE(got == big);
}

TEST_F(ConnectionTest, ManySlicesLeaveInOrder) {
  dial();
  std::string expected;
  static const std::string pieces = [] {
    std::string s;
    for (int i = 0; i < 3000; ++i) s += static_cast<char>('a' + i % 26);
    return s;
  }();
  // Slices that cannot be merged or packed: more than one call's worth of them.
  for (int i = 0; i < 200; ++i) {
    size_t at = static_cast<size_t>((i * 37) % 500);
    auto piece = std::string_view(pieces).substr(at, 2100);
    user_.output.appendStatic(piece);
    expected += piece;
  }
  server_->markDirty();
  std::string got;
  until([&] {
    got += clientReads();
    return got.size() == expected.size();
  });
  EXPECT_TRUE(got == expected);
}

TEST_F(ConnectionTest, CloseIsReportedOnceAndAtOnce) {
  dial();
  server_->close(CloseReason::kIdle);
  EXPECT_EQ(user_.closes, 1);
  EXPECT_EQ(user_.reason, CloseReason::kIdle);
  EXPECT_TRUE(server_->closed());
  server_->close(CloseReason::kLocal);
  server_->markDirty();
  server_->resumeIngest();
  EXPECT_EQ(clientReads(), "<end>");
  turns(2);
  EXPECT_EQ(user_.closes, 1);
}

TEST_F(ConnectionTest, CloseInsideOnDataIsSafe) {
  dial();
  user_.on_data = [&] { server_->close(CloseReason::kProtocol); };
  clientSends("bad");
  until([&] { return user_.closes == 1; });
  EXPECT_EQ(user_.reason, CloseReason::kProtocol);
}

TEST_F(ConnectionTest, AbortiveCloseIsAReset) {
  dial();
  server_->abortiveClose();
  EXPECT_EQ(clientReads(), "<reset>");
}

TEST_F(ConnectionTest, ResetIsReportedAfterTheBytesBeforeIt) {
  dial();
  clientReset();
  until([&] { return user_.closes == 1; });
  EXPECT_EQ(user_.reason, CloseReason::kReset);
  EXPECT_EQ(user_.errno_value, ECONNRESET);
}

TEST_F(ConnectionTest, WriteToAResetPeerIsReported) {
  dial();
  server_->pauseIngest();
  clientReset();
  user_.output.appendStatic("too late");
  server_->markDirty();
  until([&] {
    if (user_.closes == 1) return true;
    user_.output.appendStatic("x");
    server_->markDirty();
    return false;
  });
  EXPECT_EQ(user_.reason, CloseReason::kReset);
}

TEST_F(ConnectionTest, CloseAfterFlushSendsAllThenEnds) {
  dial(4096);
  std::string big(500'000, 'z');
  user_.output.appendCopy(big);
  server_->closeAfterFlush(event::Millis(1000), true);
  std::string got;
  until([&] {
    got += clientReads();
    return got.ends_with("<end>");
  });
  EXPECT_TRUE(got == big + "<end>") << got.size();
  EXPECT_EQ(user_.closes, 0);  // waits for the client to finish
  clientSends("ignored");
  turns(5);
  EXPECT_EQ(user_.received, "");
  ::shutdown(client_, SHUT_WR);
  until([&] { return user_.closes == 1; });
  EXPECT_EQ(user_.reason, CloseReason::kLocal);
}

// More than a turn's budget is pulled from the user before the connection ends.
TEST_F(ConnectionTest, CloseAfterFlushOfALargeAnswerCutsNothing) {
  dial();
  int buffer = 1 << 22;
  ::setsockopt(client_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
  std::string big(4'000'000, 'z');
  user_.output.appendCopy(big);
  server_->closeAfterFlush(event::Millis(0), false);
  std::string got;
  until([&] {
    got += clientReads();
    return got.ends_with("<end>");
  });
  EXPECT_TRUE(got == big + "<end>") << got.size();
}

TEST_F(ConnectionTest, CloseAfterFlushGivesUpWaiting) {
  dial();
  user_.output.appendStatic("bye");
  server_->closeAfterFlush(event::Millis(1000), true);
  turns(3);
  EXPECT_EQ(clientReads(), "bye<end>");
  EXPECT_EQ(user_.closes, 0);
  g_now += event::Millis(999);
  turns(2);
  EXPECT_EQ(user_.closes, 0);
  g_now += event::Millis(3);
  turns(2);
  EXPECT_EQ(user_.closes, 1);
}

TEST_F(ConnectionTest, CloseAfterFlushWithUnreadInputIsNoReset) {
  dial();
  server_->pauseIngest();
  clientSends(std::string(50'000, 'u'));
  user_.output.appendStatic("413");
  server_->closeAfterFlush(event::Millis(1000), true);
  turns(10);
  EXPECT_EQ(clientReads(), "413<end>");
  ::close(client_);
  client_ = -1;
  until([&] { return user_.closes == 1; });
}

TEST_F(ConnectionTest, CloseAfterFlushGivesUpOnAPeerThatStopsReading) {
  dial(4096);
  std::string big(8'000'000, 'z');
  user_.output.appendCopy(big);
  server_->closeAfterFlush(event::Millis(1000), true);
  turns(50);
  EXPECT_EQ(user_.closes, 0);
  clientReads();
  g_now += event::Millis(900);
  // Bytes that leave us now, and not merely the kernel's buffers, are what extends the wait.
  uint64_t sent = server_->bytesOut();
  until([&] {
    clientReads();
    return server_->bytesOut() > sent;
  });
  g_now += event::Millis(900);
  turns(50);
  EXPECT_EQ(user_.closes, 0);  // it took some meanwhile
  g_now += event::Millis(1100);
  turns(3);
  EXPECT_EQ(user_.closes, 1);
}

TEST_F(ConnectionTest, NothingIsOfferedAfterCloseAfterFlush) {
  dial();
  user_.eat = false;
  user_.on_data = [&] { server_->pauseIngest(); };
  clientSends("ab");
  ::shutdown(client_, SHUT_WR);
  until([&] { return user_.data_calls == 1; });
  server_->resumeIngest();
  user_.on_data = nullptr;
  server_->closeAfterFlush(event::Millis(1000), true);
  int calls = user_.data_calls;
  until([&] { return user_.closes == 1; });
  EXPECT_EQ(user_.data_calls, calls);
}

TEST_F(ConnectionTest, CloseAfterFlushWithoutLingerClosesAtTheLastByte) {
  dial();
  user_.output.appendStatic("bye");
  server_->closeAfterFlush(event::Millis(0), false);
  turns(2);
  EXPECT_EQ(clientReads(), "bye<end>");
  EXPECT_EQ(user_.closes, 1);
}

TEST_F(ConnectionTest, ConnectsAndTalks) {
  User out;
  Connection* connection = Connection::connect(listen_->address(), out);
  EXPECT_FALSE(out.connected);
  until([&] { return out.connected && server_ != nullptr; });
  EXPECT_EQ(connection->local(), remote_);
  out.output.appendStatic("hello");
  connection->markDirty();
  until([&] { return user_.received == "hello"; });
  server_->close(CloseReason::kLocal);
  until([&] { return out.ends == 1; });
  connection->close(CloseReason::kRemoteFin);
  EXPECT_EQ(out.closes, 1);
}

TEST_F(ConnectionTest, RefusedConnectIsReportedFromTheLoop) {
  Address nobody;
  {
    auto closed = ListenSocket::open(*Address::parse("127.0.0.1", 0), {});
    ASSERT_TRUE(closed.ok());
    nobody = (*closed)->address();
  }
  User out;
  Connection* connection = Connection::connect(nobody, out);
  EXPECT_EQ(out.closes, 0);
  std::string why;
  until([&] { return out.closes == 1; });
  (void)connection;
  EXPECT_EQ(out.reason, CloseReason::kConnectFailed);
  EXPECT_EQ(out.errno_value, ECONNREFUSED);
  EXPECT_FALSE(out.connected);
}

TEST_F(ConnectionTest, MissingUnixSocketIsReportedFromTheLoop) {
  User out;
  Connection* connection = Connection::connect(Address::unixPath("/nonexistent/socket"), out);
  EXPECT_EQ(out.closes, 0);
  EXPECT_EQ(connection->connectError(), "immediate_connect_error:_No_such_file_or_directory");
  turns(1);
  EXPECT_EQ(out.closes, 1);
  EXPECT_EQ(out.errno_value, ENOENT);
}

TEST_F(ConnectionTest, UnixSocketsWork) {
  char folder[] = "/tmp/gatehouse_net_XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  std::string path = std::string(folder) + "/s";
  {
    ListenOptions options;
    options.unix_mode = 0600;
    auto socket = ListenSocket::open(Address::unixPath(path), options);
    ASSERT_TRUE(socket.ok()) << socket.status();
    struct stat info;
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    User in, out;
    Connection* accepted = nullptr;
    Acceptor acceptor(**socket, [&](int fd, const Address&) {
      accepted = Connection::accepted(fd);
      accepted->setUser(in);
    });
    Connection* connection = Connection::connect(Address::unixPath(path), out);
    until([&] { return out.connected && accepted != nullptr; });
    out.output.appendStatic("over unix");
    connection->markDirty();
    until([&] { return in.received == "over unix"; });
    connection->close(CloseReason::kLocal);
    until([&] { return in.ends == 1; });
    accepted->close(CloseReason::kRemoteFin);
    turns(1);
    auto again = ListenSocket::open(Address::unixPath(path), {});
    EXPECT_FALSE(again.ok());  // somebody listens there
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);  // the file went with the socket
  ::rmdir(folder);
}

TEST_F(ConnectionTest, BindErrorsNameTheAddress) {
  ListenOptions alone;
  alone.reuse_port = false;
  auto failed = ListenSocket::open(listen_->address(), alone);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(std::string(failed.status().message()),
            "cannot bind '" + listen_->address().toString() + "': Address already in use");
  auto too_long = ListenSocket::open(Address::unixPath("/tmp/" + std::string(200, 'x')), {});
  EXPECT_FALSE(too_long.ok());
}

TEST_F(ConnectionTest, DrainTakesTheQueueBeforeItStops) {
  int first = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_storage to;
  socklen_t size = listen_->address().toSockaddr(to);
  ASSERT_EQ(::connect(first, reinterpret_cast<sockaddr*>(&to), size), 0);
  client_ = first;
  acceptor_->drainAndStop();
  EXPECT_NE(server_, nullptr);
  acceptor_->drainAndStop();
  int second = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(second, reinterpret_cast<sockaddr*>(&to), size), 0);
  Connection* before = server_;
  turns(5);
  EXPECT_EQ(server_, before);
  ::close(second);
}

// Out of file descriptors: no spinning, and accepting goes on once there are some.
TEST_F(ConnectionTest, OutOfFileDescriptorsPausesAccepting) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's checks need file descriptors themselves";
#endif
  int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_storage to;
  socklen_t size = listen_->address().toSockaddr(to);
  rlimit old;
  ::getrlimit(RLIMIT_NOFILE, &old);
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(client) + 1;
  std::vector<int> filler;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  for (int fd; (fd = ::dup(0)) >= 0;) filler.push_back(fd);
  ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&to), size), 0);
  turns(10);
  EXPECT_EQ(server_, nullptr);
  // Level-triggered and unread, and yet the loop sees nothing: the socket is not watched meanwhile.
  EXPECT_GE(worker_.timers().untilNext(worker_.now()).count(), 1);
  ::setrlimit(RLIMIT_NOFILE, &old);
  for (int fd : filler) ::close(fd);
  turns(10);
  EXPECT_EQ(server_, nullptr);
  g_now += event::Millis(150);
  until([&] { return server_ != nullptr; });
  client_ = client;
}

TEST_F(ConnectionTest, UserMayBeReplaced) {
  dial();
  User other;
  clientSends("a");
  until([&] { return user_.received == "a"; });
  server_->setUser(other);
  clientSends("b");
  until([&] { return other.received == "b"; });
  server_->setUser(user_);
}

}  // namespace
}  // namespace gatehouse::net
