"""Finds the WSGI application that the command line names: `MODULE[:CALLABLE | :factory('arg', key=1)]`.

Gunicorn's rules: without a name it is `application`; a call is allowed, with literal arguments only. When it fails, the
message says what failed and what to do, and the exit code is Gunicorn's: 3 when the module cannot be imported, 4 when
it has no such application.
"""

import ast
import importlib
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
    """Put the current directory, and the comma-separated directories of `--pythonpath`, in front of `sys.path`."""
    entries = [os.path.abspath(entry) for entry in (pythonpath or "").split(",") if entry]
    for entry in (*entries, os.getcwd()):
        if entry not in sys.path:
            sys.path.insert(0, entry)


def load(spec: str) -> Callable[..., Any]:
    """The application that `spec` names, imported and, when it is a factory call, made."""
    module_name, _, expression = spec.partition(":")
    names, call = _parse(spec, expression or "application")
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
