"""ASGI without a framework, for bench/soak.py, wsidle.py and stall.py."""

import time


async def app(scope, receive, send):
    if scope["type"] == "http":
        await PAGES[scope["path"]](receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def hello(receive, send):
    await answer(send, b"Hello, world!")


async def post(receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await answer(send, body)


async def burn(receive, send):
    """50 ms of Python, as a handler that computes."""
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        sum(range(1000))
    await answer(send, b"burnt")


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        key = "bytes" if message.get("bytes") is not None else "text"
        await send({"type": "websocket.send", key: message[key]})


PAGES = {"/": hello, "/post": post, "/burn": burn}
