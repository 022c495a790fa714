"""Every table of tune at the widths people have: what identifies a row stands whole, nothing is cut, what is missing is named."""

import argparse
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from io import StringIO
from typing import Any, TextIO

import polars as pl
import pytest
from rich.console import Console, RenderableType

from engine import tables
from engine.signals.registry import SIGNALS
from tune.commands import history_table, list_signals
from tune.leaderboard import SHOWN, TELLING, render
from tune.screen import Screen
from tune.tables import Column, Fitted

WIDTHS = (80, 100, 120, 200)
DATASETS = ("smoke_mnqh6_20260206_0905", "mnqh6_20260209_full__3fa81c02", "mnqh6_20260210_full__b77d910e")
PARAMETERS: dict[str, dict[str, Any]] = {
    "perm_derivative": {
        "bear_pressure_weight": 0.5,
        "bull_vacuum_weight": 1.25,
        "center_exclusion_radius": 2,
        "enable_weighted_blend": True,
        "zscore_min_periods": 75,
        "zscore_window_bins": 300,
    },
    "ads_pfp_svac": {"ads_slope_windows_ms": [1000, 2500, 5000], "composite_weight_svac": 0.3, "threshold_source": "calibration"},
    "ads": {},
}


def leaderboard(n_datasets: int = 3, signals: tuple[str, ...] = tuple(PARAMETERS)) -> pl.DataFrame:
    """Nine rows that look like a real sweep's."""
    rows = []
    for i in range(9):
        signal = signals[i % len(signals)]
        mean = 0.41 - 0.17 * i
        rows.append(
            dict.fromkeys(SHOWN, 0.5)
            | {
                "run_id": f"{0xA3F09C1122DE4457 + 977 * i:016x}",
                "dataset_id": DATASETS[i // 3 % n_datasets],
                "signal_name": signal,
                "signal_params_json": json.dumps(PARAMETERS[signal] | ({"tanh_scale": 3.0 + i} if i % 2 else {})),
                "eval_tp_ticks": 8.0 + i,
                "eval_sl_ticks": 4.5,
                "cooldown_bins": 300 + i,
                "threshold": 0.1234 + 0.001 * i,
                "n_signals": 12345,
                "oos_n_signals": 10321,
                "tp_rate": 0.382,
                "break_even_rate": 0.377,
                "events_per_scored_hour": 118.0,
                "deflated_sharpe": 0.93,
            }
            | {f"expectancy_{part}": mean + step for part, step in (("ticks", 0.0), ("low", -12.25), ("high", 1.0))}
            | {f"oos_expectancy_{part}": mean + step for part, step in (("ticks", -0.5), ("low", -13.5), ("high", 0.5))}
        )
    return pl.DataFrame(rows)


def printed(what: RenderableType, width: int) -> str:
    """What a console of some width shows, checked for what no table may do."""
    console = Console(width=width, file=StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    text = capture.get()
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    return text


def stands_whole(value: str, text: str) -> bool:
    """Whether a value stands on one line with nothing but space around it."""
    return any(re.search(rf"(?<!\S){re.escape(value)}(?![^\s,])", line) for line in text.splitlines())


def left_out(text: str, width: int) -> list[str]:
    """The columns that the foot says are missing."""
    foot = re.search(rf"not shown at {width} columns: (.+); --json has all", " ".join(text.split()))
    return foot[1].split(", ") if foot else []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n_datasets", [1, 3])
@pytest.mark.parametrize("signals", [("perm_derivative",), tuple(PARAMETERS)])
def test_leaderboard_keeps_what_identifies_a_row(width: int, n_datasets: int, signals: tuple[str, ...]) -> None:
    frame = leaderboard(n_datasets, signals)
    text = printed(render(frame, "perm_wide_20260206T150000_1f3a: best runs", 20), width)
    for row in frame.iter_rows(named=True):
        values = json.loads(row["signal_params_json"])
        wanted = [row["run_id"], row["signal_name"], row["dataset_id"], f"{row['threshold']:g}", str(row["cooldown_bins"])]
        wanted += [f"{row['eval_tp_ticks']:g}/{row['eval_sl_ticks']:g}"]
        wanted += [f"{name}={value}" for name, value in values.items()] or ["defaults"]
        for value in wanted:
            assert stands_whole(value, text), (value, text)


@pytest.mark.parametrize("width", WIDTHS)
def test_leaderboard_names_exactly_the_columns_that_are_missing(width: int) -> None:
    text = printed(render(leaderboard(), "best runs", 20), width)
    missing = left_out(text, width)
    head = next(line for line in text.splitlines() if line.lstrip().startswith("#"))
    assert set(TELLING) - set(re.split(r"\s{2,}", head)) == set(missing)
    assert bool(missing) == (width < 200)


def test_narrower_consoles_leave_out_the_less_telling_columns() -> None:
    shown = {width: {c.name for c in render(leaderboard(), "best runs", 20).layout(width).across} for width in WIDTHS}
    assert TELLING[0] in shown[80]
    assert {"out of sample [95 %]", "oos n", "net [95 %]"} <= shown[120]
    assert set(TELLING) <= shown[200]


def test_a_parameter_longer_than_the_table_is_folded_at_its_spaces_and_loses_nothing() -> None:
    rows = [f"bid_k={list(range(-24, 0))}", "mad_guard=relative"]
    text = printed(Fitted("t", [Column("run", ["r1"], kept=True), Column("parameters", [rows], kept=True, stacks=True)]), 80)
    assert "".join(rows).replace(" ", "") in "".join(text.split())
    assert stands_whole("mad_guard=relative", text)
    assert not re.search(r"-\s*$", text, re.MULTILINE)  # no number parted from its sign


@pytest.mark.parametrize("width", [1, 7, 16, 40])
def test_no_width_is_too_small_to_print(width: int) -> None:
    text = printed(render(leaderboard(), "best runs", 20), width)
    for run_id in leaderboard().get_column("run_id"):
        assert run_id in "".join(text.split())


def test_a_column_is_left_out_one_character_before_it_fits() -> None:
    table = Fitted("t", [Column("id", ["abcd"], kept=True), Column("more", ["1234567"])], telling=("more",))
    assert [c.name for c in table.layout(4 + 2 + 7).across] == ["id", "more"]
    assert [c.name for c in table.layout(4 + 2 + 6).left_out] == ["more"]
    assert "not shown" not in printed(table, 13)


@pytest.mark.parametrize("width", WIDTHS)
def test_champions_keep_what_identifies_them(width: int) -> None:
    history = [
        {
            "version": i,
            "signal": signal,
            "swept": PARAMETERS[signal],
            "thresholds": [0.125],
            "dataset_id": DATASETS[i],
            "standing": "not_proven",
            "stale": "",
            "run_id": f"{0xB0C1D2E3F4051627 + i:016x}",
            "created_at": f"2026-02-0{i + 1}T15:00:00+00:00",
            "metrics": {"n_signals": 4021, "tp_rate": 0.412, "mean_pnl_ticks": None},
        }
        for i, signal in enumerate(PARAMETERS)
    ]
    text = printed(history_table({"version": 1, "mlflow": 1, "history": history}), width)
    for one in history:
        parameters = [f"{name}={value}" for name, value in one["swept"].items()] or ["defaults"]  # type: ignore[attr-defined]
        for value in (one["run_id"], one["signal"], one["dataset_id"], "0.125", *parameters):
            assert stands_whole(str(value), text), (value, text)
    missing = left_out(text, width)
    for name, value in (("promoted", history[0]["created_at"]), ("PnL", "-"), ("TP rate", "0.412"), ("n", "4021")):
        assert stands_whole(str(value), text) == (name not in missing), name
    assert missing == [] or width < 200


@pytest.mark.parametrize("width", WIDTHS)
def test_list_signals_keeps_names_defaults_and_meanings(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert list_signals(argparse.Namespace(json=False, signals=[])) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    pressed = "".join(text.split())
    for model in SIGNALS.values():
        assert stands_whole(f"{model.name}:", text)
        for name, field in model.Params.model_fields.items():
            assert stands_whole(name, text), name
            if len(str(field.default)) <= width - 4:
                assert stands_whole(str(field.default), text), (name, field.default)
            assert str(field.default).replace(" ", "") in pressed
            assert all(stands_whole(word, text) for word in (field.description or "").split())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """A terminal that does not know its size yet; its file and the descriptor that sets it."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        yield file, ours
    os.close(ours)


def test_a_terminal_is_as_wide_as_it_says(terminal: tuple[TextIO, int]) -> None:
    file, ours = terminal
    code = (
        "import termios; from engine.tables import console\n"
        f"for width in {WIDTHS}:\n"
        "    termios.tcsetwinsize(1, (40, width)); print(console().width)"
    )
    subprocess.run([sys.executable, "-c", code], stdin=file, stdout=file, stderr=file, check=True, timeout=60)
    assert os.read(ours, 1000).decode().split() == [str(width) for width in WIDTHS]


def test_where_nobody_says_how_wide_it_is_it_is_120_wide(terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    file, ours = terminal
    assert tables.UNKNOWN_WIDTH == 120
    assert tables.console(file).width == 120  # a terminal without a size, as of a container
    assert tables.console(StringIO()).width == 120
    monkeypatch.setenv("COLUMNS", "0")
    assert tables.console(StringIO()).width == 120
    monkeypatch.setenv("COLUMNS", "90")
    assert tables.console(StringIO()).width == 90
    monkeypatch.delenv("COLUMNS")
    termios.tcsetwinsize(ours, (40, 90))
    monkeypatch.setenv("TERM", "dumb")
    assert tables.console(file).width == 120
    monkeypatch.setenv("COLUMNS", "90")
    assert tables.console(file).width == 90
    monkeypatch.delenv("COLUMNS")
    with open(os.devnull, "w") as pipe:
        assert tables.console(pipe).width == 120


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_table_keeps_whole_rows_and_counts_the_rest(width: int) -> None:
    console = Console(width=width, height=24, file=StringIO())
    frame = leaderboard()
    with console.capture() as capture:
        console.print(render(frame, "so far", 10, fits_height=True))
    text = capture.get()
    lines = text.splitlines()
    assert "…" not in text
    assert len(lines) <= 23  # a line stands above it
    assert max(map(len, lines)) <= width
    shown = [run_id for run_id in frame.get_column("run_id") if stands_whole(run_id, text)]
    assert shown == frame.get_column("run_id").to_list()[: len(shown)]
    assert len(shown) >= 1
    count = re.search(r"^(\d+) more are not shown$", text, re.MULTILINE)
    assert (int(count[1]) if count else 0) == len(frame) - len(shown)
    last = json.loads(frame.row(len(shown) - 1, named=True)["signal_params_json"])
    assert all(stands_whole(f"{name}={value}", text) for name, value in last.items())


def test_a_dumb_terminal_gets_lines_not_a_table_that_is_redrawn(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, ours = terminal
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", file)
    with Screen() as screen:
        screen.progress(9, 0, 9, leaderboard())
    file.flush()
    said = os.read(ours, 10000).decode()
    assert said.startswith("9/9 points; best so far: a3f09c1122de4457 perm_derivative")
    assert "\x1b" not in said
