#!/usr/bin/env python3
"""A minute of mixed load with reloads: no request may fail, and every WebSocket that ends must end with 1012.

    bench/soak.py                      60 s, SIGHUP every 5 s
    bench/soak.py --seconds 600 --reload 2 --workers 4

Clients ask over kept connections, post bodies of all sizes, and echo over WebSockets. Prints what was answered, what
failed, and the memory of the process tree at the beginning and at the end. Ends with 1 when anything failed.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from harness import ClosedEarly, Connection, Server  # noqa: E402
from test_websocket import BINARY, CLOSE, WebSocket  # noqa: E402
from wsidle import memory  # noqa: E402

RESTART = (1012).to_bytes(2, "big")


class Soak:
    """Clients of three kinds, and what came of their requests."""

    def __init__(self, server: Server) -> None:
        self.server, self.address = server, ("127.0.0.1", server.port)
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.answered = dict.fromkeys(("GET", "POST", "WebSocket"), 0)
        self.restarts = 0
        self.failures: list[str] = []

    def count(self, kind: str) -> None:
        with self.lock:
            self.answered[kind] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.failures.append(what)

    def http(self, kind: str) -> None:
        """Requests on a kept connection; a request that the server closed under without a byte is tried once more."""
        connection, fresh = None, True
        while not self.over.is_set():
            body = random.randbytes(random.choice((0, 10, 1000, 70_000, 500_000))) if kind == "POST" else None
            before = 0
            try:
                if connection is None:
                    connection, fresh = Connection(self.address), True
                before = connection.received
                response = connection.request(kind, "/post" if body is not None else "/", body=body).response()
                assert response.status == 200, response.status
                assert response.body == (b"Hello, world!" if body is None else body), "another body"
                self.count(kind)
                fresh = False
                if (response["Connection"] or "").lower() != "close":
                    continue
            except (OSError, AssertionError) as error:
                unanswered = isinstance(error, (OSError, ClosedEarly)) and connection is not None and connection.received == before
                if fresh or not unanswered:
                    self.fail(f"{kind}: {type(error).__name__}: {error}")
            if connection is not None:
                connection.socket.close()
                connection = None

    def websocket(self) -> None:
        while not self.over.is_set():
            try:
                with WebSocket(self.server, "/") as ws:
                    while not self.over.is_set():
                        message = random.randbytes(random.choice((1, 125, 126, 5000, 70_000)))
                        frame = ws.say(message).frame()
                        if frame.opcode == CLOSE:
                            assert frame.payload[:2] == RESTART, frame
                            with self.lock:
                                self.restarts += 1
                            break
                        assert (frame.opcode, frame.payload) == (BINARY, message), "another message"
                        self.count("WebSocket")
            except (OSError, AssertionError) as error:
                self.fail(f"WebSocket: {type(error).__name__}: {error}")

    def run(self, seconds: float, every: float, clients: int) -> int:
        """Run it all; the number of reloads."""
        targets = [(self.http, ("GET",)), (self.http, ("POST",)), (self.websocket, ())] * clients
        threads = [threading.Thread(target=target, args=arguments, daemon=True) for target, arguments in targets]
        for thread in threads:
            thread.start()
        end, reloads = time.monotonic() + seconds, 0
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(every, left))
            if time.monotonic() < end - 1:
                self.server.send_signal(signal.SIGHUP)
                reloads += 1
        self.over.set()
        for thread in threads:
            thread.join(40)
            if thread.is_alive():
                self.fail("a client hangs")
        return reloads


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--reload", type=float, default=5, help="seconds between two SIGHUPs")
    arguments.add_argument("--clients", type=int, default=2, help="of each kind")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--loop", default="auto")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = ("asgi_mixed:app", "-w", given.workers, "--loop", given.loop)
        with Server(*options, directory=Path(folder), cwd=HERE / "apps", env={"PYTHONPATH": os.fspath(HERE / "apps")}) as server:
            server.wait_for_workers(given.workers)
            begin = memory(server.pid)
            soak = Soak(server)
            reloads = soak.run(given.seconds, given.reload, given.clients)
            code, end = None, memory(server.pid)
            code = server.stop()
        log = server.stderr_path.read_text(errors="replace")
    answered = ", ".join(f"{number} {kind}" for kind, number in soak.answered.items())
    print(f"{given.seconds:.0f} s, {reloads} reloads, {soak.restarts} WebSockets told 1012; answered: {answered}")
    print(f"PSS {begin.pss / 1e6:.1f} MB before, {end.pss / 1e6:.1f} MB after")
    print(f"failed: {len(soak.failures)}")
    for failure in soak.failures[:10]:
        print(f"  {failure[:300]}")
    if code or "Traceback" in log:
        print(f"the server ended with {code}\n{log[-3000:]}")
    return 1 if soak.failures or code or "Traceback" in log else 0


if __name__ == "__main__":
    sys.exit(main())
