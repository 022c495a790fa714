"""Which sources some code stands on, wherever they lie: what is hashed into ids and into the folders of compiled kernels.

Sources are told apart by relative names and contents only, so that the same code has the same hash on every machine. Imports are
read off the sources, those inside functions included. Not seen is what a source does not name: data files that are read, modules
whose names are put together at run time.
"""

import ast
import importlib.util
import json
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Final

from engine.errors import ConfigError

OURS: Final = frozenset({"engine", "tune", "serve"})
_ROOT: Final = Path(__file__).resolve().parent.parent
_BY_NAME: Final = ("import_module", "__import__")


@dataclass(frozen=True)
class Bundled:
    """A module that was loaded from a bundle: what it is called there, its bytes, and the modules of the bundle by name."""

    name: str
    source: bytes
    is_package: bool
    beside: Mapping[str, str]  # name in the bundle -> name in sys.modules


@dataclass(frozen=True)
class Standing:
    """What some modules stand on: sources by relative name, and the versions of distributions that count as a whole."""

    sources: Mapping[str, bytes]
    versions: Mapping[str, str]

    def digest(self) -> str:
        """SHA-256 over names, contents and versions, as hex."""
        parts = [f"{name} {version}\n".encode() for name, version in sorted(self.versions.items())]
        parts += [f"{name} {len(source)}\n".encode() + source for name, source in sorted(self.sources.items())]
        return sha256(b"".join(parts)).hexdigest()


# Modules loaded from bundles, by their names in sys.modules; see engine.signals.bundle.
bundled: Final[dict[str, Bundled]] = {}


def top_of(module: str) -> str:
    """First part of a dotted name."""
    return module.partition(".")[0]


def is_standard(module: str) -> bool:
    """Whether a module is Python's own."""
    return top_of(module) in sys.stdlib_module_names or top_of(module) in sys.builtin_module_names


def our_source(module: str) -> bytes | None:
    """Source of a module of ours; None where there is no such file."""
    stem = _ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path.read_bytes()
    return None


@lru_cache(4096)
def imports(source: bytes, package: str = "") -> tuple[str, ...]:
    """The modules a source names; names imported *from* a module are given as modules too.

    Parameters
    ----------
    package : str
        What relative imports are relative to.
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                base = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _BY_NAME and isinstance(node.args[0].value, str):
                found.append(node.args[0].value)
    return tuple(name for name in found if name)


def standing(
    modules: Iterable[str],
    what: str,
    of_ours: Callable[[str], bool],
    our_libraries: Mapping[str, str] | None = None,
) -> Standing:
    """Everything that some modules stand on.

    Followed are modules of ours that ``of_ours`` names, those of bundles, those of the first modules' own packages, and those
    that belong to no regular distribution (scripts, editable installs). Other distributions count by name and version; beneath
    modules of ours only those of ``our_libraries``, by the name under which they are imported.

    Raises
    ------
    ConfigError
        A module has no source here; ``what`` says whose it is.
    """
    sources: dict[str, bytes] = {}
    versions: dict[str, str] = {}
    libraries = our_libraries or {}
    pending = [(name, True) for name in modules]
    own = {top_of(name) for name, _ in pending} - OURS
    seen: set[str] = set()
    while pending:
        name, is_certain = pending.pop()
        if name in seen or (is_standard(name) and name != "__main__"):
            continue
        seen.add(name)
        if name in bundled:
            module = bundled[name]
            sources[module.name] = module.source
            pending += [(module.beside.get(n, n), False) for n in imports(module.source, _package(module))]
        elif top_of(name) in OURS:
            source = our_source(name) if of_ours(name) else None
            if source is None and (holder := _holder(name)):
                pending.append((holder, False))
            if source is not None:
                sources[name] = source
                found = imports(source)
                pending += [(n, False) for n in found if top_of(n) in OURS]
                for library in {top_of(n) for n in found} & libraries.keys():
                    versions[libraries[library]] = _version(libraries[library])
        else:
            pending += [(n, False) for n in _outside(name, what, is_certain, own, sources, versions)]
    return Standing(sources, versions)


def _holder(name: str) -> str:
    """Module of what a package of ours lends by name, as in ``from engine import Signal``; empty for all else."""
    package, _, lent = name.rpartition(".")
    if package not in OURS or our_source(name) is not None:
        return ""
    return getattr(getattr(sys.modules.get(package), lent, None), "__module__", None) or ""


def _outside(
    name: str, what: str, is_certain: bool, own: set[str], sources: dict[str, bytes], versions: dict[str, str]
) -> tuple[str, ...]:
    """Note one module that is neither ours nor a bundle's; the modules it names."""
    spec = _spec_of(name)
    if spec is None:
        if is_certain:
            raise ConfigError(
                f"{what} is defined in {name}, which is no file; put it in a file of its own and name that with --signals FILE"
            )
        return ()  # a name that is no module, or a module that is optional and missing
    if top_of(name) not in own:
        counted = regular_distributions(top_of(name), spec.origin)
        if counted:
            versions.update(counted)
            return ()
    package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
    above = (name.rpartition(".")[0],) if "." in name else ()  # a package's own file runs before its modules
    if spec.origin is None or not spec.has_location:
        return above  # a folder without a file of its own
    source = _read(spec)
    if source is None:
        raise ConfigError(
            f"{what} stands on {name} ({Path(spec.origin).name}), which has no source here: its numbers could change without "
            "a trace. Give its .py file, or install it as a distribution with a version"
        )
    sources[name] = source
    try:
        return (*above, *imports(source, package))
    except SyntaxError:
        return above  # it cannot have been imported


