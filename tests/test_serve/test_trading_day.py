"""Streams of a trading day and of a product's front month: which files, whose contract, which bins, what is refused."""

import datetime as dt
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.dataset.sealed import Seal, seals_folder
from engine.errors import ConfigError, DatasetError
from engine.lake import Lake
from engine.source.records import open_source
from serve.champion import ChampionWatcher
from serve.days import Days
from serve.frames import BinFrames, decode_header
from serve.hub import key_of
from serve.request import StreamRequest, read_request
from serve.session import Session
from serve.settings import StreamDefaults
from tests.feed import start_ns
from tests.streams import build_up, record, to_array, write_dbn

CONFIG = load_instrument()
FIFTH, SIXTH = dt.date(2026, 2, 5), dt.date(2026, 2, 6)
MIDNIGHT = start_ns(SIXTH)
H, S = 3600 * 10**9, 10**9
ROLL = "root: MNQ\nrolls:\n  - {date: 2026-02-06, from: MNQH6, to: MNQM6, rule: volume}\n"


def day_file(folder: Path, contract: str, day: dt.date, seconds: list[int]) -> Path:
    """A snapshot at midnight and orders, so many seconds from the sixth's midnight."""
    rows = to_array([*build_up(), *(record("A", 10_000 + s, tick=-1) for s in seconds)])
    rows["instrument_id"] = number = 1 if contract == "MNQH6" else 2
    times = [start_ns(day)] * len(build_up()) + [MIDNIGHT + s * S for s in seconds]
    rows["ts_event"] = times
    rows["ts_recv"] = np.array(times) + 1000
    path = folder / f"{contract.lower()}-{day:%Y%m%d}.dbn"
    return write_dbn(path, rows, {contract: number}, day, end_ns=start_ns(day) + 24 * H)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    one = Lake(tmp_path)
    folder = one.raw_dir("MNQ")
    folder.mkdir(parents=True)
    for contract in ("MNQH6", "MNQM6"):
        day_file(folder, contract, FIFTH, [-7200, -3598, -2])
        day_file(folder, contract, SIXTH, [3, 79_199, 79_201])
    (tmp_path / "rolls").mkdir()
    (tmp_path / "rolls/MNQ.yaml").write_text(ROLL)
    return one


def read(lake: Lake, defaults: StreamDefaults | None = None, **query: str) -> StreamRequest:
    return read_request(list(query.items()), CONFIG, lake, defaults or StreamDefaults())


def named(request: StreamRequest) -> tuple[str, list[str]]:
    return request.config.symbol, [path.name for path in (*request.before, request.dbn)]


@pytest.mark.parametrize(
    ("query", "contract", "files"),
    [
        ({}, "MNQH6", ["mnqh6-20260206.dbn"]),
        ({"session": "utc_day", "symbol": "MNQH6"}, "MNQH6", ["mnqh6-20260206.dbn"]),
        ({"session": "trading_day"}, "MNQH6", ["mnqh6-20260205.dbn", "mnqh6-20260206.dbn"]),
        ({"session": "trading_day", "symbol": "MNQ"}, "MNQM6", ["mnqm6-20260205.dbn", "mnqm6-20260206.dbn"]),
        ({"symbol": "MNQ", "dt": "2026-02-05"}, "MNQH6", ["mnqh6-20260205.dbn"]),
        ({"symbol": "MNQ", "dt": "2026-02-05", "start_time": "17:59:59"}, "MNQH6", ["mnqh6-20260205.dbn"]),
        ({"symbol": "MNQ", "dt": "2026-02-05", "start_time": "18:00"}, "MNQM6", ["mnqm6-20260205.dbn"]),
    ],
)
def test_a_query_names_contract_and_files(query: dict[str, str], contract: str, files: list[str], lake: Lake) -> None:
    assert named(read(lake, **query)) == (contract, files)


def test_windows_end_at_the_roll_and_at_the_close(lake: Lake) -> None:
    assert read(lake, symbol="MNQ", dt="2026-02-05").source(CONFIG).window == (start_ns(FIFTH), MIDNIGHT - H)
    assert read(lake, session="trading_day").source(CONFIG).window == (MIDNIGHT - H, MIDNIGHT + 22 * H)
    assert read(lake).source(CONFIG).window == (MIDNIGHT, MIDNIGHT + 24 * H)


