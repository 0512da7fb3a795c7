"""gRPC through the proxy: real clients and servers of grpcio, with messages of bytes."""

import contextlib
import hashlib
import json
import queue
import socket
import sys
import threading
import time

import pytest
from front import NGINX, Front, Process, free_port
from harness import APPS, until
from tls import Certificates

grpc = pytest.importorskip("grpc")

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
CONTENT = """
upstream both {{ server 127.0.0.1:{one} max_fails=0; server 127.0.0.1:{two} max_fails=0; }}
upstream one {{ server 127.0.0.1:{one}; keepalive 4; }}
upstream none {{ server 127.0.0.1:{closed}; server 127.0.0.1:{closed} backup; }}
upstream second {{ server 127.0.0.1:{closed} max_fails=0; server 127.0.0.1:{one} max_fails=0; }}
log_format own '$request_uri|$status|$upstream_addr|$upstream_status';
access_log {{dir}}/access.log own;
client_max_body_size 0;
server {{
    listen 127.0.0.1:{{port}} http2;
    location / {{ grpc_pass grpc://one; }}
    location /both/ {{ rewrite ^/both(/.*) $1 break; grpc_pass both; }}
    location /none/ {{ grpc_pass none; }}
    location /second/ {{ rewrite ^/second(/.*) $1 break; grpc_pass second; }}
    location /path/ {{ rewrite ^/path(/.*) $1 break; grpc_pass unix:{path}; }}
    location /variable/ {{ set $to 127.0.0.1:{one}; rewrite ^/variable(/.*) $1 break; grpc_pass grpc://$to; }}
    location /fields/ {{
        rewrite ^/fields(/.*) $1 break; grpc_set_header X-Own "own $scheme"; grpc_set_header X-Gone "";
        grpc_hide_header X-Trailing; grpc_pass one;
    }}
    location /short/ {{ rewrite ^/short(/.*) $1 break; grpc_read_timeout 1s; grpc_pass one; }}
    location /page/ {{ grpc_pass none; error_page 502 = /unavailable; }}
    location = /unavailable {{
        internal; default_type application/grpc; add_header grpc-status 14; add_header content-length 0;
        add_header grpc-message "nobody is here"; return 204;
    }}
}}
"""


def backend(directory, name, place=None, *tls):
    directory.mkdir()
    port = free_port() if place is None else place
    line = [sys.executable, str(APPS / "grpc_server.py"), str(port), name, *map(str, tls)]
    if isinstance(port, int):
        return Process(directory, line, port)
    process = Process.__new__(Process)
    process.directory, process.output = directory, directory / "output"
    import subprocess
    with open(process.output, "ab") as out:
        process.process = subprocess.Popen(line, stdout=out, stderr=out, start_new_session=True)
    until(lambda: place.exists(), "the server to listen")
    return process


class Site:
    def __init__(self, directory, program=None):
        self.one, self.two = backend(directory / "one", "one"), backend(directory / "two", "two")
        self.path = backend(directory / "path", "path", directory / "socket")
        content = CONTENT.format(one=self.one.port, two=self.two.port, closed=free_port(), path=directory / "socket")
        self.front = Front(directory / "front", content, **({"program": program} if program else {}))
        self.is_nginx = program is not None

    def stop(self):
        for process in (self.front, self.one, self.two, self.path):
            process.stop()

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.front.port}", options=UNLIMITED)


@pytest.fixture(scope="module", params=["daemun", "nginx"])
def site(request, tmp_path_factory):
    if request.param == "nginx" and NGINX is None:
        pytest.skip("there is no nginx")
    site = Site(tmp_path_factory.mktemp(request.param), NGINX if request.param == "nginx" else None)
    yield site
    site.stop()


@pytest.fixture
def channel(site):
    with site.channel() as channel:
        yield channel


def call(channel, method, message=b"", prefix="", timeout=20, metadata=(), **more):
    """A call with one message each way: what came, and the call."""
    return channel.unary_unary(f"{prefix}/test.Echo/{method}").with_call(message, timeout=timeout, metadata=metadata, **more)


