"""nginx's face: its command line, `-t`, signals, listening sockets, the environment of workers, the log's words."""

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from harness import DAEMUN, Connection, alive, environment, until

APP = '''
import json, os, resource, threading, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(1.5)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({
        "pid": os.getpid(), "env": dict(os.environ), "cwd": os.getcwd(), "thread": threading.current_thread().name,
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "nice": os.nice(0),
        "cpus": sorted(os.sched_getaffinity(0)), "uid": os.getuid(),
    }).encode()]
'''

ASGI = '''
import os, threading

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": threading.current_thread().name.encode()})
'''


WHO = '''
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getuid()]
'''


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*args: object, cwd: Path | None = None, env: dict | None = None, program: object = DAEMUN, text: str | None = None):
    return subprocess.run(
        [str(program), *map(str, args)], cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=40,
        input=text or "",
    )


class Site:
    """A prefix with a configuration, and the master that runs with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "logs").mkdir()
        (directory / "site_app.py").write_text(APP)
        (directory / "site_asgi.py").write_text(ASGI)
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def write(self, main: str = "", http: str = "", server: str = "", listen: str | None = None, app: str = "",
              location: str = "location / { python_pass site; }", daemon: str = "daemon off;") -> Path:
        listen = listen or f"listen 127.0.0.1:{self.port};"
        user = "user root;" if os.getuid() == 0 and "user " not in main else ""
        path = self.directory / "nginx.conf"
        path.write_text(f"""
{daemon} {user} {main}
pid logs/nginx.pid;
error_log logs/error.log notice;
events {{ worker_connections 64; }}
http {{
    python_app site {{ module site_app:application; path {self.directory}; {app} }}
    {http}
    server {{ {listen} {server}
        {location}
    }}
}}
""")
        return path

    def start(self, *args: object, env: dict | None = None, wait: bool = True, **options) -> "Site":
        with open(self.directory / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [DAEMUN, "-p", str(self.directory), *map(str, args)], env=environment(env), stdin=subprocess.DEVNULL,
                stdout=err, stderr=err, start_new_session=True, **options,
            )
        if wait:
            until(lambda: self.process.poll() is not None or self.pid() and self.answers(), "the site to serve")
            assert self.process.poll() is None, self.log
        return self

    def pid(self, name: str = "nginx.pid") -> int | None:
        try:
            return int((self.directory / "logs" / name).read_text())
        except (OSError, ValueError):
            return None

    @property
    def log(self) -> str:
        read = lambda path: path.read_text() if path.exists() else ""
        return read(self.directory / "logs" / "error.log") + read(self.directory / "stderr")

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        def found():
            matches = re.findall(pattern, self.log)
            return matches if len(matches) >= count else None
        try:
            return until(found, f"{count} x /{pattern}/")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def get(self, path: str = "/", address: object = None):
        with Connection(address or ("127.0.0.1", self.port), 10) as connection:
            return connection.request("GET", path, [("Connection", "close")]).response()

    def json(self, path: str = "/", address: object = None):
        return json.loads(self.get(path, address).body)

    def answers(self) -> bool:
        try:
            return self.get().status == 200
        except (OSError, AssertionError):
            return False

    def order(self, word: str):
        return run("-p", self.directory, "-s", word)

    def send(self, number: int, pid: int | None = None) -> None:
        os.kill(pid or self.pid(), number)

    def wait(self) -> int:
        return self.process.wait(15)

    def end(self) -> None:
        for name in ("nginx.pid", "nginx.pid.oldbin"):
            pid = self.pid(name)
            if pid and alive(pid):
                os.kill(pid, signal.SIGTERM)
                until(lambda: not alive(pid), f"{pid} to end")
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.end()


# The command line.


@pytest.mark.parametrize(("line", "message"), [
    ("-tz", 'invalid option: "z"'),
    ("-c", 'option "-c" requires file name'),
    ("-p", 'option "-p" requires directory name'),
    ("-g", 'option "-g" requires parameter'),
    ("-s", 'option "-s" requires parameter'),
    ("-s foo", 'invalid option: "-s foo"'),
])
def test_wrong_flags_are_told_as_by_nginx(line, message):
    result = run("nginx", *line.split())
    assert (result.returncode, result.stderr) == (1, f"daemun: {message}\n")


def test_the_version_is_told_where_tools_look_for_it(tmp_path):
    link = tmp_path / "nginx"
    link.symlink_to(DAEMUN)
    as_nginx = run("-v", program=link)
    assert (as_nginx.returncode, as_nginx.stdout, as_nginx.stderr) == (0, "", "nginx version: nginx/1.31.5\n")
    assert re.fullmatch(r"daemun version: daemun/\S+ \(nginx/1.31.5 compatible\)\n", run("-v").stderr)
    for program in (DAEMUN, link):
        lines = run("-V", program=program).stderr.splitlines()
        assert lines[0] == "nginx version: nginx/1.31.5"
        assert lines[-1].startswith("configure arguments: --prefix=")
        assert " --with-http_realip_module" in lines[-1] and " --without-stream " in lines[-1]
    assert "Usage: nginx" in run("-h", program=link).stderr


def test_a_python_file_or_an_application_makes_the_line_gunicorns(tmp_path):
    (tmp_path / "settings.py").write_text("workers = 3\n")
    result = run("-c", "settings.py", cwd=tmp_path)
    assert "no application module specified" in result.stderr
    (tmp_path / "hello.py").write_text("def application(environ, start_response): ...\n")
    result = run("-c", "settings.py", "--check-config", "hello", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "no application module specified" in run(cwd=tmp_path).stderr


def test_the_tree_of_a_command_line_is_shown(tmp_path):
    (tmp_path / "assets").mkdir()
    result = run("-T", "shop.wsgi", "--static", "/static=assets", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "python_pass shop.wsgi;" in result.stdout and "location ^~ /static/ {" in result.stdout


def test_help_explains_directives_and_flags():
    assert run("help", "add_header").stdout.startswith("add_header NAME VALUE")
    assert run("help", "$request_uri").stdout.startswith("$request_uri\n")
    assert "daemun help DIRECTIVE" in run("help").stdout
    assert "--bind" in run("help", "bind").stdout
    unknown = run("help", "add_heder")
    assert unknown.returncode == 1 and "did you mean `add_header`?" in unknown.stderr


def test_fmt_formats_and_checks(tmp_path):
    path = tmp_path / "a.conf"
    path.write_text("events{}\nhttp{server{listen 80;}} # end\n")
    assert run("fmt", "--check", path).returncode == 1
    assert run("fmt", path).returncode == 0
    assert "    server {\n        listen 80;\n" in path.read_text() and "# end" in path.read_text()
    assert run("fmt", "--check", path).returncode == 0
    assert run("fmt", "-", text="a  b;").stdout == "a b;\n"
    path.write_text("a {\n")
    assert run("fmt", path).returncode == 1


# -t and -T.


def test_a_good_configuration_tests_well(site):
    path = site.write()
    result = run("-t", "-p", site.directory)
    assert result.stderr == (
        f"daemun: the configuration file {path} syntax is ok\n"
        f"daemun: configuration file {path} test is successful\n"
    )
    assert result.returncode == 0
    assert run("-tq", "-p", site.directory).stderr == ""


def test_every_problem_is_told_with_its_line(site):
    path = site.directory / "nginx.conf"
    path.write_text("daemon maybe;\nevents {}\npidd x;\nhttp {\n  server { listen x:0; }\n}\n")
    link = site.directory / "nginx"
    link.symlink_to(DAEMUN)
    result = run("-t", "-c", path, program=link)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert f'nginx: [emerg] invalid value "maybe" in "daemon" directive, it must be "on" or "off" in {path}:1' in lines
    assert f'nginx: [emerg] unknown directive "pidd" in {path}:3' in lines
    assert f'nginx: [emerg] invalid port in "x:0" of the "listen" directive in {path}:5' in lines
    assert lines[-1] == f"nginx: configuration file {path} test failed"


def test_missing_files_are_told_as_by_nginx(site):
    missing = site.directory / "missing.conf"
    result = run("-t", "-c", missing)
    assert result.stderr.splitlines()[0] == f'daemun: [emerg] open() "{missing}" failed (2: No such file or directory)'
    site.write(http="include parts/one.conf;")
    result = run("-t", "-p", site.directory)
    part = site.directory / "parts" / "one.conf"
    assert f'[emerg] open() "{part}" failed (2: No such file or directory) in ' in result.stderr


def test_the_application_is_tested_too(site):
    site.write()
    (site.directory / "site_app.py").write_text("import no_such_module\n")
    result = run("-t", "-p", site.directory)
    assert result.returncode == 1 and "no_such_module" in result.stderr, result.stderr


def test_a_log_that_cannot_be_opened_fails_the_test(site):
    path = site.write()
    path.write_text(path.read_text().replace("logs/error.log", "absent/error.log"))
    result = run("-t", "-p", site.directory)
    log = site.directory / "absent" / "error.log"
    assert f'daemun: [emerg] open() "{log}" failed (2: No such file or directory)' in result.stderr


def test_dump_shows_the_files_as_they_are(site):
    (site.directory / "part.conf").write_text("# a comment\ntypes { }\n")
    path = site.write(http="include part.conf;")
    result = run("-T", "-p", site.directory)
    assert result.returncode == 0, result.stderr
    part = site.directory / "part.conf"
    assert result.stdout == f"# configuration file {path}:\n{path.read_text()}\n# configuration file {part}:\n{part.read_text()}\n"


def test_directives_of_the_command_line_come_first(site):
    site.write(daemon="")
    result = run("-t", "-p", site.directory, "-g", "daemon maybe;")
    assert 'invalid value "maybe" in "daemon" directive, it must be "on" or "off" in command line' in result.stderr
    assert run("-t", "-p", site.directory, "-g", "daemon off;").returncode == 0


# -s.


def test_orders_without_a_master_fail_as_nginxs(site):
    site.write()
    pid = site.directory / "logs" / "nginx.pid"
    result = site.order("reload")
    assert (result.returncode, result.stderr) == (1, f'daemun: [error] open() "{pid}" failed (2: No such file or directory)\n')
    pid.write_text("\n")
    assert site.order("stop").stderr == f'daemun: [error] invalid PID number "" in "{pid}"\n'
    pid.write_text("4194303\n")
    assert site.order("quit").stderr == "daemun: [alert] kill(4194303, 3) failed (3: No such process)\n"
    pid.unlink()


# Serving.


def test_the_master_serves_and_says_so_in_nginxs_words(site):
    site.write("worker_processes 2;")
    site.start()
    master = site.pid()
    assert master == site.process.pid
    workers = [int(pid) for pid in site.wait_for(r"start worker process (\d+)", 2)]
    assert site.json()["pid"] in workers
    assert re.search(rf'\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d \[notice\] {master}#{master}: using the "epoll" event method', site.log)
    assert "start worker processes" in site.log
    assert site.order("quit").returncode == 0
    assert site.wait() == 0
    assert re.search(rf"signal 3 \(SIGQUIT\) received from \d+, shutting down", site.log)
    for worker in workers:
        for words in ("gracefully shutting down", "exiting", "exit"):
            assert f"[notice] {worker}#{worker}: {words}\n" in site.log
        assert f"[notice] {master}#{master}: worker process {worker} exited with code 0" in site.log
    assert f"[notice] {master}#{master}: exit\n" in site.log
    assert site.pid() is None


def test_process_lists_tell_what_each_process_is(site):
    site.write()
    shown = lambda pid: Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    site.start()
    worker = site.json()["pid"]
    assert shown(site.pid()).startswith("daemun: master process ")
    assert shown(worker) == "daemun: worker process"
    assert Path(f"/proc/{worker}/comm").read_text() == "daemun\n"
    with Connection(("127.0.0.1", site.port), 10) as connection:
        connection.request("GET", "/slow")
        time.sleep(0.3)
        site.send(signal.SIGQUIT)
        assert connection.response().status == 200


def test_a_graceful_end_waits_and_a_quick_one_does_not(site):
    site.write("worker_processes 1;")
    site.start()
    with Connection(("127.0.0.1", site.port), 10) as connection:
        connection.request("GET", "/slow")
        time.sleep(0.3)
        site.send(signal.SIGQUIT)
        assert connection.response().status == 200
    assert site.wait() == 0
    site.start()
    with Connection(("127.0.0.1", site.port), 10) as connection:
        connection.request("GET", "/slow")
        time.sleep(0.3)
        began = time.monotonic()
        site.send(signal.SIGTERM)
        site.wait()
        assert time.monotonic() - began < 3


def test_a_worker_that_is_killed_is_replaced_with_an_alert(site):
    site.write()
    site.start()
    worker = site.json()["pid"]
    site.send(signal.SIGKILL, worker)
    site.wait_for(rf"\[alert\] \d+#\d+: worker process {worker} exited on signal 9")
    until(lambda: site.answers() and site.json()["pid"] != worker, "another worker")


def test_it_goes_to_the_background(site):
    site.write(daemon="")
    result = run("-p", site.directory)
    assert (result.returncode, result.stderr) == (0, "")
    master = site.pid()
    assert master and alive(master) and site.answers()
    assert os.getsid(master) != os.getsid(0)
    assert site.order("stop").returncode == 0
    until(lambda: not alive(master), "the master to end")
    assert site.pid() is None


def test_one_process_does_it_all(site):
    site.write("master_process off; worker_processes 4;")
    site.start()
    assert site.json()["pid"] == site.process.pid == site.pid()
    site.send(signal.SIGQUIT)
    assert site.wait() == 0
    assert site.pid() is None


def test_no_application_needs_no_interpreter(site):
    (site.directory / "files").mkdir()
    (site.directory / "files" / "a.txt").write_text("a file")
    site.write(location=f"location / {{ alias {site.directory}/files/; }}")
    site.start(wait=False)
    until(lambda: site.pid() and "start worker process " in site.log, "it to serve")
    until(lambda: site.get("/a.txt").text == "a file", "the file")
    site.order("quit")
    assert site.wait() == 0


def test_wsgi_and_asgi_live_in_one_worker(site):
    site.write(
        http=f"python_app other {{ module site_asgi; path {site.directory}; }}", app="threads 2;",
        location="location /asgi { python_pass other; } location / { python_pass site; }",
    )
    site.start()
    assert site.get("/asgi").text == "MainThread"
    assert site.json("/")["thread"] != "MainThread"
    with Connection(("127.0.0.1", site.port), 10) as slow:
        slow.request("GET", "/slow")
        time.sleep(0.2)
        began = time.monotonic()
        assert site.get("/asgi").status == 200 and site.get("/").status == 200
        assert time.monotonic() - began < 1, "what is called does not hold up the loop"
        assert slow.response().status == 200
    site.order("quit")
    assert site.wait() == 0


def test_asgi_applications_share_the_loop(site):
    app = """
