"""TLS on Gunicorn's and Uvicorn's command line: the flags, and what applications see of it."""

import ast
import json
import os
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest
from harness import APPS, ROOT, Connection, Server, environment, python_program, run, until
from tls import Certificates, TlsConnection

ADA = "/C=DE/O=Work, shop & co/CN=Ada Lovelace"
ADA_NAME = "CN=Ada Lovelace,O=Work\\, shop & co,C=DE"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


def ask(server, certs, path="/", headers=(), *, client=None, name="localhost", **versions):
    with TlsConnection(server.port, certs.context(client, **versions), name) as connection:
        return connection.request("GET", path, [*headers, ("Connection", "close")]).response()


def environ(server, certs, **how):
    response = ask(server, certs, **how)
    assert response.status == 200, response
    return json.loads(response.body)["environ"]


def scope_of(server, certs, **how):
    response = ask(server, certs, **how)
    assert response.status == 200, response
    return ast.literal_eval(response.body.decode())


def tls_keys(environ):
    return {key: value for key, value in environ.items() if key == "HTTPS" or key.startswith("SSL_")}


# The flags.


@pytest.mark.parametrize("way", ["gunicorn", "uvicorn", "variables", "file", "arguments"])
def test_every_way_to_say_it(serve, certs, tmp_path, way):
    certificate, key = str(certs.certificate), str(certs.key)
    env = {}
    if way == "gunicorn":
        line = ["info", "--certfile", certificate, "--keyfile", key]
    elif way == "uvicorn":
        line = ["info", "--ssl-certfile", certificate, "--ssl-keyfile", key]
    elif way == "variables":
        line, env = ["info"], {"UVICORN_SSL_CERTFILE": certificate, "UVICORN_SSL_KEYFILE": key}
    elif way == "file":
        config = tmp_path / "gunicorn.conf.py"
        config.write_text(f"certfile = {certificate!r}\nkeyfile = {key!r}\n")
        line = ["info", "-c", config]
    else:
        line, env = ["info"], {"GUNICORN_CMD_ARGS": f"--certfile {certificate} --keyfile {key}"}
    server = serve(*line, env=env)
    assert server.addresses == [f"https://127.0.0.1:{server.port}"]
    seen = environ(server, certs)
    assert seen["HTTP_HOST"] == "localhost"
    assert json.loads(ask(server, certs).body)["wsgi"]["wsgi.url_scheme"] == "https"


def test_one_file_may_have_both_and_paths_begin_at_chdir(serve, certs, tmp_path):
    (tmp_path / "both.pem").write_text(certs.certificate.read_text() + certs.key.read_text())
    (tmp_path / "app.py").write_text((APPS / "info.py").read_text())
    server = serve("app", "--chdir", tmp_path, "--certfile", "both.pem")
    assert environ(server, certs)["HTTPS"] == "on"


def test_plain_http_to_the_port_is_answered_400(serve, certs):
    server = serve("info", "--certfile", certs.certificate, "--keyfile", certs.key)
    assert server.get().status == 400


@pytest.mark.parametrize("form", [[], ["-traditional"]])
def test_a_password_opens_the_key_and_is_shown_nowhere(serve, certs, tmp_path, form):
    locked = tmp_path / "locked.pem"
    certs.openssl("pkey", "-in", certs.key, "-aes256", "-passout", "pass:hunter 2", *form, "-out", locked)
    line = ["info", "--certfile", certs.certificate, "--keyfile", locked]
    server = serve(*line, env={"UVICORN_SSL_KEYFILE_PASSWORD": "hunter 2"})
    assert environ(server, certs)["HTTPS"] == "on"
    shown = run(*line, "-T", env={"UVICORN_SSL_KEYFILE_PASSWORD": "hunter 2"})
    assert shown.returncode == 0 and "ssl_certificate_key" in shown.stdout and "ssl_password_file" in shown.stderr
    printed = run(*line, "--print-config", env={"UVICORN_SSL_KEYFILE_PASSWORD": "hunter 2"})
    for text in (shown.stdout, shown.stderr, printed.stdout, printed.stderr, server.log):
        assert "hunter" not in text
    wrong = run(*line, "--ssl-keyfile-password", "guess", "-b", "127.0.0.1:0")
    assert wrong.returncode == 1 and "locked.pem" in wrong.stderr and "guess" not in wrong.stderr, wrong.stderr
    none = run(*line, "-b", "127.0.0.1:0")
    assert none.returncode == 1 and "locked.pem" in none.stderr, none.stderr


