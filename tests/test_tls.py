"""TLS for clients as nginx.conf asks for it: certificates, protocols, clients' certificates, sessions, what goes wrong."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import DAEMUN, PATIENCE, Connection, alive, environment, until
from tls import Certificates, TlsConnection

SHOW = "return 200 \"%s\\n\";"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    """A prefix with a configuration of `http`, certificates, and the master that runs with it."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.directory = directory
        self.certificates = certificates
        (directory / "logs").mkdir()
        (directory / "www").mkdir()
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen | None = None

    def port(self, name: str) -> int:
        return self.ports.setdefault(name, free_port())

    def write(self, http: str, workers: int = 1) -> Path:
        """`listen @name` is at a port; certificates of the authority hold where nothing else is said."""
        text = re.sub(r"listen @(\w+)", lambda found: f"listen 127.0.0.1:{self.port(found[1])}", http)
        user = "user root;" if os.getuid() == 0 else ""
        path = self.directory / "nginx.conf"
        path.write_text(f"""
daemon off; {user} worker_processes {workers};
pid logs/nginx.pid;
error_log logs/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    root www;
    ssl_certificate {self.certificates.certificate};
    ssl_certificate_key {self.certificates.key};
    {text}
}}
""")
        return path

    def check(self) -> subprocess.CompletedProcess:
        return subprocess.run([DAEMUN, "-t", "-c", str(self.directory / "nginx.conf"), "-p", str(self.directory)],
                              env=environment(), capture_output=True, text=True, timeout=40)

    def start(self) -> "Site":
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen([DAEMUN, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")],
                                            env=environment(), stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                            start_new_session=True)
        until(lambda: self.process.poll() is not None or self.serves(), "the site to serve")
        assert self.process.poll() is None, self.log
        return self

    def serves(self) -> bool:
        if not (self.directory / "logs" / "nginx.pid").exists():
            return False
        for port in self.ports.values():
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
            except OSError:
                return False
        return True

    @property
    def log(self) -> str:
        read = lambda path: path.read_text() if path.exists() else ""
        return read(self.directory / "logs" / "error.log") + read(self.directory / "stderr")

    def wait_for(self, text: str) -> None:
        try:
            until(lambda: text in self.log, text)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def reload(self) -> None:
        os.kill(self.process.pid, signal.SIGHUP)

    def get(self, name: str, path: str = "/", *, context: ssl.SSLContext | None = None, host: str = "localhost",
            sni: str | None = "localhost"):
        context = context or self.certificates.context()
        with TlsConnection(self.port(name), context, sni) as connection:
            return connection.request("GET", path, [("Host", host), ("Connection", "close")]).response()

    def text(self, name: str, path: str = "/", **how) -> str:
        return self.get(name, path, **how).body.decode().strip()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def site(tmp_path, certificates):
    site = Site(tmp_path, certificates)
    yield site
    site.end()


def loose() -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def self_signed(folder: Path, name: str, *extra: str, key: tuple[str, ...] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                days: int = 9) -> tuple[Path, Path]:
    """A certificate of its own, by openssl."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    certificate, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                           "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key_file), "-out", str(certificate), *extra],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return certificate, key_file


def common_name(port: int, sni: str | None = "localhost", context: ssl.SSLContext | None = None) -> str:
    """The name in the certificate that a server shows."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
        with (context or loose()).wrap_socket(raw, server_hostname=sni) as wrapped:
            der = wrapped.getpeercert(binary_form=True)
    shown = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"],
                           input=der, capture_output=True)
    return re.search(rb"commonName\s*=\s*(.*)", shown.stdout)[1].decode()


# What is on the wire.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_and_answers_of_all_sizes_pass(site, certificates, version):
    site.write(f"server {{ listen @a ssl; client_max_body_size 0; location /who {{ {SHOW % '$scheme $https $ssl_protocol $server_port'} }} "
               "location /up { return 204; } location /old { return 301 /new; } }")
    sizes = (0, 1, 1000, 16384, 16385, 100_000, 5_000_000)
    for size in sizes:
        (site.directory / "www" / f"{size}.bin").write_bytes(os.urandom(size))
    site.start()
    context = certificates.context(minimum_version=version, maximum_version=version)
    protocol = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert site.text("a", "/who", context=context) == f"https on {protocol} {site.port('a')}"
    with TlsConnection(site.port("a"), context) as connection:
        for size in sizes:
            answer = connection.request("GET", f"/{size}.bin", [("Host", "localhost")]).response()
            assert answer.body == (site.directory / "www" / f"{size}.bin").read_bytes()
        answer = connection.request("GET", "/old", [("Host", "localhost")]).response()
        assert answer.all("Location")[0] == f"https://localhost:{site.port('a')}/new"
        for size in (10, 20_000, 3_000_000):
            body = os.urandom(size)
            connection.request("POST", "/up", [("Host", "localhost"), ("Content-Length", str(size))])
            connection.socket.sendall(body)
            assert connection.response().status == 204
        # Several requests in one record.
        head = b"GET /1000.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.socket.sendall(head * 20)
        for _ in range(20):
            assert len(connection.response("GET").body) == 1000