import asyncio

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["name"] = __name__
        await send({"type": "lifespan.startup.complete"})
        await receive()
        open(f"{__file__}.stopped", "w").close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    loop = id(asyncio.get_running_loop())
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": f"{scope['state']['name']} {loop}".encode()})
"""
    for name in ("one", "two"):
        (site.directory / f"site_{name}.py").write_text(app)
    apps = "".join(f"python_app {name} {{ module site_{name}; path {site.directory}; }}" for name in ("one", "two"))
    site.write(http=apps, location="location /one { python_pass one; } location / { python_pass two; }")
    site.start()
    (first, its_loop), (second, other_loop) = (site.get(path).text.split() for path in ("/one", "/two"))
    assert (first, second) == ("site_one", "site_two") and its_loop == other_loop
    site.order("quit")
    assert site.wait() == 0
    assert all((site.directory / f"site_{name}.py.stopped").exists() for name in ("one", "two"))


def test_an_application_has_its_own_surroundings(site):
    (site.directory / "elsewhere").mkdir()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = site.directory / "venv" / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "venv_app.py").write_text(APP)
    site.write(http=f"""python_app own {{ module venv_app; home {site.directory}/venv; chdir {site.directory}/elsewhere;
                    env GREETING hello; }}""", location="location / { python_pass own; }")
    site.start()
    seen = site.json()
    assert seen["cwd"] == str(site.directory / "elsewhere") and seen["env"]["GREETING"] == "hello"


def test_workers_keep_only_what_is_named_or_needed(site):
    site.write("env KEPT; env GIVEN=value; env TZ=UTC;")
    site.start(env={"KEPT": "yes", "SECRET": "no", "LC_ALL": "C.UTF-8"})
    seen = site.json()["env"]
    assert (seen["KEPT"], seen["GIVEN"], seen["TZ"], seen["LC_ALL"]) == ("yes", "value", "UTC", "C.UTF-8")
    assert "SECRET" not in seen and "PATH" in seen


def test_workers_have_their_limits(site):
    cpu = min(os.sched_getaffinity(0))
    site.write(f"worker_rlimit_nofile 512; worker_priority 3; worker_cpu_affinity {'1' + '0' * cpu}; "
               f"working_directory {site.directory}/logs;")
    site.start()
    seen = site.json()
    assert (seen["nofile"], seen["nice"], seen["cpus"]) == (512, 3, [cpu])
    assert seen["cwd"] == str(site.directory / "logs")


def test_there_are_as_many_workers_as_processors(site):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    site.write("worker_processes auto; worker_cpu_affinity auto;")
    site.start(preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    workers = {int(pid) for pid in site.wait_for(r"start worker process (\d+)")}
    assert 1 <= len(workers) <= len(cpus)
    assert all(os.sched_getaffinity(pid) <= set(cpus) and len(os.sched_getaffinity(pid)) == 1 for pid in workers)


@pytest.fixture
def open_site():
    """A site in a directory that other users can enter: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="daemun-site-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        site = Site(directory)
        yield site
        site.end()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the user")
