"""The owner of learned signals: features and labels bin by bin, fits on schedule and off the bin's path.

A fit is started at the bin where its data end and takes effect ``refit_delay_bins`` later, whoever drives the signal: a sweep
waits there for the fit to be done. A stream may rather hold the old model (``late_policy = "hold"``); the late fit is counted
and takes over at the first bin that finds it done. A fit is a pure function of its rows and the seed, and its result is plain
arrays scored by a kernel, so both ways give the same bits.

Source: signals.md section 5.1; section 14 items 1, 10, 14, 17, 24 and 26.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.schema import Ints, Outputs, pack, unpack
from engine.signals.base import COMMON_FIELDS, SignalContext
from engine.signals.learned.training import Fitted
from engine.signals.owner import Signal, SignalParams

LEARNED_FIELDS: Final[list[tuple[str, str]]] = [
    *COMMON_FIELDS,
    ("prediction", "f8"),  # as the reference gives it: a probability, a decision value or a vote
    ("fits", "i4"),  # that have taken effect
    ("late_fits", "i4"),  # that were not done when they should have
]

Bins = Annotated[int, Field(ge=1, le=1_000_000)]


class ScheduleParams(SignalParams):
    """When a learned signal is fitted; times in bins."""

    min_train_bins: Bins = Field(1200, description="bins before the first fit")
    refit_interval_bins: Bins = Field(300, description="bins between two fits")
    refit_delay_bins: Annotated[int, Field(ge=0, le=100_000)] = Field(
        50, description="bins between a fit's data end and the bin it takes effect at; 0 fits on the bin's path"
    )

    @model_validator(mode="after")
    def _in_turn(self) -> "ScheduleParams":
        if self.refit_delay_bins > self.refit_interval_bins:
            raise ValueError(
                f"refit_delay_bins was {self.refit_delay_bins}; it must be at most refit_interval_bins, which is "
                f"{self.refit_interval_bins}, so that one fit is done before the next begins"
            )
        return self


class FitJob:
    """A fit under way in a thread of its own."""

    def __init__(self, fit: Callable[[], Fitted]) -> None:
        self._fit = fit
        self._result: Fitted | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="signal-fit", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result = self._fit()
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error

    @property
    def is_done(self) -> bool:
        """Whether `result` would not wait."""
        return not self._thread.is_alive()

    def result(self) -> Fitted:
        """What came out; waits for it."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class Clock(NamedTuple):
    """Bins and fits counted, each of shape (1,)."""

    seen: Ints  # bins
    last_fit: Ints  # count of bins at the last fit's data end, -1 before the first
    last_full: Ints  # the same of the last fit that did not build upon another
    effect: Ints  # count of bins at which the fit under way takes effect, -1 where there is none
    fits: Ints
    late: Ints
    was_late: Ints  # whether the fit under way has been counted as late


