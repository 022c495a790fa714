"""What a request asks for: the form of the vendor's HTTP API checked, symbols and times resolved against the tape."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import databento_dbn as dbn

from engine.constants import MBO_RECORD_BYTES, NS_PER_DAY, NS_PER_S
from engine.errors import EngineError
from engine.feed.gateway.names import INPUTS, Names
from engine.feed.gateway.tape import Contract, Tape
from engine.feed.moments import iso_ns
from engine.schema import MboRecords
from engine.simulate.file import SymbolInterval, SymbolMapping

SCHEMA: Final = "mbo"
_MAX_SYMBOLS: Final = 2_000


class Refused(EngineError):
    """A request is answered with an HTTP error, in the vendor's form."""

    def __init__(self, code: int, case: str, message: str, retry_after: int = -1) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"detail": {"case": case, "message": message, "status_code": code, "docs": None, "payload": None}}
        self.headers = {"Retry-After": str(retry_after)} if retry_after >= 0 else {}


@dataclass(frozen=True)
class Query:
    """A span of some symbols' records. ``given`` is what the request said, to be said back."""

    tape: Tape
    given: dict[str, Any]
    start_ns: int
    end_ns: int
    limit: int | None
    contracts: tuple[tuple[str, Contract], ...]

    @property
    def ids(self) -> set[int]:
        """Instrument ids."""
        return {one.instrument_id for _, one in self.contracts}

    def pieces(self) -> Iterator[MboRecords]:
        """The records, at most ``limit``."""
        left = self.limit
        for piece in self.tape.between(self.start_ns, self.end_ns, self.ids):
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            if not len(piece):
                return
            yield piece

    @property
    def n_records(self) -> int:
        """How many there are."""
        return sum(len(piece) for piece in self.pieces())

    @property
    def n_bytes(self) -> int:
        """Their size as it is billed: uncompressed, without metadata."""
        return self.n_records * MBO_RECORD_BYTES

    def part(self, start_ns: int, end_ns: int) -> "Query":
        """The same within a shorter span."""
        return Query(self.tape, self.given, max(start_ns, self.start_ns), min(end_ns, self.end_ns), self.limit, self.contracts)

    def metadata(self) -> bytes:
        """The head of a DBN stream of these records."""
        spans: dict[str, list[SymbolInterval]] = {}
        for asked, one in self.contracts:
            first, end = max(one.first, day_of(self.start_ns)), min(one.end, day_of(self.end_ns - 1) + timedelta(days=1))
            key = one.symbol if self.given["stype_in"] == "parent" else asked
            spans.setdefault(key, []).append(SymbolInterval(first, end, str(one.instrument_id)))
        return bytes(
            dbn.Metadata(
                dataset=self.tape.dataset,
                start=self.start_ns,
                end=self.end_ns,
                limit=self.limit,
                schema=dbn.Schema.from_str(SCHEMA),
                stype_in=dbn.SType.from_str(self.given["stype_in"]),
                stype_out=dbn.SType.from_str("instrument_id"),
                symbols=self.given["symbols"].split(","),
                mappings=[SymbolMapping(key, intervals) for key, intervals in spans.items()],
                version=3,
            )
        )


def read_query(form: Mapping[str, Any], tape: Tape, names: Names) -> Query:
    """A request for records, checked.

    Raises
    ------
    Refused
        In the vendor's form: 422 for what cannot be asked.
    """
    require_dataset(form, tape)
    if form.get("schema") != SCHEMA:
        raise Refused(422, "data_schema_not_supported", f"schema was {form.get('schema')!r}; this gateway has {SCHEMA} only")
    stype_in = str(form.get("stype_in") or "raw_symbol")
    if stype_in not in INPUTS:
        raise Refused(422, "symbology_invalid_request", f"stype_in was {stype_in!r}, which is not an input of {SCHEMA}")
    symbols = read_symbols(form)
    start_ns = read_time(form.get("start"), "start")
    end_ns = read_time(form.get("end"), "end") if form.get("end") else _filled(str(form.get("start")), start_ns)
    if end_ns <= start_ns:
        raise Refused(422, "data_time_range_start_on_or_after_end", f"start was {form['start']}, which is not before end")
    if start_ns >= tape.end_ns:
        raise Refused(422, "data_start_after_available_end", f"start was {form['start']}; data end at {iso(tape.end_ns)}")
    if end_ns > tape.end_ns:
        raise Refused(422, "data_end_after_available_end", f"end was {form.get('end')}; data end at {iso(tape.end_ns)}")
    first, last = day_of(start_ns), day_of(end_ns - 1) + timedelta(days=1)
    contracts = names.contracts(symbols, stype_in, first, last)
    if not contracts:
        raise Refused(422, "symbology_invalid_request", "None of the symbols could be resolved")
    limit = str(form.get("limit") or "")
    given = {**form, "stype_in": stype_in, "symbols": ",".join(symbols)}
    return Query(tape, given, start_ns, end_ns, int(limit) if limit.isdigit() else None, tuple(contracts))


def require_dataset(form: Mapping[str, Any], tape: Tape) -> None:
    """Refuse another dataset than the tape's."""
    if form.get("dataset") != tape.dataset:
        raise Refused(422, "data_unknown_dataset", f"dataset was {form.get('dataset')!r}; this gateway has {tape.dataset}")


def read_symbols(form: Mapping[str, Any]) -> list[str]:
    """The symbols of a request."""
    symbols = [one for one in str(form.get("symbols") or "").split(",") if one]
    if not 0 < len(symbols) <= _MAX_SYMBOLS:
        raise Refused(422, "symbology_invalid_request", f"{len(symbols)} symbols were given; give 1 to {_MAX_SYMBOLS}")
    return symbols


def read_time(text: Any, name: str) -> int:
    """UTC nanoseconds of a time in any form that the client sends: ISO 8601, or nanoseconds."""
    try:
        if str(text).isdigit():
            return int(text)
        return iso_ns(str(text))
    except ValueError:
        raise Refused(422, "invalid_time", f"{name} was {text!r}; give ISO 8601 or nanoseconds since 1970") from None


def read_date(text: Any, name: str) -> date:
    """A UTC day."""
    return day_of(read_time(text, name))


def day_of(ns: int) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(ns // NS_PER_S, UTC).date()


def iso(ns: int) -> str:
    """A moment as the vendor writes it."""
    return f"{datetime.fromtimestamp(ns // NS_PER_S, UTC):%Y-%m-%dT%H:%M:%S}.{ns % NS_PER_S:09}Z"


def _filled(text: str, start_ns: int) -> int:
    """The end that a day without one has."""
    if len(text) != len("2026-02-06"):
        raise Refused(422, "invalid_time", f"end is missing; only a day as start, not {text!r}, goes without one here")
    return start_ns + NS_PER_DAY