def test_workers_change_their_user(open_site):
    nobody = pwd.getpwnam("nobody")
    # It imports nothing that is not there already: the interpreter's own files may be closed to others, too.
    (open_site.directory / "site_app.py").write_text(WHO)
    open_site.write("user nobody;")
    open_site.start()
    assert open_site.get().body == b"%d" % nobody.pw_uid
    assert Path(f"/proc/{open_site.process.pid}").stat().st_uid == 0, "the master stays what it was"


def test_an_unknown_user_is_told(site):
    path = site.write("user no-such-user;")
    result = run("-t", "-p", site.directory)
    if os.getuid() == 0:
        assert f'[emerg] getpwnam("no-such-user") failed in {path}:2' in result.stderr
    else:
        assert '[warn] the "user" directive makes sense only if' in result.stderr


# Logs.


def test_logs_are_reopened(site):
    site.write()
    site.start()
    log = site.directory / "logs" / "error.log"
    log.rename(log.with_suffix(".1"))
    assert site.order("reopen").returncode == 0
    until(log.exists, "the new log")
    until(lambda: log.with_suffix(".1").read_text().count("reopening logs") >= 3, "the master and the worker to know")
    assert site.answers()
    site.order("quit")
    assert site.wait() == 0
    assert "gracefully shutting down" in log.read_text()


