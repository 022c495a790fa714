"""The session window: earlier records build the book, later ones are none of its business, and no bin depends on the files."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.errors import SourceError
from engine.lake import Lake
from engine.run.replay import Replay
from engine.run.runner import Runner, Span
from engine.source.decoded import decode_once
from engine.source.records import open_source
from tests.fuzzing import fuzz, moved, sessions
from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.sessions import DAY_NS, Bins, differences, join, make_runner, run_engine, run_reference, small_config
from tests.streams import DAY, DAY_START, MID_TICK, OPEN, TICK, build_up, harmless, record, to_array, write_dbn

CONFIG = small_config()
WIDE = small_config(cell_width_ms=60_000, n_absolute_ticks=8192)
MS = 1_000_000
MINUTE = 60 * 10**9
MIDNIGHT = DAY_START - OPEN  # from the 09:00 that the streams count from
YESTERDAY, TOMORROW = DAY - dt.timedelta(1), DAY + dt.timedelta(1)


def at(ms: float, *records: Record) -> list[Record]:
    """Records of 09:00, so many ms from midnight instead."""
    return moved(list(records), MIDNIGHT + round(ms * MS))


def timed(one: Record, event_ms: float, captured_ms: float) -> Record:
    """A record that happened and was captured at so many ms from midnight."""
    times = {"ts_event": DAY_START + round(event_ms * MS), "ts_recv": DAY_START + round(captured_ms * MS)}
    return Record(**{**vars(one), **times})


def quotes(bins: Bins) -> list[tuple[int, int, int, int]]:
    """Best bid and ask of each bin: ticks from 21,600.00, and sizes."""
    f = bins.fields
    ticks = [(f[f"best_{side}_price_int"] // TICK - MID_TICK).tolist() for side in ("bid", "ask")]
    return list(zip(ticks[0], f["best_bid_size"].tolist(), ticks[1], f["best_ask_size"].tolist(), strict=True))


# A file that opens in the evening: the snapshot at 23:59:30, a better bid 10 s before midnight, gone 250 ms behind it
EVENING = [
    *at(-30_000, *build_up(2)),
    *at(-10_000, record("A", 50, tick=0, size=3)),
    *at(10, record("A", 51, tick=-6)),
    *at(250, record("C", 50, tick=0, size=3)),
    *at(310, record("A", 52, tick=-6)),
]


def evening_file(folder: Path, name: str = "overnight-20260205.dbn") -> Path:
    return write_dbn(folder / name, to_array(EVENING), day=YESTERDAY, n_days=2)


@pytest.mark.parametrize("name", ["overnight-20260205.dbn", "overnight.dbn.zst", "overnight-20260206.dbn"])
def test_records_before_midnight_build_the_book(name: str, tmp_path: Path) -> None:
    bins = join(Replay(open_source([evening_file(tmp_path, name)], CONFIG, DAY), CONFIG))
    assert bins.fields["bin_start_ns"].tolist() == [DAY_START + (10 + 100 * i) * MS for i in range(4)]
    assert bins.fields["bin_event_count"].tolist() == [1, 0, 1, 1]
    assert quotes(bins) == [(0, 3, 1, 5), (0, 3, 1, 5), (-1, 5, 1, 5), (-1, 5, 1, 5)]
    assert bins.fields["quality"].tolist() == [0, 0, 0, 0]


def test_the_half_hour_before_the_first_bin_warms_the_field_across_midnight(tmp_path: Path) -> None:
    bins = join(Replay(open_source([evening_file(tmp_path)], CONFIG, DAY), CONFIG, "19:00"))
    k = int(np.flatnonzero(bins.grid["k"][0] == -1)[0])  # spot is the tick above: halves go up
    assert bins.grid["add_mass"][0, k] == pytest.approx(3 * math.exp(-10.1 / 30), rel=1e-12)
    assert quotes(bins)[0] == (0, 3, 1, 5)


def test_evening_file_is_published_and_its_bins_are_sound(tmp_path: Path) -> None:
    config = load_instrument()
    dataset = publish_replay(Lake(tmp_path / "lake"), "d", [evening_file(tmp_path)], config, dt=DAY, start_time="19:00")
    assert dataset.manifest["quality"] == {}


def test_evening_file_without_a_snapshot_starts_cold(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "overnight.dbn", to_array(EVENING[5:]), day=YESTERDAY, n_days=2)
    with pytest.raises(SourceError, match="starts cold"):
        publish_replay(Lake(tmp_path / "lake"), "d", [path], load_instrument(), dt=DAY, start_time="19:00")


def test_kept_book_of_the_evening_gives_the_same_bins(tmp_path: Path) -> None:
    path = evening_file(tmp_path, "overnight.dbn.zst")
    stream = [*at(-3_000_000, *build_up(2)), *EVENING[5:]]
    path.write_bytes(write_dbn(tmp_path / "x.dbn.zst", to_array(stream), day=YESTERDAY, n_days=2).read_bytes())
    runs = []
    for _ in range(2):
        replay = Replay(open_source([path], CONFIG, DAY), CONFIG, "19:00", checkpoints=tmp_path / "kept")
        runs.append(join(replay).to_bytes())
    plain = join(Replay(open_source([path], CONFIG, DAY), CONFIG, "19:00")).to_bytes()
    assert runs == [plain, plain]
    assert list((tmp_path / "kept").glob("*.book"))


# Which session a record belongs to: that of its capture


@pytest.mark.parametrize("captured_ms", [-0.000001, 0, 0.000001], ids=["before", "at midnight", "behind"])
def test_record_of_before_the_first_bin_builds_the_book_whenever_it_was_captured(captured_ms: float) -> None:
    one = timed(record("A", 60, tick=0, size=2), -0.05, captured_ms)
    bins = run_engine(CONFIG, [*at(-30_000, *build_up(2)), one, *at(1, harmless(0))], DAY_START)
    assert (bins.fields["bin_event_count"].tolist(), quotes(bins)) == ([1], [(0, 2, 1, 5)])


@pytest.mark.parametrize(("captured_ms", "n_events"), [(-0.000001, 1), (0, 6)], ids=["before", "at midnight"])
def test_first_record_captured_from_midnight_on_opens_the_session(captured_ms: float, n_events: int) -> None:
    """A clear of 50 us before midnight: if it is the session's own, events count from it on; else its snapshot is the past's."""
    clear, *orders = build_up(2)
    snapshot = [timed(clear, -0.05, captured_ms), *(timed_capture(r, captured_ms) for r in orders)]
    bins = run_engine(CONFIG, [*at(-30_000, *build_up(3)), *snapshot, *at(1, harmless(0))])
    assert (bins.fields["bin_start_ns"].tolist(), quotes(bins)) == ([DAY_START + MS], [(-1, 5, 1, 5)])
    assert bins.fields["event_id"].tolist() == [n_events if n_events == 6 else 7 + 5 + 1]


@pytest.mark.parametrize(("event_ms", "captured_ms"), [(-0.05, 0.05), (-20_000, 30)])
def test_record_captured_behind_midnight_is_late_and_not_outside(event_ms: float, captured_ms: float) -> None:
    one = timed(record("A", 60, tick=0, size=2), event_ms, captured_ms)
    bins = run_engine(CONFIG, [*at(0, *build_up(2)), one, *at(150, harmless(0))])
    assert quotes(bins) == [(0, 2, 1, 5), (0, 2, 1, 5)]
    assert bins.fields["quality"].tolist() == [16, 0]


def test_record_captured_before_midnight_is_in_no_bin_though_its_clock_ran_ahead() -> None:
    one = timed(record("A", 60, tick=0, size=2), 0.05, -0.05)
    bins = run_engine(CONFIG, [*at(-30_000, *build_up(2)), one, *at(20, harmless(0))])
    assert (bins.fields["bin_start_ns"].tolist(), bins.fields["bin_event_count"].tolist()) == ([DAY_START + 20 * MS], [1])
    assert quotes(bins) == [(0, 2, 1, 5)]


@pytest.mark.parametrize("recv", [0, 2**64 - 1])
def test_record_without_a_time_of_capture_counts_where_it_happened(recv: int) -> None:
    stream = [Record(**{**vars(r), "ts_recv": recv}) for r in EVENING]
    assert run_engine(CONFIG, stream).to_bytes() == run_engine(CONFIG, EVENING).to_bytes()


@pytest.mark.parametrize("captured_ns", [-1, 0])
def test_what_is_captured_at_the_sessions_end_is_behind_it(captured_ns: int) -> None:
    end = DAY_NS - MIDNIGHT_TO_OPEN
    last = moved([record("A", 60, tick=0, size=2)], end + captured_ns - 100_000)
    runner = Runner(CONFIG, Span(DAY_START, DAY_START + DAY_NS))
    bins = join([*runner.feed(to_array([*moved(build_up(2), end - 50 * MS), *last]), 8), *runner.finish(None, 8)])
    assert quotes(bins) == ([(0, 2, 1, 5)] if captured_ns < 0 else [(-1, 5, 1, 5)])
    assert (runner.saw_end, runner.anomalies) == (captured_ns == 0, {} if captured_ns < 0 else {"outside_window": 1})


MIDNIGHT_TO_OPEN = OPEN - DAY_START


def test_tomorrows_snapshot_is_in_no_bin_of_today() -> None:
    today = [*build_up(3), harmless(10)]
    alone = run_engine(CONFIG, today)
    joined = run_engine(CONFIG, [*today, *moved([*build_up(6), harmless(10)], DAY_NS)])
    assert joined.to_bytes() == alone.to_bytes()


# Days, and the files they come in


def day_of(n: int, stream: list[Record]) -> list[Record]:
    """The stream on the n-th day from the tests' own."""
    return moved(stream, n * DAY_NS)


