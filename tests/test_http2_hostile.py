"""HTTP/2 as clients speak it that mean harm, or know no better: malformed requests, and floods of each kind of frame.
Meanwhile another client is served, and the worker's memory stays bounded."""

import contextlib
import itertools
import re
import struct
import threading
import time
from pathlib import Path

import pytest
from harness import until
from test_http2 import Site

h2client = pytest.importorskip("h2client")
from h2client import (  # noqa: E402
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Client, Raw,
)

CALM = 11
# What an attack may add to the memory of the worker, in kB.
BOUND = 40_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    server = "client_header_timeout 2s; client_body_timeout 2s; send_timeout 2s; keepalive_timeout 3s;"
    site = Site(tmp_path_factory.mktemp("hostile"), server=server, main="worker_processes 1;").start()
    yield site
    site.end()


def memory(site) -> int:
    """The worker's own memory in kB."""
    text = Path(f"/proc/{site.worker()}/smaps_rollup").read_text()
    return sum(int(found) for found in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+) kB", text))


@contextlib.contextmanager
def bounded(site):
    """A good client is answered and memory is bounded, during what happens inside."""
    with site.connect() as client:
        assert client.request("/small.txt").status == 200
    before, pid = memory(site), site.worker()
    most, over, problems = [before], threading.Event(), []

    def watch() -> None:
        while not over.is_set():
            try:
                with site.connect() as client:
                    for _ in range(3):
                        assert client.request("/small.txt").status == 200
                most.append(memory(site))
            except Exception as problem:
                problems.append(problem)
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(30)
    assert not problems, problems
    assert site.worker() == pid, f"the worker did not survive\n{site.log}"
    assert max(most) - before < BOUND, most
    with site.connect() as client:
        assert client.request("/wsgi/early").status == 200


