"""ASGI's lifespan: startup before the first request, shutdown after the last, in every worker."""

import os
import signal
import time

import pytest
from harness import ClosedEarly, load, run, until
from test_asgi_messages import LOOPS
from test_websocket import CLOSE, WebSocket


def events(server):
    path = server.directory / "events"
    return path.read_text().splitlines() if path.exists() else []


# All goes well.


@pytest.mark.parametrize("loop", LOOPS)
def test_startup_comes_before_the_first_request_and_shutdown_after_the_last(serve, loop):
    server = serve("asgi_lifespan", *LOOPS[loop])
    assert server.get("/").status == 200
    assert server.stop() == 0
    scope, startup, request, shutdown, end = events(server)
    assert scope == "scope ['asgi', 'state', 'type'] 3.0 2.0 {}"
    assert startup == "{'type': 'lifespan.startup'}"
    assert shutdown == "{'type': 'lifespan.shutdown'}"
    assert (request, end) == ("request", "shut down"), "shutdown was not waited for"
    assert "Traceback" not in server.log and "never awaited" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=["TERM", "INT", "QUIT"])
def test_shutdown_comes_with_every_way_of_stopping(serve, number):
    server = serve("asgi_lifespan")
    server.get("/")
    assert server.stop(number) == 0
    assert events(server)[-1] == "shut down"


def test_the_state_reaches_requests_and_websockets(serve):
    server = serve("asgi_lifespan")
    pid = server.workers()[0]
    assert server.get("/").text == str({"pid": pid})
    with WebSocket(server, "/") as ws:
        assert ws.message() == str({"pid": pid})


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_each_worker_has_a_lifespan_of_its_own(serve, options):
    server = serve("asgi_lifespan", "-w", "3", *options)
    server.wait_for_workers(3)
    until(lambda: events(server).count("{'type': 'lifespan.startup'}") == 3, "three startups")
    assert server.stop() == 0
    assert events(server).count("shut down") == 3


@pytest.mark.parametrize("loop", LOOPS)
def test_there_is_one_loop_for_all(serve, loop):
    assert serve("asgi_lifespan:one_loop", *LOOPS[loop]).get("/").text == "done True"


