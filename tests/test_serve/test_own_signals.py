"""Champions that bring their own signal: refused unless allowed, taken between two bins, scored as a sweep scores them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.champion import Champion, roll_back, version_path
from engine.cli import main as engine_main
from engine.config import InstrumentConfig
from engine.errors import ChampionError, ConfigError
from engine.lake import Lake
from engine.signals.bundle import read_bundle
from engine.signals.promoted import source_of
from engine.signals.registry import add_bundle, signals_of
from serve.champion import ChampionWatcher, choose_signal, required_columns
from serve.cli import main
from serve.settings import ServeSettings
from serve.trust import Trust, read_trust
from tests.own_signals import PLAIN, write_distribution, write_signal, write_with_helper
from tests.test_serve.conftest import DAY, Promote
from tests.test_serve.server import listen, serving
from tests.test_serve.test_session import configs, open_session, play, received
from tune.cli import main as tune_main

ALL = Trust(all_signals=True)
DOUBLED = f"2.0 * ({PLAIN})"
OTHER_COLUMN = "j_rest_depth"  # no built-in signal reads it


@pytest.fixture
def promote_file(promote: Promote) -> Callable[..., Champion]:
    """Promote the signal of a file."""

    def do(lake: Lake, path: Path, parameters: dict[str, Any] | None = None, **fields: Any) -> Champion:
        with signals_of(()):
            (name,) = add_bundle(read_bundle(path))
            return promote(lake, parameters, **{"signal": name, "source": source_of(name)} | fields)

    return do


def watcher_of(lake: Lake, config: InstrumentConfig, trust: Trust) -> ChampionWatcher:
    return ChampionWatcher(lake, config, 1.0, trust=trust)


def test_nothing_foreign_runs_where_it_is_not_allowed_and_the_alarm_names_the_hash(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote: Promote, promote_file: Callable[..., Champion]
) -> None:
    promote(lake)
    watcher = watcher_of(lake, config, Trust())
    assert watcher.poll()
    before = watcher.serving
    ran = tmp_path / "ran"
    path = write_signal(tmp_path / "own", imports=f"from pathlib import Path\n\nPath({str(ran)!r}).touch()\n")
    champion = promote_file(lake, path)
    ran.unlink()
    assert not watcher.poll()
    assert not ran.exists()
    assert watcher.serving is before
    assert watcher.alarm is not None
    assert champion.source is not None
    assert f"--allow-signal {champion.source.hash}" in watcher.alarm.message
    assert "\n" not in watcher.alarm.message
    roll_back(lake)
    watcher.poll()
    assert watcher.alarm is None


@pytest.mark.parametrize("listed", [True, False])
def test_a_listed_hash_is_taken_and_another_is_not(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote_file: Callable[..., Champion], listed: bool
) -> None:
    path = write_signal(tmp_path / "own")
    found = read_bundle(path).hash
    watcher = watcher_of(lake, config, Trust(hashes=(found if listed else found[::-1],)))
    promote_file(lake, path)
    assert watcher.poll() == listed
    assert (watcher.alarm is None) == listed


def test_a_source_changed_behind_the_pointers_back_is_refused_even_where_all_is_allowed(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote_file: Callable[..., Champion]
) -> None:
    champion = promote_file(lake, write_signal(tmp_path / "own"))
    assert champion.source is not None
    edited = champion.source.model_copy(update={"files": {"mine.py": champion.source.files["mine.py"] + "# more\n"}})
    swapped = champion.model_copy(update={"source": edited})
    with pytest.raises(ChampionError, match="brings its own signal"):  # its hash is taken of what would run
        Trust(hashes=(champion.source.hash,)).require(swapped)
    with pytest.raises(ChampionError, match="was changed after its promotion"):
        choose_signal(swapped, config).build()
    path = version_path(lake, champion.version)
    path.chmod(0o644)
    path.write_text(path.read_text().replace("window_bins: int = 10", "window_bins: int = 11"))
    watcher = watcher_of(lake, config, ALL)
    assert not watcher.poll()
    assert watcher.alarm is not None
    assert "is not as it was promoted" in watcher.alarm.message


def test_versions_one_and_two_of_a_file_take_over_from_each_other_and_stream_what_score_says(
    lake: Lake,
    tmp_path: Path,
    config: InstrumentConfig,
    promote_file: Callable[..., Champion],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert engine_main(["replay", "--dt", DAY, "--publish", "day", "--lake", str(lake.root)]) == 0
    expected = []
    for number, factor in enumerate(("1.0", "3.0"), start=1):
        path = write_with_helper(tmp_path / f"v{number}", factor)
        out = tmp_path / f"v{number}.parquet"
        arguments = ["--signal", "mine", "--dataset-id", "day", "--signals", str(path), "--out", str(out)]
        assert tune_main(["score", *arguments, "--lake", str(lake.root)]) == 0
        expected.append(pq.read_table(out)["score"].to_numpy())
    watcher = watcher_of(lake, config, ALL)
    session = open_session(lake, config, watcher)
    frames = play(session, 100)
    for number, until in ((1, 200), (2, 300)):
        promote_file(lake, tmp_path / f"v{number}" / "mine.py")
        (tmp_path / f"v{number}" / "mine.py").unlink()
        assert watcher.poll(), watcher.alarm
        frames += play(session, until)
    roll_back(lake)
    assert watcher.poll()
    frames += play(session)
    got = received(frames).fields
    assert [said["runtime_model"]["version"] for said in configs(frames)] == [1, 2, 1]
    assert got["runtime_model_ready"][100:].all()  # warm from its first bin
    for first, last, version in ((100, 200, 0), (200, 300, 1), (300, 400, 0)):
        assert got["runtime_model_score"][first:last].tobytes() == expected[version][first:last].tobytes()
    assert expected[0][150] != expected[1][150]


def other_column(tmp_path: Path) -> Path:
    path = write_signal(tmp_path / "own", value="v_add[i, spot + 1] - v_add[i, spot - 1]")
    path.write_text(path.read_text().replace('("v_add",)', f'("{OTHER_COLUMN}",)').replace('x["v_add"]', f'x["{OTHER_COLUMN}"]'))
    return path


def test_a_column_that_no_built_in_signal_reads_is_kept_by_streams_that_begin_with_it(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote: Promote, promote_file: Callable[..., Champion]
) -> None:
    assert OTHER_COLUMN not in required_columns()
    watcher = watcher_of(lake, config, ALL)
    champion = promote_file(lake, other_column(tmp_path))
    assert watcher.poll(), watcher.alarm
    assert OTHER_COLUMN in required_columns(choose_signal(champion, config))
    session = open_session(lake, config, watcher)
    straight = received(play(session)).fields["runtime_model_score"]
    begun = open_session(lake, config, watcher)
    frames = play(begun, 100)
    promote(lake)
    watcher.poll()
    frames += play(begun, 200)
    roll_back(lake)
    watcher.poll()
    got = received([*frames, *play(begun)]).fields
    assert got["runtime_model_ready"][200:].all()
    assert got["runtime_model_score"][200:].tobytes() == straight[200:].tobytes()


def test_in_a_stream_that_is_open_it_takes_over_warm_and_right_from_its_first_bin(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote: Promote, promote_file: Callable[..., Champion]
) -> None:
    watcher = watcher_of(lake, config, ALL)
    session = open_session(lake, config, watcher)
    frames = play(session, 100)
    promote_file(lake, other_column(tmp_path))
    assert watcher.poll(), watcher.alarm
    frames += play(session, 200)
    promote(lake)  # a built-in one is as warm as ever
    watcher.poll()
    frames += play(session, 250)
    got = received(frames).fields
    assert got["runtime_model_ready"][100:].all()  # of bins whose column was not kept it reads the file again
    straight = received(play(open_session(lake, config, _with_other(lake, config)))).fields["runtime_model_score"]
    assert got["runtime_model_score"][100:200].tobytes() == straight[100:200].tobytes()


def _with_other(lake: Lake, config: InstrumentConfig) -> ChampionWatcher:
    roll_back(lake)
    watcher = watcher_of(lake, config, ALL)
    assert watcher.poll()
    return watcher


def test_a_running_service_takes_a_foreign_champion_and_tells_no_source_to_clients(
    lake: Lake, tmp_path: Path, config: InstrumentConfig, promote_file: Callable[..., Champion]
) -> None:
    path = write_signal(tmp_path / "own")
    settings = ServeSettings(lake=lake, trust=Trust(hashes=(read_bundle(path).hash,)))
    with serving(settings, config) as server:
        champion = promote_file(lake, path)
        server.service.watcher.poll()
        assert server.service.watcher.serving.champion == champion
        with server.connect(dt=DAY, start_time="09:25", speed="0") as connection:
            heard = listen(connection, n_bins=30)
        said = server.service.champion()
        assert server.service.health()["model"]["name"] == "mine"
    assert heard.of("runtime_config")[0]["runtime_model"]["name"] == "mine"
    assert any(one["runtime_model_score"] for one in heard.bins)
    assert "def run(state" not in json.dumps(said)
    assert champion.source is not None
    assert said["champion"]["source"]["hash"] == champion.source.hash


# --- the door ---


def test_start_up_beside_a_champion_that_is_not_allowed_is_refused(
    lake: Lake, tmp_path: Path, promote_file: Callable[..., Champion], capsys: pytest.CaptureFixture[str]
) -> None:
    champion = promote_file(lake, write_signal(tmp_path / "own"))
    assert champion.source is not None
    assert main(["--lake", str(lake.root), "--port", "8123"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--allow-signal {champion.source.hash}" in line


@pytest.mark.parametrize(
    ("allow_all", "hashes", "environment", "expected"),
    [
        (False, [], {}, Trust()),
        (True, [], {}, Trust(True)),
        (False, ["a" * 64, "a" * 64], {}, Trust(False, ("a" * 64,))),
        (False, [], {"SPYMASTER_ALLOW_SIGNALS": "all"}, Trust(True)),
        (
            False,
            ["a" * 64],
            {"SPYMASTER_ALLOW_SIGNALS": f"{'b' * 64}, {'c' * 64},"},
            Trust(False, ("a" * 64, "b" * 64, "c" * 64)),
        ),
    ],
)
def test_what_is_allowed_is_read_from_the_command_line_and_the_environment(
    allow_all: bool, hashes: list[str], environment: dict[str, str], expected: Trust
) -> None:
    assert read_trust(allow_all, hashes, environment) == expected


@pytest.mark.parametrize("word", ["a" * 63, "a" * 65, "A" * 64, "everything"])
def test_what_is_no_hash_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="must be the 64 hex digits"):
        read_trust(False, [word], {})
    with pytest.raises(ConfigError, match="must be the 64 hex digits"):
        read_trust(False, [], {"SPYMASTER_ALLOW_SIGNALS": word})


def test_a_champion_without_source_never_means_something_installed(
    lake: Lake,
    tmp_path: Path,
    config: InstrumentConfig,
    promote_file: Callable[..., Champion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from engine.signals.registry import forget_entry_points

    site = write_distribution(
        tmp_path / "site", {"mine": "outside_never:Mine"}, files={"outside_never.py": "raise RuntimeError\n"}
    )
    promote_file(lake, write_signal(tmp_path / "own"), source=None)
    monkeypatch.syspath_prepend(site)
    forget_entry_points()
    try:
        watcher = watcher_of(lake, config, ALL)
        assert not watcher.poll()
    finally:
        monkeypatch.undo()
        forget_entry_points()
    assert watcher.alarm is not None
    assert "'mine' is not known" in watcher.alarm.message
