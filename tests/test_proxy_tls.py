"""TLS to servers that requests are passed on to: what is checked of their certificates, sessions, certificates that are
shown to them. The servers are Python's ssl; the words for what is wrong with a certificate are nginx's."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from harness import DAEMUN, PATIENCE, Connection, environment, until

SERVER = "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName="
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"


class Pki:
    """A folder of certificates, by openssl: two authorities, one below the first, servers and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.issue("root", None, AUTHORITY)
        self.issue("other", None, AUTHORITY)
        self.issue("sub", "root", AUTHORITY)
        self.issue("good", "root", SERVER + "DNS:good.example,DNS:*.wild.example,IP:127.0.0.1\n")
        self.issue("revoked", "root", SERVER + "DNS:good.example\n")
        self.issue("expired", "root", SERVER + "DNS:good.example\n", days=-1)
        self.issue("below", "sub", SERVER + "DNS:good.example\n")
        self.issue("selfsigned", None, SERVER + "DNS:good.example\n")
        self.issue("commonname", "root", "basicConstraints=CA:FALSE\n", "/O=Servers/CN=good.example")
        self.issue("client", "root", "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
        self.openssl("ec", "-in", "client-key.pem", "-aes256", "-passout", "pass:secret", "-out", "client-locked.pem")
        (folder / "passwords").write_text("wrong\nsecret\n")
        read = lambda name: (folder / f"{name}.pem").read_text()
        (folder / "chain.pem").write_text(read("below") + read("sub"))
        (folder / "both.pem").write_text(read("root") + read("sub"))
        shutil.copy(folder / "below-key.pem", folder / "chain-key.pem")
        (folder / "index.txt").write_text("")
        (folder / "number").write_text("01\n")
        (folder / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n"
                                       "default_crl_days=30\n")
        authority = ("ca", "-config", "ca.cnf", "-cert", "root.pem", "-keyfile", "root-key.pem")
        self.openssl(*authority, "-revoke", "revoked.pem")
        self.openssl(*authority, "-gencrl", "-out", "list.pem")

    def openssl(self, *args: object) -> None:
        done = subprocess.run(["openssl", *map(str, args)], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def issue(self, name: str, issuer: str | None, extensions: str, subject: str = "", days: int = 30) -> None:
        (self.folder / f"{name}.ext").write_text(extensions)
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", subject or f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")
        by = ("-CA", f"{issuer}.pem", "-CAkey", f"{issuer}-key.pem", "-CAcreateserial") if issuer else \
            ("-signkey", f"{name}-key.pem")
        self.openssl("x509", "-req", "-in", f"{name}.csr", *by, "-days", days, "-extfile", f"{name}.ext",
                     "-out", f"{name}.pem")


class Backend:
    """A server that tells what it knows of the TLS of a connection; one request on each, unless it `stays`."""

    def __init__(self, pki: Pki, name: str = "good", *, wants_client: bool = False, stays: bool = False,
                 alpn: tuple[str, ...] = (), **settings) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pki.folder / f"{name}.pem", pki.folder / f"{name}-key.pem")
        if wants_client:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(pki.folder / "root.pem")
        if alpn:
            self.context.set_alpn_protocols(list(alpn))
        for key, value in settings.items():
            setattr(self.context, key, value)
        self.context.sni_callback = lambda connection, server_name, context: self.names.append(server_name)
        self.stays, self.names, self.connections = stays, [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw: socket.socket) -> None:
        raw.settimeout(PATIENCE)
        try:
            with self.context.wrap_socket(raw, server_side=True) as connection:
                while self.answer(connection) and self.stays:
                    pass
        except OSError:
            pass

    def answer(self, connection: ssl.SSLSocket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        length = int(length[1]) if length else 0
        got = len(body)
        while got < length:
            got += len(connection.recv(1 << 20))
        subject = connection.getpeercert().get("subject") if connection.getpeercert() else None
        known = {"version": connection.version(), "cipher": connection.cipher()[0], "reused": connection.session_reused,
                 "name": self.names[-1] if self.names else None, "got": got,
                 "client": subject and dict(pair for rdn in subject for pair in rdn)["commonName"]}
        text = json.dumps(known).encode()
        size = re.search(rb"^GET /size/(\d+)", data)
        if size:
            text = bytes(int(size[1]))
        end = b"" if self.stays else b"Connection: close\r\n"
        connection.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (end, len(text)) + text)
        return True


