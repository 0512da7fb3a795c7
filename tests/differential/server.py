"""Runs a program on a configuration of the corpus and collects what it answers and logs."""

import contextlib
import grp
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import secure
from .answers import escape, text_of
from .backend import FULL, HANGING, NAMES, REFUSED, SOCKET, backends
from .corpus import Case, Corpus
from .tree import INCLUDED, make_tree

PATIENCE = 5.0  # seconds until an answer counts as not coming
LENIENCE = 3  # so many times in a configuration; then only OPEN seconds
OPEN = 0.3  # seconds of silence after which a connection counts as kept open
PORTS = ("port", "port2")
BACKEND_PORTS = (*NAMES, REFUSED, HANGING, FULL)
ATTEMPTS = 3  # when somebody else takes a port in between

MAIN = """\
daemon off;
worker_processes 1;
pid {tmp}/program.pid;
error_log {tmp}/program.log info;
{user}
events {{ worker_connections 256; }}
http {{
client_body_temp_path {tmp}/bodies;
{more}
{content}
}}
"""
# A packaged nginx has these compiled in, where only root may write.
FOR_NGINX = "".join(f"{name}_temp_path {{tmp}}/{name};\n" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))


class DidNotStart(AssertionError):
    pass


def free_ports(count: int) -> list[int]:
    """Ports of five digits, so that all answers have the same length, and none that the kernel gives to clients.

    DAEMUN_DIFFERENTIAL_PORTS=FIRST-LAST: from there.
    """
    given = os.environ.get("DAEMUN_DIFFERENTIAL_PORTS")
    first, last = map(int, given.split("-")) if given else (10000, 32767)
    candidates = list(range(first, last + 1))
    random.shuffle(candidates)
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        for candidate in candidates:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", candidate))
                ports.append(candidate)
            if len(ports) == count:
                return ports
    raise AssertionError("no free ports")


def answers_of(corpus: Corpus, program: str) -> dict[str, str]:
    """Run the program once, send every case, return title -> answer as text; `log NAME` -> its lines."""
    for attempt in range(ATTEMPTS):
        # The folder has a name of fixed length, and everyone may enter it: the workers are somebody else.
        tmp = Path(tempfile.mkdtemp(prefix="differential-", dir=os.environ.get("DAEMUN_DIFFERENTIAL_TMP", "/tmp")))
        try:
            tmp.chmod(0o755)
            return run(corpus, program, tmp)
        except DidNotStart as error:
            if "ddress already in use" not in str(error) or attempt == ATTEMPTS - 1:
                raise
        finally:
            with contextlib.suppress(OSError):
                (tmp / "www" / "forbidden").chmod(0o755)  # or only root could remove it
            shutil.rmtree(tmp, ignore_errors=True)
    raise AssertionError("invariant: the last attempt returns or raises")


def run(corpus: Corpus, program: str, tmp: Path) -> dict[str, str]:
    make_tree(tmp)
    used = [*PORTS, *(BACKEND_PORTS if corpus.passes_on else ())]
    ports = free_ports(len(used))
    names = {"{root}": f"{tmp}/www", "{logs}": f"{tmp}/logs", "{tls}": str(secure.CERTIFICATES)}
    names |= {"{%s}" % SOCKET: f"{tmp}/backend.sock", "{tmp}": str(tmp)}
    names |= {"{%s}" % name: str(port) for name, port in zip(used, ports, strict=True)}
    (tmp / "logs").mkdir()
    (tmp / "logs").chmod(0o777)  # a worker opens the logs whose names have variables
    for name, content in INCLUDED.items():
        (tmp / name).parent.mkdir(exist_ok=True)
        (tmp / name).write_text(content)
    config = tmp / "nginx.conf"
    config.write_text(configuration(corpus, program, tmp, names), encoding="utf-8")
    # In the answers: what was put in comes out as its name. A port only with something before it that says so.
    places = [(value.encode(), name.encode()) for name, value in names.items() if not value.isdigit()]
    places += [(b":" + value.encode(), b":" + name.encode()) for name, value in names.items() if value.isdigit()]
    answers: dict[str, str] = {}
    late = 0
    with contextlib.ExitStack() as stack:
        if corpus.passes_on:
            stack.enter_context(backends(corpus.backend, tmp, names))
        stack.enter_context(serving(program, tmp, config, ports[0]))
        for case in corpus.cases():
            if "root" in case.options and os.geteuid() != 0:
                continue
            steps = [with_names(step, names) if isinstance(step, bytes) else step for step in case.steps]
            patience = OPEN if "open" in case.options or late >= LENIENCE else PATIENCE
            send = secure.exchange if secure.wanted(case) else exchange
            try:
                data, closed = send(case, steps, ports[1 if "port2" in case.options else 0], patience)
            except OSError as error:
                answers[case.title] = f"(no connection: {error})"
                continue
            late += not closed and "open" not in case.options
            answers[case.title] = text_of(data, case.methods, closed, case.options, places)
    for log in sorted((tmp / "logs").iterdir()):
        answers[f"log {log.name}"] = log_text(log, places)
    return answers


