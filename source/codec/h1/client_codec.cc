#include "source/codec/h1/client_codec.h"

#include <algorithm>

#include "source/base/assert.h"
#include "source/http/chars.h"

namespace gatehouse::codec::h1 {

using http::HeaderId;

Ingest ClientCodec::fail(CodecEvents& events, const char* details) noexcept {
  keep_alive_ = false;
  body_.stop();
  Stream* stream = stream_;
  stream_ = nullptr;
  if (stream != nullptr && !response_done_)
    events.onAbort(*stream, Abort::kProtocol, {502, details});
  return {Ingest::kFatal, {502, details}};
}

void ClientCodec::finish() noexcept {
  response_done_ = true;
  if (request_sent_) {
    stream_ = nullptr;
  } else {
    keep_alive_ = false;  // the rest of the request will never be sent
  }
}

Ingest ClientCodec::ingest(buffer::Buffer& in, bool end, CodecEvents& events) noexcept {
  if (stream_ == nullptr || response_done_) {
    if (!in.empty()) {
      keep_alive_ = false;
      in.clear();
      return {Ingest::kFatal, {0, "unsolicited_bytes"}};
    }
    return {};
  }
  Stream& stream = *stream_;
  if (!head_read_) {
    bool complete = false;
    Ingest result = readHead(in, events, &complete);
    if (result.code == Ingest::kFatal) return result;
    if (!complete) {
      if (end && stream_ == &stream) {
        keep_alive_ = false;
        stream_ = nullptr;
        // Garbage before the end is a protocol error, nothing at all a lost connection.
        bool cut = !in.empty();
        in.clear();
        events.onAbort(stream, cut ? Abort::kProtocol : Abort::kConnectionLost, {});
      }
      return {};
    }
    if (stream_ != &stream || response_done_) {
      if (in.empty()) return {};
      keep_alive_ = false;
      in.clear();
      return {};
    }
  }
  buffer::Buffer piece;
  http::HeaderMap* trailers = nullptr;
  BodyReader::Result result =
      body_.read(in, stream.credit, piece, *stream.arena, options_->max_fields, &trailers);
  switch (result) {
    case BodyReader::Result::kMore:
      if (end) {
        keep_alive_ = false;
        bool complete = body_.untilClose();
        body_.stop();
        if (complete) {
          finish();
          events.onBody(stream, piece, true);
        } else {
          if (!piece.empty()) events.onBody(stream, piece, false);
          if (stream_ == &stream) {
            // As Envoy: a FIN in the middle of a message breaks the protocol.
            stream_ = nullptr;
            events.onAbort(stream, Abort::kProtocol, {});
          }
        }
      } else if (!piece.empty()) {
        events.onBody(stream, piece, false);
      }
      return {};
    case BodyReader::Result::kBlocked:
      if (!piece.empty()) events.onBody(stream, piece, false);
      return {Ingest::kBlocked, {}};
    case BodyReader::Result::kDone:
      if (!in.empty()) keep_alive_ = false;
      finish();
      events.onBody(stream, piece, true);
      return {};
    case BodyReader::Result::kTrailers:
      if (!in.empty()) keep_alive_ = false;
      finish();
      if (options_->enable_trailers && !trailers->empty()) {
        if (!piece.empty()) events.onBody(stream, piece, false);
        events.onTrailers(stream, *trailers);
      } else {
        events.onBody(stream, piece, true);
      }
      return {};
    case BodyReader::Result::kError:
      if (!piece.empty()) events.onBody(stream, piece, false);
      return stream_ == &stream ? fail(events, "http1.codec_error") : Ingest{Ingest::kFatal, {}};
  }
  return {};
}

Ingest ClientCodec::readHead(buffer::Buffer& in, CodecEvents& events, bool* complete) noexcept {
  Stream& stream = *stream_;
  for (;;) {
    if (in.empty()) return {};
    std::string_view view = in.front();
    size_t next = 0;
    size_t length = sectionLength(view, scanned_, &next);
    if (length == 0 && view.size() < in.length()) {
      // The head goes on in the next piece. A body that follows a complete head stays where it is.
      view = in.linearize(std::min<size_t>(in.length(), options_->max_head_bytes));
      length = sectionLength(view, scanned_, &next);
    }
    if (length == 0 ? view.size() >= options_->max_head_bytes : length > options_->max_head_bytes) {
      return fail(events, "http1.headers_too_large");
    }
    if (length == 0) {
      scanned_ = static_cast<uint32_t>(next);
      return {};
    }
    scanned_ = 0;
    http::ResponseHead& head = *events.responseHead(stream);
    FieldFacts facts;
    ScanError error = parseResponse(view.substr(0, length), options_->max_fields, head, facts);
    in.drain(length);
    if (error == ScanError::kTooManyFields) return fail(events, "http1.too_many_headers");
    if (error != ScanError::kNone || facts.hosts != 0) return fail(events, "http1.codec_error");
    if (head.status < 200) {
      // No upgrade was asked for, so 101 breaks the protocol; interim answers have no body.
      bool body = facts.transfer_encodings != 0 || facts.bad_length || facts.length != 0;
      if (head.status == 101 || body || ++interim_ > kMaxInterim) {
        return fail(events, "http1.codec_error");
      }
      events.onInterim(stream, head);
      if (stream_ != &stream) return {};
      continue;
    }
    if (facts.bad_length) return fail(events, "http1.content_length_not_allowed");
    Framing framing;
    bool bodiless = stream.head_request || head.status == 204 || head.status == 304;
    if (facts.transfer_encodings != 0) {
      if (facts.has_length || facts.transfer_encodings > 1 || !facts.chunked ||
          head.version == http::Version::kHttp10) {
        return fail(events, "http1.codec_error");
      }
      if (!bodiless) framing.kind = Framing::kChunked;
    } else if (!bodiless) {
      framing.kind = facts.has_length ? Framing::kLength : Framing::kUntilClose;
      framing.length = facts.length;
    }
    keep_alive_ = keep_alive_ && framing.kind != Framing::kUntilClose &&
                  (head.version == http::Version::kHttp10
                       ? facts.connection_keep_alive && !facts.connection_close
                       : !facts.connection_close);
    head.keep_alive = !facts.connection_close;
    head_read_ = true;
    *complete = true;
    body_.start(framing);
    bool done = !body_.active();
    if (done) {
      if (!in.empty()) keep_alive_ = false;
      finish();
    }
    events.onResponseHead(stream, head, done);
    return {};
  }
}

void ClientCodec::sendRequestHead(Stream& stream, const http::RequestHead& head,
                                  bool end) noexcept {
  GATEHOUSE_ASSERT(stream_ == nullptr);
  stream_ = &stream;
  head_read_ = response_done_ = false;
  interim_ = 0;
  scanned_ = 0;
  request_sent_ = end;
  stream.head_request = head.method_id == http::Method::kHead;
  HeadExtras extras;
  extras.proper_case = options_->proper_case;
  style_ = BodyStyle::kNone;
  if (head.headers.has(HeaderId::kContentLength)) {
    style_ = BodyStyle::kLength;
  } else if (!end) {
    style_ = BodyStyle::kChunked;
    extras.add_chunked = true;
  } else {
    switch (head.method_id) {
      case http::Method::kGet:
      case http::Method::kHead:
      case http::Method::kDelete:
      case http::Method::kTrace:
      case http::Method::kConnect:
        break;
      default:
        extras.add_zero_length = true;
    }
  }
  writeRequestHead(out_, head, extras);
}

void ClientCodec::sendInterim(Stream&, const http::ResponseHead&) noexcept {
  GATEHOUSE_ASSERT(false);
}
void ClientCodec::sendResponseHead(Stream&, const http::ResponseHead&, bool) noexcept {
  GATEHOUSE_ASSERT(false);
}

void ClientCodec::sendBody(Stream& stream, buffer::Buffer& take, bool end) noexcept {
  if (stream_ != &stream || request_sent_) {
    take.clear();
    return;
  }
  if (style_ == BodyStyle::kChunked) {
    writeChunk(out_, take);
    if (end) writeLastChunk(out_, nullptr, false);
  } else {
    out_.take(take);
  }
  if (end) request_sent_ = true;
}

void ClientCodec::sendTrailers(Stream& stream, const http::HeaderMap& trailers) noexcept {
  if (stream_ != &stream || request_sent_) return;
  if (style_ == BodyStyle::kChunked) {
    writeLastChunk(out_, options_->enable_trailers ? &trailers : nullptr, options_->proper_case);
  }
  request_sent_ = true;
}

void ClientCodec::abort(Stream& stream, Abort) noexcept {
  if (stream_ != &stream) return;
  stream_ = nullptr;
  keep_alive_ = false;
  body_.stop();
}

size_t ClientCodec::produce(buffer::Buffer& out, size_t room) noexcept {
  return moveOutput(out_, out, room);
}

}  // namespace gatehouse::codec::h1
