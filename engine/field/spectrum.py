"""The spectrum score: how unusual the change of a slot's pressure/vacuum balance is against its own recent past.

The field keeps each slot's balances of the last bins in a ring. Scores are wanted only for the rows that are read, so the
sorted windows of the three derivatives are kept for a pool of slots around spot; a slot that enters the pool is rebuilt from its
ring. Both ways give the same bits, because rolled means are summed from the ring each time, newest first.

Source: engine.md section 5.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from engine.config import InstrumentConfig, Params
from engine.jit import inline_kernel, kernel
from engine.rolling import MAD_TO_SIGMA, STRIDE, fenced_replace, make_fence, median_mad_near, sorted_insert, whole_strides
from engine.schema import Floats, Ints

N_DERIVATIVES: Final = 3
MAD_FLOOR: Final = 1e-9  # below it a window counts as constant
CATCH_UP_BINS: Final = 30  # a pooled slot that missed fewer bins steps through them, else it is rebuilt


class SpectrumState(NamedTuple):
    """The pool of sorted windows.

    ``windows`` (n_windows,) bins, ascending, and their ``weights``, normalised; pool arrays: ``tags`` (pool, 2) slot and last
    bin, ``previous`` (pool, 3) rolled, d1, d2 of that bin, ``rings`` and ``ordered`` (pool, 3, zscore_window), the derivatives
    in bin order and ascending, ``fences`` (pool, 3, n) every STRIDE-th of the latter, ``splits`` (pool, 3) where their last MAD
    was found.
    """

    windows: Ints
    weights: Floats
    tags: Ints
    previous: Floats
    rings: Floats
    ordered: Floats
    fences: Floats
    splits: Ints


def history_bins(config: InstrumentConfig) -> int:
    """How many balances back a score looks: a window of third derivatives of means over the longest rollup window."""
    return config.zscore_window_bins + N_DERIVATIVES + max(config.spectrum_windows)


def make_spectrum(config: InstrumentConfig) -> SpectrumState:
    """An empty spectrum; a pool of twice the rows is large enough that neighbours never collide."""
    order = np.argsort(np.array(config.spectrum_windows), kind="stable")
    windows = np.array(config.spectrum_windows, np.int64)[order]
    weights = np.array(config.spectrum_rollup_weights, np.float64)[order]
    pool = 1 << (2 * config.n_rows - 1).bit_length()
    window = config.zscore_window_bins
    return SpectrumState(
        windows=windows,
        weights=weights / weights.sum(),
        tags=np.full((pool, 2), -1, np.int64),
        previous=np.zeros((pool, N_DERIVATIVES)),
        rings=np.zeros((pool, N_DERIVATIVES, window)),
        ordered=np.full((pool, N_DERIVATIVES, whole_strides(window)), np.inf),
        fences=np.full((pool, N_DERIVATIVES, whole_strides(-(-window // STRIDE))), np.inf),
        splits=np.zeros((pool, N_DERIVATIVES), np.int64),
    )


@inline_kernel
def _rolled(spectrum: SpectrumState, ring: Floats, i_bin: int) -> float:
    """Weighted mean of the window means of a slot's last balances, as of bin ``i_bin``."""
    length = ring.shape[0]
    n_bins = i_bin + 1
    place = i_bin % length
    total = 0.0
    count = 0
    value = 0.0
    for w in range(spectrum.windows.shape[0]):
        n = min(n_bins, spectrum.windows[w])
        while count < n:
            total += ring[place]
            place = place - 1 if place > 0 else length - 1
            count += 1
        value += spectrum.weights[w] * (total / n)
    return value


@inline_kernel
def _derive(spectrum: SpectrumState, entry: int, ring: Floats, i_bin: int, dt: float, keep: bool) -> None:
    """One bin's d1, d2, d3 of a slot from its ``ring`` of balances; without ``keep`` they are run-up, not part of the window."""
    window = spectrum.rings.shape[2]
    rolled = _rolled(spectrum, ring, i_bin)
    previous = spectrum.previous[entry]
    d1 = d2 = d3 = 0.0
    if i_bin > 0:
        # + 0.0 turns a negative zero into zero; see rolling.py.
        d1 = (rolled - previous[0]) / dt + 0.0
        d2 = (d1 - previous[1]) / dt + 0.0
        d3 = (d2 - previous[2]) / dt + 0.0
    previous[0] = rolled
    previous[1] = d1
    previous[2] = d2
    if keep:
        place = i_bin % window
        spectrum.rings[entry, 0, place] = d1
        spectrum.rings[entry, 1, place] = d2
        spectrum.rings[entry, 2, place] = d3


