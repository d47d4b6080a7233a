#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

#include "source/buffer/buffer.h"
#include "source/event/timer_wheel.h"
#include "source/sdk/http_stream.h"

namespace gatehouse::chain {
class NetworkEngine;
}

namespace gatehouse::sdk {

// What a network filter sees of its connection: one handle per filter, valid as long as the filter.
// The connection's worker only.
class NetworkStream {
 public:
  NetworkStream(chain::NetworkEngine& engine, uint8_t index) : engine_(engine), index_(index) {}

  const ConnectionInfo& info() const;
  // Ends this filter's pause. Idempotent, legal anywhere but inside a hook of another filter.
  void resume();
  // Closes the connection: at once, or after what is pending was written.
  void close(bool flush);

 private:
  chain::NetworkEngine& engine_;
  uint8_t index_;
};

// A network filter that does not end its chain is a plain class constructed per connection as
// F(const Config&, NetworkStream&), destroyed with it, which declares only the hooks it wants, all
// noexcept:
//   Step onConnection();                       // before the next filter hears of the connection
//   Step onData(buffer::Buffer& in, bool end); // from the client; what is left of `in` goes on
//   void onWrite(buffer::Buffer& out);         // to the client; may edit
//   void onClose();                            // once, the last call
// kPause keeps the connection or the bytes here until resume(); after a pause onData is called
// again with the same bytes. Filters run first to last for data, last to first for writes. A chain
// without such filters costs nothing.
struct NetworkFilterType {
  size_t size = 0;
  size_t align = 1;
  void (*construct)(void* at, const void* config, NetworkStream& stream) = nullptr;
  void (*destroy)(void* filter) noexcept = nullptr;
  Step (*on_connection)(void*) noexcept = nullptr;
  Step (*on_data)(void*, buffer::Buffer&, bool) noexcept = nullptr;
  void (*on_write)(void*, buffer::Buffer&) noexcept = nullptr;
  void (*on_close)(void*) noexcept = nullptr;
};

// The hook table of F over the compiled configuration C.
template <class F, class C>
constexpr NetworkFilterType networkFilterType() {
  static_assert(std::is_constructible_v<F, const C&, NetworkStream&>,
                "a filter is constructed from its configuration and its connection");
  NetworkFilterType t;
  t.size = sizeof(F);
  t.align = alignof(F);
  t.construct = [](void* at, const void* config, NetworkStream& stream) {
    ::new (at) F(*static_cast<const C*>(config), stream);
  };
  t.destroy = [](void* f) noexcept { static_cast<F*>(f)->~F(); };
  if constexpr (requires(F & f) {
                  { f.onConnection() }
                  noexcept->std::same_as<Step>;
                }) {
    t.on_connection = [](void* f) noexcept { return static_cast<F*>(f)->onConnection(); };
  }
  if constexpr (requires(F & f, buffer::Buffer & b) {
                  { f.onData(b, true) }
                  noexcept->std::same_as<Step>;
                }) {
    t.on_data = [](void* f, buffer::Buffer& in, bool end) noexcept {
      return static_cast<F*>(f)->onData(in, end);
    };
  }
  if constexpr (requires(F & f, buffer::Buffer & b) {
                  { f.onWrite(b) }
                  noexcept->std::same_as<void>;
                }) {
    t.on_write = [](void* f, buffer::Buffer& out) noexcept { static_cast<F*>(f)->onWrite(out); };
  }
  if constexpr (requires(F & f) {
                  { f.onClose() }
                  noexcept->std::same_as<void>;
                }) {
    t.on_close = [](void* f) noexcept { static_cast<F*>(f)->onClose(); };
  }
  return t;
}

// One configured filter of a network chain: hook table and compiled configuration, shared by all
// connections.
struct NetworkFilterPlan {
  NetworkFilterType type;
  std::shared_ptr<const void> config;
};

}  // namespace gatehouse::sdk
