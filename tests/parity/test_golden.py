"""The golden sessions: every bin field and column, by the engine and by the slow reference."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from engine.config import load_instrument
from tests.conftest import shared_path
from tests.reference import read_records
from tests.reference_choices import REFERENCE_FIELDS
from tests.sessions import Bins, as_columns, replay_file, run_reference, worst
from tests.streams import DAY

INPUT = "glbx-mdp3-20260206.mbo.dbn.zst"
N_SLOW = 120  # bins by the reference: past every stage, the z-scores start at bin 75
TOLERANCE = 1e-9  # relative to 1 + |x|; the golden folder's README gives the others
BY_ROUNDING = {"runtime_model_dominant_state5_code"}  # its maker broke ties by rounding; ours: the first code wins
SPECTRUM = {"spectrum_score", "spectrum_state_code"}

Columns = Mapping[str, NDArray[Any]]


def golden_bins(name: str) -> Columns:
    table = pq.read_table(shared_path(f"golden/{name}") / "bins.parquet").sort_by("bin_seq")
    return {column: np.asarray(table[column]) for column in table.column_names if column != "runtime_model_name"}


def golden_grid(name: str) -> Columns:
    table = pq.read_table(shared_path(f"golden/{name}") / "grid_clean.parquet")
    table = table.sort_by([("bin_seq", "ascending"), ("k", "ascending")])
    n_bins = len(np.unique(np.asarray(table["bin_seq"])))
    return {column: np.asarray(table[column]).reshape(n_bins, -1) for column in table.column_names if column != "bin_seq"}


def settings(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((shared_path(f"golden/{name}") / "config.json").read_text())
    return loaded


def input_file(name: str) -> Path:
    return shared_path(f"golden/{name}") / INPUT


def engine_bins(name: str) -> Bins:
    given = settings(name)
    return replay_file(
        input_file(name), load_instrument(overrides=REFERENCE_FIELDS), DAY, given["start_time"], n_bins=given["n_bins"]
    )


def strayed(ours: Columns, theirs: Columns, names: set[str]) -> dict[str, float]:
    """Columns outside the tolerance, with their worst difference."""
    found = {name: worst(ours[name], theirs[name]) for name in names}
    return {name: value for name, value in found.items() if not value <= TOLERANCE}


@pytest.fixture(scope="module")
def session_a() -> Bins:
    return engine_bins("session_a")


@pytest.fixture(scope="module")
def session_b() -> Bins:
    return engine_bins("session_b")


def fields_of(bins: Bins) -> Columns:
    return {name: bins.fields[name] for name in bins.fields.dtype.names or ()}


def test_session_a_has_every_bin(session_a: Bins) -> None:
    assert len(session_a.fields) == settings("session_a")["n_bins"]


def test_session_a_bin_fields(session_a: Bins) -> None:
    golden = golden_bins("session_a")
    assert strayed(fields_of(session_a), golden, set(golden) - BY_ROUNDING) == {}


def test_session_a_grid_has_every_golden_column(session_a: Bins) -> None:
    made_since = {"traded_buy", "traded_sell"}
    assert set(golden_grid("session_a")) == set(session_a.grid) - made_since


def test_session_a_grid_columns(session_a: Bins) -> None:
    golden = golden_grid("session_a")
    assert strayed(session_a.grid, golden, set(golden) - SPECTRUM) == {}


def test_session_a_spectrum_score_on_every_cell(session_a: Bins) -> None:
    golden = golden_grid("session_a")["spectrum_score"]
    assert np.max(np.abs(session_a.grid["spectrum_score"] - golden)) <= 1e-3


def test_session_a_spectrum_score_on_nearly_every_cell(session_a: Bins) -> None:
    golden = golden_grid("session_a")["spectrum_score"]
    assert np.mean(np.abs(session_a.grid["spectrum_score"] - golden) <= 1e-6) >= 0.97


def test_session_a_spectrum_state_code(session_a: Bins) -> None:
    golden = golden_grid("session_a")["spectrum_state_code"]
    assert np.mean(session_a.grid["spectrum_state_code"] == golden) >= 0.9999


def test_session_a_dominant_code_leaves_the_golden_one_only_where_the_halves_tie(session_a: Bins) -> None:
    golden = golden_bins("session_a")["runtime_model_dominant_state5_code"]
    differs = session_a.fields["runtime_model_dominant_state5_code"] != golden
    codes = session_a.grid["perm_state5_code"][differs]
    counts = np.stack([np.sum(codes == code, axis=1) for code in (-2, -1, 1, 2)])
    assert np.all(np.sum(counts == counts.max(axis=0), axis=0) == 2)


def test_session_b_has_every_bin(session_b: Bins) -> None:
    assert len(session_b.fields) == settings("session_b")["n_bins"]


def test_session_b_bin_fields(session_b: Bins) -> None:
    golden = golden_bins("session_b")
    assert strayed(fields_of(session_b), golden, set(golden) - BY_ROUNDING) == {}


# The judge is judged too: the reference against the same numbers.


@pytest.fixture(scope="module")
def slow_session_a() -> tuple[Columns, Columns]:
    given = settings("session_a")
    end_ns = int(golden_bins("session_a")["bin_end_ns"][N_SLOW - 1])
    records = [r for r in read_records(input_file("session_a")) if r.ts_event < end_ns]
    bins, _ = run_reference(SimpleNamespace(**given["resolved"]), records, DAY, given["start_time"])
    return as_columns(bins)


def test_reference_bin_fields(slow_session_a: tuple[Columns, Columns]) -> None:
    fields, grid = slow_session_a
    per_row = {name: grid[name][:, 0] for name in grid}  # golden bins repeat the labels of the rows
    golden = {name: column[:N_SLOW] for name, column in golden_bins("session_a").items()}
    assert strayed({**per_row, **fields}, golden, set(golden) - BY_ROUNDING) == {}


def test_reference_grid_columns(slow_session_a: tuple[Columns, Columns]) -> None:
    _, grid = slow_session_a
    golden = {name: column[:N_SLOW] for name, column in golden_grid("session_a").items()}
    assert strayed(grid, golden, set(golden) - SPECTRUM) == {}


def test_reference_spectrum_score(slow_session_a: tuple[Columns, Columns]) -> None:
    _, grid = slow_session_a
    distance = np.abs(grid["spectrum_score"] - golden_grid("session_a")["spectrum_score"][:N_SLOW])
    assert np.max(distance) <= 1e-3
