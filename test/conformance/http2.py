"""HTTP/2 clients and origins of conformance cases, on the Python package h2 (which shares no code with the gateway).

A stream is named by a letter. Steps of a client:
  open(NAME, fields, end)    HEADERS; fields is a list of (name, value), pseudo-fields included
  data(NAME, bytes, end)     DATA
  trailers(NAME, fields)     HEADERS with END_STREAM
  rst(NAME, code)            RST_STREAM
  raw(bytes)                 these bytes
  done(NAME)                 until the answer has ended or the stream was reset
  head(NAME)                 until some head of the answer is there, an interim one included
  "wait"                     until the origin has received a request (or another one)
  "origin reset"             until the origin saw a reset
  "closed"                   until the proxy closes
"""

import dataclasses
import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings


@dataclasses.dataclass
class H2Case:
    name: str
    send: list
    origin: list = dataclasses.field(default_factory=list)
    differs: str = ""
    known: str = ""


def open_(name, fields, end=True):
    return ("open", name, fields, end)


def data(name, text, end=False):
    return ("data", name, text, end)


def trailers(name, fields):
    return ("trailers", name, fields)


def rst(name, code):
    return ("rst", name, code)


def raw(text):
    return ("raw", text)


def done(name):
    return ("done", name)


def head(name):
    return ("head", name)


def request(path="/", method="GET", extra=(), authority="test"):
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)] + list(extra)


def simple(path="/", method="GET", extra=()):
    return [open_("a", request(path, method, extra)), done("a")]


def settings(client):
    return h2.config.H2Configuration(client_side=client, header_encoding="latin-1", validate_inbound_headers=False,
                                     validate_outbound_headers=False, normalize_outbound_headers=False, normalize_inbound_headers=False)


class Stream:
    def __init__(self):
        self.lines = []
        self.body = b""
        self.head = False
        self.over = False

    def fields(self, fields):
        self.lines += [f"{name}: {value}" for name, value in fields]

    def text(self):
        lines = list(self.lines)
        if self.body:
            lines.append("<body>" + self.body.decode("latin-1"))
        return lines


