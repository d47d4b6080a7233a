// The server codec never crashes, and how the bytes are split changes nothing of what it tells.
#include <cstdint>
#include <memory>
#include <string>

#include "source/base/assert.h"
#include "source/codec/h1/server_codec.h"
#include "test/fuzz/split.h"

namespace gatehouse::codec::h1 {
namespace {

struct Request : Stream {
  Request() : memory(nullptr, 0), head(memory) { arena = &memory; }
  memory::Arena memory;
  http::RequestHead head;
};

// Writes down what the codec tells; answers each request as soon as it is complete.
class Listener final : public CodecEvents {
 public:
  explicit Listener(ServerCodec& codec) : codec_(codec) {}
  Stream* onStream(uint64_t) noexcept override {
    request_ = std::make_unique<Request>();
    request_->credit = 1 << 20;
    return request_.get();
  }
  http::RequestHead* requestHead(Stream&) noexcept override { return &request_->head; }
  http::ResponseHead* responseHead(Stream&) noexcept override { return nullptr; }
  void onRequestHead(Stream&, http::RequestHead& head, bool end) noexcept override {
    log += "[" + std::string(head.method) + "|" + std::string(head.path) + "|" +
           std::string(head.authority);
    head.headers.forEach([&](const http::HeaderField& field) {
      for (char c : field.nameView()) GATEHOUSE_ASSERT(c > ' ' && c != ':' && (c < 'A' || c > 'Z'));
      for (char c : field.valueView()) GATEHOUSE_ASSERT(c != '\r' && c != '\n' && c != '\0');
      log += "|" + std::string(field.nameView()) + "=" + std::string(field.valueView());
    });
    log += "]";
    if (end) answer();
  }
  void onInterim(Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(Stream&, http::ResponseHead&, bool) noexcept override {}
  void onBody(Stream& stream, buffer::Buffer& in, bool end) noexcept override {
    log += in.toString();
    in.clear();
    stream.credit = 1 << 20;
    if (end) answer();
  }
  void onTrailers(Stream&, http::HeaderMap&) noexcept override { answer(); }
  void onAbort(Stream&, Abort, CodecError) noexcept override { log += "<abort>"; }
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

  std::string log;

 private:
  void answer() {
    log += "<end>";
    http::ResponseHead head(request_->memory);
    head.status = 204;
    codec_.sendResponseHead(*request_, head, true);
  }
  ServerCodec& codec_;
  std::unique_ptr<Request> request_;
};

std::string play(std::string_view bytes, uint64_t seed) {
  ServerOptions options;
  options.enable_trailers = true;
  options.accept_http_10 = (bytes.size() & 1) != 0;
  ServerCodec codec(options);
  Listener listener(codec);
  buffer::Buffer in, out;
  Ingest result;
  bool whole = fuzz::forEachPiece(bytes, seed, [&](std::string_view piece) {
    in.appendCopy(piece);
    result = codec.ingest(in, false, listener);
    codec.produce(out, SIZE_MAX / 2);
    out.clear();
    return result.code != Ingest::kFatal;
  });
  if (!whole)
    return listener.log + "<fatal " + std::to_string(result.why.status) + result.why.details + ">";
  codec.ingest(in, true, listener);
  return listener.log;
}

}  // namespace
}  // namespace gatehouse::codec::h1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gatehouse::codec::h1::play;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string whole = play(bytes, 0);
  std::string split = play(bytes, size + 1);
  GATEHOUSE_ASSERT(whole == split);
  return 0;
}
