"""The record of which model spoke at which bin: what streams leave in it, what it answers, and what breaks it."""

import json
import multiprocessing
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from engine.config import InstrumentConfig
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from engine.trades.spoken import SpokenRecord, spoken_path
from serve.champion import ChampionWatcher
from serve.cli import main
from serve.session import Session
from serve.spoken import SpokenDesk, models_at
from tests.full_disk import room_for
from tests.test_serve.conftest import DAY, Promote
from tests.test_serve.test_session import Inline, play, request_of

START_NS = 1_770_387_900_000_000_000  # 2026-02-06 09:25 in New York


@pytest.fixture
def desk(lake: Lake) -> Iterator[SpokenDesk]:
    made = SpokenDesk(lake)
    yield made
    made.close()


def session_of(lake: Lake, config: InstrumentConfig, desk: SpokenDesk, watcher: ChampionWatcher, **query: str) -> Session:
    watcher.poll()
    session = Session(request_of(lake, config, **query), lambda: watcher.serving, Inline(), None, None, desk)
    session.open()
    return session


def stretches(lake: Lake) -> list[tuple[int, int | None, int | None]]:
    """First bin, end and version of each stretch on record, in its order."""
    record = SpokenRecord(lake, "MNQH6")
    record.verify()
    record.refresh()
    return [(one.first, one.until, one.model["version"]) for one in record.stretches.values()]


def two_swaps(lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk) -> None:
    """The instrument's own signal to bin 99, version 1 to bin 249, version 2 to the end at bin 399."""
    watcher = ChampionWatcher(lake, config, 1.0)
    session = session_of(lake, config, desk, watcher, start_time="09:25")
    play(session, 100)
    promote(lake)
    watcher.poll()
    play(session, 250)
    promote(lake, signal="ads")
    watcher.poll()
    play(session)
    desk.flush()


def test_every_bin_of_a_stream_has_its_model(lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk) -> None:
    two_swaps(lake, config, promote, desk)
    assert stretches(lake) == [(0, 100, None), (100, 250, 1), (250, 400, 2)]
    for bin_seq, expected in ((0, None), (99, None), (100, 1), (249, 1), (250, 2), (399, 2)):
        for ns in (0, 99_999_999):  # the first and the last moment of the bin
            (told,) = models_at(lake, str(START_NS + bin_seq * 100_000_000 + ns))["models"]
            assert (told["bin_seq"], told["model"]["version"]) == (bin_seq, expected)
    assert models_at(lake, str(START_NS - 1))["models"] == []
    assert models_at(lake, str(START_NS + 400 * 100_000_000))["models"] == []


def test_a_moment_may_be_said_in_any_zone_and_a_day_has_them_all(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk
) -> None:
    two_swaps(lake, config, promote, desk)
    for when in ("2026-02-06T09:25:10", "2026-02-06T14:25:10Z", "2026-02-06T15:25:10+01:00"):
        told = models_at(lake, when)
        assert told["ts_ns"] == str(START_NS + 10 * 10**9)
        assert [(one["bin_seq"], one["model"]["version"]) for one in told["models"]] == [(100, 1)]
    told = models_at(lake, DAY)
    assert [(one["first"], one["until"], one["model"]["name"]) for one in told["models"]] == [
        (0, 100, "perm_derivative"),
        (100, 250, "perm_derivative"),
        (250, 400, "ads"),
    ]
    assert models_at(lake, "2026-02-05")["models"] == []
    for wrong in ("", "yesterday", "2026-13-01", "2026-02-06T25:00", "9" * 20):
        with pytest.raises(ConfigError):
            models_at(lake, wrong)
    with pytest.raises(ConfigError, match="there is a record of who spoke for MNQH6"):
        models_at(lake, DAY, "ESH6")


def test_the_same_hours_shown_again_are_the_same_stretch_and_a_longer_look_makes_it_longer(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk
) -> None:
    promote(lake)
    watcher = ChampionWatcher(lake, config, 1.0)
    for n_bins in (50, 50, 80):
        session = session_of(lake, config, desk, watcher)
        play(session, n_bins)
        session.close()
    desk.flush()
    ((first, until, version),) = stretches(lake)
    assert (first, version) == (0, 1)
    assert until in (80, 81)  # one bin may be computed ahead of the one sent
    session = session_of(lake, config, desk, watcher, resume_from="300")
    play(session)
    desk.flush()
    assert stretches(lake)[1:] == [(300, 400, 1)]


