#!/usr/bin/env python3
"""How late a static request is at most, beside requests of the same worker that sleep or burn processor time for 1 s.

usage: late.py [--seconds 15] [--threads 1 4]     DAEMUN = the program (default: daemun on PATH)
One worker. Clients keep the application's threads busy all the time; another asks for a small file every 5 ms and
notes how long it took. The first slow call is before the measurement: it is what proves the application slow.
"""
import argparse
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

APP = '''
import time
def app(environ, start_response):
    kind = environ["PATH_INFO"]
    if kind == "/sleep":
        time.sleep(1)
    elif kind == "/burn":
        end = time.thread_time() + 1
        while time.thread_time() < end:
            pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
'''


def ask(connection, path):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


def measure(kind, threads, seconds, folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [os.environ.get("DAEMUN", "daemun"), "late_app:app", "-b", f"127.0.0.1:{port}", "-w", "1", "--threads",
               str(threads), "--static", f"/static={folder}/static", "--keep-alive", "30", "--log-level", "error"]
    server = subprocess.Popen(command, cwd=folder)
    try:
        for _ in range(100):
            try:
                first = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.05)
        ask(first, f"/{kind}")
        end = time.monotonic() + seconds

        def keep_busy():
            with socket.create_connection(("127.0.0.1", port)) as connection:
                while time.monotonic() < end:
                    ask(connection, f"/{kind}")

        busy = [threading.Thread(target=keep_busy) for _ in range(threads + 1)]
        for thread in busy:
            thread.start()
        late = []
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while time.monotonic() < end:
                begin = time.perf_counter()
                ask(connection, "/static/small.txt")
                late.append((time.perf_counter() - begin) * 1000)
                time.sleep(0.005)
        for thread in busy:
            thread.join()
        late.sort()
        print(f"{kind:5}  --threads {threads}: {len(late)} static requests, median {statistics.median(late):.2f} ms, "
              f"99 % {late[int(len(late) * 0.99)]:.2f} ms, worst {late[-1]:.2f} ms", flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(15)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=15)
    arguments.add_argument("--threads", type=int, nargs="*", default=[1, 4])
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "late_app.py").write_text(APP)
        Path(folder, "static").mkdir()
        Path(folder, "static", "small.txt").write_text("x" * 1024)
        for kind in ("sleep", "burn"):
            for threads in given.threads:
                measure(kind, threads, given.seconds, folder)


if __name__ == "__main__":
    main()