def flood(raw: Raw, piece: bytes, times: int = 100_000) -> int | None:
    """Send a piece again and again until the server ends the connection: the code of its GOAWAY, `None` without."""
    raw.socket.settimeout(0.05)
    answered = b""
    sending = piece * max(1, 16_384 // len(piece))
    count = 0
    pending = memoryview(sending)
    while count < times:
        try:
            sent = raw.socket.send(pending)
            pending = pending[sent:]
            if not pending:
                pending = memoryview(sending)
                count += max(1, 16_384 // len(piece))
        except TimeoutError:
            break
        except OSError:
            break
        with contextlib.suppress(BlockingIOError, TimeoutError):
            raw.socket.setblocking(False)
            try:
                answered += raw.socket.recv(1 << 20)
            except ConnectionResetError:
                break
            finally:
                raw.socket.settimeout(0.05)
    raw.buffer += answered
    with contextlib.suppress(TimeoutError, OSError):
        while frame := raw.read(3):
            if frame[0] == GOAWAY:
                return int.from_bytes(frame[3][4:8])
    return None


# Malformed requests (RFC 9113 section 8.1.1): the stream is reset, or answered 400; the connection goes on.


BASE = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": "/small.txt"}


def fields(*more, **changes):
    named = {**BASE, **{":" + name: value for name, value in changes.items()}}
    return [(name, value) for name, value in named.items() if value is not None] + list(more)


@pytest.mark.parametrize(("head", "outcomes"), [
    (fields(), "200"),
    (fields(method=None), "reset 1"),
    (fields(scheme=None), "reset 1"),
    (fields(path=None), "reset 1|400"),
    (fields(path=""), "reset 1|400"),
    (fields(path="small.txt"), "reset 1|400"),
    (fields(path="*"), "reset 1|400"),
    (fields(path="/a b"), "reset 1|400"),
    (fields(path="/a\x00b"), "reset 1|400|goaway 1"),
    (fields(path="/../.."), "400"),
    (fields(authority=None), "400"),
    (fields(("host", "localhost"), authority=None), "200"),
    (fields(("host", "localhost")), "200"),
    (fields(("host", "LOCALHOST")), "200"),
    (fields(("host", "other")), "reset 1|400"),
    (fields(("host", "a"), ("host", "b"), authority=None), "reset 1|400"),
    (fields(authority="user@localhost"), "reset 1|400"),
    (fields(authority="a b"), "reset 1|400"),
    (fields(authority=""), "reset 1|400"),
    (fields(method="G ET"), "reset 1|goaway 1"),
    (fields(method="get"), "reset 1|400"),
    (fields(method=""), "reset 1|goaway 1"),
    (fields(method="CONNECT"), "reset 1|400|405"),
    (fields(method="CONNECT", scheme=None, path=None, authority="localhost:80"), "reset 1|400|405"),
    (fields(scheme="ht tp"), "reset 1|400"),
    (fields((":path", "/other")), "reset 1"),
    (fields((":unknown", "x")), "reset 1|goaway 1"),
    (fields((":status", "200")), "reset 1|goaway 1"),
    ([("accept", "*/*"), *fields()], "reset 1"),
    (fields(("Accept", "x")), "reset 1|goaway 1"),
    (fields(("connection", "close")), "reset 1"),
    (fields(("transfer-encoding", "chunked")), "reset 1"),
    (fields(("upgrade", "h2c")), "reset 1"),
    (fields(("keep-alive", "5")), "reset 1"),
    (fields(("proxy-connection", "close")), "reset 1"),
    (fields(("te", "gzip")), "reset 1"),
    (fields(("te", "trailers")), "200"),
    (fields(("content-length", "5")), "reset 1"),
    (fields(("content-length", "x")), "reset 1"),
    (fields(("content-length", "0"), ("content-length", "0")), "reset 1|400"),
    (fields(("content-length", "0"), ("content-length", "1")), "reset 1|400"),
    (fields(("x-a", "a\r\nx-b: c")), "reset 1|400|goaway 1"),
    (fields(("x-a", "a\nb")), "reset 1|400|goaway 1"),
    (fields(("x-a", "a\x00b")), "reset 1|400|goaway 1"),
    (fields(("x a", "b")), "reset 1|400|goaway 1"),
    (fields(("", "b")), "reset 1|400|goaway 1"),
    (fields(("x-long", "x" * 9000)), "400"),
    (fields(*[("x-much", "x" * 4000)] * 20), "400|431"),
    (fields(*[(f"x-{number}", "x") for number in range(1500)]), "400|431"),
], ids=map(str, itertools.count()))
def test_malformed_requests(site, head, outcomes):
    with Raw(site.port) as raw:
        stream, frame = raw.head(head)
        raw.socket.sendall(frame)
        outcome = raw.outcome(stream)
        assert re.fullmatch(outcomes, outcome), outcome
        if not outcome.startswith("goaway"):
            stream, frame = raw.get("/small.txt")
            raw.socket.sendall(frame)
            assert raw.outcome(stream) == "200"


@pytest.mark.parametrize(("told", "sent"), [(5, 3), (5, 9), (0, 1)])
def test_a_body_of_another_length_than_told(site, told, sent):
    with Raw(site.port) as raw:
        head = fields(("content-length", str(told)), method="POST", path="/wsgi/echo")
        stream, frame = raw.head(head, end=False)
        raw.socket.sendall(frame + raw.frame(DATA, END_STREAM, stream, b"x" * sent))
        assert raw.outcome(stream) in ("reset 1", "400", "closed")


@pytest.mark.parametrize(("bytes_", "code"), [
    (Raw.frame(DATA, 0, 0, b"x"), 1),
    (Raw.frame(DATA, 0, 99, b"x"), 1),
    (Raw.frame(HEADERS, END_HEADERS, 0, b"\x82"), 1),
    (Raw.frame(HEADERS, END_HEADERS, 2, b"\x82"), 1),
    (Raw.frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff"), 9),
    (Raw.frame(CONTINUATION, END_HEADERS, 1, b""), 1),
    (Raw.frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82"), 1),
    (Raw.frame(SETTINGS, 0, 0, b"123"), 6),
    (Raw.frame(SETTINGS, 0, 1, b""), 1),
    (Raw.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), 3),
    (Raw.frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)), 1),
    (Raw.frame(PING, 0, 0, b"123"), 6),
    (Raw.frame(PING, 0, 1, b"12345678"), 1),
    (Raw.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), 1),
    (Raw.frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), 3),
    (Raw.frame(RST_STREAM, 0, 0, b"\0\0\0\1"), 1),
    (Raw.frame(RST_STREAM, 0, 1, b"\0\0\0\1"), 1),
    (Raw.frame(DATA, 0, 1, b"x" * 17_000), 6),
], ids=range(18))
def test_errors_of_connections(site, bytes_, code):
    with Raw(site.port) as raw:
        raw.socket.sendall(bytes_)
        frame = raw.find(GOAWAY)
        assert frame is None or int.from_bytes(frame[3][4:8]) in (code, 1)
        assert raw.find(GOAWAY) is None


