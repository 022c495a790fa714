"""The public face: what a person at a prompt or in a notebook does, each in one line; `import engine` names them all."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from engine.config import InstrumentConfig, load_instrument
from engine.dataset.capture import publish_replay
from engine.dataset.read import Dataset
from engine.dataset.read import list_datasets as summaries
from engine.door import read_day
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake, user_path
from engine.run.block import BinBlock
from engine.run.frames import BinFrames
from engine.run.replay import Replay
from engine.run.whole import WholeReplay
from engine.signals.base import SignalContext, SignalLike, signal_inputs
from engine.signals.registry import get_signal, params_of
from engine.simulate.edge import read_edge
from engine.simulate.session import simulate
from engine.source.held_file import HeldFile
from engine.source.records import open_source

if TYPE_CHECKING:
    import polars as pl

AnyLake = str | Path | Lake | None


def list_datasets(lake: AnyLake = None) -> "pl.DataFrame":
    """What a lake holds, a row a dataset by id.

    Parameters
    ----------
    lake
        Its path, or a `Lake`; None for ``$SPYMASTER_LAKE``, else ``lake/``.

    Returns
    -------
    polars.DataFrame
        ``dataset_id, symbol, start, end`` (UTC), ``n_bins, size_mb, config_version``, ``verified`` whether its files are known to
        be as written, ``problem`` why it cannot be used (empty where it can).

    Examples
    --------
    >>> import engine
    >>> engine.list_datasets().select("dataset_id", "symbol", "n_bins").rows()
    [('morning', 'MNQH6', 1200)]
    """
    import polars as pl

    found = summaries(Lake.open(lake))
    utc = pl.Datetime("ns", "UTC")
    schema: dict[str, Any] = {
        "dataset_id": pl.String,
        "symbol": pl.String,
        "start": utc,
        "end": utc,
        "n_bins": pl.Int64,
        "size_mb": pl.Float64,
        "config_version": pl.String,
        "verified": pl.Boolean,
        "problem": pl.String,
    }
    rows = [
        (
            one.dataset_id,
            one.symbol,
            one.start_ns or None,
            one.end_ns or None,
            one.n_bins,
            round(one.size_bytes / 1e6, 1),
            one.config_version,
            one.verified,
            one.problem,
        )
        for one in found
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def open_dataset(dataset_id: str, lake: AnyLake = None) -> Dataset:
    """A dataset of a lake, verified.

    Parameters
    ----------
    lake
        Its path, or a `Lake`; None for ``$SPYMASTER_LAKE``, else ``lake/``.

    Raises
    ------
    DatasetError
        There is none of that id (ids like it are told), or it is damaged.

    Examples
    --------
    >>> import engine
    >>> dataset = engine.open_dataset("morning")
    >>> dataset.dataset_id, dataset.n_bins, dataset.radius
    ('morning', 1200, 50)
    >>> dataset.to_polars(["bin_seq", "mid_price"]).shape
    (1200, 2)
    >>> dataset.grid("v_add").shape
    (1200, 101)
    """
    if not isinstance(dataset_id, str):
        raise DatasetError(f"dataset was {dataset_id!r}; give the id of one as text. engine.list_datasets() shows them")
    return Dataset.open(Lake.open(lake), dataset_id)


class FileReplay:
    """A replay of one file: iterate over it for blocks as they come, or take it `whole`. Each look starts anew.

    Examples
    --------
    >>> import engine
    >>> next(iter(engine.replay("morning_20260206.dbn.zst")))
    <BinBlock bins 0 to 255, 2026-02-06 14:00:00 to 14:00:25 UTC, 101 rows each>
    """

    def __init__(
        self,
        path: Path,
        config: InstrumentConfig,
        day: date | None,
        start_time: str | None,
        n_bins: int | None,
        assumes_symbol: bool,
    ) -> None:
        self.path, self.config = path, config
        self._how = (day, start_time, n_bins, assumes_symbol)
        self._file: HeldFile | None = None
        self._unused: Replay | None = self._begin()  # now, so that what is wrong is refused here

    def __repr__(self) -> str:
        return f"<FileReplay of {self.path}: {self.config.symbol} in bins of {self.config.cell_width_ms} ms>"

    def __iter__(self) -> Iterator[BinBlock]:
        begun, self._unused = self._unused or self._begin(), None  # a runner goes one way only
        return iter(begun)

    def _begin(self) -> Replay:
        day, start_time, n_bins, assumes_symbol = self._how
        source = open_source([self.path], self.config, day, assumes_symbol=assumes_symbol)
        self._file = self._file or source.files[0].held
        self._file.require_in_place()  # two looks are of one file
        return Replay(source, self.config, start_time, n_bins)

    def whole(self) -> WholeReplay:
        """Every bin at once, to be looked at as a dataset is; 30 kB of memory a bin at 101 rows."""
        return WholeReplay(self, self.config, str(self.path))


def replay(
    file: str | Path,
    *,
    symbol: str | None = None,
    dt: str | date | None = None,
    start_time: str | None = None,
    n_bins: int | None = None,
    instrument: str | Path | None = None,
    assume_symbol: bool = False,
    **overrides: Any,
) -> FileReplay:
    """Replay a DBN file into blocks of bins, through the loop that also makes datasets and streams.

    Parameters
    ----------
    file
        A market-by-order ``.dbn`` or ``.dbn.zst``.
    symbol
        Raw symbol of the one contract; default the instrument's.
    dt
        UTC day of the session, ``YYYY-MM-DD``; default the day in the file's name.
    start_time
        New York time of the first bin, HH:MM or HH:MM:SS; default the first event.
    n_bins
        Stop after so many bins.
    instrument
        A YAML file; default the instrument of this environment.
    assume_symbol
        Take a file of one instrument that nowhere says whose records it holds as the contract's.
    overrides
        Instrument fields, as with ``--set``.

    Raises
    ------
    ConfigError, SourceError
        An argument is not allowed, or the file is not the contract's.

    Examples
    --------
    >>> import engine
    >>> for block in engine.replay("morning_20260206.dbn.zst", symbol="MNQH6", n_bins=300):
    ...     print(block.n, block.grid["v_add"].shape)
    256 (256, 101)
    44 (44, 101)
    >>> engine.replay("morning_20260206.dbn.zst").whole().to_arrow("mid_price").num_rows
    1200
    """
    path, config, day = _recipe(file, symbol, dt, instrument, overrides)
    return FileReplay(path, config, day, _clock(start_time), _count(n_bins), assume_symbol)


def publish(
    file: str | Path,
    dataset_id: str,
    *,
    lake: AnyLake = None,
    symbol: str | None = None,
    dt: str | date | None = None,
    start_time: str | None = None,
    n_bins: int | None = None,
    instrument: str | Path | None = None,
    allow_cold: bool = False,
    assume_symbol: bool = False,
    **overrides: Any,
) -> Dataset:
    """Replay a DBN file into a dataset of a lake.

    Parameters
    ----------
    dataset_id
        Letters, digits, dot, dash and underscore. The same content under the same id is found again, other content refused.
    allow_cold
        Take a file that opens without a snapshot or a clear; its bins are marked cold.
    file, lake, symbol, dt, start_time, n_bins, instrument, assume_symbol, overrides
        As in `replay` and `open_dataset`.

    Raises
    ------
    EngineError
        An argument is not allowed, the file is not the contract's or starts cold, or the id holds other content.

    Examples
    --------
    >>> import engine
    >>> engine.publish("morning_20260206.dbn.zst", "morning").n_bins
    1200
    """
    path, config, day = _recipe(file, symbol, dt, instrument, overrides)
    if not isinstance(dataset_id, str):
        raise DatasetError(f"dataset id was {dataset_id!r}; give it as text")
    changed = overrides if symbol is None else {"symbol": symbol, **overrides}
    return publish_replay(
        Lake.open(lake),
        dataset_id,
        [path],
        config,
        dt=day,
        start_time=_clock(start_time),
        n_bins=_count(n_bins),
        overrides=changed,
        allow_cold=allow_cold,
        assumes_symbol=assume_symbol,
    )


def simulate_session(file: str | Path, *, seed: int, seconds: float, **options: Any) -> Path:
    """Write a believable session of one contract as a real DBN file; the same arguments give the same bytes.

    Parameters
    ----------
    file
        A name ending in ``.dbn`` or ``.dbn.zst`` in an existing folder; replaced where it is there.
    seconds
        Length of the session.
    options
        ``rate`` (records a second), ``start`` (New York time), ``symbol``, as in `engine.simulate.session.simulate`, and
        ``edge``: one to be planted, as the text that ``simulate --edge`` takes.

    Raises
    ------
    ConfigError
        An argument is not allowed.

    Examples
    --------
    >>> import engine
    >>> engine.simulate_session("two_seconds.dbn", seed=1, seconds=2.0).name
    'two_seconds.dbn'
    """
    unknown = [name for name in options if name not in ("rate", "start", "symbol", "edge")]
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]!r} of a simulated session; allowed are: rate, start, symbol, edge")
    if not isinstance(file, str | Path):
        raise ConfigError(f"file was {_kind(file)}; give the path of a .dbn or .dbn.zst file")
    for name, value in {"seed": seed, "seconds": seconds, "rate": options.get("rate", 1.0)}.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} was {value!r}; it must be a number")
    edge = read_edge(options.pop("edge")) if "edge" in options else None
    return simulate(user_path(file), seed=seed, seconds=seconds, edge=edge, **options).path


def run_signal(
    signal: str | type[SignalLike] | SignalLike, data: str | BinFrames, *, lake: AnyLake = None, **parameters: Any
) -> "pl.DataFrame":
    """A signal's outputs over all bins, by the kernel that also runs live.

    Parameters
    ----------
    signal
        Name of a known one; or a class of your own; or a signal, whose parameters count and whose state is left alone.
    data
        A dataset, the id of one, or a replay taken `whole`.
    lake
        Where the id is looked for.
    parameters
        Of the signal; what is not given takes its default.

    Returns
    -------
    polars.DataFrame
        ``bin_seq, score, ready, sample_count``, then what else the signal says. `tune.judge` takes it as it is.

    Raises
    ------
    ConfigError, DatasetError
        The signal, a parameter, or the dataset is not known or not allowed.

    Examples
    --------
    >>> import engine
    >>> outputs = engine.run_signal("pfp", "morning", lag_bins=3)
    >>> outputs.columns
    ['bin_seq', 'score', 'ready', 'sample_count']
    >>> len(outputs)
    1200
    """
    import polars as pl

    bins = open_dataset(data, lake) if isinstance(data, str) else data
    if not isinstance(bins, BinFrames):
        raise DatasetError(f"data was {_kind(data)}; give a dataset, the id of one, or engine.replay(...).whole()")
    scorer = _signal(signal, SignalContext(bins.cell_width_ms, bins.radius, bins.tick_int), parameters)
    grid = {name: bins.grid(name) for name in scorer.required_columns}
    outputs = scorer.run(signal_inputs(scorer, grid, bins.bins(scorer.required_fields)))
    names = [name for name in outputs.dtype.names or () if name != "bin_seq"]
    table = pa.table({"bin_seq": np.arange(bins.n_bins), **{name: np.ascontiguousarray(outputs[name]) for name in names}})
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _signal(signal: Any, context: SignalContext, parameters: Mapping[str, Any]) -> SignalLike:
    """A fresh signal of a name, a class, or another signal."""
    if isinstance(signal, str):
        signal = get_signal(signal)
    if isinstance(signal, type) and hasattr(signal, "Params") and hasattr(signal, "run"):
        made: SignalLike = signal(params_of(signal, parameters, context, _MEND), context)
        return made
    if isinstance(signal, type) or not (hasattr(signal, "params") and hasattr(signal, "run")):
        raise ConfigError(f"signal was {_kind(signal)}; give a name, a class made from engine.Signal, or a signal of one")
    if parameters:
        raise ConfigError(
            f"{', '.join(parameters)} cannot be changed: {signal.name} is made already. Give its class, or leave parameters out"
        )
    twin: SignalLike = type(signal)(signal.params, context)
    return twin


_MEND = "Pass {key}=VALUE"


def _recipe(
    file: Any, symbol: Any, dt: Any, instrument: Any, overrides: Mapping[str, Any]
) -> tuple[Path, InstrumentConfig, date | None]:
    """The file, the instrument and the day that a replay is made of."""
    if not isinstance(file, str | Path):
        raise ConfigError(f"file was {_kind(file)}; give the path of a .dbn or .dbn.zst file")
    if not isinstance(instrument, str | Path | None):
        raise ConfigError(f"instrument was {_kind(instrument)}; give the path of a YAML file, or leave it out")
    if not isinstance(dt, str | date | None):
        raise ConfigError(f"dt was {dt!r}; give a UTC day as YYYY-MM-DD, like 2026-02-06")
    changed = dict(overrides) if symbol is None else {"symbol": symbol, **overrides}
    config = load_instrument(None if instrument is None else user_path(instrument), changed)
    return user_path(file), config, read_day(dt, "dt") if isinstance(dt, str) else dt


def _clock(start_time: Any) -> str | None:
    if not isinstance(start_time, str | None):
        raise ConfigError(f"start_time was {start_time!r}; give New York wall-clock time as HH:MM or HH:MM:SS, like '09:25'")
    return start_time


def _count(n_bins: Any) -> int | None:
    if n_bins is not None and (isinstance(n_bins, bool) or not isinstance(n_bins, int) or n_bins < 1):
        raise ConfigError(f"n_bins was {n_bins!r}; it must be a whole number, at least 1")
    return n_bins


def _kind(value: Any) -> str:
    """A value that is no use, short enough for a line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
