from runner import Case, Group, early, get, ok, raw

POST = b"POST /p HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"


def bad(name, request, **more):
    return Case(name, [request, "read", "closed"], **more)


GROUPS = [
    Group("basics", [
        Case("get", [get(), "read"]),
        Case("head", [b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n", "read"],
             [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")]),
        Case("post with length", [POST, "read"]),
        Case("post chunked", [b"POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "read"]),
        Case("post without body", [b"POST /e HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n", "read"]),
        Case("put without length", [b"PUT /e HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("delete", [b"DELETE /e HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("unknown method", [b"FROB /e HTTP/1.1\r\nHost: test\r\n\r\n", "read"],
             differs="any token is a method; Envoy knows a fixed list unless allow_custom_methods is set"),
        Case("options asterisk", [b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("two pipelined", [get("/1") + get("/2"), "read", "read"]),
        Case("keep-alive", [get("/1"), "read", get("/2"), "read"]),
        Case("connection close", [get("/", extra="Connection: close\r\n"), "read", "closed"]),
        Case("response chunked", [get(), "read"], [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n")]),
        Case("response chunked with trailers", [get(), "read"], [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-t: 1\r\n\r\n")]),
        Case("response until close", [get(), "read"], [raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "close")]),
        Case("response 204", [get(), "read"], [raw(b"HTTP/1.1 204 No Content\r\n\r\n")]),
        Case("response 304 with length", [get(), "read"], [raw(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: x\r\n\r\n")]),
        Case("reason phrase", [get(), "read"], [raw(b"HTTP/1.1 200 Fine\r\ncontent-length: 0\r\n\r\n")]),
        Case("unknown status", [get(), "read"], [raw(b"HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n")]),
        Case("response closes", [get("/1"), "read", get("/2"), "read"], [raw(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", "close")]),
        Case("interim 100", [POST, "read"], [raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]),
        Case("interim 103", [get(), "read"], [raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
             differs="interim responses other than 100 are passed on (RFC 9110 15.2)"),
        Case("expect continue", [b"POST /x HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"ab", "read"]),
        Case("expect unknown", [b"POST /x HTTP/1.1\r\nHost: test\r\nExpect: the worst\r\nContent-Length: 2\r\n\r\nab", "read"]),
        Case("hop by hop fields", [get("/", extra="Connection: x-one, keep-alive\r\nX-One: 1\r\nKeep-Alive: 5\r\nProxy-Connection: a\r\nTE: gzip, trailers\r\nTrailer: x\r\nUpgrade-Insecure-Requests: 1\r\n"), "read"]),
        Case("response hop by hop fields", [get(), "read"], [raw(b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-one\r\nx-one: 1\r\nkeep-alive: 3\r\nproxy-connection: x\r\nupgrade: a\r\ntrailer: b\r\ncontent-length: 0\r\n\r\n")],
             differs="fields that Connection names are removed from responses too (RFC 9110 7.6.1)"),
        Case("name case and order", [get("/", extra="X-Abc: 1\r\nabc-Def: 2\r\nX-Abc: 3\r\nCookie: a=1\r\nCookie: b=2\r\n"), "read"],
             [raw(b"HTTP/1.1 200 OK\r\nX-First: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: mine\r\nDate: then\r\ncontent-length: 0\r\n\r\n")]),
        Case("absolute form", [b"GET http://other:81/abs?x=1 HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("absolute form without path", [b"GET http://other HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("forwarded fields", [get("/", extra="X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nX-Request-Id: 11111111-1111-4111-8111-111111111111\r\n"), "read"]),
        Case("envoy fields of a stranger", [get("/", extra="X-Envoy-Upstream-Rq-Timeout-Ms: 2000\r\nX-Envoy-Max-Retries: 3\r\nX-Envoy-Retry-On: 5xx\r\nX-Envoy-Original-Path: /q\r\nX-Envoy-Internal: true\r\nX-Envoy-Force-Trace: a\r\nX-Envoy-Expected-Rq-Timeout-Ms: 1\r\nX-Envoy-Decorator-Operation: a\r\nX-Envoy-Ip-Tags: a\r\n"), "read"]),
        Case("fragment in path", [b"GET /a#b HTTP/1.1\r\nHost: test\r\n\r\n", "read"]),
        Case("upgrade without upgrade_configs", [get("/", extra="Connection: Upgrade\r\nUpgrade: websocket\r\n"), "read"]),
        Case("connect", [b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", "read"]),
        Case("blank lines before the request", [b"\r\n\r\n" + get(), "read"]),
        Case("client finishes before the answer", [get("/half"), "wait", "end", "read"], [raw("stall")]),
        Case("client closes while waiting", [get("/gone"), "wait", "reset"], [raw("stall")]),
    ], stats=("http.test.downstream_rq_.xx", "cluster.origin.upstream_rq_(2xx|total|tx_reset|completed)$",
              "http.test.downstream_(rq_total|rq_completed|cx_total)$")),

    Group("malformed", [
        bad("no version", b"GET /\r\n\r\n"),
        bad("bad version", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n"),
        bad("http 1.0", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
        bad("no host", b"GET / HTTP/1.1\r\n\r\n"),
        bad("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            differs="two Host fields are an error (RFC 9112 3.2); Envoy joins them"),
        bad("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        bad("field without colon", b"GET / HTTP/1.1\r\nHost: a\r\nabc\r\n\r\n"),
        bad("empty field name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        bad("folded field", b"GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n c\r\n\r\n",
            differs="folded fields are an error: peers read them differently"),
        bad("nul in value", b"GET / HTTP/1.1\r\nHost: a\r\nx: b\0c\r\n\r\n"),
        bad("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        bad("negative length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nab"),
        bad("length and chunked", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad("unknown transfer coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nab"),
        bad("chunked not last", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\nab"),
        bad("bad chunk size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            differs="a head leaves at the end of the turn: a request that proves malformed before is never forwarded"),
        bad("space in target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        bad("large head", b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70000 + b"\r\n\r\n"),
        bad("many fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 110 + b"\r\n"),
        bad("garbage", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    ], stats=("http.test.downstream_(cx_protocol_error|rq_4xx|rq_too_large|rq_total)$",)),

    Group("upstream_faults", [
        Case("closes without an answer", [get("/1"), "read"], [raw("close")]),
        Case("resets without an answer", [get("/2"), "read"], [raw("reset")]),
        Case("answers garbage", [get("/3"), "read"], [raw(b"garbage\r\n\r\n", "close")]),
        Case("closes in the head", [get("/4"), "read"], [raw(b"HTTP/1.1 200 OK\r\nx: ", "close")]),
        Case("closes in the body", [get("/5"), "read"], [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "close")]),
        Case("resets in the body", [get("/6"), "read"], [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "close")]),
        Case("two lengths", [get("/7"), "read"], [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")]),
        Case("length and chunked", [get("/8"), "read"], [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")]),
        Case("bad chunk", [get("/9"), "read"], [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")]),
        Case("large head", [get("/10"), "read"], [raw(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n")]),
        Case("upgrades unasked", [get("/11"), "read"], [raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")],
             differs="a switch of protocols that nobody asked for is an error of the upstream"),
        Case("early answer", [b"POST /12 HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nab", "read", "closed"],
             [early(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")]),
        Case("http 1.0 answer", [get("/13"), "read"], [raw(b"HTTP/1.0 200 OK\r\n\r\nold", "close")]),
        Case("surplus bytes", [get("/14"), "read", get("/15"), "read"], [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")]),
    ], stats=("cluster.origin.upstream_rq_.xx", "cluster.origin.upstream_(rq_rx_reset|cx_protocol_error|rq_completed)$")),

    Group("no_upstream", [
        Case("connection refused", [get("/refused"), "read"]),
        Case("no endpoint", [get("/empty"), "read"]),
        Case("unknown cluster", [get("/unknown"), "read"]),
        Case("cluster by header", [get("/header", extra="X-Cluster: origin\r\n"), "read"]),
        Case("cluster by header, absent", [get("/header"), "read"]),
        Case("cluster by header, unknown", [get("/header", extra="X-Cluster: what\r\n"), "read"]),
        Case("no route", [get("/none"), "read"]),
        Case("response timeout", [get("/slow"), "read"], [raw("stall")]),
        Case("timeout of the request", [get("/header", extra="X-Cluster: origin\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 50\r\n"), "read"], [raw("stall")]),
        Case("non forwarding", [get("/nonforwarding"), "read"]),
    ], routes="""
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /refused}, route: {cluster: refused}}
  - {match: {prefix: /empty}, route: {cluster: empty}}
  - {match: {prefix: /unknown}, route: {cluster: what, cluster_not_found_response_code: NOT_FOUND}}
  - {match: {prefix: /header}, route: {cluster_header: x-cluster}}
  - {match: {prefix: /slow}, route: {cluster: origin, timeout: 0.05s}}
  - {match: {prefix: /nonforwarding}, non_forwarding_action: {}}
""", route_config="validate_clusters: false", clusters="""
- name: refused
  type: STATIC
  connect_timeout: 2s
  load_assignment:
    cluster_name: refused
    endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: CLOSED_PORT}}}}]}]
- name: empty
  type: STATIC
  connect_timeout: 2s
  load_assignment: {cluster_name: empty}
""", stats=("cluster.(refused|empty|origin).upstream_(rq_.xx|rq_timeout|cx_none_healthy|cx_connect_fail|rq_pending_failure_eject)$",
            "http.test.(no_route|no_cluster)$")),
]
