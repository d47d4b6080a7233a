#include "source/codec/h1/scanner.h"

#include <algorithm>
#include <cstring>

#include "source/http/chars.h"

namespace gatehouse::codec::h1 {

namespace {

using http::HeaderId;
namespace chars = http::chars;

// Takes the next line off `rest` (without its end). False: the line holds a CR that is not part of
// its end, or has no end.
bool takeLine(std::string_view& rest, std::string_view* line) {
  const void* newline = std::memchr(rest.data(), '\n', rest.size());
  if (newline == nullptr) return false;
  auto size = static_cast<size_t>(static_cast<const char*>(newline) - rest.data());
  *line = rest.substr(0, size);
  rest.remove_prefix(size + 1);
  if (!line->empty() && line->back() == '\r') line->remove_suffix(1);
  return true;
}

// 1*DIGIT, no sign, no overflow.
bool parseLength(std::string_view text, uint64_t* value) {
  if (text.empty() || text.size() > 18) return false;
  uint64_t v = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    v = v * 10 + static_cast<uint64_t>(c - '0');
  }
  *value = v;
  return true;
}

// A tab around a value is legal, but not every parser sees through it: framing is not left to that.
bool hasTab(std::string_view raw) { return raw.find('\t') != raw.npos; }

// A second length is refused even if it is the same (RFC 9110 8.6 leaves the choice).
void noteLength(std::string_view raw, FieldFacts& facts) {
  if (facts.has_length || hasTab(raw) || !parseLength(http::trim(raw), &facts.length))
    facts.bad_length = true;
  facts.has_length = true;
}

void noteConnection(std::string_view value, FieldFacts& facts) {
  http::forEachListItem(value, [&](std::string_view token) {
    if (http::equalsIgnoreCase(token, "close")) facts.connection_close = true;
    if (http::equalsIgnoreCase(token, "keep-alive")) facts.connection_keep_alive = true;
    return true;
  });
}

bool versionOf(std::string_view text, http::Version* version) {
  if (text == "HTTP/1.1") {
    *version = http::Version::kHttp11;
    return true;
  }
  if (text == "HTTP/1.0") {
    *version = http::Version::kHttp10;
    return true;
  }
  return false;
}

// Parses the field lines in `rest`, which is already memory of the arena and is lower-cased in
// place.
ScanError parseFields(char* at, size_t size, uint32_t max_fields, http::HeaderMap& headers,
                      FieldFacts* facts) {
  std::string_view rest(at, size);
  uint32_t count = 0;
  for (;;) {
    std::string_view line;
    if (!takeLine(rest, &line)) return ScanError::kBadField;
    if (line.empty()) return rest.empty() ? ScanError::kNone : ScanError::kBadField;
    if (++count > max_fields) return ScanError::kTooManyFields;
    size_t i = 0;
    char* name = const_cast<char*>(line.data());
    for (; i < line.size() && line[i] != ':'; ++i) {
      if (!chars::is(line[i], chars::kToken)) return ScanError::kBadField;
      name[i] = http::lower(line[i]);
    }
    if (i == 0 || i == line.size() || i > UINT16_MAX) return ScanError::kBadField;
    std::string_view raw = line.substr(i + 1);
    if (!chars::all(raw, chars::kValue)) return ScanError::kBadValue;
    std::string_view value = http::trim(raw);
    std::string_view lower_name(name, i);
    HeaderId id = http::headerId(lower_name);
    if (facts != nullptr) {
      switch (id) {
        case HeaderId::kHost:
          ++facts->hosts;
          facts->host = value;
          continue;
        case HeaderId::kContentLength:
          noteLength(raw, *facts);
          break;
        case HeaderId::kTransferEncoding:
          ++facts->transfer_encodings;
          facts->chunked = !hasTab(raw) && http::equalsIgnoreCase(value, "chunked");
          break;
        case HeaderId::kConnection:
          noteConnection(value, *facts);
          break;
        default:
          break;
      }
    }
    headers.add(lower_name, value, id);
  }
}

bool takeToken(std::string_view& text) {
  size_t n = 0;
  while (n < text.size() && chars::is(text[n], chars::kToken)) ++n;
  text.remove_prefix(n);
  return n != 0;
}

// token / quoted-string, up to the end of `text`.
bool isExtensionValue(std::string_view text) {
  if (!text.starts_with('"')) return !text.empty() && chars::all(text, chars::kToken);
  size_t end = text.find_first_of("\"\\", 1);
  return end != text.npos && end + 1 == text.size() && text[end] == '"' &&
         chars::all(text, chars::kValue);
}

// *( ";" token ) [ ";" token "=" value ]: what every parser reads the same of RFC 9112 7.1.1.
// Blanks around ';' and '=' (which no sender may write), '\' in quotes and anything after a value
// are refused: llhttp 8 goes on in the chunk size behind a value that another extension follows.
bool validExtensions(std::string_view text) {
  while (!text.empty()) {
    if (!text.starts_with(';')) return false;
    text.remove_prefix(1);
    if (!takeToken(text)) return false;
    if (text.starts_with('=')) return isExtensionValue(text.substr(1));
  }
  return true;
}

}  // namespace

