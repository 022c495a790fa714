"""A signal's file with what lies beside it: what travels, under which names it runs, what is left when it fails."""

import sys
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.modules import bundled
from engine.signals.bundle import Bundle, load_bundle, read_bundle
from tests.own_signals import signal_text, write_signal, write_with_helper


def test_the_hash_is_of_main_names_and_texts_and_not_of_the_place() -> None:
    one = Bundle("mine", {"mine.py": "a", "helpers.py": "b"}, "/here/mine.py")
    assert Bundle("mine", {"helpers.py": "b", "mine.py": "a"}, "/there/mine.py").hash == one.hash
    others = [
        Bundle("helpers", one.sources),
        Bundle("mine", {"mine.py": "b", "helpers.py": "a"}),
        Bundle("mine", {"mine.py": "a"}),
        Bundle("mine", {"mine.py": "a", "helper.py": "b"}),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == 5
    assert (one.title, Bundle("mine", one.sources).title) == ("/here/mine.py", "mine.py")
    assert Bundle(**one.as_dict()) == one
    assert Bundle(**one.as_dict()).path == one.path


def test_a_package_goes_before_a_module_of_its_name_as_python_has_it(tmp_path: Path) -> None:
    write_signal(tmp_path, imports="import both\n\nFOUND = both.FOUND\n")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "__init__.py").write_text("FOUND = 'package'\n")
    (tmp_path / "both.py").write_text("FOUND = 'module'\n")
    bundle = read_bundle(tmp_path / "mine.py")
    assert sorted(bundle.sources) == ["both/__init__.py", "mine.py"]
    assert sys.modules[load_bundle(bundle).signals["mine"].__module__].FOUND == "package"


def test_one_bundle_is_run_once_and_another_apart(tmp_path: Path) -> None:
    bundle = read_bundle(write_with_helper(tmp_path))
    loaded = load_bundle(bundle)
    assert load_bundle(Bundle(bundle.main, dict(bundle.sources))) is loaded  # wherever it came from
    cls = loaded.signals["mine"]
    assert cls.__module__ == f"mine__{bundle.hash[:16]}"
    assert bundled[cls.__module__].name == "mine"
    assert bundled[f"helpers__{bundle.hash[:16]}"].source == bundle.sources["helpers.py"].encode()
    other = load_bundle(read_bundle(write_with_helper(tmp_path / "other", "7.0"))).signals["mine"]
    assert other is not cls
    assert (sys.modules[cls.__module__].weigh, sys.modules[other.__module__].weigh) != (None, None)
    assert sys.modules[cls.__module__].weigh is not sys.modules[other.__module__].weigh
    assert "helpers" not in sys.modules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import helpers\n\nraise RuntimeError('no')\n", "line 3: RuntimeError: no"),
        ("import helpers\n", "holds no signal"),
        ("import helpers\n" + signal_text().replace('name = "mine"', "pass"), "has no name"),
        ("import helpers\n" + signal_text() + "\n\nclass Again(Mine):\n    pass\n", "two signals named 'mine'"),
    ],
)
def test_a_bundle_that_failed_leaves_no_module_behind(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "helpers.py").write_text("X = 1\n")
    (tmp_path / "mine.py").write_text(text)
    bundle = read_bundle(tmp_path / "mine.py")
    for _ in range(2):  # told again, not taken for loaded
        with pytest.raises(ConfigError, match=words):
            load_bundle(bundle)
        assert not [name for name in (*sys.modules, *bundled) if name.endswith(bundle.hash[:16])]


def test_bases_without_a_name_are_no_signals_and_classes_of_others_neither(tmp_path: Path) -> None:
    text = signal_text().replace("class Mine", "class Base").replace('    name = "mine"\n', "")
    path = tmp_path / "mine.py"
    path.write_text("from helpers import Mine as Theirs\n" + text + '\n\nclass Mine(Base):\n    name = "of_base"\n')
    (tmp_path / "helpers.py").write_text(signal_text("theirs"))
    assert list(load_bundle(read_bundle(path)).signals) == ["of_base"]


def test_a_copy_for_the_compiler_is_mended_where_it_is_not_the_bundles(tmp_path: Path) -> None:
    bundle = read_bundle(write_signal(tmp_path))
    module = sys.modules[load_bundle(bundle).signals["mine"].__module__]
    copy = Path(module.__file__ or "")
    assert copy.read_text() == bundle.sources["mine.py"]
    assert copy.parent.name == bundle.hash
