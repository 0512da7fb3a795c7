"""Starlette, FastAPI (the example), Quart, Django with Channels: under real clients, on both event loops."""

import hashlib
import json
import os
import time

import httpx
import pytest
from harness import EXAMPLES, ClosedEarly, until
from test_asgi_messages import LOOPS
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

FILE = bytes(range(256)) * 40_000


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def starlette(request, serve_all):
    server = serve_all("asgi_starlette", *request.param)
    (server.directory / "file.bin").write_bytes(FILE)
    (server.directory / "public").mkdir(exist_ok=True)
    (server.directory / "public" / "style.css").write_text("body { color: red }")
    return server


@pytest.fixture(scope="module")
def bare(serve_all):
    """Starlette without middleware, which hides the server's extensions."""
    server = serve_all("asgi_starlette:bare")
    (server.directory / "file.bin").write_bytes(FILE)
    return server


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def fastapi(request, serve_all):
    return serve_all("app:app", *request.param, cwd=EXAMPLES / "fastapi")


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def quart(request, serve_all):
    return serve_all("asgi_quart:app", *request.param)


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def django(request, serve_all):
    return serve_all("asgi_django", *request.param)


def client(server):
    return httpx.Client(base_url=server.url, timeout=20)


def socket(server, path, **options):
    return connect(f"ws://127.0.0.1:{server.port}{path}", open_timeout=20, **options)


def seen(server):
    return server.json("/seen")


# Starlette.


def test_starlette_routes_and_middleware(starlette):
    with client(starlette) as http:
        home = http.get("/")
        assert home.text == "<h1>/ middleware</h1>" and home.headers["X-Middleware"] == "passed"
        item = http.get("/items/42", params={"q": "käse & co"}).json()
        assert (item["id"], item["query"], item["from"]) == (42, {"q": "käse & co"}, "lifespan")
        assert item["url"].startswith(f"{starlette.url}/items/42?q=k%C3%A4se")
        assert http.get("/absent").status_code == 404
        assert http.get("/echo").status_code == 405
        assert http.get("/redirect").status_code == 307
        assert http.get("/plain").text == "from a thread"
        teapot = http.get("/refuses")
        assert (teapot.status_code, teapot.headers["X-Tea"]) == (418, "green")


def test_starlette_reads_bodies(starlette):
    data = os.urandom(2_000_000)
    with client(starlette) as http:
        assert http.post("/echo", content=data).content == data
        assert http.post("/echo", content=(data[at : at + 9999] for at in range(0, len(data), 9999))).content == data
        assert http.post("/stream-in", content=data).json() == {"total": len(data)}
        assert http.post("/upload", data={"note": "é"}, files={"file": ("a.bin", data)}).json() == {"name": "a.bin", "size": len(data), "note": "é"}


@pytest.mark.parametrize("path", ["/stream-out", "/sync-stream"])
def test_starlette_streams(starlette, path):
    with client(starlette) as http, http.stream("GET", path) as response:
        assert list(response.iter_lines()) == ["0", "1", "2", "3", "4"]


