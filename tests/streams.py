"""Order streams for tests: records by hand, hostile random ones, and DBN files made of them."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import databento_dbn as dbn
import numpy as np
import zstandard
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.schema import MBO_DTYPE
from tests.reference import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_PRICE, Record

DAY = dt.date(2026, 2, 6)
DAY_START = int(dt.datetime.combine(DAY, dt.time(), dt.UTC).timestamp()) * 10**9
OPEN = DAY_START + 14 * 3600 * 10**9  # 09:00 in New York
TICK = 250_000_000
MID_TICK = 86_400  # 21,600.00 dollars
SYMBOL = "MNQH6"
INSTRUMENT_ID = 42_004_000


def record(
    action: str,
    order_id: int = 1,
    *,
    side: str = "B",
    tick: int = 0,
    size: int = 1,
    flags: int = F_LAST,
    time: int = 0,
    price: int | None = None,
) -> Record:
    """One record `time` ns after 09:00, `tick` ticks from 21,600.00."""
    at = OPEN + time
    level = (MID_TICK + tick) * TICK if price is None else price
    return Record(action, side, level, size, order_id, flags, at, at + 100_000, INSTRUMENT_ID)


def harmless(ms: float, flags: int = F_LAST) -> Record:
    """An add far from the best prices, `ms` after 09:00."""
    return record("A", 5000 + round(ms * 10), tick=-6, time=round(ms * 1_000_000), flags=flags)


def to_array(records: Sequence[Record]) -> NDArray[np.void]:
    """The records as they lie in a DBN file, shape (n,) of `MBO_DTYPE`."""
    rows = np.zeros(len(records), MBO_DTYPE)
    rows["length"], rows["rtype"], rows["publisher_id"] = MBO_DTYPE.itemsize // 4, 160, 1
    for name in ("ts_event", "ts_recv", "order_id", "price", "size", "flags", "instrument_id"):
        rows[name] = [getattr(r, name) for r in records]
    rows["action"] = [ord(r.action) for r in records]
    rows["side"] = [ord(r.side) for r in records]
    rows["sequence"] = np.arange(1, len(records) + 1)
    return rows


def metadata(
    symbols: Mapping[str, int],
    day: dt.date,
    schema: dbn.Schema | None = dbn.Schema.MBO,
    end_ns: int | None = None,
    n_days: int = 1,
) -> bytes:
    """Encoded DBN metadata that maps raw symbols to instrument ids for some days; `end_ns` is where the data are said to end."""
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 10**9
    mappings = [
        SimpleNamespace(
            raw_symbol=raw,
            intervals=[SimpleNamespace(start_date=day, end_date=day + dt.timedelta(n_days), symbol=str(number))],
        )
        for raw, number in symbols.items()
    ]
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=start,
        end=end_ns,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=schema,
        symbols=list(symbols),
        mappings=mappings,
    ).encode()


def write_dbn(
    path: Path,
    rows: NDArray[np.void],
    symbols: Mapping[str, int] | None = None,
    day: dt.date = DAY,
    end_ns: int | None = None,
    n_days: int = 1,
) -> Path:
    """A DBN file of these records, compressed where its name ends in .zst."""
    head = metadata({SYMBOL: INSTRUMENT_ID} if symbols is None else symbols, day, end_ns=end_ns, n_days=n_days)
    content = head + rows.tobytes()
    path.write_bytes(zstandard.ZstdCompressor().compress(content) if path.suffix == ".zst" else content)
    return path


def build_up(n_levels: int = 6, size: int = 5) -> list[Record]:
    """A snapshot in the documented form: Clear, then adds on both sides, F_LAST on the last."""
    clear = record("R", 0, side="N", price=UNDEF_PRICE, size=0, flags=F_SNAPSHOT)
    orders = [
        record(
            "A",
            1000 + 2 * i + (side == "A"),
            side=side,
            tick=-1 - i if side == "B" else i + 1,
            size=size,
            flags=F_SNAPSHOT,
        )
        for i in range(n_levels)
        for side in "BA"
    ]
    last = orders.pop()
    return [clear, *orders, Record(**{**vars(last), "flags": F_SNAPSHOT | F_LAST})]


def _shifted(steps: Iterable[tuple[Record, int]]) -> list[Record]:
    """Records set in time by the gap before each; a negative gap makes one late record, the clock does not go back."""
    clock = 0
    out = []
    for item, gap in steps:
        clock += max(gap, 0)
        at = item.ts_event + clock + min(gap, 0)
        out.append(Record(**{**vars(item), "ts_event": at, "ts_recv": at + 100_000}))
    return out


def records(
    actions: str = "AAAAAACCCMMMFFFTNR", min_size: int = 40, max_size: int = 250, n_ids: int = 12, n_ticks: int = 8
) -> st.SearchStrategy[list[Record]]:
    """Hostile streams: few ids, so that adds are doubled and fills, cancels and modifies meet known and unknown orders.

    Flags vary (event ends, snapshot records, bad times), sizes are 0 and huge too, prices are undefined at times, times stand
    still, leap and come late.
    """
    flags = st.sampled_from([0, F_LAST, F_LAST, F_LAST, F_LAST | 2, F_SNAPSHOT, F_SNAPSHOT | F_LAST])
    marks = st.sampled_from([0] * 12 + [F_BAD_TS_RECV, F_MAYBE_BAD_BOOK])
    item = st.builds(
        lambda action, order_id, side, tick, size, flag, mark, price: record(
            action, order_id, side=side, tick=tick, size=size, flags=flag | mark, price=price
        ),
        st.sampled_from(actions),
        st.integers(1, n_ids),
        st.sampled_from("BBBBAAAAN"),
        st.integers(-n_ticks, n_ticks),
        st.sampled_from([0, 1, 1, 2, 3, 5, 8, 2**32 - 1]),
        flags,
        marks,
        st.sampled_from([None] * 20 + [UNDEF_PRICE]),
    )
    gap = st.sampled_from([0, 0, 0, 1, 999, 10_000, 5_000_000, 60_000_000, 350_000_000, -40_000_000, -200_000_000])
    return st.lists(st.tuples(item, gap), min_size=min_size, max_size=max_size).map(_shifted)
