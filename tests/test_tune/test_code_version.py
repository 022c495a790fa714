"""Which edits make a new code version, of built-in signals and of others', wherever their sources lie."""

import importlib
import importlib.machinery
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import modules
from engine.errors import ConfigError
from engine.signals import registry
from engine.signals.bundle import load_bundle, read_bundle
from engine.signals.registry import BUILT_IN, signals_of
from tests.conftest import REPO_ROOT
from tests.own_signals import EXAMPLE, signal_text, write_distribution, write_with_helper
from tune.code_version import _LEFT_OUT, class_version, code_version, scoring_version


@pytest.fixture
def touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], str]:
    """Code version of perm_derivative after a line was added to one file of a copy of the sources."""
    root = modules._ROOT

    def change(name: str | None) -> str:
        for package in ("engine", "tune"):
            for path in (root / package).rglob("*.py"):
                copy = tmp_path / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes() + (b"\n# touched\n" if str(path.relative_to(root)) == name else b""))
        monkeypatch.setattr(modules, "_ROOT", tmp_path)
        return code_version("perm_derivative")

    return change


def test_it_follows_the_signal_what_it_imports_and_the_scoring(touched: Callable[[str | None], str]) -> None:
    before = code_version("perm_derivative")
    same = touched(None)
    assert same == before
    for name in ("engine/signals/statistical/perm_derivative.py", "engine/rolling.py", "tune/scoring.py", "tune/trial.py"):
        assert touched(name) != same, name
    for name in (
        "tune/cli.py",
        "engine/book/owner.py",
        "engine/signals/registry.py",
        "engine/signals/check.py",
        "engine/errors.py",
    ):
        assert touched(name) == same, name


def test_unknown_signal() -> None:
    with pytest.raises(ConfigError, match="not known"):
        code_version("nope")


def test_it_follows_the_library_that_fits_a_learned_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_version", lambda name: "1.0")
    before = {name: code_version(name) for name in ("gbm_mf", "svm_sp", "ads")}
    monkeypatch.setattr(modules, "_version", lambda name: "9.9" if name == "lightgbm" else "1.0")
    after = {name: code_version(name) for name in before}
    assert after["gbm_mf"] != before["gbm_mf"]
    assert after["ads"] == before["ads"]
    assert after["svm_sp"] == before["svm_sp"]


def test_no_two_built_in_signals_have_one_version() -> None:
    assert len({code_version(name) for name in BUILT_IN}) == len(BUILT_IN)


# --- files ---


def version_of(path: Path) -> str:
    bundle = read_bundle(path)
    (cls,) = load_bundle(bundle).signals.values()
    with signals_of([bundle]):
        assert class_version(cls) == code_version(cls.name)
        return class_version(cls)


def test_one_line_of_a_file_or_of_a_module_beside_it_makes_a_new_version(tmp_path: Path) -> None:
    path = write_with_helper(tmp_path)
    before = version_of(path)
    assert version_of(path) == before
    path.write_text(path.read_text() + "# a line\n")
    edited = version_of(path)
    write_with_helper(tmp_path, "2.0")
    helped = version_of(path)
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert version_of(path) == helped
    assert len({before, edited, helped}) == 3


def test_the_same_sources_have_the_same_version_wherever_they_lie(tmp_path: Path) -> None:
    one, two = (version_of(write_with_helper(tmp_path / place)) for place in ("a", "b/c/d"))
    assert one == two
    done = subprocess.run(
        [sys.executable, "-c", "from engine.signals.registry import add_file\nfrom tune.code_version import code_version\n"
         f"add_file({str(tmp_path / 'a' / 'mine.py')!r}); print(code_version('mine'))"],
        cwd=tmp_path, env={"PYTHONPATH": str(REPO_ROOT), "PATH": "", "NUMBA_CACHE_DIR": str(tmp_path / "kernels")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == one


# --- modules on the path ---


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., type]]:
    """Write modules, put their folder on the path, and give the class ``outside_*`` names; all is forgotten afterwards."""

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("outside_")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        registry.forget_entry_points()

    def load(target: str, files: dict[str, str], folder: str = "src") -> type:
        for name, text in files.items():
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path / folder)
        forget()
        return registry.load_class(target, "the test's signal")

    yield load
    monkeypatch.undo()
    forget()


