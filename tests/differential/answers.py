"""What a server sent, as text that can be compared: what may differ between two runs is replaced, nothing else."""

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

LONG = 20_000  # bytes; of a longer body only the length and a hash are recorded
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
TAIL = re.compile(rb"(<hr><center>)(?:nginx|daemun)((?:/[\w.+-]+)?(?: \([^)]*\))?)(</center>)")


@dataclass
class Answer:
    start: bytes
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[bytes] = field(default_factory=list)
    note: str = ""  # what is wrong with it

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.fields if key.lower() == name), None)


def split(data: bytes, methods: list[str]) -> tuple[list[Answer], bytes]:
    """The answers in `data`, and what is left and is no answer."""
    answers: list[Answer] = []
    methods = list(methods)
    while re.match(rb"HTTP/\d\.\d \d{3}[ \r]", data):
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        start, *lines = head.split(b"\r\n")
        answer = Answer(start)
        for line in lines:
            name, colon, value = line.partition(b": ")
            answer.fields.append((name + colon, value) if colon else (line, b""))
        answer.fields = [(name.removesuffix(b": "), value) for name, value in answer.fields]
        status = int(start.split(b" ")[1])
        method = "" if status < 200 else methods.pop(0) if methods else "GET"
        coding, length = answer.get(b"transfer-encoding"), answer.get(b"content-length")
        if method in ("", "HEAD") or status in (204, 304):
            pass
        elif coding == b"chunked":
            rest = unchunk(answer, rest)
        elif length is not None and length.isdigit():
            answer.body, rest = rest[: int(length)], rest[int(length) :]
            if len(answer.body) < int(length):
                answer.note = f"(the body ends after {len(answer.body)} bytes)"
        else:
            answer.body, rest = rest, b""
        answers.append(answer)
        data = rest
    return answers, data


def unchunk(answer: Answer, data: bytes) -> bytes:
    """Take a chunked body from `data`; return what follows it."""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end or not re.fullmatch(rb"[0-9a-fA-F]+", line):
            answer.note = "(the chunks have no end)"
            return data
        size = int(line, 16)
        if size == 0:
            break
        answer.body += data[:size]
        data = data[size + 2 :]
    while not data.startswith(b"\r\n"):
        line, end, data = data.partition(b"\r\n")
        if not end:
            answer.note = "(the trailers have no end)"
            return data
        answer.trailers.append(line)
    return data[2:]


def text_of(data: bytes, methods: list[str], closed: bool, options: set[str], places: list[tuple[bytes, bytes]]) -> str:
    """The answers to a case as text. `places`: (what a run chose, its name), as the port and the folder."""
    answers, rest = split(data, methods)
    heads = [method == "HEAD" for method in methods]
    lines: list[str] = []
    for answer in answers:
        final = b" 1" not in answer.start[8:10]
        head = heads.pop(0) if heads and final else False
        lines += [*answer_lines(answer, head, options, places), ""]
    if rest:
        lines += ["(no head)", *body_lines(substitute(rest, options, places)), ""]
    elif not answers:
        lines += ["(no answer)"]
    if not closed:
        lines += ["(open)"]
    return "\n".join(lines).strip("\n")


