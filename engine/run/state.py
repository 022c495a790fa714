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
SILENCES: Final = ("holes", "quiet_by_capture", "quiet_by_sequence", "quiet_by_rhythm", "quiet_by_heartbeat")
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
        ("n_kept", "<i8"),  # records that went into the book, those before the session included
        ("event_id", "<i8"),  # kept events so far, since the session began where it began anew
        ("latest_ts", "<i8"),  # ns, greatest effective time inside the window
        ("session_begun", "<i8"),  # 1 once a record was captured inside the window,
        ("session_ended", "<i8"),  # 1 once one was captured behind it
        ("captured", "<i8"),  # ns, of the last record, and
        ("in_snapshot", "<i8"),  # whether that was one of a snapshot
        ("heard_ts", "<i8"),  # ns, the latest sign of life: when it happened, and
        ("heard_captured", "<i8"),  # when it was captured; both UNSET before the first
        ("sequence", "<i8"),  # of the last record outside a snapshot
        ("n_counting", "<i8"),  # steps of one in a row that it has made
        ("n_rhythm", "<i8"),  # silences of more than a second that the rhythm is made of, and
        ("rhythm_ns", "<i8"),  # their mean
        ("is_judged", "<i8"),  # 1: the silence before the next record is judged
        ("hole_from", "<i8"),  # ns, the last hole, UNSET before the first
        ("hole_until", "<i8"),
        ("is_told", "<i8"),  # 1: by whoever records the feed; it marks every bin that it touches
        ("is_watched", "<i8"),  # 1: whoever records the feed tells every hole, and no silence is one
        ("quiet_from", "<i8"),  # ns, the last silence that was quiet by that word alone, UNSET before the first
        ("quiet_until", "<i8"),
        *((name, "<i8") for name in SILENCES),  # how many of more than a minute in open trading, by what they were judged to be
        ("bin_seq", "<i8"),
        ("bin_start", "<i8"),
        ("bin_events", "<i8"),
        ("trade_count", "<i8"),
        ("buy_volume", "<i8"),
        ("sell_volume", "<i8"),
        ("unsided_volume", "<i8"),
        ("n_traded", "<i8"),  # entries of the open bin's trade tape
        ("last_trade_price", "<i8"),  # price_int, UNDEF_PRICE before the first
        ("bid_low", "<i8"),  # ticks, NO_TICK until a sound event end
        ("bid_high", "<i8"),
        ("ask_low", "<i8"),
        ("ask_high", "<i8"),
        ("quality", "<i8"),
        ("previous_bid", "<i8"),  # price_int at the end of the bin before, UNDEF_PRICE where missing
        ("previous_ask", "<i8"),
    ]
)
# Order flow at ticks outside the slots, left for the owner by one record; a price change has two.
FAR_DTYPE: Final = np.dtype([("tick", "<i8"), ("ts", "<i8"), ("add", "<f8"), ("pull", "<f8"), ("fill", "<f8")])
N_FAR: Final = 2

# What traded in the open bin, in order: one entry for each run of trades at one tick, contracts by aggressor.
TRADED_DTYPE: Final = np.dtype([("tick", "<i8"), ("buy", "<i8"), ("sell", "<i8")])

CARE_FAR: Final = 1  # bits of `care`: order flow outside the slots,
CARE_SYNC: Final = 2  # the field's depths were synchronised with the book,
CARE_RECENTRE: Final = 4  # spot is near the edge of the slots,
CARE_TABLE: Final = 8  # the book was cleared and its order table may be small again,
CARE_HOLE: Final = 16  # a hole in the feed has ended,
CARE_TAPE: Final = 32  # the trade tape is full,
CARE_QUIET: Final = 64  # a silence has ended that nothing but the watch over the feed says was quiet

ANOMALY_DTYPE: Final = np.dtype(
    [("count", "<i8"), ("order_id", "<u8"), ("sequence", "<i8"), ("ts_event", "<u8")]  # the first one's
)


class Engine(NamedTuple):
    """All mutable state of a run.

    ``run`` (1,), ``counts`` (n_kinds,), ``far`` (N_FAR,) with tick NO_TICK where unused, ``traded`` (2^m,) of which the first
    ``n_traded`` hold, and never all; ``sessions`` (m, 2) ns of open trading.
    """

    run: Structured
    counts: Structured
    far: Structured
    traded: Structured
    sessions: Ints
    book: BookState
    field: FieldState
    spectrum: SpectrumState


class Out(NamedTuple):
    """Room for a block: ``bins`` (n,), then per kind of column ``(n, columns, rows)``; ``codes`` and ``event_ids`` (n, rows)."""

    bins: BinRows
    floats: Floats
    codes: NDArray[np.int8]
    moves: NDArray[np.int32]
    labels: NDArray[np.int8]
    event_ids: Ints
    traded: NDArray[np.int32]


def no_far_flow() -> Structured:
    """Room for what a record does outside the slots, unused."""
    far = np.zeros(N_FAR, FAR_DTYPE)
    far["tick"] = NO_TICK
    return far


@inline_kernel
def has_both_sides(s: Record) -> bool:
    """Whether the book has a best bid and a best ask."""
    return s["best_bid"] != NO_TICK and s["best_ask"] != NO_TICK


@inline_kernel
def middle_tick(low: int, high: int) -> int:
    """floor((low + high) / 2 + 1/2) without overflow."""
    return (low >> 1) + (high >> 1) + (((low & 1) + (high & 1) + 1) >> 1)
