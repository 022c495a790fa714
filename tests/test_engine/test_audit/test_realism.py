"""The realism card: its figures by hand, its bands, the real hour, and the simulated market inside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import constants as c
from engine.audit.realism import (
    FIGURES,
    Figure,
    autocorrelation,
    clip_cost,
    excess_kurtosis,
    market_figures,
    order_figures,
    realism_card,
    sign_figures,
    trade_signs,
)
from engine.book.owner import make_book
from engine.cli import main
from engine.config import InstrumentConfig, load_instrument
from engine.errors import DatasetError
from engine.schema import MBO_DTYPE, MboRecords
from engine.simulate.session import simulate

REPO_ROOT = Path(__file__).resolve().parents[3]


def es() -> InstrumentConfig:
    """The real hour's contract."""
    return load_instrument(REPO_ROOT / "engine" / "instruments" / "es.yaml")


def test_autocorrelation_by_hand() -> None:
    assert autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 1) == -0.75
    assert autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 2) == 0.5
    assert autocorrelation(np.array([3.0, 5.0]), 1) == -0.5
    assert autocorrelation(np.array([4.0, 4.0]), 1) == 0.0


def test_excess_kurtosis_by_hand() -> None:
    assert excess_kurtosis(np.array([1.0, -1.0])) == -2.0
    assert excess_kurtosis(np.array([0.0, 0.0, 3.0, 0.0, 0.0, 0.0, -3.0, 0.0])) == 1.0  # 81 / 4 over (9 / 4) ** 2, less 3
    assert excess_kurtosis(np.array([2.0, 2.0])) == 0.0


def test_quotes_by_hand() -> None:
    mids = np.array([10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0])
    spread = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4])
    found = market_figures(np.column_stack([mids, spread, np.full(13, 0.5)]))
    assert found["reversal"] == pytest.approx(-11 / 12)
    assert found["abs_return_autocorrelation"] == 0.0
    assert found["kurtosis"] == -2.0
    assert (found["clip_cost"], found["spread_one_tick"], found["spread_wide"]) == (0.5, 10 / 13, 2 / 13)


def test_what_ten_contracts_cost_by_hand() -> None:
    book = make_book(16)
    book.scalars["anchored"], book.scalars["anchor"] = 1, 100  # slot 8 is tick 100
    book.depth[8, 0], book.depth[7, 0], book.depth[6, 0] = 4, 0, 5
    book.depth[9, 1] = 10
    assert clip_cost(book, 1, 101) == 0.0
    assert clip_cost(book, 0, 100) == (4 * 0 + 5 * 2 + 1 * 9) / 10  # the last one is nowhere: nine levels off, at the end
    book.depth[9, 1] = 9
    book.depth[10, 1] = 1
    assert clip_cost(book, 1, 101) == 0.1
    book.depth[10, 1] = 0
    assert clip_cost(book, 1, 101) == 0.7  # slots 9 to 15 are all there are: seven levels off


def records_of(rows: list[tuple[str, str, int, int, bool]]) -> MboRecords:
    """Action, side, order id, second, whether it ends an event."""
    records = np.zeros(len(rows), MBO_DTYPE)
    for i, (action, side, order_id, second, is_last) in enumerate(rows):
        records[i]["action"], records[i]["side"], records[i]["order_id"] = ord(action), ord(side), order_id
        records[i]["ts_event"] = second * c.NS_PER_S
        records[i]["flags"] = c.F_LAST if is_last else 0
    return records


def test_lives_and_ends_of_orders_by_hand() -> None:
    records = records_of(
        [
            ("A", "B", 1, 0, True),  # event 1
            ("A", "B", 2, 1, True),
            ("A", "A", 3, 2, True),
            ("C", "B", 2, 3, True),  # 2 events after it came
            ("T", "B", 0, 4, False),
            ("F", "A", 3, 4, False),
            ("C", "A", 3, 4, True),  # 2 events, filled
            ("A", "B", 4, 5, True),
            ("C", "B", 9, 6, True),  # came before the file
            ("C", "B", 1, 7, True),  # 7 events
        ]
    )
    # Lives 2, 2, 7 and one without an end: the middle is 4.5. Of three that ended one was filled.
    assert order_figures(records) == {"order_life": 4.5, "cancel_share": pytest.approx(2 / 3)}


def test_signs_of_trades_by_hand() -> None:
    records = records_of(
        [
            ("T", "B", 0, 1, False),
            ("F", "A", 3, 1, True),
            ("T", "A", 0, 2, False),
            ("T", "A", 0, 2, True),  # the same aggressor
            ("T", "N", 0, 3, True),  # of nobody
            ("T", "A", 0, 4, True),
        ]
    )
    assert trade_signs(records).tolist() == [1.0, -1.0, -1.0]
    assert trade_signs(records[:0]).tolist() == []
    signs = np.tile([1.0, -1.0], 10)
    assert sign_figures(signs) == {"sign_autocorrelation": -19 / 20, "sign_memory": 10 / 20}


def test_a_band_holds_its_ends() -> None:
    figure = Figure("x", 1.0, 0.5, 2.0, "", "")
    assert [figure.is_inside(value) for value in (0.499, 0.5, 2.0, 2.001)] == [False, True, True, False]


def test_the_real_values_lie_in_their_bands() -> None:
    assert all(one.is_inside(one.real) for one in FIGURES)


def test_the_real_hour_is_as_the_bands_say(shared: Callable[[str], Path]) -> None:
    card = realism_card(shared("data/esh4-glbx-mdp3-20231225.mbo.dbn.zst"), es())
    assert card["is_real"]
    assert card["seconds"] in (3598, 3599, 3600)
    for one in card["figures"]:
        assert one["value"] == pytest.approx(one["real"], rel=0.03, abs=0.002), one["figure"]


@pytest.mark.parametrize(("seed", "rate", "seconds"), [(1, 400.0, 1500.0), (2, 1000.0, 900.0)])
def test_a_simulated_market_is_inside_the_bands(tmp_path: Path, seed: int, rate: float, seconds: float) -> None:
    path = tmp_path / "x-20260206.dbn"
    simulate(path, seed=seed, seconds=seconds, rate=rate)
    card = realism_card(path, load_instrument())
    assert {one["figure"]: one["value"] for one in card["figures"] if not one["inside"]} == {}


def test_too_short_a_file_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "x-20260206.dbn"
    simulate(path, seed=1, seconds=119.0, rate=100.0)
    with pytest.raises(DatasetError, match=r"quoted seconds and \d+ trades; the card needs 120 and 100"):
        realism_card(path, load_instrument())


def test_the_command_prints_a_line_for_each_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x-20260206.dbn"
    simulate(path, seed=1, seconds=150.0, rate=300.0)
    code = main(["check-realism", str(path)])
    shown = capsys.readouterr().out
    assert all(one.name[:8] in shown for one in FIGURES)
    assert code == (1 if "OUTSIDE" in shown else 0)
