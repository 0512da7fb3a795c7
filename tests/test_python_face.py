"""The Python files of the package, by themselves: finding the application, reading configuration, watching files."""

import importlib.util
import io
import sys
import time
from pathlib import Path

import pytest
from harness import ROOT


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


def test_nothing_slow_is_imported_for_the_command_line():
    text = (ROOT / "python" / "daemun" / "__main__.py").read_text() + (ROOT / "python" / "daemun" / "__init__.py").read_text()
    imported = {line.split()[1] for line in io.StringIO(text) if line.startswith(("import ", "from "))}
    assert imported <= {"sys", "daemun", "._daemun"}
