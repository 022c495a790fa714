"""A replay made into a dataset, with everything in its manifest that is needed to make it again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine import constants as c
from engine.config import InstrumentConfig, validate
from engine.dataset.lineage import CONTENT
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset
from engine.errors import DatasetError, SourceError
from engine.hours import calendar_version, read_session_kind
from engine.lake import Lake
from engine.run.block import BinBlock
from engine.run.hours_told import HoursCheck
from engine.run.replay import Replay, first_bin_ns
from engine.source.content import Content
from engine.source.records import Source, open_source
from engine.source.rolls import Stretch

_DERIVED = ("projection_horizons_ms", "config_version")


def _provenance(replay: Replay, overrides: Mapping[str, Any], hours: HoursCheck) -> Callable[[], dict[str, Any]]:
    """What the manifest says of a replay; called when the last block is written, since only then the counts are known."""

    def resolve() -> dict[str, Any]:
        config = replay.runner.config
        signal = replay.runner.signal
        files = [{**file, "path": str(Path(file["path"]).resolve())} for file in replay.source.provenance()]
        return {
            "source_files": files,
            "dt": replay.source.dt.isoformat(),
            "session": told_session(replay.source),
            "start_time": replay.start_time,
            "calendar": calendar_version(config.symbol_root),
            "config": config.resolved(),
            "config_version": config.config_version,
            "overrides": dict(overrides),
            "runtime_model": None if signal is None else {"name": signal.name, **signal.params.model_dump(mode="json")},
            "anomalies": dict(replay.anomalies),
            "first_anomalies": replay.runner.first_anomalies,
            "quality": dict(replay.quality_counts),
            "silences": replay.runner.silences,
            "notices": [*replay.notices, *hours.notices()],
            "assumed_symbol": replay.source.assumes_symbol,
            **({} if replay.content is None else {CONTENT: replay.content.told()}),
        }

    return resolve


def told_session(source: Source) -> dict[str, Any]:
    """What a manifest says of the session: its kind, the bounds of what was played, UTC ns, and whether it begins at a roll."""
    stretch = source.stretch
    return {
        "kind": stretch.kind,
        "start_ns": stretch.start_ns,
        "end_ns": stretch.end_ns,
        "is_after_roll": stretch.is_after_roll,
    }


def stretch_of(manifest: Mapping[str, Any]) -> Stretch:
    """What of a session a dataset's manifest says was played; all of the UTC day where it is older than that."""
    told = manifest.get("session")
    if told is None:
        return Stretch.whole(date.fromisoformat(manifest["dt"]))
    kind = read_session_kind(told["kind"])
    return Stretch(kind, told["start_ns"], told["end_ns"], manifest["config"]["symbol"], told["is_after_roll"])


def require_whole_book(source: Source, start_time: str | None) -> None:
    """Refuse a source whose book is not known to be whole when the first bin opens; nothing is replayed for that.

    A book is whole from a snapshot or a clear on, on whatever day that was, until the contract's id changes without one. Read is
    only up to the first bin, or to the snapshot or clear that the session itself opens with.

    Raises
    ------
    SourceError
        The source starts cold.
    """
    start, end = source.window
    first_bin = start if start_time is None else max(start, first_bin_ns(source, start_time))
    is_whole, last_id = False, -1
    for records in source.records():
        ids = records["instrument_id"].astype(np.int64)
        changes = np.diff(ids, prepend=ids[0] if last_id < 0 else last_id) != 0
        last_id = int(ids[-1])
        ts, captured = records["ts_event"], records["ts_recv"]
        snapshot, clear = records["flags"] & c.F_SNAPSHOT != 0, records["action"] == c.ACTION_CLEAR
        loses = changes & clear & ~snapshot & (records["flags"] & c.F_MAYBE_BAD_BOOK != 0)  # the source's own, between two ids
        makes = (snapshot | clear) & ~loses
        # A time of capture that is none leaves it to the record's own.
        is_own = np.where((captured == 0) | (captured >= 2**63), ts >= start, (captured >= start) & (captured < end))
        opens = makes & is_own
        in_bins = ~(snapshot | clear) & is_own & (ts >= first_bin) & (ts < end)
        decides = np.flatnonzero(opens | in_bins)
        n = int(decides[0]) + 1 if len(decides) else len(records)
        turns = np.flatnonzero((makes | loses)[:n])
        if len(turns):
            is_whole = bool(makes[turns[-1]])
        if not len(decides):
            continue
        if is_whole:
            return
        raise SourceError(
            f"{source.files[0].path} starts cold: no snapshot or clear comes before the first bin, so orders that rested before "
            "are missing from the book. Give the file that opens with a snapshot, or add --allow-cold to take it as it is"
        )


