"""Handlers that use asyncio as applications do. Each page checks for itself and answers `ok`, or with its traceback."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from urllib.parse import parse_qs

import anyio
import anyio.from_thread
import anyio.to_thread

DIRECTORY = Path(os.environ.get("TEST_DIR", "/tmp"))
CHECKS = {}
PAGES = {}
variable = contextvars.ContextVar("variable", default="unset")
shared: dict[str, object] = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def page(function):
    PAGES["/" + function.__name__.replace("_", "-")] = function
    return function


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    name = scope["path"].removeprefix("/check/")
    if name in CHECKS:
        try:
            result = await CHECKS[name](scope, receive, send)
        except Exception:
            await answer(send, traceback.format_exc().encode(), 500)
        else:
            if result is None:
                await answer(send, b"ok")
    elif scope["path"] in PAGES:
        await PAGES[scope["path"]](scope, receive, send)
    else:
        await answer(send, b"no such page", 404)


async def answer(send, data, status=200):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(data))]})
    await send({"type": "http.response.body", "body": data})


def query(scope):
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}


# Tasks.


@check
async def the_handler_is_a_task(scope, receive, send):
    task = asyncio.current_task()
    assert isinstance(task, asyncio.Task), task
    assert task.get_loop() is asyncio.get_running_loop()
    assert asyncio.get_event_loop() is asyncio.get_running_loop()
    assert task in asyncio.all_tasks()
    assert not task.done() and not task.cancelled()
    assert isinstance(task.get_name(), str) and task.get_coro() is not None
    assert repr(task)
    for wait in (asyncio.sleep(0), asyncio.sleep(0.01), receive()):
        await wait
        assert asyncio.current_task() is task
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 0


@check
async def threads_are_the_main_one(scope, receive, send):
    assert threading.current_thread() is threading.main_thread()
    await asyncio.sleep(0.01)
    assert threading.current_thread() is threading.main_thread()


@check
async def a_task_of_receive(scope, receive, send):
    message = await asyncio.create_task(receive())
    assert (message["type"], message["body"], message.get("more_body", False)) == ("http.request", b"body", False)


@check
async def a_future_of_receive(scope, receive, send):
    assert (await asyncio.ensure_future(receive()))["body"] == b"body"


@check
async def wait_for_receive(scope, receive, send):
    assert (await asyncio.wait_for(receive(), 5))["body"] == b"body"
    for _ in range(3):
        try:
            await asyncio.wait_for(receive(), 0.02)
            raise AssertionError("the client is there")
        except asyncio.TimeoutError:
            pass


@check
async def a_watcher_of_receive_is_cancelled(scope, receive, send):
    """As Starlette's StreamingResponse does it."""
    await receive()
    watcher = asyncio.create_task(receive())
    await asyncio.sleep(0.01)
    watcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher
    assert watcher.cancelled()


@check
async def gather(scope, receive, send):
    message, number, failed = await asyncio.gather(receive(), asyncio.sleep(0.01, 42), fails(), return_exceptions=True)
    assert message["body"] == b"body" and number == 42 and isinstance(failed, ValueError)


async def fails():
    await asyncio.sleep(0)
    raise ValueError("on purpose")


@check
async def a_shielded_send(scope, receive, send):
    await asyncio.shield(send({"type": "http.response.start", "status": 200}))
    await asyncio.shield(send({"type": "http.response.body", "body": b"o", "more_body": True}))
    await asyncio.create_task(send({"type": "http.response.body", "body": b"k"}))
    return True


