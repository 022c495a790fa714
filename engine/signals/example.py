"""Bins that look like a market's, for checking signals on."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.schema import BIN_DTYPE, GRID_COLUMNS, GRID_F64, GRID_TRADED, MODEL_FIELD_NAMES, MODEL_PREFIX, BinRows, Ints
from engine.signals.base import SignalLike, signal_inputs
from engine.signals.mirror import FIELDS, GRID, counterpart

EXAMPLE_TICK_INT: Final = 250_000_000  # 1e-9 dollars
EXAMPLE_SPOT: Final = 80_000  # ticks: 20,000.00 dollars
EXAMPLE_BIN_NS: Final = 100_000_000
EXAMPLE_START_NS: Final = 1_770_386_400_000_000_000  # 2026-02-06, 14:00 UTC
EXAMPLE_FIRST_TRADE: Final = 3  # bins before it know no trade


def example_bins(n: int, radius: int = 50, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Bins that look like a market's, with every grid column, and every bin field whose name is no grid column's.

    Columns drift and differ from row to row, the mid walks on half ticks, and a bin in fifty has a doubtful book or no mid.
    Quotes, moves, labels and depths by side agree with each other; five-state codes are drawn row by row, and what has no side is
    noise.
    """
    grid, fields = example_market(n, radius, seed)
    return {name: fields[name].copy() for name in FIELDS} | grid


