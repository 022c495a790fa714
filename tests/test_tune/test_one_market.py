"""A market moved as a whole, or told in another tick, is judged the same: scores, trades, rows of the leaderboard, champion."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine
from engine.champion import Champion
from engine.constants import Q_ONE_SIDED, UNDEF_PRICE
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.lake import Lake
from engine.signals.base import signal_inputs
from engine.signals.promoted import make_promoted
from engine.signals.registry import get_signal
from engine.trades.tape import SOUND, Tape, mid_tape, touch_tape
from tests.blocks import CONFIG, PROVENANCE, TICK_INT, Block, cut, plain_block
from tests.test_engine.test_signals.test_contract import quick
from tests.test_tune.markets import TICK, reference_rules, sound_rules, times, walk_tape
from tests.test_tune.small_sweep import COMMON, points_of
from tests.test_tune.test_walk import NAMES
from tune import promote
from tune.judging import judge
from tune.results import ResultStore
from tune.scoring import statistics_of, walk_all
from tune.trial import RunResult, evaluate_batch, load_market

N_BINS, RADIUS, SPOT = 900, 24, 84_000
# Name, ticks moved, size of a tick in dollars, dollars a point such that a tick is worth the same.
MARKETS = (("as_it_was", 0, 0.25, 2.0), ("around_zero", -SPOT, 0.25, 2.0), ("below_zero", -2 * SPOT, 0.25, 2.0))
MARKETS += (("in_tenths", 0, 0.1, 5.0), ("in_cents_around_zero", -SPOT, 0.01, 50.0))
SIGNALS = {"perm_derivative": {"zscore_window_bins": 80}, "lsvm_der": quick("lsvm_der")}
PRICED = {"turnover_per_hour"}  # what is bought and sold is worth its price


def market_block() -> Block:
    """Bins in ticks of 0.25 around 21,000.00, one in fifty without a bid."""
    block = plain_block(N_BINS, RADIUS, seed=4)
    gone = np.random.default_rng(4).random(N_BINS) < 0.02
    block.bins["best_bid_price_int"][gone] = UNDEF_PRICE
    block.bins["mid_price"][gone] = np.nan
    block.bins["quality"][gone] = Q_ONE_SIDED
    return block


def told(block: Block, shift_ticks: int, tick_int: int) -> Block:
    """The bins moved by some ticks and then told in ticks of another size."""
    bins = block.bins.copy()
    for name in ("best_bid_price_int", "best_ask_price_int", "bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int"):
        is_missing = bins[name] == UNDEF_PRICE
        bins[name] = np.where(is_missing, UNDEF_PRICE, (np.where(is_missing, 0, bins[name]) // TICK_INT + shift_ticks) * tick_int)
    halves = np.rint(bins["mid_price"] / 0.125)
    bins["mid_price"] = ((halves + 2 * shift_ticks) * tick_int / 2.0) / 1e9
    return Block(bins, block.grid, block.model_name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the same market in five ways."""
    lake, block = Lake(tmp_path_factory.mktemp("markets")), market_block()
    for name, shift_ticks, tick_size, multiplier in MARKETS:
        config = CONFIG | {"tick_size": tick_size, "contract_multiplier": multiplier, "grid_radius_ticks": RADIUS}
        publish_dataset(lake, name, cut(told(block, shift_ticks, round(tick_size * 1e9)), 256), PROVENANCE | {"config": config})
    return lake


def results_of(lake: Lake, name: str) -> list[RunResult]:
    """The sweep's results on one of the markets."""
    axes = {signal: {key: [value] for key, value in params.items()} for signal, params in SIGNALS.items()}
    rules = {"tp_ticks": [2, 4], "sl_ticks": 2, "max_hold_bins": 100, "warmup_bins": 100}
    points = points_of(lake, datasets=[name], signals=list(SIGNALS), sweep={"per_signal": axes}, eval=rules)
    market = load_market(Dataset.open(lake, name), [get_signal(signal) for signal in SIGNALS])
    results = list(evaluate_batch(points, {name: market}))
    assert [type(one) for one in results] == [RunResult] * 4
    return results  # type: ignore[return-value]


@pytest.fixture(scope="module")
def swept(home: Lake) -> dict[str, list[RunResult]]:
    return {name: results_of(home, name) for name, *_ in MARKETS}


OTHERS = [name for name, *_ in MARKETS[1:]]