def broken_files(certs, folder):
    half = certs.certificate.read_text()
    (folder / "half.pem").write_text(half[: len(half) // 2])
    (folder / "text.pem").write_text("no certificate")
    certs.make("other.test")
    return {
        "missing": ("no.pem", certs.key), "half-written": ("half.pem", certs.key), "text": ("text.pem", certs.key),
        "no-key": (certs.certificate, "no-key.pem"), "foreign-key": (certs.certificate, certs.folder / "other.test-key.pem"),
    }


@pytest.mark.parametrize("name", ["missing", "half-written", "text", "no-key", "foreign-key"])
@pytest.mark.parametrize("check", [[], ["--check-config"]], ids=["start", "check"])
def test_files_that_do_not_work_are_an_error_that_names_them(certs, tmp_path, name, check):
    certificate, key = broken_files(certs, tmp_path)[name]
    result = run(f"{APPS.name}:app", "--chdir", tmp_path, "--certfile", certificate, "--keyfile", key, "-b", "127.0.0.1:0", *check)
    assert result.returncode == 1, result.stderr
    named = key if name in ("no-key", "foreign-key") else certificate
    assert Path(named).name in result.stderr, result.stderr
    assert "panicked" not in result.stderr and "Listening" not in result.stderr


@pytest.mark.parametrize(("line", "words"), [
    (["--keyfile", "k.pem"], "a key alone is not enough for TLS"),
    (["--certfile", "c.pem", "--cert-reqs", "2"], "nobody is named whose certificates clients may have"),
    (["--ssl-cert-reqs", "1"], "there is no `certfile`"),
    (["--http-protocols", "h3"], "HTTP/3 is not supported yet"),
])
def test_what_makes_no_sense_is_refused(line, words):
    result = run("info", *line, "-b", "127.0.0.1:0")
    assert result.returncode == 1 and words in result.stderr, result.stderr


def test_a_hook_for_the_context_is_an_error(certs, tmp_path):
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(f"certfile = {str(certs.certificate)!r}\ndef ssl_context(config, default):\n    return default()\n")
    result = run("info", "-c", config, "-b", "127.0.0.1:0")
    assert result.returncode == 1 and "cannot be used: TLS does not go through Python" in result.stderr
    assert "hint: take it out; `certfile`, `keyfile`, `ca_certs`, `cert_reqs` and `ciphers` are settings" in result.stderr


def test_what_has_no_effect_is_told(serve, certs):
    server = serve("info", "--certfile", certs.certificate, "--keyfile", certs.key, "--ssl-version", "TLSv1", "--do-handshake-on-connect")
    assert "`--ssl-version` has no effect" in server.log and "`--do-handshake-on-connect` has no effect" in server.log
    assert environ(server, certs)["SSL_PROTOCOL"] == "TLSv1.3"


def test_ciphers(serve, certs):
    line = ["info", "--certfile", certs.certificate, "--keyfile", certs.key, "--ciphers"]
    server = serve(*line, "ECDHE-ECDSA-AES256-GCM-SHA384")
    seen = environ(server, certs, maximum_version=ssl.TLSVersion.TLSv1_2)
    assert (seen["SSL_PROTOCOL"], seen["SSL_CIPHER"]) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    result = run(*line, "no-such-cipher", "-b", "127.0.0.1:0")
    assert result.returncode == 1 and '"no-such-cipher" is no cipher of OpenSSL' in result.stderr, result.stderr
    assert result.stderr.startswith("daemun: SSL_CTX_set_cipher_list"), result.stderr
    partly = serve(*line, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA")
    partly.wait_for_log("not supported and left out: ECDHE-ECDSA-AES128-SHA")


def test_http2_comes_with_tls_unless_it_is_left_out(serve, certs):
    def chosen(server):
        with TlsConnection(server.port, certs.context(alpn=("h2", "http/1.1"))) as connection:
            return connection.socket.selected_alpn_protocol()

    line = ["info", "--certfile", certs.certificate, "--keyfile", certs.key]
    assert chosen(serve(*line)) == "h2"
    assert chosen(serve(*line, "--http-protocols", "h1")) == "http/1.1"


def test_the_tree_that_it_stands_for_serves_the_same(certs, tmp_path):
    printed = run("info", "--certfile", certs.certificate, "--keyfile", certs.key, "--ca-certs", certs.clients, "--cert-reqs", "1",
                  "--ciphers", "HIGH", "-b", "127.0.0.1:21590", "-T")
    assert printed.returncode == 0, printed.stderr
    for line in ["listen 127.0.0.1:21590 backlog=2048 ssl;", f"ssl_certificate {certs.certificate};", "http2 on;",
                 f"ssl_certificate_key {certs.key};", f"ssl_client_certificate {certs.clients};", "ssl_verify_client optional;",
                 "ssl_ciphers HIGH;"]:
        assert line in printed.stdout, printed.stdout
    assert printed.stdout.count("listen ") == 1
    (tmp_path / "nginx.conf").write_text(printed.stdout)
    (tmp_path / "logs").mkdir()
    tested = run("-t", "-c", tmp_path / "nginx.conf", "-p", tmp_path)
    assert tested.returncode == 0, tested.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the user")
def test_workers_need_not_be_able_to_read_the_key(certs):
    # The application imports nothing: the interpreter's own files may be closed to others, too.
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="daemun-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "who.py").write_text(
            "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%d' % os.getuid()]\n"
        )
        line = ["who", "-u", "nobody", "--certfile", certs.certificate, "--keyfile", certs.key]
        with Server(*line, directory=folder, cwd=folder, ready=False) as server:
            assert certs.key.stat().st_mode & 0o077 == 0
            until(lambda: server.workers(), "a worker")
            assert ask(server, certs).body == b"%d" % nobody.pw_uid
            old = server.workers()
            os.kill(old[0], signal.SIGKILL)
            until(lambda: server.workers() and server.workers() != old, "another worker")
            assert ask(server, certs).body == b"%d" % nobody.pw_uid, "one that was started later"


def test_a_reload_takes_a_new_certificate_and_keeps_the_old_one_when_it_is_broken(serve, certs, tmp_path):
    for source, name in ((certs.certificate, "c.pem"), (certs.key, "k.pem")):
        shutil.copy(source, tmp_path / name)
    server = serve("info", "--certfile", tmp_path / "c.pem", "--keyfile", tmp_path / "k.pem")

    def shown(name="localhost"):
        with TlsConnection(server.port, certs.context(), name) as connection:
            return dict(pair for part in connection.socket.getpeercert()["subject"] for pair in part)["commonName"]

    assert shown() == "localhost"
    old = server.workers()
    certs.make("renewed.test", "localhost")
    shutil.copy(certs.folder / "renewed.test-key.pem", tmp_path / "k.pem")
    shutil.copy(certs.folder / "renewed.test.pem", tmp_path / "c.pem")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    until(lambda: shown() == "renewed.test", "the new certificate")
    (tmp_path / "c.pem").write_text("half of it")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"c\.pem")
    assert shown() == "renewed.test"


def test_daemun_run_takes_the_keywords_and_paths(certs, tmp_path):
    (tmp_path / "main.py").write_text(
        "import json, pathlib, ssl\nimport daemun\n\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [environ['wsgi.url_scheme'].encode(), environ['SSL_CLIENT_VERIFY'].encode()]\n\n"
        "if __name__ == '__main__':\n"
        f"    daemun.run('main:application', port=0, ssl_certfile=pathlib.Path({str(certs.certificate)!r}),\n"
        f"               ssl_keyfile={str(certs.key)!r}, ssl_ca_certs={str(certs.clients)!r}, ssl_cert_reqs=ssl.CERT_OPTIONAL)\n"
    )
    with Server(directory=tmp_path, cwd=tmp_path, program=python_program("main.py"), bind=None) as server:
        assert server.addresses == [f"https://127.0.0.1:{server.port}"]
        assert ask(server, certs).body == b"httpsNONE"


# What applications see.


@pytest.fixture(scope="module")
def wsgi(serve_all, certs):
    return serve_all("info", "--certfile", certs.certificate, "--keyfile", certs.key, "--ca-certs", certs.clients, "--cert-reqs", "1")


@pytest.fixture(scope="module")
def asgi(serve_all, certs):
    return serve_all("asgi_scope", "--certfile", certs.certificate, "--keyfile", certs.key, "--ca-certs", certs.clients, "--cert-reqs", "1")


def test_the_environ_has_apaches_names(wsgi, certs):
    seen = tls_keys(environ(wsgi, certs))
    assert re.fullmatch("TLS_(AES|CHACHA20)_[A-Z0-9_]+", seen.pop("SSL_CIPHER"))
    assert seen == {"HTTPS": "on", "SSL_PROTOCOL": "TLSv1.3", "SSL_TLS_SNI": "localhost", "SSL_CLIENT_VERIFY": "NONE"}
    assert "SSL_TLS_SNI" not in environ(wsgi, certs, name="127.0.0.1"), "an address is no name"


def test_without_tls_there_is_nothing_of_it(serve):
    server = serve("info")
    assert not tls_keys(server.json("/")["environ"])
    spoofed = server.json("/", headers=[("X-Forwarded-Proto", "https"), ("Ssl-Client-Verify", "SUCCESS"), ("Https", "on")])
    assert spoofed["wsgi"]["wsgi.url_scheme"] == "https", "that is what a trusted proxy says"
    assert not tls_keys(spoofed["environ"]), "and these are no fields"


def test_a_verified_client_is_in_the_environ(wsgi, certs):
    client = certs.client("ada", ADA)
    seen = tls_keys(environ(wsgi, certs, client=client))
    assert seen["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert seen["SSL_CLIENT_S_DN"] == ADA_NAME
    assert seen["SSL_CLIENT_I_DN"] == "CN=Authority of clients,O=Clients"
    assert seen["SSL_CLIENT_M_SERIAL"] == "1234ABCD"
    sent = client[0].read_text()
    assert ssl.PEM_cert_to_DER_cert(seen["SSL_CLIENT_CERT"]) == ssl.PEM_cert_to_DER_cert(sent)
    assert tls_keys(environ(wsgi, certs))["SSL_CLIENT_VERIFY"] == "NONE", "the next client is another one"
    spoofed = environ(wsgi, certs, headers=[("SSL_CLIENT_S_DN", "CN=root"), ("SSL-CLIENT-VERIFY", "SUCCESS")])
    assert spoofed["SSL_CLIENT_VERIFY"] == "NONE" and "SSL_CLIENT_S_DN" not in spoofed


def test_requests_of_one_connection_see_the_same_and_share_nothing(wsgi, certs):
    with TlsConnection(wsgi.port, certs.context(certs.client("ada", ADA))) as one, TlsConnection(wsgi.port, certs.context()) as two:
        for _ in range(3):
            for connection, verify in ((one, "SUCCESS"), (two, "NONE")):
                seen = json.loads(connection.request("GET", "/").response().body)["environ"]
                assert seen["SSL_CLIENT_VERIFY"] == verify and ("SSL_CLIENT_S_DN" in seen) == (verify == "SUCCESS")


@pytest.mark.parametrize("reqs", ["1", "2"])
def test_who_cannot_prove_himself_does_not_reach_the_application(serve, certs, reqs):
    server = serve("info", "--certfile", certs.certificate, "--keyfile", certs.key, "--ca-certs", certs.clients, "--cert-reqs", reqs)
    stranger = certs.client("stranger", ADA, trusted=False)
    assert ask(server, certs, client=stranger).status == 400
    assert ask(server, certs).status == (200 if reqs == "1" else 400)
    assert ask(server, certs, client=certs.client("ada", ADA)).status == 200


def test_tls_is_https_whatever_a_stranger_says(serve, certs):
    line = ["info", "--certfile", certs.certificate, "--keyfile", certs.key]
    server = serve(*line, "--forwarded-allow-ips", "192.0.2.1")
    for field in [("X-Forwarded-Proto", "http"), ("X-Forwarded-Protocol", "http"), ("Forwarded", "proto=http")]:
        assert json.loads(ask(server, certs, headers=[field]).body)["wsgi"]["wsgi.url_scheme"] == "https", field


def test_the_scopes_extension(asgi, certs):
    scope = scope_of(asgi, certs)
    assert (scope["scheme"], scope["http_version"]) == ("https", "1.1")
    tls = scope["extensions"]["tls"]
    shown = ssl.PEM_cert_to_DER_cert(tls.pop("server_cert"))
    assert shown == ssl.PEM_cert_to_DER_cert(certs.certificate.read_text())
    assert tls.pop("cipher_suite") in (0x1301, 0x1302, 0x1303)
    assert tls == {"client_cert_chain": (), "client_cert_name": None, "client_cert_error": None, "tls_version": 0x0304}


def test_a_client_is_in_the_scope(asgi, certs):
    client = certs.client("ada", ADA)
    tls = scope_of(asgi, certs, client=client, maximum_version=ssl.TLSVersion.TLSv1_2)["extensions"]["tls"]
    assert tls["tls_version"] == 0x0303 and isinstance(tls["cipher_suite"], int)
    assert tls["client_cert_name"] == ADA_NAME and tls["client_cert_error"] is None
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in tls["client_cert_chain"]] == [ssl.PEM_cert_to_DER_cert(client[0].read_text())]


def test_a_websocket_over_tls(asgi, certs):
    from websockets.sync.client import connect

    with connect(f"wss://localhost:{asgi.port}/chat", ssl=certs.context(certs.client("ada", ADA)), open_timeout=20) as ws:
        scope = ast.literal_eval(ws.recv(20))
    assert (scope["type"], scope["scheme"]) == ("websocket", "wss")
    assert scope["extensions"]["tls"]["client_cert_name"] == ADA_NAME


def test_a_plain_scope_has_no_such_extension(serve):
    server = serve("asgi_scope")
    response = server.get("/", headers=[("X-Forwarded-Proto", "https")])
    scope = ast.literal_eval(response.body.decode())
    assert scope["scheme"] == "https" and "tls" not in scope["extensions"]


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_curl_speaks_http2_with_a_client_certificate(wsgi, asgi, certs, interface):
    if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    server = {"wsgi": wsgi, "asgi": asgi}[interface]
    certificate, key = certs.client("ada", ADA)
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", certs.authority, "--cert", certificate, "--key", key, "-w", "\n%{http_version}",
         f"https://localhost:{server.port}/a?b=c"], capture_output=True, text=True, timeout=30,
    )
    body, version = done.stdout.rsplit("\n", 1)
    assert version == "2", done
    if interface == "wsgi":
        seen = json.loads(body)["environ"]
        assert (seen["SERVER_PROTOCOL"], seen["SSL_CLIENT_S_DN"], seen["QUERY_STRING"]) == ("HTTP/2.0", ADA_NAME, "b=c")
    else:
        scope = ast.literal_eval(body)
        assert (scope["http_version"], scope["scheme"], scope["path"]) == ("2", "https", "/a")
        assert scope["extensions"]["tls"]["client_cert_name"] == ADA_NAME


def test_the_readme_says_what_the_program_does():
    text = (ROOT / "README.md").read_text()
    assert "--certfile localhost.pem --keyfile localhost-key.pem" in text and re.search(r"listen 443 ssl;", text)
