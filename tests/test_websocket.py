"""WebSocket: the handshake, the scope, the ways to say no. `WebSocket` is a client of bytes, as strict as `Connection`."""

import ast
import base64
import contextlib
import hashlib
import os
import struct
import time
from dataclasses import dataclass

import pytest
from harness import PATIENCE, ClosedEarly, Connection, Response, until
from test_asgi_messages import LOOPS, events

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass
class Frame:
    fin: bool
    rsv: int
    opcode: int
    payload: bytes


def encode(opcode: int, payload: bytes = b"", fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """A frame as a client writes it."""
    size = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", size)
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    number = int.from_bytes(payload, "little") ^ int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return head + key + number.to_bytes(size, "little")


class WebSocket:
    """A client connection, accepted."""

    def __init__(self, server, path="/echo", headers=(), extra: bytes = b"", timeout: float = PATIENCE) -> None:
        self.connection, self.answer = shake_hands(server, path, headers, extra=extra, timeout=timeout)
        assert self.answer.status == 101, self.answer

    def __enter__(self) -> "WebSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.socket.close()

    def send(self, opcode: int, payload: bytes = b"", **options) -> "WebSocket":
        self.connection.send(encode(opcode, payload, **options))
        return self

    def say(self, message: str | bytes) -> "WebSocket":
        return self.send(TEXT, message.encode()) if isinstance(message, str) else self.send(BINARY, message)

    def frame(self) -> Frame:
        """The next frame, which must be right."""
        first, second = self.connection.read(2)
        fin, rsv, opcode, size = bool(first & 0x80), first >> 4 & 7, first & 15, second & 0x7F
        assert not second & 0x80, "a server does not mask"
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), opcode
        if opcode >= CLOSE:
            assert fin and size < 126 and not rsv, "a control frame is whole and short"
        if size == 126:
            size = struct.unpack(">H", self.connection.read(2))[0]
            assert size >= 126, "not the shortest form of a length"
        elif size == 127:
            size = struct.unpack(">Q", self.connection.read(8))[0]
            assert size >= 65536, "not the shortest form of a length"
        return Frame(fin, rsv, opcode, self.connection.read(size))

    def message(self) -> str | bytes:
        """The next message; a ping that comes between is answered."""
        kind, pieces, end = None, [], time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < end, "only pings come"
            frame = self.frame()
            if frame.opcode == PING:
                self.send(PONG, frame.payload)
                continue
            assert frame.opcode in (TEXT, BINARY, CONTINUATION), frame
            assert (frame.opcode == CONTINUATION) == (kind is not None), frame
            assert not frame.rsv, "compressed, and nobody asked for it"
            kind = kind or frame.opcode
            pieces.append(frame.payload)
            if frame.fin:
                data = b"".join(pieces)
                return data.decode() if kind == TEXT else data

    def closing(self, reply: bool = True) -> tuple[int, str]:
        """The code and reason of the server's close frame, which is the next but for pings; then the end."""
        while (frame := self.frame()).opcode in (PING, PONG):
            pass
        assert frame.opcode == CLOSE, frame
        assert len(frame.payload) != 1
        code = struct.unpack(">H", frame.payload[:2])[0] if frame.payload else 1005
        if reply:
            with contextlib.suppress(OSError):
                self.send(CLOSE, frame.payload[:2])
            assert self.connection.is_closed(), "the server ends the connection"
        return code, frame.payload[2:].decode()

    def close(self, code: int | None = 1000, reason: str = "") -> tuple[int, str]:
        """Close, and what the server's own close frame says."""
        self.send(CLOSE, struct.pack(">H", code) + reason.encode() if code is not None else b"")
        return self.closing(reply=False)


