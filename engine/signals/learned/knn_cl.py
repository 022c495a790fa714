"""`knn_cl`: the present state of the book resembles past ones; their outcomes vote.

Source: signals.md section 5.4; section 14 items 1, 10, 17 and 24.
"""

import math
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, require_rows
from engine.signals.learned.features import C6, N_ASYM, are_numbers, asymmetries, no_mid_yet, padded_mean, tick_return
from engine.signals.learned.labelled import MID, SOON, LabelledParams, LabelledSignal
from engine.signals.learned.schedule import Bins
from engine.signals.learned.training import Fitted, TrainingSet, standardiser
from engine.signals.parts.bands import BAND_REACH
from engine.signals.parts.slopes import ring_slope

SLOPE_WINDOWS: Final = np.array([10, 50, 200], np.int64)  # bins
RETURN_WINDOWS: Final = np.array([20, 100, 600], np.int64)  # bins
BLOCK: Final = 512  # neighbours measured at a time, so that their distances stay in the cache


class KnnClParams(LabelledParams):
    """Rows in ticks from spot, times in bins."""

    min_train_bins: Bins = Field(1800, description="bins before the first fit")
    k_neighbors: Annotated[int, Field(ge=1, le=1000)] = Field(11, description="past states that vote")
    spatial_sample_k: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        tuple(range(-50, 51, 10)), description="ticks from spot"
    )


class _KnnState(NamedTuple):
    """``net`` (longest slope,) sum of the bands' asymmetry; ``returns`` (longest mean,) ticks; ``last_mid`` (1,) half ticks."""

    net: Floats
    returns: Floats
    last_mid: Ints


class _KnnInputs(NamedTuple):
    v_add: Floats  # (n, rows)
    v_pull: Floats
    a_add: Floats
    a_pull: Floats
    j_add: Floats
    j_pull: Floats
    pressure: Floats
    vacuum: Floats
    mid: Ints  # (n,) half ticks


class _KnnPast(NamedTuple):
    """Past rows: ``states`` (blocks, F, BLOCK) standardised, the last block filled up with infinity; their ``votes`` and
    ``shares`` (n,); ``mean`` and ``scale`` (F,).
    """

    states: Floats
    votes: Floats
    shares: Floats
    mean: Floats
    scale: Floats


class _KnnScratch(NamedTuple):
    """Room for one bin: ``distances`` (BLOCK,) squared, ``nearest`` and ``who`` (k,), ascending."""

    distances: Floats
    nearest: Floats
    who: Ints


@kernel
def take_features(
    state: _KnnState,
    x: _KnnInputs,
    is_sound: NDArray[np.bool_],
    first: int,
    last: int,
    t0: int,
    sampled: Ints,
    slope_windows: Ints,
    return_windows: Ints,
    features: Floats,
    is_whole: NDArray[np.bool_],
) -> None:
    """Features of some bins of a block into a ring; a value that is no number counts as 0 in windows and marks its row."""
    capacity = features.shape[0]
    for i in range(first, last):
        t = t0 + i - first
        row = features[t % capacity]
        asymmetries(x.v_add[i], x.v_pull[i], x.a_add[i], x.a_pull[i], x.j_add[i], x.j_pull[i], row)
        net = row[0] + row[1] + row[2] + row[3] + row[4] + row[5]  # v_add and v_pull in all bands
        place = t % state.net.shape[0]
        state.net[place] = net if math.isfinite(net) else 0.0
        at = N_ASYM
        for w in range(slope_windows.shape[0]):
            row[at] = ring_slope(state.net, place, slope_windows[w]) if t + 1 >= slope_windows[w] else 0.0
            at += 1
        for s in range(sampled.shape[0]):
            row[at] = x.pressure[i, sampled[s]] - x.vacuum[i, sampled[s]]
            at += 1
        step = tick_return(state.last_mid, x.mid[i], is_sound[i])
        place = t % state.returns.shape[0]
        state.returns[place] = step if math.isfinite(step) else 0.0
        for w in range(return_windows.shape[0]):
            row[at] = padded_mean(state.returns, place, t + 1, return_windows[w])
            at += 1
        is_whole[t % capacity] = are_numbers(row, at) and math.isfinite(step)


@kernel
def _add_squares(states: Floats, value: float, distances: Floats) -> None:
    """Add one feature's part to the squared distances of a block of past states."""
    for j in range(distances.shape[0]):
        gap = states[j] - value
        distances[j] += gap * gap


@kernel
def _measure(block: Floats, row: Floats, past: _KnnPast, distances: Floats) -> None:
    """Squared distances of ``row`` to a block (F, BLOCK) of past states."""
    for j in range(distances.shape[0]):
        distances[j] = 0.0
    for f in range(row.shape[0]):
        _add_squares(block[f], (row[f] - past.mean[f]) / past.scale[f], distances)


