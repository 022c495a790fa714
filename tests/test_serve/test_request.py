"""Queries of a stream, good and bad."""

import re
from pathlib import Path

import pytest

from engine.config import InstrumentConfig, load_instrument
from engine.dataset.sealed import write_seal
from engine.errors import EngineError
from engine.lake import Lake
from serve.moment import Moment
from serve.query import HORIZONS, PERM_FIELDS, SWITCHES
from serve.request import last_day, perm_value, read_request
from serve.settings import StreamDefaults

CONFIG = load_instrument()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with the names of two raw files; nothing here opens them."""
    lake = Lake.open(tmp_path)
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    later = ("20260301.txt", "glbx-mdp3-20260207.mbo.dbn.zst.part", "20260208.dbn.bak", ".glbx-mdp3-20260209.mbo.dbn.zst.x.tmp")
    for name in ("glbx-mdp3-20260205.mbo.dbn.zst", "glbx-mdp3-20260206.mbo.dbn", "notes.txt", *later):
        (folder / name).touch()
    return lake


def read(lake: Lake, defaults: StreamDefaults | None = None, **query: str):
    return read_request(list(query.items()), CONFIG, lake, defaults or StreamDefaults())


def test_the_names_of_the_query_are_the_instruments_fields() -> None:
    assert [name for name in InstrumentConfig.model_fields if name.startswith("perm_")] == list(PERM_FIELDS)
    assert HORIZONS in InstrumentConfig.model_fields


def test_an_empty_query_takes_the_servers_defaults(lake: Lake) -> None:
    request = read(lake, StreamDefaults(dt="2026-02-05", start_time="09:30"))
    assert request.dbn.name == "glbx-mdp3-20260205.mbo.dbn.zst"
    assert (request.start_time, request.speed, request.resume_from) == ("09:30", 1.0, 0)
    assert request.config is CONFIG
    assert (request.perm_names, request.model) == ((), "champion")


def test_without_any_day_the_lakes_last_one_is_played_from_its_start(lake: Lake) -> None:
    request = read(lake)
    assert request.dt.isoformat() == last_day(lake, "MNQ") == "2026-02-06"
    assert request.start_time is None
    assert request.checkpoints == lake.book_checkpoints


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("20260210.dbn", "2026-02-10"),
        ("x20260210.dbn.zst", "2026-02-10"),
        ("job-99999999-20260210.dbn", "2026-02-10"),  # eight digits that are no day
        ("120260210.dbn", "2026-02-10"),
        ("2026-02-10.dbn", "2026-02-06"),  # no eight digits in a row: not of the form
    ],
)
def test_the_last_day_is_read_off_names(lake: Lake, name: str, day: str) -> None:
    (lake.raw_dir("MNQ") / name).touch()
    assert last_day(lake, "MNQ") == day


def test_what_the_query_says_goes_before_the_servers_defaults(lake: Lake) -> None:
    defaults = StreamDefaults(dt="2026-02-06", start_time="09:30")
    asked = read(lake, defaults, dt="2026-02-05", start_time="10:15:30")
    assert (asked.dt.isoformat(), asked.dbn.name) == ("2026-02-05", "glbx-mdp3-20260205.mbo.dbn.zst")
    assert asked.start_time == "10:15:30"
    half = read(lake, defaults, start_time="10:15")
    assert (half.dt.isoformat(), half.start_time) == ("2026-02-06", "10:15")
    other = read(lake, defaults, dt="2026-02-05")
    assert (other.dt.isoformat(), other.start_time) == ("2026-02-05", "09:30")
    empty = read(lake, defaults, dt="", start_time="")
    assert (empty.dt.isoformat(), empty.start_time) == ("2026-02-06", "09:30")


# One value for each field that is not the instrument's own, and what the engine must then hold.
ASKED = {
    "perm_runtime_enabled": ("false", False),
    "perm_center_exclusion_radius": ("2", 2),
    "perm_spatial_decay_power": ("0.5", 0.5),
    "perm_zscore_window_bins": ("300", 300),
    "perm_zscore_min_periods": ("33", 33),
    "perm_tanh_scale": ("2.5", 2.5),
    "perm_d1_weight": ("0.11", 0.11),
    "perm_d2_weight": ("0.22", 0.22),
    "perm_d3_weight": ("0.33", 0.33),
    "perm_bull_pressure_weight": ("0.44", 0.44),
    "perm_bull_vacuum_weight": ("0.55", 0.55),
    "perm_bear_pressure_weight": ("0.66", 0.66),
    "perm_bear_vacuum_weight": ("0.77", 0.77),
    "perm_mixed_weight": ("0.088", 0.088),
    "perm_enable_weighted_blend": (str(not CONFIG.perm_enable_weighted_blend).lower(), not CONFIG.perm_enable_weighted_blend),
    HORIZONS: ("3,7", (3, 7)),
}


@pytest.mark.parametrize("name", [*PERM_FIELDS, HORIZONS])
def test_each_field_of_the_query_reaches_the_engine_and_no_other_does(lake: Lake, name: str) -> None:
    text, value = ASKED[name]
    request = read(lake, **{name: text})
    before, after = CONFIG.model_dump(), request.config.model_dump()
    assert (before[name] != value, after[name]) == (True, value)
    assert {field for field in before if before[field] != after[field]} == {name}
    assert request.perm_names == (() if name == HORIZONS else (name,))


def test_the_token_of_a_query_changes_nothing(lake: Lake) -> None:
    request = read(lake, token="correct-horse-battery")
    assert request.config is CONFIG
    assert request.perm_names == ()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("speed", "0", 0.0),
        ("speed", "0.001", 0.001),
        ("speed", "9999.9", 9999.9),
        ("speed", "10000", 10000.0),
        ("resume_from", "0", 0),
        ("resume_from", "1", 1),
        ("resume_from", "9" * 15, 999_999_999_999_999),
    ],
)
def test_values_on_their_bounds_are_taken(lake: Lake, name: str, text: str, value: float) -> None:
    assert getattr(read(lake, **{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("speed", "-0.001"),
        ("speed", "10000.1"),
        ("speed", ""),
        ("resume_from", "-1"),
        ("resume_from", "0" * 16),
        ("resume_from", "1.0"),
        ("resume_from", "+1"),
        ("resume_from", "\u0661"),  # a digit, but none of ours
        ("resume_from", ""),
    ],
)
def test_values_beyond_their_bounds_are_refused(lake: Lake, name: str, text: str) -> None:
    with pytest.raises(EngineError, match=f"^{name} was {re.escape(repr(text))}"):
        read(lake, **{name: text})


def test_values_of_the_query_change_the_config_and_its_version(lake: Lake) -> None:
    request = read(lake, perm_d2_weight="0.5", projection_horizons_bins="1,5,10", speed="0", resume_from="42")
    assert request.config.perm_d2_weight == 0.5
    assert request.config.projection_horizons_bins == (1, 5, 10)
    assert request.config.config_version != CONFIG.config_version
    assert (request.speed, request.resume_from, request.perm_names) == (0.0, 42, ("perm_d2_weight",))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"symbol": "ESH4"}, ["ESH4", "MNQH6"]),
        ({"product_type": "equity"}, ["equity", "future_mbo"]),
        ({"colour": "red"}, ["colour", "allowed are", "start_time"]),
        ({"dt": "06.02.2026"}, ["dt was '06.02.2026'", "YYYY-MM-DD"]),
        ({"dt": "2026-02-30"}, ["2026-02-30"]),
        ({"dt": "2026-02-07"}, ["2026-02-07", "20260206"]),
        ({"start_time": "25:00"}, ["start_time was '25:00'", "HH:MM"]),
        ({"start_time": "9:25"}, ["start_time was '9:25'"]),
        ({"speed": "-1"}, ["speed was '-1'", "0"]),
        ({"speed": "nan"}, ["speed was 'nan'"]),
        ({"speed": "inf"}, ["speed was 'inf'"]),
        ({"speed": "fast"}, ["speed was 'fast'"]),
        ({"resume_from": "-3"}, ["resume_from was '-3'"]),
        ({"perm_d1_weight": "-1"}, ["perm_d1_weight was -1", "greater than or equal to 0"]),
        ({"perm_d1_weight": "[1]"}, ["perm_d1_weight was '[1]'"]),
        ({"perm_d1_weight": "0"}, ["perm_d1_weight", "at least one must be > 0"]),
        ({"perm_zscore_min_periods": "999"}, ["perm_zscore_min_periods was 999", "240"]),
        ({"projection_horizons_bins": "1,1"}, ["projection_horizons_bins", "once"]),
        ({"projection_horizons_bins": "1,x"}, ["projection_horizons_bins"]),
        ({"tau_velocity": "1"}, ["unknown query value 'tau_velocity'"]),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_it(lake: Lake, query: dict[str, str], words: list[str]) -> None:
    with pytest.raises(EngineError) as caught:
        read(lake, **query)
    text = str(caught.value)
    assert "\n" not in text
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize(("text", "model"), [("instrument", "instrument"), ("champion", "champion"), ("1", 1), ("12", 12)])
def test_the_model_is_asked_for_by_name_or_by_version(lake: Lake, text: str, model: str | int) -> None:
    assert read(lake, StreamDefaults(model=7), model=text).model == model
    assert read(lake, StreamDefaults(model=7)).model == 7


@pytest.mark.parametrize("text", ["0", "01", "-1", "1.0", "Champion", "v1", "", "9" * 10])
def test_no_other_model_is_there(lake: Lake, text: str) -> None:
    with pytest.raises(EngineError, match="model was '.*'; it must be instrument, champion, or a champion's version"):
        read(lake, model=text)


def test_values_that_cannot_act_beside_a_version_are_refused(lake: Lake) -> None:
    with pytest.raises(EngineError, match="perm_d1_weight was given beside model 3; .* ask for model instrument"):
        read(lake, model="3", perm_d1_weight="2")
    launched = StreamDefaults(perm_names=("perm_d1_weight",))
    assert read(lake, launched, model="3").perm_names == ("perm_d1_weight",)  # told in a notice, since others may use them
    assert read(lake, model="instrument", perm_d1_weight="2").config.perm_d1_weight == 2


def test_a_value_given_twice_is_refused(lake: Lake) -> None:
    with pytest.raises(EngineError, match="speed stands twice"):
        read_request([("speed", "1"), ("speed", "2")], CONFIG, lake, StreamDefaults())


def test_a_lake_without_raw_data_says_where_to_put_some(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"symbol=MNQ.*engine simulate"):
        read(Lake.open(tmp_path))


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0.5", 0.5), ("240.0", 240), ("1e-3", 0.001), (".5", 0.5), ("+2", 2)])
def test_a_number_is_read_as_a_number(text: str, value: float) -> None:
    read_value = perm_value("perm_d1_weight", text)
    assert (read_value, type(read_value)) == (value, type(value))


NO_NUMBERS = ["true", "1__", "1_0", "!!str 1", "[[[[", "[" * 200, "0300", "0x10", "1:30", "inf", "nan", " 1", "", "{}", "&a 1"]
NO_NUMBERS += ["1" * 41, "\N{ARABIC-INDIC DIGIT ONE}"]


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("name", ["perm_d1_weight", "perm_zscore_window_bins", "projection_horizons_bins", "speed"])
def test_what_is_no_number_is_refused_in_one_line(lake: Lake, name: str, text: str) -> None:
    with pytest.raises(EngineError, match=rf"^{name} was '") as caught:
        read(lake, **{name: text})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_value_of_any_length_is_refused_in_a_short_line(lake: Lake) -> None:
    for query in ({"perm_d1_weight": "[" * 1_000_000}, {"dt": "x" * 201}, {"x" * 1_000_000: "1"}):
        with pytest.raises(EngineError) as caught:
            read(lake, **query)
        assert len(str(caught.value)) < 1000
    with pytest.raises(EngineError, match=r"dt was 'x{200}'; give a UTC day"):
        read(lake, dt="x" * 200)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("1", True), ("off", False), ("0", False)])
def test_a_switch_is_true_or_false(lake: Lake, text: str, value: bool) -> None:
    assert read(lake, perm_enable_weighted_blend=text).config.perm_enable_weighted_blend is value


@pytest.mark.parametrize("text", ["2", "perhaps", "", "1.0"])
def test_a_switch_is_nothing_else(lake: Lake, text: str) -> None:
    with pytest.raises(EngineError, match="perm_runtime_enabled was '.*'; it must be true or false"):
        read(lake, perm_runtime_enabled=text)


def test_the_switches_are_the_instruments() -> None:
    kinds = {name: InstrumentConfig.model_fields[name].annotation for name in PERM_FIELDS}
    assert [name for name, kind in kinds.items() if kind is bool] == list(SWITCHES)


def test_a_day_with_a_sealed_session_is_refused_unless_the_service_was_started_for_it(lake: Lake) -> None:
    manifest = {
        "dataset_id": "held",
        "config": {"symbol": CONFIG.symbol},
        "dt": "2026-02-06",
        "start_ns": 1,
        "end_ns": 2,
        "source_files": [{"sha256": "f"}],
    }
    write_seal(lake, manifest, 0)
    with pytest.raises(EngineError, match=r"^dt was 2026-02-06, a day of MNQH6 with a sealed session \(held\)"):
        read(lake)  # the lake's last day
    assert read(lake, dt="2026-02-05").dbn.name == "glbx-mdp3-20260205.mbo.dbn.zst"
    assert read(lake, StreamDefaults(sealed_ok=True)).dbn.name == "glbx-mdp3-20260206.mbo.dbn"


def test_where_a_stream_begins_is_asked_for_in_three_ways(lake: Lake) -> None:
    plain = read(lake)
    assert (plain.resumes, plain.resume_from, plain.backfill, plain.at) == (False, 0, None, None)
    assert plain.keyframes == lake.keyframes
    first = read(lake, resume_from="0")  # its first bin, wherever a session that runs may stand
    assert (first.resumes, first.resume_from) == (True, 0)
    assert [read(lake, backfill=text).backfill for text in ("0", "1", "4096")] == [0, 1, 4096]
    assert read(lake, at="8000").at == Moment("8000", bin_seq=8000)
    again = read(lake, at="8000", backfill="9", resume_from="8001")  # the same address, gone on with
    assert (again.at, again.resume_from) == (Moment("8000", bin_seq=8000), 8001)


@pytest.mark.parametrize("text", ["-1", "4097", "1.5", "", "many", "²"])
def test_a_backfill_is_a_number_of_bins(lake: Lake, text: str) -> None:
    with pytest.raises(EngineError, match="^backfill was .*; it must be a number of bins from 0 to 4096$"):
        read(lake, backfill=text)
