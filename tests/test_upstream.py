"""Groups of servers: which one is asked, what workers know together, clients that stay with their server, the queue."""

import contextlib
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from front import Front, free_port
from harness import PATIENCE, Connection, until


class Backend:
    """Answers with its name. `/hold`: when it is released; `/login`: with a session; `/500`: with that status."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name, self.released, self.going, self.most = name, threading.Event(), 0, 0
        self.requests: list[str] = []
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self.socket = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
                while b"\r\n\r\n" in data:
                    head, data = data.split(b"\r\n\r\n", 1)
                    connection.sendall(self._answer(head.split(b" ")[1].decode()))
        self.connections.discard(connection)

    def _answer(self, path: str) -> bytes:
        with self.lock:
            self.requests.append(path)
            self.going += 1
            self.most = max(self.most, self.going)
        if path.startswith("/hold"):
            self.released.wait(PATIENCE)
        status = "500 Wrong" if path == "/500" else "200 OK"
        cookie = f"Set-Cookie: session=of-{self.name}\r\n" if path == "/login" else ""
        with self.lock:
            self.going -= 1
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(self.name)}\r\n{cookie}\r\n{self.name}".encode()

    def release(self) -> None:
        self.released.set()

    def stop(self) -> None:
        self.release()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    all_of_them = [Backend(name) for name in "abc"]
    yield all_of_them
    for backend in all_of_them:
        backend.stop()


@contextlib.contextmanager
def front(directory: Path, block: str, backends: list[Backend], location: str = "", workers: int = 1) -> Iterator[Front]:
    """`A`, `B`, `C` in the block are the servers' addresses."""
    for backend in backends:
        block = block.replace(f"server {backend.name.upper()}", f"server 127.0.0.1:{backend.port}")
    content = (f"upstream u {{ {block} }} server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://u; "
               f"proxy_http_version 1.1; proxy_set_header Connection ''; add_header X-Addr $upstream_addr always; {location} }} }}")
    with Front(directory / "front", content, workers=workers) as site:
        yield site


def who(site: Front, count: int, path: str = "/") -> str:
    return "".join(site.get(path).text for _ in range(count))


def test_weights_give_each_its_share_smoothly(tmp_path, backends):
    with front(tmp_path, "server A weight=5; server B; server C;", backends) as site:
        assert who(site, 14) == "aabacaa" * 2


def test_a_server_that_is_down_or_drained_gets_nothing(tmp_path, backends):
    with front(tmp_path, "server A down; server B drain; server C;", backends) as site:
        assert who(site, 4) == "cccc"


def test_backups_are_asked_while_no_other_can_be(tmp_path, backends):
    with front(tmp_path, "server A fail_timeout=1s; server B fail_timeout=1s; server C backup;", backends) as site:
        assert who(site, 4) == "abab"
        backends[0].stop()
        backends[1].stop()
        assert who(site, 3) == "ccc"
        assert "upstream server temporarily disabled" in site.log
        port = backends[1].port
        backends[1] = until(lambda: again(port), "the port to be free")
        until(lambda: who(site, 1) == "b", "it to be asked again")
        assert set(who(site, 4)) == {"b"}


def again(port: int) -> Backend | None:
    with contextlib.suppress(OSError):
        return Backend("b", port)
    return None


def test_a_server_that_failed_is_left_in_peace(tmp_path, backends):
    location = "proxy_next_upstream error http_500;"
    with front(tmp_path, "server A max_fails=2 fail_timeout=1h; server B max_fails=0 backup;", backends, location) as site:
        for _ in range(6):
            site.get("/500")
        assert backends[0].requests == ["/500"] * 2
        assert len(backends[1].requests) >= 6
        assert who(site, 3) == "bbb"


def test_when_none_can_be_asked(tmp_path, backends):
    with front(tmp_path, "server A; server B;", backends) as site:
        backends[0].stop()
        backends[1].stop()
        answer = site.get()
        addresses = f"127.0.0.1:{backends[0].port}, 127.0.0.1:{backends[1].port}"
        assert (answer.status, answer["X-Addr"]) == (502, addresses)
        answer = site.get()
        assert (answer.status, answer["X-Addr"]) == (502, "u")
        assert "no live upstreams while connecting to upstream" in site.log


