"""HTTP/1.1 on the wire: connections, framing both ways, methods and target forms, limits and timeouts."""

import json
import re
import time
from email.utils import parsedate_to_datetime

import pytest
from harness import ClosedEarly, Connection, until


@pytest.fixture(scope="module", params=[("--front", "inline"), ("--front", "thread")], ids=["inline", "thread"])
def kitchen(request, serve_all):
    return serve_all("kitchen", *request.param, "--keep-alive", "5")


def crlf(text: str) -> bytes:
    return text.strip("\n").replace("\n", "\r\n").encode("latin-1")


# Connections.


def test_a_connection_is_kept_for_the_next_request(kitchen):
    with kitchen.connect() as connection:
        for _ in range(5):
            response = connection.request("GET", "/hello").response()
            assert response.status == 200 and response.text == "Hello"
            assert (response["Connection"] or "keep-alive").lower() == "keep-alive"


def test_connection_close_is_honoured(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/hello", [("Connection", "close")]).response()
        assert response["Connection"] == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("value", ["Close", "foo, close", "close , bar", "CLOSE"])
def test_connection_is_a_list_without_case(kitchen, value):
    with kitchen.connect() as connection:
        connection.request("GET", "/hello", [("Connection", value)]).response()
        assert connection.is_closed()


def test_pipelined_requests_are_answered_in_order(kitchen):
    with kitchen.connect() as connection:
        requests = b"".join(
            f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len(str(number))}\r\n\r\n{number}".encode() for number in range(50)
        )
        connection.send(requests)
        assert [connection.response().text for _ in range(50)] == [str(number) for number in range(50)]


def test_a_pipelined_request_after_close_is_not_answered(kitchen):
    before = kitchen.json("/counters").get("after-close", 0)
    with kitchen.connect() as connection:
        connection.send(crlf("""
GET /hello HTTP/1.1
Host: a
Connection: close

GET /count-me?name=after-close HTTP/1.1
Host: a

""") + b"\r\n")
        assert connection.response().text == "Hello"
        assert connection.is_closed()
    time.sleep(0.2)
    assert kitchen.json("/counters").get("after-close", 0) == before


def test_a_request_may_come_a_byte_at_a_time(kitchen):
    with kitchen.connect() as connection:
        for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            connection.send(bytes([byte]))
            time.sleep(0.001)
        assert connection.response().text == "abc"


