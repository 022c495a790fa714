"""Every registered signal against the whole contract, and the contract against models that break it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.signals import contract as checks
from engine.signals.base import SignalContext, SignalLike
from engine.signals.contract import Check, ContractError, yield_checks
from engine.signals.declaration import faults, parameters_to_test
from engine.signals.example import EXAMPLE_TICK_INT, example_bins
from engine.signals.registry import BUILT_IN, SIGNALS, get_signal, make_signal
from tests.conftest import REPO_ROOT

CONTEXT = SignalContext(cell_width_ms=100, radius=50, tick_int=EXAMPLE_TICK_INT)
N_BINS = 700
ROOM = REPO_ROOT / "engine" / "signals"

SLOW = {"tp_ticks": 8.0, "sl_ticks": 8.0, "refit_delay_bins": 0}  # outcomes that take dozens of bins, and a fit that acts at once


def source_of(module: str) -> str:
    return (REPO_ROOT / f"{module.replace('.', '/')}.py").read_text()


def quick(name: str, place: int = 0) -> dict[str, Any]:
    """Parameters of a signal that are quick enough for the contract, of those that stand on its class."""
    return parameters_to_test(get_signal(name))[place]


def maker(name: str, place: int = 0) -> Callable[[], SignalLike]:
    return lambda: make_signal(name, quick(name, place), CONTEXT)


def inputs(model: type[SignalLike], n: int = N_BINS, seed: int = 3) -> dict[str, NDArray[Any]]:
    bins = example_bins(n, CONTEXT.radius, seed)
    return {name: bins[name] for name in (*model.required_columns, *model.required_fields)}


def every_check() -> Iterator[Any]:
    for name, model in sorted(SIGNALS.items()):
        for place in range(len(parameters_to_test(model))):
            for check in yield_checks(model):
                yield pytest.param(name, place, check, id=f"{name}-{place}-{check.__name__.removeprefix('check_')}")


@pytest.mark.parametrize(("name", "place", "check"), list(every_check()))
def test_contract(name: str, place: int, check: Check) -> None:
    check(maker(name, place), inputs(get_signal(name)))


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_every_built_in_says_of_itself_what_it_must(name: str) -> None:
    assert faults(get_signal(name)) == []


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_defaults_read_no_later_bin(name: str) -> None:
    assert make_signal(name, {}, CONTEXT).lookahead == ()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("perm_derivative", {"flat_window": "whole_series"}),
        *((name, {"label_purge": False} | SLOW) for name in ("svm_sp", "knn_cl", "lsvm_der", "gbm_mf", "xgb_snap")),
    ],
)
def test_reference_forms_that_look_ahead_are_caught_and_named(name: str, params: dict[str, Any]) -> None:
    def make() -> SignalLike:
        return make_signal(name, quick(name) | params, CONTEXT)

    bins = inputs(get_signal(name))
    if name == "perm_derivative":
        bins["perm_state5_code"][:400] = 0  # a quiet morning: every z is nil until the session's own spread is taken
        bins["perm_state5_code"][400:, :] = np.where(
            np.arange(N_BINS - 400)[:, np.newaxis] % 9 == 0, bins["perm_state5_code"][400:], 0
        )
    first = next(iter(params))
    assert first in make().lookahead[0]
    with pytest.raises(ContractError, match="changed the past"):
        checks.check_causality(make, bins)
    with pytest.raises(ConfigError, match="stored session"):
        make().update({key: column[0] for key, column in bins.items()})
    sound = {key: value for key, value in params.items() if key != first}
    checks.check_causality(lambda: make_signal(name, quick(name) | sound, CONTEXT), bins)


def test_every_file_of_a_signal_is_registered() -> None:
    """What is registered is derived from the folders, and what is in them from the registry: neither holds more."""
    files = {
        f"engine.signals.{p.parent.name}.{p.stem}" for folder in ("baseline", "statistical", "learned") for p in (ROOM / folder).glob("*.py")
    }
    holding = {module for module in files if re.search(r"^    name: ClassVar\[str\] = ", source_of(module), re.MULTILINE)}
    assert holding == {target.partition(":")[0] for target in BUILT_IN.values()}
    assert {get_signal(name).name for name in BUILT_IN} == set(BUILT_IN) == set(SIGNALS)


# The contract is judged too: each check must catch what it is for.


class _Broken:
    """`ads`, with one of its promises broken."""

    def __init__(self, how: str) -> None:
        self._model: Any = maker("ads")()
        self.how = how
        self.kept: list[NDArray[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_model"), name)

    def __reduce__(self) -> Any:
        return _Broken, (self.how,)  # comes back without its state

    def run(self, columns: dict[str, NDArray[Any]]) -> NDArray[np.void]:
        if self.how == "keeps its inputs":
            self.kept.append(columns["v_add"])
        out: NDArray[np.void] = self._model.run(columns)
        if self.how == "standardises over the whole session" and len(out):
            out["score"] /= np.std(out["score"]) or 1.0
        if self.how == "shifts the score back by a bin" and len(out):
            out["score"] = np.roll(out["score"], -1)
        if self.how == "says no number":
            out["score"][len(out) // 2 :] = np.nan
        if self.how == "is bullish by nature":
            out["score"] += 0.01
        if self.how == "is hasty in short sessions" and len(out) < 5:
            out["ready"] = True
        if self.how == "lets holes through":
            out["score"][~np.isfinite(columns["v_add"]).all(axis=1)] = np.nan
        if self.how == "is ready in a hole":
            out["ready"] = True
        return out

    def update(self, rows: dict[str, NDArray[Any]]) -> NDArray[np.void]:
        one = self._model.update(rows)
        if self.how == "rounds in update":
            one["score"] = np.float32(one["score"])
        return one

    def snapshot(self) -> bytes:
        return bytes(self._model.snapshot()) + b"".join(column.tobytes() for column in self.kept)

    def restore(self, data: bytes) -> None:
        if self.how != "forgets to restore":
            self._model.restore(data)


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("standardises over the whole session", checks.check_causality),
        ("shifts the score back by a bin", checks.check_causality),
        ("shifts the score back by a bin", checks.check_update_equals_run),
        ("rounds in update", checks.check_update_equals_run),
        ("standardises over the whole session", checks.check_any_pieces),
        ("forgets to restore", checks.check_snapshot),
        ("forgets its state when pickled", checks.check_pickling),
        ("keeps its inputs", checks.check_bounded_memory),
        ("says no number", checks.check_numbers_are_finite),
        ("is hasty in short sessions", checks.check_short_sessions),
        ("lets holes through", checks.check_holes),
        ("is ready in a hole", checks.check_holes),
        ("is bullish by nature", checks.check_mirror),
    ],
)
def test_broken_model_is_caught(how: str, check: Check) -> None:
    with pytest.raises(ContractError):
        check(lambda: _Broken(how), inputs(get_signal("ads")))


@pytest.mark.parametrize("check", list(yield_checks(get_signal("ads"))))
def test_sound_model_behind_the_same_wrapper_is_not_accused(check: Check) -> None:
    if check is not checks.check_pickling:  # the wrapper itself does not pickle its state
        check(lambda: _Broken("not at all"), inputs(get_signal("ads")))
