"""Names of servers that are looked up while the server runs: `resolver`, names in `proxy_pass`, `resolve` in groups.

The DNS server is dnsmasq, on a port of its own.
"""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import DAEMUN, Connection, environment, until

DNSMASQ = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(DNSMASQ is None, reason="dnsmasq is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Dns:
    """A DNS server whose names can change."""

    def __init__(self, directory: Path, *options: str, ttl: int = 1) -> None:
        self.hosts = directory / "hosts"
        self.hosts.write_text("")
        self.port = 0
        self.lines: list[str] = []
        self.options = [*options, f"--local-ttl={ttl}"]
        self.process: subprocess.Popen | None = None

    def start(self) -> "Dns":
        for _ in range(5):  # the port may be another one's by now
            self.port = free_port()
            self.lines = []
            self.process = subprocess.Popen(
                [DNSMASQ, "--no-daemon", "--conf-file=/dev/null", "--pid-file=", f"--user={getpass.getuser()}",
                 f"--port={self.port}", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces",
                 "--log-queries", "--log-facility=-", "--local=/x/", f"--addn-hosts={self.hosts}", *self.options],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            threading.Thread(target=self.read, args=(self.process,), daemon=True).start()
            until(lambda: self.process.poll() is not None or any("started" in line for line in self.lines), "dnsmasq")
            if self.process.poll() is None:
                return self
        raise AssertionError("".join(self.lines))

    def read(self, process: subprocess.Popen) -> None:
        lines = self.lines
        for line in process.stderr:
            lines.append(line)

    def set(self, **names: str | list[str]) -> None:
        """name=address: `a="127.0.0.1"` is the name `a.x`."""
        each = [(name, [value] if isinstance(value, str) else value) for name, value in names.items()]
        self.hosts.write_text("".join(f"{address} {name}.x\n" for name, all in each for address in all))
        if self.process:
            before = len(self.lines)
            self.process.send_signal(signal.SIGHUP)
            until(lambda: any("read " in line for line in self.lines[before:]), "dnsmasq to read its hosts")

    def asked(self, name: str) -> int:
        return sum(f"query[A] {name} " in line for line in self.lines)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


class Backends:
    """Servers at one port of several addresses; each answers with its address."""

    def __init__(self, *addresses: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.server.server_address[0].encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        first = ThreadingHTTPServer((addresses[0], 0), Handler)
        self.port = first.server_address[1]
        self.all = [first, *(ThreadingHTTPServer((address, self.port), Handler) for address in addresses[1:])]
        for server in self.all:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for server in self.all:
            server.shutdown()
            server.server_close()


class Site:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "logs").mkdir()
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def start(self, http: str, location: str, workers: int = 1) -> "Site":
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
daemon off; {user} pid logs/nginx.pid; error_log logs/error.log notice; worker_processes {workers};
events {{ }}
http {{
    access_log off;
    {http}
    server {{
        listen 127.0.0.1:{self.port};
        location = /ready {{ return 200; }}
        {location}
    }}
}}
""")
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [DAEMUN, "-p", str(self.directory)], env=environment(), stdin=subprocess.DEVNULL, stdout=err,
                stderr=err, start_new_session=True,
            )
        until(lambda: self.process.poll() is not None or self.answers(), "the site to serve")
        assert self.process.poll() is None, self.log
        return self

    def answers(self) -> bool:
        try:
            return self.get("/ready").status == 200
        except (OSError, AssertionError):
            return False

    def get(self, path: str = "/", *fields: tuple[str, str]):
        with Connection(("127.0.0.1", self.port), 20) as connection:
            return connection.request("GET", path, [*fields, ("Connection", "close")]).response()

    @property
    def log(self) -> str:
        read = lambda path: path.read_text() if path.exists() else ""
        return read(self.directory / "logs" / "error.log") + read(self.directory / "stderr")

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        def found() -> list[str] | None:
            matches = re.findall(pattern, self.log)
            return matches if len(matches) >= count else None
        try:
            return until(found, f"{count} x /{pattern}/")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    directory = tmp_path / "site"
    directory.mkdir()
    site = Site(directory)
    yield site
    site.stop()


@pytest.fixture
def dns(tmp_path: Path) -> Iterator[Dns]:
    dns = Dns(tmp_path)
    yield dns
    dns.stop()


@pytest.fixture
def backends() -> Iterator[Backends]:
    backends = Backends("127.0.0.1", "127.0.0.2", "127.0.0.3")
    yield backends
    backends.close()


def test_a_name_that_only_the_request_knows(site: Site, dns: Dns, backends: Backends) -> None:
    dns.start().set(a="127.0.0.2", both=["127.0.0.1", "127.0.0.3"])
    site.start(f"resolver 127.0.0.1:{dns.port} ipv6=off;",
               f"location / {{ proxy_pass http://$arg_to:{backends.port}; }}")
    assert site.get("/?to=a.x").body == b"127.0.0.2"
    assert site.get("/?to=A.X").body == b"127.0.0.2"
    assert {site.get("/?to=both.x").body for _ in range(40)} == {b"127.0.0.1", b"127.0.0.3"}
    assert site.get("/?to=127.0.0.3").body == b"127.0.0.3"
    assert site.get("/?to=none.x").status == 502
    site.wait_for(r'\[error\] .* none\.x could not be resolved \(3: Host not found\), client: 127\.0\.0\.1,')


def test_an_answer_holds_for_its_time(site: Site, dns: Dns, backends: Backends) -> None:
    dns.options = ["--local-ttl=2"]
    dns.start().set(a="127.0.0.1")
    site.start(f"resolver 127.0.0.1:{dns.port};", f"location / {{ proxy_pass http://$arg_to:{backends.port}; }}")
    for _ in range(20):
        assert site.get("/?to=a.x").body == b"127.0.0.1"
    assert dns.asked("a.x") < 20
    dns.set(a="127.0.0.2")
    until(lambda: site.get("/?to=a.x").body == b"127.0.0.2", "the new address")


def test_valid_holds_in_place_of_it(site: Site, dns: Dns, backends: Backends) -> None:
    dns.options = ["--local-ttl=0"]
    dns.start().set(a="127.0.0.1")
    site.start(f"resolver 127.0.0.1:{dns.port} valid=1h;",
               f"location / {{ proxy_pass http://$arg_to:{backends.port}; }}")
    assert site.get("/?to=a.x").body == b"127.0.0.1"
    dns.set(a="127.0.0.2")
    for _ in range(5):
        assert site.get("/?to=a.x").body == b"127.0.0.1"
    assert dns.asked("a.x") == 1


def test_a_resolver_that_says_nothing(site: Site, backends: Backends) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        site.start(f"resolver 127.0.0.1:{deaf.getsockname()[1]}; resolver_timeout 300ms;",
                   f"location / {{ proxy_pass http://$arg_to:{backends.port}; }}")
        assert site.get("/?to=a.x").status == 502
    site.wait_for(r"a\.x could not be resolved \(110: Operation timed out\)")


def test_without_a_resolver(site: Site, backends: Backends) -> None:
    site.start("", f"location / {{ proxy_pass http://$arg_to:{backends.port}; }}")
    assert site.get("/?to=a.x").status == 502
    site.wait_for(r"no resolver defined to resolve a\.x")


def test_servers_of_a_group_follow_their_name(site: Site, dns: Dns, backends: Backends) -> None:
    dns.start().set(a="127.0.0.1")
    site.start(f"""
        resolver 127.0.0.1:{dns.port};
        upstream u {{ zone u 64k; server a.x:{backends.port} resolve; }}
    """, "location / { proxy_pass http://u; }", workers=2)
    # The system does not know the name: there was no address in the beginning.
    assert 'host not found in upstream "a.x' in site.log
    until(lambda: site.get().body == b"127.0.0.1", "the first address")
    dns.set(a=["127.0.0.2", "127.0.0.3"])
    until(lambda: {site.get().body for _ in range(8)} == {b"127.0.0.2", b"127.0.0.3"}, "the new addresses")
    # What cannot be looked up any more stays as it was.
    dns.set()
    site.wait_for(r'a\.x could not be resolved \(3: Host not found\) in upstream "u"')
    assert {site.get().body for _ in range(8)} == {b"127.0.0.2", b"127.0.0.3"}


def test_a_service(site: Site, dns: Dns, backends: Backends) -> None:
    dns.options += [f"--srv-host=_http._tcp.s.x,a.x,{backends.port},1,5", f"--srv-host=_http._tcp.s.x,b.x,{backends.port},2,5"]
    dns.start().set(a=["127.0.0.1", "127.0.0.2"], b="127.0.0.3")
    site.start(f"""
        upstream u {{ zone u 64k; resolver 127.0.0.1:{dns.port}; server s.x service=http resolve; }}
    """, "location / { proxy_pass http://u; }")
    until(lambda: site.get().status == 200, "the service")
    assert {site.get().body for _ in range(8)} == {b"127.0.0.1", b"127.0.0.2"}
