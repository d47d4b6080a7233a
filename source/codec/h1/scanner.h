#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "source/buffer/buffer.h"
#include "source/codec/codec.h"
#include "source/http/head.h"

namespace gatehouse::codec::h1 {

// The strict reader of HTTP/1 heads, chunk lines and trailers (RFC 9112). It is ours because
// general parsers let through what two peers read differently: bare CR, obs-fold, blanks before the
// colon, several spaces in the request line. A lone LF is taken as a line end and never sent on,
// but not in chunked framing, where RFC 9112 allows only CRLF and parsers differ about what to
// skip. Every byte that is not allowed is an error; nothing is repaired.

// Length of a head or trailer section including its empty line; 0: not complete. `from` is where to
// go on looking, as returned through `next_from`.
size_t sectionLength(std::string_view bytes, size_t from, size_t* next_from);

enum class ScanError : uint8_t {
  kNone,
  kBadLine,  // request or status line
  kBadVersion,
  kBadField,  // a line that is no field, or its name
  kBadValue,
  kTooManyFields,
};

// How the body of a message is delimited.
struct Framing {
  enum Kind : uint8_t { kNone, kLength, kChunked, kUntilClose } kind = kNone;
  uint64_t length = 0;
};

// What the framing and connection fields of a head say.
struct FieldFacts {
  bool has_length = false;
  bool bad_length = false;  // unparsable, or more than one
  uint64_t length = 0;
  uint32_t transfer_encodings = 0;  // number of Transfer-Encoding lines
  bool chunked = false;             // exactly one, exactly "chunked"
  uint32_t hosts = 0;
  std::string_view host;
  bool connection_close = false;
  bool connection_keep_alive = false;
};

// Parses a complete request head into `head` (bytes copied to its arena once). `host` fields are
// counted in `facts` and not added.
ScanError parseRequest(std::string_view section, uint32_t max_fields, http::RequestHead& head,
                       FieldFacts& facts);
ScanError parseResponse(std::string_view section, uint32_t max_fields, http::ResponseHead& head,
                        FieldFacts& facts);
// Trailers; framing, routing and credential fields in them are dropped (RFC 9110 6.5.1).
ScanError parseTrailers(std::string_view section, uint32_t max_fields, http::HeaderMap& trailers);

// Reads one body out of a connection's input. Bytes are moved, never copied.
class BodyReader {
 public:
  enum class Result : uint8_t {
    kMore,      // needs more input
    kBlocked,   // input is there, credit is not
    kDone,      // ended without trailers
    kTrailers,  // ended; `trailers` filled
    kError,
  };
  static constexpr size_t kMaxExtensionBytes = 16 * 1024;  // of all chunk lines of a body
  static constexpr size_t kMaxTrailerBytes = 16 * 1024;

  void start(Framing framing);
  bool active() const { return state_ != State::kIdle; }
  bool untilClose() const { return state_ == State::kUntilClose; }
  // Moves body bytes to `out`, at most `credit` (which it lowers). Trailers are parsed into a map
  // made in `arena`.
  Result read(buffer::Buffer& in, uint32_t& credit, buffer::Buffer& out, memory::Arena& arena,
              uint32_t max_fields, http::HeaderMap** trailers);
  void stop() { state_ = State::kIdle; }

 private:
  enum class State : uint8_t {
    kIdle,
    kLength,
    kUntilClose,
    kChunkLine,
    kChunkData,
    kChunkEnd,
    kTrailers
  };
  Result readChunkLine(buffer::Buffer& in);

  State state_ = State::kIdle;
  uint32_t extension_bytes_ = 0;
  uint64_t left_ = 0;
};

}  // namespace gatehouse::codec::h1
