"""The command line: Gunicorn's flags, and where their values come from."""

import json
import os
import pwd
import re
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from harness import APPS, DAEMUN, Connection, alive, environment, python_program, run, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing the user needs root")


def needs_reachable_python():
    """A Python below /root cannot be imported from by another user: then there is nothing to test."""
    try:
        done = subprocess.run(python_program("-c", "import json"), user="nobody", group="nogroup", extra_groups=[], capture_output=True)
    except (OSError, KeyError):
        pytest.skip("nobody cannot run this Python")
    if done.returncode:
        pytest.skip("nobody cannot read this Python's library")


# Which application.


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("hello", "Hello"),
        ("hello:application", "Hello"),
        ("hello:app", "app"),
        ("hello:factory()", "made"),
        ("hello:factory('well')", "well"),
        ("hello:factory(greeting='twice', times=2)", "twice twice"),
        ("hello:Namespace.inner.application", "app"),
    ],
)
def test_the_application_is_named_as_for_gunicorn(serve, spec, answer):
    assert serve(spec).get("/").text == answer


def test_options_may_stand_before_and_after_the_application(serve):
    server = serve("-w", "2", "hello", "--threads", "1")
    server.wait_for_workers(2)
    assert server.get("/").text == "Hello"


def test_the_module_form_is_the_same_program(serve):
    server = serve("hello", program=python_program("-m", "daemun"))
    assert server.get("/").text == "Hello"


def test_the_application_sees_the_virtual_environment(serve):
    info = serve("info").json("/")
    assert Path(info["executable"]).resolve() == Path(python_program()[0]).resolve()
    assert Path(info["prefix"]) == Path(python_program()[0]).parent.parent


# Where it listens.


def test_several_binds_are_all_served(serve):
    server = serve("hello", "-b", "127.0.0.1:0", "--bind", "127.0.0.2:0", bind=None)
    assert len(server.addresses) == 2
    for address in server.addresses:
        host, port = address.removeprefix("http://").split(":")
        with Connection((host, int(port))) as connection:
            assert connection.request().response().text == "Hello"


def test_a_bare_port_listens_on_every_address(serve):
    server = serve("hello", bind=":0")
    assert server.addresses[0].startswith("http://0.0.0.0:")
    assert server.get("/").text == "Hello"


def test_a_bare_host_gets_port_8000():
    result = run("hello", "--print-config", "-b", "127.0.0.9")
    assert result.returncode == 0
    assert "127.0.0.9" in result.stdout


def test_ipv6_is_written_in_brackets(serve):
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    server = serve("hello", bind="[::1]:0")
    assert server.addresses[0].startswith("http://[::1]:")
    with Connection(("::1", server.port)) as connection:
        assert connection.request().response().text == "Hello"


