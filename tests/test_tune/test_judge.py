"""A score series from outside before the judge: as a sweep's own to the last bit, counted once, and in words what it is worth."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import engine
import tune
from engine.dataset.read import Dataset
from engine.errors import ChampionError
from engine.lake import Lake
from tests.blocks import publish_plain
from tests.face import examples, public, refusal, run_examples
from tests.test_tune.small_sweep import COMMON, DATASET, evaluated, points_of
from tune.cli import main
from tune.diagnostics import COLUMNS as DIAGNOSTIC_COLUMNS
from tune.judgement import UNPROVEN
from tune.ledger import TrialLedger
from tune.promote import promote_run
from tune.results import ResultStore
from tune.series import aligned_scores, default_thresholds
from tune.trial import Point, evaluate, load_market, prediction_mode

RULES = {"tp_ticks": 4, "sl_ticks": 4, "max_hold_bins": 200, "warmup_bins": 100, "thresholds": [0.5, 1.0]}
N = 2500


@pytest.fixture
def dataset(lake: Lake) -> Dataset:
    return Dataset.open(lake, DATASET)


def noise(seed: int = 1, n: int = N) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(n)


def foresight(dataset: Dataset, bins: int = 150) -> NDArray[np.float64]:
    """By how many ticks the mid will have moved so many bins later: what no signal can know."""
    mid = dataset.bins(["mid_price"])["mid_price"]
    later = np.full(len(mid), np.nan)
    later[:-bins] = (mid[bins:] - mid[:-bins]) / 0.25
    return later


def as_judged(point: Point, **changes: Any) -> dict[str, Any]:
    """A sweep's rules in the words of `judge`."""
    names = ("tp_ticks", "sl_ticks", "max_hold_bins", "warmup_bins", "cooldown_bins", "trigger", "embargo_bins", "n_folds")
    values = {name: getattr(point.rules, name) for name in names}
    return {**values, "thresholds": list(point.thresholds), "calibration_bins": 1, **changes}


SAME = ("run_id", "signal_name", "signal_params_json", "resolved_params_json", "code_version", "elapsed_seconds")
COMMON_COLUMNS = ("sweep_id", "experiment_name", "config_hash", "timestamp_utc")