def test_the_only_server_is_asked_again(tmp_path, backends):
    with front(tmp_path, "server A;", backends) as site:
        port = backends[0].port
        backends[0].stop()
        assert [site.get().status for _ in range(3)] == [502] * 3
        backends[0] = until(lambda: again(port), "the port to be free")
        assert who(site, 1) == "b"


def test_keys_stay_with_their_servers_in_all_workers(tmp_path, backends):
    with front(tmp_path, "hash $arg_key consistent; server A; server B; server C;", backends, workers=2) as site:
        first = {key: site.get(f"/?key={key}").text for key in range(30)}
        assert len(set(first.values())) == 3
        for _ in range(3):
            assert {key: site.get(f"/?key={key}").text for key in range(30)} == first


def hold(site: Front, pool: ThreadPoolExecutor, path: str = "/hold") -> Future:
    return pool.submit(lambda: site.get(path))


def going(backends: list[Backend]) -> list[int]:
    return [backend.going for backend in backends]


def test_least_conn_looks_at_what_is_in_progress(tmp_path, backends):
    with front(tmp_path, "least_conn; server A; server B;", backends) as site, ThreadPoolExecutor(4) as pool:
        held = hold(site, pool)
        until(lambda: sum(going(backends)) == 1, "it to be in progress")
        busy = "a" if backends[0].going else "b"
        free = "b" if busy == "a" else "a"
        assert who(site, 4) == free * 4
        for backend in backends:
            backend.release()
        assert held.result().text == busy


def test_workers_count_together_in_a_zone(tmp_path, backends):
    block = "zone u 64k; server A max_conns=2; server B max_conns=1;"
    with front(tmp_path, block, backends, workers=2) as site, ThreadPoolExecutor(12) as pool:
        until(lambda: len(site.workers()) == 2, "both workers")
        held = [hold(site, pool) for _ in range(10)]
        until(lambda: sum(future.done() for future in held) == 7, "those beyond to be refused")
        assert [future.result().status for future in held if future.done()] == [502] * 7
        assert going(backends)[:2] == [2, 1]
        # What a worker had is nobody's when it is killed.
        for pid in site.workers():
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(site.workers()) == 2, "new workers")
        for backend in backends:
            backend.release()

        def answers() -> bool:
            with contextlib.suppress(OSError, AssertionError):
                return sorted(who(site, 3)) == ["a", "a", "b"] or sorted(who(site, 3)) == ["a", "b", "b"]
            return False

        until(answers, "the servers to be free again")
        with contextlib.suppress(OSError, AssertionError):
            [future.exception() for future in held]


def test_workers_know_of_failures_together_in_a_zone(tmp_path, backends):
    location = "proxy_next_upstream error http_500;"
    block = "zone u 64k; server A max_fails=1 fail_timeout=1h; server B max_fails=0 backup;"
    with front(tmp_path, block, backends, location, workers=2) as site:
        until(lambda: len(site.workers()) == 2, "both workers")
        for _ in range(20):
            site.get("/500")
        assert backends[0].requests == ["/500"]


def cookie(answer) -> str | None:
    value = answer["Set-Cookie"]
    return value and value.split(";")[0]


def test_a_cookie_keeps_a_client_with_its_server(tmp_path, backends):
    block = ("server A; server B route=bee; server C; "
             "sticky cookie srv expires=1h domain=.example.com path=/app httponly secure samesite=lax;")
    with front(tmp_path, block, backends) as site:
        answers = [site.get() for _ in range(3)]
        assert [answer.text for answer in answers] == ["a", "b", "c"]
        assert cookie(answers[1]) == "srv=bee"
        text = answers[0]["Set-Cookie"]
        assert text.startswith("srv=") and len(cookie(answers[0])) == 4 + 32
        assert text.endswith("; domain=.example.com; path=/app; httponly; secure; samesite=lax") and "; expires=" in text
        for answer in answers:
            name = answer.text
            for _ in range(3):
                again = site.get(headers=[("Cookie", f"x=y; {cookie(answer)}")])
                assert (again.text, cookie(again)) == (name, cookie(answer))
        # Without its server the client gets another, and is told.
        backends[1].stop()
        moved = site.get(headers=[("Cookie", "srv=bee")])
        assert moved.status == 200 and moved.text in "ac" and cookie(moved) not in (None, "srv=bee")
        assert site.get(headers=[("Cookie", "srv=nonsense")]).status == 200


