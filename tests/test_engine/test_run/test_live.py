"""A live feed gives the bins of its recording: by the clock, holes, silences, the session's edges; by hand, at random."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.errors import ConfigError
from engine.run import keyframes
from engine.run.live import LiveReplay
from engine.run.runner import Runner, Span
from engine.simulate.session import simulate
from engine.source.follow import Batch, Hole, PlacedHole, Watch
from engine.source.records import open_source
from tests.conftest import shared_path
from tests.following import DAY_NS, NOTHING, batches, clocks, file_replay, follow, live_bins
from tests.fuzzing import fuzz, sessions
from tests.parity.test_real_data import CHRISTMAS, DAY_BEFORE, ES
from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.sessions import Bins, join, small_config
from tests.streams import DAY, DAY_START, INSTRUMENT_ID, MID_TICK, OPEN, SYMBOL, TICK, build_up, record, to_array, write_dbn
from tests.test_engine.test_signals.test_contract import quick

SECOND = 10**9
MS = 1_000_000
BIN = 100 * MS
CONFIG = small_config()
SLOW = small_config(cell_width_ms=1000)
CLOSE = 8 * 3600  # Friday's, s behind 09:00 in New York


def on(second: float, flags: int = F_LAST) -> Record:
    """A harmless record, s behind 09:00."""
    return record("A", 5000 + round(second * 10), tick=-6, time=round(second * SECOND), flags=flags)


def shifted(part: Sequence[Record], second: float) -> list[Record]:
    by = round(second * SECOND)
    return [Record(**{**vars(r), "ts_event": r.ts_event + by, "ts_recv": r.ts_recv + by}) for r in part]


def said(second: float, *records: Record, hole: Hole | None = None, is_over: bool = False) -> Batch:
    """A batch of these records; everything is known up to s behind 09:00."""
    return Batch(to_array(records) if records else NOTHING, hole, OPEN + round(second * SECOND), is_over)


def hole(since: float, until: float) -> Hole:
    return Hole(OPEN + round(since * SECOND), OPEN + round(until * SECOND), "gateway away")


def numbered(rows: NDArray[np.void]) -> NDArray[np.void]:
    rows["sequence"] = np.arange(1, len(rows) + 1)
    return rows


def written(folder: Path, given: Sequence[Batch], config: Any = CONFIG, **how: Any) -> Any:
    """The replay of a recording of these batches."""
    rows = np.concatenate([batch.records for batch in given])
    places = np.cumsum([0, *(len(batch.records) for batch in given)])
    told = tuple(PlacedHole(int(n), one.hole) for n, one in zip(places, given, strict=False) if one.hole is not None)
    path = write_dbn(folder / "day-20260206.dbn", rows, {config.symbol: INSTRUMENT_ID}, n_days=2)
    return file_replay(path, config, Watch(told, given[-1].known_until_ns), **how)


def same(live: LiveReplay, found: Bins, replay: Any) -> Bins:
    """The live bins, which are those of the file, with all that was counted."""
    bins = join(replay)
    assert len(found.fields) == len(bins.fields)
    assert found.to_bytes() == bins.to_bytes()
    assert live.anomalies == replay.anomalies
    assert live.quality_counts == replay.quality_counts
    assert live.runner.silences == replay.runner.silences
    assert live.runner.holes == replay.runner.holes
    assert live.runner.quiet == replay.runner.quiet
    assert live.n_overtaken == 0
    return found


def both(folder: Path, given: Sequence[Batch], config: Any = CONFIG, **how: Any) -> Bins:
    """The bins of a live feed and of its recording."""
    live, follower = follow(config, given, **how)
    return same(live, live_bins(live, follower), written(folder, given, config, **how))


# By the clock


@pytest.mark.parametrize(("ns", "n_bins"), [(-1, 2), (0, 3), (1, 3)])
def test_quiet_bin_ends_when_everything_up_to_its_end_is_known(ns: int, n_bins: int) -> None:
    live, follower = follow(CONFIG, [said(0, *build_up()), Batch(NOTHING, None, OPEN + 3 * BIN + ns, False), said(0.3)])
    blocks = iter(live)
    out = [next(blocks).bins["bin_seq"].tolist() for _ in range(n_bins)]
    assert out == [[i] for i in range(n_bins)]
    assert live.runner.n_bins == n_bins
    assert follower.told_ns == OPEN + 3 * BIN + ns


def test_a_bin_of_a_stream_that_keeps_up_comes_with_the_batch_that_completes_it() -> None:
    """Nothing more is read for it, and none is held back for a block to fill."""
    given = [said(0, *build_up()), said(0.05, on(0.05)), said(0.1), said(0.25), said(0.3, on(0.3))]
    live, follower = follow(CONFIG, given, block_bins=256)
    came = [(block.bins["bin_seq"].tolist(), (follower.told_ns - OPEN) // MS) for _, block in zip(range(3), live, strict=False)]
    assert came == [([0], 100), ([1], 250), ([2], 300)]


def test_quiet_bins_are_those_that_the_next_record_closes(tmp_path: Path) -> None:
    given = [said(0, *build_up()), said(0.02, on(0.02)), said(0.45), said(0.9), said(1.0, on(1.0)), said(1.0, is_over=True)]
    bins = both(tmp_path, given)
    assert bins.fields["bin_event_count"].tolist() == [14, *[0] * 9, 1]


def test_bins_up_to_the_end_of_what_is_known_come_at_the_end(tmp_path: Path) -> None:
    bins = both(tmp_path, [said(0, *build_up()), said(0.25, is_over=True)])
    assert bins.fields["bin_event_count"].tolist() == [13, 0]


def test_an_event_of_which_a_part_has_come_holds_the_clock_for_a_second(tmp_path: Path) -> None:
    """It was captured 0.1 ms after it happened."""
    opened = [said(0, *build_up()), said(0.05, on(0.05, flags=0))]
    live, follower = follow(CONFIG, [*opened, said(1.05), said(1.0501), said(1.2, on(1.2))])
    assert next(iter(live)).bins["bin_seq"].tolist() == [0]
    assert follower.told_ns == OPEN + 1_050_100_000
    given = [*opened, said(0.3), said(0.3, on(0.05)), said(0.3), said(0.3, is_over=True)]
    bins = both(tmp_path, given)
    assert bins.fields["bin_event_count"].tolist() == [15, 0, 0]


def test_first_bin_opens_with_a_record(tmp_path: Path) -> None:
    """A start at 09:01, a quiet minute and a half: the first 31 bins come with the record."""
    given = [said(0, *build_up()), said(80), said(91, on(91)), said(92, is_over=True)]
    live, _ = follow(SLOW, given, start_time="09:01")
    assert [block.n for block in live] == [31, 1]
    assert both(tmp_path, given, SLOW, start_time="09:01").fields["bin_event_count"].tolist() == [0] * 31 + [1]


@pytest.mark.parametrize("ns", [0, 1])
def test_record_behind_a_bin_that_the_clock_closed_is_late_and_counted(ns: int) -> None:
    """The margin was too small: the file, which has no clock, would have had bin 0 open still."""
    late = Record(**{**vars(on(0.2)), "ts_event": OPEN + 3 * BIN - 1 + ns})
    live, follower = follow(
        CONFIG, [said(0, *build_up()), said(0.3), said(0.3, late), said(0.3, on(0.35)), said(0.4, is_over=True)]
    )
    bins = live_bins(live, follower)
    assert live.n_overtaken == 1 - ns
    assert bins.fields["bin_event_count"].tolist() == [13, 0, 0, 2]
    assert live.anomalies == ({} if ns else {"late_record": 1})
    assert live.notices == ([] if ns else ["1 records came in behind bins that the clock had closed"])


def test_late_record_within_what_records_had_closed_is_not_overtaken(tmp_path: Path) -> None:
    given = [
        said(0, *build_up()),
        said(0.35, on(0.35)),
        said(0.35, on(0.1)),
        said(0.6),
        said(0.7, on(0.7)),
        said(0.7, is_over=True),
    ]
    assert both(tmp_path, given).fields["quality"].tolist()[3] == 16


# Closed hours and the session's end


def test_no_bin_behind_the_close_comes_before_a_record_does(tmp_path: Path) -> None:
    opened = [said(CLOSE - 3, *shifted(build_up(), CLOSE - 3)), said(CLOSE), said(CLOSE + 300)]
    live, follower = follow(SLOW, [*opened, said(CLOSE + 300, is_over=True)])
    assert len(live_bins(live, follower).fields) == 3
    assert len(both(tmp_path, [*opened, said(CLOSE + 300, is_over=True)], SLOW).fields) == 3
    late = [*opened, said(CLOSE + 300.5, on(CLOSE + 300.5)), said(CLOSE + 900), said(CLOSE + 900, is_over=True)]
    bins = both(tmp_path, late, SLOW)
    assert len(bins.fields) == 304
    assert np.flatnonzero(bins.fields["quality"] & 64).tolist() == list(range(3, 304))


def test_many_bins_that_are_due_come_in_large_blocks() -> None:
    given = [said(CLOSE - 3, *shifted(build_up(), CLOSE - 3)), said(CLOSE + 600.5, on(CLOSE + 600.5)), said(0, is_over=True)]
    live, _ = follow(SLOW, given)
    assert [block.n for block in live] == [256, 256, 91, 1]


MIDNIGHT = 10 * 3600  # s behind 09:00 of the session's end


@pytest.mark.parametrize(("ns", "ends"), [(-1, False), (0, True)])
def test_session_ends_when_everything_up_to_its_end_is_known(ns: int, ends: bool, tmp_path: Path) -> None:
    """Without hours, so that its last bins are not those of a close."""
    config = small_config(cell_width_ms=1000, symbol_root="XX", symbol="XXH6")
    last = Batch(NOTHING, None, DAY_START + DAY_NS + ns, False)
    given = [said(MIDNIGHT - 3, *shifted(build_up(), MIDNIGHT - 3)), last]
    live, follower = follow(config, given)
    if not ends:
        assert sum(block.n for _, block in zip(range(2), live, strict=False)) == 2
        assert not live.runner.is_finished
        return
    assert len(same(live, live_bins(live, follower), written(tmp_path, given, config)).fields) == 3


def test_record_captured_behind_the_end_ends_the_session(tmp_path: Path) -> None:
    given = [
        said(CLOSE - 3, *shifted(build_up(), CLOSE - 3)),
        said(MIDNIGHT - 1.5, on(MIDNIGHT - 1.5)),
        said(MIDNIGHT - 0.9, *shifted([on(0)], MIDNIGHT)),
    ]
    live, follower = follow(SLOW, given)
    bins = live_bins(live, follower)
    assert bins.fields["bin_end_ns"][-1] == DAY_START + DAY_NS - SECOND  # outside the hours: up to the last record's bin
    assert same(live, bins, written(tmp_path, given, SLOW))


# Silences


def test_silence_in_a_watched_feed_is_quiet_and_the_file_alone_takes_it_for_a_hole(tmp_path: Path) -> None:
    """From 1.5 s to 70.5 s: 70 bins that differ in one bit, and they are named."""
    given = [said(0, *build_up()), said(1.5, on(1.5)), said(40), said(70), said(70.5, on(70.5)), said(72, is_over=True)]
    bins = both(tmp_path, given, SLOW)
    live, follower = follow(SLOW, given)
    live_bins(live, follower)
    assert live.runner.silences == {"quiet_by_heartbeat": 1}
    assert live.runner.quiet == [(OPEN + 1_500_000_000, OPEN + 70_500_000_000)]
    assert not bins.fields["quality"].any()
    path = write_dbn(tmp_path / "alone-20260206.dbn", np.concatenate([b.records for b in given]), end_ns=OPEN + 72 * SECOND)
    alone = join(file_replay(path, SLOW))
    assert np.flatnonzero(alone.fields["quality"]).tolist() == list(range(1, 71))
    assert set(alone.fields["quality"].tolist()) == {0, 2}
    alone.fields["quality"] = 0
    assert alone.to_bytes() == bins.to_bytes()


def test_silence_before_the_end_is_quiet_too(tmp_path: Path) -> None:
    bins = both(tmp_path, [said(0, *build_up()), said(90), said(90, is_over=True)], SLOW)
    assert bins.fields["quality"].tolist() == [0] * 90


# Holes

AFTER = build_up(2, size=9)  # the snapshot behind a hole


def gaps(bins: Bins) -> list[int]:
    return np.flatnonzero(bins.fields["quality"] & 2).tolist()


def bid_sizes(bins: Bins) -> list[int]:
    return bins.fields["best_bid_size"].tolist()


@pytest.mark.parametrize("captured", [0.45, 0.3, 0.2], ids=["its clear in the last bin", "in an older one", "long ago"])
def test_hole_marks_each_bin_that_it_touches_and_its_snapshot_falls_where_it_ends(captured: float, tmp_path: Path) -> None:
    """From 0.15 s to 0.42 s: bins 1 to 4; the clear bears an older time."""
    snapshot = [Record(**{**vars(r), "ts_recv": OPEN + 450 * MS}) for r in shifted(AFTER, captured)]
    given = [
        said(0, *build_up()),
        said(0.15, on(0.15)),
        said(0.45, *snapshot, hole=hole(0.15, 0.42)),
        said(0.61, on(0.61)),
        said(0.7, is_over=True),
    ]
    bins = both(tmp_path, given)
    assert gaps(bins) == [1, 2, 3, 4]
    assert bid_sizes(bins) == [5, 5, 5, 5, 9, 9, 9]
    assert bins.fields["bin_event_count"].tolist() == [13, 1, 0, 0, 5, 0, 1]


@pytest.mark.parametrize(
    ("since", "until", "marked"),
    [
        (0.2, 0.3, [2, 3]),  # its end is the first instant of bin 3, its beginning of bin 2
        (0.199999999, 0.299999999, [1, 2]),
        (0.12, 0.18, [1]),
    ],
)
def test_bounds_of_a_hole_on_the_edges_of_bins(since: float, until: float, marked: list[int], tmp_path: Path) -> None:
    given = [
        said(0, *build_up()),
        said(0.11, on(0.11)),
        said(0.5, *shifted(AFTER, 0.31), hole=hole(since, until)),
        said(0.5, is_over=True),
    ]
    assert gaps(both(tmp_path, given)) == marked


def test_quiet_bins_before_a_hole_are_not_marked(tmp_path: Path) -> None:
    given = [said(0, *build_up()), said(0.2), said(0.5, *shifted(AFTER, 0.45), hole=hole(0.2, 0.4)), said(0.5, is_over=True)]
    assert gaps(both(tmp_path, given)) == [2, 3, 4]


def test_two_holes_in_a_row_and_one_at_the_end(tmp_path: Path) -> None:
    given = [
        said(0, *build_up()),
        said(0.1, hole=hole(0.05, 0.1)),
        said(0.45, *shifted(AFTER, 0.41), hole=hole(0.3, 0.4)),
        said(0.6, on(0.6)),
        said(0.8, hole=hole(0.65, 0.8)),
        said(0.8, is_over=True),
    ]
    live, follower = follow(CONFIG, given)
    bins = same(live, live_bins(live, follower), written(tmp_path, given))
    assert gaps(bins) == [0, 1, 3, 4, 6, 7]
    assert live.runner.silences == {"holes": 3}
    assert [(one.since_ns, one.until_ns) for one in live.holes] == live.runner.holes
    assert live.notices[0] == f"hole from {OPEN + 50 * MS} to {OPEN + 100 * MS} ns: gateway away"


def test_hole_in_closed_hours_is_marked_and_its_bins_are_there(tmp_path: Path) -> None:
    given = [
        said(CLOSE - 3, *shifted(build_up(), CLOSE - 3)),
        said(CLOSE + 10, *shifted(AFTER, CLOSE + 9.5), hole=hole(CLOSE + 5.5, CLOSE + 9)),
        said(CLOSE + 10, is_over=True),
    ]
    assert gaps(both(tmp_path, given, SLOW)) == [8, 9, 10, 11, 12]


def test_hole_across_midnight_reaches_into_the_session_that_a_snapshot_opens(tmp_path: Path) -> None:
    """From 30 s before to 2.5 s behind midnight in UTC, 19:00 in New York; the first bin begins there."""
    night = -14 * 3600
    given = [
        said(night - 40, *shifted(build_up(), night - 40)),
        said(night + 2.6, *shifted(AFTER, night + 2.6), hole=hole(night - 30, night + 2.5)),
        said(night + 5, is_over=True),
    ]
    rows = np.concatenate([one.records for one in given])
    path = write_dbn(tmp_path / "n.dbn", rows, n_days=2, day=DAY.replace(day=5))
    watch = Watch((PlacedHole(13, given[1].hole),), given[-1].known_until_ns)
    live, follower = follow(SLOW, given, start_time="19:00")
    bins = same(live, live_bins(live, follower), file_replay(path, SLOW, watch, start_time="19:00"))
    assert gaps(bins) == [0, 1, 2]


def test_what_a_recorder_knew_comes_back_from_json() -> None:
    watch = Watch((PlacedHole(3, hole(1, 2)), PlacedHole(3, hole(3, 4))), OPEN)
    assert Watch.from_json(watch.to_json()) == watch
    assert watch.to_json()["holes"][0] == {
        "n_before": 3,
        "since_ns": OPEN + SECOND,
        "until_ns": OPEN + 2 * SECOND,
        "reason": "gateway away",
    }
    assert Watch.from_json({"holes": [], "known_until_ns": None}) == Watch()


def test_records_are_cut_where_holes_lie() -> None:
    first, second, third = hole(1, 2), hole(2, 3), hole(3, 4)
    watch = Watch((PlacedHole(10, first), PlacedHole(12, second), PlacedHole(12, third), PlacedHole(15, first)))
    rows = to_array([on(0.1 * i) for i in range(5)])
    cut = [(one, part["order_id"].tolist()) for one, part in watch.cut(rows, 10, 0)]
    ids = rows["order_id"].tolist()
    assert cut == [(first, ids[:2]), (second, []), (third, ids[2:])]  # the last one lies before the record behind these
    assert [(one, len(part)) for one, part in watch.cut(rows, 10, 3)] == [(None, 5)]
    assert [(one, len(part)) for one, part in watch.cut(rows, 11, 1)] == [(None, 1), (second, 0), (third, 3), (first, 1)]


# The contract's id changes


def test_change_of_id_clears_the_book_as_in_a_file(tmp_path: Path) -> None:
    rows = [to_array(part) for part in (build_up(), [on(0.15)], shifted(AFTER[1:], 0.3))]
    for part, number in zip(rows, (1, 1, 2), strict=True):
        part["instrument_id"] = number
    files = []
    for number, part in ((1, np.concatenate(rows[:2])), (2, rows[2])):
        files.append(write_dbn(tmp_path / f"{number}-20260206.dbn", part, {SYMBOL: number}))
    watch = Watch((PlacedHole(14, hole(0.15, 0.29)),), OPEN + 500 * MS)
    given = [
        Batch(np.concatenate(rows[:2]), None, OPEN, False),
        Batch(rows[2], watch.holes[0].hole, OPEN, False),
        said(0.5, is_over=True),
    ]
    live, follower = follow(CONFIG, given)
    replay = file_replay(files, CONFIG, watch)
    bins = same(live, live_bins(live, follower), replay)
    assert np.flatnonzero(bins.fields["quality"] & 128).tolist() == [3]
    assert gaps(bins) == [1, 2]
    assert live.notices[1:] == replay.notices
    assert live.n_records == len(rows[0]) + 1 + len(rows[2]) + 1
    assert len([records for records in replay.source.records(1)]) == live.n_records


# Whole sessions, at random


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.void]:
    """25 s of a simulated market; its first 2,013 records are the snapshot."""
    path = tmp_path_factory.mktemp("raw") / "glbx-mdp3-20260206.mbo.dbn"
    simulate(path, seed=3, seconds=25, rate=60.0)
    return np.concatenate(list(open_source([path], load_instrument(), DAY).records()))


@pytest.mark.parametrize("name", ["perm_derivative", "pca_ad"])
def test_simulated_session_in_any_pieces_is_the_file(name: str, simulated_file: Path, tmp_path: Path) -> None:
    """Scores of a statistical and of a learned signal, too."""
    from engine.signals.base import SignalContext
    from engine.signals.registry import make_signal

    config = load_instrument(overrides={"grid_radius_ticks": 26})
    context = SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    params = quick(name) if name != "perm_derivative" else {}
    rows = np.concatenate(list(open_source([simulated_file], config, DAY).records()))
    pauses = np.maximum(rows["ts_recv"].astype(np.int64) - OPEN, 0) // (5 * SECOND)
    for time in ("ts_event", "ts_recv"):
        rows[time] += (pauses * 1300 * MS).astype(np.uint64)  # every five seconds it is quiet for a while
    end = OPEN + 52 * SECOND
    path = write_dbn(tmp_path / "m-20260206.dbn", rows, {SYMBOL: int(rows["instrument_id"][0])})
    replay = file_replay(path, config, Watch((), end), signal=make_signal(name, params, context))
    bins = join(replay)
    assert np.count_nonzero(bins.fields["runtime_model_score"]) > 50
    for seed in range(3):
        rng = np.random.default_rng(seed)
        live, follower = follow(
            config,
            batches(rows, rng, end_ns=end, most=(100, 400, 4000)[seed]),
            signal=make_signal(name, params, context),
            block_bins=(1, 7, 256)[seed],
        )
        found = live_bins(live, follower)
        assert found.to_bytes() == bins.to_bytes(), seed
        assert (live.anomalies, live.quality_counts) == (replay.anomalies, replay.quality_counts)
        assert live.n_overtaken == 0


@given(sessions(max_parts=6), st.integers(0, 2**32 - 1))
@fuzz(40)
def test_fuzzed_streams_with_holes_at_any_place_are_the_file(stream: list[Record], seed: int) -> None:
    """Straight from the runner, without hours: a feed whole, and the same in pieces under a clock."""
    rng = np.random.default_rng(seed)
    rows = numbered(to_array(stream))
    clock = clocks(rows)
    end = max(int(clock[-1]), OPEN) + int(rng.integers(0, 5)) * 77 * MS
    places = sorted(set(rng.integers(0, len(rows), rng.integers(0, 3)).tolist()))
    holes = []
    for n in places:
        since = int(clock[n - 1]) if n else OPEN
        until = max(int(clock[n]), since)
        holes.append((n, Hole(max(since, OPEN), max(until, OPEN), "fuzzed")))
    span = Span(DAY_START, DAY_START + DAY_NS)
    whole, pieces = (Runner(CONFIG, span, is_watched=True) for _ in range(2))
    found: list[Any] = []
    for (n, one), following in zip([(0, None), *holes], [*(n for n, _ in holes), len(rows)], strict=True):
        if one is not None:
            found += whole.take_hole(one.since_ns, one.until_ns, 64)
        found += whole.feed(rows[n:following], 64)
    found += whole.finish(end, 64)
    taken: list[Any] = []
    for batch in batches(rows, rng, holes, end, most=10):
        if batch.hole is not None:
            taken += pieces.take_hole(batch.hole.since_ns, batch.hole.until_ns, 3)
        taken += pieces.feed(batch.records, 3)
        taken += pieces.finish(end, 3) if batch.is_over else pieces.advance(batch.known_until_ns, 3)
    assert join(taken).to_bytes() == join(found).to_bytes()
    assert pieces.anomalies == whole.anomalies
    assert pieces.engine.run.tobytes() == whole.engine.run.tobytes()


def test_christmas_of_1_contract_live_is_the_file() -> None:
    """Real records of two days: a snapshot, an evening's open, thin hours."""
    config = load_instrument(ES, overrides={"grid_radius_ticks": 20, "cell_width_ms": 5000})
    paths = [shared_path(DAY_BEFORE), shared_path(CHRISTMAS)]
    day = open_source(paths, config).dt
    source = open_source(paths, config, day)
    rows = np.concatenate(list(source.records()))
    watch = Watch((), source.declared_end_ns)
    replay = file_replay(paths, config, watch, day=day)
    bins = join(replay)
    assert len(bins.fields) > 100
    start, end = source.window
    for seed in range(2):
        rng = np.random.default_rng(seed)
        given = batches(rows, rng, end_ns=watch.known_until_ns, most=2000, window=(start, end))
        live, follower = follow(config, given, day=day, block_bins=16)
        assert live_bins(live, follower).to_bytes() == bins.to_bytes()
        assert live.runner.silences == replay.runner.silences
        assert live.n_overtaken == 0


