"""An append-only record: one JSON object a line, each entry sealed with the one before it.

``sha256`` is over the rest of the entry, ``prev`` is the ``sha256`` of the entry before, and that of the first is given by
whoever keeps the record: so no entry can be changed, taken out, put in or moved without breaking a link. What a chain cannot
show of itself, that its end was cut off, the head beside it shows (``.head``: how many entries, and the last one's ``sha256``).
Who may write both may make up both: it is a seal against accidents and second thoughts, not against a forger.

Any number of processes and nodes append: under the file's lock, and an entry that is known is not written again.
"""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import ChampionError
from engine.files import fsync_path, write_atomic, writing

Entry = dict[str, Any]


class Kind(NamedTuple):
    """What a record is of: its ``name`` in errors, its ``root`` in words, and what an entry is known by.

    ``key`` raises KeyError, TypeError or ValueError on what is no entry.
    """

    name: str
    root: str
    key: Callable[[Entry], Hashable]


class Chain:
    """Reads, checks and extends one record; not for several threads at once.

    Parameters
    ----------
    path : Path
        The record's file; the head lies beside it.
    kind : Kind
        What it is.
    root : callable
        What the first entry's ``prev`` must be.
    take : callable, optional
        Called with each entry in turn, once its link was found whole.
    """

    def __init__(self, path: Path, kind: Kind, root: Callable[[], str], take: Callable[[Entry], None] | None = None) -> None:
        self.path = path
        self._kind, self._root, self._take = kind, root, take
        self._offset = 0  # bytes read
        self._known: set[Hashable] = set()
        self.n_entries = 0
        self.head = ""  # the last entry's sha256; of none, the root

    @property
    def head_path(self) -> Path:
        """File that says where the record ends."""
        return self.path.with_suffix(".head")

    def refresh(self) -> None:
        """Read what was appended since, by whomever.

        Raises
        ------
        ChampionError
            A link is broken; the line names the first one.
        """
        if not self.head:
            self.head = self._root()
        try:
            with self.path.open("rb") as handle:
                handle.seek(0, os.SEEK_END)
                if handle.tell() < self._offset:
                    raise ChampionError(self._broken(self.n_entries, "the file is shorter than it was: its end was cut off"))
                handle.seek(self._offset)
                data = handle.read()
        except FileNotFoundError:
            if self._offset:
                raise ChampionError(self._broken(0, "the file is gone")) from None
            return
        for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):  # what is being written has no end yet
            self._link(line)
            self._offset += len(line)

    def verify(self) -> None:
        """Check the whole record, its head included.

        Raises
        ------
        ChampionError
            The line names the first broken link.
        """
        fresh = Chain(self.path, self._kind, self._root)
        fresh.refresh()
        if fresh.path.exists() and fresh.path.stat().st_size != fresh._offset:
            raise ChampionError(fresh._broken(fresh.n_entries, "it was not written to its end"))
        try:
            head = json.loads(self.head_path.read_bytes())
            told, digest = int(head["entries"]), str(head["sha256"])
        except FileNotFoundError:
            if fresh.n_entries:
                raise ChampionError(fresh._broken(fresh.n_entries, "the head is gone, so nothing shows where it ends")) from None
            return
        except (ValueError, KeyError, TypeError) as error:
            raise ChampionError(f"{self.head_path} must hold entries and sha256 ({error})") from error
        if told > fresh.n_entries:
            raise ChampionError(fresh._broken(fresh.n_entries, f"its end was cut off: the head knows {told} entries"))
        if digest != fresh._digest_at(told):
            raise ChampionError(fresh._broken(told - 1, "it is not the entry that the head knows"))

    def append(self, entries: Sequence[Entry]) -> int:
        """Add entries that are not known yet; how many.

        Raises
        ------
        ChampionError
            The record is broken: nothing is added to it.
        OSError
            It cannot be written, or what it lies in is not there: nothing is made in its place.
        """
        self._require_folder()
        created = not self.path.exists()
        with self.path.open("ab+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # let go of when the file is closed, also by a crash
            self.refresh()
            if handle.seek(0, os.SEEK_END) > self._offset:
                handle.truncate(self._offset)  # a writer died within an entry, which was never told to be there
            lines, head, n = [], self.head, self.n_entries
            known = set(self._known)
            for entry in entries:
                key = self._kind.key(entry)
                if key in known:
                    continue
                known.add(key)
                linked = {"n": n, "prev": head, **entry}
                head, n = digest_of(linked), n + 1
                lines.append(text_of({**linked, "sha256": head}) + "\n")
            if not lines:
                return 0
            with writing(self.path):
                handle.write("".join(lines).encode())
                handle.flush()
                os.fsync(handle.fileno())
            if created:
                fsync_path(self.path.parent)
            self.refresh()
            write_atomic(self.head_path, text_of({"entries": self.n_entries, "sha256": self.head}).encode())
        return len(lines)

    def _require_folder(self) -> None:
        """A lake that is away must not be begun anew where it was: only the last two folders are made, and only once."""
        folder = self.path.parent
        if self._offset and not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the lake is not there", str(folder))
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)

    def _link(self, line: bytes) -> None:
        n = self.n_entries
        try:
            entry = json.loads(line)
            seal, key = entry["sha256"], self._kind.key(entry)
        except (ValueError, KeyError, TypeError):
            raise ChampionError(self._broken(n, "it is no entry")) from None
        if seal != digest_of(entry):
            raise ChampionError(self._broken(n, "it was edited: its SHA-256 is not that of its content"))
        if entry["n"] != n or entry["prev"] != self.head:
            first = self._kind.root if n == 0 else f"entry {n - 1}"
            raise ChampionError(self._broken(n, f"it says to be entry {entry['n']} and does not follow {first}"))
        self.head, self.n_entries = seal, n + 1
        self._known.add(key)
        self._see(entry)
        if self._take is not None:
            self._take(entry)

    def _see(self, entry: Entry) -> None:
        """Count what is asked for later."""

    def _digest_at(self, n_entries: int) -> str:
        """The seal of the last of the first ``n_entries``; of none, the root."""
        if n_entries <= 0:
            return self._root()
        with self.path.open("rb") as handle:
            line = next(line for i, line in enumerate(handle) if i == n_entries - 1)
        return str(json.loads(line)["sha256"])

    def _broken(self, n: int, why: str) -> str:
        return f"{self._kind.name} is broken at entry {n} of {self.path}: {why}"


def digest_of(entry: Entry) -> str:
    """What an entry's ``sha256`` must be."""
    return sha256(text_of({name: value for name, value in entry.items() if name != "sha256"}).encode()).hexdigest()


def text_of(values: Entry) -> str:
    """Values as one line of JSON, always the same."""
    return json.dumps(values, separators=(",", ":"), sort_keys=True, allow_nan=False)
