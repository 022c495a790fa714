"""Signals of one's own from a sweep to a champion, and loaded from there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.champion import read_champion, read_pointer, version_path
from engine.dataset.read import Dataset
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from engine.signals.bundle import read_bundle
from engine.signals.promoted import make_promoted, source_of
from engine.signals.registry import get_signal, signals_of
from tests.conftest import REPO_ROOT
from tests.own_signals import PLAIN, signal_text, write_distribution, write_signal, write_with_helper
from tests.test_tune.small_sweep import DATASET, Capture, swept
from tune.cli import main

# MLflow's own use of SQLAlchemy.
pytestmark = [
    pytest.mark.usefixtures("own_ray"),
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning"),
]
DOUBLED = f"2.0 * ({PLAIN})"


# --- promotion ---


def promoted(lake: Lake, capsys: Capture, *arguments: str) -> str:
    force = [] if "--show" in arguments else ["--force", "--because", "noise, to see how promotion works"]
    assert main(["promote", *arguments, *force, "--lake", str(lake.root)]) == 0
    return capsys.readouterr().out


def test_promotion_stores_the_source_it_ran_with_and_needs_no_file(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture
) -> None:
    path = write_with_helper(tmp_path / "here" / "signals")
    text = path.read_text() + 'ODD = "\\t tab,\ttrailing: \\u00e9"   \n# Zeile mit Umlaut: ä\n'
    path.write_text(text)
    bundle = read_bundle(path)
    report = swept(lake, capsys, str(own_sweep_file()))
    path.unlink()
    promoted(lake, capsys, "--best", "--sweep", report["sweep_id"])
    champion = read_champion(lake)
    assert champion.source is not None
    assert (champion.source.kind, champion.source.hash, champion.source.main) == ("file", bundle.hash, "mine")
    assert champion.source.files == dict(bundle.sources)
    assert champion.source.files["mine.py"] == text
    stored = version_path(lake, 1).read_text()
    assert "def weigh(below, above):\n" in stored  # to be read by whoever is to allow it
    bins = {"v_add": Dataset.open(lake, DATASET).columns(["v_add"])["v_add"]}
    assert np.any(make_promoted(champion).run(bins)["score"])
    shown = json.loads(promoted(lake, capsys, "--show", "--json"))
    assert shown["history"][0]["source"] == {
        "kind": "file",
        "hash": bundle.hash,
        "main": "mine",
        "distribution": "",
        "distribution_version": "",
    }
    assert shown["history"][0]["swept"]["window_bins"] in (5, 20)


def test_a_file_that_changed_since_does_not_promote_another_versions_run(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture
) -> None:
    path = write_signal(tmp_path / "here" / "signals")
    report = swept(lake, capsys, str(own_sweep_file()))
    run_id = report["leaderboard"][0]["run_id"]
    write_signal(path.parent, value=DOUBLED)
    assert main(["promote", run_id, "--signals", str(path), "--lake", str(lake.root)]) == 2
    assert "was scored by another version of mine" in capsys.readouterr().err
    assert read_pointer(lake).version is None
    for state in lake.sweeps.glob("*/sweep.json"):
        state.unlink()
    assert main(["promote", run_id, "--lake", str(lake.root)]) == 2
    assert "'mine' is not known" in capsys.readouterr().err
    write_signal(path.parent)
    promoted(lake, capsys, run_id, "--signals", str(path))
    assert read_champion(lake).run_id == run_id


@pytest.mark.parametrize("what", ["text", "hash", "name", "built-in name"])
def test_a_champion_whose_source_is_not_what_it_says_is_not_loaded(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path], capsys: Capture, what: str
) -> None:
    write_signal(tmp_path / "here" / "signals")
    promoted(lake, capsys, "--best", "--sweep", swept(lake, capsys, str(own_sweep_file()))["sweep_id"])
    champion = read_champion(lake)
    source = champion.source
    assert source is not None
    changes: dict[str, dict[str, Any]] = {
        "text": {"source": source.model_copy(update={"files": {"mine.py": source.files["mine.py"] + "\n"}})},
        "hash": {"source": source.model_copy(update={"hash": "0" * 64})},
        "name": {"signal": "yours"},
        "built-in name": {"signal": "ads"},
    }
    words = {
        "text": "was changed after its promotion",
        "hash": "was changed",
        "name": "holds mine, not yours",
        "built-in name": "built-in",
    }
    with pytest.raises(ChampionError, match=words[what]) as refused:
        make_promoted(champion.model_copy(update=changes[what]))
    assert "\n" not in str(refused.value)


def test_what_is_known_as_a_class_only_cannot_be_promoted(tmp_path: Path) -> None:
    from engine.signals.registry import SIGNALS, add_class

    with signals_of([read_bundle(write_signal(tmp_path))]):
        cls = get_signal("mine")
    add_class(cls)
    try:
        with pytest.raises(ConfigError, match="put it in a file"):
            source_of("mine")
    finally:
        del SIGNALS["mine"]
    assert source_of("ads") is None


# --- installed ones, in processes of their own ---

INSTALLED = """
import sys
from engine.champion import read_champion
from engine.errors import EngineError
from engine.lake import Lake
from engine.signals.promoted import make_promoted
champion = read_champion(Lake.open(sys.argv[1]))
source = champion.source
try:
    print(make_promoted(champion).name, source.distribution, source.distribution_version, *source.files)
except EngineError as error:
    print("refused:", error)
"""


@pytest.mark.slow
def test_an_installed_signal_is_swept_promoted_and_loaded_where_it_is_the_same(
    lake: Lake, tmp_path: Path, own_sweep_file: Callable[..., Path]
) -> None:
    files = {
        "outside_pack/__init__.py": "",
        "outside_pack/flow.py": signal_text("mine", imports="from outside_pack import base\n"),
    }
    files["outside_pack/base.py"] = "X = 1\n"
    site = write_distribution(tmp_path / "site", {"mine": "outside_pack.flow:Mine"}, "outside", "1.5", files)
    environment = {**os.environ, "PYTHONPATH": f"{REPO_ROOT}:{site}"}
    environment.pop("RAY_ADDRESS", None)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    tail = ["--lake", str(lake.root), "--json"]
    config = str(own_sweep_file(signal_files=[]))
    report = json.loads(run("-m", "tune", "sweep", config, "--address", "local", *tail))
    assert (report["n_points"], report["failures"]) == (4, [])
    run("-m", "tune", "promote", "--best", "--sweep", report["sweep_id"], "--force", "--because", "noise", *tail)
    loaded = run("-c", INSTALLED, str(lake.root))
    assert loaded.split() == ["mine", "outside", "1.5", "outside_pack", "outside_pack.base", "outside_pack.flow"]
    (site / "outside_pack" / "base.py").write_text("X = 2\nraise RuntimeError('must not run')\n")
    refused = run("-c", INSTALLED, str(lake.root))
    assert "was promoted with outside 1.5; here is outside 1.5, where outside_pack.base differs" in refused
    environment["PYTHONPATH"] = str(REPO_ROOT)
    assert "needs outside 1.5 installed here: signal 'mine' is not known" in run("-c", INSTALLED, str(lake.root))
