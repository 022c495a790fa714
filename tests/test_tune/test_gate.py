"""The gate before promotion: each check alone refuses, and on its boundary."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from engine.champion import read_champion, read_pointer, versions
from engine.config import DEFAULT_INSTRUMENT, InstrumentConfig, load_instrument
from engine.dataset.read import Dataset
from engine.lake import Lake
from engine.signals.registry import get_signal
from tests.test_tune.made import HOUR, START, frame, made
from tests.test_tune.small_sweep import COMMON, Capture, evaluated, finished_sweep, points_of, sweep_values
from tune import promote
from tune.cli import main
from tune.config import parse_sweep_config
from tune.gate import Figures, GateError, failed_checks, figures_of, instrument_differs, judged_rows
from tune.ledger import TrialLedger
from tune.results import ResultStore
from tune.run import SweepState, _write_state, new_state, read_state
from tune.trial import RunResult, evaluate, load_market

pytestmark = pytest.mark.filterwarnings("ignore:The ..noload.. loader strategy:DeprecationWarning")

GOOD = Figures(
    oos_low=0.5, n_oos=30, n_trades=5, min_trades=5, dsr=0.96, spa_p=0.05, loose="", is_counted=True, differs=()
)  # each on the good side of its boundary, or on it
NAN = float("nan")


def test_what_is_good_enough_in_everything_passes() -> None:
    assert failed_checks(GOOD) == ()
    assert failed_checks(replace(GOOD, oos_low=1e-9)) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"oos_low": 0.0}, "out-of-sample lower bound (+0.00 ticks, must be above 0)"),
        ({"oos_low": -1.5}, "out-of-sample lower bound (-1.50 ticks, must be above 0)"),
        ({"oos_low": NAN}, "out-of-sample lower bound (there is none)"),
        ({"dsr": 0.95}, "deflated Sharpe ratio (0.95, must be above 0.95)"),
        ({"dsr": NAN}, "deflated Sharpe ratio (there is none, must be above 0.95)"),
        ({"spa_p": 0.06}, "max-t test (p 0.06, must be at most 0.05)"),
        ({"spa_p": NAN}, "max-t test (there is none, must be at most 0.05)"),
        ({"loose": "no fee, mid fill"}, "loose rules (no fee, mid fill)"),
        ({"n_oos": 29}, "too few trades (29 out of sample, at least 30)"),
        ({"n_trades": 4}, "too few trades (4, at least 5)"),
        ({"is_counted": False}, "trial ledger (it has not counted this run; import the ledger that has)"),
        ({"differs": ("symbol ESH4, served is MNQH6",)}, "another instrument (symbol ESH4, served is MNQH6)"),
    ],
)
def test_each_check_alone_refuses_and_is_named(changes: dict[str, Any], said: str) -> None:
    assert failed_checks(replace(GOOD, **changes)) == (said,)


def test_all_that_fail_are_named_in_order() -> None:
    bad = replace(GOOD, oos_low=-1.0, dsr=0.1, n_oos=3)
    assert [check.partition(" (")[0] for check in failed_checks(bad)] == [
        "out-of-sample lower bound",
        "deflated Sharpe ratio",
        "too few trades",
    ]


JUDGED = {"deflated_sharpe": 0.99, "loose": "", "is_counted": True}


def test_a_row_lends_the_gate_its_own_figures() -> None:
    row = made("a", 0.1, oos_expectancy_low=0.7, oos_n_signals=44, n_signals=96) | JUDGED
    alone = figures_of(row | {"spa_p": 0.2}, 5, ())
    assert (alone.oos_low, alone.n_oos, alone.n_trades, alone.spa_p) == (0.7, 44, 96, 0.2)
    untested = figures_of(row | {"spa_p": None}, 5, ())
    assert failed_checks(untested) == ("max-t test (there is none, must be at most 0.05)",)


def test_all_sessions_of_a_candidate_count_together_whichever_of_them_is_asked(lake: Lake) -> None:
    """Two sessions, won in one and lost in the other by what the first taught."""
    blocks = {"block_n": [2.0] * 48, "net_square": 97.0, "mean_hold_ms": 100.0, "n_signals": 96, "oos_expectancy_low": 0.7}
    later = {"dataset_id": "e", "start_ns": START + HOUR, "end_ns": START + 2 * HOUR}
    rows = frame(
        made("a", 0.1, **blocks, block_pnl=[2.0, 2.2] * 24), made("b", 0.1, **blocks, **later, block_pnl=[-2.0, -2.2] * 24)
    )
    for run_id in ("a", "b"):
        chosen = rows.filter(pl.col("run_id") == run_id)
        (row,) = judged_rows(chosen, rows, TrialLedger(lake).trials(), 5).iter_rows(named=True)
        assert (row["run_id"], row["n_sessions"], row["n_signals"], row["oos_n_signals"]) == (run_id, 2, 192, 96)
        assert row["oos_expectancy_low"] < 0
    foreign = frame(*rows.head(1).to_dicts(), made("c", 0.1, **blocks, **later, resolved_params_json='{"a": 9}'))
    (row,) = judged_rows(foreign.head(1), foreign, TrialLedger(lake).trials(), 5).iter_rows(named=True)
    assert row["n_sessions"] == 1


def test_an_instrument_differs_in_each_field_that_scores_depend_on(lake: Lake, served: InstrumentConfig) -> None:
    dataset = Dataset.open(lake, "random_walk")
    assert instrument_differs(dataset, served) == ()
    assert instrument_differs(dataset, load_instrument(DEFAULT_INSTRUMENT)) == (
        "symbol TESTH6, served is MNQH6",
        "grid_radius_ticks 5, served is 50",
    )


@pytest.fixture
def served(tmp_path: Path, lake: Lake, migrated: bytes, monkeypatch: pytest.MonkeyPatch) -> InstrumentConfig:
    """The instrument that the test's dataset was made with, as this environment's."""
    lake.mlflow.mkdir(parents=True)
    (lake.mlflow / "mlflow.db").write_bytes(migrated)
    values = yaml.safe_load(DEFAULT_INSTRUMENT.read_text()) | {"symbol": "TESTH6", "grid_radius_ticks": 5}
    path = tmp_path / "instrument.yaml"
    path.write_text(yaml.safe_dump(values))
    monkeypatch.setenv("VP_INSTRUMENT_CONFIG_PATH", str(path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return load_instrument()


def store(lake: Lake, result: RunResult, **changes: Any) -> str:
    """Keep a run with an edge of its own, some figures changed, as the only one of a sweep; the sweep's id."""
    result.meta.update({"oos_expectancy_low": 1.0, "oos_n_signals": 30} | {k: v for k, v in changes.items() if k in result.meta})
    for row in result.rows:
        row.update({"block_pnl": [2.0, 2.2] * 24, "block_n": [2.0] * 48, "n_signals": 96, "sharpe": 20.0})
        row.update({name: value for name, value in changes.items() if name in row})
    state = new_state(parse_sweep_config(sweep_values(), "test"), None)
    _write_state(SweepState(**{**state.__dict__, "run_ids": [result.meta["run_id"]]}), lake)
    TrialLedger(lake).add([result], state.sweep_id, COMMON["timestamp_utc"])
    ResultStore(lake).append([result], sweep_id=state.sweep_id, **COMMON)
    return state.sweep_id


