"""A browser without a window, over its DevTools protocol."""

import contextlib
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from harness import until
from websockets.sync.client import connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


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


class Browser:
    """A browser without a window, and its pages."""

    def __init__(self, program: str, folder: Path, *flags: str) -> None:
        self.log = folder / "browser.log"
        self.pages = contextlib.ExitStack()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", f"--user-data-dir={folder}/profile", *flags, "about:blank"],
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


def launch(folder: Path, *flags: str) -> Browser:
    """Start one with a profile in `folder`; without one the test is skipped."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is installed")
    return Browser(program, folder, *flags)
