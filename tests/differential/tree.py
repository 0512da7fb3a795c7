"""The files that the configurations of the corpus serve: fixed contents, times, modes and links."""

import base64
import os
import struct
import zlib
from pathlib import Path

TIME = 1577836800  # 2020-01-01 00:00:00 UTC, 5e0be100 in an ETag

# What a configuration may include.
INCLUDED = {
    "types.conf": """\
types {
    text/html html htm shtml;
    text/plain txt;
    text/css css;
    text/xml xml;
    application/javascript js;
    application/json json;
    image/png png;
    image/gif gif;
    image/jpeg jpg jpeg;
    image/svg+xml svg;
    application/gzip gz;
}
""",
    "included/10-first.conf": 'location = /included/first { return 200 "first\\n"; }\nset $order "${order}1";\n',
    "included/20-second.conf": 'location = /included/second { return 200 "second\\n"; }\nset $order "${order}2";\n',
    "included/5-last.conf": 'set $order "${order}5";\n',
    "included/ignored.txt": "this is no configuration\n",
    "included/part": "X-Included yes",
    "included/map": "one ONE;\ntwo TWO;\n",
    "included/geo": "127.0.0.0/8 here;\n",
    # Everybody's password is `secret`, but for those who have none or another one. Made by htpasswd and openssl passwd.
    "passwords": """\
# a comment: it has a colon
plain:{PLAIN}secret
sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
ssha:{SSHA}dxbpMuOXt9qgASRP6lGC8T2JJ6VzYWx0AP8xMg==
apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/
md5:$1$xyz$Qia9Wq6FxQkYcwNWMk/RM0
sha256:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA
sha512:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1
rounds:$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4
bcrypt:$2y$04$ZaYca1exxuJO7r7S9.VAxOKIRqTZSNoLemUVGSibXzz.LzoLUOoKG

comment:{PLAIN}secret:what follows is no part of it
twice:{PLAIN}first
twice:{PLAIN}second
returns:{PLAIN}secret\r
colon:{PLAIN}se
empty:{PLAIN}
:{PLAIN}nobody
no colon
none:
des:abNANd1rDfiNc
unknown:$zz$abc
brokensha:{SHA}abc
last:{PLAIN}secret""",
}


def gzip(data: bytes) -> bytes:
    """A gzip file that does not depend on how well this machine compresses."""
    stored = b"\x01" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + stored + struct.pack("<II", zlib.crc32(data), len(data))


# 20,000 zero bytes in gzip.
ZEROS = "H4sIAAAAAAACA+3BMQEAAADCoPVPbQ0PoAAAAAAAAAAAAAAAAAAAAAAAAAB4MAJTL5cgTgAA"


def page(text: str) -> bytes:
    return f"<html><body>{text}</body></html>\n".encode()


LINES = b"".join(b"line %06d of a longer file\n" % number for number in range(4000))