def failure(of) -> "grpc.RpcError":
    with pytest.raises(grpc.RpcError) as caught:
        of()
    return caught.value


@pytest.mark.parametrize("prefix", ["", "/both", "/second", "/path", "/variable", "/fields"])
@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
def test_a_message_comes_back(channel, prefix, size):
    message = bytes(range(256)) * (size // 256 + 1)
    assert call(channel, "Unary", message[:size], prefix)[0] == message[:size]


def test_large_messages_come_back(channel):
    message = hashlib.shake_128(b"large").digest(20_000_000)
    assert call(channel, "Unary", message, timeout=60)[0] == message


def test_many_at_a_time(channel):
    calls = [channel.unary_unary("/test.Echo/Unary").future(b"%d" % number * 100, timeout=40) for number in range(200)]
    assert [one.result() for one in calls] == [b"%d" % number * 100 for number in range(200)]


def test_both_servers_are_asked(channel):
    names = [call(channel, "Who", prefix="/both")[0].split()[0] for _ in range(6)]
    assert sorted(names) == [b"one"] * 3 + [b"two"] * 3


def test_connections_are_kept(channel):
    peers = {call(channel, "Who")[0] for _ in range(5)}
    assert len(peers) == 1


def test_metadata_goes_both_ways(channel):
    answer, answered = call(channel, "Metadata", metadata=(("x-a", "1"), ("x-a", "2"), ("x-bytes-bin", b"\0\xff")))
    seen = json.loads(answer)
    pairs = [tuple(pair) for pair in seen["metadata"]]
    assert [value for name, value in pairs if name == "x-a"] in (["1", "2"], ["1, 2"])
    assert ("x-bytes-bin", "00ff") in pairs
    assert any(name == "user-agent" and "grpc-python" in value for name, value in pairs)
    assert 10 < seen["left"] < 30
    initial = [tuple(pair) for pair in answered.initial_metadata()]
    assert [value for name, value in initial if name == "x-initial"] == ["one", "two"]
    assert ("x-binary-bin", b"\0\1\xff") in initial
    assert {("x-trailing", "end"), ("x-trailing-bin", b"\xfe\0")} <= {tuple(pair) for pair in answered.trailing_metadata()}


def test_fields_for_servers(channel):
    answer, answered = call(channel, "Metadata", prefix="/fields", metadata=(("x-gone", "1"), ("x-stays", "1")))
    names = dict(json.loads(answer)["metadata"])
    assert names["x-own"] == "own http" and names["x-stays"] == "1" and "x-gone" not in names


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "INTERNAL", "UNAVAILABLE", "CANCELLED"])
def test_errors_of_servers(channel, status):
    error = failure(lambda: call(channel, "Fail", status.encode()))
    assert (error.code(), error.details()) == (grpc.StatusCode[status], "wrong: 100% \u00fc")
    assert ("x-why", "because") in [tuple(pair) for pair in error.trailing_metadata()]


def test_a_method_that_is_not_there(channel):
    assert failure(lambda: call(channel, "Nothing")).code() == grpc.StatusCode.UNIMPLEMENTED


def test_streams_from_servers(channel):
    stream = channel.unary_stream("/test.Echo/Download")(b"300 10000", timeout=40)
    sizes = [(int.from_bytes(message[:4]), len(message)) for message in stream]
    assert sizes == [(number, 10_004) for number in range(300)]
    assert stream.code() == grpc.StatusCode.OK


def test_a_slow_client_holds_the_server_back(site):
    """The windows bound what is on its way: a server that sends without end does not fill the memory."""
    with site.channel() as channel:
        stream = channel.unary_stream("/test.Echo/Download")(b"3000 100000", timeout=60)
        assert len(next(stream)) == 100_004
        before = site.front.memory("VmRSS")
        time.sleep(1)
        assert site.front.memory("VmRSS") - before < 30_000_000
        assert sum(1 for _ in stream) == 2999


