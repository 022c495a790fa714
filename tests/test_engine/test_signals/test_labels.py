"""Labels as they come to be known: a table by hand, the whole session against section 4 word for word, uniqueness by counting."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.signals.learned.features import NO_MID, half_ticks
from engine.signals.learned.labels import UNKNOWN, LabelNumbers, LabelState, make_label_state, settle_all, uniqueness

TICK = 1_000_000_000  # a dollar


def labelled(
    mid: list[float | None], max_hold: int = 10, by_direction: bool = True, tp: float = 4.0, sl: float = 2.0
) -> LabelState:
    """Labels of mids in dollars, a tick each, None for a missing one; barriers in half ticks."""
    mids = np.array([np.nan if one is None else one for one in mid])
    state = make_label_state(len(mids) + 1, max_hold)
    settle_all(state, half_ticks(mids, TICK), ~np.isnan(mids), LabelNumbers(tp, sl, max_hold, by_direction))
    return state


@pytest.mark.parametrize(
    ("mid", "by_direction", "label", "at"),
    [
        ([100, 101, 102], True, 1, 2),  # a long reaches its profit
        ([100, 99, 98], True, -1, 2),  # a short does
        ([100, 101, 99], True, 0, 2),  # the short is stopped, then the long: nobody wins
        ([100, 99, 102], True, 0, 2),  # the long is stopped before its profit, which stops the short
        ([100, 101, 100.5, 102], True, 1, 3),  # only the short was stopped
        ([100, 101], False, 1, 1),  # the nearer barrier alone
        ([100, None, 98], True, -1, 2),  # a bin without a mid decides nothing
        ([2, 0, -98], True, -1, 1),  # 0 is a mid: the short reaches its profit there
        ([-3, -2, -1], True, 1, 2),  # and so is what lies below
        ([100] * 4, True, UNKNOWN, 0),  # not known yet
        ([100] * 10, True, 0, 9),  # time is up after max_hold - 1 bins
        ([None, 100, 103], True, UNKNOWN, 0),  # no label without a mid
    ],
)
def test_first_bins_label(mid: list[float | None], by_direction: bool, label: int, at: int) -> None:
    state = labelled(mid, by_direction=by_direction)
    assert (int(state.labels[0]), int(state.exits[0])) == (label, at)


def test_profit_nearer_than_the_stop_takes_the_first_win() -> None:
    state = labelled([100, 101, 97], tp=2.0, sl=4.0)
    assert (int(state.labels[0]), int(state.exits[0])) == (1, 1)


def walk(seed: int, n: int = 600) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    mid = 0.5 * np.cumsum(rng.integers(-2, 3, n))  # on both sides of 0
    mid[rng.random(n) < 0.03] = np.nan
    return mid


@pytest.mark.parametrize("seed", range(5))
def test_first_move_equals_section_4(seed: int) -> None:
    mid, max_hold = walk(seed), 60
    expected = np.zeros(len(mid))
    for t in np.flatnonzero(~np.isnan(mid)):
        for j in range(t + 1, min(t + max_hold, len(mid))):
            if abs(mid[j] - mid[t]) >= 1.0:
                expected[t] = np.sign(mid[j] - mid[t])
                break
    found = labelled(mid.tolist(), max_hold, by_direction=False).labels[: len(mid)].astype(float)
    assert np.array_equal(np.where(found == UNKNOWN, 0, found), expected)


@pytest.mark.parametrize("seed", range(5))
def test_by_direction_equals_two_trades(seed: int) -> None:
    mid, max_hold = walk(seed), 60
    state = labelled(mid.tolist(), max_hold)

    def trade(t: int, side: int) -> tuple[str, int]:
        last = min(t + max_hold, len(mid)) - 1
        for j in range(t + 1, last + 1):
            if side * (mid[j] - mid[t]) >= 2.0:
                return "won", j
            if side * (mid[j] - mid[t]) <= -1.0:
                return "lost", j
        return ("open", last) if last < t + max_hold - 1 else ("late", last)

    for t in np.flatnonzero(~np.isnan(mid)):
        (up, up_at), (down, down_at) = trade(t, 1), trade(t, -1)
        label = 1 if up == "won" else -1 if down == "won" else UNKNOWN if "open" in (up, down) else 0
        assert int(state.labels[t]) == label
        if label != UNKNOWN:
            at = up_at if up == "won" else down_at if down == "won" else max(up_at, down_at)
            assert int(state.exits[t]) == at


def test_ring_smaller_than_the_session_keeps_the_newest_labels() -> None:
    mid = walk(9)
    small, large = make_label_state(100, 30), make_label_state(len(mid) + 1, 30)
    for state in (small, large):
        settle_all(state, half_ticks(mid, TICK), ~np.isnan(mid), LabelNumbers(8.0, 4.0, 30, True))
    rows = np.arange(len(mid) - 60, len(mid))
    assert np.array_equal(small.labels[rows % 100], large.labels[rows])
    assert np.array_equal(small.exits[rows % 100], large.exits[rows])


@pytest.mark.parametrize("seed", range(5))
def test_uniqueness_equals_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(np.arange(50, 150), 40, replace=False))
    exits = rows + rng.integers(1, 30, 40)
    alive = [sum(r < t <= e for r, e in zip(rows, exits, strict=True)) for t in range(200)]
    weights = np.array([np.mean([1 / alive[t] for t in range(r + 1, e + 1)]) for r, e in zip(rows, exits, strict=True)])
    assert uniqueness(rows, exits) == pytest.approx(weights / weights.mean(), rel=1e-9)


def test_rows_that_never_overlap_weigh_the_same() -> None:
    assert uniqueness(np.array([0, 10, 20]), np.array([5, 15, 25])).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("tick_int", [1, 5, 50_000, 10_000_000, 100_000_000, 250_000_000, 15_625_000, 1_000_000_000])
def test_every_mid_of_a_market_is_a_whole_number_of_half_ticks(tick_int: int) -> None:
    """0.1, 0.01 and 0.00005 are no binary fractions: half ticks are counted, never added up in dollars."""
    halves = np.arange(-40_001, 40_002, 7)
    mid = (halves * tick_int / 2.0) / 1e9
    assert half_ticks(mid, tick_int).tolist() == halves.tolist()


def test_a_missing_mid_is_no_number_of_half_ticks() -> None:
    assert half_ticks(np.array([np.nan, 0.0, -0.5, np.inf]), TICK).tolist() == [NO_MID, 0, -1, NO_MID]


@pytest.mark.parametrize("tick_int", [50_000, 10_000_000, 100_000_000, 250_000_000])
@pytest.mark.parametrize(("move", "label"), [(7, UNKNOWN), (8, 1), (9, 1), (-7, UNKNOWN), (-8, -1), (-9, -1)])
def test_a_barrier_is_reached_on_it_and_not_half_a_tick_before(tick_int: int, move: int, label: int) -> None:
    """At a tick of 0.1 the float 0.8 + 0.4 is not 1.2; a label may not hang on that."""
    for begin in range(-50, 60, 3):
        mid = (np.array([begin, begin + move]) * tick_int / 2.0) / 1e9
        state = make_label_state(3, 10)
        settle_all(state, half_ticks(mid, tick_int), np.ones(2, np.bool_), LabelNumbers(8.0, 99.0, 10, True))
        assert int(state.labels[0]) == label