def handshake(path="/echo", headers=(), key="dGhlIHNhbXBsZSBub25jZQ==", version="13", method="GET", protocol="HTTP/1.1",
              upgrade="websocket", connection="Upgrade") -> bytes:
    fields = [("Host", "localhost"), ("Upgrade", upgrade), ("Connection", connection), ("Sec-WebSocket-Key", key),
              ("Sec-WebSocket-Version", version), *headers]
    lines = [f"{method} {path} {protocol}", *(f"{name}: {value}" for name, value in fields if value is not None)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def shake_hands(server, path="/echo", headers=(), extra=b"", timeout=PATIENCE, **how) -> tuple[Connection, Response]:
    """A handshake and its answer, which is checked as far as it goes."""
    connection = server.connect(timeout)
    connection.send(handshake(path, headers, **how) + extra)
    answer = connection.head()
    if answer.status == 101:
        accept = base64.b64encode(hashlib.sha1(how.get("key", "dGhlIHNhbXBsZSBub25jZQ==").encode() + GUID).digest()).decode()
        assert answer["Sec-WebSocket-Accept"] == accept
        assert answer["Upgrade"].lower() == "websocket" and answer["Connection"].lower() == "upgrade"
        assert not answer.all("Content-Length") and not answer.all("Transfer-Encoding")
    return connection, answer


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def kitchen(request, serve_all):
    return serve_all("asgi_kitchen", *request.param)


# The handshake.


def test_an_accepted_connection_echoes(kitchen):
    with WebSocket(kitchen) as ws:
        assert ws.answer.reason and ws.answer["Sec-WebSocket-Extensions"] is None
        assert ws.say("text \u20ac").message() == "text \u20ac"
        assert ws.say(b"bytes\xff").message() == b"bytes\xff"
        assert ws.close(1000)[0] == 1000
        assert ws.connection.is_closed()


@pytest.mark.parametrize(
    "how",
    [{"upgrade": "WebSocket"}, {"connection": "keep-alive, Upgrade"}, {"connection": "upgrade"}, {"upgrade": "h2c, websocket"}],
    ids=["case", "list", "lower", "upgrades"],
)
def test_other_spellings_of_a_handshake(kitchen, how):
    connection, answer = shake_hands(kitchen, **how)
    assert answer.status == 101
    connection.socket.close()


def test_an_upgrade_after_a_request_on_the_same_connection(kitchen):
    with kitchen.connect() as connection:
        assert connection.request("GET", "/hello").response().text == "Hello"
        connection.send(handshake("/echo"))
        assert connection.head().status == 101
        connection.send(encode(TEXT, b"after"))
        assert connection.read(7) == b"\x81\x05after"


def test_frames_that_come_with_the_handshake_are_not_lost(kitchen):
    with WebSocket(kitchen, extra=encode(TEXT, b"early") + encode(TEXT, b"bird")) as ws:
        assert (ws.message(), ws.message()) == ("early", "bird")


def test_frames_that_come_before_a_late_accept_are_not_lost(kitchen):
    name = f"late-accept-{os.getpid()}-{kitchen.port}"
    with kitchen.connect() as connection:
        connection.send(handshake(f"/late-accept?gate={name}") + encode(TEXT, b"patient"))
        connection.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.head()
        connection.socket.settimeout(20)
        (kitchen.directory / name).touch()
        assert connection.head().status == 101
        assert connection.read(9) == b"\x81\x07patient"


@pytest.mark.parametrize("version", ["12", "8", "0", "14", "nonsense", ""])
def test_another_version_is_426_and_told_the_right_one(kitchen, version):
    connection, answer = shake_hands(kitchen, version=version)
    assert (answer.status, answer["Sec-WebSocket-Version"]) == (426, "13")
    connection.socket.close()


def test_no_version_is_refused(kitchen):
    connection, answer = shake_hands(kitchen, version=None)
    assert answer.status in (400, 426)
    connection.socket.close()


@pytest.mark.parametrize("key", [None, "", "short", "dGhlIHNhbXBsZSBub25jZQ", "!!!!!!!!!!!!!!!!!!!!!!==", "dGhlIHNhbXBsZSBub25jZSE="])
def test_a_missing_or_bad_key_is_400(kitchen, key):
    connection, answer = shake_hands(kitchen, key=key)
    assert answer.status == 400
    connection.socket.close()


def test_two_keys_are_400(kitchen):
    connection, answer = shake_hands(kitchen, headers=[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")])
    assert answer.status == 400
    connection.socket.close()


@pytest.mark.parametrize(
    "how",
    [{"method": "POST", "headers": [("Content-Length", "0")]}, {"protocol": "HTTP/1.0"}, {"upgrade": "h2c"}, {"connection": "close"},
     {"upgrade": None}, {"connection": None}],
    ids=["POST", "HTTP/1.0", "h2c", "no-connection", "no-upgrade", "none"],
)
def test_what_is_no_handshake_is_never_accepted(kitchen, how):
    """It is a plain request, for the page that has no such name, or is refused."""
    connection, answer = shake_hands(kitchen, "/is-alone", **how)
    assert answer.status in (400, 404, 405, 426), answer
    connection.socket.close()


def test_a_refused_handshake_leaves_a_sound_server(kitchen):
    for _ in range(5):
        connection, _ = shake_hands(kitchen, version="12")
        connection.socket.close()
    with WebSocket(kitchen) as ws:
        assert ws.say("still here").message() == "still here"


# The scope.


@pytest.mark.parametrize("loop", LOOPS)
def test_the_scope_of_a_websocket(serve, loop):
    server = serve("asgi_scope", *LOOPS[loop])
    with WebSocket(server, "/a%20b/%C3%A9?q=%201", [("Sec-WebSocket-Protocol", "chat, superchat"), ("Sec-WebSocket-Protocol", "third"),
                                                   ("X-MiXed", "caf\u00e9"), ("X-Two", "1"), ("X-Two", "2")]) as ws:
        scope = ast.literal_eval(ws.message())
        host, port = ws.connection.socket.getsockname()
        assert ws.closing() == (1000, "")
    types, headers = scope["types"], scope["headers"]
    expected = {"type": "websocket", "http_version": "1.1", "scheme": "ws", "path": "/a b/\u00e9", "raw_path": b"/a%20b/%C3%A9",
                "query_string": b"q=%201", "root_path": ""}
    assert {key: scope[key] for key in expected} == expected
    assert "method" not in scope
    assert scope["asgi"]["version"] == "3.0" and tuple(map(int, scope["asgi"]["spec_version"].split("."))) >= (2, 5)
    assert list(scope["client"]) == [host, port] and list(scope["server"]) == ["127.0.0.1", server.port]
    assert list(scope["subprotocols"]) == ["chat", "superchat", "third"]
    assert all(type(name) is str for name in scope["subprotocols"])
    assert (b"x-mixed", b"caf\xe9") in headers and [value for name, value in headers if name == b"x-two"] == [b"1", b"2"]
    assert (b"sec-websocket-version", b"13") in headers and (b"upgrade", b"websocket") in headers
    assert headers[0] == (b"host", b"localhost")
    assert "websocket.http.response" in scope["extensions"]
    assert not [name for name in scope["extensions"] if name.startswith("http.response")]
    assert types["path"] == "str" and types["raw_path"] == types["query_string"] == "bytes"


def test_without_subprotocols_the_list_is_empty(serve):
    with WebSocket(serve("asgi_scope"), "/") as ws:
        assert list(ast.literal_eval(ws.message()).get("subprotocols", [])) == []


def test_a_websocket_on_a_unix_socket(serve, tmp_path):
    path = tmp_path / "web.sock"
    serve("asgi_scope", bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        connection.send(handshake("/"))
        assert connection.head().status == 101
        size = connection.read(4)[2:]
        scope = ast.literal_eval(connection.read(int.from_bytes(size, "big")).decode())
    assert scope.get("client") is None and list(scope["server"]) == [str(path), None]


# accept.


def test_the_chosen_subprotocol_is_told(kitchen):
    with WebSocket(kitchen, "/plays?subprotocol=superchat", [("Sec-WebSocket-Protocol", "chat, superchat")]) as ws:
        assert ws.answer["Sec-WebSocket-Protocol"] == "superchat"
        ws.closing()


@pytest.mark.parametrize("path", ["/plays", "/plays?subprotocol="])
def test_without_a_choice_there_is_no_subprotocol(kitchen, path):
    with WebSocket(kitchen, path, [("Sec-WebSocket-Protocol", "chat")]) as ws:
        assert ws.answer["Sec-WebSocket-Protocol"] is None
        ws.closing()


def test_headers_of_accept_leave_as_they_were_given(kitchen):
    with WebSocket(kitchen, "/plays?headers") as ws:
        assert ws.answer.all("Set-Cookie") == ["a=1", "b=2"] and ws.answer["X-Latin"] == "caf\u00e9"
        ws.closing()


# No.


@pytest.mark.parametrize("path", ["/refuses", "/refuses?code=4001"])
def test_close_before_accept_is_403(kitchen, path):
    before = len(events(kitchen, "refuses"))
    connection, answer = shake_hands(kitchen, path)
    assert answer.status == 403
    assert answer["Upgrade"] is None and answer["Sec-WebSocket-Accept"] is None
    assert until(lambda: events(kitchen, "refuses")[before:], "the end") == ["websocket.disconnect"]
    connection.socket.close()


@pytest.mark.parametrize("status", [200, 401, 404, 503])
def test_a_denial_is_an_http_answer(kitchen, status):
    connection = kitchen.connect()
    answer = connection.send(handshake(f"/denies?status={status}")).response()
    assert (answer.status, answer.text) == (status, '{"error": "no"}')
    assert (answer["Content-Type"], answer["X-Own"], answer.all("Set-Cookie")) == ("application/json", "1", ["a=1", "b=2"])
    assert answer["Upgrade"] is None and answer["Sec-WebSocket-Accept"] is None
    connection.socket.close()


def test_after_a_denial_there_is_no_accept(kitchen):
    with kitchen.connect() as connection:
        answer = connection.send(handshake("/denies-then-accepts")).response()
        assert (answer.status, answer.body) == (401, b"denied")
    assert "accepted" not in events(kitchen, "denies-then-accepts")


def test_an_exception_before_accept_is_500_and_logged(kitchen):
    connection, answer = shake_hands(kitchen, "/raises-before")
    assert answer.status == 500
    kitchen.wait_for_log("burnt before the handshake")
    connection.socket.close()


@pytest.mark.parametrize("path", ["/returns-before", "/absent"])
def test_an_application_that_returns_before_accept_is_no_connection(kitchen, path):
    connection, answer = shake_hands(kitchen, path)
    assert answer.status in (403, 500)
    connection.socket.close()


def test_an_exception_after_accept_is_1011_and_logged(kitchen):
    with WebSocket(kitchen, "/raises-after") as ws:
        assert ws.message() == "soon"
        assert ws.closing()[0] == 1011
    kitchen.wait_for_log("burnt after the handshake")


def test_an_application_that_returns_after_accept_closes(kitchen):
    with WebSocket(kitchen, "/returns-after") as ws:
        assert ws.message() == "soon"
        assert ws.closing()[0] in (1000, 1011)


@pytest.mark.parametrize("how", ["before accept", "after accept"])
def test_a_client_that_goes_during_the_handshake_does_no_harm(kitchen, how):
    for _ in range(5):
        with kitchen.connect() as connection:
            connection.send(handshake("/late-accept?gate=never" if how == "before accept" else "/echo"))
    assert kitchen.get("/hello").text == "Hello"


# Other applications.


def test_a_wsgi_application_answers_an_upgrade_as_before(serve):
    server = serve("hello")
    with server.connect() as connection:
        answer = connection.send(handshake("/")).response()
        assert (answer.status, answer.text, answer["Upgrade"]) == (200, "Hello", None)
        assert connection.request().response().text == "Hello"


def test_an_upgrade_to_something_else_is_a_plain_request(kitchen):
    with kitchen.connect() as connection:
        answer = connection.request("GET", "/hello", [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "")]).response()
        assert answer.text == "Hello"


def test_access_log_has_a_line_for_a_websocket(serve):
    server = serve("asgi_kitchen", "--access-logfile", "-")
    with WebSocket(server) as ws:
        ws.say("hello").message()
        ws.close()
    until(lambda: '"GET /echo HTTP/1.1" 101' in server.stdout, "a line in the access log")


def test_the_worker_survives_garbage_after_the_handshake(kitchen):
    pid = kitchen.get("/pid").text
    for _ in range(10):
        with WebSocket(kitchen) as ws:
            with contextlib.suppress(OSError, ClosedEarly, AssertionError):
                ws.connection.send(os.urandom(2000))
                ws.connection.rest()
    assert kitchen.get("/pid").text == pid
