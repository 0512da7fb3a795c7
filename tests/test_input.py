"""`wsgi.input` against `io.BytesIO`: the same calls give the same bytes, wherever the body is kept."""

import hashlib
import io
import json
import re
import time
from pathlib import Path

import pytest
from harness import ClosedEarly

MODES = {
    "memory": (),
    "fronted": ("--front", "thread"),
    "threads": ("--threads", "2"),
    "unbuffered": ("--request-buffering", "off"),
}
LINES = b"first line\nsecond\r\n\n\nno end: \xff\x00 " + b"long" * 30 + b"\nlast without an end"
BODIES = {
    "empty": b"",
    "one_byte": b"x",
    "one_newline": b"\n",
    "lines": LINES,
    "ends_with_newline": LINES + b"\n",
    "one_long_line": b"y" * 100_000,
    "spilled": (LINES + b"\n") * 3000,
}
OPERATIONS = [
    [["read"]],
    [["read", -1]],
    [["read", None]],
    [["read", 0], ["read", 3], ["read"]],
    [["read", 3], ["read"], ["read"], ["read", 5]],
    [["read", 1_000_000], ["read", 1]],
    [["read", 16384], ["read", 16384], ["read"]],
    [["readline"], ["readline"], ["readline"], ["read"]],
    [["readline", 4], ["readline", 100], ["readline", 0], ["readline", -1], ["readline", None], ["read"]],
    [["readline", 1], ["read", 2], ["readline"], ["read", 1], ["readlines"]],
    [["readlines"], ["read"]],
    [["readlines", 5], ["readlines", 0], ["read"]],
    [["readlines", None], ["readline"]],
    [["readlines", -1]],
    [["iter"], ["read"], ["iter"]],
    [["next"], ["next"], ["read", 4], ["next"], ["iter"]],
    [["read", 5], ["iter"]],
]


def expected(body, operations):
    stream, results = io.BytesIO(body), []
    for name, *arguments in operations:
        if name == "iter":
            value = list(stream)
        elif name == "next":
            value = next(iter(stream), b"end")
        else:
            value = getattr(stream, name)(*arguments)
        results.append([piece.decode("latin-1") for piece in value] if isinstance(value, list) else value.decode("latin-1"))
    return results


@pytest.fixture(scope="module", params=MODES.values(), ids=MODES)
def kitchen(request, serve_all):
    return serve_all("kitchen", *request.param)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("name", BODIES)
def test_input_reads_as_a_file_in_memory(kitchen, name, framing):
    body = BODIES[name]
    with kitchen.connect() as connection:
        for operations in OPERATIONS:
            headers = [("X-Operations", json.dumps(operations))]
            if framing == "chunked":
                pieces = [body[at : at + 7001] for at in range(0, len(body), 7001)]
                data = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
                connection.request("POST", "/operations", [*headers, ("Transfer-Encoding", "chunked")], data)
            else:
                connection.request("POST", "/operations", headers, body)
            response = connection.response()
            assert response.status == 200, (operations, response)
            assert json.loads(response.body) == expected(body, operations), operations


def test_input_without_a_body_is_empty(kitchen):
    for operations in OPERATIONS:
        response = kitchen.get("/operations", [("X-Operations", json.dumps(operations))])
        assert json.loads(response.body) == expected(b"", operations)


def test_wrong_arguments_raise_what_a_file_raises(kitchen):
    operations = [["read", "three"], ["readline", "three"], ["readlines", "three"], ["read", 2]]
    response = kitchen.get("/operations", [("X-Operations", json.dumps(operations))], method="POST", body=b"abc")
    assert json.loads(response.body) == [{"raised": "TypeError"}, {"raised": "TypeError"}, {"raised": "TypeError"}, "ab"]


def test_huge_sizes_are_as_good_as_none(kitchen):
    operations = [["read", 2**62]]
    response = kitchen.get("/operations", [("X-Operations", json.dumps(operations))], method="POST", body=b"abc")
    assert json.loads(response.body) == ["abc"]


def test_what_is_read_does_not_reach_into_the_next_request(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().text == "abc"
        assert connection.response().text == "Hello"


def test_a_body_read_in_part_leaves_a_usable_connection(kitchen):
    with kitchen.connect() as connection:
        for size in (10, 50_000):
            assert connection.request("POST", "/read-some?n=4", body=b"x" * size).response().text == "xxxx"
            assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["memory", "unbuffered"])
def test_a_large_upload_needs_bounded_memory(serve, mode):
    server = serve("kitchen", *MODES[mode])
    worker = server.wait_for_workers(1)[0]
    server.get("/hello")

    def peak():
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text()).group(1)) * 1024

    before, size, piece = peak(), 60_000_000, bytes(range(256)) * 4000
    sha, sent = hashlib.sha256(), 0
    with server.connect() as connection:
        connection.request("POST", "/digest", [("Content-Length", str(size))])
        while sent < size:
            part = piece[: size - sent]
            connection.send(part)
            sha.update(part)
            sent += len(part)
        assert connection.response().text == f"{size} {sha.hexdigest()}"
    assert peak() - before < 20_000_000


def test_uploads_leave_no_files_behind(serve, tmp_path):
    folder = tmp_path / "spill"
    folder.mkdir()
    server = serve("kitchen", env={"TMPDIR": str(folder)})
    body = b"z" * 3_000_000
    assert server.get("/digest", method="POST", body=body).text.startswith("3000000 ")
    with server.connect() as connection:
        connection.request("POST", "/digest", [("Content-Length", "5000000")], body)
        time.sleep(0.2)
    time.sleep(0.2)
    server.stop()
    assert list(folder.iterdir()) == []


def test_unbuffered_input_streams(serve):
    server = serve("kitchen", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/duplex", [("Transfer-Encoding", "chunked")])
        connection.send(b"6\r\nfirst\n\r\n")
        assert connection.head().status == 200
        assert connection.chunk() == b"got first\n"
        connection.send(b"7\r\nsecond\n\r\n0\r\n\r\n")
        assert connection.chunk() == b"got second\n"
        assert connection.chunk() == b""


def test_unbuffered_input_that_breaks_off_raises_in_the_application(serve):
    server = serve("kitchen", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "10")], b"12345")
    time.sleep(0.3)
    assert server.get("/hello").text == "Hello"


def test_unbuffered_chunks_that_are_malformed_are_refused(serve):
    server = serve("kitchen", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], b"zz\r\nhello\r\n0\r\n\r\n")
        try:
            assert connection.response().status in (400, 500)
        except ClosedEarly:
            pass
        assert connection.is_closed()
    assert server.get("/hello").text == "Hello"
