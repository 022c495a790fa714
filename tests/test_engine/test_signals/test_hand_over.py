"""A signal that joins late stands where it would stand had it seen the whole session, bit for bit."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.base import SignalContext, SignalLike
from engine.signals.carried import begun_with, fitted_state, own_of
from engine.signals.example import EXAMPLE_TICK_INT, example_bins
from engine.signals.hand_over import bins_to_see, catch_up
from engine.signals.learned.labelled import SOON
from engine.signals.learned.schedule import FitJob, ScheduledSignal
from engine.signals.registry import make_signal, signal_names
from tests.test_engine.test_signals.test_contract import quick

CONTEXT = SignalContext(100, 50, EXAMPLE_TICK_INT)
N_BINS = 1800
LEARNED = tuple(name for name in signal_names() if isinstance(make_signal(name, quick(name), CONTEXT), ScheduledSignal))

Columns = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def bins() -> Columns:
    return example_bins(N_BINS, seed=11)


def inputs(signal: SignalLike, bins: Columns) -> Columns:
    return {name: bins[name] for name in (*signal.required_columns, *signal.required_fields)}


def part(columns: Columns, first: int, until: int) -> Columns:
    return {name: column[first:until] for name, column in columns.items()}


class Past:
    """Bins in blocks of odd sizes; remembers from where it was asked for."""

    def __init__(self, columns: Columns, n_seen: int) -> None:
        self.columns, self.n_seen, self.asked = columns, n_seen, []  # type: ignore[var-annotated]

    def __call__(self, first: int) -> Iterator[Columns]:
        self.asked.append(first)
        for at in range(first, self.n_seen, 37):
            yield part(self.columns, at, min(at + 37, self.n_seen))


def apart(a: Any, b: Any) -> list[str]:
    """Fields that differ; counts of what was seen and fitted are each walk's own."""
    counts = ("sample_count", "fits", "late_fits")
    return [name for name in a.dtype.names if name not in counts and a[name].tobytes() != b[name].tobytes()]


@cache
def walked(name: str) -> Any:
    """What a signal says of the whole session."""
    signal = make_signal(name, quick(name), CONTEXT)
    return signal.run(inputs(signal, example_bins(N_BINS, seed=11)))


@pytest.mark.parametrize("n_seen", [0, 1, 151, 1215, 1600])
@pytest.mark.parametrize("name", signal_names())
def test_after_a_hand_over_every_signal_says_what_it_says_of_the_whole_session(bins: Columns, name: str, n_seen: int) -> None:
    def make() -> SignalLike:
        return make_signal(name, quick(name), CONTEXT)

    columns, whole = inputs(make(), bins), walked(name)
    signal, seen = catch_up(make, Past(columns, n_seen), n_seen)
    assert seen == n_seen
    assert apart(signal.run(part(columns, n_seen, N_BINS)), whole[n_seen:]) == []
    assert whole["ready"][n_seen:].any()


@pytest.mark.parametrize("name", ["svm_sp", "xgb_snap", "gbm_mf", "knn_cl"])
def test_of_a_learned_signals_fits_only_those_are_made_that_can_still_speak(
    bins: Columns, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Callable[[], Any]] = []
    begin = FitJob.__init__

    def counted(self: FitJob, fit: Callable[[], Any]) -> None:
        made.append(fit)
        begin(self, fit)

    def make() -> SignalLike:
        return make_signal(name, quick(name), CONTEXT)

    columns = inputs(make(), bins)
    # Fits' data end at bins 150, 250 and so on, and act 15 bins later: at bin 1600 that of 1550 acts, at bin 1560 that of 1450.
    monkeypatch.setattr(FitJob, "__init__", counted)
    for n_seen, n_fits in ((1600, 1), (1566, 1), (1565, 2), (1560, 2)):
        made.clear()
        past = Past(columns, n_seen)
        signal, _ = catch_up(make, past, n_seen)
        assert len(made) == n_fits, n_seen
        assert past.asked == [n_seen - min(n_seen, signal.memory_bins)]


def test_where_the_last_fit_had_nothing_to_learn_from_the_session_is_walked_from_its_start(bins: Columns) -> None:
    """The mid stands still from bin 500 on: no fit succeeds any more, and the model of bin 450 or so stays in effect."""
    calm = bins | {"mid_price": np.where(np.arange(N_BINS) < 500, bins["mid_price"], 20_000.0)}
    values = SOON | {"train_window_bins": 100, "rolling_windows": [20, 60]}

    def make() -> SignalLike:
        return make_signal("svm_sp", values, CONTEXT)

    columns = inputs(make(), calm)
    whole = make().run(columns)
    past = Past(columns, 1600)
    signal, _ = catch_up(make, past, 1600)
    assert past.asked == [1600 - signal.memory_bins, 0]
    assert signal.memory_bins == 100 + 40 + 100 + 15 + 20 + 60
    assert apart(signal.run(part(columns, 1600, N_BINS)), whole[1600:]) == []
    assert whole["ready"][1600:].any()


def test_how_many_bins_a_signal_must_see() -> None:
    perm = make_signal("perm_derivative", {"zscore_window_bins": 20, "zscore_min_periods": 10}, CONTEXT)
    assert [bins_to_see(perm, n) for n in (0, 22, 23, 24, 10_000)] == [0, 22, 23, 23, 23]  # its window, and three bins
    chained = make_signal("lsvm_der", quick("lsvm_der"), CONTEXT)
    assert bins_to_see(chained, 100_000) == 100_000  # when a fit starts anew depends on the first one of the session


