"""Leaks by which a bin knows the session as a whole: its statistics, length, best parameters. Each beside its honest twin.

The honest ones take what they fit from the first ``FIRST`` bins, before which they say 0, or from all bins so far.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Decide = Callable[[Arrays], Arrays]
HORIZON = 20
REFIT = 50
FIRST = 100
KEPT: dict[str, float] = {}


def score(values: Any) -> Arrays:
    return {"score": np.asarray(values, np.float64)}


def after_first(values: Any) -> Arrays:
    out = np.array(values, np.float64)
    out[:FIRST] = 0.0
    return score(out)


def ema(values: Floats, alpha: float) -> Floats:
    out, state = [], float(values[0])
    for value in values.tolist():
        state += alpha * (value - state)
        out.append(state)
    return np.array(out)


def so_far(values: Any) -> Floats:
    """Mean of the bins up to each."""
    return np.cumsum(values) / np.arange(1, len(values) + 1)


def labels(price: Floats) -> Floats:
    """Sign of the move over the next HORIZON bins; the last ones see what there is."""
    ahead = np.minimum(np.arange(len(price)) + HORIZON, len(price) - 1)
    return np.sign(price[ahead] - price)


# Statistics.


def threshold_leak(x: Arrays) -> Arrays:
    """A percentile of the whole session as threshold."""
    return score(x["feature"] > np.percentile(x["feature"], 90))


def threshold_honest(x: Arrays) -> Arrays:
    return after_first(x["feature"] > np.percentile(x["feature"][:FIRST], 90))


def scaler_leak(x: Arrays) -> Arrays:
    """Mean and deviation of the whole session."""
    return score((x["feature"] - x["feature"].mean()) / x["feature"].std())


def scaler_honest(x: Arrays) -> Arrays:
    first = x["feature"][:FIRST]
    return after_first((x["feature"] - first.mean()) / first.std())


def deviation_leak(x: Arrays) -> Arrays:
    """Risk per trade by the deviation of the session's returns."""
    return score(x["feature"] / np.diff(x["price"], prepend=x["price"][0]).std())


def deviation_honest(x: Arrays) -> Arrays:
    return score(x["feature"] / (1.0 + np.sqrt(ema(np.diff(x["price"], prepend=x["price"][0]) ** 2, 0.02))))


def min_max_leak(x: Arrays) -> Arrays:
    """Scaled to 0..1 by the extremes of the whole session."""
    return score((x["feature"] - x["feature"].min()) / np.ptp(x["feature"]))


def min_max_honest(x: Arrays) -> Arrays:
    low, high = np.minimum.accumulate(x["feature"]), np.maximum.accumulate(x["feature"])
    return score((x["feature"] - low) / np.where(high > low, high - low, 1.0))


def range_position_leak(x: Arrays) -> Arrays:
    """Where the price stands between the day's low and the day's high."""
    return score((x["price_int"] - x["price_int"].min()) / np.ptp(x["price_int"]))


def range_position_honest(x: Arrays) -> Arrays:
    low, high = np.minimum.accumulate(x["price_int"]), np.maximum.accumulate(x["price_int"])
    return score((x["price_int"] - low) / np.maximum(high - low, 1))


def rank_leak(x: Arrays) -> Arrays:
    """Rank of a volume among all of the session's."""
    return score(np.searchsorted(np.sort(x["volume"]), x["volume"]) / len(x["volume"]))


def rank_honest(x: Arrays) -> Arrays:
    first = np.sort(x["volume"][:FIRST])
    return after_first(np.searchsorted(first, x["volume"]) / len(first))


def integer_quantile_leak(x: Arrays) -> Arrays:
    """Volumes above the session's upper decile."""
    return score(x["volume"] > np.quantile(x["volume"], 0.9))


def integer_quantile_honest(x: Arrays) -> Arrays:
    return after_first(x["volume"] > np.quantile(x["volume"][:FIRST], 0.9))


def _component(depths: Floats) -> Floats:
    values, vectors = np.linalg.eigh(np.cov(depths.T) if len(depths) > 1 else np.eye(depths.shape[1]))
    first = vectors[:, np.argmax(values)]
    return first * np.sign(first[np.argmax(np.abs(first))])


def integer_pca_leak(x: Arrays) -> Arrays:
    """First component of integer depths, fitted on the whole session."""
    depths = x["depths"].astype(np.float64)
    return score((depths * _component(depths)).sum(axis=1))


def integer_pca_honest(x: Arrays) -> Arrays:
    depths = x["depths"].astype(np.float64)
    return after_first((depths * _component(depths[:FIRST])).sum(axis=1))


def zeros_leak(x: Arrays) -> Arrays:
    """Weighed by the share of bins without a trade."""
    return score(x["feature"] * (x["volume"] == 0).mean())


def zeros_honest(x: Arrays) -> Arrays:
    return score(x["feature"] * so_far(x["volume"] == 0))


def winsor_leak(x: Arrays) -> Arrays:
    """Outliers cut at percentiles of the whole session."""
    return score(np.clip(x["feature"], *np.percentile(x["feature"], [1, 99])))


