"""Promotion, rollback and the registry, on a real lake with a real SQLite registry."""

from pathlib import Path
from typing import Any

import pytest

from engine.champion import history, read_champion, read_pointer, versions
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from tests.test_tune.small_sweep import finished_sweep
from tune import promote
from tune.errors import RunFailedError
from tune.leaderboard import rank
from tune.registry import ChampionRegistry
from tune.results import ResultStore

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty registry; making one takes seconds, copying it does not."""
    lake = Lake(tmp_path_factory.mktemp("registry"))
    ChampionRegistry(lake)
    return (lake.mlflow / "mlflow.db").read_bytes()


@pytest.fixture
def swept(lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, str]:
    """A lake after a sweep, and the sweep's id."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    return lake, finished_sweep(lake)


def ranking(lake: Lake) -> Any:
    return rank(ResultStore(lake).rows(), "oos_expectancy_low", 5)


def test_best_run_of_a_sweep_becomes_the_champion(swept: tuple[Lake, str]) -> None:
    lake, sweep_id = swept
    best = ranking(lake).row(0, named=True)
    report = promote.promote_run(lake, *promote.best_run(lake, sweep_id))
    champion = read_champion(lake)
    assert report["version"] == champion.version == 1
    assert (champion.run_id, champion.thresholds) == (best["run_id"], (best["threshold"],))
    assert champion.metrics["mean_pnl_ticks"] == best["mean_pnl_ticks"]
    assert champion.parameters["zscore_min_periods"] == 75
    assert champion.sweep == sweep_id
    assert ChampionRegistry(lake).pointed() == 1


def test_rollback_takes_pointer_and_alias_back(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    first, second = ranking(lake).get_column("run_id").to_list()[:2]
    promote.promote_run(lake, first, None)
    promote.promote_run(lake, second, None)
    assert ChampionRegistry(lake).pointed() == 2
    report = promote.roll_back_champion(lake)
    assert (report["version"], report["before"]) == (1, 2)
    assert read_champion(lake).run_id == first
    assert ChampionRegistry(lake).pointed() == 1
    with pytest.raises(ChampionError, match="no earlier champion"):
        promote.roll_back_champion(lake)
    shown = promote.show(lake)
    assert (shown["version"], shown["mlflow"], [c["version"] for c in shown["history"]]) == (1, 1, [1, 2])


def test_none_takes_pointer_and_alias_away_and_rollback_brings_them_back(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    said = promote.promote_none(lake)
    assert (said["version"], said["before"], read_pointer(lake).etag) == (None, None, "")
    promote.promote_run(lake, ranking(lake).item(0, "run_id"), None)
    said = promote.promote_none(lake)
    assert said["line"] == (
        "the instrument's own signal is in service (before: champion 1); no champion, and no MLflow alias 'champion'"
    )
    assert (read_pointer(lake).version, ChampionRegistry(lake).pointed()) == (None, None)
    shown = promote.show(lake)
    assert (shown["version"], shown["mlflow"], shown["trail"]) == (None, None, [1])
    assert promote.roll_back_champion(lake)["version"] == 1
    assert ChampionRegistry(lake).pointed() == 1


def test_the_same_promotion_again_makes_no_second_version(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    promote.promote_run(lake, run_id, None)
    before = read_pointer(lake)
    assert "already in service" in promote.promote_run(lake, run_id, None)["line"]
    assert read_pointer(lake) == before
    assert versions(lake) == [1]


def test_a_threshold_may_be_chosen_among_the_scored_ones(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    with pytest.raises(ConfigError, match=r"--threshold was 0\.07; .* scored at 0\.03, 0\.05"):
        promote.promote_run(lake, run_id, 0.07)
    promote.promote_run(lake, run_id, 0.2)
    assert read_champion(lake).thresholds == (0.2,)


def test_unknown_run_and_sweep_are_refused(swept: tuple[Lake, str]) -> None:
    lake, sweep_id = swept
    with pytest.raises(ConfigError, match="has no such run"):
        promote.promote_run(lake, "0" * 16, None)
    with pytest.raises(ConfigError, match=f"has: {sweep_id}"):
        promote.best_run(lake, "nope")
    assert history(lake) == []


def test_a_run_whose_dataset_or_code_is_not_the_same_is_refused(swept: tuple[Lake, str], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    monkeypatch.setattr(promote, "code_version", lambda signal: "f" * 16)
    with pytest.raises(ChampionError, match="another version of perm_derivative"):
        promote.promote_run(lake, run_id, None)
    assert history(lake) == []


def test_a_champion_that_does_not_load_is_refused(swept: tuple[Lake, str], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, _ = swept
    row = ranking(lake).row(0, named=True)
    monkeypatch.setattr(
        promote,
        "_build",
        lambda lake, row, build=promote._build: build(lake, row).model_copy(
            update={"grid_radius_ticks": 5, "parameters": {"center_exclusion_radius": 5}}
        ),
    )
    with pytest.raises(ChampionError, match="does not load: center_exclusion_radius was 5"):
        promote.promote_run(lake, row["run_id"], None)
    assert read_pointer(lake).version is None
    assert versions(lake) == []


def test_without_mlflow_nothing_is_promoted_and_it_can_be_taken_up_again(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    database = lake.mlflow / "mlflow.db"
    sound = database.read_bytes()
    database.write_bytes(b"this is no database" * 100)
    with pytest.raises(RunFailedError, match=r"was written but not registered .* champion none serves on") as failed:
        promote.promote_run(lake, run_id, None)
    assert "\n" not in str(failed.value)
    assert read_pointer(lake).version is None
    database.write_bytes(sound)
    assert promote.promote_run(lake, run_id, None)["version"] == 1
    assert versions(lake) == [1]


def test_damaged_version_file_does_not_stop_a_rollback_target_check(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    first, second = ranking(lake).get_column("run_id").to_list()[:2]
    promote.promote_run(lake, first, None)
    promote.promote_run(lake, second, None)
    path: Path = lake.models / "champion-000001.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("signal: perm_derivative", "signal: gone"))
    with pytest.raises(ChampionError, match="does not load: signal 'gone' is not known"):
        promote.roll_back_champion(lake)
    assert read_pointer(lake).version == 2
