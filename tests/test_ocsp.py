"""OCSP: what a responder says is sent along with the server's certificate, and decides about those of clients. The responder
is openssl's; nginx 1.22.1 says and does the same for each case here, where nothing else is said."""

import shutil
import socket
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from harness import until
from test_proxy_tls import AUTHORITY, Pki
from test_tls import Site, free_port, loose
from tls import Certificates

CLIENT = "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n"


class Issuer(Pki):
    """An authority whose certificates name a responder at `port`, and the list that the responder knows."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        access = f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/\n"
        self.issue("root", None, AUTHORITY)
        self.issue("other", None, AUTHORITY)
        self.issue("server", "root", f"basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n{access}")
        self.issue("nobody", "root", "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n")
        self.issue("client", "root", CLIENT + access)
        self.issue("revoked", "root", CLIENT + access)
        self.issue("unknown", "root", CLIENT + access)
        self.issue("nowhere", "root", CLIENT)
        self.issue("sub", "root", AUTHORITY + access)
        self.issue("below", "sub", CLIENT + access)
        self.issue("signer", "root", "extendedKeyUsage=OCSPSigning\n")
        self.issue("thief", "root", "extendedKeyUsage=serverAuth\n")
        read = lambda name: (folder / f"{name}.pem").read_text()
        (folder / "chain.pem").write_text(read("server") + read("root"))
        (folder / "belowchain.pem").write_text(read("below") + read("sub"))
        shutil.copy(folder / "below-key.pem", folder / "belowchain-key.pem")
        self.list("server", "client", "sub", revoked=("revoked",))

    def list(self, *good: str, revoked: tuple[str, ...] = ()) -> None:
        moment = lambda at: at.strftime("%y%m%d%H%M%SZ")
        now = datetime.now(timezone.utc)
        end, lines = moment(now + timedelta(days=30)), []
        for name in (*good, *revoked):
            shown = subprocess.run(["openssl", "x509", "-in", self.folder / f"{name}.pem", "-noout", "-serial"],
                                   capture_output=True, text=True)
            state = ("R", moment(now)) if name in revoked else ("V", "")
            lines.append("\t".join((state[0], end, state[1], shown.stdout.strip().split("=")[1], "unknown", f"/CN={name}")))
        (self.folder / "index.txt").write_text("\n".join(lines) + "\n")

    def respond(self, signer: str = "root", port: int | None = None) -> subprocess.Popen:
        """A responder whose answers are signed by that."""
        said = self.folder / "responder.log"
        with open(said, "wb") as out:
            process = subprocess.Popen(["openssl", "ocsp", "-port", str(port or self.port), "-index", "index.txt", "-CA",
                                        "root.pem", "-rsigner", f"{signer}.pem", "-rkey", f"{signer}-key.pem", "-ndays", "1"],
                                       cwd=self.folder, stdout=out, stderr=out)
        # A question that is none would end it.
        until(lambda: process.poll() is not None or b"waiting for OCSP client" in said.read_bytes(), "the responder to wait")
        assert process.poll() is None, said.read_text()
        return process


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    return Issuer(tmp_path_factory.mktemp("issuer"), free_port())


@pytest.fixture
def responder(issuer):
    """Starts responders and ends them."""
    processes = []

    def start(signer: str = "root", port: int | None = None) -> None:
        processes.append(issuer.respond(signer, port))

    yield start
    for process in processes:
        process.kill()
        process.wait(15)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def site(tmp_path, certificates):
    site = Site(tmp_path, certificates)
    yield site
    site.end()


def own(issuer: Issuer, name: str = "chain") -> str:
    key = "server" if name == "chain" else name
    return f"ssl_certificate {issuer.folder}/{name}.pem; ssl_certificate_key {issuer.folder}/{key}-key.pem;"


def stapled(port: int) -> str:
    """What comes along with a server's certificate: `good`, or nothing."""
    shown = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-status", "-servername", "localhost"],
                           input=b"", capture_output=True)
    state = [line.split(b": ")[1] for line in shown.stdout.splitlines() if b"Cert Status: " in line]
    return state[0].decode() if state else ""


def stapling(site: Site, issuer: Issuer, rules: str) -> None:
    site.write(f"ssl_stapling on; server {{ listen @a ssl; {own(issuer)} {rules} return 204; }}")
    site.start()


