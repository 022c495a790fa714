"""Datasets: written once by streaming blocks of bins, read back as column arrays.

A dataset is a folder of ``bins.parquet``, ``grid_clean.parquet``, ``manifest.json`` and ``checksums.json`` that appears whole
or not at all and is never rewritten. Source: interfaces.md, "Lake layout".
"""

import errno
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.dataset.read import (
    BINS_FILE,
    CHECKSUMS_FILE,
    GRID_FILE,
    MANIFEST_FILE,
    SCHEMA_MINOR,
    SCHEMA_VERSION,
    TABLES,
    Dataset,
    remember_verified,
)
from engine.dataset.write import BlockLike, TableWriter, grid_table_schema
from engine.errors import DatasetError
from engine.files import seal_folder, sha256_file, writing
from engine.jit import source_hash
from engine.lake import Lake
from engine.schema import bins_schema

REQUIRED_PROVENANCE: Final = ("source_files", "dt", "config", "config_version", "overrides", "anomalies")
Provenance = Mapping[str, Any] | Callable[[], Mapping[str, Any]]
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def check_dataset_id(dataset_id: str) -> str:
    """The id itself, if it can name a folder.

    Raises
    ------
    DatasetError
        It holds anything but letters, digits, dot, dash and underscore.
    """
    if not _ID.fullmatch(dataset_id):
        raise DatasetError(
            f"dataset id was {dataset_id!r}; it must be 1 to 200 letters, digits, '.', '-' or '_', a letter or digit first"
        )
    return dataset_id


def publish_dataset(lake: Lake, dataset_id: str, blocks: Iterable[BlockLike], provenance: Provenance) -> Dataset:
    """Stream blocks into a new dataset of the lake.

    Parameters
    ----------
    blocks : Iterable[BlockLike]
        In order, ``bin_seq`` from 0 without a gap.
    provenance : mapping, or a function that returns one
        Goes into the manifest; must hold ``source_files`` (list of ``path, size, sha256``), ``dt``, ``config`` (all resolved
        fields), ``config_version``, ``overrides`` and ``anomalies`` (counts by kind). A function is called after the last
        block, when the counts are known.

    Returns
    -------
    Dataset
        The new one; or the one that stands already under this id, if it has the same content.

    Raises
    ------
    DatasetError
        Bad id, no bins, missing provenance, or other content under the same id.
    """
    check_dataset_id(dataset_id)
    lake.datasets.mkdir(parents=True, exist_ok=True)
    final = lake.datasets / dataset_id
    temporary = Path(tempfile.mkdtemp(prefix=f".{dataset_id}.", suffix=".tmp", dir=lake.datasets))
    try:
        with writing(final):
            _write(temporary, dataset_id, blocks, provenance)
        try:
            seal_folder(temporary, final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            existing = Dataset.open(lake, dataset_id, with_sealed=True)
            _require_same(existing, Dataset(temporary))
            return existing
    finally:
        _remove(temporary)
    remember_verified(final, lake)  # these very bytes were hashed a moment ago
    return Dataset.open(lake, dataset_id, with_sealed=True)


def write_dataset_dir(out_dir: Path, blocks: Iterable[BlockLike], provenance: Provenance) -> Dataset:
    """The same as ``publish_dataset`` to a folder outside the lake, which must not exist yet or be empty."""
    out_dir = out_dir.resolve()
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise DatasetError(f"output folder {out_dir} exists and is not empty; name a new folder")
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", suffix=".tmp", dir=out_dir.parent))
    try:
        with writing(out_dir):
            _write(temporary, out_dir.name, blocks, provenance)
        try:
            seal_folder(temporary, out_dir)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise DatasetError(f"output folder {out_dir} was filled by somebody else; name a new folder") from error
    finally:
        _remove(temporary)
    return Dataset(out_dir)


def _write(folder: Path, dataset_id: str, blocks: Iterable[BlockLike], provenance: Provenance) -> None:
    with TableWriter(folder / BINS_FILE, folder / GRID_FILE) as writer:
        for block in blocks:
            writer.append(block)
    if writer.n_bins == 0:
        raise DatasetError(f"dataset {dataset_id} would hold no bins; check the day, the start time and the input file")
    given = dict(provenance() if callable(provenance) else provenance)
    missing = [key for key in REQUIRED_PROVENANCE if key not in given]
    if missing:
        raise DatasetError(f"provenance of dataset {dataset_id} lacks {', '.join(missing)}")
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "schema_minor": SCHEMA_MINOR,
        "dataset_id": dataset_id,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": source_hash(),
        **given,
        "start_ns": writer.start_ns,
        "end_ns": writer.end_ns,
        "n_bins": writer.n_bins,
        "grid_radius_ticks": writer.n_rows // 2,
        "columns": {"bins": bins_schema().names, "grid": grid_table_schema().names},
    }
    try:
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"provenance of dataset {dataset_id} cannot be written as JSON: {error}") from error
    (folder / MANIFEST_FILE).write_text(text + "\n")
    sums = {name: sha256_file(folder / name) for name in (*TABLES, MANIFEST_FILE)}
    (folder / CHECKSUMS_FILE).write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")


def _remove(temporary: Path) -> None:
    if temporary.exists():
        temporary.chmod(0o755)
        shutil.rmtree(temporary)


def _require_same(existing: Dataset, new: Dataset) -> None:
    """Refuse other content under a taken id; which tables, and which config, is what counts, not who wrote when."""
    for field in ("n_bins", "grid_radius_ticks", "config_version"):
        old_value, new_value = existing.manifest[field], new.manifest[field]
        if old_value != new_value:
            raise DatasetError(
                f"dataset {existing.dataset_id} exists with {field} {old_value} and would be rewritten with {new_value}; "
                "datasets are immutable. Choose another id"
            )
    if existing.checksum == new.checksum:
        return
    # Other bytes may still be the same numbers, written by another version of the parquet library.
    for name in existing.manifest["columns"]["bins"]:
        if not _is_same(existing.bins([name])[name], new.bins([name])[name]):
            raise _differs(existing, name)
    for name in existing.manifest["columns"]["grid"]:
        if existing.columns([name])[name].tobytes() != new.columns([name])[name].tobytes():
            raise _differs(existing, name)


def _is_same(old: NDArray[Any], new: NDArray[Any]) -> bool:
    """Whether two columns hold the same; what is no number is like what is none."""
    return np.array_equal(old, new, equal_nan=old.dtype.kind == "f")


def _differs(existing: Dataset, column: str) -> DatasetError:
    return DatasetError(
        f"dataset {existing.dataset_id} exists with other numbers in column {column}; datasets are immutable. Choose another id"
    )
