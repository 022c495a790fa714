"""The one schema: names in the contract's order, records of the DBN layout, arrow and numpy in step."""

import json
import os
import subprocess
import sys

import databento_dbn as dbn
import numpy as np
import pyarrow as pa

from engine import constants
from engine.schema import BIN_DTYPE, GRID_COLUMNS, MBO_DTYPE, bins_schema, grid_schema
from tests.conftest import REPO_ROOT

# engine.md section 8, k first and last_event_id last; then what interfaces.md adds
GRID_TEXT = """
k pressure_variant vacuum_variant add_mass pull_mass fill_mass rest_depth bid_depth ask_depth
v_add v_pull v_fill v_rest_depth v_bid_depth v_ask_depth
a_add a_pull a_fill a_rest_depth a_bid_depth a_ask_depth
j_add j_pull j_fill j_rest_depth j_bid_depth j_ask_depth
spectrum_score spectrum_state_code best_ask_move_ticks best_bid_move_ticks ask_reprice_sign bid_reprice_sign
perm_microstate_id perm_state5_code chase_up_flag chase_down_flag last_event_id
traded_buy traded_sell
"""
# engine.md section 4
BIN_TEXT = """
bin_seq bin_start_ns bin_end_ns ts_ns bin_event_count event_id mid_price best_bid_price_int best_ask_price_int
spot_ref_price_int book_valid best_bid_size best_ask_size bid_low_int bid_high_int ask_low_int ask_high_int
trade_count buy_volume sell_volume unsided_volume traded_buy_outside traded_sell_outside last_trade_price_int quality
"""
# engine.md section 7
MODEL_TEXT = """
score ready sample_count base d1 d2 d3 z1 z2 z3 bull_intensity bear_intensity mixed_intensity dominant_state5_code
"""
CONTRACT = GRID_TEXT.split()


def test_grid_columns_are_the_contracts_in_order() -> None:
    assert list(GRID_COLUMNS) == CONTRACT


def test_arrow_types_of_the_grid_are_those_of_the_contract() -> None:
    wide = ("k", "best_ask_move_ticks", "best_bid_move_ticks", "traded_buy", "traded_sell")
    types = {"last_event_id": pa.int64()} | dict.fromkeys(wide, pa.int32())
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


_OTHER_ORDER = """
import engine.constants as c, engine.schema as s
chains = {order: tuple(f"{order}_{chain}" for chain in s.CHAINS) for order in "vaj"}
rest = [name for name in s.GRID_F64 if not any(name in chain for chain in chains.values())]
s.GRID_F64 = ("new_first", *reversed(rest[:5]), *chains["j"], "new_between", *chains["v"], *rest[5:], *chains["a"])
s.GRID_I32 = ("new_move", *reversed(s.GRID_I32))
s.GRID_LABELS_I8 = (*reversed(s.GRID_LABELS_I8), "new_label")
s.GRID_TRADED = ("new_traded", *reversed(s.GRID_TRADED))
kinds = {"k": "i4", "spectrum_state_code": "i1", "last_event_id": "i8"}
groups = (("f8", s.GRID_F64), ("i4", s.GRID_I32), ("i1", s.GRID_LABELS_I8), ("i4", s.GRID_TRADED))
s.GRID_COLUMNS = kinds | {name: code for code, names in groups for name in names}
c.ANOMALIES = ("new_kind", *reversed(c.ANOMALIES))
"""
_BINS_BY_NAME = """
import json
from hashlib import sha256
from tests.sessions import join, make_runner, small_config
from tests.streams import build_up, harmless, record, to_array
trades = [record("T", 0, side="AB"[i % 2], tick=i % 3, size=3 + i, time=20_000_000 + i * 70_000_000) for i in range(9)]
odd = [record("C", 9, time=20_000_000), record("A", 1000, tick=-3, time=30_000_000), record("F", 8, time=40_000_000)]
moves = [record("AC"[i % 2], 7000 + i // 2, tick=0, time=50_000_000 + i * 100_000_000) for i in range(20)]
runner = make_runner(small_config())
stream = [*build_up(), *odd, *sorted([*trades, *moves], key=lambda r: r.ts_event)]
bins = join([*runner.feed(to_array(stream), 64), *runner.finish(None, 64)])
columns = {name: sha256(column.tobytes()).hexdigest() for name, column in bins.grid.items() if not name.startswith("new_")}
constant = [name for name in columns if len(set(bins.grid[name].ravel().tolist())) == 1]
whole = sha256(bins.fields.tobytes()).hexdigest()
print(json.dumps([len(bins.fields), columns, whole, runner.first_anomalies, sorted(constant)]))
"""


def in_own_process(code: str) -> subprocess.CompletedProcess[str]:
    """Run uncompiled: a compiled kernel holds the places it was compiled with, as long as no source changes."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPO_ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_columns_and_anomalies_in_another_order_and_new_ones_between_shift_nothing() -> None:
    plain, other = (in_own_process(code) for code in (_BINS_BY_NAME, _OTHER_ORDER + _BINS_BY_NAME))
    assert plain.returncode == 0, plain.stderr
    assert other.returncode == 0, other.stderr
    n_bins, columns, _, anomalies, constant = json.loads(plain.stdout)
    assert n_bins > 5
    assert anomalies.keys() == {"unknown_cancel", "duplicate_add", "unknown_fill"}
    assert {
        "perm_microstate_id",
        "best_bid_move_ticks",
        "v_add",
        "j_bid_depth",
        "a_pull",
        "add_mass",
        "traded_buy",
        "traded_sell",
    }.isdisjoint(constant)
    assert len(columns) == len(GRID_COLUMNS)
    assert json.loads(other.stdout) == json.loads(plain.stdout)


def test_a_column_inside_a_chain_of_derivatives_is_refused_at_import() -> None:
    code = (
        "import engine.schema as s\nat = s.GRID_F64.index('v_pull')\ns.GRID_F64 = (*s.GRID_F64[:at], 'new', *s.GRID_F64[at:])\n"
    )
    assert in_own_process(code + "import engine.run.state").returncode == 0
    refused = in_own_process(code + "import engine.run.bins")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("AssertionError")