def test_blank_lines_before_a_request_are_ignored(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().text == "Hello"


def test_an_idle_connection_is_closed_after_the_keep_alive_time(serve):
    server = serve("hello", "--keep-alive", "1")
    with server.connect() as connection:
        connection.request().response()
        begin = time.monotonic()
        assert connection.is_closed(patience=10)
        assert time.monotonic() - begin > 0.5


def test_keep_alive_0_closes_after_each_answer(serve):
    server = serve("hello", "--keep-alive", "0")
    with server.connect() as connection:
        response = connection.request().response()
        assert response["Connection"] == "close"
        assert connection.is_closed()


def test_a_client_that_only_shut_down_its_side_gets_its_answer(kitchen):
    import socket

    with kitchen.connect() as connection:
        connection.request("GET", "/sleep?s=0.3", [("Connection", "close")])
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.response().text == "slept"


# HTTP/1.0.


def test_http_1_0_is_answered_and_closed(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"GET /hello HTTP/1.0\r\n\r\n")
        response = connection.response()
        assert response.text == "Hello" and not response.chunked
        assert connection.is_closed()


def test_http_1_0_keeps_the_connection_when_asked(kitchen):
    with kitchen.connect() as connection:
        for _ in range(2):
            connection.send(b"GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            response = connection.response()
            assert response.text == "Hello"
            assert response["Connection"].lower() == "keep-alive"


def test_http_1_0_gets_no_chunks(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"GET /pieces?n=3&size=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        response = connection.response()
        assert response.body == b"aabbcc" and not response.chunked
        assert connection.is_closed()


def test_http_1_0_needs_no_host(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"GET /headers HTTP/1.0\r\n\r\n")
        assert connection.response().status == 200


# Bodies.


@pytest.mark.parametrize("size", [0, 1, 10, 16383, 16384, 16385, 70000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_arrives_whole(kitchen, size, chunked):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    with kitchen.connect() as connection:
        if chunked:
            connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")])
            for at in range(0, size, 60000):
                piece = body[at : at + 60000]
                connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            connection.send(b"0\r\n\r\n")
        else:
            connection.request("POST", "/echo", body=body)
        assert connection.response().body == body
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"005\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n0;last\r\n\r\n",
        b'5;name="a;b c"\r\nhello\r\n0\r\n\r\n',
        b"5\r\nhello\r\n0\r\nX-Trailer: yes\r\nX-Other: 2\r\n\r\n",
        b"5\r\nhello\r\n00000\r\n\r\n",
    ],
)
def test_every_valid_chunked_form_is_read(kitchen, body):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], body)
        assert connection.response().text == "hello"
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_the_application_sees_trailers(kitchen):
    with kitchen.connect() as connection:
        body = b"5\r\nhello\r\n0\r\nX-Sum: abc\r\nx-other: 2\r\n\r\n"
        connection.request("POST", "/trailers", [("Transfer-Encoding", "chunked")], body)
        assert json.loads(connection.response().body) == [["X-Sum", "abc"], ["x-other", "2"]]
        assert connection.request("GET", "/trailers").response().text == "null"


def test_upper_case_chunk_sizes_and_codings_are_read(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Transfer-Encoding", "Chunked")], b"A\r\n0123456789\r\n0\r\n\r\n")
        assert connection.response().text == "0123456789"


def test_a_body_that_the_application_ignores_does_not_disturb_the_next_request(kitchen):
    with kitchen.connect() as connection:
        for size in (10, 100_000):
            assert connection.request("POST", "/ignore-body", body=b"x" * size).response().text == "ignored"
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_an_incomplete_body_never_reaches_the_application(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/count-me?name=incomplete", [("Content-Length", "10")], b"12345")
    time.sleep(0.3)
    assert "incomplete" not in kitchen.json("/counters")


def test_an_answer_of_unknown_length_is_chunked(kitchen):
    response = kitchen.get("/pieces?n=30&size=1000")
    assert response.chunked and len(response.body) == 30000


# Expect: 100-continue.


def test_continue_is_said_before_the_body_is_read(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "5"), ("Expect", "100-continue")])
        assert connection.response(interim=True).status == 100
        connection.send(b"hello")
        assert connection.response(interim=True).text == "hello"


def test_continue_is_said_when_the_application_first_reads(serve):
    server = serve("kitchen", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "5"), ("Expect", "100-continue")])
        assert connection.response(interim=True).status == 100
        connection.send(b"hello")
        assert connection.response(interim=True).text == "hello"


