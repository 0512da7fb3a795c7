"""A server of gRPC without generated code: messages are bytes. `grpc_server.py PORT NAME [CERTIFICATE KEY]`"""

import hashlib
import json
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

NAME = sys.argv[2]
STATE = {"cancelled": 0}


def unary(request, context):
    return request


def who(request, context):
    return f"{NAME} {context.peer()}".encode()


def metadata(request, context):
    context.send_initial_metadata((("x-initial", "one"), ("x-initial", "two"), ("x-binary-bin", b"\0\1\xff")))
    context.set_trailing_metadata((("x-trailing", "end"), ("x-trailing-bin", b"\xfe\0")))
    pairs = [(key, value.hex() if isinstance(value, bytes) else value) for key, value in context.invocation_metadata()]
    return json.dumps({"metadata": pairs, "left": context.time_remaining()}).encode()


def fail(request, context):
    """Status and details at once: the answer has nothing but trailers."""
    context.set_trailing_metadata((("x-why", "because"),))
    context.abort(grpc.StatusCode[request.decode()], "wrong: 100% \u00fc")


def sleep(request, context):
    time.sleep(float(request))
    return b"slept"


def download(request, context):
    count, size = map(int, request.split())
    for number in range(count):
        yield number.to_bytes(4) + bytes(size)


def fail_later(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "half of it")


def forever(request, context):
    def ended():
        STATE["cancelled"] += 1
    context.add_callback(ended)
    while context.is_active():
        yield b"tick"
        time.sleep(0.01)


def cancelled(request, context):
    return b"%d" % STATE["cancelled"]


def upload(requests, context):
    total, digest = 0, hashlib.sha256()
    for request in requests:
        total += len(request)
        digest.update(request)
    return f"{total} {digest.hexdigest()}".encode()


def refuse_upload(requests, context):
    """Answers without having read all."""
    next(requests)
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def chat(requests, context):
    """One answer for each message, as it comes."""
    for request in requests:
        yield b"you said " + request


def greet(requests, context):
    """Speaks first."""
    yield b"hello"
    for request in requests:
        yield request
    yield b"bye"


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Who": grpc.unary_unary_rpc_method_handler(who),
    "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
    "Download": grpc.unary_stream_rpc_method_handler(download),
    "FailLater": grpc.unary_stream_rpc_method_handler(fail_later),
    "Forever": grpc.unary_stream_rpc_method_handler(forever),
    "Upload": grpc.stream_unary_rpc_method_handler(upload),
    "RefuseUpload": grpc.stream_unary_rpc_method_handler(refuse_upload),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Greet": grpc.stream_stream_rpc_method_handler(greet),
}


def main() -> None:
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", HANDLERS),))
    address = f"127.0.0.1:{sys.argv[1]}" if sys.argv[1].isdigit() else f"unix:{sys.argv[1]}"
    if len(sys.argv) > 3:
        certificate, key = (open(path, "rb").read() for path in sys.argv[3:5])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(address)
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    server.stop(1).wait()


main()
