"""Which code made a number: a hash of the sources a score depends on, wherever they lie.

Not covered: data files that a signal reads while it runs, and modules whose names are put together at run time.
"""

from functools import cache
from hashlib import sha256
from typing import Final

from engine.modules import Standing, is_standard, our_source, standing
from engine.signals.base import SignalLike
from engine.signals.registry import get_signal, home_of

_SCORING: Final = (
    "tune.rules",
    "engine.trades.tape",
    "engine.trades.kernels",
    "tune.tally_kernels",
    "tune.scoring",
    "tune.intervals",
    "tune.interval_kernels",
    "tune.splits",
    "tune.outofsample",
    "tune.trial",
    "tune.diagnostics",
)
# A fit's numbers follow the library that makes it: its module, and the distribution whose version counts.
_FITTED_BY: Final = {"sklearn": "scikit-learn", "lightgbm": "lightgbm", "xgboost": "xgboost-cpu"}
# These change no number: names of signals, where they come from and what is said of them, wording of errors, how sources are
# found, and the checks of an instrument's fields, which a point's identity already holds resolved.
_LEFT_OUT: Final = (
    "engine",  # lends names of others, which are followed
    "tune",
    "serve",
    "engine.signals.registry",
    "engine.signals.bundle",
    "engine.signals.declaration",
    "engine.modules",
    "engine.errors",
    "engine.config",
)


def code_version(signal: str) -> str:
    """`class_version` of a signal by its name.

    Raises
    ------
    ConfigError
        Unknown signal, or one of whose modules there is no source.
    """
    return class_version(get_signal(signal))


def class_version(signal: type[SignalLike]) -> str:
    """First 16 hex of a SHA-256 over the sources of a signal, of all it imports, and of the scoring.

    Followed are the modules of the class and its bases, of ours all that they import, and everything else that belongs to no
    regular distribution; distributions count by name and version, beneath our own modules only those that fit a model.

    Raises
    ------
    ConfigError
        There is no source of one of the modules.
    """
    homes = [cls.__module__ for cls in signal.__mro__ if not is_standard(cls.__module__) or cls.__module__ == "__main__"]
    first = dict.fromkeys([*homes, *home_of(signal)])
    judge = standing(_SCORING, "the judge", _SCORING.__contains__)
    own = standing(first, f"signal {signal.name}", lambda module: module not in _LEFT_OUT, _FITTED_BY)
    return Standing({**own.sources, **judge.sources}, own.versions).digest()[:16]


@cache
def scoring_version() -> str:
    """First 16 hex of a SHA-256 over the sources of the scoring alone: which judge it was that judged a series from outside."""
    sources = [f"{module}\n".encode() + (our_source(module) or b"") for module in sorted(_SCORING)]
    return sha256(b"".join(sources)).hexdigest()[:16]