size_t sectionLength(std::string_view bytes, size_t from, size_t* next_from) {
  const char* begin = bytes.data();
  const char* end = begin + bytes.size();
  const char* at = begin + std::min(from, bytes.size());
  while (at < end) {
    const auto* newline =
        static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
    if (newline == nullptr) break;
    if (newline + 1 == end) {
      *next_from = static_cast<size_t>(newline - begin);
      return 0;
    }
    if (newline[1] == '\n') return static_cast<size_t>(newline - begin) + 2;
    if (newline[1] == '\r') {
      if (newline + 2 == end) {
        *next_from = static_cast<size_t>(newline - begin);
        return 0;
      }
      if (newline[2] == '\n') return static_cast<size_t>(newline - begin) + 3;
    }
    at = newline + 1;
  }
  *next_from = bytes.size();
  return 0;
}

ScanError parseRequest(std::string_view section, uint32_t max_fields, http::RequestHead& head,
                       FieldFacts& facts) {
  auto* copy = static_cast<char*>(head.headers.arena().allocate(section.size(), 1));
  std::memcpy(copy, section.data(), section.size());
  std::string_view rest(copy, section.size());
  std::string_view line;
  if (!takeLine(rest, &line)) return ScanError::kBadLine;
  size_t first = line.find(' ');
  if (first == line.npos || first == 0) return ScanError::kBadLine;
  size_t second = line.find(' ', first + 1);
  std::string_view method = line.substr(0, first);
  std::string_view target = line.substr(first + 1, std::min(second, line.size()) - first - 1);
  if (!chars::all(method, chars::kToken) || target.empty() || !chars::all(target, chars::kTarget))
    return ScanError::kBadLine;
  if (second == line.npos) return ScanError::kBadVersion;  // HTTP/0.9
  std::string_view version = line.substr(second + 1);
  // An HTTP/2 client's preface is no request of whatever version.
  if (line == "PRI * HTTP/2.0") return ScanError::kBadLine;
  if (!versionOf(version, &head.version))
    return version.starts_with("HTTP/") ? ScanError::kBadVersion : ScanError::kBadLine;
  head.setMethod(method);
  head.path = target;
  return parseFields(const_cast<char*>(rest.data()), rest.size(), max_fields, head.headers, &facts);
}

ScanError parseResponse(std::string_view section, uint32_t max_fields, http::ResponseHead& head,
                        FieldFacts& facts) {
  auto* copy = static_cast<char*>(head.headers.arena().allocate(section.size(), 1));
  std::memcpy(copy, section.data(), section.size());
  std::string_view rest(copy, section.size());
  std::string_view line;
  if (!takeLine(rest, &line)) return ScanError::kBadLine;
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' '))
    return ScanError::kBadLine;
  if (!versionOf(line.substr(0, 8), &head.version)) return ScanError::kBadVersion;
  for (size_t i = 9; i < 12; ++i) {
    if (line[i] < '0' || line[i] > '9') return ScanError::kBadLine;
  }
  if (!chars::all(line.substr(12), chars::kValue)) return ScanError::kBadLine;
  head.status =
      static_cast<uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  if (head.status < 100 || head.status > 599) return ScanError::kBadLine;
  return parseFields(const_cast<char*>(rest.data()), rest.size(), max_fields, head.headers, &facts);
}

ScanError parseTrailers(std::string_view section, uint32_t max_fields, http::HeaderMap& trailers) {
  auto* copy = static_cast<char*>(trailers.arena().allocate(section.size(), 1));
  std::memcpy(copy, section.data(), section.size());
  ScanError error = parseFields(copy, section.size(), max_fields, trailers, nullptr);
  for (HeaderId id : {HeaderId::kContentLength, HeaderId::kTransferEncoding, HeaderId::kHost,
                      HeaderId::kAuthorization, HeaderId::kTrailer, HeaderId::kConnection,
                      HeaderId::kTe, HeaderId::kUpgrade, HeaderId::kContentEncoding,
                      HeaderId::kContentType, HeaderId::kContentRange, HeaderId::kSetCookie,
                      HeaderId::kCookie, HeaderId::kExpect, HeaderId::kKeepAlive}) {
    trailers.remove(id);
  }
  return error;
}

