"""Campaign files: which variants they stand for, and what is refused in one line."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from engine.campaign.plan import BaseCapture, expand_variants, load_campaign
from engine.errors import ConfigError
from tests.conftest import REPO_ROOT
from tests.test_engine.test_campaign.small_campaign import campaign_values, write_campaign

GOLD = REPO_ROOT / "lake" / "research" / "vp_harness" / "configs" / "gold_campaigns"
DEFAULTS = {
    "tau_velocity": 2.0, "tau_acceleration": 5.0, "tau_jerk": 10.0, "tau_rest_decay": 30.0,
    "c1_v_add": 1.0, "c2_v_rest_pos": 0.5, "c3_a_add": 0.3, "c4_v_pull": 1.0, "c5_v_fill": 1.5, "c6_v_rest_neg": 0.5,
    "c7_a_pull": 0.3,
}  # fmt: skip


def test_every_bundle_meets_every_point_of_the_axes(tmp_path: Path) -> None:
    path = write_campaign(tmp_path, bundles=[{"c1_v_add": 1.0}, {"c1_v_add": 2.0}])
    variants = expand_variants(load_campaign(path))
    assert [tuple(v.overrides.values()) for v in variants] == [
        (width, tau, c1) for c1 in (1.0, 2.0) for width in (100, 200) for tau in (1.0, 2.0)
    ]
    assert [v.n_bins for v in variants] == [100, 100, 50, 50] * 2
    assert {(v.config.c1_v_add, v.config.tau_velocity) for v in variants} == {(c, t) for c in (1.0, 2.0) for t in (1.0, 2.0)}


def test_dataset_id_has_the_documented_form(tmp_path: Path) -> None:
    ids = [v.dataset_id for v in expand_variants(load_campaign(write_campaign(tmp_path)))]
    assert len(set(ids)) == 4
    for one in ids:
        head, slug, variant = one.split("__")
        assert (head, slug) == ("MNQH6_20260206_0900_0900", "small_one")
        assert len(variant) == 8
        assert set(variant) <= set("0123456789abcdef")


def test_dataset_id_follows_what_is_computed_and_not_how_it_is_written(tmp_path: Path) -> None:
    one = expand_variants(load_campaign(write_campaign(tmp_path, sweep_axes={"cell_width_ms": [100]})))
    same = expand_variants(load_campaign(write_campaign(tmp_path, sweep_axes={}, bundles=[{"cell_width_ms": 100}])))
    other = expand_variants(load_campaign(write_campaign(tmp_path, sweep_axes={"tau_velocity": [9.0]})))
    assert one[0].dataset_id == same[0].dataset_id != other[0].dataset_id


@pytest.mark.parametrize(("end", "n_bins"), [("09:00:06", 10), ("10:00:05", 36_000)])
def test_the_capture_makes_so_many_bins(end: str, n_bins: int, tmp_path: Path) -> None:
    capture = campaign_values()["base_capture"] | {"capture_end_et": end}
    variant = expand_variants(load_campaign(write_campaign(tmp_path, base_capture=capture, sweep_axes={})))[0]
    assert (variant.n_bins, variant.start_time) == (n_bins, "09:00:05")


def test_a_capture_may_fill_the_day_but_for_its_last_second(tmp_path: Path) -> None:
    capture = campaign_values()["base_capture"] | {"capture_start_et": "00:00:00", "capture_end_et": "23:59:59"}
    read = load_campaign(write_campaign(tmp_path, base_capture=capture)).base_capture
    assert read.clocks == (dt.time(0), dt.time(23, 59, 59))
    assert read.span_ms == 86_399_000


def test_a_time_that_yaml_reads_as_a_number_is_a_time(tmp_path: Path) -> None:
    path = write_campaign(tmp_path)
    path.write_text(path.read_text().replace("09:00:15", "10:25:00").replace("'", ""))
    assert "capture_end_et: 10:25:00" in path.read_text()
    assert load_campaign(path).base_capture.capture_end_et == "10:25:00"


@pytest.mark.parametrize(
    "changes",
    [
        {"dt": "2026-02-05"},
        {"capture_start_et": "09:00:06"},  # in the id only the minute can be read
        {"capture_end_et": "09:00:16"},
    ],
)
def test_every_part_of_the_capture_goes_into_the_id(changes: dict[str, str], tmp_path: Path) -> None:
    def variants_of(**changed: str) -> set[str]:
        capture = campaign_values()["base_capture"] | changed
        return {v.dataset_id[-8:] for v in expand_variants(load_campaign(write_campaign(tmp_path, base_capture=capture)))}

    assert not variants_of(**changes) & variants_of()


@pytest.mark.parametrize("seconds", [36_000, 86_399, True])
def test_a_number_is_no_time(seconds: int) -> None:
    capture = campaign_values()["base_capture"] | {"capture_end_et": seconds}
    with pytest.raises(ValueError, match=f"capture time was {seconds}"):
        BaseCapture(**capture)


@pytest.mark.parametrize(("width", "n_bins"), [(300, 33), (10_000, 1), (9_999, 1)])
def test_a_bin_that_the_capture_cuts_is_left_out(width: int, n_bins: int, tmp_path: Path) -> None:
    (variant,) = expand_variants(load_campaign(write_campaign(tmp_path, sweep_axes={"cell_width_ms": [width]})))
    assert variant.n_bins == n_bins


def test_a_moment_is_no_day(tmp_path: Path) -> None:
    capture = campaign_values()["base_capture"] | {"dt": dt.datetime(2026, 2, 6, 9)}
    with pytest.raises(ValueError, match="must be a day as YYYY-MM-DD"):
        BaseCapture(**capture)
    assert BaseCapture(**capture | {"dt": dt.date(2026, 2, 6)}).dt == dt.date(2026, 2, 6)


@pytest.mark.parametrize(("name", "slug"), [("A-b  C!", "a_b_c"), ("__x__", "x"), ("9", "9")])
def test_the_name_as_it_stands_in_ids(name: str, slug: str, tmp_path: Path) -> None:
    assert load_campaign(write_campaign(tmp_path, name=name)).slug == slug


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"axes": {}}, "unknown key 'axes'"),
    "unknown key names the allowed": ({"axes": {}}, "name, base_capture, sweep_axes, bundles"),
    "unknown field": ({"sweep_axes": {"tau_velocty": [1.0]}}, "unknown key 'tau_velocty'"),
    "bad value": ({"sweep_axes": {"tau_velocity": [1.0, -1.0]}}, "tau_velocity was -1.0"),
    "empty axis": ({"sweep_axes": {"tau_velocity": []}}, "sweep_axes.tau_velocity"),
    "axis without a list": ({"sweep_axes": {"tau_velocity": 2.0}}, "sweep_axes.tau_velocity"),
    "no bundles": ({"bundles": []}, "bundles"),
    "field twice": ({"bundles": [{"tau_velocity": 1.0}]}, "tau_velocity stands in sweep_axes and in bundle 1"),
    "same variant twice": ({"sweep_axes": {"tau_velocity": [2.0, 2.0]}}, "two variants"),
    "another contract": ({"sweep_axes": {"symbol": ["MNQM6"]}}, "MNQM6"),
    "no name": ({"name": "!"}, "name was '!'"),
}
CAPTURE_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"start": "09:00:00"}, "product_type, symbol, dt, session, capture_start_et, capture_end_et"),
    "time without seconds": ({"capture_start_et": "09:25"}, "HH:MM:SS"),
    "time read as a number of minutes": ({"capture_end_et": 625}, "HH:MM:SS"),
    "time in another form": ({"capture_start_et": "090005.0"}, "capture time was '090005.0'"),
    "no such time": ({"capture_end_et": "24:00:00"}, "HH:MM:SS"),
    "backwards": ({"capture_end_et": "09:00:05"}, "after capture_start_et"),
    "no such day": ({"dt": "2026-02-30"}, "base_capture"),
    "day as a number": ({"dt": 20260206}, "YYYY-MM-DD"),
    "locked contract": ({"symbol": "ESH6"}, "locked to future_mbo:MNQH6"),
    "shorter than a bin": ({"capture_end_et": "09:00:06"}, "shorter than one bin"),
}


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        expand_variants(load_campaign(path))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", REFUSED)
def test_bad_campaign_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, told = REFUSED[case]
    assert told in refusal(write_campaign(tmp_path, **changes))


@pytest.mark.parametrize("case", CAPTURE_REFUSED)
def test_bad_capture_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    changes, told = CAPTURE_REFUSED[case]
    values = {"base_capture": campaign_values()["base_capture"] | changes}
    if case == "shorter than a bin":
        values["sweep_axes"] = {"cell_width_ms": [2000]}
    assert told in refusal(write_campaign(tmp_path, **values))


@pytest.mark.parametrize("key", ["name", "base_capture"])
def test_missing_key_is_refused_by_name(key: str, tmp_path: Path) -> None:
    path = write_campaign(tmp_path)
    kept = campaign_values()
    del kept[key]
    path.write_text(str(kept))
    assert key in refusal(path)


# The tracked ones


def test_smoke_campaign_is_one_variant_with_the_instruments_own_values() -> None:
    campaign = load_campaign(GOLD / "mnq_grid_spectrum_force_smoke.yaml")
    (variant,) = expand_variants(campaign)
    assert (campaign.slug, variant.n_bins, variant.start_time) == ("mnq_grid_spectrum_force_smoke", 36_000, "09:25:00")


def test_v1_campaign_is_two_axes_by_three_bundles() -> None:
    variants = expand_variants(load_campaign(GOLD / "mnq_grid_spectrum_force_v1.yaml"))
    assert len(variants) == 12
    assert {(v.config.cell_width_ms, v.config.spectrum_tanh_scale) for v in variants} == {
        (width, scale) for width in (100, 200) for scale in (3.0, 4.0)
    }
    expected = []
    for times, coefficients in ((1.0, 1.0), (0.8, 1.2), (1.2, 0.8)):
        expected.append({k: pytest.approx(v * (times if k.startswith("tau") else coefficients)) for k, v in DEFAULTS.items()})
    for i, variant in enumerate(variants):
        assert {name: getattr(variant.config, name) for name in DEFAULTS} == expected[i // 4]
