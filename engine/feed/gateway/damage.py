"""How the records of one live session are broken: where each fault of ``live.records`` strikes, and what it does."""

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np

from engine.feed.gateway.faults import Fault
from engine.schema import MboRecords

NO_RECORD: Final = b"\x01" + b"\xff" * 15  # a length of one word, which no record has
_CUT_BYTES: Final = 23
_IN_STREAM: Final = ("duplicate", "swap", "omit", "quiet")


class End(Exception):
    """The gateway ends a session."""

    def __init__(self, is_reset: bool = False) -> None:
        self.is_reset = is_reset


class Session(Protocol):
    """What a fault may do to a session."""

    async def fail(self, code: int) -> bool:
        """Send an error record; whether it is one that ends a session."""

    async def say(self, code: int) -> None:
        """Send a system record."""

    async def fall_behind(self) -> None:
        """Treat the reader as a slow one."""

    async def hang(self) -> None:
        """Send nothing any more."""


class Damage:
    """The faults of one session, counted by the records that were due to it."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = sorted(faults, key=lambda one: one.after)
        self.due = 0  # records that were due so far
        self._left_out = 0  # records still to be left out
        self._held: MboRecords | None = None  # to come behind the next
        self._is_quiet = False

    def add(self, faults: list[Fault]) -> None:
        """More of them, ordered while the session runs."""
        self._faults = sorted([*self._faults, *faults], key=lambda one: one.after)

    def cut(self, records: MboRecords) -> Iterator[tuple[MboRecords, Fault | None]]:
        """Records as they are sent, in pieces, each with what happens behind it."""
        while self._faults and self._faults[0].after <= self.due + len(records):
            fault = self._faults[0]
            here = max(0, fault.after - self.due)
            if fault.kind in _IN_STREAM and here == len(records):
                break  # it is the next record's
            self._faults.pop(0)
            self.due += here
            yield self._pass(records[:here]), fault if fault.kind not in _IN_STREAM else None
            records = records[here:]
            if fault.kind in _IN_STREAM:
                fault.hit.set()
                records = self._changed(records, fault)
        self.due += len(records)
        yield self._pass(records), None

    def _changed(self, records: MboRecords, fault: Fault) -> MboRecords:
        if fault.kind == "quiet":
            self._is_quiet = True
        elif fault.kind == "omit":
            self._left_out = fault.records
        elif fault.kind == "duplicate":
            n = min(fault.records, len(records))
            self.due -= n
            return np.concatenate([records[:n], records])
        elif len(records) >= 2:
            return np.concatenate([records[1::-1], records[2:]])
        else:
            self._held = records
            return records[:0]
        return records

    def _pass(self, records: MboRecords) -> MboRecords:
        if self._held is not None and len(records):
            records = np.concatenate([records[:1], self._held, records[1:]])
            self._held = None
        n = min(self._left_out, len(records))
        self._left_out -= n
        return records[:0] if self._is_quiet else records[n:]

    async def strike(self, session: Session, writer: asyncio.StreamWriter) -> None:
        """Carry out what is due without another record."""
        while self._faults and self._faults[0].after <= self.due and self._faults[0].kind not in _IN_STREAM:
            await self.carry_out(self._faults.pop(0), session, writer)

    async def carry_out(self, fault: Fault, session: Session, writer: asyncio.StreamWriter) -> None:
        """Do what a fault does between two records."""
        fault.hit.set()
        if fault.kind == "stall":
            await session.hang()
        elif fault.kind == "slow_reader":
            await session.fall_behind()
        elif fault.kind == "garbage":
            writer.write(NO_RECORD)
        elif fault.kind == "half_close":
            writer.write_eof()
            await session.hang()
        elif fault.kind == "error":
            if await session.fail(fault.code):
                raise End
        elif fault.kind == "say":
            await session.say(fault.code)
        elif fault.kind == "reset":
            raise End(is_reset=True)
        elif fault.kind in ("close", "cut"):
            if fault.kind == "cut":
                writer.write(b"\x0e\xa0" + bytes(_CUT_BYTES))  # the beginning of a record
            raise End
