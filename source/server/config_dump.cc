#include "source/server/config_dump.h"

#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/json_util.h>
#include <re2/re2.h>

#include <memory>
#include <vector>

#include <google/protobuf/any.pb.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "api/envoy/admin/v3/config_dump.pb.h"
#include "api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace gatehouse::server {

namespace {

namespace pb = google::protobuf;
namespace v3 = envoy::admin::v3;
using envoy::config::bootstrap::v3::Bootstrap;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

constexpr char kText[] = "text/plain; charset=UTF-8";

// Envoy prints an Any with the deprecated-looking prefix of every protobuf tool.
template <class Message>
void pack(const Message& from, pb::Any* to) {
  to->PackFrom(from);
}

struct Sections {
  v3::BootstrapConfigDump bootstrap;
  v3::ClustersConfigDump clusters;
  v3::ListenersConfigDump listeners;
  v3::RoutesConfigDump routes;
  std::vector<pb::Message*> all() { return {&bootstrap, &clusters, &listeners, &routes}; }
};

// Route configurations stand inside the connection managers of the listeners.
template <class Add>
void forEachRouteConfig(const Bootstrap& bootstrap, Add&& add) {
  auto chain = [&](const envoy::config::listener::v3::FilterChain& one) {
    for (const auto& filter : one.filters()) {
      HttpConnectionManager manager;
      if (filter.typed_config().Is<HttpConnectionManager>() &&
          filter.typed_config().UnpackTo(&manager) && manager.has_route_config())
        add(manager.route_config());
    }
  };
  for (const auto& listener : bootstrap.static_resources().listeners()) {
    for (const auto& one : listener.filter_chains()) chain(one);
    if (listener.has_default_filter_chain()) chain(listener.default_filter_chain());
  }
}

Sections build(const Bootstrap& bootstrap, int64_t started) {
  Sections out;
  auto stamp = [&](pb::Timestamp* to) {
    to->set_seconds(started / 1'000'000);
    to->set_nanos(static_cast<int32_t>(started % 1'000'000 / 1000 * 1'000'000));
  };
  *out.bootstrap.mutable_bootstrap() = bootstrap;
  stamp(out.bootstrap.mutable_last_updated());
  for (const auto& cluster : bootstrap.static_resources().clusters()) {
    auto* entry = out.clusters.add_static_clusters();
    pack(cluster, entry->mutable_cluster());
    stamp(entry->mutable_last_updated());
  }
  for (const auto& listener : bootstrap.static_resources().listeners()) {
    auto* entry = out.listeners.add_static_listeners();
    pack(listener, entry->mutable_listener());
    stamp(entry->mutable_last_updated());
  }
  forEachRouteConfig(bootstrap, [&](const auto& config) {
    auto* entry = out.routes.add_static_route_configs();
    pack(config, entry->mutable_route_config());
    stamp(entry->mutable_last_updated());
  });
  return out;
}

std::unique_ptr<pb::Message> unpack(const pb::Any& any) {
  std::string type = any.type_url().substr(any.type_url().rfind('/') + 1);
  const auto* descriptor = pb::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) return nullptr;
  std::unique_ptr<pb::Message> message(
      pb::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  return any.UnpackTo(message.get()) ? std::move(message) : nullptr;
}

// The entry's Any: what a name or a mask below it is about. Null: it has none.
pb::Any* payload(pb::Message& entry) {
  const auto* field = entry.GetDescriptor()->FindFieldByNumber(1);
  if (field == nullptr || field->message_type() != pb::Any::descriptor()) return nullptr;
  return static_cast<pb::Any*>(entry.GetReflection()->MutableMessage(&entry, field));
}

std::string nameOf(pb::Message& entry) {
  pb::Any* any = payload(entry);
  auto message = any == nullptr ? nullptr : unpack(*any);
  if (message == nullptr) return "";
  const auto* field = message->GetDescriptor()->FindFieldByName("name");
  return field == nullptr ? "" : message->GetReflection()->GetString(*message, field);
}

// Keeps the entries of the section's repeated fields whose name matches.
void keepNamed(pb::Message& section, const re2::RE2& regex) {
  const auto* reflection = section.GetReflection();
  const auto* descriptor = section.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (!field->is_repeated()) continue;
    for (int at = reflection->FieldSize(section, field); at-- > 0;) {
      if (re2::RE2::FullMatch(nameOf(*reflection->MutableRepeatedMessage(&section, field, at)),
                              regex))
        continue;
      for (int j = at; j + 1 < reflection->FieldSize(section, field); ++j)
        reflection->SwapElements(&section, field, j, j + 1);
      reflection->RemoveLast(&section, field);
    }
  }
}

