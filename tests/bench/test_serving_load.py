"""A hundred viewers of one session, against a bare uvicorn that sends them the same frames: ratios within one run."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bench.serving.modes import churn, rush, stay, steady, storm
from tests.bench.serving.session import Target, simulated

pytestmark = pytest.mark.slow

CLIENTS = 100
SECONDS = 10.0
FIRST_FRAMES_WITHIN_S = 20.0  # no figure to boast of: beyond it something hangs


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("load"), 120)


def loaded(lake: Path, mode: Any, **options: Any) -> dict[str, Any]:
    args = argparse.Namespace(**{"clients": CLIENTS, "seconds": SECONDS, "private": False} | options)
    with Target.started(lake, CLIENTS + 16, "") as target:
        return asyncio.run(mode(target, args))


def test_a_hundred_viewers_cost_an_engine_and_little_more_than_bare_frames(lake: Path) -> None:
    with Target.started(lake, 1, "") as target:
        alone = asyncio.run(stay(target, 1, SECONDS / 2, private=False))
    crowd = loaded(lake, steady)
    assert (crowd["dropped"], crowd["broken"], crowd["gone"], crowd["without_frame"]) == (0, 0, 0, 0)
    assert crowd["bins_per_s"] > 0.97 * crowd["echo_bins_per_s"]
    assert crowd["cpu"] < 1.5 * crowd["echo_cpu"] + 1.2 * alone["cpu"]
    assert crowd["lag_p50_ms"] < 4 * crowd["echo_lag_p50_ms"]
    assert crowd["rss_mb"] < 1.5 * alone["rss_mb"]


def test_a_hundred_come_back_at_once_to_the_bin_they_missed(lake: Path) -> None:
    figures = loaded(lake, storm, bin=300)
    assert (figures["without_frame"], figures["errors"], figures["first_bins"]) == (0, [], [300])
    assert figures["first_frame_max_s"] < FIRST_FRAMES_WITHIN_S


def test_one_client_without_a_pace_gets_every_bin_for_less_than_a_paced_one_costs(lake: Path) -> None:
    with Target.started(lake, 4, "") as target:
        figures = asyncio.run(rush(target, argparse.Namespace()))
    with Target.started(lake, 1, "") as target:
        paced = asyncio.run(stay(target, 1, SECONDS / 2, private=False))
    assert (figures["dropped"], figures["broken"]) == (0, 0)
    assert figures["bins"] == 1200  # all of the session's two minutes
    assert figures["cpu_us_per_bin"] < 0.5 * paced["cpu_us_per_bin"]


def test_memory_and_descriptors_stay_where_they_are_while_clients_come_and_go(lake: Path) -> None:
    figures = loaded(lake, churn, connects=500)
    assert (figures["connects"], figures["failed"]) == (500, 0)
    assert figures["x_rss"] < 1.3
    assert figures["descriptors"][1] <= figures["descriptors"][0] + 8
