"""The force field's kernels: formulas worked by hand for one slot, and random touches against the reference."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Params, load_instrument
from engine.field.kernels import (
    ADD,
    ASK_DEPTH,
    BID_DEPTH,
    LAST_EVENT,
    LAST_TS,
    LISTED,
    N_CHAINS,
    NEXT_BIN,
    A,
    FieldState,
    J,
    V,
    bring_up,
    forces,
    make_field,
    synchronise_depths,
    touch,
)
from tests import reference

CONFIG = load_instrument(overrides={"rate_kernel": "finite"})  # test_rates.py has the exact one
PARAMS = CONFIG.to_params()
# No two coefficients alike, so that one in another's place shows.
APART = load_instrument(
    overrides={
        "rate_kernel": "finite",
        "c1_v_add": 1.1,
        "c2_v_rest_pos": 0.53,
        "c3_a_add": 0.31,
        "c4_v_pull": 0.97,
        "c5_v_fill": 1.7,
        "c6_v_rest_neg": 0.71,
        "c7_a_pull": 0.23,
    }
)
S = 1_000_000_000
START = 1_770_000_000 * S
N_SLOTS = 8
SLOT = 3


@dataclass
class Bench:
    """A field of eight slots with a book's depth beside it; every advance ends a bin, however long."""

    params: Params = PARAMS
    history: int = 6
    depth: np.ndarray = field(default_factory=lambda: np.zeros((N_SLOTS, 2), np.int64))  # type: ignore[type-arg]
    n_events: int = 0
    n_bins: int = 0

    def __post_init__(self) -> None:
        self.state: FieldState = make_field(N_SLOTS, self.history, self.params)
        self.bin_start = 0

    def touch(
        self, ts: int, *, add: float = 0, pull: float = 0, fill: float = 0, bid: int = 0, ask: int = 0, slot: int = SLOT
    ) -> None:
        self.n_events += 1
        self.depth[slot] = bid, ask
        touch(self.state, self.depth, slot, ts, self.n_events, add, pull, fill, self.n_bins, self.bin_start, self.params)

    def pass_bins(self, n: int, ts: int) -> None:
        """``n`` bins pass, the last of which ends at ``ts``; no slot is read."""
        self.n_bins += n
        self.bin_start = ts

    def read(self, slot: int = SLOT) -> None:
        if self.state.stamps[slot, LISTED]:
            bring_up(self.state, slot, self.n_bins, self.bin_start, self.params)

    def advance(self, ts: int) -> None:
        """One bin, and every slot is read at its end."""
        self.pass_bins(1, ts)
        for slot in range(N_SLOTS):
            self.read(slot)

    def row(self, slot: int = SLOT) -> np.ndarray:  # type: ignore[type-arg]
        return self.state.values[slot]

    def forces(self, slot: int = SLOT) -> tuple[float, float]:
        return forces(self.row(slot), self.params)


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
    assert bench.forces() == pytest.approx([pressure, vacuum], rel=1e-14)


@pytest.mark.parametrize(
    ("column", "value", "pressure", "vacuum"),
    [
        (V, 2.0, 1.1 * 2, 0.0),
        (V, -2.0, 1.1 * -2, 0.0),
        (V + 1, 2.0, 0.0, 0.97 * 2),
        (V + 2, 2.0, 0.0, 1.7 * 2),
        (V + 3, 2.0, 0.53 * 2, 0.0),
        (V + 3, -2.0, 0.0, 0.71 * 2),
        (V + 4, 2.0, 0.53 * 2, 0.0),
        (V + 4, -2.0, 0.0, 0.71 * 2),
        (A, 2.0, 0.31 * 2, 0.0),
        (A, -2.0, 0.0, 0.0),
        (A + 1, 2.0, 0.0, 0.23 * 2),
        (A + 1, -2.0, 0.0, 0.0),
        (A + 2, 2.0, 0.0, 0.0),
        (J, 2.0, 0.0, 0.0),
    ],
)
def test_each_coefficient_weighs_its_own_derivative(column: int, value: float, pressure: float, vacuum: float) -> None:
    bench = Bench(APART.to_params())
    bench.row()[column] = value
    assert bench.forces() == pytest.approx((pressure, vacuum), rel=1e-14)


def test_each_flow_has_its_own_mass_and_chain() -> None:
    bench = Bench()
    bench.touch(START)
    bench.touch(START + S, add=2, pull=3, fill=5, bid=7, ask=11)
    assert bench.row()[ADD : ADD + 3].tolist() == [2.0, 3.0, 5.0]
    assert bench.row()[V : V + N_CHAINS] == pytest.approx([alpha(1.0, 2.0) * x for x in (2, 3, 5, 7, 11)], rel=1e-14)