// Trims a message; a path that goes on below its Any trims what is packed there. False: no path
// fits.
bool trim(pb::Message& message, const pb::FieldMask& mask) {
  pb::FieldMask here, below;
  pb::Any* any = payload(message);
  std::string any_name =
      any == nullptr ? "" : message.GetDescriptor()->FindFieldByNumber(1)->name();
  for (const std::string& path : mask.paths()) {
    if (any != nullptr && path.rfind(any_name + ".", 0) == 0) {
      below.add_paths(path.substr(any_name.size() + 1));
      here.add_paths(any_name);
    } else {
      const auto* descriptor = message.GetDescriptor();
      if (pb::util::FieldMaskUtil::GetFieldDescriptors(descriptor, path, nullptr))
        here.add_paths(path);
    }
  }
  if (here.paths_size() == 0) return false;
  if (below.paths_size() != 0) {
    auto packed = unpack(*any);
    if (packed == nullptr || !trim(*packed, below)) return false;
    any->PackFrom(*packed);
  }
  pb::util::FieldMaskUtil::TrimMessage(here, &message);
  return true;
}

std::string print(const v3::ConfigDump& dump) {
  std::string json;
  pb::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  static_cast<void>(pb::util::MessageToJsonString(dump, &json, options));
  return json;
}

// One repeated field, its entries as sections of their own.
admin::Response oneResource(Sections& sections, const std::string& resource,
                            const pb::FieldMask* mask) {
  for (pb::Message* section : sections.all()) {
    const auto* field = section->GetDescriptor()->FindFieldByName(resource);
    if (field == nullptr) continue;
    if (!field->is_repeated()) {
      return {
          400, kText,
          resource + " is not a repeated field. Use ?mask=" + resource + " to get only this field"};
    }
    v3::ConfigDump dump;
    const auto* reflection = section->GetReflection();
    for (int i = 0; i < reflection->FieldSize(*section, field); ++i) {
      pb::Message* entry = reflection->MutableRepeatedMessage(section, field, i);
      if (mask != nullptr && !trim(*entry, *mask)) {
        return {400, kText,
                "FieldMask " + pb::util::FieldMaskUtil::ToString(*mask) +
                    " could not be successfully used."};
      }
      dump.add_configs()->PackFrom(*entry);
    }
    return {200, "application/json", print(dump)};
  }
  return {404, kText, resource + " not found in config dump"};
}

}  // namespace

admin::Response configDump(const Bootstrap& bootstrap, int64_t started,
                           const admin::Request& request) {
  Sections sections = build(bootstrap, started);
  for (const auto& [key, value] : request.query) {
    if (key != "resource" && key != "mask" && key != "name_regex" && key != "include_eds")
      return {400, kText, "unknown parameter '" + key + "'\n"};
  }
  if (auto found = request.query.find("name_regex"); found != request.query.end()) {
    re2::RE2 regex(found->second, re2::RE2::Quiet);
    if (!regex.ok())
      return {400, kText,
              "Error while parsing name_regex from " + found->second + ": " + regex.error() + "\n"};
    for (pb::Message* section : sections.all()) keepNamed(*section, regex);
  }
  pb::FieldMask mask;
  auto asked = request.query.find("mask");
  bool masked = asked != request.query.end();
  if (masked) pb::util::FieldMaskUtil::FromString(asked->second, &mask);
  if (auto found = request.query.find("resource"); found != request.query.end())
    return oneResource(sections, found->second, masked ? &mask : nullptr);
  v3::ConfigDump dump;
  for (pb::Message* section : sections.all()) {
    if (masked && !trim(*section, mask)) continue;
    dump.add_configs()->PackFrom(*section);
  }
  if (masked && dump.configs_size() == 0) {
    return {400, kText,
            "FieldMask " + asked->second + " could not be successfully applied to any configs."};
  }
  return {200, "application/json", print(dump)};
}

}  // namespace gatehouse::server
