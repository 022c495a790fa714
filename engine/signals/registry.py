"""Name -> signal. Built-in ones are a line each below; others come by entry point, by file, or as a class made at hand.

Nothing is imported before a signal is asked for. A signal that is broken or doubled says so when it is asked for, and is in no
one else's way.
"""

import inspect
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, Literal

from engine.config import validate
from engine.errors import ConfigError
from engine.modules import forget_installed
from engine.signals.base import SignalContext, SignalLike
from engine.signals.bundle import Bundle, load_bundle, read_bundle, told
from engine.signals.declaration import require_declared
from engine.signals.instrument_facts import without_tick

GROUP: Final = "spymaster.signals"
BUILT_IN: Final[Mapping[str, str]] = {
    "ads": "engine.signals.statistical.ads:Ads",
    "ads_pfp_svac": "engine.signals.statistical.ads_pfp_svac:AdsPfpSvac",
    "erd": "engine.signals.statistical.erd:Erd",
    "iirc": "engine.signals.statistical.iirc:Iirc",
    "jad": "engine.signals.statistical.jad:Jad",
    "msd": "engine.signals.statistical.msd:Msd",
    "perm_derivative": "engine.signals.statistical.perm_derivative:PermDerivative",
    "pfp": "engine.signals.statistical.pfp:Pfp",
    "spg": "engine.signals.statistical.spg:Spg",
    "svm_sp": "engine.signals.learned.svm_sp:SvmSp",
    "gbm_mf": "engine.signals.learned.gbm_mf:GbmMf",
    "xgb_snap": "engine.signals.learned.xgb_snap:XgbSnap",
    "knn_cl": "engine.signals.learned.knn_cl:KnnCl",
    "lsvm_der": "engine.signals.learned.lsvm_der:LsvmDer",
    "pca_ad": "engine.signals.learned.pca_ad:PcaAd",
    "queue_imbalance": "engine.signals.baseline.queue_imbalance:QueueImbalance",
    "weighted_mid": "engine.signals.baseline.weighted_mid:WeightedMid",
    "micro_price": "engine.signals.baseline.micro_price:MicroPrice",
    "order_flow_imbalance": "engine.signals.baseline.order_flow_imbalance:OrderFlowImbalance",
    "multi_level_ofi": "engine.signals.baseline.multi_level_ofi:MultiLevelOfi",
    "reversal": "engine.signals.baseline.reversal:Reversal",
    "trade_intensity": "engine.signals.baseline.trade_intensity:TradeIntensity",
}
# What a signal has to add something to.
BASELINES: Final = tuple(name for name, target in BUILT_IN.items() if ".baseline." in target)

BUILT_IN_WHERE: Final = "built in"

Kind = Literal["built-in", "entry point", "file", "class"]


@dataclass(frozen=True)
class Known:
    """Where a signal of some name comes from; ``target`` is ``module:Class`` where it has one."""

    name: str
    kind: Kind
    where: str
    target: str = ""
    bundle: Bundle | None = None
    distribution: tuple[str, str] = ("", "")  # name, version


# What the process was given beside what is installed: by name, and files by the name of a signal in them.
_at_hand: dict[str, type[SignalLike]] = {}
_of_files: dict[str, Bundle] = {}


def signal_names() -> list[str]:
    """Every known signal, sorted; those that would not load among them."""
    return sorted({*BUILT_IN, *_installed(), *_of_files, *_at_hand})


def get_signal(name: str) -> type[SignalLike]:
    """The class of a signal.

    Raises
    ------
    ConfigError
        For an unknown name, listing the known ones; for a name that stands for two signals; for one that does not load.
    """
    return _load(origin(name))


def origin(name: str) -> Known:
    """Where a signal comes from; loads nothing.

    Raises
    ------
    ConfigError
        The name is not known, or two come by it.
    """
    found = _all_of(name)
    if not found:
        raise ConfigError(
            f"signal {name!r} is not known; choose one of: {', '.join(signal_names())}; or name its file with --signals FILE.py"
        )
    if len(found) > 1:
        raise ConfigError(f"signal {name!r} comes twice: {found[0].where}, and {found[1].where}. Rename or leave out one")
    return found[0]


def make_signal(name: str, params: Mapping[str, Any], context: SignalContext) -> SignalLike:
    """A fresh signal; parameters that are not given take their defaults.

    Raises
    ------
    ConfigError
        For an unknown signal or parameter, or a value out of range: naming it and what is allowed.
    """
    return signal_of(get_signal(name), params, context)


def signal_of(cls: type[SignalLike], params: Mapping[str, Any], context: SignalContext) -> SignalLike:
    """`make_signal` of a class.

    Raises
    ------
    ConfigError
        As `make_signal` does.
    """
    return cls(params_of(cls, params, context), context)


def params_of(
    cls: type[SignalLike], given: Mapping[str, Any], context: SignalContext, mend: str = "Set it there or with --set {key}=VALUE"
) -> Any:
    """Parameters as a class takes them, checked; ``mend`` says how to give one.

    Raises
    ------
    ConfigError
        For an unknown parameter or a value out of range.
    """
    what = f"the parameters of signal {getattr(cls, 'name', cls.__name__)}"
    return validate(cls.Params, without_tick(cls.Params, given, context, what), what, mend)


def home_of(cls: type[SignalLike]) -> tuple[str, ...]:
    """The module by which a class is registered, where that is not the one that defines it."""
    known = _all_of(getattr(cls, "name", ""))
    return tuple(one.target.partition(":")[0] for one in known if one.kind == "entry point")


