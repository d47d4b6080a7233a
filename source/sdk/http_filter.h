#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

#include "source/sdk/http_stream.h"

namespace gatehouse::sdk {

// An HTTP filter is a plain class constructed per stream as F(const Config&, HttpStream&),
// destroyed with the stream, which declares only the hooks it wants, all noexcept:
//   Step requestHead(http::RequestHead&, bool end);   Step requestBody(BodyIo&);   Step
//   requestTrailers(http::HeaderMap&); void interim(http::ResponseHead&); Step
//   responseHead(http::ResponseHead&, bool end); Step responseBody(BodyIo&);  Step
//   responseTrailers(http::HeaderMap&); void responseRoom(uint32_t bytes);   // only for filters
//   that respond*() themselves: the lane takes that many more bytes void onReplaced(); // somebody
//   else answers (a local reply): stop sourcing the response void onEnd(EndReason); // exactly
//   once, before the access log; no hook after it
// Response hooks run last filter to first and may run without the request hook (a reply by an
// earlier filter). A head-only filter costs nothing on bodies: the plan has one dense list per
// hook.
struct HttpFilterType {
  size_t size = 0;
  size_t align = 1;
  void (*construct)(void* at, const void* config, HttpStream& stream) = nullptr;
  void (*destroy)(void* filter) noexcept = nullptr;  // null when trivial
  Step (*request_head)(void*, http::RequestHead&, bool) noexcept = nullptr;
  Step (*request_body)(void*, BodyIo&) noexcept = nullptr;
  Step (*request_trailers)(void*, http::HeaderMap&) noexcept = nullptr;
  void (*interim)(void*, http::ResponseHead&) noexcept = nullptr;
  Step (*response_head)(void*, http::ResponseHead&, bool) noexcept = nullptr;
  Step (*response_body)(void*, BodyIo&) noexcept = nullptr;
  Step (*response_trailers)(void*, http::HeaderMap&) noexcept = nullptr;
  void (*response_room)(void*, uint32_t) noexcept = nullptr;
  void (*on_replaced)(void*) noexcept = nullptr;
  void (*on_end)(void*, EndReason) noexcept = nullptr;
};

// The hook table of F over the compiled configuration C.
template <class F, class C>
constexpr HttpFilterType httpFilterType() {
  static_assert(std::is_constructible_v<F, const C&, HttpStream&>,
                "a filter is constructed from its configuration and its stream");
  HttpFilterType t;
  t.size = sizeof(F);
  t.align = alignof(F);
  t.construct = [](void* at, const void* config, HttpStream& stream) {
    ::new (at) F(*static_cast<const C*>(config), stream);
  };
  if constexpr (!std::is_trivially_destructible_v<F>) {
    t.destroy = [](void* f) noexcept { static_cast<F*>(f)->~F(); };
  }
  if constexpr (requires(F & f, http::RequestHead & h) {
                  { f.requestHead(h, true) }
                  noexcept->std::same_as<Step>;
                }) {
    t.request_head = [](void* f, http::RequestHead& h, bool end) noexcept {
      return static_cast<F*>(f)->requestHead(h, end);
    };
  }
  if constexpr (requires(F & f, BodyIo & io) {
                  { f.requestBody(io) }
                  noexcept->std::same_as<Step>;
                }) {
    t.request_body = [](void* f, BodyIo& io) noexcept {
      return static_cast<F*>(f)->requestBody(io);
    };
  }
  if constexpr (requires(F & f, http::HeaderMap & m) {
                  { f.requestTrailers(m) }
                  noexcept->std::same_as<Step>;
                }) {
    t.request_trailers = [](void* f, http::HeaderMap& m) noexcept {
      return static_cast<F*>(f)->requestTrailers(m);
    };
  }
  if constexpr (requires(F & f, http::ResponseHead & h) {
                  { f.interim(h) }
                  noexcept->std::same_as<void>;
                }) {
    t.interim = [](void* f, http::ResponseHead& h) noexcept { static_cast<F*>(f)->interim(h); };
  }
  if constexpr (requires(F & f, http::ResponseHead & h) {
                  { f.responseHead(h, true) }
                  noexcept->std::same_as<Step>;
                }) {
    t.response_head = [](void* f, http::ResponseHead& h, bool end) noexcept {
      return static_cast<F*>(f)->responseHead(h, end);
    };
  }
  if constexpr (requires(F & f, BodyIo & io) {
                  { f.responseBody(io) }
                  noexcept->std::same_as<Step>;
                }) {
    t.response_body = [](void* f, BodyIo& io) noexcept {
      return static_cast<F*>(f)->responseBody(io);
    };
  }
  if constexpr (requires(F & f, http::HeaderMap & m) {
                  { f.responseTrailers(m) }
                  noexcept->std::same_as<Step>;
                }) {
    t.response_trailers = [](void* f, http::HeaderMap& m) noexcept {
      return static_cast<F*>(f)->responseTrailers(m);
    };
  }
  if constexpr (requires(F & f) {
                  { f.responseRoom(0u) }
                  noexcept->std::same_as<void>;
                }) {
    t.response_room = [](void* f, uint32_t n) noexcept { static_cast<F*>(f)->responseRoom(n); };
  }
  if constexpr (requires(F & f) {
                  { f.onReplaced() }
                  noexcept->std::same_as<void>;
                }) {
    t.on_replaced = [](void* f) noexcept { static_cast<F*>(f)->onReplaced(); };
  }
  if constexpr (requires(F & f) {
                  { f.onEnd(EndReason::kComplete) }
                  noexcept->std::same_as<void>;
                }) {
    t.on_end = [](void* f, EndReason why) noexcept { static_cast<F*>(f)->onEnd(why); };
  }
  static_assert(
      !requires(F & f, http::RequestHead & h) { f.requestHead(h, true); } ||
          requires(F & f, http::RequestHead & h) {
            { f.requestHead(h, true) }
            noexcept;
          },
      "hooks are noexcept");
  return t;
}

// Stands in a route's array of filter configurations for a filter that is off on that route.
inline constexpr char kFilterOff = 0;

// One configured filter of a chain: its hook table and its compiled configuration, shared by all
// streams.
struct HttpFilterPlan {
  HttpFilterType type;
  std::shared_ptr<const void> config;
  bool terminal = false;  // ends the chain (the router)
  bool disabled = false;  // off unless the route turns it on
};

}  // namespace gatehouse::sdk
