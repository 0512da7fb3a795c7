"""Applications in an nginx.conf: `python_pass`, what they are told of a request, what becomes of their answers."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from harness import Connection, until
from test_nginx_face import Site, free_port, run

WSGI = '''
import json, os

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    told = {key: value for key, value in environ.items() if isinstance(value, str)}
    told["body"], told["length"] = body[:100].decode("latin-1"), len(body)
    told["cwd"], told["name"] = os.getcwd(), __name__
    start_response("200 OK", [("Content-Type", "application/json"), ("X-App", "wsgi")])
    return [json.dumps(told).encode()]
'''

ASGI = '''
import json

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body = b""
    while scope["type"] == "http":
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    told = {key: scope[key] for key in ("type", "path", "root_path", "server", "client", "scheme")}
    told["method"] = scope.get("method")
    told["raw_path"], told["query_string"] = scope["raw_path"].decode(), scope["query_string"].decode()
    told["length"], told["name"] = len(body), __name__
    text = json.dumps(told)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": text.encode()})
'''

# What an application may answer: the query says it, `h=Name:value` for each field.
SAYS = '''
import time
from urllib.parse import parse_qsl

def application(environ, start_response):
    query = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
    asked = dict(query)
    if "raise" in asked:
        raise ValueError("it was asked to")
    headers = [tuple(value.split(":", 1)) for key, value in query if key == "h"]
    start_response(asked.get("status", "200 OK"), headers)
    if "big" in asked:
        return (b"x" * 65536 for _ in range(int(asked["big"])))
    if "late" in asked:
        raise ValueError("after the head")
    return [asked.get("body", "said").encode()]
'''


class Nginx(Site):
    """A site whose configuration is the test's own."""

    def begin(self, server: str = "", http: str = "", main: str = "", apps: dict[str, str] | None = None, **options) -> "Nginx":
        self.save(server, http, main, apps)
        self.start(wait=False, env={"PYTHONPATH": str(self.directory), **options.pop("env", {})}, **options)
        until(lambda: self.process.poll() is not None or self.pid() and self.connects(), "the site to listen")
        assert self.process.poll() is None, self.log
        return self

    def save(self, server: str = "", http: str = "", main: str = "", apps: dict[str, str] | None = None) -> None:
        for name, text in {"echo": WSGI, "aecho": ASGI, "says": SAYS, **(apps or {})}.items():
            (self.directory / f"{name}.py").write_text(text)
        user = "user root;" if os.getuid() == 0 else ""
        (self.directory / "nginx.conf").write_text(f"""
daemon off; {user} env PYTHONPATH; {main}
pid logs/nginx.pid;
error_log logs/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    {http}
    server {{
        listen 127.0.0.1:{self.port};
        {server}
    }}
}}
""")

    def connects(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, path: str = "/", method: str = "GET", headers=(), body: bytes | None = None, address=None):
        with Connection(address or ("127.0.0.1", self.port), 20) as connection:
            return connection.request(method, path, [*headers, ("Connection", "close")], body).response(method)

    def told(self, path: str = "/", **arguments):
        response = self.ask(path, **arguments)
        assert response.status == 200, (response, self.log)
        return json.loads(response.body)

    def file(self, name: str, content: str | bytes) -> "Nginx":
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self


@pytest.fixture
def site(tmp_path):
    site = Nginx(tmp_path)
    yield site
    site.end()


# What an application is told.


def test_a_wsgi_application_sees_the_path_that_its_location_saw(site):
    site.begin("""location / { python_pass echo; }
                  location /old/ { rewrite ^/old/(.*)$ /new/$1?more=1 break; python_pass echo; }
                  location /there/ { rewrite ^ /again%20?only=this? last; }""")
    seen = site.told("/a%20b//c/../%C3%A9?x=%20y")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a b/\xc3\xa9", "x=%20y")
    assert seen["REQUEST_URI"] == seen["RAW_URI"] == "/a%20b//c/../%C3%A9?x=%20y"
    assert seen["SCRIPT_NAME"] == ""
    seen = site.told("/old/page?x=1")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/new/page", "more=1&x=1")
    assert seen["REQUEST_URI"] == "/old/page?x=1"
    seen = site.told("/there/x?gone")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/again%20", "only=this")
    assert site.ask("/%2e%2e/%2e%2e/x").status == 400


