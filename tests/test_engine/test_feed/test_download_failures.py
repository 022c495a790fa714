"""Each failure of the vendor's side: one line where nothing mends it, no trace where a retry does."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.downloads import raw_files, whole
from tests.feed import KEY, Running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("code", "exit_code", "told"),
    [
        (401, 1, "the vendor does not know the key"),
        (402, 1, "the account's credit does not cover it"),
        (403, 1, "the account may not have these data"),
        (404, 1, "the vendor does not have it"),
        (422, 2, "ask for something else"),
    ],
)
@pytest.mark.parametrize("point", ["metadata.get_cost", "batch.submit_job", "batch.list_files", "batch.download"])
def test_what_no_retry_mends_is_one_line(point: str, code: int, exit_code: int, told: str, source: Running, door: Any) -> None:
    source.fault(f"status@{point}:code={code}")
    found, _, err = door("--yes", "--batch", "always")
    assert found == exit_code
    assert err.count("\n") == 1
    assert told in err
    assert f"HTTP {code}" in err
    assert KEY not in err


EITHER = (
    "status@metadata.get_cost:code=429,retry_after=1",
    "status@metadata.get_cost:code=503,times=2",
    "hold@symbology.resolve",
)
STREAMED = (
    "status@timeseries.get_range:code=500",
    "cut@timeseries.get_range:after=3000",
    "stall@timeseries.get_range:after=3000",
    "end@timeseries.get_range:after=3000",
    "garbage@timeseries.get_range:after=3000",
)
IN_BATCH = (
    "status@batch.submit_job:code=502",
    "hold@batch.submit_job",
    "mute@batch.submit_job",
    "work@batch.submit_job:polls=2",
    "status@batch.list_jobs:code=500",
    "hold@batch.list_files",
    "status@batch.download:code=429,retry_after=0",
    "cut@batch.download:after=3000",
    "cut@batch.download:after=3000,times=3",
    "stall@batch.download:after=3000",
    "end@batch.download:after=3000",
    "garbage@batch.download:after=3000",
)


@pytest.mark.parametrize(
    ("way", "fault"), [*(("never", one) for one in EITHER + STREAMED), *(("always", one) for one in IN_BATCH)]
)
def test_what_a_retry_mends_leaves_no_trace(way: str, fault: str, source: Running, door: Any, tmp_path: Path) -> None:
    ordered = source.fault(fault)
    code, _, err = door("--yes", "--batch", way, "--timeout-s", "0.4")
    assert (code, err) == (0, "")
    assert ordered.hit.is_set()
    whole(tmp_path)
    if way == "always":
        assert len(source.historical().batch.list_jobs()) == 1  # what was taken and not answered is found again, not bought again
    quarantined = [path.name for path in (tmp_path / "lake/downloads").glob("quarantine/*/*")]
    is_wrong = ordered.kind == "garbage" or fault.startswith("end@timeseries")
    assert len(quarantined) == is_wrong


def test_a_file_that_stays_wrong_is_tried_thrice(source: Running, door: Any, tmp_path: Path) -> None:
    source.fault("garbage@batch.download:after=3000,times=0")
    code, _, err = door("--yes", "--batch", "always")
    assert code == 1
    assert "came 3 times and each time it is not what the manifest's hash says" in err
    assert raw_files(tmp_path) == []
    assert len(list((tmp_path / "lake/downloads").glob("quarantine/*/*"))) == 3


def test_a_failing_vendor_is_given_up_when_the_budget_is_spent(source: Running, door: Any, tmp_path: Path) -> None:
    source.fault("status@metadata.get_cost:code=500,times=0")
    code, _, err = door("--yes", "--budget-s", "0.6")
    assert code == 1
    assert "more time with --budget-s" in err
    assert err.count("\n") == 1


def test_an_expired_job_is_told_and_ordered_anew_at_the_next_call(source: Running, door: Any, tmp_path: Path) -> None:
    source.fault("work@batch.submit_job:polls=1")
    source.fault("expire@batch.list_jobs:skip=1")
    code, _, err = door("--yes", "--batch", "always")
    assert code == 1
    assert "has expired or is not known; give the same command again" in err
    assert door("--yes", "--batch", "always")[0] == 0
    whole(tmp_path)


def test_what_lies_there_with_other_content_is_not_replaced(door: Any, tmp_path: Path) -> None:
    assert door("--yes")[0] == 0
    path = raw_files(tmp_path)[0]
    ours = zstandard.ZstdCompressor().compress(b"another")
    os.truncate(path, 0)
    path.write_bytes(ours)
    assert door("--yes")[0] == 0  # it is there: nothing is fetched
    assert path.read_bytes() == ours


def test_two_downloads_into_one_lake_wait_for_no_one(source: Running, door: Any, tmp_path: Path) -> None:
    (tmp_path / "lake/downloads").mkdir(parents=True)
    with (tmp_path / "lake/downloads/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = door("--yes")
    assert code == 1
    assert "another download is running" in err


def test_a_damaged_list_is_one_line(door: Any, tmp_path: Path) -> None:
    (tmp_path / "lake/downloads").mkdir(parents=True)
    (tmp_path / "lake/downloads/jobs.json").write_text("{")
    code, _, err = door("--yes")
    assert code == 2
    assert "is no list of downloads" in err
