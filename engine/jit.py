"""The one way to compile a kernel, and where compiled kernels are kept.

Numba's own cache keys a function by its own file only: after an edit in a *called* kernel of another file it would go on
serving the old machine code. So the cache folder's name carries a hash of every source that compiled code depends on: one of
the engine's core, and beside it one for each module of the signals, of the trades, of the judge, and of others' code.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from engine.modules import OURS, is_standard, standing, top_of

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent.parent
# Modules without kernels whose values kernels freeze in.
_FROZEN_IN = ("engine/constants.py", "engine/schema.py", "engine/config.py", "engine/jit.py")
_SIGNALS = "engine/signals/"
_TRADES = "engine/trades/"  # what becomes of a score; no bin depends on it
_APART = (_SIGNALS, _TRADES)
_APART_MODULES = tuple(place.replace("/", ".") for place in _APART)
_EXAMPLES = "engine/examples/"  # others' code to start from; nothing of ours stands on it
_IMPORT = re.compile(r"^\s*from ((?:engine|tune)[.\w]*) import ([^\n(]+|\([^)]*\))", re.MULTILINE)


def _is_compiled(path: Path) -> bool:
    """Whether compiled code depends on a source of ours: it holds kernels, or values that kernels freeze in."""
    place = str(path.relative_to(_ROOT))
    return (b"kernel\ndef " in path.read_bytes() or place in _FROZEN_IN) and not place.startswith(_EXAMPLES)


def _hash_of(paths: Iterable[Path]) -> str:
    """First 16 hex digits of a SHA-256 over some sources, their places in the tree, and Numba's version."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(paths):
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def source_hash() -> str:
    """Hash of the sources that the engine's numbers depend on, its signals' included; snapshots and datasets bear it.

    These are the modules of the engine that hold kernels, and those whose values kernels freeze in. The judge's and those of
    the trades are not among them: an edit there changes no bin.
    """
    paths = (_ROOT / "engine").rglob("*.py")
    return _hash_of(p for p in paths if _is_compiled(p) and not str(p.relative_to(_ROOT)).startswith(_TRADES))


@cache
def _core_hash() -> str:
    """Hash of the engine's compiled sources without signals and trades, on which nothing else in it depends."""
    paths = (_ROOT / "engine").rglob("*.py")
    return _hash_of(p for p in paths if _is_compiled(p) and not str(p.relative_to(_ROOT)).startswith(_APART))


@cache
def _module_hash(module: str) -> str:
    """Hash of the compiled sources of a module of signals, trades or the judge and of all beside the core that it imports."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        path = _ROOT / f"{pending.pop().replace('.', '/')}.py"
        place = str(path.relative_to(_ROOT))
        if path in found or not path.is_file() or not place.startswith((*_APART, "tune/")):
            continue
        found.add(path)
        for package, names in _IMPORT.findall(path.read_text()):
            pending += [package, *(f"{package}.{name.split()[0]}" for name in names.strip("()").split(",") if name.strip())]
    return _hash_of(path for path in found if _is_compiled(path))


@cache
def cache_dir() -> str:
    """Folder of the engine's compiled kernels for exactly these sources; made when missing.

    ``$NUMBA_CACHE_DIR``, else ``$SPYMASTER_LAKE/cache/kernels``, else ``lake/cache/kernels`` of the checkout, or where the
    packages are installed the user's own cache folder; where that cannot be written the machine's temporary folder.
    """
    base = os.environ.get("NUMBA_CACHE_DIR")
    if base is None:
        lake = os.environ.get("SPYMASTER_LAKE")
        base = str(Path(lake) / "cache" / "kernels" if lake else _own_cache())
    for candidate in (Path(os.path.expanduser(base)), Path(tempfile.gettempdir()) / f"spymaster-kernels-{os.getuid()}"):
        folder = candidate / _core_hash()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return tempfile.mkdtemp(prefix="spymaster-kernels-")


def _own_cache() -> Path:
    """Where kernels are kept when nobody says: the checkout's lake; for installed packages a folder of the user's."""
    if (_ROOT / "pyproject.toml").is_file():
        return _ROOT / "lake" / "cache" / "kernels"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "spymaster" / "kernels"


# Of modules that are not ours: the specification a module was loaded by (a reload makes a new one), and its folder's name.
_outside_keys: dict[str, tuple[object, str]] = {}


def _outside_hash(module: str) -> str:
    """Hash of a module that is not ours and of what it stands on, our core left out."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    known = _outside_keys.get(module)
    if known is None or known[0] is not spec:
        found = standing([module], f"a kernel of {module}", lambda name: name.startswith((*_APART_MODULES, "tune.")))
        known = _outside_keys[module] = (spec, found.digest()[:16])
    return known[1]


def _cache_dir_of(module: str | None) -> str | None:
    """Where a module's kernels are kept; None where they cannot be, as those typed at a prompt.

    A signal's, the judge's and others' are kept in folders of their own, so that an edit there compiles nothing else anew.
    """
    if module is None or module == "__main__" or is_standard(module):
        return None
    if top_of(module) not in OURS:
        return str(Path(cache_dir()) / _outside_hash(module))
    if not module.startswith((*_APART_MODULES, "tune.")):
        return cache_dir()
    return str(Path(cache_dir()) / _module_hash(module))


def _compile(function: F, **options: Any) -> F:
    config: Any = numba.config
    previous = config.CACHE_DIR
    folder = _cache_dir_of(function.__module__)
    try:
        if folder is not None:
            config.CACHE_DIR = folder
        compile_lazily: Any = numba.njit  # its annotations leave out _nrt
        options = {"nogil": True, "fastmath": False, "error_model": "numpy", "_nrt": False, **options}
        compiled = compile_lazily(cache=folder is not None, **options)(function)
    finally:
        config.CACHE_DIR = previous
    return cast(F, compiled)


def kernel(function: F) -> F:
    """Compile ``function`` lazily: cached on disk, releasing the GIL, strict IEEE arithmetic, no allocation.

    Fast-math stays off because a sweep and a stream must agree to the last bit. ``_nrt=False`` leaves out the counting of
    references: a kernel owns nothing, and the atomic counts alone took half of its time. So a kernel that allocates (a slice
    assigned to a slice, a sort, a new array) does not compile.

    Examples
    --------
    >>> import numpy as np, engine
    >>> @engine.kernel
    ... def add_up(values, out):
    ...     total = 0.0
    ...     for i in range(len(values)):
    ...         total += values[i]
    ...         out[i] = total
    >>> out = np.zeros(3)
    >>> add_up(np.array([1.0, 2.0, 3.0]), out)
    >>> out.tolist()
    [1.0, 3.0, 6.0]
    """
    return _compile(function)


def inline_kernel(function: F) -> F:
    """A `kernel` that is laid into its callers: for what every event or row passes through.

    State goes by value as tuples of arrays; a call that is not laid in copies a hundred words and more.
    """
    return _compile(function, forceinline=True)
