"""Signals that read by side under the contract's mirror, and a mirrored run beside the run of the mirrored market."""

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from engine.config import InstrumentConfig
from engine.run.moves import state5
from engine.schema import GRID_COLUMNS, MboRecords, Outputs
from engine.signals.base import SignalContext
from engine.signals.contract import ContractError, check_causality, check_mirror
from engine.signals.example import example_bins, example_inputs
from engine.signals.mirror import FIELDS, mirrored
from engine.signals.owner import Signal
from engine.simulate.session import simulate
from engine.source.records import open_source
from tests.sessions import Bins, join, make_runner, small_config
from tests.streams import TICK

RADIUS = 10
CONTEXT = SignalContext(cell_width_ms=100, radius=RADIUS)

# Signals that read by side.


class _NoParams(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _NoState(NamedTuple):
    n: NDArray[np.int64]


class _BySide(Signal):
    """Keeps no more than a count; what it reads and says is the subclass's."""

    default_thresholds: ClassVar[tuple[float, ...]] = (0.5,)
    Params: ClassVar[type[BaseModel]] = _NoParams
    memory_bins: ClassVar[int] = 1  # type: ignore[assignment]

    def _fresh_state(self) -> _NoState:
        return _NoState(np.zeros(1, np.int64))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        out["score"] = self.say(x)
        out["ready"] = True

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        raise NotImplementedError


def below(x: NDArray[Any]) -> NDArray[Any]:
    return x[:, :RADIUS][:, ::-1].sum(axis=1)


def above(x: NDArray[Any]) -> NDArray[Any]:
    return x[:, RADIUS + 1 :].sum(axis=1)


class DepthImbalance(_BySide):
    name: ClassVar[str] = "depth_imbalance"
    required_columns: ClassVar[tuple[str, ...]] = ("bid_depth", "ask_depth")

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        return np.tanh(0.001 * (below(x["bid_depth"]) - above(x["ask_depth"])))


class BidDepth(_BySide):
    """Bullish by nature: there is always something bid."""

    name: ClassVar[str] = "bid_depth"
    required_columns: ClassVar[tuple[str, ...]] = ("bid_depth",)

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        return np.tanh(0.001 * x["bid_depth"].sum(axis=1))


class BothBelow(_BySide):
    """Takes the bids above spot for asks: odd where rows are turned and sides are not, wrong in a market."""

    name: ClassVar[str] = "both_below"
    required_columns: ClassVar[tuple[str, ...]] = ("bid_depth",)

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        return np.tanh(0.001 * (below(x["bid_depth"]) - above(x["bid_depth"])))


class QuoteMoves(_BySide):
    """Reads grid columns and the bin fields of the same names, chases, microstates and prices."""

    name: ClassVar[str] = "quote_moves"
    required_columns: ClassVar[tuple[str, ...]] = ("ask_reprice_sign", "spectrum_score")
    required_fields: ClassVar[tuple[str, ...]] = (
        *("best_bid_move_ticks", "best_ask_move_ticks", "perm_microstate_id", "buy_volume", "sell_volume"),
        *("chase_up_flag", "chase_down_flag", "mid_price"),
        *("best_bid_price_int", "best_ask_price_int", "best_bid_size", "best_ask_size", "spot_ref_price_int"),
    )

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        micro = x["perm_microstate_id"]
        size = x["best_bid_size"] - x["best_ask_size"]
        chase = x["chase_up_flag"] - x["chase_down_flag"]
        return 0.1 * (
            chase
            + x["best_bid_move_ticks"]
            + x["best_ask_move_ticks"]
            + (micro // 3 + micro % 3 - 2)
            + x["buy_volume"]
            - x["sell_volume"]
        ) + np.tanh(0.1 * size)


class QuoteMovesOfTheAsk(QuoteMoves):
    name: ClassVar[str] = "quote_moves_of_the_ask"

    def say(self, x: dict[str, NDArray[Any]]) -> NDArray[Any]:
        return 0.1 * x["best_ask_move_ticks"]


@pytest.mark.parametrize("cls", [DepthImbalance, QuoteMoves])
def test_odd_signal_by_side_passes(cls: type[_BySide]) -> None:
    check_mirror(lambda: cls(_NoParams(), CONTEXT), example_inputs(cls, 400, RADIUS, 3))


@pytest.mark.parametrize("cls", [BidDepth, BothBelow, QuoteMovesOfTheAsk])
def test_signal_that_takes_one_side_is_caught(cls: type[_BySide]) -> None:
    with pytest.raises(ContractError, match="does not negate the score"):
        check_mirror(lambda: cls(_NoParams(), CONTEXT), example_inputs(cls, 400, RADIUS, 3))


def test_signal_checked_without_the_other_side_is_told_what_lacks() -> None:
    bins = {"bid_depth": example_bins(50, RADIUS)["bid_depth"]}
    with pytest.raises(ContractError, match="bid_depth: bid_depth has no mirror image without the column ask_depth"):
        check_mirror(lambda: BidDepth(_NoParams(), CONTEXT), bins)


def test_fields_that_bear_a_columns_name_stand_in_another_future_too() -> None:
    check_causality(lambda: QuoteMoves(_NoParams(), CONTEXT), example_inputs(QuoteMoves, 60, RADIUS, 3))


# The mirrored market itself.

CONFIG = small_config(grid_radius_ticks=RADIUS, n_absolute_ticks=2048, state5_table="by_side")
# Of what a price's row holds; the others are of the whole bin, or go by k.
BY_PRICE = [name for name in GRID_COLUMNS if name not in FIELDS and name not in ("k", "perm_state5_code")]


def mirrored_records(records: MboRecords, price_sum: int) -> MboRecords:
    """The market by order from the other side."""
    image = records.copy()
    is_bid, is_ask = records["side"] == ord("B"), records["side"] == ord("A")
    image["side"][is_bid], image["side"][is_ask] = ord("A"), ord("B")
    has_price = records["action"] != ord("R")
    image["price"][has_price] = price_sum - records["price"][has_price]
    return image


def run(records: MboRecords, config: InstrumentConfig) -> Bins:
    runner = make_runner(config)
    bins = join([*runner.feed(records, 64), *runner.finish(None, 64)])
    assert not runner.anomalies
    return bins


@pytest.mark.parametrize("rate_kernel", ["finite", "exact"])
@pytest.mark.parametrize("odd", [0, 1], ids=["pivot on a tick", "pivot on a half tick"])
def test_mirrored_run_is_the_run_of_the_mirrored_market(tmp_path: Path, rate_kernel: str, odd: int) -> None:
    file = simulate(tmp_path / "made-up-20260206.dbn", seed=11, seconds=120.0, rate=800.0)  # most bins are a tick wide
    config = CONFIG.model_copy(update={"rate_kernel": rate_kernel})
    records = np.concatenate(list(open_source([file.path], config).records()))
    price_sum = 2 * 86_400 * TICK + odd * TICK
    straight, turned = run(records, config), run(mirrored_records(records, price_sum), config)
    n = len(straight.fields)
    assert n == len(turned.fields) >= 1190

    fields = mirrored({name: straight.fields[name] for name in FIELDS}, price_sum)
    grid = mirrored(straight.grid)
    is_half = (straight.fields["best_bid_price_int"] + straight.fields["best_ask_price_int"]) // TICK % 2 == 1
    assert is_half.sum() >= 50
    assert (~is_half).sum() >= 50

    fields["spot_ref_price_int"] += TICK * is_half  # half ticks go up on both sides of the mirror
    for name, expected in fields.items():
        found = turned.fields[name]
        if name.endswith("dominant_state5_code"):  # codes that weigh the same are settled for the bears
            ties = np.array([half_of_both(row) for row in straight.grid["perm_state5_code"]])
            assert (~ties).sum() >= 50
            found, expected = found[~ties], expected[~ties]
        same(name, found, expected)
    for name, expected in grid.items():
        found = turned.grid[name]
        if name in BY_PRICE:
            assert expected.any(), name
            same(name, found[~is_half], expected[~is_half])
            same(name, found[is_half, :-1], expected[is_half, 1:])
        else:
            same(name, found, expected)


def half_of_both(codes: NDArray[np.int8]) -> bool:
    """Whether the commonest five-state code of a row is not alone."""
    counts = np.sort(np.bincount(codes.astype(np.int64) + 2, minlength=5))
    return bool(counts[-1] == counts[-2])


def same(name: str, found: NDArray[Any], expected: NDArray[Any]) -> None:
    if expected.dtype.kind == "f" and name != "mid_price":
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-12), name
    else:
        assert np.array_equal(found, expected), name


def test_reference_table_of_five_states_is_not_odd() -> None:
    """Why the run above is one by side: the ask rose and the bid stood; in the mirror the bid fell and the ask stood."""
    above, below = state5(1, 1, 0, False), state5(-1, 0, -1, False)
    assert (above, below) == (-1, -2)
    assert state5(1, 1, 0, True) == 2 == -state5(-1, 0, -1, True)
