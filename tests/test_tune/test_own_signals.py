"""Signals of one's own through a sweep, a score, an online simulation and a promotion; workers are Ray's own processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.files import write_atomic
from engine.lake import Lake
from engine.signals.bundle import Bundle, read_bundle
from engine.signals.registry import BUILT_IN, add_file, get_signal, signal_names, signals_of
from tests.blocks import publish_random
from tests.conftest import REPO_ROOT
from tests.own_signals import EXAMPLE, PLAIN, signal_text, write_distribution, write_signal, write_with_helper
from tests.test_tune.small_sweep import COMMON, DATASET, OWN_AXES, Capture, sweep_values, swept
from tune.cli import main
from tune.code_version import code_version
from tune.config import ParallelConfig, parse_sweep_config
from tune.ledger import TrialLedger
from tune.results import ResultStore
from tune.run import new_state, plan_sweep, read_state, state_path
from tune.space import plan_signals
from tune.trial import PointFailure, RunResult, evaluate, load_market

# MLflow's own use of SQLAlchemy.
pytestmark = [
    pytest.mark.usefixtures("own_ray"),
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning"),
]
DOUBLED = f"2.0 * ({PLAIN})"


def versions_of(lake: Lake) -> list[str]:
    return ResultStore(lake).meta().get_column("code_version").unique().to_list()


@pytest.mark.slow
def test_one_edited_line_is_a_new_version_with_new_ids_and_nothing_reused(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture
) -> None:
    folder = tmp_path / "here" / "signals"
    config = own_sweep_file()
    write_with_helper(folder, "1.0")
    first = swept(lake, capsys, str(config))
    assert (first["n_points"], first["n_reused"], first["failures"]) == (4, 0, [])
    assert swept(lake, capsys, str(config))["n_reused"] == 4
    write_with_helper(folder, "1.5")
    second = swept(lake, capsys, str(config))
    assert (second["n_points"], second["n_reused"], second["failures"]) == (4, 0, [])
    ids = [set(read_state(lake, one["sweep_id"]).run_ids) for one in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    assert len(versions_of(lake)) == 2
    assert len(ResultStore(lake).meta()) == 8
    assert "mine" not in signal_names()  # nothing is left behind in the process


def test_a_file_may_be_given_on_the_command_line_beside_or_instead_of_the_key(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture
) -> None:
    path = write_signal(tmp_path / "elsewhere")
    report = swept(lake, capsys, str(own_sweep_file(signal_files=[])), "--signals", str(path), "--signals", str(path))
    assert report["n_points"] == 4
    write_signal(tmp_path / "here" / "signals")
    assert swept(lake, capsys, str(own_sweep_file()), "--signals", str(path))["n_reused"] == 4  # the same content: the same one


def test_workers_need_no_file_of_the_drivers_and_no_folder_of_its(lake: Lake, tmp_path: Path) -> None:
    from tune.search import run_points

    path = write_with_helper(tmp_path / "short_lived")
    bundle = read_bundle(path)
    config = parse_sweep_config(sweep_values(signals=["mine"], sweep=OWN_AXES), "test")
    with signals_of([bundle]):
        plan = plan_sweep(config, lake, print)
        points, datasets = plan.points, plan.datasets
        markets = {DATASET: load_market(datasets[DATASET], [get_signal("mine")])}
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    results: list[RunResult] = []
    failures: list[PointFailure] = []

    def take(new: list[RunResult], failed: list[PointFailure]) -> None:
        results.extend(new)
        failures.extend(failed)

    run_points(points, markets, ParallelConfig(max_workers=2), tmp_path / "tune", take, [bundle])
    assert failures == []
    assert {result.meta["run_id"] for result in results} == {point.run_id for point in points}


def test_a_signal_that_a_node_cannot_load_fails_its_points_and_says_why(lake: Lake, tmp_path: Path) -> None:
    from tune.search import run_points

    imports = f"import os\n\nif os.getpid() != {os.getpid()}:\n    import nowhere_on_the_node\n"
    bundle = read_bundle(write_signal(tmp_path, imports=imports))
    config = parse_sweep_config(sweep_values(signals=["mine"], sweep=OWN_AXES), "test")
    with signals_of([bundle]):
        plan = plan_sweep(config, lake, print)
        points, datasets = plan.points, plan.datasets
        markets = {DATASET: load_market(datasets[DATASET], [get_signal("mine")])}
    failures: list[PointFailure] = []
    run_points(
        points, markets, ParallelConfig(max_workers=2), tmp_path / "t", lambda _, failed: failures.extend(failed), [bundle]
    )
    assert {failure.run_id for failure in failures} == {point.run_id for point in points}
    assert all("ModuleNotFoundError: No module named 'nowhere_on_the_node'" in failure.reason for failure in failures)
    assert all("mine.py line" in failure.reason for failure in failures)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"signal_files": ["gone.py"]}, "gone.py does not exist"),
        ({"signal_files": []}, "'mine' is not known; choose one of: ads"),
        ({"signal_files": ["signals/mine.py", "signals/again.py"]}, "'mine' comes twice"),
        ({"signal_files": "signals/mine.py"}, "signal_files was 'signals/mine.py'"),
    ],
)
def test_what_is_wrong_with_the_files_is_refused_before_anything_starts(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture, changes: dict[str, Any], words: str
) -> None:
    write_signal(tmp_path / "here" / "signals")
    write_signal(tmp_path / "here" / "signals", "again.py", value=DOUBLED)
    assert main(["sweep", str(own_sweep_file(**changes)), "--lake", str(lake.root)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not lake.sweeps.exists() or list(lake.sweeps.glob("*/tune")) == []


@pytest.mark.parametrize(
    ("how", "words"), [("changed", "has changed since this sweep began"), ("gone", "cannot be read any more")]
)
def test_a_resumed_sweep_goes_on_with_the_code_it_began_with(
    lake: Lake, tmp_path: Path, capsys: Capture, how: str, words: str
) -> None:
    """As after a kill: the state is written, the third result is there. `test_sweep_process` kills a real one."""
    path = write_with_helper(tmp_path / "own")
    config = parse_sweep_config(sweep_values(signals=["mine"], sweep=OWN_AXES, signal_files=[str(path)]), "test")
    state = new_state(config, None)
    with signals_of(state.signal_bundles):
        plan = plan_sweep(config, lake, print)
        points, datasets = plan.points, plan.datasets
        market = load_market(datasets[DATASET], [get_signal("mine")])
        ResultStore(lake).append([evaluate(points[2], market)], sweep_id="the first time", **COMMON)
    values = {**asdict(state), "run_ids": [point.run_id for point in points]}
    write_atomic(state_path(lake, state.sweep_id), json.dumps(values).encode())
    began = versions_of(lake)
    if how == "changed":
        write_with_helper(tmp_path / "own", "7.0")
    else:
        path.unlink()
    report = swept(lake, capsys, "--resume", state.sweep_id)
    assert words in report["said"]
    assert str(path) in report["said"]
    assert (report["n_points"], report["n_reused"], report["failures"]) == (4, 1, [])
    assert versions_of(lake) == began
    ids = [point.run_id for point in points]
    assert set(TrialLedger(lake).trials().get_column("run_id")) == {ids[0], ids[1], ids[3]}  # computed: those that were missing
    sweep_ids = dict(ResultStore(lake).meta().select("run_id", "sweep_id").iter_rows())
    assert sweep_ids == {**dict.fromkeys(ids, state.sweep_id), ids[2]: "the first time"}
    assert {row["run_id"] for row in report["leaderboard"]} == set(ids)
    assert main(["sweep", "--resume", state.sweep_id, "--signals", str(path), "--lake", str(lake.root)]) == 2


def test_all_means_files_too_and_a_broken_installed_signal_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.signals.registry import forget_entry_points

    monkeypatch.syspath_prepend(write_distribution(tmp_path / "site", {"outside_broken": "outside_gone:Mine"}))
    forget_entry_points()
    said: list[str] = []
    try:
        with signals_of([read_bundle(write_signal(tmp_path))]):
            config = parse_sweep_config(sweep_values(signals=["all"], sweep={}), "test")
            assert {plan.name for plan in plan_signals(config, said.append)} == {*BUILT_IN, "mine"}
            named = parse_sweep_config(sweep_values(signals=["ads", "outside_broken"], sweep={}), "test")
            with pytest.raises(ConfigError, match="outside_broken"):
                plan_signals(named, said.append)
    finally:
        monkeypatch.undo()
        forget_entry_points()
    (line,) = said
    assert "left out of all signals: signal outside_broken" in line


def test_the_listing_shows_files_and_what_is_broken(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    site = write_distribution(tmp_path / "site", {"outside_broken": "outside_gone:Mine", "ads": "outside_mod:Mine"})
    path = write_signal(tmp_path / "own")
    command = [sys.executable, "-m", "tune", "list-signals", "--signals", str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{REPO_ROOT}:{site}"}
    done = subprocess.run([*command, "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == {*BUILT_IN, "mine", "outside_broken"}
    assert rows["mine"]["origin"] == f"file {path}"
    assert [p["name"] for p in rows["mine"]["parameters"]] == ["window_bins"]
    assert "No module named 'outside_gone'" in rows["outside_broken"]["broken"]
    assert "comes twice" in rows["ads"]["broken"]
    assert rows["erd"]["broken"] == ""
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "outside_broken: broken; " in shown.stdout
    assert "mine: reads v_add; thresholds 0.1 0.5 1 2" in shown.stdout


def test_score_and_online_sim_take_a_file(lake: Lake, tmp_path: Path, capsys: Capture) -> None:
    path, out = write_signal(tmp_path), tmp_path / "scores.parquet"
    arguments = ["--signal", "mine", "--dataset-id", DATASET, "--lake", str(lake.root), "--signals", str(path), "--json"]
    assert main(["score", *arguments, "--out", str(out)]) == 0
    summary = json.loads(capsys.readouterr().out)
    add_of = Dataset.open(lake, DATASET).columns(["v_add"])["v_add"]
    flow = add_of[:, 4] - add_of[:, 6]
    expected = np.convolve(flow, np.ones(10), "valid")
    assert np.allclose(pq.read_table(out)["score"].to_numpy()[9:], expected, rtol=1e-12, atol=1e-9)
    with signals_of([read_bundle(path)]):
        assert summary["code_version"] == code_version("mine")
    assert main(["online-sim", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["n_bins"] == 2500


def test_a_node_whose_installed_signal_is_another_one_refuses_its_points(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.signals.registry import forget_entry_points
    from tune.search import _require_same_code

    site = write_distribution(tmp_path / "site", {"mine": "outside_node:Mine"}, files={"outside_node.py": signal_text()})
    monkeypatch.syspath_prepend(site)
    forget_entry_points()
    try:
        config = parse_sweep_config(sweep_values(signals=["mine"], sweep=OWN_AXES), "test")
        points = plan_sweep(config, lake, print).points
        _require_same_code(points)
        (site / "outside_node.py").write_text(signal_text() + "# edited\n")
        with pytest.raises(
            ConfigError, match=r"mine on this node \(entry point outside_node:Mine of outside 1.0\) is not the one"
        ):
            _require_same_code(points)
    finally:
        monkeypatch.undo()
        sys.modules.pop("outside_node", None)
        forget_entry_points()


def test_the_example_sweeps(lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture) -> None:
    path = tmp_path / "my_signal.py"
    path.write_text(EXAMPLE)
    config = own_sweep_file(
        signals=["touch_flow"], signal_files=[str(path)], sweep={"per_signal": {"touch_flow": {"window_bins": [5, 20]}}}
    )
    report = swept(lake, capsys, str(config))
    assert (report["n_points"], report["failures"]) == (4, [])


def test_a_bundle_survives_json() -> None:
    bundle = Bundle("mine", {"mine.py": "x = 1\n"}, "/somewhere/mine.py")
    again = Bundle(**json.loads(json.dumps(bundle.as_dict())))
    assert (again, again.hash, again.path) == (bundle, bundle.hash, bundle.path)


def test_a_notebook_adds_a_file_once(lake: Lake, tmp_path: Path) -> None:
    publish_random(lake, "other", n_bins=300, radius=5, seed=8)
    with signals_of(()):
        add_file(write_signal(tmp_path))
        assert get_signal("mine").name == "mine"
