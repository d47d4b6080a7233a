"""Plays conformance cases through a proxy binary and writes down what everybody saw.

A group is one proxy configuration and a list of cases; the cases of a group run one after the other on one proxy process.
The transcript of a group is text: per case what the client received and what the origin received, at the end the access log
and the statistics that the group names. The same transcript is recorded from Envoy (tools/record) and expected of Gatehouse.
"""

import dataclasses
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

import http2

DEADLINE = 10.0  # seconds that any single wait may take

LOG_FORMAT = (
    "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% flags=%RESPONSE_FLAGS% "
    "details=%RESPONSE_CODE_DETAILS% route=%ROUTE_NAME% cluster=%UPSTREAM_CLUSTER% in=%BYTES_RECEIVED% "
    "out=%BYTES_SENT% failure=%UPSTREAM_TRANSPORT_FAILURE_REASON%\\n"
)


@dataclasses.dataclass
class Case:
    """`send` is a list of steps on the client's connection:
    bytes: sent as they are; "read": one response is read; "end": half-close; "reset": RST; "closed": the proxy must close;
    "wait": until the origin has received a request (or another one)."""

    name: str
    send: list
    origin: list = dataclasses.field(default_factory=list)  # what the origin does with its requests, in order
    differs: str = ""  # why Gatehouse answers differently on purpose
    known: str = ""  # a difference that is a fault of ours, not mended yet


@dataclasses.dataclass
class Group:
    name: str
    cases: list
    hcm: str = ""  # fields of the HttpConnectionManager (YAML, not indented)
    routes: str = ""  # route_config: what stands below virtual_hosts, or "" for one host that forwards everything
    route_config: str = ""  # further fields of route_config
    clusters: str = ""  # further clusters
    cluster: str = ""  # further fields of the cluster "origin"
    router: str = ""  # fields of the router
    log_format: str = LOG_FORMAT
    stats: tuple = ()  # regular expressions of names
    origin_http2: bool = False  # the origin speaks HTTP/2; what it does then is written in http2.py


def get(path="/", host="test", extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode()


def indent(text, by):
    return "".join(" " * by + line + "\n" for line in text.strip("\n").split("\n")) if text.strip() else ""


DEFAULT_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - name: everything
    match: {prefix: /}
    route: {cluster: origin}
"""


HTTP2_CLUSTER = """
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}}
"""


def bootstrap(group, admin_port, log_path):
    hcm = group.hcm
    return (
        f"""
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin_port}}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: LISTENER_PORT}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log_path}
              log_format: {{text_format_source: {{inline_string: "{group.log_format}"}}}}
          http_filters:
          - name: router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"""
        + indent(group.router, 14)
        + indent(hcm, 10)
        + """          route_config:
            name: local
"""
        + indent(group.route_config, 12)
        + "            virtual_hosts:\n"
        + indent(group.routes or DEFAULT_HOSTS, 12)
        + """  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 2s
"""
        + indent(HTTP2_CLUSTER if group.origin_http2 else "", 4)
        + indent(group.cluster, 4)
        + """    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN_PORT}}}
"""
        + indent(group.clusters, 2)
    )


class Origin:
    """Accepts connections and answers their requests as the current case says; writes down what it received."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.script = []
        self.seen = []
        threading.Thread(target=self._accept, daemon=True).start()

    def start_case(self, script):
        with self.changed:
            self.script = list(script)
            self.seen = []

    def wait_for(self, requests):
        with self.changed:
            return self.changed.wait_for(lambda: len(self.seen) >= requests, DEADLINE)

    def _accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        reader = Reader(connection)
        try:
            while True:
                head = reader.head()
                if not head.endswith(b"\r\n\r\n"):
                    break
                with self.changed:
                    action = self.script.pop(0) if self.script else ok()
                early = action.get("early")
                if early:
                    with self.changed:
                        self.seen.append(head)
                        self.changed.notify_all()
                else:
                    body = reader.body(head, request=True)
                    with self.changed:
                        self.seen.append(head + body)
                        self.changed.notify_all()
                for step in action["steps"]:
                    if step == "close":
                        connection.close()
                        return
                    if step == "reset":
                        reset(connection)
                        return
                    if step == "stall":
                        connection.recv(1)
                        return
                    connection.sendall(step)
                if early:
                    # What follows is the rest of a request that was answered already.
                    while reader.fill():
                        pass
        except (OSError, EOFError):
            pass
        finally:
            connection.close()


def ok(body=b"ok", extra=b"", status=b"200 OK"):
    return {"steps": [b"HTTP/1.1 " + status + b"\r\n" + extra + b"content-length: %d\r\n\r\n" % len(body) + body]}


