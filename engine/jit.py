"""The one way to compile a kernel, and where compiled kernels are kept.

Numba's own cache keys a function by its own file only: after an edit in a *called* kernel of another file it would go on
serving the old machine code. So the cache folder's name carries a hash of every source that compiled code depends on.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("engine", "tune")
_FROZEN_IN = ("constants.py", "schema.py", "config.py", "jit.py")


@cache
def source_hash() -> str:
    """First 16 hex digits of a SHA-256 over the sources that compiled code depends on, and Numba's version.

    These are the modules that hold kernels, and those whose values kernels freeze in: constants, dtypes and parameters.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            source = path.read_bytes()
            if b"kernel\ndef " in source or path.name in _FROZEN_IN:
                digest.update(str(path.relative_to(_ROOT)).encode())
                digest.update(source)
    return digest.hexdigest()[:16]


@cache
def cache_dir() -> str:
    """Folder of compiled kernels for exactly these sources; made when missing.

    ``$NUMBA_CACHE_DIR``, else ``$SPYMASTER_LAKE/cache/kernels``, else ``lake/cache/kernels`` beside the packages; where that
    cannot be written (an installed, read-only tree) the machine's temporary folder.
    """
    base = os.environ.get("NUMBA_CACHE_DIR")
    if base is None:
        lake = os.environ.get("SPYMASTER_LAKE")
        base = str((Path(lake) if lake else _ROOT / "lake") / "cache" / "kernels")
    for candidate in (Path(base), Path(tempfile.gettempdir()) / f"spymaster-kernels-{os.getuid()}"):
        folder = candidate / source_hash()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return tempfile.mkdtemp(prefix="spymaster-kernels-")


def _compile(function: F, **options: Any) -> F:
    config: Any = numba.config
    previous = config.CACHE_DIR
    config.CACHE_DIR = cache_dir()
    try:
        compile_lazily: Any = numba.njit  # its annotations leave out _nrt
        compiled = compile_lazily(cache=True, nogil=True, fastmath=False, error_model="numpy", _nrt=False, **options)(function)
    finally:
        config.CACHE_DIR = previous
    return cast(F, compiled)


def kernel(function: F) -> F:
    """Compile ``function`` lazily: cached on disk, releasing the GIL, strict IEEE arithmetic, no allocation.

    Fast-math stays off because a sweep and a stream must agree to the last bit. ``_nrt=False`` leaves out the counting of
    references: a kernel owns nothing, and the atomic counts alone took half of its time. So a kernel that allocates (a slice
    assigned to a slice, a sort, a new array) does not compile.
    """
    return _compile(function)


def inline_kernel(function: F) -> F:
    """A `kernel` that is laid into its callers: for what every event or row passes through.

    State goes by value as tuples of arrays; a call that is not laid in copies a hundred words and more.
    """
    return _compile(function, forceinline=True)
