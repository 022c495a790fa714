"""What a stream must refuse: origins, queries, handshakes and frames; and all families of rows together."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from serve.query import PERM_FIELDS, SWITCHES
from serve.settings import STREAM_PATH
from tests.test_serve.malformed import (
    BEARER,
    CONTROL,
    LISTED_ORIGIN,
    Row,
    frame,
    handshake,
    hosts,
    methods,
    paths,
    queries,
    tokens,
    wire,
    words,
)

ORIGINS: Final = words(
    r"http://evil.example https://evil.example http://evil.example:8002 http://127.0.0.1.evil.example "
    r"http://localhost.evil.example http://[::1].evil.example http://[::1]evil http://127.0.0.1\@evil.example "
    r"http://127.0.0.1\.evil.example http:\\127.0.0.1 http://evil.example\127.0.0.1 http://127.0.0.1@evil.example "
    r"http://user@127.0.0.1 http://127.0.0.1:port http://127.0.0.1:999999 http://127.0.0.1/ http://127.0.0.1/x "
    r"http://127.0.0.1?x http://127.0.0.1#x //127.0.0.1 127.0.0.1 http:127.0.0.1 http:// null NULL file:// "
    r"file:///etc/passwd chrome-extension://abcdef data:text/html,x javascript:alert(1) ftp://127.0.0.1 ws://127.0.0.1 "
    r"http://127.1 http://2130706433 http://[::ffff:127.0.0.1] http://0.0.0.0 https://listed.example.evil "
    r"https://listed.example:8443 http://listed.example https://listed.example/ https://LISTED.example.evil "
    r"https://x.listed.example https://listed.example\.evil http://127.0.0.1%00 http://127.0.0.1,http://evil.example "
    r"HTTP://evil.example "
)


def origins() -> Iterator[Row]:
    """Pages from elsewhere, and what only looks like an origin of this machine."""
    yield from (Row(f"Origin {origin}", handshake(STREAM_PATH, BEARER, f"Origin: {origin}"), 403) for origin in ORIGINS)
    yield Row("two Origins", handshake(STREAM_PATH, BEARER, f"Origin: {LISTED_ORIGIN}", "Origin: http://evil.example"), 400)
    yield Row("empty Origin", handshake(STREAM_PATH, BEARER, "Origin:"), 403)


def stream_queries() -> Iterator[Row]:
    """Values that a stream refuses."""
    hostile = ("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "!!python/object/apply:os.system [x]", "{a: &a [*a]}", "x" * 201, "", "1e999")
    for i, name in enumerate(PERM_FIELDS):
        for text in (*hostile[i % 2 :: 2], *(("2", "maybe") if name in SWITCHES else ("true", "0x10", "nan"))):
            yield _asked(name, text)
    refused = {
        "speed": ("-1", "nan", "inf", "x", "10001", "1e999", "", "[[[[", "0x1", "1,5", "1" * 201),
        "dt": (
            "2026-02-30",
            "20260207",
            "yesterday",
            "2026-13-01",
            "0000-00-00",
            "../../etc",
            "2026-02-06T00:00",
            "2031-01-01",
            "%00",
            "9" * 30,
        ),
        "start_time": ("25:00", "09:60", "9", "noon", "-1:00", "09:25:61", "09:25:00.5", "0925", "%00", "09:25Z"),
        "resume_from": ("-1", "x", "1.5", "1e3", "9" * 16, "٣", "0x1", " ", "%00"),
        "symbol": ("ESH4", "mnqh6", "MNQ*", "../MNQH6", "MNQH6%00", "%22"),
        "product_type": ("equity", "FUTURE_MBO", "../x", "%00"),
        "model": ("0", "-1", "01", "best", "1.0", "99", "9" * 10, "CHAMPION", "../1", "%00"),
        "projection_horizons_bins": ("", "0", "1,1", "1,,2", "a", "-1", "1;2", "1.5", "[1]", "nan", ",".join(["1"] * 60)),
    }
    for name, texts in refused.items():
        yield from (_asked(name, text) for text in texts if not (name in ("start_time", "dt") and text == ""))
    for query in (
        "speed=1&speed=1",
        "nope=1",
        "Speed=1",
        "perm_nope=1",
        "__class__=1",
        "=1",
        "%00=1",
        "tau_velocity=1",
        "host=x",
    ):
        yield Row(f"stream ?{query}", handshake(f"{STREAM_PATH}?{query}", BEARER), 1008)
    yield from (
        Row(f"stream at {path}", handshake(path, BEARER), 404)
        for path in ("/", "/nothing", "/v1", f"{STREAM_PATH}/", "/v1/sessionz")
    )
    yield Row("a WebSocket to a page's route", handshake("/health", BEARER), 404)


def _asked(name: str, text: str) -> Row:
    value = text if "%" in text else quote(text, safe=":,")
    return Row(f"stream {name}={text[:40]}", handshake(f"{STREAM_PATH}?{name}={value}", BEARER), 1008)


def handshakes() -> Iterator[Row]:
    """WebSockets that are none."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    parts = {"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key}
    for left_out, code in ((key, 400), ("Sec-WebSocket-Version: 13", 400)):
        lines = sorted(parts - {left_out})
        yield Row(f"handshake without {left_out.partition(':')[0]}", handshake(STREAM_PATH, BEARER, *lines, upgrade=False), code)
    for bad in ("Sec-WebSocket-Key: short", "Sec-WebSocket-Key: !!!!", "Sec-WebSocket-Key:"):
        lines = [*sorted(parts - {key}), bad]
        yield Row(f"handshake {bad}", handshake(STREAM_PATH, BEARER, *lines, upgrade=False), 400)
    for version in ("8", "12", "14", "x", "99999"):
        lines = [*sorted(parts - {"Sec-WebSocket-Version: 13"}), f"Sec-WebSocket-Version: {version}"]
        yield Row(
            f"WebSocket version {version}",
            handshake(STREAM_PATH, BEARER, *lines, upgrade=False),
            400,
        )