# Kept states


def test_replica_begins_at_the_last_kept_state(market: NDArray[np.void], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was there from the start keeps states every 60 bins; another comes later and has the same bins from there on."""
    monkeypatch.setattr(keyframes, "KEYFRAME_BINS", 60)
    end = OPEN + 26 * SECOND
    at = 2600
    gap = Hole(int(market["ts_event"][at - 1]), int(market["ts_event"][at]), "cut")

    def run(**how: Any) -> tuple[LiveReplay, Bins]:
        given = batches(market, np.random.default_rng(5), [(at, gap)], end, most=300)
        live, follower = follow(CONFIG, given, keyframes=tmp_path / "states", recording="one", **how)
        if live.keyframes is not None:
            see = live.keyframes.see

            def see_and_wait(*what: Any) -> None:
                see(*what)
                keyframes.wait()

            live.keyframes.see = see_and_wait  # type: ignore[method-assign]
        bins = live_bins(live, follower)
        keyframes.wait()
        return live, bins

    whole, all_bins = run()
    for how, begins in (({"from_bin": None}, 240), ({"from_bin": 70}, 60), ({"from_bin": 59}, 0)):
        later, bins = run(**how)
        first = later.from_bin
        assert later.keyframes is not None
        assert later.keyframes.began_at == begins
        assert first == (how["from_bin"] or begins)
        assert bins.fields.tobytes() == all_bins.fields[first:].tobytes()
        assert bins.grid["spectrum_score"].tobytes() == all_bins.grid["spectrum_score"][first:].tobytes()
        assert (later.anomalies, later.quality_counts) == (whole.anomalies, whole.quality_counts)
        assert later.runner.silences == whole.runner.silences
        assert (later.holes, later.n_records) == (whole.holes, whole.n_records)
    given = batches(market, np.random.default_rng(5), [(at, gap)], end)
    other, follower = follow(CONFIG, given, keyframes=tmp_path / "states", recording="another", from_bin=None)
    assert next(iter(other)).bins["bin_seq"][0] == 0
    keyframes.wait()


def test_states_of_a_recording_without_a_name_and_a_bin_below_0_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="recording without a name"):
        follow(CONFIG, [], keyframes=tmp_path)
    with pytest.raises(ConfigError, match="first bin was -1"):
        follow(CONFIG, [], from_bin=-1)


def test_replay_of_a_recording_with_holes_begins_at_a_kept_state(
    market: NDArray[np.void], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyframes, "KEYFRAME_BINS", 60)
    path = write_dbn(tmp_path / "m-20260206.dbn", market, {SYMBOL: int(market["instrument_id"][0])})
    holes = tuple(
        PlacedHole(n, Hole(int(market["ts_event"][n - 1]), int(market["ts_event"][n]) + 150 * MS, "cut")) for n in (2400, 3000)
    )
    watch = Watch(holes, OPEN + 26 * SECOND)
    bins = join(file_replay(path, CONFIG, watch, chunk_records=37, keyframes=tmp_path / "k"))
    keyframes.wait()
    assert join(file_replay(path, CONFIG, watch)).to_bytes() == bins.to_bytes()
    assert len(gaps(bins)) >= 4
    for first in (61, 130, 200):
        later = file_replay(path, CONFIG, watch, chunk_records=53, keyframes=tmp_path / "k", from_bin=first)
        assert join(later).fields.tobytes() == bins.fields[first:].tobytes()
        assert later.keyframes is not None
        assert later.keyframes.began_at > 0
    unwatched = file_replay(path, CONFIG, None, keyframes=tmp_path / "k", from_bin=200)
    assert not gaps(join(unwatched))


def test_cancelled_feed_hands_out_no_more() -> None:
    live, follower = follow(CONFIG, [said(0, *build_up()), said(0.1), said(0.2)], is_cancelled=lambda: follower.told_ns > OPEN)
    assert [block.n for block in live] == [1]


def test_price_of_a_quiet_bin_is_that_of_the_book(tmp_path: Path) -> None:
    bins = both(tmp_path, [said(0, *build_up()), said(0.3), said(0.3, is_over=True)])
    assert (bins.fields["best_bid_price_int"] // TICK - MID_TICK).tolist() == [-1, -1, -1]
    assert F_SNAPSHOT & build_up()[0].flags
