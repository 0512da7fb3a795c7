"""The tidy check finds what it is there to find."""

import importlib.util
import subprocess
import sys

import pytest
from harness import ROOT

specification = importlib.util.spec_from_file_location("tidy", ROOT / "tools" / "tidy.py")
tidy = importlib.util.module_from_spec(specification)
sys.modules["tidy"] = tidy
specification.loader.exec_module(tidy)


@pytest.fixture
def repository(tmp_path):
    """A repository of five crates with nothing wrong in it."""
    for name in tidy.CRATES:
        (tmp_path / "crates" / name / "src").mkdir(parents=True)
        (tmp_path / "crates" / name / "Cargo.toml").write_text("[dependencies]\n")
        (tmp_path / "crates" / name / "src" / "lib.rs").write_text("//! What it is for.\n")
    return tmp_path


def breaches(root):
    result = subprocess.run([sys.executable, ROOT / "tools" / "tidy.py", root], capture_output=True, text=True)
    assert result.returncode == (1 if result.stdout else 0), result.stderr
    return result.stdout.splitlines()


def test_a_clean_repository_is_clean(repository):
    assert breaches(repository) == []


@pytest.mark.parametrize(
    ("crate", "line", "what"),
    [("wire", "http.workspace = true", "may not depend"), ("conf", 'wire = { path = "../wire" }', "may not depend"), ("http", "daemun.workspace = true", "may not depend"),
     ("wire", 'tokio = "1"   # a runtime', "may not depend"), ("http", 'pyo3 = "1"   # python', "only `python`"), ("http", 'itoa = "1"', "what `itoa` is for")],
)
def test_a_manifest_that_breaks_a_rule(repository, crate, line, what):
    (repository / "crates" / crate / "Cargo.toml").write_text(f"[package]\nname = 'x'\n\n[dependencies]\n{line}\n")
    found = breaches(repository)
    assert len(found) == 1 and found[0].startswith(f"crates/{crate}/Cargo.toml:5: ") and what in found[0]


@pytest.mark.parametrize(
    ("path", "line", "what"),
    [
        ("wire/src/x.rs", "use std::net::TcpStream;", "does not belong"),
        ("conf/src/x.rs", "let now = Instant::now();", "does not belong"),
        ("http/src/features/a.rs", "use tokio::time;", "know the runtime"),
        ("http/src/features/a.rs", "use crate::features::b;", "another one"),
        ("http/src/features/a.rs", "use crate::handlers::x;", "import handlers"),
        ("http/src/handlers/a.rs", "use crate::conn::Stream;", "is above"),
        ("daemun/src/x.rs", "use pyo3::prelude::*;", "only crates/python"),
        ("daemun/src/x.rs", "unsafe { libc::fork() };", "belongs in sys/"),
        ("http/src/x.rs", "// see .." + "/shared/design.md", "points outside"),
    ],
)
def test_a_source_that_breaks_a_rule(repository, path, line, what):
    file = repository / "crates" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"//! What it is for.\n\n{line}\n")
    found = breaches(repository)
    assert len(found) == 1 and found[0].startswith(f"crates/{path}:3: ") and what in found[0]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("wire/src/x.rs", "// unlike tokio::net, this has no Instant"),
        ("wire/src/x.rs", 'const TEXT: &str = "tokio unsafe Instant";'),
        ("wire/src/x.rs", "#![forbid(unsafe_code)]"),
        ("http/src/conn/x.rs", "use tokio::net::TcpStream;"),
        ("http/src/runtime/mod.rs", "use tokio::runtime;"),
        ("http/src/sys/x.rs", "unsafe { call() };"),
        ("daemun/src/sys/mod.rs", "unsafe { call() };"),
        ("python/src/x.rs", "unsafe { pyo3::ffi::call() };"),
        ("http/src/features/a.rs", "use crate::features::a::b;"),
    ],
)
def test_what_is_allowed_is_no_breach(repository, path, line):
    file = repository / "crates" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"//! What it is for.\n\n{line}\n")
    assert breaches(repository) == []


def test_a_file_without_its_purpose_and_one_that_is_too_long(repository):
    (repository / "crates" / "conf" / "src" / "a.rs").write_text("fn f() {}\n")
    (repository / "crates" / "conf" / "src" / "b.rs").write_text("//! Long.\n" + "\n" * 900)
    found = breaches(repository)
    assert [line.split(": ")[0] for line in found] == ["crates/conf/src/a.rs:1", "crates/conf/src/b.rs:801"]


def test_this_repository_is_tidy():
    assert breaches(ROOT) == []