class Site:
    """A server that passes on, with a location for each of its rules."""

    def __init__(self, directory: Path, pki: Pki) -> None:
        self.directory, self.pki, self.process = directory, pki, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (directory / "logs").mkdir()

    def write(self, **rules: tuple[Backend, str]) -> "Site":
        """`@name` in rules is a file of the certificates' folder."""
        locations = "".join(f"location /{name} {{ proxy_pass https://127.0.0.1:{backend.port}; {rule} }}\n"
                            for name, (backend, rule) in rules.items())
        locations = re.sub(r"@(\S+?);", lambda found: f"{self.pki.folder}/{found[1]};", locations)
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 1; pid logs/nginx.pid; error_log logs/error.log info;\n"
            f"events {{}}\nhttp {{ access_log off; client_max_body_size 0; server {{ listen 127.0.0.1:{self.port};\n{locations} }} }}\n")
        return self

    def command(self) -> list[str]:
        return [str(DAEMUN), "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")]

    def check(self) -> str:
        checked = subprocess.run([*self.command(), "-t"], env=environment(), capture_output=True, text=True, timeout=40)
        return checked.stderr

    def start(self) -> "Site":
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(self.command(), env=environment(), stdin=subprocess.DEVNULL, stdout=err,
                                            stderr=err, start_new_session=True)
        until(lambda: self.process.poll() is not None or self.serves(), "the site to serve")
        assert self.process.poll() is None, (self.directory / "stderr").read_text()
        return self

    def serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return False
        return (self.directory / "logs" / "nginx.pid").exists()

    def get(self, path: str):
        with Connection(("127.0.0.1", self.port)) as connection:
            return connection.request("GET", path, [("Host", "localhost"), ("Connection", "close")]).response()

    def known(self, path: str) -> dict:
        answer = self.get(path)
        assert answer.status == 200, self.log
        return json.loads(answer.body)

    @property
    def log(self) -> str:
        return (self.directory / "logs" / "error.log").read_text()

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def site(tmp_path, pki):
    site = Site(tmp_path, pki)
    yield site
    site.end()


VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate @root.pem; proxy_ssl_name good.example;"
OLDER = {"maximum_version": ssl.TLSVersion.TLSv1_2}


def test_requests_and_answers_of_all_sizes_pass(site, pki):
    newer, older = Backend(pki, stays=True), Backend(pki, stays=True, **OLDER)
    site.write(newer=(newer, "rewrite ^/newer(.*) $1 break;"), older=(older, "rewrite ^/older(.*) $1 break;")).start()
    for name, version in (("newer", "TLSv1.3"), ("older", "TLSv1.2")):
        assert site.known(f"/{name}/x")["version"] == version
        for size in (0, 1, 16384, 16385, 3_000_000):
            answer = site.get(f"/{name}/size/{size}")
            assert (answer.status, len(answer.body)) == (200, size)
            with Connection(("127.0.0.1", site.port)) as connection:
                fields = [("Host", "localhost"), ("Content-Length", str(size)), ("Connection", "close")]
                connection.request("POST", f"/{name}/up", fields)
                connection.socket.sendall(bytes(size))
                assert json.loads(connection.response().body)["got"] == size
    assert (newer.connections, older.connections) == (1, 1), "connections are kept"


def test_sessions_are_used_again(site, pki):
    rules = {"yes": "", "no": "proxy_ssl_session_reuse off;", "checked": VERIFY}
    site.write(**{f"{name}{version}": (Backend(pki, **({} if version else OLDER)), rule)
                  for name, rule in rules.items() for version in ("", "13")}).start()
    for name in rules:
        for version in ("", "13"):
            assert [site.known(f"/{name}{version}")["reused"] for _ in range(3)] == [False] + [name != "no"] * 2


def test_the_name_is_told_when_that_is_wanted(site, pki):
    backend = Backend(pki)
    on = "proxy_ssl_server_name on;"
    site.write(silent=(backend, VERIFY), told=(backend, VERIFY + on), variable=(backend, f"proxy_ssl_name $arg_n; {on}"),
               address=(backend, on)).start()
    assert [site.known(path)["name"] for path in ("/silent", "/told", "/variable?n=a.example:8443", "/address")] == \
        [None, "good.example", "a.example", None]


