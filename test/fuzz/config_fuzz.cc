// The loader refuses or takes any text in any format; it never crashes, and what it refuses it
// says.
#include <cstdint>
#include <string>

#include "api/envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "source/base/assert.h"
#include "source/config/diagnostics.h"
#include "source/config/loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gatehouse;
  std::string text(reinterpret_cast<const char*>(data), size);
  for (config::Format format : {config::Format::kYaml, config::Format::kJson,
                                config::Format::kTextProto, config::Format::kBinary}) {
    envoy::config::bootstrap::v3::Bootstrap bootstrap;
    config::Diagnostics diagnostics("fuzz");
    bool ok = config::loadText(text, format, config::LoadOptions(), bootstrap, diagnostics);
    GATEHOUSE_ASSERT(ok == diagnostics.ok());
    GATEHOUSE_ASSERT(ok || !diagnostics.toString().empty());
  }
  return 0;
}
