"""One way to compile: no stray decorators, strict arithmetic, and a cache that cannot serve old code."""

import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import jit, rolling
from engine.field import kernels as field_kernels
from engine.run import loop as run_kernels
from tests.conftest import REPO_ROOT
from tests.own_signals import write_with_helper

SOURCES = [path for package in ("engine", "tune", "serve") for path in (REPO_ROOT / package).rglob("*.py")]


def test_only_jit_py_calls_numba_decorators() -> None:
    stray = re.compile(r"njit|numba\.jit|@jit|vectorize|jitclass|fastmath=True|parallel=True")
    found = [path.name for path in SOURCES if path.name != "jit.py" and stray.search(path.read_text())]
    assert found == []


@pytest.mark.parametrize("kernel", [run_kernels.consume, field_kernels.touch, rolling.median_mad])
def test_kernels_release_the_lock_and_keep_strict_arithmetic(kernel: Any) -> None:
    options = kernel.targetoptions
    assert (options["nogil"], options["fastmath"], options.get("parallel", False)) == (True, False, False)


def hash_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(jit, "_ROOT", root)
    return jit.source_hash.__wrapped__()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two files: a kernel, and one that holds none."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "one.py").write_text("from engine.jit import kernel\n\n@kernel\ndef f(x):\n    return x\n")
    (tmp_path / "engine" / "two.py").write_text("X = 1\n")
    return tmp_path


