"""Records what the real nginx answers: `python tests/differential/record.py [--check|--report|--count] [NAME...]`.

Without an option the `.nginx` files are written anew. `--check`: nothing is written, a difference between nginx and
the recordings ends it with 1. `--report`: the program (DAEMUN_DIFFERENTIAL_PROGRAM, else daemun) against the recordings: how
many cases are the same, and every difference. `--count`: how many cases there are. NAME: part of a corpus' name.
DAEMUN_DIFFERENTIAL_NGINX names another nginx.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from differential.compare import NGINX, PROGRAM, VERSION_FILE, differences, nginx_version  # noqa: E402
from differential.corpus import corpora, read_answers, write_answers  # noqa: E402
from differential.server import DidNotStart, answers_of  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen = [corpus for corpus in corpora() if not options.names or any(name in corpus.name for name in options.names)]
    if options.count:
        for recorded, what in ((True, "recorded from nginx"), (False, "written by hand")):
            own = [corpus for corpus in chosen if corpus.recorded is recorded]
            print(f"{sum(len(corpus.cases()) for corpus in own)} cases in {len(own)} configurations, {what}")
        return 0
    program = PROGRAM if options.report else NGINX
    if not options.report:
        chosen = [corpus for corpus in chosen if corpus.recorded]
        if not program:
            parser.error("there is no nginx")
    if not options.report and not options.check:
        VERSION_FILE.write_text(f"{nginx_version(program)}\n")
    same = different = 0
    for corpus in chosen:
        try:
            answers = answers_of(corpus, program)
        except DidNotStart as error:
            print(f"{corpus.name}: {error}")
            different += len(corpus.cases())
            continue
        if options.report or options.check:
            found = differences(corpus, answers)
            same += len(read_answers(corpus.answers)) - len(found)
            different += len(found)
            for title, text in found.items():
                print(f"{corpus.name}: {title}\n{text}\n")
        else:
            write_answers(corpus.answers, answers)
    if options.report or options.check:
        print(f"{same} of {same + different} the same")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
