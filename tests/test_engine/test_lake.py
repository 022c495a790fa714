from pathlib import Path

import pytest

from engine.errors import ConfigError, DatasetError
from engine.files import write_atomic, write_new
from engine.lake import Lake, config_file, raw_file, shipped_configs


def test_lake_is_the_argument_then_the_environment_then_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPYMASTER_LAKE", raising=False)
    assert Lake.open().root == tmp_path / "lake"
    monkeypatch.setenv("SPYMASTER_LAKE", str(tmp_path / "other"))
    assert Lake.open().root == tmp_path / "other"
    assert Lake.open(str(tmp_path / "third")).root == tmp_path / "third"


def test_uri_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only a folder"):
        Lake.open("s3://bucket/lake")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="which is a file"):
        Lake.open(tmp_path / "file")


def test_each_thing_has_its_place(tmp_path: Path) -> None:
    """interfaces.md, "Lake layout"."""
    lake = Lake(tmp_path)
    places = {
        "raw/source=databento/product_type=future_mbo/symbol=MNQ/table=market_by_order_dbn": lake.raw_dir("MNQ"),
        "raw/source=databento/product_type=p/symbol=ES/table=market_by_order_dbn": lake.raw_dir("ES", "p"),
        "research/vp_immutable": lake.datasets,
        "research/vp_harness": lake.harness,
        "research/vp_harness/configs": lake.configs,
        "research/vp_harness/results": lake.results,
        "research/vp_harness/sweeps": lake.sweeps,
        "models": lake.models,
        "mlflow": lake.mlflow,
        "cache": lake.cache,
        "cache/books": lake.book_checkpoints,
    }
    assert {path.relative_to(tmp_path).as_posix() for path in places.values()} == set(places)
    for expected, path in places.items():
        assert path == tmp_path / expected


def test_only_dbn_files_of_that_day_count(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    for name in ("a-20260206.dbn.part", "a-20260206.txt", "a-20260205.dbn", "b-20260206.zst"):
        (folder / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no file of that day \(there: a-20260205.dbn\)"):
        raw_file(lake, "MNQ", "2026-02-06")
    (folder / "a-20260206.dbn.zst").write_bytes(b"")
    assert raw_file(lake, "MNQ", "2026-02-06").name == "a-20260206.dbn.zst"
    (folder / "b-20260206.dbn").write_bytes(b"")  # one plain, one packed, but not the same capture
    with pytest.raises(DatasetError, match="2 files of that day"):
        raw_file(lake, "MNQ", "2026-02-06")


def test_raw_file_of_a_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = lake.raw_dir("MNQ")
    with pytest.raises(DatasetError, match=r"no file of that day \(there: nothing\)"):
        raw_file(lake, "MNQ", "2026-02-06")
    folder.mkdir(parents=True)
    (folder / "glbx-mdp3-20260206.mbo.dbn.zst").write_bytes(b"")
    assert raw_file(lake, "MNQ", "2026-02-06").name == "glbx-mdp3-20260206.mbo.dbn.zst"
    (folder / "glbx-mdp3-20260206.mbo.dbn").write_bytes(b"")
    assert raw_file(lake, "MNQ", "2026-02-06").name == "glbx-mdp3-20260206.mbo.dbn"
    (folder / "again-20260206.dbn").write_bytes(b"")
    with pytest.raises(DatasetError, match="2 files of that day|3 files of that day"):
        raw_file(lake, "MNQ", "2026-02-06")
    with pytest.raises(DatasetError, match="no file of that day"):
        raw_file(lake, "MNQ", "2026-02-07")


def test_atomic_write_replaces_whole_and_leaves_no_temporary(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"old")
    write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    write_new(tmp_path / "x", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "x", b"second")
    assert (tmp_path / "x").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_configuration_is_a_file_then_the_lakes_then_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake(tmp_path / "lake")
    shipped = shipped_configs() / "smoke_perm_derivative.yaml"
    assert shipped.is_file()
    assert config_file(lake, "smoke_perm_derivative", "sweep") == shipped
    assert config_file(lake, Path("smoke_perm_derivative.yaml"), "sweep") == shipped
    own = lake.configs / "smoke_perm_derivative.yaml"
    write_atomic(own, b"")
    assert config_file(lake, "smoke_perm_derivative", "sweep") == own
    here = Path("smoke_perm_derivative.yaml")
    here.write_text("")
    assert config_file(lake, here, "sweep") == here
    assert config_file(lake, "smoke_perm_derivative", "sweep") == own


def test_a_configuration_is_of_its_kind(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    campaign = "mnq_grid_spectrum_force_smoke"
    assert config_file(lake, campaign, "campaign") == shipped_configs() / "gold_campaigns" / f"{campaign}.yaml"
    write_atomic(lake.configs / "gold_campaigns" / "mine.yaml", b"")
    assert config_file(lake, "mine", "campaign").parent == lake.configs / "gold_campaigns"
    shipped = "demo_planted_edge, smoke_perm_derivative, tune_perm_derivative"
    with pytest.raises(ConfigError, match=rf"^sweep was 'mine', .* one of: {shipped}$"):
        config_file(lake, "mine", "sweep")


@pytest.mark.parametrize("given", ["some/smoke_perm_derivative.yaml", "/nowhere/a.yaml", "../a.yaml"])
def test_a_path_is_left_as_it_is(given: str, tmp_path: Path) -> None:
    assert config_file(Lake(tmp_path), given, "sweep") == Path(given)
