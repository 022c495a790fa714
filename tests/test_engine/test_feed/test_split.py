"""A file of many contracts: each record goes to its contract's part, and the parts give back the file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.errors import ConfigError, SourceError
from engine.feed.dbn_stream import DbnStream
from engine.feed.split import join, split_file
from engine.source.dbn_file import DbnFile
from tests.conftest import REPO_ROOT
from tests.downloads import content
from tests.feed import FIRST, IDS, M6, rows_of
from tests.streams import write_dbn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_dbn(tmp_path / "all-20260205.mbo.dbn.zst", rows_of(FIRST), IDS, FIRST)


def test_parts_are_the_contracts_records_and_give_back_the_file(file: Path, tmp_path: Path) -> None:
    parts = split_file(file, tmp_path / "parts")
    rows = rows_of(FIRST)
    assert {one.symbol: one.n_records for one in parts} == {"MNQH6": 600, "MNQM6": 300, "MNQH6-MNQM6": 30}
    for one in parts:
        assert one.path.name == f"{one.symbol.lower()}-all-20260205.mbo.dbn.zst"
        assert content(one.path) == rows[rows["instrument_id"] == IDS[one.symbol]].tobytes()
        assert DbnStream(one.path).metadata.symbols == [one.symbol]
    order = tmp_path / "parts/all-20260205.mbo.order.zst"
    assert b"".join(join(order, [one.path for one in parts])) == rows.tobytes()
    assert sorted(os.listdir(tmp_path / "parts")) == sorted([*(one.path.name for one in parts), order.name])


def test_a_part_is_a_file_of_its_contract_for_the_engine(file: Path, tmp_path: Path) -> None:
    part = {one.symbol: one.path for one in split_file(file, tmp_path / "parts")}["MNQM6"]
    records = np.concatenate(list(DbnFile(part, "MNQM6").records(1000)))
    assert records.tobytes() == rows_of(FIRST)[rows_of(FIRST)["instrument_id"] == M6].tobytes()


def test_more_than_a_read_is_cut_alike(tmp_path: Path) -> None:
    """Pieces of a part and of the file end at other places: several reads of each."""
    rows = np.tile(rows_of(FIRST), 90)
    parts = split_file(write_dbn(tmp_path / "long.dbn", rows, IDS, FIRST), tmp_path / "parts")
    assert [one.n_records for one in parts] == [600 * 90, 300 * 90, 30 * 90]
    assert b"".join(join(tmp_path / "parts/long.order.zst", [one.path for one in parts])) == rows.tobytes()


def test_what_is_there_is_not_written_over(file: Path, tmp_path: Path) -> None:
    split_file(file, tmp_path / "parts")
    with pytest.raises(ConfigError, match="lies there already"):
        split_file(file, tmp_path / "parts")


def test_records_of_nobody_and_a_broken_file_leave_nothing(file: Path, tmp_path: Path) -> None:
    stranger = write_dbn(tmp_path / "stranger.dbn.zst", rows_of(FIRST), {"MNQH6": IDS["MNQH6"]}, FIRST)
    with pytest.raises(SourceError, match="gives? to no contract"):
        split_file(stranger, tmp_path / "parts")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(SourceError, match="breaks off"):
        split_file(file, tmp_path / "parts")
    assert os.listdir(tmp_path / "parts") == []


def test_command(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["split", str(file), "--out", str(tmp_path / "parts"), "--json"]) == 0
    assert [one["symbol"] for one in json.loads(capsys.readouterr().out)] == ["MNQH6", "MNQM6", "MNQH6-MNQM6"]
    assert main(["split", str(tmp_path / "none.dbn")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Four times the file needs as much: all of it in memory would be 125 MB more."""
    script = (
        "import sys; from pathlib import Path; from engine.feed.split import split_file; "
        "split_file(Path(sys.argv[1]), Path(sys.argv[2])); print(Path('/proc/self/status').read_text())"
    )
    peaks = []
    for n in (800, 3200):
        rows = np.tile(rows_of(FIRST), n)
        rows["order_id"] = np.random.default_rng(7).integers(0, 2**63, len(rows))  # as little alike as a market's
        path = write_dbn(tmp_path / f"{n}.dbn", rows, IDS, FIRST)
        out = subprocess.run(
            [sys.executable, "-c", script, str(path), str(tmp_path / f"parts{n}")],
            cwd=REPO_ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(out.stdout.partition("VmHWM:")[2].split()[0]))  # getrusage would tell of this process too
    assert peaks[1] <= 1.1 * peaks[0]
