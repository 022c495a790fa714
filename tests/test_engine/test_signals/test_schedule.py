"""At which bins fits stand and take over, to the bin; and states that are taken back where another one was."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.signals.base import SignalContext
from engine.signals.contract import part
from engine.signals.registry import SIGNALS, get_signal, make_signal
from tests.test_engine.test_signals.test_contract import inputs, quick

CONTEXT = SignalContext(cell_width_ms=100, radius=50)
N_BINS = 330


def make(name: str = "pca_ad", **params: Any) -> Any:
    return make_signal(name, quick(name) | params, CONTEXT)


def takes_over(model: Any, begin: int = 0, n: int = 420) -> list[int]:
    """Bins of the session at which a fit took over, of a signal that began at ``begin``."""
    fits = model.run(part(inputs(type(model), n), begin, n))["fits"]
    assert set(np.diff(fits, prepend=0).tolist()) <= {0, 1}
    return [begin + int(t) for t in np.flatnonzero(np.diff(fits, prepend=0))]


@pytest.mark.parametrize(
    ("delay", "begin", "bins"),
    [
        (15, 0, [165, 265, 365]),
        (0, 0, [150, 250, 350]),  # on the bin's path
        (1, 0, [151, 251, 351]),
        (100, 0, [250, 350]),  # as long as the interval: one is done where the next begins
        (15, 130, [295, 365]),  # the first after 150 bins of its own, the next at the session's own bins
        (15, 99, [264, 265 + 100]),  # 249 and the session's 250 fall together: the first is under way
        (15, 100, [265, 365]),  # its own first bin is the session's
        (15, 190, [355]),  # 340, still under way at 350
    ],
)
def test_fits_take_over_at_these_bins(delay: int, begin: int, bins: list[int]) -> None:
    params = {"min_train_bins": 150, "refit_interval_bins": 100, "refit_delay_bins": delay}
    assert takes_over(make(**params), begin) == bins


@pytest.mark.parametrize(("n_whole", "takes_over_at"), [(2, 155), (1, 156)])  # one row is too few: the next bin brings a second
def test_pca_ad_wants_two_rows(n_whole: int, takes_over_at: int) -> None:
    model = make(min_train_bins=150, pca_window=120, refit_interval_bins=50, refit_delay_bins=5)
    bins = {key: column.copy() for key, column in inputs(type(model), 210).items()}
    bins["vacuum_variant"][: 150 - n_whole, 0] = np.nan
    assert np.flatnonzero(model.run(bins)["fits"])[0] == takes_over_at


def test_a_signal_counts_bins_from_its_own_beginning() -> None:
    out = make().run(part(inputs(get_signal("pca_ad"), 420), 130, 420))
    assert out["sample_count"].tolist() == list(range(1, 291))


# States that are taken back


@pytest.mark.parametrize("name", sorted(SIGNALS))
@pytest.mark.parametrize("cut", [0, 158])  # fresh, and with a fit under way
def test_a_signal_that_has_run_goes_on_as_the_one_it_takes_the_state_of(name: str, cut: int) -> None:
    bins = inputs(get_signal(name), N_BINS)
    first, second = make(name), make(name)
    first.run(part(bins, 0, cut))
    second.run(inputs(get_signal(name), 320, seed=8))
    second.restore(first.snapshot())
    ours, theirs = (one.run(part(bins, cut, N_BINS)) for one in (second, first))
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", ["msd", "svm_sp"])
@pytest.mark.parametrize(
    ("other", "context"),
    [({}, SignalContext(200, 50)), ({}, SignalContext(100, 51)), ({"refit_delay_bins": 14, "scale_min_periods": 19}, CONTEXT)],
)
def test_a_state_of_another_grid_or_setting_is_refused(name: str, other: dict[str, Any], context: SignalContext) -> None:
    known = get_signal(name).Params.model_fields
    kept = make_signal(name, quick(name) | {key: value for key, value in other.items() if key in known}, context).snapshot()
    with pytest.raises(ConfigError, match=f"not of {name}"):
        make(name).restore(kept)


def test_a_state_of_another_signal_is_refused() -> None:
    with pytest.raises(ConfigError, match="not of msd"):
        make("msd").restore(make("jad").snapshot())


def scores(model: Any, bins: dict[str, NDArray[Any]]) -> bytes:
    return model.run(bins)["score"].tobytes()


def test_settings_of_the_running_do_not_travel_with_the_state() -> None:
    """What a late fit does is for whoever drives the signal to say."""
    bins = inputs(get_signal("pca_ad"), 420)
    first, second = make(), make()
    second.late_policy = "hold"
    first.run(part(bins, 0, 200))
    second.restore(first.snapshot())
    assert second.late_policy == "hold"
    second.settle()
    assert scores(second, part(bins, 200, 201)) == scores(first, part(bins, 200, 201))
