"""What a champion carries of a learned signal: the last model of the session that its judge saw, so that a new day starts ready.

A learned signal is judged walking forward inside each session: nothing is said before the session's own first fit, and each
later bin is scored by a model fitted on that session's earlier bins. A stream does the same walk, bit for bit. What is carried
changes nothing of that: it speaks in the bins before the session's own model says its first word, where the judge saw nothing,
and then it is gone. It never trains on what the stream shows, and no fit builds on it.

So a stream equals ``tune score --champion VERSION`` on the session's dataset in every bin, and ``tune score`` without it in every
bin that this one calls ready.
"""

import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, cast

import numpy as np

from engine.errors import ConfigError
from engine.schema import Outputs, pack, unpack
from engine.signals.base import Columns, LatePolicy, SignalLike
from engine.signals.learned.schedule import ScheduledSignal

NEVER: Final = 2**62  # a bin that no session has
_COUNTED: Final = ("sample_count", "fits", "late_fits")  # of the session's own walk, whoever speaks
_KIND: Final = "carried"


def fitted_state(signal: SignalLike) -> bytes | None:
    """The newest model of a learned signal, which fits no other any more; None where there is nothing to carry.

    Parameters
    ----------
    signal : SignalLike
        Has seen a session to its end. It is not changed, but for a fit under way that is waited for.

    Returns
    -------
    bytes or None
        For `begun_with`: a compressed `snapshot`. None of a signal that is not learned, or was never fitted.
    """
    if not isinstance(signal, ScheduledSignal):
        return None
    signal.settle()
    newest = signal._fitted if signal._coming is None else signal._coming
    if not isinstance(newest, dict):
        return None
    still = type(signal)(signal.params, signal.context)
    still._fitted = newest
    still._clock.last_fit[0] = NEVER
    return zlib.compress(still.snapshot(), 1)


def begun_with(signal: SignalLike, state: bytes) -> SignalLike:
    """A fresh signal that speaks through a carried model until its own is fitted.

    Raises
    ------
    ConfigError
        The state is damaged, or belongs to another signal or other parameters.
    """
    if not isinstance(signal, ScheduledSignal):
        raise ConfigError(f"{signal.name} is not fitted, so it cannot begin with a fitted state; leave the state out")
    return cast(SignalLike, Carried(signal, state))


def own_of(signal: SignalLike) -> SignalLike:
    """The session's own signal, without what was carried into it."""
    return signal.own if isinstance(signal, Carried) else signal


class Carried:
    """A learned signal with a model from before the session; what it does not have itself is the signal's own.

    Parameters
    ----------
    own : ScheduledSignal
        Fresh.
    state : bytes
        From `fitted_state`.

    Raises
    ------
    ConfigError
        The state is damaged, or belongs to another signal or other parameters.
    """

    def __init__(self, own: ScheduledSignal, state: bytes) -> None:
        self.own = own
        self.state_id = sha256(state).hexdigest()[:16]
        try:
            snapshot = zlib.decompress(state)
        except zlib.error as error:
            raise ConfigError(f"the fitted state of {own.name} is damaged ({error}); promote the run again") from error
        self._before: ScheduledSignal | None = self._twin()
        self._before.restore(snapshot)

    def __getattr__(self, name: str) -> Any:
        if name == "own":  # not there yet: it is being unpickled
            raise AttributeError(name)
        return getattr(self.own, name)

    @property
    def late_policy(self) -> LatePolicy:
        """Of the own signal."""
        return self.own.late_policy

    @late_policy.setter
    def late_policy(self, policy: LatePolicy) -> None:
        self.own.late_policy = policy

    def run(self, columns: Columns) -> Outputs:
        """Many bins; the first bin at which the own model is ready ends what was carried."""
        out = self.own.run(columns)
        if self._before is None:
            return out
        ready = np.flatnonzero(out["ready"])
        n = int(ready[0]) if len(ready) else len(out)
        said = self._before.run({name: column[:n] for name, column in columns.items()})
        for name in said.dtype.names or ():
            if name not in _COUNTED:
                out[name][:n] = said[name]
        if len(ready):
            self.let_go()
        return out

    def update(self, rows: Columns) -> Outputs:
        """One bin."""
        one = {name: np.asarray(rows[name])[np.newaxis] for name in (*self.own.required_columns, *self.own.required_fields)}
        said: Outputs = self.run(one).reshape(())
        return said

    def let_go(self) -> None:
        """The own model speaks from here on."""
        self._before = None

    def snapshot(self) -> bytes:
        """Both states as bytes."""
        before = b"" if self._before is None else self._before.snapshot()
        parts = {"own": np.frombuffer(self.own.snapshot(), np.uint8), "before": np.frombuffer(before, np.uint8)}
        return pack(_KIND, self._key(), parts)

    def restore(self, data: bytes) -> None:
        """Take a snapshot back."""
        parts = unpack(_KIND, self._key(), data)
        self.own.restore(parts["own"].tobytes())
        self._before = None
        if len(parts["before"]):
            self._before = self._twin()
            self._before.restore(parts["before"].tobytes())

    def _twin(self) -> ScheduledSignal:
        make: Callable[..., ScheduledSignal] = type(self.own)
        return make(self.own.params, self.own.context)

    def _key(self) -> str:
        return f"{self.own.name} {self.state_id}"
