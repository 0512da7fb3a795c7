"""Uvicorn's command line and variables, and `daemun.run`. What the options do for ASGI alone is tested with ASGI."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from harness import APPS, DAEMUN, Connection, environment, python_program, run, until

ANY = ("--port", "0")


def start(serve, *arguments, **options):
    """A server whose address is in its arguments."""
    return serve(*arguments, bind=None, **options)


# Where it listens.


def test_host_and_port_are_where_it_listens(serve):
    server = start(serve, "hello", "--host", "127.0.0.2", *ANY)
    assert server.addresses[0].startswith("http://127.0.0.2:")
    with Connection(("127.0.0.2", server.port)) as connection:
        assert connection.request().response().text == "Hello"


def test_an_ipv6_host_needs_no_brackets(serve):
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    assert start(serve, "hello", "--host", "::1", *ANY).addresses[0].startswith("http://[::1]:")


def test_uds_is_a_unix_socket(serve, tmp_path):
    path = tmp_path / "web.sock"
    server = start(serve, "hello", "--uds", path)
    with Connection(str(path)) as connection:
        assert connection.request().response().text == "Hello"
    assert server.stop() == 0
    assert not path.exists()


def test_fd_is_an_inherited_descriptor(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        start(serve, "hello", "--fd", listener.fileno(), pass_fds=[listener.fileno()])
        with Connection(listener.getsockname()) as connection:
            assert connection.request().response().text == "Hello"


def test_bind_and_port_together_are_an_error_that_names_both():
    result = run("hello", "--bind", "127.0.0.1:0", *ANY)
    assert result.returncode == 1
    assert "`--bind` and `--port` both say where to listen" in result.stderr and "hint:" in result.stderr


def test_an_address_in_use_names_the_option(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = start(serve, "hello", "--port", listener.getsockname()[1], wait=False)
        server.wait_for_log("`--port`")


# The application.


def test_the_application_is_looked_for_in_app_dir_first(serve, tmp_path):
    for directory, answer in [("here", b"here"), ("there", b"there")]:
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "main_of_test.py").write_text(
            f"def app(environ, start_response):\n    start_response('200 OK', [])\n    return [{answer!r}]\n"
        )
    line = ("main_of_test:app", "--app-dir", tmp_path / "there", *ANY)
    assert start(serve, *line, cwd=tmp_path / "here").get("/").text == "there"


@pytest.mark.parametrize("spec", ["hello:factory", "hello:factory()"])
def test_a_factory_makes_the_application(serve, spec):
    assert start(serve, spec, "--factory", *ANY).get("/").text == "made"


def test_a_factory_that_is_not_said_to_be_one_is_called_with_a_word_about_it(serve):
    server = start(serve, "hello:factory", *ANY)
    assert server.get("/").text == "made"
    assert "write `hello:factory()`" in server.log


def test_a_missing_name_gets_a_hint(serve, tmp_path):
    (tmp_path / "main.py").write_text("def app(environ, start_response): ...\n")
    server = start(serve, "main", *ANY, cwd=tmp_path, wait=False)
    assert server.wait() != 0
    assert "it defines `app`: name it, `main:app`" in server.log


def test_an_env_file_sets_what_the_environment_does_not_have(serve, tmp_path):
    (tmp_path / ".env").write_text(
        "# settings\nexport FIRST=one # said here\nSECOND='two words'\nTHIRD=\"${FIRST}\\tthree\"\nTAKEN=file\nWEB_CONCURRENCY=2\n?=\n= x\n"
    )
    server = start(serve, "info", "--env-file", tmp_path / ".env", *ANY, env={"TAKEN": "environment"})
    env = server.json("/")["env"]
    assert (env["FIRST"], env["SECOND"], env["THIRD"], env["TAKEN"]) == ("one", "two words", "one\tthree", "environment")
    server.wait_for_workers(2)
    assert ".env:8 is not of the form NAME=VALUE and is skipped" in server.log


def test_the_last_word_on_a_variable_is_the_option_env(serve, tmp_path):
    (tmp_path / ".env").write_text("WHO=file\n")
    assert start(serve, "info", "--env-file", tmp_path / ".env", "-e", "WHO=option", *ANY).json("/")["env"]["WHO"] == "option"


# ASGI.

ASGI = """
import daemun

class App:
    async def __call__(self, scope, receive, send):
        body = f"{scope['asgi']['version']} {scope['root_path']}".encode()
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

class Old:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await App()(self.scope, receive, send)

app = App()

