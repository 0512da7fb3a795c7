"""`--reload`: an edit is served without a restart; a broken edit is shown in the browser and recovers."""

import pytest
from harness import until

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{answer!r}.encode()]
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "page.py").write_text(APP.format(answer="one"))
    return folder


def becomes(server, condition, what):
    def check():
        try:
            response = server.get("/")
        except (OSError, AssertionError):
            return None  # between two workers
        return response if condition(response) else None

    return until(check, what, 30)


def test_an_edit_is_served(serve, site):
    server = serve("page", "--reload", cwd=site)
    assert server.get("/").text == "one"
    (site / "page.py").write_text(APP.format(answer="second edition"))
    becomes(server, lambda response: response.text == "second edition", "the edit")
    assert server.process.poll() is None


def test_a_broken_edit_is_shown_and_recovers(serve, site):
    server = serve("page", "--reload", cwd=site)
    assert server.get("/").text == "one"
    (site / "page.py").write_text("def application(environ, start_response)\n    return <b>\n")
    response = becomes(server, lambda response: response.status == 500, "the error page")
    assert "SyntaxError" in response.text
    assert "page.py" in response.text
    assert "<b>" not in response.text, "the traceback is not escaped"
    assert "SyntaxError" in server.log
    (site / "page.py").write_text(APP.format(answer="repaired"))
    becomes(server, lambda response: response.text == "repaired", "the repaired page")


def test_it_starts_broken_and_recovers(serve, site):
    (site / "page.py").write_text("raise RuntimeError('not yet')\n")
    server = serve("page", "--reload", cwd=site)
    response = becomes(server, lambda response: response.status == 500, "the error page")
    assert "RuntimeError: not yet" in response.text
    (site / "page.py").write_text(APP.format(answer="started"))
    becomes(server, lambda response: response.text == "started", "the page")


def test_an_imported_module_is_watched(serve, site):
    (site / "words.py").write_text("GREETING = 'before'\n")
    (site / "page.py").write_text("import words\n" + APP.format(answer="?").replace("'?'", "words.GREETING"))
    server = serve("page", "--reload", cwd=site)
    assert server.get("/").text == "before"
    (site / "words.py").write_text("GREETING = 'afterwards'\n")
    becomes(server, lambda response: response.text == "afterwards", "the edit of the imported module")


def test_an_extra_file_is_watched(serve, site):
    (site / "data.txt").write_text("first")
    (site / "page.py").write_text("DATA = open('data.txt').read()\n" + APP.format(answer="?").replace("'?'", "DATA"))
    server = serve("page", "--reload", "--reload-extra-file", site / "data.txt", cwd=site)
    assert server.get("/").text == "first"
    (site / "data.txt").write_text("second one")
    becomes(server, lambda response: response.text == "second one", "the edit of the data file")


def test_without_the_flag_an_edit_changes_nothing(serve, site):
    import time

    server = serve("page", cwd=site)
    assert server.get("/").text == "one"
    (site / "page.py").write_text(APP.format(answer="second edition"))
    time.sleep(1.5)
    assert server.get("/").text == "one"
