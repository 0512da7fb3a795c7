"""What a trusted proxy says of the client: X-Forwarded-* and Forwarded, for WSGI and ASGI alike.

A peer that is not trusted is one that comes from 127.0.0.2.
"""

import ast
import json
import socket

import pytest
from harness import Connection, run
from test_websocket import handshake

APPS = {"wsgi": "info", "asgi": "asgi_scope"}


class Peer(Connection):
    """A connection from an address of our choice."""

    def __init__(self, server, source="127.0.0.1", timeout=20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout, (source, 0))
        self.buffer, self.received = b"", 0


def ask(kind, connection, headers=()):
    """(client's host, client's port, scheme, Host) as the application sees them."""
    response = connection.request("GET", "/", [("Host", "own.example"), *headers]).response()
    assert response.status == 200, response
    if kind == "wsgi":
        environ = json.loads(response.body)["environ"]
        return environ["REMOTE_ADDR"], environ.get("REMOTE_PORT"), environ["wsgi.url_scheme"], environ["HTTP_HOST"]
    scope = ast.literal_eval(response.body.decode())
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    assert len(hosts) == 1
    host, port = scope["client"] or (None, None)
    assert port is None or type(port) is int
    return host, port, scope["scheme"], hosts[0]


@pytest.fixture(scope="module", params=APPS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def server(serve_all, kind):
    return serve_all(APPS[kind])


def seen(kind, server, headers, source="127.0.0.1"):
    with Peer(server, source) as connection:
        return ask(kind, connection, headers)


def client(kind, server, value, source="127.0.0.1"):
    return seen(kind, server, [("X-Forwarded-For", value)], source)[0]


# A trusted peer.


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.1", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6,203.0.113.7,127.0.0.1,::1", "203.0.113.7"),
        ("  203.0.113.7  ", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_that_is_not_trusted(kind, server, value, host):
    assert client(kind, server, value) == host


@pytest.mark.parametrize("value", ["", ",", "unknown", "_hidden", "not an address", "<script>", "999.1.1.1", "203.0.113.7\t;x", "a" * 3000])
def test_what_is_no_address_is_not_taken_for_one(kind, server, value):
    assert client(kind, server, value) == "127.0.0.1"


def test_what_stands_left_of_nonsense_is_not_believed(kind, server):
    assert client(kind, server, "203.0.113.7, nonsense") in ("127.0.0.1",)


def test_several_lines_are_one_list(kind, server):
    headers = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "127.0.0.1")]
    assert seen(kind, server, headers)[0] == "203.0.113.7"


@pytest.mark.parametrize(("value", "scheme"), [("https", "https"), ("http", "http"), ("HTTPS", "https"), ("gopher", "http"), ("", "http"), ("javascript", "http")])
def test_the_scheme(kind, server, value, scheme):
    assert seen(kind, server, [("X-Forwarded-Proto", value)])[2] == scheme


def test_the_host(kind, server):
    assert seen(kind, server, [("X-Forwarded-Host", "public.example")])[3] == "public.example"
    assert seen(kind, server, [("X-Forwarded-Host", "public.example:8443")])[3] == "public.example:8443"


@pytest.mark.parametrize("value", ["", "a b", "evil\\example", "<script>", "a/b", "user@host"])
def test_what_is_no_host_is_not_taken_for_one(kind, server, value):
    assert seen(kind, server, [("X-Forwarded-Host", value)])[3] == "own.example"


def test_all_together(kind, server):
    headers = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example")]
    host, _, scheme, own = seen(kind, server, headers)
    assert (host, scheme, own) == ("203.0.113.7", "https", "public.example")


def test_without_them_all_is_the_connections(kind, server):
    with Peer(server) as connection:
        port = connection.socket.getsockname()[1]
        host, told, scheme, own = ask(kind, connection)
    assert (host, str(told), scheme, own) == ("127.0.0.1", str(port), "http", "own.example")


def test_one_request_does_not_colour_the_next(kind, server):
    with Peer(server) as connection:
        first = ask(kind, connection, [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example")])
        second = ask(kind, connection)
        third = ask(kind, connection, [("X-Forwarded-For", "203.0.113.8")])
    assert (first[0], first[2], first[3]) == ("203.0.113.7", "https", "public.example")
    assert (second[0], second[2], second[3]) == ("127.0.0.1", "http", "own.example")
    assert (third[0], third[2], third[3]) == ("203.0.113.8", "http", "own.example")


# Forwarded (RFC 7239).


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.7", ("203.0.113.7", "http", "own.example")),
        ("For=203.0.113.7;Proto=https;by=203.0.113.43;Host=public.example", ("203.0.113.7", "https", "public.example")),
        ('for="203.0.113.7:4711"', ("203.0.113.7", "http", "own.example")),
        ('for="[2001:db8::1]:4711"; proto=https', ("2001:db8::1", "https", "own.example")),
        ("for=6.6.6.6, for=203.0.113.7, for=127.0.0.1", ("203.0.113.7", "http", "own.example")),
        ("for=unknown", ("127.0.0.1", "http", "own.example")),
        ("for=_hidden;proto=https", ("127.0.0.1", "https", "own.example")),
        ('for="broken', ("127.0.0.1", "http", "own.example")),
        (";;,=", ("127.0.0.1", "http", "own.example")),
    ],
)
def test_the_header_of_the_standard(kind, server, value, expected):
    host, _, scheme, own = seen(kind, server, [("Forwarded", value)])
    assert (host, scheme, own) == expected


