"""WebSocket: messages, fragments, pings, closing, limits, and readers and writers that are slow. On both event loops."""

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from urllib.parse import quote_plus

import pytest
from harness import APPS, ClosedEarly, until
from test_asgi_messages import LOOPS, MEGABYTE, MUCH, events, fresh, resident, wait_for_events
from test_websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, encode, handshake

sys.path.insert(0, str(APPS))
import asgi_kitchen  # noqa: E402  (its tables of wrong messages)


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def kitchen(request, serve_all):
    return serve_all("asgi_kitchen", *request.param)


@pytest.fixture(scope="module")
def small(serve_all):
    return serve_all("asgi_kitchen", "--ws-max-size", "1000")


# Messages.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 65537, 3 * MEGABYTE])
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_messages_of_every_size_come_back(kitchen, size, kind):
    message = "\u00e9" * (size // 2) + "x" * (size % 2) if kind == "text" else os.urandom(size)
    with WebSocket(kitchen) as ws:
        assert ws.say(message).message() == message
        assert ws.close()[0] == 1000


def test_messages_keep_their_order(kitchen):
    with WebSocket(kitchen) as ws:
        ws.connection.send(b"".join(encode(TEXT, b"message %d" % number) for number in range(1000)))
        assert [ws.message() for _ in range(1000)] == [f"message {number}" for number in range(1000)]


def test_a_frame_in_single_bytes(kitchen):
    with WebSocket(kitchen) as ws:
        for byte in encode(TEXT, b"byte by byte") + encode(BINARY, b"x" * 200):
            ws.connection.send(bytes([byte]))
            time.sleep(0.0005)
        assert (ws.message(), ws.message()) == ("byte by byte", b"x" * 200)


def test_a_fragmented_message_comes_whole(kitchen):
    with WebSocket(kitchen) as ws:
        ws.send(TEXT, b"one ", fin=False).send(CONTINUATION, b"", fin=False).send(CONTINUATION, b"two ", fin=False).send(CONTINUATION, b"three")
        assert ws.message() == "one two three"
        for byte in "\u20ac".encode():  # a character in three fragments
            ws.send(TEXT if byte == 0xE2 else CONTINUATION, bytes([byte]), fin=byte == 0xAC)
        assert ws.message() == "\u20ac"
        ws.send(BINARY, b"", fin=False).send(CONTINUATION, b"")
        assert ws.message() == b""


def test_a_message_of_very_many_fragments(kitchen):
    with WebSocket(kitchen) as ws:
        ws.send(BINARY, b"0", fin=False)
        ws.connection.send(b"".join(encode(CONTINUATION, b"%d" % (number % 10), fin=False) for number in range(1, 10_000)))
        ws.send(CONTINUATION, b"!")
        assert ws.message() == b"0123456789" * 1000 + b"!"


def test_a_mask_of_zeros_is_a_mask(kitchen):
    with WebSocket(kitchen) as ws:
        ws.connection.send(b"\x81\x85\0\0\0\0hello")
        assert ws.message() == "hello"


def test_one_of_two_keys_may_be_none(kitchen):
    with WebSocket(kitchen, "/both-keys") as ws:
        assert [ws.message() for _ in range(4)] == ["text", b"bytes", "", b""]
        assert ws.closing() == (1000, "")


def test_sending_and_receiving_at_the_same_time(kitchen):
    before = len(events(kitchen, "two-ways"))
    with WebSocket(kitchen, "/two-ways") as ws:
        ws.say("hello")
        seen = [ws.message() for _ in range(20)]
        assert "echo hello" in seen
        assert [word for word in seen if word.startswith("push")] == [f"push {number}" for number in range(19)]
    assert wait_for_events(kitchen, "two-ways", before + 1)[before] == "ended"


def test_a_connection_is_one_task(kitchen):
    with WebSocket(kitchen, "/is-alone") as ws:
        for _ in range(3):
            ws.say("next")
            time.sleep(0.02)
        assert ws.message() == "same"


def test_200_clients_at_once(kitchen):
    sockets = [WebSocket(kitchen) for _ in range(200)]
    for rounds in range(3):
        for number, ws in enumerate(sockets):
            ws.say(f"{rounds} {number}")
        for number, ws in enumerate(sockets):
            assert ws.message() == f"{rounds} {number}"
    assert kitchen.get("/hello").text == "Hello"
    for ws in sockets:
        ws.send(CLOSE, b"\x03\xe8")
    for ws in sockets:
        assert ws.closing(reply=False)[0] == 1000
        ws.connection.socket.close()


# Wrong messages of the application.


@pytest.mark.parametrize("what", asgi_kitchen.BAD_SOCKET)
def test_a_wrong_message_before_accept_raises_and_is_500(kitchen, what):
    before = len(events(kitchen, "socket " + what))
    with kitchen.connect() as connection:
        connection.send(handshake(f"/bad-socket?what={quote_plus(what)}", [("Sec-WebSocket-Protocol", "chat")]))
        answer = connection.head()
        assert answer.status == 500
        assert answer["X-Injected"] is None
    seen = wait_for_events(kitchen, "socket " + what, before + 1)[before]
    assert seen not in ("accepted", "OSError")


@pytest.mark.parametrize("what", asgi_kitchen.BAD_LATER_SOCKET)
def test_a_wrong_message_after_accept_raises_and_is_1011(kitchen, what):
    before = len(events(kitchen, "socket " + what))
    with WebSocket(kitchen, f"/bad-socket?what={quote_plus(what)}") as ws:
        assert ws.closing()[0] == 1011
    seen = wait_for_events(kitchen, "socket " + what, before + 1)[before]
    assert seen not in ("accepted", "OSError")


# Pings.


def test_pings_are_answered_with_their_payload(kitchen):
    with WebSocket(kitchen) as ws:
        for payload in (b"", b"payload", b"\xff" * 125):
            frame = ws.send(PING, payload).frame()
            assert (frame.opcode, frame.payload) == (PONG, payload)
        assert ws.say("after").message() == "after"


def test_a_ping_between_fragments(kitchen):
    with WebSocket(kitchen) as ws:
        frame = ws.send(TEXT, b"be", fin=False).send(PING, b"between").frame()
        assert (frame.opcode, frame.payload) == (PONG, b"between")
        assert ws.send(CONTINUATION, b"fore").message() == "before"


def test_a_pong_that_nobody_asked_for_is_nothing(kitchen):
    with WebSocket(kitchen) as ws:
        assert ws.send(PONG, b"unasked").say("hello").message() == "hello"


def test_a_ping_is_answered_while_the_application_does_not_receive(kitchen):
    name = fresh("ping")
    with WebSocket(kitchen, f"/gated-socket?gate={name}&name={name}") as ws:
        frame = ws.send(PING, b"anybody?").frame()
        assert (frame.opcode, frame.payload) == (PONG, b"anybody?")
        (kitchen.directory / name).touch()


def test_the_server_pings_and_keeps_who_answers(serve):
    server = serve("asgi_kitchen", "--ws-ping-interval", "1", "--ws-ping-timeout", "1")
    with WebSocket(server) as ws:
        for _ in range(3):
            frame = ws.frame()
            assert frame.opcode == PING
            ws.send(PONG, frame.payload)
        ws.say("still here")
        assert ws.message() == "still here"


def test_the_server_drops_who_does_not_answer_its_pings(serve):
    server = serve("asgi_kitchen", "--ws-ping-interval", "1", "--ws-ping-timeout", "1")
    with WebSocket(server, "/echo?name=mute") as ws:
        begin = time.monotonic()
        data = ws.connection.rest()
        assert 1.5 < time.monotonic() - begin < 15
        assert data[:1] == b"\x89", "a ping came first"
    code, _, _ = wait_for_events(server, "mute")[0]
    assert code in (1006, 1011)


def test_the_server_does_not_ping_a_busy_connection_to_death(serve):
    """A pong may come late behind other frames; any sign of life within the time is enough or the pong is."""
    server = serve("asgi_kitchen", "--ws-ping-interval", "1", "--ws-ping-timeout", "2")
    with WebSocket(server) as ws:
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            assert ws.say(b"x" * 1000).message() == b"x" * 1000
            time.sleep(0.05)


# Closing.


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1000, "good bye"), (1001, "caf\u00e9"), (1003, ""), (1011, ""), (3000, "x" * 123), (4999, "own")],
)
def test_the_clients_code_and_reason_reach_the_application(kitchen, code, reason):
    reason = reason[: 123 - (len(reason.encode()) - len(reason))]
    name = fresh("close")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        assert ws.close(code, reason)[0] == code, "the close frame is answered with its code"
        assert ws.connection.is_closed()
    assert wait_for_events(kitchen, name) == [[code, reason, "int"]]


