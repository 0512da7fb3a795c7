"""HTTP/2 on both sides of the proxy: servers that speak it (`proxy_http_version 2`), clients that do, and bodies that go
both ways at once."""

import contextlib
import hashlib
import json
import socket
import sys
import threading

import pytest
from front import NGINX, Front, Process, free_port
from harness import APPS, ClosedEarly, until
from tls import Certificates
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import serve

h2client = pytest.importorskip("h2client")
from h2client import Client  # noqa: E402
from test_http2_websocket import connect, frame, frames  # noqa: E402

CONTENT = """
upstream servers {{ server 127.0.0.1:{port}; keepalive 4; }}
proxy_http_version 2;
client_max_body_size 0;
server {{
    listen 127.0.0.1:{{port}};
    location / {{ proxy_pass http://servers; }}
    location /streamed/ {{ proxy_request_buffering off; proxy_buffering off; proxy_pass http://servers/; }}
    location /trailers {{ proxy_pass_trailers on; proxy_pass http://servers; }}
    location /fields/ {{ proxy_set_header Host own.example; proxy_set_header X-Own 1; proxy_set_header Connection close; proxy_pass http://servers/; }}
    location /hints/ {{ early_hints 1; proxy_pass http://servers; }}
}}
"""


@contextlib.contextmanager
def h2_server(directory):
    directory.mkdir()
    port = free_port()
    with Process(directory, [sys.executable, str(APPS / "h2_server.py"), str(port)], port) as process:
        yield process


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    directory = tmp_path_factory.mktemp("h2")
    with h2_server(directory / "server") as server:
        with Front(directory / "front", CONTENT.format(port=server.port)) as front:
            yield front


def test_what_servers_get(front):
    sent = [("X-A", "1"), ("X-a", "2"), ("Upgrade", "x"), ("TE", "trailers"), ("Keep-Alive", "1"), ("Cookie", "a=b")]
    fields = json.loads(front.get("/x%20y/info?c=d", sent).body)["fields"]
    pseudo = [[":method", "GET"], [":scheme", "http"], [":authority", "servers"], [":path", "/x%20y/info?c=d"]]
    assert sorted(fields[:4]) == sorted(pseudo)
    assert {name for name, _ in fields[4:]} == {"x-a", "cookie"}
    assert [value for name, value in fields if name == "x-a"] == ["1", "2"]


def test_fields_that_the_configuration_says(front):
    fields = json.loads(front.get("/fields/info").body)["fields"]
    assert [":authority", "own.example"] in fields and ["x-own", "1"] in fields
    assert not {"connection", "host"} & {name for name, _ in fields}


def test_a_connection_is_kept(front):
    assert len({json.loads(front.get("/info").body)["port"] for _ in range(4)}) == 1


