"""`replay`: a DBN file becomes bins, in a folder or as a dataset of the lake."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.config import InstrumentConfig, load_instrument, parse_overrides
from engine.constants import NS_PER_S
from engine.dataset.capture import write_replay
from engine.dataset.publish import publish_dataset, write_dataset_dir
from engine.dataset.read import Dataset
from engine.door import print_json, read_day
from engine.errors import ConfigError
from engine.lake import Lake, raw_file
from engine.run.replay import SESSION_TZ, Replay
from engine.source.records import Source, open_source
from engine.tables import Progress


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    summary = replay_to_dataset(
        Lake.open(args.lake),
        dbn=args.dbn,
        dt=args.dt,
        start_time=args.start_time,
        n_bins=args.bins,
        overrides=args.set,
        out=args.out,
        dataset_id=args.publish,
        allow_cold=args.allow_cold,
        assumes_symbol=args.assume_symbol,
    )
    if args.json:
        print_json(summary.to_json())
    else:
        for line in summary.lines():
            print(line)
    return 0


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
    silences: dict[str, int] = field(default_factory=dict)
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
        for kind, n in self.silences.items():
            yield f"  {n} silences of more than a minute: {kind.replace('_', ' ')}"
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
    assumes_symbol: bool = False,
) -> ReplaySummary:
    """Replay one session into ``out``, or into the lake under ``dataset_id`` (empty: a name made from the session).

    The lake takes a source that starts cold only with ``allow_cold``; a folder takes it as it is, its bins marked. A file
    that does not say whose records it holds is taken with ``assumes_symbol``.

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
    source = open_source([dbn], config, None if dt is None else read_day(dt), assumes_symbol=assumes_symbol)
    replay = Replay(source, config, start_time, n_bins, checkpoints=lake.book_checkpoints)
    write: Callable[..., Dataset]
    if out is not None:
        write = partial(write_dataset_dir, out)
    else:
        write = partial(publish_dataset, lake, dataset_id or dataset_id_of(source, config, start_time, n_bins))
    with Progress("replaying") as bar:

        def show(made: int) -> None:
            bar.update(made / n_bins if n_bins else None, f"{made} bins, {_clock(replay.runner.bin_start_ns)}")

        dataset = write_replay(replay, write, overrides=changes, allow_cold=allow_cold or out is not None, progress=show)
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
        silences=replay.runner.silences,
        notices=replay.notices,
    )


def _clock(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_S, ZoneInfo(SESSION_TZ)).strftime("%Y-%m-%d %H:%M:%S ET")
