"""Every truth bit: on the bins it belongs to and on no other, in the manifest, and in what `check` counts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.audit.lake import check_lake
from engine.config import load_instrument
from engine.constants import QUALITY_NAMES
from engine.dataset.capture import publish_replay
from engine.errors import SourceError
from engine.lake import Lake
from tests.reference import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, UNDEF_PRICE, Record
from tests.streams import DAY, build_up, harmless, record, to_array, write_dbn

CONFIG = load_instrument()
MS = 1_000_000
CLOSE = 8 * 3600 * 1000  # Friday's close at 17:00 in New York, ms after 09:00
BITS = {name: bit for bit, name in QUALITY_NAMES.items()}


def quiet(*bins: int) -> list[Record]:
    """A harmless record in the middle of each of these bins."""
    return [harmless(100 * i + 50) for i in bins]


def moved(records: list[Record], ms: float) -> list[Record]:
    """The same records, so much later."""
    shift = round(ms * MS)
    return [Record(**{**vars(r), "ts_event": r.ts_event + shift, "ts_recv": r.ts_recv + shift}) for r in records]


def cold() -> list[Record]:
    """No snapshot; a clear in bin 2."""
    quotes = [record("A", 1, side="B", tick=-1), record("A", 2, side="A", tick=1)]
    clear = record("R", 0, side="N", size=0, price=UNDEF_PRICE, time=250 * MS)
    again = [record("A", 3, side="B", tick=-1, time=260 * MS), record("A", 4, side="A", tick=1, time=260 * MS)]
    return [*quotes, *quiet(0, 1), clear, *again, *quiet(3)]


def crossed() -> list[Record]:
    """A bid above the ask at an event end in bin 1, gone within it."""
    return [*build_up(), *quiet(0), record("A", 9, tick=3, time=150 * MS), record("C", 9, tick=3, time=151 * MS), *quiet(2)]


def crossed_inside_an_event() -> list[Record]:
    """The same, but never at an event end."""
    event = [record("A", 9, tick=3, time=150 * MS, flags=0), record("C", 9, tick=3, time=150 * MS)]
    return [*build_up(), *quiet(0), *event, *quiet(2)]


def one_sided() -> list[Record]:
    """The only ask goes in bin 1 and is back in bin 3."""
    gone = record("C", 1001, side="A", tick=1, size=5, time=150 * MS)
    back = record("A", 1001, side="A", tick=1, size=5, time=350 * MS)
    return [*build_up(1), *quiet(0), gone, *quiet(2), back, *quiet(4)]


def bad_time() -> list[Record]:
    """A flagged record in bin 1, a late one in bin 3."""
    return [*build_up(), *quiet(0), harmless(150, F_LAST | F_BAD_TS_RECV), *quiet(2, 3), harmless(120), *quiet(4)]


def doubtful_book() -> list[Record]:
    """A flagged record in bin 1."""
    return [*build_up(), *quiet(0), harmless(150, F_LAST | F_MAYBE_BAD_BOOK), *quiet(2)]


def gap() -> list[Record]:
    """Two minutes without a record, from bin 0 to bin 1200."""
    return [*build_up(), *quiet(0, 1200, 1201)]


def silence_while_closed() -> list[Record]:
    """An hour without a record that begins a second before the close."""
    return moved([*build_up(), *quiet(0), harmless(1050), harmless(3_600_000)], CLOSE - 1000)


def closed() -> list[Record]:
    """Two bins before Friday's close and three behind it; a trade in the fourth proves that somebody trades."""
    trade = record("T", 0, side="B", tick=1, time=350 * MS)
    return moved([*build_up(), *quiet(0, 1, 2), trade, *quiet(4)], CLOSE - 200)


