"""`perm_derivative`: how fast the rows flip between bull and bear repricing states.

Source: engine.md section 7 (the incremental form, used everywhere) and signals.md section 3.8 (parameters).
"""

import math
from typing import Annotated, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.jit import kernel
from engine.models.base import Columns, ModelContext
from engine.rolling import MAD_TO_SIGMA, median_mad, sorted_insert, sorted_replace
from engine.schema import MODEL_DTYPE, Floats, Ints, MboRecords, Record
from engine.state import pack, unpack

SCALE_FLOOR: Final = 1e-12
TIE: Final = 1e-12  # intensities this close are equal, and the first code wins

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PermDerivativeParams(BaseModel):
    """Parameters of the signal; windows in bins, weights without unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    return PermDerivativeParams(**{name: getattr(config, f"perm_{name}") for name in PermDerivativeParams.model_fields})


class _Numbers(NamedTuple):
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


class _State(NamedTuple):
    """``n`` (1,) bins seen; ``previous`` (3,) base, d1, d2; ``rings`` and ``ordered`` (3, window)."""

    n: Ints
    previous: Floats
    rings: Floats
    ordered: Floats


@kernel
def _z_score(state: _State, derivative: int, place: int, n: int, p: _Numbers) -> float:
    """Robust z of the newest derivative; its raw value over the population std where the MAD is nil."""
    if n < p.min_periods:
        return 0.0
    x = state.rings[derivative, place]
    median, mad = median_mad(state.ordered[derivative], n)
    scale = MAD_TO_SIGMA * mad
    if scale > SCALE_FLOOR:
        return (x - median) / scale
    # In ascending order, so that the sum does not depend on where the ring began.
    mean = 0.0
    for i in range(n):
        mean += state.ordered[derivative, i]
    mean /= n
    variance = 0.0
    for i in range(n):
        variance += (state.ordered[derivative, i] - mean) ** 2
    std = math.sqrt(variance / n)
    if std <= SCALE_FLOOR:
        return 0.0
    return x / std


@kernel
def step(state: _State, codes: NDArray[np.int8], weights: Floats, p: _Numbers, out: Record) -> None:
    """One bin: ``codes`` (rows,) five-state codes, ``weights`` (rows,) summing to 1, ``out`` a MODEL_DTYPE record."""
    bear_vacuum = bear_pressure = mixed = bull_pressure = bull_vacuum = 0.0
    for r in range(codes.shape[0]):
        code = codes[r]
        if code == 0:
            mixed += weights[r]
        elif code == 1:
            bull_pressure += weights[r]
        elif code == 2:
            bull_vacuum += weights[r]
        elif code == -1:
            bear_pressure += weights[r]
        else:
            bear_vacuum += weights[r]
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
def run(state: _State, codes: NDArray[np.int8], weights: Floats, p: _Numbers, out: MboRecords) -> None:
    """Many bins: the same step in a loop. ``codes`` (n, rows), ``out`` (n,)."""
    for i in range(codes.shape[0]):
        step(state, codes[i], weights, p, out[i])


class PermDerivative:
    """Speed at which the book's rows change between bull and bear states.

    Raises
    ------
    ConfigError
        When the parameters leave no row with weight.
    """

    name: ClassVar[str] = "perm_derivative"
    required_columns: ClassVar[tuple[str, ...]] = ("perm_state5_code",)
    default_thresholds: ClassVar[tuple[float, ...]] = (0.03, 0.05, 0.08, 0.10, 0.15, 0.20)
    Params: ClassVar[type[BaseModel]] = PermDerivativeParams

    def __init__(self, params: PermDerivativeParams, context: ModelContext) -> None:
        self.params = params
        self.context = context
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
        self._numbers = _Numbers(
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
        )
        window = params.zscore_window_bins
        self._state = _State(
            n=np.zeros(1, np.int64),
            previous=np.zeros(3),
            rings=np.zeros((3, window)),
            ordered=np.zeros((3, window)),
        )

    @property
    def memory_bins(self) -> int:
        """The window, and three bins that the third derivative looks back."""
        return self.params.zscore_window_bins + 3

    def update(self, rows: Columns) -> MboRecords:
        """One bin; ``rows["perm_state5_code"]`` of shape (2 * radius + 1,) int8."""
        scored: MboRecords = self.run({"perm_state5_code": rows["perm_state5_code"][np.newaxis]})[0:1].reshape(())
        return scored

    def run(self, columns: Columns) -> MboRecords:
        """Many bins; ``columns["perm_state5_code"]`` of shape (n, 2 * radius + 1) int8. Continues the state."""
        # One array kind for the compiler: blocks come sliced, datasets read-only.
        codes = np.ascontiguousarray(columns["perm_state5_code"]).view()
        codes.setflags(write=False)
        out = np.zeros(len(codes), MODEL_DTYPE)
        run(self._state, codes, self._weights, self._numbers, out)
        return out

    def snapshot(self) -> bytes:
        """The state as bytes."""
        return pack(self.name, self._key(), self._state._asdict())

    def restore(self, data: bytes) -> None:
        """Take a snapshot back."""
        self._state = _State(**unpack(self.name, self._key(), data))

    def _key(self) -> str:
        return f"{self.params.model_dump_json()} {self.context.cell_width_ms} {self.context.radius}"

    def warmup(self) -> None:
        """Compile the kernel on a twin."""
        twin = PermDerivative(self.params, self.context)
        twin.run({"perm_state5_code": np.zeros((2, 2 * self.context.radius + 1), np.int8)})
