// envoy.filters.network.connection_limit: at most so many connections of a filter chain at a time,
// of all workers together; further ones are closed, at once or after a delay.
#include <atomic>
#include <chrono>

#include <google/protobuf/duration.pb.h>

#include "api/envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb.h"
#include "source/config/registry.h"
#include "source/sdk/factory.h"
#include "source/stats/stats.h"

namespace gatehouse::extensions::connection_limit {

namespace {

struct Config {
  uint64_t limit = 0;
  event::Millis delay{0};
  // One number for all workers: connections are rare enough for a shared line.
  mutable std::atomic<uint64_t> active{0};
  mutable stats::Counter limited;
  mutable stats::Gauge active_connections;
};

class Filter {
 public:
  Filter(const Config& config, sdk::NetworkStream& stream) : config_(config), stream_(stream) {}

  sdk::Step onConnection() noexcept {
    counted_ = config_.active.fetch_add(1, std::memory_order_relaxed) < config_.limit;
    if (counted_) {
      config_.active_connections.add(1);
      return sdk::Step::kContinue;
    }
    config_.active.fetch_sub(1, std::memory_order_relaxed);
    config_.limited.inc();
    if (config_.delay.count() == 0) {
      stream_.close(false);
    } else {
      delay_.arm(
          config_.delay,
          [](void* self) noexcept { static_cast<Filter*>(self)->stream_.close(false); }, this);
    }
    return sdk::Step::kPause;
  }

  void onClose() noexcept {
    delay_.cancel();
    if (!counted_) return;
    config_.active.fetch_sub(1, std::memory_order_relaxed);
    config_.active_connections.add(-1);
  }

 private:
  const Config& config_;
  sdk::NetworkStream& stream_;
  event::Timer delay_;
  bool counted_ = false;
};

using Message = envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit;

class Factory final : public sdk::NetworkFilterFactory {
 public:
  std::string_view name() const override { return "envoy.filters.network.connection_limit"; }
  std::string_view configType() const override {
    return "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
  }
  absl::StatusOr<sdk::NetworkFilterPlan> compile(const google::protobuf::Message& message,
                                                 sdk::FactoryContext& context) override {
    Message proto;
    proto.CopyFrom(message);
    if (!proto.has_max_connections())
      return absl::InvalidArgumentError("max_connections: the field is required");
    auto config = std::make_shared<Config>();
    config->limit = proto.max_connections().value();
    config->delay =
        event::Millis(proto.delay().seconds() * 1000 + proto.delay().nanos() / 1'000'000);
    auto scope = context.stats.scope("connection_limit." + proto.stat_prefix() + ".");
    config->limited = scope->counter("limited_connections");
    config->active_connections = scope->gauge("active_connections");
    return sdk::NetworkFilterPlan{sdk::networkFilterType<Filter, Config>(), std::move(config)};
  }
};

GATEHOUSE_REGISTER(sdk::NetworkFilterFactory, Factory);

}  // namespace

}  // namespace gatehouse::extensions::connection_limit
