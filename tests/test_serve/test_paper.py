"""The champion traded on paper by the streams that show it: the judge's trades, in a record that nobody can bend."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.champion import Champion, Promise
from engine.config import InstrumentConfig
from engine.lake import Lake
from engine.run.replay import Replay
from engine.signals.base import SignalContext, signal_inputs
from engine.signals.registry import make_signal
from engine.source.records import open_source
from engine.trades.paper import REASONS, acting_score, plan_values
from engine.trades.record import LiveRecord, record_path
from engine.trades.tape import tape_of
from serve.champion import ChampionWatcher
from serve.frames import BinFrames
from serve.paper import PaperDesk
from serve.session import ConfigFrame, Session
from tests.sessions import Bins, join
from tests.test_engine.test_trades.test_record import read_entries
from tests.test_serve.conftest import Promote
from tests.test_serve.test_session import Inline, learns_here, play, request_of
from tests.test_tune.markets import sound_rules
from tune.rules import Rules
from tune.scoring import make_plan, walk_all
from tune.trial import prediction_mode

THRESHOLD = 0.1
Told = tuple[int, int, int, str, str, float]  # fired, entry, exit, side, reason, gross ticks


def rules_of(**changes: Any) -> Rules:
    """A rule that trades often within forty seconds."""
    values = {"tp_ticks": 3, "sl_ticks": 3, "max_hold_bins": 40, "warmup_bins": 60, "cooldown_bins": 5, "fee_per_contract": 0.62}
    return sound_rules(**{**values, **changes})


def promise_by(rules: Rules, mode: str = "signed", data_end_ns: int = 0, threshold: float = THRESHOLD) -> dict[str, Any]:
    """A promise of half a tick under some rules."""
    return Promise(
        at_least_ticks=0.5,
        net_ticks=1.0,
        low_ticks=0.5,
        high_ticks=1.5,
        n_trades=100,
        trades_per_hour=60.0,
        data_end_ns=data_end_ns,
        best_ticks=rules.tp_ticks - rules.fee_ticks,
        fee_ticks=rules.fee_ticks,
        longest_ns=(rules.delay_bins + rules.max_hold_bins) * 100_000_000,
        fill=rules.fill,
        plan=plan_values(make_plan([threshold], [rules], mode, np.zeros(0, np.int64))),
    ).model_dump()


@pytest.fixture
def desk(lake: Lake) -> Iterator[PaperDesk]:
    made = PaperDesk(lake)
    yield made
    made.close()


@pytest.fixture
def dataset(lake: Lake, config: InstrumentConfig) -> Bins:
    """The session the way a dataset is made."""
    request = request_of(lake, config)
    return join(Replay(open_source([request.dbn], config, request.dt), config))


def session_of(
    lake: Lake, config: InstrumentConfig, desk: PaperDesk, watcher: ChampionWatcher | None = None, **query: str
) -> Session:
    watcher = watcher or ChampionWatcher(lake, config, 1.0)
    watcher.poll()
    session = Session(request_of(lake, config, **query), lambda: watcher.serving, Inline(), None, desk)
    session.open()
    return session


def judged(dataset: Bins, champion: Champion, rules: Rules, threshold: float = THRESHOLD, first_bin: int = 0) -> list[Told]:
    """The judge's trades of a champion over the whole session; of those that are entered, none fires before ``first_bin``."""
    context = SignalContext(champion.cell_width_ms, champion.grid_radius_ticks, 250_000_000)
    signal = make_signal(champion.signal, champion.parameters, context)
    score = acting_score(signal.run(signal_inputs(signal, dataset.grid, dataset.fields)), True)
    rules = Rules(**{**rules.__dict__, "warmup_bins": max(rules.warmup_bins, first_bin)})
    trades = walk_all(score, tape_of(dataset.fields, "touch", True), [threshold], [rules], prediction_mode(signal)).trades
    side = {1: "buy", -1: "sell"}
    columns = (trades.fired, trades.entry, trades.exit_bin, trades.sign, trades.reason, trades.pnl)
    return [
        (int(f), int(e), int(x), side[int(s)], REASONS[int(r)], float(pnl)) for f, e, x, s, r, pnl in zip(*columns, strict=True)
    ]


