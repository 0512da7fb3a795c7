"""Master and workers: signals, reloads, crashes, timeouts. Nothing that was accepted is lost."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import DAEMUN, ClosedEarly, Connection, alive, load, until

PID_APP = """
import os, time
VERSION = {version!r}
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION.encode()]
"""


# Ending.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT], ids=["TERM", "INT", "QUIT"])
def test_every_way_of_stopping_ends_with_0_and_leaves_no_process(serve, number):
    server = serve("hello", "-w", "2")
    workers = server.wait_for_workers(2)
    server.get("/")
    assert server.stop(number) == 0
    assert not [pid for pid in workers if alive(pid)]
    assert "Shutting down: Master" in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("front", [(), ("--threads", "2")], ids=["inline", "threads"])
def test_term_lets_running_requests_finish(serve, front):
    server = serve("kitchen", *front)
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=1.5")
        time.sleep(0.4)
        server.send_signal(signal.SIGTERM)
        response = connection.response()
        assert response.text == "slept"
        assert response["Connection"] == "close"
    assert server.wait() == 0


def test_term_lets_a_streamed_answer_finish(serve):
    server = serve("kitchen", "--threads", "2")
    with server.connect() as connection:
        connection.request("GET", "/gated?gate=open")
        head = connection.head()
        assert head.status == 200
        assert connection.chunk() == b"first"
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        (server.directory / "open").touch()
        assert connection.chunk() == b"second"
        assert connection.chunk() == b""
    assert server.wait() == 0


def test_term_gives_up_after_the_graceful_timeout(serve):
    server = serve("kitchen", "--graceful-timeout", "1", "--threads", "2")
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=30")
        time.sleep(0.4)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10
        with pytest.raises(ClosedEarly):
            connection.response()


def test_int_during_a_graceful_stop_is_quick(serve):
    server = serve("kitchen", "--threads", "2")
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=30")
        time.sleep(0.4)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        begin = time.monotonic()
        server.stop(signal.SIGINT)
        assert time.monotonic() - begin < 8


def test_int_does_not_wait_for_requests(serve):
    server = serve("kitchen")
    with server.connect() as connection:
        connection.request("GET", "/sleep?s=30")
        time.sleep(0.4)
        begin = time.monotonic()
        assert server.stop(signal.SIGINT) == 0
        assert time.monotonic() - begin < 8


def test_idle_connections_do_not_hold_up_the_end(serve):
    server = serve("hello", "--keep-alive", "60")
    with server.connect() as connection:
        connection.request().response()
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 8
        assert connection.is_closed()


def test_when_the_master_is_killed_the_workers_leave(serve):
    server = serve("hello", "-w", "2")
    workers = server.wait_for_workers(2)
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not [pid for pid in workers if alive(pid)], "the workers to leave")


# Reload.


def write(path: Path, version: str) -> None:
    path.write_text(PID_APP.format(version=version))


@pytest.fixture
def site(tmp_path):
    """A folder with an application that a test rewrites."""
    folder = tmp_path / "site"
    folder.mkdir()
    write(folder / "versioned.py", "one")
    return folder


def answers(server, text):
    return until(lambda: server.get("/").text == text, f"the answer {text!r}")


def test_hup_brings_the_new_code(serve, site):
    server = serve("versioned", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    assert server.get("/").text == "one"
    write(site / "versioned.py", "two")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(2, other_than=old)
    assert server.get("/").text == "two"
    assert server.process.poll() is None


def test_hup_with_a_broken_application_keeps_the_old_one(serve, site):
    server = serve("versioned", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    (site / "versioned.py").write_text("raise RuntimeError('broken release')\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log("broken release")
    time.sleep(1)
    for _ in range(5):
        assert server.get("/").text == "one"
    server.wait_for_workers(2)
    assert set(server.workers()) == set(old)
    assert server.process.poll() is None
    # And the next good one is taken.
    write(site / "versioned.py", "three")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(2, other_than=old)
    assert server.get("/").text == "three"


def test_hup_reads_the_configuration_again(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text("workers = 1\nraw_env = ['WHO=first']\n")
    server = serve("info", "-c", config)
    old = server.wait_for_workers(1)
    assert server.json("/")["env"]["WHO"] == "first"
    config.write_text("workers = 3\nraw_env = ['WHO=second']\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(3, other_than=old)
    assert server.json("/")["env"]["WHO"] == "second"


def test_hup_with_a_broken_configuration_keeps_the_old_one(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text("workers = 2\n")
    server = serve("hello", "-c", config)
    server.wait_for_workers(2)
    config.write_text("workers = = 2\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_log(r"site\.py:1")
    assert server.get("/").text == "Hello"
    server.wait_for_workers(2)


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
def test_reloads_under_load_lose_nothing(serve, keep_alive):
    server = serve("hello", "-w", "2")
    old = server.wait_for_workers(2)
    with load(server, keep_alive=keep_alive) as result:
        for _ in range(5):
            server.send_signal(signal.SIGHUP)
            old = server.wait_for_workers(2, other_than=old)
            time.sleep(0.2)
    assert result.failures == []
    assert result.answered > 100
    assert server.stop() == 0


def test_a_slow_request_survives_a_reload(serve, site):
    server = serve("versioned", cwd=site)
    old = server.wait_for_workers(1)
    with server.connect() as connection:
        connection.request("GET", "/slow")
        time.sleep(0.3)
        write(site / "versioned.py", "two")
        server.send_signal(signal.SIGHUP)
        assert connection.response().text == "one"
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").text == "two"


# The number of workers.


def test_ttin_and_ttou_change_the_number_of_workers(serve):
    server = serve("hello")
    server.wait_for_workers(1)
    server.send_signal(signal.SIGTTIN)
    server.wait_for_workers(2)
    server.send_signal(signal.SIGTTIN)
    server.wait_for_workers(3)
    server.send_signal(signal.SIGTTOU)
    server.wait_for_workers(2)
    server.send_signal(signal.SIGTTOU)
    server.wait_for_workers(1)
    server.send_signal(signal.SIGTTOU)
    time.sleep(0.5)
    assert len(server.workers()) == 1
    assert server.get("/").text == "Hello"


def test_ttou_under_load_loses_nothing(serve):
    server = serve("hello", "-w", "3")
    server.wait_for_workers(3)
    with load(server) as result:
        time.sleep(0.3)
        server.send_signal(signal.SIGTTOU)
        server.wait_for_workers(2)
        server.send_signal(signal.SIGTTOU)
        server.wait_for_workers(1)
        time.sleep(0.3)
    assert result.failures == []


# Log files.


def test_usr1_opens_the_log_files_again(serve, tmp_path):
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    server = serve("hello", "-w", "2", "--access-logfile", access, "--error-logfile", error, wait=False)
    until(lambda: error.exists() and "Listening at:" in error.read_text(), "the error log")
    port = int(re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", error.read_text()).group(1))

    def ask(path):
        with Connection(("127.0.0.1", port)) as connection:
            connection.request("GET", path, [("Connection", "close")]).response()

    ask("/before")
    until(lambda: "/before" in access.read_text(), "the first line")
    access.rename(tmp_path / "access.1")
    error.rename(tmp_path / "error.1")
    server.send_signal(signal.SIGUSR1)
    until(lambda: access.exists() and error.exists(), "new log files")

    def everywhere():
        ask("/after")
        time.sleep(0.05)
        return access.read_text().count("/after") >= 4

    until(everywhere, "lines in the new file")
    old = (tmp_path / "access.1").read_text()
    time.sleep(0.3)
    for _ in range(8):
        ask("/later")
    until(lambda: access.read_text().count("/later") == 8, "all later lines in the new file")
    assert "/later" not in (tmp_path / "access.1").read_text()
    assert "/before" in old
    server.send_signal(signal.SIGTERM)
    server.wait()
    assert "Shutting down" in error.read_text()


# Crashes.


def test_a_killed_worker_is_replaced(serve):
    server = serve("hello", "-w", "2")
    workers = server.wait_for_workers(2)
    os.kill(workers[0], signal.SIGKILL)
    server.wait_for_workers(2, other_than=workers[:1])
    assert workers[1] in server.workers()
    server.wait_for_log(rf"{workers[0]}.*SIGKILL")
    assert server.get("/").text == "Hello"


@pytest.mark.slow
def test_killing_workers_under_load_loses_only_what_they_were_answering(serve):
    server = serve("hello", "-w", "2")
    workers = server.wait_for_workers(2)
    clients, kills = 4, 5
    with load(server, clients=clients) as result:
        for _ in range(kills):
            os.kill(workers[0], signal.SIGKILL)
            workers = server.wait_for_workers(2, other_than=workers[:1])
            time.sleep(0.2)
    assert len(result.failures) <= clients * kills
    assert result.answered > 100
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_no_signal_to_a_worker_ends_the_server(serve, number):
    server = serve("hello", "-w", "2")
    workers = server.wait_for_workers(2)
    server.get("/")
    os.kill(workers[0], number)
    time.sleep(0.5)
    server.wait_for_workers(2)
    for _ in range(4):
        assert server.get("/").text == "Hello"
    assert server.process.poll() is None


def test_an_application_that_ends_its_process_does_not_end_the_server(serve, tmp_path):
    (tmp_path / "suicidal.py").write_text(
        "import os\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/die':\n"
        "        os._exit(5)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'alive']\n"
    )
    server = serve("suicidal", cwd=tmp_path)
    old = server.wait_for_workers(1)
    with server.connect() as connection, pytest.raises(ClosedEarly):
        connection.request("GET", "/die").response()
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").text == "alive"


def test_a_worker_that_cannot_boot_again_is_tried_with_back_off(serve, tmp_path):
    application = tmp_path / "fragile.py"
    application.write_text("def application(e, s):\n    s('200 OK', [])\n    return [b'fine']\n")
    server = serve("fragile", cwd=tmp_path)
    worker = server.wait_for_workers(1)[0]
    good = application.read_text()
    application.write_text("raise RuntimeError('gone bad')\n")
    os.kill(worker, signal.SIGKILL)
    server.wait_for_log("gone bad")
    time.sleep(3)
    assert server.process.poll() is None, "the master gave up"
    assert server.log.count("RuntimeError: gone bad") < 12, "no back-off"
    application.write_text(good)
    assert until(lambda: server.workers() and server.get("/").text == "fine", "the server to recover", 40)


def test_an_application_with_children_of_its_own_is_left_alone(serve, tmp_path):
    (tmp_path / "spawning.py").write_text(
        "import subprocess\n"
        "def application(environ, start_response):\n"
        "    out = subprocess.run(['echo', 'child'], capture_output=True)\n"
        "    start_response('200 OK', [])\n"
        "    return [out.stdout + str(out.returncode).encode()]\n"
    )
    server = serve("spawning", cwd=tmp_path)
    for _ in range(3):
        assert server.get("/").text == "child\n0"


# Timeouts.


@pytest.mark.slow
@pytest.mark.parametrize("page", ["/sleep?s=60", "/burn?s=60"], ids=["sleeping", "burning"])
def test_a_stuck_worker_is_killed_after_its_traceback_is_logged(serve, page):
    server = serve("kitchen", "-w", "2", "--timeout", "2")
    server.wait_for_workers(2)
    with server.connect(40) as connection:
        connection.request("GET", page)
        with pytest.raises((ClosedEarly, AssertionError)):
            response = connection.response()
            assert response.status < 500, "an error page is an answer too"
    server.wait_for_log("WORKER TIMEOUT", patience=30)
    assert "kitchen.py" in server.log, server.log
    assert re.search(r"in (sleep|burn)\b", server.log), server.log
    server.wait_for_workers(2, patience=30)
    assert server.get("/hello").text == "Hello"


@pytest.mark.slow
def test_the_traceback_of_every_thread_is_logged(serve):
    server = serve("kitchen", "--threads", "2", "--timeout", "2", "--graceful-timeout", "1")
    first, second = server.connect(40), server.connect(40)
    first.request("GET", "/sleep?s=60")
    second.request("GET", "/burn?s=60")
    server.wait_for_log("WORKER TIMEOUT", patience=30)
    server.wait_for_log(r"in sleep\b", patience=10)
    server.wait_for_log(r"in burn\b", patience=10)
    first.socket.close()
    second.socket.close()
    server.wait_for_workers(1, patience=30)
    assert until(lambda: server.get("/hello").text == "Hello", "a fresh worker", 30)


@pytest.mark.slow
def test_a_long_healthy_download_is_not_a_stuck_worker(serve):
    server = serve("kitchen", "--timeout", "2")
    worker = server.wait_for_workers(1)
    with server.connect() as connection:
        connection.request("GET", "/ticking")
        assert connection.head().status == 200
        begin = time.monotonic()
        while time.monotonic() - begin < 4:
            try:
                assert connection.chunk()
            except ClosedEarly:
                pytest.fail(server.log)
    assert server.workers() == worker
    assert "WORKER TIMEOUT" not in server.log


def test_an_idle_worker_is_not_stuck(serve):
    server = serve("hello", "--timeout", "1")
    worker = server.wait_for_workers(1)
    time.sleep(3)
    assert server.workers() == worker
    assert server.get("/").text == "Hello"


def test_timeout_0_is_none(serve):
    server = serve("kitchen", "--timeout", "0")
    assert server.get("/sleep?s=2").text == "slept"


# Recycling.


@pytest.mark.slow
@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "close"])
@pytest.mark.parametrize("threads", ["1", "4"])
def test_workers_are_recycled_under_load_without_a_failure(serve, keep_alive, threads):
    server = serve("hello", "-w", "2", "--threads", threads, "--max-requests", "100", "--max-requests-jitter", "20")
    first = server.wait_for_workers(2)
    with load(server, keep_alive=keep_alive) as result:
        until(lambda: result.answered > 1000, "a thousand answers", 60)
    assert result.failures == []
    server.wait_for_workers(2, other_than=first)


def test_a_worker_leaves_after_its_number_of_requests(serve):
    server = serve("hello:pid", "--max-requests", "5")
    pids = [server.get("/").text for _ in range(12)]
    assert len(set(pids)) >= 2, pids
    assert pids.count(pids[0]) == 5, pids


def test_other_workers_serve_while_one_is_busy(serve):
    server = serve("kitchen", "-w", "2")
    server.wait_for_workers(2)
    server.wait_for_log("Booting worker", 2)
    time.sleep(0.5)
    with server.connect() as busy:
        busy.request("GET", "/sleep?s=3")
        time.sleep(0.3)
        begin = time.monotonic()
        for _ in range(10):
            assert server.get("/hello").text == "Hello"
        assert time.monotonic() - begin < 2.5
        assert busy.response().text == "slept"


def test_static_files_are_served_while_python_is_busy(serve, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("static")
    server = serve("kitchen", "--static", f"/s={tmp_path}/files", "--front", "thread")
    server.get("/hello")
    with server.connect() as busy:
        busy.request("GET", "/burn?s=2")
        time.sleep(0.2)
        begin = time.monotonic()
        for _ in range(10):
            assert server.get("/s/a.txt").text == "static"
        assert time.monotonic() - begin < 1.8
        assert busy.response().text == "burnt"


def test_it_works_as_process_1_of_a_container(serve):
    """In a process namespace of its own, where orphans are reaped by the master and there is no parent to see."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-pfr", "true"], capture_output=True).returncode:
        pytest.skip("this system does not allow process namespaces")
    server = serve("info", program=[unshare, "-pfr", "--kill-child", DAEMUN], ready=False)
    info = server.json("/")
    assert info["ppid"] == 1
    assert info["pid"] != 1
    assert server.get("/").status == 200