void BodyReader::start(Framing framing) {
  extension_bytes_ = 0;
  left_ = framing.length;
  switch (framing.kind) {
    case Framing::kNone:
      state_ = State::kIdle;
      break;
    case Framing::kLength:
      state_ = framing.length == 0 ? State::kIdle : State::kLength;
      break;
    case Framing::kChunked:
      state_ = State::kChunkLine;
      break;
    case Framing::kUntilClose:
      state_ = State::kUntilClose;
      break;
  }
}

// chunk-size [ chunk-ext ] CRLF
BodyReader::Result BodyReader::readChunkLine(buffer::Buffer& in) {
  constexpr size_t kMaxLine = 4096;
  std::string_view view = in.front();
  size_t newline = view.find('\n');
  if (newline == view.npos && in.length() > view.size()) {
    view = in.linearize(std::min(in.length(), kMaxLine));
    newline = view.find('\n');
  }
  if (newline == view.npos || newline >= kMaxLine)
    return view.size() >= kMaxLine ? Result::kError : Result::kMore;
  std::string_view line = view.substr(0, newline);
  if (!line.ends_with('\r')) return Result::kError;
  line.remove_suffix(1);
  uint64_t size = 0;
  size_t i = 0;
  for (; i < line.size(); ++i) {
    char c = http::lower(line[i]);
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) break;
    if (i >= 15) return Result::kError;
    size = size * 16 + static_cast<uint64_t>(digit);
  }
  if (i == 0) return Result::kError;
  std::string_view extension = line.substr(i);
  if (!extension.empty()) {
    if (!validExtensions(extension)) return Result::kError;
    extension_bytes_ += static_cast<uint32_t>(extension.size());
    if (extension_bytes_ > kMaxExtensionBytes) return Result::kError;
  }
  in.drain(newline + 1);
  left_ = size;
  state_ = size == 0 ? State::kTrailers : State::kChunkData;
  return Result::kDone;
}

BodyReader::Result BodyReader::read(buffer::Buffer& in, uint32_t& credit, buffer::Buffer& out,
                                    memory::Arena& arena, uint32_t max_fields,
                                    http::HeaderMap** trailers) {
  for (;;) {
    switch (state_) {
      case State::kIdle:
        return Result::kDone;
      case State::kLength:
      case State::kUntilClose:
      case State::kChunkData: {
        if (in.empty()) return Result::kMore;
        if (credit == 0) return Result::kBlocked;
        size_t n = std::min<size_t>(in.length(), credit);
        if (state_ != State::kUntilClose) {
          n = static_cast<size_t>(std::min<uint64_t>(n, left_));
          left_ -= n;
        }
        credit -= static_cast<uint32_t>(n);
        out.takePrefix(in, n);
        if (state_ == State::kUntilClose || left_ != 0) continue;
        if (state_ == State::kLength) {
          state_ = State::kIdle;
          return Result::kDone;
        }
        state_ = State::kChunkEnd;
        continue;
      }
      case State::kChunkEnd: {
        char end[2] = {};
        size_t n = std::min<size_t>(in.length(), 2);
        in.copyTo(0, n, end);
        if ((n > 0 && end[0] != '\r') || (n > 1 && end[1] != '\n')) return Result::kError;
        if (n < 2) return Result::kMore;
        in.drain(2);
        state_ = State::kChunkLine;
        continue;
      }
      case State::kChunkLine: {
        if (in.empty()) return Result::kMore;
        Result result = readChunkLine(in);
        if (result != Result::kDone) return result;
        continue;
      }
      case State::kTrailers: {
        std::string_view view = in.linearize(std::min(in.length(), kMaxTrailerBytes));
        if (view.empty()) return Result::kMore;
        size_t length = 0;
        if (view.front() == '\n') {
          length = 1;
        } else if (view.starts_with("\r\n")) {
          length = 2;
        }
        if (length != 0) {
          in.drain(length);
          state_ = State::kIdle;
          return Result::kDone;
        }
        size_t next = 0;
        length = sectionLength(view, 0, &next);
        if (length == 0) return view.size() >= kMaxTrailerBytes ? Result::kError : Result::kMore;
        *trailers = arena.make<http::HeaderMap>(arena);
        if (parseTrailers(view.substr(0, length), max_fields, **trailers) != ScanError::kNone)
          return Result::kError;
        in.drain(length);
        state_ = State::kIdle;
        return Result::kTrailers;
      }
    }
  }
}

}  // namespace gatehouse::codec::h1
