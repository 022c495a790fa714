"""Linear classifiers as arrays, and the kernel that scores rows by them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel
from engine.schema import Floats, Outputs
from engine.signals.learned.training import Fitted, Scaler


class Linear(NamedTuple):
    """``mean``, ``scale`` and ``weights`` (F,); ``intercept`` (1,)."""

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: Floats


def as_fitted(scaler: Scaler, weights: Floats, intercept: float) -> Fitted:
    """The arrays of a classifier of standardised features."""
    return Linear(
        np.ascontiguousarray(scaler.mean, np.float64),
        np.ascontiguousarray(scaler.scale, np.float64),
        np.ascontiguousarray(weights, np.float64),
        np.array([intercept], np.float64),
    )._asdict()


def linear_of(fitted: Fitted) -> Linear:
    """The part of a fitted model that the kernel reads."""
    return Linear._make(fitted[name] for name in Linear._fields)


def blank(n_features: int) -> Fitted:
    """A classifier that knows nothing."""
    return Linear(np.zeros(n_features), np.ones(n_features), np.zeros(n_features), np.zeros(1))._asdict()


@kernel
def score_rows(features: NDArray[np.float64], t0: int, linear: Linear, out: Outputs) -> None:
    """Decision values of consecutive rows of a ring, the first at ``t0``; positive is up."""
    capacity, n = features.shape
    for i in range(out.shape[0]):
        place = (t0 + i) % capacity
        total = linear.intercept[0]
        for f in range(n):
            total += (features[place, f] - linear.mean[f]) / linear.scale[f] * linear.weights[f]
        out[i]["prediction"] = total
