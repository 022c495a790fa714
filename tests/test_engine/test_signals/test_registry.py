"""Where signals come from: built in, by entry point, by file; what is doubled, broken or misnamed says so and harms no other."""

import compileall
import importlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.signals import registry
from engine.signals.base import SignalContext
from engine.signals.bundle import load_bundle, read_bundle
from engine.signals.example import EXAMPLE_TICK_INT, example_inputs
from engine.signals.registry import (
    BUILT_IN,
    SIGNALS,
    add_class,
    add_file,
    get_signal,
    load_class,
    make_signal,
    origin,
    signal_names,
    signals_of,
)
from tests.conftest import REPO_ROOT
from tests.own_signals import PLAIN, signal_text, write_signal, write_with_helper

CONTEXT = SignalContext(cell_width_ms=100, radius=50, tick_int=EXAMPLE_TICK_INT)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Nothing that a test makes known is known to the next."""
    with signals_of(()):
        yield
    for name in list(registry._at_hand):
        del SIGNALS[name]


def scores(name: str) -> np.ndarray:
    return make_signal(name, {}, CONTEXT).run(example_inputs(get_signal(name), 60))["score"].copy()


def test_names_cost_no_import_of_any_signal_or_library() -> None:
    code = (
        "import sys, json; from engine.signals.registry import signal_names; names = signal_names(); "
        "rooms = ('engine.signals.statistical.', 'engine.signals.learned.'); heavy = ('sklearn', 'lightgbm', 'xgboost', 'ray'); "
        "print(json.dumps([names, [m for m in sys.modules if m.startswith(rooms) or m in heavy]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO_ROOT, capture_output=True, text=True, check=True)
    names, loaded = json.loads(done.stdout)
    assert set(BUILT_IN) <= set(names)
    assert loaded == []


# --- by file ---


def test_a_file_is_known_by_the_name_its_class_bears(tmp_path: Path) -> None:
    path = write_signal(tmp_path)
    assert add_file(path) == ["mine"]
    assert get_signal("mine").name == "mine"
    assert (origin("mine").kind, origin("mine").where) == ("file", f"file {path}")
    assert "mine" in signal_names()
    assert "mine" in SIGNALS


def test_signals_of_some_bundles_are_known_for_a_while_only(tmp_path: Path) -> None:
    with signals_of([read_bundle(write_signal(tmp_path))]):
        assert "mine" in signal_names()
    assert "mine" not in signal_names()
    with pytest.raises(ConfigError, match=r"'mine' is not known; choose one of: ads, .*--signals FILE"):
        get_signal("mine")


def test_the_same_file_twice_is_one_and_so_is_its_copy_elsewhere(tmp_path: Path) -> None:
    path, copy = write_signal(tmp_path / "one"), write_signal(tmp_path / "two")
    assert add_file(path) == add_file(path) == add_file(copy) == ["mine"]


def test_a_name_in_two_files_is_refused_with_both_places(tmp_path: Path) -> None:
    one, two = write_signal(tmp_path / "one"), write_signal(tmp_path / "two", value=f"2.0 * ({PLAIN})")
    add_file(one)
    with pytest.raises(ConfigError, match="'mine' comes twice") as refused:
        add_file(two)
    assert str(one) in str(refused.value)
    assert str(two) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert origin("mine").where == f"file {one}"


def test_a_built_ins_name_is_refused(tmp_path: Path) -> None:
    path = write_signal(tmp_path, name="ads")
    with pytest.raises(ConfigError, match="'ads' comes twice: built in, and file .*mine.py"):
        add_file(path)
    assert get_signal("ads").__module__ == "engine.signals.statistical.ads"


def test_a_file_edited_and_named_again_takes_the_place_of_what_it_held(tmp_path: Path) -> None:
    add_file(write_signal(tmp_path))
    first = scores("mine")
    add_file(write_signal(tmp_path, value=f"2.0 * ({PLAIN})"))
    assert np.array_equal(scores("mine"), 2.0 * first)


def test_two_versions_live_in_one_process_and_each_pickles_as_itself(tmp_path: Path) -> None:
    one = load_bundle(read_bundle(write_with_helper(tmp_path, "1.0"))).signals["mine"]
    two = load_bundle(read_bundle(write_with_helper(tmp_path, "3.0"))).signals["mine"]
    bins = example_inputs(one, 60)
    signals = [cls(cls.Params(), CONTEXT) for cls in (one, two)]
    again = [pickle.loads(pickle.dumps(signal)) for signal in signals]
    before, after = (signal.run(bins)["score"] for signal in signals)
    assert np.any(before)
    assert np.allclose(after, 3.0 * before)
    assert [signal.run(bins)["score"].tobytes() for signal in again] == [before.tobytes(), after.tobytes()]
    states = [type(signal._state) for signal in signals]  # type: ignore[attr-defined]
    assert states[0].__name__ != states[1].__name__  # else the compiler mistakes one for the other, and calls are slow


def test_modules_beside_a_file_belong_to_it_by_whatever_way_they_are_imported(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from . import deep\n")
    (tmp_path / "pack" / "deep.py").write_text("from .deeper import FACTOR\n")
    (tmp_path / "pack" / "deeper.py").write_text("FACTOR = 2.0\n")
    (tmp_path / "late.py").write_text("SHIFT = 0.0\n")
    (tmp_path / "other.py").write_text("raise RuntimeError('nobody imports this')\n")
    imports = (
        "import pack.deep\nfrom pack import deep as again\n\nassert again is pack.deep\nFACTOR = pack.deep.FACTOR\n\n\n"
        "def late():\n    import late as found\n\n    return found.SHIFT\n"
    )
    path = write_signal(tmp_path, value=f"FACTOR * ({PLAIN})", imports=imports)
    bundle = read_bundle(path)
    assert sorted(bundle.sources) == ["late.py", "mine.py", "pack/__init__.py", "pack/deep.py", "pack/deeper.py"]
    shutil.rmtree(tmp_path / "pack")
    (tmp_path / "late.py").unlink()  # from here on only the bundle has them
    add_file_of = load_bundle(bundle).signals["mine"]
    assert sys.modules[add_file_of.__module__].late() == 0.0
    assert "pack" not in sys.modules
    assert "late" not in sys.modules


def test_the_hash_is_of_names_and_contents_not_of_places(tmp_path: Path) -> None:
    one, two = (read_bundle(write_with_helper(tmp_path / place)) for place in ("a", "b/c"))
    assert one.hash == two.hash
    assert read_bundle(write_with_helper(tmp_path / "a", "1.5")).hash != one.hash


def test_names_of_python_itself_and_of_ours_never_mean_a_module_beside_the_file(tmp_path: Path) -> None:
    for name in ("math.py", "engine.py"):
        (tmp_path / name).write_text("raise RuntimeError('taken for the real one')\n")
    path = write_signal(tmp_path, imports="import math\n")
    assert list(read_bundle(path).sources) == ["mine.py"]
    assert add_file(path) == ["mine"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (\n", r"mine.py line 1: '\(' was never closed"),
        (
            "import numpy\nimport nowhere_to_be_found\n",
            r"mine.py line 2: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("a = 1\n\nb = a / 0\n", r"mine.py line 3: ZeroDivisionError"),
        ("x = 1\n", r"mine.py holds no signal; define a class"),
        ("from . import x\n", r"mine.py line 1: a relative import"),
        (
            "import importlib\nimportlib.import_module('beside')\n",
            r"mine.py line 2: imports beside by name at run time; write import",
        ),
        ("import folder.part\n", r"imports folder, a folder without __init__.py"),
        (signal_text().replace('name = "mine"', "pass"), r"class Mine has no name; give it name = \"mine\""),
        (signal_text().replace("Params = Params", "pass"), r"class Mine: Params is missing"),
        (signal_text().replace('("v_add",)', '("v_ad",)'), r"'v_ad', which is not in the schema; did you mean v_add"),
        (signal_text() + "\n\nclass Again(Mine):\n    pass\n", r"two signals named 'mine'"),
        ("import beside_broken\n", r"beside_broken.py line 2"),
    ],
)
def test_a_broken_file_is_one_line_that_names_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part.py").write_text("")
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "beside_broken.py").write_text("x = 1\ny = = 2\n")
    path = tmp_path / "mine.py"
    path.write_text(text)

    def take() -> None:
        for name in add_file(path):
            get_signal(name)

    with pytest.raises(ConfigError, match=words) as refused:
        take()
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert get_signal("ads")


@pytest.mark.parametrize(
    ("name", "words"), [("gone.py", "does not exist"), ("a-b.py", "no Python file"), ("mine.txt", "no Python file")]
)
def test_what_is_no_file_of_python_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        add_file(tmp_path / name)


def test_a_file_too_large_to_travel_is_refused(tmp_path: Path) -> None:
    path = write_signal(tmp_path)
    size = len(path.read_bytes())
    path.write_text(path.read_text() + "#" * ((1 << 20) - size))
    assert read_bundle(path)
    path.write_text(path.read_text() + "#")
    with pytest.raises(ConfigError, match="1,048,577 bytes; at most 1,048,576"):
        read_bundle(path)


# --- by entry point ---


def test_an_entry_point_is_listed_unloaded_and_loads_when_asked_for(install: Callable[..., Path]) -> None:
    install(
        {"plugged": "outside_pack.flow:Mine"}, {"outside_pack/__init__.py": "", "outside_pack/flow.py": signal_text("plugged")}
    )
    assert "plugged" in signal_names()
    assert "outside_pack" not in sys.modules
    assert get_signal("plugged").name == "plugged"
    assert origin("plugged").where == "entry point outside_pack.flow:Mine of outside 1.0"


@pytest.mark.parametrize(
    ("target", "source", "words"),
    [
        ("outside_mod:Mine", "x = 1\n\ny = = 2\n", r"outside_mod.py line 3: SyntaxError"),
        ("outside_mod:Mine", "import numpy\n\nimport nowhere_to_be_found\n", r"outside_mod.py line 3: ModuleNotFoundError"),
        ("outside_mod:Gone", "x = 1\n", "outside_mod has no Gone"),
        ("outside_mod:x", "x = 1\n", "outside_mod:x is int, it must be a class"),
        ("outside_gone:Mine", "x = 1\n", "No module named 'outside_gone'"),
        ("outside_mod:Mine", signal_text("another"), "calls itself 'another'; both must be the same"),
        (
            "outside_mod:Mine",
            signal_text("plugged").replace("(0.1, 0.5, 1.0, 2.0)", "(0.5, 0.1)"),
            "must be finite numbers, ascending",
        ),
    ],
)
def test_a_broken_entry_point_is_told_when_asked_for_and_harms_no_other(
    install: Callable[..., Path], target: str, source: str, words: str
) -> None:
    install({"plugged": target}, {"outside_mod.py": source})
    assert "plugged" in signal_names()
    with pytest.raises(ConfigError, match=words) as refused:
        get_signal("plugged")
    assert "\n" not in str(refused.value)
    assert "of outside 1.0" in str(refused.value)
    assert get_signal("ads")


def test_an_entry_point_with_a_built_ins_name_is_refused(install: Callable[..., Path]) -> None:
    install({"ads": "outside_mod:Mine"}, {"outside_mod.py": signal_text("ads")})
    with pytest.raises(ConfigError, match=r"'ads' comes twice: built in, and entry point outside_mod:Mine of outside 1\.0"):
        get_signal("ads")
    assert get_signal("erd")
    assert "ads" in signal_names()


def test_an_entry_point_and_a_file_and_two_entry_points_of_one_name_are_refused(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install({"mine": "outside_mod:Mine"}, {"outside_mod.py": signal_text()})
    with pytest.raises(ConfigError, match="comes twice: entry point outside_mod:Mine of outside 1.0, and file"):
        add_file(write_signal(tmp_path))
    install({"mine": "other_mod:Mine"}, {"other_mod.py": signal_text()}, "other", "2.0")
    with pytest.raises(ConfigError, match="comes twice: entry point .* and entry point") as refused:
        get_signal("mine")
    assert "outside 1.0" in str(refused.value)
    assert "other 2.0" in str(refused.value)


def test_an_entry_point_without_source_has_no_code_version(install: Callable[..., Path]) -> None:
    from tune.code_version import code_version

    folder = install({"plugged": "outside_mod:Mine"}, {"outside_mod.py": signal_text("plugged")})
    compileall.compile_file(folder / "outside_mod.py", legacy=True, quiet=1)
    (folder / "outside_mod.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=r"plugged.* outside_mod \(outside_mod.pyc\), which has no source here"):
        code_version("plugged")


# --- a class at hand ---


def test_a_class_made_at_hand_is_known_if_it_is_whole_and_its_name_free(tmp_path: Path) -> None:
    cls = load_bundle(read_bundle(write_signal(tmp_path))).signals["mine"]
    add_class(cls)
    assert get_signal("mine") is cls
    with pytest.raises(ConfigError, match="comes twice: built in"):
        add_class(type("Ads", (cls,), {"name": "ads"}))
    with pytest.raises(ConfigError, match="default_thresholds was"):
        add_class(type("Other", (cls,), {"name": "other", "default_thresholds": ()}))


# --- by their places ---


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("engine.signals.statistical.ads", "not of the form module:Class"),
        (":Ads", "not of the form module:Class"),
        ("engine.signals.statistical.ads:", "not of the form module:Class"),
        ("engine.signals.statistical.ads:Adz", "has no Adz"),
        ("engine.signals.statistical.ads:Ads.no_such", "has no Ads.no_such"),
        ("engine.signals.statistical.ads:MIN_PERIODS", "is int, it must be a class"),
        ("engine.signals.statistical.none:Ads", "does not load"),
    ],
)
def test_a_target_that_names_no_class_is_told(target: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^it.*{told}"):
        load_class(target, "it")


def test_a_class_in_a_class_is_found() -> None:
    assert load_class("engine.signals.statistical.ads:Ads.Params", "it").__name__ == "AdsParams"


def test_signals_of_bundles_are_forgotten_where_the_work_fails(tmp_path: Path) -> None:
    bundle = read_bundle(write_signal(tmp_path))
    with pytest.raises(ZeroDivisionError), signals_of([bundle]):
        raise ZeroDivisionError
    assert "mine" not in signal_names()
    taken = read_bundle(write_signal(tmp_path / "other", name="ads"))
    with pytest.raises(ConfigError, match="comes twice"), signals_of([bundle, taken]):
        raise AssertionError("both were taken")
    assert "mine" not in signal_names()


def test_signals_known_before_are_known_after(tmp_path: Path) -> None:
    add_file(write_signal(tmp_path))
    with signals_of([read_bundle(write_signal(tmp_path / "other", name="second"))]):
        assert {"mine", "second"} <= set(signal_names())
    assert "mine" in SIGNALS
    assert "second" not in SIGNALS


def test_the_registry_is_a_mapping(tmp_path: Path) -> None:
    cls = load_bundle(read_bundle(write_signal(tmp_path))).signals["mine"]
    n = len(SIGNALS)
    SIGNALS["mine"] = cls
    assert (len(SIGNALS), SIGNALS["mine"], "mine" in SIGNALS) == (n + 1, cls, True)
    assert list(SIGNALS) == sorted(SIGNALS)
    del SIGNALS["mine"]
    with pytest.raises(KeyError):
        SIGNALS["mine"]


ADAPTED = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2)
OF_RATES = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2)
OF_SHARES = (0.52, 0.55, 0.58, 0.6, 0.65)
# What a sweep tries where its file says nothing; of learned signals without the thresholds that every bin passes.
THRESHOLDS = {
    "ads": OF_RATES,
    "ads_pfp_svac": OF_RATES,
    "erd": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0),
    "gbm_mf": OF_SHARES,
    "iirc": (0.001, 0.005, 0.01, 0.02, 0.05),
    "jad": (0.05, 0.1, 0.15, 0.2, 0.3),
    "knn_cl": (0.1, 0.2, 0.3),
    "lsvm_der": (0.3, 0.5, 0.7, 1.0),
    "micro_price": (0.05, 0.1, 0.2, 0.3),
    "msd": (0.5, 1.0, 1.5, 2.0, 3.0),
    "multi_level_ofi": (0.25, 0.5, 1.0, 2.0),
    "order_flow_imbalance": (0.25, 0.5, 1.0, 2.0),
    "pca_ad": (0.3, 0.5, 0.8, 1.0, 1.5, 2.0),
    "perm_derivative": (0.03, 0.05, 0.08, 0.1, 0.15, 0.2),
    "pfp": ADAPTED,
    "queue_imbalance": (0.2, 0.4, 0.6, 0.8),
    "reversal": (0.5, 1.0, 2.0, 3.0),
    "spg": (0.5, 1.0, 1.5, 2.0, 3.0),
    "svm_sp": (0.2, 0.4, 0.6, 0.8),
    "trade_intensity": (0.2, 0.4, 0.6, 0.8),
    "weighted_mid": (0.1, 0.2, 0.3, 0.4),
    "xgb_snap": OF_SHARES,
}


def test_thresholds_of_every_signal_that_ships() -> None:
    assert {name: cls.default_thresholds for name, cls in SIGNALS.items()} == THRESHOLDS
