"""One ASGI application with a page for each thing that the specification allows, or that applications do wrong.

The path names the function; `/events?name=…` tells what happened out of the client's sight.
"""

import asyncio
import hashlib
import json
import os
import time
from pathlib import Path
from urllib.parse import parse_qs

DIRECTORY = Path(os.environ.get("TEST_DIR", "/tmp"))
PLAIN = [(b"content-type", b"text/plain")]
events: dict[str, list] = {}
PAGES = {}
SOCKETS = {}


def note(name, what):
    events.setdefault(name, []).append(what)


def page(function):
    PAGES["/" + function.__name__.replace("_", "-")] = function
    return function


def socket(function):
    SOCKETS["/" + function.__name__.replace("_", "-")] = function
    return function


def query(scope):
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode(), keep_blank_values=True).items()}


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        scope["state"].update(own="from the lifespan", shared=[])
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await PAGES.get(scope["path"], absent)(scope, receive, send)
    else:
        function = SOCKETS.get(scope["path"])
        if function is not None:
            await function(scope, receive, send)


async def start(send, status=200, headers=PLAIN, **more):
    await send({"type": "http.response.start", "status": status, "headers": headers, **more})


async def body(send, data=b"", more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def answer(send, data, status=200, headers=PLAIN):
    await start(send, status, [*headers, (b"content-length", b"%d" % len(data))])
    await body(send, data)


async def as_json(send, value):
    await answer(send, json.dumps(value).encode(), headers=[(b"content-type", b"application/json")])


async def read(receive):
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def gate(scope, name="gate"):
    """Until the test has made the file that the query names."""
    end = time.monotonic() + 20
    while not (DIRECTORY / query(scope)[name]).exists():
        assert time.monotonic() < end, "the gate stayed shut"
        await asyncio.sleep(0.01)


async def absent(scope, receive, send):
    await answer(send, b"no such page", 404)


# Plain answers.


@page
async def hello(scope, receive, send):
    await answer(send, b"Hello")


@page
async def happened(scope, receive, send):
    await as_json(send, events.get(query(scope)["name"], []))


PAGES["/events"] = happened


@page
async def pid(scope, receive, send):
    await answer(send, str(os.getpid()).encode())


@page
async def sleep(scope, receive, send):
    await asyncio.sleep(float(query(scope)["s"]))
    await answer(send, b"slept")


@page
async def hang(scope, receive, send):
    """Keeps the whole loop waiting."""
    time.sleep(float(query(scope)["s"]))
    await answer(send, b"hung")


@page
async def state(scope, receive, send):
    """What the lifespan left, and then what this request makes of it."""
    before = {key: value for key, value in scope["state"].items() if key != "shared"}
    scope["state"]["mine"] = 1
    scope["state"]["shared"].append(1)
    scope.setdefault("extensions", {})["mine"] = {}
    await as_json(send, {"before": before, "shared": len(scope["state"]["shared"])})


@page
async def extensions(scope, receive, send):
    await as_json(send, sorted(scope.get("extensions") or {}))


@page
async def change_scope(scope, receive, send):
    """Middleware changes the scope as it likes."""
    try:
        scope["headers"].append((b"x-own", b"1"))
    except AttributeError:  # an iterable need not be a list
        scope["headers"] = [*scope["headers"], (b"x-own", b"1")]
    seen = sum(name == b"x-own" for name, _ in scope["headers"])
    scope["path"] = "/elsewhere"
    scope["own"] = object()
    await as_json(send, seen)


# Requests.


@page
async def messages(scope, receive, send):
    """The messages of the request, body by body."""
    seen = []
    while True:
        message = await receive()
        seen.append({"type": message["type"], "body": message["body"].decode("latin-1"), "more_body": message.get("more_body", False),
                     "is bytes": type(message["body"]) is bytes, "keys": sorted(message)})
        if not message.get("more_body"):
            break
    await as_json(send, seen)


@page
async def echo(scope, receive, send):
    await answer(send, await read(receive))


@page
async def digest(scope, receive, send):
    sha, length, pieces = hashlib.sha256(), 0, 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note("digest", ["disconnect", length])
            return
        sha.update(message["body"])
        length += len(message["body"])
        pieces += 1
        if not message.get("more_body"):
            break
    await answer(send, f"{length} {sha.hexdigest()}".encode())


@page
async def duplex(scope, receive, send):
    """Says what it got before it asks for more."""
    await start(send)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note("duplex", "disconnect")
            return
        await body(send, b"got " + message["body"], bool(message.get("more_body")))
        if not message.get("more_body"):
            return


@page
async def ignore_body(scope, receive, send):
    await answer(send, b"ignored")


@page
async def lazy_reader(scope, receive, send):
    """Reads nothing before the gate, then all."""
    note("lazy-reader", "called")
    await gate(scope)
    await digest(scope, receive, send)


@page
async def refuse_early(scope, receive, send):
    """A final answer without ever asking for the body."""
    await answer(send, b"no, thank you", 417)


@page
async def receive_more(scope, receive, send):
    """After the body receive() waits for the end; after the answer it tells it."""
    await read(receive)
    try:
        early = await asyncio.wait_for(receive(), 0.2)
    except asyncio.TimeoutError:
        early = None
    await as_json(send, early)
    note("receive-more", (await asyncio.wait_for(receive(), 5))["type"])
    note("receive-more", (await asyncio.wait_for(receive(), 5))["type"])


@page
async def wait_for_body(scope, receive, send):
    """receive() given up, and asked again: no byte is lost."""
    given_up = 0
    while True:
        try:
            message = await asyncio.wait_for(receive(), 0.05)
            break
        except asyncio.TimeoutError:
            given_up += 1
    assert message["type"] == "http.request"
    data = message["body"] + (await read(receive) if message.get("more_body") else b"")
    await as_json(send, {"given up": given_up, "body": data.decode()})


@page
async def until_disconnect(scope, receive, send):
    """Waits for the client to go, then tries to send."""
    name = query(scope)["name"]
    await read(receive)
    note(name, "waiting")
    note(name, (await receive())["type"])
    note(name, (await receive())["type"])
    try:
        await start(send)
        await body(send, b"for nobody")
        note(name, "sent")
    except Exception as error:
        note(name, ["OSError" if isinstance(error, OSError) else type(error).__name__, type(error) is OSError])
        raise


@page
async def disconnect_midway(scope, receive, send):
    """A part of an answer, then waits for the client to go."""
    name = query(scope)["name"]
    await read(receive)
    await start(send)
    await body(send, b"part", True)
    note(name, (await receive())["type"])


# Answers.


@page
async def one_piece(scope, receive, send):
    await start(send)
    await body(send, b"one piece")


@page
async def pieces(scope, receive, send):
    """`n` pieces of `size` bytes, with `length` if told."""
    given = query(scope)
    number, size = int(given["n"]), int(given["size"])
    await start(send, headers=[*PLAIN, *([(b"content-length", b"%d" % (number * size))] if "length" in given else [])])
    for index in range(number):
        await body(send, bytes([97 + index % 26]) * size, index + 1 < number)


@page
async def empty_pieces(scope, receive, send):
    await start(send)
    for piece in (b"", b"a", b"", b"b", b""):
        await body(send, piece, True)
    await body(send)


@page
async def minimal(scope, receive, send):
    """Every optional key left out."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


@page
async def views(scope, receive, send):
    """What frameworks pass beside bytes."""
    await start(send)
    await body(send, memoryview(b"a memoryview, ")[2:], True)
    await body(send, bytearray(b"a bytearray"))


@page
async def answer_headers(scope, receive, send):
    fields = ((b"x-latin", b"caf\xe9"), [b"set-cookie", b"a=1"], (b"set-cookie", b"b=2"), (b"X-Upper", b"case"), (b"x-empty", b""))
    await start(send, headers=(pair for pair in fields))
    await body(send, b"headers")


@page
async def late_body(scope, receive, send):
    """The start, and its body once the gate is open."""
    await start(send, 201)
    await gate(scope)
    await body(send, b"late")


@page
async def gated(scope, receive, send):
    await start(send, headers=[(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")])
    await body(send, b"data: first\n\n", True)
    await gate(scope)
    await body(send, b"data: second\n\n", True)
    await gate(scope, "gate2")
    await body(send)


@page
async def gated_read(scope, receive, send):
    """receive() only once the gate is open."""
    await gate(scope)
    await answer(send, await read(receive))


@page
async def status(scope, receive, send):
    given = query(scope)
    fields = [*PLAIN, *([(b"content-length", given["length"].encode())] if "length" in given else [])]
    await start(send, int(given["n"]), fields)
    await body(send, given.get("body", "").encode())


@page
async def length(scope, receive, send):
    """`Content-Length: said`, then `n` bytes in pieces of `piece`."""
    given = query(scope)
    number, piece = int(given["n"]), int(given.get("piece", "1"))
    await start(send, headers=[*PLAIN, (b"content-length", given["said"].encode())])
    data = b"0123456789" * (number // 10 + 1)
    try:
        for at in range(0, number, piece):
            await body(send, data[at : min(at + piece, number)], at + piece < number)
    except Exception as error:
        note("length", type(error).__name__)
        raise
    note("length", "sent")


@page
async def hop(scope, receive, send):
    """Transfer-Encoding is the server's business, and the specification has it ignored."""
    await start(send, headers=[*PLAIN, (b"transfer-encoding", b"chunked")])
    await body(send, b"hop")


@page
async def says_close(scope, receive, send):
    await start(send, headers=[*PLAIN, (b"connection", b"close"), (b"content-length", b"3")])
    await body(send, b"bye")


@page
async def endless(scope, receive, send):
    """Until sending fails; `events` tells how much was taken and how it ended."""
    name = query(scope)["name"]
    piece = b"x" * 65536
    events[name] = [0]
    try:
        await start(send)
        while True:
            await body(send, piece, True)
            events[name][0] += len(piece)
            assert events[name][0] < 1 << 33, "nobody said that the client has gone"
    except Exception as error:
        events[name].append("OSError" if isinstance(error, OSError) else repr(error))
        raise
    finally:
        events[name].append("finally")


@page
async def ticking(scope, receive, send):
    """A little at a time, until the client is gone."""
    name = query(scope).get("name", "ticking")
    await start(send, headers=[(b"content-type", b"text/event-stream")])
    try:
        for _ in range(1200):
            await body(send, b"data: tick\n\n", True)
            await asyncio.sleep(0.05)
    except BaseException as error:
        note(name, "OSError" if isinstance(error, OSError) else type(error).__name__)
        raise


@page
async def both_ends(scope, receive, send):
    """As Starlette streams: one task sends, another waits for the client to go."""
    name = query(scope)["name"]

    async def watch():
        while (await receive())["type"] != "http.disconnect":
            pass
        note(name, "disconnect")

    async def stream():
        await start(send)
        while True:
            await body(send, b"tick", True)
            await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(watch()), asyncio.create_task(stream())]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    note(name, "ended")