def test_a_stream_that_fails_later(channel):
    stream = channel.unary_stream("/test.Echo/FailLater")(b"", timeout=20)
    assert [next(stream), next(stream)] == [b"one", b"two"]
    error = failure(lambda: next(stream))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "half of it")


def test_streams_to_servers(channel):
    pieces = [hashlib.shake_128(b"%d" % number).digest(50_000) for number in range(100)]
    answer = channel.stream_unary("/test.Echo/Upload")(iter(pieces), timeout=40)
    assert answer.decode() == f"{5_000_000} {hashlib.sha256(b''.join(pieces)).hexdigest()}"


def test_a_stream_to_a_server_may_be_empty(channel):
    assert channel.stream_unary("/test.Echo/Upload")(iter(()), timeout=20).startswith(b"0 ")


def test_a_server_that_has_enough(channel):
    def pieces():
        for _ in range(1000):
            yield bytes(10_000)

    error = failure(lambda: channel.stream_unary("/test.Echo/RefuseUpload")(pieces(), timeout=40))
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


@pytest.mark.parametrize("method", ["Chat", "Greet"])
def test_messages_go_both_ways_in_turns(channel, method):
    """Each message is sent when the answer to the one before is here: nothing may wait for the end of a body."""
    waiting = queue.SimpleQueue()
    stream = channel.stream_stream(f"/test.Echo/{method}")(iter(waiting.get, None), timeout=40)
    if method == "Greet":
        assert next(stream) == b"hello"
    for number in range(50):
        message = b"%d" % number * (number * 50 + 1)
        waiting.put(message)
        assert next(stream) == (b"you said " if method == "Chat" else b"") + message
    waiting.put(None)
    assert list(stream) == ([b"bye"] if method == "Greet" else [])


def test_much_goes_both_ways_at_once(channel):
    pieces = [bytes([number]) * 100_000 for number in range(200)]
    stream = channel.stream_stream("/test.Echo/Chat")(iter(pieces), timeout=60)
    assert [message[9:] for message in stream] == pieces


def test_deadlines_are_the_clients(channel):
    error = failure(lambda: call(channel, "Sleep", b"5", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_cancels_ends_the_call_at_the_server(channel):
    before = int(call(channel, "Cancelled")[0])
    stream = channel.unary_stream("/test.Echo/Forever")(b"", timeout=40)
    assert next(stream) == b"tick"
    stream.cancel()
    until(lambda: int(call(channel, "Cancelled")[0]) > before, "the server to be told")


def test_nobody_is_there(channel, site):
    error = failure(lambda: call(channel, "Unary", prefix="/none"))
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "502" in error.details()


def test_a_page_can_say_it_in_the_protocols_words(channel):
    error = failure(lambda: call(channel, "Unary", prefix="/page"))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "nobody is here")


def test_a_server_that_takes_too_long(channel):
    error = failure(lambda: call(channel, "Sleep", b"4", prefix="/short"))
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "504" in error.details()


def test_a_server_that_is_killed(tmp_path):
    directory = tmp_path / "killed"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(backend(directory / "server", "one"))
        content = f"server {{ listen 127.0.0.1:{{port}} http2; location / {{ grpc_pass 127.0.0.1:{server.port}; }} }}"
        front = stack.enter_context(Front(directory / "front", content))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{front.port}", options=UNLIMITED))
        stream = channel.unary_stream("/test.Echo/Forever")(b"", timeout=20)
        assert next(stream) == b"tick"
        server.kill()
        error = failure(lambda: list(stream))
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED), error
        assert failure(lambda: call(channel, "Unary")).code() == grpc.StatusCode.UNAVAILABLE
        assert "upstream prematurely closed" in front.log and "connect() failed" in front.log


