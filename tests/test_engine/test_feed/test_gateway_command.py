"""The gateway as a command: it says where it listens, opens to its key, and ends with Ctrl-C; what it cannot play is one line."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import databento as db
import pytest

from engine.cli import main
from engine.errors import ConfigError
from engine.feed.gateway.faults import HTTP_POINTS, Fault, Faults
from engine.feed.gateway.history import History
from engine.feed.gateway.service import gateway_key
from engine.feed.gateway.tape import open_tape
from tests.conftest import REPO_ROOT, shared_path
from tests.feed import DATASET, FIRST, IDS, rows_of, two_days
from tests.streams import write_dbn

Capture = pytest.CaptureFixture[str]


def test_it_plays_until_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = two_days(tmp_path / "files")
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "gateway", *map(str, files), "--lake", str(tmp_path), "--json"],
        cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    where = json.loads(process.stdout.readline())
    assert stat.S_IMODE(Path(where["key_file"]).stat().st_mode) == 0o600
    key = gateway_key(Path(where["key_file"]))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", where["certificate"])
    assert db.Historical(key, gateway=where["http"]).metadata.list_datasets() == [DATASET]
    commands = Path(f"/proc/{process.pid}/cmdline").read_text()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert key not in commands + json.dumps(where) + out + err
    assert list((tmp_path / "cache/gateway").glob("run-*")) == []  # what it wrote is gone


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "nothing was given to play"),
        (("none.dbn",), "No such file"),
        (("--dt", "today"), "give a UTC day"),
        (("FILE", "--fault", "cut"), "give KIND@POINT"),
        (("FILE", "--fault", "crack@batch.download"), "of unknown kind"),
        (("FILE", "--fault", "stall@live.nowhere"), "at unknown point"),
        (("FILE", "--fault", "stall@timeseries.get"), "nearest: timeseries.get_range"),
        (("FILE", "--fault", "cut@batch.download:after=x"), "must be a whole number"),
        (("FILE", "--speed", "-1"), "speed was -1.0"),
        (("FILE", "--http-port", "70000"), "cannot be listened on"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments: tuple[str, ...], told: str, tmp_path: Path, capsys: Capture) -> None:
    (file,) = two_days(tmp_path)[:1]
    given = [str(file) if one == "FILE" else one for one in arguments]
    assert main(["gateway", *given, "--lake", str(tmp_path / "lake")]) in (1, 2)
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_every_endpoint_has_a_point(tmp_path: Path) -> None:
    tape = open_tape(two_days(tmp_path), tmp_path)
    routes = History(tape, "key", Faults(), tmp_path, 1.0, 1).app().routes
    assert {route.path for route in routes if route.path.count("/") == 2 and route.path != "/gateway/faults"} == {  # type: ignore[attr-defined]
        f"/v0/{point}" for point in HTTP_POINTS
    }


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = gateway_key(path)
    assert len(key) == 32
    assert gateway_key(path) == key
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        gateway_key(path)


def test_real_files_are_played_in_the_order_of_their_days(tmp_path: Path) -> None:
    days = [shared_path(f"data/esh4-glbx-mdp3-2023122{day}.mbo.dbn.zst") for day in (4, 5)]
    tape = open_tape(days, tmp_path)
    assert {one.symbol for one in tape.contracts} == {"ESH4"}
    assert [f"{day}" for day in tape.days] == ["2023-12-24", "2023-12-25"]
    assert (tape.released_ns[1:] >= tape.released_ns[:-1]).all()


def test_files_of_one_day_are_laid_together_by_capture(tmp_path: Path) -> None:
    rows = rows_of(FIRST)
    files = [
        write_dbn(tmp_path / f"{symbol}.dbn", rows[rows["instrument_id"] == number], {symbol: number}, FIRST)
        for symbol, number in IDS.items()
    ]
    assert open_tape(files, tmp_path).records.tobytes() == rows.tobytes()


def test_what_is_mapped_lies_in_no_file_that_could_be_cut(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    days = two_days(tmp_path)
    tape = open_tape(days, work)
    assert list(work.iterdir()) == []
    before = tape.records.tobytes()
    for path in days:
        path.write_bytes(b"")
    assert tape.records.tobytes() == before


def test_a_fault_happens_after_its_skips_and_as_often_as_it_should() -> None:
    faults = Faults()
    faults.add(Fault.read("status@batch.download:skip=1,times=2"))
    assert [len(faults.passing("batch.download")) for _ in range(5)] == [0, 1, 1, 0, 0]
    faults.add(Fault.read("status@batch.download:times=0"))
    assert [len(faults.passing("batch.download")) for _ in range(4)] == [1] * 4
    assert faults.passing("metadata.get_cost") == []
    faults.add(Fault.read("stall@live.records"))
    assert [len(faults.passing("live.records", is_new=False)) for _ in range(2)] == [1, 0]  # once in a session that runs
