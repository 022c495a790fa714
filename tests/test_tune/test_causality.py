"""The causality check: on planted leaks and their honest twins, and on the judge itself, sound and with its locks taken off."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.registry import SIGNALS, get_signal, signal_names
from engine.signals.statistical.perm_derivative import PermDerivative
from tests.blocks import publish_plain
from tests.test_tune import causality
from tests.test_tune.causality import Accusation, accusations, changed_after, market_arrays, point_decisions
from tests.test_tune.leaks import LEAKS, session
from tests.test_tune.small_sweep import DATASET, points_of
from tune import outofsample, scoring
from tune.trial import Market, Point, load_market

CUTS = tuple(range(107, 600, 31))


@pytest.mark.parametrize("kind", LEAKS)
def test_each_planted_leak_is_caught_and_its_honest_twin_is_not_accused(kind: str) -> None:
    leak, honest = LEAKS[kind]
    for seed in range(3):
        assert accusations(leak, session(seed), CUTS)
        assert accusations(honest, session(seed), CUTS) == []


def test_the_accusation_names_output_bin_and_cut() -> None:
    leak, _ = LEAKS["future bin"]
    (first, *_) = accusations(leak, session(1), [155])
    assert (first.output, first.bin, first.cut) == ("score", 155, 155)
    assert str(Accusation("score", 3, 4, "scaled")) == "score of bin 3 changes when the bins after 4 are scaled"


@pytest.mark.parametrize("change", causality.CHANGES)
def test_a_change_touches_the_future_only_and_all_arrays_alike(change: str) -> None:
    arrays = {"a": np.arange(50.0), "b": np.arange(100).reshape(50, 2), "quality": np.arange(50)}
    other = changed_after(arrays, 20, change)
    assert all(np.array_equal(other[name][:21], arrays[name][:21]) for name in arrays)
    assert not np.array_equal(other["a"][21:], arrays["a"][21:])
    assert np.array_equal(other["quality"], arrays["quality"])
    if change != "scaled":
        assert np.array_equal(other["b"][:, 0], 2 * other["a"])


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


FOLD_CUTS = (400, 899, 900, 1301, 1700, 2200)


@pytest.mark.parametrize("rules", [{}, {"position": "overlapping"}, {"trigger": "level"}, {"form": "reference"}])
def test_the_judge_itself_is_causal(lake: Lake, market: Market, rules: dict[str, Any]) -> None:
    point = judged(lake, **rules)
    decide = point_decisions(point, market)
    made = decide(market_arrays(market))
    assert np.isfinite(made["threshold"]).any()
    assert (made["fired"] != 0).sum() > 50
    assert accusations(decide, market_arrays(market), FOLD_CUTS) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("signal", signal_names())
def test_every_signal_is_judged_causally(tmp_path: Any, signal: str) -> None:
    lake = Lake(tmp_path / "lake")
    publish_plain(lake, DATASET, n_bins=4000, radius=50, seed=7)
    (point,) = points_of(lake, signals=[signal], sweep={}, eval={"tp_ticks": 2, "sl_ticks": 3, "max_hold_bins": 100})
    market = load_market(Dataset.open(lake, DATASET), [get_signal(signal)])
    assert accusations(point_decisions(point, market), market_arrays(market), [3500]) == []


def test_folds_that_learn_from_all_labels_are_caught(lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = scoring.fold_starts
    monkeypatch.setattr(scoring, "fold_starts", lambda start, n, folds: np.full_like(sound(start, n, folds), 10**6))
    found = accusations(point_decisions(judged(lake), market), market_arrays(market), FOLD_CUTS)
    assert {one.output for one in found} >= {"threshold"}


def test_a_choice_by_the_whole_session_is_caught(lake: Lake, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def best_of_all(rows: Any, n_folds: int) -> list[int]:
        return [int(np.argmax([row["expectancy_ticks"] for row in rows]))] * n_folds

    monkeypatch.setattr(causality, "fold_picks", best_of_all)
    assert accusations(point_decisions(judged(lake), market), market_arrays(market), FOLD_CUTS)
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
    point = replace(judged(lake), signal=model.name)
    found = accusations(point_decisions(point, market), market_arrays(market), FOLD_CUTS)
    assert output in {one.output for one in found}