def create():
    return app

if __name__ == "__main__":
    daemun.run(app, port=0, root_path="/api", lifespan="off")
"""


@pytest.fixture
def asgi(tmp_path):
    """A directory with applications that speak ASGI."""
    (tmp_path / "main.py").write_text(ASGI)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [("main:app",), ("main:create", "--factory"), ("main:create",), ("main:Old",), ("main:app", "--interface", "asgi3"),
     ("main:Old", "--interface", "asgi2"), ("main:app", "-k", "uvicorn.workers.UvicornWorker"), ("main:app", "-k", "asgi")],
    ids=" ".join,
)
def test_an_asgi_application_is_known_as_one(serve, asgi, line):
    server = start(serve, *line, "--root-path", "/api/", *ANY, cwd=asgi)
    version, root = server.get("/api/").text.split()
    assert (version[0], root) == ("2" if "Old" in line[0] else "3", "/api")
    if "-k" in line:
        assert "Using worker: asgi" in server.log


def test_an_asgi_object_is_served_from_python(serve, asgi):
    server = start(serve, program=python_program("main.py"), cwd=asgi)
    assert server.get("/").text.split()[1] == "/api"
    assert server.stop() == 0


# Answers.


def test_headers_are_added_to_every_answer(serve):
    server = start(serve, "hello", "--header", "X-One:1", "--header", "X-Two: two words", *ANY)
    for path in ("/", "/%"):
        response = server.get(path)
        assert (response["X-One"], response["X-Two"]) == ("1", "two words")


def test_the_servers_own_fields_can_be_left_out(serve):
    response = start(serve, "hello", "--no-server-header", "--no-date-header", *ANY).get("/")
    assert response["Server"] is None and response["Date"] is None


def test_a_given_server_field_replaces_the_servers_own(serve):
    assert start(serve, "hello", "--header", "Server:nobody", *ANY).get("/")["Server"] == "nobody"


@pytest.mark.parametrize(
    ("header", "what"),
    [("X", "NAME:VALUE"), ("X Y:1", "not the name of a header field"), ("X:a\nY:b", "control character"), ("Content-Length:3", "own business")],
)
def test_a_header_that_is_none_is_an_error(header, what):
    result = run("hello", "--header", header, *ANY)
    assert result.returncode == 1
    assert "--header" in result.stderr and what in result.stderr


def test_a_proxy_that_is_no_network_is_an_error():
    result = run("hello", "--forwarded-allow-ips", "10.0.0.1/8", *ANY)
    assert result.returncode == 1
    assert "`--forwarded-allow-ips`: " in result.stderr and "write 10.0.0.0/8 for the network" in result.stderr


# Processes and logs.


def test_a_worker_is_replaced_after_limit_max_requests(serve):
    server = start(serve, "hello:pid", "--limit-max-requests", "2", *ANY)
    first = server.get("/").text
    until(lambda: server.get("/").text != first, "another worker")


def test_the_access_log_goes_to_standard_output(serve):
    server = start(serve, "hello", "--access-log", *ANY)
    server.get("/seen")
    until(lambda: '"GET /seen HTTP/1.1" 200' in server.stdout, "the access log")


def test_log_level_trace_is_debug(serve):
    assert start(serve, "hello", "--log-level", "trace", *ANY).get("/").status == 200


def test_what_has_no_effect_says_so(serve):
    server = start(serve, "hello", "--http", "h11", "--ws", "wsproto", "--timeout-worker-healthcheck", "9", "--reload-delay", "1", *ANY)
    for option in ("--http", "--ws", "--timeout-worker-healthcheck", "--reload-delay"):
        assert f"`{option}` has no effect" in server.log


def test_files_that_are_included_are_watched(serve, tmp_path):
    (tmp_path / "pages").mkdir()
    line = ("--reload", "--reload-dir", tmp_path / "pages", "--reload-include", "*.html", "--reload-delay", "0.1")
    server = start(serve, "hello:pid", *line, *ANY)
    first = server.get("/").text
    (tmp_path / "pages" / "index.html").write_text("new")
    server.wait_for_log("Worker reloading: .*index.html", patience=5)
    until(lambda: server.get("/").text != first, "another worker")


def test_logging_is_configured_before_the_application_is_imported(serve, tmp_path):
    (tmp_path / "log.json").write_text('{"version": 1, "loggers": {"of_test": {"level": "ERROR"}}}')
    (tmp_path / "logs_at_import.py").write_text(
        "import logging\nlevel = str(logging.getLogger('of_test').level).encode()\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [level]\n"
    )
    server = start(serve, "logs_at_import:app", "--log-config", "log.json", *ANY, cwd=tmp_path)
    assert server.get("/").text == "40"


# Whose place it takes.


@pytest.fixture
def called(tmp_path):
    """The program under another name."""

    def link(name):
        (tmp_path / name).symlink_to(DAEMUN)
        return [str(tmp_path / name)]

    return link


def as_uvicorn(server):
    server.get("/seen")
    until(lambda: '"GET /seen HTTP/1.1" 200' in server.stdout, "the access log")


def test_uvicorn_as_first_word_has_uvicorns_defaults(serve):
    as_uvicorn(start(serve, "uvicorn", "hello", *ANY))


def test_a_link_named_uvicorn_has_uvicorns_defaults(serve, called):
    as_uvicorn(start(serve, "hello", *ANY, program=called("uvicorn")))


def test_in_uvicorns_place_gunicorns_surroundings_do_not_count(serve, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text("raise RuntimeError('read')\n")
    env = {"GUNICORN_CMD_ARGS": "--nonsense", "PORT": "http"}
    server = start(serve, "uvicorn", "hello", "--app-dir", APPS, *ANY, cwd=tmp_path, env=env)
    assert server.addresses[0].startswith("http://127.0.0.1:")
    assert server.get("/").text == "Hello"


def test_gunicorn_as_name_or_first_word_has_gunicorns_defaults(serve, called):
    for line, program in [(("gunicorn", "hello"), None), (("hello",), called("gunicorn"))]:
        server = start(serve, *line, "-b", "127.0.0.1:0", program=program, env={"UVICORN_WORKERS": "many"})
        server.get("/")
        assert server.stop() == 0
        assert server.stdout == ""


def test_an_application_of_such_a_name_has_a_colon(serve, tmp_path):
    (tmp_path / "uvicorn.py").write_text("from hello import app\n")
    assert start(serve, "uvicorn:app", "--pythonpath", APPS, *ANY, cwd=tmp_path).get("/").text == "app"


def test_the_help_is_the_same_for_all():
    texts = {run(*line, "--help").stdout for line in ([], ["uvicorn"], ["gunicorn"])}
    assert len(texts) == 1 and "--ws-ping-interval" in texts.pop()


# Variables.


def test_each_option_has_its_variable(serve):
    server = start(serve, env={"UVICORN_APP": "hello:app", "UVICORN_PORT": "0", "UVICORN_WORKERS": "2", "UVICORN_ACCESS_LOG": "true"})
    server.wait_for_workers(2)
    assert server.get("/").text == "app"
    until(lambda: "GET /" in server.stdout, "the access log")


def test_the_command_line_and_the_file_are_stronger_than_the_variables(serve, tmp_path):
    (tmp_path / "site.py").write_text("workers = 2\nport = 'not a setting here'\n")
    env = {"UVICORN_WORKERS": "3", "UVICORN_APP": "nothing", "UVICORN_PORT": "0"}
    server = start(serve, "hello", "-c", tmp_path / "site.py", env=env)
    server.wait_for_workers(2)


def test_a_wrong_value_names_the_variable():
    result = run("hello", env={"UVICORN_PORT": "http"})
    assert result.returncode == 1
    assert "`$UVICORN_PORT`: must be a whole number, not `http`" in result.stderr


# From Python.


@pytest.fixture
def script(serve, tmp_path):
    """A program of Python that serves."""

    def start_script(text, *arguments, **options):
        path = tmp_path / "program.py"
        path.write_text(text)
        return start(serve, program=python_program(path, *arguments), cwd=tmp_path, **options)

    return start_script


OBJECT = """
import os, sys
import daemun

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getpid()} {os.getppid()}".encode()]

