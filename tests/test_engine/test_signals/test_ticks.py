"""A tick is a unit and stands with the instrument: a market moved, or told in another tick, scores the same to the last bit."""

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.errors import ConfigError
from engine.signals import instrument_facts
from engine.signals.base import SignalContext
from engine.signals.example import EXAMPLE_SPOT, EXAMPLE_TICK_INT, example_inputs
from engine.signals.learned.features import NO_MID, no_mid_yet, tick_return
from engine.signals.registry import BUILT_IN, get_signal, make_signal
from tests.test_engine.test_signals.test_contract import quick

LEARNED = ("gbm_mf", "knn_cl", "lsvm_der", "svm_sp", "xgb_snap")
QUOTES = ("micro_price", "multi_level_ofi", "order_flow_imbalance", "queue_imbalance", "reversal", "weighted_mid")
N_BINS = 300  # two fits of the classes' own test_params
OTHER_TICKS = (0.1, 0.01, 0.00005, 0.015625, 1.0)


def context(tick_int: int = EXAMPLE_TICK_INT) -> SignalContext:
    return SignalContext(cell_width_ms=100, radius=50, tick_int=tick_int)


def told(bins: dict[str, NDArray[Any]], shift_ticks: int, tick_int: int) -> dict[str, NDArray[Any]]:
    """Bins whose mids are moved by some ticks and then told in ticks of another size."""
    halves = np.rint(bins["mid_price"] / (EXAMPLE_TICK_INT / 2e9))
    return bins | {"mid_price": ((halves + 2 * shift_ticks) * tick_int / 2.0) / 1e9}


@pytest.fixture(scope="module")
def scored() -> dict[str, Any]:
    """Each learned signal's inputs, and what it says of them."""
    bins = {name: example_inputs(get_signal(name), N_BINS, 50, seed=5) for name in LEARNED}
    assert all(np.isnan(x["mid_price"]).any() for x in bins.values())
    return {name: (x, make_signal(name, quick(name), context()).run(x)) for name, x in bins.items()}


@pytest.mark.parametrize("name", LEARNED)
def test_learned_signal_says_the_same_of_a_market_moved_or_told_in_another_tick(name: str, scored: dict[str, Any]) -> None:
    bins, expected = scored[name]
    assert expected["fits"].max() == 2
    ways = [(shift, 0.25) for shift in (-EXAMPLE_SPOT, -2 * EXAMPLE_SPOT, 7)] + [
        (-EXAMPLE_SPOT + 2, tick) for tick in OTHER_TICKS
    ]
    for shift_ticks, tick_size in ways:
        tick_int = round(tick_size * 1e9)
        found = make_signal(name, quick(name), context(tick_int)).run(told(bins, shift_ticks, tick_int))
        assert found.tobytes() == expected.tobytes(), (shift_ticks, tick_size)


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("shift_ticks", [-EXAMPLE_SPOT, -2 * EXAMPLE_SPOT, 7])
def test_signal_of_the_quotes_says_the_same_of_a_market_moved(name: str, shift_ticks: int) -> None:
    bins = example_inputs(get_signal(name), N_BINS, 50, seed=5)
    moved = {
        field: np.where(x == UNDEF_PRICE, x, x + shift_ticks * EXAMPLE_TICK_INT) if field.endswith("_int") else x
        for field, x in bins.items()
    }
    expected, found = (make_signal(name, quick(name), context()).run(x) for x in (bins, moved))
    assert expected["ready"].any()
    assert found.tobytes() == expected.tobytes()


def test_no_signal_that_reads_a_price_is_left_out_of_these() -> None:
    def reads_prices(name: str) -> bool:
        return any(field == "mid_price" or field.endswith("_int") for field in get_signal(name).required_fields)

    assert tuple(sorted(name for name in BUILT_IN if reads_prices(name))) == tuple(sorted((*LEARNED, *QUOTES)))


@pytest.mark.parametrize("name", LEARNED)
def test_signal_that_counts_ticks_must_be_told_the_instruments(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} counts prices in ticks and was given tick_int None"):
        make_signal(name, {}, SignalContext(cell_width_ms=100, radius=50))
    assert "tick_size" not in get_signal(name).Params.model_fields


def test_returns_are_ticks_between_usable_bins() -> None:
    """Mids in half ticks through zero: 2, 0, (unusable), -3, -3, 4 are steps of 0 (the first), -1, 0, -1.5, 0 and 3.5 ticks."""
    last = no_mid_yet()
    mids = [(2, True), (0, True), (NO_MID, False), (-3, True), (-3, True), (4, True)]
    assert [tick_return(last, mid, usable) for mid, usable in mids] == [0.0, -1.0, 0.0, -1.5, 0.0, 3.5]


# Old files that bear a tick among a learned signal's parameters.


@pytest.fixture
def untold() -> None:
    instrument_facts._tell.cache_clear()


@pytest.mark.parametrize("name", LEARNED)
def test_tick_among_parameters_is_taken_where_it_is_the_instruments_and_told_once(
    name: str, untold: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        made = [make_signal(name, quick(name) | {"tick_size": 0.1}, context(100_000_000)) for _ in range(2)]
    assert made[0].params == make_signal(name, quick(name), context(100_000_000)).params
    assert [record.message for record in caplog.records] == [
        f"tick_size 0.1 in the parameters of signal {name} is the instrument's own and is not read any more; leave it out"
    ]


@pytest.mark.parametrize("given", [0.25, 0.1000001, "0.1", True, None, [0.1]])
def test_other_tick_among_parameters_is_refused_with_the_mend(given: Any) -> None:
    with pytest.raises(ConfigError) as error:
        make_signal("svm_sp", {"tick_size": given}, context(100_000_000))
    said = str(error.value)
    assert said.startswith(f"tick_size was {given!r} in the parameters of signal svm_sp; the instrument's is 0.1,")
    assert "Leave it out of the parameters" in said
    assert "sweep and promote anew" in said
    assert "\n" not in said


def test_tick_is_no_parameter_of_a_signal_that_never_had_one() -> None:
    with pytest.raises(ConfigError, match="unknown key 'tick_size'"):
        make_signal("msd", {"tick_size": 0.25}, context())
