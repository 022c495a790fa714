"""Leaks as they are made in practice, each beside its honest twin: from a session's arrays to a score, bin by bin."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.constants import Q_GAP, Q_ONE_SIDED
from tests.test_tune import leaks_ahead, leaks_of_the_session

Arrays = Mapping[str, NDArray[Any]]
Decide = Callable[[Arrays], Arrays]
ROOMS = (leaks_of_the_session, leaks_ahead)
N_BINS = 1200
BIN_NS = 100_000_000
FILLS = ("fill",)


def _pairs() -> dict[str, tuple[Decide, Decide]]:
    """Every ``…_leak`` with its ``…_honest``, by name."""
    found = {}
    for room in ROOMS:
        for name, leak in vars(room).items():
            if name.endswith("_leak"):
                kind = name.removesuffix("_leak")
                found[kind.replace("_", " ")] = (leak, getattr(room, f"{kind}_honest"))
    return found


LEAKS: dict[str, tuple[Decide, Decide]] = _pairs()


def fills_of(kind: str) -> tuple[str, ...]:
    """The outputs of a kind that are prices of fills."""
    return FILLS if kind == "entry" else ()


def session(seed: int, n: int = N_BINS) -> dict[str, NDArray[Any]]:
    """A feature, the same with holes, a price that follows neither, labels, one that is rare, volumes with many zeros, gaps."""
    rng = np.random.default_rng(seed)
    feature = rng.standard_normal(n)
    steps = np.cumsum(rng.choice([-1, 1], n))
    rare = rng.integers(0, 3, n).astype(np.int8)
    rare[int(rng.integers(n // 4, n - 10))] = leaks_ahead.RARE_LABEL
    quality = np.zeros(n, np.uint16)
    ts_ns = 1_770_000_000_000_000_000 + BIN_NS * np.arange(1, n + 1)
    for begin, bits in zip(rng.integers(n // 8, n - 10, 3), (Q_GAP, Q_ONE_SIDED, Q_GAP), strict=True):
        quality[begin : begin + 3] |= bits
        ts_ns[begin:] += 50 * BIN_NS
    return {
        "feature": feature,
        "gappy": np.where(rng.random(n) < 0.3, np.nan, feature),
        "price": 21_000.0 + 0.25 * steps,
        "price_int": 21_000_000_000_000 + 250_000_000 * steps,
        "label": rng.integers(0, 9, n).astype(np.int8),
        "rare": rare,
        "volume": np.where(rng.random(n) < 0.2, 0, rng.poisson(12.0, n)),
        "depths": rng.poisson(30.0, (n, 4)) + rng.poisson(10.0, (n, 1)),
        "quality": quality,
        "ts_ns": ts_ns,
        "bin_seq": np.arange(n),
    }
