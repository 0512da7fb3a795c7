"""Limits: requests by time and in progress, counted over all workers; what is left of them after kills and reloads."""

import concurrent.futures
import os
import signal
import time
from pathlib import Path

import pytest
from harness import Connection, until
from test_nginx_face import Site, run

WORKERS = 4
ZONES = """
limit_req_zone $arg_k zone=req:64k rate=1r/m;
limit_req_zone $arg_k zone=often:64k rate=20r/s;
limit_conn_zone $arg_k zone=conn:64k;
log_format limits '$status $limit_req_status $limit_conn_status $request_uri';
access_log logs/access.log limits;
"""
# An answer that takes longer than any test.
LONG = "limit_rate 1k;"


class Files(Site):
    """A site of files, with several workers."""

    def write(self, locations: str, http: str = ZONES, main: str = f"worker_processes {WORKERS};", server: str = "",
              connections: int = 256) -> Path:
        files = self.directory / "files"
        files.mkdir(exist_ok=True)
        (files / "index.html").write_text("hello")
        (files / "large").write_bytes(b"x" * 100_000)
        user = "user root;" if os.getuid() == 0 else ""
        path = self.directory / "nginx.conf"
        path.write_text(f"""
daemon off; {user} {main}
pid logs/nginx.pid;
error_log logs/error.log info;
events {{ worker_connections {connections}; }}
http {{
    {http}
    server {{ listen 127.0.0.1:{self.port}; root {files}; {server}
        {locations}
    }}
}}
""")
        return path

    def serve(self, locations: str, **options) -> "Files":
        workers = options.pop("workers", WORKERS)
        self.write(locations, **options)
        self.start("-c", "nginx.conf")
        until(lambda: len(self.workers()) == workers, "all workers to run")
        return self

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid()}/task/{self.pid()}/children").read_text()
        return [int(pid) for pid in children.split()]

    def statuses(self, path: str, count: int) -> list[int]:
        """The statuses of so many requests, many at a time, each on its own connection."""
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            return sorted(pool.map(lambda _: self.get(path).status, range(count)))

    def hold(self, path: str, count: int) -> tuple[list[Connection], list[Connection]]:
        """Connections with so many requests, at once: those that are being answered, and those that are refused."""
        def one(_):
            connection = Connection(("127.0.0.1", self.port), 10)
            return connection, connection.request("GET", path).head().status
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            all_of_them = list(pool.map(one, range(count)))
        assert {status for _, status in all_of_them} <= {200, 503}
        inside = [connection for connection, status in all_of_them if status == 200]
        return inside, [connection for connection, status in all_of_them if status == 503]

    def free(self, path: str, count: int) -> None:
        """Waits until so many can be let in, and lets them go again."""
        def enough():
            inside, refused = self.hold(path, count)
            for connection in inside + refused:
                connection.socket.close()
            if refused:
                # What was let in just now is noticed to be gone with its next bytes, a second later.
                time.sleep(3)
            return not refused
        until(enough, f"room for {count}")

    @property
    def accesses(self) -> list[str]:
        return (self.directory / "logs" / "access.log").read_text().splitlines()


