"""Slow clients on a proxy: how many connections to the server it holds for them, for how long, and in what memory.

    python bench/slow_clients.py [--clients 5000] [--rate 10] [--size 100] [--programs daemun,nginx]

All clients connect, ask for SIZE kB each, and read RATE kB a second. One worker, one server behind it that is as fast as it can be.
What a proxy is for: the server is done with a request long before the client is. Connections to the server are counted on the proxy's
side, every 0.2 s; memory is the PSS of all the proxy's processes beyond what they held before, and what the kernel holds for all
sockets of the machine (TCP in /proc/net/sockstat).
"""

import argparse
import asyncio
import contextlib
import os
import re
import resource
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from failures import DAEMUN, NGINX, child, free_port

CONFIG = """
daemon off; {user} pid {tmp}/pid; error_log {tmp}/error.log warn; worker_processes 1; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
    {temp} access_log off;
    upstream app {{ server 127.0.0.1:{backend}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; {location} }}
    }}
}}
"""


async def backend(port: int, size: int) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(data)
                await writer.drain()

    server = await asyncio.start_server(client, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [one for child in (task / "children").read_text().split() for one in family(int(child))]
    return found


def pss(pid: int) -> int:
    """Bytes."""
    return sum(int(re.search(r"Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text())[1]) for one in family(pid)) * 1024


def connections(port: int) -> int:
    """Established ones to a port of this machine."""
    remote = f":{port:04X}"
    with open("/proc/net/tcp") as table:
        return sum(1 for line in table if (parts := line.split())[3] == "01" and parts[2].endswith(remote))


def kernel() -> int:
    """Bytes that the kernel holds for TCP."""
    return int(re.search(r"TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text())[1]) * 4096


class Sampler(threading.Thread):
    def __init__(self, pid: int, port: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.port, self.done = pid, port, threading.Event()
        self.before, self.kernel_before = pss(pid), kernel()
        self.counts: list[int] = []
        self.memory = self.kernel = 0

    def run(self) -> None:
        while not self.done.wait(0.2):
            self.counts.append(connections(self.port))
            if len(self.counts) % 5 == 0:
                self.memory = max(self.memory, pss(self.pid) - self.before)
                self.kernel = max(self.kernel, kernel() - self.kernel_before)


def clients(port: int, count: int, rate: int, size: int) -> tuple[float, int]:
    """Seconds until the last one has all, and how many did not get it."""
    sockets: dict[socket.socket, int] = {}
    begin = time.monotonic()
    for number in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # or the kernel would read for it
        one.settimeout(30)
        one.connect(("127.0.0.1", port))
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        one.setblocking(False)
        sockets[one] = 0
    failed, tick = 0, 0.25
    step = int(rate * tick)
    while sockets and time.monotonic() - begin < 20 * size / rate + 120:
        start = time.monotonic()
        for one in list(sockets):
            try:
                data = one.recv(step)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            sockets[one] += len(data)
            if not data:
                failed += sockets.pop(one) < size
                one.close()
        time.sleep(max(0.0, tick - (time.monotonic() - start)))
    return time.monotonic() - begin, failed + len(sockets)


def run(path: str, options: argparse.Namespace, location: str) -> dict[str, str]:
    size, rate = options.size * 1000, options.rate * 1000
    port, behind = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="slow-") as tmp, contextlib.ExitStack() as stack:
        Path(tmp).chmod(0o755)
        nginx = Path(path).name == "nginx"
        temp = "".join(f"{name}_temp_path {tmp}/{name};" for name in ("client_body", "proxy", *(("fastcgi", "uwsgi", "scgi") if nginx else ())))
        user = "user root;" if os.getuid() == 0 else ""
        (Path(tmp) / "nginx.conf").write_text(CONFIG.format(tmp=tmp, temp=temp, user=user, port=port, backend=behind, location=location))
        stack.enter_context(child([sys.executable, __file__, "--serve", str(behind), str(size)], behind))
        with open(f"{tmp}/output", "wb") as output:
            process = stack.enter_context(child([path, "-p", tmp, "-c", f"{tmp}/nginx.conf"], port, stdout=output, stderr=output))
        time.sleep(1)
        sampler = Sampler(process.pid, behind)
        sampler.start()
        took, failed = clients(port, options.clients, rate, size)
        sampler.done.set()
        sampler.join()
        counts = sampler.counts
        busy = sum(count > 32 for count in counts) * 0.2
        return {
            "server connections, most": str(max(counts)), "mean": f"{sum(counts) / len(counts):.0f}", "more than 32 for": f"{busy:.1f} s", "clients took": f"{took:.1f} s",
            "incomplete": str(failed), "PSS": f"+{sampler.memory / 1e6:.1f} MB", "a client": f"{sampler.memory / options.clients / 1000:.1f} kB", "kernel": f"+{sampler.kernel / 1e6:.0f} MB",
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=10, help="kB a second")
    parser.add_argument("--size", type=int, default=100, help="kB")
    parser.add_argument("--programs", default="daemun,nginx")
    parser.add_argument("--location", default="", help="more for the location, as `proxy_buffering off;`")
    parser.add_argument("--serve", nargs=2, type=int, metavar=("PORT", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    if options.serve:
        asyncio.run(backend(*options.serve))
    known = {"daemun": DAEMUN, "nginx": NGINX}
    rows = {name: run(known[name], options, options.location) for name in options.programs.split(",") if known.get(name)}
    columns = list(next(iter(rows.values())))
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join(values[column] for column in columns) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
