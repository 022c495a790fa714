"""A stream without a socket: its bins are the dataset's, and models change between two of them."""

import json
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

from engine.config import InstrumentConfig
from engine.errors import EngineError
from engine.lake import Lake
from engine.run.replay import Replay
from engine.schema import BIN_DTYPE, GRID_COLUMNS, MODEL_DTYPE, MODEL_PREFIX
from engine.signals.base import SignalContext, signal_inputs
from engine.signals.registry import make_signal, signal_names
from engine.source.records import open_source
from serve.champion import ChampionWatcher, required_columns
from serve.frames import BinFrames, decode_grid, decode_header
from serve.recent import RecentBins
from serve.request import StreamRequest, read_request
from serve.session import ConfigFrame, Session
from serve.settings import Limits, Projection, StreamDefaults
from tests.sessions import Bins, join
from tests.test_engine.test_signals.test_contract import quick
from tests.test_serve.conftest import Promote

N_BINS = 400
# Bins where signals of different parameters say different things and none says 0, and at the first of which the two state5 tables
# differ: there a swap can be seen. The tests require it of them.
SWAP, LATE_SWAP = 156, 181


class Inline(Executor):
    """Runs a task where it is submitted: a model is warm at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Late(Executor):
    """Keeps tasks until told to run them."""

    def __init__(self) -> None:
        self.tasks: list[tuple[Future[Any], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.tasks.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        tasks, self.tasks = self.tasks, []
        for future, task in tasks:
            future.set_result(task())


def request_of(lake: Lake, config: InstrumentConfig, **query: str) -> StreamRequest:
    return read_request(list(query.items()), config, lake, StreamDefaults())


def open_session(
    lake: Lake,
    config: InstrumentConfig,
    watcher: ChampionWatcher | None = None,
    aside: Executor | None = None,
    limits: Limits | None = None,
    **query: str,
) -> Session:
    watcher = watcher or ChampionWatcher(lake, config, 1.0)
    watcher.poll()
    session = Session(request_of(lake, config, **query), lambda: watcher.serving, aside or Inline(), limits)
    session.open()
    return session


def play(session: Session, n_bins: int | None = None) -> list[ConfigFrame | BinFrames]:
    frames: list[ConfigFrame | BinFrames] = []
    while not session.ended and (n_bins is None or session.next_bin < session.request.resume_from + n_bins):
        frames += session.turn(1)
    return frames


def received(frames: list[ConfigFrame | BinFrames]) -> Bins:
    """The bins as a client has them after decoding."""
    pairs = [(decode_header(f.header(0)), decode_grid(f.grid)) for f in frames if isinstance(f, BinFrames)]
    fields = np.zeros(len(pairs), BIN_DTYPE)
    for i, (header, _) in enumerate(pairs):
        for name in BIN_DTYPE.names or ():
            fields[name][i] = header[name]
    return Bins(fields, {name: np.stack([grid[name] for _, grid in pairs]) for name in GRID_COLUMNS})


def configs(frames: list[ConfigFrame | BinFrames]) -> list[dict[str, Any]]:
    return [json.loads(frame.text) for frame in frames if isinstance(frame, ConfigFrame)]


def scored_by(bins: Bins, parameters: dict[str, Any], config: InstrumentConfig) -> np.ndarray:
    """What a model says that saw the whole session: the way a sweep scores a dataset."""
    model = make_signal(
        "perm_derivative", parameters, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    )
    return model.run({name: bins.grid[name] for name in model.required_columns})


def scores(bins: Bins) -> np.ndarray:
    out = np.zeros(len(bins.fields), MODEL_DTYPE)
    for name in MODEL_DTYPE.names or ():
        out[name] = bins.fields[MODEL_PREFIX + name]
    return out


def learns_here(signal: str) -> dict[str, Any]:
    """Quick parameters of a signal; one that learns from outcomes has its barriers where this session's calm price gets to."""
    values = quick(signal)
    return values | {"tp_ticks": 2.0, "sl_ticks": 2.0} if "tp_ticks" in values else values


