"""The guarantees G1 to G6 of engine.md section 10, a property each, on hostile streams and against the slow reference.

SPYMASTER_FUZZ_EXAMPLES=N makes each property try N new examples.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.book.kernels import NO_TICK
from engine.config import InstrumentConfig
from engine.hours import open_intervals
from engine.run.replay import Replay, runtime_model
from engine.run.runner import Runner, Span
from engine.schema import MODEL_DTYPE, MODEL_PREFIX
from engine.signals.base import SignalContext
from engine.source.records import open_source
from tests.fuzzing import MS, NEAR, PRICE_ENDS, fuzz, lost, moved, non_finite, raw_records, run_raw, sessions
from tests.reference import F_LAST, Book, Record, prepare
from tests.sessions import Bins, differences, join, make_runner, run_reference, small_config
from tests.streams import DAY, DAY_START, TICK, build_up, record, records, to_array, write_dbn

CONFIG = small_config()
SNAPSHOT = build_up()
BIN = 100 * MS
FOREVER = 1e9  # s: a mass decays by less than a millionth in a test


def at_the_end(stream: list[Record], gap: int = BIN) -> int:
    """ns from 09:00 to a moment behind every record."""
    return max(r.ts_event for r in stream) - SNAPSHOT[0].ts_event + gap


# G1: every kept event advances the state exactly once


def flows_of(stream: list[Record]) -> Counter[str]:
    """Contracts added, pulled and filled by every event since both sides had a price, by the plain book."""
    book, total, is_anchored = Book(TICK), Counter[str](), False
    for _, item in prepare(stream, DAY_START, book.anomalies):
        for _, *flow in book.apply(item):
            if is_anchored:
                total.update(dict(zip(("add", "pull", "fill"), flow, strict=True)))
        is_anchored |= None not in (book.best("B"), book.best("A"))
    return total


@given(records(max_size=150), st.sampled_from([1, 3, 64]), st.sampled_from([1, 17, 1000]))
@fuzz(50)
def test_g1_every_kept_event_advances_the_state_exactly_once(stream: list[Record], block_bins: int, chunk: int) -> None:
    """With masses that do not decay, the whole grid holds each contract that was added, pulled or filled once, and once only."""
    config = small_config(grid_radius_ticks=20, n_absolute_ticks=256, tau_rest_decay=FOREVER)
    everything = [*SNAPSHOT, *(Record(**{**vars(r), "size": min(r.size, 8)}) for r in stream)]
    everything += moved(SNAPSHOT, at_the_end(everything))  # so that the last bin has a spot in the middle of all ticks
    rows = to_array(everything)
    runner = make_runner(config)
    parts = [block for i in range(0, len(rows), chunk) for block in runner.feed(rows[i : i + chunk], block_bins)]
    bins = join([*parts, *runner.finish(None, block_bins)])
    flows = flows_of(everything)
    for name in ("add", "pull", "fill"):
        assert bins.grid[f"{name}_mass"][-1].sum() == pytest.approx(flows[name], abs=0.01)
    assert bins.fields["event_id"].tolist() == np.cumsum(bins.fields["bin_event_count"]).tolist()
    assert bins.fields["event_id"][-1] == runner.n_events
    assert lost(len(rows), runner.n_events, runner.anomalies) == 0


def test_g1_holds_while_the_order_table_grows() -> None:
    """Each growth stops the loop before a record and takes it up again with the same one."""
    n = 150_000
    rows = np.repeat(to_array([record("A", 0, tick=-2)]), n)
    rows["order_id"] = np.arange(10**6, 10**6 + n)
    config = small_config(tau_rest_decay=FOREVER)
    runner = make_runner(config)
    bins = join([*runner.feed(np.concatenate([to_array(SNAPSHOT), rows]), 64), *runner.finish(None, 64)])
    assert bins.grid["add_mass"][-1, config.grid_radius_ticks - 2] == pytest.approx(n + 5, abs=0.5)
    assert (runner.n_events, runner.anomalies) == (n + 13, {})


# G2: no output is NaN or infinite, whatever the input


def configs() -> st.SearchStrategy[InstrumentConfig]:
    """Instruments at the ends of what is allowed."""
    tau = st.sampled_from([1e-9, 1e-3, 2.0, 1e9])
    coefficient = st.sampled_from([0.0, 1.0, 1e12])
    names = ("c1_v_add", "c2_v_rest_pos", "c3_a_add", "c4_v_pull", "c5_v_fill", "c6_v_rest_neg", "c7_a_pull")
    taus = ("tau_velocity", "tau_acceleration", "tau_jerk", "tau_rest_decay")
    other = {"spectrum_tanh_scale": st.sampled_from([1e-6, 1e6]), "cell_width_ms": st.sampled_from([20, 60_000])}
    fields = dict.fromkeys(taus, tau) | dict.fromkeys(names, coefficient) | other
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: small_config(**values))


@given(configs(), raw_records(st.one_of(NEAR, NEAR, st.sampled_from(PRICE_ENDS)), max_size=80), records(max_size=80))
@fuzz(60)
def test_g2_no_output_is_nan_or_infinite(config: InstrumentConfig, wild: list[Record], hostile: list[Record]) -> None:
    if config.cell_width_ms < 1000:  # else a record at midnight makes a million bins
        wild = [Record(**{**vars(r), "ts_event": SNAPSHOT[0].ts_event, "ts_recv": SNAPSHOT[0].ts_event}) for r in wild]
    ours, runner = run_raw(config, [*SNAPSHOT, *hostile, *wild])
    assert non_finite(ours) == []
    assert len(ours.fields) > 0
    assert np.all(np.abs(ours.grid["spectrum_score"]) <= 1)
    assert np.all(np.abs(ours.fields["runtime_model_score"]) <= 1)


# G3: untouched slots keep their values apart from passive decay


CALM_TICKS = [t for t in range(-5, 6) if abs(t) >= 2]
calm = st.lists(
    st.tuples(st.sampled_from(CALM_TICKS), st.integers(1, 9), st.sampled_from("AAC"), st.integers(0, 40)), max_size=40
)


def quiet_market(steps: list[tuple[int, int, str, int]], first_id: int, start: int) -> list[Record]:
    """Adds and cancels behind the best prices, which stay where they are."""
    stream, clock = [], start
    for i, (tick, size, action, gap) in enumerate(steps):
        clock += gap * MS
        side = "B" if tick < 0 else "A"
        order_id = first_id + i if action == "A" else first_id + i // 2
        stream.append(record(action, order_id, side=side, tick=tick, size=size, time=clock))
    return stream


@given(calm, calm)
@fuzz(50)
def test_g3_untouched_slots_keep_their_values_apart_from_passive_decay(
    before: list[tuple[int, int, str, int]], after: list[tuple[int, int, str, int]]
) -> None:
    """What happens at ticks +4 and +5 does not show in one bit of any other row; and masses there only decay."""
    past = [*SNAPSHOT, *quiet_market(before, 5000, 0)]
    start = at_the_end(past)
    touching = quiet_market([(4 + size % 2, size, action, gap) for _, size, action, gap in after], 9000, start)
    idle = [record("N", 0, side="N", time=r.ts_event - SNAPSHOT[0].ts_event) for r in touching]
    end = record("N", 0, side="N", time=at_the_end([*past, *touching]))
    busy, quiet = (run_raw(CONFIG, [*past, *rest, end])[0] for rest in (touching, idle))
    others = slice(0, CONFIG.grid_radius_ticks + 4)
    for name, column in quiet.grid.items():
        if name != "last_event_id":
            assert column[:, others].tobytes() == busy.grid[name][:, others].tobytes(), name
    assert np.array_equal(quiet.grid["last_event_id"][:, others], busy.grid["last_event_id"][:, others])
    first = start // BIN
    n_later = len(quiet.fields) - 1 - first
    for name in ("add_mass", "pull_mass"):
        decayed = quiet.grid[name][first, others] * np.exp(-n_later * 0.1 / CONFIG.tau_rest_decay)
        assert np.allclose(quiet.grid[name][-1, others], decayed, rtol=1e-9, atol=0)


# G4: any source of the same events gives bit-identical bins


def live_feed(config: InstrumentConfig, stream: list[Record]) -> Bins:
    """Record by record, a bin at a time, as a live connection hands them over."""
    span = Span(DAY_START, DAY_START + 86_400 * 10**9)
    runner = Runner(config, span, open_intervals(config.symbol_root, DAY), runtime_model(config))
    blocks = [block for item in stream for block in runner.feed(to_array([item]), 1)]
    return join([*blocks, *runner.finish(None, 1)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@given(sessions(), st.integers(1, 60), st.sampled_from([1, 2, 5, 256]), st.floats(0, 1))
@fuzz(40)
def test_g4_any_source_gives_bit_identical_bins(
    folder: Path, stream: list[Record], chunk: int, block_bins: int, cut: float
) -> None:
    """A file, a compressed one, one of many frames, two files one after the other, a live feed; in any chunks and blocks."""
    rows = to_array(stream)
    whole, packed, framed = folder / "day.dbn", folder / "day.dbn.zst", folder / "frames.dbn.zst"
    write_dbn(whole, rows)
    write_dbn(packed, rows)
    content = whole.read_bytes()
    framed.write_bytes(b"".join(zstandard.compress(content[i : i + 333]) for i in range(0, len(content), 333)))
    middle = int(cut * len(rows))
    halves = [write_dbn(folder / "first.dbn", rows[:middle]), write_dbn(folder / "second.dbn.zst", rows[middle:])]
    wanted = join(Replay(open_source([whole], CONFIG, DAY), CONFIG, block_bins=10_000, chunk_records=10**9)).to_bytes()
    for paths in ([whole], [packed], [framed], halves):
        replay = Replay(open_source(paths, CONFIG, DAY), CONFIG, block_bins=block_bins, chunk_records=chunk)
        assert join(replay).to_bytes() == wanted, paths
    assert live_feed(CONFIG, stream).to_bytes() == wanted


# G5: depth is the sum of live orders, best prices are the extreme ticks with depth, at every event end


def depth_by_tick(runner: Runner) -> dict[str, dict[int, int]]:
    """What the engine holds per tick, side by side."""
    book = runner.engine.book
    first = int(book.scalars[0]["anchor"]) - len(book.depth) // 2
    sides = zip("BA", book.depth.T, strict=True)
    return {side: {first + int(i): int(column[i]) for i in np.flatnonzero(column)} for side, column in sides}


@given(sessions(max_parts=6))
@fuzz(40)
def test_g5_depth_is_the_sum_of_live_orders_and_best_prices_are_its_extremes(stream: list[Record]) -> None:
    runner, slow = make_runner(CONFIG), Book(TICK)
    kept = prepare([*SNAPSHOT, *stream], DAY_START, Counter())
    taken = iter(kept)
    for item in [*SNAPSHOT, *stream]:
        before = runner.n_events
        list(runner.feed(to_array([item]), 8))
        if runner.n_events > before:
            slow.apply(next(taken)[1])
        if not item.flags & F_LAST:
            continue
        depth = depth_by_tick(runner)
        scalars = runner.engine.book.scalars[0]
        for side, best, pick in (("B", "best_bid", max), ("A", "best_ask", min)):
            assert depth[side] == slow.recount(side)
            assert all(size > 0 for size in depth[side].values())
            assert scalars[best] == (pick(depth[side]) if depth[side] else NO_TICK)
    assert next(taken, None) is None


# G6: batch over a whole session and one bin at a time give the same outputs


def bin_by_bin(bins: Bins, rows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for i in range(len(bins.fields)):
        yield {name: column[i] for name, column in rows.items()}


@given(sessions(), st.integers(0, 30))
@fuzz(40)
def test_g6_batch_and_one_bin_at_a_time_give_the_same_outputs(stream: list[Record], pause: int) -> None:
    """Engine and model; the model also when it is put away after some bins and taken up again by another."""
    everything = to_array([*SNAPSHOT, *stream])
    runs = []
    for block_bins in (1, 3, 10_000):
        runner = make_runner(CONFIG)
        runs.append(join([*runner.feed(everything, block_bins), *runner.finish(None, block_bins)]))
    assert runs[0].to_bytes() == runs[1].to_bytes() == runs[2].to_bytes()
    batch = runs[2]
    model = runtime_model(CONFIG)
    assert model is not None
    columns = {name: batch.grid[name] for name in model.required_columns}
    for i, rows in enumerate(bin_by_bin(batch, columns)):
        if i == pause:
            other = type(model)(model.params, SignalContext(CONFIG.cell_width_ms, CONFIG.grid_radius_ticks, CONFIG.tick_int))
            other.restore(model.snapshot())
            model = other
        single = model.update(rows)
        for name in MODEL_DTYPE.names or ():
            assert single[name].tobytes() == batch.fields[MODEL_PREFIX + name][i].tobytes(), (i, name)


@given(sessions(max_parts=6))
@fuzz(25)
def test_g6_one_bin_at_a_time_equals_the_reference(stream: list[Record]) -> None:
    everything = [*SNAPSHOT, *stream]
    theirs, _ = run_reference(CONFIG, everything)
    runner = make_runner(CONFIG)
    ours = join([*runner.feed(to_array(everything), 1), *runner.finish(None, 1)])
    assert differences(ours, theirs) == {}
