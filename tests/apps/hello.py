"""The smallest applications."""

import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello"]


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app"]


def pid(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def factory(greeting="made", *, times=1):
    def made(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [" ".join([greeting] * times).encode()]

    return made


class Namespace:
    class inner:
        application = staticmethod(app)


def broken_factory():
    raise RuntimeError("the factory is out of order")


number = 42
nothing = None
