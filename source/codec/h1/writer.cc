#include "source/codec/h1/writer.h"

#include <cstring>
#include <string>

#include "source/http/status.h"
#include "source/memory/segment.h"

namespace gatehouse::codec::h1 {

namespace {

// Writes into a block that is known to be large enough.
class Cursor {
 public:
  explicit Cursor(char* at) : at_(at) {}
  // string_view::copy, since memcpy must not see the null pointer of an empty value.
  void put(std::string_view text) { at_ += text.copy(at_, text.size()); }
  void putName(std::string_view name, bool proper_case) {
    if (!proper_case) {
      put(name);
      return;
    }
    bool start = true;
    for (char c : name) {
      *at_++ = start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
      start = c == '-';
    }
  }
  void putNumber(unsigned value) {
    char digits[10];
    int n = 0;
    do {
      digits[n++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (n > 0) *at_++ = digits[--n];
  }
  char* at() const { return at_; }

 private:
  char* at_;
};

void putFields(Cursor& to, const http::HeaderMap& headers, bool proper_case) {
  headers.forEach([&](const http::HeaderField& field) {
    to.putName(field.nameView(), proper_case);
    to.put(": ");
    to.put(field.valueView());
    to.put("\r\n");
  });
}

void putExtras(Cursor& to, const HeadExtras& extras) {
  auto field = [&](std::string_view name, std::string_view value) {
    to.putName(name, extras.proper_case);
    to.put(": ");
    to.put(value);
    to.put("\r\n");
  };
  if (!extras.connection.empty()) field("connection", extras.connection);
  if (extras.add_zero_length) field("content-length", "0");
  if (extras.add_chunked) field("transfer-encoding", "chunked");
  to.put("\r\n");
}

size_t sizeOf(const http::HeaderMap& headers) { return headers.byteSize() + 4 * headers.size(); }

// Runs `write(Cursor&)` on `bound` bytes of output and appends what it wrote.
template <class F>
void compose(buffer::Buffer& out, size_t bound, F&& write) {
  if (bound <= memory::SegmentPool::kLarge) {
    char* begin = out.reserve(bound);
    Cursor cursor(begin);
    write(cursor);
    out.commit(static_cast<size_t>(cursor.at() - begin));
    return;
  }
  std::string text(bound, '\0');
  Cursor cursor(text.data());
  write(cursor);
  text.resize(static_cast<size_t>(cursor.at() - text.data()));
  out.appendOwned(std::move(text));
}

constexpr size_t kExtras = 128;

}  // namespace

void writeRequestHead(buffer::Buffer& out, const http::RequestHead& head,
                      const HeadExtras& extras) {
  size_t bound = head.method.size() + head.path.size() + head.authority.size() +
                 sizeOf(head.headers) + kExtras;
  compose(out, bound, [&](Cursor& to) {
    to.put(head.method);
    to.put(" ");
    to.put(head.path);
    to.put(" HTTP/1.1\r\n");
    to.putName("host", extras.proper_case);
    to.put(": ");
    to.put(head.authority);
    to.put("\r\n");
    putFields(to, head.headers, extras.proper_case);
    putExtras(to, extras);
  });
}

void writeResponseHead(buffer::Buffer& out, const http::ResponseHead& head,
                       const HeadExtras& extras) {
  std::string_view reason = http::reasonPhrase(head.status);
  compose(out, reason.size() + sizeOf(head.headers) + kExtras, [&](Cursor& to) {
    to.put(extras.http10 ? "HTTP/1.0 " : "HTTP/1.1 ");
    to.putNumber(head.status);
    to.put(" ");
    to.put(reason);
    to.put("\r\n");
    putFields(to, head.headers, extras.proper_case);
    putExtras(to, extras);
  });
}

void writeChunk(buffer::Buffer& out, buffer::Buffer& bytes) {
  if (bytes.empty()) return;
  char line[20];
  size_t n = sizeof(line);
  line[--n] = '\n';
  line[--n] = '\r';
  for (size_t size = bytes.length(); size != 0; size >>= 4)
    line[--n] = "0123456789abcdef"[size & 15];
  out.appendCopy({line + n, sizeof(line) - n});
  out.take(bytes);
  out.appendCopy("\r\n");
}

size_t moveOutput(buffer::Buffer& from, buffer::Buffer& to, size_t room) {
  size_t n = from.length();
  if (n == 0) return 0;
  if (n <= room + 4096) {
    to.take(from);
    return n;
  }
  to.takePrefix(from, room);
  return room;
}

void writeLastChunk(buffer::Buffer& out, const http::HeaderMap* trailers, bool proper_case) {
  if (trailers == nullptr || trailers->empty()) {
    out.appendCopy("0\r\n\r\n");
    return;
  }
  compose(out, sizeOf(*trailers) + kExtras, [&](Cursor& to) {
    to.put("0\r\n");
    putFields(to, *trailers, proper_case);
    to.put("\r\n");
  });
}

}  // namespace gatehouse::codec::h1
