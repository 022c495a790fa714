"""Promotion, rollback and the registry, on a real lake with a real SQLite registry."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.champion import Champion, history, read_champion, read_pointer, version_path, versions, write_champion
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from engine.trades.record import LiveRecord, record_path
from tests.full_disk import room_for
from tests.test_tune.small_sweep import COMMON, evaluated, finished_sweep, points_of, sweep_values
from tune import promote
from tune.cli import main
from tune.errors import RunFailedError
from tune.leaderboard import rank
from tune.registry import ChampionRegistry
from tune.results import ResultStore
from tune.run import state_path

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")

WHY = "noise, to see how promotion works"  # what is promoted here has no edge: tests/test_tune/test_gate.py is about that


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
    report = promote.promote_run(lake, *promote.best_run(lake, sweep_id), WHY)
    champion = read_champion(lake)
    assert report["version"] == champion.version == 1
    assert (champion.run_id, champion.thresholds) == (best["run_id"], (best["threshold"],))
    assert champion.metrics["mean_pnl_ticks"] == best["mean_pnl_ticks"]
    assert champion.parameters["zscore_min_periods"] == 75
    assert champion.sweep == sweep_id
    assert ChampionRegistry(lake).pointed() == 1


def test_a_promotion_promises_what_was_earned_out_of_sample_before_it_serves(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    row = ResultStore(lake).rows([ranking(lake).item(0, "run_id")]).row(0, named=True)
    promote.promote_run(lake, row["run_id"], row["threshold"], "a test")
    promise = read_champion(lake).promise
    assert promise is not None
    # Of eight rows at once: 1 - 0.05 / 8 of Student's t with 23 degrees, two-sided, is 3.00945, where 0.95 of it is 2.06866.
    mean, wider = row["oos_expectancy_ticks"], 3.00945 / 2.06866
    assert ResultStore(lake).rows().n_unique("run_id") == 8
    assert promise.net_ticks == mean
    assert promise.low_ticks == pytest.approx(mean + (row["oos_expectancy_low"] - mean) * wider, rel=1e-3)
    assert promise.high_ticks == pytest.approx(mean + (row["oos_expectancy_high"] - mean) * wider, rel=1e-3)
    assert promise.low_ticks < 0
    assert promise.at_least_ticks == 0.0
    assert (promise.n_trades, promise.trades_per_hour) == (row["oos_n_signals"], row["events_per_scored_hour"])
    assert promise.data_end_ns == max(ResultStore(lake).rows().get_column("end_ns"))
    rules = json.loads(row["rules_json"])
    fee = 2 * rules["fee_per_contract"] / (rules["tick_size"] * rules["contract_multiplier"])
    assert promise.fee_ticks == pytest.approx(fee)
    assert promise.best_ticks == pytest.approx(rules["tp_ticks"] - fee)
    bins = rules["feed_delay_bins"] + rules["order_delay_bins"] + rules["max_hold_bins"]
    assert promise.longest_ns == bins * rules["cell_width_ms"] * 10**6
    plan = promise.plan
    assert (plan["up"], plan["down"], plan["cooldowns"]) == ([row["threshold"]], [-row["threshold"]], [rules["cooldown_bins"]])
    assert (plan["tp"], plan["sl"]) == ([250_000_000 * rules["tp_ticks"]], [250_000_000 * rules["sl_ticks"]])


def test_a_sweep_whose_state_was_deleted_promises_by_the_rows_that_it_scored(swept: tuple[Lake, str]) -> None:
    lake, sweep_id = swept
    other = finished_sweep(lake, eval={**sweep_values()["eval"], "tp_ticks": [6]})
    row = ResultStore(lake).rows().filter(eval_tp_ticks=4.0).sort("run_id", "threshold").row(0, named=True)
    state_path(lake, sweep_id).unlink()
    promote.promote_run(lake, row["run_id"], row["threshold"], "a test")
    promise = read_champion(lake).promise
    assert promise is not None
    assert other != sweep_id
    # Of the eight rows of its own sweep, not of those of the other: the factor is that of eight.
    mean = row["oos_expectancy_ticks"]
    assert promise.low_ticks == pytest.approx(mean + (row["oos_expectancy_low"] - mean) * 3.00945 / 2.06866, rel=1e-3)


def test_show_tells_the_promise_and_its_record(swept: tuple[Lake, str], capsys: pytest.CaptureFixture[str]) -> None:
    lake, _ = swept
    promote.promote_run(lake, ranking(lake).item(0, "run_id"), None, "a test")
    (told,) = promote.show(lake)["history"]
    assert (told["record"]["n_trades"], told["record"]["line"]) == (0, "no live evidence yet")
    LiveRecord(lake, 1).append([{"kind": "open", "session": "s", "bin": 1, "entry_ns": 2**62, "session_start_ns": 2**62}])
    record_path(lake, 1).write_bytes(b"{}" + record_path(lake, 1).read_bytes())
    assert main(["promote", "--show", "--lake", str(lake.root)]) == 0
    said = capsys.readouterr().out
    assert "champion 1: promised net at least +" in said
    assert "is broken at entry 0" in said.replace("\n", " ")


def test_rollback_takes_pointer_and_alias_back(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    first, second = ranking(lake).get_column("run_id").to_list()[:2]
    promote.promote_run(lake, first, None, WHY)
    promote.promote_run(lake, second, None, WHY)
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
    promote.promote_run(lake, ranking(lake).item(0, "run_id"), None, WHY)
    said = promote.promote_none(lake)
    assert said["line"] == (
        "the instrument's own signal is in service (before: champion 1); no champion, and no MLflow alias 'champion'"
    )
    assert (read_pointer(lake).version, ChampionRegistry(lake).pointed()) == (None, None)
    shown = promote.show(lake)
    assert (shown["version"], shown["mlflow"], shown["trail"]) == (None, None, [1])
    assert promote.roll_back_champion(lake)["version"] == 1
    assert ChampionRegistry(lake).pointed() == 1


def test_promotion_onto_a_full_disk_is_one_line_and_nothing_is_there(
    swept: tuple[Lake, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    with room_for(500):  # bytes, fewer than a version takes
        assert main(["promote", run_id, "--force", "--because", WHY, "--lake", str(lake.root)]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(f"python -m tune: no space left on the disk for {version_path(lake, 1)} (EFBIG)")
    assert (versions(lake), read_pointer(lake).version) == ([], None)
    assert [path.name for path in lake.models.iterdir()] == []
    assert promote.promote_run(lake, run_id, None, WHY)["version"] == 1


def test_the_same_promotion_again_makes_no_second_version(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    promote.promote_run(lake, run_id, None, WHY)
    before = read_pointer(lake)
    assert "already in service" in promote.promote_run(lake, run_id, None, WHY)["line"]
    assert read_pointer(lake) == before
    assert versions(lake) == [1]


def test_a_threshold_may_be_chosen_among_the_scored_ones(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    with pytest.raises(ConfigError, match=r"--threshold was 0\.07; .* scored at 0\.03, 0\.05"):
        promote.promote_run(lake, run_id, 0.07, WHY)
    promote.promote_run(lake, run_id, 0.2, WHY)
    assert read_champion(lake).thresholds == (0.2,)


def test_unknown_run_and_sweep_are_refused(swept: tuple[Lake, str]) -> None:
    lake, sweep_id = swept
    with pytest.raises(ConfigError, match="has no such run"):
        promote.promote_run(lake, "0" * 16, None, WHY)
    with pytest.raises(ConfigError, match=f"has: {sweep_id}"):
        promote.best_run(lake, "nope")
    assert history(lake) == []


def test_a_run_whose_dataset_or_code_is_not_the_same_is_refused(swept: tuple[Lake, str], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    monkeypatch.setattr(promote, "code_version", lambda signal: "f" * 16)
    with pytest.raises(ChampionError, match="another version of perm_derivative"):
        promote.promote_run(lake, run_id, None, WHY)
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
        promote.promote_run(lake, row["run_id"], None, WHY)
    assert read_pointer(lake).version is None
    assert versions(lake) == []


def test_without_mlflow_nothing_is_promoted_and_it_can_be_taken_up_again(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    run_id = ranking(lake).item(0, "run_id")
    database = lake.mlflow / "mlflow.db"
    sound = database.read_bytes()
    database.write_bytes(b"this is no database" * 100)
    with pytest.raises(RunFailedError, match=r"was written but not registered .* champion none serves on") as failed:
        promote.promote_run(lake, run_id, None, WHY)
    assert "\n" not in str(failed.value)
    assert read_pointer(lake).version is None
    database.write_bytes(sound)
    assert promote.promote_run(lake, run_id, None, WHY)["version"] == 1
    assert versions(lake) == [1]


def test_damaged_version_file_does_not_stop_a_rollback_target_check(swept: tuple[Lake, str]) -> None:
    lake, _ = swept
    first, second = ranking(lake).get_column("run_id").to_list()[:2]
    promote.promote_run(lake, first, None, WHY)
    promote.promote_run(lake, second, None, WHY)
    path: Path = lake.models / "champion-000001.yaml"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("signal: perm_derivative", "signal: gone"))
    with pytest.raises(ChampionError, match="does not load: signal 'gone' is not known"):
        promote.roll_back_champion(lake)
    assert read_pointer(lake).version == 2


METRICS = {  # of the row that is promoted: each figure its own number, and one that there is not
    name: 1.5 + place / 1000
    for place, name in enumerate(
        [
            "n_effective",
            "tp_rate",
            "tp_rate_low",
            "tp_rate_high",
            "break_even_rate",
            "excess_rate",
            "excess_low",
            "excess_high",
            "sl_rate",
            "timeout_rate",
            "mean_pnl_ticks",
            "expectancy_ticks",
            "expectancy_low",
            "expectancy_high",
            "expectancy_dollars",
            "max_drawdown_ticks",
            "sharpe",
            "events_per_hour",
            "events_per_scored_hour",
        ]
    )
} | {"n_signals": 21, "n_unsound": 22, "n_cut": 23, "n_too_near_close": 24, "n_stop_in_spread": 25, "n_flat_at_close": 26}
METRICS |= {"n_through_gap": 27, "n_flat_at_roll": 28, "profit_factor": float("nan"), "fill_model": "touch to touch"}


@pytest.fixture
def stored(lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, dict[str, Any]]:
    """A lake with one run, whose second threshold has the best lower bound, and the third the best of everything else."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    (result,) = evaluated(lake, [p for p in points_of(lake) if p.rules.tp_ticks == 4][:1])
    for row in result.rows:
        row.update({**METRICS, "expectancy_low": -1.0, "n_signals": 21})
    result.rows[1].update(METRICS)
    result.rows[2].update({name: 99.0 for name, value in METRICS.items() if isinstance(value, float)} | {"n_signals": 999})
    result.rows[2]["expectancy_low"] = 1.0
    ResultStore(lake).append([result], sweep_id="sw", **COMMON)
    return lake, result.meta


