"""The plain Python reading of engine.md before the conformance kit; it also keeps time priority, which the engine does not."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

from engine.config import load_instrument
from tests.conformance.answers import Observed, Values
from tests.conformance.generator import DAY, OPEN_NS, at_ns
from tests.reference import BAD_TIME, COLD, CROSSED, DOUBTFUL, ONE_SIDED, UNDEF_PRICE, Book, Record, prepare, tick_of
from tests.reference_session import Bin, Session
from tests.reference_source import Refused, read_contract

QUALITY = {COLD: "cold", CROSSED: "crossed", ONE_SIDED: "one_sided", BAD_TIME: "bad_time", DOUBTFUL: "doubtful_book"}
DAY_START = int(dt.datetime.combine(DAY, dt.time(), dt.UTC).timestamp()) * 10**9


def observe(case: Values, path: Path) -> Observed:
    """Go through a case's file."""
    config = load_instrument(overrides=case.get("config", {}))
    try:
        contract = read_contract(path.read_bytes(), config.symbol)
    except Refused as error:
        return Observed(refused=str(error))
    session = Session(config, DAY)
    bins = list(session.run(contract.records, contract.end_ns))
    return Observed(
        kept=session.n_kept,
        anomalies=dict(session.anomalies),
        notices=contract.n_damages + contract.n_remarks,
        books=[book_at(contract.records, config.tick_int, str(book["at"])) for book in case.get("books", [])],
        bins=[bin_values(one) for one in bins],
        rows=[row_values(bins[row["bin"]], config, row["price"]) for row in case.get("rows", [])],
        judges_quality=tuple(QUALITY.values()),
    )


def book_at(records: list[Record], tick_int: int, at: str) -> Values:
    """The book at a moment, with each level's ids in order of priority."""
    until = 2**64 if at == "end" else at_ns(at)
    book, rank = Book(tick_int), dict[int, int]()

    def forget() -> None:
        nonlocal book
        book = Book(tick_int)
        rank.clear()

    for i, (_, record) in enumerate(prepare((r for r in records if r.ts_recv <= until), DAY_START, book.anomalies, forget)):
        old = book.orders.get(record.order_id)
        # Priority is lost by a change of price or side and by growing; shrinking keeps it.
        moved = old is None or (old.price, old.side) != (record.price, record.side) or record.size > old.size
        if record.action == "A" or (record.action == "M" and moved):
            rank[record.order_id] = i
        book.apply(record)
    values: Values = {"valid": book.is_valid, "queues": {}}
    for name, side in (("bids", "B"), ("asks", "A")):
        levels: dict[int, list[int]] = {}
        for order_id in sorted((i for i, o in book.orders.items() if o.side == side and o.size > 0), key=rank.__getitem__):
            levels.setdefault(tick_of(book.orders[order_id].price, tick_int), []).append(order_id)
        ticks = sorted(levels, reverse=side == "B")
        values[name] = [[t * tick_int / 1e9, sum(book.orders[i].size for i in levels[t]), len(levels[t])] for t in ticks]
        values["queues"] |= {t * tick_int / 1e9: ids for t, ids in levels.items() if side == "B"}
    return values


def bin_values(one: Bin) -> Values:
    """A bin in the words of the answers."""
    f = one.fields
    names = {name: f"{name}_price_int" for name in ("best_bid", "best_ask", "last_trade")} | {"spot": "spot_ref_price_int"}
    names |= {name: f"{name}_int" for name in ("bid_low", "bid_high", "ask_low", "ask_high")}
    prices = {name: None if f[field] == UNDEF_PRICE else f[field] / 1e9 for name, field in names.items()}
    counts = ("event_id", "best_bid_size", "best_ask_size", "trade_count", "buy_volume", "sell_volume")
    counts += ("unsided_volume", "traded_buy_outside", "traded_sell_outside")
    return {
        **prices,
        **{name: f[name] for name in counts},
        "event_count": f["bin_event_count"],
        "start_ms": (f["bin_start_ns"] - OPEN_NS) / 1e6,
        "mid": None if math.isnan(f["mid_price"]) else f["mid_price"],
        "valid": f["book_valid"],
        "bid_move": one.grid["best_bid_move_ticks"][0],
        "ask_move": one.grid["best_ask_move_ticks"][0],
        "quality": [name for bit, name in QUALITY.items() if f["quality"] & bit],
    }


def row_values(one: Bin, config: Any, price: float) -> Values:
    """Every column of the row at a price."""
    k = (int(price * 10**9) - one.fields["spot_ref_price_int"]) // config.tick_int
    return {name: column[k + config.grid_radius_ticks] for name, column in one.grid.items()}