def in_order(stream: list[Record]) -> list[Record]:
    """Captured one after the other, however late what they tell."""
    captured = np.maximum.accumulate([r.ts_recv for r in stream]).tolist()
    return [Record(**{**vars(r), "ts_recv": ns}) for r, ns in zip(stream, captured, strict=True)]


def bins_of_day(n: int, stream: list[Record], start_ns: int | None = None) -> bytes:
    start = DAY_START + n * DAY_NS
    runner = Runner(WIDE, Span(start, start + DAY_NS, start_ns))
    return join([*runner.feed(to_array(stream), 64), *runner.finish(None, 64)]).to_bytes()


DAYS = st.tuples(sessions(3), sessions(3), st.booleans())


@given(DAYS)
@fuzz(40)
def test_a_day_that_opens_with_a_snapshot_has_the_same_bins_alone_and_between_others(
    days: tuple[list[Record], list[Record], bool],
) -> None:
    """Its first record at midnight, so that the warm-up of its first bin would reach into the day before."""
    one, two, has_start = days
    yesterday = [r for r in in_order(moved([*build_up(), *one], MIDNIGHT - MINUTE)) if r.ts_recv < DAY_START]
    today = in_order(moved([*build_up(), *two], MIDNIGHT))
    tomorrow = day_of(1, today)
    start_ns = DAY_START if has_start else None
    alone = bins_of_day(0, today, start_ns)
    assert bins_of_day(0, [*yesterday, *today], start_ns) == alone
    assert bins_of_day(0, [*today, *tomorrow], start_ns) == alone
    assert bins_of_day(0, [*yesterday, *today, *tomorrow], start_ns) == alone
    assert bins_of_day(1, [*yesterday, *today, *tomorrow]) == bins_of_day(1, tomorrow)