def test_a_slow_reader_gets_all_and_holds_little(site):
    site.write("send_timeout 20s; server { listen @a ssl; }")
    (site.directory / "www" / "large").write_bytes(b"0123456789abcdef" * 2_000_000)
    site.start()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", site.port("a")))
    raw.settimeout(PATIENCE)
    with loose().wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(0.5)
        children = Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children").read_text().split()
        for child in children:
            resident = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{child}/status").read_text())[1])
            assert resident < 60_000, "a file is not read ahead of its reader"
        got = 0
        while part := client.recv(65536):
            got += len(part)
        assert got > 32_000_000


def test_a_request_right_behind_the_handshake_and_early_goodbyes(site):
    site.write(f"server {{ listen @a ssl; location / {{ {SHOW % 'hello'} }} }}")
    site.start()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = loose()
        context.minimum_version = context.maximum_version = version
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE) as raw:
            client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            # The end of the handshake and the request, in one segment; and no more after that.
            raw.sendall(outgoing.read())
            answer = b""
            while not answer.endswith(b"hello\n"):
                try:
                    answer += client.read(4096)
                except ssl.SSLWantReadError:
                    more = raw.recv(65536)
                    assert more, "it ended before its answer"
                    incoming.write(more)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            # The server says goodbye before it closes.
            end = b""
            while part := raw.recv(65536):
                end += part
            incoming.write(end)
            assert client.read(10) == b""


def test_what_is_no_handshake_ends_the_connection_alone(site):
    site.write(f"server {{ listen @a ssl; location / {{ {SHOW % 'hello'} }} }}")
    site.start()
    hello = bytes.fromhex("16030100") + b"\xff" * 40
    for bytes_, alert in [(b"\x16\x03\x01\x00\x05hello", True), (hello, False), (b"\x80\x2e\x01\x00\x02" + b"x" * 60, None),
                          (b"\x16\x03\x01\xff\xff" + b"z" * 70_000, True)]:
        with socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE) as raw:
            raw.settimeout(PATIENCE)
            try:
                raw.sendall(bytes_)
                raw.shutdown(socket.SHUT_WR)
                answer = raw.recv(4096)
            except OSError:
                answer = b""
            if alert and answer:
                assert answer[0] == 21, answer
    with socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE) as raw:
        raw.sendall(b"\x16")
    site.wait_for("peer closed connection in SSL handshake while SSL handshaking, client: 127.0.0.1")
    site.wait_for("SSL_do_handshake() failed (SSL: ")
    assert site.text("a") == "hello"


def test_a_handshake_that_does_not_come_to_its_end_is_ended(site):
    site.write(f"client_header_timeout 1s; server {{ listen @a ssl; location / {{ {SHOW % 'hello'} }} }}")
    site.start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = loose().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    waiting = []
    for part in (b"", hello[:1], hello[:50], hello):
        raw = socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE)
        raw.sendall(part)
        waiting.append(raw)
    for raw in waiting:
        raw.settimeout(PATIENCE)
        while raw.recv(65536):
            pass
        raw.close()
    site.wait_for("client timed out (110: Connection timed out) while SSL handshaking")
    assert site.text("a") == "hello"


def test_plain_http_is_told_so(site):
    site.write(f"server {{ listen @a ssl; location / {{ {SHOW % 'hello'} }} }} "
               "server { listen @b ssl; error_page 497 =418 @plain; location @plain { return 418 \"$scheme $request_uri\"; } }")
    site.start()
    with Connection(("127.0.0.1", site.port("a")), PATIENCE) as connection:
        answer = connection.request("GET", "/", [("Host", "localhost")]).response()
    assert answer.status == 400 and b"The plain HTTP request was sent to HTTPS port" in answer.body
    with Connection(("127.0.0.1", site.port("b")), PATIENCE) as connection:
        answer = connection.request("GET", "/x?y", [("Host", "localhost")]).response()
    assert (answer.status, answer.body) == (418, b"http /x?y")
    site.wait_for("client sent plain HTTP request to HTTPS port while reading client request headers")


def test_the_header_of_a_proxy_comes_before_the_handshake(site):
    site.write(f"server {{ listen @a ssl proxy_protocol; location / {{ {SHOW % '$proxy_protocol_addr $ssl_protocol'} }} }}")
    site.start()
    for together in (True, False):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = loose().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE) as raw:
            header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
            if not together:
                raw.sendall(header)
                time.sleep(0.05)
                header = b""
            client_says(client, raw, incoming, outgoing, header, b"GET / HTTP/1.0\r\n\r\n", b"192.0.2.7 TLSv1.3\n")