def example_inputs(signal: SignalLike | type[SignalLike], n: int, radius: int = 50, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Of `example_bins`, what a signal reads, and the other side of it, without which it has no mirror image."""
    grid, fields = example_market(n, radius, seed)
    x = signal_inputs(signal, grid, fields)
    for name in tuple(x):
        source, schema = (grid, GRID) if x[name].ndim == 2 else (fields, FIELDS)
        other = counterpart(name, schema)
        x.setdefault(other, source[other])
    return x


def example_market(n: int, radius: int, seed: int) -> tuple[dict[str, NDArray[Any]], BinRows]:
    rng = np.random.default_rng(seed)
    rows = 2 * radius + 1
    x: dict[str, NDArray[Any]] = {}
    for name, code in GRID_COLUMNS.items():
        if name in GRID_TRADED:
            x[name] = np.zeros((n, rows), code)
        elif name in GRID_F64:
            steps = rng.standard_normal((n, rows)) + 2.0 * rng.standard_normal((n, 1))
            x[name] = np.cumsum(steps, axis=0) * 0.1 + rng.standard_normal((n, rows))
        else:
            x[name] = rng.integers(-1, 2, (n, rows)).astype(code)
    x["k"] = np.broadcast_to(np.arange(-radius, radius + 1, dtype=np.int32), (n, rows))
    x["spectrum_score"] = np.tanh(x["spectrum_score"])
    x["perm_state5_code"] = rng.integers(-2, 3, (n, rows)).astype(np.int8)
    x["perm_state5_code"][rng.random(n) < 0.5] = 0
    fields = np.zeros(n, BIN_DTYPE)
    fields["bin_seq"] = np.arange(n)
    walk = np.cumsum(rng.integers(-3, 4, n))  # half ticks
    fields["mid_price"] = 20_000.0 + 0.125 * walk
    fields["quality"][rng.random(n) < 0.02] = 1
    fields["mid_price"][rng.random(n) < 0.01] = np.nan
    _add_quotes(x, fields, walk, np.random.default_rng((seed, 1)))
    _add_run(fields, np.random.default_rng((seed, 2)))
    _add_traded(x, fields, np.random.default_rng((seed, 3)))
    for name in fields.dtype.names or ():
        if name in x:  # quote moves and their labels: a bin's rows all bear its own
            x[name] = np.repeat(fields[name][:, np.newaxis], rows, axis=1)
    return x, fields


def _add_quotes(x: dict[str, NDArray[Any]], fields: BinRows, walk: Ints, rng: np.random.Generator) -> None:
    """Best prices around a mid ``walk`` half ticks from 20,000.00, and what follows from them: moves, labels, depths by side."""
    n, rows = x["k"].shape
    twice = 2 * EXAMPLE_SPOT + walk  # half ticks
    half_spread = rng.integers(0, 2, n) + 1  # a mid on a tick lies between quotes an even number of ticks apart
    bid, ask = (twice + 1) // 2 - half_spread, twice // 2 + half_spread
    spot = (twice + 1) // 2
    price = spot[:, np.newaxis] + x["k"]
    depth = np.floor(10.0 * np.abs(x["rest_depth"])) + 1.0  # contracts
    for side, lies_there in (("bid", price <= bid[:, np.newaxis]), ("ask", price >= ask[:, np.newaxis])):
        for name in ("", "v_", "a_", "j_"):
            x[f"{name}{side}_depth"] = np.where(lies_there, x[f"{name}rest_depth"] if name else depth, 0.0)
    for order in ("", "v_", "a_", "j_"):
        x[f"{order}rest_depth"] = x[f"{order}bid_depth"] + x[f"{order}ask_depth"]
    one_sided = np.isnan(fields["mid_price"])
    bid_goes = one_sided & (rng.random(n) < 0.5)
    for side, tick, is_gone in (("bid", bid, bid_goes), ("ask", ask, one_sided & ~bid_goes)):
        at = np.clip(tick - spot + rows // 2, 0, rows - 1)
        fields[f"best_{side}_price_int"] = np.where(is_gone, UNDEF_PRICE, tick * EXAMPLE_TICK_INT)
        fields[f"best_{side}_size"] = np.where(is_gone, 0, x[f"{side}_depth"][np.arange(n), at])
        was_gone = np.concatenate([is_gone[:1], is_gone[:-1]])
        move = np.where(is_gone | was_gone, 0, np.diff(tick, prepend=tick[:1]))
        fields[f"best_{side}_move_ticks"] = move
        fields[f"{side}_reprice_sign"] = np.sign(move)
        for extreme, way in (("low", -1), ("high", 1)):
            reach = (tick + way * rng.integers(0, 2, n)) * EXAMPLE_TICK_INT
            fields[f"{side}_{extreme}_int"] = np.where(one_sided, UNDEF_PRICE, reach)
    ask_sign, bid_sign = fields["ask_reprice_sign"], fields["bid_reprice_sign"]
    fields["perm_microstate_id"] = 3 * (ask_sign + 1) + bid_sign + 1
    fields["chase_up_flag"] = (ask_sign > 0) & (bid_sign > 0)
    fields["chase_down_flag"] = (ask_sign < 0) & (bid_sign < 0)
    fields["spot_ref_price_int"] = np.where(one_sided, UNDEF_PRICE, spot * EXAMPLE_TICK_INT)
    traded = np.where(rng.random(n) < 0.5, bid, ask) * EXAMPLE_TICK_INT
    fields["last_trade_price_int"] = np.where(np.arange(n) < EXAMPLE_FIRST_TRADE, UNDEF_PRICE, traded)


def _add_traded(x: dict[str, NDArray[Any]], fields: BinRows, rng: np.random.Generator) -> None:
    """Where a bin's volumes traded: at most two rows each, about every fifth contract outside the rows."""
    n, rows = x["k"].shape
    every = np.arange(n)
    for side in ("buy", "sell"):
        volume = fields[f"{side}_volume"]
        outside, first = rng.binomial(volume, 0.2), rng.integers(0, rows - 1, n)
        near = rng.binomial(volume - outside, 0.7)
        x[f"traded_{side}"][every, first] = near
        x[f"traded_{side}"][every, first + 1] = volume - outside - near
        fields[f"traded_{side}_outside"] = outside
    fields["unsided_volume"] = rng.poisson(0.1, n)


def _add_run(fields: BinRows, rng: np.random.Generator) -> None:
    """Times, counts and volumes, and the outputs of some signal."""
    n = len(fields)
    fields["bin_start_ns"] = EXAMPLE_START_NS + np.arange(n) * EXAMPLE_BIN_NS
    fields["bin_end_ns"] = fields["ts_ns"] = fields["bin_start_ns"] + EXAMPLE_BIN_NS
    fields["bin_event_count"] = rng.poisson(100.0, n)
    fields["event_id"] = np.cumsum(fields["bin_event_count"])
    fields["book_valid"] = fields["quality"] == 0
    for name in ("buy_volume", "sell_volume"):
        fields[name] = np.where(np.arange(n) < EXAMPLE_FIRST_TRADE, 0, rng.poisson(3.0, n))
    fields["trade_count"] = (fields["buy_volume"] + fields["sell_volume"] + 1) // 2
    for name in MODEL_FIELD_NAMES:
        if BIN_DTYPE[name].kind == "f":
            fields[name] = rng.standard_normal(n)
    for side in ("bull", "bear", "mixed"):
        fields[f"{MODEL_PREFIX}{side}_intensity"] = rng.random(n)
    fields[f"{MODEL_PREFIX}score"] = np.tanh(fields[f"{MODEL_PREFIX}score"])
    fields[f"{MODEL_PREFIX}sample_count"] = np.arange(1, n + 1)
    fields[f"{MODEL_PREFIX}ready"] = np.arange(n) >= 10
    fields[f"{MODEL_PREFIX}dominant_state5_code"] = rng.integers(-2, 3, n)
