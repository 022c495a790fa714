"""`perm_derivative`: how fast the rows flip between bull and bear repricing states.

Source: engine.md section 7 (the incremental form, used everywhere) and signals.md section 3.8 (parameters); section 14 item 3.
"""

import math
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.jit import kernel
from engine.rolling import MAD_TO_SIGMA, median_mad, sorted_insert, sorted_replace
from engine.schema import MODEL_DTYPE, Floats, Ints, Outputs, Record
from engine.signals.base import SignalContext
from engine.signals.owner import Signal, SignalParams

SCALE_FLOOR: Final = 1e-12
TIE: Final = 1e-12  # intensities this close are equal, and the first code wins

Weight = Annotated[float, Field(ge=0, le=1e100)]  # the instrument's own bound


class PermDerivativeParams(SignalParams):
    """Parameters of the signal; windows in bins, weights without unit."""

    center_exclusion_radius: Annotated[int, Field(ge=0)] = Field(0, description="ticks around spot left out; 0 leaves none out")
    spatial_decay_power: Weight = Field(0.0, description="rows weigh |k| to minus this power")
    zscore_window_bins: Annotated[int, Field(ge=2, le=100_000)] = Field(300, description="bins")
    zscore_min_periods: Annotated[int, Field(ge=2)] = Field(75, description="bins, at most zscore_window_bins")
    tanh_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(3.0, description="z units")
    d1_weight: Weight = 1.0
    d2_weight: Weight = 0.0
    d3_weight: Weight = 0.0
    bull_pressure_weight: Weight = 1.0
    bull_vacuum_weight: Weight = 1.0
    bear_pressure_weight: Weight = 1.0
    bear_vacuum_weight: Weight = 1.0
    mixed_weight: Weight = Field(0.0, description="how far mixed rows damp the blend")
    enable_weighted_blend: bool = False
    flat_window: Literal["window_std", "zero", "whole_series"] = Field(
        "window_std",
        description="z of a window whose MAD is nil: window_std divides by the window's standard deviation; zero is 0; "
        "whole_series is 0, and where a whole session would be 0 the session's own standard deviation is taken",
    )

    @model_validator(mode="after")
    def _agree(self) -> "PermDerivativeParams":
        if self.zscore_min_periods > self.zscore_window_bins:
            raise ValueError(
                f"zscore_min_periods was {self.zscore_min_periods}; it must be at most zscore_window_bins, which is "
                f"{self.zscore_window_bins}"
            )
        if self.d1_weight + self.d2_weight + self.d3_weight <= 0:
            raise ValueError("d1_weight, d2_weight and d3_weight were all 0; at least one must be > 0")
        return self


def perm_params_from_config(config: InstrumentConfig) -> PermDerivativeParams:
    """The parameters in the instrument's ``perm_*`` fields."""
    names = {name: f"perm_{name}" for name in PermDerivativeParams.model_fields}
    return PermDerivativeParams(**{name: getattr(config, own) for name, own in names.items() if own in type(config).model_fields})


class _PermNumbers(NamedTuple):
    dt: float  # seconds
    window: int
    min_periods: int
    tanh_scale: float
    w1: float
    w2: float
    w3: float
    bull_pressure: float
    bull_vacuum: float
    bear_pressure: float
    bear_vacuum: float
    mixed: float
    blend: bool
    use_std: bool


class _PermState(NamedTuple):
    """``n`` (1,) bins seen; ``previous`` (3,) base, d1, d2; ``rings`` and ``ordered`` (3, window)."""

    n: Ints
    previous: Floats
    rings: Floats
    ordered: Floats


@kernel
def _deviation(ordered: Floats, n: int, median: float) -> float:
    """Population standard deviation of the ascending ``ordered[:n]``, of which at least half is its median.

    In ascending order, so that the sum does not depend on where the ring began; the run of medians counts as one term.
    """
    first = n // 2
    while first > 0 and ordered[first - 1] == median:
        first -= 1
    after = n // 2
    while after < n and ordered[after] == median:
        after += 1
    count = after - first
    mean = count * median
    for i in range(first):
        mean += ordered[i]
    for i in range(after, n):
        mean += ordered[i]
    mean /= n
    variance = count * (median - mean) ** 2
    for i in range(first):
        variance += (ordered[i] - mean) ** 2
    for i in range(after, n):
        variance += (ordered[i] - mean) ** 2
    return math.sqrt(variance / n)