def ended(connection: Connection) -> bool:
    """Whether the server has closed it. An answer that trickles is read for a while."""
    end = time.monotonic() + 1.5
    connection.socket.settimeout(0.2)
    while time.monotonic() < end:
        try:
            if not connection.socket.recv(65536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


@pytest.fixture
def site(tmp_path):
    site = Files(tmp_path)
    yield site
    site.end()


def test_requests_are_counted_over_all_workers(site):
    site.serve("location / { limit_req zone=req burst=30 nodelay; }")
    assert site.statuses("/?k=a", 100) == [200] * 31 + [503] * 69
    assert site.statuses("/?k=b", 40) == [200] * 31 + [503] * 9
    assert set(site.statuses("/", 40)) == {200}, "an empty key is not counted"


def test_a_refused_request_is_told_when_to_come_again(site):
    site.serve("""
        location / { limit_req zone=req; limit_req_status 429; }
        location /page/ { limit_req zone=req; error_page 503 /own; }
        location /own { return 404; }
    """)
    assert site.get("/?k=a")["retry-after"] is None
    refused = site.get("/?k=a")
    assert refused.status == 429 and 50 <= int(refused["retry-after"]) <= 63
    site.get("/page/?k=b")
    assert site.get("/page/?k=b")["retry-after"] is None, "it is another page"


def test_a_request_above_the_rate_waits(site):
    site.serve("location / { limit_req zone=often burst=100; add_header X-Limit $limit_req_status; }")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: site.get("/?k=a"), range(10)))
    assert {answer.status for answer in answers} == {200}
    seen = [answer["x-limit"] for answer in answers]
    assert seen.count("DELAYED") >= 1 and seen.count("PASSED") >= 1, seen
    site.wait_for(r"\[warn\] \d+#\d+: \*\d+ delaying request, excess: \d+\.\d{3}, by zone \"often\"")


def test_a_client_that_goes_away_is_not_waited_for(site):
    site.serve("location / { limit_req zone=req burst=5; }")
    site.get("/?k=a")
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("GET", "/?k=a")
        site.wait_for("delaying request")
    until(lambda: "499 DELAYED - /?k=a" in site.accesses, "the end of the request")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_stops_does_not_wait(site, number):
    site.serve("location / { limit_req zone=req burst=5; }")
    site.get("/?k=a")
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("GET", "/?k=a")
        site.wait_for("delaying request")
        site.send(number)
        assert site.wait() == 0
        assert connection.rest() == b""


def test_a_dry_run_only_counts(site):
    site.serve("""
        location / { limit_req zone=req; limit_req_dry_run on; limit_conn conn 1; limit_conn_dry_run on;
                     add_header X-Limit "$limit_req_status $limit_conn_status"; }
        location /large { limit_conn conn 1; limit_rate 1k; }
    """)
    inside, _ = site.hold("/large?k=a", 1)
    site.get("/?k=b")
    # The request before may still be counted for a moment after its answer is here.
    until(lambda: site.get("/?k=b")["x-limit"] == "REJECTED_DRY_RUN PASSED", "the first to be over")
    assert site.get("/?k=a")["x-limit"] == "PASSED REJECTED_DRY_RUN"
    site.wait_for("limiting requests, dry run, excess: 1.000 by zone")
    site.wait_for("limiting connections, dry run by zone \"conn\"")
    assert len(inside) == 1


def test_never_more_in_progress_than_allowed(site):
    site.serve("location / { limit_conn conn 10; %s }" % LONG)
    inside, refused = site.hold("/large?k=a", 50)
    assert (len(inside), len(refused)) == (10, 40)
    others, _ = site.hold("/large?k=b", 5)
    assert len(others) == 5
    for connection in inside[:4]:
        connection.socket.close()
    # An answer that trickles is looked at once a second.
    until(lambda: len(site.hold("/large?k=a", 1)[0]) == 1, "room for one more")
    assert any(line.startswith("503 - REJECTED ") for line in site.accesses)


def test_requests_that_end_leave_nothing_behind(site):
    site.serve("location / { limit_conn conn 4; } location /nothing { limit_conn conn 4; error_page 404 /index.html; }")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        def many(path):
            with Connection(("127.0.0.1", site.port)) as connection:
                return {connection.request("GET", path).response().status for _ in range(100)}
        seen = set().union(*pool.map(many, ["/?k=a", "/nothing?k=a", "/large?k=a", "/?k=a"]))
    assert seen <= {200, 404}
    inside = [Connection(("127.0.0.1", site.port)).request("GET", "/?k=a") for _ in range(8)]
    assert {connection.response().status for connection in inside} <= {200, 503}, "idle connections do not count"
    assert site.get("/?k=a").status == 200


