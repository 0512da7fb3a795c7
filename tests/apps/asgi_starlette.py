"""Starlette, with most of what people use of it."""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

DIRECTORY = Path(os.environ.get("TEST_DIR", "/tmp"))
seen: list[str] = []


@asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient() as client:
        yield {"client": client, "from": "lifespan"}


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        request.state.by = "middleware"
        response = await call_next(request)
        response.headers["X-Middleware"] = "passed"
        return response


async def home(request):
    return HTMLResponse(f"<h1>{request.url.path} {request.state.by}</h1>")


async def item(request):
    return JSONResponse({"id": request.path_params["id"], "query": dict(request.query_params), "url": str(request.url), "from": request.state._state.get("from")})


async def echo(request):
    return PlainTextResponse(await request.body())


async def upload(request):
    async with request.form() as form:
        data = await form["file"].read()
        return JSONResponse({"name": form["file"].filename, "size": len(data), "note": form["note"]})


async def stream_in(request):
    sizes = [len(piece) async for piece in request.stream()]
    return JSONResponse({"total": sum(sizes)})


async def stream_out(request):
    async def numbers():
        for number in range(int(request.query_params.get("n", "5"))):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(numbers(), media_type="text/plain")


async def sync_stream(request):
    return StreamingResponse((f"{number}\n" for number in range(5)), media_type="text/plain")


async def endless(request):
    async def ticks():
        try:
            while True:
                yield "data: tick\n\n"
                await asyncio.sleep(0.02)
        finally:
            seen.append("stream ended")

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def waits_for_disconnect(request):
    seen.append("waiting")
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    seen.append("disconnected")
    return PlainTextResponse("for nobody")


async def reads_cut_body(request):
    try:
        await request.body()
    except ClientDisconnect:
        seen.append("ClientDisconnect")
        raise
    return PlainTextResponse("whole")


async def file(request):
    return FileResponse(DIRECTORY / "file.bin", filename="named.bin")


async def background(request):
    tasks = BackgroundTasks([BackgroundTask(later, "async"), BackgroundTask(later_in_thread, "thread")])
    return PlainTextResponse("started", background=tasks)


async def later(name):
    await asyncio.sleep(0.05)
    seen.append(name)


def later_in_thread(name):
    seen.append(name)


async def happened(request):
    return JSONResponse(seen)


async def call_out(request):
    response = await request.state.client.get(request.query_params["url"])
    return PlainTextResponse(f"{response.status_code} {response.text}")


async def threads(request):
    async def one(number):
        return await run_in_threadpool(lambda: number * 2)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(anyio.to_thread.run_sync, os.getpid)
    return JSONResponse(await asyncio.gather(*map(one, range(10))))


def plain(request):
    return PlainTextResponse("from a thread")


async def fails(request):
    raise RuntimeError("Starlette's own failure")


async def refuses(request):
    raise HTTPException(418, "I am a teapot", headers={"X-Tea": "green"})


async def ws_echo(websocket):
    await websocket.accept(subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None)
    try:
        while True:
            await websocket.send_text("echo " + await websocket.receive_text())
    except WebSocketDisconnect as error:
        seen.append(f"ws {error.code} {error.reason}")


async def ws_json(websocket):
    await websocket.accept()
    async for message in websocket.iter_json():
        await websocket.send_json({"got": message})


async def ws_refuses(websocket):
    await websocket.close(4003)


async def ws_denies(websocket):
    await websocket.send_denial_response(JSONResponse({"why": "no"}, status_code=401))


async def ws_closes(websocket):
    await websocket.accept()
    await websocket.send_bytes(b"bytes")
    await websocket.close(4000, "enough")


(DIRECTORY / "public").mkdir(exist_ok=True)
application = Starlette(
    routes=[
        Route("/", home), Route("/items/{id:int}", item), Route("/echo", echo, methods=["POST"]), Route("/upload", upload, methods=["POST"]),
        Route("/stream-in", stream_in, methods=["POST"]), Route("/stream-out", stream_out), Route("/sync-stream", sync_stream), Route("/endless", endless),
        Route("/waits", waits_for_disconnect), Route("/cut", reads_cut_body, methods=["POST"]), Route("/file", file), Route("/background", background),
        Route("/seen", happened), Route("/call-out", call_out), Route("/threads", threads), Route("/plain", plain), Route("/fails", fails),
        Route("/refuses", refuses), Route("/redirect", lambda request: RedirectResponse("/")),
        Mount("/public", StaticFiles(directory=DIRECTORY / "public")),
        WebSocketRoute("/ws", ws_echo), WebSocketRoute("/ws-json", ws_json), WebSocketRoute("/ws-refuses", ws_refuses),
        WebSocketRoute("/ws-denies", ws_denies), WebSocketRoute("/ws-closes", ws_closes),
    ],
    middleware=[Middleware(Timing), Middleware(GZipMiddleware, minimum_size=10_000)],
    lifespan=lifespan,
)
bare = Starlette(routes=[route for route in application.routes if getattr(route, "path", "") in ("/file", "/endless", "/seen", "/stream-out", "/waits")], lifespan=lifespan)