@check
async def sends_from_several_tasks(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000")]})
    parts = [send({"type": "http.response.body", "body": bytes([65 + number]) * 2000, "more_body": number < 9}) for number in range(9)]
    await asyncio.gather(*parts)
    await send({"type": "http.response.body", "body": b"J" * 2000})
    return True


@check
async def wait_first_completed(scope, receive, send):
    slow, quick = asyncio.create_task(asyncio.sleep(5)), asyncio.create_task(asyncio.sleep(0.01, "quick"))
    done, pending = await asyncio.wait({slow, quick}, return_when=asyncio.FIRST_COMPLETED)
    assert done == {quick} and pending == {slow}
    slow.cancel()
    assert [await part for part in asyncio.as_completed([asyncio.sleep(0.02, 2), asyncio.sleep(0.01, 1)])] == [1, 2]


@check
async def cancelling_a_task(scope, receive, send):
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        pass
    assert task.cancelled()


@check
async def cancelling_oneself(scope, receive, send):
    task = asyncio.current_task()
    for pause in (asyncio.sleep(0), asyncio.sleep(5), asyncio.get_running_loop().create_future()):
        task.cancel("because")
        try:
            await pause
            raise AssertionError("not cancelled")
        except asyncio.CancelledError:
            if sys.version_info >= (3, 11):
                assert task.cancelling() == 1
                assert task.uncancel() == 0
    await asyncio.sleep(0.01)


@check
async def cancelled_from_another_task(scope, receive, send):
    """The message goes along, and the awaited future is cancelled."""
    task, future = asyncio.current_task(), asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.02, task.cancel, "the message")
    try:
        await future
        raise AssertionError("not cancelled")
    except asyncio.CancelledError as error:
        if sys.version_info >= (3, 11):
            assert error.args == ("the message",)
            task.uncancel()
    assert future.cancelled()


@check
async def cancelled_while_it_receives(scope, receive, send):
    """And nothing of the request is lost by it."""
    task = asyncio.current_task()
    assert (await receive())["body"] == b"body"
    asyncio.get_running_loop().call_later(0.02, task.cancel)
    try:
        await receive()
        raise AssertionError("not cancelled")
    except asyncio.CancelledError:
        if sys.version_info >= (3, 11):
            task.uncancel()


@check
async def timeouts(scope, receive, send):
    if sys.version_info < (3, 11):
        return
    await receive()
    for awaitable in (receive(), asyncio.sleep(5), asyncio.get_running_loop().create_future()):
        try:
            async with asyncio.timeout(0.02):
                await awaitable
            raise AssertionError("no timeout")
        except TimeoutError:
            pass
    async with asyncio.timeout(5):
        await asyncio.sleep(0)


@check
async def task_groups(scope, receive, send):
    if sys.version_info < (3, 11):
        return
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(receive()), group.create_task(asyncio.sleep(0.01, 2))
    assert one.result()["body"] == b"body" and two.result() == 2
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.sleep(10))
        raise AssertionError("no exception")
    except BaseExceptionGroup as error:  # noqa: F821
        assert isinstance(error.exceptions[0], ValueError)


@check
async def done_callbacks(scope, receive, send):
    called = []
    task = asyncio.create_task(asyncio.sleep(0.01, "result"))
    task.add_done_callback(lambda task: called.append(task.result()))
    await task
    await asyncio.sleep(0)
    assert called == ["result"]
    asyncio.current_task().add_done_callback(lambda task: shared.__setitem__("handler done", task.done()))


@page
async def handler_done(scope, receive, send):
    await answer(send, json.dumps(shared.get("handler done")).encode())


# The loop.


@check
async def the_loop_runs(scope, receive, send):
    loop = asyncio.get_running_loop()
    assert loop.is_running() and not loop.is_closed()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert asyncio.get_event_loop_policy() is not None
    before = loop.time()
    await asyncio.sleep(0.01)
    assert loop.time() > before
    assert scope["query_string"].decode() in type(loop).__module__, type(loop)


@check
async def timers_are_about_right(scope, receive, send):
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    for delay in (0, 0.001, 0.05, 0.2):
        done.clear()
        begin = time.monotonic()
        loop.call_later(delay, done.set)
        await done.wait()
        took = time.monotonic() - begin
        assert delay - 0.005 <= took < delay + 1, f"{delay}: {took}"
    handle = loop.call_later(0.01, done.clear)
    handle.cancel()
    loop.call_at(loop.time() + 0.02, done.set)
    await asyncio.sleep(0.05)
    assert done.is_set() and handle.cancelled()


@check
async def many_timers(scope, receive, send):
    begin = time.monotonic()
    results = await asyncio.gather(*(asyncio.sleep(0.001 * (number % 50), number) for number in range(2000)))
    assert results == list(range(2000))
    assert time.monotonic() - begin < 5


