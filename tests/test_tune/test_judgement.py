"""What the judge says of a series' figures, on rows made by hand; and what makes the id of a judged series."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tune
from engine.dataset.read import Dataset
from engine.lake import Lake
from tests.blocks import publish_random
from tests.test_tune.made import frame, made
from tests.test_tune.markets import sound_rules
from tests.test_tune.scores import RULES, noise
from tests.test_tune.small_sweep import DATASET
from tune.code_version import scoring_version
from tune.judgement import UNPROVEN, Judgement, is_outside
from tune.judging import SeriesPoint
from tune.ledger import TrialLedger
from tune.results import ResultStore

POINT = SeriesPoint("d", "c", "v", "series:mine", {"mode": "signed"}, {"scores": "x"}, sound_rules(), (0.1, 0.2), "e")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return publish_random(Lake(tmp_path_factory.mktemp("lake")), DATASET)


@pytest.fixture
def judged(dataset: Dataset) -> Callable[..., Judgement]:
    """A judgement over made-up rows."""

    def judge(*rows: dict[str, Any], min_signals: int = 5) -> Judgement:
        named = [{**row, "signal_name": "series:mine"} for row in rows]
        no_trials = TrialLedger(Lake(Path("/nowhere"))).trials()
        return Judgement(dataset, np.zeros(dataset.n_bins), POINT, "signed", frame(*named), no_trials, min_signals)

    return judge


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 3.0, "it earns: net +1.00 [+0.01 +3.00] ticks a trade out of sample, 17 trades"),
        (0.0, 3.0, "it cannot be told from nothing: net +1.00 [+0.00 +3.00] ticks a trade out of sample, 17 trades"),
        (-3.0, 0.0, "it cannot be told from nothing: net +1.00 [-3.00 +0.00] ticks a trade out of sample, 17 trades"),
        (-3.0, -0.01, "it loses: net +1.00 [-3.00 -0.01] ticks a trade out of sample, 17 trades"),
        (nan, nan, "it cannot be told from nothing: net +1.00 [?] ticks a trade out of sample, 17 trades"),
    ],
)
def test_a_verdict_needs_an_interval_that_keeps_clear_of_nothing(
    judged: Callable[..., Judgement], low: float, high: float, verdict: str
) -> None:
    row = made("r", 0.1, oos_n_signals=17, oos_expectancy_ticks=1.0, oos_expectancy_low=low, oos_expectancy_high=high)
    found = judged(row)
    assert found.lines[0] == f"series:mine on random_walk, run {POINT.run_id}: {verdict}"
    assert found.lines[-1] == UNPROVEN


def test_without_a_choice_out_of_sample_nothing_is_known(judged: Callable[..., Judgement]) -> None:
    row = made("r", 0.1, oos_n_signals=0, oos_expectancy_ticks=nan, oos_expectancy_low=nan, oos_expectancy_high=nan)
    assert "so nothing is known out of sample" in judged(row).lines[0]


def test_the_best_threshold_is_the_surest_in_sample_of_those_with_trades_enough(judged: Callable[..., Judgement]) -> None:
    figures: dict[str, Any] = {"tp_rate": 0.11, "tp_rate_low": 0.12, "tp_rate_high": 0.13, "break_even_rate": 0.14}
    figures |= {"expectancy_ticks": 1.5, "expectancy_low": 1.6, "expectancy_high": 1.7, "n_signals": 8}
    rows = [made("r", 0.1, **{**figures, "expectancy_low": 9.0, "n_signals": 7}), made("r", 0.2, **figures)]
    rows += [made("r", 0.3, **{**figures, "expectancy_low": 1.59, "n_signals": 99})]
    found = judged(*rows, min_signals=8)
    assert found.best is not None
    assert found.best["threshold"] == 0.2
    assert found.lines[1] == (
        "best of 2 thresholds, in sample: 0.2, 8 trades, TP rate 0.110 [0.120 0.130] where 0.140 breaks even, "
        "net +1.50 [+1.60 +1.70] ticks a trade"
    )
    none = judged(*rows, min_signals=100)
    assert none.best is None
    assert none.lines[0].endswith("no threshold gave 100 trades or more, so there is nothing to judge.")


def test_outside_is_what_a_colon_says() -> None:
    assert is_outside("series:ads")
    assert not is_outside("series")
    assert not is_outside("ads")


# --- ids ---


def test_the_id_of_a_series_is_a_hash_of_six_things_in_order() -> None:
    text = f'["series", "c", {{"mode": "signed"}}, {json.dumps(asdict(sound_rules()), sort_keys=True)}, [0.1, 0.2], "e"]'
    assert POINT.run_id == sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"dataset_checksum": "C"}, False),
        ({"parameters": {"mode": "probability"}}, False),
        ({"rules": sound_rules(embargo_bins=1)}, False),
        ({"thresholds": (0.1,)}, False),
        ({"code_version": "E"}, False),
        ({"signal": "series:yours"}, True),
        ({"dataset_id": "D"}, True),
        ({"swept": {}}, True),
    ],
)
def test_the_id_follows_what_decides_a_number_and_no_name(changes: dict[str, Any], is_same: bool) -> None:
    assert (replace(POINT, **changes).run_id == POINT.run_id) == is_same


def test_scores_and_mode_are_in_the_parameters_and_the_scorings_version_is_the_code(dataset: Dataset) -> None:
    point = tune.judge(noise(), dataset, **RULES)._point
    digest = sha256(noise().astype("<f8").tobytes()).hexdigest()
    assert point.parameters == {"scores_sha256": digest, "mode": "signed"}
    assert point.swept == {"scores": digest[:8]}
    assert (point.dataset_id, point.dataset_checksum, point.grid_variant_id) == (DATASET, dataset.checksum, "immutable")
    assert point.code_version == scoring_version()


# --- where it begins, and at which levels ---


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ({"warmup_bins": 1500, "calibration_bins": 1000}, 1500),
        ({"warmup_bins": 999, "calibration_bins": 1000}, 1000),
        ({"warmup_bins": 999, "calibration_bins": 1000, "thresholds": [0.5]}, 999),
        ({"warmup_bins": 0, "calibration_bins": 2499}, 2499),
    ],
)
def test_bins_that_gave_the_thresholds_are_not_judged(dataset: Dataset, given: dict[str, int], start: int) -> None:
    assert tune.judge(noise(), dataset, tp_ticks=4, sl_ticks=4, **given)._point.rules.warmup_bins == start


def test_levels_are_ascending_and_each_once(dataset: Dataset) -> None:
    assert tune.judge(noise(), dataset, **{**RULES, "thresholds": [1.0, 0.5, 1]}).thresholds == (0.5, 1.0)
    assert tune.judge(noise(), dataset, **{**RULES, "thresholds": [0], "form": "reference"}).thresholds == (0.0,)


def test_the_trades_of_a_threshold_are_its_own(dataset: Dataset) -> None:
    run = tune.judge(noise(), dataset, **RULES)
    scores = noise()
    for level in (0.5, 1.0):
        trades = run.trades(level)
        fired = trades["fired_bin"].to_numpy()
        assert (np.abs(scores[fired]) >= level).all()
        assert (np.sign(scores[fired]) == trades["side"].to_numpy()).all()
        assert (trades["entry_bin"].to_numpy() == fired + 1).all()
        ends = dataset.bins(["ts_ns"])["ts_ns"]
        for name in ("entry", "exit"):
            assert (trades[f"{name}_time"].dt.epoch("ns").to_numpy() == ends[trades[f"{name}_bin"].to_numpy()]).all()
    assert (np.abs(scores[run.trades(0.5)["fired_bin"].to_numpy()]) < 1.0).any()


def test_a_trial_is_written_down_before_its_results(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    dataset = publish_random(lake, DATASET)
    store = ResultStore(lake)
    store.rows_dir.parent.mkdir(parents=True)
    store.rows_dir.write_text("in the way")
    with pytest.raises(OSError, match=r"runs\.parquet"):
        tune.judge(noise(), dataset, **RULES)
    assert len(TrialLedger(lake).trials()) == 2
    assert store.run_ids() == set()
