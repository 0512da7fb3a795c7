"""Clients that speak HTTP/2: `Client` keeps to the rules, `Raw` sends whatever frames it is told to."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from harness import PATIENCE

h2_config = pytest.importorskip("h2.config")
import h2.connection  # noqa: E402
import h2.errors  # noqa: E402
import h2.events  # noqa: E402
import h2.settings  # noqa: E402
import hpack  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


@dataclass
class Answer:
    """What came on a stream so far."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    def __getitem__(self, name: str) -> str | None:
        return next((value for own, value in self.headers if own == name), None)

    @property
    def text(self) -> str:
        return self.body.decode()


def text(fields: Iterable) -> list[tuple[str, str]]:
    decode = lambda part: part.decode("latin-1") if isinstance(part, bytes) else part
    return [(decode(name), decode(value)) for name, value in fields]


class Client:
    """One connection. Bodies that come are taken as they come, unless `hold` is set."""

    def __init__(self, port: int, *, context: ssl.SSLContext | None = None, window: int | None = None,
                 host: str = "localhost", timeout: float = PATIENCE) -> None:
        self.host = host
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.scheme = "https" if context else "http"
        self.timeout = timeout
        self.hold = False
        self.goaway: tuple[int, int] | None = None  # the last stream that is answered, the error
        self.buffer = b""
        self.closed = False
        self.settings: dict[int, int] = {}
        self.answers: dict[int, Answer] = {}
        self.h2 = h2.connection.H2Connection(h2_config.H2Configuration(header_encoding=None))
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def fields(self, method: str, path: str, headers: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        pseudo = [(":method", method), (":scheme", self.scheme), (":authority", self.host), (":path", path)]
        return [*pseudo, *headers]

    def begin(self, path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), *,
              end: bool = True) -> int:
        """Send the head of a request."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, self.fields(method, path, headers), end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a piece of a body as the windows allow."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def request(self, path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (),
                body: bytes | None = None) -> Answer:
        """One request, and its whole answer. A body goes without its length unless `headers` tell it."""
        stream = self.begin(path, method, headers, end=body is None)
        if body is not None:
            self.send(stream, body, end=True)
        return self.answer(stream)

    def answer(self, stream: int) -> Answer:
        """Wait for the end of an answer."""
        self.until(lambda: self.answers[stream].over)
        return self.answers[stream]

    def until(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while not condition():
            assert not self.closed, f"the connection ended: {self.goaway}"
            assert time.monotonic() < end, f"nothing came of it: {self.answers}"
            self.receive()

    def receive(self, timeout: float | None = None) -> None:
        """Take what comes next."""
        self.socket.settimeout(timeout or self.timeout)
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        self.buffer += data
        while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3]):
            length = 9 + int.from_bytes(self.buffer[:3])
            frame, self.buffer = self.buffer[:length], self.buffer[length:]
            if frame[3] == GOAWAY:
                # The library would take it for the end at once, and not for what is to follow.
                self.goaway = (int.from_bytes(frame[9:13]), int.from_bytes(frame[13:17]))
                continue
            for event in self.h2.receive_data(frame):
                self.take(event)
        self.flush()

    def take(self, event: h2.events.Event) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
        match event:
            case h2.events.ResponseReceived():
                fields = text(event.headers)
                answer.status = int(dict(fields)[":status"])
                answer.headers = [field for field in fields if field[0] != ":status"]
            case h2.events.InformationalResponseReceived():
                fields = text(event.headers)
                answer.interim.append((int(dict(fields)[":status"]), fields[1:]))
            case h2.events.DataReceived():
                answer.body += event.data
                if not self.hold:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.TrailersReceived():
                answer.trailers = text(event.headers)
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset():
                answer.reset = int(event.error_code)
            case h2.events.RemoteSettingsChanged():
                self.settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})

    def reset(self, stream: int, code: int = 8) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def ping(self) -> None:
        self.h2.ping(b"01234567")
        self.flush()


class Raw:
    """A connection of frames, for what a client must not do."""

    def __init__(self, port: int, *, preface: bool = True, timeout: float = PATIENCE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.next = 1
        if preface:
            self.socket.sendall(PREFACE + self.frame(SETTINGS))

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @staticmethod
    def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def send(self, kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> None:
        self.socket.sendall(self.frame(kind, flags, stream, payload))

    def head(self, fields: Iterable[tuple[str, str]], *, end: bool = True, stream: int | None = None) -> tuple[int, bytes]:
        """A HEADERS frame with exactly these fields."""
        if stream is None:
            stream, self.next = self.next, self.next + 2
        block = self.encoder.encode(list(fields))
        return stream, self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def get(self, path: str = "/", *more: tuple[str, str], end: bool = True) -> tuple[int, bytes]:
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path), *more]
        return self.head(fields, end=end)

    def read(self, timeout: float = PATIENCE) -> tuple[int, int, int, bytes] | None:
        """The next frame: kind, flags, stream, payload; `None` at the end."""
        self.socket.settimeout(timeout)
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3]):
            try:
                data = self.socket.recv(1 << 16)
            except (ConnectionResetError, BrokenPipeError):
                return None
            if not data:
                return None
            self.buffer += data
        length = int.from_bytes(self.buffer[:3])
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9])
        payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
        return kind, flags, stream, payload

    def find(self, kind: int, stream: int | None = None) -> tuple[int, int, int, bytes] | None:
        """The next frame of that kind, and perhaps stream; `None`: the connection ended before one came."""
        while frame := self.read():
            if frame[0] == kind and stream in (None, frame[2]):
                return frame
        return None

    def outcome(self, stream: int) -> str:
        """What becomes of a request: `200`, `reset 1`, `goaway 1`, `closed`."""
        while frame := self.read():
            kind, _, own, payload = frame
            if kind == GOAWAY:
                return f"goaway {int.from_bytes(payload[4:8])}"
            if kind == HEADERS:
                fields = text(self.decoder.decode(payload))
                if own == stream:
                    return dict(fields)[":status"]
            if kind == RST_STREAM and own == stream:
                return f"reset {int.from_bytes(payload)}"
        return "closed"