def raw(*steps):
    return {"steps": list(steps)}


def early(*steps):
    """Answers after the head, without waiting for the body."""
    return {"steps": list(steps), "early": True}


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Reader:
    """Reads HTTP/1 messages off a socket without judging them."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""
        self.end = ""

    def fill(self):
        if self.end:
            return False
        try:
            piece = self.connection.recv(65536)
        except ConnectionResetError:
            self.end = "reset"
            return False
        except TimeoutError:
            self.end = "TIMEOUT"
            return False
        if not piece:
            self.end = "closed"
            return False
        self.buffer += piece
        return True

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                rest, self.buffer = self.buffer, b""
                return rest
        at = self.buffer.index(b"\r\n\r\n") + 4
        head, self.buffer = self.buffer[:at], self.buffer[at:]
        return head

    def take(self, n):
        while len(self.buffer) < n and self.fill():
            pass
        piece, self.buffer = self.buffer[:n], self.buffer[n:]
        return piece

    def line(self):
        while b"\r\n" not in self.buffer and self.fill():
            pass
        at = self.buffer.find(b"\r\n")
        at = len(self.buffer) if at < 0 else at + 2
        piece, self.buffer = self.buffer[:at], self.buffer[at:]
        return piece

    def body(self, head, request, head_request=False):
        fields = head.lower()
        status = 0 if request else int(head[9:12])
        if head_request or status in (204, 304) or 100 <= status < 200:
            return b""
        if re.search(rb"\r\ntransfer-encoding: *chunked", fields):
            out = b""
            while True:
                line = self.line()
                out += line
                try:
                    size = int(line.split(b";")[0], 16)
                except ValueError:
                    return out
                if size == 0:
                    while True:
                        line = self.line()
                        out += line
                        if line in (b"\r\n", b""):
                            return out
                out += self.take(size + 2)
        length = re.search(rb"\r\ncontent-length: *(\d+)", fields)
        if length:
            return self.take(int(length.group(1)))
        if request:
            return b""
        while self.fill():
            pass
        piece, self.buffer = self.buffer, b""
        return piece


def play(case, port, origin, out):
    if isinstance(case, http2.H2Case):
        http2.play(case, port, origin, out, DEADLINE)
    else:
        play_http1(case, port, origin, out)
    with origin.changed:
        for seen in origin.seen:
            if isinstance(seen, http2.Stream):
                out.append(("origin", "\n".join(seen.text()).encode("latin-1")))
                continue
            if b"transfer-encoding: chunked" in seen.lower():
                at = seen.index(b"\r\n\r\n") + 4
                seen = seen[:at] + join_chunks(seen[at:])
            out.append(("origin", seen))


def play_http1(case, port, origin, out):
    origin.start_case(case.origin)
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(DEADLINE)
    reader = Reader(connection)
    waited = 0
    last_method = []
    for step in case.send:
        if step == "read":
            method = last_method.pop(0) if last_method else b""
            while True:
                head = reader.head()
                if not head.startswith(b"HTTP/"):
                    out.append(("client", head + b"<" + reader.end.encode() + b">"))
                    break
                body = reader.body(head, False, method == b"HEAD")
                # Chunk boundaries are nobody's business: joined.
                if b"transfer-encoding: chunked" in head.lower():
                    body = join_chunks(body)
                out.append(("client", head + body))
                if not head[9:10] == b"1":
                    break
        elif step == "origin reset":
            origin.wait_for_reset()
        elif step == "end":
            connection.shutdown(socket.SHUT_WR)
        elif step == "reset":
            reset(connection)
        elif step == "wait":
            waited += 1
            if not origin.wait_for(waited):
                out.append(("client", b"<TIMEOUT: the origin got no request>"))
        elif step == "closed":
            while reader.fill():
                pass
            out.append(("client", reader.buffer + b"<" + reader.end.encode() + b">"))
        else:
            for line in re.findall(rb"(?:^|\r\n\r\n)([A-Z]+) ", step):
                last_method.append(line)
            try:
                connection.sendall(step)
            except OSError:
                pass  # it answered before it had read everything
    connection.close()


def join_chunks(body):
    """All data of a chunked body as one line, then the trailers."""
    data = b""
    rest = body
    while True:
        line, found, after = rest.partition(b"\r\n")
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            return data + b"<broken chunk>" + rest
        if size == 0:
            return b"<chunks>" + data + b"<last chunk>" + after
        data += after[:size]
        rest = after[size + 2:]
        if not rest:
            return b"<chunks>" + data + b"<cut>"


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


# What differs from run to run or by the product's own name. Each with its reason.
NORMALISERS = [
    # For a client on loopback Envoy writes an address of the machine's own into x-forwarded-for.
    (re.compile(rf"(?<![0-9.]){re.escape(own_address())}(?![0-9.])"), "127.0.0.1"),
    (re.compile(r"^(date: ).*$", re.M | re.I), r"\1<date>"),  # the clock
    (re.compile(r"^(server: )(envoy|gatehouse)$", re.M | re.I), r"\1<product>"),  # the product's own name
    (re.compile(r"^(x-request-id: )[0-9a-f-]{36}$", re.M | re.I), r"\1<uuid>"),  # random
    (re.compile(r"^(x-envoy-upstream-service-time: )\d+$", re.M | re.I), r"\1<ms>"),  # the clock
]


def normalise(text, ports):
    for port, name in ports.items():
        text = re.sub(rf"(?<![0-9]){port}(?![0-9])", name, text)  # chosen by the kernel
    for pattern, replacement in NORMALISERS:
        text = pattern.sub(replacement, text)
    return text


def show(who, data, ports):
    text = normalise(data.decode("latin-1").replace("\r\n", "\n"), ports).replace("\r", "<CR>")
    return "".join(f"{who}| {line}".rstrip(" ") + "\n" for line in text.rstrip("\n").split("\n"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    def __init__(self, binary, group, origin, folder):
        self.port = free_port()
        self.admin = free_port()
        self.log = os.path.join(folder, "access.log")
        config = os.path.join(folder, "proxy.yaml")
        text = bootstrap(group, self.admin, self.log)
        text = text.replace("LISTENER_PORT", str(self.port)).replace("ORIGIN_PORT", str(origin.port))
        text = text.replace("CLOSED_PORT", str(free_port()))
        with open(config, "w") as file:
            file.write(text)
        command = [binary, "-c", config, "--concurrency", "1", "-l", "error"]
        if "envoy" in os.path.basename(binary):
            command += ["--disable-hot-restart"]
        self.output = open(os.path.join(folder, "proxy.out"), "w+")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while self.get("/ready")[:3] != "200":
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.output.seek(0)
                raise RuntimeError(f"{binary} did not start:\n{self.output.read()}")
            time.sleep(0.02)

    def get(self, path):
        try:
            with socket.create_connection(("127.0.0.1", self.admin), timeout=DEADLINE) as c:
                c.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                reader = Reader(c)
                head = reader.head()
                body = reader.body(head, False)
                if b"transfer-encoding: chunked" in head.lower():
                    body = join_chunks(body).removeprefix(b"<chunks>").partition(b"<last chunk>")[0]
                return head[9:12].decode() + body.decode("latin-1")
        except OSError:
            return ""

    def stop(self):
        """Ends the proxy and returns its access log. A proxy that crashed or reports leaks is an error."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode != 0:
            self.output.seek(0)
            raise RuntimeError(f"exit code {self.process.returncode}:\n{self.output.read()[-8000:]}")
        with open(self.log) as file:
            return file.read()


