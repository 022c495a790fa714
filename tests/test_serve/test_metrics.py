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


async def pushed(endpoint: str, figures: Figures) -> dict[str, float]:
    from serve.deployment import push_metrics

    pushing = asyncio.create_task(push_metrics(figures, lambda: 3))
    try:
        found: dict[str, float] = {}
        for _ in range(WAIT_SECONDS):  # Ray exports on its own schedule: there is nothing to wait on but the endpoint itself
            await asyncio.sleep(1.0)
            found = await asyncio.to_thread(read, endpoint)
            if {"spymaster_bins_served_total", "spymaster_clients", "spymaster_bin_lag_ms_count"} <= set(found):
                break
        return found
    finally:
        pushing.cancel()


def test_bins_drops_swaps_clients_and_lag_show_up_under_their_names(endpoint: str) -> None:
    figures = Figures(bins_dropped=4, swaps=2)
    for lag_ms in (0.5, 3.0, 30.0, None):
        figures.bin_sent(lag_ms)
    found = asyncio.run(pushed(endpoint, figures))
    expected = {
        "spymaster_bins_served_total": 4.0,
        "spymaster_bins_dropped_total": 4.0,
        "spymaster_model_swaps_total": 2.0,
        "spymaster_clients": 3.0,
        "spymaster_bin_lag_ms_count": 3.0,
        "spymaster_bin_lag_ms_bucket[1.0]": 1.0,
        "spymaster_bin_lag_ms_bucket[5.0]": 2.0,
        "spymaster_bin_lag_ms_bucket[50.0]": 3.0,
    }
    assert {name: found.get(name) for name in expected} == expected
