"""What a YAML file of ours says: what the eye reads, or a refusal that names key and line."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.campaign.plan import expand_variants, load_campaign
from engine.champion import read_pointer
from engine.config import DEFAULT_INSTRUMENT, load_instrument, parse_overrides
from engine.errors import ChampionError, ConfigError
from engine.files import line_of, load_yaml, read_yaml
from engine.front import main
from engine.lake import Lake, config_file, user_path
from tests.conftest import REPO_ROOT
from tests.test_engine.test_campaign.small_campaign import write_campaign


def refusal(text: str) -> str:
    """The one line a text is refused with."""
    with pytest.raises(ConfigError) as error:
        load_yaml(text, "s.yaml")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("300", 300),
        ("+5", 5),
        ("-12", -12),
        ("0.25", 0.25),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),  # a text to YAML 1.1, which wants a point
        ("1e-9", 1e-9),
        ("1.0e-09", 1e-9),
        ("-2.5E+2", -250.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("MNQH6", "MNQH6"),
        ("MNQ", "MNQ"),
        ("y", "y"),
        ("n", "n"),
        ("=", "="),
        ("09:25", "09:25"),  # 1.1 leaves it a text, but 10:25 becomes 625
        ("10:25", "10:25"),
        ("10:25:00", "10:25:00"),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("2026-02-06", "2026-02-06"),
        ("2026-02-06 09:25:00", "2026-02-06 09:25:00"),
        ("1.2.3", "1.2.3"),
        ("0a", "0a"),
        ("smoke_mnqh6_20260206_0905", "smoke_mnqh6_20260206_0905"),
        ('"0300"', "0300"),
        ("'yes'", "yes"),
        ('"~"', "~"),
        ("|\n    0300", "0300"),
        ("~/signals.py", "~/signals.py"),
    ],
)
def test_a_value_is_what_the_eye_reads(plain: str, value: Any) -> None:
    read = load_yaml(f"key: {plain}", "s.yaml")["key"]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ("0300", "0300 is octal to some readers"),
        ("-012", "-012 is octal"),
        ("0905", "0905 is octal"),
        ("00.5", "00.5 is octal"),
        ("0x1F", "0x1F is a number of another base"),
        ("0o17", "0o17 is a number of another base"),
        ("0b11", "0b11 is a number of another base"),
        ("1_000", "1_000 is a number to some readers and a text to others"),
        ("20260206_0905", "20260206_0905 is a number to some"),
        ("1__", "1__ is a number to some"),
        ("1_0.5", "1_0.5 is a number to some"),
        ("yes", "yes is true or false to some readers; write true or false"),
        ("No", "No is true or false"),
        ("ON", "ON is true or false"),
        ("off", "off is true or false"),
        ("~", "~ is nothing at all to some readers; write null"),
        (".inf", ".inf is infinite"),
        ("-.INF", "-.INF is infinite"),
        (".nan", ".nan is infinite or no number"),
        ("!!str 1", "tag:yaml.org,2002:str is a tag"),
        ("!!python/object/apply:os.getcwd []", "is a tag"),
        ("! 1", "! is a tag"),
        ("[1, 0300]", "in eval.warmup_bins.1: 0300"),
        ("[1,000]", "in eval.warmup_bins.1: 000"),  # two values to every reader
        ("{<<: {a: 1}}", "<< merges other keys in"),
        ("{1: a}", "a key was '1'; a key must be a text"),
        ("{yes: a}", "yes is true or false"),
        ("{? [a] : 1}", "a key was no text"),
        ("{null: a}", "a key was 'null'"),
    ],
)
def test_what_two_readers_take_for_two_things_is_refused_with_key_and_line(plain: str, words: str) -> None:
    said = refusal(f"name: x\neval:\n  tp_ticks: 8\n  warmup_bins: {plain}\n")
    assert words in said
    assert "s.yaml is refused at line 4, column " in said
    assert "warmup_bins" in said or "is a tag" in said


def test_a_key_that_stands_twice_is_refused_with_both_lines() -> None:
    said = refusal("name: x\nsweep:\n  per_signal:\n    pfp: {lag_bins: [1]}\n    ads: {}\n    'pfp': {}\n")
    assert said == "s.yaml is refused at line 6, column 5: in sweep.per_signal: pfp stands twice, first at line 4; give it once"
    assert "eval stands twice, first at line 1" in refusal("eval: {}\nname: x\neval: {}\n")


@pytest.mark.parametrize("text", ["a:\t1", "a:\n\tb: 1", "a: 1\t# c"])
def test_a_tab_is_refused_in_words(text: str) -> None:
    assert "a tab stands there; use spaces" in refusal(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 60 + "1" + "}" * 60, "[" * 51 + "]" * 51])
def test_what_is_nested_without_measure_is_refused(text: str) -> None:
    assert "more than 50 levels are nested" in refusal(text)


def test_fifty_levels_are_read() -> None:
    read = load_yaml("[" * 50 + "1" + "]" * 50, "s.yaml")
    for _ in range(50):
        (read,) = read
    assert read == 1


def test_an_alias_is_read_unless_it_repeats_without_measure() -> None:
    shared = load_yaml("one: &a [1, 2]\nother: *a\n", "s.yaml")
    assert shared == {"one": [1, 2], "other": [1, 2]}
    bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert "its aliases repeat more than 100000 values" in refusal(bomb)
    assert "its aliases repeat" in refusal("a: &a [*a]")


def test_a_line_is_found_by_the_place_of_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: x\neval:\n  tp_ticks: [8,\n             9]\n")
    places = {("name",): 1, ("eval", "tp_ticks"): 3, ("eval", "tp_ticks", 1): 4, ("eval", "gone"): 2, ("gone",): None}
    assert {place: line_of(path, place) for place in places} == places
    assert line_of(tmp_path / "gone.yaml", ("name",)) is None


def instrument_with(folder: Path, key: str, plain: str) -> tuple[Path, int]:
    """The shipped instrument with one value written otherwise, and the line it stands at."""
    lines = DEFAULT_INSTRUMENT.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith(f"{key}:"))
    lines[number] = f"{key}: {plain}"
    path = folder / "instrument.yaml"
    path.write_text("\n".join(lines))
    return path, number + 1


@pytest.mark.parametrize("plain", ["true", "1:30", "0300", "yes", "1_000", "0x10", '"1_000"', "'inf'", "2026-02-06", "[true]"])
@pytest.mark.parametrize("key", ["zscore_window_bins", "tau_velocity"])
def test_no_instrument_takes_it_for_a_number(key: str, plain: str, tmp_path: Path) -> None:
    path, line = instrument_with(tmp_path, key, plain)
    with pytest.raises(ConfigError) as error:
        load_instrument(path)
    assert key in str(error.value)
    assert f"line {line}" in str(error.value)


def test_a_truth_value_in_a_list_is_no_number(tmp_path: Path) -> None:
    path, line = instrument_with(tmp_path, "spectrum_windows", "[5, true, 20, 40]")
    with pytest.raises(ConfigError, match=f"spectrum_windows.1 was true in .*, line {line}: it must be a number"):
        load_instrument(path)


def test_a_number_in_quotes_is_a_number_and_a_truth_value_is_one_where_it_is_wanted(tmp_path: Path) -> None:
    assert load_instrument(instrument_with(tmp_path, "tau_velocity", '"2.5"')[0]).tau_velocity == 2.5
    assert load_instrument(instrument_with(tmp_path, "tau_velocity", "25e-1")[0]).tau_velocity == 2.5
    assert load_instrument(instrument_with(tmp_path, "perm_runtime_enabled", "false")[0]).perm_runtime_enabled is False


@pytest.mark.parametrize(
    "text", ["tau_velocity=0300", "tau_velocity=yes", "tau_velocity=!!str 1", "tau_velocity=" + "[" * 10_000]
)
def test_an_override_is_read_by_the_same_rules(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_overrides([text])


def test_a_campaign_refuses_a_truth_value_in_an_axis_and_in_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    head = write_campaign(tmp_path, sweep_axes={}).read_text().replace("sweep_axes: {}\n", "")
    path.write_text(f"{head}sweep_axes:\n  tau_velocity: [1.0, true]\n")
    line = head.count("\n") + 2
    with pytest.raises(ConfigError, match=rf"sweep_axes.tau_velocity.1 was true in .*c.yaml, line {line}: it must be a number"):
        load_campaign(path)
    path.write_text(f"{head}bundles:\n- {{tau_velocity: 1.0}}\n- {{tau_velocity: true}}\n")
    with pytest.raises(ConfigError, match=rf"bundles.1.tau_velocity was true in .*c.yaml, line {line + 1}: it must"):
        load_campaign(path)


@pytest.mark.parametrize("quote", ["", '"'])
def test_times_and_days_of_a_campaign_are_read_with_quotes_and_without(quote: str, tmp_path: Path) -> None:
    path = write_campaign(tmp_path)
    text = re.sub(r"(?m)(: )'?(20..-..-..|..:..:..)'?$", rf"\g<1>{quote}\2{quote}", path.read_text())
    assert f"capture_start_et: {quote}09:00:05{quote}" in text
    path.write_text(text)
    capture = load_campaign(path).base_capture
    assert (capture.dt.isoformat(), capture.capture_start_et, capture.capture_end_et) == ("2026-02-06", "09:00:05", "09:00:15")


@pytest.mark.parametrize("day", ["86400", "20260206", "2026-02-06T00:00:00", "2026-W06-5"])
def test_a_text_that_pydantic_makes_a_day_of_is_none(day: str, tmp_path: Path) -> None:
    path = write_campaign(tmp_path)
    path.write_text(path.read_text().replace("2026-02-06", day))
    with pytest.raises(ConfigError, match=r"YYYY-MM-DD.*line"):
        load_campaign(path)


MODEL_SYSTEM = """\
name: mnq_grid_spectrum_force_v1
base_capture:
  product_type: future_mbo
  symbol: MNQH6
  dt: "2026-02-06"
  capture_start_et: "09:25:00"
  capture_end_et: "10:25:00"
