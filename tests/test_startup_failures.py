"""What cannot be started says what is wrong and what to do, and leaves with Gunicorn's exit code."""

import os
import socket
import time

import pytest
from harness import APPS, run

unprivileged = pytest.mark.skipif(os.geteuid() == 0, reason="root is allowed everything")
RIGHT_AWAY = 15  # seconds: no silent loop of retries


def fails(*args, code, says, cwd=APPS, env=None):
    begin = time.monotonic()
    result = run(*args, cwd=cwd, env=env)
    assert result.returncode == code, f"exit {result.returncode}\n{result.stderr}"
    for what in says:
        assert what in result.stderr, f"{what!r} is not in:\n{result.stderr}"
    assert "panicked" not in result.stderr
    assert time.monotonic() - begin < RIGHT_AWAY
    return result.stderr


BIND = ("-b", "127.0.0.1:0")


@pytest.mark.parametrize("workers", [(), ("-w", "3"), ("--threads", "4")], ids=["one", "three", "threads"])
def test_a_missing_module_is_3(workers):
    fails("no_such_module", *BIND, *workers, code=3, says=["no_such_module", "hint:", "--chdir", "Worker failed to boot."])


def test_a_file_name_instead_of_a_module_gets_the_module_as_a_hint():
    fails("hello.py", *BIND, code=3, says=["hello.py", "hint:", "`hello`"])


@pytest.mark.parametrize("workers", [(), ("-w", "3")], ids=["one", "three"])
def test_a_raising_import_is_3_and_shows_the_applications_traceback(workers):
    log = fails("raises_at_import", *BIND, *workers, code=3,
                says=["raises_at_import.py", "line 8", "RuntimeError: no database configured", "Worker failed to boot."])
    assert "_app.py" not in log, "our own frames are in the traceback"


def test_a_syntax_error_is_3_and_shows_the_line():
    fails("syntax_error", *BIND, code=3, says=["syntax_error.py", "line 4", "SyntaxError"])


def test_a_missing_dependency_is_told_from_a_missing_application():
    fails("needs_missing", *BIND, code=3, says=["a_module_that_nobody_has", "needs_missing.py", "installed"])


def test_a_missing_attribute_is_4_with_the_nearest_name():
    fails("hello:aplication", *BIND, code=4, says=["`aplication`", "did you mean `application`?", "App failed to load."])


def test_a_module_with_another_name_for_its_application_gets_a_hint(tmp_path):
    (tmp_path / "main.py").write_text("def app(environ, start_response): ...\n")
    fails("main", *BIND, code=4, says=["`application`", "hint:", "`main:app`"], cwd=tmp_path)


def test_something_not_callable_is_4():
    fails("hello:number", *BIND, code=4, says=["hello:number", "not callable", "int"])


def test_none_is_4():
    fails("hello:nothing", *BIND, code=4, says=["hello:nothing", "None"])


def test_a_factory_that_raises_is_3():
    fails("hello:broken_factory()", *BIND, code=3, says=["the factory is out of order"])


def test_wrong_arguments_for_a_factory_are_4():
    fails("hello:factory(1, 2, 3)", *BIND, code=4, says=["factory", "argument"])


def test_a_factory_takes_literals_only():
    fails("hello:factory(open('x'))", *BIND, code=4, says=["literal"])


def test_preload_fails_before_it_forks():
    log = fails("raises_at_import", "--preload", "-w", "2", *BIND, code=1, says=["no database configured"])
    assert "Booting worker" not in log


def test_an_address_in_use_says_so_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        fails("hello", "-b", f"127.0.0.1:{port}", code=1, says=[f"127.0.0.1:{port}", "in use"])


def test_an_address_of_another_machine_is_an_error():
    fails("hello", "-b", "192.0.2.1:8000", code=1, says=["192.0.2.1:8000"])


@unprivileged
def test_a_port_of_the_system_needs_permission():
    fails("hello", "-b", "127.0.0.1:80", code=1, says=["127.0.0.1:80", "ermission"])


@pytest.mark.parametrize("bind", ["127.0.0.1:99999", "127.0.0.1:http", "unix:", "fd://x", "[::1:80"])
def test_a_bind_that_is_no_address_is_an_error(bind):
    result = run("hello", "-b", bind)
    assert result.returncode in (1, 2), result.stderr
    assert "panicked" not in result.stderr and result.stderr


def test_a_descriptor_that_is_not_open_is_an_error():
    fails("hello", "-b", "fd://77", code=1, says=["77"])


def test_a_unix_socket_in_a_missing_directory_is_an_error(tmp_path):
    fails("hello", "-b", f"unix:{tmp_path}/absent/web.sock", code=1, says=["absent/web.sock"])


def test_a_file_that_is_no_socket_is_not_removed(tmp_path):
    (tmp_path / "precious").write_text("data")
    result = run("hello", "-b", f"unix:{tmp_path}/precious")
    assert result.returncode == 1, result.stderr
    assert (tmp_path / "precious").read_text() == "data"


def test_a_missing_directory_to_change_to_is_an_error(tmp_path):
    result = run("hello", "--chdir", tmp_path / "absent", *BIND)
    assert result.returncode in (1, 2)
    assert "absent" in result.stderr


def test_a_missing_static_directory_is_an_error(tmp_path):
    result = run("hello", "--static", f"/static={tmp_path}/absent", *BIND)
    assert result.returncode in (1, 2), result.stderr
    assert "absent" in result.stderr


def test_a_static_file_instead_of_a_directory_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    result = run("hello", "--static", f"/static={tmp_path}/file", *BIND)
    assert result.returncode in (1, 2), result.stderr
    assert "file" in result.stderr


@unprivileged
def test_an_unreadable_static_directory_is_an_error(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    result = run("hello", "--static", f"/static={tmp_path}/closed", *BIND)
    assert result.returncode in (1, 2)
    assert "ermission" in result.stderr


@pytest.mark.parametrize("value", ["/static", "=dir", "static=dir", "/static="])
def test_a_static_mapping_that_is_none_is_an_error(value):
    result = run("hello", "--static", value, *BIND)
    assert result.returncode in (1, 2), result.stderr
    assert "--static" in result.stderr or "static" in result.stderr


@pytest.mark.parametrize("flag", ["--access-logfile", "--error-logfile", "--pid"])
def test_a_file_that_cannot_be_written_is_an_error(flag, tmp_path):
    result = run("hello", flag, tmp_path / "absent" / "file", *BIND)
    assert result.returncode == 1, result.stderr
    assert "absent/file" in result.stderr


def test_a_bad_log_format_is_an_error():
    result = run("hello", "--access-logfile", "-", "--access-logformat", "%(nonsense)s %(h", *BIND)
    assert result.returncode in (1, 2), result.stderr
    assert "format" in result.stderr


def test_an_unknown_worker_class_is_an_error():
    result = run("hello", "-k", "no.such.Worker", *BIND)
    assert result.returncode in (1, 2), result.stderr
    assert "no.such.Worker" in result.stderr


def test_after_a_failed_start_nothing_is_left_behind(tmp_path):
    pid, sock = tmp_path / "pid", tmp_path / "web.sock"
    result = run("raises_at_import", "-p", pid, "-b", f"unix:{sock}")
    assert result.returncode == 3
    assert not pid.exists()
    assert not sock.exists()
