"""Configurations: those of the real world are accepted as they are, broken ones refused with nginx's words and lines.

The files are in `tests/config`, see the README there. CONFIG_PROGRAM names another program to ask instead, for example
/usr/sbin/nginx: that is how the expectations are checked.
"""

import json
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import TESTS, environment, run

CONFIG = TESTS / "config"
BROKEN = CONFIG / "broken"
MANIFEST = {name: row for name, row in json.loads((CONFIG / "MANIFEST.json").read_text()).items() if name != "about"}
PROGRAM = os.environ.get("CONFIG_PROGRAM")


def check(file: Path):
    """`-t` with the file's folder as prefix."""
    args = ["-t", "-p", f"{file.parent}/", "-e", "logs/early.log", "-c", str(file)]
    if PROGRAM:
        return subprocess.run(
            [PROGRAM, *args], cwd=file.parent, env=environment(), timeout=30, capture_output=True, text=True, check=False
        )
    return run(*args, cwd=file.parent)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> Path:
    """A copy of `tests/config` to write logs into."""
    copy = tmp_path_factory.mktemp("config") / "config"
    shutil.copytree(CONFIG, copy, symlinks=True)
    for folder in copy.iterdir():
        if folder.is_dir():
            for name in ("logs", "run", "cache"):
                (folder / name).mkdir(exist_ok=True)
    return copy


def test_the_manifest_names_every_configuration():
    assert sorted(MANIFEST) == sorted(path.parent.name for path in CONFIG.glob("*/nginx.conf"))


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_a_real_configuration_is_accepted(config, name):
    row = MANIFEST[name]
    if "user" in row:
        try:
            pwd.getpwnam(row["user"])
        except KeyError:
            pytest.skip(f"there is no user {row['user']}")
    if PROGRAM and "since" in row:
        answer = subprocess.run([PROGRAM, "-v"], capture_output=True, text=True, check=True).stderr
        found = re.search(r"nginx/([\d.]+)", answer)
        if found and version(found[1]) < version(row["since"]):
            pytest.skip(f"needs nginx {row['since']}")
    file = config / name / "nginx.conf"
    done = check(file)
    assert done.returncode == 0, done.stderr
    assert f"the configuration file {file} syntax is ok" in done.stderr
    assert f"configuration file {file} test is successful" in done.stderr
    assert "[emerg]" not in done.stderr
    # Warnings are only of what this program does not do, and of what nginx says that there are better ways for.
    expected = ("not supported", "left out", "has no effect", '"ssl_stapling" ignored', "directive is deprecated")
    warnings = [line for line in done.stderr.splitlines() if "[warn]" in line]
    assert all(any(text in line for text in expected) for line in warnings), done.stderr


@pytest.mark.parametrize("name", sorted(path.stem for path in BROKEN.glob("*.conf")))
def test_a_broken_configuration_is_told_as_nginx_tells_it(config, name):
    file = config / "broken" / f"{name}.conf"
    expected = (BROKEN / f"{name}.expected").read_text().rstrip("\n")
    expected = expected.replace("{file}", str(file)).replace("{dir}", str(file.parent))
    done = check(file)
    # A line of its own, whatever stands before the level.
    assert any(line.endswith(expected) for line in done.stderr.splitlines()), f"{expected}\n{done.stderr}"
    accepted = expected.startswith("[warn]")
    assert done.returncode == (0 if accepted else 1)
    assert f"configuration file {file} test {'is successful' if accepted else 'failed'}" in done.stderr


def test_everything_is_told_in_one_run(tmp_path):
    (tmp_path / "logs").mkdir()
    file = tmp_path / "nginx.conf"
    file.write_text(
        "user nobody-of-this-name;\nevents {}\nhttp {\n  gzipp on;\n  server {\n    listen 8080\n    server_name a;\n"
        "    location ~ ^/a{2}$ { return 200 $hsot; }\n  }\n"
    )
    done = run("-t", "-p", tmp_path, "-e", "stderr", "-c", file)
    assert done.returncode == 1
    told = [line.removeprefix("daemun: ") for line in done.stderr.splitlines()]
    for line in [
        f'[emerg] unknown directive "gzipp" in {file}:4',
        '  hint: did you mean "gzip"?',
        f'[emerg] invalid parameter "server_name" in {file}:7',
        '  hint: is there a ";" missing before "server_name"?',
        f'[emerg] unknown directive "2}}$" in {file}:8',
        "  hint: a regular expression with `{` or `;` in it must stand in quotes",
    ]:
        assert line in told, done.stderr
    # The end of the file is not what is wrong.
    assert "unexpected end" not in done.stderr
    if os.geteuid() == 0:
        assert f'[emerg] getpwnam("nobody-of-this-name") failed in {file}:1' in told


def test_logs_that_cannot_be_opened_are_found(tmp_path):
    file = tmp_path / "nginx.conf"
    file.write_text(
        "error_log stderr;\npid nginx.pid;\nevents {}\nhttp {\n  access_log off;\n  server {\n    listen unix:sock;\n"
        "    location /a { access_log no/a.log; }\n    location /b { error_log no/b.log; }\n  }\n}\n"
    )
    done = run("-t", "-p", tmp_path, "-c", file)
    assert done.returncode == 1
    for name in "ab":
        assert f'open() "{tmp_path}/no/{name}.log" failed (2: No such file or directory)' in done.stderr
