"""Markets whose truth is known, and a line of the calibration sheet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.trades.tape import Tape, touch_tape
from tests.test_tune.markets import TICK


@dataclass(frozen=True)
class Line:
    """One line of the sheet: what was asked, what must hold, what was found."""

    question: str
    required: str
    found: float
    holds: bool


def drifting_market(rng: np.random.Generator, score: NDArray[np.float64], drift: float, spread: int, moves: int = 3) -> Tape:
    """Quotes that step a tick up or down ``moves`` times a bin; up with 0.5 + drift while the bin before had a score above 0."""
    n = len(score)
    lean = np.where(score > 0, drift, -drift)
    lean = np.append(0.0, lean[:-1])[:, None]
    steps = np.where(rng.random((n, moves)) < 0.5 + lean, 1, -1)
    path = (np.cumsum(steps, axis=None).reshape(n, moves) + 84_000) * TICK
    ask = path + max(spread, 1) * TICK
    tape = touch_tape(path[:, -1], ask[:, -1], path.min(1), path.max(1), ask.min(1), ask.max(1), np.zeros(n, np.uint16))
    # Bid and ask as one price is the free market of theory, in which nothing can be earned and nothing is lost.
    return tape._replace(ask=tape.bid, ask_low=tape.bid_low, ask_high=tape.bid_high) if spread == 0 else tape


def random_score(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A slowly changing score that knows nothing, in -1..1."""
    return np.tanh(np.convolve(rng.standard_normal(n), np.ones(40) / 5, "same"))


def mean(values: list[bool] | list[float]) -> float:
    """As a plain number."""
    return float(np.mean(values))


def level(question: str, missed: list[bool], level: float) -> Line:
    """At its level: not above it by more than 2.33 standard errors of so many trials."""
    bound = level + 2.33 * np.sqrt(level * (1 - level) / len(missed))
    return Line(question, f"{level:g}, at most {bound:.3f}", mean(missed), mean(missed) <= bound)
