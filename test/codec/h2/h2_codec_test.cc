// Both roles of the codec against each other, and against bytes that no good peer sends.

#include "source/codec/h2/h2_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "test/harness/h2_side.h"

namespace gatehouse::codec::h2 {
namespace {

using harness::Exchange;
using harness::Fields;
using harness::H2Side;
using Role = H2Codec::Role;

// Moves bytes both ways until nobody has more to say; `piece` bytes at a time.
void exchange(H2Side& a, H2Side& b, size_t piece = SIZE_MAX) {
  for (bool moved = true; moved;) {
    moved = false;
    for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      std::string bytes = from->output();
      for (size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size() - at))
        to->input(std::string_view(bytes).substr(at, piece));
      moved = moved || !bytes.empty();
    }
  }
}

std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  std::string out;
  out += static_cast<char>(payload.size() >> 16);
  out += static_cast<char>(payload.size() >> 8);
  out += static_cast<char>(payload.size());
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}

constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRst = 3, kSettings = 4, kPing = 6,
                  kWindowUpdate = 8, kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

// HPACK without compression.
std::string literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out += static_cast<char>(name.size());
  out += name;
  out += static_cast<char>(value.size());
  return out.append(value);
}

std::string requestBlock(const Fields& more = {}) {
  std::string out = literal(":method", "GET") + literal(":scheme", "http") + literal(":path", "/") +
                    literal(":authority", "a");
  for (const auto& [name, value] : more) out += literal(name, value);
  return out;
}

std::string preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0); }

std::string four(uint32_t value) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(value >> shift);
  return out;
}

// The error code of the GOAWAY in these bytes; -1: there is none.
int64_t goAwayCode(const std::string& bytes) {
  for (size_t at = 0; at + 9 <= bytes.size();) {
    auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[at + i]); };
    size_t length = size_t{byte(0)} << 16 | size_t{byte(1)} << 8 | byte(2);
    if (byte(3) == 7)
      return int64_t{byte(13)} << 24 | int64_t{byte(14)} << 16 | int64_t{byte(15)} << 8 | byte(16);
    at += 9 + length;
  }
  return -1;
}

bool hasReset(const std::string& bytes, uint32_t stream, uint32_t code) {
  return bytes.find(frame(kRst, 0, stream, four(code))) != std::string::npos;
}