def client_says(client, raw, incoming, outgoing, before: bytes, request: bytes, end: bytes) -> None:
    raw.settimeout(PATIENCE)

    def repeat(act):
        nonlocal before
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                raw.sendall(before + outgoing.read())
                before = b""
                more = raw.recv(65536)
                assert more, "it ended before its answer"
                incoming.write(more)

    repeat(client.do_handshake)
    client.write(request)
    answer = b""
    while not answer.endswith(end):
        part = repeat(lambda: client.read(4096))
        assert part, answer
        answer += part


# Which certificate.


def test_the_name_that_the_client_asks_for_decides(site):
    folder = site.directory
    for name in ("one.test", "two.test", "wild.test"):
        self_signed(folder, name)
    server = "server {{ listen @a ssl; server_name {0}; ssl_certificate {1}.crt; ssl_certificate_key {1}.key; location / {{ {2} }} }}"
    site.write("\n".join([
        f"server {{ listen @a ssl; server_name first; location / {{ {SHOW % 'first $ssl_server_name'} }} }}",
        server.format("one.test", "one.test", SHOW % "one $ssl_server_name"),
        server.format("two.test", "two.test", SHOW % "two $ssl_server_name"),
        server.format("*.wild.test", "wild.test", SHOW % "wild $ssl_server_name"),
        "server { listen @a ssl; server_name refused; ssl_reject_handshake on; }",
    ])).write_text
    site.start()
    port = site.port("a")
    for sni, shown in [("one.test", "one.test"), ("two.test", "two.test"), ("x.wild.test", "wild.test"), ("TWO.test", "two.test")]:
        assert common_name(port, sni) == shown
    own = common_name(port, "localhost")
    assert own not in ("one.test", "two.test") and common_name(port, None) == own and common_name(port, "unknown") == own
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        common_name(port, "refused")
    site.wait_for("handshake rejected while SSL handshaking")
    # The host of the request chooses again.
    assert site.text("a", context=loose(), sni="one.test", host="two.test") == "two one.test"
    assert site.text("a", context=loose(), sni="two.test", host="nobody") == "first two.test"


def test_of_two_certificates_the_one_that_the_client_can_check(site):
    folder = site.directory
    self_signed(folder, "ec")
    self_signed(folder, "rsa", key=("rsa:2048",))
    site.write("server { listen @a ssl; ssl_certificate ec.crt; ssl_certificate_key ec.key; ssl_certificate rsa.crt; "
               f"ssl_certificate_key rsa.key; location / {{ {SHOW % '$ssl_cipher'} }} }}")
    site.start()
    assert common_name(site.port("a")) == "ec"
    rsa = loose()
    rsa.maximum_version = ssl.TLSVersion.TLSv1_2
    rsa.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    assert common_name(site.port("a"), context=rsa) == "rsa"
    assert site.text("a", context=rsa) == "ECDHE-RSA-AES128-GCM-SHA256"


def test_names_of_files_may_depend_on_the_client(site):
    folder = site.directory
    for name in ("one.test", "two.test"):
        self_signed(folder, name)
    site.write("map $ssl_server_name $name { two.test two.test; default one.test; } "
               "server { listen @a ssl; ssl_certificate $name.crt; ssl_certificate_key $name.key; return 204; } "
               "server { listen @b ssl; ssl_certificate $ssl_server_name.crt; ssl_certificate_key $ssl_server_name.key; return 204; }")
    site.start()
    assert [common_name(site.port("a"), sni) for sni in ("two.test", "x", None)] == ["two.test", "one.test", "one.test"]
    assert common_name(site.port("b"), "one.test") == "one.test"
    with pytest.raises(ssl.SSLError):
        common_name(site.port("b"), "nobody.test")
    site.wait_for(f'cannot load certificate "{folder}/nobody.test.crt": BIO_new_file() failed (2: No such file or directory)')
    self_signed(folder, "one.test", "-set_serial", "77")
    def changed():
        with socket.create_connection(("127.0.0.1", site.port("b")), PATIENCE) as raw:
            with loose().wrap_socket(raw, server_hostname="one.test") as client:
                return ssl.DER_cert_to_PEM_cert(client.getpeercert(True)) == (folder / "one.test.crt").read_text()
    until(changed, "the new file")


def test_certificates_may_stand_in_the_configuration(site):
    certificate, key = self_signed(site.directory, "inline.test")
    site.write(f"server {{ listen @a ssl; ssl_certificate 'data:{certificate.read_text()}'; "
               f"ssl_certificate_key 'data:{key.read_text()}'; return 204; }}")
    site.start()
    assert common_name(site.port("a")) == "inline.test"


