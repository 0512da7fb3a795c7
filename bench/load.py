#!/usr/bin/env python3
"""A large configuration: how long it takes to read, and what a worker holds of it, beside nginx.

    python3 bench/load.py [PROGRAM...]        # default: .venv/bin/daemun and /usr/sbin/nginx
    python3 bench/load.py --servers 100 --write DIRECTORY

It makes a configuration of 1,000 servers with 20 locations each (prefixes, exact ones, regular expressions; `root`,
`try_files`, `add_header`, `access_log`, `return`), a `map` of 1,000 entries and a `geo` of 10,000 networks. Each program
tests it (`-t`, the best and the middle of several runs), then runs it with one worker; PSS is the memory of the master
and of the worker, shared pages divided among those who share them. `--write` only makes the files.
"""

import argparse
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def location(server: int, number: int) -> str:
    """One of 20 shapes, as sites have them."""
    name = f"part{number}"
    shapes = [
        f"location /{name}/ {{ root /srv/s{server}; try_files $uri $uri/ =404; }}",
        f"location = /{name} {{ return 301 /{name}/; }}",
        f"location ^~ /{name}/static/ {{ alias /srv/s{server}/static/; expires 30d; add_header Cache-Control public; }}",
        f"location ~* \\.(css|js|png|jpg|{name})$ {{ root /srv/s{server}; access_log off; expires 7d; }}",
        f"location ~ ^/{name}/(\\d+)/(?<slug>[a-z-]+)$ {{ rewrite ^/{name}/(.*)$ /index?q=$1 last; }}",
        f"location /{name}/private/ {{ allow 10.0.0.0/8; deny all; root /srv/s{server}; }}",
        f"location /{name}/api {{ add_header X-Server s{server} always; add_header X-Part {name}; return 200 $host; }}",
        f"location /{name}/log {{ access_log logs/access.log main; root /srv/s{server}; index index.html; }}",
        f"location /{name}/up {{ client_max_body_size 20m; client_body_timeout 30s; root /srv/up; }}",
        f"location /{name}/site {{ if ($site) {{ return 403; }} root /srv/s{server}; }}",
    ]
    return shapes[number % len(shapes)]


def configuration(servers: int, locations: int, port: int) -> str:
    entries = "".join(f"        site{n}.example.com value{n};\n" for n in range(1000))
    networks = "".join(f"        10.{n // 250}.{n % 250}.0/24 net{n % 50};\n" for n in range(10_000))
    blocks = []
    for n in range(servers):
        inner = "\n".join("        " + location(n, number) for number in range(locations))
        blocks.append(
            f"    server {{\n        listen 127.0.0.1:{port};\n        server_name site{n}.example.com *.site{n}.net;\n"
            f"        root /srv/s{n};\n        error_page 404 /404.html;\n{inner}\n    }}\n"
        )
    return f"""
worker_processes 1;
error_log logs/error.log;
pid logs/nginx.pid;
events {{ worker_connections 128; }}
http {{
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent';
    access_log logs/access.log main;
    server_names_hash_max_size 65536;
    server_names_hash_bucket_size 128;
    map_hash_max_size 65536;
    map_hash_bucket_size 128;
    map $host $site {{
        default "";
{entries}    }}
    geo $net {{
        default none;
{networks}    }}
{"".join(blocks)}}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test(program: str, directory: Path, rounds: int) -> tuple[list[float], list[int]]:
    """Seconds that `-t` takes, and the most memory it has in kB."""
    times, most = [], []
    for _ in range(rounds):
        begin = time.monotonic()
        child = subprocess.Popen(
            [program, "-t", "-q", "-p", f"{directory}/", "-c", f"{directory}/nginx.conf"], stderr=subprocess.PIPE
        )
        complaint = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        times.append(time.monotonic() - begin)
        most.append(usage.ru_maxrss)
        if status:
            sys.exit(f"{program}: {complaint.decode(errors='replace')[:2000]}")
    return times, most


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory(pid: int) -> dict[str, float]:
    """MB, by kind."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}


def serve(program: str, directory: Path, port: int) -> tuple[float, dict, dict]:
    """Seconds until the first answer; memory of the master and of its worker."""
    begin = time.monotonic()
    options = "daemon off;"
    args = [program, "-p", f"{directory}/", "-c", f"{directory}/nginx.conf", "-g", options]
    with (directory / "output").open("wb") as output:
        master = subprocess.Popen(args, stdout=output, stderr=output)
    try:
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/part6/api", headers={"Host": "site7.example.com"})
                answer = connection.getresponse().read()
                break
            except OSError:
                if master.poll() is not None or time.monotonic() - begin > 60:
                    sys.exit(f"{program} does not run: {(directory / 'output').read_text()[:2000]}")
                time.sleep(0.005)
        took = time.monotonic() - begin
        assert answer == b"site7.example.com", answer
        time.sleep(0.3)
        return took, memory(master.pid), memory(children(master.pid)[0])
    finally:
        master.send_signal(signal.SIGTERM)
        master.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", default=[str(ROOT / ".venv/bin/daemun"), "/usr/sbin/nginx"])
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--locations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="only make the files")
    args = parser.parse_args()
    port = args.port or free_port()
    with tempfile.TemporaryDirectory() as temporary:
        directory = args.write or Path(temporary)
        directory.chmod(0o755) if args.write is None else directory.mkdir(parents=True, exist_ok=True)
        (directory / "logs").mkdir(exist_ok=True)
        text = configuration(args.servers, args.locations, port)
        (directory / "nginx.conf").write_text(text)
        print(f"{args.servers} servers with {args.locations} locations, {len(text) / 1e6:.1f} MB")
        if args.write:
            return
        print(f"{'':34}{'-t best':>10}{'middle':>10}{'most MB':>10}{'start':>10}{'master':>10}{'worker':>10}  MB PSS")
        for program in args.programs:
            times, most = test(program, directory, args.rounds)
            took, master, worker = serve(program, directory, port)
            print(
                f"{program[-33:]:34}{min(times):8.3f} s{statistics.median(times):8.3f} s{max(most) / 1024:10.1f}"
                f"{took:8.3f} s{master['Pss']:10.1f}{worker['Pss']:10.1f}"
                f"  (worker: RSS {worker['Rss']:.1f}, its own {worker['Private_Dirty']:.1f})"
            )


if __name__ == "__main__":
    main()
