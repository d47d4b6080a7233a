#pragma once

#include <cstdint>
#include <memory>

#include "source/base/intrusive_list.h"
#include "source/codec/h2/h2_codec.h"
#include "source/codec/h2/keepalive.h"
#include "source/event/timer_wheel.h"
#include "source/event/worker.h"
#include "source/net/connection.h"
#include "source/upstream/cluster.h"
#include "source/upstream/request.h"

namespace gatehouse::upstream {

class HostPool;

// One upstream connection of a worker: user of its net::Connection, receiver of its codec's events,
// owned by its pool until it closes, freed in step 8. HTTP/1 serves one request at a time; HTTP/2
// as many as both sides allow. A connection whose peer closed, said GOAWAY or sent surplus bytes
// takes no further request.
class HttpConnection final : public net::ConnectionUser,
                             public codec::CodecEvents,
                             public codec::h2::KeepaliveOwner,
                             public event::Reapable,
                             public base::ListLink<struct PoolTag> {
 public:
  HttpConnection(HostPool& pool, const net::Address& remote);
  ~HttpConnection() override;

  void attach(UpstreamRequest& request);
  void markDirty();
  void close(net::CloseReason why);
  net::Connection& connection() { return *connection_; }
  // Our own address on it.
  const net::Address& local() const { return local_; }
  codec::Codec& codec() { return *codec_; }
  http::Version version() const {
    return http2_ != nullptr ? http::Version::kHttp2 : http::Version::kHttp11;
  }
  // A request gave credit; `woken`: it had none before.
  void granted(bool woken);
  // The user gives the request up: HTTP/2 resets its stream, HTTP/1 loses the connection.
  void resetByUser(UpstreamRequest& request);
  bool connecting() const { return !connected_; }
  bool idle() const { return active_.empty(); }
  bool hasRoom() const {
    return connected_ && !closed_ && !draining_ && active_count_ < capacity_ && codec_->reusable();
  }

  // net::ConnectionUser
  void onConnected() noexcept override;
  void onData(buffer::Buffer& in, bool end) noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override;
  void onFlushed() noexcept override;
  void onClosed(net::CloseReason why, int error) noexcept override;

  // codec::CodecEvents
  codec::Stream* onStream(uint64_t) noexcept override { return nullptr; }
  http::RequestHead* requestHead(codec::Stream&) noexcept override { return nullptr; }
  http::ResponseHead* responseHead(codec::Stream& stream) noexcept override;
  void onRequestHead(codec::Stream&, http::RequestHead&, bool) noexcept override {}
  void onInterim(codec::Stream& stream, http::ResponseHead& head) noexcept override;
  void onResponseHead(codec::Stream& stream, http::ResponseHead& head, bool end) noexcept override;
  void onBody(codec::Stream& stream, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream& stream, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream& stream, codec::Abort why, codec::CodecError error) noexcept override;
  void onGoAway(uint64_t last_id, uint32_t code) noexcept override;
  void onLimits(uint32_t max_streams) noexcept override;

  // codec::h2::KeepaliveOwner
  void onPingDue() noexcept override { markDirty(); }
  void onPeerSilent() noexcept override { close(net::CloseReason::kIdle); }

 private:
  friend class HostPool;
  void onHttp1Data(buffer::Buffer& in, bool end);
  void onHttp2Data(buffer::Buffer& in, bool end);
  void failHttp2();
  // The response is complete.
  void requestEnded(UpstreamRequest& request);
  // Unlinks the request and counts it off.
  void release(UpstreamRequest& request);
  // Takes no further request; closes when the last one ended.
  void drain(net::CloseReason why);
  void resetAll(codec::Abort why);
  void leaveList() { base::ListLink<PoolTag>::unlink(); }
  void armIdleTimer();

  HostPool& pool_;
  net::Connection* connection_ = nullptr;
  std::unique_ptr<codec::Codec> codec_;
  codec::h2::H2Codec* http2_ = nullptr;  // codec_, when it is HTTP/2
  std::unique_ptr<codec::h2::Keepalive> keepalive_;
  base::IntrusiveList<UpstreamRequest, WaitTag> active_;
  uint32_t active_count_ = 0;
  uint32_t capacity_ = 1;  // requests at a time
  net::Address local_;
  event::Timer timer_;  // connect timeout, then idle timeout
  event::MonoTime started_{};
  uint64_t served_ = 0;
  bool connected_ = false;
  bool closed_ = false;
  bool connect_timed_out_ = false;
  bool in_ingest_ = false;
  bool draining_ = false;
  bool failed_ = false;  // HTTP/2: it only flushes its GOAWAY
};

// The connections of one worker to one host, and the requests that wait for one. The newest
// connection with room is taken first, so that surplus ones reach their idle time. One thread.
class HostPool {
 public:
  HostPool(Cluster& cluster, Host& host, uint32_t worker);
  ~HostPool();

  // Attaches the request to a connection with room at once (onPoolReady from inside), queues it, or
  // fails it (onPoolFailure from inside).
  void start(UpstreamRequest& request);
  void leave(UpstreamRequest& request);  // a waiting request was cancelled
  // Closes idle connections; busy ones after their request.
  void drain();

  Cluster& cluster() { return cluster_; }
  Host& host() { return host_; }
  uint32_t worker() const { return worker_; }

 private:
  friend class HttpConnection;
  // Connected, or a request ended: serves who waits and puts the connection where it belongs.
  void onRoom(HttpConnection& connection);
  void place(HttpConnection& connection);
  void onGone(HttpConnection& connection, bool while_connecting, PoolFailure why,
              std::string_view reason);
  void connectOne();
  bool attachWaiting(HttpConnection& connection);
  // More wait than the connections under way can take.
  bool wantsConnection() const { return waiting_count_ > uint64_t{connecting_} * capacity_; }

  Cluster& cluster_;
  Host& host_;
  uint32_t worker_;
  uint32_t connecting_ = 0;
  uint32_t waiting_count_ = 0;
  uint32_t capacity_;  // requests a new connection is expected to take at a time
  bool draining_ = false;
  base::IntrusiveList<HttpConnection, PoolTag> available_;  // with room for a request
  base::IntrusiveList<HttpConnection, PoolTag> busy_;       // connecting, full or draining
  base::IntrusiveList<UpstreamRequest, WaitTag> waiting_;
};

}  // namespace gatehouse::upstream
