"""Compression on the fly: files and applications, streams that must not be held back, bodies that become very long."""

import argparse
import re
import shutil
import subprocess
import threading
import zlib
from pathlib import Path

import pytest
from harness import Connection, until
from test_nginx_face import Site

# Applications. `/events` sends one event after another, each when the client has told that it has the one before; the
# others are as their names say.
COMMON = r'''
import os, time, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
LINE = b"".join(b"line %06d of a long answer\n" % number for number in range(2400))[:65536]

def told(number):
    return os.path.exists(os.path.join(HERE, "told", str(number)))

def bomb():
    packer = zlib.compressobj(9, 8, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()

def fields(path, query):
    kind = {"/events": "text/event-stream", "/image": "image/png"}.get(path, "text/html")
    found = [("Content-Type", kind), ("ETag", '"own"'), ("Vary", "Cookie")]
    if path in ("/bomb", "/packed", "/broken"):
        found.append(("Content-Encoding", "gzip"))
    if path == "/modified":
        found.append(("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT"))
    return found

def whole(path):
    if path == "/bomb":
        return bomb()
    if path == "/packed":
        packer = zlib.compressobj(9, 8, 31)
        return packer.compress(b"a text that was packed by the application\n") + packer.flush()
    if path == "/broken":
        return b"\x1f\x8b\x08\0\0\0\0\0\0\x03this is no deflate"
    return b"a page of more than twenty bytes\n" * 100
'''

WSGI = COMMON + '''
def events():
    for number in range(5):
        while number and not told(number - 1):
            time.sleep(0.005)
        yield b"data: event %d\\n\\n" % number

def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", fields(path, ""))
    if path == "/events":
        return events()
    if path == "/long":
        return (LINE for _ in range(1600))
    if path == "/pieces":
        return (b"piece %d\\n" % number for number in range(3000))
    return [whole(path)]
'''

ASGI = COMMON + '''
import asyncio

async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    path = scope["path"]
    headers = [(name.lower().encode(), value.encode()) for name, value in fields(path, "")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    part = lambda body: send({"type": "http.response.body", "body": body, "more_body": True})
    if path == "/events":
        for number in range(5):
            while number and not told(number - 1):
                await asyncio.sleep(0.005)
            await part(b"data: event %d\\n\\n" % number)
    elif path == "/long":
        for _ in range(1600):
            await part(LINE)
    elif path == "/pieces":
        for number in range(3000):
            await part(b"piece %d\\n" % number)
    else:
        await part(whole(path))
    await send({"type": "http.response.body", "body": b""})
'''

LONG = 1600 * 65536
PIECES = b"".join(b"piece %d\n" % number for number in range(3000))
BROWSER = ("Accept-Encoding", "gzip, deflate, br, zstd")
GZIP = ("Accept-Encoding", "gzip")

HTTP = """
    types { text/html html; text/plain txt; }
    gzip on; gzip_vary on; gunzip on; gzip_types text/event-stream text/plain;
    log_format ratio '$uri $status $gzip_ratio $brotli_ratio $zstd_ratio $body_bytes_sent';
    access_log logs/ratio.log ratio;
"""
LOCATIONS = """
    location / { python_pass NAME; }
    location /coded/ { python_pass NAME; rewrite ^/coded(/.*)$ $1 break; brotli on; brotli_types *; zstd on; zstd_types *; }
    location /modern/ { alias www/; brotli on; zstd on; brotli_comp_level 5; }
    location /brotli/ { alias www/; brotli on; }
    location /files/ { alias www/; gzip_comp_level 6; }
    location /fast/ { alias www/; }
"""


@pytest.fixture(params=["wsgi", "asgi"])
def site(request, tmp_path):
    made = Site(tmp_path)
    begin(made, "evented" if request.param == "asgi" else "")
    yield made
    made.end()


@pytest.fixture
def files(tmp_path):
    made = Site(tmp_path)
    begin(made)
    yield made
    made.end()


