"""The ring: the newest records of a live day in a file of fixed size in shared memory; one writer, any number of readers.

One page of header, one of the holes' reasons, then the slots, 64 bytes each: a stamp and a record, number n of the day in slot
n modulo the capacity. Everything goes through ``pread`` and ``pwrite``: what is torn, shortened or taken away is seen, and no
reader can fall over it.

- The header bears a checksum, so a reader has it whole: what is there (``head``), and up to when the day is known with it.
- Before slots are written over, the header claims them. A reader looks at the header again behind the slots: what was claimed
  meanwhile may be torn, and is not used; he has been overrun and goes on from the segments.
- A hole is a slot of its own, its reason lies in the second page.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from engine.constants import MBO_RECORD_BYTES
from engine.errors import NO_ROOM, WorkError
from engine.feed.follow import Hole
from engine.feed.record.bell import Bell
from engine.schema import MBO_DTYPE, MboRecords

SLOT_BYTES: Final = 64
_STAMP_BYTES: Final = SLOT_BYTES - MBO_RECORD_BYTES
_MAGIC: Final = b"SPYRING1"
_HEADER: Final = struct.Struct("<8sQQQQQqQ")
_CHECK: Final = struct.Struct("<I")
_BELL_AT: Final = 256
_REASONS_AT: Final = 4096
_REASON_BYTES: Final = 256
_N_REASONS: Final = 16
_SLOTS_AT: Final = 8192
_IS_HOLE: Final = 1 << 63  # in a stamp
_HOLE: Final = struct.Struct("<qqQ")
_LIVE, _OVER, _REPLACED = 0, 1, 2
_TRIES: Final = 100  # at a header that is being written; each takes microseconds
_CLAIMED_PART: Final = 16  # that part of the capacity is claimed at once


class Header(NamedTuple):
    """What the writer says of the ring: records from ``first`` on, before ``head``, less what was claimed a whole round later."""

    capacity: int  # slots
    first: int
    claimed: int
    head: int
    ended: int
    known_until_ns: int
    n_holes: int

    @property
    def oldest(self) -> int:
        """Number of the oldest record that may still be read."""
        return max(self.first, self.claimed - self.capacity)


@dataclass(frozen=True)
class Piece:
    """What was read: ``records`` from the number asked for on, or a ``hole``. ``is_newest``: nothing lies behind yet."""

    records: MboRecords
    hole: Hole | None
    is_newest: bool
    known_until_ns: int
    is_over: bool


class Overrun(Exception):
    """What was asked for is not in the ring any more, or never was."""


class Damaged(Exception):
    """The ring is not what a writer leaves: somebody has written to it, cut it short, or put another file there."""


def _pack(header: Header) -> bytes:
    data = _HEADER.pack(_MAGIC, *header)
    return data + _CHECK.pack(zlib.crc32(data))


def _read_header(descriptor: int) -> Header:
    size = _HEADER.size + _CHECK.size
    for _ in range(_TRIES):
        data = os.pread(descriptor, size, 0)
        if len(data) == size and zlib.crc32(data[: _HEADER.size]) == _CHECK.unpack_from(data, _HEADER.size)[0]:
            magic, *values = _HEADER.unpack_from(data)
            if magic == _MAGIC:
                return Header(*values)
    raise Damaged


class RingWriter:
    """The one writer; an older ring at the path is replaced, and who reads it told so.

    Parameters
    ----------
    n_slots : int
        Capacity, records.
    first : int
        Number of the first record that will be written.

    Raises
    ------
    WorkError
        Shared memory has no room for it.
    """

    def __init__(self, path: Path, n_slots: int, first: int) -> None:
        self.path = path
        self._header = Header(n_slots, first, first, first, _LIVE, 0, 0)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self._descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        size = _SLOTS_AT + n_slots * SLOT_BYTES
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            self._bell = Bell(self._descriptor, _BELL_AT)
            self._write_header()
            old = path.open("r+b") if path.exists() else None
            temporary.rename(path)
        except OSError as error:
            self._give_up(temporary)
            if error.errno in NO_ROOM:
                raise WorkError(
                    f"{path.parent} has no room for a ring of {size >> 20} MiB; free some, or give a smaller one with --ring-mb"
                ) from None
            raise
        if old is not None:
            with old:
                _tell_replaced(old.fileno())

    def _give_up(self, temporary: Path) -> None:
        os.close(self._descriptor)
        temporary.unlink(missing_ok=True)

    @property
    def head(self) -> int:
        """Number of the record that comes next."""
        return self._header.head

    def _write_header(self) -> None:
        os.pwrite(self._descriptor, _pack(self._header), 0)

    def _claim(self, until: int) -> None:
        if until > self._header.claimed:
            self._header = self._header._replace(claimed=until + self._header.capacity // _CLAIMED_PART)
            self._write_header()

    def _write_slots(self, slots: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> None:
        """Slots from the head on, fewer than the capacity."""
        capacity = self._header.capacity
        at = self._header.head % capacity
        n_here = min(len(slots), capacity - at)
        for first, part in ((at, slots[:n_here]), (0, slots[n_here:])):
            if len(part):
                os.pwrite(self._descriptor, part.data, _SLOTS_AT + first * SLOT_BYTES)

    def put(self, records: MboRecords, known_until_ns: int) -> None:
        """The next records, and up to when the day is known with them."""
        most = self._header.capacity // _CLAIMED_PART
        for start in range(0, len(records), most):
            part = np.ascontiguousarray(records[start : start + most])
            head, n = self._header.head, len(part)
            self._claim(head + n)
            slots = np.empty((n, SLOT_BYTES), np.uint8)
            slots[:, _STAMP_BYTES:] = part.view(np.uint8).reshape(n, MBO_RECORD_BYTES)
            slots.view("<u8")[:, 0] = np.arange(head, head + n, dtype=np.uint64)
            self._write_slots(slots)
            self._header = self._header._replace(head=head + n)
            if start + n < len(records):
                self._write_header()
        self.know(known_until_ns)

    def put_hole(self, hole: Hole, number: int) -> None:
        """A hole as the day's ``number``, which is the head or, where it leaves numbers out, a later one."""
        header = self._header
        first = header.first if number == header.head else number
        self._header = header._replace(first=first, head=number, claimed=max(header.claimed, number))
        self._claim(number + 1)
        reason = hole.reason.encode()[:_REASON_BYTES].ljust(_REASON_BYTES, b"\0")
        os.pwrite(self._descriptor, reason, _REASONS_AT + header.n_holes % _N_REASONS * _REASON_BYTES)
        slot = (number | _IS_HOLE).to_bytes(8, "little") + _HOLE.pack(hole.since_ns, hole.until_ns, header.n_holes)
        self._write_slots(np.frombuffer(slot.ljust(SLOT_BYTES, b"\0"), np.uint8).reshape(1, SLOT_BYTES))
        self._header = self._header._replace(head=number + 1, n_holes=header.n_holes + 1)
        self.know(header.known_until_ns)

    def know(self, known_until_ns: int) -> None:
        """Up to when the day is known; told to everybody."""
        self._header = self._header._replace(known_until_ns=max(known_until_ns, self._header.known_until_ns))
        self._write_header()
        self._bell.ring()

    def end(self) -> None:
        """Nothing follows."""
        self._header = self._header._replace(ended=_OVER)
        self._write_header()
        self._bell.ring()

    def close(self) -> None:
        """Let go of it; who reads it still can."""
        os.close(self._descriptor)


