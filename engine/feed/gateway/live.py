"""One live connection: greeting, challenge, subscriptions, then records, system messages and heartbeats until somebody ends it.

Source: databento's Python client 0.88 (`live.protocol`); the vendor's reference of the live API: intraday replay is filtered by
``ts_event``, a heartbeat comes when nothing else came for so long, a slow reader is warned or skips, by its own choice.
"""

import asyncio
import contextlib
import socket
import struct
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import databento_dbn as dbn
import numpy as np
import zstandard

from engine.constants import NS_PER_S, UNDEF_TIMESTAMP
from engine.feed.gateway import messages
from engine.feed.gateway.bodies import forever
from engine.feed.gateway.clock import MarketClock
from engine.feed.gateway.damage import Damage, End
from engine.feed.gateway.faults import Faults
from engine.feed.gateway.names import INPUTS, Names
from engine.feed.gateway.query import SCHEMA, day_of
from engine.feed.gateway.snapshot import snapshot_of
from engine.feed.gateway.tape import Contract, Tape
from engine.schema import Ints, MboRecords

_CHUNK: Final = 2_048  # records between two looks at the reader
_SEND_BUFFER_BYTES: Final = 64 << 10  # what may wait for a slow reader before it is felt
DEFAULT_HEARTBEAT_S: Final = 30.0


@dataclass(frozen=True)
class Market:
    """What all sessions of a gateway share. ``heartbeat_s`` None: as the client asks."""

    tape: Tape
    names: Names
    clock: MarketClock
    key: str
    faults: Faults
    heartbeat_s: float | None = None
    slow_after_s: float = 1.0  # wall seconds that a reader may keep us waiting
    closes_at_end: bool = False


@dataclass
class Subscription:
    """Records of some instruments from the tape's number ``first`` on, from ``start_ns`` (``ts_event``) on."""

    asked: list[tuple[str, str, Contract]]  # symbol, its type, whom it stands for
    number: str
    first: int
    start_ns: int
    live_from: int
    is_replay: bool
    has_snapshot: bool
    ids: Any = field(init=False)

    def __post_init__(self) -> None:
        self.ids = np.array(sorted({one.instrument_id for _, _, one in self.asked}), np.uint32)


