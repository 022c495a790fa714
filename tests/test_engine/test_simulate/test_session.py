"""The simulated session, judged by Databento's own decoder and by a slow book that knows each order's place in its queue."""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.simulate.session import PRODUCTS, SimulationSummary, simulate, simulate_days
from tests.test_engine.test_simulate.slow_book import LAST, SNAPSHOT, START_NS, decode, open_store, walked

TICK = 250_000_000
UNDEFINED = 2**63 - 1
SECONDS = 60.0
SEED = 7


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulationSummary, NDArray[np.void]]:
    """One minute at the usual rate: what was said of it, and its decoded records."""
    path = tmp_path_factory.mktemp("simulated") / "session.dbn"
    summary = simulate(path, seed=SEED, seconds=SECONDS)
    return summary, decode(path)


def test_every_event_fits_the_book_before_it(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, records = session
    quotes, _ = walked(str(summary.path))
    assert len(quotes) - 1 == summary.n_events
    assert (quotes[0][1] + quotes[0][2]) / 2e9 == summary.open_price
    assert (quotes[-1][1] + quotes[-1][2]) / 2e9 == summary.close_price
    counts = Counter(records["action"][summary.n_snapshot :].tobytes().decode())
    assert counts["T"] == summary.n_trades > 1000
    assert min(counts[action] for action in "ACMF") > 1000


def test_databento_decodes_the_very_records_that_were_written(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, records = session
    assert summary.n_records == len(records)
    assert summary.n_bytes == summary.path.stat().st_size
    assert summary.path.read_bytes().endswith(records.tobytes())
    assert np.all(records["length"] == 14)
    assert np.all(records["rtype"] == 160)
    assert np.all(records["instrument_id"] == summary.instrument_id)


def test_metadata_is_that_of_a_delivered_file(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, _ = session
    metadata = open_store(summary.path).metadata
    assert (metadata.version, metadata.dataset, str(metadata.schema)) == (3, "GLBX.MDP3", "mbo")
    assert (str(metadata.stype_in), str(metadata.stype_out)) == ("raw_symbol", "instrument_id")
    assert (metadata.start, metadata.end) == (summary.start_ns, summary.end_ns)
    assert (summary.start_ns, summary.end_ns) == (START_NS, START_NS + 60 * 10**9)
    assert metadata.symbols == ["MNQH6"]
    interval = {"start_date": date(2026, 2, 6), "end_date": date(2026, 2, 7), "symbol": str(summary.instrument_id)}
    assert metadata.mappings == {"MNQH6": [interval]}


def test_mapping_covers_every_utc_day_of_the_session(tmp_path: Path) -> None:
    simulate(tmp_path / "x.dbn", seed=1, seconds=7200.0, rate=1.0, start="2026-02-06T18:00")
    (interval,) = open_store(tmp_path / "x.dbn").metadata.mappings["MNQH6"]
    assert (interval["start_date"], interval["end_date"]) == (date(2026, 2, 6), date(2026, 2, 8))


def test_snapshot_has_the_documented_form(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, records = session
    snapshot = records[: summary.n_snapshot]
    clear, adds = snapshot[0], snapshot[1:]
    assert chr(clear["action"]) + chr(clear["side"]) == "RN"
    assert (clear["flags"], clear["price"], clear["size"], clear["order_id"]) == (SNAPSHOT, UNDEFINED, 0, 0)
    assert clear["ts_event"] == START_NS
    assert set(adds["action"].tobytes().decode()) == {"A"}
    assert np.all(adds["flags"][:-1] == SNAPSHOT)
    assert adds["flags"][-1] == SNAPSHOT | LAST
    assert np.all(snapshot["ts_recv"] == START_NS)
    assert np.all(adds["ts_event"] < START_NS)
    assert adds["ts_event"].min() < START_NS - 3600 * 10**9, "some orders are hours old"
    by_id = adds[np.argsort(adds["order_id"])]
    assert np.all(np.diff(by_id["ts_event"].astype(np.int64)) >= 0), "older orders have lower ids"
    assert np.all(records["flags"][summary.n_snapshot :] & SNAPSHOT == 0)


def test_times_and_sequence_run_forward(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, records = session
    assert np.array_equal(records["sequence"], np.arange(1, len(records) + 1))
    live = records[summary.n_snapshot :]
    delay = live["ts_recv"].astype(np.int64) - live["ts_event"].astype(np.int64)
    assert live["ts_event"][0] > START_NS
    assert np.all(np.diff(live["ts_event"].astype(np.int64)) >= 0)
    assert np.all(np.diff(live["ts_recv"].astype(np.int64)) >= 0)
    assert live["ts_recv"][-1] < summary.end_ns
    assert delay.min() >= 50_000
    assert delay.max() < 2_000_000
    assert live["ts_in_delta"].min() > 5_000
    assert live["ts_in_delta"].max() < 50_000


def test_market_is_alive_and_tight(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    quotes, sizes = walked(str(session[0].path))
    table = np.array(quotes)
    assert np.all(table[:, 1:] % TICK == 0)
    spread = (table[:, 2] - table[:, 1]) // TICK
    assert np.mean(spread <= 2) > 0.9
    assert 0.02 < np.mean(spread == 2) < 0.4
    assert spread.max() <= 20
    mids = mid_by_bin(table, 100_000_000)
    assert 0.05 < np.mean(np.diff(mids) != 0) < 0.9
    assert max(run_lengths(np.diff(mids) == 0)) < 100, "the price stood still for ten seconds"
    assert np.ptp(mids) / TICK > 8
    levels, orders = np.array(sizes).T
    assert levels.min() > 600
    assert levels.max() < 1200
    assert orders.min() > 1500
    assert orders.max() < 4000


def mid_by_bin(table: NDArray[np.int64], width_ns: int) -> NDArray[np.float64]:
    """Mid at the end of each bin of the session."""
    ends = np.arange(START_NS + width_ns, table[-1, 0], width_ns)
    last = np.searchsorted(table[:, 0], ends, side="right") - 1
    return table[last, 1:].mean(axis=1)


def run_lengths(flags: NDArray[np.bool_]) -> list[int]:
    """Lengths of the runs of true flags, and a zero."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [0, *(edges[1::2] - edges[::2]).tolist()]


def test_arrivals_cluster(session: tuple[SimulationSummary, NDArray[np.void]]) -> None:
    summary, records = session
    ends = records[summary.n_snapshot :]
    ends = ends[ends["flags"] == LAST]
    counts = np.bincount((ends["ts_event"] - START_NS).astype(np.int64) // 100_000_000)
    assert counts.var() / counts.mean() > 3, "counts of a Poisson process would have a ratio of 1"


@pytest.mark.parametrize(("seed", "rate"), [(1, 50.0), (2, 400.0), (3, 1000.0), (4, 1000.0), (5, 4000.0)])
def test_rate_is_the_one_asked_for(tmp_path: Path, seed: int, rate: float) -> None:
    summary = simulate(tmp_path / "x.dbn", seed=seed, seconds=SECONDS, rate=rate)
    assert (summary.n_records - summary.n_snapshot) / SECONDS == pytest.approx(rate, rel=0.4), "a minute may be a busy one"


@pytest.mark.parametrize(("seed", "rate"), [(1, 50.0), (1, 400.0), (2, 400.0), (3, 1000.0), (4, 1000.0)])
def test_a_quarter_of_an_hour_is_near_the_rate(tmp_path: Path, seed: int, rate: float) -> None:
    summary = simulate(tmp_path / "x.dbn", seed=seed, seconds=900.0, rate=rate)
    assert (summary.n_records - summary.n_snapshot) / 900.0 == pytest.approx(rate, rel=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_flow_moves_the_price_now_and_tells_little_of_the_next_second(tmp_path: Path, seed: int) -> None:
    """Signed volume of a second against the change of the traded price in that second and in the next."""
    summary = simulate(tmp_path / "x.dbn", seed=seed, seconds=900.0)
    records = decode(summary.path)
    trades = records[records["action"] == ord("T")]
    is_buy = trades["side"] == ord("B")
    second = ((trades["ts_event"] - START_NS) // 10**9).astype(np.int64)
    flow = np.bincount(second, weights=np.where(is_buy, 1.0, -1.0) * trades["size"])
    ends = np.searchsorted(second, np.arange(len(flow)), side="right") - 1
    moves = np.diff(trades["price"][ends]) / TICK
    same = np.corrcoef(flow[1:], moves)[0, 1]
    following = np.corrcoef(flow[1:-1], moves[1:])[0, 1]
    assert 0.3 < same < 0.9
    assert -0.3 < following < 0.3
    assert 0.5 < moves.std() < 12
    assert abs(summary.close_price - summary.open_price) < 250, "a quarter of an hour moves it by at most 1,000 ticks"


@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_same_arguments_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        simulate(tmp_path / (name + suffix), seed=SEED, seconds=5.0)
    assert (tmp_path / ("a" + suffix)).read_bytes() == (tmp_path / ("b" + suffix)).read_bytes()


def test_compression_changes_no_record(tmp_path: Path) -> None:
    for name in ("a.dbn", "a.dbn.zst"):
        simulate(tmp_path / name, seed=SEED, seconds=5.0)
    assert np.array_equal(decode(tmp_path / "a.dbn"), decode(tmp_path / "a.dbn.zst"))
    assert (tmp_path / "a.dbn.zst").stat().st_size < (tmp_path / "a.dbn").stat().st_size / 2


def test_other_seeds_give_other_sessions(tmp_path: Path) -> None:
    found = {simulate_bytes(tmp_path, seed=seed) for seed in (0, 1, 2, 2**63 - 1)}
    assert len(found) == 4


def test_a_longer_session_begins_like_a_shorter_one(tmp_path: Path) -> None:
    simulate(tmp_path / "short.dbn", seed=SEED, seconds=3.0)
    simulate(tmp_path / "long.dbn", seed=SEED, seconds=6.0)
    short, long = decode(tmp_path / "short.dbn"), decode(tmp_path / "long.dbn")
    assert np.array_equal(short, long[: len(short)])


def test_the_first_of_several_days_is_the_session_of_one(tmp_path: Path) -> None:
    alone = simulate(tmp_path / "alone.dbn", seed=SEED, seconds=5.0, start="2026-02-05T09:00")
    first, second = simulate_days(
        tmp_path / "20260205.dbn", days=2, seed=SEED, seconds=5.0, start="2026-02-05T09:00", chunk_records=1
    )
    assert first.path.read_bytes() == alone.path.read_bytes()
    assert replace(first, path=alone.path) == alone
    assert (second.path.name, second.start_ns - first.start_ns) == ("20260206.dbn", 86_400 * 10**9)


def test_chunks_leave_no_trace(tmp_path: Path) -> None:
    whole = simulate_bytes(tmp_path, seed=SEED, seconds=30.0)
    assert simulate_bytes(tmp_path, seed=SEED, seconds=30.0, chunk_records=1) == whole


def simulate_bytes(folder: Path, seconds: float = 1.0, **how: Any) -> bytes:
    path = folder / "session.dbn"
    simulate(path, seconds=seconds, **how)
    return path.read_bytes()


@pytest.mark.parametrize("jit", ["0", "1"])
def test_another_process_gives_the_same_bytes_compiled_or_not(tmp_path: Path, jit: str) -> None:
    ours = simulate_bytes(tmp_path, seed=SEED, seconds=3.0)
    code = "import sys; from pathlib import Path; from engine.simulate.session import simulate; "
    code += f"simulate(Path(sys.argv[1]), seed={SEED}, seconds=3.0)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "theirs.dbn")],
        env=os.environ | {"NUMBA_DISABLE_JIT": jit},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "theirs.dbn").read_bytes() == ours


@pytest.mark.parametrize("root", sorted(PRODUCTS))
def test_every_product_trades_on_its_own_tick(tmp_path: Path, root: str) -> None:
    tick_size, open_price = PRODUCTS[root]
    summary = simulate(tmp_path / "x.dbn", seed=3, seconds=2.0, symbol=f"{root}M6")
    prices = decode(summary.path)["price"][1:]
    assert np.all(prices % round(tick_size * 1e9) == 0)
    assert prices.min() > 0
    assert summary.open_price == pytest.approx(open_price, abs=tick_size)
    assert open_store(summary.path).metadata.symbols == [f"{root}M6"]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-02-06T09:00", datetime(2026, 2, 6, 14, tzinfo=UTC)),
        ("2026-07-06T09:00:30.25", datetime(2026, 7, 6, 13, 0, 30, 250_000, tzinfo=UTC)),
        ("2026-02-06T09:00Z", datetime(2026, 2, 6, 9, tzinfo=UTC)),
        ("2026-02-06T09:00+01:00", datetime(2026, 2, 6, 8, tzinfo=UTC)),
        (datetime(2026, 2, 6, 9), datetime(2026, 2, 6, 14, tzinfo=UTC)),
    ],
)
def test_start_is_new_york_time_unless_it_has_an_offset(tmp_path: Path, start: str | datetime, expected: datetime) -> None:
    summary = simulate(tmp_path / "x.dbn", seed=1, seconds=0.1, start=start)
    assert summary.start_ns == round(expected.timestamp() * 1000) * 1_000_000
    assert decode(summary.path)["ts_recv"][0] == summary.start_ns


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"seed": -1}, "seed was -1"),
        ({"seed": 2**63}, "seed was 9223372036854775808"),
        ({"seconds": 0.0}, "seconds was 0"),
        ({"seconds": float("nan")}, "seconds was nan"),
        ({"seconds": 1e9}, "at most 604800"),
        ({"rate": 0.5}, "rate was 0.5"),
        ({"rate": float("inf")}, "rate was inf"),
        ({"seconds": 604_800.0, "rate": 20_000.0}, "would exceed"),
        ({"start": "tomorrow"}, "start was 'tomorrow'"),
        ({"start": "1899-01-01T00:00"}, "its year must be"),
        ({"symbol": "MNQ"}, "symbol was 'MNQ'"),
        ({"symbol": "MNQA6"}, "a month letter"),
        ({"symbol": "XYZH6"}, "a root of MNQ"),
        ({"symbol": "MNQH6-MNQM6"}, "symbol was 'MNQH6-MNQM6'"),
        ({"out": "session.csv"}, "must end in .dbn or .dbn.zst"),
        ({"out": "nowhere/session.dbn"}, "there is no folder"),
        ({"out": "taken.dbn"}, "which is a folder"),
    ],
)
def test_bad_arguments_are_refused_in_one_line_and_write_nothing(tmp_path: Path, bad: dict[str, Any], said: str) -> None:
    (tmp_path / "taken.dbn").mkdir()
    arguments = {"seed": 1, "seconds": 1.0, "out": "session.dbn"} | bad
    out = tmp_path / arguments.pop("out")
    with pytest.raises(ConfigError) as refused:
        simulate(out, **arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.dbn"]


@pytest.mark.parametrize("name", ["session.dbn", "session.dbn.zst"])
def test_a_stopped_simulation_leaves_the_old_file_and_no_other(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    simulate(path, seed=1, seconds=1.0)
    before = path.read_bytes()

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(path, seed=2, seconds=60.0, progress=stop)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_progress_rises_to_the_whole(tmp_path: Path) -> None:
    shares: list[float] = []
    simulate(tmp_path / "x.dbn", seed=1, seconds=100.0, progress=shares.append, chunk_records=1)
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_half_an_hour_takes_seconds(tmp_path: Path) -> None:
    simulate(tmp_path / "warm.dbn", seed=1, seconds=1.0)
    begun = time.process_time()
    summary = simulate(tmp_path / "x.dbn", seed=1, seconds=1800.0)
    assert time.process_time() - begun < 10.0
    assert summary.n_records > 1_500_000