def test_continue_is_not_said_when_the_application_does_not_read(serve):
    server = serve("kitchen", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/ignore-body", [("Content-Length", "5"), ("Expect", "100-continue")])
        response = connection.response(interim=True)
        assert response.status == 200 and response.text == "ignored"


def test_continue_is_not_needed_when_the_body_is_there_already(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Expect", "100-continue")], b"hello")
        assert connection.response().text == "hello"


def test_http_1_0_is_never_told_to_continue(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        assert connection.response(interim=True).text == "hello"


# Methods and targets.


@pytest.mark.parametrize("path", ["/hello", "/pieces?n=3&size=10", "/big?n=100000", "/file-like"])
def test_head_has_the_headers_and_no_body(kitchen, path):
    with kitchen.connect() as connection:
        response = connection.request("HEAD", path).response("HEAD")
        assert response.status == 200
        assert response.body == b""
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_head_tells_the_length_of_the_whole(kitchen):
    with kitchen.connect() as connection:
        length = connection.request("HEAD", "/hello").response("HEAD")["Content-Length"]
        assert length in (None, "5")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE", "X-OWN"])
def test_any_method_reaches_the_application(kitchen, method):
    with kitchen.connect() as connection:
        environ = connection.request(method, "/headers").response()
        assert f'"REQUEST_METHOD": "{method}"' in environ.text


def test_options_asterisk_is_answered(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("OPTIONS", "*").response()
        assert response.status < 500
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_asterisk_is_for_options_only(kitchen):
    with kitchen.connect() as connection:
        assert connection.request("GET", "*").response().status == 400


def test_an_absolute_target_overrides_the_host(kitchen):
    with kitchen.connect() as connection:
        connection.request("GET", "http://example.org:81/headers?a=b", [("Host", "other")])
        response = connection.response()
        assert '"PATH_INFO": "/headers"' in response.text
        assert '"QUERY_STRING": "a=b"' in response.text
        assert '"HTTP_HOST": "example.org:81"' in response.text
        assert '"RAW_URI": "http://example.org:81/headers?a=b"' in response.text


def test_connect_is_refused(kitchen):
    with kitchen.connect() as connection:
        assert connection.request("CONNECT", "example.org:443").response().status in (400, 405, 501)


# What every answer has.


def test_every_answer_has_a_date_and_says_who_answers(kitchen):
    response = kitchen.get("/hello")
    assert abs(parsedate_to_datetime(response["Date"]).timestamp() - time.time()) < 60
    assert re.fullmatch(r"daemun(/[\d.]+)?", response["Server"], re.I)


def test_an_application_may_set_date_and_server_itself(kitchen):
    assert kitchen.get("/hello").all("Date")[0]
    assert len(kitchen.get("/hello").all("Server")) == 1


def test_the_date_moves_on(kitchen):
    first = kitchen.get("/hello")["Date"]
    time.sleep(1.2)
    assert kitchen.get("/hello")["Date"] != first


# Limits.


def test_a_long_request_line_is_414(serve):
    server = serve("kitchen", "--limit-request-line", "1000")
    assert server.get("/hello?" + "x" * 800).status == 200
    assert server.get("/hello?" + "x" * 2000).status == 414


def test_the_default_limit_of_a_request_line_is_gunicorns(kitchen):
    assert kitchen.get("/hello?" + "x" * 3900).status == 200
    assert kitchen.get("/hello?" + "x" * 4200).status == 414


def test_a_large_field_is_431(serve):
    server = serve("kitchen", "--limit-request-field_size", "1000")
    assert server.get("/hello", [("X-Large", "x" * 900)]).status == 200
    assert server.get("/hello", [("X-Large", "x" * 1200)]).status == 431


def test_many_fields_are_431(serve):
    server = serve("kitchen", "--limit-request-fields", "10")
    assert server.get("/hello", [(f"X-{number}", "1") for number in range(7)]).status == 200
    assert server.get("/hello", [(f"X-{number}", "1") for number in range(12)]).status == 431


def test_the_default_number_of_fields_is_gunicorns(kitchen):
    assert kitchen.get("/hello", [(f"X-{number}", "1") for number in range(95)]).status == 200
    assert kitchen.get("/hello", [(f"X-{number}", "1") for number in range(120)]).status == 431


def test_a_head_without_end_is_cut_off(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: a\r\n")
        try:
            for number in range(4000):
                connection.send(f"X-{number}: {'y' * 200}\r\n".encode())
        except (ConnectionResetError, BrokenPipeError):
            return
        assert connection.response().status == 431


def test_a_request_line_without_end_is_cut_off(kitchen):
    with kitchen.connect() as connection:
        try:
            for _ in range(100):
                connection.send(b"G" * 8000)
        except (ConnectionResetError, BrokenPipeError):
            return
        assert connection.response().status in (400, 414)


def test_trailers_without_end_are_cut_off(kitchen):
    with kitchen.connect() as connection:
        connection.request("POST", "/echo", [("Transfer-Encoding", "chunked")], b"0\r\n")
        try:
            for number in range(4000):
                connection.send(f"X-{number}: {'y' * 200}\r\n".encode())
        except (ConnectionResetError, BrokenPipeError):
            return
        assert connection.response().status in (400, 431)


# The largest body.


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_a_body_that_is_too_large_is_413_before_it_is_read(serve, front):
    server = serve("kitchen", "--client-max-body-size", "10k", "--front", front)
    with server.connect() as connection:
        assert len(connection.request("POST", "/echo", body=b"x" * 10240).response().body) == 10240
        connection.request("POST", "/echo", [("Content-Length", "10241")])
        assert connection.response().status == 413
        assert connection.is_closed()


def test_chunks_that_become_too_large_are_413(serve):
    server = serve("kitchen", "--client-max-body-size", "10k")
    with server.connect() as connection:
        connection.request("POST", "/count-me?name=too-large", [("Transfer-Encoding", "chunked")])
        try:
            for _ in range(50):
                connection.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        except OSError:
            pass
        assert connection.response().status == 413
    assert "too-large" not in server.json("/counters")


def test_413_comes_in_place_of_100_continue(serve):
    server = serve("kitchen", "--client-max-body-size", "10k")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "20000"), ("Expect", "100-continue")])
        assert connection.response(interim=True).status == 413


def test_unbuffered_bodies_are_limited_too(serve):
    server = serve("kitchen", "--client-max-body-size", "10k", "--request-buffering", "off")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "10241")])
        assert connection.response().status == 413


# Slow clients.


