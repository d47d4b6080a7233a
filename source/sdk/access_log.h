#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "source/sdk/factory.h"

namespace gatehouse::sdk {

// What a finished stream offers to loggers and formatters; response parts may be null.
struct LogEntry {
  const http::RequestHead* request = nullptr;
  const http::ResponseHead* response = nullptr;
  const http::HeaderMap* trailers = nullptr;
  const StreamInfo& info;
};

// One configured access logger; immutable, shared by all workers. log() runs on the stream's worker
// after every filter's onEnd().
class AccessLogger {
 public:
  virtual ~AccessLogger() = default;
  virtual void log(const LogEntry& entry) const noexcept = 0;
};

class AccessLoggerFactory {
 public:
  virtual ~AccessLoggerFactory() = default;
  virtual std::string_view name() const = 0;
  virtual std::string_view configType() const = 0;
  virtual absl::StatusOr<std::shared_ptr<const AccessLogger>> compile(
      const google::protobuf::Message& config, FactoryContext& context) = 0;
};

}  // namespace gatehouse::sdk
