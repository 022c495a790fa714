"""How much of the kernels the fast tests run: once in a process without the compiler, where every line can be seen.

Warnings are errors there too, so that no integer of numpy overflows where compiled code would wrap in silence.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

DECORATORS = ("kernel", "inline_kernel")
LEAST_SHARE = 0.95
MOST_SECONDS = 900  # for a busy machine; 150 on an idle one
WALKS = (
    "outcomes_at_the_touch",
    "a_trade_is_out_before_a_close_and_before_a_roll",
    "across_a_gap_the_first_known_price_counts",
    "a_signal_in_an_unsound_bin_is_refused_and_one_whose_trade_meets_a_hole_is_not",
    "an_entry_too_near_a_close_is_refused",
    "a_stop_within_the_spread_is_refused",
    "each_kind_has_its_count_and_none_is_counted_twice",
    "at_the_mid_too_a_stop_beyond_a_gap_is_booked_where_the_market_was",
    "one_position_at_a_time_and_rearming",
    "more_trades_than_the_buffers_first_hold",
)
EDGES = ("where_an_edge_holds", "the_answer_key_says_what_was_planted", "each_of_several_days_has_its_key")
HOSTILE = (
    "traded.py::test_nothing_is_lost_in_hostile_streams_and_both_readings_agree",
    "recentre.py::test_hostile_streams_beyond_the_slots_give_the_bins_of_many_slots",
)
SELECTION = [
    *(f"tests/test_engine/test_field/test_{name}.py" for name in ("kernels", "spectrum")),
    *(f"tests/test_engine/test_run/test_{name}.py" for name in ("moves", "recentre", "loop", "traded")),
    "tests/test_engine/test_book/test_order_table.py",
    "tests/test_engine/test_rolling.py",
    "tests/test_engine/test_source/test_records.py",
    *(f"tests/test_engine/test_signals/test_{name}.py" for name in ("labels", "learned", "perm_derivative", "windows")),
    "tests/test_engine/test_signals/test_short_markets.py",
    "tests/test_engine/test_signals/test_baselines.py",
    *(f"tests/test_tune/test_walk.py::test_{name}" for name in WALKS),
    "tests/test_engine/test_simulate/test_session.py::test_compression_changes_no_record",
    "tests/test_engine/test_simulate/test_session.py::test_a_longer_session_begins_like_a_shorter_one",
    *(f"tests/test_engine/test_simulate/test_edge.py::test_{name}" for name in EDGES),
    "tests/test_engine/test_run/test_live.py::test_silence_before_the_end_is_quiet_too",
    "tests/test_engine/test_run/test_live_holes.py::test_two_holes_in_a_row_and_one_at_the_end",
    *(f"tests/test_engine/test_feed/test_{name}.py" for name in ("audit_compare", "resting")),
    "tests/conformance/test_conformance.py::test_engine_gives_every_answer",
    # Minutes each without the compiler, and no line more.
    *(f"--deselect=tests/test_engine/test_run/test_{name}" for name in HOSTILE),
]


def kernel_lines(path: Path) -> dict[str, set[int]]:
    """The lines of each kernel's body, by its name."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and any(isinstance(d, ast.Name) and d.id in DECORATORS for d in node.decorator_list):
            is_documented = ast.get_docstring(node) is not None
            body = node.body[1:] if is_documented else node.body
            if body:
                found[node.name] = set(range(body[0].lineno, (node.end_lineno or 0) + 1))
    return found


@pytest.mark.slow
@pytest.mark.timeout(MOST_SECONDS + 30)
def test_fast_tests_run_nearly_every_line_of_the_kernels(tmp_path: Path) -> None:
    ours = [path for path in sorted((REPO_ROOT / "engine").rglob("*.py")) if "examples" not in path.parts]
    files = [path for path in ours if kernel_lines(path)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "COVERAGE_FILE": str(tmp_path / "coverage")}
    coverage = [sys.executable, "-m", "coverage"]
    run = subprocess.run(
        [*coverage, "run", f"--include={REPO_ROOT}/engine/*", "-m", "pytest", "-q", "-p", "no:cacheprovider", *SELECTION],
        cwd=REPO_ROOT, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    report = tmp_path / "coverage.json"
    subprocess.run([*coverage, "json", "-q", "-o", str(report)], cwd=REPO_ROOT, env=environment, check=True, capture_output=True)
    measured = {(REPO_ROOT / name).resolve(): one for name, one in json.loads(report.read_text())["files"].items()}
    n_seen = n_lines = 0
    unseen: dict[str, list[int]] = {}
    never_run = []
    for path in files:
        seen, missed = (set(measured[path.resolve()][key]) for key in ("executed_lines", "missing_lines"))
        for name, lines in kernel_lines(path).items():
            n_seen += len(lines & seen)
            n_lines += len(lines & (seen | missed))
            if lines & missed:
                unseen[f"{path.name}:{name}"] = sorted(lines & missed)
            if not lines & seen:
                never_run.append(f"{path.name}:{name}")
    print(f"{n_seen} of {n_lines} kernel lines in {len(files)} files ({n_seen / n_lines:.2%}); not run: {unseen}")
    assert n_lines > 500
    assert never_run == []
    assert n_seen >= LEAST_SHARE * n_lines, unseen
