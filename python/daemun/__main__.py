"""The console script `daemun`, and `python -m daemun`. Imports nothing but the extension: start-up time is a budget."""

import sys

from daemun import _daemun


def main() -> None:
    """Run the command line in `sys.argv` and leave with its exit code."""
    argv = list(sys.argv)
    if argv[0].endswith("__main__.py"):
        argv[0] = "daemun"  # `python -m daemun` names the file; the name of the program decides the grammar
    sys.exit(_daemun.run(argv))


if __name__ == "__main__":
    main()
