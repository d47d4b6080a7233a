#include "test/harness/h2_side.h"

namespace gatehouse::harness {

namespace {

constexpr uint32_t kCredit = 1 << 20;

Exchange& exchangeOf(codec::Stream& stream) { return static_cast<Exchange&>(stream); }

codec::h2::Options withStats(const codec::h2::Options* options, codec::h2::Stats& stats) {
  codec::h2::Options out = options != nullptr ? *options : codec::h2::Options();
  out.stats = &stats;
  return out;
}

void fill(http::HeaderMap& headers, const Fields& fields) {
  for (const auto& [name, value] : fields) headers.addCopy(name, value);
}

}  // namespace

std::string Exchange::field(std::string_view name) const {
  const http::HeaderMap& headers = answer.status != 0 ? answer.headers : request.headers;
  const http::HeaderField* found = headers.find(name);
  return found == nullptr ? "" : std::string(found->valueView());
}

H2Side::H2Side(codec::h2::H2Codec::Role role, std::unique_ptr<Peer> peer,
               const codec::h2::Options* options, uint32_t lane)
    : scope_(store_.scope("side.")),
      stats_(*scope_),
      options_(withStats(options, stats_)),
      peer_(std::move(peer)),
      codec_(role, options_, lane) {}

H2Side::~H2Side() = default;

std::string H2Side::output() {
  buffer::Buffer out;
  while (codec_.produce(out, 1 << 20) != 0) {
  }
  return out.toString();
}

bool H2Side::input(std::string_view bytes) {
  in_.appendCopy(bytes);
  codec::Ingest result = codec_.ingest(in_, false, *this);
  if (result.code == codec::Ingest::kFatal) {
    broken = true;
    why = result.why.details;
  }
  return !broken;
}

void H2Side::pump() {
  peer_->read();
  if (!peer_->received.empty()) {
    std::string bytes = std::move(peer_->received);
    peer_->received.clear();
    input(bytes);
  }
  unsent_ += output();
  unsent_.erase(0, peer_->send(unsent_));
}

Exchange& H2Side::request(std::string_view method, std::string_view path, const Fields& fields,
                          bool end) {
  Exchange& exchange = *exchanges_.emplace_back(std::make_unique<Exchange>());
  exchange.slow = slow;
  exchange.credit = kCredit;
  exchange.request.setMethod(exchange.memory.copy(method));
  exchange.request.path = exchange.memory.copy(path);
  exchange.request.authority = "test";
  exchange.request.scheme = "http";
  fill(exchange.request.headers, fields);
  codec_.sendRequestHead(exchange, exchange.request, end);
  return exchange;
}

void H2Side::answer(Exchange& exchange, uint16_t status, const Fields& fields, bool end) {
  http::ResponseHead head(exchange.memory);
  head.status = status;
  fill(head.headers, fields);
  codec_.sendResponseHead(exchange, head, end);
}

void H2Side::interim(Exchange& exchange, uint16_t status) {
  http::ResponseHead head(exchange.memory);
  head.status = status;
  codec_.sendInterim(exchange, head);
}

void H2Side::body(Exchange& exchange, std::string_view bytes, bool end) {
  buffer::Buffer take;
  take.appendCopy(bytes);
  codec_.sendBody(exchange, take, end);
}

void H2Side::trailers(Exchange& exchange, const Fields& fields) {
  http::HeaderMap map(exchange.memory);
  fill(map, fields);
  codec_.sendTrailers(exchange, map);
}

void H2Side::reset(Exchange& exchange, codec::Abort abort) { codec_.abort(exchange, abort); }

void H2Side::allow(Exchange& exchange, uint32_t bytes) { codec_.grant(exchange, bytes); }

codec::Stream* H2Side::onStream(uint64_t) noexcept {
  Exchange& exchange = *exchanges_.emplace_back(std::make_unique<Exchange>());
  exchange.slow = slow;
  exchange.credit = kCredit;
  return &exchange;
}

http::RequestHead* H2Side::requestHead(codec::Stream& stream) noexcept {
  return &exchangeOf(stream).request;
}

http::ResponseHead* H2Side::responseHead(codec::Stream& stream) noexcept {
  Exchange& exchange = exchangeOf(stream);
  exchange.answer.headers.clear();
  return &exchange.answer;
}

void H2Side::onRequestHead(codec::Stream& stream, http::RequestHead&, bool end) noexcept {
  exchangeOf(stream).head = true;
  exchangeOf(stream).ended = end;
}

void H2Side::onInterim(codec::Stream& stream, http::ResponseHead& head) noexcept {
  exchangeOf(stream).interims.push_back(head.status);
}

void H2Side::onResponseHead(codec::Stream& stream, http::ResponseHead&, bool end) noexcept {
  exchangeOf(stream).head = true;
  exchangeOf(stream).ended = end;
}

void H2Side::onBody(codec::Stream& stream, buffer::Buffer& in, bool end) noexcept {
  Exchange& exchange = exchangeOf(stream);
  exchange.body += in.toString();
  in.clear();
  exchange.ended = end;
  if (!exchange.slow) codec_.grant(exchange, kCredit);
}

void H2Side::onTrailers(codec::Stream& stream, http::HeaderMap& trailers) noexcept {
  Exchange& exchange = exchangeOf(stream);
  trailers.forEach([&](const http::HeaderField& f) {
    exchange.trailers.emplace_back(f.nameView(), f.valueView());
  });
  exchange.ended = true;
}

void H2Side::onAbort(codec::Stream& stream, codec::Abort abort, codec::CodecError) noexcept {
  exchangeOf(stream).aborted = true;
  exchangeOf(stream).why = abort;
}

void H2Side::onGoAway(uint64_t last_id, uint32_t) noexcept {
  going_away = true;
  last_stream = last_id;
}

}  // namespace gatehouse::harness
