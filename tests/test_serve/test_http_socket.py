"""HTTP on the replica's own listener: what is too long, too many or too slow is answered so, and never waits for ever."""

import asyncio
from typing import Any

import pytest

from serve.door import SocketLimits
from tests.test_serve.listening import Listening, Peer, handshake, listening, until

PATIENT: dict[str, Any] = {"request_s": 30.0, "farewell_s": 30.0}  # a test that waits for one of them fails
HASTY: dict[str, Any] = {"request_s": 0.3, "farewell_s": 0.3}


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        return
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def status_of(peer: Peer) -> int:
    return int((await peer.head()).split(b" ", 2)[1])


def answer_to(request: bytes, **limits: Any) -> tuple[int, bytes]:
    """Status and all that follows until the server ends the connection."""

    async def main() -> tuple[int, bytes]:
        async with listening(hello, **(PATIENT | limits)) as at, at.peer() as peer:
            await peer.say(request)
            return await status_of(peer), await peer.rest()

    return asyncio.run(main())


def get(target: bytes = b"/", headers: bytes = b"", end: bytes = b"Connection: close\r\n") -> bytes:
    """Two headers of its own: Host and Connection."""
    return b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + end + headers + b"\r\n"


def filled(n_bytes: int) -> bytes:
    """A header line whose name and value have so many bytes."""
    return b"X: " + b"v" * (n_bytes - 1) + b"\r\n"


def many(n: int) -> bytes:
    return b"".join(b"X-%d: 1\r\n" % i for i in range(n))


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (200, get(b"/" + b"a" * 7999)),
        (414, get(b"/" + b"a" * 8000)),
        (414, get(b"/?a=" + b"b" * 9000)),
        (414, get(b"/?a=" + b"b" * (8 << 20))),
        (400, get(b"/\xe4")),
        (200, get(headers=filled(8000))),
        (431, get(headers=filled(8001))),
        (431, get(headers=filled(9000))),
        (431, get(headers=filled(8 << 20))),
        (200, get(headers=many(98))),
        (431, get(headers=many(99))),
        (431, get(headers=many(129))),
        (431, get(headers=filled(7000) * 5)),
        (200, get(headers=filled(7000) * 4)),
        (400, b"nonsense\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (200, get(headers=b"Content-Length: 65536\r\n") + bytes(65536)),
        (413, get(headers=b"Content-Length: 65537\r\n")),
        (413, get(headers=b"Content-Length: 99999999999\r\n") + bytes(1 << 20)),
        (400, get(headers=b"Content-Length: many\r\n")),
    ],
)
def test_plain_requests_at_and_past_each_bound(status: int, request_: bytes) -> None:
    assert answer_to(request_)[0] == status


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (101, handshake(b"/?" + b"a" * 7998)),
        (414, handshake(b"/?" + b"a" * 7999)),
        (414, handshake(b"/?a=" + b"b" * (8 << 20))),
        (101, handshake(headers=filled(8000))),
        (431, handshake(headers=filled(8001))),
        (101, handshake(headers=many(95))),
        (431, handshake(headers=many(96))),
        (400, handshake(headers=b"X: \x01\r\n")),
        (405, handshake(method=b"POST")),
        (400, handshake(headers=b"Sec-WebSocket-Key: again\r\n")),
    ],
)
def test_handshakes_at_and_past_each_bound(status: int, request_: bytes) -> None:
    assert answer_to(request_, farewell_s=0.1, watch_s=0.05)[0] == status


def test_a_refusal_says_what_is_allowed_and_ends() -> None:
    status, body = answer_to(get(b"/" + b"a" * 8000))
    assert (status, body) == (414, b"the address has more than 8000 bytes")


