#include "source/proxy/header_mutation.h"

#include <algorithm>
#include <span>

#include "source/event/worker.h"
#include "source/http/chars.h"
#include "source/http/date.h"
#include "source/http/path.h"

namespace gatehouse::proxy {

namespace {

using http::HeaderId;

// Connection options name further fields to strip; those that frame, route or authorise are never
// removed by a peer's wish.
void stripHopByHop(http::HeaderMap& headers) {
  for (const http::HeaderField* field = std::as_const(headers).find(HeaderId::kConnection);
       field != nullptr; field = std::as_const(headers).next(*field)) {
    http::forEachListItem(field->valueView(), [&](std::string_view token) {
      if (token.size() > 64) return true;
      char lower[64];
      for (size_t i = 0; i < token.size(); ++i) lower[i] = http::lower(token[i]);
      std::string_view name(lower, token.size());
      switch (http::headerId(name)) {
        case HeaderId::kContentLength:
        case HeaderId::kTransferEncoding:
        case HeaderId::kHost:
        case HeaderId::kXForwardedFor:
        case HeaderId::kXForwardedHost:
        case HeaderId::kXForwardedProto:
        case HeaderId::kConnection:
        case HeaderId::kTe:
          return true;
        default:
          headers.remove(name);
          return true;
      }
    });
  }
  for (HeaderId id : {HeaderId::kConnection, HeaderId::kKeepAlive, HeaderId::kProxyConnection,
                      HeaderId::kTransferEncoding, HeaderId::kUpgrade}) {
    if (headers.has(id)) headers.remove(id);
  }
}

// The n-th address from the right of x-forwarded-for, 0 the last; unknown if there is none or it is
// no address.
net::Address forwardedAddress(http::RequestHead& head, uint32_t from_right) {
  auto list = head.headers.joined("x-forwarded-for");
  if (!list) return {};
  std::string_view rest = *list;
  for (uint32_t i = 0;; ++i) {
    size_t comma = rest.rfind(',');
    std::string_view item = http::trim(comma == rest.npos ? rest : rest.substr(comma + 1));
    if (i == from_right) return net::Address::parse(item, 0).value_or(net::Address());
    if (comma == rest.npos) return {};
    rest = rest.substr(0, comma);
  }
}

Refusal checkHost(http::RequestHead& head, const HcmConfig& config) {
  if (head.authority.data() == nullptr) {
    if (head.version == http::Version::kHttp10 && !config.default_host.empty()) {
      head.authority = config.default_host;
      return {};
    }
    return {400, "", "missing_host_header", ""};
  }
  if (head.authority.empty()) return {};
  std::string_view host, port;
  if (!http::splitAuthority(head.authority, &host, &port))
    return {400, "", "invalid_authority", ""};
  if (config.strip_trailing_dot && host.size() > 1 && host.back() == '.') {
    std::string_view bare = host.substr(0, host.size() - 1);
    if (port.empty()) {
      head.authority = bare;
    } else {
      char* text = head.headers.arena().allocateArray<char>(bare.size() + 1 + port.size());
      bare.copy(text, bare.size());
      text[bare.size()] = ':';
      port.copy(text + bare.size() + 1, port.size());
      head.authority = {text, bare.size() + 1 + port.size()};
    }
    host = bare;
  }
  return {};
}

void stripPort(http::RequestHead& head, const HcmConfig& config, const sdk::StreamInfo& info) {
  if (!config.strip_any_port && !config.strip_matching_port) return;
  std::string_view host, port;
  if (!http::splitAuthority(head.authority, &host, &port) || host.size() == head.authority.size())
    return;
  if (config.strip_any_port ||
      (info.connection->local.isIp() && port == std::to_string(info.connection->local.port()))) {
    head.authority = host;
  }
}

Refusal normalize(http::RequestHead& head, const HcmConfig& config) {
  if (head.path.empty() || head.path.front() != '/') return {404, "", "absolute_path_rejected", ""};
  // A fragment never belongs on the wire; peers differ in where they cut it off.
  if (head.path.find('#') != head.path.npos) return {400, "", "path_normalization_failed", ""};
  memory::Arena& arena = head.headers.arena();
  if (config.escaped_slashes != EscapedSlashes::kKeep && http::hasEscapedSlashes(head.path)) {
    head.path = http::unescapeSlashes(head.path, arena);
    if (config.escaped_slashes == EscapedSlashes::kReject)
      return {400, "", "path_normalization_failed", ""};
    if (config.escaped_slashes == EscapedSlashes::kRedirect) {
      // The client repeats the request with the path every later rule will see.
      if (auto normal = http::normalizePath(head.path, arena); config.normalize_path && normal)
        head.path = *normal;
      return {307, "", "path_normalization_failed", head.path};
    }
  }
  if (config.normalize_path) {
    auto normal = http::normalizePath(head.path, arena);
    if (!normal) return {400, "", "path_normalization_failed", ""};
    head.path = *normal;
  }
  if (config.merge_slashes) head.path = http::mergeSlashes(head.path, arena);
  return {};
}

Refusal checkUnderscores(http::RequestHead& head, Underscores action) {
  if (action == Underscores::kAllow) return {};
  bool found = false;
  head.headers.forEachMutable([&](http::HeaderField& field) {
    if (field.nameView().find('_') == std::string_view::npos) return;
    found = true;
    if (action == Underscores::kDrop) head.headers.removeField(field);
  });
  if (found && action == Underscores::kReject)
    return {400, "Bad Request", "http1.unexpected_underscore", "", true};
  return {};
}

// Fields by which a trusted peer steers the proxy. Without internal_address_config nobody is
// trusted; those that only describe the past go at the edge alone. All names as Envoy's.
void removeSteering(http::HeaderMap& headers, bool edge) {
  constexpr std::string_view kPrefix = "x-envoy-";
  static constexpr std::string_view kAlways[] = {"expected-rq-timeout-ms",
                                                 "force-trace",
                                                 "hedge-on-per-try-timeout",
                                                 "internal",
                                                 "ip-tags",
                                                 "max-retries",
                                                 "original-url",
                                                 "retriable-header-names",
                                                 "retriable-status-codes",
                                                 "retry-grpc-on",
                                                 "retry-on",
                                                 "upstream-alt-stat-name",
                                                 "upstream-rq-per-try-timeout-ms",
                                                 "upstream-rq-timeout-alt-response",
                                                 "upstream-rq-timeout-ms"};
  static constexpr std::string_view kAtTheEdge[] = {"decorator-operation",
                                                    "downstream-service-cluster",
                                                    "downstream-service-node", "original-path"};
  headers.forEachMutable([&](http::HeaderField& field) {
    std::string_view name = field.nameView();
    if (!name.starts_with(kPrefix)) return;
    name.remove_prefix(kPrefix.size());
    auto listed = [&](std::span<const std::string_view> list) {
      return std::find(list.begin(), list.end(), name) != list.end();
    };
    if (listed(kAlways) || (edge && listed(kAtTheEdge))) headers.removeField(field);
  });
}

// Adds to the end of the first field of that name, as one list.
void appendTo(http::HeaderMap& headers, HeaderId id, std::string_view separator,
              std::string_view text) {
  auto before = headers.joined(http::headerName(id));
  if (!before || before->empty()) {
    headers.setCopy(id, text);
    return;
  }
  size_t size = before->size() + separator.size() + text.size();
  char* joined = headers.arena().allocateArray<char>(size);
  before->copy(joined, before->size());
  separator.copy(joined + before->size(), separator.size());
  text.copy(joined + before->size() + separator.size(), text.size());
  headers.set(id, {joined, size});
}

void setForwarded(http::RequestHead& head, const HcmConfig& config, sdk::StreamInfo& info) {
  http::HeaderMap& headers = head.headers;
  const sdk::ConnectionInfo& connection = *info.connection;
  removeSteering(headers, config.use_remote_address);
  char text[net::Address::kMaxText];
  // Nobody in front of us is trusted to say what the client spoke.
  bool first = config.use_remote_address && config.xff_trusted_hops == 0;
  if (config.use_remote_address) {
    info.downstream_remote =
        first ? connection.remote : forwardedAddress(head, config.xff_trusted_hops - 1);
    if (!info.downstream_remote.known()) info.downstream_remote = connection.remote;
    if (!config.skip_xff_append && connection.remote.isIp()) {
      appendTo(headers, HeaderId::kXForwardedFor, ",",
               {text, connection.remote.write(text, false)});
    }
  } else {
    info.downstream_remote = forwardedAddress(head, config.xff_trusted_hops);
    if (!info.downstream_remote.known()) info.downstream_remote = connection.remote;
  }
  if (first || !headers.has(HeaderId::kXForwardedProto))
    headers.set(HeaderId::kXForwardedProto, "http");
  std::string_view proto = headers.get(HeaderId::kXForwardedProto);
  head.scheme = proto == "https" ? "https" : "http";
  if (config.append_forwarded_port && connection.local.isIp() &&
      (first || !headers.has(HeaderId::kXForwardedPort))) {
    headers.setCopy(HeaderId::kXForwardedPort, std::to_string(connection.local.port()));
  }
  if (config.use_remote_address && info.downstream_remote.isIp()) {
    headers.setCopy(HeaderId::kXEnvoyExternalAddress,
                    {text, info.downstream_remote.write(text, false)});
  }
}

void setRequestId(http::RequestHead& head, const HcmConfig& config, uint64_t a, uint64_t b) {
  if (!config.generate_request_id) return;
  bool keep = !config.use_remote_address || config.preserve_request_id;
  if (keep && head.headers.has(HeaderId::kXRequestId)) return;
  // Version 4 UUID (RFC 9562 5.4).
  static constexpr char kHex[] = "0123456789abcdef";
  char* id = head.headers.arena().allocateArray<char>(36);
  int nibble = 0;
  for (int i = 0; i < 36; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      id[i] = '-';
      continue;
    }
    uint64_t value = ((nibble < 16 ? a : b) >> (4 * (nibble % 16))) & 15;
    if (i == 14) value = 4;
    if (i == 19) value = 8 | (value & 3);
    id[i] = kHex[value];
    ++nibble;
  }
  head.headers.set(HeaderId::kXRequestId, {id, 36});
}

}  // namespace

