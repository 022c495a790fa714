"""The whole state of a run as bytes, and back: what a runner needs to go on bit for bit.

Only slots that were touched are kept, and of the order table only its orders: both are a fraction of what is allocated.

Source: engine.md sections 2 to 5.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.book.kernels import place_orders
from engine.book.order_table import rehash
from engine.book.owner import table_for
from engine.field.kernels import ASK_DEPTH, BID_DEPTH, LISTED
from engine.run.recentre import Parked, Parking
from engine.run.state import Engine
from engine.schema import pack, unpack

KIND = "runner snapshot"


def engine_arrays(engine: Engine, parking: Parking) -> dict[str, NDArray[Any]]:
    """Copies of all that a run goes on from, by name; what it does next changes nothing in them."""
    book, field = engine.book, engine.field
    slots = np.flatnonzero(field.stamps[:, LISTED])
    parked = list(parking.values())
    return {
        "run": engine.run.copy(),
        "counts": engine.counts.copy(),
        "book": book.scalars.copy(),
        "orders": book.orders[book.orders["side"] != 0],
        "slots": slots,
        "values": field.values[slots],
        "stamps": field.stamps[slots],
        "balance": field.balance[slots],
        # Slots that were never touched hold depths all the same, since the last synchronisation.
        "depths": field.values[:, [BID_DEPTH, ASK_DEPTH]],
        "parked_ticks": np.array(list(parking), np.int64),
        "parked_values": _stack([one.values for one in parked], field.values),
        "parked_stamps": _stack([one.stamps for one in parked], field.stamps),
        "parked_balance": _stack([one.balance for one in parked], field.balance),
    }


def put_back(arrays: Mapping[str, NDArray[Any]], fresh: Engine) -> tuple[Engine, Parking]:
    """Put `engine_arrays` into the arrays of ``fresh``; returns the engine and what is parked."""
    engine = restore_book(fresh, arrays)
    field, slots = engine.field, arrays["slots"]
    for name in ("values", "stamps", "balance"):
        array = getattr(field, name)
        array[:] = 0
        array[slots] = arrays[name]
    field.values[:, [BID_DEPTH, ASK_DEPTH]] = arrays["depths"]
    field.n_in_use[0] = len(slots) + int(arrays["parked_stamps"][:, LISTED].sum())
    engine.spectrum.tags[:] = -1
    parking = {
        int(tick): Parked(*parts)
        for tick, *parts in zip(
            arrays["parked_ticks"], arrays["parked_values"], arrays["parked_stamps"], arrays["parked_balance"], strict=True
        )
    }
    return engine, parking


def snapshot_engine(engine: Engine, parking: Parking, key: str, extras: Mapping[str, NDArray[Any]]) -> bytes:
    """Pack a run.

    Parameters
    ----------
    key
        What the run belongs to; `restore_engine` refuses any other.
    extras
        The owner's own arrays.
    """
    return pack(KIND, key, engine_arrays(engine, parking) | {f"own_{name}": array for name, array in extras.items()})


def restore_engine(data: bytes, key: str, fresh: Engine) -> tuple[Engine, Parking, dict[str, NDArray[Any]]]:
    """Unpack a run into the arrays of ``fresh``; returns the engine, what is parked, and the owner's arrays.

    Raises
    ------
    ConfigError
        When the bytes are damaged or belong to another run.
    """
    arrays = unpack(KIND, key, data)
    own = {name.removeprefix("own_"): array for name, array in arrays.items() if name.startswith("own_")}
    return *put_back(arrays, fresh), own


def restore_book(fresh: Engine, arrays: Mapping[str, NDArray[Any]]) -> Engine:
    """Put run, counts and book back; the order table is laid out anew."""
    fresh.run[:] = arrays["run"]
    fresh.counts[:] = arrays["counts"]
    orders = table_for(len(arrays["orders"]))
    rehash(arrays["orders"], orders)
    engine = fresh._replace(book=fresh.book._replace(orders=orders))
    engine.book.scalars[:] = arrays["book"]
    place_orders(engine.book)
    return engine


def _stack(arrays: list[NDArray[Any]], like: NDArray[Any]) -> NDArray[Any]:
    return np.stack(arrays) if arrays else np.zeros((0, like.shape[1]), like.dtype)
