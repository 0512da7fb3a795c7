#!/usr/bin/env python3
"""What a handler that computes for 50 ms does to the requests beside it, when it is called ten times a second.

    bench/stall.py                     daemun and uvicorn
    bench/stall.py --seconds 30 --only daemun

In one worker, half of the event loop's time is spent in that handler. Prints how long a small request waits, median and
percentiles, with and without the handler; for daemun a static file as well, which needs no Python.
"""

import argparse
import re
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from wsidle import commands, free_port, serving

PAUSE = 0.005  # between two requests that are measured


def ask(connection: socket.socket, path: str) -> bytes:
    """A request and the whole of its answer."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while not (found := re.search(rb"(?is)^HTTP/1.1 200 .*?\r\ncontent-length: (\d+)\r\n(?:.*?\r\n)?\r\n", data)) \
            or len(data) < found.end() + int(found.group(1)):
        more = connection.recv(65536)
        if not more:
            raise SystemExit(f"no answer to {path}: {data!r}")
        data += more
    return data


def latencies(port: int, path: str, seconds: float) -> list[float]:
    """Of requests on a kept connection, in milliseconds, sorted."""
    found, end = [], time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while time.monotonic() < end:
            begin = time.perf_counter()
            ask(connection, path)
            found.append((time.perf_counter() - begin) * 1000)
            time.sleep(PAUSE)
    return sorted(found)


def burn(port: int, over: threading.Event) -> None:
    """Calls the handler every 100 ms."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not over.wait(0.05):  # and 50 ms of work
            ask(connection, "/burn")


def show(name: str, what: str, found: list[float]) -> None:
    at = {part: found[min(len(found) - 1, int(len(found) * part / 100))] for part in (90, 99)}
    print(f"{name:8} {what:28} {len(found):5} requests: median {statistics.median(found):6.2f} ms, "
          f"90 % {at[90]:6.2f} ms, 99 % {at[99]:6.2f} ms, worst {found[-1]:6.2f} ms", flush=True)


def measure(name: str, line: list[str], port: int, seconds: float) -> None:
    with serving(line, port):
        show(name, "alone", latencies(port, "/", seconds / 3))
        over = threading.Event()
        burner = threading.Thread(target=burn, args=(port, over))
        burner.start()
        time.sleep(0.5)
        show(name, "beside the handler", latencies(port, "/", seconds))
        if name == "daemun":
            show(name, "a static file beside it", latencies(port, "/static/small.txt", seconds))
        over.set()
        burner.join()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--only", help="servers, with commas between them")
    given = arguments.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "small.txt").write_text("x" * 1024)
        for name, line in commands(port):
            if given.only and name not in given.only.split(","):
                continue
            if name == "daemun":
                line = [*line, "--static", f"/static={folder}"]
            measure(name, line, port, given.seconds)


if __name__ == "__main__":
    main()
