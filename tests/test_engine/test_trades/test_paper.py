"""Trades on paper, a bin at a time: the judge's over the same bins, each of them, to the last bit."""

from typing import Any

import numpy as np
import pytest

from engine.constants import UNDEF_PRICE
from engine.errors import ChampionError, ConfigError
from engine.schema import BIN_DTYPE, BinRows, Floats, Ints
from engine.trades.paper import REASONS, Closed, Opened, PaperTrader, plan_of, plan_values
from engine.trades.tape import tape_of
from tests.test_tune.markets import TICK, sound_rules
from tune.rules import Rules
from tune.scoring import make_plan, walk_all

CLOSES = ((1500, 1900), (3000, 3100))  # bins outside the hours of trading
START_NS, WIDTH_NS = 1_770_000_000_000_000_000, 100_000_000
Trade = tuple[int, int, int, int, str, bool, float]
NO_BINS = np.zeros(0, np.int64)


def market(n: int, seed: int) -> BinRows:
    """A random walk with crossed and one-sided bins, gaps, closes, and a spread of one tick or two."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.choice([-1, 1], size=(n, 3)), axis=None).reshape(n, 3) + 84_000
    bid = path * TICK
    ask = bid + np.where(rng.random(n) < 0.1, 2, 1)[:, None] * TICK
    bins = np.zeros(n, BIN_DTYPE)
    bins["bin_start_ns"] = START_NS + np.arange(n) * WIDTH_NS
    bins["ts_ns"] = bins["bin_end_ns"] = bins["bin_start_ns"] + WIDTH_NS
    bins["best_bid_price_int"], bins["best_ask_price_int"] = bid[:, -1], ask[:, -1]
    bins["bid_low_int"], bins["bid_high_int"] = bid.min(1), bid.max(1)
    bins["ask_low_int"], bins["ask_high_int"] = ask.min(1), ask.max(1)
    bins["mid_price"] = (bid[:, -1] + ask[:, -1]) / 2e9
    bins["quality"][rng.random(n) < 0.02] = 4
    bins["quality"][rng.random(n) < 0.002] = 2
    one_sided = rng.random(n) < 0.01
    bins["best_bid_price_int"][one_sided], bins["mid_price"][one_sided] = UNDEF_PRICE, np.nan
    bins["quality"][one_sided] |= 8
    for first, last in CLOSES:
        bins["quality"][first:last] = 64
    return bins


def hours_of(bins: BinRows) -> Ints:
    """Open trading, as the calendar has it."""
    at = bins["bin_start_ns"]
    return np.array([[0, at[1500]], [at[1900], at[3000]], [at[3100], 2**62]], np.int64)


def wave(n: int, seed: int) -> Floats:
    """A score that swings, with holes."""
    rng = np.random.default_rng(seed)
    score = np.sin(np.cumsum(rng.normal(size=n)) * 0.05)
    score[rng.random(n) < 0.02] = np.nan
    return score


def trader(rules: Rules, first_bin: int = 0, hours: Ints | None = None) -> PaperTrader:
    plan = make_plan([0.5], [rules], "signed", NO_BINS)
    return PaperTrader(plan_of(plan_values(plan)), rules.fill, rules.fee_ticks, first_bin, hours)


def judged(bins: BinRows, score: Floats, rules: Rules) -> list[Trade]:
    found = walk_all(score, tape_of(bins, rules.fill, rules.sound_only), [0.5], [rules]).trades
    columns = (found.fired, found.entry, found.exit_bin, found.sign, found.reason, found.met_gap, found.pnl)
    return [
        (int(f), int(e), int(x), int(s), REASONS[int(r)], bool(g), float(p)) for f, e, x, s, r, g, p in zip(*columns, strict=True)
    ]


def told(happened: list[Any]) -> list[Trade]:
    return sorted(
        (c.fired, c.entry, c.exit, c.sign, c.reason, c.met_gap, c.gross_ticks) for c in happened if isinstance(c, Closed)
    )


MANY: list[dict[str, Any]] = [
    {},
    {"min_bins_to_close": 150, "max_hold_bins": 60, "tp_ticks": 4},
    {"order_delay_bins": 3, "rearm": False, "cooldown_bins": 0},
    {"order_delay_bins": 0, "trigger": "level", "max_hold_bins": 5},
    {"position": "overlapping", "trigger": "level", "cooldown_bins": 1, "min_bins_to_close": 10},
    {"position": "overlapping", "max_hold_bins": 400, "sl_ticks": 40},
    {"fill": "mid", "sl_ticks": 3},
    {"fill": "mid", "sound_only": False, "position": "overlapping"},
]


@pytest.mark.parametrize("changes", MANY, ids=str)
@pytest.mark.parametrize("block", [1, 7])
def test_the_trades_are_the_judges(changes: dict[str, Any], block: int) -> None:
    n = 3500
    bins, score = market(n, 7), wave(n, 8)
    rules = sound_rules(**{"fee_per_contract": 0.62, **changes})
    paper = trader(rules, hours=hours_of(bins))
    happened: list[Any] = []
    for first in range(0, n, block):
        happened += paper.update(bins[first : first + block], score[first : first + block])
    happened += paper.finish()
    expected = judged(bins, score, rules)
    assert len(expected) > 20
    assert told(happened) == sorted(expected)
    opened = [one.fired for one in happened if isinstance(one, Opened)]
    assert sorted(opened) == [trade[0] for trade in sorted(expected)]


@pytest.mark.parametrize("changes", MANY, ids=str)
def test_a_trader_that_goes_on_from_a_snapshot_trades_as_the_one_that_ran_on(changes: dict[str, Any]) -> None:
    """Cut every 37 bins: in trades, while cooling down, at closes, before the warm-up's end and after the last signal."""
    n = 2200
    bins, score = market(3500, 7)[:n], wave(n, 8)
    rules = sound_rules(**{"fee_per_contract": 0.62, **changes})
    hours = hours_of(market(3500, 7))
    whole = trader(rules, hours=hours)
    expected = [*whole.update(bins[:2000], score[:2000]), *whole.update(bins[2000:], None), *whole.finish()]
    paper, happened, n_bytes = trader(rules, hours=hours), list[Any](), []
    for first in range(0, n, 37):
        fresh = trader(rules, hours=hours)
        data = paper.snapshot()
        n_bytes.append(len(data))
        fresh.restore(data)
        assert fresh.snapshot() == data
        paper, n_scored = fresh, max(0, min(37, 2000 - first))
        happened += paper.update(bins[first : first + n_scored], score[first : first + n_scored])
        happened += paper.update(bins[first + n_scored : first + 37], None)
    happened += paper.finish()
    assert len(happened) > 20
    assert happened == expected
    assert min(n_bytes) < 5_000  # nothing open: no bin is kept


