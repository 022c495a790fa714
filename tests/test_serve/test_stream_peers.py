"""Who is still there: peers that answer, that read slowly, that are frozen, that take nothing any more."""

import asyncio
import json

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve.wire import Outlet, frame
from tests.test_serve.bin_sockets import QUICK, SMALL, Told, bin_of, floods, run, waits
from tests.test_serve.listening import BINARY, CLOSE, PING, PONG, TEXT, Listening, masked, until


def test_a_client_is_pinged_when_it_says_nothing_and_counted_when_it_does_not_answer() -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            assert await peer.frame() == (PING, b"")
            await until(lambda: at.door.n_silent == 1)
            await peer.say(masked(PONG, b""))
            await until(lambda: at.door.n_silent == 0)
            await until(lambda: at.door.n_silent == 1)
        await until(lambda: at.door.n_silent == 0)
        assert at.door.n_stalled == 0

    run(waits, client, **(QUICK | {"silent_s": 0.2}))


def test_a_client_whose_pings_are_answered_among_the_bins() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        while True:
            for bin_seq in range(8):
                await outlet.send_bin(frame(bin_of(bin_seq)), 0)

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            await peer.say(masked(PING, b"are you there"))
            assert await peer.frame_of(PONG) == b"are you there"

    run(body, client)


def test_a_client_that_never_answers_is_dropped_in_the_end() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        await outlet.send_bin(frame(bin_of(41)), 0)
        await waits(outlet, websocket)

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            await peer.frame_of(BINARY)
            assert json.loads(await peer.frame_of(TEXT)) == {
                "type": "error",
                "code": "stalled",
                "message": "no ping was answered for 0.3 s; connect again with resume_from",
                "resume_from": 42,
            }
            assert await peer.frame() == (CLOSE, (1013).to_bytes(2, "big") + b"no ping was answered for 0.3 s")
        assert at.door.n_stalled == 1

    assert run(body, client, **(QUICK | {"silent_s": 0.2, "lost_s": 0.3})).end == [None]


def test_a_client_that_takes_nothing_is_dropped_and_told_where_to_go_on_should_it_wake() -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL) as peer:
            await until(lambda: bool(told.end))  # who waited to write has learned it
            texts = []
            while (got := await peer.frame())[0] != CLOSE:
                texts += [json.loads(got[1])] if got[0] == TEXT else []
            *headers, error = texts
            assert error["code"] == "stalled"
            assert error["resume_from"] == headers[-1]["bin_seq"] + 1
            assert int.from_bytes(got[1][:2], "big") == 1013

    (end,) = run(floods, client, **(QUICK | {"stall_s": 0.3})).end
    assert isinstance(end, WebSocketDisconnect)


def test_a_client_that_takes_nothing_and_does_not_wake_is_cut() -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL):
            await until(lambda: not at.door.connections)
        assert at.door.n_stalled == 1

    run(floods, client, **(QUICK | {"stall_s": 0.2, "farewell_s": 0.1}))


def test_a_slow_reader_is_no_stalled_one() -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL) as peer:
            loop = asyncio.get_running_loop()
            began, n = loop.time(), 0
            while loop.time() - began < 1.5:  # five times as long as a stalled one is waited for
                await peer.frame_of(BINARY)
                n += 1
                await asyncio.sleep(0.05)
            assert not told.end
            assert at.door.n_stalled == 0

    run(floods, client, **(QUICK | {"stall_s": 0.3}))
