"""One application with a page for each thing that WSGI allows, or that applications do wrong.

The path names the function; `/counters` tells what happened out of the client's sight.
"""

import hashlib
import io
import json
import os
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

DIRECTORY = Path(os.environ.get("TEST_DIR", "/tmp"))
PLAIN = [("Content-Type", "text/plain")]
lock = threading.Lock()
counters: dict[str, int] = {}
PAGES = {}


def count(name, by=1):
    with lock:
        counters[name] = counters.get(name, 0) + by


def page(function):
    PAGES["/" + function.__name__.replace("_", "-")] = function
    return function


def application(environ, start_response):
    function = PAGES.get(environ["PATH_INFO"])
    if function is None:
        start_response("404 Not Found", PLAIN)
        return [b"no such page"]
    return function(environ, start_response)


def query(environ):
    return {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], keep_blank_values=True).items()}


class Body:
    """An iterable that counts that it was closed."""

    def __init__(self, name, pieces):
        self.name, self.pieces = name, iter(pieces)
        count(f"{name}.opened")

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        count(f"{self.name}.closed")


# Plain answers.


@page
def hello(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"Hello"]


@page
def show_counters(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    with lock:
        return [json.dumps(counters).encode()]


PAGES["/counters"] = show_counters


@page
def count_me(environ, start_response):
    count(query(environ)["name"])
    start_response("200 OK", PLAIN)
    return [b"counted"]


@page
def pid(environ, start_response):
    start_response("200 OK", PLAIN)
    return [str(os.getpid()).encode()]


@page
def thread(environ, start_response):
    start_response("200 OK", PLAIN)
    time.sleep(float(query(environ).get("s", "0")))
    return [threading.current_thread().name.encode()]


@page
def sleep(environ, start_response):
    time.sleep(float(query(environ)["s"]))
    start_response("200 OK", PLAIN)
    return [b"slept"]


@page
def burn(environ, start_response):
    end = time.monotonic() + float(query(environ)["s"])
    while time.monotonic() < end:
        sum(range(1000))
    start_response("200 OK", PLAIN)
    return [b"burnt"]


@page
def catastrophe(environ, start_response):
    """A regular expression that backtracks for ever, in C, with the GIL held."""
    import re

    re.match(r"(a+)+$", "a" * 60 + "b")
    start_response("200 OK", PLAIN)
    return [b"impossible"]


@page
def prints(environ, start_response):
    """To both standard streams, without a flush."""
    print("to standard output", flush=False)
    print("to standard error", file=sys.stderr)
    start_response("200 OK", PLAIN)
    return [b"printed"]


@page
def many_headers(environ, start_response):
    count, size = (int(query(environ)[name]) for name in ("n", "size"))
    start_response("200 OK", [*PLAIN, *((f"X-{number}", "v" * size) for number in range(count))])
    return [b"headers"]


@page
def big(environ, start_response):
    size = int(query(environ)["n"])
    start_response("200 OK", PLAIN)
    return Body("big", [b"x" * size])


@page
def pieces(environ, start_response):
    number, size = int(query(environ)["n"]), int(query(environ)["size"])
    start_response("200 OK", PLAIN)
    return Body("pieces", (bytes([97 + index % 26]) * size for index in range(number)))


@page
def gated(environ, start_response):
    """`first`, and `second` once the test has made the file that the query names."""
    gate = DIRECTORY / query(environ)["gate"]
    start_response("200 OK", PLAIN)

    def generate():
        yield b"first"
        end = time.monotonic() + 20
        while not gate.exists() and time.monotonic() < end:
            time.sleep(0.01)
        yield b"second" if gate.exists() else b"gave up"

    return Body("gated", generate())


@page
def gated_write(environ, start_response):
    """The same with write()."""
    gate = DIRECTORY / query(environ)["gate"]
    write = start_response("200 OK", PLAIN)
    write(b"first")
    end = time.monotonic() + 20
    while not gate.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return [b"second" if gate.exists() else b"gave up"]


@page
def endless(environ, start_response):
    """Until the client is gone."""
    start_response("200 OK", PLAIN)

    def generate():
        while True:
            yield b"x" * 65536

    return Body("endless", generate())


@page
def ticking(environ, start_response):
    """A little at a time, until the client is gone."""
    start_response("200 OK", PLAIN)

    def generate():
        for _ in range(2000):
            yield b"tick\n"
            time.sleep(0.01)

    return Body("ticking", generate())


# What was sent.


@page
def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")])
    return [body]


@page
def digest(environ, start_response):
    """The length and SHA-256 of the body, read in small pieces."""
    sha, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        sha.update(piece)
        length += len(piece)
    start_response("200 OK", PLAIN)
    return [f"{length} {sha.hexdigest()}".encode()]


@page
def ignore_body(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"ignored"]


@page
def read_some(environ, start_response):
    some = environ["wsgi.input"].read(int(query(environ)["n"]))
    start_response("200 OK", PLAIN)
    return [some]


@page
def duplex(environ, start_response):
    """Says what it read of each line before it reads the next: needs `--request-buffering off`."""
    start_response("200 OK", PLAIN)

    def generate():
        while line := environ["wsgi.input"].readline():
            yield b"got " + line

    return generate()


@page
def operations(environ, start_response):
    """Runs the calls that the header `X-Operations` lists on wsgi.input and says what each gave."""
    stream = environ["wsgi.input"]
    results = []
    for name, *arguments in json.loads(environ["HTTP_X_OPERATIONS"]):
        try:
            if name == "iter":
                value = list(stream)
            elif name == "next":
                value = next(iter(stream), b"end")
            else:
                value = getattr(stream, name)(*arguments)
            assert isinstance(value, (bytes, list)), type(value)
            results.append([piece.decode("latin-1") for piece in value] if isinstance(value, list) else value.decode("latin-1"))
        except Exception as error:
            results.append({"raised": type(error).__name__})
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(results).encode()]


