"""The instrument's configuration: one schema, one file, one version hash.

Source: engine.md section 9. Contract names without a unit suffix (``tau_velocity``) say their unit in the field's description.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.constants import NS_PER_MS, PRICE_SCALE
from engine.errors import ConfigError
from engine.files import NUMBER, line_of, load_yaml, read_yaml
from engine.lake import user_path

INSTRUMENT_ENV = "VP_INSTRUMENT_CONFIG_PATH"
DEFAULT_INSTRUMENT = Path(__file__).resolve().parent / "instrument.yaml"
INSTRUMENTS = DEFAULT_INSTRUMENT.parent / "instruments"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Width = Annotated[int, Field(gt=0)]
# From the clock's resolution to what never decays; weights and coefficients such that no sum of them and no product with a
# rate leaves the floats.
Tau = Annotated[float, Field(ge=1e-9, le=1e15)]
Weight = Annotated[float, Field(ge=0, le=1e100)]
Text = Annotated[str, Field(min_length=1)]


class Params(NamedTuple):
    """The numbers a kernel needs; made once by `InstrumentConfig.to_params`."""

    tick_int: int  # 1e-9 dollars
    bin_ns: int
    dt: float  # bin width, seconds
    radius: int  # ticks
    n_slots: int
    by_side: bool  # state5 table
    exact: bool  # rate kernel
    tau_velocity: float  # seconds
    tau_acceleration: float
    tau_jerk: float
    tau_rest_decay: float
    c1_v_add: float
    c2_v_rest_pos: float
    c3_a_add: float
    c4_v_pull: float
    c5_v_fill: float
    c6_v_rest_neg: float
    c7_a_pull: float
    zscore_window: int  # bins
    zscore_min_periods: int
    tanh_scale: float
    threshold_neutral: float
    w1: float  # derivative weights, normalised
    w2: float
    w3: float


class InstrumentConfig(BaseModel):
    """Every field of one instrument, validated and frozen.

    Raises
    ------
    pydantic.ValidationError
        On construction; `load_instrument` turns it into a one-line `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    product_type: Text = Field(description="kind of product, future_mbo")
    symbol: Text = Field(description="raw symbol of the one contract")
    symbol_root: Text = Field(description="product root, names the folder of raw files")
    price_scale: Annotated[float, Field(ge=PRICE_SCALE, le=PRICE_SCALE)] = Field(description="dollars per price unit, 1e-9")
    tick_size: Positive = Field(description="dollars")
    bucket_size_dollars: Positive = Field(description="dollars per grid row")
    rel_tick_size: Positive = Field(description="dollars per step of k")
    grid_radius_ticks: Annotated[int, Field(gt=0, le=2000)] = Field(description="ticks each side of spot")
    cell_width_ms: Annotated[int, Field(gt=0, le=3_600_000)] = Field(description="bin width, milliseconds")
    n_absolute_ticks: Annotated[int, Field(gt=0, le=1 << 20)] = Field(description="tick slots held around the anchor")
    contract_multiplier: Positive = Field(description="dollars per point")
    qty_unit: Text = Field(description="what a size counts")
    price_decimals: Annotated[int, Field(ge=0, le=9)] = Field(description="decimals on screens")
    spectrum_windows: Annotated[tuple[Width, ...], Field(min_length=1)] = Field(description="bins, one per rollup")
    spectrum_rollup_weights: Annotated[tuple[Weight, ...], Field(min_length=1)] = Field(description="one per window")
    spectrum_derivative_weights: tuple[Weight, Weight, Weight] = Field(description="weights of d1, d2, d3")
    spectrum_tanh_scale: Positive = Field(description="z units")
    spectrum_threshold_neutral: Annotated[float, Field(gt=0, lt=1)] = Field(description="score")
    zscore_window_bins: Annotated[int, Field(gt=0, le=100_000)] = Field(description="bins")
    zscore_min_periods: Annotated[int, Field(ge=2)] = Field(description="bins, at most zscore_window_bins")
    projection_horizons_bins: Annotated[tuple[Width, ...], Field(min_length=1)] = Field(description="bins, unique")
    rate_kernel: Literal["finite", "exact"] = Field(description="how impulses become rates; finite is the golden numbers'")
    tau_velocity: Tau = Field(description="seconds")
    tau_acceleration: Tau = Field(description="seconds")
    tau_jerk: Tau = Field(description="seconds")
    tau_rest_decay: Tau = Field(description="seconds")
    c1_v_add: Weight = Field(description="pressure per contract/s added")
    c2_v_rest_pos: Weight = Field(description="pressure per contract/s by which resting depth grows")
    c3_a_add: Weight = Field(description="pressure per contract/s² of adds that speed up")
    c4_v_pull: Weight = Field(description="vacuum per contract/s pulled")
    c5_v_fill: Weight = Field(description="vacuum per contract/s filled")
    c6_v_rest_neg: Weight = Field(description="vacuum per contract/s by which resting depth shrinks")
    c7_a_pull: Weight = Field(description="vacuum per contract/s² of pulls that speed up")
    perm_runtime_enabled: bool = Field(description="score while no champion is promoted")
    perm_center_exclusion_radius: Annotated[int, Field(ge=0)] = Field(description="ticks")
    perm_spatial_decay_power: Weight = Field(description="weight of a row is |k| to minus this; 0 weighs all alike")
    perm_zscore_window_bins: Annotated[int, Field(ge=2, le=100_000)] = Field(description="bins")
    perm_zscore_min_periods: Annotated[int, Field(ge=2)] = Field(description="bins")
    perm_tanh_scale: Positive = Field(description="z units")
    perm_d1_weight: Weight = Field(description="of the score's first difference")
    perm_d2_weight: Weight = Field(description="of the second")
    perm_d3_weight: Weight = Field(description="of the third; one of the three must be > 0")
    perm_bull_pressure_weight: Weight = Field(description="of rows in state +1")
    perm_bull_vacuum_weight: Weight = Field(description="of rows in state +2")
    perm_bear_pressure_weight: Weight = Field(description="of rows in state -1")
    perm_bear_vacuum_weight: Weight = Field(description="of rows in state -2")
    perm_mixed_weight: Weight = Field(description="how far rows in state 0 damp, with perm_enable_weighted_blend")
    perm_enable_weighted_blend: bool = Field(description="damp where rows are mixed")
    state5_table: Literal["reference", "by_side"] = Field(description="how quote moves become five states; reference is the golden numbers'")

    @model_validator(mode="after")
    def _agree(self) -> "InstrumentConfig":
        pairs = (
            ("zscore_min_periods", self.zscore_min_periods, "zscore_window_bins", self.zscore_window_bins),
            (
                "perm_zscore_min_periods",
                self.perm_zscore_min_periods,
                "perm_zscore_window_bins",
                self.perm_zscore_window_bins,
            ),
        )
        for name, value, limit_name, limit in pairs:
            if value > limit:
                raise ValueError(f"{name} was {value}; it must be at most {limit_name}, which is {limit}")
        if len(self.spectrum_rollup_weights) != len(self.spectrum_windows):
            raise ValueError(
                f"spectrum_rollup_weights has {len(self.spectrum_rollup_weights)} values and spectrum_windows "
                f"{len(self.spectrum_windows)}; give one weight per window"
            )
        for name in ("spectrum_rollup_weights", "spectrum_derivative_weights"):
            if sum(getattr(self, name)) <= 0:
                raise ValueError(f"{name} was {list(getattr(self, name))}; at least one weight must be > 0")
        if len(set(self.projection_horizons_bins)) != len(self.projection_horizons_bins):
            raise ValueError(f"projection_horizons_bins was {list(self.projection_horizons_bins)}; each horizon may stand once")
        if self.perm_d1_weight + self.perm_d2_weight + self.perm_d3_weight <= 0:
            raise ValueError("perm_d1_weight, perm_d2_weight and perm_d3_weight were all 0; at least one must be > 0")
        if self.perm_center_exclusion_radius >= self.grid_radius_ticks:
            raise ValueError(
                f"perm_center_exclusion_radius was {self.perm_center_exclusion_radius}; it must be below "
                f"grid_radius_ticks, which is {self.grid_radius_ticks}"
            )
        if self.n_absolute_ticks < 10 * self.grid_radius_ticks + 2:
            raise ValueError(
                f"n_absolute_ticks was {self.n_absolute_ticks}; it must be at least 10 * grid_radius_ticks + 2 = "
                f"{10 * self.grid_radius_ticks + 2}, so that the grid has room to re-centre"
            )
        if round(self.tick_size / PRICE_SCALE) < 1:
            raise ValueError(f"tick_size was {self.tick_size} dollars; it must be at least {PRICE_SCALE}")
        return self

    @property
    def tick_int(self) -> int:
        """One tick in 1e-9 dollars."""
        return round(self.tick_size / PRICE_SCALE)

    @property
    def n_rows(self) -> int:
        """Rows of one bin, k = -radius..+radius."""
        return 2 * self.grid_radius_ticks + 1

    @property
    def k_values(self) -> NDArray[np.int32]:
        """Ticks from spot, ascending, shape (n_rows,)."""
        return np.arange(-self.grid_radius_ticks, self.grid_radius_ticks + 1, dtype=np.int32)

    @cached_property
    def config_version(self) -> str:
        """First 12 hex digits of a SHA-256 over the resolved values: same hash, same numbers."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def resolved(self) -> dict[str, Any]:
        """Every field in JSON form, with ``projection_horizons_ms`` and ``config_version``."""
        values: dict[str, Any] = self.model_dump(mode="json")
        values["projection_horizons_ms"] = [h * self.cell_width_ms for h in self.projection_horizons_bins]
        values["config_version"] = self.config_version
        return values

    def to_params(self) -> Params:
        """The numbers for the kernels."""
        total = sum(self.spectrum_derivative_weights)
        w1, w2, w3 = (w / total for w in self.spectrum_derivative_weights)
        return Params(
            tick_int=self.tick_int,
            bin_ns=self.cell_width_ms * NS_PER_MS,
            dt=self.cell_width_ms / 1000.0,
            radius=self.grid_radius_ticks,
            n_slots=self.n_absolute_ticks,
            by_side=self.state5_table == "by_side",
            exact=self.rate_kernel == "exact",
            tau_velocity=self.tau_velocity,
            tau_acceleration=self.tau_acceleration,
            tau_jerk=self.tau_jerk,
            tau_rest_decay=self.tau_rest_decay,
            c1_v_add=self.c1_v_add,
            c2_v_rest_pos=self.c2_v_rest_pos,
            c3_a_add=self.c3_a_add,
            c4_v_pull=self.c4_v_pull,
            c5_v_fill=self.c5_v_fill,
            c6_v_rest_neg=self.c6_v_rest_neg,
            c7_a_pull=self.c7_a_pull,
            zscore_window=self.zscore_window_bins,
            zscore_min_periods=self.zscore_min_periods,
            tanh_scale=self.spectrum_tanh_scale,
            threshold_neutral=self.spectrum_threshold_neutral,
            w1=w1,
            w2=w2,
            w3=w3,
        )


def _one_line(error: ValidationError, allowed: Sequence[str], where: str, mend: str) -> str:
    """The first fault of a validation error in our own words."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r} in {where}; allowed are: {', '.join(allowed)}"
    if fault["type"] == "missing":
        return f"missing key {key!r} in {where}; every field must be given"
    if fault["type"] == "value_error":
        return f"{str(fault['ctx']['error'])} ({where})"
    what = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{key} was {fault['input']!r} in {where}: {what}. {mend.format(key=key)}"


def validate(
    model: type[BaseModel],
    values: Mapping[str, Any],
    where: str,
    mend: str = "Set it there or with --set {key}=VALUE",
    path: Path | None = None,
    within: Sequence[int | str] = (),
) -> Any:
    """Build a pydantic model, turning its first fault into one `ConfigError` line that names ``where`` and says how to mend.

    Parameters
    ----------
    path, within
        The YAML file that the values stand in, and the keys around them there: the line then names the line too.
    """
    require_numbers(model, values, where, path, within)
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        where += at_line(path, (*within, *error.errors()[0]["loc"]))
        raise ConfigError(_one_line(error, list(model.model_fields), where, mend)) from error


def at_line(path: Path | None, place: Sequence[int | str]) -> str:
    """Where in a YAML file a value stands, for the end of its name in a message."""
    line = None if path is None else line_of(path, place)
    return "" if line is None else f", line {line}"


def require_numbers(
    model: type[BaseModel], values: Any, where: str, path: Path | None = None, within: Sequence[int | str] = ()
) -> None:
    """Refuse what pydantic would take for a number and an eye would not: truth values, and texts like 1_0, inf or 1e3 in other
    digits.

    Raises
    ------
    ConfigError
        Naming the key, the value and the line.
    """
    for name, value in values.items() if isinstance(values, Mapping) else ():
        field = model.model_fields.get(str(name))
        if field is None:
            continue
        place = (*within, str(name))
        kinds = set(_kinds(field.annotation))
        for part in kinds:
            if isinstance(part, type) and issubclass(part, BaseModel):
                require_numbers(part, value, where, path, place)
        if not kinds & {int, float} or kinds & {bool, str, Any}:
            continue
        many = [((*place, i), one) for i, one in enumerate(value)] if isinstance(value, list | tuple) else [(place, value)]
        for spot, one in many:
            if isinstance(one, bool) or (isinstance(one, str) and not NUMBER.fullmatch(one.strip())):
                given = str(one).lower() if isinstance(one, bool) else repr(one)
                key = ".".join(str(part) for part in spot)
                raise ConfigError(f"{key} was {given} in {where}{at_line(path, spot)}: it must be a number, written in digits")


def _kinds(annotation: Any) -> list[Any]:
    """The types that an annotation is made of."""
    parts = get_args(annotation)[: 1 if get_origin(annotation) is Annotated else None]
    return [kind for part in parts for kind in _kinds(part)] if parts else [annotation]


def parse_overrides(items: Sequence[str]) -> dict[str, Any]:
    """``key=value`` texts into a mapping; values are read as YAML scalars or lists.

    Raises
    ------
    ConfigError
        When an item has no ``=``, an empty key, a value that is not YAML or refused by `load_yaml`, or a key stands twice.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, sign, text = item.partition("=")
        key = key.strip()
        if not sign or not key:
            raise ConfigError(f"--set {item!r} is not of the form key=value, for example --set tau_velocity=2.0")
        if key in values:
            raise ConfigError(f"--set {key} was given twice; give it once")
        values[key] = load_yaml(text, f"--set {item!r}")
    return values


def load_instrument(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> InstrumentConfig:
    """Read and validate the instrument of this environment.

    Parameters
    ----------
    path
        A YAML file; default ``$VP_INSTRUMENT_CONFIG_PATH`` (a path, or the name of one in ``engine/instruments``), else
        ``engine/instrument.yaml``.
    overrides
        Field name to value, applied over the file.

    Raises
    ------
    ConfigError
        One line: the key, the value and what is allowed.
    """
    if path is None:
        named = os.environ.get(INSTRUMENT_ENV)
        path = _instrument_file(named) if named else DEFAULT_INSTRUMENT
    values = read_yaml(path)
    if not overrides:
        config: InstrumentConfig = validate(InstrumentConfig, values, str(path), path=path)
        return config
    where = f"{path} with overrides {dict(overrides)}"
    overridden: InstrumentConfig = validate(InstrumentConfig, {**values, **overrides}, where)
    return overridden


def _instrument_file(named: str) -> Path:
    """The file that `INSTRUMENT_ENV` names: a path, or the name of one that is shipped, like ``es``."""
    shipped = INSTRUMENTS / f"{named}.yaml"
    own = user_path(named)
    return shipped if shipped.is_file() and not own.is_file() else own


def require_instrument(config: InstrumentConfig, product_type: str, symbol: str) -> None:
    """Refuse a request for another instrument than the one this environment runs.

    Raises
    ------
    ConfigError
        Naming what was asked for and what is locked.
    """
    if (product_type, symbol) != (config.product_type, config.symbol):
        raise ConfigError(
            f"{product_type}:{symbol} was asked for, but this environment is locked to "
            f"{config.product_type}:{config.symbol}; ask for that one, or name another instrument file in {INSTRUMENT_ENV}"
        )
