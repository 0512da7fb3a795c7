"""Who is let in: `auth_basic`, `auth_request`, `satisfy`, `auth_delay`, before files and applications; `secure_headers`."""

import base64
import json
import shutil
import subprocess
import threading
import time

import pytest
from harness import Connection, until
from test_explain import explain
from test_python_pass import site  # noqa: F401

# Everybody's password is `secret`. The costs are the lowest there are.
PASSWORDS = """\
plain:{PLAIN}secret
bcrypt:$2y$04$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG
apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/
sha512:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1
argon2:$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$OutnjDNO4CBxGKXIxqDwbg
des:abNANd1rDfiNc
costly:$2y$31$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG
slow:$2y$08$NpR2Oai1RqqhIaytRjxAl.Lc6XFt1bHUZ8qOJNXMFcPoA59kCVAce
"""
PROTECTED = 'auth_basic "Members only"; auth_basic_user_file passwords;'
REALM = 'Basic realm="Members only"'

# Says who may come in: by a cookie, with fields about them. It tells what it was asked, too.
AUTHORITY = '''
import json
from http.cookies import SimpleCookie

def application(environ, start_response):
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    who = cookie["session"].value if "session" in cookie else ""
    asked = {key: environ.get(key) for key in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "CONTENT_LENGTH",
             "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_X_OWN", "HTTP_UPGRADE", "HTTP_EXPECT")}
    asked["body"] = environ["wsgi.input"].read().decode()
    headers = [("X-Auth-User", who), ("X-Asked", json.dumps(asked)), ("Set-Cookie", "seen=" + who + "; Path=/")]
    if who == "broken":
        raise ValueError("no decision")
    if who == "odd":
        start_response("302 Found", [("Location", "/elsewhere")])
        return []
    if who == "banned":
        start_response("403 Forbidden", headers)
    elif not who:
        start_response("401 Unauthorized", headers + [("WWW-Authenticate", 'Bearer realm="sso"')])
    else:
        start_response("202 Accepted", headers)
    return [b"a body that nobody sees" * 10000]
'''

AAUTHORITY = '''
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    message = await receive()
    headers = dict(scope["headers"])
    who = headers.get(b"cookie", b"").partition(b"session=")[2]
    status = 200 if who and who != b"banned" else 403 if who else 401
    about = scope["type"].encode() + b" " + scope["method"].encode() + b" " + str(len(message["body"])).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-auth-user", who), (b"x-about", about)]})
    await send({"type": "http.response.body", "body": b"x" * 100000})
'''

# A small application behind an authority: it tells the whole body.
COUNTS = '''
import hashlib, json

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"length": len(body), "sha": hashlib.sha1(body).hexdigest(), "user": environ.get("REMOTE_USER"),
                        "path": environ["PATH_INFO"]}).encode()]
'''
ACOUNTS = '''
import hashlib, json

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body")
    text = json.dumps({"length": len(body), "sha": hashlib.sha1(body).hexdigest(), "path": scope["path"]})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})
'''
APPS = {"authority": AUTHORITY, "aauthority": AAUTHORITY, "counts": COUNTS, "acounts": ACOUNTS}


def basic(user: str, password: str = "secret") -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def members(site):  # noqa: F811
    site.file("passwords", PASSWORDS).file("www/a.txt", "a file")
    return site


# auth_basic


def test_every_format_of_passwords(members) -> None:
    members.begin(f"location / {{ root www; {PROTECTED} }}")
    for user in ("plain", "bcrypt", "apr1", "sha512", "argon2"):
        for _ in range(3):  # what is remembered is as right as before
            assert members.ask("/a.txt", headers=[basic(user)]).text == "a file", user
            refused = members.ask("/a.txt", headers=[basic(user, "Secret")])
            assert (refused.status, refused["WWW-Authenticate"]) == (401, REALM), user
    assert members.ask("/a.txt", headers=[basic("nobody")]).status == 401
    assert members.ask("/a.txt").status == 401
    members.wait_for(r'user "bcrypt": password mismatch, client: 127\.0\.0\.1')
    members.wait_for(r'user "nobody" was not found in ".*/passwords", client')
    members.wait_for(r"no user/password was provided for basic authentication, client")


def test_a_password_that_cannot_be_used_is_told_in_the_log(members) -> None:
    members.begin(f"location / {{ root www; {PROTECTED} }}")
    for user, why in (("des", "format is not supported"), ("costly", "cost is too high")):
        assert members.ask("/a.txt", headers=[basic(user)]).status == 401
        members.wait_for(rf'user "{user}": password mismatch, the one in ".*/passwords" cannot be used: its {why}')