# Failures.


@page
async def raises(scope, receive, send):
    raise RuntimeError("the kitchen is on fire")


@page
async def raises_after_start(scope, receive, send):
    await start(send, headers=[*PLAIN, (b"x-first", b"1")])
    raise RuntimeError("burnt after start")


@page
async def raises_midway(scope, receive, send):
    await start(send, headers=[*PLAIN, *([(b"content-length", b"1000")] if scope["query_string"] else [])])
    await body(send, b"half", True)
    await asyncio.sleep(0.05)
    raise RuntimeError("burnt midway")


@page
async def raises_after_end(scope, receive, send):
    await answer(send, b"fine")
    raise RuntimeError("burnt after the end")


@page
async def raises_cancelled(scope, receive, send):
    raise asyncio.CancelledError


@page
async def raises_system_exit(scope, receive, send):
    raise SystemExit(7)


@page
async def raises_keyboard_interrupt(scope, receive, send):
    raise KeyboardInterrupt


@page
async def returns_early(scope, receive, send):
    pass


@page
async def returns_after_start(scope, receive, send):
    await start(send)


@page
async def returns_midway(scope, receive, send):
    await start(send)
    await body(send, b"half", True)


@page
async def returns_midway_with_length(scope, receive, send):
    await start(send, headers=[(b"content-length", b"10")])
    await body(send, b"half", True)


