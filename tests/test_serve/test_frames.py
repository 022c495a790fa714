"""Frames there and back, by our decoder and by plain pyarrow."""

import json
import time

import numpy as np
import pyarrow as pa
import pytest

from engine.schema import BIN_DTYPE, BIN_FIELD_NAMES, GRID_COLUMNS, MODEL_FIELD_NAMES, grid_schema
from serve.frames import FrameEncoder, decode_grid, decode_header, encode_header, is_text_integer, message
from tests.blocks import cut, random_block


@pytest.mark.parametrize("radius", [1, 5, 50, 200])
def test_grid_decodes_to_the_same_bits_with_pyarrow(radius: int) -> None:
    block = random_block(3, radius, seed=11)
    encoder = FrameEncoder(2 * radius + 1)
    for i in range(block.n):
        data = encoder.encode(block)[i].grid
        with pa.ipc.open_stream(data) as reader:
            assert reader.schema.equals(grid_schema(), check_metadata=True)
            batches = list(reader)
        assert len(batches) == 1
        batches[0].validate(full=True)
        assert batches[0].schema.names == list(GRID_COLUMNS)
        for name, code in GRID_COLUMNS.items():
            got = batches[0].column(name).to_numpy()
            assert got.dtype == np.dtype(code)
            assert got.tobytes() == np.ascontiguousarray(block.grid[name][i]).tobytes(), name


def test_a_frame_is_what_arrows_own_writer_would_write() -> None:
    block = random_block(1, 5, seed=3)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, grid_schema()) as writer:
        arrays = [pa.array(block.grid[name][0]) for name in GRID_COLUMNS]
        writer.write_batch(pa.record_batch(arrays, schema=grid_schema()))
    assert FrameEncoder(11).encode(block)[0].grid == sink.getvalue().to_pybytes()


def test_frames_of_two_bins_do_not_share_memory() -> None:
    block = random_block(2, 5, seed=4)
    encoder = FrameEncoder(11)
    first, second = (frames.grid for frames in encoder.encode(block))
    before = bytes(first), bytes(second)
    encoder.encode(random_block(2, 5, seed=5))
    assert (first, second) == before


def test_header_keeps_every_field_type_first_and_64_bit_as_text() -> None:
    block = random_block(2, 5, seed=5)
    row = block.bins[1]
    row["best_bid_price_int"] = 2**62 + 1
    frames = FrameEncoder(11).encode(block)[1]
    text = frames.header(dropped_bins=7)
    raw = json.loads(text)
    assert next(iter(raw)) == "type"
    assert raw["type"] == "grid_update"
    assert raw["dropped_bins"] == 7
    assert raw["best_bid_price_int"] == str(2**62 + 1)
    assert raw["runtime_model_name"] == "perm_derivative"
    for name in BIN_FIELD_NAMES:
        assert isinstance(raw[name], str) == is_text_integer(name), name
    values = decode_header(text)
    for name in (*BIN_FIELD_NAMES, *MODEL_FIELD_NAMES):
        assert values[name] == row[name].item(), name  # floats come back to the last bit
    assert frames.bin_seq == 1


def test_text_fields_are_the_times_and_the_fixed_point_prices() -> None:
    assert {name for name in BIN_FIELD_NAMES if is_text_integer(name)} == {
        "bin_start_ns",
        "bin_end_ns",
        "ts_ns",
        "best_bid_price_int",
        "best_ask_price_int",
        "spot_ref_price_int",
        "bid_low_int",
        "bid_high_int",
        "ask_low_int",
        "ask_high_int",
        "last_trade_price_int",
    }


def test_a_number_that_is_none_of_json_is_never_sent() -> None:
    block = random_block(1, 5, seed=6)
    block.bins["runtime_model_d1"] = np.nan
    with pytest.raises(ValueError, match="JSON"):
        encode_header(block.bins[0].tolist(), "x")


