"""Short simulated markets, event by event: each fits the book before it, and a seed gives the market that it always gave."""

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from engine.simulate.edge import read_edge
from engine.simulate.events import MAX_EVENT_RECORDS
from engine.simulate.orders import MAX_FILLS
from engine.simulate.session import simulate
from tests.test_engine.test_simulate.slow_book import SNAPSHOT, decode, walked


@pytest.mark.parametrize("seed", [3, 4])
def test_every_event_of_a_short_market_fits_the_book_before_it(seed: int, tmp_path: Path) -> None:
    summary = simulate(tmp_path / "a.dbn", seed=seed, seconds=2.0, rate=800.0)
    quotes, _ = walked(str(summary.path))
    assert len(quotes) - 1 == summary.n_events > 300
    assert (quotes[0][1] + quotes[0][2]) / 2e9 == summary.open_price
    assert (quotes[-1][1] + quotes[-1][2]) / 2e9 == summary.close_price


def test_a_trade_hits_no_more_orders_than_an_event_has_room_for(tmp_path: Path) -> None:
    assert MAX_EVENT_RECORDS == 1 + 2 * MAX_FILLS  # the trade, a fill and an update of each order


# Figures of a sweep are compared from version to version: a seed is a market, not a recipe for one. Whoever changes the market
# on purpose changes these, and says so to the users.
MARKETS: dict[str, tuple[dict[str, Any], dict[str, int], str]] = {
    "plain": (
        {"seed": 3, "seconds": 4.0, "rate": 800.0},
        {"A": 1091, "C": 985, "F": 224, "M": 282, "T": 151},
        "a93651882d8d111a",
    ),
    "a planted edge": (
        {"seed": 3, "seconds": 16.0, "rate": 300.0, "edge": "relation=imbalance,size=2,every=5,lead=0.5,decay=0.2"},
        {"A": 1490, "C": 1393, "F": 371, "M": 325, "T": 186},
        "4da542c60b4ad6d1",
    ),
    "against a cue of pressure": (
        {"seed": 5, "seconds": 16.0, "rate": 300.0, "edge": "relation=pressure,size=-2,every=5,lead=0.5,decay=0.2"},
        {"A": 3014, "C": 2915, "F": 775, "M": 699, "T": 407},
        "4e6e6e0b67a8f499",
    ),
    "another product": (
        {"seed": 3, "seconds": 2.0, "rate": 800.0, "symbol": "ESH6"},
        {"A": 557, "C": 507, "F": 107, "M": 146, "T": 78},
        "d7ec44a21117a7f3",
    ),
}


@pytest.mark.parametrize("name", MARKETS)
def test_a_seed_gives_the_market_that_it_always_gave(name: str, tmp_path: Path) -> None:
    arguments, counts, digest = MARKETS[name]
    path = tmp_path / "a.dbn"
    edge = arguments.get("edge")
    simulate(path, **{**arguments, "edge": None if edge is None else read_edge(edge)})
    records = decode(path)
    flow = records[records["flags"] & SNAPSHOT == 0]
    assert Counter(flow["action"].tobytes().decode()) == counts
    assert sha256(records.tobytes()).hexdigest()[:16] == digest
