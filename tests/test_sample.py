"""A whole site as people have it: the build of a frontend, an API behind `/api/` and a WebSocket behind that, by a plain nginx.conf.

Without a browser the answers are compared with nginx's, where it is; with one, the page works.
"""

import json
import re

import pytest
from browser import launch
from front import NGINX, Front, uvicorn
from websockets.sync.client import connect

CONTENT = """
    include {dir}/mime.types;
    default_type application/octet-stream;
    sendfile on;
    keepalive_timeout 65;

    upstream api {
        server 127.0.0.1:{backend};
    }

    server {
        listen 127.0.0.1:{port};
        server_name localhost;
        charset utf-8;
        root {dir}/build;

        location /api/ {
            proxy_pass http://api;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Host $http_host;
            proxy_read_timeout 300;
            proxy_connect_timeout 300;
            proxy_send_timeout 300;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "Upgrade";
            proxy_redirect off;
        }

        location ~* (service-worker\\.js)$ {
            add_header 'Cache-Control' 'no-store, no-cache, must-revalidate, proxy-revalidate, max-age=0';
            expires off;
            proxy_no_cache 1;
        }

        location / {
            try_files $uri $uri/ /index.html?q=$uri&$args;
        }
    }
"""
TYPES = """types {
    text/html html htm; text/css css; application/javascript js; application/json json map; image/svg+xml svg; image/x-icon ico; text/plain txt;
}
"""
BUILD = {
    "index.html": """<!doctype html><html lang="en"><head><meta charset="utf-8"/><title>Sample</title>
<link rel="manifest" href="/manifest.json"/><link href="/static/css/main.073c9b0a.css" rel="stylesheet"/>
<script defer="defer" src="/static/js/main.e2f1a4c7.js"></script></head><body><div id="root"></div></body></html>
""",
    "static/css/main.073c9b0a.css": "#root { color: rgb(1, 2, 3) }\n",
    "static/js/main.e2f1a4c7.js": """\
"use strict";
const root = document.getElementById("root");
const line = (id, text) => { const p = document.createElement("p"); p.id = id; p.textContent = text; root.append(p); };
line("route", location.pathname);
fetch("/api/info?from=" + encodeURIComponent(location.pathname)).then((answer) => answer.json()).then((info) => {
  line("api", [info.method, info.path, info.headers["x-forwarded-proto"], info.headers.host].join(" "));
});
fetch("/api/upload", { method: "POST", body: new Blob(["x".repeat(300000)]) }).then((answer) => answer.json()).then((got) => line("upload", got.length));
const socket = new WebSocket(`ws://${location.host}/api/ws`);
socket.onopen = () => socket.send("K\\u00e4se \\u{1f375}");
socket.onmessage = (event) => line("socket", event.data);
window.socket = socket;
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register("/service-worker.js").then(() => navigator.serviceWorker.ready).then(() => line("worker", "ready"), (error) => line("worker", error));
}
""",
    "static/js/main.e2f1a4c7.js.map": '{"version": 3}\n',
    "service-worker.js": 'self.addEventListener("install", () => self.skipWaiting());\n',
    "manifest.json": '{"short_name": "Sample", "start_url": ".", "display": "standalone"}\n',
    "robots.txt": "User-agent: *\nDisallow:\n",
    "logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>\n',
    "docs/index.html": "<p>\u00dcber uns</p>\n",
}
NO_STORE = "no-store, no-cache, must-revalidate, proxy-revalidate, max-age=0"


def site(directory, backend, **options) -> Front:
    directory.mkdir()
    for name, text in BUILD.items():
        path = directory / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (directory / "mime.types").write_text(TYPES)
    return Front(directory, CONTENT.replace("{backend}", str(backend.port)), **options)


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    with uvicorn(tmp_path_factory.mktemp("sample") / "backend") as backend:
        yield backend


@pytest.fixture(scope="module")
def sample(tmp_path_factory, backend):
    with site(tmp_path_factory.mktemp("front") / "site", backend) as front:
        yield front


def test_there_is_nothing_to_say_about_it(sample):
    assert not re.search(r"\[(warn|error|crit|alert|emerg)\]", sample.log)