@given(sessions(4), st.integers(0, 3_000), st.booleans())
@fuzz(40)
def test_plain_reading_says_the_same_of_a_feed_that_runs_over_midnight(stream: list[Record], ms: int, has_start: bool) -> None:
    whole = moved([*build_up(), *stream], MIDNIGHT - ms * MS)
    theirs, session = run_reference(CONFIG, whole, start_time="19:00" if has_start else None)
    runner = make_runner(CONFIG, DAY_START if has_start else None)
    ours = join([*runner.feed(to_array(whole), 64), *runner.finish(None, 64)])
    assert differences(ours, theirs) == {}
    assert runner.n_events == session.n_kept
    assert runner.anomalies == {kind: n for kind, n in session.anomalies.items() if n}


@given(sessions(3), st.lists(st.integers(0, 60), max_size=3), st.integers(0, 2_000), st.sampled_from([None, "19:00"]))
@fuzz(25)
def test_splitting_joining_and_redating_files_changes_no_bin(
    tmp_path_factory: pytest.TempPathFactory, stream: list[Record], cuts: list[int], ms: int, start: str | None
) -> None:
    folder = tmp_path_factory.getbasetemp() / "split"
    folder.mkdir(exist_ok=True)
    rows = to_array(moved([*build_up(), *stream], MIDNIGHT - ms * MS))
    whole = write_dbn(folder / "whole-20260206.dbn", rows, day=YESTERDAY, n_days=3)
    wanted = join(Replay(open_source([whole], CONFIG, DAY), CONFIG, start)).to_bytes()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    names = ["b-20991231.dbn", "a.dbn.zst", "c-20260205.dbn", "d-20260207.dbn.zst"]
    parts = [
        write_dbn(folder / name, rows[first:last], day=YESTERDAY, n_days=n_days)
        for name, n_days, first, last in zip(names, (3, 9, 4, 3), edges, edges[1:], strict=False)
    ]
    source = open_source(parts, CONFIG, DAY)
    assert join(Replay(source, CONFIG, start)).to_bytes() == wanted
    decoded = decode_once(source, folder / "decoded", source.window[1])
    assert join(Replay(decoded, CONFIG, start)).to_bytes() == wanted
    for path in (folder / "decoded").glob("*"):
        path.unlink()


