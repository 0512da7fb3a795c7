"""The corpus: which configurations there are, their requests, the recorded answers. The formats are in README.md."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE / "cases"  # recorded from the real nginx
NEWER = HERE / "newer"  # written by hand: what nginx does since 1.22
OPTIONS = {"open", "half-close", "daily", "absolute", "digits", "uid", "root", "port2", "retry-after",
           "tls", "tls13", "h2", "h2c", "sni", "certificate", "authority"}
HEADING = "== "


@dataclass
class Case:
    title: str
    steps: list[bytes | float] = field(default_factory=list)  # what to send; a number: seconds to wait
    options: set[str] = field(default_factory=set)

    @property
    def methods(self) -> list[str]:
        """The method of each request that is sent: the answer to a HEAD has no body."""
        sent = b"".join(step for step in self.steps if isinstance(step, bytes))
        return [found.decode() for found in re.findall(rb"(?:^|\n)([A-Z]+) [^\r\n]*HTTP/", sent)]


@dataclass(frozen=True)
class Corpus:
    """One configuration with its requests."""

    config: Path

    @property
    def name(self) -> str:
        return self.config.relative_to(HERE).with_suffix("").as_posix()

    @property
    def recorded(self) -> bool:
        return CASES in self.config.parents

    @property
    def answers(self) -> Path:
        return self.config.with_suffix(".nginx" if self.recorded else ".expected")

    @property
    def backend(self) -> Path:
        return self.config.with_suffix(".backend")

    @property
    def passes_on(self) -> bool:
        """Whether it wants servers to pass requests on to."""
        return "{backend" in self.config.read_text(encoding="utf-8")

    def cases(self) -> list[Case]:
        return list(parse(self.config.with_suffix(".requests")))


def corpora() -> list[Corpus]:
    return [Corpus(path) for folder in (CASES, NEWER) for path in sorted(folder.rglob("*.conf"))]


def parse(path: Path) -> Iterator[Case]:
    """The cases of a `.requests` file."""
    titles: set[str] = set()
    for title, lines in blocks(path.read_text(encoding="utf-8")):
        lines = [line for line in lines if line and not line.startswith("#")]
        assert title not in titles, f"{path}: two cases are called {title!r}"
        titles.add(title)
        case = Case(title)
        plain: list[str] = []
        for line in lines:
            if line.startswith("! pause "):
                flush(case, plain)
                case.steps.append(float(line.split()[2]))
            elif line.startswith("! "):
                option = line[2:].strip()
                assert option.partition(" ")[0] in OPTIONS, f"{path}: {title}: there is no option {option!r}"
                case.options.add(option)
            elif line.startswith("|"):
                assert not plain, f"{path}: {title}: a raw request or a short one, not both"
                add(case, unescape(line[1:]))
            else:
                plain.append(line)
        flush(case, plain)
        assert case.steps, f"{path}: {title}: nothing to send"
        yield case


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) for each `== title`. What stands before the first one is a comment."""
    title, lines = None, []
    for line in text.split("\n"):
        if line.startswith(HEADING):
            if title is not None:
                yield title, lines
            title, lines = line[len(HEADING):], []
        else:
            lines.append(line)
    if title is not None:
        yield title, lines


def read_answers(path: Path) -> dict[str, str]:
    return {title: "\n".join(lines).strip("\n") for title, lines in blocks(path.read_text(encoding="utf-8"))}


def write_answers(path: Path, answers: dict[str, str]) -> None:
    text = "\n\n".join(f"{HEADING}{title}\n{answer}" for title, answer in answers.items())
    path.write_text(text + "\n", encoding="utf-8")


def add(case: Case, data: bytes) -> None:
    """Send `data` in one piece with what stands before it."""
    if case.steps and isinstance(case.steps[-1], bytes):
        case.steps[-1] += data
    else:
        case.steps.append(data)


def flush(case: Case, plain: list[str]) -> None:
    """Turn the lines of a short request into bytes: Host and Connection are added unless they are there."""
    if not plain:
        return
    first, *rest = plain
    if not re.search(r" HTTP/\S*$", first):
        first += " HTTP/1.1"
    removed = {line[1:].strip().lower() for line in rest if line.startswith("-")}
    bodies = [unescape(line[2:]) for line in rest if line.startswith("< ")]
    fields = [line for line in rest if not line.startswith(("-", "< "))]
    given = {line.partition(":")[0].strip().lower() for line in fields} | removed
    defaults = [("host", "Host: localhost"), ("connection", "Connection: close")]
    head = [first, *(text for name, text in defaults if name not in given), *fields]
    body = b"".join(bodies)
    if bodies and not given & {"content-length", "transfer-encoding"}:
        head.append(f"Content-Length: {len(body)}")
    add(case, b"\r\n".join(map(unescape, head)) + b"\r\n\r\n" + body)
    plain.clear()


def unescape(text: str) -> bytes:
    r"""`\r`, `\n`, `\t`, `\0`, `\\`, `\xHH` and repetitions, `{text*COUNT}`; all else as UTF-8."""
    text = re.sub(r"\{([^{}]+)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)
    simple = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}

    def piece(part: str) -> bytes:
        if part.startswith("\\x") and len(part) == 4:
            return bytes.fromhex(part[2:])
        if part.startswith("\\") and part[1:] in simple:
            return simple[part[1:]]
        return part.encode()

    return b"".join(piece(part) for part in re.split(r"(\\x[0-9a-fA-F]{2}|\\[rnt0\\])", text))
