"""The ledger as one file, to go wherever the data go: trials, what they were tried on, seals and looks.

Taking one in merges: what is not known is added, nothing is taken away or changed, and the same file again adds nothing.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.dataset.sealed import read_seal, seals_folder
from engine.errors import ConfigError, DatasetError
from engine.files import write_atomic, write_new
from engine.lake import Lake
from tune import contents, ledger
from tune.ledger import TrialLedger
from tune.parts import write_part
from tune.sealing import Look, looks_folder

_FORMAT: Final = "spymaster ledger 1"
_TRIALS, _CONTENTS, _SEALS, _LOOKS = "trials.parquet", "contents.parquet", "sealed/", "looks/"


@dataclass(frozen=True)
class Merged:
    """How much was new."""

    n_trials: int
    n_contents: int
    n_seals: int
    n_looks: int

    @property
    def line(self) -> str:
        """In words."""
        return f"{self.n_trials} trials, {self.n_contents} contents, {self.n_seals} seals and {self.n_looks} looks"


def export_ledger(lake: Lake, path: Path) -> Merged:
    """Write everything that was ever tried, sealed and looked at in a lake into one file."""
    book = TrialLedger(lake)
    trials, table = book.own_trials(), book.contents.table()
    folders = {_SEALS: seals_folder(lake), _LOOKS: looks_folder(lake)}
    files = {prefix: sorted(folder.glob("*.json")) for prefix, folder in folders.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = _FORMAT.encode()
        archive.writestr(_TRIALS, _parquet(trials, ledger.SCHEMA))
        archive.writestr(_CONTENTS, _parquet(table, contents.SCHEMA))
        for prefix, found in files.items():
            for file in found:
                archive.writestr(prefix + file.name, file.read_bytes())
    write_atomic(path, buffer.getvalue())
    return Merged(len(trials), len(table), len(files[_SEALS]), len(files[_LOOKS]))


def import_ledger(lake: Lake, path: Path) -> Merged:
    """Add what an exported file knows and this lake does not; how much that was.

    Raises
    ------
    ConfigError
        It is not such a file; nothing was added.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.comment != _FORMAT.encode():
                raise ValueError("it is another archive")
            trials, table = (_rows(archive.read(name)) for name in (_TRIALS, _CONTENTS))
            files = {name: archive.read(name) for name in archive.namelist() if name.startswith((_SEALS, _LOOKS))}
        for name, data in files.items():
            _check(name, data)
    except (DatasetError, OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, pa.ArrowException) as error:
        told = " ".join(str(error).split())[:160]
        raise ConfigError(f"{path} is no exported ledger ({told}); write one with: python -m tune ledger export FILE") from error
    book = TrialLedger(lake)
    known = set(book.own_trials().select("run_id", "threshold").iter_rows())
    new_trials = [row for row in trials if (row["run_id"], row["threshold"]) not in known]
    old = set(book.contents.table().get_column("content"))
    new_contents = [row for row in table if row["content"] not in old]
    if new_contents:
        write_part(book.contents.folder, new_contents, contents.SCHEMA)
    if new_trials:
        write_part(book.folder, new_trials, ledger.SCHEMA)
    return Merged(
        len(new_trials),
        len(new_contents),
        _add(seals_folder(lake), files, _SEALS),
        _add(looks_folder(lake), files, _LOOKS),
    )


def _parquet(frame: pl.DataFrame, schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(frame.to_dicts(), schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _rows(data: bytes) -> Sequence[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def _check(name: str, data: bytes) -> None:
    """Refuse what is no seal and no look, and a name that leads elsewhere."""
    short = name.removeprefix(_SEALS).removeprefix(_LOOKS)
    if "/" in short or "\\" in short or not short.endswith(".json") or short.startswith("."):
        raise ValueError(f"{name} in it is no name of a seal or a look")
    if name.startswith(_SEALS):
        read_seal(short, data)
    else:
        Look(**json.loads(data))


def _add(folder: Path, files: dict[str, bytes], prefix: str) -> int:
    """Write what is not there yet; how many that were."""
    n = 0
    for name, data in files.items():
        if name.startswith(prefix) and not (folder / name.removeprefix(prefix)).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_new(folder / name.removeprefix(prefix), data)
            n += 1
    return n