START = {"type": "http.response.start", "status": 200, "headers": PLAIN}
BODY = {"type": "http.response.body", "body": b"x"}
PART = {"type": "http.response.body", "body": b"part", "more_body": True}


def header(name, value):
    return {**START, "headers": [*PLAIN, (name, value)]}


# What is sent in turn; all but the last is right.
BAD = {
    "message none": [None],
    "message text": ["http.response.start"],
    "message list": [[]],
    "message empty": [{}],
    "type none": [{"type": None}],
    "type bytes": [{**START, "type": b"http.response.start"}],
    "type unknown": [{"type": "http.response.nonsense"}],
    "type of another protocol": [{"type": "websocket.accept"}],
    "body first": [BODY],
    "start twice": [START, START],
    "status missing": [{"type": "http.response.start", "headers": PLAIN}],
    "status text": [{**START, "status": "200"}],
    "status float": [{**START, "status": 200.5}],
    "status none": [{**START, "status": None}],
    "status negative": [{**START, "status": -1}],
    "status 0": [{**START, "status": 0}],
    "status 99": [{**START, "status": 99}],
    "status 1000": [{**START, "status": 1000}],
    "status huge": [{**START, "status": 2**70}],
    "status 100": [{**START, "status": 100}],
    "status 101": [{**START, "status": 101}],
    "status 103": [{**START, "status": 103}],
    "headers number": [{**START, "headers": 42}],
    "headers text": [{**START, "headers": "x: y"}],
    "headers of lines": [{**START, "headers": [b"x: y"]}],
    "header single": [{**START, "headers": [(b"x",)]}],
    "header triple": [{**START, "headers": [(b"x", b"y", b"z")]}],
    "header none": [{**START, "headers": [None]}],
    "name text": [header("x-n", b"1")],
    "name none": [header(None, b"1")],
    "name empty": [header(b"", b"1")],
    "name space": [header(b"x n", b"1")],
    "name colon": [header(b"x-n:", b"1")],
    "name crlf": [header(b"x-n\r\nx-injected", b"1")],
    "name latin": [header(b"x-\xe9", b"1")],
    "value text": [header(b"x-n", "1")],
    "value number": [header(b"x-n", 1)],
    "value none": [header(b"x-n", None)],
    "value crlf": [header(b"x-n", b"a\r\nx-injected: 1")],
    "value lf": [header(b"x-n", b"a\nx-injected: 1")],
    "value cr": [header(b"x-n", b"a\rx-injected: 1")],
    "value nul": [header(b"x-n", b"a\0b")],
    "length word": [header(b"content-length", b"many")],
    "length negative": [header(b"content-length", b"-1")],
    "length plus": [header(b"content-length", b"+1")],
    "length twice": [{**START, "headers": [(b"content-length", b"1"), (b"content-length", b"2")]}],
    "body text": [START, {**BODY, "body": "text"}],
    "body number": [START, {**BODY, "body": 42}],
    "body list": [START, {**BODY, "body": [b"a"]}],
    "trailers not promised": [START, {"type": "http.response.trailers", "headers": []}],
}
BAD_LATER = {
    "start after a part": [START, PART, START],
    "unknown after a part": [START, PART, {"type": "http.response.nonsense"}],
    "text after a part": [START, PART, {**BODY, "body": "text"}],
    "none after a part": [START, PART, None],
}
BAD_LAST = {
    "body after the end": [START, BODY, BODY],
    "start after the end": [START, BODY, START],
    "trailers after the end": [START, BODY, {"type": "http.response.trailers", "headers": []}],
}


