"""WebSockets and other upgrades through a proxy: configured as every nginx.conf has it, and without (`proxy_upgrade auto`)."""

import contextlib
import threading

import pytest
from front import NGINX, Front, daemun, node, uvicorn
from harness import Connection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

CONTENT = """
map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
server {{
    listen 127.0.0.1:{{port}};
    location /usual/ {{
        proxy_pass http://127.0.0.1:{port}/;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }}
    location /sample/ {{
        proxy_pass http://127.0.0.1:{port}/; proxy_http_version 1.1; proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade"; proxy_redirect off; proxy_read_timeout 300;
    }}
    location /unbuffered/ {{ proxy_buffering off; proxy_pass http://127.0.0.1:{port}/; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }}
    location /without/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_http_version 1.1; proxy_set_header Connection close; }}
    location /short/ {{ proxy_read_timeout 1s; proxy_pass http://127.0.0.1:{port}/; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }}
    {more}
}}
"""
AUTO = "location /auto/ {{ proxy_upgrade auto; proxy_pass http://127.0.0.1:{port}/; }}"
BACKENDS = {"uvicorn": uvicorn, "workers": lambda directory: daemun(directory, "behind:asgi")}


@pytest.fixture(scope="module", params=BACKENDS)
def front(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sockets")
    with BACKENDS[request.param](directory / "backend") as backend:
        with Front(directory / "front", CONTENT.format(port=backend.port, more=AUTO.format(port=backend.port))) as front:
            yield front


@contextlib.contextmanager
def socket(front, place, **options):
    with connect(f"ws://127.0.0.1:{front.port}{place}/ws", open_timeout=20, max_size=None, **options) as ws:
        yield ws


PLACES = ("/usual", "/sample", "/unbuffered", "/auto")


@pytest.mark.parametrize("place", PLACES)
def test_messages_come_back(front, place):
    with socket(front, place) as ws:
        for message in ("hello", "", "K\u00e4se \U0001f375", b"\0\xff", "x" * 100, b"y" * 70_000, "z" * 1_000_000):
            ws.send(message)
            assert ws.recv(20) == message
        assert ws.ping().wait(10)


@pytest.mark.parametrize("place", PLACES)
def test_how_a_server_closes(front, place):
    with socket(front, place) as ws:
        ws.send("close")
        with pytest.raises(ConnectionClosed) as error:
            ws.recv(20)
        assert error.value.rcvd.code == 4321


@pytest.mark.parametrize("place", PLACES)
def test_how_a_client_closes(front, place):
    with socket(front, place) as ws:
        ws.send("one")
        assert ws.recv(20) == "one"
        ws.close(1000, "bye")
        assert ws.close_code == 1000


@pytest.mark.parametrize("place", PLACES)
def test_pages_beside_them(front, place):
    assert front.get(f"{place}/info").status == 200


def test_without_the_lines_there_is_no_socket(front):
    with pytest.raises(InvalidStatus) as error, socket(front, "/without"):
        pass
    assert error.value.response.status_code >= 200


def test_a_silent_one_is_closed(front):
    with socket(front, "/short", ping_interval=None) as ws, pytest.raises(ConnectionClosed):
        ws.recv(20)


def test_many_at_once(front):
    failures = []

    def talk(number):
        try:
            with socket(front, PLACES[number % len(PLACES)]) as ws:
                for one in range(20):
                    ws.send(f"{number}.{one}")
                    assert ws.recv(20) == f"{number}.{one}"
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]


@pytest.mark.parametrize("program", ["daemun", "nginx"])
def test_any_protocol_is_passed(tmp_path, program):
    """Node echoes raw bytes after 101: what comes with the request, large pieces, an end in one direction."""
    options = {}
    if program == "nginx":
        if NGINX is None:
            pytest.skip("there is no nginx")
        options = {"program": NGINX}
    with node(tmp_path / "backend") as backend, Front(tmp_path / "front", CONTENT.format(port=backend.port, more=""), **options) as front:
        with Connection(("127.0.0.1", front.port)) as connection:
            connection.send("GET /usual/raw HTTP/1.1\r\nHost: a\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\nfirst")
            head = connection.head()
            assert head.status == 101 and head["Upgrade"] == "raw" and head["Connection"].lower() == "upgrade"
            assert connection.read(5) == b"first"
            data = bytes(range(256)) * 4096
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            assert connection.read(len(data)) == data
            sender.join()


def test_sockets_end_with_the_worker(tmp_path):
    with uvicorn(tmp_path / "backend") as backend, Front(tmp_path / "front", CONTENT.format(port=backend.port, more="")) as front:
        with socket(front, "/usual") as ws:
            ws.send("x")
            assert ws.recv(20) == "x"
            front.process.terminate()
            with pytest.raises(ConnectionClosed):
                ws.recv(20)
        assert front.process.wait(20) == 0