def recorded(lake: Lake, desk: PaperDesk, version: int = 1) -> list[Told]:
    """The trades that the record holds, in order of their firing; each must have been opened before it was closed."""
    desk.flush()
    entries = read_entries(lake, version)
    opened = {}
    found = []
    for entry in entries:
        if entry["kind"] == "open":
            opened[entry["bin"]] = entry
        else:
            assert entry["entry_bin"] == opened[entry["bin"]]["entry_bin"]
            assert entry["side"] == opened[entry["bin"]]["side"]
            found.append(tuple(entry[name] for name in ("bin", "entry_bin", "exit_bin", "side", "reason", "gross_ticks")))
    return sorted(found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{}, {"position": "overlapping", "cooldown_bins": 1}, {"order_delay_bins": 3, "rearm": False}, {"trigger": "level"}],
)
def test_a_stream_trades_what_the_judge_trades(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins, changes: dict[str, Any]
) -> None:
    rules = rules_of(**changes)
    champion = promote(lake, promise=promise_by(rules))
    play(session_of(lake, config, desk))
    expected = judged(dataset, champion, rules)
    assert len(expected) >= 5
    assert recorded(lake, desk) == expected


def test_a_probability_is_traded_as_such(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of(trigger="level")
    promised = promise_by(rules, "probability", threshold=0.5001)
    champion = promote(lake, learns_here("gbm_mf"), signal="gbm_mf", promise=promised)
    play(session_of(lake, config, desk))
    expected = judged(dataset, champion, rules, 0.5001)
    assert expected
    assert recorded(lake, desk) == expected


def test_the_same_session_shown_again_resumed_or_beside_counts_once(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of()
    champion = promote(lake, promise=promise_by(rules))
    first, second = session_of(lake, config, desk), session_of(lake, config, desk)
    play(first, 200)
    play(second)
    play(first)
    play(session_of(lake, config, desk, resume_from="250"))
    other = PaperDesk(lake)  # another replica
    play(session_of(lake, config, other))
    expected = judged(dataset, champion, rules)
    assert recorded(lake, other) == recorded(lake, desk) == expected
    other.close()
    record = LiveRecord(lake, 1)
    record.verify()
    record.refresh()
    assert (record.n_entries, record.n_open) == (2 * len(expected), 0)


def test_a_replay_begun_in_mid_session_trades_nothing(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    """A walk that did not see what came before would fire where the whole one is in a trade or cools down."""
    rules = rules_of()
    champion = promote(lake, promise=promise_by(rules))
    expected = judged(dataset, champion, rules)
    fired = expected[1][0]
    assert judged(dataset, champion, rules, first_bin=fired + 1) != expected[2:]
    play(session_of(lake, config, desk, resume_from=str(fired + 1)))
    desk.flush()
    told = desk.told(champion)
    assert told is not None
    assert told["n_entries"] == 0


def test_a_client_that_leaves_does_not_decide_how_a_trade_ends(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of()
    champion = promote(lake, promise=promise_by(rules))
    expected = judged(dataset, champion, rules)
    fired, entry, leave, *_ = next(trade for trade in expected if trade[2] - trade[1] > 3)
    session = session_of(lake, config, desk)
    play(session, entry + 2)
    assert session.n_paper_open == 1
    session.settle(lambda: False)
    assert recorded(lake, desk) == [trade for trade in expected if trade[0] <= fired]


def test_a_service_that_stops_leaves_the_trade_open_for_all_to_see(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of()
    champion = promote(lake, promise=promise_by(rules))
    expected = judged(dataset, champion, rules)
    fired, entry, *_ = next(trade for trade in expected if trade[2] - trade[1] > 3)
    session = session_of(lake, config, desk)
    play(session, entry + 2)
    session.settle(lambda: True)
    assert recorded(lake, desk) == [trade for trade in expected if trade[0] < fired]
    told = desk.told(champion)
    assert told is not None
    assert told["n_open"] == 1
    play(session_of(lake, config, desk))  # shown again, it comes to its end
    assert recorded(lake, desk) == expected


def test_at_a_swap_the_old_champions_trades_go_on_to_their_end(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of()
    watcher = ChampionWatcher(lake, config, 1.0)
    first = promote(lake, promise=promise_by(rules))
    before = judged(dataset, first, rules)
    fired, entry, *_ = next(trade for trade in before if trade[2] - trade[1] > 3)
    session = session_of(lake, config, desk, watcher)
    play(session, entry + 2)
    second = promote(lake, {"d2_weight": 1.0}, promise=promise_by(rules))
    watcher.poll()
    frames = play(session)
    assert [frame.bin_seq for frame in frames if isinstance(frame, BinFrames)] == list(range(entry + 2, 400))
    assert [frame.reason for frame in frames if isinstance(frame, ConfigFrame)][:1] == ["model_change"]  # then what it earned
    assert recorded(lake, desk, 1) == [trade for trade in before if trade[0] <= fired]
    assert recorded(lake, desk, 2) == judged(dataset, second, rules, first_bin=entry + 2)


def test_sessions_that_the_champion_was_chosen_on_are_recorded_and_prove_nothing(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: PaperDesk, dataset: Bins
) -> None:
    rules = rules_of()
    end, start = int(dataset.fields["bin_end_ns"][-1]), int(dataset.fields["bin_start_ns"][0])
    seen = promote(lake, promise=promise_by(rules, data_end_ns=end))
    play(session_of(lake, config, desk))
    desk.flush()
    told = desk.told(seen)
    assert told is not None
    assert told["n_entries"] > 0
    assert (told["n_trades"], told["net_mean"], told["e_value"], told["line"]) == (0, None, 1.0, "no live evidence yet")
    assert {(e["source"], e["session"], e["session_start_ns"]) for e in read_entries(lake, 1) if e["kind"] == "open"} == {
        ("replay", f"MNQH6@{start}", start)
    }

    new = promote(lake, promise=promise_by(rules, data_end_ns=start))  # it begins where those ended
    play(session_of(lake, config, desk))
    desk.flush()
    told = desk.told(new)
    assert told is not None
    net = [entry["net_ticks"] for entry in read_entries(lake, 2) if entry["kind"] == "close"]
    assert told["n_trades"] == len(net) > 0
    assert told["net_mean"] == pytest.approx(np.mean(net), abs=1e-12)


def test_health_and_the_wire_tell_promise_and_record(serve: Any, lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    rules = rules_of()
    champion = promote(lake, gate={}, promise=promise_by(rules))
    running = serve()
    service = running.service
    body = service.health()
    assert body["champion"]["promise"]["at_least_ticks"] == 0.5
    assert "plan" not in body["champion"]["promise"]
    assert body["champion"]["record"]["line"] == "no live evidence yet"
    assert (body["champion"]["standing"], body["model"]["standing"]) == ("proven", "proven")

    lost = [{"session": "s", "bin": i, "entry_ns": 10**12 * i, "session_start_ns": 1} for i in range(1, 80)]
    for one in lost:
        ended = {"kind": "close", "session": "s", "bin": one["bin"], "exit_ns": one["entry_ns"] + 1, "net_ticks": -4.0}
        service.desk.submit(champion, [{"kind": "open", **one}, ended])
    service.desk.flush()
    body = service.health()
    assert (body["champion"]["standing"], body["model"]["standing"]) == ("on_trial", "on_trial")
    assert body["champion"]["record"]["state"] == "on_trial"
    assert body["champion"]["record"]["net_mean"] == -4.0
    assert body["model"]["record"].startswith("on trial: 79 live trades, net -4.00 ticks each where +0.50 was promised")
    session = Session(request_of(lake, config), service.serving_of("champion"), Inline(), None, service.desk)
    assert json.loads(session.config_frame().text)["runtime_model"]["standing"] == "on_trial"
    told = service.champion()
    assert (told["champion"]["standing"], told["history"][0]["record"]["n_trades"]) == ("on_trial", 79)

    path: Path = record_path(lake, 1)
    path.write_bytes(path.read_bytes()[:-10])
    (alarm,) = service.health()["alarms"]
    assert alarm["kind"] == "record"
    assert "its end was cut off" in alarm["message"]


def test_a_desk_that_closes_has_written_all_that_was_handed_over(lake: Lake, promote: Promote) -> None:
    champion = promote(lake, gate={}, promise=promise_by(rules_of()))
    closing = PaperDesk(lake)
    for i in range(200):
        one = {"kind": "open", "session": "s", "bin": i, "entry_ns": 10**12 * i, "session_start_ns": 1}
        closing.submit(champion, [one])
    closing.close()
    assert len(record_path(lake, 1).read_text().splitlines()) == 200
