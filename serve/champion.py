"""Which signal serves: watches the champion's pointer, builds and compiles the signal aside, and keeps the old one when it must.

Source: interfaces.md, "Champion".
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from engine.champion import Champion, PointerState, read_champion, read_pointed, read_pointer, with_fitted
from engine.config import InstrumentConfig
from engine.constants import NS_PER_DAY
from engine.dataset.read import Dataset
from engine.errors import ChampionError, EngineError
from engine.lake import Lake
from engine.run.runner import Runner, Span
from engine.schema import GRID_F64
from engine.signals.base import SignalContext, SignalLike
from engine.signals.promoted import begun, load_built_in, promoted_class
from engine.signals.registry import BUILT_IN, signal_of
from engine.signals.statistical.perm_derivative import PermDerivative, perm_params_from_config
from serve.request import with_overrides
from serve.settings import CHAMPION, INSTRUMENT
from serve.trust import Trust

logger = logging.getLogger(__name__)

MICROSTATES: Final = "perm_microstate_id"


@dataclass(frozen=True)
class Serving:
    """What new streams score with, and open streams change to; ``generation`` counts the changes."""

    generation: int
    champion: Champion | None
    since: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Alarm:
    """A champion that could not be taken."""

    message: str
    since: str  # ISO 8601, UTC


@dataclass(frozen=True)
class SignalChoice:
    """A signal by name and values: what `build` makes, and what ``runtime_config`` says about it."""

    name: str
    origin: str  # CHAMPION or INSTRUMENT
    version: int | None  # of the champion
    parameters: dict[str, Any]
    context: SignalContext
    enabled: bool = True
    champion: Champion | None = None

    def build(self) -> SignalLike | None:
        """A fresh signal; None where the instrument's own one is switched off."""
        if not self.enabled:
            return None
        signal = signal_of(self._class, self.parameters, self.context)
        return signal if self.champion is None else begun(self.champion, signal)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns and bin fields to remember so that it can be warmed: what it reads, and the microstates."""
        return tuple(sorted({MICROSTATES, *self._class.required_columns, *self._class.required_fields}))

    @property
    def _class(self) -> type[SignalLike]:
        return PermDerivative if self.champion is None else promoted_class(self.champion)

    def describe(self) -> dict[str, Any]:
        """The ``runtime_model`` object of a ``runtime_config``."""
        return {
            "name": self.name,
            "enabled": self.enabled,
            "version": self.version,
            "source": self.origin,
            "standing": INSTRUMENT if self.champion is None else self.champion.standing,
            "because": reason_of(self.champion),
            "parameters": self.parameters,
            "fitted": _fitted_line(self.champion),
        }


def _fitted_line(champion: Champion | None) -> dict[str, Any] | None:
    """What a learned signal was fitted on before the stream began; None where it begins anew."""
    if champion is None or champion.fitted is None:
        return None
    return {"dataset_id": champion.fitted.dataset_id, "end_ns": str(champion.fitted.end_ns)}


def reason_of(champion: Champion | None) -> str | None:
    """Why a champion serves that the gate had refused; None where nothing was forced."""
    return champion.gate.because if champion is not None and champion.gate is not None and champion.gate.failed else None


def choose_signal(champion: Champion | None, config: InstrumentConfig) -> SignalChoice:
    """The champion's signal, or without one the instrument's own ``perm_*`` signal."""
    context = SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    if champion is not None:
        return SignalChoice(champion.signal, CHAMPION, champion.version, dict(champion.parameters), context, champion=champion)
    parameters = perm_params_from_config(config).model_dump(mode="json")
    return SignalChoice(PermDerivative.name, INSTRUMENT, None, parameters, context, config.perm_runtime_enabled)


def required_columns(choice: SignalChoice | None = None) -> tuple[str, ...]:
    """What a stream remembers from its start, to warm whatever takes over: what built-in signals read, and its own signal.

    A foreign champion that comes later and reads other columns than these starts cold in the streams that are open then.
    """
    return tuple(sorted({*_built_in_columns(), *(() if choice is None else choice.reads)}))


@cache
def _built_in_columns() -> frozenset[str]:
    signals = [load_built_in(name) for name in BUILT_IN]
    return frozenset({MICROSTATES}.union(*((*signal.required_columns, *signal.required_fields) for signal in signals)))


def config_for(champion: Champion | None, config: InstrumentConfig) -> InstrumentConfig:
    """The instrument as a champion needs it: with the five-state table that it was scored with."""
    if champion is None or champion.state5_table == config.state5_table:
        return config
    return with_overrides(config, {"state5_table": champion.state5_table}, f"champion version {champion.version}")


def check_champion(champion: Champion, config: InstrumentConfig, lake: Lake) -> None:
    """Refuse a champion whose scores would mean something else on this instrument's bins.

    Raises
    ------
    ChampionError
        Naming the field, both values and how to mend it.
    """
    config_for(champion, config)
    for field in ("cell_width_ms", "grid_radius_ticks", "tick_size"):
        theirs, ours = getattr(champion, field, champion.evaluation.get(field)), getattr(config, field)
        if theirs is not None and theirs != ours:
            raise ChampionError(
                f"champion version {champion.version} was scored with {field} {theirs}, this instrument runs {ours}; "
                f"promote a run of a dataset with {field} {ours}, or set {field}: {theirs} in the instrument file and restart"
            )
    try:
        made_with = Dataset.open(lake, champion.dataset_id, with_sealed=True).manifest["config"]
        trained_on = made_with["symbol"]
    except (EngineError, OSError, KeyError):
        return  # the dataset may live elsewhere: then there is nothing to compare with
    if trained_on != config.symbol:
        raise ChampionError(
            f"champion version {champion.version} was scored on {trained_on}, this instrument is {config.symbol}; "
            f"promote a run of a dataset of {config.symbol}"
        )
    theirs = made_with.get("rate_kernel", config.rate_kernel)
    if theirs != config.rate_kernel and not set(GRID_F64).isdisjoint(promoted_class(champion).required_columns):
        raise ChampionError(
            f"champion version {champion.version} was scored with rate_kernel {theirs}, this instrument runs "
            f"{config.rate_kernel}; promote a run of a dataset with rate_kernel {config.rate_kernel}, or set rate_kernel: "
            f"{theirs} in the instrument file and restart"
        )


class ChampionWatcher:
    """Follows the pointer from a thread of its own.

    Parameters
    ----------
    lake : Lake
        Holds ``models/``.
    config : InstrumentConfig
        What a champion must fit.
    poll_s : float
        Seconds between two looks.
    on_change : callable, optional
        Called from the watching thread after `serving` has changed.
    trust : Trust
        Which foreign signals may run here; by default none.
    """

    def __init__(
        self,
        lake: Lake,
        config: InstrumentConfig,
        poll_s: float,
        on_change: Callable[[Serving], None] | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._trust = trust or Trust()
        self._lake = lake
        self._config = config
        self.poll_s = poll_s
        self._on_change = on_change
        self._etag = ""
        self._serving = Serving(0, None, _now())
        self._alarm: Alarm | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def serving(self) -> Serving:
        """What serves now; replaced as a whole, so any thread may read it."""
        return self._serving

    @property
    def alarm(self) -> Alarm | None:
        """Why the champion that the pointer names does not serve; None where all is well."""
        return self._alarm

    @property
    def is_watching(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Take what the pointer says now, compiled and ready, then go on watching."""
        Runner(self._config, Span(0, NS_PER_DAY)).warmup()
        warm_up(choose_signal(None, self._config))
        self.poll()
        self._thread = threading.Thread(target=self._watch, name="champion-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def poll(self) -> bool:
        """Look once; whether `serving` changed. A champion that cannot be taken raises the alarm and changes nothing."""
        try:
            pointer = read_pointer(self._lake)
            if pointer.etag == self._etag:
                self._clear_alarm()
                return False
            champion = self._load(pointer)
        except (EngineError, OSError) as error:
            self._raise_alarm(str(error))
            return False
        except Exception as error:  # a signal's own fault must not end the watch
            if self._raise_alarm(f"the champion does not load: {type(error).__name__}: {error}"):
                logger.exception("the champion does not load")
            return False
        self._etag = pointer.etag
        self._clear_alarm()
        before = self._serving
        if champion is None and before.champion is None:
            return False
        self._serving = Serving(before.generation + 1, champion, _now())
        logger.info("serving %s", "the instrument's own signal" if champion is None else _title(champion))
        if self._on_change is not None:
            self._on_change(self._serving)
        return True

    def load(self, version: int) -> Champion:
        """A version that may be served here, compiled and ready.

        Raises
        ------
        EngineError
            It is unknown or damaged, may not run here, or does not fit the instrument.
        """
        return self._ready(read_champion(self._lake, version))

    def _ready(self, champion: Champion) -> Champion:
        self._trust.require(champion)
        check_champion(champion, self._config, self._lake)
        champion = with_fitted(self._lake, champion)
        warm_up(choose_signal(champion, self._config))
        return champion

    def _load(self, pointer: PointerState) -> Champion | None:
        if pointer.version is not None:
            return self._ready(read_pointed(self._lake, pointer))  # not where it may point by now
        if not pointer.etag and self._serving.champion is not None:
            raise ChampionError(
                "the champion's pointer is gone; promote a run again, or go back with: python -m tune promote --none"
            )
        return None

    def _watch(self) -> None:
        while not self._stop.wait(self.poll_s):
            self.poll()

    def _raise_alarm(self, text: str) -> bool:
        """Whether the alarm is new."""
        if self._alarm is not None and self._alarm.message == text:
            return False
        self._alarm = Alarm(text, _now())
        logger.error("champion alarm: %s; %s goes on serving", text, _title(self._serving.champion))
        return True

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            logger.info("champion alarm is over: %s", self._alarm.message)
            self._alarm = None


def warm_up(choice: SignalChoice) -> float:
    """Build a signal once and let it compile, so that no stream waits for that; seconds it took.

    Raises
    ------
    ConfigError
        The signal or a parameter is not known here.
    """
    begin = time.monotonic()
    signal = choice.build()
    if signal is not None:
        signal.warmup()
    return time.monotonic() - begin


def _title(champion: Champion | None) -> str:
    return "the instrument's own signal" if champion is None else f"champion version {champion.version} ({champion.signal})"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
