"""A campaign of a product's front month and of a trading day: the contract, the ids, the files, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from engine.campaign.build import _require_capture, build_variant, plan_campaign
from engine.campaign.plan import Campaign, contract_of, load_campaign
from engine.dataset.read import Dataset
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from tests.test_engine.test_campaign.small_campaign import campaign_values, write_campaign
from tests.test_engine.test_run.test_trading_day import FIFTH, SIXTH, first_file, of_m6, second_file

SMALL = {"sweep_axes": {}, "bundles": [{"cell_width_ms": 1000, "grid_radius_ticks": 5, "n_absolute_ticks": 128}]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two contracts on two days; the roll is on the sixth."""
    one = Lake(tmp_path / "lake")
    folder = one.raw_dir("MNQ")
    folder.mkdir(parents=True)
    of_m6(first_file(folder), FIFTH)
    of_m6(second_file(folder), SIXTH)
    (one.root / "rolls").mkdir()
    (one.root / "rolls/MNQ.yaml").write_text(
        "root: MNQ\nrolls:\n  - {date: 2026-02-06, from: MNQH6, to: MNQM6, rule: calendar}\n"
    )
    return one


def campaign_of(tmp_path: Path, **capture: Any) -> Campaign:
    return load_campaign(write_campaign(tmp_path, base_capture=campaign_values()["base_capture"] | capture, **SMALL))


@pytest.mark.parametrize(
    ("capture", "contract"),
    [
        ({"symbol": "MNQH6"}, "MNQH6"),
        ({"symbol": "MNQ"}, "MNQM6"),
        ({"symbol": "MNQ", "dt": "2026-02-05", "capture_end_et": "18:00:00"}, "MNQH6"),
        ({"symbol": "MNQ", "dt": "2026-02-05", "capture_start_et": "18:00:00", "capture_end_et": "18:30:00"}, "MNQM6"),
        ({"symbol": "MNQ", "dt": "2026-02-05", "session": "trading_day"}, "MNQH6"),
        ({"symbol": "MNQ", "session": "trading_day", "capture_start_et": "18:00:00", "capture_end_et": "17:00:00"}, "MNQM6"),
    ],
)
def test_contract_of_a_capture(capture: dict[str, Any], contract: str, lake: Lake, tmp_path: Path) -> None:
    assert contract_of(lake, campaign_of(tmp_path, **capture)) == contract


def test_capture_over_a_roll_and_a_root_without_rolls_are_refused(lake: Lake, tmp_path: Path) -> None:
    over = campaign_of(tmp_path, symbol="MNQ", dt="2026-02-05", capture_end_et="18:00:01")
    with pytest.raises(ConfigError, match="goes over the roll from MNQH6 to MNQM6 at 18:00:00 in New York"):
        plan_campaign(lake, over, None)
    with pytest.raises(ConfigError, match="ES was asked for"):
        plan_campaign(lake, campaign_of(tmp_path, symbol="ES"), None)
    with pytest.raises(ConfigError, match="future_mbo"):
        plan_campaign(lake, campaign_of(tmp_path, symbol="MNQ", product_type="stock"), None)
    (lake.root / "rolls/MNQ.yaml").unlink()
    with pytest.raises(DatasetError, match="MNQ.yaml does not exist"):
        plan_campaign(lake, campaign_of(tmp_path, symbol="MNQ"), None)


def test_a_front_month_has_the_ids_of_the_contract_by_name(lake: Lake, tmp_path: Path) -> None:
    (by_root,), _ = plan_campaign(lake, campaign_of(tmp_path, symbol="MNQ", dt="2026-02-05"), None)
    (by_name,), _ = plan_campaign(lake, campaign_of(tmp_path, dt="2026-02-05"), None)
    assert by_root.dataset_id == by_name.dataset_id
    (next_day,), _ = plan_campaign(lake, campaign_of(tmp_path, symbol="MNQ"), None)
    assert next_day.dataset_id.startswith("MNQM6_20260206_")
    assert next_day.config.symbol == "MNQM6"
    (trading,), _ = plan_campaign(lake, campaign_of(tmp_path, symbol="MNQ", session="trading_day"), None)
    assert trading.dataset_id != next_day.dataset_id


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("18:00:00", "17:00:00", 23 * 3600),
        ("23:59:59", "00:00:01", 2),
        ("09:25:00", "10:25:00", 3600),
        ("16:00:00", "17:00:00", 3600),
    ],
)
def test_length_of_a_capture_in_a_trading_day(start: str, end: str, seconds: int, tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, session="trading_day", capture_start_et=start, capture_end_et=end)
    assert campaign.base_capture.span_ms == 1000 * seconds


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        (
            "09:00:00",
            "18:00:00",
            "which is 09:00:00, in a day that goes from 18:00:00 to 17:00:00",
        ),
        ("17:00:00", "17:30:00", "capture_start_et was 17:00:00; a trading day goes from 18:00:00 to 17:00:00"),
        ("17:59:59", "17:59:58", "must be after"),
        ("16:00:00", "17:00:01", "capture_end_et was 17:00:01; a trading day goes from 18:00:00 to 17:00:00"),
    ],
)
def test_capture_outside_a_trading_day_is_refused(start: str, end: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        campaign_of(tmp_path, session="trading_day", capture_start_et=start, capture_end_et=end)


def test_a_variant_over_midnight_is_built_from_both_days_files(lake: Lake, tmp_path: Path) -> None:
    """From 18:59:58 to 19:00:02 in New York, which is midnight UTC: an order a second before it and one a second after."""
    campaign = campaign_of(tmp_path, symbol="MNQ", session="trading_day", capture_start_et="18:59:58", capture_end_et="19:00:02")
    (variant,), _ = plan_campaign(lake, campaign, None)
    raw = _require_capture(lake, campaign, variant)
    assert [path.name for path in raw.paths] == ["mnqm6-20260205.dbn", "mnqm6-20260206.dbn"]
    assert build_variant(lake.root, variant, raw)[0] == ""
    dataset = Dataset.open(lake, variant.dataset_id)
    assert dataset.bins(["bin_event_count"])["bin_event_count"].tolist() == [0, 1, 0, 1]
    assert dataset.manifest["session"]["kind"] == "trading_day"
    assert dataset.manifest["config"]["symbol"] == "MNQM6"
    second = raw.paths[1]
    second.write_bytes(second.read_bytes() + b"x")
    assert f"{second} is no longer the file" in build_variant(lake.root, variant, raw)[0]
