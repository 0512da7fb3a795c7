#!/usr/bin/env python3
"""Autobahn's WebSocket test suite against the program: every case must pass strictly.

    make autobahn                              all of the about 520 cases; some minutes
    tests/autobahn/run.py --cases '1.*,6.*'    some of them

The suite runs on Python 2.7 only. PYTHON2 names the interpreter; without it `python2.7` is looked for in PATH and among
those of pyenv. It is installed from PyPI into target/autobahn, where the report goes, too. DAEMUN names another program.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import ROOT, Server, environment  # noqa: E402

FOLDER = ROOT / "target" / "autobahn"
SUITE = "autobahntestsuite"
VIRTUALENV = "virtualenv==20.15.1"  # the last one that makes environments of Python 2.7
GOOD = {"OK", "INFORMATIONAL"}
LARGEST = 64 << 20


def python2() -> str:
    """The interpreter, or the end."""
    told = os.environ.get("PYTHON2")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [told] if told else [shutil.which("python2.7"), *map(str, sorted(pyenv.glob("2.7.*/bin/python2.7")))]
    for program in filter(None, found):
        check = subprocess.run([program, "-c", "import sys; print(sys.version_info[:2] == (2, 7))"], capture_output=True, text=True) \
            if shutil.which(program) else None
        if check and check.stdout.strip() == "True":
            return program
    sys.exit(
        (f"PYTHON2={told} is not Python 2.7" if told else "there is no Python 2.7, which Autobahn's test suite needs")
        + "\n  hint: `pyenv install 2.7.18`, then `make autobahn PYTHON2=~/.pyenv/versions/2.7.18/bin/python2.7`"
    )


def install() -> Path:
    """The suite's program, installed if it is not there."""
    wstest = FOLDER / "venv" / "bin" / "wstest"
    if wstest.exists():
        return wstest
    program, bootstrap = python2(), FOLDER / "bootstrap"
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_PYTHON_VERSION_WARNING": "1", "PYTHONWARNINGS": "ignore"}

    def run(*command: object, path: Path | None = None) -> None:
        print("  " + " ".join(map(str, command)), flush=True)
        env = environment({**quiet, "PYTHONPATH": str(path) if path else None})
        if subprocess.run(list(map(str, command)), env=env).returncode:
            shutil.rmtree(FOLDER / "venv", ignore_errors=True)
            sys.exit("the test suite could not be installed\n  hint: it needs pip for Python 2.7, PyPI, and a C compiler with Python 2.7's headers")

    print(f"installing {SUITE} into {FOLDER}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    run(program, "-m", "pip", "install", "--quiet", "--upgrade", "--target", bootstrap, VIRTUALENV)
    run(program, "-m", "virtualenv", "--quiet", FOLDER / "venv", path=bootstrap)
    run(FOLDER / "venv" / "bin" / "pip", "install", "--quiet", SUITE)
    return wstest


def fuzz(wstest: Path, port: int, cases: list[str], exclude: list[str]) -> dict:
    """Run the cases and return the report: case → what was found."""
    report = FOLDER / "report"
    shutil.rmtree(report, ignore_errors=True)
    specification = FOLDER / "fuzzingclient.json"
    specification.write_text(json.dumps({
        "outdir": str(report), "servers": [{"agent": "daemun", "url": f"ws://127.0.0.1:{port}"}], "cases": cases, "exclude-cases": exclude,
        "exclude-agent-cases": {},
    }))
    with open(FOLDER / "wstest.log", "w") as log:
        code = subprocess.run([wstest, "-m", "fuzzingclient", "-s", specification], stdout=log, stderr=subprocess.STDOUT, cwd=FOLDER,
                              env=environment({"PYTHONWARNINGS": "ignore"})).returncode
    index = report / "index.json"
    if code or not index.exists():
        sys.exit(f"the test suite ended with {code}: see {FOLDER}/wstest.log")
    return json.loads(index.read_text())["daemun"]


def order(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", default="*", help="with commas between them, as in `1.*,6.4.*` [all]")
    arguments.add_argument("--exclude", default="", help="likewise")
    arguments.add_argument("--loop", default="auto", help="the event loop [auto]")
    given = arguments.parse_args()
    wstest = install()
    run = FOLDER / "server"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    with Server("echo", "--loop", given.loop, "--ws-max-size", LARGEST, directory=run, cwd=HERE) as server:
        results = fuzz(wstest, server.port, given.cases.split(","), [case for case in given.exclude.split(",") if case])
        log = server.log
    bad = {case: result for case, result in results.items() if result["behavior"] not in GOOD or result["behaviorClose"] not in GOOD}
    for case in sorted(bad, key=order):
        print(f"{case}: {bad[case]['behavior']}, close {bad[case]['behaviorClose']}: {FOLDER}/report/{bad[case]['reportfile']}")
    informational = sum(result["behavior"] == "INFORMATIONAL" for result in results.values())
    print(f"{len(results)} cases: {len(results) - len(bad)} passed ({informational} of them informational), {len(bad)} failed")
    if "Traceback" in log:
        print(f"and the server's log has a traceback: {run}/stderr.log")
    return 1 if bad or not results or "Traceback" in log else 0


if __name__ == "__main__":
    sys.exit(main())
