"""The campaign file: every key it may hold, and the variants it stands for, checked before anything starts.

Source: interfaces.md, "Campaign YAML".
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.config import InstrumentConfig, load_instrument, require_instrument, require_numbers, validate
from engine.constants import NS_PER_MS
from engine.door import read_clock, read_day
from engine.errors import ConfigError
from engine.files import read_yaml
from engine.hours import CLOSES, OPENS, TRADING_DAY, UTC_DAY, SessionKind
from engine.lake import Lake
from engine.run.cut import cut
from engine.source.rolls import Stretch
from engine.source.sessions import Wanted, of_contract, wanted

MEND: Final = "Mend it there"
_CLOCK_SCHEMA: Final[dict[str, Any]] = {"pattern": r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"}

# Keys of the model system's axes and bundles: how its captures drew the score ahead. Ours hold no projection.
PROJECTION_KEYS: Final = ("projection_use_cubic", "projection_cubic_scale", "projection_damping_lambda")

Text = Annotated[str, Field(min_length=1)]
Overrides = dict[str, Any]


class BaseCapture(BaseModel):
    """Which stretch of which day is captured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    product_type: Text = Field(description="kind of product; the instrument's own")
    symbol: Text = Field(
        description="raw symbol of the contract, the instrument's own; or its root: the front month by the roll file"
    )
    dt: date = Field(description="day of the session, YYYY-MM-DD", json_schema_extra={"pattern": r"^\d{4}-\d{2}-\d{2}$"})
    session: SessionKind = Field(
        default=UTC_DAY, description="the UTC day dt, or the trading day from 18:00 in New York the evening before dt to 17:00"
    )
    capture_start_et: str = Field(description="New York time of the first bin's start, HH:MM:SS", json_schema_extra=_CLOCK_SCHEMA)
    capture_end_et: str = Field(description="New York time of the last bin's end, HH:MM:SS", json_schema_extra=_CLOCK_SCHEMA)

    @field_validator("dt", mode="before")
    @classmethod
    def _day(cls, value: Any) -> Any:
        if isinstance(value, str):
            return _read(read_day, value, "dt")  # pydantic takes seconds since 1970 and whole moments too
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        raise ValueError(f"dt was {value!r}; it must be a day as YYYY-MM-DD")

    @field_validator("capture_start_et", "capture_end_et", mode="before")
    @classmethod
    def _clock(cls, value: Any) -> Any:
        if not isinstance(value, str) or len(value) != len("HH:MM:SS") or not _is_clock(value):
            raise ValueError(f"capture time was {value!r}; it must be New York time as HH:MM:SS, like 09:25:00")
        return value

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.span_ms <= 0:
            raise ValueError(
                f"capture_end_et was {self.capture_end_et}; it must be after capture_start_et, which is {self.capture_start_et}"
                f"{'' if self.session == UTC_DAY else ', in a day that goes from 18:00:00 to 17:00:00'}"
            )
        if self.session == TRADING_DAY:
            start, end = self.clocks
            for name, text, is_outside in (
                ("capture_start_et", self.capture_start_et, CLOSES <= start < OPENS),
                ("capture_end_et", self.capture_end_et, CLOSES < end < OPENS),
            ):
                if is_outside:
                    raise ValueError(f"{name} was {text}; a trading day goes from 18:00:00 to 17:00:00")
        return self

    @property
    def clocks(self) -> tuple[time, time]:
        """Start and end on New York's clock."""
        return read_clock(self.capture_start_et), read_clock(self.capture_end_et)

    @property
    def span_ms(self) -> int:
        """Length of the capture, milliseconds of New York's clock."""
        start, end = (datetime.combine(self.dt, clock) for clock in self.clocks)
        if self.session == TRADING_DAY:  # what is later than the opening is of the evening before
            start, end = (one - timedelta(days=one.time() >= OPENS) for one in (start, end))
        return round((end - start).total_seconds() * 1000)


class Publish(BaseModel):
    """A section of the model system's campaigns; nothing here reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: list[Text] = Field(default_factory=list, description="whom the model system makes a workspace for")


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
    publish: Publish | None = Field(default=None, description="of the model system; taken, and not read")

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

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The axes that a dataset depends on."""
        return {name: values for name, values in self.sweep_axes.items() if name not in PROJECTION_KEYS}

    @property
    def groups(self) -> list[Overrides]:
        """The bundles, without what no dataset depends on; those that differed in nothing else are one."""
        found: list[Overrides] = []
        for bundle in self.bundles:
            group = {name: value for name, value in bundle.items() if name not in PROJECTION_KEYS}
            if group == bundle or group not in found:
                found.append(group)
        return found

    @property
    def notices(self) -> list[str]:
        """What stands in the file and changes nothing, a line each."""
        given = {name for names in (self.sweep_axes, *self.bundles) for name in names}
        notices = [f"{name} changes no dataset: ours hold no projection" for name in PROJECTION_KEYS if name in given]
        if self.publish is not None:
            notices.append("publish is the model system's and is not read: a dataset lies in the lake for everybody")
        return notices