def test_falling_depth_adds_vacuum_and_no_pressure() -> None:
    bench = Bench()
    bench.touch(START, bid=9)
    bench.touch(START + S, bid=1)
    assert bench.forces() == (0.0, pytest.approx(0.5 * 8 * alpha(1.0, 2.0), rel=1e-14))


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
    assert bench.row()[V] == pytest.approx(6 / 1999, rel=1e-15)


def test_non_finite_step_keeps_the_previous_three_values() -> None:
    bench = Bench()
    bench.touch(START, bid=0)
    bench.touch(START + S, add=4)
    with np.errstate(over="ignore", invalid="ignore"):  # numpy would warn where the kernel runs uncompiled
        for i in range(1, 5):
            bench.touch(START + S + i, add=1e308)  # the fourth would lift v beyond the largest float
            if i == 3:
                before = bench.row()[[V, A, J]].copy()
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
    assert bench.state.stamps[SLOT, [LAST_TS, LAST_EVENT]].tolist() == [START + S, 1]
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
    bench.depth[:] = 5, 7
    synchronise_depths(bench.state, bench.depth)
    assert np.array_equal(bench.state.values[:, :BID_DEPTH], before[:, :BID_DEPTH])
    assert np.array_equal(bench.state.stamps, stamps)
    assert np.all(bench.state.values[:, BID_DEPTH:] == [5, 7])


def test_slot_is_counted_once_however_often_it_is_touched() -> None:
    bench = Bench()
    for i in range(5):
        bench.touch(START + i, add=1)
    assert bench.state.n_in_use[0] == 1
    assert bench.state.stamps[SLOT, LISTED] == 1


def busy_slot(params: Params) -> Bench:
    """A slot with all chains moving, in the middle of a bin."""
    bench = Bench(params)
    bench.bin_start = START
    for i in range(6):
        bench.touch(START + i * 7_000_000 + 1, add=3 + i, pull=i, fill=2, bid=5 * i, ask=9 - i)
    return bench


@pytest.mark.parametrize("kernel", ["finite", "exact"])
@pytest.mark.parametrize("n_bins", [1, 2, 6, 7, 8, 40, 1000, 36_000])
def test_slot_read_late_is_the_slot_read_every_bin(n_bins: int, kernel: str) -> None:
    params = load_instrument(overrides={"rate_kernel": kernel}).to_params()
    often, seldom = busy_slot(params), busy_slot(params)
    for i in range(1, n_bins + 1):
        often.advance(START + i * params.bin_ns)
    seldom.pass_bins(n_bins, START + n_bins * params.bin_ns)
    seldom.read()
    assert seldom.row() == pytest.approx(often.row(), rel=1e-11, abs=1e-200)
    assert seldom.state.balance[SLOT] == pytest.approx(often.state.balance[SLOT], rel=1e-9, abs=1e-200)
    assert np.array_equal(seldom.state.stamps, often.state.stamps)


def test_touch_brings_the_slot_up_before_it_steps() -> None:
    often, seldom = busy_slot(PARAMS), busy_slot(PARAMS)
    for i in range(1, 5):
        often.advance(START + i * PARAMS.bin_ns)
    seldom.pass_bins(4, START + 4 * PARAMS.bin_ns)
    for bench in (often, seldom):
        bench.touch(START + 4 * PARAMS.bin_ns + 5, add=8, bid=1)
    assert seldom.row().tobytes() == often.row().tobytes()
    assert seldom.state.balance.tobytes() == often.state.balance.tobytes()


def test_what_has_decayed_to_nothing_becomes_zero() -> None:
    """Subnormal numbers would linger, and cost a hundred times the time of others."""
    bench = busy_slot(PARAMS)
    for i in range(1, 1200):
        bench.advance(START + i * 100 * S)
    assert not bench.row()[:BID_DEPTH].any()


def test_touch_in_the_warm_up_starts_at_the_first_bin() -> None:
    bench = Bench()
    bench.touch(START, add=1)
    assert bench.state.stamps[SLOT, NEXT_BIN] == 0


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
            expected = [*state.mass.values(), *chains, *state.depth.values()]
            assert bench.forces(tick) == pytest.approx([state.pressure, state.vacuum], rel=1e-11, abs=1e-11)
            assert row == pytest.approx(expected, rel=1e-11, abs=1e-11)
            assert bench.state.stamps[tick, :2].tolist() == [state.last_ts, state.last_event_id]
            assert np.all(np.isfinite(row))
