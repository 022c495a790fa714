"""Detection, outcomes and statistics: a table of edge cases by hand, a plain reference on random walks, the golden figures."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.trades.kernels import CUT, SL, TIMEOUT, TP
from engine.trades.tape import mid_tape
from tests.test_tune.markets import reference_rules
from tune.intervals import wilson
from tune.rules import Rules
from tune.scoring import statistics_of as statistics
from tune.scoring import walk_all
from tune.tally_kernels import Trades

REASONS = {TP: "tp", SL: "sl", TIMEOUT: "timeout", CUT: "timeout"}

STATISTICAL = ("ads", "ads_pfp_svac", "erd", "iirc", "jad", "msd", "perm_derivative", "pfp", "spg")
LEARNED = {
    "gbm_mf": "probability",
    "xgb_snap": "probability",
    "knn_cl": "signed",
    "lsvm_der": "signed",
    "svm_sp": "signed",
    "pca_ad": "signed",
}
PCA_FIRST_BIN = 700  # before it the series is 0, after it a 0 is a prediction
NAN = float("nan")


def rules(**changes: float) -> Rules:
    values = {"tp_ticks": 2, "sl_ticks": 1, "max_hold_bins": 10, "warmup_bins": 0, "cooldown_bins": 0, "tick_size": 1.0}
    return reference_rules(**{**values, **changes})  # type: ignore[arg-type]


def find_trades(score: np.ndarray, mid: np.ndarray, threshold: float, r: Rules) -> Trades:
    return walk_all(score, mid_tape(mid), [threshold], [r]).trades


def statistics_of(score: np.ndarray, mid: np.ndarray, ts: np.ndarray, threshold: float, r: Rules) -> dict:
    tape = mid_tape(mid)
    (row,) = statistics(walk_all(score, tape, [threshold], [r]), tape, ts)
    return row


def fired(score: list[float], threshold: float = 0.5, **changes: float) -> list[tuple[int, int]]:
    trades = find_trades(np.array(score, float), np.full(len(score), 100.0), threshold, rules(**changes))
    return list(zip(trades.fired.tolist(), trades.sign.tolist(), strict=True))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ([0, 0.6, 0.6, 0, 0.6], [(1, 1), (4, 1)]),  # a level that persists fires once
        ([0.6, -0.6, 0.6], [(0, 1), (1, -1), (2, 1)]),  # a direct flip fires
        ([0.5, 0.0, -0.5], [(0, 1), (2, -1)]),  # the threshold itself counts
        ([0.6, NAN, 0.6], [(0, 1), (2, 1)]),  # NaN is flat
        ([], []),
    ],
)
def test_edges(score: list[float], expected: list[tuple[int, int]]) -> None:
    assert fired(score) == expected


def test_a_crossing_inside_the_cooldown_is_lost_for_good() -> None:
    assert fired([0.6, 0, 0.6, 0.6, 0.6, 0, 0.6], cooldown_bins=3) == [(0, 1), (6, 1)]


def test_the_first_fire_needs_no_cooldown_and_the_state_starts_flat_at_the_warm_up() -> None:
    assert fired([0.6, 0.6, 0.6], warmup_bins=2, cooldown_bins=30) == [(2, 1)]


def test_at_threshold_zero_there_is_no_flat_state() -> None:
    assert fired([0.0, -0.1, 0.0, NAN, 0.0], threshold=0.0) == [(0, 1), (1, -1), (2, 1), (4, 1)]


def test_series_shorter_than_the_warm_up_takes_no_trade() -> None:
    assert fired([0.6, 0.6], warmup_bins=5) == []


def outcome(mid: list[float], direction: int = 1, **changes: float) -> tuple[int, int, float]:
    score = np.zeros(len(mid))
    score[0] = direction
    trades = find_trades(score, np.array(mid, dtype=float), 0.5, rules(**changes))
    return int(trades.exit_bin[0]), int(trades.reason[0]), float(trades.pnl[0])


@pytest.mark.parametrize(
    ("mid", "direction", "expected"),
    [
        ([100, 101, 102], 1, (2, TP, 2.0)),
        ([100, 99.5, 99, 110], 1, (2, SL, -1.0)),
        ([100, 105], 1, (1, TP, 5.0)),  # the overshoot counts
        ([100, 99, 98], -1, (2, TP, 2.0)),
        ([100, 101], -1, (1, SL, -1.0)),
        ([100, NAN, 98], 1, (2, SL, -2.0)),  # a bin without a mid is skipped
        ([100, 100.5, NAN], 1, (2, CUT, 0.5)),  # a time-out on one leaves at the mid before
        ([1, 0.5, 0], 1, (2, SL, -1.0)),  # 0 is a price: the barrier lies on it
        ([0, -0.5, 2], 1, (2, TP, 2.0)),  # and one may be bought there
        ([-99, -100, -101], -1, (2, TP, 2.0)),
        ([100], 1, (0, CUT, 0.0)),  # nothing after the last bin
    ],
)
def test_outcomes(mid: list[float], direction: int, expected: tuple[int, int, float]) -> None:
    assert outcome(mid, direction) == expected


def test_longest_hold_is_one_less_than_the_limit() -> None:
    assert outcome([100.0] * 20, max_hold_bins=5) == (4, TIMEOUT, 0.0)


def test_entry_on_an_invalid_mid_is_dropped() -> None:
    trades = find_trades(np.array([1.0, 0, -1.0]), np.array([NAN, 100, 100]), 0.5, rules())
    assert trades.fired.tolist() == [2]
    assert trades.sign.tolist() == [-1]


def test_statistics_of_a_known_set() -> None:
    mid = np.array([100.0, 102, 102, 101, 101, 101])
    score = np.array([1.0, 0, 1.0, 0, 0, -1.0])
    ts = np.arange(6) * 1_000_000_000
    found = statistics_of(score, mid, ts, 0.5, rules())
    assert (found["n_signals"], found["n_up"], found["n_down"]) == (3, 2, 1)
    assert found["tp_rate"] == found["sl_rate"] == found["timeout_rate"] == 1 / 3
    assert found["mean_pnl_ticks"] == pytest.approx((2 - 1 + 0) / 3)
    assert found["median_time_to_outcome_ms"] == 1000.0
    assert found["events_per_hour"] == pytest.approx(3 / (5 / 3600))
    assert found["break_even_rate"] == pytest.approx(1 / 3)


def test_expectancy_books_a_hit_at_its_barrier() -> None:
    found = statistics_of(np.array([1.0, 0]), np.array([100.0, 109]), np.array([0, 1]), 0.5, rules())
    assert found["mean_pnl_ticks"] == 9.0
    assert found["expectancy_ticks"] == 2.0


def test_no_trades_give_nan_rates_and_zero_per_hour() -> None:
    found = statistics_of(np.zeros(5), np.full(5, 100.0), np.arange(5), 0.5, rules())
    assert found["n_signals"] == 0
    assert found["events_per_hour"] == 0
    assert all(math.isnan(found[name]) for name in ("tp_rate", "mean_pnl_ticks", "expectancy_ticks", "tp_rate_low"))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval_of_the_literature(hits: int, n: int, low: float, high: float) -> None:
    found = wilson(np.array([float(hits)]), np.array([float(n)]))
    assert [float(bound[0]) for bound in found] == pytest.approx([low, high], abs=1e-4)


def plain_trades(score: list[float], mid: list[float], threshold: float, r: Rules) -> list[tuple[int, int, int, str, float]]:
    """Sections 6.1 and 6.2 of signals.md, word for word."""
    found = []
    previous, last = 0, None
    for t in range(r.warmup_bins, len(score)):
        state = 1 if score[t] >= threshold else -1 if score[t] <= -threshold else 0
        if state and state != previous and (last is None or t - last >= r.cooldown_bins):
            last = t
            if not math.isnan(mid[t]):
                exit_bin, why = min(t + r.max_hold_bins, len(mid)) - 1, "timeout"
                for j in range(t + 1, exit_bin + 1):
                    move = state * (mid[j] - mid[t]) / r.tick_size
                    if move >= r.tp_ticks:
                        exit_bin, why = j, "tp"
                        break
                    if move <= -r.sl_ticks:
                        exit_bin, why = j, "sl"
                        break
                known = next(price for price in mid[exit_bin::-1] if not math.isnan(price))  # section 14 item 17
                found.append((t, state, exit_bin, why, state * (known - mid[t]) / r.tick_size))
        previous = state
    return found


@pytest.mark.parametrize("seed", range(20))
def test_kernels_equal_the_plain_reference_on_random_walks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3000
    mid = 0.125 * np.cumsum(rng.integers(-2, 3, n))  # on both sides of 0
    mid[rng.random(n) < 0.02] = np.nan
    score = np.tanh(np.cumsum(rng.standard_normal(n)) / 5)
    score[rng.random(n) < 0.01] = np.nan
    r = reference_rules(
        tp_ticks=float(rng.integers(1, 9)),
        sl_ticks=float(rng.integers(1, 9)),
        max_hold_bins=int(rng.integers(1, 400)),
        warmup_bins=int(rng.integers(0, 400)),
        cooldown_bins=int(rng.integers(0, 60)),
        tick_size=0.25,
    )
    threshold = float(rng.random())
    trades = find_trades(score, mid, threshold, r)
    found = [
        (int(t), int(d), int(e), REASONS[int(w)], float(p))
        for t, d, e, w, p in zip(trades.fired, trades.sign, trades.exit_bin, trades.reason, trades.pnl, strict=True)
    ]
    assert found == plain_trades(score.tolist(), mid.tolist(), threshold, r)


@pytest.mark.parametrize("signal", [*STATISTICAL, *LEARNED])
def test_golden_figures_of_every_signal(shared: Callable[[str], Path], signal: str) -> None:
    folder = shared("golden/session_b")
    bins = pq.read_table(folder / "bins.parquet", columns=["mid_price", "ts_ns"])
    mid, ts = bins["mid_price"].to_numpy(), bins["ts_ns"].to_numpy()
    score = pq.read_table(folder / "signals.parquet", columns=[signal])[signal].to_numpy().copy()
    mode = LEARNED.get(signal, "signed")
    if signal in LEARNED:  # before its first prediction a learned signal holds the neutral value
        first = PCA_FIRST_BIN if signal == "pca_ad" else np.flatnonzero(score != (0.5 if mode == "probability" else 0.0))[0]
        score[:first] = NAN
    golden = json.loads((folder / "evaluation.json").read_text())[signal]
    r = reference_rules(8, 4, 1200, 300, 30, 0.25, trigger="level" if signal in LEARNED else "edge")
    assert len(golden) >= 4
    tape = mid_tape(mid)
    every = statistics(walk_all(score, tape, [row["threshold"] for row in golden], [r], mode), tape, ts)
    for row, found in zip(golden, every, strict=True):
        for name in set(row) - {"threshold", "cooldown_bins"}:
            expected = NAN if row[name] is None else row[name]
            assert found[name] == pytest.approx(expected, rel=1e-12, nan_ok=True), (row["threshold"], name)
