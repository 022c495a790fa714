"""What `replay` and `book` do, as plain functions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from engine.book.owner import view_book
from engine.config import InstrumentConfig, load_instrument, parse_overrides
from engine.constants import NS_PER_DAY, NS_PER_S
from engine.dataset.capture import provenance, require_whole_book
from engine.dataset.publish import publish_dataset, write_dataset_dir
from engine.errors import ConfigError
from engine.lake import Lake, raw_file
from engine.progress import Progress
from engine.run.block import BinBlock
from engine.run.replay import SESSION_TZ, Replay
from engine.run.runner import Runner, Span
from engine.source.dbn_file import day_start_ns
from engine.source.records import Source, open_source


def read_day(text: str | None) -> date | None:
    """A UTC day.

    Raises
    ------
    ConfigError
        When it is not YYYY-MM-DD.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--dt was {text!r}; give a UTC day as YYYY-MM-DD, like 2026-02-06") from None


@dataclass(frozen=True)
class ReplaySummary:
    """What a replay left behind."""

    dataset_id: str
    folder: str
    n_bins: int
    n_events: int
    start: str
    end: str
    config_version: str
    anomalies: dict[str, int]
    first_anomalies: dict[str, dict[str, int]]
    quality: dict[str, int]
    notices: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For a reader: what was written, then everything that was odd."""
        yield f"{self.dataset_id}: {self.n_bins} bins from {self.n_events} events, {self.start} to {self.end}, in {self.folder}"
        for kind, n in self.anomalies.items():
            first = self.first_anomalies[kind]
            yield f"  {n} x {kind}, first: " + " ".join(f"{name}={value}" for name, value in first.items())
        for kind, n in self.quality.items():
            yield f"  {n} bins marked {kind}"
        for notice in self.notices:
            yield f"  {notice}"


def dataset_id_of(source: Source, config: InstrumentConfig, start_time: str | None, n_bins: int | None) -> str:
    """The name a dataset gets when none is given: contract, day, start, length, and the configuration's version."""
    start = start_time.replace(":", "") if start_time else "open"
    length = f"_{n_bins}bins" if n_bins else ""
    return f"{config.symbol}_{source.dt:%Y%m%d}_{start}{length}__{config.config_version[:8]}"


def replay_to_dataset(
    lake: Lake,
    *,
    dbn: Path | None,
    dt: str | None,
    start_time: str | None,
    n_bins: int | None,
    overrides: Sequence[str],
    out: Path | None,
    dataset_id: str | None,
    allow_cold: bool = False,
) -> ReplaySummary:
    """Replay one session into ``out``, or into the lake under ``dataset_id`` (empty: a name made from the session).

    The lake takes a source that starts cold only with ``allow_cold``; a folder takes it as it is, its bins marked.

    Raises
    ------
    EngineError
        One line, for anything the user can mend.
    """
    changes = parse_overrides(overrides)
    config = load_instrument(overrides=changes)
    if dbn is None:
        if dt is None:
            raise ConfigError("neither --dbn nor --dt was given; name a file, or a day whose raw file lies in the lake")
        day = read_day(dt)
        dbn = raw_file(lake, config.symbol_root, f"{day:%Y-%m-%d}")
    source = open_source([dbn], config, read_day(dt))
    if out is None and not allow_cold:
        require_whole_book(source, start_time)
    replay = Replay(source, config, start_time, n_bins, checkpoints=lake.book_checkpoints)
    recipe = provenance(replay, changes, start_time)
    with Progress("replaying") as progress:
        blocks = _watched(replay, progress, n_bins)
        if out is not None:
            dataset = write_dataset_dir(out, blocks, recipe)
        else:
            dataset = publish_dataset(lake, dataset_id or dataset_id_of(source, config, start_time, n_bins), blocks, recipe)
    return ReplaySummary(
        dataset_id=dataset.dataset_id,
        folder=str(dataset.folder),
        n_bins=dataset.n_bins,
        n_events=replay.runner.n_events,
        start=_clock(dataset.manifest["start_ns"]),
        end=_clock(dataset.manifest["end_ns"]),
        config_version=config.config_version,
        anomalies=replay.anomalies,
        first_anomalies=replay.runner.first_anomalies,
        quality=replay.quality_counts,
        notices=replay.notices,
    )


def _clock(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_S, ZoneInfo(SESSION_TZ)).strftime("%Y-%m-%d %H:%M:%S ET")


def _watched(replay: Replay, progress: Progress, n_bins: int | None) -> Iterator[BinBlock]:
    done = 0
    for block in replay:
        done += block.n
        progress.update(done / n_bins if n_bins else None, f"{done} bins, {_clock(int(block.bins['bin_end_ns'][-1]))}")
        yield block


def book_at(files: Sequence[Path], at: str | None, depth: int) -> dict[str, Any]:
    """The book after the last record at or before ``at``: levels, sizes, orders, anomalies; prices in dollars.

    Raises
    ------
    EngineError
        One line, for a bad file, moment or depth.
    """
    if depth < 1:
        raise ConfigError(f"--depth was {depth}; it must be at least 1")
    config = load_instrument()
    source = open_source(files, config)
    day_start, day_end = source.window
    # Several files reach over several days, and nothing but the book is wanted: no bins, hence no day to keep to.
    first = min(day_start_ns(file.first_day) for file in source.files)
    moment = _moment(at)
    runner = Runner(config, Span(min(first, day_start), day_end, first_bin=day_end + NS_PER_DAY))
    with Progress("reading") as progress:
        for records in source.records():
            late = [] if moment is None else np.flatnonzero(records["ts_recv"] > moment).tolist()
            for _ in runner.feed(records[: late[0]] if late else records, 1):
                pass
            progress.update(None, f"{runner.n_events} events")
            if late:
                break
    values = view_book(runner.engine.book, config.tick_int, depth).to_json()
    return {
        "symbol": config.symbol,
        "files": [str(path) for path in files],
        **values,
        "n_events": runner.n_events,
        "anomalies": runner.anomalies,
        "notices": source.notices,
    }


def _moment(at: str | None) -> int | None:
    if at is None:
        return None
    # datetime knows microseconds only; the nanoseconds behind them are kept by hand.
    fraction = re.search(r"\.(\d{1,9})", at)
    try:
        when = datetime.fromisoformat(at if fraction is None else at.replace(fraction.group(0), ""))
    except ValueError:
        raise ConfigError(f"--at was {at!r}; give an ISO time such as 2026-02-06T14:30:00, UTC without an offset") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * NS_PER_S + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)
