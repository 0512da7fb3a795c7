"""Requests passed on to real servers: Gunicorn, Uvicorn, Node, nginx, our own workers.

What each byte looks like is in `tests/differential/cases/proxy`; who fails how in `test_proxy_failures.py`.
"""

import contextlib
import hashlib
import json
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from front import NGINX, Front, Process, daemun, free_port, gunicorn, node, uvicorn
from harness import Connection, until

LINE = b"0123456789abcde\n"  # what downloads consist of


def pattern(size: int) -> bytes:
    return (LINE * (size // len(LINE) + 1))[:size]


@contextlib.contextmanager
def nginx(directory):
    """nginx as a server behind: it has no pages that compute, so what it sends are files."""
    if NGINX is None:
        pytest.skip("there is no nginx")
    directory.mkdir()
    (directory / "stream").write_bytes(b"".join(b"piece %d\n" % number for number in range(5)))
    (directory / "download").write_bytes(pattern(2_000_000))
    port = free_port()
    config = directory / "nginx.conf"
    user = "user root;"
    temp = "".join(f"{name}_temp_path {directory}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    info = '{"method": "$request_method", "path": "$uri", "query": "$args", "protocol": "$server_protocol", "port": "$remote_port", "headers": {"host": "$http_host", "x-forwarded-for": "$http_x_forwarded_for", "x-client": "$http_x_client", "connection": "$http_connection"}}'
    config.write_text(f"daemon off; {user} pid {directory}/pid; error_log {directory}/error.log; events {{}} http {{ {temp} access_log off; default_type text/plain; "
                      f"server {{ listen 127.0.0.1:{port}; root {directory}; location = /info {{ return 200 '{info}'; }} "
                      "location = /status { if ($arg_code = 404) { return 404 'a body\\n'; } if ($arg_code = 503) { return 503 'a body\\n'; } return 204; } } }")
    with Process(directory, [NGINX, "-p", str(directory), "-c", str(config)], port) as process:
        yield process


BACKENDS = {
    "gunicorn": gunicorn,
    "uvicorn": uvicorn,
    "node": node,
    "nginx": nginx,
    "wsgi workers": lambda directory: daemun(directory, "behind:wsgi"),
    "asgi workers": lambda directory: daemun(directory, "behind:asgi"),
}
COMPUTING = [name for name in BACKENDS if name != "nginx"]

FRONT = """
upstream app {{ server 127.0.0.1:{port}; }}
map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
server {{
    listen 127.0.0.1:{{port}};
    client_max_body_size 0;
    location / {{
        proxy_pass http://app;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
    location /old/ {{ proxy_http_version 1.0; proxy_pass http://app/; }}
    location /unbuffered/ {{ proxy_buffering off; proxy_request_buffering off; proxy_pass http://app/; }}
    location /small/ {{ proxy_buffers 4 4k; proxy_busy_buffers_size 8k; proxy_max_temp_file_size 64k; client_body_buffer_size 8k; proxy_pass http://app/; }}
    location /socket/ {{
        proxy_pass http://app/;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }}
}}
"""


@pytest.fixture(scope="module")
def fronts(tmp_path_factory):
    """name -> a front with that server behind it. They start when a test wants them."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Front] = {}

        def front(name: str) -> Front:
            if name not in found:
                directory = tmp_path_factory.mktemp(name.replace(" ", "-"))
                backend = stack.enter_context(BACKENDS[name](directory / "backend"))
                found[name] = stack.enter_context(Front(directory / "front", FRONT.format(port=backend.port)))
            return found[name]

        yield front


@pytest.fixture(params=BACKENDS)
def front(request, fronts) -> Front:
    return fronts(request.param)


@pytest.fixture(params=COMPUTING)
def computing(request, fronts) -> Front:
    return fronts(request.param)


def ask(front: Front, path: str, **options) -> dict:
    answer = front.get(path, **options)
    assert answer.status == 200, (answer, front.log)
    return json.loads(answer.body)


# What arrives.


def test_method_path_and_fields_arrive(front):
    info = ask(front, "/info?a=b%20c&d", headers=[("X-Client", "yes"), ("X-Forwarded-For", "10.0.0.1")])
    assert (info["method"], info["path"], info["query"]) == ("GET", "/info", "a=b%20c&d")
    fields = info["headers"]
    assert (fields["host"], fields["x-forwarded-for"], fields["x-client"]) == ("localhost", "10.0.0.1, 127.0.0.1", "yes")
    assert info["protocol"] == "HTTP/1.1"


def test_methods_arrive(computing):
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT"):
        assert ask(computing, "/info", method=method, body=b"")["method"] == method


def test_a_path_is_decoded_once(computing):
    assert ask(computing, "/info/a%20b%C3%BC%2541")["path"] == "/info/a b\u00fc%41".encode().decode("latin-1" if "wsgi" in str(computing.directory) or "gunicorn" in str(computing.directory) else "utf-8")


def test_http_1_0_to_the_server(front):
    assert ask(front, "/old/info")["protocol"] == "HTTP/1.0"


def test_head_has_no_body(front):
    answer = front.get("/info", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("code", [204, 404, 503])
def test_statuses(front, code):
    answer = front.get(f"/status?code={code}")
    assert (answer.status, answer.body) == (code, b"" if code == 204 else b"a body\n")


def test_connections_are_used_again(front):
    with front.connect() as connection:
        ports = set()
        for _ in range(50):
            connection.request("GET", "/info")
            ports.add(json.loads(connection.response().body)["port"])
    if ports != {""}:  # Gunicorn's threads say no port
        assert len(ports) <= 5, ports


def test_a_stream_without_length(front):
    want = b"".join(b"piece %d\n" % number for number in range(5))
    for path in ("/stream", "/unbuffered/stream", "/old/stream", "/small/stream"):
        assert front.get(path).body == want, path


def test_to_a_client_of_http_1_0(computing):
    with computing.connect() as connection:
        connection.request("GET", "/stream", [("Host", "a")], version="HTTP/1.0")
        answer = connection.response()
        assert not answer.chunked and answer.body.endswith(b"piece 4\n")
        assert connection.is_closed()


@pytest.mark.parametrize("place", ["", "/unbuffered", "/small", "/old"])
def test_a_download(front, place):
    with httpx.Client(base_url=front.url, timeout=30) as client:
        answer = client.get(f"{place}/download?size=2000000")
        assert answer.status_code == 200 and answer.headers["Content-Length"] == "2000000"
        assert answer.content == pattern(2_000_000)


@pytest.mark.parametrize("place", ["", "/unbuffered", "/small", "/old"])
@pytest.mark.parametrize("size", [0, 5, 20_000, 3_000_000])
def test_an_upload(computing, place, size):
    body = pattern(size)
    want = {"length": size, "sha256": hashlib.sha256(body).hexdigest()}
    with httpx.Client(base_url=computing.url, timeout=30) as client:
        assert client.post(f"{place}/upload", content=body).json() == want
        chunks = (body[at : at + 10_000] for at in range(0, size, 10_000))
        answer = client.post(f"{place}/upload", content=chunks)  # in chunks
        assert answer.status_code == 200 and answer.json() == want, (answer.text, computing.log)


def test_an_upload_that_waits_for_100(computing):
    with computing.connect() as connection:
        connection.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection.response(interim=True).status == 100
        connection.send("hello")
        assert json.loads(connection.response().body)["length"] == 5


def test_many_at_once(front):
    def some(number: int) -> int:
        with httpx.Client(base_url=front.url, timeout=60) as client:
            return sum(client.get("/info", params={"n": f"{number}.{one}"}).json()["query"] == f"n={number}.{one}" for one in range(20))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(some, range(16))) == 320


def test_requests_in_one_go(front):
    with front.connect() as connection:
        connection.send("GET /info?1 HTTP/1.1\r\nHost: a\r\n\r\nGET /status?code=404 HTTP/1.1\r\nHost: a\r\n\r\nGET /info?3 HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second, third = (connection.response() for _ in range(3))
        assert json.loads(first.body)["query"] == "1" and second.status == 404 and json.loads(third.body)["query"] == "3"


# Streams.


@pytest.mark.parametrize("place", ["/unbuffered", "/modern"])
def test_an_event_stream_arrives_as_it_comes(tmp_path, place):
    with uvicorn(tmp_path / "backend") as backend:
        content = f"""
            server {{ listen 127.0.0.1:{{port}};
                location /unbuffered/ {{ proxy_buffering off; proxy_pass http://127.0.0.1:{backend.port}/; }}
                location /modern/ {{ proxy_buffering auto; proxy_pass http://127.0.0.1:{backend.port}/; }} }}"""
        with Front(tmp_path / "front", content) as front, front.connect() as connection:
            connection.request("GET", f"{place}/events")
            answer = connection.head()
            assert answer["Content-Type"].startswith("text/event-stream")
            seen = b""
            while b"data: 3\n\n" not in seen:  # the stream takes 100 s: what is here now was not held back
                seen += connection.chunk()


def test_a_server_learns_that_a_client_left(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    left = threading.Event()

    def serve():
        client, _ = listener.accept()
        client.recv(65536)
        while client.recv(65536):
            pass
        left.set()

    threading.Thread(target=serve, daemon=True).start()
    with Front(tmp_path / "front", f"server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://127.0.0.1:{listener.getsockname()[1]}; }} }}") as front:
        with front.connect() as connection:
            connection.request("GET", "/")
            time.sleep(0.2)
        assert left.wait(10)
    listener.close()


# Large ones.

LARGE = 64 << 20
BOUND = 24 << 20  # what a worker may grow by: buffers, not bodies


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "/unbuffered", "/small"])
def test_a_large_download_to_a_slow_reader_is_bounded(tmp_path, place):
    with uvicorn(tmp_path / "backend") as backend, Front(tmp_path / "front", FRONT.format(port=backend.port)) as front:
        front.get("/info")
        before = front.memory()
        with front.connect(60) as connection:
            connection.request("GET", f"{place}/download?size={LARGE}")
            answer = connection.head()
            assert answer["Content-Length"] == str(LARGE)
            time.sleep(1)  # what the server has to say goes somewhere, or it waits
            digest, rest = hashlib.sha256(), LARGE
            while rest:
                data = connection.read(min(rest, 1 << 20))
                digest.update(data)
                rest -= len(data)
        assert digest.hexdigest() == hashlib.sha256(pattern(LARGE)).hexdigest()
        assert front.memory() - before < BOUND


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "/unbuffered", "/small"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_is_bounded(tmp_path, place, chunked):
    with uvicorn(tmp_path / "backend") as backend, Front(tmp_path / "front", FRONT.format(port=backend.port)) as front:
        front.get("/info")
        before = front.memory()
        piece = pattern(1 << 20)
        with front.connect(60) as connection:
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGE}"
            connection.send(f"POST {place}/upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
            for _ in range(LARGE // len(piece)):
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                connection.send(b"0\r\n\r\n")
            answer = connection.response()
        assert answer.status == 200, (answer, front.log)
        assert json.loads(answer.body) == {"length": LARGE, "sha256": hashlib.sha256(piece * (LARGE // len(piece))).hexdigest()}
        assert front.memory() - before < BOUND


def test_temporary_files_go(tmp_path):
    with uvicorn(tmp_path / "backend") as backend, Front(tmp_path / "front", FRONT.format(port=backend.port)) as front:
        with front.connect() as connection:
            connection.request("GET", "/download?size=20000000")
            connection.head()
            time.sleep(0.5)  # then most of it is in a file
        front.get("/upload", method="POST", body=pattern(1_000_000))
        left = lambda: [file for name in ("proxy", "client_body") for file in (front.directory / name).rglob("*") if file.is_file()]
        until(lambda: not left(), "temporary files to be gone")


# Processes.


def test_a_reload_fails_no_request(tmp_path):
    with uvicorn(tmp_path / "backend") as backend, Front(tmp_path / "front", FRONT.format(port=backend.port), workers=2) as front:
        done, failures, answered = threading.Event(), [], [0]

        def client():
            while not done.is_set():
                try:
                    assert front.get("/stream").body.endswith(b"piece 4\n")
                    answered[0] += 1
                except (OSError, AssertionError) as error:
                    failures.append(repr(error))

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        old = set(front.workers())
        for _ in range(2):
            front.process.send_signal(signal.SIGHUP)
            until(lambda: not old & set(front.workers()), "the old workers to go")
            old = set(front.workers())
        # However quick the reloads were.
        until(lambda: failures or answered[0] > 10, "some answers")
        done.set()
        for thread in threads:
            thread.join()
        assert not failures and answered[0] > 10, failures[:3]


def test_a_server_that_comes_back_is_asked_again(tmp_path):
    port = free_port()
    content = f"upstream app {{ server 127.0.0.1:{port} max_fails=1 fail_timeout=1s; server 127.0.0.1:{free_port()} backup; }} server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://app; }} }}"
    with Front(tmp_path / "front", content) as front:
        assert front.get("/").status == 502
        with socket.create_server(("127.0.0.1", port)) as listener:
            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        client.recv(65536)
                        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup")
                        client.close()

            threading.Thread(target=serve, daemon=True).start()
            until(lambda: front.get("/").status == 200, "the server to be asked again")


def test_what_is_written_about_a_failure(tmp_path):
    port = free_port()
    with Front(tmp_path / "front", f"server {{ listen 127.0.0.1:{{port}}; server_name here; location / {{ proxy_pass http://127.0.0.1:{port}/base; }} }}") as front:
        assert front.get("/x?y").status == 502
        assert re.search(r'\[error\] \d+#\d+: \*\d+ connect\(\) failed \(111: Connection refused\) while connecting to upstream, client: 127\.0\.0\.1, '
                         rf'server: here, request: "GET /x\?y HTTP/1\.1", upstream: "http://127\.0\.0\.1:{port}/basex\?y", host: "localhost"', front.log)


def test_a_server_of_bytes_sees_no_smuggled_request(tmp_path):
    """What a client sends in a body stays a body, however it is framed."""
    got = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.settimeout(0.5)
                    data = b""
                    with contextlib.suppress(TimeoutError):
                        while piece := client.recv(65536):
                            data += piece
                            if b"end-of-body" in data:
                                client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                                break
                    got.append(data)
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        with Front(tmp_path / "front", f"server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://127.0.0.1:{port}; }} }}") as front:
            inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nend-of-body"
            heads = [b"Content-Length: %d" % len(inner), b"Transfer-Encoding: chunked", b"Content-Length: 3\r\nTransfer-Encoding: chunked",
                     b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Content-Length: 3\r\nContent-Length: %d" % len(inner), b"Transfer-Encoding: xchunked"]
            statuses = []
            for head in heads:
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner) if b"chunked" in head else inner
                with Connection(("127.0.0.1", front.port)) as connection:
                    connection.send(b"POST /outer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + head + b"\r\n\r\n" + body)
                    statuses.append(connection.response().status)
            assert statuses[:2] == [200, 200] and all(status >= 400 for status in statuses[3:]), statuses
            until(lambda: len(got) >= statuses.count(200), "the server to be done")
        for data in got:
            head, _, body = data.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: (\d+)", head)
            assert head.startswith(b"POST /outer ")
            assert (length and int(length[1]) == len(body)) or re.search(rb"(?im)^transfer-encoding: chunked", head), data
