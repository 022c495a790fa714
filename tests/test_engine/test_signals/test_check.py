"""`check_signal` on classes with one fault each: the right check names it, in words, and the others still run."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from engine.cli import main
from engine.errors import ConfigError
from engine.signals import check as check_module
from engine.signals.bundle import load_bundle, read_bundle
from engine.signals.check import SignalReport, check_signal, classes_named
from engine.signals.contract import yield_checks
from engine.signals.owner import Signal
from tests.conftest import REPO_ROOT
from tests.own_signals import signal_text, write_signal
from tests.test_engine.test_signals.faulty_signals import (
    ClassState,
    Drawn,
    DrawnGlobally,
    ForgetsPickled,
    ForgetsState,
    Grows,
    KeepsScale,
    Miscounts,
    ModuleState,
    NeverReady,
    NoMemory,
    NoState,
    NotOdd,
    PassesHoles,
    PeeksInZeros,
    Raises,
    ReadyInHoles,
    Returns,
    Rolled,
    Rounds,
    ShortMemory,
    Sound,
    SoundParams,
    Tape,
    WallClock,
    WallClockSeconds,
    WarmsUpInPlace,
    WholeColumnMean,
    WritesInputs,
    WritesInputsOnItsOwn,
    WrongLength,
    WrongType,
)

EXAMPLE = REPO_ROOT / "engine" / "examples" / "my_signal.py"
FAULTS: list[tuple[type[Sound], str, str]] = [
    (WholeColumnMean, "causality", "changed the past"),
    (Rolled, "causality", "changed the past"),
    (PeeksInZeros, "causality", "a session that ends, from each bin on, changed the past"),
    (KeepsScale, "causality", "in a process that has run nothing before, a wider range from bin 60 on changed the past"),
    (ModuleState, "repeats", "something kept"),
    (ClassState, "shares_nothing", "state in the module or the class"),
    (Drawn, "repeats", "a draw"),
    (DrawnGlobally, "repeats", "a draw"),
    (WallClock, "clock", "the clock on the wall"),
    (WallClockSeconds, "clock", "the clock on the wall"),
    (Grows, "bounded_memory", "the state grows: a signal pickled"),
    (WritesInputs, "inputs_stay", "wrote into its inputs"),
    (WritesInputsOnItsOwn, "inputs_stay", "wrote into its inputs"),
    (ForgetsState, "snapshot", "restored at bin"),
    (ForgetsPickled, "pickling", "the pickled signal goes on differently"),
    (PassesHoles, "holes", "no number"),
    (ReadyInHoles, "holes", "is ready at a bin of which every cell is nan"),
    (NotOdd, "mirror", "does not negate the score"),
    (Returns, "outputs", "_advance returned ndarray; it must write into out"),
    (WrongLength, "outputs", "of shape (239,); it must give"),
    (WrongType, "outputs", "run gave float64"),
    (Rounds, "update_equals_run", "update differs from run"),
    (Miscounts, "numbers_are_finite", "bins are counted wrongly"),
    (NeverReady, "numbers_are_finite", "is never ready in 240 bins"),
    (NoState, "snapshot", "_fresh_state gave list; it must give a NamedTuple of arrays"),
    (WarmsUpInPlace, "warm_up_leaves_the_state", "warming up changed the state"),
    (ShortMemory, "memory", "though memory_bins is 8"),
    (NoMemory, "memory", "memory_bins was 2.5; it must be a whole number"),
    (Raises, "outputs", "faulty_signals.py line"),
]


@pytest.fixture(autouse=True)
def few_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for windows of ten bins."""
    monkeypatch.setattr(check_module, "N_BINS", 240)


def reason(report: SignalReport, check: str) -> str:
    (found,) = [one.reason for one in report.findings if one.check == check]
    return found