@page
def headers(environ, start_response):
    """The headers as the application sees them, each character a byte."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]


@page
def trailers(environ, start_response):
    """What followed the last chunk of the request."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(environ.get("daemun.trailers")).encode()]


# start_response and write().


@page
def status(environ, start_response):
    arguments = query(environ)
    fields = list(PLAIN)
    if "length" in arguments:
        fields.append(("Content-Length", arguments["length"]))
    start_response(arguments["line"], fields)
    return Body("status", [arguments.get("body", "").encode()])


@page
def length(environ, start_response):
    """`Content-Length: said`, then `n` bytes in pieces of `piece`."""
    arguments = query(environ)
    number, piece = int(arguments["n"]), int(arguments.get("piece", "1"))
    start_response("200 OK", [*PLAIN, ("Content-Length", arguments["said"])])
    data = b"0123456789" * (number // 10 + 1)
    return Body("length", [data[at : min(at + piece, number)] for at in range(0, number, piece)])


@page
def writes(environ, start_response):
    write = start_response("200 OK", PLAIN)
    write(b"one ")
    write(b"")
    write(b"two ")
    return Body("writes", [b"three ", b"four"])


@page
def only_writes(environ, start_response):
    write = start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
    write(b"abc")
    write(b"def")
    return []


@page
def replaced(environ, start_response):
    """exc_info before anything was sent: the new status and headers count, the old ones are gone."""
    start_response("200 OK", [("Content-Type", "text/html"), ("X-First", "1"), ("Set-Cookie", "a=1")])
    try:
        raise ValueError("changed my mind")
    except ValueError:
        start_response("503 Service Unavailable", [*PLAIN, ("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


@page
def too_late(environ, start_response):
    """exc_info after something was sent: start_response raises that exception."""
    write = start_response("200 OK", PLAIN)
    write(b"sent")
    try:
        raise ValueError("too late")
    except ValueError:
        try:
            start_response("500 Oops", PLAIN, sys.exc_info())
        except ValueError as error:
            count("too_late.reraised" if str(error) == "too late" else "too_late.other")
            raise
    return [b"never"]


@page
def twice(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        start_response("200 OK", PLAIN)
    except Exception:
        count("twice.rejected")
        raise
    return [b"never"]


@page
def lazy_start(environ, start_response):
    """start_response called by the iterable, as PEP 3333 allows."""

    def generate():
        start_response("201 Created", [*PLAIN, ("X-Lazy", "yes")])
        yield b"lazy"

    return generate()


@page
def never_started(environ, start_response):
    return [b"no status"]


@page
def empty_iterable(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body("empty", [])


@page
def empty_pieces(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body("empty_pieces", [b"", b"a", b"", b"b", b""])


# Failures.


@page
def raises(environ, start_response):
    raise RuntimeError("the kitchen is on fire")


@page
def raises_system_exit(environ, start_response):
    sys.exit(7)


@page
def raises_after_start(environ, start_response):
    start_response("200 OK", PLAIN)
    raise RuntimeError("burnt after start")


@page
def raises_in_first_piece(environ, start_response):
    start_response("200 OK", PLAIN)

    def generate():
        raise RuntimeError("burnt in the first piece")
        yield b""

    return Body("raises_first", generate())


@page
def raises_midway(environ, start_response):
    start_response("200 OK", [*PLAIN, *([("Content-Length", "1000")] if "length" in query(environ) else [])])

    def generate():
        yield b"half"
        time.sleep(0.05)
        raise RuntimeError("burnt midway")

    return Body("raises_midway", generate())


@page
def raises_in_close(environ, start_response):
    start_response("200 OK", PLAIN)

    class Failing(Body):
        def close(self):
            super().close()
            raise RuntimeError("burnt in close")

    return Failing("raises_in_close", [b"fine"])


class Odd(str):
    pass


BAD = {
    "none": lambda start: None,
    "number": lambda start: (start("200 OK", PLAIN), 42)[1],
    "str_body": lambda start: (start("200 OK", PLAIN), "text")[1],
    "str_piece": lambda start: (start("200 OK", PLAIN), ["text"])[1],
    "none_piece": lambda start: (start("200 OK", PLAIN), [None])[1],
    "int_piece": lambda start: (start("200 OK", PLAIN), [42])[1],
    "status_bytes": lambda start: (start(b"200 OK", PLAIN), [b""])[1],
    "status_int": lambda start: (start(200, PLAIN), [b""])[1],
    "status_word": lambda start: (start("OK", PLAIN), [b""])[1],
    "status_short": lambda start: (start("20 OK", PLAIN), [b""])[1],
    "status_long": lambda start: (start("2000 OK", PLAIN), [b""])[1],
    "status_crlf": lambda start: (start("200 OK\r\nX-Injected: 1", PLAIN), [b""])[1],
    "status_unicode": lambda start: (start("200 O\u20ac", PLAIN), [b""])[1],
    "status_surrogate": lambda start: (start("200 \ud800", PLAIN), [b""])[1],
    "status_empty": lambda start: (start("", PLAIN), [b""])[1],
    "status_099": lambda start: (start("099 Low", PLAIN), [b""])[1],
    "status_none": lambda start: (start(None, PLAIN), [b""])[1],
    "headers_none": lambda start: (start("200 OK", None), [b""])[1],
    "headers_text": lambda start: (start("200 OK", "X: y"), [b""])[1],
    "header_triple": lambda start: (start("200 OK", [("a", "b", "c")]), [b""])[1],
    "header_single": lambda start: (start("200 OK", [("a",)]), [b""])[1],
    "header_int": lambda start: (start("200 OK", [("X-N", 1)]), [b""])[1],
    "header_bytes": lambda start: (start("200 OK", [(b"X-N", b"1")]), [b""])[1],
    "header_none": lambda start: (start("200 OK", [("X-N", None)]), [b""])[1],
    "value_crlf": lambda start: (start("200 OK", [("X-N", "a\r\nX-Injected: 1")]), [b""])[1],
    "value_lf": lambda start: (start("200 OK", [("X-N", "a\nX-Injected: 1")]), [b""])[1],
    "value_cr": lambda start: (start("200 OK", [("X-N", "a\rX-Injected: 1")]), [b""])[1],
    "value_nul": lambda start: (start("200 OK", [("X-N", "a\0b")]), [b""])[1],
    "value_unicode": lambda start: (start("200 OK", [("X-N", "\u20ac")]), [b""])[1],
    "name_crlf": lambda start: (start("200 OK", [("X-N\r\nX-Injected", "1")]), [b""])[1],
    "name_space": lambda start: (start("200 OK", [("X N", "1")]), [b""])[1],
    "name_colon": lambda start: (start("200 OK", [("X-N:", "1")]), [b""])[1],
    "name_empty": lambda start: (start("200 OK", [("", "1")]), [b""])[1],
    "name_unicode": lambda start: (start("200 OK", [("X-\u20ac", "1")]), [b""])[1],
    "name_latin": lambda start: (start("200 OK", [("X-\u00e9", "1")]), [b""])[1],
    "length_word": lambda start: (start("200 OK", [("Content-Length", "many")]), [b""])[1],
    "length_negative": lambda start: (start("200 OK", [("Content-Length", "-1")]), [b""])[1],
    "length_plus": lambda start: (start("200 OK", [("Content-Length", "+1")]), [b"a"])[1],
    "no_arguments": lambda start: (start(), [b""])[1],
    "huge_header": lambda start: (start("abc" * 100000, PLAIN), [b""])[1],
}


@page
def bad(environ, start_response):
    return BAD[query(environ)["what"]](start_response)


@page
def hop(environ, start_response):
    """Hop-by-hop headers, which are the server's business."""
    start_response("200 OK", [*PLAIN, ("Transfer-Encoding", "chunked"), ("Connection", "keep-alive"), ("Keep-Alive", "timeout=99")])
    return [b"hop"]


# What servers offer.


@page
def hints(environ, start_response):
    hint = environ["wsgi.early_hints"]
    hint([("Link", "</style.css>; rel=preload; as=style"), ("Link", "</app.js>; rel=preload; as=script")])
    start_response("200 OK", PLAIN)
    return [b"hinted"]


@page
def bad_hints(environ, start_response):
    try:
        environ["wsgi.early_hints"]([("Link", "a\r\nX-Injected: 1")])
    except Exception as error:
        start_response("200 OK", PLAIN)
        return [type(error).__name__.encode()]
    start_response("200 OK", PLAIN)
    return [b"accepted"]


class Tracked(io.FileIO):
    def close(self):
        if not self.closed:
            count("file.closed")
        super().close()


@page
def file(environ, start_response):
    """A file of the test's folder through wsgi.file_wrapper."""
    arguments = query(environ)
    opened = Tracked(DIRECTORY / arguments["name"])
    opened.seek(int(arguments.get("seek", "0")))
    count("file.opened")
    fields = list(PLAIN)
    if "length" in arguments:
        fields.append(("Content-Length", arguments["length"]))
    start_response("200 OK", fields)
    blocks = [int(arguments["block"])] if "block" in arguments else []
    return environ["wsgi.file_wrapper"](opened, *blocks)


@page
def file_like(environ, start_response):
    """Something that only has read(), through wsgi.file_wrapper."""

    class Reader:
        def __init__(self):
            self.data = io.BytesIO(b"from a reader " * 10000)

        def read(self, size=-1):
            return self.data.read(size)

        def close(self):
            count("reader.closed")

    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](Reader(), 4096)


@page
def bytes_io(environ, start_response):
    start_response("200 OK", PLAIN)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"in memory " * 10000))


@page
def iterate_wrapper(environ, start_response):
    """The wrapper is an iterable too: middleware iterates over it."""
    opened = Tracked(DIRECTORY / query(environ)["name"])
    wrapper = environ["wsgi.file_wrapper"](opened, 1000)
    pieces = list(wrapper)
    wrapper.close()
    start_response("200 OK", PLAIN)
    return [f"{max(map(len, pieces))} {sum(map(len, pieces))} {opened.closed}".encode()]


@page
def errors(environ, start_response):
    environ["wsgi.errors"].write("a line for the log\n")
    environ["wsgi.errors"].writelines(["two ", "pieces: caf\u00e9\n"])
    environ["wsgi.errors"].flush()
    print("through print", file=environ["wsgi.errors"])
    start_response("200 OK", PLAIN)
    return [b"written"]


@page
def answer_headers(environ, start_response):
    start_response("200 OK", [*PLAIN, ("X-Latin", "caf\u00e9"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("x-lower", "case")])
    return [b"headers"]
