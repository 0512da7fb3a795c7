"""WSGI, PEP 3333: what the application is given and what its answer becomes. In every mode of the worker."""

import json
import os
import re
import time

import pytest
from harness import ClosedEarly, until

MODES = {
    "auto": (),
    "inline": ("--front", "inline"),
    "front": ("--front", "thread"),
    "threads": ("--threads", "4"),
    "unbuffered": ("--request-buffering", "off"),
}


@pytest.fixture(scope="module", params=MODES.values(), ids=MODES)
def kitchen(request, serve_all):
    return serve_all("kitchen", *request.param)


def counter(server, name):
    return server.json("/counters").get(name, 0)


def environ_of(server, method="GET", path="/", headers=(), body=None):
    return server.json("/headers" + path.removeprefix("/"), method=method, headers=headers, body=body)


# environ.


@pytest.mark.parametrize("mode", MODES)
def test_the_environ_is_complete(serve_all, mode):
    server = serve_all("info", *MODES[mode])
    info = server.json("/a%20b/%C3%A9?q=%201&r", headers=[("User-Agent", "tests"), ("X-Own", "value")])
    environ = info["environ"]
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\u00c3\u00a9",
        "QUERY_STRING": "q=%201&r",
        "RAW_URI": "/a%20b/%C3%A9?q=%201&r",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_NAME": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_USER_AGENT": "tests",
        "HTTP_X_OWN": "value",
        "HTTP_CONNECTION": "close",
        "wsgi.url_scheme": "http",
    }
    for name, value in expected.items():
        assert environ.get(name) == value, name
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["SERVER_SOFTWARE"].lower().startswith("daemun")
    types = info["types"]
    assert types["wsgi.version"] == "tuple"
    assert info["wsgi"]["wsgi.version"] == [1, 0]
    assert info["wsgi"]["wsgi.multithread"] is (mode == "threads")
    assert info["wsgi"]["wsgi.multiprocess"] is False
    assert info["wsgi"]["wsgi.run_once"] is False
    assert info["wsgi"]["wsgi.input_terminated"] is True
    for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.early_hints"):
        assert name in types
    assert "HTTP_CONTENT_LENGTH" not in environ and "HTTP_CONTENT_TYPE" not in environ


def test_the_environ_does_not_leak_the_environment(serve):
    info = serve("info", env={"SECRET_OF_THE_HOST": "1"}).json("/")
    assert "SECRET_OF_THE_HOST" not in info["environ"] and "PATH" not in info["environ"]
    assert info["env"]["SECRET_OF_THE_HOST"] == "1"


def test_multiprocess_is_told(serve):
    assert serve("info", "-w", "2").json("/")["wsgi"]["wsgi.multiprocess"] is True


def test_the_content_headers_have_no_prefix(kitchen):
    environ = environ_of(kitchen, "POST", headers=[("Content-Type", "text/x-test")], body=b"12345")
    assert environ["CONTENT_TYPE"] == "text/x-test"
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_CONTENT_TYPE" not in environ and "HTTP_CONTENT_LENGTH" not in environ


def test_a_chunked_request_never_has_a_wrong_length(kitchen):
    environ = environ_of(kitchen, "POST", headers=[("Transfer-Encoding", "chunked")], body=b"5\r\nhello\r\n0\r\n\r\n")
    assert environ.get("CONTENT_LENGTH") in (None, "5")


def test_header_bytes_are_latin_1_characters(kitchen):
    assert environ_of(kitchen, headers=[("X-Latin", "caf\u00e9 \u00ff")])["HTTP_X_LATIN"] == "caf\u00e9 \u00ff"


def test_headers_of_one_name_are_joined(kitchen):
    headers = [("X-Many", "1"), ("Cookie", "a=1"), ("x-many", "2"), ("cookie", "b=2"), ("X-Many", "3"), ("Cookie", "c=3")]
    environ = environ_of(kitchen, headers=headers)
    assert re.fullmatch("1, ?2, ?3", environ["HTTP_X_MANY"])
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"


def test_a_name_with_an_underscore_cannot_pose_as_another(kitchen):
    environ = environ_of(kitchen, headers=[("X_Forwarded_For", "evil"), ("X-Real", "1")])
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_REAL"] == "1"


