"""The one schema: names in the contract's order, records of the DBN layout, arrow and numpy in step."""

import databento_dbn as dbn
import numpy as np
import pyarrow as pa

from engine import constants
from engine.schema import BIN_DTYPE, GRID_COLUMNS, MBO_DTYPE, bins_schema, grid_schema

# engine.md section 8, k first and last_event_id last
GRID_TEXT = """
k pressure_variant vacuum_variant add_mass pull_mass fill_mass rest_depth bid_depth ask_depth
v_add v_pull v_fill v_rest_depth v_bid_depth v_ask_depth
a_add a_pull a_fill a_rest_depth a_bid_depth a_ask_depth
j_add j_pull j_fill j_rest_depth j_bid_depth j_ask_depth
spectrum_score spectrum_state_code best_ask_move_ticks best_bid_move_ticks ask_reprice_sign bid_reprice_sign
perm_microstate_id perm_state5_code chase_up_flag chase_down_flag last_event_id
"""
# engine.md section 4
BIN_TEXT = """
bin_seq bin_start_ns bin_end_ns ts_ns bin_event_count event_id mid_price best_bid_price_int best_ask_price_int
spot_ref_price_int book_valid best_bid_size best_ask_size bid_low_int bid_high_int ask_low_int ask_high_int
trade_count buy_volume sell_volume last_trade_price_int quality
"""
# engine.md section 7
MODEL_TEXT = """
score ready sample_count base d1 d2 d3 z1 z2 z3 bull_intensity bear_intensity mixed_intensity dominant_state5_code
"""
CONTRACT = GRID_TEXT.split()


def test_grid_columns_are_the_contracts_in_order() -> None:
    assert list(GRID_COLUMNS) == CONTRACT


def test_arrow_types_of_the_grid_are_those_of_the_contract() -> None:
    types = {"k": pa.int32(), "best_ask_move_ticks": pa.int32(), "best_bid_move_ticks": pa.int32(), "last_event_id": pa.int64()}
    small = {*CONTRACT[28:29], *CONTRACT[31:37]}
    assert small == {
        "spectrum_state_code", "ask_reprice_sign", "bid_reprice_sign", "perm_microstate_id", "perm_state5_code",
        "chase_up_flag", "chase_down_flag",
    }  # fmt: skip
    expected = {name: types.get(name, pa.int8() if name in small else pa.float64()) for name in CONTRACT}
    assert {field.name: field.type for field in grid_schema()} == expected


def test_bins_hold_every_field_of_the_contract() -> None:
    wanted = {*BIN_TEXT.split(), *(f"runtime_model_{name}" for name in MODEL_TEXT.split())}
    assert wanted <= set(BIN_DTYPE.names or ())
    assert wanted | {"runtime_model_name"} <= set(bins_schema().names)


def test_quality_has_sixteen_bits_without_a_sign() -> None:
    assert BIN_DTYPE["quality"] == np.dtype("u2")


def test_record_layout_is_the_dbn_message() -> None:
    message = dbn.MBOMsg(
        publisher_id=1, instrument_id=7, ts_event=11, order_id=12, price=13, size=14, action=dbn.Action.ADD, side=dbn.Side.BID,
        ts_recv=15, flags=130, channel_id=3, ts_in_delta=16, sequence=17,
    )  # fmt: skip
    (row,) = np.frombuffer(bytes(message), MBO_DTYPE)
    names = ("publisher_id", "instrument_id", "ts_event", "order_id", "price", "size", "ts_recv", "flags", "channel_id")
    assert [int(row[name]) for name in (*names, "ts_in_delta", "sequence")] == [1, 7, 11, 12, 13, 14, 15, 130, 3, 16, 17]
    assert (chr(row["action"]), chr(row["side"]), int(row["rtype"])) == ("A", "B", constants.RTYPE_MBO)


def test_flags_and_sentinels_are_databentos() -> None:
    ours = [
        constants.F_LAST,
        constants.F_TOB,
        constants.F_SNAPSHOT,
        constants.F_MBP,
        constants.F_BAD_TS_RECV,
        constants.F_MAYBE_BAD_BOOK,
    ]
    theirs = [dbn.F_LAST, dbn.F_TOB, dbn.F_SNAPSHOT, dbn.F_MBP, dbn.F_BAD_TS_RECV, dbn.F_MAYBE_BAD_BOOK]
    assert ours == theirs
    assert constants.UNDEF_PRICE == dbn.UNDEF_PRICE


def test_quality_bits_are_the_contracts() -> None:
    names = ["cold", "gap", "crossed", "one_sided", "bad_time", "doubtful_book", "closed", "roll"]
    assert {2**i: name for i, name in enumerate(names)} == constants.QUALITY_NAMES
