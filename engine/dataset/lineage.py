"""What a dataset's bins were made of: its records where its manifest knows them, and the files they came in."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from engine.errors import DatasetError
from engine.files import writing
from engine.lake import Lake

CONTENT: Final = "content"  # key of the manifest; those of schema 2.0 and before have none
CORRECTIONS: Final = "raw/corrections.jsonl"  # in the lake
_PREFIX: Final = "records:"


def content_id(manifest: Mapping[str, Any]) -> str:
    """Name of the records that a dataset's bins were made of; empty where the manifest does not know them."""
    found = manifest.get(CONTENT, {}).get("id", "")
    return f"{_PREFIX}{found}" if found else ""


def chunks_of(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Hashes of the whole minutes of records in it; two datasets that share one were made of the same data."""
    return frozenset(manifest.get(CONTENT, {}).get("chunks", ()))


def sources_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Names by which trials on a dataset count together: its records, and the SHA-256 of each file as older manifests have it."""
    records = content_id(manifest)
    return (*([records] if records else []), *(str(file["sha256"]) for file in manifest["source_files"]))


@dataclass(frozen=True)
class Correction:
    """A raw file that the vendor has replaced: ``old`` and ``new`` are the SHA-256 of both."""

    old: str
    new: str
    symbol: str
    day: str  # UTC, YYYY-MM-DD
    noted_at: str  # ISO 8601, UTC


def note_correction(lake: Lake, correction: Correction) -> None:
    """Write down that a raw file is not the newest of its day any more, once, in a list that only grows."""
    path = lake.root / CORRECTIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if any((one.old, one.new) == (correction.old, correction.new) for one in corrections(lake)):
            return
        with writing(path):
            file.write(json.dumps(asdict(correction)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def corrections(lake: Lake) -> list[Correction]:
    """Every correction that is known, the first one first.

    Raises
    ------
    DatasetError
        The list is damaged: whether a result is stale cannot be told.
    """
    path = lake.root / CORRECTIONS
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [Correction(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path} is no list of corrections: {error}; mend the line or set the file aside") from error


def stale_since(found: list[Correction], manifest: Mapping[str, Any]) -> Correction | None:
    """The correction of one of the files that a dataset was made of; None where all are the vendor's last word."""
    files = {str(file["sha256"]) for file in manifest["source_files"]}
    return next((one for one in found if one.old in files), None)