def test_unknown_frames_and_priorities_are_passed_over(site):
    with Raw(site.port) as raw:
        raw.send(0x16, 0xff, 0, b"what is this")
        raw.send(PRIORITY, 0, 5, b"\0\0\0\3\x10")
        stream, frame = raw.get("/small.txt")
        raw.socket.sendall(frame)
        assert raw.outcome(stream) == "200"


def test_a_wrong_preface_ends_the_connection(site):
    with Raw(site.port, preface=False) as raw:
        raw.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert b"400" in raw.socket.recv(1000)


# Floods.


def test_rapid_reset(site):
    """CVE-2023-44487"""
    with bounded(site), Raw(site.port) as raw:
        pieces = []
        for _ in range(20_000):
            stream, frame = raw.get("/large.bin")
            pieces.append(frame + raw.frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
        with contextlib.suppress(OSError):
            for start in range(0, len(pieces), 100):
                raw.socket.sendall(b"".join(pieces[start : start + 100]))
        frame = raw.find(GOAWAY)
        assert frame is None or int.from_bytes(frame[3][4:8]) == CALM


def test_slow_rapid_reset(site):
    """Requests that were begun before they are broken off."""
    with bounded(site), Raw(site.port) as raw:
        code = None
        with contextlib.suppress(OSError):
            for _ in range(400):
                stream, frame = raw.get("/asgi/slow?3000")
                raw.socket.sendall(frame)
                time.sleep(0.002)
                raw.send(RST_STREAM, 0, stream, struct.pack(">I", 8))
        frame = raw.find(GOAWAY)
        code = frame and int.from_bytes(frame[3][4:8])
        assert code in (CALM, None)


def test_made_you_reset(site):
    """Faults of the client that make the server break streams off."""
    with bounded(site), Raw(site.port) as raw:
        with contextlib.suppress(OSError):
            for _ in range(5_000):
                stream, frame = raw.get("/asgi/slow?3000", end=False)
                raw.socket.sendall(frame + raw.frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0"))
        frame = raw.find(GOAWAY)
        assert frame is None or int.from_bytes(frame[3][4:8]) in (CALM, 1)


def test_continuation_flood(site):
    with bounded(site), Raw(site.port) as raw:
        raw.send(HEADERS, END_STREAM, 1, b"\x82\x86\x84")
        block = raw.encoder.encode([("x-a", "x" * 50)])
        assert flood(raw, raw.frame(CONTINUATION, 0, 1, block)) in (CALM, 1, None)


def test_empty_continuation_flood(site):
    with bounded(site), Raw(site.port) as raw:
        raw.send(HEADERS, END_STREAM, 1, b"\x82\x86\x84")
        assert flood(raw, raw.frame(CONTINUATION, 0, 1, b""), 400_000) in (CALM, 1, None)


def test_header_bomb(site):
    """References to one large entry of the table: small frames, large heads."""
    with bounded(site), Raw(site.port) as raw:
        stream, frame = raw.get("/small.txt", ("x-bomb", "x" * 3900))
        raw.socket.sendall(frame)
        assert raw.outcome(stream) == "200"
        block = b"\x82\x86\x84" + raw.encoder.encode([(":authority", "localhost")]) + b"\xbf" * 16_000
        with contextlib.suppress(OSError):
            for _ in range(200):
                raw.send(HEADERS, END_HEADERS | END_STREAM, raw.next, block)
                raw.next += 2
        while (frame := raw.read()) and frame[0] != GOAWAY:
            pass


@pytest.mark.parametrize("more", [b"\xbe" * 12_000, b"\xbf" * 40], ids=["malformed", "too large"])
def test_a_client_whose_heads_are_none_is_sent_away(site, more):
    with bounded(site), Raw(site.port) as raw:
        for number in range(3):
            stream, frame = raw.get("/small.txt", ("x-large", "x" * 3900))
            raw.socket.sendall(frame)
            assert raw.outcome(stream) == "200", number
        block = b"\x82\x86\x84" + raw.encoder.encode([(":authority", "localhost")]) + more
        with contextlib.suppress(OSError):
            for _ in range(100):
                raw.send(HEADERS, END_HEADERS | END_STREAM, raw.next, block)
                raw.next += 2
        frame = raw.find(GOAWAY)
        assert frame and int.from_bytes(frame[3][4:8]) == CALM and int.from_bytes(frame[3][:4]) < 2 * 50


@pytest.mark.parametrize("piece", [
    Raw.frame(PING, 0, 0, b"12345678"),
    Raw.frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 70_000)),
    Raw.frame(SETTINGS),
    Raw.frame(PRIORITY, 0, 3, b"\0\0\0\0\x10"),
    Raw.frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    Raw.frame(0x42, 0, 0, b""),
], ids=["ping", "settings", "empty settings", "priority", "window", "unknown"])
def test_floods_without_use_end_the_connection(site, piece):
    with bounded(site), Raw(site.port) as raw:
        flood(raw, piece, 4_000_000 // len(piece))
        until(lambda: closed(raw), "the connection to end", 15)


def closed(raw: Raw) -> bool:
    try:
        raw.socket.settimeout(0.2)
        raw.socket.sendall(Raw.frame(PING, ACK, 0, b"12345678"))
        while True:
            if not raw.socket.recv(1 << 20):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_empty_data_flood(site):
    with bounded(site), Raw(site.port) as raw:
        head = fields(method="POST", path="/asgi/upload")
        stream, frame = raw.head(head, end=False)
        raw.socket.sendall(frame)
        flood(raw, raw.frame(DATA, 0, stream, b""), 400_000)
        until(lambda: closed(raw), "the connection to end", 15)


def test_answers_that_nobody_takes(site):
    """Windows that are closed, or open by a byte, hold answers; each has its time."""
    with bounded(site):
        clients = [Client(site.port, window=0) for _ in range(5)]
        for client in clients:
            streams = [client.begin("/large.bin") for _ in range(50)]
        client.until(lambda: client.closed or all(client.answers[stream].reset is not None for stream in streams[:3]), 20)
        for client in clients:
            client.__exit__()


def test_a_socket_that_takes_nothing(site):
    with bounded(site):
        raws = []
        for _ in range(4):
            raw = Raw(site.port)
            raw.send(SETTINGS, 0, 0, struct.pack(">HI", 4, (1 << 31) - 1))
            raw.send(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 70_000))
            raw.socket.sendall(b"".join(raw.get("/large.bin")[1] for _ in range(100)))
            raws.append(raw)
        time.sleep(4)
        for raw in raws:
            raw.__exit__()


def test_an_incomplete_head_has_its_time(site):
    with bounded(site), Raw(site.port) as raw:
        raw.send(HEADERS, END_STREAM, 1, b"\x82\x86\x84")
        began = time.monotonic()
        while raw.read():
            pass
        assert time.monotonic() - began < 15


def test_a_body_that_does_not_come_has_its_time(site):
    with Client(site.port) as client:
        stream = client.begin("/wsgi/echo", "POST", [("content-length", "5")], end=False)
        client.until(lambda: client.answers[stream].over, 15)
        assert client.answers[stream].reset is not None or client.answers[stream].status == 408


def test_bodies_that_nobody_reads_are_bounded(site):
    """No more comes than the windows allow."""
    with bounded(site), Client(site.port) as client:
        streams = [client.begin("/asgi/wait", "POST", end=False) for _ in range(50)]
        for stream in streams:
            room = client.h2.local_flow_control_window(stream)
            while room > 0:
                client.h2.send_data(stream, b"x" * min(room, 16_384))
                room = client.h2.local_flow_control_window(stream)
            client.flush()
        assert client.h2.outbound_flow_control_window < 70_000
