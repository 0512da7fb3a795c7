"""WebSockets over HTTP/2 (RFC 8441)."""

import pytest
from harness import until
from test_http2 import Site

h2client = pytest.importorskip("h2client")
from h2client import Client  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("websocket")).start()
    yield site
    site.end()


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame, with a mask of zeros."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2)
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8)
    return head + bytes(4) + payload


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """A server's whole frames."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length >= 126:
            at = 4 if length == 126 else 10
            length = int.from_bytes(data[2:at])
        if len(data) < at + length:
            break
        found.append((data[0] & 15, data[at : at + length]))
        data = data[at + length :]
    return found


def connect(client: Client, path: str, *more: tuple[str, str], version: str = "13") -> int:
    client.until(lambda: client.settings)
    stream = client.h2.get_next_available_stream_id()
    client.answers[stream] = h2client.Answer()
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "localhost"),
              (":path", path), ("sec-websocket-version", version), *more]
    client.h2.send_headers(stream, fields)
    client.flush()
    client.until(lambda: client.answers[stream].status or client.answers[stream].over)
    return stream


def test_messages_go_both_ways(site):
    with site.connect() as client:
        stream = connect(client, "/asgi/chat", ("sec-websocket-protocol", "a, b"))
        assert client.settings[8] == 1
        answer = client.answers[stream]
        assert (answer.status, answer["x-version"], answer["x-scheme"]) == (200, "2", "ws")
        assert answer["sec-websocket-protocol"] == "a"
        assert (answer["sec-websocket-accept"], answer["upgrade"], answer["connection"]) == (None, None, None)
        client.send(stream, frame(1, b"hello"))
        client.until(lambda: frames(answer.body))
        assert frames(answer.body) == [(1, b"hello")]
        client.send(stream, frame(2, b"x" * 200_000) + frame(1, b"big"))
        client.until(lambda: len(frames(answer.body)) == 3)
        assert [len(payload) for _, payload in frames(answer.body)] == [5, 200_000, 300_000]
        assert client.request("/small.txt").status == 200
        client.send(stream, frame(8, b"\x03\xe8bye"))
        assert client.answer(stream).ended
        assert frames(answer.body)[-1] == (8, b"\x03\xe8")
    told = site.directory / "websocket-code"
    until(lambda: told.exists() and told.read_text(), "the application to be told")
    assert told.read_text() == "1000"


def test_the_application_closes(site):
    with site.connect() as client:
        stream = connect(client, "/asgi/chat")
        client.send(stream, frame(1, b"close"))
        answer = client.answers[stream]
        client.until(lambda: frames(answer.body))
        assert frames(answer.body)[0] == (8, b"\x0b\xb9as asked")
        client.send(stream, frame(8, b"\x0b\xb9"), end=True)
        assert client.answer(stream).ended


def test_compression_is_agreed_on(site):
    with site.connect() as client:
        stream = connect(client, "/asgi/chat", ("sec-websocket-extensions", "permessage-deflate"))
        assert "permessage-deflate" in client.answers[stream]["sec-websocket-extensions"]


@pytest.mark.parametrize(("path", "status"), [("/asgi/deny", 403), ("/small.txt", 501), ("/variables", 501),
                                              ("/wsgi/early", 501), ("/missing", 501)])
def test_what_is_no_websocket_opens_no_tunnel(site, path, status):
    with site.connect() as client:
        stream = connect(client, path)
        answer = client.answer(stream)
        assert (answer.status in (status, 404)), answer
        assert not 200 <= answer.status < 300
        assert client.request("/small.txt").status == 200


def test_another_version_is_refused(site):
    with site.connect() as client:
        answer = client.answers[connect(client, "/asgi/chat", version="8")]
        assert (answer.status, answer["sec-websocket-version"]) == (426, "13")


def test_a_stream_that_is_reset_ends_the_websocket(site):
    (site.directory / "websocket-code").unlink(missing_ok=True)
    with site.connect() as client:
        stream = connect(client, "/asgi/chat")
        client.reset(stream)
        told = site.directory / "websocket-code"
        until(lambda: told.exists() and told.read_text(), "the application to be told")
        assert client.request("/small.txt").status == 200
    assert (site.directory / "websocket-code").read_text() == "1006"
