"""`replay`: a DBN file becomes bins, in a folder or as a dataset of the lake."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from engine.config import InstrumentConfig, load_instrument, parse_overrides
from engine.constants import NS_PER_MS, NS_PER_S
from engine.dataset.capture import write_replay
from engine.dataset.publish import publish_dataset, write_dataset_dir
from engine.dataset.read import Dataset
from engine.door import print_json, read_day
from engine.errors import ConfigError
from engine.hours import TRADING_DAY, UTC_DAY, SessionKind, read_session_kind, session_window
from engine.lake import Lake
from engine.run.cut import Part, cut
from engine.run.replay import SESSION_TZ, Replay
from engine.source.records import Source, open_source
from engine.source.sessions import wanted
from engine.tables import Progress


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    summaries = replay_to_datasets(
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
        symbol=args.symbol,
        session=read_session_kind(args.session, "--session"),
    )
    if args.json:
        told = [summary.to_json() for summary in summaries]
        print_json(told[0] if len(told) == 1 else told)
    else:
        for line in (line for summary in summaries for line in summary.lines()):
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
    """The name a dataset gets when none is given: contract, day, what of it, start, length, and the configuration's version."""
    stretch = source.stretch
    whole_start, whole_end = session_window(source.dt, stretch.kind)
    what = "trading_" if stretch.kind == TRADING_DAY else ""
    what += "from_roll_" if stretch.start_ns > whole_start else ""
    what += "to_roll_" if stretch.end_ns < whole_end else ""
    start = start_time.replace(":", "") if start_time else "open"
    length = f"_{n_bins}bins" if n_bins else ""
    return f"{config.symbol}_{source.dt:%Y%m%d}_{what}{start}{length}__{config.config_version[:8]}"


def replay_to_datasets(
    lake: Lake,
    *,
    dbn: Sequence[Path] | None,
    dt: str | None,
    start_time: str | None,
    n_bins: int | None,
    overrides: Sequence[str],
    out: Path | None,
    dataset_id: str | None,
    allow_cold: bool = False,
    assumes_symbol: bool = False,
    symbol: str | None = None,
    session: SessionKind = UTC_DAY,
) -> list[ReplaySummary]:
    """Replay one session into ``out``, or into the lake under ``dataset_id`` (empty: a name made from the session).

    The lake takes a source that starts cold only with ``allow_cold``; a folder takes it as it is, its bins marked. A file
    that does not say whose records it holds is taken with ``assumes_symbol``. Where a product's root was asked for as ``symbol``,
    each contract of the session becomes a dataset of its own.

    Raises
    ------
    EngineError
        One line, for anything the user can mend.
    """
    changes = parse_overrides(overrides)
    config = load_instrument(overrides=changes)
    if dt is not None:
        day = read_day(dt)
    elif dbn is None:
        raise ConfigError("neither --dbn nor --dt was given; name a file, or a day whose raw file lies in the lake")
    else:
        day = open_source(dbn, config, assumes_symbol=assumes_symbol).dt if symbol is None else _day_needed(symbol)
    parts = cut(wanted(lake, config, symbol, day, session), start_time, n_bins, config.cell_width_ms * NS_PER_MS)
    if len(parts) > 1 and (out is not None or dataset_id):
        raise ConfigError(
            f"{day} holds a roll from {parts[0].one.config.symbol} to {parts[-1].one.config.symbol}, hence two datasets; "
            "publish them without an id, choose --session trading_day, or name a contract"
        )
    summaries = []
    for part in parts:
        source = part.one.open(list(dbn) if dbn else part.one.files(lake), assumes_symbol=assumes_symbol)
        name = dataset_id or dataset_id_of(source, part.one.config, part.start_time, part.n_bins)
        write: Callable[..., Dataset] = partial(write_dataset_dir, out) if out else partial(publish_dataset, lake, name)
        summaries.append(_replay(lake, source, part, write, changes, allow_cold or out is not None))
    return summaries


def _day_needed(symbol: str) -> NoReturn:
    raise ConfigError(f"--symbol was {symbol} and --dt is missing; give the day whose contract is meant, YYYY-MM-DD")


def _replay(
    lake: Lake, source: Source, part: Part, write: Callable[..., Dataset], changes: dict[str, Any], allow_cold: bool
) -> ReplaySummary:
    config, n_bins = part.one.config, part.n_bins
    replay = Replay(source, config, part.start_time, n_bins, checkpoints=lake.book_checkpoints)
    with Progress("replaying") as bar:

        def show(made: int) -> None:
            bar.update(made / n_bins if n_bins else None, f"{made} bins, {_clock(replay.runner.bin_start_ns)}")

        dataset = write_replay(replay, write, overrides=changes, allow_cold=allow_cold, progress=show)
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
        notices=dataset.manifest["notices"],
    )


def _clock(ns: int) -> str:
    return datetime.fromtimestamp(ns / NS_PER_S, ZoneInfo(SESSION_TZ)).strftime("%Y-%m-%d %H:%M:%S ET")
