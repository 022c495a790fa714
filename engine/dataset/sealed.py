"""Sessions that are held out: no command reads their bins but the one that counts each look.

A seal is a file of its own in the lake, written once and never taken away. It holds for the records and not for the name: another
dataset with one minute of the same records is sealed with it, and so are variants, and a dataset of the same file and time whose
manifest knows no records.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from engine.dataset.lineage import chunks_of, content_id
from engine.errors import ConfigError, DatasetError
from engine.files import write_new
from engine.lake import Lake

_SUFFIX: Final = ".json"


@dataclass(frozen=True)
class Seal:
    """One session that is held out."""

    dataset_id: str
    sealed_at: str  # ISO 8601, UTC
    symbol: str
    dt: str  # UTC day, YYYY-MM-DD
    start_ns: int
    end_ns: int
    content: str  # name of its records; empty where its manifest does not know them
    chunks: tuple[str, ...]  # hashes of their minutes
    files: tuple[str, ...]  # SHA-256 of each raw file
    n_trials_before: int  # that had been made on it: with any, it is no unseen data any more

    def covers(self, manifest: Mapping[str, Any]) -> bool:
        """Whether a dataset holds what is sealed."""
        if str(manifest["dataset_id"]) == self.dataset_id or chunks_of(manifest) & set(self.chunks):
            return True
        same_file = {str(file["sha256"]) for file in manifest["source_files"]} & set(self.files)
        overlaps = int(manifest["start_ns"]) < self.end_ns and self.start_ns < int(manifest["end_ns"])
        return bool(same_file) and overlaps


def seals_folder(lake: Lake) -> Path:
    """Where the seals of a lake lie."""
    return lake.harness / "sealed"


def seals(lake: Lake) -> list[Seal]:
    """All sealed sessions, by name.

    Raises
    ------
    DatasetError
        A seal cannot be read: nothing may be judged then.
    """
    return [read_seal(path.name, path.read_bytes()) for path in sorted(seals_folder(lake).glob(f"*{_SUFFIX}"))]


def read_seal(name: str, data: bytes) -> Seal:
    """A seal from the content of its file.

    Raises
    ------
    DatasetError
        It is none.
    """
    try:
        values = json.loads(data)
        return Seal(**{**values, "chunks": tuple(values["chunks"]), "files": tuple(values["files"])})
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(f"seal {name} cannot be read ({error}); put it back from a copy of the lake") from error


def seal_of(lake: Lake, manifest: Mapping[str, Any]) -> Seal | None:
    """The seal that covers a dataset; None where it is not sealed."""
    return next((seal for seal in seals(lake) if seal.covers(manifest)), None)


def require_open(lake: Lake, manifest: Mapping[str, Any]) -> None:
    """Refuse a dataset that is sealed.

    Raises
    ------
    DatasetError
        It is, or holds records of one that is.
    """
    seal = seal_of(lake, manifest)
    if seal is None:
        return
    name = str(manifest["dataset_id"])
    what = "is sealed" if name == seal.dataset_id else f"holds records of {seal.dataset_id}, which is sealed"
    raise DatasetError(
        f"dataset {name} {what} (held out since {seal.sealed_at[:10]}); only python -m tune unseal RUN_ID looks at it, once for "
        "each candidate"
    )


def require_open_day(lake: Lake, symbol: str, dt: str) -> None:
    """Refuse to play a day that has a sealed session.

    Raises
    ------
    ConfigError
        It has one.
    """
    for seal in seals(lake):
        if (seal.symbol, seal.dt) == (symbol, dt):
            raise ConfigError(
                f"dt was {dt}, a day of {symbol} with a sealed session ({seal.dataset_id}); watching it is a look at what is held "
                "out. Choose another day, or start the service with --sealed-ok"
            )


def write_seal(lake: Lake, manifest: Mapping[str, Any], n_trials_before: int) -> Seal:
    """Seal a dataset; one that is sealed under its own name already keeps its seal."""
    seal = Seal(
        dataset_id=str(manifest["dataset_id"]),
        sealed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        symbol=str(manifest["config"].get("symbol", "")),
        dt=str(manifest["dt"]),
        start_ns=int(manifest["start_ns"]),
        end_ns=int(manifest["end_ns"]),
        content=content_id(manifest),
        chunks=tuple(sorted(chunks_of(manifest))),
        files=tuple(str(file["sha256"]) for file in manifest["source_files"]),
        n_trials_before=n_trials_before,
    )
    path = seals_folder(lake) / f"{seal.dataset_id}{_SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_new(path, json.dumps(asdict(seal), indent=1).encode())
    except FileExistsError:
        return read_seal(path.name, path.read_bytes())
    return seal
