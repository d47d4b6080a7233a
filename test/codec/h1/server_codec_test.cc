#include "source/codec/h1/server_codec.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "source/http/head.h"

namespace gatehouse::codec::h1 {
namespace {

// Records what the codec says as text, one request after another, and answers each complete request
// with 204.
class Recorder : public CodecEvents {
 public:
  explicit Recorder(const ServerOptions& options) : codec(options) {}

  struct TestStream : Stream {
    TestStream() : memory(nullptr, 0), head(memory) {
      arena = &memory;
      credit = 1 << 20;
    }
    memory::Arena memory;
    http::RequestHead head;
  };

  Stream* onStream(uint64_t) noexcept override {
    streams.push_back(std::make_unique<TestStream>());
    return streams.back().get();
  }
  http::RequestHead* requestHead(Stream& s) noexcept override {
    return &static_cast<TestStream&>(s).head;
  }
  http::ResponseHead* responseHead(Stream&) noexcept override { return nullptr; }
  void onRequestHead(Stream& s, http::RequestHead& head, bool end) noexcept override {
    log += std::string(head.method) + " " + std::string(head.path) + " @" +
           std::string(head.authority);
    head.headers.forEach([&](const http::HeaderField& f) {
      log += " " + std::string(f.nameView()) + "=" + std::string(f.valueView());
    });
    log += "\n";
    if (end) reply(s);
  }
  void onInterim(Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(Stream&, http::ResponseHead&, bool) noexcept override {}
  void onBody(Stream& s, buffer::Buffer& in, bool end) noexcept override {
    body += in.toString();
    in.clear();
    if (end) {
      log += "body " + body + "\n";
      body.clear();
      reply(s);
    }
  }
  void onTrailers(Stream& s, http::HeaderMap& trailers) noexcept override {
    log += "body " + body + "\n";
    body.clear();
    trailers.forEach([&](const http::HeaderField& f) {
      log += "trailer " + std::string(f.nameView()) + "=" + std::string(f.valueView()) + "\n";
    });
    reply(s);
  }
  void onAbort(Stream&, Abort, CodecError) noexcept override { log += "abort\n"; }
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

  // Feeds `bytes` in pieces of `step`; returns the log, with the status of a refusal at its end.
  std::string feed(const std::string& bytes, size_t step) {
    buffer::Buffer in;
    for (size_t at = 0; at < bytes.size(); at += step) {
      in.appendCopy(std::string_view(bytes).substr(at, step));
      Ingest result = codec.ingest(in, false, *this);
      if (result.code == Ingest::kFatal) return log + std::to_string(result.why.status);
    }
    return log;
  }

  ServerCodec codec;
  std::vector<std::unique_ptr<TestStream>> streams;
  std::string log;
  std::string body;

 private:
  void reply(Stream& s) {
    auto& stream = static_cast<TestStream&>(s);
    auto* head = stream.memory.make<http::ResponseHead>(stream.memory);
    head->status = 204;
    codec.sendResponseHead(s, *head, true);
  }
};

// The same result at every split.
std::string run(const std::string& bytes, const ServerOptions& options = {}) {
  std::string whole = Recorder(options).feed(bytes, bytes.size());
  for (size_t step = 1; step < std::min<size_t>(bytes.size(), 40); ++step) {
    EXPECT_EQ(Recorder(options).feed(bytes, step), whole) << "in pieces of " << step;
  }
  return whole;
}

TEST(ServerCodec, ReadsAGet) {
  EXPECT_EQ(run("GET /a?b HTTP/1.1\r\nHost: x\r\nX-Y:  z \r\n\r\n"), "GET /a?b @x x-y=z\n");
}

TEST(ServerCodec, ReadsPipelinedRequestsInOrder) {
  EXPECT_EQ(run("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: "
                "3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"),
            "GET /1 @x\nPOST /2 @x content-length=3\nbody abc\nGET /3 @x\n");
}

TEST(ServerCodec, ReadsChunksAndTrailers) {
  ServerOptions options;
  options.enable_trailers = true;
  EXPECT_EQ(run("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                "chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n"
                "Content-Length: 5\r\n\r\n",
                options),
            "POST / @x transfer-encoding=chunked\nbody abc0123456789\ntrailer x-t=1\n");
}

TEST(ServerCodec, AbsoluteFormReplacesHost) {
  EXPECT_EQ(run("GET http://a.b:1/p HTTP/1.1\r\nHost: other\r\n\r\n"), "GET /p @a.b:1\n");
}

TEST(ServerCodec, ChunkExtensionsAreChecked) {
  for (const char* extension :
       {"", ";a", ";a=b", ";a=\"\"", ";a=\"b; c\"", ";a;b=c", ";a;b;c=\"\xc3\""}) {
    EXPECT_EQ(run("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3" +
                  std::string(extension) + "\r\nabc\r\n0\r\n\r\n"),
              "POST / @x transfer-encoding=chunked\nbody abc\n")
        << extension;
  }
}

TEST(ServerCodec, LoneLineFeedEndsALine) {
  EXPECT_EQ(run("GET / HTTP/1.1\nHost: x\n\n"), "GET / @x\n");
}

struct Bad {
  const char* name;
  const char* bytes;
  const char* status;
};

class Refused : public ::testing::TestWithParam<Bad> {};

TEST_P(Refused, WithStatus) {
  std::string log = run(GetParam().bytes);
  ASSERT_GE(log.size(), 3u);
  EXPECT_EQ(log.substr(log.size() - 3), GetParam().status);
}

#define HEAD "GET / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

INSTANTIATE_TEST_SUITE_P(
    Threats, Refused,
    ::testing::Values(
        Bad{"ContentLengthAndChunked",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400"},
        Bad{"UnknownTransferCoding",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"},
        Bad{"ObscuredTransferCoding",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "501"},
        Bad{"TwoTransferEncodings",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
            "chunked\r\n\r\n",
            "400"},
        Bad{"TransferCodingAndTab", HEAD "Transfer-Encoding: chunked\t\r\n\r\n", "501"},
        Bad{"LengthAndTab", HEAD "Content-Length: 3\t\r\n\r\n", "400"},
        Bad{"DifferingLengths", HEAD "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", "400"},
        Bad{"SameLengthTwice", HEAD "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", "400"},
        Bad{"ListOfLengths", HEAD "Content-Length: 3, 3\r\n\r\n", "400"},
        Bad{"SignedLength", HEAD "Content-Length: +3\r\n\r\n", "400"},
        Bad{"HexLength", HEAD "Content-Length: 0x3\r\n\r\n", "400"},
        Bad{"EmptyLength", HEAD "Content-Length:\r\n\r\n", "400"},
        Bad{"HugeLength", HEAD "Content-Length: 99999999999999999999\r\n\r\n", "400"},
        Bad{"SpaceBeforeColon", HEAD "X : y\r\n\r\n", "400"},
        Bad{"ObsFold", HEAD "X: y\r\n z\r\n\r\n", "400"},
        Bad{"BareCarriageReturn", HEAD "X: y\rz\r\n\r\n", "400"},
        Bad{"CarriageReturnBeforeEnd", "GET / HTTP/1.1\r\nHost: x\r\n\rX\r\n\r\n", "400"},
        Bad{"TwoSpaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        Bad{"Version", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", "426"},
        Bad{"Rtsp", "OPTIONS / RTSP/1.0\r\nHost: x\r\n\r\n", "400"},
        Bad{"RawUtf8Target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        Bad{"TwoHosts", HEAD "Host: y\r\n\r\n", "400"},
        Bad{"Http10", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", "426"},
        Bad{"ChunkSizePrefix", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", "400"},
        Bad{"ChunkSizeSign", CHUNKED "+3\r\nabc\r\n0\r\n\r\n", "400"},
        Bad{"ChunkSizeOverflow", CHUNKED "10000000000000003\r\nabc\r\n", "400"},
        Bad{"ChunkLineBareCr", CHUNKED "3\rX\nabc\r\n", "400"},
        Bad{"ChunkExtensionOpenQuote", CHUNKED "3;a=\"b\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionNoName", CHUNKED "3;\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionTwoWords", CHUNKED "3;a b\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionAfterQuote", CHUNKED "3;a=\"b\"c\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionAfterValue", CHUNKED "3;a=b;c\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionNoValue", CHUNKED "3;a=\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionEscape", CHUNKED "3;a=\"\\b\"\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionOneQuote", CHUNKED "3;a=\"\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionBlankBefore", CHUNKED "3 ;a\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionBlankBehind", CHUNKED "3;a= b\r\nabc\r\n", "400"},
        Bad{"ChunkExtensionTrailingBlank", CHUNKED "3;a \r\nabc\r\n", "400"},
        Bad{"ChunkLineLoneLf", CHUNKED "3\nabc\r\n0\r\n\r\n", "400"},
        Bad{"ChunkDataLoneLf", CHUNKED "3\r\nabc\n0\r\n\r\n", "400"},
        Bad{"ChunkSpill", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", "400"},
        Bad{"ChunkEmptySize", CHUNKED "\r\nabc\r\n", "400"}),
    [](const auto& info) { return info.param.name; });

TEST(ServerCodec, RefusesTooManyAndTooLargeFields) {
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 101; ++i) many += "a: b\r\n";
  EXPECT_EQ(Recorder({}).feed(many + "\r\n", 1000), "431");
  EXPECT_EQ(Recorder({}).feed("GET / HTTP/1.1\r\nA: " + std::string(70000, 'x'), 5000), "431");
}

TEST(ServerCodec, FramesResponses) {
  ServerOptions options;
  Recorder recorder(options);
  buffer::Buffer in;
  in.appendCopy("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
  recorder.codec.ingest(in, false, recorder);
  auto& stream = *recorder.streams.back();
  http::ResponseHead head(stream.memory);
  head.status = 200;
  recorder.codec.sendResponseHead(stream, head, false);
  buffer::Buffer body;
  body.appendCopy("hello");
  recorder.codec.sendBody(stream, body, true);
  buffer::Buffer out;
  recorder.codec.produce(out, 65536);
  EXPECT_EQ(out.toString(),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
}

}  // namespace
}  // namespace gatehouse::codec::h1
