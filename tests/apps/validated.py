"""Applications inside the standard library's validator, which raises at every breach of PEP 3333."""

import io
from wsgiref.validate import validator

import flask_notes

PLAIN = [("Content-Type", "text/plain")]


def bare(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/length":
        length = 0
        while piece := environ["wsgi.input"].read(1000):
            length += len(piece)
        start_response("200 OK", PLAIN)
        return [str(length).encode()]
    if path == "/lines":
        lines = list(environ["wsgi.input"])
        start_response("200 OK", PLAIN)
        return [repr(lines).encode()]
    if path == "/pieces":
        start_response("200 OK", PLAIN)
        return (b"piece" for _ in range(10))
    if path == "/writes":
        write = start_response("200 OK", PLAIN)
        write(b"one")
        return [b"two"]
    if path == "/errors":
        environ["wsgi.errors"].write("validated\n")
        environ["wsgi.errors"].writelines(["a\n", "b\n"])
        environ["wsgi.errors"].flush()
    if path == "/nothing":
        start_response("204 No Content", [])
        return [b""]
    if path == "/file":
        start_response("200 OK", PLAIN)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"data" * 1000))
    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return [b"ok"]


def unterminated(application):
    """Werkzeug calls `read()` without a size if the input ends by itself, which the validator does not allow."""

    def wrapped(environ, start_response):
        environ.pop("wsgi.input_terminated", None)
        return application(environ, start_response)

    return wrapped


checked_bare = validator(bare)
checked_flask = validator(unterminated(flask_notes.app))


def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/flask/"):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/flask", environ["PATH_INFO"].removeprefix("/flask")
        return checked_flask(environ, start_response)
    return checked_bare(environ, start_response)
