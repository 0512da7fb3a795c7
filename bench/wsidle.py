#!/usr/bin/env python3
"""What an idle WebSocket costs: opens many, and prints how much the server's memory grew for each.

    bench/wsidle.py                                     10,000 on daemun, uvicorn and granian
    bench/wsidle.py --only daemun --connections 50000

Peers are taken from PEERS_BIN or from the environment of this Python; those that are not there are left out. DAEMUN
names another program. The kernel's sockets are not counted. PSS is the number to look at; the limit of open files must
allow the connections (`ulimit -n`), here and in the server.
"""

import argparse
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import program

HERE = Path(__file__).resolve().parent
APP = "asgi_mixed:app"
PER_ADDRESS = 20_000  # connections from one source address: the ports do not last for more
REQUEST = (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


class Memory(NamedTuple):
    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """Of a process and all its children, in bytes."""
    rss = pss = 0
    for one in tree(pid):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        rss += int(re.search(r"^Rss:\s+(\d+)", rollup, re.M).group(1)) * 1024
        pss += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1)) * 1024
    return Memory(rss, pss)


def tree(pid: int) -> list[int]:
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                queue += map(int, children.read_text().split())
            except OSError:
                pass
    return found


def commands(port: int) -> Iterator[tuple[str, list[str]]]:
    """The servers that are installed, and how each is started."""
    bind, beside = f"127.0.0.1:{port}", Path(sys.executable).parent / "daemun"
    lines = {
        "daemun": [os.environ.get("DAEMUN") or (str(beside) if beside.exists() else program("daemun")), APP, "-b", bind, "--worker-connections", "1000000", "--log-level", "error"],
        "uvicorn": [program("uvicorn"), APP, "--port", str(port), "--log-level", "error", "--backlog", "2048"],
        "granian": [program("granian"), "--interface", "asgi", "--port", str(port), "--log-level", "error", APP],
    }
    for name, line in lines.items():
        if line[0]:
            yield name, line
        else:
            print(f"{name:8} is not installed")


@contextmanager
def serving(line: list[str], port: int) -> Iterator[subprocess.Popen]:
    """A server as a child process, once it accepts."""
    process = subprocess.Popen(line, cwd=HERE / "apps", start_new_session=True)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise SystemExit(f"{line[0]} does not listen")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_one(port: int, number: int) -> socket.socket:
    """A WebSocket, accepted."""
    connection = socket.socket()
    connection.settimeout(20)
    connection.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
    connection.connect(("127.0.0.1", port))
    connection.sendall(REQUEST)
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            raise SystemExit(f"connection {number} was closed")
        head += data
    if not head.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"connection {number}: {head.decode('latin-1')}")
    return connection


def measure(name: str, line: list[str], port: int, connections: int, rest: float) -> None:
    with serving(line, port) as process:
        warm = [open_one(port, number) for number in range(10)]
        time.sleep(1)
        before = memory(process.pid)
        begin = time.monotonic()
        sockets = [open_one(port, number) for number in range(connections)]
        took = time.monotonic() - begin
        time.sleep(rest)
        after = memory(process.pid)
        for connection in (*warm, *sockets):
            connection.close()
    rss, pss = ((late - early) / connections for early, late in zip(before, after, strict=True))
    print(f"{name:8} {connections} connections in {took:.1f} s: PSS {before.pss / 1e6:.1f} → {after.pss / 1e6:.1f} MB, "
          f"{pss:.0f} bytes each (RSS {rss:.0f})", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--connections", type=int, default=10_000)
    arguments.add_argument("--rest", type=float, default=3, help="seconds between the last connection and the measurement")
    arguments.add_argument("--only", help="servers, with commas between them")
    given = arguments.parse_args()
    wanted, most = given.connections + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if wanted > most != resource.RLIM_INFINITY:
        sys.exit(f"{wanted} open files are needed, {most} are allowed: `ulimit -n {wanted}`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    port = free_port()
    for name, line in commands(port):
        if not given.only or name in given.only.split(","):
            measure(name, line, port, given.connections, given.rest)


if __name__ == "__main__":
    main()
