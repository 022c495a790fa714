"""Nanoseconds and the order of capture survive untouched, from the file to the bins, the grid and every report."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.lake import Lake
from engine.run.replay import Replay
from engine.source.decoded import decode_once
from engine.source.records import open_source
from tests.streams import DAY, OPEN, build_up, record, to_array, write_dbn

CONFIG = load_instrument()
MS = 1_000_000
BIN = 100 * MS
ODD = 123_456_789  # no multiple of a microsecond: a detour by floats or datetimes would lose it
ROWS = to_array(
    [
        *build_up(),
        record("A", 50, tick=-5, time=BIN - 1),
        record("A", 51, tick=-5, time=BIN),
        record("A", 52, tick=-5, time=BIN + 1),
        record("A", 53, tick=-5, time=3 * BIN - 1),
        record("A", 54, tick=-5, time=BIN + 7),  # late
        record("A", 55, tick=-5, time=3 * BIN),
    ]
)


@pytest.fixture(params=["day-20260206.dbn", "day-20260206.dbn.zst"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_dbn(tmp_path / request.param, ROWS)


def test_one_nanosecond_decides_the_bin_and_a_late_record_stays_where_it_came(file: Path) -> None:
    bins = np.concatenate([block.bins for block in Replay(open_source([file], CONFIG, DAY), CONFIG, "09:00")])
    assert bins["bin_event_count"].tolist() == [14, 2, 2, 1]
    assert bins["event_id"].tolist() == [14, 16, 18, 19]


def test_records_of_one_instant_keep_their_order(tmp_path: Path) -> None:
    """A hundred orders at one ns; the last event of their tick is the last in the file, whatever its id."""
    ids = np.random.default_rng(1).permutation(np.arange(100, 200)).tolist()
    rows = to_array([*build_up(), *(record("A", i, tick=-5, time=7) for i in ids)])
    path = write_dbn(tmp_path / "day-20260206.dbn", rows)
    read = np.concatenate(list(open_source([path], CONFIG, DAY).records(7)))
    assert read["order_id"][-100:].tolist() == ids
    (block,) = Replay(open_source([path], CONFIG, DAY), CONFIG, chunk_records=7)
    k = int(np.flatnonzero(block.grid["k"][0] == -5)[0])
    assert block.grid["last_event_id"][0, k] == len(rows)


def test_decoded_copy_holds_the_very_records(file: Path, tmp_path: Path) -> None:
    decoded = decode_once(open_source([file], CONFIG, DAY), tmp_path / "cache", 2**62)
    assert np.concatenate(list(decoded.records())).tobytes() == ROWS.tobytes()


def test_first_bins_nanoseconds_reach_the_dataset(tmp_path: Path) -> None:
    rows = to_array([*build_up(), record("A", 50, tick=-5, time=250 * MS)])
    for name in ("ts_event", "ts_recv"):
        rows[name] += ODD
    path = write_dbn(tmp_path / "day-20260206.dbn", rows)
    dataset = publish_replay(Lake(tmp_path / "lake"), "d", [path], CONFIG, dt=DAY)
    starts = dataset.bins(["bin_start_ns", "bin_end_ns"])
    assert starts["bin_start_ns"].tolist() == [OPEN + ODD + i * BIN for i in range(3)]
    assert starts["bin_end_ns"].tolist() == [OPEN + ODD + i * BIN for i in range(1, 4)]
    assert (dataset.manifest["start_ns"], dataset.manifest["end_ns"]) == (OPEN + ODD, OPEN + ODD + 3 * BIN)


def test_check_names_an_anomaly_by_its_exact_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = to_array([*build_up(), record("C", 2**64 - 1, time=ODD), record("C", 7, time=ODD + 1)])
    path = write_dbn(tmp_path / "day-20260206.dbn", rows)
    assert main(["check", str(path), "--json"]) == 0
    (raw,) = json.loads(capsys.readouterr().out)["raw"]
    assert raw["anomalies"] == {"unknown_cancel": 2}
    assert raw["first_anomalies"]["unknown_cancel"] == {
        "order_id": 2**64 - 1,
        "sequence": len(rows) - 1,
        "ts_event": OPEN + ODD,
    }


@pytest.mark.parametrize(("at", "n_events"), [("00.000100006", 13), ("00.000100007", 14), ("00.000100008", 15)])
def test_book_is_cut_at_the_nanosecond(at: str, n_events: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = to_array([*build_up(), record("A", 50, tick=-5, time=7), record("A", 51, tick=-5, time=8)])
    path = write_dbn(tmp_path / "day-20260206.dbn", rows)
    assert main(["book", str(path), "--at", f"2026-02-06T14:00:{at}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_events"] == n_events
