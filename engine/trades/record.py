"""The live record of one champion version: every paper trade, opened and ended, each entry sealed with the one before it.

``lake/models/record/champion-NNNNNN.jsonl`` holds one JSON object a line. ``sha256`` is over the rest of the entry, ``prev`` is
the ``sha256`` of the entry before, and that of the first is the SHA-256 of the version's own file, promise included: so neither
an entry nor the promise can be changed, taken out, put in or moved without breaking a link. What a chain cannot show of itself,
that its end was cut off, the head beside it shows (``.head``: how many entries, and the last one's ``sha256``), and every
``/health`` that told it. Who may write both may make up both: it is a seal against accidents and second thoughts, not against a
forger.

Any number of sessions and replicas append: under the file's lock, and an entry that is known is not written again. A trade is
known by session and bin of firing, so the same session shown twice, resumed or restarted counts once.
"""

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from engine.champion import version_path
from engine.errors import ChampionError
from engine.files import fsync_path, sha256_file, write_atomic, writing
from engine.lake import Lake


def record_path(lake: Lake, version: int) -> Path:
    """File of one version's record."""
    return lake.models / "record" / f"champion-{version:06d}.jsonl"


def head_path(lake: Lake, version: int) -> Path:
    """File that says where the record ends."""
    return record_path(lake, version).with_suffix(".head")


def digest_of(entry: dict[str, Any]) -> str:
    """What an entry's ``sha256`` must be."""
    return sha256(_text({name: value for name, value in entry.items() if name != "sha256"}).encode()).hexdigest()


class LiveRecord:
    """Reads, checks and extends one version's record; not for several threads at once.

    Parameters
    ----------
    take : callable, optional
        Called with each entry in turn, once its link was found whole.
    """

    def __init__(self, lake: Lake, version: int, take: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._lake, self._version = lake, version
        self.path = record_path(lake, version)
        self._take = take
        self._offset = 0  # bytes read
        self._known: set[tuple[str, str, int]] = set()
        self._n_open = 0
        self.n_entries = 0
        self.head = ""  # the last entry's sha256; of none, the version file's

    @property
    def n_open(self) -> int:
        """Trades that were opened and whose end is not in the record, or not yet."""
        return self._n_open

    def refresh(self) -> None:
        """Read what was appended since, by whomever.

        Raises
        ------
        ChampionError
            A link is broken; the line names the first one.
        """
        if not self.head:
            self.head = sha256_file(version_path(self._lake, self._version))
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
        fresh = LiveRecord(self._lake, self._version)
        fresh.refresh()
        if fresh.path.exists() and fresh.path.stat().st_size != fresh._offset:
            raise ChampionError(fresh._broken(fresh.n_entries, "it was not written to its end"))
        try:
            head = json.loads(head_path(self._lake, self._version).read_bytes())
            told, digest = int(head["entries"]), str(head["sha256"])
        except FileNotFoundError:
            if fresh.n_entries:
                raise ChampionError(fresh._broken(fresh.n_entries, "the head is gone, so nothing shows where it ends")) from None
            return
        except (ValueError, KeyError, TypeError) as error:
            raise ChampionError(f"{head_path(self._lake, self._version)} must hold entries and sha256 ({error})") from error
        if told > fresh.n_entries:
            raise ChampionError(fresh._broken(fresh.n_entries, f"its end was cut off: the head knows {told} entries"))
        if digest != fresh._digest_at(told):
            raise ChampionError(fresh._broken(told - 1, "it is not the entry that the head knows"))

    def append(self, entries: Sequence[dict[str, Any]]) -> int:
        """Add entries that are not known yet; how many.

        Parameters
        ----------
        entries
            With ``kind`` ``open`` or ``close``, ``session`` and ``bin``, which name them, and whatever else is to be kept.

        Raises
        ------
        ChampionError
            The record is broken: nothing is added to it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        created = not self.path.exists()
        with self.path.open("ab+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # let go of when the file is closed, also by a crash
            self.refresh()
            if handle.seek(0, os.SEEK_END) > self._offset:
                handle.truncate(self._offset)  # a writer died within an entry, which was never told to be there
            lines, head, n = [], self.head, self.n_entries
            known = set(self._known)
            for entry in entries:
                key = _key(entry)
                if key in known:
                    continue
                known.add(key)
                linked = {"n": n, "prev": head, **entry}
                head, n = digest_of(linked), n + 1
                lines.append(_text({**linked, "sha256": head}) + "\n")
            if not lines:
                return 0
            with writing(self.path):
                handle.write("".join(lines).encode())
                handle.flush()
                os.fsync(handle.fileno())
            if created:
                fsync_path(self.path.parent)
            self.refresh()
            write_atomic(head_path(self._lake, self._version), _text({"entries": self.n_entries, "sha256": self.head}).encode())
        return len(lines)

    def _link(self, line: bytes) -> None:
        n = self.n_entries
        try:
            entry = json.loads(line)
            seal, key = entry["sha256"], _key(entry)
        except (ValueError, KeyError, TypeError):
            raise ChampionError(self._broken(n, "it is no entry")) from None
        if seal != digest_of(entry):
            raise ChampionError(self._broken(n, "it was edited: its SHA-256 is not that of its content"))
        if entry["n"] != n or entry["prev"] != self.head:
            first = "the version's own file" if n == 0 else f"entry {n - 1}"
            raise ChampionError(self._broken(n, f"it says to be entry {entry['n']} and does not follow {first}"))
        self.head, self.n_entries = seal, n + 1
        self._known.add(key)
        self._n_open += 1 if entry["kind"] == "open" else -1
        if self._take is not None:
            self._take(entry)

    def _digest_at(self, n_entries: int) -> str:
        """The seal of the last of the first ``n_entries``; of none, the version file's."""
        if n_entries <= 0:
            return sha256_file(version_path(self._lake, self._version))
        with self.path.open("rb") as handle:
            line = next(line for i, line in enumerate(handle) if i == n_entries - 1)
        return str(json.loads(line)["sha256"])

    def _broken(self, n: int, why: str) -> str:
        return f"the live record of champion {self._version} is broken at entry {n} of {self.path}: {why}"


def _key(entry: dict[str, Any]) -> tuple[str, str, int]:
    return str(entry["kind"]), str(entry["session"]), int(entry["bin"])


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), sort_keys=True, allow_nan=False)
