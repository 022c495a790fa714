"""Ten leaks as they are made in practice, each beside its honest twin: from a feature and a price to a score, bin by bin."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Decide = Callable[[Arrays], Arrays]
HORIZON = 20
REFIT = 50
GROUP = 10
FIRST = 100


def _score(values: NDArray[np.float64]) -> Arrays:
    return {"score": values}


def _labels(price: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sign of the move over the next HORIZON bins; the last ones see what there is."""
    ahead = np.minimum(np.arange(len(price)) + HORIZON, len(price) - 1)
    return np.sign(price[ahead] - price)


def _regression(x: Arrays, purge: int) -> Arrays:
    """A slope refitted every REFIT bins on the labels of the bins before, less the newest ``purge``."""
    feature, label = x["feature"], _labels(x["price"])
    out = np.zeros(len(feature))
    for t in range(FIRST, len(feature), REFIT):
        past = slice(0, max(t - purge, 1))
        slope = (feature[past] * label[past]).sum() / (feature[past] ** 2).sum()
        out[t : t + REFIT] = slope * feature[t : t + REFIT]
    return _score(out)


def label_leak(x: Arrays) -> Arrays:
    """Trains on labels that are not known yet."""
    return _regression(x, 0)


def label_honest(x: Arrays) -> Arrays:
    return _regression(x, HORIZON + 1)


def threshold_leak(x: Arrays) -> Arrays:
    """A percentile of the whole session as threshold."""
    return _score((x["feature"] > np.percentile(x["feature"], 90)).astype(float))


def threshold_honest(x: Arrays) -> Arrays:
    level = np.percentile(x["feature"][:FIRST], 90)
    out = (x["feature"] > level).astype(float)
    out[:FIRST] = 0.0
    return _score(out)


def scaler_leak(x: Arrays) -> Arrays:
    """Mean and deviation of the whole session."""
    return _score((x["feature"] - x["feature"].mean()) / x["feature"].std())


def scaler_honest(x: Arrays) -> Arrays:
    first = x["feature"][:FIRST]
    out = (x["feature"] - first.mean()) / first.std()
    out[:FIRST] = 0.0
    return _score(out)


def _by_fold(x: Arrays, is_honest: bool) -> Arrays:
    """Of two smoothings the one that earned more: in every fold, or in those before."""
    price, n = x["price"], len(x["price"])
    earned = np.concatenate([np.diff(price), [0.0]])
    candidates = [np.sign(_ema(x["feature"], alpha)) for alpha in (0.5, 0.05)]
    out = np.zeros(n)
    edges = list(range(0, n, 100))
    for begin in edges:
        known = slice(0, max(begin - 1, 0)) if is_honest else slice(0, n)
        best = max(candidates, key=lambda c: float((c[known] * earned[known]).sum()))
        out[begin : begin + 100] = best[begin : begin + 100]
    return _score(out)


def fold_leak(x: Arrays) -> Arrays:
    """Chooses among parameters by all folds, those it is tested on included."""
    return _by_fold(x, is_honest=False)


def fold_honest(x: Arrays) -> Arrays:
    return _by_fold(x, is_honest=True)


def future_bin_leak(x: Arrays) -> Arrays:
    """Reads one bin ahead."""
    return _score(np.append(x["feature"][1:], 0.0))


def future_bin_honest(x: Arrays) -> Arrays:
    return _score(np.append(0.0, x["feature"][:-1]))


def smoothing_leak(x: Arrays) -> Arrays:
    """A centred window."""
    return _score(np.convolve(x["feature"], np.ones(5) / 5, "same"))


def smoothing_honest(x: Arrays) -> Arrays:
    return _score(_ema(x["feature"], 0.3))


def filling_leak(x: Arrays) -> Arrays:
    """Fills missing values from the next one that is there."""
    values = x["gappy"].copy()
    for t in range(len(values) - 2, -1, -1):
        if np.isnan(values[t]):
            values[t] = values[t + 1]
    return _score(values)


def filling_honest(x: Arrays) -> Arrays:
    values = x["gappy"].copy()
    for t in range(1, len(values)):
        if np.isnan(values[t]):
            values[t] = values[t - 1]
    return _score(values)


def detrending_leak(x: Arrays) -> Arrays:
    """Takes a line through the whole session off the price."""
    t = np.arange(len(x["price"]), dtype=float)
    slope, base = np.polyfit(t, x["price"], 1)
    return _score(x["price"] - slope * t - base)


def detrending_honest(x: Arrays) -> Arrays:
    return _score(x["price"] - _ema(x["price"], 0.01))


def coarse_bar_leak(x: Arrays) -> Arrays:
    """The close of a bar of ten bins, known from its first bin on."""
    closes = x["price"][GROUP - 1 :: GROUP]
    last = np.full(-(-len(x["price"]) // GROUP), x["price"][-1])
    last[: len(closes)] = closes
    return _score(np.repeat(last, GROUP)[: len(x["price"])])


def coarse_bar_honest(x: Arrays) -> Arrays:
    t = np.arange(len(x["price"]))
    closed = t // GROUP * GROUP - 1
    return _score(np.where(closed >= 0, x["price"][closed], 0.0))


def stopping_leak(x: Arrays) -> Arrays:
    """A round count chosen where the error on the whole session, validation behind the test included, is least."""
    return _score(_boosted(x, slice(0, len(x["feature"]))))


def stopping_honest(x: Arrays) -> Arrays:
    return _score(_boosted(x, slice(FIRST // 2, FIRST - HORIZON - 1)))


def _boosted(x: Arrays, validation: slice) -> NDArray[np.float64]:
    feature, label = x["feature"], _labels(x["price"])
    train = slice(0, FIRST // 2 - HORIZON - 1)
    slope, rounds = 0.0, []
    for _ in range(30):
        slope += 0.1 * ((label[train] - slope * feature[train]) * feature[train]).mean()
        rounds.append(slope)
    errors = [((label[validation] - s * feature[validation]) ** 2).sum() for s in rounds]
    # All rounds weigh by how well they do: choosing one would hide a leak where the choice happens to stay the same.
    weights = np.exp(min(errors) - np.array(errors))
    out = feature * float((weights * rounds).sum() / weights.sum())
    out[:FIRST] = 0.0
    return out


def _ema(values: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    out = np.empty(len(values))
    state = values[0]
    for t, value in enumerate(values):
        state += alpha * (value - state)
        out[t] = state
    return out


LEAKS: dict[str, tuple[Decide, Decide]] = {
    "label": (label_leak, label_honest),
    "threshold": (threshold_leak, threshold_honest),
    "scaler": (scaler_leak, scaler_honest),
    "fold": (fold_leak, fold_honest),
    "future bin": (future_bin_leak, future_bin_honest),
    "smoothing": (smoothing_leak, smoothing_honest),
    "filling": (filling_leak, filling_honest),
    "detrending": (detrending_leak, detrending_honest),
    "coarse bar": (coarse_bar_leak, coarse_bar_honest),
    "early stopping": (stopping_leak, stopping_honest),
}


def session(seed: int, n: int = 600) -> dict[str, NDArray[Any]]:
    """A feature, the same with holes, and a price that follows neither."""
    rng = np.random.default_rng(seed)
    feature = rng.standard_normal(n)
    return {
        "feature": feature,
        "gappy": np.where(rng.random(n) < 0.3, np.nan, feature),
        "price": 21_000.0 + 0.25 * np.cumsum(rng.choice([-1.0, 1.0], n)),
    }