Refusal prepareRequest(http::RequestHead& head, const HcmConfig& config, sdk::StreamInfo& info,
                       uint64_t random_a, uint64_t random_b) {
  Refusal refusal = checkHost(head, config);
  if (refusal.status != 0) return refusal;
  refusal = checkUnderscores(head, config.underscores);
  if (refusal.status != 0) return refusal;
  if (head.headers.has(HeaderId::kUpgrade)) {
    bool asked = false;
    http::forEachListItem(head.headers.get(HeaderId::kConnection), [&](std::string_view token) {
      asked = http::equalsIgnoreCase(token, "upgrade");
      return !asked;
    });
    // h2c is never relayed and never taken up: such a request goes on as plain HTTP/1.1.
    if (asked && !http::equalsIgnoreCase(http::trim(head.headers.get(HeaderId::kUpgrade)), "h2c")) {
      return {403, "", "upgrade_failed", ""};
    }
  }
  // No route matches CONNECT before there are upgrade_configs.
  if (head.method_id == http::Method::kConnect) return {404, "", "route_not_found", ""};
  refusal = normalize(head, config);
  if (refusal.status != 0) return refusal;
  stripPort(head, config, info);
  std::string_view te = head.headers.get(HeaderId::kTe);
  stripHopByHop(head.headers);
  if (!te.empty()) {
    bool trailers = false;
    http::forEachListItem(te, [&](std::string_view item) {
      trailers = http::equalsIgnoreCase(item, "trailers");
      return !trailers;
    });
    if (trailers) {
      head.headers.set(HeaderId::kTe, "trailers");
    } else {
      head.headers.remove(HeaderId::kTe);
    }
  }
  setForwarded(head, config, info);
  setRequestId(head, config, random_a, random_b);
  if (!config.via.empty()) appendTo(head.headers, HeaderId::kVia, ", ", config.via);
  return {};
}

void prepareResponse(http::ResponseHead& head, const http::RequestHead& request,
                     const HcmConfig& config) {
  http::HeaderMap& headers = head.headers;
  stripHopByHop(headers);
  if (!headers.has(HeaderId::kDate)) {
    headers.addCopy(HeaderId::kDate,
                    http::httpDate(event::Worker::current().wallMicros() / 1'000'000));
  }
  if (config.server_header == ServerHeader::kOverwrite ||
      (config.server_header == ServerHeader::kAppendIfAbsent && !headers.has(HeaderId::kServer))) {
    headers.set(HeaderId::kServer, config.server_name);
  }
  if (!config.via.empty()) appendTo(headers, HeaderId::kVia, ", ", config.via);
  if (config.request_id_in_response && !headers.has(HeaderId::kXRequestId)) {
    std::string_view id = request.headers.get(HeaderId::kXRequestId);
    if (!id.empty()) headers.set(HeaderId::kXRequestId, id);
  }
}

}  // namespace gatehouse::proxy
