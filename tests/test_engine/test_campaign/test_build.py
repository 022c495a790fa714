"""A campaign on a real local Ray: what is missing is built once, what fails costs no other, and the index tells it."""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import databento_dbn
import numpy as np
import pytest
import zstandard

from engine.campaign.build import (
    CampaignReport,
    _ctrl_c,
    _require_capture,
    build_variant,
    describe,
    index_path,
    plan_campaign,
    run_campaign,
)
from engine.campaign.plan import Campaign, load_campaign
from engine.dataset.read import Dataset
from engine.errors import ConfigError, DatasetError, EngineError
from engine.files import sha256_file
from engine.lake import Lake
from engine.ray_environment import begin_ray, init_arguments, prepare_ray_environment
from engine.run.replay import Replay
from engine.schema import BIN_DTYPE, GRID_COLUMNS
from engine.source.records import open_source
from tests.full_disk import room_for
from tests.streams import DAY, record, to_array, write_dbn
from tests.test_engine.test_campaign.small_campaign import campaign_values, lake_with, write_campaign

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ray_running() -> Iterator[None]:
    """One Ray of two workers for all tests here; a campaign joins the Ray its process is connected to."""
    prepare_ray_environment(is_own=True)
    import ray

    begin_ray(ray.init, init_arguments("local", 2, 0, ("engine",)))
    yield
    ray.shutdown()


@pytest.fixture
def lake(simulated_file: Path, tmp_path: Path) -> Lake:
    return lake_with(simulated_file, tmp_path / "lake")


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return load_campaign(write_campaign(tmp_path))


def run(
    lake: Lake, campaign: Campaign, watched: list[tuple[float, str]] | None = None, **how: object
) -> tuple[CampaignReport, list[str]]:
    """The report, and the lines that were said."""
    said: list[str] = []
    seen: list[tuple[float, str]] = [] if watched is None else watched
    watch = lambda share, note: seen.append((share, note))  # noqa: E731
    report = run_campaign(lake, campaign, say=said.append, watch=watch, **how)  # type: ignore[arg-type]
    return report, said


def index_of(lake: Lake, campaign: Campaign) -> dict[str, object]:
    values: dict[str, object] = json.loads(index_path(lake, campaign.slug).read_text())
    return values


