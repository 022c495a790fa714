"""What every test shares: the lake it may write to, the folder of real and golden data, one simulated session."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from engine.ray_environment import prepare_ray_environment

REPO_ROOT = Path(__file__).resolve().parent.parent
SHARED = REPO_ROOT.parent / "shared"

# Set before any of our modules is imported. Compiled kernels are shared between runs (their folder is keyed by the sources),
# the lake is not.
os.environ.setdefault("NUMBA_CACHE_DIR", str(REPO_ROOT / "lake" / "cache" / "kernels"))
os.environ["SPYMASTER_LAKE"] = tempfile.mkdtemp(prefix="spymaster-test-lake-")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="spymaster-test-state-")  # where a service notes itself
prepare_ray_environment(is_own=True)  # read when Ray is imported, which some test modules do
os.environ.pop("VP_INSTRUMENT_CONFIG_PATH", None)
os.environ.pop("SPYMASTER_TOKEN", None)
os.environ.pop("COLUMNS", None)  # tests that run side by side are told 80; a test that means a width sets it

# The same examples in every run, so that a failure belongs to the change that shows it. Shrinking one takes minutes with
# streams of hundreds of records: ask for it with --hypothesis-profile=shrink.
settings.register_profile(
    "spymaster",
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("shrink", settings.get_profile("spymaster"), phases=tuple(Phase))
settings.load_profile("spymaster")


def shared_path(name: str) -> Path:
    """A file or folder of the shared data; the calling test is skipped where it is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is missing: this test needs the shared golden or market data")
    return path


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("data/...")` gives the path or skips the test with the reason."""
    return shared_path


@pytest.fixture(scope="session")
def simulated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated session of 40 s (400 bins) of MNQH6 from 09:00 New York on 2026-02-06, about 16,000 records."""
    from engine.simulate.session import simulate

    path = tmp_path_factory.mktemp("simulated") / "glbx-mdp3-20260206.mbo.dbn.zst"
    simulate(path, seed=7, seconds=40.0, rate=400.0)
    return path


@pytest.fixture(scope="session")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two simulated minutes in `morning_20260206.dbn.zst`, and the dataset `morning` of them in its `lake`."""
    from engine.config import load_instrument
    from engine.dataset.capture import publish_replay
    from engine.lake import Lake
    from engine.simulate.session import simulate

    folder = tmp_path_factory.mktemp("morning")
    file = folder / "morning_20260206.dbn.zst"
    simulate(file, seed=7, seconds=120.0, rate=300.0)
    publish_replay(Lake(folder / "lake"), "morning", [file], load_instrument())
    return folder
