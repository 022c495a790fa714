"""Whose records a file holds, by every word that it says of it: in its metadata, and between its records.

A download maps raw symbols to instrument ids in its metadata. A live recording's metadata map nothing; its gateway says who an id
is in mapping records (``rtype`` 0x16) before that id's first record. A word for another contract is never overheard, and a file
without a word is taken only if the caller says whose it is.

Source: Databento, symbology and `SymbolMappingMsg`, DBN versions 1 to 3.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.constants import NS_PER_S, UNDEF_TIMESTAMP
from engine.errors import SourceError
from engine.schema import MboRecords
from engine.source.kernels import are_all_of

_ASKED_BY_NAME: Final = ("raw_symbol", "parent", "continuous")
# A name for many contracts of one root: all of them, or the n-th by calendar, open interest or volume.
_OF_A_ROOT: Final = re.compile(r"([A-Z0-9]+)\.(FUT|OPT|SPOT|[cnv]\.\d+)")
_NO_NAME: Final = ("", "ALL_SYMBOLS")
_NAMING_STYPES: Final = (1, 2, 3, 4, 255)  # raw symbol, smart, continuous, parent; not told
# Where a mapping record's two symbols lie, each behind its type from version 2 on.
_V1_SYMBOLS: Final = (16, 38)
_V2_SYMBOLS: Final = (17, 89)
_V1_WIDTH: Final = 22
_V2_WIDTH: Final = 71


@dataclass(frozen=True)
class Mapping:
    """An instrument id stands for the locked contract from ``start_ns`` until ``end_ns``."""

    instrument_id: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Identity:
    """What a file's metadata say of the locked contract.

    ``mappings`` are its ids by date, empty where the metadata map nothing. ``is_named``: it is the one contract that the file was
    asked for. ``names``: all contracts that are spoken of, for a message.
    """

    path: Path
    symbol: str
    mappings: tuple[Mapping, ...]
    is_named: bool
    names: tuple[str, ...]


def on_one_line(text: str) -> str:
    """What a damaged file says of itself, fit for one line of a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def day_start_ns(day: date | str) -> int:
    """UTC nanoseconds at the start of a day."""
    if isinstance(day, str):
        day = date.fromisoformat(day)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S


def means(name: str, symbol: str) -> bool | None:
    """Whether a name is the contract's; None where it names none, or many that the contract may be one of."""
    if name in _NO_NAME or name.isdigit():
        return None
    many = _OF_A_ROOT.fullmatch(name)
    if many:
        return None if re.fullmatch(many[1] + r"[FGHJKMNQUVXZ]\d{1,2}", symbol) else False
    return name == symbol


def read_identity(path: Path, symbol: str, metadata: Any) -> Identity:
    """What metadata say of a contract.

    Raises
    ------
    SourceError
        They speak of another one, or of this one in two ways.
    """
    mappings = []
    listed = set()
    named = set()
    for key, intervals in dict(metadata.mappings).items():
        for interval in intervals:
            # Either side of a mapping may be the id, by the way the file was asked for.
            raw, number = (key, interval["symbol"]) if interval["symbol"].isdigit() else (interval["symbol"], key)
            if number.isdigit():
                listed.add(raw)
                if raw == symbol:
                    start, end = day_start_ns(interval["start_date"]), day_start_ns(interval["end_date"])
                    mappings.append(Mapping(int(number), start, end))
            else:
                named.add(raw)
    if listed and not mappings:
        raise _another(path, symbol, listed)
    if symbol in metadata.not_found:
        raise SourceError(f"{path} says that {symbol} was not found when it was asked for; name the file of {symbol}")
    if metadata.stype_in is None or str(metadata.stype_in) in _ASKED_BY_NAME:
        named.update(
            [*metadata.symbols, *metadata.partial, *(key for key, spans in dict(metadata.mappings).items() if not spans)]
        )
    judged = {name: means(name, symbol) for name in named}
    others = {name for name, is_it in judged.items() if is_it is False}
    if others and not (set(judged) - others):
        raise _another(path, symbol, others)
    spans = sorted(mappings, key=lambda one: one.start_ns)
    for one, next_one in pairwise(spans):
        if one.instrument_id != next_one.instrument_id and next_one.start_ns < one.end_ns:
            raise SourceError(
                f"{path} maps {symbol} to ids {one.instrument_id} and {next_one.instrument_id} on the same day; a contract has "
                "one id a day. Give a file that maps it to one"
            )
    is_named = True in judged.values() and not others
    names = listed | {name for name, is_it in judged.items() if is_it is not None}
    return Identity(path, symbol, tuple(mappings), is_named, tuple(sorted(names)))


def _another(path: Path, symbol: str, names: set[str]) -> SourceError:
    told = on_one_line(", ".join(sorted(names)[:8]))
    return SourceError(
        f"{path} holds {told}{' …' if len(names) > 8 else ''}, not the locked contract {symbol}; "
        f"name the file of {symbol}, or another instrument in VP_INSTRUMENT_CONFIG_PATH"
    )


def read_mapping_record(record: bytes) -> tuple[int, int, list[str]]:
    """A mapping record's instrument id, its time in ns, and what it calls the id: as what it was asked for, and as what it is."""
    is_v1 = len(record) < _V2_SYMBOLS[1] + _V2_WIDTH
    width = _V1_WIDTH if is_v1 else _V2_WIDTH
    names = [
        record[at : at + width].split(b"\0")[0].decode("ascii", "replace")
        for at in (_V1_SYMBOLS if is_v1 else _V2_SYMBOLS)
        if is_v1 or record[at - 1] in _NAMING_STYPES
    ]
    return int.from_bytes(record[4:8], "little"), int.from_bytes(record[8:16], "little"), names