def test_a_session_cookie_is_set_once(tmp_path, backends):
    with front(tmp_path, "server A; server B; sticky cookie srv;", backends) as site:
        first = site.get()
        assert first["Set-Cookie"] == cookie(first)
        assert [site.get(headers=[("Cookie", cookie(first))])["Set-Cookie"] for _ in range(2)] == [None, None]


def test_a_route_keeps_a_client_with_its_server(tmp_path, backends):
    block = "server A route=one; server B route=two; sticky route $cookie_route $arg_route;"
    with front(tmp_path, block, backends) as site:
        assert {site.get("/?route=two").text for _ in range(4)} == {"b"}
        assert {site.get("/?route=two", headers=[("Cookie", "route=one")]).text for _ in range(4)} == {"a"}
        assert who(site, 2, "/?route=none") in ("ab", "ba")


@pytest.mark.parametrize("when", ["", "header"])
def test_sessions_of_servers_are_learnt_by_all_workers(tmp_path, backends, when):
    block = ("server A; server B; server C; "
             f"sticky learn create=$upstream_cookie_session lookup=$cookie_session zone=sessions:1m {when};")
    with front(tmp_path, block, backends, workers=2) as site:
        until(lambda: len(site.workers()) == 2, "both workers")
        for _ in range(3):
            login = site.get("/login")
            name = login.text
            assert cookie(login) == f"session=of-{name}"
            found = [site.get(headers=[("Cookie", cookie(login))]).text for _ in range(6)]
            assert found == [name] * 6
        unknown = Counter(site.get(headers=[("Cookie", "session=other")]).text for _ in range(12))
        assert len(unknown) > 1


def test_requests_wait_in_the_queue(tmp_path, backends):
    with front(tmp_path, "server A max_conns=1; queue 2 timeout=1m;", backends) as site, ThreadPoolExecutor(8) as pool:
        backend = backends[0]
        held = hold(site, pool)
        until(lambda: backend.going == 1, "it to be in progress")
        waiting = [hold(site, pool, "/one")]
        # The third is refused at once, whichever it is.
        waiting += [hold(site, pool, "/two"), hold(site, pool, "/three")]
        until(lambda: sum(future.done() for future in waiting) == 1, "the queue to be full")
        assert next(future for future in waiting if future.done()).result().status == 502
        assert backend.requests == ["/hold"]
        backend.release()
        assert held.result().status == 200
        assert sorted(future.result().status for future in waiting) == [200, 200, 502]
        assert (backend.most, len(backend.requests)) == (1, 3)


def test_who_waits_too_long_is_answered(tmp_path, backends):
    with front(tmp_path, "server A max_conns=1; queue 5 timeout=200ms;", backends) as site, ThreadPoolExecutor(8) as pool:
        held = hold(site, pool)
        until(lambda: backends[0].going == 1, "it to be in progress")
        assert [site.get().status for _ in range(2)] == [502, 502]
        backends[0].release()
        assert held.result().status == 200
        assert who(site, 1) == "a"


def test_who_leaves_the_queue_is_not_asked_for(tmp_path, backends):
    with front(tmp_path, "server A max_conns=1; queue 1 timeout=1m;", backends) as site, ThreadPoolExecutor(8) as pool:
        held = hold(site, pool)
        until(lambda: backends[0].going == 1, "it to be in progress")
        with Connection(("127.0.0.1", site.port)) as leaving:
            leaving.request("GET", "/left")
            until(lambda: site.get("/full").status == 502, "it to wait")
        until(lambda: "client prematurely closed connection" in site.log, "it to be known that it left")
        # Its place is free for another.
        stayed = hold(site, pool, "/stayed")
        backends[0].release()
        assert (held.result().status, stayed.result().status) == (200, 200)
        assert "/left" not in backends[0].requests


def test_servers_come_from_the_state_file(tmp_path, backends):
    state = tmp_path / "servers.conf"
    with front(tmp_path, f"state {state};", backends) as site:
        assert site.get().status == 502
        state.write_text(f"server 127.0.0.1:{backends[1].port};\n")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.get().text == "b", "the new servers")


def test_one_of_a_host_without_a_block(tmp_path, backends):
    dead = free_port()
    content = (f"server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass http://localhost:{backends[0].port}; }} "
               f"location /dead {{ proxy_pass http://127.0.0.1:{dead}; }} }}")
    with Front(tmp_path / "front", content) as site:
        assert who(site, 3) == "aaa"
        assert [site.get("/dead").status for _ in range(2)] == [502, 502]
