#include "source/codec/h2/h2_codec.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <vector>

#include "source/base/assert.h"
#include "source/memory/slab.h"

namespace gatehouse::codec::h2 {

using http::HeaderId;

Stats::Stats(stats::Scope& s)
    : rx_reset(s.counter("rx_reset")),
      tx_reset(s.counter("tx_reset")),
      rx_messaging_error(s.counter("rx_messaging_error")),
      header_overflow(s.counter("header_overflow")),
      header_list_size_too_large(s.counter("header_list_size_too_large")),
      trailers(s.counter("trailers")),
      goaway_sent(s.counter("goaway_sent")),
      inbound_empty_frames_flood(s.counter("inbound_empty_frames_flood")),
      inbound_priority_frames_flood(s.counter("inbound_priority_frames_flood")),
      inbound_window_update_frames_flood(s.counter("inbound_window_update_frames_flood")),
      outbound_flood(s.counter("outbound_flood")),
      outbound_control_flood(s.counter("outbound_control_flood")),
      keepalive_timeout(s.counter("keepalive_timeout")),
      stream_refused_errors(s.counter("stream_refused_errors")),
      streams_active(s.gauge("streams_active")) {}

namespace {

constexpr size_t kPreface = 24;
constexpr int kMaxInterims = 100;
constexpr uint32_t kLeastWindow = 65535;
constexpr uint32_t kNoLimit = 0x7fffffff;
// Smaller steps of a window are only announced when the peer could not send at all.
constexpr uint32_t kLeastUpdate = 8192;

// nghttp2 allocates per stream and frame: from the slabs, with the size in front.
struct alignas(16) Sized {
  size_t size;
};

void* allocate(size_t size, void*) {
  auto* at = static_cast<Sized*>(memory::slabAllocate(size + sizeof(Sized)));
  at->size = size;
  return at + 1;
}

void release(void* what, void*) {
  if (what == nullptr) return;
  Sized* at = static_cast<Sized*>(what) - 1;
  memory::slabRelease(at, at->size + sizeof(Sized));
}

void* allocateZeroed(size_t count, size_t size, void*) {
  void* at = allocate(count * size, nullptr);
  std::memset(at, 0, count * size);
  return at;
}

void* reallocate(void* what, size_t size, void*) {
  void* to = allocate(size, nullptr);
  if (what != nullptr) {
    std::memcpy(to, what, std::min(size, (static_cast<Sized*>(what) - 1)->size));
    release(what, nullptr);
  }
  return to;
}

Abort abortOf(uint32_t error) {
  switch (static_cast<ErrorCode>(error)) {
    case ErrorCode::kRefused:
      return Abort::kPeerRefused;
    default:
      return Abort::kPeerReset;
  }
}

ErrorCode codeOf(Abort why) {
  switch (why) {
    case Abort::kNoError:
      return ErrorCode::kNoError;
    case Abort::kRefused:
    case Abort::kPeerRefused:
      return ErrorCode::kRefused;
    case Abort::kProtocol:
      return ErrorCode::kProtocol;
    case Abort::kInternal:
      return ErrorCode::kInternal;
    case Abort::kConnectionLost:
    case Abort::kConnectionReset:
      return ErrorCode::kInternal;
    case Abort::kOverload:
      return ErrorCode::kEnhanceYourCalm;
    default:
      return ErrorCode::kCancel;
  }
}

nghttp2_nv pair(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

// The fields of a head for nghttp2, on the stack unless there are very many.
class Fields {
 public:
  void add(std::string_view name, std::string_view value) {
    if (count_ < kInline) {
      inline_[count_++] = pair(name, value);
      return;
    }
    if (more_.empty()) more_.assign(inline_, inline_ + kInline);
    more_.push_back(pair(name, value));
  }
  void add(const http::HeaderMap& headers) {
    headers.forEach([this](const http::HeaderField& f) { add(f.nameView(), f.valueView()); });
  }
  const nghttp2_nv* data() const { return more_.empty() ? inline_ : more_.data(); }
  size_t size() const { return more_.empty() ? count_ : more_.size(); }

 private:
  static constexpr size_t kInline = 96;
  nghttp2_nv inline_[kInline];
  size_t count_ = 0;
  std::vector<nghttp2_nv> more_;
};

std::string_view view(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// RFC 9113 8.2.3: crumbs of a cookie are one field for everybody but HTTP/2.
void joinCookies(http::HeaderMap& headers) {
  size_t size = 0;
  headers.forEach([&](const http::HeaderField& f) {
    if (f.id == HeaderId::kCookie) size += f.value_len + 2;
  });
  char* text = headers.arena().allocateArray<char>(size);
  size_t at = 0;
  headers.forEach([&](const http::HeaderField& f) {
    if (f.id != HeaderId::kCookie) return;
    if (at != 0) at += std::string_view("; ").copy(text + at, 2);
    at += f.valueView().copy(text + at, f.value_len);
  });
  headers.set(HeaderId::kCookie, {text, at});
}

}  // namespace

// nghttp2's callbacks; user data is the codec.
struct Callbacks {
  static CodecStream* find(nghttp2_session* session, int32_t id) {
    return static_cast<CodecStream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static H2Codec& self(void* user) { return *static_cast<H2Codec*>(user); }

  static int beginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Codec& codec = self(user);
    CodecStream* stream = find(session, frame->hd.stream_id);
    if (codec.role_ == H2Codec::Role::kServer && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      return codec.events_ == nullptr ? 0 : beginRequest(codec, session, frame->hd.stream_id);
    }
    if (stream == nullptr || stream->user == nullptr) return 0;
    stream->head_bytes = stream->fields = 0;
    if (stream->head_done) {
      stream->trailers = stream->user->arena->make<http::HeaderMap>(*stream->user->arena);
    } else {
      stream->response = codec.events_->responseHead(*stream->user);
      stream->response->version = http::Version::kHttp2;
    }
    return 0;
  }

  static int beginRequest(H2Codec& codec, nghttp2_session* session, int32_t id) {
    bool full = codec.open_ >= codec.options_.max_concurrent_streams;
    Stream* user =
        codec.going_away_ || full ? nullptr : codec.events_->onStream(static_cast<uint64_t>(id));
    if (user == nullptr) {
      if (full) codec.options_.stats->stream_refused_errors.inc();
      codec.guard_.closed(static_cast<uint32_t>(id), true);
      codec.options_.stats->tx_reset.inc();
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    auto* stream = new CodecStream();
    stream->user = user;
    stream->codec = &codec;
    stream->id = id;
    stream->window = codec.stream_window_;
    user->codec_half = stream;
    user->id = static_cast<uint64_t>(id);
    stream->request = codec.events_->requestHead(*user);
    stream->request->version = http::Version::kHttp2;
    codec.added(*stream);
    nghttp2_session_set_stream_user_data(session, id, stream);
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                    void* user) {
    CodecStream* stream = find(session, frame->hd.stream_id);
    if (stream == nullptr || stream->user == nullptr || stream->bad_head) return 0;
    H2Codec& codec = self(user);
    stream->head_bytes += static_cast<uint32_t>(name_length + value_length);
    bool too_many = ++stream->fields > codec.options_.max_fields;
    if (too_many || stream->head_bytes > codec.options_.max_head_bytes) {
      (too_many ? codec.options_.stats->header_overflow
                : codec.options_.stats->header_list_size_too_large)
          .inc();
      stream->details = too_many ? "http2.too_many_headers" : "http2.header_list_size_too_large";
      stream->bad_head = true;
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    addField(*stream, view(name, name_length), view(value, value_length));
    return 0;
  }

  static void addField(CodecStream& stream, std::string_view name, std::string_view value) {
    memory::Arena& arena = *stream.user->arena;
    if (stream.trailers != nullptr) {
      stream.trailers->addCopy(name, value);
      return;
    }
    if (stream.request != nullptr && name.front() == ':') {
      http::RequestHead& head = *stream.request;
      if (name == ":method") {
        head.setMethod(arena.copy(value));
      } else if (name == ":path") {
        head.path = arena.copy(value);
      } else if (name == ":authority") {
        head.authority = arena.copy(value);
        if (head.authority.data() == nullptr) head.authority = "";
      } else if (name == ":scheme") {
        head.scheme = arena.copy(value);
      }
      return;
    }
    if (stream.response != nullptr && name.front() == ':') {
      std::from_chars(value.data(), value.data() + value.size(), stream.response->status);
      return;
    }
    http::HeaderMap& headers =
        stream.request != nullptr ? stream.request->headers : stream.response->headers;
    if (stream.request != nullptr && name == "host") {
      if (stream.request->authority.data() == nullptr)
        stream.request->authority = arena.copy(value);
      return;
    }
    if (name == "cookie") ++stream.cookies;
    headers.addCopy(name, value);
  }

  static int invalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                           const uint8_t*, size_t, uint8_t, void*) {
    // Without this nghttp2 drops the field and goes on with the rest.
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int dataChunk(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data,
                       size_t size, void* user) {
    H2Codec& codec = self(user);
    codec.connection_due_ += static_cast<uint32_t>(size);
    CodecStream* stream = find(session, id);
    if (stream == nullptr || stream->user == nullptr) return 0;
    memory::Slice slice = *codec.slice_;
    slice.data = reinterpret_cast<const std::byte*>(data);
    slice.len = static_cast<uint32_t>(size);
    if (slice.owner != nullptr) slice.owner->ref(slice.owner);
    stream->in.append(slice);
    codec.data_ = stream;
    return 0;
  }

  static int frameReceived(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Codec& codec = self(user);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS: {
        CodecStream* stream = find(session, frame->hd.stream_id);
        if (frame->hd.type == NGHTTP2_DATA) {
          codec.data_ = nullptr;
          // Padding takes window too.
          codec.connection_due_ += static_cast<uint32_t>(frame->data.padlen);
          if (stream != nullptr && frame->data.padlen != 0) {
            stream->window -=
                std::min<uint32_t>(stream->window, static_cast<uint32_t>(frame->data.padlen));
            stream->unacked += static_cast<uint32_t>(frame->data.padlen);
            codec.held_ += frame->data.padlen;
          }
        }
        if (stream == nullptr) break;
        if (end) stream->peer_done = true;
        if (frame->hd.type == NGHTTP2_DATA) {
          codec.deliverData(*stream, end);
        } else {
          codec.finishHead(*stream, end);
        }
        break;
      }
      case NGHTTP2_RST_STREAM:
        codec.options_.stats->rx_reset.inc();
        break;
      case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) codec.events_->onLimits(codec.peerMaxStreams());
        break;
      case NGHTTP2_GOAWAY:
        if (codec.role_ == H2Codec::Role::kClient) {
          codec.going_away_ = true;
          codec.events_->onGoAway(static_cast<uint64_t>(frame->goaway.last_stream_id),
                                  frame->goaway.error_code);
        }
        break;
      case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) ++codec.pings_acknowledged_;
        break;
      default:
        break;
    }
    return 0;
  }

  static int invalidFrame(nghttp2_session* session, const nghttp2_frame* frame, int error,
                          void* user) {
    H2Codec& codec = self(user);
    if (error == NGHTTP2_ERR_HTTP_HEADER || error == NGHTTP2_ERR_HTTP_MESSAGING) {
      codec.options_.stats->rx_messaging_error.inc();
      const char* details = error == NGHTTP2_ERR_HTTP_HEADER ? "http2.invalid.header.field"
                                                             : "http2.violation.of.messaging.rule";
      CodecStream* stream = find(session, frame->hd.stream_id);
      if (stream != nullptr && stream->details == nullptr) stream->details = details;
      if (!codec.options_.stream_error_on_invalid_message) {
        codec.error_ = ErrorCode::kProtocol;
        codec.error_details_ = details;
      }
    }
    return 0;
  }

  static int streamClosed(nghttp2_session* session, int32_t id, uint32_t error, void* user) {
    CodecStream* stream = find(session, id);
    if (stream != nullptr) self(user).closeStream(*stream, error);
    return 0;
  }

  static int frameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    H2Codec& codec = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_DATA:
        codec.guard_.dataSent();
        [[fallthrough]];
      case NGHTTP2_HEADERS:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
          CodecStream* stream = find(session, frame->hd.stream_id);
          if (stream == nullptr) break;
          stream->end_sent = true;
          if (stream->reset_after_end && !stream->reset)
            codec.submitReset(*stream, ErrorCode::kNoError);
        }
        break;
      case NGHTTP2_RST_STREAM:
        codec.options_.stats->tx_reset.inc();
        break;
      case NGHTTP2_GOAWAY:
        codec.options_.stats->goaway_sent.inc();
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR) codec.failed_ = true;
        break;
      default:
        break;
    }
    return 0;
  }

  // How much of the stream's queue the next DATA frame takes.
  static ssize_t readData(nghttp2_session* session, int32_t id, uint8_t*, size_t length,
                          uint32_t* flags, nghttp2_data_source* source, void*) {
    auto* stream = static_cast<CodecStream*>(source->ptr);
    size_t n = std::min(length, stream->out.length());
    if (n == 0 && stream->reset_when_sent) {
      stream->codec->submitReset(*stream, stream->reset_code);
      return NGHTTP2_ERR_DEFERRED;
    }
    if (n == 0 && !stream->end_queued) {
      stream->deferred = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream->end_queued && n == stream->out.length()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream->out_trailers != nullptr) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        Fields fields;
        fields.add(*stream->out_trailers);
        nghttp2_submit_trailer(session, id, fields.data(), fields.size());
      }
    }
    return static_cast<ssize_t>(n);
  }

  static int sendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* head, size_t length,
                      nghttp2_data_source* source, void* user) {
    H2Codec& codec = self(user);
    auto* stream = static_cast<CodecStream*>(source->ptr);
    GATEHOUSE_ASSERT(frame->data.padlen == 0);
    if (codec.out_->length() >= codec.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
    codec.out_->appendCopy(view(head, FrameGuard::kHeadBytes));
    codec.out_->takePrefix(stream->out, length);
    auto& link = static_cast<base::ListLink<struct SentTag>&>(*stream);
    if (!link.linked()) codec.sent_.pushBack(*stream);
    return 0;
  }

  static nghttp2_session_callbacks* table() {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* c = nullptr;
      nghttp2_session_callbacks_new(&c);
      nghttp2_session_callbacks_set_on_begin_headers_callback(c, beginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(c, header);
      nghttp2_session_callbacks_set_on_invalid_header_callback(c, invalidHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, dataChunk);
      nghttp2_session_callbacks_set_on_frame_recv_callback(c, frameReceived);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, invalidFrame);
      nghttp2_session_callbacks_set_on_stream_close_callback(c, streamClosed);
      nghttp2_session_callbacks_set_on_frame_send_callback(c, frameSent);
      nghttp2_session_callbacks_set_send_data_callback(c, sendData);
      return c;
    }();
    return callbacks;
  }
};

