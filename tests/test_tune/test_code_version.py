from pathlib import Path

import pytest

from engine.errors import ConfigError
from tune import code_version as module
from tune.code_version import code_version


@pytest.fixture
def touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Code version of perm_derivative after a line was added to one file of a copy of the sources."""
    root = module._ROOT

    def change(name: str | None) -> str:
        for package in ("engine", "tune"):
            for path in (root / package).rglob("*.py"):
                copy = tmp_path / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes() + (b"\n# touched\n" if str(path.relative_to(root)) == name else b""))
        monkeypatch.setattr(module, "_ROOT", tmp_path)
        return code_version.__wrapped__("perm_derivative")

    return change


def test_it_follows_the_model_what_it_imports_and_the_scoring(touched) -> None:
    same = touched(None)
    assert same == code_version("perm_derivative")
    for name in ("engine/signals/statistical/perm_derivative.py", "engine/rolling.py", "tune/scoring.py", "tune/trial.py"):
        assert touched(name) != same, name
    for name in ("tune/cli.py", "engine/book/owner.py", "engine/signals/registry.py", "engine/errors.py"):
        assert touched(name) == same, name


def test_unknown_signal() -> None:
    with pytest.raises(ConfigError, match="not known"):
        code_version("nope")


def test_it_follows_the_library_that_fits_a_learned_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: code_version.__wrapped__(name) for name in ("gbm_mf", "svm_sp", "ads")}
    monkeypatch.setattr(module, "version", lambda name: "9.9" if name == "lightgbm" else "1.0")
    after = {name: code_version.__wrapped__(name) for name in before}
    monkeypatch.setattr(module, "version", lambda name: "1.0")
    assert after["gbm_mf"] != code_version.__wrapped__("gbm_mf")
    assert after["ads"] == before["ads"]
    assert after["svm_sp"] != before["svm_sp"]
