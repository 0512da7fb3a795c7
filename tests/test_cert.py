"""`daemun cert`: certificates for development, and a look at those of others."""

import os
import re
import shutil
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import pytest
from harness import command, environment, run

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")


@pytest.fixture
def cert(tmp_path):
    """Runs `daemun cert ...` with a data directory and a working directory of the test's own."""

    def call(*args, cwd=None, **env):
        work = cwd or tmp_path / "work"
        work.mkdir(exist_ok=True)
        return run("cert", *args, cwd=work, env={"XDG_DATA_HOME": str(tmp_path / "data"), **env})

    call.work = tmp_path / "work"
    call.authority = tmp_path / "data" / "daemun" / "authority"
    return call


def handshake(certificate, key, authority, name):
    """The certificate that a client which trusts `authority` sees."""
    server, client = (ssl.create_default_context(purpose) for purpose in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH))
    server.load_cert_chain(certificate, key)
    client.load_verify_locations(authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ours.getpeercert()


def test_a_certificate_for_localhost_is_trusted_by_who_trusts_the_authority(cert):
    made = cert("dev")
    assert made.returncode == 0, made.stderr
    for name in ["localhost", "127.0.0.1", "::1"]:
        seen = handshake(cert.work / "localhost.pem", cert.work / "localhost-key.pem", cert.authority / "authority.pem", name)
    assert seen["subjectAltName"] == (("DNS", "localhost"), ("IP Address", "127.0.0.1"), ("IP Address", "0:0:0:0:0:0:0:1"))
    end = datetime.strptime(seen["notAfter"], "%b %d %H:%M:%S %Y %Z")
    begin = datetime.strptime(seen["notBefore"], "%b %d %H:%M:%S %Y %Z")
    assert end - begin < timedelta(days=397) and begin < datetime.now(UTC).replace(tzinfo=None) < end
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(cert.work / "localhost.pem", cert.work / "localhost-key.pem", cert.authority / "authority.pem", "other.test")
    assert "made localhost.pem and localhost-key.pem" in made.stdout
    for word in ["update-ca-certificates", "update-ca-trust", "security add-trusted-cert", "Firefox", "curl --cacert",
                 f"Your local authority, made just now, has signed it: {cert.authority}/authority.pem", "--certfile localhost.pem"]:
        assert word in made.stdout, word


def test_the_keys_are_readable_by_nobody_else(cert):
    cert("dev", "shop.test", "--out", "certs", cwd=None)
    for path in [cert.authority / "authority-key.pem", cert.work / "certs" / "shop.test-key.pem"]:
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert cert.authority.stat().st_mode & 0o777 == 0o700
    assert (cert.work / "certs" / "shop.test.pem").stat().st_mode & 0o777 == 0o644
    assert not [path for path in (cert.work / "certs").iterdir() if path.name.startswith(".")]


def test_the_authority_is_made_once_even_by_many_at_a_time(cert, tmp_path):
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(cert("dev", f"n{n}.test"))) for n in range(6)]
    cert.work.mkdir()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.returncode for result in results] == [0] * 6, [result.stderr for result in results]
    assert sum("made just now" in result.stdout for result in results) == 1
    for n in range(6):
        handshake(cert.work / f"n{n}.test.pem", cert.work / f"n{n}.test-key.pem", cert.authority / "authority.pem", f"n{n}.test")


def test_it_renews_what_it_made_and_overwrites_nothing_else(cert):
    assert cert("dev").returncode == 0
    first = (cert.work / "localhost.pem").read_text()
    assert cert("dev").returncode == 0
    assert (cert.work / "localhost.pem").read_text() != first

    (cert.work / "localhost-key.pem").write_text("precious")
    refused = cert("dev")
    assert refused.returncode == 1
    assert refused.stderr == (
        "daemun: localhost-key.pem is there already, and it is not the key of localhost.pem\n"
        "hint: `--out DIR` writes elsewhere, `--force` overwrites it\n"
    )
    (cert.work / "localhost.pem").write_text("precious")
    refused = cert("dev", "localhost")
    assert "localhost.pem is there already, and this command did not make it" in refused.stderr
    assert (cert.work / "localhost.pem").read_text() == "precious"
    assert cert("dev", "--force").returncode == 0
    assert "BEGIN CERTIFICATE" in (cert.work / "localhost.pem").read_text()


@needs_openssl
def test_a_certificate_of_others_stays(cert):
    cert.work.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-keyout", "localhost-key.pem", "-out", "localhost.pem"],
                   cwd=cert.work, check=True, capture_output=True)
    before = (cert.work / "localhost.pem").read_bytes()
    refused = cert("dev")
    assert refused.returncode == 1 and "did not make it" in refused.stderr
    assert (cert.work / "localhost.pem").read_bytes() == before