def add_class(cls: type[SignalLike]) -> None:
    """Make a class known to this process, and to none of its workers; the same name again replaces it.

    Raises
    ------
    ConfigError
        Its declaration is not whole, or its name is taken.
    """
    require_declared(cls, "what was given")
    others = [known for known in _all_of(cls.name) if known.kind != "class"]
    if others:
        raise ConfigError(f"signal {cls.name!r} comes twice: {others[0].where}, and class {cls.__qualname__}. Rename one")
    _at_hand[cls.name] = cls


def add_file(path: Path | str) -> list[str]:
    """Make the signals of a file known to this process; their names. The same file again replaces what it held before.

    Raises
    ------
    ConfigError
        The file does not load, or a name in it is taken.
    """
    bundle = read_bundle(Path(path))
    for name in [name for name, held in _of_files.items() if held.path == bundle.path]:
        del _of_files[name]
    return add_bundle(bundle)


def add_bundle(bundle: Bundle) -> list[str]:
    """`add_file` of a bundle that was read before, maybe elsewhere.

    Raises
    ------
    ConfigError
        It does not load, or a name in it is taken.
    """
    names = list(load_bundle(bundle).signals)
    for name in names:
        others = [known for known in _all_of(name) if known.bundle is None or known.bundle.hash != bundle.hash]
        if others:
            raise ConfigError(f"signal {name!r} comes twice: {others[0].where}, and {_file(name, bundle).where}. Rename one")
    _of_files.update(dict.fromkeys(names, bundle))
    return names


@contextmanager
def signals_of(bundles: Iterable[Bundle]) -> Iterator[None]:
    """Let the signals of some bundles be known for a while.

    Raises
    ------
    ConfigError
        One does not load, or a name in it is taken.
    """
    before = dict(_of_files)
    try:
        for bundle in bundles:
            add_bundle(bundle)
        yield
    finally:
        _of_files.clear()
        _of_files.update(before)


class _Signals(MutableMapping[str, type[SignalLike]]):
    """The registry as a mapping; setting a name makes a class known to this process, under that name."""

    def __getitem__(self, name: str) -> type[SignalLike]:
        if name not in self:
            raise KeyError(name)
        return get_signal(name)

    def __contains__(self, name: object) -> bool:
        return name in signal_names()

    def __iter__(self) -> Iterator[str]:
        return iter(signal_names())

    def __len__(self) -> int:
        return len(signal_names())

    def __setitem__(self, name: str, signal: type[SignalLike]) -> None:
        _at_hand[name] = signal

    def __delitem__(self, name: str) -> None:
        del _at_hand[name]


SIGNALS: Final = _Signals()


def forget_entry_points() -> None:
    """Look anew at what is installed, when asked next."""
    _installed.cache_clear()
    forget_installed()


@cache
def _installed() -> Mapping[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _all_of(name: str) -> list[Known]:
    """Everything that goes by a name."""
    found = []
    if name in BUILT_IN:
        found.append(Known(name, "built-in", BUILT_IN_WHERE, BUILT_IN[name]))
    for point in _installed().get(name, ()):
        held = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
        found.append(Known(name, "entry point", f"entry point {point.value} of {held[0]} {held[1]}", point.value, None, held))
    if name in _of_files:
        found.append(_file(name, _of_files[name]))
    if name in _at_hand:
        cls = _at_hand[name]
        found.append(
            Known(name, "class", f"class {cls.__qualname__} of {cls.__module__}", f"{cls.__module__}:{cls.__qualname__}")
        )
    return found


def _file(name: str, bundle: Bundle) -> Known:
    return Known(name, "file", f"file {bundle.title}", load_target(name, bundle), bundle)


def load_target(name: str, bundle: Bundle) -> str:
    """``module:Class`` of a signal in a bundle, by the module's name there."""
    return f"{bundle.main}:{load_bundle(bundle).signals[name].__qualname__}"


def _load(known: Known) -> type[SignalLike]:
    if known.kind == "class":
        return _at_hand[known.name]
    if known.bundle is not None:
        cls = load_bundle(known.bundle).signals[known.name]
    else:
        cls = load_class(known.target, f"signal {known.name} ({known.where})")
        said = getattr(cls, "name", None)
        if said != known.name:
            raise ConfigError(f"signal {known.name} ({known.where}): the class calls itself {said!r}; both must be the same")
    if known.kind != "built-in":
        require_declared(cls, known.where)
    return cls


def load_class(target: str, what: str) -> type[SignalLike]:
    """The class ``module:Class`` names.

    Raises
    ------
    ConfigError
        The module does not import (the file and line are named), or holds no such class.
    """
    module, sign, attribute = target.partition(":")
    if not sign or not module or not attribute:
        raise ConfigError(f"{what}: {target!r} is not of the form module:Class")
    try:
        found: Any = import_module(module)
    except Exception as error:  # whatever it raises is said in one line
        raise ConfigError(f"{what} does not load: {_place(error)}{told(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{what} does not load: {module} has no {attribute}")
        found = getattr(found, part)
    if not inspect.isclass(found):
        raise ConfigError(f"{what} does not load: {target} is {type(found).__name__}, it must be a class")
    cls: type[Any] = found
    return cls


def _place(error: Exception) -> str:
    """File and line an import failed at, where it was in one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename} line {error.lineno}: "
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<") and f.filename != __file__]
    frames = [f for f in frames if f.filename != inspect.getsourcefile(import_module)]
    return f"{frames[-1].filename} line {frames[-1].lineno}: " if frames else ""
