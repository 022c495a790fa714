import json
from dataclasses import asdict

import polars as pl
import pytest
from rich.console import Console

from engine.lake import Lake
from tests.test_tune.made import frame as stored
from tests.test_tune.made import made, run_of
from tests.test_tune.markets import sound_rules
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
from tune.leaderboard import SHOWN, LiveRanking, caption, describe, interval, rank, records, render, without_loose
from tune.results import ResultStore


def frame(*rows: tuple[str, float, int, float]) -> pl.DataFrame:
    """Rows of (run_id, threshold, n_signals, mean_pnl_ticks); the rest is filler."""
    filler = {name: 0.5 for name in SHOWN}
    filler |= {"dataset_id": "d", "signal_name": "s", "signal_params_json": "{}", "cooldown_bins": 30}  # type: ignore[dict-item]
    names = ("run_id", "threshold", "n_signals", "mean_pnl_ticks")
    return pl.DataFrame([{**filler, **dict(zip(names, row, strict=True))} for row in rows])


def test_best_threshold_of_each_run_best_run_first() -> None:
    ranking = rank(frame(("a", 0.1, 9, 1.0), ("a", 0.2, 9, 3.0), ("b", 0.1, 9, 2.0)), "mean_pnl_ticks", 5)
    assert ranking.select("run_id", "threshold").rows() == [("a", 0.2), ("b", 0.1)]


def test_rows_with_too_few_trades_do_not_count() -> None:
    ranking = rank(frame(("a", 0.1, 4, 9.0), ("a", 0.2, 5, 1.0), ("b", 0.1, 4, 9.0)), "mean_pnl_ticks", 5)
    assert ranking.select("run_id", "threshold").rows() == [("a", 0.2)]


def test_ties_have_a_fixed_order() -> None:
    rows = [("b", 0.1, 9, 1.0), ("a", 0.2, 9, 1.0), ("a", 0.1, 9, 1.0), ("c", 0.1, 10, 1.0)]
    expected = [("c", 0.1), ("a", 0.1), ("b", 0.1)]
    for order in (rows, rows[::-1]):
        assert rank(frame(*order), "mean_pnl_ticks", 5).select("run_id", "threshold").rows() == expected


def test_a_row_without_trades_is_never_ranked() -> None:
    assert len(rank(frame(("a", 0.1, 0, float("nan"))), "mean_pnl_ticks", 0)) == 0


def test_live_ranking_ends_like_the_stored_one(lake: Lake) -> None:
    results = evaluated(lake, points_of(lake))
    live = LiveRanking("mean_pnl_ticks", 5, top=4)
    for result in results[::-1]:
        live.add([result])
    ResultStore(lake).append(results, sweep_id="s", **COMMON)
    stored = rank(ResultStore(lake).rows(), "mean_pnl_ticks", 5).head(4)
    assert live.best is not None
    assert live.best.rows() == stored.rows()


def test_records_are_json_without_nan(lake: Lake) -> None:
    found = records(frame(("a", 0.1, 9, float("nan"))))
    assert json.loads(json.dumps(found, allow_nan=False))[0]["mean_pnl_ticks"] is None


def test_table_shows_what_holds_out_of_sample_beside_what_was_chosen(lake: Lake) -> None:
    console = Console(width=200)
    chosen = frame(("run1", 0.1, 9, 1.25)).with_columns(
        pl.lit("mid to mid").alias("fill_model"), pl.lit(-0.75).alias("oos_expectancy_low"), pl.lit(3).alias("n_unsound")
    )
    with console.capture() as capture:
        console.print(render(chosen, "best runs", 5))
        console.print(caption(chosen))
    text = capture.get()
    assert "best runs, d, s" in text
    assert "out of sample [95 %]" in text
    assert "+0.50 [-0.75 +0.50]" in text
    assert "Fills: mid to mid." in text
    assert "without a trade: 3 in unsound bins" in " ".join(text.split())


def test_a_row_without_the_figure_stands_behind_all_that_have_it() -> None:
    ranking = rank(frame(("a", 0.1, 9, float("nan")), ("b", 0.1, 9, -5.0)), "mean_pnl_ticks", 5)
    assert ranking.get_column("run_id").to_list() == ["b", "a"]


# --- what decides where the objective does not ---

OBJECTIVE = "oos_expectancy_low"  # of a run, not of a row: in it all thresholds of a run tie


def ranked(*rows: dict[str, object], min_signals: int = 5) -> list[tuple[str, float]]:
    """Run and threshold of a ranking, which must not follow the order in which rows came."""
    found = [rank(stored(*order), OBJECTIVE, min_signals).select("run_id", "threshold").rows() for order in (rows, rows[::-1])]
    assert found[0] == found[1]
    return found[0]


