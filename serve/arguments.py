"""What Ray's own ``serve run`` and ``serve deploy`` take: the arguments of ``python -m serve``, typed, by their names."""

import argparse
from datetime import date
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from serve.cli import DOOR
from serve.query import PERM_FIELDS

Scalar = bool | int | float | str


class Arguments(BaseModel):
    """Arguments of the app builder; what is not given is as with ``python -m serve``, whose ``--help`` says more.

    On ``serve run``'s line they are ``name=value``, in the YAML of ``serve deploy`` they stand under ``args``. Beside these, each
    ``perm_*`` field of the instrument is taken by its name. The token is none of them: ``SPYMASTER_TOKEN`` of the environment.
    """

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    product_type: str | None = Field(None, description="must be the instrument's own")
    symbol: str | None = Field(None, description="must be the instrument's own")
    lake: str | None = Field(None, description="data folder; else SPYMASTER_LAKE of the cluster's processes")
    dt: str | None = Field(None, description="YYYY-MM-DD; else the lake's last day")
    start_time: str | None = Field(None, description="HH:MM in New York; else the day's first event")
    source: str | None = Field(None, description="replay, or live where python -m engine record runs beside it")
    sealed_ok: bool = Field(False, description="also play days with a sealed session")
    assume_symbol: bool = Field(False, description="take raw files that do not say whose records they hold")
    host: str | None = Field(None, description="where each replica listens; loopback unless told otherwise")
    port: int | None = Field(None, ge=1, le=65535, description="on which; all replicas of a node share it")
    allow_origin: list[str] = Field(default_factory=list, description="origins of other web pages that may connect")
    allow_host: list[str] = Field(default_factory=list, description="names by which the service may be asked for, beside its own")
    replicas: int | None = Field(None, ge=1, description="processes that serve streams; the least of them with max_replicas")
    max_replicas: int | None = Field(None, ge=1, description="more of them while there are more streams")
    streams_per_replica: int | None = Field(None, ge=1, description="streams that one of them is for")
    allow_signals: bool = Field(False, description="load whatever is promoted")
    allow_signal: list[str] = Field(default_factory=list, description="SHA-256 of sources that may be loaded")
    model: str | int | None = Field(None, description="instrument, champion, or a version")
    log_level: str | None = Field(None, description="DEBUG, INFO, WARNING or ERROR")
    log_format: str | None = Field(None, description="text or json")
    projection_horizons_bins: str | None = Field(None, description="N,N")
    projection_use_cubic: bool = Field(False, description="add cubic_scale * s3 * h^3")
    projection_cubic_scale: float | None = None
    projection_damping_lambda: float | None = None
    perf_latency_jsonl: str | None = Field(None, description="append a line of JSON per bin sent")
    perf_window_start_et: str | None = None
    perf_window_end_et: str | None = None
    perf_summary_every_bins: int | None = None

    @field_validator("allow_origin", "allow_host", "allow_signal", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        """A list as the command line gives it: with commas between."""
        return [part for part in given.split(",") if part] if isinstance(given, str) else given

    @field_validator("dt", mode="before")
    @classmethod
    def _written(cls, given: Any) -> Any:
        """A day as YAML gives it where it is not quoted."""
        return given.isoformat() if isinstance(given, date) else given

    @model_validator(mode="after")
    def _refuse_unknown(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if name not in PERM_FIELDS:
                allowed = ", ".join([*type(self).model_fields, "perm_*"])
                raise ValueError(f"unknown argument {name!r}; allowed are: {allowed}")
            if not isinstance(value, Scalar):
                raise ValueError(f"{name} was {value!r}; it must be one value")
        return self

    def options(self) -> argparse.Namespace:
        """The same as the command line would have read it.

        Raises
        ------
        ConfigError
            A value is not allowed.
        """
        line: list[str] = []
        for name, value in self.model_dump(exclude_none=True).items():
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, bool) and name not in PERM_FIELDS:
                line += [flag] if value else []
            else:
                line += [f"{flag}={_text(one)}" for one in (value if isinstance(value, list) else [value])]
        return DOOR.parse(line, "serve.deployment:build")


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
