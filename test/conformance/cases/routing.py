from runner import Case, Group, get, ok, raw


def direct(name, match, more=""):
    return f"  - name: {name}\n    match: {match}\n    direct_response: {{status: 200, body: {{inline_string: {name}}}}}\n{more}"


MATCHES = "- name: all\n  domains: ['*']\n  routes:\n" + "".join([
    direct("exact", "{path: /exact}"),
    direct("nocase", "{path: /NoCase, case_sensitive: false}"),
    direct("prefix-nocase", "{prefix: /PreNo, case_sensitive: false}"),
    direct("regex", "{safe_regex: {regex: '/re/[0-9]+'}}"),
    direct("separated", "{path_separated_prefix: /sep}"),
    direct("h-exact", "{prefix: /h, headers: [{name: x-a, string_match: {exact: one}}]}"),
    direct("h-prefix", "{prefix: /h, headers: [{name: x-b, string_match: {prefix: pre}}]}"),
    direct("h-suffix", "{prefix: /h, headers: [{name: x-b, string_match: {suffix: suf}}]}"),
    direct("h-contains", "{prefix: /h, headers: [{name: x-b, string_match: {contains: mid, ignore_case: true}}]}"),
    direct("h-regex", "{prefix: /h, headers: [{name: x-c, string_match: {safe_regex: {regex: 'a+b'}}}]}"),
    direct("h-range", "{prefix: /h, headers: [{name: x-d, range_match: {start: 10, end: 20}}]}"),
    direct("h-absent", "{prefix: /habsent, headers: [{name: x-e, present_match: false}]}"),
    direct("h-present", "{prefix: /h, headers: [{name: x-e, present_match: true}]}"),
    direct("h-method", "{prefix: /h, headers: [{name: ':method', string_match: {exact: PUT}}]}"),
    direct("h-invert", "{prefix: /hinvert, headers: [{name: x-f, string_match: {exact: a}, invert_match: true}]}"),
    direct("h-missing-empty", "{prefix: /hmissing, headers: [{name: x-g, string_match: {exact: ''}, treat_missing_header_as_empty: true}]}"),
    direct("q-exact", "{prefix: /q, query_parameters: [{name: a, string_match: {exact: '1'}}]}"),
    direct("q-present", "{prefix: /q, query_parameters: [{name: b, present_match: true}]}"),
    direct("q-regex", "{prefix: /q, query_parameters: [{name: c, string_match: {safe_regex: {regex: 'x.*'}}}]}"),
    direct("prefix", "{prefix: /pre}"),
])

REDIRECTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /https}, redirect: {https_redirect: true}}
  - {match: {prefix: /scheme}, redirect: {scheme_redirect: ftp}}
  - {match: {prefix: /host}, redirect: {host_redirect: other.example}}
  - {match: {prefix: /port}, redirect: {port_redirect: 8443}}
  - {match: {prefix: /path}, redirect: {path_redirect: /new}}
  - {match: {prefix: /qpath}, redirect: {path_redirect: "/new?y=2"}}
  - {match: {prefix: /strip}, redirect: {path_redirect: /new, strip_query: true}}
  - {match: {prefix: /prefix}, redirect: {prefix_rewrite: /changed, response_code: FOUND}}
  - {match: {prefix: /regex}, redirect: {regex_rewrite: {pattern: {regex: "^/regex/([a-z]+)/([a-z]+)"}, substitution: "/\\\\2/\\\\1"}, response_code: PERMANENT_REDIRECT}}
  - {match: {prefix: /temporary}, redirect: {response_code: TEMPORARY_REDIRECT}}
  - {match: {prefix: /other}, redirect: {response_code: SEE_OTHER}, response_headers_to_add: [{header: {key: x-r, value: "1"}}]}
  - {match: {prefix: /direct}, direct_response: {status: 403, body: {inline_string: "go away"}}, response_headers_to_add: [{header: {key: x-d, value: "1"}}]}
  - {match: {prefix: /empty}, direct_response: {status: 204}}
  - {match: {prefix: /teapot}, direct_response: {status: 418}}
