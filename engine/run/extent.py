"""How far a session reaches and which bin lies where, known before it is replayed.

Bins follow each other without a hole, each as wide as the configuration says, from the first one's start on: through silences,
the maintenance hour and closed hours too. So a bin's number and its start say the same thing, in every session.

Source: engine.md section 4.
"""

from dataclasses import dataclass


from engine.config import InstrumentConfig
from engine.constants import NS_PER_MS
from engine.hours import open_intervals
from engine.run.replay import first_bin_ns
from engine.run.runner import Runner, Span
from engine.source.records import Source

_LOOKED_AT: int = 1 << 12  # records taken in at once until the first bin opens


@dataclass(frozen=True)
class Extent:
    """A session's bins: ``start_ns`` of the first one, ``end_ns`` of the last one, UTC ns; how many where that is certain.

    Where it is not, ``end_ns`` is where the data and the trading session reach at most.
    """

    start_ns: int
    end_ns: int
    n_bins: int | None
    bin_ns: int

    def start_of(self, bin_seq: int) -> int:
        """When a bin starts, UTC ns."""
        return self.start_ns + bin_seq * self.bin_ns

    def bin_at(self, ts_ns: int) -> int:
        """The bin that holds a time; below 0 before the first one."""
        return (ts_ns - self.start_ns) // self.bin_ns


def extent_of(source: Source, config: InstrumentConfig, start_time: str | None = None) -> Extent | None:
    """Where the bins of a replay begin and end.

    Parameters
    ----------
    source
        Records of the locked contract; read up to the first event where no ``start_time`` is given.
    start_time
        New York wall-clock time of the first bin; None for the first event.

    Returns
    -------
    Extent or None
        None where nothing happens inside the session.
    """
    bin_ns = config.cell_width_ms * NS_PER_MS
    start = _first_event_ns(source, config) if start_time is None else first_bin_ns(source, start_time)
    if start is None:
        return None
    end = source.window[1]
    return Extent(start, end, None, bin_ns)


def _first_event_ns(source: Source, config: InstrumentConfig) -> int | None:
    """When the first bin of a replay without a start opens: found by the run itself, which stops there."""
    runner = Runner(config, Span(*source.window, n_bins=1), open_intervals(config.symbol_root, source.dt))
    for records in source.records(_LOOKED_AT):
        for _ in runner.feed(records, 1):
            pass
        if runner.first_bin_ns is not None:
            return runner.first_bin_ns
    return None
