#!/usr/bin/env python3
"""Checks the rules of ARCHITECTURE.md that a compiler does not: which crate and folder may name what.

Prints `FILE:LINE: what` for each breach and ends with 1. Rules are the functions named `check_*`; each gets the
repository and yields breaches. `python3 tools/tidy.py --list` prints what they check.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CRATES = ["conf", "wire", "http", "daemun", "python"]
# What each crate may depend on: only what stands to its left in `conf, wire -> http -> daemun -> python`.
LEFT_OF = {
    "conf": set(),
    "wire": set(),
    "http": {"conf", "wire"},
    "daemun": {"conf", "wire", "http"},
    "python": {"conf", "wire", "http", "daemun"},
}
MAX_LINES = 800
TEXT = {".rs", ".toml", ".md", ".py", ".pyi", ".sh", ".txt", ".html", ".css", ".conf", ""}


class Breach(NamedTuple):
    path: Path
    line: int
    what: str


class Source:
    """A Rust file: its lines as they are, and with comments and literals blanked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        self.raw = text.splitlines()
        self.code = blank(text).splitlines()
        self.tests_from = next(
            (number for number, line in enumerate(self.code) if re.match(r"\s*#\[cfg\(test\)\]", line)), len(self.code)
        )
        if path.name == "tests.rs":
            self.tests_from = 0  # all of the file is

    def find(self, pattern: str, tests: bool = True) -> Iterator[tuple[int, str]]:
        """(line number, what matched) in code, not in comments or literals; `tests`: the test module at the end too."""
        last = len(self.code) if tests else self.tests_from
        for number, line in enumerate(self.code[:last], 1):
            found = re.search(pattern, line)
            if found:
                yield number, found.group(0)


def blank(text: str) -> str:
    """`text` with comments, strings and characters replaced by spaces, line for line."""
    token = re.compile(
        r"""(?P<line>//[^\n]*)|(?P<block>/\*.*?\*/)|(?P<raw>\bb?r(?P<hash>\#*)".*?"(?P=hash))"""
        r"""|(?P<string>b?"(?:\\.|[^"\\])*")|(?P<char>b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^'\\\n])')""",
        re.DOTALL,
    )
    return token.sub(lambda found: re.sub(r"[^\n]", " ", found.group(0)), text)


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = [Source(path) for path in sorted((root / "crates").rglob("*.rs")) if "target" not in path.parts]
        self.manifests = {name: root / "crates" / name / "Cargo.toml" for name in CRATES}

    def under(self, *folders: str) -> Iterable[Source]:
        """The sources whose path begins with one of `folders` (a folder ends with `/`)."""
        for source in self.sources:
            if self.name(source).startswith(folders):
                yield source

    def name(self, source: Source) -> str:
        return source.path.relative_to(self.root).as_posix()


