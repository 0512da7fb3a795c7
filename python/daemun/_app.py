"""Finds the application that the command line names, `MODULE[:CALLABLE | :factory('arg', key=1)]`, and its interface.

Gunicorn's rules: without a name it is `application`; a call is allowed, with literal arguments only. When it fails, the
message says what failed and what to do, and the exit code is Gunicorn's: 3 when the module cannot be imported, 4 when
it has no such application.
"""

import ast
import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

IMPORT_FAILED = 3
NO_APPLICATION = 4


class AppImportError(Exception):
    """The application cannot be loaded. `code` is the exit code; the text is complete, with traceback and hint."""

    def __init__(self, code: int, what: str, hint: str | None = None, trace: str | None = None) -> None:
        self.code = code
        self.what = what
        self.hint = hint
        self.trace = trace
        lines = [what]
        if trace:
            lines.append(trace.rstrip())
        if hint:
            lines.append(f"  hint: {hint}")
        super().__init__("\n".join(lines))


def extend_path(pythonpath: str | None = None) -> None:
    """Put the current directory, and the comma-separated directories of `--pythonpath`, in front of `sys.path`.

    The current directory comes first, unless it stands among them: then those behind it come before it (`--app-dir`).
    """
    entries = [os.path.abspath(entry) for entry in (pythonpath or "").split(",") if entry]
    for entry in (*entries, os.getcwd()):
        if entry not in sys.path:
            sys.path.insert(0, entry)


def load(spec: str, factory: bool = False) -> Callable[..., Any]:
    """The application that `spec` names, imported and, when it is a factory call, made.

    `factory`: what is named is a factory, called without arguments unless `spec` has them. What can only be one, since
    it needs no arguments, is called too; Uvicorn does so.
    """
    module_name, _, expression = spec.partition(":")
    names, call = _parse(spec, expression or "application")
    if factory and call is None:
        call = ([], {})
    module = _import(spec, module_name)
    found: Any = module
    for depth, name in enumerate(names):
        try:
            found = getattr(found, name)
        except AttributeError:
            owner = f"module `{module_name}`" if depth == 0 else f"`{module_name}:{'.'.join(names[:depth])}`"
            raise AppImportError(
                NO_APPLICATION,
                f"cannot load application `{spec}`: {owner} has no attribute `{name}`",
                hint=_nearest(found, name, module_name, names),
            ) from None
    if call is None and _is_factory(found):
        print(f"daemun: `{spec}` takes no arguments, so it is called for the application: "
              f"write `{module_name}:{'.'.join(names)}()`, or use --factory", file=sys.stderr, flush=True)
        call = ([], {})
    if call is not None:
        found = _call(spec, found, *call)
    if found is None:
        raise AppImportError(NO_APPLICATION, f"cannot load application `{spec}`: it is None")
    if not callable(found):
        raise AppImportError(
            NO_APPLICATION,
            f"cannot load application `{spec}`: it is not callable (it is of type `{type(found).__name__}`)",
            hint=_nearest(module, "", module_name, ()),
        )
    return found


def interface(application: Any) -> str:
    """What `application` speaks: `wsgi`, `asgi3`, or `asgi2` (called with the scope, then with `receive` and `send`).

    Told by what can be seen without calling it: asgiref's marks, whether it is a coroutine function or a class, and how
    many positional arguments it takes.
    """
    if getattr(application, "_asgi_single_callable", False):
        return "asgi3"
    if getattr(application, "_asgi_double_callable", False):
        return "asgi2"
    if inspect.isclass(application):
        # An instance is what answers: awaited, called, or (PEP 3333) iterated over.
        if hasattr(application, "__await__"):
            return "asgi3"
        return "asgi2" if _is_coroutine_function(application.__call__) else _by_arguments(application)
    if _is_coroutine_function(application) or _is_coroutine_function(getattr(application, "__call__", None)):
        return "asgi3"
    return _by_arguments(application)


def _is_coroutine_function(function: Any) -> bool:
    """Whether it is one, also behind `functools.partial` and wrappers that say what they wrap."""
    for _ in range(100):  # a wrapper may, by mistake, wrap itself
        # The second is how compiled and marked functions say it.
        if inspect.iscoroutinefunction(function) or getattr(function, "_is_coroutine", None):
            return True
        if isinstance(function, functools.partial):
            function = function.func
            if not inspect.isroutine(function) and not inspect.isclass(function):
                function = getattr(function, "__call__", None)
        else:
            function = getattr(function, "__wrapped__", None)
        if function is None:
            return False
    return False


def _by_arguments(application: Any) -> str:
    """The interface by the positional arguments: (scope), (environ, start_response) or (scope, receive, send)."""
    parameters = _parameters(application)
    if parameters is None:
        return "wsgi"
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = sum(each.default is each.empty for each in positional)
    any_number = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    if needed > 2:
        return "asgi3"
    if needed <= 2 <= len(positional) or any_number and not (positional and positional[0].name == "scope"):
        return "wsgi"
    if any_number:
        return "asgi3"
    return "asgi2" if len(positional) == 1 else "wsgi"