def configuration(corpus: Corpus, program: str, tmp: Path, names: dict[str, str]) -> str:
    content = corpus.config.read_text(encoding="utf-8")
    for name, value in names.items():
        content = content.replace(name, value)
    user = ""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = f"user nobody {grp.getgrgid(nobody.pw_gid).gr_name};"
    more = FOR_NGINX.format(tmp=tmp) if Path(program).name == "nginx" else ""
    if not re.search(r"^access_log", content, re.MULTILINE):
        more += "access_log off;"
    return MAIN.format(tmp=tmp, user=user, more=more, content=content)


def with_names(data: bytes, names: dict[str, str]) -> bytes:
    for name, value in names.items():
        data = data.replace(name.encode(), value.encode())
    return data


@contextlib.contextmanager
def serving(program: str, tmp: Path, config: Path, port: int) -> Iterator[None]:
    output = tmp / "output"
    environment = {name: value for name, value in os.environ.items() if name not in ("NGINX", "LISTEN_FDS", "LISTEN_PID")}
    with open(output, "wb") as out:
        process = subprocess.Popen(
            [program, "-p", str(tmp), "-c", str(config)], cwd=tmp, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env={**environment, "TZ": "UTC"}, start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not listening(port):
            if process.poll() is not None or time.monotonic() > end:
                log = tmp / "program.log"
                said = output.read_text(errors="replace") + (log.read_text(errors="replace") if log.exists() else "")
                raise DidNotStart(f"{program} does not start:\n{said}")
            time.sleep(0.005)
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # it finishes what it does, and its logs
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listening(port: int) -> bool:
    """Whether somebody listens, without a connection that a log could see."""
    wanted = (f"0100007F:{port:04X}", f"00000000:{port:04X}")
    with open("/proc/net/tcp") as table:
        return any(line.split()[1] in wanted and line.split()[3] == "0A" for line in table)


def exchange(case: Case, steps: list[bytes | float], port: int, patience: float) -> tuple[bytes, bool]:
    """Send a case; return what came, and whether the server closed. `patience`: seconds of silence."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError, TimeoutError):  # an answer may come before all is sent
            for step in steps:
                if isinstance(step, bytes):
                    client.sendall(step)
                else:
                    time.sleep(step)
        if "half-close" in case.options:
            time.sleep(0.05)  # the server has read what was sent: an end that comes with it may be seen late
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        client.settimeout(patience)
        while True:
            try:
                piece = client.recv(65536)
            except TimeoutError:
                return data, False
            except ConnectionError:
                return data, True
            if not piece:
                return data, True
            data += piece


def log_text(path: Path, places: list[tuple[bytes, bytes]]) -> str:
    """The lines of a log. Of an error log only those about a client, from the level on, without time and numbers."""
    data = path.read_bytes()
    for value, name in places:
        data = data.replace(value, name)
    if path.name.startswith("error"):
        # nginx cuts lines of more than 2048 bytes, and what stands before the text is not always as long.
        data = re.sub(rb"(\w)\1{300,}", rb"{\1*many}", data)
        lines = data.splitlines()
        stamp = rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: (?:\*\d+ )?(.*, client: .*)"
        found = [re.fullmatch(stamp, line) for line in lines]
        lines = [match[1] + b" " + match[2] for match in found if match]
        # nginx names no client at the first one; bodies in files are usual.
        lines = [line for line in lines if not re.search(rb" closed keepalive connection, | buffered to a temporary file ", line)]
        lines = [re.sub(rb'(upstream sent invalid header): "[^"]*"', rb'\1: "{line}"', line) for line in lines]
        lines = [re.sub(rb"excess: \d+\.\d{3}", b"excess: {number}", line) for line in lines]
        lines = [line.replace(b" readv() failed ", b" recv() failed ") for line in lines]  # how it is read is not the question
    else:
        lines = re.sub(rb"(\w)\1{300,}", lambda run: b"{%b*%d}" % (run[1], len(run[0])), data).splitlines()
    return "\n".join("|" + escape(line) for line in lines)