TEST(H2CodecTest, CarriesRequestsAndAnswersInPiecesOfAnySize) {
  for (size_t piece : {size_t{1}, size_t{2}, size_t{9}, size_t{10}, size_t{100}, SIZE_MAX}) {
    H2Side client(Role::kClient), server(Role::kServer);
    Exchange& a = client.request("POST", "/a?b", {{"x-one", "1"}, {"te", "trailers"}}, false);
    client.body(a, "hello ", false);
    client.body(a, "world", false);
    client.trailers(a, {{"x-sum", "11"}});
    Exchange& b = client.request("HEAD", "/head");
    exchange(client, server, piece);
    ASSERT_EQ(server.size(), 2u);
    Exchange& seen = server.at(0);
    EXPECT_EQ(seen.request.method, "POST");
    EXPECT_EQ(seen.request.path, "/a?b");
    EXPECT_EQ(seen.request.authority, "test");
    EXPECT_EQ(seen.request.scheme, "http");
    EXPECT_EQ(seen.request.version, http::Version::kHttp2);
    EXPECT_EQ(seen.field("x-one"), "1");
    EXPECT_EQ(seen.body, "hello world");
    EXPECT_EQ(seen.trailers, (Fields{{"x-sum", "11"}}));
    EXPECT_TRUE(seen.ended);
    server.interim(seen, 103);
    server.answer(seen, 200, {{"content-type", "text/plain"}}, false);
    server.body(seen, std::string(100'000, 'x'), false);
    server.trailers(seen, {{"grpc-status", "0"}});
    server.answer(server.at(1), 200, {{"content-length", "5000"}});
    exchange(client, server, piece);
    EXPECT_EQ(a.interims, std::vector<uint16_t>{103});
    EXPECT_EQ(a.answer.status, 200);
    EXPECT_EQ(a.field("content-type"), "text/plain");
    EXPECT_EQ(a.body, std::string(100'000, 'x'));
    EXPECT_EQ(a.trailers, (Fields{{"grpc-status", "0"}}));
    EXPECT_TRUE(a.ended && b.ended && !a.aborted && !b.aborted);
    EXPECT_EQ(b.field("content-length"), "5000");
    EXPECT_FALSE(client.broken || server.broken) << client.why << server.why;
  }
}

TEST(H2CodecTest, TrailersWithoutBodyAndEmptyTrailers) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("GET", "/");
  Exchange& b = client.request("GET", "/");
  exchange(client, server);
  server.answer(server.at(0), 200, {}, false);
  server.trailers(server.at(0), {{"grpc-status", "5"}});
  server.answer(server.at(1), 200, {}, false);
  server.trailers(server.at(1), {});
  exchange(client, server);
  EXPECT_EQ(a.trailers, (Fields{{"grpc-status", "5"}}));
  EXPECT_TRUE(a.ended);
  EXPECT_TRUE(b.ended);
  EXPECT_TRUE(b.trailers.empty());
}

TEST(H2CodecTest, CookieCrumbsBecomeOneField) {
  H2Side server(Role::kServer);
  server.input(preface() + frame(kHeaders, kEndStream | kEndHeaders, 1,
                                 requestBlock({{"cookie", "a=1"}, {"x", "y"}, {"cookie", "b=2"}})));
  ASSERT_EQ(server.size(), 1u);
  EXPECT_EQ(server.at(0).field("cookie"), "a=1; b=2");
  EXPECT_EQ(server.at(0).request.headers.size(), 2u);
}

TEST(H2CodecTest, HostStandsInForTheAuthority) {
  H2Side server(Role::kServer);
  std::string block = literal(":method", "GET") + literal(":scheme", "http") +
                      literal(":path", "/") + literal("host", "b");
  server.input(preface() + frame(kHeaders, kEndStream | kEndHeaders, 1, block) +
               frame(kHeaders, kEndStream | kEndHeaders, 3, requestBlock({{"host", "b"}})));
  ASSERT_EQ(server.size(), 2u);
  EXPECT_EQ(server.at(0).request.authority, "b");
  EXPECT_EQ(server.at(1).request.authority, "a");
  EXPECT_TRUE(server.at(1).request.headers.empty());
}

TEST(H2CodecTest, AStreamWithoutCreditGetsItsWindowAndNoMore) {
  Options options;
  options.stream_window = 70'000;
  H2Side client(Role::kClient), server(Role::kServer, nullptr, &options);
  server.slow = true;
  Exchange& a = client.request("POST", "/slow", {}, false);
  Exchange& b = client.request("POST", "/fast", {}, false);
  exchange(client, server);
  server.at(1).slow = false;
  client.body(a, std::string(1'000'000, 'a'), true);
  client.body(b, std::string(1'000'000, 'b'), true);
  exchange(client, server);
  EXPECT_EQ(server.at(0).body.size(), 70'000u);
  EXPECT_EQ(server.at(1).body.size(), 1'000'000u) << "a slow stream must not block its sibling";
  EXPECT_EQ(client.codec().queued(a), 930'000u);
  // Credit lets as much through, in the end everything.
  for (int i = 0; i < 100 && !server.at(0).ended; ++i) {
    server.allow(server.at(0), 20'000);
    size_t before = server.at(0).body.size();
    exchange(client, server);
    EXPECT_LE(server.at(0).body.size() - before, 20'000u);
  }
  EXPECT_EQ(server.at(0).body.size(), 1'000'000u);
  EXPECT_TRUE(server.at(0).ended);
}

TEST(H2CodecTest, SlowStreamsTogetherHoldNoMoreThanTheConnectionsWindow) {
  Options options;
  options.stream_window = 100'000;
  options.connection_window = 150'000;
  H2Side client(Role::kClient), server(Role::kServer, nullptr, &options);
  server.slow = true;
  for (int i = 0; i < 5; ++i) {
    Exchange& one = client.request("POST", "/", {}, false);
    client.body(one, std::string(100'000, 'x'), true);
  }
  exchange(client, server);
  size_t held = 0;
  for (size_t i = 0; i < server.size(); ++i) held += server.at(i).body.size();
  EXPECT_GE(held, 150'000u);
  EXPECT_LE(held, 300'000u);
}

TEST(H2CodecTest, ResetsReachTheOtherSideWithTheirMeaning) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("GET", "/");
  Exchange& b = client.request("GET", "/");
  Exchange& c = client.request("POST", "/", {}, false);
  exchange(client, server);
  server.reset(server.at(0), Abort::kRefused);
  server.answer(server.at(1), 200, {}, false);
  server.body(server.at(1), "part", false);
  exchange(client, server);
  server.reset(server.at(1), Abort::kInternal);
  client.reset(c);
  exchange(client, server);
  EXPECT_TRUE(a.aborted);
  EXPECT_EQ(a.why, Abort::kPeerRefused);
  EXPECT_TRUE(b.aborted);
  EXPECT_EQ(b.why, Abort::kPeerReset);
  EXPECT_EQ(b.body, "part");
  EXPECT_TRUE(server.at(2).aborted);
  EXPECT_EQ(server.at(2).why, Abort::kPeerReset);
  EXPECT_FALSE(client.broken || server.broken);
}

TEST(H2CodecTest, AnEarlyAnswerEndsTheRequestWithoutAnError) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("POST", "/", {}, false);
  exchange(client, server);
  server.answer(server.at(0), 413, {}, false);
  server.body(server.at(0), "too much", true);
  server.codec().detach(server.at(0));
  std::string bytes = server.output();
  EXPECT_TRUE(hasReset(bytes, 1, 0));
  client.input(bytes);
  EXPECT_EQ(a.body, "too much");
  EXPECT_TRUE(a.ended);
  EXPECT_FALSE(a.aborted);
  // What the client still sends is ignored.
  client.body(a, "more", true);
  exchange(client, server);
  EXPECT_FALSE(server.broken) << server.why;
}

TEST(H2CodecTest, ADetachedStreamIsNotTouchedAnyMore) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("POST", "/", {}, false);
  exchange(client, server);
  server.codec().detach(server.at(0));
  EXPECT_EQ(server.at(0).codec_half, nullptr);
  client.body(a, "late", true);
  exchange(client, server);
  EXPECT_EQ(server.at(0).body, "");
  EXPECT_TRUE(a.aborted);
}

TEST(H2CodecTest, GoAwayLetsRequestsUnderWayFinishAndRefusesLaterOnes) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("GET", "/");
  exchange(client, server);
  server.codec().goAway();
  exchange(client, server);
  EXPECT_TRUE(client.going_away);
  EXPECT_EQ(client.last_stream, 0x7fffffffu);
  server.codec().finishGoAway();
  server.answer(server.at(0), 204);
  exchange(client, server);
  EXPECT_EQ(client.last_stream, 1u);
  EXPECT_TRUE(a.ended);
  EXPECT_FALSE(server.codec().reusable());
}

TEST(H2CodecTest, MoreStreamsThanAllowedWaitOrAreRefused) {
  Options options;
  options.max_concurrent_streams = 2;
  H2Side server(Role::kServer, nullptr, &options);
  std::string ack = frame(kSettings, 1, 0);
  server.input(preface());
  server.output();
  server.input(ack);
  for (uint32_t id : {1u, 3u, 5u}) server.input(frame(kHeaders, kEndHeaders, id, requestBlock()));
  EXPECT_EQ(server.size(), 2u);
  EXPECT_TRUE(hasReset(server.output(), 5, 7));
  // Frames that were on their way are no offence.
  EXPECT_TRUE(server.input(frame(kData, kEndStream, 5, "abc")));
}

struct Offence {
  const char* name;
  std::string bytes;
  uint32_t code;
};

class OffenceTest : public testing::TestWithParam<Offence> {};

TEST_P(OffenceTest, EndsTheConnection) {
  for (size_t piece : {size_t{1}, size_t{5}, SIZE_MAX}) {
    H2Side server(Role::kServer);
    std::string all = preface() + GetParam().bytes;
    std::string out;
    for (size_t at = 0; at < all.size(); at += std::min(piece, all.size() - at)) {
      server.input(std::string_view(all).substr(at, piece));
      out += server.output();
    }
    EXPECT_EQ(goAwayCode(out), GetParam().code) << "pieces of " << piece;
    EXPECT_TRUE(server.codec().wantsClose());
  }
}

std::string open(uint32_t id, uint8_t flags = kEndHeaders) {
  return frame(kHeaders, flags, id, requestBlock());
}

std::string repeated(const std::string& what, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += what;
  return out;
}

std::string resets(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    auto id = static_cast<uint32_t>(2 * i + 1);
    out += open(id, kEndHeaders | kEndStream) + frame(kRst, 0, id, four(8));
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(
    Offences, OffenceTest,
    testing::Values(
        Offence{"DataOnIdle", frame(kData, 0, 1, "x"), 1},
        Offence{"ResetOnIdle", frame(kRst, 0, 1, four(8)), 1},
        Offence{"WindowUpdateOnIdle", frame(kWindowUpdate, 0, 1, four(8)), 1},
        Offence{"EvenStream", open(2), 1},
        Offence{"SmallerStream", open(5, kEndHeaders | kEndStream) + open(3), 1},
        Offence{"DataAfterEnd", open(1, kEndHeaders | kEndStream) + frame(kData, 0, 1, "x"), 5},
        Offence{"HeadersAfterEnd", open(1, kEndHeaders | kEndStream) + open(1), 5},
        Offence{"DataAfterReset", open(1) + frame(kRst, 0, 1, four(8)) + frame(kData, 0, 1, "x"),
                5},
        Offence{"HeadersAfterReset", open(1) + frame(kRst, 0, 1, four(8)) + open(1), 5},
        Offence{"ContinuationAlone", open(1) + frame(kContinuation, kEndHeaders, 1, ""), 1},
        Offence{"DataInsideBlock", open(1, 0) + frame(kData, 0, 1, "x"), 1},
        Offence{"ContinuationFlood", open(1, 0) + repeated(frame(kContinuation, 0, 1, "\0"), 200),
                11},
        Offence{"EmptyDataFlood", open(1) + repeated(frame(kData, 0, 1), 2), 11},
        Offence{"PriorityFlood", repeated(frame(kPriority, 0, 3, four(0) + "\x10"), 101), 11},
        Offence{"WindowUpdateFlood", repeated(frame(kWindowUpdate, 0, 0, four(1)), 6), 11},
        Offence{"WindowUpdateOfZero", frame(kWindowUpdate, 0, 0, four(0)), 1},
        Offence{"WindowUpdateOfZeroOnAClosedStream",
                open(1) + frame(kRst, 0, 1, four(8)) + frame(kWindowUpdate, 0, 1, four(0)), 1},
        Offence{"WindowOverflow", repeated(frame(kWindowUpdate, 0, 0, four(0x7fffffff)), 2), 3},
        Offence{"RapidReset", resets(501), 11},
        Offence{"PushPromise", open(1) + frame(5, kEndHeaders, 1, four(2)), 1},
        Offence{"PingOfWrongSize", frame(kPing, 0, 0, "1234567"), 6},
        Offence{"SettingsOfWrongSize", frame(kSettings, 0, 0, "12345"), 6},
        Offence{"FrameTooLarge", open(1) + frame(kData, 0, 1, std::string(16385, 'x')), 6},
        Offence{"BadHpack", frame(kHeaders, kEndHeaders, 1, "\x80"), 9},
        Offence{"UpperCaseName", frame(kHeaders, kEndHeaders, 1, requestBlock({{"X", "y"}})), 1},
        Offence{"LineBreakInValue",
                frame(kHeaders, kEndHeaders, 1, requestBlock({{"x", "a\r\nb: c"}})), 1},
        Offence{"ConnectionField",
                frame(kHeaders, kEndHeaders, 1, requestBlock({{"connection", "close"}})), 1},
        Offence{"TransferEncoding",
                frame(kHeaders, kEndHeaders, 1, requestBlock({{"transfer-encoding", "chunked"}})),
                1},
        Offence{"TeOtherThanTrailers",
                frame(kHeaders, kEndHeaders, 1, requestBlock({{"te", "gzip"}})), 1},
        Offence{"PseudoAfterField",
                frame(kHeaders, kEndHeaders, 1, requestBlock({{"a", "b"}, {":path", "/x"}})), 1},
        Offence{"PseudoTwice", frame(kHeaders, kEndHeaders, 1, requestBlock({{":method", "GET"}})),
                1},
        Offence{
            "NoPath",
            frame(kHeaders, kEndHeaders, 1, literal(":method", "GET") + literal(":scheme", "http")),
            1},
        Offence{"PathWithBreak",
                frame(kHeaders, kEndHeaders, 1,
                      literal(":method", "GET") + literal(":scheme", "http") +
                          literal(":path", "/ HTTP/1.1\r\nx:y")),
                1},
        Offence{
            "LengthLargerThanBody",
            frame(kHeaders, kEndHeaders | kEndStream, 1, requestBlock({{"content-length", "1"}})),
            1},
        Offence{"TrailersWithoutEnd", open(1) + frame(kHeaders, kEndHeaders, 1, literal("a", "b")),
                1},
        Offence{"PseudoInTrailers",
                open(1) + frame(kHeaders, kEndHeaders | kEndStream, 1, literal(":path", "/")), 1}),
    [](const auto& info) { return info.param.name; });

TEST(H2CodecTest, ABrokenMessageCostsOnlyItsStreamWhenAskedFor) {
  Options options;
  options.stream_error_on_invalid_message = true;
  H2Side server(Role::kServer, nullptr, &options);
  EXPECT_TRUE(server.input(preface() +
                           frame(kHeaders, kEndHeaders, 1, requestBlock({{"te", "gzip"}})) +
                           open(3, kEndHeaders | kEndStream)));
  EXPECT_TRUE(hasReset(server.output(), 1, 1));
  ASSERT_EQ(server.size(), 2u);
  EXPECT_TRUE(server.at(0).aborted);
  EXPECT_FALSE(server.at(0).head);
  EXPECT_TRUE(server.at(1).ended);
}

TEST(H2CodecTest, ABodyLongerThanItsLengthResetsTheStream) {
  H2Side server(Role::kServer);
  server.input(preface() +
               frame(kHeaders, kEndHeaders, 1, requestBlock({{"content-length", "1"}})) +
               frame(kData, kEndStream, 1, "ab"));
  EXPECT_TRUE(hasReset(server.output(), 1, 1));
  EXPECT_TRUE(server.at(0).aborted);
  EXPECT_EQ(server.at(0).why, Abort::kProtocol);
  EXPECT_FALSE(server.at(0).ended);
}

TEST(H2CodecTest, AHeadBeyondTheLimitsResetsItsStreamOnly) {
  Options options;
  options.max_head_bytes = 1000;
  options.max_fields = 20;
  H2Side server(Role::kServer, nullptr, &options);
  Fields many(40, {"a", "b"});
  EXPECT_TRUE(server.input(preface() +
                           frame(kHeaders, kEndHeaders, 1,
                                 requestBlock({{"a", std::string(120, 'x')},
                                               {"b", std::string(120, 'x')},
                                               {"c", std::string(120, 'x')},
                                               {"d", std::string(120, 'x')},
                                               {"e", std::string(120, 'x')},
                                               {"f", std::string(120, 'x')},
                                               {"g", std::string(120, 'x')},
                                               {"h", std::string(120, 'x')},
                                               {"i", std::string(120, 'x')}})) +
                           frame(kHeaders, kEndHeaders, 3, requestBlock(many)) +
                           open(5, kEndHeaders | kEndStream)));
  server.output();
  EXPECT_TRUE(server.at(0).aborted && !server.at(0).head);
  EXPECT_TRUE(server.at(1).aborted && !server.at(1).head);
  EXPECT_TRUE(server.at(2).ended);
}

TEST(H2CodecTest, AResetOfAnotherStreamDoesNotHideBytes) {
  // DATA of one stream split by the end of input, then its reset: nothing is delivered afterwards.
  H2Side server(Role::kServer);
  server.input(preface() + open(1) + frame(kData, 0, 1, "abcdef").substr(0, 12));
  EXPECT_EQ(server.at(0).body, "abc");
  server.input("def" + frame(kRst, 0, 1, four(8)));
  EXPECT_EQ(server.at(0).body, "abcdef");
  EXPECT_TRUE(server.at(0).aborted);
}

TEST(H2CodecTest, OutputStopsAtTheRoomItWasGiven) {
  H2Side client(Role::kClient), server(Role::kServer);
  client.request("GET", "/");
  exchange(client, server);
  server.answer(server.at(0), 200, {}, false);
  server.body(server.at(0), std::string(500'000, 'x'), true);
  buffer::Buffer out;
  size_t n = server.codec().produce(out, 40'000);
  EXPECT_GE(n, 40'000u);
  EXPECT_LE(n, 40'000u + 2 * 16'393u);
  EXPECT_GT(server.codec().queued(server.at(0)), 400'000u);
}

TEST(H2CodecTest, UnaskedInterimsEndTheStream) {
  H2Side client(Role::kClient), server(Role::kServer);
  Exchange& a = client.request("GET", "/");
  exchange(client, server);
  for (int i = 0; i < 101; ++i) server.interim(server.at(0), 103);
  exchange(client, server);
  EXPECT_TRUE(a.aborted);
  EXPECT_EQ(a.interims.size(), 100u);
}

}  // namespace
}  // namespace gatehouse::codec::h2