@kernel
def _rebuild(spectrum: SpectrumState, entry: int, ring: Floats, i_bin: int, dt: float) -> None:
    """Fill an entry's windows from the slot's ring of balances, ending at bin ``i_bin``."""
    window = spectrum.rings.shape[2]
    first_kept = max(0, i_bin - window + 1)
    # Three bins of run-up make the third derivative right from the first kept bin on.
    for b in range(max(0, first_kept - N_DERIVATIVES), i_bin + 1):
        _derive(spectrum, entry, ring, b, dt, b >= first_kept)
    n = i_bin + 1 - first_kept
    for d in range(N_DERIVATIVES):
        for i in range(n):
            sorted_insert(spectrum.ordered[entry, d], i, spectrum.rings[entry, d, i])
        make_fence(spectrum.ordered[entry, d], spectrum.fences[entry, d], n)


@inline_kernel
def _step(spectrum: SpectrumState, entry: int, ring: Floats, i_bin: int, dt: float) -> None:
    """Move an entry's windows on by one bin."""
    window = spectrum.rings.shape[2]
    place = i_bin % window
    old1 = spectrum.rings[entry, 0, place]
    old2 = spectrum.rings[entry, 1, place]
    old3 = spectrum.rings[entry, 2, place]
    _derive(spectrum, entry, ring, i_bin, dt, True)
    if i_bin >= window:
        fenced_replace(spectrum.ordered[entry, 0], spectrum.fences[entry, 0], old1, spectrum.rings[entry, 0, place])
        fenced_replace(spectrum.ordered[entry, 1], spectrum.fences[entry, 1], old2, spectrum.rings[entry, 1, place])
        fenced_replace(spectrum.ordered[entry, 2], spectrum.fences[entry, 2], old3, spectrum.rings[entry, 2, place])
    else:
        for d in range(N_DERIVATIVES):
            sorted_insert(spectrum.ordered[entry, d], i_bin, spectrum.rings[entry, d, place])
            if i_bin == window - 1:  # full: from here on values are replaced
                make_fence(spectrum.ordered[entry, d], spectrum.fences[entry, d], window)


@inline_kernel
def _z(spectrum: SpectrumState, entry: int, derivative: int, i_bin: int, p: Params) -> float:
    """Robust z of the newest value against its window, 0 while the window is short or constant."""
    n = min(i_bin + 1, p.zscore_window)
    if n < p.zscore_min_periods:
        return 0.0
    median, mad, split = median_mad_near(spectrum.ordered[entry, derivative], n, spectrum.splits[entry, derivative])
    spectrum.splits[entry, derivative] = split
    scale = MAD_TO_SIGMA * mad
    if scale <= MAD_FLOOR:
        return 0.0
    return (spectrum.rings[entry, derivative, i_bin % p.zscore_window] - median) / scale


@inline_kernel
def score_slot(spectrum: SpectrumState, ring: Floats, slot: int, i_bin: int, p: Params) -> float:
    """Score of one slot that is in use, -1..1, at bin ``i_bin``; its ``ring`` must hold the balance of that bin."""
    entry = slot & (spectrum.tags.shape[0] - 1)
    last = spectrum.tags[entry, 1]
    if spectrum.tags[entry, 0] == slot and i_bin - last <= CATCH_UP_BINS:
        for b in range(last + 1, i_bin + 1):
            _step(spectrum, entry, ring, b, p.dt)
    else:
        _rebuild(spectrum, entry, ring, i_bin, p.dt)
    spectrum.tags[entry, 0] = slot
    spectrum.tags[entry, 1] = i_bin
    score = p.w1 * math.tanh(_z(spectrum, entry, 0, i_bin, p) / p.tanh_scale)
    score += p.w2 * math.tanh(_z(spectrum, entry, 1, i_bin, p) / p.tanh_scale)
    score += p.w3 * math.tanh(_z(spectrum, entry, 2, i_bin, p) / p.tanh_scale)
    return min(1.0, max(-1.0, score))