def test_the_proxy_header_cannot_pose_as_the_variable(kitchen):
    assert environ_of(kitchen, headers=[("Proxy", "http://evil")]).get("HTTP_PROXY") in (None, "http://evil")


def test_an_empty_value_is_an_empty_string(kitchen):
    assert environ_of(kitchen, headers=[("X-Empty", "")])["HTTP_X_EMPTY"] == ""


def test_whitespace_round_a_value_is_no_part_of_it(kitchen):
    assert environ_of(kitchen, headers=[("X-Padded", " \t a b \t ")])["HTTP_X_PADDED"] == "a b"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/headers", "/headers", ""),
        ("/headers?", "/headers", ""),
        ("/headers??", "/headers", "?"),
        ("/%68eaders?a=%20", "/headers", "a=%20"),
        ("/headers?a=b?c=d", "/headers", "a=b?c=d"),
        ("/headers?x=\u00e9", "/headers", "x=\u00e9"),
    ],
)
def test_path_and_query_are_told_apart(kitchen, target, path, query):
    response = kitchen.get(target)
    assert response.status == 200, response
    environ = json.loads(response.body)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["RAW_URI"]) == (path, query, target)


@pytest.mark.parametrize("target", ["/%", "/%2", "/%zz", "/a%00b", "/%2e%2e/%2fx", "//double//slash", "/a/../b", "/;p=1"])
def test_odd_paths_do_no_harm(kitchen, target):
    assert kitchen.get(target).status in (200, 400, 404)
    assert kitchen.get("/hello").text == "Hello"


def test_a_percent_sign_that_encodes_nothing_stays(serve):
    response = serve("info").get("/100%/x")
    if response.status == 200:
        assert json.loads(response.body)["environ"]["PATH_INFO"] == "/100%/x"
    else:
        assert response.status == 400


def test_the_application_may_change_its_environ(kitchen):
    first = environ_of(kitchen)
    assert environ_of(kitchen, headers=[("X-Two", "2")])["HTTP_X_TWO"] == "2"
    assert "HTTP_X_TWO" not in environ_of(kitchen)
    assert first["REQUEST_METHOD"] == "GET"


# start_response, write() and the iterable.


def test_an_answer_of_one_piece_has_its_length(kitchen):
    response = kitchen.get("/hello")
    assert response["Content-Length"] == "5" and not response.chunked
    assert (response.status, response.reason) == (200, "OK")
    assert response["Content-Type"] == "text/plain"


def test_the_reason_phrase_is_the_applications(kitchen):
    response = kitchen.get("/status?line=299+Caf%C3%A9")
    assert (response.status, response.reason) == (299, "Caf\u00e9")
    assert kitchen.get("/status?line=218+This+is+fine").reason == "This is fine"


def test_headers_leave_as_they_were_given(kitchen):
    response = kitchen.get("/answer-headers")
    assert response["X-Latin"] == "caf\u00e9"
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert ("x-lower", "case") in response.headers


def test_write_and_the_iterable_come_in_order(kitchen):
    assert kitchen.get("/writes").text == "one two three four"
    assert counter(kitchen, "writes.closed") == counter(kitchen, "writes.opened")


def test_write_alone_is_enough(kitchen):
    assert kitchen.get("/only-writes").text == "abcdef"


def test_exc_info_before_the_first_byte_replaces_status_and_headers(kitchen):
    response = kitchen.get("/replaced")
    assert (response.status, response.text) == (503, "replaced")
    assert response["X-Second"] == "2"
    assert response["X-First"] is None and response["Set-Cookie"] is None
    assert response.all("Content-Type") == ["text/plain"]


def test_exc_info_after_the_first_byte_raises_in_the_application(kitchen):
    with kitchen.connect() as connection, pytest.raises(ClosedEarly):
        connection.request("GET", "/too-late").response()
    assert counter(kitchen, "too_late.reraised") >= 1
    assert counter(kitchen, "too_late.other") == 0


def test_start_response_twice_is_rejected(kitchen):
    assert kitchen.get("/twice").status == 500
    assert counter(kitchen, "twice.rejected") >= 1


def test_the_iterable_may_call_start_response(kitchen):
    response = kitchen.get("/lazy-start")
    assert (response.status, response["X-Lazy"], response.text) == (201, "yes", "lazy")


