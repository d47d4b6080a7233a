#pragma once

#include <cstdint>
#include <memory>

#include "source/base/intrusive_list.h"
#include "source/event/timer_wheel.h"
#include "source/event/worker.h"
#include "source/net/connection.h"
#include "source/upstream/cluster.h"
#include "source/upstream/request.h"

namespace gatehouse::upstream {

class HostPool;

// One upstream HTTP/1 connection of a worker: user of its net::Connection, receiver of its codec's
// events, owned by its pool until it closes, freed in step 8. A connection serves one request at a
// time; one whose peer closed or that has surplus bytes is never reused.
class HttpConnection final : public net::ConnectionUser,
                             public codec::CodecEvents,
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
  codec::Codec& codec() { return codec_; }
  // The stream ended on our side without being complete: the connection cannot be used again.
  void resetByUser(UpstreamRequest& request);
  bool connecting() const { return !connected_; }

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
  void onInterim(codec::Stream&, http::ResponseHead& head) noexcept override;
  void onResponseHead(codec::Stream&, http::ResponseHead& head, bool end) noexcept override;
  void onBody(codec::Stream&, buffer::Buffer& in, bool end) noexcept override;
  void onTrailers(codec::Stream&, http::HeaderMap& trailers) noexcept override;
  void onAbort(codec::Stream&, codec::Abort why, codec::CodecError error) noexcept override;
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

 private:
  friend class HostPool;
  void requestEnded();
  void releaseActive();
  void leaveList() { base::ListLink<PoolTag>::unlink(); }
  void armIdleTimer();

  HostPool& pool_;
  net::Connection* connection_ = nullptr;
  codec::h1::ClientCodec codec_;
  UpstreamRequest* active_ = nullptr;
  net::Address local_;
  event::Timer timer_;  // connect timeout, then idle timeout
  event::MonoTime started_{};
  event::MonoTime timer_since_{};
  uint64_t served_ = 0;
  bool connected_ = false;
  bool closed_ = false;
  bool connect_timed_out_ = false;
  bool in_ingest_ = false;
};

// The connections of one worker to one host, and the requests that wait for one. An idle connection
// is taken newest first, so that surplus ones reach their idle time. One thread.
class HostPool {
 public:
  HostPool(Cluster& cluster, Host& host, uint32_t worker);
  ~HostPool();

  // Attaches the request to an idle connection at once (onPoolReady from inside), queues it, or
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
  void onIdle(HttpConnection& connection);  // connected, or finished a request
  void onGone(HttpConnection& connection, bool while_connecting, PoolFailure why,
              std::string_view reason);
  void connectOne();
  bool attachWaiting(HttpConnection& connection);

  Cluster& cluster_;
  Host& host_;
  uint32_t worker_;
  uint32_t connecting_ = 0;
  uint32_t waiting_count_ = 0;
  bool draining_ = false;
  base::IntrusiveList<HttpConnection, PoolTag> idle_;
  base::IntrusiveList<HttpConnection, PoolTag> busy_;  // connecting or serving
  base::IntrusiveList<UpstreamRequest, WaitTag> waiting_;
};

}  // namespace gatehouse::upstream