@check
async def call_soon_keeps_its_order(scope, receive, send):
    loop, seen = asyncio.get_running_loop(), []
    for number in range(100):
        loop.call_soon(seen.append, number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == list(range(100))


@check
async def a_thread_wakes_the_loop(scope, receive, send):
    loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    threading.Timer(0.1, lambda: loop.call_soon_threadsafe(future.set_result, "woken")).start()
    begin = time.monotonic()
    assert await asyncio.wait_for(future, 10) == "woken"
    assert time.monotonic() - begin < 3


@check
async def a_coroutine_is_run_from_a_thread(scope, receive, send):
    loop = asyncio.get_running_loop()

    def in_thread():
        return asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01, "from a thread"), loop).result(10)

    assert await asyncio.to_thread(in_thread) == "from a thread"


@check
async def executors(scope, receive, send):
    loop = asyncio.get_running_loop()
    begin = time.monotonic()
    results = await asyncio.gather(*(loop.run_in_executor(None, functools.partial(sleep_in_thread, number)) for number in range(4)))
    assert results == [0, 1, 2, 3] and time.monotonic() - begin < 3
    token = variable.set("copied")
    try:
        assert await asyncio.to_thread(variable.get) == "copied"
    finally:
        variable.reset(token)
    try:
        await loop.run_in_executor(None, int, "no number")
        raise AssertionError("no exception")
    except ValueError:
        pass


def sleep_in_thread(number):
    time.sleep(0.05)
    assert threading.current_thread() is not threading.main_thread()
    return number


@check
async def another_loop_in_a_thread(scope, receive, send):
    assert await asyncio.to_thread(asyncio.run, asyncio.sleep(0.01, "its own")) == "its own"


@check
async def subprocesses(scope, receive, send):
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(b"through a pipe" * 10_000), 10)
    assert out == b"through a pipe" * 10_000 and process.returncode == 0
    process = await asyncio.create_subprocess_shell("sleep 0.1; exit 7")
    assert await asyncio.wait_for(process.wait(), 10) == 7
    process = await asyncio.create_subprocess_exec("sleep", "30")
    process.kill()
    assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGKILL


@check
async def streams_to_another_server(scope, receive, send):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(scope["query_string"]))
    writer.write(b"ping\n")
    await writer.drain()
    assert await asyncio.wait_for(reader.readline(), 10) == b"pong\n"
    writer.close()
    await writer.wait_closed()


@check
async def streams_to_oneself(scope, receive, send):
    """The server serves others while a handler waits, even itself."""
    reader, writer = await asyncio.open_connection(*scope["server"])
    writer.write(b"GET /check/the_loop_runs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    data = await asyncio.wait_for(reader.read(), 10)
    assert data.startswith(b"HTTP/1.1 200") and data.endswith(b"ok"), data
    writer.close()


@check
async def a_server_of_the_applications_own(scope, receive, send):
    async def shout(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            assert await asyncio.wait_for(reader.read(), 10) == b"HELLO\n"
            writer.close()


@check
async def sockets_and_readers(scope, receive, send):
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        await loop.sock_sendall(left, b"over a socket")
        assert await asyncio.wait_for(loop.sock_recv(right, 100), 10) == b"over a socket"
        for _ in range(3):  # a descriptor added, removed and added again
            readable = loop.create_future()
            loop.add_reader(right.fileno(), readable.set_result, True)
            threading.Timer(0.02, left.send, [b"x"]).start()
            assert await asyncio.wait_for(readable, 10)
            loop.remove_reader(right.fileno())
            assert right.recv(10) == b"x"
        writable = loop.create_future()
        loop.add_writer(left.fileno(), lambda: writable.done() or writable.set_result(True))
        assert await asyncio.wait_for(writable, 10)
        loop.remove_writer(left.fileno())


@check
async def pipes(scope, receive, send):
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
    os.write(write_end, b"through a pipe\n")
    assert await asyncio.wait_for(reader.readline(), 10) == b"through a pipe\n"
    os.close(write_end)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    transport.close()


@check
async def datagrams(scope, receive, send):
    loop, arrived = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            arrived.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=transport.get_extra_info("sockname"))
    sender.sendto(b"datagram")
    assert await asyncio.wait_for(arrived, 10) == b"datagram"
    sender.close()
    transport.close()


@check
async def names_are_looked_up(scope, receive, send):
    assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)