@page
async def bad(scope, receive, send):
    what = query(scope)["what"]
    *right, wrong = {**BAD, **BAD_LATER, **BAD_LAST}[what]
    for message in right:
        await send(message)
    try:
        await send(wrong)
    except Exception as error:
        note(what, type(error).__name__)
        raise
    note(what, "accepted")


@page
async def recovers(scope, receive, send):
    """A wrong message leaves no trace: the application catches the error and says it right."""
    for wrong in (BODY, {**START, "status": "200"}, header(b"x-n", b"a\r\nb"), {"type": "nonsense"}):
        try:
            await send(wrong)
            note("recovers", "accepted")
        except Exception:
            note("recovers", "raised")
    await answer(send, b"recovered")


# Extensions.


@page
async def trailers(scope, receive, send):
    await start(send, headers=[*PLAIN, (b"trailer", b"x-digest, x-more")], trailers=True)
    await body(send, b"with ", True)
    await body(send, b"trailers")
    if "two" in query(scope):
        await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"abc")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-more", b"def")]})
    else:
        await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"abc"), (b"x-more", b"def")]})


@page
async def bad_trailers(scope, receive, send):
    await start(send, headers=PLAIN, trailers=True)
    await body(send, b"body")
    try:
        await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"a\r\nx-injected: 1")]})
        note("bad-trailers", "accepted")
    except Exception as error:
        note("bad-trailers", type(error).__name__)
        await send({"type": "http.response.trailers", "headers": [(b"x-digest", b"right")]})


