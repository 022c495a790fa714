"""A trading day out of two UTC days' files, and a roll: values by hand, through the replay, the lake and the command line."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.cli import main
from engine.config import load_instrument
from engine.dataset.capture import publish_replay, publish_variant
from engine.dataset.read import Dataset
from engine.errors import ConfigError
from engine.lake import Lake
from engine.run.extent import extent_of
from engine.run.replay import Replay, first_bin_ns
from engine.source.decoded import decode_once
from engine.source.follow import Batch
from engine.source.records import Source, open_source
from engine.source.rolls import Stretch
from engine.source.sessions import wanted
from tests.feed import start_ns
from tests.following import follow
from tests.reference import F_SNAPSHOT, Record
from tests.sessions import join, small_config
from tests.streams import OPEN, build_up, record, to_array, write_dbn

FIFTH, SIXTH, SEVENTH = (dt.date(2026, 2, day) for day in (5, 6, 7))
MIDNIGHT = start_ns(SIXTH)
H = 3600 * 10**9
S = 10**9
CONFIG = small_config(cell_width_ms=1000)
M6 = 77


def moved(records: list[Record], at_ns: int) -> list[Record]:
    """Records that were written for 09:00, from another time on."""
    shift = at_ns - OPEN
    return [Record(**{**vars(r), "ts_event": r.ts_event + shift, "ts_recv": r.ts_recv + shift}) for r in records]


def add(order_id: int, at_ns: int, tick: int = -1) -> Record:
    return moved([record("A", order_id, side="B", tick=tick)], at_ns)[0]


def first_file(folder: Path, end_ns: int | None = MIDNIGHT, name: str = "mnqh6-20260205.dbn") -> Path:
    """The fifth: a snapshot at midnight, an order at 20:00, the evening's session from 23:00:02 on, orders to 23:59:59."""
    rows = [
        *moved(build_up(), start_ns(FIFTH)),
        add(10, start_ns(FIFTH) + 20 * H),
        add(11, start_ns(FIFTH) + 23 * H + 2 * S),
        add(12, start_ns(FIFTH) + 23 * H + 3 * S),
        add(13, MIDNIGHT - S),
    ]
    return write_dbn(folder / name, to_array(rows), day=FIFTH, end_ns=end_ns)


def second_file(folder: Path, name: str = "mnqh6-20260206.dbn") -> Path:
    """The sixth: a snapshot of that book, orders a second after midnight, at 21:59:59 and 22:00, and in the evening."""
    resting = [record("A", number, side="B", tick=-1, flags=F_SNAPSHOT) for number in (10, 11, 12, 13)]
    opening = build_up()
    rows = [
        *moved([opening[0], *resting, *opening[1:]], MIDNIGHT),
        add(14, MIDNIGHT + S),
        add(15, MIDNIGHT + 22 * H - S),
        add(16, MIDNIGHT + 22 * H),
        add(17, MIDNIGHT + 23 * H),
    ]
    return write_dbn(folder / name, to_array(rows), day=SIXTH, end_ns=MIDNIGHT + 24 * H)


def trading_day(paths: list[Path], day: dt.date = SIXTH) -> Source:
    return open_source(paths, CONFIG, day, session="trading_day")


def ids(source: Source, chunk: int = 4096) -> list[int]:
    return [int(n) for part in source.records(chunk) for n in part["order_id"] if n < 1000]


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_trading_days_bins_are_those_from_its_opening_to_its_close(suffix: str, tmp_path: Path) -> None:
    """From the first event at 23:00:02, 22:59:58 of bins to 22:00: the record on the close is the next day's."""
    paths = [
        first_file(tmp_path, name=f"mnqh6-20260205.dbn{suffix}"),
        second_file(tmp_path, name=f"mnqh6-20260206.dbn{suffix}"),
    ]
    replay = Replay(trading_day(paths), CONFIG, checkpoints=tmp_path / "books")
    bins = join(replay).fields
    assert (len(bins), int(bins["bin_start_ns"][0])) == (23 * 3600 - 2, MIDNIGHT - H + 2 * S)
    assert int(bins["bin_end_ns"][-1]) == MIDNIGHT + 22 * H
    counts = {int(i): int(bins["bin_event_count"][i]) for i in np.flatnonzero(bins["bin_event_count"])}
    # 11 opens the first bin; 13 a second before midnight; 14 a second after it; 15 in the last. The snapshot of 17 is left out.
    assert counts == {0: 1, 1: 1, 3597: 1, 3599: 1, 82797: 1}
    assert bins["best_bid_size"][[0, -1]].tolist() == [5 + 2, 5 + 6]
    assert not (bins["quality"] & 128).any()
    assert replay.anomalies == {"outside_window": 2}


