"""nginx's logs where an answer does not show them: syslog, compression, buffers, rotation, paths with variables, error logs
of locations. What lines look like is in `tests/differential/cases/logs`."""

import gzip
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import DAEMUN, Connection, environment, until

FORMAT = "log_format short '$status $request_uri';"


class Server:
    """A master in the foreground with what stands in `http`, on a free port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.logs.mkdir()
        (directory / "html").mkdir()
        (directory / "html" / "file").write_text("a file\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen | None = None

    def start(self, server: str, http: str = "", error_log: str = "error_log logs/error.log notice;", workers: int = 1) -> "Server":
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
daemon off; {user} pid logs/nginx.pid; worker_processes {workers};
{error_log}
events {{ }}
http {{
    {FORMAT}
    access_log off;
    {http}
    server {{ listen 127.0.0.1:{self.port}; {server} }}
}}
""")
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [DAEMUN, "-p", str(self.directory), "-c", "nginx.conf"], env=environment(), stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, start_new_session=True,
            )
        until(lambda: self.process.poll() is not None or self.accepts(), "the server to listen")
        assert self.process.poll() is None, (self.directory / "stderr").read_text()
        return self

    def accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return True

    def get(self, path: str, status: int | None = None, **fields: str) -> None:
        with Connection(("127.0.0.1", self.port), 10) as connection:
            headers = [("Connection", "close"), *((name.replace("_", "-"), value) for name, value in fields.items())]
            answer = connection.request("GET", path, headers).response()
        assert status in (None, answer.status)

    def lines(self, name: str) -> list[str]:
        path = self.logs / name
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, name: str, pattern: str) -> str:
        def found():
            return next((line for line in self.lines(name) if re.search(pattern, line)), None)
        return until(found, f"/{pattern}/ in {name}")

    def reopen(self) -> None:
        os.kill(self.process.pid, signal.SIGUSR1)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        yield receiver


def test_syslog_over_udp(server, udp):
    to = f"server=127.0.0.1:{udp.getsockname()[1]}"
    server.start(f"""
        location / {{ access_log syslog:{to} short; return 200 x; }}
        location /named {{ access_log syslog:{to},facility=local7,tag=shop,severity=warn short; return 200 x; }}
        location /plain {{ access_log syslog:{to},nohostname short; return 200 x; }}
    """)
    server.get("/a?b")
    host = re.escape(socket.gethostname())
    time_text = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
    # local7 is 23, info is 6: 23 * 8 + 6 = 190.
    assert re.fullmatch(rf"<190>{time_text} {host} \w+: 200 /a\?b", udp.recv(4096).decode())
    server.get("/named")
    assert re.fullmatch(rf"<188>{time_text} {host} shop: 200 /named", udp.recv(4096).decode())
    server.get("/plain")
    assert re.fullmatch(rf"<190>{time_text} \w+: 200 /plain", udp.recv(4096).decode())


def test_syslog_over_a_unix_socket(server, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "syslog"))
        receiver.settimeout(10)
        server.start(f"""
            access_log syslog:server=unix:{tmp_path}/syslog,tag=shop short;
            error_log syslog:server=unix:{tmp_path}/syslog,tag=errors error;
            location / {{ root html; }}
        """)
        server.get("/nothing")
        texts = sorted(receiver.recv(4096).decode() for _ in range(2))
    assert re.search(r'^<187>.* errors: \d{4}/.* \[error\] \d+#\d+: \*\d+ open\(\) ".*/html/nothing" failed', texts[0]), texts
    assert re.search(r"^<190>.* shop: 404 /nothing$", texts[1]), texts


def test_a_buffer_is_written_when_its_time_has_come(server):
    server.start("location / { access_log logs/held.log short buffer=32k flush=1s; return 200 x; }")
    for number in range(5):
        server.get(f"/{number}")
    assert server.lines("held.log") == []
    server.wait_for("held.log", "/4")
    assert server.lines("held.log") == [f"200 /{number}" for number in range(5)]


