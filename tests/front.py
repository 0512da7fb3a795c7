"""A program with an nginx.conf in front, and real servers behind it: for the tests of passing requests on."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import APPS, DAEMUN, PATIENCE, Connection, Response, environment, until

NGINX = shutil.which("nginx", path=f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}")
NODE = shutil.which("node") or shutil.which("nodejs")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    return False


class Process:
    """A child process that listens on a port of its own, with what it says in a file."""

    def __init__(self, directory: Path, line: list[str], port: int, cwd: Path | None = None, env: dict | None = None) -> None:
        self.directory, self.port, self.output = directory, port, directory / "output"
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                line, cwd=cwd or directory, env=environment(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )
        try:
            until(lambda: self.process.poll() is not None or accepts(port), f"{line} to listen")
            assert self.process.poll() is None, f"{line}: {self.said}"
        except AssertionError:
            self.kill()
            raise

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(8)
        self.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Front(Process):
    """Daemun, or another program, on `http { content }`; `{port}` in it is where it listens, `{dir}` its folder."""

    def __init__(self, directory: Path, content: str, program: str = DAEMUN, main: str = "", workers: int = 1) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "logs").mkdir(exist_ok=True)
        port = free_port()
        user = "user root;" if os.getuid() == 0 else ""
        temp = "".join(f"{name}_temp_path {directory}/{name};\n" for name in ("client_body", "proxy"))
        if Path(program).name == "nginx":
            temp += "".join(f"{name}_temp_path {directory}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi"))
        log = "" if re.search(r"^\s*access_log", content, re.MULTILINE) else "access_log off;"
        content = content.replace("{port}", str(port)).replace("{dir}", str(directory))
        self.config = directory / "nginx.conf"
        self.config.write_text(f"daemon off; {user} worker_processes {workers}; {main}\npid {directory}/pid;\n"
                               f"error_log {directory}/logs/error.log info;\nevents {{ worker_connections 1024; }}\nhttp {{\n{temp}{log}\n{content}\n}}\n")
        super().__init__(directory, [program, "-p", str(directory), "-c", str(self.config)], port)

    @property
    def log(self) -> str:
        path = self.directory / "logs" / "error.log"
        return self.said + (path.read_text(errors="replace") if path.exists() else "")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = PATIENCE) -> Connection:
        return Connection(("127.0.0.1", self.port), timeout)

    def get(self, path: str = "/", headers=(), method: str = "GET", body: bytes | None = None, timeout: float = PATIENCE) -> Response:
        with self.connect(timeout) as connection:
            return connection.request(method, path, [*headers, ("Connection", "close")], body).response(method)

    def workers(self) -> list[int]:
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]

    def memory(self, field: str = "VmHWM") -> int:
        """Bytes of the worker that has most: what it has (VmRSS), what it had at most (VmHWM)."""
        found = [re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in self.workers() or [self.process.pid]]
        return max(int(match[1]) for match in found if match) * 1024


def python_has(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: see tests/requirements.txt")


@contextlib.contextmanager
def gunicorn(directory: Path, *more: str) -> Iterator[Process]:
    python_has("gunicorn")
    port = free_port()
    directory.mkdir()
    line = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--threads", "4", "--keep-alive", "30", "--worker-tmp-dir", str(directory), *more, "behind:wsgi"]
    with Process(directory, line, port, cwd=APPS) as process:
        yield process


@contextlib.contextmanager
def uvicorn(directory: Path, *more: str) -> Iterator[Process]:
    python_has("uvicorn")
    port = free_port()
    directory.mkdir()
    with Process(directory, [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--no-access-log", *more, "behind:asgi"], port, cwd=APPS) as process:
        yield process


@contextlib.contextmanager
def node(directory: Path) -> Iterator[Process]:
    if NODE is None:
        pytest.skip("there is no Node")
    port = free_port()
    directory.mkdir()
    with Process(directory, [NODE, str(APPS / "behind.js"), str(port)], port) as process:
        yield process


@contextlib.contextmanager
def daemun(directory: Path, application: str, *more: str) -> Iterator[Process]:
    """Our own workers."""
    port = free_port()
    directory.mkdir()
    with Process(directory, [DAEMUN, "-b", f"127.0.0.1:{port}", *more, application], port, cwd=APPS) as process:
        yield process
