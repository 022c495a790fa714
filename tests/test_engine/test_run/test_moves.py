"""Quote-move labels: the five-state tables of engine.md section 6, written out, and moves in ticks."""

import pytest

from engine.constants import UNDEF_PRICE
from engine.run.moves import move_ticks, sign, state5

# (ask, bid): (code above spot, code below spot)
REFERENCE = {
    (1, 1): (2, 1),
    (1, 0): (-1, -2),
    (1, -1): (-1, -2),
    (0, 1): (2, 1),
    (0, 0): (0, 0),
    (0, -1): (-1, -2),
    (-1, 1): (0, 0),
    (-1, 0): (-1, -2),
    (-1, -1): (-1, -2),
}
SIGN_PAIRS = list(REFERENCE)


@pytest.mark.parametrize("pair", SIGN_PAIRS)
def test_reference_table_above_spot(pair: tuple[int, int]) -> None:
    assert {state5(k, *pair, False) for k in (1, 7, 50)} == {REFERENCE[pair][0]}


@pytest.mark.parametrize("pair", SIGN_PAIRS)
def test_reference_table_below_spot(pair: tuple[int, int]) -> None:
    assert {state5(k, *pair, False) for k in (-1, -7, -50)} == {REFERENCE[pair][1]}


@pytest.mark.parametrize("by_side", [False, True])
@pytest.mark.parametrize("pair", SIGN_PAIRS)
def test_row_at_spot_is_always_mixed(pair: tuple[int, int], by_side: bool) -> None:
    assert state5(0, *pair, by_side) == 0


@pytest.mark.parametrize(("ask", "code"), [(1, 2), (0, 0), (-1, -1)])
@pytest.mark.parametrize("bid", [-1, 0, 1])
def test_by_side_lets_the_ask_decide_above_spot(ask: int, bid: int, code: int) -> None:
    assert state5(3, ask, bid, True) == code


@pytest.mark.parametrize(("bid", "code"), [(1, 1), (0, 0), (-1, -2)])
@pytest.mark.parametrize("ask", [-1, 0, 1])
def test_by_side_lets_the_bid_decide_below_spot(ask: int, bid: int, code: int) -> None:
    assert state5(-3, ask, bid, True) == code


@pytest.mark.parametrize("k", [-5, -1, 1, 5])
@pytest.mark.parametrize("pair", SIGN_PAIRS)
def test_by_side_negates_every_code_of_a_mirrored_market(pair: tuple[int, int], k: int) -> None:
    ask, bid = pair
    assert state5(-k, -bid, -ask, True) == -state5(k, ask, bid, True)


@pytest.mark.parametrize(
    ("price", "previous", "ticks"),
    [
        *((1000, 750, 1), (750, 1000, -1), (1000, 1000, 0), (2500, 1000, 6)),
        *((0, 1000, -4), (1000, 0, 4), (0, 0, 0), (-250, 0, -1), (250, -250, 2), (-750, -500, -1)),  # 0 is a price
        *((UNDEF_PRICE, 1000, 0), (1000, UNDEF_PRICE, 0), (UNDEF_PRICE, 0, 0), (UNDEF_PRICE, UNDEF_PRICE, 0)),
    ],
)
def test_move_in_ticks_is_zero_where_a_price_is_missing(price: int, previous: int, ticks: int) -> None:
    assert move_ticks(price, previous, 250) == ticks


@pytest.mark.parametrize(("x", "expected"), [(-7, -1), (0, 0), (3, 1)])
def test_sign(x: int, expected: int) -> None:
    assert sign(x) == expected