def _is_factory(found: Any) -> bool:
    """Whether a function or class can be no application, because it needs no arguments and does not take any number."""
    if not (inspect.isfunction(found) or inspect.isclass(found)) or _is_coroutine_function(found):
        return False
    parameters = _parameters(found)
    if parameters is None or parameters and parameters[0].name in ("environ", "env", "scope"):
        return False
    return all(
        each.kind is each.VAR_KEYWORD or each.kind is not each.VAR_POSITIONAL and each.default is not each.empty
        for each in parameters
    )


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None  # compiled, and it does not say


def configure_logging(path: str) -> None:
    """Configure Python's `logging` from a file: a dictionary in JSON or YAML, or the form of `fileConfig`."""
    import logging.config

    what = f"cannot configure logging from `{path}`"
    try:
        if path.endswith(".json"):
            import json

            with open(path, "rb") as file:
                logging.config.dictConfig(json.load(file))
        elif path.endswith((".yaml", ".yml")):
            try:
                import yaml
            except ImportError:
                raise AppImportError(
                    IMPORT_FAILED, f"{what}: PyYAML is not installed", hint="install it, or write the file in JSON"
                ) from None
            with open(path, "rb") as file:
                logging.config.dictConfig(yaml.safe_load(file))
        else:
            with open(path, encoding="utf-8") as file:
                logging.config.fileConfig(file, disable_existing_loggers=False)
    except (KeyboardInterrupt, GeneratorExit, AppImportError):
        raise
    except BaseException as error:
        raise AppImportError(
            IMPORT_FAILED, f"{what}: {type(error).__name__}: {error}", trace=format_exception(error)
        ) from error


def _parse(spec: str, expression: str) -> tuple[list[str], tuple[list[Any], dict[str, Any]] | None]:
    """The attribute names, and the arguments when the expression is a call."""
    bad = AppImportError(
        NO_APPLICATION,
        f"cannot load application `{spec}`: `{expression}` is neither a name nor a call of a name",
        hint="write `module:name` or `module:factory('argument', key=1)`",
    )
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise bad from None
    call = None
    if isinstance(tree, ast.Call):
        try:
            arguments = [ast.literal_eval(argument) for argument in tree.args]
            keywords = {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg}
        except ValueError:
            raise AppImportError(
                NO_APPLICATION,
                f"cannot load application `{spec}`: the arguments of the factory are not literals",
                hint="strings, numbers, lists, tuples, dictionaries, True, False and None are allowed",
            ) from None
        if len(keywords) != len(tree.keywords):
            raise bad
        call = (arguments, keywords)
        tree = tree.func
    names: list[str] = []
    while isinstance(tree, ast.Attribute):
        names.insert(0, tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise bad
    names.insert(0, tree.id)
    return names, call


def _import(spec: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise AppImportError(
                IMPORT_FAILED,
                f"cannot load application `{spec}`: there is no module `{missing}`",
                hint=_where_is(name),
            ) from None
        failure: BaseException = error
        hint = f"is `{missing}` installed in this Python ({sys.executable})?"
    except BaseException as error:
        failure = error
        hint = None
    raise AppImportError(
        IMPORT_FAILED,
        f"cannot load application `{spec}`: importing `{name}` failed",
        hint=hint,
        trace=format_exception(failure),
    ) from failure


def _where_is(name: str) -> str:
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        return f"name the module, not the file: `{dotted}`"
    return f"is it in the current directory ({os.getcwd()})? use --chdir or --pythonpath"


def _call(spec: str, factory: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    try:
        return factory(*arguments, **keywords)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        inside = error.__traceback__ is not None and error.__traceback__.tb_next is not None
        if isinstance(error, TypeError) and not inside:
            raise AppImportError(
                NO_APPLICATION,
                f"cannot load application `{spec}`: {error}",
                hint="check the factory's arguments",
            ) from None
        raise AppImportError(
            IMPORT_FAILED,
            f"cannot load application `{spec}`: the factory raised",
            trace=format_exception(error),
        ) from error


def _nearest(owner: Any, name: str, module_name: str, names: tuple[str, ...] | list[str]) -> str | None:
    """What the user may have meant instead: the usual names first, then the most alike."""
    import difflib

    def usable(candidate: str) -> bool:
        return candidate != name and not candidate.startswith("_") and callable(getattr(owner, candidate, None))

    if name in ("", "application", "app"):
        for usual in ("application", "app", "create_app", "make_app"):
            if usable(usual):
                call = "()" if usual.endswith("_app") else ""
                shown = f"`{module_name}:{usual}{call}`"
                return f"it defines `{usual}`: name it, {shown}"
    alike = [candidate for candidate in difflib.get_close_matches(name, dir(owner), n=3) if usable(candidate)]
    if alike:
        return f"did you mean `{alike[0]}`?"
    if name == "application" and list(names) == ["application"]:
        return f"name the application: `{module_name}:NAME`"
    return None


def format_exception(error: BaseException) -> str:
    """The traceback of `error` as Python prints it, from the application's first frame on."""
    detached = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = detached
    while link is not None:
        kept = [frame for frame in link.stack if not _is_ours(frame.filename)]
        link.stack = traceback.StackSummary.from_list(kept)
        link = link.__cause__ or link.__context__
    return "".join(detached.format())


def _is_ours(filename: str) -> bool:
    return (
        filename == __file__
        or filename.startswith("<frozen importlib")
        or filename.endswith(os.path.join("importlib", "__init__.py"))
    )
