"""The sweep file: every key it may hold, checked before anything starts.

Source: interfaces.md, "Sweep YAML".
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.config import InstrumentConfig, at_line, require_numbers
from engine.errors import ConfigError
from engine.files import read_yaml
from engine.lake import user_path
from tune.rules import Fill, Position, Trigger

Scalar = bool | int | float | str
Axis = tuple[Any, ...]
AxisInput = Scalar | Annotated[list[Any], Field(min_length=1)]  # as it may stand in a file
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Barriers = Annotated[tuple[Positive, ...], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]
Objective = Literal["oos_expectancy_low", "expectancy_low", "expectancy_ticks", "mean_pnl_ticks", "tp_rate", "sharpe"]
Count = Annotated[int, Field(ge=0)]


def _as_list(value: Any) -> Any:
    """One value may stand for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


# What a key of ``eval`` comes to where it is not given. None: of the dataset (fees), of the signal (trigger, embargo), of the
# other keys (from an entry to a close).
_FORMS: Final[dict[str, dict[str, Any]]] = {
    "sound": {
        "fill": "touch",
        "trigger": "edge",
        "position": "single",
        "rearm": True,
        "feed_delay_bins": 0,
        "order_delay_bins": 1,
        "min_bins_to_close": None,
        "fee_per_contract": None,
        "quality": "sound",
        "embargo_bins": None,
    },
    "reference": {
        "fill": "mid",
        "trigger": None,
        "position": "overlapping",
        "rearm": False,
        "feed_delay_bins": 0,
        "order_delay_bins": 0,
        "min_bins_to_close": None,
        "fee_per_contract": 0.0,
        "quality": "any",
        "embargo_bins": 0,
    },
}


class EvalConfig(_Part):
    """How scores become trades; lists are swept. What is not given follows ``form``: sound, or as the model system had it."""

    tp_ticks: Annotated[Barriers, Field(description="profit at which a trade ends, ticks; a list is swept")] = (8.0,)
    sl_ticks: Annotated[Barriers, Field(description="loss at which a trade ends, ticks; a list is swept")] = (4.0,)
    max_hold_bins: Annotated[
        int | None, Field(ge=1, description="longest trade, bins; default 1200, or what a shorter session holds")
    ] = None
    warmup_bins: Annotated[int, Field(ge=0, description="bins before the first trade")] = 300
    tick_size: Annotated[float | None, Field(gt=0, description="dollars; the dataset's own where not given")] = None
    min_signals: Annotated[int, Field(ge=1, description="trades a row needs to be ranked")] = 5
    form: Annotated[Literal["sound", "reference"], Field(description="what the keys below come to where they are not given")] = (
        "sound"
    )
    fill: Annotated[Fill | None, Field(description="enter at the touch, or at the mid as the reference does")] = None
    trigger: Annotated[Trigger | None, Field(description="fire on a crossing, or as long as the score is beyond")] = None
    position: Annotated[Position | None, Field(description="one trade at a time, or overlapping ones")] = None
    rearm: Annotated[bool | None, Field(description="take a crossing late that cooldown or position had blocked")] = None
    feed_delay_bins: Annotated[Count | None, Field(description="until a bin's end is known")] = None
    order_delay_bins: Annotated[Count | None, Field(description="from there until the order is filled")] = None
    min_bins_to_close: Annotated[
        int | None, Field(ge=1, description="from an entry to a close; default the delays and one bin more")
    ] = None
    fee_per_contract: Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="dollars, each side")] = None
    quality: Annotated[Literal["sound", "any"] | None, Field(description="bins in which anything may happen")] = None
    n_folds: Annotated[int, Field(ge=1, le=23, description="walk-forward test segments")] = 5
    embargo_bins: Annotated[Count | None, Field(description="between learning and testing; default the signal's memory")] = None

    _lists = field_validator("tp_ticks", "sl_ticks", mode="before", json_schema_input_type=Positive | Barriers)(_as_list)

    def value(self, key: str) -> Any:
        """A key as given, else as the form has it; None where dataset or signal decides."""
        given = getattr(self, key)
        return _FORMS[self.form][key] if given is None else given


class AxesConfig(_Part):
    """Values to combine: for every signal, and for single ones."""

    universal: dict[str, Axis] = Field(
        default_factory=dict, description="cooldown_bins or a parameter to values, for every signal"
    )
    per_signal: dict[str, dict[str, Axis]] = Field(
        default_factory=dict, description="signal to its parameters' values; they go before the universal ones"
    )

    @field_validator("universal", mode="before", json_schema_input_type=dict[str, AxisInput] | None)
    @classmethod
    def _universal_lists(cls, value: Any) -> Any:
        return _axes(value)

    @field_validator("per_signal", mode="before", json_schema_input_type=dict[str, dict[str, AxisInput] | None])
    @classmethod
    def _per_signal_lists(cls, value: Any) -> Any:
        return {name: _axes(axes) for name, axes in value.items()} if isinstance(value, dict) else value


