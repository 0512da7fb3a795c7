"""`--static URL=DIR`: files served by Daemun itself."""

import gzip
import os
import re
import time
from email.utils import formatdate, parsedate_to_datetime

import pytest
from harness import run

SMALL = b"body { color: black }\n"
LARGE = bytes(range(256)) * 8000  # beyond any small-file cache


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what a site has, and what it should not give away."""
    root = tmp_path_factory.mktemp("site") / "files"
    root.mkdir()
    (root / "style.css").write_bytes(SMALL)
    (root / "large.bin").write_bytes(LARGE)
    (root / "empty.txt").write_bytes(b"")
    (root / "name with space.txt").write_bytes(b"space")
    (root / "caf\u00e9.txt").write_bytes(b"accent")
    (root / "100%.txt").write_bytes(b"percent")
    (root / ".hidden").write_bytes(b"hidden")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"hidden")
    (root / "no-extension").write_bytes(b"plain")
    (root / "page.html").write_bytes(b"<p>page</p>")
    (root / "folder").mkdir()
    (root / "folder" / "index.html").write_bytes(b"<p>index</p>")
    (root / "bare").mkdir()
    (root / "bare" / "file.txt").write_bytes(b"in bare")
    (root / "app.js").write_bytes(b"let plain = 1;" * 50)
    (root / "app.js.gz").write_bytes(gzip.compress(b"let plain = 1;" * 50))
    (root / "app.js.br").write_bytes(b"pretend-brotli")
    (root / "app.js.zst").write_bytes(b"pretend-zstd")
    (root / "only.txt").write_bytes(b"text" * 50)
    (root / "only.txt.gz").write_bytes(gzip.compress(b"text" * 50))
    (root / "inside.css").symlink_to("style.css")
    (root / "outside.txt").symlink_to(root.parent / "secret.txt")
    (root / "outside").symlink_to(root.parent)
    (root.parent / "secret.txt").write_bytes(b"secret")
    (root.parent / "files-next-door").mkdir()
    (root.parent / "files-next-door" / "x.txt").write_bytes(b"secret")
    if os.geteuid() != 0:
        (root / "forbidden.txt").write_bytes(b"x")
        (root / "forbidden.txt").chmod(0)
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


@pytest.fixture(scope="module")
def site(serve_all, files):
    return serve_all("kitchen", "--static", f"/static={files}", "--static", f"/other/={files}/folder")


def ask(site, path, headers=(), method="GET"):
    return site.get("/static" + path, headers, method)


# What is served.


@pytest.mark.parametrize(
    ("path", "body", "media_type"),
    [
        ("/style.css", SMALL, "text/css"),
        ("/large.bin", LARGE, "application/octet-stream"),
        ("/empty.txt", b"", "text/plain"),
        ("/page.html", b"<p>page</p>", "text/html"),
        ("/name%20with%20space.txt", b"space", "text/plain"),
        ("/caf%C3%A9.txt", b"accent", "text/plain"),
        ("/100%25.txt", b"percent", "text/plain"),
        ("/bare/file.txt", b"in bare", "text/plain"),
        ("/bare/../style.css", SMALL, "text/css"),
        ("/./style.css", SMALL, "text/css"),
        ("/inside.css", SMALL, "text/css"),
        ("/style.css?version=3", SMALL, "text/css"),
    ],
)
def test_a_file_is_served(site, path, body, media_type):
    response = ask(site, path)
    assert response.status == 200, response
    assert response.body == body
    assert response["Content-Length"] == str(len(body))
    assert response["Content-Type"].split(";")[0] == media_type
    assert response["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.js", "text/javascript"), ("a.mjs", "text/javascript"), ("a.json", "application/json"), ("a.svg", "image/svg+xml"), ("a.png", "image/png"),
     ("a.woff2", "font/woff2"), ("a.wasm", "application/wasm"), ("a.webp", "image/webp"), ("a.pdf", "application/pdf"), ("a.mp4", "video/mp4"),
     ("a.XML", "text/xml"), ("a.ico", "image/x-icon"), ("a.jpeg", "image/jpeg"), ("a.unknown-kind", "application/octet-stream")],
)
def test_the_media_type_follows_the_extension(site, files, name, media_type):
    (files / name).write_bytes(b"x")
    given = ask(site, f"/{name}")["Content-Type"].split(";")[0]
    allowed = {"text/javascript": {"text/javascript", "application/javascript"}, "text/xml": {"text/xml", "application/xml"},
               "image/x-icon": {"image/x-icon", "image/vnd.microsoft.icon"}}
    assert given in allowed.get(media_type, {media_type})


def test_several_folders_are_served(site):
    assert site.get("/other/index.html").text == "<p>index</p>"


def test_the_longest_prefix_wins(serve, files):
    server = serve("hello", "--static", f"/s={files}", "--static", f"/s/deep={files}/folder")
    assert server.get("/s/deep/index.html").text == "<p>index</p>"
    assert server.get("/s/style.css").body == SMALL


def test_other_paths_are_the_applications(site):
    assert site.get("/hello").text == "Hello"
    assert site.get("/staticky").text == "no such page"


def test_an_index_page_stands_for_its_folder(site):
    assert ask(site, "/folder/").text == "<p>index</p>"


def test_a_folder_without_a_slash_is_redirected(site):
    response = ask(site, "/folder?x=1")
    assert response.status == 301
    assert re.fullmatch(r"(http://localhost(:\d+)?)?/static/folder/(\?x=1)?", response["Location"])


def test_a_folder_without_an_index_is_not_listed(site):
    response = ask(site, "/bare/")
    assert response.status in (403, 404)
    assert b"file.txt" not in response.body


def test_a_missing_file_is_404(site):
    assert ask(site, "/absent.css").status == 404
    assert ask(site, "/style.css/below").status == 404
    assert ask(site, "/style.css/").status in (404, 403)


def test_a_file_that_changed_is_served_anew(site, files):
    path = files / "changing.txt"
    path.write_bytes(b"one")
    first = ask(site, "/changing.txt")
    assert first.text == "one"
    path.write_bytes(b"number two")
    deadline = time.monotonic() + 15
    while ask(site, "/changing.txt").text != "number two":
        assert time.monotonic() < deadline, "the old content is still served"
        time.sleep(0.2)
    assert ask(site, "/changing.txt")["ETag"] != first["ETag"]
    path.unlink()
    while ask(site, "/changing.txt").status != 404:
        assert time.monotonic() < deadline + 15, "a removed file is still served"
        time.sleep(0.2)


def test_a_new_file_is_found(site, files):
    assert ask(site, "/newcomer.txt").status == 404
    (files / "newcomer.txt").write_bytes(b"here")
    deadline = time.monotonic() + 15
    while ask(site, "/newcomer.txt").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


# What is not.


@pytest.mark.parametrize(
    "path",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt", "/folder/../../secret.txt", "/..", "/../", "/..%5csecret.txt",
     "//../secret.txt", "/%252e%252e/secret.txt", "/....//secret.txt", "/./../secret.txt", "/bare/..%2f..%2fsecret.txt", "-next-door/x.txt",
     "/../files-next-door/x.txt", "/secret.txt%00.css", "/style.css%00", "/outside.txt", "/outside/secret.txt"],
)
def test_nothing_outside_the_folder_is_served(site, path):
    response = ask(site, path)
    assert response.status in (400, 403, 404), response
    assert b"secret" not in response.body


def test_dot_files_are_not_served(site):
    for path in ("/.hidden", "/.git/config", "/.git/", "/%2ehidden", "/bare/../.hidden"):
        response = ask(site, path)
        assert response.status in (403, 404), path
        assert b"hidden" not in response.body


def test_a_path_too_long_for_the_system_is_404(site):
    assert ask(site, "/" + "a" * 3000).status in (404, 414, 400)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_allowed(site, method):
    response = ask(site, "/style.css", method=method)
    assert response.status == 405
    assert {name.strip() for name in response["Allow"].split(",")} >= {"GET", "HEAD"}


def test_an_unreadable_file_is_403(site):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    assert ask(site, "/forbidden.txt").status == 403


def test_something_that_is_no_file_is_not_served(site, files):
    os.mkfifo(files / "pipe")
    assert ask(site, "/pipe").status in (403, 404)


# HEAD, dates and tags.


@pytest.mark.parametrize("path", ["/style.css", "/large.bin", "/empty.txt"])
def test_head_is_get_without_the_body(site, path):
    with site.connect() as connection:
        get = connection.request("GET", "/static" + path).response()
        head = connection.request("HEAD", "/static" + path).response("HEAD")
        for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified"):
            assert head[name] == get[name], name
        assert connection.request("GET", "/static" + path).response().status == 200


def test_the_date_is_the_files(site):
    assert parsedate_to_datetime(ask(site, "/style.css")["Last-Modified"]).timestamp() == 1_700_000_000


def test_a_known_tag_is_304(site):
    tag = ask(site, "/style.css")["ETag"]
    assert re.fullmatch(r'(W/)?"[^"]+"', tag)
    for value in (tag, f'"x", {tag}', "*", f"W/{tag.removeprefix('W/')}"):
        response = ask(site, "/style.css", [("If-None-Match", value)])
        assert response.status == 304, value
        assert response["ETag"] == tag
        assert response["Content-Length"] in (None, str(len(SMALL)))
    assert ask(site, "/style.css", [("If-None-Match", '"other"')]).status == 200


def test_a_date_not_older_than_the_file_is_304(site):
    for seconds, status in [(0, 304), (1000, 304), (-1000, 200)]:
        date = formatdate(1_700_000_000 + seconds, usegmt=True)
        assert ask(site, "/style.css", [("If-Modified-Since", date)]).status == status, seconds
    assert ask(site, "/style.css", [("If-Modified-Since", "yesterday")]).status == 200


def test_a_tag_counts_more_than_a_date(site):
    date = formatdate(1_700_000_000, usegmt=True)
    assert ask(site, "/style.css", [("If-None-Match", '"other"'), ("If-Modified-Since", date)]).status == 200


def test_a_failed_condition_is_412(site):
    tag = ask(site, "/style.css")["ETag"]
    assert ask(site, "/style.css", [("If-Match", '"other"')]).status == 412
    assert ask(site, "/style.css", [("If-Match", "*")]).status == 200
    if not tag.startswith("W/"):
        assert ask(site, "/style.css", [("If-Match", tag)]).status == 200
    assert ask(site, "/style.css", [("If-Unmodified-Since", formatdate(1_600_000_000, usegmt=True))]).status == 412
    assert ask(site, "/style.css", [("If-Unmodified-Since", formatdate(1_700_000_000, usegmt=True))]).status == 200


# Ranges.


@pytest.mark.parametrize("name", ["style.css", "large.bin"])
@pytest.mark.parametrize(
    ("value", "cut"),
    [("bytes=0-4", slice(0, 5)), ("bytes=5-", slice(5, None)), ("bytes=-5", slice(-5, None)), ("bytes=0-0", slice(0, 1)),
     ("bytes=0-999999999", slice(0, None)), ("bytes=-999999999", slice(0, None)), ("bytes= 1-2", slice(1, 3))],
)
def test_a_range_is_206(site, files, name, value, cut):
    whole = (files / name).read_bytes()
    response = ask(site, f"/{name}", [("Range", value)])
    if value == "bytes= 1-2" and response.status == 200:
        return  # whitespace there is not in the grammar; ignoring the header is allowed
    assert response.status == 206, response
    assert response.body == whole[cut]
    start, stop, _ = cut.indices(len(whole))
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"


@pytest.mark.parametrize("value", ["bytes=999999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(site, value):
    response = ask(site, "/style.css", [("Range", value)])
    assert response.status == 416
    assert response["Content-Range"] == f"bytes */{len(SMALL)}"


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=a-b", "lines=1-2", "bytes", "bytes=", "bytes=1", "bytes=--1", "bytes=1-2-3"])
def test_a_range_that_is_none_is_ignored_or_refused(site, value):
    # RFC 9110 section 14.2 allows both.
    response = ask(site, "/style.css", [("Range", value)])
    assert response.status in (200, 416)
    assert response.status == 416 or response.body == SMALL


def parts(response):
    boundary = re.fullmatch(r"multipart/byteranges; ?boundary=\"?([^\"]+)\"?", response["Content-Type"]).group(1).encode()
    pieces = response.body.split(b"--" + boundary)
    assert pieces[-1].strip() == b"--"
    result = []
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        assert body.endswith(b"\r\n")
        result.append((re.search(rb"(?i)content-range: bytes (\d+)-(\d+)/(\d+)", head).groups(), body[:-2], head))
    return result


@pytest.mark.parametrize("name", ["style.css", "large.bin"])
def test_several_ranges_are_several_parts(site, files, name):
    whole = (files / name).read_bytes()
    response = ask(site, f"/{name}", [("Range", "bytes=0-2,5-6,-3")])
    assert response.status == 206
    found = parts(response)
    assert [body for _, body, _ in found] == [whole[0:3], whole[5:7], whole[-3:]]
    assert all(int(total) == len(whole) for (_, _, total), _, _ in found)
    assert all(b"ontent-" in head for _, _, head in found)


def test_of_several_ranges_only_the_possible_ones_count(site):
    response = ask(site, "/style.css", [("Range", "bytes=0-2,9999-")])
    assert response.status == 206
    assert response.body == SMALL[:3] or [body for _, body, _ in parts(response)] == [SMALL[:3]]


def test_many_overlapping_ranges_are_not_an_amplifier(site):
    value = "bytes=" + ",".join("0-" for _ in range(200))
    response = ask(site, "/large.bin", [("Range", value)])
    assert response.status in (200, 206, 416)
    assert len(response.body) <= 2 * len(LARGE)


def test_if_range_is_for_the_version_that_the_client_has(site):
    fresh = ask(site, "/style.css")
    for value in (fresh["ETag"], fresh["Last-Modified"]):
        if value.startswith("W/"):
            continue
        assert ask(site, "/style.css", [("Range", "bytes=0-2"), ("If-Range", value)]).status == 206, value
    for value in ('"other"', formatdate(1_600_000_000, usegmt=True)):
        response = ask(site, "/style.css", [("Range", "bytes=0-2"), ("If-Range", value)])
        assert response.status == 200 and response.body == SMALL


def test_head_ignores_ranges(site):
    with site.connect() as connection:
        response = connection.request("HEAD", "/static/style.css", [("Range", "bytes=0-2")]).response("HEAD")
        assert response.status in (200, 206)
        assert connection.request("GET", "/hello").response().text == "Hello"


# Siblings that are compressed already.


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip;q=0", None), ("identity", None), ("gzip;q=0.5, br;q=0.1", "gzip"), ("*", "any"),
     ("gzip, deflate, br", "any"), ("GZIP", "gzip"), ("deflate", None), ("br;q=0, gzip", "gzip"), ("", None)],
)
def test_a_compressed_sibling_is_served_to_whom_accepts_it(site, files, accept, coding):
    response = ask(site, "/app.js", [("Accept-Encoding", accept)])
    assert response.status == 200
    assert "javascript" in response["Content-Type"]
    assert "accept-encoding" in (response["Vary"] or "").lower()
    given = response["Content-Encoding"]
    if coding == "any":
        assert given in (None, "gzip", "br", "zstd")
    else:
        assert given == coding
    sibling = {"gzip": "app.js.gz", "br": "app.js.br", "zstd": "app.js.zst", None: "app.js"}[given]
    assert response.body == (files / sibling).read_bytes()


def test_without_accept_encoding_the_file_is_plain(site):
    response = ask(site, "/app.js")
    assert response["Content-Encoding"] is None
    assert response.text.startswith("let plain")


def test_siblings_have_tags_of_their_own(site):
    plain = ask(site, "/app.js")["ETag"]
    compressed = ask(site, "/app.js", [("Accept-Encoding", "gzip")])["ETag"]
    assert plain != compressed
    assert ask(site, "/app.js", [("Accept-Encoding", "gzip"), ("If-None-Match", compressed)]).status == 304
    assert ask(site, "/app.js", [("Accept-Encoding", "gzip"), ("If-None-Match", plain)]).status == 200


def test_what_has_no_sibling_is_plain(site):
    assert ask(site, "/style.css", [("Accept-Encoding", "gzip, br, zstd")])["Content-Encoding"] is None
    assert ask(site, "/only.txt", [("Accept-Encoding", "br, gzip")])["Content-Encoding"] == "gzip"


# On one connection, and under load.


def test_many_files_on_one_connection(site):
    with site.connect() as connection:
        for _ in range(20):
            assert connection.request("GET", "/static/style.css").response().body == SMALL
            assert connection.request("GET", "/static/large.bin").response().body == LARGE
            assert connection.request("GET", "/hello").response().text == "Hello"


def test_pipelined_files_come_in_order(site):
    with site.connect() as connection:
        for path in ("large.bin", "style.css", "large.bin", "absent", "style.css"):
            connection.request("GET", f"/static/{path}")
        assert [len(connection.response().body) for _ in range(3)] == [len(LARGE), len(SMALL), len(LARGE)]
        assert connection.response().status == 404
        assert connection.response().body == SMALL


def test_a_request_body_does_not_disturb(site):
    with site.connect() as connection:
        assert connection.request("GET", "/static/style.css", body=b"x" * 50_000).response().body == SMALL
        assert connection.request("POST", "/static/style.css", body=b"x" * 50_000).response().status == 405
        try:
            assert connection.request("GET", "/static/style.css").response().status == 200
        except (AssertionError, OSError):
            pass  # it may close after a refusal


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(serve, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "shrinking.bin"
    path.write_bytes(b"x" * 30_000_000)
    server = serve("hello", "--static", f"/s={folder}")
    with server.connect() as connection:
        connection.request("GET", "/s/shrinking.bin")
        head = connection.head()
        assert head["Content-Length"] == "30000000"
        os.truncate(path, 1000)
        with pytest.raises(AssertionError):
            connection.read(30_000_000)
    assert server.get("/").text == "Hello"


def test_a_relative_folder_is_below_the_directory_served_from(serve, files):
    server = serve("hello", "--static", "/s=files", cwd=files.parent, env={"PYTHONPATH": os.path.join(os.path.dirname(__file__), "apps")})
    assert server.get("/s/style.css").body == SMALL


def test_static_files_stand_in_the_access_log(serve, files):
    from harness import until

    server = serve("hello", "--static", f"/s={files}", "--access-logfile", "-")
    server.get("/s/style.css")
    until(lambda: re.search(rf'"GET /s/style.css HTTP/1.1" 200 {len(SMALL)} ', server.stdout), "the line")


def test_the_setting_is_in_the_help():
    assert "--static" in run("--help").stdout