def require_apart(old: np.ndarray, new: np.ndarray, swap_at: int) -> None:
    """Scores that can be told apart on both sides of a swap: else any swap would pass."""
    for seq in (swap_at - 1, swap_at):
        assert old[seq] != new[seq], seq
        assert (old[seq] != 0) & (new[seq] != 0), seq


@pytest.fixture
def dataset(lake: Lake, config: InstrumentConfig) -> Bins:
    """The session the way a dataset is made."""
    request = request_of(lake, config)
    return join(Replay(open_source([request.dbn], config, request.dt), config))


@pytest.mark.parametrize("start_time", [None, "09:25", "09:25:20"])
def test_a_stream_carries_the_datasets_bins_bit_for_bit(lake: Lake, config: InstrumentConfig, start_time: str | None) -> None:
    query = {} if start_time is None else {"start_time": start_time}
    request = request_of(lake, config, **query)
    expected = join(Replay(open_source([request.dbn], config, request.dt), config, start_time))
    session = open_session(lake, config, **query)
    got = received(play(session))
    assert len(got.fields) == len(expected.fields) > 100
    assert got.to_bytes() == expected.to_bytes()
    assert session.n_bins == len(expected.fields)


def test_the_config_frame_says_what_the_contract_asks(lake: Lake, config: InstrumentConfig) -> None:
    session = open_session(lake, config, projection_horizons_bins="2,20")
    said = json.loads(session.config_frame().text)
    assert next(iter(said)) == "type"
    assert said["type"] == "runtime_config"
    assert {name: said[name] for name in session.config.resolved()} == session.config.resolved()
    assert said["projection_horizons_ms"] == [200, 2000]
    assert said["grid_schema_fields"] == list(GRID_COLUMNS)
    assert said["grid_rows"] == 101
    assert said["stream_format"] == "dense_grid"
    assert said["session_tz"] == "America/New_York"
    assert said["session"]["start_ns"] == str(received(play(session, 1)).fields["bin_start_ns"][0])
    assert said["runtime_model"]["name"] == "perm_derivative"
    assert said["capabilities"] == {"control": True, "step": True, "backfill": True, "resume": True}
    assert "reason" not in said


def test_a_champion_in_place_from_the_start_scores_as_a_sweep_does(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins
) -> None:
    champion = promote(lake, {"d2_weight": 0.5, "spatial_decay_power": 0.25, "zscore_window_bins": 90})
    session = open_session(lake, config)
    got = received(play(session))
    assert scores(got).tobytes() == scored_by(dataset, champion.parameters, config).tobytes()
    said = json.loads(session.config_frame().text)["runtime_model"]
    assert (said["version"], said["source"], said["parameters"]) == (1, "champion", champion.parameters)


@pytest.mark.parametrize("aside", [Inline(), Late()])
def test_a_promotion_swaps_the_model_between_two_bins_warm_and_without_a_hole(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, aside: Executor
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, aside)
    frames = play(session, SWAP)
    champion = promote(lake, {"d1_weight": 0.25, "d2_weight": 1.0})
    watcher.poll()
    if isinstance(aside, Late):  # the old model scores on while the new one is being warmed
        frames += play(session, LATE_SWAP)
        assert configs(frames) == []
        aside.run()
    frames += play(session)

    got = received(frames)
    swap_at = LATE_SWAP if isinstance(aside, Late) else SWAP
    assert got.fields["bin_seq"].tolist() == list(range(N_BINS))
    (said,) = configs(frames)
    assert (said["reason"], said["effective_bin_seq"], said["runtime_model"]["version"]) == ("model_change", swap_at, 1)
    assert isinstance(frames[swap_at], ConfigFrame)  # right before the first bin it holds for

    before, after = slice(0, swap_at), slice(swap_at, None)
    old, new = scores(dataset), scored_by(dataset, champion.parameters, config)
    assert scores(got)[before].tobytes() == old[before].tobytes()
    assert scores(got)["ready"][swap_at]
    for name in MODEL_DTYPE.names or ():
        if name != "sample_count":  # it counts the bins the new model has seen
            assert scores(got)[name][after].tobytes() == new[name][after].tobytes(), name
    require_apart(old["score"], new["score"], swap_at)
    assert got.grid["v_add"].tobytes() == dataset.grid["v_add"].tobytes()  # and nothing else changed


