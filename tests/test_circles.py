"""No file of the three packages imports itself, by whatever way round: not at the top, not in a function, not for types only."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import REPO_ROOT

PACKAGES = ("engine", "tune", "serve")

Graph = dict[str, set[str]]


def modules(root: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, Path]:
    """Every file of some packages by the name it is imported under; a folder's ``__init__.py`` goes by the folder's name."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(module: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """What a file names in import statements, wherever they stand in it; ``from a import b`` is ``a.b`` where that is a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                parts = [*package[: len(package) - node.level + 1], *parts]
            base = ".".join(parts)
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in files else base for alias in node.names)


def import_graph(files: Mapping[str, Path]) -> Graph:
    """Module -> the modules of ours it imports; the folders on the way to a file do not count."""
    return {module: {name for name in imported(module, path, files) if name in files} for module, path in files.items()}


def circles(graph: Graph) -> list[list[str]]:
    """Paths of files that end where they begin: of every knot of files at least one."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
            return
        if module in done:
            return
        for other in sorted(graph[module]):
            visit(other, [*path, module])
        done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def write(root: Path, files: Mapping[str, str]) -> dict[str, Path]:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return modules(root, ("pack",))


def test_no_file_imports_itself_by_any_way_round() -> None:
    graph = import_graph(modules(REPO_ROOT))
    assert {"engine.lake", "tune.run", "serve.stream"} <= graph.keys()
    assert "serve.service" in graph["serve.stream"]  # that the graph has arrows at all
    assert [" -> ".join(circle) for circle in circles(graph)] == []


@pytest.mark.parametrize(
    "source",
    [
        "from pack.a import x\n",
        "import pack.a\n",
        "from pack import a\n",
        "from . import a\n",
        "from .a import x\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.a import x\n",
        "def late() -> None:\n    from pack.a import x\n",
    ],
)
def test_a_planted_circle_is_found_and_named(tmp_path: Path, source: str) -> None:
    files = write(tmp_path, {"pack/__init__.py": "", "pack/a.py": "from pack.b import y\n", "pack/b.py": source})
    assert circles(import_graph(files)) == [["pack.a", "pack.b", "pack.a"]]


def test_a_circle_over_three_files_and_a_folder_is_found(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "pack/__init__.py": "",
            "pack/a.py": "from pack.room import name\n",
            "pack/room/__init__.py": "from pack.room.b import name\n",
            "pack/room/b.py": "from pack import a\n",
            "pack/apart.py": "from pack.room.b import name\n",
        },
    )
    assert circles(import_graph(files)) == [["pack.a", "pack.room", "pack.room.b", "pack.a"]]


def test_a_file_that_imports_itself_is_a_circle(tmp_path: Path) -> None:
    files = write(tmp_path, {"pack/__init__.py": "", "pack/a.py": "import pack.a\n"})
    assert circles(import_graph(files)) == [["pack.a", "pack.a"]]


def test_many_ways_down_are_no_circle(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "pack/__init__.py": "",
            "pack/a.py": "from pack import b, c\n",
            "pack/b.py": "from pack.d import x\n",
            "pack/c.py": "from pack.d import x\nfrom pack.b import y\n",
            "pack/d.py": "import os\n",
        },
    )
    assert circles(import_graph(files)) == []