# Where the data of a session are said to end


def declared(folder: Path, *files: tuple[str, list[Record], dt.date, int, int | None]) -> list[Path]:
    return [write_dbn(folder / name, to_array(rows), day=day, n_days=n, end_ns=end) for name, rows, day, n, end in files]


def n_bins(paths: list[Path]) -> int:
    return len(join(Replay(open_source(paths, WIDE, DAY), WIDE)).fields)


def test_data_of_a_day_end_where_its_last_file_says_and_not_where_the_next_days_does(tmp_path: Path) -> None:
    """Declared up to 09:05: five bins of a minute, whatever is read behind them."""
    today, tomorrow = [*build_up(2), harmless(10)], day_of(1, [*build_up(2), harmless(10)])
    end = OPEN + 5 * MINUTE
    (alone,) = declared(tmp_path, ("one.dbn", today, DAY, 1, end))
    (after,) = declared(tmp_path, ("two.dbn", tomorrow, TOMORROW, 1, end + DAY_NS))
    assert (n_bins([alone]), n_bins([alone, after])) == (5, 5)


def test_a_file_of_two_days_that_breaks_off_in_the_second_vouches_for_the_first(tmp_path: Path) -> None:
    """The first day's trading goes on to 16:00 in Chicago, 8 hours behind 09:00 in New York."""
    both = [*build_up(2), harmless(10), *day_of(1, [*build_up(2), harmless(10)])]
    (path,) = declared(tmp_path, ("both.dbn", both, DAY, 2, OPEN + 2 * DAY_NS))
    path.write_bytes(path.read_bytes()[:-20])
    assert n_bins([path]) == 8 * 60


def test_snapshot_that_goes_on_over_midnight_is_one(tmp_path: Path) -> None:
    """Without a clear, the bids captured before midnight and the asks behind it; a second one a minute later is another."""
    loose = [Record(**{**vars(r), "ts_event": DAY_START - 10**15}) for r in build_up(1)[1:]]
    bid, ask = (Record(**{**vars(r), "flags": F_SNAPSHOT}) for r in loose)
    last = at(20, harmless(0))
    halves = [timed_capture(bid, -1), timed_capture(ask, 1), *last]
    assert quotes(run_engine(CONFIG, halves)) == [(-1, 5, 1, 5)]
    apart = [timed_capture(bid, -60_000), timed_capture(ask, 0.000001), *last]
    assert quotes(run_engine(CONFIG, apart)) == [(-6, 1, 1, 5)]  # the bid has gone, but for the day's own at -6


def timed_capture(one: Record, captured_ms: float) -> Record:
    return Record(**{**vars(one), "ts_recv": DAY_START + round(captured_ms * MS)})


def test_events_are_counted_from_the_sessions_own_snapshot_on_and_kept_records_all(tmp_path: Path) -> None:
    before, own = at(-1_000, *build_up(3)), at(0, *build_up(2), record("A", 60, tick=-6))
    runner = Runner(CONFIG, Span(DAY_START, DAY_START + DAY_NS))
    bins: Any = join([*runner.feed(to_array([*before, *own]), 8), *runner.finish(None, 8)])
    assert bins.fields["event_id"].tolist() == [len(own)]
    assert runner.n_events == len(before) + len(own)


def test_last_of_the_evenings_orders_keeps_its_flag(tmp_path: Path) -> None:
    """What the session's first record finds under way goes on: an event begun before midnight ends behind it."""
    event = [timed(record("A", 60, tick=3, flags=0), -0.2, -0.1), timed(record("C", 60, tick=3, flags=F_LAST), 0.1, 0.2)]
    bins = run_engine(CONFIG, [*at(-30_000, *build_up(2)), *event])
    assert (quotes(bins), bins.fields["quality"].tolist()) == ([(-1, 5, 1, 5)], [0])