PACKAGE = {
    "outside_pack/__init__.py": "",
    "outside_pack/flow.py": "from outside_pack.base import Base\n\n\nclass Flow(Base):\n    name = 'flow'\n",
    "outside_pack/base.py": signal_text().replace("class Mine", "class Base") + "\nfrom .deep import DEPTH\n",
    "outside_pack/deep.py": "def late():\n    from outside_pack import later\n\n\nDEPTH = 1\n",
    "outside_pack/later.py": "",
    "outside_pack/unused.py": "",
    "outside_loose.py": "LOOSE = 1\n",
}


@pytest.mark.parametrize(
    ("edited", "counts"),
    [
        ("outside_pack/flow.py", True),
        ("outside_pack/base.py", True),  # a base of the class
        ("outside_pack/deep.py", True),  # imported by the base, relatively
        ("outside_pack/later.py", True),  # imported in a function
        ("outside_pack/__init__.py", True),  # runs before the package's modules
        ("outside_pack/unused.py", False),
        ("outside_loose.py", False),
    ],
)
def test_it_follows_bases_and_imports_through_the_classs_own_package(
    on_path: Callable[..., type], edited: str, counts: bool
) -> None:
    before = class_version(on_path("outside_pack.flow:Flow", PACKAGE))
    after = class_version(on_path("outside_pack.flow:Flow", PACKAGE | {edited: PACKAGE[edited] + "# edited\n"}))
    assert (before != after) == counts


def test_a_module_that_no_regular_distribution_holds_counts_by_its_source(on_path: Callable[..., type]) -> None:
    files = {"outside_mod.py": "import outside_loose\n" + signal_text(), "outside_loose.py": "LOOSE = 1\n"}
    before = class_version(on_path("outside_mod:Mine", files))
    assert class_version(on_path("outside_mod:Mine", files | {"outside_loose.py": "LOOSE = 2\n"})) != before


@pytest.mark.parametrize("is_editable", [False, True])
def test_a_regular_distribution_counts_by_version_an_editable_one_by_source(
    on_path: Callable[..., type], tmp_path: Path, is_editable: bool
) -> None:
    def version(library: str, text: str) -> str:
        for old in (tmp_path / "site").glob("library-*"):
            old.rename(tmp_path / f"gone-{library}-{len(list(tmp_path.iterdir()))}")
        write_distribution(tmp_path / "site", {}, "library", library, {"outside_library.py": text})
        if is_editable:
            told = {"url": f"file://{tmp_path}/site", "dir_info": {"editable": True}}
            (tmp_path / "site" / f"library-{library}.dist-info" / "direct_url.json").write_text(json.dumps(told))
        return class_version(on_path("outside_mod:Mine", {"outside_mod.py": "import outside_library\n" + signal_text()}, "site"))

    before = version("1.0", "X = 1\n")
    assert (version("1.0", "X = 2\n") != before) == is_editable
    assert (version("1.1", "X = 1\n") != before) == (not is_editable)


@pytest.mark.parametrize("suffix", [importlib.machinery.EXTENSION_SUFFIXES[0], ".pyc"])
def test_a_module_without_source_is_refused(on_path: Callable[..., type], tmp_path: Path, suffix: str) -> None:
    cls = on_path("outside_mod:Mine", {"outside_mod.py": "def late():\n    import outside_binary\n\n\n" + signal_text()})
    (tmp_path / "src" / f"outside_binary{suffix}").write_bytes(b"")
    importlib.invalidate_caches()
    with pytest.raises(
        ConfigError, match=rf"signal mine stands on outside_binary \(outside_binary{suffix}\), which has no source"
    ):
        class_version(cls)


def test_a_class_typed_at_a_prompt_is_refused(on_path: Callable[..., type]) -> None:
    cls = on_path("outside_mod:Mine", {"outside_mod.py": signal_text()})
    typed = type("Typed", (cls,), {"name": "typed", "__module__": "__main__"})
    with pytest.raises(ConfigError, match="signal typed is defined in __main__, which is no file"):
        class_version(typed)