@pytest.mark.parametrize("kind", ["pkcs8", "traditional", "rsa"])
def test_keys_under_a_passphrase(site, kind):
    folder = site.directory
    certificate, key = self_signed(folder, "secret.test", key=("rsa:2048",) if kind == "rsa" else ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"))
    hidden = folder / "hidden.key"
    how = {"pkcs8": ["pkcs8", "-topk8", "-v2", "aes-256-cbc"], "traditional": ["ec", "-aes256"],
           "rsa": ["rsa", "-traditional", "-aes128"]}[kind]
    subprocess.run(["openssl", *how, "-in", str(key), "-out", str(hidden), "-passout", "pass:swordfish"], check=True, capture_output=True)
    server = f"server {{ listen @a ssl; ssl_certificate {certificate}; ssl_certificate_key hidden.key; %s return 204; }}"
    site.write(server % "")
    refused = site.check()
    assert refused.returncode == 1 and f'cannot load certificate key "{hidden}": PEM_read_bio_PrivateKey() failed (it is under a passphrase' in refused.stderr
    (folder / "wrong").write_text("sword\nfish\n")
    site.write(server % "ssl_password_file wrong;")
    assert "bad decrypt" in site.check().stderr
    (folder / "right").write_text("wrong\nswordfish\n")
    site.write(server % "ssl_password_file right;")
    site.start()
    assert common_name(site.port("a")) == "secret.test"


# Files that change.


def test_a_changed_certificate_is_taken_up_without_a_restart(site):
    folder = site.directory
    certificate, key = self_signed(folder, "before.test")
    site.write(f"server {{ listen @a ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; location / {{ {SHOW % 'hello'} }} }}",
               workers=2)
    site.start()
    assert common_name(site.port("a")) == "before.test"
    with TlsConnection(site.port("a"), loose()) as kept:
        kept.request("GET", "/", [("Host", "localhost")]).response()
        # Half-written: the old one is kept, and the log says why.
        whole = certificate.read_text()
        certificate.write_text(whole[:200])
        site.wait_for(f'cannot load certificate "{certificate}": PEM_read_bio_X509() failed (bad end line); the old one is used on')
        assert common_name(site.port("a")) == "before.test"
        new, new_key = self_signed(folder, "after.test")
        certificate.write_text(new.read_text())
        site.wait_for(f'SSL_CTX_use_PrivateKey("{key}") failed (key values mismatch')
        assert common_name(site.port("a")) == "before.test"
        key.write_text(new_key.read_text())
        until(lambda: all(common_name(site.port("a")) == "after.test" for _ in range(8)), "the new certificate")
        kept.request("GET", "/", [("Host", "localhost")])
        assert kept.response().body == b"hello\n"
    assert len(re.findall("bad end line", site.log)) <= 2, "each worker tells once"


def test_a_reload_with_a_bad_file_keeps_the_old_one(site):
    folder = site.directory
    certificate, key = self_signed(folder, "before.test")
    site.write(f"server {{ listen @a ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; return 204; }}")
    site.start()
    key.write_text("nonsense")
    site.reload()
    site.wait_for(f'cannot load certificate key "{key}": PEM_read_bio_PrivateKey() failed (no private key in it)')
    assert common_name(site.port("a")) == "before.test"


@pytest.mark.parametrize(("server", "message"), [
    ("listen @a ssl; ssl_certificate no; ssl_certificate_key no;", 'cannot load certificate "{0}/no": BIO_new_file() failed (2: No such file or directory)'),
    ("listen @a ssl; ssl_certificate c.key; ssl_certificate_key c.key;", 'cannot load certificate "{0}/c.key": PEM_read_bio_X509_AUX() failed (no start line'),
    ("listen @a ssl; ssl_certificate c.crt; ssl_certificate_key no;", 'cannot load certificate key "{0}/no": BIO_new_file() failed (2: No such file or directory)'),
    ("listen @a ssl; ssl_certificate c.crt; ssl_certificate_key c.crt;", 'cannot load certificate key "{0}/c.crt": PEM_read_bio_PrivateKey() failed (no private key in it)'),
    ("listen @a ssl; ssl_certificate c.crt; ssl_certificate_key d.key;", 'SSL_CTX_use_PrivateKey("{0}/d.key") failed (key values mismatch'),
    ("listen @a ssl; ssl_certificate half; ssl_certificate_key c.key;", 'cannot load certificate "{0}/half": PEM_read_bio_X509() failed (bad end line)'),
    ("listen @a ssl; ssl_certificate www; ssl_certificate_key c.key;", 'cannot load certificate "{0}/www": BIO_new_file() failed (21: Is a directory)'),
    ("listen @a ssl; ssl_certificate $nope; ssl_certificate_key c.key;", 'unknown "nope" variable'),
    ("listen @a; ssl_certificate c.crt; ssl_certificate c.crt; ssl_certificate_key c.key;", 'no "ssl_certificate_key" is defined for certificate "c.crt"'),
    ("listen @a ssl; ssl_verify_client on;", "no ssl_client_certificate for ssl_verify_client"),
    ("listen @a ssl; ssl_verify_client on; ssl_client_certificate no;", 'SSL_CTX_load_verify_locations("{0}/no") failed (2: No such file or directory)'),
    ("listen @a ssl; ssl_trusted_certificate c.key;", 'SSL_CTX_load_verify_locations("{0}/c.key") failed (no certificate or crl found)'),
    ("listen @a ssl; ssl_crl no;", 'X509_LOOKUP_load_file("{0}/no") failed (2: No such file or directory)'),
    ("listen @a ssl; ssl_dhparam c.key;", 'PEM_read_bio_DHparams("{0}/c.key") failed (no start line'),
    ("listen @a ssl; ssl_ciphers NOPE;", 'SSL_CTX_set_cipher_list("NOPE") failed ("NOPE" is no cipher of OpenSSL\'s)'),
    ("listen @a ssl; ssl_ciphers kRSA;", 'SSL_CTX_set_cipher_list("kRSA") failed (no cipher match'),
    ("listen @a ssl; ssl_ecdh_curve NOPE;", 'SSL_CTX_set1_curves_list("NOPE") failed (group \'NOPE\' cannot be set)'),
    ("listen @a ssl; ssl_ecdh_curve X448;", 'SSL_CTX_set1_curves_list("X448") failed (none of them is supported here'),
    ("listen @a ssl; ssl_protocols TLSv9;", 'invalid value "TLSv9" in '),
    ("listen @a ssl; ssl_protocols TLSv1.1;", "no protocol is left: only TLSv1.2 and TLSv1.3 are supported"),
    ("listen @a ssl; ssl_session_cache shared:a;", 'invalid session cache "shared:a" in '),
    ("listen @a ssl; ssl_session_cache shared:a:1;", 'session cache "shared:a:1" is too small in '),
    ("listen @a ssl; ssl_session_ticket_key c.key;", '"{0}/c.key" must be 48 or 80 bytes'),
    ("listen @a ssl; ssl_conf_command Foo bar;", 'SSL_CONF_cmd("Foo", "bar") failed (unknown cmd name)'),
    ("listen @a ssl; ssl_password_file no;", 'open() "{0}/no" failed (2: No such file or directory) in '),
    ("listen @a ssl; ssl_verify_client optional_no_ca; ssl_ocsp on;",
     '"ssl_ocsp" is incompatible with "ssl_verify_client optional_no_ca"'),
    ("listen @a ssl; ssl_ocsp on; ssl_ocsp_responder https://a/;",
     'invalid URL prefix in OCSP responder "https://a/" in "ssl_ocsp_responder"'),
    ("listen @a ssl; ssl_ocsp_cache shared:a;", 'invalid OCSP cache "shared:a"'),
    ("listen @a; ssl on;", 'unknown directive "ssl" in '),
])
def test_what_is_wrong_is_told_with_file_and_reason(site, server, message):
    folder = site.directory
    for name in ("c", "d"):
        self_signed(folder, name)
    (folder / "half").write_text((folder / "c.crt").read_text()[:300])
    if "unreadable" in server and os.getuid() == 0:
        pytest.skip("root reads all")
    site.write(f"server {{ {server} }}")
    result = site.check()
    assert result.returncode == 1 and message.format(folder) in result.stderr, result.stderr


def test_a_socket_without_a_certificate_is_refused(site):
    path = site.write("server { listen @a ssl; }")
    path.write_text(re.sub(r"ssl_certificate\w* .*;", "", path.read_text()))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "server {" in text)
    message = f'no "ssl_certificate" is defined for the "listen ... ssl" directive in {path}:{line}'
    assert message in site.check().stderr
    path.write_text(path.read_text().replace("ssl; }", "ssl; ssl_reject_handshake on; }"))
    assert site.check().returncode == 0


