"""Which of the vendor's jobs is of the very request: it is taken instead of being bought again, any other is not."""

from typing import Any

import pytest

from engine.feed.download.plan import Asked
from engine.feed.download.work import _is_same

ASKED = Asked("GLBX.MDP3", "mbo", "MNQH6", "2026-02-05", "2026-02-07")
JOB = {
    "id": "GLBX-1",
    "dataset": "GLBX.MDP3",
    "symbols": "MNQH6",
    "schema": "mbo",
    "stype_in": "raw_symbol",
    "start": "2026-02-05T00:00:00.000000000Z",
    "end": "2026-02-07T00:00:00.000000000Z",
    "limit": None,
    "encoding": "dbn",
    "compression": "zstd",
    "split_symbols": False,
    "split_duration": "day",
}


@pytest.mark.parametrize("changed", [{}, {"symbols": ["MNQH6"]}, {"start": "2026-02-05"}, {"cost_usd": 1.5}])
def test_the_same(changed: dict[str, Any]) -> None:
    assert _is_same({**JOB, **changed}, ASKED)


@pytest.mark.parametrize(
    "changed",
    [
        {"dataset": "XNAS.ITCH"},
        {"symbols": "MNQM6"},
        {"symbols": "MNQH6,MNQM6"},
        {"symbols": None},
        {"schema": "trades"},
        {"stype_in": "continuous"},
        {"start": "2026-02-05T00:00:00.000000001Z"},
        {"end": "2026-02-06T00:00:00.000000000Z"},
        {"end": None},
        {"limit": 1000},
        {"encoding": "csv"},
        {"compression": "none"},
        {"compression": None},
        {"split_symbols": True},
        {"split_duration": "week"},
    ],
)
def test_another(changed: dict[str, Any]) -> None:
    assert not _is_same({**JOB, **changed}, ASKED)
