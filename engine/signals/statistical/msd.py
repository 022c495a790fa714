"""`msd`: vacuum above spot against vacuum below. The side with less to push through is the easier way.

Source: signals.md section 3.7; section 14 items 2 and 22.
"""

import math
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext
from engine.signals.parts.bands import inverse_distance, side_gap, weighted_gap
from engine.signals.parts.robust_z import ZWindows
from engine.signals.parts.scaled import SCALED_THRESHOLDS, ScaledParams, ScaledSignal, in_typical_sizes


class MsdParams(ScaledParams):
    """How the rows weigh."""

    variant: Literal["weighted", "sum"] = Field("weighted", description="weighted: rows weigh 1/|k|; sum: all the same")


class _MsdState(NamedTuple):
    bins_seen: Ints
    size_ring: Floats
    size_ordered: Floats
    size_seen: Ints


class _MsdInputs(NamedTuple):
    pressure: Floats  # (n, rows)
    vacuum: Floats


@kernel
def run(state: _MsdState, x: _MsdInputs, weights: Floats, is_sum: bool, is_scaled: bool, min_periods: int, out: Outputs) -> None:
    """Many bins; ``weights`` (radius,) by distance, ``out`` (n,) of Msd.output_dtype."""
    windows = ZWindows(state.size_ring, state.size_ordered, state.size_seen)
    radius = weights.shape[0]
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        weighted = weighted_gap(x.vacuum[i], weights)
        total = -side_gap(x.vacuum[i], 1, radius) * radius
        out[i]["sample_count"] = state.bins_seen[0]
        out[i]["weighted"] = weighted
        out[i]["sum"] = total
        out[i]["pressure_balance"] = -side_gap(x.pressure[i], 1, radius) * radius
        value = total if is_sum else weighted
        if not math.isfinite(value):
            continue
        if is_scaled:
            score, is_ready = in_typical_sizes(windows, value, min_periods)
            out[i]["score"] = score
            out[i]["ready"] = is_ready
        else:
            out[i]["score"] = value
            out[i]["ready"] = True


class Msd(ScaledSignal):
    """Spatial vacuum asymmetry."""

    name: ClassVar[str] = "msd"
    required_columns: ClassVar[tuple[str, ...]] = ("vacuum_variant", "pressure_variant")
    default_thresholds: ClassVar[tuple[float, ...]] = SCALED_THRESHOLDS
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(
        [*COMMON_FIELDS, ("weighted", "f8"), ("sum", "f8"), ("pressure_balance", "f8")]
    )
    Params: ClassVar[type[BaseModel]] = MsdParams
    test_params: ClassVar[Any] = ({"scale_window_bins": 80, "scale_min_periods": 20},)
    params: MsdParams

    def __init__(self, params: MsdParams, context: SignalContext) -> None:
        self._weights = inverse_distance(context.radius)
        super().__init__(params, context)

    def _fresh_state(self) -> _MsdState:
        return _MsdState(np.zeros(1, np.int64), *self.scale_windows())

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        p = self.params
        inputs = _MsdInputs(x["pressure_variant"], x["vacuum_variant"])
        run(self._state, inputs, self._weights, p.variant == "sum", self.is_scaled, p.scale_min_periods, out)

    @property
    def memory_bins(self) -> int:
        """The window of the scale."""
        return self.params.scale_window_bins if self.is_scaled else 1

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Thresholds, both variants' spread and the balance of pressure."""
        found: dict[str, Any] = {
            "variant": self.params.variant,
            "adaptive_thresholds": list(self.thresholds(outputs["score"])),
        }
        if len(outputs):
            found["signal_sum_std"] = float(np.std(outputs["sum"]))
            found["signal_weighted_std"] = float(np.std(outputs["weighted"]))
            found["pressure_balance_mean"] = float(np.mean(outputs["pressure_balance"]))
        return found