def test_a_name_that_is_no_module_and_a_missing_optional_one_are_passed_by(on_path: Callable[..., type]) -> None:
    optional = "try:\n    import outside_missing\nexcept ImportError:\n    pass\n"
    assert class_version(on_path("outside_mod:Mine", {"outside_mod.py": optional + signal_text()}))


def test_what_a_class_made_elsewhere_was_registered_by_counts_too(on_path: Callable[..., type], tmp_path: Path) -> None:
    made = signal_text("made").replace("class Mine", "def make():\n    return Mine\n\n\nclass Mine")
    files = {"outside_maker.py": made, "outside_home.py": "from outside_maker import make\n\nMade = make()\n"}
    write_distribution(tmp_path / "src", {"made": "outside_home:Made"}, "home", "1.0", files)
    on_path("outside_home:Made", files)
    before = code_version("made")
    on_path("outside_home:Made", files | {"outside_home.py": files["outside_home.py"] + "# edited\n"})
    assert code_version("made") != before


def test_the_example_stands_on_its_file_the_compiler_and_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "my_signal.py"
    path.write_text(EXAMPLE)
    (cls,) = load_bundle(read_bundle(path)).signals.values()
    found = modules.standing([cls.__module__], "it", lambda name: name not in _LEFT_OUT)
    assert {"my_signal", "engine.jit", "engine.signals.owner"} <= found.sources.keys()
    assert "engine.dataset.notebook" not in found.sources  # what the package lends beside counts only where it is taken
    assert {"numpy", "pydantic"} <= found.versions.keys()


# --- the judge ---

JUDGE = (
    "engine.trades.tape engine.trades.kernels tune.rules tune.tally_kernels tune.scoring tune.intervals "
    "tune.interval_kernels tune.splits tune.outofsample tune.trial tune.diagnostics"
)


@pytest.mark.parametrize("name", JUDGE.split())
def test_one_line_of_any_module_of_the_judge_is_another_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = code_version("perm_derivative"), scoring_version.__wrapped__()
    place = f"{name.replace('.', '/')}.py"
    edited = modules._ROOT / place
    for package in ("engine", "tune"):
        shutil.copytree(modules._ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "examples"))
    (tmp_path / place).write_bytes(edited.read_bytes() + b"# edited\n")
    monkeypatch.setattr(modules, "_ROOT", tmp_path)
    after = code_version("perm_derivative"), scoring_version.__wrapped__()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_only_shows_or_keeps_numbers_is_no_part_of_the_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version("perm_derivative"), scoring_version.__wrapped__()
    for package in ("engine", "tune"):
        shutil.copytree(modules._ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "examples"))
    for name in (
        "leaderboard",
        "luck",
        "ledger",
        "results",
        "beside",
        "search",
        "run",
        "space",
        "promote",
        "judging",
        "judgement",
    ):
        with (tmp_path / "tune" / f"{name}.py").open("ab") as file:
            file.write(b"# edited\n")
    monkeypatch.setattr(modules, "_ROOT", tmp_path)
    assert (code_version("perm_derivative"), scoring_version.__wrapped__()) == before


@pytest.mark.parametrize(
    ("library", "followers"),
    [("scikit-learn", {"svm_sp", "lsvm_der"}), ("lightgbm", {"gbm_mf"}), ("xgboost-cpu", {"xgb_snap"})],
)
def test_a_fit_follows_its_own_library_and_no_other(monkeypatch: pytest.MonkeyPatch, library: str, followers: set[str]) -> None:
    names = ("svm_sp", "lsvm_der", "gbm_mf", "xgb_snap", "ads")
    monkeypatch.setattr(modules, "_version", lambda name: "1.0")
    before = {name: code_version(name) for name in names}
    monkeypatch.setattr(modules, "_version", lambda name: "9.9" if name == library else "1.0")
    assert {name for name in names if code_version(name) != before[name]} == followers
