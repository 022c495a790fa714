"""A signal in a file of its own: the file and the modules beside it that it imports, as one bundle that can travel.

A bundle is names and contents, nothing of where it lay. It is loaded under names that hold its hash, so that two versions live in
one process: what streams are scored with now, and what takes over.
"""

import ast
import builtins
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engine.champion import source_digest
from engine.errors import ConfigError
from engine.files import write_atomic
from engine.jit import cache_dir
from engine.lake import user_path
from engine.modules import OURS, Bundled, bundled, imports, is_standard, top_of
from engine.signals.base import SignalLike

MAX_BYTES: Final = 1 << 20
_DUCK: Final = ("name", "Params", "update", "run", "snapshot")


@dataclass(frozen=True)
class Bundle:
    """Sources of a signal's file: ``main`` is the module that holds it, ``sources`` are by relative path (``helpers.py``)."""

    main: str
    sources: Mapping[str, str] = field(hash=False, repr=False)
    path: str = field(default="", compare=False)  # where it was read, for messages only

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names and contents, as hex."""
        return source_digest(self.main, self.sources)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.path or f"{self.main}.py"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `Bundle` of it is the bundle again."""
        return {"main": self.main, "sources": dict(self.sources), "path": self.path}


@dataclass(frozen=True)
class Loaded:
    """A bundle's signals by name, and what is wrong with those that cannot be used."""

    bundle: Bundle
    signals: Mapping[str, type[SignalLike]]


def read_bundle(path: Path) -> Bundle:
    """A signal's file and whatever lies beside it that it imports, by whatever way round.

    Raises
    ------
    ConfigError
        A file is missing, no Python, or too large; or it imports in a way that would not survive the journey.
    """
    path = user_path(path)
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise ConfigError(f"{path} is no Python file that can be imported; give one like my_signal.py")
    folder = path.parent
    sources: dict[str, str] = {}
    pending = [path.stem]
    while pending:
        name = pending.pop()
        found = _beside(folder, name, path)
        if found is None or str(found.relative_to(folder).as_posix()) in sources:
            continue
        text = _read_text(found)
        sources[found.relative_to(folder).as_posix()] = text
        package = name if found.name == "__init__.py" else name.rpartition(".")[0]
        for wanted in _imports_of(found, text, package, folder):
            parts = wanted.split(".")
            pending += [".".join(parts[: i + 1]) for i in range(len(parts))]
    if not sources:
        raise ConfigError(f"{path} does not exist; give the path of a signal's file")
    size = sum(len(text.encode()) for text in sources.values())
    if size > MAX_BYTES:
        raise ConfigError(
            f"{path} and the modules beside it are {size:,} bytes; at most {MAX_BYTES:,} travel as a file. Make a package of "
            "them, with an entry point in the group spymaster.signals"
        )
    return Bundle(path.stem, sources, str(path.resolve()))


def _beside(folder: Path, name: str, main: Path) -> Path | None:
    """File of a module that lies in the folder; None for one that does not."""
    if name != main.stem and (is_standard(name) or top_of(name) in OURS):
        return None
    stem = folder.joinpath(*name.split("."))
    for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
        if path.is_file():
            return path
    if name == main.stem or not stem.is_dir() or not any(stem.glob("*.py")) or _is_installed(name):
        return None
    raise ConfigError(f"{main} imports {name}, a folder without __init__.py beside it; put an empty one there")


def _is_installed(name: str) -> bool:
    """Whether a module would be found elsewhere than beside the file."""
    try:
        spec = importlib.util.find_spec(top_of(name))
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}") from error


def _imports_of(path: Path, text: str, package: str, folder: Path) -> tuple[str, ...]:
    try:
        tree = ast.parse(text.encode())
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{path} line {getattr(error, 'lineno', None) or 1}: {getattr(error, 'msg', error)}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level > len(package.split(".") if package else ()):
            raise ConfigError(f"{path} line {node.lineno}: a relative import, but there is no package; write import NAME")
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            wanted = node.args[0].value
            if called == "import_module" and isinstance(wanted, str) and (folder / f"{top_of(wanted)}.py").is_file():
                raise ConfigError(f"{path} line {node.lineno}: imports {wanted} by name at run time; write import {wanted}")
    return imports(text.encode(), package)


_loaded: dict[str, Loaded] = {}
_lock: Final = threading.RLock()


def load_bundle(bundle: Bundle) -> Loaded:
    """Run a bundle's main module, once for each hash, and find the signals in it.

    Raises
    ------
    ConfigError
        It does not run (the file and line are named), or holds no signal.
    """
    with _lock:
        if bundle.hash not in _loaded:
            _loaded[bundle.hash] = Loaded(bundle, _Loader(bundle).signals())
        return _loaded[bundle.hash]


def bundle_of(cls: type[Any]) -> tuple[Bundle, str] | None:
    """The bundle that a class was loaded from and its name there; None for one that came another way."""
    for loaded in tuple(_loaded.values()):
        for name, one in loaded.signals.items():
            if one is cls:
                return loaded.bundle, name
    return None


