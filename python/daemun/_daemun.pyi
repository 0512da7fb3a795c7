"""The extension module: crates/python."""

from collections.abc import Callable, Iterable
from typing import Any

__version__: str

class ClientDisconnected(OSError):
    """Raised by an ASGI application's `send` when the client has gone."""

def run(args: list[str]) -> int:
    """The command line program. `args[0]` is the name it was called by; the result is the exit code."""

class SimpleServer:
    """The engine in this process, for `daemun.simple_server`. Listens from construction on."""

    address: tuple[str, int]

    def __init__(
        self, host: str, port: int, app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]], log: bool
    ) -> None: ...
    def serve(self, once: bool) -> None:
        """Answer requests: one if `once`, else until `stop()`. Signals are delivered meanwhile."""

    def stop(self) -> None:
        """From any thread: end `serve()`; if it has not begun, the next one returns at once."""

    def close(self) -> None:
        """Close the listening socket. May be called twice."""
