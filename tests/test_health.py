"""Servers of a group that are asked how they are: `health_check`, `match`."""

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import DAEMUN, environment, until
from test_resolver import Site
from tls import Certificates


class Backend:
    """Answers requests with its name, and probes (`/health`) as it is told to."""

    def __init__(self, name: str) -> None:
        backend = self
        self.status, self.body, self.fields, self.hang = 200, "fine", {}, False
        self.probes: list[dict] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = 200, name
                if self.path == "/health":
                    backend.probes.append({**self.headers, "port": self.client_address[1]})
                    status, body = backend.status, backend.body
                self.send_response(status)
                for field, value in backend.fields.items():
                    self.send_header(field, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    backends = [Backend("first"), Backend("second")]
    yield backends
    for backend in backends:
        backend.close()  # again, where the test has


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.stop()


def start(site: Site, backends: list[Backend], check: str, http: str = "", workers: int = 2) -> Site:
    servers = " ".join(f"server {backend.address};" for backend in backends)
    return site.start(f"upstream u {{ zone u 64k; {servers} }} {http}", f"""
        location / {{
            proxy_pass http://u; proxy_set_header X-Probe yes; proxy_connect_timeout 1s; proxy_read_timeout 1s;
            proxy_next_upstream off;
            health_check interval=200ms uri=/health {check};
        }}""", workers)


def who(site: Site, count: int = 12) -> set[str]:
    return {site.get().body.decode() for _ in range(count)}


def test_a_server_gets_sick_and_well_again(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    start(site, backends, "match=ok fails=2 passes=2", "match ok { status 200; body ~ fine; }")
    until(lambda: first.probes and second.probes, "probes")
    assert who(site) == {"first", "second"}
    assert first.probes[0]["Host"] == "u" and first.probes[0]["X-Probe"] == "yes"
    first.status = 500
    site.wait_for(r'\[warn\] .*peer is unhealthy while checking status code, health check "ok" of peer '
                  rf'{re.escape(first.address)} in upstream "u"')
    assert who(site) == {"second"}
    first.status = 200
    site.wait_for(rf'\[notice\] .*peer is healthy while checking body, health check "ok" of peer {first.address} in upstream "u"')
    assert who(site) == {"first", "second"}
    first.body = "not well"
    site.wait_for(rf'peer is unhealthy while checking body, health check "ok" of peer {first.address}')
    assert who(site) == {"second"}


def test_no_answer_is_a_bad_one(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    first.close()
    start(site, backends, "")
    site.wait_for(r'\[error\] .*connect\(\) failed \(111: Connection refused\) while connecting to upstream, health '
                  rf'check "" of peer {first.address} in upstream "u"')
    site.wait_for(rf'peer is unhealthy while connecting to upstream, health check "" of peer {first.address}')
    assert who(site) == {"second"}


def test_a_server_that_must_be_asked_first(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    first.status = 503
    start(site, backends, "mandatory", workers=1)
    until(lambda: site.get().status == 200, "the second server to be asked")
    site.wait_for(rf'peer is unhealthy while checking status code, health check "" of peer {first.address}')
    assert who(site) == {"second"}
    first.status = 204
    first.body = ""
    until(lambda: who(site) == {"first", "second"}, "the first server to be well")


def test_another_worker_takes_over(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    start(site, backends, "")
    until(lambda: first.probes and second.probes, "probes")
    first.status = 500
    [pid] = site.wait_for(r" (\d+)#\d+: peer is unhealthy while checking status code")
    os.kill(int(pid), signal.SIGKILL)
    first.status = 200
    others = site.wait_for(r" (\d+)#\d+: peer is healthy while checking status code")
    assert others and pid not in others
    until(lambda: who(site) == {"first", "second"}, "both servers")


def test_what_is_required_of_the_answer(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    second.fields = {"X-Ready": "1"}
    start(site, backends, "match=ready",
          "match ready { status 200-299; header X-Ready ~ ^[01]$; require $upstream_http_x_ready; }")
    site.wait_for(rf'peer is unhealthy while checking headers, health check "ready" of peer {first.address}')
    first.fields = {"X-Ready": "0"}
    until(lambda: len(first.probes) > 10, "more probes")
    assert who(site) == {"second"}
    first.fields = {"X-Ready": "1"}
    until(lambda: who(site) == {"first", "second"}, "the first server to be ready")


class GrpcBackend:
    """Answers `grpc.health.v1.Health/Check` over HTTP/2: with `serving`, or that it has no such method."""

    def __init__(self) -> None:
        self.serving: int | None = 1
        self.asked: list[tuple[dict, bytes]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, raw: socket.socket) -> None:
        import h2.config
        import h2.connection
        import h2.events

        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        raw.sendall(connection.data_to_send())
        heads, bodies = {}, {}
        while data := raw.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id], bodies[event.stream_id] = dict(event.headers), b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id
                    self.asked.append((heads[stream], bodies[stream]))
                    head = [(":status", "200"), ("content-type", "application/grpc")]
                    if self.serving is None:
                        connection.send_headers(stream, [*head, ("grpc-status", "12")], end_stream=True)
                        continue
                    connection.send_headers(stream, head)
                    connection.send_data(stream, bytes([0, 0, 0, 0, 2, 8, self.serving]))
                    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            raw.sendall(connection.data_to_send())
        raw.close()

    def close(self) -> None:
        self.listener.close()


@pytest.mark.parametrize("kept", ["", "keepalive_time=1m"])
def test_servers_of_grpc_are_asked_as_grpc_asks(site: Site, kept: str) -> None:
    pytest.importorskip("h2")
    backend = GrpcBackend()
    try:
        site.start(f"upstream u {{ zone u 64k; server {backend.address}; }}", f"""
            location / {{ grpc_pass grpc://u; health_check mandatory interval=100ms type=grpc grpc_service=shop.Cart {kept}; }}
        """, 2)
        until(lambda: len(backend.asked) > 2, "probes")
        head, body = backend.asked[0]
        assert (head[":method"], head[":path"]) == ("POST", "/grpc.health.v1.Health/Check")
        assert (head[":authority"], head["te"], head["content-type"]) == ("u", "trailers", "application/grpc")
        assert body == b"\0\0\0\0\x0b\x0a\x09shop.Cart"
        backend.serving = 2
        site.wait_for(rf'peer is unhealthy while checking grpc status code, health check "" of peer {backend.address}')
        backend.serving = 1
        site.wait_for(rf'peer is healthy while checking grpc status code, health check "" of peer {backend.address}', 2)
        backend.serving = None
        site.wait_for(rf'peer is unhealthy while checking grpc status code, health check "" of peer {backend.address}', 2)
    finally:
        backend.close()


def test_a_method_that_is_missing_may_be_expected(site: Site) -> None:
    pytest.importorskip("h2")
    backend = GrpcBackend()
    backend.serving = None
    try:
        site.start(f"upstream u {{ zone u 64k; server {backend.address}; }}", """
            location / { grpc_pass u; health_check mandatory interval=100ms type=grpc grpc_status=12; }
        """)
        site.wait_for(rf'peer is healthy while checking grpc status code, health check "" of peer {backend.address}')
    finally:
        backend.close()


def test_a_connection_is_kept_for_probes(site: Site, backends: list[Backend]) -> None:
    first, second = backends
    start(site, backends, "keepalive_time=1h match=ok", "match ok { status 200; body ~ fine; }", workers=1)
    until(lambda: len(first.probes) > 4, "probes")
    assert "Connection" not in first.probes[0]
    assert len({probe["port"] for probe in first.probes}) == 1
    first.status = 500
    site.wait_for(rf'peer is unhealthy while checking status code, health check "ok" of peer {first.address}')


def test_servers_with_tls_are_asked_with_tls(site: Site, tmp_path: Path) -> None:
    (tmp_path / "certificates").mkdir()
    certificates = Certificates(tmp_path / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    good, plain = Backend("good"), Backend("plain")
    good.server.socket = context.wrap_socket(good.server.socket, server_side=True)
    try:
        site.start(f"upstream u {{ zone u 64k; server {good.address}; server {plain.address}; }}", f"""
            location / {{
                proxy_pass https://u; proxy_next_upstream off; proxy_ssl_name localhost; proxy_ssl_verify on;
                proxy_ssl_trusted_certificate {certificates.authority};
                health_check interval=200ms mandatory uri=/health;
            }}""")
        until(lambda: good.probes, "probes")
        site.wait_for(rf'peer is unhealthy while SSL handshaking to upstream, health check "" of peer {plain.address}')
        until(lambda: site.get().status == 200, "the good server")
        assert who(site) == {"good"}
    finally:
        good.close()
        plain.close()


@pytest.mark.parametrize("persistent", ["", "persistent"])
def test_a_reload(site: Site, backends: list[Backend], persistent: str) -> None:
    first, second = backends
    first.status = 500
    start(site, backends, f"mandatory {persistent}", workers=1)
    site.wait_for("peer is unhealthy")
    site.wait_for("peer is healthy")
    probes = len(second.probes)
    site.process.send_signal(signal.SIGHUP)
    until(lambda: len(second.probes) > probes + 2, "more probes")
    # The new workers have found out again, or know it still.
    site.wait_for("peer is unhealthy", 1 if persistent else 2)
    assert who(site) == {"second"}
    assert len(re.findall("peer is unhealthy", site.log)) == (1 if persistent else 2)


@pytest.mark.parametrize("config, why", [
    ("upstream u { server 127.0.0.1:1; } server { location / { proxy_pass http://u; health_check; } }",
     '"health_check" needs "zone" in upstream "u"'),
    ("server { location / { health_check; } }",
     '"health_check" needs "proxy_pass" or "grpc_pass" to a group of servers in the same location'),
    ("upstream u { zone u 64k; server 127.0.0.1:1; } server { location / { proxy_pass http://u; health_check match=m; } }",
     'no match "m" is defined'),
    ("upstream u { zone u 64k; server 127.0.0.1:1; } server { location / { proxy_pass http://u; health_check fails=0; } }",
     'invalid parameter "fails=0"'),
    ("upstream u { zone u 64k; server 127.0.0.1:1; } server { location / { proxy_pass http://u; health_check type=grpc; } }",
     'parameter "type=grpc" needs "grpc_pass" in the same location'),
    ("match m { status 200; } match m { status 200; }", 'duplicate match "m"'),
    ("upstream u { server a.invalid resolve; } server { location / { proxy_pass http://u; } }",
     'no resolver defined to resolve names at run time in upstream "u"'),
])
def test_what_cannot_be(tmp_path: Path, config: str, why: str) -> None:
    (tmp_path / "nginx.conf").write_text(f"events {{ }} http {{ {config} }}")
    done = subprocess.run([DAEMUN, "-t", "-p", str(tmp_path)], env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and why in done.stderr, done.stderr
