"""What was asked of a session, cut where its contract changes: each part is a replay of its own, one behind the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.constants import NS_PER_S
from engine.errors import ConfigError
from engine.run.replay import SESSION_TZ, clock_ns
from engine.source.sessions import Wanted


@dataclass(frozen=True)
class Part:
    """One contract's part: its stretch, the New York time of its first bin (None: the first event), how many bins (None: all)."""

    one: Wanted
    start_time: str | None
    n_bins: int | None


def cut(stretches: Sequence[Wanted], start_time: str | None, n_bins: int | None, bin_ns: int) -> list[Part]:
    """The parts of what was asked for, in order; at least one.

    Parameters
    ----------
    stretches
        One after the other, without a hole.
    start_time, n_bins
        As for `engine.run.replay.Replay`, over all of them.
    bin_ns
        Width of a bin.

    Raises
    ------
    ConfigError
        The start is no time of day, or a number of bins is to be counted over a roll from nobody knows where.
    """
    if len(stretches) == 1:
        return [Part(stretches[0], start_time, n_bins)]
    if start_time is None:
        if n_bins is not None:
            roll = stretches[1].stretch.contract
            raise ConfigError(
                f"{n_bins} bins were asked for from the first event on, and {roll} becomes the front month in that session; give "
                "the start as well, or leave the number out"
            )
        return [Part(one, None, None) for one in stretches]
    first = clock_ns(stretches[0].dt, stretches[0].stretch.kind, start_time)
    end = stretches[-1].stretch.end_ns if n_bins is None else first + n_bins * bin_ns
    parts = []
    for one in stretches:
        since, until = max(first, one.stretch.start_ns), min(end, one.stretch.end_ns)
        if since < until:
            text = start_time if since == first else _clock(since)
            parts.append(Part(one, text, None if n_bins is None else -((since - until) // bin_ns)))
    return parts


def _clock(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS_PER_S, ZoneInfo(SESSION_TZ)).strftime("%H:%M:%S")
