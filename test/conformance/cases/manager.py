from runner import Case, Group, early, get, ok, raw

FORWARDED = [
    Case("none", [get(), "read"]),
    Case("one", [get("/", extra="X-Forwarded-For: 1.2.3.4\r\n"), "read"]),
    Case("several", [get("/", extra="X-Forwarded-For: 1.2.3.4, 10.0.0.1, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 99\r\n"), "read"]),
    Case("garbage", [get("/", extra="X-Forwarded-For: what\r\nX-Forwarded-Proto: gopher\r\n"), "read"]),
    Case("external address", [get("/", extra="X-Envoy-External-Address: 9.9.9.9\r\nX-Request-Id: mine\r\n"), "read"]),
]
ADDRESSES = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(X-FORWARDED-FOR)%\\n"
PATHS = ["/a//b", "/a/../b", "/a/./b", "/%61%2e%2E/x", "/a%2Fb", "/a%5cb", "/a\\\\b", "/../../x", "/a/%2e%2e/b?x=../y", "//double", "/a%00b"]


def paths(name, hcm):
    return Group(name, [Case(p, [get(p), "read"]) for p in PATHS], hcm=hcm)


GROUPS = [
    Group("remote_address", FORWARDED, hcm="use_remote_address: true", log_format=ADDRESSES),
    Group("remote_address_hops", FORWARDED, hcm="use_remote_address: true\nxff_num_trusted_hops: 1", log_format=ADDRESSES),
    Group("forwarded_hops", FORWARDED, hcm="xff_num_trusted_hops: 1", log_format=ADDRESSES),
    Group("skip_append", FORWARDED, hcm="use_remote_address: true\nskip_xff_append: true\nappend_x_forwarded_port: true", log_format=ADDRESSES),
    Group("request_id", FORWARDED[:1] + FORWARDED[4:], hcm="preserve_external_request_id: true\nalways_set_request_id_in_response: true\nuse_remote_address: true"),
    Group("no_request_id", FORWARDED[:1] + FORWARDED[4:], hcm="generate_request_id: false"),
    Group("via", [Case("via", [get("/", extra="Via: 1.0 a\r\n"), "read"], [ok(extra=b"via: 1.1 b\r\n")])], hcm="via: gw"),
    Group("server_append", [Case("own", [get(), "read"]), Case("theirs", [get(), "read"], [ok(extra=b"server: x\r\n")])],
          hcm="server_header_transformation: APPEND_IF_ABSENT\nserver_name: me"),
    Group("server_pass", [Case("own", [get(), "read"]), Case("theirs", [get(), "read"], [ok(extra=b"server: x\r\n")])],
          hcm="server_header_transformation: PASS_THROUGH"),
    Group("suppressed", [Case("get", [get("/", extra="X-Envoy-Upstream-Rq-Timeout-Ms: 900\r\n"), "read"])], router="suppress_envoy_headers: true"),
    paths("paths_as_they_are", ""),
    paths("paths_normalized", "normalize_path: true\nmerge_slashes: true"),
    paths("escaped_reject", "normalize_path: true\npath_with_escaped_slashes_action: REJECT_REQUEST"),
    paths("escaped_redirect", "normalize_path: true\npath_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"),
    paths("escaped_forward", "normalize_path: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"),
    Group("strip_port", [Case(h, [get("/", host=h), "read"]) for h in ["a:1", "a", "[::1]:9", "a."]],
          hcm="strip_any_host_port: true\nstrip_trailing_host_dot: true"),
    Group("underscores_reject", [Case("underscore", [get("/", extra="x_y: 1\r\n"), "read", "closed"]), Case("none", [get(), "read"])],
          hcm="common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}"),
    Group("underscores_drop", [Case("underscore", [get("/", extra="x_y: 1\r\nx-z: 2\r\n"), "read"])],
          hcm="common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}"),
    Group("limits", [Case("fields", [get("/", extra="a: b\r\n" * 12), "read", "closed"]),
                     Case("bytes", [get("/", extra="a: " + "b" * 3000 + "\r\n"), "read", "closed"]),
                     Case("requests", [get("/1"), "read", get("/2"), "read", "closed"])],
          hcm="max_request_headers_kb: 2\ncommon_http_protocol_options: {max_headers_count: 10, max_requests_per_connection: 2}"),
    Group("http10", [Case("with default host", [b"GET / HTTP/1.0\r\n\r\n", "read", "closed"]),
                     Case("keep-alive", [b"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "read", b"GET /2 HTTP/1.0\r\nHost: a\r\n\r\n", "read", "closed"]),
                     Case("chunked answer", [b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "read"],
                          [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")])],
          hcm="http_protocol_options: {accept_http_10: true, default_host_for_http_10: def.example}"),
    Group("trailers", [Case("both", [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T: 1\r\n\r\n", "read"],
                            [raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-u: 2\r\n\r\n")])],
          hcm="http_protocol_options: {enable_trailers: true}"),
    Group("proper_case", [Case("words", [get("/", extra="x-some-thing: 1\r\n"), "read"])],
          hcm="http_protocol_options: {header_key_format: {proper_case_words: {}}}"),
    Group("proxy_100", [Case("expect", [b"POST /x HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "read", "closed"],
                             [early(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")])], hcm="proxy_100_continue: true"),
    Group("timeouts", [
        Case("request headers", [b"GET / HTTP/1.1\r\nHost", "read", "closed"]),
        Case("request", [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "read", "closed"]),
    ], hcm="request_headers_timeout: 0.2s\nrequest_timeout: 0.4s", stats=("http.test.downstream_rq_(timeout|header_timeout)$",)),
    Group("stream_idle", [Case("upstream silent", [get("/a"), "read"], [raw("stall")]),
                          Case("client silent", [b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "read", "closed"])],
          hcm="stream_idle_timeout: 0.2s", stats=("http.test.downstream_rq_idle_timeout",)),
    Group("breakers", [Case("requests", [get(), "read"]), ], cluster="circuit_breakers: {thresholds: [{max_requests: 0}]}",
          stats=("cluster.origin.*overflow", "cluster.origin.upstream_rq_503")),
]