def test_every_variants_dataset_is_its_own_replay_bit_for_bit(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    report, _ = run(lake, campaign)
    assert (report.n_built, report.n_present, report.failures) == (4, 0, {})
    (raw,) = lake.raw_dir("MNQ").iterdir()
    variants, present = plan_campaign(lake, campaign, None)
    assert present == {variant.dataset_id for variant in variants}
    for variant in variants:
        dataset = Dataset.open(lake, variant.dataset_id)
        blocks = list(Replay(open_source([raw], variant.config, DAY), variant.config, "09:00:05", variant.n_bins))
        assert dataset.n_bins == variant.n_bins == sum(block.n for block in blocks)
        for name in GRID_COLUMNS:
            assert dataset.columns([name])[name].tobytes() == np.concatenate([b.grid[name] for b in blocks]).tobytes(), name
        for name in BIN_DTYPE.names or ():
            assert dataset.bins([name])[name].tobytes() == np.concatenate([b.bins[name] for b in blocks]).tobytes(), name
        assert dataset.manifest["source_files"] == [
            {"path": str(raw), "size": raw.stat().st_size, "sha256": sha256_file(raw)}
        ]  # the raw file, not the decoded copy
        assert dataset.manifest["overrides"] == variant.overrides
        assert dataset.manifest["config_version"] == variant.config.config_version


def test_index_lists_variants_overrides_ids_and_summaries(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    run(lake, campaign)
    index = index_of(lake, campaign)
    variants, _ = plan_campaign(lake, campaign, None)
    assert index["campaign"] == campaign.model_dump(mode="json")
    listed = index["variants"]
    assert isinstance(listed, list)
    assert [(one["dataset_id"], one["overrides"]) for one in listed] == [(v.dataset_id, v.overrides) for v in variants]
    for one, variant in zip(listed, variants, strict=True):
        dataset = Dataset.open(lake, variant.dataset_id)
        assert one["state"] == "ready"
        assert one["config_version"] == variant.config.config_version
        assert one["summary"]["n_bins"] == variant.n_bins
        assert one["summary"]["checksum"] == dataset.checksum
        assert one["summary"]["quality"] == dataset.manifest["quality"]


def test_second_run_builds_nothing_says_so_and_touches_no_file(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    run(lake, campaign)
    before = {path: path.stat().st_mtime_ns for path in (lake.root / "research").rglob("*")}
    report, said = run(lake, campaign)
    assert (report.n_built, report.n_present) == (0, 4)
    assert "4 variants, 4 there already, 0 to build" in said[0]
    assert {path: path.stat().st_mtime_ns for path in (lake.root / "research").rglob("*")} == before


def test_second_run_needs_no_raw_file(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    run(lake, campaign)
    for path in lake.raw_dir("MNQ").iterdir():
        path.unlink()
    assert run(lake, campaign)[0].n_present == 4


def built(said: list[str]) -> set[str]:
    """Ids of the datasets that were built."""
    return {line.split(": ")[1].split(" in ")[0] for line in said if line.startswith("built ")}


def test_only_the_first_variants_are_built_and_the_others_later(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    ids = [variant.dataset_id for variant in plan_campaign(lake, campaign, None)[0]]
    first, said = run(lake, campaign, limit=1)
    assert (first.n_built, [one["dataset_id"] for one in first.variants], built(said)) == (1, ids[:1], set(ids[:1]))
    assert plan_campaign(lake, campaign, None)[1] == set(ids[:1])
    rest, said = run(lake, campaign)
    assert (rest.n_built, rest.n_present, built(said)) == (3, 1, set(ids[1:]))


def test_a_failing_variant_is_named_and_costs_no_other(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    variants, _ = plan_campaign(lake, campaign, None)
    blocked = variants[1].dataset_id
    lake.datasets.mkdir(parents=True)
    (lake.datasets / blocked).write_text("in the way")
    watched: list[tuple[float, str]] = []
    report, said = run(lake, campaign, watched)
    assert list(report.failures) == [blocked]
    assert (report.n_built, report.n_present) == (3, 0)
    assert any(line.startswith("failed") and blocked in line for line in said)
    done = [line.split(":")[0].split()[1] for line in said if line.startswith(("built", "failed"))]
    assert done == ["1/4", "2/4", "3/4", "4/4"]
    shares = [share for share, _ in watched]
    assert shares == sorted(shares)
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert watched[-1] == (1.0, "4/4 variants, 0 bins under way")
    seconds = [float(line.split(" in ")[1].removesuffix(" s")) for line in said if line.startswith("built")]
    assert all(0.0 <= one < 240.0 for one in seconds)
    states = {one["dataset_id"]: one["state"] for one in report.variants}
    assert [states[v.dataset_id] for v in variants] == ["ready", "failed", "ready", "ready"]
    (lake.datasets / blocked).unlink()
    mended, said = run(lake, campaign)
    assert built(said) == {blocked}
    assert (mended.n_built, mended.n_present, mended.failures) == (1, 3, {})
    assert {one["state"] for one in mended.variants} == {"ready"}


def test_nothing_is_left_in_the_cache_of_decoded_records(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    run(lake, campaign)
    assert list((lake.cache / "records").iterdir()) == []
    assert [path.suffix for path in (lake.cache / "campaigns").iterdir()] == [".lock"]


def test_what_a_killed_worker_left_is_removed(ray_running: None, lake: Lake, campaign: Campaign) -> None:
    variants, _ = plan_campaign(lake, campaign, None)
    left = lake.datasets / f".{variants[0].dataset_id}.abcdef.tmp"
    left.mkdir(parents=True)
    (left / "bins.parquet").write_bytes(b"half")
    run(lake, campaign)
    assert not left.exists()


def test_only_the_variant_whose_own_dataset_stands_is_there(lake: Lake, campaign: Campaign) -> None:
    variants, present = plan_campaign(lake, campaign, None)
    assert present == set()
    assert build_variant(lake.root, variants[2], _require_capture(lake, campaign, variants[2]))[0] == ""
    assert plan_campaign(lake, campaign, None)[1] == {variants[2].dataset_id}
    assert plan_campaign(lake, campaign, 2)[1] == set()
    told = [describe(lake, variant, "") for variant in variants]
    assert [one["state"] for one in told] == ["missing", "missing", "ready", "missing"]
    assert [one["summary"] is None for one in told] == [True, True, False, True]
    failed = describe(lake, variants[2], "no room")
    assert (failed["state"], failed["problem"], failed["summary"]) == ("failed", "no room", None)


# What is refused before a worker starts


def refusal(lake: Lake, campaign: Campaign, **how: object) -> str:
    with pytest.raises(EngineError) as error:
        run(lake, campaign, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_capture_beyond_the_file_is_refused(lake: Lake, tmp_path: Path, campaign: Campaign) -> None:
    capture = campaign.base_capture.model_dump(mode="json") | {"capture_end_et": "09:01:00"}
    longer = load_campaign(write_campaign(tmp_path, base_capture=capture))
    told = refusal(lake, longer)
    assert "ends at 2026-02-06 09:00:40" in told
    assert "09:01:00" in told


@pytest.mark.parametrize(("end", "is_enough"), [("09:00:39", True), ("09:00:40", True), ("09:00:41", False)])
def test_capture_may_reach_to_the_very_end_of_the_file(lake: Lake, tmp_path: Path, end: str, is_enough: bool) -> None:
    capture = campaign_values()["base_capture"] | {"capture_end_et": end}
    read = load_campaign(write_campaign(tmp_path, base_capture=capture))
    (first, *_), _ = plan_campaign(lake, read, None)
    if is_enough:
        _require_capture(lake, read, first)
        return
    with pytest.raises(EngineError, match="ends at 2026-02-06 09:00:40"):
        _require_capture(lake, read, first)


def test_raw_file_that_is_missing_is_refused_with_its_folder(tmp_path: Path, campaign: Campaign) -> None:
    lake = Lake(tmp_path / "empty")
    assert str(lake.raw_dir("MNQ")) in refusal(lake, campaign)


def test_cold_file_is_refused_and_taken_when_allowed(ray_running: None, tmp_path: Path, campaign: Campaign) -> None:
    quotes = [record("A", 1, tick=-1, side="B"), record("A", 2, tick=1, side="A")]
    adds = [record("A", 10 + i, tick=-5, time=i * 100_000_000) for i in range(1, 160)]
    path = write_dbn(tmp_path / "glbx-20260206.dbn.zst", to_array([*quotes, *adds]))
    lake = lake_with(path, tmp_path / "lake")
    assert "starts cold" in refusal(lake, campaign)
    report, _ = run(lake, campaign, allow_cold=True, limit=1)
    assert report.variants[0]["summary"]["quality"]["cold"] == 100


def test_a_file_that_says_nowhere_whose_it_is_is_refused_and_taken_when_allowed(
    ray_running: None, tmp_path: Path, campaign: Campaign, simulated_file: Path
) -> None:
    named = zstandard.ZstdDecompressor().decompressobj().decompress(simulated_file.read_bytes())
    metadata = databento_dbn.Metadata.decode(named)
    start = 8 + int.from_bytes(named[4:8], "little")
    nameless = databento_dbn.Metadata(
        dataset="GLBX.MDP3",
        start=metadata.start,
        end=metadata.end,
        stype_in=None,
        stype_out=metadata.stype_out,
        schema=metadata.schema,
        symbols=[],
        mappings=[],
    ).encode()
    path = tmp_path / simulated_file.name
    path.write_bytes(zstandard.compress(nameless + named[start:]))
    lake = lake_with(path, tmp_path / "lake")
    assert "says nowhere" in refusal(lake, campaign)
    report, _ = run(lake, campaign, assumes_symbol=True, limit=1)
    assert (report.n_built, report.variants[0]["state"]) == (1, "ready")


def test_a_campaign_that_only_tells_has_built_nothing() -> None:
    told = CampaignReport("a", "index.json", []).to_json()
    assert told == {
        "name": "a",
        "index": "index.json",
        "variants": [],
        "n_built": 0,
        "n_present": 0,
        "failures": {},
        "notices": [],
    }


@pytest.mark.parametrize("limit", [0, -3])
def test_no_variants_are_refused(lake: Lake, campaign: Campaign, limit: int) -> None:
    assert f"--max-variants was {limit}" in refusal(lake, campaign, limit=limit)


def test_a_campaign_is_run_by_one_process_at_a_time(lake: Lake, campaign: Campaign) -> None:
    told: list[str] = []

    def again(line: str) -> None:
        """While the first run holds the lock."""
        with pytest.raises(ConfigError) as error:
            run(lake, campaign)
        told.append(str(error.value))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_campaign(lake, campaign, say=again, watch=lambda share, note: None)
    assert "by another process" in told[0]


def test_ctrl_c_is_remembered_where_the_exception_is_swallowed() -> None:
    before = signal.getsignal(signal.SIGINT)
    with _ctrl_c() as pressed:
        assert not pressed.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert pressed.is_set()
    assert signal.getsignal(signal.SIGINT) is before
    with _ctrl_c() as again:
        assert not again.is_set()


def test_ctrl_c_is_left_alone_in_another_thread_and_where_it_is_ignored() -> None:
    def enter() -> tuple[bool, object]:
        with _ctrl_c() as pressed:
            return pressed.is_set(), signal.getsignal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(enter).result(20.0) == (False, before)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert enter() == (False, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# One file for all of a campaign


def other_day(lake: Lake, name: str = "other.dbn.zst") -> Path:
    """Another session of the same day beside the raw file; put under its name by ``replace``."""
    from engine.simulate.session import simulate

    path = lake.raw_dir("MNQ") / name
    simulate(path, seed=8, seconds=40.0, rate=400.0)
    return path


def test_a_worker_refuses_another_file_than_the_campaign_began_with(lake: Lake, campaign: Campaign) -> None:
    variants, _ = plan_campaign(lake, campaign, 1)
    raw = _require_capture(lake, campaign, variants[0])
    other_day(lake).replace(raw.paths[0])
    problem, _ = build_variant(lake.root, variants[0], raw)
    assert "no longer the file that the campaign began with" in problem
    assert str(raw.paths[0]) in problem
    assert not (lake.datasets / variants[0].dataset_id).exists()


def test_variants_of_another_file_are_not_put_beside_those_that_stand(lake: Lake, campaign: Campaign) -> None:
    variants, _ = plan_campaign(lake, campaign, 2)
    raw = _require_capture(lake, campaign, variants[0])
    assert build_variant(lake.root, variants[0], raw)[0] == ""
    other_day(lake).replace(raw.paths[0])
    with pytest.raises(DatasetError, match=variants[0].dataset_id):
        run(lake, campaign, limit=2)
    assert not (lake.datasets / variants[1].dataset_id).exists()


def test_variant_on_a_full_disk_says_so_and_leaves_no_dataset(lake: Lake, campaign: Campaign) -> None:
    variant = plan_campaign(lake, campaign, None)[0][0]
    raw = _require_capture(lake, campaign, variant)
    with room_for(5000):
        problem, _ = build_variant(lake.root, variant, raw)
    assert problem.startswith("no space left on the disk for ")
    assert [path for path in lake.datasets.rglob("*") if variant.dataset_id in path.name] == []
    assert build_variant(lake.root, variant, raw)[0] == ""
