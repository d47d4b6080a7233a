#include "source/proxy/header_mutation.h"

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
  if (head.authority.empty()) {
    if (head.version == http::Version::kHttp10 && !config.default_host.empty()) {
      head.authority = config.default_host;
      return {};
    }
    return {400, "", "missing_host_header", ""};
  }
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
  if (head.path.empty() || head.path.front() != '/') return {};
  memory::Arena& arena = head.headers.arena();
  if (config.escaped_slashes != EscapedSlashes::kKeep && http::hasEscapedSlashes(head.path)) {
    if (config.escaped_slashes == EscapedSlashes::kReject)
      return {400, "", "path_normalization_failed", ""};
    head.path = http::unescapeSlashes(head.path, arena);
    if (config.escaped_slashes == EscapedSlashes::kRedirect) {
      // The client repeats the request with the path every later rule will see.
      if (auto normal = http::normalizePath(head.path, arena); config.normalize_path && normal)
        head.path = *normal;
      return {307, "", "path_normalization_redirect", head.path};
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
    return {400, "Bad Request", "http1.unexpected_underscore", ""};
  return {};
}

void setForwarded(http::RequestHead& head, const HcmConfig& config, sdk::StreamInfo& info) {
  http::HeaderMap& headers = head.headers;
  const sdk::ConnectionInfo& connection = *info.connection;
  if (config.use_remote_address) {
    info.downstream_remote = config.xff_trusted_hops == 0
                                 ? connection.remote
                                 : forwardedAddress(head, config.xff_trusted_hops - 1);
    if (!info.downstream_remote.known()) info.downstream_remote = connection.remote;
    // At the edge nobody outside may steer the proxy.
    for (HeaderId id :
         {HeaderId::kXEnvoyInternal, HeaderId::kXEnvoyRetryOn, HeaderId::kXEnvoyMaxRetries,
          HeaderId::kXEnvoyUpstreamRqTimeoutMs, HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs,
          HeaderId::kXEnvoyExpectedRqTimeoutMs, HeaderId::kXEnvoyDownstreamServiceCluster,
          HeaderId::kXEnvoyDownstreamServiceNode, HeaderId::kXEnvoyDecoratorOperation,
          HeaderId::kXEnvoyExternalAddress}) {
      if (headers.has(id)) headers.remove(id);
    }
    char text[net::Address::kMaxText];
    if (!config.skip_xff_append && connection.remote.isIp()) {
      size_t n = connection.remote.write(text, false);
      auto before = headers.joined("x-forwarded-for");
      if (before && !before->empty()) {
        char* joined = headers.arena().allocateArray<char>(before->size() + 1 + n);
        before->copy(joined, before->size());
        joined[before->size()] = ',';
        std::copy(text, text + n, joined + before->size() + 1);
        headers.set(HeaderId::kXForwardedFor, {joined, before->size() + 1 + n});
      } else {
        headers.setCopy(HeaderId::kXForwardedFor, {text, n});
      }
    }
    if (info.downstream_remote.isIp()) {
      headers.setCopy(HeaderId::kXEnvoyExternalAddress,
                      {text, info.downstream_remote.write(text, false)});
    }
    if (config.xff_trusted_hops == 0) headers.remove(HeaderId::kXForwardedProto);
  } else {
    info.downstream_remote = forwardedAddress(head, config.xff_trusted_hops);
    if (!info.downstream_remote.known()) info.downstream_remote = connection.remote;
    if (headers.has(HeaderId::kXEnvoyInternal)) headers.remove(HeaderId::kXEnvoyInternal);
  }
  std::string_view proto = headers.get(HeaderId::kXForwardedProto);
  if (proto != "http" && proto != "https") {
    proto = "http";
    headers.set(HeaderId::kXForwardedProto, proto);
  }
  head.scheme = proto;
  if (config.append_forwarded_port && !headers.has(HeaderId::kXForwardedPort) &&
      connection.local.isIp()) {
    headers.addCopy(HeaderId::kXForwardedPort, std::to_string(connection.local.port()));
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
  if (head.method_id == http::Method::kConnect) return {404, "", "route_not_found", ""};
  refusal = normalize(head, config);
  if (refusal.status != 0) return refusal;
  stripPort(head, config, info);
  std::string_view te = head.headers.get(HeaderId::kTe);
  stripHopByHop(head.headers);
  if (!te.empty()) {
    head.headers.remove(HeaderId::kTe);
    if (http::equalsIgnoreCase(http::trim(te), "trailers"))
      head.headers.set(HeaderId::kTe, "trailers");
  }
  setForwarded(head, config, info);
  setRequestId(head, config, random_a, random_b);
  if (!config.via.empty()) head.headers.add(HeaderId::kVia, config.via);
  return {};
}

void prepareResponse(http::ResponseHead& head, const http::RequestHead& request,
                     const HcmConfig& config) {
  http::HeaderMap& headers = head.headers;
  stripHopByHop(headers);
  if (config.server_header == ServerHeader::kOverwrite ||
      (config.server_header == ServerHeader::kAppendIfAbsent && !headers.has(HeaderId::kServer))) {
    headers.set(HeaderId::kServer, config.server_name);
  }
  if (!headers.has(HeaderId::kDate)) {
    headers.addCopy(HeaderId::kDate,
                    http::httpDate(event::Worker::current().wallMicros() / 1'000'000));
  }
  if (!config.via.empty()) headers.add(HeaderId::kVia, config.via);
  if (config.request_id_in_response && !headers.has(HeaderId::kXRequestId)) {
    std::string_view id = request.headers.get(HeaderId::kXRequestId);
    if (!id.empty()) headers.set(HeaderId::kXRequestId, id);
  }
}

}  // namespace gatehouse::proxy