def test_a_changed_file_counts_at_once(members) -> None:
    members.begin(f"location / {{ root www; {PROTECTED} }}")
    for password in ("one", "two", "tre", "four"):
        members.file("passwords", f"plain:{{PLAIN}}{password}\n")
        assert members.ask("/a.txt", headers=[basic("plain", password)]).status == 200
        assert members.ask("/a.txt", headers=[basic("plain", "secret")]).status == 401
    # What was right is not right any more, though it is remembered.
    members.file("passwords", PASSWORDS)
    assert members.ask("/a.txt", headers=[basic("bcrypt")]).status == 200
    members.file("passwords", PASSWORDS.replace("$2y$04$ZaYca1", "$2y$04$ZaYca2"))
    assert members.ask("/a.txt", headers=[basic("bcrypt")]).status == 401
    (members.directory / "passwords").unlink()
    assert members.ask("/a.txt", headers=[basic("bcrypt")]).status == 403
    members.wait_for(r'open\(\) ".*/passwords" failed \(2: No such file or directory\)')
    (members.directory / "passwords").mkdir()
    assert members.ask("/a.txt", headers=[basic("bcrypt")]).status == 500


@pytest.mark.skipif(not shutil.which("htpasswd"), reason="there is no htpasswd (Debian: apache2-utils)")
@pytest.mark.parametrize("flags", ["-B -C 5", "-m", "-s", "-2", "-5"])
def test_files_of_htpasswd(members, flags: str) -> None:
    made = subprocess.run(["htpasswd", "-cb", *flags.split(), str(members.directory / "made"), "me", "pass word"],
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"this htpasswd knows no {flags}")
    members.begin("location / { root www; auth_basic x; auth_basic_user_file made; }")
    (members.directory / "made").chmod(0o644)
    assert members.ask("/a.txt", headers=[basic("me", "pass word")]).status == 200
    assert members.ask("/a.txt", headers=[basic("me", "password")]).status == 401


def test_before_applications(members) -> None:
    members.begin(f"""{PROTECTED}
        location /wsgi {{ python_pass counts; }}
        location /asgi {{ python_pass acounts; }}
        location /open {{ auth_basic off; python_pass counts; }}
        location /write {{ limit_except GET {{ auth_basic "to write"; auth_basic_user_file passwords; }} auth_basic off; python_pass counts; }}
        location /user {{ add_header X-User "<$remote_user>"; python_pass counts; }}
        location /page {{ error_page 401 = @login; python_pass counts; }}
        location @login {{ auth_basic off; python_pass says; }}""", apps=APPS)
    body = b"b" * 300_000
    for path in ("/wsgi", "/asgi"):
        assert members.ask(path).status == 401
        assert members.ask(path, "POST", body=body).status == 401
        told = members.told(path, method="POST", headers=[basic("bcrypt")], body=body)
        assert (told["length"], told["path"]) == (len(body), path)
    assert members.ask("/open").status == 200
    assert members.ask("/write").status == 200
    refused = members.ask("/write", "PUT", body=b"x")
    assert (refused.status, refused["WWW-Authenticate"]) == (401, 'Basic realm="to write"')
    assert members.ask("/write", "PUT", headers=[basic("plain")], body=b"x").status == 200
    assert members.ask("/user", headers=[basic("plain")])["X-User"] == "<plain>"
    login = members.ask("/page?status=200%20OK")
    assert (login.status, login.text, login["WWW-Authenticate"]) == (200, "said", REALM)


def test_a_refused_body_does_not_end_the_connection(members) -> None:
    members.begin(f"{PROTECTED} location / {{ python_pass counts; }}", apps=APPS)
    with Connection(("127.0.0.1", members.port), 20) as connection:
        for _ in range(3):
            assert connection.request("POST", "/", body=b"x" * 70_000).response().status == 401
            told = json.loads(connection.request("POST", "/", [basic("sha512")], b"y" * 70_000).response().body)
            assert told["length"] == 70_000


