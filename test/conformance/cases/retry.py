from runner import Case, Group, get, ok, raw

POST = b"POST /r HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"
LOG = "%REQ(:METHOD)% %RESPONSE_CODE% flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% in=%BYTES_RECEIVED% out=%BYTES_SENT%\\n"
STATS = (
    r"^cluster\.origin\.(retry\.)?upstream_rq_(completed|total|[1-5]xx|[1-5][0-9][0-9]|retry.*|per_try_timeout|timeout|active|pending_active)$",
    r"^http\.test\.downstream_rq_([1-5]xx|completed)$",
)


def hosts(policy, host="", route=""):
    return f"""
- name: all
  domains: ["*"]
{host}
  routes:
  - match: {{prefix: /}}
    route: {{cluster: origin, retry_policy: {policy}{route}}}
"""


def status(line, extra=b""):
    return ok(b"x", extra, line)


UNAVAILABLE = status(b"503 Service Unavailable")
CLOSES = raw("close")
ATTEMPTS = "  include_request_attempt_count: true\n  include_attempt_count_in_response: true"


def group(name, policy, cases, **more):
    return Group("retry_" + name, cases, routes=hosts(policy, more.pop("host", ""), more.pop("route", ", timeout: 0s")), log_format=LOG, stats=STATS, **more)


GROUPS = [
    group("5xx", "{retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}", [
        Case("once", [get(), "read"], [UNAVAILABLE]),
        Case("twice", [get(), "read"], [UNAVAILABLE, status(b"500 Oh")]),
        Case("too often", [get(), "read"], [UNAVAILABLE, UNAVAILABLE, status(b"500 Last")]),
        Case("not for 4xx", [get(), "read"], [status(b"404 Not Found")]),
        Case("closed", [get(), "read"], [CLOSES]),
        Case("closed too often", [get(), "read"], [CLOSES, CLOSES, CLOSES]),
        Case("body is sent again", [POST, "read"], [UNAVAILABLE]),
        Case("chunked body", [b"POST /r HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "read"], [UNAVAILABLE]),
        Case("head request", [b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n", "read"], [status(b"503 Service Unavailable")]),
        Case("rate limited answer", [get(), "read"], [status(b"503 Service Unavailable", b"x-envoy-ratelimited: true\r\n")]),
        Case("not after the head", [get(), "read", "closed"], [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "close")]),
    ]),
    group("attempts", "{retry_on: gateway-error}", [
        Case("none", [get(), "read"]), Case("502", [get(), "read"], [status(b"502 Bad Gateway")]), Case("500", [get(), "read"], [status(b"500 Oh")])],
        host=ATTEMPTS),
    group("codes", '{retry_on: "retriable-status-codes,retriable-4xx", retriable_status_codes: [418]}', [
        Case("418", [get(), "read"], [status(b"418 Teapot")]), Case("409", [get(), "read"], [status(b"409 Conflict")]),
        Case("503", [get(), "read"], [UNAVAILABLE]), Case("closed", [get(), "read"], [CLOSES])]),
    group("headers", "{retry_on: retriable-headers, retriable_headers: [{name: x-again, present_match: true}], retriable_request_headers: [{name: ':method', string_match: {exact: GET}}]}", [
        Case("asked", [get(), "read"], [ok(b"x", b"x-again: 1\r\n")]), Case("not asked", [get(), "read"], [ok(b"x")]),
        Case("other method", [POST, "read"], [ok(b"x", b"x-again: 1\r\n")])]),
    group("reset", "{retry_on: 'reset,connect-failure'}", [
        Case("closed", [get(), "read"], [CLOSES]), Case("rst", [get(), "read"], [raw("reset")]), Case("503", [get(), "read"], [UNAVAILABLE]),
        Case("garbage", [get(), "read"], [raw(b"what\r\n\r\n")])]),
    group("per_try", "{retry_on: 5xx, per_try_timeout: 0.15s}", [
        Case("one stalls", [get(), "read"], [raw("stall")]), Case("both stall", [get(), "read"], [raw("stall"), raw("stall")])]),
    group("grpc", "{retry_on: unavailable}", [
        Case("14", [get(), "read"], [ok(b"", b"grpc-status: 14\r\n")]), Case("5", [get(), "read"], [ok(b"", b"grpc-status: 5\r\n")])]),
    group("zero", "{retry_on: 5xx, num_retries: 0}", [Case("503", [get(), "read"], [UNAVAILABLE])]),
    group("breaker", "{retry_on: 5xx}", [Case("503", [get(), "read"], [UNAVAILABLE])], cluster="circuit_breakers: {thresholds: [{max_retries: 0}]}"),
    group("limited", "{retry_on: 'envoy-ratelimited,5xx', rate_limited_retry_back_off: {reset_headers: [{name: Retry-After}]}}", [
        Case("at once", [get(), "read"], [status(b"429 Too Many", b"x-envoy-ratelimited: true\r\nretry-after: 0\r\n")]),
        Case("unusable", [get(), "read"], [status(b"503 Oh", b"retry-after: soon\r\n")])]),
    Group("retry_host_level", [Case("503", [get(), "read"], [UNAVAILABLE])], log_format=LOG, stats=STATS, routes="""
- name: all
  domains: ["*"]
  retry_policy: {retry_on: 5xx}
  routes:
  - {match: {prefix: /}, route: {cluster: origin, timeout: 0s}}
"""),
]
