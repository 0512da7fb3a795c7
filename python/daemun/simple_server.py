"""Stands in for `wsgiref.simple_server`: the same names and calls, served by Daemun's engine.

    from daemun.simple_server import make_server

    with make_server("", 8000, app) as httpd:
        httpd.serve_forever()

One process and one thread, as in the standard library: for development, tests and tools. For production there is the
program `daemun`.
"""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from ._daemun import SimpleServer

__all__ = ["WSGIRequestHandler", "WSGIServer", "demo_app", "make_server"]

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WSGIRequestHandler:
    """Accepted where `wsgiref` takes a handler class. Requests are handled by the engine, so of its methods only
    `log_message` means something: a class that overrides it, usually to be quiet, gets no request log."""

    def log_message(self, format: str, *args: object) -> None:
        """Override it to serve without a request log."""


class WSGIServer:
    """A listening server. It accepts connections from the moment it is made and answers them while it serves."""

    def __init__(
        self, server_address: tuple[str, int], RequestHandlerClass: type | None = None, bind_and_activate: bool = True
    ) -> None:
        self.RequestHandlerClass = RequestHandlerClass or WSGIRequestHandler
        self.application: App | None = None
        self.base_environ: dict[str, Any] = {}  # its items are put into each request's environ
        log = getattr(self.RequestHandlerClass, "log_message", None) is _log_message_of(self.RequestHandlerClass)
        host, port = server_address
        self._server = SimpleServer(host, port, self._respond, log)
        self.server_address: tuple[str, int] = self._server.address
        self.server_name = self.server_address[0]
        self.server_port = self.server_address[1]
        self._lock = threading.Lock()
        self._idle = threading.Event()  # set while no thread is serving
        self._idle.set()
        self._stopping = False

    def get_app(self) -> App | None:
        """The application served."""
        return self.application

    def set_app(self, application: App) -> None:
        """Serve `application` from the next request on."""
        self.application = application

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Answer requests until `shutdown` is called from another thread. `poll_interval` is not needed."""
        self._serve(once=False)

    def handle_request(self) -> None:
        """Answer one request and return."""
        self._serve(once=True)

    def shutdown(self) -> None:
        """End `serve_forever` and wait until it has returned. Called before it, it ends the coming one at once."""
        with self._lock:
            self._stopping = True
            serving = not self._idle.is_set()
            if serving:
                self._server.stop()
        if serving:
            self._idle.wait()

    def server_close(self) -> None:
        """Close the listening socket."""
        self._server.close()

    def _serve(self, once: bool) -> None:
        with self._lock:
            if self._stopping:
                self._stopping = False
                return
            self._idle.clear()
        try:
            self._server.serve(once)
        finally:
            with self._lock:
                self._stopping = False
                self._idle.set()

    def _respond(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.base_environ:
            environ.update(self.base_environ)
        if self.application is None:
            raise RuntimeError("the server has no application: call set_app() first")
        return self.application(environ, start_response)

    def __enter__(self) -> "WSGIServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server_close()


def _log_message_of(handler_class: type) -> object:
    """The `log_message` that a handler class has when nobody overrode it: ours, or the standard library's."""
    for base in handler_class.__mro__:
        if base.__module__ in (__name__, "http.server") and "log_message" in vars(base):
            return vars(base)["log_message"]
    return None


def make_server(
    host: str,
    port: int,
    app: App,
    server_class: type[WSGIServer] | None = None,
    handler_class: type | None = None,
) -> WSGIServer:
    """A server that listens on `host` (empty: every address) and `port` (0: any free one) and serves `app`."""
    server = (server_class or WSGIServer)((host, port), handler_class)
    server.set_app(app)
    return server


def demo_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A greeting and the request's environ, to try a server with."""
    lines = ["Hello world!", "", *(f"{key} = {value!r}" for key, value in sorted(environ.items()))]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return ["\n".join(lines).encode("utf-8")]


if __name__ == "__main__":
    with make_server("", 8000, demo_app) as httpd:
        print(f"Serving HTTP on {httpd.server_name} port {httpd.server_port} ...")
        httpd.handle_request()