def test_certificates_are_checked_as_nginx_does(site, pki):
    """Each reason is what nginx 1.22.1 with OpenSSL 3 says of the same certificates."""
    other = VERIFY.replace("root.pem", "other.pem")
    cases = {
        "good": ("good", VERIFY, None),
        "wildcard": ("good", VERIFY.replace("good.example", "a.wild.example"), None),
        "wildcard2": ("good", VERIFY.replace("good.example", "a.b.wild.example"), "does not match \"a.b.wild.example\""),
        "name": ("good", VERIFY.replace("good.example", "bad.example"), "does not match \"bad.example\""),
        # nginx knows no addresses in certificates.
        "address": ("good", VERIFY.replace("good.example", "127.0.0.1"), None),
        "commonname": ("commonname", VERIFY, None),
        "unchecked": ("expired", "", None),
        "expired": ("expired", VERIFY, "verify error: (10:certificate has expired)"),
        "selfsigned": ("selfsigned", VERIFY, "verify error: (18:self-signed certificate)"),
        "trusted": ("selfsigned", VERIFY.replace("root.pem", "selfsigned.pem"), None),
        "below": ("below", VERIFY, "verify error: (21:unable to verify the first certificate)"),
        "helped": ("below", VERIFY.replace("root.pem", "both.pem"), None),
        "chain": ("chain", VERIFY, None),
        "depth": ("chain", VERIFY + "proxy_ssl_verify_depth 0;", "verify error: (20:unable to get local issuer certificate)"),
        "other": ("good", other, "verify error: (21:unable to verify the first certificate)"),
        "purpose": ("client", VERIFY, "verify error: (26:unsuitable certificate purpose)"),
        "revoked": ("revoked", VERIFY + "proxy_ssl_crl @list.pem;", "verify error: (23:certificate revoked)"),
        "listed": ("good", VERIFY + "proxy_ssl_crl @list.pem;", None),
        "nolist": ("chain", VERIFY + "proxy_ssl_crl @list.pem;", "verify error: (3:unable to get certificate CRL)"),
    }
    backends = {name: Backend(pki, name) for name, _, _ in cases.values()}
    site.write(**{path: (backends[name], rule) for path, (name, rule, _) in cases.items()}).start()
    for path, (_, _, why) in cases.items():
        before = len(site.log)
        statuses = [site.get(f"/{path}").status for _ in range(2)]
        assert statuses == [502 if why else 200] * 2, (path, site.log[before:])
        if why:
            line = f"upstream SSL certificate {why} while SSL handshaking to upstream, client: 127.0.0.1, server: "
            assert site.log[before:].count(line) == 2, (path, site.log[before:])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_shown_to_servers_that_want_one(site, pki, version):
    backend = Backend(pki, wants_client=True, maximum_version=version)
    folder = pki.folder
    data = (folder / "client.pem").read_text().replace("\n", "\\n")
    own = "proxy_ssl_certificate @client.pem;"
    site.write(without=(backend, ""), plain=(backend, f"{own} proxy_ssl_certificate_key @client-key.pem;"),
               locked=(backend, f"{own} proxy_ssl_certificate_key @client-locked.pem; proxy_ssl_password_file @passwords;"),
               data=(backend, f"proxy_ssl_certificate \"data:{data}\"; proxy_ssl_certificate_key @client-key.pem;")).start()
    assert site.get("/without").status == 502
    assert [site.known(path)["client"] for path in ("/plain", "/locked", "/data")] == ["client"] * 3


