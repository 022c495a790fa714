"""All mutable state of a run, the room for its bins, and the words for its phases."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.book.kernels import NO_TICK, BookState
from engine.field.kernels import FieldState
from engine.field.spectrum import SpectrumState
from engine.jit import inline_kernel
from engine.schema import BinRows, Floats, Ints, Record, Structured

BOOK_ONLY: Final = 0  # phases: before the warm-up,
WARM_UP: Final = 1  # the field runs,
BINS: Final = 2  # bins are emitted

UNSET: Final = -(2**63)
QUIET: Final = 4  # perm_microstate_id of unmoved quotes

RUN_DTYPE: Final = np.dtype(
    [
        ("phase", "<i8"),
        ("warm_start", "<i8"),  # ns; events before it build the book only
        ("first_bin", "<i8"),  # ns, UNSET until the first event when no start was given
        ("day_start", "<i8"),  # ns, the session window
        ("day_end", "<i8"),
        ("max_bins", "<i8"),  # -1 without limit
        ("pause_at_warm_up", "<i8"),  # 1: stop once before the record that opens the warm-up
        ("instrument_id", "<i8"),  # of the last kept record, UNSET before the first
        ("care", "<i8"),  # bits: what the owner must see to before the next record
        ("n_parked", "<i8"),  # ticks whose state lies outside the slots, with the owner
        ("event_id", "<i8"),  # kept events so far
        ("latest_ts", "<i8"),  # ns, greatest effective time inside the window
        ("bin_seq", "<i8"),
        ("bin_start", "<i8"),
        ("bin_events", "<i8"),
        ("trade_count", "<i8"),
        ("buy_volume", "<i8"),
        ("sell_volume", "<i8"),
        ("last_trade_price", "<i8"),
        ("bid_low", "<i8"),  # ticks, NO_TICK until a sound event end
        ("bid_high", "<i8"),
        ("ask_low", "<i8"),
        ("ask_high", "<i8"),
        ("quality", "<i8"),
        ("previous_bid", "<i8"),  # price_int at the end of the bin before, 0 where missing
        ("previous_ask", "<i8"),
    ]
)
# Order flow at ticks outside the slots, left for the owner by one record; a price change has two.
FAR_DTYPE: Final = np.dtype([("tick", "<i8"), ("ts", "<i8"), ("add", "<f8"), ("pull", "<f8"), ("fill", "<f8")])
N_FAR: Final = 2

CARE_FAR: Final = 1  # bits of `care`: order flow outside the slots,
CARE_SYNC: Final = 2  # the field's depths were synchronised with the book,
CARE_RECENTRE: Final = 4  # spot is near the edge of the slots,
CARE_TABLE: Final = 8  # the book was cleared and its order table may be small again

ANOMALY_DTYPE: Final = np.dtype(
    [("count", "<i8"), ("order_id", "<u8"), ("sequence", "<i8"), ("ts_event", "<u8")]  # the first one's
)


class Engine(NamedTuple):
    """All mutable state of a run.

    ``run`` (1,), ``counts`` (n_kinds,), ``far`` (N_FAR,) with tick NO_TICK where unused, ``sessions`` (m, 2) ns of open trading.
    """

    run: Structured
    counts: Structured
    far: Structured
    sessions: Ints
    book: BookState
    field: FieldState
    spectrum: SpectrumState


class Out(NamedTuple):
    """Room for a block: ``bins`` (n,), then per grid dtype ``(n, columns, rows)``; ``codes`` and ``event_ids`` (n, rows)."""

    bins: BinRows
    floats: Floats
    codes: NDArray[np.int8]
    moves: NDArray[np.int32]
    labels: NDArray[np.int8]
    event_ids: Ints


@inline_kernel
def has_both_sides(s: Record) -> bool:
    """Whether the book has a best bid and a best ask."""
    return s["best_bid"] != NO_TICK and s["best_ask"] != NO_TICK


@inline_kernel
def middle_tick(low: int, high: int) -> int:
    """floor((low + high) / 2 + 1/2) without overflow."""
    return (low >> 1) + (high >> 1) + (((low & 1) + (high & 1) + 1) >> 1)
