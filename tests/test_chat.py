"""The chat example: two pages in a real browser, where what one says appears in the other."""

import contextlib
import itertools
import json
import re
import shutil
import signal
import subprocess
import time

import httpx
import pytest
from harness import EXAMPLES, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture
def chat(serve):
    return serve("chat.asgi:application", cwd=EXAMPLES / "chat")


def room(server, name="workshop", **options):
    options.setdefault("origin", server.url)  # which the example checks, and a browser sends
    return connect(f"ws://127.0.0.1:{server.port}/rooms/{name}/socket", open_timeout=20, **options)


def hears(ws, kind):
    """The next message of a kind."""
    while True:
        message = json.loads(ws.recv(20))
        if message["kind"] == kind:
            return message


# Without a browser.


def test_the_pages(chat):
    with httpx.Client(base_url=chat.url, timeout=20) as client:
        assert "Workshop" in client.get("/").text
        assert "<h1>Garden</h1>" in client.get("/rooms/garden/").text
        assert client.get("/", params={"name": "My Röom"}).headers["Location"] == "/rooms/my-room/"
        assert client.get("/absent").status_code == 404


def test_what_one_says_the_others_hear(chat):
    with room(chat) as one, room(chat) as two, room(chat, "garden") as other:
        assert hears(one, "visitors")["number"] == 1
        assert hears(one, "visitors")["number"] == 2
        assert hears(other, "visitors")["number"] == 1
        two.send(json.dumps({"who": "Ada", "text": "Käse & <b>Brot</b>"}))
        for ws in (one, two):
            message = hears(ws, "message")
            assert (message["who"], message["text"]) == ("Ada", "Käse & <b>Brot</b>")
        with pytest.raises(TimeoutError):
            other.recv(0.3)
    with room(chat) as last:
        until(lambda: hears(last, "visitors")["number"] == 1, "the others to be gone")


def test_nonsense_is_no_message(chat):
    with room(chat) as ws:
        for text in ('"text"', "[]", '{"text": "  "}', "{}", "42"):
            ws.send(text)
        ws.send('{"text": "sense"}')
        message = hears(ws, "message")
        assert (message["who"], message["text"]) == ("somebody", "sense")
    assert "Traceback" not in chat.log


def test_another_origin_is_refused(chat):
    with pytest.raises(InvalidStatus) as error, room(chat, origin="https://evil.example"):
        pytest.fail("it was let in")
    assert error.value.response.status_code == 403


# In a browser.


class Page:
    """A page of a browser, over its DevTools protocol."""

    def __init__(self, socket) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.ask("Page.enable")
        self.ask("Runtime.enable")

    def ask(self, method: str, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(30))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script: str):
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def see(self, script: str, what: str):
        def seen():
            with contextlib.suppress(AssertionError):  # while a page loads, there is nothing to ask
                return self.run(script)

        return until(seen, what, 30)

    def say(self, who: str, text: str) -> None:
        self.run(f"form.who.value = {json.dumps(who)}; form.text.value = {json.dumps(text)}; form.requestSubmit()")

    @property
    def words(self) -> list[str]:
        return self.run("[...document.querySelectorAll('#log li')].map(line => line.querySelector('b').textContent + ': ' + line.lastChild.textContent.trim())")


class Browser:
    """A browser without a window, and its pages."""

    def __init__(self, program: str, folder) -> None:
        self.log = folder / "browser.log"
        self.pages = contextlib.ExitStack()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", "about:blank"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )
        try:
            found = until(lambda: re.search(r"DevTools listening on ws://([^/]+)/", self.log.read_text(errors="replace")) or self.ended(),
                          "the browser to start", 60)
        except AssertionError as error:
            self.close()
            raise AssertionError(f"{error}\n{self.log.read_text(errors='replace')}") from None
        self.address = found.group(1)

    def ended(self):
        assert self.process.poll() is None, f"the browser ended with {self.process.returncode}"

    def open(self, url: str) -> Page:
        target = httpx.put(f"http://{self.address}/json/new?{url}", timeout=30).json()
        return Page(self.pages.enter_context(connect(target["webSocketDebuggerUrl"], max_size=None, open_timeout=30, compression=None)))

    def close(self) -> None:
        self.pages.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def browser(tmp_path):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is installed")
    browser = Browser(program, tmp_path)
    yield browser
    browser.close()


@pytest.mark.slow
def test_two_pages_in_a_browser(chat, browser):
    one, two = (browser.open(f"{chat.url}/rooms/workshop/") for _ in range(2))
    for page in (one, two):
        page.see("document.getElementById('state')?.textContent === '2 are here'", "both to be counted")
    one.say("Ada", "Is anybody here?")
    two.see("document.querySelectorAll('#log li').length === 1", "the other page to show it")
    two.say("Grace", "I am: <b>hello</b>, caf\u00e9 \U0001f375")
    for page in (one, two):
        page.see("document.querySelectorAll('#log li').length === 2", "the answer")
        assert page.words == ["Ada: Is anybody here?", "Grace: I am: <b>hello</b>, caf\u00e9 \U0001f375"]
    assert one.run("form.text.value") == ""
    # A reload of the server: the pages come back by themselves.
    old = chat.wait_for_workers(1)
    chat.send_signal(signal.SIGHUP)
    chat.wait_for_workers(1, other_than=old)
    for page in (one, two):
        page.see("socket.readyState === WebSocket.OPEN && document.getElementById('state').textContent === '2 are here'", "the pages to come back")
    two.say("Grace", "Still here")
    one.see("document.querySelectorAll('#log li').length === 3", "a message over the new worker")
    begin = time.monotonic()
    assert chat.stop() == 0
    assert time.monotonic() - begin < 10
    assert "Traceback" not in chat.log
