"""A live feed gives the bins of its recording: by the clock, holes, silences, the session's edges; by hand, at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import load_instrument
from engine.errors import ConfigError, SourceError
from engine.run import keyframes
from engine.run.extent import extent_of
from engine.run.live import LiveReplay
from engine.run.runner import Runner, Span
from engine.signals.base import SignalContext
from engine.signals.registry import make_signal
from engine.source.follow import Batch, Hole, Watch
from engine.source.records import open_source
from tests.conftest import shared_path
from tests.following import (
    CLOSE,
    CONFIG,
    DAY_NS,
    MS,
    NOTHING,
    SECOND,
    SLOW,
    batches,
    both,
    clocks,
    file_replay,
    follow,
    live_bins,
    on,
    said,
    same,
    shifted,
    written,
)
from tests.fuzzing import fuzz, sessions
from tests.parity.test_real_data import CHRISTMAS, DAY_BEFORE, ES
from tests.reference import Record
from tests.sessions import Bins, join, small_config
from tests.streams import DAY, DAY_START, OPEN, SYMBOL, build_up, to_array, write_dbn
from tests.test_engine.test_signals.test_contract import quick

BIN = 100 * MS


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
    bins = both(tmp_path, [said(0, *build_up()), said(0.05, on(0.05)), said(0.25, is_over=True)])
    assert bins.fields["bin_event_count"].tolist() == [14, 0]
    source = open_source([tmp_path / "day-20260206.dbn"], CONFIG, DAY, watch=Watch((), OPEN + 250 * MS))
    extent = extent_of(source, CONFIG)
    assert extent is not None
    assert (extent.n_bins, extent.end_ns) == (2, OPEN + 2 * BIN)


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


# Whole sessions, at random


@pytest.mark.parametrize("name", ["perm_derivative", "pca_ad"])
def test_simulated_session_in_any_pieces_is_the_file(name: str, simulated_file: Path, tmp_path: Path) -> None:
    """Scores of a statistical and of a learned signal, too."""
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
    rows = to_array(stream)
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

            live.keyframes.see = see_and_wait  # type: ignore[assignment,method-assign]
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
    given = batches(market[:2500], np.random.default_rng(5))
    short, follower = follow(CONFIG, given, keyframes=tmp_path / "states", recording="one", from_bin=None)
    with pytest.raises(SourceError, match="which ends after 2500; remove"):
        next(iter(short))
    given = batches(market, np.random.default_rng(5), [(at, gap)], end)
    other, follower = follow(CONFIG, given, keyframes=tmp_path / "states", recording="another", from_bin=None)
    assert next(iter(other)).bins["bin_seq"][0] == 0
    keyframes.wait()


def test_states_of_a_recording_without_a_name_and_a_bin_below_0_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="recording without a name"):
        follow(CONFIG, [], keyframes=tmp_path)
    with pytest.raises(ConfigError, match="first bin was -1"):
        follow(CONFIG, [], from_bin=-1)


def test_cancelled_feed_hands_out_no_more() -> None:
    live, follower = follow(CONFIG, [said(0, *build_up()), said(0.1), said(0.2)])
    live.is_cancelled = lambda: follower.told_ns > OPEN
    assert [block.n for block in live] == [1]
