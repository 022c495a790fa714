"""What the header of a bin says of the champion's trades: the judge's own, told once when they begin and once when they end."""

import json
from typing import Any

import numpy as np
import pytest

from engine.config import InstrumentConfig
from engine.lake import Lake
from serve.champion import ChampionWatcher
from serve.frames import BinFrames, decode_header
from serve.paper import PaperDesk
from serve.paper_states import PaperStates
from serve.session import ConfigFrame, Session
from tests.sessions import Bins
from tests.test_serve.conftest import Promote
from tests.test_serve.test_paper import dataset, desk, judged, promise_by, rules_of, session_of
from tests.test_serve.test_session import play

__all__ = ["dataset", "desk"]  # fixtures

TICK = 250_000_000


def told(frames: list[ConfigFrame | BinFrames]) -> dict[int, list[dict[str, Any]]]:
    """The trades of every bin that tells of some."""
    headers = [decode_header(frame.header(0)) for frame in frames if isinstance(frame, BinFrames)]
    return {header["bin_seq"]: header["model_trades"] for header in headers if "model_trades" in header}


def at_the_end(session: Session) -> list[dict[str, Any]]:
    text = json.dumps({"model_trades": session.told})
    trades: list[dict[str, Any]] = decode_header(text)["model_trades"]
    return trades


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, {"sl", "timeout"}),
        ({"position": "overlapping", "tp_ticks": 1, "sl_ticks": 6, "max_hold_bins": 200, "cooldown_bins": 1}, {"tp", "cut"}),
        ({"position": "overlapping", "cooldown_bins": 1}, {"sl"}),
        ({"order_delay_bins": 3, "rearm": False}, {"sl"}),
    ],
)
def test_a_stream_tells_the_judges_trades_bit_for_bit(
    lake: Lake,
    config: InstrumentConfig,
    promote: Promote,
    desk: PaperDesk,
    dataset: Bins,
    changes: dict[str, Any],
    ends: set[str],
) -> None:
    rules = rules_of(**changes)
    champion = promote(lake, promise=promise_by(rules))
    session = session_of(lake, config, desk)
    by_bin = told(play(session))
    expected = judged(dataset, champion, rules)
    assert len(expected) >= 5
    closed = [one for trades in (*by_bin.values(), at_the_end(session)) for one in trades if one["outcome"] is not None]
    names = ("fired_bin", "entry_bin", "exit_bin", "side", "outcome", "gross_ticks")
    assert sorted(tuple(one[name] for name in names) for one in closed) == expected

    entered = {}
    for seq, trades in by_bin.items():
        for one in (one for one in trades if one["outcome"] is None):
            assert one["entry_bin"] == seq
            entered[one["id"]] = one
        for one in (one for one in trades if one["outcome"] is not None):
            assert one["exit_bin"] == seq
    assert list(entered) == [f"1-{fired}" for fired, *_ in expected]
    bins = dataset.fields
    for one in closed:
        buys, entry, leave = one["side"] == "buy", bins[one["entry_bin"]], bins[one["exit_bin"]]
        paid = int(entry["best_ask_price_int" if buys else "best_bid_price_int"])
        profit, loss = (
            (rules.tp_ticks * TICK, -rules.sl_ticks * TICK) if buys else (-rules.tp_ticks * TICK, rules.sl_ticks * TICK)
        )
        opened = {
            "id": f"1-{one['fired_bin']}",
            "side": one["side"],
            "price_int": paid,
            "take_profit_price_int": paid + profit,
            "stop_price_int": paid + loss,
            "fired_bin": one["fired_bin"],
            "entry_bin": one["entry_bin"],
            "entry_ns": int(entry["bin_end_ns"]),
            "outcome": None,
            "pnl_ticks": None,
        }
        assert entered[one["id"]] == opened
        booked = float(rules.tp_ticks) if one["outcome"] == "tp" else one["gross_ticks"]  # a limit that is passed gets its limit
        net = booked - rules.fee_ticks
        ended = {"outcome": one["outcome"], "pnl_ticks": net, "exit_bin": one["exit_bin"], "exit_ns": int(leave["bin_end_ns"])}
        assert one == opened | ended | {"gross_ticks": one["gross_ticks"], "met_gap": False}
    assert {one["outcome"] for one in closed} >= ends


