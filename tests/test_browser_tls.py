"""A browser opens the Django example over HTTPS and HTTP/2."""

import base64
import hashlib
import re
import shutil
import ssl
import subprocess

import pytest
from browser import launch
from harness import EXAMPLES, environment, python_program
from tls import Certificates

SHOP = EXAMPLES / "django"


def pin(certificate):
    """The hash of a certificate's key, as browsers take it."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    pem = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True, text=True).stdout
    body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    return base64.b64encode(hashlib.sha256(base64.b64decode(body)).digest()).decode()


@pytest.mark.slow
def test_the_shop_in_a_browser(serve, tmp_path):
    certs = Certificates(tmp_path)
    data = tmp_path / "shop"
    data.mkdir()
    env = {"SHOP_DATA": str(data), "SHOP_STATIC": str(data / "static")}
    for args in (["migrate", "--verbosity", "0"], ["demo"], ["collectstatic", "--noinput", "--verbosity", "0"]):
        subprocess.run(python_program("manage.py", *args), cwd=SHOP, env=environment(env), check=True, capture_output=True)
    log = tmp_path / "access.log"
    server = serve("shop.wsgi", "--certfile", certs.certificate, "--keyfile", certs.key, "--static", f"/static={data}/static",
                   "--access-logfile", log, "--access-logformat", "%(r)s %(s)s", cwd=SHOP, env=env)
    # The browser knows no authority of ours, and only this key passes all the same: the certificate itself is checked in
    # `test_tls_face.py` and `test_cert.py`.
    browser = launch(tmp_path, "--disable-quic", f"--ignore-certificate-errors-spki-list={pin(certs.certificate)}")
    try:
        url = f"https://localhost:{server.port}"
        page = browser.open(f"{url}/")
        page.see("document.readyState === 'complete' && document.body.textContent.includes('Dovetail saw')", "the page")
        assert page.run("location.protocol") == "https:"
        assert page.run("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
        assert page.run("isSecureContext") is True
        # What the page needs came over the same connection, and works.
        kinds = page.run("performance.getEntriesByType('resource').map(entry => [entry.name, entry.nextHopProtocol, entry.responseStatus])")
        assert kinds and all(protocol == "h2" and status == 200 for _, protocol, status in kinds), kinds
        assert page.run("getComputedStyle(document.body).fontFamily") != page.run(
            "(() => { const frame = document.createElement('iframe'); document.body.append(frame);"
            " return getComputedStyle(frame.contentDocument.body).fontFamily })()"
        ), "the style sheet holds"
        # A form, with its token: Django checks the origin over HTTPS.
        page.run("document.location = '/admin/login/'")
        page.see("document.readyState === 'complete' && !!document.querySelector('#id_username')", "the login")
        page.run("document.querySelector('#id_username').value = 'admin'; document.querySelector('#id_password').value = 'admin';"
                 " document.querySelector('#login-form').submit()")
        page.see("document.readyState === 'complete' && !!document.querySelector('#user-tools')", "to be logged in")
        browser.pages.close()
    finally:
        browser.close()
    assert "Traceback" not in server.log
    lines = log.read_text().splitlines()
    assert re.match(r"GET / HTTP/2(\.0)? 200", lines[0]), lines[:3]
    assert ssl.get_server_certificate(("127.0.0.1", server.port)) == certs.certificate.read_text()