if __name__ == "__main__":
    print("before")
    daemun.run(application, port=0, workers=2)
    print("after")
"""


def test_an_object_is_served(script):
    server = script(OBJECT, env={"UVICORN_PORT": "1", "GUNICORN_CMD_ARGS": "--nonsense", "PORT": "2"})
    server.wait_for_workers(2)
    worker, parent = server.get("/").text.split()
    assert int(parent) == server.pid != int(worker)
    assert server.stop() == 0
    lines = server.stdout.splitlines()
    assert (lines[0], lines[-1], lines.count("before")) == ("before", "after", 1)
    assert '"GET / HTTP/1.1" 200' in server.stdout, "with Uvicorn's defaults"


def test_a_name_is_served_with_settings_of_all_kinds(script, tmp_path):
    (tmp_path / "main.py").write_text(
        "import logging, os\n"
        "def create():\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return [str([os.environ['FROM_FILE'], logging.getLogger('of_main').level]).encode()]\n"
        "    return app\n"
    )
    (tmp_path / ".env").write_text("FROM_FILE=yes\n")
    server = script(
        "import daemun, logging\nfrom pathlib import Path\n"
        "daemun.run('main:create', host='127.0.0.1', port=0, factory=True, env_file=Path('.env'), access_log=False,\n"
        "           headers=[('X-A', '1')], log_level=logging.WARNING, ws_ping_interval=None, workers=None, uds=None,\n"
        "           log_config={'version': 1, 'loggers': {'of_main': {'level': 'ERROR'}}}, forwarded_allow_ips=['127.0.0.1'],\n"
        "           bind=None, keepalive=3)\n",
        wait=False,
    )
    port = until(lambda: listening_port(server.pid), "the server to listen")
    with Connection(("127.0.0.1", port)) as connection:
        assert connection.request().response().text == "['yes', 40]"
    assert server.stop() == 0
    assert "GET /" not in server.stdout and "INFO" not in server.log


def listening_port(pid):
    """The port that a process listens at on 127.0.0.1: what the log does not tell at the level `warning`."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(entry))
        except OSError:
            continue
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *rest = line.split()
        if state == "0A" and f"socket:[{rest[5]}]" in sockets:
            return int(local.rpartition(":")[2], 16)
    return None


