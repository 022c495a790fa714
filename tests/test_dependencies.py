"""What is imported is declared, what is declared is imported, and the locks hold it all by hashes and name no registry."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPO_ROOT

OURS = ("engine", "tune", "serve")
PROJECT: dict[str, Any] = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (REPO_ROOT / "requirements.txt").read_text(encoding="utf-8")
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)( ; [^\\]+?)? \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)", re.MULTILINE)


def imported() -> dict[str, str]:
    """Every module of others' that ours import, by its first word, with one file that does."""
    found: dict[str, str] = {}
    for package in OURS:
        for path in (REPO_ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                else:
                    continue
                tops = {name.split(".")[0] for name in names}
                beside = {
                    top for top in tops if path.with_name(f"{top}.py").is_file() and not (path.parent / "__init__.py").is_file()
                }
                found |= dict.fromkeys(tops - beside, str(path.relative_to(REPO_ROOT)))  # scripts import what lies beside them
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, *OURS}}


def declared(*extras: str) -> list[Requirement]:
    """The project's requirements, and those of some extras."""
    optional = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in (*PROJECT["dependencies"], *(text for name in extras for text in optional[name]))]


def for_users() -> set[str]:
    """Names of the distributions that a user gets or can ask for: all but the tools of development."""
    extras = [name for name in PROJECT["optional-dependencies"] if name != "dev"]
    return {canonicalize_name(one.name) for one in declared(*extras)}


def test_everything_imported_is_declared() -> None:
    bring = packages_distributions()
    missing = {
        name: path for name, path in imported().items() if not {canonicalize_name(d) for d in bring.get(name, [])} & for_users()
    }
    assert missing == {}


def test_everything_declared_is_imported() -> None:
    bring = packages_distributions()
    used = {canonicalize_name(distribution) for name in imported() for distribution in bring.get(name, [])}
    assert for_users() - used == set()


def test_the_lock_pins_what_is_declared_by_hashes() -> None:
    pins: dict[str, list[str]] = {}
    for name, version, _marker, _hashes in PIN.findall(LOCK):
        pins.setdefault(name, []).append(version)
    wanted = declared(*PROJECT["optional-dependencies"])
    astray = [
        str(one) for one in wanted if not all(one.specifier.contains(v) for v in pins.get(canonicalize_name(one.name), ["0"]))
    ]
    assert astray == []
    assert len(PIN.findall(LOCK)) == len(re.findall(r"==\S+(?: ;.*)? \\$", LOCK, re.MULTILINE)) > 100


PAGE_LOCKS = [f"{folder}/{name}" for folder in ("frontend", "frontend/tools/mutants") for name in ("package-lock.json", ".npmrc")]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-setup.txt", *PAGE_LOCKS])
def test_a_lock_names_no_registry(name: str) -> None:
    text = (REPO_ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|\bregistry\s*=", text)
    if name.endswith(".json"):
        packages = json.loads(text)["packages"]
        assert [where for where, one in packages.items() if "resolved" in one] == []
        assert [where for where, one in packages.items() if where and "integrity" not in one] == []
    else:
        assert "://" not in text


def test_make_takes_the_pythons_that_the_project_names() -> None:
    named = {re.sub(r".*:: ", "", line) for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)}
    assert sorted(named) == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11"
    makefile = (REPO_ROOT / "Makefile").read_text(encoding="utf-8")
    listed = re.search(r"^PYTHON .*for p in (.*); do", makefile, re.MULTILINE)
    assert listed is not None
    assert {word.removeprefix("python") for word in listed[1].split()} == {*named, "3"}
    assert "(3, 11) <= sys.version_info < (3, 15)" in makefile