@pytest.mark.parametrize("name", OTHERS)
def test_rows_of_the_leaderboard_are_the_same(name: str, swept: dict[str, list[RunResult]]) -> None:
    own = {"run_id", "dataset_id", "dataset_checksum", "elapsed_seconds", "tick_size", "rules_json"}
    for one, other in zip(swept["as_it_was"], swept[name], strict=True):
        assert sum(row["n_signals"] for row in one.rows) > 20
        for found, expected in ((other.rows, one.rows), ([other.meta], [one.meta])):
            plain = [[{k: v for k, v in row.items() if k not in own | PRICED} for row in rows] for rows in (found, expected)]
            assert json.dumps(plain[0]) == json.dumps(plain[1])
        assert one.meta["n_unsound_bins"] > 5


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("signal", list(SIGNALS))
def test_score_is_the_same(signal: str, name: str, home: Lake) -> None:
    expected, found = (engine.run_signal(signal, Dataset.open(home, one), **SIGNALS[signal]) for one in ("as_it_was", name))
    assert found.equals(expected)


@pytest.mark.parametrize("name", OTHERS)
def test_trades_of_the_judge_are_the_same(name: str, home: Lake) -> None:
    scores = np.random.default_rng(3).standard_normal(N_BINS)
    rules: dict[str, Any] = {
        "thresholds": [1.0],
        "tp_ticks": 2,
        "sl_ticks": 2,
        "max_hold_bins": 50,
        "warmup_bins": 0,
        "cooldown_bins": 0,
    }
    expected, found = (judge(scores, one, lake=home, **rules).trades(1.0) for one in ("as_it_was", name))
    assert len(expected) > 50
    assert found.equals(expected)


def champion_of(lake: Lake, result: RunResult) -> Champion:
    """What a promotion makes of a run."""
    ResultStore(lake).append([result], sweep_id="s", **COMMON)
    row = promote.run_row(lake, str(result.meta["run_id"]), result.rows[0]["threshold"])
    return promote._build(lake, row)


@pytest.mark.parametrize("name", ["as_it_was", "in_cents_around_zero"])
def test_champion_takes_the_tick_it_was_scored_on_and_says_the_same(
    name: str, home: Lake, swept: dict[str, list[RunResult]]
) -> None:
    champion = champion_of(home, swept[name][-1])
    dataset = Dataset.open(home, name)
    assert champion.signal == "lsvm_der"
    assert champion.tick_int == dataset.tick_int == round(dict((n, t) for n, _, t, _ in MARKETS)[name] * 1e9)
    assert "tick_size" not in champion.parameters
    signal = make_promoted(champion)
    found = signal.run(signal_inputs(signal, dataset.columns(signal.required_columns), dataset.bins(signal.required_fields)))
    expected = engine.run_signal("lsvm_der", Dataset.open(home, "as_it_was"), **SIGNALS["lsvm_der"])
    assert found["prediction"].tolist() == expected["prediction"].to_list()


# A sweep that still bears a tick among a signal's parameters.


def test_tick_in_an_old_sweep_is_the_instruments_or_refused(home: Lake) -> None:
    def points(tick_sizes: list[float]) -> list[Any]:
        axes = {key: [value] for key, value in SIGNALS["lsvm_der"].items()}
        rules = {"max_hold_bins": 100, "warmup_bins": 100}
        sweep = {"per_signal": {"lsvm_der": axes | ({"tick_size": tick_sizes} if tick_sizes else {})}}
        return points_of(home, datasets=["in_tenths"], signals=["lsvm_der"], sweep=sweep, eval=rules)

    assert [p.run_id for p in points([0.1])] == [p.run_id for p in points([])]
    assert "tick_size" not in points([0.1])[0].swept
    for ticks in ([0.25], [0.1, 0.25]):
        with pytest.raises(ConfigError, match="tick_size was 0.25 in the parameters of signal lsvm_der; the instrument's is 0.1"):
            points(ticks)


# The judge's kernels alone.


def moved_tape(tape: Tape, shift_ticks: int) -> Tape:
    return Tape(*(column + shift_ticks * TICK for column in tape[:6]), tape.state)


@pytest.mark.parametrize("shift_ticks", [-SPOT, -2 * SPOT, 10**6])
def test_walk_over_a_moved_tape_is_the_same_walk(shift_ticks: int) -> None:
    n = 3000
    tape = walk_tape(n, 5, unsound=0.03, gaps=0.002, closes=0.001, rolls=0.001)
    score = np.random.default_rng(5).standard_normal(n)
    rules = [sound_rules(tp_ticks=tp, sl_ticks=2, warmup_bins=0, fee_per_contract=0.4) for tp in (2, 5)]
    one, other = (walk_all(score, market, [0.5, 1.5], rules) for market in (tape, moved_tape(tape, shift_ticks)))
    assert len(one.trades.fired) > 200
    assert [c.tobytes() for c in other.trades] == [c.tobytes() for c in one.trades]
    rows = [[{k: v for k, v in row.items() if k not in PRICED} for row in statistics_of(s, tape, times(n))] for s in (one, other)]
    assert json.dumps(rows[0]) == json.dumps(rows[1])