def test_the_midnight_snapshot_is_no_burst_of_orders_and_utc_days_keep_it(tmp_path: Path) -> None:
    """Left out where the day's files join; read where a session begins with it, where a file is missing between, or was cut."""
    first, second = first_file(tmp_path), second_file(tmp_path)
    both = [10, 11, 12, 13, 14, 15, 16, 17]
    for chunk in (1, 3, 4096):
        assert ids(trading_day([first, second]), chunk) == [0, *both]  # the clear that opens the first file
    whole = [0, *both[:4], 0, 10, 11, 12, 13, *both[4:]]
    assert ids(open_source([first, second], CONFIG, SIXTH)) == whole
    assert ids(trading_day([first, second], SEVENTH)) == whole  # it lies before that session: the book begins anew there
    assert ids(trading_day([first_file(tmp_path, end_ns=MIDNIGHT - 1, name="a-20260205.dbn"), second])) == whole
    assert ids(trading_day([first_file(tmp_path, end_ns=None, name="b-20260205.dbn"), second])) == whole
    cut_short = tmp_path / "c-20260205.dbn"
    cut_short.write_bytes(first.read_bytes()[:-1])
    assert ids(trading_day([cut_short, second])) == [n for n in whole[:4] + whole[5:]]


def test_reading_goes_on_from_any_place_behind_the_midnight_snapshot(tmp_path: Path) -> None:
    paths = [first_file(tmp_path), second_file(tmp_path)]
    source = trading_day(paths)
    whole: list[tuple[Any, bytes]] = [(source.place, bytes(part.tobytes())) for part in source.records(3)]
    for i, (place, _) in enumerate(whole):
        parts = b"".join(bytes(part.tobytes()) for part in trading_day(paths).records(3, place))
        rest = b"".join(part for _, part in whole)[place.n_before * 56 :]
        assert parts == rest, i


def test_decoded_records_of_a_trading_day_and_of_a_utc_day_lie_apart(tmp_path: Path) -> None:
    paths = [first_file(tmp_path, name="mnqh6-20260205.dbn.zst"), second_file(tmp_path, name="mnqh6-20260206.dbn.zst")]
    one = decode_once(trading_day(paths), tmp_path / "kept", MIDNIGHT + 22 * H)
    other = decode_once(open_source(paths, CONFIG, SIXTH), tmp_path / "kept", MIDNIGHT + 22 * H)
    assert ids(one) == [0, 10, 11, 12, 13, 14, 15, 16, 17]  # no record of the session itself shows that it is over
    assert ids(other) == [0, 10, 11, 12, 13, 0, 10, 11, 12, 13, 14, 15, 16]  # here the record at that time does
    assert one.window == (MIDNIGHT - H, MIDNIGHT + 22 * H)


def test_start_times_are_those_of_the_session(tmp_path: Path) -> None:
    source = trading_day([first_file(tmp_path), second_file(tmp_path)])
    assert first_bin_ns(source, "18:00") == MIDNIGHT - H
    assert first_bin_ns(source, "16:59:59") == MIDNIGHT + 22 * H - S
    assert first_bin_ns(source, "09:30") == MIDNIGHT + 14 * H + H // 2
    for outside in ("17:00", "17:59:59"):
        with pytest.raises(
            ConfigError, match=f"the start time was {outside}, which is not in the trading_day session of 2026-02-06"
        ):
            first_bin_ns(source, outside)


