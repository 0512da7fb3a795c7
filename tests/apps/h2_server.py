"""A server that speaks HTTP/2 without TLS, and nothing else. `h2_server.py PORT`

`/info` tells what came, `/upload` length and hash of the body, `/download?size=` sends that many bytes as the windows
allow, `/echo` each piece of the body as it comes, `/trailers` fields behind the body, `/head?size=` a field of that size,
`/reset?after=` breaks off after so many bytes, `/early` answers before it has the body and wants no more of it, `/hints`
status 103 first, `/sent` how much it has sent of downloads, `/resets` how many streams were broken off.
"""

import hashlib
import json
import socket
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events

STATE = {"sent": 0, "resets": 0}


class Stream:
    def __init__(self, fields):
        self.fields = [(name.decode(), value.decode("latin-1")) for name, value in fields]
        self.head = dict(self.fields)
        url = urlsplit(self.head[":path"])
        self.path, self.query = url.path.rpartition("/")[2], parse_qs(url.query)
        self.length, self.digest, self.trailers = 0, hashlib.sha256(), []
        self.left = None  # bytes to be sent
        self.end = True

    def number(self, name):
        return int(self.query[name][0])


def serve(connection, port):
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    streams: dict[int, Stream] = {}

    def head(number, status=200, fields=(), end=False):
        server.send_headers(number, [(":status", str(status)), ("content-type", "text/plain"), *fields], end_stream=end)

    def text(number, body):
        head(number, fields=[("content-length", str(len(body)))])
        server.send_data(number, body, end_stream=True)

    def begin(number, stream):
        match stream.path:
            case "download":
                head(number, fields=[("content-length", str(stream.number("size")))])
                stream.left = stream.number("size")
            case "echo":
                head(number)
            case "head":
                head(number, fields=[("x-large", "x" * stream.number("size"))], end=True)
            case "status":
                head(number, stream.number("code"), end=True)
            case "reset":
                head(number)
                stream.left, stream.end = stream.number("after"), False
            case "early":
                text(number, b"early\n")
                server.reset_stream(number, h2.errors.ErrorCodes.NO_ERROR)
            case "hints":
                server.send_headers(number, [(":status", "103"), ("link", "</a.css>; rel=preload")])

    def complete(number, stream):
        match stream.path:
            case "upload":
                text(number, json.dumps({"length": stream.length, "sha256": stream.digest.hexdigest(), "trailers": stream.trailers}).encode())
            case "trailers":
                head(number)
                server.send_data(number, b"body\n")
                server.send_headers(number, [("x-sum", "abc"), ("x-other", "1")], end_stream=True)
            case "echo":
                server.end_stream(number)
            case "info" | "hints":
                text(number, json.dumps({"fields": stream.fields, "port": port}).encode())
            case "sent" | "resets":
                text(number, b"%d" % STATE[stream.path])

    def push():
        for number, stream in list(streams.items()):
            while stream.left:
                room = min(server.local_flow_control_window(number), server.max_outbound_frame_size, stream.left)
                if room <= 0:
                    break
                stream.left -= room
                STATE["sent"] += room
                server.send_data(number, b"x" * room, end_stream=stream.left == 0 and stream.end)
            if stream.left == 0 and not stream.end:
                server.reset_stream(number, h2.errors.ErrorCodes.INTERNAL_ERROR)
                del streams[number]

    with connection:
        while True:
            push()
            connection.sendall(server.data_to_send())
            data = connection.recv(1 << 16)
            if not data:
                return
            for event in server.receive_data(data):
                number = getattr(event, "stream_id", None)
                stream = streams.get(number)
                match event:
                    case h2.events.RequestReceived():
                        streams[number] = Stream(event.headers)
                        begin(number, streams[number])
                    case h2.events.DataReceived() if stream:
                        stream.length += len(event.data)
                        stream.digest.update(event.data)
                        if stream.path == "echo":
                            server.send_data(number, event.data)
                        server.acknowledge_received_data(event.flow_controlled_length, number)
                    case h2.events.TrailersReceived() if stream:
                        stream.trailers = [name.decode() for name, _ in event.headers]
                    case h2.events.StreamEnded() if stream:
                        complete(number, stream)
                    case h2.events.StreamReset():
                        STATE["resets"] += event.remote_reset
                        streams.pop(number, None)
                    case h2.events.ConnectionTerminated():
                        return


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))

    def run(connection, port):
        try:
            serve(connection, port)
        except (OSError, h2.exceptions.ProtocolError) as error:
            print(error, flush=True)

    while True:
        connection, address = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=run, args=(connection, address[1]), daemon=True).start()


main()