@pytest.fixture
def states(lake: Lake) -> PaperStates:
    return PaperStates(lake.cache / "paper", every_bins=50)


def test_trades_bear_the_same_ids_and_numbers_in_every_stream_of_the_session(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, states: PaperStates
) -> None:
    champion = promote(lake, promise=promise_by(rules_of()))
    keeping = PaperDesk(lake, states)
    first = session_of(lake, config, keeping)
    whole = told(play(first))
    keeping.close()
    n_entries = (record := desk.told(champion)) and record["n_entries"]
    opened = [seq for seq, trades in whole.items() if trades[-1]["outcome"] is None]
    places = [99, 100, opened[len(opened) // 2] + 1, 400]  # before a kept state and on it, within a trade, at the end
    for place in places:
        replica = PaperDesk(lake, PaperStates(lake.cache / "paper", every_bins=50))
        session = session_of(lake, config, replica, resume_from=str(place))
        frames = [frame for frame in play(session) if isinstance(frame, BinFrames)]
        assert [frame.bin_seq for frame in frames] == list(range(place, 400))
        assert told(list(frames)) == {seq: trades for seq, trades in whole.items() if seq >= place}, place
        assert session.told == first.told
        replica.close()
    assert (record := desk.told(champion)) is not None
    assert record["n_entries"] == n_entries  # and none is recorded twice, or another
    assert told(play(session_of(lake, config, desk, speed="7"))) == whole


def test_replay_begun_in_the_middle_trades_nothing_where_no_state_is_kept_or_it_is_anothers(
    lake: Lake, config: InstrumentConfig, promote: Promote, states: PaperStates
) -> None:
    promote(lake, promise=promise_by(rules_of()))

    def begun_at(place: int, **query: str) -> dict[int, list[dict[str, Any]]]:
        desk = PaperDesk(lake, PaperStates(lake.cache / "paper", every_bins=50))
        found = told(play(session_of(lake, config, desk, resume_from=str(place), **query)))
        desk.close()
        return found

    assert begun_at(120) == {}
    keeping = PaperDesk(lake, states)
    play(session_of(lake, config, keeping), 260)
    keeping.close()
    kept = sorted((lake.cache / "paper").glob("*/*"))
    assert [int(path.stem) for path in kept] == [50, 100, 150, 200, 250]
    assert begun_at(49) == {}
    assert begun_at(120)
    assert begun_at(120, perm_tanh_scale="2.5") == {}  # another instrument's values
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1])
    assert begun_at(120) == {}
    promote(lake, {"d2_weight": 1.0}, promise=promise_by(rules_of()))
    assert begun_at(120) == {}


def test_each_champion_tells_its_own_after_a_swap(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk
) -> None:
    rules = rules_of()
    watcher = ChampionWatcher(lake, config, 1.0)
    promote(lake, promise=promise_by(rules))
    first = session_of(lake, config, desk, watcher)
    frames = play(first)
    middle = next(seq for seq, trades in told(frames).items() if seq > 150 and trades[-1]["outcome"] is None) + 1
    again = session_of(lake, config, desk, watcher)
    play(again, middle)
    promote(lake, {"d2_weight": 1.0}, promise=promise_by(rules))
    watcher.poll()
    after = [one for trades in told(play(again)).values() for one in trades]
    versions = np.array([int(one["id"].split("-")[0]) for one in after])
    assert [one["outcome"] is None for one, version in zip(after, versions, strict=True) if version == 1] == [False]
    assert (versions == 2).sum() > 2
    assert all(one["fired_bin"] >= middle for one, version in zip(after, versions, strict=True) if version == 2)


@pytest.mark.parametrize("promised", [None, 0.999], ids=["promises nothing", "never fires"])
def test_bins_in_which_nothing_happened_do_not_bear_the_name(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, promised: float | None
) -> None:
    promote(lake, promise=None if promised is None else promise_by(rules_of(), threshold=promised))
    session = session_of(lake, config, desk)
    frames = play(session)
    assert len(frames) > 300
    assert not any("model_trades" in frame.head for frame in frames if isinstance(frame, BinFrames))
    assert session.told == []
