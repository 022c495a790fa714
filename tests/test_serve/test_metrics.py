"""A replica's figures, read where Prometheus reads them: on the endpoint of a real local Ray."""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from engine.ray_environment import prepare_ray_environment
from serve.figures import Figures, SessionFigures, Snapshot, SocketFigures
from tests.conftest import REPO_ROOT

# Ray Serve's own models, when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`:DeprecationWarning")
WAIT_SECONDS = 60
INTERVAL = "RAY_metrics_report_interval_ms"
LINE = re.compile(r"^(ray_spymaster_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
NAME = re.compile(r"ray_\w+")
DASHBOARD = REPO_ROOT / "cluster" / "grafana" / "spymaster_grafana_dashboard.json"


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


def prometheus_names() -> set[str]:
    """Every name under which Ray shows a figure of ours on a node's metrics port."""
    from serve.metrics import METRICS

    shown = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"ray_spymaster_{one.name}{suffix}" for one in METRICS for suffix in shown[one.kind]}


def read(endpoint: str) -> dict[str, float]:
    """Our figures; a histogram's buckets by their upper bound, a gauge's by its own tags."""
    with urlopen(endpoint, timeout=10.0) as answer:
        text = answer.read().decode()
    found = {}
    for name, tags, value in LINE.findall(text):
        own = [re.search(rf'{tag}="([^"]+)"', tags) for tag in ("le", "session", "kind", "standing", "state")]
        label = ",".join(one[1] for one in own if one)
        assert 'SessionName="' in tags  # by which the dashboard chooses one Ray of several
        found[f"{name}[{label}]" if label else name] = float(value)
    return found


async def shown(endpoint: str, **wanted: float) -> dict[str, float]:
    """All figures once some have their values; Ray exports on its own schedule: there is nothing to wait on but the endpoint."""
    found: dict[str, float] = {}
    for _ in range(WAIT_SECONDS * 4):
        found = await asyncio.to_thread(read, endpoint)
        if all(found.get(f"ray_spymaster_{name}") == value for name, value in wanted.items()):
            break
        await asyncio.sleep(0.25)
    return found


class Replica:
    """A replica's service as the metrics see it; ``asked`` counts the pushes."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.clients = 3
        self.asked = 0
        self.champion = (0, "instrument")
        self.alarms = ["champion", "record"]
        self.feed = {"state": "live", "age_s": 0.5, "lag_s": 0.25, "queue": 7, "doubles_dropped": 3, "recoveries": 2, "holes": 1}

    def told_feed(self) -> dict[str, object]:
        return self.feed

    def snapshot(self) -> Snapshot:
        self.asked += 1
        return self.figures.snapshot(self.clients)

    def standing(self) -> tuple[int, str]:
        return self.champion

    def alarm_kinds(self) -> list[str]:
        return self.alarms


async def pushed(endpoint: str, replica: Replica) -> tuple[dict[str, float], dict[str, float]]:
    """What is shown of the first push, and what after further ones, of which one has something new to tell."""
    from serve.metrics import push_metrics

    pushing = asyncio.create_task(push_metrics(replica))
    figures = replica.figures
    try:
        first = await shown(endpoint, clients=3.0, bin_lag_ms_count=3.0)
        before = replica.asked
        while replica.asked < before + 2:  # pushes with nothing new
            await asyncio.sleep(0.1)
        figures.bin_sent(30.0)
        figures.swaps += 1
        figures.sessions = lambda: [SessionFigures("2026-02-06", True, 5, 3_000, 2.5, 0.5)]
        replica.clients, replica.champion, replica.alarms = 5, (7, "proven"), ["record"]
        replica.feed = replica.feed | {"state": "dead", "age_s": 60.5}
        return first, await shown(endpoint, clients=5.0, bin_lag_ms_count=4.0)
    finally:
        pushing.cancel()


def test_figures_show_up_once_under_their_names(endpoint: str) -> None:
    figures = Figures(bins_dropped=4, swaps=2, streams_opened=8, streams_refused=9)
    figures.sessions = lambda: [
        SessionFigures("2026-02-06", True, 1, 1_000, 1.5, 0.25),
        SessionFigures("2026-02-06T09:40", False, 1, 200, 12.0, 4.0),
        SessionFigures("2026-02-06T10:00", False, 1, 30, 11.0, None),
    ]
    figures.sockets = lambda: SocketFigures(open=6, half_open=2, silent=1, refused=5, stalled=3)
    for lag_ms in (0.5, 3.0, 30.0, None):
        figures.bin_sent(lag_ms)
    first, later = asyncio.run(pushed(endpoint, Replica(figures)))
    expected = {
        "bins_served_total": (4.0, 5.0),
        "bins_dropped_total": (4.0, 4.0),
        "model_swaps_total": (2.0, 3.0),
        "streams_opened_total": (8.0, 8.0),
        "streams_refused_total": (9.0, 9.0),
        "sockets_refused_total": (5.0, 5.0),
        "streams_stalled_total": (3.0, 3.0),
        "sockets[open]": (6.0, 6.0),
        "sockets[half_open]": (2.0, 2.0),
        "sockets[silent]": (1.0, 1.0),
        "clients": (3.0, 5.0),
        "bin_lag_ms_count": (3.0, 4.0),
        "bin_lag_ms_bucket[1.0]": (1.0, 1.0),
        "bin_lag_ms_bucket[5.0]": (2.0, 2.0),
        "bin_lag_ms_bucket[20.0]": (2.0, 2.0),
        "bin_lag_ms_bucket[50.0]": (3.0, 4.0),
        "sessions[shared]": (1.0, 1.0),
        "sessions[private]": (2.0, 0.0),
        "ring_bytes": (1_230.0, 3_000.0),
        "session_lag_ms[2026-02-06,shared]": (1.5, 2.5),
        "session_jitter_ms[2026-02-06,shared]": (0.25, 0.5),
        "session_lag_ms[private,private]": (12.0, 0.0),  # the worst of them; 0 once there is none
        "session_jitter_ms[private,private]": (4.0, 0.0),
        "champion[instrument]": (0.0, 0.0),
        "champion[proven]": (None, 7.0),
        "feed_state[live]": (1.0, 0.0),
        "feed_state[dead]": (None, 1.0),
        "feed_age_s": (0.5, 60.5),
        "feed_lag_s": (0.25, 0.25),
        "feed_queue": (7.0, 7.0),
        "feed_doubles_dropped": (3.0, 3.0),
        "feed_recoveries": (2.0, 2.0),
        "feed_holes": (1.0, 1.0),
        "alarms[champion]": (1.0, 0.0),
        "alarms[record]": (1.0, 1.0),
    }
    names = {name: f"ray_spymaster_{name}" for name in expected}
    assert {name: (first.get(full), later.get(full)) for name, full in names.items()} == expected
    assert 10e6 < later["ray_spymaster_memory_bytes"] < 10e9
    # Every name of ours that Prometheus has is one that the module says, and the other way round.
    assert {name.partition("[")[0] for name in later} == prometheus_names()


def test_the_dashboard_shows_each_figure_and_none_that_is_not_there() -> None:
    of_sweeps = {f"ray_spymaster_{name}" for name in ("points_done_total", "points_failed_total", "points_per_s", "best_score")}
    board = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    named = {name for panel in panels for target in panel["targets"] for name in NAME.findall(target["expr"])}
    assert named == prometheus_names() | of_sweeps
    source = (REPO_ROOT / "tune" / "metrics.py").read_text()
    for name in of_sweeps:
        assert f'"{name.removeprefix("ray_").removesuffix("_total")}"' in source
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