def _package(module: Bundled) -> str:
    return module.name if module.is_package else module.name.rpartition(".")[0]


def _read(spec: ModuleSpec) -> bytes | None:
    """A module's source; None where it is compiled only."""
    origin = spec.origin or ""
    if not origin.endswith(".py") or isinstance(spec.loader, ExtensionFileLoader):
        return None
    try:
        read = getattr(spec.loader, "get_data", None)
        return bytes(read(origin)) if read is not None else Path(origin).read_bytes()
    except OSError:
        return None


def _spec_of(name: str) -> ModuleSpec | None:
    """Where a module lies, found without importing anything; None for a name that is no module."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None or name == "__main__":
        return loaded if name != "__main__" else None
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    here = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        here = f"{here}.{part}"
        spec = PathFinder.find_spec(here, list(spec.submodule_search_locations))
    return spec


def regular_distributions(top: str, origin: str | None) -> dict[str, str]:
    """Names and versions of the installed distributions that hold a top-level name; none for an editable install.

    Parameters
    ----------
    origin : str or None
        File of the module that is asked about: it must lie where the distribution does.
    """
    found = {}
    for name in set(_packages().get(top, ())):
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        if _is_regular(one, origin):
            found[name] = one.version
    return found


def _is_regular(one: Distribution, origin: str | None) -> bool:
    told = json.loads(one.read_text("direct_url.json") or "{}")
    if told.get("dir_info", {}).get("editable"):
        return False
    place = Path(str(one.locate_file(""))).resolve()
    if origin is not None and origin not in ("built-in", "frozen") and not Path(origin).resolve().is_relative_to(place):
        return False
    return one.read_text("RECORD") is not None or place in _site_folders()


@cache
def _site_folders() -> frozenset[Path]:
    named = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()]
    return frozenset(Path(name).resolve() for name in named)


@cache
def _packages() -> Mapping[str, list[str]]:
    return packages_distributions()


def _version(name: str) -> str:
    return distribution(name).version


def forget_installed() -> None:
    """Look anew at what is installed, when asked next."""
    _packages.cache_clear()


def source_files(found: Standing, own: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Of what was found, the sources whose first name is in ``own``, by name."""
    tops = set(own)
    return ((name, source) for name, source in sorted(found.sources.items()) if top_of(name) in tops)