def test_what_passes_is_promoted_and_proven(lake: Lake, served: InstrumentConfig, capsys: Capture) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    sweep_id = store(lake, result)
    assert main(["promote", "--best", "--sweep", sweep_id, "--lake", str(lake.root)]) == 0
    champion = read_champion(lake)
    assert (champion.standing, champion.run_id) == ("proven", result.meta["run_id"])
    assert champion.gate is not None
    assert (champion.gate.failed, champion.gate.because) == ((), "")
    assert "FORCED" not in capsys.readouterr().out
    # Forcing what passes forces nothing.
    assert promote.promote_run(lake, champion.run_id, champion.thresholds[0], "why not")["version"] == 1


def test_what_fails_is_refused_in_one_line_and_forced_with_a_reason_only(
    lake: Lake, served: InstrumentConfig, capsys: Capture
) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    run_id = result.meta["run_id"]
    sweep_id = store(lake, result, oos_expectancy_low=-0.25, oos_n_signals=12)
    tail = ["--lake", str(lake.root)]
    assert main(["promote", run_id, "--threshold", "0.2", *tail]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"python -m tune: run {run_id} at threshold 0.2 is not promoted, the gate refuses it: out-of-sample lower bound "
        "(-0.25 ticks, must be above 0), too few trades (12 out of sample, at least 30). Whoever knows better adds --force "
        '--because "WHY", which is kept and shown'
    )
    assert main(["promote", "--best", "--sweep", sweep_id, *tail]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"python -m tune: none of the 1 ranked runs of sweep {sweep_id} passes the gate, nothing was promoted; its head, run "
        f"{run_id}, fails: out-of-sample lower bound (-0.25 ticks, must be above 0), too few trades (12 out of sample, "
        "at least 30)"
    )
    assert (versions(lake), read_pointer(lake).version) == ([], None)
    for half in (["--force"], ["--because", "x"], ["--force", "--because", " "]):
        assert main(["promote", run_id, *half, *tail]) == 2
        assert '--force and --because "WHY" belong together' in capsys.readouterr().err
    assert main(["promote", run_id, "--threshold", "0.2", "--force", "--because", "on  paper\nfirst", *tail]) == 0
    assert (
        "; FORCED because on paper first; it fails out-of-sample lower bound (-0.25 ticks, must be above 0), too few trades (12"
        in capsys.readouterr().out
    )
    champion = read_champion(lake)
    assert champion.gate is not None
    assert (champion.standing, champion.gate.because) == ("forced", "on paper first")
    assert [check.partition(" (")[0] for check in champion.gate.failed] == ["out-of-sample lower bound", "too few trades"]
    assert main(["promote", "--none", *tail]) == 0
    assert main(["promote", "--rollback", *tail]) == 0  # back to it: what served once may serve again
    assert read_champion(lake).version == 1