def test_another_contract_than_the_locked_one_is_scored_by_no_champion(lake: Lake) -> None:
    assert read(lake, symbol="MNQ", dt="2026-02-05").model == "champion"  # the locked contract still
    assert read(lake, symbol="MNQ").model == "instrument"
    for model in ("champion", "3"):
        with pytest.raises(ConfigError, match=f"model was {model}, which was judged on another contract"):
            read(lake, symbol="MNQ", model=model)


def test_what_cannot_be_is_refused_in_one_line(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="session was 'night'; it must be one of utc_day, trading_day"):
        read(lake, session="night")
    with pytest.raises(ConfigError, match="ES was asked for"):
        read(lake, symbol="ES")
    with pytest.raises(DatasetError, match="dt was 2026-02-04"):
        read(lake, session="trading_day", dt="2026-02-05")
    (lake.root / "rolls/MNQ.yaml").unlink()
    with pytest.raises(DatasetError, match="MNQ.yaml does not exist"):
        read(lake, symbol="MNQ")


@pytest.mark.parametrize("sealed", ["2026-02-05", "2026-02-06"])
def test_a_trading_day_is_sealed_with_either_of_its_utc_days(sealed: str, lake: Lake) -> None:
    seals_folder(lake).mkdir(parents=True)
    seal = Seal("held", "2026-02-10T00:00:00", "MNQH6", sealed, 0, 1, "", (), (), 0)
    (seals_folder(lake) / "held.json").write_text(json.dumps(vars(seal)))
    with pytest.raises(ConfigError, match=f"dt was {sealed}, a day of MNQH6 with a sealed session"):
        read(lake, session="trading_day")
    assert named(read(lake, session="trading_day", symbol="MNQ"))[0] == "MNQM6"  # of that contract nothing is held out
    read(lake, StreamDefaults(sealed_ok=True), session="trading_day")


def test_sessions_are_shared_by_what_is_played_and_by_every_file(lake: Lake) -> None:
    queries: list[dict[str, str]] = [
        {}, {"session": "trading_day"}, {"session": "trading_day", "symbol": "MNQ"}, {"symbol": "MNQ", "model": "instrument"},
    ]  # fmt: skip
    keys = [key_of(read(lake, **query)) for query in queries]
    assert len(set(keys)) == len(keys)
    assert key_of(read(lake, session="trading_day")) == keys[1]
    os.utime(lake.raw_dir("MNQ") / "mnqh6-20260205.dbn", ns=(1, 1))  # the evening before
    assert key_of(read(lake, session="trading_day")) != keys[1]
    assert key_of(read(lake)) == keys[0]


def test_a_stream_of_a_trading_day_begins_with_the_roll_and_says_its_kind(lake: Lake) -> None:
    """From 23:00:02 on; the first bin is the new contract's first and is marked so, the second is not."""
    request = read(lake, session="trading_day", symbol="MNQ", speed="0")
    watcher = ChampionWatcher(lake, CONFIG, 1.0)
    with ThreadPoolExecutor(1) as aside:
        session = Session(request, lambda: watcher.serving, aside)
        session.open()
        frames = [item for item in session.turn(2) if isinstance(item, BinFrames)]
        told = session.config_frame().text
        session.close()
    headers = [decode_header(one.header(0)) for one in frames]
    assert [int(one["quality"]) & 128 for one in headers] == [128, 0]
    assert int(headers[0]["bin_start_ns"]) == MIDNIGHT - H + 2 * S
    assert '"kind":"trading_day"' in told.replace(" ", "")
    assert '"symbol":"MNQM6"' in told.replace(" ", "")


def test_days_of_a_lake_are_the_locked_contracts_even_where_two_lie_side_by_side(lake: Lake) -> None:
    (lake.raw_dir("MNQ") / "mnqh6-20260206.dbn").unlink()
    told = Days(lake, CONFIG, assumes_symbol=False, sealed_ok=False).told()
    assert [(one["dt"], one["can_play"], one.get("file")) for one in told] == [
        ("2026-02-06", False, None),
        ("2026-02-05", True, "mnqh6-20260205.dbn"),
    ]
    assert told[0]["reason"] == "its files are of other contracts than MNQH6"


def test_the_whole_session_is_that_of_the_files_read_in_order(lake: Lake) -> None:
    request = read(lake, session="trading_day")
    paths = [lake.raw_dir("MNQ") / name for name in ("mnqh6-20260205.dbn", "mnqh6-20260206.dbn")]
    ours = b"".join(part.tobytes() for part in request.source(CONFIG).records())
    assert ours == b"".join(part.tobytes() for part in open_source(paths, CONFIG, SIXTH, session="trading_day").records())
