"""Bins framed for the wire: the bytes of RFC 6455, and which way they take."""

import asyncio
from dataclasses import replace

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from serve.frames import BinFrames
from serve.listener import open_listener
from serve.wire import BINARY, PING, TEXT, Framed, PlainOutlet, frame, message_frame, outlet_of

BIN = BinFrames(7, '{"type":"grid_update","bin_seq":7', b"\x00\xffARROW")


@pytest.mark.parametrize(
    ("n", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_length_takes_the_shortest_form(n: int, head: bytes) -> None:
    payload = bytes(n)
    assert message_frame(BINARY, payload) == head + payload


def test_texts_and_pings_have_their_own_opcodes() -> None:
    assert message_frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")  # RFC 6455, section 5.7
    assert message_frame(PING, b"Hello") == bytes.fromhex("890548656c6c6f")


def test_a_bin_is_its_header_without_skips_and_its_grid() -> None:
    text = b'{"type":"grid_update","bin_seq":7,"dropped_bins":0}'
    assert frame(BIN) == Framed(replace(BIN, grid=b""), bytes([0x81, len(text)]) + text + b"\x82\x07" + BIN.grid, 7)
    assert frame(BIN).grid == BIN.grid


def test_who_missed_bins_gets_a_header_that_says_how_many() -> None:
    framed = frame(BIN)
    text = b'{"type":"grid_update","bin_seq":7,"dropped_bins":12}'
    assert framed.after(12) == bytes([0x81, len(text)]) + text + b"\x82\x07" + BIN.grid
    assert framed.after(0) is framed.bytes_on_wire


def test_behind_another_server_the_frames_go_the_asgi_way() -> None:
    offered = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        outlet = outlet_of(websocket)
        assert isinstance(outlet, PlainOutlet)
        assert outlet.waiting_bytes == 0
        offered.append(outlet.offer_bin(frame(BIN), 0))
        await outlet.send_text("first")
        await outlet.send_bin(frame(BIN), 3)
        await outlet.close(1000, "done")

    async def main() -> None:
        made = uvicorn.Config(
            Starlette(routes=[WebSocketRoute("/", endpoint)]), lifespan="off", log_config=None, ws="websockets-sansio"
        )
        server = uvicorn.Server(made)
        with open_listener("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            async with connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/") as client:
                assert [frame async for frame in client] == ["first", BIN.header(3), BIN.grid]
                assert (client.close_code, client.close_reason) == (1000, "done")
            server.should_exit = True
            await serving

    asyncio.run(main())
    assert offered == [False]