def test_a_server_that_starts_anew_is_asked_again(tmp_path):
    directory = tmp_path / "anew"
    directory.mkdir()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(backend(directory / "server", "one"))
        content = f"server {{ listen 127.0.0.1:{{port}} http2; location / {{ grpc_pass 127.0.0.1:{server.port}; }} }}"
        front = stack.enter_context(Front(directory / "front", content))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{front.port}", options=UNLIMITED))
        assert call(channel, "Unary", b"a")[0] == b"a"
        server.stop()
        stack.enter_context(backend(directory / "again", "two", server.port))
        assert call(channel, "Who")[0].startswith(b"two")


def test_tls(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grpcs")
    certificates = Certificates(directory)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(backend(directory / "server", "tls", None, certificates.certificate, certificates.key))
        content = f"""server {{
            listen 127.0.0.1:{{port}} ssl http2;
            ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};
            grpc_ssl_trusted_certificate {certificates.authority}; grpc_ssl_verify on; grpc_ssl_server_name on;
            location / {{ grpc_ssl_name localhost; grpc_pass grpcs://127.0.0.1:{server.port}; }}
            location /other/ {{ grpc_ssl_name other.example; grpc_pass grpcs://127.0.0.1:{server.port}; }}
        }}"""
        front = stack.enter_context(Front(directory / "front", content))
        credentials = grpc.ssl_channel_credentials(certificates.authority.read_bytes())
        options = [*UNLIMITED, ("grpc.ssl_target_name_override", "localhost")]
        channel = stack.enter_context(grpc.secure_channel(f"127.0.0.1:{front.port}", credentials, options=options))
        message = bytes(1_000_000)
        assert call(channel, "Unary", message)[0] == message
        stream = channel.stream_stream("/test.Echo/Chat")(iter([b"a", b"b"]), timeout=20)
        assert list(stream) == [b"you said a", b"you said b"]
        assert len({call(channel, "Who")[0] for _ in range(3)}) == 1
        assert failure(lambda: call(channel, "Unary", prefix="/other")).code() == grpc.StatusCode.UNAVAILABLE
        assert 'upstream SSL certificate does not match "other.example"' in front.log


@pytest.fixture(scope="module")
def http1(site):
    """The same for clients of HTTP/1."""
    content = f"server {{ listen 127.0.0.1:{{port}}; location / {{ grpc_pass 127.0.0.1:{site.one.port}; }} }}"
    with Front(site.front.directory.parent / "http1", content, **({"program": NGINX} if site.is_nginx else {})) as front:
        yield front


HELLO = b"\0" + (5).to_bytes(4) + b"hello"


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_clients_of_http1_get_trailers(http1, framing):
    with http1.connect() as connection:
        connection.send(f"POST /test.Echo/Unary HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Type: application/grpc\r\n{framing}\r\n\r\n")
        connection.send(HELLO if "Length" in framing else b"a\r\n" + HELLO + b"\r\n0\r\n\r\n")
        answer = connection.response("POST")
        assert (answer.status, answer["content-type"], answer.body) == (200, "application/grpc", HELLO)
        assert answer.trailers == [("grpc-status", "0"), ("grpc-message", "")]


def test_clients_of_http1_get_errors(http1):
    message = b"\0" + (9).to_bytes(4) + b"NOT_FOUND"
    answer = http1.get("/test.Echo/Fail", [("TE", "trailers"), ("Content-Type", "application/grpc")], "POST", message)
    assert (answer.status, answer["content-length"], answer["grpc-status"], answer["x-why"]) == (200, "0", "5", "because")


def test_a_server_asks_for_trailers_to_be_understood(http1):
    """As nginx, TE is passed on and not made up: such a call is refused by the server."""
    assert http1.get("/test.Echo/Unary", [("Content-Type", "application/grpc")], "POST", HELLO).status == 502


def silent(listener: socket.socket, answer: bytes, stop: threading.Event) -> None:
    """Takes connections and answers each with the same bytes, when the head of a request is here."""
    listener.settimeout(0.1)
    held = []
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            connection.settimeout(10)
            data, at = b"", 24
            while len(data) < at + 9 or data[at + 3] != 1:
                if len(data) >= at + 9:
                    at += 9 + int.from_bytes(data[at : at + 3])
                else:
                    data += connection.recv(4096)
            connection.sendall(answer)
            held.append(connection)
    for connection in held:
        connection.close()


def frames(*parts: tuple[int, int, bytes]) -> bytes:
    """Frames of stream 1: type, flags, payload."""
    return b"".join(len(payload).to_bytes(3) + bytes([kind, flags]) + (1).to_bytes(4) + payload for kind, flags, payload in parts)


SETTINGS = b"\0\0\0\4\0\0\0\0\0"
HEADERS, END, RESET = (1, 4, b"\x88"), 1, 3  # :status: 200
REFUSED = SETTINGS + frames((RESET, 0, (7).to_bytes(4)))
GONE = SETTINGS + b"\0\0\x08\7\0\0\0\0\0" + bytes(8)


@pytest.mark.parametrize(("answer", "log", "next_asked"), [
    (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "upstream sent", False),
    (REFUSED, "upstream rejected request with error 7", True),
    (GONE, "upstream sent goaway with error 0", True),
    (SETTINGS + frames((RESET, 0, (2).to_bytes(4))), "upstream rejected request with error 2", False),
])
def test_servers_that_do_not_answer_properly(tmp_path, answer, log, next_asked):
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=silent, args=(listener, answer, stop))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        server = stack.enter_context(backend(tmp_path / "server", "good"))
        content = (f"upstream both {{ server 127.0.0.1:{listener.getsockname()[1]}; server 127.0.0.1:{server.port} backup; }}"
                   "server { listen 127.0.0.1:{port} http2; location / { grpc_pass both; } }")
        front = stack.enter_context(Front(tmp_path / "front", content))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{front.port}", options=UNLIMITED))
        if next_asked:
            # Nothing was done with it, so even what may not be repeated goes to the next server.
            assert call(channel, "Unary", b"hello")[0] == b"hello"
        else:
            assert failure(lambda: call(channel, "Unary")).code() == grpc.StatusCode.UNAVAILABLE
        assert log in front.log, front.log


