"""A score series from outside before the judge: as a sweep's own to the last bit, counted once, and in words what it is worth."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import engine
import tune
from engine.dataset.read import Dataset
from engine.errors import ChampionError
from engine.lake import Lake
from engine.signals.registry import get_signal
from tests.blocks import publish_plain, publish_random
from tests.face import examples, public, refusal, run_examples
from tests.test_tune.scores import RULES, N, foresight, noise, written
from tests.test_tune.small_sweep import COMMON, DATASET, evaluated, points_of
from tune.cli import main
from tune.diagnostics import COLUMNS as DIAGNOSTIC_COLUMNS
from tune.judgement import UNPROVEN
from tune.ledger import TrialLedger
from tune.promote import promote_run
from tune.results import ResultStore
from tune.trial import Point, evaluate, load_market, prediction_mode


@pytest.fixture
def dataset(lake: Lake) -> Dataset:
    return Dataset.open(lake, DATASET)


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
    (point,) = points_of(lake, datasets=["plain"], signals=[signal], sweep={}, eval={"tp_ticks": 2, "sl_ticks": 3})
    result = evaluate(point, load_market(dataset, [get_signal(signal)]))
    ResultStore(lake).append([result], sweep_id="s", **COMMON)
    outputs = engine.run_signal(signal, dataset, **point.parameters)  # labels are those of the trade that is judged
    column = "prediction" if "prediction" in outputs.columns else "score"
    mode = prediction_mode(get_signal(signal))
    thresholds = json.loads(result.meta["thresholds_json"])
    mine = tune.judge(outputs, dataset, column=column, **as_judged(point, thresholds=thresholds, mode=mode))
    assert figures(mine.table()) == figures(ResultStore(lake).rows([point.run_id]))
    assert max(mine.table()["n_signals"]) > 0


WIDE: dict[str, Any] = {**RULES, "tp_ticks": 8, "sl_ticks": 8, "thresholds": [4.0, 8.0]}


@pytest.fixture
def longer(lake: Lake) -> Dataset:
    """Four times as long: of seven trades, all won, it says nothing yet, as stops may come in 1 - 0.025 ** (1 / 7), or 0.41."""
    return publish_random(lake, "longer", n_bins=10_000)


def test_an_edge_is_found_and_noise_is_not(longer: Dataset) -> None:
    edge = tune.judge(foresight(longer), longer, name="edge", **WIDE)
    assert edge.best is not None
    assert edge.best["oos_n_signals"] > 30
    assert edge.best["oos_expectancy_low"] > 0
    assert "it earns: net +" in edge.lines[0]
    none = tune.judge(noise(n=longer.n_bins), longer, name="noise", **{**WIDE, "thresholds": [1.0, 1.5]})
    assert none.best is not None
    assert not none.best["oos_expectancy_low"] > 0
    assert "it earns" not in none.lines[0]


def test_the_same_scores_are_one_run_counted_once(lake: Lake, dataset: Dataset) -> None:
    first = tune.judge(noise(), dataset, name="a", **RULES)
    again = tune.judge(noise(), DATASET, lake=lake.root, name="b", **RULES)
    assert first.run_id == again.run_id
    assert again.name == "series:a"  # a name decides nothing; whoever came first gave it
    assert ResultStore(lake).meta().height == 1
    assert len(TrialLedger(lake).trials()) == len(RULES["thresholds"])
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
        tune.judge(-noise(), dataset, **RULES),
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


def test_a_file_names_its_series(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "my scores (2).parquet"
    pl.DataFrame({"bin_seq": np.arange(N), "score": noise()}).write_parquet(path)
    assert tune.judge(path, dataset, **RULES).name == "series:my_scores__2_"


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
    first, second, chance, words, assumed, last = repr(run).splitlines()
    assert first.startswith(f"series:mine on {DATASET}, run {run.run_id}: it ")
    assert f"{run.best['oos_expectancy_ticks']:+.2f} [" in first
    assert f"TP rate {run.best['tp_rate']:.3f} [" in second
    assert f"{run.best['break_even_rate']:.3f} breaks even" in second
    assert "by chance alone" in chance
    assert words
    assert assumed.startswith("The deflated ratio takes all 2 trials for different ones")
    assert last == UNPROVEN


def test_too_few_trades_are_nothing_to_judge(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **{**RULES, "thresholds": [99.0]})
    assert run.best is None
    assert "no threshold gave 5 trades or more" in run.lines[0]
    assert run.trades().is_empty()
    assert run.plot() is not None


def test_a_picture_is_shown_andwritten(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_leaderboard_shows_it_beside_the_sweeps(lake: Lake, longer: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    ResultStore(lake).append(evaluated(lake, points_of(lake)), sweep_id="s", **COMMON)
    run = tune.judge(foresight(longer), longer, name="edge", **WIDE)
    board = tune.compare(lake)
    assert board.item(0, "run_id") == run.run_id
    assert board.item(0, "oos_expectancy_low") > 0  # so wide as to hold for all nine rows at once
    assert len(board) == 9
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
    path = written(noise(), tmp_path)
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
    path = written(noise(), tmp_path)
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
        (3, {}, "sweep was of type int"),
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
        market = load_market(Dataset.open(lake, "morning"), [get_signal("ads")])
        ResultStore(lake).append([evaluate(point, market)], sweep_id="s", **COMMON)
    run_examples(found)
