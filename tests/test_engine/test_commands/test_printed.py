"""What commands print, cell by cell, of values that all differ; moments and names as they are read and made."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from engine.commands.book import _moment, print_book
from engine.commands.campaign import print_campaign
from engine.commands.check import print_check
from engine.commands.datasets import print_datasets
from engine.commands.replay import ReplaySummary, dataset_id_of
from engine.errors import ConfigError
from engine.source.rolls import Stretch
from engine.tables import counts, utc

NOON_NS = 1_770_379_200_000_000_000  # 2026-02-06 12:00:00 UTC


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


def cells(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The rows of the tables printed, the headings left out."""
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


@pytest.mark.parametrize(
    ("ns", "said"), [(0, "–"), (NOON_NS, "2026-02-06 12:00:00"), (NOON_NS + 999_999_000, "2026-02-06 12:00:00")]
)
def test_moments_are_told_to_the_second(ns: int, said: str) -> None:
    assert utc(ns) == said


def test_counts_are_told_by_kind() -> None:
    assert counts({"cold": 1234, "gap": 5}) == "cold 1,234, gap 5"
    assert counts({}) == "–"


@pytest.mark.parametrize(
    ("at", "ns"),
    [
        ("2026-02-06T12:00:00", NOON_NS),
        ("2026-02-06T12:00:00.5", NOON_NS + 500_000_000),
        ("2026-02-06T12:00:00.000000001", NOON_NS + 1),
        ("2026-02-06T12:00:00.123456789Z", NOON_NS + 123_456_789),
        ("2026-02-06T07:00:00.25-05:00", NOON_NS + 250_000_000),
    ],
)
def test_moment_of_a_book_is_read_to_the_nanosecond(at: str, ns: int) -> None:
    assert _moment(at) == ns


def test_no_moment_is_the_end_and_a_bad_one_is_refused() -> None:
    assert _moment(None) is None
    with pytest.raises(ConfigError, match="--at was 'noon'"):
        _moment("noon")


@pytest.mark.parametrize(
    ("start", "n_bins", "name"),
    [
        ("09:25:30", 600, "MNQH6_20260206_092530_600bins__01234567"),
        (None, None, "MNQH6_20260206_open__01234567"),
        ("09:25", None, "MNQH6_20260206_0925__01234567"),
    ],
)
def test_a_dataset_without_a_name_is_called_after_its_session(start: str | None, n_bins: int | None, name: str) -> None:
    source: Any = SimpleNamespace(dt=dt.date(2026, 2, 6), stretch=Stretch.whole(dt.date(2026, 2, 6)))
    config: Any = SimpleNamespace(symbol="MNQH6", config_version="0123456789abcdef")
    assert dataset_id_of(source, config, start, n_bins) == name


def test_a_replay_tells_what_was_odd() -> None:
    first = {"order_id": 5, "sequence": 6, "ts_event": 7}
    odd: dict[str, Any] = {"anomalies": {"unknown_id": 3}, "first_anomalies": {"unknown_id": first}, "quality": {"cold": 4}}
    summary = ReplaySummary("id", "where", 10, 20, "then", "later", "v", notices=["cut"], **odd)
    assert list(summary.lines()) == [
        "id: 10 bins from 20 events, then to later, in where",
        "  3 x unknown_id, first: order_id=5 sequence=6 ts_event=7",
        "  4 bins marked cold",
        "  cut",
    ]