def test_extent_of_a_trading_day_ends_at_its_close(tmp_path: Path) -> None:
    source = trading_day([first_file(tmp_path), second_file(tmp_path)])
    extent = extent_of(source, CONFIG, "18:00")
    assert extent is not None
    assert (extent.start_ns, extent.end_ns) == (MIDNIGHT - H, MIDNIGHT + 22 * H)


def of_m6(path: Path, day: dt.date) -> Path:
    """The same file as the next contract's, a dollar higher."""
    source = open_source([path], load_instrument(), day)
    rows = np.concatenate(list(source.records())).copy()
    rows["instrument_id"] = M6
    rows["price"][rows["price"] < 2**62] += 10**9
    out = path.with_name(path.name.replace("mnqh6", "mnqm6"))
    return write_dbn(out, rows, {"MNQM6": M6}, day, end_ns=start_ns(day) + 24 * H)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Both contracts on both days, and a roll on the sixth: from the fifth's evening on."""
    one = Lake(tmp_path / "lake")
    folder = one.raw_dir("MNQ")
    folder.mkdir(parents=True)
    for path, day in ((first_file(folder), FIFTH), (second_file(folder), SIXTH)):
        of_m6(path, day)
    rolls = one.root / "rolls"
    rolls.mkdir()
    (rolls / "MNQ.yaml").write_text("root: MNQ\nrolls:\n  - {date: 2026-02-06, from: MNQH6, to: MNQM6, rule: calendar}\n")
    return one


SMALL = [f"--set={name}" for name in ("cell_width_ms=1000", "grid_radius_ticks=5", "n_absolute_ticks=128")]


def published(lake: Lake, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Dataset]:
    code = main(["replay", "--publish", "--json", *SMALL, "--lake", str(lake.root), *arguments])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    told = json.loads(printed.out)
    return [Dataset.open(lake, one["dataset_id"]) for one in (told if isinstance(told, list) else [told])]


