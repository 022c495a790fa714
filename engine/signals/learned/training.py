"""Rows that a learned signal is fitted on, and how they are prepared.

Source: signals.md section 5.1; section 14 items 1, 5 and 24.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.schema import Floats, Ints

Fitted = dict[str, NDArray[np.generic]]  # a fitted model as plain arrays: the state that a snapshot keeps


@dataclass(frozen=True)
class TrainingSet:
    """Rows in time order.

    ``features`` (n, F); ``labels`` (n,) -1, 0 or +1; ``weights`` (n,); ``rows`` and ``exits`` (n,) the bin of a row and the bin
    its label was known at; ``is_new`` (n,) rows that the fit before could not see; ``end`` the bin the fit stands at.
    """

    features: NDArray[np.floating]
    labels: NDArray[np.int8]
    weights: Floats
    rows: Ints
    exits: Ints
    is_new: NDArray[np.bool_]
    end: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_moves(self) -> int:
        """Rows whose price went somewhere."""
        return int(np.count_nonzero(self.labels))

    @property
    def has_both(self) -> bool:
        """Whether there are ups and downs to tell apart."""
        return bool(np.any(self.labels > 0) and np.any(self.labels < 0))

    def take(self, which: NDArray[np.bool_] | slice) -> "TrainingSet":
        """Some of the rows."""
        return TrainingSet(
            self.features[which],
            self.labels[which],
            self.weights[which],
            self.rows[which],
            self.exits[which],
            self.is_new[which],
            self.end,
        )

    def two_sided(self) -> tuple[NDArray[np.floating], NDArray[np.int8], Floats]:
        """Features, labels and weights for a classifier of ups against downs; a row that went nowhere counts half for each."""
        flat = self.labels == 0
        if not np.any(flat):
            return self.features, self.labels, self.weights
        features = np.concatenate([self.features, self.features[flat]])
        labels = np.concatenate([np.where(flat, np.int8(1), self.labels), np.full(int(flat.sum()), -1, np.int8)])
        weights = np.concatenate([np.where(flat, 0.5, 1.0) * self.weights, 0.5 * self.weights[flat]])
        return features, labels, weights

    @property
    def targets(self) -> Floats:
        """Probability of up that a row stands for: 1, 0, or a half where the price went nowhere."""
        return 0.5 * (self.labels.astype(np.float64) + 1.0)


class Scaler(NamedTuple):
    """``mean`` and ``scale`` (F,) of the rows it was made from."""

    mean: Floats
    scale: Floats

    def __call__(self, features: NDArray[np.floating]) -> Floats:
        """Standardised features."""
        return (features - self.mean) / self.scale


def standardiser(features: NDArray[np.floating]) -> Scaler:
    """Mean and population standard deviation per feature; one that is constant to rounding keeps scale 1."""
    mean, variance = features.mean(axis=0, dtype=np.float64), features.var(axis=0, dtype=np.float64)
    rounding = len(features) * np.finfo(np.float64).eps
    is_constant = variance <= rounding * variance + (rounding * mean) ** 2
    return Scaler(mean, np.where(is_constant, 1.0, np.sqrt(variance)))


def split_by_time(data: TrainingSet, is_purged: bool, embargo_bins: int) -> tuple[TrainingSet, TrainingSet]:
    """The first four fifths to train and the rest to validate.

    Purged: rows whose outcome reaches into the validation's rows, or ends less than the embargo before them, train nothing.
    """
    cut = int(0.8 * len(data))
    validate = data.take(slice(cut, None))
    train = data.take(slice(None, cut))
    if is_purged and len(validate):
        train = train.take(train.exits < int(validate.rows[0]) - embargo_bins)
    return train, validate
