"""A feed's states, its clock, a contract that sends nothing, a gateway that is away, and how much it bears."""

import datetime as dt
import io
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.feed import DATASET, FIRST, H6, IDS, SECOND, Kept, is_like, running, start_ns, two_days
from tests.streams import record, to_array, write_dbn

MS = 10**6
S = 10**9
SATURDAY = dt.date(2026, 2, 7)


def tape(folder: Path, day: dt.date, first: dt.time, times_ms: Sequence[int]) -> tuple[Path, NDArray[np.void]]:
    """Records of MNQH6 at milliseconds from a time of day on; MNQM6 is known, and has none."""
    rows = to_array([record("A", i + 1, tick=-1 - i % 5) for i in range(len(times_ms))])
    rows["instrument_id"] = H6
    at = start_ns(day) + (first.hour * 3600 + first.minute * 60 + first.second) * S
    rows["ts_event"] = at + np.array(times_ms) * MS
    rows["ts_recv"] = rows["ts_event"] + 100_000
    rows["sequence"] = np.arange(len(rows)) + 1
    folder.mkdir(exist_ok=True)
    return write_dbn(folder / f"d{day:%Y%m%d}.dbn", rows, IDS, day), rows


def test_known_time_goes_on_while_nothing_comes_and_never_past_what_is_to_come(tmp_path: Path) -> None:
    """Records 400 ms apart: the clock closes what lies between, 200 ms behind it."""
    path, rows = tape(tmp_path / "files", FIRST, dt.time(14), range(0, 2400, 400))
    kept = Kept()
    given: dict[str, Any] = {"heartbeat_s": 0.5, "clock_rate": 1.0, "margin_s": 0.2}
    with running([path], tmp_path / "work", speed=1.0) as gateway, gateway.feed(kept, **given):
        kept.wait(lambda: kept.n >= len(rows) + 1)
        kept.wait(lambda: kept.known[-1][0] > rows["ts_event"][-1] + 500 * MS)
    assert is_like(kept.records[2:], rows[1:])  # the first is the snapshot's, behind its clear
    for ts, n in kept.known:
        assert (rows["ts_event"] <= ts).sum() <= n - 1, ts
    ahead = [ts - int(rows["ts_event"][n - 2]) for ts, n in kept.known if 2 <= n <= len(rows)]
    assert 100 * MS < max(ahead) <= 300 * MS  # of the 400 less 200 of the margin
    told = [ts for ts, _ in kept.known]
    assert told == sorted(set(told))


def test_without_a_rate_only_records_say_what_is_known(tmp_path: Path) -> None:
    path, rows = tape(tmp_path / "files", FIRST, dt.time(14), range(0, 1000, 400))
    kept = Kept()
    with running([path], tmp_path / "work", speed=2.0, heartbeat_s=0.05) as gateway, gateway.feed(kept, heartbeat_s=0.5):
        kept.wait(lambda: sum(one.kind == "quiet" for one in kept.states) >= 8)
    assert {ts for ts, _ in kept.known[1:]} <= set(rows["ts_event"].tolist())


@pytest.mark.parametrize(
    ("day", "first", "kind"),
    [
        (SECOND, dt.time(21, 59, 59), "closed"),  # Friday: the week ends at 16:00 in Chicago, 22:00 UTC
        (SECOND, dt.time(21, 0, 0), "quiet"),
        (SATURDAY, dt.time(12), "closed"),
        (FIRST, dt.time(22, 30), "closed"),  # Thursday's hour of maintenance
        (FIRST, dt.time(23, 30), "quiet"),
    ],
)
def test_only_heartbeats_are_quiet_or_closed_as_the_calendar_says(
    day: dt.date, first: dt.time, kind: str, tmp_path: Path
) -> None:
    path, _ = tape(tmp_path / "files", day, first, [0, 10, 20])
    kept = Kept()
    with running([path], tmp_path / "work", speed=10.0) as gateway, gateway.feed(kept, heartbeat_s=0.2, clock_rate=10.0):
        kept.wait(lambda: sum(one.kind == kind for one in kept.states) >= 3)
        assert kept.states[-1].kind == kind
    assert "dead" not in kept.kinds()
    assert kept.kinds()[:2] == ["connecting", "live"]


@pytest.mark.parametrize(("day", "n_lines"), [(FIRST, 1), (SATURDAY, 0)])
def test_a_contract_that_sends_nothing_in_an_open_session_is_one_line(day: dt.date, n_lines: int, tmp_path: Path) -> None:
    path, _ = tape(tmp_path / "files", day, dt.time(14), [0, 10, 20])
    kept = Kept()
    given: dict[str, Any] = {"symbol": "MNQM6", "heartbeat_s": 0.2, "clock_rate": 1.0, "no_data_s": 0.5}
    with running([path], tmp_path / "work", speed=1.0) as gateway, gateway.feed(kept, **given):
        kept.wait(lambda: sum(one.kind in ("quiet", "closed") for one in kept.states) >= 5)
    lines = [line for line in kept.lines if "MNQM6 has sent nothing" in line]
    assert len(lines) == n_lines
    assert kept.n == 0


