"""What a live feed is told: whose records, from where, and how patient it is."""

import math
from dataclasses import asdict, dataclass
from typing import Final

from engine.errors import ConfigError
from engine.feed.contracts import root_of

VENDOR_PORT: Final = 13_000
_VENDOR_HEARTBEATS_S: Final = (5.0, 1800.0)


@dataclass(frozen=True)
class LiveSettings:
    """Settings of one feed of one contract.

    ``symbol`` is a raw one, like ``MNQH6``. ``host`` None is the vendor's own for the dataset. ``heartbeat_s`` is asked of the
    vendor: a heartbeat comes when nothing else came for so long. ``clock_rate`` is how many market seconds pass in one of ours,
    0 where a gateway plays as fast as it is read. ``reorder_s`` bounds the disorder of event times in the order of capture,
    ``margin_s`` is how far known time stays behind the market's clock while nothing comes. ``connect_s`` is for the connection to
    stand, ``handshake_s`` for greeting and answer. ``budget_s`` without a connection raises the alarm; trying goes on for ever,
    at the latest ``longest_wait_s`` after the try before. A refusal by limit is borne for ``limit_s`` where a connection of ours
    may still be counted. ``no_data_s`` after the start of a session without a record one line says so.
    """

    symbol: str
    dataset: str = "GLBX.MDP3"
    host: str | None = None
    port: int = VENDOR_PORT
    heartbeat_s: float = 5.0
    clock_rate: float = 1.0
    reorder_s: float = 1.0
    margin_s: float = 0.1
    connect_s: float = 4.0
    handshake_s: float = 10.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 2.0
    budget_s: float = 60.0
    limit_s: float = 120.0
    no_data_s: float = 15.0

    def __post_init__(self) -> None:
        """Check each.

        Raises
        ------
        ConfigError
            One is out of its bounds.
        """
        if root_of(self.symbol) is None:
            raise ConfigError(f"symbol was {self.symbol!r}; a live feed is of one outright contract, like MNQH6")
        may_be_0 = {"clock_rate", "reorder_s", "margin_s", "limit_s"}
        for name, value in asdict(self).items():
            if not isinstance(value, float | int):
                continue
            if not math.isfinite(value) or value < 0 or (value == 0 and name not in may_be_0):
                raise ConfigError(f"{name} was {value}; it must be {'0 or more' if name in may_be_0 else 'above 0'}")
        if not 0 < self.port < 1 << 16:
            raise ConfigError(f"port was {self.port}; it must be from 1 to 65535")
        least, most = _VENDOR_HEARTBEATS_S
        if self.host is None and not least <= self.heartbeat_s <= most:
            raise ConfigError(f"heartbeat_s was {self.heartbeat_s}; the vendor sends them every {least:g} to {most:g} s")
        if self.first_wait_s > self.longest_wait_s:
            raise ConfigError(
                f"first_wait_s was {self.first_wait_s} and longest_wait_s {self.longest_wait_s}; the first is shorter"
            )
