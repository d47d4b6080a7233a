#include "source/upstream/request.h"

#include "source/upstream/pool.h"

namespace gatehouse::upstream {

void UpstreamRequest::sendHead(const http::RequestHead& head, bool end) noexcept {
  connection_->codec().sendRequestHead(*this, head, end);
  request_sent_ = end;
  connection_->markDirty();
}

void UpstreamRequest::sendBody(buffer::Buffer& take, bool end) noexcept {
  connection_->codec().sendBody(*this, take, end);
  request_sent_ = end;
  connection_->connection().markDirty(connection_->codec().queued(*this));
}

void UpstreamRequest::sendTrailers(const http::HeaderMap& trailers) noexcept {
  connection_->codec().sendTrailers(*this, trailers);
  request_sent_ = true;
  connection_->markDirty();
}

void UpstreamRequest::grantBody(uint32_t bytes) noexcept {
  if (connection_ == nullptr || response_ended_) return;
  bool was_dry = credit == 0;
  connection_->codec().grant(*this, bytes);
  connection_->granted(was_dry && bytes != 0);
}

size_t UpstreamRequest::queued() const noexcept {
  if (connection_ == nullptr) return 0;
  return connection_->codec().queued(*this) + connection_->connection().pendingOutput();
}

void UpstreamRequest::cancel() noexcept {
  if (pool_ != nullptr) {
    pool_->leave(*this);
  } else if (connection_ != nullptr) {
    connection_->resetByUser(*this);
  }
}

}  // namespace gatehouse::upstream
