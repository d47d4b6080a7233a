#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "source/event/worker.h"
#include "source/memory/slab.h"
#include "source/net/connection.h"
#include "source/sdk/factory.h"
#include "source/sdk/network_filter.h"

namespace gatehouse::chain {

// The network filters in front of a terminal one, as configured; immutable, shared by workers.
class NetworkChain final : public sdk::TerminalNetworkFilter {
 public:
  NetworkChain(std::vector<sdk::NetworkFilterPlan> filters,
               std::shared_ptr<const sdk::TerminalNetworkFilter> terminal);
  void serve(net::Connection& connection, const sdk::ConnectionInfo& info) const override;
  void drainWorker() const override { terminal_->drainWorker(); }
  void closeWorker() const override { terminal_->closeWorker(); }

 private:
  friend class NetworkEngine;
  std::vector<sdk::NetworkFilterPlan> filters_;
  std::vector<uint32_t> offsets_;
  size_t bytes_ = 0;
  std::shared_ptr<const sdk::TerminalNetworkFilter> terminal_;
};

// Runs the filters of one connection between it and the user that the terminal filter gives it.
// Owns itself; freed in step 8 after the connection closed. While a filter is paused nothing is
// read.
class NetworkEngine final : public net::ConnectionUser,
                            public event::Task,
                            public event::Reapable,
                            public memory::SlabObject {
 public:
  NetworkEngine(std::shared_ptr<const NetworkChain> chain, net::Connection& connection,
                const sdk::ConnectionInfo& info);
  ~NetworkEngine() override;

  // For filters.
  const sdk::ConnectionInfo& info() const { return info_; }
  void resume(uint8_t filter);
  void close(bool flush);

  // net::ConnectionUser
  void onData(buffer::Buffer& in, bool end) noexcept override;
  size_t produce(buffer::Buffer& out, size_t room) noexcept override;
  void onFlushed() noexcept override;
  void onClosed(net::CloseReason why, int error) noexcept override;
  // event::Task
  void run() noexcept override;

 private:
  static constexpr uint8_t kNobody = 0xff;
  void* at(size_t i) { return filters_.get() + chain_->offsets_[i]; }
  // From filter `from` on; reaches the terminal filter when all continue.
  void connect(size_t from);
  // False: the bytes stay here, or the connection is being closed.
  bool filter(size_t from, buffer::Buffer& in, bool end);
  void pauseAt(size_t i);
  // The user may have been replaced (HTTP/2 after detection): this engine stays in between.
  void stayBetween();

  std::shared_ptr<const NetworkChain> chain_;
  net::Connection* connection_;
  net::ConnectionUser* user_ = nullptr;  // once the terminal filter serves
  sdk::ConnectionInfo info_;
  std::unique_ptr<std::byte[]> filters_;
  std::vector<sdk::NetworkStream> handles_;
  size_t passed_ = 0;       // bytes at the front of the input that went through all filters already
  size_t resume_from_ = 0;  // filter that sees the rest next
  uint8_t paused_ = kNobody;
  bool resume_ = false;
  bool close_ = false;
  bool close_flush_ = false;
  bool closed_ = false;
};

}  // namespace gatehouse::chain
