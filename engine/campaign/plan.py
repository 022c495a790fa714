"""The campaign file: every key it may hold, and the variants it stands for, checked before anything starts.

Source: interfaces.md, "Campaign YAML".
"""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.config import InstrumentConfig, load_instrument, read_yaml, require_instrument, validate
from engine.door import read_clock
from engine.errors import ConfigError

MEND: Final = "Mend it there"
_CLOCK_SCHEMA: Final[dict[str, Any]] = {"pattern": r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"}
_FIRST_SEXAGESIMAL_S: Final = 36_000  # YAML reads 10:00:00 as this number, but 09:59:59 as a text

Text = Annotated[str, Field(min_length=1)]
Overrides = dict[str, Any]


class BaseCapture(BaseModel):
    """Which stretch of which day is captured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_type: Text = Field(description="kind of product; the instrument's own")
    symbol: Text = Field(description="raw symbol of the contract; the instrument's own")
    dt: date = Field(description="UTC day, YYYY-MM-DD", json_schema_extra={"pattern": r"^\d{4}-\d{2}-\d{2}$"})
    capture_start_et: str = Field(description="New York time of the first bin's start, HH:MM:SS", json_schema_extra=_CLOCK_SCHEMA)
    capture_end_et: str = Field(description="New York time of the last bin's end, HH:MM:SS", json_schema_extra=_CLOCK_SCHEMA)

    @field_validator("dt", mode="before")
    @classmethod
    def _day(cls, value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        raise ValueError(f"dt was {value!r}; it must be a UTC day as YYYY-MM-DD")

    @field_validator("capture_start_et", "capture_end_et", mode="before")
    @classmethod
    def _clock(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and _FIRST_SEXAGESIMAL_S <= value < 86_400:
            value = f"{value // 3600:02}:{value // 60 % 60:02}:{value % 60:02}"
        if not isinstance(value, str) or len(value) != len("HH:MM:SS") or not _is_clock(value):
            raise ValueError(f'capture time was {value!r}; it must be New York time as HH:MM:SS, like "09:25:00" in quotes')
        return value

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.capture_end_et <= self.capture_start_et:
            raise ValueError(
                f"capture_end_et was {self.capture_end_et}; it must be after capture_start_et, which is {self.capture_start_et}"
            )
        return self

    @property
    def clocks(self) -> tuple[time, time]:
        """Start and end on New York's clock."""
        return read_clock(self.capture_start_et), read_clock(self.capture_end_et)

    @property
    def span_ms(self) -> int:
        """Length of the capture, milliseconds of New York's clock."""
        start, end = (datetime.combine(self.dt, clock) for clock in self.clocks)
        return round((end - start).total_seconds() * 1000)


class Campaign(BaseModel):
    """A family of gold datasets: every bundle combined with every point of the axes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text = Field(description="goes into ids; with a letter or a digit", json_schema_extra={"pattern": "[A-Za-z0-9]"})
    base_capture: BaseCapture
    sweep_axes: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict, description="instrument field to values; all are combined"
    )
    bundles: Annotated[list[Overrides], Field(min_length=1)] = Field(
        default=[{}], description="instrument fields set together; each combined with every point of the axes"
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if not re.search(r"[A-Za-z0-9]", self.name):
            raise ValueError(f"name was {self.name!r}; it must hold a letter or a digit")
        for number, bundle in enumerate(self.bundles, start=1):
            if both := [name for name in bundle if name in self.sweep_axes]:
                raise ValueError(f"{both[0]} stands in sweep_axes and in bundle {number}; it may stand in one of them")
        return self

    @property
    def slug(self) -> str:
        """The name as it stands in ids and paths."""
        return re.sub(r"[^A-Za-z0-9]+", "_", self.name).strip("_").lower()


@dataclass(frozen=True)
class Variant:
    """One dataset of a campaign: what it is called and all that makes it."""

    dataset_id: str
    overrides: Overrides
    config: InstrumentConfig
    dt: date
    start_time: str  # New York, HH:MM:SS
    n_bins: int

    @property
    def described(self) -> str:
        """The overrides in a line."""
        return " ".join(f"{name}={value}" for name, value in self.overrides.items()) or "defaults"


def _is_clock(text: str) -> bool:
    try:
        read_clock(text)
    except ConfigError:
        return False
    return True


def load_campaign(path: Path) -> Campaign:
    """Read and check a campaign file.

    Raises
    ------
    ConfigError
        One line: missing file, bad YAML, unknown key with the allowed ones, or a value that is not allowed.
    """
    values = read_yaml(path)
    capture = values.get("base_capture")
    if isinstance(capture, dict):
        values = {**values, "base_capture": validate(BaseCapture, capture, f"base_capture of {path}", MEND)}
    campaign: Campaign = validate(Campaign, values, str(path), MEND)
    return campaign


def expand_variants(campaign: Campaign) -> list[Variant]:
    """Every variant, bundles outermost, the last axis fastest.

    Raises
    ------
    ConfigError
        A field is unknown, a value not allowed, the contract not the locked one, or two variants are the same.
    """
    capture = campaign.base_capture
    require_instrument(load_instrument(), capture.product_type, capture.symbol)
    found: dict[str, Variant] = {}
    for bundle in campaign.bundles:
        for point in product(*campaign.sweep_axes.values()):
            overrides = {**dict(zip(campaign.sweep_axes, point, strict=True)), **bundle}
            config = load_instrument(overrides=overrides)
            require_instrument(config, capture.product_type, capture.symbol)
            n_bins = capture.span_ms // config.cell_width_ms
            if n_bins == 0:
                raise ConfigError(
                    f"the capture is {capture.span_ms} ms long, shorter than one bin of cell_width_ms {config.cell_width_ms}; "
                    "lengthen it or narrow the bins"
                )
            dataset_id = _dataset_id(campaign, config)
            variant = Variant(dataset_id, overrides, config, capture.dt, capture.capture_start_et, n_bins)
            if dataset_id in found:
                raise ConfigError(
                    f"two variants of campaign {campaign.name} are the same ({variant.described}); "
                    "each combination may stand once in sweep_axes and bundles"
                )
            found[dataset_id] = variant
    return list(found.values())


def _dataset_id(campaign: Campaign, config: InstrumentConfig) -> str:
    capture = campaign.base_capture
    recipe = json.dumps([capture.model_dump(mode="json"), config.config_version], sort_keys=True)
    start, end = (text.replace(":", "")[:4] for text in (capture.capture_start_et, capture.capture_end_et))
    variant = sha256(recipe.encode()).hexdigest()[:8]
    return f"{capture.symbol}_{capture.dt:%Y%m%d}_{start}_{end}__{campaign.slug}__{variant}"
