"""`daemun.run`: the server from Python, as `uvicorn.run` is.

The settings go to the program as if they stood in a configuration file, by `given`; an application that is an object
stays here as `application`, where the workers find it, because they are forked. With `reload` the server runs in an
interpreter of its own: what the calling program has imported already could not be loaded anew here.
"""

import os
import signal
import sys
import threading
from typing import Any

from ._keywords import KEYWORDS

given: dict[str, object] = {}  # read by `daemun._config.load("call:")`, again at each reload of the settings
application: Any = None
_serving = False  # also in the workers

LEVELS = {5: "trace", 10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


def run(app: Any, settings: dict[str, Any]) -> None:
    """Serve until the end; SystemExit when the server could not start."""
    for name in settings:
        if name not in KEYWORDS:
            raise TypeError(f"daemun.run() got an unexpected keyword argument '{name}'{_nearest(name)}")
    _check_caller()
    if settings.get("reload"):
        code = _in_fresh_interpreter(app, settings)
    else:
        code = _serve(app, settings)
    if code:
        raise SystemExit(code)


def _nearest(name: str) -> str:
    import difflib

    alike = difflib.get_close_matches(name, KEYWORDS, n=1)
    return f". Did you mean '{alike[0]}'?" if alike else ""


def _check_caller() -> None:
    if _serving:
        raise RuntimeError(
            "daemun.run() is called while a server runs in this process: does the application's module call it when it "
            'is imported? put the call under `if __name__ == "__main__":`'
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("daemun.run() must be called from the main thread: it forks, and takes the signals")
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError("daemun.run() cannot be called from a running event loop: it serves until it is told to end")


def _serve(app: Any, settings: dict[str, Any]) -> int:
    global given, application, _serving
    from . import _daemun

    plain = {name: _plain(name, value) for name, value in settings.items()}
    given = {name: value for name, value in plain.items() if value is not None}
    if not isinstance(app, str):
        application, app = app, f"{__name__}:application"
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # or each worker would write it once more
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    _serving = True
    try:
        return _daemun.run(["daemun.run", "--", app])
    finally:
        _serving = False
        application = None
        for number, handler in handlers.items():
            if handler is not None and number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, handler)


def _plain(name: str, value: Any) -> Any:
    """A value of the kinds that a configuration file has; Uvicorn takes some others, too."""
    if name in ("ws_ping_interval", "ws_ping_timeout") and value is None:
        return 0
    if name in ("headers",):
        return [item if isinstance(item, str) else ":".join(map(_text, item)) for item in value or ()]
    if name in ("log_config", "logconfig") and value is not None and not isinstance(value, (str, os.PathLike)):
        _configure_logging(value)  # here, before the fork: the workers have it from this process
        return None
    if name in ("log_level", "loglevel") and isinstance(value, int):
        return LEVELS.get(value, "trace" if value < 10 else "info")
    if name in ("http", "ws") and value is not None and not isinstance(value, str):
        import warnings

        warnings.warn(f"daemun.run(): {name}={value!r} has no effect: Daemun has its own implementation", stacklevel=6)
        return None
    if name == "forwarded_allow_ips" and isinstance(value, (list, tuple)):
        return ",".join(value)
    if isinstance(value, (list, tuple)):
        return [_text(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _configure_logging(value: Any) -> None:
    import logging.config

    if isinstance(value, dict):
        logging.config.dictConfig(value)
    else:
        logging.config.fileConfig(value, disable_existing_loggers=False)


def _in_fresh_interpreter(app: Any, settings: dict[str, Any]) -> int:
    """Serve in a child, and hand on the signals that are meant for the server."""
    import json
    import subprocess

    if not isinstance(app, str):
        raise SystemExit("daemun: with reload=True, name the application as 'module:name': an object cannot be reloaded")
    try:
        message = json.dumps([app, settings, sys.path], default=os.fspath)
    except TypeError as error:
        raise TypeError(f"daemun.run(): with reload=True the settings must be plain values: {error}") from None
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    line = [sys.executable, *flags, "-c", f"from daemun._run import child; child({reading})"]
    wanted = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)
    early: list[int] = []
    before = {number: signal.signal(number, lambda number, _: early.append(number)) for number in wanted}
    try:
        server = subprocess.Popen(line, close_fds=False)
        os.close(reading)
        with open(writing, "w", encoding="utf-8") as pipe:
            pipe.write(message)

        def hand_on(number: int, _: object) -> None:
            # A terminal's Ctrl-C has reached the child already; two of them are one, and end it just as well.
            server.send_signal(number)

        for number in wanted:
            signal.signal(number, hand_on)
        for number in early:
            server.send_signal(number)
        code = server.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    return code if code >= 0 else 128 - code


def child(descriptor: int) -> None:
    """What the fresh interpreter does; it reads from `descriptor` what to serve, and how."""
    import json

    with open(descriptor, encoding="utf-8") as pipe:
        app, settings, sys.path[:] = json.load(pipe)
    sys.argv[:] = ["daemun"]
    sys.exit(_serve(app, settings))