class LiveSession:
    """One connection, from its first byte to its last."""

    def __init__(self, market: Market, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._market = market
        self._reader = reader
        self._writer = writer
        self._has_ts_out = False
        self._is_warned = False  # rather than made to skip
        self._heartbeat_s = DEFAULT_HEARTBEAT_S
        self._packer: Any = None
        self._subscriptions: list[Subscription] = []
        self._errors: list[tuple[str, Any]] = []  # text, `databento_dbn.ErrorCode`, whose stub calls its members ints
        self._position = 0
        self._last_sent = 0.0
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Serve it."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._writer.transport.set_write_buffer_limits(_SEND_BUFFER_BYTES)
        try:
            await self._talk()
        except End as end:
            if end.is_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, messages.BadLine):
            pass  # the client went, or does not speak the protocol
        finally:
            self._writer.close()

    async def _talk(self) -> None:
        for fault in self._market.faults.passing("live.greeting"):
            fault.hit.set()
            if fault.kind == "stall":
                await self._until_gone()
            raise End
        await self._log_in()
        while "start_session" not in (fields := await self._line()):
            self._subscribe(fields)
        listening = asyncio.ensure_future(self._listen())
        streaming = asyncio.ensure_future(self._stream())
        try:
            done, _ = await asyncio.wait({listening, streaming}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (listening, streaming):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, End, ConnectionError, asyncio.IncompleteReadError):
                    await task

    async def _line(self) -> dict[str, str]:
        return messages.read_line(await self._reader.readuntil(b"\n"))

    async def _until_gone(self) -> None:
        while await self._reader.read(1 << 10):
            pass

    async def _log_in(self) -> None:
        challenge = messages.new_challenge()
        self._writer.write(messages.line_of(lsg_version=messages.VERSION) + messages.line_of(cram=challenge))
        given = await self._line()
        refusal = ""
        if not messages.is_answered(challenge, self._market.key, given.get("auth", "")):
            refusal = "Authentication failed."
        elif given.get("dataset") != self._market.tape.dataset:
            refusal = f"Unknown dataset {given.get('dataset')}."
        elif given.get("encoding", "dbn") != "dbn":
            refusal = "Only the encoding dbn is supported."
        for fault in self._market.faults.passing("live.auth"):
            fault.hit.set()
            if fault.kind == "stall":
                await self._until_gone()
            refusal = "User has reached their open connection limit." if fault.code == 429 else "Authentication failed."
        if refusal:
            self._writer.write(messages.line_of(success=0, error=refusal))
            await self._writer.drain()
            raise End
        self._has_ts_out = given.get("ts_out") == "1"
        self._is_warned = given.get("slow_reader_behavior") == "warn"
        self._heartbeat_s = self._market.heartbeat_s or float(given.get("heartbeat_interval_s") or DEFAULT_HEARTBEAT_S)
        if given.get("compression") == "zstd":
            self._packer = zstandard.ZstdCompressor(level=1).compressobj()
        self._writer.write(messages.line_of(success=1, session_id=time.monotonic_ns()))

    def _subscribe(self, given: dict[str, str]) -> None:
        market = self._market
        live_from = market.clock.live_from()
        stype_in = given.get("stype_in", "raw_symbol")
        number = given.get("id", "0")
        if given.get("schema") != SCHEMA or stype_in not in INPUTS:
            self._errors.append((f"Subscription {number}: only {SCHEMA} is played", dbn.ErrorCode.INVALID_SUBSCRIPTION))
            return
        today = day_of(market.clock.now_ns())
        symbols = given.get("symbols", "").split(",")
        asked = [
            (symbol, stype_in, one) for symbol, one in market.names.contracts(symbols, stype_in, today, today + timedelta(days=1))
        ]
        if not asked:
            self._errors.append((f"Failed to resolve symbols: {','.join(symbols)}", dbn.ErrorCode.SYMBOL_RESOLUTION_FAILED))
            return
        start = given.get("start", "")
        has_snapshot = given.get("snapshot") == "1"
        if start and has_snapshot:
            self._errors.append(
                (f"Subscription {number}: start and snapshot exclude each other", dbn.ErrorCode.INVALID_SUBSCRIPTION)
            )
            return
        start_ns, is_replay = (int(start), True) if start.isdigit() else (0, False)
        for fault in market.faults.passing("live.subscribe"):
            fault.hit.set()
            if fault.kind == "late_start":
                start_ns, is_replay = 0, False
            elif fault.kind == "error":
                code = messages.error_code(fault.code)
                self._errors.append((messages.words_of(code), code))
            elif fault.kind == "aged_out" and is_replay:
                kept_ns = market.clock.now_ns() - fault.seconds * NS_PER_S
                if start_ns < kept_ns:
                    text = f"Replay data has aged out; the earliest is {kept_ns}"
                    self._errors.append((text, dbn.ErrorCode.REPLAY_DATA_AGED_OUT))
                    start_ns = kept_ns
        first = live_from
        if is_replay:
            first = int(np.argmax(np.append(market.tape.records["ts_event"] >= start_ns, True)))
        self._subscriptions.append(
            Subscription(asked, number, min(first, live_from), start_ns, live_from, is_replay, has_snapshot)
        )

    async def _listen(self) -> None:
        """What the client still says: subscriptions to what is live from now on."""
        while True:
            fields = await self._line()
            before = len(self._subscriptions)
            self._subscribe({**fields, "start": ""})
            for one in self._subscriptions[before:]:
                await self._introduce(one)

    async def _stream(self) -> None:
        market = self._market
        market.clock.start()
        loop = asyncio.get_running_loop()
        with market.faults.watched(lambda: loop.call_soon_threadsafe(self._woken.set)):
            await self._send(messages.head(market.tape.dataset, market.clock.now_ns(), self._has_ts_out))
            for text, code in self._errors:
                await self._send(messages.error(text, code, market.clock.now_ns(), self._ts_out()))
            if any(code not in (*messages.BORNE, dbn.ErrorCode.REPLAY_DATA_AGED_OUT) for _, code in self._errors):
                raise End
            for one in self._subscriptions:
                await self._introduce(one)
            self._position = min((one.first for one in self._subscriptions), default=market.clock.live_from())
            await self._play(Damage(market.faults.passing("live.records")))

    async def _introduce(self, one: Subscription) -> None:
        """Acknowledge a subscription, say who is who, and send its snapshot."""
        market = self._market
        now_ns = market.clock.now_ns()
        text = f"Subscription request {one.number} for {SCHEMA} data succeeded"
        await self._send(messages.system(text, dbn.SystemCode.SUBSCRIPTION_ACK, now_ns, self._ts_out()))
        publisher = int(market.tape.records[0]["publisher_id"])
        for symbol, stype_in, contract in one.asked:
            await self._send(messages.mapping(symbol, stype_in, contract, publisher, now_ns, self._ts_out()))
        if one.has_snapshot:
            for number in one.ids:
                before = market.tape.records[: one.live_from]
                made_ns = int(market.tape.released_ns[max(0, one.live_from - 1)])  # of what is in it, not later than what follows
                made = await asyncio.to_thread(snapshot_of, before[before["instrument_id"] == number], made_ns)
                await self._send_records(made)

    async def _play(self, damage: Damage) -> None:
        market = self._market
        clock = market.clock
        while True:
            damage.add(market.faults.passing("live.records", is_new=False))
            until = min(clock.n_released(), self._position + _CHUNK)
            if until > self._position:
                await self._send_with(damage, self._position, until)
                await self._tell_of_replay()
            elif self._position >= len(market.tape.records) and market.closes_at_end:
                raise End
            else:
                await damage.strike(self, self._writer)  # one without records to come may be due
                await self._wait()

    def _pick(self, first: int, until: int) -> Ints:
        """Numbers of the records from ``first`` until ``until`` that were subscribed to."""
        piece = self._market.tape.records[first:until]
        is_in = np.zeros(len(piece), np.bool_)
        for one in self._subscriptions:
            is_of = np.isin(piece["instrument_id"], one.ids) & (piece["ts_event"] >= one.start_ns)
            is_of[: max(0, min(one.first - first, len(piece)))] = False
            is_in |= is_of
        return first + np.flatnonzero(is_in)

    async def _wait(self) -> None:
        """Until the next record's time, the next heartbeat's, or a fault is ordered; sends the heartbeat."""
        due_s = self._last_sent + self._heartbeat_s - time.monotonic()
        wait_s = due_s
        if self._position < len(self._market.tape.records):
            wait_s = min(due_s, self._market.clock.seconds_until(self._position))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), max(wait_s, 0.0005))
        self._woken.clear()
        if time.monotonic() >= self._last_sent + self._heartbeat_s:
            await self._send(messages.system("Heartbeat", dbn.SystemCode.HEARTBEAT, self._market.clock.now_ns(), self._ts_out()))

    async def _tell_of_replay(self) -> None:
        for one in self._subscriptions:
            if one.is_replay and self._position >= one.live_from:
                one.is_replay = False
                text = f"Finished {SCHEMA} replay"
                now_ns = self._market.clock.now_ns()
                await self._send(messages.system(text, dbn.SystemCode.REPLAY_COMPLETED, now_ns, self._ts_out()))

    async def _send_with(self, damage: Damage, first: int, until: int) -> None:
        """Send the tape's records from ``first`` until ``until``, broken as the faults want them."""
        picked = self._pick(first, until)
        self._position = until
        before = damage.due
        try:
            for piece, fault in damage.cut(np.asarray(self._market.tape.records[picked])):
                if len(piece):
                    await self._send_records(piece)
                if fault is not None:
                    await damage.carry_out(fault, self, self._writer)
        finally:
            n = damage.due - before
            self._market.clock.came_to(until if n >= len(picked) else int(picked[n - 1]) + 1 if n else first)

    async def _send_records(self, records: MboRecords) -> None:
        began = time.monotonic()
        ts_out = self._ts_out()
        if self._has_ts_out:
            ts_out = max(ts_out, int(records["ts_recv"].max()))  # as fast as the reader, the clock follows what was sent
        await self._send(messages.as_sent(records, ts_out))
        if time.monotonic() - began > self._market.slow_after_s and not any(one.is_replay for one in self._subscriptions):
            await self.fall_behind()

    async def fall_behind(self) -> None:
        """Warn a slow reader, or let it skip to what is new; by its own choice."""
        now_ns = self._market.clock.now_ns()
        if self._is_warned:
            text = "Slow reader detected: the session lags behind the market"
            await self._send(messages.system(text, dbn.SystemCode.SLOW_READER_WARNING, now_ns, self._ts_out()))
            return
        before = self._position
        if self._market.clock.speed:
            self._position = max(before, self._market.clock.n_released())
        text = f"Skipped {self._position - before} records after slow reading"
        await self._send(messages.error(text, dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING, now_ns, self._ts_out()))

    async def fail(self, code: int) -> bool:
        """Say that something failed; whether that ends the session."""
        found = messages.error_code(code)
        await self._send(messages.error(messages.words_of(found), found, self._market.clock.now_ns(), self._ts_out()))
        return found not in messages.BORNE

    async def say(self, code: int) -> None:
        """Say something that is no error."""
        found = messages.system_code(code)
        await self._send(messages.system(messages.words_of(found), found, self._market.clock.now_ns(), self._ts_out()))

    async def hang(self) -> None:
        """Send nothing any more."""
        await forever()

    def _ts_out(self) -> int:
        return self._market.clock.now_ns() if self._has_ts_out else UNDEF_TIMESTAMP

    async def _send(self, data: bytes) -> None:
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        self._writer.write(data)
        self._last_sent = time.monotonic()
        await self._writer.drain()
