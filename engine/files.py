"""Files: how one gets where it lies whole or not at all, its hash, what its YAML says."""

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from engine.errors import NO_ROOM, ConfigError

_SEALED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_HASH_CHUNK_BYTES: Final = 1 << 20


def sha256_blocks(blocks: Iterable[bytes]) -> str:
    """SHA-256 of what comes in pieces, as hex."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as handle:
        return sha256_blocks(iter(lambda: handle.read(_HASH_CHUNK_BYTES), b""))


def fsync_path(path: Path) -> None:
    """Force a file's or a folder's entry to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name a file in the error of a full disk, which does not say what was written."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM and error.filename is None:
            error.filename = str(path)
        raise


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with writing(path), os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write or replace a file: readers see the old bytes or the new ones, never a part."""
    temporary = _write_temporary(path, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_path(path.parent)


def write_kept(path: Path, data: bytes) -> bool:
    """Write what can be made anew at any time; whether it lies there now: a folder that is read-only or full costs time only."""
    try:
        write_atomic(path, data)
    except OSError as error:
        if not costs_time_only(error):
            raise
        return False
    return True


def costs_time_only(error: OSError) -> bool:
    """Whether what can be made anew could not be kept because its folder is read-only or full."""
    return error.errno in (*_SEALED, *NO_ROOM)


def write_new(path: Path, data: bytes, mode: int = 0o444) -> None:
    """Create a file that must not exist yet, whole or not at all; two writers cannot both win.

    Raises
    ------
    FileExistsError
        Somebody was first.
    """
    temporary = _write_temporary(path, data, mode)
    try:
        os.link(temporary, path)  # link, unlike rename, refuses an existing name
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


def seal_folder(temporary: Path, final: Path) -> None:
    """Make a finished temporary folder read-only and give it its name in one step.

    Raises
    ------
    OSError
        The name is taken (``errno`` ENOTEMPTY or EEXIST).
    """
    for item in sorted(temporary.iterdir()):
        fsync_path(item)
        item.chmod(0o444)
    fsync_path(temporary)
    temporary.chmod(0o555)
    temporary.rename(final)
    fsync_path(final.parent)


# --- YAML ---

_MAX_DEPTH: Final = 50  # levels; our files have five
_MAX_NODES: Final = 100_000  # values, each alias written out
_STR, _INT, _FLOAT, _BOOL, _NULL = (f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))

NUMBER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+([eE][-+]?[0-9]+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_WORDS: Final = {"true": _BOOL, "false": _BOOL, "null": _NULL, "": _NULL}
# What one reader takes for something else than another, or than the eye: pattern, what it is, what to write.
_TWOFOLD: Final = (
    (r"(?i:yes|no|on|off)", "true or false to some readers", "true or false"),
    (r"~", "nothing at all to some readers", "null, or leave the key out"),
    (
        r"[-+]?0[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?",
        "octal to some readers and decimal to others",
        "it without the leading zero",
    ),
    (r"[-+]?0[xXoObB][0-9a-fA-F_]*", "a number of another base to some readers", "it in decimal"),
    (r"[-+]?\.?[0-9][0-9_.]*_[0-9_.]*([eE][-+]?[0-9]+)?", "a number to some readers and a text to others", "it without the _"),
    (r"[-+]?\.(?i:inf|nan)", "infinite or no number", "a number"),
)
_TWOFOLD_PATTERNS: Final = tuple((re.compile(pattern, re.ASCII), what, instead) for pattern, what, instead in _TWOFOLD)


class _Refused(yaml.MarkedYAMLError):
    """What we do not read; ``problem`` says so in our words."""


class _Loader(yaml.SafeLoader):
    """Refuses what hides something: a key that stands twice, a merge, a tag, what is nested or repeated without measure."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._path: list[str] = []

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if index is not None:
            self._path.append(str(index.value) if isinstance(index, ScalarNode) else str(index))
        if len(self._path) >= _MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            self._refuse(f"more than {_MAX_DEPTH} levels are nested", event)
        if getattr(event, "tag", None) is not None:
            self._refuse(f"{event.tag} is a tag, which is not read; leave it out, and put a text in quotes", event)
        node = super().compose_node(parent, index)
        if index is not None:
            self._path.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        first: dict[str, Node] = {}
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.style is None and key.value == "<<":
                self._refuse("<< merges other keys in, which is not read; write the keys out", key)
            if not isinstance(key, ScalarNode) or key.tag != _STR:
                given = repr(key.value) if isinstance(key, ScalarNode) else "no text"
                self._refuse(f"a key was {given}; a key must be a text, in quotes if need be", key)
            if key.value in first:
                line = first[key.value].start_mark.line + 1
                self._refuse(f"{key.value} stands twice, first at line {line}; give it once", key)
            first[key.value] = key
        return node

    def get_single_node(self) -> Node | None:
        node: Node | None = super().get_single_node()
        if node is not None and _size(node, {}) > _MAX_NODES:
            raise _Refused(problem=f"its aliases repeat more than {_MAX_NODES} values", problem_mark=node.start_mark)
        return node

    def _refuse(self, problem: str, where: Any) -> NoReturn:
        within = f"in {'.'.join(self._path)}: " if self._path else ""
        raise _Refused(problem=within + problem, problem_mark=where.start_mark)