@kernel
def _vote(past: _KnnPast, k: int, scratch: _KnnScratch) -> float:
    """Share of ups less share of downs among the nearest, by inverse distance; those at no distance outvote all others."""
    at_none = scratch.nearest[0] == 0.0
    balance = 0.0
    total = 0.0
    for i in range(k):
        if at_none and scratch.nearest[i] > 0.0:
            break
        weight = past.shares[scratch.who[i]]
        if not at_none:
            weight /= math.sqrt(scratch.nearest[i])
        balance += weight * past.votes[scratch.who[i]]
        total += weight
    return balance / total


@kernel
def score_rows(features: Floats, t0: int, past: _KnnPast, scratch: _KnnScratch, out: Outputs) -> None:
    """Votes on consecutive rows of a ring, the first at ``t0``; of two states at the same distance the older is nearer."""
    capacity = features.shape[0]
    size = scratch.distances.shape[0]
    for i in range(out.shape[0]):
        row = features[(t0 + i) % capacity]
        k = min(scratch.nearest.shape[0], past.votes.shape[0])
        for j in range(k):
            scratch.nearest[j] = math.inf
        for block in range(past.states.shape[0]):
            _measure(past.states[block], row, past, scratch.distances)
            for j in range(size):
                distance = scratch.distances[j]
                if distance < scratch.nearest[k - 1]:
                    at = k - 1
                    while at > 0 and scratch.nearest[at - 1] > distance:
                        scratch.nearest[at] = scratch.nearest[at - 1]
                        scratch.who[at] = scratch.who[at - 1]
                        at -= 1
                    scratch.nearest[at] = distance
                    scratch.who[at] = block * size + j
        out[i]["prediction"] = _vote(past, k, scratch)


class KnnCl(LabelledSignal):
    """Nearest-neighbour regime vote."""

    name: ClassVar[str] = "knn_cl"
    required_columns: ClassVar[tuple[str, ...]] = (*C6, "pressure_variant", "vacuum_variant")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3)
    is_odd: ClassVar[bool] = True
    Params: ClassVar[type[BaseModel]] = KnnClParams
    test_params: ClassVar[Any] = (SOON,)
    params: KnnClParams

    def __init__(self, params: KnnClParams, context: SignalContext) -> None:
        require_rows(context, max(BAND_REACH, *(abs(k) for k in params.spatial_sample_k)), self.name)
        self._sampled = np.array(params.spatial_sample_k, np.int64) + context.radius
        self.n_features = N_ASYM + len(SLOPE_WINDOWS) + len(params.spatial_sample_k) + len(RETURN_WINDOWS)
        self.feature_memory_bins = int(RETURN_WINDOWS[-1])
        self.min_rows = params.k_neighbors + 10  # type: ignore[misc]
        k = params.k_neighbors
        self._scratch = _KnnScratch(np.zeros(BLOCK), np.zeros(k), np.zeros(k, np.int64))
        super().__init__(params, context)

    def _fresh_state(self) -> _KnnState:
        return _KnnState(np.zeros(int(SLOPE_WINDOWS[-1])), np.zeros(int(RETURN_WINDOWS[-1])), no_mid_yet())

    def _take_features(self, x: dict[str, NDArray[Any]], is_sound: NDArray[np.bool_], first: int, last: int, t0: int) -> None:
        take_features(
            self._state,
            _KnnInputs._make(x[name] for name in (*self.required_columns, MID)),
            is_sound,
            first,
            last,
            t0,
            self._sampled,
            SLOPE_WINDOWS,
            RETURN_WINDOWS,
            *self._rows,
        )

    def _score_rows(self, first: int, last: int, t0: int, fitted: Fitted, out: Outputs) -> None:
        past = _KnnPast._make(fitted[name] for name in _KnnPast._fields)
        score_rows(self._rows.features, t0, past, self._scratch, out[first:last])

    def _fit(self, data: TrainingSet, before: Fitted | None) -> Fitted:
        scaler = standardiser(data.features)
        states = np.full((-(-len(data) // BLOCK) * BLOCK, self.n_features), np.inf)
        states[: len(data)] = scaler(data.features)
        blocks = np.ascontiguousarray(states.reshape(-1, BLOCK, self.n_features).transpose(0, 2, 1))
        return _KnnPast(blocks, data.labels.astype(np.float64), data.weights.copy(), *scaler)._asdict()

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Neighbours, refits and predictions counted."""
        found = super().metadata(outputs)
        return found | {"k_neighbors": self.params.k_neighbors, "refit_count": found["retrain_count"]}

    def _blank(self) -> Fitted:
        n = self.n_features
        return _KnnPast(np.zeros((1, n, BLOCK)), np.zeros(1), np.ones(1), np.zeros(n), np.ones(n))._asdict()

    def _load_library(self) -> None:
        """The kernels are all it needs."""
