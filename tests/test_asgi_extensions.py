"""ASGI's extensions: trailers, files by path and by descriptor, early hints. On both event loops."""

import contextlib
import os
import time

import pytest
from harness import ClosedEarly, until
from test_asgi_messages import LOOPS, events

DATA = bytes(range(256)) * 2000 + b"the end"


@pytest.fixture(scope="module", params=LOOPS.values(), ids=LOOPS)
def kitchen(request, serve_all):
    server = serve_all("asgi_kitchen", *request.param)
    (server.directory / "data.bin").write_bytes(DATA)
    (server.directory / "empty.bin").write_bytes(b"")
    (server.directory / "large.bin").write_bytes(os.urandom(1 << 20) * 24)
    return server


def test_they_are_announced(kitchen):
    announced = set(kitchen.json("/extensions"))
    assert announced >= {"http.response.trailers", "http.response.pathsend", "http.response.zerocopysend", "http.response.early_hint"}


# http.response.trailers.


@pytest.mark.parametrize("query", ["", "?two"])
def test_trailers_follow_the_body_of_a_client_that_wants_them(kitchen, query):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/trailers" + query, [("TE", "trailers"), ("Connection", "TE")]).response()
        assert response.text == "with trailers" and response["Trailer"] == "x-digest, x-more"
        assert [(name.lower(), value) for name, value in response.trailers] == [("x-digest", "abc"), ("x-more", "def")]
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize("te", [[("TE", "gzip, Trailers;q=0.5"), ("Connection", "TE")], [("te", "gzip"), ("TE", "trailers"), ("Connection", "TE")]])
def test_trailers_are_found_in_a_list(kitchen, te):
    response = kitchen.get("/trailers", headers=te)
    assert [value for _, value in response.trailers] == ["abc", "def"]


def test_other_clients_get_the_body_alone(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/trailers").response()
        assert (response.text, response.trailers) == ("with trailers", [])
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_http_1_0_gets_no_trailers(kitchen):
    with kitchen.connect() as connection:
        assert connection.send(b"GET /trailers HTTP/1.0\r\nTE: trailers\r\n\r\n").response().text == "with trailers"


def test_head_gets_no_trailers(kitchen):
    with kitchen.connect() as connection:
        connection.request("HEAD", "/trailers", [("TE", "trailers"), ("Connection", "TE")]).response("HEAD")
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_trailers_cannot_inject_anything(kitchen):
    response = kitchen.get("/bad-trailers", headers=[("TE", "trailers")])
    assert response.text == "body"
    assert dict(response.trailers) == {"x-digest": "right"}
    assert set(events(kitchen, "bad-trailers")) <= {"ValueError", "RuntimeError", "TypeError"}


def test_trailers_that_never_come_do_not_hang(kitchen):
    with kitchen.connect() as connection:
        connection.request("GET", "/no-trailers", [("TE", "trailers"), ("Connection", "TE")])
        try:
            assert connection.response().text == "body"
        except ClosedEarly as error:
            assert error.partial == b"body"
    assert kitchen.get("/hello").text == "Hello"


# http.response.pathsend.


@pytest.mark.parametrize("name", ["data.bin", "empty.bin", "large.bin"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "no-length"])
def test_a_file_by_its_path(kitchen, name, length):
    data = (kitchen.directory / name).read_bytes()
    with kitchen.connect() as connection:
        response = connection.request("GET", f"/path-send?name={name}" + (f"&length={len(data)}" if length else "")).response()
        assert response.status == 200 and response.body == data
        if length:
            assert response["Content-Length"] == str(len(data))
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_a_file_by_its_path_to_http_1_0(kitchen):
    with kitchen.connect() as connection:
        response = connection.send(b"GET /path-send?name=data.bin HTTP/1.0\r\n\r\n").response()
        assert response.body == DATA and not response.chunked


def test_the_status_of_a_file_is_the_applications(kitchen):
    response = kitchen.get(f"/path-send?name=data.bin&status=404&length={len(DATA)}")
    assert (response.status, response.body) == (404, DATA)


def test_head_of_a_file(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("HEAD", f"/path-send?name=data.bin&length={len(DATA)}").response("HEAD")
        assert (response.status, response["Content-Length"]) == (200, str(len(DATA)))
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_a_file_that_is_not_there_raises_in_the_application(kitchen):
    before = len(events(kitchen, "path-send"))
    assert kitchen.get("/path-send?name=absent.bin&length=5").status == 500
    assert events(kitchen, "path-send")[before] == "OSError"
    kitchen.wait_for_log("absent.bin")


@pytest.mark.parametrize("what", ["bytes", "none", "nul", "directory"])
def test_what_is_no_path_is_500(kitchen, what):
    assert kitchen.get(f"/bad-path-send?what={what}").status == 500


def test_a_file_shorter_than_its_length_ends_the_connection(kitchen):
    with kitchen.connect() as connection:
        try:
            assert connection.request("GET", f"/path-send?name=data.bin&length={len(DATA) + 10}").response().status == 500
        except ClosedEarly as error:
            assert error.partial in (DATA, b"")
    assert kitchen.get("/hello").text == "Hello"


def test_a_file_longer_than_its_length_is_cut(kitchen):
    with kitchen.connect() as connection:
        try:
            response = connection.request("GET", "/path-send?name=data.bin&length=100").response()
        except ClosedEarly as error:
            assert DATA[:100].startswith(error.partial)
        else:
            assert response.status == 500 or response.body == DATA[:100]


def test_a_path_after_a_part_of_the_body_is_refused(kitchen):
    with kitchen.connect() as connection, pytest.raises(ClosedEarly):
        connection.request("GET", "/path-after-body").response()
    assert kitchen.get("/hello").text == "Hello"


def test_a_slow_reader_of_a_file(kitchen):
    data = (kitchen.directory / "large.bin").read_bytes()
    with kitchen.connect() as connection:
        connection.request("GET", f"/path-send?name=large.bin&length={len(data)}")
        time.sleep(0.5)
        assert kitchen.get("/hello").text == "Hello", "others do not wait"
        assert connection.response().body == data


def test_a_client_that_leaves_a_file_midway_does_no_harm(kitchen):
    for _ in range(3):
        with kitchen.connect() as connection:
            connection.request("GET", "/path-send?name=large.bin")
            connection.head()
    assert kitchen.get("/hello").text == "Hello"


# http.response.zerocopysend.


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", DATA),
        ("&offset=0", DATA),
        ("&offset=1000", DATA[1000:]),
        ("&count=0", b""),
        ("&count=1000", DATA[:1000]),
        ("&offset=10&count=20", DATA[10:30]),
        ("&seek=1000", DATA[1000:]),
        ("&seek=1000&count=5", DATA[1000:1005]),
        ("&seek=1000&offset=5", DATA[5:]),
        (f"&offset={len(DATA)}", b""),
        ("&before=head-", b"head-" + DATA),
        ("&before=head-&offset=1&count=2&after=-tail", b"head-" + DATA[1:3] + b"-tail"),
        ("&after=-tail", DATA + b"-tail"),
        ("&number", DATA),
    ],
    ids=lambda value: (value.replace("&", " ").strip() or "whole") if isinstance(value, str) else "",
)
def test_a_file_by_its_descriptor(kitchen, query, expected):
    with kitchen.connect() as connection:
        assert connection.request("GET", f"/zero-copy?name=data.bin{query}").response().body == expected
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_a_count_beyond_the_end_gives_what_there_is_or_breaks(kitchen):
    with kitchen.connect() as connection:
        try:
            response = connection.request("GET", f"/zero-copy?name=data.bin&count={len(DATA) + 10}").response()
            assert response.status == 500 or response.body == DATA
        except ClosedEarly:
            pass
    assert kitchen.get("/hello").text == "Hello"