@pytest.mark.parametrize(("answer", "status", "ended"), [
    (frames(HEADERS, (0, END, b"abc")), 200, True),
    (frames(HEADERS, (0, END, b"abc"), (RESET, 0, bytes(4))), 200, True),
    (frames(HEADERS, (RESET, 0, bytes(4))), 200, False),  # broken off, whatever the reason says
    (frames(HEADERS, (RESET, 0, (2).to_bytes(4))), 200, False),
    (frames((1, 4, b"\x88\x0f\x0d\x0210"), (0, END, b"abc")), 200, False),  # Content-Length: 10
    (frames((1, 4, b"\x88\x0f\x0d\x012"), (0, END, b"abc")), 200, False),
    (frames((1, 4, b"")), 502, True),
    (frames((1, 4, b"\x88\0\3X-A\1y")), 502, True),
    (frames((5, 4, (2).to_bytes(4) + b"\x88")), 502, True),
    (frames((1, 0, b"\x88"), (0, END, b"abc")), 502, True),
    (b"\xff" * 40, 502, True),
])
def test_frames_of_servers(tmp_path, answer, status, ended):
    """What a client of HTTP/2 sees; nginx shows the same."""
    client = pytest.importorskip("h2client").Client
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=silent, args=(listener, SETTINGS + answer, stop))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        content = f"server {{ listen 127.0.0.1:{{port}} http2; location / {{ grpc_pass 127.0.0.1:{listener.getsockname()[1]}; }} }}"
        front = stack.enter_context(Front(tmp_path / "front", content))
        told = stack.enter_context(client(front.port)).request("/", "POST", [("te", "trailers")], b"12345")
        assert (told.status, told.ended) == (status, ended), front.log