def test_a_connection_that_never_asks_does_not_hold_up_others(kitchen):
    silent = [kitchen.connect() for _ in range(50)]
    partial = [kitchen.connect().send(b"GET /hello HT") for _ in range(50)]
    assert kitchen.get("/hello").text == "Hello"
    for connection in silent + partial:
        connection.socket.close()


@pytest.mark.slow
@pytest.mark.parametrize("front", ["inline", "thread"])
def test_a_head_that_trickles_is_answered_408(serve, front):
    server = serve("kitchen", "--client-header-timeout", "2", "--front", front)
    with server.connect() as connection:
        connection.send(b"GET /hello HTTP/1.1\r\n")
        begin = time.monotonic()
        connection.socket.settimeout(0.2)
        while time.monotonic() - begin < 15 and not connection.buffer:
            try:
                connection.send(b"X: y\r\n")
                connection._fill()
            except TimeoutError:
                continue
            except OSError:
                break
        assert 1 < time.monotonic() - begin < 10
        connection.socket.settimeout(5)
        assert connection.response().status == 408
        assert connection.is_closed()


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed(serve):
    server = serve("kitchen", "--client-header-timeout", "1", "--keep-alive", "1")
    with server.connect() as connection:
        connection.socket.settimeout(10)
        assert connection.rest() == b"" or b" 408 " in connection.rest()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [("--front", "inline"), ("--front", "thread"), ("--request-buffering", "off")], ids=["inline", "front", "unbuffered"])
def test_a_body_that_stops_is_answered_408(serve, mode):
    server = serve("kitchen", "--client-body-timeout", "1", *mode)
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "10")], b"12345")
        try:
            assert connection.response().status in ((408,) if "off" not in mode else (408, 500))
        except ClosedEarly:
            assert "off" in mode
        assert connection.is_closed()
    assert server.get("/hello").text == "Hello"


@pytest.mark.slow
def test_a_body_that_is_slow_but_steady_is_not_cut_off(serve):
    server = serve("kitchen", "--client-body-timeout", "1")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "8")])
        for byte in b"12345678":
            connection.send(bytes([byte]))
            time.sleep(0.3)
        assert connection.response().text == "12345678"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["/big?n=50000000", "/endless"])
@pytest.mark.parametrize("front", ["inline", "thread"])
def test_a_client_that_takes_nothing_is_cut_off(serve, page, front):
    server = serve("kitchen", "--send-timeout", "1", "--front", front, "--access-logfile", "-")
    with server.connect() as connection:
        connection.request("GET", page)
        until(lambda: f"GET {page} " in server.stdout, "the end of the request", 15)
        assert server.get("/hello").text == "Hello"
    until(lambda: sum(value for name, value in server.json("/counters").items() if name.endswith("closed")) == 1, "close()")


def test_a_slow_reader_does_not_hold_the_thread(serve):
    server = serve("kitchen")
    size = 20_000_000
    with server.connect() as slow:
        slow.request("GET", f"/big?n={size}")
        begin = time.monotonic()
        for _ in range(5):
            assert server.get("/hello").text == "Hello"
        assert time.monotonic() - begin < 8
        assert server.json("/counters")["big.closed"] == 1, "the application is done before the client has read"
        assert len(slow.response().body) == size


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_a_slow_uploader_does_not_hold_the_thread(serve, front):
    server = serve("kitchen", "--front", front)
    with server.connect() as slow:
        slow.request("POST", "/echo", [("Content-Length", "10")], b"01234")
        for _ in range(5):
            assert server.get("/hello").text == "Hello"
        slow.send(b"56789")
        assert slow.response().text == "0123456789"


def test_a_large_answer_arrives_whole_at_a_slow_reader(kitchen):
    import socket

    with kitchen.connect() as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.request("GET", "/pieces?n=100&size=20000")
        head = connection.head()
        assert head.status == 200
        body = b""
        while piece := connection.chunk():
            body += piece
            if len(body) < 300_000:
                time.sleep(0.01)
        assert body == b"".join(bytes([97 + index % 26]) * 20000 for index in range(100))


def test_lingering_close_lets_the_error_page_arrive(kitchen):
    """The client is still sending when it is refused: the answer must not be lost in a reset."""
    for _ in range(5):
        with Connection(("127.0.0.1", kitchen.port)) as connection:
            connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n")
            try:
                for _ in range(20):
                    connection.send(b"x" * 10000)
            except OSError:
                pass
            try:
                assert connection.response().status == 400
            except ClosedEarly:
                pytest.fail("the answer was lost")
