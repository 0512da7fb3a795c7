"""The chat example: two pages in a real browser, where what one says appears in the other."""

import json
import signal
import time

import httpx
import pytest
from browser import launch
from harness import EXAMPLES, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


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


def say(page, who: str, text: str) -> None:
    page.run(f"form.who.value = {json.dumps(who)}; form.text.value = {json.dumps(text)}; form.requestSubmit()")


def words(page) -> list[str]:
    return page.run("[...document.querySelectorAll('#log li')].map(line => line.querySelector('b').textContent + ': ' + line.lastChild.textContent.trim())")


@pytest.fixture
def browser(tmp_path):
    browser = launch(tmp_path)
    yield browser
    browser.close()


@pytest.mark.slow
def test_two_pages_in_a_browser(chat, browser):
    one, two = (browser.open(f"{chat.url}/rooms/workshop/") for _ in range(2))
    for page in (one, two):
        page.see("document.getElementById('state')?.textContent === '2 are here'", "both to be counted")
    say(one, "Ada", "Is anybody here?")
    two.see("document.querySelectorAll('#log li').length === 1", "the other page to show it")
    say(two, "Grace", "I am: <b>hello</b>, caf\u00e9 \U0001f375")
    for page in (one, two):
        page.see("document.querySelectorAll('#log li').length === 2", "the answer")
        assert words(page) == ["Ada: Is anybody here?", "Grace: I am: <b>hello</b>, caf\u00e9 \U0001f375"]
    assert one.run("form.text.value") == ""
    # A reload of the server: the pages come back by themselves.
    old = chat.wait_for_workers(1)
    chat.send_signal(signal.SIGHUP)
    chat.wait_for_workers(1, other_than=old)
    for page in (one, two):
        page.see("socket.readyState === WebSocket.OPEN && document.getElementById('state').textContent === '2 are here'", "the pages to come back")
    say(two, "Grace", "Still here")
    one.see("document.querySelectorAll('#log li').length === 3", "a message over the new worker")
    begin = time.monotonic()
    assert chat.stop() == 0
    assert time.monotonic() - begin < 10
    assert "Traceback" not in chat.log
