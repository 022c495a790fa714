"""`check`: what it says of raw files and datasets, as a table and as JSON."""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from engine.config import load_instrument
from engine.constants import NS_PER_DAY
from engine.dataset.capture import publish_replay
from engine.files import sha256_file
from engine.lake import Lake
from tests.reference import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, UNDEF_PRICE, Record
from tests.streams import DAY, OPEN, TICK, build_up, harmless, record, to_array, write_dbn
from tests.test_engine.test_campaign.small_campaign import lake_with

CONFIG = load_instrument()
MS = 1_000_000
ODD_PRICE = 21_600_100_000_000  # no multiple of the tick

# One record of each kind that the book alone can meet, after a sound opening.
ANOMALIES: dict[str, Record] = {
    "unknown_cancel": record("C", 901, time=1 * MS),
    "unknown_modify": record("M", 902, tick=-6, time=2 * MS),
    "unknown_fill": record("F", 903, tick=-6, time=3 * MS),
    "duplicate_add": record("A", 1000, tick=-1, size=5, time=4 * MS),
    "undefined_price": record("A", 905, price=UNDEF_PRICE, time=5 * MS),
    "bad_side": record("A", 906, side="N", tick=-6, time=6 * MS),
    "bad_action": record("X", 907, tick=-6, time=7 * MS),
    "off_tick_price": record("A", 908, side="A", price=ODD_PRICE + 5_000_000_000, time=8 * MS),
    "outside_window": Record(**{**vars(record("A", 909, tick=-6)), "ts_event": 2**64 - 1}),  # no time at all
    "crossed_event_end": record("A", 910, tick=5, time=10 * MS),
}