H2Codec::H2Codec(Role role, const Options& options, uint32_t lane)
    : options_(options),
      guard_(options, role == Role::kServer),
      stream_window_(std::max(kLeastWindow, std::min(options.stream_window, lane))),
      preface_left_(role == Role::kServer ? kPreface : 0),
      role_(role) {
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, options.max_outbound_control_frames);
  nghttp2_option_set_max_send_header_block_length(option, 32 << 20);
  nghttp2_option_set_max_deflate_dynamic_table_size(option, options.hpack_table_size);
  nghttp2_option_set_max_continuations(option, FrameGuard::kMaxContinuations);
  // The guard has its own rule for resets.
  nghttp2_option_set_stream_reset_rate_limit(option, 1 << 30, 1 << 30);
  nghttp2_mem mem = {nullptr, allocate, h2::release, allocateZeroed, reallocate};
  if (role == Role::kServer) {
    nghttp2_session_server_new3(&session_, Callbacks::table(), this, option, &mem);
  } else {
    nghttp2_option_set_peer_max_concurrent_streams(option, options.max_concurrent_streams);
    nghttp2_session_client_new3(&session_, Callbacks::table(), this, option, &mem);
  }
  nghttp2_option_del(option);
  std::vector<nghttp2_settings_entry> settings;
  if (options.hpack_table_size != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE)
    settings.push_back({NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, options.hpack_table_size});
  if (role == Role::kClient) settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  if (role == Role::kServer)
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kNoLimit});
  if (stream_window_ != kLeastWindow)
    settings.push_back({NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_});
  for (const auto& [id, value] : options.custom_settings) settings.push_back({id, value});
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options.connection_window));
}