# Trust.


EVERYTHING = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
              ("Forwarded", "for=203.0.113.8;proto=https;host=evil.example")]


def test_another_peer_is_not_believed(kind, server):
    host, _, scheme, own = seen(kind, server, EVERYTHING, source="127.0.0.2")
    assert (host, scheme, own) == ("127.0.0.2", "http", "own.example")


def test_nobody_is_believed_if_so_told(serve, kind):
    server = serve(APPS[kind], "--no-proxy-headers")
    host, _, scheme, own = seen(kind, server, EVERYTHING)
    assert (host, scheme, own) == ("127.0.0.1", "http", "own.example")


def test_addresses_and_networks_may_be_trusted(serve, kind):
    server = serve(APPS[kind], "--forwarded-allow-ips", "127.0.0.2,10.0.0.0/8,2001:db8::/32")
    assert client(kind, server, "203.0.113.7", source="127.0.0.2") == "203.0.113.7"
    assert client(kind, server, "203.0.113.7") == "127.0.0.1", "no longer trusted"
    assert client(kind, server, "203.0.113.7, 10.1.2.3, 2001:db8::9", source="127.0.0.2") == "203.0.113.7"
    assert client(kind, server, "10.0.0.1, 10.1.2.3", source="127.0.0.2") == "10.0.0.1", "when all are trusted, the first"
    assert client(kind, server, "203.0.113.7, 11.0.0.1", source="127.0.0.2") == "11.0.0.1"


def test_a_network_of_peers_may_be_trusted(serve, kind):
    server = serve(APPS[kind], "--forwarded-allow-ips", "127.0.0.0/8")
    assert client(kind, server, "203.0.113.7", source="127.0.0.9") == "203.0.113.7"


def test_everybody_may_be_trusted(serve, kind):
    server = serve(APPS[kind], "--forwarded-allow-ips", "*")
    for source in ("127.0.0.1", "127.0.0.2"):
        host, _, scheme, _ = seen(kind, server, [("X-Forwarded-For", "203.0.113.7, 198.51.100.1"), ("X-Forwarded-Proto", "https")], source)
        assert (host, scheme) == ("203.0.113.7", "https")


def test_an_empty_list_is_nobody(serve, kind):
    server = serve(APPS[kind], "--forwarded-allow-ips", "")
    assert client(kind, server, "203.0.113.7") == "127.0.0.1"


def test_the_list_may_come_from_the_environment(serve, kind):
    server = serve(APPS[kind], env={"FORWARDED_ALLOW_IPS": "127.0.0.2"})
    assert client(kind, server, "203.0.113.7", source="127.0.0.2") == "203.0.113.7"
    assert client(kind, server, "203.0.113.7") == "127.0.0.1"


def test_what_is_no_address_in_the_list_is_refused():
    result = run("info", "--check-config", "--forwarded-allow-ips", "127.0.0.1,nonsense/99")
    assert result.returncode != 0 and "nonsense/99" in result.stderr


def test_a_unix_socket_is_a_trusted_peer(serve, kind, tmp_path):
    """Only who may write to the socket can speak there: as under Gunicorn."""
    path = tmp_path / "web.sock"
    serve(APPS[kind], bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        host, _, scheme, own = ask(kind, connection, [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example")])
    assert (host, scheme, own) == ("203.0.113.7", "https", "public.example")


def test_a_unix_socket_without_a_word_has_no_client(serve, kind, tmp_path):
    path = tmp_path / "web.sock"
    serve(APPS[kind], bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        host, _, scheme, _ = ask(kind, connection)
    assert host in ("", None) and scheme == "http"


# WebSockets.


def test_a_websocket_behind_a_proxy_is_wss(serve):
    server = serve("asgi_scope")
    with Peer(server) as connection:
        connection.send(handshake("/", [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")]))
        assert connection.head().status == 101
        first, second = connection.read(2)
        size = int.from_bytes(connection.read(2), "big") if second == 126 else second
        scope = ast.literal_eval(connection.read(size).decode())
    assert (scope["scheme"], scope["client"][0]) == ("wss", "203.0.113.7")