# --- what a champion carries ---


@cache
def carried(name: str, seed: int = 5) -> bytes:
    """The fitted state after another session."""
    signal = make_signal(name, quick(name), CONTEXT)
    signal.run(inputs(signal, example_bins(700, seed=seed)))
    state = fitted_state(signal)
    assert state is not None
    return state


@pytest.mark.parametrize("name", LEARNED)
def test_a_carried_model_speaks_until_the_sessions_own_is_ready_and_changes_nothing_after(bins: Columns, name: str) -> None:
    state = carried(name)
    columns, cold = inputs(make_signal(name, quick(name), CONTEXT), bins), walked(name)
    warm = begun_with(make_signal(name, quick(name), CONTEXT), state).run(columns)
    own_from = int(np.argmax(cold["ready"]))
    assert own_from >= 55  # the first fit acts at 150 + 15, for pca_ad later
    assert apart(warm[own_from:], cold[own_from:]) == []
    before = warm[:own_from]
    assert before["ready"].mean() > 0.5
    assert np.abs(before["score"]).max() > 0
    assert not cold["ready"][:own_from].any()
    assert (before["fits"] == cold["fits"][:own_from]).all()
    assert (before["sample_count"] == np.arange(1, own_from + 1)).all()


@pytest.mark.parametrize("name", [name for name in LEARNED if name != "pca_ad"])  # whose scores also hang on those before them
def test_what_is_carried_is_the_model_that_the_session_before_ended_with(name: str) -> None:
    """Its scores are those of the session before, gone on with; no fit of the new session has a part in them."""
    other = example_bins(900, seed=5)
    signal = make_signal(name, quick(name), CONTEXT)
    columns = inputs(signal, other)
    whole = make_signal(name, quick(name), CONTEXT).run(columns)
    signal.run(part(columns, 0, 700))
    state = fitted_state(signal)
    assert state is not None
    still = begun_with(make_signal(name, quick(name), CONTEXT), state)
    twin = still._before  # type: ignore[attr-defined]
    said = twin.run(part(columns, 0, 700))
    at = slice(680, 700)  # the fit of bin 650 acts from bin 665 on
    assert whole["fits"][664] + 1 == whole["fits"][665] == whole["fits"][699]
    assert said["prediction"][at].tobytes() == whole["prediction"][at].tobytes()
    assert twin._clock.fits[0] == 0


@pytest.mark.parametrize("n_seen", [40, 165, 166, 1600])
@pytest.mark.parametrize("name", LEARNED)
def test_a_hand_over_with_a_carried_model_is_ready_at_once_and_exact(bins: Columns, name: str, n_seen: int) -> None:
    state = carried(name)

    def make() -> SignalLike:
        return begun_with(make_signal(name, quick(name), CONTEXT), state)

    columns = inputs(make(), bins)
    until = min(n_seen + 200, N_BINS)
    whole = make().run(part(columns, 0, until))
    signal, _ = catch_up(make, Past(columns, n_seen), n_seen)
    assert apart(signal.run(part(columns, n_seen, until)), whole[n_seen:]) == []
    if n_seen == 40 and name != "pca_ad":
        assert whole["ready"][40]


@pytest.mark.parametrize("name", ["xgb_snap", "pca_ad"])
def test_a_snapshot_of_a_begun_signal_goes_on_bit_for_bit(bins: Columns, name: str) -> None:
    state = carried(name)

    def make() -> SignalLike:
        return begun_with(make_signal(name, quick(name), CONTEXT), state)

    columns = inputs(make(), bins)
    whole = make().run(columns)
    for cut in (30, 1000):
        first = make()
        first.run(part(columns, 0, cut))
        second = make()
        second.restore(first.snapshot())
        assert second.run(part(columns, cut, N_BINS)).tobytes() == whole[cut:].tobytes()
    with pytest.raises(Exception, match="make it anew"):
        begun_with(make_signal(name, quick(name), CONTEXT), carried(name, seed=6)).restore(make().snapshot())


def test_only_learned_signals_carry_anything(bins: Columns) -> None:
    for name in signal_names():
        signal = make_signal(name, quick(name), CONTEXT)
        assert fitted_state(signal) is None  # nothing was fitted yet
        if name not in LEARNED:
            signal.run(part(inputs(signal, bins), 0, 300))
            assert fitted_state(signal) is None
    with pytest.raises(Exception, match="is not fitted, so it cannot begin"):
        begun_with(make_signal("ads", {}, CONTEXT), b"")


@pytest.mark.parametrize("damage", [b"", b"nothing of ours", None])
def test_a_damaged_or_foreign_state_is_refused(damage: bytes | None) -> None:
    state = carried("svm_sp") if damage is None else damage
    values = quick("svm_sp") | ({"tp_ticks": 3.0} if damage is None else {})  # other parameters
    with pytest.raises(Exception, match="damaged|make it anew"):
        begun_with(make_signal("svm_sp", values, CONTEXT), state)


def test_one_bin_at_a_time_and_many_at_once_agree(bins: Columns) -> None:
    state = carried("xgb_snap")
    one, many = (begun_with(make_signal("xgb_snap", quick("xgb_snap"), CONTEXT), state) for _ in range(2))
    columns = part(inputs(one, bins), 0, 400)
    said = many.run(columns)
    singly = [one.update({name: column[i] for name, column in columns.items()}) for i in range(400)]
    assert np.array(singly, said.dtype).tobytes() == said.tobytes()
    assert own_of(one) is not one