def test_many_wrong_passwords_keep_nobody_else_waiting(members) -> None:
    """200 guesses at once at a password that takes its time; meanwhile others are served, and who is known comes in."""
    members.save(f"location / {{ root www; }} location /in/ {{ alias www/; {PROTECTED} }}", "keepalive_requests 1000000;",
                 "worker_processes 1;")
    conf = members.directory / "nginx.conf"
    conf.write_text(conf.read_text().replace("worker_connections 64", "worker_connections 512"))
    members.start(wait=False)
    until(members.connects, "the site to listen")
    assert members.ask("/in/a.txt", headers=[basic("bcrypt")]).status == 200
    statuses: list[int] = []
    connections = [Connection(("127.0.0.1", members.port), 60) for _ in range(200)]
    try:
        for number, connection in enumerate(connections):
            connection.request("GET", "/in/a.txt", [basic("slow", f"guess {number}")])
        done = threading.Event()
        served: list[int] = []

        def visit() -> None:
            with Connection(("127.0.0.1", members.port), 60) as connection:
                while not done.is_set() or len(served) < 50:
                    served.append(connection.request("GET", "/a.txt").response().status)
                    served.append(connection.request("GET", "/in/a.txt", [basic("plain")]).response().status)

        visitor = threading.Thread(target=visit)
        visitor.start()
        for connection in connections:
            statuses.append(connection.response().status)
        done.set()
        visitor.join(60)
    finally:
        for connection in connections:
            connection.__exit__()
    assert set(served) == {200} and len(served) >= 50
    # Those that found no place were told so, and none was let in.
    assert set(statuses) <= {401, 503} and statuses.count(401) >= 2, statuses
    assert members.ask("/in/a.txt", headers=[basic("slow", "guess")]).status == 401
    members.wait_for("too many passwords are waiting to be checked" if 503 in statuses else "password mismatch")


def test_the_same_password_many_times_at_once(members) -> None:
    """As browsers ask: the same words on several connections, none of which may be refused for there being many."""
    members.begin(f"location / {{ root www; {PROTECTED} }}", main="worker_processes 1;")
    connections = [Connection(("127.0.0.1", members.port), 60) for _ in range(50)]
    try:
        for connection in connections:
            connection.request("GET", "/a.txt", [basic("sha512")])
        assert {connection.response().status for connection in connections} == {200}
    finally:
        for connection in connections:
            connection.__exit__()


def test_a_delayed_refusal(members) -> None:
    members.begin(f"location / {{ root www; auth_delay 300ms; {PROTECTED} }}", main="worker_processes 1;")
    begun = time.monotonic()
    with Connection(("127.0.0.1", members.port), 20) as waiting:
        waiting.request("GET", "/a.txt", [basic("plain", "x")])
        assert members.ask("/a.txt", headers=[basic("plain")]).status == 200
        assert waiting.response().status == 401
    assert time.monotonic() - begun >= 0.3
    members.wait_for("delaying unauthorized request, client")


# auth_request


SSO = """
    location = /_auth { internal; python_pass AUTHORITY; }
    location / {
        auth_request /_auth;
        auth_request_set $user $upstream_http_x_auth_user;
        auth_request_set $asked $upstream_http_x_asked;
        auth_request_set $seen $upstream_cookie_seen;
        auth_request_set $how $upstream_status;
        add_header X-User "$user $how $seen" always;
        add_header X-Asked $asked always;
        error_page 418 /teapot;
        location /wsgi { python_pass counts; }
        location /asgi { python_pass acounts; }
        location /login { error_page 401 = @login; python_pass counts; }
        location /files/ { alias www/; }
        location /slow/ { auth_delay 1ms; }
    }
    location @login { return 302 /enter?to=$request_uri; }
"""


def test_an_application_is_the_authority(members) -> None:
    members.begin(SSO.replace("AUTHORITY", "authority"), apps=APPS)
    refused = members.ask("/files/a.txt")
    assert (refused.status, refused["WWW-Authenticate"], refused["X-User"]) == (401, 'Bearer realm="sso"', "401")
    assert b"nobody sees" not in refused.body
    cookie = ("Cookie", "session=alice")
    answer = members.ask("/files/a.txt?q=1", headers=[cookie, ("X-Own", "mine")])
    assert (answer.status, answer.text, answer["X-User"]) == (200, "a file", "alice 202 alice")
    assert json.loads(answer["X-Asked"]) == {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/_auth", "QUERY_STRING": "", "RAW_URI": "/files/a.txt?q=1", "CONTENT_LENGTH": None,
        "HTTP_CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": None, "HTTP_X_OWN": "mine", "HTTP_UPGRADE": None,
        "HTTP_EXPECT": None, "body": "",
    }
    banned = members.ask("/files/a.txt", headers=[("Cookie", "session=banned")])
    assert (banned.status, banned["WWW-Authenticate"]) == (403, None)
    assert members.ask("/files/a.txt", headers=[("Cookie", "session=odd")]).status == 500
    members.wait_for("auth request unexpected status: 302, client")
    assert members.ask("/files/a.txt", headers=[("Cookie", "session=broken")]).status == 500
    members.wait_for("auth request unexpected status: 500, client")
    assert members.ask("/_auth", headers=[cookie]).status == 404
    login = members.ask("/login?a=b")
    assert (login.status, login["Location"]) == (302, f"http://localhost:{members.port}/enter?to=/login?a=b")
    # An answer to HEAD is asked for as well.
    assert members.ask("/files/a.txt", "HEAD", headers=[cookie]).status == 200
    assert members.ask("/files/a.txt", "HEAD").status == 401


