"""The engine before the conformance kit: one case's file in, what it says of it out."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.book.owner import view_book
from engine.config import InstrumentConfig, load_instrument
from engine.constants import NS_PER_S, QUALITY_NAMES, UNDEF_PRICE
from engine.errors import SourceError
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.source.records import Source, open_source
from tests.conformance.answers import Observed, Values
from tests.conformance.generator import DAY, OPEN_NS, at_ns
from tests.sessions import Bins, join

MS = 1_000_000


def dollars(price_int: Any) -> float | None:
    """A price; None for a missing one."""
    return None if price_int == UNDEF_PRICE else int(price_int) / NS_PER_S


def observe(case: Values, path: Path, **how: Any) -> Observed:
    """Replay a case's file; ``how`` is `Replay`'s own."""
    config = load_instrument(overrides=case.get("config", {}))
    try:
        source = open_source([path], config, DAY)
        replay = Replay(source, config, **how)
        bins = join(replay)
    except SourceError as error:
        return Observed(refused=str(error))
    firsts = replay.runner.first_anomalies
    return Observed(
        kept=replay.runner.n_events,
        anomalies=replay.anomalies,
        first={kind: [one["order_id"], one["sequence"]] for kind, one in firsts.items()},
        notices=len(replay.source.damage) + len(replay.source.remarks),
        books=[book_at(source, config, str(book["at"])) for book in case.get("books", [])],
        bins=[bin_values(one) for one in bins.fields],
        rows=[row_values(bins, config, row["bin"], row["price"]) for row in case.get("rows", [])],
    )


def book_at(source: Source, config: InstrumentConfig, at: str) -> Values:
    """The book after the last record captured at or before a tape's moment."""
    runner = Runner(config, Span(*source.window))
    until = np.uint64(2**64 - 1 if at == "end" else at_ns(at))
    for records in source.records():
        for _ in runner.feed(records[records["ts_recv"] <= until], 64):
            pass
    view = view_book(runner.engine.book, config.tick_int, depth=1000)
    sides = {
        name: [[one.price, one.size, one.orders] for one in levels] for name, levels in (("bids", view.bids), ("asks", view.asks))
    }
    return {"valid": bool(runner.engine.book.scalars["book_valid"][0]), **sides}


def bin_values(one: np.void) -> Values:
    """A bin in the words of the answers."""
    prices = {name: dollars(one[f"{name}_price_int"]) for name in ("best_bid", "best_ask", "last_trade")}
    prices |= {name: dollars(one[f"{name}_int"]) for name in ("bid_low", "bid_high", "ask_low", "ask_high")}
    counts = ("event_id", "best_bid_size", "best_ask_size", "trade_count", "buy_volume", "sell_volume")
    counts += ("unsided_volume", "traded_buy_outside", "traded_sell_outside")
    return {
        **prices,
        **{name: int(one[name]) for name in counts},
        "event_count": int(one["bin_event_count"]),
        "start_ms": (int(one["bin_start_ns"]) - OPEN_NS) / MS,
        "spot": dollars(one["spot_ref_price_int"]),
        "mid": None if np.isnan(one["mid_price"]) else float(one["mid_price"]),
        "valid": bool(one["book_valid"]),
        "bid_move": int(one["best_bid_move_ticks"]),
        "ask_move": int(one["best_ask_move_ticks"]),
        "quality": [name for bit, name in QUALITY_NAMES.items() if one["quality"] & bit],
    }


def row_values(bins: Bins, config: InstrumentConfig, seq: int, price: float) -> Values:
    """Every column of the row at a price."""
    spot = int(bins.fields["spot_ref_price_int"][seq])
    k = (int(price * NS_PER_S) - spot) // config.tick_int
    return {name: column[seq][k + config.grid_radius_ticks].item() for name, column in bins.grid.items()}
