#pragma once

#include <cstdint>
#include <string_view>

#include "source/buffer/buffer.h"
#include "source/chain/http_plan.h"
#include "source/event/worker.h"
#include "source/sdk/http_stream.h"

namespace gatehouse::chain {

// The stream's own side: the connection manager. Implemented by the object that owns the engine;
// called on the stream's worker.
class StreamOwner {
 public:
  virtual void sendInterim(http::ResponseHead& head) noexcept = 0;
  virtual void sendHead(http::ResponseHead& head, bool end) noexcept = 0;
  virtual void sendBody(buffer::Buffer& bytes, bool end) noexcept = 0;
  virtual void sendTrailers(http::HeaderMap& trailers) noexcept = 0;
  // The response cannot be finished: RST_STREAM, or the connection is reset.
  virtual void resetStream(codec::Abort why) noexcept = 0;
  // SETS how many body bytes the client may still send.
  virtual void grantRequest(uint32_t bytes) noexcept = 0;
  // Response bytes that have not left yet.
  virtual size_t responseQueued() noexcept = 0;
  virtual const router::RouteEntry* pickRoute() noexcept = 0;
  // Per-filter configurations of a route.
  virtual const void* const* routeConfigs(const router::RouteEntry& route) noexcept = 0;
  // Last words to a local reply's head (no route rules apply here).
  virtual void onLocalReply(http::ResponseHead& head) noexcept = 0;
  // After every filter's onEnd(): the owner logs and buries the stream. Called once, from the run
  // queue.
  virtual void onStreamEnd(sdk::EndReason why) noexcept = 0;

 protected:
  ~StreamOwner() = default;
};

// Runs the filters of one stream. Lives in its owner, on one worker; filters lie in the stream's
// arena. A direction visits the slots of the plan in order; each boundary keeps its own queue, so
// several filters may hold bytes at once. Everything that goes backwards (reply, resume, abort,
// credit, end) sets a bit and runs from the worker's run queue: a hook is never entered from inside
// another.
class HttpEngine final : public event::Task {
 public:
  HttpEngine(StreamOwner& owner, const HttpPlan& plan, memory::Arena& arena,
             http::RequestHead& request, sdk::StreamInfo& info, uint32_t buffer_limit,
             uint64_t random);
  ~HttpEngine();

  // From the codec's events, in their order.
  void requestHead(bool end);
  // Instead of requestHead(): no filter sees this request, only its answer.
  void refuse(const sdk::LocalReply& reason, bool end);
  void requestBody(buffer::Buffer& bytes, bool end);
  void requestTrailers(http::HeaderMap& trailers);
  // The client is gone or broke its request: nothing can be answered.
  void downstreamGone();
  // Output left towards the client.
  void responseDrained();

  // --- for filters, through sdk::HttpStream; `filter` is the caller's index ---
  http::RequestHead& request() { return request_; }
  http::ResponseHead* response() { return response_; }
  sdk::StreamInfo& info() { return info_; }
  memory::Arena& arena() { return arena_; }
  void setBodyMode(uint8_t filter, sdk::Dir dir, sdk::BodyMode mode);
  void resume(uint8_t filter, sdk::Dir dir);
  void reply(const sdk::LocalReply& reply);
  void abort(codec::Abort why);
  const router::RouteEntry* route();
  void clearRoute();
  const void* config(uint8_t filter);
  void respondInterim(uint8_t filter, http::ResponseHead& head);
  void respondHead(uint8_t filter, http::ResponseHead& head, bool end);
  void respondBody(uint8_t filter, buffer::Buffer& bytes, bool end);
  void respondTrailers(uint8_t filter, http::HeaderMap& trailers);
  void setHeld(uint8_t filter, sdk::Dir dir, size_t bytes);
  uint32_t responseRoom() { return roomNow(sdk::Dir::kResponse); }
  void limitLane(sdk::Dir dir, uint32_t bytes);
  uint32_t laneLimit(sdk::Dir dir) const { return limits_[static_cast<size_t>(dir)]; }
  bool requestComplete() const { return request_ended_; }
  uint64_t random() const { return random_; }

  bool responseStarted() const { return on_wire_; }
  bool responseEnded() const { return response_ended_; }
  bool ended() const { return ended_; }

  // event::Task
  void run() noexcept override;

 private:
  // One filter in one direction.
  struct State {
    sdk::BodyMode mode;
    bool paused = false;
    bool resume = false;
    bool holds_head = false;  // kCollect, before the hook ran
    bool end = false;         // the end waits here
    bool trailers_seen = false;
    bool off = false;  // the filter takes no part in this stream
    http::HeaderMap* trailers = nullptr;
    size_t held = 0;
    buffer::Buffer pending;
  };
  State& state(sdk::Dir dir, uint8_t filter) {
    return states_[static_cast<size_t>(dir) * plan_.count() + filter];
  }
  void* filterAt(uint32_t offset) { return filters_ + offset; }
  bool stopped() const { return reply_pending_ || abort_pending_ || ended_; }
  void queue() { event::Worker::current().queue(*this); }
  // Which filters take part: their default, then what the first route says.
  void setSwitches();
  void passHead(sdk::Dir dir, size_t from, bool end);
  void passBody(sdk::Dir dir, size_t from, buffer::Buffer& bytes, bool end);
  void passTrailers(sdk::Dir dir, size_t from, http::HeaderMap& trailers);
  // kCollect: runs the hook with everything and lets head and body go on. False: stopped or paused.
  bool finishCollect(sdk::Dir dir, size_t position, bool end);
  void resumeAt(sdk::Dir dir, size_t position);
  void headToOwner(bool end);
  void bodyToOwner(buffer::Buffer& bytes, bool end);
  void trailersToOwner(http::HeaderMap& trailers);
  void sendReply();
  void describeReplyBody();
  void replyAsGrpc();
  void finish(sdk::EndReason why);
  size_t queuedIn(sdk::Dir dir);
  // What the lane takes beyond `queued`. A filter that collects is given all it asked for, and one
  // byte to see that it is too much: a lane that is smaller would never fill it.
  uint32_t room(sdk::Dir dir, size_t queued);
  uint32_t roomNow(sdk::Dir dir);
  void grant();

  StreamOwner& owner_;
  const HttpPlan& plan_;
  memory::Arena& arena_;
  http::RequestHead& request_;
  http::ResponseHead* response_ = nullptr;
  sdk::StreamInfo& info_;
  uint32_t limits_[2];  // of each direction's lane, bytes
  uint64_t random_;
  std::byte* filters_ = nullptr;
  sdk::HttpStream* handles_ = nullptr;
  State* states_ = nullptr;
  const router::RouteEntry* route_ = nullptr;
  const void* const* route_configs_ = nullptr;
  http::ResponseHead* reply_head_ = nullptr;
  buffer::Buffer reply_body_;
  std::string_view reply_type_;
  codec::Abort abort_why_ = codec::Abort::kCancel;
  uint8_t responder_ = 0xff;
  bool route_picked_ = false;
  bool request_ended_ = false;
  bool response_in_chain_ = false;
  bool on_wire_ = false;
  bool response_ended_ = false;
  bool reply_pending_ = false;
  bool replied_ = false;
  bool abort_pending_ = false;
  bool downstream_gone_ = false;
  bool resume_pending_ = false;
  bool grant_request_ = false;
  bool grant_response_ = false;
  bool ended_ = false;
};

}  // namespace gatehouse::chain
