"""The force field's kernels: formulas worked by hand for one slot, and random touches against the reference."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import load_instrument
from engine.field_kernels import (
    ADD,
    ASK_DEPTH,
    BID_DEPTH,
    LAST_EVENT,
    LAST_TS,
    LISTED,
    N_CHAINS,
    PRESSURE,
    VACUUM,
    A,
    FieldState,
    J,
    V,
    make_field,
    passive_advance,
    synchronise_depths,
    touch,
)
from tests import reference

CONFIG = load_instrument()
PARAMS = CONFIG.to_params()
S = 1_000_000_000
START = 1_770_000_000 * S
N_SLOTS = 8
SLOT = 3


@dataclass
class Bench:
    """A field of eight slots with a book's depth beside it."""

    state: FieldState = field(default_factory=lambda: make_field(N_SLOTS))
    depth: np.ndarray = field(default_factory=lambda: np.zeros((N_SLOTS, 2), np.int64))  # type: ignore[type-arg]
    n_events: int = 0

    def touch(
        self, ts: int, *, add: float = 0, pull: float = 0, fill: float = 0, bid: int = 0, ask: int = 0, slot: int = SLOT
    ) -> None:
        self.n_events += 1
        self.depth[slot] = bid, ask
        touch(self.state, self.depth, slot, ts, self.n_events, add, pull, fill, PARAMS)

    def advance(self, ts: int) -> None:
        passive_advance(self.state, ts, PARAMS)

    def row(self, slot: int = SLOT) -> np.ndarray:  # type: ignore[type-arg]
        return self.state.values[slot]


def alpha(dt: float, tau: float) -> float:
    return 1.0 - math.exp(-dt / tau)


def test_first_touch_gives_mass_and_no_derivatives() -> None:
    bench = Bench()
    bench.touch(START, add=4, bid=4)
    assert bench.row()[ADD] == 4.0
    assert not bench.row()[V : J + N_CHAINS].any()


def test_second_touch_steps_the_chain_of_its_flow() -> None:
    bench = Bench()
    bench.touch(START, add=4, bid=4)
    bench.touch(START + S // 2, add=3, bid=7)
    dt, rate = 0.5, 3 / 0.5
    v = alpha(dt, 2.0) * rate
    a = alpha(dt, 5.0) * v / dt
    j = alpha(dt, 10.0) * a / dt
    assert bench.row()[[V, A, J]] == pytest.approx([v, a, j], rel=1e-14)


def test_depth_chains_follow_the_change_of_depth() -> None:
    bench = Bench()
    bench.touch(START, add=4, bid=4, ask=2)
    bench.touch(START + S, pull=3, bid=1, ask=2)
    assert bench.row()[[V + 3, V + 4]] == pytest.approx([alpha(1.0, 2.0) * -3.0, 0.0], rel=1e-14)


def test_mass_decays_before_the_new_flow_is_added() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + 30 * S, add=1)
    assert bench.row()[ADD] == pytest.approx(4 * math.exp(-1) + 1, rel=1e-14)


def test_touch_at_the_same_time_adds_mass_and_leaves_derivatives() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + S, add=1)
    before = bench.row()[V : J + N_CHAINS].copy()
    bench.touch(START + S, add=9, fill=2)
    assert np.array_equal(bench.row()[V : J + N_CHAINS], before)
    assert bench.row()[ADD + 2] == 2.0


def test_late_touch_adds_mass_and_leaves_derivatives() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + S, add=1)
    before = bench.row()[V : J + N_CHAINS].copy()
    bench.touch(START + S // 2, add=9)
    assert np.array_equal(bench.row()[V : J + N_CHAINS], before)


def test_forces_weigh_the_derivatives() -> None:
    bench = Bench()
    bench.touch(START, add=4, bid=4)
    bench.touch(START + S, add=3, pull=2, fill=1, bid=9)
    bench.touch(START + 2 * S, pull=5, bid=2)
    row = bench.row()
    rest = row[V + 3] + row[V + 4]
    pressure = 1.0 * row[V] + 0.5 * max(rest, 0) + 0.3 * max(row[A], 0)
    vacuum = 1.0 * row[V + 1] + 1.5 * row[V + 2] + 0.5 * max(-rest, 0) + 0.3 * max(row[A + 1], 0)
    assert row[[PRESSURE, VACUUM]] == pytest.approx([pressure, vacuum], rel=1e-14)


def test_falling_depth_adds_vacuum_and_no_pressure() -> None:
    bench = Bench()
    bench.touch(START, bid=9)
    bench.touch(START + S, bid=1)
    assert bench.row()[PRESSURE] == 0.0
    assert bench.row()[VACUUM] == pytest.approx(0.5 * 8 * alpha(1.0, 2.0), rel=1e-14)


def test_touch_takes_the_books_depths_over() -> None:
    bench = Bench()
    bench.touch(START, bid=3, ask=8)
    assert bench.row()[[BID_DEPTH, ASK_DEPTH]].tolist() == [3.0, 8.0]


def test_touch_bears_its_time_and_event() -> None:
    bench = Bench()
    bench.touch(START, slot=1)
    bench.touch(START + 5)
    assert bench.state.stamps[SLOT, [LAST_TS, LAST_EVENT]].tolist() == [START + 5, 2]


def test_long_pause_forgets_the_old_rate_entirely() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + S, add=4)
    bench.touch(START + 2000 * S, add=6)
    assert bench.row()[V] == 6 / 1999