def test_a_roll_in_a_utc_day_ends_one_dataset_and_begins_the_next(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = published(lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-05")
    roll = MIDNIGHT - H
    assert [one.manifest["config"]["symbol"] for one in (old, new)] == ["MNQH6", "MNQM6"]
    assert (old.manifest["end_ns"], new.manifest["start_ns"]) == (
        MIDNIGHT - 2 * H,
        roll + 2 * S,
    )  # the exchange's close; the first event
    assert new.manifest["end_ns"] == MIDNIGHT
    assert [old.manifest["dataset_id"][:28], new.manifest["dataset_id"][:30]] == [
        "MNQH6_20260205_to_roll_open_", "MNQM6_20260205_from_roll_open_",
    ]  # fmt: skip
    assert [np.flatnonzero(one.bins(["quality"])["quality"] & 128).tolist() for one in (old, new)] == [[], [0]]
    assert new.manifest["quality"]["roll"] == 1
    assert new.manifest["session"] == {"kind": "utc_day", "start_ns": roll, "end_ns": MIDNIGHT, "is_after_roll": True}
    # A dollar apart: no bin holds a price of the other contract.
    assert set(old.bins(["best_bid_price_int"])["best_bid_price_int"].tolist()) == {21_599_750_000_000}
    assert set(new.bins(["best_bid_price_int"])["best_bid_price_int"].tolist()) == {21_600_750_000_000}


def test_live_trading_day_and_history_roll_at_the_same_bin(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """The trading day of the roll is the new contract's alone; its bins are those of the UTC day's second part, bit for bit."""
    (trading,) = published(lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-06", "--session", "trading_day")
    _, evening = published(lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-05")
    assert trading.dataset_id.startswith("MNQM6_20260206_trading_open__")
    n = len(evening.bins(["quality"])["quality"])
    assert n == 3598
    for name in ("bin_start_ns", "quality", "best_bid_size", "bin_event_count"):
        assert trading.bins([name])[name][:n].tolist() == evening.bins([name])[name].tolist(), name
    assert trading.manifest["session"]["kind"] == "trading_day"
    assert [Path(file["path"]).name for file in trading.manifest["source_files"]] == ["mnqm6-20260205.dbn", "mnqm6-20260206.dbn"]
    assert trading.manifest["calendar"]["calendar"] == "CME Globex Equity"


def test_a_start_behind_the_roll_is_one_dataset_without_the_mark(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = published(
        lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-06", "--session", "trading_day", "--start-time", "18:00:01"
    )
    assert not (one.bins(["quality"])["quality"] & 128).any()
    (same,) = published(
        lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-06", "--session", "trading_day", "--start-time", "18:00"
    )
    assert np.flatnonzero(same.bins(["quality"])["quality"] & 128).tolist() == [0]


def test_one_name_for_two_datasets_is_refused(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for target in (["--publish", "mine"], ["--out", str(tmp_path / "out")]):
        assert main(["replay", "--symbol", "MNQ", "--dt", "2026-02-05", "--lake", str(lake.root), *target]) == 2
        assert "2026-02-05 holds a roll from MNQH6 to MNQM6, hence two datasets" in capsys.readouterr().err
    assert main(["replay", "--symbol", "MNQ", "--dbn", str(first_file(tmp_path)), "--lake", str(lake.root), "--publish"]) == 2
    assert "--symbol was MNQ and --dt is missing" in capsys.readouterr().err


def test_a_variant_of_a_stretch_is_of_the_same_stretch(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    _, base = published(lake, capsys, "--symbol", "MNQ", "--dt", "2026-02-05")
    variant = publish_variant(lake, "wider", base, {"cell_width_ms": 2000})
    assert variant.manifest["session"] == base.manifest["session"]
    assert variant.manifest["config"]["symbol"] == "MNQM6"
    assert (variant.manifest["start_ns"], variant.manifest["n_bins"]) == (base.manifest["start_ns"], 1799)


def test_utc_days_say_what_they_are_and_a_stretch_given_by_hand_is_kept(lake: Lake, tmp_path: Path) -> None:
    path = lake.raw_dir("MNQ") / "mnqh6-20260205.dbn"
    one = publish_replay(lake, "plain", [path], CONFIG, dt=FIFTH, n_bins=2)
    assert one.manifest["session"] == {
        "kind": "utc_day", "start_ns": start_ns(FIFTH), "end_ns": MIDNIGHT, "is_after_roll": False,
    }  # fmt: skip
    stretch = Stretch("utc_day", MIDNIGHT - H, MIDNIGHT)
    assert open_source([path], CONFIG, FIFTH, stretch=stretch).window == (MIDNIGHT - H, MIDNIGHT)


@pytest.mark.parametrize("start", [None, "18:00", "18:00:03"])
def test_a_followed_trading_day_rolls_at_the_bin_at_which_history_does(start: str | None, lake: Lake) -> None:
    """Live, the records of both days come without the vendor's midnight snapshot; the bins are the same to the last bit."""
    folder = lake.raw_dir("MNQ")
    (one,) = wanted(lake, CONFIG, "MNQ", SIXTH, "trading_day")
    history = join(Replay(one.open([folder / "mnqm6-20260205.dbn", folder / "mnqm6-20260206.dbn"]), one.config, start))
    rows = np.concatenate(list(one.open(one.files(lake)).records()))
    end = one.stretch.end_ns
    given = [Batch(rows[:20], None, MIDNIGHT - S, False), Batch(rows[20:], None, end, True)]
    live, _ = follow(one.config, given, day=SIXTH, stretch=one.stretch, start_time=start)
    bins = join(live)
    assert bins.fields["quality"][:2].tolist() == ([128, 0] if start != "18:00:03" else [0, 0])
    assert bins.fields[["bin_start_ns", "bin_event_count", "best_bid_size"]].tobytes() == (
        history.fields[["bin_start_ns", "bin_event_count", "best_bid_size"]].tobytes()
    )
