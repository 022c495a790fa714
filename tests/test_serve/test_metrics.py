"""A replica's figures, read where Prometheus reads them: on the endpoint of a real local Ray."""

import asyncio
import os
import re
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from engine.ray_environment import prepare_ray_environment
from serve.figures import Figures

# Ray Serve's own models, when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning")
WAIT_SECONDS = 60
INTERVAL = "RAY_metrics_report_interval_ms"
LINE = re.compile(r"^ray_(spymaster_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    prepare_ray_environment(is_own=True)
    before = os.environ.get(INTERVAL)
    os.environ[INTERVAL] = "1000"  # ten seconds unless told otherwise
    import ray

    ray.init(address="local", num_cpus=1, object_store_memory=80 << 20, dashboard_host="127.0.0.1", log_to_driver=False)
    node = ray.nodes()[0]
    yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    ray.shutdown()
    del os.environ[INTERVAL]
    if before is not None:
        os.environ[INTERVAL] = before


def read(endpoint: str) -> dict[str, float]:
    """Our figures; a histogram's buckets by their upper bound."""
    with urlopen(endpoint, timeout=10.0) as answer:
        text = answer.read().decode()
    found = {}
    for name, tags, value in LINE.findall(text):
        bound = re.search(r'le="([^"]+)"', tags)
        found[f"{name}[{bound[1]}]" if bound else name] = float(value)
    return found


async def shown(endpoint: str, **wanted: float) -> dict[str, float]:
    """All figures once some have their values; Ray exports on its own schedule: there is nothing to wait on but the endpoint."""
    found: dict[str, float] = {}
    for _ in range(WAIT_SECONDS * 4):
        found = await asyncio.to_thread(read, endpoint)
        if all(found.get(f"spymaster_{name}") == value for name, value in wanted.items()):
            break
        await asyncio.sleep(0.25)
    return found


async def pushed(endpoint: str, figures: Figures) -> tuple[dict[str, float], dict[str, float]]:
    """What is shown of the first push, and what after further ones, of which one has something new to tell."""
    from serve.deployment import push_metrics

    asked: list[int] = []
    n_clients = 3

    def clients() -> int:  # asked once a push
        asked.append(n_clients)
        return n_clients

    pushing = asyncio.create_task(push_metrics(figures, clients))
    try:
        first = await shown(endpoint, clients=3.0, bin_lag_ms_count=3.0)
        before = len(asked)
        while len(asked) < before + 2:  # pushes with nothing new
            await asyncio.sleep(0.1)
        figures.bin_sent(30.0)
        figures.swaps += 1
        n_clients = 5
        return first, await shown(endpoint, clients=5.0, bin_lag_ms_count=4.0)
    finally:
        pushing.cancel()


def test_bins_drops_swaps_clients_and_lag_show_up_once_under_their_names(endpoint: str) -> None:
    figures = Figures(bins_dropped=4, swaps=2)
    for lag_ms in (0.5, 3.0, 30.0, None):
        figures.bin_sent(lag_ms)
    first, later = asyncio.run(pushed(endpoint, figures))
    expected = {
        "spymaster_bins_served_total": (4.0, 5.0),
        "spymaster_bins_dropped_total": (4.0, 4.0),
        "spymaster_model_swaps_total": (2.0, 3.0),
        "spymaster_clients": (3.0, 5.0),
        "spymaster_bin_lag_ms_count": (3.0, 4.0),
        "spymaster_bin_lag_ms_bucket[1.0]": (1.0, 1.0),
        "spymaster_bin_lag_ms_bucket[5.0]": (2.0, 2.0),
        "spymaster_bin_lag_ms_bucket[20.0]": (2.0, 2.0),
        "spymaster_bin_lag_ms_bucket[50.0]": (3.0, 4.0),
    }
    assert {name: (first.get(name), later.get(name)) for name in expected} == expected
