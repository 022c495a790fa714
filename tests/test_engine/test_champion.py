"""Champions and their pointer as files: what is written, what is read back, what is refused."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from engine.champion import (
    Champion,
    SignalSource,
    history,
    move_pointer,
    pointer_path,
    read_champion,
    read_pointed,
    read_pointer,
    roll_back,
    source_digest,
    version_path,
    versions,
    write_champion,
)
from engine.errors import ChampionError
from engine.lake import Lake


def make(version: int, **changes: Any) -> Champion:
    values: dict[str, Any] = {
        "version": version,
        "signal": "perm_derivative",
        "parameters": {"zscore_window_bins": 300, "tanh_scale": 1e-12 / 3, "enable_weighted_blend": False},
        "thresholds": (0.1,),
        "cooldown_bins": 30,
        "dataset_id": "a",
        "dataset_checksum": "ab" * 32,
        "evaluation": {"tp_ticks": 8, "sl_ticks": 4},
        "metrics": {"mean_pnl_ticks": 0.1 + 0.2, "tp_rate": None},
        "sweep": "s",
        "run_id": f"run{version}",
        "config_version": "0123456789ab",
        "state5_table": "reference",
        "cell_width_ms": 100,
        "grid_radius_ticks": 50,
        "code_version": "cd" * 8,
        "created_at": "2026-02-06T15:00:00+00:00",
    }
    return Champion(**{**values, **changes})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_champion_comes_back_exactly(lake: Lake) -> None:
    write_champion(lake, make(1))
    back = read_champion(lake, 1)
    assert back == make(1)
    assert type(back.parameters["enable_weighted_blend"]) is bool
    assert type(back.parameters["zscore_window_bins"]) is int


@pytest.mark.parametrize("name", ["source", "promise", "gate", "fitted"])
def test_what_a_champion_has_not_is_not_written_down(name: str, lake: Lake) -> None:
    assert name not in yaml.safe_load(write_champion(lake, make(1)).read_text())


def test_a_champions_gate_is_written_down(lake: Lake) -> None:
    gate = {"failed": ["too few trades"], "because": "to see it live"}
    written = write_champion(lake, make(1, gate=gate))
    assert read_champion(lake, 1) == make(1, gate=gate)
    assert yaml.safe_load(written.read_text())["gate"] == gate


def test_a_version_is_never_overwritten(lake: Lake) -> None:
    write_champion(lake, make(1))
    with pytest.raises(ChampionError, match=r"version 1 exists .* next free one is 2"):
        write_champion(lake, make(1, signal="other"))
    assert read_champion(lake, 1).signal == "perm_derivative"
    assert version_path(lake, 1).stat().st_mode & 0o222 == 0


def test_no_champion_yet(lake: Lake) -> None:
    assert read_pointer(lake).version is None
    assert history(lake) == []
    with pytest.raises(ChampionError, match="promote a run"):
        read_champion(lake)
    with pytest.raises(ChampionError, match="no earlier champion"):
        roll_back(lake)


def test_pointer_moves_and_its_etag_with_it(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    first = move_pointer(lake, 1)
    assert read_champion(lake).run_id == "run1"
    second = move_pointer(lake, 2)
    assert read_champion(lake).run_id == "run2"
    assert first.etag != second.etag
    assert second.trail == (1,)
    assert versions(lake) == [1, 2]


def test_none_is_in_service_like_a_version_and_is_rolled_back_like_one(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    assert (move_pointer(lake, 1).trail, read_pointer(lake).etag != "") == ((), True)
    none = move_pointer(lake, None)
    assert (none.version, none.trail) == (None, (1,))
    assert none.etag
    with pytest.raises(ChampionError, match="promote a run"):
        read_champion(lake)
    assert roll_back(lake).version == 1
    move_pointer(lake, None)
    assert move_pointer(lake, 2).trail == (1, None)
    assert (roll_back(lake).version, read_pointer(lake).trail) == (None, (1,))
    assert move_pointer(lake, None).trail == (1,)  # it serves already
    assert roll_back(lake).version == 1
    with pytest.raises(ChampionError, match="promote --none"):
        roll_back(lake)


def test_rollback_returns_along_the_trail_and_skips_what_was_rolled_back(lake: Lake) -> None:
    for version in (1, 2, 3, 4):
        write_champion(lake, make(version))
    for version in (1, 2, 3):
        move_pointer(lake, version)
    assert roll_back(lake).version == 2
    move_pointer(lake, 4)
    assert roll_back(lake).version == 2
    assert roll_back(lake).version == 1
    with pytest.raises(ChampionError, match="no earlier champion"):
        roll_back(lake)
    assert read_pointer(lake).version == 1


def test_pointer_refuses_unknown_and_damaged_versions_and_stays(lake: Lake) -> None:
    write_champion(lake, make(1))
    move_pointer(lake, 1)
    with pytest.raises(ChampionError, match=r"version was 9; .* holds 1"):
        move_pointer(lake, 9)
    (lake.models / "champion-000002.yaml").write_text("signal: [")
    with pytest.raises(ChampionError, match="not valid YAML"):
        move_pointer(lake, 2)
    assert read_pointer(lake).version == 1


def test_a_champion_edited_after_promotion_is_refused(lake: Lake) -> None:
    write_champion(lake, make(1))
    move_pointer(lake, 1)
    path = version_path(lake, 1)
    path.chmod(0o644)
    path.write_text(path.read_text().replace("cooldown_bins: 30", "cooldown_bins: 31"))
    with pytest.raises(ChampionError, match="not as it was promoted"):
        read_champion(lake)


def test_unknown_and_bad_fields_name_the_field(lake: Lake) -> None:
    content = make(1).model_dump(mode="json")
    lake.models.mkdir(parents=True, exist_ok=True)
    for change, word in (({"colour": 1}, "colour"), ({"cell_width_ms": -1}, "cell_width_ms was -1")):
        version_path(lake, 1).write_text(yaml.safe_dump({**content, **change}))
        with pytest.raises(ChampionError, match=word):
            read_champion(lake, 1)


def test_a_foreign_pointer_file_is_refused(lake: Lake) -> None:
    lake.models.mkdir(parents=True, exist_ok=True)
    pointer_path(lake).write_text("version: one\n")
    with pytest.raises(ChampionError, match="must hold version, sha256 and trail"):
        read_pointer(lake)


def test_a_champion_is_taken_with_the_digest_its_pointer_names_only(lake: Lake) -> None:
    write_champion(lake, make(1))
    state = move_pointer(lake, 1)
    assert state.digest == sha256(version_path(lake, 1).read_bytes()).hexdigest()
    assert read_champion(lake) == read_pointed(lake, state) == make(1)
    for digest in ("", "0" * 64, state.digest[:-1], state.digest.upper()):
        pointer_path(lake).write_text(yaml.safe_dump({"version": 1, "sha256": digest, "trail": []}))
        with pytest.raises(ChampionError, match="not as it was promoted"):
            read_champion(lake)
        with pytest.raises(ChampionError, match="not as it was promoted"):
            read_pointed(lake, replace(state, digest=digest))
    assert read_champion(lake, 1) == make(1)  # by its number it is read as it lies there


def test_what_a_pointer_named_is_read_wherever_it_points_by_now(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    first = move_pointer(lake, 1)
    move_pointer(lake, 2)
    assert read_pointed(lake, first).run_id == "run1"
    assert read_champion(lake).run_id == "run2"


def test_the_trail_holds_what_served_before_each_move_once_and_the_last_hundred(lake: Lake) -> None:
    for version in (1, 2, 101, 102):
        write_champion(lake, make(version))
    assert move_pointer(lake, 1).trail == ()
    assert move_pointer(lake, 1).trail == ()  # the same again is no move
    assert move_pointer(lake, 2).trail == (1,)
    assert move_pointer(lake, 2).trail == (1,)
    # As a hundred moves would have left it.
    pointer_path(lake).write_text(yaml.safe_dump({"version": 100, "sha256": "0" * 64, "trail": list(range(1, 100))}))
    assert move_pointer(lake, 101).trail == tuple(range(1, 101))
    assert move_pointer(lake, 102).trail == tuple(range(2, 102))
    state = roll_back(lake)
    assert (state.version, state.trail) == (101, tuple(range(2, 101)))
    assert state.digest == sha256(version_path(lake, 101).read_bytes()).hexdigest()
    assert read_champion(lake).version == 101


def test_the_etag_tells_two_pointers_of_one_version_apart(lake: Lake) -> None:
    for version in (1, 2):
        write_champion(lake, make(version))
    one = move_pointer(lake, 1)
    two = move_pointer(lake, 2)
    again = move_pointer(lake, 1)
    assert (one.version, one.trail, again.version, again.trail) == (1, (), 1, (1, 2))
    assert len({one.etag, two.etag, again.etag}) == 3
    assert read_pointer(lake) == again


def test_versions_are_numbers_in_order_and_nothing_else(lake: Lake) -> None:
    for version in (10, 9, 1_000_000):
        write_champion(lake, make(version))
    assert version_path(lake, 9).name == "champion-000009.yaml"
    (lake.models / "champion-draft.yaml").write_text("")
    (lake.models / "champion-000011.yaml.bak").write_text("")
    (lake.models / "champion.yaml").write_text("")
    assert versions(lake) == [9, 10, 1_000_000]
    assert [champion.version for champion in history(lake)] == [9, 10, 1_000_000]


def test_a_version_says_the_number_of_its_file(lake: Lake) -> None:
    write_champion(lake, make(1))
    version_path(lake, 2).write_bytes(version_path(lake, 1).read_bytes())
    with pytest.raises(ChampionError, match=r"champion-000002.yaml says version 1; its name says 2"):
        read_champion(lake, 2)
    with pytest.raises(ChampionError, match=r"version was 3; .* holds 1, 2"):
        read_champion(lake, 3)


@pytest.mark.parametrize(
    ("field", "refused", "taken"),
    [
        ("version", 0, 1),
        ("cooldown_bins", -1, 0),
        ("cell_width_ms", 0, 1),
        ("grid_radius_ticks", 0, 1),
        ("format_version", 0, 1),
        ("format_version", 2, 1),
        ("thresholds", (), (0.5,)),
        ("signal", "", "x"),
        ("dataset_id", "", "x"),
        ("dataset_checksum", "", "x"),
        ("run_id", "", "x"),
        ("config_version", "", "x"),
        ("state5_table", "", "x"),
        ("code_version", "", "x"),
        ("created_at", "", "x"),
    ],
)
def test_each_field_on_its_bound(field: str, refused: Any, taken: Any) -> None:
    assert getattr(make(1, **{field: taken} if field != "version" else {}), field) == taken
    values = make(1).model_dump() | {field: refused}
    with pytest.raises(ValidationError, match=field):
        Champion.model_validate(values)


FILES = {"a.py": "x = 1\n", "b.py": "y = 2\n"}


def test_the_digest_of_sources_is_over_main_names_lengths_and_contents() -> None:
    # By hand: main, then each file in order of its name, its name and length before its bytes.
    text = b"a\na.py 6\nx = 1\nb.py 6\ny = 2\n"
    assert source_digest("a", FILES) == sha256(text).hexdigest()
    assert source_digest("a", dict(reversed(FILES.items()))) == source_digest("a", FILES)
    others = [
        source_digest("b", FILES),
        source_digest("a", {"a.py": FILES["a.py"]}),
        source_digest("a", {"a.py": FILES["a.py"], "c.py": FILES["b.py"]}),
        source_digest("a", {"a.py": FILES["b.py"], "b.py": FILES["a.py"]}),
        source_digest("a", {"a.py": "x = 1\nb.py 6\ny = 2\n"}),  # the same bytes in one file
    ]
    assert len({source_digest("a", FILES), *others}) == 6
    assert source_digest("a", {"a.py": "ä"}) == sha256("a\na.py 2\nä".encode()).hexdigest()  # bytes, not letters


def test_a_foreign_signals_source_comes_back_to_the_letter_and_is_told_to_nobody(lake: Lake) -> None:
    files = {"mine.py": 'ODD = "\\t tab,\ttrailing: é"   \n\n# ä\n', "pack/__init__.py": ""}
    source = SignalSource(kind="file", hash=source_digest("mine", files), main="mine", files=files)
    assert source.digest() == source.hash
    write_champion(lake, make(1, signal="mine", source=source))
    write_champion(lake, make(2))
    back = read_champion(lake, 1)
    assert back.source == source
    told = back.told()
    assert told["source"] == {
        "kind": "file",
        "hash": source.hash,
        "main": "mine",
        "distribution": "",
        "distribution_version": "",
    }
    assert told == {**back.model_dump(mode="json"), "source": told["source"]}
    assert read_champion(lake, 2).source is None
    assert "source" not in yaml.safe_load(version_path(lake, 2).read_text())


@pytest.mark.parametrize("word", ["0" * 63, "0" * 65, "g" * 64, "A" * 64])
def test_a_sources_hash_is_64_hex_digits(word: str) -> None:
    with pytest.raises(ValidationError, match="hash"):
        SignalSource(kind="file", hash=word, main="a", files=FILES)
