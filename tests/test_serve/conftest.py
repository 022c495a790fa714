"""A lake with one simulated session, and champions to promote in it."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from engine.champion import Champion, move_pointer, versions, write_champion
from engine.config import InstrumentConfig, load_instrument
from engine.constants import NS_PER_DAY
from engine.lake import Lake
from engine.run.runner import Runner, Span
from engine.signals.registry import get_signal
from engine.simulate.session import simulate
from serve.champion import choose_signal, warm_up
from serve.settings import Limits, ServeSettings
from tests.test_serve.server import Running, Serve, serving
from tests.test_serve.started import Started, starting

SEED: Final = 20260206
SECONDS: Final = 40
START: Final = "2026-02-06T09:25"
DAY: Final = "2026-02-06"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the time limit of a test begin after its fixtures: where nothing is compiled yet, the first one waits for minutes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(300, func_only=True))


class Promote(Protocol):
    """Writes a champion version, puts it in service, and returns it."""

    def __call__(self, lake: Lake, parameters: dict[str, Any] | None = None, **fields: Any) -> Champion: ...


@pytest.fixture(scope="session")
def config() -> InstrumentConfig:
    """The instrument with short windows, so that the model is ready within a few dozen bins."""
    return load_instrument(overrides={"perm_zscore_window_bins": 60, "perm_zscore_min_periods": 20})


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory, config: InstrumentConfig) -> Path:
    """One simulated DBN file, 40 s from 09:25 in New York: 400 bins; what plays it is compiled then."""
    path = tmp_path_factory.mktemp("raw") / f"glbx-mdp3-{DAY.replace('-', '')}.mbo.dbn"
    simulate(path, seed=SEED, seconds=SECONDS, rate=400.0, start=START)
    Runner(config, Span(0, NS_PER_DAY)).warmup()
    warm_up(choose_signal(None, config))
    return path


@pytest.fixture
def lake(tmp_path: Path, raw: Path) -> Lake:
    """A lake of its own for each test, holding the simulated day."""
    lake = Lake.open(tmp_path / "lake")
    folder = lake.raw_dir("MNQ")
    folder.mkdir(parents=True)
    shutil.copy(raw, folder)
    return lake


@pytest.fixture
def promote(config: InstrumentConfig) -> Promote:
    """Promote a model in a lake."""

    def do(lake: Lake, parameters: dict[str, Any] | None = None, **fields: Any) -> Champion:
        signal = fields.get("signal", "perm_derivative")
        defaults = {"zscore_window_bins": 60, "zscore_min_periods": 20} if signal == "perm_derivative" else {}
        resolved = get_signal(signal).Params.model_validate(defaults | (parameters or {})).model_dump(mode="json")
        champion = Champion.model_validate(
            {
                "version": (versions(lake) or [0])[-1] + 1,
                "signal": signal,
                "parameters": resolved,
                "thresholds": [0.1],
                "cooldown_bins": 30,
                "dataset_id": "elsewhere",
                "dataset_checksum": "0" * 64,
                "evaluation": {},
                "metrics": {},
                "sweep": "test",
                "run_id": "abc",
                "config_version": config.config_version,
                "state5_table": config.state5_table,
                "cell_width_ms": config.cell_width_ms,
                "grid_radius_ticks": config.grid_radius_ticks,
                "code_version": "0",
                "created_at": "2026-02-07T00:00:00+00:00",
            }
            | fields
        )
        write_champion(lake, champion)
        move_pointer(lake, champion.version)
        return champion

    return do


@pytest.fixture
def started(lake: Lake) -> Iterator[Started]:
    """``python -m serve`` on a Ray of its own, once it says that it serves."""
    with starting(lake) as service:
        yield service


@pytest.fixture
def serve(lake: Lake, config: InstrumentConfig) -> Iterator[Serve]:
    """Start a server over the test's lake; ended with the test."""
    with ExitStack() as stack:

        def start(clock: Any = None, limits: Limits | None = None, **settings: Any) -> Running:
            made = ServeSettings(lake=lake, limits=limits or Limits(champion_poll_s=0.05), **settings)
            return stack.enter_context(serving(made, config, clock))

        yield start