def by_json(row: np.void, model_name: str, trades: list[dict[str, object]]) -> str:
    """A header as `json` writes it."""
    values = {name: row[name].item() for name in row.dtype.names or ()}
    header: dict[str, object] = {"type": "grid_update"}
    header |= {name: str(values[name]) if is_text_integer(name) else values[name] for name in BIN_FIELD_NAMES}
    if np.isnan(row["mid_price"]):
        header["mid_price"] = None
    header["runtime_model_name"] = model_name
    header |= {name: values[name] for name in MODEL_FIELD_NAMES}
    header |= {"model_trades": trades} if trades else {}
    return json.dumps(header, separators=(",", ":"))


@pytest.mark.parametrize("seed", range(20))
def test_a_header_is_to_the_last_character_what_json_writes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.zeros(50, BIN_DTYPE)
    for name in rows.dtype.names or ():
        kind = rows.dtype[name]
        if kind.kind == "f":
            bits = rng.integers(0, 2**64, len(rows), np.uint64).view(np.float64)  # all that a double can be
            plain = rng.choice([0.0, -0.0, 0.1, 1e16, 1e-5, 1e22, 5e-324, 1.7976931348623157e308, 21000.125], len(rows))
            rows[name] = np.where(np.isfinite(bits) & (rng.random(len(rows)) < 0.5), bits, plain)
        elif kind.kind == "b":
            rows[name] = rng.random(len(rows)) < 0.5
        else:
            ends = np.iinfo(kind)
            rows[name] = rng.integers(ends.min, ends.max, len(rows), kind, endpoint=True)
            rows[name][:4] = [ends.min, ends.max, 0, 1]
    rows["mid_price"][::3] = np.nan
    names = ["perm_derivative", "", 'a "quoted" \\ 100 %s %d', "Kräfte\n\u2028"]
    trades: list[dict[str, object]] = [{"id": "3-7", "pnl_ticks": 0.1 + 0.2, "outcome": None, "met_gap": True}]
    for i, row in enumerate(rows):
        name, told = names[i % len(names)], trades if i % 2 else []
        assert encode_header(row.tolist(), name, told) + "}" == by_json(row, name, told)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["mid_price", "runtime_model_score"])
def test_a_field_that_json_cannot_say_is_named(name: str, wrong: float) -> None:
    row = random_block(1, 5, seed=6).bins
    row[name] = wrong
    if name == "mid_price" and np.isnan(wrong):
        assert '"mid_price":null,' in encode_header(row[0].tolist(), "x")
        return
    with pytest.raises(ValueError, match=f"{name} was -?(nan|inf); JSON has no such number"):
        encode_header(row[0].tolist(), "x")


@pytest.mark.parametrize("sizes", [(1, 3, 2), (16, 1, 5), (2, 2)])
def test_a_longer_block_and_a_shorter_one_after_it_leave_nothing_of_each_other(sizes: tuple[int, ...]) -> None:
    encoder = FrameEncoder(11)
    for seed, size in enumerate(sizes):
        block = random_block(size, 5, seed)
        told = [encoder.encode(one)[0] for one in cut(block, 1)]
        assert encoder.encode(block) == told == [FrameEncoder(11).encode(one)[0] for one in cut(block, 1)]


def test_a_missing_price_has_a_mark_of_its_own_and_zero_is_a_price() -> None:
    block = random_block(1, 5, seed=6)
    block.bins["mid_price"], block.bins["best_bid_price_int"], block.bins["last_trade_price_int"] = np.nan, 2**63 - 1, 0
    text = FrameEncoder(11).encode(block)[0].header(dropped_bins=0)
    raw, values = json.loads(text), decode_header(text)
    assert (raw["mid_price"], raw["best_bid_price_int"], raw["last_trade_price_int"]) == (None, str(2**63 - 1), "0")
    assert (values["mid_price"], values["best_bid_price_int"], values["last_trade_price_int"]) == (None, 2**63 - 1, 0)


