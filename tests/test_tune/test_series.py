"""A series from outside in any form is one number a bin, or refused in one line; and the thresholds it is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import tune
from engine.dataset.read import Dataset
from engine.lake import Lake
from tests.face import refusal
from tests.test_tune.scores import N, noise, written
from tests.test_tune.small_sweep import DATASET
from tune.ledger import TrialLedger
from tune.results import ResultStore
from tune.series import aligned_scores, default_thresholds

FORMS: dict[str, Callable[[NDArray[np.float64], Path], Any]] = {
    "list": lambda s, path: s.tolist(),
    "polars series": lambda s, path: pl.Series(s),
    "pandas series": lambda s, path: pd.Series(s),
    "arrow array": lambda s, path: pa.array(s),
    "masked": lambda s, path: np.ma.masked_array(np.nan_to_num(s, nan=7.0), np.isnan(s)),
    "polars": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "lazy": lambda s, path: pl.LazyFrame({"bin_seq": np.arange(N), "score": s}),
    "pandas": lambda s, path: pd.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "pandas by index": lambda s, path: pd.DataFrame({"score": s}, index=pd.Index(np.arange(N), name="bin_seq")),
    "arrow": lambda s, path: pa.table({"bin_seq": np.arange(N, dtype=np.uint32), "score": s}),
    "batch": lambda s, path: pa.RecordBatch.from_pydict({"bin_seq": np.arange(N), "score": s}),
    "shuffled": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).sample(fraction=1.0, shuffle=True, seed=1),
    "without the silent": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).filter(
        pl.col("score").is_not_nan()
    ),
    "null": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}).with_columns(pl.col("score").fill_nan(None)),
    "not ready": lambda s, path: pl.DataFrame(
        {"bin_seq": np.arange(N), "score": np.nan_to_num(s, nan=7.0), "ready": ~np.isnan(s)}
    ),
    "another column": lambda s, path: pl.DataFrame({"bin_seq": np.arange(N), "score": s}),
    "parquet": lambda s, path: written(s, path),
    "parquet's name": lambda s, path: str(written(s, path)),
    "signal outputs": lambda s, path: np.rec.fromarrays([s, ~np.isnan(s)], names="score,ready"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_series_is_the_same_series(form: str, tmp_path: Path) -> None:
    series = noise()
    series[[0, 7, N - 1]] = np.nan
    series[3] = -0.0
    expected = np.where(series == 0, 0.0, series)
    found = aligned_scores(FORMS[form](series, tmp_path), N)
    assert found.tobytes() == expected.tobytes()


def test_whole_numbers_are_numbers() -> None:
    whole = np.arange(N) % 5 - 2
    holed = pl.DataFrame({"bin_seq": np.arange(N), "score": [None, *whole[1:].tolist()]})
    assert np.array_equal(aligned_scores(holed, N), np.where(np.arange(N) == 0, np.nan, whole), equal_nan=True)
    for form in (whole, whole.astype(np.int8), pl.DataFrame({"bin_seq": np.arange(N), "score": whole.astype(np.float32)})):
        assert np.array_equal(aligned_scores(form, N), whole)


def frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"bin_seq": np.arange(N), "score": noise(), **columns})


def infinite(value: float) -> NDArray[np.float64]:
    scores = noise()
    scores[17] = value
    return scores


ONE = {"thresholds": [0.5]}
MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (None, {}, "scores was of type NoneType; give an array"),
    (3, {}, "scores was 3; give an array"),
    ({"score": [1]}, {}, "scores was of type dict; give an array"),
    (["up"] * N, {}, "scores are of type <U2; they must be numbers"),
    (np.ones(N, bool), {}, "scores are of type bool; they must be numbers"),
    (np.ones(N, complex), {}, "scores are of type complex128"),
    (np.array([None] * N), {}, "scores are of type object"),
    ([[1.0], [1.0, 2.0]], {}, "no array of numbers"),
    (pd.Series(noise(), index=np.arange(N)[::-1]), {}, "the index of the scores does not count the bins"),
    (pd.Series(noise(), index=pd.date_range("2026-02-06", periods=N)), {}, "the index of the scores does not count the bins"),
    (noise(n=N - 1), {}, f"scores have shape ({N - 1},); it must be ({N},)"),
    (noise(n=N + 1), {}, f"scores have shape ({N + 1},)"),
    (np.ones((N, 1)), {}, f"scores have shape ({N}, 1)"),
    (np.full(N, np.nan), {}, "no bin has a score"),
    (infinite(np.inf), {}, "the score of bin 17 is inf"),
    (infinite(-np.inf), {}, "the score of bin 17 is -inf"),
    ("gone.parquet", {}, "scores was 'gone.parquet', where there is no file"),
    (Path(__file__), {}, "which is no parquet file"),
    (frame().drop("bin_seq"), {}, "no column 'bin_seq'"),
    (frame().rename({"score": "scores"}), {}, "no column 'score' (nearest: scores"),
    (frame(), {"column": "prediction"}, "no column 'prediction'"),
    (frame(bin_seq=np.arange(N) * 1.0), {}, "bin_seq of the scores is double"),
    (frame(bin_seq=[None, *range(1, N)]), {}, "with 1 nulls"),
    (frame(bin_seq=[0, 0, *range(2, N)]), {}, "bin 0 has 2 rows of scores"),
    (frame(bin_seq=np.arange(N) + 1), {}, f"bin_seq of the scores has {N}; the dataset has bins 0 to {N - 1}"),
    (frame(bin_seq=np.arange(N) - 1), {}, "bin_seq of the scores has -1"),
    (frame(score=["up"] * N), {}, "column 'score' of the scores is "),
    (frame(score=[True] * N), {}, "column 'score' of the scores is bool"),
    (frame(score=infinite(np.inf)), {}, "the score of bin 17 is inf"),
    (frame(ready=[1] * N), {}, "ready of the scores is int64; it must be true or false"),
    (frame(ready=[False] * N), {}, "no bin has a score"),
    (noise(), {"thresholds": "high"}, "thresholds was 'high'"),
    (noise(), {"thresholds": []}, "thresholds"),
    (noise(), {"thresholds": [0.5, float("nan")]}, "thresholds had nan"),
    (noise(), {"thresholds": [float("inf")]}, "thresholds had inf"),
    (noise(), {"thresholds": 0}, "thresholds had 0, at which a score is never silent"),
    (noise(), {"thresholds": [-1.0]}, "thresholds had -1"),
    (noise(), {"thresholds": 0.5, "mode": "probability"}, "more than 0.5 in mode probability"),
    (noise(), {"mode": "sideways"}, "mode was 'sideways'"),
    (noise(), {**ONE, "tp_ticks": [4, 8]}, "judged at one tp_ticks and one sl_ticks"),
    (noise(), {**ONE, "tp_ticks": -1}, "tp_ticks.0 was -1"),
    (noise(), {**ONE, "sl_ticks": "x"}, "sl_ticks was 'x'"),
    (noise(), {**ONE, "cooldown_bins": -1}, "cooldown_bins was -1"),
    (noise(), {**ONE, "colour": 1}, "unknown key 'colour' in the rules of judge; allowed are: tp_ticks"),
    (noise(), {**ONE, "warmup_bins": N}, f"warmup_bins was {N}"),
    (noise(), {**ONE, "tick_size": 0.5}, "tick_size was 0.5"),
    (noise(), {**ONE, "name": "a b"}, "name was 'a b'"),
    (noise(), {**ONE, "name": 3}, "name was 3"),
    (noise(), {**ONE, "lake": 3, "dataset": DATASET}, "lake was 3"),
    (noise(), {**ONE, "dataset": 3}, "dataset was of type int"),
    (noise(), {**ONE, "dataset": "random_wal"}, "(nearest: random_walk)"),
    (noise(), {}, "are taken from the first 3000 bins; dataset random_walk has only 2500 bins"),
    (noise(), {"calibration_bins": N}, f"first {N} bins"),
    (noise(), {"calibration_bins": 99, "warmup_bins": 0}, "only 99 of the first 99 bins have a score"),
    (np.zeros(N), {"calibration_bins": 500}, "never leave 0; pass thresholds"),
    (np.full(N, 0.5), {"calibration_bins": 500, "mode": "probability"}, "never leave 0.5"),
]


@pytest.mark.parametrize("place", range(len(MISTAKES)), ids=[words for *_, words in MISTAKES])
def test_a_mistake_is_one_line_and_no_trial(lake: Lake, place: int) -> None:
    scores, arguments, words = MISTAKES[place]
    given = {"dataset": Dataset.open(lake, DATASET), "lake": lake, **arguments}
    assert words in refusal(lambda: tune.judge(scores, **given))
    assert ResultStore(lake).meta().is_empty()
    assert TrialLedger(lake).trials().is_empty()


@pytest.mark.parametrize(("n", "is_enough"), [(99, False), (100, True)])
def test_so_many_scores_are_enough_for_thresholds(n: int, is_enough: bool) -> None:
    scores = np.full(N, np.nan)
    scores[:n] = 1.0
    if is_enough:
        assert default_thresholds(scores, 200, "signed") == (1.0,)
    else:
        assert "only 99 of the first 200 bins" in refusal(lambda: default_thresholds(scores, 200, "signed"))


def test_thresholds_of_probabilities_lie_above_a_half_at_any_scale() -> None:
    p = np.linspace(0.2, 0.8, 1001)
    expected = 0.5 + np.percentile(np.abs(p - 0.5), (50, 70, 80, 90, 95, 99))
    assert default_thresholds(p, 1001, "probability") == pytest.approx(expected.tolist(), abs=1e-6)
    tiny = default_thresholds(noise() * 1e-12, N, "signed")
    assert len(tiny) == 6
    assert 0 < min(tiny) < 1e-12
