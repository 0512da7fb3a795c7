"""`daemun explain`: what a configuration does with a request, and why, without serving it."""

import subprocess
from pathlib import Path

import pytest
from harness import DAEMUN, environment

CONFIGURATION = """
events { }
http {
    add_header X-Outer 1 always;
    server {
        listen 8080;
        server_name example.test;
        root www;
        error_page 404 /404.html;
        include inc/api.conf;
        location / { try_files $uri $uri/ @fallback; }
        location ~ \\.php$ { return 403; }
        location ^~ /static/ { add_header X-S 1; autoindex on; alias www/; }
        location /old/ { rewrite ^/old/(.*)$ /a/$1 last; }
        location /gone { return 301 https://$host/new; }
        location /proxy/ { proxy_pass http://127.0.0.1:9; if ($arg_x) { add_header X-If 1; } }
        location /plain/ { }
        location @fallback { python_pass app; }
        location /inner { internal; }
        location /secret { auth_basic x; auth_basic_user_file users; }
    }
    server { listen 8080; server_name other.test *.other.test; return 404; }
    server { listen 127.0.0.2:8081; set_real_ip_from 127.0.0.0/8; allow 192.0.2.1; deny all; root www; }
    upstream pool { least_conn; server 127.0.0.1:1; server 127.0.0.1:2 down; server 127.0.0.1:3 backup; }
}
"""

API = """location /api/ {
    add_header X-Api 1;
    allow 10.0.0.0/8;
    deny all;
    python_pass shop.wsgi:application;
}
location /group/ { proxy_pass http://pool; }
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "nginx.conf").write_text(CONFIGURATION.lstrip("\n"))
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc/api.conf").write_text(API)
    (tmp_path / "www/a").mkdir(parents=True)
    (tmp_path / "www/a/index.html").write_text("hi\n")
    (tmp_path / "www/404.html").write_text("not here\n")
    return tmp_path


def run(site: Path, *args: str):
    return subprocess.run(
        [str(DAEMUN), "explain", "-c", "nginx.conf", "-p", str(site), *args],
        cwd=site, env=environment(None), capture_output=True, text=True, timeout=40,
    )


def explain(site: Path, *args: str) -> tuple[list[str], str]:
    """The lines without numbers and with single spaces, and all of it."""
    done = run(site, *args)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    return [line.split(". ", 1)[-1] if line[:1].isdigit() else line for line in lines], done.stdout


def test_the_server_and_why(site: Path) -> None:
    lines, _ = explain(site, "http://example.test:8080/plain/")
    assert 'server "example.test" at 0.0.0.0:8080: it has the name nginx.conf:4' in lines
    lines, _ = explain(site, "http://a.other.test:8080/")
    assert 'server "other.test" at 0.0.0.0:8080: it has the name nginx.conf:21' in lines
    assert "return 404" in lines
    lines, _ = explain(site, "http://nobody.test:8080/")
    assert 'server "example.test" at 0.0.0.0:8080: the default one, as none has the name nginx.conf:4' in lines
    lines, _ = explain(site, "http://nobody.test:8080/", "-H", "Host: other.test")
    assert any(line.startswith('server "other.test"') for line in lines)


def test_locations_files_and_the_answer(site: Path) -> None:
    lines, text = explain(site, "/a/")
    www = site / "www"
    expected = [
        "location / is the longest prefix so far nginx.conf:10",
        "location ~ \\.php$ does not match nginx.conf:11",
        "location / is chosen nginx.conf:10",
        f"try_files {www}/a/ is a directory",
        f"try_files {www}/a/ exists",
        f"index {www}/a/index.html exists",
        "redirect within the server, to /a/index.html",
    ]
    start = lines.index(expected[0])
    assert lines[start : start + len(expected)] == expected
    assert f"by file {www}/a/index.html" in lines
    assert "status 200 OK" in lines and "field X-Outer: 1" in lines
    assert text.startswith("GET http://localhost:8080/a/ from 127.0.0.1\n\n  1. server")


def test_fields_that_an_inner_block_drops(site: Path) -> None:
    lines, _ = explain(site, "/static/")
    assert "add_header X-S 1 nginx.conf:12" in lines
    assert "not add_header X-Outer 1 always (location ^~ /static/ has its own) nginx.conf:3" in lines
    assert f"by listing of the directory {site}/www/" in lines
    assert "location ^~ /static/ lets no regular expression be tried nginx.conf:12" in lines
    assert "field X-S: 1" in lines and "field X-Outer: 1" not in lines
    lines, _ = explain(site, "/proxy/?x=1")
    assert "if ($arg_x) is true nginx.conf:15" in lines
    assert "by proxy_pass http://127.0.0.1:9" in lines
    assert "add_header X-If 1 nginx.conf:15" in lines


def test_the_servers_that_may_be_asked(site: Path) -> None:
    lines, _ = explain(site, "/group/")
    assert "upstream pool (least_conn): 127.0.0.1:1, 127.0.0.1:2 down, 127.0.0.1:3 backup nginx.conf:23" in lines
    assert "by proxy_pass http://pool" in lines


def test_access(site: Path) -> None:
    lines, _ = explain(site, "POST", "/api/x")
    assert "access deny all keeps 127.0.0.1 out: 403" in lines and "status 403 Forbidden" in lines
    lines, _ = explain(site, "--from", "10.1.1.1", "POST", "/api/x")
    assert "access allow 10.0.0.0/8 lets 10.1.1.1 in" in lines
    assert "by python_pass shop.wsgi:application" in lines
    assert "block location /api/ inc/api.conf:1" in lines
    lines, _ = explain(site, "http://127.0.0.2:8081/404.html", "-H", "X-Real-IP: 192.0.2.1")
    assert "realip 127.0.0.1 is trusted: the client is 192.0.2.1" in lines
    assert "status 200 OK" in lines
    lines, _ = explain(site, "/secret")
    assert f'auth_basic a name and a password of {site}/users are asked for "x"' in lines
    lines, _ = explain(site, "/inner")
    assert "internal not for clients: 404 nginx.conf:18" in lines


def test_rewrites_and_redirects(site: Path) -> None:
    lines, _ = explain(site, "/old/b?c=d")
    assert 'rewrite "^/old/(.*)$" matches "/old/b"' in lines
    assert "location @fallback, by name nginx.conf:17" in lines and "by python_pass app" in lines
    lines, _ = explain(site, "/gone")
    assert "by return 301 https://localhost/new" in lines
    assert "field Location: https://localhost/new" in lines
    lines, _ = explain(site, "/plain/x")
    assert "error_page of 404: /404.html" in lines and "status 404 Not Found" in lines
    lines, _ = explain(site, "/x.php")
    assert "return 403" in lines


def test_what_cannot_be_explained(site: Path) -> None:
    for args, code, why in [
        ((), 2, "a URL is missing"),
        (("ftp://x/",), 1, '"ftp" is neither http nor https'),
        (("http://x/",), 1, "no server listens at port 80 of x; there is 0.0.0.0:8080, 127.0.0.2:8081"),
        (("https://x:8080/",), 1, "0.0.0.0:8080 is for http, not for https"),
        (("GE T", "/"), 1, "the request is refused with 400"),
    ]:
        done = run(site, *args)
        assert (done.returncode, done.stdout) == (code, ""), args
        assert why in done.stderr, done.stderr
    (site / "nginx.conf").write_text("events { } http { server { bogus; } }\n")
    done = run(site, "/")
    assert done.returncode == 1 and 'unknown directive "bogus"' in done.stderr
