"""The Python files of the package, by themselves: finding the application, reading configuration, watching files."""

import functools
import importlib.util
import io
import json
import logging
import sys
import time
from pathlib import Path

import pytest
from harness import ROOT, run


def face(name):
    """A module of the package, loaded from its file: these need no extension module."""
    specification = importlib.util.spec_from_file_location(f"face_{name}", ROOT / "python" / "daemun" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


app = face("_app")
config = face("_config")
reload = face("_reload")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory, first on the module path; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(spec):
    with pytest.raises(app.AppImportError) as error:
        app.load(spec)
    return error.value


# The application.


def test_factories_take_every_literal(folder):
    (folder / "made.py").write_text("def make(*args, **kwargs):\n    return lambda: (args, kwargs)\n")
    made = app.load("made:make('a', 1, -2.5, None, True, [1, 2], (3,), {'k': b'v'}, key={'nested': [1]})")
    assert made() == (("a", 1, -2.5, None, True, [1, 2], (3,), {"k": b"v"}), {"key": {"nested": [1]}})


@pytest.mark.parametrize("expression", ["a b", "a()()", "a[0]", "1", "'x'", "a(*b)", "a(**b)", "a;b", "lambda: 0", "a(", ""])
def test_only_names_and_calls_of_names_are_taken(folder, expression):
    (folder / "thing.py").write_text("a = lambda *args: None\n")
    assert refused(f"thing:{expression}").code == 4


def test_a_missing_module_hints_at_chdir(folder):
    error = refused("absent_module:app")
    assert error.code == 3
    assert "`absent_module`" in str(error) and "--chdir" in error.hint and str(folder) in error.hint


def test_a_missing_submodule_is_named(folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    error = refused("package.wsgi")
    assert error.code == 3 and "`package.wsgi`" in error.what


def test_a_path_is_told_from_a_module(folder):
    assert "`site.main`" in refused("site/main.py").hint


def test_the_traceback_begins_in_the_application(folder):
    (folder / "outer.py").write_text("import inner\n")
    (folder / "inner.py").write_text("raise KeyError('x')\n")
    error = refused("outer")
    assert error.code == 3
    frames = [line for line in error.trace.splitlines() if line.startswith("  File")]
    assert len(frames) == 2 and "outer.py" in frames[0] and "inner.py" in frames[1]
    assert error.trace.startswith("Traceback (most recent call last):")


def test_an_application_that_exits_at_import_is_a_failure(folder):
    (folder / "quits.py").write_text("import sys\nsys.exit('no licence')\n")
    error = refused("quits")
    assert error.code == 3 and "no licence" in str(error)


def test_the_cause_of_a_failure_is_shown(folder):
    (folder / "chained.py").write_text("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('second') from e\n")
    text = str(refused("chained"))
    assert "ZeroDivisionError" in text and "direct cause" in text and "second" in text


def test_a_type_error_inside_the_factory_is_the_factorys(folder):
    (folder / "typed.py").write_text("def make():\n    return len(3)\n")
    error = refused("typed:make()")
    assert error.code == 3 and "typed.py" in error.trace
    assert refused("typed:make(1)").code == 4


@pytest.mark.parametrize(("defined", "hint"), [("app", "`main:app`"), ("create_app", "`main:create_app()`"), ("appliction", "`appliction`")])
def test_the_hint_names_what_is_there(folder, defined, hint):
    (folder / "main.py").write_text(f"def {defined}(*args): ...\n")
    assert hint in refused("main").hint


def test_the_path_is_extended_in_front(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/usr/lib/elsewhere"])
    app.extend_path("/first,/second")
    assert sys.path == [str(folder), "/second", "/first", "/usr/lib/elsewhere"]


def test_the_directory_of_the_application_comes_before_the_current_one(folder, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/usr/lib/elsewhere"])
    app.extend_path(f"/first,{folder},/app-dir")
    assert sys.path == ["/app-dir", str(folder), "/first", "/usr/lib/elsewhere"]


def test_a_factory_is_called(folder, capsys):
    (folder / "made.py").write_text(
        "def make(what='made'):\n    return lambda environ, start_response: what\n"
        "def application(environ, start_response): ...\n"
        "class Site:\n    def __call__(self, environ, start_response):\n        return 'site'\n"
    )
    assert app.load("made:make", factory=True)(None, None) == "made"
    assert app.load("made:make('other')", factory=True)(None, None) == "other"
    assert capsys.readouterr().err == ""
    assert app.load("made:make")(None, None) == "made", "it can be nothing else"
    assert "write `made:make()`" in capsys.readouterr().err
    assert app.load("made:Site")(None, None) == "site"
    assert app.load("made").__name__ == "application"
    with pytest.raises(app.AppImportError) as error:
        app.load("made:application", factory=True)
    assert error.value.code == 4 and "missing 2 required positional arguments" in error.value.what


# Its interface.


async def asgi3(scope, receive, send): ...
def wsgi(environ, start_response): ...
def asgi2(scope): ...


class Wsgi:
    def __call__(self, environ, start_response): ...
    def method(self, environ, start_response): ...


class Asgi3:
    async def __call__(self, scope, receive, send): ...
    async def method(self, scope, receive, send): ...


class Asgi2:
    def __init__(self, scope): ...
    async def __call__(self, receive, send): ...


class Awaited:
    def __init__(self, scope, receive, send): ...
    def __await__(self): ...


class Iterated:
    """PEP 3333's application as a class."""

    def __init__(self, environ, start_response): ...
    def __iter__(self): ...


class Decorated:
    def timed(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @timed
    async def __call__(self, scope, receive, send): ...

    @timed
    def wsgi(self, environ, start_response): ...


def unsigned(*args, **kwargs): ...


def marked(name):
    def application(environ, start_response): ...

    setattr(application, name, True)
    return application


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        (asgi3, "asgi3"), (Asgi3(), "asgi3"), (Asgi3().method, "asgi3"), (functools.partial(asgi3), "asgi3"),
        (functools.partial(lambda setting, scope, receive, send: None, 1), "asgi3"), (functools.partial(Asgi3()), "asgi3"),
        (lambda scope, receive, send: asgi3(scope, receive, send), "asgi3"), (Awaited, "asgi3"), (Decorated(), "asgi3"),
        (marked("_asgi_single_callable"), "asgi3"), (marked("_is_coroutine"), "asgi3"),
        (lambda scope, *rest: asgi3(scope, *rest), "asgi3"),
        (asgi2, "asgi2"), (Asgi2, "asgi2"), (functools.partial(Asgi2), "asgi2"), (marked("_asgi_double_callable"), "asgi2"),
        (functools.partial(lambda setting, scope: None, 1), "asgi2"),
        (wsgi, "wsgi"), (Wsgi(), "wsgi"), (Wsgi().method, "wsgi"), (Iterated, "wsgi"), (Decorated().wsgi, "wsgi"),
        (functools.partial(lambda setting, environ, start: None, 1), "wsgi"), (unsigned, "wsgi"), (print, "wsgi"),
        (lambda environ, start_response, extra=None: None, "wsgi"), (lambda environ, *rest: None, "wsgi"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__qualname__", type(value).__name__),
)
def test_the_interface_is_seen(application, expected):
    assert app.interface(application) == expected


def test_a_wrapper_around_itself_is_no_endless_loop():
    def application(environ, start_response): ...

    application.__wrapped__ = application
    assert app.interface(application) == "wsgi"


def test_the_interface_of_frameworks_is_seen():
    import channels.routing
    import falcon
    import falcon.asgi
    import fastapi
    import flask
    import quart
    import starlette.applications
    import starlette.endpoints
    from asgiref.compatibility import guarantee_single_callable
    from asgiref.wsgi import WsgiToAsgi
    from django.conf import settings
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from starlette.middleware.gzip import GZipMiddleware

    if not settings.configured:
        settings.configure()
    applications = {
        "wsgi": [flask.Flask("x"), flask.Flask("x").wsgi_app, falcon.App(), WSGIHandler()],
        "asgi3": [
            starlette.applications.Starlette(), fastapi.FastAPI(), quart.Quart("x"), falcon.asgi.App(), ASGIHandler(),
            GZipMiddleware(fastapi.FastAPI()), WsgiToAsgi(flask.Flask("x")), starlette.endpoints.HTTPEndpoint,
            channels.routing.ProtocolTypeRouter({}), channels.routing.URLRouter([]), guarantee_single_callable(Asgi2),
        ],
    }
    seen = [(app.interface(one), expected, one) for expected, ones in applications.items() for one in ones]
    assert [each for each in seen if each[0] != each[1]] == []


# Python's logging.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"there": {"class": "logging.NullHandler", "level": "ERROR"}},
    "loggers": {"of_this_test": {"handlers": ["there"], "level": "WARNING"}},
}
FILE_CONFIG = """
[loggers]
keys=root,ours
[handlers]
keys=there
[formatters]
keys=
[handler_there]
class=NullHandler
level=ERROR
args=()
[logger_root]
handlers=
[logger_ours]
qualname=of_this_test
level=WARNING
handlers=there
"""


@pytest.mark.parametrize(("name", "text"), [("log.json", json.dumps(LOGGING)), ("log.ini", FILE_CONFIG), ("log.yaml", None)])
def test_logging_is_configured_from_a_file(folder, name, text):
    if text is None:
        pytest.importorskip("yaml")
        text = json.dumps(LOGGING)
    (folder / name).write_text(text)
    ours, root = logging.getLogger("of_this_test"), logging.getLogger()
    before = (root.level, root.handlers[:])
    try:
        app.configure_logging(name)
        assert ours.level == logging.WARNING and isinstance(ours.handlers[0], logging.NullHandler)
    finally:
        ours.handlers.clear()
        ours.setLevel(logging.NOTSET)
        root.setLevel(before[0])
        root.handlers[:] = before[1]


@pytest.mark.parametrize(("name", "text", "what"), [("a.json", "{", "JSONDecodeError"), ("a.ini", "x", "MissingSectionHeader"), ("a.json", "{}", "version")])
def test_a_bad_configuration_of_logging_says_what_is_wrong(folder, name, text, what):
    (folder / name).write_text(text)
    with pytest.raises(app.AppImportError) as error:
        app.configure_logging(name)
    assert f"`{name}`" in error.value.what and what in str(error.value)


def test_yaml_needs_pyyaml(folder, monkeypatch):
    (folder / "log.yaml").write_text("version: 1\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(app.AppImportError) as error:
        app.configure_logging("log.yaml")
    assert "PyYAML is not installed" in error.value.what


# The configuration.


def test_plain_names_are_returned(folder):
    (folder / "conf.py").write_text("import os\nworkers = 2\n_private = 3\ndef when_ready(server): pass\nbind = [f'unix:{os.sep}x']\n")
    for source in ("conf.py", f"file:{folder}/conf.py", "python:conf"):
        names = config.load(source)
        assert (names["workers"], names["bind"]) == (2, ["unix:/x"])
        assert callable(names["when_ready"])
        assert "os" not in names and not [name for name in names if name.startswith("__")]


def test_a_configuration_file_knows_its_name(folder):
    (folder / "conf.py").write_text("where = __file__\nname = __name__\n")
    assert config.load("conf.py") == {"where": str(folder / "conf.py"), "name": "__config__"}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [("x = 1\n1 / 0\n", "conf.py:2", "ZeroDivisionError"), ("x = (\n", "conf.py:1", "SyntaxError"), ("import absent_thing\n", "conf.py:1", "absent_thing"),
     ("def f():\n    raise ValueError('deep')\nf()\n", "conf.py:2", "deep"), ("raise SystemExit(3)\n", "conf.py:1", "SystemExit"),
     ("\0", "conf.py", "null byte")],
)
def test_an_error_has_file_line_and_traceback(folder, text, where, what):
    (folder / "conf.py").write_text(text)
    with pytest.raises(config.ConfigError) as error:
        config.load("conf.py")
    message = str(error.value)
    assert message.startswith(where) and what in message
    assert "_config.py" not in message


def test_an_absent_file_or_module_is_an_error(folder):
    for source in ("absent.py", "python:absent_module"):
        with pytest.raises(config.ConfigError) as error:
            config.load(source)
        assert "absent" in str(error.value)


# Reloading.


def changed(folder, edit, **arguments):
    """What the watcher tells of after `edit`."""
    seen = []
    reload.watch(seen.append, **arguments)
    edit()
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
    return [Path(path).name for path in seen]


def test_an_extra_file_is_watched(folder):
    (folder / "data.txt").write_text("1")
    assert changed(folder, lambda: (folder / "data.txt").write_text("22"), extra=["data.txt"]) == ["data.txt"]


def test_files_in_an_extra_directory_are_watched(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "data.txt").write_text("1")
    assert changed(folder, lambda: (folder / "sub" / "data.txt").write_text("22"), extra=["sub"]) == ["data.txt"]


def test_extra_names_may_have_wildcards(folder):
    (folder / "a.yaml").write_text("1")
    (folder / "b.txt").write_text("1")
    assert str(folder / "a.yaml") in reload.source_files(["*.yaml"])
    assert str(folder / "b.txt") not in reload.source_files(["*.yaml"])


def test_directories_are_watched_by_wildcards(folder):
    for name in ("app/a.py", "app/a.html", "app/a.txt", "app/.hidden.py", "app/skip/b.py", "other/c.py", "app/d_test.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")

    def found(*arguments):
        return {str(Path(path).relative_to(folder)) for path in reload.Watched(*arguments).files()}

    assert found() == set()
    assert found(["app"]) == {"app/a.py", "app/skip/b.py", "app/d_test.py"}
    assert found(["app"], ["*.html"], ["app/skip", "*_test.py"]) == {"app/a.py", "app/a.html"}
    assert found(["app"], ["a.txt"], ["skip/*.py", "app/d*"]) == {"app/a.py", "app/a.txt"}
    assert found([], ["*.txt"]) == {"app/a.py", "app/a.txt", "app/skip/b.py", "app/d_test.py", "other/c.py"}
    assert found(["app/skip"], ["other"]) == {"app/skip/b.py", "other/c.py"}


def test_a_file_that_appears_or_goes_counts_in_a_watched_directory(folder):
    (folder / "sub").mkdir()
    new, gone = folder / "sub" / "new.html", folder / "sub" / "gone.py"
    quick = {"directories": ["sub"], "includes": ["*.html"], "delay": 0.05}
    assert changed(folder, lambda: new.write_text("x"), **quick) == ["new.html"]
    gone.write_text("")
    assert changed(folder, gone.unlink, **quick) == ["gone.py"]


def test_an_excluded_module_is_not_watched(folder):
    (folder / "left_out.py").write_text("x = 1\n")
    __import__("left_out")
    seen = []
    reload.watch(seen.append, excludes=["left_*"], delay=0.05)
    (folder / "left_out.py").write_text("x = 22\n")
    time.sleep(0.5)
    assert seen == []


def test_a_new_file_counts_while_the_application_is_broken(folder):
    assert changed(folder, lambda: (folder / "missing.py").write_text("x = 1"), everything=True) == ["missing.py"]


def test_loaded_modules_are_watched(folder):
    (folder / "watched_module.py").write_text("x = 1\n")
    __import__("watched_module")
    assert str(folder / "watched_module.py") in reload.source_files()


def test_virtual_environments_are_not_walked(folder):
    for name in (".venv", "node_modules", "__pycache__", ".git", "package"):
        (folder / name).mkdir()
        (folder / name / "a.py").write_text("")
    assert reload.python_files_below(".") == {str(folder / "package" / "a.py")}


def test_the_error_page_is_escaped_and_says_500():
    started = []
    body = b"".join(reload.error_app("Traceback:\n  <script>\nValueError: a & b")({}, lambda *args: started.append(args)))
    assert started[0][0].startswith("500 ")
    assert b"&lt;script&gt;" in body and b"<script>" not in body and b"<h1>ValueError: a &amp; b</h1>" in body
    assert dict(started[0][1])["Content-Length"] == str(len(body))


def test_the_error_page_survives_odd_text():
    assert reload.error_app("lone surrogate \ud800")({}, lambda *args: None)[0]


# From Python.


def test_the_keywords_are_up_to_date():
    result = run("--settings-keywords")
    assert result.returncode == 0, result.stderr
    assert (ROOT / "python" / "daemun" / "_keywords.py").read_text() == result.stdout, "run `make docs`"


def test_nothing_slow_is_imported_for_the_command_line():
    text = (ROOT / "python" / "daemun" / "__main__.py").read_text() + (ROOT / "python" / "daemun" / "__init__.py").read_text()
    imported = {line.split()[1] for line in io.StringIO(text) if line.startswith(("import ", "from "))}
    assert imported <= {"sys", "daemun", "._daemun"}
