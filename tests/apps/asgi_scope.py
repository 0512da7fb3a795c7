"""Answers with the scope it was given, as Python writes it: nothing of its types is lost."""

KINDS = {"http": "http.response", "websocket": "websocket"}


def plain(scope):
    """The scope without what has no literal, and with the types that a literal does not show."""
    shown = {key: value for key, value in scope.items() if key not in ("state", "extensions", "headers")}
    shown["headers"] = [tuple(pair) for pair in scope["headers"]]
    shown["extensions"] = {name: dict(value) for name, value in (scope.get("extensions") or {}).items()}
    shown["types"] = {key: type(value).__name__ for key, value in scope.items()}
    shown["has state"] = "state" in scope
    return repr(shown)


async def application(scope, receive, send):
    if scope["type"] == "http":
        body = plain(scope).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})
    elif scope["type"] == "websocket":
        assert (await receive()) == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": plain(scope)})
        await send({"type": "websocket.close"})
    else:
        raise NotImplementedError(f"no {scope['type']} here")


# The shapes that an application may have.


async def coroutine(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"asgi"})


class Callable:
    async def __call__(self, scope, receive, send):
        await coroutine(scope, receive, send)


instance = Callable()


class Methods:
    async def method(self, scope, receive, send):
        await coroutine(scope, receive, send)

    @classmethod
    async def class_method(cls, scope, receive, send):
        await coroutine(scope, receive, send)

    @staticmethod
    async def static_method(scope, receive, send):
        await coroutine(scope, receive, send)


bound = Methods().method


def partial():
    import functools

    async def with_more(extra, scope, receive, send):
        await coroutine(scope, receive, send)

    return functools.partial(with_more, "extra")


partially = partial()


def returns_a_coroutine(scope, receive, send):
    """Nothing tells that this is ASGI but its arguments."""
    return coroutine(scope, receive, send)


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]


class WsgiInstance:
    def __call__(self, environ, start_response):
        return wsgi(environ, start_response)


wsgi_instance = WsgiInstance()


def make(kind="asgi"):
    return {"asgi": coroutine, "wsgi": wsgi}[kind]