def test_a_sound_class_keeps_the_contract_and_every_check_says_what_it_means() -> None:
    report = check_signal(Sound)
    assert report.failed == (), report
    assert report
    assert [one.check for one in report.findings[1:]] == [c.__name__.removeprefix("check_") for c in yield_checks(Sound)]
    assert all(len(one.meaning) > 20 and "\n" not in one.meaning for one in report.findings)


@pytest.mark.parametrize(("cls", "check", "words"), FAULTS, ids=[cls.__name__ for cls, _, _ in FAULTS])
def test_each_fault_is_named_by_the_check_for_it(cls: type[Sound], check: str, words: str) -> None:
    report = check_signal(cls)
    assert check in report.failed, report
    assert words in reason(report, check), report
    assert len(report.findings) == len(list(yield_checks(cls))) + 1  # all ran, whatever failed
    assert all("\n" not in line for line in report.lines())


def test_reading_the_clock_in_one_run_does_not_leave_it_changed() -> None:
    before = (time.time, dt.datetime, dt.date)
    check_signal(WallClock)
    assert (time.time, dt.datetime, dt.date) == before
    assert globals()["time"].time is before[0]


def broken(**changes: Any) -> type[Any]:
    return type("Broken", (Sound,), changes)


class Loose(BaseModel):
    """Neither frozen nor strict, and a key without default."""

    needed: int
    cooldown_bins: int = 1


class Partial(Signal):
    """Lacks what a signal must define."""

    name = "partial"
    required_columns = ("v_add",)
    default_thresholds = (1.0,)
    Params = SoundParams


class Bare:
    """Derives from nothing."""

    name = "bare"
    Params = SoundParams
    default_thresholds = (1.0,)
    required_columns = ("v_add",)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (broken(name=None), ["name is missing"]),
        (broken(name="two words"), ["name was 'two words'; it must be letters, digits and _"]),
        (broken(name="x" * 64), []),
        (broken(name="x" * 65), ["at most 64"]),
        (broken(name="all"), ["means every signal"]),
        (broken(required_columns=("v_ad",)), ["'v_ad', which is not in the schema; did you mean v_add"]),
        (broken(required_columns=("zzzz",)), ["known are: k, pressure_variant"]),
        (broken(required_columns="v_add"), ["required_columns was 'v_add'; it must be a tuple of names"]),
        (broken(required_columns=("v_add", "v_add")), ["each may stand once"]),
        (broken(required_columns=("mid_price",)), ["'mid_price'; put it in required_fields"]),
        (broken(required_columns=()), ["a signal must read something"]),
        (broken(required_fields=("mid_prise",)), ["did you mean mid_price"]),
        (broken(required_fields=("best_ask_move_ticks",)), ["a column of the grid too; put it in required_columns"]),
        (broken(required_fields=("runtime_model_score",)), ["what signals write"]),
        (broken(required_fields=("mid_price", "quality")), []),
        (broken(default_thresholds=()), ["must be finite numbers, ascending"]),
        (broken(default_thresholds=(0.5, 0.1)), ["ascending"]),
        (broken(default_thresholds=(0.1, 0.1)), ["each once"]),
        (broken(default_thresholds=(0.1, float("inf"))), ["finite"]),
        (broken(default_thresholds=(0,)), []),
        (broken(trigger="often"), ["trigger was 'often'; it must be one of: 'edge', 'level'"]),
        (broken(prediction_mode="guess"), ["prediction_mode was 'guess'"]),
        (broken(is_odd="yes"), ["is_odd was 'yes'"]),
        (broken(output_dtype=np.dtype("f8")), ["output_dtype was dtype('float64')"]),
        (broken(output_dtype=np.dtype([("ready", "?"), ("score", "f8")])), ["begins with ready, score; it must begin with"]),
        (broken(Params=None), ["Params is missing"]),
        (broken(Params=dict), ["it must derive from engine.signals.owner.SignalParams"]),
        (broken(Params=Loose), ["must be frozen", "refuse unknown keys", "needed must have a default", "a rule of every sweep"]),
        (broken(test_params={"window_bins": 3}), ["it must be a list of mappings"]),
        (broken(test_params=[{"window": 3}]), ["test_params {'window': 3}: window: Extra inputs"]),
        (broken(test_params=classmethod(lambda cls: [{"window_bins": 5}])), []),
        (broken(__init__=lambda self: None), ["made as Class(params, context)"]),
        (Partial, ["_advance, _fresh_state, memory_bins must be defined"]),
        (Bare, ["update, run, snapshot", "derive from engine.signals.owner.Signal"]),
    ],
)
def test_a_declaration_that_is_not_whole_is_told_in_words(cls: type[Any], words: list[str]) -> None:
    report = check_signal(cls)
    found = " | ".join(one.reason for one in report.findings if one.check == "declaration")
    assert bool(found) == bool(words), report
    assert [word for word in words if word not in found] == []