H2Codec::~H2Codec() {
  while (!streams_.empty()) {
    CodecStream& stream = streams_.front();
    options_.stats->streams_active.add(-1);
    delete &stream;
  }
  nghttp2_session_del(session_);
}

Ingest H2Codec::fail(ErrorCode code, const char* details) {
  if (!failed_) {
    failed_ = true;
    nghttp2_session_terminate_session(session_, static_cast<uint32_t>(code));
  }
  bool flood = code == ErrorCode::kEnhanceYourCalm;
  return {Ingest::kFatal, {flood ? kFlood : uint16_t{0}, details}};
}

FrameGuard::Open H2Codec::stateOf(uint32_t id) {
  CodecStream* stream = Callbacks::find(session_, static_cast<int32_t>(id));
  if (stream == nullptr) return FrameGuard::Open::kUnknown;
  if (stream->reset) return FrameGuard::Open::kOpen;  // ours to ignore
  return stream->peer_done ? FrameGuard::Open::kPeerDone : FrameGuard::Open::kOpen;
}

Ingest H2Codec::ingest(buffer::Buffer& in, bool, CodecEvents& events) noexcept {
  events_ = &events;
  if (failed_) {
    in.clear();
    return {};
  }
  Ingest result = feed(in);
  if (data_ != nullptr) {
    CodecStream& stream = *data_;
    data_ = nullptr;
    if (result.code == Ingest::kMore) deliverData(stream, false);
  }
  if (result.code == Ingest::kMore) {
    size_t queue = nghttp2_session_get_outbound_queue_size(session_);
    if (queue > options_.max_outbound_frames) {
      options_.stats->outbound_flood.inc();
      result = fail(ErrorCode::kEnhanceYourCalm, "http2.outbound_frames_flood");
    }
  }
  if (result.code == Ingest::kFatal) in.clear();
  returnConnectionCredit();
  return result;
}