FILES: dict[str, bytes] = {
    "index.html": page("the index"),
    "hello.txt": b"hello world\n",
    "alphabet.txt": b"abcdefghijklmnopqrstuvwxyz",
    "empty.txt": b"",
    "page.html": page("a page"),
    "fallback.html": page("the fallback"),
    "data.json": b'{"a": 1}\n',
    "style.css": b"body { color: red }\n",
    "script.js": b"alert('hi');\n",
    "image.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01",
    "image.gif": b"GIF89a\x01\0\x01\0\0\0\0;",
    "archive.tar.gz": gzip(b"an archive\n"),
    "noextension": b"no extension\n",
    ".dotfile": b"a dot file\n",
    "UPPER.HTML": page("upper case"),
    "unknown.xyz": b"unknown\n",
    "trailing.": b"a dot at the end\n",
    "big.txt": LINES,
    "medium.txt": LINES[:5000],
    "space in name.txt": b"spaces\n",
    "percent%41.txt": b"percent\n",
    "\u00fcmlaut.txt": b"umlaut\n",
    "plus+plus.txt": b"plus\n",
    "question?mark.txt": b"question\n",
    "old.txt": b"from 1970\n",
    "future.txt": b"from 2100\n",
    "locked.txt": b"nobody may read this\n",
    "run.sh": b"#!/bin/sh\n",
    "pre.txt": b"the plain file\n",
    "pre.txt.gz": gzip(b"the packed file\n"),
    "pre.html": page("plain"),
    "pre.html.gz": gzip(page("packed")),
    "only.txt.gz": gzip(b"only packed\n"),
    "packed/members.txt.gz": gzip(b"one ") + gzip(b"") + gzip(b"two\n"),
    "packed/zeros.txt.gz": base64.b64decode(ZEROS),
    "broken/cut.gz": gzip(b"a text that is cut off\n")[:-6],
    "broken/checksum.gz": gzip(b"a text with a wrong checksum\n")[:-8] + b"\0" * 8,
    "broken/text.gz": b"this is no gzip at all\n",
    "broken/garbage.gz": gzip(b"something follows\n") + b"garbage at the end",
    "broken/empty.gz": b"",
    "dir/index.html": page("the index of dir"),
    "dir/a.txt": b"dir/a\n",
    "dir/other.html": page("another index"),
    "dir/sub/deep.txt": b"deep\n",
    "dir/sub/index.html": page("the index of sub"),
    "noindex/file.txt": b"file\n",
    "emptydir/.keep": b"",
    "random/only.html": page("the only one"),
    "forbidden/index.html": page("nobody sees this"),
    "list/plain.txt": b"plain\n",
    "list/UPPER.txt": b"upper\n",
    "list/a b.txt": b"1",
    "list/a&b.txt": b"22",
    "list/a<b>.txt": b"333",
    "list/quote\".txt": b"4444",
    "list/apostrophe'.txt": b"5",
    "list/per%cent.txt": b"6",
    "list/semi;colon.txt": b"7",
    "list/colon:first.txt": b"8",
    "list/question?.txt": b"9",
    "list/hash#.txt": b"10",
    "list/back\\slash.txt": b"11",
    "list/tab\there.txt": b"12",
    "list/\u00fcml\u00e4ut.txt": b"13",
    "list/\u65e5\u672c\u8a9e.txt": b"14",
    "list/" + "long-" * 12 + "name.txt": b"15",
    "list/" + "\u00e4" * 60 + ".txt": b"16",
    "list/exactly-fifty-characters-long-name-is-this-one.txt": b"17",
    "list/.hidden": b"18",
    "list/empty.txt": b"",
    "list/adir/x": b"",
    "list/Zdir/x": b"",
    "list/" + "d" * 55 + "/x": b"",
    "list/sp ace/x": b"",
    "sizes/b0": b"",
    "sizes/b999": b"a" * 999,
    "errors/404.html": page("our own 404"),
    "errors/50x.html": page("our own 50x"),
    "errors/404.txt": b"404 in words\n",
    "users/alice/home.txt": b"alice's home\n",
    "users/bob/home.txt": b"bob's home\n",
    "add/before.txt": b"BEFORE\n",
    "add/after.txt": b"AFTER\n",
    "add/page.html": page("between"),
    "charset/utf8.txt": "\u041f\u0440\u0438\u0432\u0435\u0442, gr\u00fc\u00df \u20ac\n".encode(),
    "charset/koi8.txt": "\u041f\u0440\u0438\u0432\u0435\u0442\n".encode("koi8-r"),
    "charset/cp1251.txt": "\u041f\u0440\u0438\u0432\u0435\u0442\n".encode("cp1251"),
    "charset/plain.html": page("plain"),
    "sub/page.html": b"<html><head><title>Old</title></head><body>old Old OLD old</body></html>\n",
    "sub/text.txt": b"old Old OLD old\n",
    "sub/long.html": b"x" * 4090 + b"needle" + b"y" * 4090 + b"needle\n",
    "sub/overlap.html": b"aaaa abab ababab needleneedle needlneedle\n",
    "sub/none.html": b"nothing to replace here\n",
    "ssi/echo.shtml": b'[<!--# echo var="arg_x" -->][<!--# echo var="nothing" -->][<!--# echo var="nothing" default="dflt" -->]'
    b'[<!--# echo var="arg_x" encoding="none" -->][<!--# echo var="arg_x" encoding="url" -->]'
    b'[<!--# echo var="arg_x" encoding="entity" -->][<!--#echo var="QUERY_STRING" -->][<!--# echo var="DOCUMENT_URI" -->]\n',
    "ssi/set.shtml": b'<!--# set var="a" value="one" --><!--# set var="b" value="$a two ${a}x" -->[<!--# echo var="a" -->|<!--# echo var="b" -->]\n',
    "ssi/if.shtml": b'<!--# if expr="$arg_x = one" -->ONE<!--# elif expr="$arg_x = /^t(w)o/" -->TWO:<!--# echo var="1" --><!--# elif expr="$arg_x" -->SET'
    b'<!--# else -->ELSE<!--# endif -->|<!--# if expr="$arg_x != one" -->NOT<!--# endif -->|'
    b'<!--# if expr="$arg_x != /o/" -->NO-O<!--# else -->O<!--# endif -->\n',
    "ssi/named.shtml": b'<!--# if expr="$arg_x = /(?P<first>.)(?P<rest>.*)/" -->[<!--# echo var="first" -->|<!--# echo var="rest" -->]<!--# endif -->\n',
    "ssi/include.shtml": b'<<!--# include virtual="/ssi/part.html" -->|<!--# include file="part.html" -->|<!--# include virtual="/ssi/part.shtml?x=sub" -->>\n',
    "ssi/part.html": b"PART",
    "ssi/part.shtml": b'P(<!--# echo var="arg_x" -->)',
    "ssi/wait.shtml": b'<<!--# include virtual="/ssi/part.html" wait="yes" -->|<!--# include virtual="/ssi/part.html" set="inner" --><!--# echo var="inner" -->>\n',
    "ssi/missing.shtml": b'<<!--# include virtual="/ssi/not-there.html" -->>\n',
    "ssi/stub.shtml": b'<!--# block name="one" -->STUB <!--# echo var="arg_x" --><!--# endblock --><<!--# include virtual="/ssi/empty.html" stub="one" -->|<!--# include virtual="/ssi/failing" stub="one" -->>\n',
    "ssi/empty.html": b"",
    "ssi/config.shtml": b'<!--# config timefmt="literal" --><!--# config errmsg="[our error]" -->[<!--# echo var="date_gmt" -->|<!--# echo var="DATE_LOCAL" -->|<!--# nonsense -->|<!--# include -->]\n',
    "ssi/broken.shtml": b'a <!--# echo --> b <!--# unknown x="y" --> c <!-- plain --> d <!--#echo var=arg_x --> e <!--# endif --> f\n',
    "ssi/unclosed.shtml": b'before <!--# echo var="arg_x"',
    "ssi/loop.shtml": b'<<!--# include virtual="/ssi/loop.shtml" -->>',
    "ssi/args.shtml": b'<!--# include virtual="/ssi/show?a=$arg_x&b=2" -->|<!--# include virtual="/ssi/show" -->\n',
    "ssi/page.html": page('<!--# echo var="arg_x" -->'),
    "ssi/text.txt": b'<!--# echo var="arg_x" -->\n',
    "ssi/nested.shtml": b'<!--# if expr="$arg_x" -->A<!--# if expr="$arg_y" -->B<!--# else -->C<!--# endif -->D<!--# else -->E<!--# endif -->\n',
}

