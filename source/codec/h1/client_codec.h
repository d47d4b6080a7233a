#pragma once

#include <cstdint>

#include "source/codec/codec.h"
#include "source/codec/h1/scanner.h"
#include "source/codec/h1/writer.h"

namespace gatehouse::codec::h1 {

struct ClientOptions {
  uint32_t max_head_bytes = 80 * 1024;
  uint32_t max_fields = 100;
  bool enable_trailers = false;
  bool proper_case = false;
};

// HTTP/1.1, client side. One request at a time. Any byte that is not part of the answer to the
// current request makes the connection unusable (response queue poisoning).
class ClientCodec final : public Codec {
 public:
  static constexpr int kMaxInterim = 100;

  explicit ClientCodec(const ClientOptions& options) : options_(&options) {}

  Ingest ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept override;
  void sendRequestHead(Stream& stream, const http::RequestHead& head, bool end) noexcept override;
  void sendInterim(Stream&, const http::ResponseHead&) noexcept override;
  void sendResponseHead(Stream&, const http::ResponseHead&, bool) noexcept override;
  void sendBody(Stream& stream, buffer::Buffer& take, bool end) noexcept override;
  void sendTrailers(Stream& stream, const http::HeaderMap& trailers) noexcept override;
  void abort(Stream& stream, Abort why) noexcept override;
  void detach(Stream& stream) noexcept override {
    if (&stream == stream_) abort(stream, Abort::kCancel);
  }
  void grant(Stream& stream, uint32_t bytes) noexcept override { stream.credit = bytes; }
  size_t queued(const Stream&) const noexcept override { return out_.length(); }
  size_t produce(buffer::Buffer& out, size_t room) noexcept override;
  void goAway() noexcept override { keep_alive_ = false; }
  bool reusable() const noexcept override { return stream_ == nullptr && keep_alive_; }
  bool wantsClose() const noexcept override { return !keep_alive_ && stream_ == nullptr; }

 private:
  // kDone-like: true when a final head was read.
  Ingest readHead(buffer::Buffer& in, CodecEvents& events, bool* complete) noexcept;
  Ingest fail(CodecEvents& events, const char* details) noexcept;
  void finish() noexcept;

  const ClientOptions* options_;
  Stream* stream_ = nullptr;
  buffer::Buffer out_;
  BodyReader body_;
  uint32_t scanned_ = 0;
  uint8_t interim_ = 0;
  bool head_read_ = false;
  bool request_sent_ = false;
  bool response_done_ = false;
  bool keep_alive_ = true;
  BodyStyle style_ = BodyStyle::kNone;
};

}  // namespace gatehouse::codec::h1
