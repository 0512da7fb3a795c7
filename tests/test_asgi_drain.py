"""The end of an ASGI worker: what runs is finished, what waits is told, nothing that was accepted is lost."""

import os
import signal
import threading
import time

import pytest
from harness import ClosedEarly, load, until
from test_asgi_messages import LOOPS
from test_websocket import WebSocket


@pytest.mark.parametrize("loop", LOOPS)
def test_term_lets_running_requests_finish(serve, loop):
    server = serve("asgi_kitchen", *LOOPS[loop])
    connections = [server.connect() for _ in range(5)]
    for connection in connections:
        connection.request("GET", "/sleep?s=1")
    time.sleep(0.3)
    server.send_signal(signal.SIGTERM)
    for connection in connections:
        response = connection.response()
        assert (response.text, response["Connection"]) == ("slept", "close")
        assert connection.is_closed()
        connection.socket.close()
    assert server.wait() == 0


def test_term_lets_a_stream_finish(serve):
    server = serve("asgi_kitchen")
    with server.connect() as connection:
        connection.request("GET", "/gated?gate=open&gate2=open")
        assert connection.head().status == 200
        assert connection.chunk() == b"data: first\n\n"
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        (server.directory / "open").touch()
        assert connection.chunk() == b"data: second\n\n"
        assert connection.chunk() == b""
    assert server.wait() == 0


def test_term_lets_an_upload_finish(serve):
    server = serve("asgi_kitchen")
    with server.connect() as connection:
        connection.request("POST", "/echo", [("Content-Length", "8")]).send(b"half")
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.send(b"more")
        assert connection.response().text == "halfmore"
    assert server.wait() == 0


def test_idle_connections_do_not_hold_up_the_end(serve):
    server = serve("asgi_kitchen", "--keep-alive", "60")
    with server.connect() as connection:
        connection.request("GET", "/hello").response()
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 8
        assert connection.is_closed()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_that_never_ends_is_cut_and_the_log_says_so(serve, loop):
    server = serve("asgi_kitchen", "--graceful-timeout", "1", *LOOPS[loop])
    with server.connect() as connection:
        connection.request("GET", "/ticking")
        assert connection.head().status == 200
        assert connection.chunk()
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        with pytest.raises(ClosedEarly):
            while connection.chunk():
                pass
        assert 0.8 < time.monotonic() - begin < 10
    assert server.wait() == 0
    assert "GET /ticking" in server.log or "1 request" in server.log or "graceful" in server.log.lower(), server.log
    assert "Traceback" not in server.log, server.log


def test_a_handler_that_waits_for_ever_is_cut(serve):
    server = serve("asgi_kitchen", "--graceful-timeout", "1")
    with server.connect() as connection:
        connection.request("GET", "/until-disconnect?name=waiting")
        until(lambda: server.json("/events?name=waiting"), "the handler to wait")
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10


def test_int_does_not_wait_for_requests(serve):
    server = serve("asgi_kitchen")
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=30")
        time.sleep(0.3)
        begin = time.monotonic()
        assert server.stop(signal.SIGINT) == 0
        assert time.monotonic() - begin < 8


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_websockets_are_told_1012(serve, number, loop):
    server = serve("asgi_kitchen", *LOOPS[loop])
    old = server.wait_for_workers(1)
    sockets = [WebSocket(server) for _ in range(5)]
    for ws in sockets:
        ws.say("hello").message()
    begin = time.monotonic()
    server.send_signal(number)
    for ws in sockets:
        assert ws.closing()[0] == 1012
        ws.connection.socket.close()
    if number == signal.SIGTERM:
        assert server.wait() == 0
    else:
        server.wait_for_workers(1, other_than=old)
        with WebSocket(server) as ws:
            assert ws.say("again").message() == "again"
    assert time.monotonic() - begin < 10


def test_a_websocket_application_learns_of_the_1012(serve):
    server = serve("asgi_kitchen", "-w", "1")
    with WebSocket(server, "/says-after-disconnect?name=told") as ws:
        old = server.workers()
        server.send_signal(signal.SIGHUP)
        assert ws.closing()[0] == 1012
        until(lambda: server.workers() != old and server.workers(), "the new worker")
    server.wait_for_workers(1, other_than=old)
    assert "Traceback" not in server.log, server.log


def test_a_message_on_its_way_arrives_before_the_1012(serve):
    """What the application had said is not dropped."""
    server = serve("asgi_kitchen")
    with WebSocket(server) as ws:
        for number in range(50):
            ws.say(f"message {number}")
        assert ws.message() == "message 0"
        server.send_signal(signal.SIGTERM)
        for number in range(1, 50):
            try:
                assert ws.message() == f"message {number}"
            except AssertionError as error:
                assert "opcode=8" in str(error)  # the close came first: the rest had not been echoed yet
                break


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("page", ["/hello", "/sleep?s=0.02"])
@pytest.mark.parametrize("loop", LOOPS)
def test_reloads_under_load_lose_nothing(serve, page, keep_alive, loop):
    server = serve("asgi_kitchen", "-w", "2", *LOOPS[loop])
    old = server.wait_for_workers(2)
    with load(server, page, keep_alive=keep_alive) as result:
        for _ in range(3):
            server.send_signal(signal.SIGHUP)
            old = server.wait_for_workers(2, other_than=old)
            time.sleep(0.2)
    assert result.failures == []
    assert result.answered > 50
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert "cut" not in server.log and "killed" not in server.log, "a worker did not end by itself"


