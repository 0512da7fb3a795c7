"""Quart: a page, a form, a stream, a WebSocket, and work beside them."""

import asyncio

from quart import Quart, jsonify, render_template_string, request, websocket

app = Quart(__name__)
started: list[str] = []


@app.before_serving
async def before():
    started.append("before")


@app.route("/")
async def index():
    return await render_template_string("<p>{{ started }}</p>", started=started)


@app.post("/form")
async def form():
    data = await request.form
    return jsonify(dict(data))


@app.post("/echo")
async def echo():
    return await request.get_data()


@app.route("/stream")
async def stream():
    async def lines():
        for number in range(5):
            yield f"{number}\n".encode()
            await asyncio.sleep(0.01)

    return lines(), 200, {"X-Stream": "yes"}


@app.route("/sync")
def sync():
    return "from a thread"


@app.websocket("/ws")
async def ws():
    while True:
        await websocket.send("quart " + await websocket.receive())
