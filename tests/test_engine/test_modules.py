"""Which modules a source names, what of them counts, and what their hash is over."""

import sys
from hashlib import sha256
from pathlib import Path

import pytest

from engine import modules
from engine.modules import (
    Bundled,
    Standing,
    imports,
    is_standard,
    our_source,
    regular_distributions,
    source_files,
    standing,
    top_of,
)
from tests.own_signals import write_distribution


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import a", "", ["a"]),
        ("import a.b as c, d", "", ["a.b", "d"]),
        ("from a import b, c", "", ["a", "a.b", "a.c"]),
        ("from . import b", "p", ["p", "p.b"]),
        ("from .q import b", "p", ["p.q", "p.q.b"]),
        ("from . import b", "p.q", ["p.q", "p.q.b"]),
        ("from .. import b", "p.q", ["p", "p.b"]),
        ("from ..r import b", "p.q", ["p.r", "p.r.b"]),
        ("def late():\n    import a", "", ["a"]),
        ("try:\n    import a\nexcept ImportError:\n    from b import c", "", ["a", "b", "b.c"]),
        ("import importlib\nimportlib.import_module('a.b')", "", ["importlib", "a.b"]),
        ("import_module('a')\n__import__('b')", "", ["a", "b"]),
        ("load_module('a')\nimport_module(name)\nimport_module(1)\nimport_module()", "", []),
        ("x = 1", "", []),
    ],
)
def test_the_modules_a_source_names(source: str, package: str, expected: list[str]) -> None:
    assert sorted(imports(source.encode(), package)) == sorted(expected)


def test_names() -> None:
    assert (top_of("a.b.c"), top_of("a")) == ("a", "a")
    assert all(is_standard(name) for name in ("os", "os.path", "sys", "builtins"))
    assert not any(is_standard(name) for name in ("numpy", "engine", "osx"))
    assert our_source("engine.errors") == (modules._ROOT / "engine" / "errors.py").read_bytes()
    assert our_source("engine.signals") == (modules._ROOT / "engine" / "signals" / "__init__.py").read_bytes()
    assert our_source("engine.no_such_module") is None


def test_the_hash_is_over_versions_then_sources_each_by_name_length_and_content() -> None:
    one = Standing({"b": b"y", "a": b"x\n"}, {"numpy": "2.0", "a": "1"})
    assert one.digest() == sha256(b"a 1\nnumpy 2.0\na 2\nx\nb 1\ny").hexdigest()
    assert Standing({"a": b"x\n", "b": b"y"}, {"a": "1", "numpy": "2.0"}).digest() == one.digest()
    others = [
        Standing({"b": b"y", "a": b"x\n"}, {"numpy": "2.1", "a": "1"}),
        Standing({"b": b"y", "a": b"x\n"}, {"numpy": "2.0"}),
        Standing({"b": b"z", "a": b"x\n"}, one.versions),
        Standing({"c": b"y", "a": b"x\n"}, one.versions),
        Standing({"b": b"x\n", "a": b"y"}, one.versions),
        Standing({"a": b"x\nb 1\ny"}, one.versions),
    ]
    assert len({one.digest(), *(other.digest() for other in others)}) == 7


def test_of_what_was_found_the_sources_of_some_packages() -> None:
    found = Standing({"pack.b": b"2", "pack": b"1", "packed": b"3", "engine.x": b"4"}, {})
    assert list(source_files(found, {"pack"})) == [("pack", b"1"), ("pack.b", b"2")]
    assert list(source_files(found, {"packed", "engine"})) == [("engine.x", b"4"), ("packed", b"3")]


def test_modules_of_a_bundle_are_those_of_that_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else has their names; a package's modules stand in it, and what lies beside but is not named counts not."""
    beside = {"mine": "mine__1", "pack": "pack__1", "pack.deep": "pack__deep__1", "other": "other__1"}
    held = {
        "mine__1": Bundled("mine", b"import pack\nimport json\n", False, beside),
        "pack__1": Bundled("pack", b"from . import deep\n", True, beside),
        "pack__deep__1": Bundled("pack.deep", b"from engine.errors import ConfigError\n", False, beside),
        "other__1": Bundled("other", b"", False, beside),
        "mine__2": Bundled("mine", b"# another version\n", False, {"mine": "mine__2"}),
    }
    monkeypatch.setattr(modules, "bundled", held)
    found = standing(["mine__1"], "it", lambda name: name == "engine.errors")
    assert found.sources.keys() == {"mine", "pack", "pack.deep", "engine.errors"}
    assert found.sources["mine"] == held["mine__1"].source
    assert found.versions == {}
    assert standing(["mine__1"], "it", lambda name: False).sources.keys() == {"mine", "pack", "pack.deep"}
    assert standing(["mine__2"], "it", lambda name: False).sources == {"mine": b"# another version\n"}


def test_of_libraries_beneath_ours_the_named_ones_count_by_their_version() -> None:
    found = standing(["engine.schema"], "it", lambda name: name == "engine.schema", {"numpy": "numpy", "lightgbm": "lightgbm"})
    assert found.sources.keys() == {"engine.schema"}
    assert found.versions == {"numpy": sys.modules["numpy"].__version__}
    assert standing(["engine.schema"], "it", lambda name: name == "engine.schema").versions == {}


def test_a_distribution_counts_where_its_module_lies_and_not_by_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = write_distribution(tmp_path / "site", {}, "held", "3.1", {"held_pack/__init__.py": ""})
    here, told = str(site / "held_pack" / "__init__.py"), site / "held-3.1.dist-info" / "direct_url.json"
    monkeypatch.syspath_prepend(site)
    modules.forget_installed()
    try:
        assert regular_distributions("held_pack", here) == {"held": "3.1"}
        assert regular_distributions("held_pack", str(tmp_path / "elsewhere" / "held_pack" / "__init__.py")) == {}
        assert regular_distributions("unheld_pack", str(site / "unheld_pack.py")) == {}
        told.write_text('{"dir_info": {"editable": true}}')
        assert regular_distributions("held_pack", here) == {}
        told.write_text('{"dir_info": {"editable": false}}')
        assert regular_distributions("held_pack", here) == {"held": "3.1"}
        (site / "held-3.1.dist-info" / "RECORD").unlink()  # of no installer, and in no folder of installed packages
        assert regular_distributions("held_pack", here) == {}
    finally:
        monkeypatch.undo()
        modules.forget_installed()