def test_a_champion_says_what_it_is_each_thing_at_its_own_place(stored: tuple[Lake, dict[str, Any]]) -> None:
    lake, meta = stored
    promote.promote_run(lake, meta["run_id"], None, WHY)
    champion = read_champion(lake)
    assert champion.thresholds == (0.05,)  # the second of 0.03, 0.05, 0.1 and so on
    assert champion.evaluation == {"tp_ticks": 4.0, "sl_ticks": 2.0, "max_hold_bins": 200, "warmup_bins": 100, "tick_size": 0.25}
    oos = {
        name: value for name, value in meta.items() if name.startswith("oos_") and name not in ("oos_threshold", "oos_n_folds")
    }
    assert champion.metrics == {**METRICS, **oos, "profit_factor": None}
    assert (champion.signal, champion.sweep, champion.run_id) == ("perm_derivative", "sw", meta["run_id"])
    assert champion.cooldown_bins == meta["cooldown_bins"] in (10, 30)
    assert champion.parameters == json.loads(meta["resolved_params_json"])
    assert (champion.dataset_id, champion.dataset_checksum) == ("random_walk", meta["dataset_checksum"])
    assert (champion.config_version, champion.state5_table) == ("0123456789ab", "reference")
    assert (champion.cell_width_ms, champion.grid_radius_ticks, champion.code_version) == (100, 5, meta["code_version"])
    assert champion.source is None