def test_a_close_without_a_code_is_1005(kitchen):
    name = fresh("close")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        assert ws.close(None)[0] in (1000, 1005)
    assert wait_for_events(kitchen, name) == [[1005, "", "int"]]


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_connection_that_is_lost_is_1006(kitchen, how):
    name = fresh("lost")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        ws.say("hello").message()
        if how == "reset":
            ws.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "half":
            ws.connection.socket.shutdown(socket.SHUT_WR)
            assert wait_for_events(kitchen, name)
    code, _, kind = wait_for_events(kitchen, name)[0]
    assert (code, kind) == (1006, "int")


def test_what_was_said_before_the_close_is_received(kitchen):
    name = fresh("before")
    with WebSocket(kitchen, f"/gated-socket?gate={name}&name={name}") as ws:
        for _ in range(100):
            ws.say(b"x" * 100)
        ws.send(CLOSE, struct.pack(">H", 1001))
        (kitchen.directory / name).touch()
        assert wait_for_events(kitchen, name, 3) == [100, 10_000, 1001]


def test_what_comes_after_the_close_is_ignored(kitchen):
    name = fresh("after")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        ws.connection.send(encode(CLOSE, b"\x03\xe8") + encode(TEXT, b"late") + encode(PING, b"late"))
        assert ws.closing(reply=False)[0] == 1000
        with contextlib.suppress(ConnectionResetError):
            assert ws.connection.rest() == b""
    assert wait_for_events(kitchen, name) == [[1000, "", "int"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", (1000, "")), ("code=1000", (1000, "")), ("code=1001&reason=away", (1001, "away")), ("code=3456&reason=caf%C3%A9", (3456, "caf\u00e9")),
     ("code=4999", (4999, ""))],
)
def test_the_applications_code_and_reason_reach_the_client(kitchen, query, expected):
    name = fresh("closes")
    with WebSocket(kitchen, f"/closes?name={name}&{query}") as ws:
        assert ws.closing() == expected
    seen = wait_for_events(kitchen, name, 2)
    assert seen[0] == ["websocket.disconnect", "int"]
    assert seen[1] != "sent", "send() after the end raises"