def test_an_asgi_application_sees_it_too(site):
    site.begin("""location / { python_pass aecho; }
                  location /old/ { rewrite ^/old/(.*)$ "/new é/$1" break; python_pass aecho; }""")
    seen = site.told("/a%20b/%C3%A9%2F?x=%20y")
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b/é/", "/a%20b/%C3%A9%2F", "x=%20y")
    seen = site.told("/a//b/../c")
    assert (seen["path"], seen["raw_path"]) == ("/a/c", "/a/c")
    seen = site.told("/old/a%20b?q=1")
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/new é/a b", "/new%20%C3%A9/a%20b", "q=1")


def test_an_application_is_not_led_past_what_locations_protect(site):
    site.begin("location / { python_pass echo; } location /private/ { deny all; python_pass echo; }")
    for path in ("/private/x", "//private/x", "/a/../private/x", "/%70rivate/x", "/a/..%2fprivate/x"):
        assert site.ask(path).status == 403, path
    for path in ("/private/../x", "/private/%2e%2e/x", "/private/..%2fx"):
        assert site.told(path)["PATH_INFO"] == "/x", path


def test_paths_come_as_sent_where_that_is_wanted(site):
    site.begin("python_raw_path on; location / { python_pass echo; } location /asgi { python_pass aecho; }"
               "location /w/ { rewrite ^ /v//w break; python_pass echo; }")
    assert site.told("/a//b/../c%2Fd")["PATH_INFO"] == "/a//b/../c/d"
    assert site.told("/asgi//b/../c%2Fd")["raw_path"] == "/asgi//b/../c%2Fd"
    assert site.told("/w/x//y")["PATH_INFO"] == "/v//w"


def test_the_server_has_its_name_and_its_port(site):
    other = free_port()
    site.begin(f"""server_name shop.example.com *.example.com; listen {other};
                   location / {{ python_pass echo; }} location /asgi {{ python_pass aecho; }}""",
               http=f"server {{ listen 127.0.0.1:{site.port}; server_name _; location / {{ python_pass echo; }} }}")
    told = lambda host, path="/", port=site.port: site.told(path, headers=[("Host", host)], address=("127.0.0.1", port))
    seen = told("a.example.com")
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["HTTP_HOST"]) == ("shop.example.com", str(site.port), "a.example.com")
    assert told("shop.example.com", port=other)["SERVER_PORT"] == str(other)
    assert told("shop.example.com", "/asgi", other)["server"] == ["shop.example.com", other]
    assert told("Else.org:81")["SERVER_NAME"] == "else.org"
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"] if "wsgi.url_scheme" in seen else "http") == ("127.0.0.1", "http")


def test_the_prefix_of_a_location_is_where_an_application_is_mounted(site):
    site.begin("""location /shop/ { python_mount on; python_pass echo; }
                  location /api { python_mount on; python_pass aecho; }
                  location /in/ { python_mount on; location /in/deep/ { python_pass echo; } }
                  location /if/ { python_mount on; if ($arg_x) { python_pass echo; } }
                  location / { python_pass echo; }""")
    for path, script, info in [("/shop/", "/shop", "/"), ("/shop/a%20b", "/shop", "/a b"), ("/x/y", "", "/x/y"),
                               ("/in/deep/x", "/in", "/deep/x"), ("/if/y?x=1", "/if", "/y")]:
        seen = site.told(path)
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script, info), path
    seen = site.told("/api/v1?x")
    assert (seen["root_path"], seen["path"], seen["raw_path"]) == ("/api", "/api/v1", "/api/v1")


def test_a_mount_needs_a_prefix(site):
    site.save(r"location ~ \.php$ { python_mount on; python_pass echo; }")
    result = run("-t", "-p", site.directory, env={"PYTHONPATH": str(site.directory)})
    assert result.returncode == 1 and '"python_mount" needs a location with a prefix in ' in result.stderr