def test_a_unix_socket_is_made_served_and_removed(serve, tmp_path):
    path = tmp_path / "web.sock"
    server = serve("hello", bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"
    assert server.stop() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(serve, tmp_path):
    path = tmp_path / "web.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    serve("hello", bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"


def test_the_umask_makes_the_mode_of_a_unix_socket(serve, tmp_path):
    path = tmp_path / "web.sock"
    serve("hello", "-m", "007", bind=f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o770


def test_the_client_of_a_unix_socket_has_no_address_and_wsgi_still_holds(serve, tmp_path):
    path = tmp_path / "web.sock"
    serve("info", bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        environ = json.loads(connection.request().response().body)["environ"]
    assert environ["REMOTE_ADDR"] == ""
    assert environ["SERVER_NAME"]
    assert isinstance(environ["SERVER_PORT"], str)


def test_an_inherited_descriptor_is_a_listener(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        server = serve("hello", bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        with Connection(listener.getsockname()) as connection:
            assert connection.request().response().text == "Hello"
        assert str(listener.getsockname()[1]) in "".join(server.addresses)


def test_the_variable_port_is_the_default_bind(serve):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = serve("hello", bind=None, env={"PORT": str(port)})
    assert server.addresses == [f"http://0.0.0.0:{port}"]


def test_the_variable_script_name_is_where_the_application_is_mounted(serve):
    server = serve("info", env={"SCRIPT_NAME": "/shop/"})
    for path, rest in [("/shop/a%20b", "/a b"), ("/shop", ""), ("/shopping", "/shopping"), ("/", "/")]:
        environ = server.json(path)["environ"]
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", rest)


def test_a_configuration_of_nginx_is_told_to_be_one(tmp_path):
    config = tmp_path / "nginx.conf"
    config.write_text("worker_processes 1;\nevents {}\n")
    result = run("hello", "-c", config)
    assert result.returncode == 1
    assert "nginx.conf:1: SyntaxError" in result.stderr
    assert "hint: a configuration file is Python here" in result.stderr


def test_reuse_port_lets_two_servers_share_a_port(serve):
    first = serve("hello", "--reuse-port")
    second = serve("hello", "--reuse-port", bind=f"127.0.0.1:{first.port}")
    assert first.port == second.port
    first.stop()
    assert second.get("/").text == "Hello"


def test_the_backlog_is_accepted(serve):
    assert serve("hello", "--backlog", "16").get("/").text == "Hello"


# Workers.


def test_as_many_workers_as_asked_for(serve):
    server = serve("hello", "-w", "3")
    assert len(server.wait_for_workers(3)) == 3


def test_web_concurrency_is_the_default_number_of_workers(serve):
    serve("hello", env={"WEB_CONCURRENCY": "2"}).wait_for_workers(2)


def test_the_flag_is_stronger_than_web_concurrency(serve):
    serve("hello", "--workers", "1", env={"WEB_CONCURRENCY": "3"}).wait_for_workers(1)


@pytest.mark.parametrize("arguments", [("-k", "sync"), ("-k", "gthread"), ("--worker-class", "gthread", "--threads", "3")])
def test_gunicorns_worker_classes_are_accepted(serve, arguments):
    assert serve("hello", *arguments).get("/").text == "Hello"


def test_threads_answer_beside_each_other(serve, tmp_path):
    server = serve("kitchen", "--threads", "4")
    connections = [server.connect() for _ in range(4)]
    for connection in connections:
        connection.request("GET", "/thread?s=0.5")
    names = {connection.response().text for connection in connections}
    assert len(names) == 4, names
    for connection in connections:
        connection.socket.close()


def test_one_thread_is_always_the_same_and_the_main_thread(serve):
    server = serve("info")
    seen = set()
    for _ in range(5):
        info = server.json("/")
        seen.add((info["thread"], info["main_thread"]))
    assert seen == {("MainThread", True)}


def test_without_preload_each_worker_imports_the_application(serve):
    server = serve("info", "-w", "2")
    info = server.json("/")
    assert info["imported_in"] == info["pid"]
    assert info["ppid"] == server.pid


def test_preload_imports_the_application_once_in_the_master(serve):
    server = serve("info", "-w", "2", "--preload")
    info = server.json("/")
    assert info["imported_in"] == server.pid != info["pid"]


# The process.


def test_chdir_is_where_the_application_is_looked_for(serve, tmp_path):
    server = serve("info", "--chdir", APPS, cwd=tmp_path)
    info = server.json("/")
    assert info["cwd"] == str(APPS)
    assert info["path"][0] == str(APPS)


def test_pythonpath_directories_are_searched(serve, tmp_path):
    (tmp_path / "helper_of_app.py").write_text("GREETING = b'found'\n")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "app_elsewhere.py").write_text(
        "import helper_of_app\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [helper_of_app.GREETING]\n"
    )
    server = serve("app_elsewhere", "--pythonpath", f"{tmp_path},{tmp_path / 'second'}")
    assert server.get("/").text == "found"


def test_environment_variables_are_set_for_the_application(serve):
    env = serve("info", "-e", "FIRST=1", "--env", "SECOND=a=b").json("/")["env"]
    assert (env["FIRST"], env["SECOND"]) == ("1", "a=b")


def test_the_pid_file_names_the_master_and_goes_with_it(serve, tmp_path):
    path = tmp_path / "daemun.pid"
    server = serve("hello", "-p", path)
    assert path.read_text().strip() == str(server.pid)
    server.stop()
    assert not path.exists()


def test_a_stale_pid_file_is_replaced(serve, tmp_path):
    path = tmp_path / "daemun.pid"
    path.write_text("999999999\n")
    server = serve("hello", "--pid", path)
    assert path.read_text().strip() == str(server.pid)


def test_the_pid_file_of_a_living_server_is_respected(serve, tmp_path):
    path = tmp_path / "daemun.pid"
    first = serve("hello", "--pid", path)
    result = run("hello", "--pid", path, "-b", "127.0.0.1:0")
    assert result.returncode == 1
    assert str(first.pid) in result.stderr
    assert path.read_text().strip() == str(first.pid)


def test_daemon_leaves_the_terminal_and_writes_its_logs(tmp_path):
    path, log = tmp_path / "daemun.pid", tmp_path / "error.log"
    result = run("info", "-D", "-p", path, "--error-logfile", log, "-b", "127.0.0.1:0")
    assert result.returncode == 0, result.stderr
    pid = int(until(lambda: path.exists() and path.read_text().strip(), "the pid file"))
    try:
        until(lambda: log.exists() and "Listening at:" in log.read_text(), "the server to listen")
        port = int(re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text()).group(1))
        with Connection(("127.0.0.1", port)) as connection:
            info = json.loads(connection.request().response().body)
        assert info["sid"] != os.getsid(0)
        assert info["ppid"] == pid
        assert info["cwd"] == str(APPS)
    finally:
        os.kill(pid, 15)
        until(lambda: not alive(pid), "the daemon to end")


@as_root
def test_the_workers_run_as_the_user_and_group_named(serve):
    needs_reachable_python()
    nobody = pwd.getpwnam("nobody")
    server = serve("info", "-u", "nobody", "-g", str(nobody.pw_gid))
    info = server.json("/")
    assert (info["uid"], info["gid"]) == (nobody.pw_uid, nobody.pw_gid)
    assert 0 not in info["groups"]


@as_root
def test_log_files_and_unix_sockets_are_usable_after_the_change_of_user(serve, tmp_path):
    needs_reachable_python()
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == 0 and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    access, path = tmp_path / "access.log", tmp_path / "web.sock"
    server = serve("hello", "-u", "nobody", "--access-logfile", access, bind=f"unix:{path}")
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert path.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    until(lambda: "GET /" in access.read_text(), "the access log")
    server.stop()


@as_root
def test_an_unknown_user_is_an_error():
    result = run("hello", "-u", "nobody-of-this-name", "-b", "127.0.0.1:0")
    assert result.returncode in (1, 2)
    assert "nobody-of-this-name" in result.stderr


# Configuration files and precedence.


def test_the_configuration_file_is_python(serve, tmp_path):
    (tmp_path / "site.conf.py").write_text(
        "import os, multiprocessing\n"
        "def count():\n"
        "    return 1 + 1\n"
        "workers = count()\n"
        "bind = ['127.0.0.1:0', '127.0.0.2:0']\n"
        "raw_env = ['FROM_FILE=' + os.path.basename(__file__)]\n"
        "something_of_my_own = object()\n"
    )
    server = serve("info", "-c", tmp_path / "site.conf.py", bind=None)
    assert len(server.addresses) == 2
    server.wait_for_workers(2)
    assert server.json("/")["env"]["FROM_FILE"] == "site.conf.py"


def test_the_default_configuration_file_is_loaded_unasked(serve, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\n")
    server = serve("hello", "--pythonpath", APPS, cwd=tmp_path)
    server.wait_for_workers(2)


def test_the_configuration_may_be_a_module(serve, tmp_path):
    (tmp_path / "settings_of_server.py").write_text("workers = 2\n")
    server = serve("hello", "-c", "python:settings_of_server", "--pythonpath", APPS, cwd=tmp_path)
    server.wait_for_workers(2)


def test_the_configuration_file_may_name_the_application(serve, tmp_path):
    (tmp_path / "site.py").write_text("wsgi_app = 'hello:app'\n")
    assert serve("-c", tmp_path / "site.py").get("/").text == "app"


def test_the_application_of_the_command_line_is_stronger(serve, tmp_path):
    (tmp_path / "site.py").write_text("wsgi_app = 'hello:app'\n")
    assert serve("hello", "-c", tmp_path / "site.py").get("/").text == "Hello"


def test_precedence_is_file_then_variable_then_flags(serve, tmp_path):
    (tmp_path / "site.py").write_text("raw_env = ['WHO=file']\nworkers = 3\nthreads = 2\n")
    server = serve("info", "-c", tmp_path / "site.py", "-w", "1", env={"GUNICORN_CMD_ARGS": "--env WHO=variable --workers=2"})
    info = server.json("/")
    server.wait_for_workers(1)
    assert info["env"]["WHO"] == "variable"
    assert info["wsgi"]["wsgi.multithread"] is True


def test_the_variable_is_split_as_a_shell_does(serve):
    server = serve("info", env={"GUNICORN_CMD_ARGS": "--env 'WHO=a b'"})
    assert server.json("/")["env"]["WHO"] == "a b"


def test_an_unknown_name_in_the_file_is_no_error(serve, tmp_path):
    (tmp_path / "site.py").write_text("my_helper = 3\nworkers = 1\n")
    assert serve("hello", "-c", tmp_path / "site.py").get("/").status == 200


def test_a_wrong_value_in_the_file_is_an_error(tmp_path):
    (tmp_path / "site.py").write_text("workers = 'many'\n")
    result = run("hello", "-c", tmp_path / "site.py")
    assert result.returncode in (1, 2)
    assert "workers" in result.stderr and "many" in result.stderr


def test_an_error_in_the_file_names_the_file_and_the_line(tmp_path):
    (tmp_path / "site.py").write_text("workers = 1\nraise ValueError('not today')\n")
    result = run("hello", "-c", tmp_path / "site.py")
    assert result.returncode == 1
    assert "site.py:2" in result.stderr
    assert "not today" in result.stderr


def test_a_syntax_error_in_the_file_names_the_line(tmp_path):
    (tmp_path / "site.py").write_text("workers = 1\nthreads = = 2\n")
    result = run("hello", "-c", tmp_path / "site.py")
    assert result.returncode == 1
    assert "site.py:2" in result.stderr


def test_a_missing_configuration_file_is_an_error(tmp_path):
    result = run("hello", "-c", tmp_path / "absent.py")
    assert result.returncode == 1
    assert "absent.py" in result.stderr


# Telling, not serving.


def test_version_is_printed():
    result = run("--version")
    assert result.returncode == 0
    assert re.search(r"daemun.*\d+\.\d+\.\d+", result.stdout)


def test_help_lists_the_flags():
    result = run("--help")
    assert result.returncode == 0
    for flag in ("--bind", "--workers", "--threads", "--timeout", "--graceful-timeout", "--static", "--access-logformat",
                 "--limit-request-field_size", "--reload", "--preload", "--chdir"):
        assert flag in result.stdout, flag


def test_check_config_accepts_a_good_configuration():
    result = run("hello", "--check-config", "-w", "2")
    assert result.returncode == 0, result.stderr


def test_check_config_loads_the_application():
    result = run("raises_at_import", "--check-config")
    assert result.returncode not in (0, None)
    assert "no database configured" in result.stderr


def test_print_config_shows_every_setting_with_its_value():
    result = run("hello", "--print-config", "-w", "7", "-b", "127.0.0.1:1234", "--timeout", "99")
    assert result.returncode == 0
    text = result.stdout
    assert re.search(r"^workers\s*=\s*7\b", text, re.M), text
    assert re.search(r"^timeout\s*=\s*99\b", text, re.M), text
    assert re.search(r"^bind\s*=.*127\.0\.0\.1:1234", text, re.M), text
    assert re.search(r"^keepalive\s*=", text, re.M), text


@pytest.mark.parametrize(
    ("flag", "setting"), [("--worker", "workers"), ("--graceful", "graceful_timeout"), ("--access-logfo", "access_log_format")]
)
def test_unambiguous_beginnings_of_a_flag_are_enough(flag, setting):
    flag, value = {"--worker": ("--workers", "7")}.get(flag, (flag, "7"))
    result = run("hello", "--print-config", flag, value)
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^{setting}\s*=.*7", result.stdout, re.M), result.stdout


def test_an_ambiguous_beginning_is_an_error():
    result = run("hello", "--print-config", "--max-request", "7")
    assert result.returncode == 2
    assert "--max-requests" in result.stderr


def test_values_may_stand_behind_an_equals_sign():
    result = run("hello", "--print-config", "--workers=7", "-w5")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^workers\s*=\s*5\b", result.stdout, re.M)


@pytest.mark.parametrize(("typed", "meant"), [("--wrokers", "--workers"), ("--acces-logfile", "--access-logfile"), ("--tiemout", "--timeout")])
def test_an_unknown_flag_gets_the_nearest_name(typed, meant):
    result = run("hello", typed, "2")
    assert result.returncode == 2
    assert typed in result.stderr
    assert meant in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("-w", "many"), ("-w", "-1"), ("--threads", "x"), ("--timeout", "soon"), ("--limit-request-line", "-5"), ("-m", "99x"),
     ("--log-level", "shouting"), ("--keep-alive", "")],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_wrong_value_names_the_flag_and_the_value(arguments):
    result = run("hello", *arguments, "-b", "127.0.0.1:0")
    assert result.returncode in (1, 2)
    assert arguments[0].lstrip("-").split("-")[-1] in result.stderr or "workers" in result.stderr or "umask" in result.stderr
    assert "panicked" not in result.stderr and "Traceback" not in result.stderr


def test_a_flag_without_its_value_is_an_error():
    result = run("hello", "--bind")
    assert result.returncode == 2
    assert "--bind" in result.stderr


def test_no_application_is_an_error_that_says_so():
    result = run("-w", "2")
    assert result.returncode in (1, 2)
    assert "application" in result.stderr.lower()


def test_the_log_level_hides_what_is_below(serve):
    server = serve("hello", "--log-level", "warning", wait=False)
    time.sleep(1)
    assert server.process.poll() is None
    assert "[INFO]" not in server.log


def test_the_startup_lines_are_gunicorns(serve):
    server = serve("hello", "-w", "2")
    server.wait_for_log(r"Booting worker with pid: \d+", 2)
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[%d\] \[INFO\] " % server.pid
    assert re.search(stamp + r"Starting daemun \d+\.\d+\.\d+", server.log), server.log
    assert re.search(stamp + r"Listening at: http://127\.0\.0\.1:\d+ \(%d\)" % server.pid, server.log), server.log
    assert re.search(stamp + r"Using worker: \w+", server.log), server.log
    for pid in server.wait_for_workers(2):
        assert f"[{pid}] [INFO] Booting worker with pid: {pid}" in server.log
    server.stop()
    assert re.search(stamp + r"Shutting down: Master", server.log), server.log
    assert re.search(r"Worker exiting \(pid: \d+\)", server.log), server.log


def test_the_error_log_may_be_a_file(serve, tmp_path):
    path = tmp_path / "error.log"
    server = serve("hello", "--error-logfile", path, wait=False)
    until(lambda: path.exists() and "Listening at:" in path.read_text(), "the error log")
    assert "Listening at:" not in server.log


@pytest.mark.parametrize("name", ["settings", "directives"])
def test_the_reference_page_is_up_to_date(name):
    page = Path(APPS).parent.parent / "docs" / "reference" / f"{name}.md"
    result = run(f"--{name}-reference")
    assert result.returncode == 0, result.stderr
    assert page.read_text() == result.stdout, "run `make docs`"


def test_starting_is_quick(serve):
    # The budget is 100 ms beside the application's import; a busy machine gets some more.
    begin = time.monotonic()
    server = serve("hello")
    server.get("/")
    assert time.monotonic() - begin < 5


def test_the_program_prints_nothing_odd_when_its_output_is_closed():
    with open(os.devnull) as nowhere:
        result = subprocess.run([DAEMUN, "--help"], stdout=nowhere, stderr=subprocess.PIPE, env=environment(), text=True)
    assert "panicked" not in result.stderr