def test_a_chunked_body_without_end_is_cut() -> None:
    async def reads_all(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    async def main() -> int:
        async with listening(reads_all, **PATIENT) as at, at.peer() as peer:
            await peer.say(get(headers=b"Transfer-Encoding: chunked\r\n"))
            for _ in range(65):
                await peer.say(b"400\r\n" + bytes(1024) + b"\r\n")
            return await status_of(peer)

    assert asyncio.run(main()) == 413


@pytest.mark.parametrize("begun", [b"G", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"\r\n"])
def test_half_a_request_is_told_so_and_ends(begun: bytes) -> None:
    status, body = answer_to(begun, **HASTY)
    assert (status, body) == (408, b"the request was not complete within 0.3 s")


def test_half_a_body_is_told_so_where_no_answer_has_begun() -> None:
    async def waits(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main() -> int:
        async with listening(waits, **HASTY) as at, at.peer() as peer:
            await peer.say(get(headers=b"Content-Length: 10\r\n") + b"half")
            return await status_of(peer)

    assert asyncio.run(main()) == 408


@pytest.mark.parametrize("asked", [b"", get(end=b"")])
def test_a_socket_that_asks_nothing_more_is_closed_without_a_word(asked: bytes) -> None:
    async def main() -> bytes:
        async with listening(hello, **HASTY) as at, at.peer() as peer:
            await peer.say(asked)
            return await peer.rest()

    assert asyncio.run(main()).count(b"HTTP/1.1") == (1 if asked else 0)


def test_an_answer_before_the_end_of_the_request_leaves_no_socket_behind() -> None:
    async def main() -> bytes:
        async with listening(hello, **HASTY) as at, at.peer() as peer:
            await peer.say(get(end=b"", headers=b"Content-Length: 4\r\n"))
            assert await status_of(peer) == 200
            await peer.say(b"body")  # the request ends after its answer
            return await peer.rest()

    assert asyncio.run(main()) == b"hello"


def test_a_dribble_between_two_requests_does_not_hold_the_socket() -> None:
    async def main() -> bytes:
        async with listening(hello, **HASTY) as at, at.peer() as peer:
            await peer.say(get(end=b"") + b"\r\n")
            return await peer.rest()

    assert b"200 OK" in asyncio.run(main())


def test_too_many_half_requests_push_out_the_oldest_and_nobody_who_asks() -> None:
    async def main() -> None:
        async with listening(hello, **PATIENT, max_half_open=2) as at, at.peer() as first, at.peer() as second:
            await first.say(b"GET /")
            await second.say(b"GET /")
            await until(lambda: len(at.door.half_open) == 2)
            async with at.peer() as third:
                assert await status_of(first) == 408
                await third.say(get())
                assert await status_of(third) == 200
            await second.say(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert await status_of(second) == 200

    asyncio.run(main())


def test_one_connection_too_many_is_told_to_try_later() -> None:
    async def main() -> None:
        async with listening(hello, **PATIENT, max_connections=2) as at, at.peer(), at.peer():
            await until(lambda: len(at.door.half_open) == 2)
            async with at.peer() as third:
                assert await status_of(third) == 503
                assert b"2 connections are open" in await third.rest()

    asyncio.run(main())


def test_three_hundred_connects_at_once_are_all_answered() -> None:
    async def one(at: Listening) -> int:
        async with at.peer() as peer:
            await peer.say(get())
            return await status_of(peer)

    async def main() -> list[int]:
        async with listening(hello, **PATIENT) as at:
            return await asyncio.gather(*(one(at) for _ in range(300)))

    assert asyncio.run(main()) == [200] * 300


def test_a_reader_that_takes_nothing_of_a_long_answer_is_cut_and_a_slow_one_is_not() -> None:
    big = 4 << 20

    async def long(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % big)]})
        await send({"type": "http.response.body", "body": bytes(big)})

    async def main() -> tuple[int, int]:
        async with listening(long, request_s=0.1, farewell_s=0.1, stall_s=0.3) as at, at.peer(16384) as stuck:
            await stuck.say(get(end=b""))
            await until(lambda: len(at.door.half_open) == 1)  # it is answered, and awaited to ask again
            async with at.peer() as prompt:
                await prompt.say(get())
                got = len(await prompt.rest())
            await until(lambda: not at.door.connections)
            return got, big

    got, all_bytes = asyncio.run(main())
    assert got > all_bytes


def test_limits_agree_with_those_of_the_library_behind() -> None:
    """Past its own bounds it answers nothing at all."""
    from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

    limits = SocketLimits()
    assert len("OPTIONS ") + limits.max_url_bytes + len(" HTTP/1.1\r\n") < MAX_LINE_LENGTH
    assert limits.max_header_bytes + len(": \r\n") < MAX_LINE_LENGTH
    assert limits.max_headers < MAX_NUM_HEADERS
