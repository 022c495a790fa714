"""The causality check on planted leaks and their honest twins, and on the judge itself, sound and with its locks taken off."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.causality import FILLED, accusations
from engine.signals.futures import OTHER, RARE, WIDE
from engine.signals.registry import BUILT_IN, SIGNALS, get_signal
from engine.signals.statistical.perm_derivative import PermDerivative
from tests.blocks import publish_plain
from tests.test_tune import causality
from tests.test_tune.causality import accused_of, market_arrays, point_decisions
from tests.test_tune.leaks import LEAKS, fills_of, session
from tests.test_tune.small_sweep import DATASET, points_of
from tune import outofsample, scoring
from tune.trial import Market, Point, load_market

# Learned signals are fitted again and again, which is half a minute together.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if ".learned." in target else name for name, target in sorted(BUILT_IN.items())
]
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_planted_leak_is_caught_and_no_honest_twin_accused(seed: int) -> None:
    """One table for all kinds, so that a failure shows them all."""
    x = session(seed)
    rows = []
    for kind, pair in LEAKS.items():
        leak, twin = (next(accusations(one, x, seed=seed, fills=fills_of(kind)), None) for one in pair)
        rows.append((kind, leak is not None, twin is not None))
        print(f"{kind:20} {leak or 'MISSED'}" + (f"; its twin ACCUSED: {twin}" if twin else ""))
    assert [kind for kind, is_caught, _ in rows if not is_caught] == []
    assert [kind for kind, _, is_accused in rows if is_accused] == []
    assert len(rows) >= 40


def test_the_accusation_names_output_bin_and_what_came_after() -> None:
    leak, _ = LEAKS["future bin"]
    (first, *_) = accusations(leak, session(1), cuts=[156], kinds=[OTHER])
    assert (first.output, first.bin, first.cut, first.change) == ("score", 155, 156, OTHER)
    assert str(first).startswith("other values from bin 156 on changed the past: score of bin 155 is ")


# The judge.


@pytest.fixture
def market(lake: Lake) -> Market:
    return load_market(Dataset.open(lake, DATASET), [get_signal("perm_derivative")])


def judged(lake: Lake, **rules: Any) -> Point:
    (point,) = points_of(
        lake,
        eval={"tp_ticks": 2, "sl_ticks": 3, "max_hold_bins": 100, "warmup_bins": 100, "fee_per_contract": 0.0, **rules},
        sweep={"per_signal": {"perm_derivative": {"zscore_window_bins": [80]}}},
    )
    return point


FOLD_CUTS = (401, 900, 901, 1302, 1701, 2201)


@pytest.mark.parametrize("rules", [{}, {"position": "overlapping"}, {"trigger": "level"}])
def test_the_judge_itself_is_causal(lake: Lake, market: Market, rules: dict[str, Any]) -> None:
    point = judged(lake, **rules)
    made = point_decisions(point, market)(market_arrays(market))
    assert np.isfinite(made["threshold"]).any()
    assert (made["entered"] != 0).sum() > 30
    assert np.isfinite(made["fill"]).sum() > 30
    assert accused_of(point, market, FOLD_CUTS) == []


def test_the_reference_form_is_accused_of_its_fills_alone(lake: Lake, market: Market) -> None:
    """It enters at the price of the bin whose end gave the signal."""
    found = accused_of(judged(lake, form="reference"), market, FOLD_CUTS)
    assert {(one.output, one.change) for one in found} == {("fill", FILLED)}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("signal", NAMES)
def test_every_signal_is_judged_causally(tmp_path: Path, signal: str) -> None:
    lake = Lake(tmp_path / "lake")
    publish_plain(lake, DATASET, n_bins=4000, radius=50, seed=7)
    (point,) = points_of(lake, signals=[signal], sweep={}, eval={"tp_ticks": 2, "sl_ticks": 3, "max_hold_bins": 100})
    market = load_market(Dataset.open(lake, DATASET), [get_signal(signal)])
    assert accused_of(point, market, [3501], [OTHER, WIDE, RARE]) == []


def test_folds_that_learn_from_all_labels_are_caught(lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = scoring.fold_starts
    monkeypatch.setattr(scoring, "fold_starts", lambda start, n, folds: np.full_like(sound(start, n, folds), 10**6))
    assert "threshold" in {one.output for one in accused_of(judged(lake), market, FOLD_CUTS)}


def test_a_choice_by_the_whole_session_is_caught(lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def best_of_all(rows: Any, n_folds: int) -> list[int]:
        return [int(np.argmax([row["expectancy_ticks"] for row in rows]))] * n_folds

    monkeypatch.setattr(causality, "fold_picks", best_of_all)
    assert accused_of(judged(lake), market, FOLD_CUTS)
    assert outofsample.fold_picks is not best_of_all


class WholeSample(PermDerivative):
    """Takes its thresholds from the session it is scored on."""

    name = "whole_sample"

    def thresholds(self, score: Any) -> tuple[float, ...]:
        return tuple(np.percentile(np.abs(score), [50, 80, 95]))


class Ahead(PermDerivative):
    """Scores a bin by the next one."""

    name = "ahead"

    def run(self, columns: Any) -> Any:
        out = super().run(columns)
        out["score"] = np.append(out["score"][1:], 0.0)
        return out


@pytest.mark.parametrize(("model", "output"), [(WholeSample, "threshold"), (Ahead, "score")])
def test_a_signal_that_looks_ahead_is_caught(
    lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch, model: Any, output: str
) -> None:
    monkeypatch.setitem(SIGNALS, model.name, model)
    found = accused_of(replace(judged(lake), signal=model.name), market, FOLD_CUTS)
    assert output in {one.output for one in found}
