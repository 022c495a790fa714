"""A sweep's page: what it says of runs made up by hand, whatever became of the sweep and whatever things are called."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.lake import Lake
from tests.test_tune.made import HOUR, START, run_of
from tests.test_tune.made import made as made_up
from tests.test_tune.small_sweep import COMMON, Capture, sweep_values
from tune.cli import main
from tune.config import parse_sweep_config
from tune.report.charts import ticks
from tune.report.parameters import importances, levels, pairs, parameter_table
from tune.results import ResultStore
from tune.run import new_state, state_path

EVIL = "</style><script>alert(1)</script>\"'&"
VOID = {"meta", "link", "br", "path", "line", "rect", "polyline"}


def made(run_id: str, threshold: float, **changes: Any) -> dict[str, Any]:
    """A made-up run with coefficients at one horizon: 0.125 (t 2.5), beyond the baselines none."""
    values = {"horizons_ms": [700], "ic": [0.125], "ic_t": [2.5], "partial": [None], "partial_t": [None]}
    return made_up(run_id, threshold, coefficients_json=json.dumps(values), **changes)


class _Checked(HTMLParser):
    """Every tag closed in order; no script, no handler, nothing fetched; all text together."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "img", "iframe", "object")
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "href") or (value or "").startswith(("#", "data:,"))
        if tag not in VOID or (tag == "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID and tag != "polyline":
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def begun(lake: Lake, run_ids: list[str], failures: list[dict[str, str]] | None = None, **changes: Any) -> str:
    """A sweep on record that asked for some runs; its id."""
    state = replace(new_state(parse_sweep_config(sweep_values(**changes), "it"), None), run_ids=run_ids)
    path = state_path(lake, state.sweep_id)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(state.__dict__))
    (path.parent / "failures.json").write_text(json.dumps(failures or []))
    return state.sweep_id


