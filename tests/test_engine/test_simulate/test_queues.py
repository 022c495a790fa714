"""The simulator's queues by hand, its random source against the published algorithms, and which orders leave."""

import math

import numpy as np
import pytest

from engine.simulate.leaving import pick_far, pick_near, pick_recent, weigh_near, weigh_run
from engine.simulate.queues import (
    ASK,
    BID,
    NIL,
    Market,
    below,
    drop_order,
    empty_market,
    exponential,
    join_queue,
    leave_queue,
    new_order_id,
    normal,
    rest_order,
    uniform,
)
from engine.simulate.session import _seed_words

U32 = 2**32 - 1


def words(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def rotated(x: int, by: int) -> int:
    return ((x << by) | (x >> (32 - by))) & U32


class Xoshiro:
    """xoshiro128**, as Blackman and Vigna publish it."""

    def __init__(self, *state: int) -> None:
        self.s = list(state)

    def next(self) -> int:
        s = self.s
        result = rotated(s[1] * 5 & U32, 7) * 9 & U32
        t = s[1] << 9 & U32
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotated(s[3], 11)
        return result


def test_plain_source_gives_the_published_numbers() -> None:
    source = Xoshiro(1, 2, 3, 4)
    assert [source.next() for _ in range(4)] == [11520, 0, 5927040, 70819200]


def test_uniform_is_the_published_source() -> None:
    state = (0x9E3779B9, 0xF39CC060, 5, 0xFFFFFFFF)
    rng, source = words(*state), Xoshiro(*state)
    assert [uniform(rng) for _ in range(500)] == [(source.next() + 0.5) / 2**32 for _ in range(500)]
    assert rng.tolist() == source.s


def test_seed_words_are_those_of_splitmix64() -> None:
    first, second = 6457827717110365317, 3203168211198807973  # of the seed 1234567, as published
    assert _seed_words(1234567).tolist() == [first & U32, first >> 32, second & U32, second >> 32]


def test_draws_follow_from_uniform_numbers() -> None:
    source = Xoshiro(1, 2, 3, 4)
    u = [(source.next() + 0.5) / 2**32 for _ in range(4)]
    assert exponential(words(1, 2, 3, 4), 20.0) == pytest.approx(-20.0 * math.log(u[0]), rel=1e-15)
    expected = math.sqrt(-2 * math.log(u[0])) * math.cos(2 * math.pi * u[1])
    assert normal(words(1, 2, 3, 4)) == pytest.approx(expected, rel=1e-12)
    rng = words(1, 2, 3, 4)
    n = 2**31
    assert [below(rng, n) for _ in range(4)] == [int(x * n) for x in u]


def test_below_gives_every_number_under_its_bound_and_no_other() -> None:
    rng = words(7, 11, 13, 17)
    assert {below(rng, 6) for _ in range(300)} == set(range(6))


def test_order_ids_rise_by_one_to_six() -> None:
    market = empty_market(words(7, 11, 13, 17))
    market.state[0]["last_order_id"] = 100
    ids = [100, *(new_order_id(market) for _ in range(300))]
    assert set(np.diff(ids).tolist()) == {1, 2, 3, 4, 5, 6}
    assert market.state[0]["last_order_id"] == ids[-1]


def market_of(bids: list[int], asks: list[int]) -> Market:
    """Orders of one contract at some ticks, in order of arrival; ids from 1, bids first."""
    market = empty_market(words(1, 2, 3, 4))
    market.state[0]["best_bid"], market.state[0]["best_ask"] = 0, 10_000
    for i, (side, tick) in enumerate([*((BID, t) for t in bids), *((ASK, t) for t in asks)]):
        market.state[0]["ts_event"] = 1000 + i
        rest_order(market, i + 1, side, tick, 1)
    return market


def queue(market: Market, side: int, tick: int) -> list[int]:
    """Ids from the front, after the links the other way have been found to agree."""
    slots, behind = [], []
    slot = int(market.levels[side, tick]["front"])
    while slot != NIL:
        slots.append(slot)
        slot = int(market.orders[slot]["behind"])
    slot = int(market.levels[side, tick]["back"])
    while slot != NIL:
        behind.append(slot)
        slot = int(market.orders[slot]["ahead"])
    assert slots == behind[::-1]
    assert market.levels[side, tick]["count"] == len(slots)
    return [int(market.orders[one]["id"]) for one in slots]


def touch(market: Market) -> tuple[int, int, int, int]:
    state = market.state[0]
    return tuple(int(state[name]) for name in ("best_bid", "best_ask", "n_bids", "n_live"))  # type: ignore[return-value]


def test_orders_rest_in_order_of_arrival_and_make_the_touch() -> None:
    market = market_of([100, 100, 98, 100], [101, 105, 101])
    assert queue(market, BID, 100) == [1, 2, 4]
    assert queue(market, BID, 98) == [3]
    assert queue(market, ASK, 101) == [5, 7]
    assert touch(market) == (100, 101, 4, 7)
    assert market.orders["ts"][:7].tolist() == list(range(1000, 1007))


@pytest.mark.parametrize(("slot", "left"), [(0, [2, 4]), (1, [1, 4]), (3, [1, 2])])  # front, middle, back
def test_an_order_leaves_its_queue_whole(slot: int, left: list[int]) -> None:
    market = market_of([100, 100, 98, 100], [101])
    leave_queue(market, slot)
    assert queue(market, BID, 100) == left
    assert touch(market) == (100, 101, 3, 5)


def test_the_last_order_of_a_level_moves_the_touch_over_empty_levels() -> None:
    market = market_of([100, 97], [101, 106])
    leave_queue(market, 0)
    leave_queue(market, 2)
    assert touch(market) == (97, 106, 1, 4)
    assert queue(market, BID, 100) == queue(market, ASK, 101) == []
    join_queue(market, 0, BID, 96)
    assert touch(market)[:3] == (97, 106, 2)
    assert queue(market, BID, 96) == [1]


def test_an_order_behind_the_touch_leaves_it_where_it_is() -> None:
    market = market_of([100, 97], [101, 106])
    leave_queue(market, 1)
    leave_queue(market, 3)
    assert touch(market)[:3] == (100, 101, 1)


def test_a_slot_that_is_given_back_is_the_next_one_used() -> None:
    market = market_of([100, 99, 98], [101])
    drop_order(market, 1)
    assert touch(market) == (100, 101, 2, 3)
    assert sorted(market.live[:3].tolist()) == [0, 2, 3]
    assert [int(market.live[market.orders[slot]["rank"]]) for slot in (0, 2, 3)] == [0, 2, 3]
    assert rest_order(market, 9, ASK, 102, 4) == 1
    assert (int(market.orders[1]["id"]), int(market.orders[1]["size"]), queue(market, ASK, 102)) == (9, 4, [9])


def test_weight_near_the_touch_falls_off_and_ends() -> None:
    market = market_of([100, 100, 92, 100 - 31, 100 - 32], [101, 101 + 31, 101 + 32])
    assert weigh_near(market, BID) == pytest.approx(2 + math.exp(-1) + math.exp(-31 / 8))
    assert weigh_near(market, ASK) == pytest.approx(1 + math.exp(-31 / 8))


def test_orders_near_the_touch_are_picked_by_their_weight_and_the_younger_more() -> None:
    market = market_of([100, 100, 92, 60], [101])
    total = 2 + math.exp(-1)
    picked = np.bincount([pick_near(market, BID, total) for _ in range(4000)], minlength=4) / 4000
    by_level = np.array([2, math.exp(-1)]) / total
    # The younger of two is picked unless both draws of its distance from the back say otherwise.
    expected = [by_level[0] / 4, by_level[0] * 3 / 4, by_level[1], 0.0]
    assert picked == pytest.approx(expected, abs=0.03)


def test_orders_far_off_are_at_least_32_ticks_from_the_touch() -> None:
    market = market_of([100, 100 - 31, 100 - 32], [101, 101 + 31, 101 + 32])
    picked = [pick_far(market) for _ in range(400)]
    counts = np.bincount(picked, minlength=6)
    assert counts[[2, 5]].min() > 150
    assert counts[[0, 1, 3, 4]].sum() < 60  # after eight tries in vain, any: (2/3)**8 of the time


def test_a_recent_order_is_picked_while_it_rests() -> None:
    market = market_of([100, 100], [101])
    assert pick_recent(market) == NIL
    market.recent[:] = (1, 2)  # slot 1 holds order 2
    assert pick_recent(market) == 1
    drop_order(market, 1)
    assert pick_recent(market) == NIL
    assert rest_order(market, 9, BID, 100, 1) == 1  # the slot again, another order
    assert pick_recent(market) == NIL


@pytest.mark.parametrize(
    ("n_bids", "n_asks", "weight"),
    [(1, 1, 0.0), (35, 65, 0.0), (1, 3, 0.03 * (1 - 0.25 / 0.35)), (1, 19, 0.03 * (1 - 0.05 / 0.35))],  # below 35 in 100
)
def test_orders_run_from_a_touch_that_the_other_one_outweighs(n_bids: int, n_asks: int, weight: float) -> None:
    found, side = weigh_run(market_of([100] * n_bids, [101] * n_asks))
    assert found == pytest.approx(weight)
    assert weight == 0.0 or side == BID
    assert weigh_run(market_of([100] * n_asks, [101] * n_bids))[0] == pytest.approx(weight)
