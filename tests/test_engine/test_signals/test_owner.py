"""The owner that all signals share: what it lets in, how it goes on, what its snapshots belong to."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from engine.signals.base import SignalContext
from engine.signals.owner import Signal, SignalParams

CONTEXT = SignalContext(cell_width_ms=100, radius=2)
ROWS = 5


class Params(SignalParams):
    factor: float = 1.0


class State(NamedTuple):
    total: Any
    seen: Any


class Totals(Signal):
    """Sum of the rows at spot and of a field so far; keeps what it was handed."""

    name = "totals"
    required_columns = ("v_add", "perm_state5_code")
    required_fields = ("bin_event_count",)
    default_thresholds = (1.0, 2.0)
    Params = Params
    memory_bins = 10
    handed: dict[str, Any]

    def _fresh_state(self) -> State:
        return State(np.zeros(1), np.zeros(1, np.int64))

    def _advance(self, x: dict[str, Any], out: Any) -> None:
        self.handed = x
        each = x["v_add"][:, 2] + x["perm_state5_code"][:, 2] + x["bin_event_count"]
        out["score"] = self.params.factor * (self._state.total[0] + np.cumsum(each))
        self._state.total[0] += each.sum()
        self._state.seen[0] += len(out)


def bins(n: int, first: int = 0) -> dict[str, Any]:
    """Bin i has 100 i at spot, 1 as its code there, and 10 i events."""
    i = np.arange(first, first + n)
    codes = np.zeros((n, ROWS), "i1")
    codes[:, 2] = 1
    v_add = np.zeros((n, ROWS))
    v_add[:, 2] = 100.0 * i
    return {"v_add": v_add, "perm_state5_code": codes, "bin_event_count": 10 * i}


def fresh(factor: float = 1.0, context: SignalContext = CONTEXT) -> Totals:
    return Totals(Params(factor=factor), context)


def test_runs_and_updates_go_on_from_each_other_and_none_is_nothing() -> None:
    signal = fresh()
    assert signal.run(bins(2))["score"].tolist() == [1.0, 112.0]  # 1, then 1 + 100 + 10 more
    assert signal.run(bins(0))["score"].tolist() == []
    one = {name: column[0] for name, column in bins(1, 2).items()}
    assert signal.update(one)["score"].item() == 333.0
    assert signal.update(one)["score"].shape == ()
    assert signal._state.seen[0] == 4
    assert signal.run(bins(3))["score"].dtype == Totals.output_dtype["score"]


def test_the_kernel_is_handed_contiguous_read_only_arrays_of_the_schemas_types() -> None:
    signal = fresh()
    wide = {name: np.repeat(column, 2, axis=0)[::2] for name, column in bins(4).items()}
    wide["v_add"] = wide["v_add"].astype("f4")
    signal.run(wide)
    assert list(signal.handed) == ["v_add", "perm_state5_code", "bin_event_count"]
    for name, column in signal.handed.items():
        assert column.flags.c_contiguous, name
        assert not column.flags.writeable, name
        assert column.dtype == (BIN_DTYPE[name] if name == "bin_event_count" else np.dtype(GRID_COLUMNS[name])), name
    mine = bins(1)
    signal.run(mine)
    assert all(column.flags.writeable for column in mine.values())  # the caller's own stay as they were


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("v_add", (3, 4), r"column v_add has shape \(3, 4\); it must be \(3, 5\)"),
        ("v_add", (3, 6), r"column v_add has shape \(3, 6\)"),
        ("v_add", (3,), r"column v_add has shape \(3,\)"),
        ("perm_state5_code", (2, 5), r"column perm_state5_code has shape \(2, 5\); it must be \(3, 5\)"),
        ("perm_state5_code", (4, 5), r"column perm_state5_code has shape \(4, 5\)"),
        ("bin_event_count", (2,), r"column bin_event_count has shape \(2,\); it must be \(3,\)"),
        ("bin_event_count", (3, 5), r"column bin_event_count has shape \(3, 5\); it must be \(3,\)"),
    ],
)
def test_a_column_of_another_shape_is_refused(name: str, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=f"^totals: {words}"):
        fresh().run(bins(3) | {name: np.zeros(shape)})


@pytest.mark.parametrize("name", ["v_add", "perm_state5_code", "bin_event_count"])
def test_a_missing_column_is_named_with_those_given(name: str) -> None:
    given = {other: column for other, column in bins(3).items() if other != name}
    with pytest.raises(ConfigError, match=f"^totals: column {name} is missing; given were: {', '.join(given)}$"):
        fresh().run(given)
    with pytest.raises(ConfigError, match="given were: none$"):
        fresh().run({})


def test_a_snapshot_brings_back_all_of_the_state_of_a_session_that_ran() -> None:
    signal = fresh()
    signal.run(bins(3))
    data = signal.snapshot()
    straight = signal.run(bins(3, 3))["score"].tolist()
    again = fresh()
    again.run(bins(7))
    again.restore(data)
    assert (again._state.total[0], again._state.seen[0]) == (333.0, 3)
    assert again.run(bins(3, 3))["score"].tolist() == straight
    assert type(again._state) is State


@pytest.mark.parametrize(
    "other",
    [
        fresh(factor=2.0),
        fresh(context=SignalContext(cell_width_ms=200, radius=2)),
        fresh(context=SignalContext(cell_width_ms=100, radius=3)),
        type("Other", (Totals,), {"name": "other"})(Params(), CONTEXT),
    ],
)
def test_a_snapshot_belongs_to_its_name_its_parameters_and_its_grid(other: Signal) -> None:
    before = other.snapshot()
    with pytest.raises(ConfigError, match="not of"):
        other.restore(fresh().snapshot())
    assert other.snapshot() == before


def test_warming_up_runs_a_twin_and_leaves_the_signal() -> None:
    made: list[Totals] = []

    class Counted(Totals):
        def __init__(self, params: Any, context: SignalContext) -> None:
            made.append(self)
            super().__init__(params, context)

    signal = Counted(Params(factor=3.0), CONTEXT)
    signal.run(bins(2))
    before = signal.snapshot()
    signal.warmup()
    assert signal.snapshot() == before
    assert len(made) == 2
    assert made[1]._state.seen[0] == 2
    assert (made[1].params, made[1].context) == (signal.params, signal.context)


def test_parameters_that_read_later_bins_refuse_a_stream_only() -> None:
    ahead = type("Ahead", (Totals,), {"lookahead": ("smooth", "centre")})(Params(), CONTEXT)
    assert len(ahead.run(bins(2))) == 2
    with pytest.raises(ConfigError, match="^totals with smooth, centre reads later bins"):
        ahead.update({name: column[0] for name, column in bins(1).items()})


def test_what_a_signal_says_unless_it_knows_better() -> None:
    signal = fresh()
    assert signal.thresholds(np.array([5.0, -5.0])) == (1.0, 2.0)
    assert (signal.metadata(signal.run(bins(2))), signal.lookahead, signal.scored_from, signal.late_policy) == ({}, (), 0, "wait")
    assert (Totals.trigger, Totals.prediction_mode, Totals.is_odd, Totals.test_params) == ("edge", "score", True, ({},))


@pytest.mark.parametrize("values", [{"factors": 1.0}, {"factor": float("nan")}, {"factor": float("inf")}])
def test_parameters_are_finite_and_none_is_unknown(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="factor"):
        Params.model_validate(values)
    with pytest.raises(ValueError, match="frozen"):
        Params().factor = 2.0  # type: ignore[misc]