def _tell_replaced(descriptor: int) -> None:
    """Send those who read an older ring to the new one."""
    try:
        header = _read_header(descriptor)
    except Damaged:
        return  # nobody can read it
    os.pwrite(descriptor, _pack(header._replace(ended=_REPLACED)), 0)
    Bell(descriptor, _BELL_AT).ring()


def head_left(path: Path) -> int:
    """The head of a ring that an earlier writer left; 0 where there is none."""
    try:
        with path.open("rb") as file:
            return _read_header(file.fileno()).head
    except (FileNotFoundError, Damaged):
        return 0


class RingReader:
    """One reader of the ring that has the path now.

    Raises
    ------
    FileNotFoundError
        There is none.
    Damaged
        It is no ring.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._inode = os.fstat(self._descriptor).st_ino
            self._capacity = _read_header(self._descriptor).capacity
            self._bell = Bell(self._descriptor, _BELL_AT)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._count = 0

    def read(self, number: int, most: int) -> Piece:
        """At most ``most`` records from a number on; nothing where they have not come yet.

        Raises
        ------
        Overrun
            They are not there any more.
        Damaged
            It is no ring any more, or another one has its path.
        """
        self._count = self._bell.count()  # before looking: what comes behind it ends the waiting
        header = self._header()
        if number < header.oldest:
            raise Overrun
        n = min(header.head - number, most)
        if n <= 0:
            return Piece(np.empty(0, MBO_DTYPE), None, number == header.head, header.known_until_ns, header.ended == _OVER)
        slots = self._slots(number, n)
        if number < self._header().oldest:
            raise Overrun
        stamps = slots.view("<u8")[:, 0]
        is_hole = stamps >> np.uint64(63) != 0
        if not np.array_equal(stamps & np.uint64(_IS_HOLE - 1), np.arange(number, number + n, dtype=np.uint64)):
            raise Damaged
        hole = self._hole(slots[0].tobytes()) if is_hole[0] else None
        n = int(np.argmax(is_hole)) if is_hole.any() else n
        records = slots[:n, _STAMP_BYTES:].copy().reshape(-1).view(MBO_DTYPE)
        is_newest = number + n + (hole is not None) == header.head
        return Piece(records, hole, is_newest, header.known_until_ns, is_newest and header.ended == _OVER)

    def _header(self) -> Header:
        header = _read_header(self._descriptor)
        if header.capacity != self._capacity or header.ended == _REPLACED:
            raise Damaged
        return header

    def _slots(self, number: int, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        at = number % self._capacity
        out = np.empty((n, SLOT_BYTES), np.uint8)
        n_here = min(n, self._capacity - at)
        for first, part in ((at, out[:n_here]), (0, out[n_here:])):
            if len(part) and os.preadv(self._descriptor, [part.data], _SLOTS_AT + first * SLOT_BYTES) < part.nbytes:
                raise Damaged
        return out

    def _hole(self, slot: bytes) -> Hole:
        since_ns, until_ns, i_hole = _HOLE.unpack_from(slot, _STAMP_BYTES)
        reason = os.pread(self._descriptor, _REASON_BYTES, _REASONS_AT + i_hole % _N_REASONS * _REASON_BYTES)
        return Hole(since_ns, until_ns, reason.rstrip(b"\0").decode("utf-8", "replace"))

    def wait(self, timeout_s: float) -> None:
        """Until something has come since `read` last found nothing, or for so long.

        Raises
        ------
        Damaged
            Nobody can ring any more.
        """
        if not self._bell.wait(self._count, timeout_s):
            raise Damaged

    def is_current(self) -> bool:
        """Whether the path still leads to this ring."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)