@check
async def locks_and_queues(scope, receive, send):
    lock, queue, order = asyncio.Lock(), asyncio.Queue(2), []

    async def produce():
        for number in range(10):
            await queue.put(number)

    async def consume():
        for _ in range(10):
            async with lock:
                order.append(await queue.get())

    await asyncio.gather(produce(), consume())
    assert order == list(range(10))


@check
async def anyio_works(scope, receive, send):
    results = []

    async def add(number):
        await anyio.sleep(0.01)
        results.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(add, number)
    assert sorted(results) == [0, 1, 2, 3, 4]
    assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 0.01)) is None
    assert await anyio.to_thread.run_sync(threading.current_thread) is not threading.main_thread()
    await receive()
    with anyio.move_on_after(0.02) as scope_of_time:
        await receive()
    assert scope_of_time.cancelled_caught if hasattr(scope_of_time, "cancelled_caught") else True
    with anyio.move_on_after(0.02):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 10)
            await anyio.sleep(10)
    try:
        with anyio.fail_after(0.02):
            await anyio.sleep(10)
        raise AssertionError("no timeout")
    except TimeoutError:
        pass


@check
async def anyio_cancel_scopes(scope, receive, send):
    with anyio.CancelScope() as outer:
        with anyio.CancelScope(shield=True) as inner:
            outer.cancel()
            await anyio.sleep(0.01)
            inner.cancel()
            await anyio.sleep(10)
        await anyio.sleep(10)
        raise AssertionError("not cancelled")
    assert outer.cancel_called and inner.cancel_called
    async with anyio.create_task_group() as group:
        # As Starlette's BaseHTTPMiddleware and StreamingResponse end their watchers.
        async def watch():
            while (await receive())["type"] != "http.disconnect":
                pass

        group.start_soon(watch)
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fails)
            await anyio.sleep(10)
        raise AssertionError("no exception")
    except BaseException as error:
        assert "ValueError" in repr(error) or isinstance(error, ValueError)
    await anyio.sleep(0.01)


@check
async def anyio_streams(scope, receive, send):
    sender, receiver = anyio.create_memory_object_stream(0)
    got = []
    async with anyio.create_task_group() as group, receiver:
        async def fill():
            async with sender:
                for number in range(5):
                    await sender.send(number)

        group.start_soon(fill)
        async for number in receiver:
            got.append(number)
    assert got == [0, 1, 2, 3, 4]


