import struct

from http2 import H2Case, data, done, h2_ok, head, open_, raw, request, rst, simple, trailers
from runner import Case, Group, early, get, ok
from runner import raw as raw_answer

LOG = (
    "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %UPSTREAM_PROTOCOL% %RESPONSE_CODE% flags=%RESPONSE_FLAGS% "
    "details=%RESPONSE_CODE_DETAILS% route=%ROUTE_NAME% in=%BYTES_RECEIVED% out=%BYTES_SENT%\\n"
)
STATS = (
    r"^http\.test\.(downstream_rq_(1xx|2xx|3xx|4xx|5xx|total|http1_total|http2_total|completed|active|too_large)"
    r"|downstream_cx_(http1_total|http2_total|total|protocol_error)|no_route|no_cluster)$",
    r"^cluster\.origin\.upstream_(rq_(1xx|2xx|4xx|5xx|total|rx_reset|active|completed)|cx_(http1_total|http2_total|protocol_error|close_notify))$",
    r"^http2\.(rx_messaging_error|header_overflow|trailers|streams_active|inbound_.*)$",
)

HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {name: direct, match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: "hi\\n"}}}
  - {name: redirect, match: {prefix: /redirect}, redirect: {path_redirect: /new}}
  - {name: slow, match: {prefix: /slow}, route: {cluster: origin, timeout: 0.2s}}
  - {name: missing, match: {prefix: /missing}, route: {cluster: nowhere}}
  - {name: rest, match: {prefix: /here}, route: {cluster: origin}}
  - {name: grpc, match: {prefix: /pkg.Service}, route: {cluster: origin}}
