"""The order of the rooms is held by the import contract: one wrong import in any of them is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

# Where a wrong line is put, and what it would import.
WRONG = {
    "engine/door.py": "engine.source.records",
    "engine/book/owner.py": "engine.simulate.session",
    "engine/simulate/session.py": "engine.book.owner",
    "engine/trades/paper.py": "engine.run.block",
    "engine/source/records.py": "engine.field.spectrum",
    "engine/field/spectrum.py": "engine.signals.base",
    "engine/signals/base.py": "engine.run.runner",
    "engine/run/runner.py": "engine.dataset.read",
    "engine/dataset/read.py": "engine.campaign.build",
    "engine/campaign/build.py": "engine.feed.split",
    "engine/feed/split.py": "engine.campaign.build",
    "engine/audit/lake.py": "engine.bench.suite",
    "engine/bench/suite.py": "engine.commands.bench",
    "engine/commands/book.py": "engine.cli",
    "engine/cli.py": "engine.front",
    "engine/run/replay.py": "ray",
    "engine/front.py": "serve.cli",
    "engine/commands/check.py": "tune.cli",
    "tune/cli.py": "serve.cli",
    "serve/cli.py": "tune.cli",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and of the contract."""
    root = tmp_path_factory.mktemp("layers")
    for package in ("engine", "tune", "serve"):
        shutil.copytree(REPO_ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO_ROOT / "pyproject.toml", root)
    return root


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """The contract's word on a tree, imported from there and nowhere else."""
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_tree_as_it_stands_keeps_every_contract(tree: Path) -> None:
    found = lint(tree)
    assert found.returncode == 0, found.stdout
    assert "0 broken" in found.stdout


@pytest.mark.parametrize("file", WRONG)
def test_a_wrong_import_is_refused(file: str, tree: Path) -> None:
    path = tree / file
    source = path.read_text()
    try:
        path.write_text(source + f"\nimport {WRONG[file]}\n")
        found = lint(tree)
    finally:
        path.write_text(source)
    assert found.returncode == 1, found.stdout + found.stderr
    assert f"{file.removesuffix('.py').replace('/', '.')} -> {WRONG[file]}" in found.stdout


def test_a_room_that_no_contract_names_is_refused(tree: Path) -> None:
    (tree / "engine" / "attic.py").write_text("X = 1\n")
    try:
        found = lint(tree)
    finally:
        (tree / "engine" / "attic.py").unlink()
    assert found.returncode == 1
    assert "attic" in found.stdout


def test_the_engine_has_few_rooms() -> None:
    rooms = {p.stem for p in (REPO_ROOT / "engine").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert len(rooms) <= 31, sorted(rooms)
