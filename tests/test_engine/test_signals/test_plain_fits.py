"""Learned signals against the plain reading: their features, the exact rows of each fit, and what the libraries make of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.base import SignalContext
from engine.signals.example import example_bins
from engine.signals.learned.training import Fitted, TrainingSet
from engine.signals.registry import make_signal
from tests import reference_learned as plain
from tests.reference_learned import Features, outcomes, returns, sound, uniqueness

pytestmark = pytest.mark.slow  # half a minute together

Bins = dict[str, NDArray[Any]]
CONTEXT = SignalContext(cell_width_ms=100, radius=50, tick_int=250_000_000)
N_BINS = 700

# Every time another, so that none stands in for another.
SCHEDULE: dict[str, Any] = {
    "min_train_bins": 210,
    "refit_interval_bins": 60,
    "refit_delay_bins": 7,
    "train_window_bins": 150,
    "max_hold_bins": 33,
    "embargo_bins": 18,
    "tp_ticks": 4.0,
    "sl_ticks": 2.0,
}
OWN: dict[str, dict[str, Any]] = {
    "svm_sp": {"sampled_k": (-50, -7, 0, 3, 44), "rolling_windows": (20, 45, 90)},
    "gbm_mf": {"slope_window": 25, "rolling_windows": (20, 45, 90), "num_boost_round": 12, "early_stopping": 4},
    "knn_cl": {"spatial_sample_k": (-33, -1, 0, 8, 50), "k_neighbors": 5},
    "lsvm_der": {"slope_windows": (12, 40), "full_refit_interval_bins": 180},
    "xgb_snap": {"center_k_range": (-9, 14), "rolling_windows": (20, 45, 90), "num_boost_round": 12, "early_stopping": 4},
}
NAMES = sorted(OWN)
WINDOWS = (20, 45, 90)


def features_of(name: str, bins: Bins, step: NDArray[np.float64]) -> Features:
    if name == "svm_sp":
        return plain.svm_sp(bins, (-50, -7, 0, 3, 44), WINDOWS, step)
    if name == "gbm_mf":
        return plain.gbm_mf(bins, 25, WINDOWS, step)
    if name == "knn_cl":
        return plain.knn_cl(bins, (-33, -1, 0, 8, 50), step)
    if name == "lsvm_der":
        return plain.lsvm_der(bins, (12, 40))
    return plain.xgb_snap(bins, -9, 14, WINDOWS, step)


def market(n: int = N_BINS, seed: int = 21) -> Bins:
    return example_bins(n, CONTEXT.radius, seed)


def make(name: str, **params: Any) -> Any:
    return make_signal(name, SCHEDULE | OWN[name] | params, CONTEXT)


def run(model: Any, bins: Bins) -> NDArray[np.void]:
    found: NDArray[np.void] = model.run({key: bins[key] for key in (*model.required_columns, *model.required_fields)})
    return found


def compare_features(model: Any, bins: Bins, expected: Features) -> None:
    """The ring of a model that has taken all of the bins in, and kept them all."""
    n = len(expected.x)
    assert len(model._rows.is_whole) > n
    assert model._rows.is_whole[:n].tolist() == expected.is_whole.tolist()
    ours, theirs = model._rows.features[:n][expected.is_whole], expected.x[expected.is_whole]
    tolerance = 1e-4 if ours.dtype == np.float32 else 1e-9
    assert ours.shape == theirs.shape
    for column in range(ours.shape[1]):
        assert ours[:, column] == pytest.approx(theirs[:, column], rel=tolerance, abs=tolerance), column


KEEPS_ALL: dict[str, Any] = {"min_train_bins": 5000, "train_window_bins": 2000}


@pytest.mark.parametrize("unsound", ["mask", "use"])
@pytest.mark.parametrize("name", NAMES)
def test_every_feature_is_the_plain_reading_s(name: str, unsound: str) -> None:
    bins = market()
    model = make(name, unsound_bins=unsound, **KEEPS_ALL)
    run(model, bins)
    compare_features(model, bins, features_of(name, bins, returns(bins, is_masked=unsound == "mask")))


# The farthest row that each signal reads of a column, with the rows chosen above: the nearest and the farthest on either side.
ALL_BANDS = (-23, -1, 1, 23)
NEAR = (-24, -1, 1, 24)
READ: dict[str, dict[str, tuple[int, ...]]] = {
    "svm_sp": {"pressure_variant": (-50, 0, 44), "vacuum_variant": (-50, 0, 44), "v_add": ALL_BANDS, "v_pull": ALL_BANDS},
    "gbm_mf": {**{c: ALL_BANDS for c in plain.C6}, "pressure_variant": (-1, 0, 1), "vacuum_variant": (0,)},
    "knn_cl": {**{c: ALL_BANDS for c in plain.C6}, "pressure_variant": (-33, 0, 50), "vacuum_variant": (-33, 0, 50)},
    "lsvm_der": {c: NEAR for c in plain.C6},
    "xgb_snap": {"pressure_variant": (-24, 24), "vacuum_variant": (-24, 24), "spectrum_score": (-9, 0, 14)},
}
UNREAD: dict[str, dict[str, tuple[int, ...]]] = {
    "svm_sp": {"pressure_variant": (-49, 1, 45), "vacuum_variant": (-8, 2, 43), "v_add": (-24, 0, 24), "v_pull": (-24, 0, 24)},
    "gbm_mf": {**{c: (-24, 0, 24) for c in plain.C6}, "pressure_variant": (-2, 2), "vacuum_variant": (-1, 1)},
    "knn_cl": {**{c: (-24, 0, 24) for c in plain.C6}, "pressure_variant": (-34, 1, 49), "vacuum_variant": (-32, 7, 49)},
    "lsvm_der": {c: (-25, 0, 25) for c in plain.C6},
    "xgb_snap": {"pressure_variant": (-25, 25), "vacuum_variant": (-25, 25), "spectrum_score": (-10, 15)},
}


@pytest.mark.parametrize("name", NAMES)
def test_one_cell_that_is_no_number_marks_its_row_where_it_is_read_and_nowhere_else(name: str) -> None:
    bins = market(300)
    bins["mid_price"][:], bins["quality"][:] = 20_000.0, 0
    marked = []
    t = 20
    for cells in (READ, UNREAD):
        for column, ks in cells[name].items():
            for k in ks:
                bins[column][t, 50 + k] = (np.nan, np.inf, -np.inf)[t % 3]
                marked += [t] if cells is READ else []
                t += 4
    assert t < 300
    model = make(name, **KEEPS_ALL)
    run(model, bins)
    assert np.flatnonzero(~model._rows.is_whole[:300]).tolist() == marked
    compare_features(model, bins, features_of(name, bins, returns(bins)))


# The rows of a fit


def spied(model: Any) -> list[tuple[TrainingSet, Fitted | None]]:
    """What every fit is given from now on."""
    seen: list[tuple[TrainingSet, Fitted | None]] = []
    fit: Callable[..., Fitted] = model._fit

    def spy(data: TrainingSet, before: Fitted | None) -> Fitted:
        seen.append((data, before))
        return fit(data, before)

    model._fit = spy
    return seen


ENDS = [210, 270, 330, 390, 450, 510, 570, 630, 690]


def holed_market(name: str) -> Bins:
    """A market with a cell in a hundred that is no number, in one column at a time."""
    bins = market()
    columns = sorted(READ[name])
    for i, t in enumerate(range(3, N_BINS, 41)):
        column = columns[i % len(columns)]
        bins[column][t, 50 + READ[name][column][0]] = np.nan
    return bins


@pytest.mark.parametrize("flat_rows", ["half_each", "drop"])
@pytest.mark.parametrize("name", NAMES)
def test_a_fit_has_exactly_the_rows_that_are_known(name: str, flat_rows: str) -> None:
    bins = holed_market(name)
    features = features_of(name, bins, returns(bins))
    known = outcomes(bins, tp=1.0, sl=0.5, max_hold=33)
    model = make(name, flat_rows=flat_rows)
    model.min_rows = model.min_train = model.min_validate = 5
    seen = spied(model)
    run(model, bins)
    assert [data.end for data, _ in seen] == ENDS
    on_boundary = {"oldest": 0, "newest exit": 0, "first new exit": 0, "unsound": 0, "not whole": 0, "flat": 0}
    for data, _ in seen:
        rows = []
        for row in range(data.end - 150, data.end):
            outcome = known.get(row)
            on_boundary["unsound"] += not sound(bins)[row]
            if outcome is None or outcome.at > data.end - 18:
                continue
            on_boundary["not whole"] += not features.is_whole[row]
            on_boundary["flat"] += outcome.label == 0
            if features.is_whole[row] and (outcome.label != 0 or flat_rows == "half_each"):
                rows.append(row)
        exits = [known[row].at for row in rows]
        assert data.rows.tolist() == rows
        assert data.exits.tolist() == exits
        assert data.labels.tolist() == [known[row].label for row in rows]
        assert data.is_new.tolist() == [e > data.end - 18 - 60 for e in exits]
        assert data.weights == pytest.approx(uniqueness(rows, exits), rel=1e-9)
        assert data.features == pytest.approx(features.x[rows], rel=1e-4, abs=1e-4)
        on_boundary["oldest"] += rows[0] == data.end - 150
        on_boundary["newest exit"] += max(exits) == data.end - 18
        on_boundary["first new exit"] += data.end - 18 - 60 in exits
    assert all(on_boundary.values()), on_boundary


def test_rows_weigh_the_same_where_they_are_told_to() -> None:
    model = make("knn_cl", row_weights="equal")
    seen = spied(model)
    run(model, market())
    assert {weight for data, _ in seen for weight in data.weights.tolist()} == {1.0}


def test_without_the_purge_a_fit_has_every_row_before_it() -> None:
    bins = market()
    model = make("knn_cl", label_purge=False, label_barriers="first_move", refit_delay_bins=0)
    seen = spied(model)
    run(model, bins)
    known = outcomes(bins, tp=1.0, sl=0.5, max_hold=33, by_direction=False)
    for data, _ in seen:
        assert data.rows.tolist() == [row for row in range(data.end - 150, data.end) if row in known]
        assert data.labels.tolist() == [known[row].label for row in data.rows.tolist()]
        assert data.is_new.tolist() == (data.rows >= data.end - 60).tolist()


@pytest.mark.parametrize(("rows_wanted", "first"), [(0, 0), (1, 1)])
def test_a_fit_waits_bin_by_bin_for_its_least_rows(rows_wanted: int, first: int) -> None:
    """As many moves as are known at bin 210 are enough; one more, and it waits for the bin that brings it."""
    bins = market()
    known = outcomes(bins, tp=1.0, sl=0.5, max_hold=33)
    whole = features_of("svm_sp", bins, returns(bins)).is_whole

    def moves(t: int) -> int:
        return sum(r in known and known[r].at <= t - 18 and known[r].label != 0 and bool(whole[r]) for r in range(t - 150, t))

    wanted = moves(210) + rows_wanted
    expected = next(t for t in range(210, N_BINS) if moves(t) >= wanted)
    assert (expected > 210) == bool(first)
    model = make("svm_sp")
    model.min_rows = wanted
    seen = spied(model)
    run(model, bins)
    assert seen[0][0].end == expected


@pytest.mark.parametrize(("name", "least"), [("svm_sp", 20), ("gbm_mf", 40), ("knn_cl", 15), ("lsvm_der", 30), ("xgb_snap", 50)])
def test_least_rows_are_the_specification_s(name: str, least: int) -> None:
    assert make(name).min_rows == least
    if name in ("gbm_mf", "xgb_snap"):
        assert (make(name).min_train, make(name).min_validate) == ({"gbm_mf": 20, "xgb_snap": 30}[name], 10)


def rows_for(n: int, labels: list[int] | None = None, exits: list[int] | None = None) -> TrainingSet:
    at = np.arange(n)
    signs = np.array(labels if labels is not None else [1, -1] * n, np.int8)[:n]
    return TrainingSet(np.zeros((n, 2)), signs, np.ones(n), at, np.array(exits) if exits else at, np.ones(n, np.bool_), n)


@pytest.mark.parametrize(("n", "is_enough"), [(45, False), (46, True)])  # 9 and 10 rows to validate
def test_boosted_signals_want_ten_rows_to_validate(n: int, is_enough: bool) -> None:
    assert make("gbm_mf", validation="overlapping")._is_enough(rows_for(n)) == is_enough


@pytest.mark.parametrize(("name", "least"), [("gbm_mf", 20), ("xgb_snap", 30)])
@pytest.mark.parametrize("more", [0, -1])
def test_boosted_signals_want_enough_rows_that_the_purge_leaves(name: str, least: int, more: int) -> None:
    exits = [0] * (least + more) + [999] * (100 - least - more)
    model = make(name, embargo_bins=18)
    assert model._is_enough(rows_for(100, exits=exits)) == (more == 0)


def test_boosted_signals_want_ups_and_downs_to_train_on() -> None:
    assert not make("gbm_mf")._is_enough(rows_for(100, labels=[1] * 80 + [-1] * 20))
    assert make("gbm_mf", validation="overlapping")._is_enough(rows_for(100, labels=[-1] + [1] * 99))
