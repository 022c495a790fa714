"""A candidate over its sessions: which runs are one candidate's, what they come to, what a threshold may know."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.test_tune.made import HOUR, RULES, START, frame, made
from tune.intervals import block_width, mean_interval
from tune.leaderboard import rank
from tune.pooled import SESSION, hold_blocks, of_runs, pool, sessions_interval, units

DAY = 24 * HOUR


def day(number: int, threshold: float = 0.1, a_trade: Any = 1.0, n: Any = 1, **changes: Any) -> dict[str, Any]:
    """A session of the candidate: ``n`` trades a block of ``a_trade`` ticks each, give or take half a tick."""
    pnl = [n * a_trade + (0.5 if block % 2 else -0.5) for block in range(48)]
    values = {
        "dataset_id": f"d{number}",
        "sources_json": json.dumps([f"f{number}"]),
        "start_ns": START + number * DAY,
        "end_ns": START + number * DAY + HOUR,
        "n_signals": 48 * n,
        "block_n": [float(n)] * 48,
        "block_pnl": pnl,
        "block_stops": [1.0] * 48,  # so many tell themselves how often they come
        "full_loss_ticks": 0.0,
        "n_effective": 48.0 * n,
        "net_square": sum(x * x for x in pnl) / n,
        "mean_hold_ms": 1000.0,
        "expectancy_ticks": a_trade,
        "profit_factor": 3.0,
    }
    return made(changes.pop("run_id", f"r{number}"), threshold, **{**values, **changes})


def test_a_row_of_one_session_is_as_it_was() -> None:
    rows = frame(day(0), day(0, 0.2))
    found = pool(rows)
    assert found.select(rows.columns).equals(rows)
    assert found.get_column("n_sessions").to_list() == [1, 1]
    assert found.get_column("place").to_list() == [1, 2]
    assert found.item(1, "sessions").to_list() == [{name: rows.item(1, name) for name in SESSION}]
    assert pool(found) is found


@pytest.mark.parametrize("name", ["signal_name", "resolved_params_json", "grid_variant_id", "code_version", "rules_json"])
def test_runs_are_of_one_candidate_where_all_that_made_it_agrees(name: str) -> None:
    other = RULES.replace("1200", "1201") if name == "rules_json" else "other"
    assert pool(frame(day(0), day(1))).get_column("n_sessions").to_list() == [2]
    assert pool(frame(day(0), day(1, 0.1, **{name: other}))).get_column("n_sessions").to_list() == [1, 1]
    assert pool(frame(day(0), day(1, fill_model=None))).get_column("n_sessions").to_list() == [1, 1]


def test_times_that_overlap_are_no_two_sessions() -> None:
    touching = day(1, start_ns=START + HOUR, end_ns=START + 2 * HOUR)
    assert pool(frame(day(0), touching)).get_column("n_sessions").to_list() == [2]
    overlapping = day(1, start_ns=START + HOUR - 1, end_ns=START + 2 * HOUR)
    assert pool(frame(day(0), overlapping)).get_column("n_sessions").to_list() == [1, 1]
    found = pool(frame(day(0), overlapping, day(2))).sort("n_sessions")
    assert found.get_column("run_id").to_list() == ["r1", "r2"]  # the later day goes with the first of the two


def test_the_row_bears_the_name_of_the_latest_session_and_the_figures_of_all() -> None:
    second = day(1, 0.3, a_trade=4.0, n=2, n_cut=5, tp_rate=0.4, mean_hold_ms=4000.0)
    first = day(0, 0.1, a_trade=1.0, n=1, n_cut=7, tp_rate=0.7)
    (row,) = pool(frame(second, first)).iter_rows(named=True)
    assert (row["run_id"], row["threshold"], row["dataset_id"], row["n_sessions"]) == ("r1", 0.3, "d1", 2)
    assert (row["n_signals"], row["n_cut"]) == (144, 12)
    assert row["expectancy_ticks"] == pytest.approx((48 * 1 + 96 * 4) / 144)
    assert row["tp_rate"] == pytest.approx((48 * 0.7 + 96 * 0.4) / 144)
    assert row["mean_hold_ms"] == pytest.approx(3000.0)
    assert row["expectancy_dollars"] == pytest.approx(row["expectancy_ticks"] * 0.5)  # a tick of 0.25 at 2 dollars a point
    assert row["excess_rate"] == pytest.approx(row["expectancy_ticks"] / (row["eval_tp_ticks"] + row["eval_sl_ticks"]))
    assert row["events_per_hour"] == pytest.approx(72.0)
    # Ratio 3 and a difference of 48 is 72 won and 24 lost; of 384 it is 576 and 192.
    assert row["profit_factor"] == pytest.approx(3.0)
    assert row["block_pnl"] == first["block_pnl"] + second["block_pnl"]
    assert json.loads(row["sources_json"]) == ["f0", "f1"]
    assert [one["run_id"] for one in row["sessions"]] == ["r0", "r1"]
    assert row["sharpe"] == pytest.approx(
        np.mean(row["block_pnl"]) / np.std(row["block_pnl"], ddof=1) / np.sqrt(35_700 / 36_000 / 48)
    )
    low, high = sessions_interval(
        np.array([first["block_n"], second["block_n"]]), np.array([first["block_pnl"], second["block_pnl"]]), 0.1
    )
    assert (row["expectancy_low"], row["expectancy_high"]) == (low, high)


def test_a_session_without_trades_counts_and_moves_no_mean() -> None:
    nan = float("nan")
    quiet = {"block_n": [0.0] * 48, "block_pnl": [0.0] * 48, "n_signals": 0, "expectancy_ticks": nan, "tp_rate": nan}
    none = day(1, 0.1, **quiet, net_square=0.0, mean_hold_ms=nan, profit_factor=nan)
    (row,) = pool(frame(day(0), none)).iter_rows(named=True)
    assert (row["n_sessions"], row["n_signals"], row["expectancy_ticks"]) == (2, 48, 1.0)
    assert row["events_per_hour"] == pytest.approx(24.0)
    assert row["profit_factor"] == pytest.approx(3.0)


def test_a_session_trades_the_threshold_that_the_sessions_before_it_chose() -> None:
    """Place 1 is best on the first day, place 2 on the second by so much that it is best on both together. The first day has no
    day before it; the second trades place 1 for 2 ticks, the third place 2 for 5."""
    rows = [
        day(0, 0.1, 3.0), day(0, 0.2, 1.0),
        day(1, 0.1, 2.0), day(1, 0.2, 40.0, n=9),
        day(2, 0.5, -7.0), day(2, 0.6, 5.0),
    ]  # fmt: skip
    found = pool(frame(*rows[::-1]))
    assert found.get_column("oos_n_signals").to_list() == [96, 96]
    assert found.get_column("oos_expectancy_ticks").to_list() == pytest.approx([3.5, 3.5])
    assert found.get_column("oos_n_folds").to_list() == [2, 2]
    low, high = sessions_interval(
        np.array([rows[2]["block_n"], rows[5]["block_n"]]), np.array([rows[2]["block_pnl"], rows[5]["block_pnl"]]), 0.1
    )
    assert found.row(0, named=True)["oos_expectancy_low"] == low < 3.5 < high == found.row(1, named=True)["oos_expectancy_high"]


def test_of_two_sessions_the_later_is_judged_by_its_blocks() -> None:
    second = day(1)
    (row,) = pool(frame(day(0), second)).iter_rows(named=True)
    n, pnl = np.array([second["block_n"]]), np.array([second["block_pnl"]])
    (low,), (high,) = mean_interval(n, pnl, block_width(np.array([hold_blocks(second)]), 1.0))
    assert (row["oos_n_signals"], row["oos_expectancy_low"], row["oos_expectancy_high"]) == (48, low, high)


def test_stops_that_no_session_saw_are_imagined_over_all_of_them() -> None:
    """Two sessions of 48 trades of a tick, none stopped, where a stop costs 40: in sample up to 1 - .025 ** (1 / 96) = 3.770 % of
    96 trades may be stops, out of sample 7.397 % of the 48 that were tested."""
    unseen = {"block_stops": [0.0] * 48, "full_loss_ticks": 40.0}
    (row,) = pool(frame(day(0, 0.1, **unseen), day(1, 0.1, **unseen))).iter_rows(named=True)
    assert row["expectancy_low"] == pytest.approx(1 - 0.0376969 * 41, abs=1e-4)
    assert row["oos_expectancy_low"] == pytest.approx(1 - 0.0739728 * 41, abs=1e-4)
    assert row["block_stops"] == [0.0] * 96


@pytest.mark.parametrize("place", [0, 1])
def test_any_run_of_a_candidate_leads_to_its_row(place: int) -> None:
    pooled = pool(frame(day(0, 0.1), day(1, 0.7), day(0, 0.3, run_id="x", signal_name="t")))
    asked = pl.DataFrame({"run_id": ["x", f"r{place}"], "threshold": [0.3, (0.1, 0.7)[place]]})
    found = of_runs(pooled, asked)
    assert found.select("run_id", "threshold", "n_sessions").rows() == [("x", 0.3, 1), (f"r{place}", (0.1, 0.7)[place], 2)]


def test_too_few_trades_before_are_no_choice() -> None:
    few = day(0, block_n=[4.0] + [0.0] * 47, block_pnl=[4.0] + [0.0] * 47)
    (row,) = pool(frame(few, day(1))).iter_rows(named=True)
    assert (row["oos_n_signals"], row["oos_n_folds"]) == (0, 0)
    assert np.isnan([row["oos_expectancy_ticks"], row["oos_expectancy_low"]]).all()


@pytest.mark.parametrize(
    ("n_sessions", "least", "n_units"),
    [
        *((1, 8, 8), (2, 8, 8), (3, 8, 9), (8, 8, 8), (20, 8, 20)),
        *((1, 48, 48), (20, 48, 60), (48, 48, 48), (49, 48, 49), (1, 99, 48)),
    ],
)
def test_units_are_as_long_as_leave_enough_of_them(n_sessions: int, least: int, n_units: int) -> None:
    blocks = np.arange(n_sessions * 48.0)
    found = units(blocks, n_sessions, least)
    assert len(found) == n_units
    length = n_sessions * 48 // n_units
    assert found[0] == sum(range(length))
    assert units(np.stack([blocks, blocks]), n_sessions, least).shape == (2, n_units)


def test_of_many_sessions_each_is_one_observation() -> None:
    """Ten sessions of ten trades that all earn 1 or all lose 1, six to four: mean .2, squares of what is left 6 * 8^2 + 4 * 12^2,
    times 10/9, root 32.66 over 100 trades: .3266; Student's t of nine degrees 2.2622. A hundred trades apart would say .19."""
    pnl = np.zeros((10, 48))
    n = np.zeros((10, 48))
    n[:, :10] = 1.0
    pnl[:, :10] = np.array([1, -1, 1, 1, -1, 1, -1, 1, -1, 1.0])[:, None]
    low, high = sessions_interval(n, pnl, 0.1)
    assert low <= 0.2 - 2.2622 * 0.32660 + 1e-4
    assert high >= 0.2 + 2.2622 * 0.32660 - 1e-4
    assert np.isnan(sessions_interval(np.zeros((3, 48)), np.zeros((3, 48)), 0.1)).all()


def test_the_leaderboard_ranks_candidates_and_not_their_sessions() -> None:
    lucky = [day(0, a_trade=9.0), day(1, a_trade=-3.0), day(2, a_trade=-3.0)]
    steady = [day(number, a_trade=1.0, signal_name="t", run_id=f"t{number}") for number in range(3)]
    found = rank(frame(*lucky, *steady), "oos_expectancy_low", 5)
    assert found.select("run_id", "n_sessions").rows() == [("t2", 3), ("r2", 3)]
    assert isinstance(found.schema["sessions"], pl.List)
