"""A campaign as a user starts it: by the command, killed midway and run again."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.campaign.build import _require_capture, build_variant
from engine.campaign.plan import expand_variants, load_campaign
from engine.cli import main
from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.run.replay import Replay
from engine.source.records import open_source
from tests.conftest import REPO_ROOT
from tests.processes import marked
from tests.streams import DAY
from tests.test_engine.test_campaign.small_campaign import lake_with, write_campaign

pytestmark = pytest.mark.timeout(280)

AXES = {"tau_velocity": [1.0, 1.5, 2.0, 2.5], "spectrum_tanh_scale": [2.0, 3.0, 4.0]}
CAPTURE_END = "09:00:35"


@dataclass
class Run:
    """A campaign's process; ``mark`` stands in the environment of it and of everything it starts."""

    process: subprocess.Popen[str]
    mark: str

    def stop_midway(self, number: signal.Signals) -> None:
        """Send a signal between the first dataset and the last; looked up while the process stands still, so it is not late."""
        assert self.process.stderr is not None
        pipe, said = self.process.stderr.fileno(), b""
        while b"built 1/" not in said:
            chunk = os.read(pipe, 1 << 16)
            assert chunk, said.decode()
            said += chunk
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
        while select.select([pipe], [], [], 0)[0]:
            said += os.read(pipe, 1 << 16)
        done, total = re.findall(r"^built (\d+)/(\d+):", said.decode(), re.MULTILINE)[-1]
        assert int(done) < int(total), "all was built before the signal could be sent"
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)

    def left(self, word: str = "") -> dict[int, str]:
        """What it left running with ``word`` in its title, after the time that Ray gives its own processes to notice."""
        deadline = time.monotonic() + 30
        while (found := {p: title for p, title in marked(self.mark).items() if word in title}) and time.monotonic() < deadline:
            time.sleep(0.1)  # nothing announces the end of a process that is not our child
        return found


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Start ``python -m engine campaign``."""
    begun: list[Run] = []

    def run(*arguments: object) -> Run:
        mark = f"SPYMASTER_TEST_MARK={uuid.uuid4().hex}"
        name, value = mark.split("=")
        command = [sys.executable, "-m", "engine", "campaign", *map(str, arguments)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO_ROOT, env={**os.environ, name: value}
        )
        begun.append(Run(process, mark))
        return begun[-1]

    yield run
    for one in begun:
        for pid in marked(one.mark):
            os.kill(pid, signal.SIGKILL)
        one.process.communicate()


@pytest.mark.slow
def test_killed_midway_and_run_again_equals_an_undisturbed_run(
    simulated_file: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    capture = {"product_type": "future_mbo", "symbol": "MNQH6", "dt": "2026-02-06"}
    capture |= {"capture_start_et": "09:00:05", "capture_end_et": CAPTURE_END}
    path = write_campaign(tmp_path, base_capture=capture, sweep_axes=AXES)
    lake = lake_with(simulated_file, tmp_path / "lake")
    first = start(path, "--lake", lake.root)
    first.stop_midway(signal.SIGKILL)
    first.process.wait()
    kept = {p.name for p in lake.datasets.iterdir() if not p.name.startswith(".")}
    assert 0 < len(kept) < 12

    again = start(path, "--lake", lake.root, "--json")
    out, errors = again.process.communicate()
    assert again.process.returncode == 0, errors
    report = json.loads(out)
    assert report["n_built"] + report["n_present"] == 12
    assert report["n_present"] >= len(kept)
    assert report["n_built"] > 0
    assert {p.name for p in lake.datasets.iterdir()} == {one["dataset_id"] for one in report["variants"]}

    undisturbed = lake_with(simulated_file, tmp_path / "undisturbed")
    campaign = load_campaign(path)
    for variant in expand_variants(campaign):
        assert build_variant(undisturbed.root, variant, _require_capture(undisturbed, campaign, variant))[0] == ""
        expected = Dataset.open(undisturbed, variant.dataset_id).checksum
        assert Dataset.open(lake, variant.dataset_id).checksum == expected
    assert first.left("build_variant") == {}  # Ray's own agents notice a killed driver within a minute
    assert again.left() == {}


def test_ctrl_c_ends_it_cleanly_and_leaves_no_process(simulated_file: Path, tmp_path: Path, start: Callable[..., Run]) -> None:
    path = write_campaign(tmp_path, sweep_axes=AXES)
    lake = lake_with(simulated_file, tmp_path / "lake")
    run = start(path, "--lake", lake.root)
    run.stop_midway(signal.SIGINT)
    _, errors = run.process.communicate()
    assert run.process.returncode == 130, errors
    assert "Go on with the same command" in errors
    assert "Traceback" not in errors
    assert run.left() == {}


def test_failing_variant_ends_the_command_with_code_1(simulated_file: Path, tmp_path: Path, start: Callable[..., Run]) -> None:
    path = write_campaign(tmp_path)
    lake = lake_with(simulated_file, tmp_path / "lake")
    planned = start(path, "--lake", lake.root, "--dry-run", "--json").process.communicate()[0]
    blocked = json.loads(planned)["variants"][2]["dataset_id"]
    lake.datasets.mkdir(parents=True)
    (lake.datasets / blocked).write_text("in the way")
    failing = start(path, "--lake", lake.root)
    out, errors = failing.process.communicate()
    assert failing.process.returncode == 1
    assert "Traceback" not in errors
    assert blocked in errors
    assert "Ray dashboard: http://127.0.0.1:" in errors
    assert out.count(" ready ") == 3


def test_dry_run_shows_all_and_makes_nothing(simulated_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_campaign(tmp_path)
    lake = lake_with(simulated_file, tmp_path / "lake")
    before = sorted(lake.root.rglob("*"))
    assert main(["campaign", str(path), "--lake", str(lake.root), "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in report["variants"]] == ["missing"] * 4
    assert sorted(lake.root.rglob("*")) == before


def test_dry_run_needs_no_raw_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", str(write_campaign(tmp_path)), "--lake", str(tmp_path / "lake"), "--dry-run"]) == 0
    assert "missing" in capsys.readouterr().out


def test_missing_raw_file_is_one_line_that_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", str(write_campaign(tmp_path)), "--lake", str(tmp_path / "lake")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "--simulate" in printed.err
    assert "20260206" in printed.err


def test_missing_raw_file_is_simulated_where_that_is_wished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated before anything else; the address that nobody answers at keeps this test short."""
    monkeypatch.setattr("engine.commands.campaign.SIMULATED_RATE", 20.0)
    lake = Lake(tmp_path / "lake")
    path = write_campaign(tmp_path, sweep_axes={})
    assert main(["campaign", str(path), "--lake", str(lake.root), "--simulate", "--address", "127.0.0.1:1"]) == 2
    (raw,) = lake.raw_dir("MNQ").iterdir()
    (variant,) = expand_variants(load_campaign(path))
    replay = Replay(open_source([raw], variant.config, DAY), variant.config, variant.start_time, variant.n_bins)
    assert sum(block.n for block in replay) == 100
    assert replay.quality_counts == {}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no such host:6379"])
def test_no_cluster_at_the_address_is_one_line(
    address: str, simulated_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = lake_with(simulated_file, tmp_path / "lake")
    assert main(["campaign", str(write_campaign(tmp_path)), "--lake", str(lake.root), "--address", address]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "where no Ray cluster answers" in told
