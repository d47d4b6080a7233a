// The file, stdout and stderr access loggers: one line an entry, handed to the writer thread.
#include "api/envoy/config/core/v3/substitution_format_string.pb.h"
#include "api/envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "api/envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "source/config/registry.h"
#include "source/formatter/formatter.h"
#include "source/log/file_writers.h"
#include "source/sdk/access_log.h"

namespace gatehouse::extensions::access_loggers {

namespace {

using formatter::Formatter;
using formatter::JsonFormatter;

absl::Status bad(const std::string& path, const absl::Status& status) {
  return absl::InvalidArgumentError(path + ": " + std::string(status.message()));
}

template <class Format>
class Logger final : public sdk::AccessLogger {
 public:
  Logger(Format format, log::FileWriter& file) : format_(std::move(format)), file_(file) {}
  void log(const sdk::LogEntry& entry) const noexcept override {
    static thread_local std::string line;
    line.clear();
    format_.render(entry, line);
    file_.write(line);
  }

 private:
  Format format_;
  log::FileWriter& file_;
};

using Result = absl::StatusOr<std::shared_ptr<const sdk::AccessLogger>>;

Result textLogger(const std::string& format, bool omit_empty, log::FileWriter& file,
                  const std::string& path) {
  auto compiled = Formatter::compile(format, omit_empty);
  if (!compiled.ok()) return bad(path, compiled.status());
  return std::make_shared<Logger<Formatter>>(*std::move(compiled), file);
}

Result jsonLogger(const google::protobuf::Struct& format, bool omit_empty, log::FileWriter& file,
                  const std::string& path) {
  auto compiled = JsonFormatter::compile(format, omit_empty);
  if (!compiled.ok()) return bad(path, compiled.status());
  return std::make_shared<Logger<JsonFormatter>>(*std::move(compiled), file);
}

Result formatLogger(const envoy::config::core::v3::SubstitutionFormatString& config,
                    log::FileWriter& file) {
  using Config = envoy::config::core::v3::SubstitutionFormatString;
  switch (config.format_case()) {
    case Config::kTextFormat:
      return textLogger(config.text_format(), config.omit_empty_values(), file,
                        "log_format.text_format");
    case Config::kJsonFormat:
      return jsonLogger(config.json_format(), config.omit_empty_values(), file,
                        "log_format.json_format");
    case Config::kTextFormatSource: {
      const auto& source = config.text_format_source();
      if (source.specifier_case() != envoy::config::core::v3::DataSource::kInlineString) {
        return absl::InvalidArgumentError(
            "log_format.text_format_source: only inline_string is supported by Gatehouse yet");
      }
      return textLogger(source.inline_string(), config.omit_empty_values(), file,
                        "log_format.text_format_source");
    }
    case Config::FORMAT_NOT_SET:
      return absl::InvalidArgumentError(
          "log_format: one of text_format, json_format and text_format_source is required");
  }
  return absl::InternalError("unreachable");
}

class FileFactory final : public sdk::AccessLoggerFactory {
 public:
  std::string_view name() const override { return "envoy.access_loggers.file"; }
  std::string_view configType() const override {
    return "envoy.extensions.access_loggers.file.v3.FileAccessLog";
  }
  Result compile(const google::protobuf::Message& message, sdk::FactoryContext& context) override {
    envoy::extensions::access_loggers::file::v3::FileAccessLog config;
    config.CopyFrom(message);
    std::string error;
    log::FileWriter* file = context.files.open(config.path(), &error);
    if (file == nullptr) return absl::InvalidArgumentError("path: " + error);
    if (config.has_log_format()) return formatLogger(config.log_format(), *file);
    if (config.has_json_format())
      return jsonLogger(config.json_format(), false, *file, "json_format");
    return textLogger(config.format().empty() ? formatter::kDefaultFormat : config.format(), false,
                      *file, "format");
  }
};

template <class Config>
Result streamLogger(const google::protobuf::Message& message, const char* path,
                    sdk::FactoryContext& context) {
  Config config;
  config.CopyFrom(message);
  std::string error;
  log::FileWriter* file = context.files.open(path, &error);
  if (file == nullptr) return absl::InvalidArgumentError(error);
  if (config.has_log_format()) return formatLogger(config.log_format(), *file);
  return textLogger(formatter::kDefaultFormat, false, *file, "log_format");
}

class StdoutFactory final : public sdk::AccessLoggerFactory {
 public:
  std::string_view name() const override { return "envoy.access_loggers.stdout"; }
  std::string_view configType() const override {
    return "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
  }
  Result compile(const google::protobuf::Message& message, sdk::FactoryContext& context) override {
    return streamLogger<envoy::extensions::access_loggers::stream::v3::StdoutAccessLog>(
        message, "/dev/stdout", context);
  }
};

class StderrFactory final : public sdk::AccessLoggerFactory {
 public:
  std::string_view name() const override { return "envoy.access_loggers.stderr"; }
  std::string_view configType() const override {
    return "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";
  }
  Result compile(const google::protobuf::Message& message, sdk::FactoryContext& context) override {
    return streamLogger<envoy::extensions::access_loggers::stream::v3::StderrAccessLog>(
        message, "/dev/stderr", context);
  }
};

GATEHOUSE_REGISTER(sdk::AccessLoggerFactory, FileFactory);
GATEHOUSE_REGISTER(sdk::AccessLoggerFactory, StdoutFactory);
GATEHOUSE_REGISTER(sdk::AccessLoggerFactory, StderrFactory);

}  // namespace

}  // namespace gatehouse::extensions::access_loggers
