"""Bodies of HTTP answers, whole or broken as a fault wants them."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.feed.gateway.faults import Fault

GARBAGE = b"\xde\xad\xbe\xef" * 4
_PIECE_BYTES = 16 << 10


class ConnectionCut(Exception):
    """Makes the server drop the connection in the middle of an answer."""


async def forever() -> None:
    """Never comes back; ends when the connection or the gateway does."""
    await asyncio.Event().wait()


class Answer(StreamingResponse):
    """A body in pieces, with the faults that befall it."""

    def __init__(self, pieces: Iterable[bytes], faults: list[Fault], status: int = 200, headers: dict[str, str] | None = None,
                 media_type: str = "application/octet-stream") -> None:  # fmt: skip
        super().__init__(_broken(pieces, faults), status, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that goes ends it, also where it hangs."""
        sending = asyncio.ensure_future(self.stream_response(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
        if sending.done() and not sending.cancelled():
            sending.result()


async def _broken(pieces: Iterable[bytes], faults: list[Fault]) -> AsyncIterator[bytes]:
    sent = 0
    waiting = sorted((one for one in faults if one.kind in ("cut", "stall", "end", "garbage")), key=lambda one: one.after)
    slow = next((one for one in faults if one.kind == "slow"), None)
    for whole in pieces:
        for at in range(0, len(whole), _PIECE_BYTES):
            piece = whole[at : at + _PIECE_BYTES]
            while waiting and sent + len(piece) >= waiting[0].after:
                fault = waiting.pop(0)
                here = max(0, fault.after - sent)
                if fault.kind == "garbage":
                    bad = bytes(a ^ b for a, b in zip(piece[here : here + 16], GARBAGE, strict=False))
                    piece = piece[:here] + bad + piece[here + 16 :]
                    fault.hit.set()
                    continue
                if here:
                    yield piece[:here]
                fault.hit.set()
                if fault.kind == "end":
                    return
                if fault.kind == "cut":
                    raise ConnectionCut
                await forever()
            yield piece
            sent += len(piece)
            if slow is not None:
                slow.hit.set()
                await asyncio.sleep(len(piece) / slow.bytes_per_s)
            else:
                await asyncio.sleep(0)  # a live session beside us sends meanwhile