def test_a_listing_says_span_size_and_whether_it_is_verified(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {
        "dataset_id": "one", "n_bins": 36_000, "start_ns": NOON_NS, "end_ns": NOON_NS + 3_600 * 10**9, "sources": ["a", "b"],
        "overrides": {"tau_velocity": 1.5}, "config_version": "abc", "size_bytes": 1_550_000, "problem": "", "verified": True,
        "is_sealed": False,
    }  # fmt: skip
    print_datasets([row, row | {"verified": False, "overrides": {}}, row | {"problem": "damaged"}, row | {"is_sealed": True}])
    expected = ["one", "36,000", "2026-02-06 12:00:00 – 13:00:00", "a, b", "tau_velocity=1.5 (abc)", "1.6", "yes"]
    found = cells(capsys)
    assert found[0] == expected
    assert (found[1][4], found[1][6]) == ("defaults (abc)", "not yet")
    assert (found[2][6], found[3][6]) == ("damaged", "sealed")


def test_a_book_is_a_ladder_with_asks_above_bids(capsys: pytest.CaptureFixture[str]) -> None:
    def level(price: float, size: int, orders: int) -> dict[str, Any]:
        return {"price": price, "size": size, "orders": orders}

    print_book(
        {
            "symbol": "MNQH6",
            "n_events": 1234,
            "levels": {"ask": [level(101.25, 3, 2), level(101.5, 4, 1)], "bid": [level(100.75, 1500, 7), level(100.5, 6, 5)]},
            "best_bid": 100.75,
            "best_bid_size": 1500,
            "bid_levels": 11,
            "bid_orders": 22,
            "best_ask": None,
            "best_ask_size": 0,
            "ask_levels": 33,
            "ask_orders": 44,
            "anomalies": {},
            "notices": ["cut off"],
        },
        2,
    )
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert rows == [
        ["", "", "101.50", "4", "1"],
        ["", "", "101.25", "3", "2"],
        ["7", "1,500", "100.75", "", ""],
        ["5", "6", "100.50", "", ""],
    ]
    assert "MNQH6 after 1,234 events" in out
    assert "best bid 100.75 (1,500), 11 levels, 22 orders" in out
    assert "best ask none, 33 levels, 44 orders" in out
    assert out.splitlines()[-2:] == ["anomalies: –", "cut off"]


def variant(name: str, state: str, problem: str = "", **overrides: Any) -> dict[str, Any]:
    summary = {"n_bins": 1500, "quality": {"cold": 7}} if state == "ready" else None
    return {"dataset_id": name, "overrides": overrides, "summary": summary, "problem": problem, "state": state}


def test_a_campaign_shows_the_fields_in_which_its_variants_differ(capsys: pytest.CaptureFixture[str]) -> None:
    variants = [
        variant("a", "ready", tau_velocity=1.0, c1_v_add=3.0),
        variant("b", "missing", tau_velocity=2.0, c1_v_add=3.0),
        variant("c", "failed", "no room", tau_velocity=2.0, c1_v_add=3.0, c4_v_pull=9.0),
    ]
    print_campaign({"name": "one", "n_built": 1, "n_present": 2, "variants": variants, "index": "here.json"})
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert rows == [
        ["a", "tau_velocity=1.0", "1,500", "cold 7", "ready"],
        ["b", "tau_velocity=2.0", "–", "–", "missing"],
        ["c", "tau_velocity=2.0 c4_v_pull=9.0", "–", "–", "no room"],
    ]
    assert "campaign one: 1 built, 2 there already" in out
    assert out.splitlines()[-1] == "index: here.json"


def test_a_campaign_of_one_variant_shows_all_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    print_campaign(
        {"name": "one", "n_built": 0, "n_present": 1, "variants": [variant("a", "ready", tau_velocity=1.0)], "index": "i"}
    )
    assert cells(capsys)[0][1] == "tau_velocity=1.0"


def test_a_check_tells_of_files_anomalies_seams_and_datasets(capsys: pytest.CaptureFixture[str]) -> None:
    raw = {
        "file": "x.dbn", "size": 5000, "n_records": 4000, "first_ns": NOON_NS, "last_ns": NOON_NS + 61 * 10**9,
        "opens": "snapshot", "bad_time": 0, "backwards": 3, "doubtful_book": 0, "id_changes": 1, "gaps": [1, 2],
        "side_test": {"right": 1100, "judged": 1200}, "sha256": "0123456789abcdef", "problem": "",
        "anomalies": {"unknown_id": 9}, "first_anomalies": {"unknown_id": {"order_id": 5, "sequence": 6, "ts_event": 7}},
    }  # fmt: skip
    dataset = {
        "dataset_id": "d", "n_bins": 36_000, "start_ns": NOON_NS, "end_ns": NOON_NS + 3_600 * 10**9, "quality": {"gap": 2},
        "sources": [{"state": "there"}, {"state": "gone"}], "problem": "damaged",
    }  # fmt: skip
    pairs = [
        {"before": "x", "after": "y", "n_end": 1000, "n_opening": 2000, "problem": "", "reason": ""},
        {"before": "y", "after": "z", "problem": "", "reason": "no snapshot"},
        {"before": "z", "after": "w", "problem": "moved", "reason": "why"},
    ]
    print_check({"raw_folder": "raw", "raw": [raw], "datasets": [dataset], "continuity": pairs})
    assert cells(capsys) == [
        ["x.dbn", "5,000", "4,000", "2026-02-06 12:00:00", "2026-02-06 12:01:01", "snapshot",
         "backwards 3, id_changes 1, gaps 2", "1,100 of 1,200", "0123456789ab", "sound"],
        ["x.dbn", "unknown_id", "9", "5", "6", "7"],
        ["x", "y", "1,000", "2,000", "the same ids, prices, sizes and queues"],
        ["y", "z", "0", "0", "no snapshot"],
        ["z", "w", "0", "0", "moved"],
        ["d", "36,000", "2026-02-06 12:00:00 – 13:00:00", "gap 2", "–", "there, gone", "damaged"],
    ]  # fmt: skip
