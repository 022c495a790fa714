"""A sound signal in plain numpy, and others made of it with one fault each."""

import datetime as dt
import random
import time
from typing import Any, NamedTuple

import numpy as np

from engine.signals.owner import Signal, SignalParams

KEPT: dict[str, int] = {"n": 0}
SCALES: dict[str, float] = {}


class SoundParams(SignalParams):
    """The window in bins."""

    window_bins: int = 10


class SoundState(NamedTuple):
    """Bins seen, and the newest values."""

    seen: np.ndarray
    ring: np.ndarray


class Sound(Signal):
    """Mean of an imbalance over a window, in plain numpy: what the broken ones below are made of."""

    name = "sound"
    required_columns = ("v_add",)
    default_thresholds = (0.1, 0.5)
    Params = SoundParams

    def _fresh_state(self) -> SoundState:
        return SoundState(np.zeros(2, np.int64), np.zeros(self.params.window_bins))

    def _values(self, x: dict[str, Any]) -> Any:
        spot = x["v_add"].shape[1] // 2
        return x["v_add"][:, spot - 1] - x["v_add"][:, spot + 1]

    def _advance(self, x: dict[str, Any], out: Any) -> None:
        seen, ring = self._state
        for i, value in enumerate(self._values(x)):
            seen[0] += 1
            out[i]["sample_count"] = seen[0]
            if np.isfinite(value):
                ring[seen[1] % len(ring)] = value
                seen[1] += 1
                if seen[1] >= len(ring):
                    out[i]["ready"] = True
                    out[i]["score"] = np.roll(ring, -(seen[1] % len(ring))).sum()

    @property
    def memory_bins(self) -> int:
        return int(self.params.window_bins)


class WholeColumnMean(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        values = super()._values(x)
        return values - np.nanmean(np.where(np.isfinite(values), values, np.nan))


class Rolled(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return np.roll(super()._values(x), -1)


class PeeksInZeros(Sound):
    """Looks a bin ahead where nothing was added anywhere, which the example's bins never show."""

    def _values(self, x: dict[str, Any]) -> Any:
        values = super()._values(x)
        return np.where(x["v_add"].any(axis=1), values, np.append(values[1:], 0.0))


class KeepsScale(Sound):
    """Divides by a deviation that the process keeps from the first session it meets."""

    def _values(self, x: dict[str, Any]) -> Any:
        values = super()._values(x)
        return values / SCALES.setdefault("deviation", float(np.nanstd(values[np.isfinite(values)])) or 1.0)


class ModuleState(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        KEPT["n"] += len(x["v_add"])
        return super()._values(x) + KEPT["n"]


class ClassState(Sound):
    """Begins afresh with each signal, so that only signals side by side show it."""

    shared = np.zeros(10)

    def _fresh_state(self) -> SoundState:
        type(self).shared[:] = 0.0
        return SoundState(np.zeros(2, np.int64), type(self).shared)


class Drawn(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return super()._values(x) + np.random.default_rng().standard_normal(len(x["v_add"]))


class DrawnGlobally(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return super()._values(x) + random.random()


class WallClock(Sound):
    """Changes by the year: two runs in one test agree."""

    def _values(self, x: dict[str, Any]) -> Any:
        return super()._values(x) * dt.datetime.now().year


class WallClockSeconds(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return super()._values(x) * int(time.time() // 1_000_000)


class Grows(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        self.past = [*getattr(self, "past", []), *super()._values(x).tolist()]
        return super()._values(x)


class WritesInputs(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        x["v_add"][~np.isfinite(x["v_add"])] = 0.0
        return super()._values(x)


class WritesInputsOnItsOwn(Sound):
    """Goes round the owner, which would have stopped it."""

    def run(self, columns: Any) -> Any:
        out = super().run(columns)
        columns["v_add"][...] = 0.0
        return out


class ForgetsState(Sound):
    """A part of what it knows is not in the state."""

    def _values(self, x: dict[str, Any]) -> Any:
        values = super()._values(x)
        before = np.concatenate([[getattr(self, "last", 0.0)], values[:-1]])
        self.last = values[-1]
        return values - before


class ForgetsPickled(Sound):
    def __getstate__(self) -> Any:
        return {**self.__dict__, "_state": self._fresh_state()}


class PassesHoles(Sound):
    def _advance(self, x: dict[str, Any], out: Any) -> None:
        super()._advance(x, out)
        out["score"][~np.isfinite(self._values(x))] = np.nan


class ReadyInHoles(Sound):
    def _advance(self, x: dict[str, Any], out: Any) -> None:
        super()._advance(x, out)
        out["ready"] = out["sample_count"] >= 10


class NotOdd(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return np.abs(super()._values(x))


class Returns(Sound):
    def _advance(self, x: dict[str, Any], out: Any) -> Any:
        return np.zeros(len(x["v_add"]) - 1)


class WrongLength(Sound):
    def run(self, columns: Any) -> Any:
        return super().run(columns)[1:]


class WrongType(Sound):
    def run(self, columns: Any) -> Any:
        return super().run(columns)["score"]


class Rounds(Sound):
    def update(self, rows: Any) -> Any:
        one = super().update(rows)
        one["score"] = np.float32(one["score"])
        return one


class Miscounts(Sound):
    def _advance(self, x: dict[str, Any], out: Any) -> None:
        super()._advance(x, out)
        out["sample_count"] += 1


class NeverReady(Sound):
    test_params = [{"window_bins": 10_000}]


class NoState(Sound):
    def _fresh_state(self) -> Any:
        return [np.zeros(2, np.int64), np.zeros(self.params.window_bins)]


class WarmsUpInPlace(Sound):
    def warmup(self) -> None:
        self.run(self._zero_bins(2))


class ShortMemory(Sound):
    memory_bins = 8  # type: ignore[assignment]  # of the ten it reads


class NoMemory(Sound):
    memory_bins = 2.5  # type: ignore[assignment]


class Raises(Sound):
    def _values(self, x: dict[str, Any]) -> Any:
        return x["v_add"][:, 1000]


class Tape(Sound):
    """Reads no rows."""

    name = "tape"
    required_columns = ()
    required_fields = ("buy_volume", "sell_volume")

    def _values(self, x: dict[str, Any]) -> Any:
        return (x["buy_volume"] - x["sell_volume"]).astype(np.float64)
