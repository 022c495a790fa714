"""The planted edge: what is asked for, where it holds, the answer key, and the prices that follow, from the trades alone."""

import json
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pytest

from engine.cli import main
from engine.errors import ConfigError
from engine.simulate.edge import EXAMPLE, EdgeSpec, holds_at, key_path, read_edge
from engine.simulate.queues import Edge, Feed
from engine.simulate.session import simulate, simulate_days

S = 10**9


def feed_of(edge: Edge) -> Feed:
    """A session of 100 s that begins at 1,000 s."""
    return Feed(1, 250_000_000, 0, 100.0, 1000 * S, 1100 * S, 100.0, edge)


def test_an_edge_is_read_with_what_it_does_not_say() -> None:
    assert read_edge("relation=flow,size=2.5") == EdgeSpec("flow", 2.5, 5.0, 30.0, 3.0, "always")
    assert read_edge(EXAMPLE) == EdgeSpec("pressure", 12.0, 5.0, 30.0, 3.0, "always")
    read = read_edge(" size=-3 , relation=imbalance, where=regime:60.5,lead=1,every=8,decay=0.5")
    assert read == EdgeSpec("imbalance", -3.0, 0.5, 8.0, 1.0, "regime:60.5")
    assert read.to_params() == Edge(0, -3.0, 0.5, 8.0, 1.0, 3, 60.5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "of which '' is not understood"),
        ("relation", "of which 'relation' is not understood"),
        ("relation=flow", "without size"),
        ("size=1", "without relation"),
        ("relation=flow,size=1,size=2", "of which 'size=2' is not understood"),
        ("relation=flow,size=1,colour=2", "of which 'colour=2' is not understood"),
        ("relation=flow,size=big", "edge size was 'big'"),
        ("relation=luck,size=1", "edge relation was 'luck'"),
        ("relation=flow,size=200.1", "edge size was 200.1"),
        ("relation=flow,size=-200.1", "edge size was -200.1"),
        ("relation=flow,size=nan", "edge size was nan"),
        ("relation=flow,size=1,decay=0.049", "edge decay was 0.049"),
        ("relation=flow,size=1,every=4.9", "edge every was 4.9"),
        ("relation=flow,size=1,lead=0.09", "edge lead was 0.09"),
        ("relation=flow,size=1,lead=3600.1", "edge lead was 3600.1"),
        ("relation=flow,size=1,where=regime", "edge where was 'regime'"),
        ("relation=flow,size=1,where=regime:0.9", "edge where was 'regime:0.9'"),
        ("relation=flow,size=1,where=regime:86401", "edge where was 'regime:86401'"),
        ("relation=flow,size=1,where=never", "edge where was 'never'"),
        (7, "edge was 7; give text"),
    ],
)
def test_another_edge_is_refused_in_one_line(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_edge(given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    ["size=200", "size=-200", "size=0", "size=1,decay=0.05", "size=1,every=5", "size=1,lead=0.1", "size=1,where=regime:1"],
)
def test_an_edge_is_taken_on_its_bounds(given: str) -> None:
    assert read_edge(f"relation=flow,{given}").relation == "flow"


@pytest.mark.parametrize(
    ("where", "span_s", "held"),  # of the moments 0, 49.999, 50, 99.999 s into a session of 100 s
    [
        ("always", 1.0, [True, True, True, True]),
        ("first-half", 1.0, [True, True, False, False]),
        ("second-half", 1.0, [False, False, True, True]),
        ("regime", 25.0, [True, False, True, False]),
        ("regime", 50.0, [True, True, False, False]),
    ],
)
def test_where_an_edge_holds(where: str, span_s: float, held: list[bool]) -> None:
    place = ("always", "first-half", "second-half", "regime").index(where)
    feed = feed_of(Edge(0, 1.0, 1.0, 5.0, 1.0, place, span_s))
    moments = [1000 * S, 1050 * S - 1_000_000, 1050 * S, 1100 * S - 1_000_000]
    assert [bool(holds_at(feed, moment)) for moment in moments] == held


def session(
    folder: Path, spec: EdgeSpec, seed: int = 5, seconds: float = 1500.0, rate: float = 200.0
) -> tuple[Path, dict[str, Any]]:
    """A simulated session and its answer key."""
    path = folder / "planted-20260206.dbn"
    simulate(path, seed=seed, seconds=seconds, rate=rate, edge=spec)
    return path, json.loads(key_path(path).read_text())


def follows(path: Path, key: dict[str, Any], seconds: float) -> np.ndarray:
    """For each cue the change of the traded price, in ticks and in the cue's direction, from its end until so much later."""
    records = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    trades = records[records["action"] == b"T"]
    cues = [cue for cue in key["cues"] if cue["start_ns"] > trades["ts_event"][0] and cue["end_ns"] + seconds * S < key["end_ns"]]

    def price(ns: list[int]) -> np.ndarray:
        return trades["price"][np.searchsorted(trades["ts_event"], ns) - 1] / 250_000_000

    moved = price([cue["end_ns"] + int(seconds * S) for cue in cues]) - price([cue["end_ns"] for cue in cues])
    return np.array([cue["side"] for cue in cues]) * moved


def test_the_answer_key_says_what_was_planted(tmp_path: Path) -> None:
    spec = EdgeSpec("pressure", 2.5, decay=1.0, every=8.0, lead=2.0, where="first-half")
    path, key = session(tmp_path, spec, seconds=600.0, rate=60.0)
    assert key_path(path).name == "planted-20260206.dbn.edge.json"
    said = {name: key[name] for name in ("file", "seed", "relation", "size", "decay", "every", "lead", "where")}
    assert said == {
        "file": path.name,
        "seed": 5,
        "relation": "pressure",
        "size": 2.5,
        "decay": 1.0,
        "every": 8.0,
        "lead": 2.0,
        "where": "first-half",
    }
    assert key["end_ns"] - key["start_ns"] == 600 * S
    cues = key["cues"]
    assert len(cues) == key["n_cues"] > 40
    assert {cue["side"] for cue in cues} == {1, -1}
    for cue in cues:
        assert cue["end_ns"] - cue["start_ns"] == 2 * S
        is_first = cue["end_ns"] - key["start_ns"] < 300 * S
        assert bool(cue["holds"]) == is_first
        assert cue["ticks"] * cue["side"] in ((2, 3) if is_first else (0,))
    gaps = [later["start_ns"] - cue["end_ns"] for cue, later in zip(cues, cues[1:], strict=False)]
    assert min(gaps) >= 4 * S
    assert np.mean(gaps) / S == pytest.approx(8.0, abs=1.5)
    ticks = [abs(cue["ticks"]) for cue in cues if cue["holds"]]
    assert {2, 3} == set(ticks)


@pytest.mark.parametrize("relation", ["imbalance", "flow", "pressure"])
def test_the_price_follows_a_cue_by_the_stated_ticks(tmp_path: Path, relation: str) -> None:
    path, key = session(tmp_path, EdgeSpec(relation, 10.0, decay=2.0, every=12.0, lead=2.0))
    moved = follows(path, key, 8.0)  # 98 % of it
    assert len(moved) > 70
    assert moved.mean() == pytest.approx(9.8, abs=2.0), (moved.mean(), moved.std() / len(moved) ** 0.5)
    half = follows(path, key, 2.0).mean()
    assert half == pytest.approx(6.3, abs=1.6), "one decay after the cue's end 1 - 1/e of it has come"


def test_the_price_goes_against_a_cue_of_negative_size(tmp_path: Path) -> None:
    path, key = session(tmp_path, EdgeSpec("pressure", -10.0, decay=2.0, every=12.0, lead=2.0))
    assert follows(path, key, 8.0).mean() == pytest.approx(-9.8, abs=2.0)


def test_a_cue_without_size_or_where_it_does_not_hold_means_nothing(tmp_path: Path) -> None:
    for spec in (EdgeSpec("pressure", 0.0, decay=2.0, every=12.0, lead=2.0),):
        path, key = session(tmp_path, spec)
        moved = follows(path, key, 8.0)
        assert abs(moved.mean()) < 4 * moved.std() / len(moved) ** 0.5
        assert {cue["ticks"] for cue in key["cues"]} == {0}
    path, key = session(tmp_path, EdgeSpec("pressure", 10.0, decay=2.0, every=12.0, lead=2.0, where="regime:300"))
    held = np.array([bool(cue["holds"]) for cue in key["cues"]])
    moved = follows(path, key, 8.0)
    held = held[: len(moved)]
    assert moved[held].mean() > 7.0
    assert abs(moved[~held].mean()) < 2.5


def test_the_same_arguments_give_the_same_market_and_key(tmp_path: Path) -> None:
    spec = EdgeSpec("imbalance", 5.0, every=5.0, lead=1.0)
    found = set()
    for chunk in (1, 1 << 17):
        path = tmp_path / "x-20260206.dbn"
        simulate(path, seed=3, seconds=60.0, rate=100.0, edge=spec, chunk_records=chunk)
        found.add((path.read_bytes(), key_path(path).read_text()))
    assert len(found) == 1


def test_a_session_without_an_edge_has_no_key_and_takes_an_old_one_away(tmp_path: Path) -> None:
    path, _ = session(tmp_path, EdgeSpec("flow", 1.0), seconds=20.0)
    assert key_path(path).is_file()
    summary = simulate(path, seed=5, seconds=20.0, rate=200.0)
    assert not key_path(path).exists()
    assert (summary.edge, summary.n_cues) == (None, 0)


def test_each_of_several_days_has_its_key(tmp_path: Path) -> None:
    first = tmp_path / "x-20260206.dbn"
    written = simulate_days(first, days=2, seed=3, seconds=90.0, rate=100.0, edge=EdgeSpec("flow", 3.0, every=5.0, lead=1.0))
    for one in written:
        key = json.loads(key_path(one.path).read_text())
        assert key["n_cues"] == one.n_cues > 5
        assert all(one.start_ns <= cue["end_ns"] <= one.end_ns for cue in key["cues"])


def test_the_command_says_that_it_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x-20260206.dbn"
    words = ["simulate", str(out), "--seed", "1", "--seconds", "30", "--rate", "100", "--edge", "relation=flow,size=2,every=5"]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    n_cues = json.loads(key_path(out).read_text())["n_cues"]
    assert said == f"{out}.edge.json: planted, {n_cues} cues of flow, each followed by 2 ticks with decay 5 s, always"
    assert main([*words[:-1], "relation=luck,size=2"]) == 2
