"""Hold-out sessions: nothing reads them, and each candidate has one counted look."""

import ctypes
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import engine
import tune
from engine import cli as engine_cli
from engine.dataset.publish import publish_dataset
from engine.dataset.read import Dataset, list_datasets
from engine.dataset.sealed import Seal, require_open_day, seals, seals_folder
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from serve import cli as serve_cli
from tests.blocks import PROVENANCE, cut, publish_random, random_block
from tests.test_tune.small_sweep import Capture, evaluated, finished_sweep, points_of, sweep_values
from tune import cli as tune_cli
from tune import sealing
from tune.cli import main
from tune.gate import REFUSED
from tune.ledger import TrialLedger, tried_on
from tune.results import ResultStore

OTHER = "open_day"
HELD = "random_walk"  # the lake's dataset of the other tests is held out here


@pytest.fixture
def swept(lake: Lake) -> tuple[Lake, str]:
    """A lake with a sweep over one session, and another that is held out; the id of a run."""
    provenance = {**PROVENANCE, "source_files": [{"path": "b.dbn", "size": 1, "sha256": "1" * 64}], "dt": "2026-02-09"}
    publish_dataset(lake, OTHER, cut(random_block(2500, 5, 8), 256), provenance)
    finished_sweep(lake, datasets=[OTHER])
    assert sealing.seal(lake, [HELD]) == [f"{HELD}: sealed; nothing was tried on it before"]
    return lake, str(ResultStore(lake).meta().item(0, "run_id"))


