"""What clients see when servers fail: three servers behind Daemun, one of which fails, and the same behind nginx.

    python bench/failures.py [--requests 12] [--programs daemun,nginx]

For each way to fail, and for GET and POST: one answer after another, as a client sees it. `ok` is a whole answer of a server that
works, `cut` one whose body ended early, `hung up` no answer at all; a number is an error page. The upstream is as most have it:
`proxy_next_upstream`, `max_fails` and `fail_timeout` at their defaults; timeouts are one second. Exit code 1 when they differ.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DAEMUN = os.environ.get("DAEMUN", str(ROOT / ".venv" / "bin" / "daemun"))
NGINX = shutil.which("nginx", path=f"/usr/sbin:/usr/local/sbin:{os.environ.get('PATH', '')}")
BODY = b"x" * 3000
FAULTS = ("killed", "killed while it answers", "hangs", "refuses", "closes", "garbage", "broken head", "resets in mid-head", "resets in mid-body", "cuts the body", "cuts the chunks",
          "too large a head", "500", "503", "slow")
KILL_AFTER = 4  # requests, before the one that is killed is killed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# A server, in a process of its own.


def serve(port: int, fault: str) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client, fault), daemon=True).start()


def answer(client: socket.socket, fault: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    with client, contextlib.suppress(OSError):
        data = b""
        while b"\r\n\r\n" not in data or (b"POST" in data and b"body" not in data):
            piece = client.recv(65536)
            if not piece:
                return
            data += piece
        parts = {
            "works": [head + BODY], "slow": [head[:10], 0.2, head[10:] + BODY[:1000], 0.2, BODY[1000:]], "hangs": [60.0],
            "killed while it answers": [head + BODY[:1000], 0.2, BODY[1000:]], "killed": [head + BODY], "closes": [],
            "garbage": [b"\x16\x03\x01 what is this\r\n\r\n"], "broken head": [b"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n" + BODY],
            "resets in mid-head": [head[:20], 0.1], "resets in mid-body": [head + BODY[:1000], 0.1], "cuts the body": [head + BODY[:1000]],
            "cuts the chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + BODY[:1000] + b"\r\n"],
            "too large a head": [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n" + BODY],
            "500": [b"HTTP/1.1 500 Error\r\nContent-Length: 5\r\n\r\nerror"], "503": [b"HTTP/1.1 503 Error\r\nContent-Length: 5\r\n\r\nerror"],
        }[fault]
        for part in parts:
            if isinstance(part, float):
                time.sleep(part)
            else:
                client.sendall(part)
        if fault.startswith("resets"):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        client.shutdown(socket.SHUT_WR)
        client.settimeout(5)
        while client.recv(65536):
            pass


@contextlib.contextmanager
def child(line: list[str], port: int | None, **options):
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        end = time.monotonic() + 15
        while port is not None and not listening(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{line} does not start")
            time.sleep(0.02)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def listening(port: int) -> bool:
    with open("/proc/net/tcp") as table:
        return any(line.split()[1] == f"0100007F:{port:04X}" and line.split()[3] == "0A" for line in table)


@contextlib.contextmanager
def program(path: str, directory: Path, ports: list[int]):
    """The proxy, in front of servers on `ports`."""
    port = free_port()
    directory.mkdir()
    user = "user root;" if os.getuid() == 0 else ""
    names = ("client_body", "proxy", *(("fastcgi", "uwsgi", "scgi") if Path(path).name == "nginx" else ()))
    temp = "".join(f"{name}_temp_path {directory}/{name};" for name in names)
    servers = " ".join(f"server 127.0.0.1:{one};" for one in ports)
    (directory / "nginx.conf").write_text(f"""
daemon off; {user} pid {directory}/pid; error_log {directory}/error.log info;
events {{ }}
http {{
    {temp} access_log off;
    upstream app {{ {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_http_version 1.0; proxy_set_header Connection close; proxy_pass http://app;
            proxy_connect_timeout 1s; proxy_read_timeout 1s; proxy_send_timeout 1s;
        }}
    }}
}}
""")
    with open(directory / "output", "wb") as output, child([path, "-p", str(directory), "-c", str(directory / "nginx.conf")], port, stdout=output, stderr=output):
        yield port


def ask(port: int, method: str) -> str:
    body = b"the body" if method == "POST" else b""
    try:
        with socket.create_connection(("127.0.0.1", port), 15) as client:
            client.sendall(b"%b / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (method.encode(), len(body), body))
            data = b""
            while piece := client.recv(65536):
                data += piece
    except OSError as error:
        return f"hung up ({type(error).__name__})" if not isinstance(error, TimeoutError) else "no answer"
    head, _, got = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "hung up" if not data else f"no HTTP ({len(data)} bytes)"
    status = head[9:12].decode()
    if b"chunked" in head.lower() and not got.endswith(b"0\r\n\r\n"):
        return "cut"
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), None)
    if length is not None and len(got) < length:
        return "cut"
    return "ok" if status == "200" else status


def row(path: str, fault: str, method: str, requests: int, directory: Path) -> list[str]:
    """What a client sees, one request after another."""
    ports = [free_port() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        running = {}
        for number, port in enumerate(ports):
            own = fault if number == 1 else "works"
            if own != "refuses":
                running[number] = stack.enter_context(child([sys.executable, __file__, "--serve", str(port), own], port))
        front = stack.enter_context(program(path, directory, ports))
        seen = []
        for number in range(requests):
            if fault == "killed" and number == KILL_AFTER:
                running[1].kill()
                running[1].wait()
            if fault == "killed while it answers" and number == KILL_AFTER:
                # The second server is asked by this request: kill it between the halves of its answer.
                threading.Timer(0.1, running[1].kill).start()
            seen.append(ask(front, method))
        return seen


def shortened(seen: list[str]) -> str:
    """`3 ok, 502, 8 ok`."""
    groups: list[tuple[str, int]] = []
    for one in seen:
        groups = [*groups[:-1], (one, groups[-1][1] + 1)] if groups and groups[-1][0] == one else [*groups, (one, 1)]
    return ", ".join(what if count == 1 else f"{count} {what}" for what, count in groups)


def table(programs: dict[str, str], requests: int, faults=FAULTS, methods=("GET", "POST")) -> list[tuple[str, dict[str, str]]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="failures-") as top:
        Path(top).chmod(0o755)
        for fault in faults:
            for method in methods:
                found = {name: shortened(row(path, fault, method, requests, Path(top) / f"{len(rows)}-{name}")) for name, path in programs.items()}
                rows.append((f"{fault}, {method}", found))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=12)
    parser.add_argument("--programs", default="daemun,nginx")
    parser.add_argument("--only", help="a part of the fault's name")
    parser.add_argument("--serve", nargs=2, metavar=("PORT", "FAULT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(int(options.serve[0]), options.serve[1])
    known = {"daemun": DAEMUN, "nginx": NGINX}
    programs = {name: known[name] for name in options.programs.split(",") if known.get(name)}
    faults = [fault for fault in FAULTS if not options.only or options.only in fault]
    rows = table(programs, options.requests, faults)
    print("| the second of three servers | " + " | ".join(programs) + " | |")
    print("|---|" + "---|" * len(programs) + "---|")
    different = 0
    for what, found in rows:
        same = len(set(found.values())) == 1
        different += not same
        print(f"| {what} | " + " | ".join(found.values()) + f" | {'' if same else 'differs'} |")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