def winsor_honest(x: Arrays) -> Arrays:
    return after_first(np.clip(x["feature"], *np.percentile(x["feature"][:FIRST], [1, 99])))


def equalising_leak(x: Arrays) -> Arrays:
    """Place in a histogram whose edges span the session."""
    return score(np.digitize(x["feature"], np.histogram_bin_edges(x["feature"], 20)))


def equalising_honest(x: Arrays) -> Arrays:
    return score(np.digitize(x["feature"], np.linspace(-3.0, 3.0, 20)))


def detrending_leak(x: Arrays) -> Arrays:
    """Takes a line through the whole session off the price."""
    t = np.arange(len(x["price"]), dtype=float)
    slope = ((t - t.mean()) * x["price"]).sum() / max(((t - t.mean()) ** 2).sum(), 1.0)
    return score(x["price"] - x["price"].mean() - slope * (t - t.mean()))


def detrending_honest(x: Arrays) -> Arrays:
    return score(x["price"] - ema(x["price"], 0.01))


def encoding_leak(x: Arrays) -> Arrays:
    """Codes for labels by their order among all that the session will show."""
    return score(np.unique(x["label"], return_inverse=True)[1])


def encoding_honest(x: Arrays) -> Arrays:
    """Codes by order of appearance."""
    _, first, codes = np.unique(x["label"], return_index=True, return_inverse=True)
    return score(np.argsort(np.argsort(first))[codes])


def frequency_leak(x: Arrays) -> Arrays:
    """A label by how often the session shows it."""
    _, codes, counts = np.unique(x["label"], return_inverse=True, return_counts=True)
    return score(counts[codes] / len(codes))


def frequency_honest(x: Arrays) -> Arrays:
    return score(sum(np.where(x["label"] == v, so_far(x["label"] == v), 0.0) for v in range(9)))


def target_encoding_leak(x: Arrays) -> Arrays:
    """A label by the mean outcome it has over the session."""
    outcome = labels(x["price"])
    return score(sum(np.where(x["label"] == v, outcome @ (x["label"] == v), 0.0) for v in range(9)))


def target_encoding_honest(x: Arrays) -> Arrays:
    known = np.concatenate([np.zeros(HORIZON), labels(x["price"])])[: len(x["price"])]
    seen = np.concatenate([np.full(HORIZON, -1), x["label"]])[: len(x["label"])]
    return score(sum(np.where(x["label"] == v, np.cumsum(known * (seen == v)), 0.0) for v in range(9)))


def share_of_the_day_leak(x: Arrays) -> Arrays:
    """How much of the day's volume is over."""
    return score(np.cumsum(x["volume"]) / max(x["volume"].sum(), 1))


def share_of_the_day_honest(x: Arrays) -> Arrays:
    return score(x["volume"] / np.maximum(np.cumsum(x["volume"]), 1))


def vwap_leak(x: Arrays) -> Arrays:
    """Distance to the day's volume-weighted price."""
    return score(x["price"] - (x["price"] * x["volume"]).sum() / max(x["volume"].sum(), 1))


def vwap_honest(x: Arrays) -> Arrays:
    return score(x["price"] - np.cumsum(x["price"] * x["volume"]) / np.maximum(np.cumsum(x["volume"]), 1))


def high_of_the_day_leak(x: Arrays) -> Arrays:
    """Whether the day's high is behind."""
    return score(np.arange(len(x["price"])) >= np.argmax(x["price"]))


def high_of_the_day_honest(x: Arrays) -> Arrays:
    return score(x["price"] >= np.maximum.accumulate(x["price"]))


def length_leak(x: Arrays) -> Arrays:
    """Time as a share of the session's length."""
    return score(np.arange(len(x["feature"])) / len(x["feature"]))


def length_honest(x: Arrays) -> Arrays:
    return score(np.arange(len(x["feature"])) / 36_000)


def regimes_leak(x: Arrays) -> Arrays:
    """Two clusters of the whole session."""
    return score(np.abs(x["feature"]) > _between(np.abs(x["feature"])))


def regimes_honest(x: Arrays) -> Arrays:
    return after_first(np.abs(x["feature"]) > _between(np.abs(x["feature"][:FIRST])))


def _between(values: Floats) -> float:
    low, high = float(values.min()), float(values.max())
    for _ in range(10):
        is_high = values > 0.5 * (low + high)
        low = float(values[~is_high].mean()) if not is_high.all() else low
        high = float(values[is_high].mean()) if is_high.any() else high
    return 0.5 * (low + high)