@page
async def no_trailers(scope, receive, send):
    """Promised, and never sent."""
    await start(send, headers=PLAIN, trailers=True)
    await body(send, b"body")


@page
async def path_send(scope, receive, send):
    given = query(scope)
    fields = [*PLAIN, *([(b"content-length", given["length"].encode())] if "length" in given else [])]
    await start(send, int(given.get("status", "200")), fields)
    try:
        await send({"type": "http.response.pathsend", "path": str(DIRECTORY / given["name"])})
    except Exception as error:
        note("path-send", "OSError" if isinstance(error, OSError) else type(error).__name__)
        raise


@page
async def bad_path_send(scope, receive, send):
    await start(send)
    path = {"bytes": str(DIRECTORY / "data.bin").encode(), "none": None, "nul": "/etc/\0passwd", "directory": str(DIRECTORY)}
    await send({"type": "http.response.pathsend", "path": path[query(scope)["what"]]})


@page
async def path_after_body(scope, receive, send):
    """The two cannot be mixed."""
    await start(send)
    await body(send, b"first", True)
    await send({"type": "http.response.pathsend", "path": str(DIRECTORY / "data.bin")})


@page
async def zero_copy(scope, receive, send):
    """Sends `before`, a part of the file, and `after`; closes the file as soon as send() returned."""
    given = query(scope)
    await start(send)
    if "before" in given:
        await body(send, given["before"].encode(), True)
    with open(DIRECTORY / given["name"], "rb") as file:
        file.seek(int(given.get("seek", "0")))
        message = {"type": "http.response.zerocopysend", "file": file.fileno() if "number" in given else file}
        for key in ("offset", "count"):
            if key in given:
                message[key] = int(given[key])
        await send({**message, "more_body": True} if "after" in given else message)
    if "after" in given:
        await body(send, given["after"].encode())


