"""When learned signals are fitted, on which rows, what a late fit does; tables of trees against the libraries."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.signals.base import SignalContext
from engine.signals.contract import part
from engine.signals.example import EXAMPLE_TICK_INT, example_bins
from engine.signals.learned import trees
from engine.signals.learned.labelled import LabelledSignal
from engine.signals.learned.training import Fitted, TrainingSet, split_by_time, standardiser
from engine.signals.registry import make_signal
from tests.test_engine.test_signals.test_contract import quick

CONTEXT = SignalContext(cell_width_ms=100, radius=50, tick_int=EXAMPLE_TICK_INT)
FIRST, EVERY, DELAY = 150, 100, 15  # of the classes' own test_params


def make(name: str = "lsvm_der", **params: Any) -> Any:
    return make_signal(name, quick(name) | params, CONTEXT)


def bins_for(model: Any, n: int = 500, seed: int = 3) -> dict[str, NDArray[Any]]:
    bins = example_bins(n, CONTEXT.radius, seed)
    return {name: bins[name] for name in (*model.required_columns, *model.required_fields)}


def spied(model: LabelledSignal) -> list[TrainingSet]:
    """The rows of every fit from now on."""
    seen: list[TrainingSet] = []
    fit = model._fit

    def spy(data: TrainingSet, before: Fitted | None) -> Fitted:
        seen.append(data)
        return fit(data, before)

    model._fit = spy  # type: ignore[method-assign]
    return seen


def test_fits_take_effect_their_delay_after_their_data_end() -> None:
    model = make()
    fits = model.run(bins_for(model))["fits"]
    changes = np.flatnonzero(np.diff(fits, prepend=0))
    assert changes.tolist() == [FIRST + DELAY, FIRST + EVERY + DELAY, FIRST + 2 * EVERY + DELAY, FIRST + 3 * EVERY + DELAY]


def test_fits_stand_at_the_same_bins_of_the_session_wherever_the_signal_began() -> None:
    model = make()
    bins = part(bins_for(model, 900), 130, 900)
    changes = np.flatnonzero(np.diff(model.run(bins)["fits"], prepend=0)) + 130
    assert set((changes[1:] - DELAY - FIRST) % EVERY) == {0}


def test_signal_that_began_later_says_the_same_once_it_remembers_as_much() -> None:
    bins = bins_for(make("svm_sp"), 2000)
    whole, late = make("svm_sp"), make("svm_sp")
    begin = 700
    assert begin + late.memory_bins < 1900
    same_from = begin + late.memory_bins
    tail = late.run(part(bins, begin, 2000))["prediction"][same_from - begin :]
    assert tail.tobytes() == whole.run(bins)["prediction"][same_from:].tobytes()


def test_nothing_is_said_before_the_first_fit() -> None:
    for name, neutral in (("lsvm_der", 0.0), ("xgb_snap", 0.5)):
        model = make(name)
        before = model.run(bins_for(model))[: FIRST + DELAY]
        assert not before["ready"].any()
        assert set(before["score"]) == {0.0}
        assert set(before["prediction"]) == {neutral}


def test_a_fit_sees_only_outcomes_that_are_older_than_the_embargo() -> None:
    model = make()
    seen = spied(model)
    model.run(bins_for(model))
    assert [data.end for data in seen] == [FIRST, FIRST + EVERY, FIRST + 2 * EVERY, FIRST + 3 * EVERY]
    for data in seen:
        assert np.all(data.exits <= data.end - quick("lsvm_der")["embargo_bins"])
        assert np.all(data.rows >= data.end - quick("lsvm_der")["train_window_bins"])


def test_a_fit_sees_no_bin_of_a_doubtful_book() -> None:
    model = make()
    bins = bins_for(model)
    seen = spied(model)
    model.run(bins)
    is_sound = (bins["quality"] == 0) & np.isfinite(bins["mid_price"])
    assert all(is_sound[data.rows].all() and is_sound[data.exits[data.labels != 0]].all() for data in seen)


def test_new_rows_are_those_the_fit_before_could_not_see() -> None:
    model = make()
    seen = spied(model)
    model.run(bins_for(model))
    for before, now in zip(seen[:-1], seen[1:], strict=True):
        assert not set(now.rows[now.is_new]) & set(before.rows)


# A late fit


class _Gate:
    """Holds fits back until it is opened."""

    def __init__(self, model: LabelledSignal) -> None:
        self.open = threading.Event()
        fit = model._fit

        def slow(data: TrainingSet, before: Fitted | None) -> Fitted:
            assert self.open.wait(30)
            return fit(data, before)

        model._fit = slow  # type: ignore[method-assign]


def test_a_late_fit_is_counted_and_the_old_model_holds() -> None:
    model, bins = make(), bins_for(make())
    first_done = FIRST + DELAY + 20
    on_time = make().run(bins)
    early = model.run(part(bins, 0, first_done))
    gate = _Gate(model)
    model.late_policy = "hold"
    due = FIRST + EVERY + DELAY
    held = model.run(part(bins, first_done, due + 5))
    assert early.tobytes() == on_time[:first_done].tobytes()
    assert held["fits"].tolist() == [1] * len(held)
    assert held["late_fits"].tolist() == [0] * (due - first_done) + [1] * 5
    assert held["prediction"][due - first_done :].tobytes() != on_time["prediction"][due : due + 5].tobytes()
    assert model.is_fit_due
    gate.open.set()
    model.settle()
    assert not model.is_fit_due
    after = model.run(part(bins, due + 5, due + 50))
    assert after["prediction"].tobytes() == on_time["prediction"][due + 5 : due + 50].tobytes()
    assert set(after["late_fits"]) == {1}


def test_a_fit_is_under_way_from_its_data_end_until_it_is_done() -> None:
    """The bin at which the data end starts it; done before it takes effect, it keeps nobody waiting."""
    model, bins = make(), bins_for(make())
    gate = _Gate(model)
    model.run(part(bins, 0, FIRST))
    assert not model.is_fitting
    model.run(part(bins, FIRST, FIRST + 1))
    assert model.is_fitting
    assert not model.is_fit_due
    gate.open.set()
    model.settle()
    assert not model.is_fitting


def test_a_run_that_waits_is_never_late() -> None:
    model, bins = make(), bins_for(make())
    gate = _Gate(model)
    opener = threading.Timer(0.05, gate.open.set)
    opener.start()
    out = model.run(bins)
    opener.join()
    assert out.tobytes() == make().run(bins).tobytes()


def test_the_fit_runs_while_bins_are_scored() -> None:
    model, bins = make(), bins_for(make())
    gate = _Gate(model)
    out = model.run(part(bins, 0, FIRST + DELAY))  # the fit has begun at FIRST and cannot end
    assert len(out) == FIRST + DELAY
    gate.open.set()
    model.settle()


def test_a_fit_that_fails_is_not_swallowed() -> None:
    model = make()

    def broken(data: TrainingSet, before: Fitted | None) -> Fitted:
        raise FloatingPointError("no fit today")

    model._fit = broken
    with pytest.raises(FloatingPointError, match="no fit today"):
        model.run(bins_for(model))


def test_another_seed_draws_otherwise_and_the_same_one_alike() -> None:
    bins = bins_for(make("gbm_mf"))
    by_seed = [make("gbm_mf", seed=seed).run(bins)["prediction"].tobytes() for seed in (1, 1, 2)]
    assert by_seed[0] == by_seed[1] != by_seed[2]


@pytest.mark.parametrize(
    ("name", "params", "named"),
    [
        ("svm_sp", {"refit_delay_bins": 101}, "refit_delay_bins was 101.*refit_interval_bins.*100"),
        ("svm_sp", {"svm_c": 0}, "svm_c"),
        ("knn_cl", {"k_neighbors": 0}, "k_neighbors"),
        ("pca_ad", {"pca_window": 151}, "pca_window was 151.*min_train_bins"),
        ("xgb_snap", {"center_k_range": [3, 1]}, "center_k_range"),
        ("gbm_mf", {"validation": "none"}, "validation"),
        ("lsvm_der", {"cooldown_bins": 3}, "cooldown_bins"),
    ],
)
def test_bad_parameter_is_refused_by_name(name: str, params: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make(name, **params)


# Rows prepared for a fit


def rows(labels: list[int], exits: list[int] | None = None) -> TrainingSet:
    n = len(labels)
    at = np.arange(n) * 10
    leave = np.array(exits) if exits is not None else at + 5
    return TrainingSet(np.arange(2.0 * n).reshape(n, 2), np.array(labels, np.int8), np.ones(n), at, leave, at >= 0, 10 * n)


def test_a_row_that_went_nowhere_counts_half_for_each_side() -> None:
    features, labels, weights = rows([1, 0, -1]).two_sided()
    assert labels.tolist() == [1, 1, -1, -1]
    assert weights.tolist() == [1.0, 0.5, 1.0, 0.5]
    assert features[3].tolist() == features[1].tolist()


def test_purged_split_leaves_out_rows_whose_outcome_reaches_the_validation() -> None:
    data = rows([1, -1] * 5, exits=[5, 15, 25, 35, 45, 55, 79, 81, 85, 95])
    train, validate = split_by_time(data, True, 0)
    assert validate.rows.tolist() == [80, 90]
    assert train.rows.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert split_by_time(data, True, 1)[0].rows.tolist() == [0, 10, 20, 30, 40, 50]  # the exit at 79 is no older than one bin
    assert split_by_time(data, True, 30)[0].rows.tolist() == [0, 10, 20, 30, 40]
    assert len(split_by_time(data, False, 30)[0]) == 8


def test_a_constant_feature_keeps_its_scale() -> None:
    scaler = standardiser(np.array([[1.0, 0.1], [3.0, 0.1], [2.0, 0.1]]))
    assert scaler.scale[1] == 1.0
    assert scaler.scale[0] == pytest.approx(np.sqrt(2 / 3))


# Tables of trees


def boosted(library: str) -> tuple[NDArray[np.float64], NDArray[np.float64], Fitted]:
    """Features, the library's own probabilities, and the table."""
    rng = np.random.default_rng(5)
    features = rng.standard_normal((400, 6)).astype(np.float32).astype(np.float64)
    up = (features[:, 0] + features[:, 1] * features[:, 2] + 0.5 * rng.standard_normal(400) > 0).astype(float)
    features[:50, 3] = 0.0
    if library == "lightgbm":
        import lightgbm

        settings = {"objective": "binary", "verbose": -1, "n_jobs": 1, "seed": 1, "deterministic": True, "force_col_wise": True}
        booster = lightgbm.train(settings, lightgbm.Dataset(features, up), num_boost_round=30)
        return features, np.asarray(booster.predict(features, num_iteration=20)), trees.from_lightgbm(booster, 20)
    import xgboost

    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, xgboost.DMatrix(features, up), 30)
    plain = booster.predict(xgboost.DMatrix(features), iteration_range=(0, 20))
    return features, plain.astype(np.float64), trees.from_xgboost(booster, 20)


@pytest.mark.parametrize(("library", "tolerance"), [("lightgbm", 1e-14), ("xgboost", 2e-6)])
def test_table_says_what_the_library_says(library: str, tolerance: float) -> None:
    features, expected, fitted = boosted(library)
    out = np.zeros(len(features), [("prediction", "f8")])
    trees.score_rows(features, 0, trees.trees_of(fitted), out)
    assert np.max(np.abs(out["prediction"] - expected)) <= tolerance
    assert np.ptp(expected) > 0.3


def test_a_restored_model_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("xgb_snap")
    bins = bins_for(model)
    model.run(part(bins, 0, FIRST + EVERY + DELAY + 1))
    kept = model.snapshot()
    again = make("xgb_snap")
    refuse: Callable[..., Any] = lambda *_: pytest.fail("a fit was made")  # noqa: E731
    monkeypatch.setattr(type(again), "_fit", refuse)
    again.restore(kept)
    a, b = (one.run(part(bins, FIRST + EVERY + DELAY + 1, FIRST + 2 * EVERY)) for one in (model, again))
    assert a.tobytes() == b.tobytes()
