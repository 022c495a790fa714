"""A WebSocket on the replica's own listener: what it writes, when it waits, how it ends."""

import asyncio
import json

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect

from serve.wire import Outlet, frame
from tests.test_serve.bin_sockets import GRID, QUICK, SMALL, Told, bin_of, floods, run, waits
from tests.test_serve.listening import BINARY, CLOSE, TEXT, TIMEOUT_S, Listening, masked, until

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
