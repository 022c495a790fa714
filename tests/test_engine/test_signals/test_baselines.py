"""The baselines on bins whose scores were worked out by hand; the contract has the rest."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from tests.reference import DOUBTFUL

TICK = 250_000_000
CONTEXT = SignalContext(cell_width_ms=100, radius=5, tick_int=TICK)
Bins = dict[str, NDArray[Any]]


def quotes(*bins: tuple[int, int, int, int]) -> Bins:
    """Bid and ask in ticks, size at the bid and at the ask."""
    bid, ask, bid_size, ask_size = np.array(bins, np.int64).T
    return {
        "bin_seq": np.arange(len(bins)),
        "best_bid_price_int": bid * TICK,
        "best_ask_price_int": ask * TICK,
        "best_bid_size": bid_size,
        "best_ask_size": ask_size,
        "quality": np.zeros(len(bins), np.uint16),
    }


def scored(name: str, bins: Bins, **params: Any) -> tuple[list[float], list[bool]]:
    out = make_signal(name, params, CONTEXT).run(bins)
    return out["score"].tolist(), out["ready"].tolist()


def test_queue_imbalance_is_the_share_by_which_one_queue_is_longer() -> None:
    assert scored("queue_imbalance", quotes((9, 10, 30, 10), (9, 10, 5, 5), (9, 10, 1, 4)))[0] == [0.5, 0.0, -0.6]


def test_weighted_mid_is_half_the_spread_times_the_imbalance() -> None:
    """Spread 2: (9 * 10 + 11 * 30) / 40 is 10.5, half a tick above the mid; spread 1: a quarter of one."""
    assert scored("weighted_mid", quotes((9, 11, 30, 10), (9, 10, 30, 10)))[0] == [0.5, 0.25]


@pytest.mark.parametrize("name", ["queue_imbalance", "weighted_mid", "order_flow_imbalance", "reversal"])
@pytest.mark.parametrize(
    "change",
    [{"quality": DOUBTFUL}, {"best_bid_size": 0}, {"best_ask_size": 0}, {"best_ask_price_int": UNDEF_PRICE},
     {"best_bid_price_int": UNDEF_PRICE}, {"best_bid_price_int": 10 * TICK}],
    ids=str,
)  # fmt: skip
def test_bin_without_two_sound_quotes_says_nothing(name: str, change: dict[str, int]) -> None:
    bins = quotes((9, 10, 30, 10), (9, 10, 31, 10), (9, 10, 32, 10))
    for field, value in change.items():
        bins[field][1] = value
    params = {"window_bins": 1} if name == "reversal" else {}
    score, ready = scored(name, bins, **params)
    compares = name in ("order_flow_imbalance", "reversal")
    assert (score[1], ready) == (0.0, [not compares, False, not compares])


def test_order_flow_counts_sizes_at_a_price_and_whole_levels_that_come_and_go() -> None:
    """15 - 10 came to the bid and 20 - 18 left the ask: 7. Then the bid rises to a level of 4 and the ask gives up its 18: 22."""
    bins = quotes((9, 10, 10, 20), (9, 10, 15, 18), (10, 11, 4, 6))
    score, ready = scored("order_flow_imbalance", bins)
    mean = [(30 + 33) / 4, (30 + 33 + 10) / 6]
    assert score == pytest.approx([0.0, 7 / mean[0], 29 / mean[1]], rel=1e-12)
    assert ready == [False, True, True]


def test_order_flow_leaves_its_window() -> None:
    bins = quotes((9, 10, 10, 20), (9, 10, 15, 18), (9, 10, 15, 18), (9, 10, 15, 18))
    score, _ = scored("order_flow_imbalance", bins, flow_window_bins=2, depth_window_bins=1)
    assert score == pytest.approx([0.0, 7 / 16.5, 7 / 16.5, 0.0])


def test_multi_level_flow_weighs_the_second_tick_by_a_half() -> None:
    """Best levels: +5 and +2 as above. Behind them 8 came to the bid and 2 left the ask: 7 + 10 / 2 = 12."""
    bins = quotes((9, 10, 10, 20), (9, 10, 15, 18)) | {"spot_ref_price_int": np.full(2, 10 * TICK)}
    for side, rows, first, second in (("bid", (4, 3), (10, 2), (15, 10)), ("ask", (5, 6), (20, 7), (18, 5))):
        depth = np.zeros((2, 11))
        depth[0, list(rows)], depth[1, list(rows)] = first, second
        bins[f"{side}_depth"] = depth
    score, _ = scored("multi_level_ofi", bins, n_levels=2)
    mean = ((10 + 20) + (2 + 7) / 2 + (15 + 18) + (10 + 5) / 2) / 4
    assert score == pytest.approx([0.0, 12 / mean], rel=1e-12)


@pytest.mark.parametrize(("spot", "is_ready"), [(6, True), (7, False)])
def test_multi_level_says_nothing_where_a_level_is_off_the_grid(spot: int, is_ready: bool) -> None:
    """Five levels from row 4 down reach row 0; from row 3 they do not."""
    bins = quotes((5, 6, 1, 1), (5, 6, 1, 1)) | {"spot_ref_price_int": np.full(2, spot * TICK)}
    bins |= {"bid_depth": np.ones((2, 11)), "ask_depth": np.ones((2, 11))}
    assert scored("multi_level_ofi", bins, n_levels=5)[1] == [False, is_ready]


def test_reversal_is_the_move_turned_back() -> None:
    bins = quotes((9, 10, 1, 1), (9, 10, 1, 1), (10, 11, 1, 1), (9, 11, 1, 1))
    assert scored("reversal", bins, window_bins=2) == ([0.0, 0.0, -1.0, -0.5], [False, False, True, True])


def test_trade_intensity_halves_in_its_half_life() -> None:
    """100 ms to a half: 4 bought; 2 of them left beside 2 sold; 1 and 1 left of both, and 3 sold."""
    bins = {
        "buy_volume": np.array([4, 0, 0]),
        "sell_volume": np.array([0, 2, 3]),
        "quality": np.array([0, 0, DOUBTFUL], np.uint16),
    }
    out = make_signal("trade_intensity", {"decay_ms": 100 / math.log(2)}, CONTEXT).run(bins)
    assert out["score"] == pytest.approx([4 / 5, 0.0, 0.0])
    assert (out["buy_intensity"], out["sell_intensity"]) == (pytest.approx([4, 2, 1]), pytest.approx([0, 2, 4]))
    assert out["ready"].tolist() == [True, True, False]


def test_micro_price_of_one_state_is_its_mean_move_over_how_often_it_does_not_return() -> None:
    """Steps from a longer bid: two to a longer bid, one to balance, one to a longer ask; in all the mid rose by one tick.

    g = (1 / 4) / (1 - (2 - 1) / 4) = 1/3 of a tick; a longer ask is the mirror image.
    """
    longer, even, shorter = (3, 1), (2, 2), (1, 3)
    steps = [
        (9, longer),
        (10, longer),
        (10, longer),
        (10, even),
        (10, longer),
        (10, shorter),
        (10, longer),
        (10, even),
        (10, shorter),
    ]
    bins = quotes(*((bid, bid + 1, *sizes) for bid, sizes in steps))
    params = {"n_imbalances": 1, "n_spreads": 1, "refit_interval_bins": 6, "min_train_bins": 4}
    score, ready = scored("micro_price", bins, **params)
    assert score == pytest.approx([0.0] * 6 + [1 / 3, 0.0, -1 / 3])
    assert ready == [False] * 6 + [True] * 3
    assert not any(scored("micro_price", bins, **params | {"min_train_bins": 5})[1])


def test_micro_price_tells_spreads_apart_and_takes_the_widest_as_one() -> None:
    """A longer bid lets the mid rise by half a tick at a spread of one, and does nothing wider: spreads 2 and 3 are one state.

    Each state is left for balance at once, which moves nothing: g = 1/2 at one tick and 0 wider. A crossed market is no quote.
    """
    steps = [(9, 10, 3, 1), (9, 11, 2, 2), (9, 11, 3, 1), (9, 11, 2, 2), (9, 12, 3, 1), (9, 12, 2, 2)]
    steps += [(9, 10, 3, 1), (9, 11, 3, 1), (9, 12, 3, 1), (10, 9, 3, 1)]
    params = {"n_imbalances": 1, "n_spreads": 2, "refit_interval_bins": 6, "min_train_bins": 3}
    score, ready = scored("micro_price", quotes(*steps), **params)
    assert score == pytest.approx([0.0] * 6 + [0.5, 0.0, 0.0, 0.0])
    assert ready == [False] * 6 + [True] * 3 + [False]
