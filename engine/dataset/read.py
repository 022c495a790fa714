"""A dataset as it is read: checked once, then column arrays of shape (n_bins, 2R + 1)."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.constants import PRICE_SCALE
from engine.dataset import first_schema
from engine.dataset.sealed import require_open, seal_of
from engine.dataset.write import grid_table_schema
from engine.errors import DatasetError, among
from engine.files import sha256_file, write_kept
from engine.lake import Lake
from engine.run.frames import BinFrames, field_names, grid_name
from engine.schema import GRID_COLUMNS, bins_schema

if TYPE_CHECKING:
    import polars as pl

# 1 wrote 0 for a missing price; 2 was without the volume that traded by price and aggressor, which 3 has.
SCHEMA_VERSION: Final = 3
SCHEMA_MINOR: Final = 0  # of what is written, of things that readers can do without; 2.1 added the manifest's `content`
READABLE: Final = (first_schema.VERSION, 2, SCHEMA_VERSION)
BINS_FILE: Final = "bins.parquet"
GRID_FILE: Final = "grid_clean.parquet"
MANIFEST_FILE: Final = "manifest.json"
CHECKSUMS_FILE: Final = "checksums.json"
TABLES: Final = (BINS_FILE, GRID_FILE)
_KNOWN: Final[dict[str, Callable[[], Any]]] = {BINS_FILE: bins_schema, GRID_FILE: grid_table_schema}
FILES: Final = (*TABLES, MANIFEST_FILE, CHECKSUMS_FILE)

# Folder -> fingerprint of its files when they were last found sound, so that a trial does not hash them again.
_verified: dict[Path, str] = {}


class Dataset(BinFrames):
    """One immutable capture: bins and grid of a session.

    Arrays handed out are read-only and belong to the caller. ``lake`` is where it was opened, None for a folder by itself.

    Parameters
    ----------
    folder : Path
        A dataset's folder; use ``Dataset.open`` for one of a lake, which also verifies it.

    Raises
    ------
    DatasetError
        A file is missing or of another schema version.

    Examples
    --------
    >>> import engine
    >>> dataset = engine.open_dataset("morning")
    >>> dataset.to_arrow("mid_price").num_rows, dataset.to_pandas(["bin_seq", "mid_price"]).shape
    (1200, (1200, 2))
    >>> dataset.scan().select("mid_price").tail(1).collect().shape
    (1, 1)
    >>> column = dataset.grid("rest_depth")
    >>> column.shape, column.flags.writeable
    ((1200, 101), False)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake: Lake | None = None
        for name in FILES:
            if not (folder / name).is_file():
                raise DatasetError(f"dataset folder {folder} lacks {name}; it must hold {', '.join(FILES)}")
        self.manifest: dict[str, Any] = _read_json(folder / MANIFEST_FILE)
        version = self.manifest.get("schema_version")
        if version not in READABLE:
            raise DatasetError(f"dataset {folder} has schema version {version}; this code reads {', '.join(map(str, READABLE))}")
        self._is_first = version == first_schema.VERSION

    def __repr__(self) -> str:
        return (
            f"<Dataset {self.dataset_id}: {self.manifest['dt']}, {self.n_bins:,} bins of {self.cell_width_ms} ms, "
            f"radius {self.radius}, {self.size_bytes / 1e6:.1f} MB>"
        )

    @classmethod
    def open(cls, lake: Lake, dataset_id: str, *, with_sealed: bool = False) -> Self:
        """Dataset of a lake, verified unless its files are known to be sound.

        Parameters
        ----------
        with_sealed
            Open it also where it is held out: for whoever writes it, or counts the look.

        Raises
        ------
        DatasetError
            Missing (the message names the place and what is there), incomplete, damaged, or sealed.
        """
        folder = lake.datasets / dataset_id
        if "/" in dataset_id or not (folder / BINS_FILE).is_file():
            known = [summary.dataset_id for summary in list_datasets(lake)]
            raise DatasetError(f"dataset {dataset_id!r} is not in {lake.datasets} ({among(dataset_id, known)})")
        dataset = cls(folder)
        dataset.lake = lake
        if not with_sealed:
            require_open(lake, dataset.manifest)
        mark = _fingerprint(folder)
        if _verified.get(folder) != mark:
            if _remembered(folder, lake) != mark:
                dataset.verify()
                if _fingerprint(folder) != mark:
                    raise DatasetError(f"dataset {dataset_id} was changed while it was verified; see who writes to {folder}")
                remember_verified(folder, lake)
            _verified[folder] = mark
        return dataset

    @property
    def dataset_id(self) -> str:
        return str(self.manifest["dataset_id"])

    @property
    def n_bins(self) -> int:
        return int(self.manifest["n_bins"])

    @property
    def radius(self) -> int:
        """Ticks from spot to the outermost row."""
        return int(self.manifest["grid_radius_ticks"])

    @property
    def cell_width_ms(self) -> int:
        """Bin width, milliseconds."""
        return int(self.manifest["config"]["cell_width_ms"])

    @property
    def tick_int(self) -> int:
        """One tick in 1e-9 dollars."""
        return round(float(self.manifest["config"]["tick_size"]) / PRICE_SCALE)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the checksums of the two tables: the same numbers in the same files, whoever made them and when."""
        sums = _read_json(self.folder / CHECKSUMS_FILE)
        return sha256("".join(f"{name} {sums[name]}\n" for name in TABLES).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in FILES)

    def bins(self, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Columns of the bins table, each of shape (n_bins,); all that it holds without ``names``."""
        wanted = list(names) if names is not None else self._held(BINS_FILE)
        self._require(wanted, BINS_FILE)
        table = self._bins_table(wanted)
        return {name: _array(table.column(name)) for name in wanted}

    def columns(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Columns of the grid, each of shape (n_bins, 2R + 1), k ascending along the second axis."""
        self._require(names, GRID_FILE)
        shape = (self.n_bins, 2 * self.radius + 1)
        loaded: dict[str, NDArray[Any]] = {}
        with self._reading(GRID_FILE) as path, pq.ParquetFile(path) as file:
            for name in names:  # one by one: Arrow's copy of a column is gone before the next is read
                loaded[name] = _array(file.read([name]).column(0)).reshape(shape)
        return loaded

    def grid(self, name: str) -> NDArray[Any]:
        """One column of the grid, shape (n_bins, 2R + 1), memory-mapped: looked at without a copy, and read-only.

        The dataset itself is compressed, so nothing in it can be mapped. A column's first use decodes it once into the lake's
        cache (8 bytes a cell; may be deleted), and it is mapped from there, in this process and any other. A dataset outside a
        lake, or a lake that cannot be written to, has no such place: there the column is decoded into memory each time.

        Raises
        ------
        DatasetError
            There is no such column; names like it are told.
        """
        name = grid_name(name)
        if self.lake is None:
            return self.columns([name])[name]
        kept = self.lake.cache / "columns" / self.checksum[:32] / f"{name}.npy"
        shape, dtype = (self.n_bins, 2 * self.radius + 1), np.dtype(GRID_COLUMNS[name])
        for attempt in range(2):
            try:
                mapped = np.load(kept, mmap_mode="r")
                if mapped.shape == shape and mapped.dtype == dtype:
                    return np.asarray(mapped)  # a plain array over the map
            except (OSError, ValueError, EOFError):
                pass  # not kept yet, or damaged: made anew
            if attempt == 0 and not self._keep(name, kept):
                break
        return self.columns([name])[name]

    def scan(self) -> "pl.LazyFrame":
        """The bins as a lazy polars frame: what a query needs is read when it is collected."""
        import polars as pl

        bins = pl.scan_parquet(self.folder / BINS_FILE, glob=False)
        return first_schema.frame_with_marks(bins) if self._is_first else bins

    def scan_grid(self) -> "pl.LazyFrame":
        """The grid as a lazy polars frame, a row for each (bin_seq, k)."""
        import polars as pl

        return pl.scan_parquet(self.folder / GRID_FILE, glob=False)

    def to_arrow(self, columns: str | Iterable[str] | None = None) -> pa.Table:
        """The bins as an Arrow table, a row each; ``columns`` names the fields to take, in this order, default all it holds."""
        wanted = self._held(BINS_FILE) if columns is None else field_names(columns)
        self._require(wanted, BINS_FILE)
        return self._bins_table(wanted)

    def _bins_table(self, columns: Sequence[str]) -> pa.Table:
        with self._reading(BINS_FILE) as path:
            table = pq.read_table(path, columns=columns)
        return first_schema.table_with_marks(table) if self._is_first else table

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        """One of the files; what cannot be read of it is one line."""
        path = self.folder / name
        try:
            yield path
        except (pa.ArrowException, OSError) as error:
            told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DatasetError(
                f"dataset {self.folder.name} is damaged: {name} cannot be read ({told}). "
                f"Remove {self.folder} and publish it again"
            ) from error

    def _keep(self, name: str, path: Path) -> bool:
        """Decode a column into the cache; whether it lies there now."""
        buffer = io.BytesIO()
        np.save(buffer, self.columns([name])[name])
        return write_kept(path, buffer.getvalue())

    def verify(self) -> None:
        """Hash every file and check shape and order of the tables.

        Raises
        ------
        DatasetError
            Naming the file, or the column, that is not as it was written.
        """
        sums = _read_json(self.folder / CHECKSUMS_FILE)
        for name in (*TABLES, MANIFEST_FILE):
            actual = sha256_file(self.folder / name)
            if sums.get(name) != actual:
                raise DatasetError(
                    f"dataset {self.folder.name} is damaged: {name} has SHA-256 {actual[:12]}..., {CHECKSUMS_FILE} says "
                    f"{str(sums.get(name))[:12]}.... Remove {self.folder} and publish it again"
                )
        rows = 2 * self.radius + 1
        for name, expected in ((BINS_FILE, self.n_bins), (GRID_FILE, self.n_bins * rows)):
            with self._reading(name) as path:
                found = pq.read_metadata(path).num_rows
            if found != expected:
                raise DatasetError(f"dataset {self.folder.name}: {name} has {found} rows, the manifest asks for {expected}")
        order = np.arange(self.n_bins)
        columns = self.columns(["bin_seq", "k"])
        if (
            not np.array_equal(self.bins(["bin_seq"])["bin_seq"], order)
            or not (columns["bin_seq"] == order[:, None]).all()
            or not (columns["k"] == self.k_values).all()
        ):
            raise DatasetError(f"dataset {self.folder.name}: rows are not sorted by (bin_seq, k) without a gap")

    def require(self, columns: Iterable[str], fields: Iterable[str]) -> None:
        """Refuse what the dataset does not hold, before anything is read.

        Raises
        ------
        DatasetError
            A column of the grid, or a field of the bins, is unknown, or younger than the dataset.
        """
        self._require(list(columns), GRID_FILE)
        self._require(list(fields), BINS_FILE)

    def _held(self, file: str) -> list[str]:
        """Columns of a table, in the schema's order."""
        written = self.manifest["columns"]["bins" if file == BINS_FILE else "grid"]
        return [name for name in _KNOWN[file]().names if name in written]

    def _require(self, wanted: Sequence[str], file: str) -> None:
        known = _KNOWN[file]().names
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise DatasetError(f"{file} has no column {', '.join(unknown)} ({among(unknown[0], known, len(known))})")
        held = self._held(file)
        absent = [name for name in wanted if name not in held]
        if absent:
            raise DatasetError(
                f"dataset {self.folder.name} has no column {', '.join(absent)}: schema version {self.manifest['schema_version']} "
                f"was without, and {SCHEMA_VERSION} has them. Publish its file again under another id"
            )


@dataclass(frozen=True)
class DatasetSummary:
    """One line of a listing; ``problem`` says why a folder cannot be used, and is empty where it can."""

    dataset_id: str
    n_bins: int
    start_ns: int
    end_ns: int
    symbol: str
    sources: tuple[str, ...]
    config_version: str
    overrides: dict[str, Any]
    size_bytes: int
    verified: bool
    problem: str
    is_sealed: bool = False  # held out: see `engine.dataset.sealed`


def list_datasets(lake: Lake) -> list[DatasetSummary]:
    """Every dataset of the lake by id, unusable folders included."""
    if not lake.datasets.is_dir():
        return []
    folders = sorted(p for p in lake.datasets.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [_summary(folder, lake) for folder in folders]


def _summary(folder: Path, lake: Lake) -> DatasetSummary:
    try:
        dataset = Dataset(folder)
        manifest = dataset.manifest
        return DatasetSummary(
            dataset_id=folder.name,
            n_bins=dataset.n_bins,
            start_ns=int(manifest["start_ns"]),
            end_ns=int(manifest["end_ns"]),
            symbol=str(manifest["config"].get("symbol", "")),
            sources=tuple(Path(str(source["path"])).name for source in manifest["source_files"]),
            config_version=str(manifest["config_version"]),
            overrides=dict(manifest["overrides"]),
            size_bytes=dataset.size_bytes,
            verified=_remembered(folder, lake) == _fingerprint(folder),
            problem="",
            is_sealed=seal_of(lake, manifest) is not None,
        )
    except DatasetError as error:
        return DatasetSummary(folder.name, 0, 0, 0, "", (), "", {}, 0, False, str(error))
    except KeyError as error:
        return DatasetSummary(folder.name, 0, 0, 0, "", (), "", {}, 0, False, f"{MANIFEST_FILE} lacks {error}.")


def verify(lake: Lake, dataset_id: str) -> Dataset:
    """Hash and check a dataset now, whatever is remembered of it."""
    folder = lake.datasets / dataset_id
    _verified.pop(folder, None)
    _record(folder, lake).unlink(missing_ok=True)
    return Dataset.open(lake, dataset_id)


def remember_verified(folder: Path, lake: Lake) -> None:
    """Note on disk that the files as they lie were found sound, for this and every other process."""
    mark = _fingerprint(folder)
    _verified[folder] = mark
    write_kept(_record(folder, lake), mark.encode())  # where it cannot be, each process verifies for itself


def _record(folder: Path, lake: Lake) -> Path:
    return lake.cache / "verified" / f"{folder.name}.txt"


def _remembered(folder: Path, lake: Lake) -> str | None:
    record = _record(folder, lake)
    return record.read_text() if record.is_file() else None


def _fingerprint(folder: Path) -> str:
    """Size, times and inode of each file: changes when a file does, and costs four stats."""
    stats = [(name, (folder / name).stat()) for name in FILES if (folder / name).exists()]
    return "\n".join(f"{name} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for name, s in stats)


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(column.to_numpy())
    array.setflags(write=False)
    return array


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} must hold a JSON object")
    return content
