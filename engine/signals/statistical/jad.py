"""`jad`: the third derivative of order flow turns before the second; where they disagree, jerk is trusted more.

Source: signals.md section 3.6; section 14 item 22.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.errors import ConfigError
from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext, require_rows
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.robust_z import ZWindows, make_z_windows, take_in_and_score

MIN_PERIODS: Final = 30

Rows = Annotated[tuple[int, ...], Field(min_length=1)]


class JadParams(SignalParams):
    """Rows in ticks from spot, the window in bins."""

    bid_k: Rows = Field(tuple(range(-24, 0)), description="ticks from spot, all below")
    ask_k: Rows = Field(tuple(range(1, 25)), description="ticks from spot, all above")
    zscore_window: Annotated[int, Field(ge=MIN_PERIODS, le=100_000)] = Field(300, description="bins")
    tanh_scale: Annotated[float, Field(gt=0)] = Field(3.0, description="z units")
    confirm_weights: tuple[float, float] = Field((0.4, 0.6), description="of jerk and acceleration where they agree")
    disagree_weights: tuple[float, float] = Field((0.8, 0.2), description="of jerk and acceleration where they do not")
    mad_guard: Literal["relative", "absolute"] = Field(
        "relative", description="which spread of a z window counts as none: 1e-9 of its largest value, or 1e-12"
    )


class _JadState(NamedTuple):
    bins_seen: Ints
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints


class _JadInputs(NamedTuple):
    j_add: Floats  # (n, rows)
    j_pull: Floats
    a_add: Floats
    a_pull: Floats


class _JadRows(NamedTuple):
    """Columns of each side by index, outwards, and their weights, which sum to 1."""

    bid: Ints
    ask: Ints
    bid_weights: Floats
    ask_weights: Floats


class _JadNumbers(NamedTuple):
    confirm_jerk: float
    confirm_accel: float
    disagree_jerk: float
    disagree_accel: float
    tanh_scale: float
    is_relative: bool


@kernel
def _flow_gap(add: Floats, pull: Floats, rows: _JadRows) -> float:
    """Bid building and ask pulling against the opposite."""
    bid_add = 0.0
    bid_pull = 0.0
    for i in range(rows.bid.shape[0]):
        bid_add += rows.bid_weights[i] * add[rows.bid[i]]
        bid_pull += rows.bid_weights[i] * pull[rows.bid[i]]
    ask_add = 0.0
    ask_pull = 0.0
    for i in range(rows.ask.shape[0]):
        ask_add += rows.ask_weights[i] * add[rows.ask[i]]
        ask_pull += rows.ask_weights[i] * pull[rows.ask[i]]
    return 0.5 * ((bid_add - ask_add) + (ask_pull - bid_pull))


@kernel
def run(state: _JadState, x: _JadInputs, rows: _JadRows, p: _JadNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of Jad.output_dtype."""
    windows = ZWindows(state.z_ring, state.z_ordered, state.z_seen)
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        jerk = _flow_gap(x.j_add[i], x.j_pull[i], rows)
        accel = _flow_gap(x.a_add[i], x.a_pull[i], rows)
        if not math.isfinite(jerk + accel):
            continue
        is_agreed = (jerk > 0.0) == (accel > 0.0) and (jerk < 0.0) == (accel < 0.0)
        if is_agreed:
            raw = p.confirm_jerk * jerk + p.confirm_accel * accel
        else:
            raw = p.disagree_jerk * jerk + p.disagree_accel * accel
        z = take_in_and_score(windows, 0, raw, MIN_PERIODS, p.is_relative)
        out[i]["score"] = math.tanh(z / p.tanh_scale)
        out[i]["ready"] = state.z_seen[0] >= MIN_PERIODS
        out[i]["jerk"] = jerk
        out[i]["accel"] = accel
        out[i]["raw"] = raw
        out[i]["is_agreed"] = is_agreed


class Jad(Signal):
    """Jerk-acceleration divergence.

    Raises
    ------
    ConfigError
        Where a side's rows lie on the other side, at spot, or off the grid.
    """

    name: ClassVar[str] = "jad"
    required_columns: ClassVar[tuple[str, ...]] = ("j_add", "j_pull", "a_add", "a_pull")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.05, 0.10, 0.15, 0.20, 0.30)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(
        [*COMMON_FIELDS, ("jerk", "f8"), ("accel", "f8"), ("raw", "f8"), ("is_agreed", "?")]
    )
    Params: ClassVar[type[BaseModel]] = JadParams
    params: JadParams

    def __init__(self, params: JadParams, context: SignalContext) -> None:
        for name, sign_wanted in (("bid_k", -1), ("ask_k", 1)):
            ks = getattr(params, name)
            require_rows(context, max(abs(k) for k in ks), f"{name} of jad")
            if any(k * sign_wanted <= 0 for k in ks):
                raise ConfigError(f"{name} was {list(ks)}; every k must be {'below' if sign_wanted < 0 else 'above'} 0")
        bid, ask = (np.array(sorted(ks, key=abs), np.int64) for ks in (params.bid_k, params.ask_k))
        weights = [1.0 / np.abs(ks) for ks in (bid, ask)]
        self._rows = _JadRows(bid + context.radius, ask + context.radius, *(w / w.sum() for w in weights))
        self._numbers = _JadNumbers(
            *params.confirm_weights, *params.disagree_weights, params.tanh_scale, params.mad_guard == "relative"
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _JadState:
        return _JadState(np.zeros(1, np.int64), *make_z_windows(1, self.params.zscore_window))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        inputs = _JadInputs._make(x[name] for name in self.required_columns)
        run(self._state, inputs, self._rows, self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """The window."""
        return self.params.zscore_window

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Spread of jerk, acceleration and blend, and how often the first two agree."""
        if not len(outputs):
            return {"agreement_rate": 0.0}
        return {
            "jerk_signal_std": float(np.std(outputs["jerk"])),
            "accel_signal_std": float(np.std(outputs["accel"])),
            "raw_signal_std": float(np.std(outputs["raw"])),
            "agreement_rate": float(np.mean(outputs["is_agreed"])),
        }