def test_trades_stand_in_the_header_of_their_bin_and_where_there_are_none_nothing_does() -> None:
    block = random_block(2, 5, seed=13)
    opened = {"id": "3-7", "price_int": str(2**62 + 1), "entry_ns": "1", "outcome": None, "pnl_ticks": None}
    closed = opened | {"outcome": "tp", "pnl_ticks": 0.1 + 0.2, "exit_ns": "2"}
    with_trades, without = (FrameEncoder(11).encode(block, told)[1].header(0) for told in ([[], [opened, closed]], []))
    assert without == with_trades.replace(f',"model_trades":{json.dumps([opened, closed], separators=(",", ":"))}', "")
    assert "model_trades" not in without
    first, second = decode_header(with_trades)["model_trades"]
    assert first == {"id": "3-7", "price_int": 2**62 + 1, "entry_ns": 1, "outcome": None, "pnl_ticks": None}
    assert second == first | {"outcome": "tp", "pnl_ticks": 0.1 + 0.2, "exit_ns": 2}


@pytest.mark.parametrize(
    ("trades", "why"),
    [("{}", "model_trades must be a list"), ("[1]", "model_trades must be a list"), ('[{"price_int":5}]', "price_int was 5")],
)
def test_trades_that_are_none_are_refused(trades: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_header(f'{{"type":"grid_update","model_trades":{trades}}}')


def test_decoders_refuse_what_is_not_a_frame() -> None:
    with pytest.raises(ValueError, match="object"):
        decode_header("[1]")
    with pytest.raises(ValueError, match="ts_ns was 5"):
        decode_header('{"type":"grid_update","ts_ns":5}')
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("a", pa.int8())])) as writer:
        writer.write_batch(pa.record_batch([pa.array([1], pa.int8())], names=["a"]))
    with pytest.raises(ValueError, match="grid's schema"):
        decode_grid(sink.getvalue().to_pybytes())


def test_message_puts_the_type_first() -> None:
    assert message("end", bins=3) == '{"type":"end","bins":3}'


def test_encoding_a_pair_stays_within_its_budget() -> None:
    block = random_block(1, 50, seed=8)
    encoder = FrameEncoder(101)
    seconds = []
    for _ in range(200):
        begin = time.perf_counter()
        encoder.encode(block)
        seconds.append(time.perf_counter() - begin)
    # The median, since another process may hold the processor at any moment.
    assert np.median(seconds) < 300e-6, f"a pair took {np.median(seconds) * 1e6:.0f} microseconds"


def test_a_header_names_the_signal_of_its_block_and_leaves_in_every_field_its_own_value() -> None:
    block = random_block(2, 5, seed=9)
    block.model_name = "crystal_ball"
    for i, name in enumerate(BIN_FIELD_NAMES + MODEL_FIELD_NAMES):  # a value of its own in each: none can stand for another
        kind = block.bins.dtype[name].kind
        block.bins[name] = [i % 2 == 0, i % 2 == 1] if kind == "b" else [1 + i, 64 + i]
    for i_bin in (0, 1):
        raw = json.loads(FrameEncoder(11).encode(block)[i_bin].header(0))
        assert raw["runtime_model_name"] == "crystal_ball"
        row = block.bins[i_bin]
        assert {name: decode_header(json.dumps(raw))[name] for name in row.dtype.names} == {
            name: row[name].item() for name in row.dtype.names
        }
        assert set(raw) == {"type", "runtime_model_name", "dropped_bins", *row.dtype.names}


def test_a_bin_is_named_by_its_sequence_not_by_its_place_in_the_block() -> None:
    block = random_block(3, 5, seed=10)
    block.bins["bin_seq"] = [40, 41, 42]
    assert [frames.bin_seq for frames in FrameEncoder(11).encode(block)] == [40, 41, 42]


def test_a_grid_frame_holds_one_batch_neither_none_nor_two() -> None:
    block = random_block(1, 5, seed=12)
    batch = pa.record_batch([pa.array(block.grid[name][0]) for name in GRID_COLUMNS], schema=grid_schema())
    for n_batches, passes in ((0, False), (1, True), (2, False)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, grid_schema()) as writer:
            for _ in range(n_batches):
                writer.write_batch(batch)
        data = sink.getvalue().to_pybytes()
        if passes:
            assert list(decode_grid(data)) == list(GRID_COLUMNS)
        else:
            with pytest.raises(ValueError, match=f"got {n_batches} batches"):
                decode_grid(data)
