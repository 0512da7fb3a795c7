"""ASGI: the scope of an HTTP request, key by key, and which applications are taken for ASGI."""

import ast
import socket

import pytest
from harness import Connection
from test_asgi_messages import LOOPS


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("asgi_scope")


def scope_of(server, target="/", headers=(), method="GET", body=None, version="HTTP/1.1"):
    with server.connect() as connection:
        return ask(connection, target, headers, method, body, version)


def ask(connection, target="/", headers=(), method="GET", body=None, version="HTTP/1.1"):
    response = connection.request(method, target, headers, body, version).response(method)
    assert response.status == 200, response
    return ast.literal_eval(response.body.decode())


@pytest.mark.parametrize("loop", LOOPS)
def test_every_key_has_its_type_and_value(serve, loop):
    server = serve("asgi_scope", *LOOPS[loop])
    with server.connect() as connection:
        scope = ask(connection, "/a%20b/%C3%A9?q=%201&r", [("User-Agent", "tests"), ("X-Own", "value")])
        host, port = connection.socket.getsockname()
    types = scope.pop("types")
    headers, extensions = scope.pop("headers"), scope.pop("extensions")
    client, listening, asgi = scope.pop("client"), scope.pop("server"), scope.pop("asgi")
    scope.pop("has state")
    assert scope == {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/a b/\u00e9",
        "raw_path": b"/a%20b/%C3%A9", "query_string": b"q=%201&r", "root_path": "",
    }
    assert (types["path"], types["raw_path"], types["query_string"], types["root_path"]) == ("str", "bytes", "bytes", "str")
    assert types["type"] == types["http_version"] == types["method"] == types["scheme"] == "str"
    assert types["extensions"] == types["asgi"] == "dict"
    assert asgi["version"] == "3.0"
    assert tuple(map(int, asgi["spec_version"].split("."))) >= (2, 5)
    assert list(client) == [host, port]
    assert list(listening) == ["127.0.0.1", server.port]
    assert headers == [(b"host", b"localhost"), (b"user-agent", b"tests"), (b"x-own", b"value")]
    assert {"http.response.trailers", "http.response.pathsend", "http.response.zerocopysend", "http.response.early_hint"} <= set(extensions)


def test_the_scope_is_a_dict_and_nothing_in_it_is_shared(serve_all):
    server = serve_all("asgi_kitchen")
    with server.connect() as connection:
        for _ in range(3):
            assert connection.request("GET", "/change-scope").response().body == b"1"


def test_http_2_push_and_tls_are_not_announced(server):
    extensions = scope_of(server)["extensions"]
    assert "http.response.push" not in extensions
    assert "tls" not in extensions
    assert "websocket.http.response" not in extensions, "that one is for WebSockets"


def test_http_1_0_is_told(server):
    assert scope_of(server, version="HTTP/1.0")["http_version"] == "1.0"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"])
def test_the_method_is_what_the_client_said(server, method):
    assert scope_of(server, method=method)["method"] == method


def test_a_method_is_upper_case(server):
    with server.connect() as connection:
        response = connection.request("get").response()
        assert response.status in (400, 405, 501) or ast.literal_eval(response.body.decode())["method"] == "GET"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", b""),
        ("/?", "/", b""),
        ("/??", "/", b"?"),
        ("/a?b?c", "/a", b"b?c"),
        ("/%61?%61", "/a", b"%61"),
        ("/a?x=\u00e9", "/a", b"x=\xe9"),
        ("/a+b", "/a+b", b""),
        ("/a%2Fb", "/a/b", b""),
        ("/%E2%82%AC%20x", "/\u20ac x", b""),
        ("/%C3%A9%FF", "/\u00e9\ufffd", b""),  # what is no UTF-8 is replaced, as Uvicorn does
        ("/100%", "/100%", b""),
        ("/%zz%4", "/%zz%4", b""),
        ("//double//slash", "//double//slash", b""),
        ("/a/../b/./c", "/a/../b/./c", b""),
        ("/%2e%2e/x", "/../x", b""),
        ("/;p=1,2", "/;p=1,2", b""),
        ("/a%00b", "/a\0b", b""),
    ],
)
def test_path_raw_path_and_query_string(server, target, path, query):
    scope = scope_of(server, target)
    assert scope["path"] == path
    assert scope["raw_path"] == target.encode("latin-1").partition(b"?")[0]
    assert scope["query_string"] == query


def test_bytes_beyond_ascii_in_a_target_are_utf_8(server):
    with server.connect() as connection:
        response = connection.send("GET /caf\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n".encode()).response()
    if response.status == 200:
        scope = ast.literal_eval(response.body.decode())
        assert (scope["path"], scope["raw_path"]) == ("/caf\u00e9", "/caf\u00e9".encode())
    else:
        assert response.status == 400