def test_cache_key_follows_every_kernel_source(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(tree, monkeypatch)
    (tree / "engine" / "one.py").write_text("from engine.jit import kernel\n\n@kernel\ndef f(x):\n    return x + 1\n")
    assert hash_of(tree, monkeypatch) != before


def test_cache_key_does_not_follow_files_without_kernels(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(tree, monkeypatch)
    (tree / "engine" / "two.py").write_text("X = 2\n")
    assert hash_of(tree, monkeypatch) == before


def test_cache_key_does_not_follow_the_examples(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(tree, monkeypatch)
    (tree / "engine" / "examples").mkdir()
    (tree / "engine" / "examples" / "my_signal.py").write_text(KERNEL)
    assert hash_of(tree, monkeypatch) == before


@pytest.mark.parametrize("name", ["constants.py", "schema.py", "config.py"])
def test_cache_key_follows_what_kernels_freeze_in(name: str, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(tree, monkeypatch)
    (tree / "engine" / name).write_text("X = 2\n")
    assert hash_of(tree, monkeypatch) != before


KERNEL = "from engine.jit import kernel\n\n@kernel\ndef f(x):\n    return x\n"


def folders_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Where the kernels of some modules would be kept, by module."""
    monkeypatch.setattr(jit, "_ROOT", root)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(root / "kernels"))
    for cached in (jit.source_hash, jit._core_hash, jit._module_hash, jit.cache_dir):
        cached.cache_clear()
    modules = ("engine.one", "engine.signals.statistical.ads", "engine.signals.statistical.erd", "tune.walk")
    return {module: jit._cache_dir_of(module) for module in modules}


@pytest.fixture
def rooms(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A core kernel, two signals of which one stands on a part, and a judge's kernel that takes a name from a plain module."""
    sources = {
        "engine/signals/parts/bands.py": KERNEL,
        "engine/signals/statistical/ads.py": "from engine.signals.parts.bands import (\n    f as g,\n)\n" + KERNEL,
        "engine/signals/statistical/erd.py": KERNEL,
        "engine/trades/kernels.py": KERNEL,
        "tune/walk.py": "from engine.trades.kernels import f as g\nfrom tune import tape\n" + KERNEL,
        "tune/tape.py": KERNEL,
        "tune/config.py": "X = 1\n",
    }
    for name, source in sources.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(source)
    yield tree
    monkeypatch.undo()
    for cached in (jit.source_hash, jit._core_hash, jit._module_hash, jit.cache_dir):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("edited", "moved"),
    [
        ("engine/one.py", {"engine.one", "engine.signals.statistical.ads", "engine.signals.statistical.erd", "tune.walk"}),
        ("engine/signals/parts/bands.py", {"engine.signals.statistical.ads"}),
        ("engine/signals/statistical/erd.py", {"engine.signals.statistical.erd"}),
        ("engine/trades/kernels.py", {"tune.walk"}),
        ("tune/tape.py", {"tune.walk"}),
        ("tune/config.py", set()),
        ("engine/two.py", set()),
    ],
)
def test_an_edit_compiles_only_what_depends_on_it(
    edited: str, moved: set[str], rooms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folders_of(rooms, monkeypatch)
    with (rooms / edited).open("a") as file:
        file.write("# edited\n")
    after = folders_of(rooms, monkeypatch)
    assert {module for module in before if before[module] != after[module]} == moved


@pytest.mark.parametrize(
    ("edited", "voids"),
    [
        ("tune/config.py", False),
        ("tune/tape.py", False),
        ("engine/trades/kernels.py", False),
        ("engine/signals/statistical/erd.py", True),
    ],
)
def test_snapshots_outlive_edits_of_the_judge_only(
    edited: str, voids: bool, rooms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_of(rooms, monkeypatch)
    with (rooms / edited).open("a") as file:
        file.write("# edited\n")
    assert (hash_of(rooms, monkeypatch) != before) == voids


COMPILED = """
import json, os, sys
from pathlib import Path
from engine.signals.registry import add_file, make_signal
from engine.signals.base import SignalContext
from engine.jit import cache_dir

def kept():
    return {str(p): p.stat().st_mtime_ns for p in Path(cache_dir()).rglob("*.nb[ic]")}

before = kept()
names = add_file(sys.argv[1])
signal = make_signal(names[0], {}, SignalContext(100, 5))
score = signal.run({"v_add": [[0.0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0]] * 10})["score"][-1]
print(json.dumps([float(score), sorted(p for p in kept() if p not in before or kept()[p] != before[p])]))
"""


def compiled(path: Path, kernels: Path) -> tuple[float, list[str]]:
    """A signal's last score, and the files of the compiler that a fresh process wrote for it."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, str(path)], cwd=path.parent, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(REPO_ROOT), "NUMBA_CACHE_DIR": str(kernels)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    score, written = json.loads(done.stdout)
    return score, written


def test_an_edit_in_a_module_beside_a_signals_file_compiles_that_signal_anew_and_nothing_of_ours(tmp_path: Path) -> None:
    path, kernels = write_with_helper(tmp_path / "src", "1.0"), tmp_path / "kernels"
    (first, written), (again, nothing) = compiled(path, kernels), compiled(path, kernels)
    assert (first, again) == (20.0, 20.0)  # ten bins of 3 - 1
    assert any("mine.run" in name for name in written)
    assert nothing == []
    write_with_helper(tmp_path / "src", "2.0")
    edited, anew = compiled(path, kernels)
    assert edited == 40.0
    assert {Path(name).name.partition("-")[0] for name in anew} == {"mine.run", "helpers.weigh"}


def test_an_edit_in_a_module_of_an_installed_signal_compiles_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outside_kernels.py").write_text(KERNEL)
    (tmp_path / "outside_signal.py").write_text("from outside_kernels import f as g\n" + KERNEL)
    before = jit._cache_dir_of("outside_signal")
    assert jit._cache_dir_of("outside_signal") == before != jit._cache_dir_of("outside_kernels")
    (tmp_path / "outside_kernels.py").write_text(KERNEL + "# edited\n")
    jit._outside_keys.clear()  # as in another process
    assert jit._cache_dir_of("outside_signal") != before


def test_a_kernel_typed_at_a_prompt_compiles_and_is_not_kept(tmp_path: Path) -> None:
    typed = "from engine.jit import kernel\n\n@kernel\ndef f(x):\n    return x + 1\n\nprint(f(41))\n"
    environment = {**os.environ, "PYTHONPATH": str(REPO_ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-"], input=typed, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "42\n", done.stderr
    assert list(tmp_path.rglob("*.nbi")) == []


@pytest.mark.parametrize("is_checkout", [True, False])
def test_kernels_of_installed_packages_go_to_the_users_cache(
    is_checkout: bool, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_checkout:
        (tree / "pyproject.toml").write_text("")
    monkeypatch.setattr(jit, "_ROOT", tree)
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("SPYMASTER_LAKE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    parent = tree / "lake" / "cache" / "kernels" if is_checkout else tmp_path / "home" / "spymaster" / "kernels"
    assert Path(jit.cache_dir.__wrapped__()).parent == parent
    monkeypatch.setenv("SPYMASTER_LAKE", str(tmp_path / "own"))
    assert Path(jit.cache_dir.__wrapped__()).parent == tmp_path / "own" / "cache" / "kernels"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPYMASTER_LAKE", "~/mine")
    assert Path(jit.cache_dir.__wrapped__()).parent == tmp_path / "mine" / "cache" / "kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", "~/theirs")
    assert Path(jit.cache_dir.__wrapped__()).parent == tmp_path / "theirs"
    assert not (tmp_path / "~").exists()


def test_named_tuples_of_kernels_differ_by_name() -> None:
    """Numba tells tuples apart by class name and fields, not by module: two alike cost each call 200 us of slow dispatch."""
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for package in ("engine", "tune"):
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if found.name.endswith("__main__") or found.name == "tune.sweep":
                continue
            for name, value in vars(importlib.import_module(found.name)).items():
                if not isinstance(value, type) or not issubclass(value, tuple) or value.__module__ != found.name:
                    continue
                key = (name, getattr(value, "_fields", ()))
                assert key not in seen, f"{found.name}.{name} is like that of {seen[key]}"
                seen[key] = found.name
    assert len(seen) > 20
