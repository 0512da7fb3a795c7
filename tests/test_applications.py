"""What applications do beside answering: print, fork, start threads, hold the GIL, leak, and end."""

import re
import signal
import time
from pathlib import Path

import pytest
from harness import ClosedEarly, Connection, alive, until


def resident(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def test_what_is_printed_is_not_lost(serve):
    server = serve("kitchen")
    server.get("/prints")
    server.stop()
    assert "to standard output" in server.stdout
    assert "to standard error" in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("mode", [(), ("--threads", "2")], ids=["one", "threads"])
def test_exit_handlers_run_when_a_worker_ends(serve, tmp_path, mode, number):
    (tmp_path / "tidy_app.py").write_text(
        "import atexit, os\n"
        "atexit.register(lambda: open(os.environ['TEST_DIR'] + '/ended', 'a').write('x'))\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    server = serve("tidy_app", *mode, cwd=tmp_path)
    assert server.get("/").text == "ok"
    server.stop(number)
    assert (server.directory / "ended").read_text() == "x"


def test_multiprocessing_works_in_an_application(serve, tmp_path):
    (tmp_path / "forking.py").write_text(
        "import multiprocessing\n"
        "def double(queue, number):\n"
        "    queue.put(number * 2)\n"
        "def application(environ, start_response):\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=double, args=(queue, 21))\n"
        "    process.start()\n"
        "    answer = queue.get(timeout=10)\n"
        "    process.join(10)\n"
        "    start_response('200 OK', [])\n"
        "    return [f'{answer} {process.exitcode}'.encode()]\n"
    )
    server = serve("forking", cwd=tmp_path)
    for _ in range(3):
        assert server.get("/").text == "42 0"


def test_background_threads_of_the_application_run(serve, tmp_path):
    (tmp_path / "background.py").write_text(
        "import threading, time\n"
        "ticks = 0\n"
        "def tick():\n"
        "    global ticks\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
        "        ticks += 1\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(ticks).encode()]\n"
    )
    server = serve("background", cwd=tmp_path)
    first = int(server.get("/").text)
    time.sleep(0.5)
    assert int(server.get("/").text) >= first + 10, "threads stand still while the worker is idle"


def test_asyncio_works_in_an_application(serve, tmp_path):
    (tmp_path / "looping.py").write_text(
        "import asyncio\n"
        "async def main():\n"
        "    process = await asyncio.create_subprocess_exec('echo', 'child', stdout=-1)\n"
        "    out, _ = await process.communicate()\n"
        "    await asyncio.sleep(0.01)\n"
        "    return out\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [asyncio.run(main())]\n"
    )
    server = serve("looping", cwd=tmp_path)
    for _ in range(3):
        assert server.get("/").text == "child\n"


def test_thread_locals_and_sqlite_connections_stay_usable(serve, tmp_path):
    (tmp_path / "local.py").write_text(
        "import sqlite3, time\n"
        "database = sqlite3.connect(':memory:')\n"
        "database.execute('create table seen (path text)')\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/slow':\n"
        "        time.sleep(0.1)\n"
        "    database.execute('insert into seen values (?)', [environ['PATH_INFO']])\n"
        "    count = database.execute('select count(*) from seen').fetchone()[0]\n"
        "    start_response('200 OK', [])\n"
        "    return [str(count).encode()]\n"
    )
    server = serve("local", cwd=tmp_path)
    for number, path in enumerate(["/", "/slow", "/", "/slow", "/", "/"], 1):
        assert server.get(path).text == str(number), server.log


@pytest.mark.slow
def test_a_call_that_holds_the_gil_for_ever_is_ended_too(serve):
    server = serve("kitchen", "--timeout", "2")
    worker = server.wait_for_workers(1)
    with server.connect(40) as connection:
        connection.request("GET", "/catastrophe")
        with pytest.raises(ClosedEarly):
            connection.response()
    server.wait_for_log("WORKER TIMEOUT", patience=30)
    server.wait_for_log(r"in catastrophe\b", patience=10)
    server.wait_for_workers(1, other_than=worker, patience=30)
    assert server.get("/hello").text == "Hello"


@pytest.mark.slow
def test_term_ends_a_worker_whose_call_holds_the_gil(serve):
    server = serve("kitchen", "--graceful-timeout", "1")
    worker = server.wait_for_workers(1)[0]
    with server.connect() as connection:
        connection.request("GET", "/catastrophe")
        time.sleep(0.3)
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10
    assert not alive(worker)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [("--front", "inline"), ("--front", "thread"), ("--request-buffering", "off")], ids=["inline", "front", "unbuffered"])
def test_no_kind_of_request_leaks(serve, mode):
    server = serve("kitchen", *mode)
    (server.directory / "data.bin").write_bytes(b"x" * 100_000)
    worker = server.wait_for_workers(1)[0]
    requests = [
        ("GET", "/hello", None), ("POST", "/echo", b"b" * 5000), ("GET", "/pieces?n=5&size=1000", None), ("GET", "/writes", None),
        ("GET", "/raises", None), ("GET", "/bad?what=status_word", None), ("GET", "/file?name=data.bin", None), ("GET", "/hints", None),
        ("GET", "/headers", None), ("POST", "/digest", b"d" * 200_000), ("GET", "/replaced", None), ("GET", "/lazy-start", None),
        ("HEAD", "/pieces?n=5&size=1000", None), ("GET", "/many-headers?n=50&size=100", None), ("GET", "/status?line=204+x", None),
    ]

    def rounds(count):
        connection = server.connect()
        for _ in range(count):
            for method, path, body in requests:
                connection.request(method, path, [("X-Some", "header"), ("Cookie", "a=1")], body)
                response = connection.response(method)
                if (response["Connection"] or "").lower() == "close":
                    connection.socket.close()
                    connection = server.connect()
        connection.socket.close()

    rounds(60)
    before = resident(worker)
    rounds(200)
    growth = resident(worker) - before
    assert server.workers() == [worker]
    assert growth < 3_000_000, f"{growth / (200 * len(requests)):.0f} bytes per request"


def test_connections_that_come_and_go_leak_nothing(serve):
    server = serve("hello")
    worker = server.wait_for_workers(1)[0]

    def descriptors():
        return len(list(Path(f"/proc/{worker}/fd").iterdir()))

    for _ in range(50):
        server.get("/")
    before, memory = descriptors(), resident(worker)
    for number in range(600):
        with server.connect() as connection:
            if number % 3 == 0:
                connection.request().response()
            elif number % 3 == 1:
                connection.send(b"GET / HT")
    until(lambda: descriptors() <= before + 2, "the descriptors to be closed")
    assert resident(worker) - memory < 3_000_000


@pytest.mark.slow
def test_a_thousand_idle_connections_are_no_burden(serve):
    server = serve("hello", "--keep-alive", "60", "--worker-connections", "2000")
    worker = server.wait_for_workers(1)[0]
    server.get("/")
    before = resident(worker)
    connections = []
    try:
        for _ in range(900):
            connection = Connection(("127.0.0.1", server.port))
            connections.append(connection)
            assert connection.request().response().text == "Hello"
        assert (resident(worker) - before) / 900 < 4000, "bytes for each idle connection"
        assert server.get("/").text == "Hello"
        for connection in connections[::100]:
            assert connection.request().response().text == "Hello"
    finally:
        for connection in connections:
            connection.socket.close()


def test_more_connections_than_allowed_wait_and_are_served(serve):
    server = serve("hello", "--worker-connections", "10", "--keep-alive", "1")
    held = [server.connect() for _ in range(10)]
    for connection in held:
        assert connection.request().response().text == "Hello"
    assert server.get("/").text == "Hello", "idle connections make room"
    for connection in held:
        connection.socket.close()


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_large_heads_of_answers_arrive_whole(serve, front):
    server = serve("kitchen", "--front", front)
    for count, size in [(300, 100), (50, 5000), (2, 100_000)]:
        response = server.get(f"/many-headers?n={count}&size={size}")
        assert response.status == 200
        assert all(response[f"X-{number}"] == "v" * size for number in range(count))


@pytest.mark.parametrize("front", ["inline", "thread"])
def test_thousands_of_pipelined_requests(serve, front):
    import threading

    server = serve("kitchen", "--front", front)
    with server.connect() as connection:
        request = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
        sender = threading.Thread(target=lambda: connection.send(request * 3000))
        sender.start()
        assert [connection.response().text for _ in range(3000)] == ["Hello"] * 3000
        sender.join(10)
