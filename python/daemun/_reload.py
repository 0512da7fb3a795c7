"""`--reload`, for development: notices that a source file changed, and shows why the application cannot be imported.

Files are polled: it works on every file system (shared folders of virtual machines and containers do not report
changes), and a few hundred `stat` calls twice a second cost nothing that matters on a developer's machine.
"""

import fnmatch
import glob
import html
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

INTERVAL = 0.5  # seconds between two looks
SHORTEST = 0.05
SKIPPED_DIRECTORIES = {"__pycache__", "node_modules", ".git", ".hg", ".venv", "venv", ".tox", ".mypy_cache"}


def source_files(extra: Iterable[str] = (), modules: bool = True) -> set[str]:
    """The files of all modules loaded now, and `extra`: files, directories for what is in them, names with wildcards."""
    files = set()
    for module in list(sys.modules.values()) if modules else ():
        name = getattr(module, "__file__", None)
        if isinstance(name, str):
            files.add(name[:-1] if name.endswith(".pyc") else name)
    for path in extra:
        if any(character in path for character in "*?["):
            files.update(os.path.abspath(found) for found in glob.glob(path, recursive=True))
        elif os.path.isdir(path):
            files.update(_files_below(path, ""))
        else:
            files.add(os.path.abspath(path))
    return files


def python_files_below(root: str) -> set[str]:
    """Every `*.py` below `root`: what may have to change before the application can be imported at all."""
    return set(_files_below(root, ".py"))


def _files_below(root: str, suffix: str) -> Iterable[str]:
    for directory, below, names in os.walk(os.path.abspath(root)):
        below[:] = [name for name in below if name not in SKIPPED_DIRECTORIES and not name.startswith(".")]
        for name in names:
            if name.endswith(suffix):
                yield os.path.join(directory, name)


class Watched:
    """Files of directories by wildcards: Uvicorn's `--reload-dir`, `--reload-include`, `--reload-exclude`.

    A wildcard without a slash is for names, one with slashes for the end of a path. A directory among the included is
    watched, too; one among the excluded is not, with all that is below.
    """

    def __init__(self, directories: Iterable[str] = (), includes: Iterable[str] = (), excludes: Iterable[str] = ()) -> None:
        includes, excludes = list(includes), list(excludes)
        self.directories = [os.path.abspath(path) for path in (*directories, *filter(os.path.isdir, includes))]
        if includes and not self.directories:
            self.directories = [os.getcwd()]
        self.includes = ["*.py", *(pattern for pattern in includes if not os.path.isdir(pattern))]
        self.excludes = [".*", "~*", *(pattern for pattern in excludes if not os.path.isdir(pattern))]
        self.without = [os.path.join(os.path.abspath(path), "") for path in excludes if os.path.isdir(path)]

    def excluded(self, path: str) -> bool:
        """Whether changes of this file do not count."""
        return path.startswith(tuple(self.without)) or _matches(path, self.excludes)

    def files(self) -> set[str]:
        """What is there now."""
        found = {path for root in self.directories for path in _files_below(root, "")}
        return {path for path in found if _matches(path, self.includes) and not self.excluded(path)}


def _matches(path: str, patterns: list[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(path, os.path.join("*", pattern)) if "/" in pattern
        else fnmatch.fnmatchcase(os.path.basename(path), pattern)
        for pattern in patterns
    )


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def watch(
    on_change: Callable[[str], object],
    extra: Iterable[str] = (),
    everything: bool = False,
    directories: Iterable[str] = (),
    includes: Iterable[str] = (),
    excludes: Iterable[str] = (),
    delay: float = INTERVAL,
) -> threading.Thread:
    """Call `on_change(path)` once, from a daemon thread, when a source file changed, appeared or went away.

    Watched are the modules that are loaded, `extra`, and the files that `Watched` finds. `everything` also watches every
    `*.py` below the current directory, for an application that failed to import. `delay`: seconds between two looks.
    """
    extra = list(extra)
    root = os.getcwd()
    watched = Watched(directories, includes, excludes)
    seen: dict[str, tuple[int, int, int] | None] = {}

    def files() -> tuple[set[str], set[str]]:
        """All files, and those of them that count when they are new."""
        new = watched.files() | (python_files_below(root) if everything else set())
        loaded = {path for path in source_files() if not watched.excluded(path)}
        return loaded | source_files(extra, modules=False) | new, new

    def look() -> str | None:
        now, new = files()
        for path in now | seen.keys():
            stamp = _stamp(path)
            if path not in seen:
                seen[path] = stamp
                if path in new and started.is_set():
                    return path  # it may be the missing module
            elif seen[path] != stamp:
                return path
        return None

    def loop() -> None:
        while True:
            time.sleep(max(delay, SHORTEST))
            path = look()
            if path is not None:
                on_change(path)
                return

    # The first look happens here, before the thread: an edit right after the call is not missed.
    started = threading.Event()
    look()
    started.set()
    thread = threading.Thread(target=loop, name="daemun-reload", daemon=True)
    thread.start()
    return thread


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>The application cannot be loaded</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #faf7f5; color: #222; }}
header {{ background: #a3262a; color: #fff; padding: 1.2rem 2rem; }}
header h1 {{ font-size: 1.3rem; margin: 0; }}
header p {{ margin: .3rem 0 0; opacity: .85; }}
pre {{ margin: 1.5rem 2rem; padding: 1rem; background: #fff; border: 1px solid #e2dad5; border-radius: 6px;
      overflow-x: auto; font: 13px/1.5 ui-monospace, monospace; }}
</style>
</head>
<body>
<header><h1>{title}</h1><p>Daemun loads it again as soon as a source file changes: fix it and reload this page.</p></header>
<pre>{text}</pre>
</body>
</html>
"""


def error_app(text: str) -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]:
    """A WSGI application that answers every request with status 500 and `text`, a traceback, to read."""
    title = next((line.strip() for line in reversed(text.splitlines()) if re.match(r"\w[\w.]*(Error|Exception|Exit)\b", line)),
                 "The application cannot be loaded")
    page = PAGE.format(title=html.escape(title), text=html.escape(text)).encode("utf-8", "backslashreplace")
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(page))),
        ("Cache-Control", "no-store"),
    ]

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("500 Internal Server Error", list(headers))
        return [page]

    return application
