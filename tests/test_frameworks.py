"""The Flask and Falcon examples under real clients."""

import httpx
import pytest
import requests
from harness import EXAMPLES


@pytest.fixture(scope="module", params=[(), ("--threads", "4"), ("--front", "thread")], ids=["inline", "threads", "front"])
def flask(request, serve_all):
    return serve_all("app:app", *request.param, cwd=EXAMPLES / "flask")


@pytest.fixture(scope="module")
def falcon(serve_all):
    return serve_all("app", "--static", "/files=files", cwd=EXAMPLES / "falcon")


def test_flask_shows_its_page_and_takes_a_form(flask):
    with requests.Session() as session:
        page = session.post(flask.url + "/", data={"text": "Käse & <Brot>"}, timeout=20)
        assert page.status_code == 200 and page.history[0].status_code == 303
        assert "<li>Käse &amp; &lt;Brot&gt;</li>" in page.text
        assert "Käse & <Brot>" in session.get(flask.url + "/notes.json", timeout=20).json()["notes"]


@pytest.mark.parametrize("size", [0, 1, 20_000, 2_000_000])
def test_flask_echoes_a_body(flask, size):
    body = b"\x00\xff" * (size // 2)
    with httpx.Client(timeout=20) as client:
        assert client.post(flask.url + "/echo", content=body).content == body
        pieces = (body[at : at + 9999] for at in range(0, len(body), 9999))
        assert client.post(flask.url + "/echo", content=pieces).content == body


def test_flask_streams(flask):
    with httpx.stream("GET", flask.url + "/countdown", timeout=20) as response:
        assert list(response.iter_lines()) == ["3", "2", "1", "go"]


def test_flask_answers_404_and_405(flask):
    assert requests.get(flask.url + "/absent", timeout=20).status_code == 404
    response = requests.delete(flask.url + "/", timeout=20)
    assert response.status_code == 405 and "GET" in response.headers["Allow"]


def test_flask_from_its_factory(serve):
    server = serve("app:create_app(title='Remarks')", cwd=EXAMPLES / "flask")
    assert "<h1>Remarks</h1>" in requests.get(server.url, timeout=20).text


def test_falcon_speaks_json(falcon):
    with httpx.Client(base_url=falcon.url, timeout=20) as client:
        assert client.get("/quotes").json()["quotes"]
        created = client.post("/quotes", json={"text": "Éclair"})
        assert created.status_code == 201
        assert client.get(created.headers["Location"]).json()["text"] == "Éclair"
        assert client.get("/quotes/99").status_code == 404
        assert client.post("/quotes", content=b"{broken", headers={"Content-Type": "application/json"}).status_code == 400
        assert client.post("/quotes", content=b"").status_code == 400
        assert client.request("HEAD", "/quotes").content == b""


def test_falcons_files_are_served_beside_it(falcon):
    assert "Served by Daemun" in requests.get(falcon.url + "/files/about.txt", timeout=20).text