@kernel
def _z_score(state: _PermState, derivative: int, place: int, n: int, p: _PermNumbers) -> float:
    """Robust z of the newest derivative; its raw value over the population std where the MAD is nil."""
    if n < p.min_periods:
        return 0.0
    x = state.rings[derivative, place]
    median, mad = median_mad(state.ordered[derivative], n)
    scale = MAD_TO_SIGMA * mad
    if scale > SCALE_FLOOR:
        return (x - median) / scale
    if not p.use_std:
        return 0.0
    std = _deviation(state.ordered[derivative], n, median)
    if std <= SCALE_FLOOR:
        return 0.0
    return x / std


@kernel
def step(state: _PermState, codes: NDArray[np.int8], weights: Floats, p: _PermNumbers, out: Record) -> None:
    """One bin: ``codes`` (rows,) five-state codes, ``weights`` (rows,) summing to 1, ``out`` a MODEL_DTYPE record."""
    bear_vacuum = bear_pressure = mixed = bull_pressure = bull_vacuum = 0.0
    for r in range(codes.shape[0]):
        code = codes[r]
        # Five sums and no branch: which way a row's code falls is for the market to say, not for the processor to guess.
        weight = weights[r]
        mixed += weight if code == 0 else 0.0
        bull_pressure += weight if code == 1 else 0.0
        bull_vacuum += weight if code == 2 else 0.0
        bear_pressure += weight if code == -1 else 0.0
        bear_vacuum += weight if code < -1 or code > 2 else 0.0
    bull = p.bull_pressure * bull_pressure + p.bull_vacuum * bull_vacuum
    bear = p.bear_pressure * bear_pressure + p.bear_vacuum * bear_vacuum
    base = bull - bear
    if p.blend:
        base *= min(1.0, max(0.0, 1.0 - p.mixed * mixed))

    seen = state.n[0]
    d1 = d2 = d3 = 0.0
    if seen > 0:
        # + 0.0 turns a negative zero into zero; see rolling.py.
        d1 = (base - state.previous[0]) / p.dt + 0.0
        d2 = (d1 - state.previous[1]) / p.dt + 0.0
        d3 = (d2 - state.previous[2]) / p.dt + 0.0
    state.previous[0] = base
    state.previous[1] = d1
    state.previous[2] = d2
    place = seen % p.window
    for derivative in range(3):
        d = d1 if derivative == 0 else d2 if derivative == 1 else d3
        if seen < p.window:
            sorted_insert(state.ordered[derivative], seen, d)
        else:
            sorted_replace(state.ordered[derivative], p.window, state.rings[derivative, place], d)
        state.rings[derivative, place] = d
    state.n[0] = seen + 1

    n = min(seen + 1, p.window)
    z1 = _z_score(state, 0, place, n, p)
    z2 = _z_score(state, 1, place, n, p)
    z3 = _z_score(state, 2, place, n, p)
    score = p.w1 * math.tanh(z1 / p.tanh_scale) + p.w2 * math.tanh(z2 / p.tanh_scale) + p.w3 * math.tanh(z3 / p.tanh_scale)
    score = min(1.0, max(-1.0, score / (p.w1 + p.w2 + p.w3)))

    dominant = -2
    most = bear_vacuum
    if bear_pressure > most + TIE:
        dominant = -1
        most = bear_pressure
    if mixed > most + TIE:
        dominant = 0
        most = mixed
    if bull_pressure > most + TIE:
        dominant = 1
        most = bull_pressure
    if bull_vacuum > most + TIE:
        dominant = 2
    out["score"] = score
    out["ready"] = n >= p.min_periods
    out["sample_count"] = seen + 1
    out["base"] = base
    out["d1"] = d1
    out["d2"] = d2
    out["d3"] = d3
    out["z1"] = z1
    out["z2"] = z2
    out["z3"] = z3
    out["bull_intensity"] = bull
    out["bear_intensity"] = bear
    out["mixed_intensity"] = mixed
    out["dominant_state5_code"] = dominant


