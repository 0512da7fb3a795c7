"""A shelf of books with FastAPI: `daemun app:app`."""

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field


class Book(BaseModel):
    title: str = Field(min_length=1)
    pages: int = Field(gt=0)


@asynccontextmanager
async def lifespan(app):
    yield {"shelf": {1: Book(title="The Mezzanine", pages=135)}}  # in this process only: a real one would use a database


app = FastAPI(title="Books", lifespan=lifespan)


def shelf(request: Request):
    yield request.state.shelf  # what stands after the `yield` runs once the answer is sent


Shelf = Annotated[dict[int, Book], Depends(shelf)]


@app.get("/books")
async def books(shelf: Shelf) -> dict[int, Book]:
    return shelf


@app.post("/books", status_code=201)
async def add(book: Book, shelf: Shelf) -> dict[str, int]:
    number = max(shelf, default=0) + 1
    shelf[number] = book
    return {"id": number}


@app.get("/books/{number}")
def book(number: int, shelf: Shelf) -> Book:
    """A plain `def` runs in a thread."""
    if number not in shelf:
        raise HTTPException(404, "no such book")
    return shelf[number]


@app.post("/cover")
async def cover(file: UploadFile):
    digest, size = hashlib.sha256(), 0
    while piece := await file.read(1 << 16):
        digest.update(piece)
        size += len(piece)
    return {"name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/clock")
async def clock(ticks: int = 10):
    """Events for a browser's EventSource."""

    async def events():
        for _ in range(ticks):
            yield f"data: {time.strftime('%H:%M:%S')}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/echo")
async def echo(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
