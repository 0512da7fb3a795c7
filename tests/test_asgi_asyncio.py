"""asyncio inside handlers behaves as it does in a program of its own. On both event loops.

The checks themselves are in `apps/asgi_loop.py`: each page tries one thing and answers `ok`, or with its traceback.
"""

import itertools
import os
import signal
import socket
import socketserver
import sys
import threading
import time

import pytest
from harness import APPS, until
from test_asgi_messages import LOOPS

sys.path.insert(0, str(APPS))
import asgi_loop  # noqa: E402  (the names of its checks)

# What needs an argument or another way to ask.
OWN = ("the_loop_runs", "streams_to_another_server", "sends_from_several_tasks", "streams_to_oneself")
numbers = itertools.count()


@pytest.fixture(scope="module", params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture(scope="module")
def server(serve_all, loop):
    return serve_all("asgi_loop", *LOOPS[loop])


def ok(server, check, query=""):
    response = server.get(f"/check/{check}{query}", method="POST", body=b"body")
    assert (response.status, response.text) == (200, "ok"), response.text


@pytest.mark.parametrize("check", [name for name in asgi_loop.CHECKS if name not in OWN])
def test_in_a_handler(server, check):
    ok(server, check)
    ok(server, check)  # and nothing of the first time is left


def test_the_loop_is_the_one_that_was_chosen(server, loop):
    ok(server, "the_loop_runs", f"?{loop}")


def test_a_request_to_oneself(server):
    with server.connect() as connection:
        connection.request("POST", "/check/streams_to_oneself", body=b"body")
        response = connection.response()
        assert (response.status, response.text) == (200, "ok"), response.text


def test_a_connection_to_another_server(server):
    class Pong(socketserver.StreamRequestHandler):
        def handle(self):
            assert self.rfile.readline() == b"ping\n"
            self.wfile.write(b"pong\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Pong) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        ok(server, "streams_to_another_server", f"?{other.server_address[1]}")
        other.shutdown()


def test_several_tasks_send_whole_parts(server):
    body = server.get("/check/sends_from_several_tasks", method="POST", body=b"body").body
    assert sorted(body[at : at + 2000] for at in range(0, 20_000, 2000)) == [bytes([65 + number]) * 2000 for number in range(10)]


def test_the_handlers_task_is_done_afterwards(server):
    ok(server, "done_callbacks")
    until(lambda: server.json("/handler-done"), "the callback of the handler's task")


def test_contexts_of_requests_at_the_same_time_are_apart(server):
    connections = [server.connect() for _ in range(20)]
    for number, connection in enumerate(connections):
        connection.request("GET", f"/context?{number}")
    for number, connection in enumerate(connections):
        assert connection.response().text == f"unset {number}"
        connection.socket.close()


def test_contexts_of_requests_after_one_another_are_apart(server):
    with server.connect() as connection:
        for number in range(3):
            assert connection.request("GET", f"/context?{number}").response().text == f"unset {number}"
            assert connection.request("GET", "/leaves-context").response().text == "unset"
        connection.request("GET", "/leaves-context").request("GET", "/leaves-context")
        assert [connection.response().text for _ in range(2)] == ["unset", "unset"]


def test_requests_meet(server):
    with server.connect() as connection:
        connection.request("GET", "/meet")
        time.sleep(0.1)
        assert server.get("/met").text == "there"
        assert connection.response().text == "met"


def test_a_handler_that_never_rests_does_not_starve_the_others(server):
    with server.connect() as connection:
        connection.request("GET", "/spins")
        time.sleep(0.1)
        assert server.get("/pid").status == 200
        assert server.get("/stops-spinning").text == "stopped"
        assert connection.response().text == "spun"


def test_a_task_outlives_its_request_while_the_server_is_idle(server):
    name = f"background-{next(numbers)}"
    assert server.get(f"/background?file={name}").text == "started"
    until((server.directory / name).exists, "the task to go on", 5)


def test_no_tasks_are_left_over(server):
    before = int(server.get("/tasks").text)
    assert before <= 3
    with server.connect() as connection:
        for _ in range(50):
            connection.request("POST", "/check/a_task_of_receive", body=b"body").response()
    for _ in range(5):
        with server.connect() as connection:
            connection.request("GET", "/meet?never")
    server.get("/met")
    until(lambda: int(server.get("/tasks").text) <= before, "the tasks to end", 12)


@pytest.mark.parametrize(("page", "words"), [("loose-failure", "nobody waits for me"), ("callback-failure", "burnt in a callback")])
def test_a_failure_that_nobody_sees_is_logged_and_harmless(server, page, words):
    pid = server.get("/pid").text
    assert server.get(f"/{page}").text == "started"
    server.wait_for_log(words)
    assert server.get("/pid").text == pid


@pytest.mark.parametrize("how", ["loop", "plain"])
@pytest.mark.parametrize("name", ["SIGUSR2", "SIGALRM", "SIGRTMIN"])
def test_a_handler_of_a_signal_runs_at_once_while_the_server_is_idle(server, how, name):
    file = f"signal-{next(numbers)}"
    pid = int(server.get(f"/install?signal={name}&how={how}&file={file}").text)
    time.sleep(0.2)
    os.kill(pid, getattr(signal, name))
    path = server.directory / file
    until(lambda: path.exists() and path.read_text() == "MainThread", "the handler to run", 3)
    assert int(server.get("/pid").text) == pid


def test_in_debug_mode(serve, loop):
    server = serve("asgi_loop", *LOOPS[loop], env={"PYTHONASYNCIODEBUG": "1"})
    for check in ("the_handler_is_a_task", "wait_for_receive", "subprocesses", "executors", "anyio_works", "a_context_lasts_over_awaits",
                  "a_thread_wakes_the_loop", "cancelling_a_task"):
        ok(server, check)
    assert "Traceback" not in server.log
    assert "never awaited" not in server.log and "Non-thread-safe" not in server.log


def test_without_a_choice_there_is_a_loop(serve):
    ok(serve("asgi_loop"), "the_loop_runs")


def test_an_unknown_loop_is_refused(serve):
    server = serve("asgi_loop", "--loop", "nonsense", wait=False)
    assert server.wait() != 0
    assert "nonsense" in server.log


def test_a_busy_handler_does_not_lose_what_comes_meanwhile(server):
    connections = [server.connect() for _ in range(10)]
    with server.connect() as busy:
        busy.request("GET", "/blocks?s=0.5")
        time.sleep(0.1)
        for connection in connections:
            connection.request("GET", "/pid")
        assert busy.response().text == "blocked"
        for connection in connections:
            assert connection.response().status == 200
            connection.socket.close()


def test_a_reader_of_the_application_is_called_while_the_server_is_idle(serve, tmp_path, loop):
    """A descriptor alone, without timers or requests, wakes the loop."""
    left, right = socket.socketpair()
    (tmp_path / "reads.py").write_text(
        "import asyncio, os\n"
        f"FD = {right.fileno()}\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        asyncio.get_running_loop().add_reader(FD, lambda: os.write(FD, os.read(FD, 100).upper()))\n"
        "        await send({'type': 'lifespan.startup.complete'})\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
    )
    os.set_inheritable(right.fileno(), True)
    with left, right:
        serve("reads", *LOOPS[loop], cwd=tmp_path, pass_fds=[right.fileno()])
        left.settimeout(10)
        for word in (b"one", b"two", b"three"):
            time.sleep(0.2)
            left.send(word)
            assert left.recv(100) == word.upper()