@pytest.mark.parametrize(("args", "code", "words"), [
    (["dev", "https://localhost"], 2, "is more than a name"),
    (["dev", "localhost:8000"], 2, "leave the port out"),
    (["dev", "--days", "3"], 2, "`daemun cert dev` has no option `--days`"),
    (["make"], 2, "there is no `daemun cert make`"),
    (["show"], 2, "`daemun cert show` needs a file"),
    (["show", "no.pem"], 1, "cannot read no.pem: no such file or directory"),
    (["dev", "--out", "/proc/none"], 1, "cannot write /proc/none/localhost.pem"),
])
def test_errors_say_what_is_wrong(cert, args, code, words):
    result = cert(*args)
    assert result.returncode == code and words in result.stderr, result.stderr
    assert "panic" not in result.stderr and result.stderr.startswith("daemun: ")


def test_a_damaged_authority_is_not_replaced_behind_ones_back(cert):
    assert cert("dev").returncode == 0
    key = cert.authority / "authority-key.pem"
    saved = key.read_text()
    key.write_text(saved[: len(saved) // 2])
    result = cert("dev")
    assert result.returncode == 1 and "the local authority cannot be used" in result.stderr
    assert f"remove {cert.authority}" in result.stderr
    key.unlink()
    assert "cannot read" in cert("dev").stderr
    key.write_text(saved)
    key.chmod(0o644)
    assert "others can read" in cert("dev").stderr


def test_show_tells_what_matters(cert):
    cert("dev", "shop.test", "*.shop.test", "192.0.2.7")
    shown = cert("show", "shop.test.pem")
    assert shown.returncode == 0, shown.stderr
    assert "names    shop.test, *.shop.test, 192.0.2.7\n" in shown.stdout
    assert "issuer" in shown.stdout and "Daemun development authority" in shown.stdout
    assert re.search(r"valid    \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d \(396 days left\)", shown.stdout)
    assert "key      ECDSA P-256\n" in shown.stdout
    assert "the key in shop.test-key.pem belongs to it" in shown.stdout
    cert("dev", "other.test")
    assert "belongs to ANOTHER certificate" in cert("show", "shop.test.pem", "other.test-key.pem").stdout
    authority = cert("show", str(cert.authority / "authority.pem"))
    assert "root authority" in authority.stdout and "itself" in authority.stdout
    only_key = cert("show", "other.test-key.pem")
    assert only_key.returncode == 1 and "has a private key and no certificate" in only_key.stderr


@needs_openssl
@pytest.mark.parametrize(("kind", "words"), [
    (["rsa:2048"], "RSA 2048"), (["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "ECDSA P-384"), (["ed25519"], "Ed25519"),
])
def test_show_reads_openssls_files(cert, kind, words):
    cert.work.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/O=\x1b[31mRed/CN=a", "-days", "3",
                    "-keyout", "both.pem", "-out", "only.pem"], cwd=cert.work, check=True, capture_output=True)
    both = (cert.work / "only.pem").read_text() + (cert.work / "both.pem").read_text()
    (cert.work / "both.pem").write_text(both)
    shown = cert("show", "both.pem")
    assert shown.returncode == 0, shown.stderr
    assert words in shown.stdout and "the key in both.pem belongs to it" in shown.stdout
    assert "\x1b" not in shown.stdout


@needs_openssl
@pytest.mark.parametrize("form", [[], ["-traditional"]])
def test_a_key_under_a_passphrase_is_told_of(cert, form):
    cert("dev")
    subprocess.run(["openssl", "pkey", "-in", "localhost-key.pem", "-aes256", "-passout", "pass:x", *form, "-out", "locked.pem"],
                   cwd=cert.work, check=True, capture_output=True)
    shown = cert("show", "localhost.pem", "locked.pem")
    assert "the key in locked.pem has a passphrase" in shown.stdout, shown


def test_the_help_lists_it():
    assert "daemun cert dev" in run("help").stdout
    assert run("cert").stdout.startswith("usage: daemun cert dev")


def test_a_reader_that_closes_early_is_no_error(cert):
    cert.work.mkdir()
    process = subprocess.Popen(command("cert", "dev"), cwd=cert.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment({"XDG_DATA_HOME": str(cert.authority.parent.parent)}))
    process.stdout.close()
    assert process.wait(20) == 0 and process.stderr.read() == b""
    process.stderr.close()
    assert os.path.exists(cert.work / "localhost.pem")
