"""Whole sessions for tests: by the engine, by the slow reference, and how the two are compared."""

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.config import InstrumentConfig, load_instrument
from engine.run.block import BinBlock
from engine.run.replay import Replay, runtime_model
from engine.run.runner import Runner, Span
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from engine.source.records import open_source
from tests import reference
from tests.reference_session import Bin, Session
from tests.streams import DAY, DAY_START, to_array

DAY_NS = 86_400 * 10**9
TOLERANCE = 1e-9  # relative to 1 + |x|
ROUNDING = 16 * 2.0**-52  # relative to the impulses that cancel in a depth's derivative
SCORE_TOLERANCE = 1e-3  # a z-score over a nearly constant window amplifies the rounding of sums
JUDGED_QUALITY = (
    reference.COLD | reference.CROSSED | reference.ONE_SIDED | reference.BAD_TIME | reference.DOUBTFUL
)  # the other bits come from the calendar and the feed's holes

THRESHOLD = load_instrument().spectrum_threshold_neutral

ORDERS = ("v_", "a_", "j_")

SMALL: dict[str, Any] = {
    "grid_radius_ticks": 5,
    "n_absolute_ticks": 128,
    "spectrum_windows": [2, 3, 5, 8],
    "zscore_window_bins": 20,
    "zscore_min_periods": 5,
    "perm_zscore_window_bins": 12,
    "perm_zscore_min_periods": 4,
}


def small_config(**overrides: Any) -> InstrumentConfig:
    """Few rows and short windows: every stage is reached within a few dozen bins."""
    return load_instrument(overrides=SMALL | overrides)


class Bins(NamedTuple):
    """Consecutive bins: ``fields`` (n,) of BIN_DTYPE, ``grid`` column -> (n, rows)."""

    fields: NDArray[np.void]
    grid: dict[str, NDArray[Any]]

    def to_bytes(self) -> bytes:
        """Every bit of every bin."""
        return self.fields.tobytes() + b"".join(np.ascontiguousarray(self.grid[name]).tobytes() for name in GRID_COLUMNS)


def join(blocks: Iterable[BinBlock]) -> Bins:
    """Blocks of bins as one."""
    kept = list(blocks)
    if not kept:
        return Bins(np.zeros(0, BIN_DTYPE), {name: np.zeros((0, 0), code) for name, code in GRID_COLUMNS.items()})
    grid = {name: np.concatenate([block.grid[name] for block in kept]) for name in GRID_COLUMNS}
    return Bins(np.concatenate([block.bins for block in kept]), grid)


def replay_file(path: Path, config: InstrumentConfig, day: dt.date = DAY, start_time: str | None = None, **how: Any) -> Bins:
    """The engine over a DBN file."""
    return join(Replay(open_source([path], config, day), config, start_time, **how))


def make_runner(config: InstrumentConfig, start_ns: int | None = None, n_bins: int | None = None) -> Runner:
    """A runner over the tests' day, with the instrument's own model."""
    span = Span(DAY_START, DAY_START + DAY_NS, start_ns, n_bins)
    return Runner(config, span, signal=runtime_model(config))


def run_engine(config: InstrumentConfig, records: Sequence[reference.Record], start_ns: int | None = None) -> Bins:
    """The engine over records in memory."""
    runner = make_runner(config, start_ns)
    return join([*runner.feed(to_array(records), 64), *runner.finish(None, 64)])


def as_columns(bins: Sequence[Bin]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The reference's bins as field and grid columns."""
    fields = {name: np.array([one.fields[name] for one in bins]) for name in (bins[0].fields if bins else ())}
    grid = {name: np.array([one.grid[name] for one in bins]) for name in (bins[0].grid if bins else ())}
    return fields, grid


def worst(ours: NDArray[Any], theirs: NDArray[Any], size: NDArray[Any] | None = None) -> float:
    """Largest difference relative to 1 + size, by default that of the values expected."""
    expected = theirs.astype(np.float64)
    scale = 1.0 + (np.abs(expected) if size is None else size)
    apart = np.abs(ours.astype(np.float64) - expected) / scale
    if expected.dtype == theirs.dtype:  # what is NaN in both is the same
        apart[np.isnan(expected) & np.isnan(ours)] = 0.0
    return float(np.max(apart, initial=0.0))


def terms(grid: dict[str, NDArray[Any]], name: str) -> NDArray[Any] | None:
    """Size of what a column is the sum of, where its terms may cancel: both sides in a book's, flows in a depth's derivatives.

    An order added and pulled at once leaves a depth's derivative without its impulses, but not without their rounding.
    """
    if not (name.startswith(ORDERS) and name.endswith("_depth")):
        return sides(grid, name)
    lower = ORDERS[: ORDERS.index(name[:2]) + 1]  # a filter takes in the ones before it
    flows = np.sum([np.abs(grid[order + flow]) for order in lower for flow in ("add", "pull", "fill")], axis=0)
    own = sides(grid, name)
    total: NDArray[Any] = (np.abs(grid[name]) if own is None else own) + ROUNDING / TOLERANCE * flows
    return total


def sides(grid: dict[str, NDArray[Any]], name: str) -> NDArray[Any] | None:
    """Size of both sides of the book, which may cancel in their sum."""
    if not name.endswith("rest_depth"):
        return None
    order = name.removesuffix("rest_depth")
    total: NDArray[Any] = np.abs(grid[f"{order}bid_depth"]) + np.abs(grid[f"{order}ask_depth"])
    return total


def differences(engine: Bins, bins: Sequence[Bin]) -> dict[str, float]:
    """Columns in which the engine leaves the reference, with their worst difference; empty when all agree."""
    if len(engine.fields) != len(bins):
        return {"number of bins": float(len(engine.fields) - len(bins))}
    fields, grid = as_columns(bins)
    if fields:
        fields["quality"] &= JUDGED_QUALITY
    quality = engine.fields["quality"] & JUDGED_QUALITY
    found = {name: worst(quality if name == "quality" else engine.fields[name], fields[name]) for name in fields}
    for name, column in grid.items():
        found[name] = worst(engine.grid[name], column, terms(grid, name))
    for ours, theirs in ((engine.fields.dtype.names or (), fields), (engine.grid, grid)):
        found.update({f"{name}, which the reference does not know": np.inf for name in ours if theirs and name not in theirs})
    if grid:  # a score within the rounding of the threshold may fall on either side of it
        apart = np.abs(np.abs(grid["spectrum_score"]) - THRESHOLD) > SCORE_TOLERANCE
        codes = grid["spectrum_state_code"]
        found["spectrum_state_code"] = worst(np.where(apart, engine.grid["spectrum_state_code"], codes), codes)
    limits = dict.fromkeys(found, TOLERANCE) | {"spectrum_score": SCORE_TOLERANCE}
    return {name: value for name, value in found.items() if not value <= limits[name]}


def run_reference(
    config: Any,
    records: Iterable[reference.Record],
    day: dt.date = DAY,
    start_time: str | None = None,
    until_ns: int | None = None,
) -> tuple[list[Bin], Session]:
    """The slow reference over records in memory; also the session, for its book and anomalies."""
    session = Session(config, day, start_time)
    return list(session.run(records, until_ns)), session
