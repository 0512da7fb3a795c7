#!/usr/bin/env python3
"""Makes a virtual environment with pip in the folder named, also where Debian splits `venv` off Python.

Tried in turn: `venv`; `virtualenv`; a `venv` without pip, into which an installed pip puts one. When nothing works it
says which package to install.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path


def run(*command: object) -> bool:
    return subprocess.run([str(part) for part in command]).returncode == 0


def main() -> int:
    target = Path(sys.argv[1])
    python = target / "bin" / "python"
    if sys.version_info < (3, 10):
        print(f"Python 3.10 or newer is needed, {sys.executable} is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    if python.exists() and run(python, "-c", "import pip"):
        return 0
    if importlib.util.find_spec("ensurepip") and run(sys.executable, "-m", "venv", target):
        return 0
    if importlib.util.find_spec("virtualenv") and run(sys.executable, "-m", "virtualenv", "--quiet", target):
        return 0
    if importlib.util.find_spec("pip") and importlib.util.find_spec("venv"):
        if run(sys.executable, "-m", "venv", "--without-pip", target) and run(
            sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"
        ):
            return 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(
        f"cannot make a virtual environment with {sys.executable}\n"
        f"  hint: apt-get install python3-venv (or python{version}-venv)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