def test_turnover_counts_what_is_paid_whatever_the_sign_of_the_price() -> None:
    """Bought at -2.00 and sold at -1.50: 3.50 dollars a point changed hands, in three bins of 100 ms."""
    bid = np.array([-9, -6, -6], np.int64) * TICK
    tape = touch_tape(bid, bid + TICK, bid, bid, bid + TICK, bid + TICK, np.zeros(3, np.uint16))
    rules = sound_rules(tp_ticks=2, sl_ticks=9, warmup_bins=0, order_delay_bins=0)
    scored = walk_all(np.array([1.0, 0, 0]), tape, [0.5], [rules])
    assert (NAMES[int(scored.trades.reason[0])], float(scored.trades.pnl[0])) == ("tp", 2.0)
    (row,) = statistics_of(scored, tape, times(3))
    assert row["turnover_per_hour"] == pytest.approx(2.0 * 3.5 / (0.3 / 3600))


MISSING = UNDEF_PRICE


@pytest.mark.parametrize(
    ("bid", "ask", "state"),
    [(0, 1, SOUND), (-1, 0, SOUND), (-2, -1, SOUND), (0, 0, 1), (MISSING, 1, 1), (0, MISSING, 1), (MISSING, MISSING, 1)],
)
def test_bin_is_sound_with_any_two_prices_and_not_without_one(bid: int, ask: int, state: int) -> None:
    one, two = (np.array([price if price == MISSING else price * TICK]) for price in (bid, ask))
    assert touch_tape(one, two, one, one, two, two, np.zeros(1, np.uint16)).state.tolist() == [state]


def test_missing_prices_are_those_known_last_and_missing_extremes_the_bins_own() -> None:
    def prices(*ticks: int) -> Any:
        return np.array([tick if tick == MISSING else tick * TICK for tick in ticks], np.int64)

    bid, ask = prices(-1, MISSING, 3), prices(0, 1, MISSING)
    nothing = prices(MISSING, MISSING, MISSING)
    tape = touch_tape(bid, ask, nothing, prices(0, MISSING, 4), nothing, nothing, np.array([0, 8, 8], np.uint16))
    assert tape.bid.tolist() == tape.bid_low.tolist() == [-TICK, -TICK, 3 * TICK]
    assert tape.bid_high.tolist() == [0, -TICK, 4 * TICK]
    assert tape.ask.tolist() == tape.ask_low.tolist() == tape.ask_high.tolist() == [0, TICK, TICK]
    mid = mid_tape(np.array([np.nan, -0.125, np.nan, 0.0]))
    assert (mid.bid.tolist(), mid.state.tolist()) == ([0, -TICK // 2, -TICK // 2, 0], [1, SOUND, 1, SOUND])


@pytest.mark.parametrize("reference", [False, True])
def test_a_time_out_without_a_price_leaves_at_the_last_one_known(reference: bool) -> None:
    """Around 0.00: the bid goes missing in the bin of the time-out; a price of 0 in its place would be a gain of its own."""
    find: Callable[..., Any] = lambda tape, r: walk_all(np.array([1.0, 0, 0, 0]), tape, [0.5], [r]).trades  # noqa: E731
    if reference:
        trades = find(mid_tape(np.array([-5.0, -4.75, np.nan, -4.75])), reference_rules(8, 8, 3, 0, 0, 0.25))
        assert (int(trades.exit_bin[0]), float(trades.pnl[0])) == (2, 1.0)
    else:
        bid = np.array([-20 * TICK, -19 * TICK, MISSING, -17 * TICK])
        ask = np.array([-19, -18, -17, -16]) * TICK
        tape = touch_tape(bid, ask, bid, bid, ask, ask, np.array([0, 0, 8, 0], np.uint16))
        r = sound_rules(tp_ticks=8, sl_ticks=8, max_hold_bins=3, warmup_bins=0, order_delay_bins=0)
        trades = find(tape, r)
        assert (int(trades.exit_bin[0]), float(trades.pnl[0])) == (3, 2.0)  # the next sound bin