"""

REWRITES = """
- name: all
  domains: ["*"]
  routes:
  - {match: {prefix: /pre/}, route: {cluster: origin, prefix_rewrite: /}}
  - {match: {prefix: /slash}, route: {cluster: origin, prefix_rewrite: /a/b}}
  - {match: {path: /exact}, route: {cluster: origin, prefix_rewrite: /other}}
  - {match: {prefix: /regex}, route: {cluster: origin, regex_rewrite: {pattern: {regex: "/([^/]+)$"}, substitution: "/x-\\\\1"}}}
  - {match: {prefix: /lit}, route: {cluster: origin, host_rewrite_literal: new.example}}
  - {match: {prefix: /fwd}, route: {cluster: origin, host_rewrite_literal: new.example, append_x_forwarded_host: true}}
  - {match: {prefix: /hdr}, route: {cluster: origin, host_rewrite_header: x-host}}
  - {match: {prefix: /auto}, route: {cluster: origin, auto_host_rewrite: true}}
  - {match: {prefix: /sep/a}, route: {cluster: origin}}
"""

HEADERS = """
- name: all
  domains: ["*"]
  request_headers_to_add: [{header: {key: x-level, value: host}}]
  response_headers_to_add: [{header: {key: x-level, value: host}}]
  response_headers_to_remove: [x-drop]
  routes:
  - match: {prefix: /append}
    route: {cluster: origin}
    request_headers_to_add:
    - {header: {key: x-a, value: added}}
    - {header: {key: x-level, value: route}}
    response_headers_to_add: [{header: {key: x-level, value: route}}]
  - match: {prefix: /overwrite}
    route: {cluster: origin}
    request_headers_to_add: [{header: {key: x-a, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
    response_headers_to_add: [{header: {key: server, value: other}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
  - match: {prefix: /absent}
    route: {cluster: origin}
    request_headers_to_add: [{header: {key: x-a, value: new}, append_action: ADD_IF_ABSENT}]
  - match: {prefix: /exists}
    route: {cluster: origin}
    request_headers_to_add: [{header: {key: x-a, value: new}, append_action: OVERWRITE_IF_EXISTS}]
  - match: {prefix: /remove}
    route: {cluster: origin}
    request_headers_to_remove: [x-a, x-b]
  - match: {prefix: /format}
    route: {cluster: origin}
    request_headers_to_add:
    - {header: {key: x-f1, value: "%REQ(X-A)%-%PROTOCOL%"}}
    - {header: {key: x-f2, value: "100%%"}}
    - {header: {key: x-f3, value: "%REQ(X-NONE)%"}}
    - {header: {key: x-f4, value: "%REQ(X-NONE)%"}, keep_empty_value: true}
    - {header: {key: x-f5, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
    response_headers_to_add:
    - {header: {key: x-f6, value: "%RESPONSE_CODE%"}}
    - {header: {key: x-f7, value: "%UPSTREAM_CLUSTER%"}}
  - match: {prefix: /weighted}
    route:
      weighted_clusters:
        clusters:
        - name: origin
          weight: 10
          request_headers_to_add: [{header: {key: x-w, value: w}}]
          response_headers_to_add: [{header: {key: x-w, value: w}}]
  - match: {prefix: /}
    route: {cluster: origin}
"""


def matched(name, request):
    return Case(name, [request, "read"])


GROUPS = [
    Group("matching", [
        matched("exact", get("/exact")), matched("exact with query", get("/exact?a=b")), matched("exact longer", get("/exact/")),
        matched("no case", get("/NOCASE")), matched("prefix no case", get("/preNOx")), matched("prefix", get("/pre/x")),
        matched("regex", get("/re/12?x")), matched("regex must be whole", get("/re/12x")),
        matched("separated", get("/sep")), matched("separated below", get("/sep/a")), matched("separated not", get("/sepa")),
        matched("separated query", get("/sep?a")),
        matched("header exact", get("/h", extra="X-A: one\r\n")), matched("header exact not", get("/h", extra="X-A: ONE\r\n")),
        matched("header two values", get("/h", extra="X-A: one\r\nX-A: two\r\n")),
        matched("header prefix", get("/h", extra="X-B: prefix\r\n")), matched("header suffix", get("/h", extra="X-B: a-suf\r\n")),
        matched("header contains", get("/h", extra="X-B: aMIDb\r\n")), matched("header regex", get("/h", extra="X-C: aab\r\n")),
        matched("header range", get("/h", extra="X-D: 10\r\n")), matched("header range end", get("/h", extra="X-D: 20\r\n")),
        matched("header absent", get("/habsent")), matched("header present", get("/h", extra="X-E:\r\n")),
        matched("method", b"PUT /h HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        matched("inverted", get("/hinvert", extra="X-F: b\r\n")), matched("inverted missing", get("/hinvert")),
        matched("inverted not", get("/hinvert", extra="X-F: a\r\n")), matched("missing as empty", get("/hmissing")),
        matched("query exact", get("/q?a=1")), matched("query exact second", get("/q?z&a=1")), matched("query present", get("/q?b")),
        matched("query regex", get("/q?c=xyz")), matched("query none", get("/q?d")), matched("query first value", get("/q?a=2&a=1")),
        matched("nothing", get("/nothing")),
    ], routes=MATCHES),
    Group("hosts", [
        matched("exact", get("/", host="a.example")), matched("exact case", get("/", host="A.Example")),
        matched("with port", get("/", host="a.example:80")), matched("port domain", get("/", host="p.example:8080")),
        matched("suffix", get("/", host="x.b.example")), matched("suffix longest", get("/", host="x.y.b.example")),
        matched("suffix needs more", get("/", host=".b.example")), matched("prefix", get("/", host="api.anything")),
        matched("any", get("/", host="zzz")), matched("trailing dot", get("/", host="a.example.")),
        matched("require tls", get("/p?q=1", host="tls.example")), matched("empty host", get("/", host="")),
    ], routes="".join(f"- name: {n}\n  domains: [{d}]\n  {x}\n  routes:\n" + direct(n, "{prefix: /}") for n, d, x in [
        ("exact", "a.example", ""), ("port", "'p.example:8080'", ""), ("suffix", "'*.b.example'", ""),
        ("longer", "'*.y.b.example'", ""), ("prefix", "'api.*'", ""), ("tls", "tls.example", "require_tls: ALL"), ("any", "'*'", "")])),
    Group("redirects", [matched(p, get(p, host="h.example:81")) for p in [
        "/https/a?b=c", "/scheme", "/host/x", "/port", "/path?x=1", "/qpath?x=1", "/strip?x=1", "/prefix/rest?x=1",
        "/regex/aa/bb?c", "/temporary", "/other", "/direct", "/empty", "/teapot"]] +
        [matched("default port " + p, get(p, host="h.example:80")) for p in ["/https", "/host", "/path"]] +
        [matched("head", b"HEAD /direct HTTP/1.1\r\nHost: a\r\n\r\n")], routes=REDIRECTS),
    Group("rewrites", [matched(p, get(p, extra="X-Host: by-header\r\n")) for p in [
        "/pre/a?b=c", "/pre/", "/slash", "/slash/x", "/exact?q", "/regex/a/b?c/d", "/lit", "/fwd", "/hdr", "/auto", "/sep/a"]] +
        [matched("header absent", get("/hdr"))], routes=REWRITES),
    Group("header_rules", [Case(p, [get(p, extra="X-A: given\r\nX-B: b\r\n"), "read"], [ok(extra=b"x-drop: 1\r\nx-level: origin\r\n")])
                           for p in ["/append", "/overwrite", "/absent", "/exists", "/remove", "/format", "/weighted", "/plain"]] +
          [matched("upgrade refused", get("/append", extra="Connection: Upgrade\r\nUpgrade: websocket\r\n")),
           matched("malformed", b"GET /append HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
           matched("absent added", get("/absent")), matched("exists not added", get("/exists"))], routes=HEADERS,
          route_config="request_headers_to_add: [{header: {key: x-level, value: table}}]\nresponse_headers_to_add: [{header: {key: x-level, value: table}}]"),
    Group("most_specific", [Case("append", [get("/append"), "read"])], routes=HEADERS,
          route_config="most_specific_header_mutations_wins: true\nrequest_headers_to_add: [{header: {key: x-level, value: table}}]"),
]
