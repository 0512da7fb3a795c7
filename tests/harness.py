"""What the end-to-end tests stand on: the program as a child process, and a client that sees every byte.

`Server` starts the program on ports that the kernel chooses and reads its log. `Connection` is a raw socket with a
strict response parser: what it accepts is valid HTTP/1.1, so that a framing error fails the test that caused it.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
APPS = TESTS / "apps"
EXAMPLES = ROOT / "examples"
DAEMUN = os.environ.get("DAEMUN", str(ROOT / ".venv" / "bin" / "daemun"))
PATIENCE = 20.0  # seconds until something that should happen counts as not happening

# What would change the meaning of a command line if the developer's shell had it.
FOREIGN = ("PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "FORWARDED_ALLOW_IPS", "SENDFILE", "LISTEN_FDS", "LISTEN_PID",
           "NOTIFY_SOCKET", "SCRIPT_NAME", "PYTHONPATH", "DJANGO_SETTINGS_MODULE")


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE):
    """Wait for `condition()` to be true and return what it gave."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s for: {what}")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def has_runtime(pid: int) -> bool:
    """Whether a worker has its event queue, which it makes once the application is loaded."""
    try:
        return any(os.readlink(entry) == "anon_inode:[eventpoll]" for entry in Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return True  # it changed its user; then a test does not depend on it
    except OSError:
        return False


def environment(extra: dict[str, str | None] | None = None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN and not name.startswith("UVICORN_")}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    for name, value in (extra or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def command(*args: object) -> list[str]:
    return [DAEMUN, *(str(arg) for arg in args)]


def run(*args: object, cwd: Path = APPS, env: dict[str, str | None] | None = None, timeout: float = 30):
    """Run the program to its end: for what does not serve."""
    return subprocess.run(
        command(*args), cwd=cwd, env=environment(env), timeout=timeout, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )


class Server:
    """The program, serving. Use it as a context manager, or through the fixture `serve`."""

    def __init__(
        self,
        *args: object,
        directory: Path,
        cwd: Path = APPS,
        env: dict[str, str | None] | None = None,
        bind: str | None = "127.0.0.1:0",
        program: list[str] | None = None,
        pass_fds: Iterable[int] = (),
        wait: bool = True,
        ready: bool = True,
    ) -> None:
        self.directory = directory
        self.cwd = cwd
        self.stderr_path = directory / "stderr.log"
        self.stdout_path = directory / "stdout.log"
        line = [*(program or [DAEMUN]), *(str(arg) for arg in args)]
        if bind:
            line += ["-b", bind]
        self.command = line
        with open(self.stdout_path, "ab") as out, open(self.stderr_path, "ab") as err:
            self.process = subprocess.Popen(
                line, cwd=cwd, env=environment({"TEST_DIR": str(directory), **(env or {})}), stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True, pass_fds=tuple(pass_fds),
            )
        self.pid = self.process.pid
        if wait:
            self.wait_until_listening()
        if wait and ready:
            self.wait_until(lambda: any(map(has_runtime, self.workers())), "a worker to be ready")

    # The process.

    def wait_until_listening(self) -> None:
        self.wait_until(lambda: "Listening at:" in self.log, "the server to listen")

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for `condition()` while the process lives; when it ends or takes too long, show its log."""

        def check() -> object:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}")
            return condition()

        try:
            until(check, what)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"{self.command}: {error}\n{self.log}") from None

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {patience} s\n{self.log}") from None

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(patience)

    def kill(self) -> None:
        """End it and all its children, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(8)
        self.kill()

    # What it says.

    @property
    def log(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    def wait_for_log(self, pattern: str, count: int = 1, patience: float = PATIENCE) -> list[str]:
        """Wait until the error log has `count` matches."""
        def found() -> list[str] | None:
            matches = re.findall(pattern, self.log)
            return matches if len(matches) >= count else None

        try:
            return until(found, f"{count} × /{pattern}/ in the log", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    @property
    def addresses(self) -> list[str]:
        """What the line `Listening at:` names."""
        found = re.findall(r"Listening at: (.+) \(\d+\)", self.log)
        return [address.strip() for address in found[-1].split(",")] if found else []

    @property
    def port(self) -> int:
        for address in self.addresses:
            found = re.search(r":(\d+)/?$", address)
            if found:
                return int(found.group(1))
        raise AssertionError(f"no TCP address in {self.addresses}\n{self.log}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """The process ids of the workers that live now."""
        children = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    status = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(status[1]) == self.pid and status[0] != "Z":
                    children.append(int(entry.name))
        return sorted(children)

    def wait_for_workers(self, count: int, other_than: Iterable[int] = (), patience: float = PATIENCE) -> list[int]:
        """Wait until exactly `count` workers live and have loaded the application, none of them one of `other_than`."""
        gone = set(other_than)

        def settled() -> list[int] | None:
            workers = self.workers()
            if len(workers) != count or gone & set(workers):
                return None
            return workers if all(map(has_runtime, workers)) else None

        try:
            return until(settled, f"{count} workers (now {self.workers()})", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    # Requests.

    def connect(self, timeout: float = PATIENCE) -> "Connection":
        return Connection(("127.0.0.1", self.port), timeout)

    def get(self, path: str = "/", headers: Iterable[tuple[str, str]] = (), method: str = "GET", body: bytes | None = None,
            timeout: float = PATIENCE) -> "Response":
        """One request on a connection of its own."""
        with self.connect(timeout) as connection:
            connection.request(method, path, [*headers, ("Connection", "close")], body)
            return connection.response(method)

    def json(self, path: str, **arguments: object):
        response = self.get(path, **arguments)
        assert response.status == 200, response
        return json.loads(response.body)


@dataclass
class Response:
    """An answer, as it came."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} came more than once: {values}"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


class ClosedEarly(AssertionError):
    """The connection ended before the answer was complete. `partial` is the body so far."""

    def __init__(self, what: str, partial: bytes = b"") -> None:
        super().__init__(what)
        self.partial = partial


class Connection:
    """A client connection of bytes."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = PATIENCE) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.received = 0  # bytes in all

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes | str) -> "Connection":
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def request(self, method: str = "GET", path: str = "/", headers: Iterable[tuple[str, str]] = (), body: bytes | None = None,
                version: str = "HTTP/1.1") -> "Connection":
        """Send a well-formed request; `body` goes with its Content-Length."""
        lines = [f"{method} {path} {version}"]
        headers = list(headers)
        names = {name.lower() for name, _ in headers}
        if "host" not in names and version != "HTTP/1.0":
            lines.append("Host: localhost")
        if body is not None and not names & {"content-length", "transfer-encoding"}:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers]
        return self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def _fill(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        self.received += len(data)
        return bool(data)

    def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            if not self._fill():
                raise ClosedEarly(f"closed inside a line, after {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"bare LF in an answer: {line!r}"
        line = line[:-1]
        assert b"\r" not in line and b"\0" not in line, f"control character in an answer: {line!r}"
        return line

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while line := self._line():
            found = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", line)
            assert found, f"bad header line in an answer: {line!r}"
            fields.append((found.group(1).decode(), found.group(2).decode("latin-1")))
        return fields

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        pieces, missing = [self.buffer[:size]], size - len(self.buffer[:size])
        self.buffer = self.buffer[size:]
        while missing:
            try:
                data = self.socket.recv(min(missing, 1 << 20))
            except ConnectionResetError:
                data = b""
            if not data:
                raise ClosedEarly(f"{missing} of {size} bytes are missing", b"".join(pieces))
            pieces.append(data)
            self.received += len(data)
            missing -= len(data)
        return b"".join(pieces)

    def head(self) -> Response:
        """The head of an answer; the body is left to be read."""
        line = self._line()
        found = re.fullmatch(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)", line)
        assert found, f"bad status line: {line!r}"
        version, status, reason = (part.decode("latin-1") for part in found.groups())
        return Response(version, int(status), reason, self._fields())

    def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at the end, before the trailers."""
        line = self._line()
        assert re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line), f"bad chunk size: {line!r}"
        size = int(line, 16)
        data = self.read(size)
        if size:
            assert self.read(2) == b"\r\n", "no CRLF after a chunk"
        return data

    def response(self, method: str = "GET", interim: bool = False) -> Response:
        """The next answer, whole. `interim`: a 1xx counts as one; else they are skipped."""
        response = self.head()
        while response.status < 200 and not interim:
            response = self.head()
        lengths, codings = response.all("Content-Length"), response.all("Transfer-Encoding")
        assert len(lengths) <= 1 and len(codings) <= 1 and not (lengths and codings), f"framing: {response}"
        if response.status < 200 or response.status == 204:
            assert not lengths and not codings, f"framing on a {response.status}: {response}"
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return response
        if codings:
            assert codings == ["chunked"], response
            response.chunked = True
            body = b""
            try:
                while data := self.chunk():
                    body += data
            except ClosedEarly as error:
                raise ClosedEarly(f"chunked body: {error}", body + error.partial) from None
            response.body, response.trailers = body, self._fields()
        elif lengths:
            assert re.fullmatch(r"[0-9]+", lengths[0]), response
            response.body = self.read(int(lengths[0]))
        else:
            response.body = self.rest()
        return response

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while self._fill():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def is_closed(self, patience: float = PATIENCE) -> bool:
        """Whether the server closes within `patience`, saying nothing more."""
        if self.buffer:
            return False
        self.socket.settimeout(patience)
        try:
            return not self._fill()
        except TimeoutError:
            return False


@contextlib.contextmanager
def load(server: Server, path: str = "/", clients: int = 4, keep_alive: bool = True) -> Iterator["Load"]:
    """Requests without a pause from `clients` threads while the block runs; what failed is in the result."""
    result = Load(server, path, clients, keep_alive)
    result.start()
    try:
        yield result
    finally:
        result.finish()


class Load:
    """Answers counted, failures kept."""

    def __init__(self, server: Server, path: str, clients: int, keep_alive: bool) -> None:
        import threading

        self.address = ("127.0.0.1", server.port)
        self.path, self.keep_alive = path, keep_alive
        self.done = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._client, daemon=True) for _ in range(clients)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def finish(self) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(PATIENCE * 2)
            assert not thread.is_alive(), "a client hangs"

    def _client(self) -> None:
        connection = None
        while not self.done.is_set():
            fresh = connection is None
            before = 0
            try:
                if fresh:
                    connection = Connection(self.address)
                before = connection.received
                headers = [] if self.keep_alive else [("Connection", "close")]
                connection.request("GET", self.path, headers)
                response = connection.response()
                assert response.status == 200, response
                with self.lock:
                    self.answered += 1
                if (response["Connection"] or "").lower() == "close":
                    connection.socket.close()
                    connection = None
            except (OSError, AssertionError) as error:
                # A server may close an idle connection while the next request is on its way (RFC 9112, 9.3.1): as any
                # client does, try once more on a fresh one when not a byte of an answer came.
                unanswered = isinstance(error, (ClosedEarly, OSError)) and connection and connection.received == before
                if connection is not None:
                    connection.socket.close()
                    connection = None
                if not (unanswered and not fresh):
                    with self.lock:
                        self.failures.append(f"{type(error).__name__}: {error}")


def python_program(*args: str) -> list[str]:
    """The interpreter that has Daemun installed."""
    beside = Path(shutil.which(DAEMUN) or DAEMUN).parent / "python"
    return [str(beside if beside.exists() else sys.executable), *args]
