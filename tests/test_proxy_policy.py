"""What the configuration says of asking servers, where nginx 1.22, which the corpus was recorded from, has no words for it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from front import Front, free_port


class Echo:
    """Answers with who asks and the head that came; before that, with `first`."""

    def __init__(self) -> None:
        self.first = b""
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self.socket.accept()
                threading.Thread(target=self._serve, args=(connection, peer[0]), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        with contextlib.suppress(OSError), connection:
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
                while b"\r\n\r\n" in data:
                    head, data = data.split(b"\r\n\r\n", 1)
                    body = peer.encode() + b"\n" + head
                    connection.sendall(self.first + b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.stop()


@contextlib.contextmanager
def site(directory: Path, content: str, inside: str) -> Iterator[Front]:
    with Front(directory / "front", f"{content} server {{ listen 127.0.0.1:{{port}}; {inside} }}") as front:
        yield front


def test_a_server_that_is_not_allowed_is_not_asked(tmp_path, echo):
    other = Echo()
    content = (f"upstream u {{ server 127.0.0.1:{other.port}; server 127.0.0.1:{echo.port}; }}"
               f"map $upstream_last_server_name $allowed {{ volatile; 127.0.0.1:{other.port} 0; default 1; }}"
               "proxy_allow_upstream yes $allowed; add_header X-Status $upstream_status always;")
    inside = "location / { proxy_pass http://u; proxy_next_upstream denied; } location /one/ { proxy_pass http://u; }"
    with site(tmp_path, content, inside) as front:
        for _ in range(4):
            answer = front.get("/x")
            assert (answer.status, answer["x-status"]) in ((200, "502, 200"), (200, "200"))
        assert sorted(front.get("/one/x").status for _ in range(4)) == [200, 200, 502, 502]
        # It is not held against the server.
        assert "temporarily disabled" not in front.log
    other.stop()


@pytest.mark.parametrize("dynamic", ["on", "off"])
def test_a_request_may_be_made_anew_for_each_server(tmp_path, echo, dynamic):
    refused = free_port()
    content = f"upstream u {{ server 127.0.0.1:{refused}; server 127.0.0.1:{echo.port} backup; }}"
    inside = (f"location / {{ proxy_pass http://u; proxy_request_dynamic {dynamic};"
              "proxy_set_header X-Server '<$upstream_last_server_name>'; }")
    with site(tmp_path, content, inside) as front:
        server = f"127.0.0.1:{echo.port}" if dynamic == "on" else ""
        assert f"X-Server: <{server}>" in front.get("/").text.split("\r\n")


def test_early_hints_are_for_those_who_may_have_them(tmp_path, echo):
    echo.first = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nServer: x\r\nConnection: x\r\n"
                  b"X-Accel-Expires: 5\r\n\r\n")
    inside = f"location / {{ proxy_pass http://127.0.0.1:{echo.port}; early_hints 0 $http_x_hints; }}"
    with site(tmp_path, "", inside) as front:
        for fields, version, hints in (([], "1.1", False), ([("X-Hints", "1")], "1.1", True), ([("X-Hints", "1")], "1.0", False)):
            with front.connect() as connection:
                connection.request("GET", "/", [*fields, ("Connection", "close")], version=f"HTTP/{version}")
                lines = b""
                while chunk := connection.socket.recv(65536):
                    lines += chunk
            assert lines.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n") == hints, lines
            assert (b"103" in lines) == hints, lines


def test_where_connections_come_from(tmp_path, echo):
    url = f"proxy_pass http://127.0.0.1:{echo.port}"
    inside = f"proxy_bind 127.0.0.2; location / {{ {url}; }} location /own/ {{ proxy_bind $arg_ip; {url}; }} location /off/ {{ proxy_bind off; {url}; }}"
    with site(tmp_path, "", inside) as front:
        for path, address in (("/", "127.0.0.2"), ("/own/?ip=127.0.0.3", "127.0.0.3"), ("/own/", "127.0.0.1"),
                              ("/own/?ip=nonsense", "127.0.0.1"), ("/off/", "127.0.0.1")):
            assert front.get(path).text.split("\n")[0] == address, path
        assert 'invalid local address "nonsense" while connecting to upstream' in front.log


def test_parts_of_answers_that_a_server_gives_only_whole(tmp_path, echo):
    inside = f"location / {{ proxy_pass http://127.0.0.1:{echo.port}; proxy_force_ranges on; gzip on; gzip_types *; gzip_min_length 0; }}"
    with site(tmp_path, "", inside) as front:
        whole = front.get("/")
        assert (whole.status, whole["accept-ranges"]) == (200, "bytes")
        part = front.get("/", [("Range", "bytes=0-8")])
        assert (part.status, part.text) == (206, "127.0.0.1")
        assert part["content-range"].startswith("bytes 0-8/")
        assert front.get("/", [("Range", "bytes=9999-")]).status == 416
        # Of what is compressed here there are no parts.
        coded = front.get("/", [("Range", "bytes=0-8"), ("Accept-Encoding", "gzip")])
        assert (coded.status, coded["content-encoding"], coded["accept-ranges"]) == (200, "gzip", None)