@pytest.mark.parametrize("authority", ["authority", "aauthority"])
@pytest.mark.parametrize("path", ["/wsgi", "/asgi"])
def test_bodies_pass_the_authority_by(members, authority: str, path: str) -> None:
    import hashlib

    members.begin(f"client_max_body_size 20m; {SSO.replace('AUTHORITY', authority)}", apps=APPS)
    cookie = ("Cookie", "session=alice")
    for size in (0, 1, 100, 5_000, 70_000, 3_000_000):
        body = bytes(number * 7 % 256 for number in range(1000)) * (size // 1000) + b"z" * (size % 1000)
        told = members.told(path, method="POST", headers=[cookie], body=body)
        assert (told["length"], told["sha"]) == (size, hashlib.sha1(body).hexdigest()), size
    with Connection(("127.0.0.1", members.port), 20) as connection:
        # In pieces, in chunks, with the next request behind it, and after having waited to be asked.
        connection.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: session=alice\r\nContent-Length: 10\r\n\r\n01234")
        time.sleep(0.2)
        connection.send("56789")
        assert json.loads(connection.response().body)["sha"] == hashlib.sha1(b"0123456789").hexdigest()
        connection.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: session=alice\r\nTransfer-Encoding: chunked\r\n\r\n"
                        f"5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\nGET {path} HTTP/1.1\r\nHost: x\r\nCookie: session=alice\r\n\r\n")
        assert json.loads(connection.response().body)["sha"] == hashlib.sha1(b"0123456789").hexdigest()
        assert json.loads(connection.response().body)["length"] == 0
        connection.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nCookie: session=alice\r\nContent-Length: 3\r\n"
                        "Expect: 100-continue\r\n\r\n")
        assert connection.head().status == 100
        connection.send("abc")
        assert json.loads(connection.response().body)["length"] == 3
        # Refused, with a body.
        assert connection.request("POST", path, body=b"x" * 1000).response().status == 401
        assert connection.request("POST", path, [("Cookie", "session=banned")], b"x" * 1000).response().status == 403
        assert json.loads(connection.request("GET", path, [cookie]).response().body)["length"] == 0


def test_many_ask_an_authority_at_once(members) -> None:
    members.begin(SSO.replace("AUTHORITY", "aauthority"), apps=APPS)
    wrong: list = []

    def visit(number: int) -> None:
        who = f"user{number}"
        with Connection(("127.0.0.1", members.port), 30) as connection:
            for _ in range(20):
                answer = connection.request("POST", "/asgi", [("Cookie", f"session={who}")], who.encode() * 50).response()
                if (answer.status, answer["X-User"], json.loads(answer.body)["length"]) != (200, f"{who} 200", len(who) * 50):
                    wrong.append((who, answer))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong, wrong[:3]


def test_any_of_them_is_enough(members) -> None:
    members.begin(f"""
        location = /_auth {{ internal; python_pass authority; }}
        location /any/ {{ satisfy any; deny all; {PROTECTED} auth_request /_auth; alias www/; }}
        location /all/ {{ allow 127.0.0.1; deny all; {PROTECTED} auth_request /_auth; alias www/; }}""", apps=APPS)
    cookie = ("Cookie", "session=alice")
    for path, headers, status in (
        ("/any/", [], 401), ("/any/", [cookie], 200), ("/any/", [basic("bcrypt")], 200), ("/any/", [basic("bcrypt", "x")], 401),
        ("/any/", [basic("bcrypt", "x"), cookie], 200), ("/any/", [("Cookie", "session=banned")], 401),
        ("/any/", [("Cookie", "session=odd")], 500),
        ("/all/", [], 401), ("/all/", [cookie], 401), ("/all/", [basic("bcrypt")], 401), ("/all/", [basic("bcrypt"), cookie], 200),
        ("/all/", [basic("bcrypt"), ("Cookie", "session=banned")], 403),
    ):
        answer = members.ask(path + "a.txt", headers=headers)
        assert answer.status == status, (path, headers)
        if status == 200:
            assert answer["WWW-Authenticate"] is None, (path, headers)


def test_parts_of_an_answer_are_not_asked(members) -> None:
    members.file("www/page.html", '<!--#include virtual="/closed/a.txt" -->.')
    members.begin(f"""location /page.html {{ ssi on; root www; default_type text/html; }}
        location /closed/ {{ alias www/; {PROTECTED} }}
        location = /denied {{ deny all; }}""")
    assert members.ask("/page.html").text == "a file."
    assert members.ask("/closed/a.txt").status == 401