@contextmanager
def opened(folder: Path) -> Iterator[list[str]]:
    """Names of the files in a folder that are opened, by whatever process and language."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    assert libc.inotify_add_watch(watch, os.fsencode(folder), 0x20) >= 0, os.strerror(ctypes.get_errno())  # IN_OPEN
    names: list[str] = []
    try:
        yield names
        while True:
            try:
                data = os.read(watch, 1 << 16)
            except BlockingIOError:
                break
            place = 0
            while place < len(data):
                size = struct.unpack_from("iIII", data, place)[3]
                names.append(data[place + 16 : place + 16 + size].rstrip(b"\0").decode())
                place += 16 + size
    finally:
        os.close(watch)


TABLES = {"bins.parquet", "grid_clean.parquet"}
# What each command is given, where it can be given a dataset, and its exit code; {lake}, {run}, {sweep}, {scores} are filled in.
GIVEN: dict[str, tuple[list[str], int]] = {
    "tune sweep": (["{sweep}"], 2),
    "tune list-signals": ([], 0),
    "tune list-datasets": ([], 0),
    "tune compare": ([], 0),
    "tune score": (["--signal", "ads", "--dataset-id", HELD, "--out", "{lake}/s.parquet"], 2),
    "tune trades": (["{held_run}"], 2),
    "tune judge": (["--scores", "{scores}", "--dataset-id", HELD], 2),
    "tune online-sim": (["--signal", "ads", "--dataset-id", HELD], 2),
    "tune promote": (["{run}"], REFUSED),
    "tune report": (["{sweep_id}", "--out", "{lake}/report.html"], 0),
    "tune seal": (["--show"], 0),
    "tune ledger": (["export", "{lake}/ledger.zip"], 0),
    "engine check": ([], 0),
    "engine datasets": ([], 0),
}
READS_NO_DATASET = {  # what they are given is a raw file, a signal or nothing
    "engine simulate",
    "engine replay",
    "engine campaign",  # writes datasets of raw files; what it writes of sealed records is sealed with them
    "engine book",
    "engine split",  # of a raw file
    "engine download",  # brings raw files
    "engine gateway",  # plays raw files
    "engine check-signal",
    "engine check-realism",
    "engine demo",  # tune's and serve's commands
    "engine bench",  # a lake of its own
    "engine record",  # writes raw files
    "engine audit-recording",  # of raw files
    "engine rolls",  # volumes of raw files
    "serve status",
    "serve tail",
    "serve stop",
    "serve model-at",  # the record of which model spoke
}


def test_no_command_reads_a_sealed_session_until_it_is_unsealed(swept: tuple[Lake, str], tmp_path: Path, capsys: Capture) -> None:
    lake, run_id = swept
    doors = {"engine": engine_cli, "tune": tune_cli, "serve": serve_cli}
    every = {f"{door} {name}" for door, module in doors.items() for name in module.COMMANDS}
    assert every == {*GIVEN, *READS_NO_DATASET, "tune unseal"}, "a new command is to be tried here, too"
    filled = {
        "lake": str(lake.root),
        "run": run_id,
        "held_run": run_of_sealed(lake),
        "sweep_id": str(ResultStore(lake).meta().item(0, "sweep_id")),
        "sweep": str(tmp_path / "sweep.yaml"),
        "scores": str(tmp_path / "scores.parquet"),
    }
    Path(filled["sweep"]).write_text(yaml.safe_dump(sweep_values()))
    pl.DataFrame({"bin_seq": np.arange(2500), "score": np.ones(2500)}).write_parquet(filled["scores"])
    for command, (words, code) in GIVEN.items():
        door, name = command.split()
        with opened(lake.datasets / HELD) as names:
            given = [word.format(**filled) for word in words]
            tail = [] if command == "tune list-signals" else ["--lake", str(lake.root)]
            assert doors[door].main([name, *given, *tail]) == code, (command, capsys.readouterr())
        assert not TABLES & set(names), command
        said = capsys.readouterr().err
        if code == 2:
            assert said.count("\n") == 1, said
            assert f"dataset {HELD} is sealed (held out since 20" in said
    with opened(lake.datasets / HELD) as names:
        assert main(["unseal", run_id, "--lake", str(lake.root)]) == 0
    assert set(names) >= TABLES  # the watch sees what is read


def test_a_notebook_neither_opens_nor_judges_nor_sweeps_it(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    before = Dataset(lake.datasets / HELD)  # a folder, as if it had been opened before it was sealed
    scores = np.ones(2500)
    with pytest.raises(DatasetError, match="is sealed"):
        engine.open_dataset(HELD, lake)
    for dataset in (HELD, before):
        with pytest.raises(DatasetError, match="is sealed"):
            tune.judge(scores, dataset, thresholds=0.5, lake=lake)
    with pytest.raises(DatasetError, match="is sealed"):
        tune.run_sweep(sweep_values(), lake=lake)
    assert {one.dataset_id: one.is_sealed for one in list_datasets(lake)} == {HELD: True, OTHER: False}


def test_the_same_records_under_another_name_are_sealed_too(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    publish_random(lake, "copy")  # of the same file and time
    with pytest.raises(DatasetError, match=f"dataset copy holds records of {HELD}, which is sealed"):
        Dataset.open(lake, "copy")


@pytest.mark.parametrize(
    ("changes", "is_covered"),
    [
        ({}, True),
        ({"dataset_id": "b"}, True),  # one minute of it
        ({"dataset_id": "b", "content": {"chunks": ["m4"]}}, True),  # no minute, the same file at the same time
        ({"dataset_id": "b", "content": {"chunks": ["m4"]}, "source_files": [{"sha256": "f9"}]}, False),
        ({"dataset_id": "b", "source_files": [{"sha256": "f9"}]}, True),
        ({"dataset_id": "b", "content": {}, "start_ns": 200}, False),  # begins where the sealed one ends
        ({"dataset_id": "b", "content": {}, "start_ns": 199}, True),
        ({"dataset_id": "b", "content": {}, "start_ns": 0, "end_ns": 100}, False),  # ends where it begins
        ({"dataset_id": "b", "content": {}, "start_ns": 0, "end_ns": 101}, True),
        ({"source_files": [{"sha256": "f9"}], "content": {}}, True),  # its name
    ],
)
def test_what_a_seal_covers(changes: dict[str, Any], is_covered: bool) -> None:
    seal = Seal("a", "2026-02-07", "MNQH6", "2026-02-06", 100, 200, "c", ("m1", "m2"), ("f1",), 0)
    manifest = {
        "dataset_id": "a",
        "source_files": [{"sha256": "f1"}],
        "content": {"chunks": ["m2", "m3"]},
        "start_ns": 100,
        "end_ns": 250,
    }
    assert seal.covers(manifest | changes) is is_covered


def test_a_candidate_has_one_look_and_each_is_counted(swept: tuple[Lake, str], capsys: Capture) -> None:
    lake, run_id = swept
    tail = ["--lake", str(lake.root)]
    n_before = len(TrialLedger(lake).trials())
    assert main(["unseal", run_id, "--threshold", "0.2", *tail]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{HELD}: ")
    assert line.endswith(f"run {run_id}, perm_derivative thr 0.2; look 1 at this session, the only one of this candidate\n")
    (look,) = sealing.looks(lake)
    # The same as judging that one point on that session, had it been open.
    (point,) = [
        p for p in points_of_sealed(lake) if sealing.candidate_of(meta_row(lake, run_id, 0.2)) == candidate_of_point(p, 0.2)
    ]
    expected = {row["threshold"]: row for row in evaluate_sealed(lake, point)}[0.2]
    assert look.figures["n_signals"] == expected["n_signals"]
    assert look.figures["expectancy_ticks"] == expected["expectancy_ticks"]
    assert look.figures["expectancy_low"] == expected["expectancy_low"]

    assert main(["unseal", run_id, "--threshold", "0.2", *tail]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"was looked at on {HELD} on 20" in said
    assert said.endswith("; a candidate has one look")
    assert main(["unseal", run_id, "--threshold", "0.1", *tail]) == 0  # another candidate, another look
    assert "; look 2 at this session" in capsys.readouterr().out
    trials = TrialLedger(lake).trials()
    assert len(trials) == n_before + 2
    assert trials.filter(pl.col("sweep_id") == "unseal").get_column("threshold").to_list() == [0.2, 0.1]
    assert main(["seal", "--show", *tail]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("TESTH6 2026-02-06; nothing was tried on it before; 2 looks so far")
    assert len(shown) == 3
    assert len(ResultStore(lake).meta()) == 8  # no look stands on a leaderboard


def points_of_sealed(lake: Lake) -> list[Any]:
    """The points of the sweep on the sealed session, as they would be if it were open."""
    folder = seals_folder(lake)
    hidden = folder.rename(folder.with_name("aside"))
    try:
        return points_of(lake)
    finally:
        hidden.rename(folder)


def evaluate_sealed(lake: Lake, point: Any) -> list[dict[str, Any]]:
    folder = seals_folder(lake)
    hidden = folder.rename(folder.with_name("aside"))
    try:
        return evaluated(lake, [point])[0].rows
    finally:
        hidden.rename(folder)


def run_of_sealed(lake: Lake) -> str:
    """A run on the sealed session, from before it was sealed."""
    folder = seals_folder(lake)
    hidden = folder.rename(folder.with_name("aside"))
    try:
        finished_sweep(lake)
    finally:
        hidden.rename(folder)
    meta = ResultStore(lake).meta()
    return str(meta.filter(meta.get_column("dataset_id") == HELD).item(0, "run_id"))


def meta_row(lake: Lake, run_id: str, threshold: float) -> dict[str, Any]:
    rows = ResultStore(lake).rows([run_id])
    return rows.filter(rows.get_column("threshold") == threshold).row(0, named=True)


def candidate_of_point(point: Any, threshold: float) -> str:
    row = {
        "signal_name": point.signal,
        "resolved_params_json": json.dumps(point.parameters),
        "rules_json": json.dumps(point.rules.__dict__),
        "threshold": threshold,
    }
    return sealing.candidate_of(row)


def test_a_candidate_is_signal_parameters_rules_and_threshold() -> None:
    row = {"signal_name": "s", "resolved_params_json": '{"a": 1, "b": 2}', "rules_json": '{"tp": 8, "sl": 4}', "threshold": 0.1}
    same = row | {"resolved_params_json": '{"b": 2, "a": 1}', "run_id": "x", "code_version": "y", "dataset_id": "z"}
    assert sealing.candidate_of(same) == sealing.candidate_of(row)
    for change in ({"signal_name": "t"}, {"resolved_params_json": '{"a": 1}'}, {"rules_json": '{"tp": 9}'}, {"threshold": 0.2}):
        assert sealing.candidate_of(row | change) != sealing.candidate_of(row)


def test_what_was_tried_before_the_seal_is_told(lake: Lake, capsys: Capture) -> None:
    tune.judge(np.sin(np.arange(2500)), HELD, thresholds=[0.5, 0.9], tp_ticks=4, sl_ticks=4, lake=lake)
    assert main(["seal", HELD, "--lake", str(lake.root)]) == 0
    assert capsys.readouterr().out == f"{HELD}: sealed; 2 trials were made on it before, so it is not unseen\n"
    assert main(["seal", HELD, "--lake", str(lake.root)]) == 0
    assert capsys.readouterr().out.startswith(f"{HELD}: sealed already, since 20")
    assert [one.n_trials_before for one in seals(lake)] == [2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seal"], "give the ids of datasets to seal, or --show alone"),
        (["seal", HELD, "--show"], "give the ids of datasets to seal, or --show alone"),
        (["seal", "nowhere"], "dataset 'nowhere' is not in"),
        (["unseal", "abc"], "has no such run"),
        (["ledger", "import", "nowhere.zip"], "nowhere.zip is no exported ledger"),
    ],
)
def test_what_cannot_be_is_one_line(lake: Lake, capsys: Capture, words: list[str], said: str) -> None:
    assert main([*words, "--lake", str(lake.root)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_unsealing_where_nothing_is_sealed_or_what_is_not_is_refused(lake: Lake) -> None:
    finished_sweep(lake)
    row = ResultStore(lake).rows().row(0, named=True)
    with pytest.raises(ConfigError, match="no session is sealed"):
        sealing.unseal(lake, row, [])
    sealing.seal(lake, [HELD])
    with pytest.raises(ConfigError, match=f"--dataset was other, which is not sealed; sealed are: {HELD}"):
        sealing.unseal(lake, row, ["other"])
    with pytest.raises(ConfigError, match="scored by another version of perm_derivative"):
        sealing.unseal(lake, row | {"code_version": "old"}, [])
    with pytest.raises(ConfigError, match="scores from outside"):
        sealing.unseal(lake, row | {"signal_name": "series:mine"}, [])
    wider = json.dumps({**json.loads(row["rules_json"]), "cell_width_ms": 200})
    with pytest.raises(ConfigError, match="was judged with cell_width_ms 200, and the sealed random_walk has 100"):
        sealing.unseal(lake, row | {"rules_json": wider}, [])
    assert sealing.looks(lake) == []
    assert tried_on(TrialLedger(lake).trials(), ["0" * 64]).n == 0


def test_a_day_with_a_sealed_session_is_not_played(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    with pytest.raises(ConfigError, match=r"dt was 2026-02-06, a day of TESTH6 with a sealed session .* or start .* --sealed-ok"):
        require_open_day(lake, "TESTH6", "2026-02-06")
    require_open_day(lake, "TESTH6", "2026-02-09")
    require_open_day(lake, "MNQH6", "2026-02-06")


def test_a_seal_that_cannot_be_read_keeps_everything_shut(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    (path,) = seals_folder(lake).iterdir()
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset.open(lake, OTHER)


def test_looks_come_by_time_and_those_of_one_moment_by_candidate(lake: Lake) -> None:
    folder = sealing.looks_folder(lake)
    folder.mkdir(parents=True)
    when = {"f": "10:00", "c": "10:01", "e": "10:01", "a": "10:01", "d": "10:01", "b": "10:01", "g": "09:59"}
    for candidate, time in when.items():
        look = sealing.Look(candidate, "TESTH6 2026-02-06", "r", 0.1, "msd", f"2026-03-01T{time}:00+00:00", {"n_signals": 0.0})
        (folder / f"{candidate}.json").write_text(json.dumps(asdict(look)))
    assert "".join(look.candidate for look in sealing.looks(lake)) == "gfabcde"