def test_what_is_left_out_is_warned_of(site):
    expired, expired_key = self_signed(site.directory, "expired", "-not_before", "20200101000000Z", "-not_after", "20200102000000Z") \
        if b"-not_after" in subprocess.run(["openssl", "req", "-help"], capture_output=True).stderr else (None, None)
    old = "ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:AES128-SHA:DES-CBC3-SHA"
    site.write(f"server {{ listen @a ssl; ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers {old}; ssl_ecdh_curve X25519:secp521r1; "
               "ssl_stapling on; ssl_early_data on; ssl_conf_command Options KTLS; "
               + (f"ssl_certificate {expired}; ssl_certificate_key {expired_key};" if expired else "") + " }")
    result = site.check()
    assert result.returncode == 0, result.stderr
    for warning in ("only TLSv1.2 and TLSv1.3 are supported", "DHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-SHA, AES128-SHA, DES-CBC3-SHA",
                    "secp521r1", '"ssl_stapling" ignored', '"ssl_early_data" has no effect', "Options KTLS",
                    *(['expired.crt" has expired'] if expired else [])):
        assert warning in result.stderr, (warning, result.stderr)


# Protocols and ciphers.


def test_protocols_ciphers_and_curves_are_as_configured(site):
    site.write("server { listen @a ssl; ssl_protocols TLSv1.2; ssl_ciphers ECDHE+CHACHA20:ECDHE+AES256; ssl_prefer_server_ciphers on; "
               f"ssl_ecdh_curve prime256v1; location / {{ {SHOW % '$ssl_protocol $ssl_cipher $ssl_curve'} }} }} "
               "server { listen @b ssl; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256; "
               f"location / {{ {SHOW % '$ssl_protocol $ssl_cipher $ssl_curve $ssl_alpn_protocol'} }} }}")
    site.start()
    assert site.text("a") == "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305 prime256v1"
    assert site.text("b", context=site.certificates.context(alpn=("nope", "http/1.1"))) == "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256 X25519 http/1.1"
    with pytest.raises(ssl.SSLError):
        site.text("b", context=site.certificates.context(maximum_version=ssl.TLSVersion.TLSv1_2))
    with pytest.raises(ssl.SSLError):
        site.text("a", context=site.certificates.context(minimum_version=ssl.TLSVersion.TLSv1_3))
    with pytest.raises(ssl.SSLError):
        site.text("b", context=site.certificates.context(alpn=("nope",)))