@check
async def no_stray_tasks(scope, receive, send):
    """This one, and at most one of the lifespan and one of the server."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert len(others) <= 2, others


@check
async def async_generators_are_finalised(scope, receive, send):
    assert sys.get_asyncgen_hooks().firstiter is not None and sys.get_asyncgen_hooks().finalizer is not None
    closed = asyncio.Event()

    async def numbers():
        try:
            for number in range(10):
                yield number
        finally:
            await asyncio.sleep(0)
            closed.set()

    async def first():
        async for number in numbers():
            return number

    assert await first() == 0
    gc.collect()
    await asyncio.wait_for(closed.wait(), 5)


@check
async def eager_tasks(scope, receive, send):
    if sys.version_info < (3, 12):
        return
    seen = []

    async def eager():
        seen.append(asyncio.current_task())
        return "at once"

    loop = asyncio.get_running_loop()
    task = asyncio.eager_task_factory(loop, eager())
    assert seen and await task == "at once"


@check
async def an_exception_handler_of_ones_own(scope, receive, send):
    loop, seen = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    try:
        loop.call_soon(int, "no number")
        await asyncio.sleep(0.01)
        assert isinstance(seen[0], ValueError)
    finally:
        loop.set_exception_handler(None)


@check
async def debug_mode(scope, receive, send):
    loop = asyncio.get_running_loop()
    before = loop.get_debug()
    loop.set_debug(True)
    try:
        await asyncio.gather(asyncio.sleep(0.01), asyncio.sleep(0))
        await receive()
    finally:
        loop.set_debug(before)


@check
async def a_context_lasts_over_awaits(scope, receive, send):
    assert variable.get() == "unset"
    variable.set("mine")
    for wait in (asyncio.sleep(0), asyncio.sleep(0.01), receive()):
        await wait
        assert variable.get() == "mine"

    async def child():
        assert variable.get() == "mine"
        variable.set("the child's")
        await asyncio.sleep(0)
        return variable.get()

    assert await asyncio.create_task(child()) == "the child's"
    assert variable.get() == "mine"
    seen = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
    await asyncio.sleep(0.01)
    assert seen == ["mine"]
    await child()
    assert variable.get() == "the child's", "a plain call shares the context"


@check
async def contexts_in_an_eager_part(scope, receive, send):
    """A variable set before the first await, reset after it."""
    token = variable.set("early")
    await asyncio.sleep(0.01)
    variable.reset(token)
    assert variable.get() == "unset"
    assert contextvars.copy_context().run(variable.get) == "unset"


# Pages for several requests.


@page
async def context(scope, receive, send):
    """Sets the variable to the query, waits, and says what it was before and is now."""
    before = variable.get()
    variable.set(scope["query_string"].decode())
    await asyncio.sleep(0.05)
    await answer(send, f"{before} {variable.get()}".encode())


@page
async def leaves_context(scope, receive, send):
    """Never suspends."""
    before = variable.get()
    variable.set("left behind")
    await answer(send, before.encode())


@page
async def meet(scope, receive, send):
    """Waits for another request to come to `/met`."""
    event = shared.setdefault("meeting", asyncio.Event())
    await asyncio.wait_for(event.wait(), 10)
    await answer(send, b"met")


@page
async def met(scope, receive, send):
    shared.setdefault("meeting", asyncio.Event()).set()
    await answer(send, b"there")


@page
async def spins(scope, receive, send):
    """Gives way again and again, without rest: others are served."""
    shared["spinning"] = True
    end = time.monotonic() + 10
    while shared["spinning"]:
        assert time.monotonic() < end
        await asyncio.sleep(0)
    await answer(send, b"spun")


@page
async def stops_spinning(scope, receive, send):
    shared["spinning"] = False
    await answer(send, b"stopped")


@page
async def background(scope, receive, send):
    """A task that outlives its request."""

    async def later():
        await asyncio.sleep(0.2)
        (DIRECTORY / query(scope)["file"]).write_text("done")

    shared["background"] = asyncio.create_task(later())
    await answer(send, b"started")


@page
async def loose_failure(scope, receive, send):
    async def fails_alone():
        raise RuntimeError("nobody waits for me")

    asyncio.create_task(fails_alone())
    await asyncio.sleep(0.01)
    gc.collect()
    await answer(send, b"started")


@page
async def callback_failure(scope, receive, send):
    def fails_in_callback():
        raise RuntimeError("burnt in a callback")

    asyncio.get_running_loop().call_soon(fails_in_callback)
    await asyncio.sleep(0.01)
    await answer(send, b"started")


@page
async def install(scope, receive, send):
    """A handler of a signal, in one way or the other."""
    given = query(scope)
    number = getattr(signal, given["signal"])

    def handle(*_):
        (DIRECTORY / given["file"]).write_text(threading.current_thread().name)

    if given["how"] == "loop":
        asyncio.get_running_loop().add_signal_handler(number, handle)
    else:
        signal.signal(number, handle)
    await answer(send, str(os.getpid()).encode())


@page
async def tasks(scope, receive, send):
    await answer(send, str(len(asyncio.all_tasks())).encode())


@page
async def blocks(scope, receive, send):
    """What one should not do."""
    time.sleep(float(query(scope)["s"]))
    await answer(send, b"blocked")


@page
async def pid(scope, receive, send):
    await answer(send, str(os.getpid()).encode())
