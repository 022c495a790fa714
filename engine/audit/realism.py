"""The realism card: how like a real market a file behaves, in figures with bands.

A real file and a simulated one go through the same functions: the engine's own book, looked at each second, and the file's
records. The bands stand around one real hour, ESH4 from 18:00 to 19:00 in New York on 2023-12-25 (17 records/s), and are
widened for a micro contract at up to a hundred times that rate, by the reason beside each.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine import constants as c
from engine.book.kernels import NO_TICK, BookState
from engine.config import InstrumentConfig
from engine.errors import DatasetError
from engine.hours import open_intervals
from engine.run.runner import ALL_TIME, Runner
from engine.schema import MboRecords
from engine.source.records import open_source

CLIP: Final = 10  # contracts
LAGS: Final = 10  # s, over which the autocorrelation of absolute returns is averaged
MIN_SECONDS: Final = 120  # with both sides quoted
MIN_TRADES: Final = 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One line of the card: what the real hour shows, and the band that counts as real."""

    name: str
    real: float
    low: float
    high: float
    what: str
    why: str  # of the band

    def is_inside(self, value: float) -> bool:
        """Whether a value lies in the band, its ends included."""
        return self.low <= value <= self.high


FIGURES: Final = (
    Figure(
        "abs_return_autocorrelation",
        0.095,
        0.02,
        0.35,
        "of absolute one-second mid returns, mean of lags 1 to 10 s",
        "volatility comes in clusters; below .02 is what a walk of constant volatility shows in an hour",
    ),
    Figure(
        "kurtosis",
        22.7,
        4.0,
        200.0,
        "excess, of one-second mid returns",
        "tails are fat; a sample's fourth moment hangs on a few bursts, and equal files differ by a factor of five",
    ),
    Figure(
        "reversal",
        -0.061,
        -0.35,
        -0.01,
        "autocorrelation of one-second mid returns at lag 1",
        "negative in every liquid future; the slower the market, the more of it is one touch refilled",
    ),
    Figure("clip_cost", 0.060, 0.0, 0.4, f"ticks beyond the touch for {CLIP} contracts, mean of both sides", "a touch holds it"),
    Figure(
        "spread_one_tick",
        0.940,
        0.85,
        0.995,
        "share of seconds with a spread of one tick",
        "a future with a large tick is one tick wide but for moments",
    ),
    Figure("spread_wide", 0.0003, 0.0, 0.02, "share of seconds with a spread of three ticks and more", "rare, in bursts"),
    Figure(
        "order_life",
        113.6,
        40.0,
        400.0,
        "market events that the median new order rests",
        "counted in events, since a fast market pulls its orders faster",
    ),
    Figure(
        "cancel_share",
        0.688,
        0.60,
        0.92,
        "orders that end unfilled, of the new ones that end",
        "the real evening is thin; busy markets cancel more than nine in ten",
    ),
    Figure(
        "trades_per_record",
        0.0476,
        0.02,
        0.08,
        "trades, of all records",
        "half to nearly twice the real hour's",
    ),
    Figure(
        "sign_autocorrelation",
        0.396,
        0.25,
        0.60,
        "of trades' signs at lag 1",
        "large orders are cut into pieces; markets differ between .3 and .6",
    ),
    Figure(
        "sign_memory",
        0.074,
        0.01,
        0.25,
        "of trades' signs at lag 10",
        "it lasts, and it is far below the one of lag 1",
    ),
)


def realism_card(path: Path, config: InstrumentConfig, assumes_symbol: bool = False) -> dict[str, Any]:
    """Measure a file and hold it against the bands.

    Returns
    -------
    dict
        ``file``, ``seconds`` with both sides quoted, ``trades``, ``rate`` in records/s, ``figures`` (a mapping each:
        ``figure``, ``value``, ``real``, ``low``, ``high``, ``inside``, ``what``, ``why``), ``is_real``: all are inside.

    Raises
    ------
    EngineError
        The file cannot be read, or is too short to be judged.
    """
    source = open_source([path], config, assumes_symbol=assumes_symbol)
    records = np.concatenate([part.copy() for part in source.records()])
    start_ns, end_ns = _span(records, open_intervals(config.symbol_root, source.dt))
    seconds = _walk(records, config, start_ns, end_ns)
    ts = _times(records)
    live = records[(ts >= start_ns) & (ts < end_ns) & (records["flags"] & c.F_SNAPSHOT == 0)]
    signs = trade_signs(live)
    if len(seconds) < MIN_SECONDS or len(signs) < MIN_TRADES:
        raise DatasetError(
            f"{path} has {len(seconds)} quoted seconds and {len(signs)} trades; the card needs {MIN_SECONDS} and {MIN_TRADES}, "
            "so give it a longer file"
        )
    values = market_figures(seconds) | order_figures(live) | sign_figures(signs)
    values["trades_per_record"] = len(signs) / len(live)
    figures = [
        {
            "figure": one.name,
            "value": values[one.name],
            "real": one.real,
            "low": one.low,
            "high": one.high,
            "inside": one.is_inside(values[one.name]),
            "what": one.what,
            "why": one.why,
        }
        for one in FIGURES
    ]
    return {
        "file": str(path),
        "seconds": len(seconds),
        "trades": len(signs),
        "rate": len(live) / ((end_ns - start_ns) / c.NS_PER_S),
        "figures": figures,
        "is_real": all(one["inside"] for one in figures),
    }