@page
async def zero_copy_twice(scope, receive, send):
    await start(send)
    with open(DIRECTORY / "data.bin", "rb") as file:
        await send({"type": "http.response.zerocopysend", "file": file, "offset": 100, "count": 50, "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": file, "offset": 0, "count": 50, "more_body": True})
    await body(send)


@page
async def bad_zero_copy(scope, receive, send):
    import io

    await start(send)
    what = query(scope)["what"]
    with open(DIRECTORY / "data.bin", "rb") as file:
        message = {"file": file, "type": "http.response.zerocopysend", "more_body": False}
        message |= {"memory": {"file": io.BytesIO(b"x")}, "none": {"file": None}, "offset": {"offset": -1}, "count": {"count": -1},
                    "text": {"offset": "1"}}[what]
        await send(message)


@page
async def hints(scope, receive, send):
    links = [b"</style.css>; rel=preload; as=style", b"</app.js>; rel=preload; as=script"]
    await start(send)
    await send({"type": "http.response.early_hint", "links": links})
    await send({"type": "http.response.early_hint", "links": [b"</more.css>; rel=preload"]})
    await body(send, b"hinted")


@page
async def bad_hints(scope, receive, send):
    await start(send)
    for links in ([b"a\r\nx-injected: 1"], ["</text.css>"], [None], 42):
        try:
            await send({"type": "http.response.early_hint", "links": links})
            note("bad-hints", "accepted")
        except Exception:
            note("bad-hints", "raised")
    await body(send, b"hinted")


@page
async def debug(scope, receive, send):
    """Frameworks send it only where it is announced."""
    if "http.response.debug" in (scope.get("extensions") or {}):
        await send({"type": "http.response.debug", "info": {"template": object()}})
    await answer(send, b"debugged")


# WebSockets.


async def accept(receive, send, **more):
    message = await receive()
    assert message == {"type": "websocket.connect"}, message
    await send({"type": "websocket.accept", **more})


async def close(send, code=1000, reason=None):
    await send({"type": "websocket.close", "code": code, **({"reason": reason} if reason is not None else {})})


async def text(send, value):
    await send({"type": "websocket.send", "text": value})


def failure(error):
    return "OSError" if isinstance(error, OSError) else type(error).__name__


async def echo_socket(scope, receive, send):
    await accept(receive, send)
    await echoing(scope, receive, send)