def test_of_a_runs_thresholds_the_one_with_the_higher_bound_in_sample_is_shown() -> None:
    few = made("a", 0.1, oos_expectancy_low=1.0, expectancy_low=-1.0, n_signals=900, sharpe=9.0, expectancy_ticks=9.0)
    best = made("a", 0.2, oos_expectancy_low=1.0, expectancy_low=-0.5, n_signals=9, sharpe=-9.0, expectancy_ticks=-9.0)
    last = made("a", 0.3, oos_expectancy_low=1.0, expectancy_low=-2.0, n_signals=99)
    assert ranked(few, best, last) == [("a", 0.2)]


def test_of_runs_that_tie_the_one_with_the_higher_bound_in_sample_comes_first() -> None:
    lower = made("a", 0.1, oos_expectancy_low=1.0, expectancy_low=-1.0, n_signals=900)
    assert ranked(lower, made("b", 0.2, oos_expectancy_low=1.0, expectancy_low=-0.5, n_signals=9)) == [("b", 0.2), ("a", 0.1)]


def test_then_more_trades_then_the_run_then_the_smaller_threshold() -> None:
    tie = {"oos_expectancy_low": 1.0, "expectancy_low": 0.5}
    rows = [
        made("d", 0.1, **tie, n_signals=11),
        made("b", 0.3, **tie, n_signals=10),
        made("b", 0.2, **tie, n_signals=10),
        made("a", 0.4, **tie, n_signals=10),
        made("c", 0.1, **tie, n_signals=9),
    ]
    assert ranked(*rows) == [("d", 0.1), ("a", 0.4), ("b", 0.2), ("c", 0.1)]


@pytest.mark.parametrize("missing", [float("nan"), None])
@pytest.mark.parametrize("column", [OBJECTIVE, "expectancy_low"])
def test_one_figure_missing_alone_puts_its_row_behind_and_not_out(column: str, missing: float | None) -> None:
    rest = {"oos_expectancy_low": 1.0, "expectancy_low": 1.0, "n_signals": 900} | {column: missing}
    poor = {"oos_expectancy_low": 1.0, "expectancy_low": 1.0, "n_signals": 9} | {column: -99.0}
    assert ranked(made("a", 0.1, **rest), made("b", 0.1, **poor)) == [("b", 0.1), ("a", 0.1)]


def test_a_row_that_names_no_fill_model_is_of_an_older_version_and_is_not_ranked() -> None:
    assert ranked(made("a", 0.1, fill_model=None), made("b", 0.1)) == [("b", 0.1)]


def test_a_row_with_just_enough_trades_is_ranked_and_one_below_is_not() -> None:
    assert ranked(made("a", 0.1, n_signals=7), made("b", 0.1, n_signals=8), made("c", 0.1, n_signals=9), min_signals=8) == [
        ("c", 0.1),
        ("b", 0.1),
    ]
    assert ranked(made("a", 0.1, n_signals=0), made("b", 0.1, n_signals=1), min_signals=0) == [("b", 0.1)]


def test_the_figures_shown_are_the_rows_own() -> None:
    row = made("a", 0.1)
    found = rank(stored(row), OBJECTIVE, 5).row(0, named=True)
    assert found == {**{name: row[name] for name in SHOWN}, "loose": "", "rules": found["rules"]}


@pytest.mark.parametrize(
    "loose",
    [
        {"lookahead": "threshold_source=whole_sample"},
        {"rules_json": json.dumps(asdict(sound_rules(fee_per_contract=0.62, fill="mid")))},
        {"rules_json": '{"sound_only": false}'},
    ],
)
def test_each_looser_rule_alone_leaves_a_run_out(loose: dict[str, str]) -> None:
    rows = stored(made("a", 0.1), made("b", 0.1, **loose), made("b", 0.2, **loose), made("c", 0.1))
    strict, n_loose = without_loose(rows)
    assert strict.get_column("run_id").to_list() == ["a", "c"]
    assert n_loose == 1  # a run of two rows


def test_without_looser_rules_nothing_is_left_out() -> None:
    strict, n_loose = without_loose(stored(made("a", 0.1), made("a", 0.2), made("b", 0.1)))
    assert (len(strict), n_loose) == (3, 0)


