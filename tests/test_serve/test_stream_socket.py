"""A WebSocket on the replica's own listener: what it writes, when it waits, and how it finds out who is gone."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect

from serve.frames import BinFrames
from serve.stream_socket import StreamSocket
from serve.wire import Outlet, frame, outlet_of
from tests.test_serve.listening import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT_S, Listening, listening, masked, until

PATIENT: dict[str, Any] = {"farewell_s": 30.0, "stall_s": 30.0, "silent_s": 60.0, "lost_s": 90.0}  # to wait for them is to fail
QUICK: dict[str, Any] = PATIENT | {"watch_s": 0.02}
SMALL = 4096  # bytes a kernel takes for a client that reads nothing
GRID = bytes(range(256)) * 128  # 32 kB

Body = Callable[[Outlet, WebSocket], Awaitable[None]]


def bin_of(bin_seq: int) -> BinFrames:
    return BinFrames(bin_seq, f'{{"type":"grid_update","bin_seq":{bin_seq}', GRID)


@dataclass
class Told:
    """What the app's side of a stream learned."""

    end: list[BaseException | None] = field(default_factory=list)


def app_of(body: Body, told: Told) -> Starlette:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        outlet = outlet_of(websocket)
        assert isinstance(outlet, StreamSocket)
        try:
            await body(outlet, websocket)
            told.end.append(None)
        except WebSocketDisconnect as gone:
            told.end.append(gone)

    return Starlette(routes=[WebSocketRoute("/", endpoint)])


def run(body: Body, client: Callable[[Listening, Told], Coroutine[Any, Any, None]], **limits: Any) -> Told:
    async def main() -> Told:
        told = Told()
        async with listening(app_of(body, told), **(PATIENT | limits)) as at:
            await client(at, told)
        return told

    return asyncio.run(main())


async def waits(outlet: Outlet, websocket: WebSocket) -> None:
    """A stream with nothing to say."""
    await websocket.receive()


async def floods(outlet: Outlet, websocket: WebSocket) -> None:
    """As fast as the client reads."""
    for bin_seq in range(1 << 20):
        await outlet.send_bin(frame(bin_of(bin_seq)), 0)


# --- what is written ---


def test_frames_leave_in_order_and_a_library_reads_them() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        await outlet.send_text("begin")
        await outlet.send_bin(frame(bin_of(0)), 0)
        await outlet.send_bin(frame(bin_of(4)), 3)
        await outlet.send_text("end")
        await outlet.close(1000, "done")

    async def client(at: Listening, told: Told) -> None:
        async with connect(f"ws://127.0.0.1:{at.port}/", compression=None) as stream:
            heard = [message async for message in stream]
        assert heard == ["begin", bin_of(0).header(0), GRID, bin_of(4).header(3), GRID, "end"]
        assert (stream.close_code, stream.close_reason) == (1000, "done")

    assert run(body, client).end == [None]


def test_a_full_socket_is_offered_in_vain_and_holds_one_bin_at_most() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        n = 0
        while outlet.offer_bin(frame(bin_of(n)), 0):
            n += 1
        assert 0 < outlet.waiting_bytes <= len(frame(bin_of(n)).bytes_on_wire)
        waiting = outlet.waiting_bytes
        assert not outlet.offer_bin(frame(bin_of(n)), 0)
        assert outlet.waiting_bytes == waiting
        await outlet.send_bin(frame(bin_of(n + 9)), 9)  # waits until the client has read
        await outlet.close(1000, "")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL) as peer:
            headers = []
            while (got := await peer.frame())[0] != CLOSE:
                if got[0] == TEXT:
                    headers.append(json.loads(got[1]))
                else:
                    assert got == (BINARY, GRID)
        *before, last = headers
        assert [(one["bin_seq"], one["dropped_bins"]) for one in before] == [(n, 0) for n in range(len(before))]
        assert (last["bin_seq"], last["dropped_bins"]) == (len(before) + 9, 9)

    assert run(body, client).end == [None]


def test_last_words_do_not_wait_for_a_reader_that_is_full() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        while outlet.offer_bin(frame(bin_of(0)), 0):
            pass
        await outlet.send_text("the server is going away")
        await outlet.close(1001, "going away")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL) as peer:
            await until(lambda: bool(told.end))  # before a byte was read
            texts = []
            while (got := await peer.frame())[0] != CLOSE:
                texts += [got[1]] if got[0] == TEXT else []
            assert texts[-1] == b"the server is going away"
            assert got[1] == (1001).to_bytes(2, "big") + b"going away"

    assert run(body, client).end == [None]


def test_texts_too_wait_once_many_do() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        while outlet.offer_bin(frame(bin_of(0)), 0):
            pass
        while True:
            await outlet.send_text("x" * 1000)
            assert outlet.waiting_bytes < 128 << 10

    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL) as peer:
            await peer.frame_of(BINARY)

    (end,) = run(body, client).end
    assert isinstance(end, WebSocketDisconnect)


