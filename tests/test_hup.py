"""Reloads in company: with changed addresses, slow starts, other signals, and one another."""

import re
import signal
import time

import pytest
from harness import Connection, load, until

SLOW_START = """
import time
time.sleep({seconds})
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{version!r}.encode()]
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def write(site, version, seconds=0.0):
    (site / "page.py").write_text(SLOW_START.format(version=version, seconds=seconds))


def test_a_changed_address_is_listened_on_and_the_old_one_is_left(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text("bind = '127.0.0.1:0'\n")
    server = serve("hello", "-c", config, bind=None)
    old = server.wait_for_workers(1)
    path = tmp_path / "web.sock"
    first = server.port
    config.write_text(f"bind = 'unix:{path}'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"

    def closed():
        try:
            Connection(("127.0.0.1", first)).socket.close()
        except OSError:
            return True

    until(closed, "the old address to be closed")


def test_a_kept_address_stays_open_all_the_time(serve, tmp_path):
    config = tmp_path / "site.py"
    path = tmp_path / "web.sock"
    config.write_text(f"bind = ['127.0.0.1:0', 'unix:{path}']\n")
    server = serve("hello", "-c", config, bind=None)
    inode = path.stat().st_ino
    for _ in range(2):
        old = server.wait_for_workers(1)
        server.send_signal(signal.SIGHUP)
        server.wait_for_workers(1, other_than=old)
    assert path.stat().st_ino == inode
    assert server.get("/").text == "Hello"
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"


def test_a_new_address_that_is_taken_leaves_everything_as_it_is(serve, tmp_path):
    import socket

    config = tmp_path / "site.py"
    config.write_text("bind = '127.0.0.1:0'\n")
    server = serve("hello", "-c", config, bind=None)
    old = server.wait_for_workers(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(f"bind = '127.0.0.1:{port}'\nworkers = 3\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log("in use")
    assert server.get("/").text == "Hello"
    assert server.workers() == old


def test_changed_log_files_are_taken(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text(f"accesslog = '{tmp_path}/one.log'\n")
    server = serve("hello", "-c", config)
    old = server.wait_for_workers(1)
    server.get("/first")
    config.write_text(f"accesslog = '{tmp_path}/two.log'\naccess_log_format = '%(m)s %(U)s'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    server.get("/second")
    until(lambda: (tmp_path / "two.log").exists() and (tmp_path / "two.log").read_text() == "GET /second\n", "the second log")
    assert "/first" in (tmp_path / "one.log").read_text()


def test_while_the_new_workers_start_slowly_the_old_ones_serve(serve, site):
    write(site, "one")
    server = serve("page", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    write(site, "two", seconds=2)
    with load(server, clients=2) as result:
        server.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert server.get("/").text == "one"
        server.wait_for_workers(2, other_than=old)
    assert result.failures == []
    assert server.get("/").text == "two"


def test_many_hups_at_once_end_well(serve, site):
    write(site, "one", seconds=0.2)
    server = serve("page", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    write(site, "two", seconds=0.2)
    with load(server, clients=2) as result:
        for _ in range(10):
            server.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        server.wait_for_workers(2, other_than=old)
        time.sleep(1.5)
        server.wait_for_workers(2, other_than=old)
    assert result.failures == []
    assert server.get("/").text == "two"


def test_a_good_hup_during_a_bad_one_wins(serve, site):
    write(site, "one")
    server = serve("page", cwd=site)
    old = server.wait_for_workers(1)
    (site / "page.py").write_text("import time\ntime.sleep(0.5)\nraise RuntimeError('bad release')\n")
    server.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    write(site, "two")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    assert server.get("/").text == "two"


def test_term_during_a_reload_ends_all(serve, site):
    write(site, "one")
    server = serve("page", "-w", "2", cwd=site)
    server.wait_for_workers(2)
    write(site, "two", seconds=3)
    server.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_term_while_starting_ends_with_0(serve, site, delay):
    write(site, "one", seconds=2)
    server = serve("page", "-w", "2", cwd=site, wait=delay > 0, ready=False)
    time.sleep(delay or 0.02)
    code = server.stop()
    # Before the program has set up its signals, the system's answer to TERM is the end.
    assert code == 0 or (delay == 0.0 and code == -signal.SIGTERM)


def test_a_worker_killed_during_a_reload_is_no_disaster(serve, site):
    import os

    write(site, "one")
    server = serve("page", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    write(site, "two", seconds=1)
    server.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    for pid in server.workers():
        if pid not in old:
            os.kill(pid, signal.SIGKILL)
    time.sleep(2.5)
    assert server.get("/").text in ("one", "two")
    server.wait_for_workers(2)
    assert server.process.poll() is None


def test_ttin_is_forgotten_by_a_reload_with_the_number_in_the_file(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text("workers = 1\n")
    server = serve("hello", "-c", config)
    server.wait_for_workers(1)
    server.send_signal(signal.SIGTTIN)
    old = server.wait_for_workers(2)
    config.write_text("workers = 3\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(3, other_than=old)


def test_preloaded_applications_are_loaded_anew(serve, site):
    write(site, "one")
    server = serve("page", "--preload", "-w", "2", cwd=site)
    old = server.wait_for_workers(2)
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(2, other_than=old)
    assert server.get("/").text == "one"
    assert server.process.poll() is None


def test_the_pid_file_may_move(serve, tmp_path):
    config = tmp_path / "site.py"
    config.write_text(f"pidfile = '{tmp_path}/one.pid'\n")
    server = serve("hello", "-c", config)
    old = server.wait_for_workers(1)
    config.write_text(f"pidfile = '{tmp_path}/two.pid'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    until(lambda: (tmp_path / "two.pid").exists() and (tmp_path / "two.pid").read_text().strip() == str(server.pid), "the new pid file")
    server.stop()
    assert not (tmp_path / "two.pid").exists() and not (tmp_path / "one.pid").exists()


def test_the_reload_is_told_in_the_log(serve):
    server = serve("hello")
    old = server.wait_for_workers(1)
    server.send_signal(signal.SIGHUP)
    server.wait_for_workers(1, other_than=old)
    assert re.search(r"Handling signal: hup|Hang up", server.log, re.I), server.log