def test_explain_tells_who_is_asked(tmp_path) -> None:
    (tmp_path / "nginx.conf").write_text("""
events {} http { server { listen 8080; satisfy any; auth_basic "the $host"; auth_basic_user_file secret/users;
    location / { auth_request /_auth; root /srv; } location /_auth { internal; return 204; } } }""")
    lines, _ = explain(tmp_path, "http://localhost:8080/")
    assert any(line.startswith("auth_basic a name and a password of ") and "secret/users" in line for line in lines), lines
    assert "auth_request /_auth is asked whether the request is let in" in lines
    assert "satisfy any one of these is enough" in lines


def test_a_realm_without_a_file_is_warned_of(tmp_path) -> None:
    from test_nginx_face import run

    (tmp_path / "logs").mkdir()
    (tmp_path / "nginx.conf").write_text("pid x; events {} http { server { auth_basic x; location /a { auth_basic_user_file f; } } }")
    told = run("-p", tmp_path, "-t").stderr
    assert '"auth_basic" without "auth_basic_user_file" lets everybody in' in told
    (tmp_path / "nginx.conf").write_text("pid x; events {} http { server { auth_basic x; auth_basic_user_file f; } }")
    assert "lets everybody in" not in run("-p", tmp_path, "-t").stderr


# secure_headers


def test_careful_fields_on_all_answers(members) -> None:
    members.begin("""secure_headers on;
        location / { root www; }
        location /off/ { alias www/; secure_headers off; }
        location /frames/ { alias www/; secure_headers on frame=sameorigin; }
        location /own/ { alias www/; add_header X-Frame-Options SAMEORIGIN always; add_header X-A b; }
        location /fixed/ { alias www/; add_header Referrer-Policy no-referrer always; }
        location /redirect { return 301 /a.txt; }
        location /app { python_pass says; }
        location /aapp { python_pass acounts; }""", apps=APPS)
    ours = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin"}

    def fields(path: str, **arguments) -> dict[str, str]:
        answer = members.ask(path, **arguments)
        found = {}
        for name, value in answer.headers:
            if name.lower() in {*ours, "strict-transport-security"}:
                assert name.lower() not in found, answer
                found[name.lower()] = value
        return found

    for path in ("/a.txt", "/nothing", "/redirect", "/app", "/aapp", "/app?raise=1", "/app?status=404%20No"):
        assert fields(path) == ours, path
    assert fields("/a.txt", method="HEAD") == ours
    assert fields("/a.txt", headers=[("Host", "a b")]) == ours
    assert fields("/off/a.txt") == {}
    assert fields("/frames/a.txt") == ours | {"x-frame-options": "SAMEORIGIN"}
    assert fields("/own/a.txt") == fields("/own/nothing") == ours | {"x-frame-options": "SAMEORIGIN"}
    assert fields("/fixed/a.txt") == ours | {"referrer-policy": "no-referrer"}
    said = "/app?h=x-frame-options:ALLOWALL&h=Cross-Origin-Opener-Policy:unsafe-none"
    assert fields(said) == ours | {"x-frame-options": "ALLOWALL", "cross-origin-opener-policy": "unsafe-none"}


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_strict_transport_security_is_for_tls_only(members) -> None:
    import socket
    import ssl

    from test_nginx_face import free_port

    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                           "-keyout", "key.pem", "-out", "cert.pem"], cwd=members.directory, capture_output=True)
    assert made.returncode == 0, made.stderr
    port = free_port()
    members.begin(f"""listen 127.0.0.1:{port} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; secure_headers on;
        location / {{ root www; }} location /week/ {{ alias www/; secure_headers on hsts=1w; }}
        location /off/ {{ alias www/; secure_headers on hsts=off; }}""")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def sts(path: str) -> str | None:
        with socket.create_connection(("127.0.0.1", port), 20) as plain, context.wrap_socket(plain) as secure:
            secure.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            data = b"".join(iter(lambda: secure.recv(65536), b""))
        found = [line for line in data.decode().split("\r\n") if line.startswith("Strict-Transport-Security: ")]
        assert len(found) <= 1 and "X-Frame-Options: DENY" in data.decode()
        return found[0].partition(": ")[2] if found else None

    assert sts("/a.txt") == sts("/nothing") == "max-age=31536000"
    assert sts("/week/a.txt") == "max-age=604800"
    assert sts("/off/a.txt") is None
    assert members.ask("/a.txt")["Strict-Transport-Security"] is None
