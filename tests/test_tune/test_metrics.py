"""A sweep's figures, read where Prometheus reads them: on the endpoint of a real local Ray."""

import re
import threading
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from engine.ray_environment import prepare_ray_environment

WAIT_SECONDS = 60.0
LINE = re.compile(r'^ray_(spymaster_\w+)\{(.*)\} (\S+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    prepare_ray_environment(is_own=True)
    import ray

    from tune.search import ray_session

    with ray_session("local", 1, 16 << 20):
        node = ray.nodes()[0]
        yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"


def figures(endpoint: str, sweep: str) -> dict[str, float]:
    """Value of each of our figures that carries the sweep's tag."""
    with urlopen(endpoint, timeout=10.0) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, tags, value in LINE.findall(text) if f'sweep="{sweep}"' in tags}


def test_points_rate_and_best_score_show_up_with_the_sweep_as_tag(endpoint: str) -> None:
    from tune.metrics import SweepMetrics

    one, other = SweepMetrics("sweep-one"), SweepMetrics("sweep-other")
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
    rate = found.pop("spymaster_points_per_s")
    assert found == {
        "spymaster_points_done_total": 12.0,
        "spymaster_points_failed_total": 2.0,
        "spymaster_best_score": -0.25,
    }
    assert rate > 0.0
    assert figures(endpoint, "sweep-other")["spymaster_best_score"] == 3.0