def test_a_killed_worker_holds_nothing(site):
    site.serve("location / { limit_conn conn 12; %s }" % LONG)
    inside, _ = site.hold("/large?k=a", 20)
    assert len(inside) == 12
    old = site.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(site.workers()) == WORKERS and not set(site.workers()) & set(old), "new workers")
    site.free("/large?k=a", 12)


def test_one_of_several_killed_workers(site):
    site.serve("location / { limit_conn conn 12; %s }" % LONG)
    inside, _ = site.hold("/large?k=a", 12)
    victim = site.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(site.workers()) == WORKERS and victim not in site.workers(), "a new worker")
    gone = [connection for connection in inside if ended(connection)]
    again, refused = site.hold("/large?k=a", 12)
    assert (len(again), len(refused)) == (len(gone), 12 - len(gone))


def test_a_reload_keeps_what_was_counted(site):
    site.serve("location / { limit_req zone=req burst=9 nodelay; } location /large { limit_conn conn 3; %s }" % LONG)
    assert site.statuses("/?k=a", 20).count(200) == 10
    inside, _ = site.hold("/large?k=a", 3)
    old = site.workers()
    site.send(signal.SIGHUP)
    until(lambda: len(set(site.workers()) - set(old)) == WORKERS, "new workers")
    assert set(site.statuses("/?k=a", 20)) == {503}
    assert [len(group) for group in site.hold("/large?k=a", 2)] == [0, 2], "the old workers still answer three"
    for connection in inside:
        connection.socket.close()
    site.free("/large?k=a", 3)

    site.write("location / { limit_req zone=req burst=9 nodelay; }", http=ZONES.replace("$arg_k zone=req", "x$arg_k zone=req"))
    old = site.workers()
    site.send(signal.SIGHUP)
    until(lambda: len(site.workers()) == WORKERS and not set(site.workers()) & set(old), "new workers")
    assert site.statuses("/?k=a", 20).count(200) == 10, "another key is another zone"


def test_a_full_zone_keeps_who_is_above_the_rate(site):
    http = "limit_req_zone $arg_k zone=small:32k rate=1r/m; access_log off;"
    site.serve("location / { limit_req zone=small burst=3 nodelay; }", http=http, main="worker_processes 1;", workers=1)
    assert site.statuses("/?k=greedy", 10).count(200) == 4
    with Connection(("127.0.0.1", site.port)) as connection:
        for number in range(5000):
            if number % 1000 == 999:
                connection = Connection(("127.0.0.1", site.port))
            assert connection.request("GET", f"/?k={number}").response().status == 200
    assert set(site.statuses("/?k=greedy", 5)) == {503}


def test_explain_tells_of_limits(site):
    site.write("location / { limit_req zone=req burst=5; limit_conn conn 10; limit_conn_status 429; }")
    told = run("explain", "-c", site.directory / "nginx.conf", f"http://127.0.0.1:{site.port}/")
    assert "1 a minute for each $arg_k, 5 more at once, else 503 (zone req)" in told.stdout, told
    assert "10 at a time for each $arg_k, else 429 (zone conn)" in told.stdout, told


def test_idle_connections_give_way(site):
    site.serve("location / { }", main="worker_processes 1;", workers=1, connections=40)
    idle = []
    for _ in range(100):
        idle.append(Connection(("127.0.0.1", site.port), 5))
        assert idle[-1].request("GET", "/").response().status == 200
    site.wait_for("40 worker_connections are not enough, reusing connections")
    assert idle[0].is_closed(5), "the oldest goes first"
    assert idle[-1].request("GET", "/").response().status == 200, "the newest stays"


def test_heads_that_do_not_come_give_way(site):
    site.serve("location / { }", main="worker_processes 1;", workers=1, connections=40)
    slow = [Connection(("127.0.0.1", site.port)).send("GET / HTTP/1.1\r\nX-") for _ in range(45)]
    assert site.get("/").status == 200, "long before client_header_timeout"
    assert len(slow) == 45