# Clients' certificates.


def test_clients_are_asked_for_certificates(site, certificates):
    verify = f"ssl_client_certificate {certificates.clients};"
    show = "location / { return 200 \"$ssl_client_verify $ssl_client_s_dn $ssl_client_i_dn $ssl_client_serial\"; }"
    site.write(f"""
server {{ listen @on ssl; {verify} ssl_verify_client on; {show} }}
server {{ listen @optional ssl; {verify} ssl_verify_client optional; {show} }}
server {{ listen @any ssl; ssl_verify_client optional_no_ca; {show} }}
server {{ listen @caught ssl; {verify} ssl_verify_client on; error_page 495 496 =403 /sorry; {show}
          location /sorry {{ return 403 "$ssl_client_verify $request_uri"; }} }}
""")
    site.start()
    good = certificates.context(certificates.client("good", "/C=DE/O=A, \"B\"/CN=grün"))
    bad = certificates.context(certificates.client("bad", "/CN=nobody", trusted=False))
    none = certificates.context()
    dn = 'CN=gr\\C3\\BCn,O=A\\, \\"B\\",C=DE CN=Authority of clients,O=Clients 1234ABCD'
    for name in ("on", "optional", "caught"):
        assert site.text(name, context=good) == f"SUCCESS {dn}"
    assert site.text("any", context=good) == f"FAILED:unable to verify the first certificate {dn}"
    for name in ("on", "optional"):
        answer = site.get(name, context=bad)
        assert answer.status == 400 and b"<center>The SSL certificate error</center>" in answer.body
    assert site.text("any", context=bad).startswith("FAILED:self-signed certificate CN=nobody CN=nobody")
    answer = site.get("on", context=none)
    assert answer.status == 400 and b"<center>No required SSL certificate was sent</center>" in answer.body
    assert site.text("optional", context=none) == "NONE" and site.text("any", context=none) == "NONE"
    assert site.get("caught", "/x", context=none).body == b"NONE /x"
    assert site.get("caught", "/x", context=bad).body == b"FAILED:self-signed certificate /x"
    for line in ("client SSL certificate verify error: (18:self-signed certificate) while reading client request headers",
                 "client sent no required SSL certificate while reading client request headers"):
        site.wait_for(line)
    # Whoever comes back is asked no less.
    for context in (good, bad):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.maximum_version = version
            with TlsConnection(site.port("on"), context) as first:
                status = first.request("GET", "/", [("Host", "localhost")]).response().status
                session = first.socket.session
            with socket.create_connection(("127.0.0.1", site.port("on")), PATIENCE) as raw:
                with context.wrap_socket(raw, server_hostname="localhost", session=session) as again:
                    assert again.session_reused
                    again.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    assert again.recv(100).split()[1] == str(status).encode()


