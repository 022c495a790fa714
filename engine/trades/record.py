"""The live record of one champion version: every paper trade, opened and ended, in a chain that begins with the version's file.

``lake/models/record/champion-NNNNNN.jsonl`` is an `engine.trades.chain.Chain`; the ``prev`` of its first entry is the SHA-256 of
the version's own file, promise included: so the promise cannot be changed either. Every ``/health`` tells its head.

Any number of sessions and replicas append. A trade is known by session and bin of firing, so the same session shown twice,
resumed or restarted counts once.
"""

from collections.abc import Callable
from pathlib import Path

from engine.champion import version_path
from engine.files import sha256_file
from engine.lake import Lake
from engine.trades.chain import Chain, Entry, Kind, digest_of

__all__ = ["LiveRecord", "digest_of", "head_path", "record_path"]


def record_path(lake: Lake, version: int) -> Path:
    """File of one version's record."""
    return lake.models / "record" / f"champion-{version:06d}.jsonl"


def head_path(lake: Lake, version: int) -> Path:
    """File that says where the record ends."""
    return record_path(lake, version).with_suffix(".head")


class LiveRecord(Chain):
    """One version's record. Entries have ``kind`` ``open`` or ``close``, ``session`` and ``bin``, which name them, and whatever
    else is to be kept.

    Parameters
    ----------
    take : callable, optional
        Called with each entry in turn, once its link was found whole.
    """

    def __init__(self, lake: Lake, version: int, take: Callable[[Entry], None] | None = None) -> None:
        kind = Kind(f"the live record of champion {version}", "the version's own file", _key)
        super().__init__(record_path(lake, version), kind, lambda: sha256_file(version_path(lake, version)), take)
        self._n_open = 0

    @property
    def n_open(self) -> int:
        """Trades that were opened and whose end is not in the record, or not yet."""
        return self._n_open

    def _see(self, entry: Entry) -> None:
        self._n_open += 1 if entry["kind"] == "open" else -1


def _key(entry: Entry) -> tuple[str, str, int]:
    return str(entry["kind"]), str(entry["session"]), int(entry["bin"])