def test_pages_of_the_frontend(sample):
    index = BUILD["index.html"].encode()
    for path in ("/", "/index.html", "/some/deep/route", "/users/42?tab=posts", "/static/js/none.js"):
        answer = sample.get(path)
        assert (answer.status, answer.body, answer["Content-Type"]) == (200, index, "text/html; charset=utf-8"), path
    assert sample.get("/docs/").text == "<p>\u00dcber uns</p>\n"
    assert sample.get("/docs").status == 301
    for path, kind in (("static/js/main.e2f1a4c7.js", "application/javascript; charset=utf-8"), ("static/css/main.073c9b0a.css", "text/css"),
                       ("manifest.json", "application/json"), ("logo.svg", "image/svg+xml")):
        answer = sample.get(f"/{path}")
        assert (answer.status, answer.text) == (200, BUILD[path]) and answer["Content-Type"].startswith(kind.partition(";")[0])
    again = sample.get("/logo.svg", headers=[("If-None-Match", sample.get("/logo.svg")["ETag"])])
    assert again.status == 304


def test_the_service_worker_is_never_stored(sample):
    answer = sample.get("/service-worker.js")
    assert (answer.status, answer["Cache-Control"], answer.text) == (200, NO_STORE, BUILD["service-worker.js"])
    assert sample.get("/index.html")["Cache-Control"] is None


def test_the_api(sample):
    info = json.loads(sample.get("/api/info?a=b", headers=[("X-Forwarded-For", "10.1.1.1")]).body)
    fields = info["headers"]
    assert (info["path"], info["query"], info["protocol"]) == ("/api/info", "a=b", "HTTP/1.1")
    assert (fields["host"], fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("localhost", "10.1.1.1, 127.0.0.1", "http")
    assert "upgrade" not in fields  # there was none; and an empty value is not sent
    assert json.loads(sample.get("/api/upload", method="POST", body=b"x" * 100_000).body)["length"] == 100_000
    assert sample.get("/api/status?code=404").text == "a body\n"
    assert sample.get("/api").body == BUILD["index.html"].encode() or sample.get("/api").status == 301


def test_its_socket(sample):
    with connect(f"ws://127.0.0.1:{sample.port}/api/ws", open_timeout=20) as ws:
        for message in ("hello", b"\0\1", "\u00fc" * 50_000):
            ws.send(message)
            assert ws.recv(20) == message


def test_nginx_answers_the_same(sample, backend, tmp_path):
    if NGINX is None:
        pytest.skip("there is no nginx")

    def seen(front: Front, path: str, headers=()):
        answer = front.get(path, headers=headers)
        fields = [(name, value.replace(str(front.port), "PORT")) for name, value in answer.headers if name not in ("Date", "Server", "ETag", "Last-Modified")]
        if path.startswith("/api"):  # the fields of the server's answer have its order
            fields.sort()
        body = re.sub(rb'"port": "\d+"', b"", answer.body).replace(b"nginx", b"daemun").replace(str(front.port).encode(), b"PORT")
        return answer.status, [(name, value) for name, value in fields if name != "Content-Length"], re.sub(rb"daemun/[\d.]+", b"daemun", body)

    with site(tmp_path / "nginx", backend, program=NGINX) as nginx:
        for path in ("/", "/docs", "/docs/", "/x/y?z", "/service-worker.js", "/sub/SERVICE-WORKER.JS", "/static/js/main.e2f1a4c7.js", "/robots.txt", "/manifest.json", "/api",
                     "/api/info?a", "/api/stream", "/api/status?code=500", "/api/download?size=100000", "/%2e%2e/etc/passwd", "/api/../index.html"):
            assert seen(sample, path) == seen(nginx, path), path
        assert seen(sample, "/logo.svg", [("Range", "bytes=0-3")]) == seen(nginx, "/logo.svg", [("Range", "bytes=0-3")])


@pytest.fixture
def browser(tmp_path):
    browser = launch(tmp_path)
    yield browser
    browser.close()


@pytest.mark.slow
def test_the_page_works_in_a_browser(sample, browser):
    page = browser.open(f"{sample.url}/some/deep/route")
    text = lambda name: f"document.getElementById('{name}')?.textContent"
    page.see(text("route") + " === '/some/deep/route'", "the page to know its route")
    page.see(text("api") + f" === 'GET /api/info http 127.0.0.1:{sample.port}'", "the answer of the API")
    page.see(text("upload") + " === '300000'", "the upload to arrive")
    page.see(text("socket") + " === 'K\u00e4se \U0001f375'", "the message to come back")
    page.see(text("worker") + " === 'ready'", "the service worker to be there")
    assert page.run("getComputedStyle(root).color") == "rgb(1, 2, 3)"
    assert page.run("new Promise((done) => { socket.onclose = (event) => done(event.code); socket.send('close') })") == 4321
    assert not re.search(r"\[(error|crit|alert|emerg)\]", sample.log)
