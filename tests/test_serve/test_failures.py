"""What goes wrong around a stream: a replica that freezes or is killed, a lake that goes away for a while, clocks that step."""

import ast
import io
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.errors import WorkError
from engine.lake import Lake
from engine.trades.record import LiveRecord
from engine.trades.spoken import SpokenRecord
from serve.backlog import Backlog
from serve.client import stream_url
from serve.paper import PaperDesk
from serve.tail import tail
from tests.conftest import REPO_ROOT
from tests.test_serve.conftest import DAY, Promote
from tests.test_serve.own_process import replica
from tests.test_serve.server import Serve, listen
from tests.test_serve.test_paper import promise_by, rules_of

BIN_LINE = re.compile(r"^ *(\d+)  ")
PATIENT_S = 60.0


class Lines(io.TextIOBase):
    """What a tail prints, and when; any thread may wait for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, str]] = []
        self._more = threading.Condition()

    def write(self, text: str) -> int:
        with self._more:
            self.lines += [(time.monotonic(), line) for line in text.splitlines() if line]
            self._more.notify_all()
        return len(text)

    @property
    def bins(self) -> list[int]:
        return [int(found[1]) for _, line in self.lines if (found := BIN_LINE.match(line))]

    def wait_for_bins(self, n_bins: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.bins) >= n_bins, PATIENT_S), self.lines[-3:]

    def wait_for(self, part: str) -> float:
        """When a line with this part was printed, monotonic, s."""
        with self._more:
            assert self._more.wait_for(lambda: any(part in line for _, line in self.lines), PATIENT_S), self.lines[-3:]
            return next(at for at, line in self.lines if part in line)


class Tail:
    """``python -m serve tail`` in a thread."""

    def __init__(self, port: int, n_bins: int, patience_s: float = PATIENT_S) -> None:
        self.out = Lines()
        self.error: BaseException | None = None
        url = stream_url(f"http://127.0.0.1:{port}", [("dt", DAY), ("resume_from", "0")])

        def run() -> None:
            try:
                tail(url, n_bins, None, self.out, patience_s)  # type: ignore[arg-type]
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def join(self) -> None:
        self.thread.join(PATIENT_S)
        assert not self.thread.is_alive()


@pytest.mark.timeout(300)
def test_a_frozen_replica_is_found_within_five_seconds_and_gone_back_to(lake: Lake) -> None:
    with replica(lake.root) as (process, port):
        client = Tail(port, 60)
        client.out.wait_for_bins(10)
        frozen = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        found = client.out.wait_for("no frame and no heartbeat for 3 s; connecting again from bin ")
        assert found - frozen < 5.0
        os.kill(process.pid, signal.SIGCONT)
        client.join()
        assert client.error is None
        assert client.out.bins == list(range(60))  # not one lost, none twice


@pytest.mark.timeout(300)
def test_a_killed_replica_is_gone_back_to_and_the_bins_are_those_of_an_undisturbed_run(lake: Lake) -> None:
    with replica(lake.root) as (process, port):
        client = Tail(port, 60)
        client.out.wait_for_bins(10)
        process.kill()
        process.wait()
        client.out.wait_for("connecting again from bin ")
        with replica(lake.root, port):
            client.join()
            undisturbed = Tail(port, 60)
            undisturbed.join()
    assert client.error is None
    told = [line for _, line in client.out.lines if BIN_LINE.match(line)]
    assert told == [line for _, line in undisturbed.out.lines if BIN_LINE.match(line)]
    assert client.out.bins == list(range(60))


def test_who_does_not_come_back_is_given_up(lake: Lake, serve: Serve) -> None:
    running = serve()
    client = Tail(running.port, 400, patience_s=1.0)
    client.out.wait_for_bins(3)
    running.call(running.service.go_away())
    client.join()
    assert isinstance(client.error, WorkError)
    assert "did not come back within 1 s" in str(client.error)


# --- the lake ---


def test_a_lake_that_goes_away_for_a_while_costs_no_bin_and_no_entry(
    serve: Serve, lake: Lake, config: InstrumentConfig, promote: Promote, tmp_path: Path
) -> None:
    first = promote(lake, promise=promise_by(rules_of()))
    running = serve()
    service = running.service
    elsewhere = tmp_path / "unreachable"
    with running.connect(speed="10") as connection:
        heard = listen(connection, n_bins=50)
        lake.root.rename(elsewhere)
        assert service.health()["status"] == "error"
        service.desk.submit(first, [{"kind": "open", "session": "s", "bin": 1, "entry_ns": 1, "session_start_ns": 1}])
        service.desk.flush()
        listen(connection, n_bins=100, after=heard)
        alarms = service.health()["alarms"]
        assert {alarm["kind"] for alarm in alarms} >= {"record"}
        assert service.watcher.serving.champion == first  # what cannot be read changes nothing
        assert not lake.models.exists()  # nothing was begun in its place
        shutil.rmtree(lake.root, ignore_errors=True)  # what can be made again: kept states, decoded records
        elsewhere.rename(lake.root)
        service.desk.flush()
        service.spoken.flush()
        second = promote(lake, {"d2_weight": 0.5})
        changed = listen(connection, until="runtime_config", after=heard)
        assert changed.texts[-1]["runtime_model"]["version"] == second.version
        rest = listen(connection, after=heard)
        assert rest.texts[-1]["type"] == "end"
    body = service.health()
    assert (body["status"], body["alarms"]) == ("ok", [])
    record = LiveRecord(lake, first.version)
    record.verify()
    record.refresh()
    assert record.n_entries >= 1
    spoken = SpokenRecord(lake, config.symbol)
    spoken.verify()


# --- what waits to be written ---


def test_writes_keep_their_order_while_one_cannot_be_done() -> None:
    backlog, done, is_away = Backlog("test", retry_s=30.0), [], True

    def first() -> None:
        if is_away:
            raise OSError("away")
        done.append("first")

    backlog.put(first)
    backlog.put(lambda: done.append("second"))
    backlog.flush()
    assert (done, len(backlog)) == ([], 2)
    is_away = False
    backlog.flush()  # tries again at once, however long the pause is
    assert (done, len(backlog)) == (["first", "second"], 0)
    backlog.close()


def test_a_write_that_trying_again_would_not_mend_is_told_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    backlog, done = Backlog("test", retry_s=30.0), []

    def broken() -> None:
        raise KeyError("its own fault")

    backlog.put(broken)
    backlog.put(lambda: done.append("next"))
    backlog.flush()
    assert done == ["next"]
    assert "its own fault" in caplog.text
    backlog.close()


def test_what_still_waits_at_the_end_is_tried_once_more_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    backlog, tried = Backlog("test", retry_s=30.0), []

    def away() -> None:
        tried.append(1)
        raise OSError("away")

    backlog.put(away)
    backlog.flush()
    n_before = len(tried)
    backlog.close()
    assert len(tried) == n_before + 1
    assert "1 entries could not be written" in caplog.text
    backlog.put(lambda: None)
    assert "it has ended" in caplog.text


# --- clocks ---


_WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now")}


def wall_clock_calls(path: Path) -> set[str]:
    """Functions of a file that read the wall clock."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    named = node.value.id, node.attr
                    found |= {function.name} if named in _WALL else set()
    return found


