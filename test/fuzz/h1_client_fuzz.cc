// The client codec never crashes, and how the bytes are split changes nothing of what it tells.
#include <cstdint>
#include <string>

#include "source/base/assert.h"
#include "source/codec/h1/client_codec.h"
#include "test/fuzz/split.h"

namespace gatehouse::codec::h1 {
namespace {

class Listener final : public CodecEvents {
 public:
  explicit Listener(memory::Arena& arena) : arena_(arena) {}
  Stream* onStream(uint64_t) noexcept override { return nullptr; }
  http::RequestHead* requestHead(Stream&) noexcept override { return nullptr; }
  http::ResponseHead* responseHead(Stream&) noexcept override {
    return arena_.make<http::ResponseHead>(arena_);
  }
  void onRequestHead(Stream&, http::RequestHead&, bool) noexcept override {}
  void onInterim(Stream&, http::ResponseHead& head) noexcept override { note("interim", head); }
  void onResponseHead(Stream&, http::ResponseHead& head, bool end) noexcept override {
    note("head", head);
    if (end) finish();
  }
  void onBody(Stream& stream, buffer::Buffer& in, bool end) noexcept override {
    GATEHOUSE_ASSERT(!ended_);
    log += in.toString();
    in.clear();
    stream.credit = 1 << 20;
    if (end) finish();
  }
  void onTrailers(Stream&, http::HeaderMap&) noexcept override { finish(); }
  void onAbort(Stream&, Abort, CodecError) noexcept override {
    GATEHOUSE_ASSERT(!ended_);
    ended_ = true;
    log += "<abort>";
  }
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}
  std::string log;

 private:
  void note(const char* what, http::ResponseHead& head) {
    GATEHOUSE_ASSERT(!ended_ && head.status >= 100 && head.status <= 599);
    log += what + std::to_string(head.status);
    head.headers.forEach([&](const http::HeaderField& field) {
      log += "|" + std::string(field.nameView()) + "=" + std::string(field.valueView());
    });
  }
  void finish() {
    GATEHOUSE_ASSERT(!ended_);
    ended_ = true;
    log += "<end>";
  }
  memory::Arena& arena_;
  bool ended_ = false;
};

std::string play(std::string_view bytes, uint64_t seed) {
  memory::Arena arena(nullptr, 0);
  ClientOptions options;
  ClientCodec codec(options);
  Listener listener(arena);
  Stream stream;
  stream.arena = &arena;
  stream.credit = 1 << 20;
  http::RequestHead request(arena);
  request.setMethod(bytes.size() % 3 == 0 ? "HEAD" : "GET");
  request.path = "/";
  codec.sendRequestHead(stream, request, true);
  buffer::Buffer in;
  bool whole = fuzz::forEachPiece(bytes, seed, [&](std::string_view piece) {
    in.appendCopy(piece);
    return codec.ingest(in, false, listener).code != Ingest::kFatal;
  });
  if (whole) codec.ingest(in, true, listener);
  return listener.log;
}

}  // namespace
}  // namespace gatehouse::codec::h1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gatehouse::codec::h1::play;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  GATEHOUSE_ASSERT(play(bytes, 0) == play(bytes, size + 1));
  return 0;
}