def test_best_goes_down_the_board_to_the_first_that_passes(lake: Lake, served: InstrumentConfig) -> None:
    first, second = evaluated(lake, points_of(lake)[:2])
    store(lake, first, oos_expectancy_low=9.0, oos_n_signals=29)  # the best bound, one trade too few
    sweep_id = store(lake, second)
    state = read_state(lake, sweep_id)
    run_ids = [first.meta["run_id"], second.meta["run_id"]]
    _write_state(SweepState(**{**state.__dict__, "run_ids": run_ids}), lake)
    assert promote.best_run(lake, sweep_id)[0] == run_ids[0]
    assert promote.best_passing(lake, sweep_id)[0] == run_ids[1]


def test_what_an_earlier_sweep_had_scored_already_counts_in_the_promise(lake: Lake, served: InstrumentConfig) -> None:
    finished_sweep(lake)
    finished_sweep(lake, eval={**sweep_values()["eval"], "tp_ticks": [2, 4, 6]})  # scores 4 runs, knows 8
    new = ResultStore(lake).rows().filter(eval_tp_ticks=6.0)
    row = new.sort("n_signals", "run_id", "threshold").row(-1, named=True)
    promote.promote_run(lake, row["run_id"], row["threshold"], "a test")
    champion, mean = read_champion(lake), row["oos_expectancy_ticks"]
    assert champion.promise is not None
    assert champion.gate is not None
    assert new.n_unique("run_id") == 4
    # Of twelve rows at once: 1 - 0.05 / 12 of Student's t with 23 degrees, two-sided, is 3.18066, where 0.95 of it is 2.06866.
    assert champion.promise.low_ticks == pytest.approx(mean + (row["oos_expectancy_low"] - mean) * 3.18066 / 2.06866, rel=1e-3)
    assert f"out-of-sample lower bound ({champion.promise.low_ticks:+.2f} ticks" in champion.gate.failed[0]


def test_a_ledger_that_was_deleted_lets_nothing_pass(lake: Lake, served: InstrumentConfig) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    store(lake, result)
    for part in TrialLedger(lake).folder.iterdir():
        part.unlink()
    with pytest.raises(GateError, match=r"gate refuses it: trial ledger \(it has not counted this run; import"):
        promote.promote_run(lake, result.meta["run_id"], 0.2)


def test_a_sweep_without_a_ranked_run_promotes_nothing(lake: Lake, served: InstrumentConfig, capsys: Capture) -> None:
    (result,) = evaluated(lake, points_of(lake)[:1])
    sweep_id = store(lake, result, n_signals=4)
    assert main(["promote", "--best", "--sweep", sweep_id, "--lake", str(lake.root)]) == 3
    assert "has no run with 5 trades or more, so nothing passes the gate" in capsys.readouterr().err


def test_thresholds_from_the_whole_session_are_loose_and_do_not_pass(lake: Lake, served: InstrumentConfig) -> None:
    changes = {
        "signals": ["msd"],
        "sweep": {"per_signal": {"msd": {"threshold_source": ["whole_sample"]}}},
    }
    (point, *_) = points_of(lake, **changes)
    result = evaluate(point, load_market(Dataset.open(lake, "random_walk"), [get_signal("msd")]))
    assert result.meta["lookahead"] == "threshold_source=whole_sample"
    store(lake, result)
    with pytest.raises(GateError, match=r"loose rules \(whole-sample thresholds\)"):
        promote.promote_run(lake, result.meta["run_id"], None)
