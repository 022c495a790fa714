"""What learned signals are given, in plain Python: features, labels and training rows, from signals.md sections 2, 4 and 5.

In their sound forms (section 14): a bin of a doubtful book or without a mid has no label, decides none and returns nothing; rows
are known once their outcome is as old as the embargo. A value that is no number counts as 0 in windows, and its row is not whole.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPOT: Final = 50  # column of k = 0
BANDS: Final = ((1, 3), (4, 11), (12, 23))
C6: Final = ("v_add", "v_pull", "a_add", "a_pull", "j_add", "j_pull")

Bins = dict[str, NDArray[Any]]
Series = NDArray[np.float64]


class Features(NamedTuple):
    """``x`` (n, F) and ``is_whole`` (n,)."""

    x: Series
    is_whole: NDArray[np.bool_]


def gap(bins: Bins, column: str, first: int, last: int) -> Series:
    """P2: the bid's mean less the ask's for a column that adds, the opposite for one that pulls."""
    x = bins[column]
    found: Series = x[:, SPOT - last : SPOT - first + 1].mean(axis=1) - x[:, SPOT + first : SPOT + last + 1].mean(axis=1)
    return found if "add" in column else -found


def asymmetries(bins: Bins) -> list[Series]:
    """ASYM18."""
    return [gap(bins, column, *band) for column in C6 for band in BANDS]


def numbers(y: Series) -> Series:
    return np.where(np.isfinite(y), y, 0.0)


def windows_of(y: Series, w: int) -> NDArray[np.float64]:
    return np.lib.stride_tricks.sliding_window_view(numbers(y), w)


def padded(found: Series, w: int) -> Series:
    """Zeros before the first whole window."""
    return np.concatenate([np.zeros(w - 1), found])


def slopes(y: Series, w: int) -> Series:
    """P3, 0 where there is none."""
    lever = np.arange(w) - (w - 1) / 2
    return padded(windows_of(y, w) @ lever / (w * (w**2 - 1) / 12), w)


def moments(y: Series, w: int, with_skew: bool = False) -> list[Series]:
    """P6 and P7."""
    x = windows_of(y, w)
    mean, std = x.mean(axis=1), x.std(axis=1)
    third = ((x - mean[:, np.newaxis]) ** 3).mean(axis=1)
    skew = np.where(std**2 > 1e-12, third / np.where(std > 0, std, 1.0) ** 3, 0.0)
    return [padded(one, w) for one in ((mean, std, skew) if with_skew else (mean, std))]


def sound(bins: Bins) -> NDArray[np.bool_]:
    return np.asarray((bins["mid_price"] > 0) & (bins["quality"] == 0))


def returns(bins: Bins, tick: float = 0.25, is_masked: bool = True) -> Series:
    """P13; masked: from one sound mid to the next."""
    found = np.zeros(len(bins["mid_price"]))
    last = 0.0
    for t, (mid, is_sound) in enumerate(zip(bins["mid_price"].tolist(), sound(bins).tolist(), strict=True)):
        if not is_masked:
            found[t] = (mid - last) / tick if t else 0.0
            last = mid
        elif is_sound:
            found[t] = (mid - last) / tick if last > 0 else 0.0
            last = mid
    return found


def net_field(bins: Bins, k: int) -> Series:
    """F = P - V."""
    found: Series = bins["pressure_variant"][:, SPOT + k] - bins["vacuum_variant"][:, SPOT + k]
    return found


def flow(bins: Bins, band: tuple[int, int]) -> Series:
    return gap(bins, "v_add", *band) + gap(bins, "v_pull", *band)


def svm_sp(bins: Bins, ks: Sequence[int], windows: Sequence[int], step: Series) -> Features:
    """5.2."""
    series = [*(flow(bins, band) for band in BANDS), step]
    columns = [net_field(bins, k) for k in ks]
    rolled = [moment for y in series for w in windows for moment in moments(y, w)]
    whole = np.isfinite(np.stack([*columns, *series])).all(axis=0)
    return Features(np.stack([*columns, *rolled], axis=1), whole)


def gbm_mf(bins: Bins, slope_window: int, windows: Sequence[int], step: Series) -> Features:
    """5.3."""
    asym = asymmetries(bins)
    spot = net_field(bins, 0)
    spread = bins["pressure_variant"][:, SPOT + 1] - bins["pressure_variant"][:, SPOT - 1]
    columns = [*asym, *(slopes(y, slope_window) for y in asym), spot, *moments(spot, 50), *moments(spot, 300)]
    columns += [moment for w in windows for moment in moments(step, w, with_skew=True)]
    columns += [spread, *moments(spread, 200)]
    return Features(np.stack(columns, axis=1), np.isfinite(np.stack([*asym, spot, spread, step])).all(axis=0))


def knn_cl(bins: Bins, ks: Sequence[int], step: Series) -> Features:
    """5.4."""
    asym = asymmetries(bins)
    net = sum(flow(bins, band) for band in BANDS)
    assert isinstance(net, np.ndarray)
    sampled = [net_field(bins, k) for k in ks]
    sums = np.concatenate([[0.0], np.cumsum(numbers(step))])
    means = [(sums[1:] - sums[np.maximum(np.arange(len(step)) + 1 - w, 0)]) / w for w in (20, 100, 600)]
    columns = [*asym, *(slopes(net, w) for w in (10, 50, 200)), *sampled, *means]
    return Features(np.stack(columns, axis=1), np.isfinite(np.stack([*asym, *sampled, step])).all(axis=0))


def lsvm_der(bins: Bins, windows: Sequence[int]) -> Features:
    """5.5."""
    asym = asymmetries(bins)
    weights = 1 / np.arange(1, 25)
    weights /= weights.sum()
    near = []
    for column in C6:
        below, above = bins[column][:, SPOT - 24 : SPOT][:, ::-1], bins[column][:, SPOT + 1 : SPOT + 25]
        near.append((below @ weights - above @ weights) * (1 if "add" in column else -1))
    columns = [*asym, *(slopes(y, w) for y in asym for w in windows), *near]
    return Features(np.stack(columns, axis=1), np.isfinite(np.stack([*asym, *near])).all(axis=0))


def xgb_snap(bins: Bins, first_k: int, last_k: int, windows: Sequence[int], step: Series) -> Features:
    """5.6."""
    fields = [bins[name] for name in ("pressure_variant", "vacuum_variant", "spectrum_score")]
    shot = np.hstack([field[:, SPOT + first_k : SPOT + last_k + 1] for field in fields])
    sums = [side.sum(axis=1) for field in fields[:2] for side in (field[:, SPOT - 24 : SPOT], field[:, SPOT + 1 : SPOT + 25])]
    now = np.column_stack([shot, *sums, step])
    columns = np.column_stack([shot, *(moment for w in windows for moment in moments(step, w)), *sums])
    return Features(columns, np.isfinite(now).all(axis=1))


class Outcome(NamedTuple):
    label: int
    at: int  # bin at which it was known


def outcomes(bins: Bins, tp: float, sl: float, max_hold: int, by_direction: bool = True) -> dict[int, Outcome]:
    """Section 4 with the barriers in dollars; by direction (section 14 item 10): which of a long and a short wins, if either."""
    mids, is_sound = bins["mid_price"].tolist(), sound(bins).tolist()
    found: dict[int, Outcome] = {}

    def leg(t: int, side: int) -> tuple[str, int]:
        for j in range(t + 1, t + max_hold):
            if j == len(mids):
                return "open", j
            move = side * (mids[j] - mids[t])
            if is_sound[j] and move >= tp:
                return "won", j
            if is_sound[j] and move <= -sl:
                return "lost", j
        return "late", t + max_hold - 1

    def first_move(t: int) -> Outcome | None:
        for j in range(t + 1, t + max_hold):
            if j == len(mids):
                return None
            if is_sound[j] and abs(mids[j] - mids[t]) >= min(tp, sl):
                return Outcome(1 if mids[j] > mids[t] else -1, j)
        return Outcome(0, t + max_hold - 1)

    for t in np.flatnonzero(is_sound).tolist():
        if not by_direction:
            if (outcome := first_move(t)) is not None:
                found[t] = outcome
            continue
        (up, up_at), (down, down_at) = leg(t, 1), leg(t, -1)
        if "won" in (up, down):
            found[t] = Outcome(1, up_at) if up == "won" else Outcome(-1, down_at)
        elif "open" not in (up, down):
            found[t] = Outcome(0, max(up_at, down_at))
    return found


def uniqueness(rows: Sequence[int], exits: Sequence[int]) -> Series:
    """Mean over a row's life, from the bin after it to its exit, of one over the rows alive; scaled to mean 1."""
    alive = {t: sum(r < t <= e for r, e in zip(rows, exits, strict=True)) for t in range(min(rows), max(exits) + 1)}
    own = np.array([np.mean([1 / alive[t] for t in range(r + 1, e + 1)]) for r, e in zip(rows, exits, strict=True)])
    return np.asarray(own / own.mean())
