"""Applications with lifespans of every kind. What happens is written to the file `events` of the test's folder."""

import asyncio
import os
from pathlib import Path

DIRECTORY = Path(os.environ.get("TEST_DIR", "/tmp"))


def note(what):
    with open(DIRECTORY / "events", "a") as file:
        file.write(what + "\n")


async def answer(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(scope.get("state"))})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        note("websocket ended")
        return
    note("request")
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
        note("slow request ended")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": str(scope.get("state")).encode()})


def lifespan(run):
    """An application whose lifespan is `run`."""

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await run(scope, receive, send)
        else:
            await answer(scope, receive, send)

    return application


@lifespan
async def well_behaved(scope, receive, send):
    message = await receive()
    note(f"scope {sorted(scope)} {scope['asgi']['version']} {scope['asgi'].get('spec_version')} {scope.get('state')}")
    note(repr(message))
    if "state" in scope:
        scope["state"]["pid"] = os.getpid()
    await send({"type": "lifespan.startup.complete"})
    note(repr(await receive()))
    await asyncio.sleep(0.3)
    note("shut down")
    await send({"type": "lifespan.shutdown.complete"})


application = well_behaved


@lifespan
async def slow_start(scope, receive, send):
    await receive()
    await asyncio.sleep(1.5)
    note("started")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@lifespan
async def raises_at_once(scope, receive, send):
    note("called")
    raise NotImplementedError("no lifespan here")


@lifespan
async def raises_in_startup(scope, receive, send):
    await receive()
    note("called")
    raise RuntimeError("the database is away")


@lifespan
async def returns_at_once(scope, receive, send):
    note("called")


@lifespan
async def returns_after_startup(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    note("left")


@lifespan
async def fails(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no connection to the database"})


@lifespan
async def fails_silently(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed"})


@lifespan
async def fails_as_starlette(scope, receive, send):
    """Says that it failed, with the traceback as message, and raises."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback (most recent call last):\n  no database"})
    raise RuntimeError("the database is away")


@lifespan
async def fails_to_shut_down(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "could not say good bye"})


@lifespan
async def raises_in_shutdown(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise RuntimeError("burnt at the end")


@lifespan
async def never_shuts_down(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    note("shutting down")
    await asyncio.sleep(60)


@lifespan
async def wrong_messages(scope, receive, send):
    await receive()
    for wrong in ({"type": "lifespan.nonsense"}, {"type": "http.response.start", "status": 200}, {}, None, {"type": "lifespan.shutdown.complete"}):
        try:
            await send(wrong)
            note("accepted")
        except Exception as error:
            note(f"raised {type(error).__name__}")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@lifespan
async def background(scope, receive, send):
    """A task that ticks, and ends when it is told."""
    await receive()

    async def tick():
        try:
            while True:
                note("tick")
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            note("cancelled")
            raise

    task = asyncio.create_task(tick())
    scope["state"]["task"] = task
    await send({"type": "lifespan.startup.complete"})
    await receive()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await send({"type": "lifespan.shutdown.complete"})


loops = []


async def one_loop(scope, receive, send):
    """The lifespan, the requests and the tasks of both run on one loop."""
    loops.append(asyncio.get_running_loop())
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["future"] = asyncio.get_running_loop().create_future()
        scope["state"]["task"] = asyncio.current_task()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    asyncio.get_running_loop().call_later(0.05, scope["state"]["future"].set_result, "done")
    result = await scope["state"]["future"]
    same = len(set(map(id, loops))) == 1 and scope["state"]["task"].get_loop() is loops[0]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": f"{result} {same}".encode()})


async def versioned(scope, receive, send):
    """Fails to start while a file says so."""
    if scope["type"] == "lifespan":
        await receive()
        if (DIRECTORY / "broken").exists():
            await send({"type": "lifespan.startup.failed", "message": "broken release"})
            return
        note("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        note("stopped")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await answer(scope, receive, send)
