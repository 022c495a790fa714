"""What a service must refuse, in families, each row with the code that it must be refused with.

Codes below 600 are answers over HTTP; from 1000 on those of a WebSocket's close frame. ``CONTROL`` rows are refused by an
``error`` frame, and the stream stays open.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

from serve.settings import STREAM_PATH

TOKEN: Final = "correct-horse-battery-staple"
HOST: Final = "127.0.0.1"
LISTED_HOST: Final = "desk.example"
LISTED_ORIGIN: Final = "https://listed.example"
CONTROL: Final = 0  # refused, and the stream goes on
BEARER: Final = f"Authorization: Bearer {TOKEN}"

RUNS: Final = "/v1/experiments/runs"
RUN: Final = f"{RUNS}/0123456789abcdef/curve"
GUARDED: Final = (RUNS, f"{RUNS}.arrow", RUN, "/v1/sessions", "/v1/model/champion", "/v1/model/record/1", "/v1/model/at")
ROUTES: Final = ("/health", *GUARDED, STREAM_PATH, "/")


def words(text: str) -> list[str]:
    return text.split()


class Row(NamedTuple):
    """One request: its bytes, and what it must come to."""

    name: str
    sent: bytes
    code: int
    frames: bytes = b""  # sent once the WebSocket is open


def request(
    target: str | bytes, *headers: str | bytes, method: str = "GET", host: str | None = HOST, version: str = "HTTP/1.1"
) -> bytes:
    """A request's bytes; the connection ends with its answer."""
    lines = [f"{method} ".encode() + _bytes(target) + f" {version}".encode()]
    lines += [] if host is None else [f"Host: {host}".encode("latin-1")]
    return b"\r\n".join([*lines, *map(_bytes, headers), b"Connection: close", b"", b""])


def handshake(target: str | bytes, *headers: str | bytes, host: str | None = HOST, upgrade: bool = True) -> bytes:
    """A WebSocket's first words."""
    lines = [b"GET " + _bytes(target) + b" HTTP/1.1", *([] if host is None else [f"Host: {host}".encode("latin-1")])]
    own = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    return b"\r\n".join([*lines, *((*own, key) if upgrade else ()), *map(_bytes, headers), b"", b""])


def frame(opcode: int, payload: bytes, *, first: int = 0x80, masked: bool = True) -> bytes:
    """A client's frame under the mask 0; RFC 6455, section 5.2."""
    n, bit = len(payload), 0x80 if masked else 0
    length = (
        bytes([bit | n])
        if n < 126
        else bytes([bit | 126]) + n.to_bytes(2, "big")
        if n < 1 << 16
        else bytes([bit | 127]) + n.to_bytes(8, "big")
    )
    return bytes([first | opcode]) + length + (bytes(4) if masked else b"") + payload


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def paths() -> Iterator[Row]:
    """Names of nothing, ways out of the folder, and what scanners ask for."""
    nothing = words(
        r"/nothing /nothing.js /assets /assets/ /assets/none-12345678.js /index.html/ /index.html/x /health/ /health/x "
        r"/healthz //health /HEALTH /v1 /v1/ /v1/model /v1/model/champion/ /v1/model/champion/x /v1/model/record "
        r"/v1/model/record/ /v1/sessions/ /v2/sessions /v1/experiments /v1/experiments/runs/ /v1/experiments/runs/x "
        r"/v1/experiments/runs.json /v1/experiments/runs.arrow/ /v1/experiments/runs//curve /v1/experiments/runs/x/y/curve "
        r"/v1/vacuum-pressure /v1/vacuum-pressure/stream/ /metrics /docs /openapi.json /-/routes /-/healthz "
        r"/api/serve/applications/ /favicon.ico /robots.txt /.env /.git/config /.well-known/security.txt /wp-login.php "
        r"/admin /cgi-bin/test.cgi /server-status /index.php?x=1 /~root /%7Eroot /assets/.hidden "
    )
    yield from (Row(f"path {path}", request(path), 404) for path in nothing)
    out = words(
        r"/../secret /%2e%2e/secret /%2E%2E/secret /..%2fsecret /%2e%2e%2fsecret /..%5csecret /..\secret "
        r"/assets/../../secret /assets/%2e%2e/%2e%2e/secret /assets/..;/secret /./secret /%2e/secret /....//secret "
        r"/%252e%252e/secret /%c0%ae%c0%ae/secret /etc/passwd //etc/passwd /%2fetc%2fpasswd /assets//../secret /secret%00 "
        r"/%00 /secret%00.html /assets/%0d%0aSet-Cookie:x /%0a /%ff /%ed%a0%80 /%F0%9F%92%A9 /link /file:///etc/passwd "
        r"/C:%5Cboot.ini /%5c%5chost%5cshare /CON /a%20b /%09 "
    )
    yield from (Row(f"way out {path}", request(path), 404) for path in out)
    yield from (Row(f"record {text}", request(f"/v1/model/record/{text}", BEARER), 404) for text in RECORDS)
    yield from (Row(f"run {text}", request(f"{RUNS}/{text}/curve", BEARER), 404) for text in RUN_IDS)


