"""`check`: is what lies in the lake readable, whole, unchanged and true to the market?"""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.audit.continuity import compare_books, opening_snapshot
from engine.audit.raw_file import RawCheck, check_raw
from engine.config import load_instrument
from engine.constants import QUALITY_NAMES
from engine.dataset.lineage import corrections, stale_since
from engine.dataset.read import Dataset, DatasetSummary, list_datasets, verify
from engine.door import read_day
from engine.errors import ConfigError, EngineError
from engine.files import sha256_file
from engine.lake import Lake
from engine.tables import Progress


def check_lake(
    lake: Lake, dt: str | None, files: Sequence[Path] = (), continuity: bool = False, assumes_symbol: bool = False
) -> dict[str, Any]:
    """Read every raw file of the locked product once, and hash every dataset.

    Parameters
    ----------
    files
        Raw files to check instead of the lake's; datasets are left out then.
    continuity
        Compare the book at each file's end with the snapshot that opens the next day's file.
    assumes_symbol
        Take a file that does not say whose records it holds as the locked contract's.

    Returns
    -------
    dict
        ``sound`` (bool), ``raw``, ``continuity`` and ``datasets``: a mapping each, with ``problem`` empty where all is well.
    """
    day = None if dt is None else read_day(dt)
    config = load_instrument()
    folder = lake.raw_dir(config.symbol_root)
    paths = list(files) or sorted(path for path in folder.glob("*") if path.name.endswith((".dbn", ".dbn.zst")))
    if continuity and not paths:
        raise ConfigError(f"--continuity needs raw files and {folder} holds none; name two or more files of consecutive days")
    with Progress("checking") as progress:
        checked = []
        for path in paths:
            progress.update(None, path.name)
            # A day's neighbours are read too where books are to be compared.
            if day is None or continuity or _is_named(path.name, day):
                checked.append(check_raw(path, config, continuity, assumes_symbol))
        pairs = [_pair(*two, day) for two in pairwise(sorted(checked, key=_order))] if continuity else []
        raw = [one.report for one in checked if day is None or _is_named(one.report["file"], day)]
        datasets = []
        for summary in list_datasets(lake) if not files else ():
            if day is not None and f"_{day:%Y%m%d}_" not in summary.dataset_id:
                continue
            progress.update(None, summary.dataset_id)
            datasets.append(_check_dataset(lake, summary, raw))
    continuous = [pair for pair in pairs if pair is not None]
    return {
        "sound": not any(one["problem"] for one in [*raw, *continuous, *datasets]),
        "raw_folder": "" if files else str(folder),
        "raw": raw,
        "continuity": continuous,
        "datasets": datasets,
    }


def _is_named(name: str, day: date) -> bool:
    return f"{day:%Y%m%d}" in name


def _order(one: RawCheck) -> tuple[date, str]:
    return (one.days[0] if one.days else date.min, one.report["file"])


def _pair(before: RawCheck, after: RawCheck, day: date | None) -> dict[str, Any] | None:
    """One file's last book against the next one's snapshot; None where it is not the day asked for."""
    values: dict[str, Any] = {"before": before.report["file"], "after": after.report["file"], "judged": False, "problem": ""}
    if before.source is None or after.source is None or before.resting is None:
        return None if day is not None else {**values, "reason": "one of them cannot be read"}
    if day is not None and day not in (*before.days, *after.days):
        return None
    days = (after.days[0] - before.days[-1]).days if after.days and before.days else 0
    if days != 1:
        return {**values, "reason": "the same day" if days == 0 else f"{days} days apart: what happened between is not known"}
    opening = opening_snapshot(after.source)
    if not len(opening):
        return {**values, "reason": "no snapshot opens the later one"}
    found = compare_books(before.resting, opening)
    told = ", ".join(f"{one['count']} {kind} (first {one['first']})" for kind, one in found["differences"].items())
    return {**values, "judged": True, "reason": "", **found, "problem": told}


def _check_dataset(lake: Lake, summary: DatasetSummary, raw: list[dict[str, Any]]) -> dict[str, Any]:
    dataset_id = summary.dataset_id
    values: dict[str, Any] = {"dataset_id": dataset_id, "n_bins": 0, "quality": {}, "problem": summary.problem, "sealed": False}
    if summary.problem:
        return values
    if summary.is_sealed:  # held out: not even its marks are looked at
        return {**values, "n_bins": summary.n_bins, "start_ns": summary.start_ns, "end_ns": summary.end_ns, "sealed": True}
    try:
        dataset = verify(lake, dataset_id)
    except EngineError as error:
        return {**values, "problem": str(error)}
    quality = count_quality(dataset)
    told = dataset.manifest.get("quality", {})
    sources = [_source_state(source, raw) for source in dataset.manifest["source_files"]]
    changed = [one["path"] for one in sources if one["state"] == "changed"]
    corrected = stale_since(corrections(lake), dataset.manifest)
    return {
        **values,
        "stale": "" if corrected is None else f"the vendor has corrected {corrected.symbol} {corrected.day} since",
        "n_bins": dataset.n_bins,
        "start_ns": dataset.manifest["start_ns"],
        "end_ns": dataset.manifest["end_ns"],
        "checksum": dataset.checksum,
        "quality": quality,
        "anomalies": dataset.manifest["anomalies"],
        "first_anomalies": dataset.manifest.get("first_anomalies", {}),
        "sources": sources,
        "problem": f"its bins are marked {quality}, its manifest says {told}"
        if quality != told
        else "; ".join(f"{path} is no longer the file it was made from" for path in changed),
    }


def count_quality(dataset: Dataset) -> dict[str, int]:
    """Bins marked, by kind, from the bins themselves."""
    quality = dataset.bins(["quality"])["quality"]
    counts = {name: int((quality & bit != 0).sum()) for bit, name in QUALITY_NAMES.items()}
    return {name: n for name, n in counts.items() if n}


def _source_state(source: dict[str, Any], raw: list[dict[str, Any]]) -> dict[str, str]:
    """Whether a dataset's source file is still there and the same."""
    path = Path(source["path"])
    known = {one["path"]: one.get("sha256") for one in raw}
    if not path.is_file():
        return {"path": str(path), "state": "missing"}
    actual = known.get(str(path)) or sha256_file(path)
    return {"path": str(path), "state": "same" if actual == source["sha256"] else "changed"}
