"""The leaderboard and the trades of its runs, as the HTTP API shows them."""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from engine.dataset.sealed import require_open
from engine.errors import DatasetError
from engine.lake import Lake
from serve.asides import AsideError, Asides

FILTERS: Final = ("dataset", "signal", "sweep")
_TOLD: Final = b"told"
_ALL: Final = str(10**9)  # rows
_PATIENCE_S: Final = 5.0  # before a leaderboard of an older state will do
# Columns of JSON in a text, and the names under which they are told as objects; ``rules`` is the name of the rules' group.
_OBJECTS: Final = {
    "signal_params_json": "signal_params",
    "resolved_params_json": "resolved_params",
    "rules_json": "evaluation",
    "coefficients_json": "coefficients",
}
_BIG: Final = ("_ns", "_int")  # ends of names of 64-bit integers, which a page cannot hold as numbers


class Table(NamedTuple):
    """An Arrow IPC stream that was made aside: its ``told``, and its rows."""

    told: Mapping[str, Any]
    rows: pa.Table


class Board:
    """What the leaderboard of a lake is, made anew when the lake's results are others.

    Parameters
    ----------
    lake : Lake
        Whose results.
    foreign_ok : bool
        Whether code of signals that are not built in may run here.
    """

    def __init__(self, lake: Lake, *, foreign_ok: bool) -> None:
        self._lake = lake
        self._foreign_ok = foreign_ok
        self._asides = Asides(lake.cache / "boards")

    async def board(
        self, state: str, wanted: Mapping[str, str], min_signals: int, *, best: bool, with_loose: bool
    ) -> tuple[Path, bool]:
        """The file of a leaderboard, and whether it is of the state asked for.

        Parameters
        ----------
        state : str
            As `state_of` has it.
        wanted : mapping
            Values of ``FILTERS`` that were given.
        best : bool
            One row a run, of its best threshold; else all of them.
        with_loose : bool
            Also runs under looser rules, marked.

        Raises
        ------
        BadAskError
            There is no run of that dataset, signal or sweep.
        TooManyError, AsideError
            It cannot be made now.
        """
        words = ["compare", f"--lake={self._lake.root}", f"--min-signals={min_signals}", f"--top={_ALL}"]
        words += [f"--{name}={wanted[name]}" for name in FILTERS if name in wanted]
        words += [*([] if best else ["--each-threshold"]), *(["--all"] if with_loose else [])]
        path = await self._asides.table(words, state, _PATIENCE_S)
        return path, path.stem.endswith(state)

    async def trades(self, run_id: str, threshold: str | None) -> Path:
        """The file of a run's trades, which no other run changes.

        Raises
        ------
        BadAskError
            There is no such run or threshold, or it cannot be made again.
        TooManyError, AsideError
            It cannot be made now.
        """
        words = ["trades", run_id, f"--lake={self._lake.root}"]
        words += [] if threshold is None else [f"--threshold={threshold}"]
        words += [] if self._foreign_ok else ["--built-in-only"]
        return await self._asides.table(words, sha256(_code().encode()).hexdigest()[:16])

    def require_open(self, dataset_id: str) -> None:
        """Refuse a dataset that was sealed meanwhile, or is gone.

        Raises
        ------
        DatasetError
            It was.
        """
        manifest = self._lake.datasets / dataset_id / "manifest.json"
        if not manifest.is_file():
            raise DatasetError(f"dataset {dataset_id} is not in this lake any more")
        require_open(self._lake, json.loads(manifest.read_bytes()))

    def close(self) -> None:
        """End what is being made."""
        self._asides.close()


def state_of(lake: Lake) -> str:
    """What a leaderboard depends on, 16 hex: parts of the results and of the trial ledger, sweeps, and the code that ranks."""
    digest = sha256(_code().encode())
    folders = [lake.results / "runs_meta.parquet", lake.results / "runs.parquet"]
    for folder in (*folders, lake.harness / "trials.parquet", lake.harness / "contents.parquet", lake.sweeps):
        digest.update(f"\n{folder.name}".encode())
        for name in _names(folder):
            digest.update(f" {name}".encode())
    return digest.hexdigest()[:16]


def read_table(path: Path) -> Table:
    """A table from its file; it is read and not mapped, as a file that is cut under a mapping ends the process.

    Raises
    ------
    AsideError
        The file is gone or damaged.
    """
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            rows = stream.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise AsideError(f"{path.name} is gone or damaged; delete it in the lake's cache/boards, and it is made again") from error
    return Table(json.loads(rows.schema.metadata[_TOLD]), rows)


def of_run(rows: pa.Table, run_id: str) -> pa.Table:
    """The rows of one run."""
    names = rows["run_id"]
    return rows.filter(pc.equal(names.cast(pa.string()), run_id))


def plain_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON: NaN and infinities as null, parameters as objects, 64-bit prices and times as text."""
    return [_plain_row(row) for row in rows.to_pylist()]


def plain(values: Any, name: str = "") -> Any:
    """The same for one value, by the name it goes under."""
    if isinstance(values, dict):
        return {key: plain(value, key) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain(value, name) for value in values]
    if isinstance(values, float):
        return values if abs(values) < float("inf") else None
    return str(values) if isinstance(values, int) and name.endswith(_BIG) else values


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain(row)
    for column, name in _OBJECTS.items():
        if column in found:
            text = found.pop(column)
            found[name] = None if text is None else json.loads(text)
    return found


def _names(folder: Path) -> Sequence[str]:
    """Names in a folder that is only ever added to, in order; none where it is not there."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return ()


@cache
def _code() -> str:
    """Names, sizes and times of the files that rank, as this process began."""
    folder = Path(__file__).resolve().parent.parent / "tune"
    stats = [(path.name, path.stat()) for path in sorted(folder.glob("*.py"))]
    return " ".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
