"""The page's copies of what Python defines stay in step with it."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

from engine.schema import GRID_COLUMNS

FRONTEND = Path(__file__).resolve().parents[2] / "frontend"


def load_tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FRONTEND / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_reads_the_schema_that_the_engine_writes() -> None:
    on_file = (FRONTEND / "src" / "wire" / "schema.json").read_text()
    assert on_file == load_tool("wire_schema").wire_schema(), "run: python frontend/tools/wire_schema.py"


def test_the_recorded_frames_of_the_page_tests_bear_every_column() -> None:
    for grid in json.loads((FRONTEND / "tests" / "fixtures" / "simulated.expected.json").read_text()):
        assert [name for name in grid if name != "rows"] == list(GRID_COLUMNS)


def test_no_lock_file_entry_names_a_registry() -> None:
    packages = json.loads((FRONTEND / "package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
