"""The simulator's arguments on their bounds and one step beyond; what a second day takes over from the first."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import databento
import pytest

from engine.errors import ConfigError
from engine.simulate.session import _checked_path, _checked_product, _checked_span, simulate, simulate_days

START = "2026-02-06T09:00"
START_NS = int(datetime(2026, 2, 6, 14, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("seed", "seconds", "rate", "is_taken"),
    [
        (0, 1.0, 1.0, True),
        (2**63 - 1, 604_800.0, 1.0, True),
        (-1, 1.0, 1.0, False),
        (2**63, 1.0, 1.0, False),
        (0, 604_800.1, 1.0, False),
        (0, 0.0, 1.0, False),
        (0, 1e-9, 1.0, True),
        (0, 1.0, 0.999, False),
        (0, 1.0, 20_000.0, True),
        (0, 1.0, 20_000.1, False),
        (0, 200_000.0, 20_000.0, True),  # 4,000,000,000 records
        (0, 200_000.1, 20_000.0, False),
    ],
)
def test_numbers_are_taken_up_to_their_bounds(seed: int, seconds: float, rate: float, is_taken: bool) -> None:
    if is_taken:
        assert _checked_span(seed, seconds, rate, START) == (START_NS, START_NS + round(seconds * 1e9))
        return
    with pytest.raises(ConfigError):
        _checked_span(seed, seconds, rate, START)


@pytest.mark.parametrize(
    ("start", "is_taken"),
    [
        ("1970-12-31T23:59:59Z", False),
        ("1971-01-01T00:00Z", True),
        ("2200-12-31T23:59:59Z", True),
        ("2201-01-01T00:00Z", False),
    ],
)
def test_years_are_taken_from_1971_to_2200(start: str, is_taken: bool) -> None:
    if is_taken:
        since = datetime.fromisoformat(start) - datetime(1970, 1, 1, tzinfo=UTC)
        assert _checked_span(0, 1.0, 1.0, start)[0] == since // timedelta(microseconds=1) * 1000
        return
    with pytest.raises(ConfigError, match="year"):
        _checked_span(0, 1.0, 1.0, start)


@pytest.mark.parametrize(("days", "is_taken"), [(0, False), (1, True), (2, True), (32, False)])
def test_days_are_one_to_31(tmp_path: Path, days: int, is_taken: bool) -> None:
    out = tmp_path / "s20260206.dbn"
    if is_taken:
        written = simulate_days(out, days=days, seed=1, seconds=0.1, rate=10.0)
        assert [one.path.name for one in written] == ["s20260206.dbn", "s20260207.dbn"][:days]
        return
    with pytest.raises(ConfigError, match=f"days was {days}"):
        simulate_days(out, days=days, seed=1, seconds=0.1, rate=10.0)


@pytest.mark.parametrize(
    ("seconds", "last_day"), [(86_400.0 - 14 * 3600, "2026-02-07"), (86_401.0 - 14 * 3600, "2026-02-08")]
)  # ends at midnight, and a second after: the mapping's end is the day after the last
def test_the_mapping_holds_on_every_day_of_the_session(tmp_path: Path, seconds: float, last_day: str) -> None:
    path = tmp_path / "x.dbn"
    summary = simulate(path, seed=1, seconds=seconds, rate=1.0)
    metadata = databento.DBNStore.from_bytes(path.read_bytes()).metadata
    (interval,) = metadata.mappings["MNQH6"]
    assert (str(interval["start_date"]), str(interval["end_date"])) == ("2026-02-06", last_day)
    assert (metadata.start, metadata.end) == (summary.start_ns, summary.end_ns)


@pytest.mark.parametrize("symbol", ["MNQH6", "MNQZ26", "ESF6", "M2KX6"])
def test_contracts_of_known_roots_are_taken(symbol: str) -> None:
    assert _checked_product(symbol)[0] in (0.25, 0.1)


@pytest.mark.parametrize("symbol", ["MNQH", "MNQH126", "MNQA6", "XMNQH6", "mnqh6", "MNQH6 "])
def test_other_symbols_are_refused(symbol: str) -> None:
    with pytest.raises(ConfigError, match="symbol was"):
        _checked_product(symbol)


def test_names_end_as_files_of_records_do(tmp_path: Path) -> None:
    for name in ("a.dbn", "a.dbn.zst"):
        assert _checked_path(tmp_path / name) == tmp_path / name
    for name in ("a.zst", "adbn", "a.dbn.gz"):
        with pytest.raises(ConfigError, match="must end in"):
            _checked_path(tmp_path / name)