@pytest.mark.parametrize("place", ["", "/streamed"])
@pytest.mark.parametrize("size", [0, 10, 20_000, 3_000_000])
def test_bodies_for_servers(front, place, size):
    body = hashlib.shake_128(b"body").digest(size)
    told = json.loads(front.get(f"{place}/upload", method="POST", body=body, headers=[("Content-Length", str(size))]).body)
    assert (told["length"], told["sha256"]) == (size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("place", ["", "/streamed"])
def test_bodies_in_chunks(front, place):
    with front.connect() as connection:
        connection.send(f"POST {place}/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            connection.send(b"2710\r\n" + bytes(10_000) + b"\r\n")
        connection.send("0\r\nX-End: 1\r\n\r\n")
        assert json.loads(connection.response("POST").body)["length"] == 500_000


@pytest.mark.parametrize("place", ["", "/streamed"])
@pytest.mark.parametrize("size", [1, 16_384, 65_536, 5_000_000])
def test_answers(front, place, size):
    answer = front.get(f"{place}/download?size={size}")
    assert (answer.status, answer["content-length"], answer.body) == (200, str(size), b"x" * size)


@pytest.mark.parametrize(("path", "method", "status"), [
    ("/info", "HEAD", 200), ("/status?code=204", "GET", 204), ("/status?code=304", "GET", 304), ("/status?code=404", "GET", 404), ("/status?code=503", "GET", 503),
])
def test_answers_without_bodies(front, path, method, status):
    answer = front.get(path, method=method)
    assert (answer.status, answer.body) == (status, b"")


def test_trailers_follow_the_body(front):
    with front.connect() as connection:
        connection.send("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n")
        rest = connection.rest()
    assert rest.endswith(b"0\r\nx-sum: abc\r\nx-other: 1\r\n\r\n")


def test_a_head_that_is_too_large(front):
    assert len(front.get("/head?size=3000")["x-large"]) == 3000
    assert front.get("/head?size=5000").status == 502
    assert front.get("/head?size=200000").status == 502
    assert "upstream sent too big header" in front.log


def test_a_server_that_breaks_off(front):
    with pytest.raises(ClosedEarly):
        front.get("/reset?after=100000")
    assert front.get("/info").status == 200
    assert "upstream rejected request with error 2" in front.log


def test_a_server_that_wants_no_more_of_the_body(front):
    with front.connect() as connection:
        connection.send("POST /streamed/early HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        connection.send(bytes(100_000))
        answer = connection.response("POST")
    assert (answer.status, answer.body) == (200, b"early\n")


def test_a_slow_client_stops_the_server(front):
    before = int(front.get("/sent").body)
    with front.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send("GET /streamed/download?size=50000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        connection.head()
        last = [-1]

        def stands():
            now = int(front.get("/sent").body)
            stood = now == last[0]
            last[0] = now
            return stood
        until(stands, "the server to wait")
        assert last[0] - before < 20_000_000


def test_pieces_go_both_ways(front):
    """The answer begins before the body is complete, and goes on with each piece."""
    with front.connect() as connection:
        connection.send("POST /streamed/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.head().status == 200
        for number in range(20):
            piece = b"piece %d" % number
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            assert connection.chunk() == piece
        connection.send("0\r\n\r\n")
        assert connection.chunk() == b""


@pytest.mark.parametrize("secure", [False, True])
def test_nginx_behind(tmp_path, secure):
    if NGINX is None:
        pytest.skip("there is no nginx")
    (tmp_path / "file").write_bytes(bytes(2_000_000))
    with contextlib.ExitStack() as stack:
        more, scheme = "", "http"
        if secure:
            certificates, scheme = Certificates(tmp_path), "https"
            more = f"ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};"
        listen = "listen 127.0.0.1:{port} http2" + " ssl" * secure
        behind = f"server {{ {listen}; {more} root {tmp_path}; location = /info {{ return 200 '$server_protocol $connection'; }} }}"
        server = stack.enter_context(Front(tmp_path / "nginx", behind, NGINX))
        content = f"server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_http_version 2; proxy_pass {scheme}://127.0.0.1:{server.port}; }} }}"
        front = stack.enter_context(Front(tmp_path / "front", content))
        assert front.get("/file").body == bytes(2_000_000)
        told = {front.get("/info").text for _ in range(3)}
        assert len(told) == 1 and told.pop().startswith("HTTP/2.0 ")


# Clients of HTTP/2.

CLIENTS = """
client_max_body_size 0;
server {{
    listen 127.0.0.1:{{port}} http2;
    location /h1/ {{ proxy_pass http://127.0.0.1:{one}/; }}
    location /h2/ {{ proxy_http_version 2; proxy_request_buffering off; proxy_buffering off; proxy_pass http://127.0.0.1:{two}/; }}
    location /old/ {{ proxy_http_version 1.0; proxy_pass http://127.0.0.1:{one}/; }}
    location /streamed/ {{ proxy_request_buffering off; proxy_buffering off; proxy_pass http://127.0.0.1:{raw}/; }}
    location / {{ return 200 here; }}
}}
"""


def echo(websocket):
    if "refuse" in websocket.request.path:
        return
    for message in websocket:
        websocket.send(message)


def refuse(websocket, request):
    return websocket.respond(403, "no\n") if "refuse" in request.path else None


class Raw:
    """Answers the head of a request at once and sends back all that follows, as it comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, _, data = data.partition(b"\r\n\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
            while not data.endswith(b"0\r\n\r\n"):
                connection.sendall(data)
                data = connection.recv(65536)
                if not data:
                    break
        self.ended.append(head)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clients")
    with contextlib.ExitStack() as stack:
        websocket = stack.enter_context(serve(echo, "127.0.0.1", 0, process_request=refuse, max_size=None))
        threading.Thread(target=websocket.serve_forever, daemon=True).start()
        raw = Raw()
        stack.callback(raw.listener.close)
        server = stack.enter_context(h2_server(directory / "server"))
        one = websocket.socket.getsockname()[1]
        front = stack.enter_context(Front(directory / "front", CLIENTS.format(one=one, two=server.port, raw=raw.port)))
        front.raw, front.websocket = raw, one
        yield front


@pytest.mark.parametrize("place", ["/h1", "/old"])
def test_websockets_over_http2_go_on_over_http1(sites, place):
    with Client(sites.port) as client:
        stream = connect(client, f"{place}/chat", ("sec-websocket-key", "ignored"), ("sec-websocket-protocol", "a"))
        answer = client.answers[stream]
        assert client.settings[8] == 1
        assert answer.status == 200
        assert (answer["sec-websocket-accept"], answer["upgrade"], answer["connection"]) == (None, None, None)
        for size in (0, 5, 1000, 300_000):
            before = len(frames(answer.body))
            client.send(stream, frame(2, b"x" * size))
            client.until(lambda: len(frames(answer.body)) > before)
            assert frames(answer.body)[-1] == (2, b"x" * size)
        assert client.request("/other").text == "here"
        client.send(stream, frame(8, b"\x03\xe8bye"))
        assert client.answer(stream).ended
        assert frames(answer.body)[-1][0] == 8


def test_a_websocket_that_is_refused(sites):
    with Client(sites.port) as client:
        stream = connect(client, "/h1/refuse")
        answer = client.answer(stream)
        assert (answer.status, answer.text) == (403, "no\n")


def test_nobody_opens_a_tunnel_to_what_is_none(sites):
    with Client(sites.port) as client:
        assert client.answer(connect(client, "/streamed/")).status == 501
        assert client.answer(connect(client, "/")).status == 501


def test_a_websocket_that_the_client_breaks_off(sites):
    with Client(sites.port) as client:
        stream = connect(client, "/h1/chat")
        client.send(stream, frame(1, b"hello"))
        client.until(lambda: frames(client.answers[stream].body))
        client.reset(stream)
        assert client.request("/other").text == "here"


def test_bodies_and_trailers_of_http2_clients(sites):
    with Client(sites.port) as client:
        for size in (1, 100_000, 2_000_000):
            answer = client.request("/h2/upload", "POST", body=bytes(size))
            assert json.loads(answer.body)["length"] == size
        stream = client.begin("/h2/upload", "POST", end=False)
        client.send(stream, b"abc")
        client.h2.send_headers(stream, [("x-end", "1")], end_stream=True)
        client.flush()
        assert json.loads(client.answer(stream).body)["length"] == 3


@pytest.mark.parametrize("path", ["/h2/echo", "/streamed/"])
def test_pieces_go_both_ways_for_http2_clients(sites, path):
    with Client(sites.port) as client:
        stream = client.begin(path, "POST", end=False)
        answer = client.answers[stream]
        client.until(lambda: answer.status)
        for number in range(20):
            client.send(stream, b"[piece %d]" % number)
            client.until(lambda: answer.body.count(b"]") == number + 1 or answer.over)
        client.send(stream, b"", end=True)
        assert client.answer(stream).ended and not answer.reset


def test_a_client_that_breaks_off_ends_the_servers_side(sites):
    ended = len(sites.raw.ended)
    with Client(sites.port) as client:
        stream = client.begin("/streamed/", "POST", end=False)
        client.send(stream, b"abc")
        client.until(lambda: b"abc" in client.answers[stream].body)
        client.reset(stream)
        until(lambda: len(sites.raw.ended) > ended, "the connection to the server to end")
        before = int(client.request("/h2/resets").body)
        stream = client.begin("/h2/download?size=100000000")
        client.until(lambda: client.answers[stream].body)
        client.reset(stream)
        until(lambda: int(client.request("/h2/resets").body) > before, "the server to be told")


# Clients of HTTP/1.


def test_a_websocket_where_servers_are_asked_by_http2(sites, tmp_path):
    """Another protocol can only be asked for in HTTP/1."""
    content = ("server { listen 127.0.0.1:{port}; proxy_http_version 2; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
               f"location / {{ proxy_pass http://127.0.0.1:{sites.websocket}; }} }}")
    with Front(tmp_path / "front", content) as front, open_websocket(f"ws://127.0.0.1:{front.port}/chat") as websocket:
        websocket.send("hello")
        assert websocket.recv(20) == "hello"


def test_the_body_goes_on_while_the_answer_comes(sites, tmp_path):
    content = f"server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_request_buffering off; proxy_buffering off; proxy_pass http://127.0.0.1:{sites.raw.port}; }} }}"
    with Front(tmp_path / "front", content) as front, front.connect() as connection:
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.head().status == 200
        seen = b""
        for number in range(20):
            piece = b"<%d>" % number
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            while piece not in seen:
                seen += connection.chunk()
        connection.send("0\r\n\r\n")
        while connection.chunk():
            pass
