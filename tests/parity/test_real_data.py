"""Real CME data: the known answers of the shared folder, and a stretch of it bin by bin against the reference."""

import csv
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.book.owner import Level, view_book
from engine.cli import main
from engine.config import INSTRUMENT_ENV, load_instrument
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.source.records import open_source
from tests.conftest import REPO_ROOT, shared_path
from tests.reference import UNDEF_PRICE, Record, read_records
from tests.sessions import DAY_NS, differences, join, run_reference
from tests.streams import TICK, to_array

ES = REPO_ROOT / "engine" / "instruments" / "es.yaml"
CHRISTMAS = "data/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
DAY_BEFORE = "data/esh4-glbx-mdp3-20231224.mbo.dbn.zst"
ESM4 = "data/orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst"

ESH4_ANSWER = {
    "bid_levels": 922,
    "ask_levels": 565,
    "best_bid": 4810.0,
    "best_bid_size": 22,
    "best_ask": 4810.25,
    "best_ask_size": 28,
    "bid_orders": 6935,
    "ask_orders": 4282,
}


@pytest.fixture
def book_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`book_of(symbol, files, *options)`: what the book command prints, as JSON."""

    def run(symbol: str, names: Sequence[str], *options: str) -> dict[str, Any]:
        instrument = tmp_path / "es.yaml"
        instrument.write_text(ES.read_text().replace("symbol: ESH4", f"symbol: {symbol}"))
        monkeypatch.setenv(INSTRUMENT_ENV, str(instrument))
        assert main(["book", *(str(shared_path(name)) for name in names), "--json", *options]) == 0
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


def test_esh4_book_at_the_end_of_the_file(book_of: Any) -> None:
    book = book_of("ESH4", [CHRISTMAS])
    assert {key: book[key] for key in ESH4_ANSWER} == ESH4_ANSWER


def test_esh4_book_is_the_same_with_the_day_before_read_first(book_of: Any) -> None:
    book = book_of("ESH4", [DAY_BEFORE, CHRISTMAS])
    assert {key: book[key] for key in ESH4_ANSWER} == ESH4_ANSWER


def test_esh4_anomalies_are_the_seven_fills_of_the_auction_and_the_crossed_pre_open(book_of: Any) -> None:
    anomalies = book_of("ESH4", [CHRISTMAS])["anomalies"]
    assert anomalies.pop("crossed_event_end") > 0
    assert anomalies == {"unknown_fill": 7}


def test_esh4_snapshot_read_twice_is_counted_as_duplicate_adds(book_of: Any) -> None:
    assert book_of("ESH4", [DAY_BEFORE, CHRISTMAS])["anomalies"]["duplicate_add"] == 8725


def test_esh4_counts_every_record(book_of: Any) -> None:
    assert book_of("ESH4", [CHRISTMAS])["n_events"] == 68_792


def test_esh4_book_at_a_moment_is_the_book_of_the_records_up_to_it(book_of: Any) -> None:
    book = book_of("ESH4", [CHRISTMAS], "--at", "2023-12-25T12:00:00")  # between the snapshot and the pre-open
    assert (book["n_events"], book["bid_orders"] + book["ask_orders"]) == (8725, 8725)


def test_levels_are_shown_best_first_and_no_more_than_asked_for(book_of: Any) -> None:
    levels = book_of("ESH4", [CHRISTMAS], "--depth", "3")["levels"]
    assert [level["price"] for level in levels["bid"]] == [4810.0, 4809.75, 4809.5]
    assert [level["price"] for level in levels["ask"]] == [4810.25, 4810.5, 4810.75]


def test_esm4_book_at_the_end_of_the_file(book_of: Any) -> None:
    book = book_of("ESM4", [ESM4])
    answer = {"best_bid": 5214.0, "best_ask": 5214.25, "bid_orders": 8335, "ask_orders": 5263}
    assert {key: book[key] for key in answer} == answer


def test_esm4_holds_no_anomaly(book_of: Any) -> None:
    assert book_of("ESM4", [ESM4])["anomalies"] == {}


# ESZ2: twenty orders as CSV, and what the exchange's own ten levels looked like after each


def nanoseconds(text: str) -> int:
    seconds, fraction = text.rstrip("Z").split(".")
    return int(dt.datetime.fromisoformat(seconds).replace(tzinfo=dt.UTC).timestamp()) * 10**9 + int(fraction)


def read_csv(name: str) -> list[dict[str, str]]:
    with (shared_path("data/esz2_tiny") / name).open() as file:
        return list(csv.DictReader(file))


def esz2_record(row: dict[str, str]) -> Record:
    price = round(float(row["price"]) * 1e9) if row["price"] else UNDEF_PRICE
    times = nanoseconds(row["ts_event"]), nanoseconds(row["ts_recv"])
    return Record(row["action"], row["side"], price, int(row["size"]), int(row["order_id"]), int(row["flags"]), *times)


def shown(levels: Sequence[Level]) -> list[tuple[float, int, int]]:
    return [(level.price, level.size, level.orders) for level in levels]


def published(row: dict[str, str], side: str) -> list[tuple[float, int, int]]:
    names = [(f"{side}_px_{i:02}", f"{side}_sz_{i:02}", f"{side}_ct_{i:02}") for i in range(10)]
    return [(float(row[price]), int(row[size]), int(row[count])) for price, size, count in names if row[price]]


def test_esz2_book_equals_the_published_levels_after_every_shared_event() -> None:
    start = nanoseconds("2022-01-03T00:00:00.0")
    runner = Runner(load_instrument(ES), Span(start, start + DAY_NS))
    snapshots = {row["sequence"]: row for row in read_csv("preview_mbp10.csv")}
    n_compared = 0
    for row in read_csv("futures_mbo.csv"):
        list(runner.feed(to_array([esz2_record(row)]), 64))
        told = snapshots.get(row["sequence"])
        if told is not None and int(row["flags"]) & 128:
            book = view_book(runner.engine.book, TICK, 10)
            assert (shown(book.bids), shown(book.asks)) == (published(told, "bid"), published(told, "ask"))
            n_compared += 1
    assert n_compared == 16


# The opening auction and the first seconds of trading, bin by bin


@pytest.fixture(scope="module")
def opening() -> tuple[Any, list[Any], dict[str, int], dict[str, int]]:
    config = load_instrument(ES, {"grid_radius_ticks": 10, "zscore_window_bins": 60, "zscore_min_periods": 20})
    path, day = shared_path(CHRISTMAS), dt.date(2023, 12, 25)
    last = nanoseconds("2023-12-25T23:00:12.0")
    replay = Replay(open_source([path], config, day), config, "17:59:55", n_bins=170)
    records = [r for r in read_records(path) if r.ts_event < last]
    bins, session = run_reference(config, records, day, "17:59:55")
    return join(replay), bins[:170], replay.anomalies, dict(session.anomalies)


def test_opening_of_esh4_equals_the_reference_in_every_column(opening: tuple[Any, list[Any], Any, Any]) -> None:
    ours, theirs, _, _ = opening
    assert len(theirs) == 170
    assert differences(ours, theirs) == {}


def test_opening_of_esh4_marks_the_crossed_book_before_the_auction(opening: tuple[Any, list[Any], Any, Any]) -> None:
    ours = opening[0]
    is_crossed = (ours.fields["quality"] & 4) != 0
    n_pre_open = 50
    assert is_crossed[:n_pre_open].any()
    assert not is_crossed[n_pre_open + 10 :].any()


# The Christmas evening as a session


@pytest.fixture(scope="module")
def evening() -> tuple[Replay, Any]:
    config = load_instrument(ES)
    replay = Replay(open_source([shared_path(CHRISTMAS)], config, dt.date(2023, 12, 25)), config, "18:00")
    return replay, np.concatenate([block.bins for block in replay])  # the grid of an hour is 0.8 GB: not kept


def test_evening_has_a_bin_for_every_tenth_of_a_second(evening: tuple[Replay, Any]) -> None:
    assert len(evening[1]) == 36_000


def test_evening_counts_every_record_of_the_file_once(evening: tuple[Replay, Any]) -> None:
    """G1 on a real session."""
    replay, fields = evening
    assert replay.runner.n_events == 68_792
    assert fields["event_id"][-1] == 68_792
    assert np.array_equal(np.diff(fields["event_id"]), fields["bin_event_count"][1:])


def test_evening_is_open_and_warm(evening: tuple[Replay, Any]) -> None:
    assert not (evening[1]["quality"] & (1 | 64)).any()


def test_evening_quotes_are_never_crossed_at_a_bins_end(evening: tuple[Replay, Any]) -> None:
    fields = evening[1][600:]  # past the auction
    assert np.all(fields["best_bid_price_int"] < fields["best_ask_price_int"])


def test_evening_ends_with_the_known_book(evening: tuple[Replay, Any]) -> None:
    last = evening[1][-1]
    quotes = [last[name] for name in ("best_bid_price_int", "best_bid_size", "best_ask_price_int", "best_ask_size")]
    assert quotes == [4_810_000_000_000, 22, 4_810_250_000_000, 28]


def test_evening_holds_no_nan(evening: tuple[Replay, Any]) -> None:
    fields = evening[1]
    assert all(np.all(np.isfinite(fields[name])) for name in fields.dtype.names if fields.dtype[name].kind == "f")
