"""The mirror image of bins: by the schema, by hand, and exact both ways."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.constants import UNDEF_PRICE
from engine.schema import BIN_DTYPE, GRID_COLUMNS, MODEL_PREFIX
from engine.signals.example import example_bins, example_inputs
from engine.signals.mirror import FIELDS, GRID, MirrorError, counterpart, is_direction, is_price, mirrored
from tests.streams import TICK

RADIUS = 10
I64 = np.dtype("i8")
# What keeps its value in the mirror. A new column or field is listed here, or named by its side or as a direction or price.
SAME_COLUMNS = {
    *("pressure_variant", "vacuum_variant", "add_mass", "pull_mass", "fill_mass", "rest_depth"),
    *(f"{order}_{chain}" for order in "vaj" for chain in ("add", "pull", "fill", "rest_depth")),
    *("spectrum_score", "spectrum_state_code", "last_event_id"),
}
SAME_FIELDS = {
    *("bin_seq", "bin_start_ns", "bin_end_ns", "ts_ns", "bin_event_count", "event_id", "book_valid", "trade_count", "quality"),
    "unsided_volume",
    *(MODEL_PREFIX + name for name in ("ready", "sample_count", "mixed_intensity")),
}


def fields_of(n: int = 60, seed: int = 2) -> dict[str, NDArray[Any]]:
    """Every bin field of example bins, shape (n,), those too whose name a grid column bears."""

    class Reader:
        required_columns = ()
        required_fields = tuple(FIELDS)

    fields: dict[str, NDArray[Any]] = example_inputs(Reader, n, RADIUS, seed)  # type: ignore[arg-type]
    return fields


def to_bytes(bins: dict[str, NDArray[Any]]) -> dict[str, bytes]:
    return {name: str(column.dtype).encode() + np.ascontiguousarray(column).tobytes() for name, column in bins.items()}


# By the schema.


def test_every_column_and_field_that_keeps_its_value_is_known() -> None:
    for schema, same in ((GRID, SAME_COLUMNS), (FIELDS, SAME_FIELDS)):
        found = {
            name
            for name in schema
            if counterpart(name, schema) == name
            and not is_price(name)
            and not is_direction(name)
            and name != "perm_microstate_id"
        }
        assert found == same


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("j_bid_depth", "j_ask_depth"),
        ("best_ask_move_ticks", "best_bid_move_ticks"),
        ("chase_up_flag", "chase_down_flag"),
        ("buy_volume", "sell_volume"),
        ("traded_buy", "traded_sell"),
        ("traded_buy_outside", "traded_sell_outside"),
        ("bid_low_int", "ask_high_int"),
        ("ask_low_int", "bid_high_int"),
        ("runtime_model_bull_intensity", "runtime_model_bear_intensity"),
        ("rest_depth", "rest_depth"),
    ],
)
def test_counterpart_is_the_other_side_both_ways(name: str, other: str) -> None:
    schema = GRID | FIELDS
    assert counterpart(name, schema) == other
    assert counterpart(other, schema) == name


def test_added_column_by_side_finds_its_pair() -> None:
    schema = {"bid_queue_int": I64, "ask_queue_int": I64, "low_sell_volume": I64, "low_buy_volume": I64}
    assert counterpart("bid_queue_int", schema) == "ask_queue_int"
    assert counterpart("low_sell_volume", schema) == "low_buy_volume"  # low and high change places of prices only


@pytest.mark.parametrize("name", ["bid_queue", "sell_count", "up_ticks", "bid_ask_ratio", "session_high_int", "bull_share"])
def test_added_column_of_one_side_is_refused(name: str) -> None:
    with pytest.raises(MirrorError, match=f"'{name}' is of one side"):
        counterpart(name, {name: I64})


def test_sides_of_two_dtypes_are_refused() -> None:
    with pytest.raises(MirrorError, match="must be of one dtype"):
        counterpart("bid_queue", {"bid_queue": I64, "ask_queue": np.dtype("f8")})


def test_grid_column_does_not_pair_with_a_bin_field() -> None:
    with pytest.raises(MirrorError, match="best_ask_size"):
        counterpart("best_bid_size", {"best_bid_size": I64, "v_ask_depth": np.dtype("f8")})


def test_name_outside_the_schema_is_refused() -> None:
    with pytest.raises(MirrorError, match="'moon_phase' is not in the schema"):
        mirrored({"moon_phase": np.zeros(3)})


def test_side_without_the_other_beside_it_is_refused() -> None:
    with pytest.raises(MirrorError, match="without the column ask_depth"):
        mirrored({"bid_depth": np.ones((3, 5))})


# By hand.


def test_bin_by_hand() -> None:
    """Bid 100.00 for 3, ask 100.50 for 7, about 100.00: offered at 100.00 for 3, bid 99.50 for 7."""
    tick = TICK
    at = 400 * tick
    bins = {
        "best_bid_price_int": np.array([at, UNDEF_PRICE]),
        "best_ask_price_int": np.array([at + 2 * tick, at]),
        "best_bid_size": np.array([3, 0]),
        "best_ask_size": np.array([7, 1]),
        "bid_low_int": np.array([at - tick, UNDEF_PRICE]),
        "bid_high_int": np.array([at, UNDEF_PRICE]),
        "ask_low_int": np.array([at + 2 * tick, UNDEF_PRICE]),
        "ask_high_int": np.array([at + 5 * tick, UNDEF_PRICE]),
        "mid_price": np.array([100.25, np.nan]),
        "last_trade_price_int": np.array([at + 2 * tick, UNDEF_PRICE]),
        "buy_volume": np.array([4, 0]),
        "sell_volume": np.array([1, 0]),
        "traded_buy_outside": np.array([3, 0]),
        "traded_sell_outside": np.array([0, 2]),
        "unsided_volume": np.array([6, 0]),
        "best_bid_move_ticks": np.array([-2, 0], np.int32),
        "best_ask_move_ticks": np.array([1, 0], np.int32),
        "perm_microstate_id": np.array([6, 4], np.int8),  # ask up, bid down
        "chase_up_flag": np.array([1, 0], np.int8),
        "chase_down_flag": np.array([0, 0], np.int8),
    }
    expected = {
        "best_bid_price_int": [at - 2 * tick, at],
        "best_ask_price_int": [at, UNDEF_PRICE],
        "best_bid_size": [7, 1],
        "best_ask_size": [3, 0],
        "bid_low_int": [at - 5 * tick, UNDEF_PRICE],
        "bid_high_int": [at - 2 * tick, UNDEF_PRICE],
        "ask_low_int": [at, UNDEF_PRICE],
        "ask_high_int": [at + tick, UNDEF_PRICE],
        "mid_price": [99.75, np.nan],
        "last_trade_price_int": [at - 2 * tick, UNDEF_PRICE],
        "buy_volume": [1, 0],
        "traded_buy_outside": [0, 2],
        "traded_sell_outside": [3, 0],
        "unsided_volume": [6, 0],
        "sell_volume": [4, 0],
        "best_bid_move_ticks": [-1, 0],
        "best_ask_move_ticks": [2, 0],
        "perm_microstate_id": [6, 4],  # what widened widens still
        "chase_up_flag": [0, 0],
        "chase_down_flag": [1, 0],
    }
    image = mirrored(bins, price_sum_int=2 * at)
    assert np.array_equal(image.pop("mid_price"), expected.pop("mid_price"), equal_nan=True)
    assert {name: column.tolist() for name, column in image.items()} == expected


@pytest.mark.parametrize("ask", [-1, 0, 1])
@pytest.mark.parametrize("bid", [-1, 0, 1])
def test_microstate_is_that_of_the_turned_signs(ask: int, bid: int) -> None:
    bins = {
        "ask_reprice_sign": np.array([ask], np.int8),
        "bid_reprice_sign": np.array([bid], np.int8),
        "perm_microstate_id": np.array([3 * (ask + 1) + bid + 1], np.int8),
    }
    image = mirrored(bins)
    assert image["ask_reprice_sign"] == -bid
    assert image["bid_reprice_sign"] == -ask
    assert image["perm_microstate_id"] == 3 * (image["ask_reprice_sign"] + 1) + image["bid_reprice_sign"] + 1


def test_rows_are_reversed_and_k_stays_ascending() -> None:
    rows = np.arange(5.0)[np.newaxis]
    k = np.arange(-2, 3, dtype=np.int32)[np.newaxis]
    bought, sold = np.array([[0, 0, 7, 2, 0]], np.int32), np.array([[3, 0, 0, 0, 0]], np.int32)
    depths = {"bid_depth": rows, "ask_depth": 10.0 * rows}
    image = mirrored({"k": k, **depths, "vacuum_variant": rows, "traded_buy": bought, "traded_sell": sold})
    assert image["k"].tolist() == k.tolist()
    assert image["bid_depth"].tolist() == [[40.0, 30.0, 20.0, 10.0, 0.0]]
    assert image["ask_depth"].tolist() == [[4.0, 3.0, 2.0, 1.0, 0.0]]
    assert image["vacuum_variant"].tolist() == [[4.0, 3.0, 2.0, 1.0, 0.0]]
    assert (image["traded_buy"].tolist(), image["traded_sell"].tolist()) == ([[0, 0, 0, 0, 3]], [[0, 2, 7, 0, 0]])


# Exact both ways.


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("price_sum_int", [None, 2 * 80_000 * TICK, (2 * 80_000 + 1) * TICK])
def test_mirroring_twice_is_the_identity(seed: int, price_sum_int: int | None) -> None:
    bins = example_bins(300, RADIUS, seed)
    assert set(bins) == set(GRID_COLUMNS) | set(BIN_DTYPE.names or ())
    for whole in (bins, fields_of(300, seed)):
        image = mirrored(whole, price_sum_int)
        assert to_bytes(image) != to_bytes(whole)
        assert to_bytes(mirrored(image, price_sum_int)) == to_bytes(whole)


@pytest.mark.parametrize("tick_int", [1, 100_000_000, 250_000_000, 3])
def test_mids_turn_exactly_whatever_the_tick(tick_int: int) -> None:
    """Tenths of a dollar are no binary fractions, and the mid of an odd tick is half a 1e-9 dollar."""
    rng = np.random.default_rng(1)
    bid = (2_900_000_000_000 // tick_int + rng.integers(-1000, 1000, 500)) * tick_int
    ask = bid + rng.integers(1, 4, 500) * tick_int
    bins = {"mid_price": (bid / 2.0 + ask / 2.0) / 1e9}
    image = mirrored(bins, 5_800_000_000_000)
    assert to_bytes(mirrored(image, 5_800_000_000_000)) == to_bytes(bins)
    turned_bid, turned_ask = 5_800_000_000_000 - ask, 5_800_000_000_000 - bid
    assert image["mid_price"].tobytes() == ((turned_bid / 2.0 + turned_ask / 2.0) / 1e9).tobytes()
    assert to_bytes(mirrored(mirrored(bins))) == to_bytes(bins)


def test_default_pivot_follows_from_either_image_and_keeps_the_range() -> None:
    bins = fields_of(300)
    image = mirrored(bins)
    for name in (name for name in bins if name.endswith("_int")):
        known = image[name][image[name] != UNDEF_PRICE]
        assert known.min() > 0
        assert not np.any(known % TICK)
        assert np.array_equal(image[name] == UNDEF_PRICE, bins[counterpart(name, FIELDS)] == UNDEF_PRICE)


def test_bins_before_the_first_trade_turn_about_their_mids() -> None:
    bins = {"mid_price": np.array([100.0, 100.5]), "last_trade_price_int": np.full(2, UNDEF_PRICE)}
    image = mirrored(bins)
    assert image["mid_price"].tolist() == [100.5, 100.0]
    assert image["last_trade_price_int"].tolist() == [UNDEF_PRICE, UNDEF_PRICE]


def test_bins_without_a_price_have_an_image() -> None:
    assert np.isnan(mirrored({"mid_price": np.full(3, np.nan)})["mid_price"]).all()


def test_image_of_a_price_may_be_zero_or_below() -> None:
    """About 50.00: 100.00 turns into 0.00, 100.25 into -0.25, 0.00 into 100.00."""
    bins = {"mid_price": np.array([100.0, 100.25, 0.0]), "last_trade_price_int": np.array([400 * TICK, 401 * TICK, 0])}
    image = mirrored(bins, price_sum_int=400 * TICK)
    assert image["mid_price"].tolist() == [0.0, -0.25, 100.0]
    assert image["last_trade_price_int"].tolist() == [0, -TICK, 400 * TICK]


@pytest.mark.parametrize("mid", [100.0000000001, np.inf])
def test_mid_that_no_market_has_is_refused(mid: float) -> None:
    with pytest.raises(MirrorError, match="mid_price of bin 1 was"):
        mirrored({"mid_price": np.array([100.0, mid])})


# The example bins.


def test_example_fields_agree_with_each_other() -> None:
    x = fields_of(2000)
    bid, ask = x["best_bid_price_int"], x["best_ask_price_int"]
    has_both = (bid != UNDEF_PRICE) & (ask != UNDEF_PRICE)
    assert np.array_equal(has_both, ~np.isnan(x["mid_price"]))
    assert np.array_equal(x["mid_price"][has_both], (bid / 2.0 + ask / 2.0)[has_both] / 1e9)
    assert np.all(ask[has_both] > bid[has_both])
    spot_ticks = np.floor((bid + ask)[has_both] / (2 * TICK) + 0.5)
    assert np.array_equal(x["spot_ref_price_int"][has_both], spot_ticks * TICK)
    for side, price in (("bid", bid), ("ask", ask)):
        is_missing = price == UNDEF_PRICE
        moves = np.where(is_missing[1:] | is_missing[:-1], 0, price[1:] // TICK - price[:-1] // TICK)
        assert np.array_equal(x[f"best_{side}_move_ticks"][1:], moves)
        assert np.array_equal(x[f"{side}_reprice_sign"], np.sign(x[f"best_{side}_move_ticks"]))
        assert np.array_equal(x[f"best_{side}_size"] > 0, price != UNDEF_PRICE)
        sound = x[f"{side}_low_int"] != UNDEF_PRICE
        assert np.all((x[f"{side}_low_int"] <= price)[sound] & (price <= x[f"{side}_high_int"])[sound])
    assert np.array_equal(x["perm_microstate_id"], 3 * (x["ask_reprice_sign"] + 1) + x["bid_reprice_sign"] + 1)
    assert set(x["perm_microstate_id"].tolist()) == set(range(9))


def test_example_grid_agrees_with_its_fields() -> None:
    x, fields = example_bins(500, RADIUS, 2), fields_of(500)
    for name in set(GRID_COLUMNS) & set(FIELDS):
        assert np.array_equal(x[name], np.repeat(fields[name][:, np.newaxis], 2 * RADIUS + 1, axis=1))
    assert not np.any((x["bid_depth"] > 0) & (x["ask_depth"] > 0))
    for side in ("buy", "sell"):
        assert np.array_equal(x[f"traded_{side}"].sum(axis=1) + fields[f"traded_{side}_outside"], fields[f"{side}_volume"])
        assert x[f"traded_{side}"].min() == 0 < x[f"traded_{side}"].max()
        assert fields[f"traded_{side}_outside"].min() == 0 < fields[f"traded_{side}_outside"].max()
    for order in ("", "v_", "a_", "j_"):
        assert np.array_equal(x[f"{order}rest_depth"], x[f"{order}bid_depth"] + x[f"{order}ask_depth"])
    price = np.where(fields["spot_ref_price_int"] == UNDEF_PRICE, 0, fields["spot_ref_price_int"])[:, np.newaxis] + x["k"] * TICK
    for side in ("bid", "ask"):
        at = (price == fields[f"best_{side}_price_int"][:, np.newaxis]) & (fields["spot_ref_price_int"] != UNDEF_PRICE)[
            :, np.newaxis
        ]
        has = at.any(axis=1)
        assert has.sum() > 450
        assert np.array_equal(x[f"{side}_depth"][at], fields[f"best_{side}_size"][has])
