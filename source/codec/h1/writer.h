#pragma once

#include <cstdint>
#include <string_view>

#include "source/buffer/buffer.h"
#include "source/http/head.h"

namespace gatehouse::codec::h1 {

// How a message's body leaves.
enum class BodyStyle : uint8_t { kNone, kLength, kChunked, kUntilClose };

struct HeadExtras {
  bool add_zero_length = false;  // content-length: 0
  bool add_chunked = false;      // transfer-encoding: chunked
  std::string_view connection;   // "close" or "keep-alive", empty: none
  bool proper_case = false;      // "Content-Type"
  bool http10 = false;           // version of a status line
};

// Appends a whole head in one piece.
void writeRequestHead(buffer::Buffer& out, const http::RequestHead& head, const HeadExtras& extras);
void writeResponseHead(buffer::Buffer& out, const http::ResponseHead& head,
                       const HeadExtras& extras);
// Appends "size CRLF bytes CRLF"; takes the bytes.
void writeChunk(buffer::Buffer& out, buffer::Buffer& bytes);
// Moves up to about `room` bytes (never leaving a rest of less than 4 KiB behind). Returns how
// many.
size_t moveOutput(buffer::Buffer& from, buffer::Buffer& to, size_t room);
// Appends the last chunk with its trailers (null: none).
void writeLastChunk(buffer::Buffer& out, const http::HeaderMap* trailers, bool proper_case);

}  // namespace gatehouse::codec::h1
