"""ASGI over HTTP: what receive() gives, what send() takes, and what becomes of it on the wire. On both event loops."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import select
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from harness import APPS, ClosedEarly, until

sys.path.insert(0, str(APPS))
import asgi_kitchen  # noqa: E402  (its tables of wrong messages)

LOOPS = {"asyncio": ("--loop", "asyncio"), "uvloop": ("--loop", "uvloop")}
MEGABYTE = 1 << 20
# How much the tests of memory move: `DAEMUN_TEST_BYTES=1073741824` for a gigabyte.
MUCH = int(os.environ.get("DAEMUN_TEST_BYTES", 256 * MEGABYTE))
numbers = itertools.count()


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def kitchen(request, serve_all):
    return serve_all("asgi_kitchen", *request.param)


def fresh(kind):
    """A name for events that no other test uses."""
    return f"{kind}-{os.getpid()}-{next(numbers)}"


def events(server, name):
    return server.json(f"/events?name={quote_plus(name)}")


def wait_for_events(server, name, count=1, patience=20):
    return until(lambda: len(found := events(server, name)) >= count and found, f"{count} events of {name}", patience)


def resident(server):
    """The resident memory of the worker, in bytes."""
    status = Path(f"/proc/{server.workers()[0]}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def chunked(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def silent(connection, seconds=0.3):
    """Whether nothing comes for a while."""
    readable, _, _ = select.select([connection.socket], [], [], seconds)
    return not readable and not connection.buffer


# What receive() gives.


def test_a_request_without_a_body_is_one_empty_message(kitchen):
    seen = kitchen.json("/messages")
    assert len(seen) == 1
    assert (seen[0]["type"], seen[0]["body"], seen[0]["more_body"], seen[0]["is bytes"]) == ("http.request", "", False, True)
    assert set(seen[0]["keys"]) <= {"type", "body", "more_body"}


@pytest.mark.parametrize("size", [0, 1, 65536, 3 * MEGABYTE])
def test_a_body_with_a_length(kitchen, size):
    body = os.urandom(size)
    with kitchen.connect() as connection:
        assert connection.request("POST", "/echo", body=body).response().body == body
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize("pieces", [(), (b"a",), (b"one ", b"two ", b"three"), (b"x" * 100_000, b"y", b"z" * 100_000)])
def test_a_chunked_body_is_decoded(kitchen, pieces):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(*pieces))
        assert connection.response().body == b"".join(pieces)
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_trailers_and_extensions_of_chunks_are_no_part_of_the_body(kitchen):
    with kitchen.connect() as connection:
        body = b"5;name=value\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], body)
        assert connection.response().body == b"hello"
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_the_application_has_the_first_part_before_the_rest_has_come(kitchen, framing):
    with kitchen.connect() as connection:
        if framing == "length":
            connection.request("POST", "/duplex", [("Content-Length", "10")])
            parts = [b"first", b"then."]
        else:
            connection.request("POST", "/duplex", [("Transfer-Encoding", "chunked")])
            parts = [b"5\r\nfirst\r\n", b"5\r\nthen.\r\n"]
        connection.send(parts[0])
        assert connection.head().status == 200
        assert connection.chunk() == b"got first"
        connection.send(parts[1])
        assert connection.chunk() == b"got then."
        if framing == "chunked":
            connection.send(b"0\r\n\r\n")
            while piece := connection.chunk():
                assert piece == b"got "
        else:
            assert connection.chunk() in (b"", b"got ")


def test_pipelined_requests_are_answered_in_order_each_with_its_body(kitchen):
    with kitchen.connect() as connection:
        for number in range(20):
            connection.request("POST", "/echo", body=b"body %d" % number)
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], chunked(b"in ", b"chunks"))
        connection.request("GET", "/sleep?s=0.1").request("GET", "/hello")
        for number in range(20):
            assert connection.response().body == b"body %d" % number
        assert [connection.response().text for _ in range(3)] == ["in chunks", "slept", "Hello"]


def test_a_body_in_single_bytes(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "20")])
        for byte in range(20):
            connection.send(bytes([65 + byte]))
            time.sleep(0.002)
        assert connection.response().text == "ABCDEFGHIJKLMNOPQRST"


def test_after_the_body_receive_waits_and_after_the_answer_it_says_disconnect(kitchen):
    before = len(events(kitchen, "receive-more"))
    with kitchen.connect() as connection:
        connection.request("POST", "/receive-more", body=b"body")
        assert connection.response().body == b"null", "receive() gave something while the client was there"
        assert wait_for_events(kitchen, "receive-more", before + 2)[before:] == ["http.disconnect"] * 2
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_a_receive_that_was_given_up_loses_nothing(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/wait-for-body", [("Content-Length", "4")])
        time.sleep(0.3)
        connection.send(b"bo")
        time.sleep(0.1)
        connection.send(b"dy")
        seen = json.loads(connection.response().body)
    assert seen["body"] == "body" and seen["given up"] >= 1


def test_a_request_body_cut_short_is_a_disconnect(kitchen):
    for headers, part in (([("Content-Length", "100")], b"x" * 40), ([("Transfer-Encoding", "chunked")], b"28\r\n" + b"x" * 40)):
        before = len(events(kitchen, "digest"))
        with kitchen.connect() as connection:
            connection.request("POST", "/digest", headers).send(part)
            time.sleep(0.1)
        assert wait_for_events(kitchen, "digest", before + 1)[before][0] == "disconnect"


def test_a_broken_chunk_ends_the_request(kitchen):
    before = len(events(kitchen, "digest"))
    with kitchen.connect() as connection:
        connection.request("POST", "/digest", [("Transfer-Encoding", "chunked")]).send(b"5\r\nhello\r\n")
        time.sleep(0.1)
        connection.send(b"zz\r\nmore\r\n")
        with contextlib.suppress(ClosedEarly):
            assert connection.response().status == 400
        assert connection.is_closed()
    assert wait_for_events(kitchen, "digest", before + 1)[before][0] == "disconnect"


def test_a_body_that_nobody_reads_does_not_spoil_the_connection(kitchen):
    for headers, body in (([], b"x" * 10), ([("Transfer-Encoding", "chunked")], chunked(b"x" * 10)), ([], b"x" * 200_000)):
        with kitchen.connect() as connection:
            response = connection.request("POST", "/ignore-body", headers, body).response()
            assert (response.status, response.text) == (200, "ignored")
            if (response["Connection"] or "").lower() != "close":
                assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.slow
def test_an_answer_to_a_large_body_that_nobody_reads_arrives(kitchen):
    body = b"x" * (20 * MEGABYTE)
    with kitchen.connect() as connection:

        def upload():
            with contextlib.suppress(OSError):  # the server may close before it has taken all
                connection.send(body)

        sender = threading.Thread(target=upload, daemon=True)
        connection.request("POST", "/ignore-body", [("Content-Length", str(len(body)))])
        sender.start()
        response = connection.response()
        assert (response.status, response.text) == (200, "ignored")
        sender.join(20)
        assert not sender.is_alive(), "the client still sends"
    assert kitchen.get("/hello").text == "Hello"


def test_the_largest_body_is_enforced(serve):
    server = serve("asgi_kitchen", "--client-max-body-size", "1k")
    assert server.get("/echo", method="POST", body=b"x" * 1024).status == 200
    assert server.get("/echo", method="POST", body=b"x" * 1025).status == 413


# Expect: 100-continue.


def test_100_continue_is_sent_when_the_application_asks_for_the_body(kitchen):
    name = fresh("continue")
    with kitchen.connect() as connection:
        connection.request("POST", f"/gated-read?gate={name}", [("Content-Length", "4"), ("Expect", "100-continue")])
        assert silent(connection), "100 came before receive()"
        (kitchen.directory / name).touch()
        assert connection.head().status == 100
        connection.send(b"body")
        assert connection.response(interim=True).text == "body"
        assert connection.request("GET", "/hello").response(interim=True).text == "Hello"


def test_without_receive_there_is_no_100_continue(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/refuse-early", [("Content-Length", "1000000"), ("Expect", "100-continue")])
        response = connection.response(interim=True)
        assert (response.status, response.text) == (417, "no, thank you")


def test_100_continue_comes_once(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "8"), ("Expect", "100-continue")])
        assert connection.head().status == 100
        connection.send(b"part")
        time.sleep(0.1)
        connection.send(b"more")
        assert connection.response(interim=True).text == "partmore"


def test_http_1_0_gets_no_100_continue(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"POST /echo HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody")
        response = connection.response(interim=True)
        assert (response.status, response.text) == (200, "body")


# The client goes.


def test_a_waiting_receive_learns_that_the_client_went(kitchen):
    name = fresh("gone")
    with kitchen.connect() as connection:
        connection.request("GET", f"/until-disconnect?name={name}")
        wait_for_events(kitchen, name)
    seen = wait_for_events(kitchen, name, 4)
    assert seen[:3] == ["waiting", "http.disconnect", "http.disconnect"]
    kind, is_plain = seen[3]
    assert kind == "OSError", "send() on a closed connection (2.4)"
    assert not is_plain, "the specification wants a subclass of OSError"
    time.sleep(0.2)
    assert "OSError" not in kitchen.log and name not in kitchen.log, "what the server raised is no error of the application"


def test_a_client_that_goes_midway_is_told_too(kitchen):
    name = fresh("midway")
    with kitchen.connect() as connection:
        connection.request("GET", f"/disconnect-midway?name={name}")
        assert connection.head().status == 200
        assert connection.chunk() == b"part"
    assert wait_for_events(kitchen, name) == ["http.disconnect"]


@pytest.mark.parametrize("page", ["endless", "ticking"])
def test_send_raises_oserror_once_the_client_is_gone(kitchen, page):
    name = fresh(page)
    with kitchen.connect() as connection:
        connection.request("GET", f"/{page}?name={name}")
        assert connection.head().status == 200
        assert connection.chunk()
    seen = until(lambda: [event for event in events(kitchen, name) if isinstance(event, str)], "the handler to end")
    assert seen[0] == "OSError"
    assert "Traceback" not in kitchen.log.rpartition(name)[2]


def test_one_task_may_send_while_another_waits_for_the_client_to_go(kitchen):
    name = fresh("both")
    with kitchen.connect() as connection:
        connection.request("GET", f"/both-ends?name={name}")
        assert connection.head().status == 200
        for _ in range(3):
            assert connection.chunk() == b"tick"
    assert wait_for_events(kitchen, name, 2) == ["disconnect", "ended"]


# What send() takes.


def test_an_answer_of_one_piece(kitchen):
    response = kitchen.get("/one-piece")
    assert (response.status, response.text, response["Content-Type"]) == (200, "one piece", "text/plain")


def test_every_optional_key_may_be_missing(kitchen):
    response = kitchen.get("/minimal")
    assert (response.status, response.body) == (200, b"")


def test_other_kinds_of_bytes(kitchen):
    assert kitchen.get("/views").text == "memoryview, a bytearray"


def test_headers_leave_as_they_were_given(kitchen):
    response = kitchen.get("/answer-headers")
    assert response["X-Latin"] == "caf\u00e9" and response["X-Empty"] == ""
    own = [(name, value) for name, value in response.headers if name.lower() in ("x-latin", "set-cookie", "x-upper", "x-empty")]
    assert [name.lower() for name, _ in own] == ["x-latin", "set-cookie", "set-cookie", "x-upper", "x-empty"]
    assert response.all("Set-Cookie") == ["a=1", "b=2"]


def test_a_stream_without_a_length_is_chunked(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/pieces?n=5&size=1000").response()
        assert response.chunked and len(response.body) == 5000
        assert response.body == b"".join(bytes([97 + index]) * 1000 for index in range(5))
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_a_stream_with_its_length_keeps_it(kitchen):
    response = kitchen.get("/pieces?n=5&size=1000&length")
    assert response["Content-Length"] == "5000" and not response.chunked and len(response.body) == 5000


def test_a_stream_to_http_1_0_ends_with_the_connection(kitchen):
    with kitchen.connect() as connection:
        response = connection.send(b"GET /pieces?n=5&size=1000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response()
        assert not response.chunked and len(response.body) == 5000


def test_http_1_0_with_a_length_may_be_kept_alive(kitchen):
    with kitchen.connect() as connection:
        response = connection.send(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").response()
        assert response.text == "Hello"
        if (response["Connection"] or "").lower() == "keep-alive":
            assert connection.send(b"GET /hello HTTP/1.0\r\n\r\n").response().text == "Hello"
        assert connection.is_closed()


def test_empty_pieces_do_not_end_the_body(kitchen):
    with kitchen.connect() as connection:
        assert connection.request("GET", "/empty-pieces").response().text == "ab"
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_nothing_is_sent_before_the_first_part_of_the_body(kitchen):
    name = fresh("late")
    with kitchen.connect() as connection:
        connection.request("GET", f"/late-body?gate={name}")
        assert silent(connection), "the head came before the body"
        (kitchen.directory / name).touch()
        response = connection.response()
        assert (response.status, response.text) == (201, "late")


def test_each_event_of_a_stream_arrives_at_once(kitchen):
    first, second = fresh("sse"), fresh("sse")
    with kitchen.connect() as connection:
        connection.request("GET", f"/gated?gate={first}&gate2={second}", [("Accept", "text/event-stream")])
        head = connection.head()
        assert (head.status, head["Content-Type"]) == (200, "text/event-stream")
        assert connection.chunk() == b"data: first\n\n"
        (kitchen.directory / first).touch()
        assert connection.chunk() == b"data: second\n\n"
        (kitchen.directory / second).touch()
        assert connection.chunk() == b"" and connection.read(2) == b"\r\n"
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize("number", [204, 304])
def test_answers_without_a_body_have_none(kitchen, number):
    with kitchen.connect() as connection:
        response = connection.request("GET", f"/status?n={number}&body=unwanted").response()
        assert response.status == number
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_204_has_no_content_length_even_if_the_application_says_so(kitchen):
    response = kitchen.get("/status?n=204&length=0")
    assert (response.status, response["Content-Length"]) == (204, None)


@pytest.mark.parametrize("number", [200, 201, 299, 404, 418, 599, 799, 999])
def test_every_final_status_may_be_sent(kitchen, number):
    response = kitchen.get(f"/status?n={number}&body=x")
    assert (response.status, response.text) == (number, "x")


@pytest.mark.parametrize("path", ["/hello", "/pieces?n=3&size=5", "/pieces?n=3&size=5&length", "/one-piece"])
def test_head_has_no_body(kitchen, path):
    with kitchen.connect() as connection:
        response = connection.request("HEAD", path).response("HEAD")
        assert response.status == 200
        if path == "/hello":
            assert response["Content-Length"] == "5"
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_transfer_encoding_is_the_servers_business(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/hop").response()
        assert (response.status, response.text) == (200, "hop")
        assert connection.request("GET", "/hello").response().text == "Hello"
        assert connection.send(b"GET /hop HTTP/1.0\r\n\r\n").response().text == "hop"


def test_the_application_may_close_the_connection(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/says-close").response()
        assert (response.text, response["Connection"].lower()) == ("bye", "close")
        assert connection.is_closed()


# Content-Length of an answer.


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_body_longer_than_its_length_is_cut(kitchen, piece):
    with kitchen.connect() as connection:
        connection.request("GET", f"/length?said=5&n=20&piece={piece}")
        try:
            response = connection.response()
        except ClosedEarly as error:
            assert b"01234".startswith(error.partial)
            return
        assert response.status == 500 or response.body == b"01234"
        try:
            connection.request("GET", "/hello")
            assert connection.response().text == "Hello"
        except (ClosedEarly, OSError):
            pass  # closing is right, too; sending more would not be


@pytest.mark.parametrize("piece", [3, 100])
def test_a_body_shorter_than_its_length_ends_the_connection(kitchen, piece):
    with kitchen.connect() as connection:
        connection.request("GET", f"/length?said=20&n=10&piece={piece}")
        try:
            assert connection.response().status == 500
        except ClosedEarly as error:
            assert error.partial in (b"0123456789", b"012345678", b"")
    assert kitchen.get("/hello").text == "Hello"


def test_a_wrong_length_is_told_to_the_application(kitchen):
    for query in ("said=5&n=20&piece=20", "said=20&n=10&piece=10"):
        before = len(events(kitchen, "length"))
        with contextlib.suppress(ClosedEarly):
            kitchen.get(f"/length?{query}")
        assert wait_for_events(kitchen, "length", before + 1)[before] != "sent"


def test_a_right_length_is_kept(kitchen):
    response = kitchen.get("/length?said=20&n=20&piece=3")
    assert response["Content-Length"] == "20" and response.body == b"01234567890123456789"


# Failures of the application.


@pytest.mark.parametrize(
    ("page", "words"), [("raises", "the kitchen is on fire"), ("raises-after-start", "burnt after start")],
)
def test_an_exception_before_the_first_byte_is_500_and_logged(kitchen, page, words):
    with kitchen.connect() as connection:
        response = connection.request("GET", f"/{page}").response()
        assert response.status == 500
        assert words not in response.text and response["X-First"] is None
        if (response["Connection"] or "").lower() != "close":
            assert connection.request("GET", "/hello").response().text == "Hello"
    kitchen.wait_for_log(words)
    assert 'asgi_kitchen.py", line' in kitchen.log


@pytest.mark.parametrize("query", ["", "?length"])
def test_an_exception_midway_ends_the_connection_and_not_the_body(kitchen, query):
    with kitchen.connect() as connection:
        connection.request("GET", "/raises-midway" + query)
        with pytest.raises(ClosedEarly) as error:
            connection.response()
        assert error.value.partial in (b"half", b"")
    kitchen.wait_for_log("burnt midway")


def test_an_exception_after_the_end_is_logged_and_the_answer_is_whole(kitchen):
    with kitchen.connect() as connection:
        assert connection.request("GET", "/raises-after-end").response().text == "fine"
    kitchen.wait_for_log("burnt after the end")


@pytest.mark.parametrize("page", ["raises-cancelled", "raises-system-exit", "raises-keyboard-interrupt"])
def test_no_exception_ends_the_worker(kitchen, page):
    pid = kitchen.get("/pid").text
    assert kitchen.get(f"/{page}").status == 500
    assert kitchen.get("/pid").text == pid


@pytest.mark.parametrize("page", ["returns-early", "returns-after-start"])
def test_an_application_that_says_nothing_is_500(kitchen, page):
    assert kitchen.get(f"/{page}").status == 500
    kitchen.wait_for_log(r"(?i)return")


@pytest.mark.parametrize("page", ["returns-midway", "returns-midway-with-length"])
def test_an_application_that_leaves_midway_ends_the_connection(kitchen, page):
    with kitchen.connect() as connection, pytest.raises(ClosedEarly):
        connection.request("GET", f"/{page}").response()
    assert kitchen.get("/hello").text == "Hello"


@pytest.mark.parametrize("what", asgi_kitchen.BAD)
def test_a_wrong_message_raises_in_the_application_and_is_500(kitchen, what):
    before = len(events(kitchen, what))
    with kitchen.connect() as connection:
        response = connection.request("GET", f"/bad?what={quote_plus(what)}").response()
        assert response.status == 500, response
        assert response["X-Injected"] is None and response["X-N"] is None
        assert b"x-injected" not in response.body.lower()
    seen = wait_for_events(kitchen, what, before + 1)[before]
    assert seen != "accepted"
    assert seen != "OSError", "that would say that the client has gone"


@pytest.mark.parametrize("what", asgi_kitchen.BAD_LATER)
def test_a_wrong_message_midway_raises_and_breaks_the_connection(kitchen, what):
    before = len(events(kitchen, what))
    with kitchen.connect() as connection:
        connection.request("GET", f"/bad?what={quote_plus(what)}")
        with pytest.raises(ClosedEarly) as error:
            connection.response()
        assert error.value.partial in (b"part", b"")
    assert wait_for_events(kitchen, what, before + 1)[before] != "accepted"


@pytest.mark.parametrize("what", asgi_kitchen.BAD_LAST)
def test_a_message_after_the_end_raises_and_the_answer_is_whole(kitchen, what):
    before = len(events(kitchen, what))
    with kitchen.connect() as connection:
        assert connection.request("GET", f"/bad?what={quote_plus(what)}").response().text == "x"
        assert wait_for_events(kitchen, what, before + 1)[before] != "accepted"
        with contextlib.suppress(ClosedEarly, OSError):  # closing is right, too; an answer to this would not be
            assert connection.request("GET", "/hello").response().text == "Hello"


def test_an_application_recovers_from_its_wrong_messages(kitchen):
    assert kitchen.get("/recovers").text == "recovered"
    assert set(events(kitchen, "recovers")) == {"raised"}


def test_what_a_wrong_message_was_stands_in_the_log(kitchen):
    kitchen.get("/bad?what=value+crlf")
    kitchen.wait_for_log(r"(?i)header")
    kitchen.get("/bad?what=status+text")
    kitchen.wait_for_log(r"(?i)status")


# Side by side.


def test_requests_wait_side_by_side(kitchen):
    connections = [kitchen.connect() for _ in range(50)]
    begin = time.monotonic()
    for connection in connections:
        connection.request("GET", "/sleep?s=0.5")
    assert kitchen.get("/hello").text == "Hello"
    assert [connection.response().text for connection in connections] == ["slept"] * 50
    assert time.monotonic() - begin < 10
    for connection in connections:
        connection.socket.close()


def test_many_workers(serve):
    server = serve("asgi_kitchen", "-w", "2")
    server.wait_for_workers(2)
    connections = [server.connect() for _ in range(20)]
    for connection in connections:
        connection.request("GET", "/sleep?s=0.2")
    assert [connection.response().text for connection in connections] == ["slept"] * 20
    for connection in connections:
        connection.socket.close()


# Memory.


@pytest.mark.slow
def test_a_client_that_does_not_read_suspends_the_application(kitchen):
    name = fresh("backpressure")
    kitchen.get("/hello")
    before = resident(kitchen)
    with kitchen.connect() as connection:
        connection.request("GET", f"/endless?name={name}")
        assert connection.head().status == 200
        taken = -1
        while taken != (now := events(kitchen, name)[0]):
            taken = now
            assert taken < MUCH, "send() does not wait for the client"
            time.sleep(0.5)
        assert taken < 64 * MEGABYTE
        assert resident(kitchen) - before < 48 * MEGABYTE
        # And it goes on when the client does.
        connection.read(min(MUCH // 4, taken + 8 * MEGABYTE))
        assert until(lambda: events(kitchen, name)[0] > taken, "the application to go on")
    assert until(lambda: events(kitchen, name)[1:], "the handler to end")[0] == "OSError"
    assert resident(kitchen) - before < 64 * MEGABYTE


@pytest.mark.slow
def test_a_large_download_is_not_kept(kitchen):
    name = fresh("download")
    kitchen.get("/hello")
    before, got, largest = resident(kitchen), 0, 0
    with kitchen.connect() as connection:
        connection.request("GET", f"/endless?name={name}")
        connection.head()
        while got < MUCH:
            got += len(connection.chunk())
            if got % (32 * MEGABYTE) < 65536:
                largest = max(largest, resident(kitchen))
    assert largest - before < 48 * MEGABYTE


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_that_the_application_does_not_read_is_not_kept(kitchen, framing):
    name, size = fresh("upload"), MUCH if framing == "length" else 50 * MEGABYTE
    piece = bytes(range(256)) * 4096
    kitchen.get("/hello")
    before, calls = resident(kitchen), len(events(kitchen, "lazy-reader"))
    sha = hashlib.sha256()
    for _ in range(size // MEGABYTE):
        sha.update(piece)
    with kitchen.connect(60) as connection:

        def upload():
            for _ in range(size // MEGABYTE):
                connection.send(piece if framing == "length" else b"100000\r\n" + piece + b"\r\n")
            if framing == "chunked":
                connection.send(b"0\r\n\r\n")

        headers = [("Content-Length", str(size))] if framing == "length" else [("Transfer-Encoding", "chunked")]
        connection.request("POST", f"/lazy-reader?gate={name}", headers)
        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        wait_for_events(kitchen, "lazy-reader", calls + 1)
        time.sleep(1)
        assert resident(kitchen) - before < 48 * MEGABYTE
        (kitchen.directory / name).touch()
        largest = 0
        while thread.is_alive():
            largest = max(largest, resident(kitchen))
            time.sleep(0.05)
        assert connection.response().text == f"{size} {sha.hexdigest()}"
    assert largest - before < 64 * MEGABYTE
