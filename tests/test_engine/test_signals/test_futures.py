"""Other futures: what a column is, and that all of it is replaced behind the cut and nothing before it."""

from typing import Any

import numpy as np
import pytest

from engine.constants import Q_CLOSED, Q_GAP, QUALITY_NAMES, UNDEF_PRICE
from engine.signals.example import example_bins
from engine.signals.futures import (
    ENDS,
    FEW,
    GAP_BINS,
    GAP_STEPS,
    KINDS,
    LONGER,
    MAX_LABELS,
    OTHER,
    RARE,
    STILL,
    WIDE,
    ZEROS,
    Futures,
    column_of,
)

N = 60
CUT = 25


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    price = UNDEF_PRICE + np.zeros(N, np.int64)
    price[1:] = 250_000_000 * (80_000 + np.cumsum(rng.integers(-1, 2, N - 1)))
    return {
        "score": rng.standard_normal(N),
        "holes": np.where(rng.random(N) < 0.3, np.nan, rng.standard_normal(N)),
        "price_int": price + np.where(np.arange(N) > 0, 250_000_000 * rng.integers(0, 40, N), 0),
        "volume": rng.integers(0, 90, N),
        "kind": rng.integers(0, 3, N).astype(np.int8),
        "is_up": rng.random(N) < 0.5,
        "ts_ns": 10**18 + 100 * np.arange(1, N + 1),
        "quality": np.zeros(N, np.uint16),
        "k": np.tile(np.arange(-2, 3, dtype=np.int32), (N, 1)),
        "depth": rng.random((N, 5)) + 0.5,
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [("score", "float"), ("holes", "float"), ("price_int", "count"), ("volume", "count"), ("kind", "label"), ("is_up", "label"),
     ("ts_ns", "clock"), ("quality", "label"), ("k", "axis"), ("depth", "float")],
)  # fmt: skip
def test_what_a_column_is_shows_in_its_values(name: str, kind: str) -> None:
    assert column_of(name, arrays()[name]).kind == kind


def test_sixteen_values_are_labels_and_seventeen_are_counts() -> None:
    assert column_of("x", np.repeat(np.arange(MAX_LABELS)[::-1], 2)).kind == "label"
    assert column_of("x", np.repeat(np.arange(MAX_LABELS + 1)[::-1], 2)).kind == "count"


def test_labels_of_the_schema_take_all_that_they_may_be() -> None:
    nine = column_of("perm_microstate_id", np.full(5, 4, np.int8)).values
    assert nine.tolist() == list(range(9))
    assert column_of("quality", np.zeros(5, np.uint16)).values.tolist() == [0, *QUALITY_NAMES]
    assert column_of("whatever", np.full(5, 4, np.int8)).values.tolist() == [4, 5]
    assert column_of("flag", np.zeros(5, np.bool_)).values.tolist() in ([True, False], [False, True])


