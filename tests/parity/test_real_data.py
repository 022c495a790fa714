"""Real CME data: the known answers of the shared folder, and a stretch of it bin by bin against the reference."""

import csv
import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audit.continuity import _take
from engine.book.owner import Level, view_book
from engine.cli import main
from engine.config import INSTRUMENT_ENV, load_instrument
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.schema import MboRecords
from engine.source.records import open_source
from tests.conftest import REPO_ROOT, shared_path
from tests.fills import FRONT, OWN, UNEXPLAINED, UNKNOWN, WITHDRAWN, Live, judge_fills
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


# Every fill of the Christmas evening against the queue of its order: mbo-queue 0.7.0, another's exact FIFO, finds 5,921 of the
# 6,364 known ones at the front, 93.0 %, and 1,496 orders before the others


@pytest.fixture(scope="module")
def trading() -> MboRecords:
    source = open_source([shared_path(CHRISTMAS)], load_instrument(ES), dt.date(2023, 12, 25))
    return np.concatenate(list(source.records()))


@pytest.fixture(scope="module")
def fills(trading: MboRecords) -> list[tuple[str, int, int]]:
    return judge_fills(trading)


def test_every_fill_of_the_evening_is_explained(fills: list[tuple[str, int, int]]) -> None:
    assert Counter(cause for cause, _, _ in fills) == {FRONT: 5921, WITHDRAWN: 344, OWN: 99, UNKNOWN: 7}


def test_fills_stand_behind_as_many_orders_as_an_independent_queue_finds(fills: list[tuple[str, int, int]]) -> None:
    behind = Counter(n_ahead for _, n_ahead, _ in fills if n_ahead)
    assert [behind[i] for i in range(1, 13)] == [253, 80, 18, 9, 15, 5, 6, 4, 7, 1, 6, 8]
    assert (behind.total(), sum(n * count for n, count in behind.items()), max(behind)) == (443, 1496, 33)


def test_orders_cancelled_within_a_trade_rested_where_it_reached(trading: MboRecords) -> None:
    """As what self-match prevention withdraws does: no cancel of a bystander away from the trade falls on its nanosecond."""
    is_trade = trading["action"] == ord("T")
    starts = np.concatenate([[0], np.flatnonzero(trading["flags"] & 128) + 1])
    traded = np.unique(np.searchsorted(starts, np.flatnonzero(is_trade), side="right"))
    n_withdrawn = 0
    for event in [trading[starts[i - 1] : starts[i]] for i in traded]:
        trades, fills, cancels = (event[event["action"] == ord(action)] for action in "TFC")
        withdrawn = cancels[np.isin(cancels["ts_event"], trades["ts_event"]) & ~np.isin(cancels["order_id"], fills["order_id"])]
        if len(withdrawn):
            (aggressor,) = set(trades["side"].tolist())
            far = max(trades["price"]) if aggressor == ord("B") else min(trades["price"])
            is_reached = withdrawn["price"] <= far if aggressor == ord("B") else withdrawn["price"] >= far
            assert np.all(is_reached & (withdrawn["side"] != aggressor))
        n_withdrawn += len(withdrawn)
    assert n_withdrawn == 132


Rule = Callable[[list[int], list[int]], bool]


def reversed_rule(applies: Rule, keeps: bool) -> Callable[..., None]:
    """The audit's queues, but a change of an order for which ``applies(before, after)`` keeps or loses its place."""

    def take(live: Live, i: int, action: int, side: int, order_id: int, price: int, size: int) -> None:
        before = live.get(order_id)
        _take(live, i, action, side, order_id, price, size)
        after = live.get(order_id)
        if before and after and after is not before and applies(before, after):
            after[4] = before[4] if keeps else i

    return take


# side, price, size left, pending fill; the places that the feed's fills contradict, from a reading of its own
OTHER_RULES: dict[str, tuple[Rule, bool, int]] = {
    "another price keeps the place": (lambda old, new: old[:2] != new[:2], True, 1284),
    "a raise or refill keeps the place": (lambda old, new: old[:2] == new[:2] and new[2] > old[2], True, 43),
    "what a fill leaves loses the place": (lambda old, new: old[:2] == new[:2] and old[3] > 0 and new[2] <= old[2], False, 569),
    "a cut loses the place": (lambda old, new: old[:2] == new[:2] and old[3] == 0 and new[2] < old[2], False, 114),
}


@pytest.mark.parametrize("rule", OTHER_RULES)
def test_no_other_rule_of_places_explains_the_evening(rule: str, trading: MboRecords) -> None:
    applies, keeps, n_unexplained = OTHER_RULES[rule]
    judged = judge_fills(trading, reversed_rule(applies, keeps))
    assert sum(cause == UNEXPLAINED for cause, _, _ in judged) == n_unexplained


def test_snapshot_read_from_the_back_does_not_explain_the_evening(trading: MboRecords) -> None:
    n_opening = 8725
    turned = np.concatenate([trading[:n_opening][::-1], trading[n_opening:]])
    assert sum(cause == UNEXPLAINED for cause, _, _ in judge_fills(turned)) == 64
