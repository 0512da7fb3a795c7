"""The Django example, driven by the clients that people use."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
import requests
from harness import EXAMPLES, Connection, environment, python_program

SHOP = EXAMPLES / "django"


def manage(*args, env):
    subprocess.run(python_program("manage.py", *args), cwd=SHOP, env=environment(env), check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The database, the uploads and the collected static files of a shop of our own."""
    folder = tmp_path_factory.mktemp("shop")
    env = {"SHOP_DATA": str(folder), "SHOP_STATIC": str(folder / "static")}
    manage("migrate", "--verbosity", "0", env=env)
    manage("demo", env=env)
    manage("collectstatic", "--noinput", "--verbosity", "0", env=env)
    return folder


@pytest.fixture(scope="module", params=[("-w", "1"), ("-w", "2", "--threads", "4")], ids=["one", "many"])
def shop(request, serve_all, folder):
    env = {"SHOP_DATA": str(folder), "SHOP_STATIC": str(folder / "static")}
    return serve_all("shop.wsgi", *request.param, "--static", f"/static={folder}/static", cwd=SHOP, env=env)


def token(text):
    return re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text).group(1)


def test_pages_come_from_the_database(shop):
    page = requests.get(shop.url + "/", timeout=20)
    assert page.status_code == 200
    assert "Dovetail saw" in page.text
    assert "charset=utf-8" in page.headers["Content-Type"]
    product = requests.get(shop.url + "/products/block-plane/", timeout=20)
    assert "fits in an apron pocket" in product.text


def test_a_search_goes_through_the_query(shop):
    page = httpx.get(shop.url + "/", params={"q": "plane"}, timeout=20)
    assert "Block plane" in page.text and "Dovetail saw" not in page.text
    assert "Nothing here is called “käse &amp; co”" in httpx.get(shop.url + "/", params={"q": "käse & co"}, timeout=20).text


def test_what_is_missing_is_404(shop):
    assert requests.get(shop.url + "/products/no-such-thing/", timeout=20).status_code == 404


def test_an_unknown_host_is_refused_by_django(shop):
    assert requests.get(shop.url + "/", headers={"Host": "evil.example"}, timeout=20).status_code == 400


def test_login_and_logout(shop):
    with requests.Session() as session:
        assert session.get(shop.url + "/account/", timeout=20).url.endswith("/accounts/login/?next=/account/")
        page = session.get(shop.url + "/accounts/login/?next=/account/", timeout=20)
        data = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": token(page.text), "next": "/account/"}
        account = session.post(shop.url + "/accounts/login/", data=data, timeout=20)
        assert account.url.endswith("/account/") and "Hello, admin" in account.text
        out = session.post(shop.url + "/accounts/logout/", data={"csrfmiddlewaretoken": token(account.text)}, timeout=20)
        assert "Log in" in out.text


def test_a_wrong_password_is_refused(shop):
    with requests.Session() as session:
        page = session.get(shop.url + "/accounts/login/", timeout=20)
        data = {"username": "admin", "password": "wrong", "csrfmiddlewaretoken": token(page.text)}
        assert "correct username and password" in session.post(shop.url + "/accounts/login/", data=data, timeout=20).text


def test_a_form_without_its_token_is_refused(shop):
    response = requests.post(shop.url + "/enquiry/", data={"name": "x"}, timeout=20)
    assert response.status_code == 403 and "CSRF" in response.text


FIELDS = {"name": "Ada Lovelace", "email": "ada@example.org", "message": "Café with 5 € please", "product": ""}


def test_a_form_with_errors_says_so(shop):
    with httpx.Client(base_url=shop.url, timeout=20) as client:
        data = {**FIELDS, "email": "nonsense", "csrfmiddlewaretoken": token(client.get("/enquiry/").text)}
        response = client.post("/enquiry/", data=data)
        assert response.status_code == 400 and "valid email" in response.text


def test_a_form_with_a_small_file(shop):
    with httpx.Client(base_url=shop.url, timeout=20, follow_redirects=True) as client:
        data = {**FIELDS, "csrfmiddlewaretoken": token(client.get("/enquiry/").text)}
        content = b"a drawing \x00\xff" * 1000
        response = client.post("/enquiry/", data=data, files={"attachment": ("drawing.bin", content)})
        assert response.status_code == 200 and "Thank you, Ada Lovelace" in response.text
        assert hashlib.sha256(content).hexdigest() in response.text


def test_a_form_sent_in_chunks(shop):
    with httpx.Client(base_url=shop.url, timeout=20, follow_redirects=True) as client:
        request = httpx.Request("POST", shop.url, data={**FIELDS, "csrfmiddlewaretoken": token(client.get("/enquiry/").text)})
        body = request.read()
        response = client.post(
            "/enquiry/", content=(body[at : at + 50] for at in range(0, len(body), 50)),
            headers={"Content-Type": request.headers["Content-Type"]},
        )
        assert response.status_code == 200, response.text
        assert "Thank you, Ada Lovelace" in response.text