RECORDS: Final = (
    "0",
    "-1",
    "1",
    "2",
    "999999999",
    "1" * 30,
    "x",
    "1.0",
    "1e0",
    "%31%32",
    "%2e%2e",
    "%D9%A1",
    "0x1",
    "+1",
    "1%20",
    "%00",
)
RUN_IDS: Final = words(
    r"0123456789abcdeF 0123456789abcde 0123456789abcdef0 ................ --threshold=0.1 --help -h %2d%2dlake=x "
    r"0123456789abcdeg %2e%2e%2f%2e%2e%2fsecret ; $(id) `id` %27 %22 0123456789abcd%00f "
)


def methods() -> Iterator[Row]:
    """Methods that nothing here answers, and words that are none."""
    for path in ROUTES:
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            yield Row(f"{method} {path}", request(path, BEARER, "Content-Length: 0", method=method), 405)
    yield from (
        Row(f"method {word!r}", request("/health", method=word), 400)
        for word in ("FOO", "get", "G\x00T", "GET\t", "", "<script>")
    )
    yield Row("POST of nothing", request("/nothing", method="POST"), 404)
    yield Row("not an upgrade", request(STREAM_PATH, BEARER), 426)
    yield Row("HEAD of nothing", request("/nothing", method="HEAD"), 404)


FOREIGN: Final = words(
    r"evil.example evil.example:8002 127.0.0.1.evil.example localhost.evil.example desk.example.evil.example "
    r"evildesk.example desk.example.evil 127.0.0.1.nip.io 10.0.0.1 192.0.2.7:8002 [2001:db8::1] [::2]:8002 0.0.0.0 0 "
    r"2130706433 0x7f.1 127.1 127.0.0.2 [::ffff:127.0.0.1] [0:0:0:0:0:0:0:1] local LOCALHOST.EVIL 127.0.0.1.. "
    r"xn--localhost-9d0h _ a.b.c.d.e "
)
NO_HOST: Final = (
    "evil.example\\@127.0.0.1",
    "127.0.0.1\\.evil.example",
    "127.0.0.1@evil.example",
    "user@127.0.0.1",
    "user:pass@127.0.0.1:8002",
    "127.0.0.1:8002@evil.example",
    "127.0.0.1 evil.example",
    "127.0.0.1, evil.example",
    "127.0.0.1,127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:port",
    "127.0.0.1:-1",
    "127.0.0.1:999999",
    "127.0.0.1:80:80",
    "[::1].evil.example",
    "[::1]evil",
    "[::1",
    "::1]",
    "::1",
    "[::1%25lo]",
    "[]",
    "[gggg::1]",
    "http://127.0.0.1",
    "//127.0.0.1",
    "127.0.0.1/",
    "127.0.0.1/evil",
    "127.0.0.1?x",
    "127.0.0.1#x",
    "%31%32%37.0.0.1",
    "127.0.0.1%00",
    "\x80127.0.0.1",
    "l\xf6calhost",
    ".localhost",
    "-localhost",
    "*",
    "'127.0.0.1'",
    '"localhost"',
    "<script>",
    "",
    " ",
    "a" * 300,
)