Ingest H2Codec::feed(buffer::Buffer& in) {
  while (!in.empty()) {
    if (preface_left_ == 0 && frame_left_ == 0) {
      if (!readHead(in)) return {};
      FrameGuard::Verdict verdict =
          guard_.check(head_, [this](uint32_t id) { return stateOf(id); });
      if (verdict.error != ErrorCode::kNoError) return fail(verdict.error, verdict.details);
      uint32_t more = head_have_ - static_cast<uint32_t>(FrameGuard::kHeadBytes);
      frame_left_ = verdict.length - more;
      size_t have = head_have_;
      head_have_ = 0;
      if (!feedBytes(head_, have)) return fail(error_, error_details_);
      continue;
    }
    uint32_t& left = preface_left_ != 0 ? preface_left_ : frame_left_;
    std::string_view front = in.front();
    size_t n = std::min<size_t>(front.size(), left);
    slice_ = in.slices().data();
    if (!feedBytes(reinterpret_cast<const uint8_t*>(front.data()), n))
      return fail(error_, error_details_);
    left -= static_cast<uint32_t>(n);
    in.drain(n);
  }
  return {};
}

// Gathers what the guard wants to see: that much goes to nghttp2 only as a whole.
bool H2Codec::readHead(buffer::Buffer& in) {
  size_t need = FrameGuard::kHeadBytes;
  for (;;) {
    if (head_have_ >= FrameGuard::kHeadBytes) need = FrameGuard::bytesNeeded(head_);
    if (head_have_ >= need) return true;
    size_t n = std::min<size_t>(need - head_have_, in.length());
    if (n == 0) return false;
    in.copyTo(0, n, reinterpret_cast<char*>(head_) + head_have_);
    in.drain(n);
    head_have_ = static_cast<uint8_t>(head_have_ + n);
  }
}

