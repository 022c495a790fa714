"""The contract every signal must pass, one check a function; `yield_checks` gives those that hold for a signal.

Each check takes a way to make the signal afresh and some bins, and raises `ContractError` saying what broke and at which bin.
Source: style.md section 7.
"""

import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.schema import BIN_DTYPE, GRID_COLUMNS, GRID_F64, MODEL_FIELD_NAMES, MODEL_PREFIX, BinRows, Ints, Outputs
from engine.signals.base import SignalLike, signal_inputs
from engine.signals.mirror import FIELDS, GRID, Bins, MirrorError, counterpart, mirrored

Make = Callable[[], SignalLike]
Check = Callable[[Make, Bins], None]

MIRROR_TOLERANCE: Final = 1e-9  # of a score, or of 1
N_CUTS: Final = 18
GOLDEN_RATIO: Final = 0.6180339887498949

EXAMPLE_TICK_INT: Final = 250_000_000  # 1e-9 dollars
EXAMPLE_SPOT: Final = 80_000  # ticks: 20,000.00 dollars
EXAMPLE_BIN_NS: Final = 100_000_000
EXAMPLE_START_NS: Final = 1_770_386_400_000_000_000  # 2026-02-06, 14:00 UTC
EXAMPLE_FIRST_TRADE: Final = 3  # bins before it know no trade


class ContractError(EngineError):
    """A signal that breaks its contract."""


