import json

import polars as pl
from rich.console import Console

from engine.lake import Lake
from tests.test_tune.small_sweep import COMMON, evaluated, points_of
from tune.leaderboard import SHOWN, LiveRanking, caption, rank, records, render
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
        pl.lit("mid to mid").alias("fill_model"), pl.lit(-0.75).alias("oos_expectancy_low"), pl.lit(3).alias("n_left_out")
    )
    with console.capture() as capture:
        console.print(render(chosen, "best runs", 5))
        console.print(caption(chosen))
    text = capture.get()
    assert "best runs, d, s" in text
    assert "out of sample [95 %]" in text
    assert "+0.50 [-0.75 +0.50]" in text
    assert "Fills: mid to mid." in text
    assert "Left out of these rows for unsound bins: 3 trades" in text


def test_a_row_without_the_figure_stands_behind_all_that_have_it() -> None:
    ranking = rank(frame(("a", 0.1, 9, float("nan")), ("b", 0.1, 9, -5.0)), "mean_pnl_ticks", 5)
    assert ranking.get_column("run_id").to_list() == ["b", "a"]