def frames() -> Iterator[Row]:
    """Frames that break the protocol, and controls that say nothing."""
    opened = handshake(f"{STREAM_PATH}?speed=1", BEARER)

    def sent(name: str, data: bytes, code: int) -> Row:
        return Row(f"frame: {name}", opened, code, data)

    texts = {
        "deep arrays": "[" * 30_000,
        "deep objects": '{"a":' * 6_000,
        "deep in a type": '{"type":' + "[" * 30_000,
        "no JSON": "pause",
        "nothing": "",
        "null": "null",
        "a number": "1e999",
        "NaN": "NaN",
        "an array": "[1,2]",
        "no type": "{}",
        "a type of a number": '{"type":1}',
        "an unknown type": '{"type":"format c:"}',
        "markup": '{"type":"<img onerror=alert(1)>"}',
        "a long type": '{"type":"' + "x" * 3_000 + '"}',
        "a speed that is none": '{"type":"speed","value":"fast"}',
        "a speed below 0": '{"type":"speed","value":-1}',
        "a seek to nowhere": '{"type":"seek"}',
        "a seek to a clock that is none": '{"type":"seek","start_time":"25:00"}',
        "a step backwards": '{"type":"step","bins":-1}',
        "half an object": '{"type":"pause"',
        "two objects": '{"type":"pause"}{"type":"pause"}',
        "a huge number": '{"type":"step","bins":' + "9" * 4_000 + "}",
        "a NUL": '{"type":"\\u0000"}',
        "a lone surrogate": '{"type":"\\ud800"}',
    }
    yield from (sent(name, frame(1, text.encode()), CONTROL) for name, text in texts.items())
    yield sent("binary", frame(2, b"\x00\x01"), CONTROL)
    yield sent("binary of 60 kB", frame(2, bytes(60_000)), CONTROL)
    yield sent("not UTF-8", frame(1, b"\xff\xfe"), 1007)
    yield sent("too large", frame(1, b"x" * 70_000), 1009)
    yield sent("said to be 100 MB", b"\x81\xff" + (100 << 20).to_bytes(8, "big") + bytes(4) + b"x", 1009)
    yield sent("said to be 2^63", b"\x81\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), 1009)
    yield sent("not masked", frame(1, b"{}", masked=False), 1002)
    for opcode in (3, 7, 11, 15):
        yield sent(f"opcode {opcode}", frame(opcode, b""), 1002)
    for bit in (0x40, 0x20, 0x10):
        yield sent(f"reserved bit {bit:#x}", frame(1, b"{}", first=0x80 | bit), 1002)
    yield sent("a ping in two parts", frame(9, b"x", first=0), 1002)
    yield sent("a long ping", frame(9, b"x" * 126), 1002)
    yield sent("a continuation of nothing", frame(0, b"x"), 1002)
    yield sent("a text within a text", frame(1, b"{", first=0) + frame(1, b"}"), 1002)
    yield sent("a close of one byte", frame(8, b"\x03"), 1002)
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        yield sent(f"close code {code}", frame(8, code.to_bytes(2, "big")), 1002)
    yield sent("a close that is not UTF-8", frame(8, b"\x03\xe8\xff"), 1007)


FAMILIES: Final = (paths, methods, hosts, tokens, origins, queries, stream_queries, wire, handshakes, frames)


def rows() -> list[Row]:
    """All of them."""
    return [row for family in FAMILIES for row in family()]