class _Loader:
    """Makes the modules of one bundle; their imports of each other are led to the bundle, all others go the usual way."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._paths = {_module_name(path): path for path in bundle.sources}
        self._names = {name: f"{name.replace('.', '__')}__{bundle.hash[:16]}" for name in self._paths}
        self._modules: dict[str, ModuleType] = {}
        # On disk for the compiler, which keys what it keeps by a file, and for tracebacks; what runs is the bundle's own text.
        self._folder = Path(cache_dir()) / "signals" / bundle.hash

    def signals(self) -> dict[str, type[SignalLike]]:
        for path, source in self._bundle.sources.items():
            copy = self._folder / path
            if not copy.is_file() or copy.read_bytes() != source.encode():
                write_atomic(copy, source.encode())
        try:
            module = self._module(self._bundle.main)
        except Exception as error:  # whatever the file raises is said in one line
            self._forget()
            raise ConfigError(self._told(error)) from error
        found = {}
        for cls in _signal_classes(module):
            name = getattr(cls, "name", None)
            if not isinstance(name, str):
                self._forget()
                raise ConfigError(f'{self._bundle.title}: class {cls.__name__} has no name; give it name = "{_snake(cls)}"')
            if name in found:
                self._forget()
                raise ConfigError(f"{self._bundle.title} holds two signals named {name!r}; each needs a name of its own")
            found[name] = cls
        if not found:
            self._forget()
            raise ConfigError(
                f"{self._bundle.title} holds no signal; define a class that derives from engine.signals.owner.Signal, as "
                "engine/examples/my_signal.py does"
            )
        return found

    def _module(self, name: str) -> ModuleType:
        """A module of the bundle, run where it has not been yet; the packages it lies in first."""
        if name in self._modules:
            return self._modules[name]
        above, _, last = name.rpartition(".")
        if above:
            self._module(above)
        path, mangled = self._paths[name], self._names[name]
        module = ModuleType(mangled)
        module.__file__ = str(self._folder / path)
        module.__spec__ = importlib.util.spec_from_file_location(mangled, module.__file__)
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        source = self._bundle.sources[path].encode()
        bundled[mangled] = Bundled(name, source, path.endswith("__init__.py"), self._names)
        sys.modules[mangled] = self._modules[name] = module
        exec(compile(source, module.__file__, "exec"), module.__dict__)
        for value in vars(module).values():
            # Numba tells tuples apart by class name and fields: of two versions alike, one would cost 150 us more a call.
            if isinstance(value, type) and issubclass(value, tuple) and value.__module__ == mangled:
                value.__name__ = f"{value.__qualname__}_{self._bundle.hash[:8]}"
        if above:
            setattr(self._modules[above], last, module)
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an import statement of the bundle calls."""
        wanted = name
        if level and globals is not None:
            here = bundled[globals["__name__"]]
            parts = (here.name if here.is_package else here.name.rpartition(".")[0]).split(".")
            wanted = ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
        if top_of(wanted) not in self._paths:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if wanted not in self._paths:
            raise ModuleNotFoundError(f"No module named {wanted!r}", name=wanted)
        with _lock:
            module = self._module(wanted)
            if not fromlist:
                return self._modules[top_of(wanted)]
            for item in fromlist:
                if f"{wanted}.{item}" in self._paths:
                    self._module(f"{wanted}.{item}")
        return module

    def _forget(self) -> None:
        for mangled in self._names.values():
            sys.modules.pop(mangled, None)
            bundled.pop(mangled, None)

    def _told(self, error: Exception) -> str:
        """What a file raised while it ran, in one line that names file and line."""
        home = Path(self._bundle.path).parent if self._bundle.path else Path()
        place, line = self._bundle.title, 0
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).is_relative_to(self._folder):
                place, line = str(home / Path(frame.filename).relative_to(self._folder)), frame.lineno or 0
        if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(self._folder):
            place, line = str(home / Path(error.filename).relative_to(self._folder)), error.lineno or 0
        return f"{place}{f' line {line}' if line else ''}: {told(error)}"


def told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _signal_classes(module: ModuleType) -> Iterator[type[Any]]:
    """The classes a module defines that look like signals; bases of others in it that have no name are left out."""
    own = [cls for cls in vars(module).values() if isinstance(cls, type) and cls.__module__ == module.__name__]
    looks = [cls for cls in dict.fromkeys(own) if _derives(cls) or all(hasattr(cls, name) for name in _DUCK)]
    for cls in looks:
        is_base = any(other is not cls and issubclass(other, cls) for other in looks)
        if is_base and (inspect.isabstract(cls) or not isinstance(getattr(cls, "name", None), str)):
            continue
        yield cls


def _derives(cls: type[Any]) -> bool:
    return any(base.__module__ == "engine.signals.owner" and base.__name__ == "Signal" for base in cls.__mro__)


def _snake(cls: type[Any]) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(cls.__name__))
