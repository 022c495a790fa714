"""One connection of the vendor's own client, in a loop and a thread of its own, as bytes and an end.

The client gives every record's bytes to a stream that is added to it, which costs 5 us; its objects are never looked at. A
connection that ends before the key was asked for leaves the client waiting for half a minute: our loop sees the connection and
does not.

Source: databento's Python client 0.88, `live.client`, `live.session`, `live.protocol`.
"""

import asyncio
import io
import logging
import threading
import time
from typing import Any, Final

import databento
from databento.common.error import BentoError
from databento_dbn import DBNError

from engine.feed.download.key import Key
from engine.feed.live.settings import LiveSettings

_SHUT_S: Final = 5.0
_SILENCE: Final = 1.75  # heartbeats: a late one is borne, and two are not waited for


class Unreachable(Exception):
    """No connection stands; another try may have one."""


class Refused(Exception):
    """The vendor answered, and said no."""


class _Tap(io.BytesIO):
    """What the client writes records to: each call is one record."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: threading.Event) -> None:
        super().__init__()
        self._loop = loop
        self._wake = wake
        self._is_told = False
        self.pieces: list[bytes] = []
        self.last_s = time.monotonic()

    def write(self, data: Any) -> int:
        """Take one record."""
        self.pieces.append(data)
        if not self._is_told:
            self._is_told = True
            self._loop.call_soon(self._tell)  # behind the last record of what has been read
        return len(data)

    def _tell(self) -> None:
        self._is_told = False
        self.last_s = time.monotonic()
        self._wake.set()


class _Loop(asyncio.SelectorEventLoop):
    """A loop that sees the one connection made in it, and ends an attempt that leads nowhere."""

    def __init__(self, settings: LiveSettings, wake: threading.Event) -> None:
        super().__init__()
        self._settings = settings
        self._wake = wake
        self._given_up = self.create_future()
        self.transport: Any = None
        self.protocol: Any = None
        self.ended: str | None = None
        self._broken = ""
        self.set_exception_handler(lambda _loop, context: self._hear_error(context))

    async def create_connection(self, protocol_factory: Any, *args: Any, **given: Any) -> Any:
        """As asyncio's, for ``connect_s`` at most; then the handshake's time runs."""
        making = asyncio.ensure_future(super().create_connection(protocol_factory, *args, **given))
        await asyncio.wait({making, self._given_up}, timeout=self._settings.connect_s, return_when=asyncio.FIRST_COMPLETED)
        if not making.done():
            making.cancel()
            raise Unreachable(f"no connection in {self._settings.connect_s:g} s")
        self.transport, self.protocol = making.result()
        self.protocol.disconnected.add_done_callback(self._end)
        self.call_later(self._settings.handshake_s, self.give_up, f"no greeting or no answer in {self._settings.handshake_s:g} s")
        if self._given_up.done():
            self.give_up("stopped")
        return self.transport, self.protocol

    def give_up(self, why: str) -> None:
        """End an attempt that does not stand yet."""
        if not self._given_up.done():
            self._given_up.set_result(None)
        if self.protocol is not None and not self.protocol.authenticated.done():
            self.protocol.authenticated.set_exception(Unreachable(why))
            self.transport.abort()

    def _hear_error(self, context: dict[str, Any]) -> None:
        """The client's decoder met what is no record, which is an end like others; anything else is shown as ever."""
        error = context.get("exception")
        if not isinstance(error, DBNError):
            self.default_exception_handler(context)
            return
        self._broken = f"what came is no record: {error}"

    def _end(self, disconnected: Any) -> None:
        error = disconnected.exception()
        self.ended = self._broken or ("the connection was closed" if error is None else f"the connection broke: {error}")
        if not self.protocol.authenticated.done():
            self.protocol.authenticated.set_exception(Unreachable("the connection was closed before the key was asked for"))
        self._wake.set()


class Connection:
    """A fresh client of the vendor; ``wake`` is set whenever there is something to take, or an end."""

    def __init__(self, settings: LiveSettings, key: Key, wake: threading.Event) -> None:
        logging.getLogger("databento.live").setLevel(logging.CRITICAL)  # what it says is said by us, once and without doubles
        self._settings = settings
        self._loop = _Loop(settings, wake)
        self._tap = _Tap(self._loop, wake)
        self._closing = threading.Lock()
        heartbeat: Any = int(settings.heartbeat_s) if settings.heartbeat_s.is_integer() else settings.heartbeat_s
        self._client = databento.Live(
            key.reveal(), gateway=settings.host, port=settings.port, heartbeat_interval_s=heartbeat, slow_reader_behavior="warn",
            loop=self._loop,
        )  # fmt: skip
        self._client.add_stream(self._tap)
        self._thread = threading.Thread(target=self._loop.run_forever, name="live connection", daemon=True)
        self._thread.start()

    def open(self, start_ns: int | None) -> None:
        """Connect, show the key, subscribe: from an event time on, or with a snapshot; and let the records come.

        Raises
        ------
        Unreachable
            It could not be, and another try may be better.
        Refused
            The vendor does not take us.
        """
        try:
            self._client.subscribe(
                self._settings.dataset, "mbo", self._settings.symbol, "raw_symbol", start=start_ns, snapshot=start_ns is None
            )
            self._client.start()
        except BentoError as error:
            if self._loop.transport is None:
                raise Unreachable(str(error)) from error
            raise Refused(str(error)) from error
        except ValueError as error:  # the client's word for a connection that ended between two of its steps
            raise Unreachable(str(error)) from error
        self._tap.last_s = time.monotonic()

    def give_up(self) -> None:
        """Let an `open` that is under way fail; from any thread."""
        with self._closing:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._loop.give_up, "stopped")

    @property
    def ended(self) -> str | None:
        """Why it has ended; None while it stands. What came before is still to be taken."""
        return self._loop.ended

    def take(self) -> list[bytes]:
        """What came since the last call, a record each; the metadata are left out."""
        pieces = self._tap.pieces
        n = len(pieces)
        taken = pieces[:n]
        del pieces[:n]
        return [one for one in taken if one[:3] != b"DBN"] if taken and taken[0][:3] == b"DBN" else taken

    @property
    def last_s(self) -> float:
        """When something came last, in seconds of the monotonic clock."""
        return self._tap.last_s

    def is_silent(self) -> bool:
        """Whether nothing came for too long, not even a heartbeat: a look at the socket is made before that is said."""
        limit_s = _SILENCE * self._settings.heartbeat_s
        if time.monotonic() - self._tap.last_s <= limit_s:
            return False
        asyncio.run_coroutine_threadsafe(_two_turns(), self._loop).result()  # this process may have been stopped meanwhile
        return time.monotonic() - self._tap.last_s > limit_s

    def silent_at_s(self) -> float:
        """When it is to be called silent, if nothing comes, in seconds of the monotonic clock."""
        return self._tap.last_s + _SILENCE * self._settings.heartbeat_s

    def close(self) -> None:
        """End it; nothing comes any more."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(_SHUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_SHUT_S)
        with self._closing:
            self._loop.close()

    async def _shut(self) -> None:
        self._client.terminate()
        if self._loop.transport is not None:
            self._loop.transport.abort()
            await asyncio.wait({self._loop.protocol.disconnected}, timeout=_SHUT_S / 2)
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _two_turns() -> None:
    """What lies ready in the socket is read in the first, and told of in the second."""
    for _ in range(3):
        await asyncio.sleep(0)