def test_all_that_was_sent_before_the_close_arrives(kitchen):
    with WebSocket(kitchen, "/closes?n=500") as ws:
        assert [ws.message() for _ in range(500)] == [str(number) for number in range(500)]
        assert ws.closing() == (1000, "")


def test_a_client_that_does_not_answer_the_close_is_left(kitchen):
    with WebSocket(kitchen, "/closes") as ws:
        assert ws.closing(reply=False) == (1000, "")
        assert ws.connection.is_closed(30), "the server waits for ever"


def test_send_raises_oserror_once_the_client_has_closed(kitchen):
    name = fresh("gone")
    with WebSocket(kitchen, f"/says-after-disconnect?name={name}&again") as ws:
        ws.close(1001, "bye")
    seen = wait_for_events(kitchen, name, 3)
    assert seen[0] == ["websocket.disconnect", 1001, "bye"]
    assert seen[1:] == ["websocket.disconnect", "OSError"], "receive() tells it again, send() raises"
    time.sleep(0.2)
    assert "hello?" not in kitchen.log, "what the server raised is no error of the application"


def test_send_raises_oserror_without_a_receive(kitchen):
    name = fresh("talks")
    with WebSocket(kitchen, f"/talks?name={name}") as ws:
        assert ws.message() == "tick"
    assert wait_for_events(kitchen, name) == ["OSError"]


