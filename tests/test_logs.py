"""Access and error logs: Gunicorn's formats, never torn, never forged."""

import json
import os
import re
import threading

import pytest
from harness import until

LINE = re.compile(
    r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /hello\?a=b HTTP/1\.1" 200 5 "http://from" "agent/1"'
)


def lines(server, count, path=None):
    """The first `count` lines of the access log."""
    def read():
        text = path.read_text() if path else server.stdout
        return text.splitlines() if text.count("\n") >= count else None

    return until(read, f"{count} lines in the access log")


def test_the_default_format_is_gunicorns(serve):
    server = serve("kitchen", "--access-logfile", "-")
    server.get("/hello?a=b", [("Referer", "http://from"), ("User-Agent", "agent/1")])
    assert LINE.fullmatch(lines(server, 1)[0]), server.stdout


def test_there_is_no_access_log_unless_asked_for(serve):
    server = serve("kitchen")
    server.get("/hello")
    server.stop()
    assert "GET /hello" not in server.stdout + server.log


ATOMS = {
    "h": r"127\.0\.0\.1",
    "l": "-",
    "u": "alice",
    "t": r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]",
    "r": r"POST /echo\?x=1 HTTP/1\.1",
    "m": "POST",
    "U": "/echo",
    "q": "x=1",
    "H": r"HTTP/1\.1",
    "s": "200",
    "B": "4",
    "b": "4",
    "f": "http://from",
    "a": "agent",
    "T": r"\d+",
    "M": r"\d+",
    "D": r"\d+",
    "L": r"\d+\.\d+",
    "p": r"<\d+>",
    "{x-own}i": "own",
    "{X-Own}i": "own",
    "{content-type}o": "text/x-test",
    "{REMOTE_ADDR}e": r"127\.0\.0\.1",
    "{wsgi.url_scheme}e": "http",
    "{SERVER_PROTOCOL}e": r"HTTP/1\.1",
    "{absent}i": "-",
    "{absent}o": "-",
    "{absent}e": "-",
}


@pytest.fixture(scope="module")
def every_atom(serve_all):
    return serve_all("kitchen", "--access-logfile", "-", "--access-logformat", "|".join(f"%({name})s" for name in ATOMS))


def test_every_atom_has_its_value(every_atom):
    every_atom.get("/echo?x=1", [("Authorization", "Basic YWxpY2U6c2VjcmV0"), ("Referer", "http://from"), ("User-Agent", "agent"),
                                 ("X-Own", "own"), ("Content-Type", "text/x-test")], "POST", b"body")
    values = lines(every_atom, 1)[0].split("|")
    for (name, pattern), value in zip(ATOMS.items(), values, strict=True):
        assert re.fullmatch(pattern, value), f"%({name})s is {value!r}"


def test_what_is_missing_is_a_dash(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "%(u)s|%(f)s|%(a)s|%(b)s|%(B)s|%({x}i)s")
    server.get("/empty-iterable")
    assert lines(server, 1)[0] == "-|-|-|-|0|-"


def test_a_percent_sign_is_written_twice(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "100%% of %(m)s")
    server.get("/hello")
    assert lines(server, 1)[0] == "100% of GET"


def test_the_duration_is_right(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "%(T)s %(M)s %(D)s %(L)s")
    server.get("/sleep?s=1.1")
    seconds, milli, micro, decimal = lines(server, 1)[0].split()
    assert 1 <= int(seconds) <= 5
    assert 1100 <= int(milli) <= 6000
    assert 1_100_000 <= int(micro) <= 6_000_000
    assert 1.1 <= float(decimal) <= 6


def test_json_is_json(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "json")
    server.get("/hello?a=%22", [("User-Agent", 'a "quoted" \\ agent \u00e9'), ("Referer", "http://from")])
    entry = json.loads(lines(server, 1)[0])
    text = json.dumps(entry)
    assert 200 in entry.values() and "GET" in entry.values()
    assert "/hello" in text and "127.0.0.1" in text
    assert any("quoted" in str(value) for value in entry.values())


def test_json_cannot_be_forged(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "json")
    server.get("/hello?%22,%22status%22:1", [("User-Agent", '", "status": 1, "x": "'), ("X", "\u00ff")])
    raw = lines(server, 1)[0]
    assert json.loads(raw)["status"] == 200
    assert len(json.loads(raw, object_pairs_hook=list)) == len(json.loads(raw))


def test_control_characters_and_quotes_are_escaped(serve):
    server = serve("kitchen", "--access-logfile", "-")
    server.get("/hello", [("User-Agent", 'x" 200 0 "-" "forged\x9b31m\u0085'), ("Referer", "tab\there")])
    line = lines(server, 1)[0]
    assert 'x\\" 200 0' in line
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line), repr(line)


def test_a_refused_request_cannot_write_lines(serve):
    server = serve("kitchen", "--access-logfile", "-")
    with server.connect() as connection:
        connection.send(b"GET /a\x1b[31m\x00b HTTP/1.1\r\n\r\n").response()
    line = lines(server, 1)[0]
    assert not re.search("[\x00-\x1f\x7f]", line), repr(line)
    assert '" 400 ' in line


def test_the_query_may_be_left_out(serve):
    server = serve("kitchen", "--access-logfile", "-", "--access-logformat", "%(m)s %(U)s")
    server.get("/hello?password=secret")
    assert lines(server, 1)[0] == "GET /hello"


@pytest.mark.slow
def test_lines_of_four_workers_are_never_torn(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("kitchen", "-w", "4", "--access-logfile", path, "--access-logformat", "%(p)s|%(a)s|end")
    server.wait_for_workers(4)
    agent = "x" * 3000
    count, clients = 150, 8

    def client():
        with server.connect() as connection:
            for _ in range(count):
                connection.request("GET", "/hello", [("User-Agent", agent)]).response()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    written = path.read_text().splitlines()
    assert len(written) == count * clients
    assert all(re.fullmatch(rf"<\d+>\|{agent}\|end", line) for line in written)


def test_the_last_lines_are_written_before_the_end(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve("kitchen", "--access-logfile", path)
    for number in range(20):
        server.get(f"/hello?{number}")
    server.stop()
    assert len(path.read_text().splitlines()) == 20


def test_an_aborted_request_is_logged_too(serve):
    server = serve("kitchen", "--access-logfile", "-")
    with server.connect() as connection:
        connection.request("GET", "/endless")
        connection.head()
    assert "GET /endless" in lines(server, 1)[0]


def test_the_error_log_has_gunicorns_form(serve):
    server = serve("kitchen")
    server.get("/raises")
    server.wait_for_log("the kitchen is on fire")
    pid = server.workers()[0]
    found = re.search(rf"^\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}\] \[{pid}\] \[ERROR\] (.*)$", server.log, re.M)
    assert found, server.log
    assert "/raises" in server.log[found.start() :]


def test_a_full_disk_or_closed_pipe_does_not_stop_the_server(serve):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    server = serve("kitchen", "--access-logfile", "/dev/full")
    for _ in range(10):
        assert server.get("/hello").text == "Hello"