def test_an_absolute_target_is_taken_apart(server):
    scope = scope_of(server, "http://example.org:81/p%20q?r=1", [("Host", "other")])
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/p q", b"/p%20q", b"r=1")
    assert (b"host", b"example.org:81") in scope["headers"], "RFC 9112, 3.2.2: the target's host counts"
    assert (b"host", b"other") not in scope["headers"]


def test_an_absolute_target_without_a_path_is_the_root(server):
    scope = scope_of(server, "http://example.org", [("Host", "example.org")])
    assert (scope["path"], scope["query_string"]) == ("/", b"")


def test_options_of_the_server_itself(server):
    scope = scope_of(server, "*", method="OPTIONS")
    assert scope["raw_path"] == b"*" and scope["path"] in ("*", "")


# Headers.


def test_header_names_are_lower_case_and_values_are_bytes(server):
    headers = scope_of(server, headers=[("X-MiXed", "Value"), ("X-Latin", "caf\u00e9 \u00ff"), ("X-Empty", ""), ("X-Padded", " \t a b \t ")])["headers"]
    assert headers[1:] == [(b"x-mixed", b"Value"), (b"x-latin", b"caf\xe9 \xff"), (b"x-empty", b""), (b"x-padded", b"a b")]
    assert all(type(part) is bytes for pair in headers for part in pair)


def test_repeated_headers_stay_apart_and_in_order(server):
    sent = [("X-Many", "1"), ("Cookie", "a=1"), ("x-many", "2"), ("Cookie", "b=2"), ("X-Other", "o"), ("X-MANY", "3")]
    headers = scope_of(server, headers=sent)["headers"]
    assert headers[1:] == [(name.lower().encode(), value.encode()) for name, value in sent]


def test_many_headers_come_whole(server):
    sent = [(f"X-Number-{number}", str(number) * 20) for number in range(90)]
    headers = scope_of(server, headers=sent)["headers"]
    assert headers[1:] == [(name.lower().encode(), value.encode()) for name, value in sent]


def test_what_frames_the_body_is_there_too(server):
    headers = scope_of(server, method="POST", headers=[("Content-Type", "text/x-test")], body=b"12345")["headers"]
    assert (b"content-length", b"5") in headers and (b"content-type", b"text/x-test") in headers
    with server.connect() as connection:
        connection.request("POST", "/", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n")
        headers = ast.literal_eval(connection.response().body.decode())["headers"]
    assert not [name for name, _ in headers if name == b"content-length"], "a chunked request has no length"


def test_requests_of_one_connection_have_scopes_of_their_own(server):
    with server.connect() as connection:
        first = ask(connection, "/one?1", [("X-One", "1")])
        second = ask(connection, "/two")
    assert (first["path"], second["path"]) == ("/one", "/two")
    assert second["query_string"] == b"" and second["headers"] == [(b"host", b"localhost")]
    assert first["client"] == second["client"]


# Addresses.


def test_on_a_unix_socket_there_is_no_client_and_the_server_is_a_path(serve, tmp_path):
    path = tmp_path / "web.sock"
    serve("asgi_scope", bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        scope = ask(connection)
    assert scope.get("client") is None
    assert list(scope["server"]) == [str(path), None]


def test_ipv6_addresses_have_no_brackets(serve):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    server = serve("asgi_scope", bind="[::1]:0")
    with Connection(("::1", server.port)) as connection:
        scope = ask(connection)
        port = connection.socket.getsockname()[1]
    assert list(scope["client"]) == ["::1", port]
    assert list(scope["server"]) == ["::1", server.port]


def test_the_root_path_is_a_prefix_of_the_path(serve):
    """As Uvicorn: a proxy has stripped it, and the path has it again."""
    scope = scope_of(serve("asgi_scope", "--root-path", "/mount"), "/a%20b?c")
    assert (scope["root_path"], scope["path"]) == ("/mount", "/mount/a b")
    assert scope["query_string"] == b"c"


# State.


def test_each_request_has_a_shallow_copy_of_the_state(serve):
    server = serve("asgi_kitchen")
    for number in range(1, 4):
        seen = server.json("/state")
        assert seen == {"before": {"own": "from the lifespan"}, "shared": number}


# Which interface.


@pytest.mark.parametrize(
    ("name", "answer"),
    [("coroutine", "asgi"), ("instance", "asgi"), ("bound", "asgi"), ("Methods.class_method", "asgi"), ("Methods.static_method", "asgi"),
     ("partially", "asgi"), ("make()", "asgi"), ("make('wsgi')", "wsgi"), ("wsgi", "wsgi"), ("wsgi_instance", "wsgi")],
)
def test_the_interface_is_seen_from_the_application(serve, name, answer):
    assert serve(f"asgi_scope:{name}").get("/").text == answer


@pytest.mark.parametrize(("name", "interface"), [("returns_a_coroutine", "asgi"), ("coroutine", "asgi"), ("wsgi", "wsgi")])
def test_the_interface_may_be_told(serve, name, interface):
    assert serve(f"asgi_scope:{name}", "--interface", interface).get("/").text == interface