def test_non_finite_step_keeps_the_previous_three_values() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + S, add=4)
    before = bench.row()[[V, A, J]].copy()
    with np.errstate(over="ignore", invalid="ignore"):  # numpy would warn where the kernel runs uncompiled
        bench.touch(START + S + 1, add=1e308)  # a rate beyond the largest float
    assert before.all()
    assert np.array_equal(bench.row()[[V, A, J]], before)


def test_passive_advance_decays_the_mass() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.advance(START + 30 * S)
    assert bench.row()[ADD] == pytest.approx(4 * math.exp(-1), rel=1e-14)


def test_passive_advance_is_a_step_of_rate_zero() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.touch(START + S, add=4)
    v, a, j = bench.row()[[V, A, J]]
    bench.advance(START + 3 * S)
    v_new = (1 - alpha(2, 2.0)) * v
    a_new = alpha(2, 5.0) * (v_new - v) / 2 + (1 - alpha(2, 5.0)) * a
    j_new = alpha(2, 10.0) * (a_new - a) / 2 + (1 - alpha(2, 10.0)) * j
    assert bench.row()[[V, A, J]] == pytest.approx([v_new, a_new, j_new], rel=1e-13)


def test_passive_advance_leaves_event_and_depths() -> None:
    bench = Bench()
    bench.touch(START, bid=7)
    bench.depth[SLOT] = 1, 1  # changed since, by no touch
    bench.advance(START + S)
    assert bench.state.stamps[SLOT].tolist() == [START + S, 1, 1]
    assert bench.row()[[BID_DEPTH, ASK_DEPTH]].tolist() == [7.0, 0.0]


def test_passive_advance_passes_over_untouched_slots() -> None:
    bench = Bench()
    bench.touch(START, add=4)
    bench.advance(START + S)
    others = np.arange(N_SLOTS) != SLOT
    assert not bench.state.values[others].any()
    assert not bench.state.stamps[others].any()


def test_touch_leaves_every_other_slot() -> None:
    """G3, within one touch."""
    bench = Bench()
    for slot in range(N_SLOTS):
        bench.touch(START + slot, add=slot, bid=slot, slot=slot)
    values, stamps = bench.state.values.copy(), bench.state.stamps.copy()
    bench.touch(START + S, add=5, bid=9)
    others = np.arange(N_SLOTS) != SLOT
    assert np.array_equal(bench.state.values[others], values[others])
    assert np.array_equal(bench.state.stamps[others], stamps[others])


def test_how_others_are_touched_does_not_show_in_a_slot() -> None:
    """G3, over many bins: the same slot among busy and among quiet neighbours."""
    alone, among = Bench(), Bench()
    rng = np.random.default_rng(1)
    for i in range(60):
        now = START + i * S // 10
        for slot in rng.integers(0, N_SLOTS, 3):
            if slot != SLOT:
                among.touch(now + 1, add=3, bid=int(slot), slot=int(slot))
        if i % 4 == 0:
            for bench in (alone, among):
                bench.touch(now + 2, add=2, bid=i)
        for bench in (alone, among):
            bench.advance(now + S // 10)
    assert alone.row().tobytes() == among.row().tobytes()


def test_synchronising_takes_depths_and_nothing_else() -> None:
    bench = Bench()
    bench.touch(START, add=4, bid=4)
    bench.touch(START + S, add=4, bid=8)
    before, stamps = bench.state.values.copy(), bench.state.stamps.copy()
    bench.depth[:] = 5
    synchronise_depths(bench.state, bench.depth)
    assert np.array_equal(bench.state.values[:, :BID_DEPTH], before[:, :BID_DEPTH])
    assert np.array_equal(bench.state.stamps, stamps)
    assert np.all(bench.state.values[:, BID_DEPTH:] == 5)


def test_slot_is_listed_once_however_often_it_is_touched() -> None:
    bench = Bench()
    for i in range(5):
        bench.touch(START + i, add=1)
    assert bench.state.in_use[: bench.state.n_in_use[0]].tolist() == [SLOT]
    assert bench.state.stamps[SLOT, LISTED] == 1


gap = st.sampled_from([0, 1, 77, 1_000_000, 99_999_999, 3 * S, 400 * S, -5_000_000])
size = st.sampled_from([0, 0, 1, 2, 7, 2**32 - 1])
step = st.tuples(st.sampled_from(["touch", "touch", "touch", "advance"]), st.integers(0, 2), gap, size, size, size, size, size)


@given(st.lists(step, min_size=10, max_size=60))
@settings(max_examples=150)
def test_random_touches_equal_the_reference(steps: list[tuple[str, int, int, int, int, int, int, int]]) -> None:
    bench, book, slow, now = Bench(), reference.Book(1), reference.Field(CONFIG), START
    for what, slot, wait, add, pull, fill, bid, ask in steps:
        now += wait
        if what == "advance":
            bench.advance(now)
            slow.advance_all(now)
        else:
            bench.touch(now, add=add, pull=pull, fill=fill, bid=bid, ask=ask, slot=slot)
            book.depth["B"][slot], book.depth["A"][slot] = bid, ask
            slow.touch(book, (slot, add, pull, fill), now, bench.n_events)
        for tick, state in slow.ticks.items():
            row = bench.row(tick)
            chains = [state.chain[name][order] for order in range(3) for name in reference.CHAINS]
            expected = [*state.mass.values(), *chains, state.pressure, state.vacuum, *state.depth.values()]
            assert row == pytest.approx(expected, rel=1e-11, abs=1e-11)
            assert bench.state.stamps[tick, :2].tolist() == [state.last_ts, state.last_event_id]
            assert np.all(np.isfinite(row))
