#include "source/codec/h1/server_codec.h"

#include <algorithm>

#include "source/base/assert.h"
#include "source/http/chars.h"
#include "source/http/path.h"

namespace gatehouse::codec::h1 {

using http::HeaderId;

Ingest ServerCodec::fail(uint16_t status, const char* details) noexcept {
  failed_ = true;
  close_after_ = true;
  request_done_ = true;
  body_.stop();
  return {Ingest::kFatal, {status, details}};
}

Stream* ServerCodec::openForError(CodecEvents& events) noexcept {
  if (stream_ == nullptr) {
    stream_ = events.onStream(++next_id_);
    response_started_ = response_done_ = false;
    head_method_ = false;
    keep_alive_ = false;
  }
  failed_ = true;
  close_after_ = true;
  request_done_ = true;
  return stream_;
}

Ingest ServerCodec::ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept {
  for (;;) {
    if (failed_ || aborted_) {
      in.clear();
      return {};
    }
    if (stream_ == nullptr) {
      if (close_after_) {
        in.clear();
        return {};
      }
      uint64_t before = next_id_;
      Ingest result = readHead(in, events);
      if (result.code != Ingest::kMore) return result;
      if (stream_ == nullptr) {
        // Either the head is not complete, or its request was answered from inside and the next may
        // follow.
        if (next_id_ == before || in.empty()) return result;
        continue;
      }
    }
    if (!request_done_) {
      Stream& stream = *stream_;
      buffer::Buffer piece;
      http::HeaderMap* trailers = nullptr;
      BodyReader::Result result =
          body_.read(in, stream.credit, piece, *stream.arena, options_->max_fields, &trailers);
      switch (result) {
        case BodyReader::Result::kMore:
          if (!piece.empty()) events.onBody(stream, piece, false);
          if (end && stream_ == &stream && !request_done_) {
            request_done_ = true;
            close_after_ = true;
            events.onAbort(stream, Abort::kConnectionLost, {});
          }
          return {};
        case BodyReader::Result::kBlocked:
          if (!piece.empty()) events.onBody(stream, piece, false);
          return {Ingest::kBlocked, {}};
        case BodyReader::Result::kDone:
          request_done_ = true;
          events.onBody(stream, piece, true);
          break;
        case BodyReader::Result::kTrailers:
          request_done_ = true;
          if (options_->enable_trailers && !trailers->empty()) {
            if (!piece.empty()) events.onBody(stream, piece, false);
            events.onTrailers(stream, *trailers);
          } else {
            events.onBody(stream, piece, true);
          }
          break;
        case BodyReader::Result::kError:
          if (!piece.empty()) events.onBody(stream, piece, false);
          return fail(400, "http1.codec_error");
      }
      maybeFinish();
    }
    // One request at a time: the next one waits for the response.
    if (stream_ != nullptr) return {in.empty() ? Ingest::kMore : Ingest::kBlocked, {}};
    if (in.empty()) return {};
  }
}

Ingest ServerCodec::readHead(buffer::Buffer& in, CodecEvents& events) noexcept {
  // Empty lines before a request line are skipped (RFC 9112 2.2).
  while (!in.empty() && scanned_ == 0) {
    std::string_view front = in.front();
    if (front.starts_with("\r\n")) {
      in.drain(2);
    } else if (front.front() == '\n') {
      in.drain(1);
    } else if (front == "\r" && in.length() > 1) {
      in.linearize(2);
      if (!in.front().starts_with("\r\n")) break;
    } else if (front == "\r") {
      return {};
    } else {
      break;
    }
  }
  if (in.empty()) return {};
  head_started_ = true;
  std::string_view view = in.front();
  size_t next = 0;
  size_t length = sectionLength(view, scanned_, &next);
  if (length == 0 && view.size() < in.length()) {
    // The head goes on in the next piece. A body that follows a complete head stays where it is.
    view = in.linearize(std::min<size_t>(in.length(), options_->max_head_bytes));
    length = sectionLength(view, scanned_, &next);
  }
  if (length == 0 ? view.size() >= options_->max_head_bytes : length > options_->max_head_bytes) {
    openForError(events);
    return fail(431, "http1.headers_too_large");
  }
  if (length == 0) {
    scanned_ = static_cast<uint32_t>(next);
    return {};
  }
  scanned_ = 0;
  head_started_ = false;
  Stream* stream = events.onStream(++next_id_);
  if (stream == nullptr) return fail(503, "overload");
  stream_ = stream;
  stream->id = next_id_;
  request_done_ = response_started_ = response_done_ = false;
  http::RequestHead& head = *events.requestHead(*stream);
  FieldFacts facts;
  ScanError error = parseRequest(view.substr(0, length), options_->max_fields, head, facts);
  in.drain(length);
  head_method_ = head.method_id == http::Method::kHead;
  http10_ = head.version == http::Version::kHttp10;
  keep_alive_ = false;
  switch (error) {
    case ScanError::kNone:
      break;
    case ScanError::kTooManyFields:
      return fail(431, "http1.too_many_headers");
    case ScanError::kBadVersion:
      return fail(426, "low_version");
    case ScanError::kBadValue:
      return fail(400, "http1.invalid_characters");
    default:
      return fail(400, "http1.codec_error");
  }
  Framing framing;
  CodecError bad = checkHead(head, facts, &framing);
  if (bad.status != 0) return fail(bad.status, bad.details);
  keep_alive_ =
      http10_ ? facts.connection_keep_alive && !facts.connection_close : !facts.connection_close;
  head.keep_alive = keep_alive_;
  body_.start(framing);
  request_done_ = !body_.active();
  events.onRequestHead(*stream, head, request_done_);
  maybeFinish();
  return {};
}

CodecError ServerCodec::checkHead(http::RequestHead& head, const FieldFacts& facts,
                                  Framing* framing) noexcept {
  constexpr CodecError kBad{400, "http1.codec_error"};
  if (http10_ && !options_->accept_http_10) return {426, "low_version"};
  if (facts.hosts > 1) return kBad;
  if (facts.bad_length) return kBad;
  if (facts.transfer_encodings != 0) {
    // Two framings, a list, or one in HTTP/1.0: what two parsers could read differently is refused.
    if (facts.has_length) return {400, "http1.content_length_and_chunked_not_allowed"};
    if (http10_ || facts.transfer_encodings > 1) return kBad;
    if (!facts.chunked) return {501, "http1.invalid_transfer_encoding"};
    framing->kind = Framing::kChunked;
  } else if (facts.has_length) {
    framing->kind = Framing::kLength;
    framing->length = facts.length;
  }
  head.authority = facts.host;
  std::string_view target = head.path;
  if (head.method_id == http::Method::kConnect) {
    std::string_view host, port;
    if (!http::splitAuthority(target, &host, &port) || port.empty() ||
        framing->kind != Framing::kNone)
      return kBad;
    head.authority = target;
    head.path = {};
    return {};
  }
  if (target.front() == '/') return {};
  if (target == "*") return head.method_id == http::Method::kOptions ? CodecError{} : kBad;
  size_t scheme = target.find("://");
  if (scheme == target.npos || !options_->allow_absolute_url) return kBad;
  std::string_view name = target.substr(0, scheme);
  if (!http::equalsIgnoreCase(name, "http") && !http::equalsIgnoreCase(name, "https")) return kBad;
  target.remove_prefix(scheme + 3);
  size_t slash = std::min(target.find_first_of("/?"), target.size());
  std::string_view host, port;
  if (!http::splitAuthority(target.substr(0, slash), &host, &port)) return kBad;
  head.absolute_form = true;
  head.scheme = name.size() == 4 ? "http" : "https";
  head.authority = target.substr(0, slash);
  std::string_view path = target.substr(slash);
  if (path.empty()) {
    head.path = head.method_id == http::Method::kOptions ? "*" : "/";
  } else if (path.front() == '?') {
    auto* text = head.headers.arena().allocateArray<char>(path.size() + 1);
    text[0] = '/';
    std::copy(path.begin(), path.end(), text + 1);
    head.path = {text, path.size() + 1};
  } else {
    head.path = path;
  }
  return {};
}

void ServerCodec::sendRequestHead(Stream&, const http::RequestHead&, bool) noexcept {
  GATEHOUSE_ASSERT(false);
}

void ServerCodec::sendInterim(Stream&, const http::ResponseHead& head) noexcept {
  if (http10_ || response_started_) return;
  HeadExtras extras;
  extras.proper_case = options_->proper_case;
  writeResponseHead(out_, head, extras);
}

void ServerCodec::sendResponseHead(Stream& stream, const http::ResponseHead& head,
                                   bool end) noexcept {
  GATEHOUSE_ASSERT(&stream == stream_ && !response_started_);
  response_started_ = true;
  bool bodiless = head_method_ || head.status == 204 || head.status == 304;
  bool has_length = head.headers.has(HeaderId::kContentLength);
  HeadExtras extras;
  extras.proper_case = options_->proper_case;
  extras.http10 = http10_ && options_->accept_http_10;
  style_ = BodyStyle::kNone;
  if (!bodiless) {
    if (has_length) {
      style_ = BodyStyle::kLength;
    } else if (end) {
      extras.add_zero_length = true;
    } else if (http10_) {
      style_ = BodyStyle::kUntilClose;
      keep_alive_ = false;
    } else {
      style_ = BodyStyle::kChunked;
      extras.add_chunked = true;
    }
  }
  if (!head.keep_alive || !keep_alive_) close_after_ = true;
  if (close_after_) {
    extras.connection = "close";
  } else if (http10_) {
    extras.connection = "keep-alive";
  }
  writeResponseHead(out_, head, extras);
  if (end) {
    response_done_ = true;
    maybeFinish();
  }
}

void ServerCodec::sendBody(Stream& stream, buffer::Buffer& take, bool end) noexcept {
  GATEHOUSE_ASSERT(&stream == stream_ && response_started_ && !response_done_);
  switch (style_) {
    case BodyStyle::kNone:
      take.clear();
      break;
    case BodyStyle::kChunked:
      writeChunk(out_, take);
      if (end) writeLastChunk(out_, nullptr, false);
      break;
    case BodyStyle::kLength:
    case BodyStyle::kUntilClose:
      out_.take(take);
      break;
  }
  if (end) {
    response_done_ = true;
    maybeFinish();
  }
}

void ServerCodec::sendTrailers(Stream&, const http::HeaderMap& trailers) noexcept {
  if (style_ == BodyStyle::kChunked) {
    writeLastChunk(out_, options_->enable_trailers ? &trailers : nullptr, options_->proper_case);
  }
  response_done_ = true;
  maybeFinish();
}

void ServerCodec::abort(Stream& stream, Abort) noexcept {
  if (&stream != stream_) return;
  // Nothing marks an HTTP/1 message as broken but the end of its connection.
  aborted_ = close_after_ = true;
  stream_ = nullptr;
  body_.stop();
}

void ServerCodec::grant(Stream& stream, uint32_t bytes) noexcept { stream.credit = bytes; }

size_t ServerCodec::queued(const Stream&) const noexcept { return out_.length(); }

size_t ServerCodec::produce(buffer::Buffer& out, size_t room) noexcept {
  return moveOutput(out_, out, room);
}

void ServerCodec::maybeFinish() noexcept {
  // The stream stays current until both halves ended: an early answer waits here for the rest of
  // its request or for the close.
  if (request_done_ && response_done_) stream_ = nullptr;
}

}  // namespace gatehouse::codec::h1
