"""What trades cost and what rules share, in numbers from the exchange's own sheet, not from the code."""

from dataclasses import fields
from typing import Any

import pytest

from tests.test_tune.markets import sound_rules
from tune.rules import KNOWN_FEES, N_BLOCKS, Rules


@pytest.mark.parametrize(
    ("root", "fee", "multiplier", "tick_value", "fee_ticks"),
    [  # dollars a side, dollars a point, dollars a tick of 0.25, ticks a round trip
        ("MNQ", 0.62, 2.0, 0.5, 2.48),
        ("NQ", 2.25, 20.0, 5.0, 0.9),
        ("MES", 0.62, 5.0, 1.25, 0.992),
        ("ES", 2.25, 50.0, 12.5, 0.36),
    ],
)
def test_a_trade_costs_two_sides_of_the_known_fee(
    root: str, fee: float, multiplier: float, tick_value: float, fee_ticks: float
) -> None:
    r = sound_rules(fee_per_contract=KNOWN_FEES[root], contract_multiplier=multiplier, tp_ticks=8, sl_ticks=4)
    assert KNOWN_FEES[root] == fee
    assert r.tick_value == tick_value
    assert r.fee_ticks == pytest.approx(fee_ticks, rel=1e-12)
    assert r.break_even_rate == pytest.approx((4 + fee_ticks) / 12, rel=1e-12)


def test_no_other_fee_is_known_and_the_time_has_48_blocks() -> None:
    assert sorted(KNOWN_FEES) == ["ES", "MES", "MNQ", "NQ"]
    assert N_BLOCKS == 48


def test_break_even_of_a_fee_free_walk_is_the_share_of_the_loss() -> None:
    assert sound_rules(tp_ticks=6, sl_ticks=2).break_even_rate == 0.25


def test_a_trade_is_late_by_feed_and_order() -> None:
    assert sound_rules(feed_delay_bins=3, order_delay_bins=4).delay_bins == 7


def test_the_fill_model_names_what_was_done() -> None:
    touch = sound_rules(feed_delay_bins=3, order_delay_bins=4, fee_per_contract=0.62, min_bins_to_close=9)
    assert touch.fill_model == (
        "touch to touch, exit at the barrier, both in one bin is a loss; feed 3 + order 4 bins; fee 0.62 a side; "
        "single positions; nothing passive; none with a stop within the spread; flat before a close, none entered under 9 bins "
        "from it; through a gap at the first price after it"
    )
    mid = sound_rules(fill="mid", position="overlapping")
    assert mid.fill_model == (
        "mid to mid at bin ends, overshoot booked; feed 0 + order 1 bins; fee 0 a side; overlapping positions; nothing passive; "
        "flat before a close, none entered under 2 bins from it; through a gap at the first price after it"
    )
    reference = sound_rules(fill="mid", position="overlapping", sound_only=False)
    assert reference.fill_model == (
        "mid to mid at bin ends, overshoot booked; feed 0 + order 1 bins; fee 0 a side; overlapping positions; nothing passive"
    )


OTHER: dict[str, Any] = {
    "max_hold_bins": 7,
    "warmup_bins": 7,
    "tick_size": 0.5,
    "fill": "mid",
    "trigger": "level",
    "position": "overlapping",
    "rearm": False,
    "feed_delay_bins": 7,
    "order_delay_bins": 7,
    "min_bins_to_close": 7,
    "fee_per_contract": 7.0,
    "contract_multiplier": 7.0,
    "sound_only": False,
    "n_folds": 7,
    "embargo_bins": 7,
    "cell_width_ms": 7,
}


@pytest.mark.parametrize("name", [field.name for field in fields(Rules)])
def test_rules_share_a_walk_where_they_differ_in_barriers_and_cooldown_only(name: str) -> None:
    free = {"tp_ticks": 7, "sl_ticks": 7, "cooldown_bins": 7}
    other = sound_rules(**{name: {**OTHER, **free}[name]})
    assert other != sound_rules()
    assert (other.shared == sound_rules().shared) == (name in free)
