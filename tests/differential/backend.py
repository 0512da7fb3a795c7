"""Servers to pass requests on to: raw ones, that answer with the bytes that a case wants, and no others.

What they say stands in the corpus' `.backend` file (README.md); without a script for a path they send back what they got.
"""

import contextlib
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from .corpus import blocks, unescape

PATIENCE = 5.0  # seconds that a server waits for a request, or for the other side to close
BODY = 0.5  # seconds of silence after which a body counts as not coming
NAMES = ("backend", "backend2", "backend3")  # those with scripts, numbered from 1
SOCKET = "backend_socket"  # the first one listens there, too
REFUSED, HANGING, FULL = "refused", "hanging", "full"  # nobody listens; nobody answers; nobody accepts
ORDERS = {"reset", "hang", "keep", "early", "note", "echo", "pause", "read"}


@dataclass
class Script:
    """What one server, or each, does with a request for a path."""

    number: int | None
    pattern: str
    steps: list[bytes | tuple[str, str]] = field(default_factory=list)

    def fits(self, number: int, path: str) -> bool:
        return self.number in (None, number) and fnmatchcase(path, self.pattern)

    def has(self, order: str) -> bool:
        return any(isinstance(step, tuple) and step[0] == order for step in self.steps)


def scripts(path: Path) -> list[Script]:
    found = []
    for title, lines in blocks(path.read_text(encoding="utf-8")) if path.exists() else ():
        number, _, pattern = title.rpartition(" ")
        script = Script(int(number) if number else None, pattern)
        for line in lines:
            if line.startswith("! "):
                order, _, value = line[2:].strip().partition(" ")
                assert order in ORDERS, f"{path}: {title}: there is no order {order!r}"
                script.steps.append((order, value))
            elif line.startswith("|"):
                script.steps.append(unescape(line[1:]))
            else:
                assert not line or line.startswith("#"), f"{path}: {title}: {line!r}"
        found.append(script)
    return found


class Request:
    """A request as it came. `whole`: nothing of it is missing."""

    def __init__(self, head: bytes) -> None:
        self.head, self.body, self.whole = head, b"", True
        self.lines = head.split(b"\r\n")
        parts = self.lines[0].split(b" ")
        self.target = parts[1].decode("latin-1") if len(parts) > 1 else ""

    def get(self, name: str) -> str:
        found = re.search(rb"(?im)^%b:[ \t]*([^\r\n]*)" % name.encode(), self.head)
        return found[1].decode("latin-1") if found else ""

    @property
    def keeps(self) -> bool:
        said = self.get("Connection").lower()
        return said != "close" if self.lines[0].endswith(b"HTTP/1.1") else said == "keep-alive"


class Wire:
    """A connection with what was read of it and not used."""

    def __init__(self, client: socket.socket) -> None:
        self.client, self.buffer = client, b""

    def more(self) -> bool:
        try:
            piece = self.client.recv(65536)
        except OSError:
            return False
        self.buffer += piece
        return bool(piece)

    def until(self, mark: bytes) -> bytes | None:
        while mark not in self.buffer:
            if not self.more():
                return None
        data, _, self.buffer = self.buffer.partition(mark)
        return data

    def take(self, size: int) -> bytes:
        while len(self.buffer) < size and self.more():
            pass
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def body(self, request: Request) -> None:
        self.client.settimeout(BODY)
        length = request.get("Content-Length")
        if request.get("Transfer-Encoding").lower() == "chunked":
            while size := self.until(b"\r\n"):
                data = self.take(int(size.split(b";")[0], 16) + 2)
                request.body += data[:-2]
                if data == b"\r\n":
                    break
            else:
                request.whole = False
        elif length.isdigit():
            request.body = self.take(int(length))
            request.whole = len(request.body) == int(length)
        self.client.settimeout(PATIENCE)


