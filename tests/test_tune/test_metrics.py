"""A sweep's figures, read where Prometheus reads them: on the endpoint of a real local Ray."""

import os
import re
import threading
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from engine.ray_environment import prepare_ray_environment

WAIT_SECONDS = 60.0
INTERVAL = "RAY_metrics_report_interval_ms"
LINE = re.compile(r"^ray_(spymaster_\w+)\{(.*)\} (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    prepare_ray_environment(is_own=True)
    before = os.environ.get(INTERVAL)
    os.environ[INTERVAL] = "1000"  # ten seconds unless told otherwise
    import ray

    from tune.search import ray_session

    with ray_session("local", 1, 16 << 20):
        node = ray.nodes()[0]
        yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    del os.environ[INTERVAL]
    if before is not None:
        os.environ[INTERVAL] = before


def figures(endpoint: str, sweep: str) -> dict[str, float]:
    """Value of each of our figures that carries the sweep's tag."""
    with urlopen(endpoint, timeout=10.0) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, tags, value in LINE.findall(text) if f'sweep="{sweep}"' in tags}


def test_points_rate_and_best_score_show_up_with_the_sweep_as_tag(endpoint: str) -> None:
    from tune.metrics import SweepMetrics

    times = iter([100.0, 100.5, 104.0])
    one, other = SweepMetrics("sweep-one", clock=lambda: next(times)), SweepMetrics("sweep-other")
    one.take(7, 0, None)
    one.take(5, 2, -0.25)
    other.take(1, 0, 3.0)
    pause = threading.Event()  # Ray exports on its own schedule, and there is nothing to wait on but the endpoint itself
    found: dict[str, float] = {}
    for _ in range(int(WAIT_SECONDS)):
        found = figures(endpoint, "sweep-one")
        if len(found) >= 4 and figures(endpoint, "sweep-other"):
            break
        pause.wait(1.0)
    assert found == {
        "spymaster_points_done_total": 12.0,
        "spymaster_points_failed_total": 2.0,
        "spymaster_points_per_s": 3.0,
        "spymaster_best_score": -0.25,
    }
    assert figures(endpoint, "sweep-other")["spymaster_best_score"] == 3.0
