"""The engine: market-by-order records in, a force field in fixed-width bins out. No work happens at import.

At a prompt or in a notebook everything starts here: `open_lake`, `list_datasets`, `open_dataset`, `replay`, `run_signal`,
`publish`, `simulate_session`; to write a signal of one's own, `Signal`, `SignalParams`, `kernel`, `check_signal`.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from engine.dataset.notebook import FileReplay, list_datasets, open_dataset, publish, replay, run_signal, simulate_session
    from engine.dataset.read import Dataset
    from engine.errors import ConfigError, DatasetError, EngineError, SourceError
    from engine.jit import kernel
    from engine.lake import Lake, open_lake
    from engine.run.frames import BinFrames
    from engine.run.whole import WholeReplay
    from engine.signals.base import SignalContext
    from engine.signals.check import check_signal
    from engine.signals.owner import Signal, SignalParams

# Public name -> module and name there; imported when first used. None may bear the name of a module of the package: that
# module's import would take its place.
_NAMES: Final[Mapping[str, str]] = {
    "BinFrames": "engine.run.frames:BinFrames",
    "ConfigError": "engine.errors:ConfigError",
    "Dataset": "engine.dataset.read:Dataset",
    "DatasetError": "engine.errors:DatasetError",
    "EngineError": "engine.errors:EngineError",
    "FileReplay": "engine.dataset.notebook:FileReplay",
    "Lake": "engine.lake:Lake",
    "Signal": "engine.signals.owner:Signal",
    "SignalContext": "engine.signals.base:SignalContext",
    "SignalParams": "engine.signals.owner:SignalParams",
    "SourceError": "engine.errors:SourceError",
    "WholeReplay": "engine.run.whole:WholeReplay",
    "check_signal": "engine.signals.check:check_signal",
    "kernel": "engine.jit:kernel",
    "list_datasets": "engine.dataset.notebook:list_datasets",
    "open_dataset": "engine.dataset.notebook:open_dataset",
    "open_lake": "engine.lake:open_lake",
    "publish": "engine.dataset.notebook:publish",
    "replay": "engine.dataset.notebook:replay",
    "run_signal": "engine.dataset.notebook:run_signal",
    "simulate_session": "engine.dataset.notebook:simulate_session",
}

__all__ = [
    "BinFrames",
    "ConfigError",
    "Dataset",
    "DatasetError",
    "EngineError",
    "FileReplay",
    "Lake",
    "Signal",
    "SignalContext",
    "SignalParams",
    "SourceError",
    "WholeReplay",
    "check_signal",
    "kernel",
    "list_datasets",
    "open_dataset",
    "open_lake",
    "publish",
    "replay",
    "run_signal",
    "simulate_session",
]


def lazy_names(package: dict[str, Any], names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__`` by which its public names are imported when first used.

    Parameters
    ----------
    package
        The package's ``globals()``.
    names
        Public name -> ``"module:name"``.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        module, _, attribute = names[name].partition(":")
        package[name] = value = getattr(import_module(module), attribute)
        return value

    def list_names() -> list[str]:
        return sorted({*package, *names})

    return get, list_names


if not TYPE_CHECKING:  # a checker would take any name for known
    __getattr__, __dir__ = lazy_names(globals(), _NAMES)