// False: the connection must end with error_.
bool H2Codec::feedBytes(const uint8_t* data, size_t size) {
  ssize_t n = nghttp2_session_mem_recv(session_, data, size);
  if (error_ != ErrorCode::kNoError) return false;
  if (n < 0) {
    error_ = n == NGHTTP2_ERR_FLOODED ? ErrorCode::kEnhanceYourCalm : ErrorCode::kProtocol;
    error_details_ = n == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "http2.bad_preface"
                     : n == NGHTTP2_ERR_FLOODED        ? "http2.outbound_control_frames_flood"
                                                       : "http2.protocol_error";
    if (n == NGHTTP2_ERR_FLOODED) options_.stats->outbound_control_flood.inc();
    return false;
  }
  if (nghttp2_session_want_read(session_) == 0) {
    // nghttp2 has queued its GOAWAY; terminating again changes nothing.
    error_ = ErrorCode::kProtocol;
    error_details_ = "http2.protocol_error";
    return false;
  }
  return true;
}

void H2Codec::deliverData(CodecStream& stream, bool end) {
  size_t size = stream.in.length();
  stream.window -= std::min<uint32_t>(stream.window, static_cast<uint32_t>(size));
  stream.unacked += static_cast<uint32_t>(size);
  held_ += size;
  if (stream.user == nullptr) {
    stream.in.clear();
    return;
  }
  if (size == 0 && !end) return;
  Stream& user = *stream.user;
  user.credit -= std::min<uint32_t>(user.credit, static_cast<uint32_t>(size));
  events_->onBody(user, stream.in, end);
  stream.in.clear();
}