@pytest.mark.parametrize("signer", ["root", "signer"])
@pytest.mark.parametrize("rules", ["", "ssl_stapling_verify on; ssl_trusted_certificate @root.pem;"])
def test_an_answer_is_sent_along(site, issuer, responder, signer, rules):
    responder(signer)
    stapling(site, issuer, rules.replace("@", f"{issuer.folder}/"))
    until(lambda: stapled(site.port("a")) == "good", "an answer to come along")


def test_an_answer_of_nobody_is_not_sent_along_where_it_is_checked(site, issuer, responder):
    responder("thief")
    stapling(site, issuer, f"ssl_stapling_verify on; ssl_trusted_certificate {issuer.folder}/root.pem;")
    site.wait_for("OCSP_basic_verify() failed (SSL: missing ocspsigning usage) while requesting certificate status, responder: "
                  f"127.0.0.1, peer: 127.0.0.1:{issuer.port}, certificate: \"{issuer.folder}/chain.pem\"")
    assert stapled(site.port("a")) == ""


def test_an_answer_of_a_strangers_key_is_not_sent_along(site, issuer, responder):
    responder("other")
    stapling(site, issuer, f"ssl_stapling_verify on; ssl_trusted_certificate {issuer.folder}/root.pem;")
    site.wait_for("OCSP_basic_verify() failed (SSL: ")
    assert stapled(site.port("a")) == ""


def test_a_responder_that_is_not_there_is_told_and_the_server_serves(site, issuer):
    stapling(site, issuer, "")
    site.wait_for("failed (111: Connection refused) while requesting certificate status, responder: 127.0.0.1, peer: "
                  f"127.0.0.1:{issuer.port}, certificate: \"{issuer.folder}/chain.pem\"")
    assert stapled(site.port("a")) == ""
    assert site.get("a", context=loose()).status == 204