def test_a_run_of_a_dataset_that_was_made_anew_is_refused(stored: tuple[Lake, dict[str, Any]]) -> None:
    lake, meta = stored
    (result,) = evaluated(lake, points_of(lake)[:1])
    result.meta["dataset_checksum"] = "0" * 64
    ResultStore(lake).append([result], sweep_id="sw", **COMMON)
    with pytest.raises(ChampionError, match="dataset random_walk is not the one run"):
        promote.promote_run(lake, result.meta["run_id"], None, WHY)
    assert versions(lake) == []


def test_another_threshold_is_another_version_and_the_first_comes_back_as_it_was(stored: tuple[Lake, dict[str, Any]]) -> None:
    lake, meta = stored
    reports = [promote.promote_run(lake, meta["run_id"], threshold, WHY) for threshold in (0.1, 0.03, 0.1)]
    assert [(report["before"], report["version"]) for report in reports] == [(None, 1), (1, 2), (2, 1)]
    assert versions(lake) == [1, 2]
    assert (read_pointer(lake).version, read_pointer(lake).trail) == (1, (1, 2))
    assert "in service (before: none)" in reports[0]["line"]
    assert "in service (before: 2)" in reports[2]["line"]
    assert ChampionRegistry(lake).pointed() == 1


# --- the registry ---


def test_the_registry_goes_by_the_champions_version_and_not_by_its_own(stored: tuple[Lake, dict[str, Any]]) -> None:
    lake, meta = stored
    promote.promote_run(lake, meta["run_id"], None, WHY)
    one = read_champion(lake)
    registry = ChampionRegistry(lake)

    def registered(version: int) -> str:
        champion: Champion = one.model_copy(update={"version": version})
        if version not in versions(lake):
            write_champion(lake, champion)
        return registry.register(champion, version_path(lake, version))

    assert [registered(version) for version in (7, 3, 7, 1)] == ["2", "3", "2", "1"]
    assert registry.move_alias(7) == "2"
    assert registry.pointed() == 7
    assert registry.move_alias(3) == "3"
    assert registry.pointed() == 3
    with pytest.raises(LookupError, match="champion 2 is not registered"):
        registry.move_alias(2)  # there is a model version 2, of champion 7
    tags = registry._client.get_model_version("spymaster-champion", "2").tags
    told = {"champion_version": "7", "signal_name": one.signal, "dataset_id": one.dataset_id, "local_run_id": one.run_id}
    assert {name: tags[name] for name in told} == told


def test_before_a_promotion_the_registry_points_nowhere(stored: tuple[Lake, dict[str, Any]]) -> None:
    assert ChampionRegistry(stored[0]).pointed() is None
