#pragma once

#include <cstdint>
#include <string_view>

#include "source/base/intrusive_list.h"
#include "source/buffer/buffer.h"
#include "source/codec/codec.h"
#include "source/event/timer_wheel.h"

namespace gatehouse::upstream {

class HttpConnection;
class HostPool;
struct Host;

enum class PoolFailure : uint8_t {
  kOverflow,       // a circuit breaker is open
  kConnectFailed,  // refused, reset or otherwise not established
  kConnectTimeout,
};

// One request towards one host, a member of whoever sends it (the router's attempt). Legal
// sequence: start -> (onPoolReady | onPoolFailure); after onPoolReady the codec's sequence:
// onInterim* onHead onBody* onTrailers? with end exactly once, or onReset exactly once. Nothing
// follows an end together with a completely sent request, onReset, onPoolFailure or cancel().
// onPoolReady may come from inside HostPool::start(). The object must live until step 8 of the turn
// in which it ended.
class UpstreamRequest : public codec::Stream, public base::ListLink<struct WaitTag> {
 public:
  virtual void onPoolReady() noexcept = 0;
  virtual void onPoolFailure(PoolFailure why, std::string_view reason) noexcept = 0;
  virtual http::ResponseHead* newResponseHead() noexcept = 0;
  virtual void onInterim(http::ResponseHead& head) noexcept = 0;
  virtual void onHead(http::ResponseHead& head, bool end) noexcept = 0;
  virtual void onBody(buffer::Buffer& in, bool end) noexcept = 0;
  virtual void onTrailers(http::HeaderMap& trailers) noexcept = 0;
  virtual void onReset(codec::Abort why, codec::CodecError error) noexcept = 0;
  // Output of this request left the codec: queued() may have shrunk.
  virtual void onSendRoom() noexcept = 0;

  // Legal between onPoolReady and the end.
  void sendHead(const http::RequestHead& head, bool end) noexcept;
  void sendBody(buffer::Buffer& take, bool end) noexcept;
  void sendTrailers(const http::HeaderMap& trailers) noexcept;
  void grantBody(uint32_t bytes) noexcept;
  size_t queued() const noexcept;

  // Leaves the pool's queue, or resets the stream. Idempotent. No callback follows.
  void cancel() noexcept;
  bool attached() const { return connection_ != nullptr; }
  const Host* host() const { return host_; }
  HttpConnection* connection() { return connection_; }

 protected:
  ~UpstreamRequest() { cancel(); }

 private:
  friend class HttpConnection;
  friend class HostPool;
  HttpConnection* connection_ = nullptr;
  HostPool* pool_ = nullptr;  // while waiting
  const Host* host_ = nullptr;
  bool request_sent_ = false;
  bool response_ended_ = false;
};

}  // namespace gatehouse::upstream
