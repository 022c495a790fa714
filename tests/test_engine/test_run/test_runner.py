"""The runner as the owner of a run: when bins come out, what it leaves untouched."""

from engine.run.replay import runtime_model
from engine.schema import BIN_FIELD_NAMES
from tests.sessions import join, make_runner, run_engine, small_config
from tests.streams import build_up, harmless, record, to_array

CONFIG = small_config()
SNAPSHOT = build_up()  # 13 records at 09:00, best 21,599.75 and 21,600.25


def test_every_bin_that_records_complete_is_out_before_the_feed_returns() -> None:
    runner = make_runner(CONFIG)
    blocks = list(runner.feed(to_array([*SNAPSHOT, harmless(10), harmless(350)]), 256))
    assert sum(block.n for block in blocks) == 3


def test_read_only_records_give_the_same_bins() -> None:
    stream = [*SNAPSHOT, *(harmless(i * 7.3) for i in range(50))]
    frozen = to_array(stream)
    frozen.setflags(write=False)
    runner = make_runner(CONFIG)
    ours = join([*runner.feed(frozen, 64), *runner.finish(None, 64)])
    assert ours.to_bytes() == run_engine(CONFIG, stream).to_bytes()


def test_warming_up_leaves_the_state_untouched() -> None:
    stream = to_array([*SNAPSHOT, harmless(10), harmless(350)])
    runner = make_runner(CONFIG)
    runner.warmup()
    ours = join([*runner.feed(stream, 64), *runner.finish(None, 64)])
    assert ours.to_bytes() == run_engine(CONFIG, [*SNAPSHOT, harmless(10), harmless(350)]).to_bytes()


def test_another_signal_takes_over_with_the_next_bin_and_nothing_else_changes() -> None:
    """The bid steps forward and back from bin to bin, so that the two tables of states differ."""
    steps = [record("AC"[i % 2], 7000 + i // 2, tick=0, time=50_000_000 + i * 100_000_000) for i in range(30)]
    stream = [*SNAPSHOT, *steps]
    other = small_config(state5_table="reference")
    before, after = run_engine(CONFIG, stream), run_engine(other, stream)
    runner = make_runner(CONFIG)
    blocks = list(runner.feed(to_array(stream)[: len(SNAPSHOT) + 12], 64))
    n = sum(block.n for block in blocks)
    signal = runtime_model(other)
    assert signal is not None
    signal.run({name: column[:n] for name, column in after.grid.items()})
    runner.take_over(signal, other)
    ours = join([*blocks, *runner.feed(to_array(stream)[len(SNAPSHOT) + 12 :], 64), *runner.finish(None, 64)])
    assert (n, len(ours.fields)) == (11, 30)
    assert ours.fields[:n].tobytes() == before.fields[:n].tobytes()
    assert ours.fields[n:].tobytes() == after.fields[n:].tobytes()
    for name, column in ours.grid.items():
        assert column[:n].tobytes() == before.grid[name][:n].tobytes(), name
        assert column[n:].tobytes() == after.grid[name][n:].tobytes(), name
    assert (before.grid["perm_state5_code"] != after.grid["perm_state5_code"])[n:].any()  # else this test sees nothing


def test_without_a_model_its_fields_are_zero() -> None:
    runner = make_runner(CONFIG)
    runner.take_over(None, CONFIG)
    (block,) = runner.feed(to_array([*SNAPSHOT, harmless(350)]), 64)
    assert block.model_name == ""
    assert not any(block.bins[name].any() for name in block.bins.dtype.names or () if name not in BIN_FIELD_NAMES)