void H2Codec::finishHead(CodecStream& stream, bool end) {
  if (stream.user == nullptr) return;
  if (stream.cookies > 1)
    joinCookies(stream.request != nullptr ? stream.request->headers : stream.response->headers);
  stream.cookies = 0;
  if (stream.trailers != nullptr) {
    options_.stats->trailers.inc();
    http::HeaderMap& trailers = *stream.trailers;
    stream.trailers = nullptr;
    events_->onTrailers(*stream.user, trailers);
    return;
  }
  if (stream.request != nullptr) {
    http::RequestHead& head = *stream.request;
    stream.request = nullptr;
    stream.head_done = true;
    events_->onRequestHead(*stream.user, head, end);
    return;
  }
  if (stream.response == nullptr) return;
  http::ResponseHead& head = *stream.response;
  stream.response = nullptr;
  if (head.status >= 200 && head.status < 600) {
    stream.head_done = true;
    events_->onResponseHead(*stream.user, head, end);
  } else if (head.status < 100 || head.status == 101 || head.status >= 600 ||
             ++stream.interims > kMaxInterims) {
    Stream& user = *stream.user;
    submitReset(stream, ErrorCode::kProtocol);
    stream.user = nullptr;
    user.codec_half = nullptr;
    events_->onAbort(user, Abort::kProtocol, {502, "http2.bad_status"});
  } else {
    events_->onInterim(*stream.user, head);
  }
}

void H2Codec::closeStream(CodecStream& stream, uint32_t error) {
  guard_.closed(static_cast<uint32_t>(stream.id), stream.reset);
  if (data_ == &stream) data_ = nullptr;
  release(stream.unacked);
  Stream* user = stream.user;
  if (user != nullptr) user->codec_half = nullptr;
  bool complete = stream.peer_done && stream.end_sent;
  bool premature = role_ == Role::kServer && !stream.end_queued && !complete;
  bool ours = stream.reset;
  nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
  options_.stats->streams_active.add(-1);
  --open_;
  bool peer_done = stream.peer_done;
  bool bad_head = stream.bad_head;
  const char* details = stream.details;
  delete &stream;
  if (premature && error_ == ErrorCode::kNoError) {
    error_ = guard_.premature();
    error_details_ = "http2.premature_resets";
  }
  // A client has its answer: what the server does not want of the request is no matter any more.
  if (user == nullptr || complete || (role_ == Role::kClient && peer_done)) return;
  // Closed while we write and not by our user: nghttp2 gave up a broken message or connection.
  bool broken = out_ != nullptr && !ours && !bad_head;
  if (details == nullptr)
    details = broken ? "http2.violation.of.messaging.rule" : "http2.remote_reset";
  events_->onAbort(*user, broken ? Abort::kProtocol : abortOf(error), {400, details});
}