# What breaks the protocol.


BROKEN = {
    "unmasked": (encode(TEXT, b"bare", mask=False), {1002}),
    "rsv1": (encode(TEXT, b"x", rsv=4), {1002}),
    "rsv2": (encode(TEXT, b"x", rsv=2), {1002}),
    "rsv3": (encode(BINARY, b"x", rsv=1), {1002}),
    "rsv on a ping": (encode(PING, b"", rsv=4), {1002}),
    "opcode 3": (encode(3, b"x"), {1002}),
    "opcode 7": (encode(7), {1002}),
    "opcode 11": (encode(11), {1002}),
    "opcode 15": (encode(15, b"x"), {1002}),
    "ping in fragments": (encode(PING, b"x", fin=False), {1002}),
    "long ping": (encode(PING, b"x" * 126), {1002}),
    "long close": (encode(CLOSE, b"\x03\xe8" + b"x" * 124), {1002}),
    "continuation of nothing": (encode(CONTINUATION, b"x"), {1002}),
    "text within text": (encode(TEXT, b"a", fin=False) + encode(TEXT, b"b"), {1002}),
    "close of one byte": (encode(CLOSE, b"\x03"), {1002}),
    "length of 64 bits with the first set": (b"\x82\xff\x80\0\0\0\0\0\0\x01\0\0\0\0x", {1002, 1009}),
    "invalid utf-8": (encode(TEXT, b"\xff\xfe"), {1007}),
    "overlong utf-8": (encode(TEXT, b"\xc0\x80"), {1007}),
    "surrogate": (encode(TEXT, b"\xed\xa0\x80"), {1007}),
    "utf-8 cut off": (encode(TEXT, "\u20ac".encode()[:2]), {1007}),
    "utf-8 cut off over fragments": (encode(TEXT, b"\xe2", fin=False) + encode(CONTINUATION, b"x"), {1007}),
    "invalid reason": (encode(CLOSE, b"\x03\xe8\xff"), {1007, 1002}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_frame_ends_the_connection(kitchen, what):
    frames, codes = BROKEN[what]
    name = fresh("broken")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        ws.connection.send(frames)
        assert ws.closing()[0] in codes
    code, _, kind = wait_for_events(kitchen, name)[0]
    assert kind == "int" and code in {1006, *codes}


@pytest.mark.parametrize("broken", [encode(BINARY, b"x", rsv=1), encode(5), encode(CONTINUATION, b"x")], ids=["rsv", "opcode", "continuation"])
def test_what_came_before_a_broken_frame_is_answered_first(kitchen, broken):
    """Autobahn's 3.2, 4.1.3, 5.15 and their like, which Uvicorn does not pass strictly either."""
    with WebSocket(kitchen) as ws:
        ws.connection.send(encode(TEXT, b"one") + encode(TEXT, b"two") + broken + encode(TEXT, b"three"))
        assert (ws.message(), ws.message()) == ("one", "two")
        assert ws.closing()[0] == 1002


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_a_code_that_nobody_may_send_is_1002(kitchen, code):
    with WebSocket(kitchen) as ws:
        ws.send(CLOSE, struct.pack(">H", code))
        assert ws.closing(reply=False)[0] == 1002


# Limits.


def test_a_message_of_the_largest_size_is_taken_and_one_more_byte_is_1009(small):
    with WebSocket(small, "/echo") as ws:
        assert ws.say(b"x" * 1000).message() == b"x" * 1000
        assert ws.say("\u00e9" * 500).message() == "\u00e9" * 500
        ws.say(b"x" * 1001)
        assert ws.closing()[0] == 1009


def test_fragments_count_together(small):
    name = fresh("large")
    with WebSocket(small, f"/echo?name={name}") as ws:
        ws.send(BINARY, b"x" * 600, fin=False).send(CONTINUATION, b"x" * 400)
        assert ws.message() == b"x" * 1000
        ws.send(BINARY, b"x" * 600, fin=False).send(CONTINUATION, b"x" * 401, fin=False)
        assert ws.closing()[0] == 1009
    code, _, _ = wait_for_events(small, name)[0]
    assert code in (1006, 1009)


def test_a_huge_length_is_refused_before_its_bytes_come(small):
    with WebSocket(small) as ws:
        ws.connection.send(b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0")
        assert ws.closing()[0] == 1009


def test_what_the_application_sends_has_no_limit(small):
    with WebSocket(small, f"/floods?name={fresh('floods')}") as ws:
        assert len(ws.message()) == 65536


# Memory.


@pytest.mark.slow
def test_a_client_that_does_not_read_suspends_the_application(kitchen):
    name = fresh("floods")
    kitchen.get("/hello")
    before = resident(kitchen)
    with WebSocket(kitchen, f"/floods?name={name}") as ws:
        taken = -1
        while taken != (now := events(kitchen, name)[0]):
            taken = now
            assert taken < MUCH, "send() does not wait for the client"
            time.sleep(0.5)
        assert resident(kitchen) - before < 48 * MEGABYTE
        for _ in range(200):
            assert len(ws.message()) == 65536
        until(lambda: events(kitchen, name)[0] > taken, "the application to go on")
    assert until(lambda: events(kitchen, name)[1:], "the handler to end") == ["OSError"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/gated-socket", "/echo"])
def test_a_client_that_only_sends_is_held_up(kitchen, path):
    """The application does not receive, or cannot send its echo: the server stops reading."""
    name = fresh("flood")
    kitchen.get("/hello")
    before = resident(kitchen)
    frame = encode(BINARY, b"x" * 65536)
    with WebSocket(kitchen, f"{path}?gate={name}&name={name}") as ws:
        sent = 0

        def flood():
            nonlocal sent
            with contextlib.suppress(OSError):
                while sent < MUCH:
                    ws.connection.send(frame)
                    sent += 65536

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        last = -1
        while last != sent:
            last = sent
            time.sleep(0.7)
        assert sent < MUCH, "the server takes all"
        assert resident(kitchen) - before < 64 * MEGABYTE
        if path == "/echo":
            for _ in range(200):
                assert len(ws.message()) == 65536
        else:
            (kitchen.directory / name).touch()
            until(lambda: (events(kitchen, name) or [0, 0])[1] > 100 << 16, "the application to get more")
        assert resident(kitchen) - before < 64 * MEGABYTE
        ws.connection.socket.shutdown(socket.SHUT_RDWR)
        thread.join(20)


@pytest.mark.slow
def test_connections_that_come_and_go_leave_nothing(kitchen):
    def round_of(count):
        for _ in range(count):
            with WebSocket(kitchen) as ws:
                ws.say("x" * 1000).message()
                ws.close()

    round_of(200)
    before, descriptors = resident(kitchen), len(os.listdir(f"/proc/{kitchen.workers()[0]}/fd"))
    round_of(1000)
    assert resident(kitchen) - before < 8 * MEGABYTE
    until(lambda: len(os.listdir(f"/proc/{kitchen.workers()[0]}/fd")) <= descriptors + 3, "the descriptors to be closed")


def test_a_connection_lost_in_the_middle_of_a_frame(kitchen):
    name = fresh("cut")
    with WebSocket(kitchen, f"/echo?name={name}") as ws:
        ws.connection.send(encode(BINARY, b"x" * 1000)[:500])
    assert wait_for_events(kitchen, name)[0][0] == 1006


def test_bytes_beyond_the_frame_are_the_next_one(kitchen):
    with WebSocket(kitchen) as ws:
        frames = encode(TEXT, b"one") + encode(TEXT, b"two")
        ws.connection.send(frames[:-4])
        assert ws.message() == "one"
        ws.connection.send(frames[-4:])
        assert ws.message() == "two"
        with contextlib.suppress(ClosedEarly):
            ws.close()