def python(text, tmp_path):
    return subprocess.run(
        python_program("-c", text), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=30,
        stdin=subprocess.DEVNULL,
    )


def test_a_server_that_cannot_start_exits_with_its_code(tmp_path):
    result = python("import daemun\ndaemun.run('absent_module', port=0)\n", tmp_path)
    assert result.returncode == 3 and "there is no module `absent_module`" in result.stderr
    result = python("import daemun\ndaemun.run('main', port='http')\n", tmp_path)
    assert result.returncode == 1 and "`port` of daemun.run(): must be a whole number" in result.stderr


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("daemun.run('x', prot=1)", "TypeError: daemun.run() got an unexpected keyword argument 'prot'. Did you mean 'port'?"),
        ("import threading; threading.excepthook = lambda a: print(a.exc_value, file=__import__('sys').stderr); "
         "threading.Thread(target=daemun.run, args=('x',)).start()", "must be called from the main thread"),
        ("import asyncio\nasync def main(): daemun.run('x')\nasyncio.run(main())", "cannot be called from a running event loop"),
        ("daemun.run(lambda e, s: [], reload=True, port=0)", "name the application as 'module:name'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tmp_path, call, what):
    assert what in python(f"import daemun\n{call}\n", tmp_path).stderr


def test_an_application_that_serves_itself_when_imported_is_told(script, tmp_path):
    server = script("import daemun\ndef app(environ, start_response): ...\ndaemun.run('program:app', port=0)\n", wait=False)
    assert server.wait() == 3
    assert 'put the call under `if __name__ == "__main__":`' in server.log


def test_the_signals_are_pythons_again_afterwards(script):
    server = script(
        "import daemun, signal, time\n"
        "def app(environ, start_response): ...\n"
        "if __name__ == '__main__':\n"
        "    daemun.run(app, port=0)\n"
        "    print('waiting', flush=True)\n"
        "    try:\n        time.sleep(30)\n    except KeyboardInterrupt:\n        print('interrupted')\n"
    )
    server.send_signal(signal.SIGTERM)
    until(lambda: "waiting" in server.stdout, "the end of the server")
    assert server.stop(signal.SIGINT) == 0
    assert "interrupted" in server.stdout


def test_with_reload_modules_of_the_program_are_loaded_anew(script, tmp_path):
    (tmp_path / "views.py").write_text("ANSWER = b'old'\n")
    server = script(
        "import daemun, views\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [views.ANSWER]\n"
        "if __name__ == '__main__':\n    daemun.run('program:app', port=0, reload=True)\n    print('after')\n",
        ready=False,
    )
    until(lambda: server.get("/").text == "old", "the application")
    time.sleep(0.1)
    (tmp_path / "views.py").write_text("ANSWER = b'new one'\n")

    def answer():
        try:
            return server.get("/").text
        except (OSError, AssertionError):
            return None

    until(lambda: answer() == "new one", "the new code")
    assert server.stop() == 0
    assert "after" in server.stdout
