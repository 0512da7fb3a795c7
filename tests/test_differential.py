"""The same configuration and requests for Daemun and for nginx: the same status lines, fields and bytes.

What nginx answers is recorded (tests/differential/README.md), so that it need not be there. Where it is, the recordings
are checked, too.
"""

import functools

import pytest
from differential import compare
from differential.corpus import Corpus, corpora
from differential.server import answers_of

CORPORA = [pytest.param(corpus, id=corpus.name) for corpus in corpora()]
RECORDED = [pytest.param(corpus, id=corpus.name) for corpus in corpora() if corpus.recorded]


@functools.cache
def nginx_is_the_recorded_one() -> bool:
    return bool(compare.NGINX) and compare.nginx_version(compare.NGINX) == compare.VERSION_FILE.read_text().strip()


@pytest.mark.parametrize("corpus", CORPORA)
def test_daemun_answers_as_nginx(corpus: Corpus):
    if not corpus.recorded and compare.PROGRAM == compare.NGINX:
        pytest.skip("what newer versions do")
    found = compare.differences(corpus, answers_of(corpus, compare.PROGRAM))
    known = {title: text for (name, title), text in compare.known_differences().items() if name == corpus.name}
    if compare.PROGRAM == compare.NGINX:
        known = {}
    wrong = [f"== {title}\n{text}" for title, text in found.items() if known.get(title) != compare.changed_lines(text)]
    gone = [f"== {title}\nexpected_differences.toml says that it differs" for title in known if title not in found]
    count = len(corpus.cases())
    assert not wrong + gone, f"{len(wrong + gone)} of {count} (-: nginx, +: this)\n\n" + "\n\n".join(wrong + gone)


@pytest.mark.parametrize("corpus", RECORDED)
def test_the_recordings_are_what_nginx_answers(corpus: Corpus):
    if not nginx_is_the_recorded_one():
        pytest.skip("no nginx here, or not the one of the recordings")
    found = compare.differences(corpus, answers_of(corpus, compare.NGINX))
    assert not found, "\n\n".join(f"== {title}\n{text}" for title, text in found.items())


def test_the_known_differences_name_cases_that_exist():
    titles = {(corpus.name, case.title) for corpus in corpora() for case in corpus.cases()}
    logs = {(corpus.name, title) for corpus in corpora() for title in compare.read_answers(corpus.answers)}
    assert not set(compare.known_differences()) - titles - logs