void H2Codec::added(CodecStream& stream) {
  streams_.pushBack(stream);
  ++open_;
  options_.stats->streams_active.add(1);
}

void H2Codec::release(uint64_t bytes) { held_ -= std::min(held_, bytes); }

void H2Codec::returnConnectionCredit() {
  if (connection_due_ < options_.connection_window / 2 || held_ >= options_.connection_window ||
      failed_)
    return;
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, 0,
                               static_cast<int32_t>(connection_due_));
  connection_due_ = 0;
}

namespace {

CodecStream* halfOf(const Stream& stream) { return static_cast<CodecStream*>(stream.codec_half); }

nghttp2_data_provider providerOf(CodecStream& stream) {
  nghttp2_data_provider provider;
  provider.source.ptr = &stream;
  provider.read_callback = Callbacks::readData;
  return provider;
}

}  // namespace

void H2Codec::sendRequestHead(Stream& user, const http::RequestHead& head, bool end) noexcept {
  Fields fields;
  bool connect = head.method_id == http::Method::kConnect;
  fields.add(":authority", head.authority);
  if (!connect) fields.add(":path", head.path);
  fields.add(":method", head.method);
  if (!connect) fields.add(":scheme", head.scheme.empty() ? std::string_view("http") : head.scheme);
  fields.add(head.headers);
  auto* stream = new CodecStream();
  stream->user = &user;
  stream->codec = this;
  stream->window = stream_window_;
  stream->end_queued = end;
  user.head_request = head.method_id == http::Method::kHead;
  nghttp2_data_provider provider = providerOf(*stream);
  int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                                      end ? nullptr : &provider, stream);
  added(*stream);
  user.codec_half = stream;
  guard_.opened();
  if (id < 0) {
    // Ids are used up: the connection takes no more streams.
    going_away_ = true;
    return;
  }
  stream->id = id;
  user.id = static_cast<uint64_t>(id);
}

void H2Codec::sendInterim(Stream& user, const http::ResponseHead& head) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr || head.status == 101) return;
  char digits[8];
  auto [to, error] = std::to_chars(digits, digits + sizeof(digits), head.status);
  Fields fields;
  fields.add(":status", {digits, static_cast<size_t>(to - digits)});
  fields.add(head.headers);
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream->id, nullptr, fields.data(),
                         fields.size(), nullptr);
}

void H2Codec::sendResponseHead(Stream& user, const http::ResponseHead& head, bool end) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr) return;
  char digits[8];
  auto [to, error] = std::to_chars(digits, digits + sizeof(digits), head.status);
  Fields fields;
  fields.add(":status", {digits, static_cast<size_t>(to - digits)});
  fields.add(head.headers);
  stream->head_sent = true;
  stream->end_queued = end;
  nghttp2_data_provider provider = providerOf(*stream);
  nghttp2_submit_response(session_, stream->id, fields.data(), fields.size(),
                          end ? nullptr : &provider);
}

void H2Codec::sendBody(Stream& user, buffer::Buffer& take, bool end) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr || stream->end_queued) {
    take.clear();
    return;
  }
  stream->out.take(take);
  stream->end_queued = end;
  resumeData(*stream);
}

void H2Codec::sendTrailers(Stream& user, const http::HeaderMap& trailers) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr || stream->end_queued) return;
  if (!trailers.empty()) {
    stream->out_trailers = stream->arena.make<http::HeaderMap>(stream->arena);
    stream->out_trailers->copyFrom(trailers);
  }
  buffer::Buffer none;
  sendBody(user, none, true);
}

void H2Codec::submitReset(CodecStream& stream, ErrorCode code) {
  if (stream.reset) return;
  stream.reset = true;
  stream.out.clear();
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, static_cast<uint32_t>(code));
}