APPLICATIONS = """
import time
from pathlib import Path

PIECE = b"x" * 100_000

def application(environ, start_response):
    path, folder = environ["PATH_INFO"], Path(__file__).parent
    if path == "/written":
        write = start_response("200 OK", [("Content-Length", "800000")])
        for _ in range(8):
            write(PIECE)
        return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/streamed":
        return (PIECE for _ in range(8))
    if path == "/large":
        return [b"x" * (32 << 20)]
    if path == "/wait":
        while not (folder / "go").exists():
            time.sleep(0.05)
    return [b"hello"]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def python(site: Files, locations: str, app: str = "application", main: str = "worker_processes 1;", more: str = "",
           **options) -> Files:
    (site.directory / "limited.py").write_text(APPLICATIONS)
    app = f"python_app site {{ module limited:{app}; path {site.directory}; {more} }}"
    return site.serve(locations, http=ZONES + app, main=main, workers=1, **options)


def test_a_websocket_counts_as_long_as_it_lives(site):
    python(site, "location / { python_pass site; } location /ws { python_pass site; limit_conn conn 1; }", "asgi")
    shake = ("GET /ws?k=a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    first = Connection(("127.0.0.1", site.port)).send(shake)
    assert first.head().status == 101
    assert Connection(("127.0.0.1", site.port)).send(shake).head().status == 503
    first.socket.close()

    def again():
        with Connection(("127.0.0.1", site.port)) as connection:
            return connection.send(shake).head().status == 101
    until(again, "the WebSocket to have ended")


@pytest.mark.parametrize("path", ["/streamed", "/written"])
def test_an_answer_of_an_application_is_sent_at_its_rate(site, path):
    python(site, "location / { python_pass site; limit_rate 300k; }")
    site.get("/")
    started = time.monotonic()
    assert len(site.get(path).body) == 800_000
    assert time.monotonic() - started > 1.5


def test_a_rate_ends_with_its_location(site):
    site.serve("""location / { }
        location /slow { limit_rate 1; error_page 404 /large; }""", main="worker_processes 1;", workers=1)
    assert len(site.get("/slow").body) == 100_000, "the rate of the page's own location holds: none"


def test_memory_for_answers_is_bounded(site):
    python(site, "location / { python_pass site; } location /index.html { }", main="worker_processes 1; worker_memory 40m;")
    assert site.get("/").status == 200
    hostile = [Connection(("127.0.0.1", site.port)).request("GET", "/large") for _ in range(3)]
    until(lambda: site.get("/").status == 503, "too much to be held")
    refused = site.get("/index.html")
    assert (refused.status, refused["connection"]) == (503, "close")
    site.wait_for(r"worker_memory of 41943040 bytes is not enough")
    for connection in hostile:
        connection.socket.close()
    until(lambda: site.get("/").status == 200, "the memory to be free")


def test_bodies_go_to_files_when_memory_is_short(site):
    locations = "location / { client_max_body_size 0; client_body_buffer_size 64m; python_pass site; }"
    python(site, locations, main="worker_processes 1; worker_memory 8m;")
    with Connection(("127.0.0.1", site.port)) as hostile:
        hostile.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(24):
            hostile.send(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        until(lambda: site.get("/").status == 200, "room")
        hostile.send("0\r\n\r\n")
        assert hostile.response().status == 200


def test_limit_concurrency_on_both_faces(site, serve, tmp_path):
    def wait(get):
        # Beside a request that only asks whether there is room it may be the one too many.
        while (answer := get("/wait")).status == 503:
            pass
        return answer

    def check(get):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(wait, get) for _ in range(2)]
            until(lambda: get("/").status == 503, "two requests in progress")
            (site.directory / "go").touch()
            assert [future.result().status for future in waiting] == [200, 200]
            until(lambda: get("/").status == 200, "room")
        (site.directory / "go").unlink()

    python(site, "location / { limit_concurrency 2; python_pass site; }", more="threads 4;")
    check(site.get)
    server = serve("limited:application", "--limit-concurrency", 2, "--threads", 4, cwd=site.directory)
    check(server.get)


@pytest.mark.parametrize(("http", "message"), [
    ("limit_req_zone $arg_k zone=x:32k rate=0r/s;", 'invalid rate "rate=0r/s"'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/h;", 'invalid rate "rate=1r/h"'),
    ("limit_req_zone $arg_k zone=x:31k rate=1r/s;", 'zone "zone=x:31k" is too small'),
    ("limit_req_zone $arg_k zone=x rate=1r/s;", 'invalid zone size "zone=x"'),
    ("limit_req_zone $arg_k zone=x:1g rate=1r/s;", 'invalid zone size "zone=x:1g"'),
    ("limit_req_zone $arg_k zone=:32k rate=1r/s;", '"limit_req_zone" must have "zone" parameter'),
    ("limit_req_zone $arg_k rate=1r/s rate=2r/s;", '"limit_req_zone" must have "zone" parameter'),
    ("limit_req_zone $arg_k foo zone=x:32k;", 'invalid parameter "foo"'),
    ("limit_req_zone $nope zone=x:32k rate=1r/s;", 'unknown "nope" variable'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/s sync;", 'invalid number of arguments in "limit_req_zone" directive'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/s; limit_req_zone $uri zone=x:32k rate=1r/s;",
     'limit_req_zone "x" is already bound to key "$arg_k"'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/s; limit_req_zone $arg_k zone=x:64k rate=1r/s;",
     'the size 65536 of shared memory zone "x" conflicts with already declared size 32768'),
    ("limit_req zone=x;", 'zero size shared memory zone "x"'),
    ("limit_req burst=1;", '"limit_req" must have "zone" parameter'),
    ("limit_req zone=x burst=0;", 'invalid burst value "burst=0"'),
    ("limit_req zone=x delay=0;", 'invalid delay value "delay=0"'),
    ("limit_req zone=x foo;", 'invalid parameter "foo"'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/s; limit_req zone=x; limit_req zone=x;", '"limit_req" directive is duplicate'),
    ("limit_req_zone $arg_k zone=x:32k rate=1r/s; limit_conn x 1;",
     'the shared memory zone "x" is already declared for a different use'),
    ("limit_req_status 399;", "value must be between 400 and 599"),
    ("limit_req_log_level debug;", 'invalid value "debug"'),
    ("limit_conn x 1;", 'zero size shared memory zone "x"'),
    ("limit_conn x 0;", 'invalid number of connections "0"'),
    ("limit_conn x 65536;", "connection limit must be less 65536"),
    ("limit_conn_zone $arg_k zone=x:32k; limit_conn x 1; limit_conn x 2;", '"limit_conn" directive is duplicate'),
    ("limit_conn_zone $arg_k zone=x:32k; limit_conn_zone $uri zone=x:32k;",
     'limit_conn_zone "x" is already bound to key "$arg_k"'),
    ("limit_conn_zone $arg_k foo;", 'invalid parameter "foo"'),
    ("limit_conn_status 600;", "value must be between 400 and 599"),
])
def test_what_is_wrong_is_told_in_nginxs_words(site, http, message):
    path = site.write("", http=http)
    result = run("-p", site.directory, "-c", path, "-t")
    assert result.returncode == 1
    assert f"[emerg] {message}" in result.stderr, result.stderr


def test_checking_a_configuration_maps_nothing(site):
    path = site.write("", http="limit_req_zone $arg_k zone=x:100000000m rate=1r/s;")
    assert run("-p", site.directory, "-c", path, "-t").returncode == 0
    result = run("-p", site.directory, "-c", path)
    assert result.returncode == 1 and "mmap(MAP_ANON|MAP_SHARED, 104857600000000) failed (12: Cannot allocate memory)" in result.stderr
