"""The champion: what serving loads. One immutable file per version in ``lake/models/``, and a pointer that moves atomically.

Source: interfaces.md, "Champion".
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from engine.constants import PRICE_SCALE
from engine.errors import ChampionError, ConfigError
from engine.files import load_yaml, write_atomic, write_new
from engine.lake import Lake

FORMAT_VERSION: Final = 1
Standing = Literal["proven", "not_proven", "forced"]
POINTER_FILE: Final = "champion.yaml"
_TRAIL_LENGTH: Final = 100


class SignalSource(BaseModel):
    """Where a signal that is not built in comes from, and its whole source: what a node needs to load it again, or to refuse it.

    ``hash`` is the SHA-256 over ``main`` and the names and contents of ``files``; it is what a node allows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["file", "entry point"]
    hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 over main, and names and contents of files")
    main: str = Field(min_length=1, description="module that holds the signal, or the entry point's module:Class")
    distribution: str = Field("", description="that installs the entry point")
    distribution_version: str = ""
    files: dict[str, str] = Field(min_length=1, description="sources by relative name")

    def digest(self) -> str:
        """What ``hash`` must be."""
        return source_digest(self.main, self.files)


class Gate(BaseModel):
    """What the gate of a promotion found: the checks that failed, in words, and why it was promoted all the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failed: tuple[str, ...] = Field((), description="checks that failed; none where it passed")
    because: str = Field("", description="the reason that was given to promote it all the same")


def source_digest(main: str, files: Mapping[str, str]) -> str:
    """SHA-256 over names and contents of some sources, as hex."""
    digest = sha256(f"{main}\n".encode())
    for name, source in sorted(files.items()):
        data = source.encode()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


class Promise(BaseModel):
    """What a promotion promises before it serves, and how it trades: what its live record is held against.

    ``at_least_ticks`` is what is tested: the lower bound of the out-of-sample interval, and never less than nothing. The estimate
    itself is no promise: it is the best of many, hence too high.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_least_ticks: float = Field(ge=0, description="net a trade, that the live record is tested against")
    net_ticks: float | None = Field(description="net a trade out of sample; none where it had no trade there")
    low_ticks: float | None = Field(description="of its 95 % interval")
    high_ticks: float | None = Field(description="of its 95 % interval")
    n_trades: int = Field(ge=0, description="out of sample")
    trades_per_hour: float | None = Field(description="of sound bins")
    data_end_ns: int = Field(description="UTC; end of the last session that it was chosen on: what comes later is evidence")
    best_ticks: float = Field(description="net, of a trade that takes its profit")
    fee_ticks: float = Field(ge=0, description="of a round trip")
    longest_ns: int = Field(gt=0, description="from firing to the time limit")
    fill: Literal["touch", "mid"] = Field(description="at which prices")
    plan: dict[str, JsonValue] = Field(description="what the walking kernels go by")


class FittedState(BaseModel):
    """The fitted state of a learned signal at the end of the last session that its judge saw: `engine.signals.carried`.

    Its bytes lie beside the versions, in a file named by their hash; `with_fitted` reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset_id: str = Field(min_length=1, description="session that it was fitted on")
    end_ns: int = Field(description="UTC; end of that session: it has seen nothing later")
    n_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of its bytes")
    data: bytes = Field(b"", exclude=True, repr=False, description="its bytes, once read; never in the version's file")


class Champion(BaseModel):
    """One promoted signal: everything needed to build it again and to know where it came from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)

    format_version: int = Field(FORMAT_VERSION, ge=FORMAT_VERSION, le=FORMAT_VERSION, description="of this file")
    version: int = Field(ge=1, description="position in the history, 1 is the first")
    signal: str = Field(min_length=1, description="registered name in engine.signals.registry")
    parameters: dict[str, JsonValue] = Field(description="fully resolved, defaults included")
    thresholds: tuple[float, ...] = Field(min_length=1, description="score levels a trade is taken at")
    cooldown_bins: int = Field(ge=0, description="least distance of two trades, bins")
    dataset_id: str = Field(min_length=1)
    dataset_checksum: str = Field(min_length=1)
    evaluation: dict[str, JsonValue] = Field(description="rules the metrics were scored under")
    metrics: dict[str, JsonValue] = Field(description="of the promoted threshold; in sample")
    sweep: str
    run_id: str = Field(min_length=1)
    config_version: str = Field(min_length=1, description="instrument config the dataset was made with")
    state5_table: str = Field(min_length=1, description="label table the dataset was made with")
    cell_width_ms: int = Field(gt=0, description="bin width the signal was scored on, ms")
    grid_radius_ticks: int = Field(gt=0, description="rows each side of spot the signal was scored on")
    code_version: str = Field(min_length=1, description="hash of the signal's and the scoring's sources")
    created_at: str = Field(min_length=1, description="ISO 8601, UTC")
    source: SignalSource | None = Field(None, description="of a signal that is not built in")
    promise: Promise | None = Field(None, description="none for versions that were made before there was one")
    gate: Gate | None = Field(None, description="what the gate found; none for versions that were made before there was one")
    fitted: FittedState | None = Field(None, description="of a learned signal; none for versions made before there was one")

    @property
    def standing(self) -> Standing:
        """What is known of it: the gate was passed, or forced, or never asked."""
        if self.gate is None:
            return "not_proven"
        return "forced" if self.gate.failed else "proven"

    @property
    def tick_int(self) -> int | None:
        """The tick it was scored on, 1e-9 dollars; None where its file does not say."""
        tick_size = self.evaluation.get("tick_size")
        return round(tick_size / PRICE_SCALE) if isinstance(tick_size, int | float) else None

    def told(self) -> dict[str, Any]:
        """For JSON and for screens: everything but the text of foreign sources."""
        return self.model_dump(mode="json", exclude={"source": {"files"}})