void H2Codec::abort(Stream& user, Abort why) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr) return;
  user.codec_half = nullptr;
  stream->user = nullptr;
  // What is there of a cut-off answer still reaches the client if it can leave at once.
  bool partial = role_ == Role::kServer && stream->head_sent && !stream->end_queued;
  auto window = std::min(nghttp2_session_get_stream_remote_window_size(session_, stream->id),
                         nghttp2_session_get_remote_window_size(session_));
  if (partial && window >= 0 && static_cast<size_t>(window) >= stream->out.length()) {
    stream->reset_when_sent = true;
    stream->reset_code = codeOf(why);
    resumeData(*stream);
  } else {
    submitReset(*stream, codeOf(why));
  }
}

void H2Codec::resumeData(CodecStream& stream) {
  if (!stream.deferred) return;
  stream.deferred = false;
  nghttp2_session_resume_data(session_, stream.id);
}

void H2Codec::detach(Stream& user) noexcept {
  CodecStream* stream = halfOf(user);
  if (stream == nullptr) return;
  if (!stream->end_queued) {
    abort(user, Abort::kCancel);
    return;
  }
  user.codec_half = nullptr;
  stream->user = nullptr;
  if (stream->peer_done) return;
  if (stream->end_sent) {
    submitReset(*stream, ErrorCode::kNoError);
  } else {
    stream->reset_after_end = true;
  }
}

void H2Codec::grant(Stream& user, uint32_t bytes) noexcept {
  user.credit = bytes;
  CodecStream* stream = halfOf(user);
  if (stream == nullptr || stream->peer_done || stream->unacked == 0) return;
  if (bytes <= stream->window) return;
  uint32_t more = std::min(bytes - stream->window, stream->unacked);
  bool due = more >= stream_window_ / 2 ||
             (stream->window < stream_window_ / 2 && (more >= kLeastUpdate || stream->window == 0));
  if (!due) return;
  nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, stream->id, static_cast<int32_t>(more));
  stream->window += more;
  stream->unacked -= more;
  release(more);
  returnConnectionCredit();
}

size_t H2Codec::queued(const Stream& user) const noexcept {
  CodecStream* stream = halfOf(user);
  return stream == nullptr ? 0 : stream->out.length();
}

// The first frame of a server, with the limit of streams that nghttp2 was not told: it would end
// the connection of a client that goes beyond, where refusing the stream is enough.
std::string H2Codec::withStreamLimit(std::string_view settings) const {
  constexpr size_t kEntry = 6;
  std::string frame(settings);
  for (size_t at = FrameGuard::kHeadBytes; at + kEntry <= frame.size(); at += kEntry) {
    if (frame[at] != 0 || frame[at + 1] != NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) continue;
    for (size_t i = 0; i < 4; ++i)
      frame[at + 2 + i] = static_cast<char>(options_.max_concurrent_streams >> (24 - 8 * i));
    break;
  }
  return frame;
}

size_t H2Codec::produce(buffer::Buffer& out, size_t room) noexcept {
  size_t before = out.length();
  out_ = &out;
  out_limit_ = before + room;
  while (out.length() < out_limit_) {
    const uint8_t* data = nullptr;
    ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0) failed_ = true;
    // DATA has left through sendData() by then and counts nothing here.
    if (n <= 0) break;
    if (settings_sent_ || role_ == Role::kClient) {
      out.appendCopy(view(data, static_cast<size_t>(n)));
    } else {
      out.appendCopy(withStreamLimit(view(data, static_cast<size_t>(n))));
    }
    settings_sent_ = true;
  }
  out_ = nullptr;
  return out.length() - before;
}

void H2Codec::goAway() noexcept {
  if (going_away_ || failed_) return;
  going_away_ = role_ == Role::kClient;
  if (role_ == Role::kServer) nghttp2_submit_shutdown_notice(session_);
}

void H2Codec::finishGoAway() noexcept {
  if (going_away_ || failed_) return;
  going_away_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
}

bool H2Codec::wantsClose() const noexcept {
  return failed_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void H2Codec::ping() noexcept { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

uint32_t H2Codec::peerMaxStreams() const noexcept {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

}  // namespace gatehouse::codec::h2
