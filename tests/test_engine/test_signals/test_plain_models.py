"""What learned signals say after a fit against the libraries run plainly on the same rows, and the kernels' votes by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.learned import knn_cl
from engine.signals.learned.lsvm_der import balance
from engine.signals.learned.training import TrainingSet
from tests.reference_learned import Series, returns
from tests.test_engine.test_signals.test_plain_fits import ENDS, N_BINS, features_of, make, market, run, spied

DELAY = 7
EMBARGO = 18


def two_sided(data: TrainingSet) -> tuple[Series, NDArray[np.int8], Series]:
    """A row that went nowhere is half an up, and behind all rows half a down."""
    flat = np.flatnonzero(data.labels == 0)
    order = np.concatenate([np.arange(len(data)), flat])
    labels = data.labels[order]
    labels[flat] = 1
    labels[len(data) :] = -1
    weights = data.weights[order] * np.where(np.isin(order, flat), 0.5, 1.0)
    return data.features[order], labels, weights


def standard(features: Series) -> tuple[Series, Series]:
    std = features.std(axis=0)
    return features.mean(axis=0), np.where(std < 1e-12, 1.0, std)


def said(out: NDArray[np.void], place: int) -> tuple[Series, slice]:
    """What the fit at ``ENDS[place]`` says, and its bins: from its delay on until the next one takes over."""
    until = ENDS[place + 1] + DELAY if place + 1 < len(ENDS) else N_BINS
    bins = slice(ENDS[place] + DELAY, until)
    return out["prediction"][bins], bins


def compare(out: NDArray[np.void], place: int, expected: Series, tolerance: float = 1e-9) -> None:
    """``expected`` of every bin; those whose row is not whole say nothing."""
    found, bins = said(out, place)
    ready = out["ready"][bins]
    assert ready.sum() > 20 or place + 1 == len(ENDS)
    assert found[ready] == pytest.approx(expected[bins][ready], rel=tolerance, abs=tolerance)


def test_svm_sp_is_the_library_s_machine() -> None:
    from sklearn.svm import LinearSVC

    bins = market()
    model = make("svm_sp", svm_c=0.3, seed=5)
    seen = spied(model)
    out = run(model, bins)
    x = features_of("svm_sp", bins, returns(bins)).x
    for place in (0, 4):
        data = seen[place][0]
        mean, std = standard(data.features)
        features, labels, weights = two_sided(data)
        machine = LinearSVC(C=0.3, loss="hinge", class_weight="balanced", max_iter=2000, tol=1e-4, random_state=5)
        machine.fit((features - mean) / std, labels, sample_weight=weights)
        compare(out, place, machine.decision_function((x - mean) / std))
    assert out["score"].tobytes() == out["prediction"].tobytes()


def balanced(labels: NDArray[np.int8], weights: Series, of: NDArray[np.int8]) -> Series:
    """Both classes of some rows weigh the same."""
    share = {side: weights.sum() / (2 * weights[labels == side].sum()) for side in (-1, 1)}
    return np.array([share[side] for side in of.tolist()])


@pytest.mark.parametrize("clocks", ["separate", "shared"])
def test_lsvm_der_is_fitted_from_nothing_and_in_steps(clocks: str) -> None:
    from sklearn.linear_model import SGDClassifier

    bins = market()
    model = make("lsvm_der", refit_clocks=clocks, alpha=0.003, seed=9)
    seen = spied(model)
    out = run(model, bins)
    x = features_of("lsvm_der", bins, returns(bins)).x
    full = (0, 3, 6) if clocks == "separate" else (0,)  # every 180 bins, three fits; shared, a step sets the clock back
    machine: Any = None
    mean = std = np.zeros(0)
    for place, (data, _) in enumerate(seen):
        if place in full or clocks == "shared":
            mean, std = standard(data.features)
        if place in full:
            features, labels, weights = two_sided(data)
            machine = SGDClassifier(loss="hinge", alpha=0.003, max_iter=1000, tol=1e-3, random_state=9)
            machine.fit((features - mean) / std, labels, sample_weight=weights * balanced(labels, weights, labels))
        else:
            new = data.take(data.is_new)
            features, labels, weights = two_sided(new)
            _, all_labels, all_weights = two_sided(data if clocks == "separate" else new)
            factors = balanced(all_labels, all_weights, labels)
            step = SGDClassifier(loss="hinge", alpha=0.003, max_iter=1000, tol=1e-3, random_state=9)
            step.partial_fit(np.zeros((1, x.shape[1])), [1], classes=[-1, 1])
            step.coef_, step.intercept_, step.t_ = machine.coef_.copy(), machine.intercept_.copy(), machine.t_
            step.partial_fit((features - mean) / std, labels, sample_weight=weights * factors)
            machine = step
        compare(out, place, machine.decision_function((x - mean) / std))
    found = model.metadata(out)
    assert (found["full_refit_count"], found["partial_fit_count"]) == (len(full), len(ENDS) - len(full))


@pytest.mark.parametrize(("n_new", "n_steps"), [(5, 0), (6, 1)])
def test_lsvm_der_takes_a_step_on_six_new_rows(n_new: int, n_steps: int) -> None:
    model = make("lsvm_der")
    rng = np.random.default_rng(1)
    n = 40
    rows = np.arange(n)
    labels = np.where(rows % 2 == 0, 1, -1).astype(np.int8)
    x = rng.standard_normal((n, model.n_features))
    first = TrainingSet(x, labels, np.ones(n), rows, rows, np.ones(n, np.bool_), 100)
    before = model._fit(first, None)
    second = TrainingSet(x, labels, np.ones(n), rows, rows, rows >= n - n_new, 160)
    after = model._fit(second, before)
    assert after["counts"].tolist() == [1, n_steps]
    assert np.array_equal(after["weights"], before["weights"]) == (n_steps == 0)
    assert (after["last_full"].tolist(), after["last_step"].tolist()) == ([100], [160])


def test_balance_lets_both_classes_count_the_same() -> None:
    among, weights = np.array([1, 1, 1, -1], np.int8), np.array([1.0, 1.0, 4.0, 2.0])
    assert balance(among, weights, np.array([1, -1, -1], np.int8)) == pytest.approx([8 / 12, 8 / 4, 8 / 4])
    assert balance(among[:3], weights[:3], np.array([-1, 1], np.int8)) == pytest.approx([1.0, 0.5])


def split(data: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
    cut = int(0.8 * len(data))
    begins = int(data.rows[cut])
    kept = np.flatnonzero(data.exits[:cut] < begins - EMBARGO)
    return data.take(np.isin(np.arange(len(data)), kept)), data.take(slice(cut, None))


def up(data: TrainingSet) -> Series:
    return np.array([{1: 1.0, 0: 0.5, -1: 0.0}[label] for label in data.labels.tolist()])


@pytest.mark.parametrize("validation", ["purged_refit", "overlapping"])
def test_gbm_mf_is_the_library_s_trees(validation: str) -> None:
    import lightgbm

    bins = market()
    model = make("gbm_mf", seed=3, validation=validation, lgb_params={"num_leaves": 7})
    seen = spied(model)
    out = run(model, bins)
    x = features_of("gbm_mf", bins, returns(bins)).x
    settings = {
        "objective": "cross_entropy", "metric": "cross_entropy", "num_leaves": 7, "learning_rate": 0.05,
        "feature_fraction": 0.8, "bagging_fraction": 0.8, "bagging_freq": 5, "min_child_samples": 20, "n_jobs": 1, "seed": 3,
        "verbose": -1, "deterministic": True, "force_col_wise": True,
    }  # fmt: skip
    for place in (0, 3):
        data = seen[place][0]
        cut = int(0.8 * len(data))
        train, judge = split(data) if validation == "purged_refit" else (data.take(slice(cut)), data.take(slice(cut, None)))
        sets = [lightgbm.Dataset(one.features, up(one), weight=one.weights) for one in (train, judge)]
        sets[1].reference = sets[0]
        stop = lightgbm.early_stopping(4, verbose=False)
        booster = lightgbm.train(settings, sets[0], 12, valid_sets=[sets[1]], callbacks=[stop])
        best = booster.best_iteration or 12
        if validation == "purged_refit":
            booster = lightgbm.train(settings, lightgbm.Dataset(data.features, up(data), weight=data.weights), best)
        compare(out, place, booster.predict(x, num_iteration=best), 1e-6)
    assert out["score"] == pytest.approx(np.where(out["fits"] > 0, 2 * out["prediction"] - 1, 0.0), abs=1e-15)


@pytest.mark.parametrize("validation", ["purged_refit", "overlapping"])
def test_xgb_snap_is_the_library_s_trees(validation: str) -> None:
    import xgboost

    bins = market()
    model = make("xgb_snap", seed=3, validation=validation, xgb_params={"min_child_weight": 2})
    seen = spied(model)
    out = run(model, bins)
    x = features_of("xgb_snap", bins, returns(bins)).x.astype(np.float32)
    settings = {
        "objective": "binary:logistic", "eval_metric": "logloss", "max_depth": 4, "learning_rate": 0.05, "subsample": 0.8,
        "colsample_bytree": 0.6, "min_child_weight": 2, "gamma": 0.1, "seed": 3, "nthread": 1,
    }  # fmt: skip
    for place in (0, 3):
        data = seen[place][0]
        cut = int(0.8 * len(data))
        train, judge = split(data) if validation == "purged_refit" else (data.take(slice(cut)), data.take(slice(cut, None)))
        sets = [xgboost.DMatrix(one.features, up(one), weight=one.weights) for one in (train, judge, data)]
        how: dict[str, Any] = {"evals": [(sets[1], "judge")], "early_stopping_rounds": 4, "verbose_eval": False}
        booster = xgboost.train(settings, sets[0], 12, **how)
        best = booster.best_iteration + 1
        if validation == "purged_refit":
            booster = xgboost.train(settings, sets[2], best)
        compare(out, place, booster.predict(xgboost.DMatrix(x), iteration_range=(0, best)), 1e-4)


def test_knn_cl_votes_by_inverse_distance_and_uniqueness() -> None:
    bins = market()
    model = make("knn_cl")
    seen = spied(model)
    out = run(model, bins)
    x = features_of("knn_cl", bins, returns(bins)).x
    for place in (0, 5):
        data = seen[place][0]
        mean, std = standard(data.features)
        past = (data.features - mean) / std
        expected = np.zeros(N_BINS)
        for t in range(ENDS[place], min(N_BINS, ENDS[place] + 80)):
            distances = np.sqrt((((x[t] - mean) / std - past) ** 2).sum(axis=1))
            nearest = np.argsort(distances, kind="stable")[:5]
            weights = data.weights[nearest] / distances[nearest]
            expected[t] = (weights * data.labels[nearest]).sum() / weights.sum()
        compare(out, place, expected)
    assert model.metadata(out)["k_neighbors"] == 5


PAST = [(0.0, 1.0, 1.0), (2.0, -1.0, 1.0), (2.0, 1.0, 3.0), (5.0, -1.0, 1.0)]  # state, vote, share


@pytest.mark.parametrize(
    ("query", "k", "vote"),
    [
        (1.0, 3, (1 - 1 + 3) / 5),  # three at distance 1
        (2.0, 4, (-1 + 3) / 4),  # two at none outvote all others
        (2.0, 1, -1.0),  # of two as near the older
        (4.0, 2, -1.0),  # the one at 1, and the older of two at 2
        (4.0, 3, (-1 - 1 / 2 + 3 / 2) / 3),
        (-1.0, 11, (1 - 1 / 3 + 3 / 3 - 1 / 6) / (1 + 1 / 3 + 3 / 3 + 1 / 6)),  # no more than there are
    ],
)
@pytest.mark.parametrize("n_before", [0, 511])
def test_a_vote_by_hand(query: float, k: int, vote: float, n_before: int) -> None:
    """Also where the past goes on in a second block."""
    states, votes, shares = np.array([(1e9, 0.0, 1e-30)] * n_before + PAST).T
    blocks = np.full((-(-len(states) // knn_cl.BLOCK), 1, knn_cl.BLOCK), np.inf)
    blocks.reshape(-1)[: len(states)] = states
    past = knn_cl._KnnPast(blocks, votes.copy(), shares.copy(), np.array([10.0]), np.array([2.0]))
    scratch = knn_cl._KnnScratch(np.zeros(knn_cl.BLOCK), np.zeros(k), np.zeros(k, np.int64))
    out = np.zeros(1, [("prediction", "f8")])
    features = np.array([[0.0], [10.0 + 2.0 * query], [0.0]])
    knn_cl.score_rows(features, 4, past, scratch, out)  # the fourth bin stands in place 1 of a ring of three
    assert out["prediction"][0] == pytest.approx(vote, rel=1e-9)


@pytest.mark.parametrize(("name", "neutral"), [("svm_sp", 0.0), ("gbm_mf", 0.5)])
def test_a_bin_whose_row_is_not_whole_says_nothing(name: str, neutral: float) -> None:
    bins = market()
    bins["v_pull"][400, 51] = np.nan
    model = make(name)
    out = run(model, bins)
    assert out["fits"][400] > 0
    assert (out["prediction"][400], out["score"][400], out["ready"][400]) == (neutral, 0.0, False)
    assert out["ready"][[399, 401]].tolist() == [True, True]
    found = model.metadata(out)
    assert found["n_predicted"] == int(np.count_nonzero(out["ready"])) == N_BINS - ENDS[0] - DELAY - 1
    assert (found["retrain_count"], found["late_fit_count"], found["n_features"]) == (9, 0, model.n_features)


@pytest.mark.parametrize(("name", "n"), [("svm_sp", 45), ("gbm_mf", 53), ("knn_cl", 35), ("lsvm_der", 60), ("xgb_snap", 163)])
def test_features_are_as_many_as_the_specification_counts(name: str, n: int) -> None:
    from engine.signals.registry import make_signal
    from tests.test_engine.test_signals.test_plain_fits import CONTEXT

    assert make_signal(name, {}, CONTEXT).n_features == n
