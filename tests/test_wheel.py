"""The wheel: what is in it, and that it works where there is no checkout. Built and installed without a network."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO_ROOT

PROJECT = tomllib.loads((REPO_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("engine", "tune", "serve")
CONFIGS = Path("lake", "research", "vp_harness", "configs")
PAGE = {"index.html": "<!doctype html><title>a page</title>", "assets/page-1a2b.js": "export {};"}


def uv(*words: str, cwd: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is made of, with a built page of two files."""
    root = tmp_path_factory.mktemp("tree")
    for folder in (*PACKAGES, CONFIGS):
        shutil.copytree(REPO_ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(REPO_ROOT / name, root)
    for name, text in {**PAGE, ".built": ""}.items():
        path = root / "frontend" / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tests").mkdir()
    (root / "tests" / "__init__.py").write_text("")
    return root


@pytest.fixture(scope="session")
def wheel(tree: Path) -> Path:
    """Built as `make wheel` builds it."""
    uv("build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", "out", cwd=tree)
    (built,) = (tree / "out").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def inside(wheel: Path) -> dict[str, bytes]:
    """The wheel's files, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_its_name_is_free_and_its_commands_are_ours(wheel: Path) -> None:
    assert wheel.name.startswith("spymaster_orderflow-")
    with zipfile.ZipFile(wheel) as archive:
        (commands,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        scripts = archive.read(commands).decode()
    assert "spymaster = engine.front:main" in scripts.splitlines()


def test_it_holds_every_source_and_no_test(tree: Path, inside: dict[str, bytes]) -> None:
    sources = {path.relative_to(tree).as_posix() for package in PACKAGES for path in (tree / package).rglob("*.py")}
    assert {name for name in inside if name.endswith(".py")} == sources
    assert {name.split("/")[0] for name in inside} == set(PACKAGES)


def test_it_holds_the_instruments_and_the_configurations(tree: Path, inside: dict[str, bytes]) -> None:
    files = {f"engine/configs/{path.relative_to(tree / CONFIGS)}": path for path in (tree / CONFIGS).rglob("*.yaml")}
    files |= {str(path.relative_to(tree)): path for path in (tree / "engine").rglob("*.yaml")}
    assert {"engine/configs/smoke_perm_derivative.yaml", "engine/instrument.yaml", "engine/instruments/es.yaml"} <= set(files)
    assert any(name.startswith("engine/configs/gold_campaigns/") for name in files)
    assert {name: inside[name] for name in inside if name.endswith(".yaml")} == {n: p.read_bytes() for n, p in files.items()}


def test_it_holds_the_examples_and_tells_checkers_of_its_types(inside: dict[str, bytes]) -> None:
    examples = REPO_ROOT / "engine" / "examples"
    shipped = [path for path in examples.iterdir() if path.is_file()]
    assert len(shipped) >= 5
    assert {f"engine/examples/{path.name}" for path in shipped} <= set(inside)
    assert {f"{package}/py.typed" for package in ("engine", "tune", "serve")} <= set(inside)


def test_it_holds_the_built_page(inside: dict[str, bytes]) -> None:
    found = {name.removeprefix("serve/built_page/"): inside[name] for name in inside if name.startswith("serve/built_page/")}
    assert found == {name: text.encode() for name, text in PAGE.items()}


def test_without_a_page_it_is_made_all_the_same_and_without_an_older_one(tree: Path, wheel: Path, tmp_path: Path) -> None:
    bare = tmp_path / "tree"
    shutil.copytree(tree, bare)  # with the build folder, in which the page lies
    shutil.rmtree(bare / "frontend")
    uv("build", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", "bare", cwd=bare)
    with zipfile.ZipFile(bare / "bare" / wheel.name) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.startswith("serve/built_page")]
    assert "engine/configs/smoke_perm_derivative.yaml" in names


class Installed:
    """The wheel in an environment of its own, and an empty folder to stand in."""

    def __init__(self, root: Path, wheel: Path) -> None:
        self.environment = root / "environment"
        venv.create(self.environment, symlinks=True)
        self.python = self.environment / "bin" / "python"
        uv("pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(self.python), str(wheel), cwd=root)
        (self.packages,) = self.environment.glob("lib/python*/site-packages")
        # What we stand on comes from this environment; files ending on .pth in there, an editable install's, are not read.
        (self.packages / "others.pth").write_text(sysconfig.get_path("purelib"))
        self.here = root / "here"
        self.here.mkdir()
        ours = ("PYTHONPATH", "NUMBA_CACHE_DIR", "SPYMASTER_LAKE", "VP_INSTRUMENT_CONFIG_PATH")
        self.variables = {name: value for name, value in os.environ.items() if name not in ours}
        self.variables |= {"XDG_CACHE_HOME": str(root / "cache"), "COLUMNS": "120"}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.start(str(self.python), *words, **variables)

    def start(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.here,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *words: str, **variables: str) -> Any:
        done = self.run(*words, **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("user"), wheel)


PROBE = """
import json
from engine.config import load_instrument
from engine.jit import cache_dir
from engine.lake import Lake, config_file
from serve.settings import PAGE_DIR
lake = Lake.open()
print(json.dumps({
    "lake": str(lake.root),
    "smoke": str(config_file(lake, "smoke_perm_derivative", "sweep")),
    "page": str(PAGE_DIR),
    "kernels": cache_dir(),
    "symbol": load_instrument().symbol_root,
}))
"""


def test_it_finds_what_it_brings_and_puts_its_own_where_the_user_stands(installed: Installed) -> None:
    found = installed.json("-c", PROBE, VP_INSTRUMENT_CONFIG_PATH="es")
    assert found["lake"] == str(installed.here / "lake")
    assert found["smoke"] == str(installed.packages / "engine" / "configs" / "smoke_perm_derivative.yaml")
    assert found["page"] == str(installed.packages / "serve" / "built_page")
    assert (Path(found["page"]) / "index.html").read_text() == PAGE["index.html"]
    assert Path(found["kernels"]).parent == Path(installed.variables["XDG_CACHE_HOME"], "spymaster", "kernels")
    assert found["symbol"] == "ES"


@pytest.mark.parametrize("package", PACKAGES)
def test_its_doors_open(package: str, installed: Installed) -> None:
    done = installed.run("-m", package, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m {package}" in done.stdout


def test_its_command_says_its_version_and_opens_the_demo(installed: Installed) -> None:
    spymaster = str(installed.environment / "bin" / "spymaster")
    done = installed.start(spymaster, "--version")
    assert (done.returncode, done.stdout) == (0, f"spymaster {PROJECT['version']}\n")
    done = installed.start(spymaster, "demo", "--port", "0", "--start-time", "09:05", "--lake", __file__)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("spymaster: lake was ")


def test_a_campaign_is_found_by_name_and_one_of_the_lake_goes_before_it(installed: Installed) -> None:
    words = ("-m", "engine", "campaign", "mnq_grid_spectrum_force_smoke", "--dry-run", "--json")
    shipped = installed.json(*words)
    assert shipped["variants"]
    own = installed.here / CONFIGS / "gold_campaigns" / "mnq_grid_spectrum_force_smoke.yaml"
    own.parent.mkdir(parents=True)
    text = (installed.packages / "engine/configs/gold_campaigns" / own.name).read_text()
    own.write_text(text.replace("name: ", "name: own_", 1))
    assert installed.json(*words)["name"] == f"own_{shipped['name']}"


def test_an_unknown_sweep_is_refused_with_the_names_there_are(installed: Installed) -> None:
    done = installed.run("-m", "tune", "sweep", "smoke")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "or one of: demo_planted_edge, smoke_perm_derivative, tune_perm_derivative\n" in done.stderr


def test_nothing_is_written_beside_the_packages(installed: Installed) -> None:
    installed.run("-c", PROBE)
    names = {path.name for path in installed.packages.iterdir()}
    assert {name for name in names if not name.startswith(("spymaster_orderflow-", "_", "distutils-"))} <= {
        *PACKAGES,
        "others.pth",
    }