def hosts() -> Iterator[Row]:
    """Names that the service does not go by, and what is no name."""
    for i, host in enumerate(FOREIGN):
        for path in ("/health", "/", RUNS)[i % 3 : i % 3 + 1]:
            yield Row(f"Host {host} of {path}", request(path, BEARER, host=host), 421)
    yield from (Row(f"Host {host!r}", request("/health", host=host), 400) for host in NO_HOST)
    yield Row("no Host", request("/health", host=None), 400)
    yield Row("two Hosts", request("/health", f"Host: {HOST}"), 400)
    yield Row("a second, foreign Host", request("/health", "Host: evil.example"), 400)
    yield Row("HTTP/1.0 without a Host", request("/health", host=None, version="HTTP/1.0"), 400)
    for host in ("evil.example", "127.0.0.1.evil.example", "[::2]", "10.0.0.1"):
        yield Row(f"stream of Host {host}", handshake(STREAM_PATH, BEARER, host=host), 421)
    for host in ("127.0.0.1\\.evil", "[::1].evil", "a@127.0.0.1", "127.0.0.1:x"):
        yield Row(f"stream of Host {host}", handshake(STREAM_PATH, BEARER, host=host), 400)


def tokens() -> Iterator[Row]:
    """Tokens that are nearly right, or stand where none is read."""
    t = TOKEN
    headers = {
        "none": (),
        "empty": ("Authorization:",),
        "Bearer alone": ("Authorization: Bearer",),
        "Bearer of spaces": ("Authorization: Bearer    ",),
        "bare": (f"Authorization: {t}",),
        "Basic": (f"Authorization: Basic {t}",),
        "Token": (f"Authorization: Token {t}",),
        "longer": (f"Authorization: Bearer {t}x",),
        "shorter": (f"Authorization: Bearer {t[:-1]}",),
        "upper": (f"Authorization: Bearer {t.upper()}",),
        "last letter": (f"Authorization: Bearer {t[:-1]}x",),
        "first letter": (f"Authorization: Bearer x{t[1:]}",),
        "twice in one": (f"Authorization: Bearer {t} {t}",),
        "with a comma": (f"Authorization: Bearer {t},{t}",),
        "quoted": (f'Authorization: Bearer "{t}"',),
        "wrong before right": ("Authorization: Bearer wrong", BEARER),
        "not ASCII": ("Authorization: Bearer \xfc\xfc\xfc",),
        "X-Token": (f"X-Token: {t}",),
        "cookie": (f"Cookie: token={t}",),
        "long": ("Authorization: Bearer " + "x" * 4000,),
    }
    queries = {
        "empty": "token=",
        "shorter": f"token={t[:-1]}",
        "other name": f"Token={t}",
        "encoded wrongly": f"token={t}%20",
        "NUL behind": f"token={t}%00",
        "not UTF-8": "token=%ff",
        "array": f"token[]={t}",
        "wrong behind right": f"token={t}&token=wrong",
    }
    for i, path in enumerate(GUARDED):
        for name, given in list(headers.items())[i % 2 :: 2]:
            yield Row(f"token {name} of {path}", request(path, *given), 401)
        for name, query in list(queries.items())[i % 2 :: 2]:
            yield Row(f"query token {name} of {path}", request(f"{path}?{query}"), 401)
    for name, given in headers.items():
        yield Row(f"stream token {name}", handshake(STREAM_PATH, *given), 1008)
    for name, query in queries.items():
        yield Row(f"stream query token {name}", handshake(f"{STREAM_PATH}?{query}"), 1008)