def example_bins(n: int, radius: int = 50, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Bins that look like a market's, with every grid column, and every bin field whose name is no grid column's.

    Columns drift and differ from row to row, the mid walks on half ticks, and a bin in fifty has a doubtful book or no mid.
    Quotes, moves, labels and depths by side agree with each other; five-state codes are drawn row by row, and what has no side is
    noise.
    """
    grid, fields = _example_market(n, radius, seed)
    return {name: fields[name].copy() for name in FIELDS} | grid


def example_inputs(signal: SignalLike | type[SignalLike], n: int, radius: int = 50, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Of `example_bins`, what a signal reads, and the other side of it, without which it has no mirror image."""
    grid, fields = _example_market(n, radius, seed)
    x = signal_inputs(signal, grid, fields)
    for name in tuple(x):
        source, schema = (grid, GRID) if x[name].ndim == 2 else (fields, FIELDS)
        other = counterpart(name, schema)
        x.setdefault(other, source[other])
    return x


def _example_market(n: int, radius: int, seed: int) -> tuple[dict[str, NDArray[Any]], BinRows]:
    rng = np.random.default_rng(seed)
    rows = 2 * radius + 1
    x: dict[str, NDArray[Any]] = {}
    for name, code in GRID_COLUMNS.items():
        if name in GRID_F64:
            steps = rng.standard_normal((n, rows)) + 2.0 * rng.standard_normal((n, 1))
            x[name] = np.cumsum(steps, axis=0) * 0.1 + rng.standard_normal((n, rows))
        else:
            x[name] = rng.integers(-1, 2, (n, rows)).astype(code)
    x["k"] = np.broadcast_to(np.arange(-radius, radius + 1, dtype=np.int32), (n, rows))
    x["spectrum_score"] = np.tanh(x["spectrum_score"])
    x["perm_state5_code"] = rng.integers(-2, 3, (n, rows)).astype(np.int8)
    x["perm_state5_code"][rng.random(n) < 0.5] = 0
    fields = np.zeros(n, BIN_DTYPE)
    fields["bin_seq"] = np.arange(n)
    walk = np.cumsum(rng.integers(-3, 4, n))  # half ticks
    fields["mid_price"] = 20_000.0 + 0.125 * walk
    fields["quality"][rng.random(n) < 0.02] = 1
    fields["mid_price"][rng.random(n) < 0.01] = 0.0
    _add_quotes(x, fields, walk, np.random.default_rng((seed, 1)))
    _add_run(fields, np.random.default_rng((seed, 2)))
    for name in fields.dtype.names or ():
        if name in x:  # quote moves and their labels: a bin's rows all bear its own
            x[name] = np.repeat(fields[name][:, np.newaxis], rows, axis=1)
    return x, fields


def _add_quotes(x: dict[str, NDArray[Any]], fields: BinRows, walk: Ints, rng: np.random.Generator) -> None:
    """Best prices around a mid ``walk`` half ticks from 20,000.00, and what follows from them: moves, labels, depths by side."""
    n, rows = x["k"].shape
    twice = 2 * EXAMPLE_SPOT + walk  # half ticks
    half_spread = rng.integers(0, 2, n) + 1  # a mid on a tick lies between quotes an even number of ticks apart
    bid, ask = (twice + 1) // 2 - half_spread, twice // 2 + half_spread
    spot = (twice + 1) // 2
    price = spot[:, np.newaxis] + x["k"]
    depth = np.floor(10.0 * np.abs(x["rest_depth"])) + 1.0  # contracts
    for side, lies_there in (("bid", price <= bid[:, np.newaxis]), ("ask", price >= ask[:, np.newaxis])):
        for name in ("", "v_", "a_", "j_"):
            x[f"{name}{side}_depth"] = np.where(lies_there, x[f"{name}rest_depth"] if name else depth, 0.0)
    for order in ("", "v_", "a_", "j_"):
        x[f"{order}rest_depth"] = x[f"{order}bid_depth"] + x[f"{order}ask_depth"]
    one_sided = fields["mid_price"] == 0
    bid_goes = one_sided & (rng.random(n) < 0.5)
    for side, tick, is_gone in (("bid", bid, bid_goes), ("ask", ask, one_sided & ~bid_goes)):
        at = np.clip(tick - spot + rows // 2, 0, rows - 1)
        price_int = fields[f"best_{side}_price_int"] = np.where(is_gone, 0, tick * EXAMPLE_TICK_INT)
        fields[f"best_{side}_size"] = np.where(is_gone, 0, x[f"{side}_depth"][np.arange(n), at])
        previous = np.concatenate([price_int[:1], price_int[:-1]])
        move = np.where((price_int == 0) | (previous == 0), 0, (price_int - previous) // EXAMPLE_TICK_INT)
        fields[f"best_{side}_move_ticks"] = move
        fields[f"{side}_reprice_sign"] = np.sign(move)
        for extreme, way in (("low", -1), ("high", 1)):
            reach = (tick + way * rng.integers(0, 2, n)) * EXAMPLE_TICK_INT
            fields[f"{side}_{extreme}_int"] = np.where(one_sided, 0, reach)
    ask_sign, bid_sign = fields["ask_reprice_sign"], fields["bid_reprice_sign"]
    fields["perm_microstate_id"] = 3 * (ask_sign + 1) + bid_sign + 1
    fields["chase_up_flag"] = (ask_sign > 0) & (bid_sign > 0)
    fields["chase_down_flag"] = (ask_sign < 0) & (bid_sign < 0)
    fields["spot_ref_price_int"] = np.where(one_sided, 0, spot * EXAMPLE_TICK_INT)
    traded = np.where(rng.random(n) < 0.5, bid, ask) * EXAMPLE_TICK_INT
    fields["last_trade_price_int"] = np.where(np.arange(n) < EXAMPLE_FIRST_TRADE, 0, traded)


def _add_run(fields: BinRows, rng: np.random.Generator) -> None:
    """Times, counts and volumes, and the outputs of some signal."""
    n = len(fields)
    fields["bin_start_ns"] = EXAMPLE_START_NS + np.arange(n) * EXAMPLE_BIN_NS
    fields["bin_end_ns"] = fields["ts_ns"] = fields["bin_start_ns"] + EXAMPLE_BIN_NS
    fields["bin_event_count"] = rng.poisson(100.0, n)
    fields["event_id"] = np.cumsum(fields["bin_event_count"])
    fields["book_valid"] = fields["quality"] == 0
    for name in ("buy_volume", "sell_volume"):
        fields[name] = np.where(np.arange(n) < EXAMPLE_FIRST_TRADE, 0, rng.poisson(3.0, n))
    fields["trade_count"] = (fields["buy_volume"] + fields["sell_volume"] + 1) // 2
    for name in MODEL_FIELD_NAMES:
        if BIN_DTYPE[name].kind == "f":
            fields[name] = rng.standard_normal(n)
    for side in ("bull", "bear", "mixed"):
        fields[f"{MODEL_PREFIX}{side}_intensity"] = rng.random(n)
    fields[f"{MODEL_PREFIX}score"] = np.tanh(fields[f"{MODEL_PREFIX}score"])
    fields[f"{MODEL_PREFIX}sample_count"] = np.arange(1, n + 1)
    fields[f"{MODEL_PREFIX}ready"] = np.arange(n) >= 10
    fields[f"{MODEL_PREFIX}dominant_state5_code"] = rng.integers(-2, 3, n)


def part(bins: Bins, first: int, last: int) -> dict[str, NDArray[Any]]:
    """Bins ``first`` to ``last`` (exclusive)."""
    return {name: column[first:last] for name, column in bins.items()}


def length(bins: Bins) -> int:
    """How many bins."""
    return len(next(iter(bins.values())))


def check_causality(make: Make, bins: Bins) -> None:
    """What comes after a bin, or that nothing does, never changes what was said up to it.

    The cuts are spread by the golden ratio, so that no schedule of fits falls in step with them.
    """
    n = length(bins)
    whole = make().run(bins)
    grid, fields = _example_market(n, (next(c.shape[1] for c in bins.values() if c.ndim == 2) - 1) // 2, seed=987)
    other = {k: grid[k] if c.ndim == 2 else fields[k] for k, c in bins.items()}
    for i in range(1, N_CUTS + 1):
        cut = max(1, int(n * (i * GOLDEN_RATIO % 1.0)))
        if i % 3 == 0:
            what, future = "a session that ends", part(bins, 0, cut)
        elif i % 3 == 1:
            what = "another future"
            future = {k: np.concatenate([c[:cut], other[k][cut:].astype(c.dtype)]) for k, c in bins.items()}
        else:
            what = "a future that stands still"
            future = {k: np.concatenate([c[:cut], np.repeat(c[cut - 1 : cut], n - cut, axis=0)]) for k, c in bins.items()}
        if "bin_seq" in bins:
            future["bin_seq"] = bins["bin_seq"][: len(future["bin_seq"])]
        _same(whole[:cut], make().run(future)[:cut], f"{what} from bin {cut} on changed the past")


def check_update_equals_run(make: Make, bins: Bins) -> None:
    """Bin by bin is, bit by bit, what the whole session gives."""
    signal = make()
    one_by_one = np.array(
        [signal.update({name: column[i] for name, column in bins.items()}) for i in range(length(bins))], signal.output_dtype
    )
    _same(make().run(bins), one_by_one, "update differs from run")


def check_any_pieces(make: Make, bins: Bins) -> None:
    """A session in pieces, empty ones among them, is the session whole."""
    n = length(bins)
    signal = make()
    edges = [0, 1, 2, n // 3, n // 3, n // 2 + 1, n]
    pieces = [signal.run(part(bins, a, b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    _same(make().run(bins), np.concatenate(pieces), "a session in pieces differs from the whole")


def check_snapshot(make: Make, bins: Bins) -> None:
    """A signal restored from a snapshot goes on as the one it was taken of, which does not notice."""
    n = length(bins)
    whole = make().run(bins)
    for cut in (0, 1, n // 2, n - 1):
        first, second = make(), make()
        first.run(part(bins, 0, cut))
        second.restore(first.snapshot())
        for signal, what in ((second, "restored"), (first, "snapshotted")):
            _same(whole[cut:], signal.run(part(bins, cut, n)), f"the signal {what} at bin {cut} goes on differently")


def check_pickling(make: Make, bins: Bins) -> None:
    """A pickled signal goes on as the one it was made of."""
    n = length(bins)
    signal = make()
    signal.run(part(bins, 0, n // 2))
    again: SignalLike = pickle.loads(pickle.dumps(signal))
    _same(signal.run(part(bins, n // 2, n)), again.run(part(bins, n // 2, n)), "the pickled signal goes on differently")


def check_bounded_memory(make: Make, bins: Bins) -> None:
    """The state of a long run is no larger than that of a shorter one: what it keeps does not grow with the session."""
    n = length(bins)
    signal = make()
    sizes = []
    for _ in range(3):
        signal.run(bins)
        sizes.append(len(signal.snapshot()))
    if sizes[-1] > 1.05 * max(sizes[:-1]):
        raise ContractError(f"{signal.name}: the state grows: {sizes} bytes after {n}, {2 * n} and {3 * n} bins")


def check_numbers_are_finite(make: Make, bins: Bins) -> None:
    """Scores are numbers from the first bin on, bins are counted, and a signal is not ready at once and never again."""
    signal = make()
    out = signal.run(bins)
    _refuse(signal, ~np.isfinite(out["score"]), "the score is no number")
    _refuse(signal, out["sample_count"] != np.arange(1, len(out) + 1), "bins are counted wrongly")
    if not out["ready"].any():
        raise ContractError(f"{signal.name}: is never ready in {len(out)} bins")


def check_holes(make: Make, bins: Bins) -> None:
    """A cell that is no number spoils neither the state nor the scores, and its bin is not ready where the cell was read."""
    n = length(bins)
    at = [n // 4, n // 2, n // 2 + 1, n - 2]
    for value in (np.nan, np.inf, -np.inf):
        holed = {name: column.copy() for name, column in bins.items()}
        for column in holed.values():
            if column.ndim == 2 and column.dtype.kind == "f":
                column[at] = value
        signal = make()
        out = signal.run(holed)
        _refuse(signal, ~np.isfinite(out["score"]), f"a cell of {value} made a score that is no number")
        if any(c.ndim == 2 and c.dtype.kind == "f" for c in bins.values()) and out["ready"][at].any():
            raise ContractError(f"{signal.name}: is ready at a bin of which every cell is {value}")


def check_no_bins(make: Make, bins: Bins) -> None:
    """No bins give no outputs and change nothing."""
    signal = make()
    before = signal.snapshot()
    out = signal.run(part(bins, 0, 0))
    if len(out) or out.dtype != signal.output_dtype or signal.snapshot() != before:
        raise ContractError(f"{signal.name}: a run over no bins gave {len(out)} outputs or changed the state")


def check_short_sessions(make: Make, bins: Bins) -> None:
    """Sessions shorter than any window are scored by the same rules, and have thresholds and metadata."""
    whole = make().run(bins)
    for n in (1, 2, 5):
        signal = make()
        out = signal.run(part(bins, 0, n))
        _same(whole[:n], out, f"a session of {n} bins differs from the beginning of a longer one")
        signal.metadata(out)
        levels = signal.thresholds(np.ascontiguousarray(out["score"]))
        if not levels or list(levels) != sorted(set(levels)) or not np.all(np.isfinite(levels)):
            raise ContractError(f"{signal.name}: thresholds of a session of {n} bins were {levels}")


def check_inputs_stay(make: Make, bins: Bins) -> None:
    """Columns may be read-only and strided, and are left as they are; outputs are the caller's."""
    strided = {name: np.stack([column, column], axis=1)[:, 1] for name, column in bins.items()}
    for column in strided.values():
        column.setflags(write=False)
    before = {name: column.tobytes() for name, column in strided.items()}
    signal = make()
    n = length(bins)
    out = signal.run(part(strided, 0, n // 2))
    kept = out.tobytes()
    signal.run(part(strided, n // 2, n))
    if out.tobytes() != kept or any(strided[name].tobytes() != data for name, data in before.items()):
        raise ContractError(f"{signal.name}: wrote into its inputs or into an output it had handed out")
    _same(make().run(bins)[: n // 2], out, "strided columns are scored differently")


def check_mirror(make: Make, bins: Bins) -> None:
    """A mirrored market negates the score; beside a column by side ``bins`` must hold the other one, as `example_inputs` do."""
    signal = make()
    try:
        image = mirrored(bins)
    except MirrorError as error:
        raise ContractError(f"{signal.name}: {error}") from error
    straight, turned = signal.run(bins)["score"], make().run(image)["score"]
    if not np.any(straight):
        raise ContractError(f"{signal.name}: the score is 0 throughout, so its mirror image says nothing")
    largest = np.maximum(1.0, np.abs(straight))
    _refuse(signal, np.abs(straight + turned) > MIRROR_TOLERANCE * largest, "the mirrored market does not negate the score")


def check_warm_up_leaves_the_state(make: Make, bins: Bins) -> None:
    """Compiling changes nothing."""
    signal = make()
    signal.run(part(bins, 0, length(bins) // 2))
    before = signal.snapshot()
    signal.warmup()
    if signal.snapshot() != before:
        raise ContractError(f"{signal.name}: warming up changed the state")


def yield_checks(signal: type[SignalLike]) -> Iterator[Check]:
    """The checks that a signal of this class must pass."""
    yield check_causality
    yield check_update_equals_run
    yield check_any_pieces
    yield check_snapshot
    yield check_pickling
    yield check_bounded_memory
    yield check_numbers_are_finite
    yield check_holes
    yield check_no_bins
    yield check_short_sessions
    yield check_inputs_stay
    yield check_warm_up_leaves_the_state
    if signal.is_odd:
        yield check_mirror


def _same(expected: Outputs, found: Outputs, what: str) -> None:
    if expected.tobytes() == found.tobytes():
        return
    for name in expected.dtype.names or ():
        differs = np.array([a.tobytes() != b.tobytes() for a, b in zip(expected[name], found[name], strict=True)])
        if differs.any():
            at = int(np.argmax(differs))
            raise ContractError(f"{what}: {name} of bin {at} is {found[name][at]!r}, not {expected[name][at]!r}")


def _refuse(signal: SignalLike, is_wrong: NDArray[np.bool_], what: str) -> None:
    if is_wrong.any():
        raise ContractError(f"{signal.name}: {what}, first at bin {int(np.argmax(is_wrong))}, in {int(is_wrong.sum())} bins")
