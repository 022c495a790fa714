"""The one check's own rules: what counts as the same, where it cuts, what a process keeps, and what fills are."""

from typing import Any

import numpy as np
import pytest

from engine.signals import fresh
from engine.signals.bundle import load_bundle, read_bundle
from engine.signals.causality import FILLED, FRESH, LAST_BITS, accusations, first_difference, spread
from engine.signals.check import CONTEXT
from engine.signals.contract import ContractError, check_causality
from engine.signals.example import example_inputs
from engine.signals.fresh import FreshError, named, run_fresh
from engine.signals.futures import ENDS, LONGER, OTHER, SAME_LENGTH
from tests.own_signals import write_signal
from tests.test_engine.test_signals.faulty_signals import Rolled, SoundParams

N = 200
KEPT: dict[str, float] = {}


def session() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    return {"x": rng.standard_normal(N), "price": 100.0 + np.cumsum(rng.standard_normal(N)), "volume": rng.integers(1, 99, N)}


def keeps(arrays: Any) -> dict[str, Any]:
    """A scale that the process keeps from the first session it meets."""
    return {"score": arrays["x"] / KEPT.setdefault("scale", float(arrays["x"].std()))}


def own_scale(arrays: Any) -> dict[str, Any]:
    return {"score": arrays["x"] * 2.0}


def fails_with_a_rare_word(arrays: Any) -> dict[str, Any]:
    if not KEPT:
        raise ValueError("xyzzy")
    return own_scale(arrays)


# What counts as the same.


@pytest.mark.parametrize(
    ("expected", "found", "at"),
    [
        ([1.0, 2.0], [1.0, 2.0 * (1 + 0.9 * LAST_BITS)], None),
        ([1.0, 2.0], [1.0, 2.0 * (1 + 1.1 * LAST_BITS)], 1),
        ([1.0, 1.0, 0.0], [1.0, 1.0, 0.9 * LAST_BITS], None),  # of the usual size, which is 1
        ([1.0, 1.0, 0.0], [1.0, 1.0, 1.1 * LAST_BITS], 2),
        ([1e20, 1.0, 1.0], [1e20, 1.0, 1.0 + 1e-8], 2),  # one that is huge hides nothing
        ([np.nan, 1.0], [np.nan, 1.0], None),
        ([np.nan, 1.0], [0.0, 1.0], 0),
        ([np.inf, 1.0], [1.0, 1.0], 0),
        ([np.inf, 1.0], [-np.inf, 1.0], 0),
        ([0.0, 1.0], [-0.0, 1.0], None),
        ([1.0, 2.0], [1.0], 1),
    ],
)
def test_floats_are_the_same_to_their_last_bits(expected: list[float], found: list[float], at: int | None) -> None:
    assert first_difference(np.array(expected), np.array(found), LAST_BITS) == at


def test_without_tolerance_and_in_what_is_no_float_every_bit_counts() -> None:
    assert first_difference(np.array([1.0, 0.0]), np.array([1.0, -0.0]), 0.0) == 1
    assert first_difference(np.array([1, 10**15]), np.array([1, 10**15 + 1]), LAST_BITS) == 1
    assert first_difference(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]), LAST_BITS) == 1
    assert first_difference(np.array([True, False]), np.array([True, False]), LAST_BITS) is None


def test_cuts_stand_at_both_ends_and_apart() -> None:
    cuts = spread(1000, 0, 12)
    assert {1, 2, 3, 500, 998, 999} <= set(cuts)
    assert len(cuts) == 18
    assert np.diff(cuts).max() < 130
    assert spread(1000, 1, 12) != cuts
    assert spread(2, 0, 12) == [1]


