"""Requests over TLS and HTTP/2: which cases go that way, and how their answers become the text that those of HTTP/1 are.

The certificates in `tls/` are fixed and valid for a century, so that what a server says of them can be recorded.
"""

import contextlib
import re
import socket
import ssl
import time

from .corpus import HERE, Case

CERTIFICATES = HERE / "tls"
PATIENCE = 5.0  # seconds until an answer counts as not coming


def wanted(case: Case) -> bool:
    """Whether a case goes over TLS, HTTP/2 or both."""
    return bool(case.options & {"tls", "h2", "h2c"})


def option(case: Case, name: str, default: str | None = None) -> str | None:
    """The argument of an option."""
    found = [one.partition(" ")[2] for one in case.options if one.partition(" ")[0] == name]
    return found[0] if found else default


def context(case: Case) -> ssl.SSLContext:
    """A client that takes every certificate; TLS 1.2 with a cipher and a group that both sides have."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    if "tls13" in case.options:
        own.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        own.maximum_version = ssl.TLSVersion.TLSv1_2
        own.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    own.set_ecdh_curve("prime256v1")
    shown = option(case, "certificate")
    if shown:
        own.load_cert_chain(str(CERTIFICATES / f"{shown}.pem"))
    own.set_alpn_protocols(["h2"] if "h2" in case.options else ["http/1.1"])
    return own


def exchange(case: Case, steps: list[bytes | float], port: int, patience: float) -> tuple[bytes, bool]:
    """Send a case; return what came, and whether the server closed. `patience`: seconds of silence."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if "h2c" not in case.options:
            name = option(case, "sni", "localhost")
            try:
                client = stack.enter_context(context(case).wrap_socket(client, server_hostname=None if name == "none" else name))
            except ssl.SSLError as error:
                reason = (error.reason or "").lower().replace("_", " ")
                return f"(no handshake: {reason.removeprefix('sslv3 ').removeprefix('tlsv1 ')})".encode(), True
        client.settimeout(patience)
        if case.options & {"h2", "h2c"}:
            return Http2(client, case).ask(b"".join(step for step in steps if isinstance(step, bytes))), True
        return plain(client, steps)


def plain(client: socket.socket, steps: list[bytes | float]) -> tuple[bytes, bool]:
    data = b""
    with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):
        for step in steps:
            if isinstance(step, bytes):
                client.sendall(step)
            else:
                time.sleep(step)
    while True:
        try:
            piece = client.recv(65536)
        except TimeoutError:
            return data, False
        except (ConnectionError, ssl.SSLError):
            return data, True
        if not piece:
            return data, True
        data += piece


class Http2:
    """One request on a connection."""

    def __init__(self, client: socket.socket, case: Case) -> None:
        import h2.config
        import h2.connection

        self.client, self.case = client, case
        # What a case sends is sent as it stands.
        config = h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.answer = b""
        self.over = ""

    def fields(self, head: bytes) -> list[tuple[bytes, bytes]]:
        """The head of HTTP/1 as one of HTTP/2: Host is the authority, unless the case says another one."""
        first, *lines = head.split(b"\r\n")
        method, target, _ = re.fullmatch(rb"(\S+) (.*) (HTTP/\S+)", first).groups()
        pairs = [line.partition(b":")[::2] for line in lines]
        fields = [(name.lower(), value.strip(b" \t")) for name, value in pairs if name.lower() not in (b"connection", b"transfer-encoding")]
        authority = option(self.case, "authority")
        if authority is None:
            authority = next((value for name, value in fields if name == b"host"), None)
            fields = [field for field in fields if field[0] != b"host"]
        elif authority in ("none", "empty"):
            authority = None if authority == "none" else ""
        scheme = b"http" if "h2c" in self.case.options else b"https"
        pseudo = [(b":method", method), (b":scheme", scheme), (b":path", target)]
        if authority is not None:
            pseudo.insert(2, (b":authority", authority.encode() if isinstance(authority, str) else authority))
        return [*pseudo, *fields]

    def ask(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        self.h2.initiate_connection()
        self.h2.send_headers(1, self.fields(head), end_stream=not body)
        try:
            self.client.sendall(self.h2.data_to_send())
            while body and not self.over:
                room = min(self.h2.local_flow_control_window(1), self.h2.max_outbound_frame_size)
                if room:
                    piece, body = body[:room], body[room:]
                    self.h2.send_data(1, piece, end_stream=not body)
                    self.client.sendall(self.h2.data_to_send())
                else:
                    self.receive()
            while not self.over:
                self.receive()
        except (TimeoutError, ConnectionError, ssl.SSLError) as error:
            self.over = f"({type(error).__name__})"
        return self.answer + (b"" if self.over == "end" else self.over.encode())

    def receive(self) -> None:
        import h2.events
        import h2.exceptions

        data = self.client.recv(65536)
        if not data:
            self.over = "(closed)"
            return
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.over = f"({error})"
            return
        for event in events:
            match event:
                case h2.events.ResponseReceived() | h2.events.InformationalResponseReceived():
                    (_, status), *fields = event.headers
                    lines = [b"HTTP/2.0 " + status + b" ", *(name + b": " + value for name, value in fields)]
                    self.answer += b"\r\n".join(lines) + b"\r\n\r\n"
                case h2.events.DataReceived():
                    self.answer += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
                case h2.events.StreamEnded():
                    self.over = "end"
                case h2.events.StreamReset():
                    self.over = self.over or f"(reset {int(event.error_code)})"
                case h2.events.ConnectionTerminated():
                    self.over = self.over or f"(goaway {int(event.error_code)})"
        self.client.sendall(self.h2.data_to_send())