def test_a_root_path_is_what_a_proxy_has_taken_off(site):
    site.begin("location / { python_pass echo; } location /asgi/ { python_pass outer; } location /m/ { python_mount on; python_pass echo; }",
               http="root_path /out; python_app outer { module aecho; root_path /own/; }")
    assert (seen := site.told("/x")) and (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/out", "/x")
    assert (seen := site.told("/out/x")) and (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/out", "/x")
    assert (seen := site.told("/m/x")) and (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/out/m", "/x")
    assert (seen := site.told("/asgi/x")) and (seen["root_path"], seen["path"]) == ("/own", "/own/asgi/x")


# Which application answers.


def test_several_applications_share_a_server(site):
    site.begin("""location / { python_pass echo; } location /chat { python_pass named; }
                  location ~ ^/say(s|t)$ { python_pass says; } location = /exact { python_pass says; }""",
               http="python_app named { module aecho:application; interface asgi; }")
    assert site.told("/")["name"] == "echo" and site.told("/chat")["name"] == "aecho"
    assert site.ask("/says").text == site.ask("/exact").text == "said"
    assert site.told("/exactly")["PATH_INFO"] == "/exactly"


def test_a_file_or_else_the_application(site):
    site.file("html/robots.txt", "none").file("html/index.html", "home").file("html/sub/index.html", "sub")
    site.begin("""root html;
                  location / { try_files $uri $uri/ @app; }
                  location @app { python_pass echo; add_header X-Way named; }""")
    assert site.ask("/robots.txt").text == "none"
    assert site.ask("/").text == "home" and site.ask("/sub/").text == "sub"
    response = site.ask("/page?x=1", "POST", body=b"a=b")
    assert response["X-Way"] == "named" and response["X-App"] == "wsgi"
    seen = json.loads(response.body)
    assert [seen[key] for key in ("PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "body")] == ["/page", "x=1", "POST", "a=b"]


def test_what_is_not_found_goes_to_the_application(site):
    site.file("html/a.txt", "a")
    site.begin("""root html; error_page 404 = @app; error_page 403 = /app/denied?why=403;
                  location / { } location /closed { deny all; }
                  location @app { python_pass echo; } location /app/ { python_pass echo; }""")
    assert site.ask("/a.txt").text == "a"
    assert site.told("/b.txt?q")["PATH_INFO"] == "/b.txt"
    seen = site.told("/closed", method="DELETE")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["REQUEST_METHOD"]) == ("/app/denied", "why=403", "GET")
    assert seen["REQUEST_URI"] == "/closed"


def test_a_location_with_commands_passes_what_they_leave(site):
    site.begin("""location / {
                      if ($http_x_stop) { return 405; }
                      if ($http_user_agent ~ Bot) { rewrite ^ /robots break; }
                      if ($arg_other) { python_pass says; }
                      limit_except GET POST { deny all; }
                      set $name value;
                      add_header X-Name $name;
                      python_pass echo;
                  }""")
    assert site.ask("/x", headers=[("X-Stop", "1")]).status == 405
    assert site.ask("/x", "PUT").status == 403
    assert site.ask("/x?other=1").text == "said"
    assert site.told("/x", headers=[("User-Agent", "Bot/1")])["PATH_INFO"] == "/robots"
    assert site.ask("/x")["X-Name"] == "value"


def test_who_may_not_ask_does_not_reach_the_application(site):
    site.begin("""location / { deny 127.0.0.0/8; allow all; python_pass echo; error_page 403 /no.html; }
                  location = /no.html { allow all; return 403 "not you"; }""")
    response = site.ask("/")
    assert (response.status, response.text, response["X-App"]) == (403, "not you", None)
    assert "access forbidden by rule, client: 127.0.0.1" in site.log


# Its answers.


def test_what_the_configuration_adds_to_answers(site):
    site.begin("""add_header X-Always $request_method always; add_header X-Usual yes;
                  expires $how; location / { python_pass says; } location /off { expires off; add_header Set-Cookie c=d; python_pass says; }""",
               http="map $sent_http_content_type $how { default off; ~image/ 30d; text/css epoch; }")
    response = site.ask("/?h=Content-Type:image/png&h=Cache-Control:private")
    assert (response["Cache-Control"], response["X-Always"], response["X-Usual"]) == ("max-age=2592000", "GET", "yes")
    assert site.ask("/?h=Content-Type:text/css")["Cache-Control"] == "no-cache"
    assert site.ask("/?h=Content-Type:text/html&h=Cache-Control:private")["Cache-Control"] == "private"
    response = site.ask("/?status=404+Not+Found&h=Content-Type:image/png", "POST", body=b"")
    assert (response.status, response["X-Always"], response["X-Usual"], response["Expires"]) == (404, "POST", None, None)
    assert site.ask("/off?h=Set-Cookie:a=b").all("Set-Cookie") == ["a=b", "c=d"]


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_an_exception_is_nginxs_page_or_the_sites_own(site, app):
    failing = "async def application(scope, receive, send):\n    assert scope['type'] == 'http'\n    raise ValueError('asked to')\n"
    site.file("html/50x.html", "<h1>sorry</h1>")
    name = "says" if app == "wsgi" else "afails"
    site.begin(f"""root html; location / {{ python_pass {name}; }}
                   location /own/ {{ error_page 500 502 /50x.html; python_pass {name}; }}
                   location /else/ {{ error_page 500 =200 @else; python_pass {name}; }}
                   location = /50x.html {{ internal; }} location @else {{ python_pass echo; }}""", apps={"afails": failing})
    response = site.ask("/?raise")
    assert response.status == 500 and "<center><h1>500 Internal Server Error</h1></center>" in response.text
    assert response["Content-Type"] == "text/html" and "ValueError" in site.log
    response = site.ask("/own/x?raise")
    assert (response.status, response.text) == (500, "<h1>sorry</h1>")
    response = site.ask("/else/x?raise", "POST", body=b"z" * 100_000)
    assert response.status == 200 and json.loads(response.body)["PATH_INFO"] == "/else/x"
    with Connection(("127.0.0.1", site.port)) as connection:
        for _ in range(3):
            assert connection.request("POST", "/own/x?raise", [], b"abc").response().status == 500
            if app == "wsgi":
                break


def test_an_applications_own_errors_are_its_own_unless_intercepted(site):
    site.begin("""error_page 404 /404.html; error_page 401 @login;
                  location / { python_pass says; } location /i/ { python_intercept_errors on; python_pass says; }
                  location = /404.html { return 404 "the site's"; } location @login { return 302 /login?next=$uri; }""")
    assert site.ask("/?status=404+Not+Found&body=mine").text == "mine"
    response = site.ask("/i/?status=404+Not+Found&body=mine&h=X-Mine:1")
    assert (response.status, response.text, response["X-Mine"]) == (404, "the site's", None)
    response = site.ask("/i/x?status=401+Unauthorized")
    assert response.status == 302 and response["Location"].endswith("/login?next=/i/x")
    assert site.ask("/i/?status=503+Busy&body=mine").text == "mine"


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("app", ["echo", "aecho"])
def test_a_body_that_is_too_long(site, app, buffering):
    site.begin(f"""client_max_body_size 1000; python_request_buffering {buffering}; location / {{ python_pass {app}; }}
                   location /own {{ error_page 413 /413.html; python_pass {app}; }} location = /413.html {{ return 413 long; }}""")
    assert site.told("/", method="POST", body=b"x" * 1000)["length"] == 1000
    response = site.ask("/", "POST", body=b"x" * 1001)
    assert response.status == 413 and "<h1>413 Request Entity Too Large</h1>" in response.text
    assert site.ask("/own", "POST", body=b"x" * 1001).text == "long"
    chunked = [("Transfer-Encoding", "chunked")]
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("POST", "/", chunked).send(b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n")
        assert connection.response().status == (413 if app == "aecho" or buffering == "on" else 500)
    assert "client intended to send too large body: 1001 bytes" in site.log


def test_large_bodies_both_ways(site):
    site.begin("client_max_body_size 0; location / { python_pass echo; } location /asgi { python_pass aecho; } location /says { python_pass says; }")
    body = os.urandom(5 << 20)
    for path in ("/", "/asgi"):
        assert site.told(path, method="POST", body=body)["length"] == len(body)
    response = site.ask("/says?big=400")
    assert len(response.body) == 400 * 65536 and response.chunked
    response = site.ask("/says?big=3", "HEAD")
    assert (response.status, response.body) == (200, b"")


def test_answers_are_no_faster_than_they_may_be(site):
    site.begin("""location / { limit_rate 400k; limit_rate_after 64k; python_pass says; }
                  location /accel { python_pass says; }""")
    for path in ("/?big=12", "/accel?big=8&h=X-Accel-Limit-Rate:262144"):
        began = time.monotonic()
        response = site.ask(path)
        assert time.monotonic() - began > 0.5, path
        assert response["X-Accel-Limit-Rate"] is None


def test_connections_go_on(site):
    site.begin("location / { python_pass echo; } location /asgi { python_pass aecho; } location /says { python_pass says; }"
               "location /r { return 200 r; }")
    with Connection(("127.0.0.1", site.port)) as connection:
        for path, method, body in [("/", "GET", None), ("/asgi", "POST", b"x" * 9000), ("/r", "GET", None), ("/", "POST", b"x" * 99999),
                                   ("/says?raise", "POST", b"abc"), ("/says", "HEAD", None), ("/says?status=304+Not+Modified", "GET", None)]:
            response = connection.request(method, path, [], body).response(method)
            if "raise" in path:
                assert response.status == 500
                break
            assert response["Connection"] == "keep-alive", (path, response)


# X-Accel-*.

PROTECTED = """location /get { python_pass says; } location /agot { python_pass asays; }
    location /protected/ { internal; alias %s/secret/; add_header X-Way files; }
    location @named { return 200 "named $request_method $uri $args"; }
    location /again { internal; python_pass echo; }"""


def accel(site, to: str, *more: str, path: str = "/get", method: str = "GET", headers=()):
    query = "&".join(f"h={field}" for field in (f"X-Accel-Redirect:{to}", *more))
    return site.ask(f"{path}?{query}", method, headers)


def test_protected_downloads(site):
    asays = '''
from urllib.parse import parse_qsl
async def application(scope, receive, send):
    fields = [value.split(":", 1) for key, value in parse_qsl(scope["query_string"].decode()) if key == "h"]
    await send({"type": "http.response.start", "status": 200, "headers": [(k.encode(), v.encode()) for k, v in fields]})
    await send({"type": "http.response.body", "body": b"not to be seen"})
'''
    site.file("secret/a b.txt", "the secret").file("secret/c.css", "c {}")
    site.begin(PROTECTED % site.directory, apps={"asays": asays}, http="types { text/css css; } default_type text/plain;")
    assert site.ask("/protected/c.css").status == 404
    for path in ("/get", "/agot"):
        response = accel(site, "/protected/a%2520b.txt", "Content-Type:text/x-own", "Content-Disposition:attachment", "Set-Cookie:a=1",
                         "Set-Cookie:b=2", "Cache-Control:private", "X-Other:gone", "ETag:%22own%22", path=path)
        assert (response.status, response.text) == (200, "the secret"), response
        assert (response["Content-Type"], response["Content-Disposition"], response["Cache-Control"]) == ("text/x-own", "attachment", "private")
        assert response.all("Set-Cookie") == ["a=1", "b=2"] and response["X-Way"] == "files"
        assert response["X-Other"] is response["X-Accel-Redirect"] is None and response["ETag"] != '"own"'
    assert accel(site, "/protected/c.css", headers=[("Range", "bytes=0-0")]).text == "c"
    response = accel(site, "/protected/c.css", method="HEAD")
    assert (response.status, response["Content-Length"], response["Content-Type"]) == (200, "4", "text/css")
    assert accel(site, "/protected/c.css", method="POST").text == "c {}"
    assert accel(site, "/protected/c.css", "Status:x", path="/get?status=403+Forbidden&x=1".replace("?", "?", 1)).status in (200, 403)
    assert accel(site, "/protected/missing", "Content-Type:image/png")["Content-Type"] == "text/html"
    for unsafe in ("/protected/../get", "/protected/%252e%252e/get", "../x", "http://example.com/", "/protected/.."):
        assert accel(site, unsafe).status == 404, unsafe


def test_accel_leads_to_named_locations_and_queries(site):
    site.begin(PROTECTED % site.directory, apps={"asays": SAYS})
    # As nginx: only where a path is named, the method becomes GET.
    assert accel(site, "@named", method="POST").text.startswith("named POST /get h=X-Accel-Redirect")
    assert accel(site, "@nowhere").status == 500 and 'could not find named location "@nowhere"' in site.log
    seen = json.loads(accel(site, "/again/x%3Fa=b%26c", method="POST").body)
    assert (seen["PATH_INFO"], seen["QUERY_STRING"], seen["REQUEST_METHOD"]) == ("/again/x", "a=b&c", "GET")


def test_accel_fields_do_not_get_out(site):
    site.begin("location / { python_pass says; } location /raw { python_accel off; python_pass says; }")
    fields = "&".join(f"h=X-Accel-{name}" for name in ("Expires:10", "Buffering:no", "Charset:utf-8", "Limit-Rate:0", "Redirect:"))
    response = site.ask(f"/?{fields}&h=X-Kept:1")
    assert [name for name, _ in response.headers if name.startswith("X-")] == ["X-Kept"]
    assert site.ask("/raw?h=X-Accel-Redirect:/x")["X-Accel-Redirect"] == "/x"


# Streams.


def test_events_come_when_they_are_sent(site):
    app = '''
import asyncio
async def application(scope, receive, send):
    if scope["type"] == "lifespan": return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"data: %d\\n\\n" % number, "more_body": True})
        await asyncio.sleep(0.3)
    await send({"type": "http.response.body"})
'''
    wsgi = '''
import time
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    for number in range(3):
        yield b"data: %d\\n\\n" % number
        time.sleep(0.3)
'''
    site.begin("location / { python_pass events; } location /w { python_pass wevents; }", apps={"events": app, "wevents": wsgi})
    for path in ("/", "/w"):
        with Connection(("127.0.0.1", site.port)) as connection:
            connection.request("GET", path).head()
            times = []
            while connection.chunk():
                times.append(time.monotonic())
            assert len(times) == 3 and times[1] - times[0] > 0.2 < times[2] - times[1], path


def handshake(site, path: str):
    connection = Connection(("127.0.0.1", site.port))
    key = base64.b64encode(os.urandom(16)).decode()
    connection.request("GET", path, [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key)])
    return connection


def test_websockets_pass_too(site):
    site.begin("""location / { python_pass echo; }
                  location /chat/ { rewrite ^/chat(/.*)$ $1 break; python_pass aecho; }
                  location /closed/ { deny all; python_pass aecho; }""")
    with handshake(site, "/chat/room?x=1") as connection:
        assert connection.head().status == 101
        first = connection.read(2)
        length = int.from_bytes(connection.read(2)) if first[1] == 126 else first[1]
        seen = json.loads(connection.read(length))
        assert (seen["type"], seen["path"], seen["query_string"]) == ("websocket", "/room", "x=1")
        connection.send(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
        assert connection.read(4) == b"\x81\x02hi"
    with handshake(site, "/closed/") as connection:
        assert connection.response().status == 403
    with handshake(site, "/") as connection:
        assert connection.response().status == 200, "a WSGI application takes it for an ordinary request"


# Frameworks.


def test_flask_under_a_prefix(site):
    app = '''
from flask import Flask, redirect, request, url_for, send_file
app = Flask(__name__)
@app.get("/")
def home(): return url_for("page", name="ä", _external=True)
@app.post("/page/<name>")
def page(name): return f"{name} {request.form['x']} {request.script_root} {request.remote_addr}"
@app.get("/go")
def go(): return redirect(url_for("home"))
@app.get("/file")
def file(): return send_file(__file__, mimetype="text/x-python")
'''
    site.begin("server_name site.test; location /notes/ { python_mount on; python_pass notes:app; }", apps={"notes": app})
    assert site.ask("/notes/", headers=[("Host", "site.test:81")]).text == "http://site.test:81/notes/page/%C3%A4"
    response = site.ask("/notes/page/%C3%A4", "POST", [("Content-Type", "application/x-www-form-urlencoded")], b"x=1")
    assert response.text == "ä 1 /notes 127.0.0.1"
    assert site.ask("/notes/go")["Location"] == "/notes/"
    assert site.ask("/notes/file").text == app


def test_django_behind_files(site):
    app = '''
import django
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", DEBUG=False)
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path, reverse
def page(request, name):
    return HttpResponse(f"{request.path} {request.path_info} {reverse('page', args=[name])} {request.GET.get('q')} {request.get_host()}")
def download(request):
    response = HttpResponse(headers={"X-Accel-Redirect": "/files/a.txt", "Content-Disposition": "attachment; filename=a.txt"})
    del response["Content-Type"]
    return response
urlpatterns = [path("page/<str:name>/", page, name="page"), path("download", download)]
application = get_wsgi_application()
'''
    site.file("static/app.css", "css").file("files/a.txt", "protected")
    site.begin(f"""location /static/ {{ alias {site.directory}/static/; }}
                   location /files/ {{ internal; alias {site.directory}/files/; }}
                   location / {{ python_pass djapp; }}""", apps={"djapp": app})
    assert site.ask("/static/app.css").text == "css"
    assert site.ask("/page/a%20b/?q=1").text == "/page/a b/ /page/a b/ /page/a%20b/ 1 localhost"
    response = site.ask("/download")
    assert (response.text, response["Content-Disposition"], response["Content-Type"]) == ("protected", "attachment; filename=a.txt", "text/plain")
    response = site.ask("/missing")
    assert response.status == 404 and "Not Found" in response.text


def test_fastapi_under_a_prefix(site):
    app = '''
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
app = FastAPI()
@app.get("/items/{name}")
async def item(name: str, request: Request, q: int = 0):
    return {"name": name, "q": q, "url": str(request.url), "root": request.scope["root_path"], "made": str(request.url_for("item", name="x"))}
'''
    site.begin("location /api/ { python_mount on; python_pass shop:app; }", apps={"shop": app})
    seen = site.told("/api/items/a%20b?q=2")
    assert seen["name"] == "a b" and seen["q"] == 2 and seen["root"] == "/api"
    assert seen["made"] == "http://localhost/api/items/x"
    assert site.ask("/api/items/x?q=y").status == 422
    assert "openapi" in site.ask("/api/openapi.json").text


# python_app.


def test_all_settings_of_an_application(site):
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site.file(f"venv/lib/{version}/site-packages/helper.py", "NAME = 'from the venv'")
    site.file("elsewhere/x", "").file("modules/own.py", '''
import helper, json, os, threading
def main(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([helper.NAME, os.getcwd(), os.environ["GREETING"], environ["SCRIPT_NAME"], environ["wsgi.multithread"], os.getpid()]).encode()]
''')
    site.begin("location / { python_pass it; }", http="""python_app it { module own:main; home venv; chdir elsewhere; path modules; threads 3;
               interface wsgi; env GREETING "hello there"; root_path /it; max_requests 5; timeout 3s; }""")
    first = site.told("/")
    assert first[:5] == ["from the venv", str(site.directory / "elsewhere"), "hello there", "/it", True]
    until(lambda: site.told("/")[5] != first[5], "another worker after five requests")


def test_settings_that_are_wrong_are_told(site):
    for text, message in [("module", 'invalid number of arguments in "module" directive'), ("modul x;", 'unknown directive "modul" in python_app'),
                          ("module x; threads 0;", "invalid number"), ("module x; interface cgi;", 'invalid value "cgi"'),
                          ("threads 2;", 'python_app "it" has no "module"')]:
        site.save("location / { python_pass it; }", http=f"python_app it {{ {text}{';' if not text.endswith(';') else ''} }}")
        result = run("-t", "-p", site.directory)
        assert result.returncode == 1 and message in result.stderr, (text, result.stderr)


def test_a_call_that_takes_too_long_ends_its_worker(site):
    slow = "import time\ndef application(environ, start_response):\n    time.sleep(30)\n"
    site.begin("location / { python_pass echo; } location /slow { python_pass it; }", http="python_app it { module slow; timeout 1s; }", apps={"slow": slow})
    began = time.monotonic()
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("GET", "/slow")
        assert connection.is_closed()
    assert time.monotonic() - began < 10
    until(lambda: site.answers(), "another worker")


# Signals.

VERSION = "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"


def test_a_reload_takes_configuration_and_application_anew(site):
    site.begin("location / { python_pass version; }", apps={"version": VERSION % "one"})
    assert site.ask().text == "one"
    site.save("location / { python_pass version; } location /new { return 200 new; }", apps={"version": VERSION % "another"})
    site.send(signal.SIGHUP)
    until(lambda: site.ask().text == "another", "the new application")
    assert site.ask("/new").text == "new"


def test_an_application_that_cannot_be_loaded_leaves_the_old_one(site):
    site.begin("location / { python_pass version; }", apps={"version": VERSION % "one"})
    assert site.ask().text == "one"
    site.save("location / { python_pass version; }", apps={"version": "import no_such_module\n"})
    site.send(signal.SIGHUP)
    site.wait_for("No module named 'no_such_module'")
    time.sleep(1)
    for _ in range(5):
        assert site.ask().text == "one"
    site.save("location / { python_pass version; }", apps={"version": VERSION % "mended"})
    site.send(signal.SIGHUP)
    until(lambda: site.ask().text == "mended", "the mended application")
    site.send(signal.SIGQUIT)
    assert site.wait() == 0


def test_the_application_errors_go_to_the_log_that_is_open(site):
    site.begin("location / { python_pass says; }")
    log = site.directory / "logs" / "error.log"
    assert site.ask("/?raise").status == 500
    log.rename(log.with_suffix(".1"))
    site.send(signal.SIGUSR1)
    until(log.exists, "the new log")
    until(lambda: site.ask("/?raise").status == 500 and "ValueError" in log.read_text(), "the error in the new log")
    assert "ValueError" in log.with_suffix(".1").read_text()


def test_each_server_has_its_own_error_log(site):
    asays = "async def application(scope, receive, send):\n    raise ValueError('asked to')\n"
    site.begin("""error_log logs/site.log; location / { python_pass says; } location /a { python_pass asays; }
                  location /own { error_log logs/own.log error; python_pass says; }""", apps={"asays": asays})
    read = lambda name: (site.directory / "logs" / name).read_text()
    assert site.ask("/?raise").status == site.ask("/own?raise").status == 500
    assert read("site.log").count("ValueError: it was") == read("own.log").count("ValueError: it was") == 1
    assert site.ask("/a").status == 500 and "ValueError: asked to" in read("site.log") and "ValueError" not in read("error.log")
    with pytest.raises(AssertionError):
        site.ask("/own?h=Content-Length:9")
    until(lambda: 'less than its Content-Length; the connection is closed, client: 127.0.0.1' in read("own.log"), "the fault in the log")


def test_what_the_access_log_says_of_it(site):
    site.begin("""location / { access_log logs/access.log short; python_pass says; } location /r/ { access_log logs/access.log short; rewrite ^/r(.*) $1 break;
                  python_pass says; }""", http="log_format short '$status $body_bytes_sent $request_uri $uri $sent_http_x_a $request_completion';")
    site.ask("/a?h=X-A:b")
    site.ask("/r/b?status=404+No&body=four")
    site.ask("/c?raise", "POST", body=b"x")
    log = site.directory / "logs" / "access.log"
    until(lambda: log.exists() and len(log.read_text().splitlines()) == 3, "three lines")
    assert [line.split()[0:2] + line.split()[3:] for line in log.read_text().splitlines()] == [
        ["200", "4", "/a", "b", "OK"], ["404", "4", "/b", "-", "OK"], ["500", "177", "/c", "-", "OK"]]


# The command line's tree.


@pytest.mark.parametrize("app", ["echo", "aecho"])
def test_the_printed_tree_is_the_same_server(site, app, serve):
    site.save()
    site.file("assets/a.css", "a {}").file("assets/.hidden", "x")
    line = [app, "--static", "/static=assets", "--limit-request-line", "4000", "--header", "X-Own: yes"]
    if app == "aecho":
        line += ["--root-path", "/mnt"]
    printed = run("-T", *line, "-b", f"127.0.0.1:{site.port}", cwd=site.directory)
    assert printed.returncode == 0, printed.stderr
    (site.directory / "nginx.conf").write_text(printed.stdout)
    tested = run("-t", "-p", site.directory, "-c", site.directory / "nginx.conf")
    assert tested.returncode == 0, tested.stderr
    site.start("-c", site.directory / "nginx.conf", "-g", "pid logs/nginx.pid;", wait=False)
    until(lambda: site.process.poll() is not None or site.connects(), "it to listen")
    assert site.process.poll() is None, site.log
    other = serve(*line, cwd=site.directory)
    def shown(address, method, path, headers, body):
        with Connection(address) as connection:
            response = connection.request(method, path, [*headers, ("Connection", "close")], body).response(method)
        fields = [(name, value) for name, value in response.headers if name not in ("Date", "Last-Modified", "ETag", "Content-Length")]
        text = re.sub(r'"(REMOTE_PORT|SERVER_PORT)": "\d+"|"(client|server)": \["127.0.0.1", \d+\]', "", response.body.decode("latin-1"))
        return response.status, response.reason, fields, text
    for method, path, headers, body in [
        ("GET", "/", [], None), ("GET", "/a%20b//c/../d?x=1", [], None), ("POST", "/form", [], b"abc"), ("HEAD", "/x", [], None),
        ("GET", "/static/a.css", [], None), ("GET", "/static/a.css", [("Range", "bytes=0-0")], None), ("GET", "/static/none", [], None),
        ("GET", "/static/.hidden", [], None), ("POST", "/static/a.css", [], b""), ("GET", "/static", [], None), ("OPTIONS", "*", [], None),
        ("GET", "/" + "x" * 5000, [], None), ("GET", "/x", [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https")], None),
        ("TRACE", "/", [], None), ("GET", "/static/../x", [], None),
    ]:
        case = (method, path, headers, body)
        assert shown(("127.0.0.1", site.port), *case) == shown(("127.0.0.1", other.port), *case), case
