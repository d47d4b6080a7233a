#pragma once

#include <cstdint>
#include <string_view>

namespace gatehouse::http {

// Well-known field names. An id makes a lookup one scan of bytes; everything else is kOther and
// found by name.
#define GATEHOUSE_HEADERS(X)                                                   \
  X(Accept, "accept")                                                          \
  X(AcceptEncoding, "accept-encoding")                                         \
  X(AcceptLanguage, "accept-language")                                         \
  X(AcceptRanges, "accept-ranges")                                             \
  X(Age, "age")                                                                \
  X(Allow, "allow")                                                            \
  X(Authorization, "authorization")                                            \
  X(CacheControl, "cache-control")                                             \
  X(Connection, "connection")                                                  \
  X(ContentEncoding, "content-encoding")                                       \
  X(ContentLanguage, "content-language")                                       \
  X(ContentLength, "content-length")                                           \
  X(ContentRange, "content-range")                                             \
  X(ContentType, "content-type")                                               \
  X(Cookie, "cookie")                                                          \
  X(Date, "date")                                                              \
  X(Etag, "etag")                                                              \
  X(Expect, "expect")                                                          \
  X(Expires, "expires")                                                        \
  X(GrpcMessage, "grpc-message")                                               \
  X(GrpcStatus, "grpc-status")                                                 \
  X(GrpcTimeout, "grpc-timeout")                                               \
  X(Host, "host")                                                              \
  X(IfMatch, "if-match")                                                       \
  X(IfModifiedSince, "if-modified-since")                                      \
  X(IfNoneMatch, "if-none-match")                                              \
  X(IfRange, "if-range")                                                       \
  X(KeepAlive, "keep-alive")                                                   \
  X(LastModified, "last-modified")                                             \
  X(Location, "location")                                                      \
  X(Origin, "origin")                                                          \
  X(Pragma, "pragma")                                                          \
  X(ProxyAuthenticate, "proxy-authenticate")                                   \
  X(ProxyConnection, "proxy-connection")                                       \
  X(Range, "range")                                                            \
  X(Referer, "referer")                                                        \
  X(RetryAfter, "retry-after")                                                 \
  X(Server, "server")                                                          \
  X(SetCookie, "set-cookie")                                                   \
  X(Te, "te")                                                                  \
  X(Trailer, "trailer")                                                        \
  X(TransferEncoding, "transfer-encoding")                                     \
  X(Upgrade, "upgrade")                                                        \
  X(UserAgent, "user-agent")                                                   \
  X(Vary, "vary")                                                              \
  X(Via, "via")                                                                \
  X(WwwAuthenticate, "www-authenticate")                                       \
  X(XEnvoyAttemptCount, "x-envoy-attempt-count")                               \
  X(XEnvoyDecoratorOperation, "x-envoy-decorator-operation")                   \
  X(XEnvoyDownstreamServiceCluster, "x-envoy-downstream-service-cluster")      \
  X(XEnvoyDownstreamServiceNode, "x-envoy-downstream-service-node")            \
  X(XEnvoyExpectedRqTimeoutMs, "x-envoy-expected-rq-timeout-ms")               \
  X(XEnvoyExternalAddress, "x-envoy-external-address")                         \
  X(XEnvoyInternal, "x-envoy-internal")                                        \
  X(XEnvoyMaxRetries, "x-envoy-max-retries")                                   \
  X(XEnvoyOriginalHost, "x-envoy-original-host")                               \
  X(XEnvoyOriginalPath, "x-envoy-original-path")                               \
  X(XEnvoyOverloaded, "x-envoy-overloaded")                                    \
  X(XEnvoyRetryOn, "x-envoy-retry-on")                                         \
  X(XEnvoyUpstreamRqPerTryTimeoutMs, "x-envoy-upstream-rq-per-try-timeout-ms") \
  X(XEnvoyUpstreamRqTimeoutMs, "x-envoy-upstream-rq-timeout-ms")               \
  X(XEnvoyUpstreamServiceTime, "x-envoy-upstream-service-time")                \
  X(XForwardedFor, "x-forwarded-for")                                          \
  X(XForwardedHost, "x-forwarded-host")                                        \
  X(XForwardedPort, "x-forwarded-port")                                        \
  X(XForwardedProto, "x-forwarded-proto")                                      \
  X(XRequestId, "x-request-id")

enum class HeaderId : uint8_t {
  kOther = 0,
#define GATEHOUSE_HEADER_ID(id, name) k##id,
  GATEHOUSE_HEADERS(GATEHOUSE_HEADER_ID)
#undef GATEHOUSE_HEADER_ID
      kCount,
  kRemovedId = 255,
};

// kOther when the (lower-case) name is not in the table.
HeaderId headerId(std::string_view lower_name);
// Empty for kOther.
std::string_view headerName(HeaderId id);

}  // namespace gatehouse::http
