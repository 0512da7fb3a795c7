"""The event loop of a worker, and the application's lifespan (ASGI, "Lifespan Protocol").

The loop waits with `Selector`: while it has nothing to run, the server works on the loop's own thread. A loop that
waits with means of its own (uvloop) is woken through a descriptor, and the server works on another thread.
"""

import asyncio
import contextlib
import selectors
import signal
from collections.abc import Awaitable, Callable
from typing import Any

Log = Callable[[str, str], None]


class StartupFailed(Exception):
    """The application cannot be served; the text is complete."""


class Selector(selectors._BaseSelectorImpl):
    """Descriptors are watched by the server's reactor; waiting for them is serving."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._fd_to_key = reactor.keys
        self._reactor = reactor
        self.select = reactor.select

    def register(self, fileobj, events, data=None):
        key = super().register(fileobj, events, data)
        try:
            self._reactor.register(key.fd, events)
        except BaseException:
            super().unregister(fileobj)
            raise
        return key

    def unregister(self, fileobj):
        key = super().unregister(fileobj)
        self._reactor.unregister(key.fd)
        return key

    def modify(self, fileobj, events, data=None):
        key = self.get_key(fileobj)
        if events != key.events:
            self._reactor.modify(key.fd, events)
        key = key._replace(events=events, data=data)
        self._fd_to_key[key.fd] = key
        return key

    def select(self, timeout=None):  # replaced for each object
        raise NotImplementedError


def single_callable(application: Callable[[dict], Any]) -> Callable[..., Awaitable[None]]:
    """An ASGI 3 application for one of ASGI 2."""

    async def served(scope, receive, send):
        await application(scope)(receive, send)

    return served


class Server:
    """A worker's loop with its application, and the others that share it."""

    def __init__(self, application: Any, reactor: Any, kind: str, lifespan: str, asgi: dict, log: Log) -> None:
        self._reactor = reactor
        self._log = log
        self._lifespan = None if lifespan == "off" else Lifespan(application, lifespan == "on", asgi, log)
        self._others: list[Lifespan] = []
        self._ended = False
        if kind == "uvloop":
            self.loop = _uvloop()
            self.loop.add_reader(reactor.fileno(), self._work)
        else:
            reactor.on_end = self._end
            self.loop = asyncio.SelectorEventLoop(Selector(reactor))
            # A signal has to wake the loop, so that Python's handlers get their turn.
            signal.set_wakeup_fd(self.loop._csock.fileno(), warn_on_full_buffer=False)
        self.eager = kind != "uvloop" and not self.loop.get_debug()
        asyncio.set_event_loop(self.loop)

    @property
    def state(self) -> dict | None:
        return self._lifespan.state if self._lifespan and self._lifespan.supported else None

    def start(self) -> None:
        """Have the application start; raises `StartupFailed`."""
        if self._lifespan:
            with self._unless_ended():
                self.loop.run_until_complete(self._lifespan.startup())

    def join(self, application: Any, lifespan: str, asgi: dict) -> dict | None:
        """Have another application start on this loop; its state, if it has a lifespan."""
        if lifespan == "off":
            return None
        other = Lifespan(application, lifespan == "on", asgi, self._log)
        self._others.append(other)
        with self._unless_ended():
            self.loop.run_until_complete(other.startup())
        return other.state if other.supported else None

    def run(self) -> None:
        """Serve until the worker is done, and have the application stop."""
        if not self._ended:
            self.loop.run_forever()
        try:
            for other in reversed(self._others):
                self.loop.run_until_complete(other.shutdown())
            if self._lifespan:
                self.loop.run_until_complete(self._lifespan.shutdown())
            self._cancel_all()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            if not hasattr(self.loop, "_csock"):
                self.loop.remove_reader(self._reactor.fileno())
            else:
                signal.set_wakeup_fd(-1)
            asyncio.set_event_loop(None)
            self.loop.close()

    def _end(self) -> None:
        self._ended = True
        self.loop.stop()

    @contextlib.contextmanager
    def _unless_ended(self):
        try:
            yield
        except RuntimeError:
            # The loop was stopped because the worker is to end.
            if not self._ended:
                raise

    def _work(self) -> None:
        self._reactor.work()
        if self._reactor.has_ended():
            self._end()

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                self.loop.call_exception_handler(
                    {"message": "unhandled exception at shutdown", "exception": task.exception(), "task": task}
                )


def _uvloop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        raise StartupFailed("`--loop uvloop`: uvloop is not installed\n  hint: pip install uvloop, or use `--loop asyncio`") from None
    return uvloop.new_event_loop()


class Lifespan:
    """The application's lifespan: a task of its own that lives as long as the worker."""

    def __init__(self, application: Any, required: bool, asgi: dict, log: Log) -> None:
        self.state: dict[str, Any] = {}
        self.supported = True
        self._application = application
        self._required = required
        self._asgi = {**asgi, "spec_version": "2.0"}
        self._log = log
        self._failure: str | None = None
        self._startup = False
        self._stopping = False

    async def startup(self) -> None:
        self._receive: asyncio.Queue = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._main(), name="lifespan")
        self._receive.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self._failure is not None:
            raise StartupFailed(self._failure)

    async def shutdown(self) -> None:
        if not self.supported or self._task.done():
            return
        self._stopping = True
        self._receive.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped.wait()
        # Up to the end of the application's own code.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._task])

    async def _main(self) -> None:
        scope = {"type": "lifespan", "asgi": self._asgi, "state": self.state}
        error = None
        try:
            await self._application(scope, self._receive.get, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            error = raised
        finally:
            if not self._startup:
                self._over(error)
            elif error is not None:
                self._log("error", "Exception in 'lifespan' protocol\n" + _trace(error))
            self._started.set()
            self._stopped.set()

    def _over(self, error: BaseException | None) -> None:
        """The application has ended before it had started."""
        self.supported = False
        if self._failure is not None:
            if error is not None and _trace(error).strip() not in self._failure:
                self._failure += "\n" + _trace(error)
        elif self._required:
            what = "Exception in 'lifespan' protocol" if error else "the application returned from 'lifespan' at once"
            self._failure = f"{what}\n{_trace(error) if error else ''}Application startup failed. Exiting."
        elif error is not None:
            self._log("debug", f"ASGI 'lifespan' protocol appears unsupported: {error!r}")

    async def _send(self, message: dict) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._startup and self._failure is None:
            self._startup = True
            self._started.set()
        elif kind == "lifespan.startup.failed" and not self._startup and self._failure is None:
            self._failure = (message.get("message") or "") + "\nApplication startup failed. Exiting."
            self._failure = self._failure.lstrip()
        elif kind == "lifespan.shutdown.complete" and self._stopping:
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed" and self._stopping:
            self._log("error", "Application shutdown failed.\n" + (message.get("message") or ""))
            self._stopped.set()
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' in the lifespan protocol.")


def _trace(error: BaseException) -> str:
    from daemun._app import format_exception

    return format_exception(error)