CASES: dict[str, tuple[Callable[[], list[Record]], dict[str, list[int]]]] = {
    "cold": (cold, {"cold": [0, 1]}),
    "crossed": (crossed, {"crossed": [1]}),
    "crossed inside an event": (crossed_inside_an_event, {}),
    "one-sided": (one_sided, {"one_sided": [1, 2]}),
    "bad time": (bad_time, {"bad_time": [1, 3]}),
    "doubtful": (doubtful_book, {"doubtful_book": [1]}),
    "gap": (gap, {"gap": list(range(1201))}),
    "closed": (closed, {"closed": [2, 4]}),
    "sound": (lambda: [*build_up(), *quiet(0, 1, 2)], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_bits_stand_on_their_bins_in_the_manifest_and_in_the_check(case: str, tmp_path: Path) -> None:
    make, expected = CASES[case]
    path = write_dbn(tmp_path / "mnq-20260206.dbn", to_array(make()))
    lake = Lake(tmp_path / "lake")
    dataset = publish_replay(lake, "d", [path], CONFIG, dt=DAY, allow_cold=True)
    quality = dataset.bins(["quality"])["quality"]
    found = {name: np.flatnonzero(quality & bit).tolist() for name, bit in BITS.items() if (quality & bit).any()}
    assert found == expected
    counts = {name: len(bins) for name, bins in found.items()}
    assert dataset.manifest["quality"] == counts
    (checked,) = check_lake(lake, None)["datasets"]
    assert (checked["quality"], checked["problem"]) == (counts, "")


def test_silence_while_the_exchange_is_closed_is_no_gap(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "mnq-20260206.dbn", to_array(silence_while_closed()))
    dataset = publish_replay(Lake(tmp_path / "lake"), "d", [path], CONFIG, dt=DAY)
    assert "gap" not in dataset.manifest["quality"]
    assert dataset.manifest["quality"]["closed"] == dataset.n_bins - 10


def test_manifest_that_tells_other_counts_than_the_bins_fails_the_check(tmp_path: Path) -> None:
    """The counts are taken from the bins, not believed."""
    import json

    from engine.dataset.read import CHECKSUMS_FILE, MANIFEST_FILE
    from engine.files import sha256_file

    path = write_dbn(tmp_path / "mnq-20260206.dbn", to_array(crossed()))
    lake = Lake(tmp_path / "lake")
    folder = publish_replay(lake, "d", [path], CONFIG, dt=DAY).folder
    for name in (MANIFEST_FILE, CHECKSUMS_FILE):
        (folder / name).chmod(0o644)
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    (folder / MANIFEST_FILE).write_text(json.dumps({**manifest, "quality": {}}))
    sums = json.loads((folder / CHECKSUMS_FILE).read_text())
    (folder / CHECKSUMS_FILE).write_text(json.dumps({**sums, MANIFEST_FILE: sha256_file(folder / MANIFEST_FILE)}))
    report = check_lake(lake, None)
    assert report["sound"] is False
    assert "'crossed': 1" in report["datasets"][0]["problem"]


# A book that is not whole


def file_of(folder: Path, records: list[Record]) -> Path:
    return write_dbn(folder / "mnq-20260206.dbn", to_array(records))


def test_cold_file_is_not_published_and_nothing_is_replayed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    seen: list[int] = []
    with pytest.raises(SourceError, match="starts cold"):
        publish_replay(lake, "d", [file_of(tmp_path, cold())], CONFIG, dt=DAY, progress=seen.append)
    assert seen == []
    assert not lake.datasets.exists()


WHOLE_FROM = {
    "snapshot": (build_up(), None),
    "plain clear": ([record("R", 0, side="N", size=0), *build_up()[1:]], None),
    "clear behind cold records, before the start": ([*cold(), *moved(build_up(), 900)], "09:00:01"),
}


@pytest.mark.parametrize("case", WHOLE_FROM)
def test_book_that_is_whole_at_the_first_bin_is_published(case: str, tmp_path: Path) -> None:
    records, start = WHOLE_FROM[case]
    path = file_of(tmp_path, [*records, *quiet(12, 13)])
    dataset = publish_replay(Lake(tmp_path / "lake"), "d", [path], CONFIG, dt=DAY, start_time=start)
    assert "cold" not in dataset.manifest["quality"]


def test_clear_that_comes_behind_the_first_bin_is_too_late(tmp_path: Path) -> None:
    path = file_of(tmp_path, [*cold()[:4], *quiet(12), *moved(build_up(), 1500), *quiet(16)])
    with pytest.raises(SourceError, match="starts cold"):
        publish_replay(Lake(tmp_path / "lake"), "d", [path], CONFIG, dt=DAY, start_time="09:00:01")