def answer_lines(answer: Answer, head: bool, options: set[str], places: list[tuple[bytes, bytes]]) -> list[str]:
    body = answer.body
    kind = answer.get(b"content-type") or b""
    boundary = re.search(rb"boundary=(\d{20})$", kind)
    if boundary:
        places = [*places, (boundary[1], b"{boundary}")]
    if answer.get(b"content-encoding") == b"gzip" and answer.get(b"content-length") is None and body:
        # It was compressed on the fly: how well is not the question.
        body, answer.note = inflate(body, answer.note)
    status = int(answer.start.split(b" ")[1])
    date = seconds(answer.get(b"date"))
    body = substitute(body, options, places)
    lines = [escape(answer.start)]
    distance = None
    expires = seconds(answer.get(b"expires"))
    if expires is not None and date is not None:
        distance = expires - date
    for name, raw in answer.fields:
        value = escape(substitute(raw, options, places))
        lower = name.lower()
        if lower == b"retry-after" and "retry-after" in options:
            continue
        if lower == b"date" and DATE.fullmatch(raw.decode("latin-1")):
            value = "(now)"
        elif lower == b"server":
            value = re.sub(r"^(nginx|daemun)(/.*)?$", lambda found: "SERVER/VERSION" if found[2] else "SERVER", value)
        elif lower == b"content-length" and raw == str(len(answer.body)).encode():
            value = str(len(body))
        elif lower == b"content-length" and head and status >= 300 and kind == b"text/html":
            value = "(the page)"  # it has the name of the server in it
        elif lower == b"expires" and distance is not None and "absolute" not in options:
            value = value[17:] if "daily" in options and 0 <= distance <= 86400 else f"(now {distance:+d} s)"
        elif lower == b"cache-control" and options & {"daily", "absolute"} and value == f"max-age={distance}":
            value = "max-age=(the same)"
        lines.append(f"{escape(name)}: {value}".rstrip())
    lines += body_lines(body)
    lines += [f"+{escape(substitute(line, options, places))}" for line in answer.trailers]
    return [*lines, answer.note] if answer.note else lines


def inflate(body: bytes, note: str) -> tuple[bytes, str]:
    """What a gzip body stands for, and what is wrong with it."""
    reader = zlib.decompressobj(31)
    try:
        text = reader.decompress(body)
    except zlib.error as error:
        return body, f"{note}({error})"
    wrong = "" if reader.eof and not reader.unused_data else "(the gzip body is not complete, or something follows it)"
    return text, note + wrong


def substitute(data: bytes, options: set[str], places: list[tuple[bytes, bytes]]) -> bytes:
    data = TAIL.sub(lambda found: found[1] + (b"SERVER/VERSION" if found[2] else b"SERVER") + found[3], data)
    for value, name in places:
        data = data.replace(value, name)
    if "digits" in options:
        data = re.sub(rb"\d+", b"N", data)
    if "uid" in options:
        data = re.sub(rb"\b(uid|me)=[A-Za-z0-9+/]{22}(==|(?=[A-Za-z0-9]=))", rb"\1={uid}", data)
        if "absolute" not in options:
            data = re.sub(rb"expires=\w{3}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT", b"expires={date}", data)
        data = re.sub(rb"uid=[0-9A-F]{32}", b"uid={UID}", data)
    return data


def seconds(value: bytes | None) -> int | None:
    text = (value or b"").decode("latin-1")
    return int(parsedate_to_datetime(text).timestamp()) if DATE.fullmatch(text) else None


def body_lines(body: bytes) -> list[str]:
    r"""`|text\n` for each line; bytes that are no text in Base64; of a long body the hash."""
    if len(body) > LONG:
        return [f"|({len(body)} bytes, sha256 {hashlib.sha256(body).hexdigest()})"]
    strange = sum(byte < 32 and byte not in b"\t\r\n" for byte in body)
    if strange > 3:
        coded = base64.b64encode(body).decode()
        return [f"|base64 {coded[at : at + 100]}" for at in range(0, len(coded), 100)]
    return ["|" + escape(line) for line in body.splitlines(keepends=True)] if body else []


def escape(data: bytes) -> str:
    """Printable text as it is, all other bytes escaped."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
        return "".join(one if " " <= one <= "~" and one != "\\" else code(one) for one in text)
    return "".join(one if one.isprintable() and one != "\\" else code(one) for one in text)


def code(character: str) -> str:
    simple = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}
    if character in simple:
        return simple[character]
    return "".join(f"\\x{byte:02x}" for byte in character.encode("latin-1" if ord(character) < 256 else "utf-8"))