def dependencies(manifest: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, name, line) of each dependency in a manifest."""
    section = ""
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), 1):
        heading = re.match(r"\[(.+)\]", line)
        if heading:
            section = heading.group(1)
        elif section.endswith("dependencies"):
            found = re.match(r"([A-Za-z0-9_-]+)\s*[.=]", line)
            if found:
                yield number, found.group(1), line


def check_crates_depend_to_the_left(repo: Repository) -> Iterator[Breach]:
    """a crate depends only on crates to its left: conf, wire -> http -> daemun -> python"""
    for name, manifest in repo.manifests.items():
        for number, dependency, _ in dependencies(manifest):
            short = dependency.removeprefix("daemun-")
            if short in CRATES and short not in LEFT_OF[name]:
                yield Breach(manifest, number, f"`{name}` may not depend on `{short}`")


def check_dependencies_say_why(repo: Repository) -> Iterator[Breach]:
    """every dependency from outside has a comment behind it that says what it is for"""
    for manifest in repo.manifests.values():
        for number, dependency, line in dependencies(manifest):
            ours = dependency.removeprefix("daemun-") in CRATES
            if not ours and not re.search(r"#\s*\w+", line.rpartition('"')[2].rpartition("}")[2] or line):
                yield Breach(manifest, number, f"say in a comment behind it what `{dependency}` is for")


def check_pure_crates(repo: Repository) -> Iterator[Breach]:
    """`wire` and `conf` have no runtime, no sockets, no clock and no unsafe"""
    banned = (
        r"\b(tokio|libc|nix|socket2|mio)\b|\bstd::net\b|\b(Instant|SystemTime|UNIX_EPOCH|TcpStream|TcpListener|"
        r"UdpSocket|UnixStream|UnixListener)\b|\bunsafe\b"
    )
    for name in ("wire", "conf"):
        for number, dependency, _ in dependencies(repo.manifests[name]):
            if dependency in {"tokio", "libc", "nix", "socket2", "mio"}:
                yield Breach(repo.manifests[name], number, f"`{name}` may not depend on `{dependency}`")
    for source in repo.under("crates/wire/", "crates/conf/"):
        for number, what in source.find(banned):
            line = source.code[number - 1]
            if what == "unsafe" and "unsafe_code" in line:
                continue
            yield Breach(source.path, number, f"`{what}` does not belong in `{repo.name(source).split('/')[1]}`")


def check_tokio_stays_at_the_edge(repo: Repository) -> Iterator[Breach]:
    """inside `http` only conn/, transport/, upstream/ and runtime/ name tokio or sockets"""
    allowed = (
        "crates/http/src/conn/",
        "crates/http/src/transport/",
        "crates/http/src/transport/",
        "crates/http/src/upstream/",
        "crates/http/src/runtime/",
        "crates/http/src/sys/epoll.rs",
        "crates/http/src/sys/",
        "crates/http/tests/",
        "crates/http/benches/",
        "crates/http/examples/",
    )
    for source in repo.under("crates/http/"):
        if repo.name(source).startswith(allowed):
            continue
        for number, what in source.find(r"\btokio\b|\b(TcpStream|TcpListener|UdpSocket|UnixStream|UnixListener)\b", tests=False):
            yield Breach(source.path, number, f"`{what}`: only conn/, transport/, upstream/ and runtime/ know the runtime and sockets")


def check_features_know_no_other(repo: Repository) -> Iterator[Breach]:
    """`features/` import neither each other nor handlers"""
    for source in repo.under("crates/http/src/features/"):
        if source.path.name == "mod.rs" and source.path.parent.name == "features":
            continue
        own = source.path.relative_to(repo.root / "crates/http/src/features").parts[0].removesuffix(".rs")
        for number, what in source.find(r"\bhandlers::"):
            yield Breach(source.path, number, "a feature does not import handlers")
        for number, what in source.find(r"\bfeatures::(\w+|\{)"):
            if what.rpartition("::")[2] != own:
                yield Breach(source.path, number, f"a feature does not import another one: `{what}`")


def check_handlers_know_no_connection(repo: Repository) -> Iterator[Breach]:
    """`handlers/`, `features/`, `upstream/`, `cache/` and `config/` do not import `conn` or the phases above them"""
    folders = [f"crates/http/src/{name}/" for name in ("handlers", "features", "upstream", "cache", "config")]
    for source in repo.under(*folders, "crates/http/src/exchange", "crates/http/src/body", "crates/http/src/stage"):
        for number, what in source.find(r"\bcrate::(conn|phases)\b|\buse (conn|phases)::", tests=False):
            yield Breach(source.path, number, f"`{what}` is above this file")


def check_only_python_names_python(repo: Repository) -> Iterator[Breach]:
    """only crates/python names PyO3"""
    for name, manifest in repo.manifests.items():
        if name == "python":
            continue
        for number, dependency, _ in dependencies(manifest):
            if dependency.startswith("pyo3"):
                yield Breach(manifest, number, f"only `python` depends on `{dependency}`")
    for source in repo.sources:
        if not repo.name(source).startswith("crates/python/"):
            for number, what in source.find(r"\bpyo3\b"):
                yield Breach(source.path, number, "only crates/python names `pyo3`")


def check_unsafe_is_confined(repo: Repository) -> Iterator[Breach]:
    """`unsafe` stands only in crates/*/src/sys/ and in crates/python"""
    for source in repo.sources:
        if re.match(r"crates/\w+/src/sys(/|\.rs$)|crates/python/", repo.name(source)):
            continue
        for number, _ in source.find(r"\bunsafe\b(?!_)"):
            yield Breach(source.path, number, "`unsafe` belongs in sys/ or in crates/python")


def check_files_say_what_they_are_for(repo: Repository) -> Iterator[Breach]:
    """each Rust file begins with `//!` and has at most 800 lines"""
    for source in repo.sources:
        if not source.raw or not source.raw[0].startswith("//! "):
            yield Breach(source.path, 1, "begin with a `//!` line: what is this file for?")
        if len(source.raw) > MAX_LINES:
            yield Breach(source.path, MAX_LINES + 1, f"{len(source.raw)} lines: split it ({MAX_LINES} at most)")


def check_nothing_points_outside(repo: Repository) -> Iterator[Breach]:
    """no file points at something beside the repository"""
    outside = re.compile(r"\.\./" + r"shared\b|/work" + r"/")
    skipped = {".git", "target", ".venv", "static", "media", "node_modules", "__pycache__", "corpus", "artifacts"}
    for path in sorted(repo.root.rglob("*")):
        parts = path.relative_to(repo.root).parts
        if skipped & set(parts) or not path.is_file() or path.suffix not in TEXT or path.stat().st_size > 1_000_000:
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if outside.search(line):
                yield Breach(path, number, "points outside the repository")


def main() -> int:
    checks = [check for name, check in globals().items() if name.startswith("check_")]
    if "--list" in sys.argv[1:]:
        print("\n".join(f"- {check.__doc__}" for check in checks))
        return 0
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    repo = Repository(Path(arguments[0]).resolve() if arguments else ROOT)
    breaches = [breach for check in checks for breach in check(repo)]
    for breach in sorted(breaches):
        print(f"{breach.path.relative_to(repo.root)}:{breach.line}: {breach.what}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