class Backends:
    """All servers of one run. `names`: what is put into configurations, requests and scripts."""

    def __init__(self, file: Path, tmp: Path, names: dict[str, str], logs: Path) -> None:
        self.scripts, self.names, self.logs = scripts(file), names, logs
        self.turns: dict[int, int] = {}
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.listeners: list[socket.socket] = []
        self.connections = dict.fromkeys(range(1, len(NAMES) + 1), 0)
        for number, name in enumerate(NAMES, 1):
            self.listen(number, self.inet(name))
        place = str(tmp / "backend.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(place)
        os.chmod(place, 0o777)
        listener.listen(64)
        self.listen(1, listener)
        self.inet(HANGING)
        self.inet(REFUSED, listens=False)
        full = self.inet(FULL, backlog=0)
        for _ in range(3):  # the queue is full: the next one's SYN is not answered
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(full.getsockname())
            self.listeners.append(client)

    def inet(self, name: str, listens: bool = True, backlog: int = 64) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(self.names["{%s}" % name])))
        self.listeners.append(listener)
        if listens:
            listener.listen(backlog)
        return listener

    def listen(self, number: int, listener: socket.socket) -> None:
        if listener not in self.listeners:
            self.listeners.append(listener)
        threading.Thread(target=self.accept, args=(number, listener), daemon=True).start()

    def accept(self, number: int, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections[number] += 1
                connection = self.connections[number]
                self.open.add(client)
            threading.Thread(target=self.serve, args=(number, client, connection), daemon=True).start()

    def close(self) -> None:
        with self.lock:
            sockets = [*self.listeners, *self.open]
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
            one.close()

    def serve(self, number: int, client: socket.socket, connection: int) -> None:
        client.settimeout(PATIENCE)
        wire = Wire(client)
        requests = 0
        try:
            while (head := wire.until(b"\r\n\r\n")) is not None:
                requests += 1
                request = Request(head + b"\r\n\r\n")
                path = request.target.partition("?")[0]
                script = self.script(number, path)
                if script is None or not script.has("early"):
                    wire.body(request)
                values = {"{connection}": str(connection), "{request}": str(requests), "{server}": str(number)}
                if not self.play(wire, number, request, script, values):
                    break
        except OSError:
            pass
        finally:
            with self.lock:
                self.open.discard(client)
            client.close()

    def script(self, number: int, path: str) -> Script | None:
        """The one for this path; of several the next one in turn, the last one from then on."""
        with self.lock:
            found = [script for script in self.scripts if script.fits(number, path)]
            if not found:
                return None
            same = [script for script in found if (script.number, script.pattern) == (found[0].number, found[0].pattern)]
            turn = self.turns.get(id(same[0]), 0)
            self.turns[id(same[0])] = turn + 1
            return same[min(turn, len(same) - 1)]

    def play(self, wire: Wire, number: int, request: Request, script: Script | None, values: dict[str, str]) -> bool:
        """Answer; whether another request may come on this connection."""
        client = wire.client
        if script is None:
            client.sendall(echo(request))
            keep = request.keeps
        else:
            keep = script.has("keep")
            for step in script.steps:
                if isinstance(step, bytes):
                    for name, value in (self.names | values).items():
                        step = step.replace(name.encode(), value.encode())
                    client.sendall(step)
                elif step[0] == "pause":
                    time.sleep(float(step[1]))
                elif step[0] == "echo":
                    client.sendall(echo(request))
                elif step[0] == "note":
                    with open(self.logs / f"backend{number}", "ab") as log:
                        log.write(request.head + request.body + b"\n")
                elif step[0] == "read":
                    client.sendall(b"[" + wire.take(int(step[1])) + b"]")  # of a tunnel
                elif step[0] == "reset":
                    time.sleep(0.05)  # what was sent is read before
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                elif step[0] == "hang":
                    while wire.more():
                        pass
                    return False
        if not keep:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            while wire.more():  # a close with something unread would be a reset
                pass
        return keep


def echo(request: Request) -> bytes:
    """An answer whose body is the request; of a body in chunks what is in them."""
    text = request.head + request.body + (b"" if request.whole else b"\n(the body is not complete)\n")
    return b"HTTP/1.1 200 OK\r\nServer: backend\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(text) + text


@contextlib.contextmanager
def backends(file: Path, tmp: Path, names: dict[str, str]) -> Iterator[None]:
    own = Backends(file, tmp, names, tmp / "logs")
    try:
        yield
    finally:
        own.close()