def test_a_live_ranking_holds_the_best_so_far_and_no_more_than_it_may() -> None:
    live = LiveRanking(OBJECTIVE, 5, top=2)
    live.add([])
    assert live.best is None
    for run_id, low in (("a", 1.0), ("b", 3.0), ("c", 2.0), ("d", 0.0)):
        tie = {"oos_expectancy_low": low}
        live.add([run_of([made(run_id, 0.1, **tie, expectancy_low=-1.0), made(run_id, 0.2, **tie, expectancy_low=0.0)])])
    assert live.best is not None
    assert live.best.select("run_id", "threshold").rows() == [("b", 0.2), ("c", 0.2)]


# --- how a row looks ---

FIGURES = {
    "n_signals": 21,
    "tp_rate": 0.111,
    "break_even_rate": 0.222,
    "expectancy_ticks": 1.01,
    "expectancy_low": -2.02,
    "expectancy_high": 3.03,
    "oos_n_signals": 17,
    "oos_expectancy_ticks": 4.04,
    "oos_expectancy_low": -5.05,
    "oos_expectancy_high": 6.06,
    "events_per_hour": 77.0,
    "events_per_scored_hour": 88.0,
    "eval_tp_ticks": 8.0,
    "eval_sl_ticks": 2.5,
    "cooldown_bins": 30,
}


def test_every_column_of_the_table_shows_its_own_figure() -> None:
    rows = rank(stored(made("run-a", 0.25, **FIGURES)), OBJECTIVE, 5).with_columns(pl.lit(0.97).alias("deflated_sharpe"))
    table = render(rows, "best", 5)
    assert {column.name: column.cells[0] for column in table.columns} == {
        "#": "1",
        "run": "run-a",
        "parameters": ["a=1"],
        "tp/sl": "8/2.5",
        "cool": "30",
        "thr": "0.25",
        "n": "21",
        "TP rate": "0.111",
        "even": "0.222",
        "net [95 %]": "+1.01 [-2.02 +3.03]",
        "out of sample [95 %]": "+4.04 [-5.05 +6.06]",
        "oos n": "17",
        "DSR": "0.97",
        "per h": "88",
    }
    assert table.title == "best, d, s"


def test_what_differs_among_the_rows_has_a_column_of_its_own() -> None:
    rows = rank(stored(made("a", 0.1), made("b", 0.1, dataset_id="e", signal_name="t"), made("c", 0.1)), OBJECTIVE, 5)
    table = render(rows, "best", 2)
    cells = {column.name: list(column.cells) for column in table.columns}
    assert (cells["dataset"], cells["signal"], cells["#"]) == (["d", "e"], ["s", "t"], ["1", "2"])
    assert cells["DSR"] == ["-", "-"]
    assert table.title == "best"


@pytest.mark.parametrize(
    ("mean", "low", "text"),
    [(1.0, -2.0, "+1.00 [-2.00 +3.00]"), (1.0, float("nan"), "+1.00 [?]"), (float("nan"), -2.0, "-")],
)
def test_an_interval_shows_what_there_is_of_it(mean: float, low: float, text: str) -> None:
    assert interval({"x_ticks": mean, "x_low": low, "x_high": 3.0}, "x") == text


def test_a_run_in_one_line() -> None:
    assert describe(made("run-a", 0.25, **FIGURES)) == (
        "run-a s a=1 tp/sl 8/2.5 thr 0.25 n 21 TP 0.111 net +1.01 [-2.02 +3.03] out of sample +4.04 [-5.05 +6.06] ticks"
    )


def test_the_caption_adds_up_what_closes_gaps_and_rolls_came_to_and_names_each_fill_once() -> None:
    names = ("unsound", "too_near_close", "stop_in_spread", "flat_at_close", "through_gap", "flat_at_roll", "cut")
    told = {f"n_{name}": place for place, name in enumerate(names, 1)}
    other = {f"n_{name}": 10 * place for place, name in enumerate(names, 1)}
    rows = stored(made("a", 0.1, **told, fill_model="touch"), made("b", 0.1, **other, fill_model="mid"))
    assert caption(rows).endswith(
        " Fills: touch.; Fills: mid. Signals of these rows without a trade: 11 in unsound bins, 22 too near a close, 33 with a stop "
        "within the spread. Trades out before a close: 44, through a gap: 55, out before a roll: 66, cut by the end of the data: 77."
    )


def test_a_row_of_a_version_that_dropped_trades_over_holes_is_not_ranked() -> None:
    new, old = made("new", 0.1), made("old", 0.1, n_through_gap=None)
    assert rank(stored(new, old), "expectancy_ticks", 1).get_column("run_id").to_list() == ["new"]
    assert rank(stored(new, made("old", 0.1, fill_model=None)), "expectancy_ticks", 1).height == 1