def test_starlette_compresses(starlette):
    with client(starlette) as http:
        response = http.get("/stream-out", headers={"Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip" and response.text == "0\n1\n2\n3\n4\n"


def test_starlette_sends_files(starlette, bare):
    for server in (starlette, bare):
        with server.connect() as connection:
            response = connection.request("GET", "/file").response()
            assert response.body == FILE and response["Content-Length"] == str(len(FILE))
            assert "named.bin" in response["Content-Disposition"]
            part = connection.request("GET", "/file", [("Range", "bytes=1000-1999")]).response()
            assert (part.status, part.body) == (206, FILE[1000:2000])
            head = connection.request("HEAD", "/file").response("HEAD")
            assert head["Content-Length"] == str(len(FILE))
            assert connection.request("GET", "/seen").response().status == 200


def test_starlette_static_files(starlette):
    with client(starlette) as http:
        style = http.get("/public/style.css")
        assert style.text == "body { color: red }" and style.headers["Content-Type"].startswith("text/css")
        assert http.get("/public/style.css", headers={"If-None-Match": style.headers["ETag"]}).status_code == 304
        assert http.get("/public/absent").status_code == 404


def test_starlette_runs_tasks_after_the_answer(starlette):
    before = len(seen(starlette))
    assert starlette.get("/background").text == "started"
    assert until(lambda: len(seen(starlette)) >= before + 2 and seen(starlette), "the tasks")[before:] == ["async", "thread"]


def test_starlette_ends_its_streams_when_the_client_goes(starlette):
    leave_a_stream(starlette)


def test_starlette_without_middleware_ends_them_too(bare):
    leave_a_stream(bare)


def leave_a_stream(server):
    before = seen(server).count("stream ended")
    with server.connect() as connection:
        connection.request("GET", "/endless")
        assert connection.head().status == 200 and connection.chunk()
    until(lambda: seen(server).count("stream ended") == before + 1, "the stream to end")


def test_starlette_sees_that_the_client_went(bare):
    before = seen(bare).count("disconnected")
    with bare.connect() as connection:
        connection.request("GET", "/waits")
        until(lambda: "waiting" in seen(bare), "the handler")
        time.sleep(0.1)
    until(lambda: seen(bare).count("disconnected") == before + 1, "the disconnect")


def test_starlette_sees_a_body_cut_short(starlette):
    before = seen(starlette).count("ClientDisconnect")
    with starlette.connect() as connection:
        connection.request("POST", "/cut", [("Content-Length", "100")]).send(b"part")
        time.sleep(0.1)
    until(lambda: seen(starlette).count("ClientDisconnect") == before + 1, "the disconnect")


def test_starlette_fails_with_500_and_a_traceback(starlette):
    assert starlette.get("/fails").status == 500
    starlette.wait_for_log("Starlette's own failure")
    assert starlette.get("/plain").text == "from a thread"


def test_a_handler_calls_another_server(starlette, serve):
    other = serve("hello")
    assert starlette.get(f"/call-out?url={other.url}/").text == "200 Hello"
    assert starlette.get(f"/call-out?url={starlette.url}/plain").text == "200 from a thread", "itself, too"


def test_a_handler_uses_threads(starlette):
    assert starlette.json("/threads") == [number * 2 for number in range(10)]


def test_starlette_websockets(starlette):
    with socket(starlette, "/ws", subprotocols=["other", "chat"]) as ws:
        assert ws.subprotocol == "chat"
        ws.send("hello")
        assert ws.recv(20) == "echo hello"
        ws.close(4001, "bye")
    until(lambda: "ws 4001 bye" in seen(starlette), "the disconnect")
    with socket(starlette, "/ws-json") as ws:
        ws.send(json.dumps({"a": [1, "é"]}))
        assert json.loads(ws.recv(20)) == {"got": {"a": [1, "é"]}}
    with socket(starlette, "/ws-closes") as ws:
        assert ws.recv(20) == b"bytes"
        with pytest.raises(ConnectionClosed) as error:
            ws.recv(20)
        assert (error.value.rcvd.code, error.value.rcvd.reason) == (4000, "enough")


@pytest.mark.parametrize(("path", "status"), [("/ws-refuses", 403), ("/ws-denies", 401), ("/absent", 403)])
def test_starlette_refuses_websockets(starlette, path, status):
    with pytest.raises(InvalidStatus) as error, socket(starlette, path):
        pytest.fail("it was accepted")
    assert error.value.response.status_code == status
    if path == "/ws-denies":
        assert json.loads(error.value.response.body) == {"why": "no"}


# FastAPI: the example.


def test_fastapi_reads_and_writes(fastapi):
    with client(fastapi) as http:
        assert http.get("/books").json()["1"]["title"] == "The Mezzanine"
        created = http.post("/books", json={"title": "Käse", "pages": 3})
        assert created.status_code == 201
        assert http.get(f"/books/{created.json()['id']}").json() == {"title": "Käse", "pages": 3}
        assert http.get("/books/99").status_code == 404


def test_fastapi_validates(fastapi):
    with client(fastapi) as http:
        response = http.post("/books", json={"title": "", "pages": "many"})
        assert response.status_code == 422 and len(response.json()["detail"]) == 2
        assert http.post("/books", content=b"{broken", headers={"Content-Type": "application/json"}).status_code == 422
        assert http.get("/books/nonsense").status_code == 422


def test_fastapi_takes_an_upload(fastapi):
    data = os.urandom(3_000_000)
    with client(fastapi) as http:
        response = http.post("/cover", files={"file": ("cover.png", data)})
        assert response.json() == {"name": "cover.png", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_fastapi_documents_itself(fastapi):
    with client(fastapi) as http:
        assert "swagger" in http.get("/docs").text.lower()
        assert "/books/{number}" in http.get("/openapi.json").json()["paths"]


def test_fastapi_streams_events(fastapi):
    with client(fastapi) as http, http.stream("GET", "/clock", params={"ticks": 2}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert [line[:6] for line in response.iter_lines() if line] == ["data: ", "data: "]


def test_fastapi_websocket(fastapi):
    with socket(fastapi, "/echo") as ws:
        for word in ("one", "two"):
            ws.send(word)
            assert ws.recv(20) == word


def test_nothing_went_wrong_meanwhile(fastapi):
    assert "Traceback" not in fastapi.log


# Quart.


def test_quart(quart):
    with client(quart) as http:
        assert "before" in http.get("/").text
        assert http.post("/form", data={"a": "1", "b": "é"}).json() == {"a": "1", "b": "é"}
        data = os.urandom(200_000)
        assert http.post("/echo", content=data).content == data
        stream = http.get("/stream")
        assert (stream.text, stream.headers["X-Stream"]) == ("0\n1\n2\n3\n4\n", "yes")
        assert http.get("/sync").text == "from a thread"
        assert http.get("/absent").status_code == 404
    with socket(quart, "/ws") as ws:
        ws.send("hello")
        assert ws.recv(20) == "quart hello"


# Django and Channels.


def test_django_views(django):
    with client(django) as http:
        assert http.get("/async").text == f"async /async 127.0.0.1 {django.port}"
        assert http.get("/sync").text == "sync"
        data = os.urandom(4_000_000)
        assert http.post("/upload", files={"file": ("a.bin", data)}).json() == {"name": "a.bin", "size": len(data)}
        assert http.get("/stream").text == "0\n1\n2\n3\n4\n"
        assert http.get("/absent").status_code == 404
        assert http.get("/fails").status_code == 500
    django.wait_for_log("Django's own failure")


def test_django_cancels_a_view_whose_client_went(django):
    before = seen(django)
    with django.connect() as connection:
        connection.request("GET", "/long-poll")
        until(lambda: seen(django).count("waiting") > before.count("waiting"), "the view")
        time.sleep(0.1)
    until(lambda: seen(django).count("cancelled") > before.count("cancelled"), "the view to be cancelled")


def test_channels(django):
    with socket(django, "/ws") as one, socket(django, "/ws") as two:
        one.send("to all")
        assert one.recv(20) == two.recv(20) == "to all"
    until(lambda: seen(django).count("ws 1000") >= 2, "the disconnects")
    with socket(django, "/ws-sync") as ws:
        ws.send("shout")
        assert ws.recv(20) == "SHOUT"


def test_no_framework_is_hurt_by_clients_that_come_and_go(starlette, django):
    for server, path in ((starlette, "/stream-out?n=50"), (django, "/stream")):
        for _ in range(10):
            with server.connect() as connection:
                connection.request("GET", path)
                try:
                    connection.head()
                except ClosedEarly:
                    pytest.fail("no answer")
        assert server.get("/seen").status == 200