class _Text(str):
    """A text of many lines, to be written as such."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes sources so that they can be read."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|"))


@dataclass(frozen=True)
class PointerState:
    """What the pointer says now. ``etag`` changes with every move and is empty before the first one.

    A version of None means the instrument's own signal.
    """

    version: int | None
    digest: str  # SHA-256 of the version's file
    trail: tuple[int | None, ...]  # what served before, oldest first
    etag: str


def version_path(lake: Lake, version: int) -> Path:
    """File of one version."""
    return lake.models / f"champion-{version:06d}.yaml"


def fitted_path(lake: Lake, digest: str) -> Path:
    """File of a fitted state by the SHA-256 of its bytes."""
    return lake.models / "fitted" / f"{digest}.state"


def pointer_path(lake: Lake) -> Path:
    """File that names the version in service."""
    return lake.models / POINTER_FILE


def versions(lake: Lake) -> list[int]:
    """Versions on file, ascending."""
    names = lake.models.glob("champion-*.yaml") if lake.models.is_dir() else []
    return sorted(int(p.stem.removeprefix("champion-")) for p in names if p.stem.removeprefix("champion-").isdigit())


def write_champion(lake: Lake, champion: Champion) -> Path:
    """Write a new immutable version.

    Raises
    ------
    ChampionError
        The version exists already.
    """
    path = version_path(lake, champion.version)
    values = champion.model_dump(mode="json")
    if champion.source is None:
        del values["source"]  # as such files have always been
    else:
        values["source"]["files"] = {name: _Text(text) for name, text in champion.source.files.items()}
    if champion.promise is None:
        del values["promise"]
    if champion.gate is None:
        del values["gate"]
    if champion.fitted is None:
        del values["fitted"]
    else:
        _write_fitted(lake, champion.fitted)
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    try:
        write_new(path, text.encode())
    except FileExistsError as error:
        raise ChampionError(
            f"champion version {champion.version} exists in {lake.models}; versions are immutable. "
            f"The next free one is {versions(lake)[-1] + 1}"
        ) from error
    return path


def read_champion(lake: Lake, version: int | None = None) -> Champion:
    """A version, or without one the champion in service.

    Raises
    ------
    ChampionError
        None was promoted yet, the version is unknown, or its file is damaged.
    """
    if version is None:
        return read_pointed(lake, read_pointer(lake))
    return _read_version(lake, version)


def with_fitted(lake: Lake, champion: Champion) -> Champion:
    """A champion with the bytes of its fitted state, as it is to be built; the same where it carries none.

    Raises
    ------
    ChampionError
        They are gone, or not what they were when it was promoted.
    """
    if champion.fitted is None or champion.fitted.data:
        return champion
    path = fitted_path(lake, champion.fitted.sha256)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ChampionError(
            f"the fitted state of champion version {champion.version} is gone: {path}. Promote the run again, or roll back"
        ) from None
    if sha256(data).hexdigest() != champion.fitted.sha256:
        raise ChampionError(
            f"{path} is not as it was promoted: its SHA-256 differs from that of champion version {champion.version}. Roll back"
        )
    return champion.model_copy(update={"fitted": champion.fitted.model_copy(update={"data": data})})


def _write_fitted(lake: Lake, fitted: FittedState) -> None:
    path = fitted_path(lake, fitted.sha256)
    if not fitted.data or sha256(fitted.data).hexdigest() != fitted.sha256:
        raise ChampionError(f"the fitted state to be written to {path} does not hash to its name; make it with fitted_of")
    with suppress(FileExistsError):  # of another version, and the same bytes
        write_new(path, fitted.data)


def read_pointed(lake: Lake, pointer: PointerState) -> Champion:
    """The champion that a pointer named, wherever the pointer has moved since.

    Raises
    ------
    ChampionError
        It names none, or the version's file is not what it was when the pointer moved there.
    """
    if pointer.version is None:
        raise ChampionError(f"no champion in {lake.models}; promote a run with: python -m tune promote RUN_ID")
    return _read_version(lake, pointer.version, pointer.digest)


def _read_version(lake: Lake, version: int, digest: str | None = None) -> Champion:
    path = version_path(lake, version)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(map(str, versions(lake))) or "none"
        raise ChampionError(f"champion version was {version}; {lake.models} holds {known}") from None
    if digest is not None and sha256(data).hexdigest() != digest:
        raise ChampionError(f"{path} is not as it was promoted: its SHA-256 differs from the pointer's. Roll back")
    champion = _parse(path, data)
    if champion.version != version:
        raise ChampionError(f"{path} says version {champion.version}; its name says {version}")
    return champion


def read_pointer(lake: Lake) -> PointerState:
    """State of the pointer: one small read, cheap enough to poll several times a second.

    Raises
    ------
    ChampionError
        The pointer's file is not one of ours.
    """
    path = pointer_path(lake)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return PointerState(None, "", (), "")
    content = _load_yaml(path, data)
    try:
        version = content["version"]
        return PointerState(
            None if version is None else int(version),
            str(content["sha256"]),
            tuple(None if v is None else int(v) for v in content["trail"]),
            sha256(data).hexdigest()[:16],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ChampionError(f"{path} must hold version, sha256 and trail ({error}). Promote a run again") from error


def move_pointer(lake: Lake, version: int | None) -> PointerState:
    """Put a version in service, or with None the instrument's own signal; what served before goes on the trail.

    Raises
    ------
    ChampionError
        The version is unknown or damaged.
    """
    now = read_pointer(lake)
    trail = now.trail
    if now.etag and now.version != version:
        trail = (*trail, now.version)[-_TRAIL_LENGTH:]
    return _write_pointer(lake, version, trail)


def roll_back(lake: Lake) -> PointerState:
    """Put what served before back in service, a version or the instrument's own signal; it leaves the trail.

    Raises
    ------
    ChampionError
        There is none, or its file is damaged.
    """
    now = read_pointer(lake)
    if not now.trail:
        raise ChampionError(
            f"no earlier champion to roll back to in {lake.models}; in service: {now.version or 'none'}. "
            "Back to the instrument's own signal leads: python -m tune promote --none"
        )
    return _write_pointer(lake, now.trail[-1], now.trail[:-1])


def history(lake: Lake) -> list[Champion]:
    """Every version on file, the first one first."""
    return [read_champion(lake, version) for version in versions(lake)]


def _write_pointer(lake: Lake, version: int | None, trail: tuple[int | None, ...]) -> PointerState:
    digest = ""
    if version is not None:
        read_champion(lake, version)
        digest = sha256(version_path(lake, version).read_bytes()).hexdigest()
    content = {"version": version, "sha256": digest, "trail": list(trail)}
    write_atomic(pointer_path(lake), yaml.safe_dump(content, sort_keys=False).encode())
    return read_pointer(lake)


def _load_yaml(path: Path, data: bytes) -> dict[str, Any]:
    try:
        content = load_yaml(data.decode(), str(path), by_hand=False)
    except UnicodeDecodeError as error:
        raise ChampionError(f"{path} is not YAML: {error}") from error
    except ConfigError as error:
        raise ChampionError(str(error)) from error
    if not isinstance(content, dict):
        raise ChampionError(f"{path} must hold a mapping")
    return content


def _parse(path: Path, data: bytes) -> Champion:
    try:
        return Champion.model_validate(_load_yaml(path, data))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ChampionError(f"{path}: {field} was {first['input']!r}: {first['msg']}") from error