def test_parts_of_a_file_in_any_order(kitchen):
    assert kitchen.get("/zero-copy-twice").body == DATA[100:150] + DATA[:50]


@pytest.mark.parametrize("query", ["", "&after=-tail"])
def test_the_application_may_close_its_file_when_send_returns(kitchen, query):
    data = (kitchen.directory / "large.bin").read_bytes() + (b"-tail" if query else b"")
    with kitchen.connect() as connection:
        connection.request("GET", f"/zero-copy?name=large.bin{query}")
        time.sleep(0.3)
        assert connection.response().body == data


def test_a_descriptor_to_http_1_0_and_to_head(kitchen):
    with kitchen.connect() as connection:
        assert connection.send(b"GET /zero-copy?name=data.bin HTTP/1.0\r\n\r\n").response().body == DATA
    with kitchen.connect() as connection:
        connection.request("HEAD", "/zero-copy?name=data.bin").response("HEAD")
        assert connection.request("GET", "/hello").response().text == "Hello"


@pytest.mark.parametrize("what", ["memory", "none", "offset", "count", "text"])
def test_what_is_no_file_is_500(kitchen, what):
    assert kitchen.get(f"/bad-zero-copy?what={what}").status == 500


def test_descriptors_do_not_leak(kitchen):
    def count():
        return len(os.listdir(f"/proc/{kitchen.workers()[0]}/fd"))

    kitchen.get("/hello")
    before = count()
    for _ in range(20):
        kitchen.get("/path-send?name=data.bin")
        kitchen.get("/zero-copy?name=data.bin")
        with contextlib.suppress(ClosedEarly):
            kitchen.get("/path-send?name=data.bin&length=10")
        with kitchen.connect() as connection:
            connection.request("GET", "/path-send?name=large.bin").head()
    until(lambda: count() <= before + 3, "the descriptors to be closed")


# http.response.early_hint.


def test_early_hints_come_before_the_answer(kitchen):
    with kitchen.connect() as connection:
        connection.request("GET", "/hints")
        hint = connection.response(interim=True)
        assert hint.status == 103
        links = hint.all("Link")
        hint = connection.response(interim=True)
        while hint.status == 103:
            links += hint.all("Link")
            hint = connection.response(interim=True)
        assert links == ["</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script", "</more.css>; rel=preload"]
        assert (hint.status, hint.text) == (200, "hinted")
        assert connection.request("GET", "/hello").response().text == "Hello"


def test_http_1_0_gets_no_early_hints(kitchen):
    with kitchen.connect() as connection:
        response = connection.send(b"GET /hints HTTP/1.0\r\n\r\n").response(interim=True)
        assert (response.status, response.text) == (200, "hinted")


def test_early_hints_cannot_inject_headers(kitchen):
    with kitchen.connect() as connection:
        response = connection.request("GET", "/bad-hints").response(interim=True)
        assert (response.status, response["X-Injected"], response.text) == (200, None, "hinted")
    assert set(events(kitchen, "bad-hints")) == {"raised"}


# http.response.debug.


def test_debug_is_not_announced_or_has_no_effect(kitchen):
    """It is for test clients: servers should not implement it."""
    assert kitchen.get("/debug").text == "debugged"