@pytest.mark.parametrize("signal", signal_names())
def test_every_signal_serves_as_champion_and_says_what_a_sweep_says(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, signal: str
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher)
    play(session, SWAP)
    champion = promote(lake, learns_here(signal), signal=signal)
    watcher.poll()
    assert watcher.alarm is None
    frames = play(session)
    assert [said["runtime_model"]["name"] for said in configs(frames)] == [signal]
    model = make_signal(
        signal, champion.parameters, SignalContext(config.cell_width_ms, config.grid_radius_ticks, config.tick_int)
    )
    swept = model.run(signal_inputs(model, dataset.grid, dataset.fields))[SWAP:]
    got = received(frames).fields
    named = {decode_header(frame.header(0))["runtime_model_name"] for frame in frames if isinstance(frame, BinFrames)}
    assert named == {signal}
    before = scores(dataset)["score"]
    assert before[SWAP] != 0
    if signal != "perm_derivative":  # which is the instrument's own, with other parameters
        assert before[SWAP] != swept["score"][0]
    for name in ("score", "ready"):
        assert got[MODEL_PREFIX + name].tobytes() == swept[name].tobytes(), name
    assert swept["ready"].any()


def test_a_model_with_a_longer_memory_than_the_bins_kept_is_shown_the_session_read_again(
    lake: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    bin_bytes = 2**26 // RecentBins(required_columns(), config.n_rows, 2**26).capacity
    limits = Limits(recent_bytes=40 * bin_bytes)
    session = open_session(lake, config, watcher, limits=limits)
    play(session, 100)
    promote(lake, {"zscore_window_bins": 90, "zscore_min_periods": 20})
    watcher.poll()
    first = received(session.turn(1)).fields[0]
    assert first["runtime_model_sample_count"] == 94  # its memory, the window and three bins, and this bin
    assert first["runtime_model_ready"]


def test_a_change_overtaken_by_another_takes_only_the_last(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    aside = Late()
    session = open_session(lake, config, watcher, aside)
    frames = play(session, 50)
    for _ in range(2):
        promote(lake)
        watcher.poll()
        frames += play(session, session.next_bin + 5)
    aside.run()
    frames += play(session, session.next_bin + 5)
    aside.run()
    frames += play(session, session.next_bin + 5)
    assert [said["runtime_model"]["version"] for said in configs(frames)] == [2]
    assert received(frames).fields["bin_seq"].tolist() == list(range(session.next_bin))


def test_a_promotion_before_the_first_bin_takes_over_after_it(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher)
    promote(lake)
    watcher.poll()
    frames = play(session, 3)
    assert [isinstance(frame, BinFrames) for frame in frames] == [True, False, True, True]
    assert configs(frames)[0]["effective_bin_seq"] == 1


def test_a_model_that_cannot_be_warmed_leaves_the_old_one_and_the_stream(
    lake: Lake, config: InstrumentConfig, promote: Promote, dataset: Bins, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher, aside := Late())
    frames = play(session, 50)
    promote(lake)
    watcher.poll()
    frames += play(session, 51)
    (future, _), aside.tasks = aside.tasks[0], []
    future.set_exception(MemoryError("no room"))
    frames += play(session)
    assert configs(frames) == []
    assert received(frames).to_bytes() == dataset.to_bytes()
    assert "could not take generation 1" in caplog.text


def test_a_champion_of_the_other_table_is_served_with_that_table(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    other = config.model_copy(update={"state5_table": "reference"})
    request = request_of(lake, config)
    expected = join(Replay(open_source([request.dbn], other, request.dt), other))

    watcher = ChampionWatcher(lake, config, 1.0)
    session = open_session(lake, config, watcher)
    frames = play(session, SWAP)
    champion = promote(lake, {"d2_weight": 1.0}, state5_table="reference")
    watcher.poll()
    frames += play(session)
    got = received(frames)
    assert configs(frames)[0]["state5_table"] == "reference"
    codes = "perm_state5_code"
    straight = join(Replay(open_source([request.dbn], config, request.dt), config))
    for seq in (SWAP - 1, SWAP):
        assert straight.grid[codes][seq].tobytes() != expected.grid[codes][seq].tobytes()  # the tables can be told apart
    assert got.grid[codes][:SWAP].tobytes() == straight.grid[codes][:SWAP].tobytes()
    assert got.grid[codes][SWAP:].tobytes() == expected.grid[codes][SWAP:].tobytes()
    new = scored_by(expected, champion.parameters, config)
    assert scores(got)["score"][SWAP:].tobytes() == new["score"][SWAP:].tobytes()

    fresh = open_session(lake, config, watcher)  # a stream that opens now has it from its first bin
    assert received(play(fresh)).grid[codes].tobytes() == expected.grid[codes].tobytes()


def test_a_resumed_stream_continues_with_identical_frames(lake: Lake, config: InstrumentConfig) -> None:
    whole = [frame for frame in play(open_session(lake, config)) if isinstance(frame, BinFrames)]
    resumed = play(open_session(lake, config, resume_from="123"))
    assert resumed == whole[123:]
    for last in ("1", "398", "399"):
        assert play(open_session(lake, config, resume_from=last)) == whole[int(last) :]
    session = open_session(lake, config, resume_from="400")  # all there is was sent: only the end is left to be said
    assert (play(session), session.ended, session.n_bins) == ([], True, N_BINS)
    for beyond in ("401", "100000"):
        with pytest.raises(EngineError, match=f"bin {beyond} was asked for; this session has 400 bins, 0 to 399"):
            open_session(lake, config, resume_from=beyond)


def test_perm_values_of_the_query_are_said_to_be_unused_under_a_champion(
    lake: Lake, config: InstrumentConfig, promote: Promote
) -> None:
    quiet = json.loads(open_session(lake, config, perm_d2_weight="1").config_frame().text)
    assert quiet["notices"] == []
    assert quiet["runtime_model"]["parameters"]["d2_weight"] == 1.0
    promote(lake)
    told = json.loads(open_session(lake, config, perm_d2_weight="1").config_frame().text)
    assert "champion version 1 scores instead" in told["notices"][0]


def test_what_was_set_at_launch_is_said_to_be_unused_too(lake: Lake, config: InstrumentConfig, promote: Promote) -> None:
    promote(lake)
    watcher = ChampionWatcher(lake, config, 1.0)
    watcher.poll()
    launched = StreamDefaults(perm_names=("perm_d1_weight",), projection=Projection(use_cubic=True, damping_lambda=0.5))
    session = Session(read_request([], config, lake, launched), lambda: watcher.serving, Inline())
    said = json.loads(session.config_frame().text)
    assert said["projection_model"] == {"use_cubic": True, "cubic_scale": 1 / 6, "damping_lambda": 0.5}
    assert "so perm_d1_weight changes nothing. With model=instrument it does" in said["notices"][0]
    assert "nothing here is computed from it" in said["notices"][1]


def test_a_weight_without_its_switch_is_said_to_be_unused(lake: Lake, config: InstrumentConfig) -> None:
    told = open_session(lake, config, perm_mixed_weight="1").config_frame().text
    assert json.loads(told)["notices"] == ["perm_mixed_weight changes nothing without perm_enable_weighted_blend=true"]
    quiet = open_session(lake, config, perm_mixed_weight="1", perm_enable_weighted_blend="true").config_frame().text
    assert json.loads(quiet)["notices"] == []


def test_a_time_after_the_data_is_refused(lake: Lake, config: InstrumentConfig) -> None:
    with pytest.raises(EngineError, match="holds no event of MNQH6 from 10:00 New York time on"):
        open_session(lake, config, start_time="10:00")


def test_a_closed_session_stops_reading(lake: Lake, config: InstrumentConfig) -> None:
    session = Session(request_of(lake, config), lambda: ChampionWatcher(lake, config, 1.0).serving, Inline())
    session.close()
    session.open()
    assert session.turn(1) == []
    assert session.ended
