#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "source/base/intrusive_list.h"
#include "source/codec/codec.h"
#include "source/codec/h2/frame_guard.h"
#include "source/codec/h2/options.h"
#include "source/memory/slab.h"

struct nghttp2_session;

namespace gatehouse::codec::h2 {

struct CodecStream;
struct Callbacks;

// HTTP/2 on nghttp2 (RFC 9113), one class for both roles. nghttp2 sees each frame only after the
// FrameGuard passed it. Output is pulled: produce() collects what nghttp2 has ready, DATA payloads
// move from the stream's queue without a copy.
//
// Flow control is the credit of the streams: what grant() allows beyond what the peer may still
// send is announced, in steps of half a window. Credit of the connection is returned on receipt as
// long as less than its window is held by the streams, so that a slow stream does not block its
// siblings. A peer may always send the initial window (at least 65,535 bytes) of a stream, whatever
// its credit.
//
// A stream's CodecStream lives until nghttp2 closes it, or with the codec; the user's Stream may be
// gone before (detach()). One thread.
class H2Codec final : public Codec {
 public:
  enum class Role : uint8_t { kServer, kClient };
  // CodecError::status of a connection that ends because the peer asks too much.
  static constexpr uint16_t kFlood = 429;
  // `lane`: bytes that the lane of a stream takes (see Options::stream_window).
  H2Codec(Role role, const Options& options, uint32_t lane);
  ~H2Codec() override;

  Ingest ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept override;
  void sendRequestHead(Stream& stream, const http::RequestHead& head, bool end) noexcept override;
  void sendInterim(Stream& stream, const http::ResponseHead& head) noexcept override;
  void sendResponseHead(Stream& stream, const http::ResponseHead& head, bool end) noexcept override;
  void sendBody(Stream& stream, buffer::Buffer& take, bool end) noexcept override;
  void sendTrailers(Stream& stream, const http::HeaderMap& trailers) noexcept override;
  void abort(Stream& stream, Abort why) noexcept override;
  void detach(Stream& stream) noexcept override;
  void grant(Stream& stream, uint32_t bytes) noexcept override;
  size_t queued(const Stream& stream) const noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override;
  // Server: tells that no new streams are welcome (GOAWAY 2^31-1); finishGoAway() follows when
  // those under way to us have had time to arrive. Client: takes no more streams.
  void goAway() noexcept override;
  void finishGoAway() noexcept;
  bool reusable() const noexcept override { return !going_away_ && !failed_; }
  // The connection broke the protocol; what nghttp2 found by itself shows once its GOAWAY left.
  bool failed() const { return failed_; }
  // Nothing more will be read or written.
  bool wantsClose() const noexcept override;

  // Streams of which DATA left since the last call with `clear`; `f(Stream&)`.
  template <class F>
  void forEachSent(bool clear, F&& f);
  // A PING; acknowledged ones are counted.
  void ping() noexcept;
  uint32_t pingsAcknowledged() const { return pings_acknowledged_; }
  bool inHeaderBlock() const { return guard_.inHeaderBlock(); }
  uint32_t peerMaxStreams() const noexcept;

 private:
  friend struct Callbacks;
  Ingest feed(buffer::Buffer& in);
  bool readHead(buffer::Buffer& in);
  bool feedBytes(const uint8_t* data, size_t size);
  FrameGuard::Open stateOf(uint32_t stream);
  Ingest fail(ErrorCode code, const char* details);
  void deliverData(CodecStream& stream, bool end);
  void finishHead(CodecStream& stream, bool end);
  void added(CodecStream& stream);
  void closeStream(CodecStream& stream, uint32_t error);
  std::string withStreamLimit(std::string_view settings) const;
  void submitReset(CodecStream& stream, ErrorCode code);
  void resumeData(CodecStream& stream);
  // Takes `bytes` off what the streams hold of the connection's window.
  void release(uint64_t bytes);
  void returnConnectionCredit();

  const Options& options_;
  nghttp2_session* session_ = nullptr;
  CodecEvents* events_ = nullptr;
  size_t out_limit_ = 0;                  // length of out_ at which DATA waits
  buffer::Buffer* out_ = nullptr;         // during produce()
  const memory::Slice* slice_ = nullptr;  // during ingest(): what nghttp2 reads from
  CodecStream* data_ = nullptr;           // whose DATA frame is being read
  base::IntrusiveList<CodecStream, struct StreamTag> streams_;
  base::IntrusiveList<CodecStream, struct SentTag> sent_;
  FrameGuard guard_;
  uint64_t held_ = 0;            // received and not yet granted again, all streams
  uint32_t connection_due_ = 0;  // received and not yet returned to the connection's window
  uint32_t stream_window_;
  uint32_t frame_left_ = 0;  // of the current frame's payload
  uint32_t preface_left_ = 0;
  uint32_t pings_acknowledged_ = 0;
  ErrorCode error_ = ErrorCode::kNoError;  // asked for by a callback
  const char* error_details_ = "";
  uint8_t head_have_ = 0;
  uint8_t head_[FrameGuard::kMostBytes] = {};
  Role role_;
  uint32_t open_ = 0;  // of streams_
  bool settings_sent_ = false;
  bool going_away_ = false;
  bool failed_ = false;
};

// The codec's part of a stream.
struct CodecStream : base::ListLink<struct StreamTag>,
                     base::ListLink<struct SentTag>,
                     memory::SlabObject {
  Stream* user = nullptr;
  H2Codec* codec = nullptr;
  buffer::Buffer in;                       // of the DATA frame being read
  buffer::Buffer out;                      // not yet produced
  http::RequestHead* request = nullptr;    // being read
  http::ResponseHead* response = nullptr;  // being read
  http::HeaderMap* trailers = nullptr;     // being read
  http::HeaderMap* out_trailers = nullptr;
  memory::Arena arena{nullptr, 0};  // of out_trailers
  int32_t id = 0;
  uint32_t window = 0;   // what the peer may still send
  uint32_t unacked = 0;  // received and not announced again
  uint32_t head_bytes = 0;
  uint32_t fields = 0;
  uint16_t cookies = 0;
  uint8_t interims = 0;
  ErrorCode reset_code = ErrorCode::kNoError;
  const char* details = nullptr;  // why it is broken
  bool head_done = false;         // the (final) head was delivered
  bool peer_done = false;         // END_STREAM was received
  bool end_queued = false;        // the user finished its half
  bool end_sent = false;
  bool deferred = false;  // nghttp2 waits for resume_data
  bool reset = false;     // we sent RST_STREAM
  bool reset_after_end = false;
  bool reset_when_sent = false;  // with reset_code, once `out` is empty
  bool head_sent = false;
  bool bad_head = false;
};

template <class F>
void H2Codec::forEachSent(bool clear, F&& f) {
  CodecStream* stream = sent_.first();
  while (stream != nullptr) {
    CodecStream* next = sent_.next(*stream);
    if (clear) static_cast<base::ListLink<struct SentTag>*>(stream)->unlink();
    if (stream->user != nullptr) f(*stream->user);
    stream = next;
  }
}

}  // namespace gatehouse::codec::h2
