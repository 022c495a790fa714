"""The engine's door: what works prints a result, what does not is one line on stderr with its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from engine.cli import main
from engine.config import INSTRUMENT_ENV
from engine.schema import GRID_COLUMNS, bins_schema
from tests.conftest import REPO_ROOT, shared_path
from tests.full_disk import room_for
from tests.streams import DAY, INSTRUMENT_ID, SYMBOL, build_up, metadata, record, to_array, write_dbn

MS = 1_000_000


class Door:
    """Runs a command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code = main([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *arguments: object) -> Any:
        """What a command prints with --json; it must succeed."""
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def refusal(self, *arguments: object) -> str:
        """The one line of a refused command."""
        code, out, err = self(*arguments)
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("python -m engine: ")
        return err


@pytest.fixture
def door(capsys: pytest.CaptureFixture[str]) -> Door:
    return Door(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three seconds of a small session."""
    adds = [record("A", 100 + i, tick=-5, time=i * 30 * MS) for i in range(100)]
    return write_dbn(tmp_path / "glbx-mdp3-20260206.mbo.dbn", to_array([*build_up(), *adds]))


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


# What works


def test_replay_to_a_folder_writes_bins_and_grid(door: Door, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert door.json("replay", "--dbn", file, "--out", out)["n_bins"] == 30
    assert pq.read_schema(out / "bins.parquet").names == bins_schema().names
    assert pq.read_schema(out / "grid_clean.parquet").names == ["bin_seq", *GRID_COLUMNS]
    assert pq.read_metadata(out / "grid_clean.parquet").num_rows == 30 * 101


def test_replay_takes_day_start_and_number_of_bins(door: Door, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = door.json("replay", "--dbn", file, "--dt", DAY, "--start-time", "09:00:01", "--bins", 5, "--out", out)
    assert (summary["n_bins"], summary["start"]) == (5, "2026-02-06 09:00:01 ET")


def test_replay_takes_overrides(door: Door, file: Path, tmp_path: Path) -> None:
    sets = ["--set", "grid_radius_ticks=10", "--set", "cell_width_ms=500"]
    summary = door.json("replay", "--dbn", file, *sets, "--out", tmp_path / "out")
    assert summary["n_bins"] == 6
    assert pq.read_metadata(tmp_path / "out" / "grid_clean.parquet").num_rows == 6 * 21


def test_published_dataset_is_listed(door: Door, file: Path, lake: Path) -> None:
    door("replay", "--dbn", file, "--publish", "small", "--lake", lake)
    (row,) = door.json("datasets", "--lake", lake)
    assert (row["dataset_id"], row["n_bins"]) == ("small", 30)


def test_dataset_without_a_name_gets_one_from_its_session(door: Door, file: Path, lake: Path) -> None:
    summary = door.json("replay", "--dbn", file, "--start-time", "09:00", "--publish", "--lake", lake)
    assert summary["dataset_id"].startswith("MNQH6_20260206_0900")


def test_published_dataset_checks_as_sound(door: Door, file: Path, lake: Path) -> None:
    door("replay", "--dbn", file, "--publish", "small", "--lake", lake)
    report = door.json("check", "--lake", lake)
    assert report["sound"] is True
    assert [one["dataset_id"] for one in report["datasets"]] == ["small"]


def test_changed_dataset_fails_the_check(door: Door, file: Path, lake: Path) -> None:
    folder = Path(door.json("replay", "--dbn", file, "--publish", "small", "--lake", lake)["folder"])
    bins = folder / "bins.parquet"
    os.chmod(bins, 0o644)
    content = bytearray(bins.read_bytes())
    content[len(content) // 2] ^= 1
    bins.write_bytes(content)
    code, out, _ = door("check", "--lake", lake)
    assert code == 1
    assert "bins.parquet" in out


def test_publishing_the_same_again_changes_nothing(door: Door, file: Path, lake: Path) -> None:
    folder = Path(door.json("replay", "--dbn", file, "--publish", "small", "--lake", lake)["folder"])
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    door.json("replay", "--dbn", file, "--publish", "small", "--lake", lake)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_raw_file_of_the_lake_is_found_by_its_day(door: Door, file: Path, lake: Path) -> None:
    raw = lake / "raw/source=databento/product_type=future_mbo/symbol=MNQ/table=market_by_order_dbn"
    raw.mkdir(parents=True)
    file.rename(raw / file.name)
    assert door.json("replay", "--dt", "2026-02-06", "--publish", "--lake", lake)["n_bins"] == 30


@pytest.mark.parametrize("room", [0, 500, 5000])
def test_publishing_onto_a_full_disk_is_one_line_and_nothing_is_there(door: Door, file: Path, lake: Path, room: int) -> None:
    with room_for(room):
        code, out, err = door("replay", "--dbn", file, "--publish", "whole", "--lake", lake)
    assert (code, out) == (1, "")
    assert f"no space left on the disk for {lake}/research/vp_immutable/whole (EFBIG)" in err.splitlines()[-1]
    assert list((lake / "research" / "vp_immutable").iterdir()) == []
    assert door.json("replay", "--dbn", file, "--publish", "whole", "--lake", lake)["n_bins"] == 30


def test_truncated_file_is_replayed_and_reported_in_one_line(door: Door, file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])
    code, out, _ = door("replay", "--dbn", file, "--out", tmp_path / "out")
    assert code == 0
    assert len([line for line in out.splitlines() if "breaks off 36 bytes into a record" in line]) == 1


def test_simulated_file_can_be_replayed(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "day.dbn.zst"
    assert door("simulate", path, "--seed", 3, "--seconds", 5)[0] == 0
    assert door.json("replay", "--dbn", path, "--out", tmp_path / "out")["n_bins"] == 50


@pytest.fixture
def cold_file(tmp_path: Path) -> Path:
    """Two quotes and a second of adds; no snapshot."""
    quotes = [record("A", 1, side="B", tick=-1), record("A", 2, side="A", tick=1)]
    adds = [record("A", 100 + i, tick=-5, time=i * 30 * MS) for i in range(34)]
    return write_dbn(tmp_path / "cold-20260206.mbo.dbn", to_array([*quotes, *adds]))


def test_cold_file_is_published_where_that_is_allowed(door: Door, cold_file: Path, lake: Path) -> None:
    summary = door.json("replay", "--dbn", cold_file, "--publish", "cold", "--allow-cold", "--lake", lake)
    assert summary["quality"] == {"cold": summary["n_bins"]}


def test_cold_file_goes_to_a_folder_with_its_bins_marked(door: Door, cold_file: Path, tmp_path: Path) -> None:
    summary = door.json("replay", "--dbn", cold_file, "--out", tmp_path / "out")
    assert summary["quality"] == {"cold": summary["n_bins"]}


def test_several_days_are_simulated_each_into_its_file(door: Door, tmp_path: Path) -> None:
    code, out, _ = door("simulate", tmp_path / "x-20260206.dbn", "--seed", 3, "--seconds", 2, "--days", 3)
    assert code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"x-2026020{day}.dbn" for day in (6, 7, 8)]
    assert out.count("records") == 3


def test_book_at_a_moment(door: Door, file: Path) -> None:
    book = door.json("book", file, "--at", "2026-02-06T14:00:00.05", "--depth", "2")
    assert (book["n_events"], book["best_bid"], book["best_bid_size"]) == (15, 21_599.75, 5)


@pytest.mark.parametrize(("moment", "best_bid", "n_events"), [([], 21_600.0, 6), (["--at", "2026-02-06T23:59:59"], 21_599.75, 5)])
def test_book_of_a_file_goes_on_over_midnight(
    moment: list[str], best_bid: float, n_events: int, door: Door, tmp_path: Path
) -> None:
    """A better bid at 02:00 UTC of the day behind that in the file's name."""
    night = record("A", 60, tick=0, time=12 * 3600 * 10**9)
    path = write_dbn(tmp_path / "two-days-20260206.dbn", to_array([*build_up(2), night]), n_days=2)
    book = door.json("book", path, *moment)
    assert (book["best_bid"], book["n_events"], book["anomalies"]) == (best_bid, n_events, {})


def test_book_at_a_moment_takes_a_record_without_a_time_of_capture_where_it_stands(door: Door, tmp_path: Path) -> None:
    rows = to_array([*build_up(2), record("A", 60, tick=0, time=1_000_000), record("A", 61, tick=0, time=2_000_000_000)])
    rows["ts_recv"][[1, 5]] = 2**64 - 1
    path = write_dbn(tmp_path / "day-20260206.dbn", rows)
    book = door.json("book", path, "--at", "2026-02-06T14:00:01")
    assert (book["best_bid"], book["best_bid_size"], book["n_events"]) == (21_600.0, 1, 6)


def test_book_as_a_table_names_the_best_prices(door: Door, file: Path) -> None:
    code, out, _ = door("book", file)
    assert code == 0
    assert "best bid 21599.75 (5)" in out


def test_book_as_a_table_has_the_instruments_decimals(
    door: Door, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = tmp_path / "fine.yaml"
    text = (REPO_ROOT / "engine" / "instrument.yaml").read_text()
    assert "price_decimals: 2\n" in text
    instrument.write_text(text.replace("price_decimals: 2\n", "price_decimals: 5\n"))
    monkeypatch.setenv(INSTRUMENT_ENV, str(instrument))
    code, out, _ = door("book", file)
    assert (code, "best bid 21599.75000 (" in out) == (0, True)


# What is refused


BAD_FILES = {
    "empty": (b"", "is empty"),
    "random": (bytes(range(7, 250)) * 20, "not a DBN file"),
    "compressed random": (zstandard.compress(bytes(range(7, 250)) * 20), "not a DBN file"),
    "cut metadata": (metadata({SYMBOL: INSTRUMENT_ID}, DAY)[:60], "breaks off"),
    "other contract": (metadata({"MNQM6": INSTRUMENT_ID}, DAY), "MNQM6"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["replay", "book"])
def test_bad_file_is_refused(kind: str, command: str, door: Door, tmp_path: Path) -> None:
    content, told = BAD_FILES[kind]
    path = tmp_path / "bad.dbn"
    path.write_bytes(content)
    line = door.refusal("book", path) if command == "book" else door.refusal("replay", "--dbn", path, "--out", tmp_path / "out")
    assert str(path) in line
    assert told in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("data/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", "mbp-1"),
        ("data/databento_tests/dbn/test_data.mbo.dbz", "DBZ"),
        ("data/databento_tests/GLBX.MDP3/test_data.trades.dbn.zst", "trades"),
        ("data/esh4-glbx-mdp3-20231225.mbo.dbn.zst", "ESH4"),
    ],
)
def test_real_file_of_another_kind_is_refused(name: str, told: str, door: Door) -> None:
    path = shared_path(name)
    line = door.refusal("book", path)
    assert str(path) in line
    assert told in line


BAD_ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "unknown key": (["--set", "tau_velocty=2"], "tau_velocty"),
    "bad value": (["--set", "tau_velocity=-0.5"], "tau_velocity was -0.5"),
    "no value": (["--set", "tau_velocity"], "key=value"),
    "bad day": (["--dt", "06.02.2026"], "YYYY-MM-DD"),
    "bad start time": (["--start-time", "9.25"], "HH:MM"),
    "no bins": (["--bins", "0"], "at least 1"),
    "bins that are no number": (["--bins", "many"], "--bins"),
    "unknown option": (["--speed", "3"], "--speed"),
    "folder and lake": (["--publish", "x"], "--publish"),
    "start beyond the data": (["--start-time", "15:00"], "no bins"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_argument_of_replay_is_refused(case: str, door: Door, file: Path, tmp_path: Path) -> None:
    given, told = BAD_ARGUMENTS[case]
    assert told in door.refusal("replay", "--dbn", file, "--out", tmp_path / "out", *given)


def test_refused_replay_leaves_nothing_behind(door: Door, file: Path, tmp_path: Path) -> None:
    door.refusal("replay", "--dbn", file, "--out", tmp_path / "out", "--start-time", "15:00")
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]


def test_replay_without_file_and_day_is_refused(door: Door, tmp_path: Path) -> None:
    assert "--dbn" in door.refusal("replay", "--out", tmp_path / "out")


def test_replay_without_a_target_is_refused(door: Door, file: Path) -> None:
    assert "--out" in door.refusal("replay", "--dbn", file)


def test_day_without_a_raw_file_is_refused(door: Door, lake: Path) -> None:
    assert "2026" in door.refusal("replay", "--dt", "2026-02-06", "--publish", "--lake", lake)


def test_folder_with_content_is_not_overwritten(door: Door, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    door("replay", "--dbn", file, "--out", out)
    before = (out / "bins.parquet").read_bytes()
    assert str(out) in door.refusal("replay", "--dbn", file, "--out", out, "--set", "tau_velocity=3")
    assert (out / "bins.parquet").read_bytes() == before


def test_other_content_under_the_same_id_is_refused(door: Door, file: Path, lake: Path) -> None:
    door("replay", "--dbn", file, "--publish", "small", "--lake", lake)
    assert "small" in door.refusal("replay", "--dbn", file, "--publish", "small", "--lake", lake, "--set", "tau_velocity=3")


def test_cold_file_is_not_published(door: Door, cold_file: Path, lake: Path) -> None:
    line = door.refusal("replay", "--dbn", cold_file, "--publish", "cold", "--lake", lake)
    assert str(cold_file) in line
    assert "--allow-cold" in line


def test_bad_dataset_id_is_refused(door: Door, file: Path, lake: Path) -> None:
    assert "../up" in door.refusal("replay", "--dbn", file, "--publish", "../up", "--lake", lake)


@pytest.mark.parametrize(("option", "value"), [("--at", "noon"), ("--depth", "0"), ("--depth", "few")])
def test_bad_argument_of_book_is_refused(option: str, value: str, door: Door, file: Path) -> None:
    assert option in door.refusal("book", file, option, value)


def test_bad_instrument_file_is_refused(door: Door, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = tmp_path / "instrument.yaml"
    instrument.write_text("symbol: [MNQH6")
    monkeypatch.setenv(INSTRUMENT_ENV, str(instrument))
    assert str(instrument) in door.refusal("book", file)


def test_no_command_is_refused_and_help_named(door: Door) -> None:
    assert "--help" in door.refusal()


def test_unknown_command_is_refused(door: Door) -> None:
    assert "playback" in door.refusal("playback")


# As a process


def engine(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPO_ROOT, timeout=120, check=False)


def test_process_ends_with_code_2_and_one_line_for_bad_input(tmp_path: Path) -> None:
    done = engine("replay", "--dbn", tmp_path / "nowhere.dbn", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[], ["simulate"], ["replay"], ["campaign"], ["book"], ["check"], ["datasets"], ["bench"]])
def test_help_exits_well(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m engine" in capsys.readouterr().out