def spectrum_leak(x: Arrays) -> Arrays:
    """Slow waves of the whole session, by its Fourier transform."""
    waves = np.fft.rfft(x["feature"])
    waves[len(waves) // 8 + 1 :] = 0.0
    return score(np.fft.irfft(waves, len(x["feature"])))


def spectrum_honest(x: Arrays) -> Arrays:
    """A causal window, by Fourier transforms of the whole session: its last bits alone know of what comes."""
    n = len(x["feature"])
    window = np.exp(-0.1 * np.arange(60))
    return score(np.fft.irfft(np.fft.rfft(x["feature"], n + 60) * np.fft.rfft(window, n + 60), n + 60)[:n])


def kept_leak(x: Arrays) -> Arrays:
    """A scale that the process keeps from the first session it meets."""
    scale = KEPT.setdefault("scale", float(x["feature"].std()))
    return score(x["feature"] / scale)


@cache
def _weights(count: int) -> Floats:
    return np.exp(-0.2 * np.arange(count))


def kept_honest(x: Arrays) -> Arrays:
    """Keeps what no session has a part in."""
    return score(np.convolve(x["feature"], _weights(30))[: len(x["feature"])])


def kept_by_session_leak(x: Arrays, _kept: dict[int, float] = {}) -> Arrays:  # noqa: B006 - the fault itself
    """The same by the session's first time stamp, in a default argument."""
    scale = _kept.setdefault(int(x["ts_ns"][0]), float(np.abs(x["feature"]).max()))
    return score(x["feature"] / scale)


def kept_by_session_honest(x: Arrays) -> Arrays:
    return score(x["feature"] / (1.0 + abs(float(x["feature"][0]))))


# Fits and choices.


def _regression(x: Arrays, purge: int) -> Arrays:
    """A slope refitted every REFIT bins on the labels of the bins before, less the newest ``purge``."""
    feature, label = x["feature"], labels(x["price"])
    out = np.zeros(len(feature))
    for t in range(FIRST, len(feature), REFIT):
        past = slice(0, max(t - purge, 1))
        out[t : t + REFIT] = feature[past] @ label[past] / (feature[past] @ feature[past]) * feature[t : t + REFIT]
    return score(out)


def label_leak(x: Arrays) -> Arrays:
    """Trains on labels that are not known yet."""
    return _regression(x, 0)


def label_honest(x: Arrays) -> Arrays:
    return _regression(x, HORIZON + 1)


def _by_fold(x: Arrays, is_honest: bool) -> Arrays:
    """Of two smoothings the one that earned more: in every fold, or in those before."""
    n, earned = len(x["price"]), np.append(np.diff(x["price"]), 0.0)
    candidates = [np.sign(ema(x["feature"], alpha)) for alpha in (0.5, 0.05)]
    out = np.zeros(n)
    for begin in range(0, n, 100):
        known = slice(0, max(begin - 1, 0)) if is_honest else slice(0, n)
        best = max(candidates, key=lambda c: float((c[known] * earned[known]).sum()))
        out[begin : begin + 100] = best[begin : begin + 100]
    return score(out)


def fold_leak(x: Arrays) -> Arrays:
    """Chooses among parameters by all folds, those it is tested on included."""
    return _by_fold(x, is_honest=False)


def fold_honest(x: Arrays) -> Arrays:
    return _by_fold(x, is_honest=True)


def _best_level(x: Arrays, part: slice) -> float:
    earned = np.append(np.diff(x["price"]), 0.0)[part]
    return max((0.5, 1.0, 1.5), key=lambda level: float((earned * (x["feature"][part] > level)).sum()))


def cross_validation_leak(x: Arrays) -> Arrays:
    """A threshold by cross-validation over the session it trades."""
    return score(x["feature"] > _best_level(x, slice(None)))


def cross_validation_honest(x: Arrays) -> Arrays:
    return after_first(x["feature"] > _best_level(x, slice(0, FIRST - 1)))


def _boosted(x: Arrays, validation: slice) -> Arrays:
    feature, label = x["feature"], labels(x["price"])
    train = slice(0, FIRST // 2 - HORIZON - 1)
    slope, rounds = 0.0, []
    for _ in range(30):
        slope += 0.1 * ((label[train] - slope * feature[train]) * feature[train]).mean()
        rounds.append(slope)
    errors = [((label[validation] - s * feature[validation]) ** 2).sum() for s in rounds]
    # All rounds weigh by how well they do: choosing one would hide a leak where the choice happens to stay the same.
    weights = np.exp(min(errors) - np.array(errors))
    return after_first(feature * float((weights * rounds).sum() / weights.sum()))


def stopping_leak(x: Arrays) -> Arrays:
    """A round count chosen where the error on the whole session, validation behind the test included, is least."""
    return _boosted(x, slice(0, len(x["feature"])))


def stopping_honest(x: Arrays) -> Arrays:
    return _boosted(x, slice(FIRST // 2, FIRST - HORIZON - 1))


def _bagged(x: Arrays, n: int) -> float:
    """Mean slope of ten seeded draws of rows."""
    rng = np.random.default_rng(7)
    feature, label = x["feature"], labels(x["price"])
    rows = rng.integers(0, max(n, 1), (10, 60))
    return float(np.mean((feature[rows] * label[rows]).sum(axis=1) / (feature[rows] ** 2).sum(axis=1)))


def seeded_fit_leak(x: Arrays) -> Arrays:
    """Seeded draws of rows from the whole session."""
    return after_first(x["feature"] * _bagged(x, len(x["feature"])))


def seeded_fit_honest(x: Arrays) -> Arrays:
    return after_first(x["feature"] * _bagged(x, min(FIRST, len(x["feature"])) - HORIZON - 1))
