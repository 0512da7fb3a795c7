"""WebSocket: permessage-deflate (RFC 7692), by hand and with the package `websockets`."""

import os
import re
import zlib
from pathlib import Path

import pytest
from test_websocket import BINARY, CONTINUATION, PING, PONG, TEXT, WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

WORDS = "compress me, compress me again, and compress me once more. " * 50


@pytest.fixture(scope="module")
def kitchen(serve_all):
    return serve_all("asgi_kitchen")


def offer(value):
    return [("Sec-WebSocket-Extensions", value)]


def deflate(data: bytes, bits=15, compressor=None) -> bytes:
    compressor = compressor or zlib.compressobj(wbits=-bits)
    data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert data.endswith(b"\0\0\xff\xff")
    return data[:-4]


def inflate(data: bytes, bits=15) -> bytes:
    return zlib.decompressobj(wbits=-bits).decompress(data + b"\0\0\xff\xff")


def parameters(ws) -> tuple[str, dict[str, str]]:
    """What was agreed: the name and its parameters."""
    name, *rest = [part.strip() for part in ws.answer["Sec-WebSocket-Extensions"].split(";")]
    return name, dict((part.partition("=")[0], part.partition("=")[2].strip('"')) for part in rest)


# With `websockets`.


@pytest.mark.parametrize(
    "options",
    [{}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
     {"server_no_context_takeover": True, "client_no_context_takeover": True}, {"client_max_window_bits": True},
     {"client_max_window_bits": 12}, {"server_max_window_bits": 15}],
    ids=lambda options: "-".join(options) or "default",
)
def test_messages_come_back_with_every_setting(kitchen, options):
    url = kitchen.url.replace("http", "ws") + "/echo"
    with connect(url, compression=None, extensions=[ClientPerMessageDeflateFactory(**options)], max_size=None, open_timeout=20) as ws:
        assert [extension.name for extension in ws.protocol.extensions] == ["permessage-deflate"]
        for message in ("", "a", WORDS, WORDS, os.urandom(70_000), b"", b"\0" * 1_000_000, "\u20ac" * 10_000):
            ws.send(message)
            assert ws.recv(20) == message


def test_without_the_offer_nothing_is_compressed(kitchen):
    with connect(kitchen.url.replace("http", "ws") + "/echo", compression=None, open_timeout=20) as ws:
        assert ws.protocol.extensions == []
        ws.send(WORDS)
        assert ws.recv(20) == WORDS


def test_a_fragmented_message_of_a_compressing_client(kitchen):
    with connect(kitchen.url.replace("http", "ws") + "/echo", open_timeout=20) as ws:
        ws.send(WORDS[at : at + 100] for at in range(0, len(WORDS), 100))
        assert ws.recv(20) == WORDS