def test_a_full_buffer_is_written_in_whole_lines(server):
    server.start("location / { access_log logs/held.log short buffer=100; return 200 x; }")
    for number in range(30):
        server.get(f"/{number:010}")
    text = until(lambda: (server.logs / "held.log").read_text(), "the first lines")
    assert text.endswith("\n") and all(line.startswith("200 /00") for line in text.splitlines())
    assert len(text.splitlines()) < 30


def test_what_is_held_back_is_written_at_the_end_and_on_usr1(server):
    server.start("location / { access_log logs/held.log short buffer=1m; return 200 x; }")
    server.get("/one")
    assert server.lines("held.log") == []
    server.reopen()
    server.wait_for("held.log", "/one")
    server.get("/two")
    server.stop()
    assert server.lines("held.log") == ["200 /one", "200 /two"]


def test_gzip(server):
    server.start("""
        location / { access_log logs/lines.gz short gzip=9 flush=1s; return 200 x; }
    """)
    for number in range(50):
        server.get(f"/{number}")
    until(lambda: (server.logs / "lines.gz").stat().st_size > 0, "compressed lines")
    server.get("/last")
    server.stop()
    text = gzip.decompress((server.logs / "lines.gz").read_bytes()).decode()
    assert text.splitlines() == [*(f"200 /{number}" for number in range(50)), "200 /last"]


def test_usr1_opens_all_logs_anew(server):
    server.start("""
        location / { access_log logs/access.log short; error_log logs/location.log; root html; }
        location /variable/ { access_log logs/v-$arg_n.log short; open_log_file_cache max=10 inactive=1m valid=10m; return 200 x; }
    """)
    names = ["access.log", "error.log", "location.log", "v-x.log"]
    server.get("/before", 404)
    server.get("/variable/?n=x", 200)
    server.wait_for("location.log", "html/before")
    server.wait_for("access.log", "before")
    server.wait_for("v-x.log", "variable")
    for name in names:
        (server.logs / name).rename(server.logs / f"{name}.1")
    server.get("/between", 404)
    server.get("/variable/between?n=x")
    server.wait_for("location.log.1", "html/between")
    server.wait_for("access.log.1", "between")
    server.wait_for("v-x.log.1", "between")
    assert not (server.logs / "access.log").exists()
    server.reopen()
    # The master makes the new files; the worker comes to them a moment later.
    until(lambda: server.get("/probe") or server.lines("access.log"), "the worker to write to the new files")
    server.wait_for("error.log.1", "reopening logs")
    server.get("/after", 404)
    server.get("/variable/after?n=x")
    server.wait_for("location.log", "html/after")
    server.wait_for("access.log", "after")
    server.wait_for("v-x.log", "after")
    read = lambda name: [line for line in server.lines(name) if "/probe" not in line]
    assert read("access.log") == ["404 /after"]
    assert read("access.log.1") == ["404 /before", "404 /between"]
    assert server.lines("v-x.log.1") == ["200 /variable/?n=x", "200 /variable/between?n=x"]
    assert server.lines("v-x.log") == ["200 /variable/after?n=x"]


def test_rotation_under_load_loses_no_line(server):
    server.start("location / { access_log logs/access.log short; return 200 x; }", workers=2)
    counts = [0] * 4
    done = threading.Event()

    def load(index: int) -> None:
        with Connection(("127.0.0.1", server.port), 10) as connection:
            while not done.is_set() and counts[index] < 900:
                connection.request("GET", f"/{index}/{counts[index]}").response()
                counts[index] += 1

    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(counts))]
    for thread in threads:
        thread.start()
    for number in range(5):
        time.sleep(0.1)
        (server.logs / "access.log").rename(server.logs / f"access.log.{number}")
        server.reopen()
        until((server.logs / "access.log").exists, "the new file")
    done.set()
    for thread in threads:
        thread.join()
    server.stop()
    lines = [line for path in server.logs.glob("access.log*") for line in path.read_text().splitlines()]
    expected = [f"200 /{index}/{number}" for index, count in enumerate(counts) for number in range(count)]
    assert sum(counts) > 100
    assert sorted(lines) == sorted(expected)


