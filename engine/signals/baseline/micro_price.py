"""`micro_price`: where the mid is going to be, given the imbalance of the best queues and the spread; its distance from the mid.

The paper's limit over all future moves of the mid is, on a chain of states x with P their transitions and e(x) the mean move of the
mid in one step, the solution of (1 - P) g = e that changes its sign with the sides. Steps are bins. P and e are counted over the
last bins, each step together with its mirror image (the paper's symmetrisation), and solved anew at fixed bins of the session; a
table acts from the bin after the last one that it has counted.

Source: S. Stoikov, "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 18 (2018), section 3. Ours
departs from it in that the table is estimated from the past only, that balanced queues are a state of their own, and that the limit
is solved for instead of summed up.
"""

from typing import Annotated, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from engine.jit import kernel
from engine.schema import Floats, Ints, Outputs
from engine.signals.base import SignalContext, require_tick
from engine.signals.owner import Signal, SignalParams
from engine.signals.parts.quotes import QUOTE_FIELDS, Quotes, has_quotes, quotes_of

MIN_PIVOT: Final = 1e-9  # a state that is never left and never moves says nothing

Bins = Annotated[int, Field(ge=1, le=100_000)]


class MicroPriceParams(SignalParams):
    """States and times."""

    n_imbalances: Annotated[int, Field(ge=1, le=20)] = Field(5, description="classes of imbalance for each side")
    n_spreads: Annotated[int, Field(ge=1, le=10)] = Field(3, description="spreads told apart, ticks; the last one and all above")
    window_bins: Bins = Field(18_000, description="bins whose steps are counted")
    refit_interval_bins: Bins = Field(600, description="bins between two tables, counted from the session's start")
    min_train_bins: Bins = Field(3000, description="steps that a table needs")


class _MicroPriceState(NamedTuple):
    """H states: imbalance classes times spreads, one side of them; the other side is their mirror image."""

    bins_seen: Ints
    last: Ints  # (3,) bid + ask (1e-9 dollars), state, side; state -1 for none
    steps: Ints  # (window, 3) from state, signed to state + 1 (0: balanced), move towards the longer queue, half ticks
    counts: Ints  # (H, H) steps from one state to another, less those to its mirror image
    visits: Ints  # (H,)
    moves: Ints  # (H,) half ticks
    table: Floats  # (H,) half ticks
    n_steps: Ints  # (2,) counted now; whether there is a table
    system: Floats  # (H, H + 1) room to solve in


class _MicroPriceNumbers(NamedTuple):
    tick_int: int
    n_imbalances: int
    n_spreads: int
    refit_interval: int
    min_steps: int


