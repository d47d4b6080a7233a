// The HTTP/2 codec never crashes and keeps to the order of events it promises, whatever a peer
// sends. The first byte chooses the role and how its user behaves.
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "source/base/assert.h"
#include "source/codec/h2/h2_codec.h"
#include "test/fuzz/split.h"

namespace gatehouse::codec::h2 {
namespace {

struct Message : Stream {
  Message() : memory(nullptr, 0), request(memory), response(memory) { arena = &memory; }
  memory::Arena memory;
  http::RequestHead request;
  http::ResponseHead response;
  bool head = false;
  bool over = false;
  bool answered = false;
};

class User final : public CodecEvents {
 public:
  User(H2Codec& codec, uint8_t choices) : codec_(codec), choices_(choices) {}

  Message& add() {
    messages_.push_back(std::make_unique<Message>());
    messages_.back()->credit = 1 << 20;
    return *messages_.back();
  }
  Stream* onStream(uint64_t) noexcept override {
    if ((choices_ & 2) && messages_.size() % 7 == 6) return nullptr;
    return &add();
  }
  http::RequestHead* requestHead(Stream& s) noexcept override { return &of(s).request; }
  http::ResponseHead* responseHead(Stream& s) noexcept override {
    GATEHOUSE_ASSERT(!of(s).head && !of(s).over);
    of(s).response.headers.clear();
    return &of(s).response;
  }
  void onRequestHead(Stream& s, http::RequestHead& head, bool end) noexcept override {
    checkFields(head.headers);
    takeHead(s, end);
    if (choices_ & 4) answer(of(s));
  }
  void onInterim(Stream& s, http::ResponseHead&) noexcept override {
    GATEHOUSE_ASSERT(!of(s).head && !of(s).over);
  }
  void onResponseHead(Stream& s, http::ResponseHead& head, bool end) noexcept override {
    checkFields(head.headers);
    takeHead(s, end);
  }
  void onBody(Stream& s, buffer::Buffer& in, bool end) noexcept override {
    GATEHOUSE_ASSERT(of(s).head && !of(s).over);
    in.clear();
    of(s).over = end;
    if (choices_ & 8) codec_.grant(s, 1 << 20);
    if (end) answer(of(s));
  }
  void onTrailers(Stream& s, http::HeaderMap& trailers) noexcept override {
    GATEHOUSE_ASSERT(of(s).head && !of(s).over);
    checkFields(trailers);
    of(s).over = true;
    answer(of(s));
  }
  void onAbort(Stream& s, Abort, CodecError) noexcept override {
    // A server may be told of a reset after the request's end, nobody twice.
    GATEHOUSE_ASSERT(!of(s).answered || of(s).codec_half == nullptr);
    of(s).over = of(s).answered = true;
  }
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

 private:
  static Message& of(Stream& stream) { return static_cast<Message&>(stream); }
  static void checkFields(const http::HeaderMap& headers) {
    headers.forEach([](const http::HeaderField& field) {
      for (char c : field.nameView()) GATEHOUSE_ASSERT(c > ' ' && (c < 'A' || c > 'Z'));
      for (char c : field.valueView()) GATEHOUSE_ASSERT(c != '\r' && c != '\n' && c != '\0');
    });
  }
  void takeHead(Stream& s, bool end) {
    GATEHOUSE_ASSERT(!of(s).head && !of(s).over);
    of(s).head = true;
    of(s).over = end;
    if (end) answer(of(s));
  }
  void answer(Message& message) {
    if (message.answered || message.codec_half == nullptr || message.request.method.empty()) return;
    message.answered = true;
    if (choices_ & 16) {
      codec_.abort(message, Abort::kInternal);
      return;
    }
    http::ResponseHead head(message.memory);
    head.status = 200;
    codec_.sendResponseHead(message, head, false);
    buffer::Buffer body;
    body.appendStatic("an answer");
    codec_.sendBody(message, body, true);
    codec_.detach(message);
  }

  H2Codec& codec_;
  uint8_t choices_;
  std::deque<std::unique_ptr<Message>> messages_;
};

void play(std::string_view bytes, uint8_t choices, uint64_t seed) {
  static stats::StatsStore store;
  static stats::Scope scope(store, "fuzz.");
  static Stats stats(scope);
  Options options;
  options.stats = &stats;
  options.max_concurrent_streams = 20;
  options.stream_error_on_invalid_message = (choices & 32) != 0;
  bool client = (choices & 1) != 0;
  H2Codec codec(client ? H2Codec::Role::kClient : H2Codec::Role::kServer, options, 1 << 16);
  User user(codec, choices);
  if (client) {
    for (int i = 0; i < 3; ++i) {
      Message& message = user.add();
      http::RequestHead head(message.memory);
      head.setMethod("GET");
      head.path = "/";
      head.authority = "a";
      codec.sendRequestHead(message, head, true);
    }
  }
  buffer::Buffer in, out;
  fuzz::forEachPiece(bytes, seed, [&](std::string_view piece) {
    in.appendCopy(piece);
    Ingest result = codec.ingest(in, false, user);
    codec.produce(out, 1 << 20);
    out.clear();
    return result.code == Ingest::kMore;
  });
}

}  // namespace
}  // namespace gatehouse::codec::h2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  // Without a preface a server learns nothing.
  if ((data[0] & 1) == 0) bytes.insert(0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  gatehouse::codec::h2::play(bytes, data[0], 0);
  gatehouse::codec::h2::play(bytes, data[0], size);
  return 0;
}
