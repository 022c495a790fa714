"""A champion's signal as a node loads it: built in, from its own source, or installed; never another than the promoted one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.champion import Champion, SignalSource, source_digest
from engine.errors import ChampionError, ConfigError
from engine.signals import promoted, registry
from engine.signals.base import SignalContext
from engine.signals.bundle import read_bundle
from engine.signals.example import example_inputs
from engine.signals.promoted import load_built_in, make_promoted, promoted_class, source_of
from engine.signals.registry import BUILT_IN, SIGNALS, add_bundle, add_class, get_signal, signals_of
from tests.own_signals import PLAIN, signal_text, write_signal, write_with_helper
from tests.test_engine.test_champion import make

PACK = {"outside_pack/__init__.py": "", "outside_pack/base.py": "X = 1\n"}
FLOW = signal_text(imports="from outside_pack import base\n")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    """Nothing that a test makes known or takes is known to the next."""
    with signals_of(()):
        yield
    promoted._taken.clear()


def champion_of(source: SignalSource | None, signal: str = "mine", **fields: Any) -> Champion:
    return make(3, signal=signal, parameters={"window_bins": 4}, source=source, **fields)


def of_file(path: Path) -> Champion:
    with signals_of([read_bundle(path)]):
        return champion_of(source_of("mine"))


def test_a_built_in_needs_no_source_and_means_the_built_in_one() -> None:
    assert source_of("ads") is None
    champion = make(1, signal="ads", parameters={})
    assert promoted_class(champion) is get_signal("ads") is load_built_in("ads")
    with pytest.raises(ConfigError, match=r"signal 'mine' is not known; choose one of: ads, "):
        promoted_class(champion_of(None))


def test_a_built_in_is_meant_whatever_else_is_at_hand(tmp_path: Path) -> None:
    cls = load_built_in("ads")
    SIGNALS["ads"] = type("Ads", (cls,), {})
    try:
        assert promoted_class(make(1, signal="ads", parameters={})) is cls
    finally:
        del SIGNALS["ads"]


def test_a_files_source_is_its_bundle(tmp_path: Path) -> None:
    path = write_with_helper(tmp_path)
    bundle = read_bundle(path)
    with signals_of([bundle]):
        source = source_of("mine")
    assert source == SignalSource(kind="file", hash=bundle.hash, main="mine", files=dict(bundle.sources))
    assert sorted(bundle.sources) == ["helpers.py", "mine.py"]


def test_a_class_at_hand_has_no_source_that_could_travel(tmp_path: Path) -> None:
    with signals_of([read_bundle(write_signal(tmp_path))]):
        cls = get_signal("mine")
    add_class(cls)
    try:
        with pytest.raises(ConfigError, match="signal mine comes from a class Mine of .*; put it in a file"):
            source_of("mine")
    finally:
        del SIGNALS["mine"]


def test_it_is_made_with_the_champions_parameters_on_the_champions_grid(tmp_path: Path) -> None:
    champion = of_file(write_signal(tmp_path)).model_copy(update={"cell_width_ms": 250, "grid_radius_ticks": 9})
    made = make_promoted(champion)
    assert made.context == SignalContext(cell_width_ms=250, radius=9)  # type: ignore[attr-defined]
    assert made.params.window_bins == 4
    other = SignalContext(cell_width_ms=100, radius=5)
    assert make_promoted(champion, other).context == other  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="window"):
        make_promoted(champion.model_copy(update={"parameters": {"window": 4}}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal": "ads"}, "brings its own ads, which is the name of a built-in signal"),
        ({"signal": "yours"}, "its source holds mine, not yours"),
    ],
)
def test_a_name_that_is_not_its_own_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ChampionError, match=f"champion version 3.*{words}"):
        promoted_class(of_file(write_signal(tmp_path)).model_copy(update=change))


@pytest.mark.parametrize("what", ["text", "name", "main", "hash"])
def test_each_part_of_a_source_is_under_its_hash(tmp_path: Path, what: str) -> None:
    champion = of_file(write_with_helper(tmp_path))
    source = champion.source
    assert source is not None
    assert promoted_class(champion).name == "mine"
    changes: dict[str, dict[str, Any]] = {
        "text": {"files": source.files | {"helpers.py": source.files["helpers.py"] + "#"}},
        "name": {"files": {"mine.py": source.files["mine.py"], "helper.py": source.files["helpers.py"]}},
        "main": {"main": "helpers"},
        "hash": {"hash": "0" * 64},
    }
    edited = champion.model_copy(update={"source": source.model_copy(update=changes[what])})
    with pytest.raises(ChampionError, match="was changed after its promotion"):
        promoted_class(edited)


def test_a_class_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    files = {"mine.py": signal_text().replace("(0.1, 0.5, 1.0, 2.0)", "()")}
    source = SignalSource(kind="file", hash=source_digest("mine", files), main="mine", files=files)
    with pytest.raises(ConfigError, match="champion version 3, class Mine: default_thresholds was"):
        promoted_class(champion_of(source))


def test_two_versions_of_a_file_are_two_classes(tmp_path: Path) -> None:
    one, two = (of_file(write_signal(tmp_path / n, value=f"{n}.0 * ({PLAIN})")) for n in ("1", "2"))
    bins = example_inputs(promoted_class(one), 30)
    once, twice, again = (make_promoted(champion).run(bins)["score"] for champion in (one, two, one))
    assert np.any(once)
    assert np.array_equal(twice, 2.0 * once)
    assert once.tobytes() == again.tobytes()


# --- installed ones ---


def installed(install: Callable[..., Path], version: str = "1.5", name: str = "outside", **edited: str) -> Path:
    files = PACK | {"outside_pack/flow.py": FLOW} | {f"outside_pack/{stem}.py": text for stem, text in edited.items()}
    return install({"mine": "outside_pack.flow:Mine"}, files, name, version)


def test_an_installed_signals_source_is_its_package_and_its_distribution(install: Callable[..., Path]) -> None:
    installed(install)
    files = {"outside_pack": "", "outside_pack.base": "X = 1\n", "outside_pack.flow": FLOW}
    source = source_of("mine")
    assert source == SignalSource(
        kind="entry point",
        hash=source_digest("outside_pack.flow:Mine", files),
        main="outside_pack.flow:Mine",
        distribution="outside",
        distribution_version="1.5",
        files=files,
    )
    assert "outside_pack.flow" not in sys.modules  # nothing of it has run
    cls = promoted_class(champion_of(source))
    assert (cls.name, cls.__module__) == ("mine", "outside_pack.flow")
    assert promoted_class(champion_of(source)) is cls  # and again, now that it runs


def test_an_installed_signal_that_differs_is_refused_before_it_runs(install: Callable[..., Path]) -> None:
    folder = installed(install)
    champion = champion_of(source_of("mine"))
    (folder / "outside_pack" / "base.py").write_text("X = 2\n")
    (folder / "outside_pack" / "flow.py").write_text(
        FLOW.replace("from outside_pack import base", "from outside_pack import more")
    )
    (folder / "outside_pack" / "more.py").write_text("")
    with pytest.raises(ChampionError, match=r"promoted with outside 1\.5; here is outside 1\.5, where (.*) differs") as refused:
        promoted_class(champion)
    assert "where outside_pack.base, outside_pack.flow, outside_pack.more differs" in str(refused.value)
    assert "outside_pack.flow" not in sys.modules


def test_a_process_that_runs_one_source_takes_no_other_under_its_name(install: Callable[..., Path]) -> None:
    folder = installed(install)
    first = champion_of(source_of("mine"))
    promoted_class(first)
    (folder / "outside_pack" / "base.py").write_text("X = 2\n")  # an upgrade while it runs
    second = champion_of(source_of("mine"))
    assert second.source != first.source
    with pytest.raises(ChampionError, match=r"this process runs outside_pack\.flow:Mine of another source"):
        promoted_class(second)
    assert promoted_class(first).name == "mine"  # what runs is what was promoted first


def test_an_installed_signal_must_be_here_by_the_same_entry_point(install: Callable[..., Path]) -> None:
    installed(install)
    source = source_of("mine")
    assert source is not None
    elsewhere = source.files
    moved = SignalSource(
        kind="entry point",
        hash=source_digest("outside_pack.other:Mine", elsewhere),
        main="outside_pack.other:Mine",
        distribution="outside",
        distribution_version="1.4",
        files=elsewhere,
    )
    with pytest.raises(
        ChampionError, match=r"needs outside_pack\.other:Mine of outside 1\.4; here is entry point outside_pack\.flow"
    ):
        promoted_class(champion_of(moved))
    with pytest.raises(ChampionError, match=r"needs outside 1\.5 installed here: signal 'yours' is not known"):
        promoted_class(champion_of(source, "yours"))


@pytest.mark.parametrize("kind", ["file", "class"])
def test_what_is_at_hand_under_its_name_is_no_installed_signal(tmp_path: Path, install: Callable[..., Path], kind: str) -> None:
    """Not even the class that the entry point gave: nobody vouches any more that it is of that distribution."""
    folder = installed(install)
    champion = champion_of(source_of("mine"))
    cls = registry.load_class("outside_pack.flow:Mine", "it")
    (folder / "outside-1.5.dist-info" / "entry_points.txt").write_text("")
    registry.forget_entry_points()
    if kind == "file":
        add_bundle(read_bundle(write_signal(tmp_path / "own")))
    else:
        add_class(cls)
    try:
        with pytest.raises(ChampionError, match=f"needs outside_pack.flow:Mine of outside 1.5; here is {kind} "):
            promoted_class(champion)
    finally:
        if kind == "class":
            del SIGNALS["mine"]


def test_every_built_in_is_known_by_its_name() -> None:
    for name in BUILT_IN:
        assert load_built_in(name).name == name
