"""A JSON API for quotes: `daemun app`."""

import falcon


class Quotes:
    """`/quotes`: all of them, and a new one."""

    def __init__(self, store):
        self.store = store

    def on_get(self, req, resp):
        resp.media = {"quotes": list(self.store.values())}

    def on_post(self, req, resp):
        media = req.get_media()
        if not isinstance(media, dict) or not media.get("text"):
            raise falcon.HTTPBadRequest(title="A quote needs a text")
        number = len(self.store) + 1
        self.store[number] = {"id": number, "text": media["text"]}
        resp.status = falcon.HTTP_201
        resp.location = f"/quotes/{number}"
        resp.media = self.store[number]


class Quote:
    """`/quotes/ID`: one."""

    def __init__(self, store):
        self.store = store

    def on_get(self, req, resp, number):
        if number not in self.store:
            raise falcon.HTTPNotFound(title="No such quote")
        resp.media = self.store[number]


def create_app():
    store = {1: {"id": 1, "text": "Simplicity is prerequisite for reliability."}}  # in this process only
    app = falcon.App()
    app.add_route("/quotes", Quotes(store))
    app.add_route("/quotes/{number:int}", Quote(store))
    return app


application = create_app()