def test_the_certificate_that_is_shown_may_depend_on_the_request(site, pki):
    pki.issue("second", "root", "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
    backend = Backend(pki, wants_client=True, stays=True)
    rules = (f"proxy_ssl_certificate {pki.folder}/$arg_c.pem; proxy_ssl_certificate_key {pki.folder}/$arg_c-key.pem; "
             "proxy_ssl_certificate_cache max=10 valid=1m;")
    optional = "set $c \"\"; proxy_ssl_certificate $c; proxy_ssl_certificate_key $c;"
    site.write(a=(backend, rules), none=(Backend(pki), optional)).start()
    names = ("client", "second", "client", "second")
    assert [site.known(f"/a?c={name}")["client"] for name in names] == list(names)
    assert backend.connections == 2, "connections are kept, each for its certificate"
    assert site.known("/none")["client"] is None
    assert site.get("/a?c=missing").status == 500
    assert f'cannot load certificate "{pki.folder}/missing.pem": BIO_new_file() failed (2: No such file' in site.log


def test_protocols_and_ciphers_are_chosen(site, pki):
    newer, older = Backend(pki), Backend(pki, **OLDER)
    site.write(old=(newer, "proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305;"),
               suites=(newer, "proxy_ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"),
               none=(older, "proxy_ssl_protocols TLSv1.3;"),
               keys=(newer, f"proxy_ssl_key_log {site.directory}/keys;")).start()
    known = site.known("/old")
    assert (known["version"], known["cipher"]) == ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
    assert site.known("/suites")["cipher"] == "TLS_CHACHA20_POLY1305_SHA256"
    assert site.get("/none").status == 502
    assert ("SSL_do_handshake() failed (SSL: error:0A00042E:SSL routines::tlsv1 alert protocol version:SSL alert number 70) "
            "while SSL handshaking to upstream, client: 127.0.0.1") in site.log
    assert site.known("/keys")
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in (site.directory / "keys").read_text()


def test_what_does_not_speak_tls_or_is_silent_is_no_server(site, pki):
    class Plain(Backend):
        def serve(self, raw: socket.socket) -> None:
            with raw:
                raw.settimeout(PATIENCE)
                raw.recv(10_000)
                if self.stays:
                    until(lambda: not raw.recv(10_000), "the end")
                else:
                    raw.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    plain, silent = Plain(pki), Plain(pki, stays=True)
    site.write(plain=(plain, ""), silent=(silent, "proxy_connect_timeout 1s;")).start()
    assert [site.get("/plain").status, site.get("/silent").status] == [502, 504]
    assert ("SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to "
            "upstream, client: 127.0.0.1") in site.log
    assert "upstream timed out (110: Connection timed out) while SSL handshaking to upstream" in site.log


def test_what_was_upgraded_passes_both_ways(site, pki):
    class Echo(Backend):
        def answer(self, connection: ssl.SSLSocket) -> bool:
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while more := connection.recv(65536):
                connection.sendall(more)
            return False

    upgrade = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
    site.write(echo=(Echo(pki), upgrade)).start()
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("GET", "/echo", [("Host", "localhost"), ("Connection", "Upgrade"), ("Upgrade", "echo")])
        assert connection.head().status == 101
        said = os.urandom(2_000_000)
        threading.Thread(target=connection.socket.sendall, args=(said,), daemon=True).start()
        heard = bytearray()
        while len(heard) < len(said):
            heard += connection.socket.recv(1 << 20)
        assert heard == said


@pytest.mark.parametrize(("rule", "why"), [
    ("proxy_ssl_verify on;", "no proxy_ssl_trusted_certificate for proxy_ssl_verify"),
    ("proxy_ssl_certificate @client.pem;",
     "no \"proxy_ssl_certificate_key\" is defined for certificate \"@client.pem\""),
    ("proxy_ssl_certificate @none.pem; proxy_ssl_certificate_key @client-key.pem;", "cannot load certificate \"@none.pem\""),
    ("proxy_ssl_certificate @client.pem; proxy_ssl_certificate_key @good-key.pem;", "key values mismatch"),
    ("proxy_ssl_verify on; proxy_ssl_trusted_certificate @passwords;",
     "SSL_CTX_load_verify_locations(\"@passwords\") failed"),
    ("proxy_ssl_protocols TLSv1.4;", "invalid value \"TLSv1.4\""),
    ("proxy_ssl_ciphers NOPE;", "SSL_CTX_set_cipher_list(\"NOPE\") failed"),
    ("proxy_ssl_conf_command Foo bar;", "SSL_CONF_cmd(\"Foo\", \"bar\") failed"),
    ("proxy_ssl_verify on; proxy_ssl_verify off;", "\"proxy_ssl_verify\" directive is duplicate"),
])
def test_what_is_wrong_is_told_at_the_start(site, pki, rule, why):
    site.write(a=(Backend(pki), rule))
    told = site.check()
    assert re.sub(r"@(\w[\w.-]*)", lambda found: f"{pki.folder}/{found[1]}", why) in told and "failed" in told, told
