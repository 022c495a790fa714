"""Which code made a number: a hash of the sources a score depends on."""

import ast
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

from engine.signals.base import SignalLike
from engine.signals.registry import get_signal

_ROOT: Final = Path(__file__).resolve().parent.parent
_SCORING: Final = (
    "tune.rules",
    "tune.tape",
    "tune.walk_kernels",
    "tune.tally_kernels",
    "tune.scoring",
    "tune.intervals",
    "tune.splits",
    "tune.outofsample",
    "tune.trial",
    "tune.diagnostics",
)
# A fit's numbers follow the library that makes it: its module, and the distribution whose version counts.
_FITTED_BY: Final = {"sklearn": "scikit-learn", "lightgbm": "lightgbm", "xgboost": "xgboost-cpu"}
# These change no number: names of signals (and the registry imports every other one), wording of errors, and the checks of
# an instrument's fields, which a point's identity already holds resolved.
_LEFT_OUT: Final = ("engine.signals.registry", "engine.errors", "engine.config")


@cache
def code_version(signal: str) -> str:
    """`class_version` of a signal by its name.

    Raises
    ------
    ConfigError
        Unknown signal.
    """
    return class_version(get_signal(signal))


def class_version(signal: type[SignalLike]) -> str:
    """First 16 hex of a SHA-256 over the sources of a signal, of all of ours it imports, and of the scoring.

    The versions of the libraries that fit its model go in too.
    """
    sources = {module: _source(module) for module in _SCORING}
    pending = [signal.__module__]
    libraries: set[str] = set()
    while pending:
        module = pending.pop()
        source = _source(module)
        if module in sources or module in _LEFT_OUT or source is None:
            continue
        sources[module] = source
        imported = _imports(source)
        pending += [name for name in imported if name.split(".")[0] == "engine"]
        libraries |= {name.split(".")[0] for name in imported} & _FITTED_BY.keys()
    digest = sha256("".join(f"{name} {version(_FITTED_BY[name])}\n" for name in sorted(libraries)).encode())
    for module, source in sorted(sources.items()):
        digest.update(f"{module}\n".encode() + (source or b""))
    return digest.hexdigest()[:16]


@cache
def scoring_version() -> str:
    """First 16 hex of a SHA-256 over the sources of the scoring alone: which judge it was that judged a series from outside."""
    sources = [f"{module}\n".encode() + (_source(module) or b"") for module in sorted(_SCORING)]
    return sha256(b"".join(sources)).hexdigest()[:16]


def _source(module: str) -> bytes | None:
    stem = _ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path.read_bytes()
    return None


def _imports(source: bytes) -> list[str]:
    """The modules a source names; names imported *from* a module are tried as modules too."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found