"""
ROUTES = "validate_clusters: false"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]

DOWN = [
    H2Case("get", simple("/here")),
    H2Case("head", simple("/here", "HEAD"), [ok(b"")]),
    H2Case("post", [open_("a", request("/here", "POST", [("content-length", "5")]), False), data("a", b"hello", True), done("a")]),
    H2Case("post without length", [open_("a", request("/here", "POST"), False), data("a", b"hel"), data("a", b"lo", True), done("a")]),
    H2Case("post ended by empty data", [open_("a", request("/here", "POST"), False), data("a", b"", True), done("a")]),
    H2Case("two at once", [open_("a", request("/direct/1")), open_("b", request("/direct/2")), done("a"), done("b")]),
    H2Case("direct", simple("/direct")),
    H2Case("direct head", simple("/direct", "HEAD")),
    H2Case("redirect", simple("/redirect")),
    H2Case("no route", simple("/none")),
    H2Case("no cluster", simple("/missing")),
    H2Case("timeout", simple("/slow"), [raw_answer("stall")]),
    H2Case("upstream closes", simple("/here"), [raw_answer("close")]),
    H2Case("upstream breaks off", simple("/here"), [raw_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "close")]),
    H2Case("upstream garbage", simple("/here"), [raw_answer(b"what is this\r\n\r\n")]),
    H2Case("chunked answer", simple("/here"), [raw_answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")]),
    H2Case("no content", simple("/here"), [raw_answer(b"HTTP/1.1 204 No Content\r\n\r\n")]),
    H2Case("not modified", simple("/here"), [raw_answer(b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n")]),
    H2Case("hop by hop of the answer", simple("/here"), [ok(b"x", b"connection: close\r\nkeep-alive: 5\r\nx-b: 2\r\n")]),
    H2Case("several fields of a name", simple("/here", extra=[("x-a", "1"), ("x-a", "2")]), [ok(b"x", b"set-cookie: a\r\nset-cookie: b\r\n")]),
    H2Case("cookies", simple("/here", extra=[("cookie", "a=1"), ("cookie", "b=2")])),
    H2Case("te", simple("/here", extra=[("te", "trailers")])),
    H2Case("expect", [open_("a", request("/here", "POST", [("expect", "100-continue"), ("content-length", "2")]), False), head("a"),
                      data("a", b"ok", True), done("a")]),
    H2Case("host beside authority", simple("/here", extra=[("host", "other")])),
    H2Case("host only", [open_("a", [(":method", "GET"), (":scheme", "http"), (":path", "/here"), ("host", "other")]), done("a")]),
    H2Case("neither host nor authority", [open_("a", [(":method", "GET"), (":scheme", "http"), (":path", "/here")]), done("a")]),
    H2Case("https scheme", [open_("a", [(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/here")]), done("a")]),
    H2Case("unknown method", simple("/here", "BREW")),
    H2Case("connect", [open_("a", [(":method", "CONNECT"), (":authority", "test:80")], False), done("a")]),
    H2Case("options star", simple("*", "OPTIONS")),
    H2Case("fragment", simple("/here#x")),
    H2Case("bad authority", [open_("a", request("/here", authority="a b")), done("a")]),
    H2Case("request trailers", [open_("a", request("/here", "POST"), False), data("a", b"x"), trailers("a", [("x-t", "1")]), done("a")]),
    H2Case("client resets", [open_("a", request("/here", "POST"), False), "wait", rst("a", 8), open_("b", request("/here")), done("b")],
           [early("stall")]),
    H2Case("early answer", [open_("a", request("/here", "POST"), False), done("a")], [early(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")]),
    H2Case("grpc no route", simple("/none", "POST", GRPC)),
    H2Case("grpc unavailable", simple("/pkg.Service/M", "POST", GRPC), [raw_answer("close")]),
    H2Case("grpc no cluster", simple("/missing", "POST", GRPC)),
    H2Case("grpc direct", simple("/direct", "POST", [("content-type", "application/grpc+proto")])),
    H2Case("grpc web is not grpc", simple("/none", "POST", [("content-type", "application/grpc-web")])),
    Case("grpc over http1", [get("/none", extra="Content-Type: application/grpc\r\n"), "read"]),
]

BROKEN = [
    H2Case("upper case", [open_("a", request("/here", extra=[("X-A", "1")])), done("a"), "closed"]),
    H2Case("connection field", [open_("a", request("/here", extra=[("connection", "close")])), done("a"), "closed"]),
    H2Case("te gzip", [open_("a", request("/here", extra=[("te", "gzip")])), done("a"), "closed"]),
    H2Case("no path", [open_("a", [(":method", "GET"), (":scheme", "http"), (":authority", "test")]), done("a"), "closed"]),
    H2Case("empty path", [open_("a", request("")), done("a"), "closed"]),
    H2Case("relative path", [open_("a", request("here")), done("a"), "closed"]),
    H2Case("unknown pseudo-field", [open_("a", [(":what", "x")] + request("/here")), done("a"), "closed"]),
    H2Case("line break", [open_("a", request("/here", extra=[("x", "a\r\nb: c")])), done("a"), "closed"]),
    H2Case("data on idle", [raw(frame(0, 0, 1, b"x")), "closed"]),
    H2Case("ping of wrong size", [raw(frame(6, 0, 0, b"x")), "closed"]),
    H2Case("empty data flood", [open_("a", request("/here", "POST"), False), raw(frame(0, 0, 1) * 3), "closed"]),
    H2Case("priority flood", [raw(frame(2, 0, 3, b"\0\0\0\0\x10") * 300), "closed"]),
    H2Case("window update flood", [raw(frame(8, 0, 0, b"\0\0\0\1") * 100), "closed"]),
]

UP = [
    Case("get", [get("/here"), "read"]),
    Case("head", [b"HEAD /here HTTP/1.1\r\nHost: test\r\n\r\n", "read"], [h2_ok(b"", [("x-a", "1")])]),
    Case("post", [b"POST /here HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", "read"]),
    Case("chunked", [b"POST /here HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "read"]),
    Case("no length", [get("/here"), "read"], [[("head", [(":status", "200")], False), ("data", b"abc", True)]]),
    Case("no body", [get("/here"), "read"], [[("head", [(":status", "200"), ("x-a", "1")], True)]]),
    Case("trailers", [get("/here"), "read"], [[("head", [(":status", "200")], False), ("data", b"abc", False), ("trailers", [("x-t", "1")])]]),
    Case("reset", [get("/here"), "read"], [[("rst", 2)]]),
    Case("refused", [get("/here"), "read"], [[("rst", 7)]]),
    Case("reset without error", [get("/here"), "read"], [[("rst", 0)]]),
    Case("reset in the middle", [get("/here"), "read", "closed"], [[("head", [(":status", "200"), ("content-length", "9")], False), ("data", b"abc", False), ("rst", 2)]]),
    Case("close", [get("/here"), "read"], [["close"]]),
    Case("garbage", [get("/here"), "read"], [["garbage"]]),
    Case("status missing", [get("/here"), "read"], [[("head", [("x-a", "1")], True)]]),
    Case("upper case field", [get("/here"), "read"], [[("head", [(":status", "200"), ("X-A", "1")], True)]]),
    Case("connection field", [get("/here"), "read"], [[("head", [(":status", "200"), ("connection", "close")], True)]]),
    Case("length mismatch", [get("/here"), "read", "closed"], [[("head", [(":status", "200"), ("content-length", "1")], False), ("data", b"abc", True)]]),
    Case("fields", [get("/here", extra="Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\nX-B: 3\r\nTE: trailers, gzip\r\nCookie: a=1; b=2\r\n"), "read"]),
    H2Case("grpc", [open_("a", request("/pkg.Service/M", "POST", GRPC), False), data("a", b"\0\0\0\0\1x", True), done("a")],
           [[("head", [(":status", "200"), ("content-type", "application/grpc")], False), ("data", b"\0\0\0\0\1y", False),
             ("trailers", [("grpc-status", "0"), ("grpc-message", "fine")])]]),
    H2Case("grpc trailers only", simple("/pkg.Service/M", "POST", GRPC),
           [[("head", [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")], True)]]),
    H2Case("request trailers", [open_("a", request("/here", "POST"), False), data("a", b"x"), trailers("a", [("x-t", "1")]), done("a")]),
    H2Case("h2 reset", simple("/here"), [[("rst", 2)]]),
    H2Case("h2 reset in the middle", simple("/here"), [[("head", [(":status", "200")], False), ("data", b"abc", False), ("rst", 2)]]),
]

INTERIM = "interim responses other than 100 are passed on (RFC 9110 15.2)"
NOMINATED = "a field that Connection names is the upstream's own hop (RFC 9110 7.6.1)"
CANCEL = "CANCEL says what it is; Envoy sends INTERNAL_ERROR"

DOWN_OWN = [
    H2Case("interim", simple("/here"), [raw_answer(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")], differs=INTERIM),
    H2Case("nominated field of the answer", simple("/here"), [ok(b"x", b"connection: x-a\r\nx-a: 1\r\nx-b: 2\r\n")], differs=NOMINATED),
]

UP_OWN = [
    # Here because Envoy counts one upstream_cx_protocol_error; the answers are the same.
    Case("goaway before the answer", [get("/here"), "read"], [["goaway", ("head", [(":status", "200"), ("content-length", "0")], True)]]),
    Case("interim", [get("/here"), "read"], [[("head", [(":status", "103"), ("link", "x")], False), ("head", [(":status", "200"), ("content-length", "0")], True)]],
         differs=INTERIM),
    Case("timeout", [get("/slow"), "read", "origin reset"], [["stall"]], differs=CANCEL),
    H2Case("client resets", [open_("a", request("/here")), "wait", rst("a", 8), "origin reset", open_("b", request("/here")), done("b")], [["stall"]], differs=CANCEL),
]

GROUPS = [
    Group("http2_down", DOWN, routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS),
    Group("http2_broken", BROKEN, routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS),
    Group("http2_stream_errors", [H2Case(case.name, [step for step in case.send if step != "closed"]) for case in BROKEN[:8]], routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS,
          hcm="stream_error_on_invalid_http_message: true"),
    Group("http2_up", UP, routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS, origin_http2=True),
    Group("http2_limits", [H2Case("fields", simple("/here", extra=[("a", "b")] * 12)), H2Case("bytes", simple("/here", extra=[("a", "b" * 3000)])),
                           H2Case("underscore", simple("/here", extra=[("x_y", "1")]))],
          routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS,
          hcm="max_request_headers_kb: 2\ncommon_http_protocol_options: {max_headers_count: 10, headers_with_underscores_action: REJECT_REQUEST}"),
    Group("http2_down_own", DOWN_OWN, routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS),
    Group("http2_up_own", UP_OWN, routes=HOSTS, route_config=ROUTES, log_format=LOG, stats=STATS, origin_http2=True),
    Group("http1_only", [Case("preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "read", "closed"])], hcm="codec_type: HTTP1"),
]
