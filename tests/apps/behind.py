"""What stands behind a proxy in the tests: one set of pages, as a WSGI and as an ASGI application (`behind.js` is Node's).

`/info` tells what came, `/upload` length and hash of the body, `/download?size=` sends that many bytes, `/stream` pieces
without a length, `/status?code=` an answer with that status, `/events` an event stream, `/ws` echoes.
"""

import asyncio
import hashlib
import json
from urllib.parse import parse_qs

LINE = b"0123456789abcde\n"  # what downloads consist of
PIECE = LINE * 4096


def pieces(size):
    while size > 0:
        yield PIECE[:size]
        size -= len(PIECE)


def wsgi(environ, start_response):
    path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"])
    status, headers, body = "200 OK", [("Content-Type", "text/plain")], [b""]
    if path.endswith("/upload"):
        total, digest = 0, hashlib.sha256()
        while data := environ["wsgi.input"].read(1 << 16):
            total += len(data)
            digest.update(data)
        body = [json.dumps({"length": total, "sha256": digest.hexdigest()}).encode()]
    elif path.endswith("/download"):
        size = int(query["size"][0])
        headers.append(("Content-Length", str(size)))
        body = pieces(size)
    elif path.endswith("/stream"):
        body = (b"piece %d\n" % number for number in range(5))
    elif path.endswith("/status"):
        status = f"{query['code'][0]} Status"
        body = [] if query["code"][0] in ("204", "304") else [b"a body\n"]
    else:
        fields = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
        info = {"method": environ["REQUEST_METHOD"], "path": path, "query": environ["QUERY_STRING"], "headers": fields,
                "protocol": environ["SERVER_PROTOCOL"], "port": environ.get("REMOTE_PORT", "")}
        body = [json.dumps(info).encode()]
        headers.append(("Content-Length", str(len(body[0]))))
    start_response(status, headers)
    return body


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"].removeprefix("lifespan.")
            await send({"type": f"lifespan.{kind}.complete"})
            if kind == "shutdown":
                return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    path, query = scope["path"], parse_qs(scope["query_string"].decode())
    status, headers = 200, [(b"content-type", b"text/plain")]

    async def start():
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def give(data, more=False):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if path.endswith("/upload"):
        total, digest = 0, hashlib.sha256()
        while True:
            message = await receive()
            total += len(message.get("body", b""))
            digest.update(message.get("body", b""))
            if not message.get("more_body"):
                break
        await start()
        await give(json.dumps({"length": total, "sha256": digest.hexdigest()}).encode())
    elif path.endswith("/download"):
        size = int(query["size"][0])
        headers.append((b"content-length", b"%d" % size))
        await start()
        for data in pieces(size):
            await give(data, True)
        await give(b"")
    elif path.endswith("/stream"):
        await start()
        for number in range(5):
            await give(b"piece %d\n" % number, True)
            await asyncio.sleep(0.01)
        await give(b"")
    elif path.endswith("/events"):
        headers[0] = (b"content-type", b"text/event-stream")
        await start()
        for number in range(1000):  # until nobody listens
            await give(b"data: %d\n\n" % number, True)
            await asyncio.sleep(0.1)
        await give(b"")
    elif path.endswith("/status"):
        status = int(query["code"][0])
        await start()
        await give(b"" if status in (204, 304) else b"a body\n")
    else:
        fields = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        info = {"method": scope["method"], "path": path, "query": scope["query_string"].decode(), "headers": fields,
                "protocol": f"HTTP/{scope['http_version']}", "port": str(scope["client"][1])}
        data = json.dumps(info).encode()
        headers.append((b"content-length", b"%d" % len(data)))
        await start()
        await give(data)


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4321})
            return
        text, data = message.get("text"), message.get("bytes")
        await send({"type": "websocket.send", "text": text} if text is not None else {"type": "websocket.send", "bytes": data})