def test_a_gateway_that_falls_silent_is_dead_within_two_heartbeats(tmp_path: Path) -> None:
    path, rows = tape(tmp_path / "files", FIRST, dt.time(14), range(0, 3000, 100))
    kept = Kept()
    beat_s = 1.0
    with running([path], tmp_path / "work", speed=1.0) as gateway, gateway.feed(kept, heartbeat_s=beat_s, clock_rate=1.0):
        kept.wait(lambda: kept.n >= 5)
        fault = gateway.fault("stall@live.records")
        assert fault.hit.wait(10)
        silent = time.monotonic()
        kept.wait(lambda: kept.states[-1].kind == "dead")
        assert 1.0 * beat_s < time.monotonic() - silent <= 2.0 * beat_s
        kept.wait(lambda: kept.n >= len(rows) + 1)
    assert is_like(kept.records[2:], rows[1:])


def test_records_behind_the_clock_are_handed_on_and_widen_its_margin(tmp_path: Path) -> None:
    """While a gateway is mute its clock seems to go on: what was said to be known turns out too early, and that is said."""
    path, rows = tape(tmp_path / "files", FIRST, dt.time(14), range(0, 3000, 100))
    kept = Kept()
    with running([path], tmp_path / "work", speed=1.0) as gateway, gateway.feed(kept, heartbeat_s=0.5, clock_rate=1.0):
        kept.wait(lambda: kept.n >= 5)
        assert gateway.fault("stall@live.records").hit.wait(10)
        kept.wait(lambda: kept.n >= len(rows) + 1)
    assert sum("behind the market's clock" in line for line in kept.lines) == 1
    assert is_like(kept.records[2:], rows[1:])


@pytest.mark.parametrize("away_s", [1.5, pytest.param(90.0, marks=pytest.mark.slow)])
def test_a_gateway_that_was_away_is_found_again_at_once(away_s: float, tmp_path: Path) -> None:
    files = two_days(tmp_path / "files")
    kept = Kept()
    with ExitStack() as stack:
        with running(files, tmp_path / "one") as one:
            one.fault("stall@live.records:after=300")
            given: dict[str, Any] = {"first_wait_s": 0.25, "longest_wait_s": 2.0, "budget_s": 1.0, "heartbeat_s": 30.0}
            feed = stack.enter_context(one.feed(kept, **given))
            kept.wait(lambda: kept.n >= 300)
            port = one.ready.live_port
        assert not feed.wait(away_s)
        kept.wait(lambda: kept.states[-1].alarm)
        assert kept.states[-1].kind == "dead"
        with running(files, tmp_path / "two", live_port=port):
            began = time.monotonic()
            kept.wait(lambda: kept.n > 300)
            assert time.monotonic() - began <= 5.0
            kept.wait(lambda: kept.n >= 1200)
    assert kept.n == 1200
    assert len({row.tobytes() for row in kept.records}) == 1200
    assert kept.states[-1].alarm == ""
    assert (
        sum("no connection to the vendor" in line for line in kept.lines) <= 3
    )  # one for each thing that was found, not for each try


def test_a_sink_that_fails_ends_the_feed_with_its_own_error(tmp_path: Path) -> None:
    class Full(Kept):
        def take(self, records: NDArray[np.void]) -> None:
            raise OSError(28, "No space left on device")

    with (
        running(two_days(tmp_path / "files"), tmp_path / "work") as gateway,
        pytest.raises(OSError, match="No space left"),
        gateway.feed(Full()) as feed,
    ):
        assert feed.wait(20)


def test_the_feed_keeps_up_with_the_client_alone(tmp_path: Path) -> None:
    """Decoded, sorted, remembered and handed on, a record costs less than as much again as the client's own work."""
    n = 100_000
    rows = np.tile(to_array([record("A", i + 1, tick=-1 - i % 5) for i in range(1000)]), n // 1000)
    rows["instrument_id"] = H6
    rows["ts_event"] = start_ns(FIRST) + 14 * 3600 * S + np.arange(n) * 10_000
    rows["ts_recv"] = rows["ts_event"] + 100_000
    path = write_dbn(tmp_path / "many.dbn", rows, IDS, FIRST)
    with running([path], tmp_path / "work", closes_at_end=True) as gateway:
        client = gateway.live()
        alone = io.BytesIO()
        client.add_stream(alone)
        client.subscribe(DATASET, "mbo", "MNQH6", start=0)
        began = time.monotonic()
        client.start()
        client.block_for_close(60)
        alone_s = time.monotonic() - began
    assert alone.getbuffer().nbytes > n * 56
    kept = Kept()
    with running([path], tmp_path / "work2") as gateway, gateway.feed(kept):
        kept.wait(lambda: kept.n > 0)
        began = time.monotonic()
        kept.wait(lambda: kept.n >= n, 60)
        feed_s = time.monotonic() - began
    print(f"alone {n / alone_s:.0f}/s, feed {n / feed_s:.0f}/s")
    assert is_like(kept.records, rows)
    assert feed_s < 2 * alone_s