class _EyeLoader(_Loader):
    """Reads a plain scalar as the eye does, and refuses it where two eyes may differ. Times and days are texts."""

    def compose_scalar_node(self, anchor: Any) -> ScalarNode:
        node: ScalarNode = super().compose_scalar_node(anchor)
        if node.style is not None:  # quoted, or a block of text
            return node
        for pattern, what, instead in _TWOFOLD_PATTERNS:
            if pattern.fullmatch(node.value):
                self._refuse(f"{node.value} is {what}; write {instead}, or put it in quotes if a text is meant", node)
        word = node.value if node.value in ("True", "TRUE", "False", "FALSE", "Null", "NULL") else None
        if word is not None or node.value in _WORDS:
            node.tag = _WORDS[node.value.lower()]
        elif NUMBER.fullmatch(node.value):
            node.tag = _INT if _WHOLE.fullmatch(node.value) else _FLOAT
        else:
            node.tag = _STR
        return node


def _size(node: Node, known: dict[int, int]) -> int:
    """How many values a node stands for, each alias written out; more than are allowed where it holds itself."""
    if id(node) not in known:
        known[id(node)] = _MAX_NODES + 1  # until it is known; met again before that, it is within itself
        parts: Sequence[Node] = ()
        if isinstance(node, SequenceNode):
            parts = node.value
        elif isinstance(node, MappingNode):
            parts = [value for _, value in node.value]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def load_yaml(text: str, where: str, *, by_hand: bool = True) -> Any:
    """What a YAML text says: as the eye reads it, or refused where the eye and a parser, or two parsers, may differ.

    Parameters
    ----------
    where : str
        Names the text in messages.
    by_hand : bool
        Somebody typed it. Not so: a program wrote it by the rules of YAML 1.1, which decide what its plain scalars are.

    Raises
    ------
    ConfigError
        One line with the line's number, and the key where there is one.
    """
    try:
        return yaml.load(text, Loader=_EyeLoader if by_hand else _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a program's date that is none
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        if "'\\t'" in problem:
            problem = "a tab stands there; use spaces"
        what = "is refused" if isinstance(error, _Refused) else "is not valid YAML"
        raise ConfigError(f"{where} {what}{place}: {problem}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that must hold a mapping.

    Raises
    ------
    ConfigError
        When it is missing, unreadable, not YAML or refused by `load_yaml` (with the line), or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a text file: {error}") from error
    values = load_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}; it must hold a mapping of keys to values")
    return values


def line_of(path: Path, place: Sequence[int | str]) -> int | None:
    """Line at which a value of a YAML file stands, or of the nearest value around it; None where it stands nowhere.

    Parameters
    ----------
    place : sequence
        Keys and positions from the outside in, as pydantic names a fault's place.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_EyeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    line = None
    for part in place:
        if isinstance(node, MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        else:
            break
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
