"""Distributions that hold signals, put on the path for one test."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.signals import registry
from tests.own_signals import write_distribution


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Put a distribution on the path, as an installer would; its modules are forgotten afterwards."""
    tops: set[str] = set()

    def do(points: dict[str, str], files: dict[str, str], name: str = "outside", version: str = "1.0") -> Path:
        folder = write_distribution(tmp_path / f"site_{name}", points, name, version, files)
        monkeypatch.syspath_prepend(folder)
        tops.update(Path(path).parts[0].removesuffix(".py") for path in files)
        registry.forget_entry_points()
        return folder

    yield do
    monkeypatch.undo()
    for module in [module for module in sys.modules if module.partition(".")[0] in tops]:
        del sys.modules[module]
    importlib.invalidate_caches()
    registry.forget_entry_points()
