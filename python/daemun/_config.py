"""Executes a configuration file written in Python, `gunicorn.conf.py`, and hands back its top-level names.

The file is ordinary Python: it imports, computes and defines helpers. Which of its names are settings is not known
here; the table of settings decides that.
"""

import os
import sys
import traceback
from types import ModuleType


class ConfigError(Exception):
    """The configuration cannot be used. The text says where and why, with the file's own traceback."""


def load(source: str) -> dict[str, object]:
    """The names that `source` defines: a path, `file:PATH` or `python:MODULE`; `call:` is what `daemun.run` was given.

    Names with two leading underscores and imported modules are left out.
    """
    if source == "call:":
        from . import _run

        return dict(_run.given)
    if source.startswith("python:"):
        names = _from_module(source.removeprefix("python:"))
    else:
        names = _from_file(source.removeprefix("file:"))
    return {
        name: value
        for name, value in names.items()
        if not name.startswith("__") and not isinstance(value, ModuleType)
    }


def _from_file(path: str) -> dict[str, object]:
    filename = os.path.abspath(path)
    try:
        with open(filename, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file `{path}`: {error.strerror}") from None
    # Gunicorn calls the module `__config__`; configuration files pickle and compare by that name.
    module = ModuleType("__config__")
    module.__file__ = filename
    sys.modules["__config__"] = module
    try:
        exec(compile(text, filename, "exec", dont_inherit=True), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(_describe(path, filename, error)) from error
    return vars(module)


def _from_module(name: str) -> dict[str, object]:
    import importlib

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return vars(importlib.import_module(name))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(_describe(f"python:{name}", None, error)) from error


def _describe(shown: str, filename: str | None, error: BaseException) -> str:
    """`FILE:LINE: what`, then the traceback from the first frame that is not ours."""
    frames = _foreign_frames(error)
    line = None
    if isinstance(error, SyntaxError) and (filename is None or error.filename == filename):
        line = error.lineno
    else:
        own = [frame.lineno for frame in frames if frame.filename == filename]
        line = own[-1] if own else None
    where = f"{shown}:{line}" if line else shown
    what = "".join(traceback.format_exception_only(type(error), error)).strip().splitlines()[-1]
    lines = ["Traceback (most recent call last):\n", *frames.format()] if frames else []
    lines += traceback.format_exception_only(type(error), error)
    return f"{where}: {what}\n{''.join(lines).rstrip()}"


def _foreign_frames(error: BaseException) -> traceback.StackSummary:
    """The traceback without this file and without the import machinery before the first frame of others."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [
        frame
        for frame in frames
        if frame.filename != __file__
        and not frame.filename.startswith("<frozen importlib")
        and not frame.filename.endswith(os.path.join("importlib", "__init__.py"))
    ]
    return traceback.StackSummary.from_list(foreign)