def test_other_parameters_are_another_model(lake: Lake, config: InstrumentConfig, desk: SpokenDesk) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    for query in ({}, {"perm_d1_weight": "0.5"}, {"perm_runtime_enabled": "false"}):
        session = session_of(lake, config, desk, watcher, **query)
        play(session, 5)
        session.close()
    desk.flush()
    told = models_at(lake, DAY)["models"]
    assert [one["model"]["name"] for one in told] == ["perm_derivative", "perm_derivative", "none"]
    assert len({one["model"]["sha256"] for one in told}) == 3


def _append(root: str, who: int) -> None:
    record = SpokenRecord(Lake.open(root), "MNQH6")
    for i in range(20):
        model = {"source": "champion", "version": who, "name": "ads", "sha256": f"{who:064d}"}
        entry = {"kind": "from", "session": "MNQH6@1", "bin": i, "model": model, "at": "2026-01-01T00:00:00"}
        common = {"start_ns": 1, "width_ns": 100, "dt": DAY, "file": "f", "source": "replay"}
        record.append([entry | common])


def test_several_replicas_append_to_one_whole_chain(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(lake.root), who)) for who in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sorted(stretches(lake)) == sorted((i, None, who) for who in (1, 2, 3) for i in range(20))  # type: ignore[type-var]


@pytest.mark.parametrize("harm", ["edited", "cut", "taken out", "headless"])
def test_a_damaged_record_is_named_and_answers_nothing(
    lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    two_swaps(lake, config, promote, desk)
    path = spoken_path(lake, "MNQH6")
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    if harm == "edited":
        lines[2] = lines[2].replace(b'"version":1', b'"version":9')
    elif harm == "cut":
        del lines[-1]
    elif harm == "taken out":
        del lines[3]
    else:
        path.with_suffix(".head").unlink()
    path.write_bytes(b"".join(lines))
    told = {"edited": "entry 2", "cut": "its end was cut off", "taken out": "entry 3", "headless": "the head is gone"}[harm]
    with pytest.raises(ChampionError, match="the record of who spoke for MNQH6 is broken") as error:
        models_at(lake, DAY)
    assert told in str(error.value)
    assert main(["model-at", DAY, "--lake", str(lake.root)]) != 0
    assert "is broken" in capsys.readouterr().err


def test_what_a_full_disk_refused_is_written_once_there_is_room(lake: Lake, desk: SpokenDesk) -> None:
    entry = {
        "kind": "from",
        "session": "MNQH6@1",
        "bin": 0,
        "model": {"source": "instrument", "version": None, "name": "x", "sha256": "0" * 64},
        "at": "2026-01-01T00:00:00",
        "start_ns": 1,
        "width_ns": 100,
        "dt": DAY,
        "file": "f",
        "source": "replay",
    }
    with room_for(100):
        desk.submit("MNQH6", entry)
        desk.flush()
        assert desk.trouble is not None
        assert desk.trouble["message"].startswith("the record of who spoke is not written: ")
        desk.submit("MNQH6", entry | {"bin": 7})
        desk.flush()
    desk.flush()
    assert desk.trouble is None
    assert stretches(lake) == [(0, None, None), (7, None, None)]


def test_one_command_and_one_url_answer(
    serve: Any, lake: Lake, config: InstrumentConfig, promote: Promote, desk: SpokenDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    two_swaps(lake, config, promote, desk)
    running = serve()

    def get(query: str) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"{running.base}/v1/model/at?{query}") as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    status, told = get("ts=2026-02-06T09:25:30")
    assert (status, [one["model"]["version"] for one in told["models"]]) == (200, [2])
    status, told = get("ts=soon")
    assert status == 400
    assert "the moment was 'soon'" in told["error"]
    assert main(["model-at", "2026-02-06T09:25:30", "--lake", str(lake.root)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"ads (champion v2)  bin 300 of bins 250-399  MNQH6@{START_NS}  ")
    assert main(["model-at", DAY, "--lake", str(lake.root), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["models"]) == 3
    assert main(["model-at", "soon", "--lake", str(lake.root)]) == 2
