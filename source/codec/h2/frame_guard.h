#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "source/codec/h2/options.h"

namespace gatehouse::codec::h2 {

enum class ErrorCode : uint32_t {
  kNoError = 0,
  kProtocol = 1,
  kInternal = 2,
  kFlowControl = 3,
  kStreamClosed = 5,
  kRefused = 7,
  kCancel = 8,
  kEnhanceYourCalm = 11,
};

// Looks at each frame head before nghttp2 does, with two verdicts: pass, or end the connection. It
// never swallows a frame, or header compression and windows would drift. It refuses what nghttp2
// overlooks (frames on streams the peer has closed, RFC 9113 5.1 and 5.1.1) and counts what costs
// us more than the peer: empty frames, PRIORITY, WINDOW_UPDATE, CONTINUATION, resets. One per
// connection, one thread.
class FrameGuard {
 public:
  static constexpr size_t kHeadBytes = 9;
  // How much of a frame check() wants to see: a WINDOW_UPDATE with its increment.
  static constexpr size_t kMostBytes = kHeadBytes + 4;
  static size_t bytesNeeded(const uint8_t* head);
  // CONTINUATION frames of one header block.
  static constexpr uint32_t kMaxContinuations = 32;
  // Streams that end by a reset before they were answered: past so many streams of a connection
  // they must not be the majority (as Envoy's overload.premature_reset_*).
  static constexpr uint32_t kResetSample = 500;

  struct Verdict {
    ErrorCode error = ErrorCode::kNoError;  // kNoError: pass
    const char* details = "";
    uint32_t length = 0;  // of the payload
  };
  // How the guard's owner knows a stream that nghttp2 still has.
  enum class Open : uint8_t { kUnknown, kOpen, kPeerDone };

  FrameGuard(const Options& options, bool server) : options_(options), server_(server) {}

  // `head`: bytesNeeded() bytes of a frame. `state(id)` tells whether the stream is open.
  template <class StateOf>
  Verdict check(const uint8_t* head, StateOf&& state) {
    Frame frame = parse(head);
    return check(frame, frame.stream == 0 ? Open::kUnknown : state(frame.stream), head);
  }

  // The owner's bookkeeping.
  void closed(uint32_t stream, bool by_us);
  void dataSent() { ++data_sent_; }
  // Client: a stream of ours began.
  void opened() { ++opened_; }
  // A stream was reset (by either side) before its answer began. kNoError: still bearable.
  ErrorCode premature();
  bool inHeaderBlock() const { return block_ != 0; }

 private:
  struct Frame {
    uint32_t length;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
  };
  struct Closed {
    uint32_t stream;
    bool by_us;
  };
  static constexpr size_t kRemember = 128;

  static Frame parse(const uint8_t* head);
  Verdict check(const Frame& frame, Open state, const uint8_t* bytes);
  Verdict checkStream(const Frame& frame, Open state);
  Verdict checkFloods(const Frame& frame);
  Closed* find(uint32_t stream) const;
  // The peer itself ended a stream that we had given up.
  void notePeerEnd(const Frame& frame);

  const Options& options_;
  std::unique_ptr<Closed[]> closed_;  // ring, made when a stream first closes
  uint32_t closed_count_ = 0;
  uint32_t last_peer_stream_ = 0;
  uint32_t opened_ = 0;
  uint32_t block_ = 0;  // stream of a header block that goes on
  uint32_t continuations_ = 0;
  uint32_t empty_ = 0;
  uint32_t premature_ = 0;
  uint64_t priority_ = 0;
  uint64_t window_updates_ = 0;
  uint64_t data_sent_ = 0;
  bool server_;
};

}  // namespace gatehouse::codec::h2