def told(lake: Lake, sweep: str, capsys: Capture) -> str:
    """The text of a sweep's page, its markup checked."""
    assert main(["report", sweep, "--lake", str(lake.root)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == lake.sweeps / sweep / "report.html"
    page = path.read_text()
    checked = _Checked()
    checked.feed(page)
    assert checked.open == []
    bare = re.search(r".{40}\b(nan|inf|None)\b", checked.text)
    assert bare is None, bare
    return checked.text


@pytest.fixture
def empty(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_page_of_one_point(empty: Lake, capsys: Capture) -> None:
    blocks = [1.0] * 48
    ResultStore(empty).append([run_of([made("only", 0.1, block_n=blocks, block_pnl=blocks)])], sweep_id="s", **COMMON)
    text = told(empty, begun(empty, ["only"]), capsys)
    assert "1 of 1" in text
    assert "IC 0.7 s" in text
    assert "+0.125 (2.5)– (–)" in text
    assert "No parameter took more than one value" in text
    assert "Not to be promoted: the head of the board, run only, fails:" in text


def test_a_page_of_failures_only(empty: Lake, capsys: Capture) -> None:
    why = [{"run_id": f"f{i}", "signal": "ads", "reason": "late" if i else EVIL} for i in range(3)]
    text = told(empty, begun(empty, ["f0", "f1", "f2"], why), capsys)
    assert "Nothing to judge" in text
    assert "0 of 3" in text
    assert re.search(r"late\s*2\s*f1", text)
    assert EVIL in text


def test_names_are_text_and_nothing_else(empty: Lake, capsys: Capture) -> None:
    runs = [
        made(f"r{i}", 0.1, signal_name=EVIL + str(i), dataset_id=EVIL, signal_params_json=json.dumps({EVIL: EVIL + str(i)}))
        for i in range(3)
    ]
    ResultStore(empty).append([run_of([row]) for row in runs], sweep_id="s", **COMMON)
    text = told(empty, begun(empty, ["r0", "r1", "r2"], description=EVIL), capsys)
    assert text.count(EVIL) >= 4


def test_sessions_of_one_candidate_are_one_row_that_unfolds(empty: Lake, capsys: Capture) -> None:
    days = [
        made(f"day{i}", 0.1, dataset_id=f"set{i}", start_ns=START + 24 * i * HOUR, end_ns=START + (24 * i + 1) * HOUR)
        for i in range(3)
    ]
    ResultStore(empty).append([run_of([row]) for row in days], sweep_id="s", **COMMON)
    text = told(empty, begun(empty, ["day0", "day1", "day2"]), capsys)
    assert "all 1 candidates" in text
    assert "(3 sessions)" in text
    assert all(f"set{i}day{i}" in text for i in range(3))


def test_loose_rows_are_marked(empty: Lake, capsys: Capture) -> None:
    rows = [made("good", 0.1), made("ahead", 0.1, lookahead="flat_window: whole_series")]
    ResultStore(empty).append([run_of([row]) for row in rows], sweep_id="s", **COMMON)
    text = told(empty, begun(empty, ["good", "ahead"]), capsys)
    assert text.count("loose: lookahead flat_window: whole_series") == 1


def test_a_sweep_that_nobody_knows(empty: Lake, capsys: Capture) -> None:
    assert main(["report", "gone", "--lake", str(empty.root)]) == 2
    assert "gone" in capsys.readouterr().err


# --- figures by hand ---


def ranked(*parameters: dict[str, Any]) -> pl.DataFrame:
    same = {"signal_name": "s", "eval_tp_ticks": 8.0, "eval_sl_ticks": 4.0, "cooldown_bins": 30}
    return pl.DataFrame([{**same, "signal_params_json": json.dumps(one)} for one in parameters])


def test_importance_by_hand() -> None:
    """a: groups (1, 3) and (5, 7): whole 20, inner mean square 4 / 2 = 2, between 16; (16 - 2) / (20 + 2) = 14 / 22.
    b: groups (1, 5) and (3, 7): between 4, inner 16 / 2 = 8; (4 - 8) < 0."""
    table = parameter_table(ranked(*({"a": a, "b": b, "c": 1} for a in (0, 1) for b in ("x", "y"))))
    assert table.columns == ["a", "b"]
    found = importances(table, np.array([1.0, 3.0, 5.0, 7.0]))
    assert [(one.name, one.n_levels, one.n) for one in found] == [("a", 2, 4), ("b", 2, 4)]
    assert found[0].share == pytest.approx(14 / 22)
    assert found[1].share == 0.0


def test_importance_says_nothing_of_too_few() -> None:
    table = parameter_table(ranked({"a": 0}, {"a": 1}, {"a": 1}))
    (found,) = importances(table, np.array([1.0, 2.0, 3.0]))  # 2 levels want 4 runs
    assert isnan(found.share)
    (found,) = importances(parameter_table(ranked({"a": 0}, {"a": 1}, {"a": 1}, {})), np.array([1.0, 2.0, nan, 4.0]))
    assert found.n == 2


def test_levels_of_many_numbers_are_equal_shares() -> None:
    names, place = levels(pl.Series([float(i) for i in range(12)]))
    assert len(names) == 12
    names, place = levels(pl.Series([float(i) for i in range(13)] + [None]))
    assert names == ["≥ 0", "≥ 2", "≥ 4", "≥ 6", "≥ 8", "≥ 10"]
    assert place.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, -1]


def test_cells_of_a_pair_are_means_of_their_own() -> None:
    table = parameter_table(ranked({"a": 0, "b": 5}, {"a": 1, "b": 5}, {"a": 1, "b": 5}, {"a": 0, "b": 6}))
    ((across, down, wide, high, cells),) = pairs(table, np.array([1.0, 2.0, 4.0, 9.0]), ["a", "b"])
    assert (across, down, wide, high) == ("a", "b", ["0", "1"], ["5", "6"])
    assert np.array_equal(cells, [[1.0, 3.0], [9.0, nan]], equal_nan=True)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 10.0) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert ticks(-1.1, 1.1, 4) == [-1.0, 0.0, 1.0]
    assert ticks(3.0, 3.0) == [3.0]
