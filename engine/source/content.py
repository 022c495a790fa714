"""Which records went in, whatever file brought them: a hash for each minute of the market.

Hashed is what happened (time, order, price, size, action, side), not how it was carried: compression, DBN version, ids of the venue,
times of capture and where a file was cut change nothing. Snapshots and clears are left out, since a file may open with them anywhere.
Each record belongs to the minute of its own time, so two captures that overlap by one whole minute share its hash.

Measured on 40 million records of 56 bytes: see tests/test_engine/test_source/test_content.py for how.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine import constants as c
from engine.schema import MboRecords

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK_S: Final = 60
CHUNK_NS: Final = CHUNK_S * c.NS_PER_S
_HEX: Final = 16  # digits kept of each minute's hash
_HASHED: Final = np.dtype(
    [("ts_event", "<u8"), ("order_id", "<u8"), ("price", "<i8"), ("size", "<u4"), ("action", "u1"), ("side", "u1")]
)


class Content:
    """Hashes of the records between two times, a minute each.

    Parameters
    ----------
    start_ns, end_ns
        UTC ns; records of other times do not count.
    """

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self._start, self._end = start_ns, end_ns
        self._digests: dict[int, _Hash] = {}
        self._covered: tuple[int, int] | None = None

    def take(self, records: MboRecords) -> None:
        """Records in the order in which they come, dtype MBO_DTYPE."""
        ts = records["ts_event"]
        flows = (ts >= np.uint64(self._start)) & (ts < np.uint64(self._end))
        flows &= (records["flags"] & c.F_SNAPSHOT == 0) & (records["action"] != c.ACTION_CLEAR)
        if not flows.all():
            records = records[flows]
        if not len(records):
            return
        kept = np.empty(len(records), _HASHED)
        for name in _HASHED.names or ():
            kept[name] = records[name]
        minutes = kept["ts_event"] // np.uint64(CHUNK_NS)
        edges = [0, *(np.flatnonzero(np.diff(minutes)) + 1).tolist(), len(kept)]
        for first, last in zip(edges, edges[1:], strict=False):
            self._digests.setdefault(int(minutes[first]), sha256()).update(kept[first:last].view(np.uint8).data)

    def cover(self, start_ns: int, end_ns: int) -> None:
        """Bins from one time to another were made of the records; to be called for each block of them, in order."""
        self._covered = (start_ns if self._covered is None else self._covered[0], end_ns)

    def told(self) -> dict[str, Any]:
        """For a manifest: ``chunk_s``; ``chunks``, a hash for each whole minute that the bins cover and that has records; ``id``
        over all of them, empty where there is none.
        """
        start, end = self._covered or (0, 0)
        whole = [m for m in sorted(self._digests) if start <= m * CHUNK_NS and (m + 1) * CHUNK_NS <= end]
        chunks = [self._digests[minute].hexdigest()[:_HEX] for minute in whole]
        return {"chunk_s": CHUNK_S, "chunks": chunks, "id": sha256(" ".join(chunks).encode()).hexdigest() if chunks else ""}