@dataclass(frozen=True)
class Variant:
    """One dataset of a campaign: what it is called and all that makes it."""

    dataset_id: str
    overrides: Overrides
    config: InstrumentConfig
    dt: date
    start_time: str  # New York, HH:MM:SS
    n_bins: int
    session: SessionKind = UTC_DAY

    @property
    def one(self) -> Wanted:
        """Its contract's session."""
        return Wanted(self.config, self.dt, Stretch.whole(self.dt, self.session, self.config.symbol))

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


def _read(reader: Callable[[str, str], Any], text: str, name: str) -> Any:
    """What a reader of the doors makes of a text; its refusal as pydantic wants it."""
    try:
        return reader(text, name)
    except ConfigError as error:
        raise ValueError(str(error)) from error


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
        checked = validate(BaseCapture, capture, f"base_capture of {path}", MEND, path, ("base_capture",))
        values = {**values, "base_capture": checked}
    campaign: Campaign = validate(Campaign, values, str(path), MEND, path)
    require_numbers(InstrumentConfig, campaign.sweep_axes, str(path), path, ("sweep_axes",))
    for number, bundle in enumerate(campaign.bundles):
        require_numbers(InstrumentConfig, bundle, str(path), path, ("bundles", number))
    return campaign


def contract_of(lake: Lake, campaign: Campaign) -> str:
    """The contract of a campaign's capture: as it is named, or the front month of the root that is.

    Raises
    ------
    ConfigError
        The capture goes over a roll, or is another instrument's.
    DatasetError
        There is no roll file.
    """
    capture = campaign.base_capture
    config = load_instrument()
    require_instrument(config, capture.product_type, config.symbol if capture.symbol == config.symbol_root else capture.symbol)
    parts = cut(
        wanted(lake, config, capture.symbol, capture.dt, capture.session), capture.capture_start_et, capture.span_ms, NS_PER_MS
    )
    if len(parts) > 1:
        raise ConfigError(
            f"the capture of campaign {campaign.name} goes over the roll from {parts[0].one.config.symbol} to "
            f"{parts[1].one.config.symbol} at {parts[1].start_time} in New York; end it there, begin there, or name a contract"
        )
    return parts[0].one.config.symbol


def expand_variants(campaign: Campaign, contract: str = "") -> list[Variant]:
    """Every variant, bundles outermost, the last axis fastest.

    Parameters
    ----------
    contract
        Whose capture it is, as `contract_of` found it; default the one that the capture names.

    Raises
    ------
    ConfigError
        A field is unknown, a value not allowed, the contract not the locked one, or two variants are the same.
    """
    capture = campaign.base_capture
    locked = load_instrument()
    contract = contract or capture.symbol
    require_instrument(locked, capture.product_type, locked.symbol if capture.symbol == locked.symbol_root else contract)
    found: dict[str, Variant] = {}
    axes = campaign.axes
    for bundle in campaign.groups:
        for point in product(*axes.values()):
            overrides = {**dict(zip(axes, point, strict=True)), **bundle}
            config = load_instrument(overrides=overrides)
            require_instrument(config, capture.product_type, locked.symbol)
            config = of_contract(config, contract)
            n_bins = capture.span_ms // config.cell_width_ms
            if n_bins == 0:
                raise ConfigError(
                    f"the capture is {capture.span_ms} ms long, shorter than one bin of cell_width_ms {config.cell_width_ms}; "
                    "lengthen it or narrow the bins"
                )
            dataset_id = _dataset_id(campaign, config)
            variant = Variant(dataset_id, overrides, config, capture.dt, capture.capture_start_et, n_bins, capture.session)
            if dataset_id in found:
                raise ConfigError(
                    f"two variants of campaign {campaign.name} are the same ({variant.described}); "
                    "each combination may stand once in sweep_axes and bundles"
                )
            found[dataset_id] = variant
    return list(found.values())


def _dataset_id(campaign: Campaign, config: InstrumentConfig) -> str:
    capture = campaign.base_capture
    # As if the contract had been named; and by what was there when there was but one kind of session.
    told = capture.model_dump(mode="json") | {"symbol": config.symbol}
    if capture.session == UTC_DAY:
        del told["session"]
    recipe = json.dumps([told, config.config_version], sort_keys=True)
    start, end = (text.replace(":", "")[:4] for text in (capture.capture_start_et, capture.capture_end_et))
    variant = sha256(recipe.encode()).hexdigest()[:8]
    return f"{config.symbol}_{capture.dt:%Y%m%d}_{start}_{end}__{campaign.slug}__{variant}"