# Reload.


def test_a_reload_takes_the_new_configuration(site):
    site.write()
    site.start()
    old, first = site.json()["pid"], site.port
    site.port = free_port()
    site.write(listen=f"listen 127.0.0.1:{first}; listen 127.0.0.1:{site.port};")
    assert site.order("reload").returncode == 0
    until(site.answers, "the new address")
    site.wait_for(r"signal 1 \(SIGHUP\) received from \d+, reconfiguring")
    site.wait_for(rf"worker process {old} exited with code 0")
    assert site.json(address=("127.0.0.1", first))["pid"] != old


def test_a_broken_file_changes_nothing_and_says_why(site):
    path = site.write()
    site.start()
    worker = site.json()["pid"]
    path.write_text(path.read_text().replace("pid logs", "pidd logs"))
    site.send(signal.SIGHUP, site.process.pid)
    site.wait_for(r'\[emerg\] \d+#\d+: unknown directive "pidd" in \S+nginx.conf:3')
    assert site.json()["pid"] == worker
    site.process.terminate()
    assert site.wait() == 0


# Listening.


def test_a_unix_socket_is_open_to_all_and_removed(site):
    path = site.directory / "s.sock"
    site.write(listen=f"listen 127.0.0.1:{site.port}; listen unix:{path};")
    site.start()
    assert site.get(address=str(path)).status == 200
    assert path.stat().st_mode & 0o777 == 0o666
    site.order("quit")
    site.wait()
    assert not path.exists()