def test_a_snapshot_of_another_plan_or_fill_is_refused() -> None:
    data = trader(sound_rules()).snapshot()
    for changes in ({"tp_ticks": 9}, {"fill": "mid"}, {"fee_per_contract": 0.63}):
        with pytest.raises(ConfigError, match="not of"):
            trader(sound_rules(**changes)).restore(data)
    with pytest.raises(ConfigError, match="damaged"):
        trader(sound_rules()).restore(data[:-1])


def flat(n: int, bid: int = 100) -> BinRows:
    """A market that stands still, a tick wide; bid in ticks."""
    bins = np.zeros(n, BIN_DTYPE)
    bins["bin_start_ns"] = START_NS + np.arange(n) * WIDTH_NS
    bins["ts_ns"] = bins["bin_end_ns"] = bins["bin_start_ns"] + WIDTH_NS
    for name in ("best_bid_price_int", "bid_low_int", "bid_high_int"):
        bins[name] = bid * TICK
    for name in ("best_ask_price_int", "ask_low_int", "ask_high_int"):
        bins[name] = (bid + 1) * TICK
    return bins


def test_a_trade_is_told_when_it_is_entered_and_when_its_end_is_known() -> None:
    bins = flat(6)
    bins["bid_high_int"][4] = 103 * TICK  # two ticks above the ask that was paid
    score = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    paper = trader(sound_rules(tp_ticks=2, sl_ticks=4, warmup_bins=0, fee_per_contract=0.62, min_bins_to_close=0))
    steps = [paper.update(bins[i : i + 1], score[i : i + 1]) for i in range(6)]
    assert steps[2] == [Opened(1, 2, START_NS + 3 * WIDTH_NS, 1, 101 * TICK)]
    fee = 2 * 0.62 / (0.25 * 2.0)
    assert steps[4] == [Closed(1, 2, 4, START_NS + 5 * WIDTH_NS, 1, "tp", False, 2.0, 2.0 - fee)]
    assert [steps[i] for i in (0, 1, 3, 5)] == [[], [], [], []]


def test_what_fired_before_another_signal_came_is_still_entered_and_ended() -> None:
    bins = flat(8)
    bins["bid_low_int"][6] = 97 * TICK
    paper = trader(sound_rules(tp_ticks=8, sl_ticks=4, warmup_bins=0, cooldown_bins=0, order_delay_bins=2, min_bins_to_close=0))
    happened = [*paper.update(bins[:2], np.array([0.0, 1.0])), *paper.update(bins[2:5], None)]
    assert not paper.is_done
    assert [type(one) for one in happened] == [Opened]
    (ended,) = paper.update(bins[5:], None)
    assert (ended.fired, ended.entry, ended.exit, ended.reason, ended.gross_ticks) == (1, 3, 6, "sl", -4.0)
    assert paper.is_done


def test_nothing_is_entered_so_near_a_close_that_the_calendar_foretells() -> None:
    bins, score = flat(20), np.zeros(20)
    score[10] = 1.0
    rules = sound_rules(tp_ticks=2, sl_ticks=4, warmup_bins=0, min_bins_to_close=5)
    close = bins["bin_start_ns"]
    for first_closed, n_opened in ((15, 0), (16, 1)):  # entered in bin 11: four bins before the close, and five
        paper = trader(rules, hours=np.array([[0, close[first_closed]]], np.int64))
        happened = [one for i in range(15) for one in paper.update(bins[i : i + 1], score[i : i + 1])]
        assert len(happened) == n_opened


def test_a_plan_comes_back_from_its_values_and_others_are_refused() -> None:
    plan = make_plan([0.5], [sound_rules()], "signed", NO_BINS)
    values = plan_values(plan)
    back = plan_of(values)
    assert all(np.array_equal(one, other) for one, other in zip(plan, back, strict=True))
    with pytest.raises(ChampionError, match="differ in delay; sweep and promote again"):
        plan_of({name: value for name, value in values.items() if name != "delay"})
    with pytest.raises(ChampionError, match="differ in more"):
        plan_of({**values, "more": 1})
    for name, value in (("delay", 1.0), ("tp", [8, 9]), ("single", 1), ("up", ["0.5"])):
        with pytest.raises(ChampionError, match=f"trading plan has {name}"):
            plan_of({**values, name: value})
