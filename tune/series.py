"""A score series from outside, whatever it comes in, as one number a bin; and where to draw its thresholds.

What is refused is what has more than one meaning: a bin scored twice, a bin that is not there, an infinite score. A bin without
a score, or with NaN, or marked not ready, says nothing. The order of rows does not matter.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import ConfigError, among
from engine.lake import user_path
from engine.schema import Floats
from engine.signals.parts.calibrated import PERCENTILES

MIN_CALIBRATION: Final = 100  # scores that thresholds may be taken from
_FORMS: Final = "an array of one score a bin, a frame of bin_seq and score, or the path of such a parquet file"


def aligned_scores(scores: Any, n_bins: int, column: str = "score") -> Floats:
    """A series of scores, one a bin.

    Parameters
    ----------
    scores
        An array, list or polars/pandas/Arrow series of length ``n_bins``; a polars, pandas or Arrow frame with ``bin_seq`` and
        the scores, and ``ready`` where it has that; or the path of a parquet file of such.
    column
        Name of the scores in a frame.

    Returns
    -------
    NDArray[np.float64], shape (n_bins,)
        NaN where a bin says nothing. Equal series are equal bytes: one NaN, one zero.

    Raises
    ------
    ConfigError
        It is none of these, or a bin is scored twice, out of range or infinite, or no bin is scored.
    """
    if isinstance(scores, str | Path):
        found = _from_table(_read(user_path(scores)), n_bins, column)
    elif (table := _as_table(scores)) is not None:
        found = _from_table(table, n_bins, column)
    else:
        found = _from_array(scores, n_bins, column)
    if (infinite := np.isinf(found)).any():
        at = int(np.argmax(infinite))
        raise ConfigError(f"the score of bin {at} is {found[at]}; each must be a finite number, or NaN where nothing is said")
    if np.isnan(found).all():
        raise ConfigError("no bin has a score: all are NaN, missing or not ready")
    return np.where(np.isnan(found), np.nan, found + 0.0)


def scores_hash(scores: Floats) -> str:
    """SHA-256 over the bytes of an aligned series."""
    return sha256(np.ascontiguousarray(scores, "<f8").tobytes()).hexdigest()


def default_thresholds(scores: Floats, start: int, mode: str) -> tuple[float, ...]:
    """Percentiles of how far the scores before bin ``start`` lie from neutral: no outcome and no scored bin has a part in them.

    Raises
    ------
    ConfigError
        Too few of those bins have a score, or none of them leaves neutral.
    """
    before = scores[:start][~np.isnan(scores[:start])]
    if len(before) < MIN_CALIBRATION:
        raise ConfigError(
            f"only {len(before)} of the first {start} bins have a score, too few to take thresholds from ({MIN_CALIBRATION} are "
            "needed). Pass thresholds=[...], or set a larger calibration_bins"
        )
    neutral = 0.5 if mode == "probability" else 0.0
    sizes = np.percentile(np.abs(before - neutral), PERCENTILES)
    # Six digits, whatever the scale: a level is to be read and typed again.
    levels = sorted({float(f"{neutral + float(size):.6g}") for size in sizes if size > 0})
    levels = [level for level in levels if level > neutral]
    if not levels:
        raise ConfigError(f"the scores of the first {start} bins never leave {neutral:g}; pass thresholds=[...]")
    return tuple(levels)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise ConfigError(f"scores was {str(path)!r}, where there is no file; give {_FORMS}")
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"scores was {str(path)!r}, which is no parquet file ({' '.join(str(error).split())[:120]})") from error


def _as_table(scores: Any) -> pa.Table | None:
    """A frame of any kind as an Arrow table; None for what is none."""
    if isinstance(scores, pa.Table):
        return scores
    if isinstance(scores, pl.LazyFrame):
        scores = scores.collect()
    try:
        if isinstance(scores, pl.DataFrame):
            return scores.to_arrow()
        if isinstance(scores, pa.RecordBatch):
            return pa.Table.from_batches([scores])
        if type(scores).__module__.split(".")[0] == "pandas" and type(scores).__name__ == "DataFrame":
            return pa.Table.from_pandas(scores)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ConfigError(f"the frame of scores cannot be read as a table: {' '.join(str(error).split())[:160]}") from error
    return None


def _from_table(table: pa.Table, n_bins: int, column: str) -> Floats:
    for name in ("bin_seq", column):
        if table.column_names.count(name) != 1:
            raise ConfigError(f"the frame of scores has no column {name!r} ({among(name, table.column_names)}); it needs one")
    seq = table.column("bin_seq").combine_chunks()
    if not pa.types.is_integer(seq.type) or seq.null_count:
        raise ConfigError(
            f"bin_seq of the scores is {seq.type} with {seq.null_count} nulls; it must be a whole number in every row"
        )
    places = seq.to_numpy(zero_copy_only=False)
    out_of_range = (places < 0) | (places >= n_bins)
    if out_of_range.any():
        raise ConfigError(
            f"bin_seq of the scores has {places[np.argmax(out_of_range)]}; the dataset has bins 0 to {n_bins - 1}. "
            "Are they of another dataset?"
        )
    times = np.bincount(places.astype(np.int64), minlength=n_bins)
    if (times > 1).any():
        raise ConfigError(f"bin {int(np.argmax(times > 1))} has {int(times.max())} rows of scores; a bin may stand once")
    values = _numbers(table.column(column), column)
    if "ready" in table.column_names and column != "ready":
        ready = table.column("ready").combine_chunks()
        if not pa.types.is_boolean(ready.type):
            raise ConfigError(f"ready of the scores is {ready.type}; it must be true or false")
        values = np.where(ready.fill_null(False).to_numpy(zero_copy_only=False).astype(bool), values, np.nan)
    found = np.full(n_bins, np.nan)
    found[places] = values
    return found


def _numbers(values: pa.ChunkedArray, column: str) -> Floats:
    """A table's column as floats, null as NaN."""
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(f"column {column!r} of the scores is {kind}; it must be a number, like float64")
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _from_array(scores: Any, n_bins: int, column: str) -> Floats:
    if scores is None or isinstance(scores, dict | set | bytes):
        raise ConfigError(f"scores was of type {type(scores).__name__}; give {_FORMS}")
    try:
        array = np.asarray(scores)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"scores was of type {type(scores).__name__} that is no array of numbers; give {_FORMS}") from error
    index = getattr(scores, "index", None)  # of a pandas series; of a list or a polars series it is no array
    if not (index is None or callable(index) or np.array_equal(np.asarray(index), np.arange(len(array)))):
        raise ConfigError(
            "the index of the scores does not count the bins 0, 1, 2 and so on, so they may belong to other bins than they stand "
            "at; give a frame of bin_seq and score, or the bare values of every bin"
        )
    if isinstance(scores, np.ma.MaskedArray) and scores.dtype.kind in "iuf":
        array = np.ma.filled(scores.astype(np.float64), np.nan)
    ready = None
    if array.dtype.names is not None:  # a signal's outputs as it gives them
        if column not in array.dtype.names:
            raise ConfigError(f"the scores have no field {column!r} ({among(column, array.dtype.names)})")
        ready = array["ready"] if "ready" in array.dtype.names else None
        array = array[column]
    if array.ndim == 0:
        raise ConfigError(f"scores was {scores!r}; give {_FORMS}")
    if array.dtype.kind not in "iuf":
        raise ConfigError(f"scores are of type {array.dtype}; they must be numbers, like float64")
    if array.shape != (n_bins,):
        raise ConfigError(
            f"scores have shape {array.shape}; it must be ({n_bins},), one a bin of the dataset. For some of its bins only, give "
            "a frame of bin_seq and score"
        )
    values = array.astype(np.float64)
    return values if ready is None else np.where(ready, values, np.nan)
