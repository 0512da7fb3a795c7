#!/usr/bin/env python3
"""Servers side by side: CPU time and answers per second, interleaved so that drift of the machine hits all alike.

Each server has one worker and one core, the load generator (wrk) another. What counts is `µs/req`: user and system
time of the server's whole process tree per answered request. The rate beside it depends on the load generator, too.

    bench/bench.py wsgi-hello static-1k --rounds 5
    bench/bench.py all --only daemun,gunicorn,nginx --seconds 2 --json result.json

Peers are taken from PEERS_BIN (a folder with their programs and `python`), or from the environment of this Python and
PATH; those that are not there are left out. DAEMUN names another program to measure.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
SERVER_CORE, LOAD_CORE = 0, max(1, (os.cpu_count() or 2) - 1)
TICKS = os.sysconf("SC_CLK_TCK")
PEERS = os.environ.get("PEERS_BIN")


@dataclass
class Site:
    """What a server is to serve, and where."""

    port: int
    app: str  # module:name
    files: Path
    scratch: Path
    tls: bool = False
    interface: str = "wsgi"

    @property
    def certificate(self) -> tuple[str, str]:
        return str(self.scratch / "cert.pem"), str(self.scratch / "key.pem")


@dataclass
class Workload:
    """A request, and the servers that it makes sense for."""

    about: str
    servers: list[str]
    app: str = "plain:hello"
    path: str = "/"
    wrk: list[str] = field(default_factory=list)
    lua: str = ""
    connections: int = 64
    interface: str = "wsgi"
    tls: bool = False
    http2: bool = False  # h2load instead of wrk, 16 requests at a time on each connection


WSGI = ["daemun", "gunicorn", "granian", "fastwsgi", "bjoern", "uwsgi", "cheroot", "waitress"]
WORKLOADS = {
    "wsgi-hello": Workload("13 bytes, keep-alive", ["floor", *WSGI]),
    "wsgi-hello-close": Workload("a connection for each request", WSGI, wrk=["-H", "Connection: close"]),
    "wsgi-100k": Workload("an answer of 100 KB", WSGI, app="plain:large"),
    "wsgi-post": Workload(
        "a form of 10 KB", WSGI, app="plain:post",
        lua='wrk.method = "POST"; wrk.body = string.rep("x", 10240)\n'
            'wrk.headers["Content-Type"] = "application/octet-stream"\n',
    ),
    "wsgi-flask": Workload("Flask, hello", WSGI, app="with_flask:app"),
    "wsgi-django": Workload("Django, hello, four middlewares", WSGI, app="with_django:application"),
    "wsgi-tls": Workload("13 bytes over TLS", ["daemun", "gunicorn", "granian"], tls=True),
    "wsgi-h2": Workload("13 bytes over HTTP/2 and TLS", ["daemun", "granian"], tls=True, http2=True),
    "asgi-tls": Workload("13 bytes over TLS", ["daemun", "uvicorn", "granian"], app="plain_asgi:hello", interface="asgi", tls=True),
    "asgi-h2": Workload("13 bytes over HTTP/2 and TLS", ["daemun", "granian"], app="plain_asgi:hello", interface="asgi", tls=True, http2=True),
    "static-1k": Workload("a file of 1 KB", ["daemun", "nginx", "granian"], path="/static/1k.bin"),
    "static-100k": Workload("a file of 100 KB", ["daemun", "nginx", "granian"], path="/static/100k.bin"),
    "static-10m": Workload("a file of 10 MB", ["daemun", "nginx", "granian"], path="/static/10m.bin", connections=8),
}


# The servers: each gives its command line, or None when it is not installed.


def program(name: str) -> str | None:
    folders = [PEERS] if PEERS else [str(Path(sys.executable).parent), None]
    return next((found for folder in folders if (found := shutil.which(name, path=folder))), None)


def certificate(site: Site, *flags: str) -> list[str]:
    """The flags of certificate and key with their files, if the workload has TLS."""
    return [word for pair in zip(flags, site.certificate) for word in pair] if site.tls else []


def daemun(site: Site) -> list[str] | None:
    beside = Path(sys.executable).parent / "daemun"
    found = os.environ.get("DAEMUN") or (str(beside) if beside.exists() else shutil.which("daemun"))
    return found and [found, site.app, "-b", f"127.0.0.1:{site.port}", "--static", f"/static={site.files}", "--log-level", "error",
                      *certificate(site, "--certfile", "--keyfile")]


def gunicorn(site: Site) -> list[str] | None:
    found = program("gunicorn")
    # gthread with one thread: the sync worker has no keep-alive.
    return found and [found, site.app, "-b", f"127.0.0.1:{site.port}", "-k", "gthread", "--threads", "1", "--log-level", "error",
                      *certificate(site, "--certfile", "--keyfile")]


def uvicorn(site: Site) -> list[str] | None:
    found = program("uvicorn")
    return found and [found, site.app, "--port", str(site.port), "--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "error",
                      *certificate(site, "--ssl-certfile", "--ssl-keyfile")]


def granian(site: Site) -> list[str] | None:
    found = program("granian")
    return found and [found, "--interface", site.interface, "--port", str(site.port), "--no-ws", "--log-level", "error",
                      *(["--loop", "uvloop"] if site.interface == "asgi" else []),
                      "--static-path-route", "/static", "--static-path-mount", str(site.files),
                      *certificate(site, "--ssl-certificate", "--ssl-keyfile"), site.app]


def uwsgi(site: Site) -> list[str] | None:
    found = program("pyuwsgi") or program("uwsgi")
    return found and [found, "--http-socket", f"127.0.0.1:{site.port}", "--http-keepalive", "--so-keepalive", "--master", "--module", site.app,
                      "--disable-logging", "--need-app"]


def cheroot(site: Site) -> list[str] | None:
    found = program("cheroot")
    return found and [found, site.app, "--bind", f"127.0.0.1:{site.port}"]


def waitress(site: Site) -> list[str] | None:
    found = program("waitress-serve")
    return found and [found, f"--listen=127.0.0.1:{site.port}", "--threads=1", site.app]


def embedded(package: str) -> Callable[[Site], list[str] | None]:
    """A server that is a function of a Python package: `package.run(app, host, port)`."""

    def command(site: Site) -> list[str] | None:
        python = program("python") or sys.executable
        if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode:
            return None
        module, name = site.app.split(":")
        return [python, "-c", f"import {package}, {module}\n{package}.run({module}.{name}, '127.0.0.1', {site.port})"]

    return command


def nginx(site: Site) -> list[str] | None:
    found = shutil.which(os.environ.get("NGINX_BIN", "nginx"), path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if not found:
        return None
    config = site.scratch / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {site.scratch}/nginx.pid; error_log stderr crit;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type text/plain;\n"
        f"  server {{ listen 127.0.0.1:{site.port} backlog=1024; location /static/ {{ alias {site.files}/; }} }} }}\n"
    )
    return [found, "-c", str(config), "-p", str(site.scratch)]


def floor(site: Site) -> list[str] | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return None
    binary = site.scratch / "floor"
    if not binary.exists():
        subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "floor.c")], check=True)
    return [str(binary), str(site.port)]


SERVERS: dict[str, Callable[[Site], list[str] | None]] = {
    "floor": floor, "daemun": daemun, "gunicorn": gunicorn, "granian": granian, "fastwsgi": embedded("fastwsgi"), "bjoern": embedded("bjoern"),
    "uwsgi": uwsgi, "cheroot": cheroot, "waitress": waitress, "nginx": nginx, "uvicorn": uvicorn,
}


# Measuring.


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = [root]
    for member in family:
        family += [pid for pid, parent in parents.items() if parent == member]
    return family


def cpu_seconds(root: int) -> float:
    """User and system time of the tree so far, children that ended included."""
    total = 0
    for pid in tree(root):
        try:
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
        except OSError:
            continue
        total += sum(map(int, times))
    return total / TICKS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def connect(site: Site) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", site.port), 1)
    if not site.tls:
        return plain
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    return anyone.wrap_socket(plain)


def start(command: list[str], site: Site) -> subprocess.Popen:
    process = subprocess.Popen(
        command, cwd=APPS, env={**os.environ, "PYTHONPATH": str(APPS)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with connect(site) as probe:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if probe.recv(16).startswith(b"HTTP/1."):
                    return process
        except OSError:
            time.sleep(0.05)
    stop(process)
    raise RuntimeError(f"does not answer: {' '.join(command)}")


def stop(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait(5)
            return


def load(workload: Workload, site: Site, seconds: float) -> tuple[int, float, int]:
    """(answers, seconds, failures) of one run of wrk."""
    command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", *workload.wrk]
    if workload.lua:
        script = site.scratch / "request.lua"
        script.write_text(workload.lua)
        command += ["-s", str(script)]
    command.append(f"{'https' if site.tls else 'http'}://127.0.0.1:{site.port}{workload.path}")
    if workload.http2:
        command = ["h2load", "-t1", f"-c{workload.connections}", "-m16", f"-D{seconds}", command[-1]]
    out = subprocess.run(command, capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE})).stdout
    if workload.http2:
        done, failed = re.search(r"requests: .* (\d+) done, .* (\d+) failed", out).groups()
        return int(done), seconds, int(failed)
    answers, unit = re.search(r"(\d+) requests in ([\d.]+)(?=s)", out).groups()
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failures = int(refused.group(1)) if refused else 0
    # A server that closes after each answer is read until the end; wrk calls that a read error of none.
    failures += sum(map(int, broken.groups())) if broken and not workload.wrk else 0
    return int(answers), float(unit), failures


def measure(name: str, workload: Workload, options: argparse.Namespace, files: Path, scratch: Path) -> dict[str, list[tuple[float, float, int]]]:
    wanted = [server for server in workload.servers if not options.only or server in options.only]
    results: dict[str, list[tuple[float, float, int]]] = {}
    for turn in range(options.rounds):
        for server in wanted:
            if turn and server not in results:
                continue
            site = Site(free_port(), workload.app, files, scratch, workload.tls, workload.interface)
            command = SERVERS[server](site)
            if not command:
                continue
            try:
                process = start(command, site)
            except RuntimeError as error:
                print(f"  {server}: {error}", file=sys.stderr)
                continue
            try:
                load(workload, site, 1)  # warm: connections, caches, the inline/fronted decision
                before = cpu_seconds(process.pid)
                answers, seconds, failures = load(workload, site, options.seconds)
                spent = cpu_seconds(process.pid) - before
            finally:
                stop(process)
            results.setdefault(server, []).append((spent / max(answers, 1) * 1e6, answers / seconds, failures))
            if sys.stderr.isatty():
                print(f"\r  {name}: round {turn + 1}/{options.rounds} {server:<12}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return results


def report(name: str, workload: Workload, results: dict[str, list[tuple[float, float, int]]]) -> None:
    if not results:
        print(f"\n{name}: none of its servers is installed")
        return
    median = {server: statistics.median(cost for cost, _, _ in runs) for server, runs in results.items()}
    ours = median.get("daemun")
    print(f"\n{name}: {workload.about}\n  {'':<12}{'µs/req':>9}{'spread':>14}{'req/s':>10}{'to daemun':>11}")
    for server in sorted(results, key=median.__getitem__):
        costs = [cost for cost, _, _ in results[server]]
        rate = statistics.median(rate for _, rate, _ in results[server])
        failures = sum(failed for _, _, failed in results[server])
        ratio = f"× {median[server] / ours:.2f}" if ours else ""
        spread = f"{min(costs):.1f}-{max(costs):.1f}"
        print(f"  {server:<12}{median[server]:>9.1f}{spread:>14}{rate:>10.0f}{ratio:>11}" + (f"   {failures} failures" if failures else ""))


TOOLS = {"wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl"}  # and Debian's packages


def needed_tools(names: list[str]) -> list[str]:
    wanted = [WORKLOADS[name] for name in names]
    return (["wrk"] + ["h2load"] * any(workload.http2 for workload in wanted) + ["openssl"] * any(workload.tls for workload in wanted))


def make_certificate(scratch: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-keyout", str(scratch / "key.pem"), "-out", str(scratch / "cert.pem")], check=True, capture_output=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=["all"], metavar="WORKLOAD", help=f"all, or of: {', '.join(WORKLOADS)}")
    parser.add_argument("--only", type=lambda text: text.split(","), help="servers, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write every figure here")
    options = parser.parse_args()
    names = list(WORKLOADS) if "all" in options.workloads else options.workloads
    unknown = [name for name in [*names, *(options.only or [])] if name not in WORKLOADS and name not in SERVERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    missing = next((tool for tool in needed_tools(names) if not shutil.which(tool)), None)
    if missing:
        print(f"{missing} is missing\n  hint: apt-get install {TOOLS[missing]}", file=sys.stderr)
        return 1
    everything = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        scratch.chmod(0o755)  # nginx's worker may be another user
        files = scratch / "files"
        files.mkdir()
        for name, size in [("1k", 1024), ("100k", 102_400), ("10m", 10_485_760)]:
            (files / f"{name}.bin").write_bytes(os.urandom(size))
        if any(WORKLOADS[name].tls for name in names):
            make_certificate(scratch)
        for name in names:
            everything[name] = measure(name, WORKLOADS[name], options, files, scratch)
            report(name, WORKLOADS[name], everything[name])
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
