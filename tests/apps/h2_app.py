"""Applications for tests of HTTP/2: `wsgi` and `asgi`."""

import asyncio
import hashlib
import json
import os
import time
from pathlib import Path


def wsgi(environ, start_response):
    path = environ["PATH_INFO"].rpartition("/")[2]
    size = int(environ["QUERY_STRING"] or 0)
    if path == "big":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
        return (b"x" * min(100_000, size - done) for done in range(0, size, 100_000))
    if path == "stream":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "x"), ("X-Mixed-Case", "Y")])
        return (b"x" * 1000 for _ in range(size))
    if path == "short":
        start_response("200 OK", [("Content-Length", "10")])
        return [b"abc"]
    if path == "raise":
        def answer():
            yield b"x" * 100_000
            raise ValueError("in the middle")
        start_response("200 OK", [])
        return answer()
    if path == "slow":
        time.sleep(size / 1000)
    if path == "early":
        start_response("200 OK", [])
        return [b"early"]
    if path == "endless":
        def answer():
            try:
                for _ in range(10_000):
                    time.sleep(0.005)
                    yield b"x" * 10_000
            finally:
                Path(os.environ["TEST_DIR"], "wsgi-closed").write_text("closed")
        start_response("200 OK", [])
        return answer()
    body = environ["wsgi.input"].read()
    headers = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    told = {
        "method": environ["REQUEST_METHOD"], "protocol": environ["SERVER_PROTOCOL"], "length": len(body),
        "digest": hashlib.sha256(body).hexdigest(), "content_length": environ.get("CONTENT_LENGTH"), "headers": headers,
        "trailers": environ.get("daemun.trailers"), "scheme": environ["wsgi.url_scheme"], "path": environ["PATH_INFO"],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def note(name, what):
    Path(os.environ["TEST_DIR"], name).write_text(what)


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"].rpartition("/")[2]
    size = int(scope["query_string"] or 0)
    if scope["type"] == "websocket":
        return await websocket(scope, receive, send, path)
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-version", scope["http_version"].encode())]}
    if path == "wait":
        note("asgi-waits", "yes")
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        note("asgi-disconnected", "yes")
        return
    if path == "early":
        await send(start)
        return await send({"type": "http.response.body", "body": b"early"})
    if path == "hints":
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    if path == "big":
        await send(start)
        for done in range(0, size, 50_000):
            await send({"type": "http.response.body", "body": b"x" * min(50_000, size - done), "more_body": True})
        return await send({"type": "http.response.body"})
    if path == "trailers":
        await send({**start, "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        return await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
    if path == "slow":
        await asyncio.sleep(size / 1000)
    await send(start)
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        if path == "echo":
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        if not message["more_body"]:
            break
    await send({"type": "http.response.body", "body": b"" if path == "echo" else b"%d" % length})


async def websocket(scope, receive, send, path):
    await receive()
    if path == "deny":
        return await send({"type": "websocket.close"})
    protocols = scope["subprotocols"]
    headers = [(b"x-version", scope["http_version"].encode()), (b"x-scheme", scope["scheme"].encode())]
    await send({"type": "websocket.accept", "subprotocol": protocols[0] if protocols else None, "headers": headers})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return note("websocket-code", str(message["code"]))
        if message.get("text") == "close":
            return await send({"type": "websocket.close", "code": 3001, "reason": "as asked"})
        if message.get("text") == "big":
            await send({"type": "websocket.send", "bytes": b"x" * 300_000})
            continue
        await send({"type": "websocket.send", **{kind: message[kind] for kind in ("text", "bytes") if message.get(kind)}})