def test_given_cuts_have_every_kind_or_one_in_turn() -> None:
    asked: list[int] = []

    def decide(arrays: Any) -> dict[str, Any]:
        asked.append(len(arrays["x"]))
        return {"score": arrays["x"]}

    assert list(accusations(decide, session(), cuts=[50, 60], kinds=[OTHER, ENDS])) == []
    assert asked == [N, N, 50, N, 60, N]  # the session first and last
    asked.clear()
    assert list(accusations(decide, session(), cuts=[50, 60, 70], kinds=[OTHER, ENDS, LONGER], in_turn=True)) == []
    assert asked == [N, N, 60, N + N // 3, N]


def test_the_length_of_a_session_may_be_known() -> None:
    def decide(arrays: Any) -> dict[str, Any]:
        return {"left": len(arrays["x"]) - np.arange(len(arrays["x"]))}

    assert next(accusations(decide, session())).change in (ENDS, LONGER)
    assert list(accusations(decide, session(), kinds=SAME_LENGTH)) == []


# Fills.


@pytest.mark.parametrize(("delay", "is_accused"), [(-1, True), (0, True), (1, False), (3, False)])
def test_a_fill_comes_after_what_decides_it(delay: int, is_accused: bool) -> None:
    def decide(arrays: Any) -> dict[str, Any]:
        at = np.arange(len(arrays["x"])) + delay
        known = np.where(at < len(at), arrays["price"][np.clip(at, 0, len(at) - 1)], np.nan)
        return {"fill": np.where(arrays["x"] > 1.0, known, np.nan)}

    found = list(accusations(decide, session(), fills=["fill"]))
    assert [one.change for one in found] == ([FILLED] if is_accused else [])
    if is_accused:
        assert "filled before it could be" in str(found[0])


# What a process keeps.


def test_what_a_process_keeps_is_seen_from_one_that_has_kept_nothing() -> None:
    KEPT.clear()
    try:
        assert {one.change for one in accusations(keeps, session())} == {FRESH, "another session, run before this one,"}
        assert list(accusations(own_scale, session())) == []
    finally:
        KEPT.clear()


def test_a_fresh_process_has_nothing_of_this_one_and_nothing_of_the_one_before() -> None:
    KEPT["scale"] = 5.0
    try:
        name = named(keeps)
        assert name is not None
        ones, tens = {"x": np.array([-1.0, 1.0])}, {"x": np.array([-10.0, 10.0])}
        first, second = run_fresh(name, [ones, tens])
        assert (first["score"].tolist(), second["score"].tolist()) == ([-1.0, 1.0], [-10.0, 10.0])
        (again,) = run_fresh(name, [tens])
        assert again["score"].tolist() == [-1.0, 1.0]
    finally:
        KEPT.clear()


def test_what_fails_only_afresh_is_told_with_its_line() -> None:
    name = named(fails_with_a_rare_word)
    assert name is not None
    with pytest.raises(FreshError, match=r"ValueError: xyzzy \(test_causality.py line \d+\)"):
        run_fresh(name, [session()])
    (found,) = run_fresh(named(own_scale) or b"", [{"x": np.ones(2)}])  # and the next one is answered
    assert found["score"].tolist() == [2.0, 2.0]


def test_a_process_that_is_gone_is_told_and_another_one_started() -> None:
    name = named(own_scale) or b""
    run_fresh(name, [{"x": np.ones(2)}])
    bare = fresh._bare_process()
    bare.kill()
    bare.wait()
    with pytest.raises(FreshError, match="is gone"):
        run_fresh(name, [{"x": np.ones(2)}])
    assert len(run_fresh(name, [{"x": np.ones(2)}])) == 1


def test_what_has_no_name_elsewhere_has_none() -> None:
    assert named(lambda arrays: arrays) is None


def test_a_class_of_a_file_is_found_afresh_by_its_sources(tmp_path: Any) -> None:
    path = write_signal(tmp_path, value="v_add[i, spot - 1] - v_add[i, spot + 1]")
    cls = load_bundle(read_bundle(path)).signals["mine"]
    name = named(cls)  # type: ignore[arg-type]
    assert name is not None
    assert b"v_add[i, spot - 1]" in name


def test_the_contract_names_the_kind_of_future() -> None:
    with pytest.raises(ContractError, match="a session that ends, from each bin on, changed the past: score of bin"):
        check_causality(lambda: Rolled(SoundParams(), CONTEXT), example_inputs(Rolled, 120, CONTEXT.radius, 3))
