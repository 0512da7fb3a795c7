"""Which answers differ from the recorded ones, and which of these differences are known."""

import difflib
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from .corpus import HERE, Corpus, read_answers

ROOT = HERE.parent.parent
DAEMUN = os.environ.get("DAEMUN", str(ROOT / ".venv" / "bin" / "daemun"))
PROGRAM = os.environ.get("DAEMUN_DIFFERENTIAL_PROGRAM", DAEMUN)
NGINX = os.environ.get("DAEMUN_DIFFERENTIAL_NGINX") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
VERSION_FILE = HERE / "recorded-with"
KNOWN = HERE / "expected_differences.toml"


def differences(corpus: Corpus, answers: dict[str, str]) -> dict[str, str]:
    """title -> what differs: `-` is nginx, `+` the program."""
    expected = read_answers(corpus.answers) if corpus.answers.exists() else {}
    skipped = {case.title for case in corpus.cases() if "root" in case.options and case.title not in answers}
    found: dict[str, str] = {}
    for title in [*expected, *(title for title in answers if title not in expected)]:
        before, after = expected.get(title), answers.get(title)
        if before != after and title not in skipped:
            old, new = (before or "(not recorded)").split("\n"), (after or "(nothing)").split("\n")
            lines = difflib.unified_diff(old, new, lineterm="", n=3)
            found[title] = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
    return found


def known_differences() -> dict[tuple[str, str], str]:
    """(configuration, title) -> the lines of the difference that begin with `-` or `+`."""
    entries = tomllib.loads(KNOWN.read_text(encoding="utf-8")).get("difference", [])
    for entry in entries:
        assert set(entry) == {"configuration", "case", "differs", "reason"} and entry["reason"].strip(), entry
    return {(entry["configuration"], entry["case"]): entry["differs"].strip("\n") for entry in entries}


def changed_lines(difference: str) -> str:
    return "\n".join(line for line in difference.split("\n") if line.startswith(("-", "+")))


def nginx_version(program: str) -> str:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/[\d.]+", said)
    return found[0] if found else "unknown"


def program_exists(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)