def test_revoked_certificates_and_long_chains(site, certificates):
    folder = site.directory
    openssl = lambda *args: subprocess.run(["openssl", *map(str, args)], cwd=folder, check=True, capture_output=True)
    authority = certificates.clients
    authority_key = certificates.folder / "clients-key.pem"
    good = certificates.client("good", "/C=DE/O=A, \"B\"/CN=grün")
    (folder / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=30\n")
    (folder / "index.txt").write_text("")
    (folder / "number").write_text("01\n")
    sign = ("-config", "ca.cnf", "-keyfile", authority_key, "-cert", authority)
    openssl("ca", *sign, "-gencrl", "-out", "empty.crl")
    openssl("ca", *sign, "-revoke", good[0])
    openssl("ca", *sign, "-gencrl", "-out", "full.crl")
    (folder / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    issuer, issuer_key = authority, authority_key
    chain = ""
    for name, extensions in (("one", "ca.ext"), ("two", "ca.ext"), ("leaf", None)):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", issuer, "-CAkey", issuer_key, "-set_serial", "5", "-days", "9", "-out",
                f"{name}.crt", *(("-extfile", extensions) if extensions else ()))
        issuer, issuer_key = f"{name}.crt", f"{name}.key"
        chain = (folder / f"{name}.crt").read_text() + chain
    (folder / "chain.crt").write_text(chain)
    # A certificate of version 1, as openssl makes it without extensions.
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old", "-keyout", "old.key", "-out", "old.csr")
    openssl("x509", "-req", "-in", "old.csr", "-CA", authority, "-CAkey", authority_key, "-set_serial", "9", "-days", "9", "-out", "old.crt")
    verify = f"ssl_client_certificate {authority}; ssl_verify_client optional; error_page 495 =200 /; "
    show = f"location / {{ {SHOW % '$ssl_client_verify'} }}"
    site.write(f"server {{ listen @plain ssl; {verify} {show} }} server {{ listen @deep ssl; {verify} ssl_verify_depth 2; {show} }} "
               f"server {{ listen @full ssl; {verify} ssl_crl full.crl; {show} }} server {{ listen @empty ssl; {verify} ssl_crl empty.crl; {show} }}")
    site.start()
    context = certificates.context
    assert site.text("plain", context=context(good)) == "SUCCESS"
    assert site.text("empty", context=context(good)) == "SUCCESS"
    assert site.text("full", context=context(good)) == "FAILED:certificate revoked"
    old = context((folder / "old.crt", folder / "old.key"))
    assert [site.text(name, context=old) for name in ("plain", "full", "empty")] == ["SUCCESS"] * 3
    long = context((folder / "chain.crt", folder / "leaf.key"))
    assert site.text("plain", context=long) == "FAILED:unable to get local issuer certificate"
    if b"Version: 3" in subprocess.run(["openssl", "x509", "-in", folder / "leaf.crt", "-noout", "-text"], capture_output=True).stdout:
        assert site.text("deep", context=long) == "SUCCESS"


def test_another_server_on_the_same_connection(site, certificates):
    show = f"location / {{ {SHOW % '$server_name $ssl_client_verify'} }}"
    site.write(f"server {{ listen @a ssl; server_name localhost; {show} }} server {{ listen @a ssl; server_name open.test; {show} }} "
               f"server {{ listen @a ssl; server_name closed.test; ssl_verify_client on; ssl_client_certificate {certificates.clients}; {show} }}")
    site.start()
    client = certificates.context(certificates.client("good", "/C=DE/O=A, \"B\"/CN=grün"))
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    assert site.get("a", host="closed.test").status == 421
    assert site.text("a", host="open.test") == "open.test NONE"
    assert site.get("a", host="closed.test", sni=None, context=loose()).status == 400
    assert site.text("a", host="closed.test", sni="closed.test", context=client) == "closed.test SUCCESS"
    assert site.text("a", host="open.test", sni="closed.test", context=client) == "open.test SUCCESS"
    site.wait_for("client attempted to request the server name different from the one that was negotiated while reading")


# Coming back.


def returns(port: int, version: ssl.TLSVersion, times: int = 6) -> list[bool]:
    """Whether a session is taken again, each time on a new connection."""
    context = loose()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, version
    session, reused = None, []
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                shown = b""
                while part := client.recv(1000):
                    shown += part
                assert (b" r " if client.session_reused else b" . ") in shown
                reused.append(client.session_reused)
                session = client.session or session
    return reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_all_workers_take_sessions_again(site, version):
    folder = site.directory
    (folder / "old.key").write_bytes(os.urandom(80))
    (folder / "new.key").write_bytes(os.urandom(48))
    show = f"location / {{ {SHOW % 'x $ssl_session_reused $ssl_session_id'} }}"
    # Each connection to one listener may be another worker's.
    site.write(f"""
server {{ listen @tickets ssl; {show} }}
server {{ listen @cache ssl; ssl_session_tickets off; ssl_session_cache shared:SSL:1m; {show} }}
server {{ listen @files ssl; ssl_session_ticket_key new.key; ssl_session_ticket_key old.key; {show} }}
server {{ listen @nothing ssl; ssl_session_tickets off; {show} }}
server {{ listen @off ssl; ssl_session_tickets off; ssl_session_cache off; {show} }}
""", workers=4)
    site.start()
    for name in ("tickets", "cache", "files"):
        assert returns(site.port(name), version) == [False] + [True] * 5, name
    for name in ("nothing", "off"):
        assert returns(site.port(name), version) == [False] * 6, name


def test_tickets_outlive_a_worker_and_a_reload(site):
    site.write(f"server {{ listen @a ssl; location / {{ {SHOW % 'x $ssl_session_reused x'} }} }}")
    site.start()
    context = loose()
    session = None

    def ask() -> bool:
        nonlocal session
        with socket.create_connection(("127.0.0.1", site.port("a")), PATIENCE) as raw:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(1000):
                    pass
                session = client.session or session
                return client.session_reused

    children = lambda: set(Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children").read_text().split())
    assert (ask(), ask()) == (False, True)
    before = children()
    os.kill(int(next(iter(before))), signal.SIGKILL)
    until(lambda: children() and not children() & before, "another worker")
    assert ask()
    before = children()
    site.reload()
    until(lambda: not children() & before, "the new worker")
    assert ask()


def s_client(port: int, *options: object, says: bytes = b"") -> str:
    """What openssl's client shows until the server ends the connection."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-tls1_3", "-ign_eof", *map(str, options)]
    done = subprocess.run(command, input=says, capture_output=True, timeout=PATIENCE)
    return (done.stdout + done.stderr).decode(errors="replace")


def test_a_request_before_the_handshakes_end_is_answered_once(site):
    early = f"location / {{ {SHOW % 'early=[$ssl_early_data] $ssl_session_reused $request_uri'} }}"
    cache = "ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache shared:early:1m;"
    site.write(f"server {{ listen @on ssl; {cache} ssl_early_data on; {early} }} server {{ listen @off ssl; {cache} {early} }}")
    site.start()
    session, request = site.directory / "session", site.directory / "request"
    ask = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    request.write_bytes(ask % b"early")

    assert "early=[] . /first" in s_client(site.port("on"), "-sess_out", session, says=ask % b"first")
    shown = s_client(site.port("on"), "-sess_in", session, "-early_data", request)
    assert "early=[1] r /early" in shown and "Early data was accepted" in shown, shown
    # Somebody sends the same again: the session is used up.
    shown = s_client(site.port("on"), "-sess_in", session, "-early_data", request, says=ask % b"again")
    assert "Early data was rejected" in shown and "early=[1]" not in shown and "/early" not in shown.split("HTTP/1.1 200")[-1], shown
    assert "early=[] . /again" in shown, shown

    # Two at once; what follows them comes when the handshake is complete.
    request.write_bytes((ask % b"one").replace(b"Connection: close\r\n", b"") + ask % b"two")
    s_client(site.port("on"), "-sess_out", session, says=ask % b"first")
    shown = s_client(site.port("on"), "-sess_in", session, "-early_data", request)
    assert "early=[1] r /one" in shown and "early=[1] r /two" in shown, shown

    # Without the directive nothing of it is taken.
    s_client(site.port("off"), "-sess_out", session, says=ask % b"first")
    shown = s_client(site.port("off"), "-sess_in", session, "-early_data", request, says=ask % b"late")
    assert "early=[] r /late" in shown and "/one" not in shown, shown


def test_keys_are_logged_where_asked(site):
    site.write("server { listen @a ssl; ssl_key_log logs/keys; return 204; }")
    # Relative names count from the configuration.
    site.start()
    assert site.get("a").status == 204
    lines = until(lambda: (site.directory / "logs" / "keys").read_text().splitlines(), "keys")
    assert all(re.fullmatch(r"[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]+", line) for line in lines)


def test_an_ocsp_answer_is_sent_along(site):
    (site.directory / "ocsp.der").write_bytes(b"\x30\x03\x0a\x01\x06")
    site.write("server { listen @a ssl; ssl_stapling on; ssl_stapling_file ocsp.der; return 204; }")
    site.start()
    shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.port('a')}", "-servername", "localhost", "-status"],
                           input=b"", capture_output=True, timeout=20).stdout
    assert b"OCSP Response Status: unauthorized (0x6)" in shown


def test_many_clients_at_a_time(site):
    site.write("server { listen @a ssl; }", workers=2)
    (site.directory / "www" / "file").write_bytes(b"x" * 200_000)
    site.start()
    failures = []

    def client() -> None:
        try:
            for _ in range(3):
                assert len(site.get("a", "/file").body) == 200_000
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert alive(site.process.pid)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start workers as somebody else")
def test_keys_that_only_the_master_can_read_are_taken_up_too(site):
    certificate, key = self_signed(site.directory, "before.test")
    path = site.write(f"server {{ listen @a ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; return 204; }}")
    path.write_text(path.read_text().replace("user root;", "user nobody;"))
    key.chmod(0o600)
    site.start()
    assert common_name(site.port("a")) == "before.test"
    new, new_key = self_signed(site.directory, "after.test")
    certificate.write_text(new.read_text())
    key.write_text(new_key.read_text())
    until(lambda: common_name(site.port("a")) == "after.test", "the new certificate")
