"""Folds against brute force on random layouts, and what a point's out-of-sample score may and may not use."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.test_tune.markets import sound_rules, times, walk_tape
from tests.test_tune.walk_forward import Segment, block_of, segments, walk_forward
from tune.outofsample import MIN_TRAIN_TRADES, choose_as_you_go, chosen, out_of_sample, promise
from tune.rules import N_BLOCKS
from tune.scoring import statistics_of, walk_all
from tune.splits import fold_blocks, fold_starts


def brute_force(labels: list[tuple[int, int, int]], segment: Segment, embargo: int) -> tuple[list[int], list[int]]:
    """Train and test of one fold, label by label and bin by bin."""
    train, test = [], []
    for i, (session, fired, leave) in enumerate(labels):
        if session == segment.session and segment.begin <= fired < segment.end:
            test.append(i)
        if session > segment.session:
            continue
        first_forbidden = segment.begin - embargo if session == segment.session else 10**4
        if not any(bin_ >= first_forbidden for bin_ in range(fired, leave + 1)):
            train.append(i)
    return train, test


def test_folds_equal_brute_force_on_1000_random_layouts() -> None:
    rng = np.random.default_rng(11)
    for _ in range(1000):
        n_bins = rng.integers(1, 160, size=rng.integers(1, 4))
        warmup, n_folds = int(rng.integers(0, 40)), int(rng.integers(1, 8))
        embargo = int(rng.choice([0, 0, 1, 5, 40]))
        labels = []
        for _ in range(rng.integers(0, 40)):
            session = int(rng.integers(len(n_bins)))
            fired = int(rng.integers(n_bins[session]))
            labels.append((session, fired, min(fired + int(rng.integers(0, 60)), int(n_bins[session]) - 1)))
        tested = segments(n_bins.tolist(), warmup, n_folds)
        columns = np.array(labels, np.int64).reshape(-1, 3).T
        for segment, fold in zip(tested, walk_forward(*columns, tested, embargo), strict=True):
            assert (fold.train.tolist(), fold.test.tolist()) == brute_force(labels, segment, embargo)


def test_segments_cover_the_scored_time_once_and_the_first_part_of_the_first_session_never() -> None:
    tested = segments([1000, 500], 100, 5)
    for session, n in enumerate((1000, 500)):
        here = [s for s in tested if s.session == session]
        assert all(a.end == b.begin for a, b in zip(here, here[1:], strict=False))
        assert here[-1].end == n
    assert tested[0].begin == fold_starts(100, 1000, 5)[0] == 250
    assert tested[5] == Segment(1, 100, int(fold_starts(100, 500, 5)[0]))


@pytest.mark.parametrize(("start", "n", "n_folds"), [(0, 48, 5), (300, 5000, 5), (7, 40, 3), (300, 36_000, 11), (0, 1, 2)])
def test_a_fold_begins_with_a_block(start: int, n: int, n_folds: int) -> None:
    for begin, block in zip(fold_starts(start, n, n_folds), fold_blocks(n_folds), strict=True):
        bins = np.arange(start, n)
        expected = bins[block_of(bins, start, n) >= block]
        assert begin == (expected[0] if len(expected) else begin)


def rows_of(n: int, seed: int, score: np.ndarray | None = None, **changes: Any) -> tuple[list[dict[str, Any]], Any, Any, Any]:
    tape = walk_tape(n, seed, spread=0)
    made = np.tanh(np.random.default_rng(seed).standard_normal(n)) if score is None else score
    r = sound_rules(tp_ticks=4, sl_ticks=4, warmup_bins=200, cooldown_bins=0, embargo_bins=50, **changes)
    scored = walk_all(made, tape, [0.2, 0.5, 0.8], [r])
    return statistics_of(scored, tape, times(n)), scored, r, tape


@pytest.mark.parametrize("position", ["single", "overlapping"])
def test_fold_sums_are_those_of_the_splits(position: str) -> None:
    n = 6000
    rows, scored, r, _ = rows_of(n, 3, position=position)
    tested = segments([n], r.warmup_bins, r.n_folds)
    for c, row in enumerate(rows):
        low, high = scored.trades.first[c : c + 2]
        fired, leave, pnl = scored.trades.fired[low:high], scored.trades.exit_bin[low:high], scored.trades.pnl[low:high]
        folds = walk_forward(np.zeros(len(fired), np.int64), fired, leave, tested, r.embargo_bins)
        edges = [*fold_blocks(r.n_folds).tolist(), N_BLOCKS]
        for f, fold in enumerate(folds):
            net = pnl[fold.train] - r.fee_ticks
            assert row["fold_n"][f] == len(fold.train) > 0
            assert row["fold_sum"][f] == pytest.approx(net.sum())
            assert row["fold_square"][f] == pytest.approx((net**2).sum())
            assert sum(row["block_n"][edges[f] : edges[f + 1]]) == len(fold.test)


def test_a_points_score_is_that_of_the_choices_made_before_each_fold() -> None:
    n = 6000
    rows, scored, r, _ = rows_of(n, 5)
    tested = segments([n], r.warmup_bins, r.n_folds)
    taken = []
    for segment in tested:
        candidates = []
        for c in range(len(rows)):
            low, high = scored.trades.first[c : c + 2]
            fired, leave, pnl = scored.trades.fired[low:high], scored.trades.exit_bin[low:high], scored.trades.pnl[low:high]
            (fold,) = walk_forward(np.zeros(len(fired), np.int64), fired, leave, [segment], r.embargo_bins)
            known = pnl[fold.train]
            bound = known.mean() - 1.6448536269514722 * known.std(ddof=1) / np.sqrt(len(known))
            candidates.append((bound, pnl[fold.test]))
        taken.append(max(candidates, key=lambda pair: pair[0])[1])
    expected = np.concatenate(taken)
    found = out_of_sample(rows, r, n)
    assert found["oos_n_signals"] == len(expected) > 100
    assert found["oos_expectancy_ticks"] == pytest.approx(expected.mean())
    assert found["oos_expectancy_low"] < expected.mean() < found["oos_expectancy_high"]
    assert found["oos_n_folds"] == r.n_folds


def test_too_few_trades_are_no_choice() -> None:
    n, total, square = np.array([4.0, 50.0]), np.array([400.0, 5.0]), np.array([4e4, 60.0])
    stops, loss = np.array([20.0, 20.0]), np.array([5.0, 5.0])
    assert promise(n, total, square, stops, loss)[0] == -np.inf
    assert chosen(n, total, square, stops, loss) == 1
    assert chosen(n[:1], total[:1], square[:1], stops[:1], loss[:1]) == -1
    assert MIN_TRAIN_TRADES == 5
    found = out_of_sample([], sound_rules(), 1000)
    assert (found["oos_n_signals"], found["oos_n_folds"]) == (0, 0)
    assert np.isnan(found["oos_expectancy_ticks"])


def frame_of(sessions: list[tuple[int, np.ndarray | None]], n: int = 6000, gap_bins: int = 100) -> pl.DataFrame:
    """Rows of one run in each of several sessions after one another."""
    parts = []
    for place, (seed, score) in enumerate(sessions):
        rows, *_ = rows_of(n, seed, score)
        start = int(times(1)[0]) + place * (n + gap_bins) * 100_000_000
        meta = {
            "signal_name": "s",
            "resolved_params_json": "{}",
            "rules_json": '{"n_folds": 5, "cell_width_ms": 100}',
            "grid_variant_id": "v",
            "run_id": f"r{place}",
            "start_ns": start,
            "end_ns": start + n * 100_000_000,
        }
        parts += [{**row, **meta} for row in rows]
    return pl.DataFrame(parts)


def test_choosing_as_you_go_over_one_session_is_the_points_own_score() -> None:
    rows, _, r, _ = rows_of(6000, 5)
    found, alone = choose_as_you_go(frame_of([(5, None)])), out_of_sample(rows, r, 6000)
    assert (found.n_signals, found.n_sessions, found.n_candidates) == (alone["oos_n_signals"], 1, 3)
    assert found.expectancy_ticks == pytest.approx(alone["oos_expectancy_ticks"])


def test_a_later_session_is_chosen_for_from_its_first_bin_on() -> None:
    one, two = choose_as_you_go(frame_of([(5, None)])), choose_as_you_go(frame_of([(5, None), (6, None)]))
    rows = frame_of([(6, None)])
    in_first_part = sum(rows.row(0, named=True)["block_n"][:8])
    assert two.n_sessions == 2
    assert two.n_signals > one.n_signals + in_first_part / 2
    late = frame_of([(5, None), (6, None)])
    overlapping = late.with_columns(pl.col("end_ns") + 10**12)  # the first one is not over when the second begins
    assert choose_as_you_go(overlapping).n_signals < two.n_signals


def test_without_rows_there_is_nothing_to_choose() -> None:
    found = choose_as_you_go(frame_of([(5, None)]).head(0))
    assert (found.n_signals, found.n_candidates) == (0, 0)
    assert "no fold had trades enough" in found.line