def start(binary, group, origin, folder):
    """A proxy on ports that were free a moment ago; somebody else may take one meanwhile, then on others."""
    for _ in range(20):
        try:
            return Proxy(binary, group, origin, folder)
        except RuntimeError as problem:
            if "in use" not in str(problem):
                raise
    raise RuntimeError("no free port was found")


def run_group(binary, group):
    """The transcript: {section: text}. Sections are "case NAME", "access log" and "stats"."""
    origin = http2.Origin() if group.origin_http2 else Origin()
    sections = {}
    with tempfile.TemporaryDirectory() as folder:
        proxy = start(binary, group, origin, folder)
        ports = {proxy.port: "<port>", origin.port: "<origin>", proxy.admin: "<admin>"}
        try:
            for case in group.cases:
                out = []
                play(case, proxy.port, origin, out)
                sections["case " + case.name] = "".join(show(who, data, ports) for who, data in out)
            stats = ""
            for pattern in group.stats:
                body = proxy.get("/stats?format=json&filter=" + urllib.parse.quote(pattern))[3:]
                for entry in json.loads(body)["stats"]:
                    # Envoy makes some counters at their first use only: zero and absent are the same.
                    if entry.get("value"):
                        stats += f"{entry['name']}: {entry['value']}\n"
        finally:
            log = proxy.stop()
    sections["access log"] = normalise(log, ports)
    if group.stats:
        sections["stats"] = normalise(stats, ports)
    return sections


def dump(sections):
    return "".join(f"== {name}\n{text}" for name, text in sections.items())


def parse(text):
    sections = {}
    for piece in re.split(r"^== ", text, flags=re.M)[1:]:
        name, _, body = piece.partition("\n")
        sections[name] = body
    return sections
