"""`daemun fmt`: every configuration of `tests/config`, formatted, says the same and stays as it is."""

import re
import shutil

import pytest
from harness import TESTS, run

CONFIG = TESTS / "config"
FILES = sorted(
    str(path.relative_to(CONFIG))
    for pattern in ("*/nginx.conf", "*/*/*.conf", "*/sites-*/*", "*/mime.types", "*/*_params")
    for path in CONFIG.glob(pattern)
    if path.is_file() and path.parent.name != "broken" and not path.name.startswith(".") and "certs" not in path.parts
)
TOKEN = re.compile(r"""\s+|#[^\n]*|[;{}]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|\$\{|[^\s;{}\\])+""", re.DOTALL)


def tokens(text: str) -> list[str]:
    """Words, marks and comments, without the space between them."""
    found = [token.rstrip() for token in TOKEN.findall(text)]
    return [token for token in found if token]


def test_there_are_files():
    assert len(FILES) > 25, FILES


@pytest.mark.parametrize("name", FILES)
def test_formatting_changes_nothing_but_space(name, tmp_path):
    path = tmp_path / "it.conf"
    shutil.copy(CONFIG / name, path)
    before = path.read_text()
    assert run("fmt", path).returncode == 0
    after = path.read_text()
    assert tokens(after) == tokens(before)
    checked = run("fmt", "--check", path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert run("fmt", path).returncode == 0
    assert path.read_text() == after


def test_check_names_what_is_not_formatted_and_writes_nothing(tmp_path):
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    good.write_text("events {}\n")
    bad.write_text("events  { }")
    done = run("fmt", "--check", good, bad)
    assert (done.returncode, done.stderr) == (1, f"{bad}: not formatted\n")
    assert bad.read_text() == "events  { }"


def test_what_cannot_be_read_stays_as_it_is(tmp_path):
    bad, good = tmp_path / "bad.conf", tmp_path / "good.conf"
    bad.write_text("http {\n  server {\n")
    good.write_text("a  b;\n")
    done = run("fmt", bad, good, tmp_path / "missing.conf")
    assert done.returncode == 1
    assert f"{bad}:3" in done.stderr and "unexpected end of file" in done.stderr
    assert "missing.conf" in done.stderr and "No such file" in done.stderr
    assert bad.read_text() == "http {\n  server {\n"
    assert good.read_text() == "a b;\n"  # the others are formatted all the same


def test_links_and_modes_are_kept(tmp_path):
    (tmp_path / "available").mkdir()
    file, link = tmp_path / "available" / "site.conf", tmp_path / "site.conf"
    file.write_text("a  b;")
    file.chmod(0o640)
    link.symlink_to(file)
    assert run("fmt", link).returncode == 0
    assert link.is_symlink() and file.read_text() == "a b;\n"
    assert file.stat().st_mode & 0o777 == 0o640


def test_it_says_how_it_is_called():
    for args in ([], ["--check"], ["--chek", "x"]):
        done = run("fmt", *args)
        assert (done.returncode, done.stderr) == (2, "daemun: usage: daemun fmt [--check] FILE...\n")