# --- goodbyes ---


def test_a_client_that_closes_is_answered_with_its_code() -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            await peer.say(masked(CLOSE, (1000).to_bytes(2, "big")))
            assert await peer.frame() == (CLOSE, (1000).to_bytes(2, "big"))
            assert await peer.rest() == b""

    assert run(waits, client).end == [None]


@pytest.mark.parametrize("how", ["half closed", "reset"])
def test_a_client_that_goes_without_a_word_ends_its_stream(how: str) -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            if how == "half closed":
                peer.writer.write_eof()
                while await peer.reader.read(1 << 16):
                    pass
        await until(lambda: bool(told.end))

    (end,) = run(floods, client).end
    assert isinstance(end, WebSocketDisconnect)


def test_nothing_is_written_after_a_close() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        await outlet.close(1000, "")
        for call in (outlet.send_text("x"), outlet.send_bin(frame(bin_of(0)), 0), outlet.close(1000, "")):
            with pytest.raises(WebSocketDisconnect):
                await call
        with pytest.raises(WebSocketDisconnect):
            outlet.offer_bin(frame(bin_of(0)), 0)

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            assert (await peer.frame())[0] == CLOSE
            await peer.say(masked(CLOSE, b""))
            assert await peer.rest() == b""

    assert run(body, client).end == [None]


def test_a_close_that_is_not_answered_ends_the_socket() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        await outlet.close(1000, "")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            assert (await peer.frame())[0] == CLOSE
            await until(lambda: not at.door.connections)
            assert await peer.rest() == b""

    run(body, client, **(QUICK | {"farewell_s": 0.1}))


def test_a_reader_of_the_last_frames_is_waited_for_longer_than_one_that_reads_nothing() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        while outlet.offer_bin(frame(bin_of(0)), 0):
            pass
        await outlet.close(1000, "")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream(SMALL), at.stream(SMALL) as slow:
            await until(lambda: len(told.end) == 2)
            while (await slow.frame())[0] != CLOSE:
                await asyncio.sleep(0.02)
            await slow.say(masked(CLOSE, b""))
            assert await slow.rest() == b""
            await until(lambda: not at.door.connections)

    run(body, client, **(QUICK | {"farewell_s": 0.1, "stall_s": 1.0}))


# --- what a client must not send ---


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\xff" + (100 << 20).to_bytes(8, "big") + bytes(4) + bytes(4 << 20), 1009),
        (masked(TEXT, b"x" * 65537), 1009),
        (b"\x81\x05Hello", 1002),  # not masked
        (masked(0x3, b""), 1002),  # no such opcode
        (masked(TEXT, b"\xff"), 1007),
    ],
)
def test_a_frame_that_is_not_allowed_is_told_why_and_never_only_cut(sent: bytes, code: int) -> None:
    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            await peer.say(sent)
            assert int.from_bytes((await peer.frame_of(CLOSE))[:2], "big") == code
            assert await peer.rest() == b""

    run(waits, client)


def test_the_longest_control_frame_is_taken() -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        assert len(await websocket.receive_text()) == 65536
        await outlet.close(1000, "")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            await peer.say(masked(TEXT, b"x" * 65536))
            assert await peer.frame() == (CLOSE, (1000).to_bytes(2, "big"))

    assert run(body, client).end == [None]


def test_an_app_that_fails_ends_its_stream_with_a_close_frame(caplog: pytest.LogCaptureFixture) -> None:
    async def body(outlet: Outlet, websocket: WebSocket) -> None:
        raise RuntimeError("a mistake of ours")

    async def client(at: Listening, told: Told) -> None:
        async with at.stream() as peer:
            assert await peer.frame() == (CLOSE, (1011).to_bytes(2, "big") + b"the server failed")
            await peer.say(masked(CLOSE, b""))
            assert await peer.rest() == b""

    run(body, client)
    assert "a mistake of ours" in caplog.text


# --- who is still there ---


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


# --- what we stand on ---


def test_uvicorn_and_websockets_still_have_what_is_built_on_here() -> None:
    """Names that no interface promises us; the tests above say what they must do."""

    class App:
        pass

    async def main() -> set[str]:
        import uvicorn
        from uvicorn.server import ServerState

        made = uvicorn.Config(App, lifespan="off", ws="websockets-sansio")  # type: ignore[arg-type]
        made.load()
        socket = WebSocketsSansIOProtocol(made, ServerState(), {})
        owned = {
            "close_sent",
            "close_timer",
            "conn",
            "disconnected",
            "handshake_complete",
            "loop",
            "queue",
            "read_paused",
            "transport",
            "writable",
            "handle_parser_exception",
            "run_asgi",
            "send_500_response",
        }
        missing = {name for name in owned if not hasattr(socket, name)}
        return missing | {
            name for name in ("close_sent", "send_close", "data_to_send", "reject") if not hasattr(socket.conn, name)
        }

    assert asyncio.run(asyncio.wait_for(main(), TIMEOUT_S)) == set()