@pytest.mark.slow
def test_reloads_under_websockets_end_each_with_1012(serve):
    server = serve("asgi_kitchen", "-w", "2")
    old = server.wait_for_workers(2)
    done, wrong, answered = threading.Event(), [], []

    def client():
        while not done.is_set():
            try:
                with WebSocket(server) as ws:
                    while not done.is_set():
                        ws.say("x" * 100)
                        frame = ws.frame()
                        if frame.opcode == 8:
                            if frame.payload[:2] != (1012).to_bytes(2, "big"):
                                wrong.append(frame)
                            break
                        answered.append(1)
            except (OSError, AssertionError) as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        server.send_signal(signal.SIGHUP)
        old = server.wait_for_workers(2, other_than=old)
    done.set()
    for thread in threads:
        thread.join(20)
    assert wrong == [] and len(answered) > 100


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
def test_workers_are_recycled_under_load_without_a_failure(serve, keep_alive):
    server = serve("asgi_kitchen", "-w", "2", "--max-requests", "100", "--max-requests-jitter", "20")
    first = server.wait_for_workers(2)
    with load(server, "/hello", keep_alive=keep_alive) as result:
        until(lambda: result.answered > 600, "600 answers", 60)
    assert result.failures == []
    server.wait_for_workers(2, other_than=first)


def test_a_worker_that_is_killed_is_replaced(serve):
    server = serve("asgi_kitchen")
    old = server.wait_for_workers(1)
    with WebSocket(server) as ws:
        os.kill(old[0], signal.SIGKILL)
        with pytest.raises(ClosedEarly):
            ws.frame()
    server.wait_for_workers(1, other_than=old)
    assert server.get("/hello").text == "Hello"


@pytest.mark.slow
def test_a_stuck_loop_is_replaced_after_its_traceback_is_logged(serve):
    server = serve("asgi_loop", "-w", "2", "--timeout", "2")
    server.wait_for_workers(2)
    with server.connect(40) as connection:
        connection.request("GET", "/blocks?s=60")
        server.wait_for_log("WORKER TIMEOUT", patience=30)
        server.wait_for_log(r"in blocks\b", patience=10)
    server.wait_for_workers(2, patience=30)
    assert server.get("/pid").status == 200


@pytest.mark.slow
def test_a_loop_that_only_waits_is_not_stuck(serve):
    server = serve("asgi_kitchen", "--timeout", "1")
    worker = server.wait_for_workers(1)
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=3")
        assert connection.response().text == "slept"
    with WebSocket(server) as ws:
        time.sleep(2.5)
        assert ws.say("hello").message() == "hello"
    assert server.workers() == worker and "WORKER TIMEOUT" not in server.log


def test_reload_of_changed_code(serve, tmp_path):
    def write(version):
        (tmp_path / "page.py").write_text(
            "async def application(scope, receive, send):\n"
            "    assert scope['type'] == 'http'\n"
            "    await send({'type': 'http.response.start', 'status': 200})\n"
            f"    await send({{'type': 'http.response.body', 'body': b'{version}'}})\n"
        )

    write("one")
    server = serve("page", cwd=tmp_path)
    old = server.wait_for_workers(1)
    assert server.get("/").text == "one"
    write("two")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").text == "two"


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_whose_loop_is_stuck_is_killed_after_its_traceback_is_logged(serve, loop):
    server = serve("asgi_kitchen", "-w", "2", "--timeout", "2", "--graceful-timeout", "1", *LOOPS[loop])
    server.wait_for_workers(2)
    with server.connect(40) as first, server.connect(40) as second:
        for connection in (first, second):  # both workers, so that whoever comes next waits
            connection.request("GET", "/hang?s=60")
            time.sleep(0.5)
        with pytest.raises((ClosedEarly, AssertionError)), server.connect(40) as third:
            assert third.request("GET", "/hello").response().status < 500
            raise ClosedEarly("a fresh worker has answered", b"")
        server.wait_for_log("WORKER TIMEOUT", patience=30)
    server.wait_for_log("in hang", patience=10)
    server.wait_for_workers(2, patience=30)

    def answers() -> bool:
        try:
            return server.get("/hello").status == 200
        except (OSError, AssertionError):  # the other stuck worker had taken the connection when it was killed
            return False

    assert until(answers, "a fresh worker", 30)
