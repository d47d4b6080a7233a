#include "source/chain/network_engine.h"

#include <utility>

namespace gatehouse::chain {

using sdk::Step;

// How long bytes that were written before a filter closed may take.
constexpr event::Millis kPatience{1000};

NetworkChain::NetworkChain(std::vector<sdk::NetworkFilterPlan> filters,
                           std::shared_ptr<const sdk::TerminalNetworkFilter> terminal)
    : filters_(std::move(filters)), terminal_(std::move(terminal)) {
  for (const sdk::NetworkFilterPlan& plan : filters_) {
    bytes_ = (bytes_ + plan.type.align - 1) / plan.type.align * plan.type.align;
    offsets_.push_back(static_cast<uint32_t>(bytes_));
    bytes_ += plan.type.size;
  }
}

void NetworkChain::serve(net::Connection& connection, const sdk::ConnectionInfo& info) const {
  new NetworkEngine(std::static_pointer_cast<const NetworkChain>(shared_from_this()), connection,
                    info);
}

NetworkEngine::NetworkEngine(std::shared_ptr<const NetworkChain> chain, net::Connection& connection,
                             const sdk::ConnectionInfo& info)
    : chain_(std::move(chain)),
      connection_(&connection),
      info_(info),
      filters_(std::make_unique<std::byte[]>(chain_->bytes_)) {
  connection.setUser(*this);
  handles_.reserve(chain_->filters_.size());
  for (size_t i = 0; i < chain_->filters_.size(); ++i) {
    const sdk::NetworkFilterPlan& plan = chain_->filters_[i];
    handles_.emplace_back(*this, static_cast<uint8_t>(i));
    plan.type.construct(at(i), plan.config.get(), handles_[i]);
  }
  connect(0);
}

NetworkEngine::~NetworkEngine() {
  for (size_t i = 0; i < chain_->filters_.size(); ++i) chain_->filters_[i].type.destroy(at(i));
}

void NetworkEngine::connect(size_t from) {
  for (size_t i = from; i < chain_->filters_.size(); ++i) {
    auto* hook = chain_->filters_[i].type.on_connection;
    if (hook == nullptr) continue;
    Step step = hook(at(i));
    if (close_) return;
    if (step == Step::kPause) return pauseAt(i);
  }
  chain_->terminal_->serve(*connection_, info_);
  stayBetween();
}

void NetworkEngine::stayBetween() {
  if (closed_ || connection_->user() == this) return;
  user_ = connection_->user();
  connection_->setUser(*this);
}

void NetworkEngine::pauseAt(size_t i) {
  paused_ = static_cast<uint8_t>(i);
  connection_->pauseIngest();
}

void NetworkEngine::onData(buffer::Buffer& in, bool end) noexcept {
  if (close_) in.clear();
  if (close_ || user_ == nullptr) return;
  // What the user has left has been through the filters.
  buffer::Buffer ready;
  ready.takePrefix(in, passed_);
  bool go_on = filter(std::exchange(resume_from_, 0), in, end);
  ready.take(in);
  in = std::move(ready);
  if (!go_on) return;
  user_->onData(in, end);
  passed_ = in.length();
  stayBetween();
}

bool NetworkEngine::filter(size_t from, buffer::Buffer& in, bool end) {
  for (size_t i = from; i < chain_->filters_.size(); ++i) {
    auto* hook = chain_->filters_[i].type.on_data;
    if (hook == nullptr) continue;
    Step step = hook(at(i), in, end);
    if (close_ || closed_) return false;
    if (step == Step::kPause) {
      pauseAt(i);
      return false;
    }
  }
  return true;
}

void NetworkEngine::resume(uint8_t filter) {
  if (paused_ != filter) return;
  resume_ = true;
  event::Worker::current().queue(*this);
}

void NetworkEngine::close(bool flush) {
  if (close_) return;
  close_ = true;
  close_flush_ = flush;
  event::Worker::current().queue(*this);
}

void NetworkEngine::run() noexcept {
  if (closed_) return;
  if (close_) {
    if (close_flush_) {
      connection_->closeAfterFlush(kPatience, false);
    } else {
      connection_->close(net::CloseReason::kLocal);
    }
    return;
  }
  if (!resume_) return;
  resume_ = false;
  size_t from = std::exchange(paused_, kNobody);
  if (user_ == nullptr) {
    connect(from + 1);
  } else {
    resume_from_ = from;  // it sees the same bytes again
  }
  if (!closed_ && !close_ && paused_ == kNobody) connection_->resumeIngest();
}

size_t NetworkEngine::produce(buffer::Buffer& out, size_t room) noexcept {
  if (user_ == nullptr) return 0;
  buffer::Buffer made;
  user_->produce(made, room);
  if (made.empty()) return 0;
  for (size_t i = chain_->filters_.size(); i-- > 0;) {
    if (auto* hook = chain_->filters_[i].type.on_write) hook(at(i), made);
  }
  size_t added = made.length();
  out.take(made);
  return added;
}

void NetworkEngine::onFlushed() noexcept {
  if (user_ == nullptr) return;
  user_->onFlushed();
  stayBetween();
}

void NetworkEngine::onClosed(net::CloseReason why, int error) noexcept {
  closed_ = true;
  event::Task::unlink();
  for (size_t i = 0; i < chain_->filters_.size(); ++i) {
    if (auto* hook = chain_->filters_[i].type.on_close) hook(at(i));
  }
  event::Worker::current().bury(*this);
  if (user_ != nullptr) user_->onClosed(why, error);
}

}  // namespace gatehouse::chain

namespace gatehouse::sdk {

const ConnectionInfo& NetworkStream::info() const { return engine_.info(); }
void NetworkStream::resume() { engine_.resume(index_); }
void NetworkStream::close(bool flush) { engine_.close(flush); }

}  // namespace gatehouse::sdk