@pytest.mark.slow
def test_an_upload_of_100_megabytes(shop, tmp_path):
    size = 100 * 1024 * 1024
    path, sha = tmp_path / "large.bin", hashlib.sha256()
    with open(path, "wb") as file:
        for number in range(100):
            piece = hashlib.sha256(str(number).encode()).digest() * 32768
            file.write(piece)
            sha.update(piece)
    with httpx.Client(base_url=shop.url, timeout=60, follow_redirects=True) as client, open(path, "rb") as file:
        data = {**FIELDS, "csrfmiddlewaretoken": token(client.get("/enquiry/").text)}
        response = client.post("/enquiry/", data=data, files={"attachment": ("large.bin", file)})
        assert response.status_code == 200
        assert f"{size} bytes" in response.text and sha.hexdigest() in response.text


def test_an_upload_with_curl(shop, tmp_path):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    jar, path = tmp_path / "jar", tmp_path / "file.bin"
    path.write_bytes(b"curl" * 500_000)  # large enough for curl to send Expect: 100-continue
    base = [curl, "-sS", "--max-time", "30", "-b", jar, "-c", jar]
    page = subprocess.run([*base, shop.url + "/enquiry/"], check=True, capture_output=True, text=True).stdout
    form = [f"-F{name}={value}" for name, value in {**FIELDS, "csrfmiddlewaretoken": token(page)}.items()]
    result = subprocess.run([*base, "-L", *form, f"-Fattachment=@{path}", shop.url + "/enquiry/"], check=True, capture_output=True, text=True)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in result.stdout


def test_the_admin_adds_a_product(shop):
    with requests.Session() as session:
        page = session.get(shop.url + "/admin/login/?next=/admin/", timeout=20)
        assert '/static/admin/css/base.css"' in page.text
        data = {"username": "admin", "password": "admin", "csrfmiddlewaretoken": token(page.text), "next": "/admin/"}
        index = session.post(shop.url + "/admin/login/?next=/admin/", data=data, timeout=20)
        assert "Site administration" in index.text
        form = session.get(shop.url + "/admin/catalog/product/add/", timeout=20)
        slug = f"gouge-{shop.port}"
        data = {"csrfmiddlewaretoken": token(form.text), "slug": slug, "name": f"Gouge {shop.port}", "description": "é", "price": "12.50"}
        added = session.post(shop.url + "/admin/catalog/product/add/", data=data, timeout=20)
        assert "was added successfully" in added.text
        assert "12.50" in requests.get(f"{shop.url}/products/{slug}/", timeout=20).text


def test_static_files_are_served_beside_it(shop):
    style = requests.get(shop.url + "/static/catalog/shop.css", timeout=20)
    assert style.status_code == 200 and style.headers["Content-Type"].startswith("text/css")
    assert style.content == (SHOP / "catalog" / "static" / "catalog" / "shop.css").read_bytes()
    again = requests.get(style.url, headers={"If-None-Match": style.headers["ETag"]}, timeout=20)
    assert again.status_code == 304
    assert requests.get(shop.url + "/static/admin/css/base.css", timeout=20).status_code == 200


def test_a_streamed_answer(shop):
    with httpx.stream("GET", shop.url + "/prices.csv", timeout=20) as response:
        assert response.headers["Content-Type"].startswith("text/csv")
        lines = list(response.iter_lines())
    assert lines[0] == "product,price" and "Dovetail saw,48.00" in lines


@pytest.mark.parametrize("path", ["/", "/prices.csv", "/static/catalog/shop.css", "/enquiry/"])
def test_head_of_every_kind_of_page(shop, path):
    with Connection(("127.0.0.1", shop.port)) as connection:
        assert connection.request("HEAD", path).response("HEAD").status == 200
        assert connection.request("GET", path).response().status == 200


def test_nothing_went_wrong_meanwhile(shop):
    assert "Traceback" not in shop.log


def test_django_runs_clean_inside_the_validator(serve, folder):
    env = {"SHOP_DATA": str(folder), "DJANGO_SETTINGS_MODULE": "shop.settings"}
    server = serve("validated_django", "--pythonpath", str(Path(__file__).parent / "apps"), cwd=SHOP, env=env)
    with httpx.Client(base_url=server.url, timeout=20, follow_redirects=True) as client:
        for path in ("/", "/products/block-plane/", "/prices.csv", "/account/", "/admin/"):
            assert client.get(path).status_code == 200, server.log
        data = {**FIELDS, "csrfmiddlewaretoken": token(client.get("/enquiry/").text)}
        response = client.post("/enquiry/", data=data, files={"attachment": ("a.txt", b"text" * 10_000)})
        assert "Thank you" in response.text, server.log
    assert "AssertionError" not in server.log
    assert "garbage collected" not in server.log
