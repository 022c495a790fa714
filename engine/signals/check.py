"""The whole contract run on one class, and what came of it in words: for whoever writes a signal.

Source: sktime's ``check_estimator``; style.md section 7.
"""

import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine.errors import ConfigError, EngineError
from engine.signals.base import SignalContext, SignalLike
from engine.signals.bundle import Loaded, load_bundle, read_bundle, told
from engine.signals.contract import Check, yield_checks
from engine.signals.declaration import faults, parameters_to_test
from engine.signals.example import EXAMPLE_TICK_INT, example_inputs
from engine.signals.registry import load_class, signal_of

N_BINS: Final = 700
CONTEXT: Final = SignalContext(cell_width_ms=100, radius=50, tick_int=EXAMPLE_TICK_INT)
DECLARED: Final = "declaration"
_DECLARED_MEANING: Final = "The class says what it is called, what it reads, what it gives and which parameters it takes."
_PACKAGE: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Finding:
    """What one check came to. ``reason`` is empty where it is passed."""

    check: str
    meaning: str
    parameters: Mapping[str, Any]
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.reason


@dataclass(frozen=True)
class SignalReport:
    """Every check of a class; true where all are passed."""

    signal: str
    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return self.passed

    @property
    def passed(self) -> bool:
        """Whether the class keeps the contract."""
        return all(one.passed for one in self.findings)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed, each once."""
        return tuple(dict.fromkeys(one.check for one in self.findings if not one.passed))

    def lines(self) -> list[str]:
        """A line a check: ``ok`` and what it means, or ``failed`` with the reason."""
        verdict = "keeps the contract" if self.passed else f"breaks the contract: {', '.join(self.failed)}"
        found = [f"{self.signal}: {verdict}"]
        many = len({repr(one.parameters) for one in self.findings if one.check != DECLARED}) > 1
        for one in self.findings:
            where = f" with {dict(one.parameters)}" if many and one.check != DECLARED else ""
            found.append(f"  {'ok    ' if one.passed else 'FAILED'} {one.check}{where}: {one.meaning}")
            if one.reason:
                found.append(f"         {one.reason}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            {"check": f.check, "passed": f.passed, "meaning": f.meaning, "parameters": dict(f.parameters), "reason": f.reason}
            for f in self.findings
        ]
        return {"signal": self.signal, "passed": self.passed, "checks": rows}

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__


def check_signal(cls: type[Any], params: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None) -> SignalReport:
    """Run the whole contract on a class; every check runs, whatever the ones before it found.

    Parameters
    ----------
    params : mapping or list of mappings, optional
        Parameters to try it with, instead of the class's own ``test_params``.

    Returns
    -------
    SignalReport
        Prints as a line a check.

    Raises
    ------
    ConfigError
        ``params`` is neither, or ``cls`` is no class.

    Examples
    --------
    >>> import engine
    >>> from engine.signals.statistical.msd import Msd
    >>> report = engine.check_signal(Msd)
    >>> report.passed
    True
    """
    if not isinstance(cls, type):
        raise ConfigError(f"check_signal was given {type(cls).__name__}; give the class of a signal, not one made of it")
    title = getattr(cls, "name", None) if isinstance(getattr(cls, "name", None), str) else cls.__name__
    wrong = faults(cls)
    if wrong:
        return SignalReport(str(title), tuple(Finding(DECLARED, _DECLARED_MEANING, {}, one) for one in wrong))
    tried = parameters_to_test(cls) if params is None else [dict(params)] if isinstance(params, Mapping) else list(params)
    findings = [Finding(DECLARED, _DECLARED_MEANING, {})]
    for one in tried:
        if not isinstance(one, Mapping):
            raise ConfigError(f"params has {one!r}; give mappings of parameter to value")
        findings += _tried(cls, dict(one))
    return SignalReport(str(title), tuple(findings))


def _tried(cls: type[SignalLike], params: dict[str, Any]) -> list[Finding]:
    """Every check, with one set of parameters."""
    make = partial(signal_of, cls, params, CONTEXT)  # by name, so that another process can make it too
    try:
        make()
    except Exception as error:  # the fault of a class is what is asked for
        return [Finding("making", "A signal can be made of these parameters.", params, _reason(error))]
    return [_found(check, make, cls, params) for check in yield_checks(cls)]


def _found(check: Check, make: Callable[[], SignalLike], cls: type[SignalLike], params: dict[str, Any]) -> Finding:
    name = check.__name__.removeprefix("check_")
    meaning = " ".join((check.__doc__ or "").split("\n\n")[0].split())
    bins = example_inputs(cls, N_BINS, CONTEXT.radius, seed=3)  # afresh: the one before may have written into them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cells that are no numbers, which are put in on purpose
            check(make, bins)
    except Exception as error:  # the fault of a class is what is asked for
        return Finding(name, meaning, params, _reason(error))
    return Finding(name, meaning, params)


def _reason(error: Exception) -> str:
    """What a check found, in one line; of a fault in the signal's own code also where."""
    text = " ".join(str(error).split())
    if isinstance(error, EngineError):
        return text
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not Path(f.filename).is_relative_to(_PACKAGE / "signals")]
    place = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}: " if frames else ""
    wrote = "it wrote into its inputs, which are not its own: " if "read-only" in text else ""
    return f"{wrote}{place}{told(error)}"[:1000]


def classes_named(target: str) -> list[type[SignalLike]]:
    """The classes that a command's ``FILE`` or ``module:Class`` means.

    Raises
    ------
    ConfigError
        It does not load; in one line, with file and line.
    """
    module, _, name = target.rpartition(":")
    if target.endswith(".py") or not module:
        loaded: Loaded = load_bundle(read_bundle(Path(target)))
        return list(loaded.signals.values())
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    return [load_class(f"{module}:{name}", target)]