def test_no_start_response_is_500(kitchen):
    response = kitchen.get("/never-started")
    assert response.status == 500 and b"no status" not in response.body


def test_an_empty_iterable_is_an_empty_body(kitchen):
    response = kitchen.get("/empty-iterable")
    assert (response.status, response.body) == (200, b"")
    assert counter(kitchen, "empty.closed") == counter(kitchen, "empty.opened") > 0


def test_empty_pieces_do_not_end_the_body(kitchen):
    assert kitchen.get("/empty-pieces").text == "ab"


@pytest.mark.parametrize("page", ["gated", "gated-write"])
def test_each_piece_is_sent_at_once(kitchen, page):
    name = f"gate-{page}-{os.getpid()}-{time.monotonic_ns()}"
    with kitchen.connect() as connection:
        connection.request("GET", f"/{page}?gate={name}")
        assert connection.head().status == 200
        assert connection.chunk() == b"first"
        (kitchen.directory / name).touch()
        assert connection.chunk() == b"second"
        assert connection.chunk() == b""


@pytest.mark.parametrize("number", [204, 304])
def test_answers_without_a_body_have_none(kitchen, number):
    with kitchen.connect() as connection:
        response = connection.request("GET", f"/status?line={number}+Nothing&body=unwanted").response()
        assert response.status == number
        assert connection.request("GET", "/hello").response().text == "Hello"
    assert counter(kitchen, "status.closed") == counter(kitchen, "status.opened")


def test_204_has_no_content_length_even_if_the_application_says_so(kitchen):
    assert kitchen.get("/status?line=204+Nothing&length=0")["Content-Length"] is None


@pytest.mark.parametrize("number", ["100 Continue", "101 Switching Protocols", "102 Processing"])
def test_an_interim_status_is_no_answer(kitchen, number):
    with kitchen.connect() as connection:
        connection.request("GET", f"/status?line={number.replace(' ', '+')}&body=x")
        response = connection.head()
        assert response.status in (500, 101)
    assert kitchen.get("/hello").text == "Hello"


def test_head_has_no_body_and_closes_the_iterable(kitchen):
    before = counter(kitchen, "pieces.closed")
    with kitchen.connect() as connection:
        assert connection.request("HEAD", "/pieces?n=3&size=5").response("HEAD").status == 200
        assert connection.request("GET", "/hello").response().text == "Hello"
    until(lambda: counter(kitchen, "pieces.closed") == before + 1, "close() after HEAD")


# Content-Length on output.


def test_a_body_longer_than_its_length_is_cut(kitchen):
    for pieces in (1, 7, 100):
        with kitchen.connect() as connection:
            connection.request("GET", f"/length?said=5&n=20&piece={pieces}")
            assert connection.response().body == b"01234"
            try:
                connection.request("GET", "/hello")
                assert connection.response().text == "Hello"
            except (ClosedEarly, OSError):
                pass  # closing is right, too; sending more would not be


@pytest.mark.parametrize("piece", [3, 100])
def test_a_body_shorter_than_its_length_ends_the_connection(kitchen, piece):
    with kitchen.connect() as connection:
        connection.request("GET", f"/length?said=20&n=10&piece={piece}")
        with pytest.raises(ClosedEarly) as error:
            response = connection.response()
            assert response.status == 500
            raise ClosedEarly("500 in its place is fine")
        assert error.value.partial in (b"0123456789", b"")
    assert kitchen.get("/hello").text == "Hello"


def test_a_right_length_is_kept(kitchen):
    response = kitchen.get("/length?said=20&n=20&piece=3")
    assert response["Content-Length"] == "20" and response.body == b"01234567890123456789"


