"""`check`: is what lies in the lake readable, whole and unchanged?"""

from pathlib import Path
from typing import Any

import numpy as np

from engine.commands import read_day
from engine.config import InstrumentConfig, load_instrument
from engine.constants import NS_PER_DAY
from engine.dataset import list_datasets, verify
from engine.errors import EngineError
from engine.lake import Lake
from engine.progress import Progress
from engine.runner import Runner, Span
from engine.source import open_source


def check_lake(lake: Lake, dt: str | None) -> dict[str, Any]:
    """Read every raw file of the locked product once, and hash every dataset.

    Returns
    -------
    dict
        ``sound`` (bool), ``raw`` and ``datasets``: a mapping each, with ``problem`` empty where all is well.
    """
    day = read_day(dt)
    config = load_instrument()
    folder = lake.raw_dir(config.symbol_root)
    paths = sorted(path for path in folder.glob("*") if path.name.endswith((".dbn", ".dbn.zst")))
    if day is not None:
        paths = [path for path in paths if f"{day:%Y%m%d}" in path.name]
    with Progress("checking") as progress:
        raw = []
        for path in paths:
            progress.update(None, path.name)
            raw.append(_check_raw(path, config))
        datasets = []
        for summary in list_datasets(lake):
            if day is not None and f"_{day:%Y%m%d}_" not in summary.dataset_id:
                continue
            progress.update(None, summary.dataset_id)
            datasets.append(_check_dataset(lake, summary.dataset_id, summary.problem))
    return {
        "sound": not any(one["problem"] for one in raw + datasets),
        "raw_folder": str(folder),
        "raw": raw,
        "datasets": datasets,
    }


def _check_raw(path: Path, config: InstrumentConfig) -> dict[str, Any]:
    """Read a file through the book alone: every record decoded, every anomaly counted."""
    values: dict[str, Any] = {"file": path.name, "size": path.stat().st_size, "problem": ""}
    try:
        source = open_source([path], config)
        start, end = source.window
        runner = Runner(config, Span(start, end, first_bin=end + NS_PER_DAY))
        n_records = 0
        first = last = 0
        for records in source.records():
            for _ in runner.feed(records, 1):
                pass
            first = first or int(records["ts_recv"][0])
            last = max(last, int(np.max(records["ts_recv"])))
            n_records += len(records)
    except EngineError as error:
        return {**values, "problem": str(error)}
    return {
        **values,
        "dt": source.dt.isoformat(),
        "sha256": source.files[0].sha256,
        "n_records": n_records,
        "first_ns": first,
        "last_ns": last,
        "anomalies": runner.anomalies,
        "first_anomalies": runner.first_anomalies,
        "problem": "; ".join(source.notices),
    }


def _check_dataset(lake: Lake, dataset_id: str, problem: str) -> dict[str, Any]:
    values: dict[str, Any] = {"dataset_id": dataset_id, "n_bins": 0, "quality": {}, "problem": problem}
    if problem:
        return values
    try:
        dataset = verify(lake, dataset_id)
    except EngineError as error:
        return {**values, "problem": str(error)}
    return {**values, "n_bins": dataset.n_bins, "quality": dataset.manifest.get("quality", {})}