def test_no_bin_waits_for_the_wall_clock() -> None:
    """It may step: all that paces, times out or retries goes by the monotonic clock; what reads the other one only notes it."""
    noted = {
        "_now",  # of records, alarms and changes
        "_next_block",  # when a bin's records came and its rows were ready, for the latency log
        "_before",  # the same of a live day
        "_send",
        "_send_bin",  # when a bin was sent, for the latency log; a heartbeat's own time
        "_beat",
        "look",  # since when the feed has an alarm, and how old its newest record is, for /health
        "live_day",  # which day it is where nothing has been recorded yet
        "read_recording",  # whether the day that is asked for is today
        "refuse_settings",  # since when settings are refused, for /health
    }
    for path in sorted((REPO_ROOT / "serve").glob("*.py")):
        assert wall_clock_calls(path) <= noted, path.name
    for name in ("pacing.py", "backlog.py", "standing.py", "tail.py", "hub.py", "shared.py", "private.py"):
        assert not wall_clock_calls(REPO_ROOT / "serve" / name), name


def test_a_record_goes_by_its_chain_and_not_by_the_clock(lake: Lake, promote: Promote) -> None:
    champion = promote(lake, promise=promise_by(rules_of()))
    desk = PaperDesk(lake)
    common: dict[str, Any] = {"kind": "open", "session": "s", "session_start_ns": 1}
    record = LiveRecord(lake, champion.version)
    record.append([common | {"bin": 2, "entry_ns": 2, "written_at": "2026-02-07T12:00:00.000+00:00"}])
    record.append([common | {"bin": 1, "entry_ns": 1, "written_at": "2026-02-07T11:00:00.000+00:00"}])  # an hour earlier
    record.verify()
    assert desk.trouble(champion) is None
    told = desk.told(champion)
    assert told is not None
    assert told["n_entries"] == 2
    desk.close()