class Client:
    def __init__(self, port, deadline):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.settimeout(deadline)
        self.h2 = h2.connection.H2Connection(settings(True))
        self.h2.initiate_connection()
        self.streams = {}
        self.names = {}
        self.end = ""
        self.goaway = ""
        self.flush()

    def flush(self):
        try:
            self.socket.sendall(self.h2.data_to_send())
        except OSError:
            pass

    def receive(self):
        """False at the end of the connection."""
        if self.end:
            return False
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
            self.end = "reset"
        except TimeoutError:
            self.end = "TIMEOUT"
            return False
        if not piece:
            self.end = self.end or "closed"
            return False
        try:
            events = self.h2.receive_data(piece)
        except h2.exceptions.ProtocolError as problem:
            self.end = f"<what the proxy sent breaks the protocol: {problem}>"
            return False
        for event in events:
            self.take(event)
        self.flush()
        return True

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None), Stream())
        if isinstance(event, h2.events.ResponseReceived):
            stream.head = True
            stream.fields(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.fields(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.lines += stream.text()[len(stream.lines):] + ["<trailers>"]
            stream.body = b""
            stream.fields(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.over = True
        elif isinstance(event, h2.events.StreamReset):
            if not stream.over:
                stream.lines += stream.text()[len(stream.lines):] + [f"<reset {int(event.error_code)}>"]
                stream.body = b""
            stream.over = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = f"<goaway {int(event.error_code)}>"

    def until(self, name, ready):
        stream = self.streams[self.names[name]]
        while not ready(stream) and not self.goaway_ends(stream) and self.receive():
            pass
        if not ready(stream):
            stream.lines += stream.text()[len(stream.lines):] + ["<TIMEOUT>" if self.end == "TIMEOUT" else "<connection ended>"]
            stream.body = b""

    def goaway_ends(self, stream):
        return False


def play(case, port, origin, out, deadline):
    origin.start_case(case.origin)
    client = Client(port, deadline)
    order = []
    waited = 0
    for step in case.send:
        if step == "wait":
            waited += 1
            if not origin.wait_for(waited):
                out.append(("client", b"<TIMEOUT: the origin got no request>"))
            continue
        if step == "origin reset":
            origin.wait_for_reset()
            continue
        if step == "closed":
            while client.receive():
                pass
            continue
        kind, rest = step[0], step[1:]
        if kind == "raw":
            client.flush()
            client.socket.sendall(rest[0])
            continue
        name = rest[0]
        if kind == "open":
            number = client.h2.get_next_available_stream_id()
            client.names[name] = number
            client.streams[number] = Stream()
            order.append(name)
            client.h2.send_headers(number, rest[1], end_stream=rest[2])
        elif kind == "data":
            client.h2.send_data(client.names[name], rest[1], end_stream=rest[2])
        elif kind == "trailers":
            client.h2.send_headers(client.names[name], rest[1], end_stream=True)
        elif kind == "rst":
            client.h2.reset_stream(client.names[name], rest[1])
        elif kind == "done":
            client.until(name, lambda stream: stream.over)
        elif kind == "head":
            client.until(name, lambda stream: stream.lines or stream.over)
        client.flush()
    client.socket.close()
    for name in order:
        for line in client.streams[client.names[name]].text():
            out.append((name, line.encode("latin-1")))
    if "closed" in case.send:
        # Whether a GOAWAY and a FIN or a reset tell the client is a matter of taste and timing.
        out.append(("client", b"<TIMEOUT>" if client.end == "TIMEOUT" else b"<ended>"))


# The head of a GOAWAY frame; the library would refuse to answer after one.
GOAWAY = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0])


class Origin:
    """An HTTP/2 origin. Each request takes the next action of the case: a list of steps ("head", fields, end), ("data", bytes,
    end), ("trailers", fields), ("rst", code), "goaway", "close", "reset"."""

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
            return self.changed.wait_for(lambda: len(self.seen) >= requests, 10)

    def wait_for_reset(self):
        """Until some request of this case was reset."""
        with self.changed:
            return self.changed.wait_for(lambda: any("<reset" in line for stream in self.seen for line in stream.lines), 10)

    def _accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        codec = h2.connection.H2Connection(settings(False))
        codec.initiate_connection()
        connection.sendall(codec.data_to_send())
        requests = {}
        try:
            while piece := connection.recv(65536):
                for event in codec.receive_data(piece):
                    number = getattr(event, "stream_id", None)
                    if isinstance(event, h2.events.RequestReceived):
                        requests[number] = Stream()
                        # Pseudo-fields come first, in any order.
                        requests[number].fields(sorted(event.headers, key=lambda field: field[0] if field[0][0] == ":" else "z"))
                    elif isinstance(event, h2.events.TrailersReceived):
                        requests[number].lines += requests[number].text()[len(requests[number].lines):] + ["<trailers>"]
                        requests[number].body = b""
                        requests[number].fields(event.headers)
                    elif isinstance(event, h2.events.DataReceived):
                        requests[number].body += event.data
                        codec.acknowledge_received_data(event.flow_controlled_length, number)
                    elif isinstance(event, h2.events.StreamEnded):
                        self._answer(codec, connection, number, requests[number])
                    elif isinstance(event, h2.events.StreamReset):
                        with self.changed:
                            requests[number].lines.append(f"<reset {int(event.error_code)}>")
                            self.changed.notify_all()
                connection.sendall(codec.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            connection.close()

    def _answer(self, codec, connection, number, stream):
        with self.changed:
            self.seen.append(stream)
            action = self.script.pop(0) if self.script else h2_ok()
            self.changed.notify_all()
        for step in action:
            if step == "goaway":
                connection.sendall(codec.data_to_send() + GOAWAY + number.to_bytes(4, "big") + bytes(4))
            elif step == "close":
                connection.sendall(codec.data_to_send())
                connection.shutdown(socket.SHUT_RDWR)
                raise OSError
            elif step == "garbage":
                connection.sendall(codec.data_to_send() + b"HTTP/1.1 200 OK\r\n\r\n")
            elif step == "stall":
                pass
            elif step[0] == "head":
                codec.send_headers(number, step[1], end_stream=step[2])
            elif step[0] == "data":
                codec.send_data(number, step[1], end_stream=step[2])
            elif step[0] == "trailers":
                codec.send_headers(number, step[1], end_stream=True)
            elif step[0] == "rst":
                codec.reset_stream(number, step[1])


def h2_ok(body=b"ok", extra=(), status="200"):
    fields = [(":status", status)] + list(extra) + [("content-length", str(len(body)))]
    return [("head", fields, not body)] + ([("data", body, True)] if body else [])