def market_figures(seconds: Floats) -> dict[str, float]:
    """What the quotes show; ``seconds`` (n, 3) has mid in ticks, spread in ticks and the clip's cost in ticks."""
    returns = np.diff(seconds[:, 0])
    spread = seconds[:, 1]
    size = np.abs(returns)
    return {
        "abs_return_autocorrelation": float(np.mean([autocorrelation(size, lag) for lag in range(1, LAGS + 1)])),
        "kurtosis": excess_kurtosis(returns),
        "reversal": autocorrelation(returns, 1),
        "clip_cost": float(seconds[:, 2].mean()),
        "spread_one_tick": float(np.mean(spread == 1)),
        "spread_wide": float(np.mean(spread >= 3)),
    }


def order_figures(records: MboRecords) -> dict[str, float]:
    """What becomes of the orders that the records add: how many events the median one rests, and how many end unfilled."""
    action = records["action"]
    ends = np.cumsum(records["flags"] & c.F_LAST != 0)  # events ended, at each record
    added, left = np.flatnonzero(action == c.ACTION_ADD), np.flatnonzero(action == c.ACTION_CANCEL)
    ids, i, j = np.intersect1d(records["order_id"][added], records["order_id"][left], return_indices=True)
    lives = (ends[left[j]] - ends[added[i]]).astype(np.float64)
    resting = np.full(len(added) - len(ids), np.inf)  # until the end and beyond
    filled = np.isin(ids, records["order_id"][action == c.ACTION_FILL])
    return {
        "order_life": float(np.median(np.concatenate([lives, resting]))),
        "cancel_share": 1.0 - float(filled.mean()) if len(ids) else 0.0,
    }


def trade_signs(records: MboRecords) -> Floats:
    """+1 for each buy and -1 for each sell, an aggressor's prints of one instant as one."""
    trades = records[(records["action"] == c.ACTION_TRADE) & (records["side"] != c.SIDE_NONE)]
    signs = np.where(trades["side"] == c.SIDE_BID, 1.0, -1.0)
    ts = trades["ts_event"]
    return signs[np.concatenate([[True], ts[1:] != ts[:-1]])] if len(signs) else signs


def sign_figures(signs: Floats) -> dict[str, float]:
    """How long the side of trades persists."""
    return {"sign_autocorrelation": autocorrelation(signs, 1), "sign_memory": autocorrelation(signs, 10)}


def autocorrelation(values: Floats, lag: int) -> float:
    """Sample autocorrelation at a lag; 0 where nothing varies."""
    away = values - values.mean()
    total = float(np.sum(away * away))
    return float(np.sum(away[lag:] * away[:-lag])) / total if total > 0 else 0.0


def excess_kurtosis(values: Floats) -> float:
    """Fourth central moment over the squared second, less 3; 0 where nothing varies."""
    away = values - values.mean()
    second = float(np.mean(away**2))
    return float(np.mean(away**4)) / second**2 - 3.0 if second > 0 else 0.0


def clip_cost(book: BookState, column: int, tick: int) -> float:
    """Mean ticks beyond the touch for CLIP contracts off one side of a book; what is not there costs as its last level."""
    scalars = book.scalars[0]
    slot = tick - int(scalars["anchor"]) + book.depth.shape[0] // 2
    step = -1 if column == 0 else 1
    left, cost, distance = CLIP, 0, 0
    while left > 0 and 0 <= slot < book.depth.shape[0]:
        taken = min(left, int(book.depth[slot, column]))
        cost += taken * distance
        left -= taken
        distance += 1
        slot += step
    return (cost + left * distance) / CLIP


def _times(records: MboRecords) -> NDArray[np.int64]:
    """``ts_event`` as it has advanced so far, ns; a snapshot's orders are older than what is around them."""
    ts = np.where(records["flags"] & c.F_SNAPSHOT != 0, 0, records["ts_event"].astype(np.int64))
    return np.maximum.accumulate(ts)


def _span(records: MboRecords, sessions: NDArray[np.int64]) -> tuple[int, int]:
    """Continuous trading in the records, ns: from the later of the first live one and the opening."""
    ts = _times(records)
    live = ts[ts > 0]
    if not len(live):
        return 0, 1
    start_ns, end_ns = int(live[0]), int(live[-1])
    opened = [int(begin) for begin, end in sessions.tolist() if start_ns < end and begin < end_ns]
    return max(start_ns, *opened[:1]) if opened else start_ns, end_ns


def _walk(records: MboRecords, config: InstrumentConfig, start_ns: int, end_ns: int) -> Floats:
    """The book before each whole second: mid, spread and the clip's cost in ticks, (n, 3); seconds without both sides fail."""
    runner = Runner(config, ALL_TIME)
    ends = np.flatnonzero(records["flags"] & c.F_LAST != 0)
    grid = np.arange(start_ns // c.NS_PER_S * c.NS_PER_S + c.NS_PER_S, end_ns, c.NS_PER_S)
    stops = np.concatenate([[-1], ends])[np.searchsorted(_times(records)[ends], grid)] + 1
    rows = []
    at = 0
    for stop in stops.tolist():
        if stop > at:
            for _ in runner.feed(records[at:stop], 1):
                pass
            at = stop
        book = runner.engine.book
        bid, ask = int(book.scalars[0]["best_bid"]), int(book.scalars[0]["best_ask"])
        if NO_TICK not in (bid, ask) and bid < ask:
            cost = 0.5 * (clip_cost(book, 0, bid) + clip_cost(book, 1, ask))
            rows.append(((bid + ask) / 2, ask - bid, cost))
    return np.array(rows, np.float64).reshape(-1, 3)
