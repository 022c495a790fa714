"""A download killed at every step: what the next one finds is gone on with, and every file lies there once, whole and right."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO_ROOT
from tests.downloads import ASK, raw_files, whole
from tests.feed import Running

pytestmark = pytest.mark.slow

# Where the download is when it is killed: what the gateway was asked and does not answer, before or after the work was done.
AT = {
    "before the product is resolved": ("always", "hold@symbology.resolve"),
    "before the cost is known": ("always", "hold@metadata.get_cost"),
    "before the vendor's jobs are looked at": ("always", "hold@batch.list_jobs"),
    "the order under way": ("always", "hold@batch.submit_job"),
    "the order taken, nobody told": ("always", "mute@batch.submit_job"),
    "waiting for the job": ("always", "mute@batch.list_jobs:skip=1"),
    "before the manifest": ("always", "hold@batch.list_files"),
    "before the first byte": ("always", "hold@batch.download"),
    "in the first file": ("always", "stall@batch.download:after=3000"),
    "between two files": ("always", "hold@batch.download:skip=1"),
    "in the second file": ("always", "stall@batch.download:after=3000,skip=1"),
    "before a stream": ("never", "hold@timeseries.get_range"),
    "in a stream": ("never", "stall@timeseries.get_range:after=3000"),
    "a stream whole, its symbology not": ("never", "hold@symbology.resolve:skip=3"),
    "in the second stream": ("never", "stall@timeseries.get_range:after=3000,skip=1"),
}


def killed(source: Running, lake: Path, way: str, text: str) -> None:
    """Run a download as a process until the gateway has come to a fault, and kill it there."""
    fault = source.fault(text)
    arguments = [*ASK, "--gateway", source.ready.https_url, "--lake", str(lake), "--yes", "--batch", way, "--timeout-s", "60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments],
        cwd=REPO_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert fault.hit.wait(60)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, err


@pytest.mark.parametrize("where", AT)
def test_it_goes_on_where_it_was_killed(where: str, source: Running, door: Any, tmp_path: Path) -> None:
    way, text = AT[where]
    killed(source, tmp_path / "lake", way, text)
    for path in raw_files(tmp_path):
        assert path.with_name(path.name.removesuffix(".dbn.zst") + ".symbology.json").exists()
    code, _, err = door("--yes", "--batch", way)
    assert (code, err) == (0, "")
    whole(tmp_path)
    if way == "always":
        assert len(source.historical().batch.list_jobs()) == 1  # paid for once


def test_it_is_killed_again_and_again(source: Running, door: Any, tmp_path: Path) -> None:
    for text in ("mute@batch.submit_job", "stall@batch.download:after=2000", "stall@batch.download:after=2000,skip=1"):
        killed(source, tmp_path / "lake", "always", text)
    assert door("--yes", "--batch", "always")[0] == 0
    whole(tmp_path)
    assert len(source.historical().batch.list_jobs()) == 1


def test_an_order_that_the_vendor_never_got_is_offered_anew(source: Running, door: Any, tmp_path: Path) -> None:
    """What was agreed to once is not bought by a later call that nobody agreed to."""
    killed(source, tmp_path / "lake", "always", "hold@batch.submit_job")
    code, out, _ = door("--yes", "--batch", "always", "--max-usd", "0")
    assert code == 2
    assert "MNQH6 from 2026-02-05 until 2026-02-07: 1,200 records" in out
    assert source.historical().batch.list_jobs() == []


# Steps between which nothing is asked of the vendor, as they leave the lake.


@pytest.mark.parametrize("step", ["fetched", "symbology placed", "written down", "file placed"])
def test_it_goes_on_between_two_local_steps(step: str, door: Any, tmp_path: Path) -> None:
    """The list says that the job is not done; the last file stands where each step of placing it leaves it."""
    assert door("--yes", "--batch", "always")[0] == 0
    jobs = tmp_path / "lake/downloads/jobs.json"
    values = json.loads(jobs.read_text())
    (number,) = values["orders"]
    values["orders"][number]["state"] = "ordered"
    last = raw_files(tmp_path)[-1]
    beside = last.with_name(last.name.removesuffix(".dbn.zst") + ".symbology.json")
    if step in ("fetched", "symbology placed"):
        del values["files"][last.name]
    if step != "file placed":
        staged = tmp_path / "lake/downloads/staging" / number / "glbx-mdp3-20260206.mbo.dbn.zst"
        staged.parent.mkdir(parents=True)
        shutil.move(last, staged)
    if step == "fetched":
        os.unlink(beside)
    jobs.write_text(json.dumps(values))
    assert door("--yes", "--batch", "always")[0] == 0
    whole(tmp_path)
    assert json.loads(jobs.read_text())["orders"][number]["state"] == "done"
