"""The signals that are shipped to start from keep the contract, and the page about them says what can be typed."""

import shlex
from pathlib import Path

import pytest
import yaml

from engine.cli import DOOR as ENGINE
from engine.cli import main
from engine.signals.bundle import load_bundle, read_bundle
from serve.cli import DOOR as SERVE
from serve.trust import ALLOW_ENV
from tests.conftest import REPO_ROOT
from tune.cli import DOOR as TUNE
from tune.config import parse_sweep_config

EXAMPLES = REPO_ROOT / "engine" / "examples"
PAGE = (EXAMPLES / "your_own_signal.md").read_text()
TYPED = [shlex.split(line, comments=True) for line in PAGE.splitlines() if line.startswith("    python -m ")]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*signal*.py")), ids=lambda path: path.stem)
def test_each_example_keeps_the_contract(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-signal", str(path)]) == 0, capsys.readouterr().out


def test_the_short_example_is_short() -> None:
    text = (EXAMPLES / "my_signal.py").read_text()
    own = [line for line in text.splitlines() if line.strip() and not line.startswith(("import ", "from ", '"""'))]
    assert len(own) <= 36


def test_the_page_names_the_signal_that_is_there() -> None:
    (block,) = [part for part in PAGE.split("\n\n") if part.startswith("    name: touch_flow")]
    values = yaml.safe_load(block)
    config = parse_sweep_config(values, "the page")
    (cls,) = load_bundle(read_bundle(EXAMPLES / config.signal_files[0])).signals.values()
    assert config.signals == (cls.name,)
    assert set(config.sweep.per_signal[cls.name]) <= set(cls.Params.model_fields)
    assert ALLOW_ENV in PAGE


@pytest.mark.parametrize("words", TYPED, ids=" ".join)
def test_every_line_to_be_typed_is_taken(words: list[str]) -> None:
    door = {"engine": ENGINE, "tune": TUNE, "serve": SERVE}[words[2]]
    assert callable(door.parse(words[3:], words[2]).run)


def test_the_page_has_lines_to_be_typed() -> None:
    assert {words[2] for words in TYPED} == {"engine", "tune", "serve"}
    assert len(TYPED) >= 10
