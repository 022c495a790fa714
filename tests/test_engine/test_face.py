"""What `import engine` gives a person at a prompt: names without work, one line for each thing, one line for each mistake."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from pydantic import Field

import engine
from engine.lake import Lake
from engine.signals.base import signal_inputs
from engine.signals.registry import make_signal
from tests.conftest import REPO_ROOT
from tests.face import examples, public, refusal, run_examples, submodules

HEAVY = ("numba", "numpy", "polars", "pyarrow", "pandas", "ray", "pydantic", "matplotlib", "mlflow")


@pytest.fixture
def here(morning: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a user stands: in the folder of the file, its lake the default one."""
    monkeypatch.chdir(morning)
    monkeypatch.setenv("SPYMASTER_LAKE", "lake")
    return morning


@pytest.fixture
def dataset(here: Path) -> engine.Dataset:
    return engine.open_dataset("morning")


@pytest.mark.parametrize("package", ["engine", "tune"])
def test_import_does_no_work(package: str) -> None:
    code = f"import sys, json, {package}; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO_ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("package", ["engine", "tune"])
def test_the_names_are_the_same_wherever_they_stand(package: str) -> None:
    """In the table, in ``__all__``, in ``dir``, and where a type checker looks."""
    module = __import__(package)
    tree = ast.parse(Path(str(module.__file__)).read_text())
    guarded = [node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"]
    seen = {a.asname or a.name: f"{i.module}:{a.name}" for n in guarded for i in n.body for a in i.names}  # type: ignore[attr-defined]
    assert seen == dict(module._NAMES)
    assert sorted(module.__all__) == sorted(module._NAMES)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", ["engine", "tune"])
def test_no_name_can_be_taken_by_a_module(package: str) -> None:
    assert not set(public(package)) & submodules(__import__(package))


@pytest.mark.parametrize("package", ["engine", "tune"])
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nope'"):
        __import__(package).nope  # noqa: B018


@pytest.mark.parametrize("name", [name for name in engine.__all__ if examples(name, getattr(engine, name))])
def test_examples_of_docstrings(here: Path, name: str) -> None:
    run_examples(examples(name, getattr(engine, name)))


def test_every_function_to_call_has_an_example() -> None:
    told = {name for name, value in public("engine").items() if examples(name, value)}
    assert {"open_lake", "list_datasets", "open_dataset", "replay", "publish", "run_signal", "simulate_session"} <= told
    assert {"Dataset", "Lake", "BinFrames", "FileReplay", "WholeReplay"} <= told
    assert {"Signal", "SignalParams", "SignalContext", "kernel", "check_signal"} <= told


def test_a_dataset_says_what_it_is(dataset: engine.Dataset) -> None:
    size = sum(path.stat().st_size for path in dataset.folder.iterdir()) / 1e6
    assert repr(dataset) == f"<Dataset morning: 2026-02-06, 1,200 bins of 100 ms, radius 50, {size:.1f} MB>"


def test_a_lake_is_listed_with_what_cannot_be_used(tmp_path: Path) -> None:
    lake = engine.open_lake(str(tmp_path))
    assert engine.list_datasets(lake).height == 0
    (lake.datasets / "broken").mkdir(parents=True)
    (row,) = engine.list_datasets(tmp_path).iter_rows(named=True)
    assert (row["dataset_id"], row["n_bins"], row["start"], row["verified"]) == ("broken", 0, None, False)
    assert "lacks bins.parquet" in row["problem"]


def test_bins_are_the_same_in_every_frame(dataset: engine.Dataset) -> None:
    arrays = dataset.bins()
    names = list(arrays)
    frame, table, pandas, scanned = dataset.to_polars(), dataset.to_arrow(), dataset.to_pandas(), dataset.scan().collect()
    for found in (frame.columns, table.column_names, list(pandas.columns), scanned.columns):
        assert found == names
    for name, array in arrays.items():
        for column in (frame[name], table[name], pandas[name], scanned[name]):
            assert np.array_equal(np.asarray(column.to_numpy()), array), name
    assert dataset.to_polars(["mid_price", "bin_seq"]).columns == ["mid_price", "bin_seq"]
    assert dataset.to_polars("mid_price").columns == ["mid_price"]


def test_the_scanned_grid_is_the_column(dataset: engine.Dataset) -> None:
    flat = dataset.scan_grid().select("v_add").collect()["v_add"].to_numpy()
    assert np.array_equal(flat.reshape(1200, 101), dataset.grid("v_add"))


def root_of(array: Any) -> Any:
    """The object that an array's memory belongs to in the end."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def test_a_grid_column_is_a_view_of_the_file(dataset: engine.Dataset) -> None:
    column = dataset.grid("v_add")
    assert type(column) is np.ndarray
    assert column.shape == (dataset.n_bins, 2 * dataset.radius + 1)
    assert type(root_of(column)).__name__ == "mmap"
    assert np.shares_memory(column[:, dataset.radius], column)
    assert not column.flags.writeable
    assert column.flags.c_contiguous
    assert column.tobytes() == dataset.columns(["v_add"])["v_add"].tobytes()
    with pytest.raises(ValueError, match="read-only"):
        column[0, 0] = 1.0


@pytest.mark.parametrize("damage", [b"", b"not an array", None])
def test_a_damaged_cache_is_made_anew(dataset: engine.Dataset, damage: bytes | None) -> None:
    expected = dataset.columns(["a_add"])["a_add"]
    dataset.grid("a_add")
    assert dataset.lake is not None
    (kept,) = dataset.lake.cache.glob("columns/*/a_add.npy")
    if damage is None:
        np.save(kept, expected[:-1])  # whole, and of another shape
    else:
        kept.write_bytes(damage)
    assert dataset.grid("a_add").tobytes() == expected.tobytes()
    assert type(root_of(dataset.grid("a_add"))).__name__ == "mmap"


def test_a_dataset_outside_a_lake_has_its_columns_in_memory(dataset: engine.Dataset) -> None:
    alone = engine.Dataset(dataset.folder)
    column = alone.grid("v_add")
    assert type(root_of(column)).__name__ != "mmap"
    assert not column.flags.writeable
    assert column.tobytes() == dataset.grid("v_add").tobytes()


def test_a_replay_gives_the_bins_of_the_dataset(here: Path, dataset: engine.Dataset) -> None:
    file = engine.replay("morning_20260206.dbn.zst", symbol="MNQH6")
    assert repr(file) == "<FileReplay of morning_20260206.dbn.zst: MNQH6 in bins of 100 ms>"
    blocks = list(file)
    assert [block.n for block in blocks] == [256, 256, 256, 256, 175, 1]  # the last bin closes with the file
    assert repr(blocks[0]) == "<BinBlock bins 0 to 255, 2026-02-06 14:00:00 to 14:00:25 UTC, 101 rows each>"
    whole = file.whole()  # a second look
    assert whole.to_arrow().equals(dataset.to_arrow())
    for name in ("k", "v_add", "perm_state5_code"):
        assert whole.grid(name).tobytes() == dataset.grid(name).tobytes()
        assert whole.columns([name])[name].tobytes() == dataset.grid(name).tobytes()
    assert np.array_equal(whole.k_values, dataset.k_values)
    assert not whole.grid("v_add").flags.writeable
    assert repr(whole).startswith("<WholeReplay morning_20260206.dbn.zst: 1,200 bins of 100 ms, radius 50, ")


def test_a_replay_may_be_cut_and_set_otherwise(here: Path) -> None:
    short = engine.replay("morning_20260206.dbn.zst", n_bins=3, start_time="09:01", cell_width_ms=200).whole()
    assert (short.n_bins, short.cell_width_ms) == (3, 200)
    assert int(short.bins(["bin_start_ns"])["bin_start_ns"][0]) % 60_000_000_000 == 0


def test_a_signal_runs_the_same_by_name_class_and_instance(here: Path, dataset: engine.Dataset) -> None:
    made = make_signal("perm_derivative", {"d2_weight": 0.5}, engine.SignalContext(100, 50))
    expected = made.run(signal_inputs(made, dataset.columns(["perm_state5_code"]), {}))
    by_name = engine.run_signal("perm_derivative", dataset, d2_weight=0.5)
    assert by_name["score"].to_numpy().tobytes() == np.ascontiguousarray(expected["score"]).tobytes()
    assert by_name["ready"].to_list() == expected["ready"].tolist()
    assert by_name["bin_seq"].to_list() == list(range(1200))
    whole = engine.replay("morning_20260206.dbn.zst").whole()
    for signal, data in ((type(made), "morning"), (type(made), whole)):
        assert by_name.equals(engine.run_signal(signal, data, d2_weight=0.5))
    assert by_name.equals(engine.run_signal(made, dataset))  # its state, at the session's end, has no part in it


class DepthParams(engine.SignalParams):
    rows: int = Field(3, ge=1)


class Depth(engine.Signal):
    """A signal of one's own: resting size near the touch, bid over ask."""

    name = "depth"
    required_columns: ClassVar[tuple[str, ...]] = ("bid_depth", "ask_depth")
    default_thresholds: ClassVar[tuple[float, ...]] = (0.5,)
    Params = DepthParams

    @property
    def memory_bins(self) -> int:
        return 1

    def _fresh_state(self) -> None:
        return None

    def _advance(self, x: dict[str, np.ndarray], out: np.ndarray) -> None:
        r, n = self.context.radius, self.params.rows
        out["score"] = x["bid_depth"][:, r - n : r].sum(1) - x["ask_depth"][:, r + 1 : r + n + 1].sum(1)
        out["ready"] = True


class HalfMade:
    """Has what a signal's object has, and nothing that its class needs."""

    params = None

    def run(self) -> None:
        """Never called."""


def test_a_signal_of_ones_own_runs_without_being_registered(dataset: engine.Dataset) -> None:
    found = engine.run_signal(Depth, dataset, rows=2)
    bid, ask = dataset.grid("bid_depth"), dataset.grid("ask_depth")
    assert found["score"].to_list() == pytest.approx((bid[:, 48] + bid[:, 49] - ask[:, 51] - ask[:, 52]).tolist(), abs=1e-9)
    assert found["ready"].all()


FILE = "morning_20260206.dbn.zst"
MISTAKES: list[tuple[Callable[[engine.Dataset], Any], str]] = [
    (lambda d: engine.open_lake(3), "lake was 3; it must be the path of a folder"),  # type: ignore[arg-type]
    (lambda d: engine.open_lake(FILE), "which is a file; it must be a folder"),
    (lambda d: engine.open_lake("s3://bucket"), "only a folder is allowed"),
    (lambda d: engine.list_datasets(3), "lake was 3"),  # type: ignore[arg-type]
    (lambda d: engine.open_dataset(3), "dataset was 3; give the id of one as text"),  # type: ignore[arg-type]
    (lambda d: engine.open_dataset("mornin"), "dataset 'mornin' is not in"),
    (lambda d: engine.open_dataset("mornin"), "(nearest: morning)"),
    (lambda d: engine.open_dataset("xyz"), "(there: morning)"),
    (lambda d: engine.open_dataset(""), "dataset '' is not in"),
    (lambda d: engine.open_dataset("morning", lake=3), "lake was 3"),  # type: ignore[arg-type]
    (lambda d: engine.open_dataset("morning", lake="elsewhere"), "(there: none)"),
    (lambda d: d.to_polars("mid_prise"), "there is no bin field 'mid_prise' (nearest: mid_price"),
    (lambda d: d.to_polars(3), "bin field was 3"),  # type: ignore[arg-type]
    (lambda d: d.to_arrow(["mid_price", 3]), "bin field was 3"),  # type: ignore[list-item]
    (lambda d: d.to_pandas(["mid_price", "mid_price"]), "each may stand once"),
    (lambda d: d.bins(["mid_prise"]), "bins.parquet has no column mid_prise (nearest: mid_price"),
    (lambda d: d.columns(["v_ad"]), "grid_clean.parquet has no column v_ad (nearest: v_add"),
    (lambda d: d.grid("v_ad"), "there is no grid column 'v_ad' (nearest: v_add"),
    (lambda d: d.grid(3), "grid column was 3"),  # type: ignore[arg-type]
    (lambda d: d.grid(["v_add"]), "grid column was ['v_add']"),  # type: ignore[arg-type]
    (lambda d: engine.replay(3), "file was 3"),  # type: ignore[arg-type]
    (lambda d: engine.replay("gone.dbn"), "gone.dbn"),
    (lambda d: engine.replay(FILE, n_bins=0), "n_bins was 0"),
    (lambda d: engine.replay(FILE, n_bins=2.5), "n_bins was 2.5"),  # type: ignore[arg-type]
    (lambda d: engine.replay(FILE, start_time=925), "start_time was 925"),  # type: ignore[arg-type]
    (lambda d: engine.replay(FILE, start_time="noon"), "start time was 'noon'"),
    (lambda d: engine.replay(FILE, dt=20260206), "dt was 20260206"),  # type: ignore[arg-type]
    (lambda d: engine.replay(FILE, dt="6 Feb"), "dt was '6 Feb'"),
    (lambda d: engine.replay(FILE, symbol=3), "symbol was 3"),  # type: ignore[arg-type]
    (lambda d: list(engine.replay(FILE, symbol="MNQM6")), "MNQM6"),
    (lambda d: engine.replay(FILE, instrument=3), "instrument was 3"),  # type: ignore[arg-type]
    (lambda d: engine.replay(FILE, instrument="gone.yaml"), "gone.yaml does not exist"),
    (lambda d: engine.replay(FILE, colour=1), "unknown key 'colour'"),
    (lambda d: engine.replay(FILE, start_time="10:00").whole(), "gave no bin"),
    (lambda d: engine.publish(FILE, 3), "dataset id was 3"),  # type: ignore[arg-type]
    (lambda d: engine.publish(FILE, "a/b"), "dataset id was 'a/b'"),
    (lambda d: engine.publish(FILE, "morning", n_bins=10), "morning"),
    (lambda d: engine.run_signal("pfq", d), "signal 'pfq' is not known"),
    (lambda d: engine.run_signal(3, d), "signal was 3"),  # type: ignore[arg-type]
    (lambda d: engine.run_signal(int, d), "signal was <class 'int'>"),  # type: ignore[arg-type]
    (lambda d: engine.run_signal(HalfMade, d), "signal was <class"),  # type: ignore[arg-type]
    (lambda d: engine.run_signal("pfp", 3), "data was 3"),  # type: ignore[arg-type]
    (lambda d: engine.run_signal("pfp", "nope"), "dataset 'nope' is not in"),
    (lambda d: engine.run_signal("pfp", d, lag=3), "unknown key 'lag' in the parameters of signal pfp"),
    (lambda d: engine.run_signal("pfp", d, lag_bins="x"), "lag_bins was 'x'"),
    (lambda d: engine.run_signal(Depth(DepthParams(), engine.SignalContext(100, 50)), d, rows=2), "rows cannot be changed"),
    (lambda d: engine.simulate_session(3, seed=1, seconds=1.0), "file was 3"),  # type: ignore[arg-type]
    (lambda d: engine.simulate_session("a.dbn", seed="x", seconds=1.0), "seed was 'x'"),  # type: ignore[arg-type]
    (lambda d: engine.simulate_session("a.dbn", seed=1, seconds=None), "seconds was None"),  # type: ignore[arg-type]
    (lambda d: engine.simulate_session("a.dbn", seed=1, seconds=1.0, colour=1), "unknown option 'colour'"),
    (lambda d: engine.simulate_session("a.txt", seed=1, seconds=1.0), "a.txt"),
]


@pytest.mark.parametrize("place", range(len(MISTAKES)), ids=[words for _, words in MISTAKES])
def test_a_mistake_is_one_line(dataset: engine.Dataset, place: int) -> None:
    call, words = MISTAKES[place]
    assert words in refusal(lambda: call(dataset))


def test_a_lake_is_taken_from_the_environment_by_path_or_as_it_is(here: Path) -> None:
    for given in (None, "lake", here / "lake", Lake(here / "lake")):
        assert engine.open_lake(given).root == here / "lake"
        assert engine.open_dataset("morning", given).n_bins == 1200
    assert isinstance(engine.list_datasets(), pl.DataFrame)