def _axes(value: Any) -> Any:
    if not isinstance(value, dict):
        return {} if value is None else value
    axes = {name: _as_list(values) for name, values in value.items()}
    for name, values in axes.items():
        if not values:
            raise ValueError(f"axis {name} has no values; give at least one or leave it out")
    return axes


class SearchConfig(_Part):
    """Which points of the product are tried."""

    kind: Annotated[Literal["grid", "random"], Field(description="every point, or n_trials drawn")] = "grid"
    n_trials: Annotated[int | None, Field(ge=1, description="points drawn; random only")] = None
    seed: Annotated[int, Field(description="the same seed draws the same points")] = 0
    objective: Annotated[Objective, Field(description="what the leaderboard is ranked by")] = "oos_expectancy_low"

    @field_validator("kind", mode="before")
    @classmethod
    def _known_kind(cls, value: Any) -> Any:
        if value == "optuna":
            raise ValueError("kind optuna is not supported yet; allowed are grid and random")
        return value


class ParallelConfig(_Part):
    """How much may run at once, and for how long one point may take."""

    max_workers: Annotated[int, Field(ge=1, description="points evaluated at once, a core each")] = 4
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False, description="per point")] = 3600.0


class TrackingConfig(_Part):
    """Where runs are logged beside the lake's own results."""

    backend: Annotated[Literal["mlflow", "none"], Field(description="none: only into the lake")] = "mlflow"
    tracking_uri: Annotated[Text | None, Field(description="MLflow's; default SQLite in the lake")] = None
    experiment_name: Annotated[Text | None, Field(description="default vp/NAME")] = None
    run_name_prefix: Annotated[Text | None, Field(description="before each run's name")] = None
    tags: dict[str, Scalar] = Field(default_factory=dict, description="on every run")


class OnlineSimConfig(_Part):
    """Settings of the online simulator; a sweep checks them and makes no other use of them."""

    signals: Annotated[tuple[Text, ...], Field(description="to be simulated")] = ()
    measure_latency: Annotated[bool, Field(description="time each call")] = True
    measure_memory: Annotated[bool, Field(description="note the peak")] = True
    warmup_bins: Annotated[int, Field(ge=0, description="bins before the first that is measured")] = 300


class SweepConfig(_Part):
    """One sweep file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="letters, digits, . _ -")]
    description: Annotated[str, Field(description="for the reader")] = ""
    datasets: Annotated[tuple[Text, ...], Field(min_length=1, description="ids of datasets in the lake")]
    signals: Annotated[tuple[Text, ...], Field(min_length=1, description="names of signals, or all")]
    signal_files: Annotated[tuple[Text, ...], Field(description="files with signals of one's own, from this file's folder")] = ()
    grid_variant: dict[str, Any] = Field(
        default_factory=dict, description="instrument fields; each combination of listed values becomes a dataset first"
    )
    eval: EvalConfig = EvalConfig()
    sweep: AxesConfig = AxesConfig()
    search: SearchConfig = SearchConfig()
    parallel: ParallelConfig = ParallelConfig()
    tracking: TrackingConfig = TrackingConfig()
    online_sim: OnlineSimConfig | None = None


def read_sweep_config(path: Path) -> SweepConfig:
    """Read and check a sweep file; its ``signal_files`` are taken from its own folder.

    Raises
    ------
    ConfigError
        Missing file, bad YAML (with its line), unknown key (with the allowed ones), or a value that is not allowed.
    """
    config = parse_sweep_config(read_yaml(path), path.name, path)
    files = tuple(str((path.parent / user_path(name)).resolve()) for name in config.signal_files)
    return config.model_copy(update={"signal_files": files})


def parse_sweep_config(values: Any, where: str, path: Path | None = None) -> SweepConfig:
    """Check the content of a sweep file; ``where`` names it in messages, and where its ``path`` is given they name the line.

    Raises
    ------
    ConfigError
        The first fault, in one line.
    """
    require_numbers(SweepConfig, values, where, path)
    if isinstance(values, dict):
        for name, axis in (values.get("grid_variant") or {}).items():
            require_numbers(InstrumentConfig, {name: axis}, where, path, ("grid_variant",))
    try:
        return SweepConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_first_fault(error, where + at_line(path, error.errors()[0]["loc"]))) from error


def _first_fault(error: ValidationError, where: str) -> str:
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        parent, _, key = place.rpartition(".")
        section = f"section {parent} of {where}" if parent else where
        return f"unknown key {key!r} in {section}; allowed there: {', '.join(_keys_at(fault['loc'][:-1]))}."
    if fault["type"] == "missing":
        return f"{where} lacks {place}; it must be given."
    if fault["type"] == "value_error":
        return f"{place} in {where}: {fault['ctx']['error']}."
    return f"{place} was {fault['input']!r} in {where}: {fault['msg'][0].lower()}{fault['msg'][1:]}."


def _keys_at(path: tuple[int | str, ...]) -> list[str]:
    model: Any = SweepConfig
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        model = next((t for t in (annotation, *get_args(annotation)) if isinstance(t, type)), annotation)
    return list(model.model_fields)