def begin(site: Site, interface: str = "") -> None:
    (site.directory / "packs.py").write_text(ASGI if interface else WSGI)
    (site.directory / "told").mkdir()
    (site.directory / "www").mkdir()
    (site.directory / "www" / "page.html").write_bytes(PAGE)
    (site.directory / "www" / "large.txt").write_bytes(PAGE * 40)
    app = f"python_app packs {{ module packs:application; path {site.directory}; interface {'asgi' if interface else 'wsgi'}; }}"
    site.write(http=app + HTTP, location="location = / { return 200 ok; }" + LOCATIONS.replace("NAME", "packs").replace("location / {", "location ~ ^/[a-z]+$ {"))
    site.start()


PAGE = b"".join(b"<p class='line'>paragraph %d of a page: %d</p>\n" % (number, number * 7919 % 1000) for number in range(500))


def inflate(body: bytes) -> bytes:
    reader = zlib.decompressobj(31)
    text = reader.decompress(body)
    assert reader.eof and not reader.unused_data
    return text


def get(site: Site, path: str, *fields: tuple[str, str], method: str = "GET"):
    with Connection(("127.0.0.1", site.port)) as connection:
        return connection.request(method, path, [("Connection", "close"), *fields]).response(method)


def worker_memory(site: Site) -> int:
    """The most that a worker has held, in MB."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(site.pid())], capture_output=True, text=True).stdout
    peaks = [re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()) for pid in children.split()]
    return max(int(peak[1]) for peak in peaks if peak) // 1024


# What is answered.


def test_an_answer_of_an_application(site):
    plain = get(site, "/page")
    packed = get(site, "/page", GZIP)
    assert inflate(packed.body) == plain.body
    assert packed["content-encoding"] == "gzip" and packed["content-length"] is None
    assert (packed["etag"], plain["etag"]) == ('W/"own"', '"own"')
    assert packed.all("vary") == plain.all("vary") == ["Accept-Encoding", "Cookie"]
    head = get(site, "/page", GZIP, method="HEAD")
    names = [name for name, _ in packed.headers if name.lower() != "transfer-encoding"]
    assert [name for name, _ in head.headers] == names


def test_what_is_left_alone(site):
    image = get(site, "/image", GZIP)
    assert image["content-encoding"] is None and len(image.body) == 3300
    packed = get(site, "/packed", GZIP)
    assert inflate(packed.body).startswith(b"a text that was packed")
    old = subprocess.run(
        ["curl", "-s", "-0", "-i", "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{site.port}/page"], capture_output=True
    ) if shutil.which("curl") else None
    assert old is None or b"Content-Encoding" not in old.stdout


def test_the_coding_that_is_preferred(site):
    for accept, coding in [("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"), ("gzip, deflate", "gzip"),
                           ("br;q=0.5, gzip;q=0.9", "gzip"), ("deflate", None), ("", None)]:
        assert get(site, "/coded/page", ("Accept-Encoding", accept))["content-encoding"] == coding, accept


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_curl_reads_it(site, coding):
    curl = shutil.which("curl")
    known = curl and subprocess.run([curl, "-V"], capture_output=True, text=True).stdout.lower()
    feature = {"gzip": "libz", "br": "brotli", "zstd": "zstd"}[coding]
    if not known or feature not in known:
        pytest.skip(f"no curl that knows {coding}")
    for path, expected in [("/coded/page", b"a page of more than twenty bytes\n" * 100), ("/coded/pieces", PIECES)]:
        line = [curl, "-s", "--compressed", "-H", f"Accept-Encoding: {coding}", f"http://127.0.0.1:{site.port}{path}"]
        assert subprocess.run(line, capture_output=True, check=True).stdout == expected


def test_pieces_are_one_body(site):
    answer = get(site, "/pieces", GZIP)
    assert inflate(answer.body) == PIECES


def test_files(files):
    for path, size in [("/files/page.html", len(PAGE)), ("/files/large.txt", len(PAGE) * 40)]:
        packed = get(files, path, GZIP)
        assert len(inflate(packed.body)) == size and len(packed.body) < size / 4
        part = get(files, path, GZIP, ("Range", "bytes=0-9"))
        assert part.status == 200 and part["content-encoding"] == "gzip"
        assert get(files, path, ("Range", "bytes=0-9")).status == 206
    assert get(files, "/modern/page.html", BROWSER)["content-encoding"] == "zstd"
    assert get(files, "/brotli/page.html", BROWSER)["content-encoding"] == "br"


def test_files_are_not_longer_than_with_zlib(files):
    text = Path(argparse.__file__).read_bytes()
    for level in (1, 6):
        (files.directory / "www" / f"source{level}.txt").write_bytes(text)
        ours = len(get(files, f"/{'files' if level == 6 else 'fast'}/source{level}.txt", GZIP).body)
        packer = zlib.compressobj(level, 8, 31)
        zlibs = len(packer.compress(text) + packer.flush())
        assert ours < zlibs * 1.01, level


def test_ratios_in_the_log(files):
    body = get(files, "/files/page.html", GZIP).body
    get(files, "/files/page.html")
    get(files, "/modern/page.html", BROWSER)
    log = files.directory / "logs" / "ratio.log"

    def three() -> list[str] | None:
        lines = [line for line in log.read_text().splitlines() if "page" in line]
        return lines if len(lines) >= 3 else None

    lines = until(three, "three lines")
    ratio = len(PAGE) / len(body)
    assert abs(float(lines[0].split()[2]) - ratio) < 0.006
    assert int(lines[0].split()[5]) >= len(body)
    assert lines[1].split()[2:5] == ["-", "-", "-"]
    assert lines[2].split()[2:4] == ["-", "-"] and float(lines[2].split()[4]) > 3


# Streams.


@pytest.mark.parametrize("accept", ["gzip", "br", "zstd"])
def test_each_event_arrives_before_the_next_is_sent(site, accept):
    if accept != "gzip" and not shutil.which("curl"):
        pytest.skip("needs curl")
    path = "/events" if accept == "gzip" else "/coded/events"
    with Connection(("127.0.0.1", site.port)) as connection:
        head = connection.request("GET", path, [("Accept-Encoding", accept)]).head()
        assert head["content-encoding"] == accept
        reader = zlib.decompressobj(31)
        text = b""
        for number in range(5):
            if accept == "gzip":
                while b"data: event %d\n\n" % number not in text:
                    chunk = connection.chunk()
                    assert chunk, text
                    text += reader.decompress(chunk)
            else:
                # Something has come for it; what, curl tells below.
                assert connection.chunk()
            (site.directory / "told" / str(number)).touch()
        while chunk := connection.chunk():
            text += reader.decompress(chunk) if accept == "gzip" else b""
        assert accept != "gzip" or reader.eof


def test_a_long_answer_needs_little_memory(site):
    get(site, "/page", GZIP)
    before = worker_memory(site)
    reader = zlib.decompressobj(31)
    with Connection(("127.0.0.1", site.port), 120) as connection:
        connection.request("GET", "/long", [GZIP, ("Connection", "close")]).head()
        length = 0
        while chunk := connection.chunk():
            length += len(reader.decompress(chunk))
    assert length == LONG and reader.eof
    assert worker_memory(site) - before < 40


def test_a_client_that_goes_away(site):
    for _ in range(20):
        with Connection(("127.0.0.1", site.port)) as connection:
            connection.request("GET", "/long", [GZIP]).head()
            connection.chunk()
    assert get(site, "/page", GZIP)["content-encoding"] == "gzip"
    assert worker_memory(site) < 250


# The opposite.


def test_gzip_is_taken_off(site):
    answer = get(site, "/packed")
    assert answer.body == b"a text that was packed by the application\n"
    assert answer["content-encoding"] is None and answer["content-length"] is None and answer["etag"] == 'W/"own"'


def test_a_bomb_is_unpacked_as_the_client_takes_it(site):
    get(site, "/page")
    before = worker_memory(site)
    with Connection(("127.0.0.1", site.port), 120) as connection:
        connection.request("GET", "/bomb", [("Connection", "close")]).head()
        # Nobody reads: nothing may be made in advance.
        threading.Event().wait(0.3)
        length = 0
        while chunk := connection.chunk():
            length += len(chunk)
    assert length == 200 << 20
    assert worker_memory(site) - before < 40


def test_what_is_no_gzip_breaks_the_answer_off(site):
    with Connection(("127.0.0.1", site.port)) as connection:
        connection.request("GET", "/broken").head()
        rest = connection.rest()
        assert b"0\r\n\r\n" not in rest
    site.wait_for(r"inflate\(\) failed: \d, -3")
    assert get(site, "/page").status == 200