@kernel
def run(state: _PermState, codes: NDArray[np.int8], weights: Floats, p: _PermNumbers, out: Outputs) -> None:
    """Many bins: the same step in a loop. ``codes`` (n, rows), ``out`` (n,)."""
    for i in range(codes.shape[0]):
        step(state, codes[i], weights, p, out[i])


class PermDerivative(Signal):
    """Speed at which the book's rows change between bull and bear states.

    Raises
    ------
    ConfigError
        When the parameters leave no row with weight.
    """

    name: ClassVar[str] = "perm_derivative"
    required_columns: ClassVar[tuple[str, ...]] = ("perm_state5_code",)
    default_thresholds: ClassVar[tuple[float, ...]] = (0.03, 0.05, 0.08, 0.10, 0.15, 0.20)
    output_dtype: ClassVar[np.dtype[np.void]] = MODEL_DTYPE
    Params: ClassVar[type[BaseModel]] = PermDerivativeParams
    params: PermDerivativeParams

    def __init__(self, params: PermDerivativeParams, context: SignalContext) -> None:
        distance = np.abs(np.arange(-context.radius, context.radius + 1)).astype(np.float64)
        weights = np.maximum(distance, 1.0) ** -params.spatial_decay_power
        if params.center_exclusion_radius > 0:
            weights[distance <= params.center_exclusion_radius] = 0.0
        if weights.sum() <= 0:
            raise ConfigError(
                f"center_exclusion_radius was {params.center_exclusion_radius}; it must be below the grid's radius "
                f"{context.radius}, or no row is left"
            )
        self._weights = weights / weights.sum()
        self._numbers = _PermNumbers(
            dt=context.cell_width_ms / 1000.0,
            window=params.zscore_window_bins,
            min_periods=params.zscore_min_periods,
            tanh_scale=params.tanh_scale,
            w1=params.d1_weight,
            w2=params.d2_weight,
            w3=params.d3_weight,
            bull_pressure=params.bull_pressure_weight,
            bull_vacuum=params.bull_vacuum_weight,
            bear_pressure=params.bear_pressure_weight,
            bear_vacuum=params.bear_vacuum_weight,
            mixed=params.mixed_weight,
            blend=params.enable_weighted_blend,
            use_std=params.flat_window == "window_std",
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _PermState:
        window = self.params.zscore_window_bins
        return _PermState(
            n=np.zeros(1, np.int64), previous=np.zeros(3), rings=np.zeros((3, window)), ordered=np.zeros((3, window))
        )

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, x["perm_state5_code"], self._weights, self._numbers, out)
        if self.params.flat_window == "whole_series":
            self._score_by_whole_series(out)

    def _score_by_whole_series(self, out: Outputs) -> None:
        """Where all z of a derivative are nil, take its values over their standard deviation in the whole run."""
        weights = (self.params.d1_weight, self.params.d2_weight, self.params.d3_weight)
        total = np.zeros(len(out))
        for i, weight in enumerate(weights, start=1):
            d, z = out[f"d{i}"], out[f"z{i}"]
            if not np.any(z) and (std := float(np.std(d))) > SCALE_FLOOR:
                out[f"z{i}"] = d / std
            total += weight * np.tanh(out[f"z{i}"] / self.params.tanh_scale)
        out["score"] = np.clip(total / sum(weights), -1.0, 1.0)

    @property
    def memory_bins(self) -> int:
        """The window, and three bins that the third derivative looks back."""
        return self.params.zscore_window_bins + 3

    @property
    def lookahead(self) -> tuple[str, ...]:
        """The whole series' standard deviation."""
        return ("flat_window: whole_series",) if self.params.flat_window == "whole_series" else ()

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Bins by dominant state, and the 5 x 5 counts of one dominant state after another, in the order -2..2."""
        at = outputs["dominant_state5_code"].astype(np.int64) + 2
        counts = np.bincount(at, minlength=5)
        return {
            "perm_state5_distribution": {str(code - 2): int(n) for code, n in enumerate(counts)},
            "perm_state5_transition_matrix": np.bincount(at[:-1] * 5 + at[1:], minlength=25).reshape(5, 5).tolist(),
            "perm_state5_labels": [str(code) for code in range(-2, 3)],
            "derivative_weight_sum": self.params.d1_weight + self.params.d2_weight + self.params.d3_weight,
        }