def figures(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Every column but those that name a run, bit for bit."""
    left_out = {*SAME, *COMMON_COLUMNS, *DIAGNOSTIC_COLUMNS}
    rows = frame.sort("threshold").select(pl.exclude(*left_out)).rows()
    return [tuple(repr(value) for value in row) for row in rows]


def test_a_signals_own_series_comes_to_the_figures_of_its_sweep(lake: Lake, dataset: Dataset) -> None:
    points = points_of(lake)
    ResultStore(lake).append(evaluated(lake, points), sweep_id="s", **COMMON)
    for point in points:
        outputs = engine.run_signal("perm_derivative", dataset, **point.parameters)
        mine = tune.judge(outputs, dataset, name="mine", **as_judged(point))
        theirs = ResultStore(lake).rows([point.run_id])
        assert figures(mine.table()) == figures(theirs)
        assert mine.table().columns == theirs.columns
        assert mine.run_id != point.run_id
    assert max(mine.table()["n_signals"]) > 20


@pytest.mark.parametrize("signal", ["pfp", "svm_sp", "gbm_mf"])
def test_calibrated_and_learned_signals_too(tmp_path: Path, signal: str) -> None:
    lake = Lake(tmp_path / "lake")
    dataset = publish_plain(lake, "plain", n_bins=4000, radius=50, seed=3)
    (point,) = points_of(lake, datasets=["plain"], signals=[signal], sweep={}, eval={"tp_ticks": 2, "sl_ticks": 2})
    result = evaluate(point, load_market(dataset, [signal]))
    ResultStore(lake).append([result], sweep_id="s", **COMMON)
    outputs = engine.run_signal(signal, dataset)
    column = "prediction" if "prediction" in outputs.columns else "score"
    mode = prediction_mode(signal)
    thresholds = json.loads(result.meta["thresholds_json"])
    mine = tune.judge(outputs, dataset, column=column, **as_judged(point, thresholds=thresholds, mode=mode))
    assert figures(mine.table()) == figures(ResultStore(lake).rows([point.run_id]))
    assert max(mine.table()["n_signals"]) > 0


def test_an_edge_is_found_and_noise_is_not(dataset: Dataset) -> None:
    rules = {**RULES, "tp_ticks": 8, "sl_ticks": 8, "thresholds": [4.0, 8.0]}
    edge = tune.judge(foresight(dataset), dataset, name="edge", **rules)
    assert edge.best is not None
    assert edge.best["oos_expectancy_low"] > 0
    assert "it earns: net +" in edge.lines[0]
    none = tune.judge(noise(), dataset, name="noise", **{**rules, "thresholds": [1.0, 1.5]})
    assert none.best is not None
    assert not none.best["oos_expectancy_low"] > 0
    assert "it earns" not in none.lines[0]


def test_the_same_scores_are_one_run_counted_once(lake: Lake, dataset: Dataset) -> None:
    first = tune.judge(noise(), dataset, name="a", **RULES)
    again = tune.judge(noise(), DATASET, lake=lake.root, name="b", **RULES)
    assert first.run_id == again.run_id
    assert again.name == "series:a"  # a name decides nothing; whoever came first gave it
    assert ResultStore(lake).meta().height == 1
    assert len(TrialLedger(lake).trials()) == len(RULES["thresholds"])  # type: ignore[arg-type]
    assert repr(first) == repr(again)


def test_other_scores_rules_or_thresholds_are_other_trials(lake: Lake, dataset: Dataset) -> None:
    nudged = noise()
    nudged[1234] = np.nextafter(nudged[1234], 9.0)
    runs = [
        tune.judge(noise(), dataset, **RULES),
        tune.judge(nudged, dataset, **RULES),
        tune.judge(noise(), dataset, **{**RULES, "tp_ticks": 5}),
        tune.judge(noise(), dataset, **{**RULES, "cooldown_bins": 31}),
        tune.judge(noise(), dataset, **{**RULES, "thresholds": [0.5]}),
        tune.judge(noise(), dataset, **RULES, mode="probability") if False else tune.judge(-noise(), dataset, **RULES),
    ]
    assert len({run.run_id for run in runs}) == len(runs)
    counted = [run.best["n_trials"] for run in runs if run.best is not None]
    assert counted == [2, 4, 6, 8, 9, 11]
    assert f"best of {counted[-1]} trials by chance alone" in repr(runs[-1])


def test_a_sweep_and_a_series_count_together(lake: Lake, dataset: Dataset) -> None:
    results = evaluated(lake, points_of(lake)[:1])
    TrialLedger(lake).add(results, "s", "2026-02-06T15:00:00+00:00")
    judged = tune.judge(noise(), dataset, **RULES)
    assert judged.best is not None
    assert judged.best["n_trials"] == len(results[0].rows) + 2


def test_what_was_seen_counts_though_its_results_are_deleted(lake: Lake, dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **RULES)
    for part in ResultStore(lake).meta_dir.iterdir():
        part.unlink()
    assert tune.judge(noise(), dataset, **RULES).run_id == run.run_id
    assert ResultStore(lake).meta().height == 1
    assert len(TrialLedger(lake).trials()) == 2


FORMS: dict[str, Callable[[NDArray[np.float64], Path], Any]] = {
    "list": lambda s, path: s.tolist(),
    "polars series": lambda s, path: pl.Series(s),
    "pandas series": lambda s, path: pd.Series(s),
    "arrow array": lambda s, path: pa.array(s),
    "polars": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "lazy": lambda s, path: pl.LazyFrame({"bin_seq": np.arange(N), "score": s}),
    "pandas": lambda s, path: pd.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "pandas by index": lambda s, path: pd.DataFrame({"score": s}, index=pd.Index(np.arange(N), name="bin_seq")),
    "arrow": lambda s, path: pa.table({"bin_seq": np.arange(N, dtype=np.uint32), "score": s}),
    "batch": lambda s, path: pa.RecordBatch.from_pydict({"bin_seq": np.arange(N), "score": s}),
    "shuffled": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).sample(fraction=1.0, shuffle=True, seed=1),
    "without the silent": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).filter(
        pl.col("score").is_not_nan()
    ),
    "null": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).with_columns(pl.col("score").fill_nan(None)),
    "not ready": lambda s, path: pl.DataFrame(
        {"bin_seq": np.arange(N), "score": np.nan_to_num(s, nan=7.0), "ready": ~np.isnan(s)}
    ),
    "another column": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "parquet": lambda s, path: _written(s, path),
    "parquet's name": lambda s, path: str(_written(s, path)),
    "signal outputs": lambda s, path: np.rec.fromarrays([s, ~np.isnan(s)], names="score,ready"),
}


def _written(series: NDArray[np.float64], path: Path) -> Path:
    pl.DataFrame({"bin_seq": np.arange(N), "score": series}).write_parquet(path / "mine.parquet")
    return path / "mine.parquet"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_series_is_the_same_series(form: str, tmp_path: Path) -> None:
    series = noise()
    series[[0, 7, N - 1]] = np.nan
    series[3] = -0.0
    expected = np.where(series == 0, 0.0, series)
    found = aligned_scores(FORMS[form](series, tmp_path), N)
    assert found.tobytes() == expected.tobytes()


def test_whole_numbers_are_numbers() -> None:
    whole = np.arange(N) % 5 - 2
    for form in (whole, whole.astype(np.int8), pl.DataFrame({"bin_seq": np.arange(N), "score": whole.astype(np.float32)})):
        assert np.array_equal(aligned_scores(form, N), whole)


def test_a_file_names_its_series(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "my scores (2).parquet"
    pl.DataFrame({"bin_seq": np.arange(N), "score": noise()}).write_parquet(path)
    assert tune.judge(path, dataset, **RULES).name == "series:my_scores__2_"


def frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"bin_seq": np.arange(N), "score": noise(), **columns})


def infinite(value: float) -> NDArray[np.float64]:
    scores = noise()
    scores[17] = value
    return scores


ONE = {"thresholds": [0.5]}
MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (None, {}, "scores was a NoneType; give an array"),
    (3, {}, "scores was 3; give an array"),
    ({"score": [1]}, {}, "scores was a dict; give an array"),
    (["up"] * N, {}, "scores are of type <U2; they must be numbers"),
    (np.ones(N, bool), {}, "scores are of type bool; they must be numbers"),
    (np.ones(N, complex), {}, "scores are of type complex128"),
    (np.array([None] * N), {}, "scores are of type object"),
    ([[1.0], [1.0, 2.0]], {}, "no array of numbers"),
    (noise(n=N - 1), {}, f"scores have shape ({N - 1},); it must be ({N},)"),
    (noise(n=N + 1), {}, f"scores have shape ({N + 1},)"),
    (np.ones((N, 1)), {}, f"scores have shape ({N}, 1)"),
    (np.full(N, np.nan), {}, "no bin has a score"),
    (infinite(np.inf), {}, "the score of bin 17 is inf"),
    (infinite(-np.inf), {}, "the score of bin 17 is -inf"),
    ("gone.parquet", {}, "scores was 'gone.parquet', where there is no file"),
    (Path(__file__), {}, "which is no parquet file"),
    (frame().drop("bin_seq"), {}, "no column 'bin_seq'"),
    (frame().rename({"score": "scores"}), {}, "no column 'score' (nearest: scores"),
    (frame(), {"column": "prediction"}, "no column 'prediction'"),
    (frame(bin_seq=np.arange(N) * 1.0), {}, "bin_seq of the scores is double"),
    (frame(bin_seq=[None, *range(1, N)]), {}, "with 1 nulls"),
    (frame(bin_seq=[0, 0, *range(2, N)]), {}, "bin 0 has 2 rows of scores"),
    (frame(bin_seq=np.arange(N) + 1), {}, f"bin_seq of the scores has {N}; the dataset has bins 0 to {N - 1}"),
    (frame(bin_seq=np.arange(N) - 1), {}, "bin_seq of the scores has -1"),
    (frame(score=["up"] * N), {}, "column 'score' of the scores is "),
    (frame(score=[True] * N), {}, "column 'score' of the scores is bool"),
    (frame(score=infinite(np.inf)), {}, "the score of bin 17 is inf"),
    (frame(ready=[1] * N), {}, "ready of the scores is int64; it must be true or false"),
    (frame(ready=[False] * N), {}, "no bin has a score"),
    (noise(), {"thresholds": "high"}, "thresholds.0 was 'high'"),
    (noise(), {"thresholds": []}, "thresholds"),
    (noise(), {"thresholds": [0.5, float("nan")]}, "thresholds had nan"),
    (noise(), {"thresholds": [float("inf")]}, "thresholds had inf"),
    (noise(), {"thresholds": 0}, "thresholds had 0, at which a score is never silent"),
    (noise(), {"thresholds": [-1.0]}, "thresholds had -1"),
    (noise(), {"thresholds": 0.5, "mode": "probability"}, "more than 0.5 in mode probability"),
    (noise(), {"mode": "sideways"}, "mode was 'sideways'"),
    (noise(), {**ONE, "tp_ticks": [4, 8]}, "judged at one tp_ticks and one sl_ticks"),
    (noise(), {**ONE, "tp_ticks": -1}, "tp_ticks.0 was -1"),
    (noise(), {**ONE, "sl_ticks": "x"}, "sl_ticks.0 was 'x'"),
    (noise(), {**ONE, "cooldown_bins": -1}, "cooldown_bins was -1"),
    (noise(), {**ONE, "colour": 1}, "unknown key 'colour' in the rules of judge; allowed are: tp_ticks"),
    (noise(), {**ONE, "warmup_bins": N}, f"warmup_bins was {N}"),
    (noise(), {**ONE, "tick_size": 0.5}, "tick_size was 0.5"),
    (noise(), {**ONE, "name": "a b"}, "name was 'a b'"),
    (noise(), {**ONE, "name": 3}, "name was 3"),
    (noise(), {**ONE, "lake": 3, "dataset": DATASET}, "lake was 3"),
    (noise(), {**ONE, "dataset": 3}, "dataset was a int"),
    (noise(), {**ONE, "dataset": "random_wal"}, "(nearest: random_walk)"),
    (noise(), {}, "are taken from the first 3000 bins; dataset random_walk has only 2500 bins"),
    (noise(), {"calibration_bins": N}, f"first {N} bins"),
    (noise(), {"calibration_bins": 99, "warmup_bins": 0}, "only 99 of the first 99 bins have a score"),
    (np.zeros(N), {"calibration_bins": 500}, "never leave 0; pass thresholds"),
    (np.full(N, 0.5), {"calibration_bins": 500, "mode": "probability"}, "never leave 0.5"),
]


@pytest.mark.parametrize("place", range(len(MISTAKES)), ids=[words for *_, words in MISTAKES])
def test_a_mistake_is_one_line_and_no_trial(lake: Lake, dataset: Dataset, place: int) -> None:
    scores, arguments, words = MISTAKES[place]
    given = {"dataset": dataset, "lake": lake, **arguments}
    assert words in refusal(lambda: tune.judge(scores, **given))
    assert ResultStore(lake).meta().is_empty()
    assert TrialLedger(lake).trials().is_empty()


def test_a_dataset_in_no_lake_needs_one_for_its_run(lake: Lake, dataset: Dataset) -> None:
    alone = Dataset(dataset.folder)
    assert "pass lake=PATH" in refusal(lambda: tune.judge(noise(), alone, **RULES))
    assert tune.judge(noise(), alone, lake=lake, **RULES).run_id == tune.judge(noise(), dataset, **RULES).run_id


def test_thresholds_not_given_are_percentiles_of_the_bins_before(dataset: Dataset) -> None:
    scores = noise()
    mine = tune.judge(scores, dataset, calibration_bins=1000, tp_ticks=4, sl_ticks=4)
    expected = np.percentile(np.abs(scores[:1000]), (50, 70, 80, 90, 95, 99))
    assert mine.thresholds == pytest.approx(expected.tolist(), rel=1e-5)
    assert json.loads(mine.table().item(0, "rules_json"))["warmup_bins"] == 1000
    assert mine.trades()["fired_bin"].min() >= 1000  # type: ignore[operator]
    later = scores.copy()
    later[1000:] *= 100.0
    assert tune.judge(later, dataset, calibration_bins=1000, tp_ticks=4, sl_ticks=4).thresholds == mine.thresholds


@pytest.mark.parametrize(("n", "is_enough"), [(99, False), (100, True)])
def test_so_many_scores_are_enough_for_thresholds(n: int, is_enough: bool) -> None:
    scores = np.full(N, np.nan)
    scores[:n] = 1.0
    if is_enough:
        assert default_thresholds(scores, 200, "signed") == (1.0,)
    else:
        assert "only 99 of the first 200 bins" in refusal(lambda: default_thresholds(scores, 200, "signed"))


def test_thresholds_of_probabilities_lie_above_a_half_at_any_scale() -> None:
    p = np.linspace(0.2, 0.8, 1001)
    expected = 0.5 + np.percentile(np.abs(p - 0.5), (50, 70, 80, 90, 95, 99))
    assert default_thresholds(p, 1001, "probability") == pytest.approx(expected.tolist(), abs=1e-6)
    tiny = default_thresholds(noise() * 1e-12, N, "signed")
    assert len(tiny) == 6
    assert 0 < min(tiny) < 1e-12


def test_an_embargo_not_given_spans_the_longest_trade(dataset: Dataset) -> None:
    table = tune.judge(noise(), dataset, **RULES).table()
    assert json.loads(table.item(0, "rules_json"))["embargo_bins"] == 200
    given = tune.judge(noise(), dataset, **RULES, embargo_bins=7).table()
    assert json.loads(given.item(0, "rules_json"))["embargo_bins"] == 7


@pytest.mark.parametrize("form", ["sound", "reference"])
def test_trades_and_equity_add_up_to_the_figures(dataset: Dataset, form: str) -> None:
    fee = 0.62 if form == "sound" else 0.0
    run = tune.judge(noise(), dataset, **RULES, form=form)
    for row in run.table().iter_rows(named=True):
        trades, equity = run.trades(row["threshold"]), run.equity(row["threshold"])
        assert len(trades) == len(equity) == row["n_signals"] > 5
        assert trades["pnl_ticks"].mean() == pytest.approx(row["mean_pnl_ticks"], rel=1e-9)
        assert trades["net_ticks"].mean() == pytest.approx(row["expectancy_ticks"], rel=1e-9)
        assert equity["drawdown_ticks"].max() == pytest.approx(row["max_drawdown_ticks"], rel=1e-9)
        assert equity["equity_ticks"].item(-1) == pytest.approx(trades["net_ticks"].sum(), rel=1e-9)
        assert (trades["outcome"] == "tp").mean() == pytest.approx(row["tp_rate"])
        won = trades.filter(pl.col("outcome") == "tp")["net_ticks"]
        assert won.to_list() == pytest.approx([4 - 2 * fee / 0.5] * len(won))
        assert (trades["exit_time"] > trades["entry_time"]).all()
    assert run.out_of_sample()["n_signals"].sum() == run.table().item(0, "oos_n_signals")
    oos = run.table().item(0, "oos_expectancy_ticks") * run.table().item(0, "oos_n_signals")
    assert run.out_of_sample()["equity_ticks"].item(-1) == pytest.approx(oos)


def test_only_a_threshold_that_was_judged_has_trades(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **RULES)
    assert "threshold was 0.7; series:scores was judged at 0.5, 1" in refusal(lambda: run.trades(0.7))
    assert "threshold was 'x'" in refusal(lambda: run.equity("x"))  # type: ignore[arg-type]


def test_its_text_says_what_it_is_worth_and_what_cannot_be_known(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, name="mine", **RULES)
    assert run.best is not None
    first, second, chance, words, last = repr(run).splitlines()
    assert first.startswith(f"series:mine on {DATASET}, run {run.run_id}: it ")
    assert f"{run.best['oos_expectancy_ticks']:+.2f} [" in first
    assert f"TP rate {run.best['tp_rate']:.3f} [" in second
    assert f"{run.best['break_even_rate']:.3f} breaks even" in second
    assert "by chance alone" in chance
    assert words
    assert last == UNPROVEN


def test_too_few_trades_are_nothing_to_judge(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **{**RULES, "thresholds": [99.0]})
    assert run.best is None
    assert "no threshold gave 5 trades or more" in run.lines[0]
    assert run.trades().is_empty()
    assert run.plot() is not None


def test_a_picture_is_shown_and_written(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tune.judge(noise(), dataset, **RULES)
    figure: Any = run.plot(tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()[:2000]
    assert figure._repr_png_().startswith(b"\x89PNG")
    above, below = figure.axes
    drawn = next(line for line in above.get_lines() if line.get_label() == "in sample")
    assert drawn.get_ydata().tolist() == run.equity()["equity_ticks"].to_list()
    assert below.get_ylabel() == "drawdown, ticks"
    assert "path was 'a.txt'" in refusal(lambda: run.plot("a.txt"))
    assert "cannot be written" in refusal(lambda: run.plot(tmp_path / "gone" / "a.png"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install matplotlib" in refusal(run.plot)


def test_the_leaderboard_shows_it_beside_the_sweeps(lake: Lake, dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    ResultStore(lake).append(evaluated(lake, points_of(lake)), sweep_id="s", **COMMON)
    run = tune.judge(
        foresight(dataset), dataset, name="edge", **{**RULES, "tp_ticks": 8, "sl_ticks": 8, "thresholds": [4.0, 8.0]}
    )
    board = tune.compare(lake)
    assert board.item(0, "run_id") == run.run_id
    assert board.n_unique("signal_name") == 2
    assert tune.compare(lake, signal="series:edge")["run_id"].to_list() == [run.run_id]
    assert main(["compare", "--lake", str(lake.root)]) == 0
    shown = capsys.readouterr().out
    assert "series:edge" in shown
    assert "whether they look ahead is not known" in " ".join(shown.split())
    assert main(["compare", "--signal", "perm_derivative", "--lake", str(lake.root)]) == 0
    assert "look ahead" not in capsys.readouterr().out


def test_it_cannot_be_promoted(lake: Lake, dataset: Dataset) -> None:
    run = tune.judge(foresight(dataset), dataset, name="edge", **RULES)
    with pytest.raises(ChampionError, match="scores from outside: there is no signal that could be served"):
        promote_run(lake, run.run_id, None)
    assert not lake.models.exists()


def test_the_command_is_the_same_judge(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(noise(), tmp_path)
    arguments = ["judge", "--scores", str(path), "--dataset-id", DATASET, "--lake", str(lake.root), "--threshold", "0.5"]
    arguments += ["--threshold", "1", "--set", "tp_ticks=4", "--set", "sl_ticks=4", "--set", "max_hold_bins=200"]
    arguments += ["--set", "warmup_bins=100"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    run = tune.judge(noise(), DATASET, lake=lake, **RULES)
    assert said == {**run.as_dict(), "name": "series:mine"}
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == run.lines


def test_a_scored_signal_goes_straight_to_the_judge(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "scored.parquet")
    home = ["--lake", str(lake.root), "--dataset-id", DATASET]
    assert main(["score", "--signal", "perm_derivative", "--out", out, *home]) == 0
    assert main(["judge", "--scores", out, "--threshold", "0.1", *home]) == 0
    assert "series:scored on random_walk" in capsys.readouterr().out
    assert "ready" in pq.read_schema(out).names


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "colour=1"], "unknown key 'colour' in the rules of judge"),
        (["--set", "lake=x"], "unknown key 'lake'"),
        (["--set", "tp_ticks=[4, 8]"], "one tp_ticks and one sl_ticks"),
        (["--threshold", "0"], "never silent"),
        (["--threshold", "x"], "--threshold"),
        (["--name", "a b"], "name was 'a b'"),
        (["--scores", "gone.parquet"], "there is no file"),
        (["--dataset-id", "gone"], "dataset 'gone' is not in"),
    ],
)
def test_a_mistake_at_the_door_is_one_line(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    path = _written(noise(), tmp_path)
    arguments = ["judge", "--scores", str(path), "--dataset-id", DATASET, "--threshold", "1", "--lake", str(lake.root)]
    if more[0] == "--threshold":
        arguments = [one for one in arguments if one not in ("--threshold", "1")]
    assert main([*arguments, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


COMPARE_MISTAKES = [
    ({"lake": 3}, "lake was 3"),
    ({"signal": "nope"}, "signal 'nope' is not known"),
    ({"signal": "series:nope"}, "no run of 'series:nope'"),
    ({"signal": 3}, "signal was 3"),
    ({"dataset": "nope"}, "no run of 'nope'"),
    ({"sort": "luck"}, "sort was 'luck'; choose one of: oos_expectancy_low"),
    ({"top": 0}, "top was 0"),
    ({"min_signals": "x"}, "min_signals was 'x'"),
]


@pytest.mark.parametrize(("arguments", "words"), COMPARE_MISTAKES)
def test_a_mistake_in_compare_is_one_line(lake: Lake, arguments: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: tune.compare(**{"lake": lake, **arguments}))


@pytest.mark.parametrize(
    ("config", "arguments", "words"),
    [
        (3, {}, "sweep was a int"),
        ("gone.yaml", {}, "gone.yaml does not exist"),
        ({"name": "x"}, {}, "the sweep lacks datasets"),
        ({"name": "x", "datasets": ["gone"], "signals": ["ads"]}, {}, "dataset 'gone' is not in"),
        ({}, {"limit": 0}, "limit was 0"),
        ({}, {"lake": 3}, "lake was 3"),
    ],
)
def test_a_mistake_in_a_sweep_is_one_line(lake: Lake, config: Any, arguments: dict[str, Any], words: str) -> None:
    assert words in refusal(lambda: tune.run_sweep(config, **{"lake": lake, **arguments}))


def test_the_version_of_the_judge_is_in_the_id(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **RULES)
    other = replace(run._point, code_version="0" * 16)
    assert other.run_id != run.run_id
    assert replace(run._point, signal="series:other").run_id == run.run_id
    assert replace(run._point, dataset_checksum="0" * 64).run_id != run.run_id


@pytest.mark.parametrize("name", tune.__all__)
def test_examples_of_docstrings(morning: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(morning)
    monkeypatch.setenv("SPYMASTER_LAKE", str(morning / "lake"))
    found = examples(name, public("tune")[name])
    assert found
    if name == "run_sweep":  # where its one point is known already no Ray is started
        lake = Lake(morning / "lake")
        rules = {"tp_ticks": 4, "sl_ticks": 4, "min_signals": 1}
        (point,) = points_of(lake, datasets=["morning"], signals=["ads"], eval=rules, sweep={})
        market = load_market(Dataset.open(lake, "morning"), ["ads"])
        ResultStore(lake).append([evaluate(point, market)], sweep_id="s", **COMMON)
    run_examples(found)
