"""The live feed before the real gateway: the genuine client between them, every end that may come, and each word that is said."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.feed import FIRST, H6, IDS, KEY, SECOND, Kept, Running, is_like, rows_of, running, two_days
from tests.streams import write_dbn

ROWS = np.concatenate([rows_of(FIRST), rows_of(SECOND)])
OF_H6 = ROWS[ROWS["instrument_id"] == H6]
N = len(OF_H6)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return two_days(tmp_path_factory.mktemp("files"))


@pytest.fixture
def gateway(files: list[Path], tmp_path: Path) -> Iterator[Running]:
    with running(files, tmp_path / "work") as one:
        yield one


def test_a_feed_is_the_file_bit_for_bit(gateway: Running) -> None:
    kept = Kept()
    with gateway.feed(kept):
        kept.wait(lambda: kept.n >= N)
    assert is_like(kept.records, OF_H6)
    assert kept.mappings == [(H6, "MNQH6", kept.mappings[0][2])]
    assert kept.known[-1][0] == OF_H6["ts_event"].max()
    assert kept.kinds() == ["connecting", "live", "ended"]
    last = kept.states[-1]
    assert (last.n_records, last.n_doubles, last.n_recoveries, last.n_holes, last.alarm) == (N, 0, 0, 0, "")
    assert (last.newest_ns, last.sequence) == (OF_H6["ts_event"].max(), OF_H6["sequence"][-1])


@pytest.mark.parametrize("kind", ["close", "cut", "reset", "half_close", "garbage", "error", "stall"])
def test_after_each_end_the_feed_goes_on_behind_its_last_record(kind: str, gateway: Running) -> None:
    """What a reset or a broken record takes with it comes again too."""
    fault = gateway.fault(f"{kind}@live.records:after=400")
    kept = Kept()
    with gateway.feed(kept, tail=OF_H6[:150]):
        kept.wait(lambda: kept.n >= N - 150)
    assert fault.hit.is_set()
    assert is_like(kept.records, OF_H6[150:])
    last = kept.states[-1]
    assert last.n_holes == 0
    asked_again = OF_H6[:150]["ts_event"] >= OF_H6[149]["ts_event"] - 10**9
    assert last.n_doubles == asked_again.sum() * (1 if kind in ("reset", "garbage") else 2)
    assert "dead" in kept.kinds() or kind in ("reset", "garbage")  # which may take all of a first connection with them
    assert any(word in last.warning for word in ("closed", "broke", "no record", "failed", "not even a heartbeat"))


@pytest.mark.parametrize("after", [150, 151, 152, 153])
def test_event_times_that_tie_and_fall_back_are_no_trouble(after: int, tmp_path: Path) -> None:
    """Of four neighbours two share a time and the last is 300 ms older than its place says; each is a place to cut at."""
    rows = rows_of(FIRST)
    rows = rows[rows["instrument_id"] == H6].copy()
    places = np.arange(len(rows))
    rows["ts_event"] -= np.where(places % 4 == 3, 300_000_000, 0).astype(np.uint64)
    rows["ts_event"][2::4] = rows["ts_event"][1::4]
    path = write_dbn(tmp_path / "late.dbn", rows, IDS, FIRST)
    kept = Kept()
    with running([path], tmp_path / "work") as gateway:
        gateway.fault(f"close@live.records:after={after}")
        gateway.fault("cut@live.records:after=200,skip=1")
        with gateway.feed(kept, reorder_s=0.4):
            kept.wait(lambda: kept.n >= len(rows))
    assert is_like(kept.records, rows)
    assert kept.states[-1].n_holes == 0
    assert kept.states[-1].n_doubles > 0


@pytest.mark.parametrize("fault", ["late_start@live.subscribe", "aged_out@live.subscribe:seconds=1"])
def test_a_replay_that_is_not_to_be_had_is_a_hole_with_its_bounds(fault: str, gateway: Running) -> None:
    """The gateway has played on to the end meanwhile, so that a snapshot of it is all that comes."""
    first = Kept()
    with gateway.feed(first):
        first.wait(lambda: first.n >= N)
    gateway.fault(fault)
    kept = Kept()
    with gateway.feed(kept, tail=OF_H6[:150]):
        kept.wait(lambda: kept.n > 0)
    ((n, hole),) = kept.holes
    assert n == 0
    assert hole.since_ns == OF_H6["ts_event"][149]
    assert hole.until_ns == ROWS["ts_recv"][-1]
    assert ("aged" in fault) == ("does not reach back" in hole.reason)
    assert chr(kept.records["action"][0]) == "R"
    assert kept.states[-1].n_holes == 1
    assert "a hole of" in kept.states[-1].warning


# What the vendor says.


def said(kept: Kept, text: str) -> bool:
    return any(text in line for line in kept.lines)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, "does not take the key"),
        (2, "switched off"),
        (3, "all connections that it may have"),
        (4, "does not know the contract"),
        (5, "does not take the subscription"),
    ],
)
def test_what_no_other_try_can_mend_ends_the_feed_with_one_line(code: int, text: str, gateway: Running) -> None:
    gateway.fault(f"error@live.subscribe:code={code},times=0")
    kept = Kept()
    with gateway.feed(kept) as feed:
        assert feed.wait(20)
    assert kept.n == 0
    alarms = [line for line in kept.lines if text in line]
    assert len(alarms) == 1
    assert kept.states[-1].kind == "ended"
    assert kept.states[-1].alarm == alarms[0]


@pytest.mark.parametrize(
    ("given", "fault", "text"),
    [
        ({"key": "db-anotheranotheranother-ABCDE"}, None, "Authentication failed"),
        ({}, "auth@live.auth:times=0", "Authentication failed"),
        ({}, "auth@live.auth:code=429,times=0", "connection limit"),
        ({"symbol": "MNQZ9"}, None, "does not know the contract"),
        ({"dataset": "XNAS.ITCH"}, None, "Unknown dataset"),
    ],
)
def test_a_refused_connection_ends_the_feed(given: dict[str, str], fault: str | None, text: str, gateway: Running) -> None:
    if fault:
        gateway.fault(fault)
    kept = Kept()
    with gateway.feed(kept, **given) as feed:
        assert feed.wait(20)
    assert text in kept.states[-1].alarm
    assert "\n" not in kept.states[-1].alarm
    assert not any(given.get("key", KEY) in line for line in [*kept.lines, *map(str, kept.states)])


@pytest.mark.parametrize("code", [2, 4, 5, 77])
def test_a_system_record_is_one_line_and_changes_nothing(code: int, gateway: Running) -> None:
    gateway.fault(f"say@live.records:after=10,code={code}")
    text = {2: "read too slowly", 4: "interval of the feed", 5: "ended the subscription", 77: "bit for bit"}[code]
    kept = Kept()
    with gateway.feed(kept):
        kept.wait(lambda: kept.n >= N)
    assert is_like(kept.records, OF_H6)
    assert sum(text in line for line in kept.lines) == (code != 77)
    assert (text in kept.states[-1].warning) == (code == 2)


@pytest.mark.parametrize("code", [6, 7, 8])
def test_an_error_that_another_connection_mends_costs_nothing(code: int, gateway: Running) -> None:
    """8 within a session without replay: the gateway says it, ends, and the next connection replays."""
    gateway.fault(f"error@live.records:after=300,code={code}")
    kept = Kept()
    with gateway.feed(kept):
        kept.wait(lambda: kept.n >= N if code != 8 else kept.holes)
    text = {6: "gateway failed", 7: "left records out", 8: "does not reach back"}[code]
    assert sum(text in line for line in kept.lines) == (2 if code == 8 else 1)
    if code != 8:
        assert is_like(kept.records, OF_H6)


def test_a_limit_is_borne_for_a_while_once_a_connection_has_stood(gateway: Running) -> None:
    """What broke may be counted still; without the patience for it the feed would end."""
    gateway.fault("close@live.records:after=200")
    gateway.fault("auth@live.auth:code=429,skip=1,times=3")
    kept = Kept()
    with gateway.feed(kept, limit_s=20.0):
        kept.wait(lambda: kept.n >= N)
    assert is_like(kept.records, OF_H6)
    other = Kept()
    gateway.fault("close@live.records:after=200")
    gateway.fault("auth@live.auth:code=429,skip=1,times=0")
    with gateway.feed(other, limit_s=0.05, tail=OF_H6[:100]) as feed:
        assert feed.wait(20)
    assert "connection limit" in other.states[-1].alarm