@kernel
def _state_of(q: Quotes, i: int, p: _MicroPriceNumbers) -> int:
    """The quotes' state, whichever the longer queue is."""
    bid, ask = q.bid_size[i], q.ask_size[i]
    step = p.n_imbalances * abs(bid - ask) // (bid + ask)
    spread = (q.ask[i] - q.bid[i] + p.tick_int // 2) // p.tick_int
    return (min(max(spread, 1), p.n_spreads) - 1) * p.n_imbalances + step


@kernel
def _count(state: _MicroPriceState, slot: Ints, sign: int) -> None:
    """Take a step into the counts, or out of them."""
    start = slot[0]
    if start < 0:
        return
    state.visits[start] += sign
    state.moves[start] += sign * slot[2]
    if slot[1] != 0:
        state.counts[start, abs(slot[1]) - 1] += sign if slot[1] > 0 else -sign
    state.n_steps[0] += sign


@kernel
def _solve(state: _MicroPriceState) -> None:
    """(1 - P) g = e into the table; rows are diagonally dominant, so elimination needs no search for pivots."""
    a, g = state.system, state.table
    n = g.shape[0]
    for x in range(n):
        for y in range(n + 1):
            a[x, y] = 0.0
        a[x, x] = 1.0
        if state.visits[x] > 0:
            for y in range(n):
                a[x, y] -= state.counts[x, y] / state.visits[x]
            a[x, n] = state.moves[x] / state.visits[x]
    for x in range(n):
        if a[x, x] < MIN_PIVOT:
            continue
        for y in range(x + 1, n):
            share = a[y, x] / a[x, x]
            if share != 0.0:
                for c in range(x, n + 1):
                    a[y, c] -= share * a[x, c]
    for k in range(n):
        x = n - 1 - k
        g[x] = 0.0
        if a[x, x] >= MIN_PIVOT:
            value = a[x, n]
            for y in range(x + 1, n):
                value -= a[x, y] * g[y]
            g[x] = value / a[x, x]


@kernel
def run(state: _MicroPriceState, bin_seq: Ints, q: Quotes, p: _MicroPriceNumbers, out: Outputs) -> None:
    """Many bins; ``out`` (n,) of MicroPrice.output_dtype."""
    last, window = state.last, state.steps.shape[0]
    for i in range(out.shape[0]):
        if bin_seq[i] % p.refit_interval == 0:  # of the bins before this one
            state.n_steps[1] = state.n_steps[0] >= p.min_steps
            if state.n_steps[1]:
                _solve(state)
        slot = state.steps[state.bins_seen[0] % window]
        state.bins_seen[0] += 1
        out[i]["sample_count"] = state.bins_seen[0]
        _count(state, slot, -1)
        slot[0] = -1
        if not has_quotes(q, i):
            last[1] = -1
            continue
        twice_mid = q.bid[i] + q.ask[i]
        at = _state_of(q, i, p)
        gap = q.bid_size[i] - q.ask_size[i]
        side = 1 if gap > 0 else (-1 if gap < 0 else 0)
        if last[1] >= 0 and last[2] != 0:
            slot[0] = last[1]
            slot[1] = last[2] * side * (at + 1)
            slot[2] = last[2] * round((twice_mid - last[0]) / p.tick_int)
            _count(state, slot, 1)
        if state.n_steps[1]:
            out[i]["score"] = 0.5 * side * state.table[at]
            out[i]["ready"] = True
        last[0], last[1], last[2] = twice_mid, at, side


class MicroPrice(Signal):
    """Stoikov's micro-price less the mid, ticks."""

    name: ClassVar[str] = "micro_price"
    required_fields: ClassVar[tuple[str, ...]] = ("bin_seq", *QUOTE_FIELDS)
    default_thresholds: ClassVar[tuple[float, ...]] = (0.05, 0.1, 0.2, 0.3)
    Params: ClassVar[type[BaseModel]] = MicroPriceParams
    test_params: ClassVar[Any] = ({"window_bins": 200, "refit_interval_bins": 50, "min_train_bins": 60},)
    params: MicroPriceParams

    def __init__(self, params: MicroPriceParams, context: SignalContext) -> None:
        self._numbers = _MicroPriceNumbers(
            require_tick(context, self.name),
            params.n_imbalances,
            params.n_spreads,
            params.refit_interval_bins,
            params.min_train_bins,
        )
        super().__init__(params, context)

    def _fresh_state(self) -> _MicroPriceState:
        n = self.params.n_imbalances * self.params.n_spreads
        steps = np.zeros((self.params.window_bins, 3), np.int64)
        steps[:, 0] = -1
        return _MicroPriceState(
            bins_seen=np.zeros(1, np.int64),
            last=np.array([0, -1, 0], np.int64),
            steps=steps,
            counts=np.zeros((n, n), np.int64),
            visits=np.zeros(n, np.int64),
            moves=np.zeros(n, np.int64),
            table=np.zeros(n),
            n_steps=np.zeros(2, np.int64),
            system=np.zeros((n, n + 1)),
        )

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        run(self._state, x["bin_seq"], quotes_of(x), self._numbers, out)

    @property
    def memory_bins(self) -> int:
        """The window before the last table, and the bin before it."""
        return self.params.window_bins + self.params.refit_interval_bins + 1

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """The last table, ticks: a row a spread, a column a class of imbalance towards the longer queue."""
        table = 0.5 * self._state.table.reshape(self.params.n_spreads, self.params.n_imbalances)
        return {"table_ticks": table.round(6).tolist()}
