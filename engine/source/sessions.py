"""What a request for a session means: whose contract, from when until when, and the lake's files it lies in.

A product's root in place of a contract stands for the front month, which the roll file names. Where a roll lies in the session,
what was asked for is two stretches of two contracts, and nothing is made that spans both.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from engine.config import InstrumentConfig, require_instrument, validate
from engine.constants import NS_PER_DAY
from engine.hours import UTC_DAY, SessionKind
from engine.lake import Lake, raw_file
from engine.source.records import Source, open_source
from engine.source.rolls import Stretch, require_rolls

_FIRST: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Wanted:
    """A session, or one contract's stretch of it."""

    config: InstrumentConfig  # of that contract
    dt: date
    stretch: Stretch

    def files(self, lake: Lake) -> list[Path]:
        """The lake's raw files in which it lies, one for each UTC day, in order.

        Raises
        ------
        DatasetError
            There is none of a day, or more than one.
        """
        root, contract = self.config.symbol_root, self.config.symbol
        first, last = self.stretch.start_ns // NS_PER_DAY, (self.stretch.end_ns - 1) // NS_PER_DAY
        days = [_FIRST + timedelta(days=day) for day in range(first, last + 1)]
        return [raw_file(lake, root, day.isoformat(), contract) for day in days]

    def open(self, paths: list[Path], *, assumes_symbol: bool = False) -> Source:
        """Its files as a source.

        Raises
        ------
        SourceError
            As `open_source`.
        """
        return open_source(paths, self.config, self.dt, assumes_symbol=assumes_symbol, stretch=self.stretch)


def wanted(lake: Lake, config: InstrumentConfig, symbol: str | None, dt: date, session: SessionKind = UTC_DAY) -> list[Wanted]:
    """The stretches of a session, in order: one, or where a product's root was asked for one more for each roll in it.

    Parameters
    ----------
    symbol
        The locked contract, or its product's root for the front month; None for the locked contract.

    Raises
    ------
    ConfigError
        It is another instrument's, or the roll file is none.
    DatasetError
        A root was asked for, and there is no roll file.
    """
    if symbol != config.symbol_root:
        require_instrument(config, config.product_type, symbol or config.symbol)
        return [Wanted(config, dt, Stretch.whole(dt, session, config.symbol))]
    stretches = require_rolls(lake, symbol).stretches(dt, session)
    return [Wanted(of_contract(config, one.contract), dt, one) for one in stretches]


def of_contract(config: InstrumentConfig, contract: str) -> InstrumentConfig:
    """The instrument as another contract of its product.

    Raises
    ------
    ConfigError
        It is not one of them.
    """
    if contract == config.symbol:
        return config
    changed: InstrumentConfig = validate(InstrumentConfig, {**config.model_dump(), "symbol": contract}, f"contract {contract}")
    return changed
