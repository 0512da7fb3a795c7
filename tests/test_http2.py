"""HTTP/2: requests and answers as well-behaved clients send and see them, over cleartext and TLS, with files and
applications. What hostile clients get is in test_http2_hostile.py."""

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from harness import APPS, DAEMUN, Connection, environment, until
from test_nginx_face import free_port
from tls import Certificates, TlsConnection

h2client = pytest.importorskip("h2client")
from h2client import Client  # noqa: E402


class Site:
    """A server for files and applications at a port."""

    def __init__(self, directory: Path, server: str = "", main: str = "", http: str = "", listen: str = "") -> None:
        self.directory, self.port = directory, free_port()
        (directory / "html").mkdir(exist_ok=True)
        (directory / "html" / "index.html").write_text("<p>hello</p>\n")
        (directory / "html" / "small.txt").write_text("x" * 1000)
        (directory / "html" / "large.bin").write_bytes(os.urandom(3_000_000))
        self.process: subprocess.Popen | None = None
        self.write(server, main, http, listen)

    def write(self, server: str = "", main: str = "", http: str = "", listen: str = "") -> None:
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
daemon off; {user} {main}
env TEST_DIR;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 256; }}
http {{
    python_app wsgi {{ module h2_app:wsgi; path {APPS}; }}
    python_app asgi {{ module h2_app:asgi; path {APPS}; }}
    log_format own '$request|$status|$body_bytes_sent|$server_protocol|$http2|$connection_requests';
    access_log access.log own;
    {http}
    server {{
        listen 127.0.0.1:{self.port} {listen};
        http2 on;
        root html;
        {server}
        location /wsgi/ {{ python_pass wsgi; }}
        location /asgi/ {{ python_pass asgi; }}
        location /variables {{ return 200 "$request|$server_protocol|$http2|$host|$http_cookie|$scheme|$content_length"; }}
        location /proxied {{ return 200 "$proxy_protocol_addr|$remote_addr"; }}
        location /moved {{ return 301 /there; }}
        location /nothing {{ return 204; }}
        location /fields {{ add_header X-Own yes; add_header Connection close; add_trailer X-End 1; try_files /small.txt =404; }}
        location /slowly {{ limit_rate 300k; try_files /large.bin =404; }}
        location /posted {{ client_max_body_size 1k; python_pass wsgi; }}
        error_page 404 /error.html;
        location = /error.html {{ return 200 "no such page"; }}
    }}
}}
""")

    def start(self) -> "Site":
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [DAEMUN, "-p", str(self.directory), "-c", "nginx.conf"], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=environment({"TEST_DIR": str(self.directory)}), start_new_session=True,
            )
        until(lambda: self.process.poll() is not None or self.answers(), "the site to serve")
        assert self.process.poll() is None, self.log
        return self

    def answers(self) -> bool:
        try:
            with Connection(("127.0.0.1", self.port), 5) as connection:
                return connection.request("GET", "/variables").response().status == 200
        except (OSError, AssertionError):
            return False

    @property
    def log(self) -> str:
        paths = (self.directory / "error.log", self.directory / "stderr")
        return "".join(path.read_text() for path in paths if path.exists())

    def access(self, what: str) -> str:
        """The line of the access log that has something in it."""
        path = self.directory / "access.log"
        find = lambda: next((line for line in path.read_text().splitlines() if what in line), None)
        return until(find, f"{what} in the access log")

    def worker(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def connect(self, **options) -> Client:
        return Client(self.port, **options)

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("h2")).start()
    yield site
    site.end()


@pytest.fixture
def site(tmp_path):
    sites = []

    def make(**parts) -> Site:
        sites.append(Site(tmp_path, **parts))
        return sites[-1].start()

    yield make
    for site in sites:
        site.end()


# Requests and answers.


def test_a_file_comes_with_its_head(shared):
    with shared.connect() as client:
        answer = client.request("/small.txt")
        assert (answer.status, answer.body, answer["content-length"]) == (200, b"x" * 1000, "1000")
        assert answer["content-type"] == "text/plain" and answer["etag"] and answer["date"]
        assert answer["server"].startswith("daemun")
        assert all(name == name.lower() for name, _ in answer.headers)
        assert not {"connection", "transfer-encoding", "keep-alive"} & {name for name, _ in answer.headers}


def test_variables_tell_the_protocol(shared):
    with shared.connect(host="Example.org") as client:
        answer = client.request("/variables?a=1", headers=[("cookie", "a=1"), ("cookie", "b=2")])
        assert answer.text == "GET /variables?a=1 HTTP/2.0|HTTP/2.0|h2c|example.org|a=1; b=2|http|"
        client.request("/small.txt?logged")
    assert shared.access("?logged") == "GET /small.txt?logged HTTP/2.0|200|1000|HTTP/2.0|h2c|2"


def test_http1_is_spoken_on_the_same_port(shared):
    with Connection(("127.0.0.1", shared.port), 10) as connection:
        assert connection.request("GET", "/variables").response().text.split("|")[1] == "HTTP/1.1"
        assert connection.request("PUT", "/small.txt", body=b"x").response().status == 405


def test_a_preface_in_pieces_is_one(shared):
    with h2client.Raw(shared.port, preface=False) as raw:
        for byte in h2client.PREFACE:
            raw.socket.sendall(bytes([byte]))
        stream, frame = raw.get("/small.txt")
        raw.socket.sendall(raw.frame(h2client.SETTINGS) + frame)
        assert raw.outcome(stream) == "200"


def test_head_has_no_body(shared):
    with shared.connect() as client:
        for path in ("/small.txt", "/wsgi/stream?5", "/missing"):
            answer = client.request(path, "HEAD")
            assert (answer.body, answer.ended) == (b"", True), path


def test_statuses_without_body(shared):
    with shared.connect() as client:
        assert client.request("/nothing").status == 204
        etag = client.request("/small.txt")["etag"]
        answer = client.request("/small.txt", headers=[("if-none-match", etag)])
        assert (answer.status, answer.body) == (304, b"")


def test_ranges(shared):
    with shared.connect() as client:
        answer = client.request("/small.txt", headers=[("range", "bytes=10-19")])
        assert (answer.status, answer.body, answer["content-range"]) == (206, b"x" * 10, "bytes 10-19/1000")
        answer = client.request("/small.txt", headers=[("range", "bytes=0-1,5-6")])
        assert answer.status == 206 and answer["content-type"].startswith("multipart/byteranges")
        assert client.request("/small.txt", headers=[("range", "bytes=2000-")]).status == 416


def test_errors_and_redirects(shared):
    with shared.connect(host="localhost") as client:
        answer = client.request("/missing")
        assert (answer.status, answer.text) == (404, "no such page")
        answer = client.request("/moved")
        assert (answer.status, answer["location"]) == (301, f"http://localhost:{shared.port}/there")
        assert client.request("/small.txt", "DELETE").status == 405


def test_fields_of_the_configuration(shared):
    with shared.connect() as client:
        answer = client.request("/fields")
        assert (answer.status, answer["x-own"], answer["connection"]) == (200, "yes", None)
        assert (answer.trailers, answer.body) == ([("x-end", "1")], b"x" * 1000)


def test_a_large_file_arrives_whole(shared):
    whole = (shared.directory / "html" / "large.bin").read_bytes()
    with shared.connect() as client:
        assert client.request("/large.bin").body == whole
        answer = client.request("/slowly", headers=[("range", "bytes=0-200000")])
        assert answer.body == whole[:200_001]


def test_many_requests_at_once(shared):
    with shared.connect() as client:
        paths = ["/small.txt", "/large.bin", "/wsgi/slow?20", "/asgi/slow?20", "/missing"] * 12
        streams = [client.begin(path) for path in paths]
        for path, stream in zip(paths, streams, strict=True):
            answer = client.answer(stream)
            assert answer.status == (404 if path == "/missing" else 200), path
            if path == "/large.bin":
                assert len(answer.body) == 3_000_000


def test_answers_take_turns(shared):
    with shared.connect(window=2_000_000) as client:
        client.h2.increment_flow_control_window(20_000_000)
        large, small = client.begin("/large.bin"), client.begin("/small.txt")
        client.answer(small)
        assert not client.answers[large].over
        assert len(client.answer(large).body) == 3_000_000


def test_a_closed_window_holds_an_answer_and_no_other(shared):
    with shared.connect(window=0) as client:
        held, other = client.begin("/small.txt"), client.begin("/nothing")
        assert client.answer(other).status == 204
        client.until(lambda: client.answers[held].status == 200)
        assert client.answers[held].body == b""
        for _ in range(10):
            client.h2.increment_flow_control_window(100, held)
            client.flush()
        assert client.answer(held).body == b"x" * 1000


def test_httpx_is_served(shared):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{shared.port}") as client:
        answer = client.get("/small.txt")
        assert (answer.http_version, answer.text) == ("HTTP/2", "x" * 1000)
        assert client.post("/wsgi/echo", content=b"x" * 200_000).json()["length"] == 200_000


# Bodies and applications.


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("size", [0, 5, 20_000, 1_000_000])
@pytest.mark.parametrize("told", [True, False])
def test_bodies_arrive(shared, interface, size, told):
    body = os.urandom(size)
    with shared.connect() as client:
        headers = [("content-length", str(size))] if told else []
        answer = client.request(f"/{interface}/upload", "POST", headers, body)
        if interface == "wsgi":
            told = json.loads(answer.body)
            assert (told["length"], told["digest"]) == (size, hashlib.sha256(body).hexdigest())
            assert (told["method"], told["protocol"]) == ("POST", "HTTP/2.0")
        else:
            assert (answer.status, answer.text, answer["x-version"]) == (200, str(size), "2")


def test_a_body_is_echoed_while_it_arrives(shared):
    with shared.connect() as client:
        stream = client.begin("/asgi/echo", "POST", end=False)
        for round in range(3):
            client.send(stream, b"%d" % round * 1000)
            client.until(lambda round=round: len(client.answers[stream].body) == (round + 1) * 1000)
        client.send(stream, b"", end=True)
        assert client.answer(stream).ended


def test_trailers_of_requests(shared):
    with shared.connect() as client:
        stream = client.begin("/wsgi/echo", "POST", [("trailer", "x-sum")], end=False)
        client.send(stream, b"body")
        client.h2.send_headers(stream, [("x-sum", "17")], end_stream=True)
        client.flush()
        told = json.loads(client.answer(stream).body)
        assert (told["length"], told["trailers"]) == (4, [["x-sum", "17"]])


def test_trailers_of_applications(shared):
    with shared.connect() as client:
        answer = client.request("/asgi/trailers", headers=[("te", "trailers")])
        assert (answer.body, answer.trailers) == (b"body", [("x-sum", "1")])


def test_early_hints(shared):
    with shared.connect() as client:
        answer = client.request("/asgi/hints")
        assert [status for status, _ in answer.interim] == [103]
        assert ("link", "</a.css>; rel=preload") in answer.interim[0][1]


def test_expect_continue(shared):
    with shared.connect() as client:
        stream = client.begin("/wsgi/echo", "POST", [("expect", "100-continue"), ("content-length", "3")], end=False)
        client.until(lambda: client.answers[stream].interim)
        assert client.answers[stream].interim[0][0] == 100
        client.send(stream, b"abc", end=True)
        assert client.answer(stream).status == 200


def test_a_body_that_is_too_large(shared):
    with shared.connect() as client:
        assert client.request("/posted/echo", "POST", [("content-length", "5000")], b"x" * 5000).status == 413
        assert client.request("/posted/echo", "POST", [], b"x" * 5000).status == 413
        assert client.request("/small.txt").status == 200


@pytest.mark.parametrize("told", [True, False])
def test_an_upload_that_nobody_reads_is_taken_to_its_end(shared, told):
    """Broken off after the answer, it would cost some clients that answer, curl 7.88 for one."""
    with shared.connect() as client:
        answer = client.request("/nowhere", "POST", [("content-length", "300000")] if told else [], b"x" * 300_000)
        assert (answer.status, answer.ended, answer.reset) == (404, True, None)
        assert client.request("/small.txt").status == 200


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_answer_before_the_body_ends_the_upload(shared, interface):
    with shared.connect() as client:
        path = "/small.txt" if interface == "wsgi" else "/asgi/early"
        stream = client.begin(path, "GET" if interface == "wsgi" else "POST", end=False)
        client.send(stream, b"x" * 1000)
        answer = client.answer(stream)
        assert (answer.status, answer.ended) == (200, True)
        client.until(lambda: answer.reset is not None)
        assert answer.reset == 0
        assert client.request("/small.txt").status == 200


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_long_answers(shared, interface):
    with shared.connect() as client:
        assert len(client.request(f"/{interface}/big?5000000").body) == 5_000_000
        answer = client.request("/wsgi/stream?500")
        assert (len(answer.body), answer["content-length"], answer["connection"]) == (500_000, None, None)
        assert answer["x-mixed-case"] == "Y"


def test_an_answer_that_breaks_off_is_reset(shared):
    with shared.connect() as client:
        for path in ("short", "raise"):
            answer = client.request(f"/wsgi/{path}")
            assert (answer.status, answer.ended, answer.reset) == (200, False, 2), path
        assert client.request("/small.txt").status == 200


def test_an_application_learns_that_its_client_has_gone(site):
    site = site()
    with site.connect() as client:
        stream = client.begin("/asgi/wait")
        until((site.directory / "asgi-waits").exists, "the application to wait")
        client.reset(stream)
        until((site.directory / "asgi-disconnected").exists, "the application to be told")
        (site.directory / "asgi-disconnected").unlink()
        client.begin("/asgi/wait", "POST", end=False)
        stream = client.begin("/wsgi/endless")
        client.until(lambda: client.answers[stream].body)
        client.reset(stream)
        until((site.directory / "wsgi-closed").exists, "the application to be closed")
        assert client.request("/small.txt").status == 200
    until((site.directory / "asgi-disconnected").exists, "the application to be told of the connection's end")


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_both_ways_of_running_applications(serve, front):
    server = serve("h2_app:wsgi", "--front", front, "--http2-cleartext", "on")
    with Client(server.port) as client:
        assert len(client.request("/big?3000000").body) == 3_000_000
        streams = [client.begin("/big?400000") for _ in range(20)]
        assert [len(client.answer(stream).body) for stream in streams] == [400_000] * 20
        body = os.urandom(300_000)
        told = json.loads(client.request("/echo", "POST", [], body).body)
        assert told["digest"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_evented_applications_on_the_command_line(serve, front):
    server = serve("h2_app:asgi", "--front", front, "--http2-cleartext", "on")
    with Client(server.port) as client:
        assert len(client.request("/big?3000000").body) == 3_000_000
        assert client.request("/upload", "POST", [], b"x" * 300_000).text == "300000"


def test_an_inline_answer_does_not_wait_for_a_closed_window(serve):
    """Nobody else could drive the connection meanwhile: what does not fit waits in a file."""
    server = serve("h2_app:wsgi", "--front", "inline", "--http2-cleartext", "on", "-w", 1)
    with Client(server.port, window=0) as client:
        held = client.begin("/big?3000000")
        client.until(lambda: client.answers[held].status == 200)
        assert server.get("/early").text == "early"
        client.h2.increment_flow_control_window(4_000_000, held)
        client.h2.increment_flow_control_window(4_000_000)
        client.flush()
        assert client.answer(held).body == b"x" * 3_000_000


# Connections.


def test_too_many_streams_are_refused(site):
    site = site(server="http2_max_concurrent_streams 3;")
    with site.connect() as client:
        client.until(lambda: client.settings.get(3) == 3)
        streams = [client.begin("/asgi/wait") for _ in range(3)]
        client.h2.remote_settings[h2client.h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 100
        client.h2.remote_settings.acknowledge()
        refused = client.begin("/small.txt")
        assert client.answer(refused).reset == 7
        client.reset(streams[0])
        assert client.request("/small.txt").status == 200


def test_a_connection_ends_after_so_many_requests(site):
    site = site(server="keepalive_requests 3;")
    with site.connect() as client:
        for _ in range(3):
            assert client.request("/small.txt").status == 200
        client.until(lambda: client.goaway)
        assert client.goaway[1] == 0
        while not client.closed:
            client.receive()


def test_an_idle_connection_is_told_that_it_ends(site):
    site = site(server="keepalive_timeout 1s;")
    with site.connect() as client:
        assert client.request("/small.txt").status == 200
        client.until(lambda: client.goaway)
        assert client.goaway[1] == 0


def test_no_request_is_lost_when_the_worker_ends(site):
    site = site()
    with site.connect() as client:
        running = [client.begin("/wsgi/slow?700"), client.begin("/asgi/slow?700"),
                   client.begin("/slowly", headers=[("range", "bytes=0-600000")])]
        client.until(lambda: client.answers[running[2]].body)
        site.process.send_signal(signal.SIGHUP)
        client.until(lambda: client.goaway)
        for stream in running:
            answer = client.answer(stream)
            assert (answer.status in (200, 206), answer.ended) == (True, True)
        while not client.closed:
            client.receive()
    with site.connect() as client:
        assert client.request("/small.txt").status == 200
        stream = client.begin("/wsgi/slow?500")
        site.process.send_signal(signal.SIGQUIT)
        assert client.answer(stream).status == 200
    assert site.process.wait(15) == 0


def test_fast_shutdown_does_not_wait(site):
    site = site()
    with site.connect() as client:
        client.begin("/asgi/wait")
        until((site.directory / "asgi-waits").exists, "the application to wait")
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(15) == 0


def test_stub_status_counts_streams_as_requests(site):
    site = site(server="location = /status { stub_status; }")
    with site.connect() as client:
        for _ in range(3):
            client.request("/small.txt")
        client.begin("/asgi/wait")
        until((site.directory / "asgi-waits").exists, "the application to wait")
        status = client.request("/status").text.split()
        assert status[2] == "1", status
        assert status[status.index("Writing:") + 1] == "2", status




def test_the_header_of_a_proxy_comes_before_the_preface(tmp_path):
    site = Site(tmp_path, listen="proxy_protocol", server="set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;")
    site.answers = lambda: "start worker process" in site.log
    site.start()
    try:
        with h2client.Raw(site.port, preface=False) as raw:
            stream, frame = raw.get("/proxied")
            header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
            raw.socket.sendall(header + h2client.PREFACE + raw.frame(h2client.SETTINGS) + frame)
            assert raw.outcome(stream) == "200"
            assert raw.find(h2client.DATA, stream)[3] == b"192.0.2.7|192.0.2.7"
    finally:
        site.end()


def test_a_listener_without_http2_knows_none(tmp_path):
    site = Site(tmp_path)
    path = tmp_path / "nginx.conf"
    path.write_text(path.read_text().replace("http2 on;", "http2 off;"))
    site.start()
    try:
        with h2client.Raw(site.port) as raw:
            assert raw.socket.recv(100).startswith(b"HTTP/1.1 400")
    finally:
        site.end()




# Over TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(site, certificates):
    port = free_port()
    own = f"ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};"
    other = f"server {{ listen 127.0.0.1:{port} ssl; server_name other; {own} location / {{ return 200 $server_protocol; }} }}"
    made = site(server=f"listen 127.0.0.1:{port} ssl; server_name localhost; {own}", http=other)
    made.secure = port
    return made


def test_alpn_chooses_http2(secure, certificates):
    context = certificates.context(alpn=("h2", "http/1.1"))
    with Client(secure.secure, context=context) as client:
        assert client.socket.selected_alpn_protocol() == "h2"
        assert client.request("/variables").text == "GET /variables HTTP/2.0|HTTP/2.0|h2|localhost||https|"
        assert len(client.request("/large.bin").body) == 3_000_000
        body = os.urandom(500_000)
        told = json.loads(client.request("/wsgi/echo", "POST", [], body).body)
        assert (told["digest"], told["scheme"]) == (hashlib.sha256(body).hexdigest(), "https")
        streams = [client.begin(path) for path in ("/small.txt", "/wsgi/slow?100", "/asgi/slow?100", "/large.bin") * 10]
        assert {client.answer(stream).status for stream in streams} == {200}
    for alpn in (("http/1.1",), ()):
        with TlsConnection(secure.secure, certificates.context(alpn=alpn)) as connection:
            assert connection.request("GET", "/variables").response().text.split("|")[1] == "HTTP/1.1"


def test_the_server_that_a_name_chooses_has_its_say(secure, certificates):
    context = certificates.context(alpn=("h2", "http/1.1"))
    context.check_hostname = False
    with TlsConnection(secure.secure, context, name="other") as connection:
        assert connection.socket.selected_alpn_protocol() == "http/1.1"
        assert connection.request("GET", "/", [("Host", "other")]).response().text == "HTTP/1.1"


def test_a_certificate_on_the_command_line_brings_http2(serve, certificates):
    server = serve("h2_app:wsgi", "--certfile", certificates.certificate, "--keyfile", certificates.key)
    with Client(server.port, context=certificates.context(alpn=("h2",))) as client:
        told = json.loads(client.request("/echo").body)
        assert (told["protocol"], told["scheme"]) == ("HTTP/2.0", "https")