def test_a_path_with_variables_needs_the_root(server):
    server.start("""
        location /there/ { root html; access_log logs/host-$host-$arg_n.log short; return 200 x; }
        location /lost/ { root not-there; access_log logs/host-$arg_n.log short; return 200 x; }
        location /nowhere/ { root html; access_log logs/$arg_n/x.log short; return 200 x; }
        location /relative/ { root html; access_log $arg_n.log short; return 200 x; }
    """)
    server.get("/there/?n=1", Host="Shop.Test")
    assert until(lambda: server.lines("host-shop.test-1.log"), "the line") == ["200 /there/?n=1"]
    server.get("/lost/?n=2")
    message = rf'\[error\] .* testing "{server.directory}/not-there" existence failed \(2: No such file or directory\) while logging request'
    server.wait_for("error.log", message)
    assert not (server.logs / "host-2.log").exists()
    server.get("/nowhere/?n=3")
    server.wait_for("error.log", r'\[crit\] .* open\(\) ".*/logs/3/x.log" failed \(2: No such file or directory\) while logging request, client')
    server.get(f"/relative/?n={server.logs}/4")
    server.wait_for("error.log", rf'\[crit\] .* open\(\) "{server.directory}/{server.logs}/4.log" failed')


def test_error_logs_by_place_and_level(server):
    server.start("""
        error_log logs/server.log warn;
        location / { root html; }
        location /own/ { root html; error_log logs/own.log; error_log logs/second.log crit; }
        location /info/ { root html; error_log logs/info.log notice; rewrite_log on; rewrite ^/info/a$ /file last; }
        location /crit/ { root html; error_log logs/crit.log crit; }
        location /stderr/ { root html; error_log stderr; }
        location /unset/ { return 200 "$never"; set $never 1; }
    """)
    for path in ["/x", "/own/x", "/info/a", "/info/x", "/crit/x", "/stderr/x", "/unset/"]:
        server.get(path)
    server.wait_for("server.log", r'\[warn\] .* using uninitialized "never" variable, client: 127.0.0.1, server: ')
    assert len(server.lines("server.log")) == 2 and 'html/x" failed' in server.lines("server.log")[0]
    assert len(server.lines("own.log")) == 1 and 'html/own/x" failed' in server.lines("own.log")[0]
    assert (server.lines("second.log"), server.lines("crit.log")) == ([], [])
    assert [line.split("] ")[0].split("[")[1] for line in server.lines("info.log")] == ["notice", "notice", "notice", "error"]
    assert 'html/stderr/x" failed' in (server.directory / "stderr").read_text()
    assert not any("html" in line for line in server.lines("error.log"))


def test_several_logs_conditions_and_off(server):
    server.start("""
        access_log logs/all.log short;
        location / { return 200 x; }
        location /two { access_log logs/all.log short; access_log logs/second.log short; return 200 x; }
        location /off { access_log off; return 200 x; }
        location /if { access_log logs/if.log short if=$loud; return 200 x; }
    """, http="map $arg_loud $loud { default 0; yes 1; }")
    for path in ["/a", "/two", "/off", "/if?1", "/if?loud=yes"]:
        server.get(path)
    until(lambda: server.lines("if.log"), "the last line")
    assert server.lines("all.log") == ["200 /a", "200 /two"]
    assert server.lines("second.log") == ["200 /two"]
    assert server.lines("if.log") == ["200 /if?loud=yes"]
    assert not (server.logs / "access.log").exists()


def test_the_format_without_a_name(server):
    server.start("access_log logs/access.log; location / { return 200 x; }")
    server.get("/", User_Agent='a "b"')
    line = server.wait_for("access.log", "GET")
    time_text = r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(rf'127\.0\.0\.1 - - \[{time_text}\] "GET / HTTP/1.1" 200 1 "-" "a \\x22b\\x22"', line)