class ScheduledSignal(Signal):
    """A signal with a model that is fitted anew on schedule."""

    is_odd: ClassVar[bool] = False
    trigger: ClassVar[Literal["edge", "level"]] = "level"
    prediction_mode: ClassVar[Literal["score", "confidence", "probability"]] = "confidence"
    output_dtype: ClassVar[np.dtype[np.void]] = np.dtype(LEARNED_FIELDS)
    required_fields: ClassVar[tuple[str, ...]] = ("bin_seq",)
    params: Any

    def __init__(self, params: ScheduleParams, context: SignalContext) -> None:
        super().__init__(params, context)
        self._clock = Clock(*(np.full(1, start, np.int64) for start in (0, -1, -1, -1, 0, 0, 0)))
        self._fitted: Fitted | None = None
        self._coming: FitJob | Fitted | None = None

    @abstractmethod
    def _ingest(self, x: dict[str, NDArray[Any]], first: int, last: int, out: Outputs) -> None:
        """Features and labels of bins ``first`` to ``last`` (exclusive) of the block; models play no part."""

    @abstractmethod
    def _predict(self, x: dict[str, NDArray[Any]], first: int, last: int, fitted: Fitted, out: Outputs) -> None:
        """Score bins ``first`` to ``last`` (exclusive) of the block, which have been taken in, by one fitted model."""

    @abstractmethod
    def _plan_fit(self, x: dict[str, NDArray[Any]], i: int) -> Callable[[], Fitted] | None:
        """A fit on what is known at bin ``i`` of the block; None where that is too little."""

    def _advance(self, x: dict[str, NDArray[Any]], out: Outputs) -> None:
        i, n = 0, len(out)
        clock = self._clock
        while i < n:
            t = int(clock.seen[0])
            self._adopt(t)
            if self._is_due(t, int(x["bin_seq"][i])):
                end = i + 1
                self._ingest(x, i, end, out)
                self._start_fit(x, i, t)
                self._adopt(t)
            else:
                end = min(n, i + self._quiet_bins(t, int(x["bin_seq"][i])))
                self._ingest(x, i, end, out)
            clock.seen[0] = t + end - i
            out["sample_count"][i:end] = np.arange(t + 1, t + 1 + end - i)
            out["fits"][i:end] = clock.fits[0]
            out["late_fits"][i:end] = clock.late[0]
            if self._fitted is not None:
                self._predict(x, i, end, self._fitted, out)
            else:
                self._leave_out(out[i:end])
            i = end

    def _leave_out(self, out: Outputs) -> None:
        """What stands in bins before the first fit."""
        out["prediction"] = 0.5 if self.prediction_mode == "probability" else 0.0

    def _is_due(self, t: int, bin_seq: int) -> bool:
        """Whether a fit's data end at bin ``t``. Fits stand at fixed bins of the session, wherever the signal began."""
        if self._coming is not None or t < self.params.min_train_bins:
            return False
        if self._clock.last_fit[0] < 0:
            return True
        if t <= self._clock.last_fit[0]:
            return False
        return (bin_seq - self.params.min_train_bins) % int(self.params.refit_interval_bins) == 0

    def _quiet_bins(self, t: int, bin_seq: int) -> int:
        """Bins from ``t`` on, itself included, before the next one that starts or adopts a fit."""
        p = self.params
        stops = []
        if self._coming is not None:
            stops.append(int(self._clock.effect[0]) - t)
        if t < p.min_train_bins:
            stops.append(p.min_train_bins - t)
        elif self._clock.last_fit[0] < 0:
            stops.append(1)
        else:
            stops.append(p.refit_interval_bins - (bin_seq - p.min_train_bins) % p.refit_interval_bins)
        return max(1, min(stops))

    def _start_fit(self, x: dict[str, NDArray[Any]], i: int, t: int) -> None:
        fit = self._plan_fit(x, i)
        if fit is None:
            return
        self._coming = FitJob(fit)
        self._clock.last_fit[0] = t
        self._clock.effect[0] = t + self.params.refit_delay_bins
        self._clock.was_late[0] = 0

    def _adopt(self, t: int) -> None:
        """Let the fit under way take over where it is time; a late one is waited for, or counted and the old model holds."""
        coming, clock = self._coming, self._clock
        if coming is None or t < clock.effect[0]:
            return
        if isinstance(coming, FitJob):
            if self.late_policy == "hold" and not coming.is_done:
                clock.late[0] += 1 - clock.was_late[0]
                clock.was_late[0] = 1
                return
            coming = coming.result()
        self._fitted, self._coming = coming, None
        clock.effect[0] = -1
        clock.fits[0] += 1

    @property
    def is_fit_due(self) -> bool:
        """Whether the next bin is to be scored by a fit that is not done yet."""
        return isinstance(self._coming, FitJob) and self._clock.seen[0] >= self._clock.effect[0] and not self._coming.is_done

    @property
    def is_fitting(self) -> bool:
        """Whether a fit is under way, which a snapshot would wait for."""
        return isinstance(self._coming, FitJob) and not self._coming.is_done

    def settle(self) -> None:
        """Wait for the fit under way; it takes effect no sooner for it."""
        if isinstance(self._coming, FitJob):
            self._coming = self._coming.result()

    def __getstate__(self) -> dict[str, Any]:
        self.settle()
        return self.__dict__.copy()

    def snapshot(self) -> bytes:
        """The state, the training rows and the fitted models as bytes; waits for a fit that is under way."""
        self.settle()
        assert not isinstance(self._coming, FitJob)
        arrays: dict[str, NDArray[Any]] = {f"clock.{k}": v for k, v in self._clock._asdict().items()}
        arrays |= {f"state.{k}": v for k, v in self._state_arrays().items()}
        for kind, fitted in (("fitted", self._fitted), ("coming", self._coming)):
            arrays |= {f"{kind}.{k}": v for k, v in (fitted or {}).items()}
        return pack(self.name, self._key(), arrays)

    def restore(self, data: bytes) -> None:
        """Take a snapshot back."""
        groups: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in unpack(self.name, self._key(), data).items():
            kind, key = name.split(".", 1)
            groups.setdefault(kind, {})[key] = array
        self._clock = Clock(**groups["clock"])
        self._set_state_arrays(groups["state"])
        self._fitted, self._coming = groups.get("fitted"), groups.get("coming")

    def _state_arrays(self) -> dict[str, NDArray[Any]]:
        return dict(self._state._asdict())

    def _set_state_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._state = type(self._state)(**arrays)

    def metadata(self, outputs: Outputs) -> dict[str, Any]:
        """Fits and predictions counted."""
        return {
            "n_predicted": int(np.count_nonzero(outputs["ready"])),
            "retrain_count": int(self._clock.fits[0]),
            "late_fit_count": int(self._clock.late[0]),
        }

    @abstractmethod
    def _blank(self) -> Fitted:
        """A fitted model that knows nothing, of the types a real one has."""

    @abstractmethod
    def _load_library(self) -> None:
        """Import what a fit needs, so that no stream waits for it."""

    def warmup(self) -> None:
        """Compile the kernels on a twin, import the library."""
        self._load_library()
        twin = self._twin()
        x = twin._inputs(self._zero_bins(2))
        out = np.zeros(2, self.output_dtype)
        twin._ingest(x, 0, 2, out)
        twin._clock.seen[0] = 2
        twin._predict(x, 0, 2, self._blank(), out)
