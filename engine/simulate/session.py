"""A believable futures session, written as a real DBN file: ``python -m engine simulate``.

The file is what Databento would deliver for one contract on one venue: Databento's own encoder makes its metadata, its
records are the 56-byte MBO message, and it opens with a snapshot in the documented form. The same arguments give the
same bytes.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.constants import NS_PER_DAY, NS_PER_S
from engine.errors import ConfigError
from engine.schema import MBO_DTYPE, MboRecords
from engine.simulate.edge import EdgeSpec, key_path, write_key
from engine.simulate.events import MAX_EVENT_RECORDS, fill_chunk
from engine.simulate.file import session_metadata, whole_or_nothing
from engine.simulate.opening import open_book, write_snapshot
from engine.simulate.queues import CUE_DTYPE, N_LEVELS, N_SLOTS, Edge, Feed, Market, empty_market

NEW_YORK: Final = ZoneInfo("America/New_York")
DEFAULT_SYMBOL: Final = "MNQH6"
DEFAULT_START: Final = "2026-02-06T09:00"  # New York
DEFAULT_RATE: Final = 1000.0  # records/s
CHUNK_RECORDS: Final = 1 << 17  # 7 MB
MAX_RATE: Final = 20_000.0
MAX_SECONDS: Final = 7 * 86_400.0
MAX_RECORDS: Final = 4_000_000_000  # `sequence` is an unsigned 32-bit number
SNAPSHOT_ID: Final = 6_400_000_100_000  # an order id of CME's size

# Root of the symbol: tick size and opening price in dollars.
PRODUCTS: Final[dict[str, tuple[float, float]]] = {
    "MNQ": (0.25, 21_600.0),
    "NQ": (0.25, 21_600.0),
    "MES": (0.25, 5_900.0),
    "ES": (0.25, 5_900.0),
    "M2K": (0.1, 2_200.0),
    "RTY": (0.1, 2_200.0),
    "MYM": (1.0, 44_000.0),
    "YM": (1.0, 44_000.0),
    "MGC": (0.1, 2_900.0),
    "GC": (0.1, 2_900.0),
    "MCL": (0.01, 70.0),
    "CL": (0.01, 70.0),
}
_SYMBOL = re.compile(r"(?P<root>[A-Z0-9]{1,4})[FGHJKMNQUVXZ]\d{1,2}")


@dataclass(frozen=True)
class SimulationSummary:
    """What was written.

    Attributes
    ----------
    start_ns, end_ns
        The session's span in UTC ns, end exclusive.
    n_records
        MBO records in the file, of which ``n_snapshot`` open it.
    n_events, n_trades
        Exchange events after the snapshot, and those of them that trade.
    open_price, close_price
        Mid in dollars after the snapshot and at the end.
    edge, n_cues
        What was planted, and how many cues were given for it.
    """

    path: Path
    symbol: str
    instrument_id: int
    seed: int
    start_ns: int
    end_ns: int
    n_records: int
    n_snapshot: int
    n_events: int
    n_trades: int
    open_price: float
    close_price: float
    n_bytes: int
    edge: EdgeSpec | None = None
    n_cues: int = 0


def simulate(
    out: Path,
    *,
    seed: int,
    seconds: float,
    rate: float = DEFAULT_RATE,
    start: datetime | str = DEFAULT_START,
    symbol: str = DEFAULT_SYMBOL,
    edge: EdgeSpec | None = None,
    progress: Callable[[float], None] | None = None,
    chunk_records: int = CHUNK_RECORDS,
) -> SimulationSummary:
    """Write a simulated session to ``out``; memory stays bounded whatever its length.

    Parameters
    ----------
    out
        A name ending in ``.dbn`` or ``.dbn.zst`` in an existing folder; the file appears whole or not at all.
    seed
        Any integer in [0, 2**63).
    seconds
        Length of the session in seconds, in (0, 604800].
    rate
        Mean number of MBO records per second after the snapshot, in [1, 20000].
    start
        Start of the session; without an offset in New York time.
    symbol
        Raw symbol of a future whose root is in ``PRODUCTS``.
    edge
        A planted edge, whose answer key is written beside the file as ``OUT.edge.json``; without one there is none.
    progress
        Called after each chunk with the fraction of the session done, in [0, 1].
    chunk_records
        Records made and written at a time; does not change the bytes of a ``.dbn`` file.

    Raises
    ------
    ConfigError
        An argument is not allowed.

    Source: Databento DBN version 3, schema ``mbo``; engine.md section 1 for the snapshot's form.
    """
    (summary,) = simulate_days(
        out,
        days=1,
        seed=seed,
        seconds=seconds,
        rate=rate,
        start=start,
        symbol=symbol,
        edge=edge,
        progress=progress,
        chunk_records=chunk_records,
    )
    return summary


def simulate_days(
    out: Path,
    *,
    days: int,
    seed: int,
    seconds: float,
    rate: float = DEFAULT_RATE,
    start: datetime | str = DEFAULT_START,
    symbol: str = DEFAULT_SYMBOL,
    edge: EdgeSpec | None = None,
    progress: Callable[[float], None] | None = None,
    chunk_records: int = CHUNK_RECORDS,
) -> list[SimulationSummary]:
    """Write a session a day on consecutive days, each opened by a snapshot of the book the day before ended with.

    Between two sessions nothing happens: every order keeps its id, size, price and place in its queue.

    Parameters
    ----------
    out
        Name of the first file; it must hold the first day's date as YYYYMMDD, in whose place the later ones' stand.
    days
        How many, from 1 to 31.
    seed, seconds, rate, start, symbol, edge, progress, chunk_records
        As `simulate` takes them, ``seconds`` of each day; with several days at most 86,400.

    Raises
    ------
    ConfigError
        An argument is not allowed.
    """
    if not 1 <= days <= 31:
        raise ConfigError(f"days was {days}; it must be from 1 to 31")
    path = _checked_path(out)
    market, feed = _empty_session(seed, seconds, rate, start, symbol, Edge() if edge is None else edge.to_params())
    first_day = datetime.fromtimestamp(feed.start_ns // NS_PER_S, UTC).date()
    if days > 1 and f"{first_day:%Y%m%d}" not in path.name:
        raise ConfigError(
            f"output was {str(out)!r}; with several days its name must hold the first one's date, {first_day:%Y%m%d}, in whose "
            "place the others' stand"
        )
    if days > 1 and (seconds > 86_400 or seconds * rate * days > MAX_RECORDS):
        raise ConfigError(f"{days} days of {seconds:g} seconds at rate {rate:g} do not fit; a day has 86,400 seconds")
    records = np.zeros(max(chunk_records, N_SLOTS + MAX_EVENT_RECORDS), MBO_DTYPE)
    n_snapshot = _write_opening(market, feed, records)
    written = []
    for number in range(days):
        if number:
            feed = feed._replace(start_ns=feed.start_ns + NS_PER_DAY, end_ns=feed.end_ns + NS_PER_DAY)
            n_snapshot = _write_next_opening(market, feed, records)
        day = first_day + timedelta(days=number)
        dated = path.with_name(path.name.replace(f"{first_day:%Y%m%d}", f"{day:%Y%m%d}"))
        share = None if progress is None else _share_of(progress, number, days)
        written.append(_write_session(dated, market, feed, records, n_snapshot, symbol, seed, edge, share))
    return written


def _share_of(progress: Callable[[float], None], number: int, days: int) -> Callable[[float], None]:
    return lambda done: progress((number + done) / days)


def _empty_session(seed: int, seconds: float, rate: float, start: datetime | str, symbol: str, edge: Edge) -> tuple[Market, Feed]:
    """An empty market and the session it is to trade in."""
    tick_size, open_price = _checked_product(symbol)
    start_ns, end_ns = _checked_span(seed, seconds, rate, start)
    open_tick = round(open_price / tick_size)
    feed = Feed(
        instrument_id=zlib.crc32(symbol.encode()) % 90_000_000 + 1_000_000,
        tick_int=round(tick_size * NS_PER_S),
        base_tick=open_tick - N_LEVELS // 2,
        limit_ticks=min(0.05 * open_tick, 0.35 * N_LEVELS),
        start_ns=start_ns,
        end_ns=end_ns,
        rate=float(rate),
        edge=edge,
    )
    return empty_market(_seed_words(seed)), feed


def _write_session(
    path: Path,
    market: Market,
    feed: Feed,
    records: MboRecords,
    n_snapshot: int,
    symbol: str,
    seed: int,
    edge: EdgeSpec | None,
    progress: Callable[[float], None] | None,
) -> SimulationSummary:
    """One file: ``records`` holds its ``n_snapshot`` opening records, the market makes the rest."""
    opening_mid = _mid(market, feed)
    cues = [np.zeros(0, CUE_DTYPE)]
    key_path(path).unlink(missing_ok=True)  # that of a file which stood here before
    with whole_or_nothing(path) as sink:
        sink.write(session_metadata(symbol, feed).encode())
        n_records = n = n_snapshot
        while n > 0:
            sink.write(records[:n].tobytes())
            n = fill_chunk(market, feed, records)
            n_records += n
            cues.append(market.cues[: int(market.state[0]["n_cues"])].copy())
            market.state[0]["n_cues"] = 0
            if progress is not None:
                done = (int(market.state[0]["ts_event"]) - feed.start_ns) / (feed.end_ns - feed.start_ns)
                progress(min(1.0, done))
    if edge is not None:
        write_key(path, edge, seed, feed.start_ns, feed.end_ns, np.concatenate(cues))
    state = market.state[0]
    return SimulationSummary(
        path=path,
        symbol=symbol,
        instrument_id=feed.instrument_id,
        seed=seed,
        start_ns=feed.start_ns,
        end_ns=feed.end_ns,
        n_records=n_records,
        n_snapshot=n_snapshot,
        n_events=int(state["n_events"]),
        n_trades=int(state["n_trades"]),
        open_price=opening_mid,
        close_price=_mid(market, feed),
        n_bytes=path.stat().st_size,
        edge=edge,
        n_cues=sum(map(len, cues)),
    )


def _checked_path(out: Path) -> Path:
    path = Path(out)
    if not path.name.endswith((".dbn", ".dbn.zst")):
        raise ConfigError(f"output was {str(out)!r}; its name must end in .dbn or .dbn.zst")
    if path.is_dir():
        raise ConfigError(f"output was {str(out)!r}, which is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise ConfigError(f"output was {str(out)!r}, but there is no folder {str(path.parent)!r}; make it first")
    return path


def _checked_product(symbol: str) -> tuple[float, float]:
    found = _SYMBOL.fullmatch(symbol)
    root = found["root"] if found else ""
    if root not in PRODUCTS:
        raise ConfigError(
            f"symbol was {symbol!r}; it must be a future such as {DEFAULT_SYMBOL}: a root of {', '.join(PRODUCTS)}, "
            "a month letter of FGHJKMNQUVXZ and one or two digits of the year"
        )
    return PRODUCTS[root]


def _checked_span(seed: int, seconds: float, rate: float, start: datetime | str) -> tuple[int, int]:
    """Start and end of the session in UTC ns."""
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed was {seed}; it must be an integer from 0 to 2**63 - 1")
    if not (isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
        raise ConfigError(f"seconds was {seconds:g}; it must be above 0 and at most {MAX_SECONDS:g}")
    if not (isfinite(rate) and 1 <= rate <= MAX_RATE):
        raise ConfigError(f"rate was {rate:g} records/s; it must be from 1 to {MAX_RATE:g}")
    if seconds * rate > MAX_RECORDS:
        raise ConfigError(f"{seconds:g} seconds at rate {rate:g} would exceed {MAX_RECORDS} records; lower one of them")
    if isinstance(start, str):
        try:
            moment = datetime.fromisoformat(start)
        except ValueError:
            raise ConfigError(
                f"start was {start!r}; it must be an ISO date and time such as {DEFAULT_START}, "
                "in New York time unless it carries an offset"
            ) from None
    else:
        moment = start
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=NEW_YORK)
    if not 1971 <= moment.year <= 2200:
        raise ConfigError(f"start was {moment.isoformat()}; its year must be from 1971 to 2200")
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    start_ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    return start_ns, start_ns + round(seconds * NS_PER_S)


def _seed_words(seed: int) -> NDArray[np.int64]:
    """Four 32-bit words from the seed by splitmix64, so that neighbouring seeds share nothing."""
    mask = 2**64 - 1
    words: list[int] = []
    state = seed
    for _ in range(2):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        words += [z & 0xFFFFFFFF, z >> 32]
    return np.array(words, np.int64)


def _write_opening(market: Market, feed: Feed, records: MboRecords) -> int:
    """Fill the book and write its snapshot; ids grow with the age at which the orders came."""
    ages = np.zeros(N_SLOTS, np.int64)
    open_book(market, feed, ages)
    n_live = int(market.state[0]["n_live"])
    oldest_first = np.argsort(-ages[:n_live], kind="stable")  # slots 0..n_live-1 are in use
    market.orders["id"][oldest_first] = SNAPSHOT_ID + 3 * np.arange(n_live)
    market.state[0]["last_order_id"] = SNAPSHOT_ID + 3 * n_live
    market.orders["ts"][:] = feed.start_ns - ages
    return int(write_snapshot(market, feed, records))


def _write_next_opening(market: Market, feed: Feed, records: MboRecords) -> int:
    """Take the market over to a later session and write its snapshot; the latent state stands still meanwhile."""
    state = market.state[0]
    stood_still = feed.start_ns - state["latent_ns"]
    for name in ("latent_ns", "regime_end_ns", "edge_ns", "cue_since_ns", "cue_until_ns", "next_cue_ns"):
        state[name] += stood_still if state[name] else 0  # 0: never begun
    for name in ("n_records", "n_events", "n_trades"):
        state[name] = 0
    return int(write_snapshot(market, feed, records))


def _mid(market: Market, feed: Feed) -> float:
    """Mid price in dollars."""
    state = market.state[0]
    return (feed.base_tick + (int(state["best_bid"]) + int(state["best_ask"])) / 2) * feed.tick_int / NS_PER_S