def checked(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    assert main(["check", *map(str, arguments), "--json"]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["sound"] is (code == 0)
    return report


def raw_of(folder: Path, records: list[Record], name: str = "mnq-20260206.dbn") -> Path:
    return write_dbn(folder / name, to_array(records))


def test_every_kind_of_anomaly_is_told_with_its_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opening = build_up()
    again = [Record(**{**vars(r), "ts_event": r.ts_event + 50 * MS}) for r in (ANOMALIES["unknown_cancel"],)]
    path = raw_of(tmp_path, [*opening, *ANOMALIES.values(), *again])
    (raw,) = checked(capsys, path)["raw"]
    assert set(raw["anomalies"]) == set(ANOMALIES)
    assert raw["anomalies"]["unknown_cancel"] == 2
    for i, (kind, one) in enumerate(ANOMALIES.items()):
        expected = {"order_id": one.order_id, "sequence": len(opening) + i + 1, "ts_event": one.ts_event}
        assert raw["first_anomalies"][kind] == expected, kind


def test_table_names_each_kind_its_count_and_its_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw_of(tmp_path, [*build_up(), *ANOMALIES.values()])
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    for kind, one in ANOMALIES.items():
        (line,) = [line for line in out.splitlines() if f" {kind} " in line]
        assert str(one.order_id) in line
        assert str(one.ts_event) in line


def test_raw_file_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = [harmless(20, F_LAST | F_BAD_TS_RECV), harmless(30, F_LAST | F_MAYBE_BAD_BOOK)]
    path = raw_of(tmp_path, [*build_up(), *marked, harmless(200_000)])
    (raw,) = checked(capsys, path)["raw"]
    expected = {
        "file": path.name,
        "size": path.stat().st_size,
        "sha256": sha256_file(path),
        "dt": "2026-02-06",
        "n_records": 16,
        "n_snapshot": 13,
        "first_ns": OPEN + 100_000,
        "last_ns": OPEN + 200_000 * MS + 100_000,
        "opens": "snapshot",
        "bad_time": 1,
        "doubtful_book": 1,
        "backwards": 0,
        "gaps": [{"start_ns": OPEN + 30 * MS, "end_ns": OPEN + 200_000 * MS}],
        "problem": "",
    }
    assert {name: raw[name] for name in expected} == expected


# Days


def day_file(folder: Path, name: str, day: dt.date = DAY) -> Path:
    return write_dbn(folder / name, to_array([*build_up(2), harmless(20)]), day=day, n_days=2)


@pytest.mark.parametrize(
    ("name", "metadata_day", "told"),
    [
        ("mnq-20260206.dbn", DAY, ""),
        ("mnq.dbn", DAY, ""),
        ("mnq-20260205.dbn", DAY, "2026-02-05 and all its records were captured on 2026-02-06"),
        ("mnq-20260207.dbn.zst", DAY, "2026-02-07 and all its records were captured on 2026-02-06"),
        ("mnq.dbn", DAY - dt.timedelta(1), "2026-02-05 and all its records were captured on 2026-02-06"),
    ],
)
def test_file_that_says_another_day_than_its_records_is_not_sound(
    name: str, metadata_day: dt.date, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw,) = checked(capsys, day_file(tmp_path, name, metadata_day), code=1 if told else 0)["raw"]
    assert told in raw["problem"]
    assert bool(told) == bool(raw["problem"])
    assert raw["days"] == {"2026-02-06": 6}


def test_file_of_two_days_is_sound_and_its_days_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty trades at the ask of the second day, whose book stands three ticks above the first day's; the night is no hole."""
    trades = [record("T", 0, side="B", tick=1, time=(20 + i) * MS) for i in range(20)]
    up = [Record(**{**vars(r), "price": r.price + 3 * TICK if r.action != "R" else r.price}) for r in [*build_up(2), *trades]]
    rows = to_array([*(shifted(r, -NS_PER_DAY) for r in build_up(2)), *up])
    path = write_dbn(tmp_path / "mnq-20260205.dbn", rows, day=DAY - dt.timedelta(1), n_days=2)
    (raw,) = checked(capsys, path)["raw"]
    assert raw["days"] == {"2026-02-05": 5, "2026-02-06": 25}
    assert (raw["side_test"]["judged"], raw["side_test"]["right"], raw["anomalies"]) == (20, 20, {})


def shifted(one: Record, ns: int) -> Record:
    return Record(**{**vars(one), "ts_event": one.ts_event + ns, "ts_recv": one.ts_recv + ns})


def test_hours_of_every_day_of_a_file_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent from Friday 16:30 to Sunday 18:00:30, New York: the half hour before the close is a hole, Sunday's 30 s are not."""
    friday, sunday = 7.5 * 3600 * 1000, (2 * 24 + 9) * 3600 * 1000 + 30_000
    rows = to_array([*build_up(2), harmless(friday), *(shifted(r, round(sunday * MS)) for r in build_up(2))])
    path = write_dbn(tmp_path / "mnq-20260206.dbn", rows, n_days=3)
    (raw,) = checked(capsys, path)["raw"]
    close = OPEN + 8 * 3600 * 1000 * MS
    assert raw["gaps"] == [
        {"start_ns": OPEN, "end_ns": OPEN + round(friday * MS)},
        {"start_ns": OPEN + round(friday * MS), "end_ns": close},
    ]
    assert raw["silences"] == {"holes": 2}


def test_records_whose_time_goes_back_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw_of(tmp_path, [*build_up(), harmless(20), harmless(10), harmless(15), harmless(20.1), harmless(20.1)])
    assert checked(capsys, path)["raw"][0]["backwards"] == 2


def test_anomalies_of_a_dataset_are_told_with_their_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw_of(tmp_path, [*build_up(), harmless(20), harmless(150), harmless(30)])
    lake = Lake(tmp_path / "lake")
    publish_replay(lake, "late", [path], CONFIG, dt=DAY)
    (dataset,) = checked(capsys, "--lake", lake.root)["datasets"]
    assert dataset["first_anomalies"] == {"late_record": {"order_id": 5300, "sequence": 16, "ts_event": OPEN + 30 * MS}}
    assert main(["check", "--lake", str(lake.root)]) == 0
    assert any("late_record" in line and "5300" in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("records", "opens"),
    [
        (build_up(), "snapshot"),
        ([record("R", 0, side="N", size=0), record("A", 1)], "clear"),
        ([record("A", 1), *build_up()], "cold"),
    ],
)
def test_opening_of_a_file_is_told(records: list[Record], opens: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys, raw_of(tmp_path, records))["raw"][0]["opens"] == opens


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "is empty"), (b"rubbish, certainly", "not a DBN file"), (None, "does not exist")]
)
def test_unreadable_file_fails_the_check_and_not_the_program(
    content: bytes | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = raw_of(tmp_path, build_up())
    bad = tmp_path / "bad-20260207.dbn"
    if content is not None:
        bad.write_bytes(content)
    report = checked(capsys, good, bad, code=1)
    assert [told in one["problem"] for one in report["raw"]] == [False, True]


def test_cut_file_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw_of(tmp_path, build_up())
    path.write_bytes(path.read_bytes()[:-9])
    assert "breaks off" in checked(capsys, path, code=1)["raw"][0]["problem"]


@pytest.fixture
def lake(simulated_file: Path, tmp_path: Path) -> Lake:
    """A raw file and a dataset made from it."""
    lake = lake_with(simulated_file, tmp_path / "lake")
    (raw,) = lake.raw_dir("MNQ").iterdir()
    publish_replay(lake, "MNQH6_20260206_small", [raw], CONFIG, dt=DAY, n_bins=50)
    return lake


def test_lake_of_a_raw_file_and_its_dataset_is_sound(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    report = checked(capsys, "--lake", lake.root)
    assert len(report["raw"]) == 1
    (dataset,) = report["datasets"]
    assert (dataset["n_bins"], dataset["quality"], [one["state"] for one in dataset["sources"]]) == (50, {}, ["same"])


def test_raw_file_that_is_no_longer_the_datasets_fails_the_check(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (raw,) = lake.raw_dir("MNQ").iterdir()
    raw.write_bytes(raw.read_bytes()[:-30_000])
    report = checked(capsys, "--lake", lake.root, code=1)
    assert report["datasets"][0]["sources"][0]["state"] == "changed"
    assert str(raw) in report["datasets"][0]["problem"]


def test_raw_file_that_has_gone_is_told_and_no_fault_of_the_dataset(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (raw,) = lake.raw_dir("MNQ").iterdir()
    raw.unlink()
    (dataset,) = checked(capsys, "--lake", lake.root)["datasets"]
    assert (dataset["sources"][0]["state"], dataset["problem"]) == ("missing", "")


@pytest.mark.parametrize(("day", "n"), [("2026-02-06", 1), ("2026-02-07", 0)])
def test_only_the_day_that_is_asked_for(day: str, n: int, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    report = checked(capsys, "--lake", lake.root, "--dt", day)
    assert (len(report["raw"]), len(report["datasets"])) == (n, n)


@pytest.mark.parametrize("file", ["bins.parquet", "grid_clean.parquet", "manifest.json"])
def test_changed_file_of_a_dataset_fails_the_check(file: str, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    path = lake.datasets / "MNQH6_20260206_small" / file
    os.chmod(path, 0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert file in checked(capsys, "--lake", lake.root, code=1)["datasets"][0]["problem"]


def test_continuity_without_raw_files_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--continuity", "--lake", str(tmp_path / "lake")]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