@pytest.mark.parametrize("kind", KINDS)
def test_the_past_stays_in_every_future(kind: str) -> None:
    x = arrays()
    other = Futures(x).after(CUT, kind)
    n = {ENDS: CUT, LONGER: N + N // 3}.get(kind, N)
    kept = N if kind == LONGER else CUT
    for name, column in x.items():
        assert other[name].dtype == column.dtype
        assert len(other[name]) == n
        assert other[name][:kept].tobytes() == column[:kept].tobytes(), name


@pytest.mark.parametrize("kind", [OTHER, WIDE])
def test_every_value_behind_the_cut_is_another_one_but_for_an_axis(kind: str) -> None:
    x = arrays()
    other = Futures(x).after(CUT, kind)
    for name, column in x.items():
        same = other[name][CUT:] == column[CUT:]  # NaN, which is never equal, is not NaN again
        assert same.all() if name == "k" else not same.any(), name
    assert not (np.isnan(x["holes"]) & np.isnan(other["holes"]))[CUT:].any()
    assert set(other["kind"].tolist()) <= {0, 1, 2}
    assert (other["volume"] >= 0).all()
    assert (other["depth"] >= 0).all()
    assert (other["price_int"][1:][other["price_int"][1:] != UNDEF_PRICE] % 250_000_000 == 0).all()
    assert (np.diff(other["ts_ns"]) > 0).all()


def test_a_wider_range_leaves_the_one_that_was() -> None:
    x = arrays()
    other = Futures(x).after(CUT, WIDE)
    assert other["score"].max() > x["score"].max()
    assert other["score"].min() < x["score"].min()


def test_a_gap_jumps_in_time_and_begins_with_the_rarest_values() -> None:
    x = arrays()
    x["kind"][:] = 1
    x["kind"][7] = 2
    other = Futures(x).after(CUT, RARE)
    assert (other["kind"][CUT : CUT + GAP_BINS] == 2).all()
    assert (other["quality"][CUT : CUT + GAP_BINS] != 0).all()
    steps = np.diff(other["ts_ns"])
    assert steps[CUT - 1] >= 2 * 100 * GAP_STEPS
    assert steps[CUT:].max() < 6 * 100


def test_a_standing_future_repeats_the_last_bin_and_one_of_zeros_has_none_and_both_keep_time() -> None:
    x = arrays()
    still, zeros = (Futures(x).after(CUT, kind) for kind in (STILL, ZEROS))
    assert (still["score"][CUT:] == x["score"][CUT - 1]).all()
    assert not zeros["score"][CUT:].any()
    assert np.array_equal(still["ts_ns"], x["ts_ns"])
    assert np.array_equal(zeros["ts_ns"], x["ts_ns"])


def test_what_is_known_beforehand_stays() -> None:
    x = arrays()
    x["quality"][50:] = Q_CLOSED
    other = Futures(x, {"quality": Q_CLOSED}).after(CUT, OTHER)
    assert np.array_equal(other["quality"] & Q_CLOSED, x["quality"])
    assert (other["quality"][CUT:] & Q_GAP).any()


def test_rare_bins_are_rare_values_extremes_zeros_holes_and_jumps() -> None:
    n = 2 * FEW + 10
    rng = np.random.default_rng(1)
    label = np.zeros(n, np.int8)
    label[::2] = 1
    label[[300, 301, 302]] = 5  # three in 810 are not rare, two are
    label[[400, 402]] = 7
    value = rng.random(n) + 1.0
    value[500], value[510], value[520], value[530] = 9.0, -9.0, np.nan, 0.0
    clock = np.arange(n) * 10
    clock[600:] += 1000
    assert Futures({"label": label}).rare_bins() == [1, 400]  # the first of its least values, and of its rare and greatest ones
    assert Futures({"value": value}).rare_bins() == [500, 510, 520, 530]
    assert Futures({"clock": clock}).rare_bins() == [600]


def test_trouble_is_zeros_or_rare_values_and_a_gap_in_time() -> None:
    x = arrays()
    x["kind"][:] = 1
    x["kind"][7] = 2
    found = Futures(x).troubled([20, 40])
    assert found["score"][[19, 20, 39, 40]].tolist() == [0.0] * 4
    assert found["kind"][[19, 20, 39, 40]].tolist() == [1, 1, 2, 2]
    assert np.flatnonzero(np.diff(found["ts_ns"]) > 1000).tolist() == [19, 39]
    assert found["score"][21] == x["score"][21]
    assert x["ts_ns"][-1] == 10**18 + 100 * N  # its own


def test_columns_of_the_engine_stay_within_what_kernels_index_by() -> None:
    bins = example_bins(200, 5, 1)
    for kind in KINDS:
        other = Futures(bins).after(90, kind)
        assert set(np.unique(other["perm_state5_code"])) <= set(range(-2, 3))
        assert set(np.unique(other["perm_microstate_id"])) <= set(range(9))
        assert set(np.unique(other["spectrum_state_code"])) <= {-1, 0, 1}
