#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "source/buffer/buffer.h"
#include "source/codec/codec.h"
#include "source/http/head.h"
#include "source/memory/arena.h"
#include "source/sdk/stream_info.h"

namespace gatehouse::chain {
class HttpEngine;
}
namespace gatehouse::router {
class RouteEntry;
}

namespace gatehouse::sdk {

enum class Dir : uint8_t { kRequest, kResponse };
// The two answers of a hook. kPause: nothing of this direction enters or passes this filter until
// resume().
enum class Step : uint8_t { kContinue, kPause };

// How a filter wants the body of one direction. Set in the head hook.
struct BodyMode {
  enum Kind : uint8_t {
    kSkip,    // head goes on, body passes by
    kStream,  // head goes on, hook per chunk
    kCollect  // head stays, editable; the engine gathers; one hook call with everything, then head
              // and body go on
  } kind = kSkip;
  // kCollect: bytes; more is answered with 413 (request) or 500 (response).
  uint32_t limit = 0;
};

struct HeaderToAdd {
  std::string_view name;  // lower case
  std::string_view value;
};

// An answer made here. All views are copied when it is recorded.
struct LocalReply {
  uint16_t status = 500;
  std::string_view body;
  // Stable reason for %RESPONSE_CODE_DETAILS%, no spaces.
  std::string_view details;
  std::span<const HeaderToAdd> headers = {};
  std::string_view content_type = "text/plain";  // sent only with a body
};

// One body chunk in a body hook. kContinue forwards out(), then what is left of in(); kPause
// forwards out() and keeps in(), which the next call offers again in front of new bytes.
class BodyIo {
 public:
  BodyIo(buffer::Buffer& in, buffer::Buffer& out, size_t room, bool last, http::HeaderMap* trailers)
      : in_(in), out_(out), room_(room), last_(last), trailers_(trailers) {}
  buffer::Buffer& in() { return in_; }
  buffer::Buffer& out() { return out_; }
  // Bytes worth producing now; producing more is legal and counts against the lane.
  size_t room() const { return room_; }
  // Nothing follows this call in this direction except trailers().
  bool last() const { return last_; }
  http::HeaderMap* trailers() { return trailers_; }

 private:
  buffer::Buffer& in_;
  buffer::Buffer& out_;
  size_t room_;
  bool last_;
  http::HeaderMap* trailers_;
};

enum class EndReason : uint8_t { kComplete, kDownstreamGone, kLocalAbort, kUpstreamAbort };

// What a filter sees of its stream: one handle per filter, handed to its constructor, valid until
// its onEnd() has returned. One worker thread. All calls that go backwards (reply, resume, abort,
// grants) record and act from the run queue.
class HttpStream {
 public:
  HttpStream(chain::HttpEngine& engine, uint8_t index) : engine_(engine), index_(index) {}

  http::RequestHead& request();
  // Null until a response head (upstream's or a local reply) exists.
  http::ResponseHead* response();
  StreamInfo& info();
  memory::Arena& arena();

  void body(Dir dir, BodyMode mode);
  // Ends the pause of this filter. Idempotent, legal anywhere.
  void resume(Dir dir);
  // Records an answer: the first one wins; the hook's Step is then ignored. While an earlier answer
  // is still in the response hooks, a later one replaces it and goes past them.
  void reply(const LocalReply& reply);
  void abort(codec::Abort why);

  // The route chosen for this request (first call picks it); null: none matches. Immutable, pinned
  // by the stream.
  const router::RouteEntry* route();
  // Forgets the choice: the next route() picks again from the head as it is then.
  void clearRoute();
  // This filter's configuration for the chosen route: the most specific override, else the filter's
  // own. C is what the factory compiled. Fetch per hook: clearRoute() may change it.
  template <class C>
  const C& config() {
    return *static_cast<const C*>(configPointer());
  }

  // --- For a filter that answers the request itself with a streamed response (router, cache) ---
  // Starts the response at this filter: it runs through the filters before it. `head` lives in
  // arena() or as long as the stream.
  void respondInterim(http::ResponseHead& head);
  void respondHead(http::ResponseHead& head, bool end);
  void respondBody(buffer::Buffer& bytes, bool end);
  void respondTrailers(http::HeaderMap& trailers);
  // Bytes this filter holds itself for that direction (e.g. queued towards an upstream): they count
  // in the lane. A smaller number than before lets the source send more.
  void setHeld(Dir dir, size_t bytes);
  // Lowers the limit of that direction's lane, for a sink or source with a limit of its own.
  void limitLane(Dir dir, uint32_t bytes);
  // Bytes the lane of that direction takes.
  uint32_t laneLimit(Dir dir) const;
  // Body bytes the response lane can take now.
  uint32_t responseRoom();

  // One random number a stream, for choices by weight.
  uint64_t random() const;
  // True when the client asked for nothing more (request complete).
  bool requestComplete() const;
  chain::HttpEngine& engine() { return engine_; }

 private:
  const void* configPointer();

  chain::HttpEngine& engine_;
  uint8_t index_;
};

}  // namespace gatehouse::sdk
