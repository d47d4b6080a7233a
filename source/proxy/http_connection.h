#pragma once

#include <memory>

#include "source/base/intrusive_list.h"
#include "source/codec/codec.h"
#include "source/event/worker.h"
#include "source/memory/slab.h"
#include "source/net/connection.h"
#include "source/proxy/hcm_config.h"
#include "source/proxy/http_stream.h"

namespace gatehouse::proxy {

// A client's connection as its streams see it, and what both versions of HTTP share: user of its
// net::Connection, receiver of its codec's events. Frees itself in step 8 after the connection
// closed and its last stream ended.
class HttpConnection : public net::ConnectionUser,
                       public codec::CodecEvents,
                       public event::Reapable,
                       public base::ListLink<struct WorkerConnectionsTag>,
                       public memory::SlabObject {
 public:
  // Of the calling worker and made by `config`: tells those of HTTP/2 that no more requests are
  // welcome; closes all, requests under way included.
  static void drainAll(const HcmConfig& config);
  static void closeAll(const HcmConfig& config);

  net::Connection& connection() { return *connection_; }
  const sdk::ConnectionInfo& info() const { return info_; }
  bool closed() const { return closed_; }

  virtual codec::Codec& codec() noexcept = 0;
  virtual void countRequest() = 0;
  // The stream's answer leaves something of its request unread: HTTP/1 closes after it.
  virtual void endAfter(HttpStream& stream) = 0;
  // The gateway drains: no new requests on this connection.
  virtual void drain() = 0;
  // The same while no answer is being made: HTTP/1 has no way to say it.
  virtual void drainIdle() = 0;
  // A stream gave credit; `woken`: it had none before.
  virtual void granted(bool woken) = 0;
  // Called once by each stream, before it is buried.
  virtual void streamEnded(HttpStream& stream) = 0;

  // codec::CodecEvents
  http::ResponseHead* responseHead(codec::Stream&) noexcept override { return nullptr; }
  void onInterim(codec::Stream&, http::ResponseHead&) noexcept override {}
  void onResponseHead(codec::Stream&, http::ResponseHead&, bool) noexcept override {}
  void onGoAway(uint64_t, uint32_t) noexcept override {}
  void onLimits(uint32_t) noexcept override {}

 protected:
  HttpConnection(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
                 const sdk::ConnectionInfo& info, event::MonoTime opened);
  // Arms timer_ for onTimer(); zero cancels it.
  void armTimer(event::Millis delay);
  virtual void onTimer() = 0;
  // It closed: leaves the worker's list, counts.
  void countClosed(net::CloseReason why);

  std::shared_ptr<const HcmConfig> config_;
  net::Connection* connection_;
  sdk::ConnectionInfo info_;
  // Idle time, or the time a started head may take. Extended by one store.
  event::Timer timer_;
  event::MonoTime opened_;
  uint32_t requests_ = 0;
  bool closed_ = false;
  bool waiting_head_ = false;
  bool known_ = false;  // Http1Connection: the version is decided
};

// Starts serving an accepted connection with the codec that the configuration names; AUTO is
// decided by the first bytes.
void serveHttp(std::shared_ptr<const HcmConfig> config, net::Connection& connection,
               const sdk::ConnectionInfo& info);

}  // namespace gatehouse::proxy
