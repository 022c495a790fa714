"""The exact rate kernel: its closed form, and what continuous time promises."""

import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import Params, load_instrument
from engine.field.rates import exact_map, exp_second_difference
from tests.reference import Record
from tests.sessions import differences, run_engine, run_reference, small_config
from tests.streams import OPEN, build_up, record, records
from tests.test_engine.test_field.test_kernels import SLOT, START, Bench, J, S, V

TAUS = [(2.0, 5.0, 10.0), (2.0, 2.0, 2.0), (2.0, 2.0 + 1e-9, 2.0), (10.0, 5.0, 2.0), (5.0, 2.0, 5.0), (1e-3, 1.0, 1e3)]
SPANS_S = [1e-9, 1e-6, 1e-3, 0.1, 0.2, 1.0, 7.0, 300.0, 1e5]


def exact_params(taus: tuple[float, float, float] = TAUS[0]) -> Params:
    names = ("tau_velocity", "tau_acceleration", "tau_jerk")
    return load_instrument(overrides={"rate_kernel": "exact", **dict(zip(names, taus, strict=True))}).to_params()


def generator(taus: tuple[float, float, float]) -> NDArray[np.float64]:
    """A of engine.md section 11."""
    tv, ta, tj = taus
    return np.array([[-1 / tv, 0, 0], [-1 / (tv * ta), -1 / ta, 0], [-1 / (tv * ta * tj), -1 / (ta * tj), -1 / tj]])


@pytest.mark.parametrize("dt", SPANS_S)
@pytest.mark.parametrize("taus", TAUS)
def test_closed_form_is_the_matrix_exponential(taus: tuple[float, float, float], dt: float) -> None:
    _, vv, av, aa, jv, ja, jj = exact_map(dt, exact_params(taus))
    ours = np.array([[vv, 0, 0], [av, aa, 0], [jv, ja, jj]])
    # SciPy takes plain differences of the exponential, which cancel to eight digits where taus nearly meet; ours do not.
    rel = 1e-7 if 0 < abs(taus[0] - taus[1]) < 1e-6 else 1e-9
    assert ours == pytest.approx(scipy.linalg.expm(generator(taus) * dt), rel=rel, abs=1e-13)


@pytest.mark.parametrize("points", [(-1.0, -1.0, -1.0), (0.0, -0.04, -0.0999), (0.0, -0.04, -0.1001), (-2.0, -2.1, -9.0)])
def test_second_difference_does_not_depend_on_the_order_of_its_points(points: tuple[float, float, float]) -> None:
    values = {exp_second_difference(*order) for order in itertools.permutations(points)}
    assert len(values) == 1


def test_second_difference_is_continuous_where_the_series_takes_over() -> None:
    inside, outside = (exp_second_difference(0.0, -0.03, -0.1 * (1 + e)) for e in (-1e-12, 1e-12))
    assert inside == pytest.approx(outside, rel=1e-12)


def test_deltas_at_one_instant_all_reach_the_chain() -> None:
    together, apart = Bench(exact_params()), Bench(exact_params())
    for bench, parts in ((together, [9.0]), (apart, [2.0, 3.0, 4.0])):
        bench.touch(START)
        for part in parts:
            bench.touch(START + S, fill=part)
    assert apart.row() == pytest.approx(together.row(), rel=1e-15)
    assert apart.row()[V + 2] == 9.0 / 2.0


@given(st.lists(st.integers(0, 40 * S), min_size=1, max_size=30))
@settings(max_examples=60)
def test_how_time_is_cut_does_not_show(cuts: list[int]) -> None:
    whole, cut = Bench(exact_params()), Bench(exact_params())
    for bench in (whole, cut):
        bench.touch(START, add=5, pull=1, bid=7)
        bench.touch(START + S // 3, fill=4, bid=2)
    for moment in sorted(cuts):
        cut.advance(START + S + moment)
    for bench in (whole, cut):
        bench.advance(START + 50 * S)
    assert cut.row() == pytest.approx(whole.row(), rel=1e-10, abs=1e-14)


def test_integral_of_v_over_all_time_is_the_sum_of_the_deltas() -> None:
    bench = Bench(exact_params())
    bench.touch(START, fill=1)
    bench.touch(START + 2, fill=6)
    bench.touch(START + 2, fill=3)
    step_s, total, now = 0.01, 0.0, START + 2
    for _ in range(int(60 / step_s)):
        before = bench.row()[V + 2]
        now += int(step_s * S)
        bench.advance(now)
        # Between two reads v falls exponentially, so its mean there is the logarithmic one.
        after = bench.row()[V + 2]
        total += step_s * (before - after) / np.log(before / after)
    assert total == pytest.approx(10.0, rel=1e-8)


def test_late_event_enters_without_letting_time_pass_twice() -> None:
    bench, plain = Bench(exact_params()), Bench(exact_params())
    for one in (bench, plain):
        one.touch(START, add=4)
        one.touch(START + S, add=4)
    bench.touch(START + S // 2, pull=0)
    for one in (bench, plain):
        one.advance(START + 2 * S)
    assert bench.row()[[V, J]].tolist() == plain.row()[[V, J]].tolist()
    assert bench.state.stamps[SLOT, 0] == START + 2 * S


@given(records(max_size=80))
@settings(max_examples=12)
def test_hostile_streams_equal_the_reference(stream: list[Record]) -> None:
    config = small_config(rate_kernel="exact")
    everything = [*build_up(), *stream]
    bins, _ = run_reference(config, everything)
    assert differences(run_engine(config, everything), bins) == {}


def test_bin_width_changes_nothing_but_the_sampling() -> None:
    rng = np.random.default_rng(4)
    stream, clock = build_up(), OPEN
    for i in range(400):
        clock = int(rng.integers(1, 30_000_000))
        stream.append(record("ACF"[i % 3], 7 + i % 3, side="B", tick=-1 - i % 3, size=1 + i % 7, time=clock * (i + 1)))
    stream.sort(key=lambda r: r.ts_event)
    wide, narrow = (run_engine(small_config(rate_kernel="exact", cell_width_ms=ms), stream, OPEN) for ms in (100, 25))
    n = len(wide.fields) - 1
    for name in ("v_add", "a_pull", "j_fill", "add_mass", "v_rest_depth", "pressure_variant"):
        assert narrow.grid[name][3::4][:n] == pytest.approx(wide.grid[name][:n], rel=1e-9, abs=1e-12)
