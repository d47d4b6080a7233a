#pragma once

#include <cstdint>

#include "source/codec/codec.h"
#include "source/codec/h1/scanner.h"
#include "source/codec/h1/writer.h"

namespace gatehouse::codec::h1 {

// Settings of the server side; shared by all connections of a listener's chain.
struct ServerOptions {
  uint32_t max_head_bytes = 60 * 1024;  // more: 431
  uint32_t max_fields = 100;            // more: 431
  bool accept_http_10 = false;          // otherwise 426
  bool allow_absolute_url = true;
  bool enable_trailers = false;  // otherwise trailers are dropped both ways
  bool proper_case = false;
};

// HTTP/1.1, server side. One request at a time: the bytes of a pipelined next one wait in `in`
// (kBlocked) until the response of the current one has been produced. On kFatal the user answers
// `why.status` through the current stream (the codec has called onStream() for it) and closes after
// the answer.
class ServerCodec final : public Codec {
 public:
  explicit ServerCodec(const ServerOptions& options) : options_(&options) {}

  Ingest ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept override;
  void sendRequestHead(Stream&, const http::RequestHead&, bool) noexcept override;
  void sendInterim(Stream& stream, const http::ResponseHead& head) noexcept override;
  void sendResponseHead(Stream& stream, const http::ResponseHead& head, bool end) noexcept override;
  void sendBody(Stream& stream, buffer::Buffer& take, bool end) noexcept override;
  void sendTrailers(Stream& stream, const http::HeaderMap& trailers) noexcept override;
  void abort(Stream& stream, Abort why) noexcept override;
  void detach(Stream&) noexcept override {}
  void grant(Stream& stream, uint32_t bytes) noexcept override;
  size_t queued(const Stream& stream) const noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override;
  void goAway() noexcept override { close_after_ = true; }
  bool reusable() const noexcept override { return !close_after_ && !aborted_; }
  bool wantsClose() const noexcept override {
    return aborted_ || (close_after_ && stream_ == nullptr && out_.empty());
  }

  // Opens a stream for an answer to a request that never became complete (timeouts, oversized
  // heads).
  Stream* openForError(CodecEvents& events) noexcept;
  // Bytes of an unfinished head are waiting.
  bool headStarted() const { return head_started_; }
  bool requestComplete() const { return request_done_; }
  // The response was cut and only the end of the connection delimits it: it must be reset, not
  // closed, or the peer takes the response for complete.
  bool cutShort() const { return aborted_ && style_ == BodyStyle::kUntilClose; }
  // The response has ended and the request too: the next request may be read.
  bool idle() const { return stream_ == nullptr; }

 private:
  Ingest readHead(buffer::Buffer& in, CodecEvents& events) noexcept;
  Ingest fail(uint16_t status, const char* details) noexcept;
  CodecError checkHead(http::RequestHead& head, const FieldFacts& facts, Framing* framing) noexcept;
  void maybeFinish() noexcept;

  const ServerOptions* options_;
  Stream* stream_ = nullptr;
  buffer::Buffer out_;
  BodyReader body_;
  uint64_t next_id_ = 0;
  uint32_t scanned_ = 0;
  bool head_started_ = false;
  bool request_done_ = false;
  bool response_started_ = false;
  bool response_done_ = false;
  bool head_method_ = false;
  bool http10_ = false;
  bool keep_alive_ = true;
  bool close_after_ = false;
  bool aborted_ = false;
  bool failed_ = false;
  BodyStyle style_ = BodyStyle::kNone;
};

}  // namespace gatehouse::codec::h1
