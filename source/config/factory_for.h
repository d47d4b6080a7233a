#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/any.pb.h>

#include "absl/status/statusor.h"
#include "source/base/nearest.h"
#include "source/config/registry.h"

namespace gatehouse::config {

// Unpacks an Any by its type with the factory that is registered for it.
template <class Factory>
absl::StatusOr<Factory*> factoryFor(const google::protobuf::Any& any, const std::string& path,
                                    std::unique_ptr<google::protobuf::Message>* message) {
  if (any.type_url().empty()) return absl::InvalidArgumentError(path + ": the field is required");
  Factory* factory = Registry<Factory>::find(any.type_url());
  std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
  if (factory == nullptr) {
    std::vector<std::string_view> types = Registry<Factory>::types();
    return absl::InvalidArgumentError(path + ": '" + type +
                                      "' is no extension that can stand here" +
                                      base::didYouMean(type, types));
  }
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  message->reset(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  if (!any.UnpackTo(message->get()))
    return absl::InvalidArgumentError(path + ": the bytes are no valid " + type);
  return factory;
}

}  // namespace gatehouse::config
