#include "source/codec/h2/frame_guard.h"

namespace gatehouse::codec::h2 {

namespace {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kPushPromise = 5,
  kWindowUpdate = 8,
  kContinuation = 9,
};
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;

}  // namespace

FrameGuard::Frame FrameGuard::parse(const uint8_t* h) {
  return {uint32_t{h[0]} << 16 | uint32_t{h[1]} << 8 | h[2], h[3], h[4],
          (uint32_t{h[5]} << 24 | uint32_t{h[6]} << 16 | uint32_t{h[7]} << 8 | h[8]) & 0x7fffffff};
}

size_t FrameGuard::bytesNeeded(const uint8_t* head) {
  Frame frame = parse(head);
  return frame.type == kWindowUpdate && frame.length == 4 ? kMostBytes : kHeadBytes;
}

FrameGuard::Verdict FrameGuard::check(const Frame& frame, Open state, const uint8_t* bytes) {
  Verdict verdict = checkStream(frame, state);
  if (verdict.error == ErrorCode::kNoError) verdict = checkFloods(frame);
  // Also on a stream that is closed by now, where nghttp2 does not look.
  if (frame.type == kWindowUpdate && frame.length == 4 && frame.stream != 0 &&
      state == Open::kUnknown && ((bytes[9] & 0x7f) | bytes[10] | bytes[11] | bytes[12]) == 0) {
    verdict = {ErrorCode::kProtocol, "http2.window_update_of_zero"};
  }
  if (state == Open::kUnknown) notePeerEnd(frame);
  verdict.length = frame.length;
  return verdict;
}

FrameGuard::Verdict FrameGuard::checkStream(const Frame& frame, Open state) {
  // Inside a header block only its CONTINUATION may follow; nghttp2 refuses everything else.
  if (block_ != 0) {
    if (frame.type != kContinuation || frame.stream != block_) return {};
    if (frame.flags & kEndHeaders) block_ = 0;
    return {};
  }
  bool opens = frame.type == kHeaders && server_ && (frame.stream & 1) != 0 &&
               frame.stream > last_peer_stream_;
  if (frame.type == kHeaders && !(frame.flags & kEndHeaders)) {
    block_ = frame.stream;
    continuations_ = 0;
  }
  if (opens) {
    last_peer_stream_ = frame.stream;
    ++opened_;
    return {};
  }
  bool carries = frame.type == kData || frame.type == kHeaders || frame.type == kContinuation;
  if (!carries || frame.stream == 0 || state == Open::kOpen) return {};
  // An idle stream, or one of ours that nghttp2 does not have: its own checks answer.
  bool peers = (frame.stream & 1) == (server_ ? 1 : 0);
  if (state == Open::kUnknown) {
    if (server_ && (!peers || frame.stream > last_peer_stream_)) return {};
    Closed* closed = find(frame.stream);
    if (closed != nullptr && closed->by_us) return {};
    if (closed == nullptr && !server_) return {};
    if (closed == nullptr && frame.type == kHeaders)
      return {ErrorCode::kProtocol, "http2.stream_id_not_increasing"};
  }
  return {ErrorCode::kStreamClosed, "http2.frame_on_closed_stream"};
}

FrameGuard::Verdict FrameGuard::checkFloods(const Frame& frame) {
  Stats& stats = *options_.stats;
  switch (frame.type) {
    case kData:
    case kHeaders:
    case kContinuation:
      if (frame.type == kContinuation && ++continuations_ > kMaxContinuations)
        return {ErrorCode::kEnhanceYourCalm, "http2.continuation_flood"};
      if (frame.length != 0 || (frame.flags & kEndStream)) {
        empty_ = 0;
      } else if (options_.max_empty_frames != 0 && ++empty_ > options_.max_empty_frames) {
        stats.inbound_empty_frames_flood.inc();
        return {ErrorCode::kEnhanceYourCalm, "http2.inbound_empty_frames_flood"};
      }
      return {};
    case kPriority:
      if (++priority_ >
          uint64_t{options_.max_priority_frames_per_stream} * (1 + uint64_t{opened_})) {
        stats.inbound_priority_frames_flood.inc();
        return {ErrorCode::kEnhanceYourCalm, "http2.inbound_priority_frames_flood"};
      }
      return {};
    case kWindowUpdate:
      // As Envoy counts: some for the connection, two a stream, and so many a DATA frame of ours.
      if (++window_updates_ >
          5 + 2 * (uint64_t{opened_} +
                   uint64_t{options_.max_window_updates_per_data_frame} * data_sent_)) {
        stats.inbound_window_update_frames_flood.inc();
        return {ErrorCode::kEnhanceYourCalm, "http2.inbound_window_update_frames_flood"};
      }
      return {};
    case kPushPromise:
      return {ErrorCode::kProtocol, "http2.push_promise"};
    default:
      return {};
  }
}

void FrameGuard::closed(uint32_t stream, bool by_us) {
  if (closed_ == nullptr) closed_ = std::make_unique<Closed[]>(kRemember);
  closed_[closed_count_++ % kRemember] = {stream, by_us};
}

void FrameGuard::notePeerEnd(const Frame& frame) {
  bool ends = frame.type == kRstStream ||
              ((frame.type == kData || frame.type == kHeaders) && (frame.flags & kEndStream));
  if (!ends || frame.stream == 0) return;
  if (Closed* closed = find(frame.stream)) closed->by_us = false;
}

FrameGuard::Closed* FrameGuard::find(uint32_t stream) const {
  size_t known = closed_count_ < kRemember ? closed_count_ : kRemember;
  for (size_t i = 0; i < known; ++i) {
    if (closed_[i].stream == stream) return &closed_[i];
  }
  return nullptr;
}

ErrorCode FrameGuard::premature() {
  ++premature_;
  bool flood = opened_ >= kResetSample && uint64_t{premature_} * 2 > opened_;
  return flood ? ErrorCode::kEnhanceYourCalm : ErrorCode::kNoError;
}

}  // namespace gatehouse::codec::h2
