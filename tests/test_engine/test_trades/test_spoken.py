"""Which model spoke at which bin, from the record alone."""

from pathlib import Path
from typing import Any

from engine.lake import Lake
from engine.trades.spoken import SpokenRecord, Stretch, model_hash, spoken_path, symbols_spoken

JAD = {"name": "jad", "sha256": "a" * 64}
ADS = {"name": "ads", "sha256": "b" * 64}
START = 1_000_000_000_000


def begun(model: dict[str, str], first: int, at: str, **other: Any) -> dict[str, Any]:
    return {"kind": "from", "session": "MNQH6@1", "bin": first, "model": model, "source": "replay", "file": "a.dbn",
            "dt": "2026-02-06", "width_ns": 100, "start_ns": START, "at": at} | other  # fmt: skip


def ended(model: dict[str, str], first: int, until: int, **other: Any) -> dict[str, Any]:
    return {"kind": "until", "session": "MNQH6@1", "bin": first, "model": model, "until": until, "at": "2026-02-07T10:00"} | other


def record_of(folder: Path, *entries: dict[str, Any]) -> SpokenRecord:
    record = SpokenRecord(Lake(folder), "MNQH6")
    record.append(entries)
    fresh = SpokenRecord(Lake(folder), "MNQH6")
    fresh.refresh()
    assert fresh.stretches == record.stretches
    return fresh


def test_a_stretch_says_all_that_was_told_of_it(tmp_path: Path) -> None:
    record = record_of(tmp_path, begun(JAD, 5, "2026-02-07T09:00"), ended(JAD, 5, 12))
    assert list(record.stretches.values()) == [
        Stretch("MNQH6@1", START, 100, "2026-02-06", "a.dbn", "replay", 5, 12, JAD, "2026-02-07T09:00")
    ]
    assert spoken_path(Lake(tmp_path), "MNQH6") == tmp_path / "models" / "spoken" / "MNQH6.jsonl"
    assert symbols_spoken(Lake(tmp_path)) == ["MNQH6"]
    assert symbols_spoken(Lake(tmp_path / "none")) == []


def test_a_moment_belongs_to_the_bin_that_holds_it(tmp_path: Path) -> None:
    record = record_of(tmp_path, begun(JAD, 5, "a"), ended(JAD, 5, 12), begun(ADS, 12, "b"))

    def names(bin_seq: int, more_ns: int = 0) -> list[tuple[str, int]]:
        return [(one.model["name"], seq) for one, seq in record.at(START + bin_seq * 100 + more_ns)]

    assert names(5, -1) == []
    assert names(5) == [("jad", 5)]
    assert names(12, -1) == [("jad", 11)]
    assert names(12) == [("ads", 12)]
    assert names(1_000_000) == [("ads", 1_000_000)]  # no end is on record


def test_the_latest_end_holds_wherever_it_was_said(tmp_path: Path) -> None:
    record = record_of(tmp_path, begun(JAD, 0, "a"), ended(JAD, 0, 40), ended(JAD, 0, 30), ended(ADS, 0, 50))
    assert [(one.model["name"], one.until) for one in record.stretches.values()] == [("jad", 40)]  # ads had never begun


def test_a_days_stretches_are_by_session_and_bin_and_of_that_day_only(tmp_path: Path) -> None:
    late = {"session": "MNQH6@2", "start_ns": START + 10_000}
    entries = [begun(JAD, 3, "a", **late), begun(ADS, 9, "b"), begun(JAD, 2, "c"), begun(JAD, 0, "d", dt="2026-02-07")]
    record = record_of(tmp_path, *entries)
    assert [(one.start_ns - START, one.first) for one in record.on("2026-02-06")] == [(0, 2), (0, 9), (10_000, 3)]
    assert [one.since for one in record.on("2026-02-07")] == ["d"]


def test_a_model_is_known_by_its_name_its_parameters_and_its_fitted_state() -> None:
    base = model_hash("jad", {"a": 1}, None)
    assert base == model_hash("jad", {"a": 1}, None)
    assert (
        len({base, model_hash("ads", {"a": 1}, None), model_hash("jad", {"a": 2}, None), model_hash("jad", {"a": 1}, "x")}) == 4
    )
