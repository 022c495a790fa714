"""The market seen from the other side: what was bid is ask, what was above spot is below it, what rose falls.

How a column turns is read off its name in `engine.schema`, so that a new column by side is mirrored or refused, never passed on:

- the word for a side gives its counterpart, with which it changes places (``v_bid_depth``, ``buy_volume``, ``chase_up_flag``);
- a price (``_int``, ``mid_price``) is turned about the pivot, a missing one stays missing; low and high change places too;
- a direction (``_move_ticks``, ``_sign``, ``_state5_code``, ``k``, a runtime model's score and its derivatives) is negated;
- ``perm_microstate_id`` is made of the two turned signs;
- all else keeps its value: masses, forces, the spectrum, times, counts and truth bits.

Columns of a grid have their rows reversed besides, for row ``k`` becomes row ``-k``.

What a run of the mirrored *records* gives differs in three things, none of them a matter of side:

- Spot is the mid rounded to a tick, halves up, in both. Where the mid is a half tick the mirrored market's spot is therefore one
  tick above the turned one, and its row ``k`` lies at the price of row ``k + 1`` of the mirror image; what traded in the row that
  has no counterpart stands outside. ``perm_state5_code``, which goes by ``k`` and not by price, is not moved.
- ``perm_state5_code`` is odd with ``state5_table: by_side`` only.
- ``dominant_state5_code`` is the most bearish of codes that weigh the same, in both.

The runtime model's fields are mirrored as an odd model's, for which alone the mirror image means anything.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import NS_PER_S
from engine.errors import EngineError
from engine.schema import BIN_DTYPE, GRID_COLUMNS, MISSING_PRICES, MODEL_PREFIX

Bins = Mapping[str, NDArray[Any]]
Schema = Mapping[str, "np.dtype[Any]"]

GRID: Final[Schema] = {name: np.dtype(code) for name, code in GRID_COLUMNS.items()}
FIELDS: Final[Schema] = {name: BIN_DTYPE[name] for name in BIN_DTYPE.names or ()}

_SIDES: Final = (("bid", "ask"), ("bids", "asks"), ("buy", "sell"), ("buys", "sells"), ("up", "down"), ("bull", "bear"))
_EXTREMES: Final = (("low", "high"), ("lows", "highs"))
OTHER_SIDE: Final = {one: other for pair in _SIDES for one, other in (pair, pair[::-1])}
OTHER_EXTREME: Final = {one: other for pair in _EXTREMES for one, other in (pair, pair[::-1])}

MID: Final = "mid_price"
MICROSTATE: Final = "perm_microstate_id"
_DIRECTION_ENDS: Final = ("_move_ticks", "_sign", "_state5_code")
_DIRECTIONS: Final = {"k", *(MODEL_PREFIX + name for name in ("score", "base", "d1", "d2", "d3", "z1", "z2", "z3"))}


class MirrorError(EngineError):
    """Bins, or a column of the schema, that have no mirror image."""


def is_price(name: str) -> bool:
    """Whether a column is turned about the pivot."""
    return name == MID or name.endswith("_int")


def is_direction(name: str) -> bool:
    """Whether a column is negated."""
    return name in _DIRECTIONS or name.endswith(_DIRECTION_ENDS)


def counterpart(name: str, schema: Schema) -> str:
    """The column that a column changes places with; itself where its name has no side.

    Parameters
    ----------
    schema
        Name to dtype: `GRID` for columns of rows, `FIELDS` for one number a bin.

    Raises
    ------
    MirrorError
        When ``schema`` does not hold the name, or holds its side without the other one of the same dtype.
    """
    if name not in schema:
        raise MirrorError(f"{name!r} is not in the schema; a mirror image is known of: {', '.join(schema)}")
    swaps = OTHER_SIDE | OTHER_EXTREME if is_price(name) else OTHER_SIDE
    other = "_".join(swaps.get(word, word) for word in name.split("_"))
    if other not in schema:
        raise MirrorError(f"{name!r} is of one side and there is no {other!r}; add that, or choose a name without a side")
    if schema[other] != schema[name]:
        raise MirrorError(f"{name!r} is {schema[name]} and {other!r} is {schema[other]}; both sides must be of one dtype")
    return other


def mirrored(bins: Bins, price_sum_int: int | None = None) -> dict[str, NDArray[Any]]:
    """The mirror image of bins; mirrored again they are the same to the last bit.

    Parameters
    ----------
    bins
        Columns of shape (n, rows) and fields of shape (n,) by name, each with its counterpart. Mids must be whole halves of 1e-9
        dollars below 2,000,000 dollars, which the engine's are.
    price_sum_int
        What a price and its image add up to: twice the pivot, 1e-9 dollars; a multiple of the tick keeps prices on ticks. By
        default the lowest and the highest price of these bins, of those in 1e-9 dollars if there are any, else of the mids. These
        are each other's images, so the image has the same pivot, and prices stay within their range.

    Raises
    ------
    MirrorError
        When a name is not in the schema, a counterpart is missing, or a mid is off the halves.

    Source: the labels of engine.md section 6.
    """
    doubled = _doubled_price_sum(bins) if price_sum_int is None else 2 * price_sum_int
    image = {}
    for name, column in bins.items():
        other = counterpart(name, GRID if column.ndim == 2 else FIELDS)
        if other not in bins or bins[other].shape != column.shape:
            kind = "column" if column.ndim == 2 else "field"
            raise MirrorError(f"{name} has no mirror image without the {kind} {other} beside it; give both")
        source = bins[other]
        turned = _turned(name, source, doubled)
        image[name] = np.ascontiguousarray(turned[:, ::-1]) if source.ndim == 2 else turned
    return image


def _turned(name: str, x: NDArray[Any], doubled: int) -> NDArray[Any]:
    """What ``name`` is in the mirror, ``x`` being its counterpart; rows are left in order."""
    if is_price(name):
        turned = doubled - _doubled_prices(name, x)
        image = (turned / 2.0) / NS_PER_S if name == MID else turned // 2
        return np.where(_has_price(name, x), image, MISSING_PRICES[name]).astype(x.dtype)
    if name == MICROSTATE:
        ask_sign, bid_sign = x // 3 - 1, x % 3 - 1
        return (3 * (1 - bid_sign) + 1 - ask_sign).astype(x.dtype)
    return -x if is_direction(name) else x.copy()


def _has_price(name: str, x: NDArray[Any]) -> NDArray[np.bool_]:
    return ~np.isnan(x) if name == MID else x != MISSING_PRICES[name]


def _doubled_prices(name: str, x: NDArray[Any]) -> NDArray[np.int64]:
    """Prices in halves of 1e-9 dollars, for a mid may lie between two of them; 0 in the place of a missing one."""
    has_price = _has_price(name, x)
    if name != MID:
        return 2 * np.where(has_price, x, 0).astype(np.int64)
    twice = np.rint(np.where(np.isfinite(x), x, 0.0) * (2.0 * NS_PER_S)).astype(np.int64)
    is_off = has_price & ((twice / 2.0) / NS_PER_S != x)
    if np.any(is_off):
        at = int(np.argmax(is_off))
        raise MirrorError(f"mid_price of bin {at} was {float(x[at])!r}; it must be a whole number of halves of 1e-9 dollars")
    return twice


def _doubled_price_sum(bins: Bins) -> int:
    """Twice the sum of the lowest and the highest price, 1e-9 dollars; 0 where there is none."""
    prices = {name: _doubled_prices(name, x)[_has_price(name, x)] for name, x in bins.items() if is_price(name)}
    whole = [known for name, known in prices.items() if name != MID]
    mids = [known for name, known in prices.items() if name == MID]
    for known in (whole, mids):
        found = np.concatenate([*known, np.zeros(0, np.int64)])
        if len(found):
            return int(found.min()) + int(found.max())
    return 0