def test_a_close_ends_a_compressing_client(kitchen):
    with connect(kitchen.url.replace("http", "ws") + "/closes?n=3&code=4001&reason=enough", open_timeout=20) as ws:
        assert [ws.recv(20) for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(ConnectionClosed) as error:
            ws.recv(20)
        assert (error.value.rcvd.code, error.value.rcvd.reason) == (4001, "enough")


# By hand.


def test_what_is_worth_it_is_compressed(kitchen):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        assert parameters(ws)[0] == "permessage-deflate"
        frame = ws.say(WORDS).frame()
        assert (frame.fin, frame.rsv, frame.opcode) == (True, 4, TEXT)
        assert len(frame.payload) < len(WORDS) // 5 and inflate(frame.payload) == WORDS.encode()


def test_an_uncompressed_message_is_fine_too(kitchen):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        frame = ws.send(TEXT, b"plain").frame()
        assert (inflate(frame.payload) if frame.rsv else frame.payload) == b"plain"


def test_a_context_is_kept_from_message_to_message(kitchen):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        compressor, decompressor = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        for _ in range(5):
            ws.send(TEXT, deflate(WORDS.encode(), compressor=compressor), rsv=4)
            frame = ws.frame()
            assert frame.rsv == 4
            assert decompressor.decompress(frame.payload + b"\0\0\xff\xff") == WORDS.encode()


@pytest.mark.parametrize("side", ["server", "client"])
def test_without_context_takeover_each_message_stands_alone(kitchen, side):
    with WebSocket(kitchen, headers=offer(f"permessage-deflate; {side}_no_context_takeover")) as ws:
        name, agreed = parameters(ws)
        assert name == "permessage-deflate"
        if side == "server":
            assert "server_no_context_takeover" in agreed
            for _ in range(3):
                frame = ws.say(WORDS).frame()
                assert inflate(frame.payload) == WORDS.encode(), "it refers to an earlier message"
        else:
            for _ in range(3):
                ws.send(TEXT, deflate(WORDS.encode()), rsv=4)
                assert ws.frame().rsv == 4


def test_window_bits_of_the_server(kitchen):
    """It says the bits it was asked for, or declines: to ignore them would break the client."""
    with WebSocket(kitchen, headers=offer("permessage-deflate; server_max_window_bits=10")) as ws:
        if ws.answer["Sec-WebSocket-Extensions"] is not None:
            assert int(parameters(ws)[1]["server_max_window_bits"]) <= 10
            data = b"".join(os.urandom(200) for _ in range(10)) * 2  # repeats at a distance of more than 1 KiB
            frame = ws.say(data).frame()
            assert (inflate(frame.payload, 10) if frame.rsv else frame.payload) == data


def test_window_bits_of_the_client_are_not_told_to_who_did_not_ask(kitchen):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        assert "client_max_window_bits" not in parameters(ws)[1]


@pytest.mark.parametrize(
    "value",
    ["permessage-deflate; unknown", "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7",
     "permessage-deflate; server_max_window_bits=16", "permessage-deflate; client_max_window_bits=99", "x-unknown-extension",
     "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
)
def test_an_offer_that_is_wrong_or_unknown_is_declined(kitchen, value):
    with WebSocket(kitchen, headers=offer(value)) as ws:
        assert ws.answer["Sec-WebSocket-Extensions"] is None
        assert ws.say("plain").message() == "plain"


@pytest.mark.parametrize(
    "values",
    [["permessage-deflate; unknown, permessage-deflate"], ["x-unknown, permessage-deflate"], ["permessage-deflate; server_max_window_bits=99", "permessage-deflate"],
     ["permessage-deflate; client_max_window_bits, permessage-deflate"], ['permessage-deflate; server_max_window_bits="15"']],
)
def test_the_first_offer_that_can_be_met_is_taken(kitchen, values):
    with WebSocket(kitchen, headers=[pair for value in values for pair in offer(value)]) as ws:
        assert parameters(ws)[0] == "permessage-deflate"
        frame = ws.send(TEXT, deflate(b"hello"), rsv=4).frame()
        assert (inflate(frame.payload) if frame.rsv else frame.payload) == b"hello"


def test_fragments_of_a_compressed_message(kitchen):
    data = deflate(WORDS.encode())
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        ws.send(TEXT, data[:10], fin=False, rsv=4).send(CONTINUATION, data[10:20], fin=False).send(PING, b"between")
        frame = ws.frame()
        assert (frame.opcode, frame.payload) == (PONG, b"between")
        ws.send(CONTINUATION, data[20:])
        assert inflate(ws.frame().payload) == WORDS.encode()


def test_rsv1_on_a_continuation_or_a_ping_is_1002(kitchen):
    for opcode in (CONTINUATION, PING):
        with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
            ws.send(TEXT, b"", fin=False, rsv=4).send(opcode, b"", rsv=4)
            assert ws.closing()[0] == 1002


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x07garbage"])
def test_what_cannot_be_inflated_ends_the_connection(kitchen, data):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        ws.send(BINARY, data, rsv=4)
        assert ws.closing()[0] in (1002, 1007)


def test_inflated_text_must_be_utf_8(kitchen):
    with WebSocket(kitchen, headers=offer("permessage-deflate")) as ws:
        ws.send(TEXT, deflate(b"\xff\xfe"), rsv=4)
        assert ws.closing()[0] == 1007


def test_the_largest_size_counts_what_was_inflated(serve):
    server = serve("asgi_kitchen", "--ws-max-size", "100000")
    with WebSocket(server, headers=offer("permessage-deflate")) as ws:
        frame = ws.send(BINARY, deflate(b"x" * 100_000), rsv=4).frame()
        assert inflate(frame.payload) == b"x" * 100_000
        ws.send(BINARY, deflate(b"x" * 100_001), rsv=4)
        assert ws.closing()[0] == 1009


def test_a_bomb_does_not_take_the_memory(serve):
    server = serve("asgi_kitchen")
    server.get("/hello")
    bomb = deflate(b"\0" * (1 << 28))
    assert len(bomb) < 300_000
    with WebSocket(server, headers=offer("permessage-deflate")) as ws:
        ws.send(BINARY, bomb, rsv=4)
        assert ws.closing()[0] == 1009
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.workers()[0]}/status").read_text()).group(1)) * 1024
    assert peak < 150 << 20