def queries() -> Iterator[Row]:
    """Values that the API refuses."""
    numbers = ("0", "-1", "x", "1.5", "1e3", "", "+5", "0x10", "%20", "5%00", "%D9%A5", "9" * 13, "NaN", "[1]")
    yield from (Row(f"min_signals={text}", request(f"{RUNS}?min_signals={text}", BEARER), 400) for text in numbers)
    for name in ("limit", "offset"):
        for text in numbers[1:]:
            yield Row(f"{name}={text}", request(f"{RUNS}?{name}={text}", BEARER), 400)
    for name in ("best", "all"):
        for text in ("2", "true", "", "-0", "01x"):
            yield Row(f"{name}={text}", request(f"{RUNS}?{name}={text}", BEARER), 400)
    for name in ("dataset", "signal", "sweep"):
        for text in ("", "../../x", "%2e%2e%2fx", "a%00b", "a%0ab", "x" * 201):
            yield Row(f"{name}={text[:20]}", request(f"{RUNS}?{name}={text}", BEARER), 400)
    for path in GUARDED[:3]:
        for query in ("nope=1", "min_signals=1&min_signals=1", "__proto__=1", "=1", "%00=1", "x[]=1", "Best=1"):
            code = 400
            yield Row(f"{query} of {path}", request(f"{path}?{query}", BEARER), code)
    for path in ("/v1/sessions", "/v1/model/champion"):
        yield from (
            Row(f"{query} of {path}", request(f"{path}?{query}", BEARER), 400) for query in ("x=1", "limit=1", "=", "%ff=1")
        )
    for text in ("", "x", "yesterday", "2026-13-01", "2026-02-30", "1e9", "-1", "9" * 41, "%00", "2026-02-06T25:00", "٣"):
        yield Row(f"at ts={text[:20]}", request(f"/v1/model/at?ts={quote(text, safe='%:')}", BEARER), 400)
    for query in ("ts=2026-02-06&symbol=nope", "ts=1&ts=2", "when=2026-02-06", "ts=2026-02-06&symbol=../x"):
        yield Row(f"at {query}", request(f"/v1/model/at?{query}", BEARER), 400)
    for text in ("x", "nan", "inf", "-inf", "1e999", "0x1", "1_0", "", "%20", "1%2C2", "--help", "1" * 41):
        yield Row(f"threshold={text}", request(f"{RUN}?threshold={text}", BEARER), 400)


def wire() -> Iterator[Row]:
    """Lines and sizes that no request may have."""
    yield Row("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400)
    yield Row("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400)
    yield Row("nothing of the kind", b"\x00\x01\x02\x03\r\n\r\n", 400)
    yield Row("SSH", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 400)
    yield Row("no version", b"GET /health\r\nHost: localhost\r\n\r\n", 400)
    for version in ("HTTP/9.9", "HTTP/x", "HTTP/1", "http/1.1", "XTTP/1.1", "HTTP/1.1 x"):
        yield Row(f"version {version}", request("/health", version=version), 400)
    for line in ("no colon", ": no name", "a b: c", "a\x00b: c", "name : c", "(x): 1", "X: a\x00b", "X: a\nb"):
        yield Row(f"header {line!r}", request("/health", line), 400)
    for length in ("-1", "x", "1e3", "0x10", "1, 2", "18446744073709551616", ""):
        yield Row(f"Content-Length {length}", request("/health", f"Content-Length: {length}", method="POST"), 400)
    yield Row("both lengths", request("/health", "Content-Length: 1", "Content-Length: 2", method="POST"), 400)
    yield Row("a bad chunk", request("/health", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n\r\n", 400)
    yield Row("a large body", request("/health", "Content-Length: 10000000", method="POST"), 413)
    for size in (8_200, 9_000, 65_000, 1_000_000):
        yield Row(f"address of {size} bytes", request("/health?x=" + "x" * size), 414)
        yield Row(f"stream's address of {size} bytes", handshake(f"{STREAM_PATH}?x=" + "x" * size), 414)
        yield Row(f"header of {size} bytes", request("/health", "X: " + "x" * size), 431)
        yield Row(f"stream's header of {size} bytes", handshake(STREAM_PATH, "X: " + "x" * size), 431)
    for n in (129, 500, 5_000):
        yield Row(f"{n} headers", request("/health", *(f"X{i}: 1" for i in range(n))), 431)
        yield Row(f"{n} headers of a stream", handshake(STREAM_PATH, *(f"X{i}: 1" for i in range(n))), 431)
    yield Row("30 headers of 1 kB", request("/health", *(f"X{i}: {'x' * 1000}" for i in range(30))), 431)
    for letters in ("/é", "/\xff\xfe", f"{STREAM_PATH}?x=é"):
        yield Row(f"address {letters!r}", request(letters.encode()), 400)
