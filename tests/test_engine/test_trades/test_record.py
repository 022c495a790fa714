"""The live record: what is appended once stays as it was, and whatever is done to it shows."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from engine.champion import version_path
from engine.errors import ChampionError
from engine.files import sha256_file
from engine.lake import Lake
from engine.trades.record import LiveRecord, digest_of, head_path, record_path


def trade(i: int, session: str = "s") -> list[dict[str, Any]]:
    return [
        {"kind": "open", "session": session, "bin": i, "entry_ns": i},
        {"kind": "close", "session": session, "bin": i, "net_ticks": -0.5 * i},
    ]


def read_entries(lake: Lake, version: int) -> list[dict[str, Any]]:
    """Every entry of a record, each link found whole."""
    entries: list[dict[str, Any]] = []
    LiveRecord(lake, version, entries.append).refresh()
    return entries


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """With a version's file, whatever it says, and three trades in its record."""
    lake = Lake(tmp_path)
    lake.models.mkdir(parents=True)
    version_path(lake, 1).write_text("a promise\n")
    record = LiveRecord(lake, 1)
    for i in range(3):
        assert record.append(trade(i)) == 2
    return lake


def lines(lake: Lake) -> list[bytes]:
    return record_path(lake, 1).read_bytes().splitlines(keepends=True)


def test_each_entry_holds_the_seal_of_the_one_before_and_the_first_that_of_the_promise(lake: Lake) -> None:
    entries = read_entries(lake, 1)
    assert [entry["n"] for entry in entries] == list(range(6))
    assert entries[0]["prev"] == sha256_file(version_path(lake, 1))
    assert [entry["prev"] for entry in entries[1:]] == [entry["sha256"] for entry in entries[:-1]]
    assert json.loads(head_path(lake, 1).read_bytes()) == {"entries": 6, "sha256": entries[-1]["sha256"]}
    LiveRecord(lake, 1).verify()


def test_what_is_known_is_not_written_again(lake: Lake) -> None:
    before = record_path(lake, 1).read_bytes()
    other = LiveRecord(lake, 1)  # another process
    assert other.append([*trade(0), *trade(2)]) == 0
    assert record_path(lake, 1).read_bytes() == before
    assert other.append([*trade(2), *trade(3), *trade(3)]) == 2
    assert other.append(trade(3, "another session")) == 2
    other.verify()
    assert other.n_open == 0


def edited(data: list[bytes]) -> list[bytes]:
    return [*data[:3], data[3].replace(b"-0.5", b"19.5"), *data[4:]]


def edited_and_sealed(data: list[bytes]) -> list[bytes]:
    entry = json.loads(data[3]) | {"net_ticks": 9.5}
    entry["sha256"] = digest_of(entry)
    return [*data[:3], json.dumps(entry).encode() + b"\n", *data[4:]]


@pytest.mark.parametrize(
    ("done", "entry", "why"),
    [
        (edited, 3, "it was edited"),
        (edited_and_sealed, 4, "does not follow entry 3"),
        (lambda data: [*data[:2], *data[3:]], 2, "does not follow entry 1"),  # one is taken out
        (lambda data: data[1:], 0, "does not follow the version's own file"),
        (lambda data: [*data[:2], data[3], data[2], *data[4:]], 2, "it says to be entry 3"),
        (lambda data: [*data[:2], data[1], *data[2:]], 2, "it says to be entry 1"),  # one stands twice
        (lambda data: data[:-1], 5, "its end was cut off: the head knows 6 entries"),
        (lambda data: data[:1], 1, "its end was cut off: the head knows 6 entries"),
        (lambda data: [*data[:-1], data[-1][:-20]], 5, "it was not written to its end"),
        (lambda data: [*data[:2], b"no entry\n", *data[2:]], 2, "it is no entry"),
    ],
)
def test_the_first_broken_link_is_named(lake: Lake, done: Any, entry: int, why: str) -> None:
    record_path(lake, 1).write_bytes(b"".join(done(lines(lake))))
    with pytest.raises(ChampionError, match=f"champion 1 is broken at entry {entry} .*{why}"):
        LiveRecord(lake, 1).verify()


def test_a_promise_that_was_changed_afterwards_breaks_the_first_link(lake: Lake) -> None:
    version_path(lake, 1).write_text("a smaller promise\n")
    with pytest.raises(ChampionError, match="broken at entry 0 .*does not follow the version's own file"):
        LiveRecord(lake, 1).verify()


def test_an_end_made_up_beneath_the_head_is_found(lake: Lake) -> None:
    record_path(lake, 1).write_bytes(b"".join(lines(lake)[:4]))
    LiveRecord(lake, 1).append([*trade(7), *trade(8)])  # writes a head of its own, longer than it was
    LiveRecord(lake, 1).verify()
    head_path(lake, 1).write_text(json.dumps({"entries": 6, "sha256": "0" * 64}))  # the one that /health had told
    with pytest.raises(ChampionError, match="broken at entry 5 .*it is not the entry that the head knows"):
        LiveRecord(lake, 1).verify()
    head_path(lake, 1).unlink()
    with pytest.raises(ChampionError, match="the head is gone"):
        LiveRecord(lake, 1).verify()


def test_nothing_is_added_to_a_broken_record(lake: Lake) -> None:
    record_path(lake, 1).write_bytes(b"".join(edited(lines(lake))))
    before = record_path(lake, 1).read_bytes()
    with pytest.raises(ChampionError, match="broken at entry 3"):
        LiveRecord(lake, 1).append(trade(9))
    assert record_path(lake, 1).read_bytes() == before


def test_an_entry_that_a_dead_writer_began_is_taken_off(lake: Lake) -> None:
    whole = record_path(lake, 1).read_bytes()
    record_path(lake, 1).write_bytes(whole + b'{"n":6,"kind":"op')
    record = LiveRecord(lake, 1)
    record.refresh()
    assert record.n_entries == 6
    assert record.append(trade(6)) == 2
    record.verify()
    assert record_path(lake, 1).read_bytes().startswith(whole + b'{"bin":6')


def test_a_reader_takes_in_what_others_append(lake: Lake) -> None:
    taken: list[int] = []
    reader = LiveRecord(lake, 1, lambda entry: taken.append(entry["n"]))
    reader.refresh()
    LiveRecord(lake, 1).append(trade(5)[:1])
    reader.refresh()
    reader.refresh()
    assert (taken, reader.n_open) == ([0, 1, 2, 3, 4, 5, 6], 1)


def append_many(root: Path) -> int:
    """What one of several processes does at the same time as the others: forty trades, each of which all of them know."""
    record = LiveRecord(Lake(root), 1)
    return sum(record.append(trade(i)) for i in range(10, 50))


def test_several_processes_write_one_chain_and_each_trade_once(lake: Lake) -> None:
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        assert sum(pool.map(append_many, [lake.root] * 3)) == 80
    LiveRecord(lake, 1).verify()
    assert len(read_entries(lake, 1)) == 86


def test_a_version_without_a_record_is_whole(lake: Lake) -> None:
    version_path(lake, 2).write_text("another\n")
    record = LiveRecord(lake, 2)
    record.verify()
    record.refresh()
    assert (record.n_entries, record.n_open, record.head) == (0, 0, sha256_file(version_path(lake, 2)))
