"""A chained record on the disk: what is there when it is told to be there, and how a line reads."""

from pathlib import Path

import pytest

from engine.errors import ChampionError
from engine.trades.chain import Chain, Entry, Kind, digest_of, text_of
from tests.synced import syncs

KIND = Kind("the record", "the root", lambda entry: entry["key"])
ROOT = "0" * 64


def chain_at(path: Path, taken: list[Entry] | None = None) -> Chain:
    return Chain(path, KIND, lambda: ROOT, None if taken is None else taken.append)


def test_entries_are_on_the_disk_whole_before_the_head_tells_of_them(tmp_path: Path) -> None:
    chain = chain_at(tmp_path / "models" / "record.jsonl")
    with syncs() as seen:
        assert chain.append([{"key": 1}, {"key": 2}]) == 2
    size = chain.path.stat().st_size
    assert (seen[0].path, seen[0].size) == (chain.path, size)
    assert (seen[1].path, seen[1].names) == (chain.path.parent, ("record.jsonl",))  # a new file is there once its folder says so
    with syncs() as seen:
        assert chain.append([{"key": 3}]) == 1
    assert (seen[0].path, seen[0].size) == (chain.path, chain.path.stat().st_size)
    assert chain.path.stat().st_size > size
    assert [one.names for one in seen if one.names] == [("record.head", "record.jsonl")]  # for the head's sake only


def test_what_is_known_is_not_written_again_and_costs_no_sync(tmp_path: Path) -> None:
    chain = chain_at(tmp_path / "record.jsonl")
    assert chain.append([{"key": 1}, {"key": 1}]) == 1
    with syncs() as seen:
        assert chain.append([{"key": 1}]) == 0
    assert seen == []


def test_each_entry_is_taken_once_in_order_with_its_links(tmp_path: Path) -> None:
    taken: list[Entry] = []
    chain = chain_at(tmp_path / "record.jsonl", taken)
    chain.append([{"key": "a"}, {"key": "b"}])
    chain_at(tmp_path / "record.jsonl").append([{"key": "c"}])  # by somebody else
    chain.refresh()
    assert [(one["n"], one["key"]) for one in taken] == [(0, "a"), (1, "b"), (2, "c")]
    assert [one["prev"] for one in taken] == [ROOT, taken[0]["sha256"], taken[1]["sha256"]]
    assert [one["sha256"] for one in taken] == [digest_of(one) for one in taken]
    assert (chain.n_entries, chain.head) == (3, taken[2]["sha256"])
    chain.verify()


def test_a_line_reads_the_same_whoever_writes_it() -> None:
    assert text_of({"b": 1.5, "a": "x"}) == '{"a":"x","b":1.5}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_does_not_know_is_no_entry(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        text_of({"a": value})
    chain = chain_at(tmp_path / "record.jsonl")
    with pytest.raises(ValueError, match="JSON compliant"):
        chain.append([{"key": 1, "a": value}])
    assert chain.path.read_bytes() == b""


def test_a_folder_that_was_there_is_not_made_anew(tmp_path: Path) -> None:
    chain = chain_at(tmp_path / "lake" / "models" / "record.jsonl")
    chain.path.parent.parent.mkdir()
    chain.append([{"key": 1}])
    (tmp_path / "lake").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match="the lake is not there"):
        chain.append([{"key": 2}])
    assert not (tmp_path / "lake").exists()


def test_a_record_that_grew_shorter_or_went_is_said_to_be_broken(tmp_path: Path) -> None:
    chain = chain_at(tmp_path / "record.jsonl")
    chain.append([{"key": 1}, {"key": 2}])
    whole = chain.path.read_bytes()
    chain.path.write_bytes(whole[: whole.index(b"\n") + 1])
    with pytest.raises(ChampionError, match=r"broken at entry 2 .*its end was cut off"):
        chain.refresh()
    chain.path.write_bytes(whole)
    chain.refresh()
    chain.path.unlink()
    with pytest.raises(ChampionError, match="the file is gone"):
        chain.refresh()