SPARSE = {"sizes/k1": 1024, "sizes/k1.5": 1536, "sizes/k9.9": 10188, "sizes/k999": 1023999, "sizes/m1": 1048576,
          "sizes/m1.5": 1572864, "sizes/m20": 20 << 20, "sizes/g2": 2 << 30, "sizes/g1.6": (1 << 30) + (600 << 20)}

LINKS = {
    "links/file": "../hello.txt", "links/dir": "../dir", "links/broken": "nowhere", "links/loop": "loop",
    "links/outside": "../../outside/secret.txt", "links/theirs": "../hello.txt", "links/dir2/file": "../../hello.txt",
    "list/link.txt": "plain.txt", "list/linkdir": "adir", "list/broken": "nowhere",
}


def make_tree(tmp: Path) -> None:
    """Make `tmp`/www and what stands beside it."""
    root = tmp / "www"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    with open(os.fsencode(root / "list") + b"/invalid-\xff.txt", "wb") as file:
        file.write(b"20")
    with open(os.fsencode(root) + b"/byte-\xff.txt", "wb") as file:
        file.write(b"a byte\n")
    for name, size in SPARSE.items():
        with open(root / name, "wb") as file:
            file.truncate(size)
    (root / "emptydir" / ".keep").unlink()
    (tmp / "outside").mkdir()
    (tmp / "outside" / "secret.txt").write_bytes(b"outside\n")
    (root / "links" / "dir2").mkdir(parents=True)
    for name, target in LINKS.items():
        os.symlink(target, root / name)
    if os.geteuid() == 0:
        os.lchown(root / "links" / "theirs", 12345, 12345)
    set_times(tmp)
    special = {"old.txt": 0, "future.txt": 4102444800, "pre.txt.gz": TIME + 3600, "list/plain.txt": TIME - 86400 * 400}
    for name, when in special.items():
        os.utime(root / name, (when, when))
    (root / "run.sh").chmod(0o755)
    (root / "locked.txt").chmod(0)
    (root / "forbidden").chmod(0)


def set_times(top: Path) -> None:
    """Everything gets the same time and modes that do not depend on the umask; folders after what is in them."""
    for folder, folders, files in os.walk(os.fsencode(top), topdown=False):
        for name in [*files, *folders]:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
            os.utime(path, (TIME, TIME), follow_symlinks=False)