@pytest.mark.parametrize(("answer", "why"), [
    (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nhello", 'OCSP responder sent invalid "Content-Type" header: "text/html"'),
    (b"hello\r\n\r\n", "OCSP responder sent invalid response"),
    (b"", "OCSP responder prematurely closed connection"),
    (b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n\x30\x03\x0a\x01\x06",
     "OCSP response not successful (6: unauthorized)"),
    (b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\nhello", "d2i_OCSP_RESPONSE() failed"),
    (b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n" + bytes(1_000_000), "OCSP responder sent too big response"),
])
def test_an_answer_that_is_none_is_told(site, issuer, answer, why):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        stapling_port = listener.getsockname()[1]
        site.write(f"ssl_stapling on; ssl_stapling_responder http://127.0.0.1:{stapling_port}/path; "
                   f"server {{ listen @a ssl; {own(issuer)} return 204; }}")
        site.start()
        connection, _ = listener.accept()
        with connection:
            asked = connection.recv(10_000)
            assert asked.startswith(b"GET /path/M") and asked.endswith(b"\r\n\r\n")
            try:
                connection.sendall(answer)
            except ConnectionError:
                pass
        site.wait_for(f"{why} while requesting certificate status, responder: 127.0.0.1, peer: 127.0.0.1:{stapling_port}")
    assert stapled(site.port("a")) == ""


def test_certificates_that_cannot_be_asked_for_are_warned_of(site, issuer):
    trusted = f"ssl_trusted_certificate {issuer.folder}/root.pem;"
    for rules, why in [
        (f"{own(issuer, 'nobody')} {trusted}", f'no OCSP responder URL in the certificate "{issuer.folder}/nobody.pem"'),
        (own(issuer, "server"), f'issuer certificate not found for certificate "{issuer.folder}/server.pem"'),
        (f"{own(issuer)} ssl_stapling_responder https://a/;",
         f'invalid URL prefix in OCSP responder "https://a/" in the certificate "{issuer.folder}/chain.pem"'),
    ]:
        site.write(f"server {{ listen @a ssl; ssl_stapling on; {rules} return 204; }}")
        checked = site.check()
        assert checked.returncode == 0 and f'[warn] "ssl_stapling" ignored, {why}' in checked.stderr, checked.stderr


def shown(issuer: Issuer, name: str | None) -> ssl.SSLContext:
    context = loose()
    if name:
        context.load_cert_chain(issuer.folder / f"{name}.pem", issuer.folder / f"{name}-key.pem")
    return context


def verify(issuer: Issuer, rules: str) -> str:
    return (f"server {{ listen @a ssl; {own(issuer)} ssl_verify_client optional; ssl_verify_depth 3; "
            f"ssl_client_certificate {issuer.folder}/root.pem; {rules} error_page 495 = /wrong; "
            "location / { return 200 \"$ssl_client_verify\"; } location = /wrong { return 403 \"$ssl_client_verify\"; } }")


def answers(site: Site, issuer: Issuer, *names: str | None) -> list[tuple[int, str]]:
    got = []
    for name in names:
        answer = site.get("a", context=shown(issuer, name))
        got.append((answer.status, answer.body.decode()))
    return got


def test_clients_whose_certificates_are_revoked_are_refused(site, issuer, responder):
    responder("signer")
    site.write(verify(issuer, "ssl_ocsp on;"))
    site.start()
    assert answers(site, issuer, None, "client", "revoked", "unknown", "nowhere") == [
        (200, "NONE"), (200, "SUCCESS"), (403, "FAILED:certificate revoked"), (403, "FAILED:certificate status unknown"),
        (403, "FAILED:certificate status request failed")]
    assert "client SSL certificate verify error: certificate revoked while reading client request headers" in site.log
    assert "no OCSP responder URL in certificate while SSL handshaking, client: 127.0.0.1" in site.log


def test_without_an_error_page_they_get_400(site, issuer, responder):
    responder()
    site.write(verify(issuer, "ssl_ocsp on;").replace("error_page 495 = /wrong;", ""))
    site.start()
    (status, page), = answers(site, issuer, "revoked")
    assert status == 400 and "The SSL certificate error" in page


def test_the_whole_chain_is_asked_for_or_only_the_clients_own(site, issuer, responder):
    """`below` is unknown to the responder, and so is signed by an authority that it does not speak for."""
    responder()
    site.write(verify(issuer, f"ssl_ocsp on; ssl_ocsp_responder http://127.0.0.1:{issuer.port};"))
    site.start()
    assert answers(site, issuer, "client", "nowhere", "belowchain") == [
        (200, "SUCCESS"), (403, "FAILED:certificate status unknown"), (403, "FAILED:certificate status request failed")]


@pytest.mark.parametrize("signer", ["thief", "other", None])
def test_nobody_else_may_say_that_a_client_is_good(site, issuer, responder, signer):
    if signer:
        responder(signer)
    site.write(verify(issuer, "ssl_ocsp leaf;"))
    site.start()
    assert answers(site, issuer, "client", None) == [(403, "FAILED:certificate status request failed"), (200, "NONE")]
    assert f"while requesting certificate status, responder: 127.0.0.1, peer: 127.0.0.1:{issuer.port}" in site.log


def test_what_was_said_is_remembered_by_all_workers(site, issuer):
    process = issuer.respond()
    site.write(verify(issuer, "ssl_ocsp on; ssl_ocsp_cache shared:answers:100k;"), workers=2)
    site.start()
    expected = [(200, "SUCCESS"), (403, "FAILED:certificate revoked")]
    assert answers(site, issuer, "client", "revoked") == expected
    process.kill()
    process.wait(15)
    for _ in range(6):
        assert answers(site, issuer, "client", "revoked") == expected
    assert answers(site, issuer, "unknown") == [(403, "FAILED:certificate status request failed")]


def test_a_responder_that_says_nothing_holds_up_nobody_else(site, issuer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = listener.getsockname()[1]
        site.write(verify(issuer, f"ssl_ocsp on; ssl_ocsp_responder http://127.0.0.1:{silent};"))
        site.start()
        raw = socket.create_connection(("127.0.0.1", site.port("a")))
        with shown(issuer, "client").wrap_socket(raw, server_hostname="localhost") as held:
            held.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection, _ = listener.accept()
            with connection:
                assert answers(site, issuer, None) == [(200, "NONE")]
                held.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    held.recv(100)
            held.settimeout(20)
            assert held.recv(100).startswith(b"HTTP/1.1 403")