def test_requests_wait_for_the_startup(serve):
    server = serve("asgi_lifespan:slow_start", ready=False)
    assert server.get("/").status == 200
    assert events(server) == ["started", "request"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_of_the_startup_runs_while_the_server_is_idle(serve, loop):
    server = serve("asgi_lifespan:background", *LOOPS[loop])
    until(lambda: len(events(server)) >= 10, "ten ticks", 5)
    assert server.stop() == 0
    assert events(server)[-1] == "cancelled"


def test_a_running_request_ends_before_the_shutdown(serve):
    server = serve("asgi_lifespan")
    with server.connect() as connection:
        connection.request("GET", "/slow")
        until(lambda: "request" in events(server), "the request")
        server.send_signal(signal.SIGTERM)
        assert connection.response().status == 200
    assert server.wait() == 0
    assert events(server)[-3:] == ["slow request ended", "{'type': 'lifespan.shutdown'}", "shut down"]


def test_websockets_end_before_the_shutdown(serve):
    server = serve("asgi_lifespan")
    with WebSocket(server, "/") as ws:
        ws.message()
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert ws.closing()[0] == 1012
        assert server.wait() == 0
        assert time.monotonic() - begin < 4, "both have closed: there is nothing to wait for"
    assert events(server)[-3:] == ["websocket ended", "{'type': 'lifespan.shutdown'}", "shut down"]


def test_hup_shuts_the_old_worker_down(serve):
    server = serve("asgi_lifespan:versioned")
    old = server.wait_for_workers(1)
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    until(lambda: events(server) == ["started", "started", "stopped"], f"the new one to start first: {events(server)}")


def test_workers_that_are_recycled_are_shut_down(serve):
    server = serve("asgi_lifespan:versioned", "--max-requests", "5")
    with load(server, clients=1) as result:
        until(lambda: events(server).count("stopped") >= 2, "two recycled workers", 30)
    assert result.failures == []


def test_a_killed_worker_is_started_again_with_its_lifespan(serve):
    server = serve("asgi_lifespan:versioned")
    old = server.wait_for_workers(1)
    os.kill(old[0], signal.SIGKILL)
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").status == 200
    until(lambda: events(server).count("started") == 2, "the second startup")


# Applications without one.


@pytest.mark.parametrize("name", ["raises_at_once", "raises_in_startup", "returns_at_once"])
def test_auto_goes_on_without(serve, name):
    server = serve(f"asgi_lifespan:{name}")
    assert server.get("/").status == 200
    assert server.stop() == 0
    assert events(server) == ["called", "request"]


def test_auto_says_nothing_alarming_of_an_application_without(serve):
    server = serve("asgi_lifespan:raises_at_once")
    server.get("/")
    assert "[ERROR]" not in server.log


def test_an_application_may_leave_after_the_startup(serve):
    server = serve("asgi_lifespan:returns_after_startup")
    assert server.get("/").status == 200
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 8


def test_off_means_not_at_all(serve):
    server = serve("asgi_lifespan", "--lifespan", "off")
    assert server.get("/").text in ("None", "{}")
    assert server.stop() == 0
    assert events(server) == ["request"]


@pytest.mark.parametrize("flag", ["--lifespan", "--asgi-lifespan"])
def test_both_names_of_the_flag(serve, flag):
    server = serve("asgi_lifespan", flag, "on")
    assert server.get("/").status == 200


def test_an_unknown_mode_is_refused():
    result = run("asgi_lifespan", "--lifespan", "perhaps")
    assert result.returncode != 0 and "perhaps" in result.stderr


# Failures.


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize(("name", "words"), [("fails", "no connection to the database"), ("fails_as_starlette", "no database"), ("fails_silently", "")])
def test_a_startup_that_failed_ends_the_server(serve, name, words, mode):
    server = serve(f"asgi_lifespan:{name}", "--lifespan", mode, wait=False)
    assert server.wait() == 3
    assert words in server.log


def test_under_on_an_exception_is_fatal(serve):
    server = serve("asgi_lifespan:raises_in_startup", "--lifespan", "on", wait=False)
    assert server.wait() == 3
    assert "the database is away" in server.log and 'asgi_lifespan.py", line' in server.log


@pytest.mark.parametrize("name", ["raises_at_once", "returns_at_once"])
def test_under_on_an_application_without_a_lifespan_is_refused(serve, name):
    server = serve(f"asgi_lifespan:{name}", "--lifespan", "on", wait=False)
    assert server.wait() == 3


def test_a_reload_whose_startup_fails_keeps_the_old_worker(serve):
    server = serve("asgi_lifespan:versioned")
    old = server.wait_for_workers(1)
    (server.directory / "broken").touch()
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("broken release")
    time.sleep(0.5)
    assert server.get("/").status == 200
    assert server.workers() == old and "stopped" not in events(server)
    (server.directory / "broken").unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").status == 200


@pytest.mark.parametrize(("name", "words"), [("fails_to_shut_down", "could not say good bye"), ("raises_in_shutdown", "burnt at the end")])
def test_a_shutdown_that_fails_is_logged(serve, name, words):
    server = serve(f"asgi_lifespan:{name}")
    assert server.get("/").status == 200
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 8
    assert words in server.log


def test_a_shutdown_that_never_ends_is_cut(serve):
    server = serve("asgi_lifespan:never_shuts_down", "--graceful-timeout", "1")
    server.get("/")
    begin = time.monotonic()
    server.stop()
    assert 0.8 < time.monotonic() - begin < 10
    assert events(server)[-1] == "shutting down"


def test_wrong_messages_raise_in_the_lifespan(serve):
    server = serve("asgi_lifespan:wrong_messages")
    assert server.get("/").status == 200
    assert len(events(server)) == 6 and "accepted" not in events(server)


def test_a_websocket_client_that_does_not_answer_does_not_hold_up_the_shutdown(serve):
    server = serve("asgi_lifespan", "--graceful-timeout", "2")
    with WebSocket(server, "/") as ws:
        ws.message()
        server.send_signal(signal.SIGTERM)
        assert ws.closing(reply=False)[0] == 1012
        assert server.wait() == 0
    assert events(server)[-1] == "shut down"


def test_a_client_that_closes_by_itself_is_no_trouble(serve):
    server = serve("asgi_lifespan")
    with WebSocket(server, "/") as ws:
        ws.message()
        ws.send(CLOSE, b"\x03\xe8")
        try:
            ws.closing(reply=False)
        except ClosedEarly:
            pytest.fail("the close was not answered")
    until(lambda: "websocket ended" in events(server), "the end")
    assert server.stop() == 0