def write_replay(
    replay: Replay,
    write: Callable[[Iterator[BinBlock], Callable[[], dict[str, Any]]], Dataset],
    *,
    overrides: Mapping[str, Any] | None = None,
    allow_cold: bool = False,
    needs_all_bins: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Run a replay into a dataset: the one way in which a dataset is made of records.

    Parameters
    ----------
    write
        Takes the blocks and what goes into the manifest: ``partial(publish_dataset, lake, dataset_id)`` or
        ``partial(write_dataset_dir, folder)``.
    overrides
        Instrument fields set for this run, beyond the instrument's file: they belong to the recipe.
    allow_cold
        Take a source that opens without a snapshot or a clear; its bins are marked cold.
    needs_all_bins
        Refuse to write fewer bins than the replay was asked for.
    progress
        Called after each block with the number of bins made so far.

    Raises
    ------
    EngineError
        The source starts cold, gives too little, or the dataset cannot be written.
    """
    if not allow_cold:
        require_whole_book(replay.source, replay.start_time)
    wanted = replay.runner.span.n_bins
    day_start, day_end = replay.source.window
    first = replay.runner.span.first_bin
    hours = HoursCheck(replay.runner.config.symbol_root, replay.runner.engine.sessions)
    content = replay.content = Content(day_start if first is None else first, day_end)

    def blocks() -> Iterator[BinBlock]:
        made = 0
        for block in replay:
            hours.see(block.bins)
            content.cover(int(block.bins["bin_start_ns"][0]), int(block.bins["bin_end_ns"][-1]))
            yield block
            made += block.n
            if progress is not None:
                progress(made)
        if needs_all_bins and wanted is not None and made < wanted:
            raise DatasetError(
                f"{replay.source.files[-1].path} gave only {made} of the {wanted} bins wanted; "
                "give a file that reaches further, or ask for fewer"
            )

    return write(blocks(), _provenance(replay, overrides or {}, hours))


def publish_replay(
    lake: Lake,
    dataset_id: str,
    source: Source | Sequence[Path],
    config: InstrumentConfig,
    *,
    dt: date | None = None,
    start_time: str | None = None,
    n_bins: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    allow_cold: bool = False,
    assumes_symbol: bool = False,
    needs_all_bins: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Replay a source into a dataset of the lake: `write_replay` of a `Replay` made here.

    Parameters
    ----------
    source
        Opened already, or the files of it.
    assumes_symbol
        As `open_source` takes it, where files are given.

    Raises
    ------
    EngineError
        The files, the configuration or the id are not usable, the source starts cold, or the id holds other content.
    """
    if not isinstance(source, Source):
        source = open_source(source, config, dt, assumes_symbol=assumes_symbol)
    return write_replay(
        Replay(source, config, start_time, n_bins, checkpoints=lake.book_checkpoints),
        partial(publish_dataset, lake, dataset_id),
        overrides=overrides,
        allow_cold=allow_cold,
        needs_all_bins=needs_all_bins,
        progress=progress,
    )


def recipe_config(base: Dataset, overrides: Mapping[str, Any]) -> InstrumentConfig:
    """The instrument a dataset was made with, some fields changed.

    Raises
    ------
    ConfigError
        A field is unknown or its value not allowed.
    """
    values = {name: value for name, value in base.manifest["config"].items() if name not in _DERIVED}
    config: InstrumentConfig = validate(InstrumentConfig, {**values, **overrides}, f"dataset {base.dataset_id}'s variant")
    return config


def publish_variant(
    lake: Lake,
    dataset_id: str,
    base: Dataset,
    overrides: Mapping[str, Any],
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Make a dataset again from its source files, with some instrument fields changed.

    Raises
    ------
    DatasetError
        A source file has gone or is no longer the same.
    """
    config = recipe_config(base, overrides)
    files = base.manifest["source_files"]
    for file in files:
        if not Path(file["path"]).is_file():
            raise _gone(base, file)
    source = open_source(
        [Path(file["path"]) for file in files],
        config,
        date.fromisoformat(base.manifest["dt"]),
        assumes_symbol=base.manifest.get("assumed_symbol", False),  # taken as it is once, taken as it is again
        stretch=stretch_of(base.manifest),
    )
    # Of the very files that are read: between a look at a path and its opening the file may become another one.
    for file, opened in zip(files, source.files, strict=True):
        if opened.sha256 != file["sha256"]:
            raise _gone(base, file)
    span_ns = int(base.manifest["end_ns"]) - int(base.manifest["start_ns"])
    return publish_replay(
        lake,
        dataset_id,
        source,
        config,
        start_time=base.manifest["start_time"],
        n_bins=max(1, span_ns // (config.cell_width_ms * c.NS_PER_MS)),  # the same span, in bins that may be wider
        overrides={**base.manifest["overrides"], **overrides},
        allow_cold="cold" in base.manifest.get("quality", {}),
        progress=progress,
    )


def _gone(base: Dataset, file: Mapping[str, Any]) -> DatasetError:
    return DatasetError(
        f"dataset {base.dataset_id} was made from {file['path']}, which is missing or no longer the same file; "
        "put it back to make variants of it"
    )
