"""`record` as a command, from the genuine client before a gateway to the files, through a kill and to a good end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.constants import F_SNAPSHOT
from engine.feed.record.follower import open_follower
from engine.feed.record.place import recording_files, recording_holes
from engine.lake import Lake
from tests.conftest import REPO_ROOT
from tests.feed import KEY, Running, running
from tests.recordings import feed_rows, lake_of, recorded, take_n
from tests.streams import DAY, OPEN, SYMBOL, write_dbn

ROWS = feed_rows(3_000, OPEN)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Running]:
    with running([write_dbn(tmp_path / "day.dbn", ROWS)], tmp_path / "work", speed=1.0, heartbeat_s=0.2) as one:
        yield one


def start(lake: Lake, gateway: Running, *more: str) -> subprocess.Popen[str]:
    """The command in a process of its own, key in the environment, up to its first line."""
    where = f"{gateway.ready.live_host}:{gateway.ready.live_port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "record", SYMBOL, "--lake", str(lake.root), "--gateway", where, "--ring-mb", "1",
         "--heartbeat-s", "5", "--json", *more],
        cwd=REPO_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"DATABENTO_API_KEY": KEY},
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"recording {SYMBOL} into ")
    return process


def market(rows: np.ndarray) -> np.ndarray:
    """What came behind the vendor's snapshot, which must go on without a gap in the day's rows."""
    n = int((rows["flags"] & F_SNAPSHOT != 0).sum())
    assert n >= 13
    assert (rows["flags"][n:] & F_SNAPSHOT == 0).all()
    first = int(rows["sequence"][n]) - 1
    assert rows[n:].tobytes() == ROWS[first : first + len(rows) - n].tobytes()
    return rows[n:]


def test_killed_and_started_again_it_has_every_record_once_and_ends_well(gateway: Running, tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    gateway.fault("quiet@live.records:after=1000")  # the first process gets no more than so many
    follower = open_follower(lake, SYMBOL, DAY)
    first = start(lake, gateway)
    got = [take_n(follower, 900)]
    assert KEY not in Path(f"/proc/{first.pid}/cmdline").read_text()
    first.kill()
    _, first_err = first.communicate(timeout=30)
    n = len(recorded(lake))
    assert market(recorded(lake))["sequence"][-1] < len(ROWS) - 500
    second = start(lake, gateway)
    while not len(got[-1]) or got[-1]["sequence"][-1] < len(ROWS):
        got.append(follower.read(10.0).records)
    second.send_signal(signal.SIGTERM)
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    told = json.loads(out)
    assert told["n_records"] == len(recorded(lake)) - n
    batch = follower.read(10.0)
    while not batch.is_over:
        assert (len(batch.records), batch.hole) == (0, None)
        batch = follower.read(10.0)
    assert np.concatenate(got).tobytes() == recorded(lake).tobytes()
    assert market(recorded(lake))["sequence"][-1] == len(ROWS)
    assert recording_holes(lake, SYMBOL, DAY) == []
    assert KEY not in first_err + out + err
    assert not any(KEY.encode() in path.read_bytes() for path in lake.root.rglob("*") if path.is_file())


def test_it_ends_at_the_time_given(gateway: Running, tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    process = start(lake, gateway, "--until", "2026-02-06T14:00:00.3")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["known_until_ns"] >= OPEN + 300_000_000
    here = recorded(lake)
    assert market(here)["sequence"][-1] >= 1_500  # 0.3 s of 5,000 records a second
    assert json.loads(out)["n_records"] == len(here)


def test_a_key_that_is_not_taken_ends_it_and_the_session_is_not_over(gateway: Running, tmp_path: Path) -> None:
    gateway.fault("auth@live.auth")
    lake = lake_of(tmp_path)
    process = start(lake, gateway)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.splitlines()[-1].endswith("mend it and give the same command")
    assert KEY not in err
    assert recording_files(lake, SYMBOL, DAY) == []
    assert not open_follower(lake, SYMBOL, DAY).read(0.05).is_over


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("MNQH6", "--until", "noon"), "--until was 'noon'; give a UTC moment"),
        (("MNQH6", "--gateway", "localhost"), "--gateway was 'localhost'; give HOST:PORT"),
        (("MNQH6", "--gateway", ":80"), "give HOST:PORT"),
        (("MNQH6", "--gateway", "h:x"), "give HOST:PORT"),
        (("MNQ.FUT",), "one outright contract"),
        (("MNQ",), "the contract of MNQ depends on its rolls"),
        (("MNQH6", "--ring-mb", "0"), "--ring-mb was 0; it must be 1 or more"),
        (("MNQH6", "--sync-ms", "0"), "--sync-ms was 0; it must be 1 or more"),
        (("MNQH6", "--segment-mb", "-1"), "--segment-mb was -1; it must be 1 or more"),
        (("MNQH6",), "no key was given"),
    ],
)
def test_what_it_cannot_do_is_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY", raising=False)
    assert main(["record", *arguments, "--lake", str(tmp_path / "lake")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
