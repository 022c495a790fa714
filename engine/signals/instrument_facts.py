"""Facts of the instrument that once stood among a signal's parameters too, as old sweeps and champions still write them."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

from engine.constants import PRICE_SCALE
from engine.errors import ConfigError
from engine.signals.base import SignalContext

logger = logging.getLogger(__name__)

TICK_SIZE: Final = "tick_size"  # dollars


def without_tick(model: type[BaseModel], given: Mapping[str, Any], context: SignalContext, what: str) -> dict[str, Any]:
    """Parameters without the tick, where a signal takes that from its instrument; told where it was the same, which it must be.

    Parameters
    ----------
    model
        The signal's ``Params``; one with a ``tick_size`` of its own keeps it.
    what
        Whose parameters they are, for the message.

    Raises
    ------
    ConfigError
        The tick differs from the instrument's: labels and thresholds were those of another market.
    """
    if TICK_SIZE not in given or not getattr(model, "takes_tick_from_instrument", False):
        return dict(given)
    said, tick_int = given[TICK_SIZE], context.tick_int
    is_number = isinstance(said, int | float) and not isinstance(said, bool)
    if not is_number or tick_int is None or round(said / PRICE_SCALE) != tick_int:
        own = "not known here" if tick_int is None else f"{tick_int * PRICE_SCALE:.9g}"
        raise ConfigError(
            f"{TICK_SIZE} was {said!r} in {what}; the instrument's is {own}, and signals take it from there. Leave it out of the "
            "parameters; a run or champion that was made with another tick learned from another market's labels: sweep and "
            "promote anew"
        )
    _tell(f"{TICK_SIZE} {said!r} in {what} is the instrument's own and is not read any more; leave it out")
    return {name: value for name, value in given.items() if name != TICK_SIZE}


@cache
def _tell(text: str) -> None:
    """Once in a process."""
    logger.warning(text)