def test_an_address_in_use_is_tried_five_times(site):
    site.write()
    with socket.create_server(("127.0.0.1", site.port)):
        began = time.monotonic()
        site.start(wait=False)
        assert site.wait() == 1
        assert 1.5 < time.monotonic() - began < 6
    failed = f"bind() to 127.0.0.1:{site.port} failed (98: Address already in use)"
    stderr = (site.directory / "stderr").read_text()
    assert stderr.splitlines() == [f"daemun: [emerg] {failed}"] * 5 + ["daemun: [emerg] still could not bind()"]
    assert site.log.count("try again to bind() after 500ms") == 5
    assert site.pid() is None


def test_a_test_does_not_mind_a_running_server(site):
    site.write()
    site.start()
    assert run("-t", "-p", site.directory).returncode == 0
    assert site.answers()


def test_with_reuseport_each_worker_has_a_socket(site):
    site.write("worker_processes 3;", listen=f"listen 127.0.0.1:{site.port} reuseport backlog=99;")
    site.start()
    listening = [line for line in Path("/proc/net/tcp").read_text().splitlines() if f"0100007F:{site.port:04X} 00000000:0000 0A" in line]
    assert len(listening) == 3
    pids = until(lambda: (pids := {site.json()["pid"] for _ in range(60)}) and len(pids) == 3 and pids, "all workers to answer")
    site.send(signal.SIGKILL, min(pids))
    site.wait_for("exited on signal 9")
    for _ in range(20):
        assert site.get().status == 200