def test_test_params_of_the_class_are_tried_and_others_instead_of_them() -> None:
    both = type("Both", (Sound,), {"test_params": [{"window_bins": 5}, {"window_bins": 7}]})
    assert {one.parameters.get("window_bins") for one in check_signal(both).findings[1:]} == {5, 7}
    assert {one.parameters.get("window_bins") for one in check_signal(both, {"window_bins": 9}).findings[1:]} == {9}
    (made,) = [one for one in check_signal(both, [{"window": 1}]).findings if not one.passed]
    assert (made.check, "unknown key 'window'" in made.reason) == ("making", True)


def test_what_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="give the class of a signal"):
        check_signal("sound")  # type: ignore[arg-type]


def test_a_signal_that_reads_no_rows_can_be_checked() -> None:
    report = check_signal(Tape)
    assert report.passed, report


# --- the command ---


def test_the_command_passes_the_example_and_says_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-signal", str(EXAMPLE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "touch_flow: keeps the contract"
    assert sum(line.startswith("  ok     ") for line in lines) == len(lines) - 1


def test_the_command_fails_where_the_contract_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_signal(tmp_path, value="v_add[i, spot - 1] + v_add[i, spot + 1]")
    assert main(["check-signal", str(path), "--json"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["signal"], report["passed"]) == ("mine", False)
    assert [one["check"] for one in report["checks"] if not one["passed"]] == ["mirror"]
    assert main(["check-signal", str(path), "--set", "window_bins=5", "--params", '{"window_bins": 9}', "--json"]) == 1
    assert {c["parameters"].get("window_bins") for c in json.loads(capsys.readouterr().out)[0]["checks"][1:]} == {5}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.py"], "gone.py does not exist"),
        (["bad.py"], "bad.py line 1"),
        (["nowhere_at_all:Mine"], "No module named 'nowhere_at_all'"),
        (["engine.signals.owner:Sygnal"], "engine.signals.owner has no Sygnal"),
        (["good.py", "--params", "{"], "which is no JSON"),
        (["good.py", "--params", "[1]"], "it must be an object"),
    ],
)
def test_what_does_not_load_is_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "bad.py").write_text("x = (\n")
    write_signal(tmp_path, "good.py")
    assert main(["check-signal", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_class_is_named_by_module_from_the_folder_one_stands_in(tmp_path: Path) -> None:
    write_signal(tmp_path, "standing_here.py")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.remove(''); from engine.cli import main; sys.exit(main())", "check-signal",
         "standing_here:Mine"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPO_ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("mine: keeps the contract")


def test_a_file_in_a_folder_with_a_colon_is_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "at 9:30"
    folder.mkdir()
    write_signal(folder, "standing.py")
    assert [cls.name for cls in classes_named(str(folder / "standing.py"))] == ["mine"]


def test_every_class_of_a_file_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "two.py"
    path.write_text(signal_text() + '\n\nclass Other(Mine):\n    name = "other"\n')
    assert sorted(load_bundle(read_bundle(path)).signals) == ["mine", "other"]
    assert main(["check-signal", str(path)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith("keeps the contract")] == [
        "mine: keeps the contract",
        "other: keeps the contract",
    ]
