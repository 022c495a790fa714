"""A session by the slow reference: records in, bins out (engine.md sections 3 to 8 joined)."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from tests import reference as ref
from tests import reference_scores as scores

MOST_IN_A_CELL = 2**31 - 1  # contracts
WARMUP_NS = 30 * 60 * 1_000_000_000
DERIVED_COLUMNS = ("add", "pull", "fill", "rest_depth", "bid_depth", "ask_depth")
PERM_NAMES = (
    "center_exclusion_radius", "spatial_decay_power", "zscore_window_bins", "zscore_min_periods", "tanh_scale",
    "d1_weight", "d2_weight", "d3_weight", "bull_pressure_weight", "bull_vacuum_weight", "bear_pressure_weight",
    "bear_vacuum_weight", "mixed_weight", "enable_weighted_blend",
)  # fmt: skip


@dataclass
class Bin:
    """One emitted bin: its fields by name, and its grid as {column: [value per row]}."""

    fields: dict[str, Any]
    grid: dict[str, list[Any]]


@dataclass
class Tally:
    """What a bin counts while it is open."""

    start_ns: int
    n_events: int = 0
    quality: int = 0
    n_trades: int = 0
    buy_volume: int = 0
    sell_volume: int = 0
    unsided_volume: int = 0
    traded: dict[str, Counter[int]] = field(default_factory=lambda: {"B": Counter(), "A": Counter()})  # contracts by tick
    bid_range: tuple[int, int] | None = None
    ask_range: tuple[int, int] | None = None

    def see_quotes(self, bid: int | None, ask: int | None) -> None:
        if bid is None or ask is None or bid >= ask:
            return
        low, high = self.bid_range or (bid, bid)
        self.bid_range = (min(low, bid), max(high, bid))
        low, high = self.ask_range or (ask, ask)
        self.ask_range = (min(low, ask), max(high, ask))


NO_RANGE = (ref.UNDEF_PRICE, ref.UNDEF_PRICE)


def price(known: int | None) -> int:
    """A price as the bins write it: a missing one has a mark that no price is."""
    return ref.UNDEF_PRICE if known is None else known


class Session:
    """All of one day: feed it records, take its bins.

    Parameters
    ----------
    config
        Anything with the instrument's fields as attributes.
    day
        dt of the session: bins are made of its UTC day.
    start_time
        "HH:MM" or "HH:MM:SS" in New York; None lets the first event set the first bin's start.
    """

    def __init__(self, config: Any, day: dt.date, start_time: str | None = None) -> None:
        self.config = config
        self.tick_int = round(config.tick_size / 1e-9)
        self.width_ns = config.cell_width_ms * 1_000_000
        self.day_start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 10**9
        self.start_ns: int | None = None
        self.warm_start_ns: int | None = None
        if start_time is not None:
            clock, zone = dt.time.fromisoformat(start_time), ZoneInfo("America/New_York")
            starts = [int(dt.datetime.combine(d, clock, zone).timestamp()) * 10**9 for d in (day, day - dt.timedelta(1))]
            self.start_ns = next(ns for ns in starts if ns < self.day_start + ref.DAY_NS)  # the one within the UTC day
            self.warm_start_ns = self.start_ns - WARMUP_NS
        self.anomalies: Counter[str] = Counter()
        perm = {name: getattr(config, f"perm_{name}") for name in PERM_NAMES}
        self.model = scores.PermDerivative(perm, config.cell_width_ms, config.grid_radius_ticks)
        self.n_kept = 0
        self.n_bins = 0
        self.last_quotes: dict[str, int | None] = {"B": None, "A": None}
        self._begin()
        self.tally: Tally | None = None

    def _begin(self) -> None:
        """A feed that knows of nothing yet."""
        self.book = ref.Book(self.tick_int)
        self.book.anomalies = self.anomalies
        self.field = ref.Field(self.config)
        self.spectra: dict[int, scores.Spectrum] = {}
        self.n_events = 0
        self.is_anchored = False
        self.runs_field = False
        self.is_cold = True
        self.last_trade_price = ref.UNDEF_PRICE

    def run(self, records: Iterable[ref.Record], until_ns: int | None = None) -> Iterator[Bin]:
        """Every bin of the records, in order; whole ones, empty or not, up to where the data are said to end."""
        for time, record in ref.prepare(records, self.day_start, self.anomalies, self._begin):
            if self.start_ns is None and time >= self.day_start:  # an old snapshot does not start the day
                self.start_ns = self.warm_start_ns = time
            if not self.runs_field and self.warm_start_ns is not None and time >= self.warm_start_ns:
                self.runs_field = True  # from here on for good; the fast-forwarded book becomes the field's
                self.field.synchronise(self.book)
            if self.tally is None and self.start_ns is not None and time >= self.start_ns:
                self._open(self.start_ns)
            while self.tally is not None and time >= self.tally.start_ns + self.width_ns:
                end = self.tally.start_ns + self.width_ns
                yield self._close(end)
                self._open(end)
            self._take(time, record)
        while self.tally is not None:
            end = self.tally.start_ns + self.width_ns
            is_whole = until_ns is not None and end <= until_ns
            if not is_whole and self.tally.n_events == 0:
                break
            yield self._close(end)
            self._open(end)

    def _take(self, time: int, record: ref.Record) -> None:
        self.n_events += 1
        self.n_kept += 1
        flows, was_anchored = self.book.apply(record), self.is_anchored
        self.is_anchored |= None not in (self.book.best("B"), self.book.best("A"))
        if self.runs_field:
            for flow in flows if was_anchored else ():  # the record that sets the anchor finds no slot yet
                self.field.touch(self.book, flow, time, self.n_events)
            if self.book.snapshot_closed or self.is_anchored != was_anchored:
                self.field.synchronise(self.book)
        self._observe(time, record)

    def _observe(self, time: int, record: ref.Record) -> None:
        """What only the bin's own fields need: quality, quote extremes, trades."""
        is_snapshot = bool(record.flags & ref.F_SNAPSHOT)
        if record.action == "R" or is_snapshot:
            self.is_cold = False
        if record.action == "T" and record.price != ref.UNDEF_PRICE:
            self.last_trade_price = record.price
        bid, ask = self.book.best("B"), self.book.best("A")
        is_event_end = bool(record.flags & ref.F_LAST)
        is_crossed = is_event_end and bid is not None and ask is not None and bid >= ask
        if is_crossed:
            self.anomalies["crossed_event_end"] += 1
        tally = self.tally
        if tally is None:
            return
        tally.n_events += 1
        if is_event_end:
            tally.see_quotes(bid, ask)
        if record.action == "T":
            tally.n_trades += 1
            tally.buy_volume += record.size if record.side == "B" else 0
            tally.sell_volume += record.size if record.side == "A" else 0
            tally.unsided_volume += record.size if record.side not in "BA" else 0
            if record.side in "BA" and record.price != ref.UNDEF_PRICE:
                tally.traded[record.side][ref.tick_of(record.price, self.tick_int)] += record.size
        is_late = time < tally.start_ns and not is_snapshot
        if is_late:
            self.anomalies["late_record"] += 1
        tally.quality |= ref.CROSSED if is_crossed else 0
        tally.quality |= ref.BAD_TIME if is_late or (record.flags & ref.F_BAD_TS_RECV and not is_snapshot) else 0
        tally.quality |= ref.DOUBTFUL if record.flags & ref.F_MAYBE_BAD_BOOK else 0

    def _open(self, start_ns: int) -> None:
        self.tally = Tally(start_ns)
        self.tally.see_quotes(self.book.best("B"), self.book.best("A"))

    def _close(self, end: int) -> Bin:
        assert self.tally is not None
        tally, book = self.tally, self.book
        self.field.advance_all(end)
        self._update_spectra()
        bid, ask = book.best("B"), book.best("A")
        has_spot = bid is not None and ask is not None
        spot = math.floor(((bid + ask) / 2) / self.tick_int + 0.5) * self.tick_int if has_spot else ref.UNDEF_PRICE
        moves = {side: self._move(side) for side in "AB"}
        grid = self._grid(spot if has_spot else None, moves)
        quality = tally.quality | (ref.COLD if self.is_cold else 0) | (0 if has_spot else ref.ONE_SIDED)
        quality |= ref.CROSSED if has_spot and bid >= ask else 0  # also where no event of this bin left it so
        fields: dict[str, Any] = {
            "bin_seq": self.n_bins, "bin_start_ns": tally.start_ns, "bin_end_ns": end, "ts_ns": end,
            "bin_event_count": tally.n_events, "event_id": self.n_events,
            "mid_price": (bid + ask) / 2 * 1e-9 if has_spot else math.nan,
            "best_bid_price_int": price(bid), "best_ask_price_int": price(ask),
            "best_bid_size": book.best_size("B"), "best_ask_size": book.best_size("A"),
            "spot_ref_price_int": spot, "book_valid": book.is_valid, "quality": quality,
            "bid_low_int": (tally.bid_range or NO_RANGE)[0], "bid_high_int": (tally.bid_range or NO_RANGE)[1],
            "ask_low_int": (tally.ask_range or NO_RANGE)[0], "ask_high_int": (tally.ask_range or NO_RANGE)[1],
            "trade_count": tally.n_trades, "buy_volume": tally.buy_volume, "sell_volume": tally.sell_volume,
            "unsided_volume": tally.unsided_volume,
            "traded_buy_outside": tally.buy_volume - sum(grid["traded_buy"]),
            "traded_sell_outside": tally.sell_volume - sum(grid["traded_sell"]),
            "last_trade_price_int": self.last_trade_price,
        }  # fmt: skip
        fields |= self._labels(moves)
        outputs = self.model.update(grid["perm_state5_code"])
        fields |= {f"runtime_model_{name}": value for name, value in outputs.items()}
        self.n_bins += 1
        self.last_quotes = {"B": bid, "A": ask}
        return Bin(fields, grid)

    def _update_spectra(self) -> None:
        for tick, state in self.field.ticks.items():
            spectrum = self.spectra.get(tick)
            if spectrum is None:
                spectrum = self.spectra[tick] = scores.Spectrum(self.config, self.n_bins)
            spectrum.update(state.pressure, state.vacuum)

    def _move(self, side: str) -> int:
        best, last = self.book.best(side), self.last_quotes[side]
        return 0 if best is None or last is None else (best - last) // self.tick_int

    def _grid(self, spot: int | None, moves: dict[str, int]) -> dict[str, list[Any]]:
        radius = self.config.grid_radius_ticks
        rows = [self._row(k, spot, moves) for k in range(-radius, radius + 1)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _row(self, k: int, spot: int | None, moves: dict[str, int]) -> dict[str, Any]:
        tick = None if spot is None else spot // self.tick_int + k
        state = self.field.ticks.get(tick) if tick is not None else None
        if spot is None:
            moves = {"A": 0, "B": 0}
        row: dict[str, Any] = {"k": k}
        row |= dict.fromkeys(("pressure_variant", "vacuum_variant", "add_mass", "pull_mass", "fill_mass"), 0.0)
        row |= dict.fromkeys(("rest_depth", "bid_depth", "ask_depth"), 0.0)
        row |= {f"{d}_{name}": 0.0 for d in ref.DERIVED for name in DERIVED_COLUMNS}
        row |= {"spectrum_score": 0.0, "spectrum_state_code": 0, "last_event_id": 0}
        if state is not None and tick is not None:
            row |= {"pressure_variant": state.pressure, "vacuum_variant": state.vacuum}
            row |= {f"{name}_mass": mass for name, mass in state.mass.items()}
            row |= state.depth | {"rest_depth": sum(state.depth.values())}
            row |= {f"{d}_{name}": state.derived(i, name) for i, d in enumerate(ref.DERIVED) for name in DERIVED_COLUMNS}
            score, threshold = self.spectra[tick].score(), self.config.spectrum_threshold_neutral
            row |= {"spectrum_score": score, "spectrum_state_code": (score >= threshold) - (score <= -threshold)}
            row["last_event_id"] = state.last_event_id
        table = getattr(self.config, "state5_table", "reference")
        for name, side in (("traded_buy", "B"), ("traded_sell", "A")):
            traded = 0 if tick is None or self.tally is None else self.tally.traded[side][tick]
            row[name] = min(traded, MOST_IN_A_CELL)  # the rest stands outside: the page does not say, so that none is lost
        state5 = scores.state5(table, scores.sign(moves["A"]), scores.sign(moves["B"]), k)
        return row | self._labels(moves) | {"perm_state5_code": state5}

    @staticmethod
    def _labels(moves: dict[str, int]) -> dict[str, int]:
        """Quote moves as a bin and, around a spot, its rows bear them."""
        ask_sign, bid_sign = scores.sign(moves["A"]), scores.sign(moves["B"])
        return {
            "best_ask_move_ticks": moves["A"], "best_bid_move_ticks": moves["B"],
            "ask_reprice_sign": ask_sign, "bid_reprice_sign": bid_sign,
            "perm_microstate_id": 3 * (ask_sign + 1) + (bid_sign + 1),
            "chase_up_flag": int(ask_sign > 0 and bid_sign > 0),
            "chase_down_flag": int(ask_sign < 0 and bid_sign < 0),
        }  # fmt: skip
