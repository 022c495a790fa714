"""`erd`: unusual disorder among pressure, vacuum and neutral rows comes before a change of regime; the field's asymmetry points.

Source: signals.md section 3.4.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import COMMON_FIELDS, SignalContext
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.bands import side_gap
from engine.signals.parts.robust_z import ZWindows, make_z_windows, take_in_and_score

MIN_PERIODS: Final = 30
LOG_FLOOR: Final = 1e-12  # inside the logarithm, of the reference


class ErdParams(SignalParams):
    """The window in bins."""

    zscore_window: Annotated[int, Field(ge=MIN_PERIODS, le=100_000)] = Field(100, description="bins")
    spike_floor: float = Field(0.5, description="z units of the entropy that count as ordinary")
    variant: Literal["a", "b"] = Field("a", description="what points: a the score's asymmetry, b the entropy's")


class _ErdState(NamedTuple):
    bins_seen: Ints
    z_ring: Floats
    z_ordered: Floats
    z_seen: Ints


class _ErdInputs(NamedTuple):
    codes: NDArray[np.int8]  # (n, rows)
    score: Floats


@kernel
def _term(count: int, n: int) -> float:
    if count == 0:
        return 0.0
    p = count / n
    return -p * math.log2(p + LOG_FLOOR)


@kernel
def _entropy(pressure: int, vacuum: int, neutral: int, n: int) -> float:
    """Bits of disorder among ``n`` rows."""
    return _term(pressure, n) + _term(vacuum, n) + _term(neutral, n)


@kernel
def run(state: _ErdState, x: _ErdInputs, spike_floor: float, is_b: bool, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of Erd.output_dtype."""
    windows = ZWindows(state.z_ring, state.z_ordered, state.z_seen)
    n_rows = x.codes.shape[1]
    radius = n_rows // 2
    for i in range(out.shape[0]):
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        direction = side_gap(x.score[i], 1, radius)
        if not math.isfinite(direction):
            continue
        below_p = below_v = below_0 = above_p = above_v = above_0 = 0
        for d in range(1, radius + 1):
            low = x.codes[i, radius - d]
            high = x.codes[i, radius + d]
            below_p += low == 1
            below_v += low == -1
            below_0 += low == 0
            above_p += high == 1
            above_v += high == -1
            above_0 += high == 0
        spot = x.codes[i, radius]
        full = _entropy(
            below_p + above_p + (spot == 1), below_v + above_v + (spot == -1), below_0 + above_0 + (spot == 0), n_rows
        )
        asymmetry = _entropy(above_p, above_v, above_0, radius) - _entropy(below_p, below_v, below_0, radius)
        z = take_in_and_score(windows, 0, full, MIN_PERIODS, False)
        gate = max(0.0, z - spike_floor)
        is_ready = state.z_seen[0] >= MIN_PERIODS
        out[i]["score"] = (asymmetry if is_b else direction) * gate if is_ready else 0.0
        out[i]["ready"] = is_ready
        out[i]["signal_b"] = asymmetry * gate if is_ready else 0.0
        out[i]["signal_a"] = direction * gate if is_ready else 0.0
        out[i]["h_full"] = full
        out[i]["entropy_asym"] = asymmetry
        out[i]["z_h"] = z
        out[i]["score_direction"] = direction


class Erd(Signal):
    """Entropy regime detector."""

    name: ClassVar[str] = "erd"
    required_columns: ClassVar[tuple[str, ...]] = ("spectrum_state_code", "spectrum_score")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.75, 1.0, 1.5, 2.0)
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(
        [
            *COMMON_FIELDS,
            ("signal_a", "f8"),
            ("signal_b", "f8"),
            ("h_full", "f8"),  # bits
            ("entropy_asym", "f8"),  # bits, above less below
            ("z_h", "f8"),
            ("score_direction", "f8"),
        ]
    )
    Params: ClassVar[type[BaseModel]] = ErdParams
    params: ErdParams

    def __init__(self, params: ErdParams, context: SignalContext) -> None:
        super().__init__(params, context)

    def _fresh_state(self) -> _ErdState:
        return _ErdState(np.zeros(1, np.int64), *make_z_windows(1, self.params.zscore_window))

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        inputs = _ErdInputs(x["spectrum_state_code"], x["spectrum_score"])
        run(self._state, inputs, self.params.spike_floor, self.params.variant == "b", out)

    @property
    def memory_bins(self) -> int:
        """The window."""
        return self.params.zscore_window

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Figures of the entropy and of both variants."""
        found: dict[str, Any] = {"variant": self.params.variant, "max_entropy_bits": math.log2(3)}
        if len(outputs):
            for name, key in (("h_full", "h_full"), ("z_h", "z_h"), ("entropy_asym", "entropy_asym"), ("score_direction",) * 2):
                found |= {f"{key}_mean": float(np.mean(outputs[name])), f"{key}_std": float(np.std(outputs[name]))}
            found |= {f"{name}_max": float(np.max(outputs[name])) for name in ("h_full", "z_h")}
            found |= {f"nonzero_{v}": int(np.count_nonzero(outputs[f"signal_{v}"])) for v in ("a", "b")}
        return found
