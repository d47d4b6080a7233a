#pragma once

#include <cstddef>
#include <cstdint>

#include "source/buffer/buffer.h"
#include "source/http/head.h"
#include "source/memory/arena.h"

namespace gatehouse::codec {

// Why a stream ended without a clean end; maps to RST_STREAM codes (h2) and to short messages and
// closes (h1).
enum class Abort : uint8_t {
  kCancel,    // we or the peer lost interest
  kRefused,   // not processed at all: may be replayed
  kProtocol,  // the peer broke the protocol in this stream
  kInternal,
  kConnectionLost,   // closed before the end (FIN in mid-message)
  kConnectionReset,  // RST or write error
  kOverload,
  kNoError,  // answered completely, rest of the request not wanted
  kTimeout,
  kPeerReset,    // h2: RST_STREAM of the peer
  kPeerRefused,  // h2: REFUSED_STREAM of the peer, or a GOAWAY that left the stream out
};

// Codec errors of a whole connection, or of a request that still gets an answer. `status` is what a
// server sends (0: none).
struct CodecError {
  uint16_t status = 0;
  // Response code details as Envoy names them (e.g. "http1.codec_error"); static text.
  const char* details = "";
};

struct Ingest {
  enum Code : uint8_t {
    kMore,     // everything usable was taken, more input is welcome
    kBlocked,  // no credit, or (h1) the next pipelined request waits: the rest stays in `in`
    kTunnel,   // bytes are raw from here on
    kFatal     // the connection cannot go on; server: answer `why.status` if no head was sent, then
               // close
  } code = kMore;
  CodecError why;
};

// The codec's half of a stream; the user derives its stream object from it. Owned by the user,
// which keeps it alive until after the stream's last event and, once abort()/end was called, until
// step 8 of the turn.
struct Stream {
  // Where the codec copies heads of this stream that come IN (server: the request; client: the
  // response).
  memory::Arena* arena = nullptr;
  uint64_t id = 0;             // h1: running number; h2: stream id
  uint32_t credit = 0;         // body bytes the codec may still deliver; set by grant()
  bool head_request = false;   // client: the request was HEAD (set by the codec in sendHead)
  void* codec_half = nullptr;  // h2: the codec's own part; null once it is closed there
};

// What a codec tells its user; called only from inside Codec::ingest(). The receiver may call
// send*/abort/grant (they record) but never ingest, produce or the destructor. Legal per stream:
// Interim* Head Body* Trailers? with end exactly once, or onAbort exactly once at any point;
// nothing afterwards. (h2: onAbort may also come from produce(), for a stream that nghttp2 resets.)
class CodecEvents {
 public:
  // Server: a new request begins. Null: refused.
  virtual Stream* onStream(uint64_t id) noexcept = 0;
  virtual http::RequestHead* requestHead(
      Stream&) noexcept = 0;  // server: where the head is to be built, before onHead
  virtual http::ResponseHead* responseHead(
      Stream&) noexcept = 0;  // client: a fresh head for each interim and the final
  virtual void onRequestHead(Stream&, http::RequestHead&, bool end) noexcept = 0;
  virtual void onInterim(Stream&, http::ResponseHead&) noexcept = 0;
  virtual void onResponseHead(Stream&, http::ResponseHead&, bool end) noexcept = 0;
  virtual void onBody(Stream&, buffer::Buffer& in,
                      bool end) noexcept = 0;  // takes all of `in`; never more than the credit
  virtual void onTrailers(Stream&, http::HeaderMap&) noexcept = 0;  // implies end
  virtual void onAbort(Stream&, Abort, CodecError) noexcept = 0;
  virtual void onGoAway(uint64_t last_id, uint32_t code) noexcept = 0;
  virtual void onLimits(uint32_t max_streams) noexcept = 0;

 protected:
  ~CodecEvents() = default;
};

// One per connection and role. Takes bytes and calls events, produces bytes on demand; does no I/O
// and is not re-entrant. send*() and abort() record; nothing leaves before produce(). One thread.
class Codec {
 public:
  virtual ~Codec() = default;

  // Consumes from `in`. `end`: the peer finished writing after these bytes.
  virtual Ingest ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept = 0;

  // Client: opens the stream and sends the request head. Server: sends the response head.
  virtual void sendRequestHead(Stream&, const http::RequestHead&, bool end) noexcept = 0;
  virtual void sendInterim(Stream&, const http::ResponseHead&) noexcept = 0;
  virtual void sendResponseHead(Stream&, const http::ResponseHead&, bool end) noexcept = 0;
  virtual void sendBody(Stream&, buffer::Buffer& take,
                        bool end) noexcept = 0;  // always takes everything
  virtual void sendTrailers(Stream&, const http::HeaderMap&) noexcept = 0;  // implies end
  virtual void abort(Stream&, Abort) noexcept = 0;
  // The user is about to free the stream: no event of it follows. What was handed over before still
  // leaves; what is missing of either half is given up (h2: RST_STREAM).
  virtual void detach(Stream&) noexcept = 0;
  // SETS the body bytes that may still be delivered to the user (idempotent; not added).
  virtual void grant(Stream&, uint32_t bytes) noexcept = 0;
  // Bytes of this stream taken by sendBody and not yet handed out by produce().
  virtual size_t queued(const Stream&) const noexcept = 0;

  // Moves up to about `room` bytes of output to `out` (a head is never split). Returns the bytes
  // added.
  virtual size_t produce(buffer::Buffer& out, size_t room) noexcept = 0;
  // Stop taking new streams (h2: GOAWAY; h1: `connection: close` on the next response).
  virtual void goAway() noexcept = 0;
  // h1: both messages ended cleanly, no surplus bytes, no close asked for. h2: not going away.
  virtual bool reusable() const noexcept = 0;
  // Server: close the connection once the output is out.
  virtual bool wantsClose() const noexcept = 0;
};

}  // namespace gatehouse::codec