def test_a_range_of_ports_and_ipv6_are_listened_at(site):
    first = next(port for port in range(21540, 21590, 3) if all(is_free(port + more) for more in range(3)))
    site.port = first
    site.write(listen=f"listen 127.0.0.1:{first}-{first + 2}; listen [::1]:{first};")
    site.start()
    assert all(site.get(address=("127.0.0.1", first + more)).status == 200 for more in range(3))
    assert site.get(address=("::1", first)).status == 200


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_systemds_sockets_are_found_by_their_address(site):
    with socket.create_server(("127.0.0.1", 0)) as passed:
        site.port = passed.getsockname()[1]
        site.write()
        starter = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); " \
                  "os.environ['LISTEN_FDS'] = '1'; os.execv(sys.argv[2], sys.argv[2:])"
        with open(site.directory / "stderr", "ab") as err:
            site.process = subprocess.Popen(
                [sys.executable, "-c", starter, str(passed.fileno()), DAEMUN, "-p", str(site.directory)],
                env=environment(), stderr=err, pass_fds=[passed.fileno()], start_new_session=True)
        until(lambda: site.pid() and site.answers(), "it to serve on the socket that it was given")
        assert "LISTEN_FDS" not in site.json()["env"]


# The upgrade of the program.


def upgrade(site: Site) -> tuple[int, int]:
    site.write("env NGINX;")
    site.start()
    old = site.pid()
    site.send(signal.SIGUSR2)
    new = until(lambda: (pid := site.pid()) and pid != old and pid, "the new master")
    assert site.pid("nginx.pid.oldbin") == old
    site.wait_for(rf"start new binary process {new}")
    site.wait_for(rf"{new}#{new}: start worker process")
    return old, new


def test_the_program_is_replaced_without_a_gap(site):
    old, new = upgrade(site)
    assert alive(old) and site.answers()
    os.kill(old, signal.SIGQUIT)
    assert site.wait() == 0
    assert site.pid("nginx.pid.oldbin") is None and site.pid() == new
    for _ in range(10):
        assert "NGINX" not in site.json()["env"]
    assert site.order("stop").returncode == 0
    until(lambda: not alive(new), "the new master to end")


def test_an_upgrade_takes_every_kind_of_socket_along(site):
    path = site.directory / "s.sock"
    more = free_port()
    site.write("worker_processes 2;", listen=f"listen 127.0.0.1:{site.port}; listen unix:{path}; listen 127.0.0.1:{more} reuseport;")
    site.start()
    old = site.pid()
    inode = path.stat().st_ino
    site.send(signal.SIGUSR2)
    new = until(lambda: (pid := site.pid()) and pid != old and pid, "the new master")
    site.wait_for(rf"{new}#{new}: start worker process \d", 2)
    os.kill(old, signal.SIGQUIT)
    assert site.wait() == 0
    assert path.stat().st_ino == inode, "the file is the same"
    for address in (str(path), ("127.0.0.1", more), None):
        for _ in range(8):
            assert site.get(address=address).status == 200
    assert site.order("quit").returncode == 0
    until(lambda: not alive(new), "the new master to end")
    assert not path.exists()


def test_an_upgrade_can_be_taken_back(site):
    old, new = upgrade(site)
    os.kill(old, signal.SIGUSR2)
    site.wait_for(r"signal 12 \(SIGUSR2\) received from \d+, ignoring")
    os.kill(new, signal.SIGQUIT)
    site.wait_for(rf"new binary process {new} exited with code 0")
    assert site.pid() == old and site.pid("nginx.pid.oldbin") is None
    assert site.answers()


def test_workers_go_home_and_come_back(site):
    site.write(daemon="")
    assert run("-p", site.directory).returncode == 0
    old = site.pid()
    first = site.json()["pid"]
    site.send(signal.SIGUSR2)
    new = until(lambda: (pid := site.pid()) and pid != old and pid, "the new master")
    site.wait_for(rf"{new}#{new}: start worker process")
    os.kill(old, signal.SIGWINCH)
    site.wait_for(rf"worker process {first} exited with code 0")
    assert alive(old) and site.json()["pid"] != first
    os.kill(old, signal.SIGHUP)
    site.wait_for(rf"{old}#{old}: start worker process", 2)
    os.kill(new, signal.SIGQUIT)
    until(lambda: site.pid() == old, "the old master's pid file to be back")
    assert site.answers()
    assert site.order("quit").returncode == 0
    until(lambda: not alive(old), "the end")