async def echoing(scope, receive, send):
    """Each message back; the end is noted under the name in the query."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            if "name" in query(scope):
                note(query(scope)["name"], [message.get("code"), message.get("reason") or "", "int" if isinstance(message.get("code"), int) else "no int"])
            return
        assert message["type"] == "websocket.receive", message
        data, words = message.get("bytes"), message.get("text")
        assert (data is None) != (words is None), message
        if data is not None:
            assert type(data) is bytes
            await send({"type": "websocket.send", "bytes": data})
        else:
            assert type(words) is str
            await send({"type": "websocket.send", "text": words})


SOCKETS["/echo"] = echo_socket


@socket
async def plays(scope, receive, send):
    """Accepts as the query says."""
    given = query(scope)
    more = {}
    if "subprotocol" in given:
        more["subprotocol"] = given["subprotocol"] or None
    if "headers" in given:
        more["headers"] = ((b"set-cookie", b"a=1"), [b"set-cookie", b"b=2"], (b"x-latin", b"caf\xe9"))
    await accept(receive, send, **more)
    await close(send)


@socket
async def refuses(scope, receive, send):
    await receive()
    await close(send, int(query(scope).get("code", "1000")))
    note("refuses", (await receive())["type"])


@socket
async def denies(scope, receive, send):
    """An HTTP answer in place of the upgrade."""
    await receive()
    assert "websocket.http.response" in scope["extensions"]
    fields = [(b"content-type", b"application/json"), (b"x-own", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "websocket.http.response.start", "status": int(query(scope).get("status", "401")), "headers": fields})
    await send({"type": "websocket.http.response.body", "body": b'{"error": ', "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b'"no"}'})


@socket
async def denies_then_accepts(scope, receive, send):
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    try:
        await send({"type": "websocket.accept"})
        note("denies-then-accepts", "accepted")
    except Exception as error:
        note("denies-then-accepts", failure(error))
    await send({"type": "websocket.http.response.body", "body": b"denied"})


@socket
async def raises_before(scope, receive, send):
    raise RuntimeError("burnt before the handshake")


@socket
async def raises_after(scope, receive, send):
    await accept(receive, send)
    await text(send, "soon")
    raise RuntimeError("burnt after the handshake")


@socket
async def returns_before(scope, receive, send):
    await receive()


@socket
async def returns_after(scope, receive, send):
    await accept(receive, send)
    await text(send, "soon")


@socket
async def closes(scope, receive, send):
    """Says `n` messages and closes as the query says."""
    given = query(scope)
    await accept(receive, send)
    for number in range(int(given.get("n", "0"))):
        await text(send, str(number))
    if "code" in given:
        await close(send, int(given["code"]), given.get("reason"))
    else:
        await send({"type": "websocket.close"})
    name = given.get("name", "closes")
    message = await receive()
    while message["type"] == "websocket.receive":
        message = await receive()
    note(name, [message["type"], "int" if isinstance(message.get("code"), int) else "no int"])
    try:
        await text(send, "too late")
        note(name, "sent")
    except Exception as error:
        note(name, failure(error))


@socket
async def says_after_disconnect(scope, receive, send):
    name = query(scope)["name"]
    await accept(receive, send)
    message = await receive()
    note(name, [message["type"], message.get("code"), message.get("reason") or ""])
    again = await asyncio.wait_for(receive(), 5) if "again" in query(scope) else message
    note(name, again["type"])
    try:
        for _ in range(50):
            await text(send, "hello?")
            await asyncio.sleep(0.02)
        note(name, "sent")
    except Exception as error:
        note(name, failure(error))
        raise


@socket
async def talks(scope, receive, send):
    """Never receives; says something until it fails."""
    name = query(scope)["name"]
    await accept(receive, send)
    try:
        for _ in range(1000):
            await text(send, "tick")
            await asyncio.sleep(0.02)
    except Exception as error:
        note(name, failure(error))
        raise


ACCEPT = {"type": "websocket.accept"}
# What is sent in turn after `websocket.connect`; all but the last is right.
BAD_SOCKET = {
    "message none": [None],
    "message empty": [{}],
    "type unknown": [{"type": "websocket.nonsense"}],
    "http start": [START],
    "send first": [{"type": "websocket.send", "text": "early"}],
    "denial body first": [{"type": "websocket.http.response.body", "body": b""}],
    "subprotocol bytes": [{**ACCEPT, "subprotocol": b"chat"}],
    "subprotocol crlf": [{**ACCEPT, "subprotocol": "chat\r\nx-injected: 1"}],
    "subprotocol as header": [{**ACCEPT, "headers": [(b"sec-websocket-protocol", b"chat")]}],
    "header text": [{**ACCEPT, "headers": [("x-n", "1")]}],
    "header crlf": [{**ACCEPT, "headers": [(b"x-n", b"a\r\nx-injected: 1")]}],
}
BAD_LATER_SOCKET = {
    "accept twice": [ACCEPT, ACCEPT],
    "denial after accept": [ACCEPT, {"type": "websocket.http.response.start", "status": 401}],
    "unknown": [ACCEPT, {"type": "websocket.nonsense"}],
    "send empty": [ACCEPT, {"type": "websocket.send"}],
    "send none": [ACCEPT, {"type": "websocket.send", "text": None, "bytes": None}],
    "send both": [ACCEPT, {"type": "websocket.send", "text": "a", "bytes": b"b"}],
    "text bytes": [ACCEPT, {"type": "websocket.send", "text": b"a"}],
    "text number": [ACCEPT, {"type": "websocket.send", "text": 42}],
    "text surrogate": [ACCEPT, {"type": "websocket.send", "text": "\ud800"}],
    "bytes text": [ACCEPT, {"type": "websocket.send", "bytes": "a"}],
    "bytes number": [ACCEPT, {"type": "websocket.send", "bytes": 42}],
    "code 1005": [ACCEPT, {"type": "websocket.close", "code": 1005}],
    "code 1006": [ACCEPT, {"type": "websocket.close", "code": 1006}],
    "code 999": [ACCEPT, {"type": "websocket.close", "code": 999}],
    "code 5000": [ACCEPT, {"type": "websocket.close", "code": 5000}],
    "code text": [ACCEPT, {"type": "websocket.close", "code": "1000"}],
    "reason long": [ACCEPT, {"type": "websocket.close", "code": 1000, "reason": "x" * 124}],
    "reason bytes": [ACCEPT, {"type": "websocket.close", "code": 1000, "reason": b"x"}],
}


@socket
async def bad_socket(scope, receive, send):
    what = query(scope)["what"]
    await receive()
    *right, wrong = {**BAD_SOCKET, **BAD_LATER_SOCKET}[what]
    for message in right:
        await send(message)
    try:
        await send(wrong)
    except Exception as error:
        note("socket " + what, failure(error))
        raise
    note("socket " + what, "accepted")


@socket
async def both_keys(scope, receive, send):
    """One of them None, as the specification allows."""
    await accept(receive, send, subprotocol=None, headers=[])
    await send({"type": "websocket.send", "text": "text", "bytes": None})
    await send({"type": "websocket.send", "bytes": b"bytes", "text": None})
    await send({"type": "websocket.send", "text": ""})
    await send({"type": "websocket.send", "bytes": b""})
    await send({"type": "websocket.close", "code": 1000, "reason": None})


@socket
async def gated_socket(scope, receive, send):
    """Accepts, and receives only once the gate is open; counts what comes then."""
    name = query(scope)["name"]
    await accept(receive, send)
    await gate(scope)
    events[name] = [0, 0]
    while (message := await receive())["type"] == "websocket.receive":
        events[name][0] += 1
        events[name][1] += len(message["bytes"])
    note(name, message["code"])


@socket
async def late_accept(scope, receive, send):
    await receive()
    await gate(scope)
    await send({"type": "websocket.accept"})
    await echoing(scope, receive, send)


@socket
async def floods(scope, receive, send):
    """Sends until it fails; `events` tells how much was taken and how it ended."""
    name = query(scope)["name"]
    await accept(receive, send)
    piece = b"x" * 65536
    events[name] = [0]
    try:
        while True:
            await send({"type": "websocket.send", "bytes": piece})
            events[name][0] += len(piece)
            assert events[name][0] < 1 << 33, "nobody said that the client has gone"
    except Exception as error:
        events[name].append(failure(error))
        raise


@socket
async def is_alone(scope, receive, send):
    """Each connection is a task with a context of its own."""
    await accept(receive, send)
    task = asyncio.current_task()
    assert isinstance(task, asyncio.Task)
    for _ in range(3):
        await asyncio.wait_for(receive(), 10)
        assert asyncio.current_task() is task
    await text(send, "same")
    await close(send)


@socket
async def two_ways(scope, receive, send):
    """A task that pushes, beside the one that receives."""
    await accept(receive, send)

    async def push():
        number = 0
        while True:
            await text(send, f"push {number}")
            number += 1
            await asyncio.sleep(0.01)

    pushing = asyncio.create_task(push())
    try:
        while (message := await receive())["type"] == "websocket.receive":
            await text(send, "echo " + message["text"])
    finally:
        pushing.cancel()
        try:
            await pushing
        except (asyncio.CancelledError, OSError):
            note("two-ways", "ended")