publish:
  agents: [eda, projection, regime]
sweep_axes:
  cell_width_ms: [100, 200]
  projection_use_cubic: [true, false]
bundles:
  - {tau_velocity: 2.0, projection_damping_lambda: 0.0}
  - {tau_velocity: 2.0, projection_damping_lambda: 0.001}
  - {tau_velocity: 1.6}
"""


def test_a_campaign_of_the_model_system_is_taken_and_what_changes_nothing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(MODEL_SYSTEM)
    campaign = load_campaign(path)
    assert [variant.overrides for variant in expand_variants(campaign)] == [
        {"cell_width_ms": width, "tau_velocity": tau} for tau in (2.0, 1.6) for width in (100, 200)
    ]
    assert [notice.split()[0] for notice in campaign.notices] == ["projection_use_cubic", "projection_damping_lambda", "publish"]
    path.write_text(MODEL_SYSTEM.replace("agents", "agent"))
    with pytest.raises(ConfigError, match="unknown key 'publish.agent'"):
        load_campaign(path)


def test_a_campaign_of_ours_has_no_notice(tmp_path: Path) -> None:
    assert load_campaign(write_campaign(tmp_path)).notices == []


def test_a_champions_pointer_with_a_doubled_key_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.models.mkdir()
    (lake.models / "champion.yaml").write_text("version: 1\nsha256: ''\ntrail: []\nversion: 2\n")
    with pytest.raises(ChampionError, match="version stands twice, first at line 1"):
        read_pointer(lake)


def test_what_a_program_wrote_is_read_by_the_rules_it_wrote_it_by() -> None:
    values = {"run_id": "12345e678901", "hash": "012345678901", "text": "yes", "ratio": 1e-9, "day": "2026-02-06", "none": None}
    assert load_yaml(yaml.safe_dump(values), "champion.yaml", by_hand=False) == values


SHIPPED = [
    path for folder in ("engine", "lake/research/vp_harness/configs") for path in sorted((REPO_ROOT / folder).rglob("*.yaml"))
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_file_that_ships_says_what_it_always_said(path: Path) -> None:
    before = yaml.safe_load(path.read_text())
    if "base_capture" in before:
        before["base_capture"]["dt"] = before["base_capture"]["dt"].isoformat()
    assert read_yaml(path) == before


# Paths as they are typed


def test_a_tilde_is_the_home_folder_wherever_a_path_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/x/y.dbn") == tmp_path / "x" / "y.dbn"
    assert user_path("x/~/y") == Path("x/~/y")
    (tmp_path / "mine.yaml").write_text(DEFAULT_INSTRUMENT.read_text())
    monkeypatch.setenv("VP_INSTRUMENT_CONFIG_PATH", "~/mine.yaml")
    assert load_instrument().symbol == "MNQH6"
    assert config_file(Lake(tmp_path / "lake"), "~/mine.yaml", "sweep") == tmp_path / "mine.yaml"


def test_a_tilde_of_nobody_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"~nobody_here is no user of this machine. Write ./~nobody_here"):
        Lake.open("~nobody_here/lake")


def test_a_tilde_behind_an_equals_sign_is_the_home_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "campaign", "--out=~/schemas/c.json"]) == 0  # no shell reads that one
    assert (tmp_path / "schemas" / "c.json").is_file()
    assert not (tmp_path / "~").exists()


def test_every_path_option_is_read_so() -> None:
    doors = [REPO_ROOT / "engine" / "front.py", REPO_ROOT / "tune" / "cli.py", REPO_ROOT / "serve" / "cli.py"]
    doors += sorted((REPO_ROOT / "engine" / "commands").glob("*.py"))
    assert [path.name for path in doors if "type=Path" in path.read_text()] == []