def test_hop_by_hop_headers_of_the_application_do_not_break_the_framing(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/hop").response()
        assert response.status == 500 or response.text == "hop"
        if response.status == 200:
            assert connection.request("GET", "/hello").response().text == "Hello"


# close().


@pytest.mark.parametrize(
    ("page", "name"),
    [("big?n=5", "big"), ("pieces?n=5&size=5", "pieces"), ("writes", "writes"), ("length?said=5&n=20", "length"),
     ("length?said=20&n=5", "length"), ("raises-in-first-piece", "raises_first"), ("raises-midway", "raises_midway"),
     ("raises-in-close", "raises_in_close"), ("status?line=204+x&body=y", "status")],
)
def test_the_iterable_is_closed_exactly_once(kitchen, page, name):
    opened, closed = counter(kitchen, f"{name}.opened"), counter(kitchen, f"{name}.closed")
    try:
        kitchen.get("/" + page)
    except ClosedEarly:
        pass
    until(lambda: counter(kitchen, f"{name}.closed") > closed, "close()", 5)
    time.sleep(0.05)
    assert counter(kitchen, f"{name}.opened") == opened + 1
    assert counter(kitchen, f"{name}.closed") == closed + 1


@pytest.mark.parametrize("page", ["endless", "ticking"])
def test_the_iterable_is_closed_when_the_client_goes(kitchen, page):
    closed = counter(kitchen, f"{page}.closed")
    with kitchen.connect() as connection:
        connection.request("GET", f"/{page}")
        assert connection.head().status == 200
        assert connection.chunk()
    until(lambda: counter(kitchen, f"{page}.closed") == closed + 1, "close() after the client went", 15)


# Failures of the application.


@pytest.mark.parametrize(
    ("page", "words"),
    [("raises", "the kitchen is on fire"), ("raises-after-start", "burnt after start"), ("raises-in-first-piece", "burnt in the first piece")],
)
def test_an_exception_before_the_first_byte_is_500_and_logged(kitchen, page, words):
    response = kitchen.get(f"/{page}")
    assert response.status == 500
    assert words not in response.text
    kitchen.wait_for_log(words)
    assert 'kitchen.py", line' in kitchen.log


@pytest.mark.parametrize("query", ["", "?length"])
def test_an_exception_midway_ends_the_connection_and_not_the_body(kitchen, query):
    with kitchen.connect() as connection:
        connection.request("GET", "/raises-midway" + query)
        with pytest.raises(ClosedEarly) as error:
            connection.response()
        assert error.value.partial in (b"half", b"")
    kitchen.wait_for_log("burnt midway")


def test_an_exception_in_close_is_logged_and_the_answer_is_whole(kitchen):
    try:
        assert kitchen.get("/raises-in-close").text == "fine"
    except ClosedEarly:
        pytest.fail("the answer was cut")
    kitchen.wait_for_log("burnt in close")


def test_system_exit_ends_the_request_not_the_worker(kitchen):
    assert kitchen.get("/raises-system-exit").status == 500
    assert kitchen.get("/hello").text == "Hello"


def bad_answers():
    import ast
    from pathlib import Path

    tree = ast.parse((Path(__file__).parent / "apps" / "kitchen.py").read_text())
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BAD")
    return [key.value for key in table.keys]


@pytest.mark.parametrize("what", bad_answers())
def test_a_wrong_answer_is_500_and_harms_nobody(kitchen, what):
    pid = kitchen.get("/pid").text
    with kitchen.connect() as connection:
        connection.request("GET", f"/bad?what={what}")
        response = connection.response()
        assert response.status == 500, response
        assert response["X-Injected"] is None and response["X-N"] is None
        assert b"X-Injected" not in response.body
    assert kitchen.get("/pid").text == pid, "the worker died"


def test_what_a_wrong_answer_was_stands_in_the_log(kitchen):
    kitchen.get("/bad?what=value_crlf")
    kitchen.wait_for_log(r"(?i)header")
    kitchen.get("/bad?what=status_word")
    kitchen.wait_for_log(r"(?i)status")


def test_wsgi_errors_is_the_error_log(kitchen):
    assert kitchen.get("/errors").text == "written"
    kitchen.wait_for_log("a line for the log")
    kitchen.wait_for_log("two pieces: caf")
    kitchen.wait_for_log("through print")


# What servers offer.


def test_early_hints_come_before_the_answer(kitchen):
    with kitchen.connect() as connection:
        connection.request("GET", "/hints")
        hint = connection.response(interim=True)
        assert hint.status == 103
        assert hint.all("Link") == ["</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script"]
        assert connection.response(interim=True).text == "hinted"
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_http_1_0_gets_no_early_hints(kitchen):
    with kitchen.connect() as connection:
        connection.send(b"GET /hints HTTP/1.0\r\n\r\n")
        response = connection.response(interim=True)
        assert (response.status, response.text) == (200, "hinted")


def test_early_hints_cannot_inject_headers(kitchen):
    with kitchen.connect() as connection:
        connection.request("GET", "/bad-hints")
        response = connection.response(interim=True)
        assert response["X-Injected"] is None
        assert response.status in (200, 500)


@pytest.fixture(scope="module")
def data():
    return bytes(range(256)) * 2000 + b"the end"


@pytest.mark.parametrize(
    ("query", "cut"),
    [
        ("", slice(0, None)),
        ("&block=1000", slice(0, None)),
        ("&seek=1000", slice(1000, None)),
        ("&seek=512007", slice(512007, None)),
        ("&length=1000", slice(0, 1000)),
        ("&seek=10&length=1000", slice(10, 1010)),
        ("&length=0", slice(0, 0)),
    ],
)
def test_the_file_wrapper_sends_the_file_from_where_it_stands(kitchen, data, query, cut):
    (kitchen.directory / "data.bin").write_bytes(data)
    response = kitchen.get(f"/file?name=data.bin{query}")
    assert response.body == data[cut]
    until(lambda: counter(kitchen, "file.closed") == counter(kitchen, "file.opened"), "the file to be closed")


def test_the_file_wrapper_tells_the_length_of_a_file(kitchen, data):
    (kitchen.directory / "data.bin").write_bytes(data)
    assert kitchen.get("/file?name=data.bin")["Content-Length"] == str(len(data))


def test_a_file_shorter_than_its_length_ends_the_connection(kitchen):
    (kitchen.directory / "short.bin").write_bytes(b"short")
    with kitchen.connect() as connection, pytest.raises(ClosedEarly):
        connection.request("GET", "/file?name=short.bin&length=100").response()
    assert kitchen.get("/hello").text == "Hello"


def test_head_of_a_file_has_no_body(kitchen, data):
    (kitchen.directory / "data.bin").write_bytes(data)
    with kitchen.connect() as connection:
        response = connection.request("HEAD", "/file?name=data.bin").response("HEAD")
        assert response["Content-Length"] in (None, str(len(data)))
        assert connection.request("GET", "/hello").response().text == "Hello"
    until(lambda: counter(kitchen, "file.closed") == counter(kitchen, "file.opened"), "the file to be closed")


def test_an_empty_file_is_an_empty_body(kitchen):
    (kitchen.directory / "empty.bin").write_bytes(b"")
    assert kitchen.get("/file?name=empty.bin").body == b""


def test_the_file_wrapper_takes_whatever_has_read(kitchen):
    before = counter(kitchen, "reader.closed")
    assert kitchen.get("/file-like").body == b"from a reader " * 10000
    assert kitchen.get("/bytes-io").body == b"in memory " * 10000
    assert counter(kitchen, "reader.closed") == before + 1


def test_the_file_wrapper_is_an_iterable_for_middleware(kitchen):
    (kitchen.directory / "data.bin").write_bytes(b"x" * 2500)
    assert kitchen.get("/iterate-wrapper?name=data.bin").text == "1000 2500 True"


def test_without_sendfile_files_are_the_same(serve, data):
    server = serve("kitchen", "--no-sendfile")
    (server.directory / "data.bin").write_bytes(data)
    assert server.get("/file?name=data.bin").body == data


# The standard library's opinion.


@pytest.mark.parametrize("mode", MODES)
def test_wsgiref_validate_runs_clean(serve_all, mode):
    server = serve_all("validated", *MODES[mode])
    for method, path, body in [
        ("GET", "/hello", None), ("GET", "/hello?a=b", None), ("HEAD", "/hello", None), ("POST", "/length", b"x" * 100),
        ("POST", "/length", b"x" * 100_000), ("GET", "/pieces", None), ("GET", "/writes", None), ("GET", "/errors", None),
        ("GET", "/nothing", None), ("GET", "/flask/", None), ("POST", "/flask/echo", b"flask"), ("GET", "/flask/countdown", None),
        ("GET", "/%C3%A9%20x", None), ("PUT", "/length", b""), ("GET", "/lines", b"a\nb\nc"), ("GET", "/file", None),
    ]:
        with server.connect() as connection:
            response = connection.request(method, path, [("Connection", "close"), ("Cookie", "a=1")], body).response(method)
        assert response.status in (200, 204), f"{method} {path}: {response}\n{server.log}"
    assert "AssertionError" not in server.log
    assert "garbage collected without being closed" not in server.log