class Witness:
    """One reading of a file: hears its mapping records as they come, and tells which records are the locked contract's.

    Parameters
    ----------
    identity
        What the metadata say.
    is_assumed
        Where nothing says whose the records are, take those of the one instrument there is.
    """

    def __init__(self, identity: Identity, is_assumed: bool) -> None:
        self._identity = identity
        self._is_assumed = is_assumed
        self._id: int | None = None  # the contract's, now
        self._id_was_told = False  # by a mapping record
        self._former: set[int] = set()  # ids that were the contract's
        self._others: dict[int, str] = {}  # ids that are said to be something else's
        self._passed: set[int] = set()  # ids of records passed over without a word on them
        self.is_taken_on_trust = False

    def hear(self, record: bytes) -> None:
        """Take a mapping record in.

        Raises
        ------
        SourceError
            It contradicts what was said before.
        """
        number, ts, names = read_mapping_record(record)
        judged = [means(name, self._identity.symbol) for name in names]
        if True in judged and False in judged:
            raise self._contradiction(f"names id {number} both {' and '.join(map(on_one_line, names))}")
        if True in judged:
            self._is_ours(number, ts)
        elif False in judged:
            told = [name for name, is_it in zip(names, judged, strict=True) if is_it is False]
            self._is_anothers(number, ts, on_one_line(told[-1]))

    def _is_ours(self, number: int, ts: int) -> None:
        if self._identity.mappings:
            if not any(one.instrument_id == number for one in self._mapped_at(ts)):
                raise self._contradiction(
                    f"maps {self._identity.symbol} to another id in its metadata than to {number} in a record"
                )
        elif number in self._others:
            raise self._contradiction(f"names id {number} both {self._others[number]} and {self._identity.symbol}")
        elif number in self._former or number in self._passed:
            raise self._contradiction(f"says too late that id {number} is {self._identity.symbol}")
        elif self._id is not None and self._id != number:
            if not self._id_was_told:
                raise self._contradiction(f"names {self._identity.symbol} id {number}, after records of id {self._id}")
            self._former.add(self._id)
        self._id, self._id_was_told = number, True

    def _is_anothers(self, number: int, ts: int, name: str) -> None:
        is_ours = number in self._former or number == self._id
        if self._identity.mappings:
            is_ours = any(one.instrument_id == number for one in self._mapped_at(ts))
        if is_ours:
            raise self._contradiction(f"names id {number} {name}, which was taken as {self._identity.symbol}")
        self._others[number] = name

    def _mapped_at(self, ts: int) -> list[Mapping]:
        return [one for one in self._identity.mappings if one.start_ns <= ts < one.end_ns]

    def _contradiction(self, what: str) -> SourceError:
        return SourceError(f"{self._identity.path} {what}; give a file that names {self._identity.symbol} in one way")

    def pick(self, block: MboRecords) -> MboRecords:
        """The contract's records of a block; the block itself where all are.

        Raises
        ------
        SourceError
            Nothing says whose the records are, or of two instruments which is it.
        """
        if self._identity.mappings:
            return self._mapped(block)
        if self._id is not None and are_all_of(block, self._id, np.uint64(0), np.uint64(2**64 - 1)):
            return block
        ids = block["instrument_id"]
        for number in np.unique(ids).tolist():
            self._judge(number)
        is_it = ids == (-1 if self._id is None else self._id)
        return block if is_it.all() else block[is_it]

    def _judge(self, number: int) -> None:
        """Settle whose the records of an id are."""
        if number == self._id or number in self._others or number in self._passed:
            return
        symbol, path = self._identity.symbol, self._identity.path
        if number in self._former:
            raise self._contradiction(f"goes on with id {number}, after {symbol} became id {self._id}")
        if self._others or self._id_was_told:
            self._passed.add(number)  # of many instruments one that nothing is said of
        elif self._id is not None:
            raise SourceError(
                f"{path} holds instruments {self._id} and {number} and does not say which of them is {symbol}; "
                "give a file with symbol mappings, or one that was cut by contract"
            )
        elif self._identity.is_named or self._is_assumed:
            if len(self._identity.names) > 1:
                raise self._which()
            self._id = number
            self.is_taken_on_trust = not self._identity.is_named
        elif self._identity.names:
            raise self._which()
        else:
            raise SourceError(
                f"{path} says nowhere whose records it holds (instrument {number}); give a file with symbol mappings, "
                f"or add --assume-symbol to take it as {symbol}"
            )

    def _which(self) -> SourceError:
        names = on_one_line(", ".join(self._identity.names[:8]))
        return SourceError(
            f"{self._identity.path} was asked for as {names} and maps none of them to an id; give a file with symbol mappings"
        )

    def _mapped(self, block: MboRecords) -> MboRecords:
        """Those whose id stands for the locked contract on the UTC day of their capture."""
        mappings = self._identity.mappings
        for mapping in mappings:
            if are_all_of(block, mapping.instrument_id, np.uint64(mapping.start_ns), np.uint64(mapping.end_ns)):
                return block
        ids, days = block["instrument_id"], block["ts_recv"]
        days = np.where(days == UNDEF_TIMESTAMP, block["ts_event"], days)
        wanted = np.zeros(len(block), np.bool_)
        for mapping in mappings:
            wanted |= (ids == mapping.instrument_id) & (days >= mapping.start_ns) & (days < mapping.end_ns)
        return block if wanted.all() else block[wanted]

    def finish(self) -> None:
        """The file is at its end.

        Raises
        ------
        SourceError
            It has named other contracts only.
        """
        if not self._identity.mappings and self._id is None and self._others:
            raise _another(self._identity.path, self._identity.symbol, set(self._others.values()))
